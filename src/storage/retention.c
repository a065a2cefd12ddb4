// SPDX-License-Identifier: Apache-2.0
/* storage/retention.c - what leaves a log: old segments by time, size and start offset, and a tail by truncation.
 *
 * As Kafka's deleteOldSegments: from the oldest on, only segments wholly below the limit (the high watermark), never an
 * empty last one; when all go, the active one is rolled first. A segment is taken off the list, renamed to .deleted, and
 * its files go after file.delete.delay.ms; slices that hold it stay readable meanwhile and after.
 */
#include "storage/storage__.h"

struct rules {
    const struct log *log;
    int64_t now_ms, limit_offset, surplus_bytes;
};

static int64_t segment_end(const struct log *log, int at)
{
    return at + 1 < log->segment_count ? log->segments[at + 1]->base_offset : log_end_offset(log);
}

/* Largest timestamp; of a segment without any, when its file was last changed. */
static struct status age_of(struct log_segment *segment, int64_t now_ms, int64_t *ret_age_ms)
{
    int64_t timestamp_ms, offset;
    TRY(segment__max_timestamp(segment, &timestamp_ms, &offset));
    if (timestamp_ms < 0) {
        char path[SEGMENT_PATH_BYTES];
        struct io_stat stat;
        segment__path(segment, ".log", path);
        int error = io_stat(path, &stat);
        if (error < 0)
            return STATUS(-error, "look at a segment");
        timestamp_ms = stat.modified_ms;
    }
    *ret_age_ms = sub_i64(now_ms, timestamp_ms);
    return STATUS_OK;
}

static struct status may_go(struct rules *rules, int at, bool *ret_may_go)
{
    const struct log *log = rules->log;
    struct log_segment *segment = log->segments[at];
    const struct log_config *config = &log->config;
    *ret_may_go = at + 1 < log->segment_count && log->segments[at + 1]->base_offset <= log_start_offset(log);
    if (*ret_may_go || !config->cleanup_delete)
        return STATUS_OK;
    if (config->retention_bytes >= 0 && rules->surplus_bytes - segment__size(segment) >= 0)
        *ret_may_go = true;
    int64_t age_ms = 0;
    if (!*ret_may_go && config->retention_ms >= 0) {
        TRY(age_of(segment, rules->now_ms, &age_ms));
        *ret_may_go = age_ms > config->retention_ms;
    }
    return STATUS_OK;
}

/* How many of the oldest segments go. */
static struct status count_old(struct rules *rules, int *ret_count)
{
    const struct log *log = rules->log;
    *ret_count = 0;
    for (int at = 0; at < log->segment_count; at++) {
        bool is_empty_last = at + 1 == log->segment_count && segment__size(log->segments[at]) == 0, goes = false;
        if (is_empty_last || segment_end(log, at) > rules->limit_offset)
            break;
        TRY(may_go(rules, at, &goes));
        if (!goes)
            break;
        rules->surplus_bytes -= segment__size(log->segments[at]);
        *ret_count = at + 1;
    }
    return STATUS_OK;
}

struct status log__doom(struct log *log, struct log_segment *segment, bool with_snapshot, int64_t now_ms)
{
    struct doomed *doomed = mem_alloc(sizeof *doomed);
    *doomed = (struct doomed){log->doomed, segment, now_ms};
    log->doomed = doomed;
    atomic_store(&log->has_deletes, true);
    return segment__rename_deleted(segment, with_snapshot);
}

static struct status doom(struct log *log, int first, int count, int64_t now_ms)
{
    struct status s = STATUS_OK;
    for (int i = 0; i < count; i++) {
        io_lock_take(log->lock);
        struct log_segment *segment = log->segments[first];
        memmove(log->segments + first, log->segments + first + 1,
                (size_t)(log->segment_count - first - 1) * sizeof(struct log_segment *));
        log->segment_count--;
        log->directory_dirty = true;
        io_lock_release(log->lock);
        atomic_fetch_sub(&log->size_bytes, segment__size(segment));
        struct status renamed = log__doom(log, segment, true, now_ms);
        s = status_is_ok(s) ? renamed : s;
    }
    return s;
}

bool log_has_deletes(const struct log *log)
{
    return atomic_load(&log->has_deletes);
}

void log_deletes_finish(struct log *log, int64_t now_ms)
{
    for (struct doomed **at = &log->doomed; *at;) {
        struct doomed *doomed = *at;
        if (now_ms - doomed->since_ms < log->config.file_delete_delay_ms) {
            at = &doomed->next;
            continue;
        }
        segment__delete_renamed(doomed->segment);
        segment__unref(doomed->segment);
        *at = doomed->next;
        mem_free(doomed);
    }
    atomic_store(&log->has_deletes, log->doomed != NULL);
}

