// SPDX-License-Identifier: Apache-2.0
/* storage/compact_map.c - the newest offset of each key, for keys of any size, in memory whose size was fixed beforehand.
 *
 * Open addressing over slots of 24 bytes. A key stands for itself by 128 bits of keyed hash, so two keys would have to
 * collide in all of them for one to be lost, whoever chose them. When the map is as full as its load factor allows,
 * the round ends there and the next one goes on.
 */
#include "storage/compact__.h"

static_assert(sizeof(struct offset_slot) == 24, "what log.cleaner.dedupe.buffer.size counts for a key");

void offset_map__init(struct offset_map *map, size_t bytes_max, double load_factor, int64_t keys_expected)
{
    assert(load_factor > 0 && load_factor <= 1);
    double wanted = (double)max_i64(keys_expected, 1) / load_factor + 2;
    size_t slots_max = bytes_max / sizeof(struct offset_slot);
    *map =
        (struct offset_map){.slot_count = wanted < (double)slots_max ? (size_t)wanted : slots_max, .latest_offset = -1};
    if (map->slot_count < 2)
        map->slot_count = 2;
    map->count_max = (size_t)((double)map->slot_count * load_factor);
    if (map->count_max == 0 || map->count_max == map->slot_count)
        map->count_max = map->slot_count - 1; // a look-up ends at a free slot
    map->slots = mem_alloc(map->slot_count * sizeof *map->slots);
    for (size_t i = 0; i < map->slot_count; i++)
        map->slots[i].offset = -1;
}

void offset_map__free(struct offset_map *map)
{
    mem_free(map->slots);
    *map = (struct offset_map){0};
}

static struct offset_slot *slot_of(const struct offset_map *map, const uint64_t hash[2])
{
    for (size_t at = (size_t)(hash[0] % map->slot_count);; at = at + 1 == map->slot_count ? 0 : at + 1) {
        struct offset_slot *slot = &map->slots[at];
        if (slot->offset < 0 || (slot->hash[0] == hash[0] && slot->hash[1] == hash[1]))
            return slot;
    }
}

bool offset_map__put(struct offset_map *map, struct slice key, int64_t offset)
{
    assert(offset >= 0);
    uint64_t hash[2];
    hash_bytes_128(key, hash);
    struct offset_slot *slot = slot_of(map, hash);
    if (slot->offset < 0 && map->count == map->count_max)
        return false;
    map->count += slot->offset < 0;
    *slot = (struct offset_slot){{hash[0], hash[1]}, offset};
    return true;
}

int64_t offset_map__get(const struct offset_map *map, struct slice key)
{
    uint64_t hash[2];
    hash_bytes_128(key, hash);
    return slot_of(map, hash)->offset;
}
