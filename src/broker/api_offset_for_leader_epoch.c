// SPDX-License-Identifier: Apache-2.0
/* broker/api_offset_for_leader_epoch.c - OffsetForLeaderEpoch: where a leader epoch ended, so that a client (KIP-320) or a
 * follower (KIP-101, 279) can tell whether what it read in that epoch is still there.
 *
 * Answered from memory by the leader alone. Epoch and offset are -1 where the epoch is newer than any that the log knows. An
 * epoch is fenced as in a fetch: the client says which leader it believes in.
 */
#include "broker/broker__.h"
#include "wire/gen/offset_for_leader_epoch.h"

typedef struct offset_for_leader_epoch_request_offset_for_leader_topic asked_topic;
typedef struct offset_for_leader_epoch_request_offset_for_leader_partition asked_partition;
typedef struct offset_for_leader_epoch_response_offset_for_leader_topic_result told_topic;
typedef struct offset_for_leader_epoch_response_epoch_end_offset told_partition;

static int16_t epoch_find(const struct request *request, const struct meta_topic *topic, const asked_partition *asked,
                          told_partition *told)
{
    struct partition_use *use;
    int16_t error = request__partition(request, topic, asked->partition, &use);
    if (error != KAFKA_NONE)
        return error;
    if (partition_is_offline(use->partition))
        return KAFKA_KAFKA_STORAGE_ERROR;
    error = partition_check_epoch(use->partition, asked->current_leader_epoch);
    const struct log *log = partition_log(use->partition);
    if (error == KAFKA_NONE && log)
        log_epoch_end(log, asked->leader_epoch, &told->leader_epoch, &told->end_offset);
    return error;
}

static bool topic_answer(struct request *request, const asked_topic *asked, told_topic *told)
{
    const struct meta_topic *topic = meta_topic_by_name(request->home->image, asked->topic);
    offset_for_leader_epoch_response_offset_for_leader_topic_result_init(told);
    told->topic = asked->topic;
    told->partitions_count = (int32_t)max_i64(0, asked->partitions_count);
    told->partitions = arena_array(&request->arena, (size_t)told->partitions_count, sizeof *told->partitions);
    if (!told->partitions)
        return false;
    for (int32_t i = 0; i < told->partitions_count; i++) {
        offset_for_leader_epoch_response_epoch_end_offset_init(&told->partitions[i]);
        told->partitions[i].partition = asked->partitions[i].partition;
        told->partitions[i].error_code = epoch_find(request, topic, &asked->partitions[i], &told->partitions[i]);
    }
    return true;
}

static void start(struct request *request)
{
    const struct offset_for_leader_epoch_request *body = request->body;
    struct offset_for_leader_epoch_response response;
    offset_for_leader_epoch_response_init(&response);
    response.topics_count = (int32_t)max_i64(0, body->topics_count);
    response.topics = arena_array(&request->arena, (size_t)response.topics_count, sizeof *response.topics);
    bool enough = response.topics != NULL;
    for (int32_t t = 0; enough && t < response.topics_count; t++)
        enough = topic_answer(request, &body->topics[t], &response.topics[t]);
    if (enough)
        request__reply(request, &response);
    else
        request_refuse(request, "it needs more memory than one request may have");
}

const struct api_row api__offset_for_leader_epoch = {
    .key = API_OFFSET_FOR_LEADER_EPOCH, .version_min = 0, .version_max = 4, .start = start};
