// SPDX-License-Identifier: Apache-2.0
/* storage/recovery.c - what opening a log believes, and what it checks.
 *
 * After a clean stop: everything, only the last heads of the last segment are read. Otherwise every batch from the
 * recovery point on is read and its CRC checked, indexes and producers rebuilt, and the result synced before anyone
 * relies on it.
 *
 *   bad bytes below the flushed mark (or the recovery point)  a disk lost what it had promised: EIO, nothing is touched
 *   bad bytes above it                                        a torn tail: kept aside as <segment>.<position>.cut, cut off
 *   zeros above it up to the end of the file                  a preallocated tail: trimmed
 */
#include "storage/scan.h"

#include <stdlib.h>

/* Segments behind a cut: their bytes follow a hole, so they are kept aside whole. */
static struct status set_aside(struct log *log, int first)
{
    while (log->segment_count > first) {
        struct log_segment *segment = log__active(log);
        char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
        segment__path(segment, ".log", from);
        segment__path(segment, ".0.cut", to);
        bool is_empty = segment__size(segment) == 0;
        int error = is_empty ? io_unlink(from) : io_rename(from, to);
        if (error < 0)
            return STATUS(-error, "set a segment aside");
        if (!is_empty)
            LOG(LOG_WARN, "storage", "set %s aside as %s: the log ends before it", from, to);
        static const char *const OTHERS[] = {".index", ".timeindex", ".txnindex"};
        for (size_t i = 0; i < COUNT_OF(OTHERS); i++) {
            segment__path(segment, OTHERS[i], from);
            io_unlink(from); // may not exist
        }
        io_lock_take(log->lock);
        log->segment_count--;
        io_lock_release(log->lock);
        segment__unref(segment);
    }
    return STATUS_OK;
}

/* ---- producers */
struct replay {
    struct log *log;
    struct log_segment *segment;
    int64_t from, to;
    struct status status;
    struct buffer batch;
};

static bool replay_head(void *context, const uint8_t *head, int64_t position)
{
    struct replay *replay = context;
    int64_t base = record_batch_base_offset(head);
    if (base >= replay->to)
        return false;
    if (base < replay->from || record_batch_producer_id(head) < 0)
        return true;
    struct record_facts facts;
    struct slice bytes = slice_of(head, RECORD_BATCH_HEAD_BYTES);
    record_facts_read(bytes, &facts);
    if (facts.is_control) {
        replay->status = segment__read_batch(replay->segment, position, record_batch_size(head), &replay->batch);
        bytes = slice_of(replay->batch.data, replay->batch.size);
    }
    if (status_is_ok(replay->status))
        replay->status = producers__note(replay->log, bytes, &facts, base, false);
    return status_is_ok(replay->status);
}

/* Snapshot, and the heads between it and `to`. */
static struct status producers_load(struct log *log, int64_t to, int64_t now_ms, int64_t *ret_snapshot)
{
    producers__clear(log);
    TRY(producers__snapshot_load(log, to, now_ms, ret_snapshot));
    struct replay replay = {.log = log, .from = *ret_snapshot, .to = to, .status = STATUS_OK};
    struct status s = STATUS_OK;
    for (int i = 0; i < log->segment_count && status_is_ok(s); i++) {
        struct log_segment *segment = log->segments[i];
        bool is_below = i + 1 < log->segment_count && log->segments[i + 1]->base_offset <= replay.from;
        if (is_below || segment->base_offset >= to)
            continue;
        int64_t position, size = segment__size(segment);
        s = index__position(segment, replay.from, &position);
        replay.segment = segment;
        if (status_is_ok(s))
            s = segment__heads(segment, min_i64(position, size), size, replay_head, &replay, NULL);
        s = status_is_ok(s) ? replay.status : s;
    }
    buffer_free(&replay.batch);
    return s;
}

struct status recovery__producers(struct log *log, int64_t end_offset, int64_t now_ms)
{
    int64_t snapshot;
    return producers_load(log, end_offset, now_ms, &snapshot);
}

/* ---- the whole */
static int segment_at(const struct log *log, int64_t offset)
{
    int at = log->segment_count - 1;
    while (at > 0 && log->segments[at]->base_offset > offset)
        at--;
    return at;
}

