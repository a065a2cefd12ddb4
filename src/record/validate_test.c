// SPDX-License-Identifier: Apache-2.0
/* record/validate_test.c - what a producer may send, and the error it gets for anything else. */
#include "record/record_test.h"

struct checked {
    int16_t error;
    struct record_facts facts;
    struct record_fault fault;
};

static struct checked validate(const struct buffer *batch, struct record_rules rules)
{
    struct checked c = {0};
    struct record_scratch *scratch = record_scratch_create();
    c.error = record_validate(slice_of_buffer(batch), &rules, scratch, &c.facts, &c.fault);
    record_scratch_free(scratch);
    return c;
}

static void every_codec_is_accepted(void **state)
{
    for (size_t i = 0; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer batch = batch_of(SOME_RECORDS, ALL_CODECS[i]);
        struct checked c = validate(&batch, plain_rules());
        assert_int_equal(c.error, KAFKA_NONE);
        assert_int_equal(c.facts.count, SOME_RECORDS);
        assert_int_equal(c.facts.codec, ALL_CODECS[i]);
        assert_int_equal(c.facts.max_timestamp_ms, SENT_MS + SOME_RECORDS - 1);
        assert_int_equal(c.facts.max_timestamp_delta, SOME_RECORDS - 1);
        buffer_free(&batch);
    }
}

static void a_corrupt_crc_is_refused(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE);
    batch.data[batch.size - 1] ^= 1;
    assert_int_equal(validate(&batch, plain_rules()).error, KAFKA_CORRUPT_MESSAGE);
    buffer_free(&batch);
}

static void counts_that_lie_are_refused(void **state)
{
    static const int32_t lies[][2] = {{3, 4},  {2, 3},   {4, 5}, {INT32_MAX, INT32_MAX - 1},
                                      {0, -1}, {-1, -2}, {3, 1}, {5, 4}};
    for (size_t codec = 0; codec < COUNT_OF(ALL_CODECS); codec++)
        for (size_t i = 0; i < COUNT_OF(lies); i++) {
            struct buffer batch = batch_of(3, ALL_CODECS[codec]);
            put_i32(&batch, RECORD_BATCH_COUNT_AT, lies[i][0]);
            put_i32(&batch, RECORD_BATCH_LAST_DELTA_AT, lies[i][1]);
            seal_again(&batch);
            assert_int_equal(validate(&batch, plain_rules()).error, KAFKA_INVALID_RECORD);
            buffer_free(&batch);
        }
}

static void bytes_behind_the_last_record_are_refused(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE);
    buffer_append(&batch, "x", 1);
    seal_again(&batch);
    assert_int_equal(validate(&batch, plain_rules()).error, KAFKA_INVALID_RECORD);
    buffer_free(&batch);
}

static void one_request_holds_one_batch(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE), second = batch_of(3, RECORD_NONE);
    buffer_append(&batch, second.data, second.size);
    struct checked c = validate(&batch, plain_rules());
    assert_int_equal(c.error, KAFKA_INVALID_RECORD);
    assert_true(c.fault.is_request_fault);
    buffer_free(&batch);
    buffer_free(&second);
}

static void what_follows_a_batch_and_is_none_is_cut(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE);
    buffer_append(&batch, "\0\0\0\0\0", 5);
    assert_int_equal(validate(&batch, plain_rules()).error, KAFKA_NONE);
    buffer_free(&batch);
}

static void the_time_of_an_append_is_the_brokers(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE);
    batch.data[RECORD_BATCH_ATTRIBUTES_AT + 1] |= RECORD_ATTRIBUTE_APPEND_TIME;
    seal_again(&batch);
    struct record_rules rules = plain_rules();
    assert_int_equal(validate(&batch, rules).error, KAFKA_NONE); // a claim that the topic overrules
    rules.log_append_time = true;
    struct buffer claimed = batch_of(3, RECORD_NONE);
    claimed.data[RECORD_BATCH_ATTRIBUTES_AT + 1] |= RECORD_ATTRIBUTE_APPEND_TIME;
    seal_again(&claimed);
    assert_int_equal(validate(&claimed, rules).error, KAFKA_INVALID_TIMESTAMP);
    buffer_free(&claimed);
    buffer_free(&batch);
}

