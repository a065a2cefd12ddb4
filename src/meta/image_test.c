// SPDX-License-Identifier: Apache-2.0
/* meta/image_test.c - what each metadata record means, and that a refused one means nothing. */
#include "meta/meta_test.h"

static struct meta_builder *builder_begin(void)
{
    struct meta_builder *builder = meta_builder_create(NULL);
    struct feature_level_record level = {.name = slice_str("metadata.version"), .feature_level = 30};
    apply_ok(builder, encoded(META_FEATURE_LEVEL, &level));
    return builder;
}

static void add_topic(struct meta_builder *builder, const char *name, uint64_t id)
{
    struct topic_record record = {.name = slice_str(name), .topic_id = id_of(id)};
    apply_ok(builder, encoded(META_TOPIC, &record));
}

static struct partition_record partition_of(uint64_t topic, int32_t index)
{
    static int32_t nodes[] = {1, 2, 3};
    static struct uuid directories[3];
    for (int i = 0; i < 3; i++)
        directories[i] = id_of((uint64_t)i + 100);
    struct partition_record record;
    partition_record_init(&record);
    record.partition_id = index;
    record.topic_id = id_of(topic);
    record.replicas = record.isr = nodes;
    record.replicas_count = record.isr_count = 3;
    record.directories = directories;
    record.directories_count = 3;
    record.leader = 1;
    record.leader_epoch = 4;
    record.partition_epoch = 7;
    return record;
}

static void add_partition(struct meta_builder *builder, uint64_t topic, int32_t index)
{
    struct partition_record record = partition_of(topic, index);
    apply_ok(builder, encoded(META_PARTITION, &record));
}

static struct partition_change_record change_of(uint64_t topic, int32_t index)
{
    struct partition_change_record record;
    partition_change_record_init(&record);
    record.topic_id = id_of(topic);
    record.partition_id = index;
    return record;
}

static void set_config(struct meta_builder *builder, enum meta_config_resource type, const char *name, const char *key,
                       const char *value)
{
    struct config_record record = {.resource_type = (int8_t)type,
                                   .resource_name = slice_str(name),
                                   .name = slice_str(key),
                                   .value = slice_str(value)};
    apply_ok(builder, encoded(META_CONFIG, &record));
}

static const struct meta_partition *partition_at(struct meta_builder *builder, const char *topic, int32_t index)
{
    const struct meta_partition *partition =
        meta_topic_partition(meta_topic_by_name(meta_builder_view(builder), slice_str(topic)), index);
    assert_non_null(partition);
    return partition;
}

static void topic_is_found_by_name_and_id_until_it_is_removed(void **state)
{
    struct meta_builder *builder = builder_begin();
    const struct meta_image *view = meta_builder_view(builder);
    add_topic(builder, "orders", 1);
    add_partition(builder, 1, 0);
    add_partition(builder, 1, 40);
    set_config(builder, META_RESOURCE_TOPIC, "orders", "retention.ms", "5");
    const struct meta_topic *topic = meta_topic_by_name(view, slice_str("orders"));
    assert_ptr_equal(meta_topic_by_id(view, id_of(1)), topic);
    assert_int_equal(topic->name.data[topic->name.size], 0);
    assert_int_equal(topic->partition_count, 41);
    assert_int_equal(view->partition_count, 2);
    assert_null(meta_topic_partition(topic, 1));
    assert_null(meta_topic_partition(topic, -1));
    assert_null(meta_topic_partition(topic, 256));
    struct remove_topic_record remove = {.topic_id = id_of(1)};
    apply_ok(builder, encoded(META_REMOVE_TOPIC, &remove));
    assert_null(meta_topic_by_name(view, slice_str("orders")));
    assert_null(meta_topic_by_id(view, id_of(1)));
    assert_null(meta_configs(view, META_RESOURCE_TOPIC, slice_str("orders")));
    assert_int_equal(view->topic_count + view->partition_count, 0);
    meta_builder_free(builder);
}

