// SPDX-License-Identifier: Apache-2.0
/* storage/topic_settings_test.c - what topic settings do to a log, each changed while the log is open: docs/topic-settings.md
 * names these stories.
 */
#include "storage/storage_test.h"

/* A log that is opened with plain settings and then gets those of the story. */
static void change(struct story *story, struct log *log)
{
    log_config_set(log, &story->config);
}

static void segment_bytes_says_how_large_a_segment_gets(void **state)
{
    struct story *story = *state;
    struct log *log = story_open(state);
    story_append(log, 1);
    int64_t size = log_size_bytes(log);
    assert_false(log_roll_is_due(log, 1000, STORY_MS, STORY_MS));
    story->config.segment_bytes = size + 999;
    change(story, log);
    assert_true(log_roll_is_due(log, 1000, STORY_MS, STORY_MS));
    assert_false(log_roll_is_due(log, 999, STORY_MS, STORY_MS));
    assert_false(log_segment_holds(log, (uint64_t)size + 1000));
    story_end(state, log);
}

static void segment_ms_says_how_long_records_go_into_one_segment(void **state)
{
    struct story *story = *state;
    struct log *log = story_open(state);
    story_append(log, 1);
    assert_false(log_roll_is_due(log, 100, STORY_MS + 5001, STORY_MS));
    story->config.segment_ms = 5000;
    change(story, log);
    assert_true(log_roll_is_due(log, 100, STORY_MS + 5001, STORY_MS));
    assert_false(log_roll_is_due(log, 100, STORY_MS + 5000, STORY_MS));
    story_end(state, log);
}

