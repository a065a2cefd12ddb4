// SPDX-License-Identifier: Apache-2.0
/* record/build_test.c - what is built is read again the same, in every codec, and passes validation. */
#include "record/record_test.h"

static void assert_holds_some(struct slice batch, int count)
{
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, batch);
    for (int i = 0; i < count; i++) {
        char value[64];
        some_value(i, value);
        assert_true(record_walk_next(&walk, &record));
        assert_int_equal(record.offset, record_batch_base_offset(batch.data) + i);
        assert_int_equal(record.timestamp_ms, SENT_MS + i);
        assert_true(slice_equal_str(record.value, value));
        assert_int_equal(record.header_count, 0);
    }
    assert_false(record_walk_next(&walk, &record));
    assert_false(walk.failed);
    record_walk_end(&walk);
}

static void every_codec_gives_back_what_was_built(void **state)
{
    for (size_t i = 0; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer batch = batch_of(SOME_RECORDS, ALL_CODECS[i]);
        assert_true(record_batch_is_intact(slice_of_buffer(&batch)));
        assert_int_equal(record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CODEC, ALL_CODECS[i]);
        assert_holds_some(slice_of_buffer(&batch), SOME_RECORDS);
        buffer_free(&batch);
    }
}

static void compression_saves_bytes(void **state)
{
    struct buffer plain = batch_of(SOME_RECORDS, RECORD_NONE);
    for (size_t i = 1; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer packed = batch_of(SOME_RECORDS, ALL_CODECS[i]);
        assert_true(packed.size < plain.size / 2);
        buffer_free(&packed);
    }
    buffer_free(&plain);
}

static void any_codec_becomes_any_other(void **state)
{
    struct buffer out = {0};
    for (size_t from = 0; from < COUNT_OF(ALL_CODECS); from++) {
        struct buffer batch = batch_of(SOME_RECORDS, ALL_CODECS[from]);
        record_batch_set_base(batch.data, 77, 3);
        for (size_t to = 0; to < COUNT_OF(ALL_CODECS); to++) {
            assert_ok(record_batch_recompress(slice_of_buffer(&batch), ALL_CODECS[to], 1, &out));
            assert_true(record_batch_is_intact(slice_of_buffer(&out)));
            assert_int_equal(record_batch_base_offset(out.data), 77);
            assert_int_equal(record_batch_leader_epoch(out.data), 3);
            assert_holds_some(slice_of_buffer(&out), SOME_RECORDS);
        }
        buffer_free(&batch);
    }
    buffer_free(&out);
}

/* gzip 1-9 or -1, lz4 1-17, zstd from negative to 22: Kafka's ranges of compression.<codec>.level. */
static void every_level_works(void **state)
{
    static const struct {
        enum record_codec codec;
        int first, last;
    } ranges[] = {{RECORD_GZIP, -1, 9}, {RECORD_LZ4, 1, 17}, {RECORD_ZSTD, -131072, -131072}, {RECORD_ZSTD, -5, 22}};
    struct buffer batch = batch_of(SOME_RECORDS, RECORD_NONE), out = {0};
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        for (int level = ranges[i].first; level <= ranges[i].last; level++) {
            assert_ok(record_batch_recompress(slice_of_buffer(&batch), ranges[i].codec, level, &out));
            assert_holds_some(slice_of_buffer(&out), SOME_RECORDS);
        }
    buffer_free(&batch);
    buffer_free(&out);
}

static void a_batch_that_cannot_be_inflated_is_not_recompressed(void **state)
{
    struct buffer batch = batch_of(SOME_RECORDS, RECORD_ZSTD), out = {0};
    batch.size -= 10;
    seal_again(&batch);
    assert_int_equal(record_batch_recompress(slice_of_buffer(&batch), RECORD_LZ4, 1, &out).error, EIO);
    batch.data[RECORD_BATCH_ATTRIBUTES_AT + 1] = 5; // no such codec
    assert_int_equal(record_batch_recompress(slice_of_buffer(&batch), RECORD_LZ4, 1, &out).error, EIO);
    buffer_free(&batch);
    buffer_free(&out);
}

static void nulls_stay_nulls_and_empty_stays_empty(void **state)
{
    struct record_builder b = {0};
    record_builder_begin(&b);
    record_builder_add(&b, SENT_MS, SLICE_NULL, slice_str(""));
    record_builder_add(&b, SENT_MS - 5, slice_str(""), SLICE_NULL);
    struct slice batch = record_builder_finish(&b, 0, -1, -1, -1);
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, batch);
    assert_true(record_walk_next(&walk, &record));
    assert_true(slice_is_null(record.key) && !slice_is_null(record.value) && record.value.size == 0);
    assert_true(record_walk_next(&walk, &record));
    assert_true(!slice_is_null(record.key) && record.key.size == 0 && slice_is_null(record.value));
    assert_int_equal(record.timestamp_ms, SENT_MS - 5);
    assert_int_equal(record_batch_max_timestamp(batch.data), SENT_MS);
    record_walk_end(&walk);
    record_builder_free(&b);
}

static void a_warm_builder_makes_the_same_bytes_without_malloc(void **state)
{
    struct record_builder b = {0};
    record_builder_begin(&b);
    add_some(&b, SOME_RECORDS);
    struct slice batch = record_builder_finish(&b, 0, -1, -1, -1);
    uint32_t crc = crc32c(batch.data, batch.size);
    uint64_t before = mem_alloc_count();
    record_builder_begin(&b);
    add_some(&b, SOME_RECORDS);
    batch = record_builder_finish(&b, 0, -1, -1, -1);
    assert_int_equal(mem_alloc_count(), before);
    assert_int_equal(crc32c(batch.data, batch.size), crc);
    record_builder_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_gives_back_what_was_built),
        cmocka_unit_test(compression_saves_bytes),
        cmocka_unit_test(any_codec_becomes_any_other),
        cmocka_unit_test(every_level_works),
        cmocka_unit_test(a_batch_that_cannot_be_inflated_is_not_recompressed),
        cmocka_unit_test(nulls_stay_nulls_and_empty_stays_empty),
        cmocka_unit_test(a_warm_builder_makes_the_same_bytes_without_malloc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
