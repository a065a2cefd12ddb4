// SPDX-License-Identifier: Apache-2.0
/* broker/throttle.c - what quotas make of a request: the answer goes at once and says how long its client should wait, and
 * net/ reads the connection no more for that long (KIP-219).
 *
 * Three measures count: bytes that were produced or are fetched, partitions that are made or deleted, and the time that the
 * request took on its reactor. The longest wait is told, and counted under its kind. While there are no quotas nothing is
 * measured; requests from inside never wait.
 */
#include "broker/broker__.h"

static const double PERCENT_NS = 1e7; // of a second

static bool is_measured(const struct request *request)
{
    return request->home->image->quotas && !request->local_call;
}

void request__handle(struct request *request, void (*handle)(struct request *request))
{
    if (!is_measured(request) || request->handling_since_ns > 0) { // the latter: by itself, while it is handled
        handle(request);
        return;
    }
    request->handling_since_ns = io_now_ns();
    handle(request);
    if (request->handling_since_ns > 0)
        request->handled_ns += io_now_ns() - request->handling_since_ns;
    request->handling_since_ns = 0;
}

void request__resume(struct request *request)
{
    request__handle(request, request->api->resume);
}

int64_t request__quota_record(struct request *request, enum quota_kind kind, double amount)
{
    if (!is_measured(request))
        return 0;
    return quotas__record(request->home->broker->quotas, request->home->image, kind, request->client_id, amount,
                          request->home->now_ms);
}

void request__throttle(struct request *request, enum quota_kind kind, int64_t throttle_ms)
{
    if (throttle_ms <= 0)
        return;
    quotas__throttled(request->home->broker->quotas, kind);
    request->throttle_ms = (int32_t)min_i64(INT32_MAX, max_i64(request->throttle_ms, throttle_ms));
}

/* Since it was asked last. */
static int64_t took_ns(struct request *request)
{
    int64_t now_ns = io_now_ns();
    int64_t took = request->handled_ns + (request->handling_since_ns > 0 ? now_ns - request->handling_since_ns : 0);
    request->handled_ns = 0;
    if (request->handling_since_ns > 0)
        request->handling_since_ns = now_ns;
    return took;
}

int32_t request__throttle_ms(struct request *request)
{
    if (request->throttle_is_known || !is_measured(request))
        return request->throttle_ms;
    request->throttle_is_known = true;
    request__throttle(request, QUOTA_REQUEST,
                      request__quota_record(request, QUOTA_REQUEST, (double)took_ns(request) / PERCENT_NS));
    return request->throttle_ms;
}

void request__throttle_rest(struct request *request)
{
    if (request->throttle_is_known && request->handling_since_ns > 0 && is_measured(request))
        request__quota_record(request, QUOTA_REQUEST, (double)took_ns(request) / PERCENT_NS);
    request->handling_since_ns = 0;
}

bool request__may_mutate(struct request *request, int32_t partitions, bool is_strict)
{
    struct broker *broker = request->home->broker;
    int64_t throttle_ms;
    if (request->local_call)
        return true;
    bool may = quotas__mutate(broker->quotas, ctrl_view(control__ctrl(broker->control)), request->client_id, partitions,
                              is_strict, io_now_ms(), &throttle_ms);
    request__throttle(request, QUOTA_MUTATION, throttle_ms);
    return may;
}

int64_t broker_connection_throttle(struct reactor *reactor, const char *host)
{
    int64_t throttle_ms = quotas__connection(reactor->broker->quotas, reactor->image, host, reactor->now_ms);
    if (throttle_ms > 0)
        quotas__throttled(reactor->broker->quotas, QUOTA_CONNECTION);
    return throttle_ms;
}