static void named_leader_raises_the_leader_epoch_and_each_change_the_partition_epoch(void **state)
{
    struct meta_builder *builder = builder_begin();
    add_topic(builder, "t", 1);
    add_partition(builder, 1, 0);
    struct partition_change_record change = change_of(1, 0);
    int32_t isr[] = {1};
    change.isr = isr;
    change.isr_count = 1;
    apply_ok(builder, encoded(META_PARTITION_CHANGE, &change));
    assert_int_equal(partition_at(builder, "t", 0)->leader_epoch, 4);
    assert_int_equal(partition_at(builder, "t", 0)->partition_epoch, 8);
    assert_int_equal(partition_at(builder, "t", 0)->isr_count, 1);
    assert_int_equal(partition_at(builder, "t", 0)->replica_count, 3);
    change = change_of(1, 0);
    change.leader = 1; // the leader it has
    change.leader_recovery_state = 1;
    apply_ok(builder, encoded(META_PARTITION_CHANGE, &change));
    assert_int_equal(partition_at(builder, "t", 0)->leader_epoch, 5);
    assert_int_equal(partition_at(builder, "t", 0)->partition_epoch, 9);
    assert_int_equal(partition_at(builder, "t", 0)->recovery_state, 1);
    assert_int_equal(partition_at(builder, "t", 0)->isr_count, 1);
    meta_builder_free(builder);
}

static void directory_is_that_of_the_replica(void **state)
{
    struct meta_builder *builder = builder_begin();
    add_topic(builder, "t", 1);
    add_partition(builder, 1, 0);
    assert_true(uuid_equal(meta_partition_directory(partition_at(builder, "t", 0), 2), id_of(101)));
    assert_true(uuid_is_zero(meta_partition_directory(partition_at(builder, "t", 0), 9)));
    struct partition_record unknown = partition_of(1, 1);
    struct uuid zeros[3] = {0};
    unknown.directories = zeros;
    apply_ok(builder, encoded(META_PARTITION, &unknown));
    assert_int_equal(partition_at(builder, "t", 1)->directory_count, 0);
    assert_true(uuid_is_zero(meta_partition_directory(partition_at(builder, "t", 1), 2)));
    meta_builder_free(builder);
}

static void eligible_replicas_are_cleared_for_one_topic_or_all(void **state)
{
    struct meta_builder *builder = builder_begin();
    static const char *const names[] = {"a", "b", "c"};
    for (uint64_t id = 0; id < 3; id++) {
        add_topic(builder, names[id], id + 1);
        for (int32_t i = 0; i < 2; i++) {
            struct partition_record record = partition_of(id + 1, i);
            record.eligible_leader_replicas = record.replicas;
            record.eligible_leader_replicas_count = i; // none in partition 0
            apply_ok(builder, encoded(META_PARTITION, &record));
        }
    }
    struct clear_elr_record clear = {.topic_name = slice_str("b")};
    apply_ok(builder, encoded(META_CLEAR_ELR, &clear));
    assert_int_equal(partition_at(builder, "a", 1)->elr_count, 1);
    assert_int_equal(partition_at(builder, "b", 1)->elr_count, 0);
    assert_int_equal(partition_at(builder, "b", 1)->partition_epoch, 8);
    assert_int_equal(partition_at(builder, "b", 0)->partition_epoch, 7);
    clear.topic_name = slice_str("");
    apply_ok(builder, encoded(META_CLEAR_ELR, &clear));
    assert_int_equal(partition_at(builder, "a", 1)->elr_count + partition_at(builder, "c", 1)->elr_count, 0);
    assert_int_equal(partition_at(builder, "b", 1)->partition_epoch, 8);
    meta_builder_free(builder);
}

