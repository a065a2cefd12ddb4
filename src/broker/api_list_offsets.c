// SPDX-License-Identifier: Apache-2.0
/* broker/api_list_offsets.c - ListOffsets: where a log begins and ends, and which record stands at a time (KIP-79, 101,
 * 207, 396, 405, 734).
 *
 *   start    every partition that memory can answer is answered: its start, its end, what only tiered storage would know
 *   search   in the pool, since it reads indexes and batches: by time, and the record with the largest timestamp
 *   finish   one answer for each partition, in the order of the request; one that is named twice is refused once
 *
 * A consumer sees up to the high watermark, or the last stable offset with read_committed; a replica up to the end. While
 * a new leader's high watermark is still behind the start of its epoch, the end is unknown (KIP-207).
 */
#include "broker/broker__.h"
#include "wire/gen/list_offsets.h"

enum special_timestamp { // negative timestamps and the first version that knows them
    AT_LATEST = -1,
    AT_EARLIEST = -2,
    AT_MAX_TIMESTAMP = -3,
    AT_EARLIEST_LOCAL = -4,
    AT_LATEST_TIERED = -5,
    AT_EARLIEST_PENDING_UPLOAD = -6,
};
static const int16_t special_versions[] = {0, 0, 0, 7, 8, 9, 11};

enum { REPLICA_CONSUMER = -1, REPLICA_DEBUGGER = -2, ISOLATION_COMMITTED = 1 };

typedef struct list_offsets_request_list_offsets_partition asked_partition;
typedef struct list_offsets_response_list_offsets_partition_response answered_partition;
typedef struct list_offsets_response_list_offsets_topic_response answered_topic;

struct list_part {
    struct hash_node in_seen; // to find duplicates
    int32_t topic;
    const asked_partition *asked;
    answered_partition *answer;
    struct partition *partition; // counted while it is searched
    int64_t limit_offset;
    bool is_behind; // the high watermark has not reached this epoch yet
};

struct list_work {
    answered_topic *topics;
    struct list_part *parts; // to be searched
    int32_t part_count;
};

static bool timestamp_is_known(int64_t timestamp, int16_t version)
{
    if (timestamp >= 0)
        return true;
    return -timestamp < (int64_t)COUNT_OF(special_versions) && version >= special_versions[-timestamp];
}

static void answer_init(answered_partition *answer, int32_t index, int16_t error)
{
    list_offsets_response_list_offsets_partition_response_init(answer);
    answer->partition_index = index;
    answer->error_code = error;
}

static int64_t limit_of(const struct list_offsets_request *body, const struct partition *p)
{
    if (body->replica_id != REPLICA_CONSUMER)
        return partition_end_offset(p);
    return body->isolation_level == ISOLATION_COMMITTED ? partition_last_stable_offset(p) : partition_high_watermark(p);
}

/* Where the current leader epoch begins: where the one before it ends. */
static int64_t epoch_start(const struct partition *p)
{
    const struct log *log = partition_log(p);
    int32_t epoch;
    int64_t end_offset = -1;
    if (log)
        log_epoch_end(log, partition_leader_epoch(p) - 1, &epoch, &end_offset);
    return max_i64(0, end_offset);
}

static int16_t not_available(int16_t version)
{
    return version >= 5 ? KAFKA_OFFSET_NOT_AVAILABLE : KAFKA_LEADER_NOT_AVAILABLE;
}

static void answer_latest(struct list_part *part, const struct partition *p, int16_t version)
{
    if (part->is_behind) {
        part->answer->error_code = not_available(version);
        return;
    }
    part->answer->offset = part->limit_offset;
    part->answer->leader_epoch = partition_leader_epoch(p);
}

static void answer_earliest(struct list_part *part, const struct partition *p)
{
    const struct log *log = partition_log(p);
    part->answer->offset = partition_start_offset(p);
    part->answer->leader_epoch = log ? log_epoch_at(log, part->answer->offset) : partition_leader_epoch(p);
}

/* False when the disk has to be asked. */
static bool answer_from_memory(struct list_part *part, struct partition *p, int16_t version)
{
    switch (part->asked->timestamp) {
    case AT_LATEST:
        answer_latest(part, p, version);
        return true;
    case AT_EARLIEST:
    case AT_EARLIEST_LOCAL:
        answer_earliest(part, p);
        return true;
    case AT_LATEST_TIERED:
    case AT_EARLIEST_PENDING_UPLOAD:
        return true; // no tiered storage: offset -1
    default:
        return partition_log(p) == NULL;
    }
}

