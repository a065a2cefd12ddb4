// SPDX-License-Identifier: Apache-2.0
/* storage/compaction__.h - one compaction under way: compact.c makes the outputs, compact_swap.c puts them in place. */
#pragma once

#include "storage/compact__.h"

struct compaction_output {
    struct log_segment *segment; // one reference
    int first, count;            // the segments that it stands for
    bool is_placed;
};

struct log_compaction {
    struct log *log;
    struct log_config config;
    int64_t first_dirty_offset, next_dirty_offset, limit_offset, now_ms;
    struct log_segment **segments; // held, from the log's first one on
    int segment_count;

    bool is_prepared, is_copying, is_unreadable;
    int at; // the segment that is read
    bool is_inside;
    struct window window;
    struct offset_map map;
    struct passing passing;
    struct compact_rule rule;

    struct compaction_output *outputs;
    int output_count;
    struct buffer unwritten;  // the tail of the newest output
    struct aborted_list kept; // for its transaction index
};
