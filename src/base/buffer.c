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

void buffer_base64(struct buffer *b, struct slice s)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < s.size; i += 3) {
        size_t left = s.size - i;
        uint32_t bits =
            (uint32_t)s.data[i] << 16 | (left > 1 ? (uint32_t)s.data[i + 1] << 8 : 0) | (left > 2 ? s.data[i + 2] : 0u);
        char text[4] = {DIGITS[bits >> 18], DIGITS[bits >> 12 & 63], left > 1 ? DIGITS[bits >> 6 & 63] : '=',
                        left > 2 ? DIGITS[bits & 63] : '='};
        buffer_append(b, text, sizeof text);
    }
}

void buffer_free(struct buffer *b)
{
    mem_free(b->data);
    *b = (struct buffer){0};
}
