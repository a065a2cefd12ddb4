// SPDX-License-Identifier: Apache-2.0
/* meta/apply_nodes.c - records of brokers and controllers, feature levels, and the blocks of producer ids.
 *
 * A change of a broker names the broker epoch it is meant for, and one for another registration is refused: it would mean
 * that records were lost. A change without directories leaves them (an empty list cannot be told from an absent field).
 */
#include "meta/meta__.h"
#include "wire/gen/records_metadata.h"

#include <errno.h>

static struct status too_large(struct meta_builder *builder)
{
    return builder__refuse(builder, EBADMSG, "a metadata record is too large");
}

/* Endpoints and features of both kinds of registration have the same fields. */
#define COPY_LISTS(builder, record, node)                                                                              \
    do {                                                                                                               \
        struct meta_endpoint *endpoints_ =                                                                             \
            arena_array(&(builder)->arena, (size_t)(record)->end_points_count, sizeof *endpoints_);                    \
        struct meta_feature_range *features_ =                                                                         \
            arena_array(&(builder)->arena, (size_t)(record)->features_count, sizeof *features_);                       \
        if (!endpoints_ || !features_)                                                                                 \
            return too_large(builder);                                                                                 \
        for (int32_t i = 0; i < (record)->end_points_count; i++)                                                       \
            endpoints_[i] =                                                                                            \
                (struct meta_endpoint){(record)->end_points[i].name, (record)->end_points[i].host,                     \
                                       (record)->end_points[i].port, (record)->end_points[i].security_protocol};       \
        for (int32_t i = 0; i < (record)->features_count; i++)                                                         \
            features_[i] =                                                                                             \
                (struct meta_feature_range){(record)->features[i].name, (record)->features[i].min_supported_version,   \
                                            (record)->features[i].max_supported_version};                              \
        (node)->endpoints = endpoints_;                                                                                \
        (node)->endpoint_count = (record)->end_points_count;                                                           \
        (node)->features = features_;                                                                                  \
        (node)->feature_count = (record)->features_count;                                                              \
    } while (0)

struct status apply__register_broker(struct meta_builder *builder, const void *p)
{
    const struct register_broker_record *record = p;
    struct meta_broker broker = {.id = record->broker_id,
                                 .incarnation = record->incarnation_id,
                                 .epoch = record->broker_epoch,
                                 .rack = record->rack,
                                 .fenced = record->fenced,
                                 .in_controlled_shutdown = record->in_controlled_shutdown,
                                 .is_migrating_zk = record->is_migrating_zk_broker,
                                 .directories = record->log_dirs,
                                 .directory_count = record->log_dirs_count,
                                 .cordoned = record->cordoned_log_dirs,
                                 .cordoned_count = record->cordoned_log_dirs_count};
    if (broker.id < 0)
        return builder__refuse(builder, EBADMSG, "RegisterBrokerRecord: node id %d", broker.id);
    COPY_LISTS(builder, record, &broker);
    tree__put(&builder->view.brokers, &item__copy_broker(&broker)->item, item__by_node_id);
    return STATUS_OK;
}

struct status apply__register_controller(struct meta_builder *builder, const void *p)
{
    const struct register_controller_record *record = p;
    struct meta_broker controller = {.id = record->controller_id,
                                     .incarnation = record->incarnation_id,
                                     .epoch = -1,
                                     .rack = SLICE_NULL,
                                     .is_migrating_zk = record->zk_migration_ready,
                                     .cordoned_count = -1};
    if (controller.id < 0)
        return builder__refuse(builder, EBADMSG, "RegisterControllerRecord: node id %d", controller.id);
    COPY_LISTS(builder, record, &controller);
    tree__put(&builder->view.controllers, &item__copy_broker(&controller)->item, item__by_node_id);
    return STATUS_OK;
}

/* The broker of that id and epoch, or NULL with the reason told. */
static const struct meta_broker *broker_of(struct meta_builder *builder, int32_t id, int64_t epoch)
{
    const struct meta_broker *broker = meta_broker(&builder->view, id);
    if (broker && broker->epoch == epoch)
        return broker;
    if (broker)
        builder__refuse(builder, EBADMSG, "a record about broker %d of epoch %lld meets epoch %lld", id,
                        (long long)epoch, (long long)broker->epoch);
    else
        builder__refuse(builder, EBADMSG, "a record about broker %d, which is not registered", id);
    return NULL;
}

static struct status bad(void)
{
    return STATUS(EBADMSG, "metadata record");
}

struct status apply__unregister_broker(struct meta_builder *builder, const void *p)
{
    const struct unregister_broker_record *record = p;
    const struct meta_broker *broker = broker_of(builder, record->broker_id, record->broker_epoch);
    if (!broker)
        return bad();
    struct meta_broker probe = {.id = record->broker_id};
    tree__remove(&builder->view.brokers, &probe.item, item__by_node_id);
    return STATUS_OK;
}

