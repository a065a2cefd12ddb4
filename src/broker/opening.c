// SPDX-License-Identifier: Apache-2.0
/* broker/opening.c - partitions get their place and their log: new ones one by one, all of them at start.
 *
 * The metadata image says which partitions this node has; the log directories say where they lie, and a directory counts
 * only if its partition.metadata has the topic's id. What the image does not know is left alone, with a warning; where a
 * new partition needs its name, it is renamed as Kafka names strays. A partition of an internal topic without a directory
 * gets one at its first append. A partition that cannot be opened is listed as offline and the others go on.
 */
#include "broker/moves.h"
#include "broker/scan.h"

struct opening {
    struct partition *partition;
    struct log_dir *dir;
    struct log_open_options options;
    bool later;            // at the first append
    bool is_made;          // its directory is there and is its own
    struct status refusal; // not to be opened at all
    int64_t high_watermark;
    struct log_dir *moves_to; // it was on its way; NULL: it was not
    char *future;             // how far: that directory
};

struct openings {
    struct broker *broker;
    struct opening *items;
    int count, capacity;
};

struct openings *openings__create(struct broker *broker)
{
    struct openings *openings = mem_zalloc(sizeof *openings);
    openings->broker = broker;
    return openings;
}

void openings__free(struct openings *openings)
{
    if (!openings)
        return;
    mem_free(openings->items);
    mem_free(openings);
}

static struct opening *item_add(struct openings *openings)
{
    if (openings->count == openings->capacity) {
        openings->capacity = openings->capacity ? openings->capacity * 2 : 16;
        openings->items = mem_realloc(openings->items, (size_t)openings->capacity * sizeof *openings->items);
    }
    struct opening *opening = &openings->items[openings->count++];
    *opening = (struct opening){.options = {.flushed_offset = -1}};
    return opening;
}

/* The partition, its settings and its duty; its log comes later. */
static struct opening *partition_make(struct openings *openings, const struct meta_image *image,
                                      const struct meta_topic *topic, int32_t index, struct log_dir *dir)
{
    struct broker *broker = openings->broker;
    const struct meta_partition *meta = meta_topic_partition(topic, index);
    struct opening *opening = item_add(openings);
    opening->partition = partition_create(&broker->replica, (const char *)topic->name.data, topic->id, index, dir->path,
                                          meta_topic_is_internal(topic->name));
    opening->dir = dir;
    partition_budget_set(opening->partition, &dir->budget);
    opening->options.now_ms = io_wall_ms();
    opening->options.cancel = &broker->stopping;
    opening->options.files = broker->files;
    struct partition_config config = broker__partition_config(broker, image, topic->name);
    partition_config_set(opening->partition, &config);
    struct partition_duty duty = {
        .leader = meta->leader, .leader_epoch = meta->leader_epoch, .isr = meta->isr, .isr_count = meta->isr_count};
    opening->refusal = partition_duty_set(opening->partition, &duty);
    dir->partition_count++;
    broker->has_misplaced |= !uuid_equal(meta_partition_directory(meta, broker->options.node_id), dir->id);
    return opening;
}

static struct log_dir *some_dir(struct broker *broker)
{
    for (int i = 0; i < broker->dirs.count; i++)
        if (broker->dirs.dirs[i].holds_partitions)
            return &broker->dirs.dirs[i];
    assert(!"a log directory");
    return NULL;
}

/* Ids below 100 are Kafka's own: not assigned, lost, moving. */
static bool is_assigned(struct uuid directory)
{
    static const uint8_t zeros[15];
    return memcmp(directory.bytes, zeros, sizeof zeros) != 0 || directory.bytes[15] >= 100;
}

bool openings__take_misplaced(struct broker *broker)
{
    bool any = broker->has_misplaced;
    broker->has_misplaced = false;
    return any;
}

/* Where the image wants it, else where the fewest are. `ret_refusal`: where it should be is not there. */
static struct log_dir *place(struct broker *broker, const struct meta_partition *meta, struct status *ret_refusal)
{
    struct uuid wanted = meta_partition_directory(meta, broker->options.node_id);
    *ret_refusal = STATUS_OK;
    struct log_dir *dir =
        is_assigned(wanted) ? log_dirs__by_id(&broker->dirs, wanted) : log_dirs__choose(&broker->dirs);
    if (dir && dir->holds_partitions && !atomic_load(&dir->offline))
        return dir;
    *ret_refusal = STATUS(ENXIO, "open a partition: its log directory is not there");
    return some_dir(broker);
}

