// SPDX-License-Identifier: Apache-2.0
/* ctrl/snapshot.c - snapshots of the metadata: <end offset, 20 digits>-<epoch, 10 digits>.checkpoint beside the log.
 *
 *   control batch   SnapshotHeader (timestamp of the last record in it), KRaftVersion, Voters
 *   batches         the records that give the image again
 *   control batch   SnapshotFooter
 *
 * Offsets count from 0 inside of it; all batches have the epoch of its name. The file is made as .checkpoint.part, synced
 * and renamed; one without its footer is damaged, never short. It is built in memory, as big as the file.
 */
#include "ctrl/ctrl__.h"

#include <stdlib.h>

enum {
    BATCH_RECORDS_MAX = 1024,
    BATCH_BYTES_MAX = 1 << 20,
    HEAD_BYTES = 128 << 10, // the header record is in here
};

void ctrl__snapshot_path(const char *directory, struct ctrl__snapshot_id id, char ret_path[CTRL_PATH_BYTES])
{
    snprintf(ret_path, CTRL_PATH_BYTES, "%s/%020lld-%010d.checkpoint", directory, (long long)id.end_offset,
             (int)id.epoch);
}

/* ---- which there are */
struct listing {
    const char *directory;
    struct ctrl__snapshots *snapshots;
    bool remove_unfinished;
};

void ctrl__snapshots_free(struct ctrl__snapshots *snapshots)
{
    mem_free(snapshots->ids);
    *snapshots = (struct ctrl__snapshots){0};
}

static void snapshot_note(struct ctrl__snapshots *snapshots, struct ctrl__snapshot_id id)
{
    if (snapshots->count == snapshots->capacity) {
        snapshots->capacity = snapshots->capacity ? snapshots->capacity * 2 : 8;
        snapshots->ids = mem_realloc(snapshots->ids, (size_t)snapshots->capacity * sizeof *snapshots->ids);
    }
    int at = snapshots->count++;
    for (; at > 0 && snapshots->ids[at - 1].end_offset > id.end_offset; at--)
        snapshots->ids[at] = snapshots->ids[at - 1];
    snapshots->ids[at] = id;
}

static void list_one(void *context, const char *name)
{
    struct listing *listing = context;
    char path[CTRL_PATH_BYTES], *end;
    if (strspn(name, "0123456789") != 20 || name[20] != '-' || strspn(name + 21, "0123456789") != 10)
        return;
    const char *rest = name + 31;
    size_t size = strlen(rest);
    bool is_unfinished = size > 5 && strcmp(rest + size - 5, ".part") == 0;
    if ((is_unfinished || strcmp(rest, ".checkpoint.deleted") == 0) && listing->remove_unfinished) {
        snprintf(path, sizeof path, "%s/%s", listing->directory, name);
        io_unlink(path);
    }
    if (strcmp(rest, ".checkpoint") == 0)
        snapshot_note(listing->snapshots,
                      (struct ctrl__snapshot_id){strtoll(name, &end, 10), (int32_t)strtol(name + 21, &end, 10)});
}

struct status ctrl__snapshots_list(const char *directory, bool remove_unfinished, struct ctrl__snapshots *ret_snapshots)
{
    *ret_snapshots = (struct ctrl__snapshots){0};
    struct listing listing = {directory, ret_snapshots, remove_unfinished};
    int error = io_list_dir(directory, list_one, &listing);
    if (error < 0 && error != -ENOENT)
        return STATUS(-error, "list the metadata directory");
    return STATUS_OK;
}

/* ---- writing */
struct writer {
    struct buffer bytes;
    struct record_builder batch;
    int64_t offset, now_ms;
    int32_t epoch;
};

static void batch_end(struct writer *writer, bool is_control)
{
    int32_t count = writer->batch.count;
    if (count == 0)
        return;
    struct slice batch = ctrl__batch_finish(&writer->batch, is_control, writer->offset, writer->epoch);
    buffer_append(&writer->bytes, batch.data, batch.size);
    writer->offset += count;
    record_builder_begin(&writer->batch);
}

static void record_put(void *context, struct slice record)
{
    struct writer *writer = context;
    if (writer->batch.count == BATCH_RECORDS_MAX || writer->batch.bytes.size > BATCH_BYTES_MAX)
        batch_end(writer, false);
    record_builder_add(&writer->batch, writer->now_ms, SLICE_NULL, record);
}

struct status ctrl__snapshot_write(const char *directory, struct ctrl__snapshot_id id,
                                   const struct ctrl__quorum *quorum, const struct meta_image *image,
                                   int64_t last_timestamp_ms, int64_t now_ms)
{
    char path[CTRL_PATH_BYTES];
    ctrl__snapshot_path(directory, id, path);
    struct writer writer = {.epoch = id.epoch, .now_ms = now_ms};
    record_builder_begin(&writer.batch);
    ctrl__snapshot_header_add(&writer.batch, now_ms, last_timestamp_ms);
    ctrl__quorum_add(&writer.batch, now_ms, quorum);
    batch_end(&writer, true);
    if (image)
        meta_snapshot_write(image, record_put, &writer);
    batch_end(&writer, false);
    ctrl__snapshot_footer_add(&writer.batch, now_ms);
    batch_end(&writer, true);
    struct status s = ctrl__file_replace(path, ".part", writer.bytes.data, writer.bytes.size);
    record_builder_free(&writer.batch);
    buffer_free(&writer.bytes);
    return s;
}

/* ---- the time in a header, without the rest */
struct status ctrl__snapshot_timestamp(const char *path, int64_t *ret_timestamp_ms)
{
    struct buffer head CLEANUP(buffer_free) = {0};
    bool exists;
    TRY(ctrl__file_read_head(path, HEAD_BYTES, &head, &exists));
    struct slice rest = slice_of(head.data, head.size), batch;
    struct ctrl__quorum unused = {0};
    struct record_walk walk;
    struct record record;
    if (!record_batch_next(&rest, &batch) || !record_batch_is_intact(batch))
        return STATUS(EBADMSG, "read a metadata snapshot: its header is broken");
    record_walk_begin(&walk, batch);
    struct status s = record_walk_next(&walk, &record)
                          ? ctrl__control_take(&unused, &record, ret_timestamp_ms)
                          : STATUS(EBADMSG, "read a metadata snapshot: its header is broken");
    record_walk_end(&walk);
    buffer_free(&unused.voters);
    return s;
}
