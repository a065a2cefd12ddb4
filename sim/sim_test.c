// SPDX-License-Identifier: Apache-2.0
/* sim/sim_test.c - the simulator keeps its own promises: a seed replays, what was synced survives, what was not may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/io.h"
#include "io/sim.h"

#include <errno.h>

enum { SEEDS = 60 };
static const int64_t MINUTE_NS = 60000000000;

static int write_file(const char *path, const char *text)
{
    int file = io_open(path, IO_WRITE | IO_CREATE);
    assert_true(file >= 0);
    assert_int_equal(io_pwrite(file, text, strlen(text), 0), strlen(text));
    return file;
}

static bool file_holds(const char *path, const char *text)
{
    char data[64] = {0};
    int file = io_open(path, IO_READ);
    if (file < 0)
        return false;
    int64_t size = io_pread(file, data, sizeof data, 0);
    io_close(file);
    return size == (int64_t)strlen(text) && memcmp(data, text, strlen(text)) == 0;
}

static bool exists(const char *path)
{
    struct io_stat stat;
    io_stat(path, &stat);
    return stat.exists;
}

/* How many of SEEDS worlds satisfy `check` after `act` and a power cut. */
static int survivors(void (*act)(void *), bool (*check)(void))
{
    int count = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_world *world = sim_world_create(seed, NULL);
        assert_int_equal(sim_run(world, act, NULL, MINUTE_NS), SIM_DONE);
        sim_crash(world, SIM_POWER_CUT);
        count += check();
        sim_world_destroy(world);
    }
    return count;
}

/* ---- determinism */
struct chatter {
    struct io_lock *lock;
    int count;
};

static void chat(void *context)
{
    struct chatter *chatter = context;
    for (int i = 0; i < 50; i++) {
        io_lock_take(chatter->lock);
        chatter->count++;
        io_lock_release(chatter->lock);
    }
}

static void two_threads(void *context)
{
    struct chatter *chatter = context;
    chatter->lock = io_lock_create();
    struct io_thread *one = io_thread_start("one", chat, chatter), *two = io_thread_start("two", chat, chatter);
    io_thread_join(one);
    io_thread_join(two);
    io_lock_destroy(chatter->lock);
    assert_int_equal(chatter->count, 100);
}

static uint64_t trace_of(uint64_t seed)
{
    struct chatter chatter = {0};
    struct sim_world *world = sim_world_create(seed, NULL);
    assert_int_equal(sim_run(world, two_threads, &chatter, MINUTE_NS), SIM_DONE);
    uint64_t trace = sim_trace(world);
    sim_world_destroy(world);
    return trace;
}

static void a_seed_replays_and_another_differs(void **state)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        assert_true(trace_of(seed) == trace_of(seed));
        assert_false(trace_of(seed) == trace_of(seed + 1));
    }
}

/* ---- durability of contents */
static void write_synced_name(void *context)
{
    int file = write_file("/f", "precious");
    io_sync_dir("/");
    io_close(file);
}

static void write_synced_all(void *context)
{
    int file = write_file("/f", "precious");
    assert_int_equal(io_fdatasync(file), 0);
    assert_int_equal(io_sync_dir("/"), 0);
    io_close(file);
}

static void write_synced_data(void *context)
{
    int file = write_file("/f", "precious");
    assert_int_equal(io_fdatasync(file), 0);
    io_close(file);
}

static bool is_precious(void)
{
    return file_holds("/f", "precious");
}

static bool is_there(void)
{
    return exists("/f");
}

static void what_was_synced_survives(void **state)
{
    assert_int_equal(survivors(write_synced_all, is_precious), SEEDS);
}

static void unsynced_data_may_be_lost_and_may_survive(void **state)
{
    int count = survivors(write_synced_name, is_precious);
    assert_in_range(count, 1, SEEDS - 1);
}

static void a_synced_file_needs_its_name_synced_too(void **state)
{
    int count = survivors(write_synced_data, is_there);
    assert_in_range(count, 1, SEEDS - 1);
}

/* ---- durability of names */
static void replace_by_rename(void *context)
{
    write_synced_all(NULL);
    int file = write_file("/f.new", "later");
    assert_int_equal(io_fdatasync(file), 0);
    io_close(file);
    assert_int_equal(io_rename("/f.new", "/f"), 0);
    if (context)
        assert_int_equal(io_sync_dir("/"), 0);
}

static void replace_by_rename_synced(void *context)
{
    bool sync = true;
    replace_by_rename(&sync);
}

static bool is_later(void)
{
    return file_holds("/f", "later");
}

static bool is_one_of_both(void)
{
    return is_later() || is_precious();
}

static void a_rename_needs_the_directory_synced(void **state)
{
    int count = survivors(replace_by_rename, is_later);
    assert_in_range(count, 1, SEEDS - 1);
    assert_int_equal(survivors(replace_by_rename_synced, is_later), SEEDS);
}

