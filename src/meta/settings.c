// SPDX-License-Identifier: Apache-2.0
/* meta/settings.c - the static settings of this node: names and values as the file of settings gave them.
 *
 * An array ordered by name, filled once and then only read, so any thread may look into it. Names need not be
 * known: listener prefixes and plugins have their own. A number that does not parse here is a bug, since values were
 * validated before.
 */
#include "meta/meta__.h"

struct setting {
    char *name, *value;
};

struct meta_settings {
    struct setting *items;
    int count, capacity;
};

struct meta_settings *meta_settings_create(void)
{
    return mem_zalloc(sizeof(struct meta_settings));
}

void meta_settings_free(struct meta_settings *settings)
{
    if (!settings)
        return;
    for (int i = 0; i < settings->count; i++) {
        mem_free(settings->items[i].name);
        mem_free(settings->items[i].value);
    }
    mem_free(settings->items);
    mem_free(settings);
}

/* Where the name is, or would be. */
static int place_of(const struct meta_settings *settings, const char *name, bool *ret_found)
{
    int low = 0, high = settings->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(settings->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < settings->count && strcmp(settings->items[low].name, name) == 0;
    return low;
}

static void insert_at(struct meta_settings *settings, int place, const char *name)
{
    if (settings->count == settings->capacity) {
        settings->capacity = settings->capacity ? settings->capacity * 2 : 32;
        settings->items = mem_realloc(settings->items, (size_t)settings->capacity * sizeof *settings->items);
    }
    struct setting *item = &settings->items[place];
    memmove(item + 1, item, (size_t)(settings->count - place) * sizeof *item);
    *item = (struct setting){.name = mem_strdup(name)};
    settings->count++;
}

static void remove_at(struct meta_settings *settings, int place)
{
    struct setting *item = &settings->items[place];
    mem_free(item->name);
    mem_free(item->value);
    settings->count--;
    memmove(item, item + 1, (size_t)(settings->count - place) * sizeof *item);
}

void meta_settings_set(struct meta_settings *settings, const char *name, const char *value)
{
    bool found;
    int place = place_of(settings, name, &found);
    if (!value) {
        if (found)
            remove_at(settings, place);
        return;
    }
    if (!found)
        insert_at(settings, place, name);
    mem_free(settings->items[place].value);
    settings->items[place].value = mem_strdup(value);
}

struct meta_settings *meta_settings_copy(const struct meta_settings *settings)
{
    struct meta_settings *copy = meta_settings_create();
    for (int i = 0; i < settings->count; i++)
        meta_settings_set(copy, settings->items[i].name, settings->items[i].value);
    return copy;
}

int meta_settings_count(const struct meta_settings *settings)
{
    return settings->count;
}

void meta_settings_at(const struct meta_settings *settings, int index, const char **ret_name, const char **ret_value)
{
    assert(index >= 0 && index < settings->count);
    *ret_name = settings->items[index].name;
    *ret_value = settings->items[index].value;
}

const char *meta_settings_given(const struct meta_settings *settings, const char *name)
{
    bool found;
    int place = place_of(settings, name, &found);
    return found ? settings->items[place].value : NULL;
}

const char *meta_settings_get(const struct meta_settings *settings, const char *name)
{
    const char *given = meta_settings_given(settings, name);
    if (given)
        return given;
    const struct meta_config_def *def = meta_config_find(&meta_broker_configs, slice_str(name));
    return def ? def->default_value : NULL;
}

static struct slice trimmed(const struct meta_settings *settings, const char *name)
{
    const char *text = meta_settings_get(settings, name);
    assert(text != NULL && "a setting without a value is asked for as text");
    return text__trim(slice_str(text));
}

int64_t meta_settings_i64(const struct meta_settings *settings, const char *name)
{
    int64_t value = 0;
    bool is_number = text__parse_i64(trimmed(settings, name), INT64_MIN, INT64_MAX, &value);
    assert(is_number);
    return value;
}

double meta_settings_f64(const struct meta_settings *settings, const char *name)
{
    double value = 0;
    bool is_number = text__parse_f64(trimmed(settings, name), &value);
    assert(is_number);
    return value;
}

bool meta_settings_bool(const struct meta_settings *settings, const char *name)
{
    struct slice text = trimmed(settings, name);
    bool is_true = text.size == 4 && strncasecmp((const char *)text.data, "true", 4) == 0;
    bool is_false = text.size == 5 && strncasecmp((const char *)text.data, "false", 5) == 0;
    assert(is_true != is_false);
    return is_true;
}
