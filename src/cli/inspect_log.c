// SPDX-License-Identifier: Apache-2.0
/* cli/inspect_log.c - a segment, or a snapshot of metadata: batch after batch, record after record, every CRC.
 *
 * The file is read once, front to back, in chunks. Zeros at its end are room that was set aside. Where the bytes are no
 * batch the reading ends with a finding, since nothing behind it can be told apart.
 */
#include "cli/inspect.h"
#include "io/io.h"
#include "record/record.h"

#include <errno.h>

enum { CHUNK_BYTES = 1 << 20, BATCH_MAX_BYTES = 1 << 30 };

struct reading {
    struct inspection *inspection;
    struct segment_facts *facts;
    enum record_home home;
    int file;
    int64_t size_bytes, at;
    struct buffer chunk;
    int64_t chunk_at;
};

static struct slice peek(struct reading *reading, int64_t wanted)
{
    int64_t left = reading->size_bytes - reading->at;
    wanted = min_i64(wanted, left);
    int64_t have = reading->chunk_at + (int64_t)reading->chunk.size - reading->at;
    if (reading->at < reading->chunk_at || have < wanted) {
        int64_t read = min_i64(max_i64(wanted, CHUNK_BYTES), left), got = 0;
        reading->chunk.size = 0;
        buffer_reserve(&reading->chunk, (size_t)read + 1);
        for (int64_t more = 1; got < read && more > 0; got += max_i64(more, 0))
            more = io_pread(reading->file, reading->chunk.data + got, (size_t)(read - got), reading->at + got);
        reading->chunk.size = (size_t)got;
        reading->chunk_at = reading->at;
        have = got;
    }
    return slice_of(reading->chunk.data + (reading->at - reading->chunk_at), (size_t)max_i64(0, min_i64(have, wanted)));
}

static bool only_zeros_left(struct reading *reading)
{
    int64_t back = reading->at;
    bool zeros = true;
    while (zeros && reading->at < reading->size_bytes) {
        struct slice bytes = peek(reading, CHUNK_BYTES);
        for (size_t i = 0; i < bytes.size && zeros; i++)
            zeros = bytes.data[i] == 0;
        zeros &= bytes.size > 0;
        reading->at += (int64_t)bytes.size;
    }
    reading->at = back;
    return zeros;
}

/* ---- one batch */
static const char *codec_name(int attributes)
{
    static const char *const NAMES[8] = {"none", "gzip", "snappy", "lz4", "zstd", "?", "?", "?"};
    return NAMES[attributes & RECORD_ATTRIBUTE_CODEC];
}

/* `b`: the head in format 2, `stored`: the same, or that of the message which it was made of. */
static void tell_batch(const struct reading *reading, const uint8_t *stored, const uint8_t *b, bool is_intact)
{
    int attributes = record_batch_attributes(stored);
    json_t *item = inspect__item(reading->inspection, "batch");
    inspect__number(item, "position", reading->at);
    inspect__number(item, "bytes", record_batch_size(stored));
    if (stored[RECORD_BATCH_MAGIC_AT] < 2)
        inspect__number(item, "format", stored[RECORD_BATCH_MAGIC_AT]);
    inspect__number(item, "baseOffset", record_batch_base_offset(b));
    inspect__number(item, "lastOffset", record_batch_next_offset(b) - 1);
    inspect__number(item, "records", record_batch_count(b));
    inspect__number(item, "leaderEpoch", record_batch_leader_epoch(b));
    inspect__text(item, "codec", codec_name(attributes));
    inspect__time(item, attributes & RECORD_ATTRIBUTE_APPEND_TIME ? "appendTime" : "maxTimestamp",
                  record_batch_max_timestamp(b));
    if (record_batch_producer_id(b) >= 0) {
        inspect__number(item, "producerId", record_batch_producer_id(b));
        inspect__number(item, "producerEpoch", record_batch_producer_epoch(b));
        inspect__number(item, "baseSequence", record_batch_base_sequence(b));
    }
    if (attributes & RECORD_ATTRIBUTE_TRANSACTIONAL)
        inspect__flag(item, "transactional");
    if (attributes & RECORD_ATTRIBUTE_CONTROL)
        inspect__flag(item, "isControl");
    if (record_batch_delete_horizon(b) >= 0)
        inspect__time(item, "deleteHorizon", record_batch_delete_horizon(b));
    inspect__text(item, "crc", is_intact ? "ok" : "WRONG");
    inspect__put(reading->inspection, item);
}

static int64_t varlong(struct slice *rest)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && rest->size > 0; shift += 7) {
        uint8_t byte = *rest->data++;
        rest->size--;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return (int64_t)(value >> 1 ^ (0ull - (value & 1)));
    }
    return -1;
}

static struct slice sized(struct slice *rest)
{
    int64_t size = varlong(rest);
    if (size < 0 || (uint64_t)size > rest->size)
        return SLICE_NULL;
    struct slice s = slice_of(rest->data, (size_t)size);
    rest->data += size;
    rest->size -= (size_t)size;
    return s;
}

static void tell_headers(json_t *item, const struct record *record)
{
    if (!item || record->header_count <= 0)
        return;
    struct slice rest = record->headers;
    json_t *headers = json_array();
    varlong(&rest);
    for (int32_t i = 0; i < record->header_count; i++) {
        json_t *header = json_object();
        inspect__bytes(header, "name", sized(&rest));
        inspect__bytes(header, "value", sized(&rest));
        json_array_append_new(headers, header);
    }
    json_object_set_new(item, "headers", headers);
}

