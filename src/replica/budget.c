// SPDX-License-Identifier: Apache-2.0
/* replica/budget.c - how many bytes a log directory may have written and not flushed.
 *
 * The kernel takes writes into memory until too much of it is dirty, and then makes whoever writes next wait for the disk,
 * a reactor with all its connections too. So we stay far below its limits. Two marks:
 *
 *   drain   the flusher syncs what is unflushed in the directory. With durability fsync it does so all the time; with
 *           page-cache this is the first time that anybody asks for it.
 *   limit   reactors write no more: turn.c gives the partition to the pool, whose threads may wait, and the connections that
 *           produce into the directory are not read until they have been answered.
 */
#include "replica/replica__.h"

enum { TELL_EVERY_MS = 10000, WRITE_BACK_MIN_BYTES = 1 };

void partition_budget_set(struct partition *p, struct write_budget *budget)
{
    assert(atomic_load(&p->log) == NULL);
    p->budget = budget;
}

struct write_budget *partition_budget(const struct partition *p)
{
    return p->budget;
}

static bool is_past(const struct write_budget *budget, int64_t mark_bytes)
{
    return mark_bytes > 0 && atomic_load_explicit(&budget->unflushed.bytes, memory_order_relaxed) > mark_bytes;
}

bool partition_is_over_budget(const struct partition *p)
{
    return p->budget && is_past(p->budget, p->budget->limit_bytes);
}

void partition__budget_look(struct partition *p)
{
    if (!p->budget || p->options->flush_before_visible || !is_past(p->budget, p->budget->drain_bytes))
        return;
    io_loop_send(p->options->flusher, &p->budget->drain); // at most once in its mailbox
}

bool partition_write_back(struct partition *p)
{
    struct log *log = atomic_load(&p->log);
    return log && !partition_is_retired(p) && !partition_is_offline(p) && log_write_back(log, WRITE_BACK_MIN_BYTES) > 0;
}

bool partition__may_tell(_Atomic int64_t *told_ms)
{
    int64_t now_ms = io_now_ms(), before_ms = atomic_load(told_ms);
    return (before_ms == 0 || now_ms - before_ms >= TELL_EVERY_MS) &&
           atomic_compare_exchange_strong(told_ms, &before_ms, now_ms);
}

void partition__budget_tell(struct partition *p)
{
    struct write_budget *budget = p->budget;
    atomic_fetch_add(&budget->taken, 1);
    if (!partition__may_tell(&budget->told_ms))
        return;
    LOG(LOG_WARN, "replica",
        "log directory %s: %lld bytes are written and not on the disk, more than %lld (ottla.unflushed.max.bytes); its "
        "producers are muted until the disk has caught up",
        budget->log_dir, (long long)atomic_load(&budget->unflushed.bytes), (long long)budget->limit_bytes);
}
