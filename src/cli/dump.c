// SPDX-License-Identifier: Apache-2.0
/* cli/dump.c - `ottla dump FILE...` shows any file of a data directory, `ottla verify DIR` checks a whole one. Neither
 * changes anything; verify refuses a directory that a broker is using, since it would see it half written.
 */
#include "cli/cli.h"
#include "cli/inspect.h"
#include "io/io.h"
#include "storage/storage.h"

#include <errno.h>
#include <stdlib.h>

enum { PATH_BYTES = 4096, BASE_DIGITS = 20 };

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int64_t inspect__base_offset(const char *path)
{
    const char *name = name_of(path);
    return strspn(name, "0123456789") == BASE_DIGITS ? strtoll(name, NULL, 10) : -1;
}

static bool is_text(const char *name)
{
    static const char *const NAMES[] = {"meta.properties",
                                        "partition.metadata",
                                        "quorum-state",
                                        ".kafka_cleanshutdown",
                                        "leader-epoch-checkpoint",
                                        "recovery-point-offset-checkpoint",
                                        "log-start-offset-checkpoint",
                                        "replication-offset-checkpoint",
                                        "cleaner-offset-checkpoint"};
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (strcmp(name, NAMES[i]) == 0)
            return true;
    return false;
}

enum file_kind inspect__kind(const char *path)
{
    static const struct {
        const char *suffix;
        enum file_kind kind;
    } SUFFIXES[] = {{".log", FILE_LOG},
                    {".checkpoint", FILE_LOG},
                    {".index", FILE_INDEX},
                    {".timeindex", FILE_TIME_INDEX},
                    {".txnindex", FILE_TRANSACTION_INDEX},
                    {".snapshot", FILE_PRODUCER_SNAPSHOT}};
    char name[PATH_BYTES];
    snprintf(name, sizeof name, "%s", name_of(path));
    if (is_text(name))
        return FILE_TEXT;
    static const char *const STAGES[] = {".deleted", ".cleaned", ".swap"};
    for (size_t i = 0; i < COUNT_OF(STAGES); i++) {
        char *stage = strstr(name, STAGES[i]);
        if (stage && stage[strlen(STAGES[i])] == 0)
            *stage = 0;
    }
    const char *suffix = strrchr(name, '.');
    for (size_t i = 0; suffix && i < COUNT_OF(SUFFIXES); i++)
        if (strcmp(suffix, SUFFIXES[i].suffix) == 0)
            return SUFFIXES[i].kind;
    return FILE_UNKNOWN;
}

/* The segment that an index belongs to, beside it: the same name with .log in place of its own suffix. */
static void log_path_of(const char *path, char ret_path[PATH_BYTES])
{
    const char *suffix = strchr(name_of(path), '.'), *stage = suffix ? strchr(suffix + 1, '.') : NULL;
    int stem = suffix ? (int)(suffix - path) : (int)strlen(path);
    snprintf(ret_path, PATH_BYTES, "%.*s.log%s", stem, path, stage ? stage : "");
}

/* `ret_facts` is set by segments. */
static void inspect_file(struct inspection *inspection, const char *path, struct segment_facts *ret_facts)
{
    char log_path[PATH_BYTES];
    inspection->path = path;
    enum file_kind kind = inspect__kind(path);
    switch (kind) {
    case FILE_LOG:
        inspect__log(inspection, ret_facts);
        return;
    case FILE_INDEX:
    case FILE_TIME_INDEX:
        log_path_of(path, log_path);
        inspect__index(inspection, kind, log_path);
        return;
    case FILE_TRANSACTION_INDEX:
        inspect__transaction_index(inspection);
        return;
    case FILE_PRODUCER_SNAPSHOT:
        inspect__producer_snapshot(inspection);
        return;
    case FILE_TEXT:
        inspect__text_file(inspection);
        return;
    case FILE_UNKNOWN:
        break;
    }
    if (inspection->prints_items)
        inspect__finding(inspection, -1, "its name is none of a data directory's files: what it is cannot be told");
}

int cli_dump(const char *const *files, int count, bool as_json)
{
    struct inspection inspection = {.prints_items = true, .as_json = as_json};
    struct segment_facts facts = {0};
    for (int i = 0; i < count; i++) {
        if (count > 1) {
            json_t *item = inspect__item(&inspection, "file");
            inspect__text(item, "path", files[i]);
            inspect__put(&inspection, item);
        }
        inspect_file(&inspection, files[i], &facts);
    }
    return inspection.findings > 0 ? EXIT_FAILED : 0;
}

/* ---- verify */
static const char *join(struct buffer *path, const char *directory, const char *name)
{
    path->size = 0;
    buffer_printf(path, "%s/%s", directory, name);
    buffer_append(path, "", 1);
    return (const char *)path->data;
}

struct names {
    char **items;
    int count, capacity;
};

static void names_add(void *context, const char *name)
{
    struct names *names = context;
    if (names->count == names->capacity) {
        names->capacity = names->capacity ? names->capacity * 2 : 64;
        names->items = mem_realloc(names->items, (size_t)names->capacity * sizeof *names->items);
    }
    names->items[names->count++] = mem_strdup(name);
}

