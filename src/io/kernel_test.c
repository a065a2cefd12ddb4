// SPDX-License-Identifier: Apache-2.0
/* io/kernel_test.c - the kernel's implementation keeps io.h's promises: mail is taken once and in order and wakes who sleeps,
 * events belong to their sockets, the pool runs everything, files say what they hold. Run it under the thread sanitizer too.
 */
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- mail */
enum { SENDERS = 4, LETTERS = 5000 };

struct letter {
    struct io_mail mail; // first
    uint32_t sender, number;
};

struct sender {
    struct io_loop *to;
    struct letter *letters;
};

static void send_all(void *context)
{
    struct sender *sender = context;
    for (int i = 0; i < LETTERS; i++)
        assert_true(io_loop_send(sender->to, &sender->letters[i].mail));
}

/* The receiver sleeps without a deadline whenever its box is empty: a lost wake-up would leave it there. */
static void mail_of_many_threads_is_taken_once_in_each_senders_order(void **state)
{
    struct io_loop *loop = io_loop_create();
    struct sender senders[SENDERS];
    struct io_thread *threads[SENDERS];
    uint32_t next[SENDERS] = {0};
    for (uint32_t s = 0; s < SENDERS; s++) {
        senders[s] = (struct sender){loop, mem_zalloc(LETTERS * sizeof(struct letter))};
        for (uint32_t i = 0; i < LETTERS; i++)
            senders[s].letters[i] = (struct letter){.sender = s, .number = i};
        threads[s] = io_thread_start("sender", send_all, &senders[s]);
    }
    for (int taken = 0; taken < SENDERS * LETTERS;) {
        struct io_event event;
        io_loop_wait(loop, &event, 1, INT64_MAX);
        struct io_mail *chain = io_loop_mail(loop);
        for (struct io_mail *mail; (mail = io_mail_take(&chain)); taken++) {
            const struct letter *letter = (const struct letter *)mail;
            assert_int_equal(letter->number, next[letter->sender]++);
        }
    }
    assert_null(io_loop_mail(loop));
    for (int s = 0; s < SENDERS; s++) {
        io_thread_join(threads[s]);
        mem_free(senders[s].letters);
    }
    io_loop_destroy(loop);
}

static void a_letter_is_queued_once_until_it_is_taken(void **state)
{
    struct io_loop *loop = io_loop_create();
    struct io_mail mail = {.kind = 7};
    assert_true(io_loop_send(loop, &mail));
    assert_false(io_loop_send(loop, &mail));
    struct io_mail *chain = io_loop_mail(loop);
    assert_false(io_loop_send(loop, &mail)); // off the box, but not passed yet
    assert_ptr_equal(io_mail_take(&chain), &mail);
    assert_null(io_mail_take(&chain));
    assert_true(io_loop_send(loop, &mail));
    io_loop_destroy(loop);
}

struct pair {
    struct io_loop *mine, *other;
    struct io_mail mail;
};

static void await_mail(struct io_loop *loop)
{
    struct io_event event;
    for (struct io_mail *chain = NULL; !io_mail_take(&chain); chain = io_loop_mail(loop))
        io_loop_wait(loop, &event, 1, INT64_MAX);
}

static void answer_each(void *context)
{
    struct pair *pair = context;
    for (int i = 0; i < LETTERS; i++) {
        await_mail(pair->mine);
        assert_true(io_loop_send(pair->other, &pair->mail));
    }
}

static void two_threads_wake_each_other_again_and_again(void **state)
{
    struct io_loop *here = io_loop_create(), *there = io_loop_create();
    struct pair pair = {.mine = there, .other = here};
    struct io_mail mail = {.kind = 0};
    struct io_thread *thread = io_thread_start("answers", answer_each, &pair);
    for (int i = 0; i < LETTERS; i++) {
        assert_true(io_loop_send(there, &mail));
        await_mail(here);
    }
    io_thread_join(thread);
    io_loop_destroy(here);
    io_loop_destroy(there);
}

/* ---- sockets */
static int accept_one(int listener, struct io_address *ret_peer)
{
    int socket;
    while ((socket = io_accept(listener, ret_peer, NULL)) == -EAGAIN)
        ;
    assert_true(socket >= 0);
    return socket;
}

