// SPDX-License-Identifier: Apache-2.0
/* broker/auto_create.c - topics that come into being because somebody asked for them (auto.create.topics.enable, and the
 * internal topics of coordinators), with the settings that Apache Kafka gives them.
 */
#include "broker/broker__.h"

enum { CONFIGS_MAX = 6 };

struct config_list {
    struct meta_config_entry entries[CONFIGS_MAX];
    int32_t count;
};

static void config_add(struct config_list *list, const char *key, struct slice value)
{
    assert(list->count < CONFIGS_MAX);
    list->entries[list->count++] = (struct meta_config_entry){slice_str(key), value};
}

static void config_copy(struct config_list *list, const struct broker *broker, const char *key, const char *setting)
{
    config_add(list, key, slice_str(meta_settings_get(broker__settings(broker), setting)));
}

static int32_t setting_i32(const struct broker *broker, const char *name)
{
    return (int32_t)meta_settings_i64(broker__settings(broker), name);
}

static void offsets_topic(const struct broker *broker, struct ctrl_new_topic *topic, struct config_list *configs)
{
    topic->partitions = broker->options.offsets_partitions;
    topic->replication_factor = (int16_t)broker->options.offsets_replication_factor;
    config_add(configs, "cleanup.policy", slice_str("compact"));
    config_add(configs, "compression.type", slice_str("producer"));
    config_copy(configs, broker, "segment.bytes", "offsets.topic.segment.bytes");
}

static void transaction_topic(const struct broker *broker, struct ctrl_new_topic *topic, struct config_list *configs)
{
    topic->partitions = setting_i32(broker, "transaction.state.log.num.partitions");
    topic->replication_factor = (int16_t)setting_i32(broker, "transaction.state.log.replication.factor");
    config_add(configs, "cleanup.policy", slice_str("compact"));
    config_add(configs, "compression.type", slice_str("uncompressed"));
    config_add(configs, "unclean.leader.election.enable", slice_str("false"));
    config_copy(configs, broker, "min.insync.replicas", "transaction.state.log.min.isr");
    config_copy(configs, broker, "segment.bytes", "transaction.state.log.segment.bytes");
}

static void share_topic(const struct broker *broker, struct ctrl_new_topic *topic, struct config_list *configs)
{
    topic->partitions = setting_i32(broker, "share.coordinator.state.topic.num.partitions");
    topic->replication_factor = (int16_t)setting_i32(broker, "share.coordinator.state.topic.replication.factor");
    config_add(configs, "cleanup.policy", slice_str("delete"));
    config_add(configs, "compression.type", slice_str("producer"));
    config_add(configs, "retention.ms", slice_str("-1"));
    config_copy(configs, broker, "min.insync.replicas", "share.coordinator.state.topic.min.isr");
    config_copy(configs, broker, "segment.bytes", "share.coordinator.state.topic.segment.bytes");
}

static void describe(const struct broker *broker, struct slice name, struct ctrl_new_topic *topic,
                     struct config_list *configs)
{
    *topic = (struct ctrl_new_topic){.name = name, .partitions = -1, .replication_factor = -1};
    *configs = (struct config_list){.count = 0};
    if (slice_equal_str(name, "__consumer_offsets"))
        offsets_topic(broker, topic, configs);
    else if (slice_equal_str(name, "__transaction_state"))
        transaction_topic(broker, topic, configs);
    else if (slice_equal_str(name, "__share_group_state"))
        share_topic(broker, topic, configs);
    topic->configs = configs->entries;
    topic->config_count = configs->count;
}

bool broker__may_auto_create(struct slice name)
{
    char message[META_MESSAGE_SIZE];
    return meta_topic_name_is_valid(name, message) && !slice_equal_str(name, "__cluster_metadata");
}

/* As Kafka's controller sees it, which gets these from the broker in the newest version of CreateTopics: a client that owes
 * some gets no topic, and is not told why. */
static bool may_pay(struct request *request, const struct ctrl_new_topic *topic)
{
    struct broker *broker = request->home->broker;
    int64_t throttle_ms;
    double partitions = topic->partitions > 0 ? topic->partitions : setting_i32(broker, "num.partitions");
    return request->local_call || quotas__mutate(broker->quotas, ctrl_view(control__ctrl(broker->control)),
                                                 request->client_id, partitions, true, io_now_ms(), &throttle_ms);
}

void broker__auto_create(struct request *request, struct slice name)
{
    assert(broker__may_auto_create(name));
    struct broker *broker = request->home->broker;
    struct ctrl *ctrl = control__ctrl(broker->control);
    if (meta_topic_by_name(ctrl_view(ctrl), name))
        return; // somebody was faster
    struct ctrl_new_topic topic;
    struct config_list configs;
    describe(broker, name, &topic, &configs);
    struct ctrl_new_topic_result result;
    if (!may_pay(request, &topic)) {
        quotas__throttled(broker->quotas, QUOTA_MUTATION);
        return;
    }
    struct status s = ctrl_create_topics(ctrl, &topic, 1, false, NULL, &request->arena, io_wall_ms(), &result);
    if (!status_is_ok(s))
        broker__fail(broker, s);
    else if (result.result.error != KAFKA_NONE)
        LOG(LOG_WARN, "broker", "topic %.*s was asked for but cannot be made: %s: %.*s", (int)name.size,
            (const char *)name.data, kafka_error_name(result.result.error), (int)result.result.message.size,
            (const char *)result.result.message.data);
}
