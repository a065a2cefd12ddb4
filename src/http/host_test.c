// SPDX-License-Identifier: Apache-2.0
/* http/host_test.c - which names are this machine alone, as an address to bind and as a request's Host. */
#include "http/http__.h"

#include <setjmp.h>
#include <stdarg.h>
// cmocka needs the two above first
#include <cmocka.h>

static void only_loopback_addresses_are_loopback(void **state)
{
    static const char *const OURS[] = {"127.0.0.1", "127.1.2.3", "::1", "localhost", "LocalHost"};
    static const char *const OTHERS[] = {"",
                                         "0.0.0.0",
                                         "::",
                                         "10.0.0.1",
                                         "127.0.0.1.example.com",
                                         "localhost.example.com",
                                         "2001:db8::1",
                                         "example.com",
                                         "127",
                                         "::2"};
    for (size_t i = 0; i < COUNT_OF(OURS); i++)
        assert_true(http_is_loopback(OURS[i]));
    for (size_t i = 0; i < COUNT_OF(OTHERS); i++)
        assert_false(http_is_loopback(OTHERS[i]));
}

static void a_host_of_ours_has_a_loopback_name_and_any_port(void **state)
{
    static const char *const OURS[] = {"localhost",   "localhost:8080", "127.0.0.1",
                                       "127.0.0.1:1", "[::1]",          "[::1]:8080"};
    for (size_t i = 0; i < COUNT_OF(OURS); i++)
        assert_true(host__is_ours(OURS[i]));
}

static void a_host_of_another_site_is_not_ours(void **state)
{
    static const char *const OTHERS[] = {"",
                                         "example.com",
                                         "example.com:8080",
                                         "localhost.example.com:8080",
                                         "[::1",
                                         "[::1]x",
                                         "127.0.0.1:80x",
                                         "127.0.0.1:8080.example.com",
                                         "::1",
                                         "[::1]@example.com:1",
                                         "localhost:80:80",
                                         "10.0.0.1:8080",
                                         "localhost@example.com"};
    assert_false(host__is_ours(NULL));
    for (size_t i = 0; i < COUNT_OF(OTHERS); i++)
        assert_false(host__is_ours(OTHERS[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_loopback_addresses_are_loopback),
        cmocka_unit_test(a_host_of_ours_has_a_loopback_name_and_any_port),
        cmocka_unit_test(a_host_of_another_site_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
