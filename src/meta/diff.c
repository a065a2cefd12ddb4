// SPDX-License-Identifier: Apache-2.0
/* meta/diff.c - which topics differ between two images, and whether two images say the same.
 *
 * Two trees are walked side by side in the order of names. Each side is a stack of what is still to come: subtrees and
 * single items. A subtree that both sides have on top is the same memory, so nothing in it differs and it is skipped
 * whole; else the higher one is opened. A change of one topic in many is found in O(log n).
 */
#include "meta/meta__.h"

#include <math.h>

/* An opened subtree leaves its item and its right side on the stack, and its left side is opened next. */
enum { STACK_MAX = 3 * META_TREE_DEPTH_MAX };

struct side {
    struct part {
        const struct meta_node *tree; // NULL: a single item
        const struct meta_item *item;
    } parts[STACK_MAX];
    int count;
};

static void push_tree(struct side *side, const struct meta_node *tree)
{
    if (!tree)
        return;
    assert(side->count < STACK_MAX);
    side->parts[side->count++] = (struct part){.tree = tree};
}

static void open_top(struct side *side)
{
    const struct meta_node *node = side->parts[--side->count].tree;
    push_tree(side, node->right);
    assert(side->count < STACK_MAX);
    side->parts[side->count++] = (struct part){.item = node->item};
    push_tree(side, node->left);
}

static const struct part *top(const struct side *side)
{
    return side->count > 0 ? &side->parts[side->count - 1] : NULL;
}

/* Opens or skips until both tops are items, or one side is at its end. False when both are. */
static bool settle(struct side *a, struct side *b)
{
    for (;;) {
        const struct part *x = top(a), *y = top(b);
        if (x && y && x->tree && x->tree == y->tree) {
            a->count--;
            b->count--;
        } else if (x && x->tree && (!y || !y->tree || x->tree->height >= y->tree->height)) {
            open_top(a);
        } else if (y && y->tree) {
            open_top(b);
        } else {
            return x || y;
        }
    }
}

static const struct meta_item *take(struct side *side)
{
    return side->parts[--side->count].item;
}

void meta_topics_diff(const struct meta_image *from, const struct meta_image *to,
                      void (*each)(void *context, const struct meta_topic *was, const struct meta_topic *now),
                      void *context)
{
    struct side a = {.count = 0}, b = {.count = 0};
    push_tree(&a, from->topics_by_name);
    push_tree(&b, to->topics_by_name);
    while (settle(&a, &b)) {
        const struct part *x = top(&a), *y = top(&b);
        int order = !x ? 1 : !y ? -1 : item__by_name(x->item, y->item);
        const struct meta_item *was = order <= 0 ? take(&a) : NULL;
        const struct meta_item *now = order >= 0 ? take(&b) : NULL;
        if (was != now)
            each(context, (const void *)was, (const void *)now);
    }
}

static bool same_nodes(const int32_t *a, int a_count, const int32_t *b, int b_count)
{
    return a_count == b_count && (a_count == 0 || memcmp(a, b, (size_t)a_count * sizeof *a) == 0);
}

static bool same_ids(const struct uuid *a, int32_t a_count, const struct uuid *b, int32_t b_count)
{
    return a_count == b_count && (a_count <= 0 || memcmp(a, b, (size_t)a_count * sizeof *a) == 0);
}

static bool same_partition(const struct meta_partition *a, const struct meta_partition *b)
{
    if (a == b || !a || !b)
        return a == b;
    return a->leader == b->leader && a->leader_epoch == b->leader_epoch && a->partition_epoch == b->partition_epoch &&
           a->recovery_state == b->recovery_state &&
           same_nodes(a->replicas, a->replica_count, b->replicas, b->replica_count) &&
           same_nodes(a->isr, a->isr_count, b->isr, b->isr_count) &&
           same_nodes(a->removing, a->removing_count, b->removing, b->removing_count) &&
           same_nodes(a->adding, a->adding_count, b->adding, b->adding_count) &&
           same_nodes(a->elr, a->elr_count, b->elr, b->elr_count) &&
           same_nodes(a->last_known_elr, a->last_known_elr_count, b->last_known_elr, b->last_known_elr_count) &&
           same_ids(a->directories, a->directory_count, b->directories, b->directory_count);
}

static bool same_topic(const struct meta_item *x, const struct meta_item *y)
{
    const struct meta_topic *a = (const void *)x, *b = (const void *)y;
    if (!slice_equal(a->name, b->name) || !uuid_equal(a->id, b->id) || a->partition_count != b->partition_count)
        return false;
    for (int32_t i = 0; i < a->partition_count; i++)
        if (!same_partition(meta_topic_partition(a, i), meta_topic_partition(b, i)))
            return false;
    return true;
}

static bool same_endpoint(const struct meta_endpoint *a, const struct meta_endpoint *b)
{
    return slice_equal(a->name, b->name) && slice_equal(a->host, b->host) && a->port == b->port &&
           a->security_protocol == b->security_protocol;
}

