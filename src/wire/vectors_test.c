// SPDX-License-Identifier: Apache-2.0
/* Every vector that Apache Kafka's own classes wrote: decodes, says what Kafka says, and encodes to the same bytes, a response
 * also piece by piece. */
#include "wire/wire.h"

#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static int pieces_written;

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

static size_t unhex(const char *text, uint8_t *ret_bytes)
{
    size_t size = strlen(text) / 2;
    for (size_t i = 0; i < size; i++)
        ret_bytes[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return size;
}

static bool json_says(const struct wire_message *message, int16_t version, const void *value, const char *stated)
{
    struct buffer dump CLEANUP(buffer_free) = {0};
    wire_message_dump(&dump, message, version, value);
    json_t *ours = json_loadb((const char *)dump.data, dump.size, JSON_DECODE_ANY, NULL);
    json_t *theirs = json_loads(stated, JSON_DECODE_ANY, NULL);
    bool equal = ours && theirs && json_equal(ours, theirs);
    if (!equal)
        print_error("%s %d\nours   %.*s\ntheirs %s\n", message->name, version, (int)dump.size, (char *)dump.data,
                    stated);
    json_decref(ours);
    json_decref(theirs);
    return equal;
}

static bool has_bytes(const struct wire_writer *written, const uint8_t *bytes, size_t size)
{
    return !wire_writer_failed(written) && written->size == size &&
           (size == 0 || memcmp(written->data, bytes, size) == 0);
}

/* In as many pieces as it can be; messages that are no responses have none. */
static bool pieces_hold(const struct wire_message *message, int16_t version, const void *value, const uint8_t *bytes,
                        size_t size)
{
    struct wire_writer all CLEANUP(wire_writer_free);
    wire_writer_init(&all, 1 << 24);
    if (!message->layout->part_write)
        return true;
    struct wire_stream stream;
    wire_stream_begin(&stream, message, version, value, NULL, NULL);
    while (wire_stream_write(&stream, &all, all.size + 1))
        pieces_written++;
    return has_bytes(&all, bytes, size);
}

/* The fields: release, message, version, kind, hex, JSON. */
static bool vector_holds(char *line)
{
    char *fields[6] = {0};
    for (int i = 0; i < 6; i++)
        fields[i] = strsep(&line, "\t");
    assert_non_null(fields[5]);
    const struct wire_message *message = wire_message_find(fields[1]);
    int16_t version = (int16_t)strtol(fields[2], NULL, 10);
    assert_non_null(message);
    uint8_t *bytes = mem_alloc(strlen(fields[4]) / 2 + 1);
    size_t size = unhex(fields[4], bytes);
    struct arena arena CLEANUP(arena_free);
    arena_init(&arena, 4096, 1 << 24);
    void *value = arena_zalloc(&arena, message->size);
    struct wire_reader reader;
    wire_reader_init(&reader, bytes, size);
    message->read(&reader, version, &arena, value);
    struct wire_writer writer CLEANUP(wire_writer_free);
    wire_writer_init(&writer, 1 << 24);
    bool holds = wire_reader_finish(&reader) && json_says(message, version, value, fields[5]);
    if (holds)
        message->write(&writer, version, value);
    bool same = holds && has_bytes(&writer, bytes, size) && pieces_hold(message, version, value, bytes, size);
    if (!same)
        print_error("vector %s %s %s %s: read %d, written %zu of %zu bytes\n", fields[0], fields[1], fields[2],
                    fields[3], holds, writer.size, size);
    mem_free(bytes);
    return same;
}

static void every_vector_round_trips(void **state)
{
    (void)state;
    char folder[512], path[1024];
    const char *root = getenv("OTTLA_SOURCE_ROOT");
    snprintf(folder, sizeof folder, "%s/schema/protocol/vectors", root ? root : ".");
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    int count = 0, failed = 0;
    char *line = NULL;
    size_t room = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = strstr(entry->d_name, ".txt") ? fopen(path, "r") : NULL;
        while (file && getline(&line, &room, file) > 0) {
            line[strcspn(line, "\n")] = '\0';
            if (line[0] == '#' || !line[0])
                continue;
            count++;
            failed += !vector_holds(line);
        }
        if (file)
            fclose(file);
    }
    free(line);
    closedir(dir);
    print_message("%d vectors\n", count);
    assert_true(count > 1000);
    assert_true(pieces_written > 1000);
    assert_int_equal(failed, 0);
}

/* Each vector cut short anywhere is refused, or at least read without harm. */
static void no_cut_frame_is_taken_for_whole(void **state)
{
    (void)state;
    static const uint8_t frame[] = {0, 3, 'a', 'b', 'c', 0, 0, 0, 9};
    for (size_t size = 0; size < sizeof frame; size++) {
        struct wire_reader reader;
        wire_reader_init(&reader, frame, size);
        wire_read_string(&reader, false, false);
        wire_read_i32(&reader);
        assert_false(wire_reader_finish(&reader));
    }
}

static void a_count_larger_than_its_frame_is_refused(void **state)
{
    (void)state;
    static const uint8_t frame[] = {0x7f, 0xff, 0xff, 0xff, 1, 2, 3};
    struct wire_reader reader;
    wire_reader_init(&reader, frame, sizeof frame);
    assert_int_equal(wire_read_count(&reader, false, false), 0);
    assert_true(wire_reader_failed(&reader));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_vector_round_trips),
                                       cmocka_unit_test(no_cut_frame_is_taken_for_whole),
                                       cmocka_unit_test(a_count_larger_than_its_frame_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
