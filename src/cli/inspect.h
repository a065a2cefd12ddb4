// SPDX-License-Identifier: Apache-2.0
/* cli/inspect.h - looking into the files of a data directory without changing them: what `ottla dump` prints and `ottla
 * verify` checks.
 *
 * What is found goes out as items (JSON objects), one a line; what is wrong goes out as findings, which name file and place.
 */
#pragma once

#include "base/base.h"

#include <jansson.h>

/* ---- where it goes */
struct inspection {
    bool prints_items, as_json; // dump; verify prints findings alone
    const char *path;           // the file that is looked at
    uint64_t findings;
    uint64_t bytes_done, bytes_all; // for the progress bar; all 0: none
};
/* An object of that kind, to be filled and given to inspect__put, which frees it. NULL when items are not printed: every
 * function here takes that. */
json_t *inspect__item(const struct inspection *inspection, const char *kind);
void inspect__put(const struct inspection *inspection, json_t *item);
void inspect__number(json_t *item, const char *name, int64_t value);
void inspect__text(json_t *item, const char *name, const char *value);
void inspect__flag(json_t *item, const char *name); // true
/* Text where it is UTF-8, {"base64": ...} where it is not, null for null. */
void inspect__bytes(json_t *item, const char *name, struct slice bytes);
void inspect__time(json_t *item, const char *name, int64_t timestamp_ms); // ISO 8601, UTC
void inspect__json(json_t *item, const char *name, const struct buffer *json);
void inspect__finding(struct inspection *inspection, int64_t position, const char *format, ...) PRINTF_LIKE(3, 4);
void inspect__progress(struct inspection *inspection, int64_t bytes);

/* ---- what a file is, by its name and that of its folder */
enum file_kind {
    FILE_LOG, // segments, also .deleted, .cleaned, .swap; metadata snapshots (<offset>-<epoch>.checkpoint)
    FILE_INDEX,
    FILE_TIME_INDEX,
    FILE_TRANSACTION_INDEX,
    FILE_PRODUCER_SNAPSHOT,
    FILE_TEXT, // checkpoints, properties, quorum-state, marks
    FILE_UNKNOWN,
};
enum file_kind inspect__kind(const char *path);
int64_t inspect__base_offset(const char *path); // of <20 digits>.*; -1: the name has none

/* ---- one function a kind */
/* What a segment's batches tell about the rest of its directory. */
struct segment_facts {
    int64_t base_offset, next_offset, size_bytes;
    int64_t max_timestamp_ms;
    int32_t last_epoch;
    uint64_t batches, records;
};
void inspect__log(struct inspection *inspection, struct segment_facts *ret_facts);
/* Each entry is held against the segment at `log_path`, where that is there. */
void inspect__index(struct inspection *inspection, enum file_kind kind, const char *log_path);
void inspect__transaction_index(struct inspection *inspection);
void inspect__producer_snapshot(struct inspection *inspection);
void inspect__text_file(struct inspection *inspection);
/* Key and value of a record of an internal topic, or a metadata record, decoded into `item`; false: not understood. */
enum record_home { HOME_USER, HOME_OFFSETS, HOME_TRANSACTIONS, HOME_SHARE, HOME_METADATA };
enum record_home inspect__home(const char *path);
bool inspect__decode(json_t *item, enum record_home home, bool is_control, struct slice key, struct slice value);
/* All of a file; a finding and false when it cannot be read. */
bool inspect__read_all(struct inspection *inspection, struct buffer *ret_bytes);
