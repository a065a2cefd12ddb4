// SPDX-License-Identifier: Apache-2.0
/* ctrl/configs_broker.c - may a broker's settings become these, while it runs (KIP-226)?
 *
 * Apache Kafka asks this of the broker that got the request, by that broker's own settings, in this order: which may change
 * at all; which only for one listener; each value for itself; which only for one broker; all values together; what each part
 * of the broker makes of the step from its value to the new one. Its words are told, Java's own among them.
 */
#include "ctrl/ctrl__.h"

#include <stdlib.h>

struct judging {
    const struct ctrl *ctrl;
    const struct meta_image *image;
    const struct meta_config_entry *entries; // what will be set
    int32_t count;
    bool is_default; // for all brokers of the cluster
    struct arena *arena;
    struct ctrl_result *result;
};

static bool refuse(struct judging *judging, struct slice message)
{
    ctrl__refuse(judging->result, KAFKA_INVALID_REQUEST, message);
    return false;
}

/* As a part of the broker refuses. */
static bool refuse_step(struct judging *judging, const char *format, ...) PRINTF_LIKE(2, 3);
static bool refuse_step(struct judging *judging, const char *format, ...)
{
    char message[META_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return refuse(judging, arena_printf(judging->arena,
                                        "Invalid value org.apache.kafka.common.config.ConfigException: %s for "
                                        "configuration Invalid dynamic configuration",
                                        message));
}

/* ---- values before and after */
static struct slice value_before(const struct judging *judging, const char *name)
{
    return meta_broker_setting(judging->image, judging->ctrl->settings, judging->ctrl->node_id, name);
}

static struct slice entry_value(const struct judging *judging, const char *name)
{
    for (int32_t i = 0; i < judging->count; i++)
        if (slice_equal_str(judging->entries[i].key, name))
            return judging->entries[i].value;
    return SLICE_NULL;
}

/* The broker's own value wins over the new default, and the new one of a broker over the default. */
static struct slice value_after(const struct judging *judging, const char *name)
{
    char id[16];
    int size = snprintf(id, sizeof id, "%d", judging->ctrl->node_id);
    struct slice other = judging->is_default ? slice_of(id, (size_t)size) : slice_str("");
    struct slice dynamic = meta_configs_get(meta_configs(judging->image, META_RESOURCE_BROKER, other), slice_str(name));
    struct slice entry = entry_value(judging, name);
    struct slice first = judging->is_default ? dynamic : entry, second = judging->is_default ? entry : dynamic;
    if (!slice_is_null(first))
        return first;
    return slice_is_null(second) ? slice_str(meta_settings_get(judging->ctrl->settings, name)) : second;
}

/* Those that come here were validated; -1 where there is none. */
static int64_t number_of(struct slice value)
{
    char text[32];
    if (slice_is_null(value) || value.size >= sizeof text)
        return -1;
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    return strtoll(text, NULL, 10);
}

static int64_t number_after(const struct judging *judging, const char *name)
{
    return number_of(value_after(judging, name));
}

/* ---- which may change */
typedef bool is_wrong_fn(const struct judging *judging, const struct meta_config_def *def);

static bool is_read_only(const struct judging *judging, const struct meta_config_def *def)
{
    (void)judging;
    return def->update == META_UPDATE_READ_ONLY;
}

/* What Kafka reads again from files, for the listener that is named. */
static bool is_of_a_listener(const struct judging *judging, const struct meta_config_def *def)
{
    static const char *const NAMES[] = {
        "ssl.key.password",        "ssl.keystore.certificate.chain", "ssl.keystore.key",
        "ssl.keystore.location",   "ssl.keystore.password",          "ssl.keystore.type",
        "ssl.truststore.location", "ssl.truststore.certificates",    "ssl.truststore.password",
        "ssl.truststore.type",
    };
    (void)judging;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (strcmp(def->name, NAMES[i]) == 0)
            return true;
    return false;
}

static bool is_of_one_broker(const struct judging *judging, const struct meta_config_def *def)
{
    return judging->is_default && def->update == META_UPDATE_PER_BROKER;
}

/* The place of a name in Java's table of that many places. */
static uint32_t java_place(struct slice name, uint32_t places)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < name.size; i++)
        hash = 31 * hash + name.data[i];
    return (hash ^ hash >> 16) & (places - 1);
}

/* Kafka tells names in the order of that table. */
static struct slice names_joined(struct judging *judging, const struct slice *names, int32_t count)
{
    struct buffer text CLEANUP(buffer_free) = {0};
    uint32_t places = 16;
    while ((uint32_t)count > places / 4 * 3)
        places *= 2;
    for (uint32_t place = 0; place < places; place++)
        for (int32_t i = 0; i < count; i++)
            if (java_place(names[i], places) == place)
                buffer_printf(&text, "%s%.*s", text.size > 0 ? ", " : "", (int)names[i].size,
                              (const char *)names[i].data);
    return arena_printf(judging->arena, "%.*s", (int)text.size, (const char *)text.data);
}

