// SPDX-License-Identifier: Apache-2.0
/* meta/broker_config.c - a broker's settings in effect: those of this broker, the cluster-wide ones, the file of settings,
 * the table (KIP-226).
 *
 * A listener may have some of them for itself, under its name in small letters: listener.name.<listener>.<setting>.
 * Values in the image were validated when they were set, but the bytes come from a log: one that does not parse counts as
 * not set.
 */
#include "meta/meta__.h"

#include <ctype.h>

struct broker_levels broker_levels__of(const struct meta_image *image, const struct meta_settings *settings,
                                       int32_t node_id)
{
    char id[16];
    int size = snprintf(id, sizeof id, "%d", node_id);
    return (struct broker_levels){.broker = meta_configs(image, META_RESOURCE_BROKER, slice_of(id, (size_t)size)),
                                  .cluster = meta_configs(image, META_RESOURCE_BROKER, slice_str("")),
                                  .settings = settings};
}

struct slice configs__valid_value(const struct meta_configs *configs, const char *name,
                                  const struct meta_config_def *def)
{
    struct slice value = meta_configs_get(configs, slice_str(name));
    char message[META_MESSAGE_SIZE];
    return !slice_is_null(value) && def && meta_config_validate(def, value, message) ? value : SLICE_NULL;
}

struct slice broker_levels__value(const struct broker_levels *levels, const char *name,
                                  enum meta_config_source *ret_source)
{
    const struct meta_config_def *def = meta_config_find(&meta_broker_configs, slice_str(name));
    const struct meta_configs *dynamic[] = {levels->broker, levels->cluster};
    static const enum meta_config_source sources[] = {META_SOURCE_BROKER, META_SOURCE_CLUSTER};
    for (size_t i = 0; i < COUNT_OF(dynamic); i++) {
        struct slice value = configs__valid_value(dynamic[i], name, def);
        if (!slice_is_null(value)) {
            *ret_source = sources[i];
            return value;
        }
    }
    *ret_source = META_SOURCE_STATIC;
    return slice_str(levels->settings ? meta_settings_given(levels->settings, name) : NULL);
}

struct slice meta_broker_setting(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                                 const char *name)
{
    struct broker_levels levels = broker_levels__of(image, settings, node_id);
    enum meta_config_source source;
    struct slice value = broker_levels__value(&levels, name, &source);
    if (!slice_is_null(value))
        return value;
    const struct meta_config_def *def = meta_config_find(&meta_broker_configs, slice_str(name));
    return def ? slice_str(def->default_value) : SLICE_NULL;
}

int64_t meta_broker_setting_i64(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                                const char *name)
{
    int64_t number = 0;
    struct slice value = text__trim(meta_broker_setting(image, settings, node_id, name));
    bool is_number = text__parse_i64(value, INT64_MIN, INT64_MAX, &number);
    assert(is_number);
    return number;
}

double meta_broker_setting_f64(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                               const char *name)
{
    double number = 0;
    bool is_number = text__parse_f64(text__trim(meta_broker_setting(image, settings, node_id, name)), &number);
    assert(is_number);
    return number;
}

/* ---- a listener's own */
static const char LISTENER_PREFIX[] = "listener.name.";

const struct meta_config_def *meta_listener_config_find(struct slice name)
{
    static const char *const OWN[] = {"max.connections", "max.connection.creation.rate"};
    size_t prefix_size = sizeof LISTENER_PREFIX - 1;
    if (name.size <= prefix_size || memcmp(name.data, LISTENER_PREFIX, prefix_size) != 0)
        return NULL;
    const uint8_t *dot = memchr(name.data + prefix_size, '.', name.size - prefix_size);
    size_t key_at = dot ? (size_t)(dot - name.data) + 1 : name.size;
    for (size_t i = 0; i < COUNT_OF(OWN); i++)
        if (slice_equal_str(slice_of(name.data + key_at, name.size - key_at), OWN[i]))
            return meta_config_find(&meta_broker_configs, slice_str(OWN[i]));
    return NULL;
}

int64_t meta_listener_setting_i64(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                                  const char *listener, const char *name)
{
    char prefixed[256];
    int size = snprintf(prefixed, sizeof prefixed, "%s%s.%s", LISTENER_PREFIX, listener, name);
    assert(size > 0 && (size_t)size < sizeof prefixed);
    for (char *c = prefixed; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    const struct meta_config_def *def = meta_listener_config_find(slice_str(prefixed));
    assert(def);
    struct broker_levels levels = broker_levels__of(image, settings, node_id);
    struct slice value = configs__valid_value(levels.broker, prefixed, def);
    if (slice_is_null(value))
        value = slice_str(settings ? meta_settings_given(settings, prefixed) : NULL);
    int64_t number;
    return text__parse_i64(text__trim(value), INT64_MIN, INT64_MAX, &number)
               ? number
               : meta_broker_setting_i64(image, settings, node_id, name);
}

static uint64_t mixed(uint64_t hash, const struct meta_configs *configs)
{
    hash = (hash ^ (configs ? configs->version : 0)) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

uint64_t broker_levels__version(const struct broker_levels *levels)
{
    return mixed(mixed(1, levels->broker), levels->cluster);
}

uint64_t meta_broker_config_version(const struct meta_image *image, int32_t node_id)
{
    struct broker_levels levels = broker_levels__of(image, NULL, node_id);
    return broker_levels__version(&levels);
}

/* ---- max.connections.per.ip.overrides */
bool meta_connections_override_next(struct slice *rest, struct meta_connections_override *ret_override)
{
    struct slice element;
    while (text__next_element(rest, &element)) {
        element = text__trim(element);
        if (element.size == 0)
            continue;
        const uint8_t *colon = memrchr(element.data, ':', element.size);
        *ret_override = (struct meta_connections_override){.text = element, .fault = META_OVERRIDE_NO_COLON};
        if (!colon)
            return true;
        size_t host_size = (size_t)(colon - element.data);
        ret_override->host = slice_of(element.data, host_size);
        ret_override->count_text = slice_of(colon + 1, element.size - host_size - 1);
        int64_t count;
        if (!text__parse_i64(ret_override->count_text, 0, INT32_MAX, &count)) {
            ret_override->fault = META_OVERRIDE_NO_COUNT;
            return true;
        }
        ret_override->connections_max = (int32_t)count;
        uint8_t address[META_ADDRESS_BYTES];
        bool is_numeric = host_size == 0 || meta_address_parse(ret_override->host, address);
        ret_override->fault = is_numeric ? META_OVERRIDE_FINE : META_OVERRIDE_NO_ADDRESS;
        return true;
    }
    return false;
}
