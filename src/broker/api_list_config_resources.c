// SPDX-License-Identifier: Apache-2.0
/* broker/api_list_config_resources.c - ListConfigResources: which resources have settings (KIP-1000, 1142).
 *
 * Topics and brokers always have some; groups and metrics subscriptions are listed when something is set. Version 0 is the
 * older ListClientMetricsResources and knows only these. An empty list of types stands for all.
 */
#include "broker/broker__.h"
#include "wire/gen/list_config_resources.h"

typedef struct list_config_resources_response_config_resource resource_reply;

static const int8_t all_types[] = {META_RESOURCE_TOPIC, META_RESOURCE_BROKER, META_RESOURCE_BROKER_LOGGER,
                                   META_RESOURCE_CLIENT_METRICS, META_RESOURCE_GROUP};

struct listing {
    struct request *request;
    resource_reply *replies; // NULL: only counts
    int32_t count;
};

static void list_one(struct listing *listing, struct slice name, int8_t type)
{
    if (listing->replies) {
        resource_reply *reply = &listing->replies[listing->count];
        list_config_resources_response_config_resource_init(reply);
        reply->resource_name = name;
        reply->resource_type = type;
    }
    listing->count++;
}

static void list_topics(struct listing *listing)
{
    struct meta_walk walk;
    meta_topics_begin(listing->request->home->image, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));)
        list_one(listing, topic->name, META_RESOURCE_TOPIC);
}

static void list_brokers(struct listing *listing, int8_t type)
{
    struct meta_walk walk;
    meta_walk_begin(listing->request->home->image->brokers, &walk);
    for (const struct meta_item *item; (item = meta_walk_next(&walk));) {
        const struct meta_broker *broker = CONTAINER_OF(item, struct meta_broker, item);
        if (!broker->fenced)
            list_one(listing, arena_printf(&listing->request->arena, "%d", (int)broker->id), type);
    }
}

static void list_configured(struct listing *listing, int8_t type)
{
    struct meta_walk walk;
    meta_walk_begin(listing->request->home->image->configs, &walk);
    for (const struct meta_item *item; (item = meta_walk_next(&walk));) {
        const struct meta_configs *configs = CONTAINER_OF(item, struct meta_configs, item);
        if (configs->type == type && configs->entry_count > 0)
            list_one(listing, configs->name, type);
    }
}

static void list_type(struct listing *listing, int8_t type)
{
    switch (type) {
    case META_RESOURCE_TOPIC:
        list_topics(listing);
        return;
    case META_RESOURCE_BROKER:
    case META_RESOURCE_BROKER_LOGGER:
        list_brokers(listing, type);
        return;
    default:
        list_configured(listing, type);
    }
}

static bool is_asked(const struct request *request, int8_t type)
{
    const struct list_config_resources_request *body = request->body;
    if (request->api_version == 0)
        return type == META_RESOURCE_CLIENT_METRICS;
    for (int32_t i = 0; i < body->resource_types_count; i++)
        if (body->resource_types[i] == type)
            return true;
    return body->resource_types_count == 0;
}

static bool types_are_known(const struct list_config_resources_request *body)
{
    for (int32_t i = 0; i < body->resource_types_count; i++)
        if (!memchr(all_types, body->resource_types[i], sizeof all_types))
            return false;
    return true;
}

static void list_all(struct listing *listing)
{
    listing->count = 0;
    for (size_t i = 0; i < COUNT_OF(all_types); i++)
        if (is_asked(listing->request, all_types[i]))
            list_type(listing, all_types[i]);
}

static void start(struct request *request)
{
    struct list_config_resources_response response;
    list_config_resources_response_init(&response);
    struct listing listing = {.request = request};
    if (!types_are_known(request->body)) {
        response.error_code = KAFKA_UNSUPPORTED_VERSION;
        request__reply(request, &response);
        return;
    }
    list_all(&listing);
    listing.replies = arena_array(&request->arena, (size_t)listing.count, sizeof *listing.replies);
    if (listing.replies)
        list_all(&listing);
    if (request->arena.failed) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    response.config_resources = listing.replies;
    response.config_resources_count = listing.count;
    request__reply(request, &response);
}

static_assert(sizeof all_types == COUNT_OF(all_types), "types are bytes");

const struct api_row api__list_config_resources = {
    .key = API_LIST_CONFIG_RESOURCES, .version_min = 0, .version_max = 1, .start = start};
