// SPDX-License-Identifier: Apache-2.0
/* sim/log_sim_test.c - a log on a disk that tears, loses and reorders what was not synced, under power cuts and kills at any
 * call: what was flushed is there afterwards, once and in order, the log opens, and its producers go on.
 *
 * The harness remembers what the broker was told (flushed offset, recovery point), as a client remembers its
 * acknowledgements; the flushed mark given at opening is one that lags behind, as the broker's file of marks does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/io.h"
#include "io/sim.h"
#include "storage/storage.h"

#include <errno.h>

enum { LIVES = 5, PRODUCER = 7, CRASH_STEPS_MAX = 600 };
static const int64_t MINUTE_NS = 60000000000, WALL_MS = 1700000000000;

/* What lives outside the broker. */
static struct witness {
    struct random random;
    int64_t flushed, recovery_point;
    bool wrong, was_offline, disk_fails;
    char why[160];
} witness;

static void blame(const char *why, int64_t a, int64_t b)
{
    if (!witness.wrong)
        snprintf(witness.why, sizeof witness.why, "%s (%lld, %lld)", why, (long long)a, (long long)b);
    witness.wrong = true;
}

static const struct log_config CONFIG = {.segment_bytes = 2000,
                                         .segment_ms = INT64_MAX / 2,
                                         .segment_index_bytes = 1 << 20,
                                         .index_interval_bytes = 300,
                                         .retention_ms = -1,
                                         .retention_bytes = -1,
                                         .file_delete_delay_ms = 60000,
                                         .producer_id_expiration_ms = INT64_MAX / 2,
                                         .cleanup_delete = true};

static struct status append(struct log *log, int32_t sequence, int count, struct log_batch *ret_batch)
{
    struct record_builder builder = {0};
    record_builder_begin(&builder);
    for (int i = 0; i < count; i++)
        record_builder_add(&builder, WALL_MS, SLICE_NULL, slice_str("some value"));
    struct slice bytes = record_builder_finish(&builder, 0, PRODUCER, 0, sequence);
    *ret_batch = (struct log_batch){
        .bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size, .from_client = true};
    record_facts_read(bytes, &ret_batch->facts);
    struct log_batch *batches[] = {ret_batch};
    struct status s = STATUS_OK;
    if (log_roll_is_due(log, ret_batch->size_bytes, WALL_MS, WALL_MS))
        s = log_roll(log);
    if (status_is_ok(s))
        s = log_append(log, batches, 1, 0, WALL_MS);
    record_builder_free(&builder);
    return s;
}

/* The flusher's thread. */
struct flusher {
    struct log *log;
    _Atomic bool stop;
};

static void flusher_run(void *context)
{
    struct flusher *flusher = context;
    while (!atomic_load(&flusher->stop)) {
        int64_t flushed;
        if (!status_is_ok(log_flush(flusher->log, &flushed)))
            return;
        if (flushed < witness.flushed)
            blame("the flushed offset went back", flushed, witness.flushed);
        witness.flushed = flushed;
        sim_sleep_ns(1000000);
    }
}

/* Every batch is intact, and the offsets have no hole: one record is one sequence number here. */
static void check_all(struct log *log)
{
    for (int64_t offset = 0; offset < log_end_offset(log);) {
        struct log_slice slice;
        if (log_read(log, offset, log_end_offset(log), 700, true, &slice) != LOG_READ_OK || !slice.segment) {
            blame("unreadable", offset, log_end_offset(log));
            return;
        }
        uint8_t bytes[4096];
        int64_t got = 0;
        for (int64_t more = 1; got < slice.size_bytes && more > 0; got += more)
            more = io_pread(slice.file, bytes + got, slice.size_bytes - (size_t)got, slice.position + got);
        struct slice rest = slice_of(bytes, slice.size_bytes), batch;
        while (record_batch_next(&rest, &batch)) {
            if (!record_batch_is_intact(batch) || record_batch_base_offset(batch.data) != offset ||
                record_batch_base_sequence(batch.data) != (int32_t)offset)
                blame("a batch is not what was sent", offset, record_batch_base_offset(batch.data));
            offset = record_batch_next_offset(batch.data);
        }
        log_slice_release(&slice);
    }
}

static void live(struct log *log)
{
    struct flusher flusher = {.log = log};
    struct io_thread *thread = io_thread_start("flusher", flusher_run, &flusher);
    for (int i = 0; i < 40; i++) {
        struct log_batch batch;
        int64_t end = log_end_offset(log);
        struct status s = append(log, (int32_t)end, 1 + (int)random_below(&witness.random, 5), &batch);
        if (!status_is_ok(s))
            break;
        if (batch.error != 0 || batch.duplicate || batch.base_offset != end)
            blame("the next sequence was refused", batch.error, batch.base_offset);
        if (random_below(&witness.random, 8) == 0) {
            if (!status_is_ok(log_checkpoint(log)))
                break;
            witness.recovery_point = log_recovery_point(log);
        }
        sim_sleep_ns((int64_t)random_below(&witness.random, 2000000));
    }
    witness.was_offline |= log_is_offline(log);
    atomic_store(&flusher.stop, true);
    io_thread_join(thread);
}

