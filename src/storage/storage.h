// SPDX-License-Identifier: Apache-2.0
/* storage/storage.h - one partition's bytes: segments, indexes, the log, recovery, retention, producer state, and the
 * plain files of a log directory (checkpoints, partition.metadata, meta.properties, the clean-stop mark, the lock).
 *
 * All formats are Apache Kafka's, byte for byte. Starts no thread, holds no pointer upwards, knows no replica or topic
 * settings beyond `struct log_config`. Who may call what:
 *
 *   writer   whoever holds the partition's turn (replica/): append, roll, truncate, retain, checkpoint, delete, close, config
 *   flusher  the directory's flusher thread, at the same time as the writer: log_flush
 *   readers  any thread, any time, no turn: log_read, log_find_*, offsets (published with release/acquire)
 */
#pragma once

#include "base/base.h"
#include "record/record.h"

struct log;
struct log_segment;

/* Topic settings that act on storage, Kafka's names and units (topic-configs.txt). */
struct log_config {
    int64_t segment_bytes, segment_ms, segment_jitter_ms, segment_index_bytes, index_interval_bytes;
    int64_t retention_ms, retention_bytes; // -1: no limit
    int64_t file_delete_delay_ms, delete_retention_ms;
    int64_t min_compaction_lag_ms, max_compaction_lag_ms;
    int64_t producer_id_expiration_ms; // broker setting
    int64_t producers_max;             // ottla.partition.producers.max; 0: no limit
    double min_cleanable_dirty_ratio;
    bool preallocate, cleanup_delete, cleanup_compact;
};

/* One batch on its way in. The first part is the caller's, the second is filled by log_append. `bytes` is patched in
 * place: base offset, leader epoch (and max timestamp, attributes, CRC for LogAppendTime, by the caller beforehand). */
struct log_batch {
    uint8_t *bytes;
    uint32_t size_bytes;
    struct record_facts facts; // as record_validate found them
    bool from_client;          // producer id and sequence are checked (replicas and coordinators' appends are not)

    int16_t error;  // Kafka error code of this batch (OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, ...)
    bool duplicate; // was there already: base_offset, end_offset and append time are the original's
    int64_t base_offset;
    int64_t end_offset;         // exclusive: what must be flushed or replicated before the reply
    int64_t log_append_time_ms; // of the original for a duplicate; else -1 (the caller knows)
};

/* What the logs of one directory have written and its disk need not have yet. They share it; it outlives them. */
struct log_unflushed {
    _Atomic int64_t bytes, bytes_most; // now, and the most there ever were
};

/* The descriptors that segments and indexes keep open: `count_max` and no more, but for files with bytes that are not
 * synced. The logs of a broker share it; it outlives them and their slices. */
struct log_files;
struct log_files *log_files_create(int count_max);
void log_files_free(struct log_files *files); // NULL is fine
int log_files_count(struct log_files *files); // open now; any thread

struct log_open_options {
    const char *directory; // of the partition, exists or is made
    const struct log_config *config;
    bool clean_stop;            // the log directory had the clean-stop mark: no scan
    bool is_lazy;               // what only writers need is left to log_prepare
    bool is_made;               // dir_partition_create has just made the directory, or synced its name again
    int64_t recovery_point;     // from recovery-point-offset-checkpoint; 0 when absent
    int64_t start_offset;       // from log-start-offset-checkpoint; 0 when absent
    int64_t first_dirty_offset; // from cleaner-offset-checkpoint; 0 when absent
    int64_t flushed_offset;     // our flushed mark; -1 unknown. Corruption below it takes the partition offline (EIO)
    int64_t now_ms;             // wall clock
    const _Atomic bool *cancel; // recovery looks at it between pieces; may be NULL
    _Atomic int32_t *segments_left;  // recovery's: how many it has yet to check; may be NULL
    struct log_unflushed *unflushed; // counts this log's bytes; may be NULL
    struct log_files *files;         // NULL: what was opened stays open
};

/* Opens or creates, recovering as the options say: CRC of every batch from the recovery point, a bad tail cut and kept
 * aside as <segment>.<position>.cut, indexes and producer state rebuilt, recovered bytes flushed. */
MUST_USE struct status log_open(const struct log_open_options *options, struct log **ret_log);
/* Writes indexes' last entries, the producer snapshot; syncs everything; recovery point = end. */
MUST_USE struct status log_close_clean(struct log *log);
void log_free(struct log *log); // frees memory and handles without writing; after log_close_clean or a fault

/* Writer. Reads what the first append needs and a lazy opening left out: times of the active segment, the latest epoch's line
 * on the disk. Appends and rolls do it themselves when it was not done; then they may wait for the disk. */
