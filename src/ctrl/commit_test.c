// SPDX-License-Identifier: Apache-2.0
/* ctrl/commit_test.c - what comes back after a restart: everything that was flushed, from any mix of snapshots and log;
 * when snapshots are written, and what they let go.
 */
#include "ctrl/ctrl_test.h"

enum { COMMANDS = 60, SEEDS = 12 };

/* ---- random commands: the state after reopening is the state before */
struct play {
    struct story *story;
    struct random random;
    int64_t epoch; // of broker 1
    int commands;
};

static uint64_t below(struct play *play, uint64_t bound)
{
    return random_below(&play->random, bound);
}

static struct slice some_name(struct play *play)
{
    return arena_printf(&play->story->arena, "topic-%d", (int)below(play, 8));
}

static void create(struct play *play)
{
    const struct meta_config_entry config = {slice_str("retention.ms"),
                                             arena_printf(&play->story->arena, "%d", (int)below(play, 5))};
    struct ctrl_new_topic topic = {.name = some_name(play),
                                   .partitions = (int32_t)below(play, 6),
                                   .replication_factor = 1,
                                   .configs = &config,
                                   .config_count = (int32_t)below(play, 2)};
    story_try_topic(play->story, &topic);
}

static void drop(struct play *play)
{
    struct ctrl_topic_ref ref = {some_name(play), UUID_ZERO};
    struct ctrl_result result;
    assert_ok(ctrl_delete_topics(play->story->ctrl, &ref, 1, &play->story->arena, play->story->now_ms, &result));
}

static void grow(struct play *play)
{
    struct ctrl_more_partitions more = {some_name(play), (int32_t)below(play, 12), NULL, 0};
    struct ctrl_result result;
    assert_ok(ctrl_create_partitions(play->story->ctrl, &more, 1, below(play, 4) == 0, NULL, &play->story->arena,
                                     play->story->now_ms, &result));
}

static void alter(struct play *play)
{
    static const char *const KEYS[] = {"retention.ms", "min.insync.replicas", "cleanup.policy", "max.message.bytes"};
    static const char *const VALUES[] = {"1", "2", "compact", "nonsense"};
    struct ctrl_alter change = {slice_str(KEYS[below(play, 4)]), slice_str(VALUES[below(play, 4)]),
                                (int8_t)below(play, 4)};
    struct ctrl_alter_resource resource = {META_RESOURCE_TOPIC, some_name(play), &change, 1, below(play, 4) == 0};
    struct ctrl_result result;
    assert_ok(
        ctrl_alter_configs(play->story->ctrl, &resource, 1, false, &play->story->arena, play->story->now_ms, &result));
}

static void allocate(struct play *play)
{
    int64_t first;
    int32_t count;
    assert_ok(ctrl_producer_ids_allocate(play->story->ctrl, 1, play->epoch, play->story->now_ms, &first, &count));
}

static void start_again(struct play *play)
{
    bool is_clean = below(play, 2) == 0;
    if (is_clean)
        assert_ok(ctrl_shutdown_broker(play->story->ctrl, 1, play->story->now_ms));
    play->epoch = story_start_broker(play->story, 1, is_clean ? play->epoch : -1);
}

static void command(struct play *play)
{
    play->story->now_ms += (int64_t)below(play, 1000);
    switch (below(play, 10)) {
    case 0:
    case 1:
    case 2:
        create(play);
        break;
    case 3:
        drop(play);
        break;
    case 4:
    case 5:
        grow(play);
        break;
    case 6:
    case 7:
        alter(play);
        break;
    case 8:
        allocate(play);
        break;
    default:
        start_again(play);
    }
}

