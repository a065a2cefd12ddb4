// SPDX-License-Identifier: Apache-2.0
/* storage/log_test.c - stories of one log on a real directory: append, read, flush, stop, come again. */
#include "storage/storage_test.h"

static void what_is_appended_is_read_back(void **state)
{
    struct log *log = story_open(state);
    assert_int_equal(story_append(log, 3), 0);
    assert_int_equal(story_append(log, 2), 3);
    assert_int_equal(log_end_offset(log), 5);
    struct log_slice slice;
    assert_int_equal(log_read(log, 4, 5, 1 << 20, true, &slice), LOG_READ_OK);
    assert_int_equal(slice.base_offset, 3); // the whole batch that holds it
    assert_int_equal(slice.next_offset, 5);
    log_slice_release(&slice);
    assert_int_equal(log_read(log, 0, 3, 1 << 20, true, &slice), LOG_READ_OK);
    assert_int_equal(slice.next_offset, 3); // no batch that ends past the limit
    log_slice_release(&slice);
    assert_int_equal(log_read(log, 0, 2, 1 << 20, true, &slice), LOG_READ_OK);
    assert_null(slice.segment);
    assert_int_equal(log_read(log, 6, 9, 1 << 20, true, &slice), LOG_READ_OUT_OF_RANGE);
    story_end(state, log);
}

static void only_whole_batches_that_fit_are_read_but_one_at_least(void **state)
{
    struct log *log = story_open(state);
    for (int i = 0; i < 100; i++)
        story_append(log, 1);
    struct log_slice slice;
    assert_int_equal(log_read(log, 0, 100, 1, true, &slice), LOG_READ_OK);
    uint32_t one = slice.size_bytes;
    assert_int_equal(slice.next_offset, 1);
    log_slice_release(&slice);
    assert_int_equal(log_read(log, 0, 100, 1, false, &slice), LOG_READ_OK);
    assert_null(slice.segment);
    assert_int_equal(log_read(log, 10, 100, one * 5 + 3, true, &slice), LOG_READ_OK);
    assert_int_equal(slice.size_bytes, one * 5);
    assert_int_equal(slice.next_offset, 15);
    log_slice_release(&slice);
    story_end(state, log);
}

/* A long segment with many index entries: every offset is found, and what fits is taken in full. */
static void every_offset_is_found_through_the_index(void **state)
{
    struct story *story = *state;
    story->config.index_interval_bytes = 200;
    struct log *log = story_open(state);
    for (int i = 0; i < 500; i++)
        story_append(log, 1);
    for (int64_t offset = 0; offset < 500; offset++) {
        struct log_slice slice;
        assert_int_equal(log_read(log, offset, 500, 1000, true, &slice), LOG_READ_OK);
        assert_int_equal(slice.base_offset, offset);
        uint32_t one = slice.size_bytes / (uint32_t)(slice.next_offset - offset);
        assert_true(slice.next_offset == 500 || slice.size_bytes + one > 1000);
        log_slice_release(&slice);
    }
    story_end(state, log);
}

static void a_clean_stop_keeps_everything(void **state)
{
    struct log *log = story_open(state);
    story_append(log, 3);
    assert_ok(log_roll(log));
    story_append(log, 4);
    assert_ok(log_close_clean(log));
    log_free(log);
    struct story *story = *state;
    story->options.clean_stop = true;
    log = story_open(state);
    assert_int_equal(log_end_offset(log), 7);
    assert_int_equal(log_flushed_offset(log), 7);
    assert_int_equal(log_recovery_point(log), 7);
    assert_int_equal(story_append(log, 1), 7);
    story_end(state, log);
}

static void the_flushed_offset_moves_with_a_flush_only(void **state)
{
    struct log *log = story_open(state);
    story_append(log, 3);
    assert_int_equal(log_flushed_offset(log), 0);
    assert_ok(log_roll(log));
    story_append(log, 1);
    int64_t flushed;
    assert_ok(log_flush(log, &flushed));
    assert_int_equal(flushed, 4);
    assert_int_equal(log_flushed_offset(log), 4);
    assert_int_equal(log_recovery_point(log), 0);
    assert_ok(log_checkpoint(log));
    assert_int_equal(log_recovery_point(log), 4);
    story_end(state, log);
}

static void a_kill_loses_nothing_that_was_written(void **state)
{
    struct story *story = *state;
    story->config.index_interval_bytes = 100;
    struct log *log = story_open(state);
    for (int i = 0; i < 50; i++)
        story_append(log, 2);
    log_free(log); // nothing is written on the way out
    log = story_open(state);
    assert_int_equal(log_end_offset(log), 100);
    assert_int_equal(log_flushed_offset(log), 100); // recovered bytes are synced before they count
    struct log_slice slice;
    assert_int_equal(log_read(log, 77, 100, 1, true, &slice), LOG_READ_OK);
    assert_int_equal(slice.base_offset, 76);
    log_slice_release(&slice);
    story_end(state, log);
}

