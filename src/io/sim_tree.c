// SPDX-License-Identifier: Apache-2.0
/* io/sim_tree.c - names: the volatile tree that calls see, and the changes that a power cut may take back.
 *
 * Every change of a directory is done at once in the volatile entries and queued as a change with the next sequence of the
 * file system. Inodes stay until the next power cut or the end of the world, since a lost unlink brings them back.
 * Relative paths start at the root.
 */
#include "io/sim__disk.h"

#include <errno.h>

struct sim_disk *sim__disk;

/* ---- entries */
static struct sim_entry *entry_find(const struct sim_entries *entries, const char *name)
{
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->items[i].name, name) == 0)
            return &entries->items[i];
    return NULL;
}

static char *copy_name(const char *name)
{
    size_t size = strlen(name) + 1;
    return memcpy(sim__alloc(size), name, size);
}

void sim__entries_set(struct sim_entries *entries, const char *name, struct sim_inode *inode)
{
    struct sim_entry *entry = entry_find(entries, name);
    if (entry && !inode) {
        sim__free(entry->name);
        *entry = entries->items[--entries->count];
    } else if (entry) {
        entry->inode = inode;
    } else if (inode) {
        if (entries->count == entries->capacity) {
            entries->capacity = entries->capacity ? entries->capacity * 2 : 8;
            entries->items = sim__realloc(entries->items, entries->capacity * sizeof *entries->items);
        }
        entries->items[entries->count++] = (struct sim_entry){copy_name(name), inode};
    }
}

static void entries_free(struct sim_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        sim__free(entries->items[i].name);
    sim__free(entries->items);
}

/* ---- inodes */
struct sim_inode *sim__inode_create(bool is_directory)
{
    struct sim_inode *inode = sim__alloc(sizeof *inode);
    inode->is_directory = is_directory;
    inode->number = sim__disk->next_number++;
    inode->modified_ms = sim__world->wall_offset_ms + sim__world->now_ns / 1000000;
    list_init(&inode->changes);
    list_push_back(&sim__disk->inodes, &inode->in_disk);
    return inode;
}

static void change_free(struct sim_change *change)
{
    list_remove(&change->in_directory);
    sim__free(change->name);
    sim__free(change);
}

void sim__inode_free(struct sim_inode *inode)
{
    list_remove(&inode->in_disk);
    LIST_EACH_SAFE (node, &inode->changes)
        change_free(CONTAINER_OF(node, struct sim_change, in_directory));
    entries_free(&inode->entries);
    entries_free(&inode->durable);
    sim__free(inode->data);
    sim__free(inode->disk);
    sim__free(inode->dirty);
    sim__free(inode);
}

int64_t sim__used_bytes(void)
{
    int64_t used = 0;
    LIST_EACH (node, &sim__disk->inodes) {
        const struct sim_inode *inode = CONTAINER_OF(node, struct sim_inode, in_disk);
        if (inode->is_linked || inode->open_count > 0)
            used += inode->size;
    }
    return used;
}

/* ---- paths */
struct sim_inode *sim__entry(const struct sim_inode *directory, const char *name)
{
    const struct sim_entry *entry = entry_find(&directory->entries, name);
    return entry ? entry->inode : NULL;
}

struct sim_inode *sim__find_parent(const char *path, char ret_name[256])
{
    struct sim_inode *at = sim__disk->root;
    ret_name[0] = 0;
    while (at) {
        while (*path == '/')
            path++;
        size_t size = strcspn(path, "/");
        if (size == 0)
            return at;
        if (ret_name[0] && strcmp(ret_name, ".") != 0)
            at = sim__entry(at, ret_name);
        if (!at || !at->is_directory || size > 255)
            return NULL;
        memcpy(ret_name, path, size);
        ret_name[size] = 0;
        path += size;
    }
    return NULL;
}

struct sim_inode *sim__find(const char *path)
{
    char name[256];
    struct sim_inode *directory = sim__find_parent(path, name);
    if (!directory || !name[0] || strcmp(name, ".") == 0)
        return directory;
    return sim__entry(directory, name);
}

/* ---- changes */
static void change(struct sim_inode *directory, const char *name, struct sim_inode *inode, uint64_t sequence)
{
    struct sim_change *made = sim__alloc(sizeof *made);
    *made = (struct sim_change){.sequence = sequence, .name = copy_name(name), .inode = inode};
    list_push_back(&directory->changes, &made->in_directory);
    sim__entries_set(&directory->entries, name, inode);
}

void sim__link(struct sim_inode *directory, const char *name, struct sim_inode *inode, uint64_t sequence)
{
    struct sim_inode *replaced = sim__entry(directory, name);
    if (replaced)
        replaced->is_linked = false;
    if (inode)
        inode->is_linked = true;
    change(directory, name, inode, sequence);
}

void sim__directory_commit(struct sim_inode *directory, uint64_t sequence)
{
    LIST_EACH_SAFE (node, &directory->changes) {
        struct sim_change *made = CONTAINER_OF(node, struct sim_change, in_directory);
        if (made->sequence > sequence)
            return;
        sim__entries_set(&directory->durable, made->name, made->inode);
        change_free(made);
    }
}

