// SPDX-License-Identifier: Apache-2.0
/* replica/space.c - how much of a log directory's file system producers may still fill.
 *
 * On a disk that is full to its last byte the broker's own books fail too: metadata, committed offsets, checkpoints, a clean
 * stop. So a reserve is kept back. An ordinary partition's batches are refused (KAFKA_STORAGE_ERROR) before they would take
 * of it; nothing was written then, and the log stays as good as it was. Internal partitions go on into the reserve.
 *
 * What is left is asked of the file system by whoever appends: once a second, and once more each time that half of it may
 * be used up. At rest nobody asks. So producers go on within a second after space was made. Other programs may fill the
 * disk between two looks: the failing write itself (ENOSPC) closes the door then.
 */
#include "replica/replica__.h"

#include <errno.h>

enum { LOOK_EVERY_MS = 1000, RESERVE_PART_MAX = 16 };

void write_space_init(struct write_space *space, int64_t reserve_bytes)
{
    *space = (struct write_space){.reserve_bytes = reserve_bytes, .left_bytes = INT64_MAX / 2}; // until the first look
}

/* A small file system keeps back no more than a part of itself. */
static int64_t reserve_of(const struct write_space *space, const char *log_dir)
{
    int64_t total = io_total_bytes(log_dir);
    return total > 0 ? min_i64(space->reserve_bytes, total / RESERVE_PART_MAX) : space->reserve_bytes;
}

static void look(struct write_budget *budget)
{
    struct write_space *space = &budget->space;
    int64_t free_bytes = io_free_bytes(budget->log_dir);
    if (free_bytes < 0)
        return; // the write will tell
    int64_t left = max_i64(free_bytes - reserve_of(space, budget->log_dir), 0);
    atomic_store(&space->look_again_bytes, left / 2);
    atomic_store(&space->left_bytes, left);
}

static void look_when_due(struct write_budget *budget, int64_t now_ms)
{
    struct write_space *space = &budget->space;
    int64_t looked_ms = atomic_load_explicit(&space->looked_ms, memory_order_relaxed);
    bool is_due = now_ms < looked_ms || now_ms - looked_ms >= LOOK_EVERY_MS ||
                  atomic_load_explicit(&space->left_bytes, memory_order_relaxed) <
                      atomic_load_explicit(&space->look_again_bytes, memory_order_relaxed);
    if (is_due && atomic_compare_exchange_strong(&space->looked_ms, &looked_ms, max_i64(now_ms, 1)))
        look(budget);
}

static void tell(struct write_budget *budget)
{
    const struct write_space *space = &budget->space;
    if (!partition__may_tell(&budget->space.told_ms))
        return;
    LOG(LOG_ERROR, "replica",
        "log directory %s: its disk is full but for %lld bytes, which are kept back for metadata and offsets "
        "(ottla.disk.reserve.bytes); producers are refused until there is space",
        budget->log_dir, (long long)reserve_of(space, budget->log_dir));
}

bool partition__has_space(struct partition *p, uint32_t size_bytes, int64_t now_ms)
{
    struct write_budget *budget = p->budget;
    if (!budget || budget->space.reserve_bytes == 0 || p->internal)
        return true;
    look_when_due(budget, now_ms);
    if (atomic_load_explicit(&budget->space.left_bytes, memory_order_relaxed) >= (int64_t)size_bytes)
        return true;
    atomic_fetch_add(&budget->space.refused, 1);
    tell(budget);
    return false;
}

bool write_budget_may_take(struct write_budget *budget, int64_t size_bytes)
{
    if (budget->space.reserve_bytes == 0)
        return true;
    look(budget);
    return atomic_load(&budget->space.left_bytes) >= size_bytes;
}

bool partition_may_take(struct partition *p, int64_t size_bytes)
{
    struct write_budget *budget = p->budget;
    return !budget || write_budget_may_take(budget, size_bytes);
}

void partition__space_used(struct partition *p, uint32_t size_bytes)
{
    if (p->budget)
        atomic_fetch_sub_explicit(&p->budget->space.left_bytes, size_bytes, memory_order_relaxed);
}

static void lacks_descriptors(struct write_budget *budget)
{
    struct write_space *space = &budget->space;
    atomic_fetch_add(&space->without_descriptor, 1);
    if (partition__may_tell(&space->descriptors_told_ms))
        LOG(LOG_ERROR, "replica",
            "log directory %s: this process has no descriptor left for another file; producers are refused until there "
            "is one: see ulimit -n, max.connections and ottla.open.files.max",
            budget->log_dir);
}

void partition__lacks(struct partition *p, struct status why)
{
    if (!p->budget)
        return;
    if (why.error != ENOSPC) {
        lacks_descriptors(p->budget);
        return;
    }
    atomic_store(&p->budget->space.look_again_bytes, 0);
    atomic_store(&p->budget->space.left_bytes, 0);
}
