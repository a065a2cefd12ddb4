// SPDX-License-Identifier: Apache-2.0
/* storage/transactions.c - open transactions, the last stable offset, and aborted ones in <base>.txnindex.
 *
 *   .txnindex, 34 bytes an entry: version i16 = 0, producer id i64, first offset i64, marker's offset i64, last stable
 *   offset after it i64; big endian.
 *
 * A decided transaction holds the last stable offset back until its marker is below the high watermark: else a reader
 * could see its records before it can see how it ended.
 */
#include "storage/storage__.h"

enum { ENTRY_BYTES = 34, DECIDED_MAX = 4096 };

void transactions__update(struct log *log)
{
    int64_t first = -1;
    for (struct hash_node *node = NULL; (node = hash_iterate(&log->producers, node));) {
        const struct producer *producer = CONTAINER_OF(node, struct producer, in_producers);
        if (producer->txn_first_offset >= 0 && (first < 0 || producer->txn_first_offset < first))
            first = producer->txn_first_offset;
    }
    atomic_store_explicit(&log->unstable_offset, first, memory_order_release);
}

int64_t log_first_unstable_offset(const struct log *log)
{
    return atomic_load_explicit(&log->unstable_offset, memory_order_acquire);
}

/* At the limit the two oldest become one: the offset is held back longer, never too short. */
static void decided_add(struct log *log, struct decided decided)
{
    io_lock_take(log->lock);
    int count = atomic_load(&log->decided_count);
    if (count == DECIDED_MAX) {
        log->decided[1].first_offset = min_i64(log->decided[0].first_offset, log->decided[1].first_offset);
        log->decided[1].marker_offset = max_i64(log->decided[0].marker_offset, log->decided[1].marker_offset);
        memmove(log->decided, log->decided + 1, (size_t)(--count) * sizeof *log->decided);
    }
    if (count == log->decided_capacity) {
        log->decided_capacity = log->decided_capacity ? log->decided_capacity * 2 : 8;
        log->decided = mem_realloc(log->decided, (size_t)log->decided_capacity * sizeof *log->decided);
    }
    log->decided[count] = decided;
    atomic_store(&log->decided_count, count + 1);
    io_lock_release(log->lock);
}

int64_t log_last_stable_offset(struct log *log, int64_t high_watermark)
{
    int64_t stable = high_watermark, unstable = log_first_unstable_offset(log);
    if (unstable >= 0)
        stable = min_i64(stable, unstable);
    if (atomic_load(&log->decided_count) == 0)
        return stable;
    io_lock_take(log->lock);
    int kept = 0;
    for (int i = 0; i < atomic_load(&log->decided_count); i++) {
        if (log->decided[i].marker_offset < high_watermark)
            continue;
        stable = min_i64(stable, log->decided[i].first_offset);
        log->decided[kept++] = log->decided[i];
    }
    atomic_store(&log->decided_count, kept);
    io_lock_release(log->lock);
    return stable;
}

static void entry_put(uint8_t entry[ENTRY_BYTES], const struct aborted_transaction *aborted)
{
    storage__put_be(entry, 0, 2); // version
    storage__put_be(entry + 2, (uint64_t)aborted->producer_id, 8);
    storage__put_be(entry + 10, (uint64_t)aborted->first_offset, 8);
    storage__put_be(entry + 18, (uint64_t)aborted->marker_offset, 8);
    storage__put_be(entry + 26, (uint64_t)aborted->last_stable_offset, 8);
}

static struct aborted_transaction entry_get(const uint8_t *entry)
{
    return (struct aborted_transaction){
        .producer_id = (int64_t)storage__be(entry + 2, 8),
        .first_offset = (int64_t)storage__be(entry + 10, 8),
        .marker_offset = (int64_t)storage__be(entry + 18, 8),
        .last_stable_offset = (int64_t)storage__be(entry + 26, 8),
    };
}

/* Behind what the index has; synced, since a reader of committed records relies on it. */
struct status transactions__index_write(struct log_segment *segment, const struct aborted_list *list)
{
    struct buffer bytes CLEANUP(buffer_free) = {0};
    for (size_t i = 0; i < list->count; i++) {
        uint8_t entry[ENTRY_BYTES];
        entry_put(entry, &list->items[i]);
        buffer_append(&bytes, entry, sizeof entry);
    }
    char path[SEGMENT_PATH_BYTES];
    segment__path(segment, ".txnindex", path);
    int file = io_open(path, IO_WRITE | IO_CREATE);
    if (file < 0)
        return STATUS(-file, "open a transaction index");
    int64_t size = io_file_size(file);
    struct status s = size < 0 ? STATUS((int)-size, "look at a transaction index")
                               : file__write_all(file, bytes.data, bytes.size, size);
    if (status_is_ok(s) && io_fdatasync(file) < 0)
        s = STATUS(EIO, "sync a transaction index");
    io_close(file);
    return s;
}

void transactions__list_add(struct aborted_list *list, const struct aborted_transaction *aborted)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 16;
        list->items = mem_realloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count++] = *aborted;
}

