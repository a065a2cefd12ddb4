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

static void level_begin(struct wire_stream *stream, struct wire_stream_level *level, const struct wire_struct *layout,
                        const void *value)
{
    assert(level < stream->levels + WIRE_STREAM_DEPTH_MAX && layout->part_write);
    level->layout = layout;
    level->value = value;
    level->part = 0;
    level->left = 0;
    stream->at = level;
}

void wire_stream_begin(struct wire_stream *stream, const struct wire_message *message, int16_t version,
                       const void *response, wire_supply_fn *supply, void *context)
{
    stream->version = version;
    stream->supply = supply;
    stream->context = context;
    level_begin(stream, stream->levels, message->layout, response);
}

/* A part, and then come the elements of the array behind it; the version may have none. */
static inline void part_write(struct wire_stream *stream, struct wire_stream_level *level, struct wire_writer *out)
{
    const struct wire_struct *layout = level->layout;
    const uint8_t *value = value_of(level);
    int part = level->part++;
    layout->part_write(out, stream->version, value, part);
    if (part == layout->array_count) {
        stream->at = level > stream->levels ? level - 1 : NULL;
        return;
    }
    const struct wire_array *array = &layout->arrays[part];
    if (!(array->versions >> stream->version & 1))
        return;
    memcpy(&level->left, value + array->count_offset, sizeof level->left);
    memcpy(&level->array, value + array->offset, sizeof level->array);
    level->index = 0;
    level->of = array->of;
}

static inline void element_write(struct wire_stream *stream, struct wire_stream_level *level, struct wire_writer *out)
{
    const struct wire_struct *of = level->of;
    const uint8_t *element = level->array;
    int32_t index = level->index++;
    level->left--;
    if (element) {
        element += (size_t)index * of->size;
    } else {
        int depth = (int)(level - stream->levels) + 1;
        assert(depth < WIRE_STREAM_DEPTH_MAX && of->size <= WIRE_STREAM_ELEMENT_MAX);
        stream->supply(stream->context, depth, value_of(level), index, level[1].element);
    }
    if (of->array_count > 0)
        level_begin(stream, level + 1, of, element);
    else
        of->part_write(out, stream->version, element ? element : level[1].element, 0);
}

bool wire_stream_write(struct wire_stream *stream, struct wire_writer *out, size_t enough)
{
    for (struct wire_stream_level *level; (level = stream->at) && out->size < enough && !out->failed;) {
        if (level->left > 0)
            element_write(stream, level, out);
        else
            part_write(stream, level, out);
    }
    return stream->at && !out->failed;
}