MUST_USE struct status log_prepare(struct log *log);
bool log_is_prepared(const struct log *log); // writer

void log_config_set(struct log *log, const struct log_config *config);

/* ---- published offsets, any thread */
int64_t log_start_offset(const struct log *log);
int64_t log_end_offset(const struct log *log);     // next to be assigned
int64_t log_flushed_offset(const struct log *log); // everything before it survives a power cut
int64_t log_recovery_point(const struct log *log); // Kafka's: log, indexes, snapshot and directory synced up to here
int64_t log_size_bytes(const struct log *log);
bool log_is_offline(const struct log *log); // an I/O fault made it so
bool log_may_recover(
    struct status why); // no space, or no descriptor: when there is one again, the next call may succeed

/* ---- writer. One pwritev for all accepted batches. A failing write is truncated or overwritten, never published, and the
 * status tells; batches refused for their own sake have `error` set and the others go on. */
bool log_roll_is_due(const struct log *log, uint32_t next_size_bytes, int64_t next_max_timestamp_ms, int64_t now_ms);
/* Whether so many bytes of several batches may lie in one segment: an empty one takes any batch, but only one too large. */
bool log_segment_holds(const struct log *log, uint64_t size_bytes);
/* Closes the active segment and starts a new one at the end offset: creates files, so it belongs into the pool. */
MUST_USE struct status log_roll(struct log *log);
MUST_USE struct status log_append(struct log *log, struct log_batch *batches[], int count, int32_t leader_epoch,
                                  int64_t now_ms);
/* As a follower or for metadata: batches that already have offsets and epochs; the first base offset must be the end. */
MUST_USE struct status log_append_as_is(struct log *log, struct slice batches, int64_t now_ms);
MUST_USE struct status log_truncate_to(struct log *log, int64_t offset);
/* Moves the start offset (DeleteRecords, snapshots); whole segments below it go at the next log_retain. */
MUST_USE struct status log_start_offset_set(struct log *log, int64_t offset);
/* Unlists and renames to .deleted what retention by time, size or start offset allows below `limit_offset` (the high
 * watermark); deletes .deleted files older than file_delete_delay_ms. Belongs into the pool. */
MUST_USE struct status log_retain(struct log *log, int64_t limit_offset, int64_t now_ms);
/* Deletes .deleted files that are older than file_delete_delay_ms; log_retain does it too. Belongs into the pool. */
void log_deletes_finish(struct log *log, int64_t now_ms);
bool log_has_deletes(const struct log *log); // any thread
/* Drops expired producers (producer_id_expiration_ms). */
void log_producers_expire(struct log *log, int64_t now_ms);
/* Of all logs: producers that were forgotten since their partition had more than producers_max. Any thread. */
uint64_t log_producers_crowded_out(void);
/* Every producer that the log remembers, appended one after the other. */
struct log_producer {
    int64_t id, last_timestamp_ms, txn_first_offset; // txn_first_offset -1: no transaction is open
    int32_t last_sequence, coordinator_epoch;        // -1: none yet
    int16_t epoch;
};
void log_producers_list(const struct log *log, struct buffer *ret_producers);
/* Syncs indexes and writes the producer snapshot too, then moves the recovery point. Belongs into the pool, after a roll
 * and every few seconds. */
MUST_USE struct status log_checkpoint(struct log *log);
/* Renames the directory to <topic>-<partition>.<uuid>-delete. The files go with log_delete_files. */
MUST_USE struct status log_rename_for_delete(struct log *log);
MUST_USE struct status log_delete_files(struct log *log);
const char *log_directory(const struct log *log);

/* ---- compaction: of each key only the newest record stays, below the offset that was cleaned last (KIP-58, 354, 534).
 * Three acts, so that cleaning holds up no append: begin (writer) picks sealed segments, step (pool, without the turn) reads
 * them and writes new ones beside them in pieces, end (writer, pool) swaps those in. */
struct log_dirt {
    int64_t first_dirty_offset;           // what was given, moved into the log
    int64_t clean_bytes, cleanable_bytes; // below it; from it on, up to what may be cleaned now
    bool is_due;                          // min.cleanable.dirty.ratio or max.compaction.lag.ms say so
};
int64_t log_first_dirty_offset(const struct log *log); // below it compaction has been; any thread
/* Writer. `limit_offset`: the last stable offset. */
MUST_USE struct status log_dirt(struct log *log, int64_t limit_offset, int64_t now_ms, struct log_dirt *ret_dirt);

