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
    uint64_t ready, fsync; // 1: yes
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

/* The metrics that are one whole number without labels: where it stands, 64 bits wide. Others have a form of their own. */
static const size_t NUMBER_AT[METRIC_COUNT] = {
    [METRIC_READY] = offsetof(struct numbers, ready),
    [METRIC_DURABILITY_FSYNC] = offsetof(struct numbers, fsync),
    [METRIC_REQUEST_ERRORS_TOTAL] = offsetof(struct numbers, broker.request_errors),
    [METRIC_RECEIVED_BYTES_TOTAL] = offsetof(struct numbers, broker.bytes_in),
    [METRIC_SENT_BYTES_TOTAL] = offsetof(struct numbers, broker.bytes_out),
    [METRIC_CONNECTIONS] = offsetof(struct numbers, broker.connections),
    [METRIC_PRODUCERS_CROWDED_OUT_TOTAL] = offsetof(struct numbers, broker.producers_crowded_out),
    [METRIC_MEMBERS_REFUSED_TOTAL] = offsetof(struct numbers, broker.members_refused),
    [METRIC_COMMITS_REFUSED_TOTAL] = offsetof(struct numbers, broker.commits_refused),
    [METRIC_FETCH_SESSIONS] = offsetof(struct numbers, broker.fetch_sessions),
    [METRIC_FETCH_SESSION_BYTES] = offsetof(struct numbers, broker.fetch_session_bytes),
    [METRIC_FETCH_SESSIONS_REFUSED_TOTAL] = offsetof(struct numbers, broker.fetch_sessions_refused),
    [METRIC_REQUEST_BYTES] = offsetof(struct numbers, broker.request_bytes),
    [METRIC_FLUSH_ROUNDS_TOTAL] = offsetof(struct numbers, broker.flush_rounds),
    [METRIC_FLUSH_FAILURES_TOTAL] = offsetof(struct numbers, broker.flush_failures),
    [METRIC_UNFLUSHED_BYTES] = offsetof(struct numbers, broker.unflushed_bytes),
    [METRIC_UNFLUSHED_BYTES_MOST] = offsetof(struct numbers, broker.unflushed_bytes_most),
    [METRIC_MUTED_WRITES_TOTAL] = offsetof(struct numbers, broker.muted_writes),
    [METRIC_DISK_FULL_REFUSALS_TOTAL] = offsetof(struct numbers, broker.refused_full),
    [METRIC_DESCRIPTORS_OUT_TOTAL] = offsetof(struct numbers, broker.without_descriptor),
    [METRIC_GROWTH_REFUSED_TOTAL] = offsetof(struct numbers, broker.growth_refused),
    [METRIC_SEGMENT_FILES_OPEN] = offsetof(struct numbers, broker.segment_files_open),
    [METRIC_TOPICS] = offsetof(struct numbers, broker.topics),
    [METRIC_PARTITIONS] = offsetof(struct numbers, broker.partitions),
    [METRIC_PARTITIONS_OFFLINE] = offsetof(struct numbers, broker.partitions_offline),
    [METRIC_PARTITIONS_UNCLEANABLE] = offsetof(struct numbers, broker.partitions_uncleanable),
    [METRIC_PARTITIONS_MOVING] = offsetof(struct numbers, broker.partitions_moving),
    [METRIC_PARTITIONS_MOVED_TOTAL] = offsetof(struct numbers, broker.partitions_moved),
    [METRIC_MOVED_BYTES_TOTAL] = offsetof(struct numbers, broker.moved_bytes),
    [METRIC_COMPACTIONS_TOTAL] = offsetof(struct numbers, broker.compactions),
    [METRIC_COMPACTED_BYTES_TOTAL] = offsetof(struct numbers, broker.compacted_bytes),
    [METRIC_VALIDATED_IN_POOL_TOTAL] = offsetof(struct numbers, validated_in_pool),
    [METRIC_REACTOR_STALLS_TOTAL] = offsetof(struct numbers, stalls),
    [METRIC_PROCESS_RESIDENT_MEMORY_BYTES] = offsetof(struct numbers, process.resident_bytes),
    [METRIC_PROCESS_OPEN_FDS] = offsetof(struct numbers, process.open_descriptors),
    [METRIC_PROCESS_MAX_FDS] = offsetof(struct numbers, process.max_descriptors),
    [METRIC_KAFKA_SERVER_KAFKASERVER_LINUX_DISK_READ_BYTES] = offsetof(struct numbers, process.disk_read_bytes),
    [METRIC_KAFKA_SERVER_KAFKASERVER_LINUX_DISK_WRITE_BYTES] = offsetof(struct numbers, process.disk_written_bytes),
};

static uint64_t number_of(enum metric metric, const struct numbers *numbers)
{
    uint64_t number;
    assert(NUMBER_AT[metric] > 0); // the first field is no metric of its own
    memcpy(&number, (const uint8_t *)numbers + NUMBER_AT[metric], sizeof number);
    return number;
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
