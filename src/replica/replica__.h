// SPDX-License-Identifier: Apache-2.0
/* replica/replica__.h - inside of a partition, for the files of this folder. */
#pragma once

#include "replica/replica.h"

struct partition {
    _Atomic int64_t references;
    const struct replica_options *options;
    char *topic, *directory;       // the path: the turn's
    _Atomic(const char *) log_dir; // outlives it
    struct uuid topic_id;
    int32_t index;
    bool internal;

    /* the turn, and what waits for it */
    _Atomic bool turn;
    _Atomic(struct append *) queue;         // newest first
    _Atomic(struct chore *) chores;         // newest first
    struct append *pending, **pending_tail; // taken from the queue, in order; the turn's
    struct chore *chores_taken;             // in order; the turn's
    struct chore own_chore;                 // opening, preparation, roll, or a group beyond the budget
    bool own_chore_busy, own_chore_drains;
    _Atomic(struct write_budget *) budget; // of its directory; NULL: none

    _Atomic(struct log *) log; // NULL while it has none
    bool opens_later;
    struct log_open_options open_options;

    /* duty */
    _Atomic int32_t leader, leader_epoch, isr_count;
    _Atomic bool retired, offline;
    _Atomic int64_t high_watermark;
    struct partition_traffic traffic;

    struct partition_future future; // under the next lock
    struct io_lock *config_lock;
    struct partition_config config;
    _Atomic uint64_t config_version;
    uint64_t config_version_of_log; // the turn's

    struct io_mail dirty;
    _Atomic bool flush_is_urgent;
    _Atomic int64_t flush_messages;              // of the settings
    _Atomic int64_t flushed_ms;                  // monotonic: when the last flush was over
    _Atomic(struct partition_watch *) watches[]; // options->loop_count of them
};

/* Moves the high watermark to what is held now; true when it moved. */
bool partition__high_watermark_advance(struct partition *p);
/* Tells the flusher that there is something to sync. */
void partition__mark_dirty(struct partition *p, bool urgent);
/* After an append: past the first mark the flusher is told. */
void partition__budget_look(struct partition *p);
/* Room above what is kept back; internal partitions have it always. Counts and tells a refusal. `now_ms`: wall clock. */
bool partition__has_space(struct partition *p, uint32_t size_bytes, int64_t now_ms);
void partition__space_used(struct partition *p, uint32_t size_bytes);
void partition__lacks(struct partition *p, struct status why); // a write found no space, or no descriptor
/* True for one caller in ten seconds. */
bool partition__may_tell(_Atomic int64_t *told_ms);
/* In the pool: counts, and says so now and then. */
void partition__budget_tell(struct partition *p);
/* Wakes the watchers but that of `except_loop`, which looks itself. */
void partition__wake(struct partition *p, uint32_t except_loop);
/* Opens the log now: directory, recovery, epoch. */
MUST_USE struct status partition__open_now(struct partition *p);
