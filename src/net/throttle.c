// SPDX-License-Identifier: Apache-2.0
/* net/throttle.c - clients that have to wait for a quota.
 *
 * A connection whose answer told its client to wait is not read for that long, and nothing that it has sent meanwhile is
 * started (KIP-219). A connection that comes too early for its address's quota is accepted, left alone, and closed once the
 * wait is over: closing it at once would have the client come again at once (KIP-612). A stop waits for neither.
 */
#include "net/net__.h"

/* ---- mutes */
void net__mute(struct connection *connection, int32_t throttle_ms)
{
    int64_t until_ms = connection->reactor->now_ms + throttle_ms;
    if (!net__of(connection->reactor)->stopping && (connection->muted.index == 0 || connection->muted.key < until_ms))
        heap_insert(&net__of(connection->reactor)->muted, &connection->muted, until_ms);
}

static void unmute(struct reactor *reactor, int64_t until_ms)
{
    struct net_reactor *own = net__of(reactor);
    for (struct heap_node *first; (first = heap_first(&own->muted)) && first->key <= until_ms;) {
        struct connection *connection = CONTAINER_OF(first, struct connection, muted);
        heap_remove(&own->muted, first);
        connection->is_unmuted = true;
        if (list_is_empty(&connection->in_flush))
            list_push_back(&own->flush, &connection->in_flush);
    }
}

/* ---- too early */
void net__early_keep(struct reactor *reactor, int socket, int64_t throttle_ms)
{
    struct net_reactor *own = net__of(reactor);
    if (own->early_count == EARLY_MAX) {
        io_socket_close(socket);
        return;
    }
    if (!own->early)
        own->early = mem_alloc(EARLY_MAX * sizeof *own->early);
    own->early[own->early_count++] = (struct early){socket, reactor->now_ms + throttle_ms};
}

static void early_close(struct reactor *reactor, int64_t until_ms)
{
    struct net_reactor *own = net__of(reactor);
    for (int32_t i = own->early_count - 1; i >= 0; i--) {
        if (own->early[i].close_at_ms > until_ms)
            continue;
        io_socket_close(own->early[i].socket);
        own->early[i] = own->early[--own->early_count];
    }
}

/* ---- both */
void net__throttle_end(struct reactor *reactor, int64_t until_ms)
{
    unmute(reactor, until_ms);
    early_close(reactor, until_ms);
}

int64_t net__throttle_next_ms(const struct reactor *reactor)
{
    const struct net_reactor *own = net__of(reactor);
    const struct heap_node *muted = heap_first(&own->muted);
    int64_t next_ms = muted ? muted->key : INT64_MAX;
    for (int32_t i = 0; i < own->early_count; i++)
        next_ms = min_i64(next_ms, own->early[i].close_at_ms);
    return next_ms;
}