static bool none_is(struct judging *judging, is_wrong_fn *is_wrong, const char *what)
{
    struct slice *names = arena_array(judging->arena, (size_t)judging->count, sizeof *names);
    int32_t count = 0;
    for (int32_t i = 0; names && i < judging->count; i++) {
        const struct meta_config_def *def = meta_config_find(&meta_broker_configs, judging->entries[i].key);
        if (def && is_wrong(judging, def)) // a plug-in may know the others
            names[count++] = judging->entries[i].key;
    }
    if (count == 0)
        return true;
    struct slice joined = names_joined(judging, names, count);
    return refuse(judging, arena_printf(judging->arena, "%s: [%s]", what, (const char *)joined.data));
}

/* ---- each value for itself */
static bool value_judge(struct judging *judging, const struct meta_config_entry *entry)
{
    char message[META_MESSAGE_SIZE];
    const struct meta_config_def *def = meta_config_find(&meta_broker_configs, entry->key);
    if (!def)
        return true;
    if (!meta_config_validate(def, entry->value, message))
        return refuse(judging, arena_copy(judging->arena, slice_str(message)));
    bool is_ours = def->default_value && slice_equal_str(entry->value, def->default_value);
    if (def->type == META_TYPE_CLASS && !is_ours)
        return refuse(judging, arena_printf(judging->arena,
                                            "Invalid value %.*s for configuration %s: Class %.*s could not be found.",
                                            (int)entry->value.size, (const char *)entry->value.data, def->name,
                                            (int)entry->value.size, (const char *)entry->value.data));
    return true;
}

static bool values_judge(struct judging *judging)
{
    for (int32_t i = 0; i < judging->count; i++)
        if (!value_judge(judging, &judging->entries[i]))
            return false;
    return true;
}

/* ---- all together */
static bool overrides_judge(struct judging *judging)
{
    static const char NAME[] = "max.connections.per.ip.overrides";
    struct slice rest = value_after(judging, NAME);
    struct meta_connections_override each;
    while (meta_connections_override_next(&rest, &each)) {
        if (each.fault == META_OVERRIDE_NO_COLON)
            return refuse(judging,
                          arena_printf(judging->arena,
                                       "Error parsing configuration property '%s': begin 0, end -1, length %zu", NAME,
                                       each.text.size));
        if (each.fault == META_OVERRIDE_NO_COUNT)
            return refuse(judging, arena_printf(judging->arena, "For input string: \"%.*s\"", (int)each.count_text.size,
                                                (const char *)each.count_text.data));
        if (each.fault == META_OVERRIDE_NO_ADDRESS)
            return refuse_step(judging, "%s: %.*s is no address in numbers", NAME,
                               (int)min_i64((int64_t)each.host.size, 100), (const char *)each.host.data);
    }
    return true;
}

static bool require(struct judging *judging, bool is_true, const char *what)
{
    return is_true || refuse(judging, arena_printf(judging->arena, "requirement failed: %s", what));
}

static bool cleaner_fits(struct judging *judging)
{
    enum { MIB = 1 << 20 };
    int64_t threads = number_after(judging, "log.cleaner.threads");
    if (threads == 0)
        return refuse(judging, slice_str("/ by zero"));
    return require(judging, number_after(judging, "log.cleaner.dedupe.buffer.size") / threads > MIB,
                   "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.");
}

static bool is_set(const struct judging *judging, const char *name)
{
    return !slice_is_null(value_after(judging, name));
}

static bool together_judge(struct judging *judging)
{
    return overrides_judge(judging) &&
           require(judging, !is_set(judging, "log.roll.ms") || number_after(judging, "log.roll.ms") >= 1,
                   "log.roll.ms must be greater than or equal to 1") &&
           require(judging, !is_set(judging, "log.roll.jitter.ms") || number_after(judging, "log.roll.jitter.ms") >= 0,
                   "log.roll.jitter.ms must be greater than or equal to 0") &&
           require(judging, number_after(judging, "log.retention.ms") != 0,
                   "log.retention.ms must be unlimited (-1) or, greater than or equal to 1") &&
           cleaner_fits(judging) &&
           require(judging,
                   number_after(judging, "max.connections.per.ip") > 0 ||
                       value_after(judging, "max.connections.per.ip.overrides").size > 0,
                   "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is "
                   "set.");
}

