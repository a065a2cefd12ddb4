// SPDX-License-Identifier: Apache-2.0
/* base/histogram.c - log-linear counts: 32 steps for each power of two, so a value is known to about 3 %. */
#include "base/base.h"

enum { STEPS = 32, STEP_BITS = 5 };

static size_t slot_of(uint64_t value)
{
    if (value < STEPS)
        return (size_t)value;
    int power = 63 - __builtin_clzll(value);
    uint64_t step = value >> (power - STEP_BITS) & (STEPS - 1);
    return (size_t)(power - STEP_BITS + 1) * STEPS + (size_t)step;
}

static uint64_t value_of(size_t slot)
{
    if (slot < STEPS)
        return slot;
    int shift = (int)(slot / STEPS) - 1;
    return ((uint64_t)STEPS + slot % STEPS) << shift;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    h->counts[slot_of(value)]++;
    h->total++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    if (h->total == 0)
        return 0;
    double wanted = percent / 100.0 * (double)h->total;
    uint64_t seen = 0;
    for (size_t slot = 0; slot < COUNT_OF(h->counts); slot++) {
        seen += h->counts[slot];
        if (h->counts[slot] && (double)seen >= wanted)
            return value_of(slot);
    }
    return h->max;
}