static void settings_are_kept_in_order_and_vanish_with_the_last(void **state)
{
    struct meta_builder *builder = builder_begin();
    const struct meta_image *view = meta_builder_view(builder);
    set_config(builder, META_RESOURCE_BROKER, "", "b", "2");
    uint64_t version = meta_configs(view, META_RESOURCE_BROKER, slice_str(""))->version;
    set_config(builder, META_RESOURCE_BROKER, "", "a", "1");
    set_config(builder, META_RESOURCE_BROKER, "", "c", "");
    set_config(builder, META_RESOURCE_BROKER, "", "b", "two");
    const struct meta_configs *configs = meta_configs(view, META_RESOURCE_BROKER, slice_str(""));
    assert_int_not_equal(configs->version, version);
    assert_int_equal(configs->entry_count, 3);
    assert_true(slice_equal_str(configs->entries[0].key, "a"));
    assert_true(slice_equal_str(meta_configs_get(configs, slice_str("b")), "two"));
    assert_true(slice_equal_str(meta_configs_get(configs, slice_str("c")), ""));
    assert_null(meta_configs_get(configs, slice_str("d")).data);
    assert_null(meta_configs_get(NULL, slice_str("d")).data);
    assert_null(meta_configs(view, META_RESOURCE_BROKER, slice_str("1")));
    assert_null(meta_configs(view, META_RESOURCE_TOPIC, slice_str("")));
    set_config(builder, META_RESOURCE_BROKER, "", "a", NULL);
    set_config(builder, META_RESOURCE_BROKER, "", "b", NULL);
    set_config(builder, META_RESOURCE_BROKER, "", "c", NULL);
    set_config(builder, META_RESOURCE_BROKER, "", "c", NULL);
    assert_null(meta_configs(view, META_RESOURCE_BROKER, slice_str("")));
    meta_builder_free(builder);
}

static void add_broker(struct meta_builder *builder, int32_t id, int64_t epoch)
{
    struct register_broker_record_broker_endpoint endpoint = {
        .name = slice_str("PLAINTEXT"), .host = slice_str("::1"), .port = 9092};
    struct uuid directory = id_of(55);
    struct register_broker_record record;
    register_broker_record_init(&record);
    record.broker_id = id;
    record.broker_epoch = epoch;
    record.rack = SLICE_NULL;
    record.end_points = &endpoint;
    record.end_points_count = 1;
    record.log_dirs = &directory;
    record.log_dirs_count = 1;
    apply_ok(builder, encoded(META_REGISTER_BROKER, &record));
}

static void broker_registers_fenced_and_is_changed_only_in_its_epoch(void **state)
{
    struct meta_builder *builder = builder_begin();
    const struct meta_image *view = meta_builder_view(builder);
    add_broker(builder, 3, 50);
    assert_true(meta_broker(view, 3)->fenced);
    assert_null(meta_broker(view, 3)->rack.data);
    assert_int_equal(meta_broker_endpoint(meta_broker(view, 3), slice_str("PLAINTEXT"))->port, 9092);
    struct broker_registration_change_record change;
    broker_registration_change_record_init(&change);
    change.broker_id = 3;
    change.broker_epoch = 49;
    change.fenced = -1;
    assert_int_equal(meta_apply(builder, encoded(META_BROKER_CHANGE, &change)).error, EBADMSG);
    assert_true(meta_broker(view, 3)->fenced);
    change.broker_epoch = 50;
    apply_ok(builder, encoded(META_BROKER_CHANGE, &change));
    assert_false(meta_broker(view, 3)->fenced);
    assert_int_equal(meta_broker(view, 3)->directory_count, 1);
    change.fenced = 0;
    change.in_controlled_shutdown = 1;
    apply_ok(builder, encoded(META_BROKER_CHANGE, &change));
    assert_true(!meta_broker(view, 3)->fenced && meta_broker(view, 3)->in_controlled_shutdown);
    struct fence_broker_record fence = {.id = 3, .epoch = 50};
    apply_ok(builder, encoded(META_FENCE_BROKER, &fence));
    assert_true(meta_broker(view, 3)->fenced);
    struct unregister_broker_record gone = {.broker_id = 3, .broker_epoch = 50};
    apply_ok(builder, encoded(META_UNREGISTER_BROKER, &gone));
    assert_null(meta_broker(view, 3));
    meta_builder_free(builder);
}

