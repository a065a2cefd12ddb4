// SPDX-License-Identifier: Apache-2.0
/* coord/join.c - JoinGroup (v0-9): a member asks to be in the next generation.
 *
 * Who asks decides the path: somebody new (without a member id), somebody with an id given out but not used yet, a
 * member that is back, or a new process of a static member (KIP-345), which takes over place and assignment of the old
 * one, and fences it. From version 4 somebody new first only gets an id and comes again with it (KIP-394), so that a
 * client that never reads its answer leaves nothing behind but an id with a timeout.
 */
#include "coord/coord__.h"

enum { NEW_ID_PREFIX_BYTES_MAX = 4096 }; // an id must fit a string of the old encodings

struct joining {
    struct coord_shard *shard;
    struct coord_call *call;
    const struct join_group_request *request;
    struct group *group;
    struct protocol protocols[COORD_PROTOCOLS_MAX];
    int32_t protocols_count, rebalance_timeout_ms;
};

static void refuse(const struct joining *j, int16_t error, struct slice member_id)
{
    coord__reply_error(j->call, error);
    ((struct join_group_response *)j->call->response)->member_id = member_id;
    coord__done(j->shard, j->call);
}

static bool accepts(const struct group *group, struct slice member_id)
{
    const struct member *member = coord__member_find(group, member_id);
    int32_t max = group->shard->settings.group_max_size;
    switch (group->state) {
    case GROUP_PREPARING_REBALANCE: // who waits counts, so that a group above a lowered limit shrinks
        return (member && member->join_call) || group->joining_count < max;
    case GROUP_COMPLETING_REBALANCE:
    case GROUP_STABLE:
        return member || group->members_count < max;
    default:
        return true;
    }
}

/* Of members in all groups of the shard, so that ever new ones in ever new groups don't take all memory. */
static bool is_full(const struct joining *j)
{
    int64_t more = COORD_MEMBER_BYTES + coord__protocols_bytes(j->protocols, j->protocols_count);
    return j->shard->counts.member_bytes + more > j->shard->settings.shard_member_bytes_max;
}

static void turn_away(const struct joining *j)
{
    struct member *member = coord__member_find(j->group, j->request->member_id);
    struct pending *pending = coord__pending_find(j->group, j->request->member_id);
    refuse(j, KAFKA_GROUP_MAX_SIZE_REACHED, slice_of("", 0));
    if (member)
        coord__member_remove(member);
    if (pending)
        coord__pending_remove(pending);
    if (member || pending)
        coord__members_changed(j->group);
}

static bool supports(const struct joining *j)
{
    const struct group *group = j->group;
    if (j->request->protocols_count <= 0 || j->request->protocols_count > COORD_PROTOCOLS_MAX)
        return false;
    if (group->state == GROUP_EMPTY)
        return j->request->protocol_type.size > 0;
    if (!slice_equal(group->protocol_type, j->request->protocol_type))
        return false;
    for (int32_t i = 0; i < j->protocols_count; i++) {
        if (coord__group_supports(group, j->protocols[i].name))
            return true;
    }
    return false;
}

static bool same_protocols(const struct joining *j, const struct member *member)
{
    if (member->protocols_count != j->protocols_count)
        return false;
    for (int32_t i = 0; i < j->protocols_count; i++) {
        if (!slice_equal(member->protocols[i].name, j->protocols[i].name) ||
            !slice_equal(member->protocols[i].metadata, j->protocols[i].metadata))
            return false;
    }
    return true;
}

static void take_request(const struct joining *j, struct member *member)
{
    coord__member_set_protocols(member, j->protocols, j->protocols_count);
    member->rebalance_timeout_ms = j->rebalance_timeout_ms;
    member->session_timeout_ms = j->request->session_timeout_ms;
}

