// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_log_dirs.c - DescribeLogDirs: which partitions lie in which log directory, and how large they are
 * (KIP-113, 827, 1066).
 *
 * The partitions are collected, each counted while it is told, and put in order of directory, topic and index, so that
 * each list can be written straight into the reply. The pool asks the file system for its sizes.
 */
#include "broker/broker__.h"
#include "wire/gen/describe_log_dirs.h"

#include <stdlib.h>

typedef struct describe_log_dirs_response_describe_log_dirs_partition partition_reply;

struct dirs_work {
    struct partition **partitions; // counted
    int32_t count, capacity;
    int64_t total_bytes[LOG_DIRS_MAX], usable_bytes[LOG_DIRS_MAX]; // negative: the file system did not tell
};

static void collect(void *context, struct partition *p)
{
    struct dirs_work *work = context;
    if (work->count == work->capacity) {
        work->capacity = work->capacity ? 2 * work->capacity : 64;
        work->partitions = mem_realloc(work->partitions, (size_t)work->capacity * sizeof(struct partition *));
    }
    partition_ref(p);
    work->partitions[work->count++] = p;
}

static void collect_named(struct request *request, struct dirs_work *work)
{
    const struct describe_log_dirs_request *body = request->body;
    for (int32_t t = 0; t < body->topics_count; t++) {
        const struct meta_topic *topic = meta_topic_by_name(request->home->image, body->topics[t].topic);
        for (int32_t i = 0; i < body->topics[t].partitions_count; i++) {
            struct partition_use *use;
            if (request__partition(request, topic, body->topics[t].partitions[i], &use) == KAFKA_NONE)
                collect(work, use->partition);
        }
    }
}

static int compare(const void *a, const void *b)
{
    const struct partition *p = *(struct partition *const *)a, *q = *(struct partition *const *)b;
    int order = strcmp(partition_log_dir(p), partition_log_dir(q));
    if (order == 0)
        order = strcmp(partition_topic(p), partition_topic(q));
    return order != 0 ? order : (partition_index(p) > partition_index(q)) - (partition_index(p) < partition_index(q));
}

/* One that was named twice is told once. */
static void sort_and_thin(struct dirs_work *work)
{
    if (work->count > 1)
        qsort(work->partitions, (size_t)work->count, sizeof *work->partitions, compare);
    int32_t kept = 0;
    for (int32_t i = 0; i < work->count; i++) {
        if (kept > 0 && work->partitions[kept - 1] == work->partitions[i])
            partition_unref(work->partitions[i]);
        else
            work->partitions[kept++] = work->partitions[i];
    }
    work->count = kept;
}

static void measure(struct io_job *job)
{
    struct request *request = CONTAINER_OF(job, struct request, job);
    const struct broker_options *options = &request->home->broker->options;
    struct dirs_work *work = request->work;
    for (int i = 0; i < options->log_dir_count; i++) {
        work->total_bytes[i] = io_total_bytes(options->log_dirs[i]);
        work->usable_bytes[i] = io_free_bytes(options->log_dirs[i]);
    }
    request_send_home(request);
}

/* ---- the reply: runs of the ordered partitions */
static bool same_dir(const struct partition *p, const char *path)
{
    return strcmp(partition_log_dir(p), path) == 0;
}

static int32_t topic_end(const struct dirs_work *work, int32_t first, int32_t end)
{
    int32_t at = first;
    while (at < end && strcmp(partition_topic(work->partitions[at]), partition_topic(work->partitions[first])) == 0)
        at++;
    return at;
}

static void topic_write(struct request *request, struct wire_writer *out, int32_t first, int32_t end)
{
    const struct dirs_work *work = request->work;
    bool flexible = request->api_version >= 2;
    wire_write_string(out, flexible, slice_str(partition_topic(work->partitions[first])));
    wire_write_array_count(out, flexible, end - first);
    for (int32_t i = first; i < end; i++) {
        const struct log *log = partition_log(work->partitions[i]);
        partition_reply reply;
        describe_log_dirs_response_describe_log_dirs_partition_init(&reply);
        reply.partition_index = partition_index(work->partitions[i]);
        reply.partition_size = log ? log_size_bytes(log) : 0;
        describe_log_dirs_response_describe_log_dirs_partition_write(out, request->api_version, &reply);
    }
    if (flexible)
        wire_write_uvarint(out, 0); // tagged fields
}

static void topics_write(struct request *request, struct wire_writer *out, int32_t first, int32_t end)
{
    const struct dirs_work *work = request->work;
    int32_t count = 0;
    for (int32_t at = first; at < end; at = topic_end(work, at, end))
        count++;
    wire_write_array_count(out, request->api_version >= 2, count);
    for (int32_t at = first; at < end; at = topic_end(work, at, end))
        topic_write(request, out, at, topic_end(work, at, end));
}

static void dir_write(struct request *request, struct wire_writer *out, int number)
{
    const struct dirs_work *work = request->work;
    const char *path = request->home->broker->options.log_dirs[number];
    const struct log_dir *dir = log_dirs__by_path(&request->home->broker->dirs, path);
    bool flexible = request->api_version >= 2, offline = !dir || atomic_load(&dir->offline);
    int32_t first = 0, end;
    while (first < work->count && !same_dir(work->partitions[first], path))
        first++;
    for (end = first; end < work->count && same_dir(work->partitions[end], path);)
        end++;
    wire_write_i16(out, offline ? KAFKA_KAFKA_STORAGE_ERROR : KAFKA_NONE);
    wire_write_string(out, flexible, slice_str(path));
    topics_write(request, out, first, offline ? first : end);
    if (request->api_version >= 4) {
        wire_write_i64(out, offline ? -1 : max_i64(-1, work->total_bytes[number]));
        wire_write_i64(out, offline ? -1 : max_i64(-1, work->usable_bytes[number]));
    }
    if (request->api_version >= 5)
        wire_write_bool(out, false); // cordoned
    if (flexible)
        wire_write_uvarint(out, 0);
}

static void finish(struct request *request)
{
    struct dirs_work *work = request->work;
    int count = request->home->broker->options.log_dir_count;
    bool flexible = request->api_version >= 2;
    struct wire_writer *out = request_reply_begin(request);
    wire_write_i32(out, request__throttle_ms(request));
    if (request->api_version >= 3)
        wire_write_i16(out, KAFKA_NONE);
    wire_write_array_count(out, flexible, count);
    for (int i = 0; i < count; i++)
        dir_write(request, out, i);
    if (flexible)
        wire_write_uvarint(out, 0);
    for (int32_t i = 0; i < work->count; i++)
        partition_unref(work->partitions[i]);
    mem_free(work->partitions);
    request_reply_end(request);
}

static void start(struct request *request)
{
    const struct describe_log_dirs_request *body = request->body;
    struct dirs_work *work = request->work = arena_zalloc(&request->arena, sizeof *work);
    if (!work) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    if (body->topics_count < 0)
        broker__partitions_each(request->home->broker, collect, work);
    else
        collect_named(request, work);
    sort_and_thin(work);
    request_send_to_pool(request, IO_LANE_READ, measure);
}

const struct api_row api__describe_log_dirs = {
    .key = API_DESCRIBE_LOG_DIRS, .version_min = 0, .version_max = 5, .start = start, .resume = finish};