static void a_loop_tells_which_socket_may_be_read_or_written(void **state)
{
    struct io_loop *loop = io_loop_create();
    struct io_address bound, peer;
    struct io_event event = {0};
    uint8_t byte = 42;
    int there, listener = io_listen("127.0.0.1", 0, 5, &bound), here = io_connect("127.0.0.1", bound.port);
    assert_true(listener >= 0 && here >= 0 && bound.port != 0);
    io_loop_watch(loop, listener, IO_READABLE, &listener);
    assert_int_equal(io_loop_wait(loop, &event, 1, INT64_MAX), 1);
    assert_ptr_equal(event.context, &listener);
    there = accept_one(listener, &peer);
    assert_string_equal(peer.host, "127.0.0.1");
    io_loop_watch(loop, here, IO_WRITABLE, &here);
    assert_int_equal(io_loop_wait(loop, &event, 1, INT64_MAX), 1);
    assert_ptr_equal(event.context, &here);
    assert_int_equal(event.events, IO_WRITABLE);
    assert_int_equal(io_connect_result(here), 0);
    io_loop_watch(loop, here, 0, NULL);
    assert_int_equal(io_loop_wait(loop, &event, 1, 0), 0); // the listener has nobody, nothing else is watched
    assert_int_equal(io_recv(there, &byte, 1), -EAGAIN);
    io_loop_watch(loop, there, IO_READABLE, &there);
    struct iovec piece = {&byte, 1};
    assert_int_equal(io_sendv(here, &piece, 1, false), 1);
    assert_int_equal(io_loop_wait(loop, &event, 1, INT64_MAX), 1);
    assert_ptr_equal(event.context, &there);
    assert_int_equal(io_recv(there, &byte, 1), 1);
    io_socket_close(here);
    assert_int_equal(io_loop_wait(loop, &event, 1, INT64_MAX), 1);
    assert_true(event.events & IO_READABLE);
    assert_int_equal(io_recv(there, &byte, 1), 0);
    io_socket_close(there);
    io_socket_close(listener);
    io_loop_destroy(loop);
}

static void nobody_listens(void **state)
{
    struct io_address bound;
    struct io_event event;
    int listener = io_listen("127.0.0.1", 0, 5, &bound);
    assert_int_equal(io_listen("127.0.0.1", bound.port, 5, &bound), -EADDRINUSE);
    io_socket_close(listener);
    int here = io_connect("127.0.0.1", bound.port);
    if (here < 0)
        return; // told at once
    struct io_loop *loop = io_loop_create();
    io_loop_watch(loop, here, IO_WRITABLE, NULL);
    io_loop_wait(loop, &event, 1, INT64_MAX);
    assert_int_equal(io_connect_result(here), -ECONNREFUSED);
    io_socket_close(here);
    io_loop_destroy(loop);
}

static void a_deadline_that_has_passed_does_not_wait(void **state)
{
    struct io_loop *loop = io_loop_create();
    struct io_event event;
    int64_t before = io_now_ns();
    assert_int_equal(io_loop_wait(loop, &event, 1, before), 0);
    assert_int_equal(io_loop_wait(loop, &event, 1, before + 1000000), 0);
    assert_true(io_now_ns() >= before + 1000000); // never early
    io_loop_destroy(loop);
}

/* ---- pool and locks */
struct relay_job {
    struct io_job job;
    struct io_pool *pool;
    _Atomic int left;
    _Atomic bool *is_over;
};

/* Goes round the lanes; the last runner's end is what counts. */
static void relay(struct io_job *job)
{
    struct relay_job *own = CONTAINER_OF(job, struct relay_job, job);
    int left = atomic_fetch_sub(&own->left, 1) - 1;
    if (left > 0)
        io_pool_submit(own->pool, (enum io_lane)(left % IO_LANE_COUNT), job);
    else
        atomic_store(own->is_over, true);
}

static void a_pool_is_finished_when_what_its_jobs_submitted_is(void **state)
{
    enum { ROUNDS = 200, LAPS = 9 };
    struct io_pool *pool = io_pool_create((int[IO_LANE_COUNT]){2, 1, 1, 2});
    io_pool_finish(pool); // at once: it has nothing to do
    for (int i = 0; i < ROUNDS; i++) {
        _Atomic bool is_over = false;
        struct relay_job job = {.job = {.run = relay}, .pool = pool, .left = LAPS, .is_over = &is_over};
        io_pool_submit(pool, (enum io_lane)(i % IO_LANE_COUNT), &job.job);
        io_pool_finish(pool);
        assert_true(is_over);
    }
    io_pool_destroy(pool);
}

