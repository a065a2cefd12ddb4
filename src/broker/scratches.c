// SPDX-License-Identifier: Apache-2.0
/* broker/scratches.c - contexts of decompression for jobs in the pool.
 *
 * A reactor has its own; jobs take one from here while they run. There is one for each thread that may run such jobs, so
 * that there always is one, and the one that was given back last is taken first: its memory is warm. After each was used
 * once for each codec, nothing is allocated any more.
 */
#include "broker/broker__.h"

#include "record/record.h"

struct scratches {
    struct io_lock *lock;
    int unused_count;
    struct record_scratch *unused[];
};

struct scratches *scratches__create(int count)
{
    assert(count > 0);
    struct scratches *scratches = mem_zalloc(sizeof *scratches + (size_t)count * sizeof scratches->unused[0]);
    scratches->lock = io_lock_create();
    for (int i = 0; i < count; i++)
        scratches->unused[i] = record_scratch_create();
    scratches->unused_count = count;
    return scratches;
}

void scratches__free(struct scratches *scratches)
{
    if (!scratches)
        return;
    for (int i = 0; i < scratches->unused_count; i++)
        record_scratch_free(scratches->unused[i]);
    io_lock_destroy(scratches->lock);
    mem_free(scratches);
}

struct record_scratch *scratches__take(struct scratches *scratches)
{
    io_lock_take(scratches->lock);
    assert(scratches->unused_count > 0);
    struct record_scratch *scratch = scratches->unused[--scratches->unused_count];
    io_lock_release(scratches->lock);
    return scratch;
}

void scratches__give(struct scratches *scratches, struct record_scratch *scratch)
{
    io_lock_take(scratches->lock);
    scratches->unused[scratches->unused_count++] = scratch;
    io_lock_release(scratches->lock);
}
