// SPDX-License-Identifier: Apache-2.0
/* ctrl/commit.c - from records to the log: append, flush, snapshot, trim, close.
 *
 * Records are applied before they are appended, so nothing ever lies in the log that cannot be replayed; a record of ours
 * that does not apply is a bug. What was appended is not to be shown until ctrl_flush: a power cut takes back whole batches
 * from the end. After a failed append or flush the log is offline for good, and every further call fails.
 */
#include "ctrl/ctrl__.h"

enum { TRIM_INTERVAL_MS = 60000 };

static struct status failed(struct ctrl *ctrl, struct status why)
{
    ctrl->has_failed = true;
    LOG(LOG_ERROR, "ctrl", "the metadata log failed: %s: %s", why.what, strerror(why.error));
    return why;
}

static struct status check(const struct ctrl *ctrl)
{
    return ctrl->has_failed ? STATUS(EIO, "use the metadata log after it failed") : STATUS_OK;
}

/* ---- appending */
struct status ctrl__append(struct ctrl *ctrl, struct slice batch, int64_t now_ms)
{
    assert(record_batch_base_offset(batch.data) == log_end_offset(ctrl->log));
    assert(record_batch_leader_epoch(batch.data) == ctrl->epoch);
    struct status s = STATUS_OK;
    if (log_roll_is_due(ctrl->log, (uint32_t)batch.size, record_batch_max_timestamp(batch.data), now_ms))
        s = log_roll(ctrl->log);
    if (status_is_ok(s))
        s = log_append_as_is(ctrl->log, batch, now_ms);
    if (!status_is_ok(s))
        return failed(ctrl, s);
    ctrl->is_dirty = true;
    ctrl->bytes_since_snapshot += (int64_t)batch.size;
    meta_builder_position(ctrl->builder, log_end_offset(ctrl->log) - 1, ctrl->epoch, now_ms);
    return STATUS_OK;
}

static void apply(struct ctrl *ctrl, struct slice record)
{
    struct status s = meta_apply(ctrl->builder, record);
    if (!status_is_ok(s))
        LOG(LOG_ERROR, "ctrl", "a record of our own: %s", meta_builder_message(ctrl->builder));
    assert(status_is_ok(s));
}

static struct status commit_some(struct ctrl *ctrl, const struct ctrl__records *records, int32_t first, int32_t end,
                                 int64_t now_ms)
{
    record_builder_begin(&ctrl->batch);
    for (int32_t i = first; i < end; i++) {
        struct slice record = ctrl__records_at(records, i);
        apply(ctrl, record);
        record_builder_add(&ctrl->batch, now_ms, SLICE_NULL, record);
    }
    return ctrl__append(ctrl, ctrl__batch_finish(&ctrl->batch, false, log_end_offset(ctrl->log), ctrl->epoch), now_ms);
}

struct status ctrl__commit(struct ctrl *ctrl, const struct ctrl__records *records, int64_t now_ms)
{
    TRY(check(ctrl));
    for (int32_t first = 0; first < records->count; first += CTRL_RECORDS_MAX)
        TRY(commit_some(ctrl, records, first, (int32_t)min_i64(records->count, (int64_t)first + CTRL_RECORDS_MAX),
                        now_ms));
    return STATUS_OK;
}

struct status ctrl_flush(struct ctrl *ctrl)
{
    TRY(check(ctrl));
    if (!ctrl->is_dirty)
        return STATUS_OK;
    int64_t flushed;
    struct status s = log_flush(ctrl->log, &flushed);
    if (!status_is_ok(s))
        return failed(ctrl, s);
    assert(flushed == log_end_offset(ctrl->log));
    ctrl->is_dirty = false;
    return STATUS_OK;
}

/* ---- snapshots */
struct status ctrl_snapshot(struct ctrl *ctrl, int64_t now_ms)
{
    TRY(ctrl_flush(ctrl));
    assert(!meta_builder_in_transaction(ctrl->builder));
    const struct meta_image *image = meta_builder_view(ctrl->builder);
    struct ctrl__snapshot_id id = {log_end_offset(ctrl->log), image->epoch};
    assert(image->offset == id.end_offset - 1);
    if (id.end_offset == ctrl->snapshot.end_offset)
        return STATUS_OK;
    TRY(ctrl__snapshot_write(ctrl->directory, id, &ctrl->quorum, image, image->timestamp_ms, now_ms));
    ctrl->snapshot = id;
    ctrl->snapshot_ms = now_ms;
    ctrl->bytes_since_snapshot = 0;
    return STATUS_OK;
}

static bool snapshot_is_due(const struct ctrl *ctrl, int64_t now_ms)
{
    int64_t bytes_max = meta_settings_i64(ctrl->settings, "metadata.log.max.record.bytes.between.snapshots");
    int64_t interval_ms = meta_settings_i64(ctrl->settings, "metadata.log.max.snapshot.interval.ms");
    if (ctrl->bytes_since_snapshot == 0)
        return false;
    return ctrl->bytes_since_snapshot >= bytes_max || (interval_ms > 0 && now_ms - ctrl->snapshot_ms >= interval_ms);
}

