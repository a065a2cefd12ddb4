// SPDX-License-Identifier: Apache-2.0
/* record/message_set_test.c - sets that kafka-python 2.0.2 made become batches and messages again, in every codec and both
 * formats; each fault of a set is refused with its error. */
#include "record/message_samples.h"

#include <zlib.h>

struct fixture {
    struct record_scratch *scratch;
    struct record_builder builder;
    struct record_fault fault;
    struct slice batch;
};

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    f->scratch = record_scratch_create();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    record_builder_free(&f->builder);
    record_scratch_free(f->scratch);
    mem_free(f);
    return 0;
}

static int16_t convert(struct fixture *f, const struct buffer *set)
{
    struct record_rules rules = plain_rules();
    return record_message_set_convert(slice_of_buffer(set), &rules, f->scratch, &f->builder, &f->batch, &f->fault);
}

static void assert_is(const struct record *record, int index, int64_t offset, int8_t magic)
{
    static const char *const KEYS[] = {NULL, "k1", "k2"}, *const VALUES[] = {"value 0", "value 1", NULL};
    assert_int_equal(record->offset, offset);
    assert_int_equal(record->timestamp_ms, magic == 0 ? -1 : SENT_MS + index);
    assert_true(KEYS[index] ? slice_equal_str(record->key, KEYS[index]) : slice_is_null(record->key));
    assert_true(VALUES[index] ? slice_equal_str(record->value, VALUES[index]) : slice_is_null(record->value));
}

static void assert_holds(struct slice batch, int from, int64_t base, int8_t magic)
{
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, batch);
    for (int i = from; i < 3; i++) {
        assert_true(record_walk_next(&walk, &record));
        assert_is(&record, i, base + i - from, magic);
    }
    assert_false(record_walk_next(&walk, &record));
    assert_false(walk.failed);
    record_walk_end(&walk);
}

static void sets_of_an_old_client_become_valid_batches(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++) {
        CLEANUP(buffer_free) struct buffer set = bytes_of(SAMPLES[i].hex);
        assert_int_equal(convert(f, &set), KAFKA_NONE);
        assert_int_equal(record_batch_attributes(f->batch.data), SAMPLES[i].codec);
        struct record_rules rules = plain_rules();
        struct record_facts facts;
        assert_int_equal(record_validate(f->batch, &rules, f->scratch, &facts, &f->fault), KAFKA_NONE);
        assert_int_equal(facts.count, 3);
        assert_int_equal(facts.max_timestamp_ms, SAMPLES[i].magic == 0 ? -1 : SENT_MS + 2);
        assert_holds(f->batch, 0, 0, SAMPLES[i].magic);
    }
}

/* Down and up again: what was left out at the front stays out, offsets are told in the way of the format. */
static void batches_become_messages_from_any_offset_on(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++)
        for (int from = 0; from < 3; from++) {
            CLEANUP(buffer_free) struct buffer set = bytes_of(SAMPLES[i].hex), down = {0};
            assert_int_equal(convert(f, &set), KAFKA_NONE);
            record_batch_set_base((uint8_t *)(uintptr_t)f->batch.data, 70, 5);
            assert_ok(record_batch_convert_down(f->batch, SAMPLES[i].magic, 70 + from, &down));
            assert_int_equal(down.data[RECORD_BATCH_MAGIC_AT], SAMPLES[i].magic);
            bool wrapped = SAMPLES[i].codec != RECORD_NONE;
            assert_int_equal(record_batch_base_offset(down.data), wrapped ? 72 : 70 + from);
            assert_int_equal(convert(f, &down), KAFKA_NONE);
            assert_holds(f->batch, from, 0, SAMPLES[i].magic);
        }
}

static void compressed_messages_have_relative_offsets_in_format_1_alone(void **state)
{
    struct fixture *f = *state;
    for (int8_t magic = 0; magic < 2; magic++) {
        CLEANUP(buffer_free) struct buffer set = bytes_of(SET_1_GZIP), down = {0}, inner = {0};
        assert_int_equal(convert(f, &set), KAFKA_NONE);
        record_batch_set_base((uint8_t *)(uintptr_t)f->batch.data, 70, 5);
        assert_ok(record_batch_convert_down(f->batch, magic, 70, &down));
        size_t head = magic == 0 ? 26 : 34;
        struct inflate stream;
        record__inflate_begin(&stream, f->scratch, RECORD_GZIP, slice_of(down.data + head, down.size - head), 1000);
        while (record__inflate_refill(&stream))
            buffer_append(&inner, stream.at, (size_t)(stream.end - stream.at));
        size_t at = 0;
        for (int i = 0; i < 3; i++) {
            assert_true(at < inner.size);
            assert_int_equal(record_batch_base_offset(inner.data + at), magic == 0 ? 70 + i : i);
            at += (size_t)record_batch_size(inner.data + at);
        }
        assert_int_equal(at, inner.size);
    }
}

/* What kafka-python wrote for a broker of format 0, byte for byte where a codec leaves no choice. */
static void an_old_lz4_head_is_what_old_clients_wrote(void **state)
{
    CLEANUP(buffer_free) struct buffer set = bytes_of(SET_0_LZ4), frame = {0};
    buffer_append(&frame, set.data + 26, set.size - 26);
    assert_true(record__lz4_head_check(frame.data, frame.size, true));
    assert_memory_equal(frame.data, set.data + 26, frame.size);
    assert_true(record__lz4_head_check(frame.data, frame.size, false));
    assert_memory_not_equal(frame.data, set.data + 26, frame.size);
    assert_false(record__lz4_head_check(set.data, set.size, true));
}

