// SPDX-License-Identifier: Apache-2.0
/* http/api_topics.c - topics: all of them, one of them, and what changes them.
 *
 * Names, replicas and settings are asked for like any client does; sizes and offsets are this broker's own knowledge. Rates
 * are told as totals with the time: who asks twice knows the rate.
 */
#include "http/body__.h"

#include "wire/gen/create_partitions.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/delete_records.h"
#include "wire/gen/delete_topics.h"
#include "wire/gen/describe_configs.h"
#include "wire/gen/incremental_alter_configs.h"
#include "wire/gen/metadata.h"

#include <stdlib.h>

enum { METADATA_VERSION = 12, TIMEOUT_MS = 30000, CONFIGS_MAX = 64 };

/* ---- what this broker holds, by topic */
struct held {
    struct broker_partition *items; // names copied into the arena
    int count, capacity;
    struct arena *arena;
    struct slice only; // null: all topics
};

static void hold(void *context, const struct broker_partition *partition)
{
    struct held *held = context;
    if (!slice_is_null(held->only) && !slice_equal_str(held->only, partition->topic))
        return;
    if (held->count == held->capacity) {
        held->capacity = held->capacity ? held->capacity * 2 : 64;
        held->items = mem_realloc(held->items, (size_t)held->capacity * sizeof *held->items);
    }
    bool is_same = held->count > 0 && strcmp(held->items[held->count - 1].topic, partition->topic) == 0;
    held->items[held->count] = *partition;
    held->items[held->count].topic = is_same ? held->items[held->count - 1].topic
                                             : (const char *)arena_printf(held->arena, "%s", partition->topic).data;
    held->count++;
}

static int by_place(const void *a, const void *b)
{
    const struct broker_partition *x = a, *y = b;
    int names = strcmp(x->topic, y->topic);
    return names ? names : (x->index > y->index) - (x->index < y->index);
}

/* Ordered by topic and partition; mem_free(items). */
static struct held held_all(struct exchange *e, struct slice only)
{
    struct held held = {.arena = &e->asker.arena, .only = only};
    broker_partitions_each(e->broker, hold, &held);
    if (held.count > 0)
        qsort(held.items, (size_t)held.count, sizeof *held.items, by_place);
    return held;
}

