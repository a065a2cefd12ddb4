// SPDX-License-Identifier: Apache-2.0
/* record/stored_test.c - messages of formats 0 and 1 as old segments hold them: their heads and records look like those of
 * batches, what is damaged is found, and compaction and old consumers can be given them. */
#include "record/message_samples.h"

enum { LAST_OFFSET_1 = 102 };

static int64_t last_offset_of(const struct sample *sample)
{
    return sample->magic == 1 && sample->codec != RECORD_NONE ? LAST_OFFSET_1 : 2;
}

/* As a broker stores it: a wrapper has the offset of its last message, which the checksum does not cover. */
static struct buffer stored(const struct sample *sample)
{
    struct buffer bytes = bytes_of(sample->hex);
    if (sample->codec != RECORD_NONE)
        record__put_be(bytes.data, (uint64_t)last_offset_of(sample), 8);
    return bytes;
}

static void check_record(const struct record *record, int index, int64_t offset, int8_t magic)
{
    static const char *const KEYS[] = {NULL, "k1", "k2"}, *const VALUES[] = {"value 0", "value 1", NULL};
    assert((size_t)index < COUNT_OF(KEYS));
    assert_int_equal(record->offset, offset);
    assert_int_equal(record->timestamp_ms, magic == 0 ? -1 : SENT_MS + index);
    assert_int_equal(record->header_count, 0);
    assert_true(KEYS[index] ? slice_equal_str(record->key, KEYS[index]) : slice_is_null(record->key));
    assert_true(VALUES[index] ? slice_equal_str(record->value, VALUES[index]) : slice_is_null(record->value));
}

/* Index of the first record in it; how many it holds. */
static int check_walk(struct slice batch, int index, int64_t offset, int8_t magic)
{
    struct record_walk walk;
    struct record record;
    int count = 0;
    record_walk_begin(&walk, batch);
    assert_int_equal(record_batch_base_offset(walk.batch.data), offset);
    while (record_walk_next(&walk, &record)) {
        check_record(&record, index + count, offset + count, magic);
        count++;
    }
    assert_false(walk.failed);
    assert_int_equal(record_batch_count(walk.batch.data), count);
    assert_int_equal(record_batch_next_offset(walk.batch.data), offset + count);
    record_walk_end(&walk);
    return count;
}

static void the_records_of_old_messages_are_walked_with_their_offsets(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++) {
        const struct sample *sample = &SAMPLES[i];
        struct buffer bytes = stored(sample);
        struct slice rest = slice_of_buffer(&bytes), batch;
        int index = 0;
        while (record_stored_next(&rest, &batch)) {
            assert_true(record_stored_is_intact(batch));
            index += check_walk(batch, index, last_offset_of(sample) - 2 + index, sample->magic);
        }
        assert_int_equal(index, 3);
        assert_int_equal(rest.size, 0);
        buffer_free(&bytes);
    }
}

static void a_head_tells_the_last_offset_and_the_largest_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++) {
        const struct sample *sample = &SAMPLES[i];
        struct buffer bytes = stored(sample);
        uint8_t room[RECORD_BATCH_HEAD_BYTES];
        const uint8_t *head = record_stored_head(slice_of_buffer(&bytes), room);
        struct record_facts facts;
        assert_non_null(head);
        record_facts_read(slice_of(head, RECORD_BATCH_HEAD_BYTES), &facts);
        assert_int_equal(record_batch_next_offset(head) - 1, sample->codec ? last_offset_of(sample) : 0);
        assert_int_equal(facts.codec, sample->codec);
        assert_int_equal(facts.producer_id, -1);
        assert_int_equal(record_batch_leader_epoch(head), -1);
        assert_false(facts.is_control || facts.is_transactional);
        if (sample->magic == 0)
            assert_int_equal(facts.max_timestamp_ms, -1);
        buffer_free(&bytes);
    }
}

static void bytes_that_begin_no_batch_have_no_head(void **state)
{
    (void)state;
    struct buffer bytes = bytes_of(SET_1_PLAIN);
    uint8_t room[RECORD_BATCH_HEAD_BYTES];
    assert_null(record_stored_head(slice_of(bytes.data, RECORD_MESSAGE_MIN_BYTES - 1), room));
    assert_non_null(record_stored_head(slice_of(bytes.data, RECORD_MESSAGE_MIN_BYTES), room));
    record__put_be(bytes.data + RECORD_BATCH_SIZE_AT, 21, 4); // one byte less than format 1 needs
    assert_null(record_stored_head(slice_of_buffer(&bytes), room));
    bytes.data[RECORD_BATCH_MAGIC_AT] = 3;
    assert_null(record_stored_head(slice_of_buffer(&bytes), room));
    buffer_free(&bytes);
}

