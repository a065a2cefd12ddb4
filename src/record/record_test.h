// SPDX-License-Identifier: Apache-2.0
/* record/record_test.h - what the tests of batches share: a batch of a few records in any codec, and damage to it. */
#pragma once

#include "record/inflate.h"
#include "wire/gen/errors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define SENT_MS               1700000000000
#define assert_ok(expression) assert_int_equal((expression).error, 0)

enum { SOME_RECORDS = 40 };
static const enum record_codec ALL_CODECS[] = {RECORD_NONE, RECORD_GZIP, RECORD_SNAPPY, RECORD_LZ4, RECORD_ZSTD};

static inline void some_value(int index, char ret_value[64])
{
    snprintf(ret_value, 64, "value %d of many alike, of many alike", index);
}

static inline void add_some(struct record_builder *b, int count)
{
    for (int i = 0; i < count; i++) {
        char key[16], value[64];
        snprintf(key, sizeof key, "key %d", i);
        some_value(i, value);
        record_builder_add(b, SENT_MS + i, slice_str(key), slice_str(value));
    }
}

/* Bytes of the test's own (buffer_free). */
static inline struct buffer batch_of(int count, enum record_codec codec)
{
    struct record_builder b = {0};
    struct slice batch;
    record_builder_begin(&b);
    add_some(&b, count);
    assert_ok(record_builder_finish_packed(&b, codec, codec == RECORD_GZIP ? 6 : 3, 0, -1, -1, -1, &batch));
    struct buffer copy = {0};
    buffer_append(&copy, batch.data, batch.size);
    record_builder_free(&b);
    return copy;
}

static inline struct slice slice_of_buffer(const struct buffer *b)
{
    return slice_of(b->data, b->size);
}

static inline void put_i32(struct buffer *b, size_t at, int32_t value)
{
    for (size_t i = 0; i < 4; i++)
        b->data[at + i] = (uint8_t)((uint32_t)value >> (24 - 8 * i));
}

/* A hostile sender gets size and CRC right, whatever else is wrong. */
static inline void seal_again(struct buffer *b)
{
    put_i32(b, RECORD_BATCH_SIZE_AT, (int32_t)(b->size - RECORD_BATCH_LOG_OVERHEAD));
    uint32_t crc = crc32c(b->data + RECORD_BATCH_ATTRIBUTES_AT, b->size - RECORD_BATCH_ATTRIBUTES_AT);
    put_i32(b, RECORD_BATCH_CRC_AT, (int32_t)crc);
}

static inline struct record_rules plain_rules(void)
{
    return (struct record_rules){.now_ms = SENT_MS,
                                 .size_max_bytes = 1 << 20,
                                 .timestamp_before_max_ms = INT64_MAX,
                                 .timestamp_after_max_ms = 3600000,
                                 .zstd_allowed = true};
}

/* Compressed bytes that hold `zeros` zeros. */
static inline struct buffer bomb_of(enum record_codec codec, size_t zeros)
{
    struct buffer packed = {0};
    uint8_t *bytes = mem_zalloc(zeros);
    assert_ok(record__deflate_all(codec, codec == RECORD_GZIP ? 9 : 3, slice_of(bytes, zeros), &packed));
    mem_free(bytes);
    return packed;
}
