// SPDX-License-Identifier: Apache-2.0
/* ctrl/ctrl.h - the controller: commands -> metadata records; formatting; and the KRaft quorum of one voter.
 *
 * The rules are pure: (image, command) -> records or an error code with Kafka's message. The log around them is plain
 * synchronous calls for the one control thread: ctrl_<command> appends its records to __cluster_metadata-0 and moves the
 * working image; ctrl_flush makes all of them durable with one fdatasync, and only then may ctrl_image be published and
 * replies leave. After a failed append or flush every further call fails: the process must stop (offline metadata).
 */
#pragma once

#include "base/base.h"
#include "meta/meta.h"

/* ---- formatting, as kafka-storage.sh format --standalone of 4.3.1 */
struct ctrl_listener {
    const char *name, *host; // CONTROLLER, 127.0.0.1; host as advertised
    uint16_t port;
    int16_t security_protocol;
};

struct ctrl_format_options {
    const char *cluster_id; // NULL: a new one
    int32_t node_id;
    const char *const *log_dirs; // all empty (lost+found aside); made when missing
    int log_dir_count;
    const char *metadata_dir;        // one of them, or another directory
    struct ctrl_listener controller; // the voter's endpoint
    bool static_voters;              // controller.quorum.voters is given: kraft.version 0, no voters on the disk
    int64_t now_ms;                  // wall clock
};
/* bootstrap.checkpoint everywhere, the first snapshot with the voters in the metadata directory, then meta.properties; the
 * metadata directory first, so that after a crash the others are empty ones that may join it. */
MUST_USE struct status ctrl_format(const struct ctrl_format_options *options);
/* True when none of the directories has meta.properties nor anything else in it, but what a format that was cut short may
 * leave (and .lock). */
MUST_USE struct status ctrl_is_unformatted(const char *const *log_dirs, int log_dir_count, const char *metadata_dir,
                                           bool *ret_unformatted);

/* ---- opening: latest snapshot + log tail -> image; new raft epoch in quorum-state (synced), LeaderChange; on a new log the
 * bootstrap records; RegisterController; all of it flushed. ENOTSUP with a clear log line: newer records or levels, more
 * than one voter, another node's voter, no voter. */
struct ctrl_options {
    const char *metadata_dir; // holds meta.properties and __cluster_metadata-0
    int32_t node_id;
    struct ctrl_listener controller; // endpoint in the voter set and controller registration
    const struct meta_settings *settings;
    int64_t now_ms; // wall clock
};
struct ctrl;
MUST_USE struct status ctrl_open(const struct ctrl_options *options, struct ctrl **ret_ctrl);
/* What is in it but not flushed, is flushed; then closes the log cleanly. */
MUST_USE struct status ctrl_close(struct ctrl *ctrl);
void ctrl_free(struct ctrl *ctrl); // NULL is fine; without ctrl_close: nothing is written

/* Others from now on; they live as long as the controller. */
void ctrl_settings_set(struct ctrl *ctrl, const struct meta_settings *settings);

const struct meta_image *ctrl_view(const struct ctrl *ctrl); // working state; changes with the next command
struct meta_image *ctrl_image(struct ctrl *ctrl);            // counted
int32_t ctrl_leader_epoch(const struct ctrl *ctrl);
int16_t ctrl_kraft_version(const struct ctrl *ctrl); // feature level of the quorum; the image does not know it
int64_t ctrl_end_offset(const struct ctrl *ctrl);
const char *ctrl_cluster_id(const struct ctrl *ctrl);
/* One fdatasync for all commands since the last; cheap when nothing is dirty. */
MUST_USE struct status ctrl_flush(struct ctrl *ctrl);
bool ctrl_is_dirty(const struct ctrl *ctrl);
/* Writes a snapshot when metadata.log.max.record.bytes.between.snapshots or .snapshot.interval.ms says so, and drops older
 * snapshots and log segments beyond the retention settings. Call now and then, after ctrl_flush. */
MUST_USE struct status ctrl_maintain(struct ctrl *ctrl, int64_t now_ms);
MUST_USE struct status ctrl_snapshot(struct ctrl *ctrl, int64_t now_ms);

/* ---- outcome of one element of a command. The message lies in the arena of the command; null: none. */
struct ctrl_result {
    int16_t error; // Kafka error code
    struct slice message;
};

