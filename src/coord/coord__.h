// SPDX-License-Identifier: Apache-2.0
/* coord/coord__.h - what the files of the group coordinator share. */
#pragma once

#include "coord/coord.h"
#include "wire/gen/client_protocol.h"
#include "wire/gen/delete_groups.h"
#include "wire/gen/describe_groups.h"
#include "wire/gen/heartbeat.h"
#include "wire/gen/join_group.h"
#include "wire/gen/leave_group.h"
#include "wire/gen/list_groups.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_delete.h"
#include "wire/gen/offset_fetch.h"
#include "wire/gen/records_group.h"
#include "wire/gen/sync_group.h"

enum {
    COORD_PROTOCOLS_MAX = 64,          // of one member; real ones have one to four
    COORD_PENDING_MEMBERS_MAX = 10000, // ids given out in one group and not yet joined with
    COORD_NEW_MEMBER_JOIN_TIMEOUT_MS = 300000,
    COORD_MEMBER_BYTES = 1024, // of a member beside its protocols: about what docs/memory.md measures
    COORD_PENDING_BYTES = 256, // of an id given out
    COORD_GROUP_BYTES = 512,   // of a group that has offsets, beside its id
    COORD_OFFSET_BYTES = 224,  // of an offset, beside its texts
};

enum timer_kind { TIMER_SESSION, TIMER_PENDING, TIMER_JOIN, TIMER_SYNC, TIMER_EXPIRY };

struct timer {
    struct heap_node node;
    enum timer_kind kind;
};

struct protocol {
    struct slice name, metadata;
};

struct member {
    struct group *group;
    struct list in_group;
    struct hash_node by_id, by_instance;
    struct timer session;
    struct slice id, instance_id, client_id, client_host;
    struct protocol *protocols; // in order of preference
    int32_t protocols_count;
    int32_t rebalance_timeout_ms, session_timeout_ms;
    int64_t protocols_bytes;
    struct slice assignment;
    struct slice next_assignment; // given by the leader, not committed yet
    struct slice former_id;       // of a returned leader that cannot be told to skip the assignment; else null
    struct coord_call *join_call, *sync_call;
    bool is_new;       // has not got its first JoinGroup reply
    bool pending_sync; // got its JoinGroup reply, has not synced
};

/* A member id given out (KIP-394), not joined with yet. */
struct pending {
    struct group *group;
    struct hash_node by_id;
    struct timer session;
    struct slice id;
};

enum group_state {
    GROUP_DEAD,
    GROUP_EMPTY,
    GROUP_PREPARING_REBALANCE,
    GROUP_COMPLETING_REBALANCE,
    GROUP_STABLE,
    GROUP_OPAQUE
};
enum group_type { GROUP_CLASSIC, GROUP_CONSUMER, GROUP_SHARE, GROUP_STREAMS };

/* Also the place of the offsets under that id: a dead group stays as long as it has any, or records on their way. */
struct group {
    struct coord_shard *shard;
    struct hash_node by_id;
    struct slice id;
    enum group_state state, previous_state;
    enum group_type type;       // not classic: GROUP_OPAQUE
    int64_t state_timestamp_ms; // wall clock; -1 unknown
    int32_t generation;
    struct slice protocol_type, protocol, leader; // null: none
    struct list members;                          // in order of arrival
    struct hash members_by_id, members_by_instance, pending;
    int32_t members_count, joining_count;
    bool new_member_added;          // during the initial delay
    bool is_initial_delay;          // what the join timer means
    int32_t delay_ms, remaining_ms; // of the initial delay
    struct timer join, sync;
    uint64_t sync_token; // 0, or the batch that has the group's metadata, on whose commit replies wait
    struct list in_syncing;
    struct hash offsets;
};

/* One partition's offset. Without a value: a commit is on its way, nothing is committed. */
struct offset {
    struct hash_node node;
    struct slice topic;
    int32_t partition;
    int32_t in_flight; // records not committed yet
    bool has_value;
    int32_t leader_epoch;
    int64_t offset, commit_timestamp_ms, expire_timestamp_ms; // expire -1: by the group's rule
    struct uuid topic_id;
    struct slice metadata;
};

struct batch {
    struct list link;
    uint64_t token;
    bool is_taken;
    struct arena arena;
    struct coord_record *records;
    size_t count, capacity, size_bytes;
    struct list calls; // that wait for its commit
};

struct coord_shard {
    struct coord_settings settings;
    bool is_loaded;
    struct coord_time time; // of the call in progress
    struct hash groups;
    struct list syncing; // groups with a sync_token, in order of tokens
    struct list batches; // not committed, in order; the last may be open
    uint64_t last_token;
    struct list done;
    struct heap timers;
    struct timer expiry;
    struct arena scratch;
    struct wire_writer writer; // for one value
    struct coord_shard_counts counts;
};

/* ---- outbox.c */
struct slice coord__own(struct slice s); // a copy on the heap; null stays null
void coord__disown(struct slice *s);
void coord__replace(struct slice *s, struct slice with); // owned by with's copy; with may be *s itself
/* Room for a group of records that must commit together; false: more than any batch may have. */
MUST_USE bool coord__reserve(struct coord_shard *shard, size_t size_bytes);
/* Adds a record to the open batch; returns that batch's token. */
uint64_t coord__emit(struct coord_shard *shard, struct slice key, struct slice value);
void coord__wait(struct coord_shard *shard, struct coord_call *call, uint64_t token);
void coord__done(struct coord_shard *shard, struct coord_call *call);
void coord__batch_free(struct batch *batch);

