// SPDX-License-Identifier: Apache-2.0
/* http/http_fuzz.c - any requests to the console's API of a whole broker on the simulator, in the form of HTTP:
 *
 *   METHOD PATH?QUERY      further ones behind a byte 0
 *   Name: value            none: what a page of ours would send
 *
 *   body
 *
 * libmicrohttpd reads the real ones; what it hands over is made here. Whatever is asked: an answer comes, one that calls
 * itself JSON is JSON, a stream can be read, the topic that was there first is answered for as before, and the broker stops.
 */
#include "http/http__.h"
#include "io/io.h"
#include "io/sim.h"
#include "main/main.h"

#include <jansson.h>

enum { REQUESTS_MAX = 12, STEPS_MAX = 10, TEXT_MAX = 4096 };

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct sim_world *world;
    struct serve_options options;
    struct ottla *ottla; // NULL: not ready yet
    struct slice input;
} run;

static void no_lines(void *context, const char *line, size_t size)
{
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    static const char *const SETS[] = {"ottla.reactors=1", "offsets.topic.replication.factor=1",
                                       "offsets.topic.num.partitions=1"};
    log_sink_set(no_lines, NULL);
    struct sim_world *world = sim_world_create(1, NULL);
    struct status s = serve_options_make(NULL, "/data", "127.0.0.1:9092", "off", SETS, COUNT_OF(SETS), &run.options);
    assert(status_is_ok(s));
    sim_world_destroy(world);
    return 0;
}

/* ---- one request */
struct asking {
    char text[TEXT_MAX]; // cut into pieces by zeros
    struct guard_headers headers;
    struct exchange exchange;
};

/* The text up to `stop`, or all of it; `at` moves behind it. */
static char *take(char **at, const char *stop)
{
    char *from = *at, *end = strstr(from, stop);
    *at = end ? end + strlen(stop) : from + strlen(from);
    if (end)
        *end = '\0';
    return from;
}

static void take_header(struct guard_headers *headers, char *line)
{
    const struct {
        const char *name;
        const char **to;
    } NAMES[] = {{"Host", &headers->host},
                 {"Origin", &headers->origin},
                 {"Sec-Fetch-Site", &headers->fetch_site},
                 {"X-Ottla-Token", &headers->token},
                 {"Content-Type", &headers->content_type}};
    char *value = line;
    const char *name = take(&value, ": ");
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (strcasecmp(name, NAMES[i].name) == 0)
            *NAMES[i].to = value;
}

static void take_query(struct exchange *e, char *text)
{
    while (*text && e->query_count < QUERY_MAX) {
        char *value = take(&text, "&");
        const char *name = take(&value, "=");
        e->query[e->query_count].name = name;
        e->query[e->query_count++].value = value;
    }
}

static void parse(struct asking *asking, struct slice bytes)
{
    struct exchange *e = &asking->exchange;
    size_t size = bytes.size < TEXT_MAX - 1 ? bytes.size : TEXT_MAX - 1;
    memcpy(asking->text, bytes.data, size);
    asking->text[size] = '\0';
    char *body = asking->text, *lines = take(&body, "\n\n"), *query = take(&lines, "\n");
    e->method = take(&query, " ");
    e->path = take(&query, "?");
    take_query(e, query);
    while (*lines)
        take_header(&asking->headers, take(&lines, "\n"));
    e->body = slice_str(body);
}

static void read_stream(struct stream *stream)
{
    bool goes_on = true;
    for (int i = 0; i < STEPS_MAX && goes_on; i++) {
        stream->out.size = 0;
        goes_on = stream->step(stream);
    }
    stream->free(stream);
}

static void check_answer(const struct exchange *e)
{
    assert(e->status >= 200 && e->status < 600 && e->type);
    if (e->encoding || e->fixed.data || strcmp(e->type, "application/json") != 0)
        return;
    json_t *json = json_loadb((const char *)e->out.data, e->out.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert(json);
    json_decref(json);
}

static unsigned answer(struct http_site *site, struct slice bytes)
{
    struct asking *asking = mem_zalloc(sizeof *asking);
    struct exchange *e = &asking->exchange;
    asking->headers =
        (struct guard_headers){.host = "localhost:8080", .token = site->token, .content_type = "application/json"};
    parse(asking, bytes);
    e->site = site;
    e->broker = site->broker;
    asker__init(&e->asker, site->broker);
    if (guard__admits(e, &asking->headers))
        routes__answer(e);
    unsigned status = e->status;
    if (e->stream)
        read_stream(e->stream);
    else
        check_answer(e);
    asker__free(&e->asker);
    buffer_free(&e->out);
    mem_free(asking);
    return status;
}

/* ---- the machine */
static void ask_all(struct http_site *site)
{
    struct slice rest = run.input;
    for (int i = 0; i < REQUESTS_MAX && rest.size > 0; i++) {
        const uint8_t *end = memchr(rest.data, 0, rest.size);
        size_t size = end ? (size_t)(end - rest.data) : rest.size;
        answer(site, slice_of(rest.data, size));
        size += end != NULL;
        rest = slice_of(rest.data + size, rest.size - size);
    }
}

static void asks(void *context)
{
    while (!run.ottla)
        sim_sleep_ns(1000000);
    struct http_site site = {.broker = ottla_broker(run.ottla), .version = "0", .token = "token"};
    site.history = history__create(site.broker);
    history__sample(site.history);
    unsigned made = answer(&site, slice_str("POST /api/v1/topics\n\n{\"name\": \"first\", \"partitions\": 2}"));
    static const char SEND[] = "POST /api/v1/topics/first/messages\n\n"
                               "{\"messages\": [{\"key\": \"k\", \"value\": \"{\\\"a\\\": [1, 2]}\"}]}";
    unsigned sent = answer(&site, slice_str(SEND));
    assert(made < 300 && sent < 300);
    ask_all(&site);
    unsigned told = answer(&site, slice_str("GET /api/v1/topics/first"));
    assert(told == 200 || told == 404); // it may have been deleted
    history__free(site.history);
}

static void broker_main(void *context)
{
    struct status s = ottla_start(&run.options, &run.ottla);
    assert(status_is_ok(s));
    while (!sim_clients_are_done(run.world) && !broker_has_failed(ottla_broker(run.ottla)))
        sim_sleep_ns(2000000);
    s = ottla_stop(run.ottla);
    assert(status_is_ok(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run.world = sim_world_create(1, NULL);
    run.ottla = NULL;
    run.input = slice_of(data, size);
    sim_client(run.world, "console", asks, NULL);
    enum sim_end end = sim_run(run.world, broker_main, NULL, 3600000000000);
    assert(end == SIM_DONE);
    sim_world_destroy(run.world);
    return 0;
}
