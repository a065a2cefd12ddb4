// SPDX-License-Identifier: Apache-2.0
/* sim/witness.c - see witness.h. Plain arrays by offset; a run writes a few thousand records. */
#include "sim/witness.h"

struct partition_seen {
    uint32_t number_at[WITNESS_OFFSETS_MAX]; // 0: nothing known
    int64_t end, visible_end;                // behind the last known offset
};

static struct {
    struct partition_seen partitions[WITNESS_PARTITIONS];
    /* By producer and counter: one more than the offset; 0 nothing known. A producer writes to one partition. */
    int64_t offset_of[WITNESS_PRODUCERS][WITNESS_OFFSETS_MAX];
    uint64_t compared;
    char why[160];
} witness;

void witness_reset(void)
{
    memset(&witness, 0, sizeof witness);
}

void blame(const char *why, int64_t a, int64_t b)
{
    if (is_blamed())
        return;
    snprintf(witness.why, sizeof witness.why, "%s (%lld, %lld)", why, (long long)a, (long long)b);
    LOG(LOG_ERROR, "sim", "blamed: %s", witness.why);
}

bool is_blamed(void)
{
    return witness.why[0] != '\0';
}

const char *blame_text(void)
{
    return witness.why;
}

uint64_t witness_compared(void)
{
    return witness.compared;
}

static void know(int partition, int64_t offset, uint32_t number, bool visible)
{
    struct partition_seen *p = &witness.partitions[partition];
    uint32_t producer = number >> 24, counter = number & 0xffffff;
    if (offset < 0 || offset >= WITNESS_OFFSETS_MAX || producer >= WITNESS_PRODUCERS ||
        counter >= WITNESS_OFFSETS_MAX) {
        blame("a record is none of ours", offset, number);
        return;
    }
    witness.compared++;
    if (p->number_at[offset] != 0 && p->number_at[offset] != number)
        blame("a known record is another now", offset, number);
    int64_t *place = &witness.offset_of[producer][counter];
    if (*place != 0 && *place != offset + 1)
        blame("a record is there twice", *place - 1, offset);
    p->number_at[offset] = number;
    *place = offset + 1;
    p->end = max_i64(p->end, offset + 1);
    if (visible)
        p->visible_end = max_i64(p->visible_end, offset + 1);
}

void witness_acked(int partition, int64_t offset, uint32_t number, bool by_all)
{
    know(partition, offset, number, by_all);
}

void witness_seen(int partition, int64_t offset, uint32_t number)
{
    know(partition, offset, number, true);
}

int64_t witness_visible_end(int partition)
{
    return witness.partitions[partition].visible_end;
}

void witness_read(struct witness_reading *reading, int64_t offset, uint32_t number)
{
    uint32_t producer = number >> 24, counter = number & 0xffffff;
    witness_seen(reading->partition, offset, number);
    if (offset != reading->next_offset)
        blame("an offset is left out", reading->next_offset, offset);
    if (producer < WITNESS_PRODUCERS && counter <= reading->last[producer])
        blame("records of a producer are out of order", offset, number);
    if (producer < WITNESS_PRODUCERS)
        reading->last[producer] = counter;
    reading->next_offset = offset + 1;
}

void witness_read_end(const struct witness_reading *reading)
{
    int64_t end = witness.partitions[reading->partition].end;
    if (reading->next_offset < end)
        blame("known records are gone", reading->next_offset, end);
}
