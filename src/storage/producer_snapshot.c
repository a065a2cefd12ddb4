// SPDX-License-Identifier: Apache-2.0
/* storage/producer_snapshot.c - <offset>.snapshot: each producer's newest batch at that offset.
 *
 * Version 1: version i16, CRC-32C u32 of what follows, then the generated codec's entries. Written at each roll, at
 * checkpoints and on a clean stop; a damaged one is ignored and removed, since the log has the truth.
 */
#include "storage/storage__.h"

#include "wire/gen/records_producer_snapshot.h"

#include <stdlib.h>

enum {
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_CRC_AT = 2,
    SNAPSHOT_BODY_AT = 6,
    SNAPSHOT_MAX_BYTES = 1 << 30,
    OFFSET_DIGITS = 20
};

static void path_of(const struct log *log, int64_t offset, char ret_path[SEGMENT_PATH_BYTES])
{
    snprintf(ret_path, SEGMENT_PATH_BYTES, "%s/%020lld.snapshot", log->directory, (long long)offset);
}

static struct producer_snapshot_producer_entry entry_of(const struct producer *producer)
{
    struct producer_snapshot_producer_entry entry = {
        .producer_id = producer->id,
        .epoch = producer->epoch,
        .last_sequence = -1,
        .last_offset = -1,
        .timestamp = producer->last_timestamp_ms,
        .coordinator_epoch = producer->coordinator_epoch,
        .current_txn_first_offset = producer->txn_first_offset,
    };
    if (producer->batch_count > 0) {
        const struct producer_batch *last = &producer->batches[producer->batch_count - 1];
        entry.last_sequence = last->last_sequence;
        entry.last_offset = last->last_offset;
        entry.offset_delta = last->offset_delta;
    }
    return entry;
}

static bool is_segment_base(const struct log *log, int64_t offset)
{
    for (int i = 0; i < log->segment_count; i++)
        if (log->segments[i]->base_offset == offset)
            return true;
    return false;
}

static struct status write_all(struct log *log, int64_t offset, struct wire_writer *out)
{
    wire_write_i16(out, SNAPSHOT_VERSION);
    wire_write_i32(out, 0); // CRC, below
    wire_write_i32(out, (int32_t)log->producers.count);
    for (struct hash_node *node = NULL; (node = hash_iterate(&log->producers, node));) {
        struct producer_snapshot_producer_entry entry = entry_of(CONTAINER_OF(node, struct producer, in_producers));
        producer_snapshot_producer_entry_write(out, SNAPSHOT_VERSION, &entry);
    }
    wire_writer_patch_i32(out, SNAPSHOT_CRC_AT,
                          (int32_t)crc32c(out->data + SNAPSHOT_BODY_AT, out->size - SNAPSHOT_BODY_AT));
    char path[SEGMENT_PATH_BYTES];
    path_of(log, offset, path);
    return file__replace(path, out->data, out->size);
}

struct status producers__snapshot_write(struct log *log, int64_t offset)
{
    int64_t before = log->snapshot_offset;
    if (offset == 0 || offset == before)
        return STATUS_OK;
    struct wire_writer out CLEANUP(wire_writer_free);
    wire_writer_init(&out, SNAPSHOT_MAX_BYTES);
    TRY(write_all(log, offset, &out));
    log->snapshot_offset = offset;
    if (before >= 0 && !is_segment_base(log, before)) {
        char path[SEGMENT_PATH_BYTES];
        path_of(log, before, path);
        io_unlink(path); // only room is lost when it stays
    }
    return STATUS_OK;
}

static void producer_restore(struct log *log, const struct producer_snapshot_producer_entry *entry)
{
    struct producer *producer = producers__find_or_add(log, entry->producer_id);
    producer->epoch = entry->epoch;
    producer->coordinator_epoch = entry->coordinator_epoch;
    producer->txn_first_offset = entry->current_txn_first_offset;
    producer->last_timestamp_ms = entry->timestamp;
    if (entry->last_sequence < 0)
        return;
    producer->batch_count = 1;
    producer->history_is_cut = true;
    producer->batches[0] = (struct producer_batch){
        .base_sequence = producers__sequence_add(entry->last_sequence, -entry->offset_delta),
        .last_sequence = entry->last_sequence,
        .last_offset = entry->last_offset,
        .offset_delta = entry->offset_delta,
        .timestamp_ms = entry->timestamp,
    };
}

static bool has_expired(const struct log *log, const struct producer_snapshot_producer_entry *entry, int64_t now_ms)
{
    return entry->current_txn_first_offset < 0 &&
           sub_i64(now_ms, entry->timestamp) >= log->config.producer_id_expiration_ms;
}

