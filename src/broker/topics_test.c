// SPDX-License-Identifier: Apache-2.0
/* broker/topics_test.c - stories of Metadata, CreateTopics and DeleteTopics, and of topics that come into being by being
 * asked for.
 */
#include "broker/broker_test.h"
#include "wire/gen/alter_client_quotas.h"
#include "wire/gen/delete_topics.h"
#include "wire/gen/metadata.h"

typedef struct metadata_request_metadata_request_topic asked_topic;
typedef struct metadata_response_metadata_response_topic topic_reply;
typedef struct delete_topics_request_delete_topic_state deleted_topic;

enum { NAMES_MAX = 4 };

/* ---- asking */
static struct metadata_response *ask_names(struct story *story, int16_t version, const char *const *names, int count,
                                           bool may_create)
{
    asked_topic topics[NAMES_MAX];
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics = topics;
    body.topics_count = count;
    body.allow_auto_topic_creation = may_create;
    for (int i = 0; i < count; i++) {
        metadata_request_metadata_request_topic_init(&topics[i]);
        topics[i].name = slice_str(names[i]);
    }
    return story_call(story, API_METADATA, version, &body);
}

static topic_reply *ask_name(struct story *story, int16_t version, const char *name, bool may_create)
{
    struct metadata_response *answer = ask_names(story, version, &name, 1, may_create);
    assert_int_equal(answer->topics_count, 1);
    return &answer->topics[0];
}

static struct metadata_response *ask_id(struct story *story, struct uuid id)
{
    asked_topic topic;
    metadata_request_metadata_request_topic_init(&topic);
    topic.name = SLICE_NULL;
    topic.topic_id = id;
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics = &topic;
    body.topics_count = 1;
    return story_call(story, API_METADATA, 12, &body);
}

static struct metadata_response *ask_all(struct story *story, int16_t version)
{
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics_count = version == 0 ? 0 : -1;
    return story_call(story, API_METADATA, version, &body);
}

static void delete_name(struct story *story, const char *name)
{
    deleted_topic topic;
    delete_topics_request_delete_topic_state_init(&topic);
    topic.name = slice_str(name);
    struct delete_topics_request body;
    delete_topics_request_init(&body);
    body.topics = &topic;
    body.topics_count = 1;
    struct delete_topics_response *answer = story_call(story, API_DELETE_TOPICS, 6, &body);
    assert_int_equal(answer->responses_count, 1);
    assert_int_equal(answer->responses[0].error_code, KAFKA_NONE);
    assert_true(slice_equal_str(answer->responses[0].name, name));
    assert_false(uuid_is_zero(answer->responses[0].topic_id));
}

/* ---- Metadata */
static void every_version_names_the_broker_and_all_topics(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 3), KAFKA_NONE);
    for (int16_t version = 0; version <= 13; version++) {
        struct metadata_response *answer = ask_all(story, version);
        assert_int_equal(answer->brokers_count, 1);
        assert_int_equal(answer->brokers[0].node_id, 1);
        assert_true(slice_equal_str(answer->brokers[0].host, "127.0.0.1"));
        assert_int_equal(answer->brokers[0].port, 9092);
        assert_int_equal(answer->controller_id, version >= 1 ? 1 : -1);
        assert_int_equal(answer->topics_count, 1);
        assert_int_equal(answer->topics[0].partitions_count, 3);
        assert_int_equal(answer->topics[0].partitions[2].partition_index, 2);
        assert_int_equal(answer->topics[0].partitions[2].leader_id, 1);
        assert_int_equal(answer->topics[0].partitions[2].isr_nodes_count, 1);
        assert_int_equal(answer->topics[0].partitions[2].offline_replicas_count, 0);
        assert_int_equal(uuid_is_zero(answer->topics[0].topic_id), version < 10);
    }
}

static void a_topic_is_found_by_its_id_and_an_unknown_id_is_said_to_be_unknown(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    struct metadata_response *answer = ask_id(story, partition_topic_id(story_partition(story, "t", 0)));
    assert_true(slice_equal_str(answer->topics[0].name, "t"));
    answer = ask_id(story, (struct uuid){.bytes = {9, 9}});
    assert_int_equal(answer->topics[0].error_code, KAFKA_UNKNOWN_TOPIC_ID);
    assert_true(slice_is_null(answer->topics[0].name));
}

