// SPDX-License-Identifier: Apache-2.0
/* coord/sync.c - SyncGroup (v0-5): the leader hands in the assignments, everybody gets theirs.
 *
 * In CompletingRebalance each SyncGroup is parked. The leader's puts the group's metadata with the new assignments into
 * the outbox; when that batch is committed the group is Stable and all are answered. If a rebalance starts meanwhile,
 * the commit changes nothing: the group no longer waits for that batch (sync_token is 0).
 */
#include "coord/coord__.h"

static void park(struct member *member, struct coord_call *call)
{
    struct coord_shard *shard = member->group->shard;
    if (member->sync_call) // asked again: only the last is served
        coord__fail(shard, member->sync_call, KAFKA_REBALANCE_IN_PROGRESS);
    else
        shard->counts.parked_calls++;
    member->sync_call = call;
}

static void answer(const struct member *member, struct coord_call *call)
{
    struct sync_group_response *response = call->response;
    sync_group_response_init(response);
    response->protocol_type = arena_copy(call->arena, member->group->protocol_type);
    response->protocol_name = arena_copy(call->arena, member->group->protocol);
    response->assignment = arena_copy(call->arena, member->assignment);
    if (call->arena->failed)
        coord__reply_error(call, KAFKA_UNKNOWN_SERVER_ERROR);
    coord__done(member->group->shard, call);
}

static void propagate_one(struct member *member, int16_t error)
{
    if (error != KAFKA_NONE)
        coord__replace(&member->assignment, slice_of("", 0));
    else if (!slice_is_null(member->next_assignment))
        coord__replace(&member->assignment, member->next_assignment);
    coord__disown(&member->next_assignment);
    struct coord_call *call = member->sync_call;
    if (!call)
        return;
    member->sync_call = NULL;
    member->group->shard->counts.parked_calls--;
    if (error != KAFKA_NONE)
        coord__fail(member->group->shard, call, error);
    else
        answer(member, call);
    coord__session_start(member, member->session_timeout_ms);
}

void coord__sync_propagate(struct group *group, int16_t error)
{
    LIST_EACH (node, &group->members)
        propagate_one(CONTAINER_OF(node, struct member, in_group), error);
}

void coord__sync_forget(struct group *group)
{
    group->sync_token = 0;
    list_remove(&group->in_syncing);
}

void coord__sync_wait(struct group *group, uint64_t token)
{
    assert(token >= group->sync_token);
    coord__sync_forget(group);
    group->sync_token = token;
    list_push_back(&group->shard->syncing, &group->in_syncing);
}

/* The metadata of a completed sync, or of a returned static member, is committed. */
void coord__synced(struct group *group)
{
    coord__sync_forget(group);
    if (group->state == GROUP_COMPLETING_REBALANCE) {
        coord__group_move(group, GROUP_STABLE);
        coord__sync_propagate(group, KAFKA_NONE);
        return;
    }
    assert(group->state == GROUP_STABLE);
    LIST_EACH (node, &group->members) {
        struct member *member = CONTAINER_OF(node, struct member, in_group);
        if (!member->join_call)
            continue;
        /* KIP-814: a returned leader sees the members but need not assign; before v9 it cannot be told so. */
        bool leads = coord__member_is_leader(member) && member->join_call->version >= 9;
        coord__join_finish(member, leads, leads);
        coord__session_start(member, member->session_timeout_ms);
    }
}

static void sync_received(struct member *member)
{
    struct group *group = member->group;
    member->pending_sync = false;
    LIST_EACH (node, &group->members) {
        if (CONTAINER_OF(node, struct member, in_group)->pending_sync)
            return;
    }
    heap_remove(&group->shard->timers, &group->sync.node);
}

static void assign(struct group *group, const struct sync_group_request *request)
{
    LIST_EACH (node, &group->members) // whom the leader forgot gets nothing
        coord__replace(&CONTAINER_OF(node, struct member, in_group)->next_assignment, slice_of("", 0));
    for (int32_t i = 0; i < request->assignments_count; i++) {
        struct member *member = coord__member_find(group, request->assignments[i].member_id);
        struct slice assignment = request->assignments[i].assignment;
        if (member && !slice_is_null(assignment))
            coord__replace(&member->next_assignment, assignment);
    }
    uint64_t token = coord__emit_group(group, true);
    if (token) {
        coord__sync_wait(group, token);
        return;
    }
    coord__sync_propagate(group, KAFKA_UNKNOWN_SERVER_ERROR); // larger than the log takes
    coord__rebalance(group);
}

static bool differs(struct slice told, struct slice known)
{
    return !slice_is_null(told) && !slice_is_null(known) && !slice_equal(told, known);
}

/* KIP-559: from version 5 a member says which protocol it believes to speak. */
static bool lacks_protocol(const struct coord_call *call, const struct sync_group_request *request)
{
    return call->version >= 5 && (slice_is_null(request->protocol_type) || slice_is_null(request->protocol_name));
}

static int16_t check(const struct group *group, const struct sync_group_request *request, struct member **ret_member)
{
    if (request->group_id.size == 0)
        return KAFKA_INVALID_GROUP_ID;
    if (!coord__group_is_classic(group))
        return KAFKA_UNKNOWN_MEMBER_ID;
    int16_t error = coord__member_check(group, request->member_id, request->group_instance_id, ret_member);
    if (error != KAFKA_NONE)
        return error;
    if (request->generation_id != group->generation)
        return KAFKA_ILLEGAL_GENERATION;
    if (differs(request->protocol_type, group->protocol_type) || differs(request->protocol_name, group->protocol))
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    return group->state == GROUP_PREPARING_REBALANCE ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

void coord__sync_group(struct coord_shard *shard, struct coord_call *call)
{
    const struct sync_group_request *request = call->request;
    struct group *group = coord__group_find(shard, request->group_id);
    struct member *member = NULL;
    int16_t error = lacks_protocol(call, request) ? KAFKA_INCONSISTENT_GROUP_PROTOCOL : check(group, request, &member);
    if (error != KAFKA_NONE) {
        coord__fail(shard, call, error);
        return;
    }
    assert(group->state == GROUP_COMPLETING_REBALANCE || group->state == GROUP_STABLE);
    sync_received(member);
    if (group->state == GROUP_STABLE) {
        answer(member, call);
        coord__session_start(member, member->session_timeout_ms);
        return;
    }
    park(member, call);
    if (coord__member_is_leader(member))
        assign(group, request);
}
