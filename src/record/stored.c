// SPDX-License-Identifier: Apache-2.0
/* record/stored.c - what lies in a segment: batches, and in segments from before Kafka 0.11 messages of format 0 and 1.
 *
 * Each message counts as a batch, a compressed wrapper as one with all that it holds. Two views make them look like batches
 * of format 2, so that whoever reads a segment need not know of them: the head alone, from the few bytes that a message
 * begins with; and the whole, from which the records are walked.
 *
 * A wrapper tells the offset of its last message only, so the head has that one as its base: the offset behind it is right,
 * and the first one is known when the wrapper has been opened. Messages have no producer, epoch or leader epoch (-1).
 */
#include "record/message_set.h"
#include "wire/gen/errors.h"

#include <errno.h>

enum { MESSAGE_TIMESTAMP_AT = 18, MESSAGE_1_MIN_BYTES = RECORD_MESSAGE_MIN_BYTES + 8 };

/* ---- the head */
static void head_of_message(const uint8_t *m, uint8_t *ret_head)
{
    bool has_timestamp = m[RECORD_BATCH_MAGIC_AT] == 1;
    uint64_t timestamp_ms = has_timestamp ? record__be(m + MESSAGE_TIMESTAMP_AT, 8) : UINT64_MAX;
    uint8_t known = (uint8_t)(RECORD_ATTRIBUTE_CODEC | (has_timestamp ? RECORD_ATTRIBUTE_APPEND_TIME : 0));
    memset(ret_head, 0xff, RECORD_BATCH_HEAD_BYTES); // no epoch, no producer, no sequence
    memcpy(ret_head, m, RECORD_BATCH_EPOCH_AT);      // offset and size
    ret_head[RECORD_BATCH_MAGIC_AT] = m[RECORD_BATCH_MAGIC_AT];
    record__put_be(ret_head + RECORD_BATCH_ATTRIBUTES_AT, m[RECORD_MESSAGE_ATTRIBUTES_AT] & known, 2);
    record__put_be(ret_head + RECORD_BATCH_LAST_DELTA_AT, 0, 4);
    record__put_be(ret_head + RECORD_BATCH_BASE_TIMESTAMP_AT, timestamp_ms, 8);
    record__put_be(ret_head + RECORD_BATCH_MAX_TIMESTAMP_AT, timestamp_ms, 8);
    record__put_be(ret_head + RECORD_BATCH_COUNT_AT, 1, 4);
}

const uint8_t *record_stored_head(struct slice bytes, uint8_t room[RECORD_BATCH_HEAD_BYTES])
{
    if (bytes.size < RECORD_MESSAGE_MIN_BYTES)
        return NULL;
    uint8_t magic = bytes.data[RECORD_BATCH_MAGIC_AT];
    int64_t size = record_batch_size(bytes.data);
    if (magic == 2)
        return bytes.size >= RECORD_BATCH_HEAD_BYTES && size >= RECORD_BATCH_HEAD_BYTES ? bytes.data : NULL;
    if (magic > 2 || size < (magic == 0 ? RECORD_MESSAGE_MIN_BYTES : MESSAGE_1_MIN_BYTES))
        return NULL;
    head_of_message(bytes.data, room);
    return room;
}

bool record_stored_next(struct slice *rest, struct slice *ret_batch)
{
    uint8_t room[RECORD_BATCH_HEAD_BYTES];
    if (!record_stored_head(*rest, room) || record_batch_size(rest->data) > (int64_t)rest->size)
        return false;
    *ret_batch = slice_of(rest->data, (size_t)record_batch_size(rest->data));
    *rest = slice_of(rest->data + ret_batch->size, rest->size - ret_batch->size);
    return true;
}

bool record_stored_is_intact(struct slice batch)
{
    uint8_t room[RECORD_BATCH_HEAD_BYTES];
    if (!record_stored_head(batch, room) || record_batch_size(batch.data) != (int64_t)batch.size)
        return false;
    return record_is_message_set(batch) ? record__message_crc_fits(batch) : record_batch_is_intact(batch);
}

/* ---- the whole */
struct up {
    struct buffer *out; // room for the head, then records
    int64_t base_offset, last_offset, base_timestamp_ms, max_timestamp_ms;
    int32_t count;
};

