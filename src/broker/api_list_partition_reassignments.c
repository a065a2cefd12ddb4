// SPDX-License-Identifier: Apache-2.0
/* broker/api_list_partition_reassignments.c - ListPartitionReassignments: partitions that are being moved (KIP-455).
 *
 * Those whose metadata names replicas that come or go. In a cluster of one node there are none, and a node that finds others
 * in its metadata does not start; so the answer is read from the image and is short.
 */
#include "broker/broker__.h"
#include "wire/gen/list_partition_reassignments.h"

typedef struct list_partition_reassignments_response_ongoing_topic_reassignment topic_reply;
typedef struct list_partition_reassignments_response_ongoing_partition_reassignment partition_reply;
typedef struct list_partition_reassignments_request_list_partition_reassignments_topics asked_topic;

static bool is_moving(const struct meta_partition *partition)
{
    return partition && (partition->adding_count > 0 || partition->removing_count > 0);
}

static int32_t *ids_copy(struct arena *arena, const int32_t *ids, int32_t count)
{
    int32_t *copy = arena_array(arena, (size_t)count, sizeof *copy);
    if (copy && count > 0)
        memcpy(copy, ids, (size_t)count * sizeof *copy);
    return copy;
}

static void partition_fill(struct arena *arena, const struct meta_partition *partition, int32_t index,
                           partition_reply *reply)
{
    list_partition_reassignments_response_ongoing_partition_reassignment_init(reply);
    reply->partition_index = index;
    reply->replicas = ids_copy(arena, partition->replicas, partition->replica_count);
    reply->replicas_count = partition->replica_count;
    reply->adding_replicas = ids_copy(arena, partition->adding, partition->adding_count);
    reply->adding_replicas_count = partition->adding_count;
    reply->removing_replicas = ids_copy(arena, partition->removing, partition->removing_count);
    reply->removing_replicas_count = partition->removing_count;
}

/* Appends the topic where it has partitions that move; `asked` NULL: any of them. */
static void topic_add(struct arena *arena, const struct meta_topic *topic, const asked_topic *asked,
                      struct list_partition_reassignments_response *response)
{
    int32_t room = asked ? asked->partition_indexes_count : topic->partition_count, count = 0;
    for (int32_t i = 0; i < room; i++)
        count += is_moving(meta_topic_partition(topic, asked ? asked->partition_indexes[i] : i));
    if (count == 0)
        return;
    topic_reply *reply = &response->topics[response->topics_count++];
    list_partition_reassignments_response_ongoing_topic_reassignment_init(reply);
    reply->name = topic->name;
    reply->partitions = arena_array(arena, (size_t)count, sizeof *reply->partitions);
    for (int32_t i = 0; reply->partitions && i < room; i++) {
        int32_t index = asked ? asked->partition_indexes[i] : i;
        const struct meta_partition *partition = meta_topic_partition(topic, index);
        if (is_moving(partition))
            partition_fill(arena, partition, index, &reply->partitions[reply->partitions_count++]);
    }
}

static void topics_walk(struct request *request, struct list_partition_reassignments_response *response)
{
    const struct list_partition_reassignments_request *body = request->body;
    const struct meta_image *image = request->home->image;
    size_t room = (size_t)(body->topics_count < 0 ? image->topic_count : body->topics_count);
    response->topics = arena_array(&request->arena, room, sizeof *response->topics);
    if (!response->topics)
        return;
    for (int32_t t = 0; t < body->topics_count; t++) {
        const struct meta_topic *topic = meta_topic_by_name(image, body->topics[t].name);
        if (topic)
            topic_add(&request->arena, topic, &body->topics[t], response);
    }
    if (body->topics_count >= 0)
        return;
    struct meta_walk walk;
    meta_topics_begin(image, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));)
        topic_add(&request->arena, topic, NULL, response);
}

static void start(struct request *request)
{
    struct list_partition_reassignments_response response;
    list_partition_reassignments_response_init(&response);
    response.error_message = SLICE_NULL;
    topics_walk(request, &response);
    if (request->arena.failed)
        request_refuse(request, "it needs more memory than one request may have");
    else
        request__reply(request, &response);
}

const struct api_row api__list_partition_reassignments = {
    .key = API_LIST_PARTITION_REASSIGNMENTS, .version_min = 0, .version_max = 0, .on_controller = true, .start = start};
