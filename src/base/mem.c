// SPDX-License-Identifier: Apache-2.0
/* base/mem.c - the only callers of malloc.
 *
 * Out of memory ends the process with a message: every size that an outsider can choose is bounded before it gets here,
 * so there is nothing sensible to go on with. Calls are counted per thread, for the test that says a warm broker makes none.
 * The simulator hooks in to know what a crashed broker leaves behind; nobody else does.
 */
#include "base/base.h"

#include <stdlib.h>

static _Thread_local uint64_t alloc_count;

static const struct mem_hook *hook;

void mem_hook_set(const struct mem_hook *new_hook)
{
    hook = new_hook;
}

static void *checked(void *p, size_t size)
{
    if (p && hook)
        hook->allocated(p);
    if (p)
        return p;
    fprintf(stderr, "ottla: out of memory (%zu bytes asked for)\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    alloc_count++;
    return checked(malloc(size ? size : 1), size);
}

void *mem_zalloc(size_t size)
{
    alloc_count++;
    return checked(calloc(1, size ? size : 1), size);
}

void *mem_realloc(void *p, size_t size)
{
    alloc_count++;
    if (hook)
        hook->freed(p);
    return checked(realloc(p, size ? size : 1), size);
}

void mem_free(void *p)
{
    if (hook)
        hook->freed(p);
    free(p);
}

char *mem_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(mem_alloc(size), text, size);
}

uint64_t mem_alloc_count(void)
{
    return alloc_count;
}
