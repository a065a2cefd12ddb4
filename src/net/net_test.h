// SPDX-License-Identifier: Apache-2.0
/* net/net_test.h - what the stories about connections share: real sockets, and the broker floor, played by this file.
 *
 * A frame here is an operation, an id and more bytes. The played broker answers `e` at once with size, id and as many
 * bytes, lets `w` and `p` wait until the test says go (`p` may overlap, as Produce), answers `f` with a piece of a file, `s` as `e` but part by part while it is sent, `n`
 * with nothing (acks=0), and closes on `x`; `m` is a `p` that mutes its connection, `h` one that holds it up until it is
 * released, `t` an `e` whose client has to wait for a quota. One thread is the client and ticks the reactor between its calls.
 */
#pragma once

#include "net/net__.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { FRAME_HEAD = 5, REQUEST_SIZE_MAX = 1 << 20, STARTED_MAX = 4096, FILE_BYTES = 300000 };
enum { THROTTLE_MS = 500, PART_BYTES = 1000 };
enum { STALLED_MAX_MS = 10000, REPLY_BYTES_MAX = 1 << 20 };
enum { IDLE_MAX_MS = 600000 }; // the reactor's clock stands still unless a test moves it

/* ---- the played broker */
struct broker {
    struct broker_options options;
    struct reactor reactor;
    uint16_t port;
    struct net *net;
    struct request *running[STARTED_MAX]; // `w` and `p` that wait
    int running_count, freed, made, shed, started_count;
    uint32_t started[STARTED_MAX]; // ids in order of starting
    int file;
    int64_t connection_throttle_ms; // of the next connections
    uint64_t settings_version;
    int64_t per_ip_max, rate_max, listener_max, listener_rate_max;
    const char *overrides;
};

static struct broker *played;

static inline uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put_be32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

struct request *request_new(struct reactor *reactor)
{
    struct request *request = mem_zalloc(sizeof *request);
    wire_writer_init(&request->reply.out, 1 << 24);
    list_init(&request->in_connection);
    list_init(&request->in_completed);
    request->home = reactor;
    played->made++;
    return request;
}

bool request_shed(struct request *request)
{
    assert_int_equal(request->state, REQUEST_DONE);
    request->frame = NULL;
    played->shed++;
    return true;
}

void request_free(struct request *request)
{
    reactor_charge(request->home, -(int64_t)request->charged_bytes);
    list_remove(&request->in_connection);
    list_remove(&request->in_completed);
    wire_writer_free(&request->reply.out);
    mem_free(request->reply.pieces);
    mem_free(request);
    played->freed++;
}

bool request_begin(struct request *request)
{
    return request->frame_size >= FRAME_HEAD && strchr("ewpmhtfsnx", request->frame[0]);
}

bool request_may_overlap(const struct request *request)
{
    return strchr("pmh", request->frame[0]);
}

static inline void complete(struct request *request)
{
    request->state = REQUEST_DONE;
    list_remove(&request->in_completed);
    list_push_back(&request->home->completed, &request->in_completed);
}

/* Of an answer to `s`; that there is more is all that net/ sees of a stream. */
static struct wire_stream any_stream;

bool request_reply_more(struct request *request)
{
    struct reply *reply = &request->reply;
    if (!reply->stream)
        return false;
    size_t part = reply->stream_size_bytes < PART_BYTES ? reply->stream_size_bytes : PART_BYTES;
    wire_writer_reset(&reply->out, SIZE_MAX);
    const uint8_t *end = request->frame + request->frame_size;
    wire_write_raw(&reply->out, end - reply->stream_size_bytes, part);
    reply->stream_size_bytes -= part;
    if (reply->stream_size_bytes == 0)
        reply->stream = NULL;
    return true;
}

