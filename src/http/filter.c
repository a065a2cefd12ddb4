// SPDX-License-Identifier: Apache-2.0
/* http/filter.c - which records a search wants. All conditions must hold:
 *
 *   text=...         the value contains it
 *   key=...          the key contains it
 *   regex=...        the value matches it somewhere (RE2: time linear in the value)
 *   header=N or N=V  a header of that name, with that value
 *   json=PATH OP V   the value is JSON and $.a.b[0].c compares so: = != < <= > >= ~ (contains); without OP: it is there.
 *                    A step through an array without index looks at every element.
 *   after=T before=T timestamps, after <= t < before
 *
 * All but the last two may be given several times, CONDITIONS_MAX of each kind. The cheap ones are asked first; JSON is
 * parsed only where the others hold.
 */
#include "http/http__.h"

#include <jansson.h>
#include <stdlib.h>

enum { CONDITIONS_MAX = 16, STEPS_MAX = 16, JSON_VALUE_MAX_BYTES = 64 << 20 };

enum comparison {
    COMPARE_EXISTS,
    COMPARE_EQUAL,
    COMPARE_NOT,
    COMPARE_LESS,
    COMPARE_LEAST,
    COMPARE_MORE,
    COMPARE_MOST,
    COMPARE_CONTAINS
};

struct json_condition {
    struct step {
        char name[128]; // "": an index
        int index;
    } steps[STEPS_MAX];
    int step_count;
    enum comparison comparison;
    char value[256];
    double number;
    bool is_number;
};

/* In the order in which they are asked, by what they cost. */
enum plain_kind { PLAIN_KEY, PLAIN_TEXT, PLAIN_HEADER, PLAIN_REGEX, PLAIN_KINDS };

static const char *const PLAIN_NAMES[PLAIN_KINDS] = {"key", "text", "header", "regex"};

struct plain_condition {
    enum plain_kind kind;
    struct slice text;  // what is contained, or a header's name
    struct slice value; // a header's; null: any
    struct regexp *regexp;
};

struct filter {
    struct plain_condition plain[PLAIN_KINDS * CONDITIONS_MAX];
    int plain_count;
    int64_t after_ms, before_ms;
    struct json_condition *json;
    int json_count;
};

/* ---- reading the query */
static bool read_path(const char **at, struct json_condition *c)
{
    const char *p = *at;
    if (*p == '$')
        p++;
    while (*p == '.' || *p == '[' || c->step_count == 0) {
        if (c->step_count == STEPS_MAX)
            return false;
        struct step *step = &c->steps[c->step_count++];
        if (*p == '[') {
            char *end;
            step->index = *++p == '*' ? -1 : (int)strtol(p, &end, 10);
            p = step->index < 0 ? p + 1 : end;
            if (*p++ != ']')
                return false;
            continue;
        }
        p += *p == '.';
        size_t size = strcspn(p, ".[ =!<>~");
        if (size == 0 || size >= sizeof step->name)
            return false;
        memcpy(step->name, p, size);
        p += size;
    }
    *at = p;
    return true;
}

static bool read_condition(const char *text, struct json_condition *c)
{
    static const struct {
        const char *sign;
        enum comparison comparison;
    } SIGNS[] = {{"==", COMPARE_EQUAL}, {"!=", COMPARE_NOT}, {"<=", COMPARE_MOST}, {">=", COMPARE_LEAST},
                 {"=", COMPARE_EQUAL},  {"<", COMPARE_LESS}, {">", COMPARE_MORE},  {"~", COMPARE_CONTAINS}};
    text += strspn(text, " ");
    if (!read_path(&text, c))
        return false;
    text += strspn(text, " ");
    if (!*text)
        return true;
    size_t i = 0;
    while (i < COUNT_OF(SIGNS) && strncmp(text, SIGNS[i].sign, strlen(SIGNS[i].sign)) != 0)
        i++;
    if (i == COUNT_OF(SIGNS))
        return false;
    c->comparison = SIGNS[i].comparison;
    text += strlen(SIGNS[i].sign);
    text += strspn(text, " ");
    size_t size = strlen(text);
    bool is_quoted = size >= 2 && (*text == '"' || *text == '\'') && text[size - 1] == *text;
    snprintf(c->value, sizeof c->value, "%.*s", (int)(is_quoted ? size - 2 : size), text + is_quoted);
    char *end;
    c->number = strtod(c->value, &end);
    c->is_number = !is_quoted && *c->value && !*end;
    return size < sizeof c->value;
}

