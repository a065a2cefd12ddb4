// SPDX-License-Identifier: Apache-2.0
/* record/message_set.c - message sets of old producers become one batch of format 2.
 *
 * As Kafka did while it took them: uncompressed messages, however many, become one batch; a compressed wrapper must be
 * alone, holds uncompressed messages, and becomes a batch in its codec. Offsets are the broker's to give, so what the
 * messages say is passed over. A message of format 0 has no timestamp (-1). What is too short to be a message is cut off.
 *
 * Every length is checked before it is believed; what a wrapper expands to is bounded, and given back as soon as the batch
 * is packed. A checksum that does not fit is CORRUPT_MESSAGE, everything else that is wrong INVALID_RECORD.
 */
#include "record/message_set.h"
#include "wire/gen/errors.h"

#include <zlib.h>

enum { TIMESTAMP_AT = 18, LEVEL_GZIP = 6, LEVEL_LZ4 = 9, LEVEL_ZSTD = 3 };

bool record_is_message_set(struct slice records)
{
    return records.size > RECORD_BATCH_MAGIC_AT && records.data[RECORD_BATCH_MAGIC_AT] < 2;
}

/* A field with 4 bytes of size before it; false when it does not fit. */
static bool take_sized(struct slice *rest, struct slice *ret_field)
{
    if (rest->size < 4)
        return false;
    int32_t size = (int32_t)record__be(rest->data, 4);
    *rest = slice_of(rest->data + 4, rest->size - 4);
    if (size < -1 || size > (int64_t)rest->size)
        return false;
    *ret_field = size < 0 ? SLICE_NULL : slice_of(rest->data, (size_t)size);
    if (size > 0)
        *rest = slice_of(rest->data + size, rest->size - (size_t)size);
    return true;
}

bool record__set_holds_another(struct slice rest)
{
    return rest.size > RECORD_BATCH_MAGIC_AT && record_batch_size(rest.data) <= (int64_t)rest.size;
}

bool record__message_crc_fits(struct slice message)
{
    const uint8_t *checked = message.data + RECORD_BATCH_MAGIC_AT;
    uint32_t crc = (uint32_t)crc32(0, checked, (uInt)(message.size - RECORD_BATCH_MAGIC_AT));
    return crc == (uint32_t)record__be(message.data + RECORD_MESSAGE_CRC_AT, 4);
}

int16_t record__message_take(struct slice *rest, struct message *ret_message)
{
    int64_t size = record_batch_size(rest->data);
    if (size < RECORD_MESSAGE_MIN_BYTES)
        return KAFKA_CORRUPT_MESSAGE;
    const uint8_t *m = rest->data;
    *rest = slice_of(m + size, rest->size - (size_t)size);
    if (m[RECORD_BATCH_MAGIC_AT] > 1)
        return KAFKA_INVALID_RECORD;
    bool has_timestamp = m[RECORD_BATCH_MAGIC_AT] == 1;
    size_t at = TIMESTAMP_AT + (has_timestamp ? 8 : 0);
    if ((size_t)size < at)
        return KAFKA_CORRUPT_MESSAGE;
    ret_message->magic = (int8_t)m[RECORD_BATCH_MAGIC_AT];
    ret_message->attributes = m[RECORD_MESSAGE_ATTRIBUTES_AT];
    ret_message->timestamp_ms = has_timestamp ? (int64_t)record__be(m + TIMESTAMP_AT, 8) : -1;
    struct slice body = slice_of(m + at, (size_t)size - at);
    bool fits = take_sized(&body, &ret_message->key) && take_sized(&body, &ret_message->value) && body.size == 0;
    return fits ? KAFKA_NONE : KAFKA_CORRUPT_MESSAGE;
}

/* The same with its checksum looked at. */
static int16_t take_checked(struct slice *rest, struct message *ret_message)
{
    const uint8_t *m = rest->data;
    int16_t error = record__message_take(rest, ret_message);
    if (error == KAFKA_NONE && !record__message_crc_fits(slice_of(m, (size_t)(rest->data - m))))
        return KAFKA_CORRUPT_MESSAGE;
    return error;
}

