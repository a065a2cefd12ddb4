// SPDX-License-Identifier: Apache-2.0
/* broker/rate.h - the arithmetic of quotas, as Apache Kafka measures: a rate over a few windows of time, and a bucket of
 * tokens. No clock inside: the caller says what time it is, monotonic ms.
 *
 * A rate is what was recorded in the last `windows` windows, divided by the time since the oldest of them began, but at least
 * by all windows but one: so a burst after silence counts as if it were spread. Who is over his bound waits until the same sum
 * over the longer time is the bound again (KIP-13).
 *
 * A bucket fills with the bound's tokens a second, up to what all windows earn; who takes more than there are leaves a debt
 * and waits until it is paid (KIP-599).
 */
#pragma once

#include "base/base.h"

enum { RATE_WINDOWS_MAX = 1024 }; // more in a setting count as that many

struct rate_window {
    int64_t start_ms;
    double sum;
};

struct rate_config {
    int32_t windows; // 1 to RATE_WINDOWS_MAX
    int64_t window_ms;
};

struct rate {
    struct rate_config config;
    int32_t first, count; // of the ring
    struct rate_window ring[];
};

struct rate *rate__create(struct rate_config config); // mem_free'd by the caller
void rate__record(struct rate *rate, double amount, int64_t now_ms);
/* A second's worth, as it is now. */
double rate__measure(struct rate *rate, int64_t now_ms);
/* How long to wait so that the rate is `bound` again; 0 when it is not above. */
int64_t rate__throttle_ms(struct rate *rate, double bound, int64_t now_ms);

struct tokens {
    double level;
    int64_t filled_ms;
    bool was_filled;
};

/* True when there is no debt: then `amount` is taken. */
bool tokens__take(struct tokens *tokens, struct rate_config config, double bound, double amount, int64_t now_ms);
/* Takes them, whatever there is. */
void tokens__take_all(struct tokens *tokens, struct rate_config config, double bound, double amount, int64_t now_ms);
int64_t tokens__throttle_ms(struct tokens *tokens, struct rate_config config, double bound, int64_t now_ms);
