// SPDX-License-Identifier: Apache-2.0
/* broker/cleaner.h - the cleaner of compacted logs; driven by housekeeping, on the control thread. */
#pragma once

#include "broker/broker__.h"

struct cleaner;
struct cleaner *cleaner__create(struct broker *broker);
void cleaner__free(struct cleaner *cleaner); // not busy any more
/* Goes on with what can go on; when to call again, monotonic ms. Mail wakes the control thread before that. */
int64_t cleaner__tick(struct cleaner *cleaner, int64_t now_ms);
bool cleaner__is_busy(const struct cleaner *cleaner);               // something of it runs in the pool
const struct partition *cleaner__at(const struct cleaner *cleaner); // that it has in hand; NULL: none
void cleaner__numbers(const struct cleaner *cleaner, struct broker_numbers *numbers); // any thread
