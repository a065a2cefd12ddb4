// SPDX-License-Identifier: Apache-2.0
/* broker/config_view.c - where the value of a setting comes from, in the words of DescribeConfigs (KIP-226, 569, 848, 1142).
 *
 * A broker setting has up to four values: this broker's, the cluster-wide default, that of server.properties, the built-in
 * one; the first that is there counts. Some stand for one another (log.retention.ms before .minutes before .hours): each
 * tells of all of them, in order of the sources, but a list begins with the setting itself; what comes before is left out,
 * and a setting of which nothing is left has the source "default". Topics and groups put their own value before those of
 * the broker setting that supplies their default. Sensitive values, and those of unknown settings, are never told.
 */
#include "broker/config_view.h"

static bool is_wanted(struct config_wish wish, struct slice name)
{
    return !wish.wants || wish.wants(wish.context, name);
}

static const struct meta_configs *configs_of_broker(const struct config_view *view)
{
    char name[16];
    snprintf(name, sizeof name, "%d", (int)view->node_id);
    return meta_configs(view->image, META_RESOURCE_BROKER, slice_str(name));
}

static const struct meta_configs *configs_of_cluster(const struct config_view *view)
{
    return meta_configs(view->image, META_RESOURCE_BROKER, slice_str(""));
}

/* ---- values as Kafka shows them after it has parsed them */
static bool is_blank(uint8_t c)
{
    return c <= ' ';
}

