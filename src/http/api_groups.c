// SPDX-License-Identifier: Apache-2.0
/* http/api_groups.c - groups: who is in them, what they hold, how far behind they are; offsets set anew.
 *
 * Lag is the high watermark minus the committed offset, asked for as clients ask for both. Groups of every protocol are
 * listed; what only a newer protocol's describe would tell is told when the broker serves that request.
 */
#include "http/body__.h"

#include "wire/gen/client_protocol.h"
#include "wire/gen/consumer_group_describe.h"
#include "wire/gen/delete_groups.h"
#include "wire/gen/describe_groups.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/list_groups.h"
#include "wire/gen/list_offsets.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"

#include <stdlib.h>

enum { LATEST = -1, EARLIEST = -2, LIST_OFFSETS_VERSION = 7, PARTITIONS_MAX = 20000 };

/* ---- committed offsets with the ends of their partitions */
struct lag {
    struct slice topic, metadata;
    int32_t partition;
    int64_t committed, end, start, lag; // -1: unknown
};

static bool same_topic(const struct lag *a, const struct lag *b)
{
    return slice_equal(a->topic, b->topic);
}

static int by_place(const void *a, const void *b)
{
    const struct lag *x = a, *y = b;
    int topics = slice_compare(x->topic, y->topic);
    return topics ? topics : (x->partition > y->partition) - (x->partition < y->partition);
}

static int take_committed(const struct offset_fetch_response_offset_fetch_response_topic *topics, int32_t count,
                          struct lag *lags)
{
    int taken = 0;
    for (int32_t t = 0; t < count; t++)
        for (int32_t p = 0; p < topics[t].partitions_count && taken < PARTITIONS_MAX; p++) {
            const struct offset_fetch_response_offset_fetch_response_partition *from = &topics[t].partitions[p];
            if (from->error_code == KAFKA_NONE && from->committed_offset >= 0)
                lags[taken++] = (struct lag){.topic = topics[t].name,
                                             .metadata = from->metadata,
                                             .partition = from->partition_index,
                                             .committed = from->committed_offset,
                                             .end = -1,
                                             .start = -1,
                                             .lag = -1};
        }
    return taken;
}

/* Offsets of the partitions of one topic, lags[0..count), at a time. */
static void ask_offsets(struct asker *asker, const struct lag *lags, int count, int64_t timestamp, int64_t *ret_offsets)
{
    struct list_offsets_request_list_offsets_partition *partitions = mem_zalloc((size_t)count * sizeof *partitions);
    for (int i = 0; i < count; i++) {
        list_offsets_request_list_offsets_partition_init(&partitions[i]);
        partitions[i].partition_index = lags[i].partition;
        partitions[i].timestamp = timestamp;
        ret_offsets[i] = -1;
    }
    struct list_offsets_request_list_offsets_topic topic;
    list_offsets_request_list_offsets_topic_init(&topic);
    topic.name = lags[0].topic;
    topic.partitions = partitions;
    topic.partitions_count = count;
    struct list_offsets_request body;
    list_offsets_request_init(&body);
    body.replica_id = -1;
    body.topics = &topic;
    body.topics_count = 1;
    const struct list_offsets_response *answer = asker__ask(asker, API_LIST_OFFSETS, LIST_OFFSETS_VERSION, &body);
    mem_free(partitions);
    if (!answer || answer->topics_count != 1)
        return;
    for (int32_t p = 0; p < answer->topics[0].partitions_count; p++)
        for (int i = 0; i < count; i++)
            if (lags[i].partition == answer->topics[0].partitions[p].partition_index &&
                answer->topics[0].partitions[p].error_code == KAFKA_NONE)
                ret_offsets[i] = answer->topics[0].partitions[p].offset;
}

static void fill_ends(struct asker *asker, struct lag *lags, int count)
{
    for (int first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && same_topic(&lags[first], &lags[end]);)
            end++;
        int64_t *offsets = mem_alloc((size_t)(end - first) * sizeof *offsets);
        ask_offsets(asker, lags + first, end - first, LATEST, offsets);
        for (int i = first; i < end; i++)
            lags[i].end = offsets[i - first];
        ask_offsets(asker, lags + first, end - first, EARLIEST, offsets);
        for (int i = first; i < end; i++) {
            lags[i].start = offsets[i - first];
            lags[i].lag = lags[i].end < 0 ? -1 : max_i64(0, lags[i].end - max_i64(lags[i].committed, lags[i].start));
        }
        mem_free(offsets);
    }
}