struct status transactions__index_read(struct log_segment *segment, struct aborted_list *list)
{
    char path[SEGMENT_PATH_BYTES];
    struct buffer bytes CLEANUP(buffer_free) = {0};
    bool exists = false;
    for (int place = 0; place < SEGMENT_PLACES && !exists; place++)
        if (segment__place(segment, place, ".txnindex", path))
            TRY(file__read_all(path, &bytes, &exists));
    for (size_t at = 0; at + ENTRY_BYTES <= bytes.size; at += ENTRY_BYTES) {
        struct aborted_transaction aborted = entry_get(bytes.data + at);
        transactions__list_add(list, &aborted);
    }
    return STATUS_OK;
}

struct marker {
    enum marker_type type;
    int32_t coordinator_epoch;
};

/* Key: version i16, type i16. Value: version i16, coordinator epoch i32. A compacted batch may be empty. */
static struct marker marker_of(struct slice batch)
{
    struct marker marker = {.type = MARKER_NONE};
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, batch);
    if (record_walk_next(&walk, &record) && record.key.size >= 4 && record.value.size >= 6) {
        uint64_t type = storage__be(record.key.data + 2, 2);
        if (type == MARKER_ABORT || type == MARKER_COMMIT)
            marker.type = (enum marker_type)type;
        marker.coordinator_epoch = (int32_t)storage__be(record.value.data + 2, 4);
    }
    record_walk_end(&walk);
    return marker;
}

enum marker_type transactions__marker_type(struct slice batch)
{
    return marker_of(batch).type;
}

struct status transactions__end(struct log *log, struct producer *producer, struct slice batch, int64_t offset,
                                bool write_index)
{
    struct marker marker = marker_of(batch);
    if (marker.type == MARKER_NONE)
        return STATUS_OK;
    producer->coordinator_epoch = marker.coordinator_epoch;
    int64_t first = producer->txn_first_offset;
    if (first < 0)
        return STATUS_OK; // an empty transaction
    assert(first <= offset);
    producer->txn_first_offset = -1;
    decided_add(log, (struct decided){first, offset});
    transactions__update(log);
    if (marker.type != MARKER_ABORT || !write_index)
        return STATUS_OK;
    int64_t unstable = log_first_unstable_offset(log);
    struct aborted_transaction aborted = {producer->id, first, offset, unstable >= 0 ? unstable : offset + 1};
    return transactions__index_write(log__active(log), &(struct aborted_list){&aborted, 1, 1});
}

/* Drops entries whose marker is at or past `offset`: recovery and truncation write them again. */
struct status transactions__index_truncate(struct log_segment *segment, int64_t offset)
{
    char path[SEGMENT_PATH_BYTES];
    segment__path(segment, ".txnindex", path);
    struct buffer bytes CLEANUP(buffer_free) = {0};
    bool exists;
    TRY(file__read_all(path, &bytes, &exists));
    size_t keep = 0;
    while (keep + ENTRY_BYTES <= bytes.size && (int64_t)storage__be(bytes.data + keep + 18, 8) < offset)
        keep += ENTRY_BYTES;
    if (!exists || keep == bytes.size)
        return STATUS_OK;
    if (keep > 0)
        return file__replace(path, bytes.data, keep);
    int error = io_unlink(path);
    return error < 0 ? STATUS(-error, "drop a transaction index") : STATUS_OK;
}

/* ---- what a read_committed reader asks */
struct collect {
    struct arena *arena;
    struct log_aborted *aborted;
    int32_t count, capacity;
    int64_t offset, limit_offset;
    bool complete;
};

static struct status collect_add(struct collect *collect, struct log_aborted aborted)
{
    if (collect->count == collect->capacity) {
        int32_t capacity = collect->capacity ? collect->capacity * 2 : 16;
        struct log_aborted *grown = arena_array(collect->arena, (size_t)capacity, sizeof *grown);
        if (!grown)
            return STATUS(ENOMEM, "list aborted transactions");
        if (collect->count > 0)
            memcpy(grown, collect->aborted, (size_t)collect->count * sizeof *grown);
        collect->aborted = grown;
        collect->capacity = capacity;
    }
    collect->aborted[collect->count++] = aborted;
    return STATUS_OK;
}

static struct status collect_segment(struct log_segment *segment, struct collect *collect)
{
    struct aborted_list list = {0};
    struct status s = transactions__index_read(segment, &list);
    for (size_t i = 0; i < list.count && status_is_ok(s) && !collect->complete; i++) {
        const struct aborted_transaction *aborted = &list.items[i];
        if (aborted->marker_offset >= collect->offset && aborted->first_offset < collect->limit_offset)
            s = collect_add(collect, (struct log_aborted){aborted->producer_id, aborted->first_offset});
        collect->complete = aborted->last_stable_offset >= collect->limit_offset; // later ones began later
    }
    mem_free(list.items);
    return s;
}

struct status log_aborted_transactions(struct log *log, int64_t offset, int64_t limit_offset, struct arena *arena,
                                       struct log_aborted **ret_aborted, int32_t *ret_count)
{
    struct collect collect = {.arena = arena, .offset = offset, .limit_offset = limit_offset};
    struct log_view view;
    log__view(log, offset, limit_offset, &view);
    struct status s = STATUS_OK;
    for (struct log_segment *segment = view.segment; segment;) {
        s = collect_segment(segment, &collect);
        struct log_segment *next =
            status_is_ok(s) && !collect.complete ? log__segment_after(log, segment->base_offset) : NULL;
        segment__unref(segment);
        segment = next;
    }
    TRY(s);
    *ret_aborted = collect.aborted;
    *ret_count = collect.count;
    return STATUS_OK;
}
