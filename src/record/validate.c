// SPDX-License-Identifier: Apache-2.0
/* record/validate.c - what a producer may send: Kafka 4.3's checks, in Kafka's order, with Kafka's error codes.
 *
 *   request   one batch, magic 2, a codec that the version knows           (ProduceRequest.validateRecords)
 *   batch     base offset 0, size, CRC                                     (UnifiedLog.analyzeAndValidateRecords)
 *   head      counts that agree, no control records, a sequence            (LogValidator.validateBatch)
 *   records   every record parsed to its end, dense offsets, keys, times   (LogValidator.validateRecord)
 *
 * Records are read as a stream, so a compressed batch costs one window of memory whatever it claims to hold. A record that
 * lies in the window as a whole is read there by pointer, which is several times as fast; that way only accepts, so whatever
 * is odd about a record is found out, and told, by the stream alone.
 *
 * Who must not be held up asks for a brief look: what takes longer, by its size or by what it unfolds to, is left undone.
 */
#include "record/inflate.h"
#include "wire/gen/errors.h"

enum {
    EXPANDED_MAX_BYTES = 1 << 30, // what one batch may expand to
    LEGACY_OVERHEAD_BYTES = 14,   // of the smallest record that was ever a format, after its offset and size
};
/* A brief look: about a tenth of a millisecond. */
enum {
    BRIEF_PLAIN_BYTES =
        2 << 20, // of a batch that is not compressed; each record counts as many bytes as its walk costs CRC
    BRIEF_RECORD_BYTES = 256,
    BRIEF_PACKED_BYTES = 64 << 10,
    BRIEF_INFLATED_BYTES = 256 << 10,
};
static const int64_t NO_TIMESTAMP = -1;

static int16_t refuse(struct record_fault *fault, int16_t error, const char *message)
{
    fault->message = message;
    return error;
}

static int16_t refuse_request(struct record_fault *fault, int16_t error)
{
    fault->is_request_fault = true;
    return error;
}

static int16_t refuse_magic(struct record_fault *fault, int8_t magic)
{
    snprintf(fault->text, sizeof fault->text, "Invalid magic found in record: %d", (int)magic);
    fault->message = fault->text;
    return refuse_request(fault, KAFKA_CORRUPT_MESSAGE);
}

static int16_t refuse_size(struct record_fault *fault, int64_t size)
{
    snprintf(fault->text, sizeof fault->text, "Record size %lld is less than the minimum record overhead (%d)",
             (long long)size, (int)LEGACY_OVERHEAD_BYTES);
    fault->message = fault->text;
    return refuse_request(fault, KAFKA_CORRUPT_MESSAGE);
}

/* What is too short for a head, or for what its head says, is not read by Kafka: it is cut off. */
static bool holds_another_batch(struct slice rest)
{
    return rest.size >= RECORD_BATCH_LOG_OVERHEAD + 5 && record_batch_size(rest.data) <= (int64_t)rest.size;
}

static int16_t check_request(struct slice records, const struct record_rules *rules, struct record_fault *fault)
{
    if (records.size < RECORD_BATCH_LOG_OVERHEAD + 5)
        return refuse_request(fault, KAFKA_INVALID_RECORD);
    int64_t size = record_batch_size(records.data);
    if (size < RECORD_BATCH_LOG_OVERHEAD + LEGACY_OVERHEAD_BYTES)
        return refuse_size(fault, size - RECORD_BATCH_LOG_OVERHEAD);
    if (records.data[RECORD_BATCH_MAGIC_AT] > 2)
        return refuse_magic(fault, (int8_t)records.data[RECORD_BATCH_MAGIC_AT]);
    if (size > (int64_t)records.size || records.data[RECORD_BATCH_MAGIC_AT] != 2)
        return refuse_request(fault, KAFKA_INVALID_RECORD);
    if (size < RECORD_BATCH_HEAD_BYTES)
        return refuse(fault, KAFKA_CORRUPT_MESSAGE, NULL);
    if (holds_another_batch(slice_of(records.data + size, records.size - (size_t)size)))
        return refuse_request(fault, KAFKA_INVALID_RECORD);
    if ((record_batch_attributes(records.data) & RECORD_ATTRIBUTE_CODEC) == RECORD_ZSTD && !rules->zstd_allowed)
        return refuse_request(fault, KAFKA_UNSUPPORTED_COMPRESSION_TYPE);
    return KAFKA_NONE;
}

