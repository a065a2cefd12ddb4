// SPDX-License-Identifier: Apache-2.0
/* broker/api_produce.c - Produce: batches in, offsets out (KIP-31, 32, 98, 467, 516, 951).
 *
 *   start    resolve each partition in the image, convert what old clients send, validate its batch, queue the append
 *   away     if any batch takes long to validate (it is large, or unfolds to much, or is to be packed anew): it is left to
 *            the pool, and nothing of the request is queued before it is back. Later requests of the connection wait, so
 *            that the order of a client's batches is that of its requests
 *   resume   the appends are written; the reply waits for the flush (acks 1), the high watermark (acks -1), or nothing
 *   finish   tickets -> response
 *
 * Every partition has its own outcome; none holds up another but by the reply, which waits for all of them or for the
 * request's timeout. acks=0 has no reply: an error closes the connection, as Kafka does, so that the client notices.
 */
#include "broker/broker__.h"
#include "broker/refused.h"

enum { VERSION_OF_BATCHES = 3 }; // before it, clients send message sets
enum { VERSION_OF_RECORD_ERRORS = 8 };

struct produce_part {
    struct append append;
    struct wait wait;
    struct partition_use *use;   // until queued
    struct partition *partition; // counted from when it was found until the part's end
    bool queued, waits;
    bool is_left; // to the pool
    bool timed_out;
    int16_t error;
    int64_t start_offset; // -1 unknown
    struct slice message; // of RecordErrors
    struct record_fault fault;
    struct slice records;      // as they came
    struct record_rules rules; // as they were
    int8_t compression_type;   // of the topic; -1: as it came
    int32_t compression_level;
    struct record_builder old; // holds the batch that a message set of an old client became
    struct buffer repacked;    // the batch in the codec of its topic, where the client's is another
};

struct produce_work {
    struct produce_part *parts; // in request order
    int count, waiting;
    int16_t acks;
    bool away;           // in the pool
    int64_t pool_ns;     // what the pool needed for it
    int64_t deadline_ms; // monotonic
};

static const struct meta_topic *topic_find(const struct request *request,
                                           const struct produce_request_topic_produce_data *data)
{
    const struct meta_image *image = request->home->image;
    return request->api_version >= 13 ? meta_topic_by_id(image, data->topic_id) : meta_topic_by_name(image, data->name);
}

/* Only Kafka's own admin client may write to internal topics. */
static bool may_write(const struct request *request, const struct partition *p)
{
    return !partition_is_internal(p) || slice_equal_str(request->client_id, "__admin_client");
}

static struct record_rules rules_of(struct request *request, const struct partition_config *config)
{
    return (struct record_rules){
        .now_ms = request->home->wall_ms,
        .size_max_bytes = config->max_message_bytes,
        .timestamp_before_max_ms = config->timestamp_before_max_ms,
        .timestamp_after_max_ms = config->timestamp_after_max_ms,
        .log_append_time = config->log_append_time,
        .needs_keys = config->compacted,
        .zstd_allowed = request->api_version >= 7,
        .arena = &request->arena,
    };
}

/* compression.type of the topic, where it is not the producer's own. */
static int16_t part_repack(struct produce_part *part)
{
    struct log_batch *batch = &part->append.batch;
    if (part->compression_type < 0 || part->compression_type == batch->facts.codec)
        return KAFKA_NONE;
    struct status s =
        record_batch_recompress(slice_of(batch->bytes, batch->size_bytes), (enum record_codec)part->compression_type,
                                part->compression_level, &part->repacked);
    if (!status_is_ok(s))
        return s.error == EIO ? KAFKA_CORRUPT_MESSAGE : KAFKA_UNKNOWN_SERVER_ERROR;
    if (part->repacked.size > (size_t)part->rules.size_max_bytes)
        return KAFKA_MESSAGE_TOO_LARGE;
    batch->bytes = part->repacked.data;
    batch->size_bytes = (uint32_t)part->repacked.size;
    batch->facts.codec = part->compression_type;
    return KAFKA_NONE;
}

