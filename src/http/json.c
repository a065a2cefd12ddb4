// SPDX-License-Identifier: Apache-2.0
/* http/json.c - JSON written straight into a buffer.
 *
 * Keys are ours and need no escaping; texts may be anything: bytes that are not UTF-8 become U+FFFD in a text, or the whole
 * becomes base64 where the reader can tell the two apart (json__bytes).
 */
#include "http/http__.h"

#include <math.h>

struct json json__begin(struct buffer *out)
{
    return (struct json){.out = out};
}

static void put(struct json *j, const char *text)
{
    buffer_append(j->out, text, strlen(text));
}

static void key_put(struct json *j, const char *key)
{
    if (j->needs_comma)
        put(j, ",");
    j->needs_comma = true;
    if (key)
        buffer_printf(j->out, "\"%s\":", key);
}

void json__open(struct json *j, const char *key, char bracket)
{
    key_put(j, key);
    buffer_append(j->out, &bracket, 1);
    j->needs_comma = false;
}

void json__close(struct json *j, char bracket)
{
    buffer_append(j->out, &bracket, 1);
    j->needs_comma = true;
}

/* Size of the whole, shortest-form character at `at`; 0 when there is none (RFC 3629). */
static size_t utf8_size(const uint8_t *at, const uint8_t *end)
{
    uint8_t c = at[0];
    if (c < 0x80)
        return 1;
    size_t size = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
    if (c > 0xf4 || size == 0 || (size_t)(end - at) < size)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool too_long = (c == 0xe0 && at[1] < 0xa0) || (c == 0xf0 && at[1] < 0x90);
    bool beyond = (c == 0xed && at[1] > 0x9f) || (c == 0xf4 && at[1] > 0x8f);
    return too_long || beyond ? 0 : size;
}

size_t json__utf8_prefix(struct slice bytes)
{
    const uint8_t *at = bytes.data, *end = at + bytes.size;
    while (at < end) {
        size_t size = utf8_size(at, end);
        if (size == 0)
            break;
        at += size;
    }
    return (size_t)(at - bytes.data);
}

static void escaped(struct json *j, uint8_t c)
{
    static const char *const NAMED[] = {['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    if (c == '"' || c == '\\')
        buffer_append(j->out, (char[]){'\\', (char)c}, 2);
    else if (c < COUNT_OF(NAMED) && NAMED[c])
        put(j, NAMED[c]);
    else
        buffer_printf(j->out, "\\u%04x", c);
}

static void quoted(struct json *j, struct slice text)
{
    put(j, "\"");
    const uint8_t *at = text.data, *end = at + text.size, *plain = at;
    while (at < end) {
        size_t size = utf8_size(at, end);
        bool is_plain = size > 0 && *at >= 0x20 && *at != '"' && *at != '\\';
        if (is_plain) {
            at += size;
            continue;
        }
        buffer_append(j->out, plain, (size_t)(at - plain));
        if (size == 0)
            put(j, "\xef\xbf\xbd");
        else
            escaped(j, *at);
        plain = ++at;
    }
    buffer_append(j->out, plain, (size_t)(at - plain));
    put(j, "\"");
}

void json__text(struct json *j, const char *key, struct slice text)
{
    if (slice_is_null(text)) {
        json__null(j, key);
        return;
    }
    key_put(j, key);
    quoted(j, text);
}

void json__string(struct json *j, const char *key, const char *text)
{
    json__text(j, key, slice_str(text));
}

void json__i64(struct json *j, const char *key, int64_t value)
{
    key_put(j, key);
    buffer_printf(j->out, "%lld", (long long)value);
}

void json__f64(struct json *j, const char *key, double value)
{
    key_put(j, key);
    if (isfinite(value))
        buffer_printf(j->out, "%.13g", value);
    else
        put(j, "null");
}

void json__bool(struct json *j, const char *key, bool value)
{
    key_put(j, key);
    put(j, value ? "true" : "false");
}

void json__null(struct json *j, const char *key)
{
    key_put(j, key);
    put(j, "null");
}

void json__bytes(struct json *j, const char *key, struct slice bytes, size_t preview_bytes)
{
    if (slice_is_null(bytes)) {
        json__null(j, key);
        return;
    }
    struct slice shown = slice_of(bytes.data, bytes.size < preview_bytes ? bytes.size : preview_bytes);
    size_t text_size = json__utf8_prefix(shown);
    bool is_cut = shown.size < bytes.size;
    bool is_text = text_size == shown.size || (is_cut && text_size + 3 >= shown.size);
    json__open(j, key, '{');
    json__i64(j, "size", (int64_t)bytes.size);
    json__string(j, "encoding", is_text ? "utf8" : "base64");
    if (is_text) {
        json__text(j, "text", slice_of(shown.data, text_size));
    } else {
        key_put(j, "text");
        put(j, "\"");
        buffer_base64(j->out, shown);
        put(j, "\"");
    }
    json__bool(j, "truncated", is_cut);
    json__close(j, '}');
}
