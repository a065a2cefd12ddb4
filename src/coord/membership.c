// SPDX-License-Identifier: Apache-2.0
/* coord/membership.c - staying and going: Heartbeat (v0-4) and LeaveGroup (v0-5).
 *
 * A heartbeat is where a member learns that a rebalance runs. LeaveGroup names members by id or, by an administrator, by
 * instance id alone (KIP-345); each has its own error, and a group that lost a member rebalances once for all of them.
 */
#include "coord/coord__.h"

static int16_t heartbeat(struct coord_shard *shard, const struct heartbeat_request *request)
{
    struct group *group = coord__group_find(shard, request->group_id);
    struct member *member;
    if (request->group_id.size == 0)
        return KAFKA_INVALID_GROUP_ID;
    if (!coord__group_is_classic(group))
        return KAFKA_UNKNOWN_MEMBER_ID;
    int16_t error = coord__member_check(group, request->member_id, request->group_instance_id, &member);
    if (error != KAFKA_NONE)
        return error;
    if (request->generation_id != group->generation)
        return KAFKA_ILLEGAL_GENERATION;
    coord__session_start(member, member->session_timeout_ms);
    return group->state == GROUP_PREPARING_REBALANCE ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

void coord__heartbeat(struct coord_shard *shard, struct coord_call *call)
{
    struct heartbeat_response *response = call->response;
    response->error_code = heartbeat(shard, call->request);
    coord__done(shard, call);
}

static int16_t leave_one(struct group *group, struct slice id, struct slice instance_id)
{
    struct member *member;
    if (id.size == 0) {
        member = coord__member_of_instance(group, instance_id);
        if (!member)
            return KAFKA_UNKNOWN_MEMBER_ID;
    } else {
        struct pending *pending = coord__pending_find(group, id);
        if (pending) {
            coord__pending_remove(pending);
            return KAFKA_NONE;
        }
        int16_t error = coord__member_check(group, id, instance_id, &member);
        if (error != KAFKA_NONE)
            return error;
    }
    coord__member_remove(member);
    return KAFKA_NONE;
}

/* The reply waits for what the leaving wrote: the group's being empty. */
static void finish(struct group *group, struct coord_call *call)
{
    uint64_t before = group->generation;
    coord__members_changed(group);
    struct coord_shard *shard = group->shard;
    bool wrote = group->state == GROUP_EMPTY && (uint64_t)group->generation != before;
    if (wrote)
        coord__wait(shard, call, shard->last_token);
    else
        coord__done(shard, call);
}

/* Without a group nobody is known. */
static bool leave_listed(struct group *group, struct coord_call *call)
{
    const struct leave_group_request *request = call->request;
    struct leave_group_response *response = call->response;
    bool any_left = false;
    size_t count = (size_t)max_i64(request->members_count, 0);
    response->members = arena_array(call->arena, count, sizeof *response->members);
    for (int32_t i = 0; response->members && i < request->members_count; i++) {
        struct leave_group_response_member_response *out = &response->members[response->members_count++];
        leave_group_response_member_response_init(out);
        out->member_id = request->members[i].member_id;
        out->group_instance_id = request->members[i].group_instance_id;
        out->error_code = group ? leave_one(group, out->member_id, out->group_instance_id) : KAFKA_UNKNOWN_MEMBER_ID;
        any_left |= out->error_code == KAFKA_NONE;
    }
    return any_left;
}

void coord__leave_group(struct coord_shard *shard, struct coord_call *call)
{
    const struct leave_group_request *request = call->request;
    struct leave_group_response *response = call->response;
    struct group *group = coord__group_find(shard, request->group_id);
    if (request->group_id.size == 0) {
        coord__fail(shard, call, KAFKA_INVALID_GROUP_ID);
        return;
    }
    if (!coord__group_is_classic(group)) {
        if (call->version >= 3)
            (void)leave_listed(NULL, call);
        else
            response->error_code = KAFKA_UNKNOWN_MEMBER_ID;
        coord__done(shard, call);
        return;
    }
    bool any_left;
    if (call->version >= 3) {
        any_left = leave_listed(group, call);
    } else {
        response->error_code = leave_one(group, request->member_id, SLICE_NULL);
        any_left = response->error_code == KAFKA_NONE;
    }
    if (any_left)
        finish(group, call);
    else
        coord__done(shard, call);
}