/* Below version 3 the records may be a message set, which becomes a batch of the part's own. */
static bool is_old(const struct request *request, const struct produce_part *part)
{
    return request->api_version < VERSION_OF_BATCHES && record_is_message_set(part->records);
}

/* Its bytes are made anew; that is never done on a reactor. */
static bool is_remade(const struct request *request, const struct produce_part *part)
{
    struct slice records = part->records;
    if (is_old(request, part))
        return true;
    return part->compression_type >= 0 && records.size >= RECORD_BATCH_HEAD_BYTES &&
           part->compression_type != (record_batch_attributes(records.data) & RECORD_ATTRIBUTE_CODEC);
}

/* From the records that came to the batch that is appended. On the reactor only a brief look, which may leave the part to
 * the pool: then the code means nothing. Whoever calls has the request for itself. */
static int16_t part_validate(const struct request *request, struct produce_part *part, struct record_scratch *scratch,
                             bool is_brief)
{
    struct slice records = part->records;
    struct log_batch *batch = &part->append.batch;
    int16_t error = KAFKA_NONE;
    part->is_left = is_brief && is_remade(request, part);
    if (part->is_left)
        return KAFKA_NONE;
    part->rules.is_brief = is_brief;
    if (is_old(request, part))
        error = record_message_set_convert(records, &part->rules, scratch, &part->old, &records, &part->fault);
    if (error == KAFKA_NONE)
        error = record_validate(records, &part->rules, scratch, &batch->facts, &part->fault);
    part->is_left = part->fault.gave_up;
    if (part->fault.is_request_fault)
        part->start_offset = -1;
    if (error != KAFKA_NONE)
        return error;
    batch->bytes = (uint8_t *)(uintptr_t)records.data;
    batch->size_bytes = (uint32_t)record_batch_size(records.data); // what follows it is no batch
    batch->from_client = true;
    error = part_repack(part);
    if (error != KAFKA_NONE)
        return error;
    if (part->rules.log_append_time)
        record_batch_set_append_time(batch->bytes, batch->size_bytes, part->rules.now_ms, &batch->facts);
    return KAFKA_NONE;
}

/* Where Kafka gives the log's start offset beside an error, and where it does not. */
static bool tells_start_offset(int16_t error)
{
    switch (error) {
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE:
    case KAFKA_CORRUPT_MESSAGE:
    case KAFKA_KAFKA_STORAGE_ERROR:
    case KAFKA_UNKNOWN_TOPIC_ID:
    case KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return false;
    default:
        return true;
    }
}

/* Finds the partition and looks whether it takes anything. */
static int16_t part_find(struct request *request, struct produce_part *part, const struct meta_topic *topic,
                         const struct produce_request_partition_produce_data *data)
{
    struct produce_work *work = request->work;
    if (work->acks < -1 || work->acks > 1)
        return KAFKA_INVALID_REQUIRED_ACKS;
    if (!topic)
        return request->api_version >= 13 ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (data->index < 0 || data->index >= topic->partition_count)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    struct partition_use *use = part->use = reactor_partition(request->home, topic->id, data->index);
    if (use && partition_is_offline(use->partition))
        return KAFKA_KAFKA_STORAGE_ERROR;
    if (!use || !partition_is_leader(use->partition))
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (!may_write(request, use->partition))
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    part->start_offset = partition_start_offset(use->partition);
    /* A minimum that the replicas could never reach asks for all of them (KIP-966). */
    int32_t replica_count = meta_topic_partition(topic, data->index)->replica_count;
    int64_t isr_min = min_i64(use->config.min_insync_replicas, replica_count);
    if (work->acks == -1 && partition_isr_count(use->partition) < isr_min)
        return KAFKA_NOT_ENOUGH_REPLICAS;
    part->partition = use->partition;
    partition_ref(part->partition);
    return KAFKA_NONE;
}

