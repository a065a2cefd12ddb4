// SPDX-License-Identifier: Apache-2.0
/* ctrl/configs.c - changing the settings of a topic, a broker, a group or a metrics subscription.
 *
 *   incremental  SET, DELETE, APPEND, SUBTRACT on what is set (KIP-339)
 *   replace      what is named is set, what is not named goes (the old AlterConfigs)
 *
 * The result of all changes is judged as one, together with what was set before, in Apache Kafka's order: each change's
 * form, then the resource's name, then its settings, then whether it exists. A refused resource leaves no record. Where a
 * change touches min.insync.replicas and eligible leader replicas are on, a ClearElr record follows: an ELR is only true
 * for the minimum it was made under (KIP-966).
 */
#include "ctrl/ctrl__.h"

#include <stdlib.h>

enum { VALUE_MAX_BYTES = 32767 };

static const char MIN_INSYNC[] = "min.insync.replicas";

struct change {
    struct slice key, value; // null value: goes
    bool is_implicit;        // goes because it was not named
};

struct turn { // of one resource
    const struct ctrl *ctrl;
    const struct meta_image *image;
    const struct ctrl_alter_resource *resource;
    const struct meta_configs *current;
    struct arena *arena;
    struct change *changes;
    int32_t change_count;
    struct ctrl_result *result;
};

static bool refuse(struct turn *turn, int16_t error, struct slice message)
{
    ctrl__refuse(turn->result, error, message);
    return false;
}

static const struct meta_config_table *table_of(int8_t type)
{
    switch (type) {
    case META_RESOURCE_TOPIC:
        return &meta_topic_configs;
    case META_RESOURCE_BROKER:
        return &meta_broker_configs;
    case META_RESOURCE_GROUP:
        return &meta_group_configs;
    case META_RESOURCE_CLIENT_METRICS:
        return &meta_client_metrics_configs;
    default:
        return NULL;
    }
}

static const char *type_name(int8_t type)
{
    return type == META_RESOURCE_BROKER_LOGGER ? "BROKER_LOGGER" : "UNKNOWN";
}

/* ---- lists */
static bool next_part(struct slice *rest, struct slice *ret_part)
{
    while (rest->size > 0) {
        const uint8_t *comma = memchr(rest->data, ',', rest->size);
        size_t size = comma ? (size_t)(comma - rest->data) : rest->size;
        *ret_part = slice_of(rest->data, size);
        size_t taken = comma ? size + 1 : size;
        *rest = slice_of(rest->data + taken, rest->size - taken);
        if (size > 0)
            return true;
    }
    return false;
}

static bool list_has(struct slice list, struct slice part)
{
    for (struct slice each; next_part(&list, &each);)
        if (slice_equal(each, part))
            return true;
    return false;
}

static void list_add(struct buffer *list, struct slice part)
{
    if (list->size > 0)
        buffer_append(list, ",", 1);
    buffer_append(list, part.data, part.size);
}

static struct slice list_change(struct arena *arena, struct slice old, struct slice parts, bool appends)
{
    struct buffer list CLEANUP(buffer_free) = {0};
    for (struct slice each; next_part(&old, &each);)
        if (appends || !list_has(parts, each))
            list_add(&list, each);
    for (struct slice each; appends && next_part(&parts, &each);)
        if (!list_has(slice_of(list.data, list.size), each))
            list_add(&list, each);
    return arena_copy(arena, slice_of(list.data ? list.data : (const uint8_t *)"", list.size));
}

/* ---- the changes */
static struct slice value_before(const struct turn *turn, struct slice key)
{
    for (int32_t i = turn->change_count - 1; i >= 0; i--) // named twice: the later one sees the earlier
        if (slice_equal(turn->changes[i].key, key))
            return turn->changes[i].value;
    return meta_configs_get(turn->current, key);
}

