// SPDX-License-Identifier: Apache-2.0
/* broker/fetch_work.h - a Fetch under way: what its file (api_fetch.c) and what the pool does for it (fetch_pool.c) share. */
#ifndef BROKER_FETCH_WORK_H
#define BROKER_FETCH_WORK_H

#include "broker/broker__.h"
#include "broker/fetch_session.h"

enum {
    FETCH_VERSION_OF_BATCHES = 4,          // before it, clients read message sets only
    FETCH_DOWN_SOURCE_MAX_BYTES = 1 << 20, // of batches that one answer of message sets is made of
};

struct fetch_part {
    struct wait wait;
    struct partition *partition;     // counted; NULL when it does not exist
    struct fetch_position *position; // of the session, or NULL
    struct uuid topic_id;
    struct slice name;
    int32_t index, leader_epoch, last_fetched_epoch, size_max;
    int64_t offset;

    int16_t error;
    int64_t high_watermark, last_stable_offset, start_offset;
    struct log_slice slice;
    struct buffer messages; // of an old format, instead of the slice
    struct log_aborted *aborted;
    int32_t aborted_count; // -1: not asked for
    int32_t diverging_epoch;
    int64_t diverging_end_offset;
};

struct fetch_work {
    struct fetch_part *parts;
    int count;
    struct fetch_session *session; // counted, busy; NULL without
    bool incremental, uses_topic_ids, waiting, warming, reading_failed;
    int32_t session_id;
    int32_t size_max, size_min;
    enum read_as as;
};

/* No bytes of it, and this Kafka error code instead. */
void fetch__fail(struct fetch_part *part, int16_t error);
/* True when slices went to the pool; fetch__came_back is for them when the request is home again. */
bool fetch__needs_pool(struct request *request);
void fetch__came_back(struct request *request);

#endif
