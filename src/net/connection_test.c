// SPDX-License-Identifier: Apache-2.0
/* net/connection_test.c - frames in, replies out, over real sockets; the broker floor is played by this file.
 *
 * A frame here is an operation, an id and more bytes. The played broker answers `e` at once with size, id and as many
 * bytes, lets `w` and `p` wait until the test says go (`p` may overlap, as Produce), answers `f` with a piece of a file, `n`
 * with nothing (acks=0), and closes on `x`; `m` is a `p` that mutes its connection, `h` one that holds it up until it is released, `t` an `e` whose client has to wait for a
 * quota. One thread is the client and ticks the reactor between its calls.
 */
#include "net/net__.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { FRAME_HEAD = 5, REQUEST_SIZE_MAX = 1 << 20, STARTED_MAX = 4096, FILE_BYTES = 300000 };
enum { THROTTLE_MS = 500 };
enum { STALLED_MAX_MS = 10000, REPLY_BYTES_MAX = 1 << 20 };
enum { IDLE_MAX_MS = 600000 }; // the reactor's clock stands still unless a test moves it

/* ---- the played broker */
struct broker {
    struct broker_options options;
    struct reactor reactor;
    uint16_t port;
    struct net *net;
    struct request *running[STARTED_MAX]; // `w` and `p` that wait
    int running_count, freed, made, started_count;
    uint32_t started[STARTED_MAX]; // ids in order of starting
    int file;
    int64_t connection_throttle_ms; // of the next connections
    uint64_t settings_version;
    int64_t per_ip_max, rate_max;
    const char *overrides;
};

static struct broker *played;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(uint8_t *p, uint32_t value)
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

void request_free(struct request *request)
{
    list_remove(&request->in_connection);
    list_remove(&request->in_completed);
    wire_writer_free(&request->reply.out);
    mem_free(request->reply.pieces);
    mem_free(request);
    played->freed++;
}

bool request_begin(struct request *request)
{
    return request->frame_size >= FRAME_HEAD && strchr("ewpmhtfnx", request->frame[0]);
}

bool request_may_overlap(const struct request *request)
{
    return strchr("pmh", request->frame[0]);
}

static void complete(struct request *request)
{
    request->state = REQUEST_DONE;
    list_remove(&request->in_completed);
    list_push_back(&request->home->completed, &request->in_completed);
}

static void answer(struct request *request)
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
    } else {
        wire_write_raw(out, request->frame + FRAME_HEAD, more);
    }
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

struct slice broker_setting_text(const struct reactor *reactor, const char *name)
{
    assert_ptr_equal(reactor, &played->reactor);
    assert_string_equal(name, "max.connections.per.ip.overrides");
    return slice_str(played->overrides);
}

/* ---- the reactor's tick, and clients */
static void tick(void)
{
    struct io_event events[16];
    struct reactor *reactor = &played->reactor;
    int count = io_loop_wait(reactor->loop, events, 16, 0);
    for (int i = 0; i < count; i++)
        net_event(reactor, &events[i]);
    struct io_mail *chain = io_loop_mail(reactor->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));)
        net_mail(reactor, mail);
    net_drain(reactor);
}

/* The reactor's clock moves on, and its timers see it. */
static void later(int64_t ms)
{
    tick();
    played->reactor.now_ms += ms;
    net_timers(&played->reactor);
}

static int64_t connections(void)
{
    return atomic_load(&played->reactor.connections);
}

static int connect_client(void)
{
    int64_t before = connections();
    int socket = io_connect("127.0.0.1", played->port);
    assert_true(socket >= 0);
    while (connections() == before)
        tick();
    return socket;
}

static void send_bytes(int socket, const uint8_t *bytes, size_t size)
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

static void put_frame(struct buffer *out, char op, uint32_t id, size_t more)
{
    uint8_t head[4 + FRAME_HEAD] = {[4] = (uint8_t)op};
    put_be32(head, (uint32_t)(FRAME_HEAD + more));
    put_be32(head + 5, id);
    buffer_append(out, head, sizeof head);
    for (size_t i = 0; i < more; i++)
        buffer_append(out, &(uint8_t){(uint8_t)(id + i)}, 1);
}

static void send_frame(int socket, char op, uint32_t id, size_t more)
{
    struct buffer frame CLEANUP(buffer_free) = {0};
    put_frame(&frame, op, id, more);
    send_bytes(socket, frame.data, frame.size);
}

