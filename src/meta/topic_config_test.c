// SPDX-License-Identifier: Apache-2.0
/* meta/topic_config_test.c - which of the places that may set a topic's setting wins, and in which unit it comes out. */
#include "meta/meta_test.h"

struct world {
    struct meta_builder *builder;
    struct meta_settings *settings;
};

static struct world world_begin(void)
{
    return (struct world){meta_builder_create(NULL), meta_settings_create()};
}

static void world_end(struct world *world)
{
    meta_builder_free(world->builder);
    meta_settings_free(world->settings);
}

static void set(struct world *world, enum meta_config_resource type, const char *name, const char *key,
                const char *value)
{
    struct config_record record = {.resource_type = (int8_t)type,
                                   .resource_name = slice_str(name),
                                   .name = slice_str(key),
                                   .value = slice_str(value)};
    apply_ok(world->builder, encoded(META_CONFIG, &record));
}

static void assert_setting(struct world *world, enum meta_topic_config_index index, const char *value,
                           enum meta_config_source source)
{
    char text[META_VALUE_TEXT_SIZE];
    enum meta_config_source from;
    struct slice found = meta_topic_setting(meta_builder_view(world->builder), world->settings, 1, slice_str("t"),
                                            &meta_topic_configs.defs[index], text, &from);
    if (!slice_equal_str(found, value))
        fail_msg("%.*s instead of %s", (int)found.size, found.data, value);
    assert_int_equal(from, source);
}

static void nearest_place_that_says_something_wins(void **state)
{
    struct world world = world_begin();
    assert_setting(&world, META_TOPIC_RETENTION_MS, "604800000", META_SOURCE_DEFAULT);
    meta_settings_set(world.settings, "log.retention.hours", "2");
    assert_setting(&world, META_TOPIC_RETENTION_MS, "7200000", META_SOURCE_STATIC);
    meta_settings_set(world.settings, "log.retention.minutes", "3");
    assert_setting(&world, META_TOPIC_RETENTION_MS, "180000", META_SOURCE_STATIC);
    set(&world, META_RESOURCE_BROKER, "", "log.retention.ms", "4");
    assert_setting(&world, META_TOPIC_RETENTION_MS, "4", META_SOURCE_CLUSTER);
    set(&world, META_RESOURCE_BROKER, "2", "log.retention.ms", "9");
    assert_setting(&world, META_TOPIC_RETENTION_MS, "4", META_SOURCE_CLUSTER);
    set(&world, META_RESOURCE_BROKER, "1", "log.retention.ms", "5");
    assert_setting(&world, META_TOPIC_RETENTION_MS, "5", META_SOURCE_BROKER);
    set(&world, META_RESOURCE_TOPIC, "t", "retention.ms", "6");
    assert_setting(&world, META_TOPIC_RETENTION_MS, "6", META_SOURCE_TOPIC);
    set(&world, META_RESOURCE_TOPIC, "t", "retention.ms", NULL);
    assert_setting(&world, META_TOPIC_RETENTION_MS, "5", META_SOURCE_BROKER);
    world_end(&world);
}

static void value_of_a_log_that_does_not_parse_counts_as_not_set(void **state)
{
    struct world world = world_begin();
    set(&world, META_RESOURCE_BROKER, "", "message.max.bytes", "many");
    set(&world, META_RESOURCE_TOPIC, "t", "max.message.bytes", "-1");
    assert_setting(&world, META_TOPIC_MAX_MESSAGE_BYTES, "1048588", META_SOURCE_DEFAULT);
    struct meta_topic_config config;
    meta_topic_config(meta_builder_view(world.builder), world.settings, 1, slice_str("t"), &config);
    assert_int_equal(config.max_message_bytes, 1048588);
    world_end(&world);
}

