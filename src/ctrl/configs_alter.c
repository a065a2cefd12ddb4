// SPDX-License-Identifier: Apache-2.0
/* ctrl/configs_alter.c - AlterConfigs and IncrementalAlterConfigs: the form of a request, before its resources are judged.
 *
 * A resource or a key named twice, and a value that is missing, are refused as Apache Kafka's brokers refuse them before
 * they ask the controller. Each resource stands alone; what is accepted is one atomic batch.
 */
#include "ctrl/ctrl__.h"

static struct slice resource_key(const struct ctrl_alter_resource *resource, struct arena *arena)
{
    return arena_printf(arena, "%d %.*s", (int)resource->type, (int)resource->name.size,
                        resource->name.data ? (const char *)resource->name.data : "");
}

static bool keys_are_fine(const struct ctrl_alter_resource *resource, struct arena *arena, struct ctrl_result *result)
{
    struct hash keys CLEANUP(hash_free);
    struct buffer nulls CLEANUP(buffer_free) = {0};
    bool is_twice = false;
    hash_init(&keys);
    for (int32_t i = 0; i < resource->alter_count; i++) {
        const struct ctrl_alter *alter = &resource->alters[i];
        ctrl__name_note(&keys, arena, alter->key, alter->key);
        is_twice |= ctrl__name_count(&keys, alter->key) > 1;
        if (slice_is_null(alter->value) && alter->op != CTRL_ALTER_DELETE)
            buffer_printf(&nulls, "%s%.*s", nulls.size > 0 ? "," : "", (int)alter->key.size,
                          (const char *)alter->key.data);
    }
    if (is_twice)
        ctrl__refuse(result, KAFKA_INVALID_REQUEST, slice_str("Error due to duplicate config keys"));
    else if (nulls.size > 0)
        ctrl__refuse(
            result, KAFKA_INVALID_REQUEST,
            arena_printf(arena, "Null value not supported for : %.*s", (int)nulls.size, (const char *)nulls.data));
    return !is_twice && nulls.size == 0;
}

static void alter_all(struct ctrl *ctrl, const struct ctrl_alter_resource *resources, int32_t count,
                      struct arena *arena, struct ctrl__records *records, struct ctrl_result *results)
{
    struct hash names CLEANUP(hash_free);
    hash_init(&names);
    for (int32_t i = 0; i < count; i++) {
        struct slice key = resource_key(&resources[i], arena);
        ctrl__name_note(&names, arena, key, key);
    }
    for (int32_t i = 0; i < count && !arena->failed; i++) {
        results[i] = (struct ctrl_result){0};
        if (ctrl__name_count(&names, resource_key(&resources[i], arena)) > 1)
            ctrl__refuse(&results[i], KAFKA_INVALID_REQUEST, slice_str("Each resource must appear at most once."));
        else if (keys_are_fine(&resources[i], arena, &results[i]))
            ctrl__configs_alter(ctrl, &resources[i], false, arena, records, &results[i]);
    }
}

static void refuse_all(struct ctrl_result *results, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        ctrl__refuse(&results[i], KAFKA_POLICY_VIOLATION,
                     slice_str("Unable to perform excessively large batch operation."));
}

static int64_t alters_sum(const struct ctrl_alter_resource *resources, int32_t count)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += resources[i].alter_count;
    return sum;
}

struct status ctrl_alter_configs(struct ctrl *ctrl, const struct ctrl_alter_resource *resources, int32_t count,
                                 bool validate_only, struct arena *arena, int64_t now_ms, struct ctrl_result *results)
{
    if (alters_sum(resources, count) > CTRL_RECORDS_MAX) {
        refuse_all(results, count);
        return STATUS_OK;
    }
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    alter_all(ctrl, resources, count, arena, &records, results);
    if (arena->failed)
        return STATUS(ENOMEM, "alter configs: the request is too large");
    if (records.count > CTRL_RECORDS_MAX) {
        refuse_all(results, count);
        return STATUS_OK;
    }
    return validate_only ? STATUS_OK : ctrl__commit(ctrl, &records, now_ms);
}
