// SPDX-License-Identifier: Apache-2.0
/* replica/visible.c - what may be seen of a partition, and who is told when that changes.
 *
 * The high watermark follows the flush: with durability fsync our own end counts once it is on the disk, so no consumer
 * reads a record that a power cut could take back. It only moves up, from whichever thread wrote or flushed last.
 */
#include "replica/replica__.h"
#include "wire/gen/errors.h"

enum { ANY_EPOCH = -1 }; // whoever asks does not say which it believes in; no other number is special, as in Kafka

/* Page-cache mode: so much is written and not flushed as flush.messages lets wait. */
static bool too_many_unflushed(const struct partition *p, const struct log *log)
{
    int64_t flushed = log_flushed_offset(log); // first: the end does not fall behind it
    return log_end_offset(log) - flushed >= atomic_load(&p->flush_messages);
}

/* What this broker itself holds, as the durability mode counts it: what is flushed, or what is written. */
static int64_t own_end(const struct partition *p, const struct log *log)
{
    bool only_flushed = p->options->flush_before_visible || too_many_unflushed(p, log);
    return only_flushed ? log_flushed_offset(log) : log_end_offset(log);
}

bool partition__high_watermark_advance(struct partition *p)
{
    const struct log *log = atomic_load(&p->log);
    if (!log || !partition_is_leader(p) || atomic_load(&p->isr_count) != 1)
        return false; // with other replicas in sync their ends count too; those brokers are refused at start for now
    int64_t end = own_end(p, log), before = atomic_load(&p->high_watermark);
    while (before < end)
        if (atomic_compare_exchange_weak(&p->high_watermark, &before, end))
            return true;
    return false;
}

void partition_high_watermark_restore(struct partition *p, int64_t offset)
{
    const struct log *log = atomic_load(&p->log);
    int64_t bound = log ? min_i64(offset, own_end(p, log)) : 0;
    if (bound > atomic_load(&p->high_watermark))
        atomic_store(&p->high_watermark, bound);
}

static bool is_watched(const struct partition *p)
{
    for (uint32_t i = 0; i < p->options->loop_count; i++) {
        const struct partition_watch *watch = atomic_load(&p->watches[i]);
        if (watch && atomic_load(&watch->armed))
            return true;
    }
    return false;
}

/* With durability page-cache nobody waits for the disk, unless flush.messages says so: the kernel writes back, and
 * checkpoints sync now and then. */
static bool flush_can_wait(const struct partition *p)
{
    const struct log *log = atomic_load(&p->log);
    return !p->options->flush_before_visible && (!log || !too_many_unflushed(p, log));
}

static void tell_flusher(struct partition *p)
{
    partition_ref(p);
    if (!io_loop_send(p->options->flusher, &p->dirty))
        partition_unref(p);
}

void partition_flush_if_due(struct partition *p, int64_t now_ms)
{
    const struct log *log = atomic_load(&p->log);
    if (p->options->flush_before_visible || !log || log_flushed_offset(log) == log_end_offset(log))
        return;
    if (now_ms - atomic_load(&p->flushed_ms) < partition_config_get(p).flush_ms)
        return;
    tell_flusher(p);
}

void partition__mark_dirty(struct partition *p, bool urgent)
{
    if (flush_can_wait(p))
        return;
    if (urgent || is_watched(p))
        atomic_store(&p->flush_is_urgent, true);
    tell_flusher(p);
}

struct partition *partition_of_dirty_mail(struct io_mail *mail)
{
    return CONTAINER_OF(mail, struct partition, dirty);
}

bool partition_flush_is_urgent(const struct partition *p)
{
    return atomic_load(&p->flush_is_urgent);
}

struct status partition_flush(struct partition *p)
{
    struct log *log = atomic_load(&p->log);
    if (!log || partition_is_retired(p))
        return STATUS_OK;
    atomic_store(&p->flush_is_urgent, false); // before the sync: what comes later asks again
    int64_t flushed;
    struct status s = log_flush(log, &flushed);
    if (!status_is_ok(s) && partition_is_retired(p))
        return STATUS_OK; // its directory went away meanwhile
    if (!status_is_ok(s)) {
        partition_take_offline(p, s);
        return s;
    }
    atomic_store(&p->flushed_ms, io_now_ms());
    partition__high_watermark_advance(p);
    partition_wake_all(p);
    return STATUS_OK;
}

