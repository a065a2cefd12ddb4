// SPDX-License-Identifier: Apache-2.0
/* meta/partition.c - partitions, and the trie of chunks that holds those of a topic.
 *
 * A chunk has up to 16 slots, as many as its greatest index needs: partitions in the lowest level, chunks above. Like the
 * nodes of a tree, chunks are counted and change in place only where one topic has them. A partition is one block: the
 * struct, its directories, its replicas and the other lists; in-sync replicas that equal the replicas share their bytes.
 */
#include "meta/meta__.h"

enum { CHUNK_BITS = 4, CHUNK_SLOTS = 1 << CHUNK_BITS };

struct meta_chunk {
    _Atomic uint32_t refs;
    uint32_t slot_count;
    void *slots[]; // struct meta_partition in the lowest level, else struct meta_chunk; NULL: none
};

static void partition_unref(struct meta_partition *partition)
{
    if (partition && atomic_fetch_sub_explicit(&partition->refs, 1, memory_order_acq_rel) == 1)
        mem_free(partition);
}

static bool same_nodes(const int32_t *a, int16_t a_count, const int32_t *b, int16_t b_count)
{
    return a_count == b_count && (a_count == 0 || memcmp(a, b, (size_t)a_count * sizeof *a) == 0);
}

static const int32_t *put_nodes(uint8_t **at, const int32_t *from, int16_t count)
{
    if (count == 0)
        return NULL;
    const int32_t *copy = (const int32_t *)(void *)*at;
    memcpy(*at, from, (size_t)count * sizeof *from);
    *at += (size_t)count * sizeof *from;
    return copy;
}

/* All but the count of references, which readers change meanwhile. */
void partition__fields_copy(struct meta_partition *to, const struct meta_partition *from)
{
    static_assert(offsetof(struct meta_partition, refs) == 0, "the count comes first");
    enum { FIELDS_AT = offsetof(struct meta_partition, leader) };
    memcpy((uint8_t *)to + FIELDS_AT, (const uint8_t *)from + FIELDS_AT, sizeof *to - FIELDS_AT);
}

struct meta_partition *partition__copy(const struct meta_partition *from)
{
    bool shares_isr = same_nodes(from->replicas, from->replica_count, from->isr, from->isr_count);
    int nodes = from->replica_count + (shares_isr ? 0 : from->isr_count) + from->removing_count + from->adding_count +
                from->elr_count + from->last_known_elr_count;
    size_t directories = (size_t)from->directory_count * sizeof(struct uuid);
    struct meta_partition *copy = mem_alloc(sizeof *copy + directories + (size_t)nodes * sizeof(int32_t));
    partition__fields_copy(copy, from);
    atomic_init(&copy->refs, 1);
    uint8_t *at = (uint8_t *)(copy + 1);
    if (directories > 0)
        memcpy(at, from->directories, directories);
    copy->directories = directories > 0 ? (const struct uuid *)(void *)at : NULL;
    at += directories;
    copy->replicas = put_nodes(&at, from->replicas, from->replica_count);
    copy->isr = shares_isr ? copy->replicas : put_nodes(&at, from->isr, from->isr_count);
    copy->removing = put_nodes(&at, from->removing, from->removing_count);
    copy->adding = put_nodes(&at, from->adding, from->adding_count);
    copy->elr = put_nodes(&at, from->elr, from->elr_count);
    copy->last_known_elr = put_nodes(&at, from->last_known_elr, from->last_known_elr_count);
    return copy;
}

