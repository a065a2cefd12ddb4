// SPDX-License-Identifier: Apache-2.0
/* storage/compact_rule.c - what stays of one batch (as Apache Kafka's cleaner decides it; KIP-534 for the delete horizon).
 *
 *   a record stays   when it lies past what the map knows; else when no newer record has its key, and it has a value or the
 *                    batch's delete horizon is not over; never without a key, never in an aborted transaction
 *   a marker stays   while batches of its transaction do, and after that until its delete horizon is over
 *   a batch stays without records   when it holds its producer's last sequence, or ends the cleaned range
 *
 * A tombstone or an idle marker that is met without a delete horizon gets one: now and delete.retention.ms. A message of an
 * old format that loses a record or gets a horizon becomes a batch of format 2.
 */
#include "storage/compact__.h"

void compact_rule__free(struct compact_rule *rule)
{
    buffer_free(&rule->rewritten);
    buffer_free(&rule->keep);
    mem_free(rule->last_records);
}

static const struct last_record *last_record_of(const struct compact_rule *rule, int64_t producer_id)
{
    size_t low = 0, high = rule->last_record_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rule->last_records[middle].producer_id < producer_id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < rule->last_record_count && rule->last_records[low].producer_id == producer_id;
    return found ? &rule->last_records[low] : NULL;
}

static bool is_last_of_producer(const struct compact_rule *rule, const uint8_t *head, bool is_control)
{
    int64_t producer_id = record_batch_producer_id(head);
    const struct last_record *last = producer_id >= 0 ? last_record_of(rule, producer_id) : NULL;
    if (!last)
        return false;
    if (last->data_offset >= 0)
        return record_batch_next_offset(head) - 1 == last->data_offset;
    return is_control && record_batch_producer_epoch(head) == last->epoch;
}

/* What one batch is, and what was found out about its records. */
struct verdict {
    bool is_control, drops_all, is_idle_marker;
    int64_t horizon_ms; // as it has it; -1
    int32_t count, kept;
    bool has_tombstone; // among the kept
};

static bool record_stays(const struct compact_rule *rule, const struct verdict *verdict, const struct record *record)
{
    if (verdict->drops_all)
        return false;
    if (verdict->is_control || record->offset > rule->map->latest_offset)
        return true;
    if (slice_is_null(record->key) || record->offset < offset_map__get(rule->map, record->key))
        return false;
    return !slice_is_null(record->value) || verdict->horizon_ms < 0 || rule->now_ms < verdict->horizon_ms;
}

static struct status look_at_records(struct compact_rule *rule, struct slice batch, struct verdict *verdict)
{
    struct record_walk walk;
    struct record record;
    rule->keep.size = 0;
    record_walk_begin(&walk, batch);
    verdict->count = record_batch_count(walk.batch.data);
    while (record_walk_next(&walk, &record)) {
        bool stays = record_stays(rule, verdict, &record);
        buffer_append(&rule->keep, &stays, sizeof stays);
        verdict->kept += stays;
        verdict->has_tombstone |= stays && !verdict->is_control && slice_is_null(record.value);
    }
    bool is_whole = !walk.failed && rule->keep.size == (size_t)max_i64(verdict->count, 0) * sizeof(bool);
    record_walk_end(&walk);
    return is_whole ? STATUS_OK : STATUS(EBADMSG, "compact a batch: it does not hold what its head says");
}

static void judge(struct compact_rule *rule, struct slice batch, const uint8_t *head, struct verdict *verdict)
{
    *verdict = (struct verdict){.is_control = record_batch_attributes(head) & RECORD_ATTRIBUTE_CONTROL,
                                .horizon_ms = record_batch_delete_horizon(head)};
    if (!verdict->is_control) {
        verdict->drops_all = passing__batch_is_aborted(rule->passing, head);
        return;
    }
    verdict->is_idle_marker = passing__marker_is_idle(rule->passing, batch);
    verdict->drops_all = verdict->is_idle_marker && verdict->horizon_ms >= 0 && verdict->horizon_ms <= rule->now_ms;
}

struct status compact_rule__apply(struct compact_rule *rule, struct slice batch, const uint8_t *head,
                                  struct slice *ret_batch)
{
    struct verdict verdict;
    judge(rule, batch, head, &verdict);
    TRY(look_at_records(rule, batch, &verdict));
    bool stays_empty =
        is_last_of_producer(rule, head, verdict.is_control) || record_batch_next_offset(head) == rule->end_offset;
    *ret_batch = SLICE_NULL;
    if (verdict.kept == 0 && !stays_empty)
        return STATUS_OK;
    bool needs_horizon =
        verdict.kept > 0 && verdict.horizon_ms < 0 && (verdict.has_tombstone || verdict.is_idle_marker);
    if (verdict.kept == verdict.count && !needs_horizon) {
        *ret_batch = batch;
        return STATUS_OK;
    }
    int64_t horizon_ms = needs_horizon ? rule->now_ms + rule->delete_retention_ms : -1;
    TRY(record_batch_keep(batch, (const bool *)rule->keep.data, horizon_ms, &rule->rewritten));
    *ret_batch = slice_of(rule->rewritten.data, rule->rewritten.size);
    return STATUS_OK;
}