static void a_torn_tail_is_cut_and_kept_aside(void **state)
{
    struct story *story = *state;
    struct log *log = story_open(state);
    story_append(log, 3);
    int64_t good = log_size_bytes(log);
    story_append(log, 3);
    int64_t all = log_size_bytes(log);
    log_free(log);
    story_damage(story, "00000000000000000000.log", all - 1);
    story->options.flushed_offset = 3;
    log = story_open(state);
    assert_int_equal(log_end_offset(log), 3);
    assert_int_equal(log_size_bytes(log), good);
    char name[64];
    snprintf(name, sizeof name, "00000000000000000000.%lld.cut", (long long)good);
    assert_int_equal(story_file_size(story, name), all - good);
    assert_int_equal(story_append(log, 1), 3);
    story_end(state, log);
}

static void corruption_below_the_flushed_mark_takes_the_log_offline(void **state)
{
    struct story *story = *state;
    struct log *log = story_open(state);
    story_append(log, 3);
    story_append(log, 3);
    int64_t all = log_size_bytes(log);
    log_free(log);
    story_damage(story, "00000000000000000000.log", all - 1);
    story->options.flushed_offset = 6;
    struct status s = log_open(&story->options, &log);
    assert_int_equal(s.error, EIO);
    assert_int_equal(story_file_size(story, "00000000000000000000.log"), all); // nothing is deleted
}

static void a_preallocated_tail_is_trimmed(void **state)
{
    struct story *story = *state;
    story->config.preallocate = true;
    story->config.segment_bytes = 1 << 20;
    struct log *log = story_open(state);
    story_append(log, 3);
    int64_t size = log_size_bytes(log);
    assert_int_equal(story_file_size(story, "00000000000000000000.log"), 1 << 20);
    log_free(log);
    log = story_open(state);
    assert_int_equal(log_end_offset(log), 3);
    assert_int_equal(story_file_size(story, "00000000000000000000.log"), size);
    story_end(state, log);
}

static void a_segment_rolls_by_size_and_by_the_time_of_records(void **state)
{
    struct story *story = *state;
    story->config.segment_bytes = 1000;
    story->config.segment_ms = 5000;
    struct log *log = story_open(state);
    assert_false(log_roll_is_due(log, 4000, STORY_MS, STORY_MS)); // an empty one takes anything
    story_append(log, 1);
    int64_t size = log_size_bytes(log);
    assert_false(log_roll_is_due(log, (uint32_t)(1000 - size), STORY_MS, STORY_MS));
    assert_true(log_roll_is_due(log, (uint32_t)(1001 - size), STORY_MS, STORY_MS));
    assert_false(log_roll_is_due(log, 100, STORY_MS + 5000, STORY_MS + 9000)); // records' time, not the clock's
    assert_true(log_roll_is_due(log, 100, STORY_MS + 5001, STORY_MS));
    story_end(state, log);
}

static void old_segments_go_by_size_but_never_above_the_limit(void **state)
{
    struct story *story = *state;
    story->config.retention_bytes = 1;
    struct log *log = story_open(state);
    for (int i = 0; i < 4; i++) {
        story_append(log, 1);
        assert_ok(log_roll(log));
    }
    struct log_slice slice;
    assert_int_equal(log_read(log, 0, 4, 1000, true, &slice), LOG_READ_OK);
    assert_ok(log_retain(log, 2, STORY_MS));
    assert_int_equal(log_start_offset(log), 2);
    struct log_slice other;
    assert_int_equal(log_read(log, 1, 4, 1000, true, &other), LOG_READ_OUT_OF_RANGE);
    uint8_t head[RECORD_BATCH_HEAD_BYTES];
    assert_int_equal(io_pread(slice.file, head, sizeof head, slice.position), sizeof head); // a slice stays readable
    log_slice_release(&slice);
    assert_true(story_file_size(story, "00000000000000000000.log.deleted") > 0);
    assert_ok(log_retain(log, 2, STORY_MS + story->config.file_delete_delay_ms));
    assert_int_equal(story_file_size(story, "00000000000000000000.log.deleted"), -1);
    story_end(state, log);
}

static void an_expired_active_segment_is_rolled_away(void **state)
{
    struct story *story = *state;
    story->config.retention_ms = 1000;
    struct log *log = story_open(state);
    story_append(log, 2);
    assert_ok(log_retain(log, 2, STORY_MS + 1001));
    assert_int_equal(log_start_offset(log), 0);
    assert_ok(log_retain(log, 2, STORY_MS + 1002));
    assert_int_equal(log_start_offset(log), 2);
    assert_int_equal(log_end_offset(log), 2);
    assert_int_equal(log_size_bytes(log), 0);
    assert_int_equal(story_append(log, 1), 2);
    story_end(state, log);
}

