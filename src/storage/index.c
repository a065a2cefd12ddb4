// SPDX-License-Identifier: Apache-2.0
/* storage/index.c - the offset index (.index: relative offset, position; 8 bytes) and the time index (.timeindex: largest
 * timestamp so far, relative offset of the end of its batch; 12 bytes), big endian, sparse: an entry each
 * index.interval.bytes.
 *
 * New entries collect in a few hundred bytes of memory and are written in pieces; a crash loses nothing, since recovery
 * rebuilds them. Nothing is mmapped: a look-up searches the memory, then the file, whose entries never change but by a
 * truncation. Kafka preallocates index files: zeros behind the last entry are no entries. A lost index costs time, never
 * an answer: the search starts at the beginning of the segment then.
 */
#include "storage/storage__.h"

enum { TAIL_ENTRIES = 32, ENTRY_MAX_BYTES = 12, SEARCH_BYTES = 4096 };
static const int KEY_BYTES[INDEX_KINDS] = {4, 8};
static const int ENTRY_BYTES[INDEX_KINDS] = {8, 12};

void index__free(struct log_segment *segment)
{
    for (int kind = 0; kind < INDEX_KINDS; kind++)
        mem_free(segment->indexes[kind].tail);
}

static struct index_entry entry_at(enum index_kind kind, const uint8_t *bytes, uint32_t at)
{
    const uint8_t *p = bytes + (size_t)at * (size_t)ENTRY_BYTES[kind];
    return (struct index_entry){storage__be(p, KEY_BYTES[kind]), (uint32_t)storage__be(p + KEY_BYTES[kind], 4)};
}

static struct status read_entry(enum index_kind kind, int file, uint32_t at, struct index_entry *ret_entry)
{
    uint8_t bytes[ENTRY_MAX_BYTES];
    TRY(file__read_exactly(file, bytes, (size_t)ENTRY_BYTES[kind], (int64_t)at * ENTRY_BYTES[kind]));
    *ret_entry = entry_at(kind, bytes, 0);
    return STATUS_OK;
}

/* Entries are non-zero up to the padding: binary search for the first of zeros. */
static struct status count_entries(enum index_kind kind, int file, uint32_t *ret_count)
{
    int64_t size = io_file_size(file);
    if (size < 0)
        return STATUS((int)-size, "look at an index's size");
    uint32_t low = 0, high = (uint32_t)min_i64(size / ENTRY_BYTES[kind], INT32_MAX);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct index_entry entry;
        TRY(read_entry(kind, file, middle, &entry));
        if (entry.key == 0 && entry.value == 0)
            high = middle;
        else
            low = middle + 1;
    }
    *ret_count = low;
    return STATUS_OK;
}

/* Opens and counts on first use, by whichever thread comes first. Only the writer makes a file that is not there. */
static struct status count_now(struct log_segment *segment, enum index_kind kind, bool make)
{
    struct index *index = &segment->indexes[kind];
    int handle;
    uint32_t count = 0;
    struct status s = segment_file__get(segment, kind, make ? IO_CREATE : 0, &handle);
    if (s.error == ENOENT)
        return STATUS_OK;
    TRY(s);
    s = count_entries(kind, handle, &count);
    io_lock_take(segment->lock);
    if (status_is_ok(s) && !index->counted) {
        index->file_count = count;
        index->counted = true;
    }
    io_lock_release(segment->lock);
    segment_file__put(segment, kind);
    return s;
}

/* Counts on first use, by whichever thread comes first. Only the writer makes a file that is not there. */
static struct status prepare(struct log_segment *segment, enum index_kind kind, bool make)
{
    io_lock_take(segment->lock);
    bool ready = segment->indexes[kind].counted;
    io_lock_release(segment->lock);
    return ready ? STATUS_OK : count_now(segment, kind, make);
}

