// SPDX-License-Identifier: Apache-2.0
/* broker/api_metadata.c - Metadata: brokers, and topics with their leaders; topics that are asked for may come into being
 * (KIP-204, 430, 516, 700).
 *
 *   start    which topics: all, by name, or by id
 *   control  those that are missing and may be made, are made
 *   answer   from the image, element by element, since it may be large
 *
 * A topic that was just made is answered like any other. One that could not be made is unknown, as in Kafka, and the
 * reason is in the log.
 */
#include "broker/broker__.h"
#include "wire/gen/metadata.h"

typedef struct metadata_request_metadata_request_topic asked_topic;
typedef struct metadata_response_metadata_response_broker broker_reply;
typedef struct metadata_response_metadata_response_partition partition_reply;

/* One topic of the answer. */
struct named {
    struct hash_node in_names;
    struct slice name; // null: by an id that is not known
    struct uuid id;
    bool is_created; // the control thread was to make it
};

struct metadata_work {
    struct named *topics;
    int32_t count;
    bool all;
};

/* ---- which topics */
static bool asks_for_all(const struct request *request)
{
    const struct metadata_request *body = request->body;
    return body->topics_count < 0 || (body->topics_count == 0 && request->api_version == 0);
}

/* Topic ids came with version 10, but were of use only from 12 on. */
static bool is_valid(const struct request *request)
{
    const struct metadata_request *body = request->body;
    for (int32_t i = 0; i < body->topics_count; i++) {
        const asked_topic *topic = &body->topics[i];
        bool has_id = !uuid_is_zero(topic->topic_id), has_name = !slice_is_null(topic->name);
        if (request->api_version < 12 ? has_id || !has_name : !has_id && !has_name)
            return false;
    }
    return true;
}

static bool asks_by_id(const struct metadata_request *body)
{
    for (int32_t i = 0; i < body->topics_count; i++)
        if (!uuid_is_zero(body->topics[i].topic_id))
            return true;
    return false;
}

static bool is_listed(const struct hash *names, uint64_t hash, const asked_topic *topic, bool by_id)
{
    for (struct hash_node *node = hash_first(names, hash); node; node = hash_next(node)) {
        const struct named *other = CONTAINER_OF(node, struct named, in_names);
        if (by_id ? uuid_equal(other->id, topic->topic_id) : slice_equal(other->name, topic->name))
            return true;
    }
    return false;
}

/* Each topic once, in the order of the request. */
static void topics_list(struct metadata_work *work, const struct metadata_request *body, const struct meta_image *image)
{
    bool by_id = asks_by_id(body);
    struct hash names;
    hash_init(&names);
    for (int32_t i = 0; i < body->topics_count; i++) {
        const asked_topic *topic = &body->topics[i];
        if (by_id && uuid_is_zero(topic->topic_id))
            continue;
        uint64_t hash =
            by_id ? hash_bytes(slice_of(topic->topic_id.bytes, sizeof topic->topic_id.bytes)) : hash_bytes(topic->name);
        if (is_listed(&names, hash, topic, by_id))
            continue;
        struct named *named = &work->topics[work->count++];
        const struct meta_topic *found = by_id ? meta_topic_by_id(image, topic->topic_id) : NULL;
        named->name = !by_id ? topic->name : found ? found->name : SLICE_NULL;
        named->id = topic->topic_id;
        hash_insert(&names, &named->in_names, hash);
    }
    hash_free(&names);
}

/* Marks what is to be made; true when there is anything. */
static bool needs_creation(struct request *request)
{
    const struct metadata_request *body = request->body;
    struct metadata_work *work = request->work;
    bool any = false;
    if (!body->allow_auto_topic_creation || !request->home->broker->options.auto_create_topics)
        return false;
    for (int32_t i = 0; i < work->count; i++) {
        struct named *named = &work->topics[i];
        named->is_created = !slice_is_null(named->name) && !meta_topic_by_name(request->home->image, named->name) &&
                            broker__may_auto_create(named->name);
        any |= named->is_created;
    }
    return any;
}

/* ---- the answer */
static const struct meta_broker *live_broker(const struct request *request, int32_t id)
{
    const struct meta_broker *broker = meta_broker(request->home->image, id);
    return broker && !broker->fenced ? broker : NULL;
}

static bool is_reachable(const struct request *request, int32_t id)
{
    const struct meta_broker *broker = live_broker(request, id);
    struct slice host;
    int32_t port;
    return broker && request__broker_address(request, broker, &host, &port);
}

