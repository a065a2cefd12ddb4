// SPDX-License-Identifier: Apache-2.0
/* coord/rebalance.c - how a group gets from one generation to the next.
 *
 * A rebalance begins when a member comes, goes or changes. The members learn of it (REBALANCE_IN_PROGRESS) and join
 * again; each JoinGroup is parked. It ends when all have joined, or when the longest rebalance timeout is over: dynamic
 * members that did not come are removed, static ones keep their place until their session ends. A group's very first
 * rebalance waits a little for others to start (group.initial.rebalance.delay.ms), and longer while they keep coming.
 * Then every JoinGroup is answered with the new generation, and the leader has the same timeout to send assignments.
 *
 * Members that wait for us are not expired, but a member that never got its first answer is, since it cannot heartbeat.
 */
#include "coord/coord__.h"

static int32_t rebalance_timeout_ms(const struct group *group)
{
    int32_t longest = 0;
    LIST_EACH (node, &group->members) {
        const struct member *member = CONTAINER_OF(node, struct member, in_group);
        longest = (int32_t)max_i64(longest, member->rebalance_timeout_ms);
    }
    return longest;
}

static void timer_start(struct group *group, struct timer *timer, int32_t delay_ms)
{
    heap_insert(&group->shard->timers, &timer->node, group->shard->time.now_ms + max_i64(delay_ms, 0));
}

void coord__session_start(struct member *member, int32_t timeout_ms)
{
    timer_start(member->group, &member->session, timeout_ms);
}

/* ---- the parked JoinGroup */

void coord__join_park(struct member *member, struct coord_call *call)
{
    struct group *group = member->group;
    if (member->join_call) // the client asks again, perhaps on a new connection: only the last is served
        coord__join_fail(member, KAFKA_REBALANCE_IN_PROGRESS, member->id);
    member->join_call = call;
    group->joining_count++;
    group->shard->counts.parked_calls++;
}

static struct coord_call *join_unpark(struct member *member)
{
    struct coord_call *call = member->join_call;
    if (call) {
        assert(member->group->joining_count > 0);
        member->join_call = NULL;
        member->group->joining_count--;
        member->group->shard->counts.parked_calls--;
    }
    return call;
}

void coord__join_fail(struct member *member, int16_t error, struct slice member_id)
{
    struct coord_call *call = join_unpark(member);
    if (!call)
        return;
    coord__reply_error(call, error);
    struct join_group_response *response = call->response;
    response->member_id = arena_copy(call->arena, member_id);
    coord__done(member->group->shard, call);
}

static void list_members(struct coord_call *call, const struct group *group)
{
    struct join_group_response *response = call->response;
    response->members = arena_array(call->arena, (size_t)group->members_count, sizeof *response->members);
    if (!response->members)
        return;
    LIST_EACH (node, &group->members) {
        const struct member *member = CONTAINER_OF(node, struct member, in_group);
        struct join_group_response_join_group_response_member *out = &response->members[response->members_count++];
        join_group_response_join_group_response_member_init(out);
        out->member_id = arena_copy(call->arena, member->id);
        out->group_instance_id = arena_copy(call->arena, member->instance_id);
        out->metadata = arena_copy(call->arena, coord__member_metadata(member, group->protocol));
    }
}

void coord__join_answer(struct member *member, struct coord_call *call, bool with_members, bool skip_assignment)
{
    const struct group *group = member->group;
    struct join_group_response *response = call->response;
    join_group_response_init(response);
    response->generation_id = group->generation;
    response->protocol_type = arena_copy(call->arena, group->protocol_type);
    if (group->protocol.size > 0) // where it may be null, no name is null
        response->protocol_name = arena_copy(call->arena, group->protocol);
    else
        response->protocol_name = call->version < 7 ? slice_of("", 0) : SLICE_NULL;
    /* KIP-814: before v9 a leader that returns to a stable group is kept from assigning by naming its former self. */
    bool hides_leader = group->state == GROUP_STABLE && !slice_is_null(member->former_id);
    response->leader = arena_copy(call->arena, hides_leader ? member->former_id : group->leader);
    coord__disown(&member->former_id);
    response->member_id = arena_copy(call->arena, member->id);
    response->skip_assignment = skip_assignment;
    if (with_members)
        list_members(call, group);
    if (call->arena->failed)
        coord__reply_error(call, KAFKA_UNKNOWN_SERVER_ERROR);
    coord__done(group->shard, call);
}

void coord__join_finish(struct member *member, bool with_members, bool skip_assignment)
{
    struct coord_call *call = join_unpark(member);
    if (call)
        coord__join_answer(member, call, with_members, skip_assignment);
}

/* ---- the end of the join phase */

static bool all_joined(const struct group *group)
{
    return group->joining_count == group->members_count && group->pending.count == 0;
}

static void remove_the_missing(struct group *group)
{
    LIST_EACH_SAFE (node, &group->members) {
        struct member *member = CONTAINER_OF(node, struct member, in_group);
        if (!member->join_call && slice_is_null(member->instance_id))
            coord__member_remove(member);
    }
}