static inline void answer(struct request *request)
{
    struct wire_writer *out = &request->reply.out;
    uint32_t more = request->frame[0] == 'f' ? FILE_BYTES : request->frame_size - FRAME_HEAD;
    wire_write_i32(out, (int32_t)(4 + more));
    wire_write_raw(out, request->frame + 1, 4);
    if (request->frame[0] == 'f') {
        request->reply.pieces = mem_zalloc(sizeof *request->reply.pieces);
        request->reply.pieces[0] =
            (struct reply_piece){.at = out->size, .slice = {.file = played->file, .size_bytes = FILE_BYTES}};
        request->reply.piece_count = 1;
        request->reply.pieces_size_bytes = FILE_BYTES;
    } else if (request->frame[0] == 's') {
        request->reply.stream = more > 0 ? &any_stream : NULL;
        request->reply.stream_size_bytes = more;
    } else {
        wire_write_raw(out, request->frame + FRAME_HEAD, more);
    }
    request->charged_bytes = request->reply.out.size;
    reactor_charge(request->home, (int64_t)request->charged_bytes);
    request->reply.none = request->frame[0] == 'n';
    request->reply.close = request->frame[0] == 'x';
    complete(request);
}

void request_start(struct request *request)
{
    request->state = REQUEST_RUNNING;
    assert_in_range(played->started_count, 0, STARTED_MAX - 1);
    played->started[played->started_count++] = be32(request->frame + 1);
    request->mutes = request->frame[0] == 'm';
    request->holds = request->frame[0] == 'h';
    request->throttle_ms = request->frame[0] == 't' ? THROTTLE_MS : 0;
    if (strchr("wpmh", request->frame[0]))
        played->running[played->running_count++] = request;
    else
        answer(request);
}

const struct broker_options *broker_options(const struct broker *broker)
{
    return &broker->options;
}

struct reactor *broker_reactor(struct broker *broker, int number)
{
    assert_int_equal(number, 0);
    return &broker->reactor;
}

void broker_listener_bound(struct broker *broker, int listener, uint16_t port)
{
    assert_int_equal(listener, 0);
    broker->port = port;
}

int64_t broker_connection_throttle(struct reactor *reactor, const char *host)
{
    assert_ptr_equal(reactor, &played->reactor);
    assert_string_equal(host, "127.0.0.1");
    return played->connection_throttle_ms;
}

uint64_t broker_settings_version(const struct reactor *reactor)
{
    assert_ptr_equal(reactor, &played->reactor);
    return played->settings_version;
}

int64_t broker_setting_i64(const struct reactor *reactor, const char *name)
{
    assert_ptr_equal(reactor, &played->reactor);
    if (strcmp(name, "max.connections") == 0)
        return INT32_MAX; // the descriptors allow fewer
    if (strcmp(name, "max.connections.per.ip") == 0)
        return played->per_ip_max;
    assert_string_equal(name, "max.connection.creation.rate");
    return played->rate_max;
}

int64_t broker_listener_setting_i64(const struct reactor *reactor, const char *listener, const char *name)
{
    assert_ptr_equal(reactor, &played->reactor);
    assert_string_equal(listener, "PLAYED");
    return strcmp(name, "max.connections") == 0 ? played->listener_max : played->listener_rate_max;
}

struct slice broker_setting_text(const struct reactor *reactor, const char *name)
{
    assert_ptr_equal(reactor, &played->reactor);
    assert_string_equal(name, "max.connections.per.ip.overrides");
    return slice_str(played->overrides);
}

/* ---- the reactor's tick, and clients */
static inline void tick(void)
{
    struct io_event events[16];
    struct reactor *reactor = &played->reactor;
    int count = io_loop_wait(reactor->loop, events, 16, 0);
    net_tick_begin(reactor);
    for (int i = 0; i < count; i++)
        net_event(reactor, &events[i]);
    struct io_mail *chain = io_loop_mail(reactor->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));)
        net_mail(reactor, mail);
    net_drain(reactor);
}

/* The reactor's clock moves on, and its timers see it. */
static inline void later(int64_t ms)
{
    tick();
    played->reactor.now_ms += ms;
    net_timers(&played->reactor);
}

static inline int64_t connections(void)
{
    return atomic_load(&played->reactor.connections);
}

static inline int connect_client(void)
{
    int64_t before = connections();
    int socket = io_connect("127.0.0.1", played->port);
    assert_true(socket >= 0);
    while (connections() == before)
        tick();
    return socket;
}

static inline void send_bytes(int socket, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        struct iovec piece = {(void *)(uintptr_t)bytes, size};
        int64_t sent = io_sendv(socket, &piece, 1, false);
        if (sent < 0)
            assert_int_equal(sent, -EAGAIN);
        bytes += sent > 0 ? sent : 0;
        size -= sent > 0 ? (size_t)sent : 0;
        tick();
    }
}

