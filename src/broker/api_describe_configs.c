// SPDX-License-Identifier: Apache-2.0
/* broker/api_describe_configs.c - DescribeConfigs: the settings of topics, brokers, groups and the rest (KIP-133, 226,
 * 412, 569, 714, 848).
 *
 * One resource after the other is written straight into the reply: its settings are walked twice, to count and to write,
 * so that a cluster's worth of settings never stands in memory as structs. config_view.c says what a setting is.
 */
#include "broker/config_view.h"
#include "wire/gen/describe_configs.h"

typedef struct describe_configs_request_describe_configs_resource asked_resource;
typedef struct describe_configs_response_describe_configs_resource_result answered_config;
typedef struct describe_configs_response_describe_configs_synonym answered_synonym;

static const char root_logger[] = "root";

struct describe {
    struct request *request;
    struct config_view view;
    const asked_resource *asked;
    struct wire_writer *out;
    bool flexible;
    int32_t count; // of entries, in the first walk
    int16_t error;
    struct slice message;
};

static bool is_known_type(int8_t type)
{
    return type == META_RESOURCE_TOPIC || type == META_RESOURCE_BROKER || type == META_RESOURCE_BROKER_LOGGER ||
           type == META_RESOURCE_CLIENT_METRICS || type == META_RESOURCE_GROUP;
}

/* ---- what is asked for */
static bool wants(const void *context, struct slice name)
{
    const asked_resource *asked = context;
    if (asked->configuration_keys_count <= 0)
        return true;
    for (int32_t i = 0; i < asked->configuration_keys_count; i++)
        if (slice_equal(asked->configuration_keys[i], name))
            return true;
    return false;
}

static void refuse(struct describe *d, int16_t error, struct slice message)
{
    d->error = error;
    d->message = message;
}

static void check_topic(struct describe *d)
{
    char message[META_MESSAGE_SIZE];
    if (!meta_topic_name_is_valid(d->asked->resource_name, message))
        refuse(d, KAFKA_INVALID_TOPIC_EXCEPTION, arena_copy(&d->request->arena, slice_str(message)));
    else if (!meta_topic_by_name(d->view.image, d->asked->resource_name))
        refuse(d, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, slice_str(""));
}

static void check_broker(struct describe *d, const char *or_else)
{
    struct slice name = d->asked->resource_name;
    struct arena *arena = &d->request->arena;
    int32_t id;
    if (!request__read_node_id(name, &id))
        refuse(d, KAFKA_INVALID_REQUEST,
               arena_printf(arena, "Broker id must be an integer, but it is: %.*s", (int)name.size,
                            (const char *)name.data));
    else if (id != d->view.node_id)
        refuse(d, KAFKA_INVALID_REQUEST,
               arena_printf(arena, "Unexpected broker id, expected %d%s but received %.*s", (int)d->view.node_id,
                            or_else, (int)name.size, (const char *)name.data));
}

static void check(struct describe *d)
{
    bool is_named = d->asked->resource_name.size > 0;
    d->error = KAFKA_NONE;
    d->message = slice_str("");
    switch (d->asked->resource_type) {
    case META_RESOURCE_TOPIC:
        check_topic(d);
        return;
    case META_RESOURCE_BROKER:
        if (is_named)
            check_broker(d, " or empty string,");
        return;
    case META_RESOURCE_BROKER_LOGGER:
        if (is_named)
            check_broker(d, "");
        else
            refuse(d, KAFKA_INVALID_REQUEST, slice_str("Broker id must not be empty"));
        return;
    case META_RESOURCE_CLIENT_METRICS:
        if (!is_named)
            refuse(d, KAFKA_INVALID_REQUEST, slice_str("Client metrics subscription name must not be empty"));
        return;
    default:
        assert(d->asked->resource_type == META_RESOURCE_GROUP);
        if (!is_named)
            refuse(d, KAFKA_INVALID_REQUEST, slice_str("Group name must not be empty"));
    }
}

