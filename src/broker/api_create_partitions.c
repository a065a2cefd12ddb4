// SPDX-License-Identifier: Apache-2.0
/* broker/api_create_partitions.c - CreatePartitions: topics grow (KIP-195, 599).
 *
 * Topics that are named once go to the controller together, each with an outcome of its own; a name that comes again is
 * refused. The image that comes with the answer has the partitions, and each has its directory.
 */
#include "broker/broker__.h"
#include "wire/gen/create_partitions.h"

typedef struct create_partitions_request_create_partitions_topic asked_topic;
typedef struct create_partitions_response_create_partitions_topic_result topic_reply;

struct grow_topic {
    struct hash_node in_seen;
    const asked_topic *asked;
    bool is_duplicate;
};

struct grow_work {
    struct grow_topic *topics; // each name once
    struct ctrl_more_partitions *wanted;
    struct ctrl_result *results;
    int32_t topic_count, wanted_count;
};

static void out_of_memory(struct request *request)
{
    request_refuse(request, "it needs more memory than one request may have");
}

static struct grow_topic *seen_find(const struct hash *seen, struct slice name)
{
    for (struct hash_node *node = hash_first(seen, hash_bytes(name)); node; node = hash_next(node)) {
        struct grow_topic *topic = CONTAINER_OF(node, struct grow_topic, in_seen);
        if (slice_equal(topic->asked->name, name))
            return topic;
    }
    return NULL;
}

static void topics_collect(struct grow_work *work, const struct create_partitions_request *body)
{
    struct hash seen CLEANUP(hash_free);
    hash_init(&seen);
    for (int32_t i = 0; i < body->topics_count; i++) {
        struct grow_topic *earlier = seen_find(&seen, body->topics[i].name);
        if (earlier) {
            earlier->is_duplicate = true;
            continue;
        }
        struct grow_topic *topic = &work->topics[work->topic_count++];
        *topic = (struct grow_topic){.asked = &body->topics[i]};
        hash_insert(&seen, &topic->in_seen, hash_bytes(topic->asked->name));
    }
}

/* Assignments of the new partitions; their indexes are the controller's to count. */
static bool wanted_fill(struct arena *arena, const asked_topic *asked, struct ctrl_more_partitions *ret_wanted)
{
    *ret_wanted = (struct ctrl_more_partitions){.name = asked->name, .count = asked->count};
    if (asked->assignments_count < 0)
        return true;
    struct ctrl_assignment *list = arena_array(arena, (size_t)asked->assignments_count, sizeof *list);
    for (int32_t i = 0; list && i < asked->assignments_count; i++)
        list[i] = (struct ctrl_assignment){.replicas = asked->assignments[i].broker_ids,
                                           .replica_count = asked->assignments[i].broker_ids_count};
    ret_wanted->assignments = list;
    ret_wanted->assignment_count = asked->assignments_count;
    return list != NULL;
}

static bool work_fill(struct request *request, struct grow_work *work)
{
    const struct create_partitions_request *body = request->body;
    size_t count = (size_t)max_i64(body->topics_count, 0);
    work->topics = arena_array(&request->arena, count, sizeof *work->topics);
    work->wanted = arena_array(&request->arena, count, sizeof *work->wanted);
    work->results = arena_array(&request->arena, count, sizeof *work->results);
    if (request->arena.failed)
        return false;
    topics_collect(work, body);
    for (int32_t i = 0; i < work->topic_count; i++)
        if (!work->topics[i].is_duplicate &&
            !wanted_fill(&request->arena, work->topics[i].asked, &work->wanted[work->wanted_count++]))
            return false;
    return true;
}

static void start(struct request *request)
{
    struct grow_work *work = request->work = arena_zalloc(&request->arena, sizeof *work);
    if (work && work_fill(request, work))
        request_send_to_control(request);
    else
        out_of_memory(request);
}

/* By the quota of its client; from version 3 on what it does not allow is refused. */
static bool may_grow(void *context, int32_t partitions)
{
    enum { STRICT_SINCE = 3 };
    struct request *request = context;
    return request__may_mutate(request, partitions, request->api_version >= STRICT_SINCE);
}

static void control(struct request *request)
{
    const struct create_partitions_request *body = request->body;
    struct grow_work *work = request->work;
    struct broker *broker = request->home->broker;
    const struct ctrl_allowance allowance = {may_grow, request};
    struct status s =
        ctrl_create_partitions(control__ctrl(broker->control), work->wanted, work->wanted_count, body->validate_only,
                               &allowance, &request->arena, io_wall_ms(), work->results);
    if (!status_is_ok(s))
        broker__fail(broker, s);
}

static topic_reply reply_of(struct slice name, int16_t error, struct slice message)
{
    topic_reply reply;
    create_partitions_response_create_partitions_topic_result_init(&reply);
    reply.name = name;
    reply.error_code = error;
    reply.error_message = message;
    return reply;
}

/* The refused names first, as Kafka has it. */
static void resume(struct request *request)
{
    const struct grow_work *work = request->work;
    struct create_partitions_response response;
    create_partitions_response_init(&response);
    response.results = arena_array(&request->arena, (size_t)work->topic_count, sizeof *response.results);
    if (request->arena.failed) {
        out_of_memory(request);
        return;
    }
    for (int32_t i = 0; i < work->topic_count; i++)
        if (work->topics[i].is_duplicate)
            response.results[response.results_count++] =
                reply_of(work->topics[i].asked->name, KAFKA_INVALID_REQUEST, slice_str("Duplicate topic name."));
    for (int32_t i = 0; i < work->wanted_count; i++)
        response.results[response.results_count++] =
            reply_of(work->wanted[i].name, work->results[i].error, work->results[i].message);
    request__reply(request, &response);
}

const struct api_row api__create_partitions = {.key = API_CREATE_PARTITIONS,
                                               .version_min = 0,
                                               .version_max = 3,
                                               .on_controller = true,
                                               .start = start,
                                               .resume = resume,
                                               .control = control};
