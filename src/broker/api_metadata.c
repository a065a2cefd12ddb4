// SPDX-License-Identifier: Apache-2.0
/* broker/api_metadata.c - Metadata: brokers, and topics with their leaders; topics that are asked for may come into being
 * (KIP-204, 430, 516, 700).
 *
 *   start    which topics: all, by name, or by id
 *   control  those that are missing and may be made, are made
 *   answer   from the image, topics and partitions made when their turn comes, since there may be many
 *
 * A topic that was just made is answered like any other. One that could not be made is unknown, as in Kafka, and the
 * reason is in the log.
 */
#include "broker/broker__.h"
#include "wire/gen/metadata.h"

typedef struct metadata_request_metadata_request_topic asked_topic;
typedef struct metadata_response_metadata_response_broker broker_reply;
typedef struct metadata_response_metadata_response_topic topic_reply;
typedef struct metadata_response_metadata_response_partition partition_reply;

/* One topic of the answer. */
struct named {
    struct hash_node in_names;
    struct slice name; // null: by an id that is not known
    struct uuid id;
    bool is_created; // the control thread was to make it
};

/* Room for the nodes of one partition after the other. */
struct nodes {
    int32_t *ids;
    int32_t capacity;
};

struct metadata_work {
    struct named *topics;
    int32_t count;
    bool all;
    /* the answer */
    struct request *request;
    const struct meta_image *image;
    struct meta_walk walk;          // of all topics
    const struct meta_topic *topic; // whose partitions are told
    struct broker_look look;
    struct nodes replicas, isr, offline;
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

static uint64_t hash_of(const asked_topic *topic, bool by_id)
{
    return hash_bytes(by_id ? slice_of(topic->topic_id.bytes, sizeof topic->topic_id.bytes) : topic->name);
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
    bool by_id = asks_by_id(body), may_repeat = body->topics_count > 1;
    struct hash names;
    hash_init(&names);
    for (int32_t i = 0; i < body->topics_count; i++) {
        const asked_topic *topic = &body->topics[i];
        if (by_id && uuid_is_zero(topic->topic_id))
            continue;
        uint64_t hash = may_repeat ? hash_of(topic, by_id) : 0;
        if (may_repeat && is_listed(&names, hash, topic, by_id))
            continue;
        struct named *named = &work->topics[work->count++];
        const struct meta_topic *found = by_id ? meta_topic_by_id(image, topic->topic_id) : NULL;
        named->name = !by_id ? topic->name : found ? found->name : SLICE_NULL;
        named->id = topic->topic_id;
        if (may_repeat)
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
static const struct broker_look *look_at(struct metadata_work *work, int32_t id)
{
    return request__broker_look(work->request, work->image, id, &work->look);
}

static bool is_reachable(struct metadata_work *work, int32_t id)
{
    return look_at(work, id)->is_reachable;
}

/* NULL: the request has no memory left. */
static int32_t *nodes_room(struct metadata_work *work, struct nodes *room, int32_t count)
{
    if (count <= room->capacity)
        return room->ids;
    int32_t capacity = (int32_t)max_i64(count, 2 * (int64_t)room->capacity);
    int32_t *ids = arena_array(&work->request->arena, (size_t)capacity, sizeof *ids);
    if (ids)
        *room = (struct nodes){ids, capacity};
    return ids;
}

/* Those of `nodes` that are reachable, or those that are not; the image's own array where that is all of them. */
static int32_t *nodes_select(struct metadata_work *work, const int32_t *nodes, int32_t count, bool reachable,
                             struct nodes *room, int32_t *ret_count)
{
    int32_t selected = 0;
    for (int32_t i = 0; i < count; i++)
        selected += is_reachable(work, nodes[i]) == reachable;
    *ret_count = selected;
    if (selected == count || selected == 0)
        return (int32_t *)(uintptr_t)nodes;
    int32_t *list = nodes_room(work, room, selected);
    *ret_count = 0;
    for (int32_t i = 0; list && i < count; i++)
        if (is_reachable(work, nodes[i]) == reachable)
            list[(*ret_count)++] = nodes[i];
    return list;
}

static int16_t leader_error(struct metadata_work *work, const struct meta_partition *partition)
{
    if (!look_at(work, partition->leader)->lives)
        return KAFKA_LEADER_NOT_AVAILABLE;
    if (!is_reachable(work, partition->leader))
        return work->request->api_version >= 6 ? KAFKA_LISTENER_NOT_FOUND : KAFKA_LEADER_NOT_AVAILABLE;
    return KAFKA_NONE;
}

static void partition_fill(struct metadata_work *work, int32_t index, partition_reply *reply)
{
    const struct meta_partition *partition = meta_topic_partition(work->topic, index);
    metadata_response_metadata_response_partition_init(reply);
    bool only_reachable = work->request->api_version == 0; // later versions name all
    reply->partition_index = index;
    reply->error_code = leader_error(work, partition);
    reply->leader_id = reply->error_code == KAFKA_NONE ? partition->leader : -1;
    reply->leader_epoch = partition->leader_epoch;
    reply->replica_nodes = (int32_t *)(uintptr_t)partition->replicas;
    reply->replica_nodes_count = partition->replica_count;
    reply->isr_nodes = (int32_t *)(uintptr_t)partition->isr;
    reply->isr_nodes_count = partition->isr_count;
    if (only_reachable) {
        reply->replica_nodes = nodes_select(work, partition->replicas, partition->replica_count, true, &work->replicas,
                                            &reply->replica_nodes_count);
        reply->isr_nodes =
            nodes_select(work, partition->isr, partition->isr_count, true, &work->isr, &reply->isr_nodes_count);
    }
    bool is_short =
        reply->replica_nodes_count < partition->replica_count || reply->isr_nodes_count < partition->isr_count;
    if (reply->error_code == KAFKA_NONE && is_short)
        reply->error_code = KAFKA_REPLICA_NOT_AVAILABLE;
    if (work->request->api_version >= 5)
        reply->offline_replicas = nodes_select(work, partition->replicas, partition->replica_count, false,
                                               &work->offline, &reply->offline_replicas_count);
}

static int16_t missing_error(struct slice name)
{
    char message[META_MESSAGE_SIZE];
    if (slice_is_null(name))
        return KAFKA_UNKNOWN_TOPIC_ID;
    return meta_topic_name_is_valid(name, message) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC_EXCEPTION;
}

/* The topic that is told next; NULL when there is none of that name. */
static const struct meta_topic *topic_at(struct metadata_work *work, int32_t index)
{
    if (!work->all) {
        struct slice name = work->topics[index].name;
        return slice_is_null(name) ? NULL : meta_topic_by_name(work->image, name);
    }
    if (index == 0)
        meta_topics_begin(work->image, SLICE_NULL, &work->walk);
    return meta_topics_next(&work->walk);
}

static void topic_fill(struct metadata_work *work, int32_t index, topic_reply *reply)
{
    const struct metadata_request *body = work->request->body;
    const struct meta_topic *topic = work->topic = topic_at(work, index);
    struct slice name = topic ? topic->name : work->topics[index].name;
    metadata_response_metadata_response_topic_init(reply);
    reply->error_code = topic ? KAFKA_NONE : missing_error(name);
    reply->name = slice_is_null(name) && work->request->api_version < 12 ? slice_str("") : name;
    reply->topic_id = topic ? topic->id : work->topics[index].id;
    reply->is_internal = !slice_is_null(name) && meta_topic_is_internal(name);
    reply->partitions_count = topic ? topic->partition_count : 0;
    if (body->include_topic_authorized_operations)
        reply->topic_authorized_operations = OPERATIONS_OF_TOPIC;
}

static void supply(void *context, int depth, const void *parent, int32_t index, void *ret_element)
{
    (void)parent;
    if (depth == 1)
        topic_fill(context, index, ret_element);
    else
        partition_fill(context, index, ret_element);
}

static bool broker_fill(const struct metadata_work *work, const struct meta_item *item, broker_reply *ret_reply)
{
    const struct meta_broker *broker = CONTAINER_OF(item, struct meta_broker, item);
    metadata_response_metadata_response_broker_init(ret_reply);
    ret_reply->node_id = broker->id;
    ret_reply->rack = broker->rack;
    return !broker->fenced && request__broker_address(work->request, broker, &ret_reply->host, &ret_reply->port);
}

static void brokers_list(const struct metadata_work *work, struct metadata_response *response)
{
    struct meta_walk walk;
    size_t count = 0;
    meta_walk_begin(work->image->brokers, &walk);
    while (meta_walk_next(&walk))
        count++;
    response->brokers = arena_array(&work->request->arena, count, sizeof *response->brokers);
    if (!response->brokers)
        return;
    meta_walk_begin(work->image->brokers, &walk);
    for (const struct meta_item *item; (item = meta_walk_next(&walk));)
        response->brokers_count += broker_fill(work, item, &response->brokers[response->brokers_count]);
    if (response->brokers_count > 0) // any that lives: it passes on what is for the controller
        response->controller_id = response->brokers[0].node_id;
}

static void answer(struct request *request)
{
    const struct metadata_request *body = request->body;
    struct metadata_work *work = request->work;
    struct metadata_response response;
    metadata_response_init(&response);
    work->request = request;
    work->image = request->home->image;
    work->look.id = -1;
    brokers_list(work, &response);
    response.cluster_id = slice_str(request->home->broker->options.cluster_id);
    response.topics_count = work->all ? work->image->topic_count : work->count;
    if (body->include_cluster_authorized_operations)
        response.cluster_authorized_operations = OPERATIONS_OF_CLUSTER;
    request__reply_supplied(request, &response, supply, work);
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
            broker__auto_create(request, work->topics[i].name);
}

const struct api_row api__metadata = {
    .key = API_METADATA, .version_min = 0, .version_max = 13, .start = start, .resume = answer, .control = control};
