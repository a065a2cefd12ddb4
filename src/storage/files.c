// SPDX-License-Identifier: Apache-2.0
/* storage/files.c - the descriptors of segments and their indexes: opened when something is read or written, shared by all
 * who do so at that moment, closed again when too many are open.
 *
 *   closed --use: opened--> used (pins > 0) --the last lets go--> idle (pins = 0) --many are open, nothing unsynced--> closed
 *                              ^-----------------------use------------|
 *
 * A broker with many partitions has few descriptors so: an idle one is closed when its turn comes round, unless it was used
 * since the last time (a clock), or has bytes that were written and not synced: a later descriptor might not be told that
 * their write-back failed. So the limit may be passed by what is dirty, and by nothing else.
 *
 * Whoever opens a file that is going to be deleted finds it under its name with .deleted. `is_gone` is set before the
 * renaming, and looked at after the opening, so nobody takes a file that got the old name meanwhile for the old one.
 */
#include "storage/storage__.h"

enum { CLOSED = -1, LOOKS_MAX = 64 };
static const char *const SUFFIX[SEGMENT_FILES] = {".index", ".timeindex", ".log"};

struct log_files {
    struct io_lock *lock;
    struct list open; // struct segment_file, the next to be looked at first
    int count, count_max;
};

struct log_files *log_files_create(int count_max)
{
    struct log_files *files = mem_zalloc(sizeof *files);
    files->lock = io_lock_create();
    files->count_max = count_max;
    list_init(&files->open);
    return files;
}

void log_files_free(struct log_files *files)
{
    if (!files || !list_is_empty(&files->open))
        return; // after a stop that could not wait: what the replies still hold is left to the process
    io_lock_destroy(files->lock);
    mem_free(files);
}

int log_files_count(struct log_files *files)
{
    io_lock_take(files->lock);
    int count = files->count;
    io_lock_release(files->lock);
    return count;
}

void segment_file__init(struct log_segment *segment)
{
    for (int kind = 0; kind < SEGMENT_FILES; kind++) {
        struct segment_file *file = &segment->files[kind];
        *file = (struct segment_file){.segment = segment, .pins = CLOSED, .handle = -1};
        list_init(&file->in_open);
    }
}

/* ---- closing */
static bool is_dirty(const struct segment_file *file)
{
    return atomic_load(&file->writes) != atomic_load(&file->synced_writes);
}

/* Under the cache's lock. The segment's lock keeps out whoever would open it meanwhile. */
static bool close_idle(struct log_files *files, struct segment_file *file)
{
    int32_t idle = 0;
    int handle = -1;
    io_lock_take(file->segment->lock);
    if (atomic_compare_exchange_strong(&file->pins, &idle, CLOSED)) {
        if (is_dirty(file))
            atomic_store(&file->pins, 0);
        else
            handle = file->handle;
    }
    io_lock_release(file->segment->lock);
    if (handle < 0)
        return false;
    list_remove(&file->in_open);
    files->count--;
    io_close(handle);
    return true;
}

/* Down to `count_wanted`, as far as a few looks go: the next one who opens a file goes on. */
static bool shrink(struct log_files *files, int count_wanted)
{
    bool any = false;
    io_lock_take(files->lock);
    for (int looks = 0; looks < LOOKS_MAX && files->count > count_wanted; looks++) {
        struct segment_file *file = CONTAINER_OF(list_pop_front(&files->open), struct segment_file, in_open);
        list_push_back(&files->open, &file->in_open);
        if (!atomic_exchange(&file->is_used, false))
            any |= close_idle(files, file);
    }
    io_lock_release(files->lock);
    return any;
}

void segment_file__close_all(struct log_segment *segment)
{
    for (int kind = 0; kind < SEGMENT_FILES; kind++) {
        struct segment_file *file = &segment->files[kind];
        assert(atomic_load(&file->pins) <= 0);
        if (segment->cache) { // even of a file that is closed: close_idle may be about to take it off the list
            io_lock_take(segment->cache->lock);
            bool is_listed = !list_is_empty(&file->in_open);
            list_remove(&file->in_open);
            segment->cache->count -= is_listed;
            io_lock_release(segment->cache->lock);
        }
        if (atomic_load(&file->pins) == 0)
            io_close(file->handle);
        atomic_store(&file->pins, CLOSED);
    }
}

/* ---- opening */
static int open_once(const struct log_segment *segment, int kind, int flags, bool is_gone)
{
    char path[SEGMENT_PATH_BYTES + 16];
    int handle = -ENOENT;
    for (int place = 0; place < SEGMENT_PLACES && handle == -ENOENT; place++) {
        if (!segment__place(segment, place, SUFFIX[kind], path))
            continue;
        if (is_gone)
            snprintf(path + strlen(path), 16, ".deleted");
        handle = io_open(path, IO_WRITE | (is_gone ? 0 : flags));
    }
    return handle;
}