static int16_t part_check(struct request *request, const struct meta_topic *topic, const asked_partition *asked,
                          struct partition_use **ret_use)
{
    int16_t error = request__partition(request, topic, asked->partition_index, ret_use);
    if (error != KAFKA_NONE)
        return error;
    error = partition_check_epoch((*ret_use)->partition, asked->current_leader_epoch);
    bool any_replica_will_do = ((const struct list_offsets_request *)request->body)->replica_id == REPLICA_DEBUGGER;
    return error == KAFKA_NOT_LEADER_OR_FOLLOWER && any_replica_will_do ? KAFKA_NONE : error;
}

/* Answers at once, or leaves the part to be searched for. */
static void part_start(struct request *request, struct list_part *part, const struct meta_topic *topic)
{
    const struct list_offsets_request *body = request->body;
    if (!timestamp_is_known(part->asked->timestamp, request->api_version)) {
        part->answer->error_code = KAFKA_UNSUPPORTED_VERSION;
        return;
    }
    struct partition_use *use;
    part->answer->error_code = part_check(request, topic, part->asked, &use);
    if (part->answer->error_code != KAFKA_NONE)
        return;
    part->limit_offset = limit_of(body, use->partition);
    part->is_behind =
        body->replica_id == REPLICA_CONSUMER && epoch_start(use->partition) > partition_high_watermark(use->partition);
    if (answer_from_memory(part, use->partition, request->api_version))
        return;
    part->partition = use->partition;
    partition_ref(part->partition);
}

/* ---- in the pool */
static void part_search(struct list_part *part, int16_t version)
{
    struct log *log = partition_log(part->partition);
    answered_partition *answer = part->answer;
    struct status s;
    if (part->asked->timestamp == AT_MAX_TIMESTAMP)
        s = log_find_max_timestamp(log, part->limit_offset, &answer->offset, &answer->timestamp, &answer->leader_epoch);
    else
        s = log_find_by_time(log, part->asked->timestamp, part->limit_offset, &answer->offset, &answer->timestamp,
                             &answer->leader_epoch);
    if (!status_is_ok(s)) {
        LOG(LOG_ERROR, "broker", "searching %s-%d by time failed: %s: %s", partition_topic(part->partition),
            (int)partition_index(part->partition), s.what, strerror(s.error));
        answer_init(answer, part->asked->partition_index, KAFKA_KAFKA_STORAGE_ERROR);
    } else if (answer->offset < 0 && part->is_behind) {
        answer->error_code = not_available(version);
    }
}

static void search(struct io_job *job)
{
    struct request *request = CONTAINER_OF(job, struct request, job);
    struct list_work *work = request->work;
    for (int32_t i = 0; i < work->part_count; i++)
        if (work->parts[i].partition)
            part_search(&work->parts[i], request->api_version);
    request_send_home(request);
}

/* Version 0 asked for offsets at which segments begin, newest first, and its clients take the first. One is told: what later
 * versions would say, which is as good for the ends and nearer for a time; the end where nothing is as new. */
static void offsets_of_version_0(struct request *request, struct list_part *part)
{
    answered_partition *answer = part->answer;
    int64_t offset = answer->offset >= 0 ? answer->offset : part->limit_offset;
    answer->offset = answer->timestamp = -1; // have no place there
    if (answer->error_code != KAFKA_NONE || part->asked->max_num_offsets < 1)
        return;
    answer->old_style_offsets = arena_array(&request->arena, 1, sizeof *answer->old_style_offsets);
    if (!answer->old_style_offsets)
        return;
    answer->old_style_offsets[0] = offset;
    answer->old_style_offsets_count = 1;
}