static bool same_broker(const struct meta_item *x, const struct meta_item *y)
{
    const struct meta_broker *a = (const void *)x, *b = (const void *)y;
    if (a->id != b->id || !uuid_equal(a->incarnation, b->incarnation) || a->epoch != b->epoch ||
        !slice_equal(a->rack, b->rack) || a->fenced != b->fenced ||
        a->in_controlled_shutdown != b->in_controlled_shutdown || a->is_migrating_zk != b->is_migrating_zk ||
        a->endpoint_count != b->endpoint_count || a->feature_count != b->feature_count)
        return false;
    for (int32_t i = 0; i < a->endpoint_count; i++)
        if (!same_endpoint(&a->endpoints[i], &b->endpoints[i]))
            return false;
    for (int32_t i = 0; i < a->feature_count; i++)
        if (!slice_equal(a->features[i].name, b->features[i].name) || a->features[i].min != b->features[i].min ||
            a->features[i].max != b->features[i].max)
            return false;
    return same_ids(a->directories, a->directory_count, b->directories, b->directory_count) &&
           same_ids(a->cordoned, a->cordoned_count, b->cordoned, b->cordoned_count);
}

static bool same_configs(const struct meta_item *x, const struct meta_item *y)
{
    const struct meta_configs *a = (const void *)x, *b = (const void *)y;
    if (a->type != b->type || !slice_equal(a->name, b->name) || a->entry_count != b->entry_count)
        return false;
    for (int32_t i = 0; i < a->entry_count; i++)
        if (!slice_equal(a->entries[i].key, b->entries[i].key) ||
            !slice_equal(a->entries[i].value, b->entries[i].value))
            return false;
    return true;
}

static bool same_value(double a, double b) // NaN is the same as NaN
{
    return a == b || (isnan(a) && isnan(b));
}

static bool same_quota(const struct meta_item *x, const struct meta_item *y)
{
    const struct meta_quota *a = (const void *)x, *b = (const void *)y;
    return item__by_quota(x, y) == 0 && same_value(a->value, b->value);
}

static bool same_acl(const struct meta_item *x, const struct meta_item *y)
{
    const struct meta_acl *a = (const void *)x, *b = (const void *)y;
    return uuid_equal(a->id, b->id) && a->resource_type == b->resource_type && a->pattern_type == b->pattern_type &&
           a->operation == b->operation && a->permission_type == b->permission_type &&
           slice_equal(a->resource_name, b->resource_name) && slice_equal(a->principal, b->principal) &&
           slice_equal(a->host, b->host);
}

static bool same_scram(const struct meta_item *x, const struct meta_item *y)
{
    const struct meta_scram *a = (const void *)x, *b = (const void *)y;
    return item__by_scram(x, y) == 0 && a->iterations == b->iterations && slice_equal(a->salt, b->salt) &&
           slice_equal(a->stored_key, b->stored_key) && slice_equal(a->server_key, b->server_key);
}

static bool same_token(const struct meta_item *x, const struct meta_item *y)
{
    const struct meta_token *a = (const void *)x, *b = (const void *)y;
    if (!slice_equal(a->token_id, b->token_id) || !slice_equal(a->owner, b->owner) ||
        !slice_equal(a->requester, b->requester) || a->renewer_count != b->renewer_count)
        return false;
    for (int32_t i = 0; i < a->renewer_count; i++)
        if (!slice_equal(a->renewers[i], b->renewers[i]))
            return false;
    return a->issue_ms == b->issue_ms && a->max_ms == b->max_ms && a->expiration_ms == b->expiration_ms;
}

static bool same_feature(const struct meta_item *x, const struct meta_item *y)
{
    const struct meta_feature *a = (const void *)x, *b = (const void *)y;
    return slice_equal(a->name, b->name) && a->level == b->level;
}

static bool same_tree(const struct meta_node *a, const struct meta_node *b,
                      bool (*same)(const struct meta_item *, const struct meta_item *))
{
    struct meta_walk x, y;
    meta_walk_begin(a, &x);
    meta_walk_begin(b, &y);
    const struct meta_item *left, *right;
    do {
        left = meta_walk_next(&x);
        right = meta_walk_next(&y);
        if (!left != !right || (left && !same(left, right)))
            return false;
    } while (left);
    return true;
}

bool meta_image_equal(const struct meta_image *a, const struct meta_image *b)
{
    return a->metadata_version == b->metadata_version && a->elr_version == b->elr_version &&
           a->next_producer_id == b->next_producer_id && a->producer_ids_broker_id == b->producer_ids_broker_id &&
           a->producer_ids_broker_epoch == b->producer_ids_broker_epoch &&
           a->zk_migration_state == b->zk_migration_state && a->topic_count == b->topic_count &&
           a->partition_count == b->partition_count && same_tree(a->topics_by_name, b->topics_by_name, same_topic) &&
           same_tree(a->topics_by_id, b->topics_by_id, same_topic) && same_tree(a->brokers, b->brokers, same_broker) &&
           same_tree(a->controllers, b->controllers, same_broker) &&
           same_tree(a->features, b->features, same_feature) && same_tree(a->configs, b->configs, same_configs) &&
           same_tree(a->quotas, b->quotas, same_quota) && same_tree(a->acls, b->acls, same_acl) &&
           same_tree(a->scrams, b->scrams, same_scram) && same_tree(a->tokens, b->tokens, same_token);
}