/* mem_free; *ret_count is -1 when the broker did not answer. */
static struct lag *lags_of(struct asker *asker, struct slice group, int *ret_count, int16_t *ret_error)
{
    struct offset_fetch_request body;
    offset_fetch_request_init(&body);
    body.group_id = group;
    body.topics_count = -1;
    *ret_count = -1;
    *ret_error = KAFKA_NONE;
    const struct offset_fetch_response *answer = asker__ask(asker, API_OFFSET_FETCH, 7, &body);
    if (!answer)
        return NULL;
    *ret_error = answer->error_code;
    if (answer->error_code)
        return NULL;
    struct lag *lags = mem_alloc(PARTITIONS_MAX * sizeof *lags);
    *ret_count = take_committed(answer->topics, answer->topics_count, lags);
    if (*ret_count > 0)
        qsort(lags, (size_t)*ret_count, sizeof *lags, by_place);
    fill_ends(asker, lags, *ret_count);
    return lags;
}

/* In the partitions of `topic`, of all when it is null. */
static int64_t lag_in(struct asker *asker, struct slice group, struct slice topic)
{
    int count;
    int16_t error;
    struct lag *lags = lags_of(asker, group, &count, &error);
    int64_t sum = -1;
    for (int i = 0; i < count; i++)
        if (slice_is_null(topic) || slice_equal(lags[i].topic, topic))
            sum = max_i64(0, sum) + max_i64(0, lags[i].lag);
    mem_free(lags);
    return sum;
}

int64_t group__lag(struct asker *asker, struct slice group)
{
    return lag_in(asker, group, SLICE_NULL);
}

void group__each_lag(struct asker *asker, struct slice group,
                     void (*each)(void *context, struct slice topic, int32_t partition, int64_t committed, int64_t lag),
                     void *context)
{
    int count;
    int16_t error;
    struct lag *lags = lags_of(asker, group, &count, &error);
    for (int i = 0; i < count; i++)
        each(context, lags[i].topic, lags[i].partition, lags[i].committed, lags[i].lag);
    mem_free(lags);
}

static void write_offset(struct json *j, const char *key, int64_t value)
{
    if (value >= 0)
        json__i64(j, key, value);
    else
        json__null(j, key);
}

/* ---- GET /groups */
const struct list_groups_response *groups__list(struct asker *asker)
{
    struct list_groups_request body;
    list_groups_request_init(&body);
    return asker__ask(asker, API_LIST_GROUPS, 5, &body);
}

static int by_id(const void *a, const void *b)
{
    const struct list_groups_response_listed_group *x = a, *y = b;
    return slice_compare(x->group_id, y->group_id);
}

static void write_listed(struct json *j, const struct list_groups_response_listed_group *group, int64_t lag)
{
    json__open(j, NULL, '{');
    json__text(j, "id", group->group_id);
    json__text(j, "state", group->group_state);
    json__text(j, "type", group->group_type.size ? group->group_type : slice_str("classic"));
    json__text(j, "protocolType", group->protocol_type);
    write_offset(j, "lag", lag);
    json__close(j, '}');
}

/* All groups, or with topic=NAME those that have committed offsets in it, with their lag there. */
void web__groups(struct exchange *e)
{
    enum { LAGS_MAX = 500 }; // a listing asks no more groups for their lag
    const char *name = exchange__query(e, "topic");
    struct slice topic = name && *name ? slice_str(name) : SLICE_NULL;
    const struct list_groups_response *answer = groups__list(&e->asker);
    if (!answer) {
        exchange__fail(e, 503, "BUSY", "the broker is busy or stops; try again");
        return;
    }
    if (exchange__fail_kafka(e, answer->error_code, SLICE_NULL))
        return;
    if (answer->groups_count > 0)
        qsort(answer->groups, (size_t)answer->groups_count, sizeof *answer->groups, by_id);
    struct json j = exchange__json(e);
    json__open(&j, NULL, '{');
    json__i64(&j, "at", io_wall_ms());
    json__open(&j, "groups", '[');
    for (int32_t i = 0; i < answer->groups_count; i++) {
        const struct list_groups_response_listed_group *group = &answer->groups[i];
        int64_t lag = i < LAGS_MAX ? lag_in(&e->asker, group->group_id, topic) : -1;
        if (lag >= 0 || !name)
            write_listed(&j, group, lag);
    }
    json__close(&j, ']');
    json__close(&j, '}');
}

/* ---- GET /groups/{group} */
static void write_assigned(struct json *j, struct slice topic, const int32_t *partitions, int32_t count)
{
    json__open(j, NULL, '{');
    json__text(j, "topic", topic);
    json__open(j, "partitions", '[');
    for (int32_t i = 0; i < count; i++)
        json__i64(j, NULL, partitions[i]);
    json__close(j, ']');
    json__close(j, '}');
}

