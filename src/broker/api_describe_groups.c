// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_groups.c - DescribeGroups: states and members, in the order asked for, one shard after the other. */
#include "broker/group_call.h"
#include "wire/gen/describe_groups.h"

struct describe_work {
    struct group_split split;
    int32_t at; // the part that is out
    struct describe_groups_request part;
    struct describe_groups_response response;
};

static struct describe_work *work_of(const struct request *request)
{
    return ((struct group_call *)request->work)->own;
}

static void finish(struct request *request)
{
    const struct describe_groups_request *body = request->body;
    struct describe_groups_response *response = &work_of(request)->response;
    for (int32_t i = 0; body->include_authorized_operations && i < response->groups_count; i++)
        if (response->groups[i].error_code == KAFKA_NONE)
            response->groups[i].authorized_operations = OPERATIONS_OF_GROUP;
    request__reply(request, response);
}

static void next(struct request *request)
{
    const struct describe_groups_request *body = request->body;
    struct describe_work *work = work_of(request);
    if (work->at == work->split.count) {
        finish(request);
        return;
    }
    const struct group_part *part = &work->split.parts[work->at];
    work->part = *body;
    work->part.groups_count = part->count;
    work->part.groups = arena_array(&request->arena, (size_t)part->count, sizeof *work->part.groups);
    if (!work->part.groups) {
        group_call__refuse_size(request);
        return;
    }
    for (int32_t i = 0; i < part->count; i++)
        work->part.groups[i] = body->groups[part->elements[i]];
    group_call__send(request, &work->part, part->shard);
}

static void resume(struct request *request)
{
    struct describe_work *work = work_of(request);
    const struct describe_groups_response *answer = group_call__response(request);
    if (!answer)
        return;
    const struct group_part *part = &work->split.parts[work->at++];
    assert(answer->groups_count == part->count);
    for (int32_t i = 0; i < part->count; i++)
        work->response.groups[part->elements[i]] = answer->groups[i];
    next(request);
}

static void start(struct request *request)
{
    const struct describe_groups_request *body = request->body;
    int32_t count = (int32_t)max_i64(0, body->groups_count);
    struct describe_work *work = arena_zalloc(&request->arena, sizeof *work);
    if (!group_call__begin(request, COORD_DESCRIBE_GROUPS) ||
        !group_split__make(request, body->groups, count, &work->split))
        return;
    ((struct group_call *)request->work)->own = work;
    describe_groups_response_init(&work->response);
    work->response.groups = arena_array(&request->arena, (size_t)count, sizeof *work->response.groups);
    work->response.groups_count = count;
    if (!work->response.groups)
        group_call__refuse_size(request);
    else
        next(request);
}

const struct api_row api__describe_groups = {
    .key = API_DESCRIBE_GROUPS, .version_min = 0, .version_max = 6, .start = start, .resume = resume};
