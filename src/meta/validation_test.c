// SPDX-License-Identifier: Apache-2.0
/* meta/validation_test.c - every odd value and name gets the answer of Apache Kafka's own classes, word for word.
 *
 * test/kafka/config-errors.txt has what those classes said; settings whose rule we leave to whoever reads them (a list of
 * host:port) and the one place where Kafka trips over a null are left out.
 */
#include "meta/meta.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct meta_config_table *table_of(const char *name)
{
    if (strcmp(name, "topic") == 0)
        return &meta_topic_configs;
    if (strcmp(name, "broker") == 0)
        return &meta_broker_configs;
    if (strcmp(name, "group") == 0)
        return &meta_group_configs;
    return strcmp(name, "client-metrics") == 0 ? &meta_client_metrics_configs : NULL;
}

/* Undoes what the file's writer escaped; NULL for null. */
static char *unescape(char *text)
{
    if (strcmp(text, "\\0") == 0)
        return NULL;
    char *to = text;
    for (char *from = text; *from; from++) {
        if (*from == '\\')
            from++;
        *to++ = *from;
    }
    *to = 0;
    return text;
}

struct line {
    char *table, *name, *value, *message;
};

static FILE *open_answers(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/test/kafka/config-errors.txt", getenv("OTTLA_SOURCE_ROOT"));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    return file;
}

/* Splits at tabs; false at the end of the file. */
static bool next_line(FILE *file, char *text, size_t size, struct line *ret_line)
{
    do {
        if (!fgets(text, (int)size, file))
            return false;
    } while (text[0] == '#');
    text[strcspn(text, "\n")] = 0;
    char *fields[4];
    for (int i = 0; i < 4; i++) {
        fields[i] = text;
        text += strcspn(text, "\t");
        assert_true(i == 3 || *text == '\t');
        *text++ = 0;
    }
    *ret_line = (struct line){fields[0], fields[1], unescape(fields[2]), unescape(fields[3])};
    return true;
}

static bool is_compared(const struct meta_config_def *def, const char *value)
{
    return strcmp(def->allowed, "non-empty list") != 0 && (value || def->rule != META_RULE_REPLICAS);
}

static void each_value_is_judged_as_by_kafka(void **state)
{
    FILE *file = open_answers();
    char text[4096], message[META_MESSAGE_SIZE];
    struct line line;
    int compared = 0;
    while (next_line(file, text, sizeof text, &line)) {
        const struct meta_config_table *table = table_of(line.table);
        if (!table)
            continue;
        const struct meta_config_def *def = meta_config_find(table, slice_str(line.name));
        assert_non_null(def);
        if (!is_compared(def, line.value))
            continue;
        snprintf(message, sizeof message, "-");
        meta_config_validate(def, slice_str(line.value), message);
        if (strcmp(message, line.message) != 0)
            fail_msg("%s=%s: \"%s\" instead of \"%s\"", line.name, line.value, message, line.message);
        compared++;
    }
    fclose(file);
    assert_true(compared > 2000);
}

static void names_of_topics_are_judged_as_by_kafka(void **state)
{
    FILE *file = open_answers();
    char text[4096], message[META_MESSAGE_SIZE];
    struct line line;
    int compared = 0;
    while (next_line(file, text, sizeof text, &line)) {
        if (strcmp(line.table, "topic name") != 0)
            continue;
        snprintf(message, sizeof message, "-");
        bool is_valid = meta_topic_name_is_valid(slice_str(line.value), message);
        assert_string_equal(message, line.message);
        assert_int_equal(is_valid, strcmp(message, "-") == 0);
        compared++;
    }
    fclose(file);
    assert_true(compared > 10);
}

/* Names and values one after the other, between spaces; a missing last value is empty. */
static int32_t split_entries(char *text, struct meta_config_entry *entries)
{
    int32_t count = 0;
    while (*text) {
        struct slice parts[2] = {slice_str(""), slice_str("")};
        for (int i = 0; i < 2 && *text; i++) {
            parts[i] = slice_of(text, strcspn(text, " "));
            text += parts[i].size + (text[parts[i].size] == ' ');
        }
        entries[count++] = (struct meta_config_entry){parts[0], parts[1]};
    }
    return count;
}

