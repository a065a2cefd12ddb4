// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_client_quotas.c - DescribeClientQuotas: which quotas there are (KIP-546).
 *
 * A filter names types of entities, and for each an exact name, the default, or any name. An entity fits when it has all
 * types of the filter; strictly, when it has no other. The image keeps one item for each key of an entity, those of one
 * entity side by side, so entries are put together by walking it twice: to count and to fill.
 */
#include "broker/broker__.h"
#include "wire/gen/describe_client_quotas.h"

enum { MATCH_EXACT = 0, MATCH_DEFAULT = 1, MATCH_ANY = 2 };

typedef struct describe_client_quotas_request_component_data component;
typedef struct describe_client_quotas_response_entry_data entry_reply;
typedef struct describe_client_quotas_response_value_data value_reply;
typedef struct describe_client_quotas_response_entity_data entity_reply;

/* ---- the filter: the first that is wrong with it, in Kafka's order */
struct fault {
    int16_t error; // KAFKA_NONE: none
    struct slice message;
};

static struct fault fault_of(int16_t error, struct slice message)
{
    return (struct fault){error, message};
}

static struct fault match_check(const component *one, struct arena *arena)
{
    bool is_null = slice_is_null(one->match);
    switch (one->match_type) {
    case MATCH_EXACT:
        return is_null ? fault_of(KAFKA_INVALID_REQUEST,
                                  slice_str("Request specified MATCH_TYPE_EXACT, but set match string to null."))
                       : fault_of(KAFKA_NONE, SLICE_NULL);
    case MATCH_DEFAULT:
        return is_null ? fault_of(KAFKA_NONE, SLICE_NULL)
                       : fault_of(KAFKA_INVALID_REQUEST, slice_str("Request specified MATCH_TYPE_DEFAULT, but also "
                                                                   "specified a match string."));
    case MATCH_ANY:
        return is_null ? fault_of(KAFKA_NONE, SLICE_NULL)
                       : fault_of(KAFKA_INVALID_REQUEST, slice_str("Request specified MATCH_TYPE_SPECIFIED, but also "
                                                                   "specified a match string."));
    default:
        return fault_of(KAFKA_INVALID_REQUEST, arena_printf(arena, "Unknown match type %d", (int)one->match_type));
    }
}

static bool is_type(const component *one, const char *type)
{
    return slice_equal_str(one->entity_type, type);
}

static struct fault component_check(const struct describe_client_quotas_request *body, int32_t at, struct arena *arena)
{
    const component *one = &body->components[at];
    int size = (int)one->entity_type.size;
    const char *type = (const char *)one->entity_type.data;
    if (size == 0)
        return fault_of(KAFKA_INVALID_REQUEST, slice_str("Invalid empty entity type."));
    for (int32_t i = 0; i < at; i++)
        if (slice_equal(body->components[i].entity_type, one->entity_type))
            return fault_of(
                KAFKA_INVALID_REQUEST,
                arena_printf(arena, "Entity type %.*s cannot appear more than once in the filter.", size, type));
    if (!is_type(one, "user") && !is_type(one, "client-id") && !is_type(one, "ip"))
        return fault_of(KAFKA_UNSUPPORTED_VERSION, arena_printf(arena, "Unsupported entity type %.*s", size, type));
    return fault_of(KAFKA_NONE, SLICE_NULL);
}

static struct fault filter_check(const struct describe_client_quotas_request *body, struct arena *arena)
{
    struct fault fault = {0};
    bool has_address = false;
    for (int32_t i = 0; fault.error == KAFKA_NONE && i < body->components_count; i++)
        fault = match_check(&body->components[i], arena);
    for (int32_t i = 0; fault.error == KAFKA_NONE && i < body->components_count; i++) {
        fault = component_check(body, i, arena);
        has_address |= is_type(&body->components[i], "ip");
    }
    if (fault.error == KAFKA_NONE && has_address && body->components_count > 1)
        fault = fault_of(KAFKA_INVALID_REQUEST,
                         slice_str("Invalid entity filter component combination. IP filter component should not be "
                                   "used with user or clientId filter component."));
    return fault;
}

