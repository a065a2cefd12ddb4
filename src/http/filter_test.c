// SPDX-License-Identifier: Apache-2.0
/* http/filter_test.c - which records a search wants, by each of its conditions; and how times and keys are read. */
#include "http/http__.h"

#include <setjmp.h>
#include <stdarg.h>
// cmocka needs the two above first
#include <cmocka.h>

static const uint8_t HEADERS[] = {2, 2, 'h', 4, 'v', '1'}; // one header: h=v1

static struct record record_of(const char *value)
{
    return (struct record){.timestamp_ms = 1000,
                           .key = slice_str("customer-7"),
                           .value = slice_str(value),
                           .headers = slice_of(HEADERS, sizeof HEADERS)};
}

static bool finds(const char *name, const char *text, const char *value)
{
    struct exchange e = {.query = {{name, text}}, .query_count = 1};
    struct filter *filter = filter__create(&e);
    assert_non_null(filter);
    struct record record = record_of(value);
    bool found = filter__matches(filter, &record);
    filter__free(filter);
    return found;
}

static bool is_refused(const char *name, const char *text)
{
    struct exchange e = {.query = {{name, text}}, .query_count = 1};
    struct filter *filter = filter__create(&e);
    bool refused = !filter && e.status == 400;
    filter__free(filter);
    buffer_free(&e.out);
    return refused;
}

static void text_key_and_headers_are_looked_for(void **state)
{
    assert_true(finds("text", "order", "an order"));
    assert_false(finds("text", "Order", "an order"));
    assert_false(finds("text", "order", NULL)); // a tombstone
    assert_true(finds("key", "mer-7", "x"));
    assert_false(finds("key", "mer-8", "x"));
    assert_true(finds("header", "h", "x"));
    assert_true(finds("header", "h=v1", "x"));
    assert_false(finds("header", "h=v2", "x"));
    assert_false(finds("header", "g", "x"));
    assert_true(finds("text", "", "anything"));
}

static void every_condition_that_is_given_must_hold(void **state)
{
    struct record record = record_of("an order of {\"a\":1}");
    static const struct {
        const char *first_name, *first, *second_name, *second;
        bool found;
    } CASES[] = {
        {"text", "an", "text", "order", true},    {"text", "an", "text", "sale", false},
        {"key", "customer", "key", "-7", true},   {"key", "customer", "text", "sale", false},
        {"header", "h=v1", "header", "g", false}, {"json", "a", "text", "order", false},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct exchange e = {.query = {{CASES[i].first_name, CASES[i].first}, {CASES[i].second_name, CASES[i].second}},
                             .query_count = 2};
        struct filter *filter = filter__create(&e);
        assert_non_null(filter);
        assert_int_equal(filter__matches(filter, &record), CASES[i].found);
        filter__free(filter);
    }
}

static void more_conditions_than_there_is_room_for_are_refused(void **state)
{
    struct exchange e = {.query_count = 17};
    for (int i = 0; i < e.query_count; i++)
        e.query[i].name = "text", e.query[i].value = "x";
    assert_null(filter__create(&e));
    assert_int_equal(e.status, 400);
    buffer_free(&e.out);
}

static void json_is_compared_at_a_path(void **state)
{
    static const char VALUE[] =
        "{\"order\":{\"total\":12.5,\"state\":\"paid\",\"big\":true},\"rows\":[{\"id\":1},{\"id\":7}]}";
    static const char *const TRUE_ONES[] = {
        "$.order.total > 12",        "order.total>=12.5",  "$.order.total != 3", "$.order.state = paid",
        "$.order.state == \"paid\"", "$.order.state ~ ai", "$.order.big = true", "$.rows[1].id = 7",
        "$.rows[*].id = 7",          "$.rows.id = 1",      "$.order.state"};
    static const char *const FALSE_ONES[] = {
        "$.order.total > 12.5", "$.order.state = open", "$.rows[0].id = 7", "$.rows[9].id", "$.missing", "$.order = 3"};
    for (size_t i = 0; i < COUNT_OF(TRUE_ONES); i++)
        assert_true(finds("json", TRUE_ONES[i], VALUE));
    for (size_t i = 0; i < COUNT_OF(FALSE_ONES); i++)
        assert_false(finds("json", FALSE_ONES[i], VALUE));
    assert_false(finds("json", "$.order", "order, but no JSON"));
}