/* The first of the topic's, and how many there are. */
static const struct broker_partition *held_of(const struct held *held, struct slice topic, int *ret_count)
{
    int low = 0, high = held->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (slice_compare(slice_str(held->items[middle].topic), topic) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    int end = low;
    while (end < held->count && slice_equal_str(topic, held->items[end].topic))
        end++;
    *ret_count = end - low;
    return held->items + low;
}

/* ---- GET /topics */
static void write_sums(struct json *j, const struct broker_partition *partitions, int count)
{
    int64_t messages = 0, written = 0, size = 0, offline = 0;
    uint64_t bytes_in = 0, bytes_out = 0;
    for (int i = 0; i < count; i++) {
        messages += max_i64(0, partitions[i].end_offset - partitions[i].start_offset);
        written += partitions[i].end_offset;
        size += partitions[i].size_bytes;
        offline += partitions[i].is_offline;
        bytes_in += partitions[i].bytes_in;
        bytes_out += partitions[i].bytes_out;
    }
    json__i64(j, "messages", messages);
    json__i64(j, "writtenTotal", written);
    json__i64(j, "bytesInTotal", (int64_t)bytes_in);
    json__i64(j, "bytesOutTotal", (int64_t)bytes_out);
    json__i64(j, "sizeBytes", size);
    json__i64(j, "offlinePartitions", offline);
}

static void write_listed(struct json *j, const struct metadata_response_metadata_response_topic *topic,
                         const struct held *held)
{
    char id[UUID_TEXT_SIZE];
    uuid_to_text(topic->topic_id, id);
    int count, in_sync = 0;
    const struct broker_partition *partitions = held_of(held, topic->name, &count);
    for (int32_t i = 0; i < topic->partitions_count; i++)
        in_sync += topic->partitions[i].isr_nodes_count >= topic->partitions[i].replica_nodes_count;
    json__open(j, NULL, '{');
    json__text(j, "name", topic->name);
    json__string(j, "id", id);
    json__bool(j, "internal", topic->is_internal);
    json__i64(j, "partitions", topic->partitions_count);
    json__i64(j, "replicationFactor", topic->partitions_count > 0 ? topic->partitions[0].replica_nodes_count : 0);
    json__i64(j, "underReplicated", topic->partitions_count - in_sync);
    write_sums(j, partitions, count);
    json__close(j, '}');
}

static int by_name(const void *a, const void *b)
{
    const struct metadata_response_metadata_response_topic *x = a, *y = b;
    return slice_compare(x->name, y->name);
}

void web__topics(struct exchange *e)
{
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics_count = -1;
    const struct metadata_response *answer = exchange__ask(e, API_METADATA, METADATA_VERSION, &body);
    if (!answer)
        return;
    struct held held = held_all(e, SLICE_NULL);
    if (answer->topics_count > 0)
        qsort(answer->topics, (size_t)answer->topics_count, sizeof *answer->topics, by_name);
    struct json j = exchange__json(e);
    json__open(&j, NULL, '{');
    json__i64(&j, "at", io_wall_ms());
    json__open(&j, "topics", '[');
    for (int32_t i = 0; i < answer->topics_count; i++)
        write_listed(&j, &answer->topics[i], &held);
    json__close(&j, ']');
    json__close(&j, '}');
    mem_free(held.items);
}

/* ---- GET /topics/{topic} */
static const struct metadata_response_metadata_response_topic *describe(struct exchange *e, struct slice name)
{
    struct metadata_request_metadata_request_topic wanted;
    metadata_request_metadata_request_topic_init(&wanted);
    wanted.name = name;
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics = &wanted;
    body.topics_count = 1;
    body.allow_auto_topic_creation = false;
    const struct metadata_response *answer = exchange__ask(e, API_METADATA, METADATA_VERSION, &body);
    if (!answer || answer->topics_count != 1)
        return NULL;
    int16_t error = answer->topics[0].error_code;
    if (error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION)
        exchange__fail(e, 404, kafka_error_name(error), "there is no topic of that name");
    else if (!exchange__fail_kafka(e, error, SLICE_NULL))
        return &answer->topics[0];
    return NULL;
}

static void write_nodes(struct json *j, const char *key, const int32_t *nodes, int32_t count)
{
    json__open(j, key, '[');
    for (int32_t i = 0; i < count; i++)
        json__i64(j, NULL, nodes[i]);
    json__close(j, ']');
}

static int by_index(const void *a, const void *b)
{
    const struct metadata_response_metadata_response_partition *x = a, *y = b;
    return (x->partition_index > y->partition_index) - (x->partition_index < y->partition_index);
}

static void write_partition(struct json *j, const struct metadata_response_metadata_response_partition *partition,
                            const struct broker_partition *own)
{
    json__open(j, NULL, '{');
    json__i64(j, "partition", partition->partition_index);
    json__i64(j, "leader", partition->leader_id);
    json__i64(j, "leaderEpoch", partition->leader_epoch);
    write_nodes(j, "replicas", partition->replica_nodes, partition->replica_nodes_count);
    write_nodes(j, "isr", partition->isr_nodes, partition->isr_nodes_count);
    if (own) {
        json__i64(j, "startOffset", own->start_offset);
        json__i64(j, "endOffset", own->end_offset);
        json__i64(j, "highWatermark", own->high_watermark);
        json__i64(j, "lastStableOffset", own->last_stable_offset);
        json__i64(j, "sizeBytes", own->size_bytes);
        json__bool(j, "offline", own->is_offline);
    }
    json__close(j, '}');
}

static const char *source_name(int8_t source)
{
    static const char *const NAMES[] = {"unknown", "topic",  "broker",         "cluster", "server.properties",
                                        "default", "logger", "client metrics", "group"};
    return source >= 0 && (size_t)source < COUNT_OF(NAMES) ? NAMES[source] : NAMES[0];
}

static const char *type_name(int8_t type)
{
    static const char *const NAMES[] = {"unknown", "boolean", "string", "int",   "short",
                                        "long",    "double",  "list",   "class", "password"};
    return type >= 0 && (size_t)type < COUNT_OF(NAMES) ? NAMES[type] : NAMES[0];
}

static void write_config(struct json *j,
                         const struct describe_configs_response_describe_configs_resource_result *config)
{
    json__open(j, NULL, '{');
    json__text(j, "name", config->name);
    json__text(j, "value", config->is_sensitive ? SLICE_NULL : config->value);
    json__string(j, "source", source_name(config->config_source));
    json__string(j, "type", type_name(config->config_type));
    json__bool(j, "readOnly", config->read_only);
    json__bool(j, "sensitive", config->is_sensitive);
    struct slice otherwise = SLICE_NULL;
    for (int32_t i = 0; i < config->synonyms_count; i++)
        if (config->synonyms[i].source == META_SOURCE_DEFAULT)
            otherwise = config->synonyms[i].value;
    json__text(j, "default", otherwise);
    json__text(j, "documentation", config->documentation);
    json__close(j, '}');
}

bool configs__write(struct exchange *e, struct json *j, int8_t type, struct slice name)
{
    struct describe_configs_request_describe_configs_resource resource;
    describe_configs_request_describe_configs_resource_init(&resource);
    resource.resource_type = type;
    resource.resource_name = name;
    resource.configuration_keys_count = -1;
    struct describe_configs_request body;
    describe_configs_request_init(&body);
    body.resources = &resource;
    body.resources_count = 1;
    body.include_synonyms = true;
    body.include_documentation = true;
    const struct describe_configs_response *answer = asker__ask(&e->asker, API_DESCRIBE_CONFIGS, 4, &body);
    if (!answer || answer->results_count != 1)
        return false;
    json__open(j, "configs", '[');
    for (int32_t i = 0; i < answer->results[0].configs_count; i++)
        write_config(j, &answer->results[0].configs[i]);
    json__close(j, ']');
    return true;
}

void web__topic(struct exchange *e, struct slice name)
{
    const struct metadata_response_metadata_response_topic *topic = describe(e, name);
    if (!topic)
        return;
    struct held held = held_all(e, name);
    if (topic->partitions_count > 0)
        qsort(topic->partitions, (size_t)topic->partitions_count, sizeof *topic->partitions, by_index);
    char id[UUID_TEXT_SIZE];
    uuid_to_text(topic->topic_id, id);
    struct json j = exchange__json(e);
    json__open(&j, NULL, '{');
    json__i64(&j, "at", io_wall_ms());
    json__text(&j, "name", topic->name);
    json__string(&j, "id", id);
    json__bool(&j, "internal", topic->is_internal);
    write_sums(&j, held.items, held.count);
    json__open(&j, "partitions", '[');
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        struct broker_partition key = {.topic = (const char *)topic->name.data,
                                       .index = topic->partitions[i].partition_index};
        const struct broker_partition *own = NULL;
        for (int at = 0; at < held.count && !own; at++)
            own = held.items[at].index == key.index ? &held.items[at] : NULL;
        write_partition(&j, &topic->partitions[i], own);
    }
    json__close(&j, ']');
    configs__write(e, &j, META_RESOURCE_TOPIC, name);
    json__close(&j, '}');
    mem_free(held.items);
}