/* Those of `nodes` that are reachable, or those that are not; the image's own array where that is all of them. */
static int32_t *nodes_select(struct request *request, const int32_t *nodes, int32_t count, bool reachable,
                             int32_t *ret_count)
{
    int32_t selected = 0;
    for (int32_t i = 0; i < count; i++)
        selected += is_reachable(request, nodes[i]) == reachable;
    *ret_count = selected;
    if (selected == count || selected == 0)
        return (int32_t *)(uintptr_t)nodes;
    int32_t *list = arena_array(&request->arena, (size_t)selected, sizeof *list);
    *ret_count = 0;
    for (int32_t i = 0; list && i < count; i++)
        if (is_reachable(request, nodes[i]) == reachable)
            list[(*ret_count)++] = nodes[i];
    return list;
}

static int16_t leader_error(const struct request *request, const struct meta_partition *partition)
{
    if (!live_broker(request, partition->leader))
        return KAFKA_LEADER_NOT_AVAILABLE;
    if (!is_reachable(request, partition->leader))
        return request->api_version >= 6 ? KAFKA_LISTENER_NOT_FOUND : KAFKA_LEADER_NOT_AVAILABLE;
    return KAFKA_NONE;
}

static void partition_write(struct request *request, struct wire_writer *out, int32_t index,
                            const struct meta_partition *partition)
{
    partition_reply reply;
    metadata_response_metadata_response_partition_init(&reply);
    bool only_reachable = request->api_version == 0; // later versions name all
    reply.partition_index = index;
    reply.error_code = leader_error(request, partition);
    reply.leader_id = reply.error_code == KAFKA_NONE ? partition->leader : -1;
    reply.leader_epoch = partition->leader_epoch;
    reply.replica_nodes = (int32_t *)(uintptr_t)partition->replicas;
    reply.replica_nodes_count = partition->replica_count;
    reply.isr_nodes = (int32_t *)(uintptr_t)partition->isr;
    reply.isr_nodes_count = partition->isr_count;
    if (only_reachable) {
        reply.replica_nodes =
            nodes_select(request, partition->replicas, partition->replica_count, true, &reply.replica_nodes_count);
        reply.isr_nodes = nodes_select(request, partition->isr, partition->isr_count, true, &reply.isr_nodes_count);
    }
    bool is_short =
        reply.replica_nodes_count < partition->replica_count || reply.isr_nodes_count < partition->isr_count;
    if (reply.error_code == KAFKA_NONE && is_short)
        reply.error_code = KAFKA_REPLICA_NOT_AVAILABLE;
    reply.offline_replicas =
        nodes_select(request, partition->replicas, partition->replica_count, false, &reply.offline_replicas_count);
    metadata_response_metadata_response_partition_write(out, request->api_version, &reply);
}

static int32_t operations_of(const struct request *request)
{
    const struct metadata_request *body = request->body;
    return body->include_topic_authorized_operations ? OPERATIONS_OF_TOPIC : INT32_MIN;
}

/* metadata_response_topic by hand, since its partitions are written one by one. `topic` NULL: there is none. */
static void topic_write(struct request *request, struct wire_writer *out, int16_t error, struct slice name,
                        struct uuid id, const struct meta_topic *topic)
{
    int16_t version = request->api_version;
    bool flexible = version >= 9;
    wire_write_i16(out, error);
    wire_write_string(out, flexible, slice_is_null(name) && version < 12 ? slice_str("") : name);
    if (version >= 10)
        wire_write_uuid(out, id);
    if (version >= 1)
        wire_write_bool(out, !slice_is_null(name) && meta_topic_is_internal(name));
    wire_write_array_count(out, flexible, topic ? topic->partition_count : 0);
    for (int32_t i = 0; topic && i < topic->partition_count; i++)
        partition_write(request, out, i, meta_topic_partition(topic, i));
    if (version >= 8)
        wire_write_i32(out, operations_of(request));
    if (flexible)
        wire_write_uvarint(out, 0);
}

static int16_t missing_error(struct slice name)
{
    char message[META_MESSAGE_SIZE];
    if (slice_is_null(name))
        return KAFKA_UNKNOWN_TOPIC_ID;
    return meta_topic_name_is_valid(name, message) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC_EXCEPTION;
}

static void topics_write(struct request *request, struct wire_writer *out)
{
    const struct metadata_work *work = request->work;
    const struct meta_image *image = request->home->image;
    bool flexible = request->api_version >= 9;
    wire_write_array_count(out, flexible, work->all ? image->topic_count : work->count);
    if (work->all) {
        struct meta_walk walk;
        meta_topics_begin(image, SLICE_NULL, &walk);
        for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));)
            topic_write(request, out, KAFKA_NONE, topic->name, topic->id, topic);
        return;
    }
    for (int32_t i = 0; i < work->count; i++) {
        const struct named *named = &work->topics[i];
        const struct meta_topic *topic = slice_is_null(named->name) ? NULL : meta_topic_by_name(image, named->name);
        if (topic)
            topic_write(request, out, KAFKA_NONE, topic->name, topic->id, topic);
        else
            topic_write(request, out, missing_error(named->name), named->name, named->id, NULL);
    }
}