static void part_start(struct request *request, struct produce_part *part, const struct meta_topic *topic,
                       const struct produce_request_partition_produce_data *data)
{
    part->start_offset = -1;
    part->error = part_find(request, part, topic, data);
    if (part->error != KAFKA_NONE)
        return;
    const struct partition_config *config = &part->use->config;
    part->records = data->records;
    part->rules = rules_of(request, config);
    part->compression_type = config->compression_type;
    part->compression_level = config->compression_level;
    part->error = part_validate(request, part, request->home->scratch, true);
}

/* The partition as this reactor knows it; while the request was away it may have gone. */
static int16_t part_find_again(struct request *request, struct produce_part *part)
{
    struct partition *partition = part->partition;
    part->use = reactor_partition(request->home, partition_topic_id(partition), partition_index(partition));
    if (!part->use || part->use->partition != partition || !partition_is_leader(partition))
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    return partition_is_offline(partition) ? KAFKA_KAFKA_STORAGE_ERROR : KAFKA_NONE;
}

static void part_queue(struct request *request, struct produce_part *part)
{
    struct produce_work *work = request->work;
    part->append.expected_leader_epoch = -1;
    part->append.waits_for_flush = work->acks != 0;
    part->queued = part->waits = true;
    work->waiting++;
    request->mutes |= partition_is_over_budget(part->partition);
    reactor_append(request->home, part->use, &part->append);
    request_wait_partition(request, &part->wait, part->partition);
}

static void append_refused(struct produce_part *part)
{
    part->error = part->append.error;
    if (part->error == KAFKA_KAFKA_STORAGE_ERROR && !partition_is_offline(part->partition))
        part->fault.message = "The disk of this partition's log directory is full.";
}

/* True when nothing more is to be waited for. */
static bool part_is_over(struct produce_work *work, struct produce_part *part)
{
    if (!part->queued)
        return true;
    if (!atomic_load(&part->append.done))
        return false;
    if (part->append.error != KAFKA_NONE)
        append_refused(part);
    else if (partition_is_acked(part->partition, work->acks, part->append.batch.end_offset))
        part->error = KAFKA_NONE;
    else if (partition_is_offline(part->partition))
        part->error = KAFKA_KAFKA_STORAGE_ERROR;
    else if (partition_is_retired(part->partition) || !partition_is_leader(part->partition))
        part->error = KAFKA_NOT_LEADER_OR_FOLLOWER;
    else
        return false;
    return true;
}

static void count_stored(const struct produce_part *part)
{
    const struct log_batch *batch = &part->append.batch;
    if (!part->queued || part->error != KAFKA_NONE || batch->duplicate)
        return;
    struct partition_traffic *traffic = partition_traffic(part->partition);
    atomic_fetch_add_explicit(&traffic->messages_in, (uint64_t)batch->facts.count, memory_order_relaxed);
    atomic_fetch_add_explicit(&traffic->bytes_in, batch->size_bytes, memory_order_relaxed);
}

/* Kafka counts as failed what it did not foresee, and of that it tells the start offset. */
static void count_failed(const struct produce_part *part)
{
    if (part->partition && part->error != KAFKA_NONE && part->error != KAFKA_REQUEST_TIMED_OUT &&
        tells_start_offset(part->error))
        atomic_fetch_add_explicit(&partition_traffic(part->partition)->produce_failures, 1, memory_order_relaxed);
}

static void part_end(struct produce_part *part)
{
    request_wait_partition_end(&part->wait);
    count_failed(part);
    record_builder_free(&part->old);
    buffer_free(&part->repacked);
    if (part->queued && part->partition) {
        count_stored(part);
        part->start_offset = partition_start_offset(part->partition);
    }
    partition_unref(part->partition);
    part->partition = NULL;
    part->waits = false;
}

static struct slice name_of(const struct request *request, const struct produce_request_topic_produce_data *data)
{
    const struct meta_topic *topic = request->api_version >= 13 ? topic_find(request, data) : NULL;
    return topic ? topic->name : data->name;
}

