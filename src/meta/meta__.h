// SPDX-License-Identifier: Apache-2.0
/* meta/meta__.h - what the files of meta/ share: text as Java reads and writes it, the types of records, and the trees.
 * Nobody else includes it.
 */
#pragma once

#include "meta/meta.h"
#include "wire/wire.h"

#include <strings.h>

/* ---- text as Java has it */
/* A message, cut where it is too long. */
void text__say(char message[META_MESSAGE_SIZE], const char *format, ...) PRINTF_LIKE(2, 3);
struct slice text__trim(struct slice text); // String.trim: no bytes up to the space at either end
bool text__parse_i64(struct slice text, int64_t min, int64_t max, int64_t *ret_value); // Long.parseLong and its like
bool text__parse_f64(struct slice text, double *ret_value);                            // Double.parseDouble
enum { META_DOUBLE_TEXT_SIZE = 32 };
void text__from_f64(double value, char ret_text[META_DOUBLE_TEXT_SIZE]); // Double.toString
/* The next element of a list `a, b`, which `*rest` is cut by; false when none is left. Start with the trimmed text. */
bool text__next_element(struct slice *rest, struct slice *ret_element);
/* ISO 8601 duration, not negative, as Duration.parse takes it. */
bool text__is_duration(struct slice text);

/* ---- records */
const struct wire_message *record__message(uint32_t type); // NULL: we know no such type

/* ---- settings of topics: the value that this node's static settings give, or the table's default; null when none */
struct slice topic__static_value(const struct meta_settings *settings, const struct meta_config_def *def,
                                 char ret_text[META_VALUE_TEXT_SIZE], enum meta_config_source *ret_source);
