// SPDX-License-Identifier: Apache-2.0
/* io/sim_disk.c - contents of files: what reads see, what would survive, and the faults between them (sim.h has the model).
 *
 * A sector is dirty while its volatile bytes may differ from its durable ones. Every write lets the simulated kernel save a
 * few dirty sectors, so versions between two syncs reach the disk too.
 */
#include "io/sim__disk.h"

#include <errno.h>

enum { WRITE_BACK_ONE_IN = 8, SYNC_NS_MAX = 3000000, STALL_NS_MAX = 400000000, AGAIN_ONE_IN = 20 };

static int64_t sectors(int64_t bytes)
{
    return (bytes + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES;
}

static void grow(struct sim_inode *inode, int64_t size)
{
    if (size <= inode->capacity)
        return;
    int64_t capacity = inode->capacity ? inode->capacity : 4096;
    while (capacity < size)
        capacity *= 2;
    size_t more = (size_t)(capacity - inode->capacity);
    inode->data = sim__realloc(inode->data, (size_t)capacity);
    inode->disk = sim__realloc(inode->disk, (size_t)capacity);
    inode->dirty = sim__realloc(inode->dirty, (size_t)sectors(capacity));
    memset(inode->data + inode->capacity, 0, more);
    memset(inode->disk + inode->capacity, 0, more);
    memset(inode->dirty + sectors(inode->capacity), 0, (size_t)(sectors(capacity) - sectors(inode->capacity)));
    inode->capacity = capacity;
}

static void dirty(struct sim_inode *inode, int64_t from, int64_t to)
{
    for (int64_t s = from / SIM_SECTOR_BYTES; s < sectors(to); s++)
        inode->dirty[s] = 1;
    inode->modified_ms = sim__world->wall_offset_ms + sim__world->now_ns / 1000000;
}

void sim__sectors_save(struct sim_inode *inode, uint32_t one_in)
{
    for (int64_t s = 0; s < inode->capacity / SIM_SECTOR_BYTES; s++) {
        if (!inode->dirty[s] || !sim__one_in(one_in))
            continue;
        memcpy(inode->disk + s * SIM_SECTOR_BYTES, inode->data + s * SIM_SECTOR_BYTES, SIM_SECTOR_BYTES);
        inode->dirty[s] = 0;
    }
}

static void stall(void)
{
    if (sim__one_in(sim__world->faults.stall))
        sim__sleep("disk stall", (int64_t)sim__below(STALL_NS_MAX));
}

static struct sim_inode *inode_of(int file)
{
    return sim__handle(file, SIM_FILE)->inode;
}

/* ---- open and close */
static int open_new(const char *path, int flags, struct sim_inode **ret_inode)
{
    char name[256];
    struct sim_inode *directory = sim__find_parent(path, name);
    if (!directory || !(flags & IO_CREATE))
        return -ENOENT;
    *ret_inode = sim__inode_create(false);
    sim__link(directory, name, *ret_inode, ++sim__disk->sequence);
    return 0;
}

static void set_size(struct sim_inode *inode, int64_t size)
{
    grow(inode, size);
    if (size < inode->size) {
        memset(inode->data + size, 0, (size_t)(inode->size - size));
        dirty(inode, size, inode->size);
    }
    inode->size = size;
}

int io_open(const char *path, int flags)
{
    sim__step("open");
    stall();
    struct sim_inode *inode = sim__find(path);
    if (inode && (flags & IO_CREATE) && (flags & IO_EXCLUSIVE))
        return -EEXIST;
    if (inode && inode->is_directory)
        return -EISDIR;
    if (!inode) {
        int result = open_new(path, flags, &inode);
        if (result < 0)
            return result;
    }
    if (flags & IO_TRUNCATE)
        set_size(inode, 0);
    int number = sim__handle_new(SIM_FILE);
    sim__world->handles[number].inode = inode;
    sim__world->handles[number].flags = flags;
    inode->open_count++;
    return number;
}

void io_close(int file)
{
    if (file < 0)
        return;
    sim__step("close");
    struct sim_inode *inode = inode_of(file);
    inode->open_count--;
    if (inode->lock_owner == (sim__is_broker() ? 1 : 2))
        inode->lock_owner = 0; // any close by the process drops its record locks
    sim__handle_release(file);
}

void sim__file_crash(int number)
{
    struct sim_inode *inode = inode_of(number);
    inode->open_count = 0;
    inode->lock_owner = 0;
    sim__handle_release(number);
}

/* ---- reads */
int64_t sim__file_read(struct sim_inode *inode, bool direct, void *ret_data, size_t size, int64_t position)
{
    if (position >= inode->size)
        return 0;
    int64_t count = min_i64((int64_t)size, inode->size - position);
    memcpy(ret_data, inode->data + position, (size_t)count);
    if (!direct)
        return count;
    uint8_t *out = ret_data;
    for (int64_t at = position; at < position + count; at++) // what is clean comes from the disk itself
        if (!inode->dirty[at / SIM_SECTOR_BYTES])
            out[at - position] = inode->disk[at];
    return count;
}

static size_t shortened(size_t size)
{
    return size > 1 && sim__one_in(sim__world->faults.short_io) ? 1 + (size_t)sim__below(size - 1) : size;
}

int64_t io_pread(int file, void *ret_data, size_t size, int64_t position)
{
    sim__step("read");
    stall();
    if (sim__one_in(sim__world->faults.read_error))
        return -EIO;
    struct sim_handle *handle = sim__handle(file, SIM_FILE);
    return sim__file_read(handle->inode, handle->flags & IO_DIRECT_READ, ret_data, shortened(size), position);
}

int64_t io_pread_nowait(int file, void *ret_data, size_t size, int64_t position)
{
    sim__step("read nowait");
    if (!sim__world->faults.all_in_memory && sim__one_in(AGAIN_ONE_IN))
        return -EAGAIN;
    return sim__file_read(inode_of(file), false, ret_data, shortened(size), position);
}

/* ---- writes */
static int64_t room(const struct sim_inode *inode, int64_t end)
{
    int64_t limit = sim__world->faults.disk_bytes_max, more = end - inode->size;
    if (limit <= 0 || more <= 0)
        return INT64_MAX;
    int64_t left = max_i64(limit - sim__used_bytes(), 0);
    return left >= more ? INT64_MAX : left;
}

static int64_t write_at(struct sim_inode *inode, const uint8_t *data, int64_t size, int64_t position)
{
    int64_t end = position + size;
    grow(inode, end);
    memcpy(inode->data + position, data, (size_t)size);
    dirty(inode, position, end);
    inode->size = max_i64(inode->size, end);
    return size;
}

int64_t io_pwritev(int file, const struct iovec *pieces, int count, int64_t position)
{
    sim__step("write");
    stall();
    struct sim_handle *handle = sim__handle(file, SIM_FILE);
    struct sim_inode *inode = handle->inode;
    assert((handle->flags & IO_WRITE) && position >= 0);
    if (sim__one_in(sim__world->faults.write_error))
        return sim__one_in(2) ? -EIO : -ENOSPC;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += pieces[i].iov_len;
    int64_t left = (int64_t)shortened(total);
    int64_t fits = room(inode, position + left);
    if (fits != INT64_MAX)
        left = min_i64(left, max_i64(inode->size - position, 0) + fits);
    if (left == 0 && total > 0)
        return -ENOSPC;
    int64_t done = 0;
    for (int i = 0; i < count && left > 0; i++) {
        int64_t size = min_i64((int64_t)pieces[i].iov_len, left);
        done += write_at(inode, pieces[i].iov_base, size, position + done);
        left -= size;
    }
    if (sim__one_in(4))
        sim__sectors_save(inode, WRITE_BACK_ONE_IN);
    sim__step("written");
    return done;
}

int64_t io_pwrite(int file, const void *data, size_t size, int64_t position)
{
    struct iovec piece = {(void *)(uintptr_t)data, size};
    return io_pwritev(file, &piece, 1, position);
}

int io_truncate(int file, int64_t size)
{
    sim__step("truncate");
    struct sim_inode *inode = inode_of(file);
    assert(sim__handle(file, SIM_FILE)->flags & IO_WRITE);
    if (sim__one_in(sim__world->faults.write_error))
        return -EIO;
    set_size(inode, size);
    return 0;
}

int io_allocate(int file, int64_t size)
{
    sim__step("allocate");
    struct sim_inode *inode = inode_of(file);
    if (sim__one_in(sim__world->faults.write_error) || (size > inode->size && room(inode, size) != INT64_MAX))
        return -ENOSPC;
    if (size > inode->size)
        set_size(inode, size);
    return 0;
}

/* ---- durability */
static void save_all(struct sim_inode *inode)
{
    sim__sectors_save(inode, 1);
    inode->disk_size = inode->size;
}

/* The kernel gives up on the dirty pages: some were saved, all are clean, and the size may be the old one. */
static int fail_sync(struct sim_inode *inode)
{
    sim__sectors_save(inode, 2);
    if (inode->capacity > 0)
        memset(inode->dirty, 0, (size_t)sectors(inode->capacity));
    inode->sync_is_broken = sim__world->faults.sync_fails_forever;
    return -EIO;
}

int io_fdatasync(int file)
{
    sim__step("fdatasync");
    struct sim_inode *inode = inode_of(file);
    if (sim__world->faults.sync_lies)
        return 0;
    bool early = sim__one_in(2);
    const struct sim_faults *faults = &sim__world->faults;
    bool broken = inode->sync_is_broken && faults->sync_fails_forever,
         fails = broken || sim__one_in(faults->sync_error);
    if (early && !fails)
        save_all(inode);
    inode->open_count++; // another thread may close it meanwhile
    sim__sleep("fdatasync", (int64_t)sim__below((uint64_t)(faults->sync_ns_max ? faults->sync_ns_max : SYNC_NS_MAX)));
    stall();
    inode->open_count--;
    if (fails)
        return fail_sync(inode);
    if (!early)
        save_all(inode);
    return 0;
}

int io_write_back(int file, int64_t position, int64_t size)
{
    sim__step("write back");
    sim__sectors_save(inode_of(file), 2);
    return 0;
}

bool io_is_cached(int file, int64_t position, int64_t size)
{
    sim__step("is cached");
    inode_of(file);
    return sim__one_in(2);
}

int io_fadvise_cold(int file, int64_t position, int64_t size)
{
    sim__step("fadvise");
    inode_of(file);
    return 0;
}

int64_t io_file_size(int file)
{
    sim__step("file size");
    return inode_of(file)->size;
}

int io_lock_file(int file)
{
    sim__step("lock file");
    struct sim_inode *inode = inode_of(file);
    int me = sim__is_broker() ? 1 : 2;
    if (inode->lock_owner != 0 && inode->lock_owner != me)
        return -EAGAIN;
    inode->lock_owner = me;
    return 0;
}

bool sim_disk_flip(struct sim_world *world, const char *path, int64_t position, int bit)
{
    struct sim_inode *inode = sim__find(path);
    if (!inode || inode->is_directory || position < 0 || position >= inode->size)
        return false;
    inode->data[position] ^= (uint8_t)(1 << bit);
    inode->disk[position] ^= (uint8_t)(1 << bit);
    return true;
}
