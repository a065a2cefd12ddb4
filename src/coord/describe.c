// SPDX-License-Identifier: Apache-2.0
/* coord/describe.c - what administrators see: DescribeGroups (v0-6) and ListGroups (v0-5).
 *
 * A member's metadata is that for the chosen protocol, so it is shown only for a stable group; its assignment is the last
 * one that it was told, shown always. A group that is not there, or is of a newer protocol, is Dead; version 6 says so as
 * an error too. Replies are copies, bounded by the call's arena.
 */
#include "coord/coord__.h"

static void describe_member(struct arena *arena, const struct member *member, bool is_stable,
                            struct describe_groups_response_described_group_member *out)
{
    describe_groups_response_described_group_member_init(out);
    out->member_id = arena_copy(arena, member->id);
    out->group_instance_id = arena_copy(arena, member->instance_id);
    out->client_id = arena_copy(arena, member->client_id);
    out->client_host = arena_copy(arena, member->client_host);
    out->member_assignment = arena_copy(arena, member->assignment);
    struct slice metadata = coord__member_metadata(member, member->group->protocol);
    if (is_stable && !slice_is_null(metadata))
        out->member_metadata = arena_copy(arena, metadata);
}

static void describe_absent(const struct coord_call *call, const struct group *group,
                            struct describe_groups_response_described_group *out)
{
    out->group_state = slice_str("Dead");
    if (call->version < 6)
        return;
    out->error_code = KAFKA_GROUP_ID_NOT_FOUND;
    out->error_message =
        arena_printf(call->arena, group ? "Group %.*s is not a classic group." : "Group %.*s not found.",
                     (int)out->group_id.size, (const char *)out->group_id.data);
}

static void describe(const struct coord_call *call, const struct group *group,
                     struct describe_groups_response_described_group *out)
{
    if (!coord__group_is_classic(group)) {
        describe_absent(call, group, out);
        return;
    }
    bool is_stable = group->state == GROUP_STABLE;
    out->group_state = slice_str(coord__group_state_name(group));
    if (!slice_is_null(group->protocol_type))
        out->protocol_type = arena_copy(call->arena, group->protocol_type);
    if (is_stable && !slice_is_null(group->protocol))
        out->protocol_data = arena_copy(call->arena, group->protocol);
    out->members = arena_array(call->arena, (size_t)group->members_count, sizeof *out->members);
    if (!out->members)
        return;
    LIST_EACH (node, &group->members)
        describe_member(call->arena, CONTAINER_OF(node, struct member, in_group), is_stable,
                        &out->members[out->members_count++]);
}

void coord__describe_groups(struct coord_shard *shard, struct coord_call *call)
{
    const struct describe_groups_request *request = call->request;
    struct describe_groups_response *response = call->response;
    response->groups = arena_array(call->arena, (size_t)max_i64(request->groups_count, 0), sizeof *response->groups);
    for (int32_t i = 0; response->groups && i < request->groups_count; i++) {
        struct describe_groups_response_described_group *out = &response->groups[response->groups_count++];
        describe_groups_response_described_group_init(out);
        out->group_id = request->groups[i];
        describe(call, coord__group_find(shard, request->groups[i]), out);
    }
    coord__done(shard, call);
}

static bool same_ignoring_case(struct slice a, const char *b)
{
    if (a.size != strlen(b))
        return false;
    for (size_t i = 0; i < a.size; i++) {
        uint8_t x = a.data[i], y = (uint8_t)b[i];
        x = x >= 'A' && x <= 'Z' ? (uint8_t)(x + 32) : x;
        y = y >= 'A' && y <= 'Z' ? (uint8_t)(y + 32) : y;
        if (x != y)
            return false;
    }
    return true;
}

/* No filter lets all pass. */
static bool passes(const struct slice *filter, int32_t count, const char *name)
{
    for (int32_t i = 0; i < count; i++) {
        if (same_ignoring_case(filter[i], name))
            return true;
    }
    return count <= 0;
}

static const char *type_name(const struct group *group)
{
    static const char *const names[] = {[GROUP_CLASSIC] = "classic",
                                        [GROUP_CONSUMER] = "consumer",
                                        [GROUP_SHARE] = "share",
                                        [GROUP_STREAMS] = "streams"};
    return names[group->type];
}

void coord__list_groups(struct coord_shard *shard, struct coord_call *call)
{
    const struct list_groups_request *request = call->request;
    struct list_groups_response *response = call->response;
    response->groups = arena_array(call->arena, shard->counts.groups, sizeof *response->groups);
    struct hash_node *node = NULL;
    while (response->groups && (node = hash_iterate(&shard->groups, node))) {
        const struct group *group = CONTAINER_OF(node, struct group, by_id);
        if (group->state == GROUP_DEAD ||
            !passes(request->states_filter, request->states_filter_count, coord__group_state_name(group)) ||
            !passes(request->types_filter, request->types_filter_count, type_name(group)))
            continue;
        assert((size_t)response->groups_count < shard->counts.groups);
        struct list_groups_response_listed_group *out = &response->groups[response->groups_count++];
        list_groups_response_listed_group_init(out);
        out->group_id = arena_copy(call->arena, group->id);
        out->group_state = slice_str(coord__group_state_name(group));
        out->group_type = slice_str(type_name(group));
        if (group->type != GROUP_CLASSIC)
            out->protocol_type = slice_str(type_name(group));
        else if (!slice_is_null(group->protocol_type))
            out->protocol_type = arena_copy(call->arena, group->protocol_type);
    }
    coord__done(shard, call);
}
