// SPDX-License-Identifier: Apache-2.0
/* net/listener.c - binding, accepting, and handing connections to the least loaded reactor.
 *
 * Reactor 0 accepts; a connection travels once, as mail, before its first byte is read. One that a limit keeps out is
 * accepted and closed at once, so that its client sees a refusal instead of a queue; only a rate makes it wait
 * (admission.c).
 */
#include "net/net__.h"

enum { ACCEPTS_PER_EVENT = 64, ACCEPT_WAIT_MS = 20, REFUSAL_TOLD_MS = 10000 };

void net__limit_reached(struct reactor *reactor, enum net_limit limit)
{
    atomic_fetch_add_explicit(&reactor->net_limits[limit], 1, memory_order_relaxed);
}

struct status net_create(struct broker *broker, const struct net_options *options, struct net **ret_net)
{
    struct net *net = mem_zalloc(sizeof *net);
    net->broker = broker;
    net->options = *options;
    net->share_bytes = options->request_bytes_max / (4 * (int64_t)broker_options(broker)->reactor_count);
    net__admission_init(&net->admission);
    const struct broker_options *named = broker_options(broker);
    for (int i = 0; i < named->listener_count; i++) {
        struct listener *listener = &net->listeners[net->listener_count];
        *listener = (struct listener){.handle = {HANDLE_LISTENER}, .net = net, .named = &named->listeners[i]};
        listener->socket =
            io_listen(named->listeners[i].host, named->listeners[i].port, options->backlog, &listener->bound);
        if (listener->socket < 0) {
            struct status s = STATUS(-listener->socket, "bind a listener");
            LOG(LOG_ERROR, "net", "listener %s cannot bind %s:%d: %s", named->listeners[i].name,
                named->listeners[i].host, (int)named->listeners[i].port, strerror(s.error));
            net_free(net);
            return s;
        }
        net->listener_count++;
        broker_listener_bound(broker, i, listener->bound.port);
    }
    *ret_net = net;
    return STATUS_OK;
}

static void blocks_free(struct block *first)
{
    for (struct block *block = first, *next; block; block = next) {
        next = block->next;
        mem_free(block);
    }
}

static void reactor_free(struct reactor *reactor)
{
    struct net_reactor *own = net__of(reactor);
    net__throttle_end(reactor, INT64_MAX);
    mem_free(own->early);
    heap_free(&own->muted);
    blocks_free(own->blocks_free);
    blocks_free(own->large_free);
}

void net_free(struct net *net)
{
    if (!net)
        return;
    for (int i = 0; i < net->listener_count; i++)
        io_socket_close(net->listeners[i].socket);
    for (int i = 0; i < broker_options(net->broker)->reactor_count; i++) {
        struct reactor *reactor = broker_reactor(net->broker, i);
        if (reactor->net)
            reactor_free(reactor);
        mem_free(reactor->net);
        reactor->net = NULL;
    }
    net__admission_free(&net->admission);
    mem_free(net);
}

void net_mail_drop(struct io_mail *mail)
{
    assert(mail->kind == MAIL_CONNECTION);
    struct connection *connection = CONTAINER_OF(mail, struct connection, mail);
    io_socket_close(connection->socket);
    mem_free(connection);
}

uint16_t net_listener_port(const struct net *net, int listener)
{
    assert(listener < net->listener_count);
    return net->listeners[listener].bound.port;
}

/* Reactor 0 accepts. */
static void listeners_watch(struct reactor *reactor, bool on)
{
    struct net *net = net__of(reactor)->net;
    for (int i = 0; reactor->number == 0 && i < net->listener_count; i++)
        io_loop_watch(reactor->loop, net->listeners[i].socket, on ? IO_READABLE : 0, on ? &net->listeners[i] : NULL);
}

void net_reactor_start(struct net *net, struct reactor *reactor)
{
    struct net_reactor *own = mem_zalloc(sizeof *own);
    own->net = net;
    list_init(&own->connections);
    list_init(&own->flush);
    heap_init(&own->muted);
    list_init(&own->starved);
    own->want_told_ms = INT64_MIN / 2;
    reactor->net = own;
    listeners_watch(reactor, true);
}

static struct reactor *least_loaded(struct net *net)
{
    struct reactor *best = broker_reactor(net->broker, 0);
    int count = broker_options(net->broker)->reactor_count;
    for (int i = 1; i < count; i++) {
        struct reactor *other = broker_reactor(net->broker, i);
        if (atomic_load(&other->connections) < atomic_load(&best->connections))
            best = other;
    }
    return best;
}

static void hand_over(struct listener *listener, int socket, const struct io_address *peer,
                      const struct io_address *local)
{
    struct reactor *target = least_loaded(listener->net);
    struct connection *connection = mem_zalloc(sizeof *connection);
    *connection = (struct connection){.handle = {HANDLE_CONNECTION},
                                      .reactor = target,
                                      .listener = listener,
                                      .socket = socket,
                                      .peer = *peer,
                                      .local = *local,
                                      .frame_since_ms = INT64_MAX,
                                      .unread_since_ms = INT64_MAX};
    connection->mail.kind = MAIL_CONNECTION;
    list_init(&connection->requests);
    list_init(&connection->in_reactor);
    list_init(&connection->in_flush);
    list_init(&connection->in_starved);
    atomic_fetch_add(&target->connections, 1);
    io_loop_send(target->loop, &connection->mail);
}

