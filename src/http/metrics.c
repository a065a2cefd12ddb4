// SPDX-License-Identifier: Apache-2.0
/* http/metrics.c - the broker's numbers as Prometheus reads them.
 *
 * Names, types and meanings come from the table (schema/metrics.txt); this file joins each to its number. One number may be
 * a moment older than another: they are counted by several threads, and nobody is stopped for a scrape.
 */
#include "http/gen/metrics.h"

#include "http/http__.h"

struct numbers {
    struct broker_numbers broker;
    struct process_numbers process;
    uint64_t stalls, validated_in_pool;
    const char *version;
    bool ready, fsync;
};

static void sum_reactors(struct broker *broker, struct numbers *numbers)
{
    numbers->stalls = numbers->validated_in_pool = 0;
    for (int i = 0; i < broker_options(broker)->reactor_count; i++) {
        numbers->stalls += atomic_load(&broker_reactor(broker, i)->stalls);
        numbers->validated_in_pool += atomic_load(&broker_reactor(broker, i)->validated_in_pool);
    }
}

static void gather(struct broker *broker, const char *version, bool ready, struct numbers *ret_numbers)
{
    if (ready) {
        broker_numbers(broker, &ret_numbers->broker);
        sum_reactors(broker, ret_numbers);
    }
    process__numbers(&ret_numbers->process);
    ret_numbers->version = version;
    ret_numbers->ready = ready;
    ret_numbers->fsync = broker_options(broker)->fsync;
}

static void write_apis(struct buffer *out, const char *name, const struct numbers *numbers)
{
    for (size_t key = 0; key < COUNT_OF(numbers->broker.api_requests); key++) {
        const struct wire_api *api = wire_api_find((int16_t)key);
        if (api && numbers->broker.api_requests[key] > 0)
            buffer_printf(out, "%s{api=\"%s\"} %llu\n", name, api->name,
                          (unsigned long long)numbers->broker.api_requests[key]);
    }
}

static void write_flushes(struct buffer *out, const char *name, const struct broker_numbers *broker)
{
    buffer_printf(out, "%s{quantile=\"0.5\"} %.6f\n", name, (double)broker->flush_p50_us / 1e6);
    buffer_printf(out, "%s{quantile=\"0.99\"} %.6f\n", name, (double)broker->flush_p99_us / 1e6);
}

/* The metrics that are one whole number without labels. */
static uint64_t number_of(enum metric metric, const struct numbers *numbers)
{
    switch (metric) {
    case METRIC_READY:
        return numbers->ready;
    case METRIC_DURABILITY_FSYNC:
        return numbers->fsync;
    case METRIC_REQUEST_ERRORS_TOTAL:
        return numbers->broker.request_errors;
    case METRIC_RECEIVED_BYTES_TOTAL:
        return numbers->broker.bytes_in;
    case METRIC_SENT_BYTES_TOTAL:
        return numbers->broker.bytes_out;
    case METRIC_CONNECTIONS:
        return numbers->broker.connections;
    case METRIC_PRODUCERS_CROWDED_OUT_TOTAL:
        return numbers->broker.producers_crowded_out;
    case METRIC_MEMBERS_REFUSED_TOTAL:
        return numbers->broker.members_refused;
    case METRIC_COMMITS_REFUSED_TOTAL:
        return numbers->broker.commits_refused;
    case METRIC_FETCH_SESSIONS:
        return numbers->broker.fetch_sessions;
    case METRIC_FETCH_SESSION_BYTES:
        return numbers->broker.fetch_session_bytes;
    case METRIC_FETCH_SESSIONS_REFUSED_TOTAL:
        return numbers->broker.fetch_sessions_refused;
    case METRIC_REQUEST_BYTES:
        return (uint64_t)numbers->broker.request_bytes;
    case METRIC_FLUSH_ROUNDS_TOTAL:
        return numbers->broker.flush_rounds;
    case METRIC_FLUSH_FAILURES_TOTAL:
        return numbers->broker.flush_failures;
    case METRIC_UNFLUSHED_BYTES:
        return numbers->broker.unflushed_bytes;
    case METRIC_UNFLUSHED_BYTES_MOST:
        return numbers->broker.unflushed_bytes_most;
    case METRIC_MUTED_WRITES_TOTAL:
        return numbers->broker.muted_writes;
    case METRIC_DISK_FULL_REFUSALS_TOTAL:
        return numbers->broker.refused_full;
    case METRIC_DESCRIPTORS_OUT_TOTAL:
        return numbers->broker.without_descriptor;
    case METRIC_GROWTH_REFUSED_TOTAL:
        return numbers->broker.growth_refused;
    case METRIC_SEGMENT_FILES_OPEN:
        return numbers->broker.segment_files_open;
    case METRIC_TOPICS:
        return numbers->broker.topics;
    case METRIC_PARTITIONS:
        return numbers->broker.partitions;
    case METRIC_PARTITIONS_OFFLINE:
        return numbers->broker.partitions_offline;
    case METRIC_PARTITIONS_UNCLEANABLE:
        return numbers->broker.partitions_uncleanable;
    case METRIC_PARTITIONS_MOVING:
        return numbers->broker.partitions_moving;
    case METRIC_PARTITIONS_MOVED_TOTAL:
        return numbers->broker.partitions_moved;
    case METRIC_MOVED_BYTES_TOTAL:
        return numbers->broker.moved_bytes;
    case METRIC_COMPACTIONS_TOTAL:
        return numbers->broker.compactions;
    case METRIC_COMPACTED_BYTES_TOTAL:
        return numbers->broker.compacted_bytes;
    case METRIC_VALIDATED_IN_POOL_TOTAL:
        return numbers->validated_in_pool;
    case METRIC_REACTOR_STALLS_TOTAL:
        return numbers->stalls;
    case METRIC_PROCESS_RESIDENT_MEMORY_BYTES:
        return numbers->process.resident_bytes;
    case METRIC_PROCESS_OPEN_FDS:
        return numbers->process.open_descriptors;
    case METRIC_PROCESS_MAX_FDS:
        return numbers->process.max_descriptors;
    case METRIC_KAFKA_SERVER_KAFKASERVER_LINUX_DISK_READ_BYTES:
        return numbers->process.disk_read_bytes;
    case METRIC_KAFKA_SERVER_KAFKASERVER_LINUX_DISK_WRITE_BYTES:
        return numbers->process.disk_written_bytes;
    default:
        break;
    }
    assert(!"a metric with a form of its own");
    return 0;
}

