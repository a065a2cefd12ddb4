// SPDX-License-Identifier: Apache-2.0
/* sim/full_sim_test.c - a log on a disk that is full: what found no space leaves no trace, and is taken when tried again.
 *
 * One idempotent producer sends batch after batch, and the same one again after a refusal. Each time the disk is full it gets
 * a little more room, so that the end of the space falls into batches, index entries, epochs and new segments in turn.
 */
#include "io/io.h"
#include "io/sim.h"
#include "record/record.h"
#include "storage/storage.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    BATCHES = 400,
    VALUE_BYTES = 700,
    DISK_BYTES = 20000,
    MORE_BYTES_MAX = 3000,
    LITTLE_BYTES_MAX = 40,
    EPOCH_BATCHES = 7,
    SEEDS = 40
};
static const int64_t MINUTE_NS = 60000000000;

static void assert_ok(struct status s)
{
    if (!status_is_ok(s))
        fail_msg("%s: %s", s.what, strerror(s.error));
}

struct full {
    struct sim_world *world;
    struct sim_faults faults;
    int refusals, rolls_refused;
};

static const struct log_config CONFIG = {.segment_bytes = 30000,
                                         .segment_ms = INT64_MAX / 2,
                                         .segment_index_bytes = 4096,
                                         .index_interval_bytes = 100,
                                         .retention_ms = -1,
                                         .retention_bytes = -1,
                                         .producer_id_expiration_ms = 86400000,
                                         .cleanup_delete = true};

static struct log *open_log(void)
{
    struct log_open_options options = {
        .directory = "/t-0", .config = &CONFIG, .flushed_offset = -1, .now_ms = io_wall_ms()};
    struct log *log = NULL;
    assert_ok(log_open(&options, &log));
    return log;
}

static void give_room(struct full *full)
{
    struct random *random = sim_random(full->world);
    uint64_t most = random_below(random, 2) == 0 ? MORE_BYTES_MAX : LITTLE_BYTES_MAX;
    full->faults.disk_bytes_max += 1 + (int64_t)random_below(random, most);
    sim_faults_set(full->world, &full->faults);
}

/* The leader changes now and then; the file of its epochs needs space too. */
static int32_t epoch_of(int64_t offset)
{
    return (int32_t)(offset / EPOCH_BATCHES);
}

static struct status append(struct log *log, struct record_builder *builder, int32_t sequence, struct log_batch *batch)
{
    static const uint8_t VALUE[VALUE_BYTES];
    record_builder_begin(builder);
    record_builder_add(builder, io_wall_ms(), SLICE_NULL, slice_of(VALUE, sizeof VALUE));
    struct slice bytes = record_builder_finish(builder, 0, 1, 0, sequence);
    *batch = (struct log_batch){
        .bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size, .from_client = true};
    record_facts_read(bytes, &batch->facts);
    struct log_batch *batches[] = {batch};
    return log_append(log, batches, 1, epoch_of(sequence), io_wall_ms());
}

static void roll_when_due(struct full *full, struct log *log)
{
    while (log_roll_is_due(log, VALUE_BYTES + 100, io_wall_ms(), io_wall_ms())) {
        struct status s = log_roll(log);
        assert_false(log_is_offline(log));
        if (status_is_ok(s))
            return;
        assert_int_equal(s.error, ENOSPC);
        full->rolls_refused++;
        give_room(full);
    }
}

static void send_all(void *context)
{
    struct full *full = context;
    struct record_builder builder = {0};
    assert_int_equal(io_mkdir("/t-0"), 0);
    struct log *log = open_log();
    for (int32_t i = 0; i < BATCHES;) {
        struct log_batch batch;
        roll_when_due(full, log);
        struct status s = append(log, &builder, i, &batch);
        assert_false(log_is_offline(log));
        assert_int_equal(log_end_offset(log), i + status_is_ok(s));
        if (!status_is_ok(s)) {
            assert_int_equal(s.error, ENOSPC);
            full->refusals++;
            give_room(full);
            continue;
        }
        assert_int_equal(batch.error, 0);
        assert_false(batch.duplicate);
        assert_int_equal(batch.base_offset, i++);
    }
    record_builder_free(&builder);
    full->faults.disk_bytes_max = 0;
    sim_faults_set(full->world, &full->faults);
    assert_ok(log_close_clean(log));
    log_free(log);
}

/* The state that the log remembers itself by is that of its records. */
static void read_all(void *context)
{
    struct record_builder builder = {0};
    struct log *log = open_log();
    assert_int_equal(log_end_offset(log), BATCHES);
    for (int64_t offset = 0; offset < BATCHES;) {
        struct log_slice slice;
        assert_int_equal(log_read(log, offset, BATCHES, 1, true, &slice), LOG_READ_OK);
        assert_int_equal(slice.base_offset, offset);
        assert_int_equal(log_epoch_at(log, offset), epoch_of(offset));
        offset = slice.next_offset;
        log_slice_release(&slice);
    }
    struct log_batch batch;
    assert_ok(append(log, &builder, BATCHES - 1, &batch));
    assert_true(batch.duplicate);
    assert_ok(append(log, &builder, BATCHES, &batch));
    assert_int_equal(batch.base_offset, BATCHES);
    record_builder_free(&builder);
    log_free(log);
}

static void what_found_no_space_is_taken_when_there_is_some(void **state)
{
    struct full full = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        full.faults = (struct sim_faults){.disk_bytes_max = DISK_BYTES};
        full.world = sim_world_create(seed, &full.faults);
        assert_int_equal(sim_run(full.world, send_all, &full, MINUTE_NS), SIM_DONE);
        assert_int_equal(sim_run(full.world, read_all, &full, MINUTE_NS), SIM_DONE);
        sim_world_destroy(full.world);
    }
    assert_in_range(full.refusals, SEEDS, SEEDS * BATCHES);
    assert_in_range(full.rolls_refused, 1, SEEDS * BATCHES);
}

/* Another program takes everything between the begin of a leader's epoch and its first batch. */
static void begin_and_find_nothing(void *context)
{
    struct full *full = context;
    struct record_builder builder = {0};
    struct log_batch batch;
    assert_int_equal(io_mkdir("/t-0"), 0);
    struct log *log = open_log();
    assert_ok(append(log, &builder, 0, &batch));
    assert_ok(log_epoch_begin(log, epoch_of(EPOCH_BATCHES)));
    full->faults.disk_bytes_max = 1;
    sim_faults_set(full->world, &full->faults);
    assert_int_equal(append(log, &builder, 1, &batch).error, ENOSPC);
    assert_false(log_is_offline(log));
    assert_int_equal(log_epoch_latest(log), epoch_of(EPOCH_BATCHES));
    assert_int_equal(log_epoch_begin(log, 2).error, ENOSPC);
    assert_int_equal(log_epoch_latest(log), epoch_of(EPOCH_BATCHES)); // the second has not begun
    record_builder_free(&builder);
    log_free(log);
}

static void an_epoch_that_has_begun_needs_no_space_to_stay(void **state)
{
    struct full full = {0};
    full.world = sim_world_create(1, &full.faults);
    assert_int_equal(sim_run(full.world, begin_and_find_nothing, &full, MINUTE_NS), SIM_DONE);
    sim_world_destroy(full.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_found_no_space_is_taken_when_there_is_some),
        cmocka_unit_test(an_epoch_that_has_begun_needs_no_space_to_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
