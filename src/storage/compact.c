// SPDX-License-Identifier: Apache-2.0
/* storage/compact.c - one compaction of one log: what it covers, its two passes, and what it writes.
 *
 *   map    the dirty part is read from its start: the newest offset of each key, until the map is full or the part ends
 *   copy   every segment from the log's start to where the map ends is read again, and what the rule keeps is written into
 *          new ones beside them (<base>.log.cleaned), as many into one as segment.bytes and the indexes hold
 *
 * Only sealed segments below the limit are touched, so what is read never changes meanwhile. Both passes go on in pieces,
 * for a caller that has other work and a budget of bytes a second. A fault leaves the log as it was.
 */
#include "storage/compaction__.h"

#include <stdlib.h>

enum { OUTPUT_BUFFER_BYTES = 1 << 20 };

/* ---- what is dirty, and how much of it may be cleaned now */
static int segment_of(const struct log *log, int64_t offset)
{
    int at = log->segment_count - 1;
    while (at > 0 && log->segments[at]->base_offset > offset)
        at--;
    return at;
}

static int64_t first_dirty(const struct log *log)
{
    int64_t start = log_start_offset(log), given = log_first_dirty_offset(log);
    return given < start || given > log_end_offset(log) ? start : given;
}

/* Index of the first segment that may not be cleaned yet: the active one, one that reaches past the limit, one whose newest
 * record is younger than min.compaction.lag.ms. */
static struct status uncleanable(struct log *log, int from, int64_t limit_offset, int64_t now_ms, int *ret_at)
{
    int at = from;
    for (; at + 1 < log->segment_count && log->segments[at + 1]->base_offset <= limit_offset; at++) {
        int64_t timestamp_ms, offset;
        if (log->config.min_compaction_lag_ms <= 0)
            continue;
        TRY(segment__max_timestamp(log->segments[at], &timestamp_ms, &offset));
        if (timestamp_ms > now_ms - log->config.min_compaction_lag_ms)
            break;
    }
    *ret_at = at;
    return STATUS_OK;
}

static struct status oldest_dirty_ms(const struct log *log, int from, int64_t *ret_ms)
{
    *ret_ms = INT64_MAX;
    for (int i = from; i + 1 < log->segment_count; i++) {
        int64_t first_ms;
        TRY(segment__first_timestamp(log->segments[i], &first_ms));
        if (first_ms > 0)
            *ret_ms = min_i64(*ret_ms, first_ms);
    }
    return STATUS_OK;
}

struct status log_dirt(struct log *log, int64_t limit_offset, int64_t now_ms, struct log_dirt *ret_dirt)
{
    struct log_dirt dirt = {0};
    int from = segment_of(log, first_dirty(log)), to;
    TRY(uncleanable(log, from, limit_offset, now_ms, &to));
    for (int i = 0; i < from; i++)
        dirt.clean_bytes += segment__size(log->segments[i]);
    for (int i = from; i < to; i++)
        dirt.cleanable_bytes += segment__size(log->segments[i]);
    int64_t total = dirt.clean_bytes + dirt.cleanable_bytes, oldest_ms;
    TRY(oldest_dirty_ms(log, from, &oldest_ms));
    bool is_dirty = total > 0 && (double)dirt.cleanable_bytes > log->config.min_cleanable_dirty_ratio * (double)total;
    bool is_late = oldest_ms != INT64_MAX && oldest_ms < now_ms - max_i64(log->config.max_compaction_lag_ms, 0);
    dirt.is_due = dirt.cleanable_bytes > 0 && (is_dirty || is_late);
    *ret_dirt = dirt;
    return STATUS_OK;
}

/* ---- beginning */
static int by_producer_id(const void *a, const void *b)
{
    int64_t left = ((const struct last_record *)a)->producer_id, right = ((const struct last_record *)b)->producer_id;
    return (left > right) - (left < right);
}

static void note_last_records(const struct log *log, struct compact_rule *rule)
{
    rule->last_records = mem_alloc((log->producers.count + 1) * sizeof *rule->last_records);
    for (struct hash_node *node = NULL; (node = hash_iterate(&log->producers, node));) {
        const struct producer *producer = CONTAINER_OF(node, struct producer, in_producers);
        int64_t data = producer->batch_count > 0 ? producer->batches[producer->batch_count - 1].last_offset : -1;
        rule->last_records[rule->last_record_count++] = (struct last_record){producer->id, data, producer->epoch};
    }
    if (rule->last_record_count > 1)
        qsort(rule->last_records, rule->last_record_count, sizeof *rule->last_records, by_producer_id);
}

