// SPDX-License-Identifier: Apache-2.0
/* ctrl/partition.c - one new partition: its record, and the rules of an assignment by hand.
 *
 * All live replicas are in its first ISR and the first of them leads it, at leader epoch and partition epoch 0.
 */
#include "ctrl/ctrl__.h"

#include <stdlib.h>

enum { DIRECTORIES_SINCE = 17 }; // metadata.version 3.7-IV2

void ctrl__refuse(struct ctrl_result *result, int16_t error, struct slice message)
{
    assert(error != KAFKA_NONE);
    *result = (struct ctrl_result){error, message};
}

const char ctrl_quota_exceeded[] = "The throttling quota has been exceeded.";

void ctrl__allowance_take(struct ctrl *ctrl, const struct ctrl_allowance *allowance, int32_t partitions,
                          int64_t *coming, struct ctrl_result *result)
{
    int64_t there = meta_builder_view(ctrl->builder)->partition_count + *coming;
    if (result->error != KAFKA_NONE)
        return;
    if (there + partitions > meta_settings_i64(ctrl->settings, "ottla.partitions.max")) {
        ctrl__refuse(result, KAFKA_POLICY_VIOLATION,
                     slice_str("The cluster would have more partitions than ottla.partitions.max."));
        atomic_fetch_add(&ctrl->growth_refused, 1);
    } else if (allowance && !allowance->take(allowance->context, partitions)) {
        ctrl__refuse(result, KAFKA_THROTTLING_QUOTA_EXCEEDED, slice_str(ctrl_quota_exceeded));
    } else {
        *coming += partitions;
    }
}

uint64_t ctrl_growth_refused(const struct ctrl *ctrl)
{
    return atomic_load(&ctrl->growth_refused);
}

uint64_t ctrl_unclean_elections(const struct ctrl *ctrl)
{
    return atomic_load(&ctrl->unclean_elections);
}

int32_t ctrl__active_count(const struct meta_image *image, const int32_t *replicas, int32_t count)
{
    int32_t active = 0;
    for (int32_t i = 0; i < count; i++)
        active += ctrl__broker_is_active(meta_broker(image, replicas[i]));
    return active;
}

void ctrl__partition_add(const struct meta_image *image, const struct ctrl__new_partition *partition,
                         struct ctrl__directories *directories, struct ctrl__records *records)
{
    int32_t count = partition->replica_count;
    int32_t *isr = mem_alloc((size_t)count * sizeof *isr), isr_count = 0;
    struct uuid *places = mem_alloc((size_t)count * sizeof *places);
    for (int32_t i = 0; i < count; i++) {
        if (ctrl__broker_is_active(meta_broker(image, partition->replicas[i])))
            isr[isr_count++] = partition->replicas[i];
        places[i] = ctrl__directories_choose(directories, partition->replicas[i]);
    }
    assert(isr_count > 0);
    struct partition_record record;
    partition_record_init(&record);
    record.partition_id = partition->index;
    record.topic_id = partition->topic_id;
    record.replicas = ctrl__unconst(partition->replicas);
    record.replicas_count = count;
    record.isr = isr;
    record.isr_count = isr_count;
    record.leader = isr[0];
    record.leader_epoch = record.partition_epoch = 0;
    if (image->metadata_version >= DIRECTORIES_SINCE) {
        record.directories = places;
        record.directories_count = count;
    }
    ctrl__records_add(records, META_PARTITION, meta_record_version(META_PARTITION, image->metadata_version), &record);
    mem_free(places);
    mem_free(isr);
}

static int compare_ids(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static struct slice replicas_fault(const struct meta_image *image, const int32_t *sorted, int32_t count,
                                   struct arena *arena)
{
    for (int32_t i = 0; i < count; i++) {
        if (!meta_broker(image, sorted[i]))
            return arena_printf(arena,
                                "The manual partition assignment includes broker %d, but no such broker is registered.",
                                (int)sorted[i]);
        if (i > 0 && sorted[i] == sorted[i - 1])
            return arena_printf(arena, "The manual partition assignment includes the broker %d more than once.",
                                (int)sorted[i]);
    }
    return SLICE_NULL;
}

bool ctrl__assignment_check(const struct meta_image *image, const struct ctrl_assignment *assignment,
                            int32_t replicas_expected, struct arena *arena, struct ctrl_result *ret_result)
{
    int32_t count = assignment->replica_count;
    struct slice message;
    if (count <= 0) {
        message = slice_str("The manual partition assignment includes an empty replica list.");
    } else {
        int32_t *sorted = mem_alloc((size_t)count * sizeof *sorted);
        memcpy(sorted, assignment->replicas, (size_t)count * sizeof *sorted);
        qsort(sorted, (size_t)count, sizeof *sorted, compare_ids);
        message = replicas_fault(image, sorted, count, arena);
        mem_free(sorted);
    }
    if (slice_is_null(message) && replicas_expected >= 0 && count != replicas_expected)
        message =
            arena_printf(arena,
                         "The manual partition assignment includes a partition with %d replica(s), but this is not "
                         "consistent with previous partitions, which have %d replica(s).",
                         (int)count, (int)replicas_expected);
    if (slice_is_null(message) && ctrl__active_count(image, assignment->replicas, count) == 0)
        message =
            arena_printf(arena,
                         "All brokers specified in the manual partition assignment for partition %d are fenced or in "
                         "controlled shutdown.",
                         (int)assignment->partition);
    if (slice_is_null(message))
        return true;
    ctrl__refuse(ret_result, KAFKA_INVALID_REPLICA_ASSIGNMENT, message);
    return false;
}
