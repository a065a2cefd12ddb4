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
#include "storage/storage__.h"

enum { CHUNK_BYTES = 1 << 20 };

/* ---- a window over the file that is scanned */
struct scan {
    struct log *log;
    struct log_segment *segment;
    int64_t file_size, position, next_offset, replay_from, promised; // replay_from: producers know what is below
    struct buffer chunk;
    int64_t chunk_at;
    bool new_epoch;
};

static void scan_free(struct scan *scan)
{
    buffer_free(&scan->chunk);
}

/* At least `size` bytes at the scan's position, fewer at the end of the file. */
static struct status window(struct scan *scan, int64_t size, struct slice *ret_bytes)
{
    int64_t left = scan->file_size - scan->position, have = scan->chunk_at + (int64_t)scan->chunk.size - scan->position;
    int64_t wanted = min_i64(size, left);
    if (scan->position < scan->chunk_at || have < wanted) {
        int64_t read = min_i64(max_i64(wanted, CHUNK_BYTES), left);
        scan->chunk.size = 0;
        buffer_reserve(&scan->chunk, (size_t)read + 1);
        TRY(file__read_exactly(scan->segment->file, scan->chunk.data, (size_t)read, scan->position));
        scan->chunk.size = (size_t)read;
        scan->chunk_at = scan->position;
        have = read;
    }
    *ret_bytes = slice_of(scan->chunk.data + (scan->position - scan->chunk_at), (size_t)min_i64(have, wanted));
    return STATUS_OK;
}

/* The batch at the position; found=false where there is no intact one that continues the log. */
static struct status next_batch(struct scan *scan, struct slice *ret_batch, bool *ret_found)
{
    *ret_found = false;
    TRY(window(scan, RECORD_BATCH_HEAD_BYTES, ret_batch));
    if (ret_batch->size < RECORD_BATCH_HEAD_BYTES)
        return STATUS_OK;
    int64_t size = record_batch_size(ret_batch->data);
    if (size < RECORD_BATCH_HEAD_BYTES || size > scan->file_size - scan->position)
        return STATUS_OK;
    TRY(window(scan, size, ret_batch));
    const uint8_t *b = ret_batch->data;
    *ret_found = record_batch_is_intact(*ret_batch) && record_batch_base_offset(b) >= scan->next_offset &&
                 record_batch_last_delta(b) >= 0 &&
                 record_batch_next_offset(b) - 1 - scan->segment->base_offset <= INT32_MAX;
    return STATUS_OK;
}

static struct status take(struct scan *scan, struct slice batch)
{
    struct record_facts facts;
    record_facts_read(batch, &facts);
    int64_t base = record_batch_base_offset(batch.data);
    scan->new_epoch |= epochs__note(scan->log, record_batch_leader_epoch(batch.data), base);
    TRY(index__note(scan->segment, &scan->log->config, base + facts.last_delta, scan->position, (int64_t)batch.size,
                    facts.max_timestamp_ms));
    if (base >= scan->replay_from)
        TRY(producers__note(scan->log, batch, &facts, base, true));
    scan->position += (int64_t)batch.size;
    scan->next_offset = base + facts.last_delta + 1;
    return STATUS_OK;
}

/* ---- cutting */
static struct status only_zeros(struct scan *scan, bool *ret_only_zeros)
{
    int64_t back = scan->position;
    *ret_only_zeros = true;
    while (*ret_only_zeros && scan->position < scan->file_size) {
        struct slice bytes;
        TRY(window(scan, CHUNK_BYTES, &bytes));
        for (size_t i = 0; i < bytes.size && *ret_only_zeros; i++)
            *ret_only_zeros = bytes.data[i] == 0;
        scan->position += (int64_t)bytes.size;
    }
    scan->position = back;
    return STATUS_OK;
}

