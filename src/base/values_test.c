// SPDX-License-Identifier: Apache-2.0
/* base/values_test.c - slices, uuids, checksums, random numbers, histograms, and the log line. */
#include "base/base.h"

#include <setjmp.h>

#include <cmocka.h>

static void null_equals_only_null(void **state)
{
    assert_true(slice_equal(SLICE_NULL, SLICE_NULL));
    assert_false(slice_equal(SLICE_NULL, slice_str("")));
    assert_true(slice_equal_str(slice_of("topic!", 5), "topic"));
    assert_false(slice_equal_str(slice_of("topic!", 5), "topix"));
}

static void slices_are_ordered_bytewise_shorter_first(void **state)
{
    static const char *const ORDERED[] = {"", "a", "aa", "ab", "b", "\x80"};
    for (size_t i = 0; i < COUNT_OF(ORDERED); i++)
        for (size_t k = 0; k < COUNT_OF(ORDERED); k++) {
            int order = slice_compare(slice_str(ORDERED[i]), slice_str(ORDERED[k]));
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
}

/* Text forms that Apache Kafka prints: UNKNOWN is zero, METADATA_TOPIC_ID is one. */
static void uuids_have_kafkas_text_form(void **state)
{
    char text[UUID_TEXT_SIZE];
    struct uuid one = {{[15] = 1}}, back;
    uuid_to_text(UUID_ZERO, text);
    assert_string_equal(text, "AAAAAAAAAAAAAAAAAAAAAA");
    uuid_to_text(one, text);
    assert_string_equal(text, "AAAAAAAAAAAAAAAAAAAAAQ");
    struct random random;
    random_seed(&random, 5);
    for (int i = 0; i < 1000; i++) {
        struct uuid id;
        for (size_t k = 0; k < sizeof id.bytes; k++)
            id.bytes[k] = (uint8_t)random_u64(&random);
        uuid_to_text(id, text);
        assert_true(uuid_from_text(slice_str(text), &back));
        assert_true(uuid_equal(id, back));
    }
    assert_false(uuid_from_text(slice_str("AAAAAAAAAAAAAAAAAAAAA"), &back));
    assert_false(uuid_from_text(slice_str("AAAAAAAAAAAAAAAAAAAAAA="), &back));
    assert_false(uuid_from_text(slice_str("AAAAAAAAAAAAAAAAAAAA+A"), &back));
    assert_false(uuid_from_text(slice_of("AAAAAAAAAAAAAAAAAAAA\0A", 22), &back));
}

/* RFC 3720, B.4. */
/* Little and much are computed differently: pieces of either kind make the same whole. */
static void crc32c_of_pieces_is_that_of_the_whole(void **state)
{
    uint8_t bytes[1500];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 167 + i / 7);
    for (size_t size = 0; size <= sizeof bytes; size += 1 + size / 60) {
        uint32_t whole = crc32c(bytes, size), pieces = 0;
        for (size_t at = 0; at < size; at += 61)
            pieces = crc32c_continue(pieces, bytes + at, size - at < 61 ? size - at : 61);
        assert_int_equal(pieces, whole);
    }
}

static void crc32c_is_castagnolis(void **state)
{
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(bytes, sizeof bytes), 0x62a8ab43);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(bytes, sizeof bytes), 0x46dd794e);
    for (size_t cut = 0; cut <= sizeof bytes; cut++)
        assert_int_equal(crc32c_continue(crc32c(bytes, cut), bytes + cut, sizeof bytes - cut), 0x46dd794e);
}

static void a_seed_gives_the_same_numbers_again(void **state)
{
    struct random a, b;
    random_seed(&a, 42);
    random_seed(&b, 42);
    uint64_t seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint64_t value = random_below(&a, 7);
        assert_int_equal(value, random_below(&b, 7));
        assert_true(value < 7);
        seen[value]++;
    }
    for (size_t i = 0; i < 7; i++)
        assert_in_range(seen[i], 800, 1200);
    random_seed(&b, 43);
    assert_true(random_u64(&a) != random_u64(&b));
}

static void a_histogram_knows_values_to_three_percent(void **state)
{
    static struct histogram h;
    assert_int_equal(histogram_percentile(&h, 99), 0);
    for (uint64_t value = 1; value <= 100000; value++)
        histogram_record(&h, value);
    static const double PERCENTS[] = {1, 10, 50, 90, 99, 99.9, 100};
    for (size_t i = 0; i < COUNT_OF(PERCENTS); i++) {
        double exact = PERCENTS[i] * 1000, told = (double)histogram_percentile(&h, PERCENTS[i]);
        assert_true(told >= exact * 0.96 && told <= exact * 1.04);
    }
    assert_int_equal(h.max, 100000);
    histogram_record(&h, UINT64_MAX); // the last slot
    histogram_record(&h, 0);
    assert_int_equal(h.total, 100002);
}

