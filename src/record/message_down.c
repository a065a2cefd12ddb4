// SPDX-License-Identifier: Apache-2.0
/* record/message_down.c - a batch as messages of format 0 or 1, for consumers that know nothing else.
 *
 * Uncompressed records become messages one by one; those of a compressed batch become a set inside of one wrapper with the
 * same codec. Headers have no place there, control records would be taken for data, and who asks for an offset inside of a
 * batch gets nothing before it: old consumers do not skip. Format 0 has no timestamps. What old segments hold in the format
 * asked for, or in an older one, is given as it is; format 1 becomes messages of format 0 without a wrapper.
 */
#include "record/message_set.h"

#include <errno.h>
#include <zlib.h>

enum { LEVEL_GZIP = 6, LEVEL_LZ4 = 9 };

struct down {
    int8_t magic;
    uint8_t attributes;  // timestamp type; never a codec
    int64_t base_offset; // what offsets are told relative to
};

static void put_number(struct buffer *out, uint64_t value, int size)
{
    uint8_t bytes[8];
    record__put_be(bytes, value, size);
    buffer_append(out, bytes, (size_t)size);
}

static void put_sized(struct buffer *out, struct slice field)
{
    put_number(out, slice_is_null(field) ? UINT32_MAX : (uint32_t)field.size, 4);
    buffer_append(out, field.data, field.size);
}

static void put_message(struct buffer *out, int8_t magic, uint8_t attributes, int64_t offset, int64_t timestamp_ms,
                        struct slice key, struct slice value)
{
    size_t start = out->size;
    put_number(out, (uint64_t)offset, 8);
    put_number(out, 0, 8); // size and CRC, once they are known
    put_number(out, (uint8_t)magic, 1);
    put_number(out, attributes, 1);
    if (magic == 1)
        put_number(out, (uint64_t)timestamp_ms, 8);
    put_sized(out, key);
    put_sized(out, value);
    uint8_t *m = out->data + start;
    size_t size = out->size - start;
    record__put_be(m + RECORD_BATCH_SIZE_AT, size - RECORD_BATCH_LOG_OVERHEAD, 4);
    uint32_t crc = (uint32_t)crc32(0, m + RECORD_BATCH_MAGIC_AT, (uInt)(size - RECORD_BATCH_MAGIC_AT));
    record__put_be(m + RECORD_MESSAGE_CRC_AT, crc, 4);
}

/* All records from `first_offset` on; how many, and the last one's offset. */
static struct status put_records(const struct down *down, struct record_walk *walk, int64_t first_offset,
                                 struct buffer *out, int32_t *ret_count, int64_t *ret_last_offset)
{
    struct record record;
    *ret_count = 0;
    *ret_last_offset = -1;
    while (record_walk_next(walk, &record)) {
        if (record.offset < first_offset)
            continue;
        int64_t relative = (int64_t)((uint64_t)record.offset - (uint64_t)down->base_offset); // of a damaged batch: any
        put_message(out, down->magic, down->attributes, relative, record.timestamp_ms, record.key, record.value);
        *ret_last_offset = record.offset;
        (*ret_count)++;
    }
    return walk->failed ? STATUS(EIO, "read the records of a batch") : STATUS_OK;
}

static struct status put_wrapper(const struct down *down, struct slice batch, struct slice set, int64_t last_offset,
                                 struct buffer *out)
{
    CLEANUP(buffer_free) struct buffer packed = {0};
    enum record_codec codec = (enum record_codec)(record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CODEC);
    TRY(record__deflate_all(codec, codec == RECORD_GZIP ? LEVEL_GZIP : LEVEL_LZ4, set, &packed));
    if (codec == RECORD_LZ4 && down->magic == 0) {
        bool is_frame = record__lz4_head_check(packed.data, packed.size, true);
        assert(is_frame);
    }
    put_message(out, down->magic, (uint8_t)(down->attributes | (uint8_t)codec), last_offset,
                record_batch_max_timestamp(batch.data), SLICE_NULL, slice_of(packed.data, packed.size));
    return STATUS_OK;
}

static struct status convert(struct record_walk *walk, int8_t magic, int64_t first_offset, struct buffer *out)
{
    struct slice batch = walk->batch;
    int16_t attributes = record_batch_attributes(batch.data);
    struct down down = {.magic = magic};
    if (magic == 1)
        down.attributes = (uint8_t)(attributes & RECORD_ATTRIBUTE_APPEND_TIME);
    int32_t count;
    int64_t last_offset;
    if ((attributes & RECORD_ATTRIBUTE_CODEC) == RECORD_NONE)
        return put_records(&down, walk, first_offset, out, &count, &last_offset);
    if (magic == 1)
        down.base_offset = max_i64(first_offset, record_batch_base_offset(batch.data));
    CLEANUP(buffer_free) struct buffer set = {0};
    TRY(put_records(&down, walk, first_offset, &set, &count, &last_offset));
    return count > 0 ? put_wrapper(&down, batch, slice_of(set.data, set.size), last_offset, out) : STATUS_OK;
}

struct status record_batch_convert_down(struct slice batch, int8_t magic, int64_t first_offset, struct buffer *out)
{
    assert(magic == 0 || magic == 1);
    if (record_is_message_set(batch) && batch.data[RECORD_BATCH_MAGIC_AT] <= magic) {
        buffer_append(out, batch.data, batch.size);
        return STATUS_OK;
    }
    uint8_t room[RECORD_BATCH_HEAD_BYTES];
    const uint8_t *head = record_stored_head(batch, room);
    if (!head)
        return STATUS(EIO, "read the head of a batch");
    int16_t attributes = record_batch_attributes(head);
    if (attributes & RECORD_ATTRIBUTE_CONTROL)
        return STATUS_OK;
    if ((attributes & RECORD_ATTRIBUTE_CODEC) >= RECORD_ZSTD)
        return STATUS(ENOTSUP, "convert a zstd batch for an old client");
    size_t start = out->size;
    struct record_walk walk;
    record_walk_begin(&walk, batch);
    struct status s = convert(&walk, magic, first_offset, out);
    record_walk_end(&walk);
    if (!status_is_ok(s))
        out->size = start;
    return s;
}
