// SPDX-License-Identifier: Apache-2.0
/* main/properties.h - the text format of a server.properties, as java.util.Properties reads it. */
#pragma once

#include "base/base.h"

struct property {
    char *key, *value; // UTF-8, NUL-ended
    int line;          // where its first line stands, from 1
};

struct properties {
    struct property *items; // in the order of the file; a key may come twice, its last value counts
    int count;
};

enum { PROPERTIES_SIZE_MAX = 4 << 20, PROPERTIES_COUNT_MAX = 65536 };

/* What is wrong with a text that cannot be read, and in which line. */
struct properties_fault {
    int line;
    const char *what;
};

/* False: `ret_fault` says why. Bytes are ISO-8859-1, as Kafka reads them. */
bool properties__parse(struct slice text, struct properties *ret_properties, struct properties_fault *ret_fault);
void properties__free(struct properties *properties);
/* The line that gives `key` this `value` when it is read back: everything that needs it is escaped. */
void properties__write(struct buffer *out, const char *key, const char *value);
