// SPDX-License-Identifier: Apache-2.0
/* sim/client.h - a small Kafka client for coroutines of the simulator: one connection, requests by the generated codecs.
 *
 * Every call that talks to the broker may fail, because it is gone, slow, or the connection was reset; then the link is
 * closed, and what was under way has an unknown outcome. Replies come in the order of the requests, or else that is blamed.
 */
#pragma once

#include "io/io.h"
#include "wire/wire.h"

struct link {
    struct io_loop *loop;
    int socket; // -1: closed
    int32_t next_id, next_reply_id;
    struct wire_writer out;
    struct buffer in;
    struct arena arena;      // of the latest reply
    int64_t send_timeout_ms; // how long a broker may read nothing
    bool errors_may_come;    // the user's: what it was opened to has a bad disk
};

void link_init(struct link *link);
void link_free(struct link *link);
bool link_is_open(const struct link *link);
bool link_open(struct link *link, uint16_t port, int64_t timeout_ms);
void link_close(struct link *link);
bool link_send(struct link *link, int16_t key, int16_t version, const void *request);
/* The response to the oldest request without one; lives until the next is received. */
bool link_receive(struct link *link, int16_t key, int16_t version, int64_t timeout_ms, const void **ret_response);
bool link_call(struct link *link, int16_t key, int16_t version, const void *request, int64_t timeout_ms,
               const void **ret_response);