static void add(const struct joining *j, struct slice id)
{
    struct group *group = j->group;
    if (group->members_count == 0)
        coord__replace(&group->protocol_type, j->request->protocol_type);
    struct pending *pending = coord__pending_find(group, id);
    if (pending)
        coord__pending_remove(pending);
    struct member *member = coord__member_new(group, id, j->request->group_instance_id);
    member->client_id = coord__own(slice_is_null(j->call->client_id) ? slice_of("", 0) : j->call->client_id);
    member->client_host = coord__own(slice_is_null(j->call->client_host) ? slice_of("", 0) : j->call->client_host);
    take_request(j, member);
    member->is_new = true;
    if (group->state == GROUP_PREPARING_REBALANCE && group->previous_state == GROUP_EMPTY)
        group->new_member_added = true;
    coord__join_park(member, j->call);
    coord__session_start(member, COORD_NEW_MEMBER_JOIN_TIMEOUT_MS);
    coord__rebalance_or_complete(group);
}

static void update(const struct joining *j, struct member *member)
{
    take_request(j, member);
    coord__join_park(member, j->call);
    coord__rebalance_or_complete(j->group);
}

static void fence(struct member *member)
{
    coord__join_fail(member, KAFKA_FENCED_INSTANCE_ID, member->id);
    if (!member->sync_call)
        return;
    struct coord_call *call = member->sync_call;
    member->sync_call = NULL;
    member->group->shard->counts.parked_calls--;
    coord__fail(member->group->shard, call, KAFKA_FENCED_INSTANCE_ID);
}

/* A static member's new process. In a stable group whose protocol stays, nobody else needs to notice. */
static void take_over(const struct joining *j, struct member *member, struct slice id)
{
    struct group *group = j->group;
    fence(member);
    if (coord__member_is_leader(member) && j->call->version < 9)
        coord__replace(&member->former_id, member->id);
    coord__member_rename(member, id);
    take_request(j, member);
    coord__session_start(member, member->session_timeout_ms);
    coord__join_park(member, j->call);
    if (group->state == GROUP_PREPARING_REBALANCE) {
        coord__rebalance_or_complete(group);
        return;
    }
    uint64_t token = 0;
    if (group->state == GROUP_STABLE && slice_equal(group->protocol, coord__group_vote(group)))
        token = coord__emit_group(group, false);
    if (token)
        coord__sync_wait(group, token);
    else
        coord__rebalance(group);
}