/* By its head alone; a head that lies costs no more than what it says. */
static bool takes_long(struct slice batch)
{
    if ((record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CODEC) != RECORD_NONE)
        return batch.size > BRIEF_PACKED_BYTES;
    int64_t of_records = max_i64(0, record_batch_count(batch.data)) * BRIEF_RECORD_BYTES;
    return (int64_t)batch.size + of_records > BRIEF_PLAIN_BYTES;
}

static int16_t check_batch(struct slice batch, const struct record_rules *rules, struct record_fault *fault)
{
    if (record_batch_base_offset(batch.data) != 0)
        return refuse(fault, KAFKA_INVALID_RECORD, NULL);
    if ((int64_t)batch.size > rules->size_max_bytes)
        return refuse(fault, KAFKA_MESSAGE_TOO_LARGE, NULL);
    if (!record_batch_is_intact(batch))
        return refuse(fault, KAFKA_CORRUPT_MESSAGE, NULL);
    return KAFKA_NONE;
}

static int16_t check_head(const struct record_facts *facts, struct record_fault *fault)
{
    bool counts_agree = facts->last_delta >= 0 && facts->count > 0 && (int64_t)facts->last_delta + 1 == facts->count;
    bool sequence_is_there = facts->producer_id < 0 || facts->base_sequence >= 0;
    if (!counts_agree || facts->is_control || !sequence_is_there)
        return refuse(fault, KAFKA_INVALID_RECORD, NULL);
    return facts->codec > RECORD_ZSTD ? refuse(fault, KAFKA_UNKNOWN_SERVER_ERROR, NULL) : KAFKA_NONE;
}

/* ---- reading records from the stream */
struct cursor {
    struct inflate stream;
    uint64_t taken; // bytes since the record began
    bool failed;
};

static uint8_t take_byte(struct cursor *c)
{
    if (c->stream.at == c->stream.end && !record__inflate_refill(&c->stream)) {
        c->failed = true;
        return 0;
    }
    c->taken++;
    return *c->stream.at++;
}

static void skip(struct cursor *c, int64_t size)
{
    while (size > 0 && !c->failed) {
        if (c->stream.at == c->stream.end && !record__inflate_refill(&c->stream)) {
            c->failed = true;
            return;
        }
        int64_t step = min_i64(size, c->stream.end - c->stream.at);
        c->stream.at += step;
        c->taken += (uint64_t)step;
        size -= step;
    }
}

static int64_t take_varlong(struct cursor *c, int bits_max)
{
    uint64_t value = 0;
    for (int shift = 0; shift < bits_max; shift += 7) {
        uint8_t byte = take_byte(c);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return (int64_t)(value >> 1 ^ (0ull - (value & 1)));
    }
    c->failed = true;
    return 0;
}

static int32_t take_varint(struct cursor *c)
{
    return (int32_t)take_varlong(c, 35);
}

/* A sized field: -1 is null where allowed. */
static int32_t skip_sized(struct cursor *c, bool nullable)
{
    int32_t size = take_varint(c);
    if (size < (nullable ? -1 : 0))
        c->failed = true;
    skip(c, size);
    return size;
}

struct parsed {
    int64_t timestamp_delta;
    int32_t offset_delta, key_size, value_size; // -1: null
};

/* A number read by pointer, and where the next one begins; NULL: the bytes end before it does, or it is no number. */
struct near {
    const uint8_t *next;
    int64_t value;
};

static struct near near_of_many(const uint8_t *at, const uint8_t *end, int bits_max)
{
    uint64_t value = 0;
    for (int shift = 0; shift < bits_max && at < end; shift += 7) {
        uint8_t byte = *at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return (struct near){at, (int64_t)(value >> 1 ^ (0ull - (value & 1)))};
    }
    return (struct near){NULL, 0};
}

/* Most are of one byte or two. */
static inline struct near near_varlong(const uint8_t *at, const uint8_t *end, int bits_max)
{
    if (end - at >= 2) {
        uint32_t value = at[0];
        if (value < 0x80)
            return (struct near){at + 1, (int32_t)(value >> 1 ^ (0u - (value & 1)))};
        value = (value & 0x7f) | (uint32_t)at[1] << 7;
        if (at[1] < 0x80)
            return (struct near){at + 2, (int32_t)(value >> 1 ^ (0u - (value & 1)))};
    }
    return near_of_many(at, end, bits_max);
}

static inline struct near near_varint(const uint8_t *at, const uint8_t *end)
{
    struct near n = near_varlong(at, end, 35);
    n.value = (int32_t)n.value;
    return n;
}

