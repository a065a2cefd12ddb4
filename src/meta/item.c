// SPDX-License-Identifier: Apache-2.0
/* meta/item.c - what lies in the trees: counted, immutable once shared, one block of memory each.
 *
 *   | struct | arrays of structs | ids | texts, each with a NUL behind it |
 *
 * Copies are made in two steps, measuring and filling, and an assert holds the second against the first. Each tree's order
 * is here too. Texts that are null stay null.
 */
#include "meta/meta__.h"

#include <stdlib.h>

struct pack {
    uint8_t *at, *end;
};

/* All but the count of references, which readers change meanwhile. */
void item__fields_copy(struct meta_item *to, const struct meta_item *from, size_t size)
{
    assert(size >= sizeof *to);
    to->kind = from->kind;
    memcpy(to + 1, from + 1, size - sizeof *to);
}

static struct meta_item *item_begin(struct pack *ret_pack, const void *from, size_t head, size_t rest,
                                    enum item_kind kind)
{
    struct meta_item *item = mem_alloc(head + rest);
    item__fields_copy(item, from, head);
    item->kind = (uint8_t)kind;
    atomic_init(&item->refs, 1);
    *ret_pack = (struct pack){(uint8_t *)item + head, (uint8_t *)item + head + rest};
    return item;
}

static size_t text_size(struct slice text)
{
    return slice_is_null(text) ? 0 : text.size + 1;
}

static struct slice put_text(struct pack *pack, struct slice text)
{
    if (slice_is_null(text))
        return SLICE_NULL;
    struct slice copy = slice_of(pack->at, text.size);
    assert(pack->at + text.size < pack->end);
    memcpy(pack->at, text.data, text.size);
    pack->at[text.size] = 0;
    pack->at += text.size + 1;
    return copy;
}

/* Bytes of `count` elements; their texts are copied by the caller. */
static void *put_array(struct pack *pack, const void *from, int32_t count, size_t size)
{
    if (count <= 0)
        return NULL;
    void *copy = pack->at;
    memcpy(copy, from, (size_t)count * size);
    pack->at += (size_t)count * size;
    assert(pack->at <= pack->end);
    return copy;
}

static size_t array_size(int32_t count, size_t size)
{
    return count > 0 ? (size_t)count * size : 0;
}

struct meta_item *item__ref(struct meta_item *item)
{
    atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed);
    return item;
}

