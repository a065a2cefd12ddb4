// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_topic_partitions.c - DescribeTopicPartitions: topics with the state of their partitions, so many at a
 * time (KIP-966).
 *
 * Topics come in the order of their names, each once. After max.request.partition.size.limit partitions, or fewer if the
 * client says so, the answer ends with a cursor: the topic and partition to go on with. Each topic is written straight into
 * the reply. The count of topics comes first on the wire, so the walk is done twice, the first time only to count.
 */
#include "broker/broker__.h"
#include "wire/gen/describe_topic_partitions.h"

#include <stdlib.h>

typedef struct describe_topic_partitions_response_describe_topic_partitions_response_partition partition_reply;

struct describe {
    struct request *request;
    struct wire_writer *out;   // NULL: only counts
    struct slice cursor_topic; // null: none
    int32_t cursor_index;
    int32_t topic_count, left; // partitions that may still be told
    struct slice next_topic;   // null: all was told
    int32_t next_index;
};

/* ---- partitions */
static bool is_live(const struct request *request, int32_t id)
{
    const struct meta_broker *broker = meta_broker(request->home->image, id);
    return broker && !broker->fenced;
}

static bool is_reachable(const struct request *request, int32_t id)
{
    struct slice host;
    int32_t port;
    return is_live(request, id) &&
           request__broker_address(request, meta_broker(request->home->image, id), &host, &port);
}

static int32_t *offline_of(struct request *request, const struct meta_partition *partition, int32_t *ret_count)
{
    int32_t *list = arena_array(&request->arena, (size_t)partition->replica_count, sizeof *list);
    *ret_count = 0;
    for (int32_t i = 0; list && i < partition->replica_count; i++)
        if (!is_reachable(request, partition->replicas[i]))
            list[(*ret_count)++] = partition->replicas[i];
    return list;
}

static void partition_write(struct describe *d, int32_t index, const struct meta_partition *partition)
{
    partition_reply reply;
    describe_topic_partitions_response_describe_topic_partitions_response_partition_init(&reply);
    bool has_leader = is_live(d->request, partition->leader),
         leader_is_here = is_reachable(d->request, partition->leader);
    if (!leader_is_here)
        reply.error_code = has_leader ? KAFKA_LISTENER_NOT_FOUND : KAFKA_LEADER_NOT_AVAILABLE;
    reply.partition_index = index;
    reply.leader_id = leader_is_here ? partition->leader : -1;
    reply.leader_epoch = partition->leader_epoch;
    reply.replica_nodes = (int32_t *)(uintptr_t)partition->replicas;
    reply.replica_nodes_count = partition->replica_count;
    reply.isr_nodes = (int32_t *)(uintptr_t)partition->isr;
    reply.isr_nodes_count = partition->isr_count;
    reply.eligible_leader_replicas = (int32_t *)(uintptr_t)partition->elr;
    reply.eligible_leader_replicas_count = partition->elr_count;
    reply.last_known_elr = (int32_t *)(uintptr_t)partition->last_known_elr;
    reply.last_known_elr_count = partition->last_known_elr_count;
    reply.offline_replicas = offline_of(d->request, partition, &reply.offline_replicas_count);
    describe_topic_partitions_response_describe_topic_partitions_response_partition_write(
        d->out, d->request->api_version, &reply);
}

/* ---- topics: error, name, id, internal, partitions [first, end) */
static void topic_write(struct describe *d, int16_t error, struct slice name, const struct meta_topic *topic,
                        int32_t first, int32_t end)
{
    d->topic_count++;
    if (!d->out)
        return;
    wire_write_i16(d->out, error);
    wire_write_string(d->out, true, name);
    wire_write_uuid(d->out, topic ? topic->id : UUID_ZERO);
    wire_write_bool(d->out, meta_topic_is_internal(name));
    wire_write_array_count(d->out, true, end - first);
    for (int32_t i = first; i < end; i++)
        partition_write(d, i, meta_topic_partition(topic, i));
    wire_write_i32(d->out, OPERATIONS_OF_TOPIC);
    wire_write_uvarint(d->out, 0); // tagged fields
}

static void cursor_set(struct describe *d, struct slice topic, int32_t index)
{
    d->next_topic = topic;
    d->next_index = index;
}