static struct status spill(struct log_segment *segment, enum index_kind kind)
{
    TRY(prepare(segment, kind, true));
    struct index *index = &segment->indexes[kind];
    if (index->tail_count == 0)
        return STATUS_OK;
    size_t size = (size_t)index->tail_count * (size_t)ENTRY_BYTES[kind];
    TRY(segment_file__write(segment, kind, index->tail, size, (int64_t)index->file_count * ENTRY_BYTES[kind]));
    io_lock_take(segment->lock);
    index->file_count += index->tail_count;
    index->tail_count = 0;
    io_lock_release(segment->lock);
    segment->indexes_synced = false;
    return STATUS_OK;
}

struct status index__make(struct log_segment *segment)
{
    TRY(prepare(segment, INDEX_OFFSET, true));
    TRY(prepare(segment, INDEX_TIME, true));
    return index__truncate(segment, segment->base_offset, 0);
}

struct status index__sync(struct log_segment *segment)
{
    TRY(spill(segment, INDEX_OFFSET));
    TRY(spill(segment, INDEX_TIME));
    if (segment->indexes_synced)
        return STATUS_OK;
    for (int kind = 0; kind < INDEX_KINDS; kind++) {
        TRY(segment_file__truncate(segment, kind, (int64_t)segment->indexes[kind].file_count * ENTRY_BYTES[kind]));
        TRY(segment_file__sync(segment, kind));
    }
    segment->indexes_synced = true;
    return STATUS_OK;
}

struct status index__entries(struct log_segment *segment, enum index_kind kind, int64_t *ret_count)
{
    TRY(prepare(segment, kind, false));
    io_lock_take(segment->lock);
    *ret_count = (int64_t)segment->indexes[kind].file_count + segment->indexes[kind].tail_count;
    io_lock_release(segment->lock);
    return STATUS_OK;
}

static struct status entry_in_file(struct log_segment *segment, enum index_kind kind, uint32_t at,
                                   struct index_entry *ret_entry)
{
    int handle;
    TRY(segment_file__get(segment, kind, 0, &handle));
    struct status s = read_entry(kind, handle, at, ret_entry);
    segment_file__put(segment, kind);
    return s;
}

struct status index__last(struct log_segment *segment, enum index_kind kind, struct index_entry *ret_entry,
                          bool *ret_found)
{
    struct index *index = &segment->indexes[kind];
    TRY(prepare(segment, kind, false));
    io_lock_take(segment->lock);
    uint32_t tail_count = index->tail_count, file_count = index->file_count;
    if (tail_count > 0)
        *ret_entry = entry_at(kind, index->tail, tail_count - 1);
    io_lock_release(segment->lock);
    *ret_found = tail_count + file_count > 0;
    return tail_count == 0 && file_count > 0 ? entry_in_file(segment, kind, file_count - 1, ret_entry) : STATUS_OK;
}

static struct status add(struct log_segment *segment, enum index_kind kind, struct index_entry entry)
{
    TRY(prepare(segment, kind, true));
    struct index *index = &segment->indexes[kind];
    if (index->tail_count == TAIL_ENTRIES)
        TRY(spill(segment, kind));
    io_lock_take(segment->lock);
    if (!index->tail)
        index->tail = mem_alloc((size_t)TAIL_ENTRIES * (size_t)ENTRY_BYTES[kind]);
    uint8_t *p = index->tail + (size_t)index->tail_count * (size_t)ENTRY_BYTES[kind];
    storage__put_be(p, entry.key, KEY_BYTES[kind]);
    storage__put_be(p + KEY_BYTES[kind], entry.value, 4);
    index->tail_count++;
    io_lock_release(segment->lock);
    return STATUS_OK;
}

/* Only times that grow are kept. */
struct status index__last_time(struct log_segment *segment)
{
    int64_t timestamp_ms, offset;
    TRY(segment__max_timestamp(segment, &timestamp_ms, &offset));
    struct index_entry last;
    bool found;
    TRY(index__last(segment, INDEX_TIME, &last, &found));
    if (timestamp_ms < 0 || (found && (int64_t)last.key >= timestamp_ms))
        return STATUS_OK;
    return add(segment, INDEX_TIME,
               (struct index_entry){(uint64_t)timestamp_ms, (uint32_t)(offset - segment->base_offset)});
}

