// SPDX-License-Identifier: Apache-2.0
/* main/properties.c - reads a server.properties exactly as java.util.Properties does, since Apache Kafka reads the same file.
 *
 * Two steps, as Java's documentation describes them. Lines are joined into logical ones: a backslash at the end of a line
 * that is not itself escaped drops the line's end and the next line's leading blanks; blank lines and comments (# or ! as
 * the first character, never continued) vanish. Then a logical line is split at the first unescaped =, : or blank, and both
 * halves are unescaped: \t \n \r \f, \uXXXX (UTF-16), and \x for any other x is x.
 *
 * Bytes are ISO-8859-1 characters and leave as UTF-8. The only text that cannot be read is one with a broken \uXXXX; what a
 * C string cannot hold (U+0000) and files beyond PROPERTIES_SIZE_MAX are refused too.
 */
#include "main/properties.h"

struct scanner {
    const uint8_t *at, *end;
    int line; // of `at`
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_line_end(uint8_t c)
{
    return c == '\n' || c == '\r';
}

static void skip_blanks(struct scanner *s)
{
    while (s->at < s->end && is_blank(*s->at))
        s->at++;
}

/* At a line's end: \n, \r or both as one. */
static void skip_line_end(struct scanner *s)
{
    if (s->at == s->end)
        return;
    s->at += *s->at == '\r' && s->at + 1 < s->end && s->at[1] == '\n' ? 2 : 1;
    s->line++;
}

static void skip_line(struct scanner *s)
{
    while (s->at < s->end && !is_line_end(*s->at))
        s->at++;
    skip_line_end(s);
}

/* Copies up to the line's end; true when an unescaped backslash stood before it, which is not copied. */
static bool copy_line(struct scanner *s, struct buffer *to)
{
    bool escaped = false;
    for (; s->at < s->end && !is_line_end(*s->at); s->at++) {
        escaped = *s->at == '\\' && !escaped;
        buffer_append(to, s->at, 1);
    }
    if (escaped)
        to->size--;
    skip_line_end(s);
    return escaped;
}

/* The next logical line, empty ones left out; false at the end of the text. */
static bool next_logical(struct scanner *s, struct buffer *to, int *ret_line)
{
    to->size = 0;
    while (s->at < s->end) {
        skip_blanks(s);
        if (s->at == s->end)
            break;
        if (to->size == 0 && (*s->at == '#' || *s->at == '!')) {
            skip_line(s);
            continue;
        }
        if (to->size == 0)
            *ret_line = s->line;
        bool joined = copy_line(s, to);
        if (joined ? s->at == s->end : to->size > 0)
            return true; // Java too takes a backslash that ends the text for a setting without a name
    }
    return to->size > 0;
}

/* ---- unescaping */
static void put_utf8(struct buffer *to, uint32_t c)
{
    uint8_t bytes[4];
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t LEAD[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--, c >>= 6)
        bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
    bytes[0] = (uint8_t)(LEAD[size] | c);
    buffer_append(to, bytes, size);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u; -1 when they are not four digits. */
static int32_t utf16_unit(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 4)
        return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static bool is_high_surrogate(int32_t unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low_surrogate(int32_t unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

/* From behind the u of \u; moves `at`. A surrogate without its other half becomes '?', as when Java encodes it. */
static const char *put_unicode(struct buffer *to, const uint8_t **at, const uint8_t *end)
{
    int32_t unit = utf16_unit(*at, end);
    if (unit < 0)
        return "\\u needs four hexadecimal digits after it";
    if (unit == 0)
        return "\\u0000 cannot be part of a setting";
    *at += 4;
    bool pair = is_high_surrogate(unit) && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u';
    int32_t low = pair ? utf16_unit(*at + 2, end) : -1;
    if (is_low_surrogate(low)) {
        *at += 6;
        put_utf8(to, 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
    } else {
        put_utf8(to, is_high_surrogate(unit) || is_low_surrogate(unit) ? '?' : (uint32_t)unit);
    }
    return NULL;
}

static uint8_t escape_meaning(uint8_t c)
{
    switch (c) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 'f':
        return '\f';
    default:
        return c;
    }
}

/* A NUL-ended copy of [at, end) without escapes; NULL with `ret_what`. */
static char *unescape(const uint8_t *at, const uint8_t *end, const char **ret_what)
{
    struct buffer to CLEANUP(buffer_free) = {0};
    while (at < end) {
        uint8_t c = *at++;
        if (c != '\\' || at == end) {
            put_utf8(&to, c);
            continue;
        }
        c = *at++;
        if (c != 'u') {
            put_utf8(&to, escape_meaning(c));
            continue;
        }
        *ret_what = put_unicode(&to, &at, end);
        if (*ret_what)
            return NULL;
    }
    return slice_to_str(slice_of(to.data ? to.data : (const uint8_t *)"", to.size));
}

/* ---- splitting */
static const uint8_t *key_end(const uint8_t *at, const uint8_t *end)
{
    bool escaped = false;
    for (; at < end; at++) {
        if (!escaped && (*at == '=' || *at == ':' || is_blank(*at)))
            break;
        escaped = *at == '\\' && !escaped;
    }
    return at;
}

/* Behind the key: blanks, at most one = or :, blanks. */
static const uint8_t *value_start(const uint8_t *at, const uint8_t *end)
{
    bool separated = false;
    for (; at < end; at++) {
        if (is_blank(*at))
            continue;
        if (separated || (*at != '=' && *at != ':'))
            break;
        separated = true;
    }
    return at;
}

static const char *add(struct properties *to, struct slice logical, int line)
{
    if (memchr(logical.data, 0, logical.size))
        return "a zero byte cannot be part of a setting";
    if (to->count == PROPERTIES_COUNT_MAX)
        return "too many settings in one file";
    const uint8_t *end = logical.data + logical.size, *split = key_end(logical.data, end);
    const char *what = NULL;
    char *key = unescape(logical.data, split, &what);
    char *value = key ? unescape(value_start(split, end), end, &what) : NULL;
    if (!value) {
        mem_free(key);
        return what;
    }
    if ((to->count & (to->count - 1)) == 0)
        to->items = mem_realloc(to->items, sizeof *to->items * (size_t)(to->count ? to->count * 2 : 1));
    to->items[to->count++] = (struct property){.key = key, .value = value, .line = line};
    return NULL;
}

bool properties__parse(struct slice text, struct properties *ret_properties, struct properties_fault *ret_fault)
{
    struct properties found CLEANUP(properties__free) = {0};
    struct buffer logical CLEANUP(buffer_free) = {0};
    struct scanner scanner = {.at = text.data, .end = text.data + text.size, .line = 1};
    if (text.size > PROPERTIES_SIZE_MAX) {
        *ret_fault = (struct properties_fault){1, "this file is too large for settings"};
        return false;
    }
    for (int line = 1; next_logical(&scanner, &logical, &line);) {
        const char *what = add(&found, slice_of(logical.data, logical.size), line);
        if (what) {
            *ret_fault = (struct properties_fault){line, what};
            return false;
        }
    }
    *ret_properties = found;
    found = (struct properties){0};
    return true;
}

void properties__free(struct properties *properties)
{
    for (int i = 0; i < properties->count; i++) {
        mem_free(properties->items[i].key);
        mem_free(properties->items[i].value);
    }
    mem_free(properties->items);
    *properties = (struct properties){0};
}

/* ---- writing */
static const uint8_t *take_utf8(const uint8_t *at, uint32_t *ret_c)
{
    int more = *at < 0xc0 ? 0 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : 3;
    uint32_t c = more == 0 ? *at : *at & (0x3fu >> more);
    for (at++; more > 0 && (*at & 0xc0) == 0x80; more--, at++)
        c = c << 6 | (*at & 0x3f);
    *ret_c = c;
    return at;
}

static void write_character(struct buffer *out, uint32_t c, bool escape_blanks)
{
    if (c >= 0x10000)
        buffer_printf(out, "\\u%04X\\u%04X", (unsigned)(0xd800 + ((c - 0x10000) >> 10)),
                      (unsigned)(0xdc00 + ((c - 0x10000) & 0x3ff)));
    else if (c < 0x20 || c > 0x7e)
        buffer_printf(out, "\\u%04X", (unsigned)c);
    else if (c == '\\' || (escape_blanks && (c == ' ' || c == '=' || c == ':' || c == '#' || c == '!')))
        buffer_printf(out, "\\%c", (char)c);
    else
        buffer_printf(out, "%c", (char)c);
}

void properties__write(struct buffer *out, const char *key, const char *value)
{
    uint32_t c;
    for (const uint8_t *at = (const uint8_t *)key; *at;) {
        at = take_utf8(at, &c);
        write_character(out, c, true);
    }
    buffer_append(out, "=", 1);
    bool leading = true;
    for (const uint8_t *at = (const uint8_t *)value; *at;) {
        at = take_utf8(at, &c);
        leading = leading && c == ' ';
        write_character(out, c, leading);
    }
    buffer_append(out, "\n", 1);
}
