// SPDX-License-Identifier: Apache-2.0
/* wire/dump.c - any message as JSON, by its table of fields: for tests, dumps and traces, never on a hot path. */
#include "wire/wire.h"

#include <math.h>

static void put(struct buffer *out, const char *text)
{
    buffer_append(out, text, strlen(text));
}

static void put_string(struct buffer *out, struct slice s)
{
    put(out, "\"");
    for (size_t i = 0; i < s.size; i++) {
        uint8_t c = s.data[i];
        if (c == '"' || c == '\\')
            buffer_printf(out, "\\%c", c);
        else if (c < 0x20)
            buffer_printf(out, "\\u%04x", c);
        else
            buffer_append(out, &c, 1);
    }
    put(out, "\"");
}

static void dump_struct(struct buffer *out, const struct wire_struct *layout, int16_t version, const void *value);

static void put_slice(struct buffer *out, enum wire_type type, struct slice s)
{
    if (slice_is_null(s)) {
        put(out, "null");
    } else if (type == WIRE_STRING) {
        put_string(out, s);
    } else {
        put(out, "\"");
        buffer_base64(out, s);
        put(out, "\"");
    }
}

/* As Java's JSON: whole numbers with one digit after the point, what is no number as text. */
static void put_double(struct buffer *out, double value)
{
    static const double EXACT_MAX = 9007199254740992; // 2^53
    if (isnan(value))
        buffer_printf(out, "\"NaN\"");
    else if (isinf(value))
        buffer_printf(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else if (fabs(value) <= EXACT_MAX && value == (double)(int64_t)value)
        buffer_printf(out, "%.1f", value);
    else
        buffer_printf(out, "%.17g", value);
}

static void dump_value(struct buffer *out, const struct wire_field *field, int16_t version, const void *at)
{
    char text[UUID_TEXT_SIZE];
    switch (field->type) {
    case WIRE_BOOL:
        put(out, *(const bool *)at ? "true" : "false");
        return;
    case WIRE_I8:
        buffer_printf(out, "%d", *(const int8_t *)at);
        return;
    case WIRE_I16:
        buffer_printf(out, "%d", *(const int16_t *)at);
        return;
    case WIRE_U16:
        buffer_printf(out, "%u", *(const uint16_t *)at);
        return;
    case WIRE_I32:
        buffer_printf(out, "%d", *(const int32_t *)at);
        return;
    case WIRE_U32:
        buffer_printf(out, "%u", *(const uint32_t *)at);
        return;
    case WIRE_I64:
        buffer_printf(out, "%lld", (long long)*(const int64_t *)at);
        return;
    case WIRE_F64:
        put_double(out, *(const double *)at);
        return;
    case WIRE_UUID:
        uuid_to_text(*(const struct uuid *)at, text);
        buffer_printf(out, "\"%s\"", text);
        return;
    case WIRE_STRING:
    case WIRE_BYTES:
        put_slice(out, field->type, *(const struct slice *)at);
        return;
    case WIRE_STRUCT:
        dump_struct(out, field->of, version, at);
        return;
    }
}

static size_t value_size(const struct wire_field *field)
{
    static const size_t SIZES[] = {sizeof(bool),        1, 2, 2, 4, 4, 8, 8, sizeof(struct uuid), sizeof(struct slice),
                                   sizeof(struct slice)};
    return field->type == WIRE_STRUCT ? field->of->size : SIZES[field->type];
}

static void dump_array(struct buffer *out, const struct wire_field *field, int16_t version, const uint8_t *base)
{
    int32_t count;
    const uint8_t *items;
    memcpy(&count, base + field->count_offset, sizeof count);
    memcpy(&items, base + field->offset, sizeof items);
    if (count < 0) {
        put(out, "null");
        return;
    }
    put(out, "[");
    for (int32_t i = 0; i < count; i++) {
        if (i > 0)
            put(out, ",");
        dump_value(out, field, version, items + (size_t)i * value_size(field));
    }
    put(out, "]");
}

static void dump_field(struct buffer *out, const struct wire_field *field, int16_t version, const uint8_t *base)
{
    const void *pointer;
    if (field->is_array) {
        dump_array(out, field, version, base);
    } else if (field->is_pointer) {
        memcpy(&pointer, base + field->offset, sizeof pointer);
        if (pointer)
            dump_value(out, field, version, pointer);
        else
            put(out, "null");
    } else {
        dump_value(out, field, version, base + field->offset);
    }
}

static void dump_struct(struct buffer *out, const struct wire_struct *layout, int16_t version, const void *value)
{
    bool first = true;
    put(out, "{");
    for (int i = 0; i < layout->field_count; i++) {
        const struct wire_field *field = &layout->fields[i];
        if (!(field->versions >> version & 1))
            continue;
        if ((field->tagged >> version & 1) && field->is_unsent(value))
            continue;
        char initial = field->name[0];
        if (initial >= 'A' && initial <= 'Z')
            initial = (char)(initial - 'A' + 'a');
        buffer_printf(out, "%s\"%c%s\":", first ? "" : ",", initial, field->name + 1);
        dump_field(out, field, version, value);
        first = false;
    }
    put(out, "}");
}

void wire_message_dump(struct buffer *out, const struct wire_message *message, int16_t version, const void *value)
{
    assert(version >= 0 && version < 64);
    dump_struct(out, message->layout, version, value);
}
