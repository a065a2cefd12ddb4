// SPDX-License-Identifier: Apache-2.0
/* coord/story__.h - for tests: a shard with a log that is an array, a clock that is a number, and clients in few words. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coord/coord.h"
#include "wire/gen/delete_groups.h"
#include "wire/gen/describe_groups.h"
#include "wire/gen/heartbeat.h"
#include "wire/gen/join_group.h"
#include "wire/gen/leave_group.h"
#include "wire/gen/list_groups.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"
#include "wire/gen/records_group.h"
#include "wire/gen/sync_group.h"

enum { STORY_LOG_MAX = 512 };

struct story {
    struct coord_shard *shard;
    struct coord_settings settings;
    struct arena arena;
    struct coord_time time;
    struct coord_record log[STORY_LOG_MAX];
    size_t log_count;
    bool hold_commits;
    uint64_t last_token;
    uint8_t ids;
};

static inline void story_begin(struct story *s)
{
    *s = (struct story){.settings = coord_settings_default(), .time = {.now_ms = 1000, .wall_ms = 1700000000000}};
    arena_init(&s->arena, 4096, SIZE_MAX);
    s->shard = coord_shard_create(&s->settings);
    coord_shard_loaded(s->shard, s->time);
}

/* The broker's loop: append all, commit all, take what is finished. */
static inline void story_run(struct story *s)
{
    const struct coord_record *records;
    size_t count;
    uint64_t token;
    while (coord_shard_take_records(s->shard, &records, &count, &token)) {
        for (size_t i = 0; i < count; i++) {
            assert_true(s->log_count < STORY_LOG_MAX);
            s->log[s->log_count++] =
                (struct coord_record){arena_copy(&s->arena, records[i].key), arena_copy(&s->arena, records[i].value)};
        }
        s->last_token = token;
        if (!s->hold_commits)
            coord_shard_committed(s->shard, token, s->time);
    }
    while (coord_shard_take_done(s->shard))
        ;
}

static inline void story_end(struct story *s)
{
    coord_shard_fail(s->shard, KAFKA_NOT_COORDINATOR);
    story_run(s);
    coord_shard_free(s->shard);
    arena_free(&s->arena);
}

/* A new shard from the same log. */
static inline void story_restart(struct story *s)
{
    coord_shard_fail(s->shard, KAFKA_NOT_COORDINATOR);
    while (coord_shard_take_done(s->shard))
        ;
    for (size_t i = 0; i < s->log_count; i++)
        assert_true(coord_shard_apply(s->shard, s->log[i].key, s->log[i].value, s->time.wall_ms));
    coord_shard_loaded(s->shard, s->time);
}

static inline void story_wait(struct story *s, int64_t duration_ms)
{
    int64_t until_ms = s->time.now_ms + duration_ms;
    while (coord_shard_deadline_ms(s->shard) <= until_ms) {
        int64_t step_ms = max_i64(coord_shard_deadline_ms(s->shard) - s->time.now_ms, 0);
        s->time.now_ms += step_ms;
        s->time.wall_ms += step_ms;
        coord_shard_tick(s->shard, s->time);
        story_run(s);
    }
    s->time.wall_ms += until_ms - s->time.now_ms;
    s->time.now_ms = until_ms;
}

static inline struct coord_call *story_call(struct story *s, enum coord_kind kind, int16_t version, const void *request)
{
    struct coord_call *call = arena_zalloc(&s->arena, sizeof *call);
    call->arena = &s->arena;
    call->kind = kind;
    call->version = version;
    call->request = request;
    call->client_id = slice_str("app");
    call->client_host = slice_str("/127.0.0.1");
    call->fresh_id.bytes[0] = ++s->ids;
    coord_call_start(s->shard, call, s->time);
    story_run(s);
    return call;
}

static inline struct coord_call *story_join(struct story *s, int16_t version, struct slice member_id,
                                            const char *instance_id)
{
    struct join_group_request *r = arena_zalloc(&s->arena, sizeof *r);
    join_group_request_init(r);
    r->group_id = slice_str("g");
    r->session_timeout_ms = 10000;
    r->rebalance_timeout_ms = 60000;
    r->member_id = member_id;
    r->group_instance_id = slice_str(instance_id);
    r->protocol_type = slice_str("consumer");
    r->protocols = arena_array(&s->arena, 1, sizeof *r->protocols);
    join_group_request_join_group_request_protocol_init(r->protocols);
    r->protocols->name = slice_str("range");
    r->protocols->metadata = slice_of("\0\0\0\0\0\0\377\377\377\377", 10); // no topics, no user data
    r->protocols_count = 1;
    return story_call(s, COORD_JOIN_GROUP, version, r);
}

static inline const struct join_group_response *story_joined(const struct coord_call *call)
{
    assert_true(call->done);
    return call->response;
}

