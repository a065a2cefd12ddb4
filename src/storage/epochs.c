// SPDX-License-Identifier: Apache-2.0
/* storage/epochs.c - which leader epoch began at which offset (leader-epoch-checkpoint, KIP-101): text lines
 * "version, count, then epoch and start offset". Saved, synced, before the first batch of an epoch is written.
 */
#include "storage/storage__.h"

#include <stdlib.h>

enum { NO_EPOCH = -1 };

static void path_of(const struct log *log, char ret_path[SEGMENT_PATH_BYTES])
{
    snprintf(ret_path, SEGMENT_PATH_BYTES, "%s/leader-epoch-checkpoint", log->directory);
}

static void add(struct log *log, int32_t epoch, int64_t start_offset)
{
    if (log->epoch_count == log->epoch_capacity) {
        log->epoch_capacity = log->epoch_capacity ? log->epoch_capacity * 2 : 4;
        log->epochs = mem_realloc(log->epochs, (size_t)log->epoch_capacity * sizeof *log->epochs);
    }
    log->epochs[log->epoch_count++] = (struct epoch_entry){epoch, start_offset};
}

/* "epoch offset" */
static bool entry_parse(const char *line, struct epoch_entry *ret_entry)
{
    char *end;
    long epoch = strtol(line, &end, 10);
    if (end == line || *end != ' ' || epoch < 0 || epoch > INT32_MAX)
        return false;
    const char *second = end + 1;
    long long start = strtoll(second, &end, 10);
    if (end == second || *end != '\0' || start < 0)
        return false;
    *ret_entry = (struct epoch_entry){(int32_t)epoch, start};
    return true;
}

struct status epochs__load(struct log *log)
{
    char path[SEGMENT_PATH_BYTES];
    path_of(log, path);
    struct buffer bytes CLEANUP(buffer_free) = {0};
    bool exists;
    TRY(file__read_all(path, &bytes, &exists));
    if (!exists)
        return STATUS_OK;
    buffer_append(&bytes, "", 1);
    char *at = (char *)bytes.data, *line;
    for (int number = 0; (line = strsep(&at, "\n")); number++) {
        struct epoch_entry entry;
        if (number < 2 || line[0] == '\0')
            continue;
        if (!entry_parse(line, &entry) ||
            (log->epoch_count > 0 && entry.epoch <= log->epochs[log->epoch_count - 1].epoch))
            return STATUS(EBADMSG, "read leader-epoch-checkpoint");
        add(log, entry.epoch, entry.start_offset);
    }
    return STATUS_OK;
}

struct status epochs__save(struct log *log)
{
    char path[SEGMENT_PATH_BYTES];
    path_of(log, path);
    struct buffer bytes CLEANUP(buffer_free) = {0};
    buffer_printf(&bytes, "0\n%d\n", log->epoch_count);
    for (int i = 0; i < log->epoch_count; i++)
        buffer_printf(&bytes, "%d %lld\n", log->epochs[i].epoch, (long long)log->epochs[i].start_offset);
    return file__replace(path, bytes.data, bytes.size);
}

/* An epoch that wrote nothing gives way to the next one at the same offset. A batch without an epoch (-1) says nothing. */
bool epochs__note(struct log *log, int32_t epoch, int64_t start_offset)
{
    if (epoch < 0)
        return false;
    io_lock_take(log->lock);
    bool is_new = log->epoch_count == 0 || log->epochs[log->epoch_count - 1].epoch < epoch;
    if (is_new) {
        while (log->epoch_count > 0 && log->epochs[log->epoch_count - 1].start_offset >= start_offset)
            log->epoch_count--;
        add(log, epoch, start_offset);
    }
    io_lock_release(log->lock);
    return is_new;
}

/* Epochs that begin at or past the end. True when something changed. */
bool epochs__truncate_end(struct log *log, int64_t end_offset)
{
    io_lock_take(log->lock);
    int before = log->epoch_count;
    while (log->epoch_count > 0 && log->epochs[log->epoch_count - 1].start_offset >= end_offset)
        log->epoch_count--;
    bool changed = log->epoch_count != before;
    io_lock_release(log->lock);
    return changed;
}

/* Epochs that ended before the start; the one that is on there now begins at the start. */
bool epochs__truncate_start(struct log *log, int64_t start_offset)
{
    io_lock_take(log->lock);
    int gone = 0;
    while (gone + 1 < log->epoch_count && log->epochs[gone + 1].start_offset <= start_offset)
        gone++;
    bool changed = gone > 0 || (log->epoch_count > 0 && log->epochs[0].start_offset < start_offset);
    if (changed) {
        log->epoch_count -= gone;
        memmove(log->epochs, log->epochs + gone, (size_t)log->epoch_count * sizeof *log->epochs);
        log->epochs[0].start_offset = max_i64(log->epochs[0].start_offset, start_offset);
    }
    io_lock_release(log->lock);
    return changed;
}

struct status log_epoch_begin(struct log *log, int32_t leader_epoch)
{
    int64_t end = log_end_offset(log);
    int32_t before = log_epoch_latest(log);
    bool before_is_empty = log_epoch_at(log, end) == before && log_epoch_at(log, end - 1) != before;
    if (!epochs__note(log, leader_epoch, end))
        return STATUS_OK;
    log->epochs_are_unsaved = !log->is_prepared;
    struct status s = log->is_prepared ? epochs__save(log) : STATUS_OK;
    if (status_is_ok(s))
        return s;
    epochs__truncate_end(log, end); // it has not begun: the next append tries again
    if (before_is_empty)
        epochs__note(log, before, end);
    return s;
}

int32_t log_epoch_latest(const struct log *log)
{
    io_lock_take(log->lock);
    int32_t epoch = log->epoch_count ? log->epochs[log->epoch_count - 1].epoch : -1;
    io_lock_release(log->lock);
    return epoch;
}

int32_t log_epoch_at(const struct log *log, int64_t offset)
{
    int32_t epoch = -1;
    io_lock_take(log->lock);
    for (int i = 0; i < log->epoch_count && log->epochs[i].start_offset <= offset; i++)
        epoch = log->epochs[i].epoch;
    io_lock_release(log->lock);
    return epoch;
}

void log_epoch_end(const struct log *log, int32_t leader_epoch, int32_t *ret_epoch, int64_t *ret_end_offset)
{
    *ret_epoch = -1;
    *ret_end_offset = -1;
    io_lock_take(log->lock);
    int above = 0; // the first epoch after the asked one
    while (above < log->epoch_count && log->epochs[above].epoch <= leader_epoch)
        above++;
    bool is_latest = above > 0 && above == log->epoch_count && log->epochs[above - 1].epoch == leader_epoch;
    if (leader_epoch != NO_EPOCH && is_latest) {
        *ret_epoch = leader_epoch;
        *ret_end_offset = log_end_offset(log);
    } else if (leader_epoch != NO_EPOCH && above < log->epoch_count) {
        *ret_epoch =
            above > 0 ? log->epochs[above - 1].epoch : leader_epoch; // before all known ones: ends where they begin
        *ret_end_offset = log->epochs[above].start_offset;
    }
    io_lock_release(log->lock);
}
