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
