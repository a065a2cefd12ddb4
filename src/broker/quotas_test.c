// SPDX-License-Identifier: Apache-2.0
/* broker/quotas_test.c - which quota holds for whom, who shares a measure, and when somebody waits. */
#include "broker/quotas.h"

#include "wire/gen/records_metadata.h"
#include "wire/wire.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char USER[] = "user", CLIENT[] = "client-id", ADDRESS[] = "ip";

struct story {
    struct meta_settings *settings;
    struct meta_builder *builder;
    struct quotas *quotas;
};

static int begin(void **state)
{
    struct story *story = mem_zalloc(sizeof *story);
    story->settings = meta_settings_create();
    story->builder = meta_builder_create(NULL);
    story->quotas = quotas__create(story->settings);
    *state = story;
    return 0;
}

static int end(void **state)
{
    struct story *story = *state;
    quotas__free(story->quotas);
    meta_builder_free(story->builder);
    meta_settings_free(story->settings);
    mem_free(story);
    return 0;
}

static const struct meta_image *image(const struct story *story)
{
    return meta_builder_view(story->builder);
}

/* Of one or two parts; a NULL type ends them, a NULL name is the default. */
static void set(struct story *story, const char *type, const char *name, const char *type_too, const char *name_too,
                const char *key, double value)
{
    struct client_quota_record_entity_data entity[2];
    struct client_quota_record record;
    struct wire_writer w;
    client_quota_record_init(&record);
    client_quota_record_entity_data_init(&entity[0]);
    client_quota_record_entity_data_init(&entity[1]);
    entity[0].entity_type = slice_str(type);
    entity[0].entity_name = slice_str(name);
    entity[1].entity_type = slice_str(type_too);
    entity[1].entity_name = slice_str(name_too);
    record.entity = entity;
    record.entity_count = type_too ? 2 : 1;
    record.key = slice_str(key);
    record.value = value;
    wire_writer_init(&w, 4096);
    meta_record_write(&w, META_CLIENT_QUOTA, 0, &record);
    struct status s = meta_apply(story->builder, wire_writer_bytes(&w));
    wire_writer_free(&w);
    assert_int_equal(s.error, 0);
}

static double bytes_a_second(const struct story *story, const char *client)
{
    return quotas__window_max(story->quotas, image(story), QUOTA_PRODUCE, slice_str(client)) / 10;
}

static int64_t produce(struct story *story, const char *client, double bytes, int64_t now_ms)
{
    return quotas__record(story->quotas, image(story), QUOTA_PRODUCE, slice_str(client), bytes, now_ms);
}

static void without_quotas_nobody_waits(void **state)
{
    struct story *story = *state;
    assert_int_equal(produce(story, "c", 1e12, 0), 0);
    assert_true(isinf(bytes_a_second(story, "c")));
}

/* From the last in the order to the first: each one that is set wins over those before. */
static void the_most_precise_quota_holds(void **state)
{
    struct story *story = *state;
    static const struct {
        const char *user_type, *user, *client_type, *client;
    } order[] = {
        {NULL, NULL, CLIENT, NULL},        {NULL, NULL, CLIENT, "c"},        {USER, NULL, NULL, NULL},
        {USER, NULL, CLIENT, NULL},        {USER, NULL, CLIENT, "c"},        {USER, "ANONYMOUS", NULL, NULL},
        {USER, "ANONYMOUS", CLIENT, NULL}, {USER, "ANONYMOUS", CLIENT, "c"},
    };
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        double value = 100 + (double)i;
        if (!order[i].user_type)
            set(story, CLIENT, order[i].client, NULL, NULL, "producer_byte_rate", value);
        else
            set(story, USER, order[i].user, order[i].client_type, order[i].client, "producer_byte_rate", value);
        assert_true(bytes_a_second(story, "c") == value);
    }
}

static void quotas_of_others_do_not_hold(void **state)
{
    struct story *story = *state;
    set(story, CLIENT, "other", NULL, NULL, "producer_byte_rate", 10);
    set(story, USER, "alice", NULL, NULL, "producer_byte_rate", 10);
    set(story, CLIENT, "c", NULL, NULL, "consumer_byte_rate", 10);
    assert_true(isinf(bytes_a_second(story, "c")));
}

static void clients_of_one_user_share_the_users_quota(void **state)
{
    struct story *story = *state;
    set(story, USER, NULL, NULL, NULL, "producer_byte_rate", 1000);
    assert_int_equal(produce(story, "a", 10000, 0), 0);
    assert_int_equal(produce(story, "b", 10000, 0), 10000);
}

static void clients_under_a_default_have_measures_of_their_own(void **state)
{
    struct story *story = *state;
    set(story, CLIENT, NULL, NULL, NULL, "producer_byte_rate", 1000);
    assert_int_equal(produce(story, "a", 20000, 0), 10000);
    assert_int_equal(produce(story, "b", 10000, 0), 0);
}

