// SPDX-License-Identifier: Apache-2.0
/* ctrl/configs_test.c - changing settings: what is set afterwards, and what Apache Kafka 4.3.1 answers to what it refuses.
 */
#include "ctrl/ctrl_test.h"

static struct story *begin(void **state)
{
    struct story *story = *state;
    story_format(story);
    story_open(story);
    story_start_broker(story, 1, -1);
    story_topic(story, "t", 1, 1);
    return story;
}

static struct ctrl_result alter(struct story *story, int8_t type, const char *name, int8_t op, const char *key,
                                const char *value)
{
    struct ctrl_alter change = {slice_str(key), slice_str(value), op};
    struct ctrl_alter_resource resource = {.type = type, .name = slice_str(name), .alters = &change, .alter_count = 1};
    struct ctrl_result result;
    assert_ok(ctrl_alter_configs(story->ctrl, &resource, 1, false, &story->arena, STORY_MS, &result));
    return result;
}

static void assert_set(const struct story *story, int8_t type, const char *name, const char *key, const char *value)
{
    const struct meta_configs *configs = meta_configs(ctrl_view(story->ctrl), type, slice_str(name));
    assert_slice(meta_configs_get(configs, slice_str(key)), value);
}

static void alter_topic(struct story *story, int8_t op, const char *key, const char *value)
{
    struct ctrl_result result = alter(story, META_RESOURCE_TOPIC, "t", op, key, value);
    assert_result(&result, KAFKA_NONE, NULL);
}

static void a_setting_is_set_and_unset(void **state)
{
    struct story *story = begin(state);
    alter_topic(story, CTRL_ALTER_SET, "retention.ms", "1000");
    assert_set(story, META_RESOURCE_TOPIC, "t", "retention.ms", "1000");
    int64_t end = ctrl_end_offset(story->ctrl);
    alter_topic(story, CTRL_ALTER_SET, "retention.ms", "1000"); // no change, no record
    alter_topic(story, CTRL_ALTER_DELETE, "retention.bytes", NULL);
    assert_int_equal(ctrl_end_offset(story->ctrl), end);
    alter_topic(story, CTRL_ALTER_DELETE, "retention.ms", NULL);
    assert_set(story, META_RESOURCE_TOPIC, "t", "retention.ms", NULL);
    assert_null(meta_configs(ctrl_view(story->ctrl), META_RESOURCE_TOPIC, slice_str("t")));
}

static void lists_grow_and_shrink(void **state)
{
    struct story *story = begin(state);
    alter_topic(story, CTRL_ALTER_APPEND, "cleanup.policy", "compact"); // to the default
    assert_set(story, META_RESOURCE_TOPIC, "t", "cleanup.policy", "delete,compact");
    alter_topic(story, CTRL_ALTER_APPEND, "cleanup.policy", "compact");
    assert_set(story, META_RESOURCE_TOPIC, "t", "cleanup.policy", "delete,compact");
    alter_topic(story, CTRL_ALTER_SUBTRACT, "cleanup.policy", "delete");
    assert_set(story, META_RESOURCE_TOPIC, "t", "cleanup.policy", "compact");
}

static void replacing_takes_away_what_is_not_named(void **state)
{
    struct story *story = begin(state);
    alter_topic(story, CTRL_ALTER_SET, "retention.ms", "1000");
    alter_topic(story, CTRL_ALTER_SET, "retention.bytes", "2000");
    const struct ctrl_alter alters[] = {{slice_str("retention.ms"), slice_str("3000"), CTRL_ALTER_SET},
                                        {slice_str("flush.ms"), slice_str("4000"), CTRL_ALTER_SET}};
    struct ctrl_alter_resource resource = {META_RESOURCE_TOPIC, slice_str("t"), alters, 2, true};
    struct ctrl_result result;
    assert_ok(ctrl_alter_configs(story->ctrl, &resource, 1, true, &story->arena, STORY_MS, &result));
    assert_set(story, META_RESOURCE_TOPIC, "t", "retention.ms", "1000"); // validate only
    assert_ok(ctrl_alter_configs(story->ctrl, &resource, 1, false, &story->arena, STORY_MS, &result));
    assert_result(&result, KAFKA_NONE, NULL);
    assert_set(story, META_RESOURCE_TOPIC, "t", "retention.ms", "3000");
    assert_set(story, META_RESOURCE_TOPIC, "t", "flush.ms", "4000");
    assert_set(story, META_RESOURCE_TOPIC, "t", "retention.bytes", NULL);
}

