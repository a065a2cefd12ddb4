// SPDX-License-Identifier: Apache-2.0
/* broker/listeners.c - by which address a client finds a broker.
 *
 * A client is told addresses of the listener that it came by. This broker's own address there is the advertised one; where
 * none is set, the host it is bound to; where that means all interfaces, the address that this very client has reached,
 * since that one works for it.
 */
#include "broker/broker__.h"

static bool is_wildcard(const char *host)
{
    return host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void own_address(const struct request *request, struct slice *ret_host, int32_t *ret_port)
{
    const struct broker *broker = request->home->broker;
    const struct broker_listener *listener = request->listener;
    bool is_advertised = listener->advertised_host[0] != '\0';
    uint16_t bound = broker->listener_ports[listener - broker->options.listeners];
    *ret_port = listener->advertised_port ? listener->advertised_port : bound;
    if (is_advertised)
        *ret_host = slice_str(listener->advertised_host);
    else if (!is_wildcard(listener->host))
        *ret_host = slice_str(listener->host);
    else
        *ret_host = slice_str(request->local ? request->local->host : "localhost");
}

bool request__broker_address(const struct request *request, const struct meta_broker *broker, struct slice *ret_host,
                             int32_t *ret_port)
{
    if (broker->id == request->home->broker->options.node_id) {
        own_address(request, ret_host, ret_port);
        return true;
    }
    const struct meta_endpoint *endpoint = meta_broker_endpoint(broker, slice_str(request->listener->name));
    if (!endpoint)
        return false;
    *ret_host = endpoint->host;
    *ret_port = endpoint->port;
    return true;
}

const char *broker__registered_host(const struct broker_listener *listener)
{
    if (listener->advertised_host[0])
        return listener->advertised_host;
    return is_wildcard(listener->host) ? "localhost" : listener->host;
}

const struct broker_look *request__broker_look(const struct request *request, const struct meta_image *image,
                                               int32_t id, struct broker_look *look)
{
    struct slice host;
    int32_t port;
    if (look->id == id && id >= 0)
        return look;
    const struct meta_broker *broker = meta_broker(image, id);
    look->id = id;
    look->lives = broker && !broker->fenced;
    look->is_reachable = look->lives && request__broker_address(request, broker, &host, &port);
    return look;
}

static const struct broker_listener *controller_listener(const struct broker_options *options)
{
    for (int i = 0; i < options->listener_count; i++)
        if (options->listeners[i].is_controller)
            return &options->listeners[i];
    return NULL;
}

struct ctrl_listener broker__controller_listener(const struct broker_options *options, uint16_t port)
{
    enum { KAFKA_CONTROLLER_PORT = 9093 };
    const struct broker_listener *found = controller_listener(options);
    struct ctrl_listener listener = {.name = "CONTROLLER", .host = "localhost", .port = KAFKA_CONTROLLER_PORT};
    if (!found)
        return listener;
    listener.name = found->name;
    listener.host = broker__registered_host(found);
    listener.port = found->advertised_port ? found->advertised_port : port;
    return listener;
}

uint16_t broker__controller_port(const struct broker *broker)
{
    const struct broker_listener *found = controller_listener(&broker->options);
    return found ? broker->listener_ports[found - broker->options.listeners] : 0;
}

bool request__read_node_id(struct slice text, int32_t *ret_id)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    size_t at = negative || (text.size > 0 && text.data[0] == '+') ? 1 : 0;
    int64_t value = 0;
    if (at == text.size)
        return false;
    for (; at < text.size; at++) {
        if (text.data[at] < '0' || text.data[at] > '9')
            return false;
        value = value * 10 + (text.data[at] - '0');
        if (value > (int64_t)INT32_MAX + negative)
            return false;
    }
    *ret_id = (int32_t)(negative ? -value : value);
    return true;
}
