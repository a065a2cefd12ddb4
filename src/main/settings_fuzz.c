// SPDX-License-Identifier: Apache-2.0
/* main/settings_fuzz.c - any bytes as a server.properties: read, written back, read again, and judged as settings.
 *
 * Nothing may crash; what was read must survive being written; a start is refused only with a reason told.
 */
#include "main/properties.h"
#include "main/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SETS_MAX = 64 };

static void check_round_trip(const struct properties *properties)
{
    for (int i = 0; i < properties->count; i++) {
        const struct property *property = &properties->items[i];
        struct buffer text CLEANUP(buffer_free) = {0};
        struct properties again CLEANUP(properties__free) = {0};
        struct properties_fault fault;
        properties__write(&text, property->key, property->value);
        bool is_read = properties__parse(slice_of(text.data, text.size), &again, &fault);
        assert(is_read && again.count == 1);
        assert(strcmp(again.items[0].key, property->key) == 0 && strcmp(again.items[0].value, property->value) == 0);
    }
}

static void check_settings(const struct properties *properties)
{
    struct buffer told CLEANUP(buffer_free) = {0}, texts[SETS_MAX] = {{0}};
    const char *sets[SETS_MAX + 1] = {"node.id=1"}; // so that no directory is asked whose it is
    struct settings_source source = {.data = "/data", .sets = sets, .set_count = 1};
    for (int i = 0; i < properties->count && i < SETS_MAX; i++) {
        buffer_printf(&texts[i], "%s=%s", properties->items[i].key, properties->items[i].value);
        buffer_append(&texts[i], "", 1);
        sets[source.set_count++] = (const char *)texts[i].data;
    }
    struct serve_options options = {0};
    settings__tell_to(&told);
    bool is_fine = status_is_ok(options__make(&source, &options));
    settings__tell_to(NULL);
    assert(is_fine || told.size > 0);
    assert(!is_fine || (options.broker.listener_count > 0 && options.broker.log_dir_count > 0 && options.metadata_dir));
    serve_options_free(&options);
    for (int i = 0; i < SETS_MAX; i++)
        buffer_free(&texts[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct properties properties CLEANUP(properties__free) = {0};
    struct properties_fault fault = {0};
    if (!properties__parse(slice_of(data, size), &properties, &fault)) {
        assert(fault.line > 0 && fault.what);
        return 0;
    }
    check_round_trip(&properties);
    check_settings(&properties);
    return 0;
}
