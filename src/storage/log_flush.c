// SPDX-License-Identifier: Apache-2.0
/* storage/log_flush.c - what makes bytes survive a power cut, and the two marks that say how far.
 *
 * The flushed offset: everything below it is on the disk. A round covers the end that was captured before its first sync
 * starts; rolled files first, then the directory when its entries changed, then the active file, so the offset passes a
 * roll only when all three are there. It runs beside the writer. A failed sync is never tried again: offline.
 *
 * The recovery point: log, indexes, producer snapshot and directory are synced, recovery need not look below it.
 */
#include "storage/storage__.h"

/* ---- what is written and not flushed. The directory's sum goes up before the log's own and down after it, so it is never
 * too small. */
void log__written_add(struct log *log, int64_t bytes)
{
    if (log->unflushed && bytes > 0) {
        int64_t now = atomic_fetch_add(&log->unflushed->bytes, bytes) + bytes;
        int64_t most = atomic_load_explicit(&log->unflushed->bytes_most, memory_order_relaxed);
        while (most < now && !atomic_compare_exchange_weak(&log->unflushed->bytes_most, &most, now))
            ;
    }
    atomic_fetch_add(&log->written_bytes, bytes);
    if (log_is_offline(log)) // meanwhile: who took it offline may not have seen these
        log__flushed_move(log, atomic_load(&log->written_bytes));
}

void log__flushed_move(struct log *log, int64_t written_bytes)
{
    int64_t before = atomic_load(&log->flushed_bytes);
    while (before < written_bytes)
        if (atomic_compare_exchange_weak(&log->flushed_bytes, &before, written_bytes)) {
            if (log->unflushed)
                atomic_fetch_sub(&log->unflushed->bytes, written_bytes - before);
            return;
        }
}

int64_t log_unflushed_bytes(const struct log *log)
{
    int64_t flushed = atomic_load(&log->flushed_bytes); // first: it only grows
    return atomic_load(&log->written_bytes) - flushed;
}

/* What a round covers: the segments that are not synced yet, oldest first, the active one last. */
enum { ROUND_SEGMENTS = 64 };
struct round {
    struct log_segment *segments[ROUND_SEGMENTS];
    int count;
    bool is_partial; // more segments than fit: the next round has them
    bool directory_dirty;
    int64_t end_offset, position, written_bytes, truncations;
};

static void round_begin(struct log *log, struct round *round)
{
    *round = (struct round){0};
    io_lock_take(log->lock);
    int first = log->segment_count - 1;
    while (first > 0 && !atomic_load(&log->segments[first - 1]->synced))
        first--;
    for (; first < log->segment_count && round->count < ROUND_SEGMENTS; first++) {
        segment__ref(log->segments[first]);
        round->segments[round->count++] = log->segments[first];
    }
    round->is_partial = first < log->segment_count;
    round->directory_dirty = log->directory_dirty;
    log->directory_dirty = false;
    round->end_offset = round->is_partial ? log->segments[first]->base_offset : log_end_offset(log);
    round->position = segment__size(round->segments[round->count - 1]);
    round->written_bytes = atomic_load(&log->written_bytes);
    round->truncations = log->truncations;
    io_lock_release(log->lock);
}

static void round_end(struct round *round)
{
    for (int i = 0; i < round->count; i++)
        segment__unref(round->segments[i]);
}

static struct status round_sync(struct log *log, const struct round *round)
{
    int sealed = round->is_partial ? round->count : round->count - 1;
    for (int i = 0; i < sealed; i++) {
        TRY(segment_file__sync(round->segments[i], SEGMENT_LOG));
        atomic_store(&round->segments[i]->synced, true);
    }
    if (round->directory_dirty) {
        int error = io_sync_dir(log->directory);
        if (error < 0)
            return STATUS(-error, "sync a partition's directory");
    }
    return sealed < round->count ? segment_file__sync(round->segments[sealed], SEGMENT_LOG) : STATUS_OK;
}