static void receive(int socket, uint8_t *ret_bytes, size_t size)
{
    while (size > 0) {
        int64_t got = io_recv(socket, ret_bytes, size);
        assert_true(got > 0 || got == -EAGAIN);
        ret_bytes += got > 0 ? got : 0;
        size -= got > 0 ? (size_t)got : 0;
        tick();
    }
}

static void expect_reply(int socket, uint32_t id, size_t more)
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

static void expect_silence(int socket)
{
    uint8_t byte;
    for (int i = 0; i < 20; i++)
        tick();
    assert_int_equal(io_recv(socket, &byte, 1), -EAGAIN);
}

static void expect_end(int socket)
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

static void ticks_until_started(int count)
{
    while (played->started_count < count)
        tick();
}

static void let_go(int index)
{
    answer(played->running[index]);
    tick();
}

/* It went on, and mutes from now on or not. */
static void release(int index, bool mutes)
{
    played->running[index]->mutes = mutes;
    list_push_back(&played->reactor.released, &played->running[index]->in_completed);
    tick();
}

static int setup(void **state)
{
    played = mem_zalloc(sizeof *played);
    played->options = (struct broker_options){.listener_count = 1,
                                              .request_size_max = REQUEST_SIZE_MAX,
                                              .reactor_count = 1,
                                              .listeners = {{.host = "127.0.0.1"}}};
    played->per_ip_max = played->rate_max = INT32_MAX;
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

static int teardown(void **state)
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

/* ---- framing */
static void a_frame_may_come_byte_by_byte(void **state)
{
    struct buffer frame CLEANUP(buffer_free) = {0};
    int client = connect_client();
    put_frame(&frame, 'e', 7, 20);
    for (size_t i = 0; i < frame.size; i++)
        send_bytes(client, frame.data + i, 1);
    expect_reply(client, 7, 20);
    io_socket_close(client);
}

static void many_frames_may_come_at_once(void **state)
{
    struct buffer frames CLEANUP(buffer_free) = {0};
    int client = connect_client();
    for (uint32_t i = 0; i < 100; i++)
        put_frame(&frames, 'e', i, i);
    send_bytes(client, frames.data, frames.size);
    for (uint32_t i = 0; i < 100; i++)
        expect_reply(client, i, i);
    io_socket_close(client);
}

static void a_frame_may_be_larger_than_a_block(void **state)
{
    int client = connect_client();
    send_frame(client, 'e', 1, 3);
    send_frame(client, 'e', 2, REQUEST_SIZE_MAX - FRAME_HEAD);
    send_frame(client, 'e', 3, RECEIVE_BLOCK_BYTES - 20);
    send_frame(client, 'e', 4, 5);
    expect_reply(client, 1, 3);
    expect_reply(client, 2, REQUEST_SIZE_MAX - FRAME_HEAD);
    expect_reply(client, 3, RECEIVE_BLOCK_BYTES - 20);
    expect_reply(client, 4, 5);
    io_socket_close(client);
}

static void a_lying_size_closes_the_connection(void **state)
{
    static const uint32_t SIZES[] = {REQUEST_SIZE_MAX + 1, 0x7fffffff, 0x80000000, 0xffffffff, 0, 4};
    for (size_t i = 0; i < COUNT_OF(SIZES); i++) {
        uint8_t bytes[8] = {0};
        int client = connect_client();
        put_be32(bytes, SIZES[i]);
        send_bytes(client, bytes, sizeof bytes);
        expect_end(client);
        io_socket_close(client);
    }
}

static void an_unknown_header_closes_the_connection_after_earlier_replies(void **state)
{
    int client = connect_client();
    send_frame(client, 'e', 1, 10);
    expect_reply(client, 1, 10);
    send_frame(client, 'Z', 2, 10);
    expect_end(client);
    io_socket_close(client);
}

/* ---- order */
static void replies_leave_in_the_order_of_requests(void **state)
{
    int client = connect_client();
    for (uint32_t i = 0; i < 4; i++)
        send_frame(client, 'p', i, i);
    ticks_until_started(4); // they overlap
    let_go(3);
    let_go(1);
    expect_silence(client);
    let_go(0);
    expect_reply(client, 0, 0);
    expect_reply(client, 1, 1);
    expect_silence(client);
    let_go(2);
    expect_reply(client, 2, 2);
    expect_reply(client, 3, 3);
    io_socket_close(client);
}

static void what_does_not_overlap_waits_for_all_before_it(void **state)
{
    int client = connect_client();
    send_frame(client, 'p', 1, 0);
    send_frame(client, 'w', 2, 0);
    send_frame(client, 'p', 3, 0);
    ticks_until_started(1);
    expect_silence(client);
    assert_int_equal(played->started_count, 1);
    let_go(0);
    expect_reply(client, 1, 0);
    assert_int_equal(played->started_count, 2); // and the third waits for the second
    let_go(1);
    expect_reply(client, 2, 0);
    ticks_until_started(3);
    let_go(2);
    expect_reply(client, 3, 0);
    io_socket_close(client);
}

static void what_holds_lets_later_ones_start_when_it_is_released_and_others_at_any_time(void **state)
{
    int client = connect_client(), other = connect_client();
    send_frame(client, 'h', 1, 0);
    send_frame(client, 'p', 2, 0);
    ticks_until_started(1);
    expect_silence(client);
    assert_int_equal(played->started_count, 1);
    send_frame(other, 'e', 3, 10);
    expect_reply(other, 3, 10);
    release(0, false);
    assert_int_equal(played->started_count, 3);
    let_go(1);
    expect_silence(client);
    let_go(0);
    expect_reply(client, 1, 0);
    expect_reply(client, 2, 0);
    io_socket_close(client);
    io_socket_close(other);
}

static void what_holds_and_ends_at_once_holds_no_longer(void **state)
{
    int client = connect_client();
    send_frame(client, 'h', 1, 0);
    send_frame(client, 'p', 2, 0);
    ticks_until_started(1);
    list_push_back(&played->reactor.released, &played->running[0]->in_completed);
    let_go(0);
    expect_reply(client, 1, 0);
    ticks_until_started(2);
    let_go(1);
    expect_reply(client, 2, 0);
    io_socket_close(client);
}

static void what_mutes_only_once_it_is_released_mutes_until_it_is_answered(void **state)
{
    int client = connect_client();
    send_frame(client, 'h', 1, 0);
    ticks_until_started(1);
    release(0, true);
    send_frame(client, 'p', 2, 0);
    expect_silence(client);
    assert_int_equal(played->started_count, 1);
    let_go(0);
    expect_reply(client, 1, 0);
    ticks_until_started(2);
    let_go(1);
    expect_reply(client, 2, 0);
    io_socket_close(client);
}

static void a_request_without_reply_holds_nobody_up(void **state)
{
    int client = connect_client();
    send_frame(client, 'e', 1, 0);
    send_frame(client, 'n', 2, 0);
    send_frame(client, 'e', 3, 0);
    expect_reply(client, 1, 0);
    expect_reply(client, 3, 0);
    io_socket_close(client);
}

static void what_a_request_breaks_is_closed_after_the_replies_before_it(void **state)
{
    int client = connect_client();
    struct buffer frames CLEANUP(buffer_free) = {0};
    put_frame(&frames, 'e', 1, 6);
    put_frame(&frames, 'x', 2, 0);
    put_frame(&frames, 'e', 3, 0);
    send_bytes(client, frames.data, frames.size);
    expect_reply(client, 1, 6);
    expect_end(client);
    io_socket_close(client);
}

/* ---- limits */
static void at_the_limit_of_requests_the_connection_is_not_read(void **state)
{
    struct buffer frames CLEANUP(buffer_free) = {0};
    int client = connect_client(), count = 3 * CONNECTION_REQUESTS_MAX;
    for (int i = 0; i < count; i++)
        put_frame(&frames, 'p', (uint32_t)i, 3);
    send_bytes(client, frames.data, frames.size);
    ticks_until_started(CONNECTION_REQUESTS_MAX);
    expect_silence(client);
    assert_int_equal(played->started_count, CONNECTION_REQUESTS_MAX);
    for (int i = 0; i < count; i++) {
        ticks_until_started(i + 1);
        let_go(i);
        expect_reply(client, (uint32_t)i, 3);
        assert_in_range(played->started_count, i + 1, i + 1 + CONNECTION_REQUESTS_MAX);
    }
    io_socket_close(client);
}

static void what_waits_for_a_disk_that_is_behind_mutes_its_own_connection(void **state)
{
    int muted = connect_client(), other = connect_client();
    send_frame(muted, 'm', 1, 0);
    ticks_until_started(1);
    send_frame(muted, 'p', 2, 0);
    expect_silence(muted);
    assert_int_equal(played->started_count, 1); // it is not even read
    send_frame(other, 'e', 3, 10);
    expect_reply(other, 3, 10);
    let_go(0);
    expect_reply(muted, 1, 0);
    ticks_until_started(3);
    let_go(1);
    expect_reply(muted, 2, 0);
    io_socket_close(muted);
    io_socket_close(other);
}

/* ---- quotas */
static void a_client_that_has_to_wait_is_answered_and_then_not_read(void **state)
{
    int waiting = connect_client(), other = connect_client();
    send_frame(waiting, 't', 1, 5);
    expect_reply(waiting, 1, 5);
    send_frame(waiting, 'e', 2, 5);
    expect_silence(waiting);
    assert_int_equal(played->started_count, 1);
    send_frame(other, 'e', 3, 10);
    expect_reply(other, 3, 10);
    assert_int_equal(net_next_deadline_ms(&played->reactor), played->reactor.now_ms + THROTTLE_MS);
    later(THROTTLE_MS - 1);
    expect_silence(waiting);
    later(1);
    expect_reply(waiting, 2, 5);
    io_socket_close(waiting);
    io_socket_close(other);
}

static void what_was_sent_along_waits_too(void **state)
{
    struct buffer frames CLEANUP(buffer_free) = {0};
    int client = connect_client();
    put_frame(&frames, 't', 1, 5);
    put_frame(&frames, 'e', 2, 5);
    put_frame(&frames, 't', 3, 5);
    put_frame(&frames, 'e', 4, 5);
    send_bytes(client, frames.data, frames.size);
    expect_reply(client, 1, 5);
    expect_silence(client);
    assert_int_equal(played->started_count, 1);
    later(THROTTLE_MS);
    expect_reply(client, 2, 5);
    expect_reply(client, 3, 5);
    expect_silence(client);
    later(THROTTLE_MS);
    expect_reply(client, 4, 5);
    io_socket_close(client);
}

static void a_client_may_leave_while_it_has_to_wait(void **state)
{
    int client = connect_client();
    send_frame(client, 't', 1, 5);
    expect_reply(client, 1, 5);
    io_socket_close(client);
    later(THROTTLE_MS);
    while (connections() > 0)
        tick();
    assert_int_equal(net_next_deadline_ms(&played->reactor), INT64_MAX);
}

static void a_stop_does_not_wait_for_quotas(void **state)
{
    struct buffer frames CLEANUP(buffer_free) = {0};
    int client = connect_client();
    put_frame(&frames, 't', 1, 5);
    put_frame(&frames, 'e', 2, 5);
    send_bytes(client, frames.data, frames.size);
    expect_reply(client, 1, 5);
    net_reactor_stop(&played->reactor, false);
    while (!net_reactor_stop(&played->reactor, false))
        tick();
    io_socket_close(client);
}

static void a_connection_that_comes_too_early_is_closed_later(void **state)
{
    uint8_t byte;
    played->connection_throttle_ms = THROTTLE_MS;
    int early = io_connect("127.0.0.1", played->port);
    expect_silence(early);
    assert_int_equal(connections(), 0);
    later(THROTTLE_MS - 1);
    expect_silence(early);
    later(1);
    int64_t got;
    do
        got = io_recv(early, &byte, 1);
    while (got == -EAGAIN);
    assert_true(got == 0 || got == -ECONNRESET);
    io_socket_close(early);
    played->connection_throttle_ms = 0;
    int welcome = connect_client();
    send_frame(welcome, 'e', 1, 5);
    expect_reply(welcome, 1, 5);
    io_socket_close(welcome);
}

static void expect_refusal(enum net_limit limit)
{
    uint64_t before = atomic_load(&played->reactor.net_limits[limit]);
    int64_t there = connections(), got;
    int late = io_connect("127.0.0.1", played->port);
    uint8_t byte;
    do {
        tick();
        got = io_recv(late, &byte, 1);
    } while (got == -EAGAIN);
    assert_true(got == 0 || got == -ECONNRESET);
    assert_int_equal(connections(), there);
    assert_int_equal(atomic_load(&played->reactor.net_limits[limit]), before + 1);
    io_socket_close(late);
}

static void an_address_has_a_limit_of_its_own(void **state)
{
    played->per_ip_max = 1;
    int first = connect_client();
    expect_refusal(NET_LIMIT_CONNECTIONS_PER_IP);
    played->overrides = "10.0.0.1:9, 127.0.1:2"; // its shorter spelling
    played->settings_version++;
    int second = connect_client();
    expect_refusal(NET_LIMIT_CONNECTIONS_PER_IP);
    io_socket_close(first);
    while (connections() == 2)
        tick();
    first = connect_client();
    io_socket_close(first);
    io_socket_close(second);
}

static void limits_may_change_meanwhile(void **state)
{
    int first = connect_client(), second = connect_client();
    played->per_ip_max = 2;
    played->settings_version++;
    expect_refusal(NET_LIMIT_CONNECTIONS_PER_IP);
    played->per_ip_max = 3;
    played->settings_version++;
    int third = connect_client();
    io_socket_close(first);
    io_socket_close(second);
    io_socket_close(third);
}

static void new_connections_wait_for_their_rate(void **state)
{
    int clients[3];
    played->rate_max = 2;
    clients[0] = connect_client();
    clients[1] = connect_client();
    clients[2] = io_connect("127.0.0.1", played->port);
    for (int i = 0; i < 10; i++)
        later(10);
    tick();
    assert_int_equal(connections(), 2);
    assert_true(net_next_deadline_ms(&played->reactor) < played->reactor.now_ms + 100);
    assert_true(atomic_load(&played->reactor.net_limits[NET_LIMIT_CONNECTION_RATE]) > 0);
    for (int i = 0; i < 100 && connections() == 2; i++)
        later(10);
    assert_int_equal(connections(), 3);
    assert_in_range(played->reactor.now_ms, 500, 600); // half a second each, by the reactor's own clock
    for (int i = 0; i < 3; i++)
        io_socket_close(clients[i]);
}

static void too_many_connections_are_refused(void **state)
{
    int clients[3];
    for (int i = 0; i < 3; i++)
        clients[i] = connect_client();
    expect_refusal(NET_LIMIT_CONNECTIONS);
    io_socket_close(clients[0]);
    while (connections() == 3)
        tick();
    clients[0] = connect_client();
    send_frame(clients[0], 'e', 9, 1);
    expect_reply(clients[0], 9, 1);
    for (int i = 0; i < 3; i++)
        io_socket_close(clients[i]);
}

/* ---- memory: all connections together */
static int64_t memory_used(void)
{
    return atomic_load(&played->reactor.request_bytes);
}

static void memory_max(int64_t bytes)
{
    played->net->options.request_bytes_max = bytes;
    played->net->share_bytes = bytes / 4;
}

static uint64_t times(enum net_limit limit)
{
    return atomic_load(&played->reactor.net_limits[limit]);
}

/* The first part of a frame of that size. */
static void send_start(int socket, uint32_t frame_size, size_t size)
{
    uint8_t *bytes = mem_zalloc(size);
    put_be32(bytes, frame_size);
    bytes[4] = 'e';
    send_bytes(socket, bytes, size);
    tick();
    mem_free(bytes);
}

static void a_request_in_flight_is_counted_until_it_is_answered(void **state)
{
    int client = connect_client();
    assert_int_equal(memory_used(), 0);
    send_frame(client, 'w', 1, 0);
    ticks_until_started(1);
    assert_int_equal(memory_used(), RECEIVE_BLOCK_BYTES);
    let_go(0);
    expect_reply(client, 1, 0);
    assert_int_equal(memory_used(), 0);
    io_socket_close(client);
}

static void a_size_that_was_only_told_costs_little(void **state)
{
    played->options.request_size_max = 100 << 20;
    int client = connect_client();
    send_start(client, 100 << 20, 100);
    assert_in_range(memory_used(), 1, SMALL_BLOCK_BYTES);
    send_start(client, 1, SMALL_BLOCK_BYTES); // more of the same frame
    assert_in_range(memory_used(), SMALL_BLOCK_BYTES, 2 << 20);
    io_socket_close(client);
    while (connections() > 0)
        tick();
    assert_int_equal(memory_used(), 0);
}

static void a_frame_that_grows_with_what_came_is_whole_in_the_end(void **state)
{
    enum { SIZE = 9 << 20 };
    played->options.request_size_max = SIZE;
    int client = connect_client();
    send_frame(client, 'n', 1, SIZE - FRAME_HEAD); // without an answer
    send_frame(client, 'e', 2, 40);
    expect_reply(client, 2, 40);
    assert_int_equal(played->started[0], 1);
    assert_int_equal(memory_used(), 0);
    io_socket_close(client);
}

static void when_memory_is_short_connections_take_turns(void **state)
{
    int clients[3];
    memory_max(RECEIVE_BLOCK_BYTES);
    for (int i = 0; i < 3; i++)
        clients[i] = connect_client();
    for (int i = 0; i < 3; i++)
        send_frame(clients[i], 'w', (uint32_t)i, 10);
    for (int i = 0; i < 20; i++)
        tick();
    assert_int_equal(played->started_count, 2); // one that there is memory for, and the grower
    assert_true(memory_used() <= 2 * RECEIVE_BLOCK_BYTES);
    assert_int_equal(times(NET_LIMIT_REQUEST_MEMORY), 1);
    assert_true(net_next_deadline_ms(&played->reactor) <= played->reactor.now_ms + 10);
    let_go(1);
    expect_reply(clients[played->started[1]], played->started[1], 10);
    let_go(0);
    expect_reply(clients[played->started[0]], played->started[0], 10);
    while (played->started_count < 3)
        later(1);
    let_go(2);
    expect_reply(clients[played->started[2]], played->started[2], 10);
    assert_int_equal(memory_used(), 0);
    for (int i = 0; i < 3; i++)
        io_socket_close(clients[i]);
}

static void frames_larger_than_all_memory_come_through_one_after_another(void **state)
{
    enum { SIZE = REQUEST_SIZE_MAX - FRAME_HEAD, CLIENTS = 3 };
    int clients[CLIENTS];
    struct buffer frames[CLIENTS] = {0};
    size_t sent[CLIENTS] = {0};
    int64_t most = 0;
    memory_max(1000);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = connect_client();
        put_frame(&frames[i], 'n', (uint32_t)i, SIZE);
        put_frame(&frames[i], 'e', 10 + (uint32_t)i, 1);
    }
    while (played->started_count < 2 * CLIENTS) {
        for (int i = 0; i < CLIENTS; i++) {
            struct iovec piece = {frames[i].data + sent[i], frames[i].size - sent[i]};
            int64_t now = piece.iov_len > 0 ? io_sendv(clients[i], &piece, 1, false) : 0;
            sent[i] += now > 0 ? (size_t)now : 0;
        }
        later(1);
        if (memory_used() > most)
            most = memory_used();
    }
    for (int i = 0; i < CLIENTS; i++) {
        expect_reply(clients[i], 10 + (uint32_t)i, 1);
        io_socket_close(clients[i]);
        buffer_free(&frames[i]);
    }
    assert_in_range(most, REQUEST_SIZE_MAX, 2 * REQUEST_SIZE_MAX - 1);
    assert_true(times(NET_LIMIT_REQUEST_MEMORY) > 0);
}

