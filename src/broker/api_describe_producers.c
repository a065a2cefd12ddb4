// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_producers.c - DescribeProducers: who writes to a partition with sequences or transactions (KIP-664).
 *
 * What a log knows of its producers belongs to whoever holds the partition's turn, so each partition's list is taken by a
 * chore in the pool; the request goes home after the last of them.
 */
#include "broker/broker__.h"
#include "wire/gen/describe_producers.h"

typedef struct describe_producers_response_partition_response answered_partition;
typedef struct describe_producers_response_topic_response answered_topic;
typedef struct describe_producers_response_producer_state producer_reply;

static const char no_topic_message[] = "This server does not host this topic-partition.";

struct producers_part {
    struct chore chore; // first
    struct producers_work *work;
    answered_partition *answer;
    struct partition *partition; // counted; NULL: nothing to ask
    struct buffer producers;     // struct log_producer
};

struct producers_work {
    struct request *request;
    answered_topic *topics;
    struct producers_part *parts;
    int32_t part_count;
    _Atomic int32_t running;
};

static void part_start(struct request *request, struct producers_part *part, const struct meta_topic *topic,
                       int32_t index)
{
    struct partition_use *use;
    describe_producers_response_partition_response_init(part->answer);
    part->answer->partition_index = index;
    part->answer->error_code = request__partition(request, topic, index, &use);
    if (!topic)
        part->answer->error_message = slice_str(no_topic_message);
    if (part->answer->error_code == KAFKA_NONE)
        part->answer->error_code = partition_check_epoch(use->partition, -1);
    if (part->answer->error_code != KAFKA_NONE || !partition_log(use->partition))
        return;
    part->partition = use->partition;
    partition_ref(part->partition);
}

static bool topic_start(struct producers_work *work, const struct describe_producers_request_topic_request *asked,
                        answered_topic *answer)
{
    struct request *request = work->request;
    const struct meta_topic *topic = meta_topic_by_name(request->home->image, asked->name);
    size_t count = (size_t)max_i64(asked->partition_indexes_count, 0);
    describe_producers_response_topic_response_init(answer);
    answer->name = asked->name;
    answer->partitions = arena_array(&request->arena, count, sizeof *answer->partitions);
    if (!answer->partitions)
        return false;
    answer->partitions_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct producers_part *part = &work->parts[work->part_count++];
        part->work = work;
        part->answer = &answer->partitions[i];
        part_start(request, part, topic, asked->partition_indexes[i]);
    }
    return true;
}

static void list(struct chore *chore)
{
    struct producers_part *part = CONTAINER_OF(chore, struct producers_part, chore);
    struct producers_work *work = part->work;
    log_producers_list(partition_log(part->partition), &part->producers);
    if (atomic_fetch_sub(&work->running, 1) == 1)
        request_send_home(work->request);
}

/* ---- at home */
static bool part_finish(struct request *request, struct producers_part *part)
{
    const struct log_producer *listed = (const struct log_producer *)(const void *)part->producers.data;
    size_t count = part->producers.size / sizeof *listed;
    producer_reply *replies = arena_array(&request->arena, count, sizeof *replies);
    for (size_t i = 0; replies && i < count; i++) {
        describe_producers_response_producer_state_init(&replies[i]);
        replies[i].producer_id = listed[i].id;
        replies[i].producer_epoch = listed[i].epoch;
        replies[i].last_sequence = listed[i].last_sequence;
        replies[i].last_timestamp = listed[i].last_timestamp_ms;
        replies[i].coordinator_epoch = listed[i].coordinator_epoch;
        replies[i].current_txn_start_offset = listed[i].txn_first_offset;
    }
    part->answer->active_producers = replies;
    part->answer->active_producers_count = (int32_t)count;
    return replies != NULL;
}

static void work_release(struct producers_work *work)
{
    for (int32_t i = 0; work && i < work->part_count; i++) {
        if (work->parts[i].partition)
            partition_unref(work->parts[i].partition);
        buffer_free(&work->parts[i].producers);
    }
}

static void finish(struct request *request)
{
    const struct describe_producers_request *body = request->body;
    struct producers_work *work = request->work;
    bool fits = true;
    for (int32_t i = 0; i < work->part_count && fits; i++)
        fits = part_finish(request, &work->parts[i]);
    work_release(work);
    if (!fits) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    struct describe_producers_response response;
    describe_producers_response_init(&response);
    response.topics = work->topics;
    response.topics_count = (int32_t)max_i64(body->topics_count, 0);
    request__reply(request, &response);
}

static bool work_create(struct request *request)
{
    const struct describe_producers_request *body = request->body;
    struct producers_work *work = request->work = arena_zalloc(&request->arena, sizeof *work);
    size_t count = 0;
    for (int32_t t = 0; t < body->topics_count; t++)
        count += (size_t)max_i64(body->topics[t].partition_indexes_count, 0);
    if (!work)
        return false;
    work->request = request;
    work->parts = arena_array(&request->arena, count, sizeof *work->parts);
    work->topics = arena_array(&request->arena, (size_t)max_i64(body->topics_count, 0), sizeof *work->topics);
    return work->parts && work->topics;
}

static void start(struct request *request)
{
    const struct describe_producers_request *body = request->body;
    bool fits = work_create(request);
    struct producers_work *work = request->work;
    for (int32_t t = 0; fits && t < body->topics_count; t++)
        fits = topic_start(work, &body->topics[t], &work->topics[t]);
    if (!fits) {
        work_release(work);
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    int32_t running = 0;
    for (int32_t i = 0; i < work->part_count; i++)
        running += work->parts[i].partition != NULL;
    if (running == 0) {
        finish(request);
        return;
    }
    atomic_store(&work->running, running); // before the first: it may be done at once
    for (int32_t i = 0; i < work->part_count; i++) {
        if (!work->parts[i].partition)
            continue;
        work->parts[i].chore.run = list;
        partition_chore(work->parts[i].partition, &work->parts[i].chore);
    }
}

const struct api_row api__describe_producers = {
    .key = API_DESCRIBE_PRODUCERS, .version_min = 0, .version_max = 0, .start = start, .resume = finish};
