// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_log_dirs.c - DescribeLogDirs: which partitions lie in which log directory, and how large they are
 * (KIP-113, 827, 1066); one that moves is told twice, in the other directory as a future with what it still lacks.
 *
 * The partitions are collected, each counted while it is told, and put in order of directory, topic and index, so that
 * each list can be written straight into the reply. The pool asks the file system for its sizes.
 */
#include "broker/broker__.h"
#include "wire/gen/describe_log_dirs.h"

#include <stdlib.h>

typedef struct describe_log_dirs_response_describe_log_dirs_partition partition_reply;

/* A replica in one directory. */
struct replica {
    struct partition *partition; // counted
    const char *log_dir;
    int64_t size_bytes, offset_lag;
    bool is_future;
};

struct dirs_work {
    struct replica *replicas;
    int32_t count, capacity;
    int64_t total_bytes[LOG_DIRS_MAX], usable_bytes[LOG_DIRS_MAX]; // negative: the file system did not tell
};

static void replica_add(struct dirs_work *work, const struct replica *replica)
{
    if (work->count == work->capacity) {
        work->capacity = work->capacity ? 2 * work->capacity : 64;
        work->replicas = mem_realloc(work->replicas, (size_t)work->capacity * sizeof *work->replicas);
    }
    partition_ref(replica->partition);
    work->replicas[work->count++] = *replica;
}

/* The lag of the current replica is that behind the high watermark, of which a leader has everything. */
static void collect(void *context, struct partition *p)
{
    const struct log *log = partition_log(p);
    struct partition_future future = partition_future_get(p);
    struct replica current = {.partition = p, .log_dir = partition_log_dir(p)};
    current.size_bytes = log ? log_size_bytes(log) : 0;
    replica_add(context, &current);
    struct replica coming = {.partition = p, .log_dir = future.log_dir, .is_future = true};
    coming.size_bytes = future.size_bytes;
    coming.offset_lag = max_i64(partition_end_offset(p) - future.end_offset, 0);
    if (future.log_dir)
        replica_add(context, &coming);
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
    const struct replica *p = a, *q = b;
    int order = strcmp(p->log_dir, q->log_dir);
    if (order == 0)
        order = strcmp(partition_topic(p->partition), partition_topic(q->partition));
    int32_t one = partition_index(p->partition), other = partition_index(q->partition);
    return order != 0 ? order : (one > other) - (one < other);
}

/* One that was named twice is told once. */
static void sort_and_thin(struct dirs_work *work)
{
    if (work->count > 1)
        qsort(work->replicas, (size_t)work->count, sizeof *work->replicas, compare);
    int32_t kept = 0;
    for (int32_t i = 0; i < work->count; i++) {
        if (kept > 0 && compare(&work->replicas[kept - 1], &work->replicas[i]) == 0)
            partition_unref(work->replicas[i].partition);
        else
            work->replicas[kept++] = work->replicas[i];
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
static bool same_dir(const struct replica *replica, const char *path)
{
    return strcmp(replica->log_dir, path) == 0;
}

static const char *topic_of(const struct dirs_work *work, int32_t at)
{
    return partition_topic(work->replicas[at].partition);
}

static int32_t topic_end(const struct dirs_work *work, int32_t first, int32_t end)
{
    int32_t at = first;
    while (at < end && strcmp(topic_of(work, at), topic_of(work, first)) == 0)
        at++;
    return at;
}

static void topic_write(struct request *request, struct wire_writer *out, int32_t first, int32_t end)
{
    const struct dirs_work *work = request->work;
    bool flexible = request->api_version >= 2;
    wire_write_string(out, flexible, slice_str(topic_of(work, first)));
    wire_write_array_count(out, flexible, end - first);
    for (int32_t i = first; i < end; i++) {
        const struct replica *replica = &work->replicas[i];
        partition_reply reply;
        describe_log_dirs_response_describe_log_dirs_partition_init(&reply);
        reply.partition_index = partition_index(replica->partition);
        reply.partition_size = replica->size_bytes;
        reply.offset_lag = replica->offset_lag;
        reply.is_future_key = replica->is_future;
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
    while (first < work->count && !same_dir(&work->replicas[first], path))
        first++;
    for (end = first; end < work->count && same_dir(&work->replicas[end], path);)
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
        partition_unref(work->replicas[i].partition);
    mem_free(work->replicas);
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
