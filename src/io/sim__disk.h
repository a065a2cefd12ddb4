// SPDX-License-Identifier: Apache-2.0
/* io/sim__disk.h - the simulated disk's inodes: a volatile and a durable side of everything. */
#pragma once

#include "io/sim__.h"

struct sim_entry {
    char *name;
    struct sim_inode *inode;
};

struct sim_entries {
    struct sim_entry *items;
    size_t count, capacity;
};

/* A change of a directory that is not durable yet. The two halves of a rename share their sequence. */
struct sim_change {
    struct list in_directory;
    uint64_t sequence;
    char *name;
    struct sim_inode *inode; // NULL: the name goes
};

struct sim_inode {
    struct list in_disk;
    uint64_t number;
    bool is_directory, is_linked, is_reachable;
    int open_count;
    int64_t modified_ms;
    bool sync_is_broken;
    int lock_owner; // 0 nobody, 1 broker, 2 clients

    /* A file. data, disk and dirty cover `capacity` bytes; data is zero from size on. */
    uint8_t *data, *disk, *dirty; // dirty: a byte for each sector
    int64_t size, disk_size, capacity;

    /* A directory. */
    struct sim_entries entries, durable;
    struct list changes;
};

struct sim_disk {
    struct list inodes;
    struct sim_inode *root;
    uint64_t next_number, sequence;
    bool is_journaled; // else every directory persists by itself
};

extern struct sim_disk *sim__disk;

/* ---- sim_tree.c */
struct sim_inode *sim__inode_create(bool is_directory);
void sim__inode_free(struct sim_inode *inode);
struct sim_inode *sim__find(const char *path);
/* The directory that holds `path`'s last name; NULL when it does not exist. */
struct sim_inode *sim__find_parent(const char *path, char ret_name[256]);
struct sim_inode *sim__entry(const struct sim_inode *directory, const char *name);
void sim__link(struct sim_inode *directory, const char *name, struct sim_inode *inode, uint64_t sequence);
void sim__entries_set(struct sim_entries *entries, const char *name, struct sim_inode *inode);
/* Makes the directory's changes up to `sequence` durable. */
void sim__directory_commit(struct sim_inode *directory, uint64_t sequence);
int64_t sim__used_bytes(void);

/* ---- sim_disk.c */
void sim__sectors_save(struct sim_inode *inode, uint32_t one_in); // each dirty sector with this chance
