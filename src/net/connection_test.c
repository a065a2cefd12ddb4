// SPDX-License-Identifier: Apache-2.0
/* net/connection_test.c - frames in, replies out, in order; what holds a connection up, and how it ends. */
#include "net/net_test.h"

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

static void an_answer_that_is_made_while_it_is_sent_arrives_whole_and_in_its_place(void **state)
{
    static const size_t SIZES[] = {0, 1, PART_BYTES, PART_BYTES + 1, 300 * PART_BYTES + 7};
    int client = connect_client();
    for (uint32_t i = 0; i < COUNT_OF(SIZES); i++) {
        send_frame(client, 's', 2 * i, SIZES[i]);
        send_frame(client, 'e', 2 * i + 1, 10);
    }
    for (uint32_t i = 0; i < COUNT_OF(SIZES); i++) {
        expect_reply(client, 2 * i, SIZES[i]);
        expect_reply(client, 2 * i + 1, 10);
    }
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

/* The place of a request in the order of starting. */
static int place_of(uint32_t id)
{
    for (int i = 0; i < played->started_count; i++)
        if (played->started[i] == id)
            return i;
    return INT32_MAX;
}

static void who_has_much_to_start_lets_others_start_between(void **state)
{
    enum { REQUESTS = 100, EACH = 10000, FIRST = 1000, OTHER = 1001, IN_A_TURN = 14 };
    int greedy = connect_client(), other = connect_client();
    struct buffer one CLEANUP(buffer_free) = {0};
    send_frame(greedy, 'w', FIRST, 0);
    for (uint32_t i = 0; i < REQUESTS; i++)
        send_frame(greedy, 'e', i, EACH);
    let_go(0);
    int before = played->started_count;
    assert_in_range(before, IN_A_TURN, REQUESTS - IN_A_TURN); // the tick is full
    assert_true(net_next_deadline_ms(&played->reactor) <= played->reactor.now_ms);
    put_frame(&one, 'e', OTHER, 1);
    assert_int_equal(io_sendv(other, &(struct iovec){one.data, one.size}, 1, false), one.size);
    tick();
    assert_in_range(place_of(OTHER), before, before + IN_A_TURN);
    expect_reply(other, OTHER, 1);
    expect_reply(greedy, FIRST, 0);
    for (uint32_t i = 0; i < REQUESTS; i++)
        expect_reply(greedy, i, EACH);
    assert_true(net_next_deadline_ms(&played->reactor) > played->reactor.now_ms);
    io_socket_close(greedy);
    io_socket_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_SOCKETS(a_frame_may_come_byte_by_byte),
        OVER_SOCKETS(many_frames_may_come_at_once),
        OVER_SOCKETS(a_frame_may_be_larger_than_a_block),
        OVER_SOCKETS(an_answer_that_is_made_while_it_is_sent_arrives_whole_and_in_its_place),
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
        OVER_SOCKETS(a_dead_connection_drops_its_replies_and_nobody_elses),
        OVER_SOCKETS(a_client_that_sends_no_more_still_gets_its_replies),
        OVER_SOCKETS(a_client_that_reads_late_gets_everything),
        OVER_SOCKETS(pieces_of_files_lie_between_the_bytes),
        OVER_SOCKETS(an_idle_connection_is_closed_at_its_deadline_and_no_other),
        OVER_SOCKETS(who_waits_for_an_answer_is_not_idle),
        OVER_SOCKETS(who_has_much_to_start_lets_others_start_between),
        OVER_SOCKETS(warm_echoes_make_no_new_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