struct log_compaction;
struct log_compaction_options {
    int64_t limit_offset, now_ms;
    size_t map_bytes_max;   // log.cleaner.dedupe.buffer.size of this cleaner
    double map_load_factor; // log.cleaner.io.buffer.load.factor
};
/* Writer. NULL when there is nothing to clean. */
MUST_USE struct status log_compaction_begin(struct log *log, const struct log_compaction_options *options,
                                            struct log_compaction **ret_compaction);
/* Goes on for about `bytes_max` of reading and writing. EBADMSG: a batch that cannot be read; the log is uncleanable. */
MUST_USE struct status log_compaction_step(struct log_compaction *compaction, int64_t bytes_max, int64_t *ret_bytes,
                                           bool *ret_done);
/* Writer, once all steps are done: moves the first dirty offset too. Nothing happens when the segments were changed
 * meanwhile (retention). */
MUST_USE struct status log_compaction_end(struct log_compaction *compaction, int64_t now_ms);
void log_compaction_free(
    struct log_compaction *compaction); // also after a fault or instead of the end; removes its files

/* ---- a log moves to another log directory (KIP-113): its future there is written beside it, follows it, and takes its
 * place. What has been copied lies in whole segments with all their files, and one in the making, <base>.log.cleaned. */
struct log_future;
/* Writer, or at a start. `directory` is there: <topic>-<partition>.<id>-future. What an earlier life has left in it is
 * compared with the log, and written again only from where it differs. */
MUST_USE struct status log_future_create(struct log *log, const char *directory, struct log_future **ret_future);
/* Goes on for about `bytes_max`. Without the turn, one at a time. *ret_is_level: all that was published is there. */
MUST_USE struct status log_future_step(struct log_future *future, int64_t bytes_max, int64_t *ret_bytes,
                                       bool *ret_is_level);
/* Whether the last failure was one of the future's own disk, not of the log's. */
bool log_future_is_at_fault(const struct log_future *future);
struct log_future_progress {
    int64_t end_offset, size_bytes; // of what is there
    int64_t synced_offset;          // below it all is synced
};
struct log_future_progress log_future_progress(const struct log_future *future); // whoever may step
/* Writer: the rest of the log follows, and all is synced. Until the turn is given back the future is whole. */
MUST_USE struct status log_future_finish(struct log_future *future);
/* Writer, still the same turn: the log's directory is renamed to ...-delete and is the caller's to remove (mem_free'd), the
 * future gets the name `directory`; readers go on meanwhile. Whatever happens, one of the two is whole. */
MUST_USE struct status log_future_replace(struct log_future *future, const char *directory,
                                          struct log_unflushed *unflushed, char **ret_old_directory);
void log_future_free(struct log_future *future); // its directory stays

/* ---- flusher. Syncs what was written when it started: rolled files first, then the directory when its entries changed,
 * then the active file; then publishes and returns the flushed offset. A failure takes the log offline for good. */
MUST_USE struct status log_flush(struct log *log, int64_t *ret_flushed_offset);
/* Starts write-back early when more than `threshold_bytes` were written since the last call; returns unflushed bytes. */
int64_t log_write_back(struct log *log, int64_t threshold_bytes);
int64_t log_unflushed_bytes(const struct log *log); // any thread

/* ---- readers. A slice holds its segment until released; bytes below the published end never change. */
struct log_slice {
    struct log_segment *segment; // NULL: nothing
    int file;                    // for io_sendfile or io_pread
    int64_t position;
    uint32_t size_bytes; // whole batches only
    int64_t base_offset; // of the first batch
    int64_t next_offset; // after the last batch
    bool is_hot;         // inside the tail window: presumed in the page cache
};

enum log_read_result { LOG_READ_OK, LOG_READ_OUT_OF_RANGE, LOG_READ_FAILED };

/* Batches from the one that contains `offset` up to `limit_offset` (exclusive: no batch that ends beyond it), at most
 * `size_max` bytes, but at least one whole batch when `at_least_one`. An empty slice when offset == limit_offset. */
MUST_USE enum log_read_result log_read(struct log *log, int64_t offset, int64_t limit_offset, uint32_t size_max,
                                       bool at_least_one, struct log_slice *ret_slice);
void log_slice_release(struct log_slice *slice); // fine on an empty one
/* First record with timestamp >= `timestamp_ms` below `limit_offset`: offset -1 when none. May read the disk: pool. */
MUST_USE struct status log_find_by_time(struct log *log, int64_t timestamp_ms, int64_t limit_offset,
                                        int64_t *ret_offset, int64_t *ret_timestamp_ms, int32_t *ret_leader_epoch);
