// SPDX-License-Identifier: Apache-2.0
/* http/message.c - one record as people see it: key, value and headers as previews, and what its batch and producer say. */
#include "http/http__.h"

/* Zigzag varint; -1 and the end of `left` where it does not fit. */
static int64_t take_varint(struct slice *left)
{
    uint64_t value = 0;
    for (int shift = 0; left->size > 0 && shift < 64; shift += 7) {
        uint8_t byte = *left->data;
        *left = slice_of(left->data + 1, left->size - 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    }
    left->size = 0;
    return -1;
}

static struct slice take_bytes(struct slice *left)
{
    int64_t size = take_varint(left);
    if (size < 0 || (uint64_t)size > left->size)
        return SLICE_NULL;
    struct slice taken = slice_of(left->data, (size_t)size);
    *left = slice_of(left->data + size, left->size - (size_t)size);
    return taken;
}

struct header_walk header_walk__begin(const struct record *record)
{
    struct header_walk walk = {.left = record->headers};
    walk.count = (int32_t)take_varint(&walk.left);
    return walk;
}

bool header_walk__next(struct header_walk *walk, struct slice *ret_key, struct slice *ret_value)
{
    if (walk->count <= 0 || walk->left.size == 0)
        return false;
    walk->count--;
    *ret_key = take_bytes(&walk->left);
    *ret_value = take_bytes(&walk->left);
    return true;
}

static void headers_write(struct json *j, const struct record *record)
{
    enum { HEADER_PREVIEW_BYTES = 1024 };
    json__open(j, "headers", '[');
    struct header_walk walk = header_walk__begin(record);
    for (struct slice key, value; header_walk__next(&walk, &key, &value);) {
        json__open(j, NULL, '{');
        json__text(j, "key", key);
        json__bytes(j, "value", value, HEADER_PREVIEW_BYTES);
        json__close(j, '}');
    }
    json__close(j, ']');
}

static void batch_write(struct json *j, const uint8_t *head)
{
    static const char *const CODECS[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    int16_t attributes = record_batch_attributes(head);
    size_t codec = (size_t)attributes & RECORD_ATTRIBUTE_CODEC;
    json__open(j, "batch", '{');
    json__i64(j, "baseOffset", record_batch_base_offset(head));
    json__i64(j, "count", record_batch_count(head));
    json__i64(j, "sizeBytes", record_batch_size(head));
    json__string(j, "codec", codec < COUNT_OF(CODECS) ? CODECS[codec] : "unknown");
    json__i64(j, "leaderEpoch", record_batch_leader_epoch(head));
    json__i64(j, "producerId", record_batch_producer_id(head));
    json__i64(j, "producerEpoch", record_batch_producer_epoch(head));
    json__i64(j, "baseSequence", record_batch_base_sequence(head));
    json__bool(j, "transactional", attributes & RECORD_ATTRIBUTE_TRANSACTIONAL);
    json__close(j, '}');
}

void message__write(struct json *j, int32_t partition, const struct record *record, const uint8_t *batch_head,
                    size_t preview_bytes)
{
    bool is_append_time = record_batch_attributes(batch_head) & RECORD_ATTRIBUTE_APPEND_TIME;
    json__open(j, NULL, '{');
    json__i64(j, "partition", partition);
    json__i64(j, "offset", record->offset);
    json__i64(j, "timestamp", record->timestamp_ms);
    json__string(j, "timestampType", is_append_time ? "append" : "create");
    json__i64(j, "sizeBytes", (int64_t)(record->key.size + record->value.size));
    json__bytes(j, "key", record->key, preview_bytes);
    json__bytes(j, "value", record->value, preview_bytes);
    headers_write(j, record);
    batch_write(j, batch_head);
    json__close(j, '}');
}