/* False once the answer is full. */
static bool topic_tell(struct describe *d, struct slice name, const struct meta_topic *topic)
{
    if (d->left == 0) {
        cursor_set(d, name, 0);
        return false;
    }
    if (!topic) {
        char message[META_MESSAGE_SIZE];
        bool is_name = meta_topic_name_is_valid(name, message);
        topic_write(d, is_name ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC_EXCEPTION, name, NULL, 0, 0);
        return true;
    }
    bool at_cursor = !slice_is_null(d->cursor_topic) && slice_equal(name, d->cursor_topic);
    int32_t first = at_cursor ? (int32_t)min_i64(d->cursor_index, topic->partition_count) : 0;
    int32_t end = (int32_t)min_i64(topic->partition_count, (int64_t)first + d->left);
    topic_write(d, KAFKA_NONE, name, topic, first, end);
    d->left -= end - first;
    if (end < topic->partition_count)
        cursor_set(d, name, end);
    return end == topic->partition_count;
}

static int compare_names(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static void named_topics(struct describe *d, const struct slice *names, int32_t count)
{
    bool goes_on = true;
    for (int32_t i = 0; i < count && goes_on; i++) {
        bool again = i > 0 && slice_equal(names[i], names[i - 1]);
        bool is_before = !slice_is_null(d->cursor_topic) && slice_compare(names[i], d->cursor_topic) < 0;
        if (!again && !is_before)
            goes_on = topic_tell(d, names[i], meta_topic_by_name(d->request->home->image, names[i]));
    }
}

static void all_topics(struct describe *d)
{
    struct meta_walk walk;
    meta_topics_begin(d->request->home->image, SLICE_NULL, &walk);
    bool goes_on = true;
    for (const struct meta_topic *topic; goes_on && (topic = meta_topics_next(&walk));)
        if (slice_is_null(d->cursor_topic) || slice_compare(topic->name, d->cursor_topic) >= 0)
            goes_on = topic_tell(d, topic->name, topic);
}

/* ---- the request */
static int32_t limit_of(const struct request *request)
{
    const struct describe_topic_partitions_request *body = request->body;
    int64_t limit = meta_settings_i64(broker__settings(request->home->broker), "max.request.partition.size.limit");
    return (int32_t)max_i64(1, min_i64(limit, body->response_partition_limit));
}

static struct describe describe_begin(struct request *request, struct wire_writer *out)
{
    const struct describe_topic_partitions_request *body = request->body;
    struct describe d = {.request = request, .out = out, .left = limit_of(request)};
    if (body->cursor) {
        d.cursor_topic = body->cursor->topic_name;
        d.cursor_index = body->cursor->partition_index;
    }
    return d;
}

static void walk(struct describe *d, const struct slice *names)
{
    const struct describe_topic_partitions_request *body = d->request->body;
    if (body->topics_count > 0)
        named_topics(d, names, body->topics_count);
    else
        all_topics(d);
}

static void write_cursor(struct describe *d)
{
    wire_write_i8(d->out, slice_is_null(d->next_topic) ? -1 : 1);
    if (slice_is_null(d->next_topic))
        return;
    wire_write_string(d->out, true, d->next_topic);
    wire_write_i32(d->out, d->next_index);
    wire_write_uvarint(d->out, 0);
}

static void answer(struct request *request, const struct slice *names)
{
    struct describe counting = describe_begin(request, NULL);
    walk(&counting, names);
    struct describe writing = describe_begin(request, request_reply_begin(request));
    wire_write_i32(writing.out, request__throttle_ms(request));
    wire_write_array_count(writing.out, true, counting.topic_count);
    walk(&writing, names);
    assert(writing.topic_count == counting.topic_count);
    write_cursor(&writing);
    wire_write_uvarint(writing.out, 0);
    if (request->arena.failed)
        wire_writer_fail(writing.out);
    request_reply_end(request);
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

static void start(struct request *request)
{
    const struct describe_topic_partitions_request *body = request->body;
    size_t count = (size_t)max_i64(body->topics_count, 0);
    if (!cursor_is_valid(body)) {
        answer_invalid(request);
        return;
    }
    struct slice *names = arena_array(&request->arena, count, sizeof *names);
    if (!names) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    for (size_t i = 0; i < count; i++)
        names[i] = body->topics[i].name;
    if (count > 1)
        qsort(names, count, sizeof *names, compare_names);
    answer(request, names);
}

const struct api_row api__describe_topic_partitions = {
    .key = API_DESCRIBE_TOPIC_PARTITIONS, .version_min = 0, .version_max = 0, .start = start};
