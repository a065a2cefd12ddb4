// SPDX-License-Identifier: Apache-2.0
/* replica/turn.c - the turn of a partition: one flag, one queue of appends, one of chores, and nobody who waits.
 *
 *        enqueue            drain                    turn held                      given back
 *   (any thread) ----> try the flag ----> write what is queued, run chores ----> look at the queues again
 *                        | taken: go on, the holder will look
 *
 * The order that makes it safe: a queue is filled before the flag is tried, and looked at after the flag is cleared, both
 * sequentially consistent; so whatever is queued is seen either by the holder or by its sender.
 * Appends keep the order in which they were queued. A chore runs in the pool with the turn held. While the directory is
 * over its budget of unflushed bytes, the pool writes too: only its threads may wait for the disk.
 */
#include "replica/replica__.h"
#include "wire/gen/errors.h"

enum { GROUP_MAX = 128 };           // appends in one write
enum { GROUP_SIZE_MAX = 64 << 20 }; // bytes in one write
enum { GROUP_BUDGET_PART = 16 };    // and no more than this part of the directory's budget, but for a single batch
static const uint32_t NO_LOOP = UINT32_MAX;

bool partition_turn_try(struct partition *p)
{
    bool free = false;
    return atomic_compare_exchange_strong(&p->turn, &free, true);
}

void partition_enqueue(struct partition *p, struct append *append)
{
    atomic_store_explicit(&append->done, false, memory_order_relaxed);
    append->error = 0;
    struct append *newest = atomic_load(&p->queue);
    do {
        append->next = newest;
    } while (!atomic_compare_exchange_weak(&p->queue, &newest, append));
}

static void take_queued(struct partition *p)
{
    struct append *newest = atomic_exchange(&p->queue, NULL), *oldest_first = NULL;
    struct append **tail = p->pending_tail;
    if (newest)
        p->pending_tail = &newest->next;
    while (newest) {
        struct append *next = newest->next;
        newest->next = oldest_first;
        oldest_first = newest;
        newest = next;
    }
    *tail = oldest_first;
}

static void take_chores(struct partition *p)
{
    struct chore *newest = atomic_exchange(&p->chores, NULL), *oldest_first = NULL;
    while (newest) {
        struct chore *next = newest->next;
        newest->next = oldest_first;
        oldest_first = newest;
        newest = next;
    }
    struct chore **tail = &p->chores_taken;
    while (*tail)
        tail = &(*tail)->next;
    *tail = oldest_first;
}

static struct append *pending_pop(struct partition *p)
{
    struct append *first = p->pending;
    p->pending = first->next;
    if (!p->pending)
        p->pending_tail = &p->pending;
    return first;
}

/* The append may be gone as soon as `done` is set. */
static void finish(struct partition *p, struct append *append, int16_t error, uint32_t own_loop)
{
    uint32_t loop = append->loop;
    append->error = error;
    atomic_store(&append->done, true);
    if (loop == own_loop || loop >= p->options->loop_count)
        return;
    struct partition_watch *watch = atomic_load(&p->watches[loop]);
    if (!watch)
        return;
    partition_ref(p);
    if (!io_loop_send(p->options->loops[loop], &watch->mail))
        partition_unref(p);
}

static int16_t refusal(struct partition *p, const struct append *append)
{
    if (partition_is_retired(p))
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (partition_is_offline(p))
        return KAFKA_KAFKA_STORAGE_ERROR;
    if (!partition_is_leader(p))
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (append->expected_leader_epoch >= 0 && append->expected_leader_epoch != partition_leader_epoch(p))
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (!partition__has_space(p, append->batch.size_bytes, append->now_ms))
        return KAFKA_KAFKA_STORAGE_ERROR;
    return KAFKA_NONE;
}

static void refuse_all(struct partition *p, int16_t error, uint32_t own_loop)
{
    while (p->pending)
        finish(p, pending_pop(p), error, own_loop);
}

