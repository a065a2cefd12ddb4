// SPDX-License-Identifier: Apache-2.0
/* io/sim_net.c - TCP between coroutines of one machine.
 *
 * A connection is two sockets that know each other. Bytes sent go into the receiver's queue with a time of arrival, never
 * before that of earlier bytes; the queue is bounded, so a sender meets EAGAIN. A reset loses what is in flight on both
 * sides; a close delivers what was sent, then the end. Any address with the right port finds a listener.
 */
#include "io/sim__.h"

#include <errno.h>

enum { CHUNKS_MAX = 64, BACKLOG_MAX = 128, FIRST_FREE_PORT = 40000 };

struct chunk {
    int64_t arrives_ns;
    size_t size;
};

struct sim_socket {
    struct list in_net;
    bool is_listener, is_refused, is_reset, peer_closed, is_accepted;
    int64_t connected_ns; // known to the connecting side from then on
    uint16_t port, peer_port;
    struct sim_socket *peer;
    bool is_waiting; // to be accepted
    /* a listener's */
    struct sim_socket **waiting; // of `backlog`
    int waiting_count, backlog;
    /* received, in order of arrival */
    uint8_t *bytes;
    size_t size, capacity_max;
    struct chunk chunks[CHUNKS_MAX];
    int chunk_count;
    int64_t closes_ns;
};

struct sim_net {
    struct list sockets;
    uint16_t next_port;
};

struct sim_net *sim__net_create(void)
{
    struct sim_net *net = sim__alloc(sizeof *net);
    list_init(&net->sockets);
    net->next_port = FIRST_FREE_PORT;
    return net;
}

static void socket_free(struct sim_socket *socket)
{
    list_remove(&socket->in_net);
    sim__free(socket->waiting);
    sim__free(socket->bytes);
    sim__free(socket);
}

void sim__net_destroy(struct sim_net *net)
{
    LIST_EACH_SAFE (node, &net->sockets)
        socket_free(CONTAINER_OF(node, struct sim_socket, in_net));
    sim__free(net);
}

static struct sim_socket *socket_of(int number)
{
    return sim__handle(number, SIM_SOCKET)->socket;
}

static struct sim_socket *socket_new(void)
{
    static const size_t CAPACITIES[] = {2048, 16384, 65536, 262144};
    struct sim_socket *socket = sim__alloc(sizeof *socket);
    socket->capacity_max = CAPACITIES[sim__below(COUNT_OF(CAPACITIES))];
    list_push_back(&sim__world->net->sockets, &socket->in_net);
    return socket;
}

static int handle_for(struct sim_socket *socket)
{
    int number = sim__handle_new(SIM_SOCKET);
    sim__world->handles[number].socket = socket;
    return number;
}

static int64_t arrival(void)
{
    int64_t delay_ns_max = sim__world->faults.net_delay_ns_max;
    return sim__world->now_ns + 10000 + (delay_ns_max > 0 ? (int64_t)sim__below((uint64_t)delay_ns_max) : 0);
}

static void forget(struct sim_socket *socket)
{
    socket->size = 0;
    socket->chunk_count = 0;
}

static void reset(struct sim_socket *socket)
{
    socket->is_reset = true;
    forget(socket);
    if (!socket->peer)
        return;
    socket->peer->is_reset = true;
    forget(socket->peer);
    socket->peer->peer = NULL;
    socket->peer = NULL;
}

/* ---- listening and connecting */
static struct sim_socket *listener_at(uint16_t port)
{
    LIST_EACH (node, &sim__world->net->sockets) {
        struct sim_socket *socket = CONTAINER_OF(node, struct sim_socket, in_net);
        if (socket->is_listener && socket->port == port)
            return socket;
    }
    return NULL;
}

static void loopback(struct io_address *ret_address, uint16_t port)
{
    if (ret_address)
        *ret_address = (struct io_address){.host = "127.0.0.1", .port = port};
}

int io_listen(const char *host, uint16_t port, int backlog, struct io_address *ret_bound)
{
    sim__step("listen");
    while (port == 0 && listener_at(sim__world->net->next_port))
        sim__world->net->next_port++;
    if (port == 0)
        port = sim__world->net->next_port++;
    if (listener_at(port))
        return -EADDRINUSE;
    struct sim_socket *socket = socket_new();
    socket->is_listener = true;
    socket->port = port;
    socket->backlog = (int)min_i64(max_i64(backlog, 1), BACKLOG_MAX);
    socket->waiting = sim__alloc((size_t)socket->backlog * sizeof *socket->waiting);
    loopback(ret_bound, port);
    return handle_for(socket);
}

