// SPDX-License-Identifier: Apache-2.0
/* broker/local.c - the one way in for requests that no socket brings: the console and the metrics.
 *
 *   caller's thread                      a reactor
 *   encode, MAIL_LOCAL  ------------->   the same row, authorisation, quotas and waits as for a frame from a socket
 *   sleep on its own loop                completed, at the end of the tick
 *   decode              <-------------   mail back, with the reply's bytes and its pieces of files
 *
 * The call lives in its caller, who waits until it comes back: it always does, as every request ends. At most
 * LOCAL_CALLS_MAX are under way; one more is refused at once. A reactor that has stopped sends calls back unanswered. Pieces
 * of files are read by the caller, so that a reactor is not held up by what a person looks at.
 */
#include "broker/broker__.h"
#include "wire/gen/headers.h"

/* Up to this version of Fetch the size before records is four bytes wide, so it can be set to 0 where they are not there. */
enum { FETCH_VERSION_FIXED = 11 };

static const struct io_address LOCAL_ADDRESS = {.host = "127.0.0.1"};

int16_t local_version(int16_t api_key, int16_t highest)
{
    const struct api_row *row = request__row(api_key);
    if (!row || highest < row->version_min)
        return -1;
    return highest < row->version_max ? highest : row->version_max;
}

static const struct broker_listener *client_listener(const struct broker *broker)
{
    for (int i = 0; i < broker->options.listener_count; i++)
        if (!broker->options.listeners[i].is_controller)
            return &broker->options.listeners[i];
    return NULL;
}

/* ---- on the reactor */
/* The caller may take the mail and go on before the send has returned; its loop must stay until then. */
static void send_back(struct local_call *call)
{
    io_loop_send(call->caller, &call->mail);
    atomic_store_explicit(&call->is_let_go, true, memory_order_release); // nothing of it is touched here any more
}

void local__start(struct reactor *reactor, struct local_call *call)
{
    struct request *request = request_new(reactor);
    request->local_call = call;
    request->frame = call->frame;
    request->frame_size = call->frame_size;
    request->listener = client_listener(reactor->broker);
    request->client = request->local = &LOCAL_ADDRESS;
    bool is_served = !reactor->stopping && request->listener && request_begin(request);
    if (is_served) {
        request_start(request);
        return;
    }
    request_free(request);
    send_back(call);
}

/* What the reply holds moves to the call; the request's arena ends with the request. */
static void take_reply(struct local_call *call, struct reply *reply)
{
    call->is_answered = !reply->close && !reply->none;
    struct wire_writer taken = reply->out;
    reply->out = call->reply;
    call->reply = taken;
    if (reply->piece_count == 0)
        return;
    call->pieces = mem_alloc((size_t)reply->piece_count * sizeof *call->pieces);
    memcpy(call->pieces, reply->pieces, (size_t)reply->piece_count * sizeof *call->pieces);
    call->piece_count = reply->piece_count;
    reply->piece_count = 0; // the slices are the call's now
}

void local__tick_end(struct reactor *reactor)
{
    for (struct list *node; (node = list_pop_front(&reactor->local_completed));) {
        struct request *request = CONTAINER_OF(node, struct request, in_completed);
        struct local_call *call = request->local_call;
        take_reply(call, &request->reply);
        request_free(request);
        send_back(call);
    }
}

void local__drop(struct io_mail *mail)
{
    send_back(CONTAINER_OF(mail, struct local_call, mail));
}

/* ---- on the caller's thread */
static bool encode(struct local_call *call, int16_t key, int16_t version, const void *body)
{
    struct request_header header;
    request_header_init(&header);
    header.request_api_key = key;
    header.request_api_version = version;
    header.client_id = slice_str(LOCAL_CLIENT_ID);
    struct wire_writer out;
    wire_writer_init(&out, LOCAL_FRAME_MAX_BYTES);
    request_header_write(&out, wire_request_header_version(key, version), &header);
    wire_api_find(key)->request->write(&out, version, body);
    if (wire_writer_failed(&out)) {
        wire_writer_free(&out);
        return false;
    }
    call->frame = out.data;
    call->frame_size = (uint32_t)out.size;
    return true;
}

static bool admit(struct broker *broker)
{
    if (atomic_fetch_add(&broker->local_calls, 1) < LOCAL_CALLS_MAX)
        return true;
    atomic_fetch_sub(&broker->local_calls, 1);
    return false;
}

static void await_let_go(struct local_call *call)
{
    enum { PAUSE_NS = 20000 };
    struct io_event none;
    while (!atomic_load_explicit(&call->is_let_go, memory_order_acquire))
        io_loop_wait(call->caller, &none, 1, io_now_ns() + PAUSE_NS);
}

static void send_and_wait(struct broker *broker, struct local_call *call)
{
    uint32_t turn = atomic_fetch_add(&broker->local_turn, 1) % (uint32_t)broker->options.reactor_count;
    call->mail.kind = MAIL_LOCAL;
    io_loop_send(broker->reactors[turn].loop, &call->mail);
    for (;;) {
        struct io_event none;
        io_loop_wait(call->caller, &none, 1, INT64_MAX);
        struct io_mail *chain = io_loop_mail(call->caller), *mail = io_mail_take(&chain);
        if (mail) {
            assert(mail == &call->mail && !chain);
            await_let_go(call);
            return;
        }
    }
}

static void *decode(struct local_call *call, int16_t key, int16_t version, struct arena *arena)
{
    assert(call->piece_count == 0 || (key == API_FETCH && version <= FETCH_VERSION_FIXED));
    for (int i = 0; i < call->piece_count; i++)
        wire_writer_patch_i32(&call->reply, call->pieces[i].at - sizeof(int32_t), 0);
    struct wire_reader reader;
    wire_reader_init(&reader, call->reply.data + 4, call->reply.size - 4);
    struct response_header header;
    response_header_read(&reader, wire_response_header_version(key, version), arena, &header);
    const struct wire_message *layout = wire_api_find(key)->response;
    void *response = arena_zalloc(arena, layout->size);
    if (!response)
        return NULL;
    layout->read(&reader, version, arena, response);
    return arena->failed ? NULL : response;
}

void *local_call(struct broker *broker, struct io_loop *caller, int16_t key, int16_t version, const void *body,
                 struct arena *arena, struct local_call *call)
{
    *call = (struct local_call){.caller = caller};
    wire_writer_init(&call->reply, (size_t)INT32_MAX);
    if (!broker_is_ready(broker) || !admit(broker)) // before and after, nobody takes mail
        return NULL;
    void *response = NULL;
    if (encode(call, key, version, body)) {
        send_and_wait(broker, call);
        if (call->is_answered)
            response = decode(call, key, version, arena);
    }
    atomic_fetch_sub(&broker->local_calls, 1);
    return response;
}

void local_call_free(struct local_call *call)
{
    for (int i = 0; i < call->piece_count; i++)
        log_slice_release(&call->pieces[i].slice);
    mem_free(call->pieces);
    mem_free(call->frame);
    wire_writer_free(&call->reply);
    *call = (struct local_call){0};
}