static void who_stalls_is_closed_only_while_memory_is_short(void **state)
{
    int stalls = connect_client(), small = connect_client(), honest = connect_client();
    send_start(stalls, REQUEST_SIZE_MAX, 100000);
    send_start(small, REQUEST_SIZE_MAX, 100);
    later(STALLED_MAX_MS + 1);
    assert_int_equal(connections(), 3);
    memory_max(RECEIVE_BLOCK_BYTES);
    later(1000);
    assert_int_equal(connections(), 2);
    assert_int_equal(times(NET_LIMIT_STALLED), 1);
    send_frame(honest, 'e', 1, 5);
    expect_reply(honest, 1, 5);
    io_socket_close(stalls);
    io_socket_close(small); // holds too little to be in the way
    io_socket_close(honest);
}

static void for_a_client_that_does_not_read_nothing_more_is_done(void **state)
{
    enum { REPLIES = 60, EACH = 200000 };
    int client = connect_client(), other = connect_client();
    for (uint32_t i = 0; i < REPLIES; i++)
        send_frame(client, 'e', i, EACH);
    for (int i = 0; i < 50; i++)
        tick();
    int started = played->started_count;
    assert_true(started < REPLIES);
    assert_int_equal(times(NET_LIMIT_REPLIES), 1);
    size_t unread = 0;
    struct connection *last = CONTAINER_OF(net__of(&played->reactor)->connections.prev, struct connection, in_reactor);
    LIST_EACH (node, &last->requests)
        unread += CONTAINER_OF(node, struct request, in_connection)->reply.out.size;
    assert_in_range(unread, 1, REPLY_BYTES_MAX + EACH + 8);
    send_frame(other, 'e', 1000, 5);
    expect_reply(other, 1000, 5);
    for (uint32_t i = 0; i < REPLIES; i++)
        expect_reply(client, i, EACH);
    io_socket_close(client);
    io_socket_close(other);
}