/* ---- changes: bodies are small JSON objects */
json_t *body__object(struct exchange *e)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)e->body.data, e->body.size, 0, &error);
    if (json_is_object(root))
        return root;
    json_decref(root);
    exchange__fail(e, 400, "INVALID", "the body must be a JSON object: %s", root ? "it is something else" : error.text);
    return NULL;
}

/* What is destroyed is named once more by who destroys it. */
bool body__confirms(struct exchange *e, const json_t *body, struct slice name)
{
    const char *text = json_string_value(json_object_get(body, "confirm"));
    if (text && slice_equal_str(name, text))
        return true;
    exchange__fail(e, 400, "CONFIRM", "\"confirm\" must be the name itself: %.*s", (int)name.size,
                   (const char *)name.data);
    return false;
}

void answer__ok(struct exchange *e)
{
    struct json j = exchange__json(e);
    json__open(&j, NULL, '{');
    json__bool(&j, "ok", true);
    json__close(&j, '}');
}

static void create(struct exchange *e, const json_t *body)
{
    struct create_topics_request_creatable_topic_config configs[CONFIGS_MAX];
    struct create_topics_request_creatable_topic topic;
    create_topics_request_creatable_topic_init(&topic);
    topic.name = slice_str(json_string_value(json_object_get(body, "name")));
    if (slice_is_null(topic.name)) {
        exchange__fail(e, 400, "INVALID", "\"name\" is missing");
        return;
    }
    const json_t *partitions = json_object_get(body, "partitions"),
                 *factor = json_object_get(body, "replicationFactor");
    topic.num_partitions = partitions ? (int32_t)json_integer_value(partitions) : -1;
    topic.replication_factor = factor ? (int16_t)json_integer_value(factor) : -1;
    topic.configs = configs;
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(body, "configs"), key, value)
    {
        if (topic.configs_count == CONFIGS_MAX || !json_is_string(value)) {
            exchange__fail(e, 400, "INVALID", "\"configs\" has texts as values, %d at most", CONFIGS_MAX);
            return;
        }
        struct create_topics_request_creatable_topic_config *config = &configs[topic.configs_count++];
        create_topics_request_creatable_topic_config_init(config);
        config->name = slice_str(key);
        config->value = slice_str(json_string_value(value));
    }
    struct create_topics_request request;
    create_topics_request_init(&request);
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = TIMEOUT_MS;
    const struct create_topics_response *answer = exchange__ask(e, API_CREATE_TOPICS, 7, &request);
    if (answer && answer->topics_count == 1 &&
        !exchange__fail_kafka(e, answer->topics[0].error_code, answer->topics[0].error_message))
        answer__ok(e);
}

