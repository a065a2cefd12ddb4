// SPDX-License-Identifier: Apache-2.0
/* ctrl/ctrl__.h - inside of the controller: the state around the log, and what its files ask of each other.
 *
 * Rules (topics, partitions, configs, broker's life, election, placement) are functions of an image that add records to a
 * list. commit.c is the only one that takes a list to the log.
 */
#pragma once

#include "ctrl/ctrl.h"
#include "io/io.h"
#include "record/record.h"
#include "storage/storage.h"
#include "wire/gen/records_metadata.h"
#include "wire/gen/records_raft.h"
#include "wire/wire.h"

#include <errno.h>

enum {
    CTRL_PATH_BYTES = 4096,
    CTRL_RECORDS_MAX = 10000,          // of one command of a user, as Apache Kafka
    CTRL_RECORD_BYTES_MAX = 256 << 20, // of one list
    CTRL_KRAFT_VERSION_MAX = 1,
};

static inline int32_t *ctrl__unconst(const int32_t *ids) // generated structs hold plain pointers
{
    return (int32_t *)(uintptr_t)ids;
}

/* ---- records.c: metadata records to come, encoded as they will lie in the log */
struct ctrl__piece {
    size_t at, size;
};
struct ctrl__records {
    struct wire_writer bytes;
    struct ctrl__piece *pieces;
    int32_t count, capacity;
};
void ctrl__records_init(struct ctrl__records *records);
void ctrl__records_free(struct ctrl__records *records);
void ctrl__records_cut(struct ctrl__records *records, int32_t count); // takes back all from there on
void ctrl__records_add(struct ctrl__records *records, enum meta_record_type type, int16_t version, const void *value);
void ctrl__records_add_encoded(struct ctrl__records *records, struct slice record);
struct slice ctrl__records_at(const struct ctrl__records *records, int32_t index);

/* ---- control.c: control records of the quorum */
struct ctrl__quorum {
    _Atomic int16_t kraft_version; // read by other threads too
    struct buffer voters;          // value of the newest Voters record; empty: there is none
    bool voters_in_log;            // it came from the log or a later snapshot, not from that of formatting
};
void ctrl__leader_change_add(struct record_builder *batch, int64_t now_ms, int32_t node_id);
void ctrl__quorum_add(struct record_builder *batch, int64_t now_ms, const struct ctrl__quorum *quorum);
void ctrl__snapshot_header_add(struct record_builder *batch, int64_t now_ms, int64_t last_timestamp_ms);
void ctrl__snapshot_footer_add(struct record_builder *batch, int64_t now_ms);
struct slice ctrl__batch_finish(struct record_builder *batch, bool is_control, int64_t base_offset, int32_t epoch);
void ctrl__voters_set(struct ctrl__quorum *quorum, int32_t node_id, struct uuid directory_id,
                      const struct ctrl_listener *controller);
/* Takes in KRaftVersion and Voters; *ret_timestamp_ms from a snapshot's header (untouched by others). */
MUST_USE struct status ctrl__control_take(struct ctrl__quorum *quorum, const struct record *record,
                                          int64_t *ret_timestamp_ms);

/* ---- quorum.c */
MUST_USE struct status ctrl__quorum_state_read(const char *directory, int32_t *ret_epoch); // 0 when there is none
MUST_USE struct status ctrl__quorum_state_write(const char *directory, int32_t node_id, int32_t epoch,
                                                int16_t kraft_version);
/* This node alone votes: by the log, or by controller.quorum.voters where kraft.version is 0. */
MUST_USE struct status ctrl__quorum_check(const struct ctrl__quorum *quorum, int32_t node_id, struct uuid directory_id,
                                          const char *static_voters);

/* ---- files.c */
MUST_USE struct status ctrl__file_read_head(const char *path, int64_t size_max, struct buffer *ret_bytes,
                                            bool *ret_exists);
MUST_USE struct status ctrl__file_read(const char *path, struct buffer *ret_bytes, bool *ret_exists);
/* Through `path` + `suffix`, synced, renamed, the directory synced. */
/* The same, but that the directory is not synced: the caller has more names to make. */
MUST_USE struct status ctrl__file_put(const char *path, const char *suffix, const void *data, size_t size);
MUST_USE struct status ctrl__file_replace(const char *path, const char *suffix, const void *data, size_t size);
MUST_USE struct status ctrl__directories_make(const char *path); // parents too, names synced

