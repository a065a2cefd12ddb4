// SPDX-License-Identifier: Apache-2.0
/* record/record.h - the record batch, version 2 (KIP-98): view, validate, walk, build. No I/O, no threads.
 *
 *   offset  bytes  field
 *        0      8  base offset                      \ not covered by the CRC, so a broker
 *        8      4  size of what follows             | patches offset and leader epoch in
 *       12      4  partition leader epoch           / place
 *       16      1  magic = 2
 *       17      4  CRC-32C of all that follows
 *       21      2  attributes: 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
 *       23      4  last offset delta
 *       27      8  base timestamp, ms
 *       35      8  max timestamp, ms
 *       43      8  producer id, -1 none
 *       51      2  producer epoch
 *       53      4  base sequence
 *       57      4  count of records
 *       61         records: varint size, attributes, varlong timestamp delta, varint offset delta, key, value, headers
 */
#pragma once

#include "base/base.h"

enum {
    RECORD_BATCH_HEAD_BYTES = 61,
    RECORD_BATCH_SIZE_AT = 8, // 12 bytes until the size counts
    RECORD_BATCH_LOG_OVERHEAD = 12,
    RECORD_BATCH_EPOCH_AT = 12,
    RECORD_BATCH_MAGIC_AT = 16,
    RECORD_BATCH_CRC_AT = 17,
    RECORD_BATCH_ATTRIBUTES_AT = 21,
    RECORD_BATCH_LAST_DELTA_AT = 23,
    RECORD_BATCH_BASE_TIMESTAMP_AT = 27,
    RECORD_BATCH_MAX_TIMESTAMP_AT = 35,
    RECORD_BATCH_PRODUCER_ID_AT = 43,
    RECORD_BATCH_PRODUCER_EPOCH_AT = 51,
    RECORD_BATCH_BASE_SEQUENCE_AT = 53,
    RECORD_BATCH_COUNT_AT = 57,
};

enum record_codec { RECORD_NONE, RECORD_GZIP, RECORD_SNAPPY, RECORD_LZ4, RECORD_ZSTD };
enum {
    RECORD_ATTRIBUTE_CODEC = 7,
    RECORD_ATTRIBUTE_APPEND_TIME = 8,
    RECORD_ATTRIBUTE_TRANSACTIONAL = 16,
    RECORD_ATTRIBUTE_CONTROL = 32
};

static inline uint64_t record__be(const uint8_t *p, int size)
{
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value = value << 8 | p[i];
    return value;
}

static inline int64_t record_batch_base_offset(const uint8_t *b)
{
    return (int64_t)record__be(b, 8);
}

/* Whole size in bytes, as its length field says; check it with record_batch_next before believing it. */
static inline int64_t record_batch_size(const uint8_t *b)
{
    return (int64_t)(int32_t)record__be(b + RECORD_BATCH_SIZE_AT, 4) + RECORD_BATCH_LOG_OVERHEAD;
}

static inline int32_t record_batch_leader_epoch(const uint8_t *b)
{
    return (int32_t)record__be(b + RECORD_BATCH_EPOCH_AT, 4);
}

static inline int16_t record_batch_attributes(const uint8_t *b)
{
    return (int16_t)record__be(b + RECORD_BATCH_ATTRIBUTES_AT, 2);
}

static inline int32_t record_batch_last_delta(const uint8_t *b)
{
    return (int32_t)record__be(b + RECORD_BATCH_LAST_DELTA_AT, 4);
}

/* The offset after its last record. */
static inline int64_t record_batch_next_offset(const uint8_t *b)
{
    return record_batch_base_offset(b) + record_batch_last_delta(b) + 1;
}

static inline int64_t record_batch_base_timestamp(const uint8_t *b)
{
    return (int64_t)record__be(b + RECORD_BATCH_BASE_TIMESTAMP_AT, 8);
}

static inline int64_t record_batch_max_timestamp(const uint8_t *b)
{
    return (int64_t)record__be(b + RECORD_BATCH_MAX_TIMESTAMP_AT, 8);
}

static inline int64_t record_batch_producer_id(const uint8_t *b)
{
    return (int64_t)record__be(b + RECORD_BATCH_PRODUCER_ID_AT, 8);
}

static inline int16_t record_batch_producer_epoch(const uint8_t *b)
{
    return (int16_t)record__be(b + RECORD_BATCH_PRODUCER_EPOCH_AT, 2);
}

static inline int32_t record_batch_base_sequence(const uint8_t *b)
{
    return (int32_t)record__be(b + RECORD_BATCH_BASE_SEQUENCE_AT, 4);
}

