// SPDX-License-Identifier: Apache-2.0
/* record/batch_test.c - the head of a batch: bounds, CRC, the fields that a broker patches. */
#include "record/record_test.h"

static void takes_whole_batches_one_by_one(void **state)
{
    struct buffer two = batch_of(3, RECORD_NONE);
    size_t first_size = two.size;
    struct buffer second = batch_of(1, RECORD_NONE);
    buffer_append(&two, second.data, second.size);
    struct slice rest = slice_of_buffer(&two), batch;
    assert_true(record_batch_next(&rest, &batch));
    assert_int_equal(batch.size, first_size);
    assert_true(record_batch_next(&rest, &batch));
    assert_int_equal(batch.size, second.size);
    assert_false(record_batch_next(&rest, &batch));
    buffer_free(&two);
    buffer_free(&second);
}

static void takes_no_batch_that_is_cut_or_lies_about_its_size(void **state)
{
    struct buffer one = batch_of(3, RECORD_NONE);
    struct slice batch;
    for (size_t size = 0; size < one.size; size++) {
        struct slice rest = slice_of(one.data, size);
        assert_false(record_batch_next(&rest, &batch));
    }
    static const int32_t lies[] = {INT32_MIN, -1, 0, 48, INT32_MAX};
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        put_i32(&one, RECORD_BATCH_SIZE_AT, lies[i]);
        struct slice rest = slice_of_buffer(&one);
        assert_false(record_batch_next(&rest, &batch));
        assert_false(record_batch_is_intact(slice_of_buffer(&one)));
    }
    buffer_free(&one);
}

static void every_changed_bit_behind_the_crc_is_noticed(void **state)
{
    struct buffer one = batch_of(2, RECORD_ZSTD);
    assert_true(record_batch_is_intact(slice_of_buffer(&one)));
    for (size_t at = RECORD_BATCH_MAGIC_AT; at < one.size; at++) {
        one.data[at] ^= 0x10;
        assert_false(record_batch_is_intact(slice_of_buffer(&one)));
        one.data[at] ^= 0x10;
    }
    buffer_free(&one);
}

static void base_and_epoch_are_set_without_touching_the_crc(void **state)
{
    struct buffer one = batch_of(5, RECORD_NONE);
    record_batch_set_base(one.data, 1ll << 40, 7);
    assert_true(record_batch_is_intact(slice_of_buffer(&one)));
    assert_int_equal(record_batch_base_offset(one.data), 1ll << 40);
    assert_int_equal(record_batch_next_offset(one.data), (1ll << 40) + 5);
    assert_int_equal(record_batch_leader_epoch(one.data), 7);
    buffer_free(&one);
}

static void facts_are_those_of_the_head(void **state)
{
    struct record_builder b = {0};
    record_builder_begin(&b);
    add_some(&b, 3);
    struct slice batch =
        record_builder_finish(&b, RECORD_ATTRIBUTE_TRANSACTIONAL | RECORD_ATTRIBUTE_CONTROL, 9, 4, 100);
    struct record_facts facts;
    record_facts_read(batch, &facts);
    assert_int_equal(facts.count, 3);
    assert_int_equal(facts.last_delta, 2);
    assert_int_equal(facts.max_timestamp_ms, SENT_MS + 2);
    assert_int_equal(facts.max_timestamp_delta, 2);
    assert_int_equal(facts.producer_id, 9);
    assert_int_equal(facts.producer_epoch, 4);
    assert_int_equal(facts.base_sequence, 100);
    assert_int_equal(facts.codec, RECORD_NONE);
    assert_true(facts.is_transactional && facts.is_control && !facts.is_append_time);
    record_builder_free(&b);
}

static void append_time_is_set_with_a_new_crc(void **state)
{
    struct buffer one = batch_of(3, RECORD_NONE);
    struct record_facts facts;
    record_facts_read(slice_of_buffer(&one), &facts);
    record_batch_set_append_time(one.data, (uint32_t)one.size, SENT_MS + 99, &facts);
    assert_true(record_batch_is_intact(slice_of_buffer(&one)));
    assert_int_equal(record_batch_max_timestamp(one.data), SENT_MS + 99);
    assert_int_equal(facts.max_timestamp_ms, SENT_MS + 99);
    assert_true(facts.is_append_time);
    buffer_free(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_whole_batches_one_by_one),
        cmocka_unit_test(takes_no_batch_that_is_cut_or_lies_about_its_size),
        cmocka_unit_test(every_changed_bit_behind_the_crc_is_noticed),
        cmocka_unit_test(base_and_epoch_are_set_without_touching_the_crc),
        cmocka_unit_test(facts_are_those_of_the_head),
        cmocka_unit_test(append_time_is_set_with_a_new_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