/* As the Java clients and those that follow them write it: a version, then its layout. */
static void write_classic_assignment(struct exchange *e, struct json *j, struct slice bytes)
{
    struct consumer_protocol_assignment assignment;
    consumer_protocol_assignment_init(&assignment);
    struct wire_reader reader;
    wire_reader_init(&reader, bytes.data, bytes.size);
    int16_t version = wire_read_i16(&reader);
    if (version >= 0 && version <= 3)
        consumer_protocol_assignment_read(&reader, version, &e->asker.arena, &assignment);
    json__open(j, "assignment", '[');
    for (int32_t i = 0; !wire_reader_failed(&reader) && i < assignment.assigned_partitions_count; i++)
        write_assigned(j, assignment.assigned_partitions[i].topic, assignment.assigned_partitions[i].partitions,
                       assignment.assigned_partitions[i].partitions_count);
    json__close(j, ']');
}

static bool write_classic(struct exchange *e, struct json *j, struct slice id)
{
    struct describe_groups_request body;
    describe_groups_request_init(&body);
    body.groups = &id;
    body.groups_count = 1;
    const struct describe_groups_response *answer = asker__ask(&e->asker, API_DESCRIBE_GROUPS, 6, &body);
    if (!answer || answer->groups_count != 1 || answer->groups[0].error_code != KAFKA_NONE)
        return false;
    const struct describe_groups_response_described_group *group = &answer->groups[0];
    json__text(j, "state", group->group_state);
    json__string(j, "type", "classic");
    json__text(j, "protocolType", group->protocol_type);
    json__text(j, "assignor", group->protocol_data);
    json__open(j, "members", '[');
    for (int32_t i = 0; i < group->members_count; i++) {
        const struct describe_groups_response_described_group_member *member = &group->members[i];
        json__open(j, NULL, '{');
        json__text(j, "id", member->member_id);
        json__text(j, "instanceId", member->group_instance_id);
        json__text(j, "clientId", member->client_id);
        json__text(j, "host", member->client_host);
        write_classic_assignment(e, j, member->member_assignment);
        json__close(j, '}');
    }
    json__close(j, ']');
    return true;
}

static bool write_consumer(struct exchange *e, struct json *j, struct slice id)
{
    struct consumer_group_describe_request body;
    consumer_group_describe_request_init(&body);
    body.group_ids = &id;
    body.group_ids_count = 1;
    const struct consumer_group_describe_response *answer =
        asker__ask(&e->asker, API_CONSUMER_GROUP_DESCRIBE, 1, &body);
    if (!answer || answer->groups_count != 1 || answer->groups[0].error_code != KAFKA_NONE)
        return false;
    const struct consumer_group_describe_response_described_group *group = &answer->groups[0];
    json__text(j, "state", group->group_state);
    json__string(j, "type", "consumer");
    json__string(j, "protocolType", "consumer");
    json__text(j, "assignor", group->assignor_name);
    json__open(j, "members", '[');
    for (int32_t i = 0; i < group->members_count; i++) {
        const struct consumer_group_describe_response_member *member = &group->members[i];
        json__open(j, NULL, '{');
        json__text(j, "id", member->member_id);
        json__text(j, "instanceId", member->instance_id);
        json__text(j, "clientId", member->client_id);
        json__text(j, "host", member->client_host);
        json__open(j, "assignment", '[');
        for (int32_t t = 0; t < member->assignment.topic_partitions_count; t++)
            write_assigned(j, member->assignment.topic_partitions[t].topic_name,
                           member->assignment.topic_partitions[t].partitions,
                           member->assignment.topic_partitions[t].partitions_count);
        json__close(j, ']');
        json__close(j, '}');
    }
    json__close(j, ']');
    return true;
}

static void write_lags(struct json *j, const struct lag *lags, int count)
{
    int64_t sum = 0;
    json__open(j, "offsets", '[');
    for (int i = 0; i < count; i++) {
        json__open(j, NULL, '{');
        json__text(j, "topic", lags[i].topic);
        json__i64(j, "partition", lags[i].partition);
        json__i64(j, "committed", lags[i].committed);
        write_offset(j, "start", lags[i].start);
        write_offset(j, "end", lags[i].end);
        write_offset(j, "lag", lags[i].lag);
        json__text(j, "metadata", lags[i].metadata);
        json__close(j, '}');
        sum += max_i64(0, lags[i].lag);
    }
    json__close(j, ']');
    json__i64(j, "lag", sum);
}