static void quota_of_an_entity_is_one_whatever_the_order_of_its_parts(void **state)
{
    struct meta_builder *builder = builder_begin();
    struct client_quota_record_entity_data user = {.entity_type = slice_str("user"), .entity_name = slice_str("u")};
    struct client_quota_record_entity_data client = {.entity_type = slice_str("client-id"), .entity_name = SLICE_NULL};
    struct client_quota_record_entity_data one[] = {user, client}, other[] = {client, user};
    struct client_quota_record record = {
        .entity = one, .entity_count = 2, .key = slice_str("producer_byte_rate"), .value = 5};
    apply_ok(builder, encoded(META_CLIENT_QUOTA, &record));
    record.entity = other;
    record.value = 6;
    apply_ok(builder, encoded(META_CLIENT_QUOTA, &record));
    struct meta_walk walk;
    meta_walk_begin(meta_builder_view(builder)->quotas, &walk);
    const struct meta_quota *quota = (const void *)meta_walk_next(&walk);
    assert_true(quota->value == 6);
    assert_true(slice_equal_str(quota->parts[0].type, "client-id") && slice_is_null(quota->parts[0].name));
    assert_null(meta_walk_next(&walk));
    record.remove = true;
    apply_ok(builder, encoded(META_CLIENT_QUOTA, &record));
    apply_ok(builder, encoded(META_CLIENT_QUOTA, &record));
    assert_null(meta_builder_view(builder)->quotas);
    meta_builder_free(builder);
}

static void transaction_counts_from_its_end_and_not_when_aborted(void **state)
{
    struct meta_builder *builder = builder_begin();
    struct begin_transaction_record begin = {.name = SLICE_NULL};
    struct end_transaction_record end = {0};
    struct abort_transaction_record stop = {.reason = SLICE_NULL};
    add_topic(builder, "before", 1);
    meta_builder_position(builder, 10, 1, 1000);
    apply_ok(builder, encoded(META_BEGIN_TRANSACTION, &begin));
    add_topic(builder, "during", 2);
    meta_builder_position(builder, 12, 1, 1200);
    assert_true(meta_builder_in_transaction(builder));
    struct meta_image *meanwhile = meta_builder_image(builder);
    assert_null(meta_topic_by_name(meanwhile, slice_str("during")));
    assert_int_equal(meanwhile->offset, 10);
    assert_non_null(meta_topic_by_name(meta_builder_view(builder), slice_str("during")));
    apply_ok(builder, encoded(META_ABORT_TRANSACTION, &stop));
    assert_null(meta_topic_by_name(meta_builder_view(builder), slice_str("during")));
    assert_int_equal(meta_builder_view(builder)->offset, 12);
    apply_ok(builder, encoded(META_BEGIN_TRANSACTION, &begin));
    add_topic(builder, "during", 3);
    apply_ok(builder, encoded(META_END_TRANSACTION, &end));
    struct meta_image *after = meta_builder_image(builder);
    assert_true(uuid_equal(meta_topic_by_name(after, slice_str("during"))->id, id_of(3)));
    assert_null(meta_topic_by_name(meanwhile, slice_str("during")));
    meta_builder_free(builder);
    meta_image_unref(meanwhile);
    meta_image_unref(after);
}

static void refuse(struct meta_builder *builder, int error, enum meta_record_type type, const void *record,
                   const char *reason)
{
    struct meta_image *before = meta_builder_image(builder);
    assert_int_equal(meta_apply(builder, encoded(type, record)).error, error);
    if (!strstr(meta_builder_message(builder), reason))
        fail_msg("\"%s\" does not say \"%s\"", meta_builder_message(builder), reason);
    struct meta_image *after = meta_builder_image(builder);
    assert_true(meta_image_equal(before, after));
    meta_image_unref(before);
    meta_image_unref(after);
}

