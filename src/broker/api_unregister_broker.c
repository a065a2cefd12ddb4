// SPDX-License-Identifier: Apache-2.0
/* broker/api_unregister_broker.c - UnregisterBroker: the cluster forgets a broker (KIP-631).
 *
 * Kafka lets a broker go that is at work, and so may this node: it leads nothing from then on, is no broker of the cluster,
 * and comes back with its next start.
 */
#include "broker/broker__.h"
#include "wire/gen/unregister_broker.h"

static void start(struct request *request)
{
    request->work = arena_zalloc(&request->arena, sizeof(struct ctrl_result));
    if (request->work)
        request_send_to_control(request);
    else
        request_refuse(request, "it needs more memory than one request may have");
}

static void control(struct request *request)
{
    const struct unregister_broker_request *body = request->body;
    struct ctrl_result *result = request->work;
    struct broker *broker = request->home->broker;
    struct status s =
        ctrl_unregister_broker(control__ctrl(broker->control), body->broker_id, &request->arena, io_wall_ms(), result);
    if (!status_is_ok(s))
        broker__fail(broker, s);
    else if (result->error == KAFKA_NONE && body->broker_id == broker->options.node_id)
        control__unregistered(broker->control);
}

static void resume(struct request *request)
{
    const struct ctrl_result *result = request->work;
    struct unregister_broker_response response;
    unregister_broker_response_init(&response);
    response.error_code = result->error;
    response.error_message = result->message;
    request__reply(request, &response);
}

const struct api_row api__unregister_broker = {.key = API_UNREGISTER_BROKER,
                                               .version_min = 0,
                                               .version_max = 0,
                                               .on_controller = true,
                                               .start = start,
                                               .resume = resume,
                                               .control = control};
