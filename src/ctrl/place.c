// SPDX-License-Identifier: Apache-2.0
/* ctrl/place.c - which brokers get a new partition's replicas, and which of a broker's directories.
 *
 * Brokers as Apache Kafka's striped placement: racks take turns from a random start, within a rack brokers take turns, so
 * that leaders and replicas are spread evenly; fenced brokers come behind the live ones of their rack and never first;
 * after as many partitions as there are live brokers all is shuffled, so that pairs of brokers vary. Directories: the one
 * with the fewest partitions of that broker; its id is part of the record, so it needs no second one.
 */
#include "ctrl/ctrl__.h"

enum {
    DIRECTORIES_SINCE = 17, // metadata.version 3.7-IV2
};

/* ---- brokers of a rack that take turns; each partition is an epoch, in which each broker comes once */
struct turns {
    int32_t *ids;
    int32_t count, index, offset, epoch;
};
struct rack {
    struct slice name; // null: none
    struct turns unfenced, fenced;
};
struct ctrl__placer {
    struct arena *arena;
    struct random *random;
    struct rack **racks;
    int32_t rack_count, broker_count, unfenced_count, replicas, epoch, offset;
};

static int32_t turns_next(struct turns *turns, int32_t epoch)
{
    if (turns->count == 0)
        return -1;
    if (turns->epoch != epoch) {
        turns->epoch = epoch;
        turns->index = 0;
        turns->offset = (turns->offset + 1) % turns->count;
    }
    if (turns->index >= turns->count)
        return -1;
    return turns->ids[(turns->index++ + turns->offset) % turns->count];
}

static int32_t rack_next(struct rack *rack, int32_t epoch)
{
    int32_t id = turns_next(&rack->unfenced, epoch);
    return id >= 0 ? id : turns_next(&rack->fenced, epoch);
}

static struct rack *rack_of(struct ctrl__placer *placer, struct slice name, int32_t brokers_max)
{
    for (int32_t i = 0; i < placer->rack_count; i++)
        if (slice_equal(placer->racks[i]->name, name))
            return placer->racks[i];
    struct rack *rack = arena_zalloc(placer->arena, sizeof *rack);
    if (!rack)
        return NULL;
    rack->name = name;
    rack->unfenced.ids = arena_array(placer->arena, (size_t)brokers_max, sizeof(int32_t));
    rack->fenced.ids = arena_array(placer->arena, (size_t)brokers_max, sizeof(int32_t));
    placer->racks[placer->rack_count++] = rack;
    return placer->arena->failed ? NULL : rack;
}

static int32_t brokers_count(const struct meta_image *image)
{
    struct meta_walk walk;
    int32_t count = 0;
    meta_walk_begin(image->brokers, &walk);
    while (meta_walk_next(&walk))
        count++;
    return count;
}

/* Brokers come in the order of their ids. */
static bool brokers_add(struct ctrl__placer *placer, const struct meta_image *image)
{
    struct meta_walk walk;
    const struct meta_item *item;
    int32_t brokers_max = brokers_count(image);
    placer->racks = arena_array(placer->arena, (size_t)brokers_max, sizeof(struct rack *));
    meta_walk_begin(image->brokers, &walk);
    while (placer->racks && (item = meta_walk_next(&walk))) {
        const struct meta_broker *broker = (const struct meta_broker *)(const void *)item;
        if (broker->in_controlled_shutdown)
            continue;
        struct rack *rack = rack_of(placer, broker->rack, brokers_max);
        if (!rack)
            return false;
        struct turns *turns = broker->fenced ? &rack->fenced : &rack->unfenced;
        turns->ids[turns->count++] = broker->id;
        placer->broker_count++;
        placer->unfenced_count += !broker->fenced;
    }
    return placer->racks != NULL;
}

static void turns_start(struct ctrl__placer *placer, struct turns *turns)
{
    if (turns->count > 0)
        turns->offset = (int32_t)random_below(placer->random, (uint64_t)turns->count);
}

static void turns_shuffle(struct ctrl__placer *placer, struct turns *turns)
{
    for (int32_t i = turns->count - 1; i > 0; i--) {
        int32_t other = (int32_t)random_below(placer->random, (uint64_t)i + 1), id = turns->ids[i];
        turns->ids[i] = turns->ids[other];
        turns->ids[other] = id;
    }
}

static void shuffle(struct ctrl__placer *placer)
{
    for (int32_t i = placer->rack_count - 1; i > 0; i--) {
        int32_t other = (int32_t)random_below(placer->random, (uint64_t)i + 1);
        struct rack *rack = placer->racks[i];
        placer->racks[i] = placer->racks[other];
        placer->racks[other] = rack;
    }
    for (int32_t i = 0; i < placer->rack_count; i++) {
        turns_shuffle(placer, &placer->racks[i]->unfenced);
        turns_shuffle(placer, &placer->racks[i]->fenced);
    }
}

static void racks_start(struct ctrl__placer *placer)
{
    for (int32_t i = 1; i < placer->rack_count; i++) { // by name
        struct rack *rack = placer->racks[i];
        int32_t at = i;
        for (; at > 0 && slice_compare(placer->racks[at - 1]->name, rack->name) > 0; at--)
            placer->racks[at] = placer->racks[at - 1];
        placer->racks[at] = rack;
    }
    for (int32_t i = 0; i < placer->rack_count; i++) {
        turns_start(placer, &placer->racks[i]->unfenced);
        turns_start(placer, &placer->racks[i]->fenced);
    }
    placer->offset = (int32_t)random_below(placer->random, (uint64_t)placer->rack_count);
}

