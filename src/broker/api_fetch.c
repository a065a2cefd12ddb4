// SPDX-License-Identifier: Apache-2.0
/* broker/api_fetch.c - Fetch: slices of logs out, as many as the limits allow, or a wait for more (KIP-74, 227, 320, 516).
 *
 *   start    session expanded, partitions resolved
 *   read     every partition in order: bytes until max_bytes; the first batch is given even if larger than every limit
 *   wait     until min_bytes are there, something is wrong with a partition, or max_wait_ms have passed
 *   warm     what may not be in the page cache, and all of old formats, is read by the pool first (broker/fetch_pool.c)
 *   finish   response; records are not copied but hang in the reply as pieces of files (small ones are read into it)
 *
 * The response groups what follows each other of one topic. Partitions that don't exist come last, as Kafka has it.
 */
#include "broker/broker__.h"
#include "broker/fetch_work.h"
#include "wire/gen/fetch.h"

enum {
    COPY_BELOW_BYTES = 32 << 10,
    COPIED_MAX_BYTES = 1 << 20, // of one reply; a client that does not read keeps no more than this in memory
};

/* ---- expanding the request */
static void part_from_request(struct fetch_part *part, const struct fetch_request_fetch_topic *topic,
                              const struct fetch_request_fetch_partition *data)
{
    *part = (struct fetch_part){.topic_id = topic->topic_id,
                                .name = topic->topic,
                                .index = data->partition,
                                .leader_epoch = data->current_leader_epoch,
                                .last_fetched_epoch = data->last_fetched_epoch,
                                .size_max = data->partition_max_bytes,
                                .offset = data->fetch_offset};
}

static void part_from_session(struct fetch_part *part, struct fetch_position *position)
{
    *part = (struct fetch_part){.topic_id = position->topic_id,
                                .name = position->name ? slice_str(position->name) : SLICE_NULL,
                                .index = position->index,
                                .leader_epoch = position->leader_epoch,
                                .last_fetched_epoch = position->last_fetched_epoch,
                                .size_max = position->size_max,
                                .offset = position->offset,
                                .position = position};
}

static int request_parts_count(const struct fetch_request *body)
{
    int count = 0;
    for (int32_t t = 0; t < body->topics_count; t++)
        count += (int)max_i64(0, body->topics[t].partitions_count);
    return count;
}

/* Of positions for all that it names, known ones too. */
static int64_t positions_bytes(const struct fetch_request *body)
{
    int64_t bytes = 0;
    for (int32_t t = 0; t < body->topics_count; t++)
        bytes +=
            max_i64(0, body->topics[t].partitions_count) * (FETCH_POSITION_BYTES + (int64_t)body->topics[t].topic.size);
    return bytes;
}

static void session_update(struct fetch_session *session, const struct fetch_request *body, bool by_id)
{
    for (int32_t t = 0; t < body->topics_count; t++) {
        const struct fetch_request_fetch_topic *topic = &body->topics[t];
        for (int32_t i = 0; i < topic->partitions_count; i++) {
            const struct fetch_request_fetch_partition *data = &topic->partitions[i];
            struct fetch_position *position = fetch_session__position(
                session, topic->topic_id, by_id ? SLICE_NULL : topic->topic, data->partition, true);
            position->offset = data->fetch_offset;
            position->leader_epoch = data->current_leader_epoch;
            position->last_fetched_epoch = data->last_fetched_epoch;
            position->size_max = data->partition_max_bytes;
            position->log_start_offset = data->log_start_offset;
        }
    }
    for (int32_t t = 0; t < body->forgotten_topics_data_count; t++) {
        const struct fetch_request_forgotten_topic *topic = &body->forgotten_topics_data[t];
        for (int32_t i = 0; i < topic->partitions_count; i++)
            fetch_session__forget(session, topic->topic_id, by_id ? SLICE_NULL : topic->topic, topic->partitions[i]);
    }
}