/* All but the registration of the controller, which every opening makes anew, is compared through a replay of our own. */
static void reopened_compare(struct play *play)
{
    struct story *story = play->story;
    assert_ok(ctrl_flush(story->ctrl));
    struct meta_image *before = ctrl_image(story->ctrl);
    if (below(play, 2) == 0)
        assert_ok(ctrl_close(story->ctrl));
    struct log *log = story->ctrl->log;
    struct ctrl__snapshots snapshots;
    struct ctrl__quorum quorum = {0};
    struct meta_builder *builder = meta_builder_create(NULL);
    assert_ok(ctrl__snapshots_list(story->metadata, false, &snapshots));
    struct ctrl__snapshot_id from = snapshots.ids[below(play, (uint64_t)snapshots.count)]; // any of them
    char path[CTRL_PATH_BYTES];
    ctrl__snapshot_path(story->metadata, from, path);
    assert_ok(ctrl__replay_snapshot(path, from, builder, &quorum));
    int64_t size_bytes;
    assert_ok(ctrl__replay_log(log, from.end_offset, builder, &quorum, &size_bytes));
    assert_true(meta_image_equal(before, meta_builder_view(builder)));
    assert_int_equal(before->offset, meta_builder_view(builder)->offset);
    assert_int_equal(before->epoch, meta_builder_view(builder)->epoch);
    assert_int_equal(before->timestamp_ms, meta_builder_view(builder)->timestamp_ms);
    meta_builder_free(builder);
    ctrl__snapshots_free(&snapshots);
    buffer_free(&quorum.voters);
    story_kill(story);
    story->options.now_ms = story->now_ms;
    story_open(story);
    assert_int_equal(ctrl_view(story->ctrl)->topic_count, before->topic_count);
    assert_int_equal(ctrl_view(story->ctrl)->partition_count, before->partition_count);
    assert_int_equal(ctrl_view(story->ctrl)->next_producer_id, before->next_producer_id);
    meta_image_unref(before);
}

static void what_random_commands_made_is_there_after_a_restart(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        if (seed > 1) {
            story_end(state);
            story_begin(state);
        }
        struct play play = {.story = *state};
        random_seed(&play.random, seed);
        story_format(play.story);
        story_open(play.story);
        play.epoch = story_start_broker(play.story, 1, -1);
        for (play.commands = 0; play.commands < COMMANDS; play.commands++) {
            command(&play);
            if (below(&play, 12) == 0)
                assert_ok(ctrl_snapshot(play.story->ctrl, play.story->now_ms));
            if (below(&play, 12) == 0)
                reopened_compare(&play);
        }
        reopened_compare(&play);
    }
}

/* ---- snapshots in their time */
static int snapshots_count(struct story *story)
{
    struct ctrl__snapshots snapshots;
    assert_ok(ctrl__snapshots_list(story->metadata, false, &snapshots));
    int count = snapshots.count;
    ctrl__snapshots_free(&snapshots);
    return count;
}

static struct story *begin(void **state)
{
    struct story *story = *state;
    story_format(story);
    story_open(story);
    story_start_broker(story, 1, -1);
    return story;
}

static void a_snapshot_comes_after_so_many_bytes(void **state)
{
    struct story *story = begin(state);
    meta_settings_set(story->settings, "metadata.log.max.record.bytes.between.snapshots", "5000");
    assert_ok(ctrl_maintain(story->ctrl, STORY_MS));
    assert_int_equal(snapshots_count(story), 1); // that of formatting
    story_topic(story, "t", 100, 1);
    assert_ok(ctrl_maintain(story->ctrl, STORY_MS));
    assert_int_equal(snapshots_count(story), 2);
    assert_ok(ctrl_maintain(story->ctrl, STORY_MS));
    assert_int_equal(snapshots_count(story), 2); // nothing new
}

static void a_snapshot_comes_after_an_hour(void **state)
{
    struct story *story = begin(state);
    assert_ok(ctrl_maintain(story->ctrl, STORY_MS + 3599999));
    assert_int_equal(snapshots_count(story), 1);
    assert_ok(ctrl_maintain(story->ctrl, STORY_MS + 3600000));
    assert_int_equal(snapshots_count(story), 2);
    assert_ok(ctrl_maintain(story->ctrl, STORY_MS + 9000000));
    assert_int_equal(snapshots_count(story), 2); // nothing new
}

