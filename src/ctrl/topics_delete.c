// SPDX-License-Identifier: Apache-2.0
/* ctrl/topics_delete.c - DeleteTopics, by name or by id (KIP-516): one RemoveTopic record each; settings and partitions go
 * with it. What is named twice, in whatever way, is deleted not at all, as Apache Kafka answers it.
 */
#include "ctrl/ctrl__.h"

struct target {
    struct hash_node by_id;
    const struct meta_topic *topic;
    int32_t first; // element that named it
};

static struct target *target_find(const struct hash *targets, const struct meta_topic *topic)
{
    uint64_t hash = hash_bytes(slice_of(topic->id.bytes, sizeof topic->id.bytes));
    for (struct hash_node *node = hash_first(targets, hash); node; node = hash_next(node)) {
        struct target *target = CONTAINER_OF(node, struct target, by_id);
        if (target->topic == topic)
            return target;
    }
    return NULL;
}

static const struct meta_topic *resolve(const struct meta_image *image, struct ctrl_topic_ref *ref,
                                        struct ctrl_result *result)
{
    const struct meta_topic *topic = NULL;
    if (!slice_is_null(ref->name) && !uuid_is_zero(ref->id))
        ctrl__refuse(result, KAFKA_INVALID_REQUEST, slice_str("You may not specify both topic name and topic id."));
    else if (slice_is_null(ref->name) && uuid_is_zero(ref->id))
        ctrl__refuse(result, KAFKA_INVALID_REQUEST, slice_str("Neither topic name nor id were specified."));
    else if (slice_is_null(ref->name) && !(topic = meta_topic_by_id(image, ref->id)))
        ctrl__refuse(result, KAFKA_UNKNOWN_TOPIC_ID, slice_str("This server does not host this topic ID."));
    else if (!slice_is_null(ref->name) && ref->name.size == 0)
        ctrl__refuse(result, KAFKA_INVALID_REQUEST, slice_str("Invalid null topic name."));
    else if (!topic && !(topic = meta_topic_by_name(image, ref->name)))
        ctrl__refuse(result, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                     slice_str("This server does not host this topic-partition."));
    return topic;
}

static struct slice twice(const struct ctrl_topic_ref *first, const struct ctrl_topic_ref *second)
{
    if (slice_is_null(first->name) != slice_is_null(second->name))
        return slice_str("The provided topic name maps to an ID that was already supplied.");
    return slice_str(slice_is_null(first->name) ? "Duplicate topic id." : "Duplicate topic name.");
}

static void note(struct hash *targets, const struct meta_topic *topic, int32_t index, struct ctrl_topic_ref *refs,
                 struct arena *arena, struct ctrl_result *results)
{
    struct target *target = target_find(targets, topic);
    if (target) {
        struct slice message = twice(&refs[target->first], &refs[index]);
        ctrl__refuse(&results[target->first], KAFKA_INVALID_REQUEST, message);
        ctrl__refuse(&results[index], KAFKA_INVALID_REQUEST, message);
    } else if ((target = arena_zalloc(arena, sizeof *target))) {
        target->topic = topic;
        target->first = index;
        hash_insert(targets, &target->by_id, hash_bytes(slice_of(topic->id.bytes, sizeof topic->id.bytes)));
    }
}

static void records_fill(const struct hash *targets, struct ctrl_topic_ref *refs, struct arena *arena,
                         const struct ctrl_result *results, struct ctrl__records *records)
{
    struct remove_topic_record record;
    remove_topic_record_init(&record);
    for (struct hash_node *node = hash_iterate(targets, NULL); node; node = hash_iterate(targets, node)) {
        const struct target *target = CONTAINER_OF(node, struct target, by_id);
        if (results[target->first].error != KAFKA_NONE)
            continue;
        record.topic_id = target->topic->id;
        ctrl__records_add(records, META_REMOVE_TOPIC, 0, &record);
        refs[target->first].id = target->topic->id;
        refs[target->first].name = arena_copy(arena, target->topic->name); // the image moves on
    }
}

struct status ctrl_delete_topics(struct ctrl *ctrl, struct ctrl_topic_ref *topics, int32_t count, struct arena *arena,
                                 int64_t now_ms, struct ctrl_result *results)
{
    const struct meta_image *image = meta_builder_view(ctrl->builder);
    struct hash targets CLEANUP(hash_free);
    struct ctrl__records records CLEANUP(ctrl__records_free);
    hash_init(&targets);
    ctrl__records_init(&records);
    for (int32_t i = 0; i < count; i++) {
        results[i] = (struct ctrl_result){0};
        const struct meta_topic *topic = resolve(image, &topics[i], &results[i]);
        if (topic)
            note(&targets, topic, i, topics, arena, results);
    }
    records_fill(&targets, topics, arena, results, &records);
    if (arena->failed)
        return STATUS(ENOMEM, "delete topics: the request is too large");
    return ctrl__commit(ctrl, &records, now_ms);
}
