// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_quorum.c - DescribeQuorum: who votes on the metadata log, and how far each has come (KIP-595, 836, 853).
 *
 * The quorum is this node alone: it leads, and its end is the high watermark, since what it tells is flushed. The control
 * thread answers, which owns that log. As Kafka, every partition of a request that asks for anything but partition 0 of
 * __cluster_metadata is answered UNKNOWN_TOPIC_OR_PARTITION.
 */
#include "broker/broker__.h"
#include "wire/gen/describe_quorum.h"

static const char METADATA_TOPIC[] = "__cluster_metadata";
static const char NOT_HOSTED[] = "This server does not host this topic-partition.";

typedef struct describe_quorum_response_topic_data topic_reply;
typedef struct describe_quorum_response_partition_data partition_reply;

static bool asks_only_for_metadata(const struct describe_quorum_request *body)
{
    return body->topics_count == 1 && slice_equal_str(body->topics[0].topic_name, METADATA_TOPIC) &&
           body->topics[0].partitions_count == 1 && body->topics[0].partitions[0].partition_index == 0;
}

/* Room for all that is answered; false: the request is too large. */
static bool reply_make(struct request *request, struct describe_quorum_response *reply)
{
    const struct describe_quorum_request *body = request->body;
    reply->topics_count = body->topics_count;
    reply->topics = arena_array(&request->arena, (size_t)max_i64(body->topics_count, 0), sizeof(topic_reply));
    for (int32_t t = 0; reply->topics && t < body->topics_count; t++) {
        topic_reply *topic = &reply->topics[t];
        describe_quorum_response_topic_data_init(topic);
        topic->topic_name = body->topics[t].topic_name;
        topic->partitions_count = body->topics[t].partitions_count;
        topic->partitions =
            arena_array(&request->arena, (size_t)max_i64(topic->partitions_count, 0), sizeof(partition_reply));
        for (int32_t i = 0; topic->partitions && i < topic->partitions_count; i++) {
            describe_quorum_response_partition_data_init(&topic->partitions[i]);
            topic->partitions[i].partition_index = body->topics[t].partitions[i].partition_index;
            topic->partitions[i].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
            topic->partitions[i].error_message = slice_str(NOT_HOSTED);
        }
    }
    return !request->arena.failed;
}

static void start(struct request *request)
{
    struct describe_quorum_response *reply = arena_zalloc(&request->arena, sizeof *reply);
    if (reply)
        describe_quorum_response_init(reply);
    request->work = reply;
    if (!reply || !reply_make(request, reply)) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    if (asks_only_for_metadata(request->body))
        request_send_to_control(request);
    else
        request__reply(request, reply);
}

/* ---- in the control thread */
static void voter_fill(struct request *request, partition_reply *partition)
{
    struct broker *broker = request->home->broker;
    struct ctrl *ctrl = control__ctrl(broker->control);
    struct describe_quorum_response_replica_state *voter = arena_zalloc(&request->arena, sizeof *voter);
    if (!voter)
        return;
    describe_quorum_response_replica_state_init(voter);
    voter->replica_id = broker->options.node_id;
    voter->log_end_offset = ctrl_end_offset(ctrl);
    voter->last_fetch_timestamp = voter->last_caught_up_timestamp = io_wall_ms();
    if (request->api_version >= 2 && ctrl_kraft_version(ctrl) >= 1) // before, voters are known by id alone
        voter->replica_directory_id = log_dirs__by_path(&broker->dirs, broker->options.metadata_dir)->id;
    partition->current_voters = voter;
    partition->current_voters_count = 1;
}

static void nodes_fill(struct request *request, struct describe_quorum_response *reply)
{
    struct broker *broker = request->home->broker;
    const struct meta_broker *controller =
        meta_controller(ctrl_view(control__ctrl(broker->control)), broker->options.node_id);
    struct describe_quorum_response_node *node = arena_zalloc(&request->arena, sizeof *node);
    if (!node || !controller)
        return;
    describe_quorum_response_node_init(node);
    node->node_id = controller->id;
    node->listeners = arena_array(&request->arena, (size_t)controller->endpoint_count, sizeof *node->listeners);
    for (int32_t i = 0; node->listeners && i < controller->endpoint_count; i++) {
        describe_quorum_response_listener_init(&node->listeners[i]);
        node->listeners[i].name = arena_copy(&request->arena, controller->endpoints[i].name);
        node->listeners[i].host = arena_copy(&request->arena, controller->endpoints[i].host);
        node->listeners[i].port = controller->endpoints[i].port;
    }
    node->listeners_count = controller->endpoint_count;
    reply->nodes = node;
    reply->nodes_count = 1;
}

static void control(struct request *request)
{
    struct describe_quorum_response *reply = request->work;
    struct broker *broker = request->home->broker;
    struct ctrl *ctrl = control__ctrl(broker->control);
    partition_reply *partition = &reply->topics[0].partitions[0];
    partition->error_code = KAFKA_NONE;
    partition->error_message = slice_str("");
    partition->leader_id = broker->options.node_id;
    partition->leader_epoch = ctrl_leader_epoch(ctrl);
    partition->high_watermark = ctrl_end_offset(ctrl);
    voter_fill(request, partition);
    if (request->api_version >= 2)
        nodes_fill(request, reply);
}

static void resume(struct request *request)
{
    if (request->arena.failed)
        request_refuse(request, "it needs more memory than one request may have");
    else
        request__reply(request, request->work);
}

const struct api_row api__describe_quorum = {.key = API_DESCRIBE_QUORUM,
                                             .version_min = 0,
                                             .version_max = 2,
                                             .on_controller = true,
                                             .start = start,
                                             .resume = resume,
                                             .control = control};
