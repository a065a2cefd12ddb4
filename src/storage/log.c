// SPDX-License-Identifier: Apache-2.0
/* storage/log.c - what a log is to the threads around it: published offsets, the list of segments, the end of its life.
 *
 * One writer at a time (the partition's turn) changes it. Readers take a segment from the list under a lock that is held
 * for a binary search and a count, together with the end that was published with it; then they need nothing but the
 * segment's bytes below that end, which never change. An I/O fault makes the log offline for good: what the page cache
 * says after it is not believed, the next start recovers.
 */
#include "storage/storage__.h"

void log__take_offline(struct log *log, struct status why)
{
    if (!atomic_exchange(&log->offline, true))
        LOG(LOG_ERROR, "storage", "log %s goes offline: %s: %s; its data is left as it is", log->directory, why.what,
            strerror(why.error));
    log__flushed_move(log, atomic_load(&log->written_bytes)); // nobody will flush them any more
}

bool log_may_recover(struct status why)
{
    return why.error == ENOSPC || why.error == EMFILE || why.error == ENFILE;
}

void log__fault(struct log *log, struct status why)
{
    if (!log_may_recover(why))
        log__take_offline(log, why);
}

bool log_is_offline(const struct log *log)
{
    return atomic_load(&log->offline);
}

void log_config_set(struct log *log, const struct log_config *config)
{
    log->config = *config;
}

const char *log_directory(const struct log *log)
{
    return log->directory;
}

int64_t log_start_offset(const struct log *log)
{
    return atomic_load_explicit(&log->start_offset, memory_order_acquire);
}

int64_t log_end_offset(const struct log *log)
{
    return atomic_load_explicit(&log->end_offset, memory_order_acquire);
}

int64_t log_flushed_offset(const struct log *log)
{
    return atomic_load_explicit(&log->flushed_offset, memory_order_acquire);
}

int64_t log_recovery_point(const struct log *log)
{
    return atomic_load_explicit(&log->recovery_point, memory_order_acquire);
}

int64_t log_first_dirty_offset(const struct log *log)
{
    return atomic_load_explicit(&log->first_dirty_offset, memory_order_relaxed);
}

int64_t log_size_bytes(const struct log *log)
{
    return atomic_load_explicit(&log->size_bytes, memory_order_relaxed);
}

/* Spreads rolls by time, so that many partitions do not roll at once; fixed for a segment. */
int64_t log__jitter(const struct log_config *config, const char *directory, int64_t base_offset)
{
    int64_t bound = min_i64(config->segment_jitter_ms, config->segment_ms);
    if (bound <= 0)
        return 0;
    return (int64_t)((hash_bytes(slice_str(directory)) ^ hash_u64((uint64_t)base_offset)) % (uint64_t)bound);
}

/* ---- the list of segments */
struct log_segment *log__active(const struct log *log)
{
    assert(log->segment_count > 0);
    return log->segments[log->segment_count - 1];
}

void log__segment_add(struct log *log, struct log_segment *segment)
{
    struct log_segment **old = NULL, **grown = NULL;
    if (log->segment_count == log->segment_capacity)
        grown = mem_alloc((size_t)(log->segment_capacity * 2 + 4) * sizeof *grown);
    io_lock_take(log->lock);
    assert(log->segment_count == 0 || log__active(log)->base_offset < segment->base_offset);
    if (grown) {
        if (log->segment_count > 0)
            memcpy(grown, log->segments, (size_t)log->segment_count * sizeof *grown);
        old = log->segments;
        log->segments = grown;
        log->segment_capacity = log->segment_capacity * 2 + 4;
    }
    log->segments[log->segment_count++] = segment;
    io_lock_release(log->lock);
    mem_free(old);
    log->jitter_ms = log__jitter(&log->config, log->directory, segment->base_offset);
}

