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

enum { ENTRY_BYTES = 34, DECIDED_MAX = 4096, MARKER_ABORT = 0, MARKER_COMMIT = 1 };

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

static struct status index_append(struct log_segment *segment, int64_t producer_id, int64_t first_offset,
                                  int64_t marker_offset, int64_t last_stable_offset)
{
    uint8_t entry[ENTRY_BYTES] = {0};
    storage__put_be(entry + 2, (uint64_t)producer_id, 8);
    storage__put_be(entry + 10, (uint64_t)first_offset, 8);
    storage__put_be(entry + 18, (uint64_t)marker_offset, 8);
    storage__put_be(entry + 26, (uint64_t)last_stable_offset, 8);
    char path[SEGMENT_PATH_BYTES];
    segment__path(segment, ".txnindex", path);
    int file = io_open(path, IO_WRITE | IO_CREATE);
    if (file < 0)
        return STATUS(-file, "open a transaction index");
    int64_t size = io_file_size(file);
    struct status s =
        size < 0 ? STATUS((int)-size, "look at a transaction index") : file__write_all(file, entry, sizeof entry, size);
    if (status_is_ok(s) && io_fdatasync(file) < 0)
        s = STATUS(EIO, "sync a transaction index");
    io_close(file);
    return s;
}

struct marker {
    int type;
    int32_t coordinator_epoch;
    bool is_there;
};

/* Key: version i16, type i16. Value: version i16, coordinator epoch i32. A compacted batch may be empty. */
static struct marker marker_of(struct slice batch)
{
    struct marker marker = {0};
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, batch);
    if (record_walk_next(&walk, &record) && record.key.size >= 4 && record.value.size >= 6) {
        marker.type = (int)storage__be(record.key.data + 2, 2);
        marker.coordinator_epoch = (int32_t)storage__be(record.value.data + 2, 4);
        marker.is_there = marker.type == MARKER_ABORT || marker.type == MARKER_COMMIT;
    }
    record_walk_end(&walk);
    return marker;
}

struct status transactions__end(struct log *log, struct producer *producer, struct slice batch, int64_t offset,
                                bool write_index)
{
    struct marker marker = marker_of(batch);
    if (!marker.is_there)
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
    return index_append(log__active(log), producer->id, first, offset, unstable >= 0 ? unstable : offset + 1);
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
    char path[SEGMENT_PATH_BYTES];
    segment__path(segment, ".txnindex", path);
    struct buffer bytes CLEANUP(buffer_free) = {0};
    bool exists;
    TRY(file__read_all(path, &bytes, &exists));
    for (size_t at = 0; at + ENTRY_BYTES <= bytes.size && !collect->complete; at += ENTRY_BYTES) {
        int64_t id = (int64_t)storage__be(bytes.data + at + 2, 8),
                first = (int64_t)storage__be(bytes.data + at + 10, 8);
        int64_t marker = (int64_t)storage__be(bytes.data + at + 18, 8),
                stable = (int64_t)storage__be(bytes.data + at + 26, 8);
        if (marker >= collect->offset && first < collect->limit_offset)
            TRY(collect_add(collect, (struct log_aborted){id, first}));
        collect->complete = stable >= collect->limit_offset; // later ones began later
    }
    return STATUS_OK;
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
