// SPDX-License-Identifier: Apache-2.0
/* broker/coordinator_group.c - the group coordinator as a kind of shard: coord/ behind the runtime's functions. */
#include "broker/group_call.h"

enum { MS_PER_MINUTE = 60000 };

static struct coord_call *coord_call_of(struct shard_call *call)
{
    return &CONTAINER_OF(call, struct group_call, shard_call)->call;
}

/* Records are small beside their keys and values; a quarter of a batch is left to what surrounds them. */
static size_t batch_bytes_max(const struct partition_config *config)
{
    return (size_t)config->max_message_bytes / 4 * 3;
}

static void *group_create(const struct broker *broker, const struct partition_config *config)
{
    const struct meta_settings *settings = broker__settings(broker);
    struct coord_settings s = {
        .group_min_session_timeout_ms = (int32_t)meta_settings_i64(settings, "group.min.session.timeout.ms"),
        .group_max_session_timeout_ms = (int32_t)meta_settings_i64(settings, "group.max.session.timeout.ms"),
        .group_max_size = (int32_t)meta_settings_i64(settings, "group.max.size"),
        .shard_member_bytes_max = meta_settings_i64(settings, "ottla.group.partition.member.bytes.max"),
        .shard_offset_bytes_max = meta_settings_i64(settings, "ottla.group.partition.offset.bytes.max"),
        .group_initial_rebalance_delay_ms = (int32_t)meta_settings_i64(settings, "group.initial.rebalance.delay.ms"),
        .offset_metadata_max_bytes = (int32_t)meta_settings_i64(settings, "offset.metadata.max.bytes"),
        .offsets_retention_ms = meta_settings_i64(settings, "offsets.retention.minutes") * MS_PER_MINUTE,
        .offsets_retention_check_interval_ms = meta_settings_i64(settings, "offsets.retention.check.interval.ms"),
        .batch_bytes_max = batch_bytes_max(config),
    };
    return coord_shard_create(&s);
}

static void group_free(void *machine)
{
    coord_shard_free(machine);
}

static void group_start(void *machine, struct shard_call *call, struct coord_time time)
{
    coord_call_start(machine, coord_call_of(call), time);
}

static void group_refuse(struct shard_call *call, int16_t error)
{
    coord_call_refuse(coord_call_of(call), error);
}

static struct shard_call *group_take_done(void *machine)
{
    struct coord_call *call = coord_shard_take_done(machine);
    return call ? &CONTAINER_OF(call, struct group_call, call)->shard_call : NULL;
}

static bool group_take_records(void *machine, const struct coord_record **ret_records, size_t *ret_count,
                               uint64_t *ret_token)
{
    return coord_shard_take_records(machine, ret_records, ret_count, ret_token);
}

static void group_committed(void *machine, uint64_t token, struct coord_time time)
{
    coord_shard_committed(machine, token, time);
}

static void group_fail(void *machine, int16_t error)
{
    coord_shard_fail(machine, error);
}

static bool group_apply(void *machine, struct slice key, struct slice value, int64_t timestamp_ms)
{
    return coord_shard_apply(machine, key, value, timestamp_ms);
}

static void group_loaded(void *machine, struct coord_time time)
{
    coord_shard_loaded(machine, time);
}

static int64_t group_deadline_ms(const void *machine)
{
    return coord_shard_deadline_ms(machine);
}

static void group_tick(void *machine, struct coord_time time)
{
    coord_shard_tick(machine, time);
}

static enum record_codec group_codec(const struct broker *broker)
{
    int64_t codec = meta_settings_i64(broker__settings(broker), "offsets.topic.compression.codec");
    return codec >= RECORD_NONE && codec <= RECORD_ZSTD ? (enum record_codec)codec : RECORD_NONE;
}

const struct shard_kind coordinator__groups = {
    .topic = "__consumer_offsets",
    .create = group_create,
    .free = group_free,
    .start = group_start,
    .refuse = group_refuse,
    .take_done = group_take_done,
    .take_records = group_take_records,
    .committed = group_committed,
    .fail = group_fail,
    .apply = group_apply,
    .loaded = group_loaded,
    .deadline_ms = group_deadline_ms,
    .tick = group_tick,
    .codec = group_codec,
};
