// SPDX-License-Identifier: Apache-2.0
/* ctrl/broker_life.c - a broker registers, is unfenced, loses a directory, stops.
 *
 *            register              unfence                shutdown
 *   (none) ------------> fenced ------------> active ---------------> in controlled shutdown, then fenced
 *
 * A new incarnation is taken out of every ISR it is still in before it is registered: it stopped without saying so. With
 * eligible leader replicas it is not even trusted to have all it acknowledged, unless the mark of its clean stop names the
 * epoch that is registered (KIP-966); the last known leader is elected all the same where nobody else is left. So each start
 * gives every partition that the node leads a new leader epoch before its first append.
 */
#include "ctrl/ctrl__.h"

enum {
    DIRECTORIES_SINCE = 17, // metadata.version 3.7-IV2
    CORDONED_SINCE = 30,    // 4.3-IV0
    FEATURES_MAX = 64,
    FENCE = 1,
    UNFENCE = -1,
};

struct ctrl__election ctrl__election_of(struct ctrl *ctrl)
{
    return (struct ctrl__election){.image = meta_builder_view(ctrl->builder),
                                   .settings = ctrl->settings,
                                   .controller_id = ctrl->node_id,
                                   .removed = -1,
                                   .added = -1,
                                   .unclean = -1,
                                   .unclean_elections = &ctrl->unclean_elections};
}

static bool has(const int32_t *items, int32_t count, int32_t id)
{
    for (int32_t i = 0; i < count; i++)
        if (items[i] == id)
            return true;
    return false;
}

static bool is_in_isr(const void *context, const struct meta_partition *partition)
{
    return has(partition->isr, partition->isr_count, *(const int32_t *)context);
}

static bool is_in_isr_or_elr(const void *context, const struct meta_partition *partition)
{
    return is_in_isr(context, partition) || has(partition->elr, partition->elr_count, *(const int32_t *)context);
}

static bool is_leaderless(const void *context, const struct meta_partition *partition)
{
    (void)context;
    return partition->leader < 0;
}

/* ---- registering */
static void take_out(struct ctrl *ctrl, const struct ctrl_registration *registration,
                     const struct meta_broker *existing, struct ctrl__records *records)
{
    struct ctrl__election election = ctrl__election_of(ctrl);
    int64_t registered_epoch = existing ? existing->epoch : -2; // never what a mark says
    bool is_trusted = election.image->elr_version == 0 || registration->previous_epoch == registered_epoch;
    if (is_trusted)
        election.removed = registration->node_id;
    else
        election.unclean = registration->node_id;
    ctrl__elect(&election, is_trusted ? is_in_isr : is_in_isr_or_elr, &registration->node_id, records);
}

static int32_t features_fill(struct register_broker_record_broker_feature features[FEATURES_MAX])
{
    int count;
    const struct meta_known_feature *known = meta_known_features(&count);
    assert(count <= FEATURES_MAX);
    for (int i = 0; i < count; i++) {
        register_broker_record_broker_feature_init(&features[i]);
        features[i].name = slice_str(known[i].name);
        features[i].min_supported_version = known[i].min;
        features[i].max_supported_version = known[i].max;
    }
    return count;
}

/* `record` says who, when and whether it is fenced; the rest is the registration's. */
static void registration_add(const struct meta_image *image, const struct ctrl_registration *registration,
                             struct register_broker_record record, struct ctrl__records *records)
{
    struct register_broker_record_broker_feature features[FEATURES_MAX];
    struct register_broker_record_broker_endpoint *endpoints =
        mem_zalloc((size_t)registration->endpoint_count * sizeof *endpoints);
    for (int32_t i = 0; i < registration->endpoint_count; i++) {
        register_broker_record_broker_endpoint_init(&endpoints[i]);
        endpoints[i].name = registration->endpoints[i].name;
        endpoints[i].host = registration->endpoints[i].host;
        endpoints[i].port = registration->endpoints[i].port;
        endpoints[i].security_protocol = registration->endpoints[i].security_protocol;
    }
    record.end_points = endpoints;
    record.end_points_count = registration->endpoint_count;
    record.features = features;
    record.features_count = features_fill(features);
    record.rack = registration->rack;
    if (image->metadata_version >= DIRECTORIES_SINCE) {
        record.log_dirs = (struct uuid *)(uintptr_t)registration->directories;
        record.log_dirs_count = registration->directory_count;
    }
    ctrl__records_add(records, META_REGISTER_BROKER, meta_record_version(META_REGISTER_BROKER, image->metadata_version),
                      &record);
    mem_free(endpoints);
}

