// SPDX-License-Identifier: Apache-2.0
/* meta/image.c - an image's life, and looking things up in it.
 *
 * An image holds a reference on the root of each of its trees. Look-ups build a probe, an item with only its key set, on
 * the stack and allocate nothing.
 */
#include "meta/meta__.h"

enum { TREE_COUNT = 10 };

static void trees_of(struct meta_image *image, struct meta_node **ret_places[TREE_COUNT])
{
    struct meta_node **places[TREE_COUNT] = {
        &image->topics_by_name, &image->topics_by_id, &image->brokers, &image->controllers, &image->features,
        &image->configs,        &image->quotas,       &image->acls,    &image->scrams,      &image->tokens};
    memcpy(ret_places, places, sizeof places);
}

void image__share_trees(struct meta_image *to, const struct meta_image *from)
{
    memcpy(to, from, sizeof *to);
    atomic_init(&to->refs, 1);
    struct meta_node **places[TREE_COUNT];
    trees_of(to, places);
    for (int i = 0; i < TREE_COUNT; i++)
        tree__ref(*places[i]);
}

void image__drop_trees(struct meta_image *image)
{
    struct meta_node **places[TREE_COUNT];
    trees_of(image, places);
    for (int i = 0; i < TREE_COUNT; i++) {
        tree__unref(*places[i]);
        *places[i] = NULL;
    }
}

struct meta_image *meta_image_create(void)
{
    struct meta_image *image = mem_zalloc(sizeof *image);
    atomic_init(&image->refs, 1);
    image->offset = -1;
    image->timestamp_ms = -1;
    image->next_producer_id = -1;
    image->producer_ids_broker_id = -1;
    image->producer_ids_broker_epoch = -1;
    image->zk_migration_state = -1;
    return image;
}

struct meta_image *meta_image_ref(const struct meta_image *image)
{
    struct meta_image *counted = (struct meta_image *)image;
    if (counted)
        atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
    return counted;
}

void meta_image_unref(struct meta_image *image)
{
    if (!image || atomic_fetch_sub_explicit(&image->refs, 1, memory_order_acq_rel) != 1)
        return;
    image__drop_trees(image);
    mem_free(image);
}

const struct meta_topic *meta_topic_by_name(const struct meta_image *image, struct slice name)
{
    struct meta_topic probe = {.name = name};
    return (const void *)tree__find(image->topics_by_name, &probe.item, item__by_name);
}

const struct meta_topic *meta_topic_by_id(const struct meta_image *image, struct uuid id)
{
    struct meta_topic probe = {.id = id};
    return (const void *)tree__find(image->topics_by_id, &probe.item, item__by_id);
}

const struct meta_broker *meta_broker(const struct meta_image *image, int32_t id)
{
    struct meta_broker probe = {.id = id};
    return (const void *)tree__find(image->brokers, &probe.item, item__by_node_id);
}

const struct meta_broker *meta_controller(const struct meta_image *image, int32_t id)
{
    struct meta_broker probe = {.id = id};
    return (const void *)tree__find(image->controllers, &probe.item, item__by_node_id);
}

const struct meta_endpoint *meta_broker_endpoint(const struct meta_broker *broker, struct slice listener)
{
    for (int32_t i = 0; i < broker->endpoint_count; i++)
        if (slice_equal(broker->endpoints[i].name, listener))
            return &broker->endpoints[i];
    return NULL;
}

const struct meta_configs *meta_configs(const struct meta_image *image, enum meta_config_resource type,
                                        struct slice name)
{
    struct meta_configs probe = {.type = (int8_t)type, .name = name};
    return (const void *)tree__find(image->configs, &probe.item, item__by_resource);
}

struct slice meta_configs_get(const struct meta_configs *configs, struct slice key)
{
    for (int32_t i = 0; configs && i < configs->entry_count; i++)
        if (slice_equal(configs->entries[i].key, key))
            return configs->entries[i].value;
    return SLICE_NULL;
}

const struct meta_quota *meta_quota(const struct meta_image *image, const struct meta_quota_part *parts,
                                    int32_t part_count, struct slice key)
{
    struct meta_quota probe = {.part_count = part_count, .key = key};
    assert(part_count <= META_QUOTA_PARTS);
    for (int32_t i = 0; i < part_count; i++)
        probe.parts[i] = parts[i];
    return (const void *)tree__find(image->quotas, &probe.item, item__by_quota);
}

bool meta_quota_parts_equal(const struct meta_quota_part *a, int32_t a_count, const struct meta_quota_part *b,
                            int32_t b_count)
{
    if (a_count != b_count)
        return false;
    for (int32_t i = 0; i < a_count; i++)
        if (!slice_equal(a[i].type, b[i].type) || !slice_equal(a[i].name, b[i].name))
            return false;
    return true;
}

int16_t meta_feature_level(const struct meta_image *image, const char *name)
{
    struct meta_feature probe = {.name = slice_str(name)};
    const struct meta_feature *feature = (const void *)tree__find(image->features, &probe.item, item__by_feature);
    return feature ? feature->level : 0;
}
