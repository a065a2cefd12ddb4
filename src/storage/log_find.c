// SPDX-License-Identifier: Apache-2.0
/* storage/log_find.c - offsets by time: the time index says where to start, the records themselves give the answer.
 *
 * The index knows batches, so the batch that is found is read and, if need be, decompressed, to find the record.
 */
#include "storage/storage__.h"

struct time_search {
    struct log_segment *segment;
    int64_t timestamp_ms, start_offset, limit_offset;
    bool exact; // of that very time, not at or after
    int64_t offset, found_ms;
    int32_t leader_epoch;
    struct buffer batch;
    struct status status;
};

static void search_records(struct time_search *search)
{
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, slice_of(search->batch.data, search->batch.size));
    while (search->offset < 0 && record_walk_next(&walk, &record)) {
        int64_t time_ms = record.timestamp_ms;
        if (time_ms < search->timestamp_ms || (search->exact && time_ms != search->timestamp_ms) ||
            record.offset < search->start_offset)
            continue;
        search->offset = record.offset;
        search->found_ms = time_ms;
        search->leader_epoch = record_batch_leader_epoch(walk.batch.data);
    }
    if (walk.failed)
        search->status = STATUS(EBADMSG, "walk the records of a batch");
    record_walk_end(&walk);
}

static bool search_head(void *context, const uint8_t *head, int64_t position)
{
    struct time_search *search = context;
    if (record_batch_base_offset(head) >= search->limit_offset)
        return false;
    if (record_batch_max_timestamp(head) < search->timestamp_ms ||
        record_batch_next_offset(head) <= search->start_offset)
        return true;
    search->status = segment__read_batch(search->segment, position, record_batch_size(head), &search->batch);
    if (status_is_ok(search->status))
        search_records(search);
    return status_is_ok(search->status) && search->offset < 0;
}

static struct status search_segment(struct log *log, struct time_search *search)
{
    int64_t from_offset, position, size = segment__size(search->segment);
    TRY(index__offset_by_time(search->segment, search->timestamp_ms, &from_offset));
    TRY(index__position(search->segment, max_i64(from_offset, log_start_offset(log)), &position));
    TRY(segment__heads(search->segment, min_i64(position, size), size, search_head, search, NULL));
    return search->status;
}

/* Calls for each segment from the one with `offset` on, until false or a failure. */
typedef bool segment_fn(struct log *log, struct log_segment *segment, void *context, struct status *ret_status);

static struct status each_segment(struct log *log, int64_t offset, int64_t limit_offset, segment_fn *each,
                                  void *context)
{
    struct log_view view;
    log__view(log, offset, limit_offset, &view);
    struct status s = STATUS_OK;
    for (struct log_segment *segment = view.segment; segment;) {
        bool more = segment->base_offset < limit_offset && each(log, segment, context, &s);
        struct log_segment *next = more && status_is_ok(s) ? log__segment_after(log, segment->base_offset) : NULL;
        segment__unref(segment);
        segment = next;
    }
    return s;
}

static bool try_segment(struct log *log, struct log_segment *segment, void *context, struct status *ret_status)
{
    struct time_search *search = context;
    int64_t largest_ms, at;
    *ret_status = segment__max_timestamp(segment, &largest_ms, &at);
    if (!status_is_ok(*ret_status) || largest_ms < search->timestamp_ms)
        return true;
    search->segment = segment;
    *ret_status = search_segment(log, search);
    return search->offset < 0;
}

static void answer(struct time_search *search, int64_t *ret_offset, int64_t *ret_timestamp_ms,
                   int32_t *ret_leader_epoch)
{
    bool found = search->offset >= 0 && search->offset < search->limit_offset;
    *ret_offset = found ? search->offset : -1;
    *ret_timestamp_ms = found ? search->found_ms : -1;
    *ret_leader_epoch = found ? search->leader_epoch : -1;
    buffer_free(&search->batch);
}

struct status log_find_by_time(struct log *log, int64_t timestamp_ms, int64_t limit_offset, int64_t *ret_offset,
                               int64_t *ret_timestamp_ms, int32_t *ret_leader_epoch)
{
    struct time_search search = {.timestamp_ms = timestamp_ms,
                                 .start_offset = log_start_offset(log),
                                 .limit_offset = min_i64(limit_offset, log_end_offset(log)),
                                 .offset = -1,
                                 .leader_epoch = -1};
    struct status s = each_segment(log, search.start_offset, search.limit_offset, try_segment, &search);
    answer(&search, ret_offset, ret_timestamp_ms, ret_leader_epoch);
    return s;
}

/* ---- the largest timestamp */
struct largest {
    int64_t timestamp_ms, segment_base, limit_offset, start_offset;
};

static bool largest_head(void *context, const uint8_t *head, int64_t position)
{
    (void)position;
    struct largest *largest = context;
    if (record_batch_next_offset(head) > largest->limit_offset)
        return false;
    if (record_batch_next_offset(head) > largest->start_offset)
        largest->timestamp_ms = max_i64(largest->timestamp_ms, record_batch_max_timestamp(head));
    return true;
}

/* A segment that the limit or the start cuts is read by its heads; of others the index knows. */
static bool largest_of_segment(struct log *log, struct log_segment *segment, void *context, struct status *ret_status)
{
    struct largest *largest = context;
    struct largest here = {-1, segment->base_offset, largest->limit_offset, largest->start_offset};
    int64_t at, size = segment__size(segment);
    *ret_status = segment__max_timestamp(segment, &here.timestamp_ms, &at);
    if (!status_is_ok(*ret_status) || here.timestamp_ms <= largest->timestamp_ms)
        return true;
    if (at >= largest->limit_offset || segment->base_offset < largest->start_offset) {
        here.timestamp_ms = -1;
        *ret_status = segment__heads(segment, 0, size, largest_head, &here, NULL);
    }
    if (here.timestamp_ms > largest->timestamp_ms) {
        largest->timestamp_ms = here.timestamp_ms;
        largest->segment_base = here.segment_base;
    }
    return true;
}

struct status log_find_max_timestamp(struct log *log, int64_t limit_offset, int64_t *ret_offset,
                                     int64_t *ret_timestamp_ms, int32_t *ret_leader_epoch)
{
    struct largest largest = {-1, -1, min_i64(limit_offset, log_end_offset(log)), log_start_offset(log)};
    struct time_search search = {.start_offset = largest.start_offset,
                                 .limit_offset = largest.limit_offset,
                                 .exact = true,
                                 .offset = -1,
                                 .leader_epoch = -1};
    struct status s = each_segment(log, largest.start_offset, largest.limit_offset, largest_of_segment, &largest);
    if (status_is_ok(s) && largest.timestamp_ms >= 0) {
        search.timestamp_ms = largest.timestamp_ms;
        s = each_segment(log, max_i64(largest.segment_base, largest.start_offset), search.limit_offset, try_segment,
                         &search);
    }
    answer(&search, ret_offset, ret_timestamp_ms, ret_leader_epoch);
    return s;
}
