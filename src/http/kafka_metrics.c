// SPDX-License-Identifier: Apache-2.0
/* http/kafka_metrics.c - numbers under the names that dashboards know: those of Kafka's JMX exporter in Strimzi's form, and
 * kafka_exporter's for topics and groups.
 *
 * Partitions are many, so each one's labels are written once, and a sample is an append of them and of a number. Lag is asked
 * from the broker as clients ask, for GROUPS_MAX groups at most.
 */
#include "http/gen/metrics.h"

#include "http/http__.h"
#include "wire/gen/describe_groups.h"
#include "wire/gen/list_groups.h"

#include <stdlib.h>

enum { GROUPS_MAX = 500 };

struct sample {
    struct broker_partition partition; // topic: in the arena
    const char *labels;
    int32_t labels_size;
    int16_t replicas;
    bool is_preferred;
};

struct lag_sample {
    const char *labels, *sum_labels; // those of the sum are one text for all partitions of a group's topic
    int64_t committed, lag;
};

struct group_sample {
    const char *labels;
    int32_t members;
};

struct kafka_numbers {
    struct broker *broker;
    const struct broker_numbers *numbers;
    struct arena arena;
    struct sample *samples; // ordered by topic and partition
    int count, capacity;
    struct lag_sample *lags;
    int lag_count, lag_capacity;
    struct group_sample *groups;
    int group_count;
    struct slice group;       // being asked for
    struct slice group_topic; // its topic of the last sample; none yet: NULL
    int64_t brokers, topics, partitions;
};

/* ---- gathering */
enum { ARENA_MAX_BYTES = 512 << 20, LABELS_BYTES = 1024 };

static void take(void *context, const struct broker_partition *partition)
{
    struct kafka_numbers *all = context;
    if (all->count == all->capacity) {
        all->capacity = all->capacity ? all->capacity * 2 : 64;
        all->samples = mem_realloc(all->samples, (size_t)all->capacity * sizeof *all->samples);
    }
    bool is_same = all->count > 0 && strcmp(all->samples[all->count - 1].partition.topic, partition->topic) == 0;
    struct sample *sample = &all->samples[all->count];
    *sample = (struct sample){.partition = *partition};
    struct slice labels =
        arena_printf(&all->arena, "{topic=\"%s\",partition=\"%d\"} ", partition->topic, (int)partition->index);
    const char *topic = is_same ? all->samples[all->count - 1].partition.topic
                                : (const char *)arena_printf(&all->arena, "%s", partition->topic).data;
    if (!labels.data || !topic)
        return;
    sample->partition.topic = topic;
    sample->labels = (const char *)labels.data;
    sample->labels_size = (int32_t)labels.size;
    all->count++;
}

static int by_place(const void *a, const void *b)
{
    const struct broker_partition *x = &((const struct sample *)a)->partition,
                                  *y = &((const struct sample *)b)->partition;
    int names = strcmp(x->topic, y->topic);
    return names ? names : (x->index > y->index) - (x->index < y->index);
}

static void take_replicas(struct kafka_numbers *all, struct meta_image *image)
{
    const struct meta_topic *topic = NULL;
    for (int i = 0; i < all->count; i++) {
        struct sample *sample = &all->samples[i];
        if (!topic || !slice_equal_str(topic->name, sample->partition.topic))
            topic = meta_topic_by_name(image, slice_str(sample->partition.topic));
        const struct meta_partition *placed = topic ? meta_topic_partition(topic, sample->partition.index) : NULL;
        if (!placed)
            continue;
        sample->replicas = placed->replica_count;
        sample->is_preferred = placed->replica_count > 0 && placed->leader == placed->replicas[0];
    }
}

/* Of a label's value: backslash, quote and line end. */
static void escape(struct slice text, char *ret_text, size_t room)
{
    size_t at = 0;
    for (size_t i = 0; i < text.size && at + 3 < room; i++) {
        char c = (char)text.data[i];
        if (c == '\\' || c == '"' || c == '\n')
            ret_text[at++] = '\\';
        ret_text[at++] = c == '\n' ? 'n' : c;
    }
    ret_text[at] = '\0';
}

