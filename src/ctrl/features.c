// SPDX-License-Identifier: Apache-2.0
/* ctrl/features.c - feature levels go up and down (KIP-584, 778, 1022).
 *
 * Each update is judged in the order of the request, by Apache Kafka's rules: known type of upgrade, a level that this
 * program serves, lower only when a downgrade is asked for, higher only when it is not; then what the feature itself wants.
 * metadata.version goes down only past versions that left the records as they were. The first refusal refuses all.
 *
 *   eligible.leader.replicas.version  going up writes a cluster-wide min.insync.replicas, and takes those of single brokers
 *                                     away: an ELR is true for one minimum only (KIP-966)
 *   kraft.version                     is no record of metadata but control records, KRaftVersion and Voters; quorum-state
 *                                     follows (KIP-853)
 */
#include "ctrl/ctrl__.h"

static const char METADATA_VERSION[] = "metadata.version", KRAFT_VERSION[] = "kraft.version",
                  ELR_VERSION[] = "eligible.leader.replicas.version", MIN_INSYNC[] = "min.insync.replicas";

enum { ELR_SINCE = 23 }; // metadata.version 4.0-IV1

struct turn {
    struct ctrl *ctrl;
    const struct meta_image *image;
    const struct ctrl_feature_update *updates;
    int32_t count;
    struct arena *arena;
    struct ctrl__records records;
    int16_t kraft_version; // wanted
    struct ctrl_result *result;
};

static bool refuse(struct turn *turn, const struct ctrl_feature_update *update, struct slice why)
{
    ctrl__refuse(turn->result, KAFKA_INVALID_UPDATE_VERSION,
                 arena_printf(turn->arena, "Invalid update version %d for feature %.*s. %.*s", (int)update->level,
                              (int)update->name.size, (const char *)update->name.data, (int)why.size,
                              (const char *)why.data));
    return false;
}

static bool refuse_text(struct turn *turn, const struct ctrl_feature_update *update, const char *why)
{
    return refuse(turn, update, slice_str(why));
}

/* ---- what is so now */
static const struct meta_known_feature *known_find(struct slice name)
{
    int count;
    const struct meta_known_feature *known = meta_known_features(&count);
    for (int i = 0; i < count; i++)
        if (slice_equal_str(name, known[i].name))
            return &known[i];
    return NULL;
}

static int16_t level_now(const struct turn *turn, const struct meta_known_feature *feature)
{
    if (strcmp(feature->name, KRAFT_VERSION) == 0)
        return turn->ctrl->quorum.kraft_version;
    return meta_feature_level(turn->image, feature->name);
}

/* metadata.version as it will be. */
static int16_t metadata_version_then(const struct turn *turn)
{
    for (int32_t i = 0; i < turn->count; i++)
        if (slice_equal_str(turn->updates[i].name, METADATA_VERSION))
            return turn->updates[i].level;
    return turn->image->metadata_version;
}

/* ---- judging */
static bool is_supported(struct turn *turn, const struct ctrl_feature_update *update,
                         const struct meta_known_feature *feature)
{
    int node = (int)turn->ctrl->node_id;
    if (update->level < 0)
        return refuse_text(turn, update, "A feature version cannot be less than 0.");
    if (!feature && update->level == 0) // off, as what nobody knows is
        return refuse(turn, update,
                      arena_printf(turn->arena, "Feature %.*s not found.", (int)update->name.size,
                                   (const char *)update->name.data));
    if (!feature)
        return refuse(turn, update,
                      arena_printf(turn->arena, "Local controller %d does not support this feature.", node));
    if (update->level < feature->min || update->level > feature->max)
        return refuse(turn, update,
                      arena_printf(turn->arena, "Local controller %d only supports versions %d-%d", node,
                                   (int)feature->min, (int)feature->max));
    return true;
}

static bool direction_is_fine(struct turn *turn, const struct ctrl_feature_update *update, int16_t now)
{
    if (update->level < now && update->type == CTRL_UPGRADE)
        return refuse_text(turn, update,
                           "Can't downgrade the version of this feature without setting the upgrade type to either "
                           "safe or unsafe downgrade.");
    if (update->level > now && update->type != CTRL_UPGRADE)
        return refuse_text(turn, update, "Can't downgrade to a newer version.");
    return true;
}

/* Versions that changed the records: going below one of them could lose what only the newer layout can say. */
static bool records_changed(int16_t above, int16_t up_to)
{
    static const int16_t changed[] = {8, 11, 13, 14, 15, 17, 23, 30};
    for (size_t i = 0; i < COUNT_OF(changed); i++)
        if (changed[i] > above && changed[i] <= up_to)
            return true;
    return false;
}

static bool metadata_version_judge(struct turn *turn, const struct ctrl_feature_update *update)
{
    int16_t now = turn->image->metadata_version;
    if (update->level >= now || !records_changed(update->level, now))
        return true;
    ctrl__refuse(turn->result, KAFKA_INVALID_UPDATE_VERSION,
                 arena_printf(turn->arena, "Unsupported metadata.version downgrade from %d to %d. %s", (int)now,
                              (int)update->level,
                              update->type == CTRL_UNSAFE_DOWNGRADE
                                  ? "Unsafe metadata downgrade is not supported in this version."
                                  : "Refusing to perform the requested downgrade because it might delete metadata "
                                    "information."));
    return false;
}