static void differences_stay_in_range(void **state)
{
    assert_int_equal(sub_i64(5, 7), -2);
    assert_int_equal(sub_i64(INT64_MAX, -1), INT64_MAX);
    assert_int_equal(sub_i64(INT64_MIN, 1), INT64_MIN);
    assert_int_equal(sub_i64(0, INT64_MIN), INT64_MAX);
    assert_int_equal(sub_i64(-1, INT64_MIN), INT64_MAX);
}

/* ---- the log line */
static char lines[8192];
static size_t lines_size;
static int line_count;
static int64_t wall_ms;

static void take_line(void *context, const char *line, size_t size)
{
    assert_in_range(size, 1, sizeof lines - lines_size - 1);
    memcpy(lines + lines_size, line, size);
    lines_size += size;
    lines[lines_size] = '\0';
    line_count++;
}

static int64_t told_ms(void)
{
    return wall_ms;
}

static int begin_lines(void **state)
{
    lines_size = 0;
    line_count = 0;
    log_sink_set(take_line, NULL);
    log_clock_set(told_ms);
    wall_ms = 1700000000123;
    return 0;
}

static int end_lines(void **state)
{
    log_sink_set(NULL, NULL);
    log_clock_set(NULL);
    log_level_set(LOG_INFO);
    return 0;
}

static void a_line_has_time_level_and_module(void **state)
{
    LOG(LOG_WARN, "net", "closed %d", 3);
    assert_string_equal(lines, "ts=2023-11-14T22:13:20.123Z level=warn mod=net msg=\"closed 3\"\n");
}

static void a_line_may_be_json(void **state)
{
    log_json_set(true);
    LOG(LOG_WARN, "net", "closed \"%s\"", "a\n");
    log_json_set(false);
    assert_string_equal(lines, "{\"ts\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"mod\":\"net\","
                               "\"msg\":\"closed \\\"a\\u000a\\\"\"}\n");
}

static void the_last_lines_are_kept_whole(void **state)
{
    struct buffer tail = {0};
    for (int i = 0; i < 9; i++)
        LOG(LOG_INFO, "net", "line %d", i);
    log_tail(&tail, 100);
    buffer_append(&tail, "", 1);
    assert_string_equal(tail.data, "ts=2023-11-14T22:13:20.123Z level=info mod=net msg=\"line 8\"\n");
    buffer_free(&tail);
}

static void what_a_client_sends_cannot_forge_a_line(void **state)
{
    LOG(LOG_INFO, "net", "topic %s", "a\"b\\c\nlevel=error \x7f");
    assert_string_equal(strstr(lines, "msg="), "msg=\"topic a\\\"b\\\\c\\x0alevel=error \\x7f\"\n");
    char huge[6000];
    memset(huge, '\n', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    lines_size = 0;
    LOG(LOG_INFO, "net", "%s", huge);
    assert_true(lines_size < 2100);
    assert_string_equal(lines + lines_size - 2, "\"\n");
}

static void a_level_hides_what_is_below(void **state)
{
    LOG(LOG_DEBUG, "net", "hidden");
    assert_int_equal(line_count, 0);
    log_level_set(LOG_ERROR);
    LOG(LOG_WARN, "net", "hidden");
    assert_int_equal(line_count, 0);
    LOG(LOG_ERROR, "net", "shown");
    assert_int_equal(line_count, 1);
}

static void one_place_writes_ten_lines_a_second_and_tells_what_it_left_out(void **state)
{
    for (int i = 0; i < 25 + 1; i++) {
        if (i == 25)
            wall_ms += 1000;
        lines_size = 0;
        LOG(LOG_INFO, "net", "again");
        assert_int_equal(line_count, i < 10 ? i + 1 : i < 25 ? 10 : 11);
    }
    assert_non_null(strstr(lines, "left_out=15\n"));
}

int main(void)
{
#define WITH_LINES(name) cmocka_unit_test_setup_teardown(name, begin_lines, end_lines)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_equals_only_null),
        cmocka_unit_test(slices_are_ordered_bytewise_shorter_first),
        cmocka_unit_test(uuids_have_kafkas_text_form),
        cmocka_unit_test(crc32c_is_castagnolis),
        cmocka_unit_test(crc32c_of_pieces_is_that_of_the_whole),
        cmocka_unit_test(a_seed_gives_the_same_numbers_again),
        cmocka_unit_test(a_histogram_knows_values_to_three_percent),
        cmocka_unit_test(differences_stay_in_range),
        WITH_LINES(a_line_has_time_level_and_module),
        WITH_LINES(a_line_may_be_json),
        WITH_LINES(the_last_lines_are_kept_whole),
        WITH_LINES(what_a_client_sends_cannot_forge_a_line),
        WITH_LINES(a_level_hides_what_is_below),
        WITH_LINES(one_place_writes_ten_lines_a_second_and_tells_what_it_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