static void config_refresh(struct partition *p, struct log *log)
{
    uint64_t version = partition_config_version(p);
    if (!log || version == p->config_version_of_log)
        return;
    struct partition_config config = partition_config_get(p);
    log_config_set(log, &config.log);
    p->config_version_of_log = version;
}

/* ---- writing */
struct group {
    struct append *appends[GROUP_MAX];
    struct log_batch *batches[GROUP_MAX];
    int count;
    uint32_t size_bytes;
    bool waits;
};

static uint64_t group_size_max(const struct partition *p)
{
    int64_t limit = p->budget ? p->budget->limit_bytes : 0;
    return (uint64_t)(limit > 0 ? min_i64(GROUP_SIZE_MAX, limit / GROUP_BUDGET_PART) : GROUP_SIZE_MAX);
}

/* Takes from pending what goes into one write. False when the log must roll before the first of it. */
static bool group_fill(struct partition *p, struct log *log, struct group *group, uint32_t own_loop)
{
    *group = (struct group){0};
    uint64_t size_max = group_size_max(p);
    while (p->pending && group->count < GROUP_MAX) {
        struct append *append = p->pending;
        int16_t error = refusal(p, append);
        if (error != KAFKA_NONE) {
            finish(p, pending_pop(p), error, own_loop);
            continue;
        }
        uint64_t size = (uint64_t)group->size_bytes + append->batch.size_bytes;
        if (group->count > 0 && (size > size_max || !log_segment_holds(log, size)))
            break;
        if (log_roll_is_due(log, (uint32_t)size, append->batch.facts.max_timestamp_ms, append->now_ms)) {
            if (group->count == 0)
                return false;
            break;
        }
        group->size_bytes = (uint32_t)size;
        group->waits |= append->waits_for_flush;
        group->batches[group->count] = &append->batch;
        group->appends[group->count++] = append;
        pending_pop(p);
    }
    return true;
}

static void group_write(struct partition *p, struct log *log, struct group *group, uint32_t own_loop)
{
    if (group->count == 0)
        return;
    struct status s =
        log_append(log, group->batches, group->count, partition_leader_epoch(p), group->appends[0]->now_ms);
    bool fsync = p->options->flush_before_visible;
    bool advanced = false;
    if (status_is_ok(s))
        partition__space_used(p, group->size_bytes);
    else if (log_is_offline(log))
        partition_take_offline(p, s);
    else
        partition__lacks(p, s); // the log is as it was, and takes the next one that fits
    if (status_is_ok(s) && !fsync)
        advanced = partition__high_watermark_advance(p);
    bool ok = status_is_ok(s);
    for (int i = 0; i < group->count; i++)
        finish(p, group->appends[i], ok ? group->batches[i]->error : KAFKA_KAFKA_STORAGE_ERROR, own_loop);
    if (ok) {
        partition__mark_dirty(p, group->waits);
        partition__budget_look(p);
    }
    if (advanced)
        partition__wake(p, own_loop);
}

/* ---- the partition's own chores: the first opening, what comes before the first append, a roll, and writing while the
 * directory is over its budget */
/* This thread may wait for the disk: it syncs what the partition has, then writes one group more. So the bytes that are
 * not flushed pass the limit by no more than a group for each thread. */
static struct status drain_one_group(struct partition *p, struct log *log)
{
    partition__budget_tell(p);
    TRY(partition_flush(p));
    take_queued(p);
    struct group group = {0};
    if (!group_fill(p, log, &group, NO_LOOP)) {
        TRY(log_roll(log));
        partition__mark_dirty(p, true);
        if (!group_fill(p, log, &group, NO_LOOP))
            return STATUS_OK;
    }
    group_write(p, log, &group, NO_LOOP);
    return STATUS_OK;
}

static struct status own_chore_work(struct partition *p, struct log *log)
{
    if (!log)
        return partition__open_now(p);
    if (!log_is_prepared(log))
        return log_prepare(log);
    return p->own_chore_drains ? drain_one_group(p, log) : log_roll(log);
}

