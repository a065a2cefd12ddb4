// SPDX-License-Identifier: Apache-2.0
/* http/http__.h - what the files of http/ share. */
#pragma once

#include "http/http.h"

/* What does not come from the broker. */
struct process_numbers {
    uint64_t resident_bytes, open_descriptors, max_descriptors;
    double start_seconds; // since 1970
};
void process__numbers(struct process_numbers *ret_numbers);

/* All metrics of schema/metrics.txt in Prometheus' text format. */
void metrics__write(struct buffer *out, struct broker *broker, const char *version);

/* Whether a request that says `Host: <host>` was meant for a loopback address: a page of another site that had its name
 * resolved to us says that name. NULL is no. */
bool host__is_ours(const char *host);

/* The answer to one path; NULL when there is none. */
struct http_answer {
    unsigned status;
    const char *type; // Content-Type
};
bool routes__answer(struct broker *broker, const char *version, const char *path, struct buffer *out,
                    struct http_answer *ret_answer);
