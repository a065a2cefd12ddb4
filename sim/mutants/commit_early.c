// SPDX-License-Identifier: Apache-2.0
/* sim/mutants/commit_early.c - a coordinator that takes its records for committed as soon as they are written. */
#include "replica/replica.h"

bool __wrap_partition_is_acked(const struct partition *p, int16_t acks, int64_t end_offset);
bool __real_partition_is_acked(const struct partition *p, int16_t acks, int64_t end_offset);

bool __wrap_partition_is_acked(const struct partition *p, int16_t acks, int64_t end_offset)
{
    return partition_is_internal(p) || __real_partition_is_acked(p, acks, end_offset);
}
