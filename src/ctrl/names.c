// SPDX-License-Identifier: Apache-2.0
/* ctrl/names.c - a set of texts that counts how often each came, for requests that name things twice. Its nodes lie in the
 * request's arena, so it is bounded with it; one that does not fit is left out, and the arena says so.
 */
#include "ctrl/ctrl__.h"

struct ctrl__name *ctrl__name_find(const struct hash *names, struct slice text)
{
    uint64_t hash = hash_bytes(text);
    for (struct hash_node *node = hash_first(names, hash); node; node = hash_next(node)) {
        struct ctrl__name *name = CONTAINER_OF(node, struct ctrl__name, node);
        if (slice_equal(name->text, text))
            return name;
    }
    return NULL;
}

void ctrl__name_note(struct hash *names, struct arena *arena, struct slice text, struct slice original)
{
    struct ctrl__name *name = ctrl__name_find(names, text);
    if (!name && (name = arena_zalloc(arena, sizeof *name))) {
        name->text = text;
        name->original = original;
        hash_insert(names, &name->node, hash_bytes(text));
    }
    if (name)
        name->count++;
}

int32_t ctrl__name_count(const struct hash *names, struct slice text)
{
    const struct ctrl__name *name = ctrl__name_find(names, text);
    return name ? name->count : 0;
}