static void who_does_not_read_is_closed_while_memory_is_short(void **state)
{
    enum { REPLIES = 60, EACH = 200000 };
    int client = connect_client();
    for (uint32_t i = 0; i < REPLIES; i++)
        send_frame(client, 'e', i, EACH);
    later(STALLED_MAX_MS + 1);
    assert_int_equal(connections(), 1);
    memory_max(100000);
    later(1000);
    assert_int_equal(connections(), 0);
    assert_int_equal(times(NET_LIMIT_STALLED), 1);
    assert_int_equal(memory_used(), 0);
    io_socket_close(client);
}

/* ---- ends */
/* Closing with something unread resets the connection. */
static void a_dead_connection_drops_its_replies_and_nobody_elses(void **state)
{
    int dies = connect_client(), lives = connect_client();
    send_frame(dies, 'e', 0, 0);
    send_frame(dies, 'w', 1, 0);
    send_frame(dies, 'e', 2, 0); // behind it: never started
    send_frame(lives, 'w', 3, 0);
    ticks_until_started(3);
    io_socket_close(dies);
    while (connections() > 1)
        tick();
    assert_true(played->running[0]->abandoned);
    let_go(0);
    let_go(1);
    expect_reply(lives, 3, 0);
    assert_int_equal(played->started_count, 3);
    io_socket_close(lives);
}

