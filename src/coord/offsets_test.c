// SPDX-License-Identifier: Apache-2.0
/* coord/offsets_test.c - stories of committed offsets: seen when committed, kept over a restart, gone with their group. */
#include "coord/story__.h"

static void offset_shows_when_committed(void **state)
{
    struct story s;
    story_begin(&s);
    assert_int_equal(story_offset(&s), -1);
    s.hold_commits = true;
    struct coord_call *commit = story_commit(&s, slice_str(""), -1, 42);
    assert_false(commit->done);
    assert_int_equal(story_offset(&s), -1);
    coord_shard_committed(s.shard, s.last_token, s.time);
    story_run(&s);
    assert_int_equal(story_commit_error(commit), KAFKA_NONE);
    assert_int_equal(story_offset(&s), 42);
    story_end(&s);
}

static void failed_commit_leaves_the_old_offset(void **state)
{
    struct story s;
    story_begin(&s);
    (void)story_commit(&s, slice_str(""), -1, 1);
    size_t kept = s.log_count;
    s.hold_commits = true;
    struct coord_call *commit = story_commit(&s, slice_str(""), -1, 2);
    s.log_count = kept; // the append failed
    story_restart(&s);
    assert_int_equal(story_commit_error(commit), KAFKA_NOT_COORDINATOR);
    assert_int_equal(story_offset(&s), 1);
    story_end(&s);
}

static void offsets_never_go_back(void **state)
{
    struct story s;
    story_begin(&s);
    s.hold_commits = true;
    for (int64_t offset = 1; offset <= 20; offset++)
        (void)story_commit(&s, slice_str(""), -1, offset);
    for (uint64_t token = 1; token <= s.last_token; token++) {
        int64_t before = story_offset(&s);
        coord_shard_committed(s.shard, token, s.time);
        story_run(&s);
        assert_true(story_offset(&s) > before);
    }
    assert_int_equal(story_offset(&s), 20);
    s.hold_commits = false;
    story_restart(&s);
    assert_int_equal(story_offset(&s), 20); // replay equals live
    story_end(&s);
}

