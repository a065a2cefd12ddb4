// SPDX-License-Identifier: Apache-2.0
/* sim/compact_sim_test.c - compaction under power cuts and kills at any call: whatever life it was interrupted in, the log
 * opens, every record in it is one that was written, at its offset, and of each key the newest flushed one is there.
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
#include <stdlib.h>

enum { LIVES = 6, KEYS = 12, LOST = 255, OFFSETS_MAX = 20000, CRASH_STEPS_MAX = 1500 };
static const int64_t MINUTE_NS = 60000000000, WALL_MS = 1700000000000;

/* What lives outside the broker. */
static struct witness {
    struct random random;
    int64_t flushed, first_dirty;
    uint8_t key_at[OFFSETS_MAX]; // of what was appended there last; LOST: never flushed, and not there any more
    bool is_there[OFFSETS_MAX];
    uint64_t compactions;
    bool wrong;
    char why[160];
} witness;

static void blame(const char *why, int64_t a, int64_t b)
{
    if (!witness.wrong)
        snprintf(witness.why, sizeof witness.why, "%s (%lld, %lld)", why, (long long)a, (long long)b);
    witness.wrong = true;
}

static const struct log_config CONFIG = {.segment_bytes = 1500,
                                         .segment_ms = INT64_MAX / 2,
                                         .segment_index_bytes = 1 << 20,
                                         .index_interval_bytes = 300,
                                         .retention_ms = -1,
                                         .retention_bytes = -1,
                                         .file_delete_delay_ms = 0,
                                         .max_compaction_lag_ms = INT64_MAX,
                                         .producer_id_expiration_ms = INT64_MAX / 2,
                                         .cleanup_compact = true};

static struct status append(struct log *log)
{
    struct record_builder builder = {0};
    record_builder_begin(&builder);
    int count = 1 + (int)random_below(&witness.random, 4);
    int64_t end = log_end_offset(log);
    for (int i = 0; i < count; i++) {
        char key[4], value[16];
        int64_t offset = end + i;
        witness.key_at[offset] = (uint8_t)random_below(&witness.random, KEYS);
        snprintf(key, sizeof key, "%d", witness.key_at[offset]);
        snprintf(value, sizeof value, "%lld", (long long)offset);
        record_builder_add(&builder, WALL_MS, slice_str(key), slice_str(value));
    }
    struct slice bytes = record_builder_finish(&builder, 0, -1, -1, -1);
    struct log_batch batch = {.bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size},
                     *batches[] = {&batch};
    record_facts_read(bytes, &batch.facts);
    struct status s = STATUS_OK;
    if (log_roll_is_due(log, batch.size_bytes, WALL_MS, WALL_MS))
        s = log_roll(log);
    if (status_is_ok(s))
        s = log_append(log, batches, 1, 0, WALL_MS);
    record_builder_free(&builder);
    return s;
}

static struct status compact(struct log *log)
{
    struct log_compaction_options options = {
        .limit_offset = log_flushed_offset(log), .now_ms = WALL_MS, .map_bytes_max = 1 << 16, .map_load_factor = 0.9};
    struct log_compaction *compaction;
    TRY(log_compaction_begin(log, &options, &compaction));
    struct status s = STATUS_OK;
    bool done = compaction == NULL;
    int64_t bytes;
    while (!done && status_is_ok(s))
        s = log_compaction_step(compaction, 300, &bytes, &done);
    if (status_is_ok(s) && compaction)
        s = log_compaction_end(compaction, WALL_MS);
    witness.compactions += compaction != NULL;
    log_compaction_free(compaction);
    witness.first_dirty =
        log_first_dirty_offset(log); // as the broker's checkpoint: it may be lost, never ahead of the log
    return status_is_ok(s) ? log_retain(log, 0, WALL_MS) : s;
}

static void check_batch(struct slice batch, int64_t newest[KEYS], int64_t *next_offset)
{
    struct record_walk walk;
    struct record record;
    if (!record_batch_is_intact(batch) || record_batch_base_offset(batch.data) < *next_offset)
        blame("a batch is broken or out of order", record_batch_base_offset(batch.data), *next_offset);
    record_walk_begin(&walk, batch);
    while (record_walk_next(&walk, &record)) {
        int key = record.offset < OFFSETS_MAX ? witness.key_at[record.offset] : -1;
        char expected[24];
        snprintf(expected, sizeof expected, "%d=%lld", key, (long long)record.offset);
        char found[48];
        snprintf(found, sizeof found, "%.*s=%.*s", (int)record.key.size, (const char *)record.key.data,
                 (int)record.value.size, (const char *)record.value.data);
        if (strcmp(expected, found) != 0)
            blame("a record is not what was written there", record.offset, key);
        else
            newest[key] = record.offset;
        if (record.offset < OFFSETS_MAX)
            witness.is_there[record.offset] = true;
    }
    record_walk_end(&walk);
    *next_offset = record_batch_next_offset(batch.data);
}

