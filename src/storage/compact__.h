// SPDX-License-Identifier: Apache-2.0
/* storage/compact__.h - the parts of a compaction: the map of newest offsets, the transactions that it passes, the rule. */
#pragma once

#include "storage/storage__.h"

/* ---- compact_map.c: key -> newest offset, in memory of fixed size. Keys are known by 128 bits of hash. */
struct offset_slot {
    uint64_t hash[2];
    int64_t offset; // -1: free
};
struct offset_map {
    struct offset_slot *slots;
    size_t slot_count, count, count_max;
    int64_t latest_offset; // everything up to it is in the map; -1: nothing yet
};
void offset_map__init(struct offset_map *map, size_t bytes_max, double load_factor, int64_t keys_expected);
void offset_map__free(struct offset_map *map);
bool offset_map__put(struct offset_map *map, struct slice key, int64_t offset); // false: full
int64_t offset_map__get(const struct offset_map *map, struct slice key);        // -1: none

/* ---- compact_transactions.c: which transactions are being passed, and how they ended. Batches come in order of offsets. */
struct passing {
    struct aborted_list aborted; // of the whole range, by first offset
    size_t next;                 // the first that was not met yet
    struct hash transactions;    // struct passing_transaction by producer id
    struct aborted_list *kept;   // where aborted transactions go of which something is left; may be NULL
};
void passing__init(struct passing *passing);
void passing__free(struct passing *passing);
void passing__rewind(struct passing *passing); // back to the first offset; `aborted` stays
void passing__sort(struct passing *passing);   // once all aborted transactions are in
bool passing__batch_is_aborted(struct passing *passing, const uint8_t *head);
/* True when nothing of its transaction is left, so that the marker may go after its delete horizon. */
bool passing__marker_is_idle(struct passing *passing, struct slice batch);

/* ---- compact_rule.c: what stays of one batch */
struct last_record {
    int64_t producer_id, data_offset; // -1: has written no data with this epoch
    int16_t epoch;
};
struct compact_rule {
    const struct offset_map *map;
    struct passing *passing;
    struct last_record *last_records; // by producer id
    size_t last_record_count;
    int64_t end_offset, now_ms, delete_retention_ms;
    struct buffer rewritten; // the batch that the last call gave, when it is not the original
    struct buffer keep;      // a bool for each record
};
/* The batch as it is to be written; a null slice when nothing of it stays. `head`: the batch's, as format 2 has it. */
MUST_USE struct status compact_rule__apply(struct compact_rule *rule, struct slice batch, const uint8_t *head,
                                           struct slice *ret_batch);
void compact_rule__free(struct compact_rule *rule);
