// SPDX-License-Identifier: Apache-2.0
/* broker/request.c - the life of a request: from the free list, header, body, reply, and back.
 *
 * A request keeps its arena's first block and its reply buffer when it is freed, so a warm reactor makes requests without
 * malloc. The header is read when the frame is cut (so that order and overlap can be decided), the body when the
 * request's turn comes. A body that does not decode closes the connection, as Kafka does: after it no length can be
 * believed. An unknown ApiVersions version is answered in version 0 with UNSUPPORTED_VERSION (KIP-511).
 *
 * An answer that is larger than REPLY_PIECE_BYTES never stands in memory whole: it is written piece by piece, the next one
 * when the one before has been sent. Its size comes first on the wire, so it is written twice, the first time only to count.
 */
#include "broker/broker__.h"
#include "wire/gen/api_versions.h"
#include "wire/gen/headers.h"

enum { ARENA_BLOCK_BYTES = 4096, REPLY_KEPT_BYTES = 64 << 10, REQUESTS_KEPT = 256 };
enum { REPLY_PIECE_BYTES = 32 << 10 }; // of a larger answer, or more by its last element

const char request__invalid_message[] =
    "This most likely occurs because of a request being malformed by the client library or the message was sent to an "
    "incompatible broker. See the broker logs for more details.";

void request__charge(struct request *request)
{
    size_t bytes = request->arena.used_bytes + request->reply.out.capacity + request->held_bytes;
    reactor_charge(request->home, (int64_t)bytes - (int64_t)request->charged_bytes);
    request->charged_bytes = bytes;
}

struct request *request_new(struct reactor *reactor)
{
    struct list *node = list_pop_front(&reactor->requests_free);
    struct request *request = node ? CONTAINER_OF(node, struct request, in_completed) : NULL;
    if (request) {
        reactor->requests_free_count--;
    } else {
        request = mem_zalloc(sizeof *request);
        arena_init(&request->arena, ARENA_BLOCK_BYTES, reactor->broker->options.request_arena_max);
        wire_writer_init(&request->reply.out, (size_t)INT32_MAX);
        list_init(&request->in_connection);
        list_init(&request->in_completed);
    }
    request->home = reactor;
    request->state = REQUEST_QUEUED;
    request->started_ns = 0;
    atomic_fetch_add_explicit(&reactor->requests_used_count, 1, memory_order_relaxed);
    return request;
}

static void reply_release(struct reply *reply)
{
    for (int i = 0; i < reply->piece_count; i++)
        log_slice_release(&reply->pieces[i].slice);
    reply->pieces = NULL;
    reply->piece_count = 0;
    reply->pieces_size_bytes = 0;
    reply->stream = NULL;
    meta_image_unref(reply->image);
    reply->image = NULL;
    reply->none = reply->close = false;
    wire_writer_reset(&reply->out, REPLY_KEPT_BYTES);
}

void request_free(struct request *request)
{
    struct reactor *reactor = request->home;
    assert(request->timer.index == 0);
    reactor_charge(reactor, -(int64_t)request->charged_bytes);
    request->charged_bytes = request->held_bytes = 0;
    reply_release(&request->reply);
    arena_reset(&request->arena);
    list_remove(&request->in_connection);
    list_remove(&request->in_completed);
    request->connection = request->block = NULL;
    request->local_call = NULL;
    request->body = request->work = NULL;
    request->throttle_ms = 0;
    request->throttle_is_known = false;
    request->handled_ns = request->handling_since_ns = 0;
    request->api = NULL;
    request->abandoned = request->refused = request->mutes = request->holds = false;
    atomic_fetch_sub_explicit(&reactor->requests_used_count, 1, memory_order_relaxed);
    if (reactor->requests_free_count >= REQUESTS_KEPT) {
        wire_writer_free(&request->reply.out);
        arena_free(&request->arena);
        mem_free(request);
        return;
    }
    list_push_front(&reactor->requests_free, &request->in_completed);
    reactor->requests_free_count++;
}

bool request_shed(struct request *request)
{
    assert(request->state == REQUEST_DONE);
    if (request->reply.stream || request->reply.piece_count > 0)
        return false;
    request->frame = NULL; // a small one is a copy in the arena
    request->body = request->work = NULL;
    arena_free(&request->arena);
    request__charge(request);
    return true;
}

