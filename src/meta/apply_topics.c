// SPDX-License-Identifier: Apache-2.0
/* meta/apply_topics.c - records of topics and partitions.
 *
 * A topic lies in two trees, by name and by id, and both refer to the same item; so a topic that has two references on
 * paths that only the builder has may change in place. The rules of a changed partition are those of Apache Kafka's
 * PartitionRegistration.merge: a named leader, even the same, raises the leader epoch; every change raises the partition
 * epoch.
 */
#include "meta/meta__.h"
#include "wire/gen/records_metadata.h"

#include <errno.h>

enum { LEADER_NO_CHANGE = -2, RECOVERY_NO_CHANGE = -1 };

struct status apply__topic(struct meta_builder *builder, const void *p)
{
    const struct topic_record *record = p;
    char why[META_MESSAGE_SIZE];
    if (!meta_topic_name_is_valid(record->name, why))
        return builder__refuse(builder, EBADMSG, "TopicRecord: %.200s", why);
    if (uuid_is_zero(record->topic_id) || meta_topic_by_id(&builder->view, record->topic_id))
        return builder__refuse(builder, EBADMSG, "TopicRecord: the id of %.*s is zero or taken", (int)record->name.size,
                               record->name.data);
    if (meta_topic_by_name(&builder->view, record->name))
        return builder__refuse(builder, EBADMSG, "TopicRecord: there is a topic %.*s already", (int)record->name.size,
                               record->name.data);
    struct meta_topic *topic = item__new_topic(record->name, record->topic_id);
    tree__put(&builder->view.topics_by_name, item__ref(&topic->item), item__by_name);
    tree__put(&builder->view.topics_by_id, &topic->item, item__by_id);
    builder->view.topic_count++;
    return STATUS_OK;
}

/* The topic as an item that only the builder's view has. */
static struct meta_topic *own_topic(struct meta_builder *builder, const struct meta_topic *topic)
{
    struct meta_item **by_name = tree__own(&builder->view.topics_by_name, &topic->item, item__by_name);
    struct meta_item **by_id = tree__own(&builder->view.topics_by_id, &topic->item, item__by_id);
    assert(*by_name == *by_id && *by_id == &topic->item);
    if (atomic_load_explicit(&topic->item.refs, memory_order_acquire) == 2)
        return (struct meta_topic *)(void *)*by_id;
    struct meta_topic *copy = item__copy_topic(topic);
    item__unref(*by_name);
    item__unref(*by_id);
    *by_name = item__ref(&copy->item);
    *by_id = &copy->item;
    return copy;
}

struct nodes {
    const int32_t *items;
    int32_t count; // -1: null
};

/* Leaves the list as it is for null. */
static bool set_nodes(struct nodes nodes, const int32_t **ret_items, int16_t *ret_count)
{
    if (nodes.count > META_REPLICAS_MAX)
        return false;
    if (nodes.count >= 0) {
        *ret_items = nodes.items;
        *ret_count = (int16_t)nodes.count;
    }
    return true;
}

static bool all_zero(const struct uuid *ids, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (!uuid_is_zero(ids[i]))
            return false;
    return true;
}

/* As many ids as replicas, or none at all; all unknown is none. Null leaves them. */
static bool set_directories(struct meta_partition *partition, const struct uuid *ids, int32_t count)
{
    if (count > META_REPLICAS_MAX)
        return false;
    if (count >= 0) {
        partition->directories = ids;
        partition->directory_count = (int16_t)count;
    }
    if (partition->directory_count != 0 && partition->directory_count != partition->replica_count)
        return false;
    if (all_zero(partition->directories, partition->directory_count))
        partition->directory_count = 0;
    return true;
}

static struct status no_topic(struct meta_builder *builder, const char *what, struct uuid id)
{
    char text[UUID_TEXT_SIZE];
    uuid_to_text(id, text);
    return builder__refuse(builder, EBADMSG, "%s: there is no topic of id %s", what, text);
}

struct status apply__partition(struct meta_builder *builder, const void *p)
{
    const struct partition_record *record = p;
    const struct meta_topic *topic = meta_topic_by_id(&builder->view, record->topic_id);
    if (!topic)
        return no_topic(builder, "PartitionRecord", record->topic_id);
    if (record->partition_id < 0 || record->partition_id >= META_PARTITIONS_MAX || record->leader_recovery_state < 0 ||
        record->leader_recovery_state > 1)
        return builder__refuse(builder, EBADMSG, "PartitionRecord: index %d, recovery state %d", record->partition_id,
                               record->leader_recovery_state);
    struct meta_partition next = {.leader = record->leader,
                                  .leader_epoch = record->leader_epoch,
                                  .partition_epoch = record->partition_epoch,
                                  .recovery_state = record->leader_recovery_state};
    struct nodes elr = {record->eligible_leader_replicas, record->eligible_leader_replicas_count};
    bool fits =
        set_nodes((struct nodes){record->replicas, record->replicas_count}, &next.replicas, &next.replica_count) &&
        set_nodes((struct nodes){record->isr, record->isr_count}, &next.isr, &next.isr_count) &&
        set_nodes((struct nodes){record->removing_replicas, record->removing_replicas_count}, &next.removing,
                  &next.removing_count) &&
        set_nodes((struct nodes){record->adding_replicas, record->adding_replicas_count}, &next.adding,
                  &next.adding_count) &&
        set_nodes(elr, &next.elr, &next.elr_count) &&
        set_nodes((struct nodes){record->last_known_elr, record->last_known_elr_count}, &next.last_known_elr,
                  &next.last_known_elr_count) &&
        set_directories(&next, record->directories, record->directories_count);
    if (!fits)
        return builder__refuse(builder, EBADMSG,
                               "PartitionRecord: replicas and directories of %.*s-%d do not fit together",
                               (int)topic->name.size, topic->name.data, record->partition_id);
    if (!meta_topic_partition(topic, record->partition_id))
        builder->view.partition_count++;
    chunks__set(own_topic(builder, topic), record->partition_id, partition__copy(&next));
    return STATUS_OK;
}

