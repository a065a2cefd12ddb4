// SPDX-License-Identifier: Apache-2.0
/* coord/offset_read.c - OffsetFetch (v0-10): what is committed, by partition or all of a group.
 *
 * No offset, or no such group, is an answer and not an error: offset -1, leader epoch -1, empty metadata. Up to version 7
 * a request asks for one group, from version 8 for several; both are served by one walk over (topic, partitions).
 */
#include "coord/coord__.h"

#include <stdlib.h>

typedef struct offset_fetch_response_offset_fetch_response_topics topics_out;
typedef struct offset_fetch_response_offset_fetch_response_partitions partitions_out;

static int compare_offsets(const void *left, const void *right)
{
    const struct offset *a = *(struct offset *const *)left, *b = *(struct offset *const *)right;
    int by_topic = slice_compare(a->topic, b->topic);
    return by_topic ? by_topic : (a->partition > b->partition) - (a->partition < b->partition);
}

static struct offset **sorted(const struct group *group, struct arena *arena, int32_t *ret_count)
{
    struct offset **offsets = arena_array(arena, group->offsets.count, sizeof(struct offset *));
    int32_t count = 0;
    for (struct hash_node *node = NULL; offsets && (node = hash_iterate(&group->offsets, node));) {
        struct offset *offset = CONTAINER_OF(node, struct offset, node);
        if (offset->has_value)
            offsets[count++] = offset;
    }
    if (count > 0)
        qsort(offsets, (size_t)count, sizeof(struct offset *), compare_offsets);
    *ret_count = count;
    return offsets;
}

static void fill_partition(struct arena *arena, const struct offset *offset, int32_t index, partitions_out *out)
{
    offset_fetch_response_offset_fetch_response_partitions_init(out);
    out->partition_index = index;
    out->committed_offset = -1;
    out->committed_leader_epoch = -1;
    out->metadata = slice_of("", 0);
    if (!offset || !offset->has_value)
        return;
    out->committed_offset = offset->offset;
    out->committed_leader_epoch = offset->leader_epoch;
    out->metadata = arena_copy(arena, offset->metadata);
}

static void fill_topic(struct arena *arena, const struct group *group, const int32_t *indexes, int32_t count,
                       topics_out *out)
{
    bool is_unresolved = out->name.size == 0 && !uuid_is_zero(out->topic_id);
    out->partitions = arena_array(arena, (size_t)max_i64(count, 0), sizeof *out->partitions);
    for (int32_t i = 0; out->partitions && i < count; i++) {
        const struct offset *offset = group && !is_unresolved ? coord__offset_find(group, out->name, indexes[i]) : NULL;
        fill_partition(arena, offset, indexes[i], &out->partitions[i]);
        if (is_unresolved)
            out->partitions[i].error_code = KAFKA_UNKNOWN_TOPIC_ID;
        out->partitions_count++;
    }
}

/* Everything the group has, by topic. */
static topics_out *fill_all(struct arena *arena, const struct group *group, int32_t *ret_count)
{
    int32_t count, at = 0;
    *ret_count = 0;
    if (!group)
        return NULL;
    struct offset **offsets = sorted(group, arena, &count);
    topics_out *topics = arena_array(arena, (size_t)count, sizeof *topics);
    while (topics && at < count) {
        topics_out *topic = &topics[(*ret_count)++];
        int32_t end = at;
        offset_fetch_response_offset_fetch_response_topics_init(topic);
        topic->name = arena_copy(arena, offsets[at]->topic);
        while (end < count && slice_equal(offsets[end]->topic, offsets[at]->topic))
            end++;
        topic->partitions = arena_array(arena, (size_t)(end - at), sizeof *topic->partitions);
        for (; at < end; at++) {
            if (topic->partitions)
                fill_partition(arena, offsets[at], offsets[at]->partition,
                               &topic->partitions[topic->partitions_count++]);
        }
    }
    return topics;
}

static void fetch_group(struct coord_shard *shard, struct coord_call *call,
                        const struct offset_fetch_request_offset_fetch_request_group *request,
                        struct offset_fetch_response_offset_fetch_response_group *out)
{
    offset_fetch_response_offset_fetch_response_group_init(out);
    out->group_id = request->group_id;
    const struct group *group = coord__group_place(shard, request->group_id);
    if (!coord__group_find(shard, request->group_id) && request->member_epoch >= 0) {
        out->error_code = KAFKA_GROUP_ID_NOT_FOUND; // it believes itself a member
        return;
    }
    if (request->topics_count < 0) {
        out->topics = fill_all(call->arena, group, &out->topics_count);
        return;
    }
    out->topics = arena_array(call->arena, (size_t)request->topics_count, sizeof *out->topics);
    for (int32_t i = 0; out->topics && i < request->topics_count; i++) {
        topics_out *topic = &out->topics[out->topics_count++];
        offset_fetch_response_offset_fetch_response_topics_init(topic);
        topic->name = request->topics[i].name;
        topic->topic_id = request->topics[i].topic_id;
        fill_topic(call->arena, group, request->topics[i].partition_indexes, request->topics[i].partition_indexes_count,
                   topic);
    }
}

/* From the many-groups form to the single one, which differs in its structs' names only. */
static void copy_topic(struct arena *arena, const topics_out *from,
                       struct offset_fetch_response_offset_fetch_response_topic *to)
{
    offset_fetch_response_offset_fetch_response_topic_init(to);
    to->name = from->name;
    to->partitions = arena_array(arena, (size_t)from->partitions_count, sizeof *to->partitions);
    for (int32_t i = 0; to->partitions && i < from->partitions_count; i++) {
        struct offset_fetch_response_offset_fetch_response_partition *out = &to->partitions[to->partitions_count++];
        offset_fetch_response_offset_fetch_response_partition_init(out);
        out->partition_index = from->partitions[i].partition_index;
        out->committed_offset = from->partitions[i].committed_offset;
        out->committed_leader_epoch = from->partitions[i].committed_leader_epoch;
        out->metadata = from->partitions[i].metadata;
        out->error_code = from->partitions[i].error_code;
    }
}

static void fetch_single(struct coord_shard *shard, struct coord_call *call)
{
    const struct offset_fetch_request *request = call->request;
    struct offset_fetch_response *response = call->response;
    const struct group *group = coord__group_place(shard, request->group_id);
    int32_t count = request->topics_count;
    topics_out *topics = NULL;
    if (count < 0)
        topics = fill_all(call->arena, group, &count);
    response->topics = arena_array(call->arena, (size_t)count, sizeof *response->topics);
    for (int32_t i = 0; response->topics && i < count; i++) {
        topics_out one;
        if (!topics) {
            offset_fetch_response_offset_fetch_response_topics_init(&one);
            one.name = request->topics[i].name;
            fill_topic(call->arena, group, request->topics[i].partition_indexes,
                       request->topics[i].partition_indexes_count, &one);
        }
        copy_topic(call->arena, topics ? &topics[i] : &one, &response->topics[response->topics_count++]);
    }
}

void coord__offset_fetch(struct coord_shard *shard, struct coord_call *call)
{
    const struct offset_fetch_request *request = call->request;
    struct offset_fetch_response *response = call->response;
    if (call->version < 8) {
        fetch_single(shard, call);
    } else {
        response->groups =
            arena_array(call->arena, (size_t)max_i64(request->groups_count, 0), sizeof *response->groups);
        for (int32_t i = 0; response->groups && i < request->groups_count; i++)
            fetch_group(shard, call, &request->groups[i], &response->groups[response->groups_count++]);
    }
    coord__done(shard, call);
}
