// SPDX-License-Identifier: Apache-2.0
/* broker/large_answer_test.c - requests that want much, and answers that grow with the data: written piece by piece they are what the codec writes in one
 * go, hold little memory however many clients leave them unread, and tell one image though another one comes meanwhile.
 *
 * The image of 100,000 partitions stands beside the broker's: no partition of it is opened.
 */
#include "broker/broker_test.h"
#include "wire/gen/describe_topic_partitions.h"
#include "wire/gen/metadata.h"
#include "wire/gen/records_metadata.h"

enum { TOPICS = 100, PARTITIONS_EACH = 1000, PARTITIONS = TOPICS * PARTITIONS_EACH };
enum { HELD_MAX_BYTES = 96 << 10 }; // of one unread answer, whatever its size
enum { PIECES_MIN = 20 };

/* ---- the image */
static void apply(struct meta_builder *builder, enum meta_record_type type, const void *record)
{
    struct wire_writer bytes CLEANUP(wire_writer_free);
    wire_writer_init(&bytes, 1 << 20);
    meta_record_write(&bytes, type, meta_record_version(type, meta_builder_view(builder)->metadata_version), record);
    assert_false(wire_writer_failed(&bytes));
    assert_ok(meta_apply(builder, wire_writer_bytes(&bytes)));
}

static void add_topic(struct meta_builder *builder, uint32_t number)
{
    char name[32];
    snprintf(name, sizeof name, "topic-%04u", (unsigned)number);
    struct topic_record topic;
    topic_record_init(&topic);
    topic.name = slice_str(name);
    topic.topic_id = (struct uuid){{1, (uint8_t)number, (uint8_t)(number >> 8)}};
    apply(builder, META_TOPIC, &topic);
    for (int32_t i = 0; i < PARTITIONS_EACH; i++) {
        int32_t replicas[] = {1, 7}, isr[] = {1}; // broker 7 is not there
        struct uuid directories[] = {{{9}}, {{8}}};
        struct partition_record partition;
        partition_record_init(&partition);
        partition.partition_id = i;
        partition.topic_id = topic.topic_id;
        partition.replicas = replicas;
        partition.isr = isr;
        partition.directories = directories;
        partition.replicas_count = partition.directories_count = i % 2 + 1;
        partition.isr_count = 1;
        partition.leader = 1;
        partition.leader_epoch = i;
        apply(builder, META_PARTITION, &partition);
    }
}

/* The reactor sees that image from now on. */
static void show(struct story *story, struct meta_builder *builder)
{
    struct reactor *reactor = broker_reactor(story->broker, 0);
    meta_image_unref(reactor->image);
    reactor->image = meta_builder_image(builder);
}

static void show_many_partitions(struct story *story)
{
    struct meta_builder *builder = meta_builder_create(broker_reactor(story->broker, 0)->image);
    for (uint32_t i = 0; i < TOPICS; i++)
        add_topic(builder, i);
    show(story, builder);
    meta_builder_free(builder);
    assert_int_equal(broker_reactor(story->broker, 0)->image->partition_count, PARTITIONS);
}

/* ---- asking */
static struct request *ask_all(struct story *story, int16_t version)
{
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics_count = version == 0 ? 0 : -1;
    return story_ask(story, API_METADATA, version, &body);
}

static int64_t held_bytes(struct story *story)
{
    return atomic_load(&broker_reactor(story->broker, 0)->request_bytes);
}

/* The answer's body, read as by a client that reads all; it never holds more than it may. */
static struct slice read_all(struct story *story, struct request *request, struct buffer *all)
{
    int pieces = 0;
    all->size = 0;
    do {
        buffer_append(all, request->reply.out.data, request->reply.out.size);
        assert_in_range(held_bytes(story), 1, HELD_MAX_BYTES);
        pieces++;
    } while (request_reply_more(request));
    assert_in_range(pieces, PIECES_MIN, INT32_MAX);
    size_t head = wire_response_header_version(request->api_key, request->api_version) > 0 ? 9 : 8;
    request_free(request);
    return slice_of(all->data + head, all->size - head);
}

