// SPDX-License-Identifier: Apache-2.0
/* broker/api_delete_groups.c - DeleteGroups: groups without members and their offsets go (KIP-229). One shard after the
 * other; a group named twice is deleted and answered once, as by Apache Kafka.
 */
#include "broker/group_call.h"
#include "wire/gen/delete_groups.h"

struct delete_work {
    struct slice *names; // distinct, in the order of their first mention
    int32_t names_count;
    struct group_split split;
    int32_t at; // the part that is out
    struct delete_groups_request part;
    struct delete_groups_response response;
};

struct name {
    struct hash_node node;
    struct slice name;
};

static struct delete_work *work_of(const struct request *request)
{
    return ((struct group_call *)request->work)->own;
}

static bool name_is_known(const struct hash *known, struct slice name, uint64_t hash)
{
    for (struct hash_node *node = hash_first(known, hash); node; node = hash_next(node))
        if (slice_equal(CONTAINER_OF(node, struct name, node)->name, name))
            return true;
    return false;
}

static void names_take(struct request *request, struct delete_work *work)
{
    const struct delete_groups_request *body = request->body;
    size_t count = (size_t)max_i64(0, body->groups_names_count);
    work->names = arena_array(&request->arena, count, sizeof *work->names);
    struct name *nodes = arena_array(&request->arena, count, sizeof *nodes);
    struct hash known;
    hash_init(&known);
    for (size_t i = 0; work->names && nodes && i < count; i++) {
        struct slice name = body->groups_names[i];
        uint64_t hash = hash_bytes(name);
        if (name_is_known(&known, name, hash))
            continue;
        nodes[i].name = name;
        hash_insert(&known, &nodes[i].node, hash);
        work->names[work->names_count++] = name;
    }
    hash_free(&known);
}

static void next(struct request *request)
{
    struct delete_work *work = work_of(request);
    if (work->at == work->split.count) {
        request__reply(request, &work->response);
        return;
    }
    const struct group_part *part = &work->split.parts[work->at];
    work->part = *(const struct delete_groups_request *)request->body;
    work->part.groups_names_count = part->count;
    work->part.groups_names = arena_array(&request->arena, (size_t)part->count, sizeof *work->part.groups_names);
    if (!work->part.groups_names) {
        group_call__refuse_size(request);
        return;
    }
    for (int32_t i = 0; i < part->count; i++)
        work->part.groups_names[i] = work->names[part->elements[i]];
    group_call__send(request, &work->part, part->shard);
}

static void resume(struct request *request)
{
    struct delete_work *work = work_of(request);
    const struct delete_groups_response *answer = group_call__response(request);
    if (!answer)
        return;
    const struct group_part *part = &work->split.parts[work->at++];
    assert(answer->results_count == part->count);
    for (int32_t i = 0; i < part->count; i++)
        work->response.results[part->elements[i]] = answer->results[i];
    next(request);
}

static void start(struct request *request)
{
    struct delete_work *work = arena_zalloc(&request->arena, sizeof *work);
    if (!group_call__begin(request, COORD_DELETE_GROUPS))
        return;
    names_take(request, work);
    if (!group_split__make(request, work->names, work->names_count, &work->split))
        return;
    ((struct group_call *)request->work)->own = work;
    delete_groups_response_init(&work->response);
    work->response.results = arena_array(&request->arena, (size_t)work->names_count, sizeof *work->response.results);
    work->response.results_count = work->names_count;
    if (!work->response.results)
        group_call__refuse_size(request);
    else
        next(request);
}

const struct api_row api__delete_groups = {
    .key = API_DELETE_GROUPS, .version_min = 0, .version_max = 2, .start = start, .resume = resume};
