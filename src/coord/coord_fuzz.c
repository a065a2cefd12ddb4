// SPDX-License-Identifier: Apache-2.0
/* coord/coord_fuzz.c - any records as those of a partition of __consumer_offsets, replayed into a coordinator's shard.
 *
 *   bytes  meaning, again and again
 *       1  size of the key
 *       2  size of the value; 0xffff: a tombstone
 *     n+m  key, value
 *
 * Nothing may crash; a shard that understood all of them answers questions, lets what is too old expire, and what it writes
 * then is understood by the next one that replays the same log.
 */
#include "coord/coord.h"
#include "wire/gen/describe_groups.h"
#include "wire/gen/errors.h"
#include "wire/gen/list_groups.h"
#include "wire/gen/offset_fetch.h"

enum { TICKS_MAX = 50, RECORDS_MAX = 4096, TOMBSTONE = 0xffff };
static const struct coord_time LOADED = {.now_ms = 1000, .wall_ms = 1700000000000};

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_lines(void *context, const char *line, size_t size)
{
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    log_sink_set(no_lines, NULL);
    return 0;
}

struct history {
    struct arena arena;
    struct coord_record records[RECORDS_MAX];
    int count;
};

static void note(struct history *history, struct slice key, struct slice value)
{
    assert(history->count < RECORDS_MAX);
    history->records[history->count++] = (struct coord_record){
        arena_copy(&history->arena, key), slice_is_null(value) ? SLICE_NULL : arena_copy(&history->arena, value)};
}

static void cut_records(struct slice rest, struct history *history)
{
    while (rest.size >= 3 && history->count < RECORDS_MAX / 4) {
        size_t key_size = rest.data[0], value_size = (size_t)(rest.data[1] << 8 | rest.data[2]);
        bool is_tombstone = value_size == TOMBSTONE;
        rest = slice_of(rest.data + 3, rest.size - 3);
        key_size = key_size < rest.size ? key_size : rest.size;
        struct slice key = slice_of(rest.data, key_size);
        rest = slice_of(rest.data + key_size, rest.size - key_size);
        value_size = is_tombstone ? 0 : value_size < rest.size ? value_size : rest.size;
        note(history, key, is_tombstone ? SLICE_NULL : slice_of(rest.data, value_size));
        rest = slice_of(rest.data + value_size, rest.size - value_size);
    }
}

static bool replay(struct coord_shard *shard, const struct history *history)
{
    for (int i = 0; i < history->count; i++)
        if (!coord_shard_apply(shard, history->records[i].key, history->records[i].value, LOADED.wall_ms - 1000))
            return false;
    coord_shard_loaded(shard, LOADED);
    return true;
}

/* What it wants to write is written and committed. */
static void run(struct coord_shard *shard, struct history *history, struct coord_time time)
{
    const struct coord_record *records;
    size_t count;
    uint64_t token;
    while (coord_shard_take_records(shard, &records, &count, &token)) {
        for (size_t i = 0; i < count && history->count < RECORDS_MAX; i++)
            note(history, records[i].key, records[i].value);
        coord_shard_committed(shard, token, time);
    }
    while (coord_shard_take_done(shard))
        ;
}

static void ask(struct coord_shard *shard, struct history *history, enum coord_kind kind, int16_t version,
                const void *request, struct coord_call *call)
{
    *call = (struct coord_call){.arena = &history->arena,
                                .kind = kind,
                                .version = version,
                                .request = request,
                                .client_id = slice_str("app"),
                                .client_host = slice_str("/127.0.0.1")};
    coord_call_start(shard, call, LOADED);
    run(shard, history, LOADED);
    assert(call->done && call->response);
}

/* Every group that it lists can be described, and its offsets read. */
static void ask_all(struct coord_shard *shard, struct history *history)
{
    struct list_groups_request list;
    struct coord_call call;
    list_groups_request_init(&list);
    ask(shard, history, COORD_LIST_GROUPS, 4, &list, &call);
    const struct list_groups_response *listed = call.response;
    for (int32_t i = 0; i < listed->groups_count; i++) {
        struct describe_groups_request describe;
        describe_groups_request_init(&describe);
        describe.groups = &listed->groups[i].group_id;
        describe.groups_count = 1;
        ask(shard, history, COORD_DESCRIBE_GROUPS, 5, &describe, &call);
        struct offset_fetch_request fetch;
        offset_fetch_request_init(&fetch);
        fetch.group_id = listed->groups[i].group_id;
        fetch.topics_count = -1;
        ask(shard, history, COORD_OFFSET_FETCH, 7, &fetch, &call);
    }
}

static void let_expire(struct coord_shard *shard, struct history *history)
{
    struct coord_time time = LOADED;
    for (int i = 0; i < TICKS_MAX && coord_shard_deadline_ms(shard) < INT64_MAX; i++) {
        int64_t step_ms = max_i64(sub_i64(coord_shard_deadline_ms(shard), time.now_ms), 0);
        time.now_ms += step_ms;
        time.wall_ms += step_ms;
        coord_shard_tick(shard, time);
        run(shard, history, time);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct history history;
    struct coord_settings settings = coord_settings_default();
    arena_init(&history.arena, 4096, SIZE_MAX);
    history.count = 0;
    cut_records(slice_of(data, size), &history);
    struct coord_shard *shard = coord_shard_create(&settings), *next = coord_shard_create(&settings);
    if (replay(shard, &history)) {
        ask_all(shard, &history);
        let_expire(shard, &history);
        bool is_understood = history.count == RECORDS_MAX || replay(next, &history);
        assert(is_understood);
    }
    coord_shard_fail(shard, KAFKA_NOT_COORDINATOR);
    coord_shard_free(shard);
    coord_shard_free(next);
    arena_free(&history.arena);
    return 0;
}