static void inconsistent_records_about_topics_are_refused(void **state)
{
    struct meta_builder *builder = builder_begin();
    add_topic(builder, "t", 1);
    add_partition(builder, 1, 0);
    struct topic_record topic = {.name = slice_str("t"), .topic_id = id_of(2)};
    refuse(builder, EBADMSG, META_TOPIC, &topic, "there is a topic t already");
    topic.name = slice_str("u");
    topic.topic_id = id_of(1);
    refuse(builder, EBADMSG, META_TOPIC, &topic, "the id of u is zero or taken");
    topic.topic_id = UUID_ZERO;
    refuse(builder, EBADMSG, META_TOPIC, &topic, "the id of u is zero or taken");
    topic.name = slice_str("../../etc");
    refuse(builder, EBADMSG, META_TOPIC, &topic, "contains one or more characters other than");
    struct partition_record partition = partition_of(2, 0);
    refuse(builder, EBADMSG, META_PARTITION, &partition, "there is no topic of id");
    partition = partition_of(1, -1);
    refuse(builder, EBADMSG, META_PARTITION, &partition, "index -1");
    partition = partition_of(1, META_PARTITIONS_MAX);
    refuse(builder, EBADMSG, META_PARTITION, &partition, "index 1048576");
    partition = partition_of(1, 1);
    partition.directories_count = 2;
    refuse(builder, EBADMSG, META_PARTITION, &partition, "replicas and directories of t-1 do not fit together");
    partition.directories_count = 3;
    partition.leader_recovery_state = 2;
    refuse(builder, EBADMSG, META_PARTITION, &partition, "recovery state 2");
    struct partition_change_record change = change_of(1, 1);
    refuse(builder, EBADMSG, META_PARTITION_CHANGE, &change, "there is no partition t-1");
    change = change_of(2, 0);
    refuse(builder, EBADMSG, META_PARTITION_CHANGE, &change, "there is no topic of id");
    int32_t nodes[] = {1, 2};
    change = change_of(1, 0);
    change.replicas = nodes;
    change.replicas_count = 2; // and three directories
    refuse(builder, EBADMSG, META_PARTITION_CHANGE, &change, "the change does not fit t-0");
    struct remove_topic_record remove = {.topic_id = id_of(2)};
    refuse(builder, EBADMSG, META_REMOVE_TOPIC, &remove, "there is no topic of id");
    struct clear_elr_record clear = {.topic_name = slice_str("u")};
    refuse(builder, EBADMSG, META_CLEAR_ELR, &clear, "there is no topic u");
    meta_builder_free(builder);
}

static void inconsistent_records_about_the_rest_are_refused(void **state)
{
    struct meta_builder *builder = builder_begin();
    struct end_transaction_record end = {0};
    struct abort_transaction_record stop = {.reason = SLICE_NULL};
    struct begin_transaction_record begin = {.name = SLICE_NULL};
    refuse(builder, EBADMSG, META_END_TRANSACTION, &end, "never began");
    refuse(builder, EBADMSG, META_ABORT_TRANSACTION, &stop, "never began");
    struct unfence_broker_record unfence = {.id = 4, .epoch = 1};
    refuse(builder, EBADMSG, META_UNFENCE_BROKER, &unfence, "broker 4, which is not registered");
    struct remove_access_control_entry_record remove = {.id = id_of(1)};
    refuse(builder, EBADMSG, META_REMOVE_ACL, &remove, "there is no such entry");
    struct remove_user_scram_credential_record scram = {.name = slice_str("u"), .mechanism = 1};
    refuse(builder, EBADMSG, META_REMOVE_SCRAM, &scram, "there is no such credential");
    struct producer_ids_record ids = {.next_producer_id = 2000};
    apply_ok(builder, encoded(META_PRODUCER_IDS, &ids));
    ids.next_producer_id = 1999;
    refuse(builder, EBADMSG, META_PRODUCER_IDS, &ids, "1999 after 2000");
    struct client_quota_record quota = {.key = slice_str("k")};
    refuse(builder, EBADMSG, META_CLIENT_QUOTA, &quota, "an entity of 0 parts");
    apply_ok(builder, encoded(META_BEGIN_TRANSACTION, &begin));
    refuse(builder, EBADMSG, META_BEGIN_TRANSACTION, &begin, "begins inside another");
    meta_builder_free(builder);
}