/* ---- bootstrap.c */
/* Levels of a new cluster (kraft.version aside), metadata.version first. */
void ctrl__bootstrap_default(struct ctrl__records *records);
MUST_USE struct status ctrl__bootstrap_write(const char *log_dir, int64_t now_ms);
/* What bootstrap.checkpoint says, or the default where there is none. */
MUST_USE struct status ctrl__bootstrap_read(const char *metadata_dir, struct ctrl__records *records);
/* A cluster-wide min.insync.replicas where ELR needs one and there is none. */
void ctrl__min_insync_add(const struct meta_image *image, const struct meta_settings *settings,
                          struct ctrl__records *records);
/* The first records of a log: the bootstrap in a transaction where its version has them, and what ELR needs. */
MUST_USE struct status ctrl__bootstrap_records(const char *metadata_dir, const struct meta_settings *settings,
                                               struct ctrl__records *records);

/* ---- snapshot.c: <end offset>-<epoch>.checkpoint */
struct ctrl__snapshot_id {
    int64_t end_offset;
    int32_t epoch;
};
struct ctrl__snapshots { // oldest first
    struct ctrl__snapshot_id *ids;
    int count, capacity;
};
void ctrl__snapshots_free(struct ctrl__snapshots *snapshots);
MUST_USE struct status ctrl__snapshots_list(const char *directory, bool remove_unfinished,
                                            struct ctrl__snapshots *ret_snapshots);
void ctrl__snapshot_path(const char *directory, struct ctrl__snapshot_id id, char ret_path[CTRL_PATH_BYTES]);
/* `image` NULL: of no metadata record. */
MUST_USE struct status ctrl__snapshot_write(const char *directory, struct ctrl__snapshot_id id,
                                            const struct ctrl__quorum *quorum, const struct meta_image *image,
                                            int64_t last_timestamp_ms, int64_t now_ms);
MUST_USE struct status ctrl__snapshot_timestamp(const char *path, int64_t *ret_timestamp_ms);

/* ---- replay.c */
struct ctrl__replay {
    struct meta_builder *builder;
    struct ctrl__quorum *quorum;
    int64_t timestamp_ms; // of a snapshot's header
    bool has_footer;
};
MUST_USE struct status ctrl__replay_batch(struct ctrl__replay *replay, struct slice batch);
MUST_USE struct status ctrl__replay_snapshot(const char *path, struct ctrl__snapshot_id id,
                                             struct meta_builder *builder, struct ctrl__quorum *quorum);
MUST_USE struct status ctrl__replay_log(struct log *log, int64_t from_offset, struct meta_builder *builder,
                                        struct ctrl__quorum *quorum, int64_t *ret_size_bytes);

/* ---- open.c, commit.c */
struct ctrl {
    char *directory; // __cluster_metadata-0
    int32_t node_id;
    char *listener_name, *listener_host;
    struct ctrl_listener controller;
    const struct meta_settings *settings;
    struct dir_properties properties;
    struct log_config log_config;
    struct log *log;
    struct meta_builder *builder;
    _Atomic uint64_t growth_refused, unclean_elections; // read by other threads too
    struct ctrl__quorum quorum;
    int32_t epoch;
    struct ctrl__snapshot_id snapshot; // the newest; end offset -1: none
    int64_t snapshot_ms;               // wall clock, of it or of opening
    int64_t bytes_since_snapshot;
    int64_t trim_ms; // wall clock, of the last look at old snapshots
    bool is_dirty, has_failed;
    struct record_builder batch;
    struct random random; // places replicas
};
/* To the log and into the working image, in batches of at most CTRL_RECORDS_MAX. An empty list does nothing. */
MUST_USE struct status ctrl__commit(struct ctrl *ctrl, const struct ctrl__records *records, int64_t now_ms);
MUST_USE struct status ctrl__append(struct ctrl *ctrl, struct slice batch, int64_t now_ms);
struct uuid ctrl__uuid_random(void); // neither reserved, nor with a leading dash as text

