// SPDX-License-Identifier: Apache-2.0
/* replica/replica.h - one partition's duty: who may append, in which order, and what readers may see.
 *
 * A partition is used by many threads without a lock that anyone waits for:
 *
 *   turn      one flag. Whoever sets it may call the writer's side of the log. A reactor never waits for it: it queues
 *             its append and goes on; the holder looks at the queue again after giving the turn back.
 *   chores    work that needs the turn and may wait for the disk (roll, retention, checkpoint, delete): queued too, run
 *             in the pool with the turn held, appends queue meanwhile.
 *   watches   one per loop that waits for this partition: a mail node, sent when something that was waited for may be
 *             true (written, flushed, high watermark moved, leader changed, deleted). The receiver looks itself.
 *
 * High watermark = the smallest end that every in-sync replica holds; our own end counts as held once it is flushed
 * (durability fsync) or written (page-cache). Design section 1.3; KIP-101 for the epochs.
 */
#pragma once

#include "base/base.h"
#include "io/io.h"
#include "storage/storage.h"

struct partition;

enum { REPLICA_LOOPS_MAX = 256 }; // loops that may watch a partition: the reactors

/* What happens to the partitions of one broker; shared by all of them, outlives them. */
struct replica_options {
    bool flush_before_visible; // durability fsync
    int32_t node_id;
    uint32_t loop_count; // loops[i] is watched as number i
    struct io_loop *loops[REPLICA_LOOPS_MAX];
    struct io_loop *flusher; // gets a partition's `dirty` mail
    uint32_t dirty_mail_kind, watch_mail_kind;
    struct io_pool *pool; // chores
};

/* ---- what one log directory may have written and not flushed. Its partitions share it; it outlives them.
 * Beyond `drain_bytes` the flusher is told to sync, whatever the durability; beyond `limit_bytes` nothing is written from
 * a reactor any more: the pool flushes the partition and writes for it, one group at a time, and producers are muted.
 * `space`: what producers may still fill of its file system. */
struct write_space {
    int64_t reserve_bytes;                        // kept back for the broker's own books; 0: nothing
    _Atomic int64_t left_bytes, look_again_bytes; // above the reserve: at the last look, less what was written since
    _Atomic int64_t looked_ms, told_ms;
    _Atomic uint64_t refused; // batches
    /* Descriptors are space of another kind. */
    _Atomic int64_t descriptors_told_ms;
    _Atomic uint64_t without_descriptor; // times that a partition could not be written to
};

void write_space_init(struct write_space *space, int64_t reserve_bytes);

struct write_budget {
    const char *log_dir;
    int64_t drain_bytes, limit_bytes; // 0: no limit
    struct log_unflushed unflushed;
    struct io_mail drain;   // to the flusher; its kind is the owner's
    _Atomic uint64_t taken; // groups that the pool wrote because of it
    _Atomic int64_t told_ms;
    struct write_space space;
};

/* The directory has room for so many bytes more, above what is kept back. Asks the file system. */
bool write_budget_may_take(struct write_budget *budget, int64_t size_bytes);

/* ---- one append: a batch of one client, or of a coordinator. Lives in its request until `done`. */
struct append {
    struct append *next; // the queue's
    struct log_batch batch;
    uint32_t loop;                 // whose watch is woken when another thread finished it
    int32_t expected_leader_epoch; // -1: any
    bool waits_for_flush;          // somebody waits: the flusher starts at once
    int64_t now_ms;                // wall clock, for the log

    int16_t error;     // Kafka error code, valid once done
    _Atomic bool done; // written and published, or refused
};

/* ---- chores */
struct chore {
    struct io_job job; // first
    struct chore *next;
    struct partition *partition;
    void (*run)(struct chore *chore); // in the pool, with the turn held; must not end the turn itself
    bool keeps_turn; // the turn stays held after `run`: whoever waits for that calls partition_turn_end
};

/* Who waits for a partition on one loop. */
struct partition_watch {
    struct io_mail
        mail; // first; kind is options->watch_mail_kind; each one received carries a reference to the partition
    struct partition *partition;
    _Atomic bool armed;
    struct list waits; // the loop's own
    void *owner;       // the loop's own: who hears of everything; NULL: nobody
};

struct partition_config {
    struct log_config log;
    int32_t max_message_bytes, min_insync_replicas;
    int64_t flush_messages,
        flush_ms; // page-cache mode: how much, and for how long, may be acknowledged and not flushed
    bool log_append_time, compacted;
    int8_t compression_type; // -1: producer; else the codec
    int32_t compression_level;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
};

/* Where it is going to lie, and how far that has come. */
struct partition_future {
    const char *log_dir;                           // NULL: it stays where it is
    int64_t end_offset, synced_offset, size_bytes; // of what is there
};

/* ---- life. Counted; the table of the broker holds one reference, every watcher and chore its own. */
/* `log_dir` outlives it, as every directory that it moves to. */
struct partition *partition_create(const struct replica_options *options, const char *topic, struct uuid topic_id,
                                   int32_t index, const char *log_dir, bool internal);
void partition_ref(struct partition *p);
void partition_unref(struct partition *p); // the last one frees log and memory
/* Gives it its log, making the directory when it does not exist yet. `options->directory` is ignored: the partition knows.
 * `later`: the first append does it (a chore); until then the partition reads as empty. */
MUST_USE struct status partition_open(struct partition *p, const struct log_open_options *options, bool later);

/* With the turn: what waits for the first append is done now. */
MUST_USE struct status partition_open_if_later(struct partition *p);

