// SPDX-License-Identifier: Apache-2.0
/* broker/local_test.c - requests from inside: answered as those of a socket, bounded, refused once a reactor has stopped. */
#include "broker/broker_test.h"
#include "wire/gen/metadata.h"

/* A person who asks from a thread of their own, while the story drives the reactor. */
struct asker {
    struct story *story;
    struct io_loop *loop;
    struct arena arena;
    struct local_call call;
    int16_t key, version;
    const void *body;
    void *answer;
    _Atomic bool over;
};

static void ask(void *context)
{
    struct asker *asker = context;
    asker->answer = local_call(asker->story->broker, asker->loop, asker->key, asker->version, asker->body,
                               &asker->arena, &asker->call);
    atomic_store(&asker->over, true);
}

static void asker_run(struct asker *asker, struct story *story, int16_t key, int16_t version, const void *body)
{
    *asker = (struct asker){.story = story, .key = key, .version = version, .body = body};
    asker->loop = io_loop_create();
    arena_init(&asker->arena, 4096, 1 << 20);
    struct io_thread *thread = io_thread_start("asker", ask, asker);
    while (!atomic_load(&asker->over))
        story_tick(story);
    io_thread_join(thread);
}

static void asker_free(struct asker *asker)
{
    local_call_free(&asker->call);
    arena_free(&asker->arena);
    io_loop_destroy(asker->loop);
}

static void a_call_from_inside_is_answered_by_the_same_row(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 3), KAFKA_NONE);
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics_count = -1;
    struct asker asker;
    asker_run(&asker, story, API_METADATA, local_version(API_METADATA, 12), &body);
    const struct metadata_response *answer = asker.answer;
    assert_non_null(answer);
    assert_int_equal(answer->topics_count, 1);
    assert_int_equal(answer->topics[0].partitions_count, 3);
    asker_free(&asker);
    assert_int_equal(atomic_load(&story->broker->local_calls), 0);
    assert_int_equal(broker_api_latency(story->broker, API_METADATA).count, 1);
}

static void records_that_hang_in_a_reply_reach_the_caller_as_pieces(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    static char large[100 << 10];
    memset(large, 'x', sizeof large - 1);
    assert_int_equal(story_produce(story, "t", 0, large), 0);
    struct fetch_request_fetch_partition partition;
    fetch_request_fetch_partition_init(&partition);
    partition.partition_max_bytes = 1 << 20;
    struct fetch_request_fetch_topic topic;
    fetch_request_fetch_topic_init(&topic);
    topic.topic = slice_str("t");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    struct fetch_request body;
    fetch_request_init(&body);
    body.max_bytes = 1 << 20;
    body.topics = &topic;
    body.topics_count = 1;
    struct asker asker;
    asker_run(&asker, story, API_FETCH, local_version(API_FETCH, 11), &body);
    const struct fetch_response *answer = asker.answer;
    assert_non_null(answer);
    assert_int_equal(answer->responses[0].partitions[0].error_code, KAFKA_NONE);
    assert_int_equal(asker.call.piece_count, 1);
    struct log_slice *slice = &asker.call.pieces[0].slice;
    assert_int_equal(slice->base_offset, 0);
    uint8_t head[RECORD_BATCH_HEAD_BYTES];
    assert_int_equal(io_pread(slice->file, head, sizeof head, slice->position), sizeof head);
    assert_int_equal(record_batch_size(head), slice->size_bytes);
    asker_free(&asker);
}

static void a_call_beyond_the_limit_is_refused_at_once(void **state)
{
    struct story *story = *state;
    story_start(story);
    struct metadata_request body;
    metadata_request_init(&body);
    atomic_store(&story->broker->local_calls, LOCAL_CALLS_MAX);
    struct asker asker;
    asker_run(&asker, story, API_METADATA, 12, &body);
    assert_null(asker.answer);
    asker_free(&asker);
    assert_int_equal(atomic_load(&story->broker->local_calls), LOCAL_CALLS_MAX);
    atomic_store(&story->broker->local_calls, 0);
}

static void a_call_to_a_stopping_reactor_comes_back_unanswered(void **state)
{
    struct story *story = *state;
    story_start(story);
    broker_reactor_stop(broker_reactor(story->broker, 0));
    struct metadata_request body;
    metadata_request_init(&body);
    struct asker asker;
    asker_run(&asker, story, API_METADATA, 12, &body);
    assert_null(asker.answer);
    asker_free(&asker);
}

static void a_key_that_is_not_served_has_no_version(void **state)
{
    assert_int_equal(local_version(API_UPDATE_METADATA, 99), -1);
    assert_int_equal(local_version(API_FETCH, 11), 11);
    assert_int_equal(local_version(API_FETCH, -1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_call_from_inside_is_answered_by_the_same_row),
        story_test(records_that_hang_in_a_reply_reach_the_caller_as_pieces),
        story_test(a_call_beyond_the_limit_is_refused_at_once),
        story_test(a_call_to_a_stopping_reactor_comes_back_unanswered),
        story_test(a_key_that_is_not_served_has_no_version),
    };
    return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