static inline int32_t record_batch_count(const uint8_t *b)
{
    return (int32_t)record__be(b + RECORD_BATCH_COUNT_AT, 4);
}

/* Takes the next whole batch off `rest`; false at the end or where the bytes are no batch. */
bool record_batch_next(struct slice *rest, struct slice *ret_batch);
/* Size of the head, magic 2, and the CRC. */
bool record_batch_is_intact(struct slice batch);
void record_batch_set_base(uint8_t *b, int64_t base_offset, int32_t leader_epoch);

/* ---- what validation finds out about a batch, for the log */
struct record_facts {
    int32_t count, last_delta;
    int64_t max_timestamp_ms;
    int32_t max_timestamp_delta; // offset delta of the first record with it
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int8_t codec;
    bool is_append_time, is_transactional, is_control;
};
/* From the header alone (recovery, replicas): max_timestamp_delta is then the last delta. */
void record_facts_read(struct slice batch, struct record_facts *ret_facts);

/* ---- validation of what a client sends for one partition, as Kafka 4.3's LogValidator */
struct record_rules {
    int64_t now_ms;         // wall clock
    int32_t size_max_bytes; // max.message.bytes
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
    bool log_append_time, needs_keys, zstd_allowed;
    bool is_brief;       // the caller must not be held up: what would take long is given up
    struct arena *arena; // for what the fault tells of records; NULL: nothing is told
};

/* A record that was refused, as far as the answer tells it. */
enum record_refusal_reason { RECORD_HAS_NO_KEY, RECORD_OUT_OF_TIME, RECORD_CLAIMS_APPEND_TIME, RECORD_OUT_OF_ORDER };
struct record_refusal {
    int32_t index; // in the batch
    enum record_refusal_reason reason;
    int64_t timestamp_ms;
    int32_t key_size_bytes, value_size_bytes; // -1: null
};

/* Why a batch was refused, beyond the error code. Static text or `text`. */
enum { RECORD_REFUSALS_MAX = 4096 };
struct record_fault {
    const char *message;   // of the batch as a whole; NULL: none
    bool gave_up;          // after a brief look: nothing is known of the batch, the code means nothing
    bool is_request_fault; // refused before a log was looked at: Kafka tells no log start offset then
    char text[160];
    struct record_refusal *refusals; // in the rules' arena: the first RECORD_REFUSALS_MAX, fewer when it is full
    int32_t refusal_count;           // of those told
    int32_t refused_count;           // in all
};

/* Contexts of decompression and a window, reused: a warm one makes no malloc. For one thread. */
struct record_scratch;
struct record_scratch *record_scratch_create(void);
void record_scratch_free(struct record_scratch *scratch);

/* Kafka error code; the bytes may get a corrected max timestamp (with its CRC) when all is well. */
int16_t record_validate(struct slice records, const struct record_rules *rules, struct record_scratch *scratch,
                        struct record_facts *ret_facts, struct record_fault *ret_fault);
/* LogAppendTime: timestamp type and max timestamp, with the CRC. */
void record_batch_set_append_time(uint8_t *b, uint32_t size_bytes, int64_t now_ms, struct record_facts *facts);

/* ---- walking the records of an intact batch, or of an intact message of an old format (see below). Key and value lie in the batch, or in the walk's memory when compressed. */
struct record {
    int64_t offset, timestamp_ms;
    struct slice key, value; // null possible
    struct slice headers;    // varint count, then pairs, as in the batch
    int32_t header_count;
    uint8_t attributes; // unused by Kafka so far
};

struct record_walk {
    struct slice batch; // of format 2 always
    struct buffer inflated;
    const uint8_t *at, *end;
    int32_t left;
    bool failed; // the batch does not hold what its head promises
};

enum { RECORD_INFLATED_MAX_BYTES = 512 << 20 }; // of one batch, for a walk

void record_walk_begin(struct record_walk *walk, struct slice batch);
bool record_walk_next(struct record_walk *walk, struct record *ret_record); // false at the end or when failed
void record_walk_end(struct record_walk *walk);

/* ---- building batches: coordinators, metadata, tests */
struct record_builder {
    struct buffer bytes, packed;
    int32_t count;
    int64_t base_timestamp_ms, max_timestamp_ms;
};

void record_builder_begin(struct record_builder *b); // reuses the memory of an earlier batch
void record_builder_add(struct record_builder *b, int64_t timestamp_ms, struct slice key, struct slice value);
/* `headers`: as struct record has them: a varint count, then pairs. */
void record_builder_add_with(struct record_builder *b, int64_t timestamp_ms, struct slice key, struct slice value,
                             struct slice headers);
