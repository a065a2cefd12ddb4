// SPDX-License-Identifier: Apache-2.0
/* ctrl/open.c - opening the metadata and becoming its leader.
 *
 *   meta.properties -> newest snapshot -> log behind it -> the voter is us?
 *     -> quorum-state with a new epoch, synced -> LeaderChange -> on a new log the bootstrap -> RegisterController -> flushed
 *
 * Everything before quorum-state only reads, so a refused start changes nothing but what recovery of the log does. The log
 * is scanned in whole, every CRC of it, as Apache Kafka does: it is small, and everything hangs on it. The newest snapshot
 * tells what had been flushed; a log that ends before it lost data, and is refused.
 */
#include "ctrl/ctrl__.h"

enum {
    CONTROLLERS_SINCE = 15, // metadata.version 3.7-IV0 knows registrations of controllers
    FEATURES_MAX = 64,
};

static const struct uuid METADATA_TOPIC_ID = {{[15] = 1}};

static struct status properties_read(struct ctrl *ctrl, const struct ctrl_options *options)
{
    bool exists;
    TRY(dir_properties_read(options->metadata_dir, &ctrl->properties, &exists));
    if (!exists)
        return STATUS(ENOENT, "open the metadata: its directory is not formatted (no meta.properties)");
    if (ctrl->properties.node_id == options->node_id)
        return STATUS_OK;
    LOG(LOG_ERROR, "ctrl", "%s belongs to node %d, this is node %d", options->metadata_dir,
        (int)ctrl->properties.node_id, (int)options->node_id);
    return STATUS(EINVAL, "open the metadata: another node's directory");
}

static void log_config_fill(struct ctrl *ctrl)
{
    const struct meta_settings *settings = ctrl->settings;
    ctrl->log_config = (struct log_config){
        .segment_bytes = meta_settings_i64(settings, "metadata.log.segment.bytes"),
        .segment_ms = meta_settings_i64(settings, "metadata.log.segment.ms"),
        .segment_index_bytes = 10 << 20,
        .index_interval_bytes = 4096,
        .retention_ms = -1,
        .retention_bytes = -1,
        .file_delete_delay_ms = 60000,
        .producer_id_expiration_ms = INT64_MAX,
    };
}

/* ---- the log and its newest snapshot */
static struct status log_start(struct ctrl *ctrl, const struct ctrl__snapshots *snapshots, int64_t now_ms)
{
    int64_t newest = ctrl->snapshot.end_offset;
    struct log_open_options options = {
        .directory = ctrl->directory,
        .config = &ctrl->log_config,
        .is_made = true,
        .start_offset = snapshots->count > 0 ? snapshots->ids[0].end_offset : 0,
        .flushed_offset = newest,
        .now_ms = now_ms,
    };
    TRY(log_open(&options, &ctrl->log));
    if (log_end_offset(ctrl->log) >= newest && log_start_offset(ctrl->log) <= max_i64(newest, 0))
        return STATUS_OK;
    LOG(LOG_ERROR, "ctrl", "%s has offsets %lld to %lld, its newest snapshot ends at %lld: something is missing",
        ctrl->directory, (long long)log_start_offset(ctrl->log), (long long)log_end_offset(ctrl->log),
        (long long)newest);
    return STATUS(EIO, "open the metadata: log and snapshot do not meet");
}

static struct status state_load(struct ctrl *ctrl, const struct ctrl__snapshots *snapshots, int64_t now_ms)
{
    char path[CTRL_PATH_BYTES];
    ctrl->snapshot = (struct ctrl__snapshot_id){.end_offset = -1};
    if (snapshots->count > 0) {
        ctrl->snapshot = snapshots->ids[snapshots->count - 1];
        ctrl__snapshot_path(ctrl->directory, ctrl->snapshot, path);
        TRY(ctrl__replay_snapshot(path, ctrl->snapshot, ctrl->builder, &ctrl->quorum));
    }
    TRY(log_start(ctrl, snapshots, now_ms));
    ctrl->snapshot_ms = now_ms;
    return ctrl__replay_log(ctrl->log, max_i64(ctrl->snapshot.end_offset, 0), ctrl->builder, &ctrl->quorum,
                            &ctrl->bytes_since_snapshot);
}

/* ---- leading */
static struct status epoch_begin(struct ctrl *ctrl)
{
    int32_t known;
    TRY(ctrl__quorum_state_read(ctrl->directory, &known));
    known = (int32_t)max_i64(known, max_i64(log_epoch_latest(ctrl->log), ctrl->snapshot.epoch));
    ctrl->epoch = known + 1;
    return ctrl__quorum_state_write(ctrl->directory, ctrl->node_id, ctrl->epoch, ctrl->quorum.kraft_version);
}

static struct status leader_change(struct ctrl *ctrl, int64_t now_ms)
{
    record_builder_begin(&ctrl->batch);
    ctrl__leader_change_add(&ctrl->batch, now_ms, ctrl->node_id);
    if (!ctrl->quorum.voters_in_log)
        ctrl__quorum_add(&ctrl->batch, now_ms, &ctrl->quorum);
    ctrl->quorum.voters_in_log = true;
    return ctrl__append(ctrl, ctrl__batch_finish(&ctrl->batch, true, log_end_offset(ctrl->log), ctrl->epoch), now_ms);
}

