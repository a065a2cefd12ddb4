// SPDX-License-Identifier: Apache-2.0
/* broker/api_find_coordinator.c - FindCoordinator: which broker leads the partition that a group lives in (KIP-699).
 *
 * The first one who asks for a group's coordinator makes __consumer_offsets: the control thread does it, with the
 * offsets.topic.* settings, and the answer waits until it is there.
 *
 * Coordinators of transactions and of share groups are not served: whoever looks for one gets an error that is not worth a
 * retry, so that clients stop and tell their user instead of asking for ever. For a transaction it is UNSUPPORTED_VERSION,
 * with the reason as its message; but in versions before keys came in lists it is TRANSACTIONAL_ID_AUTHORIZATION_FAILED
 * with that message, since librdkafka, which asks so, tries again after any error that is not about authorization.
 */
#include "broker/coordinator.h"
#include "wire/gen/find_coordinator.h"

enum { KEY_GROUP = 0, KEY_TRANSACTION = 1, KEY_SHARE = 2 };
enum { VERSION_KEYS = 4, VERSION_SHARE = 6, NO_NODE = -1 };

typedef struct find_coordinator_response_coordinator coordinator;

struct find_work {
    struct slice message; // why the topic could not be made; null: none
};

static void refuse(coordinator *out, int16_t error, const char *message)
{
    out->error_code = error;
    out->error_message = slice_str(message);
    out->node_id = NO_NODE;
    out->host = slice_str("");
    out->port = NO_NODE;
}

/* NULL while nobody can say. */
static const struct meta_broker *leader_find(const struct request *request, struct slice group_id)
{
    const struct meta_image *image = request->home->image;
    const struct meta_topic *topic = meta_topic_by_name(image, slice_str(coordinator__groups.topic));
    int32_t count = coordinator__shard_count(request->home->broker, image, COORDINATOR_GROUPS);
    const struct meta_partition *partition =
        topic ? meta_topic_partition(topic, coordinator__shard_of(group_id, count)) : NULL;
    const struct meta_broker *leader = partition ? meta_broker(image, partition->leader) : NULL;
    return leader && !leader->fenced ? leader : NULL;
}

static void find_group(const struct request *request, struct slice group_id, coordinator *out)
{
    const struct find_work *work = request->work;
    const struct meta_broker *leader = leader_find(request, group_id);
    if (!leader || !request__broker_address(request, leader, &out->host, &out->port)) {
        refuse(out, KAFKA_COORDINATOR_NOT_AVAILABLE, "The coordinator is not available.");
        if (!slice_is_null(work->message))
            out->error_message = work->message;
        return;
    }
    out->node_id = leader->id;
}

static void find(const struct request *request, int8_t type, struct slice key, coordinator *out)
{
    find_coordinator_response_coordinator_init(out);
    out->key = key;
    if (type == KEY_GROUP)
        find_group(request, key, out);
    else if (type == KEY_TRANSACTION)
        refuse(out,
               request->api_version < VERSION_KEYS ? KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                                                   : KAFKA_UNSUPPORTED_VERSION,
               "This broker does not serve transactions.");
    else if (type == KEY_SHARE && request->api_version >= VERSION_SHARE)
        refuse(out, KAFKA_UNSUPPORTED_VERSION, "This broker does not serve share groups.");
    else
        refuse(out, KAFKA_INVALID_REQUEST,
               "This most likely occurs because of a request being malformed by the client library or the message was "
               "sent to an incompatible broker. See the broker logs for more details.");
}

static void finish_one(struct request *request)
{
    const struct find_coordinator_request *body = request->body;
    struct find_coordinator_response response;
    coordinator found;
    find(request, body->key_type, body->key, &found);
    find_coordinator_response_init(&response);
    response.error_code = found.error_code;
    response.error_message = found.error_code == KAFKA_NONE ? slice_str("NONE") : found.error_message;
    response.node_id = found.node_id;
    response.host = found.host;
    response.port = found.port;
    request__reply(request, &response);
}

static void finish(struct request *request)
{
    const struct find_coordinator_request *body = request->body;
    if (request->api_version < VERSION_KEYS) {
        finish_one(request);
        return;
    }
    struct find_coordinator_response response;
    find_coordinator_response_init(&response);
    size_t count = (size_t)max_i64(0, body->coordinator_keys_count);
    response.coordinators = arena_array(&request->arena, count, sizeof *response.coordinators);
    if (!response.coordinators) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    for (size_t i = 0; i < count; i++)
        find(request, body->key_type, body->coordinator_keys[i], &response.coordinators[response.coordinators_count++]);
    request__reply(request, &response);
}

/* ---- making the topic, in the control thread */
static void topic_make(struct request *request, struct ctrl *ctrl, struct find_work *work)
{
    const struct broker_options *options = &request->home->broker->options;
    const char *segment_bytes =
        meta_settings_get(broker__settings(request->home->broker), "offsets.topic.segment.bytes");
    const struct meta_config_entry configs[] = {
        {slice_str("cleanup.policy"), slice_str("compact")},
        {slice_str("compression.type"), slice_str("producer")},
        {slice_str("segment.bytes"), slice_str(segment_bytes)},
    };
    const struct ctrl_new_topic topic = {.name = slice_str(coordinator__groups.topic),
                                         .partitions = options->offsets_partitions,
                                         .replication_factor = (int16_t)options->offsets_replication_factor,
                                         .configs = configs,
                                         .config_count = COUNT_OF(configs)};
    struct ctrl_new_topic_result result;
    struct status s = ctrl_create_topics(ctrl, &topic, 1, false, NULL, &request->arena, io_wall_ms(), &result);
    if (!status_is_ok(s))
        LOG(LOG_ERROR, "broker", "%s cannot be made: %s: %s", coordinator__groups.topic, s.what, strerror(s.error));
    else if (result.result.error != KAFKA_NONE)
        LOG(LOG_WARN, "broker", "%s cannot be made: error %d: %.*s", coordinator__groups.topic,
            (int)result.result.error, (int)result.result.message.size, (const char *)result.result.message.data);
    if (status_is_ok(s))
        work->message = result.result.message;
}

static void control(struct request *request)
{
    struct ctrl *ctrl = control__ctrl(request->home->broker->control);
    if (!meta_topic_by_name(ctrl_view(ctrl), slice_str(coordinator__groups.topic)))
        topic_make(request, ctrl, request->work);
}

static void resume(struct request *request)
{
    reactor__image_refresh(request->home);
    finish(request);
}

static void start(struct request *request)
{
    const struct find_coordinator_request *body = request->body;
    bool has_keys = request->api_version < VERSION_KEYS || body->coordinator_keys_count > 0;
    bool has_topic = meta_topic_by_name(request->home->image, slice_str(coordinator__groups.topic)) != NULL;
    request->work = arena_zalloc(&request->arena, sizeof(struct find_work));
    if (!request->work)
        request_refuse(request, "it needs more memory than one request may have");
    else if (body->key_type == KEY_GROUP && has_keys && !has_topic)
        request_send_to_control(request);
    else
        finish(request);
}

const struct api_row api__find_coordinator = {.key = API_FIND_COORDINATOR,
                                              .version_min = 0,
                                              .version_max = 6,
                                              .start = start,
                                              .resume = resume,
                                              .control = control};
