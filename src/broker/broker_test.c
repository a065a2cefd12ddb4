// SPDX-License-Identifier: Apache-2.0
/* broker/broker_test.c - stories of a broker's life: fresh, stopped, killed, refused to start, with damaged and lost data. */
#include "broker/broker_test.h"

static void a_fresh_directory_is_formatted_and_known_again(void **state)
{
    struct story *story = *state;
    story_start(story);
    char cluster[64];
    snprintf(cluster, sizeof cluster, "%s", broker_options(story->broker)->cluster_id);
    assert_true(cluster[0] != '\0');
    assert_true(broker_is_ready(story->broker));
    story_stop(story);
    story_start(story);
    assert_string_equal(cluster, broker_options(story->broker)->cluster_id);
}

static void a_stop_keeps_topics_and_records_and_the_next_start_has_a_new_leader_epoch(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 2), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 1, "one"), 0);
    assert_int_equal(story_produce(story, "t", 1, "two"), 1);
    int32_t epoch = partition_leader_epoch(story_partition(story, "t", 1));
    story_stop(story);
    story_start(story);
    struct partition *p = story_partition(story, "t", 1);
    assert_int_equal(partition_end_offset(p), 2);
    assert_int_equal(partition_high_watermark(p), 2);
    assert_true(partition_leader_epoch(p) > epoch);
    assert_int_equal(log_epoch_latest(partition_log(p)), partition_leader_epoch(p));
    assert_int_equal(story_produce(story, "t", 1, "three"), 2);
}

static void the_mark_of_a_clean_stop_is_there_only_while_stopped(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_false(story_exists(story, 0, ".kafka_cleanshutdown"));
    story_stop(story);
    assert_true(story_exists(story, 0, ".kafka_cleanshutdown"));
    story_start(story);
    assert_false(story_exists(story, 0, ".kafka_cleanshutdown"));
    story_kill(story);
    assert_false(story_exists(story, 0, ".kafka_cleanshutdown"));
}

static void a_kill_loses_nothing_that_was_acknowledged(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    for (int i = 0; i < 20; i++)
        assert_int_equal(story_produce(story, "t", 0, "value"), i);
    story_kill(story);
    story_start(story);
    assert_int_equal(partition_end_offset(story_partition(story, "t", 0)), 20);
    assert_int_equal(partition_high_watermark(story_partition(story, "t", 0)), 20);
    assert_int_equal(story_produce(story, "t", 0, "value"), 20);
}

/* ---- refusals */
static void another_nodes_directory_is_refused(void **state)
{
    struct story *story = *state;
    story_start(story);
    story_stop(story);
    story->options.node_id = 2;
    assert_int_equal(story_try_start(story).error, EINVAL);
    assert_true(story_exists(story, 0, ".kafka_cleanshutdown")); // nothing was changed
}

static void another_clusters_directory_is_refused(void **state)
{
    struct story *story = *state;
    story_start(story);
    story_stop(story);
    snprintf(story->options.cluster_id, sizeof story->options.cluster_id, "AnotherClusterIdOf22chr");
    assert_int_equal(story_try_start(story).error, EINVAL);
}

static void data_without_meta_properties_is_not_formatted_over(void **state)
{
    struct story *story = *state;
    assert_int_equal(io_mkdir(story->dirs[0]), 0);
    story_write(story, 0, "precious", "data");
    assert_int_equal(story_try_start(story).error, EINVAL);
    assert_true(story_exists(story, 0, "precious"));
    assert_false(story_exists(story, 0, "meta.properties"));
}

static void two_directories(struct story *story)
{
    story->options.log_dirs[1] = story->dirs[1];
    story->options.log_dir_count = 2;
}

static void an_empty_directory_joins_formatted_ones(void **state)
{
    struct story *story = *state;
    story_start(story);
    story_stop(story);
    two_directories(story);
    story_start(story);
    struct dir_properties one, other;
    bool exists;
    assert_ok(dir_properties_read(story->dirs[0], &one, &exists));
    assert_ok(dir_properties_read(story->dirs[1], &other, &exists));
    assert_true(exists);
    assert_string_equal(one.cluster_id, other.cluster_id);
    assert_false(uuid_equal(one.directory_id, other.directory_id));
}

static void an_empty_metadata_directory_beside_formatted_ones_is_refused(void **state)
{
    struct story *story = *state;
    two_directories(story);
    story_start(story);
    story_stop(story);
    story_remove(story->root, "a");
    assert_int_equal(story_try_start(story).error, EINVAL);
}