static void take_lag(void *context, struct slice topic, int32_t partition, int64_t committed, int64_t lag)
{
    struct kafka_numbers *all = context;
    if (all->lag_count == all->lag_capacity) {
        all->lag_capacity = all->lag_capacity ? all->lag_capacity * 2 : 64;
        all->lags = mem_realloc(all->lags, (size_t)all->lag_capacity * sizeof *all->lags);
    }
    char group[LABELS_BYTES];
    escape(all->group, group, sizeof group);
    struct slice labels = arena_printf(&all->arena, "{consumergroup=\"%s\",topic=\"%.*s\",partition=\"%d\"} ", group,
                                       (int)topic.size, (const char *)topic.data, (int)partition);
    bool is_same = all->group_topic.data && slice_equal(all->group_topic, topic);
    const char *sum_labels = is_same ? all->lags[all->lag_count - 1].sum_labels
                                     : (const char *)arena_printf(&all->arena, "{consumergroup=\"%s\",topic=\"%.*s\"} ",
                                                                  group, (int)topic.size, (const char *)topic.data)
                                           .data;
    if (!labels.data || !sum_labels)
        return;
    all->lags[all->lag_count++] = (struct lag_sample){(const char *)labels.data, sum_labels, committed, lag};
    all->group_topic = topic;
}

static void take_members(struct kafka_numbers *all, struct asker *asker, struct slice *ids, int32_t count)
{
    struct describe_groups_request body;
    describe_groups_request_init(&body);
    body.groups = ids;
    body.groups_count = count;
    const struct describe_groups_response *answer = asker__ask(asker, API_DESCRIBE_GROUPS, 5, &body);
    for (int32_t i = 0; answer && i < answer->groups_count; i++) {
        const struct describe_groups_response_described_group *group = &answer->groups[i];
        char id[LABELS_BYTES];
        escape(group->group_id, id, sizeof id);
        struct slice labels = arena_printf(&all->arena, "{consumergroup=\"%s\"} ", id);
        if (labels.data && group->error_code == KAFKA_NONE)
            all->groups[all->group_count++] =
                (struct group_sample){(const char *)labels.data, (int32_t)max_i64(0, group->members_count)};
    }
}

static void take_groups(struct kafka_numbers *all, struct asker *asker)
{
    const struct list_groups_response *list = groups__list(asker);
    int32_t count = list ? (int32_t)min_i64(list->groups_count, GROUPS_MAX) : 0;
    struct slice *ids = mem_alloc(GROUPS_MAX * sizeof *ids);
    for (int32_t i = 0; i < count; i++) {
        all->group = ids[i] = list->groups[i].group_id;
        all->group_topic = SLICE_NULL;
        group__each_lag(asker, all->group, take_lag, all);
    }
    all->groups = mem_alloc(GROUPS_MAX * sizeof *all->groups);
    take_members(all, asker, ids, count);
    mem_free(ids);
}

static void count_brokers(struct kafka_numbers *all, struct meta_image *image)
{
    int32_t node_id = broker_options(all->broker)->node_id;
    all->brokers = meta_broker(image, node_id) ? 1 : 0;
    all->topics = image->topic_count;
    all->partitions = image->partition_count;
}

struct kafka_numbers *kafka_numbers__gather(struct asker *asker, const struct broker_numbers *numbers)
{
    struct kafka_numbers *all = mem_zalloc(sizeof *all);
    all->broker = asker->broker;
    all->numbers = numbers;
    arena_init(&all->arena, 64 << 10, ARENA_MAX_BYTES);
    broker_partitions_each(asker->broker, take, all);
    if (all->count > 0)
        qsort(all->samples, (size_t)all->count, sizeof *all->samples, by_place);
    struct meta_image *image = broker_image(asker->broker);
    take_replicas(all, image);
    count_brokers(all, image);
    meta_image_unref(image);
    take_groups(all, asker);
    return all;
}

void kafka_numbers__free(struct kafka_numbers *all)
{
    if (!all)
        return;
    arena_free(&all->arena);
    mem_free(all->samples);
    mem_free(all->lags);
    mem_free(all->groups);
    mem_free(all);
}

/* ---- one number of a partition */
/* As Produce asks it: a topic cannot want more replicas than it has. */
static int64_t isr_wanted(const struct sample *sample)
{
    return min_i64(sample->partition.isr_min, sample->replicas);
}

