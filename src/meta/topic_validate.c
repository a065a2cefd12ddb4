// SPDX-License-Identifier: Apache-2.0
/* meta/topic_validate.c - a topic's settings from the static ones of this node, and all of a topic's settings together.
 *
 * Where a topic says nothing, the first given broker setting among its synonyms speaks, converted to the topic's unit; where
 * none is given, the table's default. Some settings only make sense together; that is judged over these values, as Apache
 * Kafka's LogConfig does.
 */
#include "meta/meta__.h"

/* The value that this node's static settings give, or the table's default; null when there is none. */
static struct slice static_value(const struct meta_settings *settings, const struct meta_config_def *def,
                                 char ret_text[META_VALUE_TEXT_SIZE])
{
    for (const struct meta_config_synonym *synonym = def->synonyms; settings && synonym && synonym->name; synonym++) {
        const char *value = meta_settings_given(settings, synonym->name);
        if (value)
            return text__times(slice_str(value), synonym->factor, ret_text);
    }
    return slice_str(def->default_value);
}

struct values {
    const struct meta_settings *settings;
    const struct meta_config_entry *entries;
    int32_t count;
};

static int64_t value_i64(const struct values *values, enum meta_topic_config_index index)
{
    const struct meta_config_def *def = &meta_topic_configs.defs[index];
    char text[META_VALUE_TEXT_SIZE];
    struct slice value = static_value(values->settings, def, text);
    for (int32_t i = 0; i < values->count; i++)
        if (slice_equal_str(values->entries[i].key, def->name))
            value = values->entries[i].value;
    int64_t number = 0;
    text__parse_i64(text__trim(value), INT64_MIN, INT64_MAX, &number);
    return number;
}

static bool lags_agree(const struct values *values, char *ret_message)
{
    long long min = value_i64(values, META_TOPIC_MIN_COMPACTION_LAG_MS);
    long long max = value_i64(values, META_TOPIC_MAX_COMPACTION_LAG_MS);
    if (min <= max)
        return true;
    text__say(ret_message, "conflict topic config setting min.compaction.lag.ms (%lld) > max.compaction.lag.ms (%lld)",
              min, max);
    return false;
}

static bool wants_remote_storage(const struct meta_config_entry *entry)
{
    struct slice value = text__trim(entry->value);
    return slice_equal_str(entry->key, "remote.storage.enable") && value.size == 4 &&
           strncasecmp((const char *)value.data, "true", 4) == 0;
}

bool meta_topic_configs_validate(const struct meta_settings *settings, const struct meta_config_entry *entries,
                                 int32_t count, char ret_message[META_MESSAGE_SIZE])
{
    struct values values = {settings, entries, count};
    for (int32_t i = 0; i < count; i++)
        if (!meta_config_find(&meta_topic_configs, entries[i].key)) {
            text__say(ret_message, "%s%.*s", meta_topic_configs.unknown,
                      (int)min_i64((int64_t)entries[i].key.size, META_MESSAGE_SIZE), entries[i].key.data);
            return false;
        }
    for (int32_t i = 0; i < count; i++)
        if (!meta_config_validate(meta_config_find(&meta_topic_configs, entries[i].key), entries[i].value, ret_message))
            return false;
    if (!lags_agree(&values, ret_message))
        return false;
    for (int32_t i = 0; i < count; i++)
        if (wants_remote_storage(
                &entries[i])) { // no broker of ours has it on: remote.log.storage.system.enable is refused
            text__say(ret_message, "Tiered Storage functionality is disabled in the broker. "
                                   "Topic cannot be configured with remote log storage.");
            return false;
        }
    return true;
}
