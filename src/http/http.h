// SPDX-License-Identifier: Apache-2.0
/* http/http.h - the console, its API, health and metrics of a broker over HTTP, on loopback only.
 *
 *   GET /healthz   200 while the process serves; 503 once a log directory is lost
 *   GET /readyz    200 once the broker takes part in its cluster; 503 before
 *   GET /metrics   the numbers of schema/metrics.txt in Prometheus' text format; before it is ready, how far its start is
 *   GET /          the console; all it knows comes from /api/v1 (openapi.json)
 *
 * The port is open from the start; libmicrohttpd is loaded when the first connection comes, so that a broker that nobody
 * asks does not carry it. It has threads of its own and never runs on a reactor.
 */
#pragma once

#include "base/base.h"
#include "broker/broker.h"

struct http_options {
    const char *host; // a loopback address or localhost
    uint16_t port;    // 0: a free one
    struct broker *broker;
    const char *version;
    bool is_read_only; // nothing can be changed through it
};

struct http;
/* Fails when the port cannot be opened (EADDRINUSE: somebody has it). Keeps `broker`, copies the rest. */
MUST_USE struct status http_start(const struct http_options *options, struct http **ret_http);
void http_stop(struct http *http); // before the broker ends; NULL is fine
uint16_t http_port(const struct http *http);
/* Addresses and names that only this machine reaches: 127.0.0.0/8, ::1, localhost. */
bool http_is_loopback(const char *host);
