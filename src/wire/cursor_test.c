// SPDX-License-Identifier: Apache-2.0
/* wire/cursor_test.c - reader and writer: what is written is read back, and after a fault nothing more is believed. */
#include "wire/wire.h"

#include <setjmp.h>

#include <cmocka.h>

static struct wire_reader reader_of(const struct wire_writer *w)
{
    struct wire_reader r;
    wire_reader_init(&r, w->data, w->size);
    return r;
}

static void numbers_come_back(void **state)
{
    static const int64_t VALUES[] = {0,         1,         -1,        63,          64,        -64,
                                     -65,       127,       128,       INT8_MIN,    INT16_MAX, INT16_MIN,
                                     INT32_MAX, INT32_MIN, 1u << 28,  1u << 21,    1u << 14,  1u << 7,
                                     INT64_MAX, INT64_MIN, 1ll << 35, -(1ll << 62)};
    for (size_t i = 0; i < COUNT_OF(VALUES); i++) {
        struct wire_writer w CLEANUP(wire_writer_free);
        int64_t value = VALUES[i];
        wire_writer_init(&w, 1000);
        wire_write_i8(&w, (int8_t)value);
        wire_write_i16(&w, (int16_t)value);
        wire_write_i32(&w, (int32_t)value);
        wire_write_i64(&w, value);
        wire_write_f64(&w, (double)value);
        wire_write_bool(&w, value != 0);
        wire_write_uvarint(&w, (uint32_t)value);
        wire_write_varint(&w, (int32_t)value);
        wire_write_varlong(&w, value);
        struct wire_reader r = reader_of(&w);
        assert_int_equal(wire_read_i8(&r), (int8_t)value);
        assert_int_equal(wire_read_i16(&r), (int16_t)value);
        assert_int_equal(wire_read_i32(&r), (int32_t)value);
        assert_int_equal(wire_read_i64(&r), value);
        assert_true(wire_read_f64(&r) == (double)value);
        assert_int_equal(wire_read_bool(&r), value != 0);
        assert_int_equal(wire_read_uvarint(&r), (uint32_t)value);
        assert_int_equal(wire_read_varint(&r), (int32_t)value);
        assert_int_equal(wire_read_varlong(&r), value);
        assert_true(wire_reader_finish(&r));
    }
}

