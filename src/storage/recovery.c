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

static struct status scan_segments(struct log *log, const struct log_open_options *options, struct scan *scan)
{
    int first = segment_at(log, scan->next_offset);
    for (int i = 0; i < first; i++)
        atomic_store(&log->segments[i]->synced, true);
    for (int i = first; i < log->segment_count; i++) {
        bool was_cut = false;
        scan__enter(scan, log->segments[i]);
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
    return STATUS_OK;
}

static struct status recover(struct log *log, const struct log_open_options *options)
{
    struct scan scan CLEANUP(scan__free) = {.log = log};
    scan.promised = max_i64(options->flushed_offset, 0);
    scan.rewrites = options->flushed_offset >= 0;
    scan.next_offset = options->recovery_point;
    TRY(scan_segments(log, options, &scan));
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

/* EBADMSG: the mark lied, so the last segment is scanned. */
static struct status believe(struct log *log, const struct log_open_options *options)
{
    struct log_segment *active = log__active(log);
    int64_t end = active->base_offset, size = segment__size(active);
    struct index_entry place;
    bool placed;
    TRY(index__last(active, INDEX_OFFSET, &place, &placed));
    if (placed && place.value >= size)
        return STATUS(EBADMSG, "read an index: it points past its segment");
    TRY(segment__heads(active, placed ? place.value : 0, size, last_head, &end, NULL));
    if (options->flushed_offset > end)
        return STATUS(EIO, "open a log: it ends below the flushed mark");
    for (int i = 0; i + 1 < log->segment_count; i++) {
        atomic_store(&log->segments[i]->synced, true);
        log->segments[i]->indexes_synced = true;
    }
    atomic_store(&log->end_offset, end);
    atomic_store(&log->flushed_offset, end);
    atomic_store(&log->recovery_point, end);
    return recovery__producers(log, end, options->now_ms);
}

/* ---- what lies in the directory */
struct listing {
    struct log *log;
    int64_t *bases;
    int count, capacity;
    bool has_swap;
};

static void listing_free(struct listing *listing)
{
    mem_free(listing->bases);
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t size = strlen(name), suffix_size = strlen(suffix);
    return size >= suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
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
    if (strlen(name) != 24 || !ends_with(name, ".log") || strspn(name, "0123456789") != 20)
        return;
    int64_t base = 0;
    for (int i = 0; i < 20 && base <= INT64_MAX / 10 - 1; i++)
        base = base * 10 + (name[i] - '0');
    if (listing->count == listing->capacity) {
        listing->capacity = listing->capacity ? listing->capacity * 2 : 8;
        listing->bases = mem_realloc(listing->bases, (size_t)listing->capacity * sizeof *listing->bases);
    }
    listing->bases[listing->count++] = base;
}

static void sort(struct listing *listing)
{
    for (int i = 1; i < listing->count; i++) {
        int64_t base = listing->bases[i];
        int at = i;
        for (; at > 0 && listing->bases[at - 1] > base; at--)
            listing->bases[at] = listing->bases[at - 1];
        listing->bases[at] = base;
    }
}

static struct status open_segments(struct log *log, const struct log_open_options *options)
{
    struct listing listing CLEANUP(listing_free) = {.log = log};
    int error = io_list_dir(log->directory, list_file, &listing);
    if (error < 0)
        return STATUS(-error, "list a partition's directory");
    if (listing.has_swap)
        return STATUS(ENOTSUP,
                      "open a log: a compaction was cut short (.swap files); start Apache Kafka once to finish it");
    sort(&listing);
    for (int i = 0; i < listing.count; i++) {
        struct log_segment *segment;
        TRY(segment__open(log, listing.bases[i], options->now_ms, &segment));
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

static struct status first_timestamp(struct log_segment *segment)
{
    uint8_t head[RECORD_BATCH_HEAD_BYTES];
    if (segment__size(segment) < (int64_t)sizeof head)
        return STATUS_OK;
    TRY(file__read_exactly(segment->file, head, sizeof head, 0));
    segment->first_timestamp_ms = record_batch_max_timestamp(head);
    return STATUS_OK;
}

static struct status settle(struct log *log, const struct log_open_options *options)
{
    int64_t timestamp_ms, offset, end = log_end_offset(log), size = 0;
    int64_t start = max_i64(options->start_offset, log->segments[0]->base_offset);
    for (int i = 0; i < log->segment_count; i++)
        size += segment__size(log->segments[i]);
    atomic_store(&log->size_bytes, size);
    TRY(segment__max_timestamp(log__active(log), &timestamp_ms, &offset));
    TRY(first_timestamp(log__active(log)));
    if (start > end) { // DeleteRecords had moved past what was kept
        TRY(segment__max_timestamp(log__active(log), &timestamp_ms, &offset));
        TRY(begin_at(log, start, options->now_ms));
    }
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