static void headers_and_control_batches_are_left_out_and_zstd_is_refused(void **state)
{
    CLEANUP(buffer_free) struct buffer zstd = batch_of(3, RECORD_ZSTD), control = batch_of(1, RECORD_NONE), out = {0};
    assert_int_equal(record_batch_convert_down(slice_of_buffer(&zstd), 1, 0, &out).error, ENOTSUP);
    control.data[RECORD_BATCH_ATTRIBUTES_AT + 1] |= RECORD_ATTRIBUTE_CONTROL;
    assert_ok(record_batch_convert_down(slice_of_buffer(&control), 1, 0, &out));
    assert_int_equal(out.size, 0);
}

static void seal_message(uint8_t *m, size_t size)
{
    record__put_be(m + RECORD_MESSAGE_CRC_AT,
                   (uint32_t)crc32(0, m + RECORD_BATCH_MAGIC_AT, (uInt)(size - RECORD_BATCH_MAGIC_AT)), 4);
}

static void each_flipped_byte_of_a_message_is_noticed(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buffer_free) struct buffer set = bytes_of(SET_1_GZIP);
    for (size_t at = RECORD_MESSAGE_CRC_AT; at < set.size; at++) {
        if (at == RECORD_BATCH_MAGIC_AT)
            continue; // makes it something else
        set.data[at] ^= 0x10;
        assert_int_equal(convert(f, &set), KAFKA_CORRUPT_MESSAGE);
        set.data[at] ^= 0x10;
    }
    assert_int_equal(convert(f, &set), KAFKA_NONE);
}

static void wrappers_must_be_alone_and_hold_plain_messages(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buffer_free) struct buffer one = bytes_of(SET_1_GZIP), two = {0}, nested = {0}, packed = {0};
    buffer_append(&two, one.data, one.size);
    buffer_append(&two, one.data, one.size);
    assert_int_equal(convert(f, &two), KAFKA_INVALID_RECORD);
    two.size -= 1; // the second is cut, and so is none
    assert_int_equal(convert(f, &two), KAFKA_NONE);
    assert_ok(record__deflate_all(RECORD_GZIP, 6, slice_of_buffer(&one), &packed));
    buffer_append(&nested, one.data, 34);
    buffer_append(&nested, packed.data, packed.size);
    put_i32(&nested, 30, (int32_t)packed.size);
    put_i32(&nested, RECORD_BATCH_SIZE_AT, (int32_t)(nested.size - RECORD_BATCH_LOG_OVERHEAD));
    seal_message(nested.data, nested.size);
    assert_int_equal(convert(f, &nested), KAFKA_INVALID_RECORD);
    one.data[RECORD_MESSAGE_ATTRIBUTES_AT] = RECORD_ZSTD;
    seal_message(one.data, one.size);
    assert_int_equal(convert(f, &one), KAFKA_INVALID_RECORD);
}

static void lengths_that_lie_are_refused(void **state)
{
    struct fixture *f = *state;
    for (int32_t lie = -3; lie < 60; lie++) {
        CLEANUP(buffer_free) struct buffer set = bytes_of(SET_1_PLAIN);
        put_i32(
            &set, 26,
            lie); // of the first message's null key; an empty one fits too, which is null: an empty one lies in the same bytes
        seal_message(set.data, (size_t)record_batch_size(set.data));
        assert_int_equal(convert(f, &set), lie == -1 || lie == 0 ? KAFKA_NONE : KAFKA_CORRUPT_MESSAGE);
    }
    CLEANUP(buffer_free) struct buffer set = bytes_of(SET_0_PLAIN);
    put_i32(&set, RECORD_BATCH_SIZE_AT, 13);
    assert_int_equal(convert(f, &set), KAFKA_CORRUPT_MESSAGE);
    put_i32(&set, RECORD_BATCH_SIZE_AT, (int32_t)set.size);
    assert_int_equal(convert(f, &set), KAFKA_INVALID_RECORD);
}

static void a_wrapper_cannot_expand_without_bound(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buffer_free) struct buffer bomb = bomb_of(RECORD_GZIP, RECORD_MESSAGES_EXPANDED_MAX + 1), set = {0};
    CLEANUP(buffer_free) struct buffer like = bytes_of(SET_1_GZIP);
    buffer_append(&set, like.data, 34);
    buffer_append(&set, bomb.data, bomb.size);
    put_i32(&set, 30, (int32_t)bomb.size);
    put_i32(&set, RECORD_BATCH_SIZE_AT, (int32_t)(set.size - RECORD_BATCH_LOG_OVERHEAD));
    seal_message(set.data, set.size);
    assert_int_equal(convert(f, &set), KAFKA_MESSAGE_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_of_an_old_client_become_valid_batches),
        cmocka_unit_test(batches_become_messages_from_any_offset_on),
        cmocka_unit_test(compressed_messages_have_relative_offsets_in_format_1_alone),
        cmocka_unit_test(an_old_lz4_head_is_what_old_clients_wrote),
        cmocka_unit_test(headers_and_control_batches_are_left_out_and_zstd_is_refused),
        cmocka_unit_test(each_flipped_byte_of_a_message_is_noticed),
        cmocka_unit_test(wrappers_must_be_alone_and_hold_plain_messages),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(a_wrapper_cannot_expand_without_bound),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