/* KIP-482 and the record format, as bytes. */
static void varints_have_kafkas_bytes(void **state)
{
    struct wire_writer w CLEANUP(wire_writer_free);
    wire_writer_init(&w, 100);
    wire_write_uvarint(&w, 300);
    wire_write_varint(&w, -1);
    wire_write_varint(&w, 150);
    wire_write_varlong(&w, INT64_MIN);
    static const uint8_t EXPECTED[] = {0xac, 0x02, 0x01, 0xac, 0x02, 0xff, 0xff, 0xff,
                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    assert_int_equal(w.size, sizeof EXPECTED);
    assert_memory_equal(w.data, EXPECTED, sizeof EXPECTED);
    for (uint32_t bit = 0; bit < 32; bit++) {
        wire_writer_reset(&w, 0);
        wire_write_uvarint(&w, 1u << bit);
        assert_int_equal(w.size, wire_uvarint_size(1u << bit));
    }
}

static void strings_know_null_from_empty(void **state)
{
    for (int flexible = 0; flexible < 2; flexible++) {
        struct wire_writer w CLEANUP(wire_writer_free);
        wire_writer_init(&w, 1000);
        wire_write_string(&w, flexible, SLICE_NULL);
        wire_write_string(&w, flexible, slice_str(""));
        wire_write_string(&w, flexible, slice_str("topic"));
        wire_write_bytes(&w, flexible, SLICE_NULL);
        wire_write_bytes(&w, flexible, slice_str(""));
        wire_write_bytes(&w, flexible, slice_str("bytes"));
        struct wire_reader r = reader_of(&w);
        assert_true(slice_is_null(wire_read_string(&r, flexible, true)));
        struct slice empty = wire_read_string(&r, flexible, true);
        assert_true(!slice_is_null(empty) && empty.size == 0);
        assert_true(slice_equal_str(wire_read_string(&r, flexible, false), "topic"));
        assert_true(slice_is_null(wire_read_bytes(&r, flexible, true)));
        empty = wire_read_bytes(&r, flexible, true);
        assert_true(!slice_is_null(empty) && empty.size == 0);
        assert_true(slice_equal_str(wire_read_bytes(&r, flexible, false), "bytes"));
        assert_true(wire_reader_finish(&r));
        r = reader_of(&w);
        wire_read_string(&r, flexible, false); // null where there may be none
        assert_true(wire_reader_failed(&r));
    }
}

static void the_first_fault_stays(void **state)
{
    static const uint8_t BYTES[] = {0, 0, 0, 5, 1, 2, 3, 4, 5, 6};
    struct wire_reader r;
    wire_reader_init(&r, BYTES, sizeof BYTES);
    assert_int_equal(wire_read_i32(&r), 5);
    assert_int_equal(wire_read_i64(&r), 0); // six are left
    assert_true(wire_reader_failed(&r));
    assert_int_equal(wire_reader_left(&r), 0);
    assert_int_equal(wire_read_i8(&r), 0); // though it would have fitted before
    assert_int_equal(wire_read_uvarint(&r), 0);
    assert_int_equal(wire_read_count(&r, false, false), 0);
    assert_int_equal(wire_read_string(&r, true, false).size, 0);
    assert_true(slice_is_null(wire_read_string(&r, true, true)));
    assert_true(uuid_is_zero(wire_read_uuid(&r)));
    assert_false(wire_reader_finish(&r));
}

static void what_is_left_over_is_a_fault(void **state)
{
    struct wire_reader r;
    wire_reader_init(&r, "ab", 2);
    wire_read_i8(&r);
    assert_false(wire_reader_failed(&r));
    assert_false(wire_reader_finish(&r));
    wire_reader_init(&r, NULL, 0);
    assert_true(wire_reader_finish(&r));
}

static void sizes_that_lie_are_faults(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        bool flexible;
    } LIES[] = {{"\x00\x05xx", 4, false},
                {"\xff\xfe", 2, false},
                {"\x80\x00", 2, false},
                {"\x06xx", 3, true},
                {"\xff\xff\xff\xff\x0fx", 6, true},
                {"\xff\xff\xff\xff\xff\xff", 6, true}};
    for (size_t i = 0; i < COUNT_OF(LIES); i++) {
        struct wire_reader r;
        wire_reader_init(&r, LIES[i].bytes, LIES[i].size);
        wire_read_string(&r, LIES[i].flexible, true);
        assert_true(wire_reader_failed(&r));
    }
    struct wire_reader r;
    wire_reader_init(&r, "\xff\xff\xff\xfe", 4); // a count of -2
    wire_read_count(&r, false, true);
    assert_true(wire_reader_failed(&r));
}

/* ---- the writer */
static void a_writer_fails_at_its_limit_and_keeps_what_it_has(void **state)
{
    struct wire_writer w CLEANUP(wire_writer_free);
    wire_writer_init(&w, 10);
    wire_write_i64(&w, 1);
    assert_false(wire_writer_failed(&w));
    wire_write_i32(&w, 2);
    assert_true(wire_writer_failed(&w));
    assert_int_equal(w.size, 8);
    wire_write_i8(&w, 1); // it would fit, but something is missing before it
    assert_int_equal(w.size, 8);
    wire_writer_reset(&w, 1 << 20);
    assert_false(wire_writer_failed(&w));
    assert_int_equal(w.size, 0);
}

static void a_string_too_long_for_its_length_fails(void **state)
{
    struct wire_writer w CLEANUP(wire_writer_free);
    uint8_t *bytes = mem_zalloc(INT16_MAX + 1);
    wire_writer_init(&w, 1 << 20);
    wire_write_string(&w, true, slice_of(bytes, INT16_MAX));
    assert_false(wire_writer_failed(&w));
    wire_write_string(&w, true, slice_of(bytes, INT16_MAX + 1));
    assert_true(wire_writer_failed(&w));
    mem_free(bytes);
}