static void a_client_that_sends_no_more_still_gets_its_replies(void **state)
{
    int client = connect_client();
    send_frame(client, 'w', 1, 0);
    send_frame(client, 'e', 2, 30);
    ticks_until_started(1);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    expect_silence(client);
    let_go(0);
    expect_reply(client, 1, 0);
    expect_reply(client, 2, 30);
    expect_end(client);
    io_socket_close(client);
}

static void a_client_that_reads_late_gets_everything(void **state)
{
    enum { REPLIES = 40, EACH = 200000 };
    int client = connect_client();
    for (uint32_t i = 0; i < REPLIES; i++)
        send_frame(client, 'e', i, EACH);
    for (int i = 0; i < 50; i++)
        tick();
    for (uint32_t i = 0; i < REPLIES; i++)
        expect_reply(client, i, EACH);
    io_socket_close(client);
}

static void pieces_of_files_lie_between_the_bytes(void **state)
{
    int client = connect_client();
    uint8_t *body = mem_alloc(FILE_BYTES), head[8];
    send_frame(client, 'e', 1, 2);
    send_frame(client, 'f', 2, 0);
    send_frame(client, 'f', 3, 0);
    send_frame(client, 'e', 4, 2);
    expect_reply(client, 1, 2);
    for (uint32_t id = 2; id <= 3; id++) {
        receive(client, head, sizeof head);
        assert_int_equal(be32(head), 4 + FILE_BYTES);
        assert_int_equal(be32(head + 4), id);
        receive(client, body, FILE_BYTES);
    }
    expect_reply(client, 4, 2);
    mem_free(body);
    io_socket_close(client);
}

