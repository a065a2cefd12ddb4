// SPDX-License-Identifier: Apache-2.0
/* storage/producers_test.c - stories of idempotent and transactional producers: each batch once, in order, whatever stops
 * between. */
#include "storage/storage_test.h"

#include "wire/gen/errors.h"

enum { COMMIT = 1, ABORT = 0 };

struct sent {
    int16_t error;
    bool duplicate;
    int64_t base_offset, end_offset;
};

static struct sent send_all(struct log *log, int64_t id, int16_t epoch, const int32_t *sequences, int batch_count,
                            int records, int16_t attributes)
{
    struct record_builder builders[8] = {0};
    struct log_batch batches[8], *list[8];
    for (int i = 0; i < batch_count; i++) {
        record_builder_begin(&builders[i]);
        for (int r = 0; r < records; r++)
            record_builder_add(&builders[i], STORY_MS, SLICE_NULL, slice_str("v"));
        struct slice bytes = record_builder_finish(&builders[i], attributes, id, epoch, sequences[i]);
        batches[i] = (struct log_batch){
            .bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size, .from_client = true};
        record_facts_read(bytes, &batches[i].facts);
        list[i] = &batches[i];
    }
    assert_ok(log_append(log, list, batch_count, 0, STORY_MS));
    const struct log_batch *last = &batches[batch_count - 1];
    struct sent sent = {last->error, last->duplicate, last->base_offset, last->end_offset};
    for (int i = 0; i < batch_count; i++)
        record_builder_free(&builders[i]);
    return sent;
}

static struct sent send_one(struct log *log, int64_t id, int16_t epoch, int32_t sequence, int records)
{
    return send_all(log, id, epoch, &sequence, 1, records, 0);
}

static int64_t send_in_transaction(struct log *log, int64_t id, int32_t sequence)
{
    struct sent sent = send_all(log, id, 0, &sequence, 1, 1, RECORD_ATTRIBUTE_TRANSACTIONAL);
    assert_int_equal(sent.error, KAFKA_NONE);
    return sent.base_offset;
}

static int64_t end_transaction(struct log *log, int64_t id, int type)
{
    uint8_t key[4] = {0, 0, 0, (uint8_t)type}, value[6] = {0, 0, 0, 0, 0, 9};
    struct record_builder builder = {0};
    record_builder_begin(&builder);
    record_builder_add(&builder, STORY_MS, slice_of(key, 4), slice_of(value, 6));
    struct slice bytes =
        record_builder_finish(&builder, RECORD_ATTRIBUTE_TRANSACTIONAL | RECORD_ATTRIBUTE_CONTROL, id, 0, -1);
    struct log_batch batch = {.bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size},
                     *list[] = {&batch};
    record_facts_read(bytes, &batch.facts);
    assert_ok(log_append(log, list, 1, 0, STORY_MS));
    record_builder_free(&builder);
    return batch.base_offset;
}

static struct log *stop_and_come_again(void **state, struct log *log, bool cleanly)
{
    struct story *story = *state;
    if (cleanly)
        assert_ok(log_close_clean(log));
    log_free(log);
    story->options.clean_stop = cleanly;
    return story_open(state);
}

static void a_batch_sent_twice_is_kept_once(void **state)
{
    struct log *log = story_open(state);
    assert_int_equal(send_one(log, 7, 0, 0, 3).base_offset, 0);
    assert_int_equal(send_one(log, 7, 0, 3, 2).base_offset, 3);
    struct sent again = send_one(log, 7, 0, 0, 3);
    assert_int_equal(again.error, KAFKA_NONE);
    assert_true(again.duplicate);
    assert_int_equal(again.base_offset, 0);
    assert_int_equal(again.end_offset, 3);
    assert_int_equal(log_end_offset(log), 5);
    story_end(state, log);
}

