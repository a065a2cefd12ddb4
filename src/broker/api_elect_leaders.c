// SPDX-License-Identifier: Apache-2.0
/* broker/api_elect_leaders.c - ElectLeaders: elections that somebody asks for (KIP-183, 460).
 *
 * Partitions that are named are answered each; when all are asked for (a null list), every topic is in the answer, but of its
 * partitions only those where an election was needed. Before version 1 the first replica is always wanted.
 */
#include "broker/broker__.h"
#include "wire/gen/elect_leaders.h"

typedef struct elect_leaders_response_replica_election_result topic_reply;
typedef struct elect_leaders_response_partition_result partition_reply;

struct election_topic {
    struct slice name;
    int32_t first, count; // of the refs
};

struct election_work {
    struct election_topic *topics;
    int32_t topic_count;
    struct ctrl_election_ref *refs;
    struct ctrl_result *results;
    int32_t ref_count;
    bool is_of_all;
};

static int8_t election_type(const struct request *request)
{
    const struct elect_leaders_request *body = request->body;
    return request->api_version == 0 ? (int8_t)CTRL_ELECT_PREFERRED : body->election_type;
}

static bool type_is_known(int8_t type)
{
    return type == CTRL_ELECT_PREFERRED || type == CTRL_ELECT_UNCLEAN;
}

/* ---- what is asked for */
static bool room_make(struct arena *arena, struct election_work *work, size_t topics, size_t refs)
{
    work->topics = arena_array(arena, topics, sizeof *work->topics);
    work->refs = arena_array(arena, refs, sizeof *work->refs);
    work->results = arena_array(arena, refs, sizeof *work->results);
    return !arena->failed;
}

static void topic_add(struct election_work *work, struct slice name)
{
    work->topics[work->topic_count++] = (struct election_topic){name, work->ref_count, 0};
}

static void ref_add(struct election_work *work, int32_t partition)
{
    struct election_topic *topic = &work->topics[work->topic_count - 1];
    work->refs[work->ref_count++] = (struct ctrl_election_ref){topic->name, partition};
    topic->count++;
}

static bool named_collect(struct request *request, struct election_work *work)
{
    const struct elect_leaders_request *body = request->body;
    size_t refs = 0;
    for (int32_t t = 0; t < body->topic_partitions_count; t++)
        refs += (size_t)max_i64(body->topic_partitions[t].partitions_count, 0);
    if (!room_make(&request->arena, work, (size_t)body->topic_partitions_count, refs))
        return false;
    for (int32_t t = 0; t < body->topic_partitions_count; t++) {
        topic_add(work, body->topic_partitions[t].topic);
        for (int32_t i = 0; i < body->topic_partitions[t].partitions_count; i++)
            ref_add(work, body->topic_partitions[t].partitions[i]);
    }
    return true;
}

/* In the control thread, whose image is the newest. Names are copied: the image may change before the answer is written. */
static bool all_collect(struct request *request, struct election_work *work)
{
    const struct meta_image *image = ctrl_view(control__ctrl(request->home->broker->control));
    struct meta_walk walk;
    if (!room_make(&request->arena, work, (size_t)image->topic_count, (size_t)image->partition_count))
        return false;
    meta_topics_begin(image, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));) {
        topic_add(work, arena_copy(&request->arena, topic->name));
        for (int32_t i = 0; !request->arena.failed && i < topic->partition_count; i++)
            ref_add(work, i);
    }
    return !request->arena.failed;
}

/* ---- the answer */
static bool is_told(const struct election_work *work, int32_t at)
{
    return !work->is_of_all || work->results[at].error != KAFKA_ELECTION_NOT_NEEDED;
}

static bool topic_fill(struct arena *arena, const struct election_work *work, const struct election_topic *topic,
                       topic_reply *reply)
{
    elect_leaders_response_replica_election_result_init(reply);
    reply->topic = topic->name;
    int32_t told = 0;
    for (int32_t i = topic->first; i < topic->first + topic->count; i++)
        told += is_told(work, i);
    reply->partition_result = arena_array(arena, (size_t)told, sizeof *reply->partition_result);
    for (int32_t i = topic->first; reply->partition_result && i < topic->first + topic->count; i++) {
        if (!is_told(work, i))
            continue;
        partition_reply *partition = &reply->partition_result[reply->partition_result_count++];
        elect_leaders_response_partition_result_init(partition);
        partition->partition_id = work->refs[i].partition;
        partition->error_code = work->results[i].error;
        partition->error_message = work->results[i].message;
    }
    return reply->partition_result != NULL;
}

static void answer(struct request *request, int16_t error)
{
    const struct election_work *work = request->work;
    struct elect_leaders_response response;
    elect_leaders_response_init(&response);
    response.error_code = error;
    response.replica_election_results =
        arena_array(&request->arena, (size_t)work->topic_count, sizeof *response.replica_election_results);
    for (int32_t t = 0; !request->arena.failed && t < work->topic_count; t++)
        if (topic_fill(&request->arena, work, &work->topics[t], &response.replica_election_results[t]))
            response.replica_election_results_count++;
    if (request->arena.failed)
        request_refuse(request, "it needs more memory than one request may have");
    else
        request__reply(request, &response);
}

/* A list of no topics asks for nothing, whatever its type. */
static void unknown_type_answer(struct request *request, struct election_work *work)
{
    struct slice message = arena_printf(&request->arena, "Unknown election type %d", (int)election_type(request));
    for (int32_t i = 0; i < work->ref_count; i++)
        work->results[i] = (struct ctrl_result){KAFKA_INVALID_REQUEST, message};
    answer(request, work->is_of_all || work->topic_count > 0 ? KAFKA_INVALID_REQUEST : KAFKA_NONE);
}

static void start(struct request *request)
{
    const struct elect_leaders_request *body = request->body;
    struct election_work *work = request->work = arena_zalloc(&request->arena, sizeof *work);
    if (work)
        work->is_of_all = body->topic_partitions_count < 0;
    if (!work || (!work->is_of_all && !named_collect(request, work)))
        request_refuse(request, "it needs more memory than one request may have");
    else if (!type_is_known(election_type(request)))
        unknown_type_answer(request, work);
    else
        request_send_to_control(request);
}

static void control(struct request *request)
{
    struct broker *broker = request->home->broker;
    struct election_work *work = request->work;
    if (work->is_of_all && !all_collect(request, work))
        return; // told at home
    struct status s =
        ctrl_elect_leaders(control__ctrl(broker->control), (enum ctrl_election_type)election_type(request), work->refs,
                           work->ref_count, &request->arena, io_wall_ms(), work->results);
    if (!status_is_ok(s))
        broker__fail(broker, s);
}

static void resume(struct request *request)
{
    answer(request, KAFKA_NONE);
}

const struct api_row api__elect_leaders = {.key = API_ELECT_LEADERS,
                                           .version_min = 0,
                                           .version_max = 2,
                                           .on_controller = true,
                                           .start = start,
                                           .resume = resume,
                                           .control = control};