int io_sync_dir(const char *path)
{
    sim__step("sync dir");
    struct sim_inode *directory = sim__find(path);
    if (!directory)
        return -ENOENT;
    if (!directory->is_directory)
        return -ENOTDIR;
    if (sim__world->faults.sync_dir_lies)
        return 0;
    uint64_t upto = sim__disk->sequence;
    sim__sleep("sync dir", (int64_t)sim__below(1000000));
    if (sim__one_in(sim__world->faults.sync_error))
        return -EIO;
    if (!sim__disk->is_journaled) {
        sim__directory_commit(directory, upto);
        return 0;
    }
    LIST_EACH (node, &sim__disk->inodes)
        sim__directory_commit(CONTAINER_OF(node, struct sim_inode, in_disk), upto);
    return 0;
}

/* ---- calls */
int io_stat(const char *path, struct io_stat *ret_stat)
{
    sim__step("stat");
    const struct sim_inode *inode = sim__find(path);
    *ret_stat = (struct io_stat){0};
    if (inode)
        *ret_stat = (struct io_stat){.exists = true,
                                     .is_directory = inode->is_directory,
                                     .size_bytes = inode->size,
                                     .modified_ms = inode->modified_ms,
                                     .inode = inode->number};
    return 0;
}

static int may_replace(const struct sim_inode *inode, const struct sim_inode *target)
{
    if (!target || target == inode)
        return 0;
    if (inode->is_directory && !target->is_directory)
        return -ENOTDIR;
    if (!inode->is_directory && target->is_directory)
        return -EISDIR;
    return target->entries.count > 0 ? -ENOTEMPTY : 0;
}

int io_rename(const char *from, const char *to)
{
    sim__step("rename");
    char from_name[256], to_name[256];
    struct sim_inode *from_directory = sim__find_parent(from, from_name);
    struct sim_inode *to_directory = sim__find_parent(to, to_name);
    struct sim_inode *inode = from_directory ? sim__entry(from_directory, from_name) : NULL;
    if (!inode || !to_directory)
        return -ENOENT;
    struct sim_inode *target = sim__entry(to_directory, to_name);
    int allowed = may_replace(inode, target);
    if (allowed < 0 || target == inode)
        return allowed;
    if (sim__one_in(sim__world->faults.write_error))
        return -EIO;
    uint64_t sequence = ++sim__disk->sequence;
    sim__link(from_directory, from_name, NULL, sequence);
    sim__link(to_directory, to_name, inode, sequence);
    sim__step("renamed");
    return 0;
}

static int remove_entry(const char *path, bool directory_wanted)
{
    char name[256];
    struct sim_inode *directory = sim__find_parent(path, name);
    struct sim_inode *inode = directory ? sim__entry(directory, name) : NULL;
    if (!inode)
        return -ENOENT;
    if (inode->is_directory != directory_wanted)
        return directory_wanted ? -ENOTDIR : -EISDIR;
    if (inode->entries.count > 0)
        return -ENOTEMPTY;
    sim__link(directory, name, NULL, ++sim__disk->sequence);
    return 0;
}

int io_unlink(const char *path)
{
    sim__step("unlink");
    return remove_entry(path, false);
}

int io_rmdir(const char *path)
{
    sim__step("rmdir");
    return remove_entry(path, true);
}

int io_mkdir(const char *path)
{
    sim__step("mkdir");
    char name[256];
    struct sim_inode *directory = sim__find_parent(path, name);
    if (!directory)
        return -ENOENT;
    if (!name[0] || sim__entry(directory, name))
        return -EEXIST;
    sim__link(directory, name, sim__inode_create(true), ++sim__disk->sequence);
    return 0;
}

int io_list_dir(const char *path, void (*each)(void *context, const char *name), void *context)
{
    sim__step("list dir");
    const struct sim_inode *directory = sim__find(path);
    if (!directory)
        return -ENOENT;
    if (!directory->is_directory)
        return -ENOTDIR;
    /* A copy, since `each` may change the directory; from anywhere, since the order is nobody's promise. The process's own
     * memory, since it may crash inside of `each`. */
    size_t count = directory->entries.count, start = count ? (size_t)sim__below(count) : 0;
    char **names = mem_alloc((count + 1) * sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = mem_strdup(directory->entries.items[(start + i) % count].name);
    for (size_t i = 0; i < count; i++) {
        each(context, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
    return 0;
}

int64_t io_free_bytes(const char *path)
{
    sim__step("free bytes");
    int64_t limit = sim__world->faults.disk_bytes_max;
    return limit > 0 ? max_i64(limit - sim__used_bytes(), 0) : (int64_t)1 << 40;
}

int64_t io_total_bytes(const char *path)
{
    sim__step("total bytes");
    return (int64_t)1 << 40;
}

int64_t sim_disk_used(struct sim_world *world)
{
    (void)world;
    return sim__used_bytes();
}