/* Any thread. */
void partition_future_set(struct partition *p, const struct partition_future *future); // NULL: none
struct partition_future partition_future_get(struct partition *p);
/* With the turn, after log_future_finish: it lies in that directory from now on, and has no future any more. */
MUST_USE struct status partition_replace(struct partition *p, struct log_future *future, const char *log_dir,
                                         struct write_budget *budget, char **ret_old_directory);

/* Before it is opened; without one it may write as it likes. */
void partition_budget_set(struct partition *p, struct write_budget *budget);
struct write_budget *partition_budget(const struct partition *p); // NULL: none
/* More is unflushed in its directory than may be: whoever appends has to wait for the disk. */
bool partition_is_over_budget(const struct partition *p);
/* Its directory has room for so many bytes more, above what is kept back. Asks the file system. */
bool partition_may_take(struct partition *p, int64_t size_bytes);

/* What it was opened with; all zero before. */
const struct log_open_options *partition_open_options(const struct partition *p);
/* Its disk cannot be trusted any more: every later append and read is refused, its data is left as it is. */
void partition_take_offline(struct partition *p, struct status why);

const char *partition_topic(const struct partition *p);
struct uuid partition_topic_id(const struct partition *p);
int32_t partition_index(const struct partition *p);
const char *partition_log_dir(const struct partition *p);
bool partition_is_internal(const struct partition *p);
struct log *partition_log(const struct partition *p); // NULL while it has none

/* ---- duty, from the metadata image. Replicas and isr are node ids. Becoming leader of a new epoch begins that epoch in
 * the log (so it may wait for the disk: call from the control thread or a chore, with the turn). */
struct partition_duty {
    int32_t leader, leader_epoch;
    const int32_t *isr;
    int32_t isr_count;
};
MUST_USE struct status partition_duty_set(struct partition *p, const struct partition_duty *duty);
int32_t partition_leader(const struct partition *p);
int32_t partition_leader_epoch(const struct partition *p);
bool partition_is_leader(const struct partition *p);
int32_t partition_isr_count(const struct partition *p);
/* Deleted or moved away: every later append and read is refused, watchers are woken. */
void partition_retire(struct partition *p);
bool partition_is_retired(const struct partition *p);
bool partition_is_offline(const struct partition *p); // its directory or log had a fault

void partition_config_set(struct partition *p, const struct partition_config *config);
/* The settings as of now; a copy, since they may change at any time. */
struct partition_config partition_config_get(struct partition *p);
uint64_t partition_config_version(const struct partition *p); // changes with each set; never 0

/* ---- appending. Enqueue never waits. Drain takes the turn if it is free and writes what is queued, with one pwritev for
 * as many as go together; the caller's own appends may or may not be done afterwards (look at append->done). */
void partition_enqueue(struct partition *p, struct append *append);
void partition_drain(struct partition *p, uint32_t own_loop);
/* Runs in the pool with the turn held as soon as the turn is free; holds a reference meanwhile. */
void partition_chore(struct partition *p, struct chore *chore);
/* The turn for start and stop, when nothing else runs; false when somebody has it. */
bool partition_turn_try(struct partition *p);
void partition_turn_end(struct partition *p);

/* ---- the flusher's side */
struct partition *partition_of_dirty_mail(struct io_mail *mail);
bool partition_flush_is_urgent(const struct partition *p);
/* Page-cache mode: has the flusher sync what is unflushed if the last flush is longer ago than flush.ms. */
void partition_flush_if_due(struct partition *p, int64_t now_ms);
/* Starts write-back of what is unflushed, without waiting; false when there is nothing. */
bool partition_write_back(struct partition *p);
/* Syncs, moves the high watermark, wakes the watchers. */
MUST_USE struct status partition_flush(struct partition *p);

/* ---- what may be seen */
int64_t partition_start_offset(const struct partition *p);
int64_t partition_end_offset(const struct partition *p);
int64_t partition_high_watermark(const struct partition *p);
int64_t partition_last_stable_offset(const struct partition *p);
int64_t partition_flushed_offset(const struct partition *p);
/* What clients have moved since the start, and what failed as Kafka counts it: not what it foresees, such as a leader that is
 * elsewhere. Who moves it counts it, anybody reads. */
struct partition_traffic {
    _Atomic uint64_t messages_in, bytes_in, bytes_out, produce_failures, fetch_failures;
};
struct partition_traffic *partition_traffic(struct partition *p);
/* True once a reply with these acks may leave for what ends at `end_offset`: 0 always; 1 flushed (or written); -1 high watermark. */
bool partition_is_acked(const struct partition *p, int16_t acks, int64_t end_offset);
/* Start and stop: the high watermark of replication-offset-checkpoint, bounded by what is flushed. */
void partition_high_watermark_restore(struct partition *p, int64_t offset);

enum read_as { READ_AS_CONSUMER, READ_AS_COMMITTED, READ_AS_FOLLOWER };
/* Kafka error code 0, OFFSET_OUT_OF_RANGE, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
 * `leader_epoch` -1: not checked. */
int16_t partition_check_epoch(const struct partition *p, int32_t leader_epoch);
int16_t partition_read(struct partition *p, enum read_as as, int64_t offset, uint32_t size_max, bool at_least_one,
                       struct log_slice *ret_slice);

/* ---- watching, by the loop's own thread. */
struct partition_watch *partition_watch_get(struct partition *p, uint32_t loop); // made on first use
void partition_watch_arm(struct partition_watch *watch);                         // then look at the condition once more
void partition_watch_disarm(struct partition_watch *watch);
void partition_wake_all(struct partition *p);
