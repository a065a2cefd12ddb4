// SPDX-License-Identifier: Apache-2.0
/* cli/inspect_small.c - the files beside the segments: indexes, transaction indexes, producer snapshots, and those of text.
 *
 *   .index       relative offset u32, position u32
 *   .timeindex   timestamp i64, relative offset u32
 *   .txnindex    version i16, producer id i64, first offset i64, marker's offset i64, last stable offset i64
 *   .snapshot    version i16, CRC-32C u32, entries
 * All big endian. Zeros at the end of an index are room that Kafka has set aside.
 */
#include "cli/inspect.h"
#include "io/io.h"
#include "record/record.h"
#include "wire/gen/records_producer_snapshot.h"

#include <errno.h>
#include <stdlib.h>

enum {
    INDEX_ENTRY_BYTES = 8,
    TIME_ENTRY_BYTES = 12,
    TRANSACTION_ENTRY_BYTES = 34,
    SNAPSHOT_BODY_AT = 6,
    SMALL_MAX_BYTES = 1 << 30
};

static uint64_t be(const uint8_t *p, int size)
{
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value = value << 8 | p[i];
    return value;
}

bool inspect__read_all(struct inspection *inspection, struct buffer *ret_bytes)
{
    int file = io_open(inspection->path, IO_READ);
    int64_t size = file < 0 ? file : io_file_size(file), got = 0;
    if (size > SMALL_MAX_BYTES)
        size = -EFBIG;
    if (size >= 0)
        buffer_reserve(ret_bytes, (size_t)size + 1);
    for (int64_t more = 1; got < size && more > 0; got += max_i64(more, 0))
        more = io_pread(file, ret_bytes->data + got, (size_t)(size - got), got);
    io_close(file);
    if (size < 0 || got < size) {
        inspect__finding(inspection, -1, "cannot be read: %s", size < 0 ? strerror((int)-size) : "it ends early");
        return false;
    }
    ret_bytes->size = (size_t)size;
    inspect__progress(inspection, size);
    return true;
}

struct place {
    int64_t last_offset; // of the batch there; -1: none begins there
    bool is_old;         // a message of format 0 or 1
};

static struct place place_at(int log, int64_t position)
{
    uint8_t bytes[RECORD_BATCH_HEAD_BYTES], room[RECORD_BATCH_HEAD_BYTES];
    int64_t got = io_pread(log, bytes, sizeof bytes, position);
    const uint8_t *head = got > 0 ? record_stored_head(slice_of(bytes, (size_t)got), room) : NULL;
    if (!head)
        return (struct place){-1, false};
    return (struct place){record_batch_next_offset(head) - 1, head[RECORD_BATCH_MAGIC_AT] < 2};
}

struct index_entry {
    int64_t at, timestamp_ms, offset, position; // timestamp -1: an offset index; position -1: a time index
};

static void check_entry(struct inspection *inspection, int log, const struct index_entry *entry,
                        const struct index_entry *before)
{
    if (entry->offset < before->offset || (entry->position >= 0 && entry->offset == before->offset))
        inspect__finding(inspection, entry->at, "offset %lld comes after %lld", (long long)entry->offset,
                         (long long)before->offset);
    if (entry->position < 0 && entry->timestamp_ms <= before->timestamp_ms)
        inspect__finding(inspection, entry->at, "timestamp %lld comes after %lld", (long long)entry->timestamp_ms,
                         (long long)before->timestamp_ms);
    if (entry->position < 0 || log < 0)
        return;
    struct place found = place_at(log, entry->position);
    if (found.last_offset < 0)
        inspect__finding(inspection, entry->at, "no batch begins at position %lld of the segment",
                         (long long)entry->position);
    else if (found.last_offset < entry->offset && !found.is_old) // of old messages several were appended at once
        inspect__finding(inspection, entry->at, "the batch at position %lld ends with offset %lld, not %lld",
                         (long long)entry->position, (long long)found.last_offset, (long long)entry->offset);
}

static struct index_entry entry_of(const uint8_t *p, enum file_kind kind, int64_t base, int64_t at)
{
    if (kind == FILE_INDEX)
        return (struct index_entry){at, -1, base + (int64_t)be(p, 4), (int64_t)be(p + 4, 4)};
    return (struct index_entry){at, (int64_t)be(p, 8), base + (int64_t)be(p + 8, 4), -1};
}

static bool is_room(const uint8_t *p, size_t size)
{
    return be(p, 8) == 0 && (size == INDEX_ENTRY_BYTES || be(p + 8, 4) == 0);
}

void inspect__index(struct inspection *inspection, enum file_kind kind, const char *log_path)
{
    struct buffer bytes CLEANUP(buffer_free) = {0};
    if (!inspect__read_all(inspection, &bytes))
        return;
    size_t size = kind == FILE_INDEX ? INDEX_ENTRY_BYTES : TIME_ENTRY_BYTES;
    int log = io_open(log_path, IO_READ);
    int64_t base = inspect__base_offset(inspection->path);
    struct index_entry before = {-1, -1, -1, -1};
    for (size_t at = 0; at + size <= bytes.size && !is_room(bytes.data + at, size); at += size) {
        struct index_entry entry = entry_of(bytes.data + at, kind, base, (int64_t)at);
        json_t *item = inspect__item(inspection, kind == FILE_INDEX ? "index" : "timeindex");
        if (kind == FILE_TIME_INDEX)
            inspect__time(item, "timestamp", entry.timestamp_ms);
        inspect__number(item, "offset", entry.offset);
        if (kind == FILE_INDEX)
            inspect__number(item, "position", entry.position);
        inspect__put(inspection, item);
        check_entry(inspection, log, &entry, &before);
        before = entry;
    }
    if (bytes.size % size != 0)
        inspect__finding(inspection, (int64_t)(bytes.size - bytes.size % size), "an entry has %zu bytes, %zu are left",
                         size, bytes.size % size);
    io_close(log);
}