struct status index__note(struct log_segment *segment, const struct log_config *config, int64_t last_offset,
                          int64_t position, int64_t size_bytes, int64_t max_timestamp_ms)
{
    assert(segment->max_timestamp_known && last_offset >= segment->base_offset);
    if (max_timestamp_ms > segment->max_timestamp_ms) {
        io_lock_take(segment->lock);
        segment->max_timestamp_ms = max_timestamp_ms;
        segment->max_timestamp_offset = last_offset;
        io_lock_release(segment->lock);
    }
    if (segment->bytes_since_index > config->index_interval_bytes) {
        struct index_entry entry = {(uint64_t)(last_offset - segment->base_offset), (uint32_t)position};
        TRY(add(segment, INDEX_OFFSET, entry));
        TRY(index__last_time(segment));
        segment->bytes_since_index = 0;
    }
    segment->bytes_since_index += size_bytes;
    return STATUS_OK;
}

struct status index__is_full(struct log_segment *segment, const struct log_config *config, bool *ret_is_full)
{
    TRY(prepare(segment, INDEX_OFFSET, false));
    TRY(prepare(segment, INDEX_TIME, false));
    const struct index *offsets = &segment->indexes[INDEX_OFFSET], *times = &segment->indexes[INDEX_TIME];
    int64_t offsets_max = config->segment_index_bytes / ENTRY_BYTES[INDEX_OFFSET];
    int64_t times_max = config->segment_index_bytes / ENTRY_BYTES[INDEX_TIME];
    *ret_is_full = (int64_t)offsets->file_count + offsets->tail_count >= offsets_max ||
                   (int64_t)times->file_count + times->tail_count >= times_max - 1;
    return STATUS_OK;
}

/* ---- look-ups. Which half of an entry is compared. */
typedef bool above_fn(struct index_entry entry, uint64_t wanted);

static bool key_above(struct index_entry entry, uint64_t wanted)
{
    return entry.key > wanted;
}

static bool value_above(struct index_entry entry, uint64_t wanted)
{
    return entry.value > wanted;
}

/* How many of the entries are not above `wanted`. */
static uint32_t search_memory(enum index_kind kind, const uint8_t *bytes, uint32_t count, above_fn *above,
                              uint64_t wanted)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (above(entry_at(kind, bytes, middle), wanted))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* By halves until the rest fits into one read. */
static struct status search_handle(enum index_kind kind, int file, uint32_t count, above_fn *above, uint64_t wanted,
                                   uint32_t *ret_count)
{
    uint32_t low = 0, high = count, fits = (uint32_t)(SEARCH_BYTES / ENTRY_BYTES[kind]);
    while (high - low > fits) {
        uint32_t middle = low + (high - low) / 2;
        struct index_entry entry;
        TRY(read_entry(kind, file, middle, &entry));
        if (above(entry, wanted))
            high = middle;
        else
            low = middle + 1;
    }
    uint8_t bytes[SEARCH_BYTES];
    TRY(file__read_exactly(file, bytes, (size_t)(high - low) * (size_t)ENTRY_BYTES[kind],
                           (int64_t)low * ENTRY_BYTES[kind]));
    *ret_count = low + search_memory(kind, bytes, high - low, above, wanted);
    return STATUS_OK;
}

/* How many of the first `count` entries of the file are not above `wanted`, and the last of them. */
static struct status search_file(struct log_segment *segment, enum index_kind kind, uint32_t count, above_fn *above,
                                 uint64_t wanted, uint32_t *ret_count, struct index_entry *ret_last)
{
    int handle;
    TRY(segment_file__get(segment, kind, 0, &handle));
    struct status s = search_handle(kind, handle, count, above, wanted, ret_count);
    if (status_is_ok(s) && *ret_count > 0 && ret_last)
        s = read_entry(kind, handle, *ret_count - 1, ret_last);
    segment_file__put(segment, kind);
    return s;
}

