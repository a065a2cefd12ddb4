// SPDX-License-Identifier: Apache-2.0
/* ctrl/records.c - a list of metadata records on their way to the log, each encoded as it will lie there.
 *
 * Rules add to it and, where an element of a request is refused after all, cut back to where it began; so one request's
 * records are one list, and one atomic batch. Its size is bounded by what requests may ask for (CTRL_RECORDS_MAX).
 */
#include "ctrl/ctrl__.h"

void ctrl__records_init(struct ctrl__records *records)
{
    *records = (struct ctrl__records){0};
    wire_writer_init(&records->bytes, CTRL_RECORD_BYTES_MAX);
}

void ctrl__records_free(struct ctrl__records *records)
{
    wire_writer_free(&records->bytes);
    mem_free(records->pieces);
    *records = (struct ctrl__records){0};
}

void ctrl__records_cut(struct ctrl__records *records, int32_t count)
{
    assert(count >= 0 && count <= records->count);
    if (count < records->count)
        wire_writer_cut(&records->bytes, records->pieces[count].at);
    records->count = count;
}

static void note(struct ctrl__records *records, size_t at)
{
    assert(!wire_writer_failed(&records->bytes) && records->bytes.size > at); // rules write what the version can carry
    if (records->count == records->capacity) {
        records->capacity = records->capacity ? records->capacity * 2 : 16;
        records->pieces = mem_realloc(records->pieces, (size_t)records->capacity * sizeof *records->pieces);
    }
    records->pieces[records->count++] = (struct ctrl__piece){at, records->bytes.size - at};
}

void ctrl__records_add(struct ctrl__records *records, enum meta_record_type type, int16_t version, const void *value)
{
    size_t at = records->bytes.size;
    meta_record_write(&records->bytes, type, version, value);
    note(records, at);
}

void ctrl__records_add_encoded(struct ctrl__records *records, struct slice record)
{
    size_t at = records->bytes.size;
    wire_write_raw(&records->bytes, record.data, record.size);
    note(records, at);
}

struct slice ctrl__records_at(const struct ctrl__records *records, int32_t index)
{
    assert(index >= 0 && index < records->count);
    return slice_of(records->bytes.data + records->pieces[index].at, records->pieces[index].size);
}
