// SPDX-License-Identifier: Apache-2.0
/* sim/mutants/no_sequences.c - a broker that takes every batch for new, so that a retry is there twice. */
#include "storage/storage.h"

struct status __wrap_log_append(struct log *log, struct log_batch *batches[], int count, int32_t leader_epoch,
                                int64_t now_ms);
struct status __real_log_append(struct log *log, struct log_batch *batches[], int count, int32_t leader_epoch,
                                int64_t now_ms);

struct status __wrap_log_append(struct log *log, struct log_batch *batches[], int count, int32_t leader_epoch,
                                int64_t now_ms)
{
    for (int i = 0; i < count; i++)
        batches[i]->from_client = false;
    return __real_log_append(log, batches, count, leader_epoch, now_ms);
}