static void hold_segments(struct log_compaction *compaction, int count)
{
    struct log *log = compaction->log;
    compaction->segments = mem_alloc((size_t)count * sizeof(struct log_segment *));
    for (int i = 0; i < count; i++) {
        segment__ref(log->segments[i]);
        compaction->segments[compaction->segment_count++] = log->segments[i];
    }
    compaction->limit_offset = log->segments[count]->base_offset;
}

struct status log_compaction_begin(struct log *log, const struct log_compaction_options *options,
                                   struct log_compaction **ret_compaction)
{
    *ret_compaction = NULL;
    if (log_is_offline(log))
        return STATUS(EIO, "compact a log that is offline");
    int64_t dirty = first_dirty(log);
    int from = segment_of(log, dirty), to;
    TRY(uncleanable(log, from, options->limit_offset, options->now_ms, &to));
    if (to == from)
        return STATUS_OK;
    struct log_compaction *compaction = mem_zalloc(sizeof *compaction);
    compaction->log = log;
    compaction->config = log->config;
    compaction->first_dirty_offset = dirty;
    compaction->now_ms = options->now_ms;
    compaction->at = from;
    hold_segments(compaction, to);
    for (int i = to; i < log->segment_count; i++) { // markers that decide what lies below
        struct status s = transactions__index_read(log->segments[i], &compaction->passing.aborted);
        if (!status_is_ok(s)) {
            log_compaction_free(compaction);
            return s;
        }
    }
    hash_init(&compaction->passing.transactions);
    note_last_records(log, &compaction->rule);
    offset_map__init(&compaction->map, options->map_bytes_max, options->map_load_factor,
                     compaction->limit_offset - dirty);
    *ret_compaction = compaction;
    return STATUS_OK;
}

/* ---- reading */
static void enter(struct log_compaction *compaction, int at)
{
    compaction->at = at;
    compaction->is_inside = at < compaction->segment_count;
    if (compaction->is_inside)
        window__begin(&compaction->window, compaction->segments[at], 0, segment__size(compaction->segments[at]));
}

static struct status next_batch(struct log_compaction *compaction, struct slice *ret_batch, const uint8_t **ret_head)
{
    TRY(window__batch(&compaction->window, ret_batch, ret_head));
    if (slice_is_null(*ret_batch))
        return STATUS(EBADMSG, "compact a segment: it holds something that is no intact batch");
    compaction->window.position += (int64_t)ret_batch->size;
    return STATUS_OK;
}

/* ---- the first pass */
static bool map_records(struct log_compaction *compaction, struct slice batch)
{
    struct record_walk walk;
    struct record record;
    bool fits = true;
    record_walk_begin(&walk, batch);
    while (fits && record_walk_next(&walk, &record)) {
        if (slice_is_null(record.key) || record.offset < compaction->first_dirty_offset)
            continue;
        fits = offset_map__put(&compaction->map, record.key, record.offset);
        if (fits)
            compaction->map.latest_offset = record.offset;
    }
    compaction->is_unreadable |= walk.failed;
    record_walk_end(&walk);
    return fits;
}

/* False when the map is full. */
static bool map_batch(struct log_compaction *compaction, struct slice batch, const uint8_t *head)
{
    bool is_control = record_batch_attributes(head) & RECORD_ATTRIBUTE_CONTROL;
    bool is_aborted = !is_control && passing__batch_is_aborted(&compaction->passing, head);
    if (is_control)
        passing__marker_is_idle(&compaction->passing, batch);
    else if (!is_aborted && !map_records(compaction, batch))
        return false;
    int64_t last = record_batch_next_offset(head) - 1;
    if (last >= compaction->first_dirty_offset)
        compaction->map.latest_offset = max_i64(compaction->map.latest_offset, last);
    return true;
}

/* What the map covers is the range of the second pass; all of it, unless the map got full. One that does not hold a batch
 * would never get on. */