bool request_begin(struct request *request)
{
    request__charge(request);
    struct wire_reader reader;
    wire_reader_init(&reader, request->frame, request->frame_size);
    request->api_key = wire_read_i16(&reader);
    request->api_version = wire_read_i16(&reader);
    request->correlation_id = wire_read_i32(&reader);
    if (wire_reader_failed(&reader)) {
        LOG(LOG_WARN, "net", "frame of %u bytes is too short for a request header", (unsigned)request->frame_size);
        return false;
    }
    request->api = request__row(request->api_key);
    if (!request->api || (request->listener->is_controller && !request->api->on_controller)) {
        LOG(LOG_WARN, "net", "request with API key %d, which is not served on listener %s", (int)request->api_key,
            request->listener->name);
        return false;
    }
    bool known = request->api_version >= request->api->version_min && request->api_version <= request->api->version_max;
    if (!known && request->api_key != API_API_VERSIONS) {
        LOG(LOG_WARN, "net", "request %s with version %d; %d to %d are served", wire_api_find(request->api_key)->name,
            (int)request->api_version, (int)request->api->version_min, (int)request->api->version_max);
        return false;
    }
    return true;
}

bool request_may_overlap(const struct request *request)
{
    return request->api->overlaps;
}

static bool version_is_served(const struct request *request)
{
    return request->api_version >= request->api->version_min && request->api_version <= request->api->version_max;
}

/* NULL when the body does not fit its layout. Bytes behind it are passed over, as Apache Kafka does: librdkafka's Metadata
 * request for all topics has three too many. */
static void *body_read(struct request *request, struct wire_reader *reader)
{
    const struct wire_message *layout = request->layouts->request;
    void *body = arena_zalloc(&request->arena, layout->size);
    if (!body)
        return NULL;
    layout->read(reader, request->api_version, &request->arena, body);
    return !wire_reader_failed(reader) && !request->arena.failed ? body : NULL;
}

void request_start(struct request *request)
{
    assert(request->state == REQUEST_QUEUED);
    request->state = REQUEST_RUNNING;
    request->started_ns = io_now_ns();
    request->layouts = wire_api_find(request->api_key);
    struct reactor *reactor = request->home;
    atomic_fetch_add_explicit(&reactor->counters[request->api_key].requests, 1, memory_order_relaxed);
    if (!version_is_served(request)) { // only ApiVersions comes here; its body is in a layout that we don't know
        request->body = NULL;
        request__handle(request, request->api->start);
        return;
    }
    struct wire_reader reader;
    wire_reader_init(&reader, request->frame, request->frame_size);
    struct request_header header;
    int16_t header_version = wire_request_header_version(request->api_key, request->api_version);
    request_header_read(&reader, header_version, &request->arena, &header);
    request->client_id = header.client_id;
    request->body = body_read(request, &reader);
    if (!request->body) {
        request_refuse(request, "its body does not fit the layout of its version");
        return;
    }
    request__charge(request);
    request__handle(request, request->api->start);
}

void request_refuse(struct request *request, const char *reason)
{
    LOG(LOG_WARN, "net", "request %s version %d from %s: %s; the connection is closed",
        wire_api_find(request->api_key)->name, (int)request->api_version,
        request->client ? request->client->host : "a client that left", reason);
    atomic_fetch_add_explicit(&request->home->counters[request->api_key].errors, 1, memory_order_relaxed);
    request->reply.close = true;
    request_complete(request);
}

void request_complete(struct request *request)
{
    assert(request->state == REQUEST_RUNNING);
    list_remove(&request->in_completed); // of those released, if net/ has not seen that yet
    request_wait_until_end(request);
    request->state = REQUEST_DONE;
    request__throttle_rest(request);
    request__charge(request);
    struct reactor *reactor = request->home;
    latency__record(reactor, request->api_key, io_now_ns() - request->started_ns);
    list_push_back(request->local_call ? &reactor->local_completed : &reactor->completed, &request->in_completed);
}

struct wire_writer *request_reply_begin(struct request *request)
{
    struct wire_writer *out = &request->reply.out;
    wire_write_i32(out, 0); // the size, known at the end
    struct response_header header;
    response_header_init(&header);
    header.correlation_id = request->correlation_id;
    response_header_write(out, wire_response_header_version(request->api_key, request->api_version), &header);
    return out;
}

void request_reply_end(struct request *request)
{
    struct wire_writer *out = &request->reply.out;
    uint64_t size = (uint64_t)out->size + request->reply.pieces_size_bytes;
    if (wire_writer_failed(out) || request->arena.failed || size > INT32_MAX) {
        request_refuse(request, "the reply cannot be encoded");
        return;
    }
    wire_writer_patch_i32(out, 0, (int32_t)(size - 4));
    request_complete(request);
}

