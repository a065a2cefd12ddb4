// SPDX-License-Identifier: Apache-2.0
/* ctrl/quotas.c - AlterClientQuotas: rates of users, clients and addresses are set and taken back (KIP-546, 612).
 *
 * Each entity stands alone, judged by Apache Kafka's rules in its order: the entity, its keys, their values. An entity that
 * comes again is refused, though what came first has its effect. Only what changes becomes a record.
 */
#include "ctrl/ctrl__.h"

#include <math.h>

enum key_type { KEY_LONG, KEY_DOUBLE, KEY_INT };

struct key {
    const char *name;
    enum key_type type;
    bool is_of_addresses;
};

static const struct key KEYS[] = {
    {"consumer_byte_rate", KEY_LONG, false},     {"controller_mutation_rate", KEY_DOUBLE, false},
    {"producer_byte_rate", KEY_LONG, false},     {"request_percentage", KEY_DOUBLE, false},
    {"connection_creation_rate", KEY_INT, true},
};

static const double FRACTION = 1e-6; // less is no fraction

struct turn {
    struct ctrl *ctrl;
    const struct meta_image *image;
    struct arena *arena;
    struct ctrl__records records;
};

static bool refuse(struct ctrl_result *result, struct slice message)
{
    ctrl__refuse(result, KAFKA_INVALID_REQUEST, message);
    return false;
}

/* ---- entities */
static struct slice entity_text(const struct ctrl_quota_change *change, struct arena *arena)
{
    struct buffer text CLEANUP(buffer_free) = {0};
    for (int32_t i = 0; i < change->part_count; i++) {
        const struct meta_quota_part *part = &change->parts[i];
        bool is_default = slice_is_null(part->name);
        buffer_printf(&text, "%s%.*s=%.*s", i > 0 ? ", " : "", (int)part->type.size, (const char *)part->type.data,
                      is_default ? 4 : (int)part->name.size, is_default ? "null" : (const char *)part->name.data);
    }
    return arena_printf(arena, "ClientQuotaEntity(entries={%.*s})", (int)text.size, (const char *)text.data);
}

/* Unlike the text, different for different entities. */
static struct slice entity_key(const struct ctrl_quota_change *change, struct arena *arena)
{
    struct buffer key CLEANUP(buffer_free) = {0};
    for (int32_t i = 0; i < change->part_count; i++) {
        const struct meta_quota_part *part = &change->parts[i];
        buffer_printf(&key, "%zu:%.*s", part->type.size, (int)part->type.size, (const char *)part->type.data);
        if (slice_is_null(part->name))
            buffer_printf(&key, "-");
        else
            buffer_printf(&key, "%zu:%.*s", part->name.size, (int)part->name.size, (const char *)part->name.data);
    }
    return arena_copy(arena, slice_of(key.data ? key.data : (const uint8_t *)"", key.size));
}

static bool is_type(const struct meta_quota_part *part, const char *type)
{
    return slice_equal_str(part->type, type);
}

static bool parts_are_fine(const struct ctrl_quota_change *change, struct arena *arena, struct ctrl_result *result)
{
    if (change->part_count == 0)
        return refuse(result, slice_str("Invalid empty client quota entity"));
    for (int32_t i = 0; i < change->part_count; i++) {
        const struct meta_quota_part *part = &change->parts[i];
        int size = (int)part->type.size;
        const char *type = (const char *)part->type.data;
        if (!is_type(part, "user") && !is_type(part, "client-id") && !is_type(part, "ip"))
            return refuse(result, arena_printf(arena, "Unhandled client quota entity type: %.*s", size, type));
        if (!slice_is_null(part->name) && part->name.size == 0)
            return refuse(result, arena_printf(arena, "Empty %.*s not supported", size, type));
    }
    return true;
}

static bool is_of_addresses(const struct ctrl_quota_change *change)
{
    for (int32_t i = 0; i < change->part_count; i++)
        if (is_type(&change->parts[i], "ip"))
            return true;
    return false;
}

/* Names of hosts are refused: whom they mean may be another tomorrow. */
static bool entity_is_fine(const struct ctrl_quota_change *change, struct arena *arena, struct ctrl_result *result)
{
    uint8_t address[META_ADDRESS_BYTES];
    if (!parts_are_fine(change, arena, result))
        return false;
    if (!is_of_addresses(change))
        return true;
    if (change->part_count > 1)
        return refuse(result, slice_str("Invalid quota entity combination, IP entity shouldnot be combined with User "
                                        "or ClientId"));
    struct slice name = change->parts[0].name;
    if (!slice_is_null(name) && !meta_address_parse(name, address))
        return refuse(result, arena_printf(arena, "%.*s is not a valid IP or resolvable host.", (int)name.size,
                                           (const char *)name.data));
    return true;
}

/* ---- keys and values */
static const struct key *key_find(struct slice name, bool is_of_addresses_too)
{
    for (size_t i = 0; i < COUNT_OF(KEYS); i++)
        if (slice_equal_str(name, KEYS[i].name) && KEYS[i].is_of_addresses == is_of_addresses_too)
            return &KEYS[i];
    return NULL;
}