/* ---- the step from what is */
/* Pools grow to the double and shrink to the half at once, no further. */
static bool pool_judge(struct judging *judging, const char *name)
{
    int64_t now = number_of(value_before(judging, name)), wanted = number_after(judging, name);
    if (wanted > 2 * now)
        return refuse_step(
            judging,
            "Dynamic thread count update validation failed for %s=%lld, value should not be greater than "
            "double the current value %lld",
            name, (long long)wanted, (long long)now);
    if (wanted < now / 2)
        return refuse_step(judging,
                           "Dynamic thread count update validation failed for %s=%lld, value should be at least half "
                           "the current value %lld",
                           name, (long long)wanted, (long long)now);
    return true;
}

static bool pools_judge(struct judging *judging)
{
    static const char *const NAMES[] = {
        "num.network.threads",
        "num.io.threads",
        "num.replica.fetchers",
        "num.recovery.threads.per.data.dir",
        "background.threads",
        "remote.log.reader.threads",
        "remote.log.manager.copier.thread.pool.size",
        "remote.log.manager.expiration.thread.pool.size",
        "remote.log.manager.follower.thread.pool.size",
    };
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (!pool_judge(judging, NAMES[i]))
            return false;
    return true;
}

static bool cleaners_judge(struct judging *judging)
{
    static const char NAME[] = "log.cleaner.threads";
    int64_t now = number_of(value_before(judging, NAME)), wanted = number_after(judging, NAME);
    if (wanted < now / 2)
        return refuse_step(judging, "Log cleaner threads cannot be reduced to less than half the current value %lld",
                           (long long)now);
    if (wanted > 2 * now)
        return refuse_step(judging,
                           "Log cleaner threads cannot be increased to more than double the current value %lld",
                           (long long)now);
    return true;
}

static int64_t retention_ms_after(const struct judging *judging)
{
    enum { MINUTE_MS = 60000, HOUR_MS = 3600000 };
    if (is_set(judging, "log.retention.ms"))
        return number_after(judging, "log.retention.ms");
    bool in_minutes = is_set(judging, "log.retention.minutes");
    int64_t number = number_after(judging, in_minutes ? "log.retention.minutes" : "log.retention.hours");
    return number < 0 ? -1 : number * (in_minutes ? MINUTE_MS : HOUR_MS);
}

/* What is kept here of what is elsewhere too is a part of all. */
static bool local_judge(struct judging *judging, const char *local_name, const char *all_name, int64_t all)
{
    enum { AS_ALL = -2 };
    int64_t local = number_after(judging, local_name);
    if (all < 0 || local == AS_ALL)
        return true;
    if (local == -1)
        return refuse_step(judging,
                           "Invalid value -1 for configuration %s: Value must not be -1 as %s value is set as %lld.",
                           local_name, all_name, (long long)all);
    if (local > all)
        return refuse_step(
            judging, "Invalid value %lld for configuration %s: Value must not be more than %s property value: %lld",
            (long long)local, local_name, all_name, (long long)all);
    return true;
}

static bool not_zero(struct judging *judging, const char *name)
{
    int64_t number = number_after(judging, name);
    return number > 0 || refuse_step(judging, "Invalid %s %lld", name, (long long)number);
}

/* Listeners stay as they are while the broker runs. */
static bool listeners_judge(struct judging *judging, const char *name)
{
    struct slice now = value_before(judging, name), wanted = value_after(judging, name);
    return slice_equal(now, wanted) || refuse_step(judging, "%s cannot be altered while the broker runs.", name);
}

static bool step_judge(struct judging *judging)
{
    return pools_judge(judging) && cleaners_judge(judging) &&
           local_judge(judging, "log.local.retention.ms", "log.retention.ms", retention_ms_after(judging)) &&
           local_judge(judging, "log.local.retention.bytes", "log.retention.bytes",
                       number_after(judging, "log.retention.bytes")) &&
           not_zero(judging, "max.connections") && not_zero(judging, "max.connection.creation.rate") &&
           listeners_judge(judging, "listeners") && listeners_judge(judging, "listener.security.protocol.map");
}

bool ctrl__broker_configs_judge(const struct ctrl *ctrl, bool is_default, const struct meta_config_entry *entries,
                                int32_t count, struct arena *arena, struct ctrl_result *result)
{
    struct judging judging = {.ctrl = ctrl,
                              .image = meta_builder_view(ctrl->builder),
                              .entries = entries,
                              .count = count,
                              .is_default = is_default,
                              .arena = arena,
                              .result = result};
    return none_is(&judging, is_read_only, "Cannot update these configs dynamically") &&
           none_is(&judging, is_of_a_listener,
                   "These security configs can be dynamically updated only per-listener using the listener prefix") &&
           values_judge(&judging) &&
           none_is(&judging, is_of_one_broker,
                   "Cannot update these configs at default cluster level, broker id must be specified") &&
           together_judge(&judging) && step_judge(&judging);
}