static void brokers_hear_of_unchanged_values_too(void **state)
{
    struct story *story = begin(state);
    struct ctrl_result result = alter(story, META_RESOURCE_BROKER, "1", CTRL_ALTER_SET, "max.connections", "10");
    assert_result(&result, KAFKA_NONE, NULL);
    int64_t end = ctrl_end_offset(story->ctrl);
    result = alter(story, META_RESOURCE_BROKER, "1", CTRL_ALTER_SET, "max.connections", "10");
    assert_result(&result, KAFKA_NONE, NULL);
    assert_int_equal(ctrl_end_offset(story->ctrl), end + 1);
    result = alter(story, META_RESOURCE_BROKER, "", CTRL_ALTER_SET, "log.retention.ms", "5000");
    assert_result(&result, KAFKA_NONE, NULL);
    assert_set(story, META_RESOURCE_BROKER, "", "log.retention.ms", "5000");
    result = alter(story, META_RESOURCE_GROUP, "g", CTRL_ALTER_SET, "consumer.session.timeout.ms", "50000");
    assert_result(&result, KAFKA_NONE, NULL);
    assert_set(story, META_RESOURCE_GROUP, "g", "consumer.session.timeout.ms", "50000");
}

static void another_minimum_of_replicas_clears_the_elr(void **state)
{
    struct story *story = begin(state);
    assert_ok(ctrl_shutdown_broker(story->ctrl, 1, STORY_MS));
    assert_int_equal(story_partition(story, "t", 0)->elr_count, 1);
    int64_t end = ctrl_end_offset(story->ctrl);
    alter_topic(story, CTRL_ALTER_SET, "min.insync.replicas", "2");
    assert_int_equal(ctrl_end_offset(story->ctrl), end + 2);
    assert_int_equal(story_partition(story, "t", 0)->elr_count, 0);
}