/* The record with the largest timestamp below `limit_offset`; offset -1 on an empty log. */
MUST_USE struct status log_find_max_timestamp(struct log *log, int64_t limit_offset, int64_t *ret_offset,
                                              int64_t *ret_timestamp_ms, int32_t *ret_leader_epoch);

/* ---- leader epochs (leader-epoch-checkpoint), KIP-101/279 */
/* Writer; at the end offset, synced before the first append: now, or by log_prepare. */
MUST_USE struct status log_epoch_begin(struct log *log, int32_t leader_epoch);
int32_t log_epoch_latest(const struct log *log);             // -1 when none
int32_t log_epoch_at(const struct log *log, int64_t offset); // -1 when unknown
/* End offset of the largest epoch <= `leader_epoch`; -1/-1 when unknown. */
void log_epoch_end(const struct log *log, int32_t leader_epoch, int32_t *ret_epoch, int64_t *ret_end_offset);

/* ---- producers: counts and last stable offset (open transactions come with a later issue; the state is kept now) */
int64_t log_first_unstable_offset(const struct log *log); // -1 when no transaction is open
/* What read_committed may see: the high watermark, held back by open transactions and by decided ones whose marker is not
 * below the high watermark. Any thread; a partition's high watermark must not go back between calls. */
int64_t log_last_stable_offset(struct log *log, int64_t high_watermark);
struct log_aborted {
    int64_t producer_id, first_offset;
};
/* Aborted transactions overlapping [offset, limit_offset) from .txnindex, into the arena. */
MUST_USE struct status log_aborted_transactions(struct log *log, int64_t offset, int64_t limit_offset,
                                                struct arena *arena, struct log_aborted **ret_aborted,
                                                int32_t *ret_count);

/* ---- the files of a log directory */
struct checkpoint_entry {
    struct slice topic; // NUL-ended too
    int32_t partition;
    int64_t offset;
};
/* "version 0, count, lines" files: recovery-point-offset-checkpoint, log-start-offset-checkpoint,
 * replication-offset-checkpoint, cleaner-offset-checkpoint. A missing file is an empty one. */
MUST_USE struct status checkpoint_read(const char *path, struct arena *arena, struct checkpoint_entry **ret_entries,
                                       int32_t *ret_count);
/* Through a temporary file, synced, renamed, directory synced. */
MUST_USE struct status checkpoint_write(const char *path, const struct checkpoint_entry *entries, int32_t count);

struct dir_properties { // meta.properties
    char cluster_id[64];
    int32_t node_id;
    struct uuid directory_id;
};
MUST_USE struct status dir_properties_read(const char *log_dir, struct dir_properties *ret_properties,
                                           bool *ret_exists);
MUST_USE struct status dir_properties_write(const char *log_dir, const struct dir_properties *properties);
/* .lock, held until dir_unlock. EAGAIN: another broker has the directory. */
MUST_USE struct status dir_lock(const char *log_dir, int *ret_handle);
void dir_unlock(int handle);
/* .kafka_cleanshutdown: version and broker epoch. Taking it deletes it and syncs the deletion. -1 when absent. */
MUST_USE struct status dir_clean_mark_take(const char *log_dir, int64_t *ret_broker_epoch, bool *ret_existed);
MUST_USE struct status dir_clean_mark_write(const char *log_dir, int64_t broker_epoch);
/* Makes <log_dir>/<topic>-<partition> with its partition.metadata, all synced. EEXIST when another topic id has it. */
MUST_USE struct status dir_partition_create(const char *log_dir, const char *topic, int32_t partition,
                                            struct uuid topic_id);
/* Renames a partition's directory to <topic>-<partition>.<id>-<what>, as Kafka names what it deletes ("delete") or does not
 * know ("stray"); synced. The new path is mem_free'd by the caller. */
MUST_USE struct status dir_partition_rename(const char *partition_dir, const char *what, char **ret_path);
/* The place of a partition that moves into this log directory: <topic>-<partition>.<id>-future with its partition.metadata,
 * all synced. The path is mem_free'd by the caller. */
MUST_USE struct status dir_future_create(const char *log_dir, const char *topic, int32_t partition,
                                         struct uuid topic_id, char **ret_path);
bool dir_future_fits(struct slice topic, int32_t partition); // false: the name would be longer than Kafka lets it be
/* Removes a partition's directory and the files in it. */
MUST_USE struct status dir_partition_delete(const char *partition_dir);
MUST_USE struct status dir_partition_topic_id(const char *partition_dir, struct uuid *ret_topic_id, bool *ret_exists);
