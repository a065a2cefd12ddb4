// SPDX-License-Identifier: Apache-2.0
/* ctrl/topics_test.c - creating, deleting and growing topics: what Apache Kafka 4.3.1 answers, and what it writes.
 */
#include "ctrl/ctrl_test.h"

static struct story *begin(void **state)
{
    struct story *story = *state;
    story_format(story);
    story_open(story);
    story_start_broker(story, 1, -1);
    return story;
}

/* ---- creating */
static const int32_t ONE[] = {1}, NINE[] = {9}, TWICE[] = {1, 1}, WITH_FENCED[] = {1, 2}, FENCED[] = {2};
static const struct ctrl_assignment NONE[] = {{0, ONE, 0}}, UNKNOWN[] = {{0, NINE, 1}}, DOUBLE[] = {{0, TWICE, 2}},
                                    SAME[] = {{0, ONE, 1}, {0, ONE, 1}}, GAP[] = {{0, ONE, 1}, {2, ONE, 1}},
                                    UNEVEN[] = {{0, WITH_FENCED, 2}, {1, ONE, 1}}, DEAD[] = {{0, FENCED, 1}};
static const char LONG_NAME[] =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static const struct {
    const char *name;
    int32_t partitions;
    int16_t replicas;
    const struct ctrl_assignment *assignments;
    int32_t assignment_count;
    const char *config, *value;
    int16_t error;
    const char *message;
} REFUSALS[] = {
    {"", 1, 1, NULL, 0, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION,
     "Topic name is invalid: the empty string is not allowed"},
    {".", 1, 1, NULL, 0, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION, "Topic name is invalid: '.' is not allowed"},
    {"a b", 1, 1, NULL, 0, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION,
     "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
    {"__cluster_metadata", 1, 1, NULL, 0, NULL, NULL, KAFKA_INVALID_REQUEST,
     "Creation of internal topic __cluster_metadata is prohibited."},
    {"there_is", 1, 1, NULL, 0, NULL, NULL, KAFKA_TOPIC_ALREADY_EXISTS, "Topic 'there_is' already exists."},
    {"there.is", 1, 1, NULL, 0, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION,
     "Topic 'there.is' collides with existing topic: there_is"},
    {"t", 0, 1, NULL, 0, NULL, NULL, KAFKA_INVALID_PARTITIONS,
     "Number of partitions was set to an invalid non-positive value."},
    {"t", -2, 1, NULL, 0, NULL, NULL, KAFKA_INVALID_PARTITIONS,
     "Number of partitions was set to an invalid non-positive value."},
    {"t", 1, 0, NULL, 0, NULL, NULL, KAFKA_INVALID_REPLICATION_FACTOR,
     "Replication factor must be larger than 0, or -1 to use the default value."},
    {"t", 1, 3, NULL, 0, NULL, NULL, KAFKA_INVALID_REPLICATION_FACTOR,
     "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 2 "
     "broker(s) are registered or some brokers have all their log directories cordoned."},
    {"t", 10001, 1, NULL, 0, NULL, NULL, KAFKA_POLICY_VIOLATION, "Excessively large number of partitions per request."},
    {"t", -1, 1, GAP, 2, NULL, NULL, KAFKA_INVALID_REQUEST,
     "A manual partition assignment was specified, but replication factor was not set to -1."},
    {"t", 1, -1, GAP, 2, NULL, NULL, KAFKA_INVALID_REQUEST,
     "A manual partition assignment was specified, but numPartitions was not set to -1."},
    {"t", -1, -1, GAP, 2, NULL, NULL, KAFKA_INVALID_REPLICA_ASSIGNMENT,
     "partitions should be a consecutive 0-based integer sequence"},
    {"t", -1, -1, SAME, 2, NULL, NULL, KAFKA_INVALID_REPLICA_ASSIGNMENT,
     "Found multiple manual partition assignments for partition 0"},
    {"t", -1, -1, NONE, 1, NULL, NULL, KAFKA_INVALID_REPLICA_ASSIGNMENT,
     "The manual partition assignment includes an empty replica list."},
    {"t", -1, -1, UNKNOWN, 1, NULL, NULL, KAFKA_INVALID_REPLICA_ASSIGNMENT,
     "The manual partition assignment includes broker 9, but no such broker is registered."},
    {"t", -1, -1, DOUBLE, 1, NULL, NULL, KAFKA_INVALID_REPLICA_ASSIGNMENT,
     "The manual partition assignment includes the broker 1 more than once."},
    {"t", -1, -1, UNEVEN, 2, NULL, NULL, KAFKA_INVALID_REPLICA_ASSIGNMENT,
     "The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous "
     "partitions, which have 2 replica(s)."},
    {"t", -1, -1, DEAD, 1, NULL, NULL, KAFKA_INVALID_REPLICA_ASSIGNMENT,
     "All brokers specified in the manual partition assignment for partition 0 are fenced or in controlled shutdown."},
    {"t", 1, 1, NULL, 0, "retention.ms", NULL, KAFKA_INVALID_CONFIG,
     "Null value not supported for topic configs: retention.ms"},
    {"t", 1, 1, NULL, 0, "no.such", "1", KAFKA_INVALID_CONFIG, "Unknown topic config name: no.such"},
    {"t", 1, 1, NULL, 0, "retention.ms", "soon", KAFKA_INVALID_CONFIG,
     "Invalid value soon for configuration retention.ms: Not a number of type LONG"},
};

static void a_topic_is_refused_in_kafkas_words(void **state)
{
    struct story *story = begin(state);
    story_register(story, 2, -1); // fenced
    story_topic(story, "there_is", 1, 1);
    int64_t end = ctrl_end_offset(story->ctrl);
    for (size_t i = 0; i < COUNT_OF(REFUSALS); i++) {
        struct meta_config_entry config = {slice_str(REFUSALS[i].config), slice_str(REFUSALS[i].value)};
        struct ctrl_new_topic topic = {.name = slice_str(REFUSALS[i].name),
                                       .partitions = REFUSALS[i].partitions,
                                       .replication_factor = REFUSALS[i].replicas,
                                       .assignments = REFUSALS[i].assignments,
                                       .assignment_count = REFUSALS[i].assignment_count,
                                       .configs = &config,
                                       .config_count = REFUSALS[i].config ? 1 : 0};
        struct ctrl_new_topic_result result = story_try_topic(story, &topic);
        assert_result(&result.result, REFUSALS[i].error, REFUSALS[i].message);
        assert_true(uuid_is_zero(result.id));
    }
    struct ctrl_new_topic topic = {.name = slice_str(LONG_NAME), .partitions = 1, .replication_factor = 1};
    assert_int_equal(strlen(LONG_NAME), 250);
    assert_int_equal(story_try_topic(story, &topic).result.error, KAFKA_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(ctrl_end_offset(story->ctrl), end);
}

static void without_a_live_broker_there_is_no_topic(void **state)
{
    struct story *story = *state;
    story_format(story);
    story_open(story);
    struct ctrl_new_topic topic = {.name = slice_str("t"), .partitions = 1, .replication_factor = 1};
    struct ctrl_new_topic_result result = story_try_topic(story, &topic);
    assert_result(&result.result, KAFKA_INVALID_REPLICATION_FACTOR,
                  "Unable to replicate the partition 1 time(s): All brokers are currently fenced, or have all their "
                  "log directories cordoned.");
}

static void a_topic_is_its_record_its_settings_and_its_partitions(void **state)
{
    struct story *story = begin(state);
    const struct meta_config_entry configs[] = {{slice_str("retention.ms"), slice_str("1000")},
                                                {slice_str("min.insync.replicas"), slice_str("1")}};
    struct ctrl_new_topic topic = {
        .name = slice_str("t"), .partitions = 3, .replication_factor = -1, .configs = configs, .config_count = 2};
    int64_t end = ctrl_end_offset(story->ctrl);
    struct ctrl_new_topic_result result = story_try_topic(story, &topic);
    assert_result(&result.result, KAFKA_NONE, NULL);
    assert_int_equal(result.partitions, 3);
    assert_int_equal(result.replication_factor, 1);
    assert_int_equal(ctrl_end_offset(story->ctrl), end + 1 + 2 + 1 + 3); // ClearElr follows min.insync.replicas
    const struct meta_topic *found = meta_topic_by_id(ctrl_view(story->ctrl), result.id);
    assert_slice(found->name, "t");
    assert_int_equal(found->partition_count, 3);
    assert_int_equal(story_partition(story, "t", 2)->leader, 1);
    assert_int_equal(story_partition(story, "t", 2)->leader_epoch, 0);
    assert_true(uuid_equal(story_partition(story, "t", 2)->directories[0], story_directory_id(story)));
    const struct meta_configs *set = meta_configs(ctrl_view(story->ctrl), META_RESOURCE_TOPIC, slice_str("t"));
    assert_int_equal(set->entry_count, 2);
    assert_slice(meta_configs_get(set, slice_str("retention.ms")), "1000");
    assert_true(ctrl_is_dirty(story->ctrl));
    assert_ok(ctrl_flush(story->ctrl));
    assert_false(ctrl_is_dirty(story->ctrl));
}

static void the_defaults_are_those_of_the_settings(void **state)
{
    struct story *story = begin(state);
    meta_settings_set(story->settings, "num.partitions", "4");
    struct ctrl_new_topic topic = {.name = slice_str("t"), .partitions = -1, .replication_factor = -1};
    assert_int_equal(story_try_topic(story, &topic).partitions, 4);
    meta_settings_set(story->settings, "default.replication.factor", "2");
    topic.name = slice_str("u");
    assert_int_equal(story_try_topic(story, &topic).result.error, KAFKA_INVALID_REPLICATION_FACTOR);
}

static void elements_of_a_request_stand_alone(void **state)
{
    struct story *story = begin(state);
    struct ctrl_new_topic topics[] = {{.name = slice_str("a"), .partitions = 1, .replication_factor = 1},
                                      {.name = slice_str("b"), .partitions = 0, .replication_factor = 1},
                                      {.name = slice_str("c"), .partitions = 1, .replication_factor = 1},
                                      {.name = slice_str("c"), .partitions = 2, .replication_factor = 1},
                                      {.name = slice_str("d"), .partitions = 1, .replication_factor = 1}};
    struct ctrl_new_topic_result results[5];
    int64_t end = ctrl_end_offset(story->ctrl);
    assert_ok(ctrl_create_topics(story->ctrl, topics, 5, true, NULL, &story->arena, STORY_MS, results));
    assert_int_equal(ctrl_end_offset(story->ctrl), end); // validate only
    assert_int_equal(results[0].result.error, 0);
    assert_ok(ctrl_create_topics(story->ctrl, topics, 5, false, NULL, &story->arena, STORY_MS, results));
    assert_int_equal(results[0].result.error, 0);
    assert_int_equal(results[1].result.error, KAFKA_INVALID_PARTITIONS);
    assert_result(&results[2].result, KAFKA_INVALID_REQUEST, "Duplicate topic name.");
    assert_result(&results[3].result, KAFKA_INVALID_REQUEST, "Duplicate topic name.");
    assert_int_equal(results[4].result.error, 0);
    assert_int_equal(ctrl_view(story->ctrl)->topic_count, 2);
}

static void replicas_are_spread_over_brokers_and_racks(void **state)
{
    struct story *story = begin(state);
    for (int32_t id = 2; id <= 6; id++)
        story_start_broker(story, id, -1);
    story_topic(story, "t", 60, 3);
    int leads[7] = {0}, has[7] = {0};
    for (int32_t i = 0; i < 60; i++) {
        const struct meta_partition *partition = story_partition(story, "t", i);
        assert_int_equal(partition->replica_count, 3);
        leads[partition->leader]++;
        for (int k = 0; k < 3; k++) {
            has[partition->replicas[k]]++;
            for (int j = 0; j < k; j++)
                assert_int_not_equal(partition->replicas[k], partition->replicas[j]);
        }
    }
    for (int id = 1; id <= 6; id++) {
        assert_int_equal(leads[id], 10);
        assert_int_equal(has[id], 30);
    }
    assert_ok(ctrl_shutdown_broker(story->ctrl, 6, STORY_MS));
    story_topic(story, "u", 20, 3);
    for (int32_t i = 0; i < 20; i++)
        assert_false(meta_partition_has_replica(story_partition(story, "u", i), 6)); // it is leaving
}

/* ---- deleting */
static void topics_are_deleted_by_name_and_by_id(void **state)
{
    struct story *story = begin(state);
    struct uuid a = story_topic(story, "a", 2, 1), b = story_topic(story, "b", 1, 1);
    story_topic(story, "c", 1, 1);
    story_topic(story, "d", 1, 1);
    struct ctrl_topic_ref refs[] = {
        {slice_str("a"), UUID_ZERO}, {SLICE_NULL, b},     {slice_str("no"), UUID_ZERO}, {SLICE_NULL, {{9}}},
        {SLICE_NULL, UUID_ZERO},     {slice_str("c"), b}, {slice_str("c"), UUID_ZERO},  {slice_str("c"), UUID_ZERO}};
    struct ctrl_result results[COUNT_OF(refs)];
    assert_ok(ctrl_delete_topics(story->ctrl, refs, (int32_t)COUNT_OF(refs), &story->arena, STORY_MS, results));
    assert_result(&results[0], KAFKA_NONE, NULL);
    assert_true(uuid_equal(refs[0].id, a));
    assert_result(&results[1], KAFKA_NONE, NULL);
    assert_slice(refs[1].name, "b");
    assert_result(&results[2], KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.");
    assert_result(&results[3], KAFKA_UNKNOWN_TOPIC_ID, "This server does not host this topic ID.");
    assert_result(&results[4], KAFKA_INVALID_REQUEST, "Neither topic name nor id were specified.");
    assert_result(&results[5], KAFKA_INVALID_REQUEST, "You may not specify both topic name and topic id.");
    assert_result(&results[6], KAFKA_INVALID_REQUEST, "Duplicate topic name.");
    assert_result(&results[7], KAFKA_INVALID_REQUEST, "Duplicate topic name.");
    assert_int_equal(ctrl_view(story->ctrl)->topic_count, 2);
    assert_null(meta_topic_by_name(ctrl_view(story->ctrl), slice_str("a")));
}

static void a_name_and_its_id_are_the_same_topic(void **state)
{
    struct story *story = begin(state);
    struct uuid a = story_topic(story, "a", 1, 1);
    struct ctrl_topic_ref refs[] = {{SLICE_NULL, a}, {slice_str("a"), UUID_ZERO}};
    struct ctrl_result results[2];
    assert_ok(ctrl_delete_topics(story->ctrl, refs, 2, &story->arena, STORY_MS, results));
    assert_result(&results[1], KAFKA_INVALID_REQUEST,
                  "The provided topic name maps to an ID that was already supplied.");
    assert_int_equal(results[0].error, KAFKA_INVALID_REQUEST);
    assert_non_null(meta_topic_by_id(ctrl_view(story->ctrl), a));
}

static void a_deleted_topic_takes_its_settings_along(void **state)
{
    struct story *story = begin(state);
    const struct meta_config_entry config = {slice_str("retention.ms"), slice_str("1000")};
    struct ctrl_new_topic topic = {
        .name = slice_str("a"), .partitions = 1, .replication_factor = 1, .configs = &config, .config_count = 1};
    struct uuid first = story_try_topic(story, &topic).id;
    struct ctrl_topic_ref ref = {slice_str("a"), UUID_ZERO};
    struct ctrl_result result;
    assert_ok(ctrl_delete_topics(story->ctrl, &ref, 1, &story->arena, STORY_MS, &result));
    assert_null(meta_configs(ctrl_view(story->ctrl), META_RESOURCE_TOPIC, slice_str("a")));
    topic.config_count = 0;
    struct uuid second = story_try_topic(story, &topic).id;
    assert_false(uuid_equal(first, second));
    assert_null(meta_configs(ctrl_view(story->ctrl), META_RESOURCE_TOPIC, slice_str("a")));
}

/* ---- growing */
static struct ctrl_result grow(struct story *story, const char *name, int32_t count,
                               const struct ctrl_assignment *assignments, int32_t assignment_count)
{
    struct ctrl_more_partitions more = {slice_str(name), count, assignments, assignment_count};
    struct ctrl_result result;
    assert_ok(ctrl_create_partitions(story->ctrl, &more, 1, false, NULL, &story->arena, STORY_MS, &result));
    return result;
}

static void partitions_are_added(void **state)
{
    struct story *story = begin(state);
    story_topic(story, "t", 2, 1);
    struct ctrl_result result = grow(story, "t", 5, NULL, 0);
    assert_result(&result, KAFKA_NONE, NULL);
    assert_int_equal(meta_topic_by_name(ctrl_view(story->ctrl), slice_str("t"))->partition_count, 5);
    assert_int_equal(story_partition(story, "t", 4)->leader, 1);
    result = grow(story, "t", 6, (struct ctrl_assignment[]){{0, ONE, 1}}, 1);
    assert_result(&result, KAFKA_NONE, NULL);
    assert_int_equal(story_partition(story, "t", 5)->replicas[0], 1);
}

static void more_partitions_are_refused_in_kafkas_words(void **state)
{
    struct story *story = begin(state);
    story_topic(story, "t", 2, 1);
    struct ctrl_result result = grow(story, "no", 5, NULL, 0);
    assert_result(&result, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, NULL);
    result = grow(story, "t", 2, NULL, 0);
    assert_result(&result, KAFKA_INVALID_PARTITIONS, "Topic already has 2 partition(s).");
    result = grow(story, "t", 1, NULL, 0);
    assert_result(&result, KAFKA_INVALID_PARTITIONS,
                  "The topic t currently has 2 partition(s); 1 would not be an increase.");
    result = grow(story, "t", 4, (struct ctrl_assignment[]){{0, ONE, 1}}, 1);
    assert_result(&result, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                  "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.");
    result = grow(story, "t", 3, (struct ctrl_assignment[]){{0, TWICE, 2}}, 1);
    assert_result(&result, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                  "The manual partition assignment includes the broker 1 more than once.");
    result = grow(story, "t", 3, (struct ctrl_assignment[]){{0, NINE, 1}}, 1);
    assert_result(&result, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                  "The manual partition assignment includes broker 9, but no such broker is registered.");
    result = grow(story, "t", INT32_MAX, NULL, 0);
    assert_int_equal(result.error, KAFKA_UNKNOWN_SERVER_ERROR);
    assert_true(slice_is_null(result.message));
    assert_ok(ctrl_shutdown_broker(story->ctrl, 1, STORY_MS));
    result = grow(story, "t", 3, NULL, 0);
    assert_result(&result, KAFKA_INVALID_REPLICATION_FACTOR,
                  "All brokers are currently fenced, or have all their log directories cordoned.");
    struct ctrl_more_partitions twice[] = {{slice_str("t"), 3, NULL, 0}, {slice_str("t"), 4, NULL, 0}};
    struct ctrl_result results[2];
    assert_ok(ctrl_create_partitions(story->ctrl, twice, 2, false, NULL, &story->arena, STORY_MS, results));
    assert_result(&results[0], KAFKA_INVALID_REQUEST, "Duplicate topic name.");
    assert_result(&results[1], KAFKA_INVALID_REQUEST, "Duplicate topic name.");
    assert_int_equal(meta_topic_by_name(ctrl_view(story->ctrl), slice_str("t"))->partition_count, 2);
}

static void the_cluster_gets_no_more_partitions_than_it_may_have(void **state)
{
    static const char message[] = "The cluster would have more partitions than ottla.partitions.max.";
    struct story *story = begin(state);
    int32_t there = ctrl_view(story->ctrl)->partition_count;
    char limit[16];
    snprintf(limit, sizeof limit, "%d", (int)there + 5);
    meta_settings_set(story->settings, "ottla.partitions.max", limit);
    struct ctrl_new_topic topics[] = {{.name = slice_str("a"), .partitions = 3, .replication_factor = 1},
                                      {.name = slice_str("b"), .partitions = 3, .replication_factor = 1},
                                      {.name = slice_str("c"), .partitions = 2, .replication_factor = 1}};
    struct ctrl_new_topic_result results[3];
    assert_ok(ctrl_create_topics(story->ctrl, topics, 3, false, NULL, &story->arena, STORY_MS, results));
    assert_result(&results[0].result, KAFKA_NONE, NULL);
    assert_result(&results[1].result, KAFKA_POLICY_VIOLATION, message); // beside the first there is no room for it
    assert_result(&results[2].result, KAFKA_NONE, NULL);
    struct ctrl_result result = grow(story, "a", 4, NULL, 0);
    assert_result(&result, KAFKA_POLICY_VIOLATION, message);
    assert_int_equal(ctrl_growth_refused(story->ctrl), 2);
    assert_int_equal(ctrl_view(story->ctrl)->partition_count, there + 5);
    assert_null(meta_topic_by_name(ctrl_view(story->ctrl), slice_str("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_topic_is_refused_in_kafkas_words),
        story_test(without_a_live_broker_there_is_no_topic),
        story_test(a_topic_is_its_record_its_settings_and_its_partitions),
        story_test(the_defaults_are_those_of_the_settings),
        story_test(elements_of_a_request_stand_alone),
        story_test(replicas_are_spread_over_brokers_and_racks),
        story_test(topics_are_deleted_by_name_and_by_id),
        story_test(a_name_and_its_id_are_the_same_topic),
        story_test(a_deleted_topic_takes_its_settings_along),
        story_test(partitions_are_added),
        story_test(more_partitions_are_refused_in_kafkas_words),
        story_test(the_cluster_gets_no_more_partitions_than_it_may_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
