// SPDX-License-Identifier: Apache-2.0
/* broker/api_alter_client_quotas.c - AlterClientQuotas: rates of users, clients and addresses (KIP-546).
 *
 * An entity is a map: a type that is named twice has its later name. Entities that come again are answered once, with the
 * controller's refusal.
 */
#include "broker/broker__.h"
#include "wire/gen/alter_client_quotas.h"

typedef struct alter_client_quotas_request_entry_data asked_entry;
typedef struct alter_client_quotas_response_entry_data entry_reply;
typedef struct alter_client_quotas_response_entity_data entity_reply;

struct quotas_work {
    struct ctrl_quota_change *changes;
    struct ctrl_result *results;
    int32_t count;
};

/* There are three types of entities. One that has more is refused for what it is: no more of it is kept than shows that. */
enum { PARTS_KEPT = META_QUOTA_PARTS };

/* Ordered by type, the later name of a type. */
static void part_put(struct meta_quota_part parts[PARTS_KEPT], int32_t *count, struct meta_quota_part part)
{
    int32_t at = 0;
    while (at < *count && slice_compare(parts[at].type, part.type) < 0)
        at++;
    if (at < *count && slice_equal(parts[at].type, part.type)) {
        parts[at] = part;
        return;
    }
    if (at == PARTS_KEPT)
        return;
    *count = (int32_t)min_i64(*count + 1, PARTS_KEPT);
    memmove(&parts[at + 1], &parts[at], (size_t)(*count - 1 - at) * sizeof parts[0]);
    parts[at] = part;
}

static bool change_fill(struct arena *arena, const asked_entry *asked, struct ctrl_quota_change *ret_change)
{
    size_t part_count = (size_t)max_i64(asked->entity_count, 0), op_count = (size_t)max_i64(asked->ops_count, 0);
    struct meta_quota_part *parts = arena_array(arena, PARTS_KEPT, sizeof *parts);
    struct ctrl_quota_op *ops = arena_array(arena, op_count, sizeof *ops);
    if (arena->failed)
        return false;
    *ret_change = (struct ctrl_quota_change){.parts = parts, .ops = ops, .op_count = (int32_t)op_count};
    for (size_t i = 0; i < part_count; i++)
        part_put(parts, &ret_change->part_count,
                 (struct meta_quota_part){asked->entity[i].entity_type, asked->entity[i].entity_name});
    for (size_t i = 0; i < op_count; i++)
        ops[i] = (struct ctrl_quota_op){asked->ops[i].key, asked->ops[i].value, asked->ops[i].remove};
    return true;
}

static bool work_fill(struct request *request, struct quotas_work *work)
{
    const struct alter_client_quotas_request *body = request->body;
    work->count = (int32_t)max_i64(body->entries_count, 0);
    work->changes = arena_array(&request->arena, (size_t)work->count, sizeof *work->changes);
    work->results = arena_array(&request->arena, (size_t)work->count, sizeof *work->results);
    for (int32_t i = 0; !request->arena.failed && i < work->count; i++)
        if (!change_fill(&request->arena, &body->entries[i], &work->changes[i]))
            return false;
    return !request->arena.failed;
}

static void start(struct request *request)
{
    struct quotas_work *work = request->work = arena_zalloc(&request->arena, sizeof *work);
    if (work && work_fill(request, work))
        request_send_to_control(request);
    else
        request_refuse(request, "it needs more memory than one request may have");
}

static void control(struct request *request)
{
    const struct alter_client_quotas_request *body = request->body;
    struct quotas_work *work = request->work;
    struct broker *broker = request->home->broker;
    struct status s = ctrl_alter_quotas(control__ctrl(broker->control), work->changes, work->count, body->validate_only,
                                        &request->arena, io_wall_ms(), work->results);
    if (!status_is_ok(s) && !request->arena.failed) // a request that is too large is its sender's fault
        broker__fail(broker, s);
}

/* ---- the answer */
static uint64_t entity_hash(const struct ctrl_quota_change *change)
{
    uint64_t hash = 0;
    for (int32_t i = 0; i < change->part_count; i++)
        hash = hash * 31 + hash_bytes(change->parts[i].type) + 7 * hash_bytes(change->parts[i].name);
    return hash;
}

static bool reply_fill(struct arena *arena, const struct ctrl_quota_change *change, const struct ctrl_result *result,
                       entry_reply *reply)
{
    alter_client_quotas_response_entry_data_init(reply);
    reply->error_code = result->error;
    reply->error_message = result->message;
    reply->entity_count = change->part_count;
    reply->entity = arena_array(arena, (size_t)change->part_count, sizeof *reply->entity);
    for (int32_t i = 0; reply->entity && i < change->part_count; i++) {
        alter_client_quotas_response_entity_data_init(&reply->entity[i]);
        reply->entity[i].entity_type = change->parts[i].type;
        reply->entity[i].entity_name = change->parts[i].name;
    }
    return reply->entity != NULL;
}

struct told {
    struct hash_node node;
    const struct ctrl_quota_change *change;
    entry_reply *reply;
};

static entry_reply *told_find(const struct hash *table, const struct ctrl_quota_change *change, uint64_t hash)
{
    for (struct hash_node *node = hash_first(table, hash); node; node = hash_next(node)) {
        const struct told *told = CONTAINER_OF(node, struct told, node);
        if (meta_quota_parts_equal(told->change->parts, told->change->part_count, change->parts, change->part_count))
            return told->reply;
    }
    return NULL;
}

/* Each entity once, with the last that is to be said of it. */
static void replies_fill(struct request *request, struct alter_client_quotas_response *response)
{
    const struct quotas_work *work = request->work;
    struct arena *arena = &request->arena;
    struct hash table CLEANUP(hash_free);
    struct told *told = arena_array(arena, (size_t)work->count, sizeof *told);
    response->entries = arena_array(arena, (size_t)work->count, sizeof *response->entries);
    hash_init(&table);
    for (int32_t i = 0; !arena->failed && i < work->count; i++) {
        uint64_t hash = entity_hash(&work->changes[i]);
        entry_reply *reply = told_find(&table, &work->changes[i], hash);
        if (!reply) {
            reply = &response->entries[response->entries_count++];
            told[i] = (struct told){.change = &work->changes[i], .reply = reply};
            hash_insert(&table, &told[i].node, hash);
        }
        reply_fill(arena, &work->changes[i], &work->results[i], reply);
    }
}

static void resume(struct request *request)
{
    struct alter_client_quotas_response response;
    alter_client_quotas_response_init(&response);
    if (!request->arena.failed)
        replies_fill(request, &response);
    if (request->arena.failed)
        request_refuse(request, "it needs more memory than one request may have");
    else
        request__reply(request, &response);
}

const struct api_row api__alter_client_quotas = {.key = API_ALTER_CLIENT_QUOTAS,
                                                 .version_min = 0,
                                                 .version_max = 1,
                                                 .on_controller = true,
                                                 .start = start,
                                                 .resume = resume,
                                                 .control = control};
