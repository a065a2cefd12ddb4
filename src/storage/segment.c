// SPDX-License-Identifier: Apache-2.0
/* storage/segment.c - one segment: its files, and finding a batch in it.
 *
 * Published bytes never change, so readers need nothing but the published size. Heads of batches are read through a
 * small buffer; a head that makes no sense ends the reading with EBADMSG: the caller decides what that means.
 */
#include "storage/storage__.h"

enum { HEADS_BUFFER_BYTES = 4096 };
static const char *const SUFFIXES[] = {".log", ".index", ".timeindex", ".txnindex", ".snapshot"}; // the snapshot last

void segment__path(const struct log_segment *segment, const char *suffix, char ret_path[SEGMENT_PATH_BYTES])
{
    snprintf(ret_path, SEGMENT_PATH_BYTES, "%s%s%s", segment->stem, suffix, segment->stage);
}

/* Its own name again, in case it has got that while we looked for the one before. */
bool segment__place(const struct log_segment *segment, int place, const char *suffix, char ret_path[SEGMENT_PATH_BYTES])
{
    const char *stems[SEGMENT_PLACES] = {segment->stem, segment->moved_from, segment->moved_from ? segment->stem : NULL,
                                         atomic_load(&segment->moved_to)};
    if (!stems[place])
        return false;
    snprintf(ret_path, SEGMENT_PATH_BYTES, "%s%s%s", stems[place], suffix, segment->stage);
    return true;
}

char *segment__stem(const char *directory, int64_t base_offset)
{
    struct buffer stem = {0};
    buffer_printf(&stem, "%s/%020lld", directory, (long long)base_offset);
    buffer_append(&stem, "", 1);
    return (char *)stem.data;
}

static struct log_segment *make(const struct log *log, int64_t base_offset, int64_t now_ms, const char *stage)
{
    struct log_segment *segment = mem_alloc(sizeof *segment);
    *segment = (struct log_segment){.references = 1,
                                    .base_offset = base_offset,
                                    .stem = segment__stem(log->directory, base_offset),
                                    .stage = stage,
                                    .cache = log->files,
                                    .made_ms = now_ms,
                                    .max_timestamp_ms = -1,
                                    .max_timestamp_offset = -1,
                                    .first_timestamp_ms = -1};
    segment->lock = io_lock_create();
    segment_file__init(segment);
    return segment;
}

static struct status create_files(const struct log *log, struct log_segment *segment)
{
    int handle;
    TRY(segment_file__get(segment, SEGMENT_LOG, IO_CREATE | IO_TRUNCATE, &handle));
    struct status s = index__make(segment);
    if (status_is_ok(s) && *segment->stage == 0 && log->config.preallocate &&
        io_allocate(handle, log->config.segment_bytes) < 0)
        s = STATUS(ENOSPC, "preallocate a segment");
    segment_file__put(segment, SEGMENT_LOG);
    return s;
}

static struct status create(const struct log *log, int64_t base_offset, int64_t now_ms, const char *stage,
                            struct log_segment **ret_segment)
{
    struct log_segment *segment = make(log, base_offset, now_ms, stage);
    struct status s = create_files(log, segment);
    segment->max_timestamp_known = true;
    if (!status_is_ok(s)) {
        segment__unref(segment);
        return s;
    }
    *ret_segment = segment;
    return STATUS_OK;
}

struct status segment__create(const struct log *log, int64_t base_offset, int64_t now_ms,
                              struct log_segment **ret_segment)
{
    return create(log, base_offset, now_ms, "", ret_segment);
}

struct status segment__create_cleaned(const struct log *log, int64_t base_offset, int64_t now_ms,
                                      struct log_segment **ret_segment)
{
    return create(log, base_offset, now_ms, ".cleaned", ret_segment);
}

/* Its size is asked for; it is opened when somebody reads or writes. */
struct status segment__open(const struct log *log, int64_t base_offset, int64_t now_ms,
                            struct log_segment **ret_segment)
{
    struct log_segment *segment = make(log, base_offset, now_ms, "");
    char path[SEGMENT_PATH_BYTES];
    struct io_stat stat;
    segment__path(segment, ".log", path);
    int error = io_stat(path, &stat);
    if (error < 0 || !stat.exists) {
        segment__unref(segment);
        return STATUS(error < 0 ? -error : ENOENT, "look at a segment's size");
    }
    atomic_store(&segment->size_bytes, stat.size_bytes);
    *ret_segment = segment;
    return STATUS_OK;
}

