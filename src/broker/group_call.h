// SPDX-License-Identifier: Apache-2.0
/* broker/group_call.h - from a request about groups to calls of the group coordinator's shards, and back.
 *
 * A request has one call at a time. One about several groups is split by shard and calls one shard after the other, all
 * answers in the request's own arena: so one limit bounds its memory, however many shards it names.
 *
 *   start    group_call__begin, then group_call__send
 *   resume   group_call__response: the answer, or NULL when it did not fit (then the request is refused already)
 */
#pragma once

#include "broker/coordinator.h"

struct group_call { // request->work
    struct shard_call shard_call;
    struct coord_call call;
    void *own; // the API's, between calls
};

/* False when the request has no memory for it, or had none for what came before: it is refused. */
MUST_USE bool group_call__begin(struct request *request, enum coord_kind kind);
/* `body` is the request's generated struct, or one like it for that shard only; it stays until the answer is there. Without
 * a coordinator (no topic yet, the broker stops) it is answered so. The request is resumed, maybe before this returns. */
void group_call__send(struct request *request, const void *body, int32_t shard);
/* For APIs about one group: begin and send to that group's shard. */
void group_call__start(struct request *request, enum coord_kind kind, struct slice group_id);
const void *group_call__response(struct request *request);
/* 0 while there is no coordinator. */
int32_t group_call__shard_count(const struct request *request);
/* 0 when there is no coordinator yet; such calls may be sent to shard 0. */
int32_t group_call__shard_of(struct request *request, struct slice group_id);
/* For APIs whose answer is what the shard says: the whole resume. */
void group_call__reply(struct request *request);

/* ---- requests about several groups */
struct group_part { // of one shard
    int32_t shard, count;
    int32_t *elements; // indexes in the request, ascending
};

struct group_split {
    struct group_part *parts;
    int32_t count;
};

/* False when the request has no memory for it: it is refused. */
MUST_USE bool group_split__make(struct request *request, const struct slice *group_ids, int32_t count,
                                struct group_split *ret_split);
void group_call__refuse_size(struct request *request);
