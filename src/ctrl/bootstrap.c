// SPDX-License-Identifier: Apache-2.0
/* ctrl/bootstrap.c - the first records of a cluster: bootstrap.checkpoint, as formatting leaves it in every log directory,
 * and what a controller makes of it on an empty metadata log.
 *
 *   bootstrap.checkpoint   header batch, one batch of records (feature levels, perhaps SCRAM credentials), footer batch;
 *                          offsets from 0, leader epoch 0
 *   on the log             Begin "Bootstrap records", the records, cluster-wide min.insync.replicas where eligible leader
 *                          replicas are on (KIP-966 wants it explicit), End; without Begin and End below 3.6-IV1
 */
#include "ctrl/ctrl__.h"

enum { TRANSACTIONS_SINCE = 13 }; // metadata.version 3.6-IV1

static void feature_add(struct ctrl__records *records, const struct meta_known_feature *feature)
{
    struct feature_level_record record;
    feature_level_record_init(&record);
    record.name = slice_str(feature->name);
    record.feature_level = feature->default_level;
    ctrl__records_add(records, META_FEATURE_LEVEL, 0, &record);
}

/* The next name after `after` among those that a log has levels of. */
static const struct meta_known_feature *feature_after(const char *after)
{
    int count;
    const struct meta_known_feature *features = meta_known_features(&count), *next = NULL;
    for (int i = 0; i < count; i++) {
        const struct meta_known_feature *feature = &features[i];
        bool is_other = strcmp(feature->name, "metadata.version") == 0 || strcmp(feature->name, "kraft.version") == 0;
        if (!is_other && feature->default_level > 0 && strcmp(feature->name, after) > 0 &&
            (!next || strcmp(feature->name, next->name) < 0))
            next = feature;
    }
    return next;
}

void ctrl__bootstrap_default(struct ctrl__records *records)
{
    int count;
    const struct meta_known_feature *features = meta_known_features(&count);
    assert(count > 0 && strcmp(features[0].name, "metadata.version") == 0);
    feature_add(records, &features[0]);
    for (const struct meta_known_feature *next = feature_after(""); next; next = feature_after(next->name))
        feature_add(records, next);
}

static void path_of(const char *log_dir, char ret_path[CTRL_PATH_BYTES])
{
    snprintf(ret_path, CTRL_PATH_BYTES, "%s/bootstrap.checkpoint", log_dir);
}

static void batch_put(struct buffer *bytes, struct record_builder *batch, bool is_control, int64_t *offset)
{
    int32_t count = batch->count;
    struct slice finished = ctrl__batch_finish(batch, is_control, *offset, 0);
    buffer_append(bytes, finished.data, finished.size);
    *offset += count;
}

struct status ctrl__bootstrap_write(const char *log_dir, int64_t now_ms)
{
    char path[CTRL_PATH_BYTES];
    path_of(log_dir, path);
    struct buffer bytes CLEANUP(buffer_free) = {0};
    struct record_builder batch CLEANUP(record_builder_free) = {0};
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    ctrl__bootstrap_default(&records);
    int64_t offset = 0;
    record_builder_begin(&batch);
    ctrl__snapshot_header_add(&batch, now_ms, 0);
    batch_put(&bytes, &batch, true, &offset);
    record_builder_begin(&batch);
    for (int32_t i = 0; i < records.count; i++)
        record_builder_add(&batch, now_ms, SLICE_NULL, ctrl__records_at(&records, i));
    batch_put(&bytes, &batch, false, &offset);
    record_builder_begin(&batch);
    ctrl__snapshot_footer_add(&batch, now_ms);
    batch_put(&bytes, &batch, true, &offset);
    return ctrl__file_put(path, ".tmp", bytes.data, bytes.size);
}

static bool batch_copy(struct slice batch, struct ctrl__records *records)
{
    if (!record_batch_is_intact(batch))
        return false;
    struct record_walk walk;
    struct record record;
    bool is_control = record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CONTROL;
    record_walk_begin(&walk, batch);
    while (record_walk_next(&walk, &record))
        if (!is_control)
            ctrl__records_add_encoded(records, record.value);
    bool is_sound = !walk.failed;
    record_walk_end(&walk);
    return is_sound;
}

struct status ctrl__bootstrap_read(const char *metadata_dir, struct ctrl__records *records)
{
    char path[CTRL_PATH_BYTES];
    path_of(metadata_dir, path);
    struct buffer bytes CLEANUP(buffer_free) = {0};
    bool exists;
    TRY(ctrl__file_read(path, &bytes, &exists));
    if (!exists) {
        ctrl__bootstrap_default(records);
        return STATUS_OK;
    }
    struct slice rest = slice_of(bytes.data, bytes.size), batch;
    bool is_sound = true;
    while (is_sound && record_batch_next(&rest, &batch))
        is_sound = batch_copy(batch, records);
    if (!is_sound || rest.size > 0 || records->count == 0)
        return STATUS(EBADMSG, "read bootstrap.checkpoint: it is damaged");
    return STATUS_OK;
}

/* ---- on an empty log */
static struct status apply(const struct ctrl__records *records, struct meta_builder *builder)
{
    for (int32_t i = 0; i < records->count; i++) {
        struct status s = meta_apply(builder, ctrl__records_at(records, i));
        if (!status_is_ok(s)) {
            LOG(LOG_ERROR, "ctrl", "bootstrap.checkpoint: %s", meta_builder_message(builder));
            return s;
        }
    }
    return STATUS_OK;
}

void ctrl__min_insync_add(const struct meta_image *image, const struct meta_settings *settings,
                          struct ctrl__records *records)
{
    const struct meta_configs *cluster = meta_configs(image, META_RESOURCE_BROKER, slice_str(""));
    if (!slice_is_null(meta_configs_get(cluster, slice_str("min.insync.replicas"))))
        return;
    struct config_record config;
    config_record_init(&config);
    config.resource_type = META_RESOURCE_BROKER;
    config.resource_name = slice_str("");
    config.name = slice_str("min.insync.replicas");
    config.value = slice_str(meta_settings_get(settings, "min.insync.replicas"));
    ctrl__records_add(records, META_CONFIG, 0, &config);
}

struct status ctrl__bootstrap_records(const char *metadata_dir, const struct meta_settings *settings,
                                      struct ctrl__records *records)
{
    struct ctrl__records given CLEANUP(ctrl__records_free);
    ctrl__records_init(&given);
    TRY(ctrl__bootstrap_read(metadata_dir, &given));
    struct meta_builder *builder = meta_builder_create(NULL);
    struct status s = apply(&given, builder);
    if (status_is_ok(s)) {
        const struct meta_image *image = meta_builder_view(builder);
        bool has_transactions = image->metadata_version >= TRANSACTIONS_SINCE;
        struct begin_transaction_record begin;
        struct end_transaction_record end;
        begin_transaction_record_init(&begin);
        end_transaction_record_init(&end);
        begin.name = slice_str("Bootstrap records");
        if (has_transactions)
            ctrl__records_add(records, META_BEGIN_TRANSACTION, 0, &begin);
        for (int32_t i = 0; i < given.count; i++)
            ctrl__records_add_encoded(records, ctrl__records_at(&given, i));
        if (image->elr_version > 0)
            ctrl__min_insync_add(image, settings, records);
        if (has_transactions)
            ctrl__records_add(records, META_END_TRANSACTION, 0, &end);
    }
    meta_builder_free(builder);
    return s;
}
