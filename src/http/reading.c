// SPDX-License-Identifier: Apache-2.0
/* http/reading.c - the records of one partition, batch by batch, by Fetch from inside.
 *
 * Small answers lie in the reply; larger ones hang in it as a piece of a file, which is read here through a window, so that
 * a batch that nobody wants costs the 61 bytes of its head. What cannot be read, or is no batch, ends the fetch.
 */
#include "http/http__.h"

#include "wire/gen/fetch.h"

enum { WINDOW_BYTES = 1 << 20, HEAD_WINDOW_BYTES = 4 << 10, FETCH_VERSION = 11 };

static const struct fetch_response_partition_data *ask(struct reading *r, struct slice name, int32_t index,
                                                       int64_t offset, int32_t size_max, int32_t wait_ms)
{
    struct fetch_request_fetch_partition partition;
    fetch_request_fetch_partition_init(&partition);
    partition.partition = index;
    partition.fetch_offset = offset;
    partition.partition_max_bytes = size_max;
    struct fetch_request_fetch_topic topic;
    fetch_request_fetch_topic_init(&topic);
    topic.topic = name;
    topic.partitions = &partition;
    topic.partitions_count = 1;
    struct fetch_request body;
    fetch_request_init(&body);
    body.max_bytes = size_max;
    body.min_bytes = 1;
    body.max_wait_ms = wait_ms;
    body.session_epoch = -1;
    body.topics = &topic;
    body.topics_count = 1;
    const struct fetch_response *answer = asker__ask(r->asker, API_FETCH, FETCH_VERSION, &body);
    bool is_whole = answer && answer->responses_count == 1 && answer->responses[0].partitions_count == 1;
    return is_whole ? answer->responses[0].partitions : NULL;
}

void reading__fetch(struct reading *r, struct slice topic, int32_t partition, int64_t offset, int32_t size_max,
                    int32_t wait_ms)
{
    r->inlined = SLICE_NULL;
    r->piece = NULL;
    r->at = r->end = r->window_at = 0;
    r->window.size = 0;
    const struct fetch_response_partition_data *data = ask(r, topic, partition, offset, size_max, wait_ms);
    r->error = data ? data->error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    if (r->error)
        return;
    struct local_call *call = asker__last_call(r->asker);
    r->inlined = data->records;
    if (call->piece_count > 0) {
        r->piece = &call->pieces[0].slice;
        r->end = r->piece->size_bytes;
    }
}

/* Bytes of the piece from `at` on, `size` at least; NULL when there are fewer. */
static const uint8_t *window(struct reading *r, int64_t size, int64_t wanted)
{
    if (r->end - r->at < size)
        return NULL;
    bool is_there = r->at >= r->window_at && r->at + size <= r->window_at + (int64_t)r->window.size;
    if (!is_there) {
        wanted = min_i64(max_i64(size, wanted), r->end - r->at);
        r->window.size = 0;
        r->window_at = r->at;
        buffer_reserve(&r->window, (size_t)wanted);
        while ((int64_t)r->window.size < wanted) {
            int64_t got = io_pread(r->piece->file, r->window.data + r->window.size, (size_t)wanted - r->window.size,
                                   r->piece->position + r->at + (int64_t)r->window.size);
            if (got <= 0)
                return NULL;
            r->window.size += (size_t)got;
        }
        r->read_bytes += wanted;
    }
    return r->window.data + (r->at - r->window_at);
}

bool reading__head(struct reading *r, const uint8_t **ret_head)
{
    if (!r->piece) {
        struct slice rest = r->inlined, batch;
        if (!record_batch_next(&rest, &batch) || batch.data[RECORD_BATCH_MAGIC_AT] != 2)
            return false;
        *ret_head = batch.data;
        return true;
    }
    const uint8_t *head = window(r, RECORD_BATCH_HEAD_BYTES, HEAD_WINDOW_BYTES);
    if (!head || head[RECORD_BATCH_MAGIC_AT] != 2 || record_batch_size(head) < RECORD_BATCH_HEAD_BYTES)
        return false;
    *ret_head = head;
    return true;
}

void reading__skip(struct reading *r)
{
    const uint8_t *head;
    if (!reading__head(r, &head))
        return;
    struct slice batch;
    if (r->piece)
        r->at += record_batch_size(head);
    else if (record_batch_next(&r->inlined, &batch))
        r->read_bytes += (int64_t)batch.size;
}

bool reading__batch(struct reading *r, struct slice *ret_batch)
{
    const uint8_t *head;
    if (!reading__head(r, &head))
        return false;
    if (!r->piece) {
        r->read_bytes += record_batch_size(head);
        return record_batch_next(&r->inlined, ret_batch);
    }
    int64_t size = record_batch_size(head);
    const uint8_t *bytes = window(r, size, WINDOW_BYTES);
    if (!bytes)
        return false;
    *ret_batch = slice_of(bytes, (size_t)size);
    r->at += size;
    return true;
}

void reading__free(struct reading *r)
{
    buffer_free(&r->window);
}