static void a_topic_that_is_asked_for_comes_into_being_when_both_sides_allow_it(void **state)
{
    struct story *story = *state;
    meta_settings_set(story->settings, "num.partitions", "3");
    story_start(story);
    assert_int_equal(ask_name(story, 9, "new", false)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    topic_reply *made = ask_name(story, 9, "new", true);
    assert_int_equal(made->error_code, KAFKA_NONE);
    assert_int_equal(made->partitions_count, 3);
    assert_int_equal(story_produce(story, "new", 2, "value"), 0);
    story_stop(story);
    story->options.auto_create_topics = false;
    story_start(story);
    assert_int_equal(ask_name(story, 9, "other", true)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
}

static void topics_that_are_asked_for_count_against_the_quota_of_mutations(void **state)
{
    struct story *story = *state;
    meta_settings_set(story->settings, "num.partitions", "30"); // more than the quota has in its windows
    story_start(story);
    struct alter_client_quotas_request body;
    struct alter_client_quotas_request_entry_data entry;
    struct alter_client_quotas_request_entity_data entity;
    struct alter_client_quotas_request_op_data op;
    alter_client_quotas_request_init(&body);
    alter_client_quotas_request_entry_data_init(&entry);
    alter_client_quotas_request_entity_data_init(&entity);
    alter_client_quotas_request_op_data_init(&op);
    entity.entity_type = slice_str("client-id");
    entity.entity_name = slice_str("story");
    op.key = slice_str("controller_mutation_rate");
    op.value = 1e-3;
    entry.entity = &entity;
    entry.ops = &op;
    body.entries = &entry;
    entry.entity_count = entry.ops_count = body.entries_count = 1;
    struct alter_client_quotas_response *answer = story_call(story, API_ALTER_CLIENT_QUOTAS, 1, &body);
    assert_int_equal(answer->entries[0].error_code, KAFKA_NONE);
    assert_int_equal(ask_name(story, 9, "first", true)->error_code, KAFKA_NONE);
    struct metadata_response *second = ask_names(story, 9, (const char *const[]){"second"}, 1, true);
    assert_int_equal(second->topics[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(second->throttle_time_ms, 0); // as in Kafka, nobody tells the client
    assert_int_equal(ask_name(story, 9, "second", false)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
}

static void names_that_no_topic_may_have_are_invalid_and_made_by_nobody(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(ask_name(story, 9, "not/a/name", true)->error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(ask_name(story, 9, "", true)->error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(ask_name(story, 9, "__cluster_metadata", true)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(ask_all(story, 9)->topics_count, 0);
}

static void a_name_that_is_asked_for_twice_is_answered_once(void **state)
{
    struct story *story = *state;
    story_start(story);
    static const char *const NAMES[] = {"a", "b", "a"};
    struct metadata_response *answer = ask_names(story, 9, NAMES, 3, true);
    assert_int_equal(answer->topics_count, 2);
    assert_true(slice_equal_str(answer->topics[0].name, "a"));
    assert_true(slice_equal_str(answer->topics[1].name, "b"));
}

static void ids_before_version_12_are_refused_as_in_kafka(void **state)
{
    struct story *story = *state;
    story_start(story);
    asked_topic topic;
    metadata_request_metadata_request_topic_init(&topic);
    topic.name = SLICE_NULL;
    topic.topic_id = (struct uuid){.bytes = {1}};
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics = &topic;
    body.topics_count = 1;
    struct metadata_response *answer = story_call(story, API_METADATA, 10, &body);
    assert_int_equal(answer->brokers_count, 0);
    assert_int_equal(answer->topics[0].error_code, KAFKA_INVALID_REQUEST);
}

static void operations_are_told_when_they_are_asked_for(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics_count = -1;
    struct metadata_response *answer = story_call(story, API_METADATA, 8, &body);
    assert_int_equal(answer->cluster_authorized_operations, INT32_MIN);
    assert_int_equal(answer->topics[0].topic_authorized_operations, INT32_MIN);
    body.include_cluster_authorized_operations = body.include_topic_authorized_operations = true;
    answer = story_call(story, API_METADATA, 8, &body);
    assert_int_equal(answer->cluster_authorized_operations, 8096);
    assert_int_equal(answer->topics[0].topic_authorized_operations, 3576);
}

static void an_internal_topic_gets_its_settings_and_a_directory_at_its_first_append(void **state)
{
    struct story *story = *state;
    story_start(story);
    topic_reply *made = ask_name(story, 9, "__consumer_offsets", true);
    assert_int_equal(made->error_code, KAFKA_NONE);
    assert_true(made->is_internal);
    assert_int_equal(made->partitions_count, 4);
    const struct meta_image *image = broker_reactor(story->broker, 0)->image;
    const struct meta_configs *configs = meta_configs(image, META_RESOURCE_TOPIC, slice_str("__consumer_offsets"));
    assert_true(slice_equal_str(meta_configs_get(configs, slice_str("cleanup.policy")), "compact"));
    assert_true(slice_equal_str(meta_configs_get(configs, slice_str("segment.bytes")), "104857600"));
    assert_false(story_exists(story, 0, "__consumer_offsets-1"));
    assert_int_equal(story_produce(story, "__consumer_offsets", 1, "value"), -KAFKA_INVALID_TOPIC_EXCEPTION);
    assert_null(partition_log(story_partition(story, "__consumer_offsets", 1)));
    story_stop(story); // a partition without a directory needs none to stop and start
    story_start(story);
    assert_null(partition_log(story_partition(story, "__consumer_offsets", 1)));
}

/* ---- CreateTopics */
static void a_created_topic_is_answered_with_its_id_and_settings(void **state)
{
    struct story *story = *state;
    story_start(story);
    struct create_topics_request_creatable_topic_config config = {.name = slice_str("retention.ms"),
                                                                  .value = slice_str("1234567")};
    struct create_topics_request_creatable_topic topic;
    create_topics_request_creatable_topic_init(&topic);
    topic.name = slice_str("t");
    topic.num_partitions = 2;
    topic.replication_factor = -1;
    topic.configs = &config;
    topic.configs_count = 1;
    struct create_topics_request body;
    create_topics_request_init(&body);
    body.topics = &topic;
    body.topics_count = 1;
    for (int made = 0; made < 2; made++) { // a dry run first
        body.validate_only = made == 0;
        struct create_topics_response *answer = story_call(story, API_CREATE_TOPICS, 7, &body);
        const struct create_topics_response_creatable_topic_result *result = &answer->topics[0];
        assert_int_equal(result->error_code, KAFKA_NONE);
        assert_int_equal(result->num_partitions, 2);
        assert_int_equal(result->replication_factor, 1);
        int found = 0;
        for (int32_t i = 0; i < result->configs_count; i++)
            if (slice_equal_str(result->configs[i].name, "retention.ms")) {
                assert_true(slice_equal_str(result->configs[i].value, "1234567"));
                assert_int_equal(result->configs[i].config_source, META_SOURCE_TOPIC);
                found++;
            } else if (slice_equal_str(result->configs[i].name, "cleanup.policy")) {
                assert_true(slice_equal_str(result->configs[i].value, "delete"));
                assert_int_equal(result->configs[i].config_source, META_SOURCE_DEFAULT);
                found++;
            }
        assert_int_equal(found, 2);
        assert_int_equal(ask_all(story, 9)->topics_count, made);
    }
    assert_int_equal(partition_config_get(story_partition(story, "t", 0)).log.retention_ms, 1234567);
}

static void a_topic_that_exists_or_is_named_twice_is_refused(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_create(story, "t", 1), KAFKA_TOPIC_ALREADY_EXISTS);
    assert_int_equal(story_create(story, "__cluster_metadata", 1), KAFKA_INVALID_REQUEST);
    struct create_topics_request_creatable_topic topics[3];
    for (int i = 0; i < 3; i++) {
        create_topics_request_creatable_topic_init(&topics[i]);
        topics[i].name = slice_str(i == 1 ? "alone" : "twin");
        topics[i].num_partitions = topics[i].replication_factor = 1;
    }
    struct create_topics_request body;
    create_topics_request_init(&body);
    body.topics = topics;
    body.topics_count = 3;
    struct create_topics_response *answer = story_call(story, API_CREATE_TOPICS, 5, &body);
    assert_int_equal(answer->topics_count, 2);
    assert_true(slice_equal_str(answer->topics[0].name, "alone"));
    assert_int_equal(answer->topics[0].error_code, KAFKA_NONE);
    assert_true(slice_equal_str(answer->topics[1].name, "twin"));
    assert_int_equal(answer->topics[1].error_code, KAFKA_INVALID_REQUEST);
    assert_true(slice_equal_str(answer->topics[1].error_message, "Duplicate topic name."));
}

/* ---- DeleteTopics */
static void a_deleted_topics_name_is_free_at_once_and_its_files_go_later(void **state)
{
    struct story *story = *state;
    meta_settings_set(story->settings, "log.segment.delete.delay.ms", "0");
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "old"), 0);
    assert_int_equal(story_produce(story, "t", 0, "old"), 1);
    delete_name(story, "t");
    assert_false(story_exists(story, 0, "t-0"));
    assert_int_equal(ask_name(story, 9, "t", false)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "new"), 0);
    story_kill(story);
    story_start(story);
    assert_int_equal(partition_end_offset(story_partition(story, "t", 0)), 1);
    assert_int_equal(partition_start_offset(story_partition(story, "t", 0)), 0);
}

/* A start offset in a checkpoint is by name: that of a deleted topic must not cut a later one. */
static void what_checkpoints_said_of_a_deleted_topic_is_forgotten(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(story_produce(story, "t", 0, "old"), i);
    assert_ok(log_start_offset_set(partition_log(story_partition(story, "t", 0)), 4));
    assert_ok(checkpoints__write(story->broker->checkpoints, CHECKPOINT_START));
    delete_name(story, "t");
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "new"), 0);
    story_kill(story);
    story_start(story);
    assert_int_equal(partition_start_offset(story_partition(story, "t", 0)), 0);
    assert_int_equal(partition_end_offset(story_partition(story, "t", 0)), 1);
}

static void a_fetch_that_waits_learns_of_the_deletion(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    struct request *fetch = story_fetch_start(story, "t", 0, 1, 60000);
    assert_false(story_is_done(fetch));
    delete_name(story, "t");
    assert_int_equal(story_fetched(story, fetch)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
}

static void what_cannot_be_deleted_is_told_in_kafkas_words(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    struct uuid id = partition_topic_id(story_partition(story, "t", 0));
    deleted_topic topics[4];
    for (int i = 0; i < 4; i++)
        delete_topics_request_delete_topic_state_init(&topics[i]);
    topics[0].name = slice_str("unknown");
    topics[1].topic_id = (struct uuid){.bytes = {7}};
    topics[2].name = slice_str("t"); // and the same by id: in neither way
    topics[3].topic_id = id;
    struct delete_topics_request body;
    delete_topics_request_init(&body);
    body.topics = topics;
    body.topics_count = 4;
    struct delete_topics_response *answer = story_call(story, API_DELETE_TOPICS, 6, &body);
    assert_int_equal(answer->responses_count, 3);
    assert_int_equal(answer->responses[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(answer->responses[1].error_code, KAFKA_UNKNOWN_TOPIC_ID);
    assert_int_equal(answer->responses[2].error_code, KAFKA_INVALID_REQUEST);
    assert_true(slice_equal_str(answer->responses[2].error_message,
                                "The provided topic name maps to an ID that was already supplied."));
    assert_int_equal(ask_name(story, 9, "t", false)->error_code, KAFKA_NONE);
}

static void a_broker_may_forbid_deletion(void **state)
{
    struct story *story = *state;
    meta_settings_set(story->settings, "delete.topic.enable", "false");
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    struct slice name = slice_str("t");
    struct delete_topics_request body;
    delete_topics_request_init(&body);
    body.topic_names = &name;
    body.topic_names_count = 1;
    struct delete_topics_response *answer = story_call(story, API_DELETE_TOPICS, 2, &body);
    assert_int_equal(answer->responses[0].error_code, KAFKA_INVALID_REQUEST);
    answer = story_call(story, API_DELETE_TOPICS, 5, &body);
    assert_int_equal(answer->responses[0].error_code, KAFKA_TOPIC_DELETION_DISABLED);
    assert_int_equal(ask_name(story, 9, "t", false)->error_code, KAFKA_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(every_version_names_the_broker_and_all_topics),
        story_test(a_topic_is_found_by_its_id_and_an_unknown_id_is_said_to_be_unknown),
        story_test(a_topic_that_is_asked_for_comes_into_being_when_both_sides_allow_it),
        story_test(topics_that_are_asked_for_count_against_the_quota_of_mutations),
        story_test(names_that_no_topic_may_have_are_invalid_and_made_by_nobody),
        story_test(a_name_that_is_asked_for_twice_is_answered_once),
        story_test(ids_before_version_12_are_refused_as_in_kafka),
        story_test(operations_are_told_when_they_are_asked_for),
        story_test(an_internal_topic_gets_its_settings_and_a_directory_at_its_first_append),
        story_test(a_created_topic_is_answered_with_its_id_and_settings),
        story_test(a_topic_that_exists_or_is_named_twice_is_refused),
        story_test(a_deleted_topics_name_is_free_at_once_and_its_files_go_later),
        story_test(what_checkpoints_said_of_a_deleted_topic_is_forgotten),
        story_test(a_fetch_that_waits_learns_of_the_deletion),
        story_test(what_cannot_be_deleted_is_told_in_kafkas_words),
        story_test(a_broker_may_forbid_deletion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
