// SPDX-License-Identifier: Apache-2.0
/* main/check.c - each value that somebody gave, against the table of all settings (meta_broker_configs).
 *
 * A wrong value is an error. A known setting that is not served warns, or is an error where the table says that ignoring it
 * would be unsafe; ottla.ignore=KEY,... makes a warning of that. The default, and what else the table accepts, asks for
 * nothing that is not there, so Kafka's own file of settings starts without a word. An unknown name warns, since Kafka's
 * plugins have settings of their own.
 */
#include "main/settings.h"

/* ---- names that nobody knows */
static int distance(const char *a, const char *b)
{
    enum { NAME_MAX_COMPARED = 96 };
    size_t size_a = strlen(a), size_b = strlen(b);
    if (size_a > NAME_MAX_COMPARED || size_b > NAME_MAX_COMPARED)
        return NAME_MAX_COMPARED;
    int row[NAME_MAX_COMPARED + 1];
    for (size_t j = 0; j <= size_b; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= size_a; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= size_b; j++) {
            int replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = (int)min_i64(replaced, min_i64(row[j], row[j - 1]) + 1);
        }
    }
    return row[size_b];
}

/* The known name that looks most like it; NULL when none does. */
static const char *similar(const char *name)
{
    const char *best = NULL;
    int best_distance = 4;
    for (int i = 0; i < meta_broker_configs.count; i++) {
        int d = distance(name, meta_broker_configs.defs[i].name);
        if (d < best_distance) {
            best_distance = d;
            best = meta_broker_configs.defs[i].name;
        }
    }
    return best;
}

static void warn_unknown(struct settings *settings, const char *name)
{
    const char *meant = similar(name);
    if (meant)
        settings__warn(settings, name, "%s is no setting of Kafka or Ottla and is ignored; is %s meant?", name, meant);
    else
        settings__warn(settings, name, "%s is no setting of Kafka or Ottla and is ignored", name);
}

/* listener.name.<listener>.<key>: the key; else NULL. */
static const char *per_listener_key(const char *name)
{
    static const char PREFIX[] = "listener.name.";
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0)
        return NULL;
    const char *dot = strchr(name + sizeof PREFIX - 1, '.');
    return dot ? dot + 1 : NULL;
}

/* ---- settings that are known and not obeyed */
static bool same_list(const char *a, const char *b)
{
    struct slice from_a, from_b;
    bool more_a = settings__next(&a, &from_a), more_b = settings__next(&b, &from_b);
    while (more_a && more_b && slice_equal(from_a, from_b)) {
        more_a = settings__next(&a, &from_a);
        more_b = settings__next(&b, &from_b);
    }
    return !more_a && !more_b;
}

static bool same_value(const struct meta_config_def *def, const char *a, const char *b)
{
    return def->type == META_TYPE_LIST ? same_list(a, b) : strcasecmp(a, b) == 0;
}

/* The default, or another value that asks for nothing which is not there. */
static bool is_harmless(const struct meta_config_def *def, const char *value)
{
    for (const char *const *accepted = def->accepted; accepted && *accepted; accepted++)
        if (same_value(def, *accepted, value))
            return true;
    return same_value(def, def->default_value ? def->default_value : "", value);
}

/* A known setting that is not obeyed. */
static void tell_unserved(struct settings *settings, const struct meta_config_def *def, const char *name,
                          const char *value)
{
    const char *shown = def->sensitive ? "(hidden)" : value;
    bool ignored = settings__list_has(meta_settings_get(settings->values, "ottla.ignore"), slice_str(name));
    if (def->serving == META_REFUSED && !ignored)
        settings__error(
            settings, name,
            "%s=%s is not served yet, and ignoring it would be unsafe or lose data (%s). Remove it, or start all the "
            "same with --set ottla.ignore=%s",
            name, shown, def->documentation, name);
    else
        settings__warn(settings, name, "%s=%s is not served yet and changes nothing", name, shown);
}

/* ---- values */
static bool keeps_blanks(const struct meta_config_def *def)
{
    return def->type == META_TYPE_STRING || def->type == META_TYPE_PASSWORD;
}

static const char *type_text(enum meta_config_type type)
{
    switch (type) {
    case META_TYPE_BOOLEAN:
        return "true or false";
    case META_TYPE_INT:
    case META_TYPE_SHORT:
    case META_TYPE_LONG:
        return "a whole number";
    case META_TYPE_DOUBLE:
        return "a number";
    case META_TYPE_LIST:
        return "a list, separated by commas";
    case META_TYPE_CLASS:
        return "the name of a Java class";
    default:
        return "a text";
    }
}

static void check_value(struct settings *settings, const struct meta_config_def *def, const struct given *given)
{
    struct slice value = slice_str(given->value);
    if (!keeps_blanks(def))
        value = settings__trimmed(given->value, given->value + strlen(given->value));
    char *text CLEANUP(settings__text_free) = slice_to_str(value);
    char message[META_MESSAGE_SIZE];
    if (!meta_config_validate(def, value, message)) {
        settings__error(settings, given->name, "%s (allowed: %s%s%s)", message, type_text(def->type),
                        *def->allowed ? ", " : "", def->allowed);
        return;
    }
    meta_settings_set(settings->values, given->name, text);
}

static void check_serving(struct settings *settings, const struct given *given)
{
    if (meta_listener_config_find(slice_str(given->name)))
        return; // obeyed
    const char *key = per_listener_key(given->name);
    const struct meta_config_def *def = meta_config_find(&meta_broker_configs, slice_str(key ? key : given->name));
    if (!def)
        warn_unknown(settings, given->name);
    else if (key && (def->serving != META_REFUSED || is_harmless(def, given->value)))
        settings__warn(settings, given->name,
                       "%s: this setting is not served yet for one listener, and changes nothing", given->name);
    else if (key || (def->serving != META_SERVED && !is_harmless(def, given->value)))
        tell_unserved(settings, def, given->name, given->value);
}

void settings__check(struct settings *settings)
{
    for (int i = 0; i < settings->given_count; i++) {
        struct slice name = slice_str(settings->given[i].name);
        const struct meta_config_def *def = meta_config_find(&meta_broker_configs, name);
        if (!def)
            def = meta_listener_config_find(name);
        if (def)
            check_value(settings, def, &settings->given[i]);
    }
    for (int i = 0; i < settings->given_count; i++)
        check_serving(settings, &settings->given[i]);
}