static void a_changed_quota_holds_at_once(void **state)
{
    struct story *story = *state;
    set(story, CLIENT, "c", NULL, NULL, "producer_byte_rate", 1000);
    assert_int_equal(produce(story, "c", 20000, 0), 10000);
    set(story, CLIENT, "c", NULL, NULL, "producer_byte_rate", 2000);
    assert_int_equal(produce(story, "c", 0, 0), 0);
}

static void time_is_waited_for_one_window_at_most(void **state)
{
    struct story *story = *state;
    set(story, CLIENT, "c", NULL, NULL, "request_percentage", 1);
    assert_int_equal(quotas__record(story->quotas, image(story), QUOTA_REQUEST, slice_str("c"), 5000, 0), 1000);
}

static void what_is_taken_back_makes_nobody_wait(void **state)
{
    struct story *story = *state;
    set(story, CLIENT, "c", NULL, NULL, "consumer_byte_rate", 1000);
    assert_true(quotas__record(story->quotas, image(story), QUOTA_FETCH, slice_str("c"), 20000, 0) > 0);
    quotas__take_back(story->quotas, image(story), QUOTA_FETCH, slice_str("c"), 20000, 0);
    assert_int_equal(quotas__record(story->quotas, image(story), QUOTA_FETCH, slice_str("c"), 0, 0), 0);
}

static void a_strict_mutation_is_refused_while_there_is_a_debt(void **state)
{
    struct story *story = *state;
    int64_t throttle_ms;
    set(story, USER, NULL, NULL, NULL, "controller_mutation_rate", 1);
    assert_true(quotas__mutate(story->quotas, image(story), slice_str("c"), 13, true, 0, &throttle_ms));
    assert_int_equal(throttle_ms, 0);
    assert_false(quotas__mutate(story->quotas, image(story), slice_str("c"), 1, true, 0, &throttle_ms));
    assert_int_equal(throttle_ms, 2000);
    assert_true(quotas__mutate(story->quotas, image(story), slice_str("c"), 1, false, 0, &throttle_ms));
    assert_int_equal(throttle_ms, 3000);
}

static int64_t connect(struct story *story, const char *host, int64_t now_ms)
{
    return quotas__connection(story->quotas, image(story), host, now_ms);
}

static void connections_are_counted_by_address(void **state)
{
    struct story *story = *state;
    set(story, ADDRESS, "10.0.1", NULL, NULL, "connection_creation_rate", 1); // 10.0.0.1, spelled otherwise
    for (int i = 0; i < 10; i++)
        assert_int_equal(connect(story, "10.0.0.1", 0), 0);
    assert_true(connect(story, "10.0.0.1", 0) > 0);
    assert_int_equal(connect(story, "10.0.0.2", 0), 0);
    assert_int_equal(connect(story, "10.0.0.1", 11000), 0);
}

static void an_addresss_own_quota_wins_over_the_default(void **state)
{
    struct story *story = *state;
    set(story, ADDRESS, NULL, NULL, NULL, "connection_creation_rate", 1);
    set(story, ADDRESS, "::1", NULL, NULL, "connection_creation_rate", 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(connect(story, "::1", 0), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(connect(story, "127.0.0.1", 0), 0);
    assert_true(connect(story, "127.0.0.1", 0) > 0);
}

static void there_is_an_end_to_measures(void **state)
{
    struct story *story = *state;
    char name[32];
    set(story, CLIENT, NULL, NULL, NULL, "producer_byte_rate", 1);
    assert_true(produce(story, "first", 1000, 0) > 0);
    for (int i = 0; i < QUOTA_MEASURES_MAX; i++) {
        snprintf(name, sizeof name, "client-%d", i);
        assert_int_equal(produce(story, name, 1, 0), 0);
    }
    assert_int_equal(produce(story, "first", 0, 0), 0); // forgotten: it was used longest ago
}

#define quota_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        quota_test(without_quotas_nobody_waits),
        quota_test(the_most_precise_quota_holds),
        quota_test(quotas_of_others_do_not_hold),
        quota_test(clients_of_one_user_share_the_users_quota),
        quota_test(clients_under_a_default_have_measures_of_their_own),
        quota_test(a_changed_quota_holds_at_once),
        quota_test(time_is_waited_for_one_window_at_most),
        quota_test(what_is_taken_back_makes_nobody_wait),
        quota_test(a_strict_mutation_is_refused_while_there_is_a_debt),
        quota_test(connections_are_counted_by_address),
        quota_test(an_addresss_own_quota_wins_over_the_default),
        quota_test(there_is_an_end_to_measures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
