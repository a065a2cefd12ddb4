// SPDX-License-Identifier: Apache-2.0
/* record/walk.c - the records of a batch one by one, with their bytes: for coordinators, metadata, look-ups by time.
 *
 * An uncompressed batch is read in place; another is inflated whole first (bounded), so that keys and values are in one
 * piece. The batch was validated when it was written, but its bytes come from a disk: every length is checked again.
 */
#include "record/inflate.h"

#include <errno.h>

static void inflate_whole(struct record_walk *walk, enum record_codec codec, struct slice body)
{
    struct record_scratch *scratch = record_scratch_create();
    struct inflate stream;
    inflate_begin(&stream, scratch, codec, body, RECORD_INFLATED_MAX_BYTES);
    while (inflate_refill(&stream))
        buffer_append(&walk->inflated, stream.at, (size_t)(stream.end - stream.at));
    walk->failed = stream.failed;
    record_scratch_free(scratch);
    walk->at = walk->inflated.data;
    walk->end = walk->inflated.data + walk->inflated.size;
}

void record_walk_begin(struct record_walk *walk, struct slice batch)
{
    *walk = (struct record_walk){.batch = batch, .left = record_batch_count(batch.data)};
    enum record_codec codec = (enum record_codec)(record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CODEC);
    struct slice body = slice_of(batch.data + RECORD_BATCH_HEAD_BYTES, batch.size - RECORD_BATCH_HEAD_BYTES);
    if (codec > RECORD_ZSTD) {
        walk->failed = true;
    } else if (codec != RECORD_NONE) {
        inflate_whole(walk, codec, body);
    } else {
        walk->at = body.data;
        walk->end = body.data + body.size;
    }
}

static int64_t take_varlong(struct record_walk *walk)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && walk->at < walk->end; shift += 7) {
        uint8_t byte = *walk->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return (int64_t)(value >> 1 ^ (0ull - (value & 1)));
    }
    walk->failed = true;
    return 0;
}

static struct slice take_sized(struct record_walk *walk)
{
    int64_t size = take_varlong(walk);
    if (size < 0 || walk->failed)
        return SLICE_NULL;
    if (size > walk->end - walk->at) {
        walk->failed = true;
        return SLICE_NULL;
    }
    struct slice s = slice_of(walk->at, (size_t)size);
    walk->at += size;
    return s;
}

bool record_walk_next(struct record_walk *walk, struct record *ret_record)
{
    if (walk->failed || walk->left <= 0)
        return false;
    walk->left--;
    int64_t size = take_varlong(walk);
    if (size < 0 || size > walk->end - walk->at || walk->failed) {
        walk->failed = true;
        return false;
    }
    const uint8_t *whole_end = walk->end, *end = walk->at + size;
    walk->end = end;
    bool has_attributes = walk->at < end;
    walk->at += has_attributes;
    const uint8_t *b = walk->batch.data;
    int64_t timestamp_delta = take_varlong(walk);
    ret_record->timestamp_ms = record_batch_attributes(b) & RECORD_ATTRIBUTE_APPEND_TIME
                                   ? record_batch_max_timestamp(b)
                                   : (int64_t)((uint64_t)record_batch_base_timestamp(b) + (uint64_t)timestamp_delta);
    ret_record->offset = record_batch_base_offset(b) + take_varlong(walk);
    ret_record->key = take_sized(walk);
    ret_record->value = take_sized(walk);
    ret_record->headers = slice_of(walk->at, (size_t)(end - walk->at));
    ret_record->header_count = (int32_t)take_varlong(walk);
    walk->at = end;
    walk->end = whole_end;
    walk->failed |= !has_attributes;
    return !walk->failed;
}

void record_walk_end(struct record_walk *walk)
{
    buffer_free(&walk->inflated);
}