/* What the codec writes in one go of what was read. */
static void assert_is_whole(const struct wire_message *layout, int16_t version, struct slice body, struct arena *arena,
                            void **ret_response)
{
    struct wire_reader reader;
    wire_reader_init(&reader, body.data, body.size);
    *ret_response = arena_zalloc(arena, layout->size);
    layout->read(&reader, version, arena, *ret_response);
    assert_true(wire_reader_finish(&reader));
    struct wire_writer again CLEANUP(wire_writer_free);
    wire_writer_init(&again, INT32_MAX);
    layout->write(&again, version, *ret_response);
    assert_int_equal(again.size, body.size);
    assert_memory_equal(again.data, body.data, body.size);
}

/* ---- stories */
static void metadata_of_all_partitions_in_pieces_is_whole_at_every_version(void **state)
{
    struct story *story = *state;
    story_start(story);
    show_many_partitions(story);
    struct buffer all CLEANUP(buffer_free) = {0};
    for (int16_t version = 0; version <= 13; version++) {
        struct arena arena CLEANUP(arena_free);
        struct metadata_response *answer;
        arena_init(&arena, 1 << 20, 256 << 20);
        struct slice body = read_all(story, ask_all(story, version), &all);
        assert_is_whole(&wire_message_metadata_response, version, body, &arena, (void **)&answer);
        assert_int_equal(answer->topics_count, TOPICS);
        for (int32_t t = 0; t < TOPICS; t++) {
            assert_int_equal(answer->topics[t].partitions_count, PARTITIONS_EACH);
            for (int32_t i = 0; i < PARTITIONS_EACH; i++) {
                const struct metadata_response_metadata_response_partition *told = &answer->topics[t].partitions[i];
                assert_int_equal(told->partition_index, i);
                assert_int_equal(told->replica_nodes_count, version == 0 ? 1 : i % 2 + 1);
                assert_int_equal(told->offline_replicas_count, version >= 5 ? i % 2 : 0);
            }
        }
    }
}

static void topic_partitions_in_pieces_are_whole_up_to_the_cursor(void **state)
{
    enum { LIMIT = 70300 };
    struct story *story = *state;
    meta_settings_set(story->settings, "max.request.partition.size.limit", "70300");
    story_start(story);
    show_many_partitions(story);
    struct buffer all CLEANUP(buffer_free) = {0};
    struct arena arena CLEANUP(arena_free);
    arena_init(&arena, 1 << 20, 256 << 20);
    struct describe_topic_partitions_request body;
    struct describe_topic_partitions_response *answer;
    describe_topic_partitions_request_init(&body);
    body.response_partition_limit = PARTITIONS;
    struct slice bytes = read_all(story, story_ask(story, API_DESCRIBE_TOPIC_PARTITIONS, 0, &body), &all);
    assert_is_whole(&wire_message_describe_topic_partitions_response, 0, bytes, &arena, (void **)&answer);
    assert_int_equal(answer->topics_count, LIMIT / PARTITIONS_EACH + 1);
    assert_int_equal(answer->topics[answer->topics_count - 1].partitions_count, LIMIT % PARTITIONS_EACH);
    assert_true(slice_equal_str(answer->next_cursor->topic_name, "topic-0070"));
    assert_int_equal(answer->next_cursor->partition_index, LIMIT % PARTITIONS_EACH);
    struct describe_topic_partitions_request_cursor cursor = {.topic_name = slice_str("topic-0070"),
                                                              .partition_index = LIMIT % PARTITIONS_EACH};
    body.cursor = &cursor;
    bytes = read_all(story, story_ask(story, API_DESCRIBE_TOPIC_PARTITIONS, 0, &body), &all);
    assert_is_whole(&wire_message_describe_topic_partitions_response, 0, bytes, &arena, (void **)&answer);
    assert_int_equal(answer->topics_count, TOPICS - LIMIT / PARTITIONS_EACH);
    assert_int_equal(answer->topics[0].partitions[0].partition_index, LIMIT % PARTITIONS_EACH);
    assert_null(answer->next_cursor);
}

