// SPDX-License-Identifier: Apache-2.0
/* coord/group.c - one classic group as data: its states, its members, their protocols.
 *
 *              first member               all joined, or time is up          leader's assignment committed
 *     Empty ----------------> Preparing --------------------------> Completing ----------------------> Stable
 *       ^                     Rebalance <--------------------------  Rebalance                           |
 *       |                       |  ^        a member came, went                                          |
 *       +-----------------------+  |        or changed                                                   |
 *            nobody is left        +---------------------------------------------------------------------+
 *
 *     Empty -> Dead: deleted, or nothing left to keep it for.   Dead -> Empty: somebody uses the id again.
 *
 * A group of a newer protocol, known from its records only, is Opaque: listed, its offsets readable, nothing else.
 * Only coord__group_move changes the state, and only along these arrows. Where members are kept, three tables agree:
 * the list in order of arrival, by member id, by instance id (checked when a member leaves).
 */
#include "coord/coord__.h"

#define BIT(state) (1u << (state))

static const unsigned moves[] = {
    [GROUP_DEAD] = BIT(GROUP_EMPTY) | BIT(GROUP_OPAQUE),
    [GROUP_EMPTY] = BIT(GROUP_PREPARING_REBALANCE) | BIT(GROUP_DEAD),
    [GROUP_PREPARING_REBALANCE] = BIT(GROUP_COMPLETING_REBALANCE) | BIT(GROUP_EMPTY),
    [GROUP_COMPLETING_REBALANCE] = BIT(GROUP_STABLE) | BIT(GROUP_PREPARING_REBALANCE),
    [GROUP_STABLE] = BIT(GROUP_PREPARING_REBALANCE),
    [GROUP_OPAQUE] = BIT(GROUP_DEAD),
};

void coord__group_move(struct group *group, enum group_state to)
{
    assert(moves[group->state] & BIT(to));
    assert(to != GROUP_STABLE || group->members_count > 0);
    assert((to != GROUP_EMPTY && to != GROUP_DEAD) || group->members_count == 0);
    group->previous_state = group->state;
    group->state = to;
    group->state_timestamp_ms = group->shard->time.wall_ms;
}

const char *coord__group_state_name(const struct group *group)
{
    static const char *const names[] = {
        [GROUP_DEAD] = "Dead",
        [GROUP_EMPTY] = "Empty",
        [GROUP_PREPARING_REBALANCE] = "PreparingRebalance",
        [GROUP_COMPLETING_REBALANCE] = "CompletingRebalance",
        [GROUP_STABLE] = "Stable",
        [GROUP_OPAQUE] = "Unknown",
    };
    return names[group->state];
}

bool coord__group_is_classic(const struct group *group)
{
    return group && group->state != GROUP_DEAD && group->state != GROUP_OPAQUE;
}

struct group *coord__group_place(struct coord_shard *shard, struct slice id)
{
    uint64_t hash = hash_bytes(id);
    for (struct hash_node *node = hash_first(&shard->groups, hash); node; node = hash_next(node)) {
        struct group *group = CONTAINER_OF(node, struct group, by_id);
        if (slice_equal(group->id, id))
            return group;
    }
    return NULL;
}

struct group *coord__group_find(struct coord_shard *shard, struct slice id)
{
    struct group *group = coord__group_place(shard, id);
    return group && group->state != GROUP_DEAD ? group : NULL;
}

struct group *coord__group_get(struct coord_shard *shard, struct slice id)
{
    struct group *group = coord__group_place(shard, id);
    if (group)
        return group;
    group = mem_zalloc(sizeof *group);
    group->shard = shard;
    group->id = coord__own(id);
    group->state = group->previous_state = GROUP_DEAD;
    group->state_timestamp_ms = -1;
    group->join.kind = TIMER_JOIN;
    group->sync.kind = TIMER_SYNC;
    list_init(&group->members);
    list_init(&group->in_syncing);
    hash_insert(&shard->groups, &group->by_id, hash_bytes(id));
    return group;
}

void coord__group_revive(struct group *group)
{
    assert(group->state == GROUP_DEAD);
    coord__group_move(group, GROUP_EMPTY);
    group->previous_state = GROUP_EMPTY;
    group->generation = 0;
    group->type = GROUP_CLASSIC;
    group->shard->counts.groups++;
}

