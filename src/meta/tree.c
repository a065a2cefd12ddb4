// SPDX-License-Identifier: Apache-2.0
/* meta/tree.c - persistent AVL trees of items.
 *
 * A node may belong to many trees, and then never changes. A change copies the nodes from the root to the place, except
 * those that only this tree has (one reference all the way from the root): they change in place. So a builder that nobody
 * has taken an image of since pays no copies, and one that was just shared pays O(log n) of them. Heights of siblings
 * differ by one at most; nothing here can fail.
 */
#include "meta/meta__.h"

static int height(const struct meta_node *node)
{
    return node ? node->height : 0;
}

static bool is_own(const struct meta_node *node)
{
    return atomic_load_explicit(&node->refs, memory_order_acquire) == 1;
}

struct meta_node *tree__ref(struct meta_node *tree)
{
    if (tree)
        atomic_fetch_add_explicit(&tree->refs, 1, memory_order_relaxed);
    return tree;
}

void tree__unref(struct meta_node *tree)
{
    while (tree && atomic_fetch_sub_explicit(&tree->refs, 1, memory_order_acq_rel) == 1) {
        struct meta_node *right = tree->right;
        tree__unref(tree->left);
        item__unref(tree->item);
        mem_free(tree);
        tree = right;
    }
}

static struct meta_node *leaf(struct meta_item *item)
{
    struct meta_node *node = mem_alloc(sizeof *node);
    *node = (struct meta_node){.height = 1, .item = item};
    atomic_init(&node->refs, 1);
    return node;
}

/* The node itself where only this tree has it, else a copy; uses up the reference it is given. */
static struct meta_node *own(struct meta_node *node)
{
    if (is_own(node))
        return node;
    struct meta_node *copy = leaf(item__ref(node->item));
    copy->left = tree__ref(node->left);
    copy->right = tree__ref(node->right);
    copy->height = node->height;
    tree__unref(node);
    return copy;
}

static void measure(struct meta_node *node)
{
    int left = height(node->left), right = height(node->right);
    node->height = (int8_t)(1 + (left > right ? left : right));
    assert(node->height <= META_TREE_DEPTH_MAX);
}

static struct meta_node *rotate_right(struct meta_node *node)
{
    struct meta_node *top = own(node->left);
    node->left = top->right;
    top->right = node;
    measure(node);
    measure(top);
    return top;
}

static struct meta_node *rotate_left(struct meta_node *node)
{
    struct meta_node *top = own(node->right);
    node->right = top->left;
    top->left = node;
    measure(node);
    measure(top);
    return top;
}

static struct meta_node *balance(struct meta_node *node) // an own node whose children are balanced
{
    int lean = height(node->left) - height(node->right);
    assert(lean >= -2 && lean <= 2);
    if (lean == 2) {
        node->left = own(node->left);
        if (height(node->left->left) < height(node->left->right))
            node->left = rotate_left(node->left);
        return rotate_right(node);
    }
    if (lean == -2) {
        node->right = own(node->right);
        if (height(node->right->right) < height(node->right->left))
            node->right = rotate_right(node->right);
        return rotate_left(node);
    }
    measure(node);
    return node;
}

const struct meta_item *tree__find(const struct meta_node *tree, const struct meta_item *probe, item_order *order)
{
    while (tree) {
        int side = order(probe, tree->item);
        if (side == 0)
            return tree->item;
        tree = side < 0 ? tree->left : tree->right;
    }
    return NULL;
}

struct meta_item **tree__own(struct meta_node **tree, const struct meta_item *probe, item_order *order)
{
    for (;;) {
        assert(*tree != NULL);
        *tree = own(*tree);
        int side = order(probe, (*tree)->item);
        if (side == 0)
            return &(*tree)->item;
        tree = side < 0 ? &(*tree)->left : &(*tree)->right;
    }
}

