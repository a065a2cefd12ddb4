// SPDX-License-Identifier: Apache-2.0
/* base/log.c - log lines in logfmt, one write each, so that lines of several threads never mix.
 *
 * A call site that writes more than LINES_PER_SECOND lines in a second is silenced until the second is over; how many
 * lines were left out is told with its next one. Quotes, backslashes and control characters of messages are escaped.
 */
#include "base/base.h"

#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 2048, LINES_PER_SECOND = 10 };

static _Atomic int level_now = LOG_INFO;
static void (*sink_now)(void *context, const char *line, size_t size);
static void *sink_context;
static int64_t (*clock_now)(void);

void log_level_set(enum log_level level)
{
    atomic_store(&level_now, level);
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load(&level_now);
}

void log_sink_set(void (*sink)(void *context, const char *line, size_t size), void *context)
{
    sink_now = sink;
    sink_context = context;
}

void log_clock_set(int64_t (*wall_ms)(void))
{
    clock_now = wall_ms;
}

/* How many lines were left out before this one; -1: this one is left out too. */
static int64_t admit(struct log_site *site, int64_t now_ms)
{
    int64_t second = now_ms / 1000, window = atomic_load(&site->window_s);
    uint32_t before = atomic_fetch_add(&site->count, 1);
    if (second == window)
        return before < LINES_PER_SECOND ? 0 : -1;
    if (!atomic_compare_exchange_strong(&site->window_s, &window, second))
        return -1;
    atomic_store(&site->count, 1);
    return before > LINES_PER_SECOND ? before - LINES_PER_SECOND : 0;
}

static size_t stamp(char *line, int64_t now_ms)
{
    if (now_ms == 0)
        return 0;
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    return (size_t)snprintf(line, 40, "ts=%s.%03dZ ", text, (int)(now_ms % 1000));
}

static size_t escape(char *to, size_t room, const char *from)
{
    size_t at = 0;
    for (; *from && at + 5 < room; from++) {
        unsigned char c = (unsigned char)*from;
        if (c == '"' || c == '\\') {
            to[at++] = '\\';
            to[at++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            at += (size_t)snprintf(to + at, 5, "\\x%02x", c);
        } else {
            to[at++] = (char)c;
        }
    }
    return at;
}

void log_line(struct log_site *site, enum log_level level, const char *module, const char *format, ...)
{
    static const char *const NAMES[] = {"debug", "info", "warn", "error"};
    if ((int)level < atomic_load(&level_now))
        return;
    int64_t now_ms = clock_now ? clock_now() : 0;
    int64_t left_out = now_ms ? admit(site, now_ms) : 0;
    if (left_out < 0)
        return;
    char message[LINE_BYTES / 2], line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    size_t at = stamp(line, now_ms);
    at += (size_t)snprintf(line + at, 64, "level=%s mod=%.16s msg=\"", NAMES[level], module);
    at += escape(line + at, sizeof line - at - 64, message);
    if (left_out > 0)
        at += (size_t)snprintf(line + at, 64, "\" left_out=%lld\n", (long long)left_out);
    else
        at += (size_t)snprintf(line + at, 64, "\"\n");
    if (sink_now)
        sink_now(sink_context, line, at);
    else if (write(STDERR_FILENO, line, at) < 0)
        return; // nowhere to tell it
}