/* ---- who fits */
static bool part_fits(const struct meta_quota *quota, const component *one)
{
    for (int32_t i = 0; i < quota->part_count; i++) {
        const struct meta_quota_part *part = &quota->parts[i];
        if (!slice_equal(part->type, one->entity_type))
            continue;
        bool is_default = slice_is_null(part->name);
        return one->match_type == MATCH_ANY || (one->match_type == MATCH_DEFAULT && is_default) ||
               (one->match_type == MATCH_EXACT && !is_default && slice_equal(part->name, one->match));
    }
    return false;
}

static bool fits(const struct describe_client_quotas_request *body, const struct meta_quota *quota)
{
    if (body->strict && quota->part_count != body->components_count)
        return false;
    for (int32_t i = 0; i < body->components_count; i++)
        if (!part_fits(quota, &body->components[i]))
            return false;
    return true;
}

/* ---- the answer */
struct listing {
    const struct describe_client_quotas_request *body;
    struct arena *arena;
    entry_reply *entries; // NULL: counts only
    value_reply *values;
    int32_t entry_count, value_count;
};

static void entry_begin(struct listing *listing, const struct meta_quota *quota)
{
    if (listing->entries) {
        entry_reply *entry = &listing->entries[listing->entry_count];
        describe_client_quotas_response_entry_data_init(entry);
        entry->values = &listing->values[listing->value_count];
        entry->entity_count = quota->part_count;
        entry->entity = arena_array(listing->arena, (size_t)quota->part_count, sizeof *entry->entity);
        for (int32_t i = 0; entry->entity && i < quota->part_count; i++) {
            describe_client_quotas_response_entity_data_init(&entry->entity[i]);
            entry->entity[i].entity_type = quota->parts[i].type;
            entry->entity[i].entity_name = quota->parts[i].name;
        }
    }
    listing->entry_count++;
}

static void value_add(struct listing *listing, const struct meta_quota *quota)
{
    if (listing->entries) {
        value_reply *value = &listing->values[listing->value_count];
        describe_client_quotas_response_value_data_init(value);
        value->key = quota->key;
        value->value = quota->value;
        listing->entries[listing->entry_count - 1].values_count++;
    }
    listing->value_count++;
}

static void walk(struct listing *listing, const struct meta_node *quotas)
{
    const struct meta_quota *before = NULL;
    struct meta_walk walk;
    meta_walk_begin(quotas, &walk);
    for (const struct meta_item *item; !listing->arena->failed && (item = meta_walk_next(&walk));) {
        const struct meta_quota *quota = CONTAINER_OF(item, struct meta_quota, item);
        if (!fits(listing->body, quota))
            continue;
        if (!before || !meta_quota_parts_equal(before->parts, before->part_count, quota->parts, quota->part_count))
            entry_begin(listing, quota);
        value_add(listing, quota);
        before = quota;
    }
}

static void entries_fill(struct request *request, struct describe_client_quotas_response *response)
{
    const struct meta_node *quotas = request->home->image->quotas;
    struct listing counting = {.body = request->body, .arena = &request->arena};
    walk(&counting, quotas);
    struct listing filling = {.body = request->body, .arena = &request->arena};
    filling.values = arena_array(&request->arena, (size_t)counting.value_count + 1, sizeof *filling.values);
    filling.entries = arena_array(&request->arena, (size_t)counting.entry_count + 1, sizeof *filling.entries);
    if (!request->arena.failed)
        walk(&filling, quotas);
    response->entries = filling.entries;
    response->entries_count = filling.entry_count;
}

static void start(struct request *request)
{
    struct describe_client_quotas_response response;
    describe_client_quotas_response_init(&response);
    struct fault fault = filter_check(request->body, &request->arena);
    response.error_code = fault.error;
    response.error_message = fault.error == KAFKA_NONE ? slice_str("") : fault.message;
    response.entries = NULL;
    response.entries_count = -1;
    if (fault.error == KAFKA_NONE)
        entries_fill(request, &response);
    if (request->arena.failed)
        request_refuse(request, "it needs more memory than one request may have");
    else
        request__reply(request, &response);
}

const struct api_row api__describe_client_quotas = {
    .key = API_DESCRIBE_CLIENT_QUOTAS, .version_min = 0, .version_max = 1, .start = start};