/* A rolled segment may lose its last batches while the next one's name survives. Compaction leaves holes too, but below the
 * flushed mark; where no mark is known, holes are believed, as Kafka does.
 */
static bool lost_the_end(const struct scan *scan, const struct log_open_options *options, int at)
{
    const struct log *log = scan->log;
    return at + 1 < log->segment_count && log->segments[at + 1]->base_offset > scan->next_offset &&
           options->flushed_offset >= 0 && scan->next_offset >= scan->promised && !log->config.cleanup_compact;
}

/* The first believed hole that has no batch behind it. */
struct hole {
    int segment; // the first behind it; -1: there is none
    int64_t offset;
};

static void note_hole(const struct log *log, const struct scan *scan, int at, struct hole *hole)
{
    if (segment__size(log->segments[at - 1]) > 0)
        hole->segment = -1;
    if (hole->segment < 0 && log->segments[at]->base_offset > scan->next_offset)
        *hole = (struct hole){at, scan->next_offset};
}

/* Empty segments behind a hole hold nothing: the log ends where the hole begins, and its offsets are given again. */
static struct status drop_empty_tail(struct log *log, const struct log_open_options *options, struct scan *scan,
                                     const struct hole *hole)
{
    bool is_above = hole->offset >= options->recovery_point && !log->config.cleanup_compact;
    if (hole->segment < 0 || !is_above || segment__size(log__active(log)) > 0)
        return STATUS_OK;
    scan->next_offset = hole->offset;
    return set_aside(log, hole->segment);
}

static void tell_left(const struct log_open_options *options, int segments)
{
    if (options->segments_left)
        atomic_store(options->segments_left, segments);
}

static struct status scan_segments(struct log *log, const struct log_open_options *options, struct scan *scan)
{
    struct hole hole = {.segment = -1};
    int first = segment_at(log, scan->next_offset);
    for (int i = 0; i < first; i++)
        atomic_store(&log->segments[i]->synced, true);
    for (int i = first; i < log->segment_count; i++) {
        bool was_cut = false;
        tell_left(options, log->segment_count - i);
        if (i > first)
            note_hole(log, scan, i, &hole);
        TRY(scan__enter(scan, log->segments[i]));
        TRY(scan__start(scan, i == first ? options->recovery_point : 0));
        if (i == first) {
            int64_t from, snapshot;
            TRY(scan__first_offset(scan, &from));
            scan->next_offset = from;
            TRY(producers_load(log, from, options->now_ms, &snapshot));
            scan->replay_from = from;
        }
        TRY(transactions__index_truncate(log->segments[i], scan->next_offset));
        int count = log->segment_count; // markers go into the active segment's transaction index: be it this one
        log->segment_count = i + 1;
        struct status s = scan__to_end(scan, options, &was_cut);
        log->segment_count = count;
        TRY(s);
        if (was_cut || lost_the_end(scan, options, i))
            TRY(set_aside(log, i + 1));
    }
    return drop_empty_tail(log, options, scan, &hole);
}

static struct status recover(struct log *log, const struct log_open_options *options)
{
    struct scan scan CLEANUP(scan__free) = {.log = log};
    scan.promised = max_i64(options->flushed_offset, 0);
    scan.rewrite_from = options->flushed_offset >= 0 ? options->flushed_offset : options->recovery_point;
    scan.next_offset = options->recovery_point;
    struct status scanned = scan_segments(log, options, &scan);
    tell_left(options, 0);
    TRY(scanned);
    if (scan.next_offset < scan.promised) {
        LOG(LOG_ERROR, "storage",
            "%s ends at offset %lld, but was flushed up to %lld: the partition goes offline, nothing is deleted",
            log->directory, (long long)scan.next_offset, (long long)scan.promised);
        return STATUS(EIO, "recover a log: it ends below the flushed mark");
    }
    if (scan.new_epoch)
        TRY(epochs__save(log));
    log->directory_dirty = true; // a kill may have come between making a segment and syncing its name
    atomic_store(&log->end_offset, max_i64(scan.next_offset, log__active(log)->base_offset));
    int64_t sure = min_i64(options->recovery_point, log_end_offset(log));
    atomic_store(&log->flushed_offset, sure);
    atomic_store(&log->recovery_point, sure);
    return STATUS_OK;
}