static void a_partition_in_two_directories_is_refused(void **state)
{
    struct story *story = *state;
    two_directories(story);
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    struct uuid id = partition_topic_id(story_partition(story, "t", 0));
    bool in_first = strcmp(partition_log_dir(story_partition(story, "t", 0)), story->dirs[0]) == 0;
    story_stop(story);
    assert_ok(dir_partition_create(story->dirs[in_first ? 1 : 0], "t", 0, id));
    assert_int_equal(story_try_start(story).error, EEXIST);
}

static void new_partitions_go_where_the_fewest_are(void **state)
{
    struct story *story = *state;
    two_directories(story);
    story_start(story);
    assert_int_equal(story_create(story, "t", 6), KAFKA_NONE);
    int in_first = 0;
    for (int i = 0; i < 6; i++)
        in_first += strcmp(partition_log_dir(story_partition(story, "t", i)), story->dirs[0]) == 0;
    assert_int_equal(in_first, 3);
    story_stop(story);
    story_start(story);
    assert_int_equal(story_produce(story, "t", 5, "still there"), 0);
}

/* ---- data that is odd */
static void a_directory_without_partition_metadata_belongs_to_who_has_its_name(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    story_kill(story);
    char path[256];
    story_path(story, 0, "t-0/partition.metadata", path);
    assert_int_equal(io_unlink(path), 0);
    story_start(story);
    assert_int_equal(partition_end_offset(story_partition(story, "t", 0)), 1);
    assert_true(story_exists(story, 0, "t-0/partition.metadata"));
}

struct search {
    const char *begin, *end;
    int count;
};

static void search_entry(void *context, const char *name)
{
    struct search *search = context;
    size_t size = strlen(name), end_size = strlen(search->end);
    search->count += strncmp(name, search->begin, strlen(search->begin)) == 0 && size > end_size &&
                     strcmp(name + size - end_size, search->end) == 0;
}

static int count_entries(const struct story *story, const char *begin, const char *end)
{
    struct search search = {begin, end, 0};
    assert_int_equal(io_list_dir(story->dirs[0], search_entry, &search), 0);
    return search.count;
}

static void a_stray_directory_stays_until_its_name_is_needed_and_then_as_a_stray(void **state)
{
    struct story *story = *state;
    story_start(story);
    story_stop(story);
    struct uuid id = {.bytes = {1, 2, 3, 4, 5, 6, 7, 8}};
    assert_ok(dir_partition_create(story->dirs[0], "t", 0, id));
    story_write(story, 0, "t-0/00000000000000000000.log", "");
    story_start(story);
    assert_true(story_exists(story, 0, "t-0"));
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "mine"), 0);
    assert_int_equal(count_entries(story, "t-0.", "-stray"), 1);
}

static void damage_below_the_flushed_mark_takes_that_partition_offline_and_no_other(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "bad", 1), KAFKA_NONE);
    assert_int_equal(story_create(story, "good", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "bad", 0, "a value that will be damaged"), 0);
    assert_int_equal(story_produce(story, "good", 0, "value"), 0);
    assert_ok(checkpoints__write(story->broker->checkpoints, CHECKPOINT_FLUSHED));
    story_kill(story);
    char path[256];
    story_path(story, 0, "bad-0/00000000000000000000.log", path);
    int file = io_open(path, IO_WRITE);
    assert_int_equal(io_pwrite(file, "XXXX", 4, 70), 4);
    io_close(file);
    for (int starts = 0; starts < 2; starts++) { // the mark is kept, so the second start says the same
        story_start(story);
        assert_true(partition_is_offline(story_partition(story, "bad", 0)));
        assert_int_equal(story_produce(story, "bad", 0, "value"), -KAFKA_KAFKA_STORAGE_ERROR);
        assert_int_equal(story_produce(story, "good", 0, "value"), 1 + starts);
        assert_ok(checkpoints__write(story->broker->checkpoints, CHECKPOINT_FLUSHED));
        story_kill(story);
    }
}

static void a_torn_tail_above_the_flushed_mark_is_cut(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    story_kill(story);
    char path[256];
    story_path(story, 0, "t-0/00000000000000000000.log", path);
    int file = io_open(path, IO_WRITE);
    assert_int_equal(io_pwrite(file, "torn", 4, io_file_size(file)), 4);
    io_close(file);
    story_start(story);
    assert_int_equal(partition_end_offset(story_partition(story, "t", 0)), 1);
    assert_int_equal(story_produce(story, "t", 0, "value"), 1);
}