int io_connect(const char *host, uint16_t port)
{
    sim__step("connect");
    struct sim_socket *listener = listener_at(port), *socket = socket_new();
    socket->connected_ns = arrival();
    socket->port = sim__world->net->next_port++;
    if (sim__world->net->next_port < FIRST_FREE_PORT)
        sim__world->net->next_port = FIRST_FREE_PORT;
    socket->peer_port = port;
    socket->is_refused = !listener || listener->waiting_count >= listener->backlog;
    if (!socket->is_refused) {
        struct sim_socket *other = socket_new();
        other->connected_ns = socket->connected_ns;
        other->port = port;
        other->peer_port = socket->port;
        other->peer = socket;
        socket->peer = other;
        other->is_waiting = true;
        listener->waiting[listener->waiting_count++] = other;
    }
    return handle_for(socket);
}

static bool is_connecting(const struct sim_socket *socket)
{
    return socket->connected_ns > sim__world->now_ns;
}

int io_connect_result(int number)
{
    sim__step("connect result");
    struct sim_socket *socket = socket_of(number);
    if (is_connecting(socket))
        return 0; // as SO_ERROR: nothing went wrong yet
    return socket->is_refused ? -ECONNREFUSED : socket->is_reset ? -ECONNRESET : 0;
}

int io_accept(int number, struct io_address *ret_peer, struct io_address *ret_local)
{
    sim__step("accept");
    struct sim_socket *listener = socket_of(number);
    assert(listener->is_listener);
    if (listener->waiting_count == 0 || is_connecting(listener->waiting[0]))
        return -EAGAIN;
    struct sim_socket *socket = listener->waiting[0];
    socket->is_waiting = false;
    listener->waiting_count--;
    memmove(listener->waiting, listener->waiting + 1, (size_t)listener->waiting_count * sizeof listener->waiting[0]);
    loopback(ret_peer, socket->peer_port);
    loopback(ret_local, socket->port);
    return handle_for(socket);
}

/* ---- bytes */
static size_t arrived(const struct sim_socket *socket)
{
    size_t size = 0;
    for (int i = 0; i < socket->chunk_count && socket->chunks[i].arrives_ns <= sim__world->now_ns; i++)
        size += socket->chunks[i].size;
    return size;
}

static bool has_ended(const struct sim_socket *socket)
{
    return socket->peer_closed && socket->size == 0 && socket->closes_ns <= sim__world->now_ns;
}

static size_t portion(size_t size)
{
    return size > 1 && sim__one_in(sim__world->faults.net_partial) ? 1 + (size_t)sim__below(size) : size;
}

static void take(struct sim_socket *socket, size_t size)
{
    socket->size -= size;
    memmove(socket->bytes, socket->bytes + size, socket->size);
    while (size > 0) {
        size_t some = size < socket->chunks[0].size ? size : socket->chunks[0].size;
        socket->chunks[0].size -= some;
        size -= some;
        if (socket->chunks[0].size == 0) {
            socket->chunk_count--;
            memmove(socket->chunks, socket->chunks + 1, (size_t)socket->chunk_count * sizeof socket->chunks[0]);
        }
    }
}

int64_t io_recv(int number, void *ret_data, size_t size)
{
    sim__step("recv");
    struct sim_socket *socket = socket_of(number);
    if (sim__one_in(sim__world->faults.net_reset))
        reset(socket);
    if (socket->is_reset)
        return -ECONNRESET;
    if (socket->is_refused || is_connecting(socket))
        return socket->is_refused ? -ECONNREFUSED : -EAGAIN;
    size_t there = arrived(socket);
    if (there == 0)
        return has_ended(socket) ? 0 : -EAGAIN;
    size = portion(size < there ? size : there);
    memcpy(ret_data, socket->bytes, size);
    take(socket, size);
    return (int64_t)size;
}

static void deliver(struct sim_socket *to, const void *data, size_t size)
{
    to->bytes = sim__realloc(to->bytes, to->size + size); // many sockets, few bytes in each
    memcpy(to->bytes + to->size, data, size);
    to->size += size;
    int64_t at_ns = arrival();
    if (to->chunk_count > 0)
        at_ns = max_i64(at_ns, to->chunks[to->chunk_count - 1].arrives_ns);
    if (to->chunk_count == CHUNKS_MAX) {
        to->chunks[CHUNKS_MAX - 1].arrives_ns = at_ns;
        to->chunks[CHUNKS_MAX - 1].size += size;
    } else {
        to->chunks[to->chunk_count++] = (struct chunk){at_ns, size};
    }
}