static struct status keep_aside(struct scan *scan)
{
    char path[SEGMENT_PATH_BYTES], suffix[32];
    snprintf(suffix, sizeof suffix, ".%lld.cut", (long long)scan->position);
    segment__path(scan->segment, suffix, path);
    int file = io_open(path, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    if (file < 0)
        return STATUS(-file, "keep a cut tail aside");
    struct status s = STATUS_OK;
    int64_t cut_at = scan->position;
    while (status_is_ok(s) && scan->position < scan->file_size) {
        struct slice bytes;
        s = window(scan, CHUNK_BYTES, &bytes);
        if (status_is_ok(s))
            s = file__write_all(file, bytes.data, bytes.size, scan->position - cut_at);
        scan->position += status_is_ok(s) ? (int64_t)bytes.size : 0;
    }
    scan->position = cut_at;
    if (status_is_ok(s) && io_fdatasync(file) < 0)
        s = STATUS(EIO, "keep a cut tail aside");
    io_close(file);
    TRY(s);
    LOG(LOG_WARN, "storage", "cut %lld bytes off %s.log at %lld (offset %lld): no intact batch there; kept as %s",
        (long long)(scan->file_size - cut_at), scan->segment->stem, (long long)cut_at, (long long)scan->next_offset,
        path);
    return file__sync_dir_of(path);
}

static struct status cut_tail(struct scan *scan)
{
    bool is_preallocated;
    if (scan->next_offset < scan->promised) {
        LOG(LOG_ERROR, "storage",
            "%s.log is corrupt at position %lld, offset %lld, but was flushed up to %lld: the partition goes offline, "
            "nothing is deleted",
            scan->segment->stem, (long long)scan->position, (long long)scan->next_offset, (long long)scan->promised);
        return STATUS(EIO, "recover a segment: corrupt below the flushed mark");
    }
    TRY(only_zeros(scan, &is_preallocated));
    if (!is_preallocated)
        TRY(keep_aside(scan));
    int error = io_truncate(scan->segment->file, scan->position);
    return error < 0 ? STATUS(-error, "cut a segment") : STATUS_OK;
}

/* Segments behind a cut: their bytes follow a hole, so they are kept aside whole. */
static struct status set_aside(struct log *log, int first)
{
    while (log->segment_count > first) {
        struct log_segment *segment = log__active(log);
        char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
        segment__path(segment, ".log", from);
        segment__path(segment, ".0.cut", to);
        int error = io_rename(from, to);
        if (error < 0)
            return STATUS(-error, "set a segment aside");
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

/* ---- scanning */
struct first_head {
    int64_t expected_last_offset;
    bool fits;
};

static bool check_head(void *context, const uint8_t *head, int64_t position)
{
    (void)position;
    struct first_head *check = context;
    check->fits = record_batch_next_offset(head) - 1 == check->expected_last_offset;
    return false;
}

/* The index up to the recovery point was synced with it: the scan starts at its last entry, if a batch is there. */
static struct status start_in_segment(struct scan *scan, int64_t recovery_point)
{
    struct log_segment *segment = scan->segment;
    TRY(index__truncate(segment, recovery_point, INT64_MAX));
    struct index_entry place, time;
    bool placed, timed;
    TRY(index__last(segment, INDEX_OFFSET, &place, &placed));
    if (placed) {
        struct first_head check = {.expected_last_offset = segment->base_offset + (int64_t)place.key};
        struct status s = place.value < scan->file_size
                              ? segment__heads(segment, place.value, scan->file_size, check_head, &check, NULL)
                              : STATUS_OK;
        if (s.error != 0 && s.error != EBADMSG)
            return s;
        placed = check.fits;
    }
    if (!placed)
        TRY(index__truncate(segment, segment->base_offset, 0));
    TRY(index__last(segment, INDEX_TIME, &time, &timed));
    io_lock_take(segment->lock);
    segment->max_timestamp_ms = timed ? (int64_t)time.key : -1;
    segment->max_timestamp_offset = timed ? segment->base_offset + time.value : -1;
    segment->max_timestamp_known = true;
    io_lock_release(segment->lock);
    segment->bytes_since_index = 0;
    scan->position = placed ? place.value : 0;
    return STATUS_OK;
}

/* Offset of the batch at the scan's position. */
static struct status first_offset(struct scan *scan, int64_t *ret_offset)
{
    struct slice head;
    TRY(window(scan, RECORD_BATCH_HEAD_BYTES, &head));
    bool whole = head.size == RECORD_BATCH_HEAD_BYTES && scan->position > 0;
    *ret_offset = whole ? record_batch_base_offset(head.data) : scan->segment->base_offset;
    return STATUS_OK;
}

static bool is_cancelled(const struct log_open_options *options)
{
    return options->cancel && atomic_load(options->cancel);
}

static struct status scan_to_end(struct scan *scan, const struct log_open_options *options, bool *ret_was_cut)
{
    while (scan->position < scan->file_size) {
        struct slice batch;
        bool found;
        if (is_cancelled(options))
            return STATUS(ECANCELED, "recover a segment");
        TRY(next_batch(scan, &batch, &found));
        if (!found)
            break;
        TRY(take(scan, batch));
    }
    *ret_was_cut = scan->position < scan->file_size;
    if (*ret_was_cut)
        TRY(cut_tail(scan));
    atomic_store(&scan->segment->size_bytes, scan->position);
    return STATUS_OK;
}

static void scan_enter(struct scan *scan, struct log_segment *segment)
{
    scan->segment = segment;
    scan->file_size = segment__size(segment);
    scan->position = scan->chunk_at = 0;
    scan->chunk.size = 0;
    scan->next_offset = max_i64(scan->next_offset, segment->base_offset);
    io_fadvise_cold(segment->file, 0, 0); // after a failed sync the page cache may hold what the disk does not
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

static struct status scan_segments(struct log *log, const struct log_open_options *options, struct scan *scan)
{
    int first = segment_at(log, scan->next_offset);
    for (int i = 0; i < first; i++)
        atomic_store(&log->segments[i]->synced, true);
    for (int i = first; i < log->segment_count; i++) {
        bool was_cut = false;
        scan_enter(scan, log->segments[i]);
        TRY(start_in_segment(scan, i == first ? options->recovery_point : 0));
        if (i == first) {
            int64_t from, snapshot;
            TRY(first_offset(scan, &from));
            scan->next_offset = from;
            TRY(producers_load(log, from, options->now_ms, &snapshot));
            scan->replay_from = from;
        }
        TRY(transactions__index_truncate(log->segments[i], scan->next_offset));
        int count = log->segment_count; // markers go into the active segment's transaction index: be it this one
        log->segment_count = i + 1;
        struct status s = scan_to_end(scan, options, &was_cut);
        log->segment_count = count;
        TRY(s);
        if (was_cut)
            TRY(set_aside(log, i + 1));
    }
    return STATUS_OK;
}

static struct status recover(struct log *log, const struct log_open_options *options)
{
    struct scan scan CLEANUP(scan_free) = {.log = log};
    scan.promised = max_i64(options->flushed_offset, 0);
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
    bool epochs_changed = epochs__truncate_end(log, max_i64(end, start));
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
