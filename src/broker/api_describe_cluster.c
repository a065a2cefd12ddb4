// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_cluster.c - DescribeCluster: the nodes of the cluster as the asking client can reach them (KIP-700,
 * 919, 1073).
 *
 * A broker listener tells of brokers, a controller listener of controllers; asking the one for the other is an error. On a
 * broker listener the "controller" is any live broker, since clients send what is for the controller to a broker.
 */
#include "broker/broker__.h"
#include "wire/gen/describe_cluster.h"

enum { ENDPOINT_BROKER = 1, ENDPOINT_CONTROLLER = 2, NO_NODE = -1 };

typedef struct describe_cluster_response_describe_cluster_broker cluster_node;

static const char *endpoint_name(int8_t type)
{
    return type == ENDPOINT_BROKER ? "BROKER" : "CONTROLLER";
}

/* KAFKA_NONE, or what is wrong with the type of endpoint that was asked for. */
static int16_t check_endpoint(const struct request *request, int8_t wanted, int8_t here, struct arena *arena,
                              struct slice *ret_message)
{
    if (wanted != ENDPOINT_BROKER && wanted != ENDPOINT_CONTROLLER) {
        *ret_message = arena_printf(arena, "Unsupported endpoint type %d", (int)wanted);
        return request->api_version == 0 ? KAFKA_INVALID_REQUEST : KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
    }
    if (wanted != here) {
        *ret_message =
            arena_printf(arena, "The request was sent to an endpoint of type %s, but we wanted an endpoint of type %s",
                         endpoint_name(here), endpoint_name(wanted));
        return request->api_version == 0 ? KAFKA_INVALID_REQUEST : KAFKA_MISMATCHED_ENDPOINT_TYPE;
    }
    return KAFKA_NONE;
}

/* The nodes that have the listener by which the client came. Two passes over the image: count, then fill. */
static int32_t nodes_walk(const struct request *request, const struct meta_node *tree, bool with_fenced,
                          cluster_node *nodes)
{
    struct meta_walk walk;
    meta_walk_begin(tree, &walk);
    int32_t count = 0;
    for (const struct meta_item *item; (item = meta_walk_next(&walk));) {
        const struct meta_broker *broker = CONTAINER_OF(item, struct meta_broker, item);
        cluster_node node;
        describe_cluster_response_describe_cluster_broker_init(&node);
        if ((broker->fenced && !with_fenced) || !request__broker_address(request, broker, &node.host, &node.port))
            continue;
        node.broker_id = broker->id;
        node.rack = broker->rack;
        node.is_fenced = broker->fenced;
        if (nodes)
            nodes[count] = node;
        count++;
    }
    return count;
}

static bool has_node(const struct describe_cluster_response *response, int32_t id)
{
    for (int32_t i = 0; i < response->brokers_count; i++)
        if (response->brokers[i].broker_id == id && !response->brokers[i].is_fenced)
            return true;
    return false;
}

static bool nodes_fill(struct request *request, int8_t here, struct describe_cluster_response *response)
{
    const struct meta_image *image = request->home->image;
    const struct describe_cluster_request *body = request->body;
    const struct meta_node *tree = here == ENDPOINT_BROKER ? image->brokers : image->controllers;
    bool with_fenced = body->include_fenced_brokers;
    int32_t count = nodes_walk(request, tree, with_fenced, NULL);
    response->brokers = arena_array(&request->arena, (size_t)count, sizeof *response->brokers);
    if (!response->brokers)
        return false;
    response->brokers_count = nodes_walk(request, tree, with_fenced, response->brokers);
    int32_t own_id = request->home->broker->options.node_id;
    response->controller_id = has_node(response, own_id) ? own_id : NO_NODE;
    return true;
}

static void start(struct request *request)
{
    const struct describe_cluster_request *body = request->body;
    int8_t here = request->listener->is_controller ? ENDPOINT_CONTROLLER : ENDPOINT_BROKER;
    struct describe_cluster_response response;
    describe_cluster_response_init(&response);
    response.error_code = check_endpoint(request, body->endpoint_type, here, &request->arena, &response.error_message);
    if (response.error_code == KAFKA_NONE) {
        response.cluster_id = slice_str(request->home->broker->options.cluster_id);
        response.endpoint_type = here;
        if (body->include_cluster_authorized_operations)
            response.cluster_authorized_operations = OPERATIONS_OF_CLUSTER;
        if (!nodes_fill(request, here, &response)) {
            request_refuse(request, "it needs more memory than one request may have");
            return;
        }
    }
    request__reply(request, &response);
}

const struct api_row api__describe_cluster = {
    .key = API_DESCRIBE_CLUSTER, .version_min = 0, .version_max = 2, .on_controller = true, .start = start};
