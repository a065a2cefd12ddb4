// SPDX-License-Identifier: Apache-2.0
/* broker/broker_test.h - what the stories about a broker share: fresh log directories each, a broker on them with one
 * reactor that the story itself drives, and requests as frames, as net/ would bring them.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/broker__.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/fetch.h"
#include "wire/gen/headers.h"
#include "wire/gen/produce.h"

#define assert_ok(expression)                                                                                          \
    do {                                                                                                               \
        struct status assert_ok_ = (expression);                                                                       \
        if (assert_ok_.error != 0)                                                                                     \
            fail_msg("%s: %s", assert_ok_.what, strerror(assert_ok_.error));                                           \
    } while (0)
#define story_test(function) cmocka_unit_test_setup_teardown(function, story_begin, story_clean)

enum { STORY_DIRS = 2 };

struct story {
    char root[64], dirs[STORY_DIRS][96];
    struct meta_settings *settings;
    struct broker_options options;
    struct broker *broker; // NULL while it does not run
    struct arena arena;    // of requests and answers, until the story ends
};

static inline int story_begin(void **state)
{
    struct story *story = mem_zalloc(sizeof *story);
    snprintf(story->root, sizeof story->root, "/tmp/ottla-broker-XXXXXX");
    if (!mkdtemp(story->root))
        return -1;
    for (int i = 0; i < STORY_DIRS; i++)
        snprintf(story->dirs[i], sizeof story->dirs[i], "%s/%c", story->root, 'a' + i);
    arena_init(&story->arena, 64 << 10, 64 << 20);
    story->settings = meta_settings_create();
    meta_settings_set(story->settings, "node.id", "1");
    story->options = (struct broker_options){
        .node_id = 1,
        .log_dirs = {story->dirs[0]},
        .log_dir_count = 1,
        .metadata_dir = story->dirs[0],
        .listeners = {{.name = "PLAINTEXT", .host = "127.0.0.1", .port = 9092}},
        .listener_count = 1,
        .fsync = true,
        .flush_max_delay_ms = 10,
        .reactor_count = 1,
        .settings = story->settings,
        .request_size_max = 100 << 20,
        .fetch_size_max = 55 << 20,
        .fetch_sessions_max = 10,
        .fetch_session_bytes_max = 1 << 20,
        .auto_create_topics = true,
        .num_partitions = 1,
        .default_replication_factor = 1,
        .offsets_partitions = 4,
        .offsets_replication_factor = 1,
        .retention_check_ms = 300000,
        .checkpoint_ms = 60000,
        .request_arena_max = 16 << 20,
    };
    *state = story;
    return 0;
}

static inline void story_remove(void *context, const char *name)
{
    char path[512];
    struct io_stat stat;
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    if (io_stat(path, &stat) == 0 && stat.is_directory) {
        io_list_dir(path, story_remove, path);
        io_rmdir(path);
    } else {
        io_unlink(path);
    }
}

static inline int story_clean(void **state)
{
    struct story *story = *state;
    broker_free(story->broker);
    io_list_dir(story->root, story_remove, story->root);
    int result = io_rmdir(story->root);
    meta_settings_free(story->settings);
    arena_free(&story->arena);
    mem_free(story);
    return result;
}

/* ---- life */
static inline struct status story_try_start(struct story *story)
{
    assert_null(story->broker);
    story->broker = broker_create(&story->options);
    broker_listener_bound(story->broker, 0, 9092);
    struct status s = broker_start(story->broker);
    if (!status_is_ok(s)) {
        broker_free(story->broker);
        story->broker = NULL;
    }
    return s;
}

static inline void story_start(struct story *story)
{
    assert_ok(story_try_start(story));
}

static inline void story_tick(struct story *story)
{
    struct reactor *reactor = broker_reactor(story->broker, 0);
    struct io_event none[1];
    io_loop_wait(reactor->loop, none, 1, io_now_ns() + 1000000);
    reactor_clock(reactor);
    struct io_mail *chain = io_loop_mail(reactor->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));)
        broker_mail(reactor, mail);
    broker_timers(reactor);
    broker_tick_end(reactor);
}

static inline void story_stop(struct story *story)
{
    broker_reactor_stop(broker_reactor(story->broker, 0));
    while (!broker_is_idle(story->broker))
        story_tick(story);
    assert_ok(broker_stop(story->broker));
    broker_free(story->broker);
    story->broker = NULL;
}

/* As by kill -9: nothing more is written. */
static inline void story_kill(struct story *story)
{
    broker_free(story->broker);
    story->broker = NULL;
}

/* ---- requests */
static inline struct request *story_ask(struct story *story, int16_t key, int16_t version, const void *body)
{
    static const struct io_address address = {.host = "127.0.0.1", .port = 1};
    struct request *request = request_new(broker_reactor(story->broker, 0));
    struct wire_writer w;
    wire_writer_init(&w, 64 << 20);
    struct request_header header;
    request_header_init(&header);
    header.request_api_key = key;
    header.request_api_version = version;
    header.client_id = slice_str("story");
    request_header_write(&w, wire_request_header_version(key, version), &header);
    wire_api_find(key)->request->write(&w, version, body);
    assert_false(wire_writer_failed(&w));
    request->frame = (uint8_t *)(uintptr_t)arena_copy(&story->arena, wire_writer_bytes(&w)).data;
    request->frame_size = (uint32_t)w.size;
    wire_writer_free(&w);
    request->listener = &broker_options(story->broker)->listeners[0];
    request->client = request->local = &address;
    assert_true(request_begin(request));
    request_start(request);
    return request;
}

static inline bool story_is_done(const struct request *request)
{
    return request->state == REQUEST_DONE;
}

