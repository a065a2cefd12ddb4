// SPDX-License-Identifier: Apache-2.0
/* io/sim_memory.c - which memory belongs to the broker process, so that a crash can give it back.
 *
 * While a broker coroutine runs, every allocation through base is remembered by address in an open table; freeing forgets
 * it. A crash frees what is left. What the simulator allocates inside a broker's call (contents of files, bytes in flight)
 * is its own: sim__alloc keeps it out of the table.
 */
#include "io/sim__.h"

#include <malloc.h>

static size_t place_of(const struct sim_world *world, const void *p)
{
    return (size_t)(((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 20) & (world->owned_capacity - 1);
}

static char forgotten_place;
static void *const FORGOTTEN = &forgotten_place;

static void insert(struct sim_world *world, void *p)
{
    size_t at = place_of(world, p);
    while (world->owned[at] && world->owned[at] != FORGOTTEN)
        at = (at + 1) & (world->owned_capacity - 1);
    world->owned_used += world->owned[at] == NULL;
    world->owned[at] = p;
    world->owned_count++;
}

static void grow(struct sim_world *world)
{
    void **old = world->owned;
    size_t capacity = world->owned_capacity, wanted = 1024;
    while (wanted < world->owned_count * 4)
        wanted *= 2;
    world->owned_capacity = wanted;
    world->owned = sim__alloc(world->owned_capacity * sizeof *world->owned);
    world->owned_count = world->owned_used = 0;
    for (size_t i = 0; i < capacity; i++)
        if (old[i] && old[i] != FORGOTTEN)
            insert(world, old[i]);
    sim__free(old);
}

static void allocated(void *p)
{
    struct sim_world *world = sim__world;
    if (!world || world->untracked > 0 || !world->current || !world->current->is_broker)
        return;
    if ((world->owned_used + 1) * 2 > world->owned_capacity)
        grow(world);
    insert(world, p);
    world->owned_ever++;
}

static void freed(void *p)
{
    struct sim_world *world = sim__world;
    if (!world || world->untracked > 0 || !p || world->owned_count == 0)
        return;
    for (size_t at = place_of(world, p); world->owned[at]; at = (at + 1) & (world->owned_capacity - 1)) {
        if (world->owned[at] != p)
            continue;
        world->owned[at] = FORGOTTEN;
        world->owned_count--;
        return;
    }
}

static const struct mem_hook HOOK = {allocated, freed};

void sim__memory_begin(struct sim_world *world)
{
    world->untracked = 0;
    mem_hook_set(&HOOK);
}

void sim__memory_crash(struct sim_world *world)
{
    world->untracked++;
    for (size_t i = 0; i < world->owned_capacity; i++) {
        if (world->owned[i] && world->owned[i] != FORGOTTEN)
            mem_free(world->owned[i]);
        world->owned[i] = NULL;
    }
    world->owned_count = world->owned_used = 0;
    world->untracked--;
}

void sim__memory_end(struct sim_world *world)
{
    sim__memory_crash(world);
    sim__free(world->owned);
    mem_hook_set(NULL);
}

size_t sim_broker_allocations(const struct sim_world *world)
{
    return world->owned_count;
}

size_t sim_broker_bytes(const struct sim_world *world)
{
    size_t bytes = 0;
    for (size_t i = 0; i < world->owned_capacity; i++)
        if (world->owned[i] && world->owned[i] != FORGOTTEN)
            bytes += malloc_usable_size(world->owned[i]);
    return bytes;
}

uint64_t sim_broker_allocations_made(const struct sim_world *world)
{
    return world->owned_ever;
}

static void track(int by)
{
    if (sim__world)
        sim__world->untracked += by;
}

void *sim__alloc(size_t size)
{
    track(1);
    void *p = mem_zalloc(size);
    track(-1);
    return p;
}

void *sim__realloc(void *p, size_t size)
{
    track(1);
    p = mem_realloc(p, size);
    track(-1);
    return p;
}

void sim__free(void *p)
{
    track(1);
    mem_free(p);
    track(-1);
}