/* Head and CRC; base offset 0. `attributes` as RECORD_ATTRIBUTE_*, without a codec. The bytes are the builder's. */
struct slice record_builder_finish(struct record_builder *b, int16_t attributes, int64_t producer_id,
                                   int16_t producer_epoch, int32_t base_sequence);
/* The same with the records in a codec, at its level (compression.gzip.level and its like; snappy has none). */
MUST_USE struct status record_builder_finish_packed(struct record_builder *b, enum record_codec codec, int level,
                                                    int16_t attributes, int64_t producer_id, int16_t producer_epoch,
                                                    int32_t base_sequence, struct slice *ret_batch);
void record_builder_free(struct record_builder *b);
/* A batch with another codec, same records (topic setting compression.type), in place of what `ret_batch` held. EIO: its
 * records cannot be inflated, or expand beyond RECORD_INFLATED_MAX_BYTES; ENOTSUP for a codec that is not there. */
MUST_USE struct status record_batch_recompress(struct slice batch, enum record_codec codec, int level,
                                               struct buffer *ret_batch);
/* The batch once more with only those records whose keep[i] is true (compaction): offsets, producer, epoch, sequence and
 * codec stay. `delete_horizon_ms` >= 0 becomes its base timestamp, marked by attribute 6 (KIP-534); -1: as the batch has it.
 * With no record kept it is a head alone. `keep` has as many elements as the batch's count says. */
enum { RECORD_ATTRIBUTE_DELETE_HORIZON = 64 };
static inline int64_t record_batch_delete_horizon(const uint8_t *b) // -1: none
{
    return record_batch_attributes(b) & RECORD_ATTRIBUTE_DELETE_HORIZON ? record_batch_base_timestamp(b) : -1;
}
MUST_USE struct status record_batch_keep(struct slice batch, const bool *keep, int64_t delete_horizon_ms,
                                         struct buffer *ret_batch);

/* ---- message sets: formats 0 and 1, which clients before 0.11 speak (KIP-31, KIP-32)
 *
 *   offset  bytes  field
 *        0      8  offset; of a compressed wrapper: that of its last message
 *        8      4  size of what follows
 *       12      4  CRC-32 (zlib's) of all that follows
 *       16      1  magic, 0 or 1
 *       17      1  attributes: 0-2 codec, 3 timestamp type (magic 1 alone)
 *       18      8  timestamp, ms (magic 1 alone)
 *                  key and value: 4 bytes of size (-1: null), then the bytes. The value of a wrapper is a compressed message
 *                  set with final offsets (magic 0) or relative ones (magic 1)
 */
enum {
    RECORD_MESSAGE_CRC_AT = 12,
    RECORD_MESSAGE_ATTRIBUTES_AT = 17,
    RECORD_MESSAGE_MIN_BYTES = 26,          // of a magic 0 message without key and value: a batch is never smaller
    RECORD_MESSAGES_EXPANDED_MAX = 32 << 20 // what a wrapper may hold; more is refused as too large
};
/* True when `records` begin with a message of magic 0 or 1. */
bool record_is_message_set(struct slice records);
/* What an old producer sent for one partition, as one batch with the same codec; not yet validated. It lies in the builder,
 * which keeps no more than that. A Kafka error code, as of record_validate. */
int16_t record_message_set_convert(struct slice set, const struct record_rules *rules, struct record_scratch *scratch,
                                   struct record_builder *builder, struct slice *ret_batch,
                                   struct record_fault *ret_fault);

/* ---- what lies in a segment: batches, and in old segments messages, each of which counts as a batch */
/* The head at the beginning of `bytes` (RECORD_BATCH_HEAD_BYTES of them, where there are as many), as format 2 has it but for
 * its magic: the bytes themselves, or `room`. Of a wrapper, base offset and last offset are those of its last message. NULL:
 * no batch begins so. */
const uint8_t *record_stored_head(struct slice bytes, uint8_t room[RECORD_BATCH_HEAD_BYTES]);
/* Takes the next whole one off `rest`; false at the end or where the bytes are no batch. */
bool record_stored_next(struct slice *rest, struct slice *ret_batch);
bool record_stored_is_intact(struct slice batch); // its size, magic and CRC
/* The batch as messages of that magic, or older ones as they are, behind what `out` holds; records below `first_offset`, headers and control batches
 * are left out. ENOTSUP: zstd, which old clients don't know. EIO: its records cannot be read. */
MUST_USE struct status record_batch_convert_down(struct slice batch, int8_t magic, int64_t first_offset,
                                                 struct buffer *out);