static struct status map_end(struct log_compaction *compaction, bool is_full)
{
    struct compact_rule *rule = &compaction->rule;
    if (is_full && compaction->map.latest_offset < 0)
        return STATUS(E2BIG, "compact a log: log.cleaner.dedupe.buffer.size is too small for one batch of it");
    rule->end_offset = compaction->map.latest_offset + 1;
    compaction->next_dirty_offset = is_full ? rule->end_offset : compaction->limit_offset;
    while (compaction->segment_count > 0 &&
           compaction->segments[compaction->segment_count - 1]->base_offset >= rule->end_offset)
        segment__unref(compaction->segments[--compaction->segment_count]);
    rule->map = &compaction->map;
    rule->passing = &compaction->passing;
    rule->now_ms = compaction->now_ms;
    rule->delete_retention_ms = compaction->config.delete_retention_ms;
    passing__rewind(&compaction->passing);
    compaction->is_copying = true;
    enter(compaction, 0);
    return STATUS_OK;
}

static struct status map_piece(struct log_compaction *compaction)
{
    if (!compaction->is_inside)
        enter(compaction, compaction->at);
    if (!compaction->is_inside)
        return map_end(compaction, false);
    if (compaction->window.position == compaction->window.limit) {
        enter(compaction, compaction->at + 1);
        return STATUS_OK;
    }
    struct slice batch;
    const uint8_t *head;
    TRY(next_batch(compaction, &batch, &head));
    bool fits = map_batch(compaction, batch, head);
    if (compaction->is_unreadable)
        return STATUS(EBADMSG, "compact a batch: it does not hold what its head says");
    return fits ? STATUS_OK : map_end(compaction, true);
}

/* ---- the second pass */
static struct status index_bytes(struct log_segment *segment, int64_t *offset_entries, int64_t *time_entries)
{
    int64_t count;
    TRY(index__entries(segment, INDEX_OFFSET, &count));
    *offset_entries += count;
    TRY(index__entries(segment, INDEX_TIME, &count));
    *time_entries += count;
    return STATUS_OK;
}

/* How many segments from `from` on go into one. */
static struct status group_size(const struct log_compaction *compaction, int from, int *ret_count)
{
    const struct log_config *config = &compaction->config;
    int64_t size = segment__size(compaction->segments[from]), offsets = 0, times = 0;
    int to = from + 1;
    TRY(index_bytes(compaction->segments[from], &offsets, &times));
    for (; to < compaction->segment_count; to++) {
        struct log_segment *next = compaction->segments[to];
        int64_t end =
            to + 1 < compaction->segment_count ? compaction->segments[to + 1]->base_offset : compaction->limit_offset;
        size += segment__size(next);
        TRY(index_bytes(next, &offsets, &times));
        if (size > config->segment_bytes || offsets * 8 > config->segment_index_bytes ||
            times * 12 > config->segment_index_bytes || end - 1 - compaction->segments[from]->base_offset > INT32_MAX)
            break;
    }
    *ret_count = to - from;
    return STATUS_OK;
}

static struct status output_flush(struct log_compaction *compaction, struct compaction_output *output)
{
    struct buffer *bytes = &compaction->unwritten;
    int64_t at = segment__size(output->segment) - (int64_t)bytes->size;
    TRY(segment_file__write(output->segment, SEGMENT_LOG, bytes->data, bytes->size, at));
    bytes->size = 0;
    return STATUS_OK;
}

static struct status output_begin(struct log_compaction *compaction)
{
    int count;
    TRY(group_size(compaction, compaction->at, &count));
    struct compaction_output output = {.first = compaction->at, .count = count};
    TRY(segment__create_cleaned(compaction->log, compaction->segments[compaction->at]->base_offset, compaction->now_ms,
                                &output.segment));
    compaction->outputs = mem_realloc(compaction->outputs, (size_t)(compaction->output_count + 1) * sizeof output);
    compaction->outputs[compaction->output_count++] = output;
    compaction->passing.kept = &compaction->kept;
    return STATUS_OK;
}

static struct status output_add(struct log_compaction *compaction, struct slice batch)
{
    struct compaction_output *output = &compaction->outputs[compaction->output_count - 1];
    struct log_segment *segment = output->segment;
    uint8_t room[RECORD_BATCH_HEAD_BYTES];
    const uint8_t *head = record_stored_head(batch, room);
    assert(head);
    int64_t position = segment__size(segment), last = record_batch_next_offset(head) - 1;
    TRY(index__note(segment, &compaction->config, last, position, (int64_t)batch.size,
                    record_batch_max_timestamp(head)));
    buffer_append(&compaction->unwritten, batch.data, batch.size);
    atomic_store(&segment->size_bytes, position + (int64_t)batch.size);
    return compaction->unwritten.size >= OUTPUT_BUFFER_BYTES ? output_flush(compaction, output) : STATUS_OK;
}