static void a_rename_is_atomic(void **state)
{
    assert_int_equal(survivors(replace_by_rename, is_one_of_both), SEEDS);
}

static void write_two_sectors(void *context)
{
    char bytes[1024];
    memset(bytes, 'x', sizeof bytes);
    int file = io_open("/t", IO_WRITE | IO_CREATE);
    assert_int_equal(io_allocate(file, sizeof bytes), 0);
    io_fdatasync(file);
    io_sync_dir("/");
    assert_int_equal(io_pwrite(file, bytes, sizeof bytes, 0), sizeof bytes);
    io_close(file);
}

static bool is_torn(void)
{
    char bytes[1024];
    int file = io_open("/t", IO_READ);
    assert_int_equal(io_pread(file, bytes, sizeof bytes, 0), sizeof bytes);
    io_close(file);
    for (int s = 0; s < 2; s++) // never inside a sector
        assert_true(bytes[s * 512] == bytes[s * 512 + 511]);
    return bytes[0] != bytes[512];
}

static void a_write_tears_at_sectors(void **state)
{
    assert_in_range(survivors(write_two_sectors, is_torn), 1, SEEDS - 1);
}

static void a_kill_keeps_the_page_cache(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_world *world = sim_world_create(seed, NULL);
        assert_int_equal(sim_run(world, write_synced_name, NULL, MINUTE_NS), SIM_DONE);
        sim_crash(world, SIM_KILL);
        assert_true(is_precious());
        sim_world_destroy(world);
    }
}

/* ---- a failed sync */
static void sync_twice(void *context)
{
    int file = write_file("/f", "precious");
    io_sync_dir("/");
    struct sim_world *world = context;
    sim_faults_set(world, &(struct sim_faults){.sync_error = 1});
    assert_int_equal(io_fdatasync(file), -EIO);
    sim_faults_set(world, NULL);
    assert_int_equal(io_fdatasync(file), 0); // says so, and has saved nothing
    io_close(file);
}

static void a_sync_after_a_failed_one_has_saved_nothing(void **state)
{
    int count = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_world *world = sim_world_create(seed, NULL);
        assert_int_equal(sim_run(world, sync_twice, world, MINUTE_NS), SIM_DONE);
        assert_true(is_precious());
        sim_crash(world, SIM_POWER_CUT);
        count += is_precious();
        sim_world_destroy(world);
    }
    assert_in_range(count, 1, SEEDS - 1);
}

