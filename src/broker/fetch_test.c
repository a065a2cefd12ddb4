// SPDX-License-Identifier: Apache-2.0
/* broker/fetch_test.c - what a fetch costs: an answer that waits for its client to read it, old messages that are made of
 * batches, sessions.
 */
#include "broker/broker_test.h"

enum { PARTITIONS = 80, VALUE_BYTES = 20000, MEMORY_MAX = (1 << 20) + (64 << 10) };

/* Small pieces are copied, since that is quicker than a call for each; but never so many that slow readers fill the memory. */
static void an_answer_of_many_small_pieces_holds_little_memory(void **state)
{
    struct story *story = *state;
    static char value[VALUE_BYTES];
    memset(value, 'x', sizeof value - 1);
    story_start(story);
    assert_int_equal(story_create(story, "t", PARTITIONS), KAFKA_NONE);
    struct fetch_request_fetch_partition parts[PARTITIONS];
    for (int i = 0; i < PARTITIONS; i++) {
        assert_int_equal(story_produce(story, "t", i, value), 0);
        fetch_request_fetch_partition_init(&parts[i]);
        parts[i].partition = i;
        parts[i].partition_max_bytes = 1 << 20;
    }
    struct fetch_request_fetch_topic topic;
    fetch_request_fetch_topic_init(&topic);
    topic.topic = slice_str("t");
    topic.partitions = parts;
    topic.partitions_count = PARTITIONS;
    struct fetch_request body;
    fetch_request_init(&body);
    body.max_bytes = 16 << 20;
    body.session_epoch = -1;
    body.topics = &topic;
    body.topics_count = 1;
    struct request *request = story_ask(story, API_FETCH, 11, &body);
    while (!story_is_done(request))
        story_tick(story);
    assert_in_range(request->reply.out.size, VALUE_BYTES, MEMORY_MAX);
    assert_in_range(request->reply.piece_count, 1, PARTITIONS);
    assert_in_range(request->reply.out.size + request->reply.pieces_size_bytes, PARTITIONS * VALUE_BYTES, 16 << 20);
    request_free(request);
}

/* ---- old formats */
static void messages_of_old_formats_count_while_they_are_made(void **state)
{
    struct story *story = *state;
    static char value[VALUE_BYTES];
    memset(value, 'x', sizeof value - 1);
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, value), 0);
    const struct reactor *reactor = broker_reactor(story->broker, 0);
    struct fetch_request_fetch_partition part;
    fetch_request_fetch_partition_init(&part);
    part.partition_max_bytes = 1 << 20;
    struct fetch_request_fetch_topic topic;
    fetch_request_fetch_topic_init(&topic);
    topic.topic = slice_str("t");
    topic.partitions = &part;
    topic.partitions_count = 1;
    struct fetch_request body;
    fetch_request_init(&body);
    body.topics = &topic;
    body.topics_count = 1;
    for (int16_t version = 0; version <= 3; version++) {
        body.max_bytes = version < 3 ? INT32_MAX : 1 << 20;
        struct request *request = story_ask(story, API_FETCH, version, &body);
        assert_false(story_is_done(request)); // it is in the pool
        assert_in_range(atomic_load(&reactor->request_bytes), 2 * VALUE_BYTES, 4 * VALUE_BYTES);
        struct fetch_response *answer = story_answer(story, request);
        assert_in_range(answer->responses[0].partitions[0].records.size, VALUE_BYTES, VALUE_BYTES + 100);
        assert_int_equal(atomic_load(&reactor->request_bytes), 0);
    }
}

/* ---- failures */
static int16_t ask_partition(struct story *story, int64_t offset, int32_t max_bytes)
{
    struct fetch_request_fetch_partition part;
    fetch_request_fetch_partition_init(&part);
    part.fetch_offset = offset;
    part.partition_max_bytes = max_bytes;
    struct fetch_request_fetch_topic topic;
    fetch_request_fetch_topic_init(&topic);
    topic.topic = slice_str("t");
    topic.partitions = &part;
    topic.partitions_count = 1;
    struct fetch_request body;
    fetch_request_init(&body);
    body.max_bytes = 1 << 20;
    body.session_epoch = -1;
    body.topics = &topic;
    body.topics_count = 1;
    const struct fetch_response *answer = story_call(story, API_FETCH, 11, &body);
    return answer->responses[0].partitions[0].error_code;
}