void web__topic_create(struct exchange *e)
{
    json_t *body = body__object(e);
    if (body)
        create(e, body);
    json_decref(body);
}

void web__topic_delete(struct exchange *e, struct slice name)
{
    json_t *body = body__object(e);
    if (body && body__confirms(e, body, name)) {
        struct delete_topics_request request;
        delete_topics_request_init(&request);
        request.topic_names = &name;
        request.topic_names_count = 1;
        request.timeout_ms = TIMEOUT_MS;
        const struct delete_topics_response *answer = exchange__ask(e, API_DELETE_TOPICS, 5, &request);
        if (answer && answer->responses_count == 1 &&
            !exchange__fail_kafka(e, answer->responses[0].error_code, answer->responses[0].error_message))
            answer__ok(e);
    }
    json_decref(body);
}

/* {"set": {name: value}, "unset": [name]} */
static int32_t read_changes(const json_t *body, struct incremental_alter_configs_request_alterable_config *configs)
{
    enum { OPERATION_SET = 0, OPERATION_DELETE = 1 };
    int32_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(body, "set"), key, value)
    {
        if (count == CONFIGS_MAX || !json_is_string(value))
            return -1;
        incremental_alter_configs_request_alterable_config_init(&configs[count]);
        configs[count].name = slice_str(key);
        configs[count].config_operation = OPERATION_SET;
        configs[count++].value = slice_str(json_string_value(value));
    }
    size_t i;
    json_array_foreach(json_object_get(body, "unset"), i, value)
    {
        if (count == CONFIGS_MAX || !json_is_string(value))
            return -1;
        incremental_alter_configs_request_alterable_config_init(&configs[count]);
        configs[count].name = slice_str(json_string_value(value));
        configs[count].config_operation = OPERATION_DELETE;
        configs[count++].value = SLICE_NULL;
    }
    return count;
}

