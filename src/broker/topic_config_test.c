// SPDX-License-Identifier: Apache-2.0
/* broker/topic_config_test.c - a topic's settings reach its partitions while the broker runs: each is changed by request,
 * and taken back.
 */
#include "broker/broker_test.h"

#include "wire/gen/incremental_alter_configs.h"

enum { OP_SET = 0, OP_DELETE = 1, OF_TOPICS = 2 };

static int16_t alter(struct story *story, const char *name, const char *value)
{
    struct incremental_alter_configs_request body;
    struct incremental_alter_configs_request_alter_configs_resource resource;
    struct incremental_alter_configs_request_alterable_config config;
    incremental_alter_configs_request_init(&body);
    incremental_alter_configs_request_alter_configs_resource_init(&resource);
    incremental_alter_configs_request_alterable_config_init(&config);
    config.name = slice_str(name);
    config.config_operation = value ? OP_SET : OP_DELETE;
    config.value = value ? slice_str(value) : SLICE_NULL;
    resource.resource_type = OF_TOPICS;
    resource.resource_name = slice_str("t");
    resource.configs = &config;
    resource.configs_count = 1;
    body.resources = &resource;
    body.resources_count = 1;
    struct incremental_alter_configs_response *answer = story_call(story, API_INCREMENTAL_ALTER_CONFIGS, 1, &body);
    return answer->responses[0].error_code;
}

enum kind { IS_I64, IS_I32, IS_I8, IS_BOOL };
struct row {
    const char *name, *value;
    size_t place; // in struct partition_config
    enum kind kind;
    int64_t expected;
};
#define AT(field) offsetof(struct partition_config, field)

static const struct row ROWS[] = {
    {"segment.bytes", "2000000", AT(log.segment_bytes), IS_I64, 2000000},
    {"internal.segment.bytes", "3000", AT(log.segment_bytes), IS_I64, 3000},
    {"segment.ms", "4000", AT(log.segment_ms), IS_I64, 4000},
    {"segment.jitter.ms", "5000", AT(log.segment_jitter_ms), IS_I64, 5000},
    {"segment.index.bytes", "6000", AT(log.segment_index_bytes), IS_I64, 6000},
    {"index.interval.bytes", "7000", AT(log.index_interval_bytes), IS_I64, 7000},
    {"retention.ms", "8000", AT(log.retention_ms), IS_I64, 8000},
    {"retention.bytes", "9000", AT(log.retention_bytes), IS_I64, 9000},
    {"file.delete.delay.ms", "1000", AT(log.file_delete_delay_ms), IS_I64, 1000},
    {"delete.retention.ms", "1100", AT(log.delete_retention_ms), IS_I64, 1100},
    {"min.compaction.lag.ms", "1200", AT(log.min_compaction_lag_ms), IS_I64, 1200},
    {"max.compaction.lag.ms", "1300", AT(log.max_compaction_lag_ms), IS_I64, 1300},
    {"preallocate", "true", AT(log.preallocate), IS_BOOL, true},
    {"cleanup.policy", "compact", AT(log.cleanup_compact), IS_BOOL, true},
    {"cleanup.policy", "compact", AT(log.cleanup_delete), IS_BOOL, false},
    {"cleanup.policy", "compact,delete", AT(compacted), IS_BOOL, true},
    {"flush.messages", "1400", AT(flush_messages), IS_I64, 1400},
    {"flush.ms", "1500", AT(flush_ms), IS_I64, 1500},
    {"max.message.bytes", "1600", AT(max_message_bytes), IS_I32, 1600},
    {"min.insync.replicas", "2", AT(min_insync_replicas), IS_I32, 2},
    {"message.timestamp.type", "LogAppendTime", AT(log_append_time), IS_BOOL, true},
    {"message.timestamp.before.max.ms", "1700", AT(timestamp_before_max_ms), IS_I64, 1700},
    {"message.timestamp.after.max.ms", "1800", AT(timestamp_after_max_ms), IS_I64, 1800},
    {"compression.type", "snappy", AT(compression_type), IS_I8, RECORD_SNAPPY},
};

static int64_t value_of(struct partition *p, const struct row *row)
{
    struct partition_config config = partition_config_get(p);
    const void *at = (const uint8_t *)&config + row->place;
    switch (row->kind) {
    case IS_I64:
        return *(const int64_t *)at;
    case IS_I32:
        return *(const int32_t *)at;
    case IS_I8:
        return *(const int8_t *)at;
    case IS_BOOL:
        return *(const bool *)at;
    }
    fail();
    return 0;
}

static void each_setting_reaches_the_partition_and_is_taken_back(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    struct partition *p = story_partition(story, "t", 0);
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const struct row *row = &ROWS[i];
        int64_t before = value_of(p, row);
        assert_true(before != row->expected);
        assert_int_equal(alter(story, row->name, row->value), KAFKA_NONE);
        assert_int_equal(value_of(p, row), row->expected);
        assert_int_equal(alter(story, row->name, NULL), KAFKA_NONE);
        assert_int_equal(value_of(p, row), before);
    }
}

static void the_dirty_ratio_reaches_the_partition(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    struct partition *p = story_partition(story, "t", 0);
    assert_true(partition_config_get(p).log.min_cleanable_dirty_ratio == 0.5);
    assert_int_equal(alter(story, "min.cleanable.dirty.ratio", "0.25"), KAFKA_NONE);
    assert_true(partition_config_get(p).log.min_cleanable_dirty_ratio == 0.25);
}

/* The level is that of the codec in which the topic stores. */
static void each_codecs_level_reaches_the_partition(void **state)
{
    static const struct {
        const char *codec, *name, *value;
    } LEVELS[] = {{"gzip", "compression.gzip.level", "7"},
                  {"lz4", "compression.lz4.level", "11"},
                  {"zstd", "compression.zstd.level", "-5"}};
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    struct partition *p = story_partition(story, "t", 0);
    for (size_t i = 0; i < COUNT_OF(LEVELS); i++)
        assert_int_equal(alter(story, LEVELS[i].name, LEVELS[i].value), KAFKA_NONE);
    for (size_t i = 0; i < COUNT_OF(LEVELS); i++) {
        assert_int_equal(alter(story, "compression.type", LEVELS[i].codec), KAFKA_NONE);
        assert_int_equal(partition_config_get(p).compression_level, strtol(LEVELS[i].value, NULL, 10));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(each_setting_reaches_the_partition_and_is_taken_back),
        story_test(the_dirty_ratio_reaches_the_partition),
        story_test(each_codecs_level_reaches_the_partition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