static void check_all(struct log *log)
{
    int64_t newest[KEYS], wanted[KEYS], next = 0;
    for (int key = 0; key < KEYS; key++)
        newest[key] = wanted[key] = -1;
    for (int64_t offset = 0; offset < log_end_offset(log) && !witness.wrong;) {
        struct log_slice slice;
        if (log_read(log, offset, log_end_offset(log), 700, true, &slice) != LOG_READ_OK) {
            blame("unreadable", offset, log_end_offset(log));
            return;
        }
        if (!slice.segment)
            break;
        uint8_t bytes[8192];
        int64_t got = 0;
        for (int64_t more = 1; got < slice.size_bytes && more > 0; got += more)
            more = io_pread(slice.file, bytes + got, slice.size_bytes - (size_t)got, slice.position + got);
        struct slice rest = slice_of(bytes, slice.size_bytes), batch;
        while (record_batch_next(&rest, &batch))
            check_batch(batch, newest, &next);
        offset = slice.next_offset;
        log_slice_release(&slice);
    }
    for (int64_t offset = 0; offset < witness.flushed; offset++)
        if (witness.key_at[offset] != LOST)
            wanted[witness.key_at[offset]] = offset;
    for (int key = 0; key < KEYS; key++)
        if (newest[key] < wanted[key])
            blame("the newest record of a key is gone", wanted[key], newest[key]);
}

static void broker(void *context)
{
    (void)context;
    struct log_open_options options = {.directory = "/t-0",
                                       .config = &CONFIG,
                                       .first_dirty_offset = witness.first_dirty,
                                       .flushed_offset = witness.flushed,
                                       .now_ms = WALL_MS};
    struct log *log;
    struct status s = log_open(&options, &log);
    if (!status_is_ok(s)) {
        blame(s.what, s.error, witness.flushed);
        return;
    }
    if (log_end_offset(log) < witness.flushed)
        blame("a flushed record is gone", log_end_offset(log), witness.flushed);
    memset(witness.is_there, 0, sizeof witness.is_there);
    check_all(log);
    for (int64_t offset = witness.flushed; offset < log_end_offset(log); offset++)
        if (!witness.is_there[offset])
            witness.key_at[offset] = LOST;
    for (int i = 0; i < 120 && status_is_ok(s) && !witness.wrong; i++) {
        s = append(log);
        int64_t flushed;
        if (status_is_ok(s) && random_below(&witness.random, 3) == 0 && status_is_ok(s = log_flush(log, &flushed)))
            witness.flushed = flushed;
        if (status_is_ok(s) && random_below(&witness.random, 15) == 0)
            s = compact(log);
        if (status_is_ok(s) && random_below(&witness.random, 25) == 0)
            check_all(log);
    }
    if (!status_is_ok(s))
        blame(s.what, s.error, 0);
    log_free(log);
}

static void lives(uint64_t seed, const struct sim_faults *faults)
{
    witness = (struct witness){0};
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
}

static void what_is_newest_survives_every_crash(void **state)
{
    (void)state;
    uint64_t compactions = 0;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        lives(seed, NULL);
        compactions += witness.compactions;
        if (witness.wrong)
            fail_msg("seed %llu: %s", (unsigned long long)seed, witness.why);
    }
    assert_true(compactions > 2000);
}

/* The test can see the failure that it is for. */
static void a_disk_that_lies_is_caught(void **state)
{
    (void)state;
    struct sim_faults names = {.sync_dir_lies = true}, bytes = {.sync_lies = true};
    int caught_by_name = 0, caught = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        lives(seed, &names);
        caught_by_name += witness.wrong;
        lives(seed, &bytes);
        caught += witness.wrong;
    }
    assert_true(caught_by_name > 0);
    assert_true(caught > 0);
}

static void quiet(void *context, const char *line, size_t size)
{
    (void)context;
    (void)line;
    (void)size;
}

int main(void)
{
    log_sink_set(quiet, NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_newest_survives_every_crash),
                                       cmocka_unit_test(a_disk_that_lies_is_caught)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
