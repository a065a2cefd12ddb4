// SPDX-License-Identifier: Apache-2.0
/* ctrl/quotas_test.c - quotas are set, changed, taken back and kept. What is refused is told to Apache Kafka too, in the
 * oracle; here is what has an effect.
 */
#include "ctrl/ctrl_test.h"

static struct story *begin(void **state)
{
    struct story *story = *state;
    story_format(story);
    story_open(story);
    return story;
}

static struct meta_quota_part user(const char *name)
{
    return (struct meta_quota_part){slice_str("user"), slice_str(name)};
}

static struct ctrl_result set(struct story *story, struct meta_quota_part part, const char *key, double value,
                              bool validate_only)
{
    struct ctrl_quota_op op = {slice_str(key), value, value == 0};
    struct ctrl_quota_change change = {&part, 1, &op, 1};
    struct ctrl_result result;
    assert_ok(ctrl_alter_quotas(story->ctrl, &change, 1, validate_only, &story->arena, STORY_MS, &result));
    return result;
}

static double value(const struct story *story, struct meta_quota_part part, const char *key)
{
    const struct meta_quota *quota = meta_quota(ctrl_view(story->ctrl), &part, 1, slice_str(key));
    return quota ? quota->value : -1;
}

static void a_quota_is_kept_changed_and_taken_back(void **state)
{
    struct story *story = begin(state);
    struct ctrl_result made = set(story, user("alice"), "producer_byte_rate", 1000, false);
    assert_result(&made, KAFKA_NONE, NULL);
    story_close(story);
    story_open(story);
    assert_true(value(story, user("alice"), "producer_byte_rate") == 1000);
    struct ctrl_result changed = set(story, user("alice"), "producer_byte_rate", 2000, false);
    assert_result(&changed, KAFKA_NONE, NULL);
    assert_true(value(story, user("alice"), "producer_byte_rate") == 2000);
    struct ctrl_result gone = set(story, user("alice"), "producer_byte_rate", 0, false);
    assert_result(&gone, KAFKA_NONE, NULL);
    assert_true(value(story, user("alice"), "producer_byte_rate") == -1);
}

static void the_default_entity_is_another(void **state)
{
    struct story *story = begin(state);
    struct ctrl_result made = set(story, user(NULL), "request_percentage", 12.5, false);
    assert_result(&made, KAFKA_NONE, NULL);
    assert_true(value(story, user(NULL), "request_percentage") == 12.5);
    assert_true(value(story, user("alice"), "request_percentage") == -1);
}

static void checking_and_repeating_write_nothing(void **state)
{
    struct story *story = begin(state);
    struct ctrl_result made = set(story, user("alice"), "producer_byte_rate", 1000, false);
    assert_result(&made, KAFKA_NONE, NULL);
    int64_t end = ctrl_end_offset(story->ctrl);
    struct ctrl_result again = set(story, user("alice"), "producer_byte_rate", 1000, false);
    struct ctrl_result checked = set(story, user("alice"), "producer_byte_rate", 3000, true);
    struct ctrl_result nothing = set(story, user("bob"), "producer_byte_rate", 0, false);
    assert_result(&again, KAFKA_NONE, NULL);
    assert_result(&checked, KAFKA_NONE, NULL);
    assert_result(&nothing, KAFKA_NONE, NULL);
    assert_int_equal(ctrl_end_offset(story->ctrl), end);
}

static void a_refused_key_leaves_the_others_of_its_entity_alone(void **state)
{
    struct story *story = begin(state);
    struct meta_quota_part part = user("alice");
    struct ctrl_quota_op ops[] = {{slice_str("producer_byte_rate"), 1000, false}, {slice_str("no_rate"), 1, false}};
    struct ctrl_quota_change change = {&part, 1, ops, 2};
    struct ctrl_result result;
    assert_ok(ctrl_alter_quotas(story->ctrl, &change, 1, false, &story->arena, STORY_MS, &result));
    assert_result(&result, KAFKA_INVALID_REQUEST, "Invalid configuration key no_rate");
    assert_true(value(story, part, "producer_byte_rate") == -1);
}

static void an_entity_that_comes_again_is_refused_and_what_came_first_counts(void **state)
{
    struct story *story = begin(state);
    struct meta_quota_part part = user("alice");
    struct ctrl_quota_op first = {slice_str("producer_byte_rate"), 1000, false};
    struct ctrl_quota_op second = {slice_str("producer_byte_rate"), 2000, false};
    struct ctrl_quota_change changes[] = {{&part, 1, &first, 1}, {&part, 1, &second, 1}};
    struct ctrl_result results[2];
    assert_ok(ctrl_alter_quotas(story->ctrl, changes, 2, false, &story->arena, STORY_MS, results));
    assert_result(&results[1], KAFKA_INVALID_REQUEST,
                  "Ignoring duplicate entity ClientQuotaEntity(entries={user=alice})");
    assert_true(value(story, part, "producer_byte_rate") == 1000);
}

/* Looking at each pair of them would hold the controller up for minutes. */
static void very_many_keys_are_looked_at_one_by_one(void **state)
{
    enum { KEYS = 200000 };
    struct story *story = begin(state);
    struct meta_quota_part part = user("alice");
    struct ctrl_quota_op *ops = mem_alloc(KEYS * sizeof *ops);
    for (int i = 0; i < KEYS; i++)
        ops[i] = (struct ctrl_quota_op){arena_printf(&story->arena, "key-%d", i), 1, false};
    struct ctrl_quota_change change = {&part, 1, ops, KEYS};
    struct ctrl_result result;
    assert_ok(ctrl_alter_quotas(story->ctrl, &change, 1, false, &story->arena, STORY_MS, &result));
    assert_result(&result, KAFKA_INVALID_REQUEST, "Invalid configuration key key-0");
    ops[KEYS - 1] = ops[0];
    assert_ok(ctrl_alter_quotas(story->ctrl, &change, 1, false, &story->arena, STORY_MS, &result));
    assert_result(&result, KAFKA_INVALID_REQUEST, "Ignoring duplicate entity ClientQuotaEntity(entries={user=alice})");
    mem_free(ops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_quota_is_kept_changed_and_taken_back),
        story_test(the_default_entity_is_another),
        story_test(checking_and_repeating_write_nothing),
        story_test(a_refused_key_leaves_the_others_of_its_entity_alone),
        story_test(an_entity_that_comes_again_is_refused_and_what_came_first_counts),
        story_test(very_many_keys_are_looked_at_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