static bool list_alter(struct turn *turn, const struct ctrl_alter *alter, struct slice *ret_value)
{
    const struct meta_config_def *def = meta_config_find(table_of(turn->resource->type), alter->key);
    bool appends = alter->op == CTRL_ALTER_APPEND;
    bool is_broker = turn->resource->type == META_RESOURCE_BROKER;
    if (!def && is_broker)
        return refuse(turn, KAFKA_INVALID_CONFIG,
                      arena_printf(turn->arena, "Unknown config name: %.*s", (int)alter->key.size,
                                   (const char *)alter->key.data));
    if (is_broker && def->type != META_TYPE_LIST)
        return refuse(turn, KAFKA_INVALID_CONFIG,
                      arena_printf(turn->arena, "Config value %s is not allowed for config key: %.*s",
                                   appends ? "append" : "subtract", (int)alter->key.size,
                                   (const char *)alter->key.data));
    if (!def || def->type != META_TYPE_LIST)
        return refuse(turn, KAFKA_INVALID_CONFIG,
                      arena_printf(turn->arena, "Can't %s to key %.*s because its type is not LIST.",
                                   appends ? "APPEND" : "SUBTRACT", (int)alter->key.size,
                                   (const char *)alter->key.data));
    struct slice old = value_before(turn, alter->key);
    if (slice_is_null(old))
        old = slice_str(def->default_value);
    *ret_value = list_change(turn->arena, old, alter->value, appends);
    return true;
}

static bool value_alter(struct turn *turn, const struct ctrl_alter *alter, struct slice *ret_value)
{
    switch (alter->op) {
    case CTRL_ALTER_SET:
        *ret_value = alter->value;
        return true;
    case CTRL_ALTER_DELETE:
        *ret_value = SLICE_NULL;
        return true;
    case CTRL_ALTER_APPEND:
    case CTRL_ALTER_SUBTRACT:
        return list_alter(turn, alter, ret_value);
    default:
        return refuse(turn, KAFKA_INVALID_REQUEST,
                      arena_printf(turn->arena, "Unknown operations type %d", (int)alter->op));
    }
}

/* A broker hears of unchanged values too: it loads files again that they name. */
static void change_note(struct turn *turn, struct slice key, struct slice value)
{
    if (slice_equal(value_before(turn, key), value) && turn->resource->type != META_RESOURCE_BROKER)
        return;
    for (int32_t i = 0; i < turn->change_count; i++) {
        if (slice_equal(turn->changes[i].key, key)) {
            turn->changes[i].value = value;
            return;
        }
    }
    turn->changes[turn->change_count++] = (struct change){key, value, false};
}

static bool is_named(const struct ctrl_alter_resource *resource, struct slice key)
{
    for (int32_t i = 0; i < resource->alter_count; i++)
        if (slice_equal(resource->alters[i].key, key))
            return true;
    return false;
}

static bool changes_collect(struct turn *turn)
{
    const struct ctrl_alter_resource *resource = turn->resource;
    int32_t current_count = turn->current ? turn->current->entry_count : 0;
    turn->changes =
        arena_array(turn->arena, (size_t)resource->alter_count + (size_t)current_count, sizeof *turn->changes);
    if (!turn->changes)
        return refuse(turn, KAFKA_POLICY_VIOLATION, slice_str("Unable to perform excessively large batch operation."));
    for (int32_t i = 0; i < resource->alter_count; i++) {
        struct slice value;
        if (!value_alter(turn, &resource->alters[i], &value))
            return false;
        change_note(turn, resource->alters[i].key, value);
    }
    for (int32_t i = 0; resource->replace && i < current_count; i++)
        if (!is_named(resource, turn->current->entries[i].key))
            turn->changes[turn->change_count++] = (struct change){turn->current->entries[i].key, SLICE_NULL, true};
    return true;
}

/* ---- judging */
static bool change_is_allowed(struct turn *turn, const struct change *change)
{
    bool is_min_insync = turn->resource->type == META_RESOURCE_BROKER && turn->image->elr_version > 0 &&
                         slice_equal_str(change->key, MIN_INSYNC);
    if (is_min_insync && turn->resource->name.size > 0 && !change->is_implicit)
        return refuse(turn, KAFKA_INVALID_CONFIG,
                      slice_str("Broker-level min.insync.replicas cannot be altered while ELR is enabled."));
    if (is_min_insync && turn->resource->name.size == 0 && slice_is_null(change->value))
        return refuse(turn, KAFKA_INVALID_CONFIG,
                      slice_str("Cluster-level min.insync.replicas cannot be removed while ELR is enabled."));
    if (change->value.size > VALUE_MAX_BYTES)
        return refuse(turn, KAFKA_INVALID_CONFIG,
                      slice_str("The configuration value cannot be added because it exceeds the maximum value size of "
                                "32767 bytes."));
    return true;
}

