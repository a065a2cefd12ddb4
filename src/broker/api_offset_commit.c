// SPDX-License-Identifier: Apache-2.0
/* broker/api_offset_commit.c - OffsetCommit: offsets of a group, answered when their records are committed.
 *
 * Topics and partitions that don't exist are refused here, from the image; the coordinator gets the rest. The answer has
 * topics with refused partitions first, then the others, and a topic once, as Apache Kafka merges them. From version 10
 * topics have ids (KIP-848), whose names are filled in.
 */
#include "broker/group_call.h"
#include "wire/gen/offset_commit.h"

typedef struct offset_commit_request_offset_commit_request_topic asked_topic;
typedef struct offset_commit_request_offset_commit_request_partition asked_partition;
typedef struct offset_commit_response_offset_commit_response_topic told_topic;
typedef struct offset_commit_response_offset_commit_response_partition told_partition;

enum { VERSION_TOPIC_IDS = 10, NOWHERE = -1 };

struct commit_work {
    struct offset_commit_request valid; // what the coordinator gets
    int32_t *told_at;                   // of each valid topic: its place in the response, or NOWHERE yet
    struct offset_commit_response response;
};

static struct commit_work *work_of(const struct request *request)
{
    return ((struct group_call *)request->work)->own;
}

static const struct meta_topic *topic_find(const struct request *request, const asked_topic *asked)
{
    const struct meta_image *image = request->home->image;
    return request->api_version >= VERSION_TOPIC_IDS ? meta_topic_by_id(image, asked->topic_id)
                                                     : meta_topic_by_name(image, asked->name);
}

static void tell(told_topic *told, const asked_partition *partition, int16_t error)
{
    told_partition *out = &told->partitions[told->partitions_count++];
    offset_commit_response_offset_commit_response_partition_init(out);
    out->partition_index = partition->partition_index;
    out->error_code = error;
}

/* Sorts a topic's partitions: the valid ones into `valid`, the others with their error into `told`. */
static bool topic_sort(struct request *request, const asked_topic *asked, asked_topic *valid, told_topic *told)
{
    const struct meta_topic *topic = topic_find(request, asked);
    size_t count = (size_t)max_i64(0, asked->partitions_count);
    int16_t unknown =
        topic || request->api_version < VERSION_TOPIC_IDS ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_UNKNOWN_TOPIC_ID;
    *valid = *asked;
    if (topic) // copied, since the image may be gone when the coordinator has answered
        valid->name = arena_copy(&request->arena, topic->name);
    valid->partitions = arena_array(&request->arena, count, sizeof *valid->partitions);
    valid->partitions_count = 0;
    offset_commit_response_offset_commit_response_topic_init(told);
    told->name = valid->name;
    told->topic_id = asked->topic_id;
    told->partitions = arena_array(&request->arena, count, sizeof *told->partitions);
    if (!valid->partitions || !told->partitions)
        return false;
    for (size_t i = 0; i < count; i++) {
        const asked_partition *partition = &asked->partitions[i];
        if (topic && partition->partition_index >= 0 && partition->partition_index < topic->partition_count)
            valid->partitions[valid->partitions_count++] = *partition;
        else
            tell(told, partition, unknown);
    }
    return true;
}

static bool request_sort(struct request *request, struct commit_work *work)
{
    const struct offset_commit_request *body = request->body;
    struct arena *arena = &request->arena;
    size_t count = (size_t)max_i64(0, body->topics_count);
    work->valid = *body;
    work->valid.topics_count = 0;
    offset_commit_response_init(&work->response);
    work->valid.topics = arena_array(arena, count, sizeof *work->valid.topics);
    work->told_at = arena_array(arena, count, sizeof *work->told_at);
    work->response.topics = arena_array(arena, count, sizeof *work->response.topics);
    if (arena->failed)
        return false;
    for (size_t i = 0; i < count; i++) {
        asked_topic *valid = &work->valid.topics[work->valid.topics_count];
        told_topic *told = &work->response.topics[work->response.topics_count];
        if (!topic_sort(request, &body->topics[i], valid, told))
            return false;
        bool is_told = told->partitions_count > 0 || valid->partitions_count == 0;
        if (valid->partitions_count > 0)
            work->told_at[work->valid.topics_count++] = is_told ? work->response.topics_count : NOWHERE;
        work->response.topics_count += is_told;
    }
    return true;
}

/* The coordinator's answer, topic by topic in the order of `valid`. */
static void merge(struct commit_work *work, const struct offset_commit_response *answer)
{
    assert(answer->topics_count == work->valid.topics_count);
    for (int32_t i = 0; i < answer->topics_count; i++) {
        const told_topic *from = &answer->topics[i];
        if (work->told_at[i] == NOWHERE) {
            work->response.topics[work->response.topics_count++] = *from;
            continue;
        }
        told_topic *to = &work->response.topics[work->told_at[i]]; // has room for all partitions that were asked for
        for (int32_t j = 0; j < from->partitions_count; j++)
            to->partitions[to->partitions_count++] = from->partitions[j];
    }
}

static bool is_too_large(const struct offset_commit_response *answer)
{
    for (int32_t i = 0; i < answer->topics_count; i++)
        for (int32_t j = 0; j < answer->topics[i].partitions_count; j++)
            if (answer->topics[i].partitions[j].error_code == KAFKA_INVALID_COMMIT_OFFSET_SIZE)
                return true;
    return false;
}

static void resume(struct request *request)
{
    struct commit_work *work = work_of(request);
    const struct offset_commit_response *answer = group_call__response(request);
    if (!answer)
        return;
    if (is_too_large(answer))
        atomic_fetch_add_explicit(&request->home->commits_refused, 1, memory_order_relaxed);
    merge(work, answer);
    request__reply(request, &work->response);
}

static void start(struct request *request)
{
    const struct offset_commit_request *body = request->body;
    struct commit_work *work = arena_zalloc(&request->arena, sizeof *work);
    if (!group_call__begin(request, COORD_OFFSET_COMMIT))
        return;
    ((struct group_call *)request->work)->own = work;
    if (!request_sort(request, work))
        group_call__refuse_size(request);
    else if (work->valid.topics_count == 0)
        request__reply(request, &work->response);
    else
        group_call__send(request, &work->valid, group_call__shard_of(request, body->group_id));
}

const struct api_row api__offset_commit = {
    .key = API_OFFSET_COMMIT, .version_min = 0, .version_max = 10, .start = start, .resume = resume};