static void settings_of_a_topic_are_judged_together_as_by_kafka(void **state)
{
    FILE *file = open_answers();
    char text[4096], message[META_MESSAGE_SIZE];
    struct line line;
    int compared = 0;
    while (next_line(file, text, sizeof text, &line)) {
        if (strcmp(line.table, "topic together") != 0)
            continue;
        struct meta_config_entry entries[4];
        int32_t count = split_entries(line.name, entries);
        snprintf(message, sizeof message, "-");
        meta_topic_configs_validate(NULL, entries, count, message);
        assert_string_equal(message, line.message);
        compared++;
    }
    fclose(file);
    assert_true(compared > 10);
}

static void a_lag_conflicts_with_the_default_of_this_node(void **state)
{
    struct meta_settings *settings = meta_settings_create();
    meta_settings_set(settings, "log.cleaner.max.compaction.lag.ms", "50");
    struct meta_config_entry entry = {slice_str("min.compaction.lag.ms"), slice_str("51")};
    char message[META_MESSAGE_SIZE];
    assert_false(meta_topic_configs_validate(settings, &entry, 1, message));
    assert_string_equal(message,
                        "conflict topic config setting min.compaction.lag.ms (51) > max.compaction.lag.ms (50)");
    assert_true(meta_topic_configs_validate(NULL, &entry, 1, message));
    meta_settings_free(settings);
}

static void a_message_is_cut_at_its_buffer(void **state)
{
    char value[2000], message[META_MESSAGE_SIZE];
    memset(value, 'x', sizeof value);
    const struct meta_config_def *def = &meta_topic_configs.defs[META_TOPIC_RETENTION_MS];
    assert_string_equal(def->name, "retention.ms");
    assert_false(meta_config_validate(def, slice_of(value, sizeof value), message));
    assert_int_equal(strlen(message), META_MESSAGE_SIZE - 1);
}

static void each_default_is_valid_and_found_by_its_name(void **state)
{
    const struct meta_config_table *tables[] = {&meta_topic_configs, &meta_broker_configs, &meta_group_configs,
                                                &meta_client_metrics_configs, &meta_quota_configs};
    char message[META_MESSAGE_SIZE];
    for (size_t t = 0; t < COUNT_OF(tables); t++)
        for (int i = 0; i < tables[t]->count; i++) {
            const struct meta_config_def *def = &tables[t]->defs[i];
            assert_ptr_equal(meta_config_find(tables[t], slice_str(def->name)), def);
            if (def->default_value)
                assert_true(meta_config_validate(def, slice_str(def->default_value), message));
            assert_true(strlen(def->documentation) > 10);
            assert_int_equal(def->sensitive, def->type == META_TYPE_PASSWORD);
        }
    assert_null(meta_config_find(&meta_topic_configs, slice_str("retention")));
    assert_null(meta_config_find(&meta_topic_configs, slice_str("")));
}

static void what_is_unsafe_to_ignore_is_refused_unless_it_is_the_default(void **state)
{
    const struct meta_config_def *roles = meta_config_find(&meta_broker_configs, slice_str("process.roles"));
    assert_int_equal(meta_config_treatment(roles, slice_str("controller,broker")), META_SERVED);
    assert_int_equal(meta_config_treatment(roles, slice_str("controller")), META_REFUSED);
    const struct meta_config_def *remote =
        meta_config_find(&meta_broker_configs, slice_str("remote.log.storage.system.enable"));
    assert_int_equal(meta_config_treatment(remote, slice_str(" false ")), META_SERVED);
    assert_int_equal(meta_config_treatment(remote, slice_str("true")), META_REFUSED);
    const struct meta_config_def *threads = meta_config_find(&meta_broker_configs, slice_str("num.io.threads"));
    assert_int_equal(meta_config_treatment(threads, slice_str("8")), META_SERVED);
    assert_int_equal(meta_config_treatment(threads, slice_str("16")), META_WARNED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_is_judged_as_by_kafka),
        cmocka_unit_test(names_of_topics_are_judged_as_by_kafka),
        cmocka_unit_test(settings_of_a_topic_are_judged_together_as_by_kafka),
        cmocka_unit_test(a_lag_conflicts_with_the_default_of_this_node),
        cmocka_unit_test(a_message_is_cut_at_its_buffer),
        cmocka_unit_test(each_default_is_valid_and_found_by_its_name),
        cmocka_unit_test(what_is_unsafe_to_ignore_is_refused_unless_it_is_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
