// SPDX-License-Identifier: Apache-2.0
/* wire/wire.h - bytes <-> structs: reader, writer, headers, and the registry of everything that has a layout.
 *
 * The codecs themselves are generated from schema/protocol (wire/gen/<name>.h, one for each file there). For a message or
 * a struct inside of one, named by its layout in snake case:
 *
 *   struct produce_request                                          strings, bytes, records: slices of the frame; arrays:
 *                                                                   pointer and <name>_count in the arena, -1 null
 *   void produce_request_init(struct produce_request *)             every field as its layout's default
 *   void produce_request_read(reader, version, arena, ret)          absent fields get their default; unknown tags are kept
 *   void produce_request_write(writer, version, in)                 a value that the version cannot carry fails the writer,
 *                                                                   unless its layout says ignorable
 * Structs inside: struct produce_request_partition_produce_data, and the same three functions.
 *
 * Faults are sticky: a reader or writer that has failed does nothing more, one look at the end tells.
 */
#pragma once

#include "base/base.h"
#include "wire/gen/apis.h"
#include "wire/gen/errors.h"

#include <stdalign.h>
#include <stddef.h>

/* ---- reader: a cursor over one frame */
struct wire_reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline void wire_reader_init(struct wire_reader *r, const void *data, size_t size)
{
    static const uint8_t nothing[1];
    r->at = data ? (const uint8_t *)data : nothing;
    r->end = r->at + (data ? size : 0);
    r->failed = false;
}

static inline bool wire_reader_failed(const struct wire_reader *r)
{
    return r->failed;
}

static inline size_t wire_reader_left(const struct wire_reader *r)
{
    return (size_t)(r->end - r->at);
}

/* True when nothing failed and everything was consumed. */
static inline bool wire_reader_finish(const struct wire_reader *r)
{
    return !r->failed && r->at == r->end;
}

void wire_reader_fail(struct wire_reader *r);
const uint8_t *wire_read_raw(struct wire_reader *r, size_t size); // NULL when fewer are left
int8_t wire_read_i8(struct wire_reader *r);
int16_t wire_read_i16(struct wire_reader *r);
int32_t wire_read_i32(struct wire_reader *r);
int64_t wire_read_i64(struct wire_reader *r);
double wire_read_f64(struct wire_reader *r);
bool wire_read_bool(struct wire_reader *r);
struct uuid wire_read_uuid(struct wire_reader *r);
uint32_t wire_read_uvarint(struct wire_reader *r);
int32_t wire_read_varint(struct wire_reader *r);  // zigzag
int64_t wire_read_varlong(struct wire_reader *r); // zigzag
/* A string; null is SLICE_NULL when `nullable`, a fault otherwise. An empty one has data. */
struct slice wire_read_string(struct wire_reader *r, bool flexible, bool nullable);
struct slice wire_read_bytes(struct wire_reader *r, bool flexible, bool nullable);
/* Elements to follow, each at least one byte; -1 for null when `nullable`. Bounded by the bytes left. */
int32_t wire_read_count(struct wire_reader *r, bool flexible, bool nullable);

/* ---- unknown tagged fields, kept as they came */
struct wire_tag {
    uint32_t tag;
    struct slice bytes;
};
struct wire_tags {
    struct wire_tag *items;
    int32_t count;
};

/* ---- writer: growable bytes with a limit. `counting` adds up sizes and stores nothing. */
struct wire_writer {
    uint8_t *data;
    size_t size, capacity, limit;
    bool failed, counting;
};

void wire_writer_init(struct wire_writer *w, size_t limit);
void wire_writer_init_counting(struct wire_writer *w);
/* Empties it; keeps the memory if that is at most `keep_bytes`. */
void wire_writer_reset(struct wire_writer *w, size_t keep_bytes);
void wire_writer_free(struct wire_writer *w);
static inline bool wire_writer_failed(const struct wire_writer *w)
{
    return w->failed;
}
void wire_writer_fail(struct wire_writer *w);
uint8_t *wire_writer_extend(struct wire_writer *w, size_t size); // room to fill; NULL on failure or when counting
void wire_writer_cut(struct wire_writer *w, size_t size);        // back to that size
void wire_writer_patch_i32(struct wire_writer *w, size_t at, int32_t value);
static inline struct slice wire_writer_bytes(const struct wire_writer *w)
{
    return slice_of(w->data, w->size);
}

void wire_write_raw(struct wire_writer *w, const void *data, size_t size);
void wire_write_i8(struct wire_writer *w, int8_t value);
void wire_write_i16(struct wire_writer *w, int16_t value);
void wire_write_i32(struct wire_writer *w, int32_t value);
void wire_write_i64(struct wire_writer *w, int64_t value);
void wire_write_f64(struct wire_writer *w, double value);
void wire_write_bool(struct wire_writer *w, bool value);
void wire_write_uuid(struct wire_writer *w, struct uuid value);
void wire_write_uvarint(struct wire_writer *w, uint32_t value);
void wire_write_varint(struct wire_writer *w, int32_t value);
void wire_write_varlong(struct wire_writer *w, int64_t value);
void wire_write_string(struct wire_writer *w, bool flexible, struct slice value); // null as null
void wire_write_bytes(struct wire_writer *w, bool flexible, struct slice value);
void wire_write_bytes_size(struct wire_writer *w, bool flexible, size_t size);    // the bytes follow some other way
void wire_write_array_count(struct wire_writer *w, bool flexible, int32_t count); // -1: null
size_t wire_uvarint_size(uint32_t value);
/* Tagged fields at the end of a struct: how many, then each known one, then the kept ones; used by generated code. */
void wire_write_kept_tags(struct wire_writer *w, const struct wire_tags *tags);