/* ---- life of a broker */
struct ctrl_registration {
    int32_t node_id;
    struct uuid incarnation;
    const struct meta_endpoint *endpoints;
    int32_t endpoint_count;
    struct slice rack;              // null: none
    const struct uuid *directories; // ids of its log directories (meta.properties)
    int32_t directory_count;
    int64_t previous_epoch; // of dir_clean_mark_take; -1 when there was no mark
};
/* Registers fenced. Where the node is in an ISR still (it did not stop cleanly) it is taken out first, and with
 * eligible.leader.replicas.version 1 out of the ELR too unless `previous_epoch` is the registered one (KIP-966). The broker
 * epoch is the offset of the batch. */
MUST_USE struct status ctrl_register_broker(struct ctrl *ctrl, const struct ctrl_registration *registration,
                                            int64_t now_ms, int64_t *ret_broker_epoch);
/* Unfences and elects (ISR, ELR, last known leader): every partition without a leader that this node may lead gets it, with a
 * new leader epoch. Registering took away what it led. ENOENT: it is not registered. */
MUST_USE struct status ctrl_unfence_broker(struct ctrl *ctrl, int32_t node_id, int64_t now_ms);
/* What a clean stop leaves: in controlled shutdown, no leaders, ELR, fenced. */
MUST_USE struct status ctrl_shutdown_broker(struct ctrl *ctrl, int32_t node_id, int64_t now_ms);
/* Partitions of a lost directory get no leader on that node. */
MUST_USE struct status ctrl_directory_offline(struct ctrl *ctrl, int32_t node_id, struct uuid directory,
                                              int64_t now_ms);
/* That replica lies in this directory of its broker now (what AssignReplicasToDirs asks for, KIP-858). Does nothing where
 * the metadata says so already, or metadata.version does not know directories. */
MUST_USE struct status ctrl_assign_directory(struct ctrl *ctrl, int32_t node_id, struct uuid topic_id, int32_t index,
                                             struct uuid directory, int64_t now_ms);
/* The next block of 1000. ESTALE: not the node's epoch; ERANGE: none are left. */
MUST_USE struct status ctrl_producer_ids_allocate(struct ctrl *ctrl, int32_t node_id, int64_t broker_epoch,
                                                  int64_t now_ms, int64_t *ret_first_id, int32_t *ret_count);

/* ---- topics. `results` lie in the caller's array, one per element. A status only for I/O faults. */
struct ctrl_assignment {
    int32_t partition;
    const int32_t *replicas;
    int32_t replica_count;
};
struct ctrl_new_topic {
    struct slice name;
    int32_t partitions;                        // -1: num.partitions
    int16_t replication_factor;                // -1: default.replication.factor
    const struct ctrl_assignment *assignments; // instead of the two
    int32_t assignment_count;
    const struct meta_config_entry *configs; // value null: an error, as in Kafka
    int32_t config_count;
};
struct ctrl_new_topic_result {
    struct ctrl_result result;
    struct uuid id;
    int32_t partitions;
    int16_t replication_factor;
};
/* Asked once for each topic that could be made or grown, before the next one is looked at: may so many partitions come into
 * being? False refuses it with THROTTLING_QUOTA_EXCEEDED (KIP-599). */
struct ctrl_allowance {
    bool (*take)(void *context, int32_t partitions);
    void *context;
};
/* Topics not made and not grown since there would be more than ottla.partitions.max (POLICY_VIOLATION). Any thread. */
uint64_t ctrl_growth_refused(const struct ctrl *ctrl);
/* Leaders elected that had not been in sync, since the start. Any thread. */
uint64_t ctrl_unclean_elections(const struct ctrl *ctrl);
extern const char ctrl_quota_exceeded[]; // what Kafka says with THROTTLING_QUOTA_EXCEEDED
/* `allowance` NULL: whatever is asked for. */
MUST_USE struct status ctrl_create_topics(struct ctrl *ctrl, const struct ctrl_new_topic *topics, int32_t count,
                                          bool validate_only, const struct ctrl_allowance *allowance,
                                          struct arena *arena, int64_t now_ms, struct ctrl_new_topic_result *results);
