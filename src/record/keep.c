// SPDX-License-Identifier: Apache-2.0
/* record/keep.c - a batch with some of its records taken out, as compaction leaves it.
 *
 * Offsets do not move: base offset and last delta stay, so the batch still covers the offsets it always did, and a
 * producer's last sequence can be read from it even when no record is left. Time deltas count from the new base timestamp.
 * A message of format 0 or 1 that loses records comes out as a batch of format 2, with its codec.
 */
#include "record/inflate.h"

#include <errno.h>

enum { NO_TIMESTAMP = -1 };

struct kept {
    uint8_t head[RECORD_BATCH_HEAD_BYTES]; // of the whole batch, in format 2
    struct buffer records;                 // uncompressed
    int32_t count;
    int64_t base_timestamp_ms, max_timestamp_ms;
};

static void kept_free(struct kept *kept)
{
    buffer_free(&kept->records);
}

/* Kafka's default levels. */
static int level_of(enum record_codec codec)
{
    static const int LEVELS[] = {[RECORD_GZIP] = -1, [RECORD_LZ4] = 9, [RECORD_ZSTD] = 3};
    return codec < (int)COUNT_OF(LEVELS) ? LEVELS[codec] : 0;
}

static void keep_one(struct kept *kept, const struct record *record)
{
    int64_t timestamp_delta_ms = (int64_t)((uint64_t)record->timestamp_ms - (uint64_t)kept->base_timestamp_ms);
    int64_t offset_delta = (int64_t)((uint64_t)record->offset - (uint64_t)record_batch_base_offset(kept->head));
    record__put_record(&kept->records, record, offset_delta, timestamp_delta_ms);
    kept->count++;
    kept->max_timestamp_ms = max_i64(kept->max_timestamp_ms, record->timestamp_ms);
}

static struct status collect(struct slice batch, const bool *keep, int64_t delete_horizon_ms, struct kept *kept,
                             int64_t *ret_horizon_ms)
{
    struct record_walk walk;
    struct record record;
    int32_t at = 0;
    record_walk_begin(&walk, batch);
    memcpy(kept->head, walk.batch.data, sizeof kept->head);
    int64_t horizon_ms = delete_horizon_ms >= 0 ? delete_horizon_ms : record_batch_delete_horizon(kept->head);
    kept->base_timestamp_ms = *ret_horizon_ms = horizon_ms;
    kept->max_timestamp_ms = NO_TIMESTAMP;
    while (record_walk_next(&walk, &record)) {
        if (!keep[at++])
            continue;
        if (kept->count == 0 && horizon_ms < 0)
            kept->base_timestamp_ms = record.timestamp_ms;
        keep_one(kept, &record);
    }
    bool is_whole = !walk.failed && at == record_batch_count(kept->head);
    record_walk_end(&walk);
    return is_whole ? STATUS_OK : STATUS(EBADMSG, "walk the records of a batch");
}

static void head_patch(uint8_t *h, size_t size, int16_t attributes, const struct kept *kept)
{
    record__put_be(h + RECORD_BATCH_ATTRIBUTES_AT, (uint16_t)attributes, 2);
    record__put_be(h + RECORD_BATCH_BASE_TIMESTAMP_AT, (uint64_t)kept->base_timestamp_ms, 8);
    if (kept->count > 0)
        record__put_be(h + RECORD_BATCH_MAX_TIMESTAMP_AT, (uint64_t)kept->max_timestamp_ms, 8);
    record__put_be(h + RECORD_BATCH_COUNT_AT, (uint32_t)kept->count, 4);
    record__seal(h, size);
}

struct status record_batch_keep(struct slice batch, const bool *keep, int64_t delete_horizon_ms,
                                struct buffer *ret_batch)
{
    struct kept kept CLEANUP(kept_free) = {0};
    uint8_t room[RECORD_BATCH_HEAD_BYTES];
    const uint8_t *stored_head = record_stored_head(batch, room);
    assert(stored_head);
    int64_t horizon_ms;
    TRY(collect(batch, keep, delete_horizon_ms, &kept, &horizon_ms));
    int16_t codec_bits = record_batch_attributes(stored_head) & RECORD_ATTRIBUTE_CODEC;
    int16_t attributes = record_batch_attributes(kept.head) | codec_bits;
    ret_batch->size = 0;
    buffer_append(ret_batch, kept.head, RECORD_BATCH_HEAD_BYTES);
    if (kept.count == 0) {
        attributes &= (int16_t) ~(RECORD_ATTRIBUTE_CODEC | RECORD_ATTRIBUTE_DELETE_HORIZON);
        kept.base_timestamp_ms = NO_TIMESTAMP;
    } else {
        attributes = (int16_t)(horizon_ms >= 0 ? attributes | RECORD_ATTRIBUTE_DELETE_HORIZON : attributes);
        enum record_codec codec = (enum record_codec)(attributes & RECORD_ATTRIBUTE_CODEC);
        TRY(record__deflate_all(codec, level_of(codec), slice_of(kept.records.data, kept.records.size), ret_batch));
    }
    head_patch(ret_batch->data, ret_batch->size, attributes, &kept);
    return STATUS_OK;
}
