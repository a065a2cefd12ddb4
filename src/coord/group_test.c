// SPDX-License-Identifier: Apache-2.0
/* coord/group_test.c - stories of classic groups: members come, stay, go silent, come back. */
#include "coord/story__.h"

struct pair {
    const struct join_group_response *leader, *follower;
};

/* Two members, joined and synced. */
static struct pair two_members(struct story *s)
{
    struct coord_call *a = story_join_twice(s), *b = story_join_twice(s);
    assert_false(a->done || b->done);
    story_wait(s, 9001); // the initial delay, thrice, since members kept coming
    struct pair p = {story_joined(a), story_joined(b)};
    struct coord_call *follower = story_sync(s, p.follower);
    assert_false(follower->done);
    struct coord_call *leader = story_sync(s, p.leader);
    assert_true(leader->done && follower->done);
    return p;
}

static void two_members_share_a_generation(void **state)
{
    struct story s;
    story_begin(&s);
    struct coord_call *a = story_join_twice(&s), *b = story_join_twice(&s);
    story_state_is(&s, "PreparingRebalance");
    story_wait(&s, 9001);
    const struct join_group_response *leader = story_joined(a), *follower = story_joined(b);
    assert_int_equal(leader->generation_id, 1);
    assert_int_equal(leader->members_count, 2);
    assert_int_equal(follower->members_count, 0);
    assert_true(slice_equal(follower->leader, leader->member_id));
    story_state_is(&s, "CompletingRebalance");
    struct coord_call *waiting = story_sync(&s, follower);
    assert_false(waiting->done);
    const struct sync_group_response *synced = story_sync(&s, leader)->response;
    assert_true(slice_equal(synced->assignment, leader->member_id));
    assert_true(slice_equal(((const struct sync_group_response *)waiting->response)->assignment, follower->member_id));
    story_state_is(&s, "Stable");
    assert_int_equal(story_heartbeat(&s, follower), KAFKA_NONE);
    story_end(&s);
}

static void assignments_wait_for_their_commit(void **state)
{
    struct story s;
    story_begin(&s);
    struct coord_call *join = story_join_twice(&s);
    story_wait(&s, 6001);
    s.hold_commits = true;
    struct coord_call *sync = story_sync(&s, story_joined(join));
    assert_false(sync->done);
    story_state_is(&s, "CompletingRebalance");
    coord_shard_committed(s.shard, s.last_token, s.time);
    story_run(&s);
    assert_true(sync->done);
    story_state_is(&s, "Stable");
    story_end(&s);
}