static bool read_time(struct exchange *e, const char *name, int64_t otherwise, int64_t *ret_ms)
{
    const char *text = exchange__query(e, name);
    *ret_ms = otherwise;
    if (!text || !*text)
        return true;
    if (strspn(text, "0123456789") == strlen(text)) {
        *ret_ms = strtoll(text, NULL, 10);
        return true;
    }
    if (time__parse(text, ret_ms))
        return true;
    exchange__fail(e, 400, "INVALID", "%s is a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970", name);
    return false;
}

static bool too_many(struct exchange *e, const char *name)
{
    exchange__fail(e, 400, "INVALID", "%s can be given %d times", name, CONDITIONS_MAX);
    return false;
}

static bool read_json(struct exchange *e, struct filter *filter)
{
    filter->json = mem_zalloc(CONDITIONS_MAX * sizeof *filter->json);
    for (int i = 0; i < e->query_count; i++) {
        if (strcmp(e->query[i].name, "json") != 0 || !*e->query[i].value)
            continue;
        if (filter->json_count == CONDITIONS_MAX)
            return too_many(e, "json");
        if (!read_condition(e->query[i].value, &filter->json[filter->json_count++])) {
            exchange__fail(e, 400, "INVALID", "json is a path, a comparison and a value, such as $.order.total > 10");
            return false;
        }
    }
    return true;
}

static bool read_plain(struct exchange *e, enum plain_kind kind, const char *text, struct plain_condition *c)
{
    *c = (struct plain_condition){.kind = kind, .text = slice_str(mem_strdup(text)), .value = SLICE_NULL};
    const char *equals = kind == PLAIN_HEADER ? strchr(text, '=') : NULL;
    if (equals) {
        c->text.size = (size_t)(equals - text);
        c->value = slice_str(mem_strdup(equals + 1));
    }
    if (kind != PLAIN_REGEX)
        return true;
    char why[256];
    c->regexp = regexp__create(text, why, sizeof why);
    if (!c->regexp)
        exchange__fail(e, 400, "INVALID", "regex: %s", why);
    return c->regexp != NULL;
}

static bool read_kind(struct exchange *e, enum plain_kind kind, struct filter *filter)
{
    int most = filter->plain_count + CONDITIONS_MAX;
    for (int i = 0; i < e->query_count; i++) {
        if (strcmp(e->query[i].name, PLAIN_NAMES[kind]) != 0 || !*e->query[i].value)
            continue;
        if (filter->plain_count == most)
            return too_many(e, PLAIN_NAMES[kind]);
        if (!read_plain(e, kind, e->query[i].value, &filter->plain[filter->plain_count++]))
            return false;
    }
    return true;
}

static bool read_all(struct exchange *e, struct filter *filter)
{
    for (enum plain_kind kind = 0; kind < PLAIN_KINDS; kind++)
        if (!read_kind(e, kind, filter))
            return false;
    return read_json(e, filter) && read_time(e, "after", INT64_MIN, &filter->after_ms) &&
           read_time(e, "before", INT64_MAX, &filter->before_ms);
}

struct filter *filter__create(struct exchange *e)
{
    struct filter *filter = mem_zalloc(sizeof *filter);
    if (read_all(e, filter))
        return filter;
    filter__free(filter);
    return NULL;
}

void filter__free(struct filter *filter)
{
    if (!filter)
        return;
    for (int i = 0; i < filter->plain_count; i++) {
        regexp__free(filter->plain[i].regexp);
        mem_free((void *)(uintptr_t)filter->plain[i].text.data);
        mem_free((void *)(uintptr_t)filter->plain[i].value.data);
    }
    mem_free(filter->json);
    mem_free(filter);
}

/* ---- matching */
static bool contains(struct slice in, struct slice what)
{
    return !slice_is_null(in) && memmem(in.data, in.size, what.data, what.size);
}