static void abort_add(struct ctrl__records *records)
{
    struct abort_transaction_record record;
    abort_transaction_record_init(&record);
    record.reason = slice_str("Controller failover");
    ctrl__records_add(records, META_ABORT_TRANSACTION, 0, &record);
}

static struct status bootstrap(struct ctrl *ctrl, const char *metadata_dir, int64_t now_ms)
{
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    if (meta_builder_in_transaction(ctrl->builder)) {
        abort_add(&records);
        TRY(ctrl__commit(ctrl, &records, now_ms));
        ctrl__records_cut(&records, 0);
    }
    if (meta_builder_view(ctrl->builder)->metadata_version == 0)
        TRY(ctrl__bootstrap_records(metadata_dir, ctrl->settings, &records));
    return ctrl__commit(ctrl, &records, now_ms);
}

static struct status controller_register(struct ctrl *ctrl, int64_t now_ms)
{
    int count;
    const struct meta_known_feature *known = meta_known_features(&count);
    struct register_controller_record_controller_feature features[FEATURES_MAX];
    struct register_controller_record_controller_endpoint endpoint;
    struct register_controller_record record;
    int16_t version = meta_builder_view(ctrl->builder)->metadata_version;
    if (version < CONTROLLERS_SINCE)
        return STATUS_OK;
    assert(count <= FEATURES_MAX);
    register_controller_record_controller_endpoint_init(&endpoint);
    endpoint.name = slice_str(ctrl->controller.name);
    endpoint.host = slice_str(ctrl->controller.host);
    endpoint.port = ctrl->controller.port;
    endpoint.security_protocol = ctrl->controller.security_protocol;
    for (int i = 0; i < count; i++) {
        register_controller_record_controller_feature_init(&features[i]);
        features[i].name = slice_str(known[i].name);
        features[i].min_supported_version = known[i].min;
        features[i].max_supported_version = known[i].max;
    }
    register_controller_record_init(&record);
    record.controller_id = ctrl->node_id;
    record.incarnation_id = ctrl__uuid_random();
    record.end_points = &endpoint;
    record.end_points_count = 1;
    record.features = features;
    record.features_count = count;
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    ctrl__records_add(&records, META_REGISTER_CONTROLLER, meta_record_version(META_REGISTER_CONTROLLER, version),
                      &record);
    return ctrl__commit(ctrl, &records, now_ms);
}

static struct status lead(struct ctrl *ctrl, const struct ctrl_options *options)
{
    TRY(ctrl__quorum_check(&ctrl->quorum, ctrl->node_id, ctrl->properties.directory_id,
                           meta_settings_given(ctrl->settings, "controller.quorum.voters")));
    TRY(epoch_begin(ctrl));
    TRY(leader_change(ctrl, options->now_ms));
    TRY(bootstrap(ctrl, options->metadata_dir, options->now_ms));
    TRY(controller_register(ctrl, options->now_ms));
    return ctrl_flush(ctrl);
}

/* ---- opening */
static struct ctrl *make(const struct ctrl_options *options)
{
    struct ctrl *ctrl = mem_zalloc(sizeof *ctrl);
    struct buffer directory = {0};
    uint64_t seed;
    io_random(&seed, sizeof seed);
    random_seed(&ctrl->random, seed);
    buffer_printf(&directory, "%s/__cluster_metadata-0", options->metadata_dir);
    buffer_append(&directory, "", 1);
    ctrl->directory = (char *)directory.data;
    ctrl->node_id = options->node_id;
    ctrl->listener_name = mem_strdup(options->controller.name);
    ctrl->listener_host = mem_strdup(options->controller.host);
    ctrl->controller = options->controller;
    ctrl->controller.name = ctrl->listener_name;
    ctrl->controller.host = ctrl->listener_host;
    ctrl->settings = options->settings;
    ctrl->builder = meta_builder_create(NULL);
    ctrl->trim_ms = options->now_ms;
    log_config_fill(ctrl);
    return ctrl;
}

static struct status start(struct ctrl *ctrl, const struct ctrl_options *options)
{
    TRY(properties_read(ctrl, options));
    TRY(dir_partition_create(options->metadata_dir, "__cluster_metadata", 0, METADATA_TOPIC_ID));
    struct ctrl__snapshots snapshots CLEANUP(ctrl__snapshots_free);
    TRY(ctrl__snapshots_list(ctrl->directory, true, &snapshots));
    TRY(state_load(ctrl, &snapshots, options->now_ms));
    return lead(ctrl, options);
}

struct status ctrl_open(const struct ctrl_options *options, struct ctrl **ret_ctrl)
{
    struct ctrl *ctrl = make(options);
    struct status s = start(ctrl, options);
    if (!status_is_ok(s)) {
        LOG(LOG_ERROR, "ctrl", "%s is not opened: %s: %s", ctrl->directory, s.what, strerror(s.error));
        ctrl_free(ctrl);
        return s;
    }
    *ret_ctrl = ctrl;
    return STATUS_OK;
}