/* A sized field: `next` is behind its bytes. Its size is at least that, -1 being null. */
static inline struct near near_sized(const uint8_t *at, const uint8_t *end, int least)
{
    struct near n = near_varint(at, end);
    if (!n.next || n.value < least || n.value > end - n.next)
        return (struct near){NULL, 0};
    n.next += n.value > 0 ? n.value : 0;
    return n;
}

/* Behind so many headers, or NULL. */
static const uint8_t *near_headers(const uint8_t *at, const uint8_t *end, int64_t count)
{
    for (int64_t i = 0; i < count && at; i++) {
        at = near_sized(at, end, 0).next;
        at = at ? near_sized(at, end, -1).next : NULL;
    }
    return at;
}

/* A sound record that lies in the window; otherwise false, and nothing is taken. */
static bool take_near_record(struct cursor *c, struct parsed *ret_record)
{
    struct near size = near_sized(c->stream.at, c->stream.end, 1);
    if (!size.next)
        return false;
    const uint8_t *end = size.next, *at = end - size.value;
    struct near time = near_varlong(at + 1, end, 70); // behind the attributes: none are defined
    struct near offset = time.next ? near_varint(time.next, end) : time;
    struct near key = offset.next ? near_sized(offset.next, end, -1) : offset;
    struct near value = key.next ? near_sized(key.next, end, -1) : key;
    struct near headers = value.next ? near_varint(value.next, end) : value;
    if (!headers.next || headers.value < 0 || near_headers(headers.next, end, headers.value) != end)
        return false;
    *ret_record = (struct parsed){time.value, (int32_t)offset.value, (int32_t)key.value, (int32_t)value.value};
    c->stream.at = end;
    return true;
}

static void take_record(struct cursor *c, struct parsed *ret_record)
{
    if (take_near_record(c, ret_record))
        return;
    int32_t size = take_varint(c);
    c->taken = 0;
    take_byte(c); // attributes: none are defined
    ret_record->timestamp_delta = take_varlong(c, 70);
    ret_record->offset_delta = take_varint(c);
    ret_record->key_size = skip_sized(c, true);
    ret_record->value_size = skip_sized(c, true);
    int32_t headers = take_varint(c);
    if (headers < 0 || headers > size)
        c->failed = true;
    for (int32_t i = 0; i < headers && !c->failed; i++) {
        skip_sized(c, false);
        skip_sized(c, true);
    }
    if (size < 0 || c->taken != (uint64_t)size)
        c->failed = true;
}

/* ---- refused records: all are looked for, as Kafka does, and the first ones told. */
static void note_refusal(const struct record_rules *rules, struct record_fault *fault,
                         const struct record_refusal *refusal)
{
    enum { FIRST_CAPACITY = 8 };
    fault->refused_count++;
    int32_t count = fault->refusal_count;
    if (!rules->arena || count == RECORD_REFUSALS_MAX || fault->refused_count != count + 1)
        return;
    if (count == 0 || (count >= FIRST_CAPACITY && (count & (count - 1)) == 0)) { // full: twice as many
        int32_t capacity = count == 0 ? FIRST_CAPACITY : count * 2;
        struct record_refusal *grown = arena_array(rules->arena, (size_t)capacity, sizeof *grown);
        if (!grown)
            return;
        if (count > 0)
            memcpy(grown, fault->refusals, (size_t)count * sizeof *grown);
        fault->refusals = grown;
    }
    fault->refusals[fault->refusal_count++] = *refusal;
}

static bool is_out_of_time(const struct record_rules *rules, int64_t timestamp_ms)
{
    if (rules->log_append_time || timestamp_ms == NO_TIMESTAMP)
        return false;
    bool too_old =
        rules->timestamp_before_max_ms < rules->now_ms && timestamp_ms < rules->now_ms - rules->timestamp_before_max_ms;
    bool too_new = timestamp_ms > 0 && timestamp_ms - rules->now_ms > rules->timestamp_after_max_ms;
    return too_old || too_new;
}

/* False when nothing is wrong with it. */
static bool check_record(const struct record_rules *rules, bool claims_append_time, int32_t index,
                         const struct parsed *record, int64_t timestamp_ms, enum record_refusal_reason *ret_reason)
{
    if (record->offset_delta != index)
        *ret_reason = RECORD_OUT_OF_ORDER;
    else if (rules->needs_keys && record->key_size < 0)
        *ret_reason = RECORD_HAS_NO_KEY;
    else if (claims_append_time && rules->log_append_time) // the time of an append is the broker's to tell
        *ret_reason = RECORD_CLAIMS_APPEND_TIME;
    else if (is_out_of_time(rules, timestamp_ms))
        *ret_reason = RECORD_OUT_OF_TIME;
    else
        return false;
    return true;
}

