// SPDX-License-Identifier: Apache-2.0
/* broker/group_call.c - the way of a request to the group coordinator's shards and back; see group_call.h.
 *
 * The call and everything it points to lie in the request and its arena. While a call is away only the shard's owner uses
 * that arena; the request itself stays on its reactor, and if its connection dies meanwhile the answer is dropped there.
 */
#include "broker/group_call.h"

#include "wire/gen/join_group.h"

void group_call__refuse_size(struct request *request)
{
    request_refuse(request, "it needs more memory than one request may have");
}

static struct slice client_host(struct request *request)
{
    return request->client ? arena_printf(&request->arena, "/%s", request->client->host) : slice_str("");
}

int32_t group_call__shard_count(const struct request *request)
{
    return coordinator__shard_count(request->home->broker, request->home->image, COORDINATOR_GROUPS);
}

bool group_call__begin(struct request *request, enum coord_kind kind)
{
    struct group_call *call = arena_zalloc(&request->arena, sizeof *call);
    struct slice host = client_host(request);
    if (request->arena.failed) { // by this, or by what the API took before
        group_call__refuse_size(request);
        return false;
    }
    call->shard_call.request = request;
    call->shard_call.kind = COORDINATOR_GROUPS;
    call->call = (struct coord_call){
        .arena = &request->arena,
        .kind = kind,
        .version = request->api_version,
        .client_id = slice_is_null(request->client_id) ? slice_str("") : request->client_id,
        .client_host = host,
    };
    if (kind == COORD_JOIN_GROUP)
        io_random(call->call.fresh_id.bytes, sizeof call->call.fresh_id.bytes);
    request->work = call;
    return true;
}

void group_call__send(struct request *request, const void *body, int32_t shard)
{
    struct group_call *call = request->work;
    struct reactor *home = request->home;
    call->call.request = body;
    call->call.response = NULL;
    call->call.done = false;
    call->shard_call.shard = shard;
    if (group_call__shard_count(request) == 0 || atomic_load(&home->broker->stopping)) {
        coord_call_refuse(&call->call, KAFKA_NOT_COORDINATOR);
        request__resume(request);
        return;
    }
    coordinator__call(&call->shard_call);
}

int32_t group_call__shard_of(struct request *request, struct slice group_id)
{
    int32_t count = group_call__shard_count(request);
    return count > 0 ? coordinator__shard_of(group_id, count) : 0;
}

void group_call__start(struct request *request, enum coord_kind kind, struct slice group_id)
{
    if (group_call__begin(request, kind))
        group_call__send(request, request->body, group_call__shard_of(request, group_id));
}

const void *group_call__response(struct request *request)
{
    const struct group_call *call = request->work;
    if (call->call.response && !request->arena.failed)
        return call->call.response;
    group_call__refuse_size(request);
    return NULL;
}

void group_call__reply(struct request *request)
{
    const void *response = group_call__response(request);
    if (response)
        request__reply(request, response);
}

/* ---- several groups */
static int32_t *shards_of(struct request *request, const struct slice *group_ids, int32_t count)
{
    int32_t *shards = arena_array(&request->arena, (size_t)count, sizeof *shards);
    for (int32_t i = 0; shards && i < count; i++)
        shards[i] = group_call__shard_of(request, group_ids[i]);
    return shards;
}

/* The part of that shard, added when it is new. Parts are few: one for each shard at most. */
static struct group_part *part_of(struct group_split *split, int32_t *part_of_shard, int32_t shard)
{
    if (part_of_shard[shard] == 0) {
        split->parts[split->count].shard = shard;
        part_of_shard[shard] = ++split->count;
    }
    return &split->parts[part_of_shard[shard] - 1];
}

bool group_split__make(struct request *request, const struct slice *group_ids, int32_t count,
                       struct group_split *ret_split)
{
    struct arena *arena = &request->arena;
    size_t shard_count = (size_t)max_i64(1, group_call__shard_count(request));
    count = (int32_t)max_i64(0, count);
    *ret_split = (struct group_split){0};
    int32_t *shards = shards_of(request, group_ids, count);
    int32_t *part_of_shard = arena_array(arena, shard_count, sizeof *part_of_shard);
    ret_split->parts = arena_array(arena, shard_count, sizeof *ret_split->parts);
    if (arena->failed) {
        group_call__refuse_size(request);
        return false;
    }
    for (int32_t i = 0; i < count; i++)
        part_of(ret_split, part_of_shard, shards[i])->count++;
    for (int32_t i = 0; i < ret_split->count; i++) {
        struct group_part *part = &ret_split->parts[i];
        part->elements = arena_array(arena, (size_t)part->count, sizeof *part->elements);
        part->count = 0;
    }
    if (arena->failed) {
        group_call__refuse_size(request);
        return false;
    }
    for (int32_t i = 0; i < count; i++) {
        struct group_part *part = part_of(ret_split, part_of_shard, shards[i]);
        part->elements[part->count++] = i;
    }
    return true;
}