void inspect__transaction_index(struct inspection *inspection)
{
    struct buffer bytes CLEANUP(buffer_free) = {0};
    if (!inspect__read_all(inspection, &bytes))
        return;
    for (size_t at = 0; at + TRANSACTION_ENTRY_BYTES <= bytes.size; at += TRANSACTION_ENTRY_BYTES) {
        const uint8_t *p = bytes.data + at;
        int64_t first = (int64_t)be(p + 10, 8), marker = (int64_t)be(p + 18, 8);
        json_t *item = inspect__item(inspection, "aborted");
        inspect__number(item, "producerId", (int64_t)be(p + 2, 8));
        inspect__number(item, "firstOffset", first);
        inspect__number(item, "markerOffset", marker);
        inspect__number(item, "lastStableOffset", (int64_t)be(p + 26, 8));
        inspect__put(inspection, item);
        if (be(p, 2) != 0 || first > marker)
            inspect__finding(inspection, (int64_t)at, "no sound entry: version %d, from %lld to %lld", (int)be(p, 2),
                             (long long)first, (long long)marker);
    }
    if (bytes.size % TRANSACTION_ENTRY_BYTES != 0)
        inspect__finding(inspection, -1, "its size is no multiple of %d", TRANSACTION_ENTRY_BYTES);
}

static void tell_producer(const struct inspection *inspection, const struct producer_snapshot_producer_entry *entry)
{
    json_t *item = inspect__item(inspection, "producer");
    inspect__number(item, "producerId", entry->producer_id);
    inspect__number(item, "epoch", entry->epoch);
    inspect__number(item, "lastSequence", entry->last_sequence);
    inspect__number(item, "lastOffset", entry->last_offset);
    inspect__number(item, "offsetDelta", entry->offset_delta);
    inspect__time(item, "timestamp", entry->timestamp);
    inspect__number(item, "coordinatorEpoch", entry->coordinator_epoch);
    if (entry->current_txn_first_offset >= 0)
        inspect__number(item, "openTransactionFrom", entry->current_txn_first_offset);
    inspect__put(inspection, item);
}

void inspect__producer_snapshot(struct inspection *inspection)
{
    struct buffer bytes CLEANUP(buffer_free) = {0};
    if (!inspect__read_all(inspection, &bytes))
        return;
    struct wire_reader reader;
    struct arena arena CLEANUP(arena_free);
    struct producer_snapshot snapshot;
    wire_reader_init(&reader, bytes.data, bytes.size);
    arena_init(&arena, 4096, bytes.size * 8 + 65536);
    int16_t version = wire_read_i16(&reader);
    producer_snapshot_read(&reader, 1, &arena, &snapshot);
    if (version != 1 || !wire_reader_finish(&reader) || arena.failed) {
        inspect__finding(inspection, -1, "no producer snapshot of version 1");
        return;
    }
    if (snapshot.crc != crc32c(bytes.data + SNAPSHOT_BODY_AT, bytes.size - SNAPSHOT_BODY_AT))
        inspect__finding(inspection, -1, "its CRC is wrong");
    for (int32_t i = 0; i < snapshot.producer_entries_count; i++)
        tell_producer(inspection, &snapshot.producer_entries[i]);
}

/* "version 0, count, lines": as many lines as it says. */
static bool take_number(const char **at, long long *ret_number)
{
    char *end;
    *ret_number = strtoll(*at, &end, 10);
    bool is_line = end != *at && *end == '\n';
    *at = end + is_line;
    return is_line;
}

static void check_lines(struct inspection *inspection, const char *text)
{
    long long version, count, lines = 0;
    if (!take_number(&text, &version) || !take_number(&text, &count) || version != 0) {
        inspect__finding(inspection, -1, "no checkpoint of version 0");
        return;
    }
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    if (lines != count)
        inspect__finding(inspection, -1, "it says %lld lines and has %lld", count, lines);
}

void inspect__text_file(struct inspection *inspection)
{
    struct buffer bytes CLEANUP(buffer_free) = {0};
    if (!inspect__read_all(inspection, &bytes))
        return;
    buffer_append(&bytes, "", 1);
    const char *slash = strrchr(inspection->path, '/'), *name = slash ? slash + 1 : inspection->path;
    if (strstr(name, "-checkpoint"))
        check_lines(inspection, (const char *)bytes.data);
    char *at = (char *)bytes.data, *line;
    while ((line = strsep(&at, "\n"))) {
        if (!*line)
            continue;
        json_t *item = inspect__item(inspection, "line");
        inspect__bytes(item, "text", slice_str(line));
        inspect__put(inspection, item);
    }
}