static bool parts_from_request(struct request *request, struct fetch_work *work)
{
    const struct fetch_request *body = request->body;
    work->count = request_parts_count(body);
    work->parts = arena_array(&request->arena, (size_t)work->count, sizeof *work->parts);
    if (!work->parts)
        return false;
    struct fetch_part *part = work->parts;
    for (int32_t t = 0; t < body->topics_count; t++)
        for (int32_t i = 0; i < body->topics[t].partitions_count; i++)
            part_from_request(part++, &body->topics[t], &body->topics[t].partitions[i]);
    return true;
}

static bool parts_from_session(struct request *request, struct fetch_work *work)
{
    work->count = (int)work->session->positions.count;
    work->parts = arena_array(&request->arena, (size_t)work->count, sizeof *work->parts);
    if (!work->parts)
        return false;
    struct fetch_part *part = work->parts;
    LIST_EACH (node, &work->session->order)
        part_from_session(part++, CONTAINER_OF(node, struct fetch_position, in_order));
    return true;
}

/* Its client is told that it is gone, and asks anew for all. */
static int16_t session_end(struct request *request, struct fetch_work *work)
{
    fetch_session__remove(request->home->broker->sessions, work->session->id);
    fetch_session__done(request->home->broker->sessions, work->session);
    work->session = NULL;
    return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
}

/* Kafka error code of the whole request; the session, when there is one, is in work. */
static int16_t session_open(struct request *request, struct fetch_work *work)
{
    const struct fetch_request *body = request->body;
    struct fetch_sessions *sessions = request->home->broker->sessions;
    bool is_full = body->session_epoch <= 0;
    if (!is_full) {
        int16_t error = fetch_session__use(sessions, body->session_id, body->session_epoch, work->uses_topic_ids,
                                           request->home->now_ms, &work->session);
        if (error != KAFKA_NONE)
            return error;
        if (!fetch_session__may_grow(sessions, work->session, positions_bytes(body)))
            return session_end(request, work);
        session_update(work->session, body, work->uses_topic_ids);
        if (work->session->positions.count == 0) { // everything forgotten: the session is over
            session_end(request, work);
            return KAFKA_NONE;
        }
        work->incremental = true;
        work->session_id = work->session->id;
        return KAFKA_NONE;
    }
    if (body->session_id != 0)
        fetch_session__remove(sessions, body->session_id);
    if (body->session_epoch == 0 && request->api_version >= 7 && request_parts_count(body) > 0)
        work->session =
            fetch_session__add(sessions, work->uses_topic_ids, positions_bytes(body), request->home->now_ms);
    if (work->session) {
        session_update(work->session, body, work->uses_topic_ids);
        work->session_id = work->session->id;
    }
    return KAFKA_NONE;
}

