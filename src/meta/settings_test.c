// SPDX-License-Identifier: Apache-2.0
/* meta/settings_test.c - static settings: given, default or neither, and as numbers. */
#include "meta/meta.h"

#include <setjmp.h>

#include <cmocka.h>

static void what_is_given_wins_over_the_default(void **state)
{
    struct meta_settings *settings = meta_settings_create();
    assert_null(meta_settings_given(settings, "num.partitions"));
    assert_string_equal(meta_settings_get(settings, "num.partitions"), "1");
    meta_settings_set(settings, "num.partitions", " 12 ");
    meta_settings_set(settings, "num.partitions", " 13 ");
    assert_string_equal(meta_settings_given(settings, "num.partitions"), " 13 ");
    assert_int_equal(meta_settings_i64(settings, "num.partitions"), 13);
    meta_settings_set(settings, "num.partitions", NULL);
    meta_settings_set(settings, "num.partitions", NULL);
    assert_int_equal(meta_settings_i64(settings, "num.partitions"), 1);
    meta_settings_free(settings);
    meta_settings_free(NULL);
}

static void a_setting_without_default_has_no_value(void **state)
{
    struct meta_settings *settings = meta_settings_create();
    assert_null(meta_settings_get(settings, "node.id"));
    assert_null(meta_settings_get(settings, "log.retention.ms"));
    assert_null(meta_settings_get(settings, "no.such.setting"));
    meta_settings_set(settings, "no.such.setting", "kept");
    assert_string_equal(meta_settings_get(settings, "no.such.setting"), "kept");
    meta_settings_free(settings);
}

static void given_settings_are_listed_in_order(void **state)
{
    struct meta_settings *settings = meta_settings_create();
    static const char *const names[] = {"m", "z", "a", "k", "b"};
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            char name[16];
            snprintf(name, sizeof name, "%s%d", names[i], round);
            meta_settings_set(settings, name, names[i]);
        }
    assert_int_equal(meta_settings_count(settings), 100);
    const char *before = "";
    for (int i = 0; i < 100; i++) {
        const char *name, *value;
        meta_settings_at(settings, i, &name, &value);
        assert_true(strcmp(before, name) < 0);
        assert_int_equal(name[0], value[0]);
        before = name;
    }
    meta_settings_free(settings);
}

static void numbers_and_truths_are_read_as_java_reads_them(void **state)
{
    struct meta_settings *settings = meta_settings_create();
    meta_settings_set(settings, "log.cleaner.min.cleanable.ratio", "1e-1");
    meta_settings_set(settings, "auto.create.topics.enable", " FALSE");
    meta_settings_set(settings, "log.retention.bytes", "-9223372036854775808");
    assert_true(meta_settings_f64(settings, "log.cleaner.min.cleanable.ratio") == 0.1);
    assert_false(meta_settings_bool(settings, "auto.create.topics.enable"));
    assert_true(meta_settings_bool(settings, "delete.topic.enable"));
    assert_true(meta_settings_i64(settings, "log.retention.bytes") == INT64_MIN);
    meta_settings_free(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_wins_over_the_default),
        cmocka_unit_test(a_setting_without_default_has_no_value),
        cmocka_unit_test(given_settings_are_listed_in_order),
        cmocka_unit_test(numbers_and_truths_are_read_as_java_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
