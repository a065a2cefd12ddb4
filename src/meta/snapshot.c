// SPDX-License-Identifier: Apache-2.0
/* meta/snapshot.c - an image as the records that give it again, in the order of Apache Kafka's ImageWriter.
 *
 * The feature levels come first, since they say which versions may follow: each record has the version that the
 * metadata.version permits, or a later one where the image holds what the permitted one cannot carry; so nothing is lost
 * whatever the log held. Topics come before their partitions, and each list in the order of its tree.
 */
#include "meta/meta__.h"
#include "wire/gen/records_metadata.h"

struct output {
    const struct meta_image *image;
    struct wire_writer writer;
    struct arena arena; // of the record at hand
    void (*emit)(void *context, struct slice record);
    void *context;
};

enum { ARENA_BLOCK_BYTES = 16 << 10 };

static void put(struct output *out, enum meta_record_type type, int16_t version_needed, const void *record)
{
    int16_t latest = record__message(type)->version_max;
    int16_t version = out->image->metadata_version ? meta_record_version(type, out->image->metadata_version) : latest;
    if (version < version_needed)
        version = version_needed;
    wire_writer_reset(&out->writer, SIZE_MAX);
    meta_record_write(&out->writer, type, version, record);
    assert(!wire_writer_failed(&out->writer));
    out->emit(out->context, wire_writer_bytes(&out->writer));
    arena_reset(&out->arena);
}

static void *room(struct output *out, int32_t count, size_t size)
{
    void *array = arena_array(&out->arena, count > 0 ? (size_t)count : 0, size);
    assert(array != NULL); // what was in a record fits again
    return array;
}

static void put_feature(struct output *out, const struct meta_feature *feature)
{
    struct feature_level_record record;
    feature_level_record_init(&record);
    record.name = feature->name;
    record.feature_level = feature->level;
    put(out, META_FEATURE_LEVEL, 0, &record);
}

static void put_features(struct output *out)
{
    static const char first[] = "metadata.version";
    struct meta_feature probe = {.name = slice_str(first)};
    const struct meta_item *item = tree__find(out->image->features, &probe.item, item__by_feature);
    if (item)
        put_feature(out, (const void *)item);
    struct meta_walk walk;
    meta_walk_begin(out->image->features, &walk);
    for (const struct meta_feature *feature; (feature = (const void *)meta_walk_next(&walk));)
        if (!slice_equal_str(feature->name, first))
            put_feature(out, feature);
}

static void put_broker(struct output *out, const struct meta_broker *broker)
{
    struct register_broker_record record;
    register_broker_record_init(&record);
    record.broker_id = broker->id;
    record.is_migrating_zk_broker = broker->is_migrating_zk;
    record.incarnation_id = broker->incarnation;
    record.broker_epoch = broker->epoch;
    record.rack = broker->rack;
    record.fenced = broker->fenced;
    record.in_controlled_shutdown = broker->in_controlled_shutdown;
    record.log_dirs = (struct uuid *)broker->directories;
    record.log_dirs_count = broker->directory_count;
    record.cordoned_log_dirs = (struct uuid *)broker->cordoned;
    record.cordoned_log_dirs_count = broker->cordoned_count;
    record.end_points_count = broker->endpoint_count;
    record.end_points = room(out, broker->endpoint_count, sizeof *record.end_points);
    for (int32_t i = 0; i < broker->endpoint_count; i++) {
        const struct meta_endpoint *from = &broker->endpoints[i];
        record.end_points[i] = (struct register_broker_record_broker_endpoint){
            .name = from->name, .host = from->host, .port = from->port, .security_protocol = from->security_protocol};
    }
    record.features_count = broker->feature_count;
    record.features = room(out, broker->feature_count, sizeof *record.features);
    for (int32_t i = 0; i < broker->feature_count; i++) {
        const struct meta_feature_range *from = &broker->features[i];
        record.features[i] = (struct register_broker_record_broker_feature){
            .name = from->name, .min_supported_version = from->min, .max_supported_version = from->max};
    }
    int16_t needed = broker->cordoned_count >= 0   ? 4
                     : broker->directory_count > 0 ? 3
                     : broker->is_migrating_zk     ? 2
                                                   : 1;
    put(out, META_REGISTER_BROKER, needed, &record);
}