static void round_publish(struct log *log, const struct round *round)
{
    assert(round->count > 0);
    io_lock_take(log->lock);
    if (log->truncations == round->truncations && round->end_offset > log_flushed_offset(log)) {
        log__mark(log, round->end_offset, round->segments[round->count - 1]->base_offset, round->position);
        atomic_store_explicit(&log->flushed_offset, round->end_offset, memory_order_release);
    }
    io_lock_release(log->lock);
    if (!round->is_partial)
        log__flushed_move(log, round->written_bytes);
}

static struct status flush_locked(struct log *log)
{
    struct round round;
    do {
        round_begin(log, &round);
        struct status s = round_sync(log, &round);
        if (status_is_ok(s) && !log_is_offline(log))
            round_publish(log, &round);
        round_end(&round);
        TRY(s);
    } while (round.is_partial);
    return STATUS_OK;
}

struct status log_flush(struct log *log, int64_t *ret_flushed_offset)
{
    if (log_is_offline(log))
        return STATUS(EIO, "flush a log that is offline");
    io_lock_take(log->flush_lock);
    struct status s = STATUS_OK;
    io_lock_take(log->lock);
    bool is_clean = log_flushed_offset(log) == log_end_offset(log) && !log->directory_dirty;
    io_lock_release(log->lock);
    if (!is_clean)
        s = flush_locked(log);
    io_lock_release(log->flush_lock);
    if (!status_is_ok(s)) {
        log__take_offline(log, s);
        return s;
    }
    if (log_is_offline(log)) // by another thread meanwhile: nothing was published
        return STATUS(EIO, "flush a log that is offline");
    *ret_flushed_offset = log_flushed_offset(log);
    return STATUS_OK;
}

/* Advice: the sync tells of failures. */
static void write_back(struct log_segment *segment, int64_t position, int64_t size)
{
    int handle;
    if (!status_is_ok(segment_file__get(segment, SEGMENT_LOG, 0, &handle)))
        return;
    io_write_back(handle, position, size);
    segment_file__put(segment, SEGMENT_LOG);
}

int64_t log_write_back(struct log *log, int64_t threshold_bytes)
{
    int64_t written = atomic_load_explicit(&log->written_bytes, memory_order_acquire);
    if (written - log->written_back_bytes >= threshold_bytes) {
        struct log_view view;
        log__view(log, INT64_MAX, INT64_MAX, &view);
        int64_t size = min_i64(written - log->written_back_bytes, view.size_bytes);
        if (size > 0)
            write_back(view.segment, view.size_bytes - size, size);
        segment__unref(view.segment);
        log->written_back_bytes = written;
    }
    return log_unflushed_bytes(log);
}

/* Segments at or past the recovery point have indexes that may not be synced. */
static struct status indexes_sync(struct log *log)
{
    for (int i = log->segment_count - 1; i >= 0; i--) {
        TRY(index__sync(log->segments[i]));
        if (log->segments[i]->base_offset <= log_recovery_point(log))
            break;
    }
    return STATUS_OK;
}

static struct status checkpoint(struct log *log)
{
    int64_t end = log_end_offset(log), flushed;
    TRY(log_flush(log, &flushed));
    assert(flushed == end); // the writer is here, so nothing was appended meanwhile
    TRY(indexes_sync(log));
    TRY(producers__snapshot_write(log, end));
    int error = io_sync_dir(log->directory);
    if (error < 0)
        return STATUS(-error, "sync a partition's directory");
    atomic_store_explicit(&log->recovery_point, end, memory_order_release);
    return STATUS_OK;
}

struct status log_checkpoint(struct log *log)
{
    if (log_is_offline(log))
        return STATUS(EIO, "checkpoint of a log that is offline");
    struct status s = checkpoint(log);
    if (!status_is_ok(s))
        log__fault(log, s);
    return s;
}
