// SPDX-License-Identifier: Apache-2.0
/* ctrl/topics.c - CreateTopics: names, settings, partitions, in the order in which Apache Kafka complains.
 *
 *   name given twice, __cluster_metadata  ->  name rules  ->  there already  ->  collision of '.' and '_'  ->  settings
 *     ->  assignment by hand, or partition count, replication factor and placement
 *
 * A topic is its Topic record, its settings, then its partitions. Topics of one request do not see each other. An element
 * that is refused leaves nothing; what remains is one atomic batch, so a request with too many records is refused whole.
 */
#include "ctrl/ctrl__.h"

enum { PARTITIONS_MAX = 10000 }; // of one request

struct creation { // of one request
    struct ctrl *ctrl;
    const struct meta_image *image;
    const struct ctrl_allowance *allowance;
    int64_t coming; // partitions of the elements before
    struct arena *arena;
    struct ctrl__records records;
    struct ctrl__directories *directories;
    struct hash names;   // of the request
    struct hash unified; // names of existing topics, '.' as '_'; filled when first needed
    bool has_unified;
};

/* ---- names */
static bool has_collision_chars(struct slice name)
{
    return name.size > 0 && (memchr(name.data, '.', name.size) || memchr(name.data, '_', name.size));
}

static struct slice unify(struct arena *arena, struct slice name)
{
    struct slice copy = arena_copy(arena, name);
    for (size_t i = 0; copy.data && i < copy.size; i++)
        if (copy.data[i] == '.')
            ((uint8_t *)(uintptr_t)copy.data)[i] = '_';
    return copy;
}

static void unified_fill(struct creation *creation)
{
    struct meta_walk walk;
    const struct meta_topic *topic;
    meta_topics_begin(creation->image, SLICE_NULL, &walk);
    while ((topic = meta_topics_next(&walk)))
        if (has_collision_chars(topic->name))
            ctrl__name_note(&creation->unified, creation->arena, unify(creation->arena, topic->name), topic->name);
    creation->has_unified = true;
}

static bool collides(struct creation *creation, struct slice name, struct ctrl_result *result)
{
    if (!has_collision_chars(name))
        return false;
    if (!creation->has_unified)
        unified_fill(creation);
    const struct ctrl__name *other = ctrl__name_find(&creation->unified, unify(creation->arena, name));
    if (!other)
        return false;
    ctrl__refuse(result, KAFKA_INVALID_TOPIC_EXCEPTION,
                 arena_printf(creation->arena, "Topic '%.*s' collides with existing topic: %.*s", (int)name.size,
                              (const char *)name.data, (int)other->original.size, (const char *)other->original.data));
    return true;
}

static bool name_is_fine(struct creation *creation, struct slice name, struct ctrl_result *result)
{
    char message[META_MESSAGE_SIZE];
    struct arena *arena = creation->arena;
    if (ctrl__name_count(&creation->names, name) > 1)
        ctrl__refuse(result, KAFKA_INVALID_REQUEST, slice_str("Duplicate topic name."));
    else if (slice_equal_str(name, "__cluster_metadata"))
        ctrl__refuse(result, KAFKA_INVALID_REQUEST,
                     slice_str("Creation of internal topic __cluster_metadata is prohibited."));
    else if (!meta_topic_name_is_valid(name, message))
        ctrl__refuse(result, KAFKA_INVALID_TOPIC_EXCEPTION, arena_copy(arena, slice_str(message)));
    else if (meta_topic_by_name(creation->image, name))
        ctrl__refuse(result, KAFKA_TOPIC_ALREADY_EXISTS,
                     arena_printf(arena, "Topic '%.*s' already exists.", (int)name.size, (const char *)name.data));
    else
        return !collides(creation, name, result);
    return false;
}

/* ---- settings */
static bool nulls_refused(struct creation *creation, const struct ctrl_new_topic *topic, struct ctrl_result *result)
{
    struct buffer names CLEANUP(buffer_free) = {0};
    for (int32_t i = 0; i < topic->config_count; i++)
        if (slice_is_null(topic->configs[i].value))
            buffer_printf(&names, "%s%.*s", names.size > 0 ? "," : "", (int)topic->configs[i].key.size,
                          (const char *)topic->configs[i].key.data);
    if (names.size == 0)
        return false;
    ctrl__refuse(result, KAFKA_INVALID_CONFIG,
                 arena_printf(creation->arena, "Null value not supported for topic configs: %.*s", (int)names.size,
                              (const char *)names.data));
    return true;
}

