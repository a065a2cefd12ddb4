// SPDX-License-Identifier: Apache-2.0
/* net/throttle_test.c - clients that have to wait for a quota, and connections that come too early. */
#include "net/net_test.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_SOCKETS(a_client_that_has_to_wait_is_answered_and_then_not_read),
        OVER_SOCKETS(what_was_sent_along_waits_too),
        OVER_SOCKETS(a_client_may_leave_while_it_has_to_wait),
        OVER_SOCKETS(a_stop_does_not_wait_for_quotas),
        OVER_SOCKETS(a_connection_that_comes_too_early_is_closed_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
