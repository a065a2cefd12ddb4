// SPDX-License-Identifier: Apache-2.0
/* storage/scan.h - reading one segment batch by batch with every CRC checked, rebuilding what is derived from it. */
#pragma once

#include "storage/storage__.h"

struct scan {
    struct log *log;
    struct log_segment *segment;
    struct window window;                       // over the segment
    int64_t next_offset, replay_from, promised; // replay_from: producers know what is below
    int64_t rewrite_from;                       // what is above is written again
    bool new_epoch;
};

void scan__free(struct scan *scan);
MUST_USE struct status scan__enter(struct scan *scan, struct log_segment *segment);
/* Positions at the last indexed batch below the recovery point; drops what the indexes have behind it. */
MUST_USE struct status scan__start(struct scan *scan, int64_t recovery_point);
/* Base offset of the batch there. */
MUST_USE struct status scan__first_offset(struct scan *scan, int64_t *ret_offset);
/* To the end of the file, or to bytes that are no batch: those are cut, or refused below what was promised. */
MUST_USE struct status scan__to_end(struct scan *scan, const struct log_open_options *options, bool *ret_was_cut);