/* When the active segment is due, in milliseconds of records' time. */
static int64_t due_after_ms(const struct log *log)
{
    int64_t low = 0, high = 1 << 20;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (log_roll_is_due(log, 100, STORY_MS + middle, STORY_MS))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Up to that much earlier, for each segment its own: from the next segment on, as in Kafka. */
static void segment_jitter_ms_lets_segments_roll_at_different_times(void **state)
{
    enum { SEGMENTS = 8, SEGMENT_MS = 100000, JITTER_MS = 60000 };
    struct story *story = *state;
    int64_t least = INT64_MAX, most = 0;
    story->config.segment_ms = SEGMENT_MS;
    struct log *log = story_open(state);
    story_append(log, 1);
    assert_int_equal(due_after_ms(log), SEGMENT_MS + 1);
    story->config.segment_jitter_ms = JITTER_MS;
    change(story, log);
    assert_int_equal(due_after_ms(log), SEGMENT_MS + 1);
    for (int i = 0; i < SEGMENTS; i++) {
        assert_ok(log_roll(log));
        story_append(log, 1);
        int64_t due_ms = due_after_ms(log);
        assert_in_range(due_ms, SEGMENT_MS - JITTER_MS + 1, SEGMENT_MS + 1);
        least = min_i64(least, due_ms);
        most = max_i64(most, due_ms);
    }
    assert_true(most - least > JITTER_MS / 4);
    story_end(state, log);
}

static void segment_index_bytes_closes_a_segment_whose_index_is_full(void **state)
{
    struct story *story = *state;
    story->config.index_interval_bytes = 0;
    struct log *log = story_open(state);
    for (int i = 0; i < 9; i++) // the first has no entry
        story_append_at(log, 1, STORY_MS + i);
    assert_false(log_roll_is_due(log, 100, STORY_MS, STORY_MS));
    story->config.segment_index_bytes = 8 * 9;
    change(story, log);
    assert_true(log_roll_is_due(log, 100, STORY_MS, STORY_MS)); // by times: 12 bytes each, and one is kept for the last
    story->config.segment_index_bytes = 12 * 10;
    change(story, log);
    assert_false(log_roll_is_due(log, 100, STORY_MS, STORY_MS));
    story_end(state, log);
}

static void index_interval_bytes_says_how_dense_the_indexes_are(void **state)
{
    enum { APPENDS = 100 };
    struct story *story = *state;
    struct log *log = story_open(state);
    for (int i = 0; i < APPENDS; i++)
        story_append(log, 1);
    int64_t batch = log_size_bytes(log) / APPENDS;
    assert_ok(log_checkpoint(log));
    assert_int_equal(story_file_size(story, "00000000000000000000.index"), 8 * (APPENDS * batch / (4096 + batch)));
    assert_ok(log_roll(log));
    story->config.index_interval_bytes = 1;
    change(story, log);
    for (int i = 0; i < APPENDS; i++)
        story_append(log, 1);
    assert_ok(log_checkpoint(log));
    assert_int_equal(story_file_size(story, "00000000000000000100.index"), 8 * (APPENDS - 1));
    story_end(state, log);
}

static struct log *open_with_old_segments(void **state, int count)
{
    struct log *log = story_open(state);
    for (int i = 0; i < count; i++) {
        story_append_at(log, 1, STORY_MS + 1000 * i);
        assert_ok(log_roll(log));
    }
    return log;
}

static void retention_bytes_says_how_much_stays(void **state)
{
    struct story *story = *state;
    struct log *log = open_with_old_segments(state, 4);
    int64_t one = log_size_bytes(log) / 4;
    assert_ok(log_retain(log, 4, STORY_MS + 1000000));
    assert_int_equal(log_start_offset(log), 0);
    story->config.retention_bytes = 2 * one + 1;
    change(story, log);
    assert_ok(log_retain(log, 4, STORY_MS));
    assert_int_equal(log_start_offset(log), 1);
    story->config.retention_bytes = 2 * one;
    change(story, log);
    assert_ok(log_retain(log, 4, STORY_MS));
    assert_int_equal(log_start_offset(log), 2);
    story_end(state, log);
}

static void retention_ms_says_how_long_records_stay(void **state)
{
    struct story *story = *state;
    struct log *log = open_with_old_segments(state, 4);
    story->config.retention_ms = 5000;
    change(story, log);
    assert_ok(log_retain(log, 4, STORY_MS + 5000));
    assert_int_equal(log_start_offset(log), 0);
    assert_ok(log_retain(log, 4, STORY_MS + 6001)); // the first two are older now
    assert_int_equal(log_start_offset(log), 2);
    story_end(state, log);
}

/* Compacted or kept for ever: only with delete in it do size and age count. What DeleteRecords moved past goes all the same. */
static void cleanup_policy_says_whether_size_and_age_count(void **state)
{
    struct story *story = *state;
    struct log *log = open_with_old_segments(state, 4);
    story->config.retention_bytes = story->config.retention_ms = 1;
    for (int compacts = 0; compacts < 2; compacts++) {
        story->config.cleanup_delete = false;
        story->config.cleanup_compact = compacts;
        change(story, log);
        assert_ok(log_retain(log, 4, STORY_MS + 1000000));
        assert_int_equal(log_start_offset(log), 0);
    }
    assert_ok(log_start_offset_set(log, 2));
    assert_ok(log_retain(log, 4, STORY_MS + 1000000));
    assert_int_equal(story_file_size(story, "00000000000000000001.log"), -1);
    assert_true(story_file_size(story, "00000000000000000002.log") > 0);
    story->config.cleanup_delete = true; // and compact
    change(story, log);
    assert_ok(log_retain(log, 4, STORY_MS + 1000000));
    assert_int_equal(log_start_offset(log), 4);
    story_end(state, log);
}

static void file_delete_delay_ms_says_when_files_go(void **state)
{
    struct story *story = *state;
    struct log *log = open_with_old_segments(state, 2);
    assert_ok(log_start_offset_set(log, 2));
    assert_ok(log_retain(log, 2, STORY_MS));
    log_deletes_finish(log, STORY_MS + 59999);
    assert_true(story_file_size(story, "00000000000000000000.log.deleted") > 0);
    story->config.file_delete_delay_ms = 100;
    change(story, log);
    log_deletes_finish(log, STORY_MS + 99);
    assert_true(story_file_size(story, "00000000000000000000.log.deleted") > 0);
    log_deletes_finish(log, STORY_MS + 100);
    assert_int_equal(story_file_size(story, "00000000000000000000.log.deleted"), -1);
    story_end(state, log);
}

/* From the next segment on; a segment is trimmed when it is closed, whatever the setting says by then. */
static void preallocate_reserves_a_segments_size_until_it_is_closed(void **state)
{
    struct story *story = *state;
    story->config.segment_bytes = 1 << 16;
    struct log *log = story_open(state);
    story_append(log, 1);
    int64_t batch = log_size_bytes(log);
    story->config.preallocate = true;
    change(story, log);
    assert_int_equal(story_file_size(story, "00000000000000000000.log"), batch);
    assert_ok(log_roll(log));
    assert_int_equal(story_file_size(story, "00000000000000000001.log"), 1 << 16);
    story_append(log, 1);
    story->config.preallocate = false;
    change(story, log);
    assert_ok(log_roll(log));
    assert_int_equal(story_file_size(story, "00000000000000000001.log"), batch);
    assert_int_equal(story_file_size(story, "00000000000000000002.log"), 0);
    story_end(state, log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(segment_bytes_says_how_large_a_segment_gets),
        story_test(segment_ms_says_how_long_records_go_into_one_segment),
        story_test(segment_jitter_ms_lets_segments_roll_at_different_times),
        story_test(segment_index_bytes_closes_a_segment_whose_index_is_full),
        story_test(index_interval_bytes_says_how_dense_the_indexes_are),
        story_test(retention_bytes_says_how_much_stays),
        story_test(retention_ms_says_how_long_records_stay),
        story_test(cleanup_policy_says_whether_size_and_age_count),
        story_test(file_delete_delay_ms_says_when_files_go),
        story_test(preallocate_reserves_a_segments_size_until_it_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
