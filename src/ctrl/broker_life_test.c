// SPDX-License-Identifier: Apache-2.0
/* ctrl/broker_life_test.c - a broker's life: registering, leading, stopping with and without a word, losing a directory; and
 * blocks of producer ids. The leader epochs are those that Apache Kafka 4.3.1 writes in the same stories.
 */
#include "ctrl/ctrl_test.h"

static struct story *begin(void **state)
{
    struct story *story = *state;
    story_format(story);
    story_open(story);
    return story;
}

static void assert_partition(const struct story *story, int32_t leader, int32_t leader_epoch, int32_t isr_count,
                             int32_t elr_count, int8_t recovery_state)
{
    const struct meta_partition *partition = story_partition(story, "t", 0);
    assert_int_equal(partition->leader, leader);
    assert_int_equal(partition->leader_epoch, leader_epoch);
    assert_int_equal(partition->isr_count, isr_count);
    assert_int_equal(partition->elr_count, elr_count);
    assert_int_equal(partition->recovery_state, recovery_state);
}

static void a_broker_is_fenced_until_it_is_unfenced(void **state)
{
    struct story *story = begin(state);
    int64_t offset = ctrl_end_offset(story->ctrl), epoch = story_register(story, 1, -1);
    assert_int_equal(epoch, offset);
    const struct meta_broker *broker = meta_broker(ctrl_view(story->ctrl), 1);
    assert_non_null(broker);
    assert_true(broker->fenced);
    assert_int_equal(broker->epoch, epoch);
    assert_int_equal(broker->directory_count, 1);
    assert_int_equal(broker->endpoints[0].port, 41092);
    assert_int_equal(ctrl_unfence_broker(story->ctrl, 2, STORY_MS).error, ENOENT);
    assert_ok(ctrl_unfence_broker(story->ctrl, 1, STORY_MS));
    assert_false(meta_broker(ctrl_view(story->ctrl), 1)->fenced);
    assert_int_equal(meta_broker(ctrl_view(story->ctrl), 1)->epoch, epoch);
}

static void the_same_incarnation_may_say_more(void **state)
{
    struct story *story = begin(state);
    struct uuid directory = story_directory_id(story);
    struct ctrl_registration registration = {.node_id = 1,
                                             .incarnation = ctrl__uuid_random(),
                                             .directories = &directory,
                                             .directory_count = 1,
                                             .previous_epoch = -1};
    int64_t first, second;
    assert_ok(ctrl_register_broker(story->ctrl, &registration, STORY_MS, &first));
    assert_ok(ctrl_unfence_broker(story->ctrl, 1, STORY_MS));
    registration.rack = slice_str("r1");
    assert_ok(ctrl_register_broker(story->ctrl, &registration, STORY_MS, &second));
    assert_int_equal(first, second);
    assert_false(meta_broker(ctrl_view(story->ctrl), 1)->fenced);
    assert_slice(meta_broker(ctrl_view(story->ctrl), 1)->rack, "r1");
}

static void a_clean_stop_and_start_go_through_the_elr(void **state)
{
    struct story *story = begin(state);
    int64_t epoch = story_start_broker(story, 1, -1);
    story_topic(story, "t", 1, 1);
    assert_partition(story, 1, 0, 1, 0, 0);
    assert_ok(ctrl_shutdown_broker(story->ctrl, 1, STORY_MS));
    assert_partition(story, -1, 1, 0, 1, 0);
    assert_int_equal(story_partition(story, "t", 0)->last_known_elr[0], 1);
    assert_true(meta_broker(ctrl_view(story->ctrl), 1)->fenced);
    assert_true(meta_broker(ctrl_view(story->ctrl), 1)->in_controlled_shutdown);
    story_close(story);
    story_open(story);
    assert_partition(story, -1, 1, 0, 1, 0);
    story_register(story, 1, epoch);
    assert_partition(story, -1, 1, 0, 1, 0); // registering raises nothing after a clean stop
    assert_ok(ctrl_unfence_broker(story->ctrl, 1, STORY_MS));
    assert_partition(story, 1, 2, 1, 0, 0);
    assert_int_equal(story_partition(story, "t", 0)->last_known_elr_count, 0);
}

/* As Kafka's own log tells it: leader -1, then the last known leader in recovery; the leader epoch is raised twice. */
static void a_start_after_a_kill_elects_the_last_known_leader(void **state)
{
    struct story *story = begin(state);
    story_start_broker(story, 1, -1);
    story_topic(story, "t", 1, 1);
    assert_ok(ctrl_flush(story->ctrl));
    story_kill(story);
    story_open(story);
    assert_partition(story, 1, 0, 1, 0, 0);
    story_register(story, 1, -1);
    assert_partition(story, -1, 1, 0, 0, 0);
    assert_int_equal(story_partition(story, "t", 0)->last_known_elr[0], 1);
    assert_ok(ctrl_unfence_broker(story->ctrl, 1, STORY_MS));
    assert_partition(story, 1, 2, 1, 0, 1);
}

