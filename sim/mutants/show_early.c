// SPDX-License-Identifier: Apache-2.0
/* sim/mutants/show_early.c - a broker whose consumers see what is written, not what is below the high watermark. */
#include "replica/replica.h"

int64_t __wrap_partition_high_watermark(const struct partition *p);
int16_t __wrap_partition_read(struct partition *p, enum read_as as, int64_t offset, uint32_t size_max,
                              bool at_least_one, struct log_slice *ret_slice);
int16_t __real_partition_read(struct partition *p, enum read_as as, int64_t offset, uint32_t size_max,
                              bool at_least_one, struct log_slice *ret_slice);

int64_t __wrap_partition_high_watermark(const struct partition *p)
{
    return partition_end_offset(p);
}

int16_t __wrap_partition_read(struct partition *p, enum read_as as, int64_t offset, uint32_t size_max,
                              bool at_least_one, struct log_slice *ret_slice)
{
    return __real_partition_read(p, READ_AS_FOLLOWER, offset, size_max, at_least_one, ret_slice);
}