static bool last_head(void *context, const uint8_t *head, int64_t position)
{
    (void)position;
    *(int64_t *)context = record_batch_next_offset(head);
    return true;
}

/* Where a clean stop has left the end, without a look into the segment: the recovery point, when the newest producer
 * snapshot was written there too. -1: they do not agree. */
static int64_t told_end(const struct log *log, const struct log_open_options *options)
{
    const struct log_segment *active = log__active(log);
    if (segment__size(active) == 0)
        return active->base_offset;
    bool agree = options->recovery_point > active->base_offset && log->snapshot_offset == options->recovery_point;
    return agree ? options->recovery_point : -1;
}

static struct status read_end(struct log_segment *active, const struct index_entry *place, bool placed,
                              int64_t *ret_end)
{
    *ret_end = active->base_offset;
    return segment__heads(active, placed ? place->value : 0, segment__size(active), last_head, ret_end, NULL);
}

static void all_is_synced(struct log *log, int64_t end)
{
    for (int i = 0; i < log->segment_count; i++) {
        atomic_store(&log->segments[i]->synced, i + 1 < log->segment_count);
        log->segments[i]->indexes_synced = true;
    }
    atomic_store(&log->end_offset, end);
    atomic_store(&log->flushed_offset, end);
    atomic_store(&log->recovery_point, end);
}

/* EBADMSG: the mark lied, so the last segment is scanned. */
static struct status believe(struct log *log, const struct log_open_options *options)
{
    struct log_segment *active = log__active(log);
    struct index_entry place;
    bool placed;
    int64_t snapshot;
    TRY(index__last(active, INDEX_OFFSET, &place, &placed));
    if (placed && place.value >= segment__size(active))
        return STATUS(EBADMSG, "read an index: it points past its segment");
    producers__clear(log);
    TRY(producers__snapshot_load(log, INT64_MAX, options->now_ms, &snapshot));
    int64_t end = told_end(log, options);
    bool is_told = end >= 0;
    if (!is_told)
        TRY(read_end(active, &place, placed, &end));
    if (options->flushed_offset > end)
        return STATUS(EIO, "open a log: it ends below the flushed mark");
    all_is_synced(log, end);
    return snapshot == end ? STATUS_OK : recovery__producers(log, end, options->now_ms);
}

/* ---- what lies in the directory */
struct bases {
    int64_t *items;
    int count, capacity;
};

struct listing {
    struct log *log;
    struct bases segments, swaps; // <base>.log, <base>.log.swap
    bool has_swap;                // any file with that suffix
};

