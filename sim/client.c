// SPDX-License-Identifier: Apache-2.0
/* sim/client.c - see client.h. A frame is written whole before anything is read; the broker never waits for its reader, so
 * that cannot lock up.
 */
#include "sim/client.h"

#include "sim/witness.h"
#include "wire/gen/headers.h"

#include <errno.h>

enum { FRAME_BYTES_MAX = 1 << 24 };

void link_init(struct link *link)
{
    *link = (struct link){.loop = io_loop_create(), .socket = -1, .send_timeout_ms = 10000};
    wire_writer_init(&link->out, FRAME_BYTES_MAX);
    arena_init(&link->arena, 4096, FRAME_BYTES_MAX);
}

void link_free(struct link *link)
{
    link_close(link);
    io_loop_destroy(link->loop);
    wire_writer_free(&link->out);
    buffer_free(&link->in);
    arena_free(&link->arena);
}

bool link_is_open(const struct link *link)
{
    return link->socket >= 0;
}

void link_close(struct link *link)
{
    if (link->socket < 0)
        return;
    io_loop_watch(link->loop, link->socket, 0, NULL);
    io_socket_close(link->socket);
    link->socket = -1;
}

/* False at the deadline. */
static bool wait_until(struct link *link, uint32_t events, int64_t deadline_ns)
{
    struct io_event event;
    io_loop_watch(link->loop, link->socket, events, link);
    while (io_loop_wait(link->loop, &event, 1, deadline_ns) == 0)
        if (io_now_ns() >= deadline_ns)
            return false;
    return true;
}

static int64_t deadline_of(int64_t timeout_ms)
{
    return io_now_ns() + timeout_ms * 1000000;
}

bool link_open(struct link *link, uint16_t port, int64_t timeout_ms)
{
    link_close(link);
    link->socket = io_connect("127.0.0.1", port);
    if (link->socket < 0)
        return false;
    link->next_id = link->next_reply_id = 0;
    if (wait_until(link, IO_WRITABLE, deadline_of(timeout_ms)) && io_connect_result(link->socket) == 0)
        return true;
    link_close(link);
    return false;
}

static bool send_all(struct link *link, int64_t deadline_ns)
{
    for (size_t done = 0; done < link->out.size;) {
        struct iovec piece = {link->out.data + done, link->out.size - done};
        int64_t sent = io_sendv(link->socket, &piece, 1, false);
        if (sent == -EAGAIN && wait_until(link, IO_WRITABLE, deadline_ns))
            continue;
        if (sent < 0)
            return false;
        done += (size_t)sent;
    }
    return true;
}

bool link_send(struct link *link, int16_t key, int16_t version, const void *request)
{
    if (link->socket < 0)
        return false;
    struct request_header header = {.request_api_key = key,
                                    .request_api_version = version,
                                    .correlation_id = link->next_id++,
                                    .client_id = slice_str("simulated")};
    wire_writer_reset(&link->out, FRAME_BYTES_MAX);
    wire_write_i32(&link->out, 0);
    request_header_write(&link->out, wire_request_header_version(key, version), &header);
    wire_api_find(key)->request->write(&link->out, version, request);
    assert(!wire_writer_failed(&link->out));
    wire_writer_patch_i32(&link->out, 0, (int32_t)link->out.size - 4);
    if (send_all(link, deadline_of(link->send_timeout_ms)))
        return true;
    link_close(link);
    return false;
}

static bool receive_exactly(struct link *link, uint8_t *bytes, size_t size, int64_t deadline_ns)
{
    while (size > 0) {
        int64_t got = io_recv(link->socket, bytes, size);
        if (got == -EAGAIN && wait_until(link, IO_READABLE, deadline_ns))
            continue;
        if (got <= 0)
            return false;
        bytes += got;
        size -= (size_t)got;
    }
    return true;
}

static bool receive_frame(struct link *link, int64_t deadline_ns)
{
    uint8_t head[4];
    if (!receive_exactly(link, head, sizeof head, deadline_ns))
        return false;
    uint32_t size = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    if (size > FRAME_BYTES_MAX) {
        blame("a reply has an absurd size", size, 0);
        return false;
    }
    link->in.size = 0;
    buffer_reserve(&link->in, size + 1);
    link->in.size = size;
    return receive_exactly(link, link->in.data, size, deadline_ns);
}

static bool decode(struct link *link, int16_t key, int16_t version, const void **ret_response)
{
    const struct wire_message *layout = wire_api_find(key)->response;
    struct wire_reader reader;
    struct response_header header;
    arena_reset(&link->arena);
    wire_reader_init(&reader, link->in.data, link->in.size);
    response_header_read(&reader, wire_response_header_version(key, version), &link->arena, &header);
    if (header.correlation_id != link->next_reply_id++) {
        blame("a reply is not that of the oldest request", header.correlation_id, link->next_reply_id - 1);
        return false;
    }
    void *response = arena_zalloc(&link->arena, layout->size);
    layout->read(&reader, version, &link->arena, response);
    *ret_response = response;
    if (wire_reader_finish(&reader))
        return true;
    blame("a reply does not fit its layout", key, version);
    return false;
}

bool link_receive(struct link *link, int16_t key, int16_t version, int64_t timeout_ms, const void **ret_response)
{
    if (link->socket >= 0 && receive_frame(link, deadline_of(timeout_ms)) && decode(link, key, version, ret_response))
        return true;
    link_close(link);
    return false;
}

bool link_call(struct link *link, int16_t key, int16_t version, const void *request, int64_t timeout_ms,
               const void **ret_response)
{
    return link_send(link, key, version, request) && link_receive(link, key, version, timeout_ms, ret_response);
}
