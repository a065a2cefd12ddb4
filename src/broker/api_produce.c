// SPDX-License-Identifier: Apache-2.0
/* broker/api_produce.c - Produce: batches in, offsets out (KIP-31, 32, 98, 467, 516, 951).
 *
 *   start    resolve each partition in the image, convert what old clients send, validate its batch, queue the append
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
    struct partition *partition; // counted while the append is on its way
    bool queued, waits;
    bool timed_out;
    int16_t error;
    int64_t start_offset; // -1 unknown
    struct slice message; // of RecordErrors
    struct record_fault fault;
    struct record_rules refusing; // the rules as they were
    struct record_builder old;    // holds the batch that a message set of an old client became
    struct buffer repacked;       // the batch in the codec of its topic, where the client's is another
};

struct produce_work {
    struct produce_part *parts; // in request order
    int count, waiting;
    int16_t acks;
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
static int16_t part_repack(struct produce_part *part, const struct partition_config *config)
{
    struct log_batch *batch = &part->append.batch;
    if (config->compression_type < 0 || config->compression_type == batch->facts.codec)
        return KAFKA_NONE;
    struct status s =
        record_batch_recompress(slice_of(batch->bytes, batch->size_bytes), (enum record_codec)config->compression_type,
                                config->compression_level, &part->repacked);
    if (!status_is_ok(s))
        return s.error == EIO ? KAFKA_CORRUPT_MESSAGE : KAFKA_UNKNOWN_SERVER_ERROR;
    if (part->repacked.size > (size_t)config->max_message_bytes)
        return KAFKA_MESSAGE_TOO_LARGE;
    batch->bytes = part->repacked.data;
    batch->size_bytes = (uint32_t)part->repacked.size;
    batch->facts.codec = config->compression_type;
    return KAFKA_NONE;
}

/* Below version 3 the records may be a message set, which becomes a batch of the part's own. */
static int16_t part_convert(struct request *request, struct produce_part *part, const struct record_rules *rules,
                            struct slice *records)
{
    if (request->api_version >= VERSION_OF_BATCHES || !record_is_message_set(*records))
        return KAFKA_NONE;
    return record_message_set_convert(*records, rules, request->home->scratch, &part->old, records, &part->fault);
}

static int16_t part_validate(struct request *request, struct produce_part *part, int32_t isr_min, struct slice records)
{
    struct partition_use *use = part->use;
    if (partition_is_offline(use->partition))
        return KAFKA_KAFKA_STORAGE_ERROR;
    part->start_offset = partition_start_offset(use->partition);
    if (((struct produce_work *)request->work)->acks == -1 && partition_isr_count(use->partition) < isr_min)
        return KAFKA_NOT_ENOUGH_REPLICAS;
    struct record_rules rules = part->refusing = rules_of(request, &use->config);
    struct log_batch *batch = &part->append.batch;
    int16_t error = part_convert(request, part, &rules, &records);
    if (error == KAFKA_NONE)
        error = record_validate(records, &rules, request->home->scratch, &batch->facts, &part->fault);
    if (part->fault.is_request_fault)
        part->start_offset = -1;
    if (error != KAFKA_NONE)
        return error;
    batch->bytes = (uint8_t *)(uintptr_t)records.data;
    batch->size_bytes = (uint32_t)record_batch_size(records.data); // what follows it is no batch
    batch->from_client = true;
    error = part_repack(part, &use->config);
    if (error != KAFKA_NONE)
        return error;
    if (use->config.log_append_time)
        record_batch_set_append_time(batch->bytes, batch->size_bytes, rules.now_ms, &batch->facts);
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

static int16_t part_start(struct request *request, struct produce_part *part, const struct meta_topic *topic,
                          const struct produce_request_partition_produce_data *data)
{
    struct produce_work *work = request->work;
    part->start_offset = -1;
    if (work->acks < -1 || work->acks > 1)
        return KAFKA_INVALID_REQUIRED_ACKS;
    if (!topic)
        return request->api_version >= 13 ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (data->index < 0 || data->index >= topic->partition_count)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    part->use = reactor_partition(request->home, topic->id, data->index);
    if (!part->use || !partition_is_leader(part->use->partition))
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (!may_write(request, part->use->partition))
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    /* A minimum that the replicas could never reach asks for all of them (KIP-966). */
    int32_t replica_count = meta_topic_partition(topic, data->index)->replica_count;
    int32_t isr_min = (int32_t)min_i64(part->use->config.min_insync_replicas, replica_count);
    int16_t error = part_validate(request, part, isr_min, data->records);
    if (error != KAFKA_NONE)
        return error;
    part->append.expected_leader_epoch = -1;
    part->append.waits_for_flush = work->acks != 0;
    part->partition = part->use->partition;
    partition_ref(part->partition);
    part->queued = true;
    request->mutes |= partition_is_over_budget(part->partition);
    reactor_append(request->home, part->use, &part->append);
    return KAFKA_NONE;
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

static void part_end(struct produce_part *part)
{
    request_wait_partition_end(&part->wait);
    record_builder_free(&part->old);
    buffer_free(&part->repacked);
    if (part->partition) {
        count_stored(part);
        part->start_offset = partition_start_offset(part->partition);
        partition_unref(part->partition);
    }
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
        refused__tell(&request->arena, &part->fault, &part->refusing, topic, data->index, &reply);
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

static void produce_resume(struct request *request)
{
    struct produce_work *work = request->work;
    if (request->state != REQUEST_RUNNING)
        return;
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
    int16_t error_of_all = transaction_error(body);
    struct produce_part *part = work->parts;
    for (int32_t t = 0; t < body->topic_data_count; t++) {
        const struct produce_request_topic_produce_data *data = &body->topic_data[t];
        const struct meta_topic *topic = topic_find(request, data);
        for (int32_t i = 0; i < data->partition_data_count; i++, part++) {
            if (error_of_all != KAFKA_NONE) {
                part->start_offset = -1;
                part->error = error_of_all;
                continue;
            }
            part->error = part_start(request, part, topic, &data->partition_data[i]);
            if (part->queued) {
                part->waits = true;
                work->waiting++;
                request_wait_partition(request, &part->wait, part->partition);
            }
        }
    }
    if (work->waiting == 0) {
        complete(request);
        return;
    }
    request_wait_until(request, request->home->now_ms + max_i64(0, body->timeout_ms));
}

const struct api_row api__produce = {.key = API_PRODUCE,
                                     .version_min = 0,
                                     .version_max = 13,
                                     .overlaps = true,
                                     .start = produce_start,
                                     .resume = produce_resume};
