// SPDX-License-Identifier: Apache-2.0
/* sim/workload_group.c - members of one group commit numbers that only grow, each for a partition of its own.
 *
 * What is committed may be any number that was sent since the last one that was acknowledged, never an older one.
 */
#include "sim/workload__.h"

#include "wire/gen/find_coordinator.h"
#include "wire/gen/heartbeat.h"
#include "wire/gen/join_group.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"
#include "wire/gen/sync_group.h"

enum {
    JOIN_VERSION = 5,
    SYNC_VERSION = 3,
    BEAT_VERSION = 3,
    COMMIT_VERSION = 7,
    OFFSETS_VERSION = 5,
    FIND_VERSION = 2
};
enum { SESSION_TIMEOUT_MS = 10000, REBALANCE_TIMEOUT_MS = 10000 };
#define GROUP slice_str("g")

struct member {
    int partition;
    struct link link;
    char id[128];
    bool joined;
    int32_t generation;
};

static void keep_id(struct member *m, struct slice id)
{
    snprintf(m->id, sizeof m->id, "%.*s", (int)id.size, (const char *)id.data);
}

/* Joins anew when the group says so; anything else must be "later". */
static void refused(struct member *m, const char *who, int16_t error)
{
    switch (error) {
    case KAFKA_UNKNOWN_MEMBER_ID:
        m->id[0] = '\0';
        m->joined = false;
        return;
    case KAFKA_ILLEGAL_GENERATION:
    case KAFKA_REBALANCE_IN_PROGRESS:
        m->joined = false;
        return;
    default:
        workload__is_later(&m->link, who, error);
        workload__pause(200);
    }
}

