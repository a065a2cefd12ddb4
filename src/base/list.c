// SPDX-License-Identifier: Apache-2.0
/* base/list.c - the intrusive list: a node is on at most one list, and knows when it is on none. */
#include "base/base.h"

void list_init(struct list *head)
{
    head->next = head->prev = head;
}

static void link_between(struct list *prev, struct list *node, struct list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

void list_push_back(struct list *head, struct list *node)
{
    link_between(head->prev, node, head);
}

void list_push_front(struct list *head, struct list *node)
{
    link_between(head, node, head->next);
}

void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

struct list *list_take_first(struct list *head)
{
    struct list *node = head->next;
    list_remove(node);
    return node;
}

void list_splice_back(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
