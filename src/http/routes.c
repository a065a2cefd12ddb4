// SPDX-License-Identifier: Apache-2.0
/* http/routes.c - what stands behind each path.
 *
 * Answers for machines are one short word, so that a probe needs only the status.
 */
#include "http/http__.h"

#define TEXT "text/plain; charset=utf-8"

struct route {
    const char *path;
    unsigned (*answer)(struct broker *broker, const char *version, struct buffer *out);
    const char *type;
};

static unsigned answer_start(struct broker *broker, const char *version, struct buffer *out)
{
    (void)broker;
    buffer_printf(out,
                  "Ottla %s\n\n/healthz  is this broker healthy?\n/readyz   does it take part in its cluster?\n"
                  "/metrics  its numbers, for Prometheus\n",
                  version);
    return 200;
}

/* A broker that cannot go on, lost a log directory, or cannot serve what it holds, needs somebody. */
static unsigned answer_health(struct broker *broker, const char *version, struct buffer *out)
{
    (void)version;
    struct broker_numbers numbers = {0};
    broker_numbers(broker, &numbers);
    if (broker_has_failed(broker)) {
        buffer_printf(out, "the broker cannot go on; the log says why\n");
        return 503;
    }
    if (numbers.partitions_offline == 0 && numbers.flush_failures == 0) {
        buffer_printf(out, "ok\n");
        return 200;
    }
    buffer_printf(out, "%llu partitions are offline, %llu flushes failed; the log says why\n",
                  (unsigned long long)numbers.partitions_offline, (unsigned long long)numbers.flush_failures);
    return 503;
}

static unsigned answer_readiness(struct broker *broker, const char *version, struct buffer *out)
{
    (void)version;
    bool ready = broker_is_ready(broker);
    buffer_printf(out, "%s\n", ready ? "ready" : "starting");
    return ready ? 200 : 503;
}

static unsigned answer_metrics(struct broker *broker, const char *version, struct buffer *out)
{
    metrics__write(out, broker, version);
    return 200;
}

static const struct route ROUTES[] = {
    {"/", answer_start, TEXT},
    {"/healthz", answer_health, TEXT},
    {"/readyz", answer_readiness, TEXT},
    {"/metrics", answer_metrics, "text/plain; version=0.0.4; charset=utf-8"},
};

bool routes__answer(struct broker *broker, const char *version, const char *path, struct buffer *out,
                    struct http_answer *ret_answer)
{
    for (size_t i = 0; i < COUNT_OF(ROUTES); i++) {
        if (strcmp(ROUTES[i].path, path) != 0)
            continue;
        ret_answer->type = ROUTES[i].type;
        ret_answer->status = ROUTES[i].answer(broker, version, out);
        return true;
    }
    return false;
}
