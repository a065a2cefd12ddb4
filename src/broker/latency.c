// SPDX-License-Identifier: Apache-2.0
/* broker/latency.c - how long requests take, by API key: from their turn to their reply.
 *
 * Counts in buckets whose bounds grow by an eighth to a quarter (four to a doubling), so a percentile is right to that
 * much. One set a reactor and key, made at the key's first request, written by the reactor alone, read by anybody.
 */
#include "broker/broker__.h"

enum { STEPS = 4, STEP_BITS = 2, DOUBLINGS = 36, BUCKETS = STEPS * DOUBLINGS }; // up to a day in microseconds

struct api_latency {
    _Atomic uint64_t counts[BUCKETS];
};

static int bucket_of(uint64_t us)
{
    if (us < STEPS)
        return (int)us;
    int top = 63 - __builtin_clzll(us);
    int bucket = (top - STEP_BITS + 1) * STEPS + (int)(us >> (top - STEP_BITS) & (STEPS - 1));
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* The greatest value that falls into it. */
static uint64_t bucket_bound(int bucket)
{
    if (bucket < STEPS)
        return (uint64_t)bucket;
    int shift = bucket / STEPS - 1;
    return ((uint64_t)(STEPS + bucket % STEPS + 1) << shift) - 1;
}

void latency__record(struct reactor *reactor, int16_t api_key, int64_t took_ns)
{
    struct api_counter *counter = &reactor->counters[api_key];
    struct api_latency *latency = atomic_load_explicit(&counter->latency, memory_order_relaxed);
    if (!latency) {
        latency = mem_zalloc(sizeof *latency);
        atomic_store_explicit(&counter->latency, latency, memory_order_release);
    }
    _Atomic uint64_t *count = &latency->counts[bucket_of((uint64_t)max_i64(took_ns, 0) / 1000)];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

void latency__free(struct reactor *reactor)
{
    for (size_t key = 0; key < COUNT_OF(reactor->counters); key++)
        mem_free(atomic_load(&reactor->counters[key].latency));
}

static uint64_t percentile(const uint64_t *counts, uint64_t total, double share)
{
    uint64_t wanted = (uint64_t)((double)total * share), seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += counts[i];
        if (seen > wanted || (seen == total && total > 0))
            return bucket_bound(i);
    }
    return 0;
}

struct api_percentiles broker_api_latency(struct broker *broker, int16_t api_key)
{
    assert(api_key >= 0 && (size_t)api_key < COUNT_OF(broker->reactors[0].counters));
    uint64_t counts[BUCKETS] = {0}, total = 0;
    for (int r = 0; r < broker->options.reactor_count; r++) {
        struct api_latency *latency =
            atomic_load_explicit(&broker->reactors[r].counters[api_key].latency, memory_order_acquire);
        for (int i = 0; latency && i < BUCKETS; i++) {
            uint64_t count = atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
            counts[i] += count;
            total += count;
        }
    }
    return (struct api_percentiles){
        .count = total, .p50_us = percentile(counts, total, 0.5), .p99_us = percentile(counts, total, 0.99)};
}