static struct slice trimmed(struct slice text)
{
    while (text.size > 0 && is_blank(text.data[0]))
        text = slice_of(text.data + 1, text.size - 1);
    while (text.size > 0 && is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

/* Blanks around commas go. */
static struct slice list_shown(struct arena *arena, struct slice text)
{
    uint8_t *shown = arena_alloc(arena, text.size);
    if (!shown)
        return SLICE_NULL;
    size_t size = 0;
    for (size_t i = 0; i <= text.size; i++) {
        bool at_end = i == text.size || text.data[i] == ',';
        while (at_end && size > 0 && is_blank(shown[size - 1]))
            size--;
        bool leads = size == 0 || shown[size - 1] == ',';
        if (i < text.size && !(leads && is_blank(text.data[i])))
            shown[size++] = text.data[i];
    }
    return slice_of(shown, size);
}

static struct slice value_shown(const struct config_view *view, const struct meta_config_def *def, struct slice value)
{
    if (slice_is_null(value) || !def || def->sensitive)
        return SLICE_NULL;
    value = trimmed(value);
    if (def->type == META_TYPE_LIST)
        return list_shown(view->arena, value);
    if (def->type == META_TYPE_BOOLEAN)
        return slice_str(value.size == 4 ? "true" : "false");
    char text[META_DOUBLE_TEXT_SIZE];
    if (def->type == META_TYPE_DOUBLE && meta_double_text(value, text))
        return arena_copy(view->arena, slice_str(text));
    return value;
}

/* ---- synonyms */
static void synonym_add(struct config_entry *entry, struct slice name, struct slice value, enum config_source source)
{
    if (slice_is_null(value))
        return;
    assert(entry->synonym_count < CONFIG_SYNONYMS_MAX);
    entry->synonyms[entry->synonym_count++] =
        (struct config_synonym){.name = name, .value = entry->sensitive ? SLICE_NULL : value, .source = source};
}

static struct slice broker_value(const struct config_view *view, const char *name, enum config_source source)
{
    const struct meta_config_def *def;
    switch (source) {
    case SOURCE_BROKER:
        return meta_configs_get(configs_of_broker(view), slice_str(name));
    case SOURCE_CLUSTER:
        return meta_configs_get(configs_of_cluster(view), slice_str(name));
    case SOURCE_STATIC:
        return slice_str(meta_settings_given(view->settings, name));
    default:
        def = meta_config_find(&meta_broker_configs, slice_str(name));
        return def ? slice_str(def->default_value) : SLICE_NULL;
    }
}

/* What the broker setting `name` and those that stand for it say; the list begins with `name` itself. */
static void broker_synonyms_add(const struct config_view *view, const char *name, struct config_entry *entry)
{
    const struct meta_config_def *def = meta_config_find(&meta_broker_configs, slice_str(name));
    const struct meta_config_synonym alone[] = {{name, 1}, {NULL, 0}};
    const struct meta_config_synonym *names = def && def->synonyms ? def->synonyms : alone;
    bool begun = false;
    for (enum config_source source = SOURCE_BROKER; source <= SOURCE_DEFAULT; source++) {
        for (const struct meta_config_synonym *one = names; one->name; one++) {
            struct slice value = broker_value(view, one->name, source);
            begun |= !slice_is_null(value) && strcmp(one->name, name) == 0;
            if (begun)
                synonym_add(entry, slice_str(one->name), value, source);
        }
    }
}

static void entry_begin(struct config_entry *entry, const struct meta_config_def *def)
{
    entry->name = slice_str(def->name);
    entry->type = (int8_t)def->type;
    entry->sensitive = def->sensitive;
    entry->read_only = false;
    entry->documentation = def->documentation;
    entry->synonym_count = 0;
}

static void entry_end(struct config_entry *entry, config_entry_fn *each, void *context)
{
    entry->source = entry->synonym_count > 0 ? entry->synonyms[0].source : SOURCE_DEFAULT;
    each(context, entry);
}

/* ---- topics */
void config_view__topic(const struct config_view *view, struct slice topic, struct config_wish wish,
                        config_entry_fn *each, void *context)
{
    const struct meta_configs *own = meta_configs(view->image, META_RESOURCE_TOPIC, topic);
    for (int i = 0; i < meta_topic_configs.count; i++) {
        const struct meta_config_def *def = &meta_topic_configs.defs[i];
        struct slice set = meta_configs_get(own, slice_str(def->name));
        if ((def->internal && slice_is_null(set)) || !is_wanted(wish, slice_str(def->name)))
            continue;
        struct config_entry entry;
        entry_begin(&entry, def);
        char text[32];
        enum meta_config_source unused;
        struct slice value = meta_topic_setting(view->image, view->settings, view->node_id, topic, def, text, &unused);
        entry.value = value_shown(view, def, value);
        if (!slice_is_null(set))
            synonym_add(&entry, entry.name, entry.value, SOURCE_TOPIC);
        if (def->synonyms)
            broker_synonyms_add(view, def->synonyms[0].name, &entry);
        entry_end(&entry, each, context);
    }
}

/* ---- the broker */
static struct slice broker_effective(const struct config_view *view, const char *name)
{
    struct slice value = SLICE_NULL;
    for (enum config_source source = SOURCE_BROKER; source <= SOURCE_DEFAULT && slice_is_null(value); source++)
        value = broker_value(view, name, source);
    return value;
}

static void broker_entry(const struct config_view *view, const struct meta_config_def *def, config_entry_fn *each,
                         void *context)
{
    struct config_entry entry;
    entry_begin(&entry, def);
    entry.read_only = def->update == META_UPDATE_READ_ONLY;
    entry.value = value_shown(view, def, broker_effective(view, def->name));
    broker_synonyms_add(view, def->name, &entry);
    entry_end(&entry, each, context);
}

/* A setting that nobody knows may be a secret. */
static void unknown_entry(struct slice name, enum config_source source, struct config_wish wish, config_entry_fn *each,
                          void *context)
{
    if (meta_config_find(&meta_broker_configs, name) || !is_wanted(wish, name))
        return;
    struct config_entry entry = {.name = name, .read_only = true, .sensitive = true, .source = source};
    entry.synonyms[0] = (struct config_synonym){.name = name, .source = source};
    entry.synonym_count = 1;
    each(context, &entry);
}

static void unknown_entries(const struct config_view *view, struct config_wish wish, config_entry_fn *each,
                            void *context)
{
    const struct meta_configs *own = configs_of_broker(view), *cluster = configs_of_cluster(view);
    for (int32_t i = 0; own && i < own->entry_count; i++)
        unknown_entry(own->entries[i].key, SOURCE_BROKER, wish, each, context);
    for (int32_t i = 0; cluster && i < cluster->entry_count; i++)
        if (slice_is_null(meta_configs_get(own, cluster->entries[i].key)))
            unknown_entry(cluster->entries[i].key, SOURCE_CLUSTER, wish, each, context);
    for (int i = 0; i < meta_settings_count(view->settings); i++) {
        const char *name, *value;
        meta_settings_at(view->settings, i, &name, &value);
        if (slice_is_null(meta_configs_get(own, slice_str(name))) &&
            slice_is_null(meta_configs_get(cluster, slice_str(name))))
            unknown_entry(slice_str(name), SOURCE_STATIC, wish, each, context);
    }
}

void config_view__broker(const struct config_view *view, struct config_wish wish, config_entry_fn *each, void *context)
{
    for (int i = 0; i < meta_broker_configs.count; i++) {
        const struct meta_config_def *def = &meta_broker_configs.defs[i];
        bool is_listed = !def->internal && def->update != META_UPDATE_DYNAMIC_ONLY; // others only when they are set
        bool is_set = meta_settings_given(view->settings, def->name) ||
                      !slice_is_null(broker_value(view, def->name, SOURCE_BROKER)) ||
                      !slice_is_null(broker_value(view, def->name, SOURCE_CLUSTER));
        bool is_shown = is_listed || is_set;
        if (is_shown && is_wanted(wish, slice_str(def->name)))
            broker_entry(view, def, each, context);
    }
    unknown_entries(view, wish, each, context);
}

void config_view__cluster(const struct config_view *view, struct config_wish wish, config_entry_fn *each, void *context)
{
    const struct meta_configs *cluster = configs_of_cluster(view);
    for (int32_t i = 0; cluster && i < cluster->entry_count; i++) {
        const struct meta_config_entry *set = &cluster->entries[i];
        if (!is_wanted(wish, set->key))
            continue;
        const struct meta_config_def *def = meta_config_find(&meta_broker_configs, set->key);
        if (!def) {
            unknown_entry(set->key, SOURCE_CLUSTER, wish, each, context);
            continue;
        }
        struct config_entry entry;
        entry_begin(&entry, def);
        entry.read_only = def->update == META_UPDATE_READ_ONLY;
        entry.value = def->sensitive ? SLICE_NULL : set->value;
        synonym_add(&entry, entry.name, set->value, SOURCE_CLUSTER);
        entry_end(&entry, each, context);
    }
}

/* ---- groups and client metrics */
static void group_entry(const struct config_view *view, const struct meta_config_def *def, struct slice set,
                        config_entry_fn *each, void *context)
{
    struct config_entry entry;
    entry_begin(&entry, def);
    const char *supplier = def->synonyms ? def->synonyms[0].name : NULL;
    struct slice inherited = supplier ? broker_effective(view, supplier) : slice_str(def->default_value);
    entry.value = value_shown(view, def, slice_is_null(set) ? inherited : set);
    if (!slice_is_null(set))
        synonym_add(&entry, entry.name, entry.value, SOURCE_GROUP);
    if (supplier)
        broker_synonyms_add(view, supplier, &entry);
    else
        synonym_add(&entry, entry.name, value_shown(view, def, slice_str(def->default_value)), SOURCE_DEFAULT);
    entry_end(&entry, each, context);
}

void config_view__group(const struct config_view *view, struct slice group, struct config_wish wish,
                        config_entry_fn *each, void *context)
{
    const struct meta_configs *own = meta_configs(view->image, META_RESOURCE_GROUP, group);
    for (int i = 0; i < meta_group_configs.count; i++) {
        const struct meta_config_def *def = &meta_group_configs.defs[i];
        if (is_wanted(wish, slice_str(def->name)) && !def->internal)
            group_entry(view, def, meta_configs_get(own, slice_str(def->name)), each, context);
    }
}

void config_view__client_metrics(const struct config_view *view, struct slice name, struct config_wish wish,
                                 config_entry_fn *each, void *context)
{
    const struct meta_configs *own = meta_configs(view->image, META_RESOURCE_CLIENT_METRICS, name);
    for (int i = 0; i < meta_client_metrics_configs.count; i++) {
        const struct meta_config_def *def = &meta_client_metrics_configs.defs[i];
        if (!is_wanted(wish, slice_str(def->name)))
            continue;
        struct config_entry entry;
        entry_begin(&entry, def);
        entry.documentation = NULL; // Kafka tells none here
        struct slice set = meta_configs_get(own, entry.name);
        entry.value = value_shown(view, def, slice_is_null(set) ? slice_str(def->default_value) : set);
        if (!slice_is_null(set))
            synonym_add(&entry, entry.name, entry.value, SOURCE_CLIENT_METRICS);
        entry_end(&entry, each, context);
    }
}
