// SPDX-License-Identifier: Apache-2.0
/* sim/workload__.h - what the kinds of clients share. */
#pragma once

#include "io/sim.h"
#include "sim/client.h"
#include "sim/witness.h"
#include "sim/workload.h"
#include "wire/gen/errors.h"

enum { CALL_TIMEOUT_MS = 20000, REQUEST_TIMEOUT_MS = 5000, MEMBERS = 2 };

struct workload {
    struct sim_world *world;
    bool finishing, errors_may_come, topic_is_there, moves_are_asked;
    uint64_t acknowledged;
    int64_t commit_sent[MEMBERS], commit_acked[MEMBERS]; // by partition of the main topic
    enum promise crash_promise;                          // see workload_crash_after
    uint64_t crash_count;
};
extern struct workload workload;

#define MAIN_TOPIC "t"

static inline uint64_t workload_draw(uint64_t bound)
{
    return random_below(sim_random(workload.world), bound);
}

/* Opens when it is closed; false, after a pause, when nobody answers. */
bool workload__open(struct link *link);
void workload__pause(int64_t ms_max);
/* A client has heard it just now. */
void workload__promised(enum promise promise);
/* Answers that say "later": a broker starts, a coordinator loads, a disk failed. Others are blamed. */
bool workload__is_later(const struct link *link, const char *who, int16_t error);
/* One fetch: walks the records into `each`, moves *offset. Returns the high watermark; -1 when there was no answer. */
int64_t workload__fetch(struct link *link, int partition, int64_t *offset,
                        void (*each)(void *context, int64_t offset, uint32_t number), void *context);

void workload__produce(void *context);
void workload__consume(void *context);
void workload__commit(void *context);
void workload__administrate(void *context);
/* Both are true again after every restart. */
void workload__check_commits(struct link *link);
void workload__check_topics(struct link *link);