/* False where offsets do not grow as they must. */
static bool put_message(struct up *up, const struct message *message, int64_t offset)
{
    if (up->count == 0) {
        up->base_offset = offset;
        up->base_timestamp_ms = message->timestamp_ms;
    } else if (offset <= up->last_offset) {
        return false;
    }
    int64_t delta = offset - up->base_offset;
    if (offset < 0 || delta > INT32_MAX)
        return false;
    struct record record = {.key = message->key, .value = message->value, .headers = slice_of("", 1)};
    record__put_record(up->out, &record, delta,
                       (int64_t)((uint64_t)message->timestamp_ms - (uint64_t)up->base_timestamp_ms));
    up->last_offset = offset;
    up->max_timestamp_ms = max_i64(up->max_timestamp_ms, message->timestamp_ms);
    up->count++;
    return true;
}

static bool last_offset_inside(struct slice set, int64_t *ret_offset)
{
    struct message message;
    *ret_offset = -1;
    while (record__set_holds_another(set)) {
        *ret_offset = record_batch_base_offset(set.data);
        if (record__message_take(&set, &message) != KAFKA_NONE)
            return false;
    }
    return *ret_offset >= 0;
}

/* Format 1 counts offsets from wherever its first writer began; the wrapper has the last one. Format 0 has them as they are. */
static bool put_set(struct up *up, const struct message *wrapper, int64_t wrapper_offset, struct slice set)
{
    int64_t last_inside;
    if (!last_offset_inside(set, &last_inside) || last_inside > wrapper_offset)
        return false;
    int64_t shift = wrapper->magic == 1 ? wrapper_offset - last_inside : 0;
    while (record__set_holds_another(set)) {
        struct message message;
        int64_t offset = record_batch_base_offset(set.data);
        bool is_plain =
            record__message_take(&set, &message) == KAFKA_NONE && record__message_codec(&message) == RECORD_NONE;
        if (!is_plain || offset > last_inside || !put_message(up, &message, offset + shift))
            return false;
    }
    return true;
}

static bool put_wrapped(struct up *up, const struct message *wrapper, int64_t wrapper_offset)
{
    if (record__message_codec(wrapper) >= RECORD_ZSTD || slice_is_null(wrapper->value))
        return false;
    CLEANUP(buffer_free) struct buffer set = {0};
    struct record_scratch *scratch = record_scratch_create();
    int16_t error = record__wrapper_inflate(wrapper, scratch, RECORD_INFLATED_MAX_BYTES, &set);
    record_scratch_free(scratch);
    return error == KAFKA_NONE && put_set(up, wrapper, wrapper_offset, slice_of(set.data, set.size));
}

/* Over what the stored message's own head has. */
static void head_patch(uint8_t *h, size_t size, const struct up *up, bool is_append_time)
{
    record__put_be(h, (uint64_t)up->base_offset, 8);
    h[RECORD_BATCH_MAGIC_AT] = 2;
    record__put_be(h + RECORD_BATCH_ATTRIBUTES_AT, is_append_time ? RECORD_ATTRIBUTE_APPEND_TIME : 0, 2);
    record__put_be(h + RECORD_BATCH_LAST_DELTA_AT, (uint64_t)(up->last_offset - up->base_offset), 4);
    record__put_be(h + RECORD_BATCH_BASE_TIMESTAMP_AT, (uint64_t)up->base_timestamp_ms, 8);
    if (!is_append_time)
        record__put_be(h + RECORD_BATCH_MAX_TIMESTAMP_AT, (uint64_t)up->max_timestamp_ms, 8);
    record__put_be(h + RECORD_BATCH_COUNT_AT, (uint32_t)up->count, 4);
    record__seal(h, size);
}

struct status record__stored_up(struct slice stored, struct buffer *ret_batch)
{
    uint8_t head[RECORD_BATCH_HEAD_BYTES];
    head_of_message(stored.data, head);
    ret_batch->size = 0;
    buffer_append(ret_batch, head, sizeof head);
    struct up up = {.out = ret_batch, .max_timestamp_ms = -1};
    struct message outer;
    struct slice rest = stored;
    int64_t offset = record_batch_base_offset(head);
    bool ok = record__message_take(&rest, &outer) == KAFKA_NONE;
    if (ok)
        ok = record__message_codec(&outer) == RECORD_NONE ? put_message(&up, &outer, offset)
                                                          : put_wrapped(&up, &outer, offset);
    if (!ok || ret_batch->size > INT32_MAX)
        return STATUS(EBADMSG, "read a message of an old format");
    bool is_append_time = record_batch_attributes(head) & RECORD_ATTRIBUTE_APPEND_TIME;
    head_patch(ret_batch->data, ret_batch->size, &up, is_append_time);
    return STATUS_OK;
}
