// SPDX-License-Identifier: Apache-2.0
/* net/connection.c - one client's connection: receive blocks, frames, and the order of its requests.
 *
 * A frame is cut where it was received; only the part of a frame that did not fit into a block any more is moved, once,
 * into the next block, which is then large enough for all of it. A request starts when every earlier one has finished;
 * requests of an API that overlaps (Produce) may start beside earlier ones of the same kind. When the connection dies,
 * requests that run finish and their replies are dropped.
 */
#include "net/net__.h"

enum { FRAME_HEAD_BYTES = 4, RECEIVES_PER_EVENT = 8 };
enum {
    FRAME_COPIED_BYTES = 1024
}; // frames up to this size move to their request, so that a waiting fetch holds no block

struct block *net__block_get(struct reactor *reactor, size_t capacity)
{
    struct net_reactor *own = net__of(reactor);
    struct block *block = own->blocks_free;
    if (capacity <= RECEIVE_BLOCK_BYTES && block) {
        own->blocks_free = block->next;
        own->blocks_free_count--;
    } else {
        if (capacity < RECEIVE_BLOCK_BYTES)
            capacity = RECEIVE_BLOCK_BYTES;
        block = mem_alloc(sizeof *block + capacity);
        block->capacity = capacity;
    }
    block->next = NULL;
    block->references = 1;
    block->parsed = block->end = 0;
    return block;
}

void net__block_unref(struct reactor *reactor, struct block *block)
{
    if (!block)
        return;
    assert(block->references > 0);
    if (--block->references > 0)
        return;
    struct net_reactor *own = net__of(reactor);
    if (block->capacity != RECEIVE_BLOCK_BYTES || own->blocks_free_count >= RECEIVE_BLOCKS_KEPT) {
        mem_free(block);
        return;
    }
    block->next = own->blocks_free;
    own->blocks_free = block;
    own->blocks_free_count++;
}

/* The connection was active just now: behind all others of its reactor. */
static void touch(struct connection *connection)
{
    connection->active_ms = connection->reactor->now_ms;
    list_remove(&connection->in_reactor);
    list_push_back(&net__of(connection->reactor)->connections, &connection->in_reactor);
}

void net__connection_start(struct connection *connection)
{
    struct net_reactor *own = net__of(connection->reactor);
    touch(connection);
    if (own->stopping) {
        net__connection_close(connection, NULL);
        return;
    }
    connection->watching = IO_READABLE;
    io_loop_watch(connection->reactor->loop, connection->socket, IO_READABLE, connection);
}

/* Requests go one of three ways: not started, they are freed; running, they finish unheard; finished, they are freed here
 * or, if still in the outbox, by net_drain. */
static void requests_drop(struct connection *connection)
{
    for (struct list *node; (node = list_pop_front(&connection->requests));) {
        struct request *request = CONTAINER_OF(node, struct request, in_connection);
        bool in_outbox = request->state == REQUEST_DONE && !list_is_empty(&request->in_completed);
        if (request->state == REQUEST_RUNNING || in_outbox) {
            request->abandoned = true;
            request->connection = NULL;
            request->client = request->local = NULL;
            continue;
        }
        net__block_unref(connection->reactor, request->block);
        request_free(request);
    }
}

void net__connection_close(struct connection *connection, const char *reason)
{
    struct reactor *reactor = connection->reactor;
    if (reason)
        LOG(LOG_INFO, "net", "closed the connection from %s:%d: %s", connection->peer.host, (int)connection->peer.port,
            reason);
    requests_drop(connection);
    net__block_unref(reactor, connection->block);
    io_loop_watch(reactor->loop, connection->socket, 0, NULL);
    io_socket_close(connection->socket);
    list_remove(&connection->in_flush);
    list_remove(&connection->in_reactor);
    heap_remove(&net__of(reactor)->muted, &connection->muted);
    atomic_fetch_sub(&reactor->connections, 1);
    net__admission_leave(net__of(reactor)->net, connection->peer.host);
    mem_free(connection);
}

