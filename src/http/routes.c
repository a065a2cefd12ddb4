// SPDX-License-Identifier: Apache-2.0
/* http/routes.c - what stands behind each path.
 *
 *   /healthz /readyz /metrics    for machines: one short word, so that a probe needs only the status
 *   /api/v1/...                  JSON; openapi.json tells all of it, and a test holds the two together
 *   everything else              the console's pages, part of the program
 */
#include "http/http__.h"

#include <stdlib.h>
#include <zlib.h>

#define TEXT "text/plain; charset=utf-8"

static void plain(struct exchange *e, unsigned status)
{
    e->status = status;
    e->type = TEXT;
}

/* A broker that cannot go on, lost a log directory, or cannot serve what it holds, needs somebody. */
static void answer_health(struct exchange *e)
{
    struct broker_numbers numbers = {0};
    if (broker_is_ready(e->broker))
        broker_numbers(e->broker, &numbers);
    bool is_healthy = !broker_has_failed(e->broker) && numbers.partitions_offline == 0 && numbers.flush_failures == 0;
    if (broker_has_failed(e->broker))
        buffer_printf(&e->out, "the broker cannot go on; the log says why\n");
    else if (is_healthy)
        buffer_printf(&e->out, "ok\n");
    else
        buffer_printf(&e->out, "%llu partitions are offline, %llu flushes failed; the log says why\n",
                      (unsigned long long)numbers.partitions_offline, (unsigned long long)numbers.flush_failures);
    plain(e, is_healthy ? 200 : 503);
}

static void answer_readiness(struct exchange *e)
{
    bool ready = broker_is_ready(e->broker);
    buffer_printf(&e->out, "%s\n", ready ? "ready" : "starting");
    plain(e, ready ? 200 : 503);
}

/* Prometheus' own form, or OpenMetrics for who asks for it. */
static void answer_metrics(struct exchange *e)
{
    bool is_open = e->accept && strstr(e->accept, "application/openmetrics-text");
    metrics__write(&e->out, &e->asker, e->site->version, is_open);
    e->status = 200;
    e->type = is_open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                      : "text/plain; version=0.0.4; charset=utf-8";
}

static void answer_session(struct exchange *e)
{
    struct json j = exchange__json(e);
    json__open(&j, NULL, '{');
    json__string(&j, "token", e->site->token);
    json__bool(&j, "readOnly", e->site->is_read_only);
    json__string(&j, "version", e->site->version);
    json__close(&j, '}');
}

/* ---- patterns: {name} takes one step of the path */
enum { NAMES_MAX = 3, NAME_BYTES = 1024 };
struct names {
    char text[NAMES_MAX][NAME_BYTES]; // decoded
    int count;
};

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_name(const char **path, char *ret_name)
{
    size_t size = 0;
    const char *at = *path;
    for (; *at && *at != '/' && size < NAME_BYTES - 1; at++) {
        bool is_coded = *at == '%' && at[1] && hex(at[1]) >= 0 && hex(at[2]) >= 0;
        ret_name[size++] = is_coded ? (char)(hex(at[1]) << 4 | hex(at[2])) : *at;
        at += is_coded ? 2 : 0;
    }
    ret_name[size] = '\0';
    *path = at;
    return size > 0 && (*at == '\0' || *at == '/') && strlen(ret_name) == size;
}

static bool path_matches(const char *pattern, const char *path, struct names *names)
{
    names->count = 0;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        if (!take_name(&path, names->text[names->count++]))
            return false;
        pattern = strchr(pattern, '}') + 1;
    }
    return !*path;
}

/* ---- the API */
static void value(struct exchange *e, const struct names *names)
{
    assert(names->count == 3);
    const char *partition = names->text[1], *offset = names->text[2];
    web__value(e, slice_str(names->text[0]), (int32_t)strtol(partition, NULL, 10), strtoll(offset, NULL, 10));
}

struct route {
    const char *method, *pattern;
    void (*plain)(struct exchange *e);
    void (*named)(struct exchange *e, struct slice name);
    void (*deep)(struct exchange *e, const struct names *names);
};