static void finish(struct request *request)
{
    const struct list_offsets_request *body = request->body;
    struct list_work *work = request->work;
    for (int32_t i = 0; i < work->part_count; i++) {
        partition_unref(work->parts[i].partition);
        if (request->api_version == 0)
            offsets_of_version_0(request, &work->parts[i]);
        if (request->api_version < 4) // which cannot carry it
            work->parts[i].answer->leader_epoch = -1;
    }
    struct list_offsets_response response;
    list_offsets_response_init(&response);
    response.topics = work->topics;
    for (int32_t t = 0; t < body->topics_count; t++) // a topic without partitions leaves no trace in Kafka's answer
        if (work->topics[t].partitions_count > 0)
            work->topics[response.topics_count++] = work->topics[t];
    request__reply(request, &response);
}

/* ---- the parts of the request */
static uint64_t seen_hash(struct slice topic, int32_t index)
{
    return hash_u64(hash_bytes(topic) + (uint64_t)(uint32_t)index);
}

static struct list_part *seen_find(const struct list_offsets_request *body, const struct hash *seen, int32_t topic,
                                   int32_t index)
{
    struct hash_node *node = hash_first(seen, seen_hash(body->topics[topic].name, index));
    for (; node; node = hash_next(node)) {
        struct list_part *part = CONTAINER_OF(node, struct list_part, in_seen);
        if (part->asked->partition_index == index &&
            slice_equal(body->topics[part->topic].name, body->topics[topic].name))
            return part;
    }
    return NULL;
}

/* A partition that is named again is refused in the place where it was named first. */
static void topic_parts(struct request *request, struct hash *seen, int32_t t)
{
    const struct list_offsets_request *body = request->body;
    struct list_work *work = request->work;
    answered_topic *answer = &work->topics[t];
    for (int32_t i = 0; i < body->topics[t].partitions_count; i++) {
        const asked_partition *asked = &body->topics[t].partitions[i];
        struct list_part *earlier = seen_find(body, seen, t, asked->partition_index);
        if (earlier) {
            earlier->answer->error_code = KAFKA_INVALID_REQUEST;
            continue;
        }
        struct list_part *part = &work->parts[work->part_count++];
        *part =
            (struct list_part){.topic = t, .asked = asked, .answer = &answer->partitions[answer->partitions_count++]};
        answer_init(part->answer, asked->partition_index, KAFKA_NONE);
        hash_insert(seen, &part->in_seen, seen_hash(body->topics[t].name, asked->partition_index));
    }
}

static bool work_create(struct request *request)
{
    const struct list_offsets_request *body = request->body;
    struct list_work *work = request->work = arena_zalloc(&request->arena, sizeof *work);
    size_t count = 0;
    for (int32_t t = 0; t < body->topics_count; t++)
        count += (size_t)max_i64(0, body->topics[t].partitions_count);
    if (!work || !(work->parts = arena_array(&request->arena, count, sizeof *work->parts)) ||
        !(work->topics = arena_array(&request->arena, (size_t)max_i64(0, body->topics_count), sizeof *work->topics)))
        return false;
    for (int32_t t = 0; t < body->topics_count; t++) {
        list_offsets_response_list_offsets_topic_response_init(&work->topics[t]);
        work->topics[t].name = body->topics[t].name;
        work->topics[t].partitions = arena_array(&request->arena, (size_t)max_i64(0, body->topics[t].partitions_count),
                                                 sizeof *work->topics[t].partitions);
    }
    if (request->arena.failed)
        return false;
    struct hash seen;
    hash_init(&seen);
    for (int32_t t = 0; t < body->topics_count; t++)
        topic_parts(request, &seen, t);
    hash_free(&seen);
    return true;
}

static void start(struct request *request)
{
    const struct list_offsets_request *body = request->body;
    if (!work_create(request)) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    struct list_work *work = request->work;
    bool searches = false;
    for (int32_t i = 0; i < work->part_count; i++) {
        struct list_part *part = &work->parts[i];
        if (part->answer->error_code == KAFKA_NONE)
            part_start(request, part, meta_topic_by_name(request->home->image, body->topics[part->topic].name));
        searches |= part->partition != NULL;
    }
    if (searches)
        request_send_to_pool(request, IO_LANE_READ, search);
    else
        finish(request);
}

static_assert(COUNT_OF(special_versions) == -AT_EARLIEST_PENDING_UPLOAD + 1, "each special timestamp has its version");

const struct api_row api__list_offsets = {
    .key = API_LIST_OFFSETS, .version_min = 0, .version_max = 11, .start = start, .resume = finish};
