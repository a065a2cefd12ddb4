// SPDX-License-Identifier: Apache-2.0
/* http/history.c - the last hour of a few numbers, in memory of fixed size, so that a chart has a past when it is opened.
 *
 * Totals are kept as they were; a chart shows their differences. Groups get a row of their own while there is room
 * (GROUPS_MAX); a group that is gone leaves its row to the next one.
 */
#include "http/http__.h"

#include "wire/gen/list_groups.h"

enum { GROUPS_MAX = 32, GROUP_NAME_BYTES = 128 };

enum series {
    SERIES_AT,
    SERIES_BYTES_IN,
    SERIES_BYTES_OUT,
    SERIES_REQUESTS,
    SERIES_MESSAGES,
    SERIES_CONNECTIONS,
    SERIES_RESIDENT,
    SERIES_FLUSH_P99,
    SERIES_COUNT,
};

static const char *const SERIES_NAMES[SERIES_COUNT] = {"at",       "bytesIn",     "bytesOut",      "requests",
                                                       "messages", "connections", "residentBytes", "flushP99Us"};

struct group_row {
    char name[GROUP_NAME_BYTES]; // "": free
    bool is_seen;
    int64_t lags[HISTORY_SAMPLES]; // -1: not known then
};

struct history {
    struct broker *broker;
    struct asker asker;
    struct io_lock *lock;
    int64_t samples[SERIES_COUNT][HISTORY_SAMPLES];
    struct group_row *groups; // made when the first group is seen
    uint32_t count;           // samples taken so far
};

struct history *history__create(struct broker *broker)
{
    struct history *history = mem_zalloc(sizeof *history);
    history->broker = broker;
    history->lock = io_lock_create();
    asker__init(&history->asker, broker);
    return history;
}

void history__free(struct history *history)
{
    if (!history)
        return;
    asker__free(&history->asker);
    io_lock_destroy(history->lock);
    mem_free(history->groups);
    mem_free(history);
}

static void add_written(void *context, const struct broker_partition *partition)
{
    *(int64_t *)context += partition->end_offset;
}

static struct group_row *row_of(struct history *history, struct slice name)
{
    struct group_row *unused = NULL;
    if (!history->groups)
        history->groups = mem_zalloc(GROUPS_MAX * sizeof *history->groups);
    for (int i = 0; i < GROUPS_MAX; i++) {
        struct group_row *row = &history->groups[i];
        if (*row->name && slice_equal_str(name, row->name))
            return row;
        if (!*row->name && !unused)
            unused = row;
    }
    if (!unused || name.size >= GROUP_NAME_BYTES)
        return NULL;
    memcpy(unused->name, name.data, name.size);
    for (int i = 0; i < HISTORY_SAMPLES; i++)
        unused->lags[i] = -1;
    return unused;
}

static void sample_groups(struct history *history, uint32_t at)
{
    const struct list_groups_response *list = groups__list(&history->asker);
    int64_t lags[GROUPS_MAX];
    struct slice names[GROUPS_MAX];
    int count = 0;
    for (int32_t i = 0; list && i < list->groups_count && count < GROUPS_MAX; i++) {
        names[count] = list->groups[i].group_id;
        lags[count++] = group__lag(&history->asker, list->groups[i].group_id);
    }
    io_lock_take(history->lock);
    for (int i = 0; history->groups && i < GROUPS_MAX; i++)
        history->groups[i].is_seen = false;
    for (int i = 0; i < count; i++) {
        struct group_row *row = row_of(history, names[i]);
        if (!row)
            continue;
        row->is_seen = true;
        row->lags[at] = lags[i];
    }
    for (int i = 0; history->groups && i < GROUPS_MAX; i++)
        if (!history->groups[i].is_seen)
            history->groups[i].name[0] = '\0';
    io_lock_release(history->lock);
    asker__reset(&history->asker);
}

void history__sample(struct history *history)
{
    struct broker_numbers numbers;
    struct process_numbers process;
    int64_t messages = 0;
    broker_numbers(history->broker, &numbers);
    process__numbers(&process);
    broker_partitions_each(history->broker, add_written, &messages);
    uint32_t at = history->count % HISTORY_SAMPLES;
    const int64_t values[SERIES_COUNT] = {
        [SERIES_AT] = io_wall_ms(),
        [SERIES_BYTES_IN] = (int64_t)numbers.bytes_in,
        [SERIES_BYTES_OUT] = (int64_t)numbers.bytes_out,
        [SERIES_REQUESTS] = (int64_t)numbers.requests,
        [SERIES_MESSAGES] = messages,
        [SERIES_CONNECTIONS] = (int64_t)numbers.connections,
        [SERIES_RESIDENT] = (int64_t)process.resident_bytes,
        [SERIES_FLUSH_P99] = (int64_t)numbers.flush_p99_us,
    };
    sample_groups(history, at);
    io_lock_take(history->lock);
    for (int s = 0; s < SERIES_COUNT; s++)
        history->samples[s][at] = values[s];
    history->count++;
    io_lock_release(history->lock);
}

static void write_row(struct history *history, struct json *j, const char *key, const int64_t *values)
{
    uint32_t kept = history->count < HISTORY_SAMPLES ? history->count : HISTORY_SAMPLES;
    json__open(j, key, '[');
    for (uint32_t i = history->count - kept; i < history->count; i++)
        json__i64(j, NULL, values[i % HISTORY_SAMPLES]);
    json__close(j, ']');
}

void history__write(struct history *history, struct json *j)
{
    io_lock_take(history->lock);
    json__open(j, "history", '{');
    json__i64(j, "stepMs", HISTORY_STEP_MS);
    for (int s = 0; s < SERIES_COUNT; s++)
        write_row(history, j, SERIES_NAMES[s], history->samples[s]);
    json__open(j, "groups", '[');
    for (int i = 0; history->groups && i < GROUPS_MAX; i++) {
        if (!*history->groups[i].name)
            continue;
        json__open(j, NULL, '{');
        json__string(j, "id", history->groups[i].name);
        write_row(history, j, "lag", history->groups[i].lags);
        json__close(j, '}');
    }
    json__close(j, ']');
    json__close(j, '}');
    io_lock_release(history->lock);
}