static void control_batches_are_not_for_clients(void **state)
{
    struct buffer batch = batch_of(1, RECORD_NONE);
    batch.data[RECORD_BATCH_ATTRIBUTES_AT + 1] |= RECORD_ATTRIBUTE_CONTROL;
    seal_again(&batch);
    assert_int_equal(validate(&batch, plain_rules()).error, KAFKA_INVALID_RECORD);
    buffer_free(&batch);
}

static void zstd_needs_a_version_that_knows_it(void **state)
{
    struct buffer batch = batch_of(3, RECORD_ZSTD);
    struct record_rules rules = plain_rules();
    rules.zstd_allowed = false;
    assert_int_equal(validate(&batch, rules).error, KAFKA_UNSUPPORTED_COMPRESSION_TYPE);
    buffer_free(&batch);
}

static void a_batch_beyond_the_topics_limit_is_refused(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE);
    struct record_rules rules = plain_rules();
    rules.size_max_bytes = (int32_t)batch.size;
    assert_int_equal(validate(&batch, rules).error, KAFKA_NONE);
    rules.size_max_bytes--;
    assert_int_equal(validate(&batch, rules).error, KAFKA_MESSAGE_TOO_LARGE);
    buffer_free(&batch);
}

static void a_compacted_topic_wants_keys_and_names_the_record_without(void **state)
{
    struct record_builder b = {0};
    record_builder_begin(&b);
    record_builder_add(&b, SENT_MS, slice_str("k"), slice_str("v"));
    record_builder_add(&b, SENT_MS, SLICE_NULL, slice_str("v"));
    struct slice bytes = record_builder_finish(&b, 0, -1, -1, -1);
    struct buffer batch = {.data = (uint8_t *)(uintptr_t)bytes.data, .size = bytes.size};
    struct record_rules rules = plain_rules();
    rules.needs_keys = true;
    struct checked c = validate(&batch, rules);
    assert_int_equal(c.error, KAFKA_INVALID_RECORD);
    assert_int_equal(c.fault.refused_count, 1);
    assert_int_equal(c.fault.refusal_count, 0); // nobody wants to know
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    rules.arena = &arena;
    c = validate(&batch, rules);
    assert_int_equal(c.fault.refusal_count, 1);
    assert_int_equal(c.fault.refusals[0].index, 1);
    assert_int_equal(c.fault.refusals[0].reason, RECORD_HAS_NO_KEY);
    arena_free(&arena);
    record_builder_free(&b);
}

static void every_refused_record_is_told_up_to_a_limit(void **state)
{
    enum { RECORDS = RECORD_REFUSALS_MAX + 10 };
    struct record_builder b = {0};
    record_builder_begin(&b);
    for (int i = 0; i < RECORDS; i++)
        record_builder_add(&b, SENT_MS, i % 2 ? SLICE_NULL : slice_str("k"), slice_str("v"));
    for (int i = 0; i < RECORDS; i++)
        record_builder_add(&b, SENT_MS, SLICE_NULL, slice_str("v"));
    struct slice bytes = record_builder_finish(&b, 0, -1, -1, -1);
    struct buffer batch = {.data = (uint8_t *)(uintptr_t)bytes.data, .size = bytes.size};
    struct record_rules rules = plain_rules();
    struct arena arena;
    arena_init(&arena, 4096, 1 << 24);
    rules.needs_keys = true;
    rules.arena = &arena;
    struct checked c = validate(&batch, rules);
    assert_int_equal(c.error, KAFKA_INVALID_RECORD);
    assert_int_equal(c.fault.refused_count, RECORDS / 2 + RECORDS);
    assert_int_equal(c.fault.refusal_count, RECORD_REFUSALS_MAX);
    for (int i = 0; i < RECORDS / 2; i++)
        assert_int_equal(c.fault.refusals[i].index, 2 * i + 1);
    assert_int_equal(c.fault.refusals[RECORD_REFUSALS_MAX - 1].index, RECORDS + RECORD_REFUSALS_MAX - 1 - RECORDS / 2);
    arena_free(&arena);
    record_builder_free(&b);
}

