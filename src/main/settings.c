// SPDX-License-Identifier: Apache-2.0
/* main/settings.c - every setting's value and who gave it: a server.properties, --set, the command line's shortcuts.
 *
 * Later ones win: defaults, FILE, --set, then --data, --listen and --http. Only the value that wins is checked (check.c).
 * All errors are told before the program stops, each with file and line, what was read and what is allowed.
 */
#include "main/settings.h"

#include "main/properties.h"

#include <errno.h>

/* ---- telling people */
static struct buffer *told_to;

void settings__tell_to(struct buffer *buffer)
{
    told_to = buffer;
}

static void tell(const char *where, const char *kind, const char *format, va_list args)
{
    char message[4096];
    vsnprintf(message, sizeof message, format, args);
    struct buffer line CLEANUP(buffer_free) = {0};
    buffer_printf(&line, "%s: %s: %s\n", where, kind, message);
    if (told_to)
        buffer_append(told_to, line.data, line.size);
    else
        fwrite(line.data, 1, line.size, stderr);
}

static const char *where_of(const struct settings *settings, const char *name)
{
    const struct given *given = name ? settings__given(settings, name) : NULL;
    return given ? given->where : "ottla";
}

static void error_at(struct settings *settings, const char *where, const char *format, ...) PRINTF_LIKE(3, 4);
static void error_at(struct settings *settings, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(where, "error", format, args);
    va_end(args);
    settings->error_count++;
}

void settings__error(struct settings *settings, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(where_of(settings, name), "error", format, args);
    va_end(args);
    settings->error_count++;
}

void settings__warn(struct settings *settings, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(where_of(settings, name), "warning", format, args);
    va_end(args);
}

/* ---- lists */
static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

struct slice settings__trimmed(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    while (end > at && is_blank(end[-1]))
        end--;
    return slice_of(at, (size_t)(end - at));
}

bool settings__next(const char **rest, struct slice *ret_element)
{
    while (*rest && **rest) {
        const char *end = strchrnul(*rest, ',');
        *ret_element = settings__trimmed(*rest, end);
        *rest = *end ? end + 1 : end;
        if (ret_element->size > 0)
            return true;
    }
    return false;
}

bool settings__list_has(const char *list, struct slice element)
{
    for (struct slice one; settings__next(&list, &one);)
        if (slice_equal(one, element))
            return true;
    return false;
}

/* ---- who gave what */
static struct given *find(const struct settings *settings, const char *name)
{
    for (int i = 0; i < settings->given_count; i++)
        if (strcmp(settings->given[i].name, name) == 0)
            return &settings->given[i];
    return NULL;
}

const struct given *settings__given(const struct settings *settings, const char *name)
{
    return find(settings, name);
}

static void give(struct settings *settings, const char *name, const char *value, const char *where)
{
    struct given *given = find(settings, name);
    if (!given) {
        settings->given = mem_realloc(settings->given, sizeof *given * (size_t)(settings->given_count + 1));
        given = &settings->given[settings->given_count++];
        *given = (struct given){.name = mem_strdup(name)};
    }
    char *old_value = given->value, *old_where = given->where;
    given->value = mem_strdup(value);
    given->where = mem_strdup(where);
    mem_free(old_value);
    mem_free(old_where);
}

static void forget(struct settings *settings, const char *name)
{
    struct given *given = find(settings, name);
    if (!given)
        return;
    mem_free(given->name);
    mem_free(given->value);
    mem_free(given->where);
    *given = settings->given[--settings->given_count];
}

/* ---- the file */
static struct status read_file(const char *path, struct buffer *ret_text)
{
    int file = io_open(path, IO_READ);
    if (file < 0)
        return STATUS(-file, "open the file of settings");
    int64_t got = 0;
    do {
        buffer_reserve(ret_text, 64 << 10);
        got = io_pread(file, ret_text->data + ret_text->size, 64 << 10, (int64_t)ret_text->size);
        ret_text->size += got > 0 ? (size_t)got : 0;
    } while (got > 0 && ret_text->size <= PROPERTIES_SIZE_MAX);
    io_close(file);
    return got < 0 ? STATUS((int)-got, "read the file of settings") : STATUS_OK;
}

static void give_from_file(struct settings *settings, const struct properties *properties)
{
    for (int i = 0; i < properties->count; i++) {
        const struct property *property = &properties->items[i];
        char where[WHERE_SIZE];
        snprintf(where, sizeof where, "%s:%d", settings->file, property->line);
        const struct given *before = settings__given(settings, property->key);
        if (before && strcmp(before->value, property->value) != 0)
            settings__warn(settings, property->key, "%s is given again in line %d; the last one counts", property->key,
                           property->line);
        give(settings, property->key, property->value, where);
    }
}

bool settings__read_properties(const char *path, struct properties *ret_properties)
{
    struct buffer text CLEANUP(buffer_free) = {0};
    struct properties_fault fault;
    return status_is_ok(read_file(path, &text)) &&
           properties__parse(slice_of(text.data, text.size), ret_properties, &fault);
}