static int64_t of_partition(int metric, const struct sample *sample)
{
    const struct broker_partition *p = &sample->partition;
    switch (metric) {
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_MESSAGESIN_TOTAL:
        return (int64_t)p->messages_in;
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_BYTESIN_TOTAL:
        return (int64_t)p->bytes_in;
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_BYTESOUT_TOTAL:
        return (int64_t)p->bytes_out;
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_FAILEDPRODUCEREQUESTS_TOTAL:
        return (int64_t)p->produce_failures;
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_FAILEDFETCHREQUESTS_TOTAL:
        return (int64_t)p->fetch_failures;
    case METRIC_KAFKA_LOG_LOG_SIZE:
        return p->size_bytes;
    case METRIC_KAFKA_LOG_LOG_LOGSTARTOFFSET:
    case METRIC_KAFKA_TOPIC_PARTITION_OLDEST_OFFSET:
        return p->start_offset;
    case METRIC_KAFKA_LOG_LOG_LOGENDOFFSET:
        return p->end_offset;
    case METRIC_KAFKA_TOPIC_PARTITION_CURRENT_OFFSET:
        return p->high_watermark;
    case METRIC_KAFKA_CLUSTER_PARTITION_ATMINISR:
        return p->isr_count == isr_wanted(sample);
    case METRIC_KAFKA_CLUSTER_PARTITION_UNDERMINISR:
        return p->isr_count < isr_wanted(sample);
    case METRIC_KAFKA_TOPIC_PARTITION_LEADER:
        return p->leader;
    case METRIC_KAFKA_TOPIC_PARTITION_LEADER_IS_PREFERRED:
        return sample->is_preferred;
    case METRIC_KAFKA_CLUSTER_PARTITION_REPLICASCOUNT:
    case METRIC_KAFKA_TOPIC_PARTITION_REPLICAS:
        return sample->replicas;
    case METRIC_KAFKA_CLUSTER_PARTITION_INSYNCREPLICASCOUNT:
    case METRIC_KAFKA_TOPIC_PARTITION_IN_SYNC_REPLICA:
        return p->isr_count;
    case METRIC_KAFKA_CLUSTER_PARTITION_UNDERREPLICATED:
    case METRIC_KAFKA_TOPIC_PARTITION_UNDER_REPLICATED_PARTITION:
        return p->isr_count < sample->replicas;
    default:
        return -1;
    }
}

static void append_number(struct buffer *out, int64_t value)
{
    char text[24], *at = text + sizeof text;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    *--at = '\n';
    do
        *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0)
        *--at = '-';
    buffer_append(out, at, (size_t)(text + sizeof text - at));
}

static void write_partitions(struct buffer *out, int metric, const struct kafka_numbers *all)
{
    const char *name = http_metric_defs[metric].name;
    size_t name_size = strlen(name);
    for (int i = 0; i < all->count; i++) {
        const struct sample *sample = &all->samples[i];
        buffer_append(out, name, name_size);
        buffer_append(out, sample->labels, (size_t)sample->labels_size);
        append_number(out, of_partition(metric, sample));
    }
}

/* The sums of each topic, then (`with_all`) of all. */
static void write_topics(struct buffer *out, int metric, const struct kafka_numbers *all, bool with_all)
{
    const char *name = http_metric_defs[metric].name;
    int64_t sum = 0, total = 0;
    for (int i = 0; i < all->count; i++) {
        const char *topic = all->samples[i].partition.topic;
        int64_t value = metric == METRIC_KAFKA_TOPIC_PARTITIONS ? 1 : of_partition(metric, &all->samples[i]);
        sum += value;
        total += value;
        bool is_last = i + 1 == all->count || strcmp(topic, all->samples[i + 1].partition.topic) != 0;
        if (!is_last)
            continue;
        buffer_printf(out, "%s{topic=\"%s\"} %lld\n", name, topic, (long long)sum);
        sum = 0;
    }
    if (with_all)
        buffer_printf(out, "%s %lld\n", name, (long long)total);
}

static void write_lags(struct buffer *out, int metric, const struct kafka_numbers *all)
{
    const char *name = http_metric_defs[metric].name;
    for (int i = 0; i < all->lag_count; i++) {
        const struct lag_sample *lag = &all->lags[i];
        if (metric == METRIC_KAFKA_CONSUMERGROUP_LAG && lag->lag < 0)
            continue; // its partition is not there any more
        buffer_append(out, name, strlen(name));
        buffer_append(out, lag->labels, strlen(lag->labels));
        append_number(out, metric == METRIC_KAFKA_CONSUMERGROUP_LAG ? lag->lag : lag->committed);
    }
}