int64_t partition_start_offset(const struct partition *p)
{
    const struct log *log = atomic_load(&p->log);
    return log ? log_start_offset(log) : 0;
}

int64_t partition_end_offset(const struct partition *p)
{
    const struct log *log = atomic_load(&p->log);
    return log ? log_end_offset(log) : 0;
}

struct partition_traffic *partition_traffic(struct partition *p)
{
    return &p->traffic;
}

int64_t partition_flushed_offset(const struct partition *p)
{
    const struct log *log = atomic_load(&p->log);
    return log ? log_flushed_offset(log) : 0;
}

int64_t partition_high_watermark(const struct partition *p)
{
    return atomic_load(&p->high_watermark);
}

int64_t partition_last_stable_offset(const struct partition *p)
{
    struct log *log = atomic_load(&p->log);
    int64_t high_watermark = partition_high_watermark(p);
    return log ? log_last_stable_offset(log, high_watermark) : high_watermark;
}

bool partition_is_acked(const struct partition *p, int16_t acks, int64_t end_offset)
{
    if (acks == 0)
        return true;
    if (acks == -1)
        return partition_high_watermark(p) >= end_offset;
    const struct log *log = atomic_load(&p->log);
    return log && own_end(p, log) >= end_offset;
}

int16_t partition_check_epoch(const struct partition *p, int32_t leader_epoch)
{
    if (partition_is_retired(p))
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (partition_is_offline(
            p)) // first: once its loss is in the metadata nobody leads it, and its directory is still why
        return KAFKA_KAFKA_STORAGE_ERROR;
    int32_t current = partition_leader_epoch(p);
    if (leader_epoch != ANY_EPOCH && leader_epoch < current)
        return KAFKA_FENCED_LEADER_EPOCH;
    if (leader_epoch != ANY_EPOCH && leader_epoch > current)
        return KAFKA_UNKNOWN_LEADER_EPOCH;
    if (!partition_is_leader(p))
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    return KAFKA_NONE;
}

static int64_t limit_of(const struct partition *p, enum read_as as)
{
    if (as == READ_AS_CONSUMER)
        return partition_high_watermark(p);
    if (as == READ_AS_COMMITTED)
        return partition_last_stable_offset(p);
    return partition_end_offset(p);
}

int16_t partition_read(struct partition *p, enum read_as as, int64_t offset, uint32_t size_max, bool at_least_one,
                       struct log_slice *ret_slice)
{
    *ret_slice = (struct log_slice){0};
    struct log *log = atomic_load(&p->log);
    int64_t limit = limit_of(p, as);
    if (offset < partition_start_offset(p) || offset > partition_end_offset(p))
        return KAFKA_OFFSET_OUT_OF_RANGE;
    if (!log || offset >= limit)
        return KAFKA_NONE; // nothing to see yet; Kafka answers an offset between high watermark and end the same way
    switch (log_read(log, offset, limit, size_max, at_least_one, ret_slice)) {
    case LOG_READ_OK:
        return KAFKA_NONE;
    case LOG_READ_OUT_OF_RANGE:
        return KAFKA_OFFSET_OUT_OF_RANGE;
    case LOG_READ_FAILED:
        break;
    }
    return KAFKA_KAFKA_STORAGE_ERROR;
}

/* ---- watches */
struct partition_watch *partition_watch_get(struct partition *p, uint32_t loop)
{
    assert(loop < p->options->loop_count);
    struct partition_watch *watch = atomic_load(&p->watches[loop]);
    if (watch)
        return watch;
    watch = mem_zalloc(sizeof *watch);
    watch->mail.kind = p->options->watch_mail_kind;
    watch->partition = p;
    list_init(&watch->waits);
    atomic_store(&p->watches[loop], watch);
    return watch;
}

void partition_watch_arm(struct partition_watch *watch)
{
    atomic_store(&watch->armed, true);
}

void partition_watch_disarm(struct partition_watch *watch)
{
    atomic_store(&watch->armed, false);
}

void partition_wake_all(struct partition *p)
{
    partition__wake(p, UINT32_MAX);
}

void partition__wake(struct partition *p, uint32_t except_loop)
{
    for (uint32_t i = 0; i < p->options->loop_count; i++) {
        struct partition_watch *watch = atomic_load(&p->watches[i]);
        if (i == except_loop || !watch || !atomic_load(&watch->armed))
            continue;
        partition_ref(p);
        if (!io_loop_send(p->options->loops[i], &watch->mail))
            partition_unref(p);
    }
}
