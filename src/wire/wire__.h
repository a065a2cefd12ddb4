// SPDX-License-Identifier: Apache-2.0
/* wire/wire__.h - what only the generated codecs use. */
#pragma once

#include "wire/wire.h"

#include <stddef.h>

/* How many tagged fields follow; bounded by the bytes left. */
int32_t wire__read_tag_count(struct wire_reader *r);
/* One tagged field of a frame: its number and its bytes. */
void wire__read_tag(struct wire_reader *r, uint32_t *ret_tag, struct slice *ret_bytes);
/* Keeps an unknown one; `count_max` bounds how many there can be. */
void wire__keep_tag(struct wire_reader *r, struct arena *arena, struct wire_tags *tags, int32_t count_max, uint32_t tag,
                    struct slice bytes);
