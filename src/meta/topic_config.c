// SPDX-License-Identifier: Apache-2.0
/* meta/topic_config.c - a topic's settings in effect.
 *
 * The first that has a value speaks: the topic; this broker's dynamic settings; the cluster-wide ones; the file of
 * settings; the table. The middle three know broker settings, under the synonyms of the topic's, each of which is asked for
 * on all levels before the next one (KIP-226). Values in the image were validated when they were set, but the bytes come
 * from a log: one that does not parse counts as not set.
 */
#include "meta/meta__.h"

struct view {
    const struct meta_configs *topic; // NULL: nothing set
    struct broker_levels broker;
};

static struct view view_of(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                           struct slice topic)
{
    return (struct view){.topic = meta_configs(image, META_RESOURCE_TOPIC, topic),
                         .broker = broker_levels__of(image, settings, node_id)};
}

static struct slice setting_of(const struct view *view, const struct meta_config_def *def,
                               char ret_text[META_VALUE_TEXT_SIZE], enum meta_config_source *ret_source)
{
    *ret_source = META_SOURCE_TOPIC;
    struct slice value = configs__valid_value(view->topic, def->name, def);
    if (!slice_is_null(value))
        return value;
    for (const struct meta_config_synonym *synonym = def->synonyms; synonym && synonym->name; synonym++) {
        value = broker_levels__value(&view->broker, synonym->name, ret_source);
        if (!slice_is_null(value))
            return text__times(value, synonym->factor, ret_text);
    }
    *ret_source = META_SOURCE_DEFAULT;
    return slice_str(def->default_value);
}

struct slice meta_topic_setting(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                                struct slice topic, const struct meta_config_def *def,
                                char ret_text[META_VALUE_TEXT_SIZE], enum meta_config_source *ret_source)
{
    struct view view = view_of(image, settings, node_id, topic);
    return setting_of(&view, def, ret_text, ret_source);
}

uint64_t meta_topic_config_version(const struct meta_image *image, int32_t node_id, struct slice topic)
{
    struct view view = view_of(image, NULL, node_id, topic);
    uint64_t of_topic = view.topic ? view.topic->version : 0;
    return (broker_levels__version(&view.broker) ^ of_topic) * 0x9e3779b97f4a7c15u;
}

static struct slice value_at(const struct view *view, enum meta_topic_config_index index,
                             char ret_text[META_VALUE_TEXT_SIZE])
{
    enum meta_config_source source;
    return text__trim(setting_of(view, &meta_topic_configs.defs[index], ret_text, &source));
}

static int64_t i64_at(const struct view *view, enum meta_topic_config_index index)
{
    char text[META_VALUE_TEXT_SIZE];
    int64_t value = 0;
    bool is_number = text__parse_i64(value_at(view, index, text), INT64_MIN, INT64_MAX, &value);
    assert(is_number);
    return value;
}

static double f64_at(const struct view *view, enum meta_topic_config_index index)
{
    char text[META_VALUE_TEXT_SIZE];
    double value = 0;
    bool is_number = text__parse_f64(value_at(view, index, text), &value);
    assert(is_number);
    return value;
}

static bool bool_at(const struct view *view, enum meta_topic_config_index index)
{
    char text[META_VALUE_TEXT_SIZE];
    struct slice value = value_at(view, index, text);
    return value.size == 4 && strncasecmp((const char *)value.data, "true", 4) == 0;
}

static bool list_at_has(const struct view *view, enum meta_topic_config_index index, const char *wanted)
{
    char text[META_VALUE_TEXT_SIZE];
    struct slice rest = value_at(view, index, text), element;
    while (text__next_element(&rest, &element))
        if (slice_equal_str(element, wanted))
            return true;
    return false;
}