static bool feature_judge(struct turn *turn, const struct ctrl_feature_update *update,
                          const struct meta_known_feature *feature, int16_t now)
{
    if (strcmp(feature->name, METADATA_VERSION) == 0)
        return metadata_version_judge(turn, update);
    if (strcmp(feature->name, KRAFT_VERSION) == 0 && update->level < now)
        return refuse_text(turn, update, "Can't downgrade the version of this feature.");
    if (strcmp(feature->name, ELR_VERSION) == 0 && update->level > 0 && metadata_version_then(turn) < ELR_SINCE)
        return refuse(turn, update,
                      arena_printf(turn->arena, "%s could not be set to %d because it depends on %s level %d",
                                   ELR_VERSION, (int)update->level, METADATA_VERSION, ELR_SINCE));
    return true;
}

/* ---- the records */
static void broker_minimums_remove(struct turn *turn)
{
    struct meta_walk walk;
    meta_walk_begin(turn->image->configs, &walk);
    for (const struct meta_item *item; (item = meta_walk_next(&walk));) {
        const struct meta_configs *configs = CONTAINER_OF(item, struct meta_configs, item);
        if (configs->type != META_RESOURCE_BROKER || configs->name.size == 0 ||
            slice_is_null(meta_configs_get(configs, slice_str(MIN_INSYNC))))
            continue;
        struct config_record record;
        config_record_init(&record);
        record.resource_type = META_RESOURCE_BROKER;
        record.resource_name = configs->name;
        record.name = slice_str(MIN_INSYNC);
        record.value = SLICE_NULL;
        ctrl__records_add(&turn->records, META_CONFIG, 0, &record);
    }
}

static void records_add(struct turn *turn, const struct ctrl_feature_update *update,
                        const struct meta_known_feature *feature, int16_t now)
{
    if (strcmp(feature->name, KRAFT_VERSION) == 0) {
        turn->kraft_version = update->level;
        return;
    }
    struct feature_level_record record;
    feature_level_record_init(&record);
    record.name = slice_str(feature->name);
    record.feature_level = update->level;
    ctrl__records_add(&turn->records, META_FEATURE_LEVEL, 0, &record);
    if (strcmp(feature->name, ELR_VERSION) == 0 && update->level > 0 && now == 0) {
        ctrl__min_insync_add(turn->image, turn->ctrl->settings, &turn->records);
        broker_minimums_remove(turn);
    }
}

static bool update_take(struct turn *turn, const struct ctrl_feature_update *update)
{
    const struct meta_known_feature *feature = known_find(update->name);
    if (update->type < CTRL_UPGRADE || update->type > CTRL_UNSAFE_DOWNGRADE)
        return refuse_text(turn, update, "The controller does not support the given upgrade type.");
    if (!is_supported(turn, update, feature))
        return false;
    int16_t now = level_now(turn, feature);
    if (!direction_is_fine(turn, update, now) || !feature_judge(turn, update, feature, now))
        return false;
    records_add(turn, update, feature, now);
    return true;
}

/* The log and the file say it, and the voter is named by both from now on. */
static struct status kraft_version_raise(struct ctrl *ctrl, int16_t level, int64_t now_ms)
{
    ctrl->quorum.kraft_version = level;
    if (ctrl->quorum.voters.size == 0) // until now a matter of settings
        ctrl__voters_set(&ctrl->quorum, ctrl->node_id, ctrl->properties.directory_id, &ctrl->controller);
    ctrl->quorum.voters_in_log = true;
    record_builder_begin(&ctrl->batch);
    ctrl__quorum_add(&ctrl->batch, now_ms, &ctrl->quorum);
    TRY(ctrl__append(ctrl, ctrl__batch_finish(&ctrl->batch, true, log_end_offset(ctrl->log), ctrl->epoch), now_ms));
    TRY(ctrl_flush(ctrl));
    return ctrl__quorum_state_write(ctrl->directory, ctrl->node_id, ctrl->epoch, level);
}

static void turn_end(struct turn *turn)
{
    ctrl__records_free(&turn->records);
}

struct status ctrl_update_features(struct ctrl *ctrl, const struct ctrl_feature_update *updates, int32_t count,
                                   bool validate_only, struct arena *arena, int64_t now_ms,
                                   struct ctrl_result *ret_result)
{
    struct turn turn CLEANUP(turn_end) = {.ctrl = ctrl,
                                          .image = meta_builder_view(ctrl->builder),
                                          .updates = updates,
                                          .count = count,
                                          .arena = arena,
                                          .kraft_version = ctrl->quorum.kraft_version,
                                          .result = ret_result};
    *ret_result = (struct ctrl_result){0};
    ctrl__records_init(&turn.records);
    for (int32_t i = 0; i < count; i++)
        if (!update_take(&turn, &updates[i]))
            return STATUS_OK;
    if (validate_only)
        return STATUS_OK;
    if (turn.kraft_version > ctrl->quorum.kraft_version)
        TRY(kraft_version_raise(ctrl, turn.kraft_version, now_ms));
    return ctrl__commit(ctrl, &turn.records, now_ms);
}
