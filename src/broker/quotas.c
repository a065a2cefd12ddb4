// SPDX-License-Identifier: Apache-2.0
/* broker/quotas.c - from an image's quotas to waits: see quotas.h. */
#include "broker/quotas.h"

#include "broker/rate.h"
#include "io/io.h"

#include <math.h>

static const char ANONYMOUS[] = "ANONYMOUS";
static const char *const KEYS[QUOTA_KINDS] = {
    [QUOTA_PRODUCE] = "producer_byte_rate",          [QUOTA_FETCH] = "consumer_byte_rate",
    [QUOTA_REQUEST] = "request_percentage",          [QUOTA_MUTATION] = "controller_mutation_rate",
    [QUOTA_CONNECTION] = "connection_creation_rate",
};

/* What one user, client or both have used; of an address the client is the address. */
struct measure {
    struct hash_node in_measures;
    struct list in_use; // used longest ago first
    enum quota_kind kind;
    struct slice user, client; // null: not told apart by it
    struct rate *rate;
    struct tokens tokens; // of mutations
    char text[];
};

struct quotas {
    struct io_lock *lock;
    struct hash measures;
    struct list in_use;
    int32_t count;
    struct rate_config windows, mutation_windows;
    _Atomic uint64_t throttled[QUOTA_KINDS];
};

/* ---- life */
static struct rate_config windows_of(const struct meta_settings *settings, const char *number, const char *size)
{
    enum { SECOND_MS = 1000 };
    return (struct rate_config){(int32_t)min_i64(meta_settings_i64(settings, number), RATE_WINDOWS_MAX),
                                meta_settings_i64(settings, size) * SECOND_MS};
}

struct quotas *quotas__create(const struct meta_settings *settings)
{
    struct quotas *quotas = mem_zalloc(sizeof *quotas);
    quotas->lock = io_lock_create();
    hash_init(&quotas->measures);
    list_init(&quotas->in_use);
    quotas->windows = windows_of(settings, "quota.window.num", "quota.window.size.seconds");
    quotas->mutation_windows =
        windows_of(settings, "controller.quota.window.num", "controller.quota.window.size.seconds");
    return quotas;
}

static void measure_drop(struct quotas *quotas, struct measure *measure)
{
    hash_remove(&quotas->measures, &measure->in_measures);
    list_remove(&measure->in_use);
    mem_free(measure->rate);
    mem_free(measure);
    quotas->count--;
}

static struct measure *longest_unused(struct quotas *quotas)
{
    return CONTAINER_OF(quotas->in_use.next, struct measure, in_use);
}

void quotas__free(struct quotas *quotas)
{
    if (!quotas)
        return;
    while (!list_is_empty(&quotas->in_use))
        measure_drop(quotas, longest_unused(quotas));
    hash_free(&quotas->measures);
    io_lock_destroy(quotas->lock);
    mem_free(quotas);
}

/* ---- which quota holds */
struct holding {
    double bound;
    struct slice user, client; // who shares it
};

static bool find(const struct meta_image *image, enum quota_kind kind, const struct meta_quota_part *parts,
                 int32_t count, double *ret_bound)
{
    const struct meta_quota *quota = meta_quota(image, parts, count, slice_str(KEYS[kind]));
    if (quota)
        *ret_bound = quota->value;
    return quota != NULL;
}

