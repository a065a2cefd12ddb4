// SPDX-License-Identifier: Apache-2.0
/* io/sim_crash.c - the disk's birth, its end, and what a power cut leaves of it.
 *
 * A cut first draws, for every file, which dirty sectors and how much of a new size got through, and for the names a prefix
 * of the pending changes (of the whole file system, or of each directory). Then the volatile side becomes a copy of the
 * durable one, and what no name reaches is gone.
 */
#include "io/sim__disk.h"

struct sim_disk *sim__disk_create(void)
{
    struct sim_disk *disk = sim__alloc(sizeof *disk);
    sim__disk = disk;
    list_init(&disk->inodes);
    disk->next_number = 2;
    disk->is_journaled = sim__one_in(2);
    disk->root = sim__inode_create(true);
    return disk;
}

void sim__disk_destroy(struct sim_disk *disk)
{
    LIST_EACH_SAFE (node, &disk->inodes)
        sim__inode_free(CONTAINER_OF(node, struct sim_inode, in_disk));
    sim__free(disk);
    sim__disk = NULL;
}

static int64_t surviving_size(const struct sim_inode *inode)
{
    int64_t low = min_i64(inode->size, inode->disk_size), high = max_i64(inode->size, inode->disk_size);
    switch (sim__below(3)) {
    case 0:
        return inode->disk_size;
    case 1:
        return inode->size;
    default: // a file that grew in pieces may have any of their sizes; one that was cut has one of two
        return inode->size < inode->disk_size ? low : low + (int64_t)sim__below((uint64_t)(high - low) + 1);
    }
}

static void cut_file(struct sim_inode *inode)
{
    static const uint32_t SAVED_ONE_IN[] = {0, 1, 2, 2, 10};
    if (inode->capacity == 0)
        return;
    sim__sectors_save(inode, SAVED_ONE_IN[sim__below(COUNT_OF(SAVED_ONE_IN))]);
    int64_t size = surviving_size(inode);
    memset(inode->disk + size, 0, (size_t)(inode->capacity - size));
    memcpy(inode->data, inode->disk, (size_t)inode->capacity);
    memset(inode->dirty, 0, (size_t)(inode->capacity / SIM_SECTOR_BYTES));
    inode->size = inode->disk_size = size;
}

/* The sequence up to which changes got through. */
static uint64_t draw_cut(uint64_t oldest, uint64_t newest)
{
    switch (sim__below(3)) {
    case 0:
        return oldest;
    case 1:
        return newest;
    default:
        return oldest + sim__below(newest - oldest + 1);
    }
}

static void cut_directory(struct sim_disk *disk, struct sim_inode *directory, uint64_t journal_cut)
{
    if (!disk->is_journaled && !list_is_empty(&directory->changes)) {
        const struct sim_change *first = CONTAINER_OF(directory->changes.next, struct sim_change, in_directory);
        journal_cut = draw_cut(first->sequence - 1, disk->sequence);
    }
    sim__directory_commit(directory, journal_cut);
    LIST_EACH_SAFE (node, &directory->changes) {
        struct sim_change *lost = CONTAINER_OF(node, struct sim_change, in_directory);
        list_remove(&lost->in_directory);
        sim__free(lost->name);
        sim__free(lost);
    }
    while (directory->entries.count > 0)
        sim__entries_set(&directory->entries, directory->entries.items[0].name, NULL);
    for (size_t i = 0; i < directory->durable.count; i++)
        sim__entries_set(&directory->entries, directory->durable.items[i].name, directory->durable.items[i].inode);
}

static uint64_t oldest_change(const struct sim_disk *disk)
{
    uint64_t oldest = disk->sequence;
    LIST_EACH (node, &disk->inodes) {
        const struct sim_inode *inode = CONTAINER_OF(node, struct sim_inode, in_disk);
        if (list_is_empty(&inode->changes))
            continue;
        uint64_t first = CONTAINER_OF(inode->changes.next, struct sim_change, in_directory)->sequence;
        oldest = first - 1 < oldest ? first - 1 : oldest;
    }
    return oldest;
}

static void mark(struct sim_inode *inode)
{
    if (inode->is_reachable)
        return;
    inode->is_reachable = inode->is_linked = true;
    for (size_t i = 0; i < inode->entries.count; i++)
        mark(inode->entries.items[i].inode);
}

void sim__disk_power_cut(struct sim_disk *disk)
{
    uint64_t cut = draw_cut(oldest_change(disk), disk->sequence);
    LIST_EACH (node, &disk->inodes) {
        struct sim_inode *inode = CONTAINER_OF(node, struct sim_inode, in_disk);
        inode->open_count = inode->lock_owner = 0;
        inode->is_reachable = inode->is_linked = inode->sync_is_broken = false;
        if (inode->is_directory)
            cut_directory(disk, inode, cut);
        else
            cut_file(inode);
    }
    mark(disk->root);
    LIST_EACH_SAFE (node, &disk->inodes) {
        struct sim_inode *inode = CONTAINER_OF(node, struct sim_inode, in_disk);
        if (!inode->is_reachable)
            sim__inode_free(inode);
    }
}
