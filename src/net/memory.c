// SPDX-License-Identifier: Apache-2.0
/* net/memory.c - receive blocks, and the bound on the memory of all requests in flight (queued.max.request.bytes).
 *
 * Each reactor counts what its connections hold: blocks that are lent, arenas and replies of requests. A connection that
 * needs a block looks at the sum over all reactors; a share of it belongs to each reactor alone. At the bound the connection
 * is starved: not read, and put behind all that starved before it. They are looked at again every LOOK_AGAIN_MS, since
 * another reactor's memory gives no sign. The larger a frame, the more it must leave to others (left_to_others), so that
 * small ones pass the large, however many of those there are.
 *
 * So that half-received frames cannot wait for each other for ever, one connection of a reactor, the grower, may have more
 * than there is, until it has no request left; then it is the next one's turn, in the order in which they starved. What the
 * grower holds is counted apart, or one client that sends half a large frame would take from all others what was left for
 * them. So the bound is exceeded by no more than one connection of each reactor may hold.
 *
 * Whoever makes the others wait and does nothing about it is closed: a client that has left its frame half sent, or its
 * answers unread, for longer than ottla.stalled.max.ms. Without want only connections.max.idle.ms counts.
 */
#include "net/net__.h"

enum { LOOK_AGAIN_MS = 2, STALLED_LOOK_MS = 500, WANT_TOLD_MS = 10000 };
enum { LEAVE_TIMES = 16 };            // who wants more than an ordinary block leaves so many times of what is above it
enum { GROW_FREELY_BYTES = 2 << 20 }; // a frame up to this size gets its block at once, a larger one as it comes

/* ---- the bound */
static int64_t used_by(const struct reactor *reactor)
{
    return atomic_load_explicit(&reactor->request_bytes, memory_order_relaxed) -
           atomic_load_explicit(&net__of(reactor)->grower_bytes, memory_order_relaxed);
}

/* What a reactor has not used of its share counts as used, for the others. */
static int64_t memory_used(const struct net *net)
{
    int64_t used = 0;
    for (int i = 0, count = broker_options(net->broker)->reactor_count; i < count; i++)
        used += max_i64(used_by(broker_reactor(net->broker, i)), net->share_bytes);
    return used;
}

bool net__memory_is_short(const struct reactor *reactor)
{
    const struct net *net = net__of(reactor)->net;
    return used_by(reactor) >= net->share_bytes && memory_used(net) >= net->options.request_bytes_max;
}

/* What of `max` is not for those who want so much; all of it is there for an ordinary block. */
static int64_t left_to_others(int64_t bytes, int64_t max)
{
    int64_t above = max_i64(bytes - RECEIVE_BLOCK_BYTES, 0);
    return min_i64(above > max / LEAVE_TIMES ? max : LEAVE_TIMES * above, max / 2);
}

static bool is_there_memory_for(const struct reactor *reactor, int64_t bytes)
{
    const struct net *net = net__of(reactor)->net;
    int64_t used = used_by(reactor), share = net->share_bytes, max = net->options.request_bytes_max;
    return used + bytes <= share - left_to_others(bytes, share) ||
           memory_used(net) + used + bytes - max_i64(used, share) <= max - left_to_others(bytes, max);
}

/* ---- blocks */
static struct block *block_new(size_t size)
{
    struct block *block = mem_alloc(sizeof *block + size);
    block->size = size;
    return block;
}

/* The latest one used of those that are as large, or an eighth larger at most; NULL: none. */
static struct block *large_take(struct net_reactor *own, size_t capacity)
{
    for (struct block **at = &own->large_free; *at; at = &(*at)->next) {
        struct block *block = *at;
        if (block->size < capacity || block->size - capacity > capacity / 8)
            continue;
        *at = block->next;
        own->large_free_bytes -= block->size;
        return block;
    }
    return NULL;
}

/* Lending and giving back to the kernel a MiB for each frame would cost page faults, and memory that no cache knows. */
static bool large_keep(struct net_reactor *own, struct block *block)
{
    if (block->size < RECEIVE_BLOCK_BYTES || own->large_free_bytes + block->size > LARGE_BLOCKS_KEPT_BYTES)
        return false;
    block->next = own->large_free;
    own->large_free = block;
    own->large_free_bytes += block->size;
    return true;
}

struct block *net__block_get(struct reactor *reactor, size_t capacity)
{
    struct net_reactor *own = net__of(reactor);
    struct block *block = own->blocks_free;
    if (capacity == RECEIVE_BLOCK_BYTES && block) {
        own->blocks_free = block->next;
        own->blocks_free_count--;
    } else {
        block = capacity > RECEIVE_BLOCK_BYTES ? large_take(own, capacity) : NULL;
        block = block ? block : block_new(capacity);
    }
    block->next = NULL;
    block->references = 1;
    block->parsed = block->end = 0;
    block->capacity = capacity;
    reactor_charge(reactor, (int64_t)block->size);
    return block;
}

