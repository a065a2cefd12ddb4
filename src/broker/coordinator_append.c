// SPDX-License-Identifier: Apache-2.0
/* broker/coordinator_append.c - one batch of a coordinator's records, on its way into the log.
 *
 * Appended as by a producer with acks=all: refused while fewer replicas are in sync than min.insync.replicas, fenced by the
 * leader epoch for which the shard was loaded, committed when the high watermark has passed its end.
 */
#include "broker/coordinator.h"

enum { DEFAULT_LEVEL_GZIP = -1, DEFAULT_LEVEL_LZ4 = 9, DEFAULT_LEVEL_ZSTD = 3 };

static int level_of(enum record_codec codec)
{
    return codec == RECORD_GZIP ? DEFAULT_LEVEL_GZIP : codec == RECORD_LZ4 ? DEFAULT_LEVEL_LZ4 : DEFAULT_LEVEL_ZSTD;
}

static struct status batch_build(struct shard_append *batch, enum record_codec codec,
                                 const struct coord_record *records, size_t count, int64_t wall_ms)
{
    record_builder_begin(&batch->builder);
    for (size_t i = 0; i < count; i++)
        record_builder_add(&batch->builder, wall_ms, records[i].key, records[i].value);
    struct slice bytes;
    TRY(record_builder_finish_packed(&batch->builder, codec, level_of(codec), 0, -1, -1, -1, &bytes));
    batch->append.batch.bytes = (uint8_t *)(uintptr_t)bytes.data;
    batch->append.batch.size_bytes = (uint32_t)bytes.size;
    record_facts_read(bytes, &batch->append.batch.facts);
    return STATUS_OK;
}

struct shard_append *shard_append__start(struct reactor *reactor, struct partition_use *use, int32_t leader_epoch,
                                         enum record_codec codec, const struct coord_record *records, size_t count,
                                         int16_t *ret_error)
{
    assert(count > 0);
    if (partition_isr_count(use->partition) < use->config.min_insync_replicas) {
        *ret_error = KAFKA_NOT_ENOUGH_REPLICAS;
        return NULL;
    }
    struct shard_append *batch = mem_zalloc(sizeof *batch);
    list_init(&batch->link);
    struct status s = batch_build(batch, codec, records, count, reactor->wall_ms);
    if (!status_is_ok(s)) {
        LOG(LOG_ERROR, "broker", "a coordinator's batch cannot be built: %s", s.what);
        shard_append__free(batch);
        *ret_error = KAFKA_UNKNOWN_SERVER_ERROR;
        return NULL;
    }
    batch->append.expected_leader_epoch = leader_epoch;
    batch->append.waits_for_flush = true;
    reactor_append(reactor, use, &batch->append);
    return batch;
}

int16_t shard_append__outcome(const struct shard_append *batch, const struct partition *partition, bool *ret_committed)
{
    assert(atomic_load(&batch->append.done));
    *ret_committed = false;
    if (batch->append.error != KAFKA_NONE)
        return batch->append.error;
    *ret_committed = partition_is_acked(partition, -1, batch->append.batch.end_offset);
    return KAFKA_NONE;
}

void shard_append__free(struct shard_append *batch)
{
    assert(list_is_empty(&batch->link));
    record_builder_free(&batch->builder);
    mem_free(batch);
}
