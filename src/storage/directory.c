// SPDX-License-Identifier: Apache-2.0
/* storage/directory.c - a log directory: meta.properties, its lock, the mark of a clean stop, and where partitions live.
 *
 * The lock is a POSIX record lock, as Java's FileLock is, so that Ottla and Apache Kafka keep each other out. The mark
 * says that everything was synced; it is taken away, and that synced, before anything is written again.
 */
#include "storage/storage__.h"

#include <stdlib.h>

enum { PATH_BYTES = 4096 };

static const char *value_of(char *line, const char *key)
{
    size_t size = strlen(key);
    return strncmp(line, key, size) == 0 && line[size] == '=' ? line + size + 1 : NULL;
}

static void property_take(char *line, struct dir_properties *properties, bool *has_version)
{
    const char *value;
    if ((value = value_of(line, "cluster.id")))
        snprintf(properties->cluster_id, sizeof properties->cluster_id, "%s", value);
    else if ((value = value_of(line, "node.id")))
        properties->node_id = (int32_t)strtol(value, NULL, 10);
    else if ((value = value_of(line, "directory.id")))
        uuid_from_text(slice_str(value), &properties->directory_id);
    else if ((value = value_of(line, "version")))
        *has_version = strcmp(value, "1") == 0;
}

struct status dir_properties_read(const char *log_dir, struct dir_properties *ret_properties, bool *ret_exists)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/meta.properties", log_dir);
    *ret_properties = (struct dir_properties){.node_id = -1};
    struct buffer bytes CLEANUP(buffer_free) = {0};
    TRY(file__read_all(path, &bytes, ret_exists));
    if (!*ret_exists)
        return STATUS_OK;
    buffer_append(&bytes, "", 1);
    bool has_version = false;
    for (char *at = (char *)bytes.data, *line; (line = strsep(&at, "\n"));)
        property_take(line, ret_properties, &has_version);
    if (!has_version || ret_properties->node_id < 0 || !ret_properties->cluster_id[0])
        return STATUS(EBADMSG, "read meta.properties: version 1, node.id and cluster.id are needed");
    return STATUS_OK;
}

struct status dir_properties_write(const char *log_dir, const struct dir_properties *properties)
{
    char path[PATH_BYTES], id[UUID_TEXT_SIZE];
    snprintf(path, sizeof path, "%s/meta.properties", log_dir);
    uuid_to_text(properties->directory_id, id);
    struct buffer bytes CLEANUP(buffer_free) = {0};
    buffer_printf(&bytes, "#\nnode.id=%d\ndirectory.id=%s\nversion=1\ncluster.id=%s\n", (int)properties->node_id, id,
                  properties->cluster_id);
    return file__replace(path, bytes.data, bytes.size);
}

struct status dir_lock(const char *log_dir, int *ret_handle)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/.lock", log_dir);
    int handle = io_open(path, IO_WRITE | IO_CREATE);
    if (handle < 0)
        return STATUS(-handle, "open the lock of a log directory");
    int error = io_lock_file(handle);
    if (error < 0) {
        io_close(handle);
        return STATUS(-error, "lock a log directory");
    }
    *ret_handle = handle;
    return STATUS_OK;
}

void dir_unlock(int handle)
{
    io_close(handle);
}

static void clean_mark_path(const char *log_dir, char ret_path[PATH_BYTES])
{
    snprintf(ret_path, PATH_BYTES, "%s/.kafka_cleanshutdown", log_dir);
}

struct status dir_clean_mark_take(const char *log_dir, int64_t *ret_broker_epoch, bool *ret_existed)
{
    char path[PATH_BYTES];
    clean_mark_path(log_dir, path);
    *ret_broker_epoch = -1;
    struct buffer bytes CLEANUP(buffer_free) = {0};
    TRY(file__read_all(path, &bytes, ret_existed));
    if (!*ret_existed)
        return STATUS_OK;
    buffer_append(&bytes, "", 1);
    const char *found = strstr((char *)bytes.data, "\"brokerEpoch\":");
    if (found)
        *ret_broker_epoch = strtoll(found + strlen("\"brokerEpoch\":"), NULL, 10);
    int error = io_unlink(path);
    return error < 0 ? STATUS(-error, "take away the mark of a clean stop") : file__sync_dir_of(path);
}

struct status dir_clean_mark_write(const char *log_dir, int64_t broker_epoch)
{
    char path[PATH_BYTES], text[80];
    clean_mark_path(log_dir, path);
    int size = snprintf(text, sizeof text, "{\"version\":0,\"brokerEpoch\":%lld}", (long long)broker_epoch);
    return file__replace(path, text, (size_t)size);
}

struct status dir_partition_topic_id(const char *partition_dir, struct uuid *ret_topic_id, bool *ret_exists)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/partition.metadata", partition_dir);
    *ret_topic_id = UUID_ZERO;
    struct buffer bytes CLEANUP(buffer_free) = {0};
    TRY(file__read_all(path, &bytes, ret_exists));
    if (!*ret_exists)
        return STATUS_OK;
    buffer_append(&bytes, "", 1);
    for (char *at = (char *)bytes.data, *line; (line = strsep(&at, "\n"));)
        if (strncmp(line, "topic_id: ", 10) == 0 && uuid_from_text(slice_str(line + 10), ret_topic_id))
            return STATUS_OK;
    return STATUS(EBADMSG, "read partition.metadata: there is no topic id in it");
}

