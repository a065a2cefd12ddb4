// SPDX-License-Identifier: Apache-2.0
/* storage/scan.c - one segment is read from a point to its end: CRC of each batch, index entries, leader epochs and
 * producers as if it were appended again; the first bytes that are no batch end it.
 *
 * Only what lies above the promised offset may be cut, and it is copied aside before the file shrinks.
 */
#include "storage/scan.h"

void scan__free(struct scan *scan)
{
    window__free(&scan->window);
}

struct found {
    struct slice batch;
    const uint8_t *head; // as format 2 has it
};

/* The batch at the position; false where there is no intact one. */
static struct status intact_batch(struct scan *scan, struct found *ret_found, bool *ret_is_found)
{
    TRY(window__batch(&scan->window, &ret_found->batch, &ret_found->head));
    const uint8_t *h = ret_found->head;
    *ret_is_found = !slice_is_null(ret_found->batch) && record_batch_base_offset(h) >= scan->segment->base_offset &&
                    record_batch_last_delta(h) >= 0 &&
                    record_batch_next_offset(h) - 1 - scan->segment->base_offset <= INT32_MAX;
    return STATUS_OK;
}

/* The same where it continues the log. */
static struct status next_batch(struct scan *scan, struct found *ret_found, bool *ret_is_found)
{
    TRY(intact_batch(scan, ret_found, ret_is_found));
    *ret_is_found = *ret_is_found && record_batch_base_offset(ret_found->head) >= scan->next_offset;
    return STATUS_OK;
}

/* After a failed sync the page cache may call bytes clean that the disk does not have. What is above the flushed mark, or,
 * where none is known, the recovery point, is written again, so that the sync at the end of recovery saves it whatever
 * happened before.
 */
static struct status rewrite(struct scan *scan, const struct found *found)
{
    if (record_batch_next_offset(found->head) <= scan->rewrite_from)
        return STATUS_OK;
    return segment_file__write(scan->segment, SEGMENT_LOG, found->batch.data, found->batch.size, scan->window.position);
}

static struct status take(struct scan *scan, const struct found *found)
{
    struct record_facts facts;
    struct slice batch = found->batch;
    record_facts_read(slice_of(found->head, RECORD_BATCH_HEAD_BYTES), &facts);
    int64_t base = record_batch_base_offset(found->head);
    TRY(rewrite(scan, found));
    scan->new_epoch |= epochs__note(scan->log, record_batch_leader_epoch(found->head), base);
    TRY(index__note(scan->segment, &scan->log->config, base + facts.last_delta, scan->window.position,
                    (int64_t)batch.size, facts.max_timestamp_ms));
    if (base >= scan->replay_from)
        TRY(producers__note(scan->log, batch, &facts, base, true));
    scan->window.position += (int64_t)batch.size;
    scan->next_offset = base + facts.last_delta + 1;
    return STATUS_OK;
}

/* ---- cutting */
static struct status only_zeros(struct scan *scan, bool *ret_only_zeros)
{
    int64_t back = scan->window.position;
    *ret_only_zeros = true;
    while (*ret_only_zeros && scan->window.position < scan->window.limit) {
        struct slice bytes;
        TRY(window__peek(&scan->window, WINDOW_CHUNK_BYTES, &bytes));
        for (size_t i = 0; i < bytes.size && *ret_only_zeros; i++)
            *ret_only_zeros = bytes.data[i] == 0;
        scan->window.position += (int64_t)bytes.size;
    }
    scan->window.position = back;
    return STATUS_OK;
}

static struct status keep_aside(struct scan *scan)
{
    char path[SEGMENT_PATH_BYTES], suffix[32];
    snprintf(suffix, sizeof suffix, ".%lld.cut", (long long)scan->window.position);
    segment__path(scan->segment, suffix, path);
    int file = io_open(path, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    if (file < 0)
        return STATUS(-file, "keep a cut tail aside");
    struct status s = STATUS_OK;
    int64_t cut_at = scan->window.position;
    while (status_is_ok(s) && scan->window.position < scan->window.limit) {
        struct slice bytes;
        s = window__peek(&scan->window, WINDOW_CHUNK_BYTES, &bytes);
        if (status_is_ok(s))
            s = file__write_all(file, bytes.data, bytes.size, scan->window.position - cut_at);
        scan->window.position += status_is_ok(s) ? (int64_t)bytes.size : 0;
    }
    scan->window.position = cut_at;
    if (status_is_ok(s) && io_fdatasync(file) < 0)
        s = STATUS(EIO, "keep a cut tail aside");
    io_close(file);
    TRY(s);
    LOG(LOG_WARN, "storage", "cut %lld bytes off %s.log at %lld (offset %lld): no intact batch there; kept as %s",
        (long long)(scan->window.limit - cut_at), scan->segment->stem, (long long)cut_at, (long long)scan->next_offset,
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
            scan->segment->stem, (long long)scan->window.position, (long long)scan->next_offset,
            (long long)scan->promised);
        return STATUS(EIO, "recover a segment: corrupt below the flushed mark");
    }
    TRY(only_zeros(scan, &is_preallocated));
    if (!is_preallocated)
        TRY(keep_aside(scan));
    return segment_file__truncate(scan->segment, SEGMENT_LOG, scan->window.position);
}

