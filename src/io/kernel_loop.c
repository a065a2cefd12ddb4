// SPDX-License-Identifier: Apache-2.0
/* io/kernel_loop.c - a loop of the real machine: epoll for sockets, a lock-free mailbox, an eventfd to wake it.
 *
 * The mailbox is a stack that senders push to and the loop empties at once and turns round. The eventfd is written only
 * when the loop sleeps: the loop says so (`sleeping`) before it looks at the mailbox for the last time, a sender pushes
 * before it looks at `sleeping`, both sequentially consistent; so one of the two sees the other.
 */
#include "io/io.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EPOLL_EVENTS_MAX = 512 };

struct watched {
    void *context;
    bool known;
};

struct io_loop {
    int epoll, wake;
    _Atomic(struct io_mail *) mailbox; // newest first
    _Atomic bool sleeping;
    struct watched *watched; // by socket number
    int watched_count;
};

static void fail(const char *what)
{
    fprintf(stderr, "ottla: %s: %s\n", what, strerror(errno));
    abort();
}

struct io_loop *io_loop_create(void)
{
    struct io_loop *loop = mem_zalloc(sizeof *loop);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake < 0)
        fail("cannot make an event loop");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = -1};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) < 0)
        fail("cannot watch an eventfd");
    return loop;
}

void io_loop_destroy(struct io_loop *loop)
{
    if (!loop)
        return;
    close(loop->epoll);
    close(loop->wake);
    mem_free(loop->watched);
    mem_free(loop);
}

static struct watched *watched_at(struct io_loop *loop, int socket)
{
    if (socket >= loop->watched_count) {
        int count = loop->watched_count ? loop->watched_count : 64;
        while (count <= socket)
            count *= 2;
        loop->watched = mem_realloc(loop->watched, (size_t)count * sizeof *loop->watched);
        memset(loop->watched + loop->watched_count, 0, (size_t)(count - loop->watched_count) * sizeof *loop->watched);
        loop->watched_count = count;
    }
    return &loop->watched[socket];
}

int io_loop_watch(struct io_loop *loop, int socket, uint32_t events, void *context)
{
    struct watched *entry = watched_at(loop, socket);
    entry->context = context;
    struct epoll_event event = {.events =
                                    ((events & IO_READABLE) ? EPOLLIN : 0u) | ((events & IO_WRITABLE) ? EPOLLOUT : 0u),
                                .data.fd = socket};
    int how = events == 0 ? EPOLL_CTL_DEL : entry->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (events == 0 && !entry->known)
        return 0;
    entry->known = events != 0;
    return epoll_ctl(loop->epoll, how, socket, &event) < 0 ? -errno : 0;
}

static int timeout_ms(int64_t deadline_ns)
{
    if (deadline_ns == INT64_MAX)
        return -1;
    int64_t left_ns = deadline_ns - io_now_ns();
    if (left_ns <= 0)
        return 0;
    return (int)min_i64((left_ns + 999999) / 1000000, INT32_MAX);
}

static int translate(struct io_loop *loop, const struct epoll_event *from, int count, struct io_event *ret_events)
{
    int out = 0;
    for (int i = 0; i < count; i++) {
        if (from[i].data.fd < 0) {
            uint64_t woken;
            if (read(loop->wake, &woken, sizeof woken) < 0 && errno != EAGAIN)
                fail("cannot read an eventfd");
            continue;
        }
        uint32_t had = from[i].events;
        uint32_t events = ((had & EPOLLIN) ? IO_READABLE : 0u) | ((had & EPOLLOUT) ? IO_WRITABLE : 0u) |
                          ((had & (EPOLLHUP | EPOLLERR)) ? IO_HANGUP : 0u);
        ret_events[out++] = (struct io_event){loop->watched[from[i].data.fd].context, events};
    }
    return out;
}

int io_loop_wait(struct io_loop *loop, struct io_event *ret_events, int events_max, int64_t deadline_ns)
{
    struct epoll_event events[EPOLL_EVENTS_MAX];
    assert(events_max > 0);
    if (events_max > EPOLL_EVENTS_MAX)
        events_max = EPOLL_EVENTS_MAX;
    atomic_store(&loop->sleeping, true);
    int timeout = atomic_load(&loop->mailbox) ? 0 : timeout_ms(deadline_ns);
    int count = epoll_wait(loop->epoll, events, events_max, timeout);
    atomic_store(&loop->sleeping, false);
    if (count < 0 && errno != EINTR)
        fail("epoll_wait");
    return count > 0 ? translate(loop, events, count, ret_events) : 0;
}

bool io_loop_send(struct io_loop *loop, struct io_mail *mail)
{
    if (atomic_exchange(&mail->queued, true))
        return false;
    struct io_mail *newest = atomic_load(&loop->mailbox);
    do
        atomic_store_explicit(&mail->next, newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&loop->mailbox, &newest, mail));
    if (atomic_load(&loop->sleeping) && atomic_exchange(&loop->sleeping, false)) {
        uint64_t one = 1;
        if (write(loop->wake, &one, sizeof one) < 0 && errno != EAGAIN)
            fail("cannot write an eventfd");
    }
    return true;
}

struct io_mail *io_loop_mail(struct io_loop *loop)
{
    if (!atomic_load_explicit(&loop->mailbox, memory_order_relaxed))
        return NULL;
    struct io_mail *newest = atomic_exchange(&loop->mailbox, NULL), *oldest = NULL;
    while (newest) {
        struct io_mail *next = atomic_load_explicit(&newest->next, memory_order_relaxed);
        atomic_store_explicit(&newest->next, oldest, memory_order_relaxed);
        oldest = newest;
        newest = next;
    }
    return oldest;
}

struct io_mail *io_mail_take(struct io_mail **chain)
{
    struct io_mail *mail = *chain;
    if (!mail)
        return NULL;
    *chain = atomic_load_explicit(&mail->next, memory_order_relaxed);
    atomic_store(&mail->queued, false);
    return mail;
}