static const struct {
    int8_t type;
    const char *name;
    int8_t op;
    const char *key, *value;
    int16_t error;
    const char *message;
} REFUSALS[] = {
    {META_RESOURCE_TOPIC, "no", CTRL_ALTER_SET, "retention.ms", "1", KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
     "The topic 'no' does not exist."},
    {META_RESOURCE_TOPIC, "", CTRL_ALTER_SET, "retention.ms", "1", KAFKA_INVALID_REQUEST,
     "Default topic resources are not allowed."},
    {META_RESOURCE_TOPIC, "a b", CTRL_ALTER_SET, "retention.ms", "1", KAFKA_INVALID_TOPIC_EXCEPTION,
     "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
    {META_RESOURCE_TOPIC, "t", CTRL_ALTER_SET, "no.such", "1", KAFKA_INVALID_CONFIG,
     "Unknown topic config name: no.such"},
    {META_RESOURCE_TOPIC, "t", CTRL_ALTER_SET, "retention.ms", "soon", KAFKA_INVALID_CONFIG,
     "Invalid value soon for configuration retention.ms: Not a number of type LONG"},
    {META_RESOURCE_TOPIC, "t", CTRL_ALTER_SET, "retention.ms", NULL, KAFKA_INVALID_REQUEST,
     "Null value not supported for : retention.ms"},
    {META_RESOURCE_TOPIC, "t", CTRL_ALTER_APPEND, "retention.ms", "1", KAFKA_INVALID_CONFIG,
     "Can't APPEND to key retention.ms because its type is not LIST."},
    {META_RESOURCE_TOPIC, "t", CTRL_ALTER_SUBTRACT, "retention.ms", "1", KAFKA_INVALID_CONFIG,
     "Can't SUBTRACT to key retention.ms because its type is not LIST."},
    {META_RESOURCE_TOPIC, "t", 7, "retention.ms", "1", KAFKA_INVALID_REQUEST, "Unknown operations type 7"},
    {META_RESOURCE_BROKER, "5", CTRL_ALTER_SET, "max.connections", "1", KAFKA_BROKER_ID_NOT_REGISTERED,
     "No node with id 5 found."},
    {META_RESOURCE_BROKER, "five", CTRL_ALTER_SET, "max.connections", "1", KAFKA_INVALID_REQUEST,
     "Unable to parse broker name as a base 10 number."},
    {META_RESOURCE_BROKER, "-5", CTRL_ALTER_SET, "max.connections", "1", KAFKA_INVALID_REQUEST,
     "Invalid negative broker ID."},
    {META_RESOURCE_BROKER, "1", CTRL_ALTER_SET, "log.dirs", "/x", KAFKA_INVALID_REQUEST,
     "Cannot update these configs dynamically: [log.dirs]"},
    {META_RESOURCE_BROKER, "1", CTRL_ALTER_SET, "min.insync.replicas", "2", KAFKA_INVALID_CONFIG,
     "Broker-level min.insync.replicas cannot be altered while ELR is enabled."},
    {META_RESOURCE_BROKER, "", CTRL_ALTER_DELETE, "min.insync.replicas", NULL, KAFKA_INVALID_CONFIG,
     "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."},
    {META_RESOURCE_BROKER_LOGGER, "1", CTRL_ALTER_SET, "x", "INFO", KAFKA_INVALID_REQUEST,
     "Unknown resource type BROKER_LOGGER"},
    {META_RESOURCE_GROUP, "", CTRL_ALTER_SET, "consumer.session.timeout.ms", "50000", KAFKA_INVALID_REQUEST,
     "Default group resources are not allowed."},
    {META_RESOURCE_CLIENT_METRICS, "", CTRL_ALTER_SET, "interval.ms", "1000", KAFKA_INVALID_REQUEST,
     "Subscription name can't be empty"},
};

static void a_change_is_refused_in_kafkas_words(void **state)
{
    struct story *story = begin(state);
    int64_t end = ctrl_end_offset(story->ctrl);
    for (size_t i = 0; i < COUNT_OF(REFUSALS); i++) {
        struct ctrl_result result =
            alter(story, REFUSALS[i].type, REFUSALS[i].name, REFUSALS[i].op, REFUSALS[i].key, REFUSALS[i].value);
        assert_result(&result, REFUSALS[i].error, REFUSALS[i].message);
    }
    assert_int_equal(ctrl_end_offset(story->ctrl), end);
}

static void a_value_has_at_most_32767_bytes(void **state)
{
    struct story *story = begin(state);
    char *value = mem_alloc(32769);
    memset(value, 'x', 32768);
    value[32768] = '\0';
    struct ctrl_result result = alter(story, META_RESOURCE_TOPIC, "t", CTRL_ALTER_SET, "retention.ms", value);
    assert_result(&result, KAFKA_INVALID_CONFIG,
                  "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.");
    mem_free(value);
}

static void what_is_named_twice_is_refused(void **state)
{
    struct story *story = begin(state);
    story_topic(story, "u", 1, 1);
    const struct ctrl_alter once[] = {{slice_str("retention.ms"), slice_str("1"), CTRL_ALTER_SET}};
    const struct ctrl_alter twice[] = {{slice_str("retention.ms"), slice_str("1"), CTRL_ALTER_SET},
                                       {slice_str("retention.ms"), slice_str("2"), CTRL_ALTER_SET}};
    struct ctrl_alter_resource resources[] = {{META_RESOURCE_TOPIC, slice_str("t"), once, 1, false},
                                              {META_RESOURCE_TOPIC, slice_str("t"), once, 1, false},
                                              {META_RESOURCE_TOPIC, slice_str("u"), twice, 2, false}};
    struct ctrl_result results[3];
    assert_ok(ctrl_alter_configs(story->ctrl, resources, 3, false, &story->arena, STORY_MS, results));
    assert_result(&results[0], KAFKA_INVALID_REQUEST, "Each resource must appear at most once.");
    assert_result(&results[1], KAFKA_INVALID_REQUEST, "Each resource must appear at most once.");
    assert_result(&results[2], KAFKA_INVALID_REQUEST, "Error due to duplicate config keys");
    assert_set(story, META_RESOURCE_TOPIC, "t", "retention.ms", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_setting_is_set_and_unset),
        story_test(lists_grow_and_shrink),
        story_test(replacing_takes_away_what_is_not_named),
        story_test(brokers_hear_of_unchanged_values_too),
        story_test(another_minimum_of_replicas_clears_the_elr),
        story_test(a_change_is_refused_in_kafkas_words),
        story_test(a_value_has_at_most_32767_bytes),
        story_test(what_is_named_twice_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