/* ---- the entries */
static void logger_entry(struct config_wish wish, config_entry_fn *each, void *context)
{
    static const char *const levels[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    if (!wish.wants(wish.context, slice_str(root_logger)))
        return;
    const struct config_entry entry = {.name = slice_str(root_logger),
                                       .value = slice_str(levels[log_level()]),
                                       .source = SOURCE_LOGGER,
                                       .type = CONFIG_TYPE_UNKNOWN};
    each(context, &entry);
}

static void each_entry(struct describe *d, config_entry_fn *each)
{
    struct slice name = d->asked->resource_name;
    struct config_wish wish = {wants, d->asked};
    switch (d->asked->resource_type) {
    case META_RESOURCE_TOPIC:
        config_view__topic(&d->view, name, wish, each, d);
        return;
    case META_RESOURCE_BROKER:
        if (name.size > 0)
            config_view__broker(&d->view, wish, each, d);
        else
            config_view__cluster(&d->view, wish, each, d);
        return;
    case META_RESOURCE_BROKER_LOGGER:
        logger_entry(wish, each, d);
        return;
    case META_RESOURCE_CLIENT_METRICS:
        config_view__client_metrics(&d->view, name, wish, each, d);
        return;
    default:
        config_view__group(&d->view, name, wish, each, d);
    }
}

static void count_entry(void *context, const struct config_entry *entry)
{
    (void)entry;
    ((struct describe *)context)->count++;
}

static void write_entry(void *context, const struct config_entry *entry)
{
    struct describe *d = context;
    const struct describe_configs_request *body = d->request->body;
    answered_synonym synonyms[CONFIG_SYNONYMS_MAX];
    answered_config answer;
    describe_configs_response_describe_configs_resource_result_init(&answer);
    answer.name = entry->name;
    answer.value = entry->value;
    answer.read_only = entry->read_only;
    answer.config_source = (int8_t)entry->source;
    answer.is_default = d->request->api_version == 0 && entry->source == SOURCE_DEFAULT; // no other has room for it
    answer.is_sensitive = entry->sensitive;
    answer.config_type = entry->type;
    answer.documentation = body->include_documentation ? slice_str(entry->documentation) : SLICE_NULL;
    for (int32_t i = 0; body->include_synonyms && i < entry->synonym_count; i++) {
        describe_configs_response_describe_configs_synonym_init(&synonyms[i]);
        synonyms[i].name = entry->synonyms[i].name;
        synonyms[i].value = entry->synonyms[i].value;
        synonyms[i].source = (int8_t)entry->synonyms[i].source;
    }
    answer.synonyms = synonyms;
    answer.synonyms_count = body->include_synonyms ? entry->synonym_count : 0;
    describe_configs_response_describe_configs_resource_result_write(d->out, d->request->api_version, &answer);
}

/* ---- the reply */
static void write_result(struct describe *d)
{
    d->count = 0;
    if (d->error == KAFKA_NONE)
        each_entry(d, count_entry);
    wire_write_i16(d->out, d->error);
    wire_write_string(d->out, d->flexible, d->message);
    wire_write_i8(d->out, d->asked->resource_type);
    wire_write_string(d->out, d->flexible, d->asked->resource_name);
    wire_write_array_count(d->out, d->flexible, d->count);
    if (d->count > 0)
        each_entry(d, write_entry);
    if (d->flexible)
        wire_write_uvarint(d->out, 0); // tagged fields
}

/* One resource of an unknown type spoils the whole request, in Kafka too. */
static bool all_types_known(const struct describe_configs_request *body)
{
    for (int32_t i = 0; i < body->resources_count; i++)
        if (!is_known_type(body->resources[i].resource_type))
            return false;
    return true;
}

static void start(struct request *request)
{
    const struct describe_configs_request *body = request->body;
    const struct broker_options *options = &request->home->broker->options;
    struct describe d = {.request = request,
                         .view = {.image = request->home->image,
                                  .settings = broker__settings(request->home->broker),
                                  .node_id = options->node_id,
                                  .arena = &request->arena},
                         .flexible = request->api_version >= 4};
    bool is_good = all_types_known(body);
    d.out = request_reply_begin(request);
    wire_write_i32(d.out, request__throttle_ms(request));
    wire_write_array_count(d.out, d.flexible, body->resources_count);
    for (int32_t i = 0; i < body->resources_count; i++) {
        d.asked = &body->resources[i];
        if (is_good)
            check(&d);
        else
            refuse(&d, KAFKA_INVALID_REQUEST, slice_str(request__invalid_message));
        write_result(&d);
    }
    if (d.flexible)
        wire_write_uvarint(d.out, 0);
    if (request->arena.failed)
        wire_writer_fail(d.out);
    request_reply_end(request);
}

const struct api_row api__describe_configs = {
    .key = API_DESCRIBE_CONFIGS, .version_min = 0, .version_max = 4, .on_controller = true, .start = start};