/* ---- building */
static void put_be(uint8_t *p, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        p[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

static size_t put_varlong(uint8_t *p, int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    size_t size = 0;
    for (; zigzag >= 0x80; zigzag >>= 7)
        p[size++] = (uint8_t)(zigzag | 0x80);
    p[size++] = (uint8_t)zigzag;
    return size;
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
    if (b->count == 0)
        b->base_timestamp_ms = timestamp_ms;
    uint8_t head[40], value_size[10], size_bytes[10];
    size_t head_size = 0;
    head[head_size++] = 0; // attributes
    head_size += put_varlong(head + head_size, timestamp_ms - b->base_timestamp_ms);
    head_size += put_varlong(head + head_size, b->count);
    head_size += put_varlong(head + head_size, slice_is_null(key) ? -1 : (int64_t)key.size);
    size_t value_size_size = put_varlong(value_size, slice_is_null(value) ? -1 : (int64_t)value.size);
    size_t body = head_size + key.size + value_size_size + value.size + 1;
    buffer_append(&b->bytes, size_bytes, put_varlong(size_bytes, (int64_t)body));
    buffer_append(&b->bytes, head, head_size);
    buffer_append(&b->bytes, key.data, key.size);
    buffer_append(&b->bytes, value_size, value_size_size);
    buffer_append(&b->bytes, value.data, value.size);
    buffer_append(&b->bytes, "", 1); // no headers
    b->count++;
    b->max_timestamp_ms = max_i64(b->max_timestamp_ms, timestamp_ms);
}

static void head_write(uint8_t *h, size_t size, int16_t attributes, int32_t count, int64_t base_ms, int64_t max_ms)
{
    put_be(h + RECORD_BATCH_SIZE_AT, size - RECORD_BATCH_LOG_OVERHEAD, 4);
    put_be(h + RECORD_BATCH_EPOCH_AT, (uint32_t)-1, 4);
    h[RECORD_BATCH_MAGIC_AT] = 2;
    put_be(h + RECORD_BATCH_ATTRIBUTES_AT, (uint16_t)attributes, 2);
    put_be(h + RECORD_BATCH_LAST_DELTA_AT, (uint32_t)(count - 1), 4);
    put_be(h + RECORD_BATCH_BASE_TIMESTAMP_AT, (uint64_t)base_ms, 8);
    put_be(h + RECORD_BATCH_MAX_TIMESTAMP_AT, (uint64_t)max_ms, 8);
    put_be(h + RECORD_BATCH_COUNT_AT, (uint32_t)count, 4);
}

struct slice record_builder_finish(struct record_builder *b, int16_t attributes, int64_t producer_id, int16_t producer_epoch,
                                   int32_t base_sequence)
{
    assert(b->count > 0);
    uint8_t *h = b->bytes.data;
    head_write(h, b->bytes.size, attributes, b->count, b->base_timestamp_ms, b->max_timestamp_ms);
    put_be(h + RECORD_BATCH_PRODUCER_ID_AT, (uint64_t)producer_id, 8);
    put_be(h + RECORD_BATCH_PRODUCER_EPOCH_AT, (uint16_t)producer_epoch, 2);
    put_be(h + RECORD_BATCH_BASE_SEQUENCE_AT, (uint32_t)base_sequence, 4);
    put_be(h + RECORD_BATCH_CRC_AT, crc32c(h + RECORD_BATCH_ATTRIBUTES_AT, b->bytes.size - RECORD_BATCH_ATTRIBUTES_AT), 4);
    return slice_of(h, b->bytes.size);
}

void record_builder_free(struct record_builder *b)
{
    buffer_free(&b->bytes);
}

struct status record_batch_recompress(struct slice batch, enum record_codec codec, int level, struct buffer *ret_batch)
{
    struct record_walk walk;
    record_walk_begin(&walk, batch);
    buffer_append(ret_batch, batch.data, RECORD_BATCH_HEAD_BYTES);
    struct status s = walk.failed ? STATUS(EIO, "inflate a batch")
                                  : deflate_all(codec, level, slice_of(walk.at, (size_t)(walk.end - walk.at)), ret_batch);
    record_walk_end(&walk);
    TRY(s);
    uint8_t *h = ret_batch->data;
    int16_t attributes = (int16_t)((record_batch_attributes(h) & ~RECORD_ATTRIBUTE_CODEC) | codec);
    put_be(h + RECORD_BATCH_SIZE_AT, ret_batch->size - RECORD_BATCH_LOG_OVERHEAD, 4);
    put_be(h + RECORD_BATCH_ATTRIBUTES_AT, (uint16_t)attributes, 2);
    put_be(h + RECORD_BATCH_CRC_AT, crc32c(h + RECORD_BATCH_ATTRIBUTES_AT, ret_batch->size - RECORD_BATCH_ATTRIBUTES_AT), 4);
    return STATUS_OK;
}
