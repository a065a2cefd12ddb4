// SPDX-License-Identifier: Apache-2.0
/* coord/shard.c - one partition of __consumer_offsets: calls in, time, commits, replay, and the end of leadership.
 *
 * A shard is either being replayed (records come in through coord_shard_apply, calls are refused) or served. What it
 * holds while served is what its records say, plus the members' timers and parked calls, which no record has. So losing
 * leadership is simple: answer everybody, forget everything, replay.
 */
#include "coord/coord__.h"

enum { SCRATCH_BLOCK_BYTES = 4096, WRITER_KEEP_BYTES = 64 * 1024 };

struct coord_settings coord_settings_default(void)
{
    return (struct coord_settings){
        .group_min_session_timeout_ms = 6000,
        .group_max_session_timeout_ms = 1800000,
        .group_max_size = INT32_MAX,
        .shard_member_bytes_max = INT64_MAX,
        .shard_offset_bytes_max = INT64_MAX,
        .group_initial_rebalance_delay_ms = 3000,
        .offset_metadata_max_bytes = 4096,
        .offsets_retention_ms = 7LL * 24 * 60 * 60 * 1000,
        .offsets_retention_check_interval_ms = 600000,
        .batch_bytes_max = 1000000,
    };
}

struct coord_shard *coord_shard_create(const struct coord_settings *settings)
{
    struct coord_shard *shard = mem_zalloc(sizeof *shard);
    shard->settings = *settings;
    hash_init(&shard->groups);
    list_init(&shard->syncing);
    list_init(&shard->batches);
    list_init(&shard->done);
    heap_init(&shard->timers);
    shard->expiry.kind = TIMER_EXPIRY;
    arena_init(&shard->scratch, SCRATCH_BLOCK_BYTES, SIZE_MAX);
    wire_writer_init(&shard->writer, settings->batch_bytes_max);
    return shard;
}

static void drop_state(struct coord_shard *shard)
{
    for (struct hash_node *node; (node = hash_iterate(&shard->groups, NULL));)
        coord__group_free(CONTAINER_OF(node, struct group, by_id));
    while (!list_is_empty(&shard->batches))
        coord__batch_free(CONTAINER_OF(shard->batches.next, struct batch, link));
    heap_remove(&shard->timers, &shard->expiry.node);
    assert(heap_first(&shard->timers) == NULL && list_is_empty(&shard->syncing));
    arena_reset(&shard->scratch);
    shard->counts = (struct coord_shard_counts){0};
    shard->is_loaded = false;
}

void coord_shard_free(struct coord_shard *shard)
{
    if (!shard)
        return;
    assert(shard->counts.parked_calls == 0 && shard->counts.waiting_calls == 0);
    drop_state(shard);
    hash_free(&shard->groups);
    heap_free(&shard->timers);
    arena_free(&shard->scratch);
    wire_writer_free(&shard->writer);
    mem_free(shard);
}

/* ---- calls */

void coord_call_start(struct coord_shard *shard, struct coord_call *call, struct coord_time time)
{
    static void (*const starts[])(struct coord_shard *, struct coord_call *) = {
        [COORD_JOIN_GROUP] = coord__join_group,       [COORD_SYNC_GROUP] = coord__sync_group,
        [COORD_HEARTBEAT] = coord__heartbeat,         [COORD_LEAVE_GROUP] = coord__leave_group,
        [COORD_OFFSET_COMMIT] = coord__offset_commit, [COORD_OFFSET_FETCH] = coord__offset_fetch,
        [COORD_OFFSET_DELETE] = coord__offset_delete, [COORD_DESCRIBE_GROUPS] = coord__describe_groups,
        [COORD_LIST_GROUPS] = coord__list_groups,     [COORD_DELETE_GROUPS] = coord__delete_groups,
    };
    assert((size_t)call->kind < COUNT_OF(starts));
    shard->time = time;
    list_init(&call->link);
    if (!coord__response_new(call)) {
        coord__done(shard, call);
    } else if (!shard->is_loaded) {
        coord_call_refuse(call, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
        coord__done(shard, call);
    } else {
        starts[call->kind](shard, call);
        wire_writer_reset(&shard->writer, WRITER_KEEP_BYTES);
    }
}

static void release_batch(struct coord_shard *shard, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct wire_reader key;
        wire_reader_init(&key, batch->records[i].key.data, batch->records[i].key.size);
        arena_reset(&shard->scratch);
        if (wire_read_i16(&key) > 1)
            continue; // a group's metadata: the group knew it before the record did
        bool is_understood = coord__apply_offset(shard, &key, batch->records[i].value, true);
        assert(is_understood); // written here
    }
    for (struct list *node; (node = list_pop_front(&batch->calls));) {
        shard->counts.waiting_calls--;
        coord__done(shard, CONTAINER_OF(node, struct coord_call, link));
    }
}

void coord_shard_committed(struct coord_shard *shard, uint64_t token, struct coord_time time)
{
    assert(token <= shard->last_token);
    shard->time = time;
    while (!list_is_empty(&shard->batches)) {
        struct batch *batch = CONTAINER_OF(shard->batches.next, struct batch, link);
        if (batch->token > token)
            break;
        assert(batch->is_taken || batch->count == 0);
        release_batch(shard, batch);
        coord__batch_free(batch);
    }
    while (!list_is_empty(&shard->syncing)) {
        struct group *group = CONTAINER_OF(shard->syncing.next, struct group, in_syncing);
        if (group->sync_token > token)
            break;
        coord__synced(group);
    }
}