struct status ctrl_register_broker(struct ctrl *ctrl, const struct ctrl_registration *registration, int64_t now_ms,
                                   int64_t *ret_broker_epoch)
{
    const struct meta_image *image = meta_builder_view(ctrl->builder);
    const struct meta_broker *existing = meta_broker(image, registration->node_id);
    struct ctrl__records records CLEANUP(ctrl__records_free);
    struct register_broker_record record;
    ctrl__records_init(&records);
    register_broker_record_init(&record);
    record.broker_id = registration->node_id;
    record.incarnation_id = registration->incarnation;
    record.fenced = true;
    record.broker_epoch = ctrl_end_offset(ctrl);
    if (existing && uuid_equal(existing->incarnation, registration->incarnation)) { // the same one says more
        record.fenced = existing->fenced;
        record.in_controlled_shutdown = existing->in_controlled_shutdown;
        record.broker_epoch = existing->epoch;
    } else {
        take_out(ctrl, registration, existing, &records);
    }
    registration_add(image, registration, record, &records);
    TRY(ctrl__commit(ctrl, &records, now_ms));
    *ret_broker_epoch = record.broker_epoch;
    return STATUS_OK;
}

/* ---- changes of a registration */
static void change_begin(const struct meta_broker *broker, struct broker_registration_change_record *change)
{
    broker_registration_change_record_init(change);
    change->broker_id = broker->id;
    change->broker_epoch = broker->epoch;
}

static void fencing_add(const struct meta_broker *broker, int8_t fenced, struct ctrl__records *records)
{
    struct broker_registration_change_record change;
    change_begin(broker, &change);
    change.fenced = fenced;
    ctrl__records_add(records, META_BROKER_CHANGE, 0, &change);
}

static void no_cordoned_add(const struct meta_broker *broker, struct ctrl__records *records)
{
    struct broker_registration_change_record change;
    change_begin(broker, &change);
    change.cordoned_log_dirs_count = 0;
    ctrl__records_add(records, META_BROKER_CHANGE, 3, &change);
}

struct status ctrl_unfence_broker(struct ctrl *ctrl, int32_t node_id, int64_t now_ms)
{
    struct ctrl__election election = ctrl__election_of(ctrl);
    const struct meta_broker *broker = meta_broker(election.image, node_id);
    if (!broker)
        return STATUS(ENOENT, "unfence a broker that is not registered");
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    if (broker->fenced)
        fencing_add(broker, UNFENCE, &records);
    if (election.image->metadata_version >= CORDONED_SINCE && broker->cordoned_count < 0)
        no_cordoned_add(broker, &records);
    election.added = node_id;
    ctrl__elect(&election, is_leaderless, NULL, &records);
    return ctrl__commit(ctrl, &records, now_ms);
}

static struct status shutdown_begin(struct ctrl *ctrl, const struct meta_broker *broker, int64_t now_ms)
{
    struct ctrl__election election = ctrl__election_of(ctrl);
    int32_t node_id = broker->id;
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    if (!broker->in_controlled_shutdown) {
        struct broker_registration_change_record change;
        change_begin(broker, &change);
        change.in_controlled_shutdown = 1;
        ctrl__records_add(&records, META_BROKER_CHANGE, 1, &change);
    }
    election.removed = node_id;
    ctrl__elect(&election, is_in_isr, &node_id, &records);
    return ctrl__commit(ctrl, &records, now_ms);
}

struct status ctrl_shutdown_broker(struct ctrl *ctrl, int32_t node_id, int64_t now_ms)
{
    const struct meta_broker *broker = meta_broker(meta_builder_view(ctrl->builder), node_id);
    if (!broker)
        return STATUS(ENOENT, "stop a broker that is not registered");
    TRY(shutdown_begin(ctrl, broker, now_ms));
    broker = meta_broker(meta_builder_view(ctrl->builder), node_id);
    assert(broker);
    if (broker->fenced)
        return STATUS_OK;
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    fencing_add(broker, FENCE, &records);
    return ctrl__commit(ctrl, &records, now_ms);
}

/* ---- a directory is lost */
struct loss {
    int32_t node_id;
    struct uuid directory;
};