static void names_free(struct names *names)
{
    for (int i = 0; i < names->count; i++)
        mem_free(names->items[i]);
    mem_free(names->items);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool list(struct inspection *inspection, const char *directory, struct names *ret_names)
{
    *ret_names = (struct names){0};
    int error = io_list_dir(directory, names_add, ret_names);
    if (error < 0) {
        inspection->path = directory;
        inspect__finding(inspection, -1, "cannot be listed: %s", strerror(-error));
        return false;
    }
    if (ret_names->count > 1)
        qsort(ret_names->items, (size_t)ret_names->count, sizeof *ret_names->items, by_name);
    return true;
}

struct partition_check {
    int64_t next_offset; // after the segments so far; -1: none yet
    int32_t last_epoch;
    uint64_t segments;
};

/* Segments come in order of their names, which is that of their offsets. */
static void check_segment(struct inspection *inspection, struct partition_check *check,
                          const struct segment_facts *facts)
{
    if (check->next_offset > facts->base_offset)
        inspect__finding(inspection, -1, "it begins at %lld, but the segment before it goes up to %lld",
                         (long long)facts->base_offset, (long long)check->next_offset - 1);
    if (facts->batches > 0 && check->last_epoch > facts->last_epoch)
        inspect__finding(inspection, -1, "its leader epoch %d comes after %d", facts->last_epoch, check->last_epoch);
    check->next_offset = facts->next_offset;
    check->last_epoch = facts->batches > 0 ? facts->last_epoch : check->last_epoch;
    check->segments++;
}

static bool is_segment(const char *name)
{
    return inspect__base_offset(name) >= 0 && strcmp(name + BASE_DIGITS, ".log") == 0;
}

static void check_partition(struct inspection *inspection, const char *directory)
{
    struct names names CLEANUP(names_free);
    struct partition_check check = {.next_offset = -1, .last_epoch = -1};
    struct segment_facts facts = {0};
    if (!list(inspection, directory, &names))
        return;
    for (int i = 0; i < names.count; i++) {
        struct buffer joined CLEANUP(buffer_free) = {0};
        const char *path = join(&joined, directory, names.items[i]);
        inspect_file(inspection, path, &facts);
        if (is_segment(names.items[i]))
            check_segment(inspection, &check, &facts);
    }
    inspection->path = directory;
    if (check.segments == 0)
        inspect__finding(inspection, -1, "a partition without a segment");
}

static int64_t bytes_below(const char *directory)
{
    struct names names CLEANUP(names_free) = {0};
    int64_t bytes = 0;
    io_list_dir(directory, names_add, &names);
    for (int i = 0; i < names.count; i++) {
        struct buffer joined CLEANUP(buffer_free) = {0};
        struct io_stat stat;
        const char *path = join(&joined, directory, names.items[i]);
        if (io_stat(path, &stat) == 0 && stat.exists)
            bytes += stat.is_directory ? bytes_below(path) : stat.size_bytes;
    }
    return bytes;
}

static bool is_partition(const char *path)
{
    const char *name = name_of(path), *dash = strrchr(name, '-');
    struct io_stat stat;
    return dash && dash > name && dash[1] && strspn(dash + 1, "0123456789") == strlen(dash + 1) &&
           io_stat(path, &stat) == 0 && stat.exists && stat.is_directory;
}

static uint64_t check_directory(struct inspection *inspection, const char *directory)
{
    struct names names CLEANUP(names_free);
    uint64_t partitions = 0;
    struct segment_facts facts = {0};
    if (!list(inspection, directory, &names))
        return 0;
    for (int i = 0; i < names.count; i++) {
        struct buffer joined CLEANUP(buffer_free) = {0};
        const char *path = join(&joined, directory, names.items[i]);
        if (is_partition(path)) {
            check_partition(inspection, path);
            partitions++;
        } else if (inspect__kind(path) != FILE_UNKNOWN) {
            inspect_file(inspection, path, &facts);
        }
    }
    return partitions;
}

int cli_verify(const char *directory, bool as_json)
{
    struct dir_properties properties;
    bool is_formatted = false;
    int lock = -1;
    struct status s = dir_properties_read(directory, &properties, &is_formatted);
    if (!status_is_ok(s) || !is_formatted) {
        fprintf(stderr, "ottla verify: %s is not a data directory: %s\n", directory,
                status_is_ok(s) ? "it has no meta.properties" : strerror(s.error));
        return EXIT_WRONG;
    }
    s = dir_lock(directory, &lock);
    if (!status_is_ok(s)) {
        fprintf(stderr, "ottla verify: %s: %s\n", directory,
                s.error == EAGAIN ? "a broker is using it; stop that first" : strerror(s.error));
        return EXIT_FAILED;
    }
    struct inspection inspection = {.as_json = as_json, .bytes_all = (uint64_t)bytes_below(directory)};
    uint64_t partitions = check_directory(&inspection, directory);
    dir_unlock(lock);
    fprintf(stderr, "\n%llu partitions, %.1f MiB read: %llu findings\n", (unsigned long long)partitions,
            (double)inspection.bytes_done / 1048576, (unsigned long long)inspection.findings);
    return inspection.findings > 0 ? EXIT_FAILED : 0;
}
