// SPDX-License-Identifier: Apache-2.0
/* net/memory_test.c - the bound on the memory of all requests in flight, and who is closed when it is short. */
#include "net/net_test.h"

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

static void the_next_frame_is_expected_to_be_as_large(void **state)
{
    enum { SIZE = 1 << 20 };
    int client = connect_client();
    send_frame(client, 'e', 1, SIZE - FRAME_HEAD);
    expect_reply(client, 1, SIZE - FRAME_HEAD);
    send_start(client, SIZE, SIZE / 8); // would lie in a block of any size
    assert_int_equal(memory_used(), SIZE + 4);
    io_socket_close(client);
    while (connections() > 0)
        tick();
    client = connect_client(); // another client has not shown what it sends
    send_start(client, SIZE, 2 * SMALL_BLOCK_BYTES);
    assert_int_equal(memory_used(), RECEIVE_BLOCK_BYTES);
    io_socket_close(client);
}

static void where_memory_is_short_nothing_large_is_expected(void **state)
{
    enum { SIZE = 1 << 20 };
    int client = connect_client();
    send_frame(client, 'e', 1, SIZE - FRAME_HEAD);
    expect_reply(client, 1, SIZE - FRAME_HEAD);
    memory_max(2 * RECEIVE_BLOCK_BYTES);
    send_start(client, SIZE, 2 * SMALL_BLOCK_BYTES);
    assert_int_equal(memory_used(), RECEIVE_BLOCK_BYTES);
    io_socket_close(client);
}

static size_t large_kept(void)
{
    return ((const struct net_reactor *)played->reactor.net)->large_free_bytes;
}

static void large_blocks_are_used_again_and_few_are_kept(void **state)
{
    enum { SIZE = 1 << 20, COUNT = 2 * LARGE_BLOCKS_KEPT_BYTES / SIZE };
    struct reactor *reactor = &played->reactor;
    struct block *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        blocks[i] = net__block_get(reactor, SIZE);
    assert_int_equal(memory_used(), COUNT * SIZE);
    for (int i = 0; i < COUNT; i++)
        net__block_unref(reactor, blocks[i]);
    assert_int_equal(memory_used(), 0);
    assert_int_equal(large_kept(), LARGE_BLOCKS_KEPT_BYTES);
    struct block *block = net__block_get(reactor, SIZE - 100);
    assert_int_equal(large_kept(), LARGE_BLOCKS_KEPT_BYTES - SIZE);
    assert_int_equal(block->capacity, SIZE - 100); // so that the next frame does not begin in it
    assert_int_equal(memory_used(), SIZE);
    net__block_unref(reactor, block);
    block = net__block_get(reactor, 4 * SIZE); // none is so large
    assert_int_equal(large_kept(), LARGE_BLOCKS_KEPT_BYTES);
    net__block_unref(reactor, block);
    assert_int_equal(large_kept(), LARGE_BLOCKS_KEPT_BYTES);
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

/* Each sends half of a large frame, so that one of them grows and the other starves. */
static void half_sent_large_frames_leave_memory_for_small_ones(void **state)
{
    enum { CLIENTS = 2, SIZE = 12 << 20, HALF = SIZE / 2 };
    int large[CLIENTS], honest = connect_client();
    played->options.request_size_max = SIZE;
    memory_max(8 << 20);
    uint8_t *half = mem_zalloc(HALF);
    put_be32(half, SIZE);
    size_t sent[CLIENTS] = {0};
    for (int i = 0; i < CLIENTS; i++)
        large[i] = connect_client();
    for (int rounds = 0; rounds < 400; rounds++) {
        for (int i = 0; i < CLIENTS; i++) {
            struct iovec piece = {half + sent[i], HALF - sent[i]};
            int64_t now = piece.iov_len > 0 ? io_sendv(large[i], &piece, 1, false) : 0;
            sent[i] += now > 0 ? (size_t)now : 0;
        }
        later(1);
    }
    assert_int_equal(net__of(&played->reactor)->starved_count, CLIENTS - 1);
    assert_true(memory_used() > HALF);
    for (uint32_t i = 0; i < 20; i++) { // 200,000 bytes: the block is full when it is answered
        send_frame(honest, 'e', i, 200000);
        expect_reply(honest, i, 200000);
    }
    assert_int_equal(times(NET_LIMIT_STALLED), 0);
    later(STALLED_MAX_MS); // the one that grew has stalled; then it is the next one's turn
    assert_int_equal(times(NET_LIMIT_STALLED), 1);
    assert_true(net__of(&played->reactor)->grower != NULL);
    for (int i = 0; i < CLIENTS; i++)
        io_socket_close(large[i]);
    io_socket_close(honest);
    mem_free(half);
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

static void an_answer_that_is_not_read_holds_nothing_of_its_request(void **state)
{
    enum { REPLIES = 20, EACH = 900000 };
    int client = connect_client(), unread = 0;
    for (uint32_t i = 0; i < REPLIES; i++)
        send_frame(client, 'e', i, EACH);
    for (int i = 0; i < 50; i++)
        tick();
    struct connection *last = CONTAINER_OF(net__of(&played->reactor)->connections.prev, struct connection, in_reactor);
    LIST_EACH (node, &last->requests) {
        const struct request *request = CONTAINER_OF(node, struct request, in_connection);
        unread += request->state == REQUEST_DONE;
        assert_true(request->state != REQUEST_DONE || !request->block);
    }
    assert_in_range(unread, 1, REPLIES);
    assert_in_range(played->shed, unread, INT32_MAX);
    for (uint32_t i = 0; i < REPLIES; i++)
        expect_reply(client, i, EACH);
    io_socket_close(client);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_SOCKETS(a_request_in_flight_is_counted_until_it_is_answered),
        OVER_SOCKETS(a_size_that_was_only_told_costs_little),
        OVER_SOCKETS(a_frame_that_grows_with_what_came_is_whole_in_the_end),
        OVER_SOCKETS(the_next_frame_is_expected_to_be_as_large),
        OVER_SOCKETS(where_memory_is_short_nothing_large_is_expected),
        OVER_SOCKETS(large_blocks_are_used_again_and_few_are_kept),
        OVER_SOCKETS(when_memory_is_short_connections_take_turns),
        OVER_SOCKETS(frames_larger_than_all_memory_come_through_one_after_another),
        OVER_SOCKETS(half_sent_large_frames_leave_memory_for_small_ones),
        OVER_SOCKETS(who_stalls_is_closed_only_while_memory_is_short),
        OVER_SOCKETS(for_a_client_that_does_not_read_nothing_more_is_done),
        OVER_SOCKETS(an_answer_that_is_not_read_holds_nothing_of_its_request),
        OVER_SOCKETS(who_does_not_read_is_closed_while_memory_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