static void put_controller(struct output *out, const struct meta_broker *controller)
{
    struct register_controller_record record;
    register_controller_record_init(&record);
    record.controller_id = controller->id;
    record.incarnation_id = controller->incarnation;
    record.zk_migration_ready = controller->is_migrating_zk;
    record.end_points_count = controller->endpoint_count;
    record.end_points = room(out, controller->endpoint_count, sizeof *record.end_points);
    for (int32_t i = 0; i < controller->endpoint_count; i++) {
        const struct meta_endpoint *from = &controller->endpoints[i];
        record.end_points[i] = (struct register_controller_record_controller_endpoint){
            .name = from->name, .host = from->host, .port = from->port, .security_protocol = from->security_protocol};
    }
    record.features_count = controller->feature_count;
    record.features = room(out, controller->feature_count, sizeof *record.features);
    for (int32_t i = 0; i < controller->feature_count; i++) {
        const struct meta_feature_range *from = &controller->features[i];
        record.features[i] = (struct register_controller_record_controller_feature){
            .name = from->name, .min_supported_version = from->min, .max_supported_version = from->max};
    }
    put(out, META_REGISTER_CONTROLLER, 0, &record);
}

static void put_partition(struct output *out, const struct meta_topic *topic, int32_t index,
                          const struct meta_partition *partition)
{
    struct partition_record record;
    partition_record_init(&record);
    record.partition_id = index;
    record.topic_id = topic->id;
    record.replicas = (int32_t *)partition->replicas;
    record.replicas_count = partition->replica_count;
    record.isr = (int32_t *)partition->isr;
    record.isr_count = partition->isr_count;
    record.removing_replicas = (int32_t *)partition->removing;
    record.removing_replicas_count = partition->removing_count;
    record.adding_replicas = (int32_t *)partition->adding;
    record.adding_replicas_count = partition->adding_count;
    record.leader = partition->leader;
    record.leader_recovery_state = partition->recovery_state;
    record.leader_epoch = partition->leader_epoch;
    record.partition_epoch = partition->partition_epoch;
    int16_t needed = partition->elr_count > 0 || partition->last_known_elr_count > 0 ? 2
                     : partition->directory_count > 0                                ? 1
                                                                                     : 0;
    int16_t metadata_version = out->image->metadata_version;
    if (needed > 0 || metadata_version == 0 || meta_record_version(META_PARTITION, metadata_version) > 0) {
        record.directories = room(out, partition->replica_count, sizeof *record.directories);
        record.directories_count = partition->replica_count; // zeros where none is known
        for (int i = 0; i < partition->directory_count; i++)
            record.directories[i] = partition->directories[i];
    }
    if (partition->elr_count > 0) {
        record.eligible_leader_replicas = (int32_t *)partition->elr;
        record.eligible_leader_replicas_count = partition->elr_count;
    }
    if (partition->last_known_elr_count > 0) {
        record.last_known_elr = (int32_t *)partition->last_known_elr;
        record.last_known_elr_count = partition->last_known_elr_count;
    }
    put(out, META_PARTITION, needed, &record);
}

static void put_topic(struct output *out, const struct meta_topic *topic)
{
    struct topic_record record;
    topic_record_init(&record);
    record.name = topic->name;
    record.topic_id = topic->id;
    put(out, META_TOPIC, 0, &record);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        const struct meta_partition *partition = meta_topic_partition(topic, i);
        if (partition)
            put_partition(out, topic, i, partition);
    }
}

static void put_configs(struct output *out, const struct meta_configs *configs)
{
    for (int32_t i = 0; i < configs->entry_count; i++) {
        struct config_record record;
        config_record_init(&record);
        record.resource_type = configs->type;
        record.resource_name = configs->name;
        record.name = configs->entries[i].key;
        record.value = configs->entries[i].value;
        put(out, META_CONFIG, 0, &record);
    }
}