/* The partition after the change; false when the change does not fit it. */
static bool merge(struct meta_partition *next, const struct partition_change_record *record)
{
    if (record->leader_recovery_state < RECOVERY_NO_CHANGE || record->leader_recovery_state > 1)
        return false;
    if (record->leader_recovery_state != RECOVERY_NO_CHANGE)
        next->recovery_state = record->leader_recovery_state;
    if (record->leader != LEADER_NO_CHANGE) {
        next->leader = record->leader;
        next->leader_epoch++;
    }
    next->partition_epoch++;
    struct nodes elr = {record->eligible_leader_replicas, record->eligible_leader_replicas_count};
    return set_nodes((struct nodes){record->replicas, record->replicas_count}, &next->replicas, &next->replica_count) &&
           set_nodes((struct nodes){record->isr, record->isr_count}, &next->isr, &next->isr_count) &&
           set_nodes((struct nodes){record->removing_replicas, record->removing_replicas_count}, &next->removing,
                     &next->removing_count) &&
           set_nodes((struct nodes){record->adding_replicas, record->adding_replicas_count}, &next->adding,
                     &next->adding_count) &&
           set_nodes(elr, &next->elr, &next->elr_count) &&
           set_nodes((struct nodes){record->last_known_elr, record->last_known_elr_count}, &next->last_known_elr,
                     &next->last_known_elr_count) &&
           set_directories(next, record->directories, record->directories_count);
}

struct status apply__partition_change(struct meta_builder *builder, const void *p)
{
    const struct partition_change_record *record = p;
    const struct meta_topic *topic = meta_topic_by_id(&builder->view, record->topic_id);
    if (!topic)
        return no_topic(builder, "PartitionChangeRecord", record->topic_id);
    const struct meta_partition *before = meta_topic_partition(topic, record->partition_id);
    if (!before)
        return builder__refuse(builder, EBADMSG, "PartitionChangeRecord: there is no partition %.*s-%d",
                               (int)topic->name.size, topic->name.data, record->partition_id);
    struct meta_partition next;
    partition__fields_copy(&next, before);
    if (before->leader_epoch == INT32_MAX || before->partition_epoch == INT32_MAX || !merge(&next, record))
        return builder__refuse(builder, EBADMSG, "PartitionChangeRecord: the change does not fit %.*s-%d",
                               (int)topic->name.size, topic->name.data, record->partition_id);
    struct meta_partition *copy = partition__copy(&next);
    chunks__set(own_topic(builder, topic), record->partition_id, copy);
    return STATUS_OK;
}

static int32_t count_partitions(const struct meta_topic *topic)
{
    int32_t count = 0;
    for (int32_t i = 0; i < topic->partition_count; i++)
        count += meta_topic_partition(topic, i) != NULL;
    return count;
}

struct status apply__remove_topic(struct meta_builder *builder, const void *p)
{
    const struct remove_topic_record *record = p;
    const struct meta_topic *topic = meta_topic_by_id(&builder->view, record->topic_id);
    if (!topic)
        return no_topic(builder, "RemoveTopicRecord", record->topic_id);
    apply__remove_configs(builder, META_RESOURCE_TOPIC, topic->name);
    builder->view.topic_count--;
    builder->view.partition_count -= count_partitions(topic);
    tree__remove(&builder->view.topics_by_name, &topic->item, item__by_name);
    struct meta_topic probe = {.id = record->topic_id};
    tree__remove(&builder->view.topics_by_id, &probe.item, item__by_id);
    return STATUS_OK;
}

/* As a change that empties both lists would do it. */
static void clear_elr(struct meta_builder *builder, const struct meta_topic *topic)
{
    for (int32_t i = 0; i < topic->partition_count; i++) {
        const struct meta_partition *before = meta_topic_partition(topic, i);
        if (!before || (before->elr_count == 0 && before->last_known_elr_count == 0))
            continue;
        struct meta_partition next;
        partition__fields_copy(&next, before);
        next.elr_count = next.last_known_elr_count = 0;
        if (next.partition_epoch < INT32_MAX)
            next.partition_epoch++;
        struct meta_partition *copy = partition__copy(&next);
        topic = own_topic(builder, topic);
        chunks__set((struct meta_topic *)topic, i, copy);
    }
}

struct status apply__clear_elr(struct meta_builder *builder, const void *p)
{
    const struct clear_elr_record *record = p;
    const struct meta_topic *topic = meta_topic_by_name(&builder->view, record->topic_name);
    if (record->topic_name.size > 0 && !topic)
        return builder__refuse(builder, EBADMSG, "ClearElrRecord: there is no topic %.*s",
                               (int)min_i64((int64_t)record->topic_name.size, META_TOPIC_NAME_MAX),
                               record->topic_name.data);
    if (topic) {
        clear_elr(builder, topic);
        return STATUS_OK;
    }
    struct meta_image *all = builder__image_of_view(builder); // the names to walk while the trees change
    struct meta_walk walk;
    meta_topics_begin(all, SLICE_NULL, &walk);
    for (const struct meta_topic *each; (each = meta_topics_next(&walk));)
        clear_elr(builder, meta_topic_by_id(&builder->view, each->id));
    meta_image_unref(all);
    return STATUS_OK;
}
