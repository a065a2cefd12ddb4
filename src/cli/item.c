// SPDX-License-Identifier: Apache-2.0
/* cli/item.c - items and findings as lines: JSON for programs, "kind name=value ..." for people; a progress bar beside them
 * when standard error is a terminal.
 */
#include "cli/inspect.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 40, TEXT_SHOWN_BYTES = 200 };

json_t *inspect__item(const struct inspection *inspection, const char *kind)
{
    if (!inspection->prints_items)
        return NULL;
    json_t *item = json_object();
    json_object_set_new(item, "kind", json_string(kind));
    return item;
}

void inspect__number(json_t *item, const char *name, int64_t value)
{
    if (item)
        json_object_set_new(item, name, json_integer(value));
}

void inspect__text(json_t *item, const char *name, const char *value)
{
    if (item)
        json_object_set_new(item, name, json_string(value));
}

void inspect__flag(json_t *item, const char *name)
{
    if (item)
        json_object_set_new(item, name, json_true());
}

void inspect__bytes(json_t *item, const char *name, struct slice bytes)
{
    if (!item)
        return;
    json_t *value = slice_is_null(bytes) ? json_null() : json_stringn((const char *)bytes.data, bytes.size);
    if (!value) {
        struct buffer text CLEANUP(buffer_free) = {0};
        buffer_base64(&text, bytes);
        value = json_pack("{s:s%}", "base64", text.data ? (const char *)text.data : "", (size_t)text.size);
    }
    json_object_set_new(item, name, value);
}

void inspect__time(json_t *item, const char *name, int64_t timestamp_ms)
{
    if (!item)
        return;
    time_t seconds = (time_t)(timestamp_ms / 1000);
    struct tm parts;
    char text[64];
    if (timestamp_ms < 0 || !gmtime_r(&seconds, &parts)) {
        inspect__number(item, name, timestamp_ms);
        return;
    }
    size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + size, sizeof text - size, ".%03dZ", (int)(timestamp_ms % 1000));
    inspect__text(item, name, text);
}

void inspect__json(json_t *item, const char *name, const struct buffer *json)
{
    if (item)
        json_object_set_new(item, name,
                            json_loadb((const char *)json->data, json->size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
}

/* Text without quotes where it needs none; long text is cut, and says so. */
static void print_value(json_t *value)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    if (text && size > TEXT_SHOWN_BYTES) {
        json_t *cut = NULL;
        for (size_t shown = TEXT_SHOWN_BYTES; !cut && shown > TEXT_SHOWN_BYTES - 4; shown--)
            cut = json_stringn(text, shown);
        print_value(cut);
        printf("...(%zu bytes)", size);
        json_decref(cut);
        return;
    }
    bool is_plain = text && size > 0 && strlen(text) == size && !strpbrk(text, " \"=\t\r\n\\{}[]");
    if (is_plain) {
        fputs(text, stdout);
        return;
    }
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    fputs(dump ? dump : "?", stdout);
    free(dump);
}

static void print_text(json_t *item)
{
    const char *name;
    json_t *value;
    bool is_first = true;
    json_object_foreach(item, name, value)
    {
        if (!is_first)
            printf(" %s=", name);
        print_value(value);
        is_first = false;
    }
    putchar('\n');
}

void inspect__put(const struct inspection *inspection, json_t *item)
{
    if (!item)
        return;
    if (inspection->as_json) {
        json_dumpf(item, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        print_text(item);
    }
    json_decref(item);
}

static bool shows_bar(const struct inspection *inspection)
{
    return inspection->bytes_all > 0 && isatty(STDERR_FILENO);
}

static void bar_clear(const struct inspection *inspection)
{
    if (shows_bar(inspection))
        fprintf(stderr, "\r%*s\r", BAR_WIDTH + 30, "");
}

void inspect__finding(struct inspection *inspection, int64_t position, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    inspection->findings++;
    bar_clear(inspection);
    if (!inspection->as_json) {
        printf("WRONG %s", inspection->path);
        if (position >= 0)
            printf(" at byte %lld", (long long)position);
        printf(": %s\n", text);
        return;
    }
    json_t *item = json_pack("{s:s, s:s, s:s}", "kind", "finding", "file", inspection->path, "text", text);
    if (position >= 0)
        inspect__number(item, "position", position);
    inspect__put(inspection, item);
}

void inspect__progress(struct inspection *inspection, int64_t bytes)
{
    uint64_t before = inspection->bytes_done;
    inspection->bytes_done += (uint64_t)bytes;
    if (!shows_bar(inspection))
        return;
    uint64_t step = inspection->bytes_all / 200 + 1;
    if (before / step == inspection->bytes_done / step && inspection->bytes_done < inspection->bytes_all)
        return;
    double share = (double)inspection->bytes_done / (double)inspection->bytes_all;
    share = share > 1 ? 1 : share;
    int full = (int)(share * BAR_WIDTH);
    fprintf(stderr, "\r[%.*s%*s] %3.0f %%  %.1f MiB", full, "########################################",
            BAR_WIDTH - full, "", share * 100, (double)inspection->bytes_done / 1048576);
    fflush(stderr);
}