static void listing_free(struct listing *listing)
{
    mem_free(listing->segments.items);
    mem_free(listing->swaps.items);
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t size = strlen(name), suffix_size = strlen(suffix);
    return size >= suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

/* Adds the base when the name is <20 digits><suffix>. */
static void note_base(struct bases *bases, const char *name, const char *suffix)
{
    if (strspn(name, "0123456789") != 20 || strcmp(name + 20, suffix) != 0)
        return;
    int64_t base = 0;
    for (int i = 0; i < 20 && base <= INT64_MAX / 10 - 1; i++)
        base = base * 10 + (name[i] - '0');
    if (bases->count == bases->capacity) {
        bases->capacity = bases->capacity ? bases->capacity * 2 : 8;
        bases->items = mem_realloc(bases->items, (size_t)bases->capacity * sizeof *bases->items);
    }
    bases->items[bases->count++] = base;
}

static void list_file(void *context, const char *name)
{
    struct listing *listing = context;
    if (ends_with(name, ".deleted") || ends_with(name, ".cleaned") || ends_with(name, ".tmp")) {
        char path[SEGMENT_PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", listing->log->directory, name);
        io_unlink(path); // left over by a stop
        return;
    }
    listing->has_swap |= ends_with(name, ".swap");
    note_base(&listing->segments, name, ".log");
    note_base(&listing->swaps, name, ".log.swap");
}

static int by_value(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static struct status list(struct log *log, struct listing *listing)
{
    listing->log = log;
    listing->segments.count = listing->swaps.count = 0;
    listing->has_swap = false;
    int error = io_list_dir(log->directory, list_file, listing);
    if (listing->segments.count > 1)
        qsort(listing->segments.items, (size_t)listing->segments.count, sizeof(int64_t), by_value);
    if (listing->swaps.count > 1)
        qsort(listing->swaps.items, (size_t)listing->swaps.count, sizeof(int64_t), by_value);
    return error < 0 ? STATUS(-error, "list a partition's directory") : STATUS_OK;
}

/* A .swap file whose log has its name already, or never got it: it takes its place where that is empty. */
static void settle_swap(void *context, const char *name)
{
    const struct log *log = context;
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
    struct io_stat stat;
    if (!ends_with(name, ".swap"))
        return;
    snprintf(from, sizeof from, "%s/%s", log->directory, name);
    snprintf(to, sizeof to, "%.*s", (int)(strlen(from) - strlen(".swap")), from);
    if (io_stat(to, &stat) == 0 && stat.exists)
        io_unlink(from);
    else
        io_rename(from, to);
}

static struct status open_segments(struct log *log, const struct log_open_options *options)
{
    struct listing listing CLEANUP(listing_free) = {0};
    TRY(list(log, &listing));
    if (listing.has_swap) {
        TRY(compact__finish_swaps(log, listing.swaps.items, listing.swaps.count));
        io_list_dir(log->directory, settle_swap, log);
        TRY(list(log, &listing));
    }
    for (int i = 0; i < listing.segments.count; i++) {
        struct log_segment *segment;
        TRY(segment__open(log, listing.segments.items[i], options->now_ms, &segment));
        log__segment_add(log, segment);
    }
    return STATUS_OK;
}

static struct status begin_at(struct log *log, int64_t offset, int64_t now_ms)
{
    struct log_segment *segment;
    TRY(segment__create(log, offset, now_ms, &segment));
    log__segment_add(log, segment);
    atomic_store(&log->end_offset, offset);
    atomic_store(&log->flushed_offset, offset);
    atomic_store(&log->recovery_point, offset);
    if (log->epoch_count > 0) // else the first one brings the file
        TRY(epochs__save(log));
    int error = io_sync_dir(log->directory);
    return error < 0 ? STATUS(-error, "sync a partition's directory") : STATUS_OK;
}

static struct status begin_new(struct log *log, const struct log_open_options *options)
{
    int64_t start = max_i64(options->start_offset, 0);
    if (options->flushed_offset > start)
        return STATUS(EIO, "open a log: it was flushed, but its segments are gone");
    atomic_store(&log->start_offset, start);
    return begin_at(log, start, options->now_ms);
}

static struct status settle(struct log *log, const struct log_open_options *options)
{
    int64_t end = log_end_offset(log), size = 0;
    int64_t start = max_i64(options->start_offset, log->segments[0]->base_offset);
    for (int i = 0; i < log->segment_count; i++)
        size += segment__size(log->segments[i]);
    atomic_store(&log->size_bytes, size);
    if (start > end) // DeleteRecords had moved past what was kept
        TRY(begin_at(log, start, options->now_ms));
    atomic_store(&log->start_offset, start);
    bool epochs_changed =
        epochs__truncate_end(log, max_i64(end, start) + (options->clean_stop ? 1 : 0)); // begun, not written
    epochs_changed |= epochs__truncate_start(log, start);
    if (epochs_changed)
        TRY(epochs__save(log));
    return log_recovery_point(log) < log_end_offset(log) ? log_checkpoint(log) : STATUS_OK;
}

struct status recovery__run(struct log *log, const struct log_open_options *options)
{
    TRY(open_segments(log, options));
    if (log->segment_count == 0)
        return begin_new(log, options);
    struct status s = options->clean_stop ? believe(log, options) : STATUS(EBADMSG, "");
    if (s.error == EBADMSG) {
        struct log_open_options careful = *options;
        int64_t first = log->segments[0]->base_offset, last = log__active(log)->base_offset;
        careful.recovery_point = options->clean_stop ? last : max_i64(options->recovery_point, first);
        if (options->clean_stop)
            LOG(LOG_WARN, "storage", "%s does not look cleanly stopped: %s; its last segment is checked",
                log->directory, s.what);
        s = recover(log, &careful);
    }
    TRY(s);
    TRY(producers__snapshot_tidy(log));
    return settle(log, options);
}
