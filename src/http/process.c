// SPDX-License-Identifier: Apache-2.0
/* http/process.c - numbers of this process that the kernel keeps: memory, descriptors, when it started.
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

/* Field 22 of stat, in ticks since boot; the name in field 2 may hold blanks, so fields are counted behind its bracket. */
static double started_seconds(void)
{
    char text[1024];
    if (!read_text("/proc/self/stat", text, sizeof text))
        return 0;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    struct timespec wall, boot;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    double now = (double)wall.tv_sec + (double)wall.tv_nsec / 1e9,
           up = (double)boot.tv_sec + (double)boot.tv_nsec / 1e9;
    return at ? now - up + (double)strtoull(at, NULL, 10) / (double)sysconf(_SC_CLK_TCK) : 0;
}

void process__numbers(struct process_numbers *ret_numbers)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    *ret_numbers = (struct process_numbers){
        .resident_bytes = resident_bytes(),
        .open_descriptors = open_descriptors(),
        .max_descriptors = limit.rlim_cur,
        .start_seconds = started_seconds(),
    };
}