static void part_write(struct request *request, struct wire_writer *out, struct slice topic,
                       const struct produce_request_partition_produce_data *data, const struct produce_part *part)
{
    int16_t version = request->api_version;
    struct produce_response_partition_produce_response reply;
    produce_response_partition_produce_response_init(&reply);
    bool ok = part->error == KAFKA_NONE;
    const struct log_batch *batch = &part->append.batch;
    reply.index = data->index;
    reply.error_code = part->error;
    reply.base_offset = ok ? batch->base_offset : -1;
    bool append_time = ok && (batch->duplicate ? batch->log_append_time_ms >= 0 : batch->facts.is_append_time);
    if (append_time)
        reply.log_append_time_ms = batch->duplicate ? batch->log_append_time_ms : batch->facts.max_timestamp_ms;
    reply.log_start_offset = ok || tells_start_offset(part->error) ? part->start_offset : -1;
    reply.error_message = slice_str(part->fault.message);
    if (!ok && version >= VERSION_OF_RECORD_ERRORS)
        refused__tell(&request->arena, &part->fault, &part->rules, topic, data->index, &reply);
    produce_response_partition_produce_response_write(out, version, &reply);
}

static void finish(struct request *request)
{
    const struct produce_request *body = request->body;
    struct produce_work *work = request->work;
    int16_t version = request->api_version;
    struct wire_writer *out = request_reply_begin(request);
    bool flexible = version >= 9;
    struct produce_part *part = work->parts;
    wire_write_array_count(out, flexible, body->topic_data_count);
    for (int32_t t = 0; t < body->topic_data_count; t++) {
        const struct produce_request_topic_produce_data *topic = &body->topic_data[t];
        if (version >= 13)
            wire_write_uuid(out, topic->topic_id);
        else
            wire_write_string(out, flexible, topic->name);
        wire_write_array_count(out, flexible, topic->partition_data_count);
        for (int32_t i = 0; i < topic->partition_data_count; i++)
            part_write(request, out, name_of(request, topic), &topic->partition_data[i], part++);
        if (flexible)
            wire_write_uvarint(out, 0); // tagged fields
    }
    if (version >= 1)
        wire_write_i32(out, request__throttle_ms(request));
    if (flexible)
        wire_write_uvarint(out, 0);
    request_reply_end(request);
}

static bool any_failed(const struct produce_work *work)
{
    for (int i = 0; i < work->count; i++)
        if (work->parts[i].error != KAFKA_NONE)
            return true;
    return false;
}

static void complete(struct request *request)
{
    struct produce_work *work = request->work;
    for (int i = 0; i < work->count; i++)
        part_end(&work->parts[i]);
    request__throttle(request, QUOTA_PRODUCE, request__quota_record(request, QUOTA_PRODUCE, request->frame_size));
    if (work->acks != 0) {
        finish(request);
        return;
    }
    if (any_failed(work)) {
        request_refuse(request, "a batch sent with acks=0 could not be appended");
        return;
    }
    request->reply.none = true;
    request_complete(request);
}

/* The deadline has passed: what is written but not yet acknowledged is told as timed out (its outcome is unknown). An
 * append that is not written yet must be waited for all the same: its memory is this request's. */
static void time_out(struct produce_work *work)
{
    for (int i = 0; i < work->count; i++) {
        struct produce_part *part = &work->parts[i];
        if (!part->waits || !atomic_load(&part->append.done))
            continue;
        part->error = KAFKA_REQUEST_TIMED_OUT;
        part->timed_out = true;
        part_end(part);
        work->waiting--;
    }
}

/* All batches are looked at: those that are fine are queued, in one tick. */
static void queue_all(struct request *request)
{
    struct produce_work *work = request->work;
    for (int i = 0; i < work->count; i++)
        if (work->parts[i].error == KAFKA_NONE)
            part_queue(request, &work->parts[i]);
    if (work->waiting == 0)
        complete(request);
    else
        request_wait_until(request, work->deadline_ms);
}

/* In the pool. */
static void validate_run(struct io_job *job)
{
    struct request *request = CONTAINER_OF(job, struct request, job);
    struct produce_work *work = request->work;
    struct scratches *scratches = request->home->broker->scratches;
    struct record_scratch *scratch = scratches__take(scratches);
    int64_t began_ns = io_now_ns();
    for (int i = 0; i < work->count; i++)
        if (work->parts[i].is_left)
            work->parts[i].error = part_validate(request, &work->parts[i], scratch, false);
    work->pool_ns = io_now_ns() - began_ns;
    scratches__give(scratches, scratch);
    request_send_home(request);
}

