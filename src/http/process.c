// SPDX-License-Identifier: Apache-2.0
/* http/process.c - numbers of this process that the kernel keeps: memory, descriptors, disks, when it started, how busy
 * its reactors were.
 *
 * Read from /proc when somebody asks; a file that cannot be read leaves its number 0.
 */
#include "http/http__.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static bool read_text(const char *path, char *ret_text, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t got = fread(ret_text, 1, size - 1, file);
    ret_text[got] = '\0';
    fclose(file);
    return got > 0;
}

/* The second number of statm: resident pages. */
static uint64_t resident_bytes(void)
{
    char text[256], *rest;
    if (!read_text("/proc/self/statm", text, sizeof text))
        return 0;
    strtoull(text, &rest, 10);
    return strtoull(rest, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of a line "name: number" in /proc/self/io. */
static uint64_t io_number(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static uint64_t open_descriptors(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1; // without the one that reads the directory
}

/* A field of a stat file that counts ticks, in seconds; the name in field 2 may hold blanks, so fields are counted behind its
 * bracket. */
static double stat_seconds(const char *text, int wanted)
{
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < wanted; field++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    return at ? (double)strtoull(at, NULL, 10) / (double)sysconf(_SC_CLK_TCK) : 0;
}

static double seconds_of(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double started_seconds(void)
{
    enum { FIELD_START = 22 }; // since boot
    char text[1024];
    if (!read_text("/proc/self/stat", text, sizeof text))
        return 0;
    return seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME) + stat_seconds(text, FIELD_START);
}

/* Of all threads called reactor, what they did not use of the time since they began. */
static double reactors_idle(void)
{
    enum { FIELD_USER = 14, FIELD_SYSTEM = 15, FIELD_START = 22 };
    double used = 0, lived = 0, now = seconds_of(CLOCK_BOOTTIME);
    DIR *dir = opendir("/proc/self/task");
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[sizeof "/proc/self/task//stat" + sizeof entry->d_name], text[1024];
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        if (*entry->d_name == '.' || !read_text(path, text, sizeof text) || !strstr(text, "(reactor"))
            continue;
        used += stat_seconds(text, FIELD_USER) + stat_seconds(text, FIELD_SYSTEM);
        lived += now - stat_seconds(text, FIELD_START);
    }
    closedir(dir);
    double idle = lived > 0 ? 1 - used / lived : 0;
    return idle < 0 ? 0 : idle > 1 ? 1 : idle;
}

void process__numbers(struct process_numbers *ret_numbers)
{
    struct rlimit limit = {0};
    char io[512] = "";
    getrlimit(RLIMIT_NOFILE, &limit);
    bool has_io = read_text("/proc/self/io", io, sizeof io);
    *ret_numbers = (struct process_numbers){
        .resident_bytes = resident_bytes(),
        .open_descriptors = open_descriptors(),
        .max_descriptors = limit.rlim_cur,
        .disk_read_bytes = has_io ? io_number(io, "\nread_bytes: ") : 0,
        .disk_written_bytes = has_io ? io_number(io, "\nwrite_bytes: ") : 0,
        .start_seconds = started_seconds(),
        .reactors_idle = reactors_idle(),
    };
}