static bool broker_fill(const struct request *request, const struct meta_item *item, broker_reply *ret_reply)
{
    const struct meta_broker *broker = CONTAINER_OF(item, struct meta_broker, item);
    metadata_response_metadata_response_broker_init(ret_reply);
    ret_reply->node_id = broker->id;
    ret_reply->rack = broker->rack;
    return !broker->fenced && request__broker_address(request, broker, &ret_reply->host, &ret_reply->port);
}

static void brokers_write(const struct request *request, struct wire_writer *out, int32_t *ret_controller)
{
    const struct meta_node *tree = request->home->image->brokers;
    broker_reply reply;
    struct meta_walk walk;
    int32_t count = 0;
    *ret_controller = -1;
    meta_walk_begin(tree, &walk);
    for (const struct meta_item *item; (item = meta_walk_next(&walk));)
        if (broker_fill(request, item, &reply) && count++ == 0)
            *ret_controller = reply.node_id; // any that lives: it passes on what is for the controller
    wire_write_array_count(out, request->api_version >= 9, count);
    meta_walk_begin(tree, &walk);
    for (const struct meta_item *item; (item = meta_walk_next(&walk));)
        if (broker_fill(request, item, &reply))
            metadata_response_metadata_response_broker_write(out, request->api_version, &reply);
}

static void answer(struct request *request)
{
    const struct metadata_request *body = request->body;
    int16_t version = request->api_version;
    struct wire_writer *out = request_reply_begin(request);
    int32_t controller;
    if (version >= 3)
        wire_write_i32(out, request__throttle_ms(request));
    brokers_write(request, out, &controller);
    if (version >= 2)
        wire_write_string(out, version >= 9, slice_str(request->home->broker->options.cluster_id));
    if (version >= 1)
        wire_write_i32(out, controller);
    topics_write(request, out);
    if (version >= 8 && version <= 10)
        wire_write_i32(out, body->include_cluster_authorized_operations ? OPERATIONS_OF_CLUSTER : INT32_MIN);
    if (version >= 13)
        wire_write_i16(out, KAFKA_NONE);
    if (version >= 9)
        wire_write_uvarint(out, 0);
    request_reply_end(request);
}

/* Kafka's answer to a request that makes no sense: no brokers, and the error at each topic. One without name and id it does
 * not foresee from version 12 on, and says so.
 */
static void answer_invalid(struct request *request)
{
    const struct metadata_request *body = request->body;
    int16_t error = request->api_version < 12 ? KAFKA_INVALID_REQUEST : KAFKA_UNKNOWN_SERVER_ERROR;
    struct metadata_response response;
    metadata_response_init(&response);
    response.error_code = error;
    response.topics = arena_array(&request->arena, (size_t)body->topics_count, sizeof *response.topics);
    for (int32_t i = 0; response.topics && i < body->topics_count; i++) {
        metadata_response_metadata_response_topic_init(&response.topics[i]);
        response.topics[i].error_code = error;
        response.topics[i].name = slice_is_null(body->topics[i].name) ? slice_str("") : body->topics[i].name;
        response.topics[i].topic_id = body->topics[i].topic_id;
        response.topics_count = i + 1;
    }
    request__reply(request, &response);
}

static void start(struct request *request)
{
    const struct metadata_request *body = request->body;
    if (!is_valid(request)) {
        answer_invalid(request);
        return;
    }
    struct metadata_work *work = arena_zalloc(&request->arena, sizeof *work);
    if (work)
        work->topics = arena_array(&request->arena, (size_t)max_i64(body->topics_count, 0), sizeof *work->topics);
    if (!work || !work->topics) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    request->work = work;
    work->all = asks_for_all(request);
    topics_list(work, body, request->home->image);
    if (needs_creation(request))
        request_send_to_control(request);
    else
        answer(request);
}

static void control(struct request *request)
{
    struct metadata_work *work = request->work;
    for (int32_t i = 0; i < work->count; i++)
        if (work->topics[i].is_created)
            broker__auto_create(request->home->broker, &request->arena, work->topics[i].name);
}

const struct api_row api__metadata = {
    .key = API_METADATA, .version_min = 0, .version_max = 13, .start = start, .resume = answer, .control = control};
