// SPDX-License-Identifier: Apache-2.0
/* wire/writer.c - growable output with a limit, and its counting twin that only adds up sizes (for the length that stands
 * before a tagged field).
 */
#include "wire/wire.h"

enum { CAPACITY_FIRST = 512 };

void wire_writer_init(struct wire_writer *w, size_t limit)
{
    *w = (struct wire_writer){.limit = limit};
}

void wire_writer_init_counting(struct wire_writer *w)
{
    *w = (struct wire_writer){.limit = SIZE_MAX / 2, .counting = true};
}

void wire_writer_reset(struct wire_writer *w, size_t keep_bytes)
{
    w->size = 0;
    w->failed = false;
    if (w->capacity <= keep_bytes)
        return;
    mem_free(w->data);
    w->data = NULL;
    w->capacity = 0;
}

void wire_writer_free(struct wire_writer *w)
{
    mem_free(w->data);
    *w = (struct wire_writer){.limit = w->limit};
}

void wire_writer_fail(struct wire_writer *w)
{
    w->failed = true;
}

static void grow(struct wire_writer *w, size_t size)
{
    size_t capacity = w->capacity ? w->capacity * 2 : CAPACITY_FIRST;
    while (capacity < w->size + size)
        capacity *= 2;
    w->data = mem_realloc(w->data, capacity);
    w->capacity = capacity;
}

static uint8_t *extend_slowly(struct wire_writer *w, size_t size)
{
    if (w->failed)
        return NULL;
    if (w->counting) {
        w->size += size;
        return NULL;
    }
    assert(w->size <= w->limit);
    if (size > w->limit - w->size) {
        w->failed = true;
        return NULL;
    }
    if (w->capacity - w->size < size)
        grow(w, size);
    uint8_t *at = w->data + w->size;
    w->size += size;
    return at;
}

/* Nearly always there is room; a counting writer has none. */
static inline uint8_t *extend(struct wire_writer *w, size_t size)
{
    size_t after = w->size + size;
    if (__builtin_expect(after < size || after > w->capacity || after > w->limit || w->failed, false))
        return extend_slowly(w, size);
    uint8_t *at = w->data + w->size;
    w->size = after;
    return at;
}

uint8_t *wire_writer_extend(struct wire_writer *w, size_t size)
{
    return extend(w, size);
}

void wire_writer_cut(struct wire_writer *w, size_t size)
{
    assert(size <= w->size);
    w->size = size;
}

void wire_writer_patch_i32(struct wire_writer *w, size_t at, int32_t value)
{
    assert(at + 4 <= w->size && !w->counting);
    uint32_t swapped = __builtin_bswap32((uint32_t)value);
    memcpy(w->data + at, &swapped, 4);
}

static inline void put(struct wire_writer *w, const void *data, size_t size)
{
    uint8_t *at = extend(w, size);
    if (at && size)
        memcpy(at, data, size);
}

void wire_write_raw(struct wire_writer *w, const void *data, size_t size)
{
    put(w, data, size);
}

void wire_write_i8(struct wire_writer *w, int8_t value)
{
    put(w, &value, 1);
}

void wire_write_i16(struct wire_writer *w, int16_t value)
{
    uint16_t swapped = __builtin_bswap16((uint16_t)value);
    put(w, &swapped, 2);
}

void wire_write_i32(struct wire_writer *w, int32_t value)
{
    uint32_t swapped = __builtin_bswap32((uint32_t)value);
    put(w, &swapped, 4);
}

void wire_write_i64(struct wire_writer *w, int64_t value)
{
    uint64_t swapped = __builtin_bswap64((uint64_t)value);
    put(w, &swapped, 8);
}

void wire_write_f64(struct wire_writer *w, double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    wire_write_i64(w, bits);
}

void wire_write_bool(struct wire_writer *w, bool value)
{
    wire_write_i8(w, value);
}

void wire_write_uuid(struct wire_writer *w, struct uuid value)
{
    wire_write_raw(w, value.bytes, sizeof value.bytes);
}

static void write_base128(struct wire_writer *w, uint64_t value)
{
    uint8_t bytes[10];
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[size++] = (uint8_t)(value | 0x80);
    bytes[size++] = (uint8_t)value;
    wire_write_raw(w, bytes, size);
}

void wire_write_uvarint(struct wire_writer *w, uint32_t value)
{
    write_base128(w, value);
}

void wire_write_varint(struct wire_writer *w, int32_t value)
{
    write_base128(w, (uint32_t)value << 1 ^ (uint32_t)(value >> 31));
}

void wire_write_varlong(struct wire_writer *w, int64_t value)
{
    write_base128(w, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

size_t wire_uvarint_size(uint32_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

void wire_write_string(struct wire_writer *w, bool flexible, struct slice value)
{
    if (value.size > INT16_MAX) {
        wire_writer_fail(w);
        return;
    }
    bool null = slice_is_null(value);
    if (flexible)
        wire_write_uvarint(w, null ? 0 : (uint32_t)value.size + 1);
    else
        wire_write_i16(w, null ? -1 : (int16_t)value.size);
    wire_write_raw(w, value.data, value.size);
}

void wire_write_bytes_size(struct wire_writer *w, bool flexible, size_t size)
{
    if (size >= INT32_MAX) {
        wire_writer_fail(w);
        return;
    }
    if (flexible)
        wire_write_uvarint(w, (uint32_t)size + 1);
    else
        wire_write_i32(w, (int32_t)size);
}

void wire_write_bytes(struct wire_writer *w, bool flexible, struct slice value)
{
    if (slice_is_null(value)) {
        wire_write_array_count(w, flexible, -1);
        return;
    }
    wire_write_bytes_size(w, flexible, value.size);
    wire_write_raw(w, value.data, value.size);
}

void wire_write_array_count(struct wire_writer *w, bool flexible, int32_t count)
{
    assert(count >= -1);
    if (flexible)
        wire_write_uvarint(w, (uint32_t)(count + 1));
    else
        wire_write_i32(w, count);
}

void wire_write_kept_tags(struct wire_writer *w, const struct wire_tags *tags)
{
    for (int32_t i = 0; i < tags->count; i++) {
        wire_write_uvarint(w, tags->items[i].tag);
        wire_write_uvarint(w, (uint32_t)tags->items[i].bytes.size);
        wire_write_raw(w, tags->items[i].bytes.data, tags->items[i].bytes.size);
    }
}