static void tell_record(const struct reading *reading, const struct record *record, bool is_control)
{
    json_t *item = inspect__item(reading->inspection, "record");
    inspect__number(item, "offset", record->offset);
    inspect__time(item, "timestamp", record->timestamp_ms);
    bool is_internal = reading->home != HOME_USER || is_control;
    if (item && (!is_internal || !inspect__decode(item, reading->home, is_control, record->key, record->value))) {
        inspect__bytes(item, "key", record->key);
        inspect__bytes(item, "value", record->value);
    }
    tell_headers(item, record);
    inspect__put(reading->inspection, item);
}

static void look_at_records(struct reading *reading, struct record_walk *walk)
{
    struct record record;
    int32_t count = 0;
    const uint8_t *head = walk->batch.data;
    bool is_control = record_batch_attributes(head) & RECORD_ATTRIBUTE_CONTROL;
    while (record_walk_next(walk, &record)) {
        tell_record(reading, &record, is_control);
        if (record.offset < record_batch_base_offset(head) || record.offset >= record_batch_next_offset(head))
            inspect__finding(reading->inspection, reading->at, "record with offset %lld outside of its batch",
                             (long long)record.offset);
        count++;
    }
    if (walk->failed || count != record_batch_count(head))
        inspect__finding(reading->inspection, reading->at, "the batch says %d records, %d can be read",
                         record_batch_count(head), count);
    reading->facts->records += (uint64_t)count;
}

/* What the walk needs is there only if the batch is intact; the head tells enough of one that is not. */
static void look_at_batch(struct reading *reading, struct slice batch, const uint8_t *stored)
{
    struct segment_facts *facts = reading->facts;
    uint8_t b[RECORD_BATCH_HEAD_BYTES];
    memcpy(b, stored, sizeof b);
    if (record_stored_is_intact(batch)) {
        struct record_walk walk;
        record_walk_begin(&walk, batch);
        memcpy(b, walk.batch.data, sizeof b);
        tell_batch(reading, stored, b, true);
        look_at_records(reading, &walk);
        record_walk_end(&walk);
    } else {
        tell_batch(reading, stored, b, false);
        inspect__finding(reading->inspection, reading->at, "CRC of the batch at offset %lld is wrong",
                         (long long)record_batch_base_offset(b));
    }
    if (record_batch_base_offset(b) < facts->next_offset)
        inspect__finding(reading->inspection, reading->at, "offset %lld comes after %lld",
                         (long long)record_batch_base_offset(b), (long long)facts->next_offset - 1);
    int32_t epoch = record_batch_leader_epoch(b);
    if (epoch >= 0 && epoch < facts->last_epoch)
        inspect__finding(reading->inspection, reading->at, "leader epoch %d comes after %d", epoch, facts->last_epoch);
    facts->batches++;
    facts->next_offset = record_batch_next_offset(b);
    facts->last_epoch = epoch > facts->last_epoch ? epoch : facts->last_epoch;
    facts->max_timestamp_ms = max_i64(facts->max_timestamp_ms, record_batch_max_timestamp(b));
}

static bool look_at_next(struct reading *reading)
{
    uint8_t room[RECORD_BATCH_HEAD_BYTES];
    struct slice bytes = peek(reading, RECORD_BATCH_HEAD_BYTES);
    const uint8_t *head = record_stored_head(bytes, room);
    int64_t size = head ? record_batch_size(head) : -1;
    if (!head || size > min_i64(BATCH_MAX_BYTES, reading->size_bytes - reading->at)) {
        if (!only_zeros_left(reading))
            inspect__finding(reading->inspection, reading->at, "no whole batch here; %lld bytes are left",
                             (long long)(reading->size_bytes - reading->at));
        return false;
    }
    bytes = peek(reading, size);
    if ((int64_t)bytes.size < size) {
        inspect__finding(reading->inspection, reading->at, "the file cannot be read");
        return false;
    }
    look_at_batch(reading, bytes, record_stored_head(bytes, room)); // the bytes may have moved
    reading->at += size;
    inspect__progress(reading->inspection, size);
    return true;
}

void inspect__log(struct inspection *inspection, struct segment_facts *ret_facts)
{
    int64_t base = inspect__base_offset(inspection->path);
    *ret_facts = (struct segment_facts){
        .base_offset = base, .next_offset = max_i64(base, 0), .max_timestamp_ms = -1, .last_epoch = -1};
    struct reading reading = {.inspection = inspection, .facts = ret_facts, .home = inspect__home(inspection->path)};
    reading.file = io_open(inspection->path, IO_READ);
    if (reading.file < 0) {
        inspect__finding(inspection, -1, "cannot be opened: %s", strerror(-reading.file));
        return;
    }
    bool is_snapshot = strstr(inspection->path, ".checkpoint") != NULL; // its offsets count from 0
    if (is_snapshot)
        ret_facts->next_offset = 0;
    reading.size_bytes = max_i64(0, io_file_size(reading.file));
    while (reading.at < reading.size_bytes && look_at_next(&reading))
        ;
    ret_facts->size_bytes = reading.at;
    buffer_free(&reading.chunk);
    io_close(reading.file);
}
