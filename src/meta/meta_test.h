// SPDX-License-Identifier: Apache-2.0
/* meta/meta_test.h - what the tests share: records from structs, streams of them kept as bytes, and replaying. */
#pragma once

#include "meta/meta.h"
#include "wire/gen/records_metadata.h"
#include "wire/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

/* Records one after the other, each behind its size. */
struct stream {
    struct buffer bytes;
    int count;
};

static inline void stream_add(void *context, struct slice record)
{
    struct stream *stream = context;
    uint32_t size = (uint32_t)record.size;
    buffer_append(&stream->bytes, &size, sizeof size);
    buffer_append(&stream->bytes, record.data, record.size);
    stream->count++;
}

static inline bool stream_next(const struct stream *stream, size_t *at, struct slice *ret_record)
{
    uint32_t size;
    if (*at == stream->bytes.size)
        return false;
    memcpy(&size, stream->bytes.data + *at, sizeof size);
    *ret_record = slice_of(stream->bytes.data + *at + sizeof size, size);
    *at += sizeof size + size;
    return true;
}

static inline void apply_ok(struct meta_builder *builder, struct slice record)
{
    struct status status = meta_apply(builder, record);
    if (!status_is_ok(status))
        fail_msg("%s", meta_builder_message(builder));
}

/* The image of a stream from nothing. */
static inline struct meta_image *stream_image(const struct stream *stream)
{
    struct meta_builder *builder = meta_builder_create(NULL);
    struct slice record;
    for (size_t at = 0; stream_next(stream, &at, &record);)
        apply_ok(builder, record);
    struct meta_image *image = meta_builder_image(builder);
    meta_builder_free(builder);
    return image;
}

/* Its snapshot gives the image again, and the same snapshot. */
static inline void assert_snapshot_gives(const struct meta_image *image)
{
    struct stream first = {0}, second = {0};
    meta_snapshot_write(image, stream_add, &first);
    struct meta_image *again = stream_image(&first);
    assert_true(meta_image_equal(image, again));
    meta_snapshot_write(again, stream_add, &second);
    assert_int_equal(first.bytes.size, second.bytes.size);
    assert_memory_equal(first.bytes.data ? first.bytes.data : (uint8_t *)"",
                        second.bytes.data ? second.bytes.data : (uint8_t *)"", first.bytes.size);
    meta_image_unref(again);
    buffer_free(&first.bytes);
    buffer_free(&second.bytes);
}

/* Encodes a record by its struct at the version of metadata.version 30; good until the next call. */
static inline struct slice encoded(enum meta_record_type type, const void *value)
{
    static struct wire_writer writer;
    static bool is_ready;
    if (!is_ready)
        wire_writer_init(&writer, 1 << 20);
    is_ready = true;
    wire_writer_reset(&writer, 1 << 20);
    meta_record_write(&writer, type, meta_record_version(type, 30), value);
    assert_false(wire_writer_failed(&writer));
    return wire_writer_bytes(&writer);
}

static inline struct uuid id_of(uint64_t number)
{
    struct uuid id = {{0x4f}};
    memcpy(id.bytes + 8, &number, sizeof number);
    return id;
}