/* By id where it is not zero, else by name. `ret_name`/`ret_id` complete what was found. */
struct ctrl_topic_ref {
    struct slice name; // null: by id
    struct uuid id;
};
MUST_USE struct status ctrl_delete_topics(struct ctrl *ctrl, struct ctrl_topic_ref *topics, int32_t count,
                                          struct arena *arena, int64_t now_ms, struct ctrl_result *results);
struct ctrl_more_partitions {
    struct slice name;
    int32_t count;                             // in all
    const struct ctrl_assignment *assignments; // of the new ones, in order; NULL: chosen
    int32_t assignment_count;
};
MUST_USE struct status ctrl_create_partitions(struct ctrl *ctrl, const struct ctrl_more_partitions *topics,
                                              int32_t count, bool validate_only, const struct ctrl_allowance *allowance,
                                              struct arena *arena, int64_t now_ms, struct ctrl_result *results);

/* ---- configs */
enum ctrl_alter_op { CTRL_ALTER_SET = 0, CTRL_ALTER_DELETE = 1, CTRL_ALTER_APPEND = 2, CTRL_ALTER_SUBTRACT = 3 };
struct ctrl_alter {
    struct slice key, value;
    int8_t op; // enum ctrl_alter_op
};
struct ctrl_alter_resource {
    int8_t type; // enum meta_config_resource
    struct slice name;
    const struct ctrl_alter *alters;
    int32_t alter_count;
    bool replace; // AlterConfigs: what is not named goes (all ops are SET)
};
MUST_USE struct status ctrl_alter_configs(struct ctrl *ctrl, const struct ctrl_alter_resource *resources, int32_t count,
                                          bool validate_only, struct arena *arena, int64_t now_ms,
                                          struct ctrl_result *results);

/* ---- brokers that go for good */
/* BROKER_ID_NOT_REGISTERED, or it leaves every ISR, leads nothing and is forgotten. */
MUST_USE struct status ctrl_unregister_broker(struct ctrl *ctrl, int32_t node_id, struct arena *arena, int64_t now_ms,
                                              struct ctrl_result *ret_result);

/* ---- elections that are asked for (KIP-183, 460) */
enum ctrl_election_type { CTRL_ELECT_PREFERRED = 0, CTRL_ELECT_UNCLEAN = 1 };
struct ctrl_election_ref {
    struct slice topic;
    int32_t partition;
};
/* ELECTION_NOT_NEEDED where the leader is the wanted one. */
MUST_USE struct status ctrl_elect_leaders(struct ctrl *ctrl, enum ctrl_election_type type,
                                          const struct ctrl_election_ref *partitions, int32_t count,
                                          struct arena *arena, int64_t now_ms, struct ctrl_result *results);

/* ---- reassignments (KIP-455), as far as a cluster of one node can have them: a partition may be assigned to where it is,
 * and what is not under way cannot be cancelled (`replica_count` -1). Changes nothing. */
void ctrl_check_reassignment(const struct meta_image *image, const struct ctrl_election_ref *ref,
                             const int32_t *replicas, int32_t replica_count, struct arena *arena,
                             struct ctrl_result *ret_result);

/* ---- feature levels (KIP-584, 778) */
enum ctrl_upgrade_type { CTRL_UPGRADE = 1, CTRL_SAFE_DOWNGRADE = 2, CTRL_UNSAFE_DOWNGRADE = 3 };
struct ctrl_feature_update {
    struct slice name;
    int16_t level;
    int8_t type; // enum ctrl_upgrade_type
};
/* All or none: the first that is refused is the result. A kraft.version above 0 is never lowered. */
MUST_USE struct status ctrl_update_features(struct ctrl *ctrl, const struct ctrl_feature_update *updates, int32_t count,
                                            bool validate_only, struct arena *arena, int64_t now_ms,
                                            struct ctrl_result *ret_result);

/* ---- client quotas (KIP-546, 612) */
struct ctrl_quota_op {
    struct slice key;
    double value;
    bool remove;
};
struct ctrl_quota_change {               // of one entity
    const struct meta_quota_part *parts; // ordered by type, each type once
    int32_t part_count;
    const struct ctrl_quota_op *ops;
    int32_t op_count;
};
MUST_USE struct status ctrl_alter_quotas(struct ctrl *ctrl, const struct ctrl_quota_change *changes, int32_t count,
                                         bool validate_only, struct arena *arena, int64_t now_ms,
                                         struct ctrl_result *results);
