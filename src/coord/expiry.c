// SPDX-License-Identifier: Apache-2.0
/* coord/expiry.c - how offsets and groups end: DeleteGroups (v0-2), OffsetDelete (v0), and age.
 *
 * All three write tombstones and nothing else; offsets go when these are committed. A group goes at once, so that
 * whoever uses its id next starts a new one. Age (KIP-211): an empty group's offsets expire offsets.retention.minutes
 * after it became empty; offsets of a group that never had members, and topics that a stable group no longer subscribes
 * to, the same time after their last commit. An empty group that has no offsets left is removed.
 */
#include "coord/coord__.h"

/* Also what is still on its way to the log. */
static uint64_t bury_offsets(struct group *group)
{
    uint64_t token = 0;
    for (struct hash_node *node = NULL; (node = hash_iterate(&group->offsets, node));)
        token = coord__emit_offset_tombstone(group, CONTAINER_OF(node, struct offset, node));
    return token;
}

static uint64_t bury_group(struct group *group)
{
    (void)bury_offsets(group);
    uint64_t token = coord__emit_group_tombstone(group);
    coord__group_kill(group);
    coord__group_collect(group);
    return token;
}

static int16_t check_deletable(struct slice id, const struct group *group)
{
    if (slice_is_null(id))
        return KAFKA_INVALID_GROUP_ID;
    if (!group)
        return KAFKA_GROUP_ID_NOT_FOUND;
    return group->state == GROUP_EMPTY ? KAFKA_NONE : KAFKA_NON_EMPTY_GROUP;
}

void coord__delete_groups(struct coord_shard *shard, struct coord_call *call)
{
    const struct delete_groups_request *request = call->request;
    struct delete_groups_response *response = call->response;
    uint64_t token = 0;
    coord__reply_error(call, KAFKA_NONE); // lays out the results
    if (call->arena->failed) {
        coord__done(shard, call);
        return;
    }
    for (int32_t i = 0; i < response->results_count; i++) {
        struct slice id = request->groups_names[i];
        struct group *group = coord__group_find(shard, id);
        response->results[i].error_code = check_deletable(id, group);
        if (response->results[i].error_code == KAFKA_NONE)
            token = bury_group(group);
    }
    if (token)
        coord__wait(shard, call, token);
    else
        coord__done(shard, call);
}

/* ---- OffsetDelete (KIP-496) */

typedef struct offset_delete_request_offset_delete_request_topic topic_in;
typedef struct offset_delete_response_offset_delete_response_topic topic_out;

static uint64_t delete_topic(struct group *group, struct arena *arena, const topic_in *in, topic_out *out)
{
    uint64_t token = 0;
    bool is_subscribed = coord__group_subscribed(group, in->name) == 1;
    offset_delete_response_offset_delete_response_topic_init(out);
    out->name = in->name;
    out->partitions = arena_array(arena, (size_t)max_i64(in->partitions_count, 0), sizeof *out->partitions);
    for (int32_t i = 0; out->partitions && i < in->partitions_count; i++) {
        struct offset *offset = coord__offset_find(group, in->name, in->partitions[i].partition_index);
        out->partitions[i].partition_index = in->partitions[i].partition_index;
        out->partitions[i].error_code = is_subscribed ? KAFKA_GROUP_SUBSCRIBED_TO_TOPIC : KAFKA_NONE;
        out->partitions_count++;
        if (offset && !is_subscribed)
            token = coord__emit_offset_tombstone(group, offset);
    }
    return token;
}

static int16_t check_offset_delete(struct slice id, const struct group *group)
{
    if (id.size == 0)
        return KAFKA_INVALID_GROUP_ID;
    if (!group)
        return KAFKA_GROUP_ID_NOT_FOUND;
    if (group->state == GROUP_EMPTY)
        return KAFKA_NONE;
    bool is_known = group->state != GROUP_OPAQUE && slice_equal_str(group->protocol_type, "consumer");
    return is_known ? KAFKA_NONE : KAFKA_NON_EMPTY_GROUP;
}