static void old_snapshots_and_the_log_before_them_go(void **state)
{
    struct story *story = begin(state);
    meta_settings_set(story->settings, "metadata.max.retention.ms", "1000000");
    story->ctrl->log_config.segment_bytes = 2000;
    log_config_set(story->ctrl->log, &story->ctrl->log_config);
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        story->now_ms = STORY_MS + i * 400000;
        story_topic(story, name, 40, 1);
        assert_ok(ctrl_snapshot(story->ctrl, story->now_ms));
    }
    assert_int_equal(snapshots_count(story), 7);
    struct meta_image *before = ctrl_image(story->ctrl);
    assert_ok(ctrl_maintain(story->ctrl, story->now_ms + 60000));
    assert_int_equal(snapshots_count(story), 3); // those of the last 1000 s
    assert_true(log_start_offset(story->ctrl->log) > 0);
    story_close(story);
    struct ctrl *ctrl = story_open(story);
    assert_true(log_start_offset(ctrl->log) > 0);
    assert_int_equal(ctrl_view(ctrl)->partition_count, before->partition_count);
    meta_image_unref(before);
    assert_ok(ctrl_maintain(ctrl, story->now_ms + 4000000000)); // the last one stays for ever
    assert_true(snapshots_count(story) >= 1);
}

static void the_log_and_its_snapshots_keep_to_a_size(void **state)
{
    struct story *story = begin(state);
    meta_settings_set(story->settings, "metadata.max.retention.bytes", "1");
    story_topic(story, "t", 40, 1);
    assert_ok(ctrl_snapshot(story->ctrl, STORY_MS));
    assert_ok(ctrl_maintain(story->ctrl, STORY_MS + 60000));
    assert_int_equal(snapshots_count(story), 1);
    story_close(story);
    story_open(story);
    assert_int_equal(ctrl_view(story->ctrl)->partition_count, 40);
}

/* ---- limits and failures */
static void many_records_are_several_batches(void **state)
{
    struct story *story = begin(state);
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        arena_reset(&story->arena);
        story_topic(story, name, 5000, 1);
    }
    assert_ok(ctrl_shutdown_broker(story->ctrl, 1, STORY_MS)); // 15000 partitions lose their leader
    assert_int_equal(story_partition(story, "t2", 4999)->leader, -1);
    story_close(story);
    story_open(story);
    assert_int_equal(story_partition(story, "t2", 4999)->leader, -1);
    assert_int_equal(story_partition(story, "t0", 0)->leader, -1);
}

static void after_a_failure_nothing_more_is_taken(void **state)
{
    struct story *story = begin(state);
    log_free(story->ctrl->log); // as if it were gone: an offline log is what a fault leaves
    struct log_open_options options = {
        .directory = story->metadata, .config = &story->ctrl->log_config, .flushed_offset = -1, .now_ms = STORY_MS};
    assert_ok(log_open(&options, &story->ctrl->log));
    assert_ok(log_rename_for_delete(story->ctrl->log)); // offline now
    int64_t epoch;
    struct ctrl_registration registration = {.node_id = 1, .incarnation = ctrl__uuid_random()};
    assert_int_equal(ctrl_register_broker(story->ctrl, &registration, STORY_MS, &epoch).error, EIO);
    assert_int_equal(ctrl_flush(story->ctrl).error, EIO);
    assert_int_equal(ctrl_maintain(story->ctrl, STORY_MS).error, EIO);
    assert_int_equal(ctrl_close(story->ctrl).error, EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(what_random_commands_made_is_there_after_a_restart),
        story_test(a_snapshot_comes_after_so_many_bytes),
        story_test(a_snapshot_comes_after_an_hour),
        story_test(old_snapshots_and_the_log_before_them_go),
        story_test(the_log_and_its_snapshots_keep_to_a_size),
        story_test(many_records_are_several_batches),
        story_test(after_a_failure_nothing_more_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
