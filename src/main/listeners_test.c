// SPDX-License-Identifier: Apache-2.0
/* main/listeners_test.c - addresses, listeners, and what clients are told: Kafka's forms, and what is wrong with others. */
#include "main/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
// cmocka needs the two above first
#include <cmocka.h>

static struct buffer told;
static struct serve_options options;

static bool make(const char *const *sets, int count)
{
    serve_options_free(&options);
    told.size = 0;
    settings__tell_to(&told);
    bool ok = status_is_ok(serve_options_make(NULL, "/data", NULL, "off", sets, count, &options));
    settings__tell_to(NULL);
    buffer_append(&told, "", 1);
    return ok;
}
#define MAKE(...) make((const char *const[]){__VA_ARGS__}, (int)COUNT_OF(((const char *const[]){__VA_ARGS__})))

static void has_told(const char *text)
{
    if (!strstr((char *)told.data, text))
        fail_msg("\"%s\" was not told, but:\n%s", text, (char *)told.data);
}

static void is(int index, const char *name, const char *host, int port, const char *advertised_host,
               int advertised_port)
{
    const struct broker_listener *listener = &options.broker.listeners[index];
    assert_true(index < options.broker.listener_count);
    assert_string_equal(listener->name, name);
    assert_string_equal(listener->host, host);
    assert_int_equal(listener->port, port);
    assert_string_equal(listener->advertised_host, advertised_host);
    assert_int_equal(listener->advertised_port, advertised_port);
}

static void an_address_is_host_and_port(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } FINE[] = {{"127.0.0.1:9092", "127.0.0.1", 9092},
                {"[::1]:1", "::1", 1},
                {":9092", "", 9092},
                {"9092", "127.0.0.1", 9092},
                {"broker-1.example:0", "broker-1.example", 0},
                {"[fe80::1%eth0]:5", "fe80::1%eth0", 5},
                {"h_1:65535", "h_1", 65535}};
    static const char *const WRONG[] = {"",          "127.0.0.1", "127.0.0.1:", ":",        "::1:9092", "[::1]",
                                        "[::1:9092", "[]:1",      "a:65536",    "a:-1",     "a:1x",     "a b:1",
                                        "a/b:1",     "a:1:2",     "65536",      "[::1]9092"};
    char host[256], why[ADDRESS_FAULT_SIZE];
    uint16_t port;
    for (size_t i = 0; i < COUNT_OF(FINE); i++) {
        assert_true(address__parse(slice_str(FINE[i].text), host, &port, why));
        assert_string_equal(host, FINE[i].host);
        assert_int_equal(port, FINE[i].port);
    }
    for (size_t i = 0; i < COUNT_OF(WRONG); i++) {
        why[0] = '\0';
        if (address__parse(slice_str(WRONG[i]), host, &port, why))
            fail_msg("%s was accepted as %s:%d", WRONG[i], host, (int)port);
        assert_true(*why);
    }
}

static void listen_is_short_for_one_listener(void **state)
{
    assert_true(status_is_ok(serve_options_make(NULL, "/data", "[::1]:1234", "off", NULL, 0, &options)));
    assert_int_equal(options.broker.listener_count, 1);
    is(0, "PLAINTEXT", "::1", 1234, "::1", 0);
    serve_options_free(&options);
    settings__tell_to(&told);
    told.size = 0;
    assert_false(status_is_ok(serve_options_make(NULL, "/data", "nonsense", "off", NULL, 0, &options)));
    settings__tell_to(NULL);
    buffer_append(&told, "", 1);
    has_told("--listen nonsense: expected HOST:PORT");
}

static void a_listener_on_every_interface_tells_clients_the_address_they_reached(void **state)
{
    assert_true(MAKE("listeners=A://:1,B://0.0.0.0:2,C://[::]:3",
                     "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT,C:PLAINTEXT"));
    is(0, "A", "", 1, "", 0);
    is(1, "B", "0.0.0.0", 2, "", 0);
    is(2, "C", "::", 3, "", 0);
}

static void advertised_listeners_are_told_instead(void **state)
{
    assert_true(MAKE("listeners=PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093",
                     "advertised.listeners=plaintext://kafka.example:29092"));
    is(0, "PLAINTEXT", "", 9092, "kafka.example", 29092);
    is(1, "CONTROLLER", "127.0.0.1", 9093, "127.0.0.1", 0);
    assert_false(options.broker.listeners[0].is_controller);
    assert_true(options.broker.listeners[1].is_controller);
}

