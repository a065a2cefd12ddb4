// SPDX-License-Identifier: Apache-2.0
/* broker/config_alter.c - the broker's part of changing settings: what Kafka's broker refuses before its controller is asked
 * (KIP-133, 339, 412), and the levels of loggers, which are this process's own and forgotten when it ends.
 *
 * Each resource has an outcome of its own. The order of the checks is Kafka's: named twice, keys twice, null values, then
 * what the type asks for. Ottla has one logger, the root.
 */
#include "broker/config_alter.h"

static const char root_logger[] = "root";

struct config_alter *config_alter__create(struct arena *arena, int32_t count)
{
    size_t size = (size_t)max_i64(count, 0);
    struct config_alter *alter = arena_zalloc(arena, sizeof *alter);
    if (!alter)
        return NULL;
    alter->count = (int32_t)size;
    alter->resources = arena_array(arena, size, sizeof *alter->resources);
    alter->results = arena_array(arena, size, sizeof *alter->results);
    alter->accepted = arena_array(arena, size, sizeof *alter->accepted);
    alter->accepted_results = arena_array(arena, size, sizeof *alter->accepted_results);
    alter->places = arena_array(arena, size, sizeof *alter->places);
    return arena->failed ? NULL : alter;
}

static bool refuse(struct ctrl_result *result, int16_t error, struct slice message)
{
    result->error = error;
    result->message = message;
    return false;
}

/* ---- named twice */
struct seen {
    struct hash_node node;
    struct slice name;
    int8_t type;
    int32_t place;
};

static struct seen *seen_find(const struct hash *table, struct slice name, int8_t type)
{
    for (struct hash_node *node = hash_first(table, hash_bytes(name)); node; node = hash_next(node)) {
        struct seen *seen = CONTAINER_OF(node, struct seen, node);
        if (seen->type == type && slice_equal(seen->name, name))
            return seen;
    }
    return NULL;
}

static bool seen_add(struct arena *arena, struct hash *table, struct slice name, int8_t type, int32_t place)
{
    struct seen *seen = arena_zalloc(arena, sizeof *seen);
    if (!seen)
        return false;
    *seen = (struct seen){.name = name, .type = type, .place = place};
    hash_insert(table, &seen->node, hash_bytes(name));
    return true;
}

static void refuse_resources_named_twice(struct request *request, struct config_alter *alter)
{
    static const char message[] = "Each resource must appear at most once.";
    struct hash table CLEANUP(hash_free);
    hash_init(&table);
    for (int32_t i = 0; i < alter->count; i++) {
        const struct ctrl_alter_resource *resource = &alter->resources[i];
        struct seen *earlier = seen_find(&table, resource->name, resource->type);
        if (earlier) {
            refuse(&alter->results[earlier->place], KAFKA_INVALID_REQUEST, slice_str(message));
            refuse(&alter->results[i], KAFKA_INVALID_REQUEST, slice_str(message));
        } else if (!seen_add(&request->arena, &table, resource->name, resource->type, i)) {
            return; // the arena is full: told at the end
        }
    }
}

static bool keys_are_single(struct arena *arena, const struct ctrl_alter_resource *resource)
{
    struct hash table CLEANUP(hash_free);
    hash_init(&table);
    for (int32_t i = 0; i < resource->alter_count; i++)
        if (seen_find(&table, resource->alters[i].key, 0) || !seen_add(arena, &table, resource->alters[i].key, 0, i))
            return false;
    return true;
}

/* The keys that are set to null, joined; null when there is none. */
static struct slice null_keys(struct arena *arena, const struct ctrl_alter_resource *resource)
{
    struct buffer keys CLEANUP(buffer_free) = {0};
    for (int32_t i = 0; i < resource->alter_count; i++) {
        const struct ctrl_alter *one = &resource->alters[i];
        if (one->op == CTRL_ALTER_DELETE || !slice_is_null(one->value))
            continue;
        if (keys.size > 0)
            buffer_append(&keys, ", ", 2);
        buffer_append(&keys, one->key.data, one->key.size);
    }
    return keys.size > 0 ? arena_copy(arena, slice_of(keys.data, keys.size)) : SLICE_NULL;
}

