// SPDX-License-Identifier: Apache-2.0
/* storage/log_read.c - the read path: which bytes of which file hold the batches asked for. Nothing is copied.
 *
 * The ends of recent flushes and appends are remembered with their positions, so a consumer at the tail costs no look-up;
 * others cost one search of the index and a few heads. A slice lies in one segment and never beyond the end that was
 * published when the segment was taken.
 */
#include "storage/storage__.h"

enum { HOT_BYTES = 8 << 20 };

/* The first batch of the answer; empty when the segment has none left. */
static struct status find_start(const struct log_view *view, int64_t offset, struct segment_place *ret_place)
{
    const struct log_mark *mark = &view->from;
    if (mark->offset != offset || mark->segment_base != view->segment->base_offset ||
        mark->position >= view->size_bytes)
        return segment__find(view->segment, offset, view->size_bytes, ret_place);
    uint8_t head[RECORD_BATCH_HEAD_BYTES];
    TRY(segment_file__read(view->segment, SEGMENT_LOG, head, sizeof head, mark->position));
    if (record_batch_base_offset(head) != offset)
        return segment__find(view->segment, offset, view->size_bytes, ret_place);
    *ret_place =
        (struct segment_place){mark->position, record_batch_size(head), offset, record_batch_next_offset(head)};
    return STATUS_OK;
}

/* File position behind the last batch that ends at or below `limit_offset`. */
static struct status find_limit(const struct log_view *view, int64_t limit_offset, int64_t *ret_position)
{
    *ret_position = view->size_bytes;
    bool limit_is_behind = view->limit.offset == limit_offset && view->limit.segment_base > view->segment->base_offset;
    if (limit_offset >= view->end_offset || limit_is_behind)
        return STATUS_OK;
    if (view->limit.offset == limit_offset && view->limit.segment_base == view->segment->base_offset) {
        *ret_position = min_i64(view->limit.position, view->size_bytes);
        return STATUS_OK;
    }
    struct segment_place place;
    TRY(segment__find(view->segment, limit_offset, view->size_bytes, &place));
    *ret_position = place.position;
    return STATUS_OK;
}

struct cut {
    int64_t from, size_max, limit, position, next_offset;
};

static bool cut_head(void *context, const uint8_t *head, int64_t position)
{
    struct cut *cut = context;
    int64_t end = position + record_batch_size(head);
    if (end > cut->limit || (end - cut->from > cut->size_max && position > cut->from))
        return false;
    cut->position = end;
    cut->next_offset = record_batch_next_offset(head);
    return true;
}

/* After a clean stop nobody looked at the heads in the middle of a segment. */
static struct status check_order(const struct segment_place *first, const struct cut *cut, int64_t limit_offset)
{
    bool is_sane = cut->next_offset >= first->next_offset && cut->next_offset <= limit_offset;
    return is_sane ? STATUS_OK : STATUS(EBADMSG, "read a segment: its offsets are not in order");
}

/* How many whole batches from `first` on fit. */
static struct status fit(const struct log_view *view, const struct segment_place *first, int64_t limit,
                         int64_t size_max, struct cut *ret_cut)
{
    *ret_cut = (struct cut){.from = first->position,
                            .size_max = size_max,
                            .limit = limit,
                            .position = first->position + first->size_bytes,
                            .next_offset = first->next_offset};
    // From the last indexed batch that can be among them; when that one does not fit whole, from the one before it.
    for (int64_t near = min_i64(limit, first->position + size_max) + 1; near > first->position + first->size_bytes;) {
        TRY(index__position_below(view->segment, near - 1, &near));
        int64_t from = max_i64(near, first->position + first->size_bytes);
        TRY(segment__heads(view->segment, from, limit, cut_head, ret_cut, NULL));
        if (ret_cut->position > from)
            break;
    }
    return STATUS_OK;
}

static struct status read_segment(const struct log_view *view, int64_t offset, int64_t limit_offset, uint32_t size_max,
                                  bool at_least_one, struct log_slice *ret_slice, bool *ret_exhausted)
{
    struct segment_place first;
    int64_t limit;
    TRY(find_start(view, offset, &first));
    *ret_exhausted = first.position >= view->size_bytes;
    if (*ret_exhausted)
        return STATUS_OK;
    TRY(find_limit(view, limit_offset, &limit));
    if (first.position + first.size_bytes > limit || first.next_offset > limit_offset)
        return STATUS_OK;
    if (first.size_bytes > (int64_t)size_max && !at_least_one)
        return STATUS_OK;
    struct cut cut;
    int handle;
    TRY(fit(view, &first, limit, size_max, &cut));
    TRY(check_order(&first, &cut, limit_offset));
    TRY(segment_file__get(view->segment, SEGMENT_LOG, 0, &handle));
    *ret_slice = (struct log_slice){
        .segment = view->segment,
        .file = handle,
        .position = first.position,
        .size_bytes = (uint32_t)(cut.position - first.position),
        .base_offset = first.base_offset,
        .next_offset = cut.next_offset,
        .is_hot = view->is_active && view->size_bytes - first.position <= HOT_BYTES,
    };
    return STATUS_OK;
}

/* Segment after segment: compaction may have left nothing behind `offset` in the one where it would be. */
static struct status read_from(struct log *log, int64_t offset, int64_t limit_offset, uint32_t size_max,
                               bool at_least_one, struct log_slice *ret_slice)
{
    for (int64_t at = offset; at >= 0 && at < limit_offset;) {
        struct log_view view;
        bool exhausted = false;
        log__view(log, at, limit_offset, &view);
        struct status s = read_segment(&view, offset, min_i64(limit_offset, view.end_offset), size_max, at_least_one,
                                       ret_slice, &exhausted);
        if (ret_slice->segment)
            return STATUS_OK; // the slice holds it
        struct log_segment *next =
            status_is_ok(s) && exhausted ? log__segment_after(log, view.segment->base_offset) : NULL;
        at = next ? next->base_offset : -1;
        segment__unref(next);
        segment__unref(view.segment);
        TRY(s);
    }
    return STATUS_OK;
}

enum log_read_result log_read(struct log *log, int64_t offset, int64_t limit_offset, uint32_t size_max,
                              bool at_least_one, struct log_slice *ret_slice)
{
    *ret_slice = (struct log_slice){.base_offset = offset, .next_offset = offset};
    if (offset < log_start_offset(log) || offset > log_end_offset(log))
        return LOG_READ_OUT_OF_RANGE;
    struct status s = read_from(log, offset, limit_offset, size_max, at_least_one, ret_slice);
    if (status_is_ok(s))
        return LOG_READ_OK;
    if (log_is_offline(log)) // that was told when it came about; the files may be gone
        return LOG_READ_FAILED;
    LOG(LOG_ERROR, "storage", "reading %s at %lld failed: %s: %s", log->directory, (long long)offset, s.what,
        strerror(s.error));
    return LOG_READ_FAILED;
}

void log_slice_release(struct log_slice *slice)
{
    if (slice->segment)
        segment_file__put(slice->segment, SEGMENT_LOG);
    segment__unref(slice->segment);
    *slice = (struct log_slice){0};
}