static void write_too_much(void *context)
{
    char bytes[4096] = {0};
    int file = io_open("/f", IO_WRITE | IO_CREATE);
    assert_int_equal(io_pwrite(file, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(io_pwrite(file, bytes, sizeof bytes, sizeof bytes), 1904);
    assert_int_equal(io_pwrite(file, bytes, sizeof bytes, 6000), -ENOSPC);
    assert_int_equal(io_free_bytes("/"), 0);
    io_close(file);
}

static void a_full_disk_writes_short_then_refuses(void **state)
{
    struct sim_world *world = sim_world_create(1, &(struct sim_faults){.disk_bytes_max = 6000});
    assert_int_equal(sim_run(world, write_too_much, NULL, MINUTE_NS), SIM_DONE);
    sim_world_destroy(world);
}

/* ---- waiting */
static void wait_for_nobody(void *context)
{
    struct io_loop *loop = io_loop_create();
    struct io_event event;
    for (;;)
        io_loop_wait(loop, &event, 1, INT64_MAX);
}

static void waiting_for_ever_is_reported(void **state)
{
    struct sim_world *world = sim_world_create(1, NULL);
    assert_int_equal(sim_run(world, wait_for_nobody, NULL, MINUTE_NS), SIM_DEADLOCK);
    sim_world_destroy(world);
}

static void sleep_an_hour(void *context)
{
    int64_t before = io_now_ms();
    sim_sleep_ns(60 * MINUTE_NS);
    assert_in_range(io_now_ms() - before, 3600000, 3600001);
}

static void the_clock_jumps_when_all_wait(void **state)
{
    struct sim_world *world = sim_world_create(1, NULL);
    assert_int_equal(sim_run(world, sleep_an_hour, NULL, 61 * MINUTE_NS), SIM_DONE);
    sim_world_destroy(world);
}

struct postbox {
    struct io_loop *loop;
    struct io_mail mail[20];
};

static void post(void *context)
{
    struct postbox *box = context;
    for (uint32_t i = 0; i < COUNT_OF(box->mail); i++) {
        box->mail[i].kind = i;
        assert_true(io_loop_send(box->loop, &box->mail[i]));
        sim_sleep_ns(100000);
    }
}

static void read_post(void *context)
{
    struct postbox box = {.loop = io_loop_create()};
    struct io_event event;
    struct io_thread *sender = io_thread_start("post", post, &box);
    for (uint32_t expected = 0; expected < COUNT_OF(box.mail);) {
        io_loop_wait(box.loop, &event, 1, INT64_MAX);
        struct io_mail *chain = io_loop_mail(box.loop);
        for (struct io_mail *mail; (mail = io_mail_take(&chain));)
            assert_int_equal(mail->kind, expected++);
    }
    io_thread_join(sender);
    io_loop_destroy(box.loop);
}

static void mail_arrives_in_order(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_world *world = sim_world_create(seed, NULL);
        assert_int_equal(sim_run(world, read_post, NULL, MINUTE_NS), SIM_DONE);
        sim_world_destroy(world);
    }
}

/* ---- network and crashes */
enum { PORT = 9092, BYTES = 100000 };

static void serve_bytes(void *context)
{
    struct io_loop *loop = io_loop_create();
    struct io_event event;
    int listener = io_listen("127.0.0.1", PORT, 10, NULL), socket;
    mem_alloc(1000); // a crash frees it
    io_loop_watch(loop, listener, IO_READABLE, NULL);
    while ((socket = io_accept(listener, NULL, NULL)) == -EAGAIN)
        io_loop_wait(loop, &event, 1, INT64_MAX);
    io_loop_watch(loop, socket, IO_WRITABLE, NULL);
    uint8_t bytes[1000];
    for (int sent = 0; sent < BYTES;) {
        for (int i = 0; i < (int)sizeof bytes; i++)
            bytes[i] = (uint8_t)((sent + i) % 251);
        struct iovec piece = {bytes, (size_t)min_i64(sizeof bytes, BYTES - sent)};
        int64_t result = io_sendv(socket, &piece, 1, false);
        if (result > 0)
            sent += (int)result;
        else if (result == -EAGAIN)
            io_loop_wait(loop, &event, 1, INT64_MAX);
        else
            break;
    }
    io_socket_close(socket);
    io_socket_close(listener);
    io_loop_destroy(loop);
}

struct reader {
    int received;
    int64_t result;
};

static void receive_bytes(void *context)
{
    struct reader *reader = context;
    struct io_loop *loop = io_loop_create();
    struct io_event event;
    sim_sleep_ns(1000000);
    int socket = io_connect("127.0.0.1", PORT);
    io_loop_watch(loop, socket, IO_READABLE, NULL);
    for (;;) {
        uint8_t bytes[777];
        reader->result = io_recv(socket, bytes, sizeof bytes);
        for (int i = 0; i < reader->result; i++)
            assert_int_equal(bytes[i], (reader->received + i) % 251);
        if (reader->result > 0)
            reader->received += (int)reader->result;
        else if (reader->result == -EAGAIN)
            io_loop_wait(loop, &event, 1, INT64_MAX);
        else
            break;
    }
    io_socket_close(socket);
    io_loop_destroy(loop);
}

static void bytes_arrive_whole_and_in_order(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct reader reader = {0};
        struct sim_world *world =
            sim_world_create(seed, &(struct sim_faults){.net_partial = 3, .net_delay_ns_max = 20000000});
        sim_client(world, "reader", receive_bytes, &reader);
        assert_int_equal(sim_run(world, serve_bytes, NULL, MINUTE_NS), SIM_DONE);
        assert_int_equal(sim_run(world, NULL, NULL, MINUTE_NS), SIM_DONE);
        assert_int_equal(reader.received, BYTES);
        assert_int_equal(reader.result, 0);
        sim_world_destroy(world);
    }
}

static void a_crash_ends_the_broker_and_clients_see_it(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct reader reader = {0};
        struct sim_world *world = sim_world_create(seed, &(struct sim_faults){.net_delay_ns_max = 20000000});
        sim_client(world, "reader", receive_bytes, &reader);
        sim_crash_after(world, 30, SIM_POWER_CUT);
        assert_int_equal(sim_run(world, serve_bytes, NULL, MINUTE_NS), SIM_CRASHED);
        assert_int_equal(sim_broker_allocations(world), 0);
        assert_int_equal(sim_run(world, NULL, NULL, MINUTE_NS), SIM_DONE);
        assert_true(reader.received < BYTES);
        sim_world_destroy(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_replays_and_another_differs),
        cmocka_unit_test(what_was_synced_survives),
        cmocka_unit_test(unsynced_data_may_be_lost_and_may_survive),
        cmocka_unit_test(a_synced_file_needs_its_name_synced_too),
        cmocka_unit_test(a_rename_needs_the_directory_synced),
        cmocka_unit_test(a_rename_is_atomic),
        cmocka_unit_test(a_write_tears_at_sectors),
        cmocka_unit_test(a_kill_keeps_the_page_cache),
        cmocka_unit_test(a_sync_after_a_failed_one_has_saved_nothing),
        cmocka_unit_test(a_full_disk_writes_short_then_refuses),
        cmocka_unit_test(waiting_for_ever_is_reported),
        cmocka_unit_test(the_clock_jumps_when_all_wait),
        cmocka_unit_test(mail_arrives_in_order),
        cmocka_unit_test(bytes_arrive_whole_and_in_order),
        cmocka_unit_test(a_crash_ends_the_broker_and_clients_see_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
