// SPDX-License-Identifier: Apache-2.0
/* main/directories.c - makes the directories that settings name, so that a first start needs no preparation.
 *
 * Each new directory's entry is synced before anything is written into it: what is acknowledged later must not vanish with
 * the name of its directory.
 */
#include "main/settings.h"

#include <errno.h>

static struct status sync_parent(const char *path)
{
    char *parent CLEANUP(settings__text_free) = mem_strdup(path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    int error = io_sync_dir(slash ? parent : ".");
    return error < 0 ? STATUS(-error, "sync a new directory's name") : STATUS_OK;
}

static struct status make_one(const char *path)
{
    struct io_stat stat = {0};
    int error = io_stat(path, &stat);
    if (error == 0 && stat.exists)
        return stat.is_directory ? STATUS_OK : STATUS(ENOTDIR, "make a directory");
    error = io_mkdir(path);
    if (error < 0 && error != -EEXIST)
        return STATUS(-error, "make a directory");
    return sync_parent(path);
}

static struct status make_path(const char *path)
{
    char *part CLEANUP(settings__text_free) = mem_strdup(path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        TRY(make_one(part));
        *slash = '/';
    }
    return make_one(part);
}

static struct status make_told(const char *path)
{
    struct status s = make_path(path);
    if (!status_is_ok(s))
        LOG(LOG_ERROR, "main", "cannot make the directory %s: %s", path, strerror(s.error));
    return s;
}

struct status directories__make(const struct broker_options *options)
{
    for (int i = 0; i < options->log_dir_count; i++)
        TRY(make_told(options->log_dirs[i]));
    return make_told(options->metadata_dir);
}
