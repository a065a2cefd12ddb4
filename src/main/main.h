// SPDX-License-Identifier: Apache-2.0
/* main/main.h - one running Ottla: settings, broker, listeners and threads put together.
 *
 * The program (`program.c`) and the simulator both start it through this header, so the simulated broker is the real one.
 */
#pragma once

#include "base/base.h"
#include "broker/broker.h"
#include "net/net.h"

/* ---- settings: a server.properties, --set and defaults resolved against the table of all settings */
struct settings;

/* `file` may be NULL. `sets`: KEY=VALUE texts that win over the file. On failure a message for people, with file and line,
 * was logged to stderr. The result keeps copies. */
MUST_USE struct status settings_load(const char *file, const char *const *sets, int set_count,
                                     struct settings **ret_settings);
void settings_free(struct settings *settings);
/* The value of a known setting: given or default; NULL when it has none. */
const char *settings_get(const struct settings *settings, const char *name);
int64_t settings_get_i64(const struct settings *settings, const char *name);
bool settings_get_bool(const struct settings *settings, const char *name);

/* What serve needs, from settings and the command line's shortcuts. */
struct serve_options {
    struct broker_options broker;
    struct net_options net;
    char http_host[256];
    uint16_t http_port;
    bool http_on;
    struct settings *settings; // owned
    char *texts[LOG_DIRS_MAX]; // owned: log directories
    char *metadata_dir;        // owned
};
/* `data`, `listen`, `http` may be NULL. */
MUST_USE struct status serve_options_make(const char *file, const char *data, const char *listen, const char *http,
                                          const char *const *sets, int set_count, struct serve_options *ret_options);
void serve_options_free(struct serve_options *options);

/* ---- the running instance */
struct ottla;
MUST_USE struct status ottla_start(const struct serve_options *options, struct ottla **ret_ottla);
/* The same in two steps: its ports are taken and its broker can be asked how far it is; then it starts. A failure of the
 * second leaves it to ottla_free. */
MUST_USE struct status ottla_create(const struct serve_options *options, struct ottla **ret_ottla);
MUST_USE struct status ottla_open(struct ottla *ottla);
void ottla_free(struct ottla *ottla); // one that was not started
/* Clean stop: what was asked is answered, everything is synced, the clean marks are written. */
MUST_USE struct status ottla_stop(struct ottla *ottla);
struct broker *ottla_broker(struct ottla *ottla);
uint16_t ottla_port(const struct ottla *ottla, int listener);
