// SPDX-License-Identifier: Apache-2.0
/* test/harness/faulty_disk.c - a disk that breaks when a test says so: preloaded into a broker, it lets system calls on files fail.
 *
 * The file that $FAULTY_DISK names holds lines "CALL PART", where CALL is read, write or sync, and PART is in the names of
 * the files that fail with EIO. It is read at every call, so a fault begins and ends while the broker runs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

static bool fails(const char *call, int file)
{
    char link[64], name[4096], line[256];
    size_t call_size = strlen(call);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, name, sizeof name - 1);
    FILE *faults = size > 0 ? fopen(getenv("FAULTY_DISK"), "r") : NULL;
    bool found = false;
    if (!faults)
        return false;
    name[size] = '\0';
    while (!found && fgets(line, sizeof line, faults)) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, call, call_size) == 0 && line[call_size] == ' ' && strstr(name, line + call_size + 1);
    }
    fclose(faults);
    if (found)
        errno = EIO;
    return found;
}

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

ssize_t pread64(int file, void *data, size_t size, off64_t position)
{
    return fails("read", file) ? -1 : REAL(pread64)(file, data, size, position);
}

ssize_t pread(int file, void *data, size_t size, off_t position)
{
    return fails("read", file) ? -1 : REAL(pread)(file, data, size, position);
}

ssize_t preadv2(int file, const struct iovec *pieces, int count, off_t position, int flags)
{
    return fails("read", file) ? -1 : REAL(preadv2)(file, pieces, count, position, flags);
}

ssize_t preadv64v2(int file, const struct iovec *pieces, int count, off64_t position, int flags)
{
    return fails("read", file) ? -1 : REAL(preadv64v2)(file, pieces, count, position, flags);
}

ssize_t sendfile(int socket, int file, off_t *position, size_t size)
{
    return fails("read", file) ? -1 : REAL(sendfile)(socket, file, position, size);
}

ssize_t sendfile64(int socket, int file, off64_t *position, size_t size)
{
    return fails("read", file) ? -1 : REAL(sendfile64)(socket, file, position, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t position)
{
    return fails("write", file) ? -1 : REAL(pwrite)(file, data, size, position);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t position)
{
    return fails("write", file) ? -1 : REAL(pwrite64)(file, data, size, position);
}

ssize_t pwritev(int file, const struct iovec *pieces, int count, off_t position)
{
    return fails("write", file) ? -1 : REAL(pwritev)(file, pieces, count, position);
}

ssize_t pwritev64(int file, const struct iovec *pieces, int count, off64_t position)
{
    return fails("write", file) ? -1 : REAL(pwritev64)(file, pieces, count, position);
}

int fdatasync(int file)
{
    return fails("sync", file) ? -1 : REAL(fdatasync)(file);
}

int fsync(int file)
{
    return fails("sync", file) ? -1 : REAL(fsync)(file);
}
