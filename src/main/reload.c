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

struct meta_settings *reload__merge(const struct meta_settings *now, const struct settings *before,
                                    struct settings *fresh, int *ret_changed)
{
    struct meta_settings *merged = meta_settings_copy(now);
    *ret_changed = 0;
    for (int i = 0; i < meta_broker_configs.count; i++) {
        const struct meta_config_def *def = &meta_broker_configs.defs[i];
        const char *old_value = given_value(before, def->name), *value = given_value(fresh, def->name);
        if (same(old_value, value))
            continue;
        if (may_change(def)) {
            meta_settings_set(merged, def->name, value);
            (*ret_changed)++;
        } else if (def->serving == META_SERVED) {
            settings__warn(fresh, def->name, "%s is another now, which counts from the next start on", def->name);
        }
    }
    return merged;
}
