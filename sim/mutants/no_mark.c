// SPDX-License-Identifier: Apache-2.0
/* sim/mutants/no_mark.c - a log that does not know how far it was flushed, so that damage below is cut as a torn tail is. */
#include "storage/storage.h"

struct status __wrap_log_open(const struct log_open_options *options, struct log **ret_log);
struct status __real_log_open(const struct log_open_options *options, struct log **ret_log);

struct status __wrap_log_open(const struct log_open_options *options, struct log **ret_log)
{
    struct log_open_options without = *options;
    without.flushed_offset = -1;
    return __real_log_open(&without, ret_log);
}