/* ---- reply.c */
bool coord__response_new(struct coord_call *call);
void coord__reply_error(struct coord_call *call, int16_t error);
void coord__fail(struct coord_shard *shard, struct coord_call *call, int16_t error); // reply_error and done

/* ---- group.c */
struct group *coord__group_find(struct coord_shard *shard, struct slice id);  // not the dead ones
struct group *coord__group_place(struct coord_shard *shard, struct slice id); // dead ones too, NULL if none
struct group *coord__group_get(struct coord_shard *shard, struct slice id);   // made, dead, if there is none
void coord__group_revive(struct group *group);                                // dead -> Empty, as new
void coord__group_kill(struct group *group);                                  // -> dead; no members may be left
void coord__group_collect(struct group *group);                               // frees a dead one that holds nothing
void coord__group_free(struct group *group);
void coord__group_move(struct group *group, enum group_state to);
const char *coord__group_state_name(const struct group *group);
bool coord__group_is_classic(const struct group *group);
struct member *coord__member_find(const struct group *group, struct slice id);
struct member *coord__member_of_instance(const struct group *group, struct slice instance_id);
/* KAFKA_NONE, UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID. */
int16_t coord__member_check(const struct group *group, struct slice id, struct slice instance_id,
                            struct member **ret_member);
struct member *coord__member_new(struct group *group, struct slice id, struct slice instance_id);
int64_t coord__protocols_bytes(const struct protocol *protocols, int32_t count);
void coord__member_set_protocols(struct member *member, const struct protocol *protocols, int32_t count);
void coord__member_rename(struct member *member, struct slice id);
void coord__member_remove(struct member *member); // its parked calls end with UNKNOWN_MEMBER_ID
bool coord__member_is_leader(const struct member *member);
struct slice coord__member_metadata(const struct member *member, struct slice protocol);
struct pending *coord__pending_find(const struct group *group, struct slice id);
void coord__pending_new(struct group *group, struct slice id, int32_t session_timeout_ms);
void coord__pending_remove(struct pending *pending);
bool coord__group_supports(const struct group *group, struct slice protocol); // every member does
struct slice coord__group_vote(const struct group *group);
/* Whether a member's subscription names the topic: 1 or 0; -1 when the subscriptions cannot be told. */
int coord__group_subscribed(const struct group *group, struct slice topic);

/* ---- rebalance.c */
void coord__session_start(struct member *member, int32_t timeout_ms);
void coord__rebalance(struct group *group);             // -> PreparingRebalance
void coord__rebalance_or_complete(struct group *group); // whichever the state asks for
void coord__members_changed(struct group *group);       // after a removal
void coord__join_park(struct member *member, struct coord_call *call);
void coord__join_finish(struct member *member, bool with_members, bool skip_assignment);
void coord__join_fail(struct member *member, int16_t error, struct slice member_id);
void coord__join_answer(struct member *member, struct coord_call *call, bool with_members, bool skip_assignment);
void coord__join_timer(struct group *group);
void coord__sync_timer(struct group *group);
void coord__session_timer(struct member *member);
void coord__pending_timer(struct pending *pending);

/* ---- sync.c */
void coord__sync_propagate(struct group *group, int16_t error);
void coord__synced(struct group *group);      // its metadata is committed
void coord__sync_forget(struct group *group); // replies no longer wait for the batch
void coord__sync_wait(struct group *group, uint64_t token);

/* ---- group_record.c */
/* The group's metadata into the open batch; next: with the assignments given but not committed. 0: too large. */
uint64_t coord__emit_group(struct group *group, bool next);
uint64_t coord__emit_group_tombstone(struct group *group);
bool coord__apply_group(struct coord_shard *shard, int16_t key_version, struct wire_reader *key, struct slice value);
bool coord__apply_opaque(struct coord_shard *shard, int16_t key_version, struct wire_reader *key, struct slice value);

/* ---- offsets.c */
bool coord__apply_offset(struct coord_shard *shard, struct wire_reader *key, struct slice value, bool is_live);
uint64_t coord__emit_offset_tombstone(struct group *group, struct offset *offset);
struct offset *coord__offset_find(const struct group *group, struct slice topic, int32_t partition);
void coord__offsets_free(struct group *group);
void coord__offset_commit(struct coord_shard *shard, struct coord_call *call);

/* ---- offset_read.c */
void coord__offset_fetch(struct coord_shard *shard, struct coord_call *call);

/* ---- expiry.c */
void coord__offset_delete(struct coord_shard *shard, struct coord_call *call);
void coord__delete_groups(struct coord_shard *shard, struct coord_call *call);
void coord__expire(struct coord_shard *shard);

/* ---- the other kinds of call */
void coord__join_group(struct coord_shard *shard, struct coord_call *call);
void coord__sync_group(struct coord_shard *shard, struct coord_call *call);
void coord__heartbeat(struct coord_shard *shard, struct coord_call *call);
void coord__leave_group(struct coord_shard *shard, struct coord_call *call);
void coord__describe_groups(struct coord_shard *shard, struct coord_call *call);
void coord__list_groups(struct coord_shard *shard, struct coord_call *call);