static void times_out_of_range_are_refused(void **state)
{
    struct buffer batch = batch_of(1, RECORD_NONE);
    struct record_rules rules = plain_rules();
    rules.now_ms = SENT_MS - 3600001; // the record is from the future
    assert_int_equal(validate(&batch, rules).error, KAFKA_INVALID_TIMESTAMP);
    rules.log_append_time = true; // then its own time does not matter
    assert_int_equal(validate(&batch, rules).error, KAFKA_NONE);
    rules = plain_rules();
    rules.now_ms = SENT_MS + 10;
    rules.timestamp_before_max_ms = 9;
    assert_int_equal(validate(&batch, rules).error, KAFKA_INVALID_TIMESTAMP);
    buffer_free(&batch);
}

static void a_wrong_max_timestamp_is_put_right(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE);
    batch.data[RECORD_BATCH_MAX_TIMESTAMP_AT + 7] ^= 0x55;
    seal_again(&batch);
    assert_int_equal(validate(&batch, plain_rules()).error, KAFKA_NONE);
    assert_int_equal(record_batch_max_timestamp(batch.data), SENT_MS + 2);
    assert_true(record_batch_is_intact(slice_of_buffer(&batch)));
    buffer_free(&batch);
}

/* 64 MiB of zeros claim to be records: refused at the first, after one window. */
static void a_bomb_in_a_batch_is_refused(void **state)
{
    for (size_t i = 1; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer batch = batch_of(1, ALL_CODECS[i]), bomb = bomb_of(ALL_CODECS[i], 64 << 20);
        batch.size = RECORD_BATCH_HEAD_BYTES;
        buffer_append(&batch, bomb.data, bomb.size);
        seal_again(&batch);
        struct record_rules rules = plain_rules();
        rules.size_max_bytes = INT32_MAX;
        assert_int_equal(validate(&batch, rules).error, KAFKA_INVALID_RECORD);
        buffer_free(&batch);
        buffer_free(&bomb);
    }
}

/* One that has more than one window's worth of records, so that some lie across the border of two. */
static void records_are_read_alike_within_a_window_and_across(void **state)
{
    enum { RECORDS = 5000 };
    struct record_rules rules = plain_rules();
    rules.needs_keys = true;
    rules.size_max_bytes = INT32_MAX;
    for (size_t i = 0; i < COUNT_OF(ALL_CODECS); i++) {
        struct record_builder b = {0};
        struct slice packed;
        record_builder_begin(&b);
        for (int n = 0; n < RECORDS; n++)
            record_builder_add_with(&b, SENT_MS + (n * 7919) % RECORDS, n % 2 ? SLICE_NULL : slice_str("key"),
                                    n % 3 ? slice_str("a value, longer than many others") : SLICE_NULL,
                                    n % 5 ? slice_of((const uint8_t *)"\0", 1)
                                          : slice_of((const uint8_t *)"\4\2h\1\0\2v", 7));
        assert_ok(record_builder_finish_packed(&b, ALL_CODECS[i], ALL_CODECS[i] == RECORD_GZIP ? 6 : 3, 0, -1, -1, -1,
                                               &packed));
        struct buffer batch = {.data = (uint8_t *)(uintptr_t)packed.data, .size = packed.size};
        struct checked c = validate(&batch, rules);
        assert_int_equal(c.error, KAFKA_INVALID_RECORD);
        assert_int_equal(c.fault.refused_count, RECORDS / 2); // and all others were read to their end
        rules.needs_keys = false;
        c = validate(&batch, rules);
        assert_int_equal(c.error, KAFKA_NONE);
        assert_int_equal(c.facts.max_timestamp_ms, SENT_MS + RECORDS - 1);
        assert_int_equal(c.facts.max_timestamp_delta * 7919 % RECORDS, RECORDS - 1);
        rules.needs_keys = true;
        record_builder_free(&b);
    }
}