static bool holding_find(const struct meta_image *image, enum quota_kind kind, struct slice client_id,
                         struct holding *ret_holding)
{
    struct slice user = slice_str(ANONYMOUS);
    struct slice client = slice_is_null(client_id) ? slice_str("") : client_id;
    struct slice users[] = {user, SLICE_NULL}, clients[] = {client, SLICE_NULL};
    *ret_holding = (struct holding){.user = user, .client = client};
    for (size_t u = 0; u < COUNT_OF(users); u++) {
        struct meta_quota_part parts[] = {{slice_str("client-id"), SLICE_NULL}, {slice_str("user"), users[u]}};
        for (size_t c = 0; c < COUNT_OF(clients); c++) {
            parts[0].name = clients[c];
            if (find(image, kind, parts, 2, &ret_holding->bound))
                return true;
        }
        if (find(image, kind, &parts[1], 1, &ret_holding->bound)) {
            ret_holding->client = SLICE_NULL;
            return true;
        }
    }
    ret_holding->user = SLICE_NULL;
    for (size_t c = 0; c < COUNT_OF(clients); c++) {
        struct meta_quota_part part = {slice_str("client-id"), clients[c]};
        if (find(image, kind, &part, 1, &ret_holding->bound))
            return true;
    }
    return false;
}

/* ---- measures, under the lock */
static uint64_t measure_hash(enum quota_kind kind, struct slice user, struct slice client)
{
    return hash_bytes(user) * 31 + hash_bytes(client) + hash_u64((uint64_t)kind);
}

static struct slice text_keep(char **at, struct slice text)
{
    if (slice_is_null(text))
        return SLICE_NULL;
    char *kept = *at;
    if (text.size > 0)
        memcpy(kept, text.data, text.size);
    *at += text.size;
    return slice_of((const uint8_t *)kept, text.size);
}

static struct measure *measure_add(struct quotas *quotas, enum quota_kind kind, struct slice user, struct slice client,
                                   uint64_t hash)
{
    if (quotas->count >= QUOTA_MEASURES_MAX)
        measure_drop(quotas, longest_unused(quotas));
    struct measure *measure = mem_zalloc(sizeof *measure + user.size + client.size + 1);
    char *at = measure->text;
    measure->kind = kind;
    measure->user = text_keep(&at, user);
    measure->client = text_keep(&at, client);
    measure->rate = kind == QUOTA_MUTATION ? NULL : rate__create(quotas->windows);
    list_init(&measure->in_use);
    hash_insert(&quotas->measures, &measure->in_measures, hash);
    quotas->count++;
    return measure;
}

static struct measure *measure_of(struct quotas *quotas, enum quota_kind kind, struct slice user, struct slice client)
{
    uint64_t hash = measure_hash(kind, user, client);
    struct measure *found = NULL;
    for (struct hash_node *node = hash_first(&quotas->measures, hash); node && !found; node = hash_next(node)) {
        struct measure *measure = CONTAINER_OF(node, struct measure, in_measures);
        if (measure->kind == kind && slice_equal(measure->user, user) && slice_equal(measure->client, client))
            found = measure;
    }
    if (!found)
        found = measure_add(quotas, kind, user, client, hash);
    list_remove(&found->in_use);
    list_push_back(&quotas->in_use, &found->in_use);
    return found;
}

/* ---- bytes and time */
int64_t quotas__record(struct quotas *quotas, const struct meta_image *image, enum quota_kind kind,
                       struct slice client_id, double amount, int64_t now_ms)
{
    struct holding holding;
    if (!image->quotas || !holding_find(image, kind, client_id, &holding))
        return 0;
    io_lock_take(quotas->lock);
    struct measure *measure = measure_of(quotas, kind, holding.user, holding.client);
    rate__record(measure->rate, amount, now_ms);
    int64_t throttle_ms = rate__throttle_ms(measure->rate, holding.bound, now_ms);
    io_lock_release(quotas->lock);
    /* A request is never held for longer than one window for the time that it took (KIP-124). */
    return kind == QUOTA_REQUEST ? min_i64(throttle_ms, quotas->windows.window_ms) : throttle_ms;
}

void quotas__take_back(struct quotas *quotas, const struct meta_image *image, enum quota_kind kind,
                       struct slice client_id, double amount, int64_t now_ms)
{
    struct holding holding;
    if (!image->quotas || !holding_find(image, kind, client_id, &holding))
        return;
    io_lock_take(quotas->lock);
    rate__record(measure_of(quotas, kind, holding.user, holding.client)->rate, -amount, now_ms);
    io_lock_release(quotas->lock);
}