static void slot_ref(void *slot, int level)
{
    if (!slot)
        return;
    _Atomic uint32_t *refs = level == 1 ? &((struct meta_partition *)slot)->refs : &((struct meta_chunk *)slot)->refs;
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static void chunk_unref(struct meta_chunk *chunk, int level)
{
    if (!chunk || atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < chunk->slot_count; i++)
        if (level == 1)
            partition_unref(chunk->slots[i]);
        else
            chunk_unref(chunk->slots[i], level - 1);
    mem_free(chunk);
}

static size_t chunk_size(uint32_t slots)
{
    return sizeof(struct meta_chunk) + slots * sizeof(void *);
}

static uint32_t slots_for(uint32_t index) // a power of two
{
    uint32_t slots = 1;
    while (slots <= index)
        slots *= 2;
    return slots;
}

/* A chunk that only this topic has, with a slot of that index; uses up the reference it is given. */
static struct meta_chunk *chunk_own(struct meta_chunk *chunk, uint32_t index, int level)
{
    assert(index < CHUNK_SLOTS);
    uint32_t before = chunk ? chunk->slot_count : 0;
    bool is_own = chunk && atomic_load_explicit(&chunk->refs, memory_order_acquire) == 1;
    uint32_t slots = index < before ? before : slots_for(index);
    if (is_own && slots == before)
        return chunk;
    struct meta_chunk *copy = is_own ? mem_realloc(chunk, chunk_size(slots)) : mem_alloc(chunk_size(slots));
    for (uint32_t i = 0; i < before && !is_own; i++) {
        copy->slots[i] = chunk->slots[i];
        slot_ref(copy->slots[i], level);
    }
    for (uint32_t i = before; i < slots; i++)
        copy->slots[i] = NULL;
    if (!is_own) {
        atomic_init(&copy->refs, 1);
        chunk_unref(chunk, level);
    }
    copy->slot_count = slots;
    return copy;
}

static uint32_t slot_of(int32_t index, int level)
{
    return ((uint32_t)index >> ((level - 1) * CHUNK_BITS)) % CHUNK_SLOTS;
}

static bool fits(const struct meta_topic *topic, int32_t index)
{
    return topic->levels > 0 && (int64_t)index >> (topic->levels * CHUNK_BITS) == 0;
}

static void grow(struct meta_topic *topic)
{
    struct meta_chunk *below = topic->partitions;
    topic->levels++;
    topic->partitions = chunk_own(NULL, 0, topic->levels);
    topic->partitions->slots[0] = below;
}

void chunks__set(struct meta_topic *topic, int32_t index, struct meta_partition *partition)
{
    assert(index >= 0 && index < META_PARTITIONS_MAX);
    while (!fits(topic, index))
        grow(topic);
    struct meta_chunk **at = &topic->partitions;
    for (int level = topic->levels; level >= 1; level--) {
        uint32_t slot = slot_of(index, level);
        *at = chunk_own(*at, slot, level);
        at = (struct meta_chunk **)&(*at)->slots[slot];
    }
    partition_unref((void *)*at);
    *at = (void *)partition;
    if (index >= topic->partition_count)
        topic->partition_count = index + 1;
}

void chunks__unref(struct meta_topic *topic)
{
    chunk_unref(topic->partitions, topic->levels);
}

void chunks__share(struct meta_topic *topic, const struct meta_topic *from)
{
    topic->partitions = from->partitions;
    slot_ref(topic->partitions, topic->levels + 1);
}

const struct meta_partition *meta_topic_partition(const struct meta_topic *topic, int32_t index)
{
    if (index < 0 || !fits(topic, index))
        return NULL;
    const void *at = topic->partitions;
    for (int level = topic->levels; level >= 1 && at; level--) {
        const struct meta_chunk *chunk = at;
        uint32_t slot = slot_of(index, level);
        at = slot < chunk->slot_count ? chunk->slots[slot] : NULL;
    }
    return at;
}

static int replica_place(const struct meta_partition *partition, int32_t node_id)
{
    for (int i = 0; i < partition->replica_count; i++)
        if (partition->replicas[i] == node_id)
            return i;
    return -1;
}

bool meta_partition_has_replica(const struct meta_partition *partition, int32_t node_id)
{
    return replica_place(partition, node_id) >= 0;
}

struct uuid meta_partition_directory(const struct meta_partition *partition, int32_t node_id)
{
    int place = replica_place(partition, node_id);
    return place >= 0 && place < partition->directory_count ? partition->directories[place] : UUID_ZERO;
}
