// SPDX-License-Identifier: Apache-2.0
/* broker/unregister_test.c - the story of a node that is unregistered while it works: it leads nothing, stops in good order,
 * and is whole again after its next start.
 */
#include "broker/broker_test.h"
#include "wire/gen/describe_cluster.h"
#include "wire/gen/unregister_broker.h"

static int16_t unregister(struct story *story, int32_t node_id)
{
    struct unregister_broker_request body;
    unregister_broker_request_init(&body);
    body.broker_id = node_id;
    struct unregister_broker_response *answer = story_call(story, API_UNREGISTER_BROKER, 0, &body);
    return answer->error_code;
}

static int32_t brokers_count(struct story *story)
{
    struct describe_cluster_request body;
    describe_cluster_request_init(&body);
    struct describe_cluster_response *answer = story_call(story, API_DESCRIBE_CLUSTER, 0, &body);
    return answer->brokers_count;
}

static void a_node_that_is_unregistered_leads_again_after_its_next_start(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "before"), 0);
    assert_int_equal(unregister(story, 1), KAFKA_NONE);
    assert_int_equal(brokers_count(story), 0);
    assert_int_equal(story_produce(story, "t", 0, "meanwhile"), -KAFKA_NOT_LEADER_OR_FOLLOWER);
    assert_int_equal(unregister(story, 1), KAFKA_BROKER_ID_NOT_REGISTERED);
    story_stop(story);
    story_start(story);
    assert_int_equal(brokers_count(story), 1);
    assert_int_equal(story_produce(story, "t", 0, "after"), 1);
    story_stop(story);
}

static void a_node_that_is_unregistered_may_be_killed(void **state)
{
    struct story *story = *state;
    story_start(story);
    assert_int_equal(story_create(story, "t", 1), KAFKA_NONE);
    assert_int_equal(story_produce(story, "t", 0, "before"), 0);
    assert_int_equal(unregister(story, 1), KAFKA_NONE);
    story_kill(story);
    story_start(story);
    assert_int_equal(story_produce(story, "t", 0, "after"), 1);
    story_stop(story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_that_is_unregistered_leads_again_after_its_next_start, story_begin,
                                        story_clean),
        cmocka_unit_test_setup_teardown(a_node_that_is_unregistered_may_be_killed, story_begin, story_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