/* What will be set: NULL, with the result filled, when the arena is full. */
static struct meta_config_entry *outcome(struct turn *turn, int32_t *ret_count)
{
    int32_t current_count = turn->current ? turn->current->entry_count : 0, count = 0;
    struct meta_config_entry *entries =
        arena_array(turn->arena, (size_t)current_count + (size_t)turn->change_count, sizeof *entries);
    for (int32_t i = 0; entries && i < current_count; i++) {
        bool changes = false;
        for (int32_t k = 0; k < turn->change_count; k++)
            changes |= slice_equal(turn->changes[k].key, turn->current->entries[i].key);
        if (!changes)
            entries[count++] = turn->current->entries[i];
    }
    for (int32_t k = 0; entries && k < turn->change_count; k++)
        if (!slice_is_null(turn->changes[k].value))
            entries[count++] = (struct meta_config_entry){turn->changes[k].key, turn->changes[k].value};
    *ret_count = count;
    return entries;
}

static bool topic_judge(struct turn *turn, const struct meta_config_entry *entries, int32_t count)
{
    char message[META_MESSAGE_SIZE];
    struct slice name = turn->resource->name;
    if (name.size == 0)
        return refuse(turn, KAFKA_INVALID_REQUEST, slice_str("Default topic resources are not allowed."));
    if (!meta_topic_name_is_valid(name, message))
        return refuse(turn, KAFKA_INVALID_TOPIC_EXCEPTION, arena_copy(turn->arena, slice_str(message)));
    if (!meta_topic_configs_validate(turn->ctrl->settings, entries, count, message))
        return refuse(turn, KAFKA_INVALID_CONFIG, arena_copy(turn->arena, slice_str(message)));
    return true;
}

static bool broker_id_parse(struct slice name, int32_t *ret_id)
{
    char text[16], *end;
    if (name.size == 0 || name.size >= sizeof text)
        return false;
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    errno = 0;
    long id = strtol(text, &end, 10);
    if (*end || errno != 0 || text[0] == ' ' || id > INT32_MAX || id < INT32_MIN)
        return false;
    *ret_id = (int32_t)id;
    return true;
}

static bool broker_judge(struct turn *turn, const struct meta_config_entry *entries, int32_t count)
{
    int32_t id;
    if (turn->resource->name.size > 0 && !broker_id_parse(turn->resource->name, &id))
        return refuse(turn, KAFKA_INVALID_REQUEST, slice_str("Unable to parse broker name as a base 10 number."));
    if (turn->resource->name.size > 0 && id < 0)
        return refuse(turn, KAFKA_INVALID_REQUEST, slice_str("Invalid negative broker ID."));
    return ctrl__broker_configs_judge(turn->ctrl, turn->resource->name.size == 0, entries, count, turn->arena,
                                      turn->result);
}

/* Groups and metrics subscriptions: known names, sound values. */
static bool plain_judge(struct turn *turn, const struct meta_config_entry *entries, int32_t count)
{
    char message[META_MESSAGE_SIZE];
    bool is_group = turn->resource->type == META_RESOURCE_GROUP;
    const struct meta_config_table *table = table_of(turn->resource->type);
    if (turn->resource->name.size == 0)
        return refuse(
            turn, KAFKA_INVALID_REQUEST,
            slice_str(is_group ? "Default group resources are not allowed." : "Subscription name can't be empty"));
    for (int32_t i = 0; i < count; i++) {
        const struct meta_config_def *def = meta_config_find(table, entries[i].key);
        if (!def)
            return refuse(turn, is_group ? KAFKA_INVALID_CONFIG : KAFKA_INVALID_REQUEST,
                          arena_printf(turn->arena, "%s%.*s", table->unknown, (int)entries[i].key.size,
                                       (const char *)entries[i].key.data));
        if (!meta_config_validate(def, entries[i].value, message))
            return refuse(turn, is_group ? KAFKA_INVALID_CONFIG : KAFKA_INVALID_REQUEST,
                          arena_copy(turn->arena, slice_str(message)));
    }
    return true;
}

