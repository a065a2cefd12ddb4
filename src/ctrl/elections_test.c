// SPDX-License-Identifier: Apache-2.0
/* ctrl/elections_test.c - elections that are asked for, reassignments, a broker that goes for good. */
#include "ctrl/ctrl_test.h"

static struct story *begin(void **state)
{
    struct story *story = *state;
    story_format(story);
    story_open(story);
    story_start_broker(story, 1, -1);
    return story;
}

static struct ctrl_result elect(struct story *story, enum ctrl_election_type type, const char *topic, int32_t index)
{
    struct ctrl_election_ref ref = {slice_str(topic), index};
    struct ctrl_result result;
    assert_ok(ctrl_elect_leaders(story->ctrl, type, &ref, 1, &story->arena, STORY_MS, &result));
    return result;
}

static void a_leader_that_is_the_wanted_one_stays(void **state)
{
    struct story *story = begin(state);
    story_topic(story, "t", 1, 1);
    int64_t end = ctrl_end_offset(story->ctrl);
    struct ctrl_result preferred = elect(story, CTRL_ELECT_PREFERRED, "t", 0);
    struct ctrl_result unclean = elect(story, CTRL_ELECT_UNCLEAN, "t", 0);
    assert_result(&preferred, KAFKA_ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.");
    assert_result(&unclean, KAFKA_ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.");
    assert_int_equal(ctrl_end_offset(story->ctrl), end);
}

static void what_is_not_there_has_no_election(void **state)
{
    struct story *story = begin(state);
    story_topic(story, "t", 1, 1);
    struct ctrl_result topic = elect(story, CTRL_ELECT_PREFERRED, "u", 0);
    struct ctrl_result partition = elect(story, CTRL_ELECT_PREFERRED, "t", -1);
    assert_result(&topic, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "No such topic as u");
    assert_result(&partition, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "No such partition as t--1");
}

/* A topic of nodes 1 and 2, led by 2. */
static void led_by_the_second(struct story *story)
{
    static const int32_t replicas[] = {1, 2};
    struct ctrl_assignment assignment = {0, replicas, 2};
    struct ctrl_new_topic topic = {
        .name = slice_str("t"), .partitions = -1, .replication_factor = -1, .assignments = &assignment};
    topic.assignment_count = 1;
    story_start_broker(story, 2, -1);
    struct ctrl_new_topic_result made = story_try_topic(story, &topic);
    assert_result(&made.result, KAFKA_NONE, NULL);
    assert_ok(ctrl_shutdown_broker(story->ctrl, 1, STORY_MS));
    assert_int_equal(story_partition(story, "t", 0)->leader, 2);
}

static void the_first_replica_is_preferred_only_while_it_may_lead(void **state)
{
    struct story *story = begin(state);
    led_by_the_second(story);
    struct ctrl_result away = elect(story, CTRL_ELECT_PREFERRED, "t", 0);
    assert_result(&away, KAFKA_PREFERRED_LEADER_NOT_AVAILABLE, "The preferred leader was not available.");
    story_start_broker(story, 1, -1); // unfenced, but not in sync
    struct ctrl_result behind = elect(story, CTRL_ELECT_PREFERRED, "t", 0);
    assert_result(&behind, KAFKA_PREFERRED_LEADER_NOT_AVAILABLE, "The preferred leader was not available.");
    assert_int_equal(story_partition(story, "t", 0)->leader, 2);
}

static void an_unclean_election_takes_whoever_lives(void **state)
{
    struct story *story = begin(state);
    led_by_the_second(story);
    assert_ok(ctrl_shutdown_broker(story->ctrl, 2, STORY_MS));
    assert_int_equal(story_partition(story, "t", 0)->leader, -1);
    struct ctrl_result nobody = elect(story, CTRL_ELECT_UNCLEAN, "t", 0);
    assert_result(&nobody, KAFKA_ELIGIBLE_LEADERS_NOT_AVAILABLE, "Eligible topic partition leaders are not available.");
    story_start_broker(story, 1, -1);
    int32_t epoch = story_partition(story, "t", 0)->leader_epoch;
    assert_int_equal(story_partition(story, "t", 0)->leader, -1); // 2 has what 1 may lack
    assert_int_equal(ctrl_unclean_elections(story->ctrl), 0);
    struct ctrl_result elected = elect(story, CTRL_ELECT_UNCLEAN, "t", 0);
    assert_result(&elected, KAFKA_NONE, NULL);
    assert_true(story_partition(story, "t", 0)->leader_epoch > epoch);
    assert_int_equal(story_partition(story, "t", 0)->leader, 1);
    assert_int_equal(ctrl_unclean_elections(story->ctrl), 1);
}

/* ---- reassignments */
static struct ctrl_result reassign(struct story *story, const char *topic, int32_t index, const int32_t *replicas,
                                   int32_t count)
{
    struct ctrl_election_ref ref = {slice_str(topic), index};
    struct ctrl_result result;
    ctrl_check_reassignment(ctrl_view(story->ctrl), &ref, replicas, count, &story->arena, &result);
    return result;
}

static void a_partition_may_be_assigned_to_where_it_is(void **state)
{
    struct story *story = begin(state);
    story_topic(story, "t", 1, 1);
    struct ctrl_result same = reassign(story, "t", 0, (const int32_t[]){1}, 1);
    struct ctrl_result twice = reassign(story, "t", 0, (const int32_t[]){1, 1}, 2);
    struct ctrl_result cancelled = reassign(story, "t", 0, NULL, -1);
    assert_result(&same, KAFKA_NONE, NULL);
    assert_result(&twice, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                  "The manual partition assignment includes the broker 1 more than once.");
    assert_result(&cancelled, KAFKA_NO_REASSIGNMENT_IN_PROGRESS, NULL);
}

static void a_partition_does_not_move_to_another_node(void **state)
{
    struct story *story = begin(state);
    story_topic(story, "t", 1, 1);
    story_start_broker(story, 2, -1);
    struct ctrl_result moved = reassign(story, "t", 0, (const int32_t[]){2}, 1);
    assert_result(&moved, KAFKA_INVALID_REPLICA_ASSIGNMENT, "This version serves replicas on one node only.");
}

/* ---- going */
static struct ctrl_result unregister(struct story *story, int32_t node_id)
{
    struct ctrl_result result;
    assert_ok(ctrl_unregister_broker(story->ctrl, node_id, &story->arena, STORY_MS, &result));
    return result;
}

static void a_broker_that_nobody_knows_cannot_go(void **state)
{
    struct story *story = begin(state);
    struct ctrl_result result = unregister(story, 7);
    assert_result(&result, KAFKA_BROKER_ID_NOT_REGISTERED, "Broker ID 7 is not currently registered");
}

static void a_broker_that_goes_leads_nothing_and_may_come_again(void **state)
{
    struct story *story = begin(state);
    story_topic(story, "t", 1, 1);
    struct ctrl_result result = unregister(story, 1);
    assert_result(&result, KAFKA_NONE, NULL);
    assert_null(meta_broker(ctrl_view(story->ctrl), 1));
    assert_int_equal(story_partition(story, "t", 0)->leader, -1);
    story_close(story);
    story_open(story);
    assert_null(meta_broker(ctrl_view(story->ctrl), 1));
    story_start_broker(story, 1, -1);
    assert_int_equal(story_partition(story, "t", 0)->leader, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_leader_that_is_the_wanted_one_stays),
        story_test(what_is_not_there_has_no_election),
        story_test(the_first_replica_is_preferred_only_while_it_may_lead),
        story_test(an_unclean_election_takes_whoever_lives),
        story_test(a_partition_may_be_assigned_to_where_it_is),
        story_test(a_partition_does_not_move_to_another_node),
        story_test(a_broker_that_nobody_knows_cannot_go),
        story_test(a_broker_that_goes_leads_nothing_and_may_come_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
