// SPDX-License-Identifier: Apache-2.0
/* broker/rate.c - a rate over windows of time, a bucket of tokens: see rate.h. */
#include "broker/rate.h"

#include <math.h>

enum { SECOND_MS = 1000 };

/* Waits are told in an int32 of ms. */
static int64_t wait_ms(double ms)
{
    return ms >= (double)INT32_MAX ? INT32_MAX : llround(ms);
}

struct rate *rate__create(struct rate_config config)
{
    assert(config.windows >= 1 && config.windows <= RATE_WINDOWS_MAX && config.window_ms > 0);
    struct rate *rate = mem_zalloc(sizeof *rate + ((size_t)config.windows + 1) * sizeof rate->ring[0]);
    rate->config = config;
    return rate;
}

static struct rate_window *window_at(struct rate *rate, int32_t index)
{
    return &rate->ring[(rate->first + index) % (rate->config.windows + 1)];
}

static void forget(struct rate *rate, int64_t now_ms)
{
    int64_t age_max_ms = rate->config.windows * rate->config.window_ms;
    while (rate->count > 0 && now_ms - window_at(rate, 0)->start_ms >= age_max_ms) {
        rate->first = (rate->first + 1) % (rate->config.windows + 1);
        rate->count--;
    }
}

void rate__record(struct rate *rate, double amount, int64_t now_ms)
{
    forget(rate, now_ms);
    struct rate_window *newest = rate->count > 0 ? window_at(rate, rate->count - 1) : NULL;
    if (!newest || now_ms - newest->start_ms >= rate->config.window_ms) {
        assert(rate->count <= rate->config.windows); // they are a window apart, and none is older than all windows
        newest = window_at(rate, rate->count++);
        *newest = (struct rate_window){.start_ms = now_ms};
    }
    newest->sum += amount;
}

/* Since the oldest window began, at least all windows but one, in ms. */
static int64_t span_ms(struct rate *rate, int64_t now_ms)
{
    int64_t span = rate->count > 0 ? now_ms - window_at(rate, 0)->start_ms : 0;
    int64_t full = span / rate->config.window_ms, full_min = rate->config.windows - 1;
    if (full < full_min)
        span += (full_min - full) * rate->config.window_ms;
    return span > 0 ? span : rate->config.window_ms;
}

double rate__measure(struct rate *rate, int64_t now_ms)
{
    double sum = 0;
    forget(rate, now_ms);
    for (int32_t i = 0; i < rate->count; i++)
        sum += window_at(rate, i)->sum;
    return sum * SECOND_MS / (double)span_ms(rate, now_ms);
}

int64_t rate__throttle_ms(struct rate *rate, double bound, int64_t now_ms)
{
    double over = rate__measure(rate, now_ms) - bound;
    assert(bound > 0);
    return over > 0 ? wait_ms(over / bound * (double)span_ms(rate, now_ms)) : 0;
}

/* ---- tokens */
static void fill(struct tokens *tokens, struct rate_config config, double bound, int64_t now_ms)
{
    double most = bound * (double)config.windows * (double)config.window_ms / SECOND_MS;
    double earned = bound * (double)(now_ms - tokens->filled_ms) / SECOND_MS;
    double level = tokens->level + earned;
    tokens->level = tokens->was_filled && level < most ? level : most;
    tokens->was_filled = true;
    tokens->filled_ms = now_ms;
}

bool tokens__take(struct tokens *tokens, struct rate_config config, double bound, double amount, int64_t now_ms)
{
    fill(tokens, config, bound, now_ms);
    if (tokens->level < 0)
        return false;
    tokens->level -= amount;
    return true;
}

void tokens__take_all(struct tokens *tokens, struct rate_config config, double bound, double amount, int64_t now_ms)
{
    fill(tokens, config, bound, now_ms);
    tokens->level -= amount;
}

int64_t tokens__throttle_ms(struct tokens *tokens, struct rate_config config, double bound, int64_t now_ms)
{
    fill(tokens, config, bound, now_ms);
    return tokens->level < 0 ? wait_ms(-tokens->level / bound * SECOND_MS) : 0;
}