/* Index of the last segment with base <= offset; 0 when all are above. Under the lock. */
static int segment_floor(const struct log *log, int64_t offset)
{
    int low = 0, high = log->segment_count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (log->segments[middle]->base_offset > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low > 0 ? low - 1 : 0;
}

static struct log_mark mark_of(const struct log *log, int64_t offset)
{
    for (int i = 0; i < LOG_MARKS; i++)
        if (log->marks[i].offset == offset)
            return log->marks[i];
    return (struct log_mark){.offset = -1};
}

void log__mark(struct log *log, int64_t offset, int64_t segment_base, int64_t position)
{
    if (mark_of(log, offset).offset == offset)
        return;
    log->marks[log->mark_next] = (struct log_mark){offset, segment_base, position};
    log->mark_next = (log->mark_next + 1) % LOG_MARKS;
}

void log__view(struct log *log, int64_t offset, int64_t limit_offset, struct log_view *ret_view)
{
    io_lock_take(log->lock);
    int at = segment_floor(log, offset);
    struct log_segment *segment = log->segments[at];
    segment__ref(segment);
    *ret_view = (struct log_view){
        .segment = segment,
        .end_offset = log_end_offset(log),
        .size_bytes = segment__size(segment),
        .is_active = at == log->segment_count - 1,
        .from = mark_of(log, offset),
        .limit = mark_of(log, limit_offset),
    };
    io_lock_release(log->lock);
}

struct log_segment *log__segment_after(struct log *log, int64_t base_offset)
{
    struct log_segment *segment = NULL;
    io_lock_take(log->lock);
    int at = segment_floor(log, base_offset);
    if (log->segments[at]->base_offset <= base_offset)
        at++;
    if (at < log->segment_count) {
        segment = log->segments[at];
        segment__ref(segment);
    }
    io_lock_release(log->lock);
    return segment;
}

/* ---- opening and closing */
static struct log *make(const struct log_open_options *options)
{
    struct log *log = mem_zalloc(sizeof *log);
    log->directory = mem_strdup(options->directory);
    log->config = *options->config;
    log->lock = io_lock_create();
    log->flush_lock = io_lock_create();
    log->snapshot_offset = -1;
    log->unflushed = options->unflushed;
    log->files = options->files;
    atomic_store(&log->first_dirty_offset, max_i64(options->first_dirty_offset, 0));
    atomic_store(&log->unstable_offset, -1);
    for (int i = 0; i < LOG_MARKS; i++)
        log->marks[i].offset = -1;
    hash_init(&log->producers);
    list_init(&log->producers_in_use);
    return log;
}

bool log_is_prepared(const struct log *log)
{
    return log->is_prepared;
}

static struct status prepare(struct log *log)
{
    struct log_segment *active = log__active(log);
    int64_t timestamp_ms, offset;
    TRY(segment__max_timestamp(active, &timestamp_ms, &offset));
    if (active->first_timestamp_ms < 0)
        TRY(segment__first_timestamp(active, &active->first_timestamp_ms));
    if (log->epochs_are_unsaved)
        TRY(epochs__save(log));
    log->epochs_are_unsaved = false;
    log->is_prepared = true;
    return STATUS_OK;
}

struct status log_prepare(struct log *log)
{
    if (log->is_prepared)
        return STATUS_OK;
    if (log_is_offline(log))
        return STATUS(EIO, "prepare a log that is offline");
    struct status s = prepare(log);
    if (!status_is_ok(s))
        log__fault(log, s);
    return s;
}

/* Without a clean stop the directory may be there by name only: a kill between making it and syncing its name. */
static struct status directory_make(const struct log_open_options *options)
{
    if (options->is_made)
        return STATUS_OK;
    int error = io_mkdir(options->directory);
    if (error == -EEXIST)
        return options->clean_stop ? STATUS_OK : file__sync_dir_of(options->directory);
    return error < 0 ? STATUS(-error, "make a partition's directory") : file__sync_dir_of(options->directory);
}

struct status log_open(const struct log_open_options *options, struct log **ret_log)
{
    TRY(directory_make(options));
    struct log *log = make(options);
    struct status s = epochs__load(log);
    if (status_is_ok(s))
        s = recovery__run(log, options);
    if (status_is_ok(s) && !options->is_lazy)
        s = prepare(log);
    if (!status_is_ok(s)) {
        log_free(log);
        return s;
    }
    assert(log->segment_count > 0 && log_start_offset(log) <= log_end_offset(log));
    *ret_log = log;
    return STATUS_OK;
}

/* Without an append since a lazy opening there is nothing that the opening has not left on the disk. */
static struct status close_write(struct log *log)
{
    if (!log->is_prepared && log_recovery_point(log) == log_end_offset(log))
        return STATUS_OK;
    TRY(log_prepare(log));
    struct log_segment *active = log__active(log);
    TRY(index__last_time(active));
    TRY(segment_file__truncate(active, SEGMENT_LOG, segment__size(active))); // what was preallocated
    return log_checkpoint(log);
}

struct status log_close_clean(struct log *log)
{
    if (log_is_offline(log))
        return STATUS(EIO, "close a log that is offline");
    struct status s = close_write(log);
    if (!status_is_ok(s))
        log__take_offline(log, s);
    return s;
}

void log_free(struct log *log)
{
    if (!log)
        return;
    log__flushed_move(log, atomic_load(&log->written_bytes)); // no longer anything to flush
    for (int i = 0; i < log->segment_count; i++)
        segment__unref(log->segments[i]);
    for (struct doomed *doomed = log->doomed, *next; doomed; doomed = next) {
        next = doomed->next;
        segment__unref(doomed->segment);
        mem_free(doomed);
    }
    producers__clear(log);
    mem_free(log->segments);
    mem_free(log->decided);
    mem_free(log->epochs);
    mem_free(log->directory);
    mem_free(log->directory_before);
    io_lock_destroy(log->lock);
    io_lock_destroy(log->flush_lock);
    mem_free(log);
}

/* ---- the end of a partition. A flush that runs still uses the directory's path, so it is waited for. */
static struct status rename_for_delete(struct log *log)
{
    char *renamed;
    TRY(dir_partition_rename(log->directory, "delete", &renamed));
    mem_free(log->directory);
    log->directory = renamed;
    return STATUS_OK;
}

struct status log_rename_for_delete(struct log *log)
{
    io_lock_take(log->flush_lock);
    atomic_store(&log->offline, true); // its paths are going: nothing is written any more
    log__flushed_move(log, atomic_load(&log->written_bytes));
    struct status s = rename_for_delete(log);
    io_lock_release(log->flush_lock);
    return s;
}

struct status log_delete_files(struct log *log)
{
    return dir_partition_delete(log->directory);
}