/* ---- loggers */
static bool level_find(struct slice text, enum log_level *ret_level)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (slice_equal_str(text, names[i])) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static bool logger_check(struct arena *arena, const struct ctrl_alter *one, struct ctrl_result *result)
{
    enum log_level level;
    if (one->op == CTRL_ALTER_APPEND || one->op == CTRL_ALTER_SUBTRACT)
        return refuse(result, KAFKA_INVALID_REQUEST,
                      arena_printf(arena, "%s operation is not allowed for the BROKER_LOGGER resource",
                                   one->op == CTRL_ALTER_APPEND ? "APPEND" : "SUBTRACT"));
    if (!slice_equal_str(one->key, root_logger))
        return refuse(
            result, KAFKA_INVALID_CONFIG,
            arena_printf(arena, "Logger %.*s does not exist!", (int)one->key.size, (const char *)one->key.data));
    if (one->op == CTRL_ALTER_DELETE)
        return refuse(result, KAFKA_INVALID_REQUEST,
                      slice_str("Removing the log level of the root logger is not allowed"));
    if (!level_find(one->value, &level))
        return refuse(
            result, KAFKA_INVALID_CONFIG,
            arena_printf(arena,
                         "Cannot set the log level of %s to %.*s as it is not a supported log level. Valid log "
                         "levels are DEBUG, INFO, WARN, ERROR",
                         root_logger, (int)one->value.size, (const char *)one->value.data));
    return true;
}

static void loggers_alter(struct request *request, const struct config_alter *alter,
                          const struct ctrl_alter_resource *resource, struct ctrl_result *result)
{
    enum log_level level = log_level();
    for (int32_t i = 0; i < resource->alter_count; i++) {
        if (!logger_check(&request->arena, &resource->alters[i], result))
            return;
        bool is_level = level_find(resource->alters[i].value, &level);
        assert(is_level);
    }
    if (!alter->validate_only)
        log_level_set(level);
}

/* ---- brokers */
static bool node_check(struct request *request, struct slice name, const char *refusal, struct ctrl_result *result)
{
    int32_t own_id = request->home->broker->options.node_id, id;
    if (!request__read_node_id(name, &id))
        return refuse(result, KAFKA_INVALID_REQUEST,
                      arena_printf(&request->arena, "Node id must be an integer, but it is: %.*s", (int)name.size,
                                   (const char *)name.data));
    if (id != own_id)
        return refuse(result, KAFKA_INVALID_REQUEST,
                      arena_printf(&request->arena, "%s %d, but received %.*s", refusal, (int)own_id, (int)name.size,
                                   (const char *)name.data));
    return true;
}

/* True when the controller has to be asked. */
static bool resource_check(struct request *request, const struct config_alter *alter,
                           const struct ctrl_alter_resource *resource, struct ctrl_result *result)
{
    if (!keys_are_single(&request->arena, resource))
        return refuse(result, KAFKA_INVALID_REQUEST, slice_str("Error due to duplicate config keys"));
    struct slice nulls = null_keys(&request->arena, resource);
    if (!slice_is_null(nulls))
        return refuse(result, KAFKA_INVALID_REQUEST,
                      arena_printf(&request->arena, "Null value not supported for : %.*s", (int)nulls.size,
                                   (const char *)nulls.data));
    switch (resource->type) {
    case META_RESOURCE_BROKER:
        return resource->name.size == 0 || request->listener->is_controller ||
               node_check(request, resource->name, "Unexpected broker id, expected", result);
    case META_RESOURCE_TOPIC:
    case META_RESOURCE_CLIENT_METRICS:
    case META_RESOURCE_GROUP:
        return true;
    case META_RESOURCE_BROKER_LOGGER:
        if (alter->serves_loggers) {
            if (node_check(request, resource->name, "Unexpected node id. Expected", result))
                loggers_alter(request, alter, resource, result);
            return false;
        }
        break;
    default:
        break;
    }
    return refuse(result, KAFKA_INVALID_REQUEST,
                  arena_printf(&request->arena, "Unknown resource type %d", (int)resource->type));
}

bool config_alter__start(struct request *request, struct config_alter *alter)
{
    refuse_resources_named_twice(request, alter);
    for (int32_t i = 0; i < alter->count; i++) {
        if (alter->results[i].error != KAFKA_NONE ||
            !resource_check(request, alter, &alter->resources[i], &alter->results[i]))
            continue;
        alter->places[alter->accepted_count] = i;
        alter->accepted[alter->accepted_count++] = alter->resources[i];
    }
    return alter->accepted_count > 0;
}

void config_alter__control(struct request *request, struct config_alter *alter)
{
    struct broker *broker = request->home->broker;
    struct status s = ctrl_alter_configs(control__ctrl(broker->control), alter->accepted, alter->accepted_count,
                                         alter->validate_only, &request->arena, io_wall_ms(), alter->accepted_results);
    if (!status_is_ok(s)) {
        broker__fail(broker, s);
        return;
    }
    for (int32_t i = 0; i < alter->accepted_count; i++)
        alter->results[alter->places[i]] = alter->accepted_results[i];
}