static void what_is_newer_than_we_know_is_told_apart(void **state)
{
    struct meta_builder *builder = builder_begin();
    struct feature_level_record level = {.name = slice_str("metadata.version"), .feature_level = 31};
    refuse(builder, ENOTSUP, META_FEATURE_LEVEL, &level, "metadata.version 31 is not between 7 and 30");
    level.name = slice_str("time.travel");
    refuse(builder, ENOTSUP, META_FEATURE_LEVEL, &level, "unknown feature time.travel");
    struct config_record config = {
        .resource_type = 64, .resource_name = slice_str("x"), .name = slice_str("y"), .value = slice_str("z")};
    refuse(builder, ENOTSUP, META_CONFIG, &config, "unknown type of resource 64");
    static const struct {
        uint8_t bytes[4];
        size_t size;
        int error;
    } cases[] = {{{2, 20, 0, 0}, 4, ENOTSUP}, {{0, 20, 0, 0}, 4, EBADMSG}, {{1, 29, 0, 0}, 4, ENOTSUP},
                 {{1, 6, 0, 0}, 4, ENOTSUP},  {{1, 20, 1, 0}, 4, ENOTSUP}, {{1, 20, 0, 0}, 4, 0},
                 {{1, 20, 0}, 3, EBADMSG},    {{1, 20}, 2, EBADMSG},       {{0}, 0, EBADMSG}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(meta_apply(builder, slice_of(cases[i].bytes, cases[i].size)).error, cases[i].error);
    meta_builder_free(builder);
}

static void level_zero_takes_a_feature_away(void **state)
{
    struct meta_builder *builder = builder_begin();
    struct feature_level_record level = {.name = slice_str("eligible.leader.replicas.version"), .feature_level = 1};
    apply_ok(builder, encoded(META_FEATURE_LEVEL, &level));
    assert_int_equal(meta_builder_view(builder)->elr_version, 1);
    level.feature_level = 0;
    apply_ok(builder, encoded(META_FEATURE_LEVEL, &level));
    apply_ok(builder, encoded(META_FEATURE_LEVEL, &level));
    assert_int_equal(meta_builder_view(builder)->elr_version, 0);
    assert_int_equal(meta_feature_level(meta_builder_view(builder), "metadata.version"), 30);
    meta_builder_free(builder);
}

static void records_have_the_versions_that_the_metadata_version_permits(void **state)
{
    static const struct {
        enum meta_record_type type;
        int16_t metadata_version, version;
    } cases[] = {{META_REGISTER_BROKER, 7, 1},   {META_REGISTER_BROKER, 8, 2}, {META_REGISTER_BROKER, 17, 3},
                 {META_REGISTER_BROKER, 30, 4},  {META_PARTITION, 16, 0},      {META_PARTITION, 17, 1},
                 {META_PARTITION, 22, 1},        {META_PARTITION, 23, 2},      {META_PARTITION_CHANGE, 7, 0},
                 {META_PARTITION_CHANGE, 23, 2}, {META_BROKER_CHANGE, 7, 1},   {META_BROKER_CHANGE, 17, 2},
                 {META_BROKER_CHANGE, 30, 3},    {META_TOPIC, 30, 0}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(meta_record_version(cases[i].type, cases[i].metadata_version), cases[i].version);
}

static void each_kind_of_item_survives_a_snapshot(void **state)
{
    struct meta_builder *builder = builder_begin();
    add_broker(builder, 1, 5);
    add_topic(builder, "t", 1);
    add_partition(builder, 1, 0);
    set_config(builder, META_RESOURCE_GROUP, "g", "k", "v");
    struct slice renewers[] = {slice_str("User:a"), slice_str("User:b")};
    struct delegation_token_record token = {.token_id = slice_str("id"),
                                            .owner = slice_str("User:o"),
                                            .requester = slice_str("User:r"),
                                            .renewers = renewers,
                                            .renewers_count = 2,
                                            .issue_timestamp = 1,
                                            .max_timestamp = 3,
                                            .expiration_timestamp = 2};
    apply_ok(builder, encoded(META_DELEGATION_TOKEN, &token));
    struct user_scram_credential_record scram = {.name = slice_str("u"),
                                                 .mechanism = 2,
                                                 .iterations = 4096,
                                                 .salt = slice_str("s"),
                                                 .stored_key = slice_str("k"),
                                                 .server_key = slice_str("v")};
    apply_ok(builder, encoded(META_SCRAM, &scram));
    struct access_control_entry_record acl = {.id = id_of(9),
                                              .resource_type = 2,
                                              .resource_name = slice_str("t"),
                                              .pattern_type = 3,
                                              .principal = slice_str("User:u"),
                                              .host = slice_str("*"),
                                              .operation = 3,
                                              .permission_type = 3};
    apply_ok(builder, encoded(META_ACL, &acl));
    refuse(builder, EBADMSG, META_ACL, &acl, "its id is taken");
    struct zk_migration_state_record migration = {.zk_migration_state = 3};
    apply_ok(builder, encoded(META_ZK_MIGRATION, &migration));
    struct producer_ids_record ids = {.broker_id = 1, .broker_epoch = 5, .next_producer_id = 1000};
    apply_ok(builder, encoded(META_PRODUCER_IDS, &ids));
    struct meta_image *image = meta_builder_image(builder);
    assert_snapshot_gives(image);
    struct meta_image *nothing = meta_image_create();
    assert_snapshot_gives(nothing);
    assert_false(meta_image_equal(image, nothing));
    meta_image_unref(nothing);
    meta_image_unref(image);
    struct remove_delegation_token_record gone = {.token_id = slice_str("id")};
    apply_ok(builder, encoded(META_REMOVE_TOKEN, &gone));
    assert_null(meta_builder_view(builder)->tokens);
    meta_builder_free(builder);
}

static void walk_goes_on_after_any_name(void **state)
{
    struct meta_builder *builder = builder_begin();
    char name[16];
    for (uint64_t i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "t%02d", (int)(i * 37 % 100));
        add_topic(builder, name, i + 1);
    }
    for (int i = -1; i < 100; i++) {
        struct meta_walk walk;
        snprintf(name, sizeof name, "t%02d", i < 0 ? 0 : i);
        meta_topics_begin(meta_builder_view(builder), i < 0 ? SLICE_NULL : slice_str(name), &walk);
        for (int next = i + 1; next < 100; next++) {
            snprintf(name, sizeof name, "t%02d", next);
            assert_true(slice_equal_str(meta_topics_next(&walk)->name, name));
        }
        assert_null(meta_topics_next(&walk));
    }
    meta_builder_free(builder);
}

struct seen {
    int new, changed, gone;
};

static void count_seen(void *context, const struct meta_topic *was, const struct meta_topic *now)
{
    struct seen *seen = context;
    assert_true(was != now);
    seen->new += was == NULL;
    seen->gone += now == NULL;
    seen->changed += was && now;
}

static void difference_names_what_is_new_changed_and_gone(void **state)
{
    struct meta_builder *builder = builder_begin();
    char name[16];
    for (uint64_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "t%03d", (int)i);
        add_topic(builder, name, i + 1);
    }
    struct meta_image *before = meta_builder_image(builder);
    struct remove_topic_record remove = {.topic_id = id_of(500)};
    apply_ok(builder, encoded(META_REMOVE_TOPIC, &remove));
    remove.topic_id = id_of(600);
    apply_ok(builder, encoded(META_REMOVE_TOPIC, &remove));
    add_topic(builder, "t599", 2000); // another of the same name
    add_topic(builder, "u", 2001);
    add_topic(builder, "a", 2002);
    add_partition(builder, 7, 0);
    struct meta_image *after = meta_builder_image(builder);
    struct seen seen = {0}, back = {0}, none = {0};
    meta_topics_diff(before, after, count_seen, &seen);
    assert_int_equal(seen.new, 2);
    assert_int_equal(seen.changed, 2);
    assert_int_equal(seen.gone, 1);
    meta_topics_diff(after, before, count_seen, &back);
    assert_int_equal(back.new, 1);
    assert_int_equal(back.gone, 2);
    meta_topics_diff(after, after, count_seen, &none);
    assert_int_equal(none.new + none.changed + none.gone, 0);
    meta_image_unref(before);
    meta_image_unref(after);
    meta_builder_free(builder);
}