static void answers_that_nobody_reads_hold_little(void **state)
{
    enum { CLIENTS = 50, UNREAD_MAX_BYTES = 16 << 10 };
    struct story *story = *state;
    story_start(story);
    show_many_partitions(story);
    struct request *requests[CLIENTS];
    size_t told = 0;
    for (int i = 0; i < CLIENTS; i++) {
        requests[i] = ask_all(story, 12);
        assert_int_equal(requests[i]->state, REQUEST_DONE);
        told += requests[i]->reply.stream_size_bytes;
    }
    assert_in_range(told, (size_t)CLIENTS * PARTITIONS * 20, INT64_MAX);
    assert_in_range(held_bytes(story), CLIENTS, (int64_t)CLIENTS * UNREAD_MAX_BYTES);
    for (int i = 0; i < CLIENTS; i++)
        assert_true(request_reply_more(requests[i])); // each has begun to read
    assert_in_range(held_bytes(story), CLIENTS, (int64_t)CLIENTS * HELD_MAX_BYTES);
    for (int i = 0; i < CLIENTS; i++)
        request_free(requests[i]);
    assert_int_equal(held_bytes(story), 0);
}

static void a_whole_answer_holds_nothing_of_its_work_when_it_is_not_read(void **state)
{
    enum { NAMES = 2000 };
    struct story *story = *state;
    story_start(story);
    struct metadata_request body;
    metadata_request_init(&body);
    body.allow_auto_topic_creation = false;
    body.topics_count = NAMES;
    body.topics = mem_zalloc(NAMES * sizeof *body.topics);
    for (int i = 0; i < NAMES; i++) {
        metadata_request_metadata_request_topic_init(&body.topics[i]);
        body.topics[i].name = slice_str("none");
    }
    struct request *request = story_ask(story, API_METADATA, 12, &body);
    assert_int_equal(request->state, REQUEST_DONE);
    assert_true(held_bytes(story) > NAMES * (int64_t)sizeof *body.topics);
    assert_true(request_shed(request));
    assert_int_equal(held_bytes(story), request->reply.out.capacity);
    request_free(request);
    mem_free(body.topics);
}

static void an_answer_tells_the_image_that_was_when_it_began(void **state)
{
    struct story *story = *state;
    story_start(story);
    show_many_partitions(story);
    struct request *request = ask_all(story, 12);
    struct meta_builder *builder = meta_builder_create(broker_reactor(story->broker, 0)->image);
    struct remove_topic_record gone;
    remove_topic_record_init(&gone);
    for (uint32_t i = 0; i < TOPICS; i += 2) {
        gone.topic_id = (struct uuid){{1, (uint8_t)i, (uint8_t)(i >> 8)}};
        apply(builder, META_REMOVE_TOPIC, &gone);
    }
    show(story, builder); // and the older one is held by the answer alone
    meta_builder_free(builder);
    struct buffer all CLEANUP(buffer_free) = {0};
    struct arena arena CLEANUP(arena_free);
    arena_init(&arena, 1 << 20, 256 << 20);
    struct metadata_response *answer;
    struct slice body = read_all(story, request, &all);
    assert_is_whole(&wire_message_metadata_response, 12, body, &arena, (void **)&answer);
    assert_int_equal(answer->topics_count, TOPICS);
    body = read_all(story, ask_all(story, 12), &all);
    assert_is_whole(&wire_message_metadata_response, 12, body, &arena, (void **)&answer);
    assert_int_equal(answer->topics_count, TOPICS / 2);
}

static void a_request_that_needs_more_memory_than_it_may_have_closes_its_connection(void **state)
{
    enum { NAMES = 5000 };
    static struct metadata_request_metadata_request_topic topics[NAMES];
    struct story *story = *state;
    story->options.request_arena_max = 64 << 10;
    story_start(story);
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics = topics;
    body.topics_count = NAMES;
    for (int i = 0; i < NAMES; i++) {
        metadata_request_metadata_request_topic_init(&topics[i]);
        topics[i].name = slice_str("t");
    }
    struct request *request = story_ask(story, API_METADATA, 9, &body);
    assert_int_equal(request->state, REQUEST_DONE);
    assert_true(request->reply.close);
    request_free(request);
    struct broker_numbers numbers;
    broker_numbers(story->broker, &numbers);
    assert_int_equal(numbers.request_errors, 1);
    assert_int_equal(held_bytes(story), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(metadata_of_all_partitions_in_pieces_is_whole_at_every_version),
        story_test(topic_partitions_in_pieces_are_whole_up_to_the_cursor),
        story_test(a_request_that_needs_more_memory_than_it_may_have_closes_its_connection),
        story_test(answers_that_nobody_reads_hold_little),
        story_test(a_whole_answer_holds_nothing_of_its_work_when_it_is_not_read),
        story_test(an_answer_tells_the_image_that_was_when_it_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
