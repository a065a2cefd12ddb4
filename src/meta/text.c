// SPDX-License-Identifier: Apache-2.0
/* meta/text.c - values of settings as Java reads and writes them.
 *
 * Clients see in messages, and rely on in settings, what Java's parsers take: a plus sign, spaces around, `1d` for a double
 * but no hexadecimal integer. These functions know nothing of settings; they fail by returning false.
 */
#include "meta/meta__.h"

#include <math.h>
#include <stdlib.h>

static bool is_space(uint8_t byte) // \s of a Java regular expression
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

void text__say(char message[META_MESSAGE_SIZE], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, META_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
}

struct slice text__trim(struct slice text)
{
    while (text.size > 0 && text.data[0] <= ' ')
        text = slice_of(text.data + 1, text.size - 1);
    while (text.size > 0 && text.data[text.size - 1] <= ' ')
        text.size--;
    return text;
}

bool text__parse_i64(struct slice text, int64_t min, int64_t max, int64_t *ret_value)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    size_t at = is_negative || (text.size > 0 && text.data[0] == '+') ? 1 : 0;
    if (at == text.size)
        return false;
    int64_t value = 0;
    for (; at < text.size; at++) { // adds up negative values: there is one more of them
        if (!is_digit(text.data[at]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, text.data[at] - '0', &value))
            return false;
    }
    if (!is_negative && __builtin_sub_overflow(0, value, &value))
        return false;
    if (value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

bool text__parse_f64(struct slice text, double *ret_value)
{
    char copy[128];
    if (text.size == 0 || text.size >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    const char *number = copy + (copy[0] == '-' || copy[0] == '+');
    bool is_hex = number[0] == '0' && (number[1] == 'x' || number[1] == 'X');
    bool is_named = strcmp(number, "NaN") == 0 || strcmp(number, "Infinity") == 0;
    if (!is_named && !is_digit((uint8_t)number[0]) && number[0] != '.')
        return false;
    if (is_hex && !strpbrk(number, "pP"))
        return false;
    char *end;
    double value = strtod(copy, &end);
    if (!is_named && end > number && *end && strchr("dDfF", *end))
        end++;
    if (end != copy + text.size)
        return false;
    *ret_value = value;
    return true;
}

/* The fewest digits that give the value again: d.ddd and the exponent of ten. */
static void shortest_digits(double value, char ret_digits[24], int *ret_exponent)
{
    char text[40];
    for (int precision = 0; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    int count = 0;
    for (const char *p = text; *p != 'e'; p++)
        if (is_digit((uint8_t)*p))
            ret_digits[count++] = *p;
    while (count > 1 && ret_digits[count - 1] == '0')
        count--;
    ret_digits[count] = 0;
    *ret_exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
}

void text__from_f64(double value, char ret_text[META_DOUBLE_TEXT_SIZE])
{
    if (isnan(value) || isinf(value) || value == 0) {
        snprintf(ret_text, META_DOUBLE_TEXT_SIZE, "%s%s", signbit(value) && !isnan(value) ? "-" : "",
                 isnan(value)   ? "NaN"
                 : isinf(value) ? "Infinity"
                                : "0.0");
        return;
    }
    char digits[24];
    int exponent;
    shortest_digits(value < 0 ? -value : value, digits, &exponent);
    const char *sign = value < 0 ? "-" : "";
    int count = (int)strlen(digits);
    if (exponent < -3 || exponent >= 7)
        snprintf(ret_text, META_DOUBLE_TEXT_SIZE, "%s%c.%sE%d", sign, digits[0], count > 1 ? digits + 1 : "0",
                 exponent);
    else if (exponent < 0)
        snprintf(ret_text, META_DOUBLE_TEXT_SIZE, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
    else if (count <= exponent + 1)
        snprintf(ret_text, META_DOUBLE_TEXT_SIZE, "%s%s%.*s.0", sign, digits, exponent + 1 - count, "0000000");
    else
        snprintf(ret_text, META_DOUBLE_TEXT_SIZE, "%s%.*s.%s", sign, exponent + 1, digits, digits + exponent + 1);
}

bool meta_double_text(struct slice value, char ret_text[META_DOUBLE_TEXT_SIZE])
{
    double number;
    if (!text__parse_f64(text__trim(value), &number))
        return false;
    text__from_f64(number, ret_text);
    return true;
}

struct slice text__times(struct slice value, int64_t factor, char ret_text[META_VALUE_TEXT_SIZE])
{
    int64_t number = 0;
    if (factor == 1 || !text__parse_i64(text__trim(value), INT32_MIN, INT32_MAX, &number))
        return value;
    int size = snprintf(ret_text, META_VALUE_TEXT_SIZE, "%lld", (long long)(number < 0 ? -1 : number * factor));
    return slice_of(ret_text, (size_t)size);
}

bool text__next_element(struct slice *rest, struct slice *ret_element)
{
    if (slice_is_null(*rest))
        return false;
    const uint8_t *comma = rest->size > 0 ? memchr(rest->data, ',', rest->size) : NULL;
    struct slice element = slice_of(rest->data, comma ? (size_t)(comma - rest->data) : rest->size);
    bool is_last = comma == NULL;
    while (!is_last && element.size > 0 && is_space(element.data[element.size - 1]))
        element.size--;
    struct slice after = SLICE_NULL;
    if (!is_last) {
        after = slice_of(comma + 1, rest->size - (size_t)(comma + 1 - rest->data));
        while (after.size > 0 && is_space(after.data[0]))
            after = slice_of(after.data + 1, after.size - 1);
    }
    *rest = after;
    *ret_element = element;
    return true;
}

/* Digits and one of the units, in their order, each at most once: nD, or nH nM nS with a fraction of seconds. */
static bool take_parts(struct slice *text, const char *units)
{
    bool any = false;
    while (text->size > 0 && text->data[0] != 'T') {
        size_t digits = 0, size = 0;
        while (size < text->size && is_digit(text->data[size]))
            size++, digits++;
        bool has_fraction = size < text->size && (text->data[size] == '.' || text->data[size] == ',');
        if (has_fraction)
            size++;
        size_t fraction = 0;
        while (has_fraction && size < text->size && is_digit(text->data[size]))
            size++, fraction++;
        if (digits == 0 || digits > 18 || fraction > 9 || size == text->size)
            return false;
        const char *unit = strchr(units, text->data[size] & ~0x20);
        if (!unit || !*unit || (has_fraction && *unit != 'S'))
            return false;
        units = unit + 1;
        *text = slice_of(text->data + size + 1, text->size - size - 1);
        any = true;
    }
    return any;
}

bool text__is_duration(struct slice text)
{
    if (text.size < 3 || (text.data[0] & ~0x20) != 'P')
        return false;
    text = slice_of(text.data + 1, text.size - 1);
    bool has_days = text.data[0] != 'T';
    if (has_days && !take_parts(&text, "D"))
        return false;
    if (text.size == 0)
        return true;
    text = slice_of(text.data + 1, text.size - 1);
    return take_parts(&text, "HMS") && text.size == 0;
}
