// SPDX-License-Identifier: Apache-2.0
/* base/arena.c - memory of one lifetime. Blocks grow by doubling; reset keeps the first one, so that a warm arena calls
 * malloc no more. Past its limit an arena fails for good, until it is reset.
 */
#include "base/base.h"

enum { ALIGN = 16, BLOCK_BYTES_MAX = 1 << 20 };

struct arena_block {
    struct arena_block *older;
    size_t size;
    _Alignas(ALIGN) uint8_t bytes[];
};

void arena_init(struct arena *a, size_t block_bytes, size_t limit_bytes)
{
    *a = (struct arena){.limit_bytes = limit_bytes, .block_bytes = block_bytes};
}

static void use_block(struct arena *a, struct arena_block *block)
{
    a->at = block->bytes;
    a->end = block->bytes + block->size;
}

void arena_reset(struct arena *a)
{
    while (a->blocks && a->blocks->older) {
        struct arena_block *block = a->blocks;
        a->blocks = block->older;
        mem_free(block);
    }
    a->failed = false;
    a->used_bytes = a->blocks ? a->blocks->size : 0;
    if (a->blocks)
        use_block(a, a->blocks);
}

void arena_free(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *block = a->blocks;
        a->blocks = block->older;
        mem_free(block);
    }
    *a = (struct arena){.limit_bytes = a->limit_bytes, .block_bytes = a->block_bytes};
}

static bool grow(struct arena *a, size_t size)
{
    size_t wanted = a->blocks ? a->blocks->size * 2 : a->block_bytes;
    if (wanted > BLOCK_BYTES_MAX)
        wanted = BLOCK_BYTES_MAX;
    if (a->used_bytes + wanted > a->limit_bytes || wanted < size)
        wanted = size;
    if (size > a->limit_bytes || a->used_bytes > a->limit_bytes - size) {
        a->failed = true;
        return false;
    }
    struct arena_block *block = mem_alloc(sizeof *block + wanted);
    block->size = wanted;
    block->older = a->blocks;
    a->blocks = block;
    a->used_bytes += wanted;
    use_block(a, block);
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (a->failed || size > SIZE_MAX - ALIGN) {
        a->failed = true;
        return NULL;
    }
    size_t rounded = size ? (size + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if ((size_t)(a->end - a->at) < rounded && !grow(a, rounded))
        return NULL;
    void *p = a->at;
    a->at += rounded;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    return p ? memset(p, 0, size) : NULL;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        a->failed = true;
        return NULL;
    }
    return arena_zalloc(a, bytes);
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    if (slice_is_null(s))
        return SLICE_NULL;
    uint8_t *copy = arena_alloc(a, s.size + 1);
    if (!copy)
        return SLICE_NULL;
    memcpy(copy, s.data, s.size);
    copy[s.size] = 0;
    return slice_of(copy, s.size);
}

struct slice arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = size < 0 ? NULL : arena_alloc(a, (size_t)size + 1);
    if (!text)
        return SLICE_NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)size + 1, format, args);
    va_end(args);
    return slice_of(text, (size_t)size);
}