static bool configs_add(struct creation *creation, const struct ctrl_new_topic *topic, struct ctrl_result *result)
{
    if (topic->config_count == 0)
        return true;
    if (nulls_refused(creation, topic, result))
        return false;
    struct ctrl_alter *alters = mem_zalloc((size_t)topic->config_count * sizeof *alters);
    for (int32_t i = 0; i < topic->config_count; i++)
        alters[i] = (struct ctrl_alter){topic->configs[i].key, topic->configs[i].value, CTRL_ALTER_SET};
    struct ctrl_alter_resource resource = {
        .type = META_RESOURCE_TOPIC, .name = topic->name, .alters = alters, .alter_count = topic->config_count};
    ctrl__configs_alter(creation->ctrl, &resource, true, creation->arena, &creation->records, result);
    mem_free(alters);
    return result->error == KAFKA_NONE;
}

/* ---- partitions by hand */
static const struct ctrl_assignment *assignment_of(const struct ctrl_new_topic *topic, int32_t partition)
{
    if (partition < topic->assignment_count && topic->assignments[partition].partition == partition)
        return &topic->assignments[partition]; // as most are given
    for (int32_t i = 0; i < topic->assignment_count; i++)
        if (topic->assignments[i].partition == partition)
            return &topic->assignments[i];
    return NULL;
}

static bool assignments_check(struct creation *creation, const struct ctrl_new_topic *topic, struct ctrl_result *result)
{
    for (int32_t i = 0; i < topic->assignment_count; i++) {
        const struct ctrl_assignment *assignment = &topic->assignments[i];
        if (assignment_of(topic, assignment->partition) != assignment) {
            ctrl__refuse(result, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                         arena_printf(creation->arena, "Found multiple manual partition assignments for partition %d",
                                      (int)assignment->partition));
            return false;
        }
        if (!ctrl__assignment_check(creation->image, assignment, i > 0 ? topic->assignments[i - 1].replica_count : -1,
                                    creation->arena, result))
            return false;
    }
    return true;
}

static void assigned_add(struct creation *creation, const struct ctrl_new_topic *topic,
                         struct ctrl_new_topic_result *result)
{
    if (topic->replication_factor != -1) {
        ctrl__refuse(
            &result->result, KAFKA_INVALID_REQUEST,
            slice_str("A manual partition assignment was specified, but replication factor was not set to -1."));
        return;
    }
    if (topic->partitions != -1) {
        ctrl__refuse(&result->result, KAFKA_INVALID_REQUEST,
                     slice_str("A manual partition assignment was specified, but numPartitions was not set to -1."));
        return;
    }
    if (!assignments_check(creation, topic, &result->result))
        return;
    for (int32_t i = 0; i < topic->assignment_count; i++) {
        const struct ctrl_assignment *assignment = assignment_of(topic, i);
        if (!assignment) {
            ctrl__refuse(&result->result, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                         slice_str("partitions should be a consecutive 0-based integer sequence"));
            return;
        }
        struct ctrl__new_partition partition = {result->id, i, assignment->replicas, assignment->replica_count};
        ctrl__partition_add(creation->image, &partition, creation->directories, &creation->records);
    }
    result->partitions = topic->assignment_count;
    result->replication_factor = (int16_t)topic->assignments[0].replica_count;
}

/* ---- partitions placed */
static int32_t partitions_of(const struct ctrl *ctrl, const struct ctrl_new_topic *topic)
{
    if (topic->assignment_count > 0)
        return topic->assignment_count;
    return topic->partitions == -1 ? (int32_t)meta_settings_i64(ctrl->settings, "num.partitions") : topic->partitions;
}

static void not_replicated(struct creation *creation, struct ctrl_result *result, int replicas, struct slice why)
{
    ctrl__refuse(result, KAFKA_INVALID_REPLICATION_FACTOR,
                 arena_printf(creation->arena, "Unable to replicate the partition %d time(s): %.*s", replicas,
                              (int)why.size, (const char *)why.data));
}

static void placed_add(struct creation *creation, int32_t count, int16_t replicas, struct ctrl_new_topic_result *result)
{
    struct slice message;
    struct ctrl__placer *placer =
        ctrl__placer_create(creation->image, replicas, &creation->ctrl->random, creation->arena, &message);
    if (!placer) {
        not_replicated(creation, &result->result, replicas, message);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        const int32_t *ids = ctrl__placer_next(placer);
        if (!ids || ctrl__active_count(creation->image, ids, replicas) == 0) {
            not_replicated(creation, &result->result, replicas,
                           slice_str("All brokers are currently fenced or in controlled shutdown."));
            return;
        }
        struct ctrl__new_partition partition = {result->id, i, ids, replicas};
        ctrl__partition_add(creation->image, &partition, creation->directories, &creation->records);
    }
    result->partitions = count;
    result->replication_factor = replicas;
}

