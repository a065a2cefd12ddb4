// SPDX-License-Identifier: Apache-2.0
/* main/reload_test.c - what a file of settings changes when it is read again, and what people are told of the rest. */
#include "main/settings.h"

#include <setjmp.h>
#include <stdarg.h>
// cmocka needs the two above first
#include <cmocka.h>

struct story {
    struct buffer told;
    struct settings *before, *fresh;
    struct meta_settings *merged;
    int changed;
};

static int begin(void **state)
{
    struct story *story = mem_zalloc(sizeof *story);
    settings__tell_to(&story->told);
    *state = story;
    return 0;
}

static int end(void **state)
{
    struct story *story = *state;
    settings__tell_to(NULL);
    settings_free(story->before);
    settings_free(story->fresh);
    meta_settings_free(story->merged);
    buffer_free(&story->told);
    mem_free(story);
    return 0;
}

static struct settings *load(const char *first, const char *second)
{
    const char *sets[] = {first, second};
    struct settings *settings = NULL;
    struct status s = settings_load(NULL, sets, second ? 2 : first ? 1 : 0, &settings);
    assert_int_equal(s.error, 0);
    return settings;
}

static void reload(struct story *story, struct settings *before, struct settings *fresh)
{
    story->before = before;
    story->fresh = fresh;
    story->told.size = 0;
    story->merged = reload__merge(before->values, before, fresh, &story->changed);
    buffer_append(&story->told, "", 1);
}

static const char *told(const struct story *story)
{
    return (const char *)story->told.data;
}

static void what_kafka_changes_by_request_changes(void **state)
{
    struct story *story = *state;
    reload(story, load("max.connections=7", "log.cleaner.backoff.ms=5"),
           load("max.connections=8", "log.retention.ms=9"));
    assert_int_equal(story->changed, 3);
    assert_int_equal(meta_settings_i64(story->merged, "max.connections"), 8);
    assert_int_equal(meta_settings_i64(story->merged, "log.retention.ms"), 9);
    assert_null(meta_settings_given(story->merged, "log.cleaner.backoff.ms")); // back to its default
    assert_string_equal(told(story), "");
}

static void what_a_listener_has_for_itself_changes(void **state)
{
    struct story *story = *state;
    reload(story,
           load("listener.name.plaintext.max.connections=7", "listener.name.plaintext.max.connection.creation.rate=5"),
           load("listener.name.plaintext.max.connections=8", NULL));
    assert_int_equal(story->changed, 2);
    assert_string_equal(meta_settings_given(story->merged, "listener.name.plaintext.max.connections"), "8");
    assert_null(meta_settings_given(story->merged, "listener.name.plaintext.max.connection.creation.rate"));
    assert_string_equal(told(story), "");
}

static void the_level_of_the_log_changes(void **state)
{
    struct story *story = *state;
    reload(story, load(NULL, NULL), load("ottla.log.level=debug", NULL));
    assert_int_equal(story->changed, 1);
    assert_string_equal(meta_settings_get(story->merged, "ottla.log.level"), "debug");
}

static void what_needs_a_start_stays_and_is_told(void **state)
{
    struct story *story = *state;
    reload(story, load("num.partitions=2", NULL), load("num.partitions=3", "listeners=PLAINTEXT://127.0.0.1:7"));
    assert_int_equal(story->changed, 0);
    assert_int_equal(meta_settings_i64(story->merged, "num.partitions"), 2);
    assert_non_null(strstr(told(story), "num.partitions is another now, which counts from the next start on"));
    assert_non_null(strstr(told(story), "listeners is another now"));
}

static void the_same_file_changes_nothing(void **state)
{
    struct story *story = *state;
    reload(story, load("max.connections=7", NULL), load("max.connections=7", NULL));
    assert_int_equal(story->changed, 0);
    assert_string_equal(told(story), "");
}

#define reload_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        reload_test(what_kafka_changes_by_request_changes), reload_test(what_a_listener_has_for_itself_changes),
        reload_test(the_level_of_the_log_changes),          reload_test(what_needs_a_start_stays_and_is_told),
        reload_test(the_same_file_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
