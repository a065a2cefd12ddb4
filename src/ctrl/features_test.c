// SPDX-License-Identifier: Apache-2.0
/* ctrl/features_test.c - feature levels go up and down, or are refused; what goes with ELR and kraft.version. Every refusal of
 * a new cluster is told to Apache Kafka too, in the oracle; here is what only older clusters see.
 */
#include "ctrl/ctrl_test.h"

static const char ELR[] = "eligible.leader.replicas.version", MIN_INSYNC[] = "min.insync.replicas";

static struct story *begin(void **state)
{
    struct story *story = *state;
    story_format(story);
    story_open(story);
    return story;
}

static struct ctrl_result update(struct story *story, const char *name, int16_t level, int8_t type, bool validate_only)
{
    struct ctrl_feature_update one = {slice_str(name), level, type};
    struct ctrl_result result;
    assert_ok(ctrl_update_features(story->ctrl, &one, 1, validate_only, &story->arena, STORY_MS, &result));
    return result;
}

static int16_t level(const struct story *story, const char *name)
{
    return meta_feature_level(ctrl_view(story->ctrl), name);
}

static void a_level_goes_down_and_up_and_is_kept(void **state)
{
    struct story *story = begin(state);
    struct ctrl_result down = update(story, "share.version", 0, CTRL_SAFE_DOWNGRADE, false);
    assert_result(&down, KAFKA_NONE, NULL);
    assert_int_equal(level(story, "share.version"), 0);
    story_close(story);
    story_open(story);
    assert_int_equal(level(story, "share.version"), 0);
    struct ctrl_result up = update(story, "share.version", 1, CTRL_UPGRADE, false);
    assert_result(&up, KAFKA_NONE, NULL);
    assert_int_equal(level(story, "share.version"), 1);
}

static void checking_changes_nothing(void **state)
{
    struct story *story = begin(state);
    int64_t end = ctrl_end_offset(story->ctrl);
    struct ctrl_result result = update(story, "share.version", 0, CTRL_SAFE_DOWNGRADE, true);
    assert_result(&result, KAFKA_NONE, NULL);
    assert_int_equal(level(story, "share.version"), 1);
    assert_int_equal(ctrl_end_offset(story->ctrl), end);
}

static void one_refusal_refuses_all(void **state)
{
    struct story *story = begin(state);
    struct ctrl_feature_update updates[] = {{slice_str("share.version"), 0, CTRL_SAFE_DOWNGRADE},
                                            {slice_str("group.version"), 9, CTRL_UPGRADE}};
    struct ctrl_result result;
    assert_ok(ctrl_update_features(story->ctrl, updates, 2, false, &story->arena, STORY_MS, &result));
    assert_result(&result, KAFKA_INVALID_UPDATE_VERSION,
                  "Invalid update version 9 for feature group.version. Local controller 1 only supports versions 0-1");
    assert_int_equal(level(story, "share.version"), 1);
}

/* What a cluster that was made by 4.2 has; the records before are those of a new one. */
static void metadata_version_set(struct story *story, int16_t version)
{
    struct ctrl__records records CLEANUP(ctrl__records_free);
    struct feature_level_record record;
    ctrl__records_init(&records);
    feature_level_record_init(&record);
    record.name = slice_str("metadata.version");
    record.feature_level = version;
    ctrl__records_add(&records, META_FEATURE_LEVEL, 0, &record);
    assert_ok(ctrl__commit(story->ctrl, &records, STORY_MS));
}

static void metadata_version_goes_down_where_the_records_stay_as_they_are(void **state)
{
    struct story *story = begin(state);
    metadata_version_set(story, 29);
    struct ctrl_result near = update(story, "metadata.version", 23, CTRL_SAFE_DOWNGRADE, false);
    assert_result(&near, KAFKA_NONE, NULL);
    assert_int_equal(ctrl_view(story->ctrl)->metadata_version, 23);
    struct ctrl_result far = update(story, "metadata.version", 22, CTRL_SAFE_DOWNGRADE, false);
    assert_result(&far, KAFKA_INVALID_UPDATE_VERSION,
                  "Unsupported metadata.version downgrade from 23 to 22. Refusing to perform the requested downgrade "
                  "because it might delete metadata information.");
    assert_int_equal(ctrl_view(story->ctrl)->metadata_version, 23);
}

