// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_topic_partitions.c - DescribeTopicPartitions: topics with the state of their partitions, so many at a
 * time (KIP-966).
 *
 * Topics come in the order of their names, each once. After max.request.partition.size.limit partitions, or fewer if the
 * client says so, the answer ends with a cursor: the topic and partition to go on with. A walk over the topics tells how many
 * there are to tell, and where the cursor stands; then the same walk makes them one by one as the answer is written.
 */
#include "broker/broker__.h"
#include "wire/gen/describe_topic_partitions.h"

#include <stdlib.h>

typedef struct describe_topic_partitions_response_describe_topic_partitions_response_topic topic_reply;
typedef struct describe_topic_partitions_response_describe_topic_partitions_response_partition partition_reply;

struct describe {
    struct request *request;
    const struct meta_image *image;
    const struct slice *names; // ordered; NULL: all topics
    int32_t name_count;
    struct broker_look look;
    int32_t *offline; // room for the replicas of one partition
    /* where the walk is */
    int32_t name_at, left; // partitions that may still be told
    struct meta_walk walk;
    struct slice name; // of the topic at hand, of which [first, end) are told; null: before the first, or all was told
    const struct meta_topic *topic;
    int32_t first, end;
};

/* ---- the walk */
static void walk_begin(struct describe *d)
{
    const struct describe_topic_partitions_request *body = d->request->body;
    int64_t limit = meta_settings_i64(broker__settings(d->request->home->broker), "max.request.partition.size.limit");
    d->left = (int32_t)max_i64(1, min_i64(limit, body->response_partition_limit));
    d->name_at = 0;
    d->name = SLICE_NULL;
    d->topic = NULL;
    d->first = d->end = 0;
    meta_topics_begin(d->image, SLICE_NULL, &d->walk);
}

static bool name_next(struct describe *d)
{
    if (!d->names) {
        d->topic = meta_topics_next(&d->walk);
        d->name = d->topic ? d->topic->name : SLICE_NULL;
        return d->topic != NULL;
    }
    while (d->name_at > 0 && d->name_at < d->name_count && slice_equal(d->names[d->name_at], d->names[d->name_at - 1]))
        d->name_at++;
    bool is_there = d->name_at < d->name_count;
    d->name = is_there ? d->names[d->name_at++] : SLICE_NULL;
    d->topic = is_there ? meta_topic_by_name(d->image, d->name) : NULL;
    return is_there;
}

/* To the next topic, at the cursor of the request or behind it. False: all was told, or no more may be. */
static bool walk_next(struct describe *d)
{
    const struct describe_topic_partitions_request *body = d->request->body;
    if (d->topic && d->end < d->topic->partition_count)
        return false;
    do {
        if (!name_next(d))
            return false;
    } while (body->cursor && slice_compare(d->name, body->cursor->topic_name) < 0);
    bool at_cursor = body->cursor && slice_equal(d->name, body->cursor->topic_name);
    int32_t count = d->topic ? d->topic->partition_count : 0;
    d->first = at_cursor ? (int32_t)min_i64(body->cursor->partition_index, count) : 0;
    d->end = (int32_t)min_i64(count, (int64_t)d->first + d->left);
    bool is_told = d->left > 0;
    if (!is_told)
        d->first = d->end = 0;
    d->left -= d->end - d->first;
    return is_told;
}

/* ---- the answer */
static const struct broker_look *look_at(struct describe *d, int32_t id)
{
    return request__broker_look(d->request, d->image, id, &d->look);
}

static void partition_fill(struct describe *d, int32_t index, partition_reply *reply)
{
    const struct meta_partition *partition = meta_topic_partition(d->topic, index);
    describe_topic_partitions_response_describe_topic_partitions_response_partition_init(reply);
    const struct broker_look *leader = look_at(d, partition->leader);
    bool leader_is_here = leader->is_reachable;
    if (!leader_is_here)
        reply->error_code = leader->lives ? KAFKA_LISTENER_NOT_FOUND : KAFKA_LEADER_NOT_AVAILABLE;
    reply->partition_index = index;
    reply->leader_id = leader_is_here ? partition->leader : -1;
    reply->leader_epoch = partition->leader_epoch;
    reply->replica_nodes = (int32_t *)(uintptr_t)partition->replicas;
    reply->replica_nodes_count = partition->replica_count;
    reply->isr_nodes = (int32_t *)(uintptr_t)partition->isr;
    reply->isr_nodes_count = partition->isr_count;
    reply->eligible_leader_replicas = (int32_t *)(uintptr_t)partition->elr;
    reply->eligible_leader_replicas_count = partition->elr_count;
    reply->last_known_elr = (int32_t *)(uintptr_t)partition->last_known_elr;
    reply->last_known_elr_count = partition->last_known_elr_count;
    reply->offline_replicas = d->offline;
    for (int32_t i = 0; i < partition->replica_count; i++)
        if (!look_at(d, partition->replicas[i])->is_reachable)
            d->offline[reply->offline_replicas_count++] = partition->replicas[i];
}