static void write_lag_sums(struct buffer *out, int metric, const struct kafka_numbers *all)
{
    const char *name = http_metric_defs[metric].name;
    int64_t sum = 0;
    for (int i = 0; i < all->lag_count; i++) {
        const struct lag_sample *lag = &all->lags[i];
        sum += metric == METRIC_KAFKA_CONSUMERGROUP_LAG_SUM ? max_i64(0, lag->lag) : lag->committed;
        if (i + 1 < all->lag_count && lag->sum_labels == all->lags[i + 1].sum_labels)
            continue;
        buffer_append(out, name, strlen(name));
        buffer_append(out, lag->sum_labels, strlen(lag->sum_labels));
        append_number(out, sum);
        sum = 0;
    }
}

static void write_members(struct buffer *out, int metric, const struct kafka_numbers *all)
{
    for (int i = 0; i < all->group_count; i++)
        buffer_printf(out, "%s%s%d\n", http_metric_defs[metric].name, all->groups[i].labels,
                      (int)all->groups[i].members);
}

static void write_requests(struct buffer *out, int metric, const struct kafka_numbers *all)
{
    const char *name = http_metric_defs[metric].name;
    for (size_t key = 0; key < COUNT_OF(all->numbers->api_requests); key++) {
        const struct wire_api *api = wire_api_find((int16_t)key);
        uint64_t requests = all->numbers->api_requests[key];
        if (!api || requests == 0)
            continue;
        if (metric == METRIC_KAFKA_NETWORK_REQUESTMETRICS_REQUESTS_TOTAL) {
            buffer_printf(out, "%s{request=\"%s\"} %llu\n", name, api->name, (unsigned long long)requests);
            continue;
        }
        struct api_percentiles times = broker_api_latency(all->broker, (int16_t)key);
        buffer_printf(out, "%s{request=\"%s\",quantile=\"0.50\"} %.3f\n%s{request=\"%s\",quantile=\"0.99\"} %.3f\n",
                      name, api->name, (double)times.p50_us / 1000, name, api->name, (double)times.p99_us / 1000);
    }
}

static void write_brokers(struct buffer *out, int metric, const struct kafka_numbers *all)
{
    const struct broker_options *options = broker_options(all->broker);
    if (all->brokers == 0 || options->listener_count == 0)
        return;
    buffer_printf(out, "%s{id=\"%d\",address=\"%s:%d\"} 1\n", http_metric_defs[metric].name, (int)options->node_id,
                  options->listeners[0].host, (int)options->listeners[0].port);
}

static int64_t count_led(const struct kafka_numbers *all, bool under_replicated_only)
{
    int64_t count = 0;
    int32_t node_id = broker_options(all->broker)->node_id;
    for (int i = 0; i < all->count; i++) {
        const struct sample *sample = &all->samples[i];
        bool is_under = sample->partition.isr_count < sample->replicas;
        count += sample->partition.leader == node_id && (is_under || !under_replicated_only);
    }
    return count;
}

static int64_t count_leaderless(const struct kafka_numbers *all)
{
    int64_t count = 0;
    for (int i = 0; i < all->count; i++)
        count += all->samples[i].partition.leader < 0;
    return count;
}

static bool single_number(int metric, const struct kafka_numbers *all, int64_t *ret_value)
{
    switch (metric) {
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_TOTALPRODUCEREQUESTS_TOTAL:
        *ret_value = (int64_t)all->numbers->api_requests[API_PRODUCE];
        return true;
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_TOTALFETCHREQUESTS_TOTAL:
        *ret_value = (int64_t)all->numbers->api_requests[API_FETCH];
        return true;
    case METRIC_KAFKA_SERVER_REPLICAMANAGER_PARTITIONCOUNT:
        *ret_value = all->count;
        return true;
    case METRIC_KAFKA_SERVER_REPLICAMANAGER_LEADERCOUNT:
        *ret_value = count_led(all, false);
        return true;
    case METRIC_KAFKA_SERVER_REPLICAMANAGER_OFFLINEREPLICACOUNT:
        *ret_value = (int64_t)all->numbers->partitions_offline;
        return true;
    case METRIC_KAFKA_SERVER_REPLICAMANAGER_UNDERREPLICATEDPARTITIONS:
        *ret_value = count_led(all, true);
        return true;
    case METRIC_KAFKA_CONTROLLER_KAFKACONTROLLER_ACTIVECONTROLLERCOUNT:
        *ret_value = broker_is_ready(all->broker);
        return true;
    case METRIC_KAFKA_CONTROLLER_KAFKACONTROLLER_GLOBALTOPICCOUNT:
        *ret_value = all->topics;
        return true;
    case METRIC_KAFKA_CONTROLLER_KAFKACONTROLLER_GLOBALPARTITIONCOUNT:
        *ret_value = all->partitions;
        return true;
    case METRIC_KAFKA_CONTROLLER_KAFKACONTROLLER_OFFLINEPARTITIONSCOUNT:
        *ret_value = count_leaderless(all);
        return true;
    case METRIC_KAFKA_CONTROLLER_CONTROLLERSTATS_UNCLEANLEADERELECTIONS_TOTAL:
        *ret_value = (int64_t)all->numbers->unclean_elections;
        return true;
    case METRIC_KAFKA_SERVER_SOCKET_SERVER_METRICS_CONNECTION_COUNT:
        *ret_value = (int64_t)all->numbers->connections;
        return true;
    case METRIC_KAFKA_BROKERS:
        *ret_value = all->brokers;
        return true;
    default:
        return false;
    }
}

