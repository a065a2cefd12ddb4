// SPDX-License-Identifier: Apache-2.0
/* ctrl/producer_ids.c - blocks of producer ids (KIP-730): the log says where the next one starts, so none is given twice.
 * A block is only to be used once its record is flushed.
 */
#include "ctrl/ctrl__.h"

enum { BLOCK_IDS = 1000 };

struct status ctrl_producer_ids_allocate(struct ctrl *ctrl, int32_t node_id, int64_t broker_epoch, int64_t now_ms,
                                         int64_t *ret_first_id, int32_t *ret_count)
{
    const struct meta_image *image = meta_builder_view(ctrl->builder);
    const struct meta_broker *broker = meta_broker(image, node_id);
    if (!broker || broker->epoch != broker_epoch)
        return STATUS(ESTALE, "allocate producer ids for another epoch of the broker");
    int64_t first_id = max_i64(image->next_producer_id, 0);
    if (first_id > INT64_MAX - BLOCK_IDS)
        return STATUS(ERANGE, "allocate producer ids: none are left");
    struct producer_ids_record record;
    producer_ids_record_init(&record);
    record.broker_id = node_id;
    record.broker_epoch = broker_epoch;
    record.next_producer_id = first_id + BLOCK_IDS;
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    ctrl__records_add(&records, META_PRODUCER_IDS, 0, &record);
    TRY(ctrl__commit(ctrl, &records, now_ms));
    *ret_first_id = first_id;
    *ret_count = BLOCK_IDS;
    return STATUS_OK;
}