static const struct route ROUTES[] = {
    {"GET", "/healthz", .plain = answer_health},
    {"GET", "/readyz", .plain = answer_readiness},
    {"GET", "/metrics", .plain = answer_metrics},
    {"GET", "/api/v1/session", .plain = answer_session},
    {"GET", "/api/v1/broker", .plain = web__broker},
    {"GET", "/api/v1/topics", .plain = web__topics},
    {"POST", "/api/v1/topics", .plain = web__topic_create},
    {"GET", "/api/v1/topics/{topic}", .named = web__topic},
    {"POST", "/api/v1/topics/{topic}/delete", .named = web__topic_delete},
    {"POST", "/api/v1/topics/{topic}/configs", .named = web__topic_configs},
    {"POST", "/api/v1/topics/{topic}/partitions", .named = web__topic_partitions},
    {"POST", "/api/v1/topics/{topic}/records/delete", .named = web__records_delete},
    {"GET", "/api/v1/topics/{topic}/messages", .named = web__messages},
    {"POST", "/api/v1/topics/{topic}/messages", .named = web__produce},
    {"GET", "/api/v1/topics/{topic}/messages/{partition}/{offset}/value", .deep = value},
    {"GET", "/api/v1/topics/{topic}/search", .named = web__search},
    {"GET", "/api/v1/topics/{topic}/tail", .named = web__tail},
    {"GET", "/api/v1/topics/{topic}/download", .named = web__download},
    {"GET", "/api/v1/groups", .plain = web__groups},
    {"GET", "/api/v1/groups/{group}", .named = web__group},
    {"POST", "/api/v1/groups/{group}/offsets", .named = web__group_reset},
    {"POST", "/api/v1/groups/{group}/delete", .named = web__group_delete},
};

/* Pages lie packed in the program; who cannot unpack them gets them unpacked. */
static void unpack(struct exchange *e, const struct asset *asset)
{
    enum { PART_BYTES = 64 << 10, GZIP_WINDOW_BITS = 16 + 15 };
    z_stream z = {.next_in = (Bytef *)(uintptr_t)asset->data, .avail_in = (uInt)asset->size};
    int result = inflateInit2(&z, GZIP_WINDOW_BITS);
    while (result == Z_OK) {
        buffer_reserve(&e->out, PART_BYTES);
        z.next_out = e->out.data + e->out.size;
        z.avail_out = PART_BYTES;
        result = inflate(&z, Z_NO_FLUSH);
        e->out.size += PART_BYTES - z.avail_out;
    }
    assert(result == Z_STREAM_END); // they were packed by our own build
    inflateEnd(&z);
}

static bool answer_asset(struct exchange *e, const char *path)
{
    for (size_t i = 0; i < assets__count; i++)
        if (strcmp(assets__all[i].path, path) == 0) {
            e->status = 200;
            e->type = assets__all[i].type;
            if (e->accepts_gzip) {
                e->encoding = "gzip";
                e->fixed = slice_of(assets__all[i].data, assets__all[i].size);
            } else {
                unpack(e, &assets__all[i]);
            }
            return true;
        }
    return false;
}

static void run(struct exchange *e, const struct route *route, const struct names *names)
{
    if (route->plain)
        route->plain(e);
    else if (route->named)
        route->named(e, slice_str(names->text[0]));
    else
        route->deep(e, names);
}

/* The console keeps its place in the path: /topics/x/messages is the page, as /. */
static bool is_page(const char *path)
{
    static const char *const PAGES[] = {"/topics", "/groups", "/broker"};
    for (size_t i = 0; i < COUNT_OF(PAGES); i++) {
        size_t size = strlen(PAGES[i]);
        if (strncmp(path, PAGES[i], size) == 0 && (path[size] == '\0' || path[size] == '/'))
            return true;
    }
    return strcmp(path, "/") == 0;
}

static bool asks_broker(const struct route *route)
{
    return strncmp(route->pattern, "/api/", 5) == 0 && route->plain != answer_session;
}

void routes__answer(struct exchange *e)
{
    const char *method = strcmp(e->method, "HEAD") == 0 ? "GET" : e->method;
    bool other_method = false;
    for (size_t i = 0; i < COUNT_OF(ROUTES); i++) {
        struct names names;
        if (!path_matches(ROUTES[i].pattern, e->path, &names))
            continue;
        other_method = true;
        if (strcmp(ROUTES[i].method, method) != 0)
            continue;
        if (asks_broker(&ROUTES[i]) && !broker_is_ready(e->broker))
            exchange__fail(e, 503, "BUSY", "the broker is starting; try again");
        else
            run(e, &ROUTES[i], &names);
        return;
    }
    if (other_method)
        exchange__fail(e, 405, "METHOD", "that path is asked with another method; see /api/v1/openapi.json");
    else if (strcmp(method, "GET") != 0 || !(answer_asset(e, is_page(e->path) ? "/index.html" : e->path)))
        exchange__fail(e, 404, "NOT_FOUND",
                       "no such page; see /, /healthz, /readyz, /metrics and /api/v1/openapi.json");
}
