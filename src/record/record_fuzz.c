// SPDX-License-Identifier: Apache-2.0
/* record/record_fuzz.c - any bytes as a batch: validated, walked, recompressed. The first byte selects whether the CRC is
 * put right first, so that the parsers behind it are reached, whether the bytes are a message set, and the codec of the
 * recompression.
 *
 * Beside crashes it looks for contradictions: what validation accepts must be walked to its end, with as many records, and
 * must hold the same records after recompression. The bytes are also read as a segment is, with old messages among the
 * batches: the records of an intact one lie between the offsets that its head and its walk tell.
 */
#include "record/inflate.h"

#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(uint8_t *b, size_t size)
{
    uint32_t crc = crc32c(b + RECORD_BATCH_ATTRIBUTES_AT, size - RECORD_BATCH_ATTRIBUTES_AT);
    uint32_t follows = (uint32_t)(size - RECORD_BATCH_LOG_OVERHEAD);
    memset(b, 0, 8);
    b[RECORD_BATCH_MAGIC_AT] = 2;
    for (int i = 0; i < 4; i++) {
        b[RECORD_BATCH_SIZE_AT + i] = (uint8_t)(follows >> (24 - 8 * i));
        b[RECORD_BATCH_CRC_AT + i] = (uint8_t)(crc >> (24 - 8 * i));
    }
}

/* Messages of formats 0 and 1, one after the other. */
static void seal_messages(uint8_t *bytes, size_t size)
{
    while (size >= RECORD_MESSAGE_MIN_BYTES) {
        int64_t one = record_batch_size(bytes);
        if (one < RECORD_MESSAGE_MIN_BYTES || one > (int64_t)size)
            return;
        uint32_t crc = (uint32_t)crc32(0, bytes + RECORD_BATCH_MAGIC_AT, (uInt)(one - RECORD_BATCH_MAGIC_AT));
        for (int i = 0; i < 4; i++)
            bytes[RECORD_MESSAGE_CRC_AT + i] = (uint8_t)(crc >> (24 - 8 * i));
        bytes += one;
        size -= (size_t)one;
    }
}

/* Reads every byte of every record, so that a sanitizer sees each. */
static int32_t walk_all(struct slice batch, uint32_t *ret_sum, bool *ret_failed)
{
    struct record_walk walk;
    struct record record;
    int32_t count = 0;
    *ret_sum = 0;
    record_walk_begin(&walk, batch);
    while (record_walk_next(&walk, &record)) {
        *ret_sum = crc32c_continue(*ret_sum, record.key.data, record.key.size);
        *ret_sum = crc32c_continue(*ret_sum, record.value.data, record.value.size);
        count++;
    }
    *ret_failed = walk.failed;
    record_walk_end(&walk);
    return count;
}

static void recompress(struct slice batch, enum record_codec codec, bool valid, int32_t count, uint32_t sum)
{
    struct buffer out = {0};
    struct status s = record_batch_recompress(batch, codec, 1, &out);
    assert(status_is_ok(s) || !valid);
    if (status_is_ok(s)) {
        uint32_t sum_after;
        bool failed;
        int32_t count_after = walk_all(slice_of(out.data, out.size), &sum_after, &failed);
        assert(!valid || (count_after == count && sum_after == sum && !failed));
    }
    buffer_free(&out);
}

/* A message set that becomes a valid batch must become messages again, and those a batch. */
static void messages(struct slice set, const struct record_rules *rules, struct record_scratch *scratch)
{
    struct record_builder builder = {0}, again = {0};
    struct buffer down = {0};
    struct record_facts facts;
    struct record_fault fault;
    struct slice batch, other;
    if (record_message_set_convert(set, rules, scratch, &builder, &batch, &fault) == 0 &&
        record_validate(batch, rules, scratch, &facts, &fault) == 0) {
        struct status s = record_batch_convert_down(batch, 1, 0, &down);
        assert(status_is_ok(s));
        int16_t error =
            record_message_set_convert(slice_of(down.data, down.size), rules, scratch, &again, &other, &fault);
        assert(error == 0 && record_batch_count(other.data) == facts.count);
    }
    record_builder_free(&builder);
    record_builder_free(&again);
    buffer_free(&down);
}

/* One message or batch as a log holds it: what compaction and old consumers are given of it can be read too. */
static void stored_one(struct slice batch)
{
    uint8_t room[RECORD_BATCH_HEAD_BYTES];
    const uint8_t *head = record_stored_head(batch, room);
    assert(head && record_batch_size(head) == (int64_t)batch.size);
    struct record_walk walk;
    struct record record;
    struct buffer keep = {0}, out = {0};
    record_walk_begin(&walk, batch);
    while (record_walk_next(&walk, &record)) {
        bool stays = keep.size % 2 == 0;
        buffer_append(&keep, &stays, sizeof stays);
        assert(!record_is_message_set(batch) || record.offset < record_batch_next_offset(head));
    }
    bool is_whole = !walk.failed && (int64_t)keep.size == record_batch_count(walk.batch.data);
    record_walk_end(&walk);
    if (is_whole) {
        struct status s = record_batch_keep(batch, (const bool *)keep.data, -1, &out);
        assert(status_is_ok(s) && record_batch_is_intact(slice_of(out.data, out.size)));
        out.size = 0;
        s = record_batch_convert_down(batch, 0, 0, &out);
        for (struct slice rest = slice_of(out.data, out.size), message; status_is_ok(s) && rest.size > 0;) {
            bool found = record_stored_next(&rest, &message);
            assert(found);
        }
    }
    buffer_free(&keep);
    buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct record_scratch *scratch;
    if (!scratch)
        scratch = record_scratch_create();
    if (size < 1)
        return 0;
    struct buffer bytes = {0};
    buffer_append(&bytes, data + 1, size - 1);
    struct slice whole = slice_of(bytes.data, bytes.size), rest = whole, batch;
    bool seals = !(data[0] & 0x80);
    if (seals && (data[0] & 0x10) && record_is_message_set(whole))
        seal_messages(bytes.data, bytes.size);
    else if (seals && bytes.size >= RECORD_BATCH_HEAD_BYTES)
        seal(bytes.data, bytes.size);
    struct record_rules rules = {.now_ms = 1700000000000,
                                 .size_max_bytes = INT32_MAX,
                                 .timestamp_before_max_ms = INT64_MAX,
                                 .timestamp_after_max_ms = INT64_MAX,
                                 .log_append_time = data[0] & 0x40,
                                 .needs_keys = data[0] & 0x20,
                                 .zstd_allowed = true};
    struct record_facts facts;
    struct record_fault fault;
    if (record_is_message_set(whole))
        messages(whole, &rules, scratch);
    for (struct slice in_log = whole, one; record_stored_next(&in_log, &one);)
        stored_one(one);
    bool valid = bytes.size > 0 && record_validate(whole, &rules, scratch, &facts, &fault) == 0;
    while (bytes.size > 0 && record_batch_next(&rest, &batch)) {
        uint32_t sum;
        bool failed;
        int32_t count = walk_all(batch, &sum, &failed);
        assert(!valid || (!failed && count == facts.count));
        recompress(batch, (enum record_codec)(data[0] % (RECORD_ZSTD + 1)), valid, count, sum);
    }
    buffer_free(&bytes);
    return 0;
}