static void counted_add(struct creation *creation, const struct ctrl_new_topic *topic,
                        struct ctrl_new_topic_result *result)
{
    const struct meta_settings *settings = creation->ctrl->settings;
    int16_t replicas = topic->replication_factor;
    if (replicas < -1 || replicas == 0) {
        ctrl__refuse(&result->result, KAFKA_INVALID_REPLICATION_FACTOR,
                     slice_str("Replication factor must be larger than 0, or -1 to use the default value."));
        return;
    }
    if (topic->partitions < -1 || topic->partitions == 0) {
        ctrl__refuse(&result->result, KAFKA_INVALID_PARTITIONS,
                     slice_str("Number of partitions was set to an invalid non-positive value."));
        return;
    }
    if (replicas == -1)
        replicas = (int16_t)meta_settings_i64(settings, "default.replication.factor");
    placed_add(creation, partitions_of(creation->ctrl, topic), replicas, result);
}

/* ---- one topic */
static void topic_add(struct creation *creation, const struct ctrl_new_topic *topic,
                      struct ctrl_new_topic_result *result)
{
    *result = (struct ctrl_new_topic_result){.id = ctrl__uuid_random()};
    int32_t before = creation->records.count;
    struct topic_record record;
    topic_record_init(&record);
    record.name = topic->name;
    record.topic_id = result->id;
    if (name_is_fine(creation, topic->name, &result->result)) {
        ctrl__records_add(&creation->records, META_TOPIC, 0, &record);
        if (configs_add(creation, topic, &result->result)) {
            if (topic->assignment_count > 0)
                assigned_add(creation, topic, result);
            else
                counted_add(creation, topic, result);
        }
    }
    ctrl__allowance_take(creation->ctrl, creation->allowance, result->partitions, &creation->coming, &result->result);
    if (result->result.error != KAFKA_NONE) {
        ctrl__records_cut(&creation->records, before);
        result->id = UUID_ZERO;
    }
}

/* ---- the request */
static void refuse_all(struct ctrl_new_topic_result *results, int32_t count, const char *message)
{
    for (int32_t i = 0; i < count; i++) {
        results[i] = (struct ctrl_new_topic_result){0};
        ctrl__refuse(&results[i].result, KAFKA_POLICY_VIOLATION, slice_str(message));
    }
}

static bool is_too_large(const struct ctrl *ctrl, const struct ctrl_new_topic *topics, int32_t count,
                         const char **ret_message)
{
    int64_t partitions = 0, configs = 0;
    for (int32_t i = 0; i < count; i++) {
        partitions += max_i64(partitions_of(ctrl, &topics[i]), 0);
        configs += topics[i].config_count;
    }
    *ret_message = partitions > PARTITIONS_MAX ? "Excessively large number of partitions per request."
                                               : "Unable to perform excessively large batch operation.";
    return partitions > PARTITIONS_MAX || configs > CTRL_RECORDS_MAX;
}

static void creation_end(struct creation *creation)
{
    hash_free(&creation->names);
    hash_free(&creation->unified);
    ctrl__records_free(&creation->records);
}

struct status ctrl_create_topics(struct ctrl *ctrl, const struct ctrl_new_topic *topics, int32_t count,
                                 bool validate_only, const struct ctrl_allowance *allowance, struct arena *arena,
                                 int64_t now_ms, struct ctrl_new_topic_result *results)
{
    const char *message;
    if (is_too_large(ctrl, topics, count, &message)) {
        refuse_all(results, count, message);
        return STATUS_OK;
    }
    struct creation creation CLEANUP(creation_end) = {
        .ctrl = ctrl, .image = meta_builder_view(ctrl->builder), .allowance = allowance, .arena = arena};
    hash_init(&creation.names);
    hash_init(&creation.unified);
    ctrl__records_init(&creation.records);
    creation.directories = ctrl__directories_create(creation.image, arena);
    for (int32_t i = 0; i < count; i++)
        ctrl__name_note(&creation.names, arena, topics[i].name, topics[i].name);
    if (arena->failed || !creation.directories)
        return STATUS(ENOMEM, "create topics: the request is too large");
    for (int32_t i = 0; i < count; i++)
        topic_add(&creation, &topics[i], &results[i]);
    if (arena->failed)
        return STATUS(ENOMEM, "create topics: the request is too large");
    if (creation.records.count > CTRL_RECORDS_MAX)
        refuse_all(results, count, "Unable to perform excessively large batch operation.");
    else if (!validate_only)
        return ctrl__commit(ctrl, &creation.records, now_ms);
    return STATUS_OK;
}
