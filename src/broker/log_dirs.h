// SPDX-License-Identifier: Apache-2.0
/* broker/log_dirs.h - the log directories of one broker, and the metadata directory where it is none of them. */
#pragma once

#include "broker/broker.h"

struct log_dir {
    const char *path;                           // the options'
    struct uuid id;                             // directory.id
    int lock;                                   // handle; -1: none
    bool holds_partitions;                      // false: the metadata directory alone
    bool was_clean;                             // the mark of a clean stop was there
    int64_t stopped_epoch;                      // broker epoch in that mark; -1: none
    _Atomic bool offline;                       // set by the control thread
    int32_t partition_count;                    // the control thread's
    _Atomic int32_t logs_left;                  // to be opened
    _Atomic int32_t segments_left[BROKER_CREW]; // to be checked of the log that this job is opening
    struct write_budget budget;
};

struct log_dirs {
    struct log_dir dirs[LOG_DIRS_MAX + 1];
    int count;
    char cluster_id[64];
};

/* Makes what is missing, locks all. */
MUST_USE struct status log_dirs__lock(struct log_dirs *dirs, const struct broker_options *options);
/* Formats when all are empty; checks cluster, node and directory ids; gives an id to a directory that joins. Refuses,
 * with a message for people, what is not this broker's. */
MUST_USE struct status log_dirs__identify(struct log_dirs *dirs, const struct broker_options *options,
                                          uint16_t controller_port, int64_t wall_ms);
/* Looks for the marks of a clean stop and takes them away, synced: before anything is appended. */
MUST_USE struct status log_dirs__marks_take(struct log_dirs *dirs);
MUST_USE struct status log_dirs__marks_write(struct log_dirs *dirs, int64_t broker_epoch);
void log_dirs__unlock(struct log_dirs *dirs);

struct log_dir *log_dirs__by_path(struct log_dirs *dirs, const char *path);
struct log_dir *log_dirs__by_id(struct log_dirs *dirs, struct uuid id); // NULL when there is none
/* For a new partition: the one with the fewest, as Kafka; NULL when all are offline. */
struct log_dir *log_dirs__choose(struct log_dirs *dirs);
bool log_dirs__any_online(const struct log_dirs *dirs);