static void a_log_directory_that_is_gone_takes_its_partitions_offline(void **state)
{
    struct story *story = *state;
    two_directories(story);
    story_start(story);
    assert_int_equal(story_create(story, "t", 2), KAFKA_NONE);
    bool first_is_in_b = strcmp(partition_log_dir(story_partition(story, "t", 0)), story->dirs[1]) == 0;
    assert_int_equal(story_produce(story, "t", first_is_in_b ? 0 : 1, "lost"), 0);
    assert_ok(checkpoints__write(story->broker->checkpoints, CHECKPOINT_FLUSHED));
    story_kill(story);
    story_remove(story->dirs[1], first_is_in_b ? "t-0" : "t-1");
    story_start(story);
    assert_true(partition_is_offline(story_partition(story, "t", first_is_in_b ? 0 : 1)));
    assert_int_equal(story_produce(story, "t", first_is_in_b ? 1 : 0, "fine"), 0);
}

static void the_flushed_mark_goes_with_a_clean_stop(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "value"), 0);
    assert_ok(checkpoints__write(story->broker->checkpoints, CHECKPOINT_FLUSHED));
    assert_true(story_exists(story, 0, "ottla-flushed-offset-checkpoint"));
    story_stop(story);
    assert_false(story_exists(story, 0, "ottla-flushed-offset-checkpoint"));
    assert_true(story_exists(story, 0, "recovery-point-offset-checkpoint"));
    assert_true(story_exists(story, 0, "replication-offset-checkpoint"));
}

static void a_failed_log_directory_takes_its_partitions_offline_and_the_other_goes_on(void **state)
{
    struct story *story = *state;
    two_directories(story);
    story_start(story);
    assert_int_equal(story_create(story, "t", 2), KAFKA_NONE);
    bool first_is_in_b = strcmp(partition_log_dir(story_partition(story, "t", 0)), story->dirs[1]) == 0;
    int32_t bad = first_is_in_b ? 0 : 1, good = 1 - bad;
    partition_take_offline(story_partition(story, "t", bad), STATUS(EIO, "a story's fault"));
    const struct meta_topic *topic;
    do { // until the metadata says so
        story_tick(story);
        topic = meta_topic_by_name(broker_reactor(story->broker, 0)->image, slice_str("t"));
    } while (meta_topic_partition(topic, bad)->leader != -1);
    assert_int_equal(meta_topic_partition(topic, good)->leader, 1);
    assert_int_equal(story_produce(story, "t", bad, "value"), -KAFKA_KAFKA_STORAGE_ERROR); // not that nobody leads it
    assert_int_equal(story_produce(story, "t", good, "value"), 0);
    assert_int_equal(story_create(story, "later", 2), KAFKA_NONE);
    assert_int_equal(story_produce(story, "later", 0, "value"), 0);
    assert_int_equal(story_produce(story, "later", 1, "value"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_fresh_directory_is_formatted_and_known_again),
        story_test(a_stop_keeps_topics_and_records_and_the_next_start_has_a_new_leader_epoch),
        story_test(the_mark_of_a_clean_stop_is_there_only_while_stopped),
        story_test(a_kill_loses_nothing_that_was_acknowledged),
        story_test(another_nodes_directory_is_refused),
        story_test(another_clusters_directory_is_refused),
        story_test(data_without_meta_properties_is_not_formatted_over),
        story_test(an_empty_directory_joins_formatted_ones),
        story_test(an_empty_metadata_directory_beside_formatted_ones_is_refused),
        story_test(a_partition_in_two_directories_is_refused),
        story_test(new_partitions_go_where_the_fewest_are),
        story_test(a_directory_without_partition_metadata_belongs_to_who_has_its_name),
        story_test(a_stray_directory_stays_until_its_name_is_needed_and_then_as_a_stray),
        story_test(damage_below_the_flushed_mark_takes_that_partition_offline_and_no_other),
        story_test(a_torn_tail_above_the_flushed_mark_is_cut),
        story_test(a_log_directory_that_is_gone_takes_its_partitions_offline),
        story_test(the_flushed_mark_goes_with_a_clean_stop),
        story_test(a_failed_log_directory_takes_its_partitions_offline_and_the_other_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
