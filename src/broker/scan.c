// SPDX-License-Identifier: Apache-2.0
/* broker/scan.c - looks through the log directories once, at start: partitions by name and topic id, what waits to be
 * deleted, the checkpoint files.
 *
 *   <topic>-<partition>                 a partition, if partition.metadata has the id of its topic
 *   <topic>-<partition>.<id>-delete     deleted: its files go after log.segment.delete.delay.ms, as in Kafka
 *   <topic>-<partition>.<id>-future     a partition on its way into this log directory, or arrived but for its name
 *   ...-stray, all others               left alone, with a warning
 *   __cluster_metadata-0                the controller's
 *
 * Files between them are not looked at.
 */
#include "broker/scan.h"

#include <stdlib.h>

struct scan {
    struct broker *broker;
    struct hash names; // struct scan_entry by name and partition
    struct scan_entry *entries;
    struct checkpoint_set checkpoints[LOG_DIRS_MAX + 1];
    struct log_dir *dir; // being looked at
    struct status status;
};

static bool ends_with(const char *name, const char *suffix)
{
    size_t size = strlen(name), suffix_size = strlen(suffix);
    return size > suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

static uint64_t name_hash(struct slice topic, int32_t index)
{
    return hash_u64(hash_bytes(topic) + (uint32_t)index);
}

/* Of the one kind or the other. */
static struct scan_entry *find(const struct scan *scan, struct slice topic, int32_t index, bool is_future,
                               const struct scan_entry *after)
{
    struct hash_node *node = after ? hash_next(&after->by_name) : hash_first(&scan->names, name_hash(topic, index));
    for (; node; node = hash_next(node)) {
        struct scan_entry *entry = CONTAINER_OF(node, struct scan_entry, by_name);
        if (entry->index == index && entry->is_future == is_future && slice_equal_str(topic, entry->topic))
            return entry;
    }
    return NULL;
}

/* "<topic>-<partition>" with a plain number behind the last dash. */
static bool parse(struct slice name, struct slice *ret_topic, int32_t *ret_index)
{
    const uint8_t *dash = memrchr(name.data, '-', name.size);
    size_t digits = dash ? (size_t)(name.data + name.size - dash) - 1 : 0;
    if (!dash || dash == name.data || digits == 0 || digits > 9)
        return false;
    *ret_index = 0;
    for (size_t i = 1; i <= digits; i++) {
        if (dash[i] < '0' || dash[i] > '9')
            return false;
        *ret_index = *ret_index * 10 + (dash[i] - '0');
    }
    *ret_topic = slice_of(name.data, (size_t)(dash - name.data));
    return true;
}

/* "<topic>-<partition>.<id>-future" */
static bool parse_future(const char *name, struct slice *ret_topic, int32_t *ret_index)
{
    const char *dot = strrchr(name, '.');
    return dot && ends_with(name, "-future") && parse(slice_of(name, (size_t)(dot - name)), ret_topic, ret_index);
}

static struct status check_twice(const struct scan *scan, const struct scan_entry *entry)
{
    for (struct scan_entry *other = find(scan, slice_str(entry->topic), entry->index, false, NULL); other;
         other = find(scan, slice_str(entry->topic), entry->index, false, other)) {
        if (!entry->has_id || !other->has_id || !uuid_equal(entry->id, other->id))
            continue;
        LOG(LOG_ERROR, "broker", "partition %s-%d lies in %s and in %s: one of them must go", entry->topic,
            (int)entry->index, entry->dir->path, other->dir->path);
        return STATUS(EEXIST, "look through the log directories: a partition lies in two of them");
    }
    return STATUS_OK;
}

static struct status take_partition(struct scan *scan, const char *path, struct slice topic, int32_t index,
                                    bool is_future)
{
    struct scan_entry *entry = mem_zalloc(sizeof *entry);
    *entry = (struct scan_entry){.dir = scan->dir,
                                 .topic = slice_to_str(topic),
                                 .index = index,
                                 .is_future = is_future,
                                 .path = mem_strdup(path),
                                 .next = scan->entries};
    scan->entries = entry;
    struct status s = dir_partition_topic_id(path, &entry->id, &entry->has_id);
    if (s.error == EBADMSG)
        LOG(LOG_ERROR, "broker", "%s/partition.metadata makes no sense: %s", path, s.what);
    if (status_is_ok(s) && !is_future)
        s = check_twice(scan, entry);
    hash_insert(&scan->names, &entry->by_name, name_hash(topic, index));
    return s;
}

static struct status take_directory(struct scan *scan, const char *name, char *path)
{
    struct slice topic;
    int32_t index;
    if (strcmp(name, "__cluster_metadata-0") == 0)
        return STATUS_OK;
    if (ends_with(name, "-delete")) {
        int64_t delay_ms = broker__setting_i64(scan->broker, ctrl_view(control__ctrl(scan->broker->control)),
                                               "log.segment.delete.delay.ms");
        housekeeping__doom(control__housekeeping(scan->broker->control), mem_strdup(path), delay_ms);
        return STATUS_OK;
    }
    if (parse_future(name, &topic, &index))
        return take_partition(scan, path, topic, index, true);
    if (parse(slice_str(name), &topic, &index))
        return take_partition(scan, path, topic, index, false);
    if (strcmp(name, "lost+found") != 0)
        LOG(LOG_WARN, "broker", "%s is not a partition's directory: left alone", path);
    return STATUS_OK;
}

static void take_entry(void *context, const char *name)
{
    struct scan *scan = context;
    char path[SCAN_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", scan->dir->path, name);
    struct io_stat stat;
    if (!status_is_ok(scan->status))
        return;
    int error = io_stat(path, &stat);
    if (error < 0)
        scan->status = STATUS(-error, "look through a log directory");
    else if (stat.exists && stat.is_directory)
        scan->status = take_directory(scan, name, path);
}

struct status dir_scan__run(struct broker *broker, struct scan **ret_scan)
{
    struct scan *scan = mem_zalloc(sizeof *scan);
    scan->broker = broker;
    hash_init(&scan->names);
    for (int i = 0; i < broker->dirs.count && status_is_ok(scan->status); i++) {
        scan->dir = &broker->dirs.dirs[i];
        if (!scan->dir->holds_partitions)
            continue;
        scan->status = checkpoints__read(scan->dir->path, &scan->checkpoints[i]);
        if (!status_is_ok(scan->status))
            break;
        int error = io_list_dir(scan->dir->path, take_entry, scan);
        if (error < 0)
            scan->status = STATUS(-error, "list a log directory");
    }
    struct status s = scan->status;
    if (status_is_ok(s))
        *ret_scan = scan;
    else
        dir_scan__free(scan);
    return s;
}

void dir_scan__free(struct scan *scan)
{
    if (!scan)
        return;
    for (struct scan_entry *entry = scan->entries, *next; entry; entry = next) {
        next = entry->next;
        mem_free(entry->topic);
        mem_free(entry->path);
        mem_free(entry);
    }
    hash_free(&scan->names);
    for (size_t i = 0; i < COUNT_OF(scan->checkpoints); i++)
        checkpoints__set_free(&scan->checkpoints[i]);
    mem_free(scan);
}

static struct scan_entry *take(struct scan *scan, struct slice topic, struct uuid id, int32_t index, bool is_future)
{
    struct scan_entry *nameless = NULL;
    for (struct scan_entry *entry = find(scan, topic, index, is_future, NULL); entry;
         entry = find(scan, topic, index, is_future, entry)) {
        if (entry->has_id && uuid_equal(entry->id, id)) {
            entry->is_taken = true;
            return entry;
        }
        if (!entry->has_id && !nameless)
            nameless = entry;
    }
    if (nameless)
        nameless->is_taken = true;
    return nameless;
}

struct scan_entry *dir_scan__take(struct scan *scan, struct slice topic, struct uuid id, int32_t index)
{
    return take(scan, topic, id, index, false);
}

struct scan_entry *dir_scan__take_future(struct scan *scan, struct slice topic, struct uuid id, int32_t index)
{
    return take(scan, topic, id, index, true);
}

struct status dir_scan__future_promote(struct scan_entry *entry)
{
    char path[SCAN_PATH_BYTES];
    assert(entry->is_future);
    snprintf(path, sizeof path, "%s/%s-%d", entry->dir->path, entry->topic, (int)entry->index);
    int error = io_rename(entry->path, path);
    if (error == 0)
        error = io_sync_dir(entry->dir->path);
    if (error < 0)
        return STATUS(-error, "give a partition that has moved its name");
    LOG(LOG_INFO, "broker", "%s had arrived in %s: it is %s-%d now", entry->path, entry->dir->path, entry->topic,
        (int)entry->index);
    entry->is_future = false;
    return STATUS_OK;
}

const struct checkpoint_set *dir_scan__checkpoints(const struct scan *scan, const struct log_dir *dir)
{
    return &scan->checkpoints[dir - scan->broker->dirs.dirs];
}

void dir_scan__tell_strays(const struct scan *scan)
{
    for (const struct scan_entry *entry = scan->entries; entry; entry = entry->next)
        if (!entry->is_taken)
            LOG(LOG_WARN, "broker", "%s belongs to no partition of this broker: left alone", entry->path);
}