/* "<instance or client id>-<random uuid>", as clients' logs and tools show it. */
static struct slice new_id(const struct joining *j)
{
    const uint8_t *b = j->call->fresh_id.bytes;
    struct slice prefix =
        slice_is_null(j->request->group_instance_id) ? j->call->client_id : j->request->group_instance_id;
    assert(!uuid_is_zero(j->call->fresh_id));
    return arena_printf(j->call->arena, "%.*s-%02x%02x%02x%02x-%02x%02x-4%x%02x-%x%x%02x-%02x%02x%02x%02x%02x%02x",
                        (int)min_i64((int64_t)prefix.size, NEW_ID_PREFIX_BYTES_MAX),
                        prefix.size ? (const char *)prefix.data : "", b[0], b[1], b[2], b[3], b[4], b[5], b[6] & 15,
                        b[7], 8 | (b[8] & 3), b[8] >> 4, b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static void join_new(const struct joining *j)
{
    struct group *group = j->group;
    struct slice id = new_id(j);
    if (slice_is_null(id) || coord__member_find(group, id) || coord__pending_find(group, id)) {
        refuse(j, KAFKA_UNKNOWN_SERVER_ERROR, slice_of("", 0)); // no memory, or ids that are not random
        return;
    }
    if (!slice_is_null(j->request->group_instance_id)) {
        struct member *holder = coord__member_of_instance(group, j->request->group_instance_id);
        if (holder)
            take_over(j, holder, id);
        else
            add(j, id);
    } else if (j->call->version < 4) {
        add(j, id);
    } else if (group->pending.count >= COORD_PENDING_MEMBERS_MAX) {
        refuse(j, KAFKA_GROUP_MAX_SIZE_REACHED, slice_of("", 0));
    } else {
        coord__pending_new(group, id, j->request->session_timeout_ms);
        refuse(j, KAFKA_MEMBER_ID_REQUIRED, id);
    }
}

static void join_again(const struct joining *j)
{
    const struct join_group_request *request = j->request;
    struct group *group = j->group;
    if (coord__pending_find(group, request->member_id)) {
        if (slice_is_null(request->group_instance_id))
            add(j, request->member_id);
        else
            refuse(j, KAFKA_UNKNOWN_SERVER_ERROR, slice_of("", 0)); // static members are never given an id first
        return;
    }
    struct member *member;
    int16_t error = coord__member_check(group, request->member_id, request->group_instance_id, &member);
    if (error != KAFKA_NONE) {
        refuse(j, error, request->member_id);
        return;
    }
    bool same = same_protocols(j, member), leads = coord__member_is_leader(member);
    if (group->state == GROUP_COMPLETING_REBALANCE && same)
        coord__join_answer(member, j->call, leads, false); // its answer was lost
    else if (group->state == GROUP_STABLE && same && !leads && !member->join_call)
        coord__join_answer(member, j->call, false, false);
    else
        update(j, member); // a leader that joins asks for a rebalance
}

static bool prepare(struct joining *j)
{
    const struct join_group_request *request = j->request;
    const struct coord_settings *settings = &j->shard->settings;
    int16_t error = KAFKA_NONE;
    if (request->group_id.size == 0 || request->group_id.size > INT16_MAX) // a record's key holds no longer one
        error = KAFKA_INVALID_GROUP_ID;
    else if (request->session_timeout_ms < settings->group_min_session_timeout_ms ||
             request->session_timeout_ms > settings->group_max_session_timeout_ms)
        error = KAFKA_INVALID_SESSION_TIMEOUT;
    if (error != KAFKA_NONE) {
        refuse(j, error, request->member_id);
        return false;
    }
    int32_t given_ms = j->call->version == 0 ? request->session_timeout_ms : request->rebalance_timeout_ms;
    j->rebalance_timeout_ms = (int32_t)max_i64(given_ms, 0);
    int32_t count = request->protocols_count > COORD_PROTOCOLS_MAX ? 0 : (int32_t)max_i64(request->protocols_count, 0);
    for (int32_t i = 0; i < count; i++)
        j->protocols[j->protocols_count++] =
            (struct protocol){.name = request->protocols[i].name, .metadata = request->protocols[i].metadata};
    return true;
}

void coord__join_group(struct coord_shard *shard, struct coord_call *call)
{
    struct joining j = {.shard = shard, .call = call, .request = call->request};
    if (!prepare(&j))
        return;
    struct slice id = j.request->member_id, nobody = slice_of("", 0);
    j.group = coord__group_find(shard, j.request->group_id);
    bool is_new = id.size == 0;
    if (j.group && !coord__group_is_classic(j.group)) {
        refuse(&j, KAFKA_INCONSISTENT_GROUP_PROTOCOL, is_new ? nobody : id);
        return;
    }
    if (!j.group && !is_new) {
        refuse(&j, KAFKA_UNKNOWN_MEMBER_ID, id);
        return;
    }
    if (!j.group && (j.request->protocols_count <= 0 || j.request->protocol_type.size == 0)) {
        refuse(&j, KAFKA_INCONSISTENT_GROUP_PROTOCOL, nobody); // leaves no group behind
        return;
    }
    if (is_new && is_full(&j)) {
        refuse(&j, KAFKA_GROUP_MAX_SIZE_REACHED, nobody);
        return;
    }
    if (!j.group) {
        j.group = coord__group_get(shard, j.request->group_id);
        coord__group_revive(j.group);
        (void)coord__emit_group(j.group, false);
    }
    if (!accepts(j.group, id))
        turn_away(&j);
    else if (!supports(&j))
        refuse(&j, KAFKA_INCONSISTENT_GROUP_PROTOCOL, is_new ? nobody : id);
    else if (is_new)
        join_new(&j);
    else
        join_again(&j);
}