struct counted_job {
    struct io_job job;
    struct io_lock *lock;
    int *count;
};

static void count_one(struct io_job *job)
{
    struct counted_job *own = CONTAINER_OF(job, struct counted_job, job);
    io_lock_take(own->lock);
    ++*own->count; // the sanitizer would tell if the lock did not hold
    io_lock_release(own->lock);
}

static void a_pool_runs_all_that_was_submitted_before_it_goes(void **state)
{
    enum { JOBS = 2000 };
    struct counted_job *jobs = mem_zalloc(JOBS * sizeof *jobs);
    struct io_lock *lock = io_lock_create();
    int count = 0;
    struct io_pool *pool = io_pool_create((int[IO_LANE_COUNT]){2, 3, 1, 2});
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct counted_job){.job = {.run = count_one}, .lock = lock, .count = &count};
        io_pool_submit(pool, (enum io_lane)(i % IO_LANE_COUNT), &jobs[i].job);
    }
    io_pool_destroy(pool);
    assert_int_equal(count, JOBS);
    assert_true(io_lock_try(lock));
    assert_false(io_lock_try(lock));
    io_lock_release(lock);
    io_lock_destroy(lock);
    mem_free(jobs);
    assert_true(io_cpu_count() >= 1);
}

/* ---- files */
static char directory[64];

static const char *in_directory(const char *name)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", directory, name);
    return path[turn];
}