static void replace(struct meta_builder *builder, const struct meta_broker *next)
{
    tree__put(&builder->view.brokers, &item__copy_broker(next)->item, item__by_node_id);
}

static struct status set_fenced(struct meta_builder *builder, int32_t id, int64_t epoch, bool fenced)
{
    const struct meta_broker *broker = broker_of(builder, id, epoch);
    if (!broker)
        return bad();
    struct meta_broker next;
    item__fields_copy(&next.item, &broker->item, sizeof next);
    next.fenced = fenced;
    replace(builder, &next);
    return STATUS_OK;
}

struct status apply__fence_broker(struct meta_builder *builder, const void *p)
{
    const struct fence_broker_record *record = p;
    return set_fenced(builder, record->id, record->epoch, true);
}

struct status apply__unfence_broker(struct meta_builder *builder, const void *p)
{
    const struct unfence_broker_record *record = p;
    return set_fenced(builder, record->id, record->epoch, false);
}

struct status apply__broker_change(struct meta_builder *builder, const void *p)
{
    enum { UNFENCE = -1, NONE = 0, FENCE = 1, IN_SHUTDOWN = 1 };
    const struct broker_registration_change_record *record = p;
    const struct meta_broker *broker = broker_of(builder, record->broker_id, record->broker_epoch);
    if (!broker)
        return bad();
    if (record->fenced < UNFENCE || record->fenced > FENCE || record->in_controlled_shutdown < NONE ||
        record->in_controlled_shutdown > IN_SHUTDOWN)
        return builder__refuse(builder, EBADMSG, "BrokerRegistrationChangeRecord: fenced %d, in controlled shutdown %d",
                               record->fenced, record->in_controlled_shutdown);
    struct meta_broker next;
    item__fields_copy(&next.item, &broker->item, sizeof next);
    if (record->fenced != NONE)
        next.fenced = record->fenced == FENCE;
    if (record->in_controlled_shutdown == IN_SHUTDOWN)
        next.in_controlled_shutdown = true;
    if (record->log_dirs_count > 0) {
        next.directories = record->log_dirs;
        next.directory_count = record->log_dirs_count;
    }
    if (record->cordoned_log_dirs_count >= 0) {
        next.cordoned = record->cordoned_log_dirs;
        next.cordoned_count = record->cordoned_log_dirs_count;
    }
    replace(builder, &next);
    return STATUS_OK;
}

static const struct meta_known_feature *known(struct slice name)
{
    int count;
    const struct meta_known_feature *features = meta_known_features(&count);
    for (int i = 0; i < count; i++)
        if (slice_equal_str(name, features[i].name))
            return &features[i];
    return NULL;
}

struct status apply__feature_level(struct meta_builder *builder, const void *p)
{
    const struct feature_level_record *record = p;
    const struct meta_known_feature *feature = known(record->name);
    int16_t level = record->feature_level;
    if (!feature)
        return builder__refuse(builder, ENOTSUP, "unknown feature %.*s",
                               (int)min_i64((int64_t)record->name.size, META_TOPIC_NAME_MAX), record->name.data);
    if (level < feature->min || level > feature->max)
        return builder__refuse(builder, level < 0 ? EBADMSG : ENOTSUP, "%s %d is not between %d and %d", feature->name,
                               level, feature->min, feature->max);
    struct meta_feature next = {.name = record->name, .level = level};
    if (level > 0)
        tree__put(&builder->view.features, &item__copy_feature(&next)->item, item__by_feature);
    else if (tree__find(builder->view.features, &next.item, item__by_feature))
        tree__remove(&builder->view.features, &next.item, item__by_feature);
    builder->view.metadata_version = meta_feature_level(&builder->view, "metadata.version");
    builder->view.elr_version = meta_feature_level(&builder->view, "eligible.leader.replicas.version");
    return STATUS_OK;
}

struct status apply__producer_ids(struct meta_builder *builder, const void *p)
{
    const struct producer_ids_record *record = p;
    if (record->next_producer_id < 0 || record->next_producer_id < builder->view.next_producer_id)
        return builder__refuse(builder, EBADMSG, "ProducerIdsRecord: %lld after %lld",
                               (long long)record->next_producer_id, (long long)builder->view.next_producer_id);
    builder->view.next_producer_id = record->next_producer_id;
    builder->view.producer_ids_broker_id = record->broker_id;
    builder->view.producer_ids_broker_epoch = record->broker_epoch;
    return STATUS_OK;
}

struct status apply__zk_migration(struct meta_builder *builder, const void *p)
{
    const struct zk_migration_state_record *record = p;
    if (record->zk_migration_state < 0)
        return builder__refuse(builder, EBADMSG, "ZkMigrationStateRecord: state %d", record->zk_migration_state);
    builder->view.zk_migration_state = record->zk_migration_state;
    return STATUS_OK;
}