static void settings_come_out_as_numbers_and_truths(void **state)
{
    struct world world = world_begin();
    struct meta_topic_config config;
    meta_topic_config(meta_builder_view(world.builder), NULL, 1, slice_str("t"), &config);
    assert_int_equal(config.segment_bytes, 1 << 30);
    assert_true(config.cleanup_delete && !config.cleanup_compact && !config.log_append_time);
    assert_int_equal(config.compression, -1);
    assert_true(config.min_cleanable_dirty_ratio == 0.5);
    assert_true(config.flush_ms == INT64_MAX && config.max_compaction_lag_ms == INT64_MAX);
    static const char *const pairs[][2] = {{"cleanup.policy", "compact, delete"},
                                           {"compression.type", "zstd"},
                                           {"segment.bytes", " 2000000"},
                                           {"message.timestamp.type", "LogAppendTime"},
                                           {"preallocate", "TRUE"},
                                           {"retention.ms", "-1"},
                                           {"min.cleanable.dirty.ratio", ".25"},
                                           {"min.insync.replicas", "2"},
                                           {"unclean.leader.election.enable", "true"}};
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        set(&world, META_RESOURCE_TOPIC, "t", pairs[i][0], pairs[i][1]);
    meta_topic_config(meta_builder_view(world.builder), world.settings, 1, slice_str("t"), &config);
    assert_true(config.cleanup_delete && config.cleanup_compact && config.log_append_time && config.preallocate &&
                config.unclean_election);
    assert_int_equal(config.compression, 4);
    assert_int_equal(config.segment_bytes, 2000000);
    assert_int_equal(config.retention_ms, -1);
    assert_int_equal(config.min_insync_replicas, 2);
    assert_true(config.min_cleanable_dirty_ratio == 0.25);
    set(&world, META_RESOURCE_TOPIC, "t", "internal.segment.bytes", "100");
    set(&world, META_RESOURCE_TOPIC, "t", "cleanup.policy", "");
    meta_topic_config(meta_builder_view(world.builder), world.settings, 1, slice_str("t"), &config);
    assert_int_equal(config.segment_bytes, 100);
    assert_true(!config.cleanup_delete && !config.cleanup_compact);
    world_end(&world);
}

static void negative_hours_keep_records_for_ever(void **state)
{
    struct world world = world_begin();
    meta_settings_set(world.settings, "log.retention.hours", "-1");
    assert_setting(&world, META_TOPIC_RETENTION_MS, "-1", META_SOURCE_STATIC);
    world_end(&world);
}

static void version_is_another_whenever_something_that_matters_changed(void **state)
{
    struct world world = world_begin();
    const struct meta_image *view = meta_builder_view(world.builder);
    static const struct {
        enum meta_config_resource type;
        const char *name, *key, *value;
        bool matters;
    } steps[] = {{META_RESOURCE_TOPIC, "t", "retention.ms", "1", true},
                 {META_RESOURCE_TOPIC, "u", "retention.ms", "1", false},
                 {META_RESOURCE_BROKER, "", "log.retention.ms", "2", true},
                 {META_RESOURCE_BROKER, "1", "log.retention.ms", "3", true},
                 {META_RESOURCE_BROKER, "2", "log.retention.ms", "3", false},
                 {META_RESOURCE_TOPIC, "t", "retention.ms", NULL, true},
                 {META_RESOURCE_BROKER, "1", "log.retention.ms", NULL, true},
                 {META_RESOURCE_GROUP, "t", "a", "b", false}};
    uint64_t seen[COUNT_OF(steps) + 1] = {meta_topic_config_version(view, 1, slice_str("t"))};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        set(&world, steps[i].type, steps[i].name, steps[i].key, steps[i].value);
        seen[i + 1] = meta_topic_config_version(view, 1, slice_str("t"));
        assert_int_equal(seen[i + 1] != seen[i], steps[i].matters);
        for (size_t j = 0; steps[i].matters && j <= i; j++)
            assert_true(seen[j] != seen[i + 1]);
    }
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_place_that_says_something_wins),
        cmocka_unit_test(value_of_a_log_that_does_not_parse_counts_as_not_set),
        cmocka_unit_test(settings_come_out_as_numbers_and_truths),
        cmocka_unit_test(negative_hours_keep_records_for_ever),
        cmocka_unit_test(version_is_another_whenever_something_that_matters_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
