// SPDX-License-Identifier: Apache-2.0
/* record/batch.c - the head of a batch: bounds, CRC, and the fields that a broker patches. */
#include "record/inflate.h"

static void put_be(uint8_t *p, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        p[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

bool record_batch_next(struct slice *rest, struct slice *ret_batch)
{
    if (rest->size < RECORD_BATCH_HEAD_BYTES)
        return false;
    int64_t size = record_batch_size(rest->data);
    if (size < RECORD_BATCH_HEAD_BYTES || size > (int64_t)rest->size)
        return false;
    *ret_batch = slice_of(rest->data, (size_t)size);
    rest->data += size;
    rest->size -= (size_t)size;
    return true;
}

static uint32_t computed_crc(const uint8_t *b, size_t size)
{
    return crc32c(b + RECORD_BATCH_ATTRIBUTES_AT, size - RECORD_BATCH_ATTRIBUTES_AT);
}

bool record_batch_is_intact(struct slice batch)
{
    if (batch.size < RECORD_BATCH_HEAD_BYTES || record_batch_size(batch.data) != (int64_t)batch.size)
        return false;
    return batch.data[RECORD_BATCH_MAGIC_AT] == 2 &&
           (uint32_t)record__be(batch.data + RECORD_BATCH_CRC_AT, 4) == computed_crc(batch.data, batch.size);
}

void record_batch_set_base(uint8_t *b, int64_t base_offset, int32_t leader_epoch)
{
    put_be(b, (uint64_t)base_offset, 8);
    put_be(b + RECORD_BATCH_EPOCH_AT, (uint32_t)leader_epoch, 4);
}

void record_facts_read(struct slice batch, struct record_facts *ret_facts)
{
    const uint8_t *b = batch.data;
    int16_t attributes = record_batch_attributes(b);
    *ret_facts = (struct record_facts){
        .count = record_batch_count(b),
        .last_delta = record_batch_last_delta(b),
        .max_timestamp_ms = record_batch_max_timestamp(b),
        .max_timestamp_delta = record_batch_last_delta(b),
        .producer_id = record_batch_producer_id(b),
        .producer_epoch = record_batch_producer_epoch(b),
        .base_sequence = record_batch_base_sequence(b),
        .codec = (int8_t)(attributes & RECORD_ATTRIBUTE_CODEC),
        .is_append_time = attributes & RECORD_ATTRIBUTE_APPEND_TIME,
        .is_transactional = attributes & RECORD_ATTRIBUTE_TRANSACTIONAL,
        .is_control = attributes & RECORD_ATTRIBUTE_CONTROL,
    };
}

/* Only called where something changes: the CRC is over the whole batch. */
void record__set_timestamp(uint8_t *b, size_t size, bool append_time, int64_t max_timestamp_ms)
{
    int16_t attributes = record_batch_attributes(b);
    attributes =
        (int16_t)(append_time ? attributes | RECORD_ATTRIBUTE_APPEND_TIME : attributes & ~RECORD_ATTRIBUTE_APPEND_TIME);
    put_be(b + RECORD_BATCH_ATTRIBUTES_AT, (uint16_t)attributes, 2);
    put_be(b + RECORD_BATCH_MAX_TIMESTAMP_AT, (uint64_t)max_timestamp_ms, 8);
    put_be(b + RECORD_BATCH_CRC_AT, computed_crc(b, size), 4);
}

void record_batch_set_append_time(uint8_t *b, uint32_t size_bytes, int64_t now_ms, struct record_facts *facts)
{
    record__set_timestamp(b, size_bytes, true, now_ms);
    facts->is_append_time = true;
    facts->max_timestamp_ms = now_ms;
    facts->max_timestamp_delta = facts->last_delta;
}
