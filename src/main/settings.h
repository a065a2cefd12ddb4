// SPDX-License-Identifier: Apache-2.0
/* main/settings.h - the inside of main's settings: who gave which value, and how people are told that one is wrong. */
#pragma once

#include "main/main.h"

enum { WHERE_SIZE = 512 };

/* For CLEANUP: texts of slice_to_str and mem_strdup. */
static inline void settings__text_free(char **text)
{
    mem_free(*text);
}

/* One value that somebody gave. */
struct given {
    char *name, *value;
    char *where; // "server.properties:12", "--set", "--listen"
};

struct settings {
    struct meta_settings *values; // what was given and known, and the defaults of a broker without a file
    char *file;                   // NULL: none
    struct given *given;
    int given_count;
    int error_count;
};

struct settings_source {
    const char *file, *data, *listen, *http; // each may be NULL
    const char *const *sets;
    int set_count;
};

/* Reads and checks each value for itself; how values fit together is checked by options.c. */
MUST_USE struct status settings__load(const struct settings_source *source, struct settings **ret_settings);
/* NULL: nobody gave it. */
const struct given *settings__given(const struct settings *settings, const char *name);
/* The default of this program where it is not Kafka's; NULL: Kafka's counts. */
const char *settings__own_default(const struct settings *settings, const char *name);

/* A file of properties that need not be there; false when it cannot be read. */
struct properties;
bool settings__read_properties(const char *path, struct properties *ret_properties);

/* For people, on stderr: `WHERE: error: ...`, where WHERE is that of the setting `name` (NULL: the program). */
void settings__error(struct settings *settings, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);
void settings__warn(struct settings *settings, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);
/* Tests read what people would; NULL: stderr again. */
void settings__tell_to(struct buffer *buffer);

/* Elements of a list value: the next one without blanks around it, false at the end. `rest` starts as the value. */
bool settings__next(const char **rest, struct slice *ret_element);
bool settings__list_has(const char *list, struct slice element);
struct slice settings__trimmed(const char *at, const char *end);

/* ---- check.c */
/* Tells what is wrong or ignored; puts what is right into `values`. */
void settings__check(struct settings *settings);

/* ---- listeners.c */
enum { ADDRESS_FAULT_SIZE = 512 };
/* HOST:PORT, [IPV6]:PORT, :PORT (all interfaces) or PORT (loopback). False: `ret_fault` says what is wrong with it. */
bool address__parse(struct slice text, char ret_host[256], uint16_t *ret_port, char ret_fault[ADDRESS_FAULT_SIZE]);
/* listeners, advertised.listeners and what goes with them; errors are told and counted. */
void listeners__make(struct settings *settings, struct broker_listener *ret_listeners, int *ret_count);
bool listeners__is_wildcard(const char *host);

/* ---- directories.c */
/* Makes each log directory and the metadata directory where they are missing, parents too, durably. */
MUST_USE struct status directories__make(const struct broker_options *options);

/* ---- reload.c */
/* `now` with what may change while the broker runs as `fresh` has it. `before` was read before it; of what differs and may
 * not change people are told. The result is the caller's. */
struct meta_settings *reload__merge(const struct meta_settings *now, const struct settings *before,
                                    struct settings *fresh, int *ret_changed);

/* ---- config.c */
void config__print(const struct settings *settings);
void config__export(const struct serve_options *options);

/* ---- options.c */
MUST_USE struct status options__make(const struct settings_source *source, struct serve_options *ret_options);
void options__release(struct serve_options **options); // frees what it holds, and itself
