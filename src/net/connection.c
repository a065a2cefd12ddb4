// SPDX-License-Identifier: Apache-2.0
/* net/connection.c - one client's connection: receive blocks, frames, and the order of its requests.
 *
 * A frame is cut where it was received; only the part of a frame that did not fit into a block any more is moved, once,
 * into the next block, which is then large enough for all of it. A request starts when every earlier one has finished;
 * requests of an API that overlaps (Produce) may start beside earlier ones of the same kind, unless one of those holds its
 * connection up: it is away, and what it wants is not queued yet. When the connection dies,
 * requests that run finish and their replies are dropped.
 *
 * Connections take turns. In its turn one starts requests of TURN_BYTES (what it sent and what was answered at once, which
 * is about the work that they are), at least one; then all others that have something to start come before it. A tick
 * starts TICK_BYTES in all; the rest waits for the next one, so that bytes and mail of others are seen in between.
 */
#include "net/net__.h"

enum { EVENT_BYTES = 512 << 10 }; // then what has come is worked on first, while it is in the caches
enum { FRAME_HEAD_BYTES = 4, RECEIVES_PER_EVENT = 8 };
enum { TURN_BYTES = 256 << 10, TICK_BYTES = 1 << 20 };
enum {
    FRAME_COPIED_BYTES = 1024
}; // frames up to this size move to their request, so that a waiting fetch holds no block

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
    net__memory_leave(connection);
    list_remove(&connection->in_flush);
    list_remove(&connection->in_reactor);
    heap_remove(&net__of(reactor)->muted, &connection->muted);
    atomic_fetch_sub(&reactor->connections, 1);
    net__admission_leave(connection->listener, connection->peer.host);
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
           connection->muting_count > 0 || is_muted(connection) ||
           (connection->request_count > 0 && net__is_grower(connection));
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
    request->listener = connection->listener->named;
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

static const char *size_refuse(struct connection *connection, uint32_t size)
{
    if (size > INT32_MAX)
        return "negative frame size";
    net__limit_reached(connection->reactor, NET_LIMIT_REQUEST_SIZE);
    return "frame larger than socket.request.max.bytes";
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
            return size_refuse(connection, size);
        if (block->end - block->parsed - FRAME_HEAD_BYTES < size) {
            *ret_need = FRAME_HEAD_BYTES + (size_t)size;
            return NULL;
        }
        uint8_t *frame = block->bytes + block->parsed + FRAME_HEAD_BYTES;
        block->parsed += FRAME_HEAD_BYTES + size;
        connection->frame_bytes = FRAME_HEAD_BYTES + (size_t)size;
        connection->frame_since_ms = INT64_MAX;
        const char *reason = frame_take(connection, frame, size);
        if (reason)
            return reason;
    }
    return NULL;
}

/* The plain case of net__block_make_room: more of the same frame. */
static bool goes_on(const struct block *block, size_t need)
{
    return block && block->end > block->parsed && block->end < block->capacity &&
           block->capacity - block->parsed >= need;
}

/* A frame that is being received has its block. */
static bool is_settled(const struct connection *connection)
{
    const struct block *block = connection->block;
    return block && connection->frame_since_ms != INT64_MAX && block->end - block->parsed >= SMALL_BLOCK_BYTES;
}

static bool reads(const struct connection *connection)
{
    return !at_limit(connection) && !connection->starved && !connection->peer_closed;
}

/* NULL when fine, else why the connection must close. */
static const char *receive(struct connection *connection)
{
    size_t need = 0, taken = 0;
    if (connection->block) {
        const char *reason = frames_cut(connection, &need); // left over from when it was at its limit
        if (reason)
            return reason;
    }
    for (int i = 0; i < RECEIVES_PER_EVENT && reads(connection); i++) {
        struct block *block = connection->block;
        if (!goes_on(block, need)) {
            if (!net__block_make_room(connection, need))
                break;
            block = connection->block;
        }
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
        taken += (size_t)received;
        if ((size_t)received < room || taken >= EVENT_BYTES)
            break;
    }
    if (!is_settled(connection))
        net__block_settle(connection, !at_limit(connection));
    return NULL;
}

/* Its client has so much to read still that nothing more is done for it. */
static bool is_unread(const struct connection *connection, size_t reply_bytes)
{
    const struct net_reactor *own = net__of(connection->reactor);
    return reply_bytes > 0 &&
           (reply_bytes >= own->net->options.reply_bytes_max || net__memory_is_short(connection->reactor));
}

bool net__tick_is_full(const struct net_reactor *own)
{
    return own->tick_bytes >= TICK_BYTES;
}

/* Why the next request is not started now. */
enum pause {
    PAUSE_NONE,     // there is none, or it waits for an earlier one
    PAUSE_UNREAD,   // its client does not read
    PAUSE_TURN_OVER // it is somebody else's turn
};

