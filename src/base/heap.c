// SPDX-License-Identifier: Apache-2.0
/* base/heap.c - an intrusive binary min-heap: every node knows its place, so that a deadline can be taken back. */
#include "base/base.h"

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_free(struct heap *h)
{
    mem_free(h->nodes);
    *h = (struct heap){0};
}

/* Places are 1-based: the children of i are 2i and 2i+1. */
static void place(struct heap *h, struct heap_node *node, uint32_t index)
{
    h->nodes[index - 1] = node;
    node->index = index;
}

static void sift_up(struct heap *h, struct heap_node *node, uint32_t index)
{
    for (; index > 1 && h->nodes[index / 2 - 1]->key > node->key; index /= 2)
        place(h, h->nodes[index / 2 - 1], index);
    place(h, node, index);
}

static void sift_down(struct heap *h, struct heap_node *node, uint32_t index)
{
    for (uint32_t child; (child = index * 2) <= h->count; index = child) {
        if (child < h->count && h->nodes[child]->key < h->nodes[child - 1]->key)
            child++;
        if (h->nodes[child - 1]->key >= node->key)
            break;
        place(h, h->nodes[child - 1], index);
    }
    place(h, node, index);
}

void heap_insert(struct heap *h, struct heap_node *node, int64_t key)
{
    heap_remove(h, node);
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : 16;
        h->nodes = mem_realloc(h->nodes, h->capacity * sizeof *h->nodes);
    }
    node->key = key;
    h->count++;
    sift_up(h, node, h->count);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    uint32_t index = node->index;
    if (index == 0)
        return;
    assert(index <= h->count && h->nodes[index - 1] == node);
    node->index = 0;
    struct heap_node *last = h->nodes[--h->count];
    if (last == node)
        return;
    if (index > 1 && h->nodes[index / 2 - 1]->key > last->key)
        sift_up(h, last, index);
    else
        sift_down(h, last, index);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->count ? h->nodes[0] : NULL;
}
