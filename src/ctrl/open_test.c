// SPDX-License-Identifier: Apache-2.0
/* ctrl/open_test.c - opening: a new cluster's first batches, epochs, the directories that Apache Kafka wrote, and what is
 * refused.
 */
#include "ctrl/ctrl_test.h"

#include <jansson.h>

/* ---- a new one */
static void batch_take(struct slice *rest, struct slice *ret_batch)
{
    assert_true(record_batch_next(rest, ret_batch));
    assert_true(record_batch_is_intact(*ret_batch));
}

/* Same but for time and CRC; with an id of ours where Kafka has its own. */
static void batch_compare(struct slice ours, struct slice theirs, struct uuid id)
{
    struct uuid kafkas_id;
    assert_true(uuid_from_text(slice_str("M2VNhwmETwaPi8UI9XxppA"), &kafkas_id));
    assert_int_equal(ours.size, theirs.size);
    for (size_t at = 0; at < ours.size; at++) {
        bool is_time = at >= RECORD_BATCH_BASE_TIMESTAMP_AT && at < RECORD_BATCH_PRODUCER_ID_AT;
        bool is_crc = at >= RECORD_BATCH_CRC_AT && at < RECORD_BATCH_ATTRIBUTES_AT;
        if (at + 16 <= ours.size && memcmp(theirs.data + at, kafkas_id.bytes, 16) == 0) {
            assert_memory_equal(ours.data + at, id.bytes, 16);
            at += 15;
        } else if (!is_time && !is_crc && ours.data[at] != theirs.data[at]) {
            fail_msg("byte %d is %02x, Kafka wrote %02x", (int)at, ours.data[at], theirs.data[at]);
        }
    }
}

static void a_new_log_begins_as_kafkas_does(void **state)
{
    struct story *story = *state;
    char path[STORY_PATH_BYTES];
    bool exists;
    struct buffer ours CLEANUP(buffer_free) = {0}, theirs CLEANUP(buffer_free) = {0};
    story_unpack(story, "clean.tar.gz", "kafka");
    story_format(story);
    story_open(story);
    snprintf(path, sizeof path, "%s/kafka/__cluster_metadata-0/00000000000000000000.log", story->directory);
    assert_ok(ctrl__file_read(path, &theirs, &exists));
    story_read(story, "__cluster_metadata-0/00000000000000000000.log", &ours);
    struct slice our_rest = slice_of(ours.data, ours.size), their_rest = slice_of(theirs.data, theirs.size), our, their;
    for (int i = 0; i < 2; i++) { // LeaderChange and voters; the bootstrap
        batch_take(&our_rest, &our);
        batch_take(&their_rest, &their);
        batch_compare(our, their, story_directory_id(story));
    }
    batch_take(&our_rest, &our); // RegisterController: Kafka has its features in any order
    batch_take(&their_rest, &their);
    assert_int_equal(our.size, their.size);
    assert_int_equal(our_rest.size, 0);
    assert_int_equal(ctrl_end_offset(story->ctrl), 13);
}

static void a_new_cluster_has_kafkas_levels(void **state)
{
    struct story *story = *state;
    story_format(story);
    const struct meta_image *image = ctrl_view(story_open(story));
    assert_int_equal(image->metadata_version, 30);
    assert_int_equal(image->elr_version, 1);
    assert_int_equal(meta_feature_level(image, "transaction.version"), 2);
    assert_int_equal(meta_feature_level(image, "group.version"), 1);
    assert_int_equal(meta_feature_level(image, "share.version"), 1);
    assert_int_equal(meta_feature_level(image, "streams.version"), 1);
    const struct meta_configs *cluster = meta_configs(image, META_RESOURCE_BROKER, slice_str(""));
    assert_slice(meta_configs_get(cluster, slice_str("min.insync.replicas")), "1");
    assert_non_null(meta_controller(image, 1));
    assert_string_equal(ctrl_cluster_id(story->ctrl), "AbCdEfGhIjKlMnOpQrStUw");
    assert_false(ctrl_is_dirty(story->ctrl));
}

static void assert_file(struct story *story, const char *name, const char *text)
{
    struct buffer bytes CLEANUP(buffer_free) = {0};
    story_read(story, name, &bytes);
    assert_slice(slice_of(bytes.data, bytes.size), text);
}

