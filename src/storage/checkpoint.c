// SPDX-License-Identifier: Apache-2.0
/* storage/checkpoint.c - small files that are read and replaced whole, and Kafka's checkpoint files among them.
 *
 * A file is replaced through <name>.tmp: written, synced, renamed, its directory synced; so after a crash there is the old
 * one or the new one, never half of one.
 */
#include "storage/storage__.h"

#include <stdlib.h>

enum { FILE_MAX_BYTES = 256 << 20 };

struct status file__read_all(const char *path, struct buffer *ret_bytes, bool *ret_exists)
{
    int file = io_open(path, IO_READ);
    *ret_exists = file >= 0;
    if (file == -ENOENT)
        return STATUS_OK;
    if (file < 0)
        return STATUS(-file, "open a file");
    int64_t size = io_file_size(file), got = size;
    if (size >= 0 && size <= FILE_MAX_BYTES) {
        buffer_reserve(ret_bytes, (size_t)size + 1);
        for (int64_t at = 0; at < size && got > 0; at += got) {
            got = io_pread(file, ret_bytes->data + ret_bytes->size, (size_t)(size - at), at);
            ret_bytes->size += got > 0 ? (size_t)got : 0;
        }
    }
    io_close(file);
    if (size > FILE_MAX_BYTES)
        return STATUS(EFBIG, "read a file");
    return got < 0 ? STATUS((int)-got, "read a file") : STATUS_OK;
}

struct status file__write_all(int file, const void *data, size_t size, int64_t position)
{
    const uint8_t *at = data;
    while (size > 0) {
        int64_t put = io_pwrite(file, at, size, position);
        if (put <= 0)
            return STATUS(put < 0 ? (int)-put : EIO, "write a file");
        at += put;
        size -= (size_t)put;
        position += put;
    }
    return STATUS_OK;
}

struct status file__read_exactly(int file, void *ret_data, size_t size, int64_t position)
{
    uint8_t *at = ret_data;
    while (size > 0) {
        int64_t got = io_pread(file, at, size, position);
        if (got <= 0)
            return STATUS(got < 0 ? (int)-got : EIO, "read a file");
        at += got;
        size -= (size_t)got;
        position += got;
    }
    return STATUS_OK;
}

struct status file__sync_dir_of(const char *path)
{
    char *directory = mem_strdup(path);
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = '\0';
    int error = io_sync_dir(slash ? directory : ".");
    mem_free(directory);
    return error < 0 ? STATUS(-error, "sync a directory") : STATUS_OK;
}

struct status file__replace(const char *path, const void *data, size_t size)
{
    struct buffer temporary CLEANUP(buffer_free) = {0};
    buffer_printf(&temporary, "%s.tmp", path);
    buffer_append(&temporary, "", 1);
    int file = io_open((char *)temporary.data, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    if (file < 0)
        return STATUS(-file, "make a file");
    struct status s = file__write_all(file, data, size, 0);
    if (status_is_ok(s) && io_fdatasync(file) < 0)
        s = STATUS(EIO, "sync a file");
    io_close(file);
    TRY(s);
    int error = io_rename((char *)temporary.data, path);
    if (error < 0)
        return STATUS(-error, "rename a file");
    return file__sync_dir_of(path);
}

/* A line is "topic partition offset"; topics hold no blanks. */
static bool entry_parse(char *line, struct arena *arena, struct checkpoint_entry *ret_entry)
{
    char *topic = strsep(&line, " "), *partition = strsep(&line, " "), *offset = strsep(&line, " ");
    if (!topic || !partition || !offset)
        return false;
    ret_entry->topic = arena_copy(arena, slice_str(topic));
    ret_entry->partition = (int32_t)strtol(partition, NULL, 10);
    ret_entry->offset = strtoll(offset, NULL, 10);
    return true;
}

struct status checkpoint_read(const char *path, struct arena *arena, struct checkpoint_entry **ret_entries,
                              int32_t *ret_count)
{
    struct buffer bytes CLEANUP(buffer_free) = {0};
    bool exists;
    *ret_entries = NULL;
    *ret_count = 0;
    TRY(file__read_all(path, &bytes, &exists));
    if (!exists)
        return STATUS_OK;
    buffer_append(&bytes, "", 1);
    char *at = (char *)bytes.data, *version = strsep(&at, "\n"), *count = at ? strsep(&at, "\n") : NULL;
    long expected = count ? strtol(count, NULL, 10) : -1;
    if (!version || strcmp(version, "0") != 0 || expected < 0 || (size_t)expected > bytes.size)
        return STATUS(EBADMSG, "read a checkpoint file: its head makes no sense");
    struct checkpoint_entry *entries = arena_array(arena, (size_t)expected, sizeof *entries);
    if (!entries)
        return STATUS(ENOMEM, "read a checkpoint file");
    for (long i = 0; i < expected; i++) {
        char *line = at ? strsep(&at, "\n") : NULL;
        if (!line || !entry_parse(line, arena, &entries[i]))
            return STATUS(EBADMSG, "read a checkpoint file: fewer lines than it says");
    }
    *ret_entries = entries;
    *ret_count = (int32_t)expected;
    return STATUS_OK;
}

struct status checkpoint_write(const char *path, const struct checkpoint_entry *entries, int32_t count)
{
    struct buffer bytes CLEANUP(buffer_free) = {0};
    buffer_printf(&bytes, "0\n%d\n", (int)count);
    for (int32_t i = 0; i < count; i++)
        buffer_printf(&bytes, "%.*s %d %lld\n", (int)entries[i].topic.size, (const char *)entries[i].topic.data,
                      (int)entries[i].partition, (long long)entries[i].offset);
    return file__replace(path, bytes.data, bytes.size);
}