/* The last entry not above `wanted`. */
static struct status find_last(struct log_segment *segment, enum index_kind kind, above_fn *above, uint64_t wanted,
                               struct index_entry *ret_entry, bool *ret_found)
{
    TRY(prepare(segment, kind, false));
    struct index *index = &segment->indexes[kind];
    io_lock_take(segment->lock);
    uint32_t in_tail = search_memory(kind, index->tail, index->tail_count, above, wanted),
             file_count = index->file_count;
    if (in_tail > 0)
        *ret_entry = entry_at(kind, index->tail, in_tail - 1);
    io_lock_release(segment->lock);
    *ret_found = in_tail > 0;
    if (in_tail > 0 || file_count == 0)
        return STATUS_OK;
    uint32_t in_file = 0;
    TRY(search_file(segment, kind, file_count, above, wanted, &in_file, ret_entry));
    *ret_found = in_file > 0;
    return STATUS_OK;
}

struct status index__position(struct log_segment *segment, int64_t offset, int64_t *ret_position)
{
    struct index_entry entry;
    bool found = false;
    if (offset > segment->base_offset)
        TRY(find_last(segment, INDEX_OFFSET, key_above, (uint64_t)(offset - segment->base_offset), &entry, &found));
    *ret_position = found ? entry.value : 0;
    return STATUS_OK;
}

struct status index__position_below(struct log_segment *segment, int64_t position, int64_t *ret_position)
{
    struct index_entry entry;
    bool found;
    TRY(find_last(segment, INDEX_OFFSET, value_above, (uint64_t)position, &entry, &found));
    *ret_position = found ? entry.value : 0;
    return STATUS_OK;
}

struct status index__offset_by_time(struct log_segment *segment, int64_t timestamp_ms, int64_t *ret_offset)
{
    struct index_entry entry;
    bool found = false;
    if (timestamp_ms > 0) // an entry with that very time may lie behind its first record
        TRY(find_last(segment, INDEX_TIME, key_above, (uint64_t)timestamp_ms - 1, &entry, &found));
    *ret_offset = segment->base_offset + (found ? entry.value : 0);
    return STATUS_OK;
}

static void keep(struct log_segment *segment, enum index_kind kind, uint32_t count)
{
    struct index *index = &segment->indexes[kind];
    io_lock_take(segment->lock);
    index->tail_count = count > index->file_count ? count - index->file_count : 0;
    index->file_count = count < index->file_count ? count : index->file_count;
    io_lock_release(segment->lock);
    segment->indexes_synced = false;
}

/* Entries in the file, or beyond it in memory, that are not above `wanted`. */
static struct status count_kept(struct log_segment *segment, enum index_kind kind, above_fn *above, uint64_t wanted,
                                uint32_t *ret_count)
{
    const struct index *index = &segment->indexes[kind];
    uint32_t in_tail = search_memory(kind, index->tail, index->tail_count, above, wanted);
    *ret_count = index->file_count + in_tail;
    if (in_tail > 0 || index->file_count == 0)
        return STATUS_OK;
    return search_file(segment, kind, index->file_count, above, wanted, ret_count, NULL);
}

/* Drops entries from which on one of the halves is not below the given. Writes nothing: it must work on a full disk too. */
struct status index__truncate(struct log_segment *segment, int64_t offset, int64_t position)
{
    for (int kind = 0; kind < INDEX_KINDS; kind++)
        TRY(prepare(segment, kind, false));
    uint32_t count = 0, by_position = 0, times = 0;
    uint64_t relative = (uint64_t)max_i64(offset - segment->base_offset, 0);
    if (relative > 0 && position > 0) {
        TRY(count_kept(segment, INDEX_OFFSET, key_above, relative - 1, &count));
        TRY(count_kept(segment, INDEX_OFFSET, value_above, (uint64_t)position - 1, &by_position));
        TRY(count_kept(segment, INDEX_TIME, value_above, relative - 1, &times));
    }
    keep(segment, INDEX_OFFSET, count < by_position ? count : by_position);
    keep(segment, INDEX_TIME, times);
    for (int kind = 0; kind < INDEX_KINDS; kind++) {
        const struct index *index = &segment->indexes[kind];
        if (index->counted)
            TRY(segment_file__truncate(segment, kind, (int64_t)index->file_count * ENTRY_BYTES[kind]));
    }
    io_lock_take(segment->lock);
    segment->max_timestamp_known = false;
    io_lock_release(segment->lock);
    return STATUS_OK;
}