enum { MANY = 100000 };

static void one_change_among_many_partitions_is_a_few_small_copies(void **state)
{
    struct meta_builder *builder = builder_begin();
    char name[16];
    for (uint64_t i = 0; i < MANY / 100; i++) {
        snprintf(name, sizeof name, "t%04d", (int)i);
        add_topic(builder, name, i + 1);
        for (int32_t p = 0; p < 100; p++)
            add_partition(builder, i + 1, p);
    }
    struct meta_image *image = meta_builder_image(builder);
    assert_int_equal(image->partition_count, MANY);
    struct partition_change_record change = change_of(77, 55);
    change.leader = 2;
    struct slice record = encoded(META_PARTITION_CHANGE, &change);
    uint64_t start = mem_alloc_count();
    apply_ok(builder, record);
    uint64_t shared = mem_alloc_count() - start;
    apply_ok(builder, record);
    uint64_t own = mem_alloc_count() - start - shared;
    assert_true(shared <= 2 * 15 + 2 + 2 + 1); // two paths, topic, two chunks, partition
    assert_int_equal(own, 1);
    assert_int_equal(meta_topic_partition(meta_topic_by_id(image, id_of(77)), 55)->leader, 1);
    assert_int_equal(partition_at(builder, "t0076", 55)->leader, 2);
    meta_image_unref(image);
    meta_builder_free(builder);
}

