// SPDX-License-Identifier: Apache-2.0
/* record/walk.c - the records of a batch one by one, with their bytes: for coordinators, metadata, look-ups by time.
 *
 * An uncompressed batch is read in place; another is inflated whole first (bounded), so that keys and values are in one
 * piece. A message of format 0 or 1 is made a batch first. The batch was validated when it was written, but its bytes come from a disk: every length is checked again.
 */
#include "record/message_set.h"

#include <errno.h>

static void inflate_whole(struct record_walk *walk, enum record_codec codec, struct slice body)
{
    struct record_scratch *scratch = record_scratch_create();
    struct inflate stream;
    buffer_reserve(&walk->inflated, 1); // bounds that are no null pointers, however little comes out
    record__inflate_begin(&stream, scratch, codec, body, RECORD_INFLATED_MAX_BYTES);
    buffer_reserve(&walk->inflated, 1); // so that nothing has a place, too
    while (record__inflate_refill(&stream))
        buffer_append(&walk->inflated, stream.at, (size_t)(stream.end - stream.at));
    walk->failed = stream.failed;
    record_scratch_free(scratch);
    walk->at = walk->inflated.data;
    walk->end = walk->inflated.data + walk->inflated.size;
}

/* It lies in the walk's memory then; of one that cannot be read the head alone. */
static struct slice made_batch(struct record_walk *walk, struct slice message)
{
    struct status s = record__stored_up(message, &walk->inflated);
    walk->failed = !status_is_ok(s);
    return slice_of(walk->inflated.data, walk->failed ? RECORD_BATCH_HEAD_BYTES : walk->inflated.size);
}

void record_walk_begin(struct record_walk *walk, struct slice batch)
{
    *walk = (struct record_walk){0};
    if (record_is_message_set(batch))
        batch = made_batch(walk, batch);
    walk->batch = batch;
    walk->left = record_batch_count(batch.data);
    enum record_codec codec = (enum record_codec)(record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CODEC);
    struct slice body = slice_of(batch.data + RECORD_BATCH_HEAD_BYTES, batch.size - RECORD_BATCH_HEAD_BYTES);
    if (walk->failed)
        return;
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
    ret_record->attributes = has_attributes ? *walk->at : 0;
    walk->at += has_attributes;
    const uint8_t *b = walk->batch.data;
    int64_t timestamp_delta = take_varlong(walk);
    ret_record->timestamp_ms = record_batch_attributes(b) & RECORD_ATTRIBUTE_APPEND_TIME
                                   ? record_batch_max_timestamp(b)
                                   : (int64_t)((uint64_t)record_batch_base_timestamp(b) + (uint64_t)timestamp_delta);
    ret_record->offset = (int64_t)((uint64_t)record_batch_base_offset(b) + (uint64_t)take_varlong(walk));
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