static bool judge(struct turn *turn)
{
    int32_t count;
    bool is_broker = turn->resource->type == META_RESOURCE_BROKER; // looked at by itself before the cluster's rules
    const struct meta_config_entry *entries = outcome(turn, &count);
    if (!entries)
        return refuse(turn, KAFKA_POLICY_VIOLATION, slice_str("Unable to perform excessively large batch operation."));
    if (is_broker && !broker_judge(turn, entries, count))
        return false;
    for (int32_t i = 0; i < turn->change_count; i++)
        if (!change_is_allowed(turn, &turn->changes[i]))
            return false;
    if (is_broker)
        return true;
    switch (turn->resource->type) {
    case META_RESOURCE_TOPIC:
        return topic_judge(turn, entries, count);
    default:
        return plain_judge(turn, entries, count);
    }
}

static bool exists(struct turn *turn)
{
    struct slice name = turn->resource->name;
    int32_t id;
    if (turn->resource->type == META_RESOURCE_TOPIC && !meta_topic_by_name(turn->image, name))
        return refuse(
            turn, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
            arena_printf(turn->arena, "The topic '%.*s' does not exist.", (int)name.size, (const char *)name.data));
    if (turn->resource->type == META_RESOURCE_BROKER && broker_id_parse(name, &id) && !meta_broker(turn->image, id) &&
        !meta_controller(turn->image, id))
        return refuse(turn, KAFKA_BROKER_ID_NOT_REGISTERED,
                      arena_printf(turn->arena, "No node with id %d found.", (int)id));
    return true;
}

/* ---- the records */
static void clear_elr_add(struct turn *turn, struct ctrl__records *records)
{
    struct clear_elr_record record;
    clear_elr_record_init(&record);
    bool is_topic = turn->resource->type == META_RESOURCE_TOPIC;
    if (turn->image->elr_version == 0 || (!is_topic && turn->resource->type != META_RESOURCE_BROKER))
        return;
    record.topic_name = is_topic ? turn->resource->name : slice_str(""); // empty: all topics
    ctrl__records_add(records, META_CLEAR_ELR, 0, &record);
}

static void records_fill(struct turn *turn, struct ctrl__records *records)
{
    bool touches_min_insync = false;
    struct config_record record;
    config_record_init(&record);
    record.resource_type = turn->resource->type;
    record.resource_name = turn->resource->name;
    for (int32_t i = 0; i < turn->change_count; i++) {
        record.name = turn->changes[i].key;
        record.value = turn->changes[i].value;
        ctrl__records_add(records, META_CONFIG, 0, &record);
        touches_min_insync |= slice_equal_str(record.name, MIN_INSYNC);
    }
    if (touches_min_insync)
        clear_elr_add(turn, records);
}

void ctrl__configs_alter(const struct ctrl *ctrl, const struct ctrl_alter_resource *resource, bool is_new,
                         struct arena *arena, struct ctrl__records *records, struct ctrl_result *ret_result)
{
    const struct meta_image *image = meta_builder_view(ctrl->builder);
    struct turn turn = {.ctrl = ctrl, .image = image, .resource = resource, .arena = arena, .result = ret_result};
    *ret_result = (struct ctrl_result){0};
    if (!table_of(resource->type)) {
        refuse(&turn, KAFKA_INVALID_REQUEST,
               arena_printf(arena, "Unknown resource type %s", type_name(resource->type)));
        return;
    }
    turn.current = meta_configs(image, resource->type, resource->name);
    if (changes_collect(&turn) && judge(&turn) && (is_new || exists(&turn)))
        records_fill(&turn, records);
}