/* ---- a brief look */
static struct checked look(const struct buffer *batch, bool is_brief)
{
    struct record_rules rules = plain_rules();
    rules.size_max_bytes = INT32_MAX;
    rules.is_brief = is_brief;
    return validate(batch, rules);
}

static void a_brief_look_gives_up_what_unfolds_to_much_and_knows_the_rest(void **state)
{
    for (size_t i = 0; i < COUNT_OF(ALL_CODECS); i++) {
        struct buffer small = batch_of(SOME_RECORDS, ALL_CODECS[i]), much = batch_of(30000, ALL_CODECS[i]);
        struct checked c = look(&small, true);
        assert_false(c.fault.gave_up);
        assert_int_equal(c.error, KAFKA_NONE);
        c = look(&much, true); // plain: by the count of its records
        assert_true(c.fault.gave_up);
        assert_int_not_equal(c.error, KAFKA_NONE);
        c = look(&much, false);
        assert_false(c.fault.gave_up);
        assert_int_equal(c.error, KAFKA_NONE);
        buffer_free(&small);
        buffer_free(&much);
    }
}

static void a_brief_look_gives_up_one_large_record_however_small_it_came(void **state)
{
    for (size_t i = 1; i < COUNT_OF(ALL_CODECS); i++) {
        struct record_builder b = {0};
        struct slice packed;
        uint8_t *zeros = mem_zalloc(1 << 20);
        record_builder_begin(&b);
        record_builder_add(&b, SENT_MS, SLICE_NULL, slice_of(zeros, 1 << 20));
        assert_ok(record_builder_finish_packed(&b, ALL_CODECS[i], ALL_CODECS[i] == RECORD_GZIP ? 6 : 3, 0, -1, -1, -1,
                                               &packed));
        struct buffer one = {.data = (uint8_t *)(uintptr_t)packed.data, .size = packed.size};
        assert_true(look(&one, true).fault.gave_up);
        assert_int_equal(look(&one, false).error, KAFKA_NONE);
        record_builder_free(&b);
        mem_free(zeros);
    }
}

static void nothing_shorter_than_a_head_is_a_batch(void **state)
{
    struct buffer batch = batch_of(3, RECORD_NONE);
    for (batch.size--; batch.size > 0; batch.size--)
        assert_true(validate(&batch, plain_rules()).error != KAFKA_NONE);
    buffer_free(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_is_accepted),
        cmocka_unit_test(a_corrupt_crc_is_refused),
        cmocka_unit_test(counts_that_lie_are_refused),
        cmocka_unit_test(bytes_behind_the_last_record_are_refused),
        cmocka_unit_test(one_request_holds_one_batch),
        cmocka_unit_test(what_follows_a_batch_and_is_none_is_cut),
        cmocka_unit_test(the_time_of_an_append_is_the_brokers),
        cmocka_unit_test(control_batches_are_not_for_clients),
        cmocka_unit_test(zstd_needs_a_version_that_knows_it),
        cmocka_unit_test(a_batch_beyond_the_topics_limit_is_refused),
        cmocka_unit_test(a_compacted_topic_wants_keys_and_names_the_record_without),
        cmocka_unit_test(every_refused_record_is_told_up_to_a_limit),
        cmocka_unit_test(times_out_of_range_are_refused),
        cmocka_unit_test(a_wrong_max_timestamp_is_put_right),
        cmocka_unit_test(a_bomb_in_a_batch_is_refused),
        cmocka_unit_test(records_are_read_alike_within_a_window_and_across),
        cmocka_unit_test(a_brief_look_gives_up_what_unfolds_to_much_and_knows_the_rest),
        cmocka_unit_test(a_brief_look_gives_up_one_large_record_however_small_it_came),
        cmocka_unit_test(nothing_shorter_than_a_head_is_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