struct ctrl__placer *ctrl__placer_create(const struct meta_image *image, int32_t replicas, struct random *random,
                                         struct arena *arena, struct slice *ret_message)
{
    struct ctrl__placer *placer = arena_zalloc(arena, sizeof *placer);
    *ret_message = slice_str("The controller is out of memory for this request.");
    if (!placer)
        return NULL;
    placer->arena = arena;
    placer->random = random;
    placer->replicas = replicas;
    if (!brokers_add(placer, image))
        return NULL;
    if (placer->unfenced_count == 0) {
        *ret_message = slice_str("All brokers are currently fenced, or have all their log directories cordoned.");
        return NULL;
    }
    if (replicas > placer->broker_count) {
        *ret_message =
            arena_printf(arena,
                         "The target replication factor of %d cannot be reached because only %d broker(s) are "
                         "registered or some brokers have all their log directories cordoned.",
                         (int)replicas, (int)placer->broker_count);
        return NULL;
    }
    racks_start(placer);
    return placer;
}

/* The first live broker from the rack whose turn it is on; *ret_rack is where it was. */
static int32_t leader_next(struct ctrl__placer *placer, int32_t *ret_rack)
{
    for (int32_t at = placer->offset;; at = (at + 1) % placer->rack_count) {
        int32_t id = turns_next(&placer->racks[at]->unfenced, placer->epoch);
        *ret_rack = at;
        if (id >= 0)
            return id;
    }
}

const int32_t *ctrl__placer_next(struct ctrl__placer *placer)
{
    int32_t *ids = arena_array(placer->arena, (size_t)placer->replicas, sizeof *ids), leader_rack;
    if (!ids)
        return NULL;
    assert(placer->replicas > 0 && placer->replicas <= placer->broker_count);
    if (placer->epoch == placer->unfenced_count && placer->unfenced_count > 1) {
        shuffle(placer);
        placer->epoch = 0;
    }
    if (placer->offset == placer->rack_count)
        placer->offset = 0;
    ids[0] = leader_next(placer, &leader_rack);
    int32_t at = placer->offset;
    for (int32_t i = 1; i < placer->replicas; i++) {
        for (ids[i] = -1; ids[i] < 0; at = (at + 1) % placer->rack_count) {
            if (at == leader_rack) // it had its turn in this round
                leader_rack = -1;
            else
                ids[i] = rack_next(placer->racks[at], placer->epoch);
        }
    }
    placer->epoch++;
    placer->offset++;
    return ids;
}

/* ---- directories */
struct load {
    const struct meta_broker *broker;
    int64_t *partitions; // of each of its directories
};
struct ctrl__directories {
    struct load *loads;
    int32_t count;
};

static struct load *load_of(struct ctrl__directories *directories, int32_t node_id)
{
    for (int32_t i = 0; i < directories->count; i++)
        if (directories->loads[i].broker->id == node_id)
            return &directories->loads[i];
    return NULL;
}

static void partition_count(struct ctrl__directories *directories, const struct meta_partition *partition)
{
    for (int32_t i = 0; i < partition->replica_count; i++) {
        struct load *load = load_of(directories, partition->replicas[i]);
        struct uuid id = meta_partition_directory(partition, partition->replicas[i]);
        for (int32_t k = 0; load && k < load->broker->directory_count; k++)
            load->partitions[k] += uuid_equal(load->broker->directories[k], id);
    }
}

static void partitions_count(struct ctrl__directories *directories, const struct meta_image *image)
{
    struct meta_walk walk;
    const struct meta_topic *topic;
    meta_topics_begin(image, SLICE_NULL, &walk);
    while ((topic = meta_topics_next(&walk)))
        for (int32_t i = 0; i < topic->partition_count; i++)
            if (meta_topic_partition(topic, i))
                partition_count(directories, meta_topic_partition(topic, i));
}

struct ctrl__directories *ctrl__directories_create(const struct meta_image *image, struct arena *arena)
{
    struct meta_walk walk;
    const struct meta_item *item;
    bool is_a_choice = false;
    struct ctrl__directories *directories = arena_zalloc(arena, sizeof *directories);
    if (!directories || image->metadata_version < DIRECTORIES_SINCE)
        return directories;
    directories->loads = arena_array(arena, (size_t)brokers_count(image), sizeof *directories->loads);
    meta_walk_begin(image->brokers, &walk);
    while (directories->loads && (item = meta_walk_next(&walk))) {
        struct load *load = &directories->loads[directories->count];
        load->broker = (const struct meta_broker *)(const void *)item;
        load->partitions = arena_array(arena, (size_t)load->broker->directory_count, sizeof *load->partitions);
        if (!load->partitions)
            return NULL;
        directories->count++;
        is_a_choice |= load->broker->directory_count > 1;
    }
    if (is_a_choice)
        partitions_count(directories, image);
    return directories->loads ? directories : NULL;
}

struct uuid ctrl__directories_choose(struct ctrl__directories *directories, int32_t node_id)
{
    struct load *load = load_of(directories, node_id);
    if (!load || load->broker->directory_count == 0)
        return UUID_ZERO;
    int32_t best = 0;
    for (int32_t i = 1; i < load->broker->directory_count; i++)
        if (load->partitions[i] < load->partitions[best])
            best = i;
    load->partitions[best]++;
    return load->broker->directories[best];
}
