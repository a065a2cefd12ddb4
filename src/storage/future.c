// SPDX-License-Identifier: Apache-2.0
/* storage/future.c - a log moves to another log directory: the copy that follows it there, and takes its place.
 *
 *   step      bytes of the oldest segment that is not whole there yet, without the turn: <base>.log.cleaned
 *   complete  a sealed segment is all there: its other files follow, all are synced, and all lose the suffix
 *   finish    with the turn: the same for the active segment, so that nothing is missing and all is synced
 *   replace   old directory -> ...-delete, synced; ...-future -> <topic>-<partition>, synced
 *
 * True at any time: what has no suffix is whole and synced, so Apache Kafka opens an unfinished future as its own (it drops
 * .cleaned files). Between the two renames the log's only name is that of its future, and the old one still has every
 * byte; the metadata names the new directory by then (broker/moves.c), and the next start takes the future for the log.
 *
 * Segments keep their bounds, and pieces end where batches end. A segment is known by its struct: one that compaction has
 * put in another's place is copied anew, one that retention has taken away goes here too. What an earlier life has left is
 * not believed but compared: it need not have been synced.
 */
#include "storage/storage__.h"

enum { PIECE_BYTES = 1 << 20, BATCH_MIN_BYTES = 26 }; // a message of format 0 with neither key nor value
#define MAKING ".cleaned"
static const char *const SIDE_FILES[] = {".index", ".timeindex", ".txnindex", ".snapshot"};

struct copied {
    struct log_segment *source; // held
    int64_t size_bytes, next_offset;
    int64_t there_bytes; // left by an earlier life, still to be compared
    int file;            // -1: closed
    bool is_whole;
};

struct log_future {
    struct log *log;
    char *directory;
    struct copied *items; // in order
    int count, capacity;
    int64_t truncations; // of the log, when they were last looked at
    bool is_at_fault, is_finished;
    struct buffer piece, there;
};

/* Failures of the future's own disk are told apart from the log's. */
static struct status ours(struct log_future *future, struct status s)
{
    future->is_at_fault |= !status_is_ok(s);
    return s;
}

static struct status ours_if(struct log_future *future, int64_t result, const char *what)
{
    return result < 0 ? ours(future, STATUS((int)-result, what)) : STATUS_OK;
}

