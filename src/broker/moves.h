// SPDX-License-Identifier: Apache-2.0
/* broker/moves.h - partitions that move between log directories; driven by housekeeping, on the control thread. */
#pragma once

#include "broker/broker__.h"

struct moves;
struct moves *moves__create(struct broker *broker);
void moves__free(struct moves *moves); // not busy any more
/* Goes on with what can go on; when to call again, monotonic ms. `busy_elsewhere`: the partition that the cleaner works on;
 * NULL: none. */
int64_t moves__tick(struct moves *moves, int64_t now_ms, const struct partition *busy_elsewhere);
bool moves__is_busy(const struct moves *moves); // something of it runs in the pool

/* AlterReplicaLogDirs: that partition shall lie in that log directory. Kafka's answer; what was begun goes on by itself.
 * `image`: the newest. */
int16_t moves__ask(struct moves *moves, const struct meta_image *image, struct slice topic, int32_t index,
                   struct slice path);
/* Where a new partition was asked to lie before it was there; it is forgotten. NULL: nobody asked. */
struct log_dir *moves__preference_take(struct moves *moves, struct slice topic, int32_t index);
/* A future that the last stop has left, in `path`, which is taken. */
void moves__resume(struct moves *moves, struct partition *p, struct log_dir *to, char *path);
/* The partition is deleted: so is its future. */
void moves__partition_gone(struct moves *moves, const struct partition *p);
void moves__numbers(const struct moves *moves, struct broker_numbers *numbers); // any thread
