// SPDX-License-Identifier: Apache-2.0
/* ctrl/partitions.c - CreatePartitions: more partitions for a topic, placed or assigned by hand, with as many replicas as
 * its first partition has. Each element stands alone; what is accepted is one atomic batch.
 */
#include "ctrl/ctrl__.h"

struct growth { // of one request
    struct ctrl *ctrl;
    const struct meta_image *image;
    const struct ctrl_allowance *allowance;
    int64_t coming; // partitions of the elements before
    struct arena *arena;
    struct ctrl__records records;
    struct ctrl__directories *directories;
    struct hash names;
};

static bool count_is_fine(struct growth *growth, const struct ctrl_more_partitions *more,
                          const struct meta_topic *topic, struct ctrl_result *result)
{
    if (more->count == topic->partition_count) {
        ctrl__refuse(result, KAFKA_INVALID_PARTITIONS,
                     arena_printf(growth->arena, "Topic already has %d partition(s).", (int)topic->partition_count));
        return false;
    }
    if (more->count < topic->partition_count) {
        ctrl__refuse(result, KAFKA_INVALID_PARTITIONS,
                     arena_printf(growth->arena,
                                  "The topic %.*s currently has %d partition(s); %d would not be an increase.",
                                  (int)more->name.size, (const char *)more->name.data, (int)topic->partition_count,
                                  (int)more->count));
        return false;
    }
    int32_t additional = more->count - topic->partition_count;
    if (more->assignments && more->assignment_count != additional) {
        ctrl__refuse(result, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                     arena_printf(growth->arena,
                                  "Attempted to add %d additional partition(s), but only %d assignment(s) were "
                                  "specified.",
                                  (int)additional, (int)more->assignment_count));
        return false;
    }
    return true;
}

static void assigned_add(struct growth *growth, const struct ctrl_more_partitions *more, const struct meta_topic *topic,
                         int32_t replicas, struct ctrl_result *result)
{
    for (int32_t i = 0; i < more->assignment_count; i++) {
        struct ctrl_assignment assignment = more->assignments[i];
        assignment.partition = topic->partition_count + i;
        if (!ctrl__assignment_check(growth->image, &assignment, replicas, growth->arena, result))
            return;
        struct ctrl__new_partition partition = {topic->id, assignment.partition, assignment.replicas, replicas};
        ctrl__partition_add(growth->image, &partition, growth->directories, &growth->records);
    }
}

static void placed_add(struct growth *growth, int32_t count, const struct meta_topic *topic, int32_t replicas,
                       struct ctrl_result *result)
{
    struct slice message;
    struct ctrl__placer *placer =
        ctrl__placer_create(growth->image, replicas, &growth->ctrl->random, growth->arena, &message);
    if (!placer) {
        ctrl__refuse(result, KAFKA_INVALID_REPLICATION_FACTOR, message);
        return;
    }
    for (int32_t i = topic->partition_count; i < count; i++) {
        const int32_t *ids = ctrl__placer_next(placer);
        if (!ids || ctrl__active_count(growth->image, ids, replicas) == 0) {
            ctrl__refuse(result, KAFKA_INVALID_REPLICATION_FACTOR,
                         arena_printf(growth->arena,
                                      "Unable to replicate the partition %d time(s): All brokers are currently fenced "
                                      "or in controlled shutdown.",
                                      (int)replicas));
            return;
        }
        struct ctrl__new_partition partition = {topic->id, i, ids, replicas};
        ctrl__partition_add(growth->image, &partition, growth->directories, &growth->records);
    }
}

static void topic_grow(struct growth *growth, const struct ctrl_more_partitions *more, struct ctrl_result *result)
{
    const struct meta_topic *topic = meta_topic_by_name(growth->image, more->name);
    int32_t before = growth->records.count;
    if (!topic) {
        ctrl__refuse(result, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, SLICE_NULL);
        return;
    }
    if (!count_is_fine(growth, more, topic, result))
        return;
    if (more->count - topic->partition_count > CTRL_RECORDS_MAX - growth->records.count) {
        ctrl__refuse(result, KAFKA_UNKNOWN_SERVER_ERROR, SLICE_NULL); // Kafka has no better name for it
        return;
    }
    const struct meta_partition *first = meta_topic_partition(topic, 0);
    assert(first && first->replica_count > 0);
    if (more->assignments)
        assigned_add(growth, more, topic, first->replica_count, result);
    else
        placed_add(growth, more->count, topic, first->replica_count, result);
    ctrl__allowance_take(growth->ctrl, growth->allowance, more->count - topic->partition_count, &growth->coming,
                         result);
    if (result->error != KAFKA_NONE)
        ctrl__records_cut(&growth->records, before);
}

static void growth_end(struct growth *growth)
{
    hash_free(&growth->names);
    ctrl__records_free(&growth->records);
}

struct status ctrl_create_partitions(struct ctrl *ctrl, const struct ctrl_more_partitions *topics, int32_t count,
                                     bool validate_only, const struct ctrl_allowance *allowance, struct arena *arena,
                                     int64_t now_ms, struct ctrl_result *results)
{
    struct growth growth CLEANUP(growth_end) = {
        .ctrl = ctrl, .image = meta_builder_view(ctrl->builder), .allowance = allowance, .arena = arena};
    hash_init(&growth.names);
    ctrl__records_init(&growth.records);
    growth.directories = ctrl__directories_create(growth.image, arena);
    for (int32_t i = 0; i < count; i++)
        ctrl__name_note(&growth.names, arena, topics[i].name, topics[i].name);
    if (arena->failed || !growth.directories)
        return STATUS(ENOMEM, "create partitions: the request is too large");
    for (int32_t i = 0; i < count; i++) {
        results[i] = (struct ctrl_result){0};
        if (ctrl__name_count(&growth.names, topics[i].name) > 1)
            ctrl__refuse(&results[i], KAFKA_INVALID_REQUEST, slice_str("Duplicate topic name."));
        else
            topic_grow(&growth, &topics[i], &results[i]);
    }
    if (arena->failed)
        return STATUS(ENOMEM, "create partitions: the request is too large");
    return validate_only ? STATUS_OK : ctrl__commit(ctrl, &growth.records, now_ms);
}
