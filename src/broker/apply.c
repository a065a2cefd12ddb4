// SPDX-License-Identifier: Apache-2.0
/* broker/apply.c - what a new metadata image means for this broker's partitions.
 *
 * The records are on the disk when this begins, and the image is published when it has ended: so a partition has its
 * directory before its first append, and a deleted topic's name is free before a new topic of that name is made.
 * Deleted partitions go first, then changes, then new ones.
 */
#include "broker/moves.h"

/* What must be done with a partition's turn. */
struct errand {
    struct chore chore; // first
    struct partition *partition;
    const struct meta_partition *duty; // NULL: it is deleted
    char *directory;                   // where a deleted one lies now; NULL: it had none
    struct status status;
    _Atomic int *left;
};

struct applying {
    struct broker *broker;
    const struct meta_image *from, *to;
    struct errand **errands;
    int errand_count, errand_capacity;
    struct openings *openings;
    bool any_deleted;
};

/* ---- in the pool, with the turn */
static struct status directory_rename(struct errand *errand)
{
    struct partition *p = errand->partition;
    struct log *log = partition_log(p);
    if (log) {
        TRY(log_rename_for_delete(log));
        errand->directory = mem_strdup(log_directory(log));
        return STATUS_OK;
    }
    struct buffer path CLEANUP(buffer_free) = {0};
    buffer_printf(&path, "%s/%s-%d", partition_log_dir(p), partition_topic(p), (int)partition_index(p));
    buffer_append(&path, "", 1);
    struct uuid id;
    bool has_id;
    TRY(dir_partition_topic_id((const char *)path.data, &id, &has_id));
    if (!has_id || !uuid_equal(id, partition_topic_id(p)))
        return STATUS_OK; // it was never made
    return dir_partition_rename((const char *)path.data, "delete", &errand->directory);
}

static struct status duty_set(struct partition *p, const struct meta_partition *meta)
{
    struct partition_duty duty = {
        .leader = meta->leader, .leader_epoch = meta->leader_epoch, .isr = meta->isr, .isr_count = meta->isr_count};
    return partition_duty_set(p, &duty);
}

static void errand_run(struct chore *chore)
{
    struct errand *errand = CONTAINER_OF(chore, struct errand, chore);
    errand->status = errand->duty ? duty_set(errand->partition, errand->duty) : directory_rename(errand);
    atomic_fetch_sub(errand->left, 1); // the errand is its maker's again
}

/* ---- gathering */
static void errand_add(struct applying *applying, struct partition *p, const struct meta_partition *duty)
{
    if (applying->errand_count == applying->errand_capacity) {
        applying->errand_capacity = applying->errand_capacity ? applying->errand_capacity * 2 : 16;
        applying->errands =
            mem_realloc(applying->errands, (size_t)applying->errand_capacity * sizeof *applying->errands);
    }
    struct errand *errand = mem_zalloc(sizeof *errand);
    *errand = (struct errand){.chore = {.run = errand_run}, .partition = p, .duty = duty};
    applying->errands[applying->errand_count++] = errand;
}

static bool is_ours(const struct applying *applying, const struct meta_partition *meta)
{
    return meta && meta_partition_has_replica(meta, applying->broker->options.node_id);
}

static void partition_gone(struct applying *applying, const struct meta_topic *topic, int32_t index)
{
    struct broker *broker = applying->broker;
    struct partition *p = broker__partition_remove(broker, topic->id, index);
    if (!p)
        return;
    partition_retire(p);
    atomic_fetch_add(&broker->retired_count, 1);
    moves__partition_gone(housekeeping__moves(control__housekeeping(broker->control)), p);
    log_dirs__by_path(&broker->dirs, partition_log_dir(p))->partition_count--;
    applying->any_deleted = true;
    errand_add(applying, p, NULL);
}

static void partition_changed(struct applying *applying, const struct meta_topic *topic, int32_t index)
{
    struct partition *p = broker__partition_get(applying->broker, topic->id, index);
    if (p)
        errand_add(applying, p, meta_topic_partition(topic, index));
}

