// SPDX-License-Identifier: Apache-2.0
/* broker/api_alter_partition_reassignments.c - AlterPartitionReassignments: where partitions shall lie (KIP-455, 860).
 *
 * In a cluster of one node a partition can only be assigned to where it is, and no reassignment is ever under way, so
 * nothing changes: each partition is judged by the newest image that this reactor knows.
 */
#include "broker/broker__.h"
#include "wire/gen/alter_partition_reassignments.h"

typedef struct alter_partition_reassignments_request_reassignable_topic asked_topic;
typedef struct alter_partition_reassignments_response_reassignable_topic_response topic_reply;
typedef struct alter_partition_reassignments_response_reassignable_partition_response partition_reply;

static bool topic_fill(struct request *request, const asked_topic *asked, topic_reply *reply)
{
    alter_partition_reassignments_response_reassignable_topic_response_init(reply);
    reply->name = asked->name;
    reply->partitions_count = (int32_t)max_i64(asked->partitions_count, 0);
    reply->partitions = arena_array(&request->arena, (size_t)reply->partitions_count, sizeof *reply->partitions);
    for (int32_t i = 0; reply->partitions && i < reply->partitions_count; i++) {
        partition_reply *partition = &reply->partitions[i];
        struct ctrl_election_ref ref = {asked->name, asked->partitions[i].partition_index};
        struct ctrl_result result;
        ctrl_check_reassignment(request->home->image, &ref, asked->partitions[i].replicas,
                                asked->partitions[i].replicas_count, &request->arena, &result);
        alter_partition_reassignments_response_reassignable_partition_response_init(partition);
        partition->partition_index = ref.partition;
        partition->error_code = result.error;
        partition->error_message = result.message;
    }
    return reply->partitions != NULL;
}

static void start(struct request *request)
{
    const struct alter_partition_reassignments_request *body = request->body;
    struct alter_partition_reassignments_response response;
    alter_partition_reassignments_response_init(&response);
    response.allow_replication_factor_change = body->allow_replication_factor_change;
    response.error_message = body->topics_count > 0 ? SLICE_NULL : slice_str(""); // as Kafka tells them apart
    response.responses =
        arena_array(&request->arena, (size_t)max_i64(body->topics_count, 0), sizeof *response.responses);
    for (int32_t t = 0; !request->arena.failed && t < body->topics_count; t++)
        if (topic_fill(request, &body->topics[t], &response.responses[t]))
            response.responses_count++;
    if (request->arena.failed)
        request_refuse(request, "it needs more memory than one request may have");
    else
        request__reply(request, &response);
}

const struct api_row api__alter_partition_reassignments = {.key = API_ALTER_PARTITION_REASSIGNMENTS,
                                                           .version_min = 0,
                                                           .version_max = 1,
                                                           .on_controller = true,
                                                           .start = start};