/* Its indexes are counted when they are asked for. */
struct log_segment *segment__moved(const struct log_segment *of, const char *from, const char *directory)
{
    struct log_segment *segment = mem_alloc(sizeof *segment);
    io_lock_take(of->lock); // readers may just look for the largest timestamp
    *segment = (struct log_segment){.references = 1,
                                    .base_offset = of->base_offset,
                                    .stem = segment__stem(directory, of->base_offset),
                                    .moved_from = segment__stem(from, of->base_offset),
                                    .stage = "",
                                    .cache = of->cache,
                                    .made_ms = of->made_ms,
                                    .max_timestamp_ms = of->max_timestamp_ms,
                                    .max_timestamp_offset = of->max_timestamp_offset,
                                    .max_timestamp_known = of->max_timestamp_known,
                                    .first_timestamp_ms = of->first_timestamp_ms,
                                    .bytes_since_index = of->bytes_since_index,
                                    .indexes_synced = true};
    io_lock_release(of->lock);
    segment->lock = io_lock_create();
    segment_file__init(segment);
    atomic_store(&segment->size_bytes, segment__size(of));
    atomic_store(&segment->synced, true);
    return segment;
}

void segment__ref(struct log_segment *segment)
{
    int64_t before = atomic_fetch_add(&segment->references, 1);
    assert(before > 0);
}

void segment__unref(struct log_segment *segment)
{
    if (!segment || atomic_fetch_sub(&segment->references, 1) > 1)
        return;
    segment_file__close_all(segment);
    index__free(segment);
    io_lock_destroy(segment->lock);
    mem_free(segment->stem);
    mem_free(segment->moved_from);
    mem_free(atomic_load(&segment->moved_to));
    mem_free(segment);
}

int64_t segment__size(const struct log_segment *segment)
{
    return atomic_load_explicit(&segment->size_bytes, memory_order_acquire);
}

static bool head_is_sane(const uint8_t *head, int64_t left)
{
    return head && record_batch_size(head) <= left && record_batch_base_offset(head) >= 0 &&
           record_batch_last_delta(head) >= 0;
}

static struct status heads(int handle, int64_t position, int64_t limit, segment__each_fn *each, void *context,
                           int64_t *ret_position)
{
    uint8_t buffer[HEADS_BUFFER_BYTES], room[RECORD_BATCH_HEAD_BYTES];
    int64_t buffered_at = 0, buffered_end = 0, unused;
    int64_t *at = ret_position ? ret_position : &unused;
    for (*at = position; *at < limit;) {
        int64_t head_bytes = min_i64(RECORD_BATCH_HEAD_BYTES, limit - *at);
        if (*at < buffered_at || *at + head_bytes > buffered_end) {
            size_t size = (size_t)min_i64((int64_t)sizeof buffer, limit - *at);
            TRY(file__read_exactly(handle, buffer, size, *at));
            buffered_at = *at;
            buffered_end = *at + (int64_t)size;
        }
        const uint8_t *head = record_stored_head(slice_of(buffer + (*at - buffered_at), (size_t)head_bytes), room);
        if (!head_is_sane(head, limit - *at))
            return STATUS(EBADMSG, "read a batch's head: it makes no sense");
        int64_t size = record_batch_size(head);
        if (!each(context, head, *at))
            return STATUS_OK;
        *at += size;
    }
    return STATUS_OK;
}

struct status segment__heads(struct log_segment *segment, int64_t position, int64_t limit, segment__each_fn *each,
                             void *context, int64_t *ret_position)
{
    int handle;
    if (ret_position)
        *ret_position = position;
    if (position >= limit)
        return STATUS_OK;
    TRY(segment_file__get(segment, SEGMENT_LOG, 0, &handle));
    struct status s = heads(handle, position, limit, each, context, ret_position);
    segment_file__put(segment, SEGMENT_LOG);
    return s;
}

struct search {
    int64_t offset;
    struct segment_place *place;
};

static bool search_head(void *context, const uint8_t *head, int64_t position)
{
    struct search *search = context;
    if (record_batch_next_offset(head) <= search->offset)
        return true;
    *search->place = (struct segment_place){position, record_batch_size(head), record_batch_base_offset(head),
                                            record_batch_next_offset(head)};
    return false;
}

struct status segment__find(struct log_segment *segment, int64_t offset, int64_t limit, struct segment_place *ret_place)
{
    int64_t from;
    TRY(index__position(segment, offset, &from));
    if (from > limit)
        from = 0;
    *ret_place = (struct segment_place){.position = limit, .base_offset = -1, .next_offset = -1};
    struct search search = {.offset = offset, .place = ret_place};
    return segment__heads(segment, from, limit, search_head, &search, NULL);
}

struct status segment__read_batch(struct log_segment *segment, int64_t position, int64_t size_bytes,
                                  struct buffer *ret_batch)
{
    ret_batch->size = 0;
    buffer_reserve(ret_batch, (size_t)size_bytes);
    TRY(segment_file__read(segment, SEGMENT_LOG, ret_batch->data, (size_t)size_bytes, position));
    ret_batch->size = (size_t)size_bytes;
    return STATUS_OK;
}

