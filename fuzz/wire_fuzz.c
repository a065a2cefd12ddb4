// SPDX-License-Identifier: Apache-2.0
/* fuzz/wire_fuzz.c - every generated codec, every version: what decodes encodes, and decodes to the same again.
 *
 *   bytes  meaning
 *       2  the message: a point on the circle of names, so that a new message leaves most old inputs what they are
 *       1  the version, modulo the message's count
 *    rest  the message itself
 *
 * The first encoding may differ from the input (a varint may be longer than needed, a tagged field may hold its default);
 * from there on nothing changes any more: neither the bytes nor what the message says as JSON. A counting writer
 * agrees with a storing one. fuzz/seeds.py writes Apache Kafka's own messages as inputs.
 */
#include "wire/wire.h"

enum { ARENA_BYTES_MAX = 1 << 26, MESSAGE_BYTES_MAX = 1 << 26, HEAD_BYTES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* FNV-1a folded to 16 bits. */
static uint16_t point_of(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return (uint16_t)(hash ^ hash >> 16);
}

/* The message whose point follows most closely. */
static const struct wire_message *message_at(uint16_t point)
{
    int count;
    const struct wire_message *messages = wire_messages(&count), *nearest = NULL;
    for (int i = 0; i < count; i++)
        if (!nearest || (uint16_t)(point_of(messages[i].name) - point) < (uint16_t)(point_of(nearest->name) - point))
            nearest = &messages[i];
    return nearest;
}

static bool decode(const struct wire_message *message, int16_t version, struct slice bytes, struct arena *arena,
                   void **ret_value)
{
    struct wire_reader reader;
    *ret_value = arena_zalloc(arena, message->size);
    wire_reader_init(&reader, bytes.data, bytes.size);
    message->read(&reader, version, arena, *ret_value);
    return wire_reader_finish(&reader);
}

static void encode(const struct wire_message *message, int16_t version, const void *value, struct wire_writer *writer)
{
    struct wire_writer counting;
    wire_writer_init(writer, MESSAGE_BYTES_MAX);
    message->write(writer, version, value);
    assert(!wire_writer_failed(writer));
    wire_writer_init_counting(&counting);
    message->write(&counting, version, value);
    assert(counting.size == writer->size);
}

static void check(const struct wire_message *message, int16_t version, struct slice bytes)
{
    struct arena arena CLEANUP(arena_free), again CLEANUP(arena_free);
    struct wire_writer first CLEANUP(wire_writer_free) = {0}, second CLEANUP(wire_writer_free) = {0};
    struct buffer said CLEANUP(buffer_free) = {0}, said_again CLEANUP(buffer_free) = {0};
    void *value, *value_again;
    arena_init(&arena, 4096, ARENA_BYTES_MAX);
    arena_init(&again, 4096, ARENA_BYTES_MAX);
    if (!decode(message, version, bytes, &arena, &value))
        return;
    encode(message, version, value, &first);
    bool decodes = decode(message, version, wire_writer_bytes(&first), &again, &value_again);
    assert(decodes);
    encode(message, version, value_again, &second);
    assert(slice_equal(wire_writer_bytes(&first), wire_writer_bytes(&second)));
    wire_message_dump(&said, message, version, value);
    wire_message_dump(&said_again, message, version, value_again);
    assert(slice_equal(slice_of(said.data, said.size), slice_of(said_again.data, said_again.size)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return -1;
    const struct wire_message *message = message_at((uint16_t)(data[0] << 8 | data[1]));
    int versions = message->version_max - message->version_min + 1;
    if (versions <= 0)
        return -1;
    check(message, (int16_t)(message->version_min + data[2] % versions),
          slice_of(data + HEAD_BYTES, size - HEAD_BYTES));
    return 0;
}