static void load_file(struct settings *settings)
{
    struct buffer text CLEANUP(buffer_free) = {0};
    struct status s = read_file(settings->file, &text);
    if (!status_is_ok(s)) {
        settings__error(settings, NULL, "cannot read the settings in %s: %s", settings->file, strerror(s.error));
        return;
    }
    struct properties properties CLEANUP(properties__free) = {0};
    struct properties_fault fault;
    if (properties__parse(slice_of(text.data, text.size), &properties, &fault)) {
        give_from_file(settings, &properties);
        return;
    }
    char where[WHERE_SIZE];
    snprintf(where, sizeof where, "%s:%d", settings->file, fault.line);
    error_at(settings, where, "%s", fault.what);
}

/* ---- the command line */
static void give_set(struct settings *settings, const char *text)
{
    const char *split = strchr(text, '=');
    if (!split || split == text) {
        settings__error(settings, NULL, "--set %s: give a setting and its value, for example --set num.partitions=3",
                        text);
        return;
    }
    char *name CLEANUP(settings__text_free) = slice_to_str(settings__trimmed(text, split));
    give(settings, name, split + 1, "--set");
}

static void give_shortcuts(struct settings *settings, const struct settings_source *source)
{
    if (source->data) {
        give(settings, "log.dirs", source->data, "--data");
        forget(settings, "log.dir");
        forget(settings, "metadata.log.dir");
    }
    if (source->listen) {
        give(settings, "listeners", source->listen, "--listen");
        forget(settings, "advertised.listeners");
        forget(settings, "inter.broker.listener.name");
    }
    if (source->http)
        give(settings, "ottla.http.listener", source->http, "--http");
}

/* ---- defaults of this program where they are not Kafka's */
static const char *const ALWAYS[][2] = {
    {"process.roles", "broker,controller"},
    {"node.id", "1"},
    {"controller.listener.names", "CONTROLLER"},
    {"listeners", "PLAINTEXT://127.0.0.1:9092"}, // loopback unless told otherwise
};

static const char *const WITHOUT_FILE[][2] = {
    {"offsets.topic.replication.factor", "1"},      {"transaction.state.log.replication.factor", "1"},
    {"transaction.state.log.min.isr", "1"},         {"share.coordinator.state.topic.replication.factor", "1"},
    {"share.coordinator.state.topic.min.isr", "1"}, {"group.initial.rebalance.delay.ms", "0"},
};

const char *settings__own_default(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(ALWAYS); i++)
        if (strcmp(ALWAYS[i][0], name) == 0)
            return ALWAYS[i][1];
    for (size_t i = 0; !settings->file && i < COUNT_OF(WITHOUT_FILE); i++)
        if (strcmp(WITHOUT_FILE[i][0], name) == 0)
            return WITHOUT_FILE[i][1];
    return NULL;
}

static void set_defaults(struct settings *settings)
{
    for (size_t i = 0; i < COUNT_OF(ALWAYS); i++)
        meta_settings_set(settings->values, ALWAYS[i][0], ALWAYS[i][1]);
    for (size_t i = 0; !settings->file && i < COUNT_OF(WITHOUT_FILE); i++)
        meta_settings_set(settings->values, WITHOUT_FILE[i][0], WITHOUT_FILE[i][1]);
}

/* ---- the whole */
struct status settings__load(const struct settings_source *source, struct settings **ret_settings)
{
    struct settings *settings = mem_zalloc(sizeof *settings);
    settings->values = meta_settings_create();
    settings->file = source->file ? mem_strdup(source->file) : NULL;
    set_defaults(settings);
    if (settings->file)
        load_file(settings);
    for (int i = 0; i < source->set_count; i++)
        give_set(settings, source->sets[i]);
    give_shortcuts(settings, source);
    settings__check(settings);
    if (settings->error_count > 0) {
        settings_free(settings);
        return STATUS(EINVAL, "settings");
    }
    *ret_settings = settings;
    return STATUS_OK;
}

struct status settings_load(const char *file, const char *const *sets, int set_count, struct settings **ret_settings)
{
    struct settings_source source = {.file = file, .sets = sets, .set_count = set_count};
    return settings__load(&source, ret_settings);
}

void settings_free(struct settings *settings)
{
    if (!settings)
        return;
    while (settings->given_count > 0)
        forget(settings, settings->given[0].name);
    mem_free(settings->given);
    mem_free(settings->file);
    meta_settings_free(settings->values);
    mem_free(settings);
}

const char *settings_get(const struct settings *settings, const char *name)
{
    return meta_settings_get(settings->values, name);
}

int64_t settings_get_i64(const struct settings *settings, const char *name)
{
    return meta_settings_i64(settings->values, name);
}

bool settings_get_bool(const struct settings *settings, const char *name)
{
    return meta_settings_bool(settings->values, name);
}