static struct meta_node *put(struct meta_node *node, struct meta_item *item, item_order *order)
{
    if (!node)
        return leaf(item);
    node = own(node);
    int side = order(item, node->item);
    if (side == 0) {
        item__unref(node->item);
        node->item = item;
        return node;
    }
    if (side < 0)
        node->left = put(node->left, item, order);
    else
        node->right = put(node->right, item, order);
    return balance(node);
}

void tree__put(struct meta_node **tree, struct meta_item *item, item_order *order)
{
    *tree = put(*tree, item, order);
}

/* Takes the first node out of a tree; its item goes to `ret_item`. */
static struct meta_node *take_first(struct meta_node *node, struct meta_item **ret_item)
{
    node = own(node);
    if (!node->left) {
        struct meta_node *rest = node->right;
        *ret_item = node->item;
        mem_free(node);
        return rest;
    }
    node->left = take_first(node->left, ret_item);
    return balance(node);
}

static struct meta_node *without_top(struct meta_node *node) // an own node
{
    item__unref(node->item);
    if (!node->left || !node->right) {
        struct meta_node *rest = node->left ? node->left : node->right;
        mem_free(node);
        return rest;
    }
    node->right = take_first(node->right, &node->item);
    return balance(node);
}

static struct meta_node *removed(struct meta_node *node, const struct meta_item *probe, item_order *order)
{
    assert(node != NULL);
    node = own(node);
    int side = order(probe, node->item);
    if (side == 0)
        return without_top(node);
    if (side < 0)
        node->left = removed(node->left, probe, order);
    else
        node->right = removed(node->right, probe, order);
    return balance(node);
}

void tree__remove(struct meta_node **tree, const struct meta_item *probe, item_order *order)
{
    *tree = removed(*tree, probe, order);
}

static void descend(struct meta_walk *walk, const struct meta_node *node)
{
    for (; node; node = node->left) {
        assert(walk->depth < META_TREE_DEPTH_MAX);
        walk->path[walk->depth++] = node;
    }
}

void meta_walk_begin(const struct meta_node *tree, struct meta_walk *ret_walk)
{
    ret_walk->depth = 0;
    descend(ret_walk, tree);
}

const struct meta_item *meta_walk_next(struct meta_walk *walk)
{
    if (walk->depth == 0)
        return NULL;
    const struct meta_node *node = walk->path[--walk->depth];
    descend(walk, node->right);
    return node->item;
}

/* From the first item that comes after the probe. */
static void begin_after(const struct meta_node *tree, const struct meta_item *probe, item_order *order,
                        struct meta_walk *ret_walk)
{
    ret_walk->depth = 0;
    for (const struct meta_node *node = tree; node;) {
        bool is_later = order(node->item, probe) > 0;
        if (is_later)
            ret_walk->path[ret_walk->depth++] = node;
        node = is_later ? node->left : node->right;
    }
}

void meta_topics_begin(const struct meta_image *image, struct slice after, struct meta_walk *ret_walk)
{
    struct meta_topic probe = {.name = after};
    if (slice_is_null(after))
        meta_walk_begin(image->topics_by_name, ret_walk);
    else
        begin_after(image->topics_by_name, &probe.item, item__by_name, ret_walk);
}

const struct meta_topic *meta_topics_next(struct meta_walk *walk)
{
    return (const struct meta_topic *)(const void *)meta_walk_next(walk);
}

/* Quotas of one part are ordered by its type, then its name, null first. */
void meta_address_quotas_begin(const struct meta_image *image, struct meta_walk *ret_walk)
{
    struct meta_quota probe = {.part_count = 1, .parts = {{.type = slice_str("ip")}}};
    begin_after(image->quotas, &probe.item, item__by_quota, ret_walk);
}

const struct meta_quota *meta_address_quotas_next(struct meta_walk *walk)
{
    const struct meta_quota *quota = (const struct meta_quota *)(const void *)meta_walk_next(walk);
    bool is_of_address = quota && quota->part_count == 1 && slice_equal_str(quota->parts[0].type, "ip");
    return is_of_address ? quota : NULL;
}
