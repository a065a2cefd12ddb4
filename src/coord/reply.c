// SPDX-License-Identifier: Apache-2.0
/* coord/reply.c - the refusals: for each kind of request, an error in the places where its clients look for it.
 *
 * Nothing here needs a shard, so the broker floor uses it for groups that are loading or live elsewhere. When the call's
 * arena is full the reply keeps its top-level error and loses its lists; the arena's `failed` tells the caller.
 */
#include "coord/coord__.h"

static const struct response {
    size_t size;
    const struct wire_message *message;
} responses[] = {
    [COORD_JOIN_GROUP] = {sizeof(struct join_group_response), &wire_message_join_group_response},
    [COORD_SYNC_GROUP] = {sizeof(struct sync_group_response), &wire_message_sync_group_response},
    [COORD_HEARTBEAT] = {sizeof(struct heartbeat_response), &wire_message_heartbeat_response},
    [COORD_LEAVE_GROUP] = {sizeof(struct leave_group_response), &wire_message_leave_group_response},
    [COORD_OFFSET_COMMIT] = {sizeof(struct offset_commit_response), &wire_message_offset_commit_response},
    [COORD_OFFSET_FETCH] = {sizeof(struct offset_fetch_response), &wire_message_offset_fetch_response},
    [COORD_OFFSET_DELETE] = {sizeof(struct offset_delete_response), &wire_message_offset_delete_response},
    [COORD_DESCRIBE_GROUPS] = {sizeof(struct describe_groups_response), &wire_message_describe_groups_response},
    [COORD_LIST_GROUPS] = {sizeof(struct list_groups_response), &wire_message_list_groups_response},
    [COORD_DELETE_GROUPS] = {sizeof(struct delete_groups_response), &wire_message_delete_groups_response},
};

bool coord__response_new(struct coord_call *call)
{
    call->done = false;
    call->token = 0;
    call->response = arena_zalloc(call->arena, responses[call->kind].size);
    if (call->response)
        responses[call->kind].message->init(call->response);
    return call->response != NULL;
}

static void fail_commit(struct coord_call *call, int16_t error)
{
    const struct offset_commit_request *request = call->request;
    struct offset_commit_response *response = call->response;
    offset_commit_response_init(response);
    response->topics = arena_array(call->arena, (size_t)max_i64(request->topics_count, 0), sizeof *response->topics);
    for (int32_t i = 0; response->topics && i < request->topics_count; i++) {
        struct offset_commit_response_offset_commit_response_topic *topic = &response->topics[response->topics_count++];
        offset_commit_response_offset_commit_response_topic_init(topic);
        topic->name = request->topics[i].name;
        topic->topic_id = request->topics[i].topic_id;
        int32_t count = (int32_t)max_i64(request->topics[i].partitions_count, 0);
        topic->partitions = arena_array(call->arena, (size_t)count, sizeof *topic->partitions);
        for (int32_t j = 0; topic->partitions && j < count; j++) {
            offset_commit_response_offset_commit_response_partition_init(&topic->partitions[j]);
            topic->partitions[j].partition_index = request->topics[i].partitions[j].partition_index;
            topic->partitions[j].error_code = error;
            topic->partitions_count++;
        }
    }
}

/* The old single-group form has an error of its own from version 2; version 1 only at the partitions. */
static void fail_fetch_single(struct coord_call *call, int16_t error)
{
    const struct offset_fetch_request *request = call->request;
    struct offset_fetch_response *response = call->response;
    response->error_code = error;
    if (call->version >= 2)
        return;
    response->topics = arena_array(call->arena, (size_t)max_i64(request->topics_count, 0), sizeof *response->topics);
    for (int32_t i = 0; response->topics && i < request->topics_count; i++) {
        struct offset_fetch_response_offset_fetch_response_topic *topic = &response->topics[response->topics_count++];
        offset_fetch_response_offset_fetch_response_topic_init(topic);
        topic->name = request->topics[i].name;
        int32_t count = (int32_t)max_i64(request->topics[i].partition_indexes_count, 0);
        topic->partitions = arena_array(call->arena, (size_t)count, sizeof *topic->partitions);
        for (int32_t j = 0; topic->partitions && j < count; j++) {
            offset_fetch_response_offset_fetch_response_partition_init(&topic->partitions[j]);
            topic->partitions[j].partition_index = request->topics[i].partition_indexes[j];
            topic->partitions[j].committed_offset = -1;
            topic->partitions[j].metadata = slice_of("", 0);
            topic->partitions[j].error_code = error;
            topic->partitions_count++;
        }
    }
}