/* ---- elect.c: what becomes of partitions when a broker comes or goes (KIP-966) */
struct ctrl__election {
    const struct meta_image *image;
    const struct meta_settings *settings;
    int32_t controller_id; // whose own settings count
    int32_t removed;       // leaves ISR, leads nothing; -1 none
    int32_t added;         // may lead though it is fenced still; -1 none
    int32_t unclean;       // removed, and not trusted to have everything; -1 none
    bool any_live;         // an unclean election is wanted, whatever the topic's settings say
    bool prefer_first;     // the first replica leads if it may
    _Atomic uint64_t *unclean_elections;
};
bool ctrl__broker_is_active(const struct meta_broker *broker);
/* Adds PartitionChange records for every partition of the image that changes, of those that `touches` (NULL: all). */
typedef bool ctrl__touches_fn(const void *context, const struct meta_partition *partition);
void ctrl__elect(const struct ctrl__election *election, ctrl__touches_fn *touches, const void *context,
                 struct ctrl__records *records);

/* The same for one partition; false when nothing changes. */
bool ctrl__elect_one(const struct ctrl__election *election, const struct meta_topic *topic, int32_t index,
                     struct ctrl__records *records);
struct ctrl__election ctrl__election_of(struct ctrl *ctrl);

/* ---- place.c */
enum { CTRL_REPLICAS_MAX = 1024 };
struct ctrl__placer;
/* NULL and *ret_message in the arena when `replicas` cannot be had. */
struct ctrl__placer *ctrl__placer_create(const struct meta_image *image, int32_t replicas, struct random *random,
                                         struct arena *arena, struct slice *ret_message);
const int32_t *ctrl__placer_next(struct ctrl__placer *placer); // in the arena
/* Where a new replica goes: the broker's directory with the fewest partitions; the id of all zeros when unknown. */
struct ctrl__directories;
struct ctrl__directories *ctrl__directories_create(const struct meta_image *image, struct arena *arena);
struct uuid ctrl__directories_choose(struct ctrl__directories *directories, int32_t node_id);

/* ---- partition.c: a new partition's record */
struct ctrl__new_partition {
    struct uuid topic_id;
    int32_t index;
    const int32_t *replicas;
    int32_t replica_count;
};
int32_t ctrl__active_count(const struct meta_image *image, const int32_t *replicas, int32_t count);
/* At least one replica must be active. */
void ctrl__partition_add(const struct meta_image *image, const struct ctrl__new_partition *partition,
                         struct ctrl__directories *directories, struct ctrl__records *records);
/* Rules of a manual assignment; `replicas_expected` -1: any. False with result filled. */
bool ctrl__assignment_check(const struct meta_image *image, const struct ctrl_assignment *assignment,
                            int32_t replicas_expected, struct arena *arena, struct ctrl_result *ret_result);

/* ---- configs.c */
/* The records of one resource's changes; a refusal leaves no record. */
void ctrl__configs_alter(const struct ctrl *ctrl, const struct ctrl_alter_resource *resource, bool is_new,
                         struct arena *arena, struct ctrl__records *records, struct ctrl_result *ret_result);

/* ---- configs_broker.c */
/* May these be the dynamic settings of this broker, or of all by default? False with the result filled. */
bool ctrl__broker_configs_judge(const struct ctrl *ctrl, bool is_default, const struct meta_config_entry *entries,
                                int32_t count, struct arena *arena, struct ctrl_result *result);

/* ---- names.c */
struct ctrl__name {
    struct hash_node node;
    struct slice text, original;
    int32_t count;
};
struct ctrl__name *ctrl__name_find(const struct hash *names, struct slice text);
void ctrl__name_note(struct hash *names, struct arena *arena, struct slice text, struct slice original);
int32_t ctrl__name_count(const struct hash *names, struct slice text);

/* ---- results, partition.c */
void ctrl__refuse(struct ctrl_result *result, int16_t error, struct slice message);
/* Of what is fine so far: may so many partitions come, beside those of this request that are `coming`? NULL allows what
 * ottla.partitions.max does. */
void ctrl__allowance_take(struct ctrl *ctrl, const struct ctrl_allowance *allowance, int32_t partitions,
                          int64_t *coming, struct ctrl_result *result);