static void what_is_no_condition_is_refused(void **state)
{
    assert_true(is_refused("json", "$.a ? 3"));
    assert_true(is_refused("json", "$.a[x"));
    assert_true(is_refused("after", "yesterday"));
}

static void timestamps_bound_from_and_before(void **state)
{
    assert_true(finds("after", "1000", "x"));
    assert_false(finds("after", "1001", "x"));
    assert_false(finds("before", "1000", "x"));
    assert_true(finds("before", "1970-01-01T00:00:01.001Z", "x"));
}

static void times_are_read_as_iso_8601(void **state)
{
    int64_t ms;
    assert_true(time__parse("1970-01-02", &ms) && ms == 86400000);
    assert_true(time__parse("2026-01-31T12:00Z", &ms) && ms == 1769860800000);
    assert_true(time__parse("2026-01-31T12:00:00.250Z", &ms) && ms == 1769860800250);
    assert_true(time__parse("2026-01-31T14:00:00+02:00", &ms) && ms == 1769860800000);
    assert_false(time__parse("12:00", &ms));
    assert_false(time__parse("2026-01-31T12:00:00 o'clock", &ms));
    assert_false(time__parse("2026-01-31T12:00:00+99", &ms));
}

/* As Kafka's own clients hash: org.apache.kafka.common.utils.Utils.murmur2. */
static void keys_go_where_kafkas_clients_put_them(void **state)
{
    assert_int_equal((int32_t)murmur2__hash(slice_str("21")), -973932308);
    assert_int_equal((int32_t)murmur2__hash(slice_str("foobar")), -790332482);
    assert_int_equal((int32_t)murmur2__hash(slice_str("a-little-bit-long-string")), -985981536);
    assert_int_equal((int32_t)murmur2__hash(slice_str("a-little-bit-longer-string")), -1486304829);
}

/* ---- json.c */
static void bytes_that_are_no_text_become_base64(void **state)
{
    struct buffer out = {0};
    struct json j = json__begin(&out);
    json__open(&j, NULL, '[');
    json__bytes(&j, NULL, slice_str("h\xc3\xa9\"\n"), 100);
    json__bytes(&j, NULL, slice_of("\xff\x00", 2), 100);
    json__bytes(&j, NULL, SLICE_NULL, 100);
    json__bytes(&j, NULL, slice_str("ab\xc3\xa9"), 3); // cut within a character
    json__close(&j, ']');
    buffer_append(&out, "", 1);
    assert_string_equal(out.data,
                        "[{\"size\":5,\"encoding\":\"utf8\",\"text\":\"h\xc3\xa9\\\"\\n\",\"truncated\":false},"
                        "{\"size\":2,\"encoding\":\"base64\",\"text\":\"/wA=\",\"truncated\":false},null,"
                        "{\"size\":4,\"encoding\":\"utf8\",\"text\":\"ab\",\"truncated\":true}]");
    buffer_free(&out);
}

static void only_whole_shortest_characters_are_text(void **state)
{
    static const char *const BROKEN[] = {"\x80",
                                         "\xc0\xaf",
                                         "\xe0\x80\xaf",
                                         "\xed\xa0\x80",
                                         "\xf0\x80\x80\xaf",
                                         "\xf4\x90\x80\x80",
                                         "\xf5\x80\x80\x80",
                                         "\xe2\x82"};
    for (size_t i = 0; i < COUNT_OF(BROKEN); i++)
        assert_int_equal(json__utf8_prefix(slice_str(BROKEN[i])), 0);
    assert_int_equal(json__utf8_prefix(slice_str("\xf0\x9f\x98\x80")), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_key_and_headers_are_looked_for),
        cmocka_unit_test(every_condition_that_is_given_must_hold),
        cmocka_unit_test(more_conditions_than_there_is_room_for_are_refused),
        cmocka_unit_test(json_is_compared_at_a_path),
        cmocka_unit_test(what_is_no_condition_is_refused),
        cmocka_unit_test(timestamps_bound_from_and_before),
        cmocka_unit_test(times_are_read_as_iso_8601),
        cmocka_unit_test(keys_go_where_kafkas_clients_put_them),
        cmocka_unit_test(bytes_that_are_no_text_become_base64),
        cmocka_unit_test(only_whole_shortest_characters_are_text),
    };
    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
