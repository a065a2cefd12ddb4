// SPDX-License-Identifier: Apache-2.0
/* record/walk_test.c - walking records whose bytes come from a disk: damage ends the walk and is told. */
#include "record/record_test.h"

static int walk_count(struct slice batch, bool *ret_failed)
{
    struct record_walk walk;
    struct record record;
    int count = 0;
    record_walk_begin(&walk, batch);
    while (record_walk_next(&walk, &record))
        count++;
    *ret_failed = walk.failed;
    record_walk_end(&walk);
    return count;
}

static void a_count_too_high_fails_after_the_last_record(void **state)
{
    for (size_t i = 0; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer batch = batch_of(3, ALL_CODECS[i]);
        put_i32(&batch, RECORD_BATCH_COUNT_AT, INT32_MAX);
        bool failed;
        assert_int_equal(walk_count(slice_of_buffer(&batch), &failed), 3);
        assert_true(failed);
        buffer_free(&batch);
    }
}

static void a_negative_count_is_no_record(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE);
    put_i32(&batch, RECORD_BATCH_COUNT_AT, -1);
    bool failed;
    assert_int_equal(walk_count(slice_of_buffer(&batch), &failed), 0);
    buffer_free(&batch);
}

static void cut_records_fail(void **state)
{
    for (size_t i = 0; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer batch = batch_of(SOME_RECORDS, ALL_CODECS[i]);
        for (size_t size = RECORD_BATCH_HEAD_BYTES; size + 8 < batch.size; size++) { // lz4 may lack its end mark
            bool failed;
            assert_true(walk_count(slice_of(batch.data, size), &failed) <= SOME_RECORDS);
            assert_true(failed);
        }
        buffer_free(&batch);
    }
}

static void an_unknown_codec_fails(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE);
    batch.data[RECORD_BATCH_ATTRIBUTES_AT + 1] = 7;
    bool failed;
    assert_int_equal(walk_count(slice_of_buffer(&batch), &failed), 0);
    assert_true(failed);
    buffer_free(&batch);
}

static void append_time_hides_the_senders_time(void **state)
{
    struct buffer batch = batch_of(2, RECORD_NONE);
    struct record_facts facts;
    record_facts_read(slice_of_buffer(&batch), &facts);
    record_batch_set_append_time(batch.data, (uint32_t)batch.size, SENT_MS + 500, &facts);
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, slice_of_buffer(&batch));
    while (record_walk_next(&walk, &record))
        assert_int_equal(record.timestamp_ms, SENT_MS + 500);
    record_walk_end(&walk);
    buffer_free(&batch);
}

/* One record, as the layout in record.h has it: a length is 100 where 3 bytes follow. */
static void a_length_inside_a_record_cannot_reach_beyond_it(void **state)
{
    static const uint8_t record_bytes[] = {2 * 7, 0, 0, 0, 2 * 1, 'k', 2 * 100, 'v', 0};
    struct buffer batch = batch_of(1, RECORD_NONE);
    batch.size = RECORD_BATCH_HEAD_BYTES;
    buffer_append(&batch, record_bytes, sizeof record_bytes);
    seal_again(&batch);
    bool failed;
    assert_int_equal(walk_count(slice_of_buffer(&batch), &failed), 0);
    assert_true(failed);
    buffer_free(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_count_too_high_fails_after_the_last_record),
        cmocka_unit_test(a_negative_count_is_no_record),
        cmocka_unit_test(cut_records_fail),
        cmocka_unit_test(an_unknown_codec_fails),
        cmocka_unit_test(append_time_hides_the_senders_time),
        cmocka_unit_test(a_length_inside_a_record_cannot_reach_beyond_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