static void go_away(struct request *request)
{
    struct produce_work *work = request->work;
    work->away = true;
    atomic_fetch_add_explicit(&request->home->validated_in_pool, 1, memory_order_relaxed);
    request_hold(request);
    request_send_to_pool(request, IO_LANE_COMPUTE, validate_run);
}

static void come_back(struct request *request)
{
    struct produce_work *work = request->work;
    work->away = false;
    request->handled_ns += work->pool_ns; // for its quota, wherever it was spent
    for (int i = 0; i < work->count; i++)
        if (work->parts[i].error == KAFKA_NONE)
            work->parts[i].error = part_find_again(request, &work->parts[i]);
    queue_all(request);
    request_release(request);
}

static void produce_resume(struct request *request)
{
    struct produce_work *work = request->work;
    if (request->state != REQUEST_RUNNING)
        return;
    if (work->away) {
        come_back(request);
        return;
    }
    for (int i = 0; i < work->count; i++) {
        struct produce_part *part = &work->parts[i];
        if (part->waits && part_is_over(work, part)) {
            part_end(part);
            work->waiting--;
        }
    }
    if (work->waiting > 0 && work->acks != 0 && request_deadline_passed(request))
        time_out(work);
    if (work->waiting == 0)
        complete(request);
}

static int parts_count(const struct produce_request *body)
{
    int count = 0;
    for (int32_t t = 0; t < body->topic_data_count; t++)
        count += (int)max_i64(0, body->topic_data[t].partition_data_count);
    return count;
}

static bool is_transactional_batch(struct slice records)
{
    return records.size >= RECORD_BATCH_HEAD_BYTES && records.data[RECORD_BATCH_MAGIC_AT] == 2 &&
           (record_batch_attributes(records.data) & RECORD_ATTRIBUTE_TRANSACTIONAL);
}

/* Transactions are not served yet: a clear refusal instead of a retry for ever. Batches of a transaction that the request
 * does not name are nobody's, as in Kafka: no marker would ever end it. */
static int16_t transaction_error(const struct produce_request *body)
{
    if (!slice_is_null(body->transactional_id))
        return KAFKA_UNSUPPORTED_VERSION;
    for (int32_t t = 0; t < body->topic_data_count; t++)
        for (int32_t i = 0; i < body->topic_data[t].partition_data_count; i++)
            if (is_transactional_batch(body->topic_data[t].partition_data[i].records))
                return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    return KAFKA_NONE;
}

static void produce_start(struct request *request)
{
    const struct produce_request *body = request->body;
    struct produce_work *work = arena_zalloc(&request->arena, sizeof *work);
    if (work)
        work->parts = arena_array(&request->arena, (size_t)(work->count = parts_count(body)), sizeof *work->parts);
    if (!work || !work->parts) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    request->work = work;
    work->acks = body->acks;
    work->deadline_ms = request->home->now_ms + max_i64(0, body->timeout_ms);
    int16_t error_of_all = transaction_error(body);
    struct produce_part *part = work->parts;
    bool any_left = false;
    for (int32_t t = 0; t < body->topic_data_count; t++) {
        const struct produce_request_topic_produce_data *data = &body->topic_data[t];
        const struct meta_topic *topic = topic_find(request, data);
        for (int32_t i = 0; i < data->partition_data_count; i++, part++) {
            part->start_offset = -1;
            part->error = error_of_all;
            if (error_of_all == KAFKA_NONE)
                part_start(request, part, topic, &data->partition_data[i]);
            any_left |= part->is_left;
        }
    }
    if (any_left)
        go_away(request);
    else
        queue_all(request);
}

const struct api_row api__produce = {.key = API_PRODUCE,
                                     .version_min = 0,
                                     .version_max = 13,
                                     .overlaps = true,
                                     .start = produce_start,
                                     .resume = produce_resume};
