// SPDX-License-Identifier: Apache-2.0
/* broker/wait_test.c - stories of requests that wait: for data, for a flush, for a deadline, and for each other's partition. */
#include "broker/broker_test.h"

static void start_with_topic(struct story *story)
{
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
}

static void a_fetch_waits_for_its_bytes_and_gets_them(void **state)
{
    struct story *story = *state;
    start_with_topic(story);
    struct request *fetch = story_fetch_start(story, "t", 0, 1, 60000);
    assert_false(story_is_done(fetch));
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    struct fetch_response_partition_data *got = story_fetched(story, fetch);
    assert_int_equal(got->error_code, KAFKA_NONE);
    assert_int_equal(got->high_watermark, 1);
    assert_true(got->records.size > 0);
}

/* Who has waited long enough ends the wait of nobody else. */
static void of_two_that_wait_the_one_that_goes_leaves_the_other_waiting(void **state)
{
    struct story *story = *state;
    start_with_topic(story);
    struct request *soon = story_fetch_start(story, "t", 0, 1, 60000);
    struct request *later = story_fetch_start(story, "t", 0, 200, 60000);
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    assert_int_equal(story_fetched(story, soon)->high_watermark, 1);
    assert_false(story_is_done(later));
    assert_true(atomic_load(&partition_watch_get(story_partition(story, "t", 0), 0)->armed));
    for (int i = 1; i < 4; i++)
        assert_int_equal(story_produce(story, "t", 0, "another value, so that there are enough bytes"), i);
    assert_true(story_fetched(story, later)->records.size >= 200);
}

static void a_fetch_is_answered_at_its_deadline_without_data(void **state)
{
    struct story *story = *state;
    start_with_topic(story);
    struct fetch_response_partition_data *got = story_fetched(story, story_fetch_start(story, "t", 0, 1, 20));
    assert_int_equal(got->error_code, KAFKA_NONE);
    assert_int_equal(got->records.size, 0);
}

static void nobody_sees_a_record_before_it_is_flushed(void **state)
{
    struct story *story = *state;
    start_with_topic(story);
    struct request *produce = story_produce_start(story, "t", 0, "value");
    struct partition *p = story_partition(story, "t", 0);
    do {
        assert_true(partition_high_watermark(p) <= log_flushed_offset(partition_log(p)));
        story_tick(story);
    } while (!story_is_done(produce));
    assert_int_equal(log_flushed_offset(partition_log(p)), 1);
    (void)story_answer(story, produce);
}

static void in_page_cache_mode_a_record_is_seen_when_it_is_written(void **state)
{
    struct story *story = *state;
    story->options.fsync = false;
    start_with_topic(story);
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    struct partition *p = story_partition(story, "t", 0);
    assert_int_equal(partition_high_watermark(p), 1);
    assert_int_equal(log_flushed_offset(partition_log(p)), 0);
}

static void a_fetch_that_waits_is_answered_when_the_broker_stops(void **state)
{
    struct story *story = *state;
    start_with_topic(story);
    struct request *fetch = story_fetch_start(story, "t", 0, 1, 60000);
    broker_reactor_stop(broker_reactor(story->broker, 0));
    assert_int_equal(story_fetched(story, fetch)->error_code, KAFKA_NONE);
    assert_true(atomic_load(&broker_reactor(story->broker, 0)->requests_used_count) == 0);
}

static void a_batch_in_another_codec_is_packed_as_its_topic_says(void **state)
{
    struct story *story = *state;
    meta_settings_set(story->settings, "compression.type", "lz4");
    start_with_topic(story);
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    struct fetch_response_partition_data *got = story_fetched(story, story_fetch_start(story, "t", 0, 1, 1000));
    struct record_facts facts;
    record_facts_read(got->records, &facts);
    assert_int_equal(facts.codec, RECORD_LZ4);
    assert_int_equal(facts.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_fetch_waits_for_its_bytes_and_gets_them),
        story_test(of_two_that_wait_the_one_that_goes_leaves_the_other_waiting),
        story_test(a_fetch_is_answered_at_its_deadline_without_data),
        story_test(nobody_sees_a_record_before_it_is_flushed),
        story_test(in_page_cache_mode_a_record_is_seen_when_it_is_written),
        story_test(a_fetch_that_waits_is_answered_when_the_broker_stops),
        story_test(a_batch_in_another_codec_is_packed_as_its_topic_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