static void fail_fetch(struct coord_call *call, int16_t error)
{
    const struct offset_fetch_request *request = call->request;
    struct offset_fetch_response *response = call->response;
    offset_fetch_response_init(response);
    if (call->version < 8) {
        fail_fetch_single(call, error);
        return;
    }
    response->groups = arena_array(call->arena, (size_t)max_i64(request->groups_count, 0), sizeof *response->groups);
    for (int32_t i = 0; response->groups && i < request->groups_count; i++) {
        struct offset_fetch_response_offset_fetch_response_group *group = &response->groups[response->groups_count++];
        offset_fetch_response_offset_fetch_response_group_init(group);
        group->group_id = request->groups[i].group_id;
        group->error_code = error;
    }
}

static void fail_describe(struct coord_call *call, int16_t error)
{
    const struct describe_groups_request *request = call->request;
    struct describe_groups_response *response = call->response;
    describe_groups_response_init(response);
    response->groups = arena_array(call->arena, (size_t)max_i64(request->groups_count, 0), sizeof *response->groups);
    for (int32_t i = 0; response->groups && i < request->groups_count; i++) {
        describe_groups_response_described_group_init(&response->groups[i]);
        response->groups[i].group_id = request->groups[i];
        response->groups[i].error_code = error;
        response->groups_count++;
    }
}

static void fail_delete(struct coord_call *call, int16_t error)
{
    const struct delete_groups_request *request = call->request;
    struct delete_groups_response *response = call->response;
    delete_groups_response_init(response);
    size_t count = (size_t)max_i64(request->groups_names_count, 0);
    response->results = arena_array(call->arena, count, sizeof *response->results);
    for (int32_t i = 0; response->results && i < request->groups_names_count; i++) {
        delete_groups_response_deletable_group_result_init(&response->results[i]);
        response->results[i].group_id = request->groups_names[i];
        response->results[i].error_code = error;
        response->results_count++;
    }
}

static void fail_join(struct coord_call *call, int16_t error)
{
    const struct join_group_request *request = call->request;
    struct join_group_response *response = call->response;
    join_group_response_init(response);
    response->error_code = error;
    response->member_id = request->member_id;
    response->protocol_name = call->version < 7 ? slice_of("", 0) : SLICE_NULL;
}

static void fail_leave(struct coord_call *call, int16_t error)
{
    struct leave_group_response *response = call->response;
    leave_group_response_init(response);
    response->error_code = error;
}

static void fail_offset_delete(struct coord_call *call, int16_t error)
{
    struct offset_delete_response *response = call->response;
    offset_delete_response_init(response);
    response->error_code = error;
}

void coord__reply_error(struct coord_call *call, int16_t error)
{
    switch (call->kind) {
    case COORD_JOIN_GROUP:
        fail_join(call, error);
        break;
    case COORD_SYNC_GROUP:
        sync_group_response_init(call->response);
        ((struct sync_group_response *)call->response)->error_code = error;
        break;
    case COORD_HEARTBEAT:
        ((struct heartbeat_response *)call->response)->error_code = error;
        break;
    case COORD_LEAVE_GROUP:
        fail_leave(call, error);
        break;
    case COORD_OFFSET_COMMIT:
        fail_commit(call, error);
        break;
    case COORD_OFFSET_FETCH:
        fail_fetch(call, error);
        break;
    case COORD_OFFSET_DELETE:
        fail_offset_delete(call, error);
        break;
    case COORD_DESCRIBE_GROUPS:
        fail_describe(call, error);
        break;
    case COORD_LIST_GROUPS:
        ((struct list_groups_response *)call->response)->error_code = error;
        break;
    case COORD_DELETE_GROUPS:
        fail_delete(call, error);
        break;
    }
}

void coord__fail(struct coord_shard *shard, struct coord_call *call, int16_t error)
{
    coord__reply_error(call, error);
    coord__done(shard, call);
}

/* As Kafka's GroupCoordinatorService maps what an append says. */
static int16_t coordinator_error(const struct coord_call *call, int16_t error)
{
    switch (error) {
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
    case KAFKA_NOT_ENOUGH_REPLICAS:
    case KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case KAFKA_REQUEST_TIMED_OUT:
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
    case KAFKA_KAFKA_STORAGE_ERROR:
        return KAFKA_NOT_COORDINATOR;
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE:
    case KAFKA_INVALID_FETCH_SIZE:
        return call->kind == COORD_OFFSET_COMMIT ? KAFKA_INVALID_COMMIT_OFFSET_SIZE : KAFKA_UNKNOWN_SERVER_ERROR;
    default:
        return error;
    }
}

void coord_call_refuse(struct coord_call *call, int16_t error)
{
    if (!call->response && !coord__response_new(call))
        return;
    if (call->kind == COORD_HEARTBEAT && error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS)
        error = KAFKA_NONE;
    coord__reply_error(call, coordinator_error(call, error));
}