/* Id first, then the join itself: as clients of v4+ do. */
static inline struct coord_call *story_join_twice(struct story *s)
{
    const struct join_group_response *id = story_joined(story_join(s, 9, slice_str(""), NULL));
    assert_int_equal(id->error_code, KAFKA_MEMBER_ID_REQUIRED);
    return story_join(s, 9, id->member_id, NULL);
}

/* What the leader gives: each member its own id as assignment. */
static inline struct coord_call *story_sync(struct story *s, const struct join_group_response *joined)
{
    struct sync_group_request *r = arena_zalloc(&s->arena, sizeof *r);
    sync_group_request_init(r);
    r->group_id = slice_str("g");
    r->generation_id = joined->generation_id;
    r->member_id = joined->member_id;
    r->protocol_type = slice_str("consumer");
    r->protocol_name = slice_str("range");
    r->assignments = arena_array(&s->arena, (size_t)joined->members_count, sizeof *r->assignments);
    for (int32_t i = 0; i < joined->members_count; i++) {
        r->assignments[i].member_id = joined->members[i].member_id;
        r->assignments[i].assignment = joined->members[i].member_id;
        r->assignments_count++;
    }
    return story_call(s, COORD_SYNC_GROUP, 5, r);
}

static inline int16_t story_heartbeat(struct story *s, const struct join_group_response *joined)
{
    struct heartbeat_request *r = arena_zalloc(&s->arena, sizeof *r);
    heartbeat_request_init(r);
    r->group_id = slice_str("g");
    r->generation_id = joined->generation_id;
    r->member_id = joined->member_id;
    const struct heartbeat_response *response = story_call(s, COORD_HEARTBEAT, 4, r)->response;
    return response->error_code;
}

static inline struct coord_call *story_leave(struct story *s, struct slice member_id, const char *instance_id)
{
    struct leave_group_request *r = arena_zalloc(&s->arena, sizeof *r);
    leave_group_request_init(r);
    r->group_id = slice_str("g");
    r->members = arena_array(&s->arena, 1, sizeof *r->members);
    r->members_count = 1;
    r->members->member_id = member_id;
    r->members->group_instance_id = slice_str(instance_id);
    return story_call(s, COORD_LEAVE_GROUP, 5, r);
}

static inline struct coord_call *story_commit(struct story *s, struct slice member_id, int32_t generation,
                                              int64_t offset)
{
    struct offset_commit_request *r = arena_zalloc(&s->arena, sizeof *r);
    offset_commit_request_init(r);
    r->group_id = slice_str("g");
    r->generation_id_or_member_epoch = generation;
    r->member_id = member_id;
    r->topics = arena_array(&s->arena, 1, sizeof *r->topics);
    r->topics_count = 1;
    r->topics->name = slice_str("t");
    r->topics->partitions = arena_array(&s->arena, 1, sizeof *r->topics->partitions);
    r->topics->partitions_count = 1;
    offset_commit_request_offset_commit_request_partition_init(r->topics->partitions);
    r->topics->partitions->committed_offset = offset;
    r->topics->partitions->committed_metadata = slice_str("note");
    return story_call(s, COORD_OFFSET_COMMIT, 9, r);
}

static inline int16_t story_commit_error(const struct coord_call *call)
{
    assert_true(call->done);
    const struct offset_commit_response *response = call->response;
    assert_int_equal(response->topics_count, 1);
    return response->topics->partitions->error_code;
}

static inline int64_t story_offset(struct story *s)
{
    struct offset_fetch_request *r = arena_zalloc(&s->arena, sizeof *r);
    offset_fetch_request_init(r);
    r->groups = arena_array(&s->arena, 1, sizeof *r->groups);
    r->groups_count = 1;
    offset_fetch_request_offset_fetch_request_group_init(r->groups);
    r->groups->group_id = slice_str("g");
    r->groups->topics = arena_array(&s->arena, 1, sizeof *r->groups->topics);
    r->groups->topics_count = 1;
    r->groups->topics->name = slice_str("t");
    r->groups->topics->partition_indexes = arena_array(&s->arena, 1, sizeof(int32_t));
    r->groups->topics->partition_indexes_count = 1;
    const struct offset_fetch_response *response = story_call(s, COORD_OFFSET_FETCH, 9, r)->response;
    return response->groups->topics->partitions->committed_offset;
}

static inline const struct describe_groups_response_described_group *story_describe(struct story *s)
{
    struct describe_groups_request *r = arena_zalloc(&s->arena, sizeof *r);
    describe_groups_request_init(r);
    r->groups = arena_array(&s->arena, 1, sizeof *r->groups);
    r->groups[0] = slice_str("g");
    r->groups_count = 1;
    const struct describe_groups_response *response = story_call(s, COORD_DESCRIBE_GROUPS, 6, r)->response;
    return response->groups;
}

static inline void story_state_is(struct story *s, const char *state)
{
    char *text = slice_to_str(story_describe(s)->group_state);
    assert_string_equal(text, state);
    mem_free(text);
}