static void looking_up_allocates_nothing(void **state)
{
    struct meta_builder *builder = builder_begin();
    add_topic(builder, "t", 1);
    add_partition(builder, 1, 0);
    set_config(builder, META_RESOURCE_TOPIC, "t", "retention.ms", "5");
    struct meta_settings *settings = meta_settings_create();
    meta_settings_set(settings, "log.retention.hours", "3");
    const struct meta_image *view = meta_builder_view(builder);
    struct meta_topic_config config;
    struct meta_walk walk;
    uint64_t start = mem_alloc_count();
    assert_non_null(meta_topic_partition(meta_topic_by_name(view, slice_str("t")), 0));
    assert_null(meta_broker(view, 1));
    meta_topics_begin(view, slice_str("a"), &walk);
    assert_non_null(meta_topics_next(&walk));
    meta_topic_config(view, settings, 1, slice_str("t"), &config);
    assert_int_equal(config.retention_ms, 5);
    assert_int_equal(mem_alloc_count(), start);
    meta_settings_free(settings);
    meta_builder_free(builder);
}

static void set_quota(struct meta_builder *builder, const char *type, const char *name, const char *key)
{
    struct client_quota_record_entity_data entity = {.entity_type = slice_str(type), .entity_name = slice_str(name)};
    struct client_quota_record record = {.entity = &entity, .entity_count = 1, .key = slice_str(key), .value = 1};
    apply_ok(builder, encoded(META_CLIENT_QUOTA, &record));
}

static void quotas_of_addresses_are_walked_without_the_others(void **state)
{
    (void)state;
    struct meta_builder *builder = builder_begin();
    set_quota(builder, "client-id", "a", "k");
    set_quota(builder, "user", "u", "k");
    struct meta_walk walk;
    meta_address_quotas_begin(meta_builder_view(builder), &walk);
    assert_null(meta_address_quotas_next(&walk));
    set_quota(builder, "ip", "10.0.0.1", "k");
    set_quota(builder, "ip", NULL, "k");
    set_quota(builder, "ip", NULL, "j");
    meta_address_quotas_begin(meta_builder_view(builder), &walk);
    assert_true(slice_equal_str(meta_address_quotas_next(&walk)->key, "j"));
    assert_true(slice_is_null(meta_address_quotas_next(&walk)->parts[0].name));
    assert_true(slice_equal_str(meta_address_quotas_next(&walk)->parts[0].name, "10.0.0.1"));
    assert_null(meta_address_quotas_next(&walk));
    meta_builder_free(builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topic_is_found_by_name_and_id_until_it_is_removed),
        cmocka_unit_test(named_leader_raises_the_leader_epoch_and_each_change_the_partition_epoch),
        cmocka_unit_test(directory_is_that_of_the_replica),
        cmocka_unit_test(eligible_replicas_are_cleared_for_one_topic_or_all),
        cmocka_unit_test(settings_are_kept_in_order_and_vanish_with_the_last),
        cmocka_unit_test(broker_registers_fenced_and_is_changed_only_in_its_epoch),
        cmocka_unit_test(quota_of_an_entity_is_one_whatever_the_order_of_its_parts),
        cmocka_unit_test(quotas_of_addresses_are_walked_without_the_others),
        cmocka_unit_test(transaction_counts_from_its_end_and_not_when_aborted),
        cmocka_unit_test(inconsistent_records_about_topics_are_refused),
        cmocka_unit_test(inconsistent_records_about_the_rest_are_refused),
        cmocka_unit_test(what_is_newer_than_we_know_is_told_apart),
        cmocka_unit_test(level_zero_takes_a_feature_away),
        cmocka_unit_test(records_have_the_versions_that_the_metadata_version_permits),
        cmocka_unit_test(each_kind_of_item_survives_a_snapshot),
        cmocka_unit_test(walk_goes_on_after_any_name),
        cmocka_unit_test(difference_names_what_is_new_changed_and_gone),
        cmocka_unit_test(one_change_among_many_partitions_is_a_few_small_copies),
        cmocka_unit_test(looking_up_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
