// SPDX-License-Identifier: Apache-2.0
/* broker/api_offset_fetch.c - OffsetFetch: what groups have committed; one group up to version 7, several from 8 on
 * (KIP-709), one shard after the other, answered in the order asked for.
 *
 * From version 10 topics have ids (KIP-848). The shards know names: those are filled in from the image before, ids after.
 * Topics whose id is unknown come last, with an error; of all topics of a group, those that no longer exist are left out,
 * since they have no id that could be told.
 */
#include "broker/group_call.h"
#include "wire/gen/offset_fetch.h"

typedef struct offset_fetch_request_offset_fetch_request_group asked_group;
typedef struct offset_fetch_request_offset_fetch_request_topics asked_topic;
typedef struct offset_fetch_response_offset_fetch_response_group told_group;
typedef struct offset_fetch_response_offset_fetch_response_topics told_topic;

enum { VERSION_GROUPS = 8, VERSION_TOPIC_IDS = 10 };

struct fetch_work {
    struct group_split split;
    int32_t at; // the part that is out
    struct offset_fetch_request part;
    struct offset_fetch_response response;
};

static struct fetch_work *work_of(const struct request *request)
{
    return ((struct group_call *)request->work)->own;
}

/* Known topics first. False when there is no memory for it. */
static bool topics_name(struct request *request, asked_group *group)
{
    asked_topic *topics = arena_array(&request->arena, (size_t)max_i64(0, group->topics_count), sizeof *topics);
    if (!topics)
        return false;
    int32_t at = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < group->topics_count; i++) {
            const struct meta_topic *topic = meta_topic_by_id(request->home->image, group->topics[i].topic_id);
            if ((topic != NULL) != (pass == 0))
                continue;
            topics[at] = group->topics[i];
            topics[at++].name = topic ? arena_copy(&request->arena, topic->name) : slice_str(""); // the image may go
        }
    if (group->topics_count >= 0)
        group->topics = topics;
    return !request->arena.failed;
}

static void topics_identify(const struct request *request, told_group *group)
{
    int32_t count = 0;
    for (int32_t i = 0; i < group->topics_count; i++) {
        told_topic *topic = &group->topics[i];
        const struct meta_topic *known = meta_topic_by_name(request->home->image, topic->name);
        if (uuid_is_zero(topic->topic_id) && known)
            topic->topic_id = known->id;
        if (!uuid_is_zero(topic->topic_id))
            group->topics[count++] = *topic;
    }
    group->topics_count = count;
}

static bool part_make(struct request *request, const struct group_part *part, struct offset_fetch_request *ret_part)
{
    const struct offset_fetch_request *body = request->body;
    *ret_part = *body;
    ret_part->groups_count = part->count;
    ret_part->groups = arena_array(&request->arena, (size_t)part->count, sizeof *ret_part->groups);
    if (!ret_part->groups)
        return false;
    for (int32_t i = 0; i < part->count; i++) {
        ret_part->groups[i] = body->groups[part->elements[i]];
        if (request->api_version >= VERSION_TOPIC_IDS && !topics_name(request, &ret_part->groups[i]))
            return false;
    }
    return true;
}

static void next(struct request *request)
{
    struct fetch_work *work = work_of(request);
    if (work->at == work->split.count) {
        request__reply(request, &work->response);
        return;
    }
    const struct group_part *part = &work->split.parts[work->at];
    if (part_make(request, part, &work->part))
        group_call__send(request, &work->part, part->shard);
    else
        group_call__refuse_size(request);
}

static void resume(struct request *request)
{
    struct fetch_work *work = work_of(request);
    const struct offset_fetch_response *answer = group_call__response(request);
    if (!answer)
        return;
    if (request->api_version < VERSION_GROUPS) {
        request__reply(request, answer);
        return;
    }
    const struct group_part *part = &work->split.parts[work->at++];
    assert(answer->groups_count == part->count);
    for (int32_t i = 0; i < part->count; i++) {
        told_group *group = &work->response.groups[part->elements[i]];
        *group = answer->groups[i];
        if (request->api_version >= VERSION_TOPIC_IDS)
            topics_identify(request, group);
    }
    next(request);
}

static void start_groups(struct request *request)
{
    const struct offset_fetch_request *body = request->body;
    int32_t count = (int32_t)max_i64(0, body->groups_count);
    struct fetch_work *work = arena_zalloc(&request->arena, sizeof *work);
    struct slice *ids = arena_array(&request->arena, (size_t)count, sizeof *ids);
    if (!group_call__begin(request, COORD_OFFSET_FETCH))
        return;
    for (int32_t i = 0; ids && i < count; i++)
        ids[i] = body->groups[i].group_id;
    if (!group_split__make(request, ids, count, &work->split))
        return;
    ((struct group_call *)request->work)->own = work;
    offset_fetch_response_init(&work->response);
    work->response.groups = arena_array(&request->arena, (size_t)count, sizeof *work->response.groups);
    work->response.groups_count = count;
    if (!work->response.groups)
        group_call__refuse_size(request);
    else
        next(request);
}

static void start(struct request *request)
{
    const struct offset_fetch_request *body = request->body;
    if (request->api_version < VERSION_GROUPS)
        group_call__start(request, COORD_OFFSET_FETCH, body->group_id);
    else
        start_groups(request);
}

const struct api_row api__offset_fetch = {
    .key = API_OFFSET_FETCH, .version_min = 0, .version_max = 10, .start = start, .resume = resume};
