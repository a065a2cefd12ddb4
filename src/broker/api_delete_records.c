// SPDX-License-Identifier: Apache-2.0
/* broker/api_delete_records.c - DeleteRecords: a log begins later (KIP-107).
 *
 *   start    each partition is looked at; what may go becomes a chore of its own
 *   move     with the partition's turn, in the pool: the start offset moves
 *   keep     once, in the pool, after the last of them: log-start-offset-checkpoint is written and synced
 *   finish   the new starts; segments below them go with the next round of retention
 *
 * So a start that was told never goes back, not even by a power cut.
 */
#include "broker/broker__.h"
#include "wire/gen/delete_records.h"

enum { UP_TO_HIGH_WATERMARK = -1, UNKNOWN_OFFSET = -1 };

typedef struct delete_records_request_delete_records_partition asked_partition;
typedef struct delete_records_response_delete_records_partition_result answered_partition;
typedef struct delete_records_response_delete_records_topic_result answered_topic;

struct delete_part {
    struct chore chore; // first
    struct delete_work *work;
    answered_partition *answer;
    struct partition *partition; // counted; NULL: nothing to do
    int64_t offset;
};

struct delete_work {
    struct request *request;
    answered_topic *topics;
    struct delete_part *parts;
    int32_t part_count;
    _Atomic int32_t running;
};

static int16_t part_check(const struct partition_use *use, const asked_partition *asked, int64_t *ret_offset)
{
    const struct partition *p = use->partition;
    int64_t high_watermark = partition_high_watermark(p);
    int64_t offset = asked->offset == UP_TO_HIGH_WATERMARK ? high_watermark : asked->offset;
    if (partition_is_internal(p))
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    int16_t error = partition_check_epoch(p, -1);
    if (error != KAFKA_NONE)
        return error;
    if (!use->config.log.cleanup_delete)
        return KAFKA_POLICY_VIOLATION;
    if (offset < 0 || offset > high_watermark)
        return KAFKA_OFFSET_OUT_OF_RANGE;
    *ret_offset = offset;
    return KAFKA_NONE;
}

static void part_start(struct request *request, struct delete_part *part, const struct meta_topic *topic,
                       const asked_partition *asked)
{
    answered_partition *answer = part->answer;
    struct partition_use *use;
    delete_records_response_delete_records_partition_result_init(answer);
    answer->partition_index = asked->partition_index;
    answer->low_watermark = UNKNOWN_OFFSET;
    answer->error_code = request__partition(request, topic, asked->partition_index, &use);
    if (answer->error_code == KAFKA_NONE)
        answer->error_code = part_check(use, asked, &part->offset);
    if (answer->error_code != KAFKA_NONE)
        return;
    answer->low_watermark = partition_start_offset(use->partition);
    if (part->offset <= answer->low_watermark)
        return;
    part->partition = use->partition;
    partition_ref(part->partition);
}

static bool topic_start(struct delete_work *work, const struct delete_records_request_delete_records_topic *asked,
                        answered_topic *answer)
{
    struct request *request = work->request;
    const struct meta_topic *topic = meta_topic_by_name(request->home->image, asked->name);
    size_t count = (size_t)max_i64(asked->partitions_count, 0);
    delete_records_response_delete_records_topic_result_init(answer);
    answer->name = asked->name;
    answer->partitions = arena_array(&request->arena, count, sizeof *answer->partitions);
    if (!answer->partitions)
        return false;
    answer->partitions_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct delete_part *part = &work->parts[work->part_count++];
        part->work = work;
        part->answer = &answer->partitions[i];
        part_start(request, part, topic, &asked->partitions[i]);
    }
    return true;
}

/* ---- in the pool */
static void fail(struct delete_part *part, struct status s)
{
    LOG(LOG_ERROR, "broker", "records of %s-%d could not be deleted: %s: %s", partition_topic(part->partition),
        (int)partition_index(part->partition), s.what, strerror(s.error));
    part->answer->error_code = KAFKA_KAFKA_STORAGE_ERROR;
    part->answer->low_watermark = UNKNOWN_OFFSET;
}

static void keep(struct io_job *job)
{
    struct request *request = CONTAINER_OF(job, struct request, job);
    struct delete_work *work = request->work;
    struct status s = checkpoints__write(request->home->broker->checkpoints, CHECKPOINT_START);
    for (int32_t i = 0; i < work->part_count && !status_is_ok(s); i++)
        if (work->parts[i].partition && work->parts[i].answer->error_code == KAFKA_NONE)
            fail(&work->parts[i], s);
    request_send_home(request);
}

static void move(struct chore *chore)
{
    struct delete_part *part = CONTAINER_OF(chore, struct delete_part, chore);
    struct delete_work *work = part->work;
    struct log *log = partition_log(part->partition);
    struct status s = log ? log_start_offset_set(log, part->offset) : STATUS(EIO, "find the log");
    if (status_is_ok(s))
        part->answer->low_watermark = log_start_offset(log);
    else
        fail(part, s);
    if (atomic_fetch_sub(&work->running, 1) == 1)
        request_send_to_pool(work->request, IO_LANE_READ, keep);
}

/* ---- at home */
static void finish(struct request *request)
{
    const struct delete_records_request *body = request->body;
    struct delete_work *work = request->work;
    for (int32_t i = 0; i < work->part_count; i++)
        if (work->parts[i].partition)
            partition_unref(work->parts[i].partition);
    struct delete_records_response response;
    delete_records_response_init(&response);
    response.topics = work->topics;
    response.topics_count = (int32_t)max_i64(body->topics_count, 0);
    request__reply(request, &response);
}

static bool work_create(struct request *request)
{
    const struct delete_records_request *body = request->body;
    struct delete_work *work = request->work = arena_zalloc(&request->arena, sizeof *work);
    size_t count = 0;
    for (int32_t t = 0; t < body->topics_count; t++)
        count += (size_t)max_i64(body->topics[t].partitions_count, 0);
    if (!work)
        return false;
    work->request = request;
    work->parts = arena_array(&request->arena, count, sizeof *work->parts);
    work->topics = arena_array(&request->arena, (size_t)max_i64(body->topics_count, 0), sizeof *work->topics);
    return work->parts && work->topics;
}

static void start(struct request *request)
{
    const struct delete_records_request *body = request->body;
    bool fits = work_create(request);
    struct delete_work *work = request->work;
    for (int32_t t = 0; fits && t < body->topics_count; t++)
        fits = topic_start(work, &body->topics[t], &work->topics[t]);
    if (!fits) {
        for (int32_t i = 0; work && i < work->part_count; i++)
            if (work->parts[i].partition)
                partition_unref(work->parts[i].partition);
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    int32_t running = 0;
    for (int32_t i = 0; i < work->part_count; i++)
        running += work->parts[i].partition != NULL;
    if (running == 0) {
        finish(request);
        return;
    }
    atomic_store(&work->running, running); // before the first: it may be done at once
    int32_t count = work->part_count;
    struct delete_part *parts = work->parts;
    for (int32_t i = 0; i < count && running > 0; i++) {
        if (!parts[i].partition)
            continue;
        running--; // after the last one the request may be home already: nothing of it is looked at
        parts[i].chore.run = move;
        partition_chore(parts[i].partition, &parts[i].chore);
    }
}

const struct api_row api__delete_records = {
    .key = API_DELETE_RECORDS, .version_min = 0, .version_max = 2, .start = start, .resume = finish};