bool kafka_numbers__write(struct buffer *out, int metric, const struct kafka_numbers *all)
{
    int64_t value;
    if (single_number(metric, all, &value)) {
        buffer_printf(out, "%s %lld\n", http_metric_defs[metric].name, (long long)value);
        return true;
    }
    switch (metric) {
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_MESSAGESIN_TOTAL:
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_BYTESIN_TOTAL:
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_BYTESOUT_TOTAL:
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_FAILEDPRODUCEREQUESTS_TOTAL:
    case METRIC_KAFKA_SERVER_BROKERTOPICMETRICS_FAILEDFETCHREQUESTS_TOTAL:
        write_topics(out, metric, all, true);
        return true;
    case METRIC_KAFKA_TOPIC_PARTITIONS:
        write_topics(out, metric, all, false);
        return true;
    case METRIC_KAFKA_BROKER_INFO:
        write_brokers(out, metric, all);
        return true;
    case METRIC_KAFKA_NETWORK_REQUESTMETRICS_REQUESTS_TOTAL:
    case METRIC_KAFKA_NETWORK_REQUESTMETRICS_TOTALTIMEMS:
        write_requests(out, metric, all);
        return true;
    case METRIC_KAFKA_CONSUMERGROUP_CURRENT_OFFSET:
    case METRIC_KAFKA_CONSUMERGROUP_LAG:
        write_lags(out, metric, all);
        return true;
    case METRIC_KAFKA_CONSUMERGROUP_CURRENT_OFFSET_SUM:
    case METRIC_KAFKA_CONSUMERGROUP_LAG_SUM:
        write_lag_sums(out, metric, all);
        return true;
    case METRIC_KAFKA_CONSUMERGROUP_MEMBERS:
        write_members(out, metric, all);
        return true;
    default:
        break;
    }
    bool is_of_partitions =
        metric >= METRIC_KAFKA_LOG_LOG_SIZE && metric <= METRIC_KAFKA_TOPIC_PARTITION_UNDER_REPLICATED_PARTITION;
    if (is_of_partitions)
        write_partitions(out, metric, all);
    return is_of_partitions;
}

/* ---- while the broker starts */
struct recovery_writing {
    struct buffer *out;
    int metric;
};

static void write_recovery(void *context, const struct broker_recovery *recovery)
{
    const struct recovery_writing *writing = context;
    const char *name = http_metric_defs[writing->metric].name;
    char dir[LABELS_BYTES];
    escape(slice_str(recovery->log_dir), dir, sizeof dir);
    if (writing->metric == METRIC_KAFKA_LOG_LOGMANAGER_REMAININGLOGSTORECOVER) {
        buffer_printf(writing->out, "%s{dir=\"%s\"} %d\n", name, dir, (int)recovery->logs_left);
        return;
    }
    for (int thread = 0; thread < BROKER_CREW; thread++)
        buffer_printf(writing->out, "%s{dir=\"%s\",threadNum=\"%d\"} %d\n", name, dir, thread,
                      (int)recovery->segments_left[thread]);
}

bool kafka_recovery__write(struct buffer *out, int metric, struct broker *broker)
{
    if (metric != METRIC_KAFKA_LOG_LOGMANAGER_REMAININGLOGSTORECOVER &&
        metric != METRIC_KAFKA_LOG_LOGMANAGER_REMAININGSEGMENTSTORECOVER)
        return false;
    broker_recovery_each(broker, write_recovery, &(struct recovery_writing){out, metric});
    return true;
}
