// SPDX-License-Identifier: Apache-2.0
/* storage/compact_swap.c - compacted segments take the place of the ones they were made from, whatever interrupts it.
 *
 *   1  .cleaned -> .swap, synced       from here on the new segment is the true one
 *   2  old segments -> .deleted, synced
 *   3  .swap -> no suffix, synced
 *
 * In 1 and 3 the .log goes last, after the other names are synced; a new segment has all four files, be its transaction
 * index empty. So a start that finds <base>.log.swap goes on from 2: every old segment that begins inside of it goes, and
 * what still has the suffix is renamed. A .swap without its .log.swap comes from an unfinished 1 and is dropped, as
 * .cleaned is.
 */
#include "storage/compaction__.h"

#include <stdlib.h>

static struct status sync_directory(const struct log *log)
{
    int error = io_sync_dir(log->directory);
    return error < 0 ? STATUS(-error, "sync a partition's directory") : STATUS_OK;
}

/* Where the output's segments begin in the log now; -1 when they are not all there any more. */
static int find(const struct log_compaction *compaction, const struct compaction_output *output)
{
    const struct log *log = compaction->log;
    for (int at = 0; at + output->count < log->segment_count; at++) {
        int same = 0;
        while (same < output->count && log->segments[at + same] == compaction->segments[output->first + same])
            same++;
        if (same == output->count)
            return at;
    }
    return -1;
}

static bool all_are_there(const struct log_compaction *compaction)
{
    for (int i = 0; i < compaction->output_count; i++)
        if (find(compaction, &compaction->outputs[i]) < 0)
            return false;
    return true;
}

static void marks_forget(struct log *log, const struct log_segment *segment, int64_t end_offset)
{
    for (int i = 0; i < LOG_MARKS; i++)
        if (log->marks[i].segment_base >= segment->base_offset && log->marks[i].segment_base < end_offset)
            log->marks[i].offset = -1;
}

/* Readers see the old ones or the new one, never neither: the new one comes into the list as the old ones leave it. */
static void list_swap(struct log *log, struct compaction_output *output, int at)
{
    struct log_segment *fresh = output->segment;
    int64_t end_offset = log->segments[at + output->count]->base_offset, old_bytes = 0;
    io_lock_take(log->lock);
    for (int i = 0; i < output->count; i++)
        old_bytes += segment__size(log->segments[at + i]);
    segment__ref(fresh);
    log->segments[at] = fresh;
    memmove(log->segments + at + 1, log->segments + at + output->count,
            (size_t)(log->segment_count - at - output->count) * sizeof(struct log_segment *));
    log->segment_count -= output->count - 1;
    marks_forget(log, fresh, end_offset);
    io_lock_release(log->lock);
    atomic_fetch_add(&log->size_bytes, segment__size(fresh) - old_bytes);
}

/* An index without entries was only there to replace the old one. */
static struct status drop_empty_index(const struct log_segment *segment)
{
    char path[SEGMENT_PATH_BYTES];
    struct io_stat stat;
    segment__path(segment, ".txnindex", path);
    int error = io_stat(path, &stat);
    if (error == 0 && stat.exists && stat.size_bytes == 0)
        error = io_unlink(path);
    return error < 0 ? STATUS(-error, "drop an empty transaction index") : STATUS_OK;
}

static struct status place_open(struct log_compaction *compaction, struct compaction_output *output, int64_t now_ms)
{
    struct log *log = compaction->log;
    int at = find(compaction, output);
    assert(at >= 0);
    output->is_placed = true;
    TRY(segment__restage(output->segment, ".swap"));
    list_swap(log, output, at);
    for (int i = 0; i < output->count; i++)
        TRY(log__doom(log, compaction->segments[output->first + i], i > 0, now_ms));
    TRY(sync_directory(log));
    TRY(segment__restage(output->segment, ""));
    return drop_empty_index(output->segment);
}

/* Readers come upon it while its names still change, so all its files are open meanwhile. */
static struct status place(struct log_compaction *compaction, struct compaction_output *output, int64_t now_ms)
{
    struct status s = STATUS_OK;
    int held = 0, handle;
    while (held < SEGMENT_FILES && status_is_ok(s)) {
        s = segment_file__get(output->segment, held, 0, &handle);
        held += status_is_ok(s);
    }
    if (status_is_ok(s))
        s = place_open(compaction, output, now_ms);
    while (held > 0)
        segment_file__put(output->segment, --held);
    return s;
}