static void every_byte_below_the_checksum_counts(void **state)
{
    (void)state;
    struct buffer bytes = stored(&(struct sample){SET_1_GZIP, 1, RECORD_GZIP});
    assert_true(record_stored_is_intact(slice_of_buffer(&bytes)));
    for (size_t i = RECORD_MESSAGE_CRC_AT; i < bytes.size; i++) {
        bytes.data[i] ^= 0x40;
        assert_false(record_stored_is_intact(slice_of_buffer(&bytes)));
        bytes.data[i] ^= 0x40;
    }
    assert_false(record_stored_is_intact(slice_of(bytes.data, bytes.size - 1)));
    buffer_free(&bytes);
}

static void a_wrapper_that_cannot_be_read_fails_the_walk(void **state)
{
    (void)state;
    struct buffer bytes = stored(&(struct sample){SET_1_GZIP, 1, RECORD_GZIP});
    struct record_walk walk;
    struct record record;
    bytes.data[bytes.size - 9] ^= 0xff; // gzip's own checksum
    record_walk_begin(&walk, slice_of_buffer(&bytes));
    assert_false(record_walk_next(&walk, &record));
    assert_true(walk.failed);
    record_walk_end(&walk);
    bytes.data[bytes.size - 9] ^= 0xff;
    record__put_be(bytes.data, 1, 8); // less than the last offset inside
    record_walk_begin(&walk, slice_of_buffer(&bytes));
    assert_true(walk.failed);
    record_walk_end(&walk);
    buffer_free(&bytes);
}

/* Compaction takes the record in the middle out: a batch of format 2 in the same codec. */
static void a_wrapper_that_loses_a_record_becomes_a_batch(void **state)
{
    (void)state;
    struct buffer bytes = stored(&(struct sample){SET_1_LZ4, 1, RECORD_LZ4}), kept = {0};
    bool keep[3] = {true, false, true};
    assert_ok(record_batch_keep(slice_of_buffer(&bytes), keep, -1, &kept));
    assert_true(record_batch_is_intact(slice_of_buffer(&kept)));
    assert_int_equal(record_batch_attributes(kept.data), RECORD_LZ4);
    assert_int_equal(record_batch_base_offset(kept.data), LAST_OFFSET_1 - 2);
    assert_int_equal(record_batch_next_offset(kept.data), LAST_OFFSET_1 + 1);
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, slice_of_buffer(&kept));
    assert_true(record_walk_next(&walk, &record));
    check_record(&record, 0, LAST_OFFSET_1 - 2, 1);
    assert_true(record_walk_next(&walk, &record));
    check_record(&record, 2, LAST_OFFSET_1, 1);
    assert_false(record_walk_next(&walk, &record));
    record_walk_end(&walk);
    buffer_free(&bytes);
    buffer_free(&kept);
}

static void old_consumers_get_old_messages_as_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++) {
        struct buffer bytes = stored(&SAMPLES[i]), same = {0}, older = {0};
        struct slice rest = slice_of_buffer(&bytes), batch;
        while (record_stored_next(&rest, &batch)) {
            assert_ok(record_batch_convert_down(batch, 1, 0, &same));
            assert_ok(record_batch_convert_down(batch, 0, 0, &older));
        }
        assert_true(slice_equal(slice_of_buffer(&same), slice_of_buffer(&bytes)));
        rest = slice_of_buffer(&older);
        for (int index = 0; SAMPLES[i].magic == 1 && index < 3; index++) {
            assert_true(record_stored_next(&rest, &batch));
            assert_int_equal(batch.data[RECORD_BATCH_MAGIC_AT], 0);
            assert_int_equal(check_walk(batch, index, last_offset_of(&SAMPLES[i]) - 2 + index, 0), 1);
        }
        buffer_free(&bytes);
        buffer_free(&same);
        buffer_free(&older);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_records_of_old_messages_are_walked_with_their_offsets),
        cmocka_unit_test(a_head_tells_the_last_offset_and_the_largest_time),
        cmocka_unit_test(bytes_that_begin_no_batch_have_no_head),
        cmocka_unit_test(every_byte_below_the_checksum_counts),
        cmocka_unit_test(a_wrapper_that_cannot_be_read_fails_the_walk),
        cmocka_unit_test(a_wrapper_that_loses_a_record_becomes_a_batch),
        cmocka_unit_test(old_consumers_get_old_messages_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