/* ---- the end of leadership */

static void refuse(struct coord_shard *shard, struct coord_call *call, int16_t error)
{
    coord_call_refuse(call, error);
    coord__done(shard, call);
}

static void refuse_parked(struct coord_shard *shard, struct member *member, int16_t error)
{
    if (member->join_call) {
        refuse(shard, member->join_call, error);
        member->join_call = NULL;
        member->group->joining_count--;
        shard->counts.parked_calls--;
    }
    if (member->sync_call) {
        refuse(shard, member->sync_call, error);
        member->sync_call = NULL;
        shard->counts.parked_calls--;
    }
}

void coord_shard_fail(struct coord_shard *shard, int16_t error)
{
    assert(error != KAFKA_NONE);
    for (struct hash_node *node = NULL; (node = hash_iterate(&shard->groups, node));) {
        struct group *group = CONTAINER_OF(node, struct group, by_id);
        LIST_EACH (in_group, &group->members)
            refuse_parked(shard, CONTAINER_OF(in_group, struct member, in_group), error);
    }
    LIST_EACH (node, &shard->batches) {
        struct batch *batch = CONTAINER_OF(node, struct batch, link);
        for (struct list *waiting; (waiting = list_pop_front(&batch->calls));) {
            shard->counts.waiting_calls--;
            refuse(shard, CONTAINER_OF(waiting, struct coord_call, link), error);
        }
    }
    assert(shard->counts.parked_calls == 0 && shard->counts.waiting_calls == 0);
    drop_state(shard);
}

/* ---- replay */

bool coord_shard_apply(struct coord_shard *shard, struct slice key, struct slice value, int64_t timestamp_ms)
{
    assert(!shard->is_loaded);
    struct wire_reader reader;
    shard->time.wall_ms = timestamp_ms;
    arena_reset(&shard->scratch);
    wire_reader_init(&reader, key.data, key.size);
    int16_t kind = wire_read_i16(&reader);
    if (wire_reader_failed(&reader))
        return false;
    if (kind == 0 || kind == 1)
        return coord__apply_offset(shard, &reader, value, false);
    if (kind == 2)
        return coord__apply_group(shard, kind, &reader, value);
    if (kind >= 3 && kind <= 23)
        return coord__apply_opaque(shard, kind, &reader, value);
    LOG(LOG_WARN, "coord", "a record of unknown kind %d in __consumer_offsets is skipped", kind);
    return true; // as Kafka does: newer kinds are made to be skipped
}

static void resume(struct group *group)
{
    LIST_EACH (node, &group->members) {
        struct member *member = CONTAINER_OF(node, struct member, in_group);
        coord__session_start(member, member->session_timeout_ms);
    }
    if (group->members_count > group->shard->settings.group_max_size)
        coord__rebalance(group); // the limit was lowered meanwhile
}

void coord_shard_loaded(struct coord_shard *shard, struct coord_time time)
{
    assert(!shard->is_loaded);
    shard->time = time;
    shard->is_loaded = true;
    for (struct hash_node *node = NULL; (node = hash_iterate(&shard->groups, node));)
        resume(CONTAINER_OF(node, struct group, by_id));
    heap_insert(&shard->timers, &shard->expiry.node, time.now_ms + shard->settings.offsets_retention_check_interval_ms);
}

bool coord_shard_is_loaded(const struct coord_shard *shard)
{
    return shard->is_loaded;
}

/* ---- time */

int64_t coord_shard_deadline_ms(const struct coord_shard *shard)
{
    const struct heap_node *first = heap_first(&shard->timers);
    return first ? first->key : INT64_MAX;
}

static void expire(struct coord_shard *shard)
{
    coord__expire(shard);
    heap_insert(&shard->timers, &shard->expiry.node,
                shard->time.now_ms + shard->settings.offsets_retention_check_interval_ms);
}

static void fire(struct coord_shard *shard, struct timer *timer)
{
    switch (timer->kind) {
    case TIMER_SESSION:
        coord__session_timer(CONTAINER_OF(timer, struct member, session));
        break;
    case TIMER_PENDING:
        coord__pending_timer(CONTAINER_OF(timer, struct pending, session));
        break;
    case TIMER_JOIN:
        coord__join_timer(CONTAINER_OF(timer, struct group, join));
        break;
    case TIMER_SYNC:
        coord__sync_timer(CONTAINER_OF(timer, struct group, sync));
        break;
    case TIMER_EXPIRY:
        expire(shard);
        break;
    }
}

/* Timers set to "now" by a timer wait for the next tick, so one tick always ends. */
void coord_shard_tick(struct coord_shard *shard, struct coord_time time)
{
    shard->time = time;
    for (uint32_t left = shard->timers.count; left > 0; left--) {
        struct heap_node *first = heap_first(&shard->timers);
        if (!first || first->key > time.now_ms)
            break;
        heap_remove(&shard->timers, first);
        fire(shard, CONTAINER_OF(first, struct timer, node));
    }
    wire_writer_reset(&shard->writer, WRITER_KEEP_BYTES);
}

struct coord_shard_counts coord_shard_counts(const struct coord_shard *shard)
{
    return shard->counts;
}
