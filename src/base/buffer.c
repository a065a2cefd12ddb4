// SPDX-License-Identifier: Apache-2.0
/* base/buffer.c - bytes that grow by doubling and clean themselves up; one that holds nothing owns no memory. */
#include "base/base.h"

void buffer_reserve(struct buffer *b, size_t more)
{
    assert(more <= SIZE_MAX / 4 && b->size <= SIZE_MAX / 4);
    if (b->capacity - b->size >= more)
        return;
    size_t capacity = b->capacity ? b->capacity * 2 : 256;
    while (capacity < b->size + more)
        capacity *= 2;
    b->data = mem_realloc(b->data, capacity);
    b->capacity = capacity;
}

void buffer_append(struct buffer *b, const void *data, size_t size)
{
    buffer_reserve(b, size);
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(size >= 0);
    buffer_reserve(b, (size_t)size + 1);
    va_start(args, format);
    vsnprintf((char *)b->data + b->size, (size_t)size + 1, format, args);
    va_end(args);
    b->size += (size_t)size;
}

void buffer_free(struct buffer *b)
{
    mem_free(b->data);
    *b = (struct buffer){0};
}
