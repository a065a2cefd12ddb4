// SPDX-License-Identifier: Apache-2.0
/* http/guard_test.c - another site's page, whatever it tries, neither reads nor changes anything. */
#include "http/http__.h"

#include <setjmp.h>
#include <stdarg.h>
// cmocka needs the two above first
#include <cmocka.h>

static struct http_site site = {.token = "0123456789"};

static unsigned admitted(const char *method, const char *path, struct guard_headers headers)
{
    struct exchange e = {.site = &site, .method = method, .path = path};
    bool ok = guard__admits(&e, &headers);
    unsigned status = ok ? 200 : e.status;
    assert_true(ok || e.out.size > 0);
    buffer_free(&e.out);
    return status;
}

static const struct guard_headers OURS = {.host = "localhost:8080",
                                          .origin = "http://localhost:8080",
                                          .fetch_site = "same-origin",
                                          .token = "0123456789",
                                          .content_type = "application/json"};

static void our_own_page_may_read_and_change(void **state)
{
    assert_int_equal(admitted("GET", "/api/v1/topics", OURS), 200);
    assert_int_equal(admitted("POST", "/api/v1/topics", OURS), 200);
    struct guard_headers program = {.host = "127.0.0.1:8080"};
    assert_int_equal(admitted("GET", "/api/v1/topics", program), 200);
    assert_int_equal(admitted("GET", "/metrics", program), 200);
}

static void a_name_that_was_pointed_here_reads_nothing(void **state)
{
    struct guard_headers rebound = OURS;
    rebound.host = "evil.example:8080";
    rebound.origin = "http://evil.example:8080";
    assert_int_equal(admitted("GET", "/api/v1/session", rebound), 403);
    assert_int_equal(admitted("GET", "/", rebound), 403);
    assert_int_equal(admitted("POST", "/api/v1/topics", rebound), 403);
}

static void another_site_reads_and_changes_nothing(void **state)
{
    struct guard_headers other = OURS;
    other.origin = "http://evil.example";
    assert_int_equal(admitted("GET", "/api/v1/session", other), 403);
    assert_int_equal(admitted("POST", "/api/v1/topics", other), 403);
    other.origin = "http://localhost:9999"; // another program of this machine
    assert_int_equal(admitted("POST", "/api/v1/topics", other), 403);
    other.origin = "null";
    assert_int_equal(admitted("POST", "/api/v1/topics", other), 403);
    other.origin = NULL;
    other.fetch_site = "cross-site";
    assert_int_equal(admitted("GET", "/api/v1/topics", other), 403);
    assert_int_equal(admitted("POST", "/api/v1/topics", other), 403);
    assert_int_equal(admitted("GET", "/topics", other), 200); // a link to the page
}

static void a_change_needs_the_token_of_this_run_and_json(void **state)
{
    struct guard_headers form = OURS;
    form.token = NULL;
    assert_int_equal(admitted("POST", "/api/v1/topics", form), 403);
    form.token = "0123456780";
    assert_int_equal(admitted("POST", "/api/v1/topics", form), 403);
    form.token = "012345678";
    assert_int_equal(admitted("POST", "/api/v1/topics", form), 403);
    form.token = OURS.token;
    form.content_type = "text/plain";
    assert_int_equal(admitted("POST", "/api/v1/topics", form), 415);
}

static void a_read_only_console_changes_nothing(void **state)
{
    site.is_read_only = true;
    assert_int_equal(admitted("POST", "/api/v1/topics", OURS), 403);
    assert_int_equal(admitted("GET", "/api/v1/topics", OURS), 200);
    site.is_read_only = false;
}

static void other_methods_are_refused(void **state)
{
    assert_int_equal(admitted("PUT", "/api/v1/topics", OURS), 405);
    assert_int_equal(admitted("OPTIONS", "/api/v1/topics", OURS), 405);
    assert_int_equal(admitted("POST", "/healthz", OURS), 405);
}

static void our_pages_may_ask_no_other_host(void **state)
{
    assert_non_null(strstr(guard__policy, "default-src 'none'"));
    assert_non_null(strstr(guard__policy, "connect-src 'self'"));
    assert_non_null(strstr(guard__policy, "frame-ancestors 'none'"));
    assert_null(strstr(guard__policy, "unsafe"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_page_may_read_and_change),
        cmocka_unit_test(a_name_that_was_pointed_here_reads_nothing),
        cmocka_unit_test(another_site_reads_and_changes_nothing),
        cmocka_unit_test(a_change_needs_the_token_of_this_run_and_json),
        cmocka_unit_test(a_read_only_console_changes_nothing),
        cmocka_unit_test(other_methods_are_refused),
        cmocka_unit_test(our_pages_may_ask_no_other_host),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
