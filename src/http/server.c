// SPDX-License-Identifier: Apache-2.0
/* http/server.c - the port, and libmicrohttpd behind it.
 *
 *   WAITING    the port is open; our thread sleeps until a connection, the end, or the next sample of the history comes
 *   SERVING    libmicrohttpd was loaded and has taken the port over, with a thread for each connection: what waits for the
 *              broker waits there. Ours goes on sampling
 *   BROKEN     it could not be loaded: the port is closed again, and the log says which package is missing
 *
 * Limits: CONNECTIONS_MAX at once, each with MEMORY_MAX_BYTES for its head, BODY_MAX_BYTES for what it sends, and TIMEOUT_S
 * of silence. Whatever is wrong with a request, only that request learns of it.
 */
#include "http/http__.h"

#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>

enum { CONNECTIONS_MAX = 48, MEMORY_MAX_BYTES = 64 << 10, TIMEOUT_S = 30, STACK_BYTES = 256 << 10, BACKLOG = 16 };
enum { STREAM_BLOCK_BYTES = 64 << 10 };

static const char LIBRARY[] = "libmicrohttpd.so.12";

enum server_state { SERVER_WAITING, SERVER_SERVING, SERVER_BROKEN };

/* The functions of libmicrohttpd that we use; looked up once. */
struct library {
    void *handle;
    __typeof__(&MHD_start_daemon) start_daemon;
    __typeof__(&MHD_stop_daemon) stop_daemon;
    __typeof__(&MHD_lookup_connection_value) lookup_value;
    __typeof__(&MHD_get_connection_values) get_values;
    __typeof__(&MHD_create_response_from_callback) create_streamed;
    __typeof__(&MHD_create_response_from_buffer) create_response;
    __typeof__(&MHD_add_response_header) add_header;
    __typeof__(&MHD_queue_response) queue_response;
    __typeof__(&MHD_destroy_response) destroy_response;
};

struct http {
    struct http_site site;
    enum server_state state; // changed by our thread, read after it was joined
    int listener;
    struct io_address bound;
    struct io_loop *loop;
    struct io_thread *thread;
    struct io_mail stop_mail;
    struct library library;
    struct MHD_Daemon *daemon;
};

static bool library_load(struct library *library)
{
    library->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library->handle)
        return false;
    const struct {
        const char *name;
        void **to;
    } symbols[] = {
        {"MHD_start_daemon", (void **)&library->start_daemon},
        {"MHD_stop_daemon", (void **)&library->stop_daemon},
        {"MHD_lookup_connection_value", (void **)&library->lookup_value},
        {"MHD_get_connection_values", (void **)&library->get_values},
        {"MHD_create_response_from_callback", (void **)&library->create_streamed},
        {"MHD_create_response_from_buffer", (void **)&library->create_response},
        {"MHD_add_response_header", (void **)&library->add_header},
        {"MHD_queue_response", (void **)&library->queue_response},
        {"MHD_destroy_response", (void **)&library->destroy_response},
    };
    for (size_t i = 0; i < COUNT_OF(symbols); i++) {
        *symbols[i].to = dlsym(library->handle, symbols[i].name);
        if (!*symbols[i].to)
            return false;
    }
    return true;
}

/* ---- one request */
struct incoming {
    struct http *http;
    struct exchange exchange;
    struct buffer body;
    bool is_too_large;
};

static struct incoming *incoming_create(struct http *http)
{
    struct incoming *incoming = mem_zalloc(sizeof *incoming);
    incoming->http = http;
    incoming->exchange.site = &http->site;
    incoming->exchange.broker = http->site.broker;
    asker__init(&incoming->exchange.asker, http->site.broker);
    return incoming;
}

static void incoming_end(void *context, struct MHD_Connection *connection, void **of_request,
                         enum MHD_RequestTerminationCode why)
{
    (void)context, (void)connection, (void)why;
    struct incoming *incoming = *of_request;
    if (!incoming)
        return;
    struct exchange *e = &incoming->exchange;
    for (int i = 0; i < e->query_count; i++) {
        mem_free((void *)(uintptr_t)e->query[i].name);
        mem_free((void *)(uintptr_t)e->query[i].value);
    }
    asker__free(&e->asker);
    buffer_free(&e->out);
    buffer_free(&incoming->body);
    mem_free(incoming);
    *of_request = NULL;
}

