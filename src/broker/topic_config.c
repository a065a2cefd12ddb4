// SPDX-License-Identifier: Apache-2.0
/* broker/topic_config.c - a topic's settings in effect, as its partitions use them. */
#include "broker/broker__.h"

static struct log_config log_config_of(const struct meta_topic_config *topic, const struct meta_settings *settings,
                                       int64_t producer_id_expiration_ms)
{
    // A segment that is compacted by age must be closed by then.
    int64_t compacted_ms =
        topic->cleanup_compact && topic->max_compaction_lag_ms > 0 ? topic->max_compaction_lag_ms : INT64_MAX;
    return (struct log_config){
        .segment_bytes = topic->segment_bytes,
        .segment_ms = min_i64(topic->segment_ms, compacted_ms),
        .segment_jitter_ms = topic->segment_jitter_ms,
        .segment_index_bytes = topic->segment_index_bytes,
        .index_interval_bytes = topic->index_interval_bytes,
        .retention_ms = topic->retention_ms,
        .retention_bytes = topic->retention_bytes,
        .file_delete_delay_ms = topic->file_delete_delay_ms,
        .delete_retention_ms = topic->delete_retention_ms,
        .min_compaction_lag_ms = topic->min_compaction_lag_ms,
        .max_compaction_lag_ms = topic->max_compaction_lag_ms,
        .min_cleanable_dirty_ratio = topic->min_cleanable_dirty_ratio,
        .producer_id_expiration_ms = producer_id_expiration_ms,
        .producers_max = meta_settings_i64(settings, "ottla.partition.producers.max"),
        .preallocate = topic->preallocate,
        .cleanup_delete = topic->cleanup_delete,
        .cleanup_compact = topic->cleanup_compact,
    };
}

static int32_t level_of(const struct meta_topic_config *topic)
{
    switch (topic->compression) {
    case RECORD_GZIP:
        return topic->gzip_level;
    case RECORD_LZ4:
        return topic->lz4_level;
    case RECORD_ZSTD:
        return topic->zstd_level;
    default:
        return 0;
    }
}

struct partition_config broker__partition_config(const struct broker *broker, const struct meta_image *image,
                                                 struct slice topic)
{
    struct meta_topic_config config;
    meta_topic_config(image, broker__settings(broker), broker->options.node_id, topic, &config);
    return (struct partition_config){
        .log = log_config_of(&config, broker__settings(broker),
                             broker__setting_i64(broker, image, "producer.id.expiration.ms")),
        .max_message_bytes = config.max_message_bytes,
        .min_insync_replicas = config.min_insync_replicas,
        .flush_messages = config.flush_messages,
        .flush_ms = config.flush_ms,
        .log_append_time = config.log_append_time,
        .compacted = config.cleanup_compact,
        .compression_type = config.compression,
        .compression_level = level_of(&config),
        .timestamp_before_max_ms = config.timestamp_before_max_ms,
        .timestamp_after_max_ms = config.timestamp_after_max_ms,
    };
}
