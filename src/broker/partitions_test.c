// SPDX-License-Identifier: Apache-2.0
/* broker/partitions_test.c - the table of partitions, what a reactor keeps of it, and the choice of a log directory. */
#include "broker/broker_test.h"

static struct broker *a_broker(struct story *story)
{
    struct broker *broker = story->broker = broker_create(&story->options);
    broker->replica = (struct replica_options){.node_id = 1, .loop_count = 1, .loops = {broker->reactors[0].loop}};
    return broker;
}

static struct partition *add(struct broker *broker, uint8_t id, int32_t index)
{
    struct partition *p = partition_create(&broker->replica, "t", (struct uuid){.bytes = {id}}, index, "/a", false);
    broker__partition_add(broker, p);
    return p;
}

static void a_partition_is_found_by_topic_id_and_index(void **state)
{
    struct broker *broker = a_broker(*state);
    struct partition *one = add(broker, 1, 0), *other = add(broker, 1, 1);
    add(broker, 2, 0);
    struct partition *found = broker__partition_get(broker, (struct uuid){.bytes = {1}}, 1);
    assert_ptr_equal(found, other);
    partition_unref(found);
    assert_null(broker__partition_get(broker, (struct uuid){.bytes = {3}}, 0));
    assert_null(broker__partition_get(broker, (struct uuid){.bytes = {1}}, 2));
    struct partition *removed = broker__partition_remove(broker, (struct uuid){.bytes = {1}}, 0);
    assert_ptr_equal(removed, one);
    partition_unref(removed);
    assert_null(broker__partition_remove(broker, (struct uuid){.bytes = {1}}, 0));
}

static void count(void *context, struct partition *p)
{
    (void)p;
    ++*(int *)context;
}

static void each_sees_all(void **state)
{
    struct broker *broker = a_broker(*state);
    for (int i = 0; i < 100; i++)
        add(broker, 1, i);
    int seen = 0;
    broker__partitions_each(broker, count, &seen);
    assert_int_equal(seen, 100);
}

static void a_reactor_lets_go_of_a_retired_partition(void **state)
{
    struct broker *broker = a_broker(*state);
    struct reactor *reactor = broker_reactor(broker, 0);
    struct uuid id = {.bytes = {1}};
    struct partition *p = add(broker, 1, 0);
    assert_ptr_equal(reactor_partition(reactor, id, 0)->partition, p);
    assert_int_equal(reactor->partitions.count, 1);
    partition_unref(broker__partition_remove(broker, id, 0));
    partition_retire(p);
    atomic_fetch_add(&broker->retired_count, 1);
    broker__partition_uses_sweep(reactor);
    assert_int_equal(reactor->partitions.count, 0);
    assert_null(reactor_partition(reactor, id, 0));
}

static void a_reactor_sees_new_settings_of_a_partition(void **state)
{
    struct broker *broker = a_broker(*state);
    struct reactor *reactor = broker_reactor(broker, 0);
    struct uuid id = {.bytes = {1}};
    struct partition *p = add(broker, 1, 0);
    partition_config_set(p, &(struct partition_config){.max_message_bytes = 10});
    assert_int_equal(reactor_partition(reactor, id, 0)->config.max_message_bytes, 10);
    partition_config_set(p, &(struct partition_config){.max_message_bytes = 20});
    assert_int_equal(reactor_partition(reactor, id, 0)->config.max_message_bytes, 20);
}

/* A fault is told once for each directory. */
static void a_fault_names_its_directory_once(void **state)
{
    struct broker *broker = a_broker(*state);
    struct partition *one = add(broker, 1, 0), *other = add(broker, 1, 1);
    assert_null(broker__partitions_fault(broker));
    partition_take_offline(one, STATUS(EIO, "a story's fault"));
    partition_take_offline(other, STATUS(EIO, "a story's fault"));
    char *path = broker__partitions_fault(broker);
    assert_string_equal(path, "/a");
    mem_free(path);
    assert_null(broker__partitions_fault(broker));
}

static void the_directory_with_the_fewest_partitions_is_chosen_and_none_that_is_offline(void **state)
{
    (void)state;
    struct log_dirs dirs = {.count = 4};
    dirs.dirs[0] = (struct log_dir){.path = "/a", .holds_partitions = true, .partition_count = 3};
    dirs.dirs[1] = (struct log_dir){.path = "/b", .holds_partitions = true, .partition_count = 2};
    dirs.dirs[2] = (struct log_dir){.path = "/c", .holds_partitions = true, .partition_count = 1, .offline = true};
    dirs.dirs[3] = (struct log_dir){.path = "/metadata", .holds_partitions = false};
    assert_string_equal(log_dirs__choose(&dirs)->path, "/b");
    assert_string_equal(log_dirs__by_path(&dirs, "/c")->path, "/c");
    assert_null(log_dirs__by_path(&dirs, "/d"));
    atomic_store(&dirs.dirs[0].offline, true);
    atomic_store(&dirs.dirs[1].offline, true);
    assert_null(log_dirs__choose(&dirs));
    assert_false(log_dirs__any_online(&dirs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_partition_is_found_by_topic_id_and_index),
        story_test(each_sees_all),
        story_test(a_reactor_lets_go_of_a_retired_partition),
        story_test(a_reactor_sees_new_settings_of_a_partition),
        story_test(a_fault_names_its_directory_once),
        story_test(the_directory_with_the_fewest_partitions_is_chosen_and_none_that_is_offline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