/* ---- answers */
static bool add_headers(const struct library *mhd, struct MHD_Response *response, const struct exchange *e)
{
    char disposition[256] = "";
    if (e->file_name) {
        snprintf(disposition, sizeof disposition, "attachment; filename=\"%s\"", e->file_name);
        for (char *c = strchr(disposition, '"') + 1; c[1]; c++)
            if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20)
                *c = '_';
    }
    const struct {
        const char *name, *value;
    } HEADERS[] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, e->type},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {MHD_HTTP_HEADER_CONTENT_ENCODING, e->encoding},
        {"Content-Disposition", *disposition ? disposition : NULL},
        {"Content-Security-Policy", guard__policy},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {MHD_HTTP_HEADER_CONNECTION, e->stream ? "close" : NULL}, // its thread may have stood back for good
        {MHD_HTTP_HEADER_ALLOW, e->status == 405 ? "GET, HEAD, POST" : NULL},
    };
    bool ok = true;
    for (size_t i = 0; i < COUNT_OF(HEADERS); i++)
        ok = ok && (!HEADERS[i].value || mhd->add_header(response, HEADERS[i].name, HEADERS[i].value) == MHD_YES);
    return ok;
}

/* The next bytes of a stream, which it makes when there are none; runs on the connection's own thread. */
static ssize_t stream_read(void *context, uint64_t position, char *to, size_t room)
{
    (void)position;
    struct stream *stream = context;
    while (stream->sent == stream->out.size) {
        stream->sent = stream->out.size = 0;
        if (!stream->step(stream) && stream->out.size == 0)
            return MHD_CONTENT_READER_END_OF_STREAM;
    }
    size_t left = stream->out.size - stream->sent, size = left < room ? left : room;
    memcpy(to, stream->out.data + stream->sent, size);
    stream->sent += size;
    return (ssize_t)size;
}

static void stream_end(void *context)
{
    struct stream *stream = context;
    stream->free(stream);
}

static struct MHD_Response *response_create(const struct library *mhd, struct exchange *e)
{
    if (e->stream) {
        e->type = e->stream->type;
        e->file_name = e->stream->file_name;
        return mhd->create_streamed(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, stream_read, e->stream, stream_end);
    }
    if (e->fixed.data)
        return mhd->create_response(e->fixed.size, (void *)(uintptr_t)e->fixed.data, MHD_RESPMEM_PERSISTENT);
    return mhd->create_response(e->out.size, e->out.data, MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result reply(struct http *http, struct MHD_Connection *connection, struct exchange *e)
{
    const struct library *mhd = &http->library;
    struct MHD_Response *response = response_create(mhd, e);
    if (!response)
        return MHD_NO;
    enum MHD_Result result =
        add_headers(mhd, response, e) ? mhd->queue_response(connection, e->status, response) : MHD_NO;
    mhd->destroy_response(response);
    return result;
}

/* ---- what is asked */
static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static char *decoded(const char *text)
{
    char *copy = mem_strdup(text), *to = copy;
    for (const char *at = copy; *at; at++) {
        bool is_coded = *at == '%' && at[1] && hex(at[1]) >= 0 && hex(at[2]) >= 0;
        *to++ = is_coded ? (char)(hex(at[1]) << 4 | hex(at[2])) : *at;
        at += is_coded ? 2 : 0;
    }
    *to = '\0';
    return copy;
}

/* Names and values come as they were sent (see keep_escaped). */
static enum MHD_Result take_query(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    struct exchange *e = context;
    if (e->query_count == QUERY_MAX)
        return MHD_NO;
    e->query[e->query_count].name = decoded(name);
    e->query[e->query_count++].value = decoded(value ? value : "");
    return MHD_YES;
}

/* A group's name may hold a slash, so paths are decoded step by step, by us. */
static size_t keep_escaped(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

static void answer(struct incoming *incoming, struct MHD_Connection *connection)
{
    const struct library *mhd = &incoming->http->library;
    struct exchange *e = &incoming->exchange;
    const struct guard_headers headers = {
        .host = mhd->lookup_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST),
        .origin = mhd->lookup_value(connection, MHD_HEADER_KIND, "Origin"),
        .fetch_site = mhd->lookup_value(connection, MHD_HEADER_KIND, "Sec-Fetch-Site"),
        .token = mhd->lookup_value(connection, MHD_HEADER_KIND, "X-Ottla-Token"),
        .content_type = mhd->lookup_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE),
    };
    e->body = slice_of(incoming->body.data, incoming->body.size);
    if (!guard__admits(e, &headers))
        return;
    if (incoming->is_too_large) {
        exchange__fail(e, 413, "TOO_LARGE", "a body has at most %d bytes", BODY_MAX_BYTES);
        return;
    }
    const char *accepted = mhd->lookup_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    e->accept = mhd->lookup_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    e->accepts_gzip = accepted && strstr(accepted, "gzip");
    mhd->get_values(connection, MHD_GET_ARGUMENT_KIND, take_query, e);
    routes__answer(e);
}

static void take_body(struct incoming *incoming, const char *body, size_t size)
{
    incoming->is_too_large |= incoming->body.size + size > BODY_MAX_BYTES;
    if (incoming->is_too_large)
        buffer_free(&incoming->body);
    else
        buffer_append(&incoming->body, body, size);
}

/* Called with the head, then with each part of the body, then once more when all of it is there. */
static enum MHD_Result answer_request(void *context, struct MHD_Connection *connection, const char *path,
                                      const char *method, const char *protocol, const char *body, size_t *body_size,
                                      void **of_request)
{
    (void)protocol;
    struct http *http = context;
    struct incoming *incoming = *of_request;
    if (!incoming) {
        *of_request = incoming_create(http);
        return MHD_YES;
    }
    if (*body_size > 0) {
        take_body(incoming, body, *body_size);
        *body_size = 0;
        return MHD_YES;
    }
    incoming->exchange.path = path;
    incoming->exchange.method = method;
    answer(incoming, connection);
    return reply(http, connection, &incoming->exchange);
}

/* ---- the port */
static bool serve(struct http *http)
{
    if (!library_load(&http->library))
        return false;
    http->daemon = http->library.start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC, 0, NULL, NULL,
        answer_request, http, MHD_OPTION_NOTIFY_COMPLETED, incoming_end, NULL, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escaped, NULL, MHD_OPTION_LISTEN_SOCKET, http->listener, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES,
        MHD_OPTION_END);
    return http->daemon != NULL;
}

