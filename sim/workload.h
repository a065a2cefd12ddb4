// SPDX-License-Identifier: Apache-2.0
/* sim/workload.h - what the simulated clients do. They live outside the broker, through all its crashes.
 *
 *   producers  to one partition each: acks 1 or all, plain (an unknown outcome is left alone) or idempotent (tried again
 *              until it is acknowledged), with one or several batches on their way
 *   consumers  read one partition, sometimes again from earlier
 *   members    of one group: join, sync, beat, commit a number that grows, ask what is committed
 *   admin      makes and deletes topics, moves partitions between log directories, and asks what there is
 *
 * In the second phase they finish what they have begun, without new work, and end. A checker then reads all there is.
 */
#pragma once

#include "io/sim.h"

enum { WORKLOAD_PORT = 9092 };

/* The first phase begins. `errors_may_come`: a disk fails, so requests may be refused with a storage error. */
void workload_start(struct sim_world *world);
void workload_errors_may_come(bool may_come);
/* Partitions are sent from one of two log directories, /data and /other, to the other. */
void workload_moves_are_asked(bool are_asked);
/* The second phase begins. */
void workload_finish(void);
/* One more client: reads everything from the start, and compares. */
void workload_check(struct sim_world *world);
uint64_t workload_acknowledged(void);

/* What a client may rely on from now on: an acknowledged batch, a record that was shown first, a committed offset. */
enum promise { PROMISE_BATCH, PROMISE_SIGHT, PROMISE_COMMIT, PROMISE_KINDS };
/* The power is cut a few calls of io.h after a client has heard the `count`-th such promise; 0 calls it off. */
void workload_crash_after(enum promise promise, uint64_t count);
