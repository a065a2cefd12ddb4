// SPDX-License-Identifier: Apache-2.0
/* http/api_broker.c - GET /broker: who it is, what it does, how fast, on which disks, with which settings; its last log lines. */
#include "http/body__.h"

#include <unistd.h>

enum { LOG_TAIL_BYTES = 48 << 10, CLIENTS_SHOWN = 32 };

static void write_apis(struct exchange *e, struct json *j, const struct broker_numbers *numbers)
{
    json__open(j, "apis", '[');
    for (size_t key = 0; key < COUNT_OF(numbers->api_requests); key++) {
        const struct wire_api *api = wire_api_find((int16_t)key);
        if (!api || numbers->api_requests[key] == 0)
            continue;
        struct api_percentiles times = broker_api_latency(e->broker, (int16_t)key);
        json__open(j, NULL, '{');
        json__string(j, "name", api->name);
        json__i64(j, "requests", (int64_t)numbers->api_requests[key]);
        json__f64(j, "p50Ms", (double)times.p50_us / 1000);
        json__f64(j, "p99Ms", (double)times.p99_us / 1000);
        json__close(j, '}');
    }
    json__close(j, ']');
}

static void write_numbers(struct json *j, const struct broker_numbers *numbers, const struct process_numbers *process)
{
    json__i64(j, "requests", (int64_t)numbers->requests);
    json__i64(j, "requestErrors", (int64_t)numbers->request_errors);
    json__i64(j, "bytesIn", (int64_t)numbers->bytes_in);
    json__i64(j, "bytesOut", (int64_t)numbers->bytes_out);
    json__i64(j, "connections", (int64_t)numbers->connections);
    json__i64(j, "topics", (int64_t)numbers->topics);
    json__i64(j, "partitions", (int64_t)numbers->partitions);
    json__i64(j, "offlinePartitions", (int64_t)numbers->partitions_offline);
    json__i64(j, "flushRounds", (int64_t)numbers->flush_rounds);
    json__i64(j, "flushFailures", (int64_t)numbers->flush_failures);
    json__f64(j, "flushP50Ms", (double)numbers->flush_p50_us / 1000);
    json__f64(j, "flushP99Ms", (double)numbers->flush_p99_us / 1000);
    json__i64(j, "residentBytes", (int64_t)process->resident_bytes);
    json__i64(j, "openFiles", (int64_t)process->open_descriptors);
    json__f64(j, "startedAt", process->start_seconds);
}

struct stored {
    int64_t bytes, written;
};

static void add_partition(void *context, const struct broker_partition *partition)
{
    struct stored *stored = context;
    stored->bytes += partition->size_bytes;
    stored->written += partition->end_offset;
}

static void write_disks(struct exchange *e, struct json *j, const struct broker_options *options)
{
    struct stored stored = {0};
    broker_partitions_each(e->broker, add_partition, &stored);
    json__i64(j, "storedBytes", stored.bytes);
    json__i64(j, "writtenTotal", stored.written);
    json__open(j, "disks", '[');
    for (int i = 0; i < options->log_dir_count; i++) {
        json__open(j, NULL, '{');
        json__string(j, "path", options->log_dirs[i]);
        json__i64(j, "freeBytes", io_free_bytes(options->log_dirs[i]));
        json__close(j, '}');
    }
    json__close(j, ']');
}

static void write_listeners(struct json *j, const struct broker_options *options)
{
    json__open(j, "listeners", '[');
    for (int i = 0; i < options->listener_count; i++) {
        json__open(j, NULL, '{');
        json__string(j, "name", options->listeners[i].name);
        json__string(j, "host", options->listeners[i].host);
        json__i64(j, "port", options->listeners[i].port);
        json__close(j, '}');
    }
    json__close(j, ']');
}

static void write_features(struct exchange *e, struct json *j)
{
    int count;
    const struct meta_known_feature *features = meta_known_features(&count);
    json__open(j, "features", '[');
    for (int i = 0; i < count; i++) {
        json__open(j, NULL, '{');
        json__string(j, "name", features[i].name);
        json__i64(j, "min", features[i].min);
        json__i64(j, "max", features[i].max);
        json__i64(j, "level", broker_feature_level(e->broker, features[i].name));
        json__close(j, '}');
    }
    json__close(j, ']');
}

static void write_clients(struct exchange *e, struct json *j)
{
    struct broker_client clients[CLIENTS_SHOWN];
    int count = broker_clients(e->broker, clients, CLIENTS_SHOWN);
    json__open(j, "clients", '[');
    for (int i = 0; i < count; i++) {
        json__open(j, NULL, '{');
        json__string(j, "name", clients[i].name);
        json__string(j, "version", clients[i].version);
        json__i64(j, "connections", (int64_t)clients[i].connections);
        json__i64(j, "seenAt", clients[i].seen_ms);
        json__close(j, '}');
    }
    json__close(j, ']');
}

static void write_log(struct json *j)
{
    struct buffer text CLEANUP(buffer_free) = {0};
    log_tail(&text, LOG_TAIL_BYTES);
    json__open(j, "log", '[');
    for (size_t at = 0; at < text.size;) {
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        size_t size = end ? (size_t)(end - text.data) - at : text.size - at;
        json__text(j, NULL, slice_of(text.data + at, size));
        at += size + 1;
    }
    json__close(j, ']');
}

void web__broker(struct exchange *e)
{
    const struct broker_options *options = broker_options(e->broker);
    const char *parts = exchange__query(e, "parts");
    bool is_whole = !parts || strcmp(parts, "live") != 0;
    struct broker_numbers numbers;
    struct process_numbers process;
    broker_numbers(e->broker, &numbers);
    process__numbers(&process);
    struct json j = exchange__json(e);
    json__open(&j, NULL, '{');
    json__i64(&j, "at", io_wall_ms());
    json__string(&j, "version", e->site->version);
    json__i64(&j, "nodeId", options->node_id);
    json__string(&j, "clusterId", options->cluster_id);
    json__string(&j, "durability", options->fsync ? "fsync" : "page-cache");
    json__bool(&j, "ready", broker_is_ready(e->broker));
    json__bool(&j, "failed", broker_has_failed(e->broker));
    write_numbers(&j, &numbers, &process);
    write_apis(e, &j, &numbers);
    write_clients(e, &j);
    write_disks(e, &j, options);
    if (is_whole) {
        write_listeners(&j, options);
        write_features(e, &j);
        char node[16];
        snprintf(node, sizeof node, "%d", (int)options->node_id);
        configs__write(e, &j, META_RESOURCE_BROKER, slice_str(node));
        history__write(e->site->history, &j);
    }
    write_log(&j);
    json__close(&j, '}');
}
