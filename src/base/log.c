// SPDX-License-Identifier: Apache-2.0
/* base/log.c - log lines in logfmt or JSON, one write each, so that lines of several threads never mix.
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
static _Atomic bool json_now;
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

void log_json_set(bool is_json)
{
    atomic_store(&json_now, is_json);
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

/* ---- the last lines, for people who look: a ring that threads take turns to write for as long as a memcpy takes */
static char kept[LOG_KEPT_BYTES];
static size_t kept_total;
static atomic_flag kept_busy = ATOMIC_FLAG_INIT;

static void keep(const char *line, size_t size)
{
    while (atomic_flag_test_and_set_explicit(&kept_busy, memory_order_acquire)) {
    }
    for (size_t left = size; left > 0;) {
        size_t at = kept_total % LOG_KEPT_BYTES, room = LOG_KEPT_BYTES - at, part = left < room ? left : room;
        memcpy(kept + at, line + (size - left), part);
        kept_total += part;
        left -= part;
    }
    atomic_flag_clear_explicit(&kept_busy, memory_order_release);
}

void log_tail(struct buffer *out, size_t size)
{
    size_t most = size < LOG_KEPT_BYTES ? size : LOG_KEPT_BYTES, before = out->size;
    buffer_reserve(out, most);
    while (atomic_flag_test_and_set_explicit(&kept_busy, memory_order_acquire)) {
    }
    size_t there = kept_total < most ? kept_total : most;
    bool is_cut = there < kept_total;
    for (size_t i = kept_total - there; i < kept_total; i++)
        out->data[out->size++] = (uint8_t)kept[i % LOG_KEPT_BYTES];
    atomic_flag_clear_explicit(&kept_busy, memory_order_release);
    const uint8_t *first = is_cut && there > 0 ? memchr(out->data + before, '\n', there) : NULL;
    if (!first)
        return;
    size_t cut = (size_t)(first + 1 - (out->data + before));
    memmove(out->data + before, first + 1, there - cut);
    out->size -= cut;
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

static size_t stamp(char *line, int64_t now_ms, bool is_json)
{
    if (now_ms == 0)
        return 0;
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    return (size_t)snprintf(line, 48, is_json ? "\"ts\":\"%s.%03dZ\"," : "ts=%s.%03dZ ", text, (int)(now_ms % 1000));
}

static size_t escape(char *to, size_t room, const char *from, bool is_json)
{
    size_t at = 0;
    for (; *from && at + 7 < room; from++) {
        unsigned char c = (unsigned char)*from;
        if (c == '"' || c == '\\') {
            to[at++] = '\\';
            to[at++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            at += (size_t)snprintf(to + at, 7, is_json ? "\\u%04x" : "\\x%02x", c);
        } else {
            to[at++] = (char)c;
        }
    }
    return at;
}

/* The whole line with its end; its size. */
static size_t form(char *line, size_t room, enum log_level level, const char *module, const char *message,
                   int64_t now_ms, int64_t left_out)
{
    static const char *const NAMES[] = {"debug", "info", "warn", "error"};
    bool is_json = atomic_load(&json_now);
    size_t at = 0;
    if (is_json)
        line[at++] = '{';
    at += stamp(line + at, now_ms, is_json);
    at += (size_t)snprintf(line + at, 80,
                           is_json ? "\"level\":\"%s\",\"mod\":\"%.16s\",\"msg\":\"" : "level=%s mod=%.16s msg=\"",
                           NAMES[level], module);
    at += escape(line + at, room - at - 64, message, is_json);
    line[at++] = '"';
    if (left_out > 0)
        at += (size_t)snprintf(line + at, 48, is_json ? ",\"left_out\":%lld" : " left_out=%lld", (long long)left_out);
    if (is_json)
        line[at++] = '}';
    line[at++] = '\n';
    return at;
}

void log_line(struct log_site *site, enum log_level level, const char *module, const char *format, ...)
{
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
    size_t at = form(line, sizeof line, level, module, message, now_ms, left_out);
    keep(line, at);
    if (sink_now)
        sink_now(sink_context, line, at);
    else if (write(STDERR_FILENO, line, at) < 0)
        return; // nowhere to tell it
}
