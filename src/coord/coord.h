// SPDX-License-Identifier: Apache-2.0
/* coord/coord.h - the group coordinator: (state, request, now) -> (records, reply). Knows no log, no socket, no clock.
 *
 * One `struct coord_shard` stands for one partition of __consumer_offsets; one thread at a time touches it. Requests come
 * in as calls. A call either finishes at once, is parked (JoinGroup, SyncGroup), or waits until records are committed;
 * in each case it is done exactly once and then lies in the shard's outbox of finished calls. A call is never cancelled:
 * it ends by itself, and the caller drops the reply when its connection is gone.
 *
 * The caller's loop, after any of start, tick, committed:
 *
 *   while (coord_shard_take_records(shard, &records, &count, &token))   append them as one batch of __consumer_offsets;
 *                                                                       batches commit in order of their tokens
 *   while ((call = coord_shard_take_done(shard)))                       encode and send call->response
 *
 * and when a batch is behind the high watermark: coord_shard_committed(shard, token, now). If an append fails or
 * leadership is lost: coord_shard_fail, then replay from the log: coord_shard_apply for each record, coord_shard_loaded.
 *
 * Offsets are read as committed: a commit shows when its batch is committed, not before. Rules are those of Apache Kafka
 * 4.3's classic group protocol (KIP-62, 134, 345, 394, 814, 848 for the names of states and types).
 */
#pragma once

#include "base/base.h"
#include "wire/wire.h"

/* Settings of the same names in server.properties. */
struct coord_settings {
    int32_t group_min_session_timeout_ms;
    int32_t group_max_session_timeout_ms;
    int32_t group_max_size;
    int64_t shard_member_bytes_max; // ottla.group.partition.member.bytes.max
    int64_t shard_offset_bytes_max; // ottla.group.partition.offset.bytes.max
    int32_t group_initial_rebalance_delay_ms;
    int32_t offset_metadata_max_bytes;
    int64_t offsets_retention_ms;
    int64_t offsets_retention_check_interval_ms;
    /* The bytes of keys and values that one batch may have: somewhat below max.message.bytes of __consumer_offsets. */
    size_t batch_bytes_max;
};

/* Kafka's defaults. */
struct coord_settings coord_settings_default(void);

/* Two clocks: timers run by the steady one, records carry the wall's. */
struct coord_time {
    int64_t now_ms, wall_ms;
};

enum coord_kind {
    COORD_JOIN_GROUP,
    COORD_SYNC_GROUP,
    COORD_HEARTBEAT,
    COORD_LEAVE_GROUP,
    COORD_OFFSET_COMMIT,
    COORD_OFFSET_FETCH,
    COORD_OFFSET_DELETE,
    COORD_DESCRIBE_GROUPS,
    COORD_LIST_GROUPS,
    COORD_DELETE_GROUPS,
};

/* One request. The caller fills everything above the line and keeps it, with all that request points to, until done.
 *
 * Requests over several groups (DescribeGroups, DeleteGroups, OffsetFetch's groups) go to each shard with that shard's
 * groups only. OffsetCommit and OffsetFetch v10+ carry topic ids: the caller fills in the names; a topic left with an
 * empty name and an id is answered UNKNOWN_TOPIC_ID. In an OffsetFetch v10 answer for all topics, ids are the caller's
 * to fill in. DescribeGroups' authorized operations are the caller's too. */
struct coord_call {
    struct list link; // the shard's until done; then the caller's
    struct arena *arena;
    enum coord_kind kind;
    int16_t version;
    const void *request;                 // struct join_group_request, ...
    struct slice client_id, client_host; // "" when unknown; the host as "/127.0.0.1"
    struct uuid fresh_id;                // JoinGroup: 16 random bytes, of which a new member's id is made
    /* ---- zero at the start; the shard's */
    void *response; // struct join_group_response, ...: in the arena; NULL only when the arena was full at the start
    bool done;
    uint64_t token; // waits for that batch; the shard's
};

struct coord_record {
    struct slice key, value; // value null: a tombstone
};

struct coord_shard;

struct coord_shard *coord_shard_create(const struct coord_settings *settings);
/* No call may be unfinished: coord_shard_fail first. NULL is fine. */
void coord_shard_free(struct coord_shard *shard);

/* Before coord_shard_loaded every call is refused with COORDINATOR_LOAD_IN_PROGRESS. */
void coord_call_start(struct coord_shard *shard, struct coord_call *call, struct coord_time time);
/* Fills in the reply that says `error` in the places this kind of request has for it, without any shard: for groups
 * whose shard is elsewhere or loading. Errors of an append (NOT_LEADER_OR_FOLLOWER, ...) become the coordinator's. A
 * Heartbeat while loading is answered with success, as by Kafka. */
void coord_call_refuse(struct coord_call *call, int16_t error);
/* The next finished call, NULL when there is none. */
struct coord_call *coord_shard_take_done(struct coord_shard *shard);

/* The next batch to append, false when there is none. Records stay valid until the token is committed or the shard fails. */
bool coord_shard_take_records(struct coord_shard *shard, const struct coord_record **ret_records, size_t *ret_count,
                              uint64_t *ret_token);
/* The batch with that token, and all earlier ones, are committed. */
void coord_shard_committed(struct coord_shard *shard, uint64_t token, struct coord_time time);
/* Every unfinished call is answered with the error, all state and all records not committed are dropped; the shard is as new. */
void coord_shard_fail(struct coord_shard *shard, int16_t error);

/* Replay of one record of the partition, in order; timestamp_ms is the record's. False: the record cannot be understood
 * (a corrupt one, or a version newer than known); the shard should not be served. */
MUST_USE bool coord_shard_apply(struct coord_shard *shard, struct slice key, struct slice value, int64_t timestamp_ms);
/* Replay is complete: session timers start, calls are served. */
void coord_shard_loaded(struct coord_shard *shard, struct coord_time time);
bool coord_shard_is_loaded(const struct coord_shard *shard);

/* When to tick next, by the steady clock; INT64_MAX: no need. */
int64_t coord_shard_deadline_ms(const struct coord_shard *shard);
/* Session timeouts, rebalance and sync timeouts, the initial delay, expiry of offsets. */
void coord_shard_tick(struct coord_shard *shard, struct coord_time time);

/* Metrics. */
struct coord_shard_counts {
    size_t groups, members, offsets, parked_calls, waiting_calls;
    int64_t member_bytes; // of members, and of ids given out and not joined with
    int64_t offset_bytes; // of offsets, and of the groups that have them
};
struct coord_shard_counts coord_shard_counts(const struct coord_shard *shard);
