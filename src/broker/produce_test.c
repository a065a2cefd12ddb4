// SPDX-License-Identifier: Apache-2.0
/* broker/produce_test.c - stories of batches that take long to validate: the pool does it, and the order is the clients'. */
#include "broker/broker_test.h"

#include "record/record.h"

enum { MANY = 30000 }; // records that unfold to more than a brief look takes

static void start_with_topic(struct story *story)
{
    story_start(story);
    assert_int_equal(story_create(story, "t", 2), KAFKA_NONE);
}

struct batch {
    struct record_builder builder;
    struct slice bytes;
};

static void batch_make_at(struct batch *batch, enum record_codec codec, int count, int64_t timestamp_ms)
{
    *batch = (struct batch){0};
    record_builder_begin(&batch->builder);
    for (int i = 0; i < count; i++)
        record_builder_add(&batch->builder, timestamp_ms, SLICE_NULL, slice_str("one of many that are alike"));
    assert_ok(record_builder_finish_packed(&batch->builder, codec, 3, 0, -1, -1, -1, &batch->bytes));
}

static void batch_make(struct batch *batch, enum record_codec codec, int count)
{
    batch_make_at(batch, codec, count, io_wall_ms());
}

/* To partitions 0 and, where there are two, 1. */
static struct request *produce(struct story *story, const struct batch *batches, int count)
{
    struct produce_request_partition_produce_data data[2];
    for (int i = 0; i < count; i++) {
        produce_request_partition_produce_data_init(&data[i]);
        data[i].index = i;
        data[i].records = batches[i].bytes;
    }
    return story_produce_parts(story, "t", data, count);
}

static const struct produce_response_partition_produce_response *answer_of(struct story *story, struct request *request,
                                                                           int part)
{
    const struct produce_response *answer = story_answer(story, request);
    return &answer->responses[0].partition_responses[part];
}

static uint64_t validated_in_pool(struct story *story)
{
    return atomic_load(&broker_reactor(story->broker, 0)->validated_in_pool);
}

static void a_batch_that_takes_long_is_validated_in_the_pool_and_holds_its_connection_meanwhile(void **state)
{
    static const enum record_codec CODECS[] = {RECORD_NONE, RECORD_GZIP, RECORD_SNAPPY, RECORD_LZ4, RECORD_ZSTD};
    struct story *story = *state;
    start_with_topic(story);
    for (size_t i = 0; i < COUNT_OF(CODECS); i++) {
        struct batch large;
        batch_make(&large, CODECS[i], MANY);
        struct request *request = produce(story, &large, 1);
        assert_true(request->holds);
        assert_int_equal(validated_in_pool(story), i + 1);
        assert_int_equal(partition_end_offset(story_partition(story, "t", 0)), MANY * (int64_t)i);
        const struct produce_response_partition_produce_response *answer = answer_of(story, request, 0);
        assert_int_equal(answer->error_code, KAFKA_NONE);
        assert_int_equal(answer->base_offset, MANY * (int64_t)i);
        record_builder_free(&large.builder);
    }
}

static void others_go_on_while_a_large_batch_is_validated(void **state)
{
    struct story *story = *state;
    start_with_topic(story);
    assert_int_equal(story_produce(story, "t", 0, "the first, for which the pool prepares the log"), 0);
    struct batch large;
    batch_make(&large, RECORD_ZSTD, MANY);
    struct request *request = produce(story, &large, 1);
    struct request *small = story_produce_start(story, "t", 0, "of another client");
    assert_false(small->holds);
    /* Queued at once: before the large one, which is queued when its mail is taken, in a tick to come. */
    broker_tick_end(broker_reactor(story->broker, 0));
    assert_int_equal(partition_end_offset(story_partition(story, "t", 0)), 2);
    const struct produce_response *answer = story_answer(story, small);
    assert_int_equal(answer->responses[0].partition_responses[0].base_offset, 1);
    assert_int_equal(answer_of(story, request, 0)->base_offset, 2);
    record_builder_free(&large.builder);
}

static void batches_of_one_request_are_queued_together_each_with_its_outcome(void **state)
{
    struct story *story = *state;
    start_with_topic(story);
    struct batch both[2];
    batch_make(&both[0], RECORD_NONE, 1);
    batch_make(&both[1], RECORD_ZSTD, MANY);
    ((uint8_t *)(uintptr_t)both[1].bytes.data)[RECORD_BATCH_HEAD_BYTES + 5] ^= 1;
    struct request *request = produce(story, both, 2);
    assert_int_equal(partition_end_offset(story_partition(story, "t", 0)), 0);
    const struct produce_response *answer = story_answer(story, request);
    assert_int_equal(answer->responses[0].partition_responses[0].error_code, KAFKA_NONE);
    assert_int_equal(answer->responses[0].partition_responses[1].error_code, KAFKA_CORRUPT_MESSAGE);
    assert_int_equal(partition_end_offset(story_partition(story, "t", 0)), 1);
    assert_int_equal(partition_end_offset(story_partition(story, "t", 1)), 0);
    for (int i = 0; i < 2; i++)
        record_builder_free(&both[i].builder);
}

static uint64_t failures(struct story *story, int partition)
{
    return atomic_load(&partition_traffic(story_partition(story, "t", partition))->produce_failures);
}

/* A time that is far away is the client's own mistake; that a batch arrives broken is what CRCs are for. */
static void what_kafka_does_not_foresee_counts_as_failed(void **state)
{
    enum { DAY_MS = 24 * 60 * 60 * 1000 };
    struct story *story = *state;
    start_with_topic(story);
    struct batch both[2];
    batch_make_at(&both[0], RECORD_NONE, 1, io_wall_ms() + DAY_MS);
    batch_make(&both[1], RECORD_NONE, 1);
    ((uint8_t *)(uintptr_t)both[1].bytes.data)[RECORD_BATCH_HEAD_BYTES + 5] ^= 1;
    const struct produce_response *answer = story_answer(story, produce(story, both, 2));
    assert_int_equal(answer->responses[0].partition_responses[0].error_code, KAFKA_INVALID_TIMESTAMP);
    assert_int_equal(answer->responses[0].partition_responses[1].error_code, KAFKA_CORRUPT_MESSAGE);
    assert_int_equal(failures(story, 0), 1);
    assert_int_equal(failures(story, 1), 0);
    for (int i = 0; i < 2; i++)
        record_builder_free(&both[i].builder);
}

static void a_partition_that_goes_meanwhile_takes_nothing(void **state)
{
    struct story *story = *state;
    start_with_topic(story);
    struct batch large;
    batch_make(&large, RECORD_ZSTD, MANY);
    struct partition *partition = story_partition(story, "t", 0);
    struct request *request = produce(story, &large, 1);
    partition_take_offline(partition, STATUS(EIO, "a story's fault"));
    assert_int_equal(answer_of(story, request, 0)->error_code, KAFKA_KAFKA_STORAGE_ERROR);
    record_builder_free(&large.builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_batch_that_takes_long_is_validated_in_the_pool_and_holds_its_connection_meanwhile),
        story_test(others_go_on_while_a_large_batch_is_validated),
        story_test(batches_of_one_request_are_queued_together_each_with_its_outcome),
        story_test(what_kafka_does_not_foresee_counts_as_failed),
        story_test(a_partition_that_goes_meanwhile_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
