// SPDX-License-Identifier: Apache-2.0
/* net/net__.h - inside of net: blocks, connections, what a reactor keeps for them. */
#pragma once

#include "net/net.h"

#include <errno.h>

/* What the context of a loop event points at. */
enum handle_kind { HANDLE_LISTENER, HANDLE_CONNECTION };
struct handle {
    enum handle_kind kind;
};

/* Connections that may still be made in this second; reactor 0's alone. */
struct bucket {
    int64_t rate_max; // INT32_MAX: no rate
    int64_t tokens, filled_ms;
};

struct listener {
    struct handle handle; // first
    struct net *net;
    const struct broker_listener *named;
    int socket;
    struct io_address bound;
    int64_t count;           // of its connections, under admission.lock
    int64_t connections_max; // its own, or what holds for the broker
    struct bucket bucket;
};

/* A lent receive buffer: [0, parsed) cut into frames, [parsed, end) received, [end, capacity) free. Counted by the
 * connection that fills it and each request whose frame lies in it; all on one reactor. */
struct block {
    struct block *next; // free list
    uint32_t references;
    size_t parsed, end, capacity;
    size_t size; // what was allocated: at least the capacity
    uint8_t bytes[];
};

/* admission.c: who is connected, by address, and how many more may be. */
struct override { // an entry of max.connections.per.ip.overrides
    uint8_t address[META_ADDRESS_BYTES];
    int32_t connections_max;
};

struct admission {
    struct io_lock *lock; // over peers and count
    struct hash peers;
    int64_t count;
    /* reactor 0's alone: limits as they were under that version of the broker's settings */
    bool limits_known;
    uint64_t limits_version;
    int64_t connections_max, per_ip_max;
    struct override *overrides;
    int override_count;
    struct bucket bucket;
};

struct connection {
    struct handle handle; // first
    struct io_mail mail;  // hand-over to its reactor
    struct reactor *reactor;
    struct listener *listener;
    int socket;
    uint32_t watching; // as told to the loop
    struct io_address peer, local;
    struct block *block;  // NULL when idle
    size_t frame_bytes;   // of the latest frame, and its head: the next one is expected to be as large
    struct list requests; // struct request.in_connection, oldest first
    int request_count;
    int muting_count; // of them those that mute the connection until they are answered
    size_t request_bytes;
    int segment; // of the oldest request's reply: 2i memory before piece i, 2i+1 piece i
    size_t segment_sent;
    bool wants_writable, peer_closed;
    struct heap_node muted;  // by the end of its mute, monotonic ms: a quota keeps it from being read
    bool is_unmuted;         // its mute has just ended: what it has sent before is to be cut
    int64_t wanted_bytes;    // when it is starved
    bool starved;            // it is not read until there is memory for it: in net_reactor.starved
    bool is_held;            // a request of it waits until its client has read answers: counted once
    int64_t active_ms;       // monotonic: when something was last received, sent or answered
    int64_t frame_since_ms;  // when the frame began that is not whole yet; INT64_MAX: there is none
    int64_t unread_since_ms; // since when its oldest answer waits for the client to read; INT64_MAX: none does
    struct list in_reactor, in_flush, in_starved;
};

enum { EARLY_MAX = 1000 }; // more are closed at once
struct early {             // a connection that is open, unread, and closed in the end (KIP-612)
    int socket;
    int64_t close_at_ms;
};

struct net_reactor {
    struct net *net;
    struct list connections;      // longest inactive first
    struct list flush;            // connections with something to send or start
    size_t tick_bytes;            // of requests that this tick has started
    struct list starved;          // connections that wait for memory, the longest waiting first
    struct connection *grower;    // may have more memory than there is; NULL: nobody
    _Atomic int64_t grower_bytes; // what it holds of its reactor's request_bytes, as it was last weighed
    _Atomic int64_t starved_count;
    int64_t look_at_ms, stalled_look_ms, want_told_ms;
    struct heap muted;   // struct connection.muted
    struct early *early; // connections that came too early for a quota, until they are closed
    int32_t early_count;
    struct block *blocks_free;
    int blocks_free_count;
    struct block *large_free; // larger ones, the latest used first
    size_t large_free_bytes;
    bool accept_waits; // reactor 0: for max.connection.creation.rate, until accept_at_ms
    int64_t accept_at_ms;
    uint64_t refused;
    int64_t refusal_told_ms;
    bool stopping;
};

