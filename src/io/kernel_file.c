// SPDX-License-Identifier: Apache-2.0
/* io/kernel_file.c - files and directories of the real machine. Every call that a signal interrupts is tried again. */
#include "io/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILE_MODE = 0644, DIR_MODE = 0755 };

#define RETRY(result, call)                                                                                            \
    do                                                                                                                 \
        (result) = (call);                                                                                             \
    while ((result) < 0 && errno == EINTR)

static int outcome(int result)
{
    return result < 0 ? -errno : result;
}

int io_open(const char *path, int flags)
{
    int how = O_CLOEXEC | ((flags & IO_WRITE) ? O_RDWR : O_RDONLY);
    how |= (flags & IO_CREATE) ? O_CREAT : 0;
    how |= (flags & IO_EXCLUSIVE) ? O_EXCL : 0;
    how |= (flags & IO_TRUNCATE) ? O_TRUNC : 0;
    int file;
    RETRY(file, open(path, how, FILE_MODE));
    if (file >= 0 && (flags & IO_DIRECT_READ))
        io_fadvise_cold(file, 0, 0); // buffered reads after the cache was dropped: no alignment to keep
    return outcome(file);
}

void io_close(int file)
{
    if (file >= 0)
        close(file);
}

int64_t io_pread(int file, void *ret_data, size_t size, int64_t position)
{
    ssize_t got;
    RETRY(got, pread(file, ret_data, size, position));
    return got < 0 ? -errno : got;
}

int64_t io_pread_nowait(int file, void *ret_data, size_t size, int64_t position)
{
    static _Atomic bool unsupported;
    struct iovec piece = {ret_data, size};
    ssize_t got = -1;
    if (!unsupported) {
        RETRY(got, preadv2(file, &piece, 1, position, RWF_NOWAIT));
        if (got >= 0 || errno != EOPNOTSUPP)
            return got < 0 ? -errno : got;
        unsupported = true;
    }
    return io_pread(file, ret_data, size, position);
}

int64_t io_pwritev(int file, const struct iovec *pieces, int count, int64_t position)
{
    ssize_t put;
    RETRY(put, pwritev(file, pieces, count, position));
    return put < 0 ? -errno : put;
}

int64_t io_pwrite(int file, const void *data, size_t size, int64_t position)
{
    ssize_t put;
    RETRY(put, pwrite(file, data, size, position));
    return put < 0 ? -errno : put;
}

int io_fdatasync(int file)
{
    int result;
    RETRY(result, fdatasync(file));
    return outcome(result);
}

int io_write_back(int file, int64_t position, int64_t size)
{
    return outcome(sync_file_range(file, position, size, SYNC_FILE_RANGE_WRITE));
}

int io_truncate(int file, int64_t size)
{
    int result;
    RETRY(result, ftruncate(file, size));
    return outcome(result);
}

int io_allocate(int file, int64_t size)
{
    int error;
    do
        error = posix_fallocate(file, 0, size);
    while (error == EINTR);
    return -error;
}

int64_t io_file_size(int file)
{
    struct stat st;
    return fstat(file, &st) < 0 ? -errno : st.st_size;
}

/* cachestat (Linux 6.5), which libraries and headers of this age do not know yet. Pages that are on their way to or from
 * the disk count; for the latter a read waits a little. */
bool io_is_cached(int file, int64_t position, int64_t size)
{
    enum { CALL_OF_CACHESTAT = 451 };
    static _Atomic bool unsupported;
    struct {
        uint64_t at, size;
    } range = {(uint64_t)position, (uint64_t)size};
    struct {
        uint64_t cached, dirty, written_back, evicted, recently_evicted;
    } pages;
    if (unsupported || size <= 0)
        return false;
    if (syscall(CALL_OF_CACHESTAT, file, &range, &pages, 0) < 0) {
        unsupported = errno == ENOSYS || errno == EPERM; // a filter of system calls may say the latter
        return false;
    }
    int64_t page_bytes = sysconf(_SC_PAGESIZE);
    return (int64_t)pages.cached > (position + size - 1) / page_bytes - position / page_bytes;
}

int io_fadvise_cold(int file, int64_t position, int64_t size)
{
    return -posix_fadvise(file, position, size, POSIX_FADV_DONTNEED);
}

int io_stat(const char *path, struct io_stat *ret_stat)
{
    struct stat st;
    *ret_stat = (struct io_stat){0};
    if (stat(path, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    *ret_stat = (struct io_stat){.exists = true,
                                 .is_directory = S_ISDIR(st.st_mode),
                                 .size_bytes = st.st_size,
                                 .modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000,
                                 .inode = st.st_ino};
    return 0;
}

int io_rename(const char *from, const char *to)
{
    return outcome(rename(from, to));
}

int io_unlink(const char *path)
{
    return outcome(unlink(path));
}

int io_mkdir(const char *path)
{
    return outcome(mkdir(path, DIR_MODE));
}

int io_rmdir(const char *path)
{
    return outcome(rmdir(path));
}

int io_sync_dir(const char *path)
{
    int dir;
    RETRY(dir, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (dir < 0)
        return -errno;
    int result;
    RETRY(result, fsync(dir));
    result = outcome(result);
    close(dir);
    return result;
}

int io_list_dir(const char *path, void (*each)(void *context, const char *name), void *context)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            each(context, entry->d_name);
    int result = -errno;
    closedir(dir);
    return result;
}

int io_lock_file(int file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file, F_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES || errno == EAGAIN ? -EAGAIN : -errno;
}

int64_t io_free_bytes(const char *path)
{
    struct statvfs st;
    return statvfs(path, &st) < 0 ? -errno : (int64_t)st.f_bavail * (int64_t)st.f_frsize;
}

int64_t io_total_bytes(const char *path)
{
    struct statvfs st;
    return statvfs(path, &st) < 0 ? -errno : (int64_t)st.f_blocks * (int64_t)st.f_frsize;
}