static bool value_is_fine(const struct key *key, double value, struct arena *arena, struct ctrl_result *result)
{
    double max = key->type == KEY_INT ? (double)INT32_MAX : (double)INT64_MAX;
    if (!(value > 0)) // not a number either
        return refuse(result, arena_printf(arena, "Quota %s must be greater than 0", key->name));
    if (key->type == KEY_DOUBLE)
        return true;
    if (value > max)
        return refuse(result, arena_printf(arena, "Proposed value for %s is too large for %s.", key->name,
                                           key->type == KEY_INT ? "an INT" : "a LONG"));
    double over = value + FRACTION - floor(value + FRACTION); // above the whole number next to it
    if (over > 2 * FRACTION)
        return refuse(result, arena_printf(arena, "%s cannot be a fractional value.", key->name));
    return true;
}

static bool op_is_fine(const struct ctrl_quota_change *change, const struct ctrl_quota_op *op, struct arena *arena,
                       struct ctrl_result *result)
{
    const struct key *key = key_find(op->key, is_of_addresses(change));
    if (op->remove)
        return true; // what nobody has is easily taken back
    if (!key)
        return refuse(result, arena_printf(arena, "Invalid configuration key %.*s", (int)op->key.size,
                                           (const char *)op->key.data));
    return value_is_fine(key, op->value, arena, result);
}

static bool has_key_twice(const struct ctrl_quota_change *change, struct arena *arena)
{
    struct hash keys CLEANUP(hash_free);
    bool twice = false;
    hash_init(&keys);
    for (int32_t i = 0; i < change->op_count && !arena->failed; i++)
        ctrl__name_note(&keys, arena, change->ops[i].key, change->ops[i].key);
    for (int32_t i = 0; i < change->op_count && !arena->failed && !twice; i++)
        twice = ctrl__name_count(&keys, change->ops[i].key) > 1;
    return twice;
}

/* ---- records */
static void record_add(struct turn *turn, const struct ctrl_quota_change *change, const struct ctrl_quota_op *op)
{
    const struct meta_quota *now = meta_quota(turn->image, change->parts, change->part_count, op->key);
    struct client_quota_record_entity_data entity[META_QUOTA_PARTS];
    struct client_quota_record record;
    if (op->remove ? !now : now && now->value == op->value)
        return;
    client_quota_record_init(&record);
    for (int32_t i = 0; i < change->part_count; i++) {
        client_quota_record_entity_data_init(&entity[i]);
        entity[i].entity_type = change->parts[i].type;
        entity[i].entity_name = change->parts[i].name;
    }
    record.entity = entity;
    record.entity_count = change->part_count;
    record.key = op->key;
    record.value = op->remove ? 0 : op->value;
    record.remove = op->remove;
    ctrl__records_add(&turn->records, META_CLIENT_QUOTA, 0, &record);
}

static void change_take(struct turn *turn, const struct ctrl_quota_change *change, struct ctrl_result *result)
{
    if (!entity_is_fine(change, turn->arena, result))
        return;
    for (int32_t i = 0; i < change->op_count; i++)
        if (!op_is_fine(change, &change->ops[i], turn->arena, result))
            return;
    assert(change->part_count <= META_QUOTA_PARTS); // of three types, each at most once
    for (int32_t i = 0; i < change->op_count; i++)
        record_add(turn, change, &change->ops[i]);
}

static void changes_take(struct turn *turn, const struct ctrl_quota_change *changes, int32_t count,
                         struct ctrl_result *results)
{
    struct hash seen CLEANUP(hash_free);
    hash_init(&seen);
    for (int32_t i = 0; i < count && !turn->arena->failed; i++) {
        struct slice key = entity_key(&changes[i], turn->arena);
        results[i] = (struct ctrl_result){0};
        ctrl__name_note(&seen, turn->arena, key, key);
        if (ctrl__name_count(&seen, key) > 1 || has_key_twice(&changes[i], turn->arena))
            refuse(&results[i], arena_printf(turn->arena, "Ignoring duplicate entity %s",
                                             (const char *)entity_text(&changes[i], turn->arena).data));
        else
            change_take(turn, &changes[i], &results[i]);
    }
}

static void turn_end(struct turn *turn)
{
    ctrl__records_free(&turn->records);
}

struct status ctrl_alter_quotas(struct ctrl *ctrl, const struct ctrl_quota_change *changes, int32_t count,
                                bool validate_only, struct arena *arena, int64_t now_ms, struct ctrl_result *results)
{
    struct turn turn CLEANUP(turn_end) = {.ctrl = ctrl, .image = meta_builder_view(ctrl->builder), .arena = arena};
    ctrl__records_init(&turn.records);
    changes_take(&turn, changes, count, results);
    if (arena->failed)
        return STATUS(ENOMEM, "alter quotas: the request is too large");
    if (turn.records.count > CTRL_RECORDS_MAX) {
        for (int32_t i = 0; i < count; i++)
            ctrl__refuse(&results[i], KAFKA_POLICY_VIOLATION,
                         slice_str("Unable to perform excessively large batch operation."));
        return STATUS_OK;
    }
    return validate_only ? STATUS_OK : ctrl__commit(ctrl, &turn.records, now_ms);
}
