// SPDX-License-Identifier: Apache-2.0
/* base/slice.c - bytes that somebody else owns, and the text form of uuids. */
#include "base/base.h"

const struct uuid UUID_ZERO;

bool slice_equal(struct slice a, struct slice b)
{
    if (!a.data || !b.data)
        return a.data == b.data;
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

bool slice_equal_str(struct slice a, const char *text)
{
    return slice_equal(a, slice_str(text));
}

int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order != 0)
        return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

char *slice_to_str(struct slice s)
{
    char *text = mem_alloc(s.size + 1);
    if (s.size)
        memcpy(text, s.data, s.size);
    text[s.size] = '\0';
    return text;
}

bool uuid_equal(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

bool uuid_is_zero(struct uuid a)
{
    return uuid_equal(a, UUID_ZERO);
}

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void uuid_to_text(struct uuid a, char ret_text[UUID_TEXT_SIZE])
{
    uint32_t bits = 0;
    int held = 0, at = 0;
    for (size_t i = 0; i < sizeof a.bytes; i++) {
        bits = bits << 8 | a.bytes[i];
        for (held += 8; held >= 6; held -= 6)
            ret_text[at++] = ALPHABET[bits >> (held - 6) & 63];
    }
    ret_text[at++] = ALPHABET[bits << (6 - held) & 63];
    assert(at == UUID_TEXT_SIZE - 1);
    ret_text[at] = '\0';
}

bool uuid_from_text(struct slice text, struct uuid *ret_uuid)
{
    if (text.size != UUID_TEXT_SIZE - 1)
        return false;
    struct uuid out = UUID_ZERO;
    uint32_t bits = 0;
    int held = 0;
    size_t at = 0;
    for (size_t i = 0; i < text.size; i++) {
        const char *found = text.data[i] ? strchr(ALPHABET, text.data[i]) : NULL;
        if (!found)
            return false;
        bits = bits << 6 | (uint32_t)(found - ALPHABET);
        held += 6;
        if (held >= 8) {
            held -= 8;
            if (at < sizeof out.bytes)
                out.bytes[at++] = (uint8_t)(bits >> held);
        }
    }
    *ret_uuid = out;
    return true;
}