/* The decoded answer, in the story's arena. Pieces of files are not in it. */
/* As a client gets them, who reads all. */
static inline struct slice story_reply_bytes(struct story *story, struct request *request)
{
    struct buffer all CLEANUP(buffer_free) = {0};
    do
        buffer_append(&all, request->reply.out.data, request->reply.out.size);
    while (request_reply_more(request));
    return arena_copy(&story->arena, slice_of(all.data, all.size));
}

static inline void *story_answer(struct story *story, struct request *request)
{
    while (!story_is_done(request))
        story_tick(story);
    assert_false(request->reply.close);
    struct slice bytes = story_reply_bytes(story, request);
    struct wire_reader r;
    wire_reader_init(&r, bytes.data + 4, bytes.size - 4);
    struct response_header header;
    response_header_read(&r, wire_response_header_version(request->api_key, request->api_version), &story->arena,
                         &header);
    const struct wire_message *layout = wire_api_find(request->api_key)->response;
    void *response = arena_zalloc(&story->arena, layout->size);
    layout->read(&r, request->api_version, &story->arena, response);
    assert_true(wire_reader_finish(&r));
    request_free(request);
    return response;
}

static inline void *story_call(struct story *story, int16_t key, int16_t version, const void *body)
{
    return story_answer(story, story_ask(story, key, version, body));
}

/* ---- what the stories do most */
static inline int16_t story_create(struct story *story, const char *name, int32_t partitions)
{
    struct create_topics_request_creatable_topic topic;
    create_topics_request_creatable_topic_init(&topic);
    topic.name = slice_str(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    struct create_topics_request body;
    create_topics_request_init(&body);
    body.topics = &topic;
    body.topics_count = 1;
    struct create_topics_response *answer = story_call(story, API_CREATE_TOPICS, 7, &body);
    assert_int_equal(answer->topics_count, 1);
    return answer->topics[0].error_code;
}

static inline struct request *story_produce_parts(struct story *story, const char *topic,
                                                  struct produce_request_partition_produce_data *parts, int count)
{
    struct produce_request_topic_produce_data in;
    produce_request_topic_produce_data_init(&in);
    in.name = slice_str(topic);
    in.partition_data = parts;
    in.partition_data_count = count;
    struct produce_request body;
    produce_request_init(&body);
    body.acks = -1;
    body.timeout_ms = 30000;
    body.topic_data = &in;
    body.topic_data_count = 1;
    return story_ask(story, API_PRODUCE, 9, &body);
}

/* One record with that value. */
static inline struct request *story_produce_start(struct story *story, const char *topic, int32_t partition,
                                                  const char *value)
{
    struct record_builder builder = {0};
    record_builder_begin(&builder);
    record_builder_add(&builder, io_wall_ms(), SLICE_NULL, slice_str(value));
    struct produce_request_partition_produce_data part;
    produce_request_partition_produce_data_init(&part);
    part.index = partition;
    part.records = record_builder_finish(&builder, 0, -1, -1, -1);
    struct request *request = story_produce_parts(story, topic, &part, 1);
    record_builder_free(&builder);
    return request;
}

/* Its offset, or minus the error code. */
static inline int64_t story_produce(struct story *story, const char *topic, int32_t partition, const char *value)
{
    struct produce_response *answer = story_answer(story, story_produce_start(story, topic, partition, value));
    const struct produce_response_partition_produce_response *part = &answer->responses[0].partition_responses[0];
    return part->error_code != KAFKA_NONE ? -part->error_code : part->base_offset;
}

static inline struct partition *story_partition(struct story *story, const char *topic, int32_t index)
{
    const struct meta_topic *found = meta_topic_by_name(broker_reactor(story->broker, 0)->image, slice_str(topic));
    assert_non_null(found);
    struct partition_use *use = reactor_partition(broker_reactor(story->broker, 0), found->id, index);
    assert_non_null(use);
    return use->partition;
}

/* Fetch from an offset on: waits up to `wait_ms` for `size_min` bytes. */
static inline struct request *story_fetch_start(struct story *story, const char *topic, int64_t offset,
                                                int32_t size_min, int32_t wait_ms)
{
    struct fetch_request_fetch_partition data;
    fetch_request_fetch_partition_init(&data);
    data.partition = 0;
    data.fetch_offset = offset;
    data.partition_max_bytes = 1 << 20;
    struct fetch_request_fetch_topic in;
    fetch_request_fetch_topic_init(&in);
    in.topic = slice_str(topic);
    in.partitions = &data;
    in.partitions_count = 1;
    struct fetch_request body;
    fetch_request_init(&body);
    body.max_wait_ms = wait_ms;
    body.min_bytes = size_min;
    body.max_bytes = 1 << 20;
    body.session_epoch = -1;
    body.topics = &in;
    body.topics_count = 1;
    return story_ask(story, API_FETCH, 11, &body);
}

static inline struct fetch_response_partition_data *story_fetched(struct story *story, struct request *request)
{
    struct fetch_response *answer = story_answer(story, request);
    return &answer->responses[0].partitions[0];
}

/* ---- what lies on the disk */
static inline void story_path(const struct story *story, int dir, const char *name, char ret_path[256])
{
    snprintf(ret_path, 256, "%s/%s", story->dirs[dir], name);
}

static inline bool story_exists(const struct story *story, int dir, const char *name)
{
    char path[256];
    struct io_stat stat;
    story_path(story, dir, name, path);
    assert_int_equal(io_stat(path, &stat), 0);
    return stat.exists;
}

static inline void story_write(const struct story *story, int dir, const char *name, const char *text)
{
    char path[256];
    story_path(story, dir, name, path);
    int file = io_open(path, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    assert_true(file >= 0);
    assert_int_equal(io_pwrite(file, text, strlen(text), 0), (int64_t)strlen(text));
    io_close(file);
}
