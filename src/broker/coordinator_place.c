// SPDX-License-Identifier: Apache-2.0
/* broker/coordinator_place.c - which shard a group belongs to: the hash code that Java gives its name, modulo the shards.
 *
 * Java hashes UTF-16 units, names come as UTF-8; so names are read as characters first. Every broker and every data
 * directory must agree on this, for ever.
 */
#include "broker/broker__.h"

/* Bytes of the character that begins so; 0 when none does. */
static size_t utf8_size(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* A byte that is no part of a character counts as U+FFFD, as Java reads it. */
static uint32_t take_code_point(struct slice *s)
{
    size_t size = utf8_size(s->data[0]);
    uint32_t point = size < 2 ? s->data[0] : s->data[0] & (0xffu >> (size + 1));
    bool ok = size > 0 && size <= s->size;
    for (size_t i = 1; ok && i < size; i++) {
        ok = (s->data[i] & 0xc0) == 0x80;
        point = point << 6 | (s->data[i] & 0x3f);
    }
    size_t taken = ok ? size : 1;
    s->data += taken;
    s->size -= taken;
    return ok ? point : 0xfffd;
}

static int32_t java_hash(struct slice text)
{
    uint32_t hash = 0;
    while (text.size > 0) {
        uint32_t point = take_code_point(&text);
        if (point > 0xffff) {
            hash = hash * 31 + (0xd800 + ((point - 0x10000) >> 10));
            point = 0xdc00 + ((point - 0x10000) & 0x3ff);
        }
        hash = hash * 31 + point;
    }
    return (int32_t)hash;
}

int32_t coordinator__shard_of(struct slice id, int32_t shard_count)
{
    assert(shard_count > 0);
    int32_t hash = java_hash(id);
    return hash == INT32_MIN ? 0 : (hash < 0 ? -hash : hash) % shard_count;
}