static bool is_listed(struct exchange *e, struct slice id)
{
    const struct list_groups_response *answer = groups__list(&e->asker);
    for (int32_t i = 0; answer && i < answer->groups_count; i++)
        if (slice_equal(answer->groups[i].group_id, id))
            return true;
    return false;
}

void web__group(struct exchange *e, struct slice id)
{
    if (!is_listed(e, id)) {
        exchange__fail(e, 404, "GROUP_ID_NOT_FOUND", "there is no group of that name");
        return;
    }
    int count;
    int16_t error;
    struct lag *lags = lags_of(&e->asker, id, &count, &error);
    if (!exchange__fail_kafka(e, error, SLICE_NULL)) {
        struct json j = exchange__json(e);
        json__open(&j, NULL, '{');
        json__i64(&j, "at", io_wall_ms());
        json__text(&j, "id", id);
        if (!write_consumer(e, &j, id) && !write_classic(e, &j, id))
            json__string(&j, "state", "Unknown");
        write_lags(&j, lags, max_i64(count, 0) > 0 ? count : 0);
        json__close(&j, '}');
    }
    mem_free(lags);
}

/* ---- POST /groups/{group}/offsets: {"topic", "partitions": [..]|absent, "to": "earliest"|"latest"|offset|time, "preview"} */
struct reset {
    struct lag *items; // `end` holds the new offset
    int count;
    struct slice topic;
};

static bool choose_partitions(struct exchange *e, const json_t *body, struct reset *reset, const struct spans *spans)
{
    const json_t *wanted = json_object_get(body, "partitions");
    reset->items = mem_zalloc(((size_t)spans->count + 1) * sizeof *reset->items);
    for (int i = 0; i < spans->count; i++) {
        bool is_wanted = !json_is_array(wanted);
        for (size_t w = 0; !is_wanted && w < json_array_size(wanted); w++)
            is_wanted = json_integer_value(json_array_get(wanted, w)) == spans->items[i].partition;
        if (is_wanted)
            reset->items[reset->count++] = (struct lag){.topic = reset->topic,
                                                        .partition = spans->items[i].partition,
                                                        .committed = -1,
                                                        .start = spans->items[i].start,
                                                        .end = spans->items[i].end};
    }
    if (reset->count > 0)
        return true;
    exchange__fail(e, 404, "UNKNOWN_TOPIC_OR_PARTITION", "none of those partitions exists");
    return false;
}

static bool choose_offsets(struct exchange *e, const json_t *body, struct reset *reset)
{
    const json_t *to = json_object_get(body, "to");
    const char *text = json_string_value(to);
    int64_t time_ms = 0;
    bool is_offset = json_is_integer(to), is_latest = text && strcmp(text, "latest") == 0;
    bool is_earliest = text && strcmp(text, "earliest") == 0, is_time = text && time__parse(text, &time_ms);
    if (!is_offset && !is_latest && !is_earliest && !is_time) {
        exchange__fail(e, 400, "INVALID", "\"to\" is earliest, latest, an offset (a number), or a time in ISO 8601");
        return false;
    }
    int64_t *at = mem_alloc((size_t)reset->count * sizeof *at);
    if (is_time)
        ask_offsets(&e->asker, reset->items, reset->count, time_ms, at);
    for (int i = 0; i < reset->count; i++) {
        struct lag *item = &reset->items[i];
        int64_t end = item->end;
        int64_t wanted = is_earliest ? item->start
                         : is_latest ? end
                         : is_offset ? json_integer_value(to)
                         : at[i] < 0 ? end
                                     : at[i];
        item->end = max_i64(item->start, min_i64(end, wanted));
    }
    mem_free(at);
    return true;
}

static void find_committed(struct exchange *e, struct slice id, struct reset *reset)
{
    int count;
    int16_t error;
    struct lag *lags = lags_of(&e->asker, id, &count, &error);
    for (int i = 0; i < count; i++)
        for (int r = 0; r < reset->count; r++)
            if (slice_equal(lags[i].topic, reset->topic) && lags[i].partition == reset->items[r].partition)
                reset->items[r].committed = lags[i].committed;
    mem_free(lags);
}

