// SPDX-License-Identifier: Apache-2.0
/* io/sim_loop.c - loops and mailboxes, with the kernel's semantics: level-triggered events, mail in order of sending, a
 * node queued at most once.
 *
 * Events of one wait come in an order that the seed draws, and a wait may return early with none, as a signal would cause.
 */
#include "io/sim__.h"

enum { SPURIOUS_ONE_IN = 50 };

struct watched {
    int socket;
    uint64_t serial; // of the handle: its number may be another's by now
    uint32_t events;
    void *context;
};

struct io_loop {
    struct io_mail *first, *last;
    struct watched *watched;
    int watched_count, watched_capacity;
};

struct io_loop *io_loop_create(void)
{
    sim__step("loop create");
    return mem_zalloc(sizeof(struct io_loop));
}

void io_loop_destroy(struct io_loop *loop)
{
    if (!loop)
        return;
    mem_free(loop->watched);
    mem_free(loop);
}

static bool is_closed(const struct watched *watched)
{
    const struct sim_handle *handle = &sim__world->handles[watched->socket];
    return handle->kind != SIM_SOCKET || handle->serial != watched->serial;
}

/* A closed socket leaves the loop by itself, as epoll forgets a closed descriptor. */
static void forget_closed(struct io_loop *loop)
{
    for (int i = 0; i < loop->watched_count;) {
        if (!is_closed(&loop->watched[i]))
            i++;
        else
            loop->watched[i] = loop->watched[--loop->watched_count];
    }
}

int io_loop_watch(struct io_loop *loop, int socket, uint32_t events, void *context)
{
    sim__step("watch");
    sim__handle(socket, SIM_SOCKET);
    forget_closed(loop);
    int at = 0;
    while (at < loop->watched_count && loop->watched[at].socket != socket)
        at++;
    if (events == 0) {
        if (at < loop->watched_count)
            loop->watched[at] = loop->watched[--loop->watched_count];
        return 0;
    }
    if (at == loop->watched_count) {
        if (loop->watched_count == loop->watched_capacity) {
            loop->watched_capacity = loop->watched_capacity ? loop->watched_capacity * 2 : 16;
            loop->watched = mem_realloc(loop->watched, (size_t)loop->watched_capacity * sizeof *loop->watched);
        }
        loop->watched_count++;
    }
    loop->watched[at] = (struct watched){socket, sim__world->handles[socket].serial, events, context};
    return 0;
}

static uint32_t events_of(const struct watched *watched)
{
    if (is_closed(watched))
        return 0;
    return sim__socket_events(watched->socket) & (watched->events | IO_HANGUP);
}

static bool has_news(void *argument)
{
    const struct io_loop *loop = argument;
    if (loop->first)
        return true;
    for (int i = 0; i < loop->watched_count; i++)
        if (events_of(&loop->watched[i]))
            return true;
    return false;
}

int io_loop_wait(struct io_loop *loop, struct io_event *ret_events, int events_max, int64_t deadline_ns)
{
    assert(events_max > 0);
    sim__step("loop wait");
    forget_closed(loop);
    if (!sim__one_in(SPURIOUS_ONE_IN) && !has_news(loop) && deadline_ns > sim__world->now_ns)
        sim__wait("loop wait", has_news, loop, deadline_ns);
    forget_closed(loop);
    int count = 0, start = loop->watched_count ? (int)sim__below((uint64_t)loop->watched_count) : 0;
    for (int i = 0; i < loop->watched_count && count < events_max; i++) {
        const struct watched *watched = &loop->watched[(start + i) % loop->watched_count];
        uint32_t events = events_of(watched);
        if (events)
            ret_events[count++] = (struct io_event){watched->context, events};
    }
    return count;
}

bool io_loop_send(struct io_loop *loop, struct io_mail *mail)
{
    sim__step("mail send");
    if (atomic_exchange(&mail->queued, true))
        return false;
    atomic_store(&mail->next, NULL);
    if (loop->first)
        atomic_store(&loop->last->next, mail);
    else
        loop->first = mail;
    loop->last = mail;
    sim__step("mail sent");
    return true;
}

struct io_mail *io_loop_mail(struct io_loop *loop)
{
    sim__step("mail");
    struct io_mail *first = loop->first;
    loop->first = loop->last = NULL;
    return first;
}

struct io_mail *io_mail_take(struct io_mail **chain)
{
    struct io_mail *mail = *chain;
    if (!mail)
        return NULL;
    *chain = atomic_load(&mail->next);
    atomic_store(&mail->queued, false);
    sim__step("mail take");
    return mail;
}