static void a_counting_writer_agrees(void **state)
{
    struct wire_writer w CLEANUP(wire_writer_free), counting;
    struct wire_writer *both[] = {&w, &counting};
    wire_writer_init(&w, 1 << 20);
    wire_writer_init_counting(&counting);
    for (size_t i = 0; i < COUNT_OF(both); i++) {
        wire_write_string(both[i], true, slice_str("some text"));
        wire_write_varlong(both[i], 1ll << 50);
        wire_write_array_count(both[i], true, 200);
        wire_write_uuid(both[i], UUID_ZERO);
        wire_write_bytes(both[i], false, SLICE_NULL);
    }
    assert_int_equal(w.size, counting.size);
    assert_null(counting.data);
}

static void patching_and_cutting_work_on_what_is_written(void **state)
{
    struct wire_writer w CLEANUP(wire_writer_free);
    wire_writer_init(&w, 100);
    wire_write_i32(&w, 0);
    wire_write_raw(&w, "abcd", 4);
    wire_writer_patch_i32(&w, 0, 0x01020304);
    wire_writer_cut(&w, 6);
    assert_int_equal(w.size, 6);
    assert_memory_equal(w.data,
                        "\x01\x02\x03\x04"
                        "ab",
                        6);
}

static void a_warm_writer_calls_malloc_no_more(void **state)
{
    struct wire_writer w CLEANUP(wire_writer_free);
    wire_writer_init(&w, 1 << 20);
    wire_write_i64(&w, 1);
    wire_writer_reset(&w, 4096);
    uint64_t before = mem_alloc_count();
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 50; k++)
            wire_write_i64(&w, k);
        wire_writer_reset(&w, 4096);
    }
    assert_int_equal(mem_alloc_count() - before, 0);
}

/* Doubles in Java's words, also those that JSON has no number for. */
static void doubles_print_as_json(void **state)
{
    static const struct {
        double value;
        const char *text;
    } CASES[] = {{0, "0.0"}, {-3, "-3.0"}, {0.5, "0.5"}, {1e300, "1.0000000000000001e+300"}, {1e18, "1e+18"}};
    const struct wire_message *message = wire_message_find("DescribeClientQuotasResponse");
    assert_non_null(message);
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct wire_writer w CLEANUP(wire_writer_free);
        struct buffer text CLEANUP(buffer_free) = {0};
        struct arena arena CLEANUP(arena_free);
        arena_init(&arena, 4096, 1 << 16);
        wire_writer_init(&w, 1000);
        wire_write_i32(&w, 0); // throttle, error, message, one entry without entity, one value
        wire_write_i16(&w, 0);
        wire_write_i16(&w, -1);
        wire_write_i32(&w, 1);
        wire_write_i32(&w, 0);
        wire_write_i32(&w, 1);
        wire_write_string(&w, false, slice_str("k"));
        wire_write_f64(&w, CASES[i].value);
        struct wire_reader r = reader_of(&w);
        void *value = arena_zalloc(&arena, message->size);
        message->read(&r, 0, &arena, value);
        assert_true(wire_reader_finish(&r));
        wire_message_dump(&text, message, 0, value);
        buffer_append(&text, "", 1);
        assert_non_null(strstr((const char *)text.data, CASES[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(varints_have_kafkas_bytes),
        cmocka_unit_test(strings_know_null_from_empty),
        cmocka_unit_test(the_first_fault_stays),
        cmocka_unit_test(what_is_left_over_is_a_fault),
        cmocka_unit_test(sizes_that_lie_are_faults),
        cmocka_unit_test(a_writer_fails_at_its_limit_and_keeps_what_it_has),
        cmocka_unit_test(a_string_too_long_for_its_length_fails),
        cmocka_unit_test(a_counting_writer_agrees),
        cmocka_unit_test(patching_and_cutting_work_on_what_is_written),
        cmocka_unit_test(a_warm_writer_calls_malloc_no_more),
        cmocka_unit_test(doubles_print_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
