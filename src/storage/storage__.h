// SPDX-License-Identifier: Apache-2.0
/* storage/storage__.h - inside of a log, for the files of this folder: what is kept in memory of segments, indexes and
 * producers, whose thread each field belongs to, and what the files ask of each other.
 */
#pragma once

#include "io/io.h"
#include "storage/storage.h"
#include "wire/gen/errors.h"

#include <errno.h>

enum { SEGMENT_PATH_BYTES = 4096 };

static inline uint64_t storage__be(const uint8_t *p, int size)
{
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value = value << 8 | p[i];
    return value;
}

static inline void storage__put_be(uint8_t *p, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        p[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

/* ---- index.c: one of the two sparse indexes of a segment */
enum index_kind { INDEX_OFFSET, INDEX_TIME, INDEX_KINDS };
struct index {
    uint32_t file_count; // entries in the file
    uint32_t tail_count; // entries behind them, in memory
    uint8_t *tail;
    bool counted; // file_count is known
};
struct index_entry {
    uint64_t key;   // relative offset, or timestamp
    uint32_t value; // position, or relative offset
};

/* ---- files.c: one file of a segment. The indexes have the numbers of enum index_kind. */
enum { SEGMENT_LOG = INDEX_KINDS, SEGMENT_FILES };
struct segment_file {
    struct list in_open; // under the cache's lock
    struct log_segment *segment;
    _Atomic int32_t pins; // how many use the handle now; -1: closed
    int handle;
    _Atomic bool is_used;                   // since the cache looked last
    _Atomic uint32_t writes, synced_writes; // differ: not all is synced
};

/* ---- segment.c: <base>.log with its indexes. Counted: the log and each slice hold it. */
struct log_segment {
    _Atomic int64_t references;
    int64_t base_offset, made_ms;
    char *stem;               // path without suffix
    char *moved_from;         // the same before its log's directory got its name; NULL: it always had it
    _Atomic(char *) moved_to; // the same once its log has moved away from it; NULL: it has not
    const char *stage;        // behind the suffixes: "", or ".cleaned", ".swap" until compaction has put it in place
    struct log_files *cache;  // NULL: files stay open
    struct segment_file files[SEGMENT_FILES];
    _Atomic bool is_gone;       // its files have, or get, names that end with .deleted
    _Atomic int64_t size_bytes; // published
    struct io_lock *lock;       // indexes, and the largest timestamp
    struct index indexes[INDEX_KINDS];
    int64_t max_timestamp_ms, max_timestamp_offset; // -1: none yet
    bool max_timestamp_known;
    int64_t first_timestamp_ms; // the writer's; -1: not known, or empty
    int64_t bytes_since_index;  // the writer's
    _Atomic bool synced;        // sealed, and its .log is on the disk
    bool indexes_synced;        // the writer's
};

/* ---- producers.c */
enum { PRODUCER_BATCHES = 5 };
struct producer_batch {
    int32_t base_sequence, last_sequence;
    int64_t last_offset;
    int32_t offset_delta;
    int64_t timestamp_ms;
};
struct producer {
    struct hash_node in_producers;
    struct list in_use; // of the log: the longest unused first
    int64_t id;
    int16_t epoch;
    int32_t batch_count; // newest last
    bool history_is_cut; // from a snapshot: batches before these are in the log only
    struct producer_batch batches[PRODUCER_BATCHES];
    int64_t last_timestamp_ms;
    int32_t coordinator_epoch;
    int64_t txn_first_offset; // -1: none open
};

/* A decided transaction whose marker was not below the high watermark when last looked at. */
struct decided {
    int64_t first_offset, marker_offset;
};

struct epoch_entry {
    int32_t epoch;
    int64_t start_offset;
};

/* A segment renamed to .deleted, waiting for its delay. */
struct doomed {
    struct doomed *next;
    struct log_segment *segment;
    int64_t since_ms;
};

/* Where in which segment an offset begins. */
struct log_mark {
    int64_t offset, segment_base, position;
};

enum { LOG_MARKS = 8 };

struct log {
    char *directory, *directory_before; // before it moved: somebody may just be telling of it
    struct log_config config;           // the writer's
    int64_t jitter_ms;                  // of the active segment
    bool is_prepared;                   // the writer's: see log_prepare
    bool epochs_are_unsaved;            // the writer's, until it is prepared
    struct io_lock *lock;               // segments, epochs, marks, decided; held for a few instructions
    struct log_segment **segments;
    int segment_count, segment_capacity;
    _Atomic int64_t start_offset, end_offset, flushed_offset, recovery_point, size_bytes, first_dirty_offset;
    _Atomic int64_t written_bytes, flushed_bytes; // ever, of this process
    struct log_files *files;                      // descriptors, with the other logs; or NULL
    struct log_unflushed *unflushed;              // the difference, with that of the directory's other logs; or NULL
    _Atomic bool offline;
    struct log_mark marks[LOG_MARKS]; // ends of recent flushes and appends, where readers come next
    int mark_next;
    int64_t truncations;        // a flush that ran over one publishes nothing
    bool directory_dirty;       // entries to be synced before the flushed offset passes a roll
    struct io_lock *flush_lock; // one flush at a time; never taken by a reactor
    int64_t written_back_bytes; // the flusher's
    struct doomed *doomed;      // the writer's
    _Atomic bool has_deletes;   // there are doomed ones

    struct hash producers;           // the writer's
    struct list producers_in_use;    // the same, the longest unused first
    int64_t snapshot_offset;         // of the newest; -1 none
    _Atomic int64_t unstable_offset; // first of the open transactions, -1
    struct decided *decided;
    int decided_capacity;
    _Atomic int decided_count;

    struct epoch_entry *epochs;
    int epoch_count, epoch_capacity;
};

/* log_flush.c: the two ends of what is counted as written and not flushed */
void log__written_add(struct log *log, int64_t bytes);
void log__flushed_move(struct log *log,
                       int64_t written_bytes); // flushed, or given up, up to that of log->written_bytes

/* files.c: a handle stays open between get and put, which nest. `flags`: IO_CREATE and IO_TRUNCATE, where it is not open */
void segment_file__init(struct log_segment *segment);
void segment_file__close_all(struct log_segment *segment);
MUST_USE struct status segment_file__get(struct log_segment *segment, int kind, int flags, int *ret_handle);
void segment_file__put(struct log_segment *segment, int kind);
void segment_file__written(struct log_segment *segment, int kind); // before something is, by way of the handle
MUST_USE struct status segment_file__read(struct log_segment *segment, int kind, void *ret_data, size_t size,
                                          int64_t position);
MUST_USE struct status segment_file__write(struct log_segment *segment, int kind, const void *data, size_t size,
                                           int64_t position);
MUST_USE struct status segment_file__truncate(struct log_segment *segment, int kind, int64_t size);
MUST_USE struct status segment_file__sync(struct log_segment *segment, int kind);

/* segment.c */
MUST_USE struct status segment__create(const struct log *log, int64_t base_offset, int64_t now_ms,
                                       struct log_segment **ret_segment);
/* With stage .cleaned: compaction's output, on no list yet. */
MUST_USE struct status segment__create_cleaned(const struct log *log, int64_t base_offset, int64_t now_ms,
                                               struct log_segment **ret_segment);
MUST_USE struct status segment__restage(struct log_segment *segment,
                                        const char *stage); // renames its files, synced, the log last
void segment__unlink(struct log_segment *segment);          // all files of its stage
MUST_USE struct status segment__open(const struct log *log, int64_t base_offset, int64_t now_ms,
                                     struct log_segment **ret_segment);
void segment__ref(struct log_segment *segment);
void segment__unref(struct log_segment *segment); // NULL is fine
void segment__path(const struct log_segment *segment, const char *suffix, char ret_path[SEGMENT_PATH_BYTES]);
/* Where a file lies while its log moves to another directory: to be tried one after the other, by whoever is no writer.
 * False: that place need not be tried. */
enum { SEGMENT_PLACES = 4 };
bool segment__place(const struct log_segment *segment, int place, const char *suffix,
                    char ret_path[SEGMENT_PATH_BYTES]);
char *segment__stem(const char *directory, int64_t base_offset); // mem_free'd by the caller
/* Of a log that moves to `directory`: the same bytes as `of` has, in files that are there already, below `from` for now. */
struct log_segment *segment__moved(const struct log_segment *of, const char *from, const char *directory);
int64_t segment__size(const struct log_segment *segment);
/* Reads the heads of batches (record_stored_head) from `position` up to `limit`, calls `each` until it returns false. EBADMSG where the bytes
 * are no batch; *ret_position (may be NULL) is then that place, else the end or the place where `each` stopped. */
typedef bool segment__each_fn(void *context, const uint8_t *head, int64_t position);
MUST_USE struct status segment__heads(struct log_segment *segment, int64_t position, int64_t limit,
                                      segment__each_fn *each, void *context, int64_t *ret_position);
MUST_USE struct status segment__first_timestamp(struct log_segment *segment, int64_t *ret_timestamp_ms); // -1: none
/* The first batch that ends after `offset`, below file position `limit`; position == limit when there is none. */
struct segment_place {
    int64_t position, size_bytes, base_offset, next_offset;
};
MUST_USE struct status segment__find(struct log_segment *segment, int64_t offset, int64_t limit,
                                     struct segment_place *ret_place);
/* Reads one whole batch. */
MUST_USE struct status segment__read_batch(struct log_segment *segment, int64_t position, int64_t size_bytes,
                                           struct buffer *ret_batch);
/* Largest timestamp and the last offset of its batch; -1 when there is none. */
MUST_USE struct status segment__max_timestamp(struct log_segment *segment, int64_t *ret_timestamp_ms,
                                              int64_t *ret_offset);
MUST_USE struct status segment__rename_deleted(struct log_segment *segment, bool with_snapshot);
void segment__delete_renamed(struct log_segment *segment);

/* index.c */
void index__free(struct log_segment *segment);
/* Notes an appended batch: largest timestamp, and an entry in both indexes for each index.interval.bytes. */
MUST_USE struct status index__note(struct log_segment *segment, const struct log_config *config, int64_t last_offset,
                                   int64_t position, int64_t size_bytes, int64_t max_timestamp_ms);
MUST_USE struct status index__last_time(struct log_segment *segment); // the last entry of a sealed segment's time index
MUST_USE struct status index__make(struct log_segment *segment);      // makes the files, or empties what a crash left
MUST_USE struct status index__sync(struct log_segment *segment);      // spilled, trimmed to size, synced
MUST_USE struct status index__is_full(struct log_segment *segment, const struct log_config *config, bool *ret_is_full);
/* Drops entries that point at or past `offset` or `position`. */
MUST_USE struct status index__truncate(struct log_segment *segment, int64_t offset, int64_t position);
/* A position at or before the batch with `offset`; 0 when the index has none. */
MUST_USE struct status index__position(struct log_segment *segment, int64_t offset, int64_t *ret_position);
/* The largest indexed position <= `position`; 0 when none. */
MUST_USE struct status index__position_below(struct log_segment *segment, int64_t position, int64_t *ret_position);
/* An offset at or before the first record with that time. */
MUST_USE struct status index__offset_by_time(struct log_segment *segment, int64_t timestamp_ms, int64_t *ret_offset);
MUST_USE struct status index__entries(struct log_segment *segment, enum index_kind kind, int64_t *ret_count);
MUST_USE struct status index__last(struct log_segment *segment, enum index_kind kind, struct index_entry *ret_entry,
                                   bool *ret_found);

/* log.c */
void log__segment_add(struct log *log, struct log_segment *segment); // takes it; the new last one
struct log_segment *log__active(const struct log *log);              // the writer's view
/* The segment with the largest base <= offset (else the first), held; with what was published at that moment. */
struct log_view {
    struct log_segment *segment;
    int64_t end_offset, size_bytes; // of the log; of the segment
    bool is_active;
    struct log_mark from, limit; // offset -1: not known
};
void log__view(struct log *log, int64_t offset, int64_t limit_offset, struct log_view *ret_view);
struct log_segment *log__segment_after(struct log *log, int64_t base_offset);            // held; NULL at the end
void log__mark(struct log *log, int64_t offset, int64_t segment_base, int64_t position); // under the lock
void log__take_offline(struct log *log, struct status why);
/* The same, unless only space was missing for work that left everything as it was and may be tried again. */
void log__fault(struct log *log, struct status why);
int64_t log__jitter(const struct log_config *config, const char *directory, int64_t base_offset);

/* window.c: a segment read once from front to back, in chunks. The caller holds it. */
enum { WINDOW_CHUNK_BYTES = 1 << 20 };
struct window {
    struct log_segment *segment;
    int64_t position, limit; // the reader's place; the end
    struct buffer chunk;
    int64_t chunk_at;
    uint8_t head[RECORD_BATCH_HEAD_BYTES]; // of a message of an old format
};
void window__begin(struct window *window, struct log_segment *segment, int64_t position,
                   int64_t limit); // keeps the memory of an earlier one
void window__free(struct window *window);
/* At least `size` bytes at the position, fewer where the file ends; valid until the next call. */
MUST_USE struct status window__peek(struct window *window, int64_t size, struct slice *ret_bytes);
/* The whole, intact batch at the position, of any format, and its head as format 2 has it; SLICE_NULL: there is none. */
MUST_USE struct status window__batch(struct window *window, struct slice *ret_batch, const uint8_t **ret_head);

/* producers.c */
MUST_USE struct status producers__check(struct log *log, struct log_batch *batch); // sets error, or duplicate
/* Takes in a batch that is (about to be) in the log. `batch` may be the head alone unless it is a control batch. */
MUST_USE struct status producers__note(struct log *log, struct slice batch, const struct record_facts *facts,
                                       int64_t base_offset, bool write_transaction_index);
void producers__clear(struct log *log);
struct producer *producers__find(const struct log *log, int64_t id);
struct producer *producers__find_or_add(struct log *log, int64_t id);
void producers__remember(struct producer *producer, const struct producer_batch *batch);
int32_t producers__sequence_add(int32_t sequence, int32_t more);
/* producer_history.c */
MUST_USE struct status producers__history_load(struct log *log, struct producer *producer);
/* transactions.c */
void transactions__update(struct log *log);
MUST_USE struct status transactions__end(struct log *log, struct producer *producer, struct slice batch, int64_t offset,
                                         bool write_index);
MUST_USE struct status transactions__index_truncate(struct log_segment *segment, int64_t offset);
struct aborted_transaction {
    int64_t producer_id, first_offset, marker_offset, last_stable_offset;
};
/* All entries of a segment's transaction index, behind those that `list` has. */
struct aborted_list {
    struct aborted_transaction *items;
    size_t count, capacity;
};
void transactions__list_add(struct aborted_list *list, const struct aborted_transaction *aborted);
MUST_USE struct status transactions__index_read(struct log_segment *segment, struct aborted_list *list);
MUST_USE struct status transactions__index_write(struct log_segment *segment,
                                                 const struct aborted_list *list); // behind what it has; synced
enum marker_type { MARKER_NONE = -1, MARKER_ABORT = 0, MARKER_COMMIT = 1 };
enum marker_type transactions__marker_type(struct slice batch); // NONE: a control batch that compaction has emptied
/* producer_snapshot.c */
MUST_USE struct status producers__snapshot_write(struct log *log, int64_t offset);
/* The newest sound one at or below; *ret_offset 0 when there is none. Later ones are removed. */
MUST_USE struct status producers__snapshot_load(struct log *log, int64_t not_after_offset, int64_t now_ms,
                                                int64_t *ret_offset);
/* Removes all that belong to no segment, but the newest. */
MUST_USE struct status producers__snapshot_tidy(struct log *log);

/* epochs.c */
MUST_USE struct status epochs__load(struct log *log);
MUST_USE struct status epochs__save(struct log *log);
bool epochs__note(struct log *log, int32_t epoch, int64_t start_offset); // true when it was new
bool epochs__truncate_end(struct log *log, int64_t end_offset);
bool epochs__truncate_start(struct log *log, int64_t start_offset);

/* recovery.c */
MUST_USE struct status recovery__run(struct log *log, const struct log_open_options *options);
/* Snapshot and tail into the producers, up to the end. */
MUST_USE struct status recovery__producers(struct log *log, int64_t end_offset, int64_t now_ms);

/* retention.c */
/* After a write that found no space: index and producers as what is published has them. Writes nothing. It reads what
 * lies behind the newest producer snapshot, on whatever thread appended: that is rare, and better than being offline. */
MUST_USE struct status log__restore(struct log *log, int64_t now_ms);
/* Takes the list's reference; renames the files to .deleted, to go after file.delete.delay.ms. The producer snapshot at the
 * segment's base stays when another segment takes its place. */
MUST_USE struct status log__doom(struct log *log, struct log_segment *segment, bool with_snapshot, int64_t now_ms);
/* compact_swap.c: finishes what a stop has interrupted; `bases` of the .swap files, ascending. */
MUST_USE struct status compact__finish_swaps(struct log *log, const int64_t *bases, int count);

/* directory.c */
char *dir__named(const char *partition_dir, const char *what); // a new name as dir_partition_rename gives; mem_free'd
MUST_USE struct status dir__rename(const char *from, const char *to); // synced

/* file helpers, checkpoint.c */
MUST_USE struct status file__read_all(const char *path, struct buffer *ret_bytes, bool *ret_exists);
/* Through <path>.tmp, synced and renamed; the directory too. */
MUST_USE struct status file__replace(const char *path, const void *data, size_t size);
MUST_USE struct status file__write_all(int file, const void *data, size_t size, int64_t position);
MUST_USE struct status file__read_exactly(int file, void *ret_data, size_t size, int64_t position);
MUST_USE struct status file__sync_dir_of(const char *path);
