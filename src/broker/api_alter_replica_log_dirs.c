// SPDX-License-Identifier: Apache-2.0
/* broker/api_alter_replica_log_dirs.c - AlterReplicaLogDirs: partitions are asked to lie in other log directories (KIP-113).
 *
 * The control thread begins the moves (broker/moves.c); the answer says that they have begun, not that they have ended. A
 * partition that is named twice goes where it was named last, as in Kafka, and is answered once.
 */
#include "broker/moves.h"
#include "wire/gen/alter_replica_log_dirs.h"

#include <stdlib.h>

typedef struct alter_replica_log_dirs_response_alter_replica_log_dir_topic_result topic_reply;
typedef struct alter_replica_log_dirs_response_alter_replica_log_dir_partition_result partition_reply;

struct wish {
    struct slice topic, path;
    int32_t partition, place; // in the request
    int16_t error;
};

struct wishes {
    struct wish *items;
    size_t count;
};

static int compare(const void *a, const void *b)
{
    const struct wish *one = a, *other = b;
    int order = slice_compare(one->topic, other->topic);
    if (order == 0)
        order = (one->partition > other->partition) - (one->partition < other->partition);
    return order != 0 ? order : one->place - other->place;
}

static bool is_same_partition(const struct wish *one, const struct wish *other)
{
    return one->partition == other->partition && slice_compare(one->topic, other->topic) == 0;
}

static size_t partitions_asked(const struct alter_replica_log_dirs_request *body)
{
    size_t count = 0;
    for (int32_t d = 0; d < body->dirs_count; d++)
        for (int32_t t = 0; t < body->dirs[d].topics_count; t++)
            count += (size_t)max_i64(body->dirs[d].topics[t].partitions_count, 0);
    return count;
}

/* In order of topic and partition, each once: the last one counts. */
static bool collect(struct request *request)
{
    const struct alter_replica_log_dirs_request *body = request->body;
    struct wishes *wishes = request->work = arena_zalloc(&request->arena, sizeof *wishes);
    if (wishes)
        wishes->items = arena_array(&request->arena, partitions_asked(body), sizeof *wishes->items);
    if (!wishes || !wishes->items)
        return false;
    size_t count = 0;
    for (int32_t d = 0; d < body->dirs_count; d++)
        for (int32_t t = 0; t < body->dirs[d].topics_count; t++)
            for (int32_t i = 0; i < body->dirs[d].topics[t].partitions_count; i++, count++)
                wishes->items[count] = (struct wish){.topic = body->dirs[d].topics[t].name,
                                                     .path = body->dirs[d].path,
                                                     .partition = body->dirs[d].topics[t].partitions[i],
                                                     .place = (int32_t)count};
    if (count > 1)
        qsort(wishes->items, count, sizeof *wishes->items, compare);
    for (size_t i = 0; i < count; i++)
        if (i + 1 == count || !is_same_partition(&wishes->items[i], &wishes->items[i + 1]))
            wishes->items[wishes->count++] = wishes->items[i];
    return true;
}

static void start(struct request *request)
{
    if (collect(request))
        request_send_to_control(request);
    else
        request_refuse(request, "it needs more memory than one request may have");
}

static void control(struct request *request)
{
    struct control *control = request->home->broker->control;
    struct wishes *wishes = request->work;
    for (size_t i = 0; i < wishes->count; i++) {
        struct wish *wish = &wishes->items[i];
        wish->error = moves__ask(housekeeping__moves(control__housekeeping(control)), ctrl_view(control__ctrl(control)),
                                 wish->topic, wish->partition, wish->path);
    }
}

static topic_reply *topic_add(struct alter_replica_log_dirs_response *response, struct wish *wish, struct arena *arena,
                              size_t partitions_max)
{
    topic_reply *topic = &response->results[response->results_count++];
    alter_replica_log_dirs_response_alter_replica_log_dir_topic_result_init(topic);
    topic->topic_name = wish->topic;
    topic->partitions = arena_array(arena, partitions_max, sizeof *topic->partitions);
    return topic;
}

static size_t same_topic(const struct wishes *wishes, size_t first)
{
    size_t end = first;
    while (end < wishes->count && slice_compare(wishes->items[end].topic, wishes->items[first].topic) == 0)
        end++;
    return end;
}

static void resume(struct request *request)
{
    struct wishes *wishes = request->work;
    struct alter_replica_log_dirs_response response;
    alter_replica_log_dirs_response_init(&response);
    response.results = arena_array(&request->arena, wishes->count, sizeof *response.results);
    for (size_t first = 0, end; !request->arena.failed && first < wishes->count; first = end) {
        end = same_topic(wishes, first);
        topic_reply *topic = topic_add(&response, &wishes->items[first], &request->arena, end - first);
        for (size_t i = first; topic->partitions && i < end; i++) {
            partition_reply *partition = &topic->partitions[topic->partitions_count++];
            alter_replica_log_dirs_response_alter_replica_log_dir_partition_result_init(partition);
            partition->partition_index = wishes->items[i].partition;
            partition->error_code = wishes->items[i].error;
        }
    }
    if (request->arena.failed)
        request_refuse(request, "it needs more memory than one request may have");
    else
        request__reply(request, &response);
}

const struct api_row api__alter_replica_log_dirs = {.key = API_ALTER_REPLICA_LOG_DIRS,
                                                    .version_min = 0,
                                                    .version_max = 2,
                                                    .start = start,
                                                    .resume = resume,
                                                    .control = control};