/* ---- becoming a member */
static bool find(struct link *link)
{
    struct find_coordinator_request request = {.key = GROUP};
    const void *reply;
    if (!link_call(link, API_FIND_COORDINATOR, FIND_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return false;
    const struct find_coordinator_response *response = reply;
    if (response->error_code == 0)
        return true;
    workload__is_later(link, "a group has no coordinator", response->error_code);
    workload__pause(200);
    return false;
}

static bool sync(struct member *m, bool leads, const struct join_group_response *join)
{
    struct sync_group_request_sync_group_request_assignment assignments[MEMBERS * 4];
    struct sync_group_request request = {
        .group_id = GROUP, .generation_id = m->generation, .member_id = slice_str(m->id), .assignments = assignments};
    for (int32_t i = 0; leads && i < join->members_count && i < (int32_t)COUNT_OF(assignments); i++)
        assignments[request.assignments_count++] = (struct sync_group_request_sync_group_request_assignment){
            .member_id = join->members[i].member_id, .assignment = slice_str("all")};
    const void *reply;
    if (!link_call(&m->link, API_SYNC_GROUP, SYNC_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return false;
    const struct sync_group_response *response = reply;
    if (response->error_code != 0) {
        refused(m, "a member does not sync", response->error_code);
        return false;
    }
    if (!slice_equal_str(response->assignment, "all"))
        blame("an assignment is not the leader's", (int64_t)response->assignment.size, 0);
    return true;
}

static void join(struct member *m)
{
    struct join_group_request_join_group_request_protocol protocol = {.name = slice_str("any"),
                                                                      .metadata = slice_str("x")};
    struct join_group_request request = {.group_id = GROUP,
                                         .session_timeout_ms = SESSION_TIMEOUT_MS,
                                         .rebalance_timeout_ms = REBALANCE_TIMEOUT_MS,
                                         .member_id = slice_str(m->id),
                                         .protocol_type = slice_str("consumer"),
                                         .protocols = &protocol,
                                         .protocols_count = 1};
    const void *reply;
    if (!link_call(&m->link, API_JOIN_GROUP, JOIN_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return;
    const struct join_group_response *response = reply;
    if (response->error_code == KAFKA_MEMBER_ID_REQUIRED) {
        keep_id(m, response->member_id);
        return;
    }
    if (response->error_code != 0) {
        refused(m, "a member does not join", response->error_code);
        return;
    }
    keep_id(m, response->member_id);
    m->generation = response->generation_id;
    m->joined = sync(m, slice_equal_str(response->leader, m->id), response);
}

/* ---- committing */
static void commit(struct member *m)
{
    char text[24];
    int64_t value = ++workload.commit_sent[m->partition];
    snprintf(text, sizeof text, "%lld", (long long)value);
    struct offset_commit_request_offset_commit_request_partition one = {.partition_index = m->partition,
                                                                        .committed_offset = value,
                                                                        .committed_leader_epoch = -1,
                                                                        .commit_timestamp = -1,
                                                                        .committed_metadata = slice_str(text)};
    struct offset_commit_request_offset_commit_request_topic topic = {
        .name = slice_str(MAIN_TOPIC), .partitions = &one, .partitions_count = 1};
    struct offset_commit_request request = {.group_id = GROUP,
                                            .generation_id_or_member_epoch = m->generation,
                                            .member_id = slice_str(m->id),
                                            .retention_time_ms = -1,
                                            .topics = &topic,
                                            .topics_count = 1};
    const void *reply;
    if (!link_call(&m->link, API_OFFSET_COMMIT, COMMIT_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return;
    const struct offset_commit_response *response = reply;
    int16_t error = response->topics[0].partitions[0].error_code;
    if (error != 0) {
        refused(m, "a commit is refused", error);
        return;
    }
    workload.commit_acked[m->partition] = max_i64(workload.commit_acked[m->partition], value);
    workload__promised(PROMISE_COMMIT);
}

/* False when there was no answer. */
static bool look(struct link *link, int32_t partition)
{
    struct offset_fetch_request_offset_fetch_request_topic topic = {
        .name = slice_str(MAIN_TOPIC), .partition_indexes = &partition, .partition_indexes_count = 1};
    struct offset_fetch_request request = {.group_id = GROUP, .topics = &topic, .topics_count = 1};
    const void *reply;
    int64_t acked = workload.commit_acked[partition];
    if (!link_call(link, API_OFFSET_FETCH, OFFSETS_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return false;
    const struct offset_fetch_response *response = reply;
    int16_t error = response->error_code ? response->error_code : response->topics[0].partitions[0].error_code;
    if (error != 0) {
        workload__is_later(link, "committed offsets are not told", error);
        workload__pause(100);
        return false;
    }
    int64_t told = max_i64(response->topics[0].partitions[0].committed_offset, 0);
    if (told < acked)
        blame("a committed offset went back", told, acked);
    if (told > workload.commit_sent[partition])
        blame("an offset was never committed", told, workload.commit_sent[partition]);
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)told);
    if (told > 0 && !slice_equal_str(response->topics[0].partitions[0].metadata, text))
        blame("committed metadata belongs to another offset", told, 0);
    workload.commit_acked[partition] =
        max_i64(workload.commit_acked[partition], told); // shown is as good as acknowledged
    return true;
}

static void beat(struct member *m)
{
    struct heartbeat_request request = {
        .group_id = GROUP, .generation_id = m->generation, .member_id = slice_str(m->id)};
    const void *reply;
    if (!link_call(&m->link, API_HEARTBEAT, BEAT_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return;
    const struct heartbeat_response *response = reply;
    if (response->error_code != 0)
        refused(m, "a heartbeat is refused", response->error_code);
}

static void one_step(struct member *m)
{
    if (!m->joined) {
        if (find(&m->link))
            join(m);
        return;
    }
    switch (workload_draw(5)) {
    case 0:
        look(&m->link, m->partition);
        break;
    case 1:
        beat(m);
        break;
    default:
        commit(m);
    }
}

void workload__commit(void *context)
{
    struct member m = {.partition = (int)(uintptr_t)context};
    link_init(&m.link);
    while (!is_blamed() && !workload.finishing) {
        if (workload.topic_is_there && workload__open(&m.link))
            one_step(&m);
        workload__pause(100);
    }
    link_free(&m.link);
}

void workload__check_commits(struct link *link)
{
    for (int32_t p = 0; p < MEMBERS && !is_blamed();)
        if (workload.commit_sent[p] == 0 || (workload__open(link) && find(link) && look(link, p)))
            p++;
}
