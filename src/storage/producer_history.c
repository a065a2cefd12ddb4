// SPDX-License-Identifier: Apache-2.0
/* storage/producer_history.c - the batches of a producer before its last one, from the log.
 *
 * Kafka's snapshot keeps only the last batch of a producer, live state keeps five. So that a retry is answered the same
 * before and after a restart, the four before are looked up once, when a retry asks: heads of batches are read backwards
 * from the last one in growing windows, through at most HISTORY_BYTES of a segment and the one before it. Producers keep
 * at most five requests in flight, so the batches lie close together; what is farther away stays unknown, and such a
 * retry is refused as out of order.
 */
#include "storage/storage__.h"

enum { HISTORY_FIRST_BYTES = 256 << 10, HISTORY_BYTES = 16 << 20, WANTED = PRODUCER_BATCHES - 1 };

struct history {
    int64_t id;
    int16_t epoch;
    int count; // newest last
    struct producer_batch batches[WANTED];
};

static bool history_head(void *context, const uint8_t *head, int64_t position)
{
    (void)position;
    struct history *history = context;
    if (record_batch_producer_id(head) != history->id || record_batch_producer_epoch(head) != history->epoch ||
        (record_batch_attributes(head) & RECORD_ATTRIBUTE_CONTROL))
        return true;
    if (history->count == WANTED)
        memmove(&history->batches[0], &history->batches[1], (WANTED - 1) * sizeof history->batches[0]);
    else
        history->count++;
    int32_t delta = record_batch_last_delta(head);
    history->batches[history->count - 1] = (struct producer_batch){
        .base_sequence = record_batch_base_sequence(head),
        .last_sequence = producers__sequence_add(record_batch_base_sequence(head), delta),
        .last_offset = record_batch_base_offset(head) + delta,
        .offset_delta = delta,
        .timestamp_ms = record_batch_max_timestamp(head),
    };
    return true;
}

/* The last batches below `limit` of a segment. */
static struct status look_back(struct log_segment *segment, int64_t limit, struct history *history)
{
    for (int64_t window = HISTORY_FIRST_BYTES;; window = HISTORY_BYTES) {
        int64_t from = 0;
        if (limit > window)
            TRY(index__position_below(segment, limit - window, &from));
        history->count = 0;
        if (limit - from <= 2 * (int64_t)HISTORY_BYTES) // a segment without an index is not read whole
            TRY(segment__heads(segment, from, limit, history_head, history, NULL));
        if (history->count == WANTED || from == 0 || window == HISTORY_BYTES)
            return STATUS_OK;
    }
}

static struct status look_back_through(struct log *log, int64_t before_offset, struct history *history)
{
    struct log_view view;
    log__view(log, before_offset, INT64_MAX, &view);
    struct segment_place place;
    struct status s = segment__find(view.segment, before_offset, view.size_bytes, &place);
    if (status_is_ok(s))
        s = look_back(view.segment, place.position, history);
    int64_t base = view.segment->base_offset;
    segment__unref(view.segment);
    TRY(s);
    if (history->count == WANTED || base <= log_start_offset(log) || base == 0)
        return STATUS_OK;
    struct history older = {.id = history->id, .epoch = history->epoch};
    log__view(log, base - 1, INT64_MAX, &view);
    if (view.segment->base_offset < base)
        s = look_back(view.segment, view.size_bytes, &older);
    segment__unref(view.segment);
    TRY(s);
    struct history newer = *history;
    *history = older;
    for (int i = 0; i < newer.count; i++) {
        if (history->count == WANTED)
            memmove(&history->batches[0], &history->batches[1], (WANTED - 1) * sizeof history->batches[0]);
        else
            history->count++;
        history->batches[history->count - 1] = newer.batches[i];
    }
    return STATUS_OK;
}

struct status producers__history_load(struct log *log, struct producer *producer)
{
    assert(producer->history_is_cut && producer->batch_count > 0);
    struct history history = {.id = producer->id, .epoch = producer->epoch};
    const struct producer_batch *oldest = &producer->batches[0];
    TRY(look_back_through(log, oldest->last_offset - oldest->offset_delta, &history));
    struct producer_batch known[PRODUCER_BATCHES];
    int known_count = producer->batch_count;
    memcpy(known, producer->batches, sizeof known);
    producer->batch_count = 0;
    producer->history_is_cut = false;
    for (int i = 0; i < history.count; i++)
        producers__remember(producer, &history.batches[i]);
    for (int i = 0; i < known_count; i++)
        producers__remember(producer, &known[i]);
    return STATUS_OK;
}