static int8_t codec_at(const struct view *view, enum meta_topic_config_index index)
{
    static const char *const names[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"}; // enum record_codec
    char text[META_VALUE_TEXT_SIZE];
    struct slice value = value_at(view, index, text);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (slice_equal_str(value, names[i]))
            return (int8_t)i;
    return -1;
}

static int64_t segment_bytes(const struct view *view)
{
    char text[META_VALUE_TEXT_SIZE];
    bool is_set = !slice_is_null(value_at(view, META_TOPIC_INTERNAL_SEGMENT_BYTES, text));
    return i64_at(view, is_set ? META_TOPIC_INTERNAL_SEGMENT_BYTES : META_TOPIC_SEGMENT_BYTES);
}

void meta_topic_config(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                       struct slice topic, struct meta_topic_config *ret_config)
{
    struct view view = view_of(image, settings, node_id, topic);
    struct slice time_type;
    char text[META_VALUE_TEXT_SIZE];
    time_type = value_at(&view, META_TOPIC_MESSAGE_TIMESTAMP_TYPE, text);
    *ret_config = (struct meta_topic_config){
        .segment_bytes = segment_bytes(&view),
        .segment_ms = i64_at(&view, META_TOPIC_SEGMENT_MS),
        .segment_jitter_ms = i64_at(&view, META_TOPIC_SEGMENT_JITTER_MS),
        .segment_index_bytes = i64_at(&view, META_TOPIC_SEGMENT_INDEX_BYTES),
        .index_interval_bytes = i64_at(&view, META_TOPIC_INDEX_INTERVAL_BYTES),
        .retention_ms = max_i64(i64_at(&view, META_TOPIC_RETENTION_MS), -1),
        .retention_bytes = i64_at(&view, META_TOPIC_RETENTION_BYTES),
        .file_delete_delay_ms = i64_at(&view, META_TOPIC_FILE_DELETE_DELAY_MS),
        .delete_retention_ms = i64_at(&view, META_TOPIC_DELETE_RETENTION_MS),
        .min_compaction_lag_ms = i64_at(&view, META_TOPIC_MIN_COMPACTION_LAG_MS),
        .max_compaction_lag_ms = i64_at(&view, META_TOPIC_MAX_COMPACTION_LAG_MS),
        .timestamp_before_max_ms = i64_at(&view, META_TOPIC_MESSAGE_TIMESTAMP_BEFORE_MAX_MS),
        .timestamp_after_max_ms = i64_at(&view, META_TOPIC_MESSAGE_TIMESTAMP_AFTER_MAX_MS),
        .flush_messages = i64_at(&view, META_TOPIC_FLUSH_MESSAGES),
        .flush_ms = i64_at(&view, META_TOPIC_FLUSH_MS),
        .min_cleanable_dirty_ratio = f64_at(&view, META_TOPIC_MIN_CLEANABLE_DIRTY_RATIO),
        .max_message_bytes = (int32_t)i64_at(&view, META_TOPIC_MAX_MESSAGE_BYTES),
        .min_insync_replicas = (int32_t)i64_at(&view, META_TOPIC_MIN_INSYNC_REPLICAS),
        .gzip_level = (int32_t)i64_at(&view, META_TOPIC_COMPRESSION_GZIP_LEVEL),
        .lz4_level = (int32_t)i64_at(&view, META_TOPIC_COMPRESSION_LZ4_LEVEL),
        .zstd_level = (int32_t)i64_at(&view, META_TOPIC_COMPRESSION_ZSTD_LEVEL),
        .compression = codec_at(&view, META_TOPIC_COMPRESSION_TYPE),
        .cleanup_delete = list_at_has(&view, META_TOPIC_CLEANUP_POLICY, "delete"),
        .cleanup_compact = list_at_has(&view, META_TOPIC_CLEANUP_POLICY, "compact"),
        .log_append_time = slice_equal_str(time_type, "LogAppendTime"),
        .preallocate = bool_at(&view, META_TOPIC_PREALLOCATE),
        .unclean_election = bool_at(&view, META_TOPIC_UNCLEAN_LEADER_ELECTION_ENABLE),
        .remote_storage = bool_at(&view, META_TOPIC_REMOTE_STORAGE_ENABLE),
    };
}
