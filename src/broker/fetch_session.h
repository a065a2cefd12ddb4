// SPDX-License-Identifier: Apache-2.0
/* broker/fetch_session.h - incremental fetch sessions (KIP-227): what a client fetches, kept between its requests.
 *
 * One table for all reactors under a lock that is held for look-ups only. A session is used by one request at a time
 * (`busy`); its epoch moves on when a request starts to use it, so a repeated or late request is told
 * INVALID_FETCH_SESSION_EPOCH. Counted: a session that is evicted while in use dies with its request.
 */
#pragma once

#include "broker/broker.h"

/* Of a position beside the name of its topic: itself, its allocation, its place in the table of positions. */
enum { FETCH_POSITION_BYTES = 176 };

/* What one partition of a fetch is asked for, and what a session remembers of the last answer. */
struct fetch_position {
    struct hash_node in_session;
    struct list in_order;
    struct uuid topic_id; // zero below version 13
    char *name;           // NULL from version 13 on
    int32_t index;
    int64_t offset, log_start_offset;
    int32_t leader_epoch, last_fetched_epoch, size_max;
    int64_t told_high_watermark, told_start_offset; // -1: nothing told yet
};

struct fetch_session {
    struct hash_node in_table;
    int32_t references;
    int32_t id, epoch; // epoch: expected of the next request
    bool uses_topic_ids, busy, listed;
    int64_t used_ms, made_ms;
    int64_t bytes;         // of its positions; changed by the request that uses it
    int64_t counted_bytes; // of the table's: these, and those that the request may add
    struct hash positions;
    struct list order; // struct fetch_position.in_order
};

struct fetch_sessions;
struct fetch_sessions *fetch_sessions__create(int32_t slots, int64_t bytes_max);
void fetch_sessions__free(struct fetch_sessions *sessions);

/* For a request with an epoch > 0. Kafka error code; on success the session is busy, counted, its epoch moved on. */
int16_t fetch_session__use(struct fetch_sessions *sessions, int32_t id, int32_t epoch, bool uses_topic_ids,
                           int64_t now_ms, struct fetch_session **ret_session);
void fetch_session__remove(struct fetch_sessions *sessions, int32_t id); // fine when there is none
/* A new busy session with epoch 1 expected next, for positions of so many bytes; NULL when the table is full of sessions in
 * recent use. */
struct fetch_session *fetch_session__add(struct fetch_sessions *sessions, bool uses_topic_ids, int64_t bytes,
                                         int64_t now_ms);
/* For positions of so many bytes more, by the request that uses it. False: there is no room. */
bool fetch_session__may_grow(struct fetch_sessions *sessions, struct fetch_session *session, int64_t bytes);
void fetch_session__done(struct fetch_sessions *sessions, struct fetch_session *session);
void fetch_sessions__numbers(struct fetch_sessions *sessions, struct broker_numbers *numbers); // any thread

/* Positions, by the request that uses the session. Added at the end of the order when new. `name` NULL: by id. */
struct fetch_position *fetch_session__position(struct fetch_session *session, struct uuid topic_id, struct slice name,
                                               int32_t index, bool add);
void fetch_session__forget(struct fetch_session *session, struct uuid topic_id, struct slice name, int32_t index);
/* Last in the order: what has just got data waits longest for its next turn. */
void fetch_session__move_back(struct fetch_session *session, struct fetch_position *position);