struct net {
    struct broker *broker;
    struct net_options options;
    int64_t share_bytes; // of options.request_bytes_max, each reactor's own
    struct listener listeners[LISTENERS_MAX];
    int listener_count;
    struct admission admission;
};

static inline struct net_reactor *net__of(const struct reactor *reactor)
{
    return (struct net_reactor *)reactor->net;
}

static inline bool net__is_grower(const struct connection *connection)
{
    return net__of(connection->reactor)->grower == connection;
}

enum { STALLED_BYTES_MIN = 16 << 10 }; // who holds less is no reason for want

/* When to look who starves, and who stalls. */
static inline int64_t net__memory_deadline_ms(const struct reactor *reactor)
{
    const struct net_reactor *own = net__of(reactor);
    if (own->starved_count > 0)
        return own->look_at_ms;
    bool holds = atomic_load_explicit(&reactor->request_bytes, memory_order_relaxed) >= STALLED_BYTES_MIN;
    return holds ? own->stalled_look_ms : INT64_MAX;
}

void net__admission_init(struct admission *admission);
void net__admission_free(struct admission *admission);
/* Looks whether the limits have changed. */
void net__admission_look(struct net *net, struct reactor *reactor);
/* Counts a connection from this address; otherwise the limit that it would exceed. NET_LIMIT_COUNT: admitted. */
enum net_limit net__admit(struct listener *listener, const char *host);
void net__admission_leave(struct listener *listener, const char *host);
/* False: max.connection.creation.rate is used up for now, the broker's or the listener's own. */
bool net__admission_take_token(struct listener *listener, int64_t now_ms);
void net__admission_return_token(struct listener *listener); // nobody was there
void net__limit_reached(struct reactor *reactor, enum net_limit limit);
/* The rate allows more: accepts go on. */
void net__accept_again(struct reactor *reactor);

/* ---- throttle.c: those who have to wait for a quota */
static inline bool net__somebody_waits(const struct net_reactor *own)
{
    return own->muted.count > 0 || own->early_count > 0;
}
/* It is not read for that long. */
void net__mute(struct connection *connection, int32_t throttle_ms);
/* It came too early: it is closed by and by, which slows its client down. */
void net__early_keep(struct reactor *reactor, int socket, int64_t throttle_ms);
/* Waits that end until then: the muted are read again, the early are closed. */
void net__throttle_end(struct reactor *reactor, int64_t until_ms);
int64_t net__throttle_next_ms(const struct reactor *reactor);

struct block *net__block_get(struct reactor *reactor, size_t capacity);
void net__block_unref(struct reactor *reactor, struct block *block);
/* Room to receive into: `need` bytes from the start of the incomplete frame on, or the next part of so many. False: there is
 * no memory, the connection is starved now. */
bool net__block_make_room(struct connection *connection, size_t need);
/* After receiving: the block is given back when all of it was cut into frames; where the rest of a frame is awaited, it is
 * changed for a small one that suffices. */
void net__block_settle(struct connection *connection, bool awaits_more);
/* Memory for that many bytes more; false: the connection is starved now. */
bool net__memory_for(struct connection *connection, size_t bytes);
bool net__memory_is_short(const struct reactor *reactor);
/* What it grew for has been answered, so another one may grow. */
void net__grower_ends(struct connection *connection);
void net__memory_leave(struct connection *connection); // it is closed
void net__memory_timers(struct reactor *reactor);

void net__accept(struct reactor *reactor, struct listener *listener);
void net__connection_start(struct connection *connection); // on its reactor
/* It starved; there is memory now. */
void net__connection_read_again(struct connection *connection);
void net__connection_event(struct connection *connection, uint32_t events);
/* Starts what may start, sends what can be sent, adjusts what the loop watches; may close. */
void net__connection_advance(struct connection *connection);
void net__connection_close(struct connection *connection, const char *reason);
/* Nothing more is started until the next tick. */
bool net__tick_is_full(const struct net_reactor *own);
/* Sends from the oldest finished request on. False when the connection must close. */
bool net__send(struct connection *connection);