static int open_handle(const struct log_segment *segment, int kind, int flags)
{
    bool was_gone = atomic_load(&segment->is_gone);
    int handle = open_once(segment, kind, flags, was_gone);
    if (was_gone || !atomic_load(&segment->is_gone))
        return handle;
    io_close(handle); // it was renamed meanwhile: this may be another's
    return open_once(segment, kind, 0, true);
}

static int open_making_room(const struct log_segment *segment, int kind, int flags)
{
    int handle = open_handle(segment, kind, flags);
    bool is_full = handle == -EMFILE || handle == -ENFILE;
    if (is_full && segment->cache && shrink(segment->cache, 0))
        handle = open_handle(segment, kind, flags);
    return handle;
}

static bool pin(struct segment_file *file)
{
    int32_t pins = atomic_load(&file->pins);
    while (pins >= 0)
        if (atomic_compare_exchange_weak(&file->pins, &pins, pins + 1))
            return true;
    return false;
}

/* The one that came first is everybody's. */
static bool install(struct segment_file *file, int handle)
{
    io_lock_take(file->segment->lock);
    bool is_ours = !pin(file);
    if (is_ours) {
        file->handle = handle;
        atomic_store(&file->pins, 1);
    }
    io_lock_release(file->segment->lock);
    return is_ours;
}

static void enlist(struct log_files *files, struct segment_file *file)
{
    io_lock_take(files->lock);
    list_push_back(&files->open, &file->in_open);
    bool is_over = ++files->count > files->count_max;
    io_lock_release(files->lock);
    if (is_over)
        shrink(files, files->count_max);
}

struct status segment_file__get(struct log_segment *segment, int kind, int flags, int *ret_handle)
{
    struct segment_file *file = &segment->files[kind];
    if (!pin(file)) {
        int handle = open_making_room(segment, kind, flags);
        if (handle < 0)
            return STATUS(-handle, kind == SEGMENT_LOG ? "open a segment" : "open an index");
        if (!install(file, handle))
            io_close(handle);
        else if (segment->cache)
            enlist(segment->cache, file);
    }
    *ret_handle = file->handle;
    return STATUS_OK;
}

void segment_file__put(struct log_segment *segment, int kind)
{
    struct segment_file *file = &segment->files[kind];
    if (!atomic_load_explicit(&file->is_used, memory_order_relaxed))
        atomic_store_explicit(&file->is_used, true, memory_order_relaxed);
    int32_t before = atomic_fetch_sub(&file->pins, 1);
    assert(before > 0);
}

/* ---- using */
void segment_file__written(struct log_segment *segment, int kind)
{
    atomic_fetch_add(&segment->files[kind].writes, 1);
}

struct status segment_file__read(struct log_segment *segment, int kind, void *ret_data, size_t size, int64_t position)
{
    int handle;
    TRY(segment_file__get(segment, kind, 0, &handle));
    struct status s = file__read_exactly(handle, ret_data, size, position);
    segment_file__put(segment, kind);
    return s;
}

struct status segment_file__write(struct log_segment *segment, int kind, const void *data, size_t size,
                                  int64_t position)
{
    int handle;
    TRY(segment_file__get(segment, kind, 0, &handle));
    segment_file__written(segment, kind);
    struct status s = file__write_all(handle, data, size, position);
    segment_file__put(segment, kind);
    return s;
}

struct status segment_file__truncate(struct log_segment *segment, int kind, int64_t size)
{
    int handle;
    TRY(segment_file__get(segment, kind, 0, &handle));
    int error = io_truncate(handle, size); // no bytes whose write-back could fail later
    segment_file__put(segment, kind);
    return error < 0 ? STATUS(-error, kind == SEGMENT_LOG ? "trim a segment" : "trim an index") : STATUS_OK;
}

struct status segment_file__sync(struct log_segment *segment, int kind)
{
    int handle;
    struct segment_file *file = &segment->files[kind];
    TRY(segment_file__get(segment, kind, 0, &handle));
    uint32_t writes = atomic_load(&file->writes);
    int error = io_fdatasync(handle);
    if (error >= 0)
        atomic_store(&file->synced_writes, writes);
    segment_file__put(segment, kind);
    return error < 0 ? STATUS(-error, kind == SEGMENT_LOG ? "sync a segment" : "sync an index") : STATUS_OK;
}