/* ---- scanning */
/* Whether the index is right about its last entry: an intact batch lies there and ends with that offset, and what lies
 * before it has offsets of its own. */
static struct status agrees(struct scan *scan, const struct index_entry *place, bool *ret_agrees)
{
    struct found found = {0};
    *ret_agrees = false;
    if (place->value >= scan->window.limit)
        return STATUS_OK;
    scan->window.position = place->value;
    TRY(intact_batch(scan, &found, ret_agrees));
    int64_t expected = scan->segment->base_offset + (int64_t)place->key;
    *ret_agrees = *ret_agrees && record_batch_next_offset(found.head) - 1 == expected &&
                  (place->value == 0 || record_batch_base_offset(found.head) > scan->segment->base_offset);
    return STATUS_OK;
}

/* The index up to the recovery point was synced with it: the scan starts at its last entry, or else at the beginning. */
struct status scan__start(struct scan *scan, int64_t recovery_point)
{
    struct log_segment *segment = scan->segment;
    TRY(index__truncate(segment, recovery_point, INT64_MAX));
    struct index_entry place, time;
    bool placed, timed;
    TRY(index__last(segment, INDEX_OFFSET, &place, &placed));
    if (placed)
        TRY(agrees(scan, &place, &placed));
    if (!placed)
        TRY(index__truncate(segment, segment->base_offset, 0));
    TRY(index__last(segment, INDEX_TIME, &time, &timed));
    io_lock_take(segment->lock);
    segment->max_timestamp_ms = timed ? (int64_t)time.key : -1;
    segment->max_timestamp_offset = timed ? segment->base_offset + time.value : -1;
    segment->max_timestamp_known = true;
    io_lock_release(segment->lock);
    segment->bytes_since_index = 0;
    scan->window.position = placed ? place.value : 0;
    return STATUS_OK;
}

/* Offset of the batch at the scan's position. */
struct status scan__first_offset(struct scan *scan, int64_t *ret_offset)
{
    struct slice bytes;
    TRY(window__peek(&scan->window, RECORD_BATCH_HEAD_BYTES, &bytes));
    const uint8_t *head = scan->window.position > 0 ? record_stored_head(bytes, scan->window.head) : NULL;
    *ret_offset = head ? record_batch_base_offset(head) : scan->segment->base_offset;
    return STATUS_OK;
}

static bool is_cancelled(const struct log_open_options *options)
{
    return options->cancel && atomic_load(options->cancel);
}

struct status scan__to_end(struct scan *scan, const struct log_open_options *options, bool *ret_was_cut)
{
    while (scan->window.position < scan->window.limit) {
        struct found found = {0};
        bool is_found;
        if (is_cancelled(options))
            return STATUS(ECANCELED, "recover a segment");
        TRY(next_batch(scan, &found, &is_found));
        if (!is_found)
            break;
        TRY(take(scan, &found));
    }
    *ret_was_cut = scan->window.position < scan->window.limit;
    if (*ret_was_cut)
        TRY(cut_tail(scan));
    atomic_store(&scan->segment->size_bytes, scan->window.position);
    return index__last_time(scan->segment);
}

/* After a failed sync the page cache may hold what the disk does not. */
static struct status forget_cached(struct log_segment *segment)
{
    int handle;
    TRY(segment_file__get(segment, SEGMENT_LOG, 0, &handle));
    io_fadvise_cold(handle, 0, 0);
    segment_file__put(segment, SEGMENT_LOG);
    return STATUS_OK;
}

struct status scan__enter(struct scan *scan, struct log_segment *segment)
{
    scan->segment = segment;
    window__begin(&scan->window, segment, 0, segment__size(segment));
    scan->next_offset = max_i64(scan->next_offset, segment->base_offset);
    return forget_cached(segment);
}