static bool is_lost(const void *context, const struct meta_partition *partition)
{
    const struct loss *loss = context;
    return meta_partition_has_replica(partition, loss->node_id) &&
           uuid_equal(meta_partition_directory(partition, loss->node_id), loss->directory);
}

static void directories_add(const struct meta_broker *broker, struct uuid lost, struct ctrl__records *records)
{
    struct uuid *left = mem_alloc((size_t)broker->directory_count * sizeof *left);
    struct broker_registration_change_record change;
    change_begin(broker, &change);
    change.log_dirs = left;
    change.log_dirs_count = 0;
    for (int32_t i = 0; i < broker->directory_count; i++)
        if (!uuid_equal(broker->directories[i], lost))
            left[change.log_dirs_count++] = broker->directories[i];
    ctrl__records_add(records, META_BROKER_CHANGE, 2, &change);
    mem_free(left);
}

struct status ctrl_directory_offline(struct ctrl *ctrl, int32_t node_id, struct uuid directory, int64_t now_ms)
{
    struct ctrl__election election = ctrl__election_of(ctrl);
    const struct meta_broker *broker = meta_broker(election.image, node_id);
    if (!broker)
        return STATUS(ENOENT, "lose a directory of a broker that is not registered");
    bool is_known = false;
    for (int32_t i = 0; i < broker->directory_count; i++)
        is_known |= uuid_equal(broker->directories[i], directory);
    if (!is_known)
        return STATUS_OK; // lost before, or not known to this metadata.version
    struct loss loss = {node_id, directory};
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    election.removed = node_id;
    ctrl__elect(&election, is_lost, &loss, &records);
    directories_add(broker, directory, &records);
    return ctrl__commit(ctrl, &records, now_ms);
}

/* ---- a replica lies elsewhere now */
struct status ctrl_assign_directory(struct ctrl *ctrl, int32_t node_id, struct uuid topic_id, int32_t index,
                                    struct uuid directory, int64_t now_ms)
{
    const struct meta_image *image = ctrl_view(ctrl);
    const struct meta_topic *topic = meta_topic_by_id(image, topic_id);
    const struct meta_partition *partition =
        topic && index < topic->partition_count ? meta_topic_partition(topic, index) : NULL;
    if (image->metadata_version < DIRECTORIES_SINCE || !partition || !meta_partition_has_replica(partition, node_id) ||
        uuid_equal(meta_partition_directory(partition, node_id), directory))
        return STATUS_OK;
    struct uuid *places = mem_alloc((size_t)partition->replica_count * sizeof *places);
    for (int32_t i = 0; i < partition->replica_count; i++)
        places[i] =
            partition->replicas[i] == node_id ? directory : meta_partition_directory(partition, partition->replicas[i]);
    struct partition_change_record record;
    partition_change_record_init(&record);
    record.topic_id = topic_id;
    record.partition_id = index;
    record.directories = places;
    record.directories_count = partition->replica_count;
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    ctrl__records_add(&records, META_PARTITION_CHANGE,
                      meta_record_version(META_PARTITION_CHANGE, image->metadata_version), &record);
    mem_free(places);
    return ctrl__commit(ctrl, &records, now_ms);
}

/* ---- it goes for good */
struct status ctrl_unregister_broker(struct ctrl *ctrl, int32_t node_id, struct arena *arena, int64_t now_ms,
                                     struct ctrl_result *ret_result)
{
    struct ctrl__election election = ctrl__election_of(ctrl);
    const struct meta_broker *broker = meta_broker(election.image, node_id);
    *ret_result = (struct ctrl_result){0};
    if (!broker) {
        ctrl__refuse(ret_result, KAFKA_BROKER_ID_NOT_REGISTERED,
                     arena_printf(arena, "Broker ID %d is not currently registered", (int)node_id));
        return STATUS_OK;
    }
    struct ctrl__records records CLEANUP(ctrl__records_free);
    struct unregister_broker_record record;
    ctrl__records_init(&records);
    unregister_broker_record_init(&record);
    election.removed = node_id;
    ctrl__elect(&election, is_in_isr, &node_id, &records);
    record.broker_id = node_id;
    record.broker_epoch = broker->epoch;
    ctrl__records_add(&records, META_UNREGISTER_BROKER, 0, &record);
    return ctrl__commit(ctrl, &records, now_ms);
}