/* The batch is broken, whatever its first records are. Bytes that are none of their codec are Kafka's unknown error. */
static int16_t refuse_unreadable(struct record_fault *fault, const struct cursor *cursor,
                                 const struct record_rules *rules)
{
    fault->gave_up = rules->is_brief && cursor->stream.is_over;
    fault->refused_count = fault->refusal_count = 0;
    return refuse(fault, cursor->stream.failed ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_INVALID_RECORD, NULL);
}

/* Of the batch, once all its records were looked at. */
static int16_t verdict(const struct record_fault *fault, bool any_of_time)
{
    if (fault->refused_count == 0)
        return KAFKA_NONE;
    return any_of_time ? KAFKA_INVALID_TIMESTAMP : KAFKA_INVALID_RECORD;
}

static int16_t check_records(struct slice batch, const struct record_rules *rules, struct record_scratch *scratch,
                             struct record_facts *facts, struct record_fault *fault)
{
    struct cursor cursor = {0};
    struct slice body = slice_of(batch.data + RECORD_BATCH_HEAD_BYTES, batch.size - RECORD_BATCH_HEAD_BYTES);
    record__inflate_begin(&cursor.stream, scratch, (enum record_codec)facts->codec, body,
                          rules->is_brief && facts->codec != RECORD_NONE ? BRIEF_INFLATED_BYTES : EXPANDED_MAX_BYTES);
    int64_t base_ms = record_batch_base_timestamp(batch.data), max_ms = NO_TIMESTAMP;
    int32_t max_delta = 0;
    bool any_of_time = false;
    for (int32_t i = 0; i < facts->count; i++) {
        struct parsed record;
        enum record_refusal_reason reason;
        take_record(&cursor, &record);
        if (cursor.failed)
            return refuse_unreadable(fault, &cursor, rules);
        int64_t timestamp_ms = (int64_t)((uint64_t)base_ms + (uint64_t)record.timestamp_delta);
        if (check_record(rules, facts->is_append_time, i, &record, timestamp_ms, &reason)) {
            int64_t told_ms = facts->is_append_time ? record_batch_max_timestamp(batch.data) : timestamp_ms;
            note_refusal(rules, fault,
                         &(struct record_refusal){i, reason, told_ms, record.key_size, record.value_size});
            any_of_time |= reason == RECORD_OUT_OF_TIME || reason == RECORD_CLAIMS_APPEND_TIME;
        }
        if (timestamp_ms > max_ms) {
            max_ms = timestamp_ms;
            max_delta = i;
        }
    }
    if (cursor.stream.at != cursor.stream.end || record__inflate_refill(&cursor.stream) || cursor.stream.failed)
        return refuse_unreadable(fault, &cursor, rules);
    facts->max_timestamp_ms = max_ms;
    facts->max_timestamp_delta = max_delta;
    return verdict(fault, any_of_time);
}

int16_t record_validate(struct slice records, const struct record_rules *rules, struct record_scratch *scratch,
                        struct record_facts *ret_facts, struct record_fault *ret_fault)
{
    *ret_fault = (struct record_fault){0};
    int16_t error = check_request(records, rules, ret_fault);
    if (error != KAFKA_NONE)
        return error;
    records.size = (size_t)record_batch_size(records.data);
    ret_fault->gave_up = rules->is_brief && takes_long(records);
    if (ret_fault->gave_up)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    error = check_batch(records, rules, ret_fault);
    if (error != KAFKA_NONE)
        return error;
    record_facts_read(records, ret_facts);
    bool said_append_time = ret_facts->is_append_time;
    error = check_head(ret_facts, ret_fault);
    if (error == KAFKA_NONE)
        error = check_records(records, rules, scratch, ret_facts, ret_fault);
    if (error != KAFKA_NONE || rules->log_append_time)
        return error;
    if (said_append_time || record_batch_max_timestamp(records.data) != ret_facts->max_timestamp_ms) {
        record__set_timestamp((uint8_t *)(uintptr_t)records.data, records.size, false, ret_facts->max_timestamp_ms);
        ret_facts->is_append_time = false;
    }
    return KAFKA_NONE;
}