static bool first_head(void *context, const uint8_t *head, int64_t position)
{
    (void)position;
    *(int64_t *)context = record_batch_max_timestamp(head);
    return false;
}

struct status segment__first_timestamp(struct log_segment *segment, int64_t *ret_timestamp_ms)
{
    *ret_timestamp_ms = -1;
    struct status s = segment__heads(segment, 0, segment__size(segment), first_head, ret_timestamp_ms, NULL);
    return s.error == EBADMSG ? STATUS_OK : s; // who reads its records will say so
}

struct latest {
    int64_t timestamp_ms, offset;
};

static bool latest_head(void *context, const uint8_t *head, int64_t position)
{
    (void)position;
    struct latest *latest = context;
    if (record_batch_max_timestamp(head) > latest->timestamp_ms)
        *latest = (struct latest){record_batch_max_timestamp(head), record_batch_next_offset(head) - 1};
    return true;
}

/* The index's last entry, and the batches behind the last indexed position: a sealed segment has few of them. */
static struct status max_timestamp_load(struct log_segment *segment, struct latest *latest)
{
    struct index_entry time, place;
    bool found, placed;
    TRY(index__last(segment, INDEX_TIME, &time, &found));
    if (found)
        *latest = (struct latest){(int64_t)time.key, segment->base_offset + time.value};
    TRY(index__last(segment, INDEX_OFFSET, &place, &placed));
    int64_t from = placed ? place.value : 0, limit = segment__size(segment);
    return segment__heads(segment, min_i64(from, limit), limit, latest_head, latest, NULL);
}

struct status segment__max_timestamp(struct log_segment *segment, int64_t *ret_timestamp_ms, int64_t *ret_offset)
{
    io_lock_take(segment->lock);
    bool known = segment->max_timestamp_known;
    struct latest latest = {-1, -1};
    if (known)
        latest = (struct latest){segment->max_timestamp_ms, segment->max_timestamp_offset};
    io_lock_release(segment->lock);
    if (!known) {
        TRY(max_timestamp_load(segment, &latest));
        io_lock_take(segment->lock);
        segment->max_timestamp_ms = latest.timestamp_ms;
        segment->max_timestamp_offset = latest.offset;
        segment->max_timestamp_known = true;
        io_lock_release(segment->lock);
    }
    *ret_timestamp_ms = latest.timestamp_ms;
    *ret_offset = latest.offset;
    return STATUS_OK;
}

static struct status rename_one(struct log_segment *segment, const char *suffix, const char *stage)
{
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
    segment__path(segment, suffix, from);
    snprintf(to, sizeof to, "%s%s%s", segment->stem, suffix, stage);
    int error = io_rename(from, to);
    return error < 0 ? STATUS(-error, "rename a compacted segment's file") : STATUS_OK;
}

/* The log's own file last, once the other names are sure: while it has its old name, the change has not happened. */
struct status segment__restage(struct log_segment *segment, const char *stage)
{
    TRY(rename_one(segment, ".index", stage));
    TRY(rename_one(segment, ".timeindex", stage));
    TRY(rename_one(segment, ".txnindex", stage));
    TRY(file__sync_dir_of(segment->stem));
    TRY(rename_one(segment, ".log", stage));
    segment->stage = stage;
    return file__sync_dir_of(segment->stem);
}

void segment__unlink(struct log_segment *segment)
{
    for (size_t i = 0; i < COUNT_OF(SUFFIXES); i++) {
        char path[SEGMENT_PATH_BYTES];
        segment__path(segment, SUFFIXES[i], path);
        io_unlink(path); // may not exist
    }
}

struct status segment__rename_deleted(struct log_segment *segment, bool with_snapshot)
{
    atomic_store(&segment->is_gone, true);
    for (size_t i = 0; i < COUNT_OF(SUFFIXES) - !with_snapshot; i++) {
        char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES + 16];
        segment__path(segment, SUFFIXES[i], from);
        snprintf(to, sizeof to, "%s.deleted", from);
        int error = io_rename(from, to);
        if (error < 0 && error != -ENOENT)
            return STATUS(-error, "rename a deleted segment's file");
    }
    return STATUS_OK;
}

void segment__delete_renamed(struct log_segment *segment)
{
    for (size_t i = 0; i < COUNT_OF(SUFFIXES); i++) {
        char path[SEGMENT_PATH_BYTES + 16];
        snprintf(path, sizeof path, "%s%s.deleted", segment->stem, SUFFIXES[i]);
        int error = io_unlink(path);
        if (error < 0 && error != -ENOENT)
            LOG(LOG_WARN, "storage", "%s stays: %s", path, strerror(-error));
    }
}