static void kafkas_killed_directory_starts_as_kafka_starts_it(void **state)
{
    struct story *story = *state;
    story_unpack(story, "killed.tar.gz", "data");
    story_open(story);
    story_start_broker(story, 1, -1);
    struct meta_walk walk;
    const struct meta_topic *topic;
    meta_topics_begin(ctrl_view(story->ctrl), SLICE_NULL, &walk);
    while ((topic = meta_topics_next(&walk)))
        for (int32_t i = 0; i < topic->partition_count; i++) {
            const struct meta_partition *partition = meta_topic_partition(topic, i);
            assert_int_equal(partition->leader, 1);
            assert_int_equal(partition->leader_epoch, 4); // 2 when it was killed
            assert_int_equal(partition->partition_epoch, 4);
            assert_int_equal(partition->recovery_state, 1);
            assert_int_equal(partition->isr_count, 1);
        }
}

static void a_mark_of_another_epoch_is_no_clean_stop(void **state)
{
    struct story *story = begin(state);
    int64_t epoch = story_start_broker(story, 1, -1);
    story_topic(story, "t", 1, 1);
    assert_ok(ctrl_shutdown_broker(story->ctrl, 1, STORY_MS));
    story_register(story, 1, epoch + 1);
    assert_partition(story, -1, 1, 0, 0, 0); // out of the ELR
    assert_ok(ctrl_unfence_broker(story->ctrl, 1, STORY_MS));
    assert_partition(story, 1, 2, 1, 0, 1);
}

static void levels_write(struct story *story, int16_t metadata_version)
{
    char path[STORY_PATH_BYTES];
    struct feature_level_record level;
    struct wire_writer w;
    struct record_builder batch = {0};
    feature_level_record_init(&level);
    level.name = slice_str("metadata.version");
    level.feature_level = metadata_version;
    wire_writer_init(&w, 1 << 20);
    meta_record_write(&w, META_FEATURE_LEVEL, 0, &level);
    record_builder_begin(&batch);
    record_builder_add(&batch, STORY_MS, SLICE_NULL, wire_writer_bytes(&w));
    struct slice bytes = ctrl__batch_finish(&batch, false, 0, 0);
    story_path(story, "bootstrap.checkpoint", path);
    assert_ok(ctrl__file_replace(path, ".tmp", bytes.data, bytes.size));
    wire_writer_free(&w);
    record_builder_free(&batch);
}

/* metadata.version 3.3: no ELR, no directories, no transactions, no registration of controllers. */
static void old_levels_keep_the_last_isr_member(void **state)
{
    struct story *story = *state;
    story_format(story);
    levels_write(story, 7);
    story_open(story);
    assert_int_equal(ctrl_view(story->ctrl)->metadata_version, 7);
    assert_int_equal(ctrl_end_offset(story->ctrl), 4); // LeaderChange, KRaftVersion, Voters, the level
    story_start_broker(story, 1, -1);
    story_topic(story, "t", 1, 1);
    assert_int_equal(story_partition(story, "t", 0)->directory_count, 0);
    assert_ok(ctrl_shutdown_broker(story->ctrl, 1, STORY_MS));
    assert_partition(story, -1, 1, 1, 0, 0);
    story_close(story);
    story_open(story);
    story_start_broker(story, 1, -1);
    assert_partition(story, 1, 2, 1, 0, 0);
    story_kill(story); // and without a word
    story_open(story);
    story_start_broker(story, 1, -1);
    assert_partition(story, 1, 4, 1, 0, 0);
}

static void with_others_the_leader_moves(void **state)
{
    struct story *story = begin(state);
    story_start_broker(story, 1, -1);
    story_start_broker(story, 2, -1);
    story_start_broker(story, 3, -1);
    const int32_t replicas[] = {2, 1, 3};
    struct ctrl_assignment assignment = {0, replicas, 3};
    struct ctrl_new_topic topic = {.name = slice_str("t"),
                                   .partitions = -1,
                                   .replication_factor = -1,
                                   .assignments = &assignment,
                                   .assignment_count = 1};
    assert_int_equal(story_try_topic(story, &topic).result.error, 0);
    assert_partition(story, 2, 0, 3, 0, 0);
    assert_ok(ctrl_shutdown_broker(story->ctrl, 3, STORY_MS));
    assert_partition(story, 2, 0, 2, 0, 0); // no leader of it: no new leader epoch
    assert_ok(ctrl_shutdown_broker(story->ctrl, 2, STORY_MS));
    assert_partition(story, 1, 1, 1, 0, 0);
    assert_ok(ctrl_unfence_broker(story->ctrl, 2, STORY_MS));
    assert_partition(story, 1, 1, 1, 0, 0); // it comes back to the ISR by fetching
}