/* All of it on the disk, so that swapping it in is a matter of names. */
static struct status output_end(struct log_compaction *compaction)
{
    struct compaction_output *output = &compaction->outputs[compaction->output_count - 1];
    struct log_segment *segment = output->segment;
    TRY(output_flush(compaction, output));
    TRY(index__last_time(segment));
    TRY(index__sync(segment));
    TRY(transactions__index_write(segment, &compaction->kept));
    compaction->kept.count = 0;
    TRY(segment_file__sync(segment, SEGMENT_LOG));
    atomic_store(&segment->synced, true);
    return file__sync_dir_of(segment->stem);
}

static bool ends_output(const struct log_compaction *compaction, int at)
{
    const struct compaction_output *output = &compaction->outputs[compaction->output_count - 1];
    return at + 1 == output->first + output->count;
}

static struct status copy_piece(struct log_compaction *compaction)
{
    int at = compaction->at;
    bool begins = compaction->output_count == 0 || at == compaction->outputs[compaction->output_count - 1].first +
                                                             compaction->outputs[compaction->output_count - 1].count;
    if (begins)
        TRY(output_begin(compaction));
    if (compaction->window.position == compaction->window.limit) {
        if (ends_output(compaction, at))
            TRY(output_end(compaction));
        enter(compaction, at + 1);
        return STATUS_OK;
    }
    struct slice batch, kept;
    const uint8_t *head;
    TRY(next_batch(compaction, &batch, &head));
    TRY(compact_rule__apply(&compaction->rule, batch, head, &kept));
    return slice_is_null(kept) ? STATUS_OK : output_add(compaction, kept);
}

static struct status step(struct log_compaction *compaction, int64_t bytes_max, int64_t *ret_bytes, bool *ret_done)
{
    int64_t done_bytes = 0;
    if (!compaction->is_prepared) { // reads files: not in begin, which holds the turn
        for (int i = 0; i < compaction->segment_count; i++)
            TRY(transactions__index_read(compaction->segments[i], &compaction->passing.aborted));
        passing__sort(&compaction->passing);
        compaction->is_prepared = true;
    }
    while (done_bytes < bytes_max && !(compaction->is_copying && !compaction->is_inside)) {
        int64_t before = compaction->window.position;
        TRY(compaction->is_copying ? copy_piece(compaction) : map_piece(compaction));
        done_bytes += max_i64(compaction->window.position - before, 1);
    }
    *ret_bytes = done_bytes;
    *ret_done = compaction->is_copying && !compaction->is_inside;
    return STATUS_OK;
}

/* Retention may have taken segments away meanwhile, and their files: the end will find so. */
static bool is_stale(const struct log_compaction *compaction)
{
    for (int i = 0; i < compaction->segment_count; i++)
        if (atomic_load(&compaction->segments[i]->is_gone))
            return true;
    return false;
}

struct status log_compaction_step(struct log_compaction *compaction, int64_t bytes_max, int64_t *ret_bytes,
                                  bool *ret_done)
{
    struct status s = step(compaction, bytes_max, ret_bytes, ret_done);
    if (status_is_ok(s) || !is_stale(compaction))
        return s;
    compaction->is_copying = true;
    compaction->is_inside = false;
    *ret_bytes = 1;
    *ret_done = true;
    return STATUS_OK;
}

void log_compaction_free(struct log_compaction *compaction)
{
    if (!compaction)
        return;
    for (int i = 0; i < compaction->output_count; i++) {
        struct compaction_output *output = &compaction->outputs[i];
        if (!output->is_placed)
            segment__unlink(output->segment);
        segment__unref(output->segment);
    }
    for (int i = 0; i < compaction->segment_count; i++)
        segment__unref(compaction->segments[i]);
    compact_rule__free(&compaction->rule);
    passing__free(&compaction->passing);
    offset_map__free(&compaction->map);
    window__free(&compaction->window);
    buffer_free(&compaction->unwritten);
    mem_free(compaction->kept.items);
    mem_free(compaction->outputs);
    mem_free(compaction->segments);
    mem_free(compaction);
}
