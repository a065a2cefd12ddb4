// SPDX-License-Identifier: Apache-2.0
/* record/inflate.h - the records of a batch as a stream of bytes, through a window of fixed size. */
#pragma once

#include "record/record.h"

enum { WINDOW_BYTES = 64 << 10 };

struct record_scratch {
    void *zlib, *lz4, *zstd; // contexts, made on first use
    uint8_t window[WINDOW_BYTES];
    struct buffer block; // one snappy block
};

/* The bytes of a batch's records: [at, end) is there, `refill` gives more. */
struct inflate {
    struct record_scratch *scratch;
    enum record_codec codec;
    struct slice in; // compressed bytes not yet taken
    const uint8_t *at, *end;
    uint64_t out_bytes, out_max; // bound on what a hostile batch may expand to
    bool failed, snappy_framed, finished;
    bool is_over; // failed since more than out_max would come out
};

void record__inflate_begin(struct inflate *s, struct record_scratch *scratch, enum record_codec codec,
                           struct slice compressed, uint64_t out_max);
/* More bytes at [at, end), which was used up; false at the end or on a fault. */
bool record__inflate_refill(struct inflate *s);
/* Timestamp type and max timestamp, with the CRC over the whole batch. */
void record__set_timestamp(uint8_t *b, size_t size, bool append_time, int64_t max_timestamp_ms);
/* compress `in` into `out` as producers do. */
MUST_USE struct status record__deflate_all(enum record_codec codec, int level, struct slice in, struct buffer *out);

/* ---- build.c */
void record__put_be(uint8_t *p, uint64_t value, int size);
size_t record__put_varlong(uint8_t *p, int64_t value); // at most 10 bytes
void record__seal(uint8_t *h, size_t size);            // size and CRC of a batch whose other fields are there
/* The record as it lies in a batch, behind what `out` holds; its own offset and timestamp are not looked at. */
void record__put_record(struct buffer *out, const struct record *record, int64_t offset_delta,
                        int64_t timestamp_delta_ms);