/* As a client does: the first group of a broker brings the topic of offsets into being, and its coordinator has to load. */
static bool await_coordinator(struct exchange *e, struct slice id)
{
    enum { TRIES = 100, PAUSE_MS = 50 };
    struct find_coordinator_request body;
    find_coordinator_request_init(&body);
    body.key = id;
    for (int i = 0; i < TRIES; i++) {
        const struct find_coordinator_response *found = exchange__ask(e, API_FIND_COORDINATOR, 3, &body);
        if (!found)
            return false;
        int count;
        int16_t error = found->error_code;
        if (error == KAFKA_NONE)
            mem_free(lags_of(&e->asker, id, &count, &error));
        bool is_loading = error == KAFKA_COORDINATOR_NOT_AVAILABLE || error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS ||
                          error == KAFKA_NOT_COORDINATOR;
        if (!is_loading)
            return !exchange__fail_kafka(e, error, SLICE_NULL);
        struct io_event none;
        io_loop_wait(e->asker.loop, &none, 1, io_now_ns() + (int64_t)PAUSE_MS * 1000000);
    }
    exchange__fail(e, 503, "COORDINATOR_NOT_AVAILABLE", "the coordinator of that group does not get ready; try again");
    return false;
}

static bool commit(struct exchange *e, struct slice id, const struct reset *reset)
{
    struct offset_commit_request_offset_commit_request_partition *partitions =
        mem_zalloc((size_t)reset->count * sizeof *partitions);
    for (int i = 0; i < reset->count; i++) {
        offset_commit_request_offset_commit_request_partition_init(&partitions[i]);
        partitions[i].partition_index = reset->items[i].partition;
        partitions[i].committed_offset = reset->items[i].end;
        partitions[i].committed_metadata = slice_str("");
    }
    struct offset_commit_request_offset_commit_request_topic topic;
    offset_commit_request_offset_commit_request_topic_init(&topic);
    topic.name = reset->topic;
    topic.partitions = partitions;
    topic.partitions_count = reset->count;
    struct offset_commit_request body;
    offset_commit_request_init(&body);
    body.group_id = id;
    body.generation_id_or_member_epoch = -1;
    body.member_id = slice_str("");
    body.topics = &topic;
    body.topics_count = 1;
    const struct offset_commit_response *answer = exchange__ask(e, API_OFFSET_COMMIT, 8, &body);
    mem_free(partitions);
    if (!answer)
        return false;
    for (int32_t i = 0; answer->topics_count == 1 && i < answer->topics[0].partitions_count; i++) {
        int16_t error = answer->topics[0].partitions[i].error_code;
        if (error == KAFKA_UNKNOWN_MEMBER_ID || error == KAFKA_ILLEGAL_GENERATION) {
            exchange__fail(e, 409, "NON_EMPTY_GROUP",
                           "the group has members: stop them first, they would go on from where they are");
            return false;
        }
        if (exchange__fail_kafka(e, error, SLICE_NULL))
            return false;
    }
    return true;
}

static void write_reset(struct exchange *e, const struct reset *reset, bool is_preview)
{
    struct json j = exchange__json(e);
    json__open(&j, NULL, '{');
    json__bool(&j, "preview", is_preview);
    json__open(&j, "changes", '[');
    for (int i = 0; i < reset->count; i++) {
        json__open(&j, NULL, '{');
        json__text(&j, "topic", reset->topic);
        json__i64(&j, "partition", reset->items[i].partition);
        write_offset(&j, "from", reset->items[i].committed);
        json__i64(&j, "to", reset->items[i].end);
        json__close(&j, '}');
    }
    json__close(&j, ']');
    json__close(&j, '}');
}

void web__group_reset(struct exchange *e, struct slice id)
{
    json_t *body = body__object(e);
    if (!body)
        return;
    struct reset reset = {.topic = slice_str(json_string_value(json_object_get(body, "topic")))};
    struct spans spans = {0};
    if (slice_is_null(reset.topic))
        exchange__fail(e, 400, "INVALID", "\"topic\" is missing");
    else if (spans__choose(e, reset.topic, &spans) && choose_partitions(e, body, &reset, &spans) &&
             choose_offsets(e, body, &reset)) {
        bool is_preview = json_is_true(json_object_get(body, "preview"));
        find_committed(e, id, &reset);
        if (is_preview || (await_coordinator(e, id) && commit(e, id, &reset)))
            write_reset(e, &reset, is_preview);
    }
    mem_free(reset.items);
    spans__free(&spans);
    json_decref(body);
}

void web__group_delete(struct exchange *e, struct slice id)
{
    json_t *body = body__object(e);
    if (body && body__confirms(e, body, id)) {
        struct delete_groups_request request;
        delete_groups_request_init(&request);
        request.groups_names = &id;
        request.groups_names_count = 1;
        const struct delete_groups_response *answer = exchange__ask(e, API_DELETE_GROUPS, 2, &request);
        if (answer && answer->results_count == 1 && !exchange__fail_kafka(e, answer->results[0].error_code, SLICE_NULL))
            answer__ok(e);
    }
    json_decref(body);
}
