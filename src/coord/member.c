// SPDX-License-Identifier: Apache-2.0
/* coord/member.c - the members of a group and the ids given out but not joined with yet.
 *
 * A member owns copies of all its strings; calls that wait for it (its JoinGroup, its SyncGroup) are the shard's and are
 * always answered before the member goes. The number of members with a waiting JoinGroup is kept, since "all have
 * joined" is asked at every step of a rebalance.
 */
#include "coord/coord__.h"

struct member *coord__member_find(const struct group *group, struct slice id)
{
    if (slice_is_null(id))
        return NULL;
    for (struct hash_node *node = hash_first(&group->members_by_id, hash_bytes(id)); node; node = hash_next(node)) {
        struct member *member = CONTAINER_OF(node, struct member, by_id);
        if (slice_equal(member->id, id))
            return member;
    }
    return NULL;
}

struct member *coord__member_of_instance(const struct group *group, struct slice instance_id)
{
    if (slice_is_null(instance_id))
        return NULL;
    uint64_t hash = hash_bytes(instance_id);
    for (struct hash_node *node = hash_first(&group->members_by_instance, hash); node; node = hash_next(node)) {
        struct member *member = CONTAINER_OF(node, struct member, by_instance);
        if (slice_equal(member->instance_id, instance_id))
            return member;
    }
    return NULL;
}

int16_t coord__member_check(const struct group *group, struct slice id, struct slice instance_id,
                            struct member **ret_member)
{
    struct member *member = coord__member_find(group, id);
    if (!slice_is_null(instance_id)) {
        struct member *holder = coord__member_of_instance(group, instance_id);
        if (!holder)
            return KAFKA_UNKNOWN_MEMBER_ID;
        if (holder != member)
            return KAFKA_FENCED_INSTANCE_ID;
    }
    if (!member)
        return KAFKA_UNKNOWN_MEMBER_ID;
    *ret_member = member;
    return KAFKA_NONE;
}

struct member *coord__member_new(struct group *group, struct slice id, struct slice instance_id)
{
    assert(!coord__member_find(group, id) && !coord__member_of_instance(group, instance_id));
    struct member *member = mem_zalloc(sizeof *member);
    member->group = group;
    member->id = coord__own(id);
    member->instance_id = coord__own(instance_id);
    member->session.kind = TIMER_SESSION;
    member->assignment = coord__own(slice_of("", 0));
    list_push_back(&group->members, &member->in_group);
    hash_insert(&group->members_by_id, &member->by_id, hash_bytes(id));
    if (!slice_is_null(instance_id))
        hash_insert(&group->members_by_instance, &member->by_instance, hash_bytes(instance_id));
    if (slice_is_null(group->leader))
        coord__replace(&group->leader, id);
    group->members_count++;
    group->shard->counts.members++;
    group->shard->counts.member_bytes += COORD_MEMBER_BYTES;
    return member;
}

static void free_protocols(struct member *member)
{
    for (int32_t i = 0; i < member->protocols_count; i++) {
        coord__disown(&member->protocols[i].name);
        coord__disown(&member->protocols[i].metadata);
    }
    mem_free(member->protocols);
    member->protocols = NULL;
    member->protocols_count = 0;
}

int64_t coord__protocols_bytes(const struct protocol *protocols, int32_t count)
{
    int64_t bytes = 0;
    for (int32_t i = 0; i < count; i++)
        bytes += (int64_t)(protocols[i].name.size + protocols[i].metadata.size);
    return bytes;
}

void coord__member_set_protocols(struct member *member, const struct protocol *protocols, int32_t count)
{
    assert(count >= 0 && count <= COORD_PROTOCOLS_MAX);
    struct protocol *copies = mem_zalloc((size_t)(count ? count : 1) * sizeof *copies);
    for (int32_t i = 0; i < count; i++) {
        copies[i].name = coord__own(protocols[i].name);
        copies[i].metadata = coord__own(slice_is_null(protocols[i].metadata) ? slice_of("", 0) : protocols[i].metadata);
    }
    free_protocols(member);
    member->protocols = copies;
    member->protocols_count = count;
    int64_t bytes = coord__protocols_bytes(protocols, count);
    member->group->shard->counts.member_bytes += bytes - member->protocols_bytes;
    member->protocols_bytes = bytes;
}