static void put_quota(struct output *out, const struct meta_quota *quota)
{
    struct client_quota_record record;
    client_quota_record_init(&record);
    record.entity_count = quota->part_count;
    record.entity = room(out, quota->part_count, sizeof *record.entity);
    for (int32_t i = 0; i < quota->part_count; i++)
        record.entity[i] = (struct client_quota_record_entity_data){.entity_type = quota->parts[i].type,
                                                                    .entity_name = quota->parts[i].name};
    record.key = quota->key;
    record.value = quota->value;
    put(out, META_CLIENT_QUOTA, 0, &record);
}

static void put_producer_ids(struct output *out)
{
    if (out->image->next_producer_id < 0)
        return;
    struct producer_ids_record record;
    producer_ids_record_init(&record);
    record.broker_id = out->image->producer_ids_broker_id;
    record.broker_epoch = out->image->producer_ids_broker_epoch;
    record.next_producer_id = out->image->next_producer_id;
    put(out, META_PRODUCER_IDS, 0, &record);
}

static void put_acl(struct output *out, const struct meta_acl *acl)
{
    struct access_control_entry_record record;
    access_control_entry_record_init(&record);
    record.id = acl->id;
    record.resource_type = acl->resource_type;
    record.resource_name = acl->resource_name;
    record.pattern_type = acl->pattern_type;
    record.principal = acl->principal;
    record.host = acl->host;
    record.operation = acl->operation;
    record.permission_type = acl->permission_type;
    put(out, META_ACL, 0, &record);
}

static void put_scram(struct output *out, const struct meta_scram *scram)
{
    struct user_scram_credential_record record;
    user_scram_credential_record_init(&record);
    record.name = scram->user;
    record.mechanism = scram->mechanism;
    record.salt = scram->salt;
    record.stored_key = scram->stored_key;
    record.server_key = scram->server_key;
    record.iterations = scram->iterations;
    put(out, META_SCRAM, 0, &record);
}

static void put_token(struct output *out, const struct meta_token *token)
{
    struct delegation_token_record record;
    delegation_token_record_init(&record);
    record.owner = token->owner;
    record.requester = token->requester;
    record.renewers = (struct slice *)token->renewers;
    record.renewers_count = token->renewer_count;
    record.issue_timestamp = token->issue_ms;
    record.max_timestamp = token->max_ms;
    record.expiration_timestamp = token->expiration_ms;
    record.token_id = token->token_id;
    put(out, META_DELEGATION_TOKEN, 0, &record);
}

static void put_zk_migration(struct output *out)
{
    if (out->image->zk_migration_state < 0)
        return;
    struct zk_migration_state_record record;
    zk_migration_state_record_init(&record);
    record.zk_migration_state = out->image->zk_migration_state;
    put(out, META_ZK_MIGRATION, 0, &record);
}

#define PUT_ALL(out, tree, type, function)                                                                             \
    do {                                                                                                               \
        struct meta_walk walk_;                                                                                        \
        meta_walk_begin((out)->image->tree, &walk_);                                                                   \
        for (const struct type *item_; (item_ = (const void *)meta_walk_next(&walk_));)                                \
            function(out, item_);                                                                                      \
    } while (0)

void meta_snapshot_write(const struct meta_image *image, void (*emit)(void *context, struct slice record),
                         void *context)
{
    struct output out = {.image = image, .emit = emit, .context = context};
    wire_writer_init(&out.writer, INT32_MAX);
    arena_init(&out.arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    put_features(&out);
    PUT_ALL(&out, brokers, meta_broker, put_broker);
    PUT_ALL(&out, controllers, meta_broker, put_controller);
    PUT_ALL(&out, topics_by_name, meta_topic, put_topic);
    PUT_ALL(&out, configs, meta_configs, put_configs);
    PUT_ALL(&out, quotas, meta_quota, put_quota);
    put_producer_ids(&out);
    PUT_ALL(&out, acls, meta_acl, put_acl);
    PUT_ALL(&out, scrams, meta_scram, put_scram);
    PUT_ALL(&out, tokens, meta_token, put_token);
    put_zk_migration(&out);
    arena_free(&out.arena);
    wire_writer_free(&out.writer);
}