static void every_start_has_a_new_epoch(void **state)
{
    struct story *story = *state;
    story_format(story);
    assert_int_equal(ctrl_leader_epoch(story_open(story)), 1);
    assert_file(story, "__cluster_metadata-0/quorum-state",
                "{\"leaderId\":1,\"leaderEpoch\":1,\"votedId\":-1,\"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\","
                "\"data_version\":1}");
    assert_file(story, "__cluster_metadata-0/leader-epoch-checkpoint", "0\n1\n1 0\n");
    assert_file(story, "__cluster_metadata-0/partition.metadata", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
    story_close(story);
    assert_int_equal(ctrl_leader_epoch(story_open(story)), 2);
    story_kill(story);
    assert_int_equal(ctrl_leader_epoch(story_open(story)), 3);
    story_kill(story);
    char path[STORY_PATH_BYTES]; // lost: the log knows too
    story_path(story, "__cluster_metadata-0/quorum-state", path);
    io_unlink(path);
    assert_int_equal(ctrl_leader_epoch(story_open(story)), 4);
}

static void an_epoch_is_on_the_disk_before_it_writes(void **state)
{
    struct story *story = *state;
    char path[STORY_PATH_BYTES];
    story_format(story);
    story_open(story);
    story_close(story);
    story_path(story, "__cluster_metadata-0/quorum-state", path);
    const char later[] = "{\"leaderId\":1,\"leaderEpoch\":41,\"votedId\":-1,\"data_version\":1}";
    assert_ok(ctrl__file_replace(path, ".tmp", later, sizeof later - 1));
    assert_int_equal(ctrl_leader_epoch(story_open(story)), 42); // begun once, though nothing was written
}

/* ---- what Kafka wrote */
static json_t *kafkas_state(const char *name)
{
    char path[STORY_PATH_BYTES], file[64];
    snprintf(file, sizeof file, "%s/state.json", name);
    story_source(file, path);
    json_t *state = json_load_file(path, 0, NULL);
    assert_non_null(state);
    return state;
}

static void configs_compare(const struct meta_image *image, int8_t type, const char *name, json_t *expected)
{
    const char *key;
    json_t *value;
    const struct meta_configs *configs = meta_configs(image, type, slice_str(name));
    assert_int_equal(configs ? configs->entry_count : 0, json_object_size(expected));
    json_object_foreach(expected, key, value)
        assert_slice(meta_configs_get(configs, slice_str(key)), json_string_value(value));
}

/* Values as "value (source)"; those of another source are another resource's. */
static void sourced_compare(const struct meta_image *image, int8_t type, const char *name, json_t *expected,
                            const char *source)
{
    const char *key;
    json_t *value;
    int32_t count = 0;
    const struct meta_configs *configs = meta_configs(image, type, slice_str(name));
    json_object_foreach(expected, key, value)
    {
        const char *text = json_string_value(value), *end = strstr(text, " (");
        if (strncmp(end + 2, source, strlen(source)) != 0)
            continue;
        assert_true(slice_equal(meta_configs_get(configs, slice_str(key)), slice_of(text, (size_t)(end - text))));
        count++;
    }
    assert_int_equal(configs ? configs->entry_count : 0, count);
}

static void topic_compare(const struct meta_image *image, const char *name, json_t *expected)
{
    char id[UUID_TEXT_SIZE];
    const struct meta_topic *topic = meta_topic_by_name(image, slice_str(name));
    if (!topic) {
        fail_msg("%s is missing", name);
        return;
    }
    uuid_to_text(topic->id, id);
    assert_string_equal(id, json_string_value(json_object_get(expected, "id")));
    assert_int_equal(topic->partition_count, json_array_size(json_object_get(expected, "partitions")));
    configs_compare(image, META_RESOURCE_TOPIC, name, json_object_get(expected, "configs"));
}

static int tree_count(const struct meta_node *tree)
{
    struct meta_walk walk;
    int count = 0;
    meta_walk_begin(tree, &walk);
    while (meta_walk_next(&walk))
        count++;
    return count;
}

static int quotas_count(json_t *quotas)
{
    size_t i;
    json_t *quota;
    int count = 0;
    json_array_foreach(quotas, i, quota) count += (int)json_object_size(json_object_get(quota, "values"));
    return count;
}

static void image_compare(const struct meta_image *image, const char *name, int64_t next_producer_id)
{
    json_t *state = kafkas_state(name), *item;
    const char *key;
    json_object_foreach(json_object_get(state, "topics"), key, item) topic_compare(image, key, item);
    assert_int_equal(image->topic_count, json_object_size(json_object_get(state, "topics")));
    assert_int_equal(tree_count(image->scrams), json_object_size(json_object_get(state, "scram")));
    assert_int_equal(tree_count(image->acls), json_array_size(json_object_get(state, "acls")));
    assert_int_equal(tree_count(image->quotas), quotas_count(json_object_get(state, "quotas")));
    json_t *others = json_object_get(state, "other_configs");
    sourced_compare(image, META_RESOURCE_BROKER, "1", json_object_get(others, "BROKER:1"), "DYNAMIC_BROKER_CONFIG");
    sourced_compare(image, META_RESOURCE_BROKER, "", json_object_get(others, "BROKER:"),
                    "DYNAMIC_DEFAULT_BROKER_CONFIG");
    sourced_compare(image, META_RESOURCE_GROUP, "g-share", json_object_get(others, "GROUP:g-share"),
                    "DYNAMIC_GROUP_CONFIG");
    assert_int_equal(image->metadata_version, 30);
    assert_int_equal(image->next_producer_id, next_producer_id);
    json_decref(state);
}

static void what_kafka_stopped_cleanly_opens(void **state)
{
    struct story *story = *state;
    story_unpack(story, "clean.tar.gz", "data");
    const struct meta_image *image = ctrl_view(story_open(story));
    image_compare(image, "clean", 1000);
    assert_int_equal(ctrl_leader_epoch(story->ctrl), 2);
    const struct meta_partition *partition = story_partition(story, "plain", 2);
    assert_int_equal(partition->leader, -1);
    assert_int_equal(partition->leader_epoch, 1);
    assert_int_equal(partition->isr_count, 0);
    assert_int_equal(partition->elr_count, 1);
    assert_int_equal(partition->elr[0], 1);
    assert_true(meta_broker(image, 1)->fenced);
    assert_int_equal(meta_broker(image, 1)->epoch, 13);
}

static void what_kafka_left_when_killed_opens(void **state)
{
    struct story *story = *state;
    story_unpack(story, "killed.tar.gz", "data");
    const struct meta_image *image = ctrl_view(story_open(story));
    image_compare(image, "killed", 2000);
    assert_int_equal(ctrl_leader_epoch(story->ctrl), 3);
    assert_int_equal(story_partition(story, "plain", 2)->leader, 1);
    assert_int_equal(story_partition(story, "plain", 2)->leader_epoch, 2);
    assert_false(meta_broker(image, 1)->fenced);
    assert_int_equal(meta_broker(image, 1)->epoch, 285);
}

static void any_snapshot_and_the_log_behind_it_are_the_whole_log(void **state)
{
    struct story *story = *state;
    story_unpack(story, "killed.tar.gz", "data");
    story_open(story);
    int64_t epoch = story_start_broker(story, 1, -1), first;
    int32_t count; // Kafka's snapshots forget who had the last block: here it is somebody of the log
    assert_ok(ctrl_producer_ids_allocate(story->ctrl, 1, epoch, STORY_MS, &first, &count));
    struct ctrl__snapshots snapshots;
    assert_ok(ctrl__snapshots_list(story->metadata, false, &snapshots));
    assert_int_equal(snapshots.count, 7);
    for (int i = 0; i < snapshots.count; i++) {
        char path[CTRL_PATH_BYTES];
        int64_t size_bytes;
        struct ctrl__quorum quorum = {0};
        struct meta_builder *builder = meta_builder_create(NULL);
        ctrl__snapshot_path(story->metadata, snapshots.ids[i], path);
        assert_ok(ctrl__replay_snapshot(path, snapshots.ids[i], builder, &quorum));
        assert_ok(ctrl__replay_log(story->ctrl->log, snapshots.ids[i].end_offset, builder, &quorum, &size_bytes));
        assert_true(meta_image_equal(ctrl_view(story->ctrl), meta_builder_view(builder)));
        assert_int_equal(quorum.kraft_version, 1);
        assert_true(quorum.voters_in_log);
        meta_builder_free(builder);
        buffer_free(&quorum.voters);
    }
    ctrl__snapshots_free(&snapshots);
}

static void our_snapshot_gives_the_same_image(void **state)
{
    struct story *story = *state;
    story_unpack(story, "clean.tar.gz", "data");
    story_open(story);
    struct meta_image *before = ctrl_image(story->ctrl);
    assert_ok(ctrl_snapshot(story->ctrl, story->now_ms));
    struct meta_builder *builder = meta_builder_create(NULL);
    struct ctrl__quorum quorum = {0};
    char path[CTRL_PATH_BYTES];
    ctrl__snapshot_path(story->metadata, story->ctrl->snapshot, path);
    assert_ok(ctrl__replay_snapshot(path, story->ctrl->snapshot, builder, &quorum));
    assert_true(meta_image_equal(before, meta_builder_view(builder)));
    assert_int_equal(meta_builder_view(builder)->offset, before->offset);
    assert_int_equal(meta_builder_view(builder)->timestamp_ms, before->timestamp_ms);
    assert_int_equal(quorum.kraft_version, 1);
    assert_true(quorum.voters.size > 0 && quorum.voters_in_log);
    meta_builder_free(builder);
    buffer_free(&quorum.voters);
    meta_image_unref(before);
}

/* ---- static voters */
static void static_format(struct story *story)
{
    const char *dirs[] = {story->data};
    struct ctrl_format_options options = {.node_id = 1,
                                          .log_dirs = dirs,
                                          .log_dir_count = 1,
                                          .metadata_dir = story->data,
                                          .controller = story->options.controller,
                                          .static_voters = true,
                                          .now_ms = STORY_MS};
    assert_ok(ctrl_format(&options));
}

static void a_static_voter_leads_too(void **state)
{
    struct story *story = *state;
    static_format(story);
    meta_settings_set(story->settings, "controller.quorum.voters", "1@127.0.0.1:41093");
    story_open(story);
    assert_file(story, "__cluster_metadata-0/quorum-state",
                "{\"clusterId\":\"\",\"leaderId\":1,\"leaderEpoch\":1,\"votedId\":-1,\"appliedOffset\":0,"
                "\"currentVoters\":[{\"voterId\":1}],\"data_version\":0}");
    assert_int_equal(ctrl_end_offset(story->ctrl), 11); // LeaderChange alone, 9 of the bootstrap, RegisterController
    assert_ok(ctrl_snapshot(story->ctrl, story->now_ms));
    story_close(story);
    assert_int_equal(ctrl_leader_epoch(story_open(story)), 2);
}

/* ---- refusals */
static void assert_refused(struct story *story, int error)
{
    struct ctrl *ctrl = NULL;
    assert_int_equal(ctrl_open(&story->options, &ctrl).error, error);
    assert_null(ctrl);
}

static void without_a_voter_it_does_not_open(void **state)
{
    struct story *story = *state;
    static_format(story);
    assert_refused(story, ENOTSUP);
    meta_settings_set(story->settings, "controller.quorum.voters", "2@127.0.0.1:41093");
    assert_refused(story, ENOTSUP);
    meta_settings_set(story->settings, "controller.quorum.voters", "1@127.0.0.1:41093,2@127.0.0.1:41094");
    assert_refused(story, ENOTSUP);
}

static void another_node_does_not_open_it(void **state)
{
    struct story *story = *state;
    assert_refused(story, ENOENT); // not formatted
    story_format(story);
    story->options.node_id = 2;
    assert_refused(story, EINVAL);
    struct dir_properties properties;
    bool exists;
    assert_ok(dir_properties_read(story->data, &properties, &exists));
    properties.directory_id = ctrl__uuid_random(); // a copy
    assert_ok(dir_properties_write(story->data, &properties));
    story->options.node_id = 1;
    assert_refused(story, ENOTSUP);
}

static void quorum_write(struct story *story, int16_t kraft_version, int voter_count)
{
    struct ctrl__quorum quorum = {.kraft_version = kraft_version};
    struct voters_record_voter voters[2];
    struct voters_record record;
    struct wire_writer w;
    voters_record_init(&record);
    for (int i = 0; i < voter_count; i++) {
        voters_record_voter_init(&voters[i]);
        voters[i].voter_id = i + 1;
        voters[i].voter_directory_id = story_directory_id(story);
    }
    record.voters = voters;
    record.voters_count = voter_count;
    wire_writer_init(&w, 1 << 20);
    voters_record_write(&w, 0, &record);
    buffer_append(&quorum.voters, w.data, w.size);
    assert_ok(ctrl__snapshot_write(story->metadata, (struct ctrl__snapshot_id){0}, &quorum, NULL, 0, STORY_MS));
    wire_writer_free(&w);
    buffer_free(&quorum.voters);
}

static void a_quorum_of_more_than_this_node_is_refused(void **state)
{
    struct story *story = *state;
    story_format(story);
    quorum_write(story, 1, 2);
    assert_refused(story, ENOTSUP);
    quorum_write(story, 2, 1); // a kraft.version to come
    assert_refused(story, ENOTSUP);
    quorum_write(story, 1, 1);
    story_open(story);
}

static void byte_turn(struct story *story, const char *name, int64_t position)
{
    char path[STORY_PATH_BYTES];
    uint8_t byte;
    story_path(story, name, path);
    int file = io_open(path, IO_WRITE);
    assert_true(file >= 0);
    assert_int_equal(io_pread(file, &byte, 1, position), 1);
    byte ^= 0xff;
    assert_int_equal(io_pwrite(file, &byte, 1, position), 1);
    io_close(file);
}

static void a_damaged_snapshot_is_not_believed(void **state)
{
    struct story *story = *state;
    static const char NAME[] = "__cluster_metadata-0/00000000000000000278-0000000001.checkpoint";
    story_unpack(story, "clean.tar.gz", "data");
    byte_turn(story, NAME, 3000);
    assert_refused(story, EBADMSG);
    byte_turn(story, NAME, 3000);
    char path[STORY_PATH_BYTES];
    story_path(story, NAME, path);
    int file = io_open(path, IO_WRITE);
    assert_int_equal(io_truncate(file, 7075), 0); // the footer's batch is gone
    io_close(file);
    assert_refused(story, EBADMSG);
}

static void a_log_that_ends_before_its_snapshot_is_refused(void **state)
{
    struct story *story = *state;
    char path[STORY_PATH_BYTES];
    story_unpack(story, "clean.tar.gz", "data");
    story_path(story, "__cluster_metadata-0/00000000000000000000.log", path);
    int file = io_open(path, IO_WRITE);
    assert_int_equal(io_truncate(file, 4456), 0);
    io_close(file);
    assert_refused(story, EIO);
    io_unlink(path);
    assert_refused(story, EIO);
}

static void a_torn_end_is_cut_and_an_unknown_record_is_refused(void **state)
{
    struct story *story = *state;
    story_format(story);
    story_open(story);
    story_start_broker(story, 1, -1);
    story_topic(story, "kept", 1, 1);
    assert_ok(ctrl_flush(story->ctrl));
    int64_t end = ctrl_end_offset(story->ctrl);
    story_topic(story, "torn", 1, 1);
    story_kill(story);
    struct buffer bytes CLEANUP(buffer_free) = {0};
    char path[STORY_PATH_BYTES];
    story_read(story, "__cluster_metadata-0/00000000000000000000.log", &bytes);
    story_path(story, "__cluster_metadata-0/00000000000000000000.log", path);
    int file = io_open(path, IO_WRITE);
    assert_int_equal(io_truncate(file, (int64_t)bytes.size - 5), 0);
    io_close(file);
    story_open(story);
    assert_int_equal(ctrl_end_offset(story->ctrl), end + 2); // LeaderChange, RegisterController
    assert_non_null(meta_topic_by_name(ctrl_view(story->ctrl), slice_str("kept")));
    assert_null(meta_topic_by_name(ctrl_view(story->ctrl), slice_str("torn")));
    record_builder_begin(&story->ctrl->batch);
    const uint8_t unknown[] = {1, 99, 0, 0};
    record_builder_add(&story->ctrl->batch, STORY_MS, SLICE_NULL, slice_of(unknown, sizeof unknown));
    assert_ok(ctrl__append(
        story->ctrl,
        ctrl__batch_finish(&story->ctrl->batch, false, ctrl_end_offset(story->ctrl), ctrl_leader_epoch(story->ctrl)),
        STORY_MS));
    story_close(story);
    assert_refused(story, ENOTSUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_new_log_begins_as_kafkas_does),
        story_test(a_new_cluster_has_kafkas_levels),
        story_test(every_start_has_a_new_epoch),
        story_test(an_epoch_is_on_the_disk_before_it_writes),
        story_test(what_kafka_stopped_cleanly_opens),
        story_test(what_kafka_left_when_killed_opens),
        story_test(any_snapshot_and_the_log_behind_it_are_the_whole_log),
        story_test(our_snapshot_gives_the_same_image),
        story_test(a_static_voter_leads_too),
        story_test(without_a_voter_it_does_not_open),
        story_test(another_node_does_not_open_it),
        story_test(a_quorum_of_more_than_this_node_is_refused),
        story_test(a_damaged_snapshot_is_not_believed),
        story_test(a_log_that_ends_before_its_snapshot_is_refused),
        story_test(a_torn_end_is_cut_and_an_unknown_record_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
