// SPDX-License-Identifier: Apache-2.0
/* broker/housekeeping_test.c - stories of what is done now and then: retention, recovery points, checkpoint files,
 * directories of deleted topics. Each waits until it has happened; none says how long that takes.
 */
#include "broker/broker_test.h"

#include "wire/gen/delete_topics.h"

enum { TICKS_MAX = 20000 };

static void start_busy(struct story *story)
{
    story->options.retention_check_ms = story->options.checkpoint_ms = 20;
    meta_settings_set(story->settings, "log.initial.task.delay.ms", "0");
    meta_settings_set(story->settings, "log.flush.start.offset.checkpoint.interval.ms", "20");
    meta_settings_set(story->settings, "replica.high.watermark.checkpoint.interval.ms", "20");
    meta_settings_set(story->settings, "log.segment.delete.delay.ms", "0");
    story_start(story);
}

/* The offset that a checkpoint file of the first directory has for a topic's partition 0; -1 when there is none. */
static int64_t checkpoint_of(struct story *story, const char *file, const char *topic)
{
    char path[256];
    struct checkpoint_entry *entries;
    int32_t count;
    story_path(story, 0, file, path);
    assert_ok(checkpoint_read(path, &story->arena, &entries, &count));
    for (int32_t i = 0; i < count; i++)
        if (slice_equal_str(entries[i].topic, topic) && entries[i].partition == 0)
            return entries[i].offset;
    return -1;
}

static void wait_for_checkpoint(struct story *story, const char *file, const char *topic, int64_t offset)
{
    for (int ticks = 0; checkpoint_of(story, file, topic) != offset; ticks++) {
        assert_true(ticks < TICKS_MAX);
        story_tick(story);
    }
}

static void recovery_points_and_high_watermarks_follow_while_the_broker_runs(void **state)
{
    struct story *story = *state;
    start_busy(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "one"), 0);
    assert_int_equal(story_produce(story, "t", 0, "two"), 1);
    wait_for_checkpoint(story, "recovery-point-offset-checkpoint", "t", 2);
    wait_for_checkpoint(story, "replication-offset-checkpoint", "t", 2);
}

static void what_flush_ms_wants_on_the_disk_is_flushed_by_the_scheduler(void **state)
{
    struct story *story = *state;
    story->options.fsync = false;
    meta_settings_set(story->settings, "log.flush.scheduler.interval.ms", "20");
    meta_settings_set(story->settings, "log.flush.interval.ms", "1");
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    struct partition *p = story_partition(story, "t", 0);
    for (int ticks = 0; partition_flushed_offset(p) < 1; ticks++) {
        assert_true(ticks < TICKS_MAX);
        story_tick(story);
    }
}

static void start_offsets_are_written_when_they_are_no_segments_start(void **state)
{
    struct story *story = *state;
    start_busy(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(story_produce(story, "t", 0, "value"), i);
    struct partition *p = story_partition(story, "t", 0);
    while (!partition_turn_try(p)) // a chore has it
        story_tick(story);
    assert_ok(log_start_offset_set(partition_log(p), 2));
    partition_turn_end(p);
    wait_for_checkpoint(story, "log-start-offset-checkpoint", "t", 2);
    story_kill(story);
    story_start(story);
    assert_int_equal(partition_start_offset(story_partition(story, "t", 0)), 2);
}

static void a_checkpoint_file_is_left_alone_when_nothing_is_new(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    char path[256];
    struct io_stat first, again, later;
    story_path(story, 0, "ottla-flushed-offset-checkpoint", path);
    assert_ok(checkpoints__write(story->broker->checkpoints, CHECKPOINT_FLUSHED));
    assert_int_equal(io_stat(path, &first), 0);
    assert_ok(checkpoints__write(story->broker->checkpoints, CHECKPOINT_FLUSHED));
    assert_int_equal(io_stat(path, &again), 0);
    assert_true(first.inode == again.inode);
    assert_int_equal(story_produce(story, "t", 0, "value"), 1);
    assert_ok(checkpoints__write(story->broker->checkpoints, CHECKPOINT_FLUSHED));
    assert_int_equal(io_stat(path, &later), 0);
    assert_true(first.inode != later.inode);
}

static void old_segments_go_when_the_log_is_too_large(void **state)
{
    struct story *story = *state;
    meta_settings_set(story->settings, "log.segment.bytes", "1048576");
    meta_settings_set(story->settings, "log.retention.bytes", "1048576");
    start_busy(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    char *value = mem_zalloc(200001);
    memset(value, 'x', 200000);
    for (int i = 0; i < 30; i++)
        assert_int_equal(story_produce(story, "t", 0, value), i);
    mem_free(value);
    struct partition *p = story_partition(story, "t", 0);
    for (int ticks = 0; partition_start_offset(p) < 20; ticks++) {
        assert_true(ticks < TICKS_MAX);
        story_tick(story);
    }
    assert_int_equal(partition_end_offset(p), 30);
    struct log_slice slice;
    assert_int_equal(partition_read(p, READ_AS_CONSUMER, 0, 1, true, &slice), KAFKA_OFFSET_OUT_OF_RANGE);
    assert_int_equal(partition_read(p, READ_AS_CONSUMER, partition_start_offset(p), 1, true, &slice), KAFKA_NONE);
    assert_true(slice.size_bytes > 200000);
    log_slice_release(&slice);
}

static void count_deleted(void *context, const char *name)
{
    size_t size = strlen(name);
    *(int *)context += size > 7 && strcmp(name + size - 7, "-delete") == 0;
}

static int deleted_directories(const struct story *story)
{
    int count = 0;
    assert_int_equal(io_list_dir(story->dirs[0], count_deleted, &count), 0);
    return count;
}

static void wait_until_deleted(struct story *story)
{
    for (int ticks = 0; deleted_directories(story) > 0; ticks++) {
        assert_true(ticks < TICKS_MAX);
        story_tick(story);
    }
}

static void delete_topic(struct story *story, const char *name)
{
    struct slice names = slice_str(name);
    struct delete_topics_request body;
    delete_topics_request_init(&body);
    body.topic_names = &names;
    body.topic_names_count = 1;
    struct delete_topics_response *answer = story_call(story, API_DELETE_TOPICS, 4, &body);
    assert_int_equal(answer->responses[0].error_code, KAFKA_NONE);
}

static void a_deleted_topics_directories_go_after_their_delay(void **state)
{
    struct story *story = *state;
    start_busy(story);
    assert_int_equal(story_create(story, "t", 3), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    delete_topic(story, "t");
    wait_until_deleted(story);
    assert_false(story_exists(story, 0, "t-0") || story_exists(story, 0, "t-1"));
}

static void what_was_not_deleted_yet_is_deleted_after_the_next_start(void **state)
{
    struct story *story = *state;
    story_start(story); // with a minute of delay
    assert_int_equal(story_create(story, "t", 2), KAFKA_NONE);
    delete_topic(story, "t");
    assert_int_equal(deleted_directories(story), 2);
    story_kill(story);
    start_busy(story);
    wait_until_deleted(story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(recovery_points_and_high_watermarks_follow_while_the_broker_runs),
        story_test(what_flush_ms_wants_on_the_disk_is_flushed_by_the_scheduler),
        story_test(start_offsets_are_written_when_they_are_no_segments_start),
        story_test(a_checkpoint_file_is_left_alone_when_nothing_is_new),
        story_test(old_segments_go_when_the_log_is_too_large),
        story_test(a_deleted_topics_directories_go_after_their_delay),
        story_test(what_was_not_deleted_yet_is_deleted_after_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