void openings__add(struct openings *openings, const struct meta_image *image, const struct meta_topic *topic,
                   int32_t index)
{
    struct broker *broker = openings->broker;
    struct status refusal = STATUS_OK;
    struct moves *moves = housekeeping__moves(control__housekeeping(broker->control));
    struct log_dir *dir = moves__preference_take(moves, topic->name, index);
    if (!dir || atomic_load(&dir->offline))
        dir = place(broker, meta_topic_partition(topic, index), &refusal);
    struct opening *opening = partition_make(openings, image, topic, index, dir);
    opening->refusal = status_is_ok(refusal) ? opening->refusal : refusal;
    opening->later = meta_topic_is_internal(topic->name);
}

/* ---- in the pool */
static void path_of(const struct partition *p, char ret_path[SCAN_PATH_BYTES])
{
    snprintf(ret_path, SCAN_PATH_BYTES, "%s/%s-%d", partition_log_dir(p), partition_topic(p), (int)partition_index(p));
}

/* A directory of that name which belongs to another topic goes out of the way. */
static struct status stray_set_aside(const struct partition *p)
{
    char path[SCAN_PATH_BYTES];
    path_of(p, path);
    struct io_stat there;
    int error = io_stat(path, &there);
    if (error < 0 || !there.exists)
        return error < 0 ? STATUS(-error, "look at a partition's directory") : STATUS_OK;
    struct uuid id;
    bool has_id;
    TRY(dir_partition_topic_id(path, &id, &has_id));
    if (!has_id || uuid_equal(id, partition_topic_id(p)))
        return STATUS_OK;
    char *renamed;
    TRY(dir_partition_rename(path, "stray", &renamed));
    LOG(LOG_WARN, "broker", "%s belongs to a topic that is not known any more: kept as %s", path, renamed);
    mem_free(renamed);
    return STATUS_OK;
}

static struct status open_one(struct opening *opening)
{
    struct partition *p = opening->partition;
    TRY(opening->refusal);
    if (!opening->is_made)
        TRY(stray_set_aside(p));
    if (!opening->is_made && !opening->later) {
        TRY(dir_partition_create(partition_log_dir(p), partition_topic(p), partition_index(p), partition_topic_id(p)));
        opening->options.is_made = true;
    }
    TRY(partition_open(p, &opening->options, opening->later));
    partition_high_watermark_restore(p, opening->high_watermark);
    return STATUS_OK;
}

static void open_number(void *context, int number, int member)
{
    struct openings *openings = context;
    struct opening *opening = &openings->items[number];
    opening->options.segments_left = &opening->dir->segments_left[member];
    struct status s = open_one(opening);
    atomic_fetch_sub(&opening->dir->logs_left, 1);
    if (!status_is_ok(s))
        partition_take_offline(opening->partition, s);
}

static void run(struct openings *openings, void (*progress)(void *context, int done))
{
    for (int i = 0; i < openings->count; i++)
        atomic_fetch_add(&openings->items[i].dir->logs_left, 1);
    crew__run(openings->broker->crew, openings->count, open_number, openings, progress);
    for (int i = 0; i < openings->count; i++) {
        struct opening *opening = &openings->items[i];
        broker__partition_add(openings->broker, opening->partition);
        if (opening->future)
            moves__resume(housekeeping__moves(control__housekeeping(openings->broker->control)), opening->partition,
                          opening->moves_to, opening->future);
    }
    openings->count = 0;
}

void openings__run(struct openings *openings)
{
    run(openings, NULL);
}

/* ---- how far it is */
static int32_t segments_left(const struct log_dirs *dirs)
{
    int32_t left = 0;
    for (int i = 0; i < dirs->count; i++)
        for (int member = 0; member < BROKER_CREW; member++)
            left += atomic_load(&dirs->dirs[i].segments_left[member]);
    return left;
}

static void progress(void *context, int done)
{
    const struct openings *openings = context;
    LOG(LOG_INFO, "broker", "%d of %d partitions are open, %d segments of those under way are to be checked", done,
        openings->count, (int)segments_left(&openings->broker->dirs));
}

