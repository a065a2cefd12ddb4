// SPDX-License-Identifier: Apache-2.0
/* broker/fetch_pool.c - what the pool does for a Fetch, so that no reactor waits for the disk.
 *
 * Slices that are neither presumed nor found to be in the page cache are read once, so that sendfile finds them there. Below
 * version 4 messages of the old formats are made of them, of at most FETCH_DOWN_SOURCE_MAX_BYTES of batches a request.
 */
#include "broker/fetch_work.h"

enum { WARM_PIECE_BYTES = 1 << 20 };

void fetch__fail(struct fetch_part *part, int16_t error)
{
    part->error = error;
    part->high_watermark = part->last_stable_offset = part->start_offset = -1;
    part->aborted_count = -1;
}

/* ---- warming: the pool reads what may not be in the page cache, so that sendfile does not wait for the disk */
static void warm_slice(struct fetch_work *work, const struct log_slice *slice, uint8_t *buffer)
{
    for (uint32_t at = 0; at < slice->size_bytes;) {
        size_t piece = (size_t)min_i64(WARM_PIECE_BYTES, slice->size_bytes - at);
        int64_t got = io_pread(slice->file, buffer, piece, slice->position + at);
        if (got <= 0) {
            work->reading_failed = true;
            return;
        }
        at += (uint32_t)got;
    }
}

static void warm_run(struct io_job *job)
{
    struct request *request = CONTAINER_OF(job, struct request, job);
    struct fetch_work *work = request->work;
    uint8_t *buffer = mem_alloc(WARM_PIECE_BYTES);
    for (int i = 0; i < work->count; i++)
        if (work->parts[i].slice.size_bytes > 0 && !work->parts[i].slice.is_hot)
            warm_slice(work, &work->parts[i].slice, buffer);
    mem_free(buffer);
    request_send_home(request);
}

/* ---- old formats, in the pool too */
static int16_t messages_add(struct fetch_part *part, int8_t magic, const uint8_t *bytes)
{
    struct slice rest = slice_of(bytes, part->slice.size_bytes), batch;
    while (record_stored_next(&rest, &batch)) {
        struct status s = record_batch_convert_down(batch, magic, part->offset, &part->messages);
        if (s.error == ENOTSUP) // what came before it is given first
            return part->messages.size > 0 ? KAFKA_NONE : KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
        if (!status_is_ok(s))
            return KAFKA_CORRUPT_MESSAGE;
    }
    return KAFKA_NONE;
}

/* Batches that leave no message (markers of transactions, what compaction emptied) are passed over: an old client moves on
 * by messages alone, and would ask for them for ever. */
static int16_t messages_make(struct fetch_work *work, struct fetch_part *part, int8_t magic)
{
    while (part->slice.size_bytes > 0) {
        uint8_t *bytes = mem_alloc(part->slice.size_bytes);
        int64_t got = io_pread(part->slice.file, bytes, part->slice.size_bytes, part->slice.position);
        int64_t next_offset = part->slice.next_offset;
        int16_t error =
            got == (int64_t)part->slice.size_bytes ? messages_add(part, magic, bytes) : KAFKA_KAFKA_STORAGE_ERROR;
        mem_free(bytes);
        log_slice_release(&part->slice);
        if (error != KAFKA_NONE || part->messages.size > 0)
            return error;
        error = partition_read(part->partition, work->as, next_offset, FETCH_DOWN_SOURCE_MAX_BYTES, true, &part->slice);
        if (error != KAFKA_NONE)
            return error;
    }
    return KAFKA_NONE;
}

static void down_run(struct io_job *job)
{
    struct request *request = CONTAINER_OF(job, struct request, job);
    struct fetch_work *work = request->work;
    int8_t magic = request->api_version < 2 ? 0 : 1;
    for (int i = 0; i < work->count; i++) {
        struct fetch_part *part = &work->parts[i];
        int16_t error = messages_make(work, part, magic);
        if (error == KAFKA_NONE)
            continue;
        buffer_free(&part->messages);
        log_slice_release(&part->slice);
        fetch__fail(part, error);
    }
    request_send_home(request);
}

static bool needs_messages(const struct request *request)
{
    const struct fetch_work *work = request->work;
    for (int i = 0; request->api_version < FETCH_VERSION_OF_BATCHES && i < work->count; i++)
        if (work->parts[i].slice.size_bytes > 0)
            return true;
    return false;
}

/* Behind the tail the kernel is asked: warming what is there already would copy it all for nothing. */
static bool is_cold(struct fetch_work *work)
{
    bool cold = false;
    for (int i = 0; i < work->count; i++) {
        struct log_slice *slice = &work->parts[i].slice;
        if (slice->size_bytes > 0 && !slice->is_hot)
            slice->is_hot = io_is_cached(slice->file, slice->position, slice->size_bytes);
        cold |= slice->size_bytes > 0 && !slice->is_hot;
    }
    return cold;
}

/* Each batch is read, and about as many bytes of messages are made of it; then they are known. */
static void messages_charge(struct request *request)
{
    const struct fetch_work *work = request->work;
    request->held_bytes = 0;
    for (int i = 0; i < work->count; i++)
        request->held_bytes += work->parts[i].messages.capacity + 2 * (size_t)work->parts[i].slice.size_bytes;
    request__charge(request);
}

bool fetch__needs_pool(struct request *request)
{
    struct fetch_work *work = request->work;
    bool is_old = needs_messages(request);
    if (!is_old && !is_cold(work))
        return false;
    if (is_old)
        messages_charge(request);
    work->warming = true;
    request_send_to_pool(request, IO_LANE_READ, is_old ? down_run : warm_run);
    return true;
}

void fetch__came_back(struct request *request)
{
    struct fetch_work *work = request->work;
    if (request->api_version < FETCH_VERSION_OF_BATCHES)
        messages_charge(request);
    for (int i = 0; work->reading_failed && i < work->count; i++)
        if (work->parts[i].slice.size_bytes > 0 && !work->parts[i].slice.is_hot) {
            log_slice_release(&work->parts[i].slice);
            fetch__fail(&work->parts[i], KAFKA_KAFKA_STORAGE_ERROR);
        }
}