struct status log_compaction_end(struct log_compaction *compaction, int64_t now_ms)
{
    struct log *log = compaction->log;
    assert(compaction->is_copying && !compaction->is_inside);
    if (log_is_offline(log))
        return STATUS(EIO, "end a compaction of a log that is offline");
    if (!all_are_there(compaction))
        return STATUS_OK;
    for (int i = 0; i < compaction->output_count; i++) {
        struct status s = place(compaction, &compaction->outputs[i], now_ms);
        if (!status_is_ok(s)) {
            log__take_offline(log, s);
            return s;
        }
    }
    atomic_store_explicit(&log->first_dirty_offset, compaction->next_dirty_offset, memory_order_relaxed);
    return producers__snapshot_tidy(log);
}

/* ---- after a stop between 1 and 3 */
static void path_of(const struct log *log, int64_t base, const char *suffix, char ret_path[SEGMENT_PATH_BYTES])
{
    snprintf(ret_path, SEGMENT_PATH_BYTES, "%s/%020lld%s", log->directory, (long long)base, suffix);
}

struct old_ones {
    const struct log *log;
    int64_t from, to;
    struct status status;
};

static void drop_old(void *context, const char *name)
{
    static const char *const SUFFIXES[] = {".log", ".index", ".timeindex", ".txnindex"};
    struct old_ones *old = context;
    char *end;
    long long base = strtoll(name, &end, 10);
    if (end != name + 20 || base < old->from || base >= old->to)
        return;
    for (size_t i = 0; i < COUNT_OF(SUFFIXES); i++) {
        char path[SEGMENT_PATH_BYTES];
        if (strcmp(end, SUFFIXES[i]) != 0)
            continue;
        path_of(old->log, base, SUFFIXES[i], path);
        int error = io_unlink(path);
        if (error < 0 && error != -ENOENT)
            old->status = STATUS(-error, "delete a segment that was compacted");
    }
}

static struct status next_offset_of(const char *path, int64_t base, int64_t *ret_next_offset)
{
    int file = io_open(path, IO_READ);
    if (file < 0)
        return STATUS(-file, "open a compacted segment");
    int64_t size = io_file_size(file), at = 0;
    struct status s = size < 0 ? STATUS((int)-size, "look at a compacted segment") : STATUS_OK;
    for (*ret_next_offset = base; status_is_ok(s) && at + RECORD_MESSAGE_MIN_BYTES <= size;) {
        uint8_t bytes[RECORD_BATCH_HEAD_BYTES], room[RECORD_BATCH_HEAD_BYTES];
        size_t head_bytes = (size_t)min_i64(sizeof bytes, size - at);
        s = file__read_exactly(file, bytes, head_bytes, at);
        const uint8_t *head = status_is_ok(s) ? record_stored_head(slice_of(bytes, head_bytes), room) : NULL;
        if (status_is_ok(s) && !head)
            s = STATUS(EBADMSG, "read a compacted segment");
        if (head)
            *ret_next_offset = record_batch_next_offset(head);
        at += head ? record_batch_size(head) : 0;
    }
    io_close(file);
    return s;
}

static struct status rename_swap(const struct log *log, int64_t base, const char *suffix)
{
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES], swap[32];
    snprintf(swap, sizeof swap, "%s.swap", suffix);
    path_of(log, base, swap, from);
    path_of(log, base, suffix, to);
    int error = io_rename(from, to);
    return error < 0 && error != -ENOENT ? STATUS(-error, "put a compacted segment in place") : STATUS_OK;
}

static struct status finish_one(struct log *log, int64_t base)
{
    char path[SEGMENT_PATH_BYTES];
    path_of(log, base, ".log.swap", path);
    struct old_ones old = {.log = log, .from = base + 1, .status = STATUS_OK}; // at the base itself renaming replaces
    TRY(next_offset_of(path, base, &old.to));
    int error = io_list_dir(log->directory, drop_old, &old);
    TRY(error < 0 ? STATUS(-error, "list a partition's directory") : old.status);
    TRY(rename_swap(log, base, ".index"));
    TRY(rename_swap(log, base, ".timeindex"));
    TRY(rename_swap(log, base, ".txnindex"));
    TRY(sync_directory(log));
    TRY(rename_swap(log, base, ".log"));
    LOG(LOG_INFO, "storage", "%s: finished a compaction that was cut short at offset %lld", log->directory,
        (long long)base);
    return sync_directory(log);
}

struct status compact__finish_swaps(struct log *log, const int64_t *bases, int count)
{
    for (int i = 0; i < count; i++)
        TRY(finish_one(log, bases[i]));
    return STATUS_OK;
}
