// SPDX-License-Identifier: Apache-2.0
/* sim/mutants/keep_clean_mark.c - a broker that leaves the mark of a clean stop where it is: after the next crash nothing is
 * scanned. */
#include "storage/storage.h"

struct status __wrap_dir_clean_mark_take(const char *log_dir, int64_t *ret_broker_epoch, bool *ret_existed);
struct status __real_dir_clean_mark_take(const char *log_dir, int64_t *ret_broker_epoch, bool *ret_existed);

struct status __wrap_dir_clean_mark_take(const char *log_dir, int64_t *ret_broker_epoch, bool *ret_existed)
{
    TRY(__real_dir_clean_mark_take(log_dir, ret_broker_epoch, ret_existed));
    return *ret_existed ? dir_clean_mark_write(log_dir, *ret_broker_epoch) : STATUS_OK;
}