static enum pause requests_start(struct connection *connection)
{
    struct net_reactor *own = net__of(connection->reactor);
    int unfinished = 0;
    size_t reply_bytes = 0, turn_bytes = 0;
    bool all_overlap = true;
    if (is_muted(connection))
        return PAUSE_NONE;
    LIST_EACH_SAFE (node, &connection->requests) {
        struct request *request = CONTAINER_OF(node, struct request, in_connection);
        if (request->state == REQUEST_QUEUED) {
            if (unfinished > 0 && !(all_overlap && request_may_overlap(request)))
                return PAUSE_NONE;
            if (is_unread(connection, reply_bytes))
                return PAUSE_UNREAD;
            if (turn_bytes >= TURN_BYTES)
                return PAUSE_TURN_OVER;
            request_start(request);
            connection->muting_count += request->mutes;
            size_t answered = request->state == REQUEST_DONE ? request->reply.out.size : 0;
            turn_bytes += request->frame_size + answered;
            own->tick_bytes += request->frame_size + answered;
        }
        if (request->throttle_ms > 0 && !own->stopping)
            return PAUSE_NONE; // its answer leaves, then its client waits
        if (request->holds)
            return PAUSE_NONE; // what it wants comes before what later ones want
        if (request->state == REQUEST_RUNNING) {
            unfinished++;
            all_overlap &= request_may_overlap(request);
        } else {
            reply_bytes += request->reply.out.size;
        }
    }
    return PAUSE_NONE;
}

static void watch_update(struct connection *connection)
{
    bool wants_readable = reads(connection) && !net__of(connection->reactor)->stopping;
    uint32_t wanted =
        (wants_readable ? (uint32_t)IO_READABLE : 0u) | (connection->wants_writable ? (uint32_t)IO_WRITABLE : 0u);
    if (wanted == 0)
        wanted = IO_HANGUP; // only told of its end
    if (wanted == connection->watching)
        return;
    connection->watching = wanted;
    io_loop_watch(connection->reactor->loop, connection->socket, wanted, connection);
}

void net__connection_read_again(struct connection *connection)
{
    assert(connection->starved);
    connection->starved = false;
    if (connection->frame_since_ms != INT64_MAX)
        connection->frame_since_ms = connection->reactor->now_ms; // until now it waited for us
    watch_update(connection);
}

static bool oldest_is_queued(const struct connection *connection)
{
    return connection->request_count > 0 &&
           CONTAINER_OF(connection->requests.next, struct request, in_connection)->state == REQUEST_QUEUED;
}

/* What was held back starts when its client has read: now, or when there is room for more to be sent; and what is left of
 * its turn behind all others.
 */
static void held_go_on(struct connection *connection, enum pause pause)
{
    bool is_held = pause == PAUSE_UNREAD;
    if (is_held && connection->wants_writable && !connection->is_held)
        net__limit_reached(connection->reactor, NET_LIMIT_REPLIES);
    connection->is_held = is_held && connection->wants_writable;
    if (pause == PAUSE_TURN_OVER || (is_held && !connection->wants_writable && oldest_is_queued(connection)))
        list_push_back(&net__of(connection->reactor)->flush, &connection->in_flush);
}

void net__connection_advance(struct connection *connection)
{
    touch(connection);
    enum pause pause = requests_start(connection);
    bool was_at_limit = at_limit(connection) || connection->is_unmuted;
    connection->is_unmuted = false;
    if (!net__send(connection)) {
        net__connection_close(connection, NULL);
        return;
    }
    if (connection->request_count == 0 && connection->frame_since_ms == INT64_MAX)
        net__grower_ends(connection);
    if (was_at_limit && connection->block && reads(connection) && !net__of(connection->reactor)->stopping) {
        const char *reason = receive(connection);
        if (reason) {
            net__connection_close(connection, *reason ? reason : NULL);
            return;
        }
        if (pause != PAUSE_TURN_OVER)
            pause = requests_start(connection);
    }
    if (connection->peer_closed && connection->request_count == 0) {
        net__connection_close(connection, NULL);
        return;
    }
    held_go_on(connection, pause);
    watch_update(connection);
}

void net__connection_event(struct connection *connection, uint32_t events)
{
    bool may_read = !connection->peer_closed && !net__of(connection->reactor)->stopping;
    if ((events & IO_READABLE) && may_read) {
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
    if (!list_is_empty(&own->flush))
        return reactor->now_ms; // the last tick was full
    int64_t limit_ms = min_i64(connection ? idle_deadline_ms(connection) : INT64_MAX,
                               own->accept_waits ? own->accept_at_ms : INT64_MAX);
    return min_i64(min_i64(quota_ms, limit_ms), net__memory_deadline_ms(reactor));
}

void net_timers(struct reactor *reactor)
{
    const struct net_reactor *own = net__of(reactor);
    if (own->accept_waits && own->accept_at_ms <= reactor->now_ms)
        net__accept_again(reactor);
    if (net__somebody_waits(own))
        net__throttle_end(reactor, reactor->now_ms);
    if (own->starved_count > 0 || own->stalled_look_ms <= reactor->now_ms)
        net__memory_timers(reactor);
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