static void own_chore_run(struct chore *chore)
{
    struct partition *p = chore->partition;
    struct log *log = atomic_load(&p->log);
    struct status s = own_chore_work(p, log);
    p->own_chore_busy = false;
    if (!status_is_ok(s) &&
        (log ? !log_is_offline(log) : log_may_recover(s))) { // no space for a new segment, or no descriptor
        partition__lacks(p, s);
        refuse_all(p, KAFKA_KAFKA_STORAGE_ERROR, NO_LOOP);
    } else if (!status_is_ok(s)) {
        partition_take_offline(p, s);
    } else if (log && !p->own_chore_drains) {
        partition__mark_dirty(p, true);
    }
}

static void chore_job(struct io_job *job)
{
    struct chore *chore = CONTAINER_OF(job, struct chore, job);
    struct partition *p = chore->partition; // the chore may be gone after its run
    bool keeps_turn = chore->keeps_turn;
    config_refresh(p, atomic_load(&p->log));
    chore->run(chore);
    if (!keeps_turn)
        partition_turn_end(p);
    partition_unref(p);
}

static void own_chore_submit(struct partition *p, bool drains)
{
    assert(!p->own_chore_busy);
    p->own_chore_busy = true;
    p->own_chore_drains = drains;
    partition_ref(p);
    p->own_chore = (struct chore){.job = {.run = chore_job}, .partition = p, .run = own_chore_run};
    io_pool_submit(p->options->pool, IO_LANE_FILE, &p->own_chore.job);
}

/* With the turn held. True when the turn went on to a chore in the pool. */
static bool work(struct partition *p, uint32_t own_loop)
{
    for (;;) {
        take_queued(p);
        if (!p->pending)
            break;
        struct log *log = atomic_load(&p->log);
        if (!log && p->opens_later && !partition_is_offline(p) && !partition_is_retired(p)) {
            own_chore_submit(p, false);
            return true;
        }
        if (!log) {
            refuse_all(p, partition_is_retired(p) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_KAFKA_STORAGE_ERROR,
                       own_loop);
            break;
        }
        config_refresh(p, log);
        if (!log_is_prepared(log) && !partition_is_offline(p) && !partition_is_retired(p)) {
            own_chore_submit(p, false);
            return true;
        }
        if (partition_is_over_budget(p) && !partition_is_offline(p) && !partition_is_retired(p)) {
            take_chores(p);
            if (p->chores_taken)
                break; // they are few, and they may be what makes room
            own_chore_submit(p, true);
            return true;
        }
        struct group group;
        if (!group_fill(p, log, &group, own_loop)) {
            own_chore_submit(p, false);
            return true;
        }
        group_write(p, log, &group, own_loop);
    }
    take_chores(p);
    struct chore *chore = p->chores_taken;
    if (!chore)
        return false;
    p->chores_taken = chore->next;
    chore->job.run = chore_job;
    io_pool_submit(p->options->pool, IO_LANE_FILE, &chore->job); // its reference was taken when it was queued
    return true;
}

/* With the turn held: works, gives it back, and looks again. */
static void work_and_release(struct partition *p, uint32_t own_loop)
{
    do {
        if (work(p, own_loop))
            return;
        atomic_store(&p->turn, false);
    } while ((atomic_load(&p->queue) || atomic_load(&p->chores)) && partition_turn_try(p));
}

void partition_turn_end(struct partition *p)
{
    assert(atomic_load(&p->turn));
    work_and_release(p, NO_LOOP);
}

void partition_drain(struct partition *p, uint32_t own_loop)
{
    if (partition_turn_try(p))
        work_and_release(p, own_loop);
}

void partition_chore(struct partition *p, struct chore *chore)
{
    partition_ref(p);
    chore->partition = p;
    struct chore *newest = atomic_load(&p->chores);
    do {
        chore->next = newest;
    } while (!atomic_compare_exchange_weak(&p->chores, &newest, chore));
    partition_drain(p, NO_LOOP);
}