static void topic_changed(struct applying *applying, const struct meta_topic *was, const struct meta_topic *now)
{
    int32_t count = (int32_t)max_i64(was ? was->partition_count : 0, now ? now->partition_count : 0);
    for (int32_t i = 0; i < count; i++) {
        const struct meta_partition *before = was && i < was->partition_count ? meta_topic_partition(was, i) : NULL;
        const struct meta_partition *after = now && i < now->partition_count ? meta_topic_partition(now, i) : NULL;
        if (before == after)
            continue;
        if (is_ours(applying, before) && !is_ours(applying, after))
            partition_gone(applying, was, i);
        else if (!is_ours(applying, before) && is_ours(applying, after))
            openings__add(applying->openings, applying->to, now, i);
        else if (is_ours(applying, after))
            partition_changed(applying, now, i);
    }
}

static void each_topic(void *context, const struct meta_topic *was, const struct meta_topic *now)
{
    struct applying *applying = context;
    if (was && now && !uuid_equal(was->id, now->id)) { // another topic of the same name
        topic_changed(applying, was, NULL);
        topic_changed(applying, NULL, now);
        return;
    }
    topic_changed(applying, was, now);
}

/* ---- doing */
static void errand_end(struct applying *applying, struct errand *errand)
{
    struct partition *p = errand->partition;
    struct broker *broker = applying->broker;
    if (!status_is_ok(errand->status))
        LOG(LOG_ERROR, "broker", "partition %s-%d: %s: %s", partition_topic(p), (int)partition_index(p),
            errand->status.what, strerror(errand->status.error));
    if (errand->directory) {
        int64_t delay_ms = broker__setting_i64(broker, applying->to, "log.segment.delete.delay.ms");
        housekeeping__doom(control__housekeeping(broker->control), errand->directory, delay_ms);
    }
    partition_unref(p);
    mem_free(errand);
}

static void errands_run(struct applying *applying)
{
    _Atomic int left = applying->errand_count;
    for (int i = 0; i < applying->errand_count; i++) {
        applying->errands[i]->left = &left;
        partition_chore(applying->errands[i]->partition, &applying->errands[i]->chore);
    }
    while (atomic_load(&left) > 0)
        crew__pause(applying->broker->crew);
    for (int i = 0; i < applying->errand_count; i++)
        errand_end(applying, applying->errands[i]);
}

/* Lines about a deleted topic must not be taken for a later one of its name. */
static void checkpoints_forget(struct broker *broker)
{
    struct status s = checkpoints__write(broker->checkpoints, CHECKPOINT_START);
    if (status_is_ok(s))
        s = checkpoints__write(broker->checkpoints, CHECKPOINT_RECOVERY);
    if (!status_is_ok(s))
        LOG(LOG_ERROR, "broker", "checkpoints after a deletion: %s: %s", s.what, strerror(s.error));
}

static void topic_configs_set(struct applying *applying, const struct meta_topic *topic)
{
    struct broker *broker = applying->broker;
    struct partition_config config = broker__partition_config(broker, applying->to, topic->name);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct partition *p = broker__partition_get(broker, topic->id, i);
        if (p)
            partition_config_set(p, &config);
        partition_unref(p);
    }
}

static void configs_apply(struct applying *applying)
{
    int32_t node = applying->broker->options.node_id;
    if (applying->from->configs == applying->to->configs)
        return;
    struct meta_walk walk;
    meta_topics_begin(applying->to, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));)
        if (meta_topic_config_version(applying->from, node, topic->name) !=
            meta_topic_config_version(applying->to, node, topic->name))
            topic_configs_set(applying, topic);
}

void broker__apply_settings(struct broker *broker, const struct meta_image *image)
{
    struct applying applying = {.broker = broker, .from = image, .to = image};
    struct meta_walk walk;
    meta_topics_begin(image, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));)
        topic_configs_set(&applying, topic);
}

void broker__apply(struct broker *broker, const struct meta_image *from, const struct meta_image *to)
{
    struct applying applying = {.broker = broker, .from = from, .to = to};
    applying.openings = openings__create(broker);
    meta_topics_diff(from, to, each_topic, &applying);
    errands_run(&applying);
    if (applying.any_deleted)
        checkpoints_forget(broker);
    configs_apply(&applying);
    openings__run(applying.openings);
    openings__free(applying.openings);
    mem_free(applying.errands);
}
