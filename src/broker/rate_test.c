// SPDX-License-Identifier: Apache-2.0
/* broker/rate_test.c - quotas' arithmetic, by a clock that the tests hold. Numbers are Apache Kafka's defaults: eleven windows
 * of a second, so a rate is told over ten seconds at least.
 */
#include "broker/rate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct rate_config DEFAULT = {11, 1000};

static int begin(void **state)
{
    *state = rate__create(DEFAULT);
    return 0;
}

static int end(void **state)
{
    mem_free(*state);
    return 0;
}

static void assert_near(double value, double wanted)
{
    if (fabs(value - wanted) > 1e-6)
        fail_msg("%f is not %f", value, wanted);
}

static void a_burst_after_silence_counts_over_ten_seconds(void **state)
{
    rate__record(*state, 5000, 100000);
    assert_near(rate__measure(*state, 100000), 500);
    assert_near(rate__measure(*state, 100500), 5000 * 1000.0 / 10500);
}

static void who_is_under_the_bound_does_not_wait(void **state)
{
    rate__record(*state, 5000, 0);
    assert_int_equal(rate__throttle_ms(*state, 500, 0), 0);
    assert_int_equal(rate__throttle_ms(*state, 1e9, 0), 0);
}

static void who_is_over_waits_until_the_longer_time_makes_it_good(void **state)
{
    rate__record(*state, 20000, 0); // 2000 a second over ten seconds
    assert_int_equal(rate__throttle_ms(*state, 1000, 0), 10000);
    assert_near(rate__measure(*state, 0) * 10000 / 20000, 1000);
}

static void steady_use_is_measured_as_it_is(void **state)
{
    for (int64_t ms = 0; ms <= 30000; ms += 100)
        rate__record(*state, 100, ms);
    double rate = rate__measure(*state, 30000);
    assert_true(rate > 950 && rate < 1050);
}

static void what_is_older_than_all_windows_is_forgotten(void **state)
{
    rate__record(*state, 1e6, 0);
    assert_true(rate__measure(*state, 10999) > 0);
    assert_near(rate__measure(*state, 11000), 0);
    assert_int_equal(rate__throttle_ms(*state, 1, 11000), 0);
}

static void what_is_taken_back_was_never_there(void **state)
{
    rate__record(*state, 700, 0);
    rate__record(*state, 1e6, 10);
    rate__record(*state, -1e6, 10);
    assert_near(rate__measure(*state, 0), 70);
}

static void a_wait_fits_its_field(void **state)
{
    rate__record(*state, 1e18, 0);
    assert_int_equal(rate__throttle_ms(*state, 1e-6, 0), INT32_MAX);
}

static void one_window_is_enough(void **state)
{
    (void)state;
    struct rate *rate = rate__create((struct rate_config){1, 2000});
    rate__record(rate, 4000, 0);
    assert_near(rate__measure(rate, 0), 2000);
    assert_near(rate__measure(rate, 2000), 0);
    mem_free(rate);
}

/* ---- tokens: five a second, eleven seconds' worth at most */
static void a_full_bucket_lets_a_burst_pass_and_leaves_a_debt(void **state)
{
    (void)state;
    struct tokens tokens = {0};
    assert_true(tokens__take(&tokens, DEFAULT, 5, 55, 1000));
    assert_int_equal(tokens__throttle_ms(&tokens, DEFAULT, 5, 1000), 0);
    assert_true(tokens__take(&tokens, DEFAULT, 5, 10, 1000));
    assert_int_equal(tokens__throttle_ms(&tokens, DEFAULT, 5, 1000), 2000);
    assert_false(tokens__take(&tokens, DEFAULT, 5, 1, 2000));
    assert_int_equal(tokens__throttle_ms(&tokens, DEFAULT, 5, 2000), 1000);
    assert_true(tokens__take(&tokens, DEFAULT, 5, 1, 3000));
}

static void a_bucket_holds_no_more_than_all_windows_earn(void **state)
{
    (void)state;
    struct tokens tokens = {0};
    tokens__take_all(&tokens, DEFAULT, 5, 0, 0);
    tokens__take_all(&tokens, DEFAULT, 5, 60, 1000000);
    assert_int_equal(tokens__throttle_ms(&tokens, DEFAULT, 5, 1000000), 1000);
}

#define rate_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        rate_test(a_burst_after_silence_counts_over_ten_seconds),
        rate_test(who_is_under_the_bound_does_not_wait),
        rate_test(who_is_over_waits_until_the_longer_time_makes_it_good),
        rate_test(steady_use_is_measured_as_it_is),
        rate_test(what_is_older_than_all_windows_is_forgotten),
        rate_test(what_is_taken_back_was_never_there),
        rate_test(a_wait_fits_its_field),
        cmocka_unit_test(one_window_is_enough),
        cmocka_unit_test(a_full_bucket_lets_a_burst_pass_and_leaves_a_debt),
        cmocka_unit_test(a_bucket_holds_no_more_than_all_windows_earn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