static void an_idle_connection_is_closed_at_its_deadline_and_no_other(void **state)
{
    int idle = connect_client();
    assert_int_equal(net_next_deadline_ms(&played->reactor), IDLE_MAX_MS);
    later(IDLE_MAX_MS / 2);
    int busy = connect_client();
    later(IDLE_MAX_MS / 2 - 1);
    assert_int_equal(connections(), 2);
    later(1);
    assert_int_equal(connections(), 1);
    assert_int_equal(net_next_deadline_ms(&played->reactor), IDLE_MAX_MS + IDLE_MAX_MS / 2);
    send_frame(busy, 'e', 1, 3); // counts from here on
    expect_reply(busy, 1, 3);
    later(IDLE_MAX_MS / 2);
    assert_int_equal(connections(), 1);
    later(IDLE_MAX_MS / 2);
    expect_end(busy);
    expect_end(idle);
    assert_true(net_next_deadline_ms(&played->reactor) == INT64_MAX);
    io_socket_close(busy);
    io_socket_close(idle);
}

static void who_waits_for_an_answer_is_not_idle(void **state)
{
    int client = connect_client();
    send_frame(client, 'w', 1, 0);
    ticks_until_started(1);
    later(IDLE_MAX_MS);
    later(IDLE_MAX_MS);
    assert_int_equal(connections(), 1);
    let_go(0);
    expect_reply(client, 1, 0);
    later(IDLE_MAX_MS);
    expect_end(client);
    io_socket_close(client);
}