void coord__group_kill(struct group *group)
{
    for (struct hash_node *node; (node = hash_iterate(&group->pending, NULL));)
        coord__pending_remove(CONTAINER_OF(node, struct pending, by_id));
    heap_remove(&group->shard->timers, &group->join.node);
    heap_remove(&group->shard->timers, &group->sync.node);
    coord__sync_forget(group);
    coord__disown(&group->protocol_type);
    coord__disown(&group->protocol);
    coord__disown(&group->leader);
    coord__group_move(group, GROUP_DEAD);
    group->type = GROUP_CLASSIC;
    group->shard->counts.groups--;
}

void coord__group_collect(struct group *group)
{
    if (group->state == GROUP_DEAD && group->offsets.count == 0)
        coord__group_free(group);
}

void coord__group_free(struct group *group)
{
    while (!list_is_empty(&group->members))
        coord__member_remove(CONTAINER_OF(group->members.next, struct member, in_group));
    for (struct hash_node *node; (node = hash_iterate(&group->pending, NULL));)
        coord__pending_remove(CONTAINER_OF(node, struct pending, by_id));
    heap_remove(&group->shard->timers, &group->join.node);
    heap_remove(&group->shard->timers, &group->sync.node);
    coord__sync_forget(group);
    coord__offsets_free(group);
    hash_remove(&group->shard->groups, &group->by_id);
    hash_free(&group->members_by_id);
    hash_free(&group->members_by_instance);
    hash_free(&group->pending);
    hash_free(&group->offsets);
    coord__disown(&group->id);
    coord__disown(&group->protocol_type);
    coord__disown(&group->protocol);
    coord__disown(&group->leader);
    mem_free(group);
}

/* Every member lists it. */
bool coord__group_supports(const struct group *group, struct slice protocol)
{
    LIST_EACH (node, &group->members) {
        const struct member *member = CONTAINER_OF(node, struct member, in_group);
        if (slice_is_null(coord__member_metadata(member, protocol)))
            return false;
    }
    return true;
}

/* The member's first choice among the candidates. */
static int32_t choice_of(const struct member *member, const struct slice *candidates, int32_t count)
{
    for (int32_t i = 0; i < member->protocols_count; i++) {
        for (int32_t c = 0; c < count; c++) {
            if (slice_equal(member->protocols[i].name, candidates[c]))
                return c;
        }
    }
    assert(false && "members of a group have no protocol in common");
    return 0;
}

/* Each member votes for the first of its protocols that all support; the most votes win, the first member's taste on a
 * tie. */
struct slice coord__group_vote(const struct group *group)
{
    assert(!list_is_empty(&group->members));
    const struct member *first = CONTAINER_OF(group->members.next, struct member, in_group);
    struct slice candidates[COORD_PROTOCOLS_MAX];
    int32_t votes[COORD_PROTOCOLS_MAX] = {0};
    int32_t count = 0, best = 0;
    for (int32_t i = 0; i < first->protocols_count; i++) {
        if (coord__group_supports(group, first->protocols[i].name))
            candidates[count++] = first->protocols[i].name;
    }
    assert(count > 0);
    LIST_EACH (node, &group->members)
        votes[choice_of(CONTAINER_OF(node, struct member, in_group), candidates, count)]++;
    for (int32_t i = 1; i < count; i++)
        best = votes[i] > votes[best] ? i : best;
    return candidates[best];
}

static int subscribes(struct slice metadata, struct slice topic, struct arena *arena)
{
    struct wire_reader reader;
    struct consumer_protocol_subscription subscription;
    wire_reader_init(&reader, metadata.data, metadata.size);
    int16_t version = wire_read_i16(&reader);
    if (version < 0 || wire_reader_failed(&reader))
        return -1;
    consumer_protocol_subscription_read(&reader, version > 3 ? 3 : version, arena, &subscription);
    if (wire_reader_failed(&reader) || arena->failed)
        return -1;
    for (int32_t i = 0; i < subscription.topics_count; i++) {
        if (slice_equal(subscription.topics[i], topic))
            return 1;
    }
    return 0;
}

int coord__group_subscribed(const struct group *group, struct slice topic)
{
    if (!slice_equal_str(group->protocol_type, "consumer") || slice_is_null(group->protocol))
        return group->members_count == 0 ? 0 : -1;
    int result = 0;
    LIST_EACH (node, &group->members) {
        const struct member *member = CONTAINER_OF(node, struct member, in_group);
        arena_reset(&group->shard->scratch);
        int one = subscribes(coord__member_metadata(member, group->protocol), topic, &group->shard->scratch);
        if (one < 0)
            return -1;
        result |= one;
    }
    return result;
}
