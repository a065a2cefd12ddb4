// SPDX-License-Identifier: Apache-2.0
/* http/spans.c - which part of which partitions a request is about.
 *
 *   partition=N      that one; else all
 *   from=latest      newest first, from the end back (the default)
 *   from=earliest    oldest first, from the start; from=OFFSET and from=TIME likewise from there
 *   to=OFFSET|TIME   up to there, exclusive
 *   cursor=P:O,P:O   goes on where an earlier answer ended: partitions that it leaves out are done
 * A number of 13 digits or more is a time in milliseconds, a smaller one an offset; ISO 8601 is a time.
 */
#include "http/http__.h"

#include "wire/gen/list_offsets.h"
#include "wire/gen/metadata.h"

#include <stdlib.h>
#include <time.h>

enum { LIST_OFFSETS_VERSION = 7, METADATA_VERSION = 12 };
enum { LATEST = -1, EARLIEST = -2 };
static const int64_t TIME_LEAST = 1000000000000; // in milliseconds: 2001; offsets below are offsets

bool time__parse(const char *text, int64_t *ret_ms)
{
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%d", &parts);
    if (!rest)
        return false;
    if (*rest == 'T' || *rest == ' ') {
        rest = strptime(rest + 1, "%H:%M", &parts);
        if (rest && *rest == ':')
            rest = strptime(rest + 1, "%S", &parts);
    }
    if (!rest)
        return false;
    double fraction = 0;
    if (*rest == '.') {
        char *end;
        fraction = strtod(rest, &end);
        rest = end;
    }
    int64_t zone_s = 0;
    if (*rest == '+' || *rest == '-') {
        char *end;
        long hours = strtol(rest + 1, &end, 10), minutes = *end == ':' ? strtol(end + 1, &end, 10) : 0;
        if (*end || end == rest + 1 || hours < 0 || hours > 18 || minutes < 0 || minutes > 59)
            return false;
        zone_s = (*rest == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
    } else if (*rest && strcmp(rest, "Z") != 0) {
        return false;
    }
    *ret_ms = ((int64_t)timegm(&parts) - zone_s) * 1000 + (int64_t)(fraction * 1000);
    return true;
}

static bool all_digits(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0' && strlen(text) <= 18;
}

/* ---- the partitions */
static const struct metadata_response_metadata_response_topic *describe(struct exchange *e, struct slice name)
{
    struct metadata_request_metadata_request_topic wanted;
    metadata_request_metadata_request_topic_init(&wanted);
    wanted.name = name;
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics = &wanted;
    body.topics_count = 1;
    body.allow_auto_topic_creation = false;
    const struct metadata_response *answer = exchange__ask(e, API_METADATA, METADATA_VERSION, &body);
    if (!answer || answer->topics_count != 1)
        return NULL;
    int16_t error = answer->topics[0].error_code;
    if (error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION)
        exchange__fail(e, 404, kafka_error_name(error), "there is no topic of that name");
    else if (!exchange__fail_kafka(e, error, SLICE_NULL))
        return &answer->topics[0];
    return NULL;
}

static int by_partition(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return (x->partition > y->partition) - (x->partition < y->partition);
}

static bool take_partitions(struct exchange *e, const struct metadata_response_metadata_response_topic *topic,
                            struct spans *spans)
{
    int64_t only = exchange__query_i64(e, "partition", -1, -1, INT32_MAX);
    spans->items = mem_zalloc(((size_t)max_i64(topic->partitions_count, 0) + 1) * sizeof *spans->items);
    for (int32_t i = 0; i < topic->partitions_count; i++)
        if (only < 0 || only == topic->partitions[i].partition_index)
            spans->items[spans->count++].partition = topic->partitions[i].partition_index;
    qsort(spans->items, (size_t)spans->count, sizeof *spans->items, by_partition);
    if (spans->count > 0)
        return true;
    exchange__fail(e, 404, "UNKNOWN_TOPIC_OR_PARTITION", "the topic has no partition %lld", (long long)only);
    return false;
}

/* ---- their offsets */
static void place(const struct spans *spans, const struct list_offsets_response_list_offsets_topic_response *topic,
                  int64_t *ret_offsets)
{
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        struct span key = {.partition = topic->partitions[i].partition_index};
        const struct span *at = bsearch(&key, spans->items, (size_t)spans->count, sizeof key, by_partition);
        if (at && topic->partitions[i].error_code == KAFKA_NONE)
            ret_offsets[at - spans->items] = topic->partitions[i].offset;
    }
}