static void a_lost_directory_has_no_leaders(void **state)
{
    struct story *story = begin(state);
    struct uuid directories[] = {{{1}}, {{2}}};
    struct ctrl_registration registration = {.node_id = 1,
                                             .incarnation = ctrl__uuid_random(),
                                             .directories = directories,
                                             .directory_count = 2,
                                             .previous_epoch = -1};
    int64_t epoch;
    assert_ok(ctrl_register_broker(story->ctrl, &registration, STORY_MS, &epoch));
    assert_ok(ctrl_unfence_broker(story->ctrl, 1, STORY_MS));
    story_topic(story, "t", 2, 1);
    struct uuid first = story_partition(story, "t", 0)->directories[0];
    assert_false(uuid_equal(first, story_partition(story, "t", 1)->directories[0])); // spread
    assert_ok(ctrl_directory_offline(story->ctrl, 1, first, STORY_MS));
    assert_partition(story, -1, 1, 0, 1, 0);
    assert_int_equal(story_partition(story, "t", 1)->leader, 1);
    assert_int_equal(meta_broker(ctrl_view(story->ctrl), 1)->directory_count, 1);
    int64_t end = ctrl_end_offset(story->ctrl);
    assert_ok(ctrl_directory_offline(story->ctrl, 1, first, STORY_MS)); // known already
    assert_int_equal(ctrl_end_offset(story->ctrl), end);
    assert_ok(ctrl_unfence_broker(story->ctrl, 1, STORY_MS));
    assert_int_equal(story_partition(story, "t", 0)->leader, -1); // its directory is not there
    story_topic(story, "u", 1, 1);
    assert_false(uuid_equal(first, story_partition(story, "u", 0)->directories[0]));
}

static void a_replica_is_told_to_lie_in_another_directory(void **state)
{
    struct story *story = begin(state);
    struct uuid directories[] = {{{1}}, {{2}}};
    struct ctrl_registration registration = {.node_id = 1,
                                             .incarnation = ctrl__uuid_random(),
                                             .directories = directories,
                                             .directory_count = 2,
                                             .previous_epoch = -1};
    int64_t epoch;
    assert_ok(ctrl_register_broker(story->ctrl, &registration, STORY_MS, &epoch));
    assert_ok(ctrl_unfence_broker(story->ctrl, 1, STORY_MS));
    struct uuid topic = story_topic(story, "t", 2, 1), there = story_partition(story, "t", 1)->directories[0];
    assert_ok(ctrl_assign_directory(story->ctrl, 1, topic, 0, there, STORY_MS));
    assert_true(uuid_equal(story_partition(story, "t", 0)->directories[0], there));
    assert_partition(story, 1, 0, 1, 0, 0); // whoever leads goes on in its epoch
    assert_int_equal(story_partition(story, "t", 0)->partition_epoch, 1);
    int64_t end = ctrl_end_offset(story->ctrl);
    assert_ok(ctrl_assign_directory(story->ctrl, 1, topic, 0, there, STORY_MS)); // it does already
    assert_ok(ctrl_assign_directory(story->ctrl, 1, topic, 5, there, STORY_MS)); // nobody
    assert_ok(ctrl_assign_directory(story->ctrl, 7, topic, 0, there, STORY_MS)); // none of its replicas
    assert_int_equal(ctrl_end_offset(story->ctrl), end);
}

static void producer_ids_come_in_blocks_of_1000(void **state)
{
    struct story *story = begin(state);
    int64_t epoch = story_start_broker(story, 1, -1), first;
    int32_t count;
    assert_ok(ctrl_producer_ids_allocate(story->ctrl, 1, epoch, STORY_MS, &first, &count));
    assert_int_equal(first, 0);
    assert_int_equal(count, 1000);
    assert_int_equal(ctrl_producer_ids_allocate(story->ctrl, 1, epoch + 1, STORY_MS, &first, &count).error, ESTALE);
    assert_int_equal(ctrl_producer_ids_allocate(story->ctrl, 2, epoch, STORY_MS, &first, &count).error, ESTALE);
    assert_ok(ctrl_flush(story->ctrl));
    story_kill(story);
    story_open(story);
    epoch = story_start_broker(story, 1, -1);
    assert_ok(ctrl_producer_ids_allocate(story->ctrl, 1, epoch, STORY_MS, &first, &count));
    assert_int_equal(first, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_broker_is_fenced_until_it_is_unfenced),
        story_test(the_same_incarnation_may_say_more),
        story_test(a_clean_stop_and_start_go_through_the_elr),
        story_test(a_start_after_a_kill_elects_the_last_known_leader),
        story_test(kafkas_killed_directory_starts_as_kafka_starts_it),
        story_test(a_mark_of_another_epoch_is_no_clean_stop),
        story_test(old_levels_keep_the_last_isr_member),
        story_test(with_others_the_leader_moves),
        story_test(a_lost_directory_has_no_leaders),
        story_test(a_replica_is_told_to_lie_in_another_directory),
        story_test(producer_ids_come_in_blocks_of_1000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