static bool is_sound(const struct producer_snapshot_producer_entry *entry)
{
    return entry->producer_id >= 0 && entry->offset_delta >= 0 && entry->last_offset >= -1 &&
           entry->last_sequence >= -1 && (entry->last_sequence < 0 || entry->last_offset >= entry->offset_delta);
}

/* False when the file is damaged. */
static bool restore(struct log *log, const struct buffer *bytes, int64_t now_ms)
{
    struct wire_reader reader;
    wire_reader_init(&reader, bytes->data, bytes->size);
    if (wire_read_i16(&reader) != SNAPSHOT_VERSION || bytes->size < SNAPSHOT_BODY_AT)
        return false;
    struct arena arena CLEANUP(arena_free);
    arena_init(&arena, 4096, bytes->size * 8 + 65536);
    struct producer_snapshot snapshot;
    producer_snapshot_read(&reader, SNAPSHOT_VERSION, &arena, &snapshot);
    if (!wire_reader_finish(&reader) || arena.failed ||
        snapshot.crc != crc32c(bytes->data + SNAPSHOT_BODY_AT, bytes->size - SNAPSHOT_BODY_AT))
        return false;
    for (int32_t i = 0; i < snapshot.producer_entries_count; i++)
        if (!is_sound(&snapshot.producer_entries[i]))
            return false;
    for (int32_t i = 0; i < snapshot.producer_entries_count; i++)
        if (!has_expired(log, &snapshot.producer_entries[i], now_ms))
            producer_restore(log, &snapshot.producer_entries[i]);
    transactions__update(log);
    return true;
}

/* ---- which snapshots are there */
struct listing {
    int64_t *offsets;
    size_t count, capacity;
};

static void listing_free(struct listing *listing)
{
    mem_free(listing->offsets);
}

static void listing_add(void *context, const char *name)
{
    struct listing *listing = context;
    char *end;
    long long offset = strtoll(name, &end, 10);
    if (end != name + OFFSET_DIGITS || strcmp(end, ".snapshot") != 0 || offset < 0)
        return;
    if (listing->count == listing->capacity) {
        listing->capacity = listing->capacity ? listing->capacity * 2 : 16;
        listing->offsets = mem_realloc(listing->offsets, listing->capacity * sizeof *listing->offsets);
    }
    listing->offsets[listing->count++] = offset;
}

static struct status list(const struct log *log, struct listing *ret_listing)
{
    int error = io_list_dir(log->directory, listing_add, ret_listing);
    return error < 0 ? STATUS(-error, "list a partition's directory") : STATUS_OK;
}

static int64_t newest(const struct listing *listing, int64_t not_after_offset)
{
    int64_t offset = -1;
    for (size_t i = 0; i < listing->count; i++)
        if (listing->offsets[i] <= not_after_offset)
            offset = max_i64(offset, listing->offsets[i]);
    return offset;
}

static void remove_one(const struct log *log, int64_t offset)
{
    char path[SEGMENT_PATH_BYTES];
    path_of(log, offset, path);
    int error = io_unlink(path);
    if (error < 0 && error != -ENOENT)
        LOG(LOG_WARN, "storage", "%s stays: %s", path, strerror(-error));
}

struct status producers__snapshot_load(struct log *log, int64_t not_after_offset, int64_t now_ms, int64_t *ret_offset)
{
    struct listing listing CLEANUP(listing_free) = {0};
    TRY(list(log, &listing));
    for (size_t i = 0; i < listing.count; i++)
        if (listing.offsets[i] > not_after_offset)
            remove_one(log, listing.offsets[i]);
    *ret_offset = 0;
    log->snapshot_offset = -1;
    for (int64_t limit = not_after_offset, offset; (offset = newest(&listing, limit)) >= 0; limit = offset - 1) {
        char path[SEGMENT_PATH_BYTES];
        path_of(log, offset, path);
        struct buffer bytes CLEANUP(buffer_free) = {0};
        bool exists;
        TRY(file__read_all(path, &bytes, &exists));
        if (restore(log, &bytes, now_ms)) {
            *ret_offset = log->snapshot_offset = offset;
            return STATUS_OK;
        }
        LOG(LOG_WARN, "storage", "ignored the damaged producer snapshot %s", path);
        producers__clear(log);
        remove_one(log, offset);
    }
    return STATUS_OK;
}

struct status producers__snapshot_tidy(struct log *log)
{
    struct listing listing CLEANUP(listing_free) = {0};
    TRY(list(log, &listing));
    int64_t keep = newest(&listing, INT64_MAX);
    for (size_t i = 0; i < listing.count; i++)
        if (listing.offsets[i] != keep && !is_segment_base(log, listing.offsets[i]))
            remove_one(log, listing.offsets[i]);
    return STATUS_OK;
}