static struct status topic_id_write(const char *partition_dir, struct uuid topic_id)
{
    char file[PATH_BYTES + 32], id[UUID_TEXT_SIZE], text[80];
    uuid_to_text(topic_id, id);
    snprintf(file, sizeof file, "%s/partition.metadata", partition_dir);
    int size = snprintf(text, sizeof text, "version: 0\ntopic_id: %s", id);
    return file__replace(file, text, (size_t)size);
}

struct status dir_partition_create(const char *log_dir, const char *topic, int32_t partition, struct uuid topic_id)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s-%d", log_dir, topic, (int)partition);
    struct uuid found;
    bool exists = false;
    int error = io_mkdir(path);
    if (error == -EEXIST)
        TRY(dir_partition_topic_id(path, &found, &exists));
    else if (error < 0)
        return STATUS(-error, "make a partition's directory");
    if (exists && uuid_equal(found, topic_id))
        TRY(file__sync_dir_of(path)); // a kill may have come before
    if (exists)
        return uuid_equal(found, topic_id) ? STATUS_OK
                                           : STATUS(EEXIST, "make a partition's directory: another topic has it");
    TRY(file__sync_dir_of(path));
    return topic_id_write(path, topic_id);
}

/* ---- <topic>-<partition>.<32 hexadecimal digits>-<what> */
enum { KAFKA_NAME_MAX = 255 };

char *dir__named(const char *partition_dir, const char *what)
{
    uint8_t id[16];
    io_random(id, sizeof id);
    struct buffer path = {0};
    size_t size = strlen(partition_dir), tail = 1 + 2 * sizeof id + 1 + strlen(what);
    const char *slash = strrchr(partition_dir, '/');
    size_t name_at = slash ? (size_t)(slash - partition_dir) + 1 : 0;
    const char *dash = strrchr(partition_dir + name_at, '-');
    size_t topic_end = dash ? (size_t)(dash - partition_dir) : size, partition_size = size - topic_end;
    if (topic_end - name_at + partition_size + tail > KAFKA_NAME_MAX) // the topic's name gives way
        topic_end = name_at + KAFKA_NAME_MAX - tail - partition_size;
    buffer_append(&path, partition_dir, topic_end);
    buffer_append(&path, partition_dir + (size - partition_size), partition_size);
    buffer_append(&path, ".", 1);
    for (size_t i = 0; i < sizeof id; i++)
        buffer_printf(&path, "%02x", id[i]);
    buffer_printf(&path, "-%s", what);
    buffer_append(&path, "", 1);
    return (char *)path.data;
}

struct status dir__rename(const char *from, const char *to)
{
    int error = io_rename(from, to);
    return error < 0 ? STATUS(-error, "rename a partition's directory") : file__sync_dir_of(to);
}

/* The end of a partition, or of what is not known any more. */
struct status dir_partition_rename(const char *partition_dir, const char *what, char **ret_path)
{
    char *path = dir__named(partition_dir, what);
    struct status s = dir__rename(partition_dir, path);
    if (status_is_ok(s))
        *ret_path = path;
    else
        mem_free(path);
    return s;
}

/* ---- the future of a partition that moves here */
bool dir_future_fits(struct slice topic, int32_t partition)
{
    char rest[80];
    int size = snprintf(rest, sizeof rest, "-%d.%32s-future", (int)partition, "");
    return topic.size + (size_t)size <= KAFKA_NAME_MAX;
}

struct status dir_future_create(const char *log_dir, const char *topic, int32_t partition, struct uuid topic_id,
                                char **ret_path)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s-%d", log_dir, topic, (int)partition);
    char *future = dir__named(path, "future");
    int error = io_mkdir(future);
    struct status s = error < 0 ? STATUS(-error, "make a partition's directory") : file__sync_dir_of(future);
    if (status_is_ok(s))
        s = topic_id_write(future, topic_id);
    if (status_is_ok(s))
        *ret_path = future;
    else
        mem_free(future);
    return s;
}

struct removal {
    const char *directory;
    int error;
};

static void remove_file(void *context, const char *name)
{
    struct removal *removal = context;
    char path[SEGMENT_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", removal->directory, name);
    int error = io_unlink(path);
    if (error < 0 && error != -ENOENT)
        removal->error = -error;
}

struct status dir_partition_delete(const char *partition_dir)
{
    struct removal removal = {.directory = partition_dir};
    int error = io_list_dir(partition_dir, remove_file, &removal);
    if (error < 0 || removal.error != 0)
        return STATUS(error < 0 ? -error : removal.error, "delete a partition's files");
    error = io_rmdir(partition_dir);
    return error < 0 ? STATUS(-error, "delete a partition's directory") : file__sync_dir_of(partition_dir);
}