void item__unref(struct meta_item *item)
{
    if (atomic_fetch_sub_explicit(&item->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (item->kind == ITEM_TOPIC)
        chunks__unref((struct meta_topic *)(void *)item);
    mem_free(item);
}

struct meta_topic *item__new_topic(struct slice name, struct uuid id)
{
    struct meta_topic from = {.id = id, .name = name};
    return item__copy_topic(&from);
}

struct meta_topic *item__copy_topic(const struct meta_topic *from)
{
    struct pack pack;
    struct meta_topic *topic = (void *)item_begin(&pack, from, sizeof *from, text_size(from->name), ITEM_TOPIC);
    topic->name = put_text(&pack, from->name);
    chunks__share(topic, from);
    assert(pack.at == pack.end);
    return topic;
}

static size_t endpoints_size(const struct meta_broker *broker)
{
    size_t size = array_size(broker->endpoint_count, sizeof *broker->endpoints);
    for (int32_t i = 0; i < broker->endpoint_count; i++)
        size += text_size(broker->endpoints[i].name) + text_size(broker->endpoints[i].host);
    return size;
}

static size_t features_size(const struct meta_broker *broker)
{
    size_t size = array_size(broker->feature_count, sizeof *broker->features);
    for (int32_t i = 0; i < broker->feature_count; i++)
        size += text_size(broker->features[i].name);
    return size;
}

static int by_endpoint_name(const void *a, const void *b)
{
    const struct meta_endpoint *x = a, *y = b;
    int side = slice_compare(x->name, y->name);
    if (side == 0)
        side = slice_compare(x->host, y->host);
    return side ? side : (x->port > y->port) - (x->port < y->port);
}

static int by_feature_name(const void *a, const void *b)
{
    const struct meta_feature_range *x = a, *y = b;
    int side = slice_compare(x->name, y->name);
    return side ? side : (x->max > y->max) - (x->max < y->max);
}

/* Ordered by name: Kafka's records have them in the order of a hash table. */
static void sort_lists(const struct meta_broker *broker, struct meta_endpoint *endpoints,
                       struct meta_feature_range *features)
{
    if (broker->endpoint_count > 1)
        qsort(endpoints, (size_t)broker->endpoint_count, sizeof *endpoints, by_endpoint_name);
    if (broker->feature_count > 1)
        qsort(features, (size_t)broker->feature_count, sizeof *features, by_feature_name);
}

struct meta_broker *item__copy_broker(const struct meta_broker *from)
{
    struct pack pack;
    size_t ids =
        array_size(from->directory_count, sizeof(struct uuid)) + array_size(from->cordoned_count, sizeof(struct uuid));
    size_t rest = endpoints_size(from) + features_size(from) + ids + text_size(from->rack);
    struct meta_broker *broker = (void *)item_begin(&pack, from, sizeof *from, rest, ITEM_BROKER);
    struct meta_endpoint *endpoints = put_array(&pack, from->endpoints, from->endpoint_count, sizeof *endpoints);
    struct meta_feature_range *features = put_array(&pack, from->features, from->feature_count, sizeof *features);
    broker->directories = put_array(&pack, from->directories, from->directory_count, sizeof(struct uuid));
    broker->cordoned = put_array(&pack, from->cordoned, from->cordoned_count, sizeof(struct uuid));
    broker->rack = put_text(&pack, from->rack);
    for (int32_t i = 0; i < from->endpoint_count; i++) {
        endpoints[i].name = put_text(&pack, from->endpoints[i].name);
        endpoints[i].host = put_text(&pack, from->endpoints[i].host);
    }
    for (int32_t i = 0; i < from->feature_count; i++)
        features[i].name = put_text(&pack, from->features[i].name);
    sort_lists(broker, endpoints, features);
    broker->endpoints = endpoints;
    broker->features = features;
    assert(pack.at == pack.end);
    return broker;
}

struct meta_configs *item__copy_configs(const struct meta_configs *from)
{
    struct pack pack;
    size_t rest = array_size(from->entry_count, sizeof *from->entries) + text_size(from->name);
    for (int32_t i = 0; i < from->entry_count; i++)
        rest += text_size(from->entries[i].key) + text_size(from->entries[i].value);
    struct meta_configs *configs = (void *)item_begin(&pack, from, sizeof *from, rest, ITEM_CONFIGS);
    struct meta_config_entry *entries = put_array(&pack, from->entries, from->entry_count, sizeof *entries);
    configs->name = put_text(&pack, from->name);
    for (int32_t i = 0; i < from->entry_count; i++) {
        entries[i].key = put_text(&pack, from->entries[i].key);
        entries[i].value = put_text(&pack, from->entries[i].value);
    }
    configs->entries = entries;
    assert(pack.at == pack.end);
    return configs;
}

struct meta_quota *item__copy_quota(const struct meta_quota *from)
{
    struct pack pack;
    size_t rest = text_size(from->key);
    for (int32_t i = 0; i < from->part_count; i++)
        rest += text_size(from->parts[i].type) + text_size(from->parts[i].name);
    struct meta_quota *quota = (void *)item_begin(&pack, from, sizeof *from, rest, ITEM_QUOTA);
    quota->key = put_text(&pack, from->key);
    for (int32_t i = 0; i < from->part_count; i++) {
        quota->parts[i].type = put_text(&pack, from->parts[i].type);
        quota->parts[i].name = put_text(&pack, from->parts[i].name);
    }
    assert(pack.at == pack.end);
    return quota;
}

struct meta_acl *item__copy_acl(const struct meta_acl *from)
{
    struct pack pack;
    size_t rest = text_size(from->resource_name) + text_size(from->principal) + text_size(from->host);
    struct meta_acl *acl = (void *)item_begin(&pack, from, sizeof *from, rest, ITEM_ACL);
    acl->resource_name = put_text(&pack, from->resource_name);
    acl->principal = put_text(&pack, from->principal);
    acl->host = put_text(&pack, from->host);
    assert(pack.at == pack.end);
    return acl;
}

struct meta_scram *item__copy_scram(const struct meta_scram *from)
{
    struct pack pack;
    size_t rest =
        text_size(from->user) + text_size(from->salt) + text_size(from->stored_key) + text_size(from->server_key);
    struct meta_scram *scram = (void *)item_begin(&pack, from, sizeof *from, rest, ITEM_SCRAM);
    scram->user = put_text(&pack, from->user);
    scram->salt = put_text(&pack, from->salt);
    scram->stored_key = put_text(&pack, from->stored_key);
    scram->server_key = put_text(&pack, from->server_key);
    assert(pack.at == pack.end);
    return scram;
}

struct meta_token *item__copy_token(const struct meta_token *from)
{
    struct pack pack;
    size_t rest = array_size(from->renewer_count, sizeof(struct slice)) + text_size(from->token_id) +
                  text_size(from->owner) + text_size(from->requester);
    for (int32_t i = 0; i < from->renewer_count; i++)
        rest += text_size(from->renewers[i]);
    struct meta_token *token = (void *)item_begin(&pack, from, sizeof *from, rest, ITEM_TOKEN);
    struct slice *renewers = put_array(&pack, from->renewers, from->renewer_count, sizeof *renewers);
    token->token_id = put_text(&pack, from->token_id);
    token->owner = put_text(&pack, from->owner);
    token->requester = put_text(&pack, from->requester);
    for (int32_t i = 0; i < from->renewer_count; i++)
        renewers[i] = put_text(&pack, from->renewers[i]);
    token->renewers = renewers;
    assert(pack.at == pack.end);
    return token;
}

struct meta_feature *item__copy_feature(const struct meta_feature *from)
{
    struct pack pack;
    struct meta_feature *feature = (void *)item_begin(&pack, from, sizeof *from, text_size(from->name), ITEM_FEATURE);
    feature->name = put_text(&pack, from->name);
    assert(pack.at == pack.end);
    return feature;
}

/* ---- orders */
#define ITEMS(type) const struct type *x = (const void *)a, *y = (const void *)b

static int order_of(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int order_nullable(struct slice a, struct slice b) // null first
{
    if (slice_is_null(a) || slice_is_null(b))
        return order_of(!slice_is_null(a), !slice_is_null(b));
    return slice_compare(a, b);
}

int item__by_name(const struct meta_item *a, const struct meta_item *b)
{
    ITEMS(meta_topic);
    return slice_compare(x->name, y->name);
}

int item__by_id(const struct meta_item *a, const struct meta_item *b)
{
    ITEMS(meta_topic);
    return memcmp(&x->id, &y->id, sizeof x->id);
}

int item__by_node_id(const struct meta_item *a, const struct meta_item *b)
{
    ITEMS(meta_broker);
    return order_of(x->id, y->id);
}

int item__by_resource(const struct meta_item *a, const struct meta_item *b)
{
    ITEMS(meta_configs);
    int side = order_of(x->type, y->type);
    return side ? side : slice_compare(x->name, y->name);
}

int item__by_quota(const struct meta_item *a, const struct meta_item *b)
{
    ITEMS(meta_quota);
    int side = order_of(x->part_count, y->part_count);
    for (int32_t i = 0; i < x->part_count && side == 0; i++) {
        side = slice_compare(x->parts[i].type, y->parts[i].type);
        if (side == 0)
            side = order_nullable(x->parts[i].name, y->parts[i].name);
    }
    return side ? side : slice_compare(x->key, y->key);
}

int item__by_acl_id(const struct meta_item *a, const struct meta_item *b)
{
    ITEMS(meta_acl);
    return memcmp(&x->id, &y->id, sizeof x->id);
}

int item__by_scram(const struct meta_item *a, const struct meta_item *b)
{
    ITEMS(meta_scram);
    int side = slice_compare(x->user, y->user);
    return side ? side : order_of(x->mechanism, y->mechanism);
}

int item__by_token_id(const struct meta_item *a, const struct meta_item *b)
{
    ITEMS(meta_token);
    return slice_compare(x->token_id, y->token_id);
}

int item__by_feature(const struct meta_item *a, const struct meta_item *b)
{
    ITEMS(meta_feature);
    return slice_compare(x->name, y->name);
}