static int16_t add_plain(struct slice set, struct record_builder *builder)
{
    while (record__set_holds_another(set)) {
        struct message message;
        int16_t error = take_checked(&set, &message);
        if (error == KAFKA_NONE && record__message_codec(&message) != RECORD_NONE)
            error = KAFKA_INVALID_RECORD; // beside others, or inside of a wrapper
        if (error != KAFKA_NONE)
            return error;
        record_builder_add(builder, message.timestamp_ms, message.key, message.value);
    }
    return builder->count > 0 ? KAFKA_NONE : KAFKA_INVALID_RECORD;
}

int16_t record__wrapper_inflate(const struct message *wrapper, struct record_scratch *scratch, uint64_t size_max_bytes,
                                struct buffer *ret_set)
{
    CLEANUP(buffer_free) struct buffer packed = {0};
    struct slice value = wrapper->value;
    if (wrapper->magic == 0 && record__message_codec(wrapper) == RECORD_LZ4) {
        buffer_append(&packed, value.data, value.size);
        if (!record__lz4_head_check(packed.data, packed.size, false))
            return KAFKA_CORRUPT_MESSAGE;
        value = slice_of(packed.data, packed.size);
    }
    struct inflate stream;
    record__inflate_begin(&stream, scratch, record__message_codec(wrapper), value, size_max_bytes);
    while (record__inflate_refill(&stream))
        buffer_append(ret_set, stream.at, (size_t)(stream.end - stream.at));
    if (stream.failed)
        return ret_set->size + WINDOW_BYTES > size_max_bytes ? KAFKA_MESSAGE_TOO_LARGE : KAFKA_CORRUPT_MESSAGE;
    return KAFKA_NONE;
}

static int16_t add_wrapped(const struct message *wrapper, struct record_scratch *scratch,
                           struct record_builder *builder)
{
    if (record__message_codec(wrapper) >= RECORD_ZSTD || slice_is_null(wrapper->value))
        return KAFKA_INVALID_RECORD;
    CLEANUP(buffer_free) struct buffer set = {0};
    int16_t error = record__wrapper_inflate(wrapper, scratch, RECORD_MESSAGES_EXPANDED_MAX, &set);
    return error == KAFKA_NONE ? add_plain(slice_of(set.data, set.size), builder) : error;
}

static int level_of(enum record_codec codec)
{
    return codec == RECORD_GZIP ? LEVEL_GZIP : codec == RECORD_LZ4 ? LEVEL_LZ4 : LEVEL_ZSTD;
}

static int16_t build(struct slice set, struct record_scratch *scratch, struct record_builder *builder,
                     struct message *ret_first)
{
    struct slice rest = set;
    int16_t error = take_checked(&rest, ret_first);
    record_builder_begin(builder);
    if (error == KAFKA_NONE && record__message_codec(ret_first) == RECORD_NONE)
        error = add_plain(set, builder);
    else if (error == KAFKA_NONE)
        error = record__set_holds_another(rest) ? KAFKA_INVALID_RECORD : add_wrapped(ret_first, scratch, builder);
    if (error == KAFKA_NONE && builder->bytes.size > INT32_MAX)
        error = KAFKA_MESSAGE_TOO_LARGE;
    return error;
}

int16_t record_message_set_convert(struct slice set, const struct record_rules *rules, struct record_scratch *scratch,
                                   struct record_builder *builder, struct slice *ret_batch,
                                   struct record_fault *ret_fault)
{
    assert(record_is_message_set(set));
    *ret_fault = (struct record_fault){.is_request_fault = true};
    if (!record__set_holds_another(set))
        return KAFKA_INVALID_RECORD;
    if (record_batch_size(set.data) > rules->size_max_bytes)
        return KAFKA_MESSAGE_TOO_LARGE;
    struct message first;
    int16_t error = build(set, scratch, builder, &first);
    if (error != KAFKA_NONE)
        return error;
    enum record_codec codec = record__message_codec(&first);
    int16_t attributes = first.magic == 1 ? first.attributes & RECORD_ATTRIBUTE_APPEND_TIME : 0;
    struct status s = record_builder_finish_packed(builder, codec, level_of(codec), attributes, -1, -1, -1, ret_batch);
    if (!status_is_ok(s))
        return KAFKA_UNKNOWN_SERVER_ERROR;
    if (codec != RECORD_NONE)
        buffer_free(&builder->bytes);
    ret_fault->is_request_fault = false;
    return KAFKA_NONE;
}
