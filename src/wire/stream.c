// SPDX-License-Identifier: Apache-2.0
/* wire/stream.c - a response written piece by piece.
 *
 * The generated codecs write a struct in parts, with arrays of structs between them. A stream keeps where it is: a level for
 * each struct that has begun, with its next part and the element of the array that it stands at. A struct without arrays of
 * structs is written in one go. So the pieces are the bytes of the generated codec, by the same lines, and what is held
 * between two pieces is the stream itself. Elements that are not in memory are made when their turn comes, in the level that
 * they are for.
 */
#include "wire/wire.h"

static const void *value_of(const struct wire_stream_level *level)
{
    return level->value ? level->value : level->element;
}

static void push(struct wire_stream *stream, const struct wire_struct *layout, const void *value)
{
    assert(stream->depth < WIRE_STREAM_DEPTH_MAX && layout->part_write);
    struct wire_stream_level *level = &stream->levels[stream->depth++];
    level->layout = layout;
    level->value = value;
    level->part = level->index = level->count = 0;
    level->field = -1;
}

void wire_stream_begin(struct wire_stream *stream, const struct wire_message *message, int16_t version,
                       const void *response, wire_supply_fn *supply, void *context)
{
    stream->version = version;
    stream->depth = 0;
    stream->supply = supply;
    stream->context = context;
    push(stream, message->layout, response);
}

/* Versions in which its elements are written between two parts. */
static uint64_t streamed_in(const struct wire_field *field)
{
    return field->type == WIRE_STRUCT && field->is_array ? field->versions & ~field->tagged : 0;
}

/* To the array behind the part that was just written; it is empty where the version has none. */
static void array_begin(struct wire_stream_level *level, int16_t version)
{
    const struct wire_field *field;
    do {
        assert(level->field + 1 < level->layout->field_count);
        field = &level->layout->fields[++level->field];
    } while (!streamed_in(field));
    level->index = level->count = 0;
    if (streamed_in(field) & 1ull << version)
        memcpy(&level->count, (const uint8_t *)value_of(level) + field->count_offset, sizeof level->count);
}

static void part_write(struct wire_stream *stream, struct wire_stream_level *level, struct wire_writer *out)
{
    level->layout->part_write(out, stream->version, value_of(level), level->part++);
    if (level->part > level->layout->array_count)
        stream->depth--;
    else
        array_begin(level, stream->version);
}

/* NULL: it was made in the level below. */
static const void *element_take(struct wire_stream *stream, struct wire_stream_level *level,
                                const struct wire_field *field)
{
    const uint8_t *array;
    memcpy(&array, (const uint8_t *)value_of(level) + field->offset, sizeof array);
    int32_t index = level->index++;
    if (array)
        return array + (size_t)index * field->of->size;
    assert(stream->supply && stream->depth < WIRE_STREAM_DEPTH_MAX && field->of->size <= WIRE_STREAM_ELEMENT_MAX);
    stream->supply(stream->context, stream->depth, value_of(level), index, stream->levels[stream->depth].element);
    return NULL;
}

static void element_write(struct wire_stream *stream, struct wire_stream_level *level, struct wire_writer *out)
{
    const struct wire_field *field = &level->layout->fields[level->field];
    const void *element = element_take(stream, level, field);
    if (field->of->array_count > 0)
        push(stream, field->of, element);
    else
        field->of->part_write(out, stream->version, element ? element : level[1].element, 0);
}

bool wire_stream_write(struct wire_stream *stream, struct wire_writer *out, size_t enough)
{
    while (stream->depth > 0 && out->size < enough && !out->failed) {
        struct wire_stream_level *level = &stream->levels[stream->depth - 1];
        if (level->index < level->count)
            element_write(stream, level, out);
        else
            part_write(stream, level, out);
    }
    return stream->depth > 0 && !out->failed;
}
