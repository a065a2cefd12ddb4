// SPDX-License-Identifier: Apache-2.0
/* record/build.c - making batches: from records (coordinators, metadata, tests), or from another batch with another codec.
 *
 * A builder gathers encoded records behind room for the head; finishing writes the head and the CRC. A compressed batch is
 * the same records through a codec, its head outside of it. Offsets and timestamps in a record are deltas, so recompressing
 * changes neither records nor count, only size, codec and CRC.
 */
#include "record/inflate.h"

#include <errno.h>

void record__put_be(uint8_t *p, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        p[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

size_t record__put_varlong(uint8_t *p, int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    size_t size = 0;
    for (; zigzag >= 0x80; zigzag >>= 7)
        p[size++] = (uint8_t)(zigzag | 0x80);
    p[size++] = (uint8_t)zigzag;
    return size;
}

static size_t put_size(uint8_t *p, struct slice field)
{
    return record__put_varlong(p, slice_is_null(field) ? -1 : (int64_t)field.size);
}

void record__put_record(struct buffer *out, const struct record *record, int64_t offset_delta,
                        int64_t timestamp_delta_ms)
{
    uint8_t head[40], value_size[10], size_bytes[10];
    size_t head_size = 0;
    head[head_size++] = record->attributes;
    head_size += record__put_varlong(head + head_size, timestamp_delta_ms);
    head_size += record__put_varlong(head + head_size, offset_delta);
    head_size += put_size(head + head_size, record->key);
    size_t value_size_size = put_size(value_size, record->value);
    size_t body = head_size + record->key.size + value_size_size + record->value.size + record->headers.size;
    buffer_append(out, size_bytes, record__put_varlong(size_bytes, (int64_t)body));
    buffer_append(out, head, head_size);
    buffer_append(out, record->key.data, record->key.size);
    buffer_append(out, value_size, value_size_size);
    buffer_append(out, record->value.data, record->value.size);
    buffer_append(out, record->headers.data, record->headers.size);
}

void record_builder_begin(struct record_builder *b)
{
    b->bytes.size = 0;
    b->count = 0;
    b->max_timestamp_ms = -1;
    buffer_reserve(&b->bytes, RECORD_BATCH_HEAD_BYTES);
    memset(b->bytes.data, 0, RECORD_BATCH_HEAD_BYTES);
    b->bytes.size = RECORD_BATCH_HEAD_BYTES;
}

void record_builder_add(struct record_builder *b, int64_t timestamp_ms, struct slice key, struct slice value)
{
    record_builder_add_with(b, timestamp_ms, key, value, slice_of("", 1)); // no headers
}

void record_builder_add_with(struct record_builder *b, int64_t timestamp_ms, struct slice key, struct slice value,
                             struct slice headers)
{
    assert(headers.size > 0);
    if (b->count == 0)
        b->base_timestamp_ms = timestamp_ms;
    struct record record = {.key = key, .value = value, .headers = headers};
    record__put_record(&b->bytes, &record, b->count, timestamp_ms - b->base_timestamp_ms);
    b->count++;
    b->max_timestamp_ms = max_i64(b->max_timestamp_ms, timestamp_ms);
}

/* Size and CRC of a batch whose other fields are there. */
void record__seal(uint8_t *h, size_t size)
{
    assert(size >= RECORD_BATCH_HEAD_BYTES && size <= INT32_MAX);
    record__put_be(h + RECORD_BATCH_SIZE_AT, size - RECORD_BATCH_LOG_OVERHEAD, 4);
    record__put_be(h + RECORD_BATCH_CRC_AT, crc32c(h + RECORD_BATCH_ATTRIBUTES_AT, size - RECORD_BATCH_ATTRIBUTES_AT),
                   4);
}

struct slice record_builder_finish(struct record_builder *b, int16_t attributes, int64_t producer_id,
                                   int16_t producer_epoch, int32_t base_sequence)
{
    assert(b->count > 0);
    assert((attributes & RECORD_ATTRIBUTE_CODEC) == RECORD_NONE);
    uint8_t *h = b->bytes.data;
    record__put_be(h + RECORD_BATCH_EPOCH_AT, (uint32_t)-1, 4);
    h[RECORD_BATCH_MAGIC_AT] = 2;
    record__put_be(h + RECORD_BATCH_ATTRIBUTES_AT, (uint16_t)attributes, 2);
    record__put_be(h + RECORD_BATCH_LAST_DELTA_AT, (uint32_t)(b->count - 1), 4);
    record__put_be(h + RECORD_BATCH_BASE_TIMESTAMP_AT, (uint64_t)b->base_timestamp_ms, 8);
    record__put_be(h + RECORD_BATCH_MAX_TIMESTAMP_AT, (uint64_t)b->max_timestamp_ms, 8);
    record__put_be(h + RECORD_BATCH_PRODUCER_ID_AT, (uint64_t)producer_id, 8);
    record__put_be(h + RECORD_BATCH_PRODUCER_EPOCH_AT, (uint16_t)producer_epoch, 2);
    record__put_be(h + RECORD_BATCH_BASE_SEQUENCE_AT, (uint32_t)base_sequence, 4);
    record__put_be(h + RECORD_BATCH_COUNT_AT, (uint32_t)b->count, 4);
    record__seal(h, b->bytes.size);
    return slice_of(h, b->bytes.size);
}

/* `head` with `records` behind it in another codec, in place of what `out` held. */
static struct status pack(const uint8_t *head, struct slice records, enum record_codec codec, int level,
                          struct buffer *out)
{
    out->size = 0;
    buffer_append(out, head, RECORD_BATCH_HEAD_BYTES);
    TRY(record__deflate_all(codec, level, records, out));
    uint8_t *h = out->data;
    int attributes = (record_batch_attributes(h) & ~RECORD_ATTRIBUTE_CODEC) | (int)codec;
    record__put_be(h + RECORD_BATCH_ATTRIBUTES_AT, (uint16_t)attributes, 2);
    record__seal(h, out->size);
    return STATUS_OK;
}

struct status record_builder_finish_packed(struct record_builder *b, enum record_codec codec, int level,
                                           int16_t attributes, int64_t producer_id, int16_t producer_epoch,
                                           int32_t base_sequence, struct slice *ret_batch)
{
    struct slice plain = record_builder_finish(b, attributes, producer_id, producer_epoch, base_sequence);
    if (codec == RECORD_NONE) {
        *ret_batch = plain;
        return STATUS_OK;
    }
    struct slice records = slice_of(plain.data + RECORD_BATCH_HEAD_BYTES, plain.size - RECORD_BATCH_HEAD_BYTES);
    TRY(pack(plain.data, records, codec, level, &b->packed));
    *ret_batch = slice_of(b->packed.data, b->packed.size);
    return STATUS_OK;
}

void record_builder_free(struct record_builder *b)
{
    buffer_free(&b->bytes);
    buffer_free(&b->packed);
}

struct status record_batch_recompress(struct slice batch, enum record_codec codec, int level, struct buffer *ret_batch)
{
    struct record_walk walk;
    record_walk_begin(&walk, batch);
    struct status s = STATUS(EIO, "inflate a batch");
    if (!walk.failed)
        s = pack(walk.batch.data, slice_of(walk.at, (size_t)(walk.end - walk.at)), codec, level, ret_batch);
    record_walk_end(&walk);
    return s;
}