static struct status start_moved(struct log *log)
{
    int64_t start = max_i64(log_start_offset(log), log->segments[0]->base_offset);
    atomic_store_explicit(&log->start_offset, start, memory_order_release);
    return epochs__truncate_start(log, start) ? epochs__save(log) : STATUS_OK;
}

static struct status retain(struct log *log, int64_t limit_offset, int64_t now_ms)
{
    struct rules rules = {.log = log,
                          .now_ms = now_ms,
                          .limit_offset = limit_offset,
                          .surplus_bytes = log_size_bytes(log) - log->config.retention_bytes};
    int count;
    TRY(count_old(&rules, &count));
    if (count > 0 && count == log->segment_count)
        TRY(log_roll(log));
    if (count > 0) {
        // The start moves first: a reader that finds the segment gone must find its offsets out of range.
        atomic_store_explicit(&log->start_offset, max_i64(log_start_offset(log), log->segments[count]->base_offset),
                              memory_order_release);
        TRY(doom(log, 0, count, now_ms));
        TRY(start_moved(log));
        LOG(LOG_INFO, "storage", "%s: %d old segments deleted, the log starts at %lld", log->directory, count,
            (long long)log_start_offset(log));
    }
    log_deletes_finish(log, now_ms);
    return STATUS_OK;
}

struct status log_retain(struct log *log, int64_t limit_offset, int64_t now_ms)
{
    if (log_is_offline(log))
        return STATUS(EIO, "retention of a log that is offline");
    struct status s = retain(log, limit_offset, now_ms);
    if (!status_is_ok(s))
        log__take_offline(log, s);
    return s;
}

struct status log_start_offset_set(struct log *log, int64_t offset)
{
    if (log_is_offline(log))
        return STATUS(EIO, "move the start of a log that is offline");
    if (offset > log_end_offset(log))
        return STATUS(ERANGE, "move the start of a log past its end");
    if (offset <= log_start_offset(log))
        return STATUS_OK;
    atomic_store_explicit(&log->start_offset, offset, memory_order_release);
    return epochs__truncate_start(log, offset) ? epochs__save(log) : STATUS_OK;
}

/* ---- truncation, of a follower above the high watermark */
static struct status cut_active(struct log *log, int64_t offset)
{
    struct log_segment *active = log__active(log);
    struct segment_place place;
    int64_t size = segment__size(active);
    TRY(segment__find(active, offset, size, &place));
    if (place.position < size) {
        TRY(segment_file__truncate(active, SEGMENT_LOG, place.position));
        atomic_store_explicit(&active->size_bytes, place.position, memory_order_release);
        atomic_fetch_sub(&log->size_bytes, size - place.position);
    }
    TRY(index__truncate(active, offset, place.position));
    int64_t timestamp_ms, last;
    TRY(segment__max_timestamp(active, &timestamp_ms, &last));
    if (place.position == 0)
        active->first_timestamp_ms = -1;
    active->bytes_since_index = 0;
    return transactions__index_truncate(active, offset);
}

static void marks_forget(struct log *log, int64_t offset)
{
    io_lock_take(log->lock);
    log->truncations++;
    for (int i = 0; i < LOG_MARKS; i++)
        if (log->marks[i].offset > offset)
            log->marks[i].offset = -1;
    atomic_store(&log->end_offset, offset);
    atomic_store(&log->flushed_offset, min_i64(log_flushed_offset(log), offset));
    atomic_store(&log->recovery_point, min_i64(log_recovery_point(log), offset));
    io_lock_release(log->lock);
}

static struct status truncate_to(struct log *log, int64_t offset, int64_t now_ms)
{
    int keep = log->segment_count;
    while (keep > 1 && log->segments[keep - 1]->base_offset >= offset)
        keep--;
    marks_forget(log, offset);
    TRY(doom(log, keep, log->segment_count - keep, now_ms));
    atomic_store(&log__active(log)->synced, false);
    TRY(cut_active(log, offset));
    if (epochs__truncate_end(log, offset))
        TRY(epochs__save(log));
    return recovery__producers(log, offset, now_ms);
}

struct status log__restore(struct log *log, int64_t now_ms)
{
    int64_t end = log_end_offset(log);
    TRY(cut_active(log, end));
    return recovery__producers(log, end, now_ms);
}

struct status log_truncate_to(struct log *log, int64_t offset)
{
    if (log_is_offline(log))
        return STATUS(EIO, "truncate a log that is offline");
    if (offset >= log_end_offset(log))
        return STATUS_OK;
    if (offset < log_start_offset(log))
        return STATUS(ERANGE, "truncate a log below its start");
    struct status s = truncate_to(log, offset, io_wall_ms());
    if (!status_is_ok(s))
        log__take_offline(log, s);
    return s;
}
