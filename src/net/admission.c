// SPDX-License-Identifier: Apache-2.0
/* net/admission.c - who may connect: as many as max.connections, from one address as many as max.connections.per.ip or its
 * override says, and as fast as max.connection.creation.rate. A listener may have a number and a rate of its own, which
 * hold beside the broker's.
 *
 * Connections are counted by their peer's numeric address, from acceptance to close, on whichever reactor that happens; so
 * a lock guards the counts, taken once at each end of a connection's life and never by a request. The rate is a bucket
 * that holds one second's worth: while it is empty nothing is accepted, and those who wait do so in the kernel's backlog,
 * which is what Apache Kafka does too. Limits may change while the broker runs: they are looked at when somebody comes.
 */
#include "net/net__.h"

struct peer {
    struct hash_node in_peers;
    int64_t count;
    char host[];
};

void net__admission_init(struct admission *admission)
{
    hash_init(&admission->peers);
    admission->lock = io_lock_create();
}

void net__admission_free(struct admission *admission)
{
    for (struct hash_node *node; (node = hash_iterate(&admission->peers, NULL));) {
        hash_remove(&admission->peers, node);
        mem_free(CONTAINER_OF(node, struct peer, in_peers));
    }
    hash_free(&admission->peers);
    mem_free(admission->overrides);
    io_lock_destroy(admission->lock);
}

/* ---- limits */
static void overrides_read(struct admission *admission, struct slice text)
{
    struct meta_connections_override each;
    admission->override_count = 0;
    while (meta_connections_override_next(&text, &each)) {
        struct slice host = each.host.size > 0 ? each.host : slice_str("127.0.0.1");
        struct override override = {.connections_max = each.connections_max};
        if (each.fault != META_OVERRIDE_FINE || !meta_address_parse(host, override.address))
            continue; // it was refused when it was set, or at the start
        admission->overrides =
            mem_realloc(admission->overrides, ((size_t)admission->override_count + 1) * sizeof *admission->overrides);
        admission->overrides[admission->override_count++] = override;
    }
}

static const char RATE[] = "max.connection.creation.rate";

static void rate_set(struct bucket *bucket, bool is_first, int64_t rate_max)
{
    bucket->tokens = is_first || rate_max != bucket->rate_max ? rate_max : bucket->tokens;
    bucket->rate_max = rate_max;
}

void net__admission_look(struct net *net, struct reactor *reactor)
{
    struct admission *admission = &net->admission;
    uint64_t version = broker_settings_version(reactor);
    if (admission->limits_known && admission->limits_version == version)
        return;
    bool is_first = !admission->limits_known;
    admission->limits_known = true;
    admission->limits_version = version;
    admission->connections_max = min_i64(broker_setting_i64(reactor, "max.connections"), net->options.connections_max);
    admission->per_ip_max = broker_setting_i64(reactor, "max.connections.per.ip");
    rate_set(&admission->bucket, is_first, broker_setting_i64(reactor, RATE));
    for (int i = 0; i < net->listener_count; i++) {
        struct listener *listener = &net->listeners[i];
        listener->connections_max = broker_listener_setting_i64(reactor, listener->named->name, "max.connections");
        rate_set(&listener->bucket, is_first, broker_listener_setting_i64(reactor, listener->named->name, RATE));
    }
    overrides_read(admission, broker_setting_text(reactor, "max.connections.per.ip.overrides"));
}

/* ---- counts */
static struct peer *peer_find(const struct admission *admission, const char *host, uint64_t hash)
{
    for (struct hash_node *node = hash_first(&admission->peers, hash); node; node = hash_next(node)) {
        struct peer *peer = CONTAINER_OF(node, struct peer, in_peers);
        if (strcmp(peer->host, host) == 0)
            return peer;
    }
    return NULL;
}

static struct peer *peer_add(struct admission *admission, const char *host, uint64_t hash)
{
    size_t size = strlen(host) + 1;
    struct peer *peer = mem_zalloc(sizeof *peer + size);
    memcpy(peer->host, host, size);
    hash_insert(&admission->peers, &peer->in_peers, hash);
    return peer;
}

static int64_t per_ip_max(const struct admission *admission, const char *host)
{
    uint8_t address[META_ADDRESS_BYTES];
    if (admission->override_count == 0 || !meta_address_parse(slice_str(host), address))
        return admission->per_ip_max;
    for (int i = 0; i < admission->override_count; i++)
        if (memcmp(admission->overrides[i].address, address, sizeof address) == 0)
            return admission->overrides[i].connections_max;
    return admission->per_ip_max;
}

static enum net_limit admit(struct listener *listener, const char *host)
{
    struct admission *admission = &listener->net->admission;
    uint64_t hash = hash_bytes(slice_str(host));
    struct peer *peer = peer_find(admission, host, hash);
    if (admission->count >= admission->connections_max || listener->count >= listener->connections_max)
        return NET_LIMIT_CONNECTIONS;
    if ((peer ? peer->count : 0) >= per_ip_max(admission, host))
        return NET_LIMIT_CONNECTIONS_PER_IP;
    if (!peer)
        peer = peer_add(admission, host, hash);
    peer->count++;
    listener->count++;
    admission->count++;
    return NET_LIMIT_COUNT;
}

enum net_limit net__admit(struct listener *listener, const char *host)
{
    io_lock_take(listener->net->admission.lock);
    enum net_limit reached = admit(listener, host);
    io_lock_release(listener->net->admission.lock);
    return reached;
}

void net__admission_leave(struct listener *listener, const char *host)
{
    struct admission *admission = &listener->net->admission;
    io_lock_take(admission->lock);
    struct peer *peer = peer_find(admission, host, hash_bytes(slice_str(host)));
    assert(peer && peer->count > 0 && admission->count > 0 && listener->count > 0);
    listener->count--;
    admission->count--;
    if (--peer->count == 0) {
        hash_remove(&admission->peers, &peer->in_peers);
        mem_free(peer);
    }
    io_lock_release(admission->lock);
}

/* ---- rates */
static bool take(struct bucket *bucket, int64_t now_ms)
{
    int64_t rate = bucket->rate_max, passed_ms = now_ms - bucket->filled_ms;
    if (rate == INT32_MAX)
        return true;
    int64_t earned = passed_ms >= 1000 ? rate : rate * passed_ms / 1000;
    if (earned > 0) {
        bucket->tokens = bucket->tokens + earned > rate ? rate : bucket->tokens + earned;
        bucket->filled_ms = now_ms;
    }
    if (bucket->tokens <= 0)
        return false;
    bucket->tokens--;
    return true;
}

static void put_back(struct bucket *bucket)
{
    if (bucket->rate_max != INT32_MAX)
        bucket->tokens++;
}

bool net__admission_take_token(struct listener *listener, int64_t now_ms)
{
    if (!take(&listener->bucket, now_ms))
        return false;
    if (take(&listener->net->admission.bucket, now_ms))
        return true;
    put_back(&listener->bucket);
    return false;
}

void net__admission_return_token(struct listener *listener)
{
    put_back(&listener->bucket);
    put_back(&listener->net->admission.bucket);
}
