// SPDX-License-Identifier: Apache-2.0
/* main/config.c - the settings shown to people, and written for Apache Kafka. */
#include "main/settings.h"

#include "main/properties.h"

static const char *type_name(enum meta_config_type type)
{
    static const char *const NAMES[] = {
        [META_TYPE_BOOLEAN] = "boolean", [META_TYPE_STRING] = "string", [META_TYPE_INT] = "int",
        [META_TYPE_SHORT] = "short",     [META_TYPE_LONG] = "long",     [META_TYPE_DOUBLE] = "double",
        [META_TYPE_LIST] = "list",       [META_TYPE_CLASS] = "class",   [META_TYPE_PASSWORD] = "password"};
    return NAMES[type];
}

/* ---- ottla config */
static const char *shown(const char *value)
{
    return !value ? "-" : !*value ? "\"\"" : value;
}

static const char *source_of(const struct settings *settings, const char *name)
{
    const struct given *given = settings__given(settings, name);
    return given ? given->where : settings__own_default(settings, name) ? "ottla" : "default";
}

static const char *serving_text(const struct meta_config_def *def)
{
    return def->serving == META_SERVED ? "" : def->serving == META_WARNED ? "  not served" : "  refused";
}

void config__print(const struct settings *settings)
{
    printf("%-60s %-28s %-24s %-9s %s\n", "SETTING", "VALUE", "FROM", "TYPE", "DEFAULT");
    for (int i = 0; i < meta_broker_configs.count; i++) {
        const struct meta_config_def *def = &meta_broker_configs.defs[i];
        const char *value = settings_get(settings, def->name);
        bool hidden = def->sensitive && value && *value;
        printf("%-60s %-28s %-24s %-9s %s%s\n", def->name, hidden ? "(hidden)" : shown(value),
               source_of(settings, def->name), type_name(def->type), shown(def->default_value), serving_text(def));
    }
    printf("\nFROM: default is Apache Kafka's own (for ottla.* ours), ottla a default of a broker by itself; else who "
           "gave it.\n"
           "\"not served\": another value than the default changes nothing; \"refused\": it stops the start.\n");
}

/* ---- ottla config export */
enum { CONTROLLER_PORT = 9093 };

/* Settings that export writes by itself. */
static const char *const WRITTEN[] = {"process.roles",
                                      "node.id",
                                      "broker.id",
                                      "controller.listener.names",
                                      "listeners",
                                      "advertised.listeners",
                                      "listener.security.protocol.map",
                                      "log.dirs",
                                      "log.dir",
                                      "metadata.log.dir",
                                      "controller.quorum.voters",
                                      "controller.quorum.bootstrap.servers"};

static bool is_written(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(WRITTEN); i++)
        if (strcmp(WRITTEN[i], name) == 0)
            return true;
    return strncmp(name, "ottla.", 6) == 0;
}

static void print_address(struct buffer *out, const char *host, uint16_t port)
{
    buffer_printf(out, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, (int)port);
}

static const struct broker_listener *controller_of(const struct broker_options *options)
{
    for (int i = 0; i < options->listener_count; i++)
        if (options->listeners[i].is_controller)
            return &options->listeners[i];
    return NULL;
}

/* Kafka needs a controller's listener, and clients of one on every interface need an address to be told. */
static void export_listeners(const struct broker_options *options, struct buffer *out)
{
    struct buffer bound CLEANUP(buffer_free) = {0}, told CLEANUP(buffer_free) = {0}, map CLEANUP(buffer_free) = {0};
    for (int i = 0; i < options->listener_count; i++) {
        const struct broker_listener *listener = &options->listeners[i];
        buffer_printf(&bound, "%s%s://", i ? "," : "", listener->name);
        print_address(&bound, listener->host, listener->port);
        buffer_printf(&map, "%s%s:PLAINTEXT", i ? "," : "", listener->name);
        if (listener->is_controller || !*listener->advertised_host)
            continue;
        buffer_printf(&told, "%s%s://", told.size ? "," : "", listener->name);
        print_address(&told, listener->advertised_host,
                      listener->advertised_port ? listener->advertised_port : listener->port);
    }
    if (!controller_of(options)) {
        buffer_printf(&bound, ",CONTROLLER://127.0.0.1:%d", (int)CONTROLLER_PORT);
        buffer_printf(&map, ",CONTROLLER:PLAINTEXT");
    }
    buffer_append(&bound, "", 1), buffer_append(&told, "", 1), buffer_append(&map, "", 1);
    properties__write(out, "listeners", (char *)bound.data);
    if (*told.data)
        properties__write(out, "advertised.listeners", (char *)told.data);
    properties__write(out, "listener.security.protocol.map", (char *)map.data);
}

static void export_quorum(const struct serve_options *options, struct buffer *out)
{
    const struct broker_listener *controller = controller_of(&options->broker);
    const char *voters = settings_get(options->settings, "controller.quorum.voters");
    struct buffer address CLEANUP(buffer_free) = {0};
    bool anywhere = !controller || listeners__is_wildcard(controller->host);
    print_address(&address, anywhere ? "127.0.0.1" : controller->host, controller ? controller->port : CONTROLLER_PORT);
    buffer_append(&address, "", 1);
    properties__write(out, "controller.listener.names", controller ? controller->name : "CONTROLLER");
    if (voters && *voters)
        properties__write(out, "controller.quorum.voters", voters);
    else
        properties__write(out, "controller.quorum.bootstrap.servers", (char *)address.data);
}

static void export_directories(const struct broker_options *options, struct buffer *out)
{
    struct buffer paths CLEANUP(buffer_free) = {0};
    for (int i = 0; i < options->log_dir_count; i++)
        buffer_printf(&paths, "%s%s", i ? "," : "", options->log_dirs[i]);
    buffer_append(&paths, "", 1);
    properties__write(out, "log.dirs", (char *)paths.data);
    if (strcmp(options->metadata_dir, options->log_dirs[0]) != 0)
        properties__write(out, "metadata.log.dir", options->metadata_dir);
}

static void export_rest(const struct settings *settings, struct buffer *out)
{
    for (int i = 0; i < meta_broker_configs.count; i++) {
        const char *name = meta_broker_configs.defs[i].name;
        bool differs = settings__given(settings, name) || settings__own_default(settings, name);
        if (differs && !is_written(name) && settings_get(settings, name))
            properties__write(out, name, settings_get(settings, name));
    }
}

void config__export(const struct serve_options *options)
{
    struct buffer out CLEANUP(buffer_free) = {0};
    char id[16];
    buffer_printf(
        &out,
        "# For Apache Kafka 4.3 on the data directory of Ottla. Stop Ottla first; then: kafka-server-start.sh FILE\n");
    properties__write(&out, "process.roles", "broker,controller");
    snprintf(id, sizeof id, "%d", (int)options->broker.node_id);
    properties__write(&out, "node.id", id);
    export_quorum(options, &out);
    export_listeners(&options->broker, &out);
    export_directories(&options->broker, &out);
    export_rest(options->settings, &out);
    fwrite(out.data, 1, out.size, stdout);
}
