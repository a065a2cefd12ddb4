// SPDX-License-Identifier: Apache-2.0
/* broker/fetch_test.c - what an answer to a fetch costs while it waits for its client to read it. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(an_answer_of_many_small_pieces_holds_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