double quotas__window_max(const struct quotas *quotas, const struct meta_image *image, enum quota_kind kind,
                          struct slice client_id)
{
    enum { SECOND_MS = 1000 };
    struct holding holding;
    if (!image->quotas || !holding_find(image, kind, client_id, &holding))
        return INFINITY;
    int32_t windows = quotas->windows.windows > 1 ? quotas->windows.windows - 1 : 1;
    return holding.bound * windows * (double)quotas->windows.window_ms / SECOND_MS;
}

/* ---- mutations */
bool quotas__mutate(struct quotas *quotas, const struct meta_image *image, struct slice client_id, double amount,
                    bool is_strict, int64_t now_ms, int64_t *ret_throttle_ms)
{
    struct holding holding;
    bool is_taken = true;
    *ret_throttle_ms = 0;
    if (!image->quotas || !holding_find(image, QUOTA_MUTATION, client_id, &holding))
        return true;
    io_lock_take(quotas->lock);
    struct tokens *tokens = &measure_of(quotas, QUOTA_MUTATION, holding.user, holding.client)->tokens;
    if (is_strict)
        is_taken = tokens__take(tokens, quotas->mutation_windows, holding.bound, amount, now_ms);
    else
        tokens__take_all(tokens, quotas->mutation_windows, holding.bound, amount, now_ms);
    if (!is_strict || !is_taken)
        *ret_throttle_ms = tokens__throttle_ms(tokens, quotas->mutation_windows, holding.bound, now_ms);
    io_lock_release(quotas->lock);
    return is_taken;
}

/* ---- connections */
static bool is_of_address(const struct meta_quota *quota, const uint8_t address[META_ADDRESS_BYTES])
{
    uint8_t other[META_ADDRESS_BYTES];
    return !slice_is_null(quota->parts[0].name) && meta_address_parse(quota->parts[0].name, other) &&
           memcmp(address, other, META_ADDRESS_BYTES) == 0;
}

/* The address's own, else that of the default. */
static bool address_bound_find(const struct meta_image *image, const char *host, double *ret_bound)
{
    uint8_t address[META_ADDRESS_BYTES];
    bool is_numeric = meta_address_parse(slice_str(host), address), is_found = false;
    struct meta_walk walk;
    meta_address_quotas_begin(image, &walk);
    for (const struct meta_quota *quota; (quota = meta_address_quotas_next(&walk));) {
        if (!slice_equal_str(quota->key, KEYS[QUOTA_CONNECTION]))
            continue;
        bool is_own = is_numeric && is_of_address(quota, address);
        if (!is_own && !slice_is_null(quota->parts[0].name))
            continue;
        *ret_bound = quota->value;
        if (is_own)
            return true;
        is_found = true;
    }
    return is_found;
}

int64_t quotas__connection(struct quotas *quotas, const struct meta_image *image, const char *host, int64_t now_ms)
{
    double bound;
    if (!image->quotas || !address_bound_find(image, host, &bound))
        return 0;
    int64_t most_ms = quotas->windows.windows * quotas->windows.window_ms;
    io_lock_take(quotas->lock);
    struct rate *rate = measure_of(quotas, QUOTA_CONNECTION, SLICE_NULL, slice_str(host))->rate;
    rate__record(rate, 1, now_ms);
    int64_t throttle_ms = rate__throttle_ms(rate, bound, now_ms);
    if (throttle_ms > 0)
        rate__record(rate, -1, now_ms);
    io_lock_release(quotas->lock);
    return min_i64(throttle_ms, most_ms);
}

/* ---- numbers */
void quotas__throttled(struct quotas *quotas, enum quota_kind kind)
{
    atomic_fetch_add_explicit(&quotas->throttled[kind], 1, memory_order_relaxed);
}

uint64_t quotas__throttled_count(const struct quotas *quotas, enum quota_kind kind)
{
    return atomic_load_explicit(&quotas->throttled[kind], memory_order_relaxed);
}
