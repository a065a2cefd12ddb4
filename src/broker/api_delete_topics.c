// SPDX-License-Identifier: Apache-2.0
/* broker/api_delete_topics.c - DeleteTopics: by name, or by id from version 6 on (KIP-4, 322, 516, 599).
 *
 *   start    names and ids that make no sense, or come twice, are refused
 *   control  the others are found, and deleted together
 *   resume   the answer, one line for each; Kafka shuffles them, so their order promises nothing
 *
 * When the answer leaves, the partitions are retired and their directories renamed: the names are free. The files go later.
 */
#include "broker/broker__.h"
#include "wire/gen/delete_topics.h"

typedef struct delete_topics_response_deletable_topic_result topic_reply;

struct asked {
    struct hash_node in_asked;
    struct slice name; // null: by id
    struct uuid id;
    struct uuid found_id;
    struct slice found_name;
    int16_t error; // of this one; the others are to be deleted
    struct slice message;
    bool is_repeated; // told of once, at its first place
};

struct delete_work {
    struct asked *asked;
    int32_t count;
    struct ctrl_topic_ref *refs;
    struct ctrl_result *results;
};

static void refuse(struct asked *asked, int16_t error, const char *message)
{
    asked->error = error;
    asked->message = slice_str(message);
}

/* ---- what is asked for */
static void check(struct asked *asked)
{
    bool has_name = !slice_is_null(asked->name), has_id = !uuid_is_zero(asked->id);
    if (!has_name && !has_id)
        refuse(asked, KAFKA_INVALID_REQUEST, "Neither topic name nor id were specified.");
    else if (has_name && has_id)
        refuse(asked, KAFKA_INVALID_REQUEST, "You may not specify both topic name and topic id.");
}

static uint64_t key_of(const struct asked *asked)
{
    return slice_is_null(asked->name) ? hash_bytes(slice_of(asked->id.bytes, sizeof asked->id.bytes))
                                      : hash_bytes(asked->name);
}

static struct asked *find_same(const struct hash *table, uint64_t key, const struct asked *asked)
{
    for (struct hash_node *node = hash_first(table, key); node; node = hash_next(node)) {
        struct asked *other = CONTAINER_OF(node, struct asked, in_asked);
        if (slice_equal(other->name, asked->name) && uuid_equal(other->id, asked->id))
            return other;
    }
    return NULL;
}

static void duplicates_refuse(struct delete_work *work)
{
    struct hash table;
    hash_init(&table);
    for (int32_t i = 0; i < work->count; i++) {
        struct asked *asked = &work->asked[i];
        if (asked->error != KAFKA_NONE)
            continue;
        uint64_t key = key_of(asked);
        struct asked *first = find_same(&table, key, asked);
        if (!first) {
            hash_insert(&table, &asked->in_asked, key);
            continue;
        }
        asked->is_repeated = true;
        refuse(first, KAFKA_INVALID_REQUEST,
               slice_is_null(asked->name) ? "Duplicate topic id." : "Duplicate topic name.");
    }
    hash_free(&table);
}

static void asked_fill(struct delete_work *work, const struct delete_topics_request *body)
{
    for (int32_t i = 0; i < body->topics_count; i++)
        work->asked[work->count++] = (struct asked){.name = body->topics[i].name, .id = body->topics[i].topic_id};
    for (int32_t i = 0; i < body->topic_names_count; i++)
        work->asked[work->count++] = (struct asked){.name = body->topic_names[i]};
    for (int32_t i = 0; i < work->count; i++)
        check(&work->asked[i]);
    duplicates_refuse(work);
}

static void deletion_is_off(struct delete_work *work, int16_t version)
{
    for (int32_t i = 0; i < work->count; i++)
        work->asked[i].error = version < 3 ? KAFKA_INVALID_REQUEST : KAFKA_TOPIC_DELETION_DISABLED;
}

static void answer(struct request *request);

static void start(struct request *request)
{
    const struct delete_topics_request *body = request->body;
    struct arena *arena = &request->arena;
    size_t count = (size_t)max_i64(body->topics_count, 0) + (size_t)max_i64(body->topic_names_count, 0);
    struct delete_work *work = arena_zalloc(arena, sizeof *work);
    if (work) {
        work->asked = arena_array(arena, count, sizeof *work->asked);
        work->refs = arena_array(arena, count, sizeof *work->refs);
        work->results = arena_array(arena, count, sizeof *work->results);
    }
    if (!work || arena->failed) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    request->work = work;
    asked_fill(work, body);
    if (meta_settings_bool(broker__settings(request->home->broker), "delete.topic.enable")) {
        request_send_to_control(request);
        return;
    }
    deletion_is_off(work, request->api_version);
    answer(request);
}

