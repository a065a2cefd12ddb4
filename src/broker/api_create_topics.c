// SPDX-License-Identifier: Apache-2.0
/* broker/api_create_topics.c - CreateTopics: topics with their partitions and settings (KIP-4, 195, 464, 516, 525).
 *
 *   control  names that are asked for once go to the controller together, each with an outcome of its own
 *   resume   the answer: what came of each, the settings in effect, then the names that were refused before
 *
 * The image that comes with the answer has the topics; so has every partition its directory.
 */
#include "broker/broker__.h"
#include "wire/gen/create_topics.h"

#include <stdlib.h>

typedef struct create_topics_request_creatable_topic asked_topic;
typedef struct create_topics_response_creatable_topic_result topic_reply;
typedef struct create_topics_response_creatable_topic_configs config_reply;

struct create_work {
    const asked_topic **accepted; // in request order
    struct ctrl_new_topic *topics;
    struct ctrl_new_topic_result *results;
    int32_t accepted_count;
    struct slice *duplicates; // each name once
    int32_t duplicate_count;
    bool metadata_topic; // __cluster_metadata was asked for
};

/* ---- which names */
static int compare_names(const void *a, const void *b)
{
    return slice_compare((*(const asked_topic *const *)a)->name, (*(const asked_topic *const *)b)->name);
}

