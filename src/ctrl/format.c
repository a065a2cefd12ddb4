// SPDX-License-Identifier: Apache-2.0
/* ctrl/format.c - a new cluster of this node alone, as `kafka-storage.sh format --standalone` of Apache Kafka 4.3.1 makes
 * it (KIP-853).
 *
 *   in every directory            bootstrap.checkpoint, meta.properties
 *   in the metadata directory     __cluster_metadata-0/00000000000000000000-0000000000.checkpoint: kraft.version, the voter
 *
 * meta.properties comes last in each, and the metadata directory is the first: a format that was cut short is either not
 * there yet, and done again, or the metadata directory is whole and the others are as good as new ones.
 */
#include "ctrl/ctrl__.h"

struct uuid ctrl__uuid_random(void)
{
    struct uuid id;
    char text[UUID_TEXT_SIZE];
    do {
        io_random(id.bytes, sizeof id.bytes);
        id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); // version 4
        id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
        uuid_to_text(id, text);
    } while (text[0] == '-'); // would read like an option
    return id;                // version bits keep it clear of the reserved ones
}

/* ---- is it new */
struct glance {
    const char *directory;
    bool is_metadata_log, has_data;
};

static void look(void *context, const char *name);

static void look_into(struct glance *glance, const char *name)
{
    char path[CTRL_PATH_BYTES];
    struct glance inner = {.directory = path, .is_metadata_log = true};
    snprintf(path, sizeof path, "%s/%s", glance->directory, name);
    glance->has_data |= io_list_dir(path, look, &inner) < 0 || inner.has_data;
}

static void look(void *context, const char *name)
{
    static const char FIRST[] = "00000000000000000000-0000000000.checkpoint";
    struct glance *glance = context;
    if (glance->is_metadata_log)
        glance->has_data |= strncmp(name, FIRST, sizeof FIRST - 1) != 0;
    else if (strcmp(name, "__cluster_metadata-0") == 0)
        look_into(glance, name);
    else
        glance->has_data |= strcmp(name, "lost+found") != 0 && strcmp(name, ".lock") != 0 &&
                            strcmp(name, "bootstrap.checkpoint") != 0 &&
                            strcmp(name, "bootstrap.checkpoint.tmp") != 0 && strcmp(name, "meta.properties.tmp") != 0;
}

static struct status is_new(const char *directory, bool *is_unformatted)
{
    struct glance glance = {.directory = directory};
    int error = io_list_dir(directory, look, &glance);
    if (error < 0 && error != -ENOENT)
        return STATUS(-error, "list a log directory");
    *is_unformatted &= !glance.has_data;
    return STATUS_OK;
}

struct status ctrl_is_unformatted(const char *const *log_dirs, int log_dir_count, const char *metadata_dir,
                                  bool *ret_unformatted)
{
    bool is_unformatted = true;
    for (int i = 0; i < log_dir_count; i++)
        TRY(is_new(log_dirs[i], &is_unformatted));
    TRY(is_new(metadata_dir, &is_unformatted));
    *ret_unformatted = is_unformatted;
    return STATUS_OK;
}

/* ---- formatting */
static struct status voters_write(const struct ctrl_format_options *options, const struct dir_properties *properties)
{
    char path[CTRL_PATH_BYTES];
    snprintf(path, sizeof path, "%s/__cluster_metadata-0", options->metadata_dir);
    int error = io_mkdir(path);
    if (error < 0 && error != -EEXIST)
        return STATUS(-error, "make the directory of the metadata log");
    struct ctrl__quorum quorum = {.kraft_version = CTRL_KRAFT_VERSION_MAX};
    ctrl__voters_set(&quorum, options->node_id, properties->directory_id, &options->controller);
    struct status s =
        ctrl__snapshot_write(path, (struct ctrl__snapshot_id){0}, &quorum, NULL, options->now_ms, options->now_ms);
    buffer_free(&quorum.voters);
    return s;
}

static struct status directory_format(const struct ctrl_format_options *options, const char *directory,
                                      struct dir_properties *properties)
{
    TRY(ctrl__directories_make(directory));
    TRY(ctrl__bootstrap_write(directory, options->now_ms));
    properties->directory_id = ctrl__uuid_random();
    if (strcmp(directory, options->metadata_dir) == 0 && !options->static_voters)
        TRY(voters_write(options, properties));
    int error = io_sync_dir(directory); // all names but the last one, and then that
    if (error < 0)
        return STATUS(-error, "sync a log directory");
    return dir_properties_write(directory, properties);
}

struct status ctrl_format(const struct ctrl_format_options *options)
{
    bool is_unformatted;
    struct dir_properties properties = {.node_id = options->node_id};
    TRY(ctrl_is_unformatted(options->log_dirs, options->log_dir_count, options->metadata_dir, &is_unformatted));
    if (!is_unformatted)
        return STATUS(EEXIST, "format: a log directory is not empty");
    if (options->cluster_id && strlen(options->cluster_id) >= sizeof properties.cluster_id)
        return STATUS(EINVAL, "format: the cluster id is too long");
    if (options->cluster_id)
        snprintf(properties.cluster_id, sizeof properties.cluster_id, "%s", options->cluster_id);
    else
        uuid_to_text(ctrl__uuid_random(), properties.cluster_id);
    TRY(directory_format(options, options->metadata_dir, &properties));
    for (int i = 0; i < options->log_dir_count; i++)
        if (strcmp(options->log_dirs[i], options->metadata_dir) != 0)
            TRY(directory_format(options, options->log_dirs[i], &properties));
    return STATUS_OK;
}
