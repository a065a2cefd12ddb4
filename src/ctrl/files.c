// SPDX-License-Identifier: Apache-2.0
/* ctrl/files.c - small files read and replaced whole, and directories made with their parents.
 *
 * A file is replaced through another name: written, synced, renamed, its directory synced; after a crash there is the old
 * one or the new one.
 */
#include "ctrl/ctrl__.h"

enum { FILE_MAX_BYTES = 1 << 30 };

/* The first `size` bytes. */
static struct status read_whole(int file, int64_t size, struct buffer *ret_bytes)
{
    buffer_reserve(ret_bytes, (size_t)size + 1);
    for (int64_t at = 0; at < size;) {
        int64_t got = io_pread(file, ret_bytes->data + ret_bytes->size, (size_t)(size - at), at);
        if (got <= 0)
            return STATUS(got < 0 ? (int)-got : EIO, "read a file");
        at += got;
        ret_bytes->size += (size_t)got;
    }
    return STATUS_OK;
}

struct status ctrl__file_read_head(const char *path, int64_t size_max, struct buffer *ret_bytes, bool *ret_exists)
{
    int file = io_open(path, IO_READ);
    *ret_exists = file >= 0;
    if (file == -ENOENT)
        return STATUS_OK;
    if (file < 0)
        return STATUS(-file, "open a file");
    int64_t size = io_file_size(file);
    struct status s = size < 0                ? STATUS((int)-size, "read a file")
                      : size > FILE_MAX_BYTES ? STATUS(EFBIG, "read a file")
                                              : read_whole(file, min_i64(size, size_max), ret_bytes);
    io_close(file);
    return s;
}

struct status ctrl__file_read(const char *path, struct buffer *ret_bytes, bool *ret_exists)
{
    return ctrl__file_read_head(path, FILE_MAX_BYTES, ret_bytes, ret_exists);
}

static struct status write_whole(int file, const void *data, size_t size)
{
    const uint8_t *at = data;
    for (int64_t position = 0; size > 0;) {
        int64_t put = io_pwrite(file, at, size, position);
        if (put <= 0)
            return STATUS(put < 0 ? (int)-put : EIO, "write a file");
        at += put;
        size -= (size_t)put;
        position += put;
    }
    int error = io_fdatasync(file);
    return error < 0 ? STATUS(-error, "sync a file") : STATUS_OK;
}

static struct status sync_parent(const char *path)
{
    char *parent = mem_strdup(path), *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent ? 1 : 0] = '\0';
    int error = io_sync_dir(slash ? parent : ".");
    mem_free(parent);
    return error < 0 ? STATUS(-error, "sync a directory") : STATUS_OK;
}

struct status ctrl__file_put(const char *path, const char *suffix, const void *data, size_t size)
{
    char other[CTRL_PATH_BYTES];
    snprintf(other, sizeof other, "%s%s", path, suffix);
    int file = io_open(other, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    if (file < 0)
        return STATUS(-file, "make a file");
    struct status s = write_whole(file, data, size);
    io_close(file);
    TRY(s);
    int error = io_rename(other, path);
    return error < 0 ? STATUS(-error, "rename a file") : STATUS_OK;
}

struct status ctrl__file_replace(const char *path, const char *suffix, const void *data, size_t size)
{
    TRY(ctrl__file_put(path, suffix, data, size));
    return sync_parent(path);
}

/* One that is there may be there by name only, from a try that was killed: its name is synced too, unless its parent is
 * closed to us, so that it was not ours to make. */
static struct status make_one(const char *path)
{
    int error = io_mkdir(path);
    if (error < 0 && error != -EEXIST) {
        struct io_stat stat;
        bool is_there = io_stat(path, &stat) == 0 && stat.exists; // EROFS, EACCES: somebody made it for us
        return is_there ? STATUS_OK : STATUS(-error, "make a directory");
    }
    struct status s = sync_parent(path);
    return error == -EEXIST && s.error == EACCES ? STATUS_OK : s;
}

struct status ctrl__directories_make(const char *path)
{
    struct status s = STATUS_OK;
    char *piece = mem_strdup(path);
    for (char *slash = strchr(piece + 1, '/'); slash && status_is_ok(s); slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        s = make_one(piece);
        *slash = '/';
    }
    mem_free(piece);
    return status_is_ok(s) ? make_one(path) : s;
}
