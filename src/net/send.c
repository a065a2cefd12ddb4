// SPDX-License-Identifier: Apache-2.0
/* net/send.c - replies leave in request order: bytes of as many finished replies as possible in one call, pieces of files
 * by sendfile, MSG_MORE where a piece follows its header. A large answer is written as it leaves: when all that there is of
 * it has been sent, the broker floor makes the next part.
 *
 * The position is kept per connection as (segment, bytes of it sent) of the oldest request: segment 2i is the memory
 * before piece i, 2i+1 the piece, the last one the memory behind all pieces. What the kernel does not take now waits for
 * the socket to become writable.
 */
#include "net/net__.h"

enum { PIECES_PER_CALL = 64 };

static struct slice memory_segment(const struct request *request, int segment)
{
    const struct reply *reply = &request->reply;
    int piece = segment / 2;
    size_t from = piece == 0 ? 0 : reply->pieces[piece - 1].at;
    size_t to = piece == reply->piece_count ? reply->out.size : reply->pieces[piece].at;
    assert(from <= to && to <= reply->out.size);
    return slice_of(reply->out.data + from, to - from);
}

static bool has_reply(const struct request *request)
{
    return !request->reply.none && !request->reply.close;
}

static void oldest_done(struct connection *connection, struct request *request)
{
    list_remove(&request->in_connection);
    connection->request_count--;
    connection->muting_count -= request->mutes;
    if (request->throttle_ms > 0)
        net__mute(connection, request->throttle_ms);
    connection->request_bytes -= request->frame_size;
    connection->segment = 0;
    connection->segment_sent = 0;
    connection->unread_since_ms = INT64_MAX;
    net__block_unref(connection->reactor, request->block);
    request_free(request);
}

/* Oldest request, when it is finished; NULL otherwise. */
static struct request *oldest_finished(struct connection *connection)
{
    if (list_is_empty(&connection->requests))
        return NULL;
    struct request *request = CONTAINER_OF(connection->requests.next, struct request, in_connection);
    return request->state == REQUEST_DONE ? request : NULL;
}

struct gather {
    struct iovec pieces[PIECES_PER_CALL];
    int count;
    bool more_follows; // but not from memory that is there
};

/* Memory to be sent next, up to the first piece of a file. */
static void gather_memory(struct connection *connection, struct gather *gather)
{
    *gather = (struct gather){.count = 0};
    int segment = connection->segment;
    size_t sent = connection->segment_sent;
    LIST_EACH (node, &connection->requests) {
        struct request *request = CONTAINER_OF(node, struct request, in_connection);
        if (request->state != REQUEST_DONE || request->reply.close)
            return;
        for (; has_reply(request) && segment <= 2 * request->reply.piece_count; segment++, sent = 0) {
            if (segment % 2 == 1) {
                gather->more_follows = true;
                return;
            }
            struct slice memory = memory_segment(request, segment);
            if (memory.size > sent)
                gather->pieces[gather->count++] =
                    (struct iovec){(void *)(uintptr_t)(memory.data + sent), memory.size - sent};
            if (gather->count == PIECES_PER_CALL)
                return;
        }
        if (request->reply.stream) {
            gather->more_follows = true;
            return;
        }
        segment = 0;
        sent = 0;
    }
}

/* Moves the position over `size` bytes of memory segments, and over what is empty behind them. */
static void advance(struct connection *connection, size_t size)
{
    for (struct request *request; (request = oldest_finished(connection)) && !request->reply.close;) {
        if (!has_reply(request)) {
            oldest_done(connection, request);
            continue;
        }
        if (connection->segment > 2 * request->reply.piece_count) {
            if (request_reply_more(request))
                connection->segment = 0;
            else
                oldest_done(connection, request);
            continue;
        }
        if (connection->segment % 2 == 1)
            return;
        struct slice memory = memory_segment(request, connection->segment);
        size_t rest = memory.size - connection->segment_sent;
        if (rest > size) {
            connection->segment_sent += size;
            return;
        }
        size -= rest;
        connection->segment++;
        connection->segment_sent = 0;
    }
    assert(size == 0);
}

/* Bytes sent, -EAGAIN, or another negative errno. */
static int64_t send_file_piece(struct connection *connection, struct request *request)
{
    struct log_slice *slice = &request->reply.pieces[connection->segment / 2].slice;
    size_t rest = slice->size_bytes - connection->segment_sent;
    int64_t sent =
        io_sendfile(connection->socket, slice->file, slice->position + (int64_t)connection->segment_sent, rest);
    if (sent == 0)
        return -EIO; // the file is shorter than its log says
    if (sent < 0)
        return sent;
    connection->segment_sent += (size_t)sent;
    if (connection->segment_sent == slice->size_bytes) {
        connection->segment++;
        connection->segment_sent = 0;
    }
    return sent;
}

/* One call. 0: nothing left; > 0: went on; -EAGAIN; another negative errno: broken. */
static int64_t send_some(struct connection *connection)
{
    advance(connection, 0);
    struct request *request = oldest_finished(connection);
    if (!request)
        return 0;
    if (request->reply.close)
        return -ECONNABORTED;
    if (connection->segment % 2 == 1)
        return send_file_piece(connection, request);
    struct gather gather;
    gather_memory(connection, &gather);
    assert(gather.count > 0);
    int64_t sent = io_sendv(connection->socket, gather.pieces, gather.count, gather.more_follows);
    if (sent > 0)
        advance(connection, (size_t)sent);
    return sent;
}

/* Its client does not read now. Answers wait for it, and hold nothing beside themselves. */
static void unread_shed(struct connection *connection)
{
    LIST_EACH (node, &connection->requests) {
        struct request *request = CONTAINER_OF(node, struct request, in_connection);
        if (request->state != REQUEST_DONE || !request_shed(request))
            continue;
        net__block_unref(connection->reactor, request->block);
        request->block = NULL;
    }
}

bool net__send(struct connection *connection)
{
    for (;;) {
        int64_t sent = send_some(connection);
        if (sent > 0) {
            atomic_fetch_add_explicit(&connection->reactor->bytes_out, (uint64_t)sent, memory_order_relaxed);
            continue;
        }
        connection->wants_writable = sent == -EAGAIN;
        if (connection->wants_writable)
            unread_shed(connection);
        if (connection->wants_writable && connection->unread_since_ms == INT64_MAX)
            connection->unread_since_ms = connection->reactor->now_ms;
        return sent == 0 || sent == -EAGAIN;
    }
}