static void what_kafka_does_not_foresee_counts_as_failed(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    const struct partition_traffic *traffic = partition_traffic(story_partition(story, "t", 0));
    assert_int_equal(ask_partition(story, 99, 1 << 20), KAFKA_OFFSET_OUT_OF_RANGE);
    assert_int_equal(atomic_load(&traffic->fetch_failures), 0);
    assert_int_equal(ask_partition(story, 0, -1), KAFKA_UNKNOWN_SERVER_ERROR);
    assert_int_equal(atomic_load(&traffic->fetch_failures), 1);
}

/* ---- sessions */
static struct fetch_response *ask_session(struct story *story, int32_t id, int32_t epoch, int32_t first, int32_t count)
{
    struct fetch_request_fetch_partition parts[PARTITIONS];
    for (int32_t i = 0; i < count; i++) {
        fetch_request_fetch_partition_init(&parts[i]);
        parts[i].partition = first + i;
        parts[i].partition_max_bytes = 1 << 20;
    }
    struct fetch_request_fetch_topic topic;
    fetch_request_fetch_topic_init(&topic);
    topic.topic = slice_str("t");
    topic.partitions = parts;
    topic.partitions_count = count;
    struct fetch_request body;
    fetch_request_init(&body);
    body.max_bytes = 1 << 20;
    body.session_id = id;
    body.session_epoch = epoch;
    body.topics = &topic;
    body.topics_count = 1;
    return story_call(story, API_FETCH, 11, &body);
}

static struct broker_numbers numbers(struct story *story)
{
    struct broker_numbers numbers;
    broker_numbers(story->broker, &numbers);
    return numbers;
}

static void sessions_end_and_are_not_made_when_all_together_have_no_room(void **state)
{
    struct story *story = *state;
    story->options.fetch_session_bytes_max = (int64_t)(FETCH_POSITION_BYTES + 1) * 5;
    story_start(story);
    struct fetch_response *first = ask_session(story, 0, 0, 0, 3);
    assert_int_not_equal(first->session_id, 0);
    assert_int_equal(numbers(story).fetch_session_bytes, (FETCH_POSITION_BYTES + 1) * 3);
    struct fetch_response *second = ask_session(story, 0, 0, 0, 3);
    assert_int_equal(second->session_id, 0);
    assert_int_equal(second->responses[0].partitions_count, 3); // answered all the same
    assert_int_equal(numbers(story).fetch_sessions_refused, 1);
    assert_int_equal(ask_session(story, first->session_id, 1, 0, 2)->error_code, KAFKA_NONE); // it has these
    assert_int_equal(numbers(story).fetch_session_bytes, (FETCH_POSITION_BYTES + 1) * 3);
    assert_int_equal(ask_session(story, first->session_id, 2, 3, 3)->error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    assert_int_equal(numbers(story).fetch_sessions_refused, 2);
    assert_int_equal(numbers(story).fetch_sessions, 0);
    assert_int_equal(numbers(story).fetch_session_bytes, 0);
    assert_int_not_equal(ask_session(story, 0, 0, 0, 5)->session_id, 0);
}

static void sessions_are_as_many_as_there_are_slots(void **state)
{
    struct story *story = *state;
    story->options.fetch_sessions_max = 1;
    story_start(story);
    assert_int_not_equal(ask_session(story, 0, 0, 0, 1)->session_id, 0);
    struct fetch_response *second = ask_session(story, 0, 0, 0, 1);
    assert_int_equal(second->session_id, 0); // the first is in recent use
    assert_int_equal(second->error_code, KAFKA_NONE);
    assert_int_equal(numbers(story).fetch_sessions, 1);
    assert_int_equal(numbers(story).fetch_sessions_refused, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(what_kafka_does_not_foresee_counts_as_failed),
        story_test(an_answer_of_many_small_pieces_holds_little_memory),
        story_test(messages_of_old_formats_count_while_they_are_made),
        story_test(sessions_are_as_many_as_there_are_slots),
        story_test(sessions_end_and_are_not_made_when_all_together_have_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