/* ---- trimming: the oldest snapshot goes, and the log before the next one with it */
static struct status kept_bytes(const struct ctrl *ctrl, const struct ctrl__snapshots *snapshots, int first,
                                int64_t *ret_bytes)
{
    char path[CTRL_PATH_BYTES];
    struct io_stat stat;
    *ret_bytes = log_size_bytes(ctrl->log);
    for (int i = first; i < snapshots->count; i++) {
        ctrl__snapshot_path(ctrl->directory, snapshots->ids[i], path);
        int error = io_stat(path, &stat);
        if (error < 0)
            return STATUS(-error, "look at a metadata snapshot");
        *ret_bytes += stat.size_bytes;
    }
    return STATUS_OK;
}

static struct status may_go(const struct ctrl *ctrl, const struct ctrl__snapshots *snapshots, int at, int64_t now_ms,
                            bool *ret_may_go)
{
    char path[CTRL_PATH_BYTES];
    int64_t retention_bytes = meta_settings_i64(ctrl->settings, "metadata.max.retention.bytes");
    int64_t retention_ms = meta_settings_i64(ctrl->settings, "metadata.max.retention.ms"), bytes, timestamp_ms = -1;
    *ret_may_go = false;
    if (at + 1 >= snapshots->count)
        return STATUS_OK; // the last one stays
    TRY(kept_bytes(ctrl, snapshots, at, &bytes));
    *ret_may_go = retention_bytes >= 0 && bytes > retention_bytes;
    if (*ret_may_go || retention_ms < 0)
        return STATUS_OK;
    ctrl__snapshot_path(ctrl->directory, snapshots->ids[at], path);
    TRY(ctrl__snapshot_timestamp(path, &timestamp_ms));
    *ret_may_go = now_ms - timestamp_ms > retention_ms;
    return STATUS_OK;
}

static struct status snapshot_drop(struct ctrl *ctrl, const struct ctrl__snapshots *snapshots, int at, int64_t now_ms)
{
    char path[CTRL_PATH_BYTES];
    ctrl__snapshot_path(ctrl->directory, snapshots->ids[at], path);
    TRY(log_start_offset_set(ctrl->log, snapshots->ids[at + 1].end_offset));
    TRY(log_retain(ctrl->log, log_flushed_offset(ctrl->log), now_ms));
    int error = io_unlink(path);
    return error < 0 ? STATUS(-error, "delete a metadata snapshot") : STATUS_OK;
}

static struct status trim(struct ctrl *ctrl, int64_t now_ms)
{
    struct ctrl__snapshots snapshots CLEANUP(ctrl__snapshots_free);
    bool goes = true;
    TRY(ctrl__snapshots_list(ctrl->directory, false, &snapshots));
    for (int at = 0; goes; at++) {
        TRY(may_go(ctrl, &snapshots, at, now_ms, &goes));
        if (goes)
            TRY(snapshot_drop(ctrl, &snapshots, at, now_ms));
    }
    return log_retain(ctrl->log, log_flushed_offset(ctrl->log), now_ms); // what waits for its deletion
}

struct status ctrl_maintain(struct ctrl *ctrl, int64_t now_ms)
{
    TRY(check(ctrl));
    bool wrote = snapshot_is_due(ctrl, now_ms);
    if (wrote)
        TRY(ctrl_snapshot(ctrl, now_ms));
    if (!wrote && now_ms - ctrl->trim_ms < TRIM_INTERVAL_MS && now_ms >= ctrl->trim_ms)
        return STATUS_OK;
    ctrl->trim_ms = now_ms;
    return trim(ctrl, now_ms);
}

/* ---- closing */
struct status ctrl_close(struct ctrl *ctrl)
{
    TRY(ctrl_flush(ctrl));
    struct status s = log_close_clean(ctrl->log);
    return status_is_ok(s) ? s : failed(ctrl, s);
}

void ctrl_free(struct ctrl *ctrl)
{
    if (!ctrl)
        return;
    log_free(ctrl->log);
    meta_builder_free(ctrl->builder);
    buffer_free(&ctrl->quorum.voters);
    record_builder_free(&ctrl->batch);
    mem_free(ctrl->directory);
    mem_free(ctrl->listener_name);
    mem_free(ctrl->listener_host);
    mem_free(ctrl);
}

/* ---- looking */
void ctrl_settings_set(struct ctrl *ctrl, const struct meta_settings *settings)
{
    ctrl->settings = settings;
}

const struct meta_image *ctrl_view(const struct ctrl *ctrl)
{
    return meta_builder_view(ctrl->builder);
}

struct meta_image *ctrl_image(struct ctrl *ctrl)
{
    return meta_builder_image(ctrl->builder);
}

int16_t ctrl_kraft_version(const struct ctrl *ctrl)
{
    return ctrl->quorum.kraft_version;
}

int32_t ctrl_leader_epoch(const struct ctrl *ctrl)
{
    return ctrl->epoch;
}

int64_t ctrl_end_offset(const struct ctrl *ctrl)
{
    return log_end_offset(ctrl->log);
}

const char *ctrl_cluster_id(const struct ctrl *ctrl)
{
    return ctrl->properties.cluster_id;
}

bool ctrl_is_dirty(const struct ctrl *ctrl)
{
    return ctrl->is_dirty;
}