static struct slice setting(const struct story *story, const char *node)
{
    return meta_configs_get(meta_configs(ctrl_view(story->ctrl), META_RESOURCE_BROKER, slice_str(node)),
                            slice_str(MIN_INSYNC));
}

static void elr_goes_up_with_one_minimum_for_all(void **state)
{
    struct story *story = begin(state);
    story_start_broker(story, 1, -1);
    struct ctrl_result down = update(story, ELR, 0, CTRL_SAFE_DOWNGRADE, false);
    assert_result(&down, KAFKA_NONE, NULL);
    struct ctrl_alter alters[] = {{slice_str(MIN_INSYNC), slice_str("2"), CTRL_ALTER_SET}};
    struct ctrl_alter removal = {slice_str(MIN_INSYNC), SLICE_NULL, CTRL_ALTER_DELETE};
    struct ctrl_alter_resource resources[] = {{META_RESOURCE_BROKER, slice_str("1"), alters, 1, false},
                                              {META_RESOURCE_BROKER, slice_str(""), &removal, 1, false}};
    struct ctrl_result altered[2];
    assert_ok(ctrl_alter_configs(story->ctrl, resources, 2, false, &story->arena, STORY_MS, altered));
    assert_slice(setting(story, "1"), "2");
    assert_true(slice_is_null(setting(story, "")));
    struct ctrl_result up = update(story, ELR, 1, CTRL_UPGRADE, false);
    assert_result(&up, KAFKA_NONE, NULL);
    assert_true(slice_is_null(setting(story, "1")));
    assert_slice(setting(story, ""), "1");
}

static void elr_needs_a_metadata_version(void **state)
{
    struct story *story = begin(state);
    struct ctrl_result down = update(story, ELR, 0, CTRL_SAFE_DOWNGRADE, false);
    assert_result(&down, KAFKA_NONE, NULL);
    metadata_version_set(story, 22);
    struct ctrl_result alone = update(story, ELR, 1, CTRL_UPGRADE, false);
    assert_result(&alone, KAFKA_INVALID_UPDATE_VERSION,
                  "Invalid update version 1 for feature eligible.leader.replicas.version. "
                  "eligible.leader.replicas.version could not be set to 1 because it depends on metadata.version level "
                  "23");
    struct ctrl_feature_update both[] = {{slice_str(ELR), 1, CTRL_UPGRADE},
                                         {slice_str("metadata.version"), 23, CTRL_UPGRADE}};
    struct ctrl_result together;
    assert_ok(ctrl_update_features(story->ctrl, both, 2, false, &story->arena, STORY_MS, &together));
    assert_result(&together, KAFKA_NONE, NULL);
}

static void kraft_version_is_raised_for_good(void **state)
{
    struct story *story = *state;
    const char *dirs[] = {story->data};
    struct ctrl_format_options options = {.node_id = 1,
                                          .log_dirs = dirs,
                                          .log_dir_count = 1,
                                          .metadata_dir = story->data,
                                          .controller = story->options.controller,
                                          .static_voters = true,
                                          .now_ms = STORY_MS};
    assert_ok(ctrl_format(&options));
    meta_settings_set(story->settings, "controller.quorum.voters", "1@127.0.0.1:41093");
    story_open(story);
    assert_int_equal(ctrl_kraft_version(story->ctrl), 0);
    struct ctrl_result up = update(story, "kraft.version", 1, CTRL_UPGRADE, false);
    assert_result(&up, KAFKA_NONE, NULL);
    story_close(story);
    meta_settings_set(story->settings, "controller.quorum.voters", NULL); // the log names the voter now
    story_open(story);
    assert_int_equal(ctrl_kraft_version(story->ctrl), 1);
    struct ctrl_result down = update(story, "kraft.version", 0, CTRL_SAFE_DOWNGRADE, false);
    assert_result(&down, KAFKA_INVALID_UPDATE_VERSION,
                  "Invalid update version 0 for feature kraft.version. Can't downgrade the version of this feature.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(a_level_goes_down_and_up_and_is_kept),
        story_test(checking_changes_nothing),
        story_test(one_refusal_refuses_all),
        story_test(metadata_version_goes_down_where_the_records_stay_as_they_are),
        story_test(elr_goes_up_with_one_minimum_for_all),
        story_test(elr_needs_a_metadata_version),
        story_test(kraft_version_is_raised_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