static uint32_t frame_head(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* By a quota. A stop waits for none: then nothing is muted. */
static bool is_muted(const struct connection *connection)
{
    return connection->muted.index != 0;
}

static bool at_limit(const struct connection *connection)
{
    return connection->request_count >= CONNECTION_REQUESTS_MAX || connection->request_bytes >= CONNECTION_BYTES_MAX ||
           connection->muting_count > 0 || is_muted(connection);
}

/* NULL when fine, else why the connection must close. */
static const char *frame_take(struct connection *connection, uint8_t *frame, uint32_t size)
{
    struct request *request = request_new(connection->reactor);
    request->connection = connection;
    request->frame = size <= FRAME_COPIED_BYTES ? arena_alloc(&request->arena, size) : NULL;
    if (request->frame) {
        memcpy(request->frame, frame, size);
    } else {
        request->frame = frame;
        request->block = connection->block;
        connection->block->references++;
    }
    request->frame_size = size;
    request->listener = connection->named;
    request->client = &connection->peer;
    request->local = &connection->local;
    if (!request_begin(request)) {
        net__block_unref(connection->reactor, request->block);
        request_free(request);
        return "its request has no valid header";
    }
    list_push_back(&connection->requests, &request->in_connection);
    connection->request_count++;
    connection->request_bytes += size;
    return NULL;
}

/* Cuts whole frames. Sets *ret_need to the size of the frame that is still incomplete (0: unknown or none). */
static const char *frames_cut(struct connection *connection, size_t *ret_need)
{
    struct block *block = connection->block;
    size_t size_max = (size_t)broker_options(connection->reactor->broker)->request_size_max;
    *ret_need = 0;
    while (block->end - block->parsed >= FRAME_HEAD_BYTES && !at_limit(connection)) {
        uint32_t size = frame_head(block->bytes + block->parsed);
        if (size > size_max)
            return size > INT32_MAX ? "negative frame size" : "frame larger than socket.request.max.bytes";
        if (block->end - block->parsed - FRAME_HEAD_BYTES < size) {
            *ret_need = FRAME_HEAD_BYTES + (size_t)size;
            return NULL;
        }
        uint8_t *frame = block->bytes + block->parsed + FRAME_HEAD_BYTES;
        block->parsed += FRAME_HEAD_BYTES + size;
        const char *reason = frame_take(connection, frame, size);
        if (reason)
            return reason;
    }
    return NULL;
}

/* Makes room to receive into: `need` bytes from the start of the incomplete frame on. */
static void block_make_room(struct connection *connection, size_t need)
{
    struct block *old = connection->block;
    if (!old) {
        connection->block = net__block_get(connection->reactor, RECEIVE_BLOCK_BYTES);
        return;
    }
    size_t rest = old->end - old->parsed;
    if (old->references == 1 && rest == 0)
        old->parsed = old->end = 0;
    if (old->end < old->capacity && old->capacity - old->parsed >= need)
        return;
    struct block *fresh = net__block_get(connection->reactor, need);
    assert(rest <= fresh->capacity);
    memcpy(fresh->bytes, old->bytes + old->parsed, rest);
    fresh->end = rest;
    net__block_unref(connection->reactor, old);
    connection->block = fresh;
}

static void block_give_back_if_idle(struct connection *connection)
{
    struct block *block = connection->block;
    if (block && block->parsed == block->end) {
        net__block_unref(connection->reactor, block);
        connection->block = NULL;
    }
}

/* NULL when fine, else why the connection must close. */
static const char *receive(struct connection *connection)
{
    size_t need = 0;
    if (connection->block) {
        const char *reason = frames_cut(connection, &need); // left over from when it was at its limit
        if (reason)
            return reason;
    }
    for (int i = 0; i < RECEIVES_PER_EVENT && !at_limit(connection) && !connection->peer_closed; i++) {
        block_make_room(connection, need);
        struct block *block = connection->block;
        size_t room = block->capacity - block->end;
        int64_t received = io_recv(connection->socket, block->bytes + block->end, room);
        if (received == -EAGAIN)
            break;
        if (received == 0) {
            connection->peer_closed = true; // what it sent before is still done and answered
            break;
        }
        if (received < 0)
            return received != -ECONNRESET ? strerror((int)-received) : "";
        block->end += (size_t)received;
        atomic_fetch_add_explicit(&connection->reactor->bytes_in, (uint64_t)received, memory_order_relaxed);
        const char *reason = frames_cut(connection, &need);
        if (reason)
            return reason;
        if ((size_t)received < room)
            break;
    }
    block_give_back_if_idle(connection);
    return NULL;
}

static void requests_start(struct connection *connection)
{
    int unfinished = 0;
    bool all_overlap = true;
    if (is_muted(connection))
        return;
    LIST_EACH_SAFE (node, &connection->requests) {
        struct request *request = CONTAINER_OF(node, struct request, in_connection);
        if (request->state == REQUEST_QUEUED) {
            if (unfinished > 0 && !(all_overlap && request_may_overlap(request)))
                return;
            request_start(request);
            connection->muting_count += request->mutes;
        }
        if (request->throttle_ms > 0 && !net__of(connection->reactor)->stopping)
            return; // its answer leaves, then its client waits
        if (request->state == REQUEST_RUNNING) {
            unfinished++;
            all_overlap &= request_may_overlap(request);
        }
    }
}

static void watch_update(struct connection *connection)
{
    bool reads = !at_limit(connection) && !connection->peer_closed && !net__of(connection->reactor)->stopping;
    uint32_t wanted = (reads ? (uint32_t)IO_READABLE : 0u) | (connection->wants_writable ? (uint32_t)IO_WRITABLE : 0u);
    if (wanted == 0)
        wanted = IO_HANGUP; // only told of its end
    if (wanted == connection->watching)
        return;
    connection->watching = wanted;
    io_loop_watch(connection->reactor->loop, connection->socket, wanted, connection);
}

void net__connection_advance(struct connection *connection)
{
    touch(connection);
    requests_start(connection);
    bool was_at_limit = at_limit(connection) || connection->is_unmuted;
    connection->is_unmuted = false;
    if (!net__send(connection)) {
        net__connection_close(connection, NULL);
        return;
    }
    if (was_at_limit && !at_limit(connection) && connection->block && !net__of(connection->reactor)->stopping) {
        const char *reason = receive(connection);
        if (reason) {
            net__connection_close(connection, *reason ? reason : NULL);
            return;
        }
        requests_start(connection);
    }
    if (connection->peer_closed && connection->request_count == 0) {
        net__connection_close(connection, NULL);
        return;
    }
    watch_update(connection);
}

void net__connection_event(struct connection *connection, uint32_t events)
{
    bool reads = !connection->peer_closed && !net__of(connection->reactor)->stopping;
    if ((events & IO_READABLE) && reads) {
        const char *reason = receive(connection);
        if (reason) {
            net__connection_close(connection, *reason ? reason : NULL);
            return;
        }
    } else if (events & IO_HANGUP) {
        net__connection_close(connection, NULL);
        return;
    }
    if (list_is_empty(&connection->in_flush))
        list_push_back(&net__of(connection->reactor)->flush, &connection->in_flush);
}

/* ---- idle ones */
static int64_t idle_deadline_ms(const struct connection *connection)
{
    int64_t idle_max_ms = net__of(connection->reactor)->net->options.idle_max_ms;
    return idle_max_ms < 0 || connection->active_ms > INT64_MAX - idle_max_ms ? INT64_MAX
                                                                              : connection->active_ms + idle_max_ms;
}

static struct connection *longest_inactive(const struct reactor *reactor)
{
    const struct list *connections = &net__of(reactor)->connections;
    return list_is_empty(connections) ? NULL : CONTAINER_OF(connections->next, struct connection, in_reactor);
}

/* The client waits for us, not we for it. */
static bool is_owed_an_answer(const struct connection *connection)
{
    const struct list *oldest = connection->requests.next;
    return connection->request_count > 0 && CONTAINER_OF(oldest, struct request, in_connection)->state != REQUEST_DONE;
}

static void close_idle(struct connection *connection)
{
    net__limit_reached(connection->reactor, NET_LIMIT_IDLE);
    net__connection_close(connection, "idle for longer than connections.max.idle.ms");
}

int64_t net_next_deadline_ms(const struct reactor *reactor)
{
    const struct connection *connection = longest_inactive(reactor);
    const struct net_reactor *own = net__of(reactor);
    int64_t quota_ms = net__somebody_waits(own) ? net__throttle_next_ms(reactor) : INT64_MAX;
    int64_t limit_ms = min_i64(connection ? idle_deadline_ms(connection) : INT64_MAX,
                               own->accept_waits ? own->accept_at_ms : INT64_MAX);
    return min_i64(quota_ms, limit_ms);
}

void net_timers(struct reactor *reactor)
{
    const struct net_reactor *own = net__of(reactor);
    if (own->accept_waits && own->accept_at_ms <= reactor->now_ms)
        net__accept_again(reactor);
    if (net__somebody_waits(own))
        net__throttle_end(reactor, reactor->now_ms);
    for (uint64_t left = atomic_load(&reactor->connections); left > 0; left--) { // each at most once
        struct connection *connection = longest_inactive(reactor);
        if (!connection || idle_deadline_ms(connection) > reactor->now_ms)
            return;
        if (is_owed_an_answer(connection))
            touch(connection);
        else
            close_idle(connection);
    }
}
