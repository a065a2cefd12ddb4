// SPDX-License-Identifier: Apache-2.0
/* record/inflate_test.c - decompression as a stream: the same bytes come out, never more than allowed, and damage is told. */
#include "record/record_test.h"

/* The bytes that come out; fails the stream's way. */
static bool inflate_all(enum record_codec codec, struct slice packed, uint64_t max, struct buffer *out)
{
    struct record_scratch *scratch = record_scratch_create();
    struct inflate stream;
    record__inflate_begin(&stream, scratch, codec, packed, max);
    while (record__inflate_refill(&stream))
        buffer_append(out, stream.at, (size_t)(stream.end - stream.at));
    bool ok = !stream.failed;
    record_scratch_free(scratch);
    return ok;
}

static void much_comes_out_as_it_went_in(void **state)
{
    enum { SIZE = 3 * WINDOW_BYTES + 17 };
    uint8_t *bytes = mem_alloc(SIZE);
    struct random random;
    random_seed(&random, 1);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(random_below(&random, 4) * 60);
    for (size_t i = 0; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer packed = {0}, out = {0};
        assert_ok(record__deflate_all(ALL_CODECS[i], 1, slice_of(bytes, SIZE), &packed));
        assert_true(inflate_all(ALL_CODECS[i], slice_of_buffer(&packed), SIZE, &out));
        assert_true(slice_equal(slice_of_buffer(&out), slice_of(bytes, SIZE)));
        buffer_free(&packed);
        buffer_free(&out);
    }
    mem_free(bytes);
}

static void a_bomb_is_given_up_at_the_limit(void **state)
{
    enum { ZEROS = 16 << 20, LIMIT = 1 << 20 };
    for (size_t i = 1; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer packed = bomb_of(ALL_CODECS[i], ZEROS), out = {0};
        assert_false(inflate_all(ALL_CODECS[i], slice_of_buffer(&packed), LIMIT, &out));
        assert_true(out.size <= LIMIT);
        buffer_free(&packed);
        buffer_free(&out);
    }
}

static void a_scratch_keeps_one_window_however_much_comes_through(void **state)
{
    enum { ZEROS = 4 << 20 };
    struct record_scratch *scratch = record_scratch_create();
    for (int round = 0; round < 2; round++) {
        uint64_t before = mem_alloc_count();
        for (size_t i = 1; i < COUNT_OF(ALL_CODECS); i++) {
            struct buffer packed = bomb_of(ALL_CODECS[i], ZEROS);
            uint64_t made = mem_alloc_count();
            struct inflate stream;
            record__inflate_begin(&stream, scratch, ALL_CODECS[i], slice_of_buffer(&packed), ZEROS);
            size_t size = 0;
            while (record__inflate_refill(&stream)) {
                if (ALL_CODECS[i] != RECORD_SNAPPY) // snappy has no stream: a block is its unit
                    assert_true(stream.end - stream.at <= WINDOW_BYTES);
                size += (size_t)(stream.end - stream.at);
            }
            assert_int_equal(size, ZEROS);
            assert_true(round == 0 || mem_alloc_count() == made);
            buffer_free(&packed);
        }
        assert_true(mem_alloc_count() > before);
    }
    record_scratch_free(scratch);
}

/* Whatever is cut off, the stream ends: it says so, or what came out is a beginning of what went in. */
static void cut_bytes_end_the_stream(void **state)
{
    struct buffer plain = {0};
    for (int i = 0; i < 200; i++)
        buffer_printf(&plain, "line %d of a text; ", i * i);
    for (size_t i = 1; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer packed = {0};
        assert_ok(record__deflate_all(ALL_CODECS[i], 1, slice_of_buffer(&plain), &packed));
        for (size_t size = 1; size < packed.size; size++) {
            struct buffer out = {0};
            bool ok = inflate_all(ALL_CODECS[i], slice_of(packed.data, size), 1 << 20, &out);
            assert_true(out.size <= plain.size && memcmp(out.data ? out.data : plain.data, plain.data, out.size) == 0);
            assert_true(!ok || out.size < plain.size || ALL_CODECS[i] == RECORD_LZ4);
            buffer_free(&out);
        }
        buffer_free(&packed);
    }
    buffer_free(&plain);
}

static void a_snappy_block_that_claims_the_impossible_takes_no_memory(void **state)
{
    static const uint8_t claim[] = {0x80, 0x80, 0x80, 0x3c, 0xff, 0xff, 0xff}; // 120 MiB from seven bytes
    struct record_scratch *scratch = record_scratch_create();
    struct inflate stream;
    record__inflate_begin(&stream, scratch, RECORD_SNAPPY, slice_of(claim, sizeof claim), 1 << 30);
    assert_false(record__inflate_refill(&stream));
    assert_true(stream.failed);
    assert_true(scratch->block.capacity < 1 << 20);
    record_scratch_free(scratch);
}

static void raw_snappy_without_frames_is_read_too(void **state)
{
    static const uint8_t raw[] = {5, 4 << 2, 'h', 'e', 'l', 'l', 'o'};
    struct buffer out = {0};
    assert_true(inflate_all(RECORD_SNAPPY, slice_of(raw, sizeof raw), 100, &out));
    assert_true(slice_equal_str(slice_of_buffer(&out), "hello"));
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(much_comes_out_as_it_went_in),
        cmocka_unit_test(a_bomb_is_given_up_at_the_limit),
        cmocka_unit_test(a_scratch_keeps_one_window_however_much_comes_through),
        cmocka_unit_test(cut_bytes_end_the_stream),
        cmocka_unit_test(a_snappy_block_that_claims_the_impossible_takes_no_memory),
        cmocka_unit_test(raw_snappy_without_frames_is_read_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