static void broker(void *context)
{
    (void)context;
    int64_t promised = witness.flushed;
    struct log_open_options options = {.directory = "/t-0",
                                       .config = &CONFIG,
                                       .recovery_point = witness.recovery_point,
                                       .flushed_offset = promised,
                                       .now_ms = WALL_MS};
    struct log *log;
    struct status s = log_open(&options, &log);
    if (!status_is_ok(s)) {
        if (!witness.disk_fails || strncmp(s.what, "recover a", strlen("recover a")) == 0)
            blame(s.what, s.error, promised);
        return;
    }
    if (log_end_offset(log) < promised)
        blame("a flushed record is gone", log_end_offset(log), promised);
    check_all(log);
    live(log);
    log_free(log);
}

static void lives(uint64_t seed, const struct sim_faults *faults)
{
    witness = (struct witness){.disk_fails = faults && (faults->sync_error || faults->write_error)};
    random_seed(&witness.random, seed);
    struct sim_world *world = sim_world_create(seed, faults);
    for (int life = 0; life < LIVES && !witness.wrong; life++) {
        bool power_cut = random_below(&witness.random, 3) > 0;
        sim_crash_after(world, 1 + random_below(&witness.random, CRASH_STEPS_MAX),
                        power_cut ? SIM_POWER_CUT : SIM_KILL);
        enum sim_end end = sim_run(world, broker, NULL, MINUTE_NS);
        if (end != SIM_CRASHED && end != SIM_DONE)
            blame("the broker hangs", (int64_t)end, life);
    }
    sim_crash_after(world, 0, SIM_KILL);
    sim_world_destroy(world);
    if (witness.wrong && !(faults && (faults->sync_lies || faults->sync_dir_lies)))
        fail_msg("seed %llu: %s", (unsigned long long)seed, witness.why);
}

static void what_was_flushed_survives_every_crash(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 1000; seed++)
        lives(seed, NULL);
}

static void short_reads_and_writes_change_nothing(void **state)
{
    (void)state;
    struct sim_faults faults = {.short_io = 3};
    for (uint64_t seed = 1; seed <= 500; seed++)
        lives(seed, &faults);
}

/* After a failed sync the page cache holds what the disk does not: it is not believed by the next start either. */
static void failed_writes_and_syncs_lose_nothing_that_was_flushed(void **state)
{
    (void)state;
    struct sim_faults faults = {.sync_error = 12, .write_error = 60};
    int offline = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        lives(seed, &faults);
        offline += witness.was_offline;
    }
    assert_true(offline > 0);
}

/* The test can see the failure that it is for. */
static void a_disk_that_lies_is_caught(void **state)
{
    (void)state;
    struct sim_faults faults = {.sync_lies = true}, directories = {.sync_dir_lies = true};
    int caught = 0, caught_by_name = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        lives(seed, &faults);
        caught += witness.wrong;
        lives(seed, &directories);
        caught_by_name += witness.wrong;
    }
    assert_true(caught > 0);
    assert_true(caught_by_name > 0);
}

static void quiet(void *context, const char *line, size_t size)
{
    (void)context;
    (void)line;
    (void)size;
}

/* ---- recovery's count */
struct countdown {
    struct sim_world *world;
    _Atomic int32_t left;
    int32_t told[16];
    int told_count;
};

static void note_left(void *context, const char *thread, const char *where)
{
    struct countdown *countdown = context;
    int32_t left = atomic_load(&countdown->left);
    if (countdown->told_count == 0 || countdown->told[countdown->told_count - 1] != left)
        countdown->told[countdown->told_count++] = left;
    assert(countdown->told_count < (int)COUNT_OF(countdown->told));
}

static void must(struct status s)
{
    assert(status_is_ok(s));
}

static void fill_and_recover(void *context)
{
    struct countdown *countdown = context;
    struct log_open_options options = {.directory = "/t-0",
                                       .config = &CONFIG,
                                       .flushed_offset = -1,
                                       .now_ms = WALL_MS,
                                       .segments_left = &countdown->left};
    struct log *log;
    struct log_batch batch;
    must(log_open(&options, &log));
    for (int32_t i = 0; i < 5; i++) {
        must(append(log, i, 1, &batch));
        if (i < 4)
            must(log_roll(log));
    }
    log_free(log);
    sim_watch_steps(countdown->world, note_left, countdown);
    must(log_open(&options, &log));
    sim_watch_steps(countdown->world, NULL, NULL);
    log_free(log);
}

static void recovery_counts_down_the_segments_that_are_left(void **state)
{
    static const int32_t EXPECTED[] = {0, 5, 4, 3, 2, 1, 0};
    struct countdown countdown = {.world = sim_world_create(1, NULL)};
    assert_int_equal(sim_run(countdown.world, fill_and_recover, &countdown, MINUTE_NS), SIM_DONE);
    assert_int_equal(countdown.told_count, COUNT_OF(EXPECTED));
    assert_memory_equal(countdown.told, EXPECTED, sizeof EXPECTED);
    sim_world_destroy(countdown.world);
}

int main(void)
{
    log_sink_set(quiet, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_flushed_survives_every_crash),
        cmocka_unit_test(short_reads_and_writes_change_nothing),
        cmocka_unit_test(failed_writes_and_syncs_lose_nothing_that_was_flushed),
        cmocka_unit_test(a_disk_that_lies_is_caught),
        cmocka_unit_test(recovery_counts_down_the_segments_that_are_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
