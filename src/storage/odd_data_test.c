// SPDX-License-Identifier: Apache-2.0
/* storage/odd_data_test.c - data that is rare but may come: clients choose timestamps, other brokers wrote the batches, a
 * disk kept part of a file. Most of these stories were found by fuzz/storage_fuzz.c.
 */
#include "storage/storage_test.h"

static struct status append_as_is(struct log *log, int64_t base_offset, int32_t leader_epoch, int count)
{
    struct record_builder builder = {0};
    struct log_batch batch;
    story_batch(&builder, &batch, count, STORY_MS);
    record_batch_set_base(batch.bytes, base_offset, leader_epoch);
    struct status s = log_append_as_is(log, slice_of(batch.bytes, batch.size_bytes), STORY_MS);
    record_builder_free(&builder);
    return s;
}

static void a_batch_without_a_leader_epoch_begins_none(void **state)
{
    struct log *log = story_open(state);
    assert_ok(append_as_is(log, 0, -1, 2));
    assert_int_equal(log_epoch_latest(log), -1);
    assert_ok(append_as_is(log, 2, 4, 1));
    assert_ok(append_as_is(log, 3, -1, 1));
    assert_int_equal(log_epoch_latest(log), 4);
    log_free(log);
    log = story_open(state); // after a kill: every batch is looked at again
    assert_int_equal(log_end_offset(log), 4);
    assert_int_equal(log_epoch_latest(log), 4);
    assert_int_equal(log_epoch_at(log, 1), -1);
    story_end(state, log);
}

static struct log_batch append_of_producer(struct log *log, int32_t sequence, int64_t timestamp_ms)
{
    struct record_builder builder = {0};
    record_builder_begin(&builder);
    record_builder_add(&builder, timestamp_ms, SLICE_NULL, slice_str("value"));
    struct slice bytes = record_builder_finish(&builder, 0, 7, 0, sequence);
    struct log_batch batch = {
        .bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size, .from_client = true};
    struct log_batch *batches[] = {&batch};
    record_facts_read(bytes, &batch.facts);
    assert_ok(log_append(log, batches, 1, 0, STORY_MS));
    record_builder_free(&builder);
    return batch;
}

/* Older than any clock can say: its age is as large as it gets, not negative. */
static void the_oldest_timestamp_has_expired(void **state)
{
    struct log *log = story_open(state);
    struct log_batch first = append_of_producer(log, 0, INT64_MIN);
    assert_int_equal(first.error, 0);
    log_producers_expire(log, STORY_MS);
    struct log_batch again = append_of_producer(log, 0, INT64_MIN); // the producer is forgotten, so this is a new one
    assert_int_equal(again.error, 0);
    assert_false(again.duplicate);
    assert_ok(log_close_clean(log));
    log_free(log);
    struct story *story = *state;
    story->options.clean_stop = true;
    log = story_open(state);
    assert_false(append_of_producer(log, 0, STORY_MS).duplicate);
    story_end(state, log);
}

static void extreme_timestamps_roll_and_retain(void **state)
{
    struct story *story = *state;
    story->config.retention_ms = 1000;
    struct log *log = story_open(state);
    append_of_producer(log, 0, INT64_MIN);
    assert_ok(log_roll(log));
    append_of_producer(log, 1, INT64_MAX);
    assert_ok(log_roll(log));
    append_of_producer(log, 2, 0);
    assert_true(log_roll_is_due(log, 100, INT64_MAX, STORY_MS));
    assert_false(log_roll_is_due(log, 100, INT64_MIN, STORY_MS));
    assert_ok(log_retain(log, log_end_offset(log), STORY_MS));
    assert_in_range(log_end_offset(log) - log_start_offset(log), 0, 3);
    story_end(state, log);
}

/* An index that survived a cut better than its log: nothing of half a batch stays below the end. */
static void an_index_entry_inside_of_a_batch_is_not_believed(void **state)
{
    struct story *story = *state;
    story->config.index_interval_bytes = 1;
    struct log *log = story_open(state);
    for (int i = 0; i < 4; i++)
        story_append(log, 1);
    assert_ok(log_close_clean(log));
    log_free(log);
    const char *name = "00000000000000000000.log";
    int64_t size = story_file_size(story, name), batch = size / 4;
    story_damage(story, name, 2 * batch + 70); // in the records of the third
    story_damage(story, name, 3 * batch + 70);
    story->options.recovery_point = 4; // the index is believed up to here
    log = story_open(state);
    assert_int_equal(log_end_offset(log), 2);
    assert_int_equal(story_file_size(story, name), 2 * batch);
    story_end(state, log);
}

static void write_at(const struct story *story, const char *name, const void *data, size_t size, int64_t position)
{
    char path[256];
    story_path(story, name, path);
    int file = io_open(path, IO_WRITE);
    assert_true(file >= 0);
    assert_int_equal(io_pwrite(file, data, size, position), size);
    io_close(file);
}

/* The segment's first offset behind other bytes: those are no batch, so the log ends before them, at every start. */
static void an_index_entry_that_leaves_nothing_for_what_lies_before_is_not_believed(void **state)
{
    static const uint8_t ENTRY[8] = {0, 0, 0, 0, 0, 0, 0, 100};
    struct story *story = *state;
    struct log *log = story_open(state);
    story_append(log, 1);
    assert_ok(log_close_clean(log));
    log_free(log);
    const char *name = "00000000000000000000.log";
    uint8_t bytes[300] = {0};
    char path[256];
    story_path(story, name, path);
    int file = io_open(path, IO_READ);
    int64_t size = io_pread(file, bytes + 100, 200, 0);
    io_close(file);
    memset(bytes, 'x', 100);
    write_at(story, name, bytes, (size_t)size + 100, 0);
    write_at(story, "00000000000000000000.index", ENTRY, sizeof ENTRY, 0);
    story->options.recovery_point = 1;
    for (int start = 0; start < 2; start++) {
        log = story_open(state);
        assert_int_equal(log_end_offset(log), 0);
        story_end(state, log);
        story->options.clean_stop = true;
    }
}

/* A clean stop is believed, so what lies in the middle of a segment is first seen by a reader. */
static void offsets_out_of_order_in_a_believed_segment_are_not_given_to_readers(void **state)
{
    struct story *story = *state;
    struct log *log = story_open(state);
    for (int i = 0; i < 3; i++)
        story_append(log, 1);
    assert_ok(log_close_clean(log));
    log_free(log);
    const char *name = "00000000000000000000.log";
    int64_t second = story_file_size(story, name) / 3;
    story_damage(story, name, second + 6); // its base offset is 0xff01 now
    story->options.clean_stop = true;
    log = story_open(state);
    assert_int_equal(log_end_offset(log), 3);
    struct log_slice slice;
    assert_int_equal(log_read(log, 0, 3, (uint32_t)second, true, &slice), LOG_READ_OK);
    assert_int_equal(slice.next_offset, 1);
    log_slice_release(&slice);
    assert_int_equal(log_read(log, 0, 3, (uint32_t)second * 2, true, &slice), LOG_READ_FAILED);
    assert_null(slice.segment);
    story_end(state, log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_batch_without_a_leader_epoch_begins_none),
        story_test(the_oldest_timestamp_has_expired),
        story_test(extreme_timestamps_roll_and_retain),
        story_test(an_index_entry_inside_of_a_batch_is_not_believed),
        story_test(an_index_entry_that_leaves_nothing_for_what_lies_before_is_not_believed),
        story_test(offsets_out_of_order_in_a_believed_segment_are_not_given_to_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