static void part_resolve(struct request *request, struct fetch_part *part, bool by_id)
{
    const struct meta_image *image = request->home->image;
    const struct meta_topic *topic =
        by_id ? meta_topic_by_id(image, part->topic_id) : meta_topic_by_name(image, part->name);
    part->high_watermark = part->last_stable_offset = part->start_offset = -1;
    part->aborted_count = 0; // an empty list where there is no partition, null where it is not asked for
    part->diverging_epoch = -1;
    part->diverging_end_offset = -1;
    part->leader_epoch = part->leader_epoch < 0 ? -1 : part->leader_epoch; // here any negative number is none
    if (!topic) {
        part->error = by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    struct partition_use *use = NULL;
    if (part->index >= 0 && part->index < topic->partition_count)
        use = reactor_partition(request->home, topic->id, part->index);
    if (!use) {
        part->error = part->index < 0 || part->index >= topic->partition_count ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                                               : KAFKA_NOT_LEADER_OR_FOLLOWER;
        return;
    }
    part->partition = use->partition;
    part->aborted_count = -1;
    partition_ref(part->partition);
}

/* ---- reading */
/* A follower's (or a careful client's) last epoch ends before its offset: its log and ours part ways (KIP-595). */
static bool part_diverges(struct fetch_part *part)
{
    struct log *log = partition_log(part->partition);
    if (part->last_fetched_epoch < 0 || !log)
        return false;
    int32_t epoch;
    int64_t end;
    log_epoch_end(log, part->last_fetched_epoch, &epoch, &end);
    if (epoch < 0) {
        fetch__fail(part, KAFKA_OFFSET_OUT_OF_RANGE);
        return true;
    }
    if (epoch >= part->last_fetched_epoch && end >= part->offset)
        return false;
    part->diverging_epoch = epoch;
    part->diverging_end_offset = end;
    return true;
}

static void part_read_aborted(struct request *request, struct fetch_part *part)
{
    struct log *log = partition_log(part->partition);
    part->aborted_count = 0;
    if (!log || part->slice.size_bytes == 0)
        return;
    struct status s = log_aborted_transactions(log, part->offset, part->slice.next_offset, &request->arena,
                                               &part->aborted, &part->aborted_count);
    if (!status_is_ok(s))
        fetch__fail(part, KAFKA_KAFKA_STORAGE_ERROR);
}

/* A limit below zero is an error of Kafka's own, told as such. */
static void part_read(struct request *request, struct fetch_part *part, int64_t size_left, bool at_least_one)
{
    struct fetch_work *work = request->work;
    /* Unlike in other requests, any negative epoch means none. */
    int16_t error = partition_check_epoch(part->partition, (int32_t)max_i64(-1, part->leader_epoch));
    if (error != KAFKA_NONE) {
        fetch__fail(part, error);
        return;
    }
    part->error = KAFKA_NONE;
    part->high_watermark = partition_high_watermark(part->partition);
    part->last_stable_offset = partition_last_stable_offset(part->partition);
    part->start_offset = partition_start_offset(part->partition);
    if (part_diverges(part))
        return;
    int64_t size_max = min_i64(part->size_max, size_left);
    error = size_max < 0 ? KAFKA_UNKNOWN_SERVER_ERROR
                         : partition_read(part->partition, work->as, part->offset, (uint32_t)size_max, at_least_one,
                                          &part->slice);
    if (error != KAFKA_NONE)
        fetch__fail(part, error);
    else if (work->as == READ_AS_COMMITTED)
        part_read_aborted(request, part);
}

static void release_slices(struct fetch_work *work)
{
    for (int i = 0; i < work->count; i++)
        log_slice_release(&work->parts[i].slice);
}

/* Reads all. True when the reply should leave now. */
static bool read_all(struct request *request)
{
    struct fetch_work *work = request->work;
    int64_t left = work->size_max;
    int64_t total = 0;
    bool at_least_one = true, anything_to_tell = false;
    for (int i = 0; i < work->count; i++) {
        struct fetch_part *part = &work->parts[i];
        if (part->partition)
            part_read(request, part, left, at_least_one);
        uint32_t size = part->slice.size_bytes;
        at_least_one &= size == 0;
        if (part->partition)
            left = max_i64(0, left - size);
        total += size;
        anything_to_tell |= part->error != KAFKA_NONE || part->diverging_epoch >= 0;
    }
    return anything_to_tell || total >= work->size_min;
}

/* ---- the reply */
static bool part_is_told(const struct fetch_work *work, const struct fetch_part *part)
{
    const struct fetch_position *position = part->position;
    if (!work->incremental || !position)
        return true;
    return part->slice.size_bytes > 0 || part->error != KAFKA_NONE || part->diverging_epoch >= 0 ||
           position->told_high_watermark != part->high_watermark || position->told_start_offset != part->start_offset;
}

/* The errors that Kafka's Fetch does not foresee. */
static void count_failed(const struct fetch_part *part)
{
    if (part->partition && (part->error == KAFKA_UNKNOWN_SERVER_ERROR || part->error == KAFKA_CORRUPT_MESSAGE))
        atomic_fetch_add_explicit(&partition_traffic(part->partition)->fetch_failures, 1, memory_order_relaxed);
}

static void part_remember(struct fetch_work *work, struct fetch_part *part)
{
    struct fetch_position *position = part->position;
    if (!position)
        return;
    position->told_high_watermark = part->error == KAFKA_NONE ? part->high_watermark : -1;
    position->told_start_offset = part->start_offset;
    if (work->incremental && (part->slice.size_bytes > 0 || part->error != KAFKA_NONE))
        fetch_session__move_back(work->session, position);
}

/* Small slices are read into the reply; larger ones, or those that would wait for the disk, hang in it as a file piece. */
static void records_write(struct request *request, struct fetch_part *part, bool flexible)
{
    struct reply *reply = &request->reply;
    struct log_slice *slice = &part->slice;
    struct wire_writer *out = &reply->out;
    if (request->api_version < FETCH_VERSION_OF_BATCHES) {
        wire_write_bytes(
            out, false, slice_of(part->messages.data ? part->messages.data : (const uint8_t *)"", part->messages.size));
        return;
    }
    wire_write_bytes_size(out, flexible, slice->size_bytes);
    if (slice->size_bytes == 0)
        return;
    if (part->partition && !request->local_call) // people who look are no consumers
        atomic_fetch_add_explicit(&partition_traffic(part->partition)->bytes_out, slice->size_bytes,
                                  memory_order_relaxed);
    if (slice->size_bytes < COPY_BELOW_BYTES && out->size < COPIED_MAX_BYTES) {
        size_t at = out->size;
        uint8_t *into = wire_writer_extend(out, slice->size_bytes);
        if (into &&
            io_pread_nowait(slice->file, into, slice->size_bytes, slice->position) == (int64_t)slice->size_bytes) {
            log_slice_release(slice);
            return;
        }
        wire_writer_cut(out, at);
    }
    reply->pieces[reply->piece_count++] = (struct reply_piece){.at = out->size, .slice = *slice};
    reply->pieces_size_bytes += slice->size_bytes;
    *slice = (struct log_slice){0}; // the reply holds it now
}

static void tagged_write(struct wire_writer *out, const struct request *request, const struct fetch_part *part)
{
    bool diverging = part->diverging_epoch >= 0;
    bool leader = part->partition &&
                  (part->error == KAFKA_NOT_LEADER_OR_FOLLOWER || part->error == KAFKA_FENCED_LEADER_EPOCH) &&
                  request->api_version >= 16;
    wire_write_uvarint(out, (uint32_t)diverging + (uint32_t)leader);
    if (diverging) {
        wire_write_uvarint(out, 0); // tag 0, DivergingEpoch
        wire_write_uvarint(out, 4 + 8 + 1);
        wire_write_i32(out, part->diverging_epoch);
        wire_write_i64(out, part->diverging_end_offset);
        wire_write_uvarint(out, 0);
    }
    if (leader) {
        wire_write_uvarint(out, 1); // tag 1, CurrentLeader
        wire_write_uvarint(out, 4 + 4 + 1);
        wire_write_i32(out, partition_leader(part->partition));
        wire_write_i32(out, partition_leader_epoch(part->partition));
        wire_write_uvarint(out, 0);
    }
}

/* fetch_response_partition_data by hand: its records are no bytes of ours. */
static void part_write(struct request *request, struct fetch_part *part)
{
    int16_t version = request->api_version;
    bool flexible = version >= 12;
    struct wire_writer *out = &request->reply.out;
    wire_write_i32(out, part->index);
    wire_write_i16(out, part->error);
    wire_write_i64(out, part->high_watermark);
    if (version >= FETCH_VERSION_OF_BATCHES)
        wire_write_i64(out, part->last_stable_offset);
    if (version >= 5)
        wire_write_i64(out, part->start_offset);
    if (version >= FETCH_VERSION_OF_BATCHES)
        wire_write_array_count(out, flexible, part->aborted_count);
    for (int32_t i = 0; version >= FETCH_VERSION_OF_BATCHES && i < part->aborted_count; i++) {
        wire_write_i64(out, part->aborted[i].producer_id);
        wire_write_i64(out, part->aborted[i].first_offset);
        if (flexible)
            wire_write_uvarint(out, 0);
    }
    if (version >= 11)
        wire_write_i32(out, -1); // preferred read replica
    records_write(request, part, flexible);
    if (flexible)
        tagged_write(out, request, part);
}

static bool same_topic(const struct fetch_work *work, const struct fetch_part *a, const struct fetch_part *b)
{
    return work->uses_topic_ids ? uuid_equal(a->topic_id, b->topic_id) : slice_equal(a->name, b->name);
}

/* What is told, in order: existing partitions first. */
static int order_parts(struct request *request, struct fetch_part **ordered)
{
    struct fetch_work *work = request->work;
    int count = 0;
    for (int existing = 1; existing >= 0; existing--)
        for (int i = 0; i < work->count; i++)
            if ((work->parts[i].partition != NULL) == existing && part_is_told(work, &work->parts[i]))
                ordered[count++] = &work->parts[i];
    return count;
}

static int topics_in(const struct fetch_work *work, struct fetch_part **ordered, int count)
{
    int topics = 0;
    for (int i = 0; i < count; i++)
        topics += i == 0 || !same_topic(work, ordered[i - 1], ordered[i]);
    return topics;
}

static int run_length(const struct fetch_work *work, struct fetch_part **ordered, int from, int count)
{
    int to = from + 1;
    while (to < count && same_topic(work, ordered[from], ordered[to]))
        to++;
    return to - from;
}

static void head_write(struct request *request, struct wire_writer *out, int16_t error, int32_t session_id)
{
    if (request->api_version >= 1)
        wire_write_i32(out, request__throttle_ms(request));
    if (request->api_version >= 7) {
        wire_write_i16(out, error);
        wire_write_i32(out, session_id);
    }
}

static void body_write(struct request *request, struct fetch_part **ordered, int count)
{
    struct fetch_work *work = request->work;
    struct wire_writer *out = request_reply_begin(request);
    bool flexible = request->api_version >= 12;
    head_write(request, out, KAFKA_NONE, work->session_id);
    wire_write_array_count(out, flexible, topics_in(work, ordered, count));
    for (int i = 0; i < count;) {
        int run = run_length(work, ordered, i, count);
        if (work->uses_topic_ids)
            wire_write_uuid(out, ordered[i]->topic_id);
        else
            wire_write_string(out, flexible, ordered[i]->name);
        wire_write_array_count(out, flexible, run);
        for (int end = i + run; i < end; i++) {
            part_remember(work, ordered[i]);
            part_write(request, ordered[i]);
            count_failed(ordered[i]);
        }
        if (flexible)
            wire_write_uvarint(out, 0);
    }
    if (flexible)
        wire_write_uvarint(out, 0);
}

static void work_release(struct request *request)
{
    struct fetch_work *work = request->work;
    for (int i = 0; i < work->count; i++) {
        struct fetch_part *part = &work->parts[i];
        request_wait_partition_end(&part->wait);
        log_slice_release(&part->slice);
        buffer_free(&part->messages);
        partition_unref(part->partition);
        part->partition = NULL;
    }
    request->held_bytes = 0;
    if (work->session)
        fetch_session__done(request->home->broker->sessions, work->session);
    work->session = NULL;
}

static void finish(struct request *request)
{
    struct fetch_work *work = request->work;
    struct fetch_part **ordered = arena_array(&request->arena, (size_t)work->count, sizeof *ordered);
    request->reply.pieces = arena_array(&request->arena, (size_t)work->count, sizeof *request->reply.pieces);
    if (!ordered || !request->reply.pieces) {
        work_release(request);
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    int count = order_parts(request, ordered);
    body_write(request, ordered, count);
    work_release(request);
    request_reply_end(request);
}

/* Consumers say -1; a debugging client -2 reads to the log's end; a broker that is no replica gets NOT_LEADER_OR_FOLLOWER. */
static int32_t replica_id(const struct request *request)
{
    const struct fetch_request *body = request->body;
    return request->api_version >= 15 ? body->replica_state.replica_id : body->replica_id;
}

/* ---- quotas: the bytes that would be sent; when they are too many the answer is empty and tells how long to wait */
enum { PART_TELLING_BYTES = 64 }; // what tells of a partition, beside its records

static double bytes_to_send(const struct fetch_work *work)
{
    double bytes = 0;
    for (int i = 0; i < work->count; i++)
        bytes += (double)work->parts[i].slice.size_bytes + (double)work->parts[i].messages.size + PART_TELLING_BYTES;
    return bytes;
}

/* A session that this request would have opened is not: the client asks anew for all. */
static void finish_throttled(struct request *request)
{
    const struct fetch_request *body = request->body;
    struct fetch_work *work = request->work;
    int32_t session_id = work->session_id;
    struct wire_writer *out = request_reply_begin(request);
    bool flexible = request->api_version >= 12;
    work_release(request);
    if (body->session_epoch <= 0 && session_id != 0) {
        fetch_session__remove(request->home->broker->sessions, session_id);
        session_id = 0;
    }
    head_write(request, out, KAFKA_NONE, session_id);
    wire_write_array_count(out, flexible, 0);
    if (flexible)
        wire_write_uvarint(out, 0);
    request_reply_end(request);
}

/* True when it was answered so. Followers are no clients. */
static bool throttle(struct request *request)
{
    struct reactor *home = request->home;
    if (!home->image->quotas || replica_id(request) >= 0 || home->stopping)
        return false;
    double bytes = bytes_to_send(request->work);
    request__throttle(request, QUOTA_FETCH, request__quota_record(request, QUOTA_FETCH, bytes));
    if (request__throttle_ms(request) == 0)
        return false;
    if (!request->local_call)
        quotas__take_back(home->broker->quotas, home->image, QUOTA_FETCH, request->client_id, bytes, home->now_ms);
    finish_throttled(request);
    return true;
}

static void finish_or_throttle(struct request *request)
{
    if (!throttle(request))
        finish(request);
}

static void finish_with_error(struct request *request, int16_t error)
{
    struct wire_writer *out = request_reply_begin(request);
    bool flexible = request->api_version >= 12;
    head_write(request, out, error, 0);
    wire_write_array_count(out, flexible, 0);
    if (flexible)
        wire_write_uvarint(out, 0);
    request_reply_end(request);
}

/* A request that makes no sense: the error is told of each partition, from version 13 on of the whole alone. */
static void finish_senseless(struct request *request)
{
    const struct fetch_request *body = request->body;
    struct fetch_response response;
    fetch_response_init(&response);
    response.error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    response.session_id = body->session_id;
    int32_t topics = request->api_version < 13 ? body->topics_count : 0;
    response.responses = arena_array(&request->arena, (size_t)topics, sizeof *response.responses);
    for (int32_t t = 0; response.responses && t < topics; t++, response.responses_count++) {
        const struct fetch_request_fetch_topic *topic = &body->topics[t];
        struct fetch_response_fetchable_topic_response *answer = &response.responses[t];
        fetch_response_fetchable_topic_response_init(answer);
        answer->topic = topic->topic;
        answer->partitions = arena_array(&request->arena, (size_t)topic->partitions_count, sizeof *answer->partitions);
        for (int32_t i = 0; answer->partitions && i < topic->partitions_count; i++, answer->partitions_count++) {
            struct fetch_response_partition_data *part = &answer->partitions[i];
            fetch_response_partition_data_init(part);
            part->partition_index = topic->partitions[i].partition;
            part->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
            part->high_watermark = -1;
            part->records = slice_str("");
        }
    }
    request__reply(request, &response);
}

/* ---- waiting, and the pool */
static void stop_waiting(struct request *request)
{
    struct fetch_work *work = request->work;
    for (int i = 0; i < work->count; i++)
        request_wait_partition_end(&work->parts[i].wait);
    request_wait_until_end(request);
    work->waiting = false;
}

static void warm_or_finish(struct request *request)
{
    stop_waiting(request);
    if (!fetch__needs_pool(request))
        finish_or_throttle(request);
}

static void fetch_resume(struct request *request)
{
    struct fetch_work *work = request->work;
    if (request->state != REQUEST_RUNNING)
        return;
    if (work->warming) {
        fetch__came_back(request);
        finish_or_throttle(request);
        return;
    }
    release_slices(work);
    if (read_all(request) || request_deadline_passed(request) || request->home->stopping)
        warm_or_finish(request);
}

static void wait_for_more(struct request *request, int32_t max_wait_ms)
{
    struct fetch_work *work = request->work;
    work->waiting = true;
    request__charge(request);
    for (int i = 0; i < work->count; i++)
        if (work->parts[i].partition)
            request_wait_partition(request, &work->parts[i].wait, work->parts[i].partition);
    request_wait_until(request, request->home->now_ms + max_wait_ms);
    release_slices(work);
    if (read_all(request)) // once more, now that the watches are armed
        warm_or_finish(request);
}

static enum read_as read_as(const struct request *request)
{
    const struct fetch_request *body = request->body;
    if (replica_id(request) == -2)
        return READ_AS_FOLLOWER;
    return body->isolation_level == 1 ? READ_AS_COMMITTED : READ_AS_CONSUMER;
}

/* No more at once than the quota allows in its windows, or it could never be paid for. */
static int32_t quota_size_max(const struct request *request, int32_t size_max)
{
    double allowed =
        quotas__window_max(request->home->broker->quotas, request->home->image, QUOTA_FETCH, request->client_id);
    return allowed < (double)size_max ? (int32_t)allowed : size_max;
}

static void fetch_start(struct request *request)
{
    const struct fetch_request *body = request->body;
    if (body->isolation_level != 0 && body->isolation_level != 1) {
        finish_senseless(request);
        return;
    }
    struct fetch_work *work = arena_zalloc(&request->arena, sizeof *work);
    if (!work) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    request->work = work;
    work->uses_topic_ids = request->api_version >= 13;
    work->as = read_as(request);
    work->size_max = (int32_t)min_i64(body->max_bytes, request->home->broker->options.fetch_size_max);
    if (request->api_version < FETCH_VERSION_OF_BATCHES)
        work->size_max = (int32_t)min_i64(work->size_max, FETCH_DOWN_SOURCE_MAX_BYTES);
    if (request->home->image->quotas && replica_id(request) < 0)
        work->size_max = quota_size_max(request, work->size_max);
    work->size_min = (int32_t)min_i64(body->min_bytes, work->size_max);
    int16_t error = session_open(request, work);
    if (error != KAFKA_NONE) {
        finish_with_error(request, error);
        return;
    }
    if (!(work->session ? parts_from_session(request, work) : parts_from_request(request, work))) {
        work->count = 0;
        work_release(request);
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    for (int i = 0; i < work->count; i++) {
        part_resolve(request, &work->parts[i], work->uses_topic_ids);
        if (replica_id(request) >= 0 && work->parts[i].partition) {
            partition_unref(work->parts[i].partition);
            work->parts[i].partition = NULL;
            work->parts[i].error = KAFKA_NOT_LEADER_OR_FOLLOWER;
        }
    }
    if (read_all(request) || body->max_wait_ms <= 0 || work->count == 0)
        warm_or_finish(request);
    else
        wait_for_more(request, body->max_wait_ms);
}

const struct api_row api__fetch = {
    .key = API_FETCH, .version_min = 0, .version_max = 18, .start = fetch_start, .resume = fetch_resume};