static void a_gap_is_out_of_order(void **state)
{
    struct log *log = story_open(state);
    assert_int_equal(send_one(log, 7, 0, 0, 3).error, KAFKA_NONE);
    assert_int_equal(send_one(log, 7, 0, 4, 1).error, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(send_one(log, 7, 0, 3, 1).error, KAFKA_NONE);
    assert_int_equal(log_end_offset(log), 4);
    story_end(state, log);
}

static void an_unknown_producer_may_begin_anywhere(void **state)
{
    struct log *log = story_open(state);
    assert_int_equal(send_one(log, 7, 0, 55, 1).error, KAFKA_NONE);
    assert_int_equal(send_one(log, 7, 0, 56, 1).error, KAFKA_NONE);
    story_end(state, log);
}

static void sequences_wrap_to_zero(void **state)
{
    struct log *log = story_open(state);
    assert_int_equal(send_one(log, 7, 0, INT32_MAX - 1, 3).error, KAFKA_NONE); // to 0
    assert_int_equal(send_one(log, 7, 0, 1, 1).error, KAFKA_NONE);
    assert_true(send_one(log, 7, 0, INT32_MAX - 1, 3).duplicate);
    story_end(state, log);
}

static void a_new_epoch_begins_at_zero_and_fences_the_old(void **state)
{
    struct log *log = story_open(state);
    assert_int_equal(send_one(log, 7, 0, 0, 1).error, KAFKA_NONE);
    assert_int_equal(send_one(log, 7, 1, 1, 1).error, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(send_one(log, 7, 1, 0, 1).error, KAFKA_NONE);
    assert_int_equal(send_one(log, 7, 0, 1, 1).error, KAFKA_INVALID_PRODUCER_EPOCH);
    story_end(state, log);
}

static void batches_of_one_call_see_each_other(void **state)
{
    struct log *log = story_open(state);
    struct sent last = send_all(log, 7, 0, (int32_t[]){0, 1, 1}, 3, 1, 0);
    assert_true(last.duplicate);
    assert_int_equal(last.base_offset, 1);
    assert_int_equal(log_end_offset(log), 2);
    story_end(state, log);
}

static void a_retry_is_known_after_a_clean_stop_and_after_a_kill(void **state)
{
    struct log *log = story_open(state);
    for (int i = 0; i < 9; i++)
        assert_int_equal(send_one(log, 7, 0, i, 1).error, KAFKA_NONE);
    for (int round = 0; round < 2; round++) {
        log = stop_and_come_again(state, log, round == 0);
        for (int i = 8; i >= 5; i--) { // the last, and those that the snapshot does not have
            struct sent again = send_one(log, 7, 0, i, 1);
            assert_int_equal(again.error, KAFKA_NONE);
            assert_true(again.duplicate);
            assert_int_equal(again.base_offset, i);
        }
        assert_int_equal(send_one(log, 7, 0, 3, 1).error, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER); // six ago
        assert_int_equal(log_end_offset(log), 9);
    }
    assert_int_equal(send_one(log, 7, 0, 9, 1).error, KAFKA_NONE);
    story_end(state, log);
}

static void a_retry_is_known_across_a_roll_and_a_stop(void **state)
{
    struct log *log = story_open(state);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(send_one(log, 7, 0, i, 1).error, KAFKA_NONE);
        if (i == 1)
            assert_ok(log_roll(log));
    }
    log = stop_and_come_again(state, log, true);
    struct sent again = send_one(log, 7, 0, 0, 1);
    assert_true(again.duplicate);
    assert_int_equal(again.base_offset, 0);
    story_end(state, log);
}

static void a_damaged_snapshot_is_ignored(void **state)
{
    struct story *story = *state;
    struct log *log = story_open(state);
    assert_int_equal(send_one(log, 7, 0, 0, 1).error, KAFKA_NONE);
    assert_ok(log_close_clean(log));
    log_free(log);
    story_damage(story, "00000000000000000001.snapshot", 20);
    story->options.clean_stop = true;
    log = story_open(state);
    assert_true(send_one(log, 7, 0, 0, 1).duplicate);
    story_end(state, log);
}

static void expired_producers_are_forgotten(void **state)
{
    struct log *log = story_open(state);
    assert_int_equal(send_one(log, 7, 0, 0, 1).error, KAFKA_NONE);
    log_producers_expire(log, STORY_MS + 86400000 - 1);
    assert_true(send_one(log, 7, 0, 0, 1).duplicate);
    log_producers_expire(log, STORY_MS + 86400000);
    assert_int_equal(send_one(log, 7, 0, 55, 1).error, KAFKA_NONE);
    story_end(state, log);
}

static void the_longest_unused_of_too_many_producers_is_forgotten(void **state)
{
    enum { MAX = 3 };
    struct story *story = *state;
    story->config.producers_max = MAX;
    struct log *log = story_open(state);
    struct buffer producers CLEANUP(buffer_free) = {0};
    uint64_t before = log_producers_crowded_out();
    assert_int_equal(send_in_transaction(log, 100, 0), 0); // open: kept whatever comes
    for (int64_t id = 1; id <= MAX; id++)
        assert_int_equal(send_one(log, id, 0, 0, 1).error, KAFKA_NONE);
    assert_int_equal(send_one(log, 2, 0, 1, 1).error, KAFKA_NONE);
    assert_int_equal(send_one(log, 4, 0, 0, 1).error, KAFKA_NONE);
    assert_true(send_one(log, 2, 0, 1, 1).duplicate);
    assert_true(send_one(log, 4, 0, 0, 1).duplicate);
    assert_false(send_one(log, 1, 0, 0, 1).duplicate); // nothing is known of it any more
    assert_true(log_producers_crowded_out() > before);
    log_producers_list(log, &producers);
    assert_in_range(producers.size / sizeof(struct log_producer), 2, MAX + 1);
    end_transaction(log, 100, COMMIT);
    story_end(state, log);
}

static void the_last_stable_offset_waits_for_the_marker(void **state)
{
    struct log *log = story_open(state);
    story_append(log, 1);
    assert_int_equal(send_in_transaction(log, 7, 0), 1);
    assert_int_equal(send_in_transaction(log, 8, 0), 2);
    assert_int_equal(log_first_unstable_offset(log), 1);
    assert_int_equal(end_transaction(log, 7, COMMIT), 3);
    assert_int_equal(log_first_unstable_offset(log), 2);
    assert_int_equal(log_last_stable_offset(log, 3), 1); // the marker is not committed yet
    assert_int_equal(log_last_stable_offset(log, 4), 2);
    assert_int_equal(end_transaction(log, 8, ABORT), 4);
    assert_int_equal(log_last_stable_offset(log, 5), 5);
    assert_int_equal(log_first_unstable_offset(log), -1);
    story_end(state, log);
}

static void assert_aborted(struct log *log, int64_t offset, int64_t limit, int count)
{
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    struct log_aborted *aborted;
    int32_t found;
    assert_ok(log_aborted_transactions(log, offset, limit, &arena, &aborted, &found));
    assert_int_equal(found, count);
    for (int i = 0; i < found; i++) {
        assert_int_equal(aborted[i].producer_id, 7);
        assert_int_equal(aborted[i].first_offset, 0);
    }
    arena_free(&arena);
}

static void aborted_transactions_are_listed_and_survive_a_kill(void **state)
{
    struct story *story = *state;
    struct log *log = story_open(state);
    send_in_transaction(log, 7, 0);
    story_append(log, 1);
    assert_ok(log_roll(log));
    assert_int_equal(end_transaction(log, 7, ABORT), 2);
    story_append(log, 1);
    assert_int_equal(story_file_size(story, "00000000000000000002.txnindex"), 34);
    for (int round = 0; round < 2; round++) {
        assert_aborted(log, 0, 4, 1);
        assert_aborted(log, 2, 4, 1);
        assert_aborted(log, 3, 4, 0);
        log = stop_and_come_again(state, log, false);
        assert_int_equal(story_file_size(story, "00000000000000000002.txnindex"), 34);
    }
    story_end(state, log);
}

static void an_open_transaction_is_open_after_a_stop(void **state)
{
    struct log *log = story_open(state);
    story_append(log, 2);
    send_in_transaction(log, 7, 0);
    log = stop_and_come_again(state, log, true);
    assert_int_equal(log_first_unstable_offset(log), 2);
    log = stop_and_come_again(state, log, false);
    assert_int_equal(log_first_unstable_offset(log), 2);
    story_end(state, log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_batch_sent_twice_is_kept_once),
        story_test(a_gap_is_out_of_order),
        story_test(an_unknown_producer_may_begin_anywhere),
        story_test(sequences_wrap_to_zero),
        story_test(a_new_epoch_begins_at_zero_and_fences_the_old),
        story_test(batches_of_one_call_see_each_other),
        story_test(a_retry_is_known_after_a_clean_stop_and_after_a_kill),
        story_test(a_retry_is_known_across_a_roll_and_a_stop),
        story_test(a_damaged_snapshot_is_ignored),
        story_test(expired_producers_are_forgotten),
        story_test(the_longest_unused_of_too_many_producers_is_forgotten),
        story_test(the_last_stable_offset_waits_for_the_marker),
        story_test(aborted_transactions_are_listed_and_survive_a_kill),
        story_test(an_open_transaction_is_open_after_a_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
