// SPDX-License-Identifier: Apache-2.0
/* net/net.h - listeners and connections: bytes arrive, whole frames are cut in place, replies leave in request order.
 *
 * A connection lives and dies on one reactor. It owns a receive block only while bytes of it are not consumed; requests
 * hold the block their frame lies in. Limits per connection: CONNECTION_REQUESTS_MAX requests and
 * CONNECTION_BYTES_MAX frame bytes in flight; at the limit it is not read until replies have left. Nor is it while a
 * request of it `mutes`: what it asks for has to wait for a disk that is behind. While answers of `reply_bytes_max` wait for
 * its client to read them, nothing more is started for it.
 *
 * All connections together: `request_bytes_max` of frames, arenas and replies (memory.c); at the bound they take turns.
 */
#pragma once

#include "broker/broker.h"

enum { CONNECTION_REQUESTS_MAX = 128 };     // requests in flight on one connection
enum { CONNECTION_BYTES_MAX = 256 << 20 };  // their frames' bytes
enum { RECEIVE_BLOCK_BYTES = 256 << 10 };   // a lent receive buffer
enum { RECEIVE_BLOCKS_KEPT = 8 };           // unused ones kept by a reactor
enum { LARGE_BLOCKS_KEPT_BYTES = 8 << 20 }; // and larger ones, of this size together
enum { SMALL_BLOCK_BYTES = 1024 };          // for the start of a frame that has not come whole

struct net;

struct net_options {
    int send_buffer_bytes,
        receive_buffer_bytes;  // socket.send.buffer.bytes, socket.receive.buffer.bytes; -1: the kernel's
    int backlog;               // socket.listen.backlog.size
    int connections_max;       // whatever max.connections says
    int64_t request_bytes_max; // queued.max.request.bytes, over all reactors
    int64_t stalled_max_ms;    // ottla.stalled.max.ms
    size_t reply_bytes_max;    // ottla.connection.reply.max.bytes
    int64_t idle_max_ms;       // connections.max.idle.ms; below 0: no connection is idle for too long
};

/* Binds every listener of the broker; the bound ports are told to it. */
MUST_USE struct status net_create(struct broker *broker, const struct net_options *options, struct net **ret_net);
void net_free(struct net *net); // after the reactors' threads have ended
uint16_t net_listener_port(const struct net *net, int listener);

/* The reactor's tick: it begins; events and mail in, then `net_drain` sends what has completed and starts what may start now.
 * What one tick starts is bounded; when something is left, the next deadline is now.
 */
void net_reactor_start(struct net *net, struct reactor *reactor); // reactor 0 accepts
void net_tick_begin(struct reactor *reactor);
void net_event(struct reactor *reactor, const struct io_event *event);
void net_mail(struct reactor *reactor, struct io_mail *mail); // MAIL_CONNECTION
void net_drain(struct reactor *reactor);
void net_mail_drop(struct io_mail *mail); // one that comes after its reactor has ended
/* Closes connections on which nothing has moved for `idle_max_ms` while no request of theirs was being worked on. */
void net_timers(struct reactor *reactor);
int64_t net_next_deadline_ms(const struct reactor *reactor); // INT64_MAX: none
bool net_has_work(const struct reactor *reactor);            // for net_drain in this tick
/* Stop: accepts and reads no more; true once every connection has sent what it owes or `force`. */
bool net_reactor_stop(struct reactor *reactor, bool force);