static void topic_fill(struct describe *d, int32_t index, topic_reply *reply)
{
    char message[META_MESSAGE_SIZE];
    if (index == 0)
        walk_begin(d);
    bool is_there = walk_next(d);
    assert(is_there);
    describe_topic_partitions_response_describe_topic_partitions_response_topic_init(reply);
    if (!d->topic)
        reply->error_code = meta_topic_name_is_valid(d->name, message) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                                       : KAFKA_INVALID_TOPIC_EXCEPTION;
    reply->name = d->name;
    reply->topic_id = d->topic ? d->topic->id : UUID_ZERO;
    reply->is_internal = meta_topic_is_internal(d->name);
    reply->partitions_count = d->end - d->first;
    reply->topic_authorized_operations = OPERATIONS_OF_TOPIC;
}

static void supply(void *context, int depth, const void *parent, int32_t index, void *ret_element)
{
    (void)parent;
    struct describe *d = context;
    if (depth == 1)
        topic_fill(d, index, ret_element);
    else
        partition_fill(d, d->first + index, ret_element);
}

static void answer(struct describe *d)
{
    struct describe_topic_partitions_response response;
    struct describe_topic_partitions_response_cursor *cursor = arena_zalloc(&d->request->arena, sizeof *cursor);
    d->offline = arena_array(&d->request->arena, META_REPLICAS_MAX, sizeof *d->offline);
    describe_topic_partitions_response_init(&response);
    if (d->request->arena.failed) {
        request_refuse(d->request, "it needs more memory than one request may have");
        return;
    }
    walk_begin(d);
    while (walk_next(d))
        response.topics_count++;
    if (!slice_is_null(d->name)) {
        cursor->topic_name = d->name;
        cursor->partition_index = d->end;
        response.next_cursor = cursor;
    }
    request__reply_supplied(d->request, &response, supply, d);
}

/* The cursor must stand at one of the topics, at a partition that may be. */
static bool cursor_is_valid(const struct describe_topic_partitions_request *body)
{
    if (!body->cursor)
        return true;
    if (body->cursor->partition_index < 0)
        return false;
    for (int32_t i = 0; i < body->topics_count; i++)
        if (slice_equal(body->topics[i].name, body->cursor->topic_name))
            return true;
    return body->topics_count <= 0;
}

static void answer_invalid(struct request *request)
{
    const struct describe_topic_partitions_request *body = request->body;
    struct describe_topic_partitions_response response;
    describe_topic_partitions_response_init(&response);
    response.topics = arena_array(&request->arena, (size_t)max_i64(body->topics_count, 0), sizeof *response.topics);
    for (int32_t i = 0; response.topics && i < body->topics_count; i++) {
        describe_topic_partitions_response_describe_topic_partitions_response_topic_init(&response.topics[i]);
        response.topics[i].error_code = KAFKA_INVALID_REQUEST;
        response.topics[i].name = body->topics[i].name;
        response.topics_count = i + 1;
    }
    request__reply(request, &response);
}

static int compare_names(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static void start(struct request *request)
{
    const struct describe_topic_partitions_request *body = request->body;
    size_t count = (size_t)max_i64(body->topics_count, 0);
    if (!cursor_is_valid(body)) {
        answer_invalid(request);
        return;
    }
    struct slice *names = arena_array(&request->arena, count, sizeof *names);
    struct describe *d = arena_zalloc(&request->arena, sizeof *d);
    if (!names || !d) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    for (size_t i = 0; i < count; i++)
        names[i] = body->topics[i].name;
    if (count > 1)
        qsort(names, count, sizeof *names, compare_names);
    d->request = request;
    d->image = request->home->image;
    d->names = count > 0 ? names : NULL;
    d->name_count = (int32_t)count;
    d->look.id = -1;
    answer(d);
}

const struct api_row api__describe_topic_partitions = {
    .key = API_DESCRIBE_TOPIC_PARTITIONS, .version_min = 0, .version_max = 0, .start = start};
