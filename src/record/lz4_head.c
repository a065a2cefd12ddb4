// SPDX-License-Identifier: Apache-2.0
/* record/lz4_head.c - the checksum in the head of an LZ4 frame, right or as the first Kafka clients had it.
 *
 *   4  magic number, little-endian 184d2204    1  flags, bit 3: a content size follows, bit 0: a dictionary id
 *   1  block descriptor                        8  content size, if any         4  dictionary id, if any
 *   1  second byte of the XXH32 of the descriptor, which begins with the flags
 *
 * Clients of message format 0 began with the magic number instead (repaired with format 1), and refuse the right one. The
 * hash is needed for these few bytes alone, far fewer than the 16 from which on it has stripes.
 */
#include "record/message_set.h"

enum { MAGIC_BYTES = 4, FLAG_CONTENT_SIZE = 8, FLAG_DICTIONARY = 1, HEAD_MAX_BYTES = 4 + 2 + 8 + 4 };
static const uint32_t PRIME_1 = 2654435761u, PRIME_2 = 2246822519u, PRIME_3 = 3266489917u, PRIME_4 = 668265263u,
                      PRIME_5 = 374761393u;

static uint32_t rotate(uint32_t value, int bits)
{
    return value << bits | value >> (32 - bits);
}

static uint32_t little(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* XXH32 with seed 0 of less than one stripe. */
static uint32_t hash_short(const uint8_t *p, size_t size)
{
    assert(size < 16);
    uint32_t h = PRIME_5 + (uint32_t)size;
    for (; size >= 4; size -= 4, p += 4)
        h = rotate(h + little(p) * PRIME_3, 17) * PRIME_4;
    for (; size > 0; size--, p++)
        h = rotate(h + *p * PRIME_5, 11) * PRIME_1;
    h = (h ^ h >> 15) * PRIME_2;
    h = (h ^ h >> 13) * PRIME_3;
    return h ^ h >> 16;
}

bool record__lz4_head_check(uint8_t *frame, size_t size, bool as_magic_0)
{
    if (size < MAGIC_BYTES + 3 || little(frame) != 0x184d2204)
        return false;
    uint8_t flags = frame[MAGIC_BYTES];
    size_t end = MAGIC_BYTES + 2 + (flags & FLAG_CONTENT_SIZE ? 8 : 0) + (flags & FLAG_DICTIONARY ? 4 : 0);
    size_t from = as_magic_0 ? 0 : MAGIC_BYTES;
    if (end >= size || end - from >= 16)
        return false;
    assert(end <= HEAD_MAX_BYTES);
    frame[end] = (uint8_t)(hash_short(frame + from, end - from) >> 8);
    return true;
}