/* A copy that tells it, in the arena; the same where the layout has no such field. NULL: no memory. */
static const void *with_throttle(struct request *request, const struct wire_message *layout, const void *response,
                                 int32_t throttle_ms)
{
    for (int i = 0; i < layout->layout->field_count; i++) {
        const struct wire_field *field = &layout->layout->fields[i];
        if (strcasecmp(field->name, "ThrottleTimeMs") != 0)
            continue;
        uint8_t *copy = arena_alloc(&request->arena, layout->size);
        if (!copy)
            return NULL;
        memcpy(copy, response, layout->size);
        memcpy(copy + field->offset, &throttle_ms, sizeof throttle_ms);
        return copy;
    }
    return response;
}

/* It is counted first, since its size comes first, and then written as its client reads. Until then nothing of it is held. */
static void reply_large(struct request *request, const void *response, wire_supply_fn *supply, void *context)
{
    const struct wire_message *layout = request->layouts->response;
    struct reply *reply = &request->reply;
    void *kept = arena_alloc(&request->arena, layout->size);
    struct wire_stream *stream = arena_alloc(&request->arena, sizeof *stream);
    if (!kept || !stream) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    memcpy(kept, response, layout->size);
    wire_writer_reset(&reply->out, 0);
    request_reply_begin(request);
    struct wire_writer counter;
    wire_writer_init_counting(&counter);
    wire_stream_begin(stream, layout, request->api_version, kept, supply, context);
    wire_stream_write(stream, &counter, SIZE_MAX);
    uint64_t size = (uint64_t)reply->out.size - 4 + counter.size;
    if (counter.failed || size > INT32_MAX || request->arena.failed) {
        request_refuse(request, "the reply cannot be encoded");
        return;
    }
    wire_writer_patch_i32(&reply->out, 0, (int32_t)size);
    wire_stream_begin(stream, layout, request->api_version, kept, supply, context);
    reply->stream = stream;
    reply->stream_size_bytes = counter.size;
    reply->image = meta_image_ref(request->home->image);
    request_complete(request);
}

bool request_reply_more(struct request *request)
{
    struct reply *reply = &request->reply;
    if (!reply->stream)
        return false;
    wire_writer_reset(&reply->out, REPLY_KEPT_BYTES);
    bool is_over = !wire_stream_write(reply->stream, &reply->out, REPLY_PIECE_BYTES);
    assert(!wire_writer_failed(&reply->out) && reply->out.size <= reply->stream_size_bytes);
    reply->stream_size_bytes -= reply->out.size;
    assert(is_over == (reply->stream_size_bytes == 0));
    if (is_over)
        reply->stream = NULL;
    request__charge(request);
    return true;
}

/* The answer begins, with the time that its client has to wait; NULL: refused. `response` may become a copy. */
static struct wire_writer *reply_begin(struct request *request, const struct wire_message *layout,
                                       const void **response)
{
    int32_t throttle_ms = request__throttle_ms(request);
    if (throttle_ms > 0)
        *response = with_throttle(request, layout, *response, throttle_ms);
    if (*response && !request->arena.failed)
        return request_reply_begin(request);
    request_refuse(request, "it needs more memory than one request may have");
    return NULL;
}

void request__reply_supplied(struct request *request, const void *response, wire_supply_fn *supply, void *context)
{
    const struct wire_message *layout = request->layouts->response;
    struct wire_writer *out = reply_begin(request, layout, &response);
    if (!out)
        return;
    size_t enough = request->local_call ? SIZE_MAX : REPLY_PIECE_BYTES;
    struct wire_stream stream;
    wire_stream_begin(&stream, layout, request->api_version, response, supply, context);
    if (wire_stream_write(&stream, out, enough) && !request->arena.failed)
        reply_large(request, response, supply, context);
    else
        request_reply_end(request);
}

/* Most answers are small: the codec writes them in one go, as far as the first piece goes. */
void request__reply(struct request *request, const void *response)
{
    const struct wire_message *layout = request->layouts->response;
    struct wire_writer *out = reply_begin(request, layout, &response);
    if (!out)
        return;
    size_t limit = out->limit;
    if (!request->local_call)
        out->limit = REPLY_PIECE_BYTES;
    layout->write(out, request->api_version, response);
    out->limit = limit;
    if (wire_writer_failed(out) && !request->local_call)
        reply_large(request, response, NULL, NULL);
    else
        request_reply_end(request);
}