/* False: nobody has joined who could lead. */
static bool elect_leader(struct group *group)
{
    struct member *leader = coord__member_find(group, group->leader);
    if (leader && leader->join_call)
        return true;
    LIST_EACH (node, &group->members) {
        struct member *member = CONTAINER_OF(node, struct member, in_group);
        if (member->join_call) {
            coord__replace(&group->leader, member->id);
            return true;
        }
    }
    return false;
}

static void begin_generation(struct group *group)
{
    coord__replace(&group->protocol, coord__group_vote(group));
    coord__group_move(group, GROUP_COMPLETING_REBALANCE);
    LIST_EACH (node, &group->members) {
        struct member *member = CONTAINER_OF(node, struct member, in_group);
        coord__join_finish(member, coord__member_is_leader(member), false);
        member->is_new = false;
        member->pending_sync = true;
        coord__session_start(member, member->session_timeout_ms);
    }
    timer_start(group, &group->sync, rebalance_timeout_ms(group));
}

static void become_empty(struct group *group)
{
    coord__disown(&group->protocol);
    coord__disown(&group->leader);
    coord__group_move(group, GROUP_EMPTY);
    (void)coord__emit_group(group, false); // a group without members is never too large
}

static void complete_join(struct group *group)
{
    assert(group->state == GROUP_PREPARING_REBALANCE);
    heap_remove(&group->shard->timers, &group->join.node);
    group->is_initial_delay = false;
    remove_the_missing(group);
    if (group->members_count > 0 && !elect_leader(group)) {
        timer_start(group, &group->join, rebalance_timeout_ms(group));
        return; // static members only, all away: their sessions will tell
    }
    group->generation = group->generation == INT32_MAX ? 1 : group->generation + 1;
    if (group->members_count > 0)
        begin_generation(group);
    else
        become_empty(group);
}

static void complete_if_all_joined(struct group *group)
{
    if (group->state == GROUP_PREPARING_REBALANCE && all_joined(group) && group->previous_state != GROUP_EMPTY)
        complete_join(group);
}

/* ---- its beginning */

void coord__rebalance(struct group *group)
{
    if (group->state == GROUP_COMPLETING_REBALANCE)
        coord__sync_propagate(group, KAFKA_REBALANCE_IN_PROGRESS);
    coord__sync_forget(group);
    heap_remove(&group->shard->timers, &group->sync.node);
    LIST_EACH (node, &group->members)
        CONTAINER_OF(node, struct member, in_group)->pending_sync = false;
    bool is_initial = group->state == GROUP_EMPTY;
    coord__group_move(group, GROUP_PREPARING_REBALANCE);
    group->is_initial_delay = is_initial;
    if (is_initial) {
        group->new_member_added = false;
        group->delay_ms = group->shard->settings.group_initial_rebalance_delay_ms;
        group->remaining_ms = (int32_t)max_i64(rebalance_timeout_ms(group) - (int64_t)group->delay_ms, 0);
        timer_start(group, &group->join, group->delay_ms);
    } else if (all_joined(group)) {
        complete_join(group);
    } else {
        timer_start(group, &group->join, rebalance_timeout_ms(group));
    }
}

void coord__rebalance_or_complete(struct group *group)
{
    if (group->state == GROUP_PREPARING_REBALANCE)
        complete_if_all_joined(group);
    else
        coord__rebalance(group);
}

void coord__members_changed(struct group *group)
{
    if (group->state == GROUP_STABLE || group->state == GROUP_COMPLETING_REBALANCE)
        coord__rebalance(group);
    else
        complete_if_all_joined(group);
}

/* ---- time */

void coord__join_timer(struct group *group)
{
    assert(group->state == GROUP_PREPARING_REBALANCE);
    if (!group->is_initial_delay || !group->new_member_added || group->remaining_ms == 0) {
        complete_join(group);
        return;
    }
    group->new_member_added = false;
    int32_t delay_ms = (int32_t)min_i64(group->shard->settings.group_initial_rebalance_delay_ms, group->remaining_ms);
    group->remaining_ms = (int32_t)max_i64((int64_t)group->remaining_ms - group->delay_ms, 0);
    group->delay_ms = delay_ms;
    timer_start(group, &group->join, delay_ms);
}

/* Members that got their generation and never synced are gone. */
void coord__sync_timer(struct group *group)
{
    assert(group->state == GROUP_COMPLETING_REBALANCE || group->state == GROUP_STABLE);
    bool removed = false;
    LIST_EACH_SAFE (node, &group->members) {
        struct member *member = CONTAINER_OF(node, struct member, in_group);
        if (member->pending_sync) {
            coord__member_remove(member);
            removed = true;
        }
    }
    if (removed)
        coord__rebalance(group);
}

void coord__session_timer(struct member *member)
{
    struct group *group = member->group;
    if (!member->is_new && (member->join_call || member->sync_call))
        return; // it waits for us; its session starts again with the answer
    coord__member_remove(member);
    coord__members_changed(group);
}

void coord__pending_timer(struct pending *pending)
{
    struct group *group = pending->group;
    coord__pending_remove(pending);
    complete_if_all_joined(group);
}