void net__block_unref(struct reactor *reactor, struct block *block)
{
    if (!block)
        return;
    assert(block->references > 0);
    if (--block->references > 0)
        return;
    struct net_reactor *own = net__of(reactor);
    reactor_charge(reactor, -(int64_t)block->size);
    if (block->size != RECEIVE_BLOCK_BYTES || own->blocks_free_count >= RECEIVE_BLOCKS_KEPT) {
        if (!large_keep(own, block))
            mem_free(block);
        return;
    }
    block->next = own->blocks_free;
    own->blocks_free = block;
    own->blocks_free_count++;
}

/* What is lent for a frame of which nothing is known yet. */
static size_t capacity_expected(const struct connection *connection)
{
    size_t wanted = connection->frame_bytes;
    bool is_large = wanted > RECEIVE_BLOCK_BYTES && wanted <= GROW_FREELY_BYTES;
    return is_large && is_there_memory_for(connection->reactor, (int64_t)wanted) ? wanted : RECEIVE_BLOCK_BYTES;
}

/* What is lent for a frame of which `got` bytes are there: a lie about a size costs no more than was sent for it. */
static size_t capacity_for(size_t need, size_t got)
{
    if (need <= GROW_FREELY_BYTES)
        return need > RECEIVE_BLOCK_BYTES ? need : RECEIVE_BLOCK_BYTES;
    size_t step = 4 * got > GROW_FREELY_BYTES ? 4 * got : GROW_FREELY_BYTES;
    return step < need ? step : need;
}

/* A frame of unknown size may be cut from what there is room for; a small block goes on only for the frame that it began. */
static bool has_room(const struct block *block, size_t rest, size_t need)
{
    if (block->end == block->capacity)
        return false;
    if (block->capacity - block->parsed >= need)
        return block->capacity >= RECEIVE_BLOCK_BYTES || rest > 0;
    return block->parsed == 0 && block->capacity >= GROW_FREELY_BYTES; // a large frame goes on in its part
}

bool net__block_make_room(struct connection *connection, size_t need)
{
    struct block *old = connection->block;
    size_t rest = old ? old->end - old->parsed : 0;
    if (old && old->references == 1 && rest == 0)
        old->parsed = old->end = 0;
    if (old && has_room(old, rest, need))
        return true;
    size_t capacity = need > 0 ? capacity_for(need, rest) : capacity_expected(connection);
    if (!net__memory_for(connection, capacity))
        return false;
    struct block *fresh = net__block_get(connection->reactor, capacity);
    assert(rest < fresh->capacity);
    if (rest > 0)
        memcpy(fresh->bytes, old->bytes + old->parsed, rest);
    fresh->end = rest;
    net__block_unref(connection->reactor, old);
    connection->block = fresh;
    return true;
}

/* The start of a frame that is small waits in a block of its own, so that many such hold little. */
static void block_shrink(struct connection *connection)
{
    struct block *old = connection->block;
    size_t rest = old->end - old->parsed;
    if (old->capacity <= SMALL_BLOCK_BYTES || rest >= SMALL_BLOCK_BYTES)
        return;
    struct block *small = net__block_get(connection->reactor, SMALL_BLOCK_BYTES);
    memcpy(small->bytes, old->bytes + old->parsed, rest);
    small->end = rest;
    net__block_unref(connection->reactor, old);
    connection->block = small;
}

void net__block_settle(struct connection *connection, bool awaits_more)
{
    struct block *block = connection->block;
    if (!block) {
        connection->frame_since_ms = INT64_MAX;
    } else if (block->parsed == block->end) {
        net__block_unref(connection->reactor, block);
        connection->block = NULL;
        connection->frame_since_ms = INT64_MAX;
    } else if (awaits_more) {
        if (connection->frame_since_ms == INT64_MAX)
            connection->frame_since_ms = connection->reactor->now_ms;
        block_shrink(connection);
    }
}

/* ---- turns */
/* A block counts once: requests whose frames lie in it follow each other. */
static size_t held_bytes(const struct connection *connection)
{
    const struct block *last = NULL;
    size_t bytes = connection->block ? connection->block->size : 0;
    LIST_EACH (node, &connection->requests) {
        const struct request *request = CONTAINER_OF(node, struct request, in_connection);
        const struct block *block = request->block;
        bool is_counted = !block || block == last || block == connection->block;
        bytes += request->charged_bytes + (is_counted ? 0 : block->size);
        last = block;
    }
    return bytes;
}