void broker_recovery_each(struct broker *broker, void (*each)(void *context, const struct broker_recovery *recovery),
                          void *context)
{
    for (int i = 0; atomic_load(&broker->is_recovering) && i < broker->dirs.count; i++) {
        const struct log_dir *dir = &broker->dirs.dirs[i];
        struct broker_recovery recovery = {.log_dir = dir->path, .logs_left = atomic_load(&dir->logs_left)};
        for (int member = 0; member < BROKER_CREW; member++)
            recovery.segments_left[member] = atomic_load(&dir->segments_left[member]);
        if (dir->holds_partitions)
            each(context, &recovery);
    }
}

/* ---- all, at start */
static void options_fill(struct opening *opening, const struct scan *scan, const struct log_dir *dir)
{
    const struct partition *p = opening->partition;
    const struct checkpoint_set *set = dir_scan__checkpoints(scan, dir);
    int64_t known[CHECKPOINT_KINDS];
    for (int kind = 0; kind < CHECKPOINT_KINDS; kind++)
        known[kind] = checkpoints__find(set, kind, partition_topic(p), partition_topic_id(p), partition_index(p));
    opening->options.clean_stop = dir->was_clean;
    opening->options.recovery_point = max_i64(known[CHECKPOINT_RECOVERY], 0);
    opening->options.start_offset = max_i64(known[CHECKPOINT_START], 0);
    opening->options.first_dirty_offset = max_i64(known[CHECKPOINT_CLEANED], 0);
    opening->options.flushed_offset = known[CHECKPOINT_FLUSHED];
    opening->high_watermark = max_i64(known[CHECKPOINT_VISIBLE], 0);
}

/* The move had ended but for the last renaming: the metadata says so, and there is no other replica any more. */
static struct scan_entry *take_ended_move(const struct broker *broker, const struct meta_partition *meta,
                                          struct scan_entry *future, struct status *ret_status)
{
    if (!uuid_equal(meta_partition_directory(meta, broker->options.node_id), future->dir->id))
        return NULL; // it may be a copy of anything
    *ret_status = dir_scan__future_promote(future);
    return future;
}

static void start_one(struct openings *openings, struct scan *scan, const struct meta_image *image,
                      const struct meta_topic *topic, int32_t index)
{
    struct scan_entry *found = dir_scan__take(scan, topic->name, topic->id, index);
    struct scan_entry *future = dir_scan__take_future(scan, topic->name, topic->id, index);
    struct status refusal = STATUS_OK;
    if (!found && future)
        found = take_ended_move(openings->broker, meta_topic_partition(topic, index), future, &refusal);
    if (!found && future)
        future->is_taken = false;
    struct log_dir *dir = found ? found->dir : place(openings->broker, meta_topic_partition(topic, index), &refusal);
    struct opening *opening = partition_make(openings, image, topic, index, dir);
    opening->refusal = status_is_ok(refusal) ? opening->refusal : refusal;
    opening->is_made = found && found->has_id;
    if (found)
        options_fill(opening, scan, dir);
    if (found && future && future != found) {
        opening->moves_to = future->dir;
        opening->future = mem_strdup(future->path);
    }
    // A directory that is gone while the flushed mark knows it is a loss: opened, and found to be one.
    int64_t mark = checkpoints__find(dir_scan__checkpoints(scan, dir), CHECKPOINT_FLUSHED, "", topic->id, index);
    opening->options.flushed_offset = mark;
    opening->later = !found && mark <= 0 && meta_topic_is_internal(topic->name);
}

static void start_all(struct openings *openings, struct scan *scan, const struct meta_image *image)
{
    struct meta_walk walk;
    meta_topics_begin(image, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));)
        for (int32_t i = 0; i < topic->partition_count; i++) {
            const struct meta_partition *partition = meta_topic_partition(topic, i);
            if (partition && meta_partition_has_replica(partition, openings->broker->options.node_id))
                start_one(openings, scan, image, topic, i);
        }
}

struct status openings__run_all(struct broker *broker, const struct meta_image *image)
{
    int64_t began_ms = io_now_ms();
    struct scan *scan = NULL;
    TRY(dir_scan__run(broker, &scan));
    struct openings *openings = openings__create(broker);
    start_all(openings, scan, image);
    dir_scan__tell_strays(scan);
    dir_scan__free(scan);
    int count = openings->count;
    atomic_store(&broker->is_recovering, true);
    run(openings, progress);
    atomic_store(&broker->is_recovering, false);
    openings__free(openings);
    LOG(LOG_INFO, "broker", "%d partitions are open after %lld ms", count, (long long)(io_now_ms() - began_ms));
    return STATUS_OK;
}