static inline void put_frame(struct buffer *out, char op, uint32_t id, size_t more)
{
    uint8_t head[4 + FRAME_HEAD] = {[4] = (uint8_t)op};
    put_be32(head, (uint32_t)(FRAME_HEAD + more));
    put_be32(head + 5, id);
    buffer_append(out, head, sizeof head);
    for (size_t i = 0; i < more; i++)
        buffer_append(out, &(uint8_t){(uint8_t)(id + i)}, 1);
}

static inline void send_frame(int socket, char op, uint32_t id, size_t more)
{
    struct buffer frame CLEANUP(buffer_free) = {0};
    put_frame(&frame, op, id, more);
    send_bytes(socket, frame.data, frame.size);
}

static inline void receive(int socket, uint8_t *ret_bytes, size_t size)
{
    while (size > 0) {
        int64_t got = io_recv(socket, ret_bytes, size);
        assert_true(got > 0 || got == -EAGAIN);
        ret_bytes += got > 0 ? got : 0;
        size -= got > 0 ? (size_t)got : 0;
        tick();
    }
}

static inline void expect_reply(int socket, uint32_t id, size_t more)
{
    uint8_t head[8], *body = mem_alloc(more + 1);
    receive(socket, head, sizeof head);
    assert_int_equal(be32(head), 4 + more);
    assert_int_equal(be32(head + 4), id);
    receive(socket, body, more);
    for (size_t i = 0; i < more; i++)
        assert_int_equal(body[i], (uint8_t)(id + i));
    mem_free(body);
}

static inline void expect_silence(int socket)
{
    uint8_t byte;
    for (int i = 0; i < 20; i++)
        tick();
    assert_int_equal(io_recv(socket, &byte, 1), -EAGAIN);
}

static inline void expect_end(int socket)
{
    uint8_t byte;
    int64_t got;
    do {
        tick();
        got = io_recv(socket, &byte, 1);
    } while (got == -EAGAIN);
    assert_true(got == 0 || got == -ECONNRESET);
    assert_int_equal(connections(), 0);
}

static inline void ticks_until_started(int count)
{
    while (played->started_count < count)
        tick();
}

static inline void let_go(int index)
{
    answer(played->running[index]);
    tick();
}

/* It went on, and mutes from now on or not. */
static inline void release(int index, bool mutes)
{
    played->running[index]->mutes = mutes;
    list_push_back(&played->reactor.released, &played->running[index]->in_completed);
    tick();
}

static inline int setup(void **state)
{
    played = mem_zalloc(sizeof *played);
    played->options = (struct broker_options){.listener_count = 1,
                                              .request_size_max = REQUEST_SIZE_MAX,
                                              .reactor_count = 1,
                                              .listeners = {{.name = "PLAYED", .host = "127.0.0.1"}}};
    played->per_ip_max = played->rate_max = played->listener_max = played->listener_rate_max = INT32_MAX;
    played->overrides = "";
    played->reactor.broker = played;
    played->reactor.loop = io_loop_create();
    list_init(&played->reactor.completed);
    list_init(&played->reactor.released);
    struct net_options options = {.send_buffer_bytes = -1,
                                  .receive_buffer_bytes = -1,
                                  .backlog = 50,
                                  .connections_max = 3,
                                  .request_bytes_max = INT64_MAX,
                                  .stalled_max_ms = STALLED_MAX_MS,
                                  .reply_bytes_max = REPLY_BYTES_MAX,
                                  .idle_max_ms = IDLE_MAX_MS};
    if (!status_is_ok(net_create(played, &options, &played->net)))
        return -1;
    net_reactor_start(played->net, &played->reactor);
    char path[] = "/tmp/ottla-net-XXXXXX";
    played->file = mkstemp(path);
    io_unlink(path);
    *state = played;
    return io_allocate(played->file, FILE_BYTES);
}

static inline int teardown(void **state)
{
    while (!net_reactor_stop(&played->reactor, true))
        tick();
    bool all_freed = played->made == played->freed;
    net_free(played->net);
    io_loop_destroy(played->reactor.loop);
    io_close(played->file);
    mem_free(played);
    return all_freed ? 0 : -1;
}

#define OVER_SOCKETS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