static bool header_matches(const struct plain_condition *c, const struct record *record)
{
    struct header_walk walk = header_walk__begin(record);
    for (struct slice key, value; header_walk__next(&walk, &key, &value);)
        if (slice_equal(key, c->text) && (slice_is_null(c->value) || slice_equal(value, c->value)))
            return true;
    return false;
}

static bool plain_matches(const struct plain_condition *c, const struct record *record)
{
    switch (c->kind) {
    case PLAIN_KEY:
        return contains(record->key, c->text);
    case PLAIN_TEXT:
        return contains(record->value, c->text);
    case PLAIN_HEADER:
        return header_matches(c, record);
    case PLAIN_REGEX:
        return !slice_is_null(record->value) && regexp__matches(c->regexp, record->value);
    case PLAIN_KINDS:
        break;
    }
    return false;
}

static bool compare_order(enum comparison comparison, double a, double b)
{
    switch (comparison) {
    case COMPARE_EQUAL:
        return a == b;
    case COMPARE_NOT:
        return a != b;
    case COMPARE_LESS:
        return a < b;
    case COMPARE_MOST:
        return a <= b;
    case COMPARE_MORE:
        return a > b;
    case COMPARE_LEAST:
        return a >= b;
    case COMPARE_EXISTS:
    case COMPARE_CONTAINS:
        break;
    }
    return false;
}

static bool compare(const json_t *node, const struct json_condition *c)
{
    if (c->comparison == COMPARE_EXISTS)
        return true;
    if (json_is_number(node) && c->is_number)
        return compare_order(c->comparison, json_number_value(node), c->number);
    const char *text = json_is_string(node)  ? json_string_value(node)
                       : json_is_true(node)  ? "true"
                       : json_is_false(node) ? "false"
                       : json_is_null(node)  ? "null"
                                             : NULL;
    if (!text)
        return c->comparison == COMPARE_NOT;
    if (c->comparison == COMPARE_CONTAINS)
        return strstr(text, c->value) != NULL;
    return compare_order(c->comparison, (double)strcmp(text, c->value), 0);
}

static bool json_step(const json_t *node, const struct json_condition *c, int number);

static bool any_element(const json_t *array, const struct json_condition *c, int number)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (json_step(json_array_get(array, i), c, number))
            return true;
    return false;
}

static bool json_step(const json_t *node, const struct json_condition *c, int number)
{
    if (!node)
        return false;
    if (number == c->step_count)
        return compare(node, c);
    const struct step *step = &c->steps[number];
    if (*step->name)
        return json_is_array(node) ? any_element(node, c, number)
                                   : json_step(json_object_get(node, step->name), c, number + 1);
    if (step->index < 0)
        return any_element(node, c, number + 1);
    return json_step(json_array_get(node, (size_t)step->index), c, number + 1);
}

static bool json_matches(const struct filter *filter, struct slice value)
{
    if (slice_is_null(value) || value.size > JSON_VALUE_MAX_BYTES)
        return false;
    for (int i = 0; i < filter->json_count; i++) {
        const struct json_condition *c = &filter->json[i];
        for (int s = 0; s < c->step_count; s++)
            if (*c->steps[s].name && !memmem(value.data, value.size, c->steps[s].name, strlen(c->steps[s].name)))
                return false; // names are mostly plain, so this saves most of the parsing
    }
    json_t *root = json_loadb((const char *)value.data, value.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool matches = root != NULL;
    for (int i = 0; matches && i < filter->json_count; i++)
        matches = json_step(root, &filter->json[i], 0);
    json_decref(root);
    return matches;
}

bool filter__may_match(const struct filter *filter, const uint8_t *batch_head)
{
    return record_batch_max_timestamp(batch_head) >= filter->after_ms;
}

bool filter__matches(struct filter *filter, const struct record *record)
{
    if (record->timestamp_ms < filter->after_ms || record->timestamp_ms >= filter->before_ms)
        return false;
    for (int i = 0; i < filter->plain_count; i++)
        if (!plain_matches(&filter->plain[i], record))
            return false;
    return filter->json_count == 0 || json_matches(filter, record->value);
}