static void truncation_forgets_what_came_after(void **state)
{
    struct log *log = story_open(state);
    for (int i = 0; i < 3; i++) {
        story_append(log, 2);
        assert_ok(log_roll(log));
    }
    int64_t flushed;
    assert_ok(log_flush(log, &flushed));
    assert_ok(log_truncate_to(log, 2));
    assert_int_equal(log_end_offset(log), 2);
    assert_int_equal(log_flushed_offset(log), 2);
    assert_int_equal(story_append(log, 5), 2);
    assert_int_equal(log_end_offset(log), 7);
    story_end(state, log);
}

static void times_find_offsets(void **state)
{
    struct log *log = story_open(state);
    for (int i = 0; i < 10; i++)
        story_append_at(log, 2, STORY_MS + i * 10); // the second record is one later
    int64_t offset, found_ms;
    int32_t epoch;
    assert_ok(log_find_by_time(log, STORY_MS + 31, 20, &offset, &found_ms, &epoch));
    assert_int_equal(offset, 7);
    assert_int_equal(found_ms, STORY_MS + 31);
    assert_ok(log_find_by_time(log, STORY_MS + 35, 20, &offset, &found_ms, &epoch));
    assert_int_equal(offset, 8);
    assert_ok(log_find_by_time(log, STORY_MS + 35, 8, &offset, &found_ms, &epoch));
    assert_int_equal(offset, -1);
    assert_ok(log_find_max_timestamp(log, 20, &offset, &found_ms, &epoch));
    assert_int_equal(offset, 19);
    assert_ok(log_find_max_timestamp(log, 10, &offset, &found_ms, &epoch));
    assert_int_equal(offset, 9);
    story_end(state, log);
}

struct beside {
    struct log *log;
    _Atomic bool stop;
};

static void flush_again_and_again(void *context)
{
    struct beside *beside = context;
    while (!atomic_load(&beside->stop)) {
        int64_t flushed;
        assert_ok(log_flush(beside->log, &flushed));
        log_write_back(beside->log, 1000);
    }
}

static void read_again_and_again(void *context)
{
    struct beside *beside = context;
    int64_t offset = 0;
    while (!atomic_load(&beside->stop) || offset < log_flushed_offset(beside->log)) {
        struct log_slice slice;
        assert_int_equal(log_read(beside->log, offset, log_flushed_offset(beside->log), 5000, true, &slice),
                         LOG_READ_OK);
        assert_true(slice.next_offset >= offset);
        offset = slice.next_offset;
        log_slice_release(&slice);
    }
}

static void readers_and_the_flusher_run_beside_the_writer(void **state)
{
    struct story *story = *state;
    story->config.index_interval_bytes = 500;
    struct log *log = story_open(state);
    struct beside flusher = {.log = log}, reader = {.log = log};
    struct io_thread *threads[] = {io_thread_start("flusher", flush_again_and_again, &flusher),
                                   io_thread_start("reader", read_again_and_again, &reader)};
    for (int i = 0; i < 300; i++) {
        assert_int_equal(story_append(log, 2), 2 * i);
        if (i % 50 == 49)
            assert_ok(log_roll(log));
    }
    atomic_store(&flusher.stop, true);
    io_thread_join(threads[0]);
    int64_t flushed;
    assert_ok(log_flush(log, &flushed));
    assert_int_equal(flushed, 600);
    atomic_store(&reader.stop, true);
    io_thread_join(threads[1]);
    story_end(state, log);
}

static void a_warm_append_calls_malloc_zero_times(void **state)
{
    struct log *log = story_open(state);
    for (int i = 0; i < 200; i++)
        story_append(log, 3);
    struct log_batch batch;
    struct record_builder builder = {0};
    story_batch(&builder, &batch, 3, STORY_MS);
    struct log_batch *batches[] = {&batch};
    uint64_t before = mem_alloc_count();
    for (int i = 0; i < 200; i++)
        assert_ok(log_append(log, batches, 1, 0, STORY_MS));
    assert_int_equal(mem_alloc_count(), before);
    record_builder_free(&builder);
    story_end(state, log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(what_is_appended_is_read_back),
        story_test(only_whole_batches_that_fit_are_read_but_one_at_least),
        story_test(every_offset_is_found_through_the_index),
        story_test(a_clean_stop_keeps_everything),
        story_test(the_flushed_offset_moves_with_a_flush_only),
        story_test(a_kill_loses_nothing_that_was_written),
        story_test(a_torn_tail_is_cut_and_kept_aside),
        story_test(corruption_below_the_flushed_mark_takes_the_log_offline),
        story_test(a_preallocated_tail_is_trimmed),
        story_test(a_segment_rolls_by_size_and_by_the_time_of_records),
        story_test(old_segments_go_by_size_but_never_above_the_limit),
        story_test(an_expired_active_segment_is_rolled_away),
        story_test(truncation_forgets_what_came_after),
        story_test(times_find_offsets),
        story_test(readers_and_the_flusher_run_beside_the_writer),
        story_test(a_warm_append_calls_malloc_zero_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