static void write_limits(struct buffer *out, const char *name, const struct broker_numbers *numbers)
{
    static const char *const SETTINGS[NET_LIMIT_COUNT] = {
        [NET_LIMIT_CONNECTIONS] = "max.connections",
        [NET_LIMIT_CONNECTIONS_PER_IP] = "max.connections.per.ip",
        [NET_LIMIT_CONNECTION_RATE] = "max.connection.creation.rate",
        [NET_LIMIT_IDLE] = "connections.max.idle.ms",
        [NET_LIMIT_REQUEST_SIZE] = "socket.request.max.bytes",
        [NET_LIMIT_REQUEST_MEMORY] = "queued.max.request.bytes",
        [NET_LIMIT_REPLIES] = "ottla.connection.reply.max.bytes",
        [NET_LIMIT_STALLED] = "ottla.stalled.max.ms",
    };
    for (int limit = 0; limit < NET_LIMIT_COUNT; limit++)
        buffer_printf(out, "%s{limit=\"%s\"} %llu\n", name, SETTINGS[limit],
                      (unsigned long long)numbers->net_limits[limit]);
}

static void write_throttled(struct buffer *out, const char *name, const struct broker_numbers *numbers)
{
    static const char *const KINDS[BROKER_QUOTA_KINDS] = {"produce", "fetch", "request", "mutation", "connection"};
    for (int kind = 0; kind < BROKER_QUOTA_KINDS; kind++)
        buffer_printf(out, "%s{quota=\"%s\"} %llu\n", name, KINDS[kind], (unsigned long long)numbers->throttled[kind]);
}

static void write_samples(struct buffer *out, enum metric metric, const struct numbers *numbers)
{
    const char *name = http_metric_defs[metric].name;
    if (metric == METRIC_INFO)
        buffer_printf(out, "%s{version=\"%s\",durability=\"%s\"} 1\n", name, numbers->version,
                      numbers->fsync ? "fsync" : "page-cache");
    else if (metric == METRIC_REQUESTS_TOTAL)
        write_apis(out, name, numbers);
    else if (metric == METRIC_NET_LIMITS_TOTAL)
        write_limits(out, name, &numbers->broker);
    else if (metric == METRIC_THROTTLED_TOTAL)
        write_throttled(out, name, &numbers->broker);
    else if (metric == METRIC_FLUSH_SECONDS)
        write_flushes(out, name, &numbers->broker);
    else if (metric == METRIC_PROCESS_START_TIME_SECONDS)
        buffer_printf(out, "%s %.2f\n", name, numbers->process.start_seconds);
    else if (metric == METRIC_KAFKA_NETWORK_SOCKETSERVER_NETWORKPROCESSORAVGIDLE_PERCENT ||
             metric == METRIC_KAFKA_SERVER_KAFKAREQUESTHANDLERPOOL_REQUESTHANDLERAVGIDLE_PERCENT)
        buffer_printf(out, "%s %.4f\n", name, numbers->process.reactors_idle);
    else
        buffer_printf(out, "%s %llu\n", name, (unsigned long long)number_of(metric, numbers));
}

/* OpenMetrics calls a counter's family by its name without _total, and says unknown for untyped. */
static void write_head(struct buffer *out, const struct metric_def *def, bool is_open)
{
    static const char TOTAL[] = "_total";
    bool is_cut = is_open && strcmp(def->type, "counter") == 0;
    int size = (int)(strlen(def->name) - (is_cut ? strlen(TOTAL) : 0));
    const char *type = is_open && strcmp(def->type, "untyped") == 0 ? "unknown" : def->type;
    buffer_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", size, def->name, def->said, size, def->name, type);
}

static bool is_known_while_starting(enum metric metric)
{
    return metric == METRIC_INFO || metric == METRIC_READY || metric == METRIC_DURABILITY_FSYNC ||
           metric == METRIC_PROCESS_RESIDENT_MEMORY_BYTES || metric == METRIC_PROCESS_OPEN_FDS ||
           metric == METRIC_PROCESS_MAX_FDS || metric == METRIC_PROCESS_START_TIME_SECONDS;
}

void metrics__write(struct buffer *out, struct asker *asker, const char *version, bool is_open)
{
    struct numbers numbers = {0};
    bool ready = broker_is_ready(asker->broker);
    gather(asker->broker, version, ready, &numbers);
    struct kafka_numbers *kafka = ready ? kafka_numbers__gather(asker, &numbers.broker) : NULL;
    for (int i = 0; i < METRIC_COUNT; i++) {
        write_head(out, &http_metric_defs[i], is_open);
        bool is_written =
            kafka_recovery__write(out, i, asker->broker) || (ready && kafka_numbers__write(out, i, kafka));
        if (!is_written && (ready || is_known_while_starting((enum metric)i)))
            write_samples(out, (enum metric)i, &numbers);
    }
    if (is_open)
        buffer_printf(out, "# EOF\n");
    kafka_numbers__free(kafka);
}
