// SPDX-License-Identifier: Apache-2.0
/* sim/workload.c - the clients of a run, and what they have in common. */
#include "sim/workload__.h"

#include "record/record.h"
#include "wire/gen/fetch.h"

struct workload workload;

void workload_start(struct sim_world *world)
{
    workload = (struct workload){.world = world};
    sim_client(world, "admin", workload__administrate, NULL);
    for (uintptr_t i = 0, count = 1 + workload_draw(WITNESS_PRODUCERS); i < count; i++)
        sim_client(world, "producer", workload__produce, (void *)i);
    for (uintptr_t i = 0, count = 2 + workload_draw(3); i < count; i++)
        sim_client(world, "consumer", workload__consume, (void *)i);
    for (uintptr_t i = 0, count = workload_draw(MEMBERS + 1); i < count; i++)
        sim_client(world, "member", workload__commit, (void *)i);
}

void workload_errors_may_come(bool may_come)
{
    workload.errors_may_come = may_come;
}

void workload_moves_are_asked(bool are_asked)
{
    workload.moves_are_asked = are_asked;
}

void workload_finish(void)
{
    workload.finishing = true;
}

uint64_t workload_acknowledged(void)
{
    return workload.acknowledged;
}

void workload__pause(int64_t ms_max)
{
    sim_sleep_ns(1 + (int64_t)workload_draw((uint64_t)ms_max * 1000000));
}

void workload_crash_after(enum promise promise, uint64_t count)
{
    workload.crash_promise = promise;
    workload.crash_count = count;
}

void workload__promised(enum promise promise)
{
    enum { CALLS_MAX = 10 };
    if (promise == workload.crash_promise && workload.crash_count > 0 && --workload.crash_count == 0)
        sim_crash_after(workload.world, 1 + workload_draw(CALLS_MAX), SIM_POWER_CUT);
}

bool workload__open(struct link *link)
{
    if (link_is_open(link))
        return true;
    if (link_open(link, WORKLOAD_PORT, CALL_TIMEOUT_MS)) {
        link->errors_may_come = workload.errors_may_come;
        return true;
    }
    workload__pause(200);
    return false;
}

bool workload__is_later(const struct link *link, const char *who, int16_t error)
{
    switch (error) {
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
        return !workload.topic_is_there || link->errors_may_come;
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
    case KAFKA_REQUEST_TIMED_OUT:
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS:
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
    case KAFKA_NOT_COORDINATOR:
        return true;
    case KAFKA_KAFKA_STORAGE_ERROR:
    case KAFKA_NOT_CONTROLLER:
        if (link->errors_may_come)
            return true;
        break;
    default:
        break;
    }
    blame(who, error, 0);
    return false;
}

/* ---- reading */
static bool walk(struct slice records, int64_t *offset, void (*each)(void *context, int64_t offset, uint32_t number),
                 void *context)
{
    struct slice batch;
    int64_t from = *offset;
    while (record_batch_next(&records, &batch)) {
        struct record_walk walk;
        struct record record;
        if (!record_batch_is_intact(batch)) {
            blame("a consumer got a damaged batch", *offset, record_batch_base_offset(batch.data));
            return false;
        }
        record_walk_begin(&walk, batch);
        while (record_walk_next(&walk, &record)) {
            uint32_t number = 0;
            if (record.value.size >= sizeof number)
                memcpy(&number, record.value.data, sizeof number);
            if (record.offset >= from)
                each(context, record.offset, number);
        }
        record_walk_end(&walk);
        *offset = record_batch_next_offset(batch.data);
    }
    if (records.size > 0 && *offset == from)
        blame("a fetch does not hold one whole batch", from, (int64_t)records.size);
    return true;
}

int64_t workload__fetch(struct link *link, int partition, int64_t *offset,
                        void (*each)(void *context, int64_t offset, uint32_t number), void *context)
{
    enum { FETCH_VERSION = 12 };
    int64_t promised = witness_visible_end(partition);
    struct fetch_request_fetch_partition asked = {.partition = partition,
                                                  .current_leader_epoch = -1,
                                                  .fetch_offset = *offset,
                                                  .last_fetched_epoch = -1,
                                                  .log_start_offset = -1,
                                                  .partition_max_bytes = 1 + (int32_t)workload_draw(8000)};
    struct fetch_request_fetch_topic topic = {
        .topic = slice_str(MAIN_TOPIC), .partitions = &asked, .partitions_count = 1};
    struct fetch_request request;
    const void *reply;
    fetch_request_init(&request);
    request.replica_id = -1;
    request.max_wait_ms = workload_draw(2) ? (int32_t)workload_draw(500) : 0;
    request.min_bytes = 1;
    request.max_bytes = 1 << 20;
    request.isolation_level = (int8_t)workload_draw(2);
    request.session_epoch = -1;
    request.topics = &topic;
    request.topics_count = 1;
    request.rack_id = slice_str("");
    if (!link_call(link, API_FETCH, FETCH_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return -1;
    const struct fetch_response *response = reply;
    if (response->error_code != 0 || response->responses_count != 1 || response->responses[0].partitions_count != 1) {
        blame("a fetch is answered for other partitions", response->error_code, response->responses_count);
        return -1;
    }
    const struct fetch_response_partition_data *data = &response->responses[0].partitions[0];
    if (data->error_code != 0) {
        workload__is_later(link, "a fetch is refused", data->error_code);
        workload__pause(100);
        return -1;
    }
    if (data->high_watermark < promised)
        blame("the high watermark is below what was promised", data->high_watermark, promised);
    if (!walk(data->records, offset, each, context))
        return -1;
    if (*offset > data->high_watermark)
        blame("a consumer sees past the high watermark", *offset, data->high_watermark);
    return data->high_watermark;
}

/* ---- the checker */
static void read_each(void *context, int64_t offset, uint32_t number)
{
    witness_read(context, offset, number);
}

static void check(void *context)
{
    struct link link;
    link_init(&link);
    for (int p = 0; p < WITNESS_PARTITIONS && workload.topic_is_there; p++) {
        struct witness_reading reading = {.partition = p};
        for (int64_t offset = 0, end = -1; offset != end && !is_blamed();)
            if (workload__open(&link))
                end = workload__fetch(&link, p, &offset, read_each, &reading);
        witness_read_end(&reading);
    }
    workload__check_topics(&link);
    workload__check_commits(&link);
    link_free(&link);
}

void workload_check(struct sim_world *world)
{
    sim_client(world, "checker", check, NULL);
}