/* ---- registry */
typedef void wire_init_fn(void *message);
typedef void wire_read_fn(struct wire_reader *r, int16_t version, struct arena *arena, void *ret_message);
typedef void wire_write_fn(struct wire_writer *w, int16_t version, const void *message);

enum wire_type {
    WIRE_BOOL,
    WIRE_I8,
    WIRE_I16,
    WIRE_U16,
    WIRE_I32,
    WIRE_U32,
    WIRE_I64,
    WIRE_F64,
    WIRE_UUID,
    WIRE_STRING,
    WIRE_BYTES,
    WIRE_STRUCT
};

struct wire_field {
    const char *name;                  // as in the layout
    enum wire_type type;               // of the element for an array
    bool is_array, is_pointer;         // is_pointer: a nullable struct
    uint32_t offset, count_offset;     // in the struct
    uint64_t versions;                 // bit v: present in version v (tagged or not)
    uint64_t tagged;                   // bit v: a tagged field in version v
    bool (*is_unsent)(const void *of); // tagged: equals its default, so it is not sent; of: the struct it lies in
    const struct wire_struct *of;      // WIRE_STRUCT
};

/* Of responses: writes the fields before the first array of structs, or between two, or behind the last one, with the count
 * of the array that follows; never elements. A struct without such arrays has one part, all of it. */
typedef void wire_part_fn(struct wire_writer *w, int16_t version, const void *of, int part);

struct wire_struct {
    const char *name;
    size_t size;
    const struct wire_field *fields;
    int field_count;
    wire_part_fn *part_write;        // NULL: no response's
    const struct wire_array *arrays; // between its parts
    int array_count;
};

/* An array of structs that is no tagged field. */
struct wire_array {
    uint32_t offset, count_offset;
    uint64_t versions; // bit v: present in version v
    const struct wire_struct *of;
};

struct wire_message {
    const char *name; // as in the layout: ProduceRequest
    int16_t version_min, version_max;
    uint64_t flexible; // bit v
    size_t size;       // of its struct
    wire_init_fn *init;
    wire_read_fn *read;
    wire_write_fn *write;
    const struct wire_struct *layout;
};

struct wire_api {
    int16_t key;
    const char *name;
    int16_t version_min, version_max; // of the layouts
    const struct wire_message *request, *response;
};

/* ---- stream: a response written piece by piece, so that a large one need not stand in memory whole (stream.c) */
enum { WIRE_STREAM_DEPTH_MAX = 5, WIRE_STREAM_ELEMENT_MAX = 160 };

/* Fills an element of an array that is NULL though it counts some. `depth` 1: of an array of the response itself, 2: of one of
 * its elements, and so on; `parent` is the struct in which the array lies. Asked for in order; once more from the first when
 * the same response is written again, and then it must say the same. */
typedef void wire_supply_fn(void *context, int depth, const void *parent, int32_t index, void *ret_element);

struct wire_stream_level {
    const struct wire_struct *layout;
    const void *value;            // NULL: it lies in `element`
    int part;                     // the next one
    int32_t left;                 // elements of the array before that
    int32_t index;                // of its next
    const uint8_t *array;         // NULL: they are made
    const struct wire_struct *of; // and what they are
    alignas(max_align_t) uint8_t element[WIRE_STREAM_ELEMENT_MAX];
};

struct wire_stream {
    int16_t version;
    struct wire_stream_level *at; // the innermost that is not over; NULL: all are
    wire_supply_fn *supply;
    void *context;
    struct wire_stream_level levels[WIRE_STREAM_DEPTH_MAX];
};

/* `response`, and the arrays that are not NULL, stay until all is written. `supply` may be NULL where all of them are there. */
void wire_stream_begin(struct wire_stream *stream, const struct wire_message *message, int16_t version,
                       const void *response, wire_supply_fn *supply, void *context);
/* Goes on, at least until `out` has `enough` bytes; no more than one element of the innermost arrays above it. False: all is
 * written, or `out` has failed. */
bool wire_stream_write(struct wire_stream *stream, struct wire_writer *out, size_t enough);

/* Stored records. Their ids: in the key of a record of an internal topic, in the frame of a metadata record. */
enum wire_records {
    WIRE_RECORDS_GROUP,
    WIRE_RECORDS_TRANSACTION,
    WIRE_RECORDS_SHARE,
    WIRE_RECORDS_METADATA,
    WIRE_RECORDS_REMOTE_LOG
};
struct wire_record {
    enum wire_records family;
    int32_t id;
    const struct wire_message *key, *value; // key NULL: records of this family have none
};
const struct wire_record *wire_record_find(enum wire_records family, int32_t id); // NULL when there is none

/* NULL for an unknown key. */
const struct wire_api *wire_api_find(int16_t key);
/* Any message by its layout's name (ProduceRequest, OffsetCommitValue, ...); NULL when there is none. */
const struct wire_message *wire_message_find(const char *name);
const struct wire_message *wire_messages(int *ret_count);
/* Header versions: 0 to 2 for requests, 0 or 1 for responses (ApiVersions: always 0). */
int16_t wire_request_header_version(int16_t key, int16_t version);
int16_t wire_response_header_version(int16_t key, int16_t version);
const char *
kafka_error_name(int16_t code); // "NOT_LEADER_OR_FOLLOWER"; "UNKNOWN_SERVER_ERROR" for codes that don't exist
/* JSON of a message, field names with a lower case first letter, bytes as base64, uuids as text. */
void wire_message_dump(struct buffer *out, const struct wire_message *message, int16_t version, const void *value);