static int make_directory(void **state)
{
    snprintf(directory, sizeof directory, "/tmp/ottla-io-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static void remove_each(void *context, const char *name)
{
    io_unlink(in_directory(name));
}

static int remove_directory(void **state)
{
    io_list_dir(directory, remove_each, NULL);
    return io_rmdir(directory);
}

static void files_hold_what_was_written(void **state)
{
    char text[32] = {0};
    struct io_stat stat;
    assert_int_equal(io_open(in_directory("a"), IO_READ), -ENOENT);
    int file = io_open(in_directory("a"), IO_WRITE | IO_CREATE | IO_EXCLUSIVE);
    assert_true(file >= 0);
    assert_int_equal(io_open(in_directory("a"), IO_WRITE | IO_CREATE | IO_EXCLUSIVE), -EEXIST);
    char some[] = "some", text_of[] = " text";
    struct iovec pieces[] = {{some, 4}, {text_of, 5}};
    assert_int_equal(io_pwritev(file, pieces, 2, 3), 9);
    assert_int_equal(io_pwrite(file, "abc", 3, 0), 3);
    assert_int_equal(io_pread(file, text, sizeof text, 0), 12);
    assert_string_equal(text, "abcsome text");
    assert_int_equal(io_pread(file, text, sizeof text, 12), 0);
    assert_int_equal(io_file_size(file), 12);
    assert_int_equal(io_allocate(file, 100), 0);
    assert_int_equal(io_file_size(file), 100);
    assert_int_equal(io_truncate(file, 4), 0);
    assert_int_equal(io_fdatasync(file), 0);
    assert_int_equal(io_sync_dir(directory), 0);
    assert_int_equal(io_stat(in_directory("a"), &stat), 0);
    assert_true(stat.exists && !stat.is_directory && stat.size_bytes == 4);
    int64_t now_ms = io_wall_ms();
    assert_true(stat.modified_ms > now_ms - 600000 && stat.modified_ms <= now_ms + 1000);
    io_close(file);
    file = io_open(in_directory("a"), IO_READ | IO_DIRECT_READ);
    int64_t got = io_pread_nowait(file, text, 4, 0);
    assert_true(got == 4 || got == -EAGAIN);
    io_close(file);
    assert_int_equal(io_stat(in_directory("a/b"), &stat), 0);
    assert_false(stat.exists);
    assert_true(io_free_bytes(directory) > 0);
    assert_true(io_total_bytes(directory) >= io_free_bytes(directory));
}

static void count_name(void *context, const char *name)
{
    ++*(int *)context;
    assert_true(strcmp(name, "new") == 0 || strcmp(name, "sub") == 0);
}

static void names_move_and_go(void **state)
{
    int count = 0;
    struct io_stat stat;
    io_close(io_open(in_directory("old"), IO_WRITE | IO_CREATE));
    io_close(io_open(in_directory("new"), IO_WRITE | IO_CREATE));
    assert_int_equal(io_rename(in_directory("old"), in_directory("new")), 0);
    assert_int_equal(io_mkdir(in_directory("sub")), 0);
    assert_int_equal(io_mkdir(in_directory("sub")), -EEXIST);
    assert_int_equal(io_stat(in_directory("sub"), &stat), 0);
    assert_true(stat.is_directory);
    assert_int_equal(io_list_dir(directory, count_name, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(io_rmdir(in_directory("sub")), 0);
    assert_int_equal(io_unlink(in_directory("new")), 0);
    assert_int_equal(io_unlink(in_directory("new")), -ENOENT);
    assert_int_equal(io_list_dir(in_directory("nowhere"), count_name, &count), -ENOENT);
}

/* A POSIX record lock, as Java's: another process is kept out. */
/* Whether the kernel can tell or not: what is called cached is, and what has been dropped or never was is not. */
static void only_what_can_be_read_at_once_is_called_cached(void **state)
{
    enum { SIZE = 300000 };
    char *bytes = mem_zalloc(SIZE);
    int file = io_open(in_directory("cached"), IO_WRITE | IO_CREATE);
    assert_int_equal(io_pwrite(file, bytes, SIZE, 0), SIZE);
    assert_int_equal(io_fdatasync(file), 0);
    if (io_is_cached(file, 5000, 200000))
        assert_int_equal(io_pread_nowait(file, bytes, 200000, 5000), 200000);
    assert_false(io_is_cached(file, SIZE - 10, 1 << 20)); // the file has no such end
    assert_false(io_is_cached(file, 1 << 20, 10));
    assert_int_equal(io_fadvise_cold(file, 0, 0), 0);
    if (io_is_cached(file, 5000, 200000)) // where nothing was dropped
        assert_int_equal(io_pread_nowait(file, bytes, 200000, 5000), 200000);
    io_close(file);
    mem_free(bytes);
}

static void a_locked_file_keeps_other_processes_out(void **state)
{
    int file = io_open(in_directory("lock"), IO_WRITE | IO_CREATE), status;
    assert_int_equal(io_lock_file(file), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(io_lock_file(io_open(in_directory("lock"), IO_WRITE)) == -EAGAIN ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    io_close(file);
    child = fork();
    if (child == 0)
        _exit(io_lock_file(io_open(in_directory("lock"), IO_WRITE)) == 0 ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_file_is_sent_through_a_socket(void **state)
{
    struct io_address bound;
    char text[8] = {0};
    int file = io_open(in_directory("f"), IO_WRITE | IO_CREATE);
    assert_int_equal(io_pwrite(file, "0123456789", 10, 0), 10);
    int listener = io_listen("127.0.0.1", 0, 5, &bound), here = io_connect("127.0.0.1", bound.port);
    int there = accept_one(listener, NULL);
    assert_int_equal(io_sendfile(there, file, 3, 4), 4);
    assert_int_equal(io_sendfile(there, file, 10, 4), 0); // the file's end
    for (size_t got = 0; got < 4;) {
        int64_t more = io_recv(here, text + got, sizeof text - got);
        assert_true(more > 0 || more == -EAGAIN);
        got += more > 0 ? (size_t)more : 0;
    }
    assert_string_equal(text, "3456");
    io_socket_close(here);
    io_socket_close(there);
    io_socket_close(listener);
    io_close(file);
}

static void random_bytes_differ(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0};
    io_random(a, sizeof a);
    io_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
#define IN_DIRECTORY(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_of_many_threads_is_taken_once_in_each_senders_order),
        cmocka_unit_test(a_letter_is_queued_once_until_it_is_taken),
        cmocka_unit_test(two_threads_wake_each_other_again_and_again),
        cmocka_unit_test(a_loop_tells_which_socket_may_be_read_or_written),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(a_deadline_that_has_passed_does_not_wait),
        cmocka_unit_test(a_pool_runs_all_that_was_submitted_before_it_goes),
        cmocka_unit_test(a_pool_is_finished_when_what_its_jobs_submitted_is),
        IN_DIRECTORY(files_hold_what_was_written),
        IN_DIRECTORY(only_what_can_be_read_at_once_is_called_cached),
        IN_DIRECTORY(names_move_and_go),
        IN_DIRECTORY(a_locked_file_keeps_other_processes_out),
        IN_DIRECTORY(a_file_is_sent_through_a_socket),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
