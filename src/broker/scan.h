// SPDX-License-Identifier: Apache-2.0
/* broker/scan.h - what lies in the log directories when the broker starts. */
#pragma once

#include "broker/broker__.h"

enum { SCAN_PATH_BYTES = 4096 };

struct scan_entry { // one directory <topic>-<partition>, or the same with .<id>-future
    struct hash_node by_name;
    struct scan_entry *next;
    struct log_dir *dir;
    char *topic, *path;
    int32_t index;
    bool is_future;
    struct uuid id;
    bool has_id; // false: no partition.metadata yet; whoever has its name may have it
    bool is_taken;
};

struct scan;
/* Looks through all log directories. EEXIST: a partition lies in two of them. Directories that wait for their deletion go
 * on waiting with the housekeeping. */
MUST_USE struct status dir_scan__run(struct broker *broker, struct scan **ret_scan);
void dir_scan__free(struct scan *scan);
/* The directory of that partition, NULL when there is none. */
struct scan_entry *dir_scan__take(struct scan *scan, struct slice topic, struct uuid id, int32_t index);
struct scan_entry *dir_scan__take_future(struct scan *scan, struct slice topic, struct uuid id, int32_t index);
/* The future of a partition that is nowhere else gets the partition's own name; synced. */
MUST_USE struct status dir_scan__future_promote(struct scan_entry *entry);
const struct checkpoint_set *dir_scan__checkpoints(const struct scan *scan, const struct log_dir *dir);
/* Warns of each that nobody took. */
void dir_scan__tell_strays(const struct scan *scan);