static void clients_are_never_told_an_address_they_cannot_reach(void **state)
{
    assert_false(MAKE("advertised.listeners=PLAINTEXT://0.0.0.0:9092"));
    has_told("clients cannot connect to 0.0.0.0");
    assert_false(MAKE("advertised.listeners=OTHER://localhost:9092"));
    has_told("advertised.listeners has OTHER, which is not one of the listeners");
    assert_false(MAKE("advertised.listeners=localhost:9092"));
    has_told("expected NAME://HOST:PORT");
}

static void a_listener_has_kafkas_form(void **state)
{
    static const char *const WRONG[] = {"listeners=localhost:9092", "listeners=PLAINTEXT://localhost",
                                        "listeners=://localhost:9092", "listeners=PLAINTEXT://localhost:99999",
                                        "listeners=PLAIN TEXT://localhost:1"};
    for (size_t i = 0; i < COUNT_OF(WRONG); i++) {
        assert_false(MAKE(WRONG[i]));
        has_told("--set: error: listeners");
    }
}

static void names_and_ports_come_once(void **state)
{
    assert_false(MAKE("listeners=PLAINTEXT://a:1,plaintext://b:2"));
    has_told("names PLAINTEXT twice");
    assert_false(MAKE("listeners=PLAINTEXT://a:1,CONTROLLER://b:1"));
    has_told("have the same port 1");
    assert_true(
        MAKE("listeners=A://127.0.0.1:1,B://[::1]:1", "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT"));
    assert_true(MAKE("listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"));
}

static void only_plaintext_is_served(void **state)
{
    static const char *const OTHERS[] = {"listeners=SSL://:9092", "listeners=SASL_PLAINTEXT://:9092",
                                         "listeners=SASL_SSL://:9092"};
    for (size_t i = 0; i < COUNT_OF(OTHERS); i++) {
        assert_false(MAKE(OTHERS[i]));
        has_told("encryption and authentication are not served yet");
    }
    assert_false(MAKE("listeners=INSIDE://:9092", "listener.security.protocol.map=INSIDE:SSL"));
    has_told("the listener INSIDE asks for SSL");
    assert_false(MAKE("listeners=INSIDE://:9092"));
    has_told("says no protocol for the listener INSIDE");
    assert_true(MAKE("listeners=INSIDE://:9092", "listener.security.protocol.map=INSIDE:PLAINTEXT"));
    assert_false(
        MAKE("listeners=PLAINTEXT://:9092,CONTROLLER://:9093", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT"));
    has_told("says no protocol for the listener CONTROLLER");
}

static void clients_need_a_listener(void **state)
{
    assert_false(MAKE("listeners=CONTROLLER://:9093"));
    has_told("no listener is left for clients");
}

static void the_listener_between_brokers_is_one_for_clients(void **state)
{
    assert_true(MAKE("inter.broker.listener.name=plaintext"));
    assert_false(MAKE("inter.broker.listener.name=OTHER"));
    has_told("inter.broker.listener.name=OTHER is not the name of one of the listeners");
    assert_false(MAKE("inter.broker.listener.name=CONTROLLER", "listeners=PLAINTEXT://:9092,CONTROLLER://:9093"));
    has_told("is a controller's listener");
    assert_false(MAKE("inter.broker.listener.name=PLAINTEXT", "security.inter.broker.protocol=PLAINTEXT"));
    has_told("only one of them may be");
}

static int tear_down(void **state)
{
    serve_options_free(&options);
    buffer_free(&told);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_host_and_port),
        cmocka_unit_test(listen_is_short_for_one_listener),
        cmocka_unit_test(a_listener_on_every_interface_tells_clients_the_address_they_reached),
        cmocka_unit_test(advertised_listeners_are_told_instead),
        cmocka_unit_test(clients_are_never_told_an_address_they_cannot_reach),
        cmocka_unit_test(a_listener_has_kafkas_form),
        cmocka_unit_test(names_and_ports_come_once),
        cmocka_unit_test(only_plaintext_is_served),
        cmocka_unit_test(clients_need_a_listener),
        cmocka_unit_test(the_listener_between_brokers_is_one_for_clients),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