static void take_over(struct http *http)
{
    io_loop_watch(http->loop, http->listener, 0, NULL);
    if (serve(http)) {
        http->state = SERVER_SERVING;
        return;
    }
    const char *why = http->library.handle ? "it does not start" : dlerror();
    LOG(LOG_ERROR, "http",
        "console, metrics and health are off: %s cannot be used (%s); install it (Debian: libmicrohttpd12) and start "
        "again",
        LIBRARY, why ? why : "unknown reason");
    io_socket_close(http->listener);
    http->state = SERVER_BROKEN;
}

static void run(void *context)
{
    struct http *http = context;
    struct io_event event;
    int64_t sample_ms = io_now_ms();
    for (;;) {
        int count = io_loop_wait(http->loop, &event, 1, sample_ms * 1000000);
        if (io_loop_mail(http->loop))
            return;
        if (count > 0)
            take_over(http);
        if (io_now_ms() < sample_ms)
            continue;
        if (broker_is_ready(http->site.broker))
            history__sample(http->site.history);
        sample_ms = io_now_ms() + HISTORY_STEP_MS;
    }
}

/* Letters and digits that nobody guesses. */
static void make_token(char *ret_token, size_t size)
{
    static const char DIGITS[] = "0123456789abcdef";
    uint8_t drawn[21];
    assert(2 * sizeof drawn < size);
    io_random(drawn, sizeof drawn);
    for (size_t i = 0; i < sizeof drawn; i++) {
        ret_token[2 * i] = DIGITS[drawn[i] >> 4];
        ret_token[2 * i + 1] = DIGITS[drawn[i] & 15];
    }
    ret_token[2 * sizeof drawn] = '\0';
}

struct status http_start(const struct http_options *options, struct http **ret_http)
{
    assert(http_is_loopback(options->host));
    struct http *http = mem_zalloc(sizeof *http);
    http->site.broker = options->broker;
    http->site.is_read_only = options->is_read_only;
    snprintf(http->site.version, sizeof http->site.version, "%s", options->version);
    make_token(http->site.token, sizeof http->site.token);
    http->listener = io_listen(options->host, options->port, BACKLOG, &http->bound);
    if (http->listener < 0) {
        struct status s = STATUS(-http->listener, "open the port for metrics");
        mem_free(http);
        return s;
    }
    http->site.history = history__create(options->broker);
    http->loop = io_loop_create();
    io_loop_watch(http->loop, http->listener, IO_READABLE, http);
    http->thread = io_thread_start("http", run, http);
    *ret_http = http;
    return STATUS_OK;
}

void http_stop(struct http *http)
{
    if (!http)
        return;
    atomic_store(&http->site.stopping, true);
    io_loop_send(http->loop, &http->stop_mail);
    io_thread_join(http->thread);
    if (http->state == SERVER_WAITING)
        io_socket_close(http->listener);
    else if (http->state == SERVER_SERVING)
        http->library.stop_daemon(http->daemon); // closes the port
    io_loop_destroy(http->loop);
    history__free(http->site.history);
    mem_free(http);
}

uint16_t http_port(const struct http *http)
{
    return http->bound.port;
}
