// SPDX-License-Identifier: Apache-2.0
/* base/hash.c - an intrusive chained table, and SipHash-1-3 (Aumasson, Bernstein) for keys that clients choose.
 *
 * The table doubles when it holds as many nodes as buckets, so a chain stays short as long as hashes are good.
 */
#include "base/base.h"

enum { BUCKETS_FIRST = 16 };

void hash_init(struct hash *h)
{
    *h = (struct hash){0};
}

void hash_free(struct hash *h)
{
    mem_free(h->buckets);
    *h = (struct hash){0};
}

static void grow(struct hash *h)
{
    size_t count = h->bucket_count ? h->bucket_count * 2 : BUCKETS_FIRST;
    struct hash_node **buckets = mem_zalloc(count * sizeof *buckets);
    for (size_t i = 0; i < h->bucket_count; i++) {
        for (struct hash_node *node = h->buckets[i], *next; node; node = next) {
            next = node->next;
            node->next = buckets[node->hash & (count - 1)];
            buckets[node->hash & (count - 1)] = node;
        }
    }
    mem_free(h->buckets);
    h->buckets = buckets;
    h->bucket_count = count;
}

void hash_insert(struct hash *h, struct hash_node *node, uint64_t hash)
{
    if (h->count >= h->bucket_count)
        grow(h);
    node->hash = hash;
    struct hash_node **bucket = &h->buckets[hash & (h->bucket_count - 1)];
    node->next = *bucket;
    *bucket = node;
    h->count++;
}

void hash_remove(struct hash *h, struct hash_node *node)
{
    assert(h->count > 0);
    struct hash_node **link = &h->buckets[node->hash & (h->bucket_count - 1)];
    while (*link != node) {
        assert(*link);
        link = &(*link)->next;
    }
    *link = node->next;
    h->count--;
}

static struct hash_node *first_with(struct hash_node *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct hash_node *hash_first(const struct hash *h, uint64_t hash)
{
    return h->count ? first_with(h->buckets[hash & (h->bucket_count - 1)], hash) : NULL;
}

struct hash_node *hash_next(const struct hash_node *node)
{
    return first_with(node->next, node->hash);
}

struct hash_node *hash_iterate(const struct hash *h, const struct hash_node *after)
{
    if (after && after->next)
        return after->next;
    size_t from = after ? (after->hash & (h->bucket_count - 1)) + 1 : 0;
    for (size_t i = from; i < h->bucket_count; i++)
        if (h->buckets[i])
            return h->buckets[i];
    return NULL;
}

/* ---- SipHash-1-3 */
static uint64_t seed0 = 0x6f74746c61206f74, seed1 = 0x746c61206b61666b;

void hash_seed_set(uint64_t k0, uint64_t k1)
{
    seed0 = k0;
    seed1 = k1;
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

static uint64_t word_at(const uint8_t *p, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, p, size);
    return word;
}

static void sip_begin(uint64_t v[4])
{
    v[0] = seed0 ^ 0x736f6d6570736575;
    v[1] = seed1 ^ 0x646f72616e646f6d;
    v[2] = seed0 ^ 0x6c7967656e657261;
    v[3] = seed1 ^ 0x7465646279746573;
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

static void sip_all(uint64_t v[4], struct slice s)
{
    size_t at = 0;
    for (; at + 8 <= s.size; at += 8)
        sip_word(v, word_at(s.data + at, 8));
    sip_word(v, (uint64_t)s.size << 56 | (at < s.size ? word_at(s.data + at, s.size - at) : 0));
}

static uint64_t sip_end(uint64_t v[4])
{
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(struct slice s)
{
    uint64_t v[4];
    sip_begin(v);
    sip_all(v, s);
    v[2] ^= 0xff;
    return sip_end(v);
}

void hash_bytes_128(struct slice s, uint64_t ret_hash[2])
{
    uint64_t v[4];
    sip_begin(v);
    v[1] ^= 0xee;
    sip_all(v, s);
    v[2] ^= 0xee;
    ret_hash[0] = sip_end(v);
    v[1] ^= 0xdd;
    ret_hash[1] = sip_end(v);
}

uint64_t hash_u64(uint64_t value)
{
    value += seed0;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}
