// SPDX-License-Identifier: Apache-2.0
/* broker/api_list_groups.c - ListGroups: the groups of every shard that is served here (KIP-518, 848).
 *
 * Shards of which another broker is the coordinator are passed over; one that is still loading makes the whole answer an
 * error without groups, as by Apache Kafka, so that nobody takes half a list for the whole.
 */
#include "broker/group_call.h"
#include "wire/gen/list_groups.h"

typedef struct list_groups_response_listed_group listed_group;

struct list_work {
    int32_t shard, shard_count; // the shard that is asked
    struct list_piece {
        listed_group *groups;
        int32_t count;
    } * pieces; // of each shard
};

static struct list_work *work_of(const struct request *request)
{
    return ((struct group_call *)request->work)->own;
}

static void finish(struct request *request, int16_t error)
{
    struct list_work *work = work_of(request);
    struct list_groups_response response;
    list_groups_response_init(&response);
    response.error_code = error;
    size_t count = 0;
    for (int32_t i = 0; i < work->shard_count && error == KAFKA_NONE; i++)
        count += (size_t)work->pieces[i].count;
    response.groups = arena_array(&request->arena, count, sizeof *response.groups);
    if (!response.groups) {
        group_call__refuse_size(request);
        return;
    }
    for (int32_t i = 0; i < work->shard_count && error == KAFKA_NONE; i++)
        for (int32_t j = 0; j < work->pieces[i].count; j++)
            response.groups[response.groups_count++] = work->pieces[i].groups[j];
    request__reply(request, &response);
}

static void next(struct request *request)
{
    struct list_work *work = work_of(request);
    if (work->shard == work->shard_count)
        finish(request, KAFKA_NONE);
    else
        group_call__send(request, request->body, work->shard);
}

static void resume(struct request *request)
{
    struct list_work *work = work_of(request);
    const struct list_groups_response *answer = group_call__response(request);
    if (!answer)
        return;
    if (answer->error_code == KAFKA_NONE)
        work->pieces[work->shard] = (struct list_piece){.groups = answer->groups, .count = answer->groups_count};
    work->shard++;
    if (answer->error_code == KAFKA_NONE || answer->error_code == KAFKA_NOT_COORDINATOR)
        next(request);
    else
        finish(request, answer->error_code);
}

static void start(struct request *request)
{
    struct list_work *work = arena_zalloc(&request->arena, sizeof *work);
    if (!group_call__begin(request, COORD_LIST_GROUPS))
        return;
    ((struct group_call *)request->work)->own = work;
    work->shard_count = group_call__shard_count(request);
    work->pieces = arena_array(&request->arena, (size_t)work->shard_count, sizeof *work->pieces);
    if (!work->pieces)
        group_call__refuse_size(request);
    else
        next(request);
}

const struct api_row api__list_groups = {
    .key = API_LIST_GROUPS, .version_min = 0, .version_max = 5, .start = start, .resume = resume};