static bool is_duplicate(const struct create_work *work, struct slice name)
{
    for (int32_t low = 0, high = work->duplicate_count; low < high;) {
        int32_t middle = low + (high - low) / 2;
        int order = slice_compare(name, work->duplicates[middle]);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* Sorted, for the search. */
static void duplicates_find(struct create_work *work, const struct create_topics_request *body)
{
    const asked_topic **sorted = work->accepted; // filled with the accepted ones afterwards
    for (int32_t i = 0; i < body->topics_count; i++)
        sorted[i] = &body->topics[i];
    if (body->topics_count > 1)
        qsort(sorted, (size_t)body->topics_count, sizeof *sorted, compare_names);
    for (int32_t i = 1; i < body->topics_count; i++) {
        bool again = slice_equal(sorted[i]->name, sorted[i - 1]->name);
        bool is_told =
            work->duplicate_count > 0 && slice_equal(work->duplicates[work->duplicate_count - 1], sorted[i]->name);
        if (again && !is_told)
            work->duplicates[work->duplicate_count++] = sorted[i]->name;
    }
}

static void accept(struct create_work *work, const struct create_topics_request *body)
{
    duplicates_find(work, body);
    for (int32_t i = 0; i < body->topics_count; i++) {
        const asked_topic *topic = &body->topics[i];
        if (is_duplicate(work, topic->name))
            continue;
        if (slice_equal_str(topic->name, "__cluster_metadata"))
            work->metadata_topic = true;
        else
            work->accepted[work->accepted_count++] = topic;
    }
}

/* ---- the command */
static bool assignments_fill(struct arena *arena, const asked_topic *topic, struct ctrl_new_topic *ret_topic)
{
    struct ctrl_assignment *list = arena_array(arena, (size_t)max_i64(topic->assignments_count, 0), sizeof *list);
    for (int32_t i = 0; list && i < topic->assignments_count; i++)
        list[i] = (struct ctrl_assignment){.partition = topic->assignments[i].partition_index,
                                           .replicas = topic->assignments[i].broker_ids,
                                           .replica_count = topic->assignments[i].broker_ids_count};
    ret_topic->assignments = list;
    ret_topic->assignment_count = topic->assignments_count;
    return list != NULL;
}

static bool configs_fill(struct arena *arena, const asked_topic *topic, struct ctrl_new_topic *ret_topic)
{
    struct meta_config_entry *list = arena_array(arena, (size_t)max_i64(topic->configs_count, 0), sizeof *list);
    for (int32_t i = 0; list && i < topic->configs_count; i++)
        list[i] = (struct meta_config_entry){topic->configs[i].name, topic->configs[i].value};
    ret_topic->configs = list;
    ret_topic->config_count = topic->configs_count;
    return list != NULL;
}

static bool topics_fill(struct create_work *work, struct arena *arena)
{
    for (int32_t i = 0; i < work->accepted_count; i++) {
        const asked_topic *topic = work->accepted[i];
        struct ctrl_new_topic *wanted = &work->topics[i];
        *wanted = (struct ctrl_new_topic){
            .name = topic->name, .partitions = topic->num_partitions, .replication_factor = topic->replication_factor};
        if (!assignments_fill(arena, topic, wanted) || !configs_fill(arena, topic, wanted))
            return false;
    }
    return true;
}

static void start(struct request *request)
{
    const struct create_topics_request *body = request->body;
    struct arena *arena = &request->arena;
    size_t count = (size_t)max_i64(body->topics_count, 0);
    struct create_work *work = arena_zalloc(arena, sizeof *work);
    if (work) {
        work->accepted = arena_array(arena, count, sizeof *work->accepted);
        work->topics = arena_array(arena, count, sizeof *work->topics);
        work->results = arena_array(arena, count, sizeof *work->results);
        work->duplicates = arena_array(arena, count, sizeof *work->duplicates);
    }
    if (!work || arena->failed) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    request->work = work;
    accept(work, body);
    if (!topics_fill(work, arena)) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    request_send_to_control(request);
}

/* By the quota of its client; from version 6 on what it does not allow is refused. */
static bool may_create(void *context, int32_t partitions)
{
    enum { STRICT_SINCE = 6 };
    struct request *request = context;
    return request__may_mutate(request, partitions, request->api_version >= STRICT_SINCE);
}

static void control(struct request *request)
{
    const struct create_topics_request *body = request->body;
    struct create_work *work = request->work;
    struct broker *broker = request->home->broker;
    const struct ctrl_allowance allowance = {may_create, request};
    struct status s = ctrl_create_topics(control__ctrl(broker->control), work->topics, work->accepted_count,
                                         body->validate_only, &allowance, &request->arena, io_wall_ms(), work->results);
    if (!status_is_ok(s))
        broker__fail(broker, s);
}

/* ---- the answer */
/* As set by the request, else as it would be without: the topic may exist only in this request. */
static bool config_fill(const struct request *request, const struct ctrl_new_topic *topic,
                        const struct meta_config_def *def, char text[META_VALUE_TEXT_SIZE], config_reply *ret_config)
{
    const struct broker_options *options = &request->home->broker->options;
    enum meta_config_source source = META_SOURCE_TOPIC;
    create_topics_response_creatable_topic_configs_init(ret_config);
    ret_config->name = slice_str(def->name);
    ret_config->value = SLICE_NULL;
    for (int32_t i = 0; i < topic->config_count; i++)
        if (slice_equal(topic->configs[i].key, ret_config->name))
            ret_config->value = topic->configs[i].value;
    if (slice_is_null(ret_config->value))
        ret_config->value = meta_topic_setting(request->home->image, broker__settings(request->home->broker),
                                               options->node_id, slice_str(""), def, text, &source);
    ret_config->config_source = (int8_t)source;
    ret_config->is_sensitive = def->sensitive;
    if (def->sensitive)
        ret_config->value = SLICE_NULL;
    return !def->internal;
}

static int32_t configs_count(void)
{
    int32_t count = 0;
    for (int i = 0; i < meta_topic_configs.count; i++)
        count += !meta_topic_configs.defs[i].internal;
    return count;
}

/* create_topics_response_creatable_topic_result by hand from version 5 on, where the settings are written one by one. */
static void created_write(const struct request *request, struct wire_writer *out, const struct ctrl_new_topic *topic,
                          const struct ctrl_new_topic_result *result)
{
    int16_t version = request->api_version;
    wire_write_string(out, true, topic->name);
    if (version >= 7)
        wire_write_uuid(out, result->id);
    wire_write_i16(out, KAFKA_NONE);
    wire_write_string(out, true, SLICE_NULL); // error message
    wire_write_i32(out, result->partitions);
    wire_write_i16(out, result->replication_factor);
    wire_write_array_count(out, true, configs_count());
    for (int i = 0; i < meta_topic_configs.count; i++) {
        char text[META_VALUE_TEXT_SIZE];
        config_reply config;
        if (config_fill(request, topic, &meta_topic_configs.defs[i], text, &config))
            create_topics_response_creatable_topic_configs_write(out, version, &config);
    }
    wire_write_uvarint(out, 0); // tagged fields: TopicConfigErrorCode is 0
}

static void plain_write(const struct request *request, struct wire_writer *out, struct slice name, int16_t error,
                        struct slice message)
{
    topic_reply reply;
    create_topics_response_creatable_topic_result_init(&reply);
    reply.name = name;
    reply.error_code = error;
    reply.error_message = message;
    create_topics_response_creatable_topic_result_write(out, request->api_version, &reply);
}

static void resume(struct request *request)
{
    const struct create_work *work = request->work;
    int16_t version = request->api_version;
    if (request->arena.failed) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    struct wire_writer *out = request_reply_begin(request);
    if (version >= 2)
        wire_write_i32(out, request__throttle_ms(request));
    wire_write_array_count(out, version >= 5, work->accepted_count + work->duplicate_count + work->metadata_topic);
    for (int32_t i = 0; i < work->accepted_count; i++) {
        const struct ctrl_result *result = &work->results[i].result;
        if (result->error == KAFKA_NONE && version >= 5)
            created_write(request, out, &work->topics[i], &work->results[i]);
        else
            plain_write(request, out, work->topics[i].name, result->error, result->message);
    }
    for (int32_t i = 0; i < work->duplicate_count; i++)
        plain_write(request, out, work->duplicates[i], KAFKA_INVALID_REQUEST, slice_str("Duplicate topic name."));
    if (work->metadata_topic)
        plain_write(request, out, slice_str("__cluster_metadata"), KAFKA_INVALID_REQUEST,
                    slice_str("Creation of internal topic __cluster_metadata is prohibited."));
    if (version >= 5)
        wire_write_uvarint(out, 0);
    request_reply_end(request);
}

const struct api_row api__create_topics = {.key = API_CREATE_TOPICS,
                                           .version_min = 0,
                                           .version_max = 7,
                                           .on_controller = true,
                                           .start = start,
                                           .resume = resume,
                                           .control = control};