void coord__offset_delete(struct coord_shard *shard, struct coord_call *call)
{
    const struct offset_delete_request *request = call->request;
    struct offset_delete_response *response = call->response;
    struct group *group = coord__group_find(shard, request->group_id);
    int16_t error = check_offset_delete(request->group_id, group);
    if (error != KAFKA_NONE) {
        coord__fail(shard, call, error);
        return;
    }
    uint64_t token = 0;
    response->topics = arena_array(call->arena, (size_t)max_i64(request->topics_count, 0), sizeof *response->topics);
    for (int32_t i = 0; response->topics && i < request->topics_count; i++) {
        uint64_t of_topic = delete_topic(group, call->arena, &request->topics[i], &response->topics[i]);
        token = of_topic ? of_topic : token;
        response->topics_count++;
    }
    if (token)
        coord__wait(shard, call, token);
    else
        coord__done(shard, call);
}

/* ---- age */

enum rule { RULE_KEEP, RULE_BY_STATE, RULE_BY_COMMIT, RULE_BY_COMMIT_UNLESS_SUBSCRIBED };

static enum rule rule_of(const struct group *group)
{
    if (group->state == GROUP_DEAD || group->state == GROUP_OPAQUE)
        return RULE_KEEP;
    if (slice_is_null(group->protocol_type))
        return RULE_BY_COMMIT;
    if (group->state == GROUP_EMPTY)
        return group->state_timestamp_ms >= 0 ? RULE_BY_STATE : RULE_BY_COMMIT;
    bool is_settled = group->state == GROUP_STABLE && slice_equal_str(group->protocol_type, "consumer");
    return is_settled ? RULE_BY_COMMIT_UNLESS_SUBSCRIBED : RULE_KEEP;
}

static bool is_old(const struct group *group, const struct offset *offset, enum rule rule)
{
    int64_t wall_ms = group->shard->time.wall_ms;
    if (offset->expire_timestamp_ms != -1)
        return wall_ms >= offset->expire_timestamp_ms;
    int64_t since_ms = rule == RULE_BY_STATE ? group->state_timestamp_ms : offset->commit_timestamp_ms;
    return since_ms <= wall_ms && sub_i64(wall_ms, since_ms) >= group->shard->settings.offsets_retention_ms;
}

static bool is_expired(const struct group *group, const struct offset *offset, enum rule rule)
{
    if (offset->in_flight > 0 || !offset->has_value || rule == RULE_KEEP || !is_old(group, offset, rule))
        return false;
    return rule != RULE_BY_COMMIT_UNLESS_SUBSCRIBED || coord__group_subscribed(group, offset->topic) == 0;
}

/* True when nothing is left, or will be once the tombstones are committed. */
static bool expire_offsets(struct group *group)
{
    enum rule rule = rule_of(group);
    bool all = true;
    for (struct hash_node *node = NULL; (node = hash_iterate(&group->offsets, node));) {
        struct offset *offset = CONTAINER_OF(node, struct offset, node);
        if (is_expired(group, offset, rule))
            (void)coord__emit_offset_tombstone(group, offset);
        else
            all = false;
    }
    return all;
}

/* The next group is looked up first, since a group may go. */
void coord__expire(struct coord_shard *shard)
{
    struct hash_node *node = hash_iterate(&shard->groups, NULL);
    while (node) {
        struct group *group = CONTAINER_OF(node, struct group, by_id);
        node = hash_iterate(&shard->groups, node);
        bool nothing_left = group->state != GROUP_DEAD && expire_offsets(group);
        if (!nothing_left || group->state != GROUP_EMPTY || group->pending.count > 0)
            continue;
        (void)coord__emit_group_tombstone(group);
        coord__group_kill(group);
        coord__group_collect(group);
    }
}
