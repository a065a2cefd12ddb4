// SPDX-License-Identifier: Apache-2.0
/* wire/reader.c - a cursor over one received frame.
 *
 * The first failure is remembered and the cursor stays failed: every later read returns zero and every later array is
 * empty, so a decoder is a straight list of fields with one look at its end. A count is bounded by the bytes left, so no
 * decoder can be made to loop or to allocate beyond what its frame pays for.
 */
#include "wire/wire.h"

void wire_reader_fail(struct wire_reader *r)
{
    r->failed = true;
    r->at = r->end;
}

const uint8_t *wire_read_raw(struct wire_reader *r, size_t size)
{
    if (r->failed || (size_t)(r->end - r->at) < size) {
        wire_reader_fail(r);
        return NULL;
    }
    const uint8_t *from = r->at;
    r->at += size;
    return from;
}

int8_t wire_read_i8(struct wire_reader *r)
{
    const uint8_t *p = wire_read_raw(r, 1);
    return p ? (int8_t)p[0] : 0;
}

int16_t wire_read_i16(struct wire_reader *r)
{
    const uint8_t *p = wire_read_raw(r, 2);
    return p ? (int16_t)(p[0] << 8 | p[1]) : 0;
}

int32_t wire_read_i32(struct wire_reader *r)
{
    const uint8_t *p = wire_read_raw(r, 4);
    uint32_t value = 0;
    if (p)
        memcpy(&value, p, 4);
    return (int32_t)__builtin_bswap32(value);
}

int64_t wire_read_i64(struct wire_reader *r)
{
    const uint8_t *p = wire_read_raw(r, 8);
    uint64_t value = 0;
    if (p)
        memcpy(&value, p, 8);
    return (int64_t)__builtin_bswap64(value);
}

double wire_read_f64(struct wire_reader *r)
{
    int64_t bits = wire_read_i64(r);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool wire_read_bool(struct wire_reader *r)
{
    return wire_read_i8(r) != 0;
}

struct uuid wire_read_uuid(struct wire_reader *r)
{
    struct uuid value = {{0}};
    const uint8_t *p = wire_read_raw(r, sizeof value.bytes);
    if (p)
        memcpy(value.bytes, p, sizeof value.bytes);
    return value;
}

static uint64_t read_base128(struct wire_reader *r, int bits_max)
{
    uint64_t value = 0;
    for (int shift = 0; shift < bits_max; shift += 7) {
        const uint8_t *p = wire_read_raw(r, 1);
        if (!p)
            return 0;
        value |= (uint64_t)(*p & 0x7f) << shift;
        if (*p < 0x80)
            return value;
    }
    wire_reader_fail(r);
    return 0;
}

uint32_t wire_read_uvarint(struct wire_reader *r)
{
    return (uint32_t)read_base128(r, 35);
}

int32_t wire_read_varint(struct wire_reader *r)
{
    uint32_t value = (uint32_t)read_base128(r, 35);
    return (int32_t)(value >> 1 ^ (0u - (value & 1)));
}

int64_t wire_read_varlong(struct wire_reader *r)
{
    uint64_t value = read_base128(r, 70);
    return (int64_t)(value >> 1 ^ (0ull - (value & 1)));
}

/* A length or count: -1 for null; a fault for any other negative one, or null where it may not be. */
static int64_t checked_size(struct wire_reader *r, int64_t size, bool nullable)
{
    if (size >= 0 || (size == -1 && nullable))
        return r->failed ? (nullable ? -1 : 0) : size;
    wire_reader_fail(r);
    return nullable ? -1 : 0;
}

static struct slice read_sized(struct wire_reader *r, int64_t size)
{
    static const uint8_t empty[1];
    if (size < 0)
        return SLICE_NULL;
    const uint8_t *p = wire_read_raw(r, (size_t)size);
    return p ? slice_of(p, (size_t)size) : slice_of(empty, 0);
}

struct slice wire_read_string(struct wire_reader *r, bool flexible, bool nullable)
{
    int64_t size = flexible ? (int64_t)wire_read_uvarint(r) - 1 : wire_read_i16(r);
    if (size > INT16_MAX)
        wire_reader_fail(r);
    return read_sized(r, checked_size(r, size, nullable));
}

struct slice wire_read_bytes(struct wire_reader *r, bool flexible, bool nullable)
{
    int64_t size = flexible ? (int64_t)wire_read_uvarint(r) - 1 : wire_read_i32(r);
    return read_sized(r, checked_size(r, size, nullable));
}

int32_t wire_read_count(struct wire_reader *r, bool flexible, bool nullable)
{
    int64_t count = flexible ? (int64_t)wire_read_uvarint(r) - 1 : wire_read_i32(r);
    count = checked_size(r, count, nullable);
    if (count > (int64_t)wire_reader_left(r)) {
        wire_reader_fail(r);
        return 0;
    }
    return (int32_t)count;
}