static void failed_append_is_told_to_who_waits(void **state)
{
    struct story s;
    story_begin(&s);
    struct coord_call *join = story_join_twice(&s);
    story_wait(&s, 6001);
    s.hold_commits = true;
    struct coord_call *sync = story_sync(&s, story_joined(join));
    coord_shard_fail(s.shard, KAFKA_NOT_LEADER_OR_FOLLOWER);
    story_run(&s);
    assert_true(sync->done);
    assert_int_equal(((const struct sync_group_response *)sync->response)->error_code, KAFKA_NOT_COORDINATOR);
    assert_false(coord_shard_is_loaded(s.shard));
    assert_int_equal(story_commit_error(story_commit(&s, slice_str(""), -1, 5)), KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    story_end(&s);
}

static void who_leaves_makes_the_rest_rebalance(void **state)
{
    struct story s;
    story_begin(&s);
    struct pair p = two_members(&s);
    const struct leave_group_response *left = story_leave(&s, p.follower->member_id, NULL)->response;
    assert_int_equal(left->members->error_code, KAFKA_NONE);
    assert_int_equal(story_heartbeat(&s, p.follower), KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(story_heartbeat(&s, p.leader), KAFKA_REBALANCE_IN_PROGRESS);
    const struct join_group_response *again = story_joined(story_join(&s, 9, p.leader->member_id, NULL));
    assert_int_equal(again->generation_id, 2);
    assert_int_equal(again->members_count, 1);
    story_leave(&s, again->member_id, NULL);
    story_state_is(&s, "Empty");
    story_end(&s);
}

static void silent_leader_is_replaced(void **state)
{
    struct story s;
    story_begin(&s);
    struct pair p = two_members(&s);
    story_wait(&s, 6000);
    assert_int_equal(story_heartbeat(&s, p.follower), KAFKA_NONE);
    story_wait(&s, 6000);
    assert_int_equal(story_heartbeat(&s, p.follower), KAFKA_REBALANCE_IN_PROGRESS);
    const struct join_group_response *again = story_joined(story_join(&s, 9, p.follower->member_id, NULL));
    assert_true(slice_equal(again->leader, p.follower->member_id));
    assert_int_equal(again->members_count, 1);
    story_end(&s);
}

static void member_that_does_not_rejoin_is_removed(void **state)
{
    struct story s;
    story_begin(&s);
    struct pair p = two_members(&s);
    struct coord_call *again = story_join(&s, 9, p.leader->member_id, NULL); // a leader's join is a rebalance
    for (int i = 0; i < 7; i++) {
        assert_false(again->done);
        assert_int_equal(story_heartbeat(&s, p.follower), KAFKA_REBALANCE_IN_PROGRESS);
        story_wait(&s, i < 6 ? 9000 : 6001); // 60 s in all
    }
    assert_int_equal(story_joined(again)->members_count, 1);
    assert_int_equal(story_heartbeat(&s, p.follower), KAFKA_UNKNOWN_MEMBER_ID);
    story_end(&s);
}

static void member_that_never_syncs_is_removed(void **state)
{
    struct story s;
    story_begin(&s);
    struct coord_call *a = story_join_twice(&s), *b = story_join_twice(&s);
    story_wait(&s, 9001);
    const struct join_group_response *leader = story_joined(a), *follower = story_joined(b);
    assert_true(story_sync(&s, leader)->done);
    for (int i = 0; i < 8; i++) {
        (void)story_heartbeat(&s, leader);
        (void)story_heartbeat(&s, follower); // alive, yet without its assignment
        story_wait(&s, 8000);
    }
    assert_int_equal(story_heartbeat(&s, follower), KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(story_heartbeat(&s, leader), KAFKA_REBALANCE_IN_PROGRESS);
    story_end(&s);
}

static void static_member_restarts_without_rebalance(void **state)
{
    struct story s;
    story_begin(&s);
    struct coord_call *join = story_join(&s, 9, slice_str(""), "i1");
    story_wait(&s, 6001);
    const struct join_group_response *old = story_joined(join);
    assert_true(story_sync(&s, old)->done);
    const struct join_group_response *new = story_joined(story_join(&s, 9, slice_str(""), "i1"));
    assert_int_equal(new->error_code, KAFKA_NONE);
    assert_int_equal(new->generation_id, old->generation_id);
    assert_true(new->skip_assignment);
    assert_false(slice_equal(new->member_id, old->member_id));
    const struct sync_group_response *kept = story_sync(&s, new)->response;
    assert_true(slice_equal(kept->assignment, old->member_id)); // what the old one had
    const struct join_group_response *fenced = story_joined(story_join(&s, 9, old->member_id, "i1"));
    assert_int_equal(fenced->error_code, KAFKA_FENCED_INSTANCE_ID);
    const struct leave_group_response *left = story_leave(&s, slice_str(""), "i1")->response;
    assert_int_equal(left->members->error_code, KAFKA_NONE);
    story_state_is(&s, "Empty");
    story_end(&s);
}

static void replay_gives_the_same_group(void **state)
{
    struct story s;
    story_begin(&s);
    struct pair p = two_members(&s);
    story_restart(&s);
    const struct describe_groups_response_described_group *group = story_describe(&s);
    assert_true(slice_equal_str(group->group_state, "Stable"));
    assert_int_equal(group->members_count, 2);
    assert_true(slice_equal(group->members[0].member_assignment, group->members[0].member_id));
    assert_int_equal(story_heartbeat(&s, p.leader), KAFKA_NONE);
    story_wait(&s, 10001);
    assert_int_equal(story_heartbeat(&s, p.leader), KAFKA_UNKNOWN_MEMBER_ID); // sessions began anew, and ended
    story_end(&s);
}

static void unused_ids_are_forgotten(void **state)
{
    struct story s;
    story_begin(&s);
    const struct join_group_response *id = story_joined(story_join(&s, 9, slice_str(""), NULL));
    story_wait(&s, 10001);
    assert_int_equal(story_joined(story_join(&s, 9, id->member_id, NULL))->error_code, KAFKA_UNKNOWN_MEMBER_ID);
    story_end(&s);
}

static void full_group_turns_away(void **state)
{
    struct story s;
    story_begin(&s);
    coord_shard_fail(s.shard, KAFKA_NOT_COORDINATOR);
    coord_shard_free(s.shard);
    s.settings.group_max_size = 1;
    s.shard = coord_shard_create(&s.settings);
    coord_shard_loaded(s.shard, s.time);
    struct coord_call *first = story_join_twice(&s);
    const struct join_group_response *second = story_joined(story_join(&s, 9, slice_str(""), NULL));
    assert_int_equal(second->error_code, KAFKA_GROUP_MAX_SIZE_REACHED);
    assert_false(first->done);
    story_end(&s);
}

static void a_shard_full_of_members_turns_new_ones_away_and_keeps_what_it_has(void **state)
{
    struct story s;
    story_begin(&s);
    coord_shard_fail(s.shard, KAFKA_NOT_COORDINATOR);
    coord_shard_free(s.shard);
    s.settings.shard_member_bytes_max = 1500; // of one member, not of two
    s.shard = coord_shard_create(&s.settings);
    coord_shard_loaded(s.shard, s.time);
    struct coord_call *first = story_join_twice(&s);
    size_t groups = coord_shard_counts(s.shard).groups;
    const struct join_group_response *second = story_joined(story_join(&s, 9, slice_str(""), NULL));
    assert_int_equal(second->error_code, KAFKA_GROUP_MAX_SIZE_REACHED);
    assert_int_equal(coord_shard_counts(s.shard).groups, groups);
    assert_false(first->done);
    story_wait(&s, 3001);
    const struct join_group_response *joined = story_joined(first);
    assert_int_equal(joined->error_code, KAFKA_NONE);
    story_wait(&s, 400000); // it never syncs, and goes
    assert_int_equal(coord_shard_counts(s.shard).member_bytes, 0);
    second = story_joined(story_join(&s, 9, slice_str(""), NULL));
    assert_int_equal(second->error_code, KAFKA_MEMBER_ID_REQUIRED);
    story_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_members_share_a_generation),
        cmocka_unit_test(assignments_wait_for_their_commit),
        cmocka_unit_test(failed_append_is_told_to_who_waits),
        cmocka_unit_test(who_leaves_makes_the_rest_rebalance),
        cmocka_unit_test(silent_leader_is_replaced),
        cmocka_unit_test(member_that_does_not_rejoin_is_removed),
        cmocka_unit_test(member_that_never_syncs_is_removed),
        cmocka_unit_test(static_member_restarts_without_rebalance),
        cmocka_unit_test(replay_gives_the_same_group),
        cmocka_unit_test(unused_ids_are_forgotten),
        cmocka_unit_test(full_group_turns_away),
        cmocka_unit_test(a_shard_full_of_members_turns_new_ones_away_and_keeps_what_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