static void alter(struct exchange *e, const json_t *body, struct slice name)
{
    struct incremental_alter_configs_request_alterable_config configs[CONFIGS_MAX];
    struct incremental_alter_configs_request_alter_configs_resource resource;
    incremental_alter_configs_request_alter_configs_resource_init(&resource);
    resource.resource_type = META_RESOURCE_TOPIC;
    resource.resource_name = name;
    resource.configs = configs;
    resource.configs_count = read_changes(body, configs);
    if (resource.configs_count <= 0) {
        exchange__fail(e, 400, "INVALID", "\"set\" is an object of texts, \"unset\" an array of names; one is needed");
        return;
    }
    struct incremental_alter_configs_request request;
    incremental_alter_configs_request_init(&request);
    request.resources = &resource;
    request.resources_count = 1;
    request.validate_only = json_is_true(json_object_get(body, "preview"));
    const struct incremental_alter_configs_response *answer =
        exchange__ask(e, API_INCREMENTAL_ALTER_CONFIGS, 1, &request);
    if (answer && answer->responses_count == 1 &&
        !exchange__fail_kafka(e, answer->responses[0].error_code, answer->responses[0].error_message))
        answer__ok(e);
}

void web__topic_configs(struct exchange *e, struct slice name)
{
    json_t *body = body__object(e);
    if (body)
        alter(e, body, name);
    json_decref(body);
}

void web__topic_partitions(struct exchange *e, struct slice name)
{
    json_t *body = body__object(e);
    if (!body)
        return;
    struct create_partitions_request_create_partitions_topic topic;
    create_partitions_request_create_partitions_topic_init(&topic);
    topic.name = name;
    topic.count = (int32_t)json_integer_value(json_object_get(body, "count"));
    topic.assignments_count = -1;
    struct create_partitions_request request;
    create_partitions_request_init(&request);
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = TIMEOUT_MS;
    const struct create_partitions_response *answer = exchange__ask(e, API_CREATE_PARTITIONS, 3, &request);
    if (answer && answer->results_count == 1 &&
        !exchange__fail_kafka(e, answer->results[0].error_code, answer->results[0].error_message))
        answer__ok(e);
    json_decref(body);
}

/* {"partition": n, "before": offset, "confirm": name} */
void web__records_delete(struct exchange *e, struct slice name)
{
    json_t *body = body__object(e);
    if (body && body__confirms(e, body, name)) {
        struct delete_records_request_delete_records_partition partition;
        delete_records_request_delete_records_partition_init(&partition);
        partition.partition_index = (int32_t)json_integer_value(json_object_get(body, "partition"));
        const json_t *before = json_object_get(body, "before");
        partition.offset = json_is_integer(before) ? json_integer_value(before) : -1;
        struct delete_records_request_delete_records_topic topic;
        delete_records_request_delete_records_topic_init(&topic);
        topic.name = name;
        topic.partitions = &partition;
        topic.partitions_count = 1;
        struct delete_records_request request;
        delete_records_request_init(&request);
        request.topics = &topic;
        request.topics_count = 1;
        request.timeout_ms = TIMEOUT_MS;
        const struct delete_records_response *answer = exchange__ask(e, API_DELETE_RECORDS, 2, &request);
        if (answer && answer->topics_count == 1 && answer->topics[0].partitions_count == 1 &&
            !exchange__fail_kafka(e, answer->topics[0].partitions[0].error_code, SLICE_NULL))
            answer__ok(e);
    }
    json_decref(body);
}