struct slice coord__member_metadata(const struct member *member, struct slice protocol)
{
    for (int32_t i = 0; i < member->protocols_count; i++) {
        if (slice_equal(member->protocols[i].name, protocol))
            return member->protocols[i].metadata;
    }
    return SLICE_NULL;
}

bool coord__member_is_leader(const struct member *member)
{
    return slice_equal(member->group->leader, member->id);
}

/* A static member comes back under a new id: same place, same assignment. */
void coord__member_rename(struct member *member, struct slice id)
{
    struct group *group = member->group;
    bool is_leader = coord__member_is_leader(member);
    hash_remove(&group->members_by_id, &member->by_id);
    coord__replace(&member->id, id);
    hash_insert(&group->members_by_id, &member->by_id, hash_bytes(member->id));
    if (is_leader)
        coord__replace(&group->leader, member->id);
}

static void pass_leadership(struct group *group)
{
    if (list_is_empty(&group->members))
        coord__disown(&group->leader);
    else
        coord__replace(&group->leader, CONTAINER_OF(group->members.next, struct member, in_group)->id);
}

void coord__member_remove(struct member *member)
{
    struct group *group = member->group;
    coord__join_fail(member, KAFKA_UNKNOWN_MEMBER_ID, slice_of("", 0));
    if (member->sync_call) {
        group->shard->counts.parked_calls--;
        coord__fail(group->shard, member->sync_call, KAFKA_UNKNOWN_MEMBER_ID);
    }
    bool was_leader = coord__member_is_leader(member);
    list_remove(&member->in_group);
    hash_remove(&group->members_by_id, &member->by_id);
    if (!slice_is_null(member->instance_id))
        hash_remove(&group->members_by_instance, &member->by_instance);
    heap_remove(&group->shard->timers, &member->session.node);
    group->members_count--;
    group->shard->counts.members--;
    group->shard->counts.member_bytes -= COORD_MEMBER_BYTES + member->protocols_bytes;
    assert((size_t)group->members_count == group->members_by_id.count);
    if (was_leader)
        pass_leadership(group);
    free_protocols(member);
    coord__disown(&member->id);
    coord__disown(&member->instance_id);
    coord__disown(&member->client_id);
    coord__disown(&member->client_host);
    coord__disown(&member->assignment);
    coord__disown(&member->next_assignment);
    coord__disown(&member->former_id);
    mem_free(member);
}

struct pending *coord__pending_find(const struct group *group, struct slice id)
{
    for (struct hash_node *node = hash_first(&group->pending, hash_bytes(id)); node; node = hash_next(node)) {
        struct pending *pending = CONTAINER_OF(node, struct pending, by_id);
        if (slice_equal(pending->id, id))
            return pending;
    }
    return NULL;
}

void coord__pending_new(struct group *group, struct slice id, int32_t session_timeout_ms)
{
    struct pending *pending = mem_zalloc(sizeof *pending);
    pending->group = group;
    group->shard->counts.member_bytes += COORD_PENDING_BYTES;
    pending->id = coord__own(id);
    pending->session.kind = TIMER_PENDING;
    hash_insert(&group->pending, &pending->by_id, hash_bytes(id));
    heap_insert(&group->shard->timers, &pending->session.node, group->shard->time.now_ms + session_timeout_ms);
}

void coord__pending_remove(struct pending *pending)
{
    pending->group->shard->counts.member_bytes -= COORD_PENDING_BYTES;
    heap_remove(&pending->group->shard->timers, &pending->session.node);
    hash_remove(&pending->group->pending, &pending->by_id);
    coord__disown(&pending->id);
    mem_free(pending);
}