/* Room for a send, or why not. */
static int64_t sendable(struct sim_socket *socket)
{
    if (sim__one_in(sim__world->faults.net_reset))
        reset(socket);
    if (socket->is_reset)
        return -ECONNRESET;
    if (socket->is_refused)
        return -ECONNREFUSED;
    if (is_connecting(socket))
        return -EAGAIN;
    if (!socket->peer)
        return -EPIPE;
    size_t room = socket->peer->capacity_max - socket->peer->size;
    return room == 0 ? -EAGAIN : (int64_t)room;
}

int64_t io_sendv(int number, const struct iovec *pieces, int count, bool more)
{
    sim__step("send");
    struct sim_socket *socket = socket_of(number);
    int64_t room = sendable(socket);
    if (room < 0)
        return room;
    size_t left = portion((size_t)room), done = 0;
    for (int i = 0; i < count && left > 0; i++) {
        size_t size = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        if (size > 0)
            deliver(socket->peer, pieces[i].iov_base, size);
        left -= size;
        done += size;
    }
    return (int64_t)done;
}

int64_t io_sendfile(int number, int file, int64_t position, size_t size)
{
    sim__step("sendfile");
    struct sim_socket *socket = socket_of(number);
    int64_t room = sendable(socket);
    if (room < 0)
        return room;
    size = portion(size < (size_t)room ? size : (size_t)room);
    uint8_t *bytes = sim__alloc(size);
    int64_t got = sim__file_read(sim__handle(file, SIM_FILE)->inode, false, bytes, size, position);
    if (got > 0)
        deliver(socket->peer, bytes, (size_t)got);
    sim__free(bytes);
    return got;
}

/* ---- the end of a socket */
static void drop(struct sim_socket *socket)
{
    if (socket->peer) {
        struct sim_socket *peer = socket->peer;
        peer->peer_closed = true;
        peer->closes_ns = arrival();
        peer->peer = NULL;
        if (socket->size > 0) { // closed with unread bytes: a reset, as TCP does
            peer->is_reset = true;
            forget(peer);
        }
    }
    for (int i = 0; i < socket->waiting_count; i++) {
        reset(socket->waiting[i]);
        socket_free(socket->waiting[i]);
    }
    socket_free(socket);
}

void sim__socket_close(int number)
{
    struct sim_socket *socket = socket_of(number);
    assert(!socket->is_waiting);
    drop(socket);
    sim__handle_release(number);
}

void io_socket_close(int number)
{
    if (number < 0)
        return;
    sim__step("socket close");
    sim__socket_close(number);
}

int io_socket_send_buffer(int number, int size_bytes)
{
    socket_of(number);
    return 0;
}

int io_socket_recv_buffer(int number, int size_bytes)
{
    socket_of(number);
    return 0;
}

/* ---- what holds now */
uint32_t sim__socket_events(int number)
{
    const struct sim_socket *socket = socket_of(number);
    if (socket->is_listener)
        return socket->waiting_count > 0 && !is_connecting(socket->waiting[0]) ? IO_READABLE : 0;
    if (is_connecting(socket))
        return 0;
    if (socket->is_reset || socket->is_refused)
        return IO_READABLE | IO_WRITABLE | IO_HANGUP;
    uint32_t events = arrived(socket) > 0 || has_ended(socket) ? IO_READABLE : 0;
    if (!socket->peer || socket->peer->size < socket->peer->capacity_max)
        events |= IO_WRITABLE;
    return events;
}

static int64_t later(int64_t at_ns, int64_t now_ns)
{
    return at_ns > now_ns ? at_ns : INT64_MAX;
}

int64_t sim__net_next_ns(const struct sim_world *world)
{
    int64_t next_ns = INT64_MAX;
    LIST_EACH (node, &world->net->sockets) {
        const struct sim_socket *socket = CONTAINER_OF(node, struct sim_socket, in_net);
        next_ns = min_i64(next_ns, later(socket->connected_ns, world->now_ns));
        if (socket->chunk_count > 0)
            next_ns = min_i64(next_ns, later(socket->chunks[0].arrives_ns, world->now_ns));
        if (socket->peer_closed)
            next_ns = min_i64(next_ns, later(socket->closes_ns, world->now_ns));
    }
    return next_ns;
}
