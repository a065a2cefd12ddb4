// SPDX-License-Identifier: Apache-2.0
/* ctrl/replay.c - from files to the image: a snapshot, then the log behind it, record by record through meta_apply.
 *
 * What cannot be applied stops the start, with the offset and the reason in a log line: guessing at the cluster's state
 * would be worse than not starting. Nothing is changed by reading.
 */
#include "ctrl/ctrl__.h"

enum { READ_BYTES = 1 << 20 };

static struct status record_take(struct ctrl__replay *replay, const struct record *record, bool is_control)
{
    if (is_control)
        return ctrl__control_take(replay->quorum, record, &replay->timestamp_ms);
    struct status s = meta_apply(replay->builder, record->value);
    if (!status_is_ok(s))
        LOG(LOG_ERROR, "ctrl", "the metadata record at offset %lld cannot be taken in: %s", (long long)record->offset,
            meta_builder_message(replay->builder));
    return s;
}

struct status ctrl__replay_batch(struct ctrl__replay *replay, struct slice batch)
{
    if (!record_batch_is_intact(batch))
        return STATUS(EBADMSG, "read metadata: a batch is corrupt");
    bool is_control = record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CONTROL;
    struct status s = STATUS_OK;
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, batch);
    while (status_is_ok(s) && record_walk_next(&walk, &record)) {
        s = record_take(replay, &record, is_control);
        replay->has_footer = is_control && record.key.size == 4 && record.key.data[3] == 4;
    }
    if (status_is_ok(s) && walk.failed)
        s = STATUS(EBADMSG, "read metadata: a batch holds fewer records than it says");
    record_walk_end(&walk);
    return s;
}

/* ---- a snapshot */
static struct status snapshot_replay(struct slice rest, struct ctrl__replay *replay)
{
    struct slice batch;
    while (record_batch_next(&rest, &batch))
        TRY(ctrl__replay_batch(replay, batch));
    if (rest.size > 0 || !replay->has_footer)
        return STATUS(EBADMSG, "read a metadata snapshot: its end is missing");
    return STATUS_OK;
}

struct status ctrl__replay_snapshot(const char *path, struct ctrl__snapshot_id id, struct meta_builder *builder,
                                    struct ctrl__quorum *quorum)
{
    struct buffer bytes CLEANUP(buffer_free) = {0};
    bool exists;
    TRY(ctrl__file_read(path, &bytes, &exists));
    if (!exists)
        return STATUS(ENOENT, "read a metadata snapshot");
    struct ctrl__replay replay = {.builder = builder, .quorum = quorum, .timestamp_ms = -1};
    struct status s = snapshot_replay(slice_of(bytes.data, bytes.size), &replay);
    if (!status_is_ok(s)) {
        LOG(LOG_ERROR, "ctrl", "%s: %s", path, s.what);
        return s;
    }
    meta_builder_position(builder, id.end_offset - 1, id.epoch, replay.timestamp_ms);
    quorum->voters_in_log &= id.end_offset > 0;
    return STATUS_OK;
}

/* ---- the log */
static struct status piece_replay(const struct log_slice *piece, struct buffer *bytes, struct ctrl__replay *replay)
{
    bytes->size = 0;
    buffer_reserve(bytes, piece->size_bytes);
    while (bytes->size < piece->size_bytes) {
        int64_t got = io_pread(piece->file, bytes->data + bytes->size, piece->size_bytes - bytes->size,
                               piece->position + (int64_t)bytes->size);
        if (got <= 0)
            return STATUS(got < 0 ? (int)-got : EIO, "read the metadata log");
        bytes->size += (size_t)got;
    }
    struct slice rest = slice_of(bytes->data, bytes->size), batch;
    while (record_batch_next(&rest, &batch)) {
        TRY(ctrl__replay_batch(replay, batch));
        meta_builder_position(replay->builder, record_batch_next_offset(batch.data) - 1,
                              record_batch_leader_epoch(batch.data), record_batch_max_timestamp(batch.data));
    }
    return rest.size == 0 ? STATUS_OK : STATUS(EBADMSG, "read the metadata log: half a batch");
}

struct status ctrl__replay_log(struct log *log, int64_t from_offset, struct meta_builder *builder,
                               struct ctrl__quorum *quorum, int64_t *ret_size_bytes)
{
    *ret_size_bytes = 0;
    struct buffer bytes CLEANUP(buffer_free) = {0};
    struct ctrl__replay replay = {.builder = builder, .quorum = quorum};
    int64_t end = log_end_offset(log);
    for (int64_t offset = from_offset; offset < end;) {
        struct log_slice piece;
        if (log_read(log, offset, end, READ_BYTES, true, &piece) != LOG_READ_OK || !piece.segment)
            return STATUS(EIO, "read the metadata log");
        struct status s = piece.base_offset < offset
                              ? STATUS(EBADMSG, "read the metadata log: a snapshot ends inside a batch")
                              : piece_replay(&piece, &bytes, &replay);
        offset = piece.next_offset;
        *ret_size_bytes += piece.size_bytes;
        log_slice_release(&piece);
        TRY(s);
    }
    return STATUS_OK;
}