/* An idle connection owns no receive block: all that were lent are in the reactor's hand again. */
static void warm_echoes_make_no_new_blocks(void **state)
{
    int client = connect_client();
    for (uint32_t i = 0; i < 5; i++) {
        send_frame(client, 'e', i, 100);
        expect_reply(client, i, 100);
    }
    assert_int_equal(played->made, played->freed);
    io_socket_close(client);
}

int main(void)
{
#define OVER_SOCKETS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        OVER_SOCKETS(a_client_that_has_to_wait_is_answered_and_then_not_read),
        OVER_SOCKETS(what_was_sent_along_waits_too),
        OVER_SOCKETS(a_client_may_leave_while_it_has_to_wait),
        OVER_SOCKETS(a_stop_does_not_wait_for_quotas),
        OVER_SOCKETS(a_connection_that_comes_too_early_is_closed_later),
        OVER_SOCKETS(a_frame_may_come_byte_by_byte),
        OVER_SOCKETS(many_frames_may_come_at_once),
        OVER_SOCKETS(a_frame_may_be_larger_than_a_block),
        OVER_SOCKETS(a_lying_size_closes_the_connection),
        OVER_SOCKETS(an_unknown_header_closes_the_connection_after_earlier_replies),
        OVER_SOCKETS(replies_leave_in_the_order_of_requests),
        OVER_SOCKETS(what_does_not_overlap_waits_for_all_before_it),
        OVER_SOCKETS(what_holds_lets_later_ones_start_when_it_is_released_and_others_at_any_time),
        OVER_SOCKETS(what_holds_and_ends_at_once_holds_no_longer),
        OVER_SOCKETS(what_mutes_only_once_it_is_released_mutes_until_it_is_answered),
        OVER_SOCKETS(a_request_without_reply_holds_nobody_up),
        OVER_SOCKETS(what_a_request_breaks_is_closed_after_the_replies_before_it),
        OVER_SOCKETS(at_the_limit_of_requests_the_connection_is_not_read),
        OVER_SOCKETS(what_waits_for_a_disk_that_is_behind_mutes_its_own_connection),
        OVER_SOCKETS(too_many_connections_are_refused),
        OVER_SOCKETS(a_request_in_flight_is_counted_until_it_is_answered),
        OVER_SOCKETS(a_size_that_was_only_told_costs_little),
        OVER_SOCKETS(a_frame_that_grows_with_what_came_is_whole_in_the_end),
        OVER_SOCKETS(when_memory_is_short_connections_take_turns),
        OVER_SOCKETS(frames_larger_than_all_memory_come_through_one_after_another),
        OVER_SOCKETS(who_stalls_is_closed_only_while_memory_is_short),
        OVER_SOCKETS(for_a_client_that_does_not_read_nothing_more_is_done),
        OVER_SOCKETS(who_does_not_read_is_closed_while_memory_is_short),
        OVER_SOCKETS(an_address_has_a_limit_of_its_own),
        OVER_SOCKETS(limits_may_change_meanwhile),
        OVER_SOCKETS(new_connections_wait_for_their_rate),
        OVER_SOCKETS(a_dead_connection_drops_its_replies_and_nobody_elses),
        OVER_SOCKETS(a_client_that_sends_no_more_still_gets_its_replies),
        OVER_SOCKETS(a_client_that_reads_late_gets_everything),
        OVER_SOCKETS(pieces_of_files_lie_between_the_bytes),
        OVER_SOCKETS(an_idle_connection_is_closed_at_its_deadline_and_no_other),
        OVER_SOCKETS(who_waits_for_an_answer_is_not_idle),
        OVER_SOCKETS(warm_echoes_make_no_new_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
