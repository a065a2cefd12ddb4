// SPDX-License-Identifier: Apache-2.0
/* sim/witness.h - what is known outside the broker: what it acknowledged, showed and promised. Nothing of it may ever turn
 * out untrue, whatever happened to the machine in between.
 *
 * Every record carries a number: its producer, and a counter that only grows. So at any time:
 *   - an offset that was acknowledged or shown holds the same number for ever, and no number lies at two offsets;
 *   - the numbers of a producer stand in their order;
 *   - the end never falls below what was acknowledged or shown; committed offsets never go back; topics stay what they are.
 */
#pragma once

#include "base/base.h"

enum { WITNESS_PARTITIONS = 2, WITNESS_PRODUCERS = 4, WITNESS_OFFSETS_MAX = 1 << 14 };

void witness_reset(void);

/* The first reason counts, later ones follow from it. */
void blame(const char *why, int64_t a, int64_t b);
bool is_blamed(void);
const char *blame_text(void);

static inline uint32_t witness_number(uint32_t producer, uint32_t counter)
{
    return producer << 24 | counter;
}

void witness_acked(int partition, int64_t offset, uint32_t number, bool by_all);
void witness_seen(int partition, int64_t offset, uint32_t number);
/* Everything below is acknowledged by all in-sync replicas, or was shown. */
int64_t witness_visible_end(int partition);
/* A whole reading, from the start: offsets without gaps, each producer's numbers in order, nothing missing at its end. */
struct witness_reading {
    int partition;
    int64_t next_offset;
    uint32_t last[WITNESS_PRODUCERS];
};
void witness_read(struct witness_reading *reading, int64_t offset, uint32_t number);
void witness_read_end(const struct witness_reading *reading);
uint64_t witness_compared(void);
