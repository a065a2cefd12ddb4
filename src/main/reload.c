// SPDX-License-Identifier: Apache-2.0
/* main/reload.c - SIGHUP: the file of settings is read again, and what may change while the broker runs does.
 *
 * That is what Kafka changes without a restart too, by request (KIP-226), and ottla.log.level. The rest keeps its value, and
 * people are told of it. Settings that are set by request win over the file before and after. A file with an error changes
 * nothing.
 */
#include "main/settings.h"

static bool may_change(const struct meta_config_def *def)
{
    bool is_dynamic = def->update == META_UPDATE_CLUSTER_WIDE || def->update == META_UPDATE_PER_BROKER;
    bool is_listener = strcmp(def->name, "listeners") == 0 || strcmp(def->name, "listener.security.protocol.map") == 0;
    return (is_dynamic && def->serving == META_SERVED && !is_listener) || strcmp(def->name, "ottla.log.level") == 0;
}

/* NULL: nobody gave it. */
static const char *given_value(const struct settings *settings, const char *name)
{
    return settings__given(settings, name) ? meta_settings_get(settings->values, name) : NULL;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

struct merge {
    struct meta_settings *merged;
    const struct settings *before;
    struct settings *fresh;
    int changed;
};

/* `name`: the setting's, or with the prefix of a listener that may have it for itself. */
static void merge_one(struct merge *merge, const char *name, const struct meta_config_def *def)
{
    const char *old_value = given_value(merge->before, name), *value = given_value(merge->fresh, name);
    if (same(old_value, value))
        return;
    if (may_change(def)) {
        meta_settings_set(merge->merged, name, value);
        merge->changed++;
    } else if (def->serving == META_SERVED) {
        settings__warn(merge->fresh, name, "%s is another now, which counts from the next start on", name);
    }
}

static void merge_those_of_listeners(struct merge *merge, const struct settings *given, bool only_gone)
{
    for (int i = 0; i < given->given_count; i++) {
        const char *name = given->given[i].name;
        const struct meta_config_def *def = meta_listener_config_find(slice_str(name));
        if (def && !(only_gone && settings__given(merge->fresh, name)))
            merge_one(merge, name, def);
    }
}

struct meta_settings *reload__merge(const struct meta_settings *now, const struct settings *before,
                                    struct settings *fresh, int *ret_changed)
{
    struct merge merge = {.merged = meta_settings_copy(now), .before = before, .fresh = fresh};
    for (int i = 0; i < meta_broker_configs.count; i++)
        merge_one(&merge, meta_broker_configs.defs[i].name, &meta_broker_configs.defs[i]);
    merge_those_of_listeners(&merge, fresh, false);
    merge_those_of_listeners(&merge, before, true);
    *ret_changed = merge.changed;
    return merge.merged;
}