/* A refusal is told once in a while, or an attacker would fill the log. */
static void tell_refusal(struct reactor *reactor, const struct io_address *peer, enum net_limit limit)
{
    static const char *const SETTINGS[] = {
        [NET_LIMIT_CONNECTIONS] = "max.connections", [NET_LIMIT_CONNECTIONS_PER_IP] = "max.connections.per.ip"};
    struct net_reactor *own = net__of(reactor);
    own->refused++;
    net__limit_reached(reactor, limit);
    if (own->refused > 1 && reactor->now_ms - own->refusal_told_ms < REFUSAL_TOLD_MS)
        return;
    LOG(LOG_WARN, "net", "refused a connection from %s: %s is reached; %llu refused since the start", peer->host,
        SETTINGS[limit], (unsigned long long)own->refused);
    own->refusal_told_ms = reactor->now_ms;
}

/* The others go on: the rate may be its own. */
static void accept_wait(struct reactor *reactor, const struct listener *listener)
{
    net__limit_reached(reactor, NET_LIMIT_CONNECTION_RATE);
    net__of(reactor)->accept_waits = true;
    net__of(reactor)->accept_at_ms = reactor->now_ms + ACCEPT_WAIT_MS;
    io_loop_watch(reactor->loop, listener->socket, 0, NULL);
}

void net__accept_again(struct reactor *reactor)
{
    net__of(reactor)->accept_waits = false;
    listeners_watch(reactor, true);
}

void net__accept(struct reactor *reactor, struct listener *listener)
{
    struct net *net = listener->net;
    net__admission_look(net, reactor);
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct io_address peer, local;
        if (!net__admission_take_token(listener, reactor->now_ms)) {
            accept_wait(reactor, listener);
            return;
        }
        int socket = io_accept(listener->socket, &peer, &local);
        if (socket < 0)
            net__admission_return_token(listener);
        if (socket == -EAGAIN)
            return;
        if (socket < 0) {
            LOG(LOG_WARN, "net", "cannot accept a connection: %s", strerror(-socket));
            return;
        }
        int64_t throttle_ms = broker_connection_throttle(reactor, peer.host);
        if (throttle_ms > 0) {
            net__early_keep(reactor, socket, throttle_ms);
            continue;
        }
        enum net_limit reached = net__admit(listener, peer.host);
        if (reached != NET_LIMIT_COUNT) {
            tell_refusal(reactor, &peer, reached);
            io_socket_close(socket);
            continue;
        }
        io_socket_send_buffer(socket, net->options.send_buffer_bytes);
        io_socket_recv_buffer(socket, net->options.receive_buffer_bytes);
        hand_over(listener, socket, &peer, &local);
    }
}

void net_mail(struct reactor *reactor, struct io_mail *mail)
{
    assert(mail->kind == MAIL_CONNECTION);
    struct connection *connection = CONTAINER_OF(mail, struct connection, mail);
    assert(connection->reactor == reactor);
    net__connection_start(connection);
}

void net_event(struct reactor *reactor, const struct io_event *event)
{
    struct handle *handle = event->context;
    if (handle->kind == HANDLE_LISTENER)
        net__accept(reactor, (struct listener *)handle);
    else
        net__connection_event((struct connection *)handle, event->events);
}

/* It went on, or has come to its end: what its connection may do is looked at. */
static void hold_end(struct net_reactor *own, struct request *request)
{
    struct connection *connection = request->connection;
    if (request->holds)
        connection->muting_count += request->mutes; // which it could not tell when it started
    request->holds = false;
    if (list_is_empty(&connection->in_flush))
        list_push_back(&own->flush, &connection->in_flush);
}

void net_tick_begin(struct reactor *reactor)
{
    net__of(reactor)->tick_bytes = 0;
}

void net_drain(struct reactor *reactor)
{
    struct net_reactor *own = net__of(reactor);
    while (net_has_work(reactor)) {
        for (struct list *node; (node = list_pop_front(&reactor->released));) {
            struct request *request = CONTAINER_OF(node, struct request, in_completed);
            if (!request->abandoned)
                hold_end(own, request);
        }
        for (struct list *node; (node = list_pop_front(&reactor->completed));) {
            struct request *request = CONTAINER_OF(node, struct request, in_completed);
            if (request->abandoned) {
                net__block_unref(reactor, request->block);
                request_free(request);
            } else {
                hold_end(own, request);
            }
        }
        while (!list_is_empty(&own->flush) && !net__tick_is_full(own))
            net__connection_advance(CONTAINER_OF(list_pop_front(&own->flush), struct connection, in_flush));
    }
}

bool net_has_work(const struct reactor *reactor)
{
    const struct net_reactor *own = net__of(reactor);
    return !list_is_empty(&reactor->completed) || !list_is_empty(&reactor->released) ||
           (!list_is_empty(&own->flush) && !net__tick_is_full(own));
}

bool net_reactor_stop(struct reactor *reactor, bool force)
{
    struct net_reactor *own = net__of(reactor);
    if (!own->stopping)
        listeners_watch(reactor, false);
    own->accept_waits = false;
    own->stopping = true;
    net__throttle_end(reactor, INT64_MAX);
    LIST_EACH_SAFE (node, &own->connections) {
        struct connection *connection = CONTAINER_OF(node, struct connection, in_reactor);
        if (force || connection->request_count == 0)
            net__connection_close(connection, NULL);
    }
    if (!list_is_empty(&own->connections))
        return false;
    return true;
}
