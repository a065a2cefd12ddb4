// SPDX-License-Identifier: Apache-2.0
/* http/server.c - the port, and libmicrohttpd behind it.
 *
 *   WAITING    the port is open; our thread sleeps until a connection or the end comes
 *   SERVING    libmicrohttpd was loaded and has taken the port over, with a thread of its own; ours has ended
 *   BROKEN     it could not be loaded: the port is closed again, and the log says which package is missing
 *
 * Requests are small and rare: at most CONNECTIONS_MAX at once, each with MEMORY_MAX_BYTES and TIMEOUT_S; bodies are not
 * read. Whatever is wrong with a request, only that request learns of it.
 */
#include "http/http__.h"

#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>

enum { CONNECTIONS_MAX = 32, MEMORY_MAX_BYTES = 16 << 10, TIMEOUT_S = 15, STACK_BYTES = 256 << 10, BACKLOG = 16 };

static const char LIBRARY[] = "libmicrohttpd.so.12";

enum server_state { SERVER_WAITING, SERVER_SERVING, SERVER_BROKEN };

/* The functions of libmicrohttpd that we use; looked up once. */
struct library {
    void *handle;
    __typeof__(&MHD_start_daemon) start_daemon;
    __typeof__(&MHD_stop_daemon) stop_daemon;
    __typeof__(&MHD_lookup_connection_value) lookup_value;
    __typeof__(&MHD_create_response_from_buffer) create_response;
    __typeof__(&MHD_add_response_header) add_header;
    __typeof__(&MHD_queue_response) queue_response;
    __typeof__(&MHD_destroy_response) destroy_response;
};

struct http {
    struct broker *broker;
    char version[32];
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
static enum MHD_Result reply(struct http *http, struct MHD_Connection *connection, struct http_answer answer,
                             struct buffer *text)
{
    const struct library *mhd = &http->library;
    struct MHD_Response *response = mhd->create_response(text->size, text->data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    bool complete = mhd->add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.type) == MHD_YES &&
                    mhd->add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES &&
                    mhd->add_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES &&
                    (answer.status != 405 || mhd->add_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES);
    enum MHD_Result result = complete ? mhd->queue_response(connection, answer.status, response) : MHD_NO;
    mhd->destroy_response(response);
    return result;
}

static struct http_answer refuse(unsigned status, const char *why, struct buffer *out)
{
    buffer_printf(out, "%s\n", why);
    return (struct http_answer){.status = status, .type = "text/plain; charset=utf-8"};
}

static enum MHD_Result answer_request(void *context, struct MHD_Connection *connection, const char *path,
                                      const char *method, const char *protocol, const char *body, size_t *body_size,
                                      void **of_request)
{
    struct http *http = context;
    struct buffer text CLEANUP(buffer_free) = {0};
    struct http_answer answer;
    const char *host = http->library.lookup_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        answer = refuse(405, "only GET and HEAD are answered here", &text);
    else if (!host__is_ours(host))
        answer = refuse(403, "this port answers only requests for localhost, 127.0.0.1 or [::1]", &text);
    else if (!routes__answer(http->broker, http->version, path, &text, &answer))
        answer = refuse(404, "no such page; see /healthz, /readyz and /metrics", &text);
    (void)protocol, (void)body, (void)body_size, (void)of_request;
    return reply(http, connection, answer, &text);
}

/* ---- the port */
static bool serve(struct http *http)
{
    if (!library_load(&http->library))
        return false;
    http->daemon = http->library.start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ITC, 0, NULL, NULL, answer_request, http,
        MHD_OPTION_LISTEN_SOCKET, http->listener, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_S, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_END);
    return http->daemon != NULL;
}

static void wait_for_first(void *context)
{
    struct http *http = context;
    struct io_event event;
    int count = 0;
    do
        count = io_loop_wait(http->loop, &event, 1, INT64_MAX);
    while (count == 0 && !io_loop_mail(http->loop));
    if (count == 0)
        return; // the end came first
    io_loop_watch(http->loop, http->listener, 0, NULL);
    if (serve(http)) {
        http->state = SERVER_SERVING;
        return;
    }
    const char *why = http->library.handle ? "it does not start" : dlerror();
    LOG(LOG_ERROR, "http",
        "metrics and health are off: %s cannot be used (%s); install it (Debian: libmicrohttpd12) and start again",
        LIBRARY, why ? why : "unknown reason");
    io_socket_close(http->listener);
    http->state = SERVER_BROKEN;
}

struct status http_start(const struct http_options *options, struct http **ret_http)
{
    assert(http_is_loopback(options->host));
    struct http *http = mem_zalloc(sizeof *http);
    http->broker = options->broker;
    snprintf(http->version, sizeof http->version, "%s", options->version);
    http->listener = io_listen(options->host, options->port, BACKLOG, &http->bound);
    if (http->listener < 0) {
        struct status s = STATUS(-http->listener, "open the port for metrics");
        mem_free(http);
        return s;
    }
    http->loop = io_loop_create();
    io_loop_watch(http->loop, http->listener, IO_READABLE, http);
    http->thread = io_thread_start("http", wait_for_first, http);
    *ret_http = http;
    return STATUS_OK;
}

void http_stop(struct http *http)
{
    if (!http)
        return;
    io_loop_send(http->loop, &http->stop_mail);
    io_thread_join(http->thread);
    if (http->state == SERVER_WAITING)
        io_socket_close(http->listener);
    else if (http->state == SERVER_SERVING)
        http->library.stop_daemon(http->daemon); // closes the port
    io_loop_destroy(http->loop);
    mem_free(http);
}

uint16_t http_port(const struct http *http)
{
    return http->bound.port;
}