/* ---- the command */
static void find_topic(const struct meta_image *image, struct arena *arena, struct asked *asked)
{
    bool by_id = slice_is_null(asked->name);
    const struct meta_topic *topic =
        by_id ? meta_topic_by_id(image, asked->id) : meta_topic_by_name(image, asked->name);
    if (!topic && by_id)
        refuse(asked, KAFKA_UNKNOWN_TOPIC_ID, "This server does not host this topic ID.");
    else if (!topic)
        refuse(asked, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.");
    if (!topic)
        return;
    asked->found_id = topic->id;
    asked->found_name = arena_copy(arena, topic->name); // the image goes on without it
}

/* A topic that is named in both ways is deleted in neither. */
static void both_ways_refuse(struct delete_work *work)
{
    struct hash table;
    hash_init(&table);
    for (int32_t i = 0; i < work->count; i++) {
        struct asked *asked = &work->asked[i];
        if (asked->error == KAFKA_NONE && slice_is_null(asked->name))
            hash_insert(&table, &asked->in_asked, hash_bytes(slice_of(asked->found_id.bytes, 16)));
    }
    for (int32_t i = 0; i < work->count; i++) {
        struct asked *asked = &work->asked[i];
        if (asked->error != KAFKA_NONE || slice_is_null(asked->name))
            continue;
        const struct asked by_id = {.id = asked->found_id};
        struct asked *other = find_same(&table, hash_bytes(slice_of(asked->found_id.bytes, 16)), &by_id);
        if (!other)
            continue;
        asked->id = asked->found_id;
        refuse(asked, KAFKA_INVALID_REQUEST, "The provided topic name maps to an ID that was already supplied.");
        other->error = KAFKA_INVALID_REQUEST;
        other->is_repeated = true;
    }
    hash_free(&table);
}

/* Every partition that goes counts; from version 5 on a client that owes some is refused. */
static void quota_apply(struct request *request, struct delete_work *work)
{
    enum { STRICT_SINCE = 5 };
    const struct meta_image *image = ctrl_view(control__ctrl(request->home->broker->control));
    for (int32_t i = 0; image->quotas && i < work->count; i++) {
        struct asked *asked = &work->asked[i];
        if (asked->error != KAFKA_NONE || asked->is_repeated)
            continue;
        const struct meta_topic *topic = meta_topic_by_id(image, asked->found_id);
        assert(topic);
        if (!request__may_mutate(request, topic->partition_count, request->api_version >= STRICT_SINCE))
            refuse(asked, KAFKA_THROTTLING_QUOTA_EXCEEDED, ctrl_quota_exceeded);
    }
}

static void control(struct request *request)
{
    struct delete_work *work = request->work;
    struct broker *broker = request->home->broker;
    struct ctrl *ctrl = control__ctrl(broker->control);
    int32_t count = 0;
    for (int32_t i = 0; i < work->count; i++)
        if (work->asked[i].error == KAFKA_NONE && !work->asked[i].is_repeated)
            find_topic(ctrl_view(ctrl), &request->arena, &work->asked[i]);
    both_ways_refuse(work);
    quota_apply(request, work);
    for (int32_t i = 0; i < work->count; i++)
        if (work->asked[i].error == KAFKA_NONE && !work->asked[i].is_repeated)
            work->refs[count++] = (struct ctrl_topic_ref){.id = work->asked[i].found_id};
    struct status s = ctrl_delete_topics(ctrl, work->refs, count, &request->arena, io_wall_ms(), work->results);
    if (!status_is_ok(s))
        broker__fail(broker, s);
}

/* ---- the answer */
static void reply_write(const struct request *request, struct wire_writer *out, const struct asked *asked,
                        const struct ctrl_result *result)
{
    topic_reply reply;
    delete_topics_response_deletable_topic_result_init(&reply);
    reply.name = result ? asked->found_name : asked->name;
    reply.topic_id = result ? asked->found_id : asked->id;
    reply.error_code = result ? result->error : asked->error;
    reply.error_message = result ? result->message : asked->message;
    delete_topics_response_deletable_topic_result_write(out, request->api_version, &reply);
}

static void answer(struct request *request)
{
    struct delete_work *work = request->work;
    int16_t version = request->api_version;
    struct wire_writer *out = request_reply_begin(request);
    int32_t told = 0, next = 0;
    for (int32_t i = 0; i < work->count; i++)
        told += !work->asked[i].is_repeated;
    if (version >= 1)
        wire_write_i32(out, request__throttle_ms(request));
    wire_write_array_count(out, version >= 4, told);
    for (int32_t i = 0; i < work->count; i++) {
        const struct asked *asked = &work->asked[i];
        bool is_done = asked->error == KAFKA_NONE && !asked->is_repeated;
        const struct ctrl_result *result = is_done ? &work->results[next] : NULL;
        next += is_done;
        if (!asked->is_repeated)
            reply_write(request, out, asked, result);
    }
    if (version >= 4)
        wire_write_uvarint(out, 0);
    request_reply_end(request);
}

const struct api_row api__delete_topics = {.key = API_DELETE_TOPICS,
                                           .version_min = 0,
                                           .version_max = 6,
                                           .on_controller = true,
                                           .start = start,
                                           .resume = answer,
                                           .control = control};