static void only_members_commit_to_a_group_with_members(void **state)
{
    struct story s;
    story_begin(&s);
    struct coord_call *join = story_join_twice(&s);
    story_wait(&s, 6001);
    const struct join_group_response *me = story_joined(join);
    assert_int_equal(story_commit_error(story_commit(&s, me->member_id, 1, 7)), KAFKA_REBALANCE_IN_PROGRESS);
    (void)story_sync(&s, me);
    assert_int_equal(story_commit_error(story_commit(&s, me->member_id, 1, 7)), KAFKA_NONE);
    assert_int_equal(story_commit_error(story_commit(&s, me->member_id, 0, 7)), KAFKA_ILLEGAL_GENERATION);
    assert_int_equal(story_commit_error(story_commit(&s, slice_str("x"), 1, 7)), KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(story_commit_error(story_commit(&s, slice_str(""), -1, 7)), KAFKA_UNKNOWN_MEMBER_ID);
    story_end(&s);
}

static void commit_is_a_sign_of_life(void **state)
{
    struct story s;
    story_begin(&s);
    struct coord_call *join = story_join_twice(&s);
    story_wait(&s, 6001);
    const struct join_group_response *me = story_joined(join);
    (void)story_sync(&s, me);
    for (int i = 0; i < 5; i++) {
        story_wait(&s, 9000);
        assert_int_equal(story_commit_error(story_commit(&s, me->member_id, 1, i)), KAFKA_NONE);
    }
    story_end(&s);
}

static void long_metadata_is_refused(void **state)
{
    struct story s;
    story_begin(&s);
    coord_shard_fail(s.shard, KAFKA_NOT_COORDINATOR);
    coord_shard_free(s.shard);
    s.settings.offset_metadata_max_bytes = 3;
    s.shard = coord_shard_create(&s.settings);
    coord_shard_loaded(s.shard, s.time);
    assert_int_equal(story_commit_error(story_commit(&s, slice_str(""), -1, 1)), KAFKA_OFFSET_METADATA_TOO_LARGE);
    assert_int_equal(s.log_count, 0);
    assert_int_equal(coord_shard_counts(s.shard).groups, 0); // nothing is left of the attempt
    story_end(&s);
}

static int16_t delete_group(struct story *s, struct coord_call **ret_call)
{
    struct delete_groups_request *r = arena_zalloc(&s->arena, sizeof *r);
    delete_groups_request_init(r);
    r->groups_names = arena_array(&s->arena, 1, sizeof *r->groups_names);
    r->groups_names[0] = slice_str("g");
    r->groups_names_count = 1;
    *ret_call = story_call(s, COORD_DELETE_GROUPS, 2, r);
    return ((const struct delete_groups_response *)(*ret_call)->response)->results->error_code;
}

static int64_t offset_bytes(const struct story *s)
{
    return coord_shard_counts(s->shard).offset_bytes;
}

/* Of the topic and partition of the other stories, by a group of that name. */
static int16_t commit_of_group(struct story *s, const char *group)
{
    struct offset_commit_request *r = arena_zalloc(&s->arena, sizeof *r);
    offset_commit_request_init(r);
    r->group_id = slice_str(group);
    r->topics = arena_array(&s->arena, 1, sizeof *r->topics);
    r->topics_count = 1;
    offset_commit_request_offset_commit_request_topic_init(&r->topics[0]);
    r->topics[0].name = slice_str("t");
    r->topics[0].partitions = arena_array(&s->arena, 1, sizeof *r->topics[0].partitions);
    r->topics[0].partitions_count = 1;
    offset_commit_request_offset_commit_request_partition_init(&r->topics[0].partitions[0]);
    return story_commit_error(story_call(s, COORD_OFFSET_COMMIT, 8, r));
}

static void a_shard_full_of_offsets_refuses_more_and_lets_those_that_are_there_go_on(void **state)
{
    enum { ROOM = 1600 }; // of two groups with one offset each
    struct story s;
    story_begin(&s);
    coord_shard_fail(s.shard, KAFKA_NOT_COORDINATOR);
    coord_shard_free(s.shard);
    s.settings.shard_offset_bytes_max = ROOM;
    s.shard = coord_shard_create(&s.settings);
    coord_shard_loaded(s.shard, s.time);
    assert_int_equal(commit_of_group(&s, "g"), KAFKA_NONE);
    assert_int_equal(commit_of_group(&s, "h"), KAFKA_NONE);
    int64_t full = offset_bytes(&s);
    assert_in_range(full, 1, ROOM);
    assert_int_equal(commit_of_group(&s, "i"), KAFKA_INVALID_COMMIT_OFFSET_SIZE);
    assert_int_equal(coord_shard_counts(s.shard).groups, 2); // nothing is left of the attempt
    assert_int_equal(commit_of_group(&s, "g"), KAFKA_NONE);
    assert_int_equal(offset_bytes(&s), full);
    story_restart(&s);
    assert_int_equal(offset_bytes(&s), full); // replay counts the same
    struct coord_call *call;
    assert_int_equal(delete_group(&s, &call), KAFKA_NONE);
    assert_int_equal(offset_bytes(&s), full / 2);
    assert_int_equal(commit_of_group(&s, "i"), KAFKA_NONE);
    story_end(&s);
}

static void deleting_takes_what_is_on_its_way(void **state)
{
    struct story s;
    struct coord_call *call;
    story_begin(&s);
    s.hold_commits = true;
    (void)story_commit(&s, slice_str(""), -1, 9);
    assert_int_equal(delete_group(&s, &call), KAFKA_NONE);
    assert_false(call->done);
    s.hold_commits = false;
    coord_shard_committed(s.shard, s.last_token, s.time);
    story_run(&s);
    assert_true(call->done);
    assert_int_equal(story_offset(&s), -1);
    assert_int_equal(delete_group(&s, &call), KAFKA_GROUP_ID_NOT_FOUND);
    assert_int_equal(story_describe(&s)->error_code, KAFKA_GROUP_ID_NOT_FOUND);
    story_restart(&s);
    assert_int_equal(story_offset(&s), -1);
    assert_int_equal(coord_shard_counts(s.shard).groups, 0);
    story_end(&s);
}

static void group_with_members_is_not_deleted(void **state)
{
    struct story s;
    struct coord_call *call;
    story_begin(&s);
    (void)story_join_twice(&s);
    assert_int_equal(delete_group(&s, &call), KAFKA_NON_EMPTY_GROUP);
    story_end(&s);
}

static void old_offsets_of_nobody_expire(void **state)
{
    struct story s;
    story_begin(&s);
    (void)story_commit(&s, slice_str(""), -1, 3);
    story_wait(&s, s.settings.offsets_retention_ms - 600000);
    assert_int_equal(story_offset(&s), 3);
    story_wait(&s, 1200001);
    assert_int_equal(story_offset(&s), -1);
    assert_int_equal(coord_shard_counts(s.shard).groups, 0);
    story_restart(&s);
    assert_int_equal(coord_shard_counts(s.shard).offsets, 0);
    story_end(&s);
}

/* Older than any clock can say: its age is as large as it gets, not negative. */
static void the_oldest_commit_expires(void **state)
{
    struct story s;
    struct offset_commit_value value;
    struct wire_writer writer;
    story_begin(&s);
    (void)story_commit(&s, slice_str(""), -1, 3);
    offset_commit_value_init(&value);
    value.offset = 3;
    value.commit_timestamp = INT64_MIN;
    wire_writer_init(&writer, 1024);
    wire_write_i16(&writer, 3);
    offset_commit_value_write(&writer, 3, &value);
    assert_int_equal(s.log_count, 1);
    s.log[0].value = wire_writer_bytes(&writer);
    story_restart(&s);
    assert_int_equal(story_offset(&s), 3);
    story_wait(&s, 1200001);
    assert_int_equal(story_offset(&s), -1);
    wire_writer_free(&writer);
    story_end(&s);
}

static void offsets_of_an_empty_group_expire_by_its_emptiness(void **state)
{
    struct story s;
    story_begin(&s);
    struct coord_call *join = story_join_twice(&s);
    story_wait(&s, 6001);
    const struct join_group_response *me = story_joined(join);
    (void)story_sync(&s, me);
    (void)story_commit(&s, me->member_id, 1, 3);
    for (int i = 0; i < 100; i++) {
        story_wait(&s, 9000);
        assert_int_equal(story_heartbeat(&s, me), KAFKA_NONE);
    }
    (void)story_leave(&s, me->member_id, NULL);
    story_wait(&s, s.settings.offsets_retention_ms - 600000); // the commit is older than that, the emptiness is not
    assert_int_equal(story_offset(&s), 3);
    story_wait(&s, 1200001);
    assert_int_equal(story_offset(&s), -1);
    story_end(&s);
}

/* Key kind 3 is a group of the consumer protocol (KIP-848), as Apache Kafka leaves behind. */
static void groups_of_newer_protocols_stay_as_they_are(void **state)
{
    struct story s;
    story_begin(&s);
    s.log[s.log_count++] = (struct coord_record){slice_of("\0\3\0\1g", 5), slice_of("\0\0\0\0\0\7\0", 7)};
    story_restart(&s);
    struct list_groups_request list;
    list_groups_request_init(&list);
    const struct list_groups_response *groups = story_call(&s, COORD_LIST_GROUPS, 5, &list)->response;
    assert_int_equal(groups->groups_count, 1);
    assert_true(slice_equal_str(groups->groups->group_type, "consumer"));
    assert_int_equal(story_joined(story_join(&s, 9, slice_str(""), NULL))->error_code,
                     KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    assert_int_equal(story_commit_error(story_commit(&s, slice_str(""), -1, 1)), KAFKA_UNKNOWN_MEMBER_ID);
    story_wait(&s, 2 * s.settings.offsets_retention_ms);
    assert_int_equal(s.log_count, 1);
    story_end(&s);
}

static void corrupt_records_are_told(void **state)
{
    struct story s;
    story_begin(&s);
    coord_shard_fail(s.shard, KAFKA_NOT_COORDINATOR);
    assert_false(coord_shard_apply(s.shard, slice_of("\0", 1), SLICE_NULL, 0));
    assert_false(coord_shard_apply(s.shard, slice_of("\0\2\0\5g", 5), SLICE_NULL, 0));
    assert_false(coord_shard_apply(s.shard, slice_of("\0\2\0\1g", 5), slice_of("\0\11", 2), 0)); // version 9
    assert_true(coord_shard_apply(s.shard, slice_of("\0\2\0\1g", 5), SLICE_NULL, 0));
    story_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offset_shows_when_committed),
        cmocka_unit_test(failed_commit_leaves_the_old_offset),
        cmocka_unit_test(offsets_never_go_back),
        cmocka_unit_test(only_members_commit_to_a_group_with_members),
        cmocka_unit_test(commit_is_a_sign_of_life),
        cmocka_unit_test(long_metadata_is_refused),
        cmocka_unit_test(a_shard_full_of_offsets_refuses_more_and_lets_those_that_are_there_go_on),
        cmocka_unit_test(deleting_takes_what_is_on_its_way),
        cmocka_unit_test(group_with_members_is_not_deleted),
        cmocka_unit_test(old_offsets_of_nobody_expire),
        cmocka_unit_test(the_oldest_commit_expires),
        cmocka_unit_test(offsets_of_an_empty_group_expire_by_its_emptiness),
        cmocka_unit_test(groups_of_newer_protocols_stay_as_they_are),
        cmocka_unit_test(corrupt_records_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