bool spans__offsets(struct exchange *e, struct slice name, const struct spans *spans, int64_t timestamp,
                    int64_t *ret_offsets)
{
    struct list_offsets_request_list_offsets_partition *partitions =
        mem_zalloc((size_t)spans->count * sizeof *partitions);
    for (int i = 0; i < spans->count; i++) {
        list_offsets_request_list_offsets_partition_init(&partitions[i]);
        partitions[i].partition_index = spans->items[i].partition;
        partitions[i].timestamp = timestamp;
        ret_offsets[i] = -1;
    }
    struct list_offsets_request_list_offsets_topic topic;
    list_offsets_request_list_offsets_topic_init(&topic);
    topic.name = name;
    topic.partitions = partitions;
    topic.partitions_count = spans->count;
    struct list_offsets_request body;
    list_offsets_request_init(&body);
    body.replica_id = -1;
    body.topics = &topic;
    body.topics_count = 1;
    const struct list_offsets_response *answer = exchange__ask(e, API_LIST_OFFSETS, LIST_OFFSETS_VERSION, &body);
    mem_free(partitions);
    if (!answer || answer->topics_count != 1)
        return false;
    place(spans, &answer->topics[0], ret_offsets);
    return true;
}

static bool take_ends(struct exchange *e, struct slice topic, struct spans *spans)
{
    int64_t *offsets = mem_alloc((size_t)spans->count * 2 * sizeof *offsets);
    bool ok = spans__offsets(e, topic, spans, EARLIEST, offsets) &&
              spans__offsets(e, topic, spans, LATEST, offsets + spans->count);
    for (int i = 0; ok && i < spans->count; i++) {
        struct span *span = &spans->items[i];
        span->start = span->from = max_i64(offsets[i], 0);
        span->end = span->to = max_i64(offsets[spans->count + i], span->start);
    }
    mem_free(offsets);
    return ok;
}

/* ---- one bound of all spans: an offset, a time, or a word */
static bool take_bound(struct exchange *e, struct slice topic, struct spans *spans, const char *text, bool is_from)
{
    int64_t value = 0;
    bool is_number = all_digits(text), is_time = time__parse(text, &value);
    if (is_number) {
        value = strtoll(text, NULL, 10);
        is_time = value >= TIME_LEAST;
    }
    if (!is_number && !is_time) {
        exchange__fail(e, 400, "INVALID", "%s is latest, earliest, an offset, or a time such as 2026-01-31T12:00:00Z",
                       is_from ? "from" : "to");
        return false;
    }
    int64_t *offsets = mem_alloc((size_t)spans->count * sizeof *offsets);
    bool ok = !is_time || spans__offsets(e, topic, spans, value, offsets);
    for (int i = 0; ok && i < spans->count; i++) {
        struct span *span = &spans->items[i];
        int64_t offset = !is_time ? value : offsets[i] < 0 ? span->end : offsets[i];
        int64_t *bound = is_from ? &span->from : &span->to;
        *bound = max_i64(span->start, min_i64(span->end, offset));
    }
    mem_free(offsets);
    return ok;
}

/* Partitions that the cursor leaves out have nothing left. */
static bool take_cursor(struct exchange *e, struct spans *spans, const char *text)
{
    bool *is_named = mem_zalloc((size_t)spans->count * sizeof *is_named);
    bool ok = true;
    while (ok && *text) {
        char *rest;
        struct span key = {.partition = (int32_t)strtol(text, &rest, 10)};
        struct span *span = bsearch(&key, spans->items, (size_t)spans->count, sizeof key, by_partition);
        ok = *rest == ':' && rest != text && span;
        if (!ok)
            break;
        int64_t offset = max_i64(span->start, min_i64(span->end, strtoll(rest + 1, &rest, 10)));
        *(spans->newest_first ? &span->to : &span->from) = offset;
        is_named[span - spans->items] = true;
        ok = *rest == ',' || !*rest;
        text = *rest ? rest + 1 : rest;
    }
    for (int i = 0; i < spans->count; i++)
        if (!is_named[i])
            spans->items[i].from = spans->items[i].to;
    mem_free(is_named);
    if (!ok)
        exchange__fail(e, 400, "INVALID", "cursor is not one that an earlier answer gave");
    return ok;
}

static bool choose(struct exchange *e, struct slice topic, struct spans *spans)
{
    const struct metadata_response_metadata_response_topic *described = describe(e, topic);
    if (!described || !take_partitions(e, described, spans) || !take_ends(e, topic, spans))
        return false;
    const char *from = exchange__query(e, "from"), *to = exchange__query(e, "to");
    const char *cursor = exchange__query(e, "cursor");
    spans->newest_first = !from || !*from || strcmp(from, "latest") == 0;
    bool is_word = spans->newest_first || strcmp(from, "earliest") == 0;
    if (!is_word && !take_bound(e, topic, spans, from, true))
        return false;
    if (to && *to && strcmp(to, "latest") != 0 && !take_bound(e, topic, spans, to, false))
        return false;
    return !cursor || !*cursor || take_cursor(e, spans, cursor);
}

bool spans__choose(struct exchange *e, struct slice topic, struct spans *ret_spans)
{
    struct spans spans = {0};
    bool ok = choose(e, topic, &spans);
    if (ok)
        *ret_spans = spans;
    else
        spans__free(&spans);
    return ok;
}

void spans__free(struct spans *spans)
{
    mem_free(spans->items);
    *spans = (struct spans){0};
}
