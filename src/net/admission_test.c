// SPDX-License-Identifier: Apache-2.0
/* net/admission_test.c - how many connections there may be: in all, from one address, in a second. */
#include "net/net_test.h"

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

static void a_listener_has_a_limit_of_its_own(void **state)
{
    int first = connect_client(), second = connect_client();
    played->listener_max = 2;
    played->settings_version++;
    expect_refusal(NET_LIMIT_CONNECTIONS);
    io_socket_close(first);
    while (connections() == 2)
        tick();
    first = connect_client();
    io_socket_close(first);
    io_socket_close(second);
}

/* Of the broker's rate or the listener's, the lower one counts. */
static void expect_rate_of_two(void)
{
    int clients[3];
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

static void new_connections_wait_for_their_rate(void **state)
{
    played->rate_max = 2;
    expect_rate_of_two();
}

static void new_connections_wait_for_the_rate_of_their_listener(void **state)
{
    played->rate_max = 1000;
    played->listener_rate_max = 2;
    expect_rate_of_two();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_SOCKETS(an_address_has_a_limit_of_its_own),
        OVER_SOCKETS(limits_may_change_meanwhile),
        OVER_SOCKETS(a_listener_has_a_limit_of_its_own),
        OVER_SOCKETS(new_connections_wait_for_their_rate),
        OVER_SOCKETS(new_connections_wait_for_the_rate_of_their_listener),
        OVER_SOCKETS(too_many_connections_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
