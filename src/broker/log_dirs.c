// SPDX-License-Identifier: Apache-2.0
/* broker/log_dirs.c - the log directories at start and stop: locks, identity, the marks of a clean stop.
 *
 * True while the broker runs: every directory is locked by us, belongs to this cluster and node, and has an id of its own.
 * Nothing is formatted unless all directories are empty, so that a mount that is missing is not taken for a new broker;
 * one that is empty beside formatted ones joins them. Whatever is not certain refuses the start and changes nothing.
 */
#include "broker/log_dirs.h"

#include "broker/broker__.h"

enum { PATH_BYTES = 4096 };

static void add(struct log_dirs *dirs, const struct broker_options *options, const char *path, bool holds_partitions)
{
    struct log_dir *dir = &dirs->dirs[dirs->count++];
    *dir = (struct log_dir){.path = path, .lock = -1, .holds_partitions = holds_partitions};
    dir->budget.log_dir = path;
    dir->budget.limit_bytes = options->unflushed_max_bytes;
    dir->budget.drain_bytes = options->unflushed_max_bytes / 4 * 3;
    dir->budget.drain.kind = MAIL_DRAIN;
    write_space_init(&dir->budget.space, options->disk_reserve_bytes);
}

/* With its parents, as Kafka does; the names synced. */
static struct status make(const char *path)
{
    struct io_stat there;
    int error = io_stat(path, &there);
    if (error < 0)
        return STATUS(-error, "look at a log directory");
    if (there.exists)
        return there.is_directory ? STATUS_OK : STATUS(ENOTDIR, "open a log directory");
    char parent[PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent) {
        *slash = '\0';
        TRY(make(parent));
    }
    error = io_mkdir(path);
    if (error < 0)
        return STATUS(-error, "make a log directory");
    error = io_sync_dir(!slash ? "." : slash == parent ? "/" : parent);
    return error < 0 ? STATUS(-error, "sync the parent of a log directory") : STATUS_OK;
}

static struct status lock(struct log_dir *dir)
{
    TRY(make(dir->path));
    struct status s = dir_lock(dir->path, &dir->lock);
    if (s.error == EAGAIN)
        LOG(LOG_ERROR, "broker", "log directory %s is in use by another broker: its .lock is held", dir->path);
    else if (!status_is_ok(s))
        LOG(LOG_ERROR, "broker", "log directory %s cannot be locked: %s: %s", dir->path, s.what, strerror(s.error));
    return s;
}

struct status log_dirs__lock(struct log_dirs *dirs, const struct broker_options *options)
{
    dirs->count = 0;
    for (int i = 0; i < options->log_dir_count; i++)
        add(dirs, options, options->log_dirs[i], true);
    if (!log_dirs__by_path(dirs, options->metadata_dir))
        add(dirs, options, options->metadata_dir, false);
    for (int i = 0; i < dirs->count; i++)
        TRY(lock(&dirs->dirs[i]));
    return STATUS_OK;
}

void log_dirs__unlock(struct log_dirs *dirs)
{
    for (int i = 0; i < dirs->count; i++) {
        if (dirs->dirs[i].lock >= 0)
            dir_unlock(dirs->dirs[i].lock);
        dirs->dirs[i].lock = -1;
    }
}

/* ---- identity */
static struct status format(const struct broker_options *options, uint16_t controller_port, int64_t wall_ms)
{
    struct ctrl_format_options format = {
        .cluster_id = options->cluster_id[0] ? options->cluster_id : NULL,
        .node_id = options->node_id,
        .log_dirs = options->log_dirs,
        .log_dir_count = options->log_dir_count,
        .metadata_dir = options->metadata_dir,
        .controller = broker__controller_listener(options, controller_port),
        .now_ms = wall_ms,
    };
    TRY(ctrl_format(&format));
    LOG(LOG_INFO, "broker", "formatted %s%s", options->log_dirs[0],
        options->log_dir_count > 1 ? " and the other log directories" : "");
    return STATUS_OK;
}

/* As Kafka's random ids: version 4, none of the reserved first hundred, none that begins with a dash. */
static struct uuid random_id(void)
{
    char text[UUID_TEXT_SIZE];
    struct uuid id;
    do {
        io_random(id.bytes, sizeof id.bytes);
        id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
        id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
        uuid_to_text(id, text);
    } while (text[0] == '-');
    return id;
}

struct listing {
    bool any;
};

static void notice_entry(void *context, const char *name)
{
    struct listing *listing = context;
    if (strcmp(name, ".lock") != 0 && strcmp(name, "lost+found") != 0)
        listing->any = true;
}

static struct status is_empty(const char *path, bool *ret_is_empty)
{
    struct listing listing = {0};
    int error = io_list_dir(path, notice_entry, &listing);
    if (error < 0)
        return STATUS(-error, "list a log directory");
    *ret_is_empty = !listing.any;
    return STATUS_OK;
}

static struct status refuse(const char *what)
{
    return STATUS(EINVAL, what);
}