static void path_of(const struct log_future *future, int64_t base, const char *suffix, const char *stage,
                    char ret_path[SEGMENT_PATH_BYTES])
{
    snprintf(ret_path, SEGMENT_PATH_BYTES, "%s/%020lld%s%s", future->directory, (long long)base, suffix, stage);
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t size = strlen(name), suffix_size = strlen(suffix);
    return size >= suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

/* ---- beginning: what is there already */
struct leftovers {
    const struct log_future *future;
    int error;
};

/* Logs wait to be compared, all else is made again. */
static void take_leftover(void *context, const char *name)
{
    struct leftovers *leftovers = context;
    char path[SEGMENT_PATH_BYTES], making[SEGMENT_PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/%s", leftovers->future->directory, name);
    if (strcmp(name, "partition.metadata") == 0 || ends_with(name, ".log" MAKING))
        return;
    snprintf(making, sizeof making, "%s%s", path, MAKING);
    int error = ends_with(name, ".log") ? io_rename(path, making) : io_unlink(path);
    if (error < 0)
        leftovers->error = error;
}

struct status log_future_create(struct log *log, const char *directory, struct log_future **ret_future)
{
    struct log_future *future = mem_zalloc(sizeof *future);
    future->log = log;
    future->directory = mem_strdup(directory);
    future->truncations = log->truncations;
    struct leftovers leftovers = {.future = future};
    int error = io_list_dir(directory, take_leftover, &leftovers);
    error = error < 0 ? error : leftovers.error;
    if (error < 0) {
        log_future_free(future);
        return STATUS(-error, "look at what there is of a moved log");
    }
    *ret_future = future;
    return STATUS_OK;
}

static void file_close(struct copied *copied)
{
    if (copied->file >= 0)
        io_close(copied->file);
    copied->file = -1;
}

void log_future_free(struct log_future *future)
{
    if (!future)
        return;
    for (int i = 0; i < future->count; i++) {
        file_close(&future->items[i]);
        segment__unref(future->items[i].source);
    }
    buffer_free(&future->piece);
    buffer_free(&future->there);
    mem_free(future->items);
    mem_free(future->directory);
    mem_free(future);
}

bool log_future_is_at_fault(const struct log_future *future)
{
    return future->is_at_fault;
}

struct log_future_progress log_future_progress(const struct log_future *future)
{
    struct log_future_progress progress = {0};
    bool is_synced = true;
    for (int i = 0; i < future->count; i++) {
        progress.size_bytes += future->items[i].size_bytes;
        progress.end_offset = future->items[i].next_offset;
        is_synced = is_synced && future->items[i].is_whole;
        if (is_synced)
            progress.synced_offset = future->items[i].next_offset;
    }
    return progress;
}

/* ---- what is next */
static struct status drop(struct log_future *future, int at)
{
    static const char *const STAGES[] = {"", MAKING};
    struct copied *copied = &future->items[at];
    int64_t base = copied->source->base_offset;
    int error = 0;
    file_close(copied);
    for (size_t stage = 0; stage < COUNT_OF(STAGES); stage++)
        for (int i = -1; i < (int)COUNT_OF(SIDE_FILES); i++) {
            char path[SEGMENT_PATH_BYTES];
            path_of(future, base, i < 0 ? ".log" : SIDE_FILES[i], STAGES[stage], path);
            int unlinked = io_unlink(path);
            error = unlinked < 0 && unlinked != -ENOENT ? unlinked : error;
        }
    segment__unref(copied->source);
    memmove(copied, copied + 1, (size_t)(future->count - at - 1) * sizeof *copied);
    future->count--;
    return ours_if(future, error, "drop a segment that its log has no more");
}

/* Under the log's lock. */
static bool is_listed(const struct log *log, const struct log_segment *segment)
{
    int low = 0, high = log->segment_count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (log->segments[middle]->base_offset < segment->base_offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < log->segment_count && log->segments[low] == segment;
}

/* The first that the log has no more; -1: none. After a truncation all are: what lay behind it may be other bytes now. */
static int first_gone(struct log_future *future)
{
    struct log *log = future->log;
    int at = -1;
    io_lock_take(log->lock);
    for (int i = 0; i < future->count && at < 0; i++)
        if (!is_listed(log, future->items[i].source) || log->truncations != future->truncations)
            at = i;
    if (at < 0)
        future->truncations = log->truncations;
    io_lock_release(log->lock);
    return at;
}

static void item_add(struct log_future *future, struct log_segment *source)
{
    if (future->count == future->capacity) {
        future->capacity = future->capacity * 2 + 8;
        future->items = mem_realloc(future->items, (size_t)future->capacity * sizeof *future->items);
    }
    future->items[future->count++] = (struct copied){.source = source, .next_offset = source->base_offset, .file = -1};
}

/* The first segment that has something to copy, or is sealed and not whole; NULL: none, all that was published is there.
 * The log's segments and ours run in step, since what is gone was dropped. */
static struct copied *find_next(struct log_future *future, int64_t *ret_size_bytes, bool *ret_is_sealed)
{
    struct log *log = future->log;
    struct log_segment *fresh = NULL;
    int at = 0;
    io_lock_take(log->lock);
    for (; at < log->segment_count; at++) {
        struct log_segment *segment = log->segments[at];
        *ret_is_sealed = at + 1 < log->segment_count;
        *ret_size_bytes = segment__size(segment);
        if (at == future->count || future->items[at].source != segment) {
            fresh = segment;
            segment__ref(fresh);
            break;
        }
        const struct copied *copied = &future->items[at];
        if (copied->size_bytes < *ret_size_bytes || (*ret_is_sealed && !copied->is_whole))
            break;
    }
    bool is_level = at == log->segment_count;
    io_lock_release(log->lock);
    if (is_level)
        return NULL;
    if (fresh) {
        item_add(future, fresh);
        struct copied added = future->items[future->count - 1]; // compaction puts one between others
        memmove(future->items + at + 1, future->items + at, (size_t)(future->count - 1 - at) * sizeof added);
        future->items[at] = added;
    }
    return &future->items[at];
}

/* ---- bytes */
/* How many of the bytes are whole batches; the next offset behind them. EBADMSG: they are no batches. */
static struct status whole_batches(struct slice bytes, size_t *ret_size, int64_t *next_offset)
{
    size_t at = 0;
    while (bytes.size - at >= BATCH_MIN_BYTES) {
        const uint8_t *batch = bytes.data + at;
        int64_t size = record_batch_size(batch);
        if (size < BATCH_MIN_BYTES)
            return STATUS(EBADMSG, "copy a segment: a batch makes no sense");
        if (size > (int64_t)(bytes.size - at))
            break;
        bool is_old = batch[RECORD_BATCH_MAGIC_AT] < 2; // its offset is that of its last record
        *next_offset = is_old ? record_batch_base_offset(batch) + 1 : record_batch_next_offset(batch);
        at += (size_t)size;
    }
    *ret_size = at;
    return STATUS_OK;
}

/* The next piece of the source: whole batches, at least one. */
static struct status piece_read(struct log_future *future, const struct copied *copied, int64_t size_max,
                                int64_t *ret_next_offset)
{
    struct buffer *piece = &future->piece;
    int64_t left = size_max - copied->size_bytes, wanted = min_i64(left, PIECE_BYTES);
    for (size_t whole = 0; whole == 0;) {
        piece->size = 0;
        buffer_reserve(piece, (size_t)wanted);
        TRY(segment_file__read(copied->source, SEGMENT_LOG, piece->data, (size_t)wanted, copied->size_bytes));
        TRY(whole_batches(slice_of(piece->data, (size_t)wanted), &whole, ret_next_offset));
        piece->size = whole;
        if (whole == 0 && wanted == left)
            return STATUS(EBADMSG, "copy a segment: it ends inside of a batch");
        wanted = min_i64(left, max_i64(wanted, record_batch_size(piece->data)));
    }
    return STATUS_OK;
}

static struct status making_open(struct log_future *future, struct copied *copied)
{
    char path[SEGMENT_PATH_BYTES], whole[SEGMENT_PATH_BYTES];
    path_of(future, copied->source->base_offset, ".log", MAKING, path);
    path_of(future, copied->source->base_offset, ".log", "", whole);
    if (copied->is_whole) // and is not any more
        TRY(ours_if(future, io_rename(whole, path), "open a segment of a moved log"));
    copied->file = io_open(path, IO_WRITE | IO_CREATE);
    TRY(ours_if(future, copied->file, "open a segment of a moved log"));
    int64_t size = io_file_size(copied->file);
    TRY(ours_if(future, size, "look at a segment of a moved log"));
    copied->there_bytes = max_i64(size - copied->size_bytes, 0);
    return STATUS_OK;
}

/* Whether the piece is there already, from an earlier life. */
static struct status is_there(struct log_future *future, const struct copied *copied, bool *ret_is_there)
{
    const struct buffer *piece = &future->piece;
    *ret_is_there = false;
    if (copied->there_bytes < (int64_t)piece->size)
        return STATUS_OK;
    future->there.size = 0;
    buffer_reserve(&future->there, piece->size);
    TRY(ours(future, file__read_exactly(copied->file, future->there.data, piece->size, copied->size_bytes)));
    *ret_is_there = memcmp(future->there.data, piece->data, piece->size) == 0;
    return STATUS_OK;
}

static struct status piece_copy(struct log_future *future, struct copied *copied, int64_t size_max)
{
    int64_t next_offset = copied->next_offset;
    bool is_the_same;
    TRY(piece_read(future, copied, size_max, &next_offset));
    if (copied->file < 0)
        TRY(making_open(future, copied));
    int64_t size = (int64_t)future->piece.size;
    TRY(is_there(future, copied, &is_the_same));
    if (is_the_same) {
        copied->there_bytes -= size;
    } else {
        copied->there_bytes = 0;
        TRY(ours(future, file__write_all(copied->file, future->piece.data, (size_t)size, copied->size_bytes)));
        io_write_back(copied->file, copied->size_bytes, size); // advice: the sync tells of failures
    }
    copied->size_bytes += size;
    copied->next_offset = next_offset;
    copied->is_whole = false;
    return STATUS_OK;
}

/* ---- a segment is all there */
/* Copied whole and synced, where the log has it; else none is there. */
static struct status side_file_copy(struct log_future *future, int64_t base, const char *suffix)
{
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
    bool exists;
    snprintf(from, sizeof from, "%s/%020lld%s", future->log->directory, (long long)base, suffix);
    path_of(future, base, suffix, MAKING, to);
    future->piece.size = 0;
    TRY(file__read_all(from, &future->piece, &exists));
    if (!exists)
        return STATUS_OK;
    int file = io_open(to, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    TRY(ours_if(future, file, "make a file of a moved log"));
    struct status s = ours(future, file__write_all(file, future->piece.data, future->piece.size, 0));
    if (status_is_ok(s))
        s = ours_if(future, io_fdatasync(file), "sync a file of a moved log");
    io_close(file);
    return s;
}

static struct status named(struct log_future *future, int64_t base, const char *suffix)
{
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
    path_of(future, base, suffix, MAKING, from);
    path_of(future, base, suffix, "", to);
    int error = io_rename(from, to);
    return ours_if(future, error == -ENOENT ? 0 : error, "rename a file of a moved log");
}

static struct status directory_sync(struct log_future *future)
{
    return ours_if(future, io_sync_dir(future->directory), "sync the directory of a moved log");
}

/* Those epochs that begin below the end, so that whoever opens the future finds what belongs to its batches. */
static struct status epochs_write(struct log_future *future, int64_t end_offset)
{
    struct log *log = future->log;
    struct buffer lines CLEANUP(buffer_free) = {0}, bytes CLEANUP(buffer_free) = {0};
    char path[SEGMENT_PATH_BYTES];
    int count = 0;
    io_lock_take(log->lock);
    while (count < log->epoch_count && log->epochs[count].start_offset < end_offset) {
        const struct epoch_entry *epoch = &log->epochs[count++];
        buffer_printf(&lines, "%d %lld\n", epoch->epoch, (long long)epoch->start_offset);
    }
    io_lock_release(log->lock);
    buffer_printf(&bytes, "0\n%d\n", count);
    buffer_append(&bytes, lines.data, lines.size);
    snprintf(path, sizeof path, "%s/leader-epoch-checkpoint", future->directory);
    return ours(future, file__replace(path, bytes.data, bytes.size));
}

/* The log's own file last, when the other names are sure. */
static struct status complete(struct log_future *future, struct copied *copied)
{
    int64_t base = copied->source->base_offset;
    if (copied->file < 0)
        TRY(making_open(future, copied)); // an empty one
    TRY(ours_if(future, io_truncate(copied->file, copied->size_bytes), "trim a segment of a moved log"));
    TRY(ours_if(future, io_fdatasync(copied->file), "sync a segment of a moved log"));
    file_close(copied);
    for (size_t i = 0; i < COUNT_OF(SIDE_FILES); i++)
        TRY(side_file_copy(future, base, SIDE_FILES[i]));
    TRY(epochs_write(future, copied->next_offset));
    for (size_t i = 0; i < COUNT_OF(SIDE_FILES); i++)
        TRY(named(future, base, SIDE_FILES[i]));
    TRY(directory_sync(future));
    TRY(named(future, base, ".log"));
    TRY(directory_sync(future));
    copied->is_whole = true;
    return STATUS_OK;
}

struct status log_future_step(struct log_future *future, int64_t bytes_max, int64_t *ret_bytes, bool *ret_is_level)
{
    assert(!future->is_finished);
    *ret_bytes = 0;
    *ret_is_level = false;
    for (int gone; (gone = first_gone(future)) >= 0;)
        TRY(drop(future, gone));
    while (*ret_bytes < bytes_max) {
        int64_t size_bytes = 0;
        bool is_sealed = false;
        struct copied *copied = find_next(future, &size_bytes, &is_sealed);
        *ret_is_level = !copied;
        if (!copied)
            return STATUS_OK;
        if (copied->size_bytes < size_bytes) {
            TRY(piece_copy(future, copied, size_bytes));
            *ret_bytes += (int64_t)future->piece.size;
        } else if (is_sealed) {
            TRY(complete(future, copied));
        } else {
            return STATUS_OK; // an empty one that was just noticed
        }
    }
    return STATUS_OK;
}

/* ---- the end */
static void drop_making(void *context, const char *name)
{
    struct leftovers *leftovers = context;
    char path[SEGMENT_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", leftovers->future->directory, name);
    int error = ends_with(name, MAKING) ? io_unlink(path) : 0;
    if (error < 0)
        leftovers->error = error;
}

/* Segments of an earlier life that the log has no more. */
static struct status leftovers_drop(struct log_future *future)
{
    struct leftovers leftovers = {.future = future};
    int error = io_list_dir(future->directory, drop_making, &leftovers);
    return ours_if(future, error < 0 ? error : leftovers.error, "drop what a moved log does not need");
}

static struct status rest_copy(struct log_future *future)
{
    int64_t bytes;
    for (bool is_level = false; !is_level;)
        TRY(log_future_step(future, INT64_MAX, &bytes, &is_level));
    assert(future->count == future->log->segment_count);
    if (!future->items[future->count - 1].is_whole)
        TRY(complete(future, &future->items[future->count - 1]));
    int64_t snapshot = future->log->snapshot_offset;
    if (snapshot >= 0 && snapshot != log__active(future->log)->base_offset) {
        TRY(side_file_copy(future, snapshot, ".snapshot"));
        TRY(named(future, snapshot, ".snapshot"));
    }
    TRY(leftovers_drop(future));
    TRY(epochs_write(future, INT64_MAX)); // one that has begun and has no batch yet, too
    return directory_sync(future);
}

struct status log_future_finish(struct log_future *future)
{
    struct log *log = future->log;
    TRY(log_prepare(log));
    TRY(log_checkpoint(log)); // indexes and the snapshot are in their files, and their last bytes are known
    TRY(rest_copy(future));
    future->is_finished = true;
    return STATUS_OK;
}

static bool is_the_same(const struct log_future *future)
{
    const struct log *log = future->log;
    if (!future->is_finished || future->count != log->segment_count)
        return false;
    for (int i = 0; i < future->count; i++)
        if (future->items[i].source != log->segments[i] ||
            future->items[i].size_bytes != segment__size(log->segments[i]))
            return false;
    return true;
}

/* From here on readers find the files in the new directory, whichever of its two names it has just now; those that hold
 * old segments find them under either name too. */
static void segments_swap(struct log_future *future, const char *directory, const char *doomed_directory)
{
    struct log *log = future->log;
    struct log_segment **fresh = mem_alloc((size_t)log->segment_count * sizeof *fresh);
    for (int i = 0; i < log->segment_count; i++) {
        struct log_segment *old = log->segments[i];
        fresh[i] = segment__moved(old, future->directory, directory);
        assert(!atomic_load(&old->moved_to));
        atomic_store(&old->moved_to, segment__stem(doomed_directory, old->base_offset));
    }
    io_lock_take(log->lock);
    for (int i = 0; i < log->segment_count; i++) {
        struct log_segment *old = log->segments[i];
        log->segments[i] = fresh[i];
        fresh[i] = old;
    }
    io_lock_release(log->lock);
    for (int i = 0; i < log->segment_count; i++)
        segment__unref(fresh[i]);
    mem_free(fresh);
}

/* Files with .deleted go with the old directory. */
static void doomed_forget(struct log *log)
{
    for (struct doomed *doomed = log->doomed, *next; doomed; doomed = next) {
        next = doomed->next;
        segment__unref(doomed->segment);
        mem_free(doomed);
    }
    log->doomed = NULL;
    atomic_store(&log->has_deletes, false);
}

static struct status replace(struct log_future *future, const char *directory, char *doomed_directory)
{
    struct log *log = future->log;
    segments_swap(future, directory, doomed_directory);
    TRY(dir__rename(log->directory, doomed_directory));
    TRY(dir__rename(future->directory, directory));
    mem_free(log->directory_before);
    log->directory_before = log->directory;
    log->directory = mem_strdup(directory);
    log->directory_dirty = false;
    return STATUS_OK;
}

struct status log_future_replace(struct log_future *future, const char *directory, struct log_unflushed *unflushed,
                                 char **ret_old_directory)
{
    struct log *log = future->log;
    assert(is_the_same(future));
    if (log_is_offline(log))
        return STATUS(EIO, "move a log that is offline");
    char *doomed_directory = dir__named(log->directory, "delete");
    io_lock_take(log->flush_lock); // a flush uses the directory's path
    struct status s = replace(future, directory, doomed_directory);
    log__flushed_move(log, atomic_load(&log->written_bytes)); // all is synced: the old directory's count is settled
    log->unflushed = unflushed;
    io_lock_release(log->flush_lock);
    if (!status_is_ok(s)) {
        mem_free(doomed_directory);
        log__take_offline(log, s);
        return s;
    }
    doomed_forget(log);
    *ret_old_directory = doomed_directory;
    return STATUS_OK;
}
