// SPDX-License-Identifier: Apache-2.0
/* net/admission.c - who may connect: as many as max.connections, from one address as many as max.connections.per.ip or its
 * override says, and as fast as max.connection.creation.rate.
 *
 * Connections are counted by their peer's numeric address, from acceptance to close, on whichever reactor that happens; so
 * a lock guards the counts, taken once at each end of a connection's life and never by a request. The rate is a bucket
 * that holds one second's worth: while it is empty nothing is accepted, and those who wait do so in the kernel's backlog,
 * which is what Apache Kafka does too.
 */
#include "net/net__.h"

struct peer {
    struct hash_node in_peers;
    int64_t count;
    char host[];
};

void net__admission_init(struct admission *admission, int64_t rate)
{
    hash_init(&admission->peers);
    admission->lock = io_lock_create();
    admission->tokens = rate;
}

void net__admission_free(struct admission *admission)
{
    for (struct hash_node *node; (node = hash_iterate(&admission->peers, NULL));) {
        hash_remove(&admission->peers, node);
        mem_free(CONTAINER_OF(node, struct peer, in_peers));
    }
    hash_free(&admission->peers);
    io_lock_destroy(admission->lock);
}

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

static int per_ip_max(const struct net_options *options, const char *host)
{
    for (int i = 0; i < options->override_count; i++)
        if (strcmp(options->overrides[i].host, host) == 0)
            return options->overrides[i].connections_max;
    return options->connections_per_ip_max;
}

static enum net_limit admit(struct net *net, const char *host)
{
    struct admission *admission = &net->admission;
    uint64_t hash = hash_bytes(slice_str(host));
    struct peer *peer = peer_find(admission, host, hash);
    if (admission->count >= net->options.connections_max)
        return NET_LIMIT_CONNECTIONS;
    if ((peer ? peer->count : 0) >= per_ip_max(&net->options, host))
        return NET_LIMIT_CONNECTIONS_PER_IP;
    if (!peer)
        peer = peer_add(admission, host, hash);
    peer->count++;
    admission->count++;
    return NET_LIMIT_COUNT;
}

enum net_limit net__admit(struct net *net, const char *host)
{
    io_lock_take(net->admission.lock);
    enum net_limit reached = admit(net, host);
    io_lock_release(net->admission.lock);
    return reached;
}

void net__admission_leave(struct net *net, const char *host)
{
    struct admission *admission = &net->admission;
    io_lock_take(admission->lock);
    struct peer *peer = peer_find(admission, host, hash_bytes(slice_str(host)));
    assert(peer && peer->count > 0 && admission->count > 0);
    admission->count--;
    if (--peer->count == 0) {
        hash_remove(&admission->peers, &peer->in_peers);
        mem_free(peer);
    }
    io_lock_release(admission->lock);
}

bool net__admission_take_token(struct net *net, int64_t now_ms)
{
    struct admission *admission = &net->admission;
    int64_t rate = net->options.connection_rate_max, passed_ms = now_ms - admission->filled_ms;
    if (rate == INT32_MAX)
        return true;
    int64_t earned = passed_ms >= 1000 ? rate : rate * passed_ms / 1000;
    if (earned > 0) {
        admission->tokens = admission->tokens + earned > rate ? rate : admission->tokens + earned;
        admission->filled_ms = now_ms;
    }
    if (admission->tokens <= 0)
        return false;
    admission->tokens--;
    return true;
}

void net__admission_return_token(struct net *net)
{
    if (net->options.connection_rate_max != INT32_MAX)
        net->admission.tokens++;
}