static struct status check_ids(struct log_dirs *dirs, const struct log_dir *dir, const struct broker_options *options,
                               const struct dir_properties *found)
{
    if (found->node_id != options->node_id) {
        LOG(LOG_ERROR, "broker", "%s/meta.properties says node.id=%d, the settings say %d", dir->path,
            (int)found->node_id, (int)options->node_id);
        return refuse("check a log directory: it belongs to another node");
    }
    const char *expected = dirs->cluster_id[0] ? dirs->cluster_id : options->cluster_id;
    if (expected[0] && strcmp(expected, found->cluster_id) != 0) {
        LOG(LOG_ERROR, "broker", "%s/meta.properties says cluster.id=%s, expected is %s", dir->path, found->cluster_id,
            expected);
        return refuse("check a log directory: it belongs to another cluster");
    }
    if (!uuid_is_zero(found->directory_id) && log_dirs__by_id(dirs, found->directory_id)) {
        LOG(LOG_ERROR, "broker", "%s has the same directory.id as %s: one is a copy of the other", dir->path,
            log_dirs__by_id(dirs, found->directory_id)->path);
        return refuse("check a log directory: it has another one's id");
    }
    memcpy(dirs->cluster_id, found->cluster_id, sizeof dirs->cluster_id);
    return STATUS_OK;
}

/* First those that are formatted, so that the cluster is known when an empty one joins. */
static struct status identify_formatted(struct log_dirs *dirs, struct log_dir *dir,
                                        const struct broker_options *options, bool *ret_formatted)
{
    struct dir_properties found;
    struct status s = dir_properties_read(dir->path, &found, ret_formatted);
    if (!status_is_ok(s)) {
        LOG(LOG_ERROR, "broker", "%s: %s", dir->path, s.what);
        return s;
    }
    if (!*ret_formatted)
        return STATUS_OK;
    TRY(check_ids(dirs, dir, options, &found));
    if (uuid_is_zero(found.directory_id)) { // formatted before Kafka 3.7
        found.directory_id = random_id();
        TRY(dir_properties_write(dir->path, &found));
    }
    dir->id = found.directory_id;
    return STATUS_OK;
}

static struct status join(struct log_dirs *dirs, struct log_dir *dir, const struct broker_options *options)
{
    bool empty;
    TRY(is_empty(dir->path, &empty));
    if (!empty || !dirs->cluster_id[0]) {
        LOG(LOG_ERROR, "broker", "%s holds data but no meta.properties: nothing is formatted over it", dir->path);
        return refuse("check a log directory: it has no meta.properties");
    }
    if (strcmp(dir->path, options->metadata_dir) == 0) {
        LOG(LOG_ERROR, "broker", "metadata directory %s is empty beside formatted log directories: is it mounted?",
            dir->path);
        return refuse("check the metadata directory: it is empty");
    }
    struct dir_properties properties = {.node_id = options->node_id, .directory_id = random_id()};
    memcpy(properties.cluster_id, dirs->cluster_id, sizeof properties.cluster_id);
    TRY(dir_properties_write(dir->path, &properties));
    dir->id = properties.directory_id;
    LOG(LOG_INFO, "broker", "empty log directory %s joins the others", dir->path);
    return STATUS_OK;
}

struct status log_dirs__identify(struct log_dirs *dirs, const struct broker_options *options, uint16_t controller_port,
                                 int64_t wall_ms)
{
    bool unformatted, formatted[LOG_DIRS_MAX + 1];
    TRY(ctrl_is_unformatted(options->log_dirs, options->log_dir_count, options->metadata_dir, &unformatted));
    if (unformatted)
        TRY(format(options, controller_port, wall_ms));
    for (int i = 0; i < dirs->count; i++)
        TRY(identify_formatted(dirs, &dirs->dirs[i], options, &formatted[i]));
    for (int i = 0; i < dirs->count; i++)
        if (!formatted[i])
            TRY(join(dirs, &dirs->dirs[i], options));
    return STATUS_OK;
}

/* ---- marks of a clean stop */
struct status log_dirs__marks_take(struct log_dirs *dirs)
{
    for (int i = 0; i < dirs->count; i++)
        TRY(dir_clean_mark_take(dirs->dirs[i].path, &dirs->dirs[i].stopped_epoch, &dirs->dirs[i].was_clean));
    return STATUS_OK;
}

struct status log_dirs__marks_write(struct log_dirs *dirs, int64_t broker_epoch)
{
    for (int i = 0; i < dirs->count; i++)
        if (dirs->dirs[i].holds_partitions && !dirs->dirs[i].offline)
            TRY(dir_clean_mark_write(dirs->dirs[i].path, broker_epoch));
    return STATUS_OK;
}

/* ---- finding */
struct log_dir *log_dirs__by_path(struct log_dirs *dirs, const char *path)
{
    for (int i = 0; i < dirs->count; i++)
        if (strcmp(dirs->dirs[i].path, path) == 0)
            return &dirs->dirs[i];
    return NULL;
}

struct log_dir *log_dirs__by_id(struct log_dirs *dirs, struct uuid id)
{
    for (int i = 0; i < dirs->count; i++)
        if (uuid_equal(dirs->dirs[i].id, id))
            return &dirs->dirs[i];
    return NULL;
}

struct log_dir *log_dirs__choose(struct log_dirs *dirs)
{
    struct log_dir *best = NULL;
    for (int i = 0; i < dirs->count; i++) {
        struct log_dir *dir = &dirs->dirs[i];
        if (dir->holds_partitions && !dir->offline && (!best || dir->partition_count < best->partition_count))
            best = dir;
    }
    return best;
}

bool log_dirs__any_online(const struct log_dirs *dirs)
{
    for (int i = 0; i < dirs->count; i++)
        if (dirs->dirs[i].holds_partitions && !dirs->dirs[i].offline)
            return true;
    return false;
}