static void grower_set(struct net_reactor *own, struct connection *connection)
{
    int64_t bytes = connection ? (int64_t)held_bytes(connection) : 0;
    own->grower = connection;
    atomic_store_explicit(&own->grower_bytes, bytes, memory_order_relaxed);
}

void net__grower_ends(struct connection *connection)
{
    if (net__is_grower(connection))
        grower_set(net__of(connection->reactor), NULL);
}

static void starve(struct connection *connection, int64_t bytes)
{
    struct reactor *reactor = connection->reactor;
    struct net_reactor *own = net__of(reactor);
    net__limit_reached(reactor, NET_LIMIT_REQUEST_MEMORY);
    connection->starved = true;
    connection->wanted_bytes = bytes;
    own->starved_count++;
    list_push_back(&own->starved, &connection->in_starved);
    if (reactor->now_ms - own->want_told_ms < WANT_TOLD_MS)
        return;
    own->want_told_ms = reactor->now_ms;
    LOG(LOG_WARN, "net", "requests in flight need more than queued.max.request.bytes (%lld): connections take turns",
        (long long)own->net->options.request_bytes_max);
}

bool net__memory_for(struct connection *connection, size_t bytes)
{
    struct net_reactor *own = net__of(connection->reactor);
    if (own->grower)
        grower_set(own, own->grower); // it holds more now, or less
    if (is_there_memory_for(connection->reactor, (int64_t)bytes) || connection == own->grower)
        return true;
    if (!own->grower && own->starved_count == 0) {
        grower_set(own, connection);
        return true;
    }
    starve(connection, (int64_t)bytes);
    return false;
}

void net__memory_leave(struct connection *connection)
{
    struct net_reactor *own = net__of(connection->reactor);
    net__grower_ends(connection);
    list_remove(&connection->in_starved);
    own->starved_count -= connection->starved;
    connection->starved = false;
}

/* In the order in which they starved: all that there is memory for, and when nobody grows the first of the others. */
static void feed(struct reactor *reactor)
{
    struct net_reactor *own = net__of(reactor);
    int64_t given = 0;
    if (own->grower)
        grower_set(own, own->grower);
    LIST_EACH_SAFE (node, &own->starved) {
        struct connection *connection = CONTAINER_OF(node, struct connection, in_starved);
        bool has_room = is_there_memory_for(reactor, given + connection->wanted_bytes);
        if (!has_room && own->grower)
            continue;
        if (has_room)
            given += connection->wanted_bytes;
        else
            grower_set(own, connection);
        list_remove(&connection->in_starved);
        own->starved_count--;
        net__connection_read_again(connection);
    }
}

/* ---- those who stall */
static bool is_stalled(const struct connection *connection, int64_t before_ms)
{
    bool is_read = connection->watching & IO_READABLE; // else it waits for us
    bool stalls = (is_read && connection->frame_since_ms <= before_ms) || connection->unread_since_ms <= before_ms;
    return stalls &&
           (held_bytes(connection) >= STALLED_BYTES_MIN || connection == net__of(connection->reactor)->grower);
}

static bool somebody_starves(const struct net *net)
{
    for (int i = 0, count = broker_options(net->broker)->reactor_count; i < count; i++)
        if (atomic_load(&net__of(broker_reactor(net->broker, i))->starved_count) > 0)
            return true;
    return false;
}

/* Only while somebody wants memory. */
static void close_stalled(struct reactor *reactor)
{
    struct net_reactor *own = net__of(reactor);
    int64_t before_ms = reactor->now_ms - own->net->options.stalled_max_ms;
    LIST_EACH_SAFE (node, &own->connections) {
        struct connection *connection = CONTAINER_OF(node, struct connection, in_reactor);
        if (!is_stalled(connection, before_ms))
            continue;
        net__limit_reached(reactor, NET_LIMIT_STALLED);
        net__connection_close(connection, "it stalled for longer than ottla.stalled.max.ms while memory was short");
    }
}

void net__memory_timers(struct reactor *reactor)
{
    struct net_reactor *own = net__of(reactor);
    if (own->stalled_look_ms <= reactor->now_ms) {
        own->stalled_look_ms = reactor->now_ms + STALLED_LOOK_MS;
        if (net__memory_is_short(reactor) || somebody_starves(own->net))
            close_stalled(reactor);
    }
    if (own->starved_count == 0 || own->look_at_ms > reactor->now_ms)
        return;
    own->look_at_ms = reactor->now_ms + LOOK_AGAIN_MS;
    feed(reactor);
}
