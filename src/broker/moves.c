// SPDX-License-Identifier: Apache-2.0
/* broker/moves.c - partitions move between log directories (AlterReplicaLogDirs, KIP-113): a future replica in the other
 * directory is copied, follows, and takes the place of the current one.
 *
 *   waiting   for one of num.replica.alter.log.dirs.threads
 *   copying   pieces in the pool's background lane, all moves together at
 *             replica.alter.log.dirs.io.max.bytes.per.second
 *   ending    the future is level. With the partition's turn held from here on, so that nothing is appended:
 *               the rest is copied, all is synced                   (a chore)
 *               checkpoint files of both directories know it
 *               PartitionChangeRecord: it lies there; flushed
 *               the old directory -> ...-delete, ...-future -> its name
 *
 * So a crash before the record leaves the old replica and a future that goes on; a crash after it finds all of the
 * partition under at least one of the two names, and opening.c takes the current one if there is one, else the future.
 * Apache Kafka renames the future first, and refuses to start when it is stopped between its two renames; this order is one
 * that it can start from at every point.
 *
 * A future whose disk fails takes its log directory offline, not its partition. One that finds no space waits. What an
 * interrupted life has copied is compared and used. The control thread drives it all; what is done elsewhere comes back as
 * mail that only wakes that thread.
 */
#include "broker/moves.h"

enum { PIECE_BYTES = 1 << 20, SIDE_FILES_BYTES = 64 << 10, RETRY_MS = 1000, PREFERENCES_MAX = 10000 };

struct move {
    struct io_job job;  // first
    struct chore chore; // the last piece
    struct list in_moves;
    struct moves *moves;
    struct partition *partition; // counted
    struct log_dir *to;
    char *directory; // of the future
    struct log_future *future;
    _Atomic bool is_away; // its job or chore has not come back
    bool has_come_back, is_level, lacked_space;
    struct status status; // of the last piece
    int64_t bytes, not_before_ms;
};

/* Where a partition that is not there yet shall lie. */
struct preference {
    struct list in_preferences;
    char *topic;
    int32_t index;
    struct log_dir *dir;
};

struct moves {
    struct broker *broker;
    struct list moves, preferences; // oldest first
    int preference_count;
    uint64_t settings_version; // under which the next was asked
    int64_t bytes_per_second, next_piece_ms;
    struct io_mail mail;
    _Atomic uint64_t running, moved_partitions, moved_bytes;
};

struct moves *moves__create(struct broker *broker)
{
    struct moves *moves = mem_zalloc(sizeof *moves);
    moves->broker = broker;
    moves->mail.kind = MAIL_WAKE;
    list_init(&moves->moves);
    list_init(&moves->preferences);
    return moves;
}

static struct move *move_of(struct list *node)
{
    return CONTAINER_OF(node, struct move, in_moves);
}

static void move_free(struct move *move)
{
    assert(!atomic_load(&move->is_away));
    list_remove(&move->in_moves);
    atomic_fetch_sub(&move->moves->running, 1);
    log_future_free(move->future);
    partition_unref(move->partition);
    mem_free(move->directory);
    mem_free(move);
}

static void preference_free(struct moves *moves, struct preference *preference)
{
    list_remove(&preference->in_preferences);
    moves->preference_count--;
    mem_free(preference->topic);
    mem_free(preference);
}

void moves__free(struct moves *moves)
{
    if (!moves)
        return;
    while (!list_is_empty(&moves->moves))
        move_free(move_of(moves->moves.next)); // the next start goes on
    while (!list_is_empty(&moves->preferences))
        preference_free(moves, CONTAINER_OF(moves->preferences.next, struct preference, in_preferences));
    mem_free(moves);
}

static struct move *find(struct moves *moves, const struct partition *p)
{
    LIST_EACH (node, &moves->moves)
        if (move_of(node)->partition == p)
            return move_of(node);
    return NULL;
}

static void told(struct move *move)
{
    struct log_future_progress progress = log_future_progress(move->future);
    struct partition_future future = {.log_dir = move->to->path,
                                      .end_offset = progress.end_offset,
                                      .synced_offset = progress.synced_offset,
                                      .size_bytes = progress.size_bytes};
    partition_future_set(move->partition, &future);
}

/* ---- beginning and giving up */
static void begin(struct moves *moves, struct partition *p, struct log_dir *to, char *path, struct log_future *future)
{
    struct move *move = mem_zalloc(sizeof *move);
    *move = (struct move){.moves = moves, .partition = p, .to = to, .directory = path, .future = future};
    partition_ref(p);
    list_push_back(&moves->moves, &move->in_moves);
    atomic_fetch_add(&moves->running, 1);
    to->partition_count++;
    told(move);
}

void moves__resume(struct moves *moves, struct partition *p, struct log_dir *to, char *path)
{
    struct log_future *future = NULL;
    struct log *log = partition_log(p);
    struct status s = STATUS(EIO, "find its log");
    if (log && !partition_is_offline(p))
        s = log_future_create(log, path, &future);
    if (!status_is_ok(s)) {
        LOG(LOG_WARN, "broker", "%s is left alone: %s: %s", path, s.what, strerror(s.error));
        mem_free(path);
        return;
    }
    LOG(LOG_INFO, "broker", "%s-%d goes on moving to %s", partition_topic(p), (int)partition_index(p), to->path);
    begin(moves, p, to, path, future);
}

/* No piece of it runs then, and none begins before the control thread has looked again. */
static void wait_for(struct move *move)
{
    while (atomic_load(&move->is_away))
        crew__pause(move->moves->broker->crew);
}

static void unwanted(struct move *move)
{
    char *renamed;
    struct status s = dir_partition_rename(move->directory, "delete", &renamed);
    if (status_is_ok(s))
        housekeeping__doom(control__housekeeping(move->moves->broker->control), renamed, 0);
    else
        LOG(LOG_WARN, "broker", "%s stays: %s: %s", move->directory, s.what, strerror(s.error));
}

/* Its future is not told of any more; the directory stays unless it `is_unwanted`. */
static void give_up(struct move *move, bool is_unwanted)
{
    wait_for(move);
    partition_future_set(move->partition, NULL);
    move->to->partition_count--;
    if (is_unwanted && !atomic_load(&move->to->offline))
        unwanted(move);
    move_free(move);
}

void moves__partition_gone(struct moves *moves, const struct partition *p)
{
    struct move *move = find(moves, p);
    if (move)
        give_up(move, true);
}

/* ---- asking */
static bool is_preference(const struct preference *preference, struct slice topic, int32_t index)
{
    return preference->index == index && slice_equal_str(topic, preference->topic);
}

struct log_dir *moves__preference_take(struct moves *moves, struct slice topic, int32_t index)
{
    LIST_EACH (node, &moves->preferences) {
        struct preference *preference = CONTAINER_OF(node, struct preference, in_preferences);
        if (!is_preference(preference, topic, index))
            continue;
        struct log_dir *dir = preference->dir;
        preference_free(moves, preference);
        return dir;
    }
    return NULL;
}

/* The oldest gives way where there are too many. */
static void prefer(struct moves *moves, struct slice topic, int32_t index, struct log_dir *dir)
{
    moves__preference_take(moves, topic, index);
    if (moves->preference_count == PREFERENCES_MAX)
        preference_free(moves, CONTAINER_OF(moves->preferences.next, struct preference, in_preferences));
    struct preference *preference = mem_zalloc(sizeof *preference);
    *preference = (struct preference){.topic = slice_to_str(topic), .index = index, .dir = dir};
    list_push_back(&moves->preferences, &preference->in_preferences);
    moves->preference_count++;
}

static struct log_dir *dir_by_name(struct broker *broker, struct slice path)
{
    for (int i = 0; i < broker->dirs.count; i++)
        if (broker->dirs.dirs[i].holds_partitions && slice_equal_str(path, broker->dirs.dirs[i].path))
            return &broker->dirs.dirs[i];
    return NULL;
}

static bool any_dir_is_offline(const struct log_dirs *dirs)
{
    for (int i = 0; i < dirs->count; i++)
        if (dirs->dirs[i].holds_partitions && atomic_load(&dirs->dirs[i].offline))
            return true;
    return false;
}

/* The log that an internal topic's partition gets with its first append is made now: there must be one to move. */
struct first_opening {
    struct chore chore; // first
    struct status status;
    _Atomic bool is_done;
};

static void open_run(struct chore *chore)
{
    struct first_opening *opening = CONTAINER_OF(chore, struct first_opening, chore);
    opening->status = partition_open_if_later(chore->partition);
    atomic_store(&opening->is_done, true);
}

static struct status log_make(struct broker *broker, struct partition *p)
{
    struct first_opening *opening = mem_zalloc(sizeof *opening);
    opening->chore.run = open_run;
    partition_chore(p, &opening->chore);
    while (!atomic_load(&opening->is_done))
        crew__pause(broker->crew);
    struct status s = opening->status;
    mem_free(opening);
    return status_is_ok(s) && !partition_log(p) ? STATUS(EIO, "make its log") : s;
}

static struct status future_make(struct moves *moves, struct partition *p, struct log_dir *to)
{
    char *path = NULL;
    struct log_future *future = NULL;
    if (!partition_log(p))
        TRY(log_make(moves->broker, p));
    TRY(dir_future_create(to->path, partition_topic(p), partition_index(p), partition_topic_id(p), &path));
    struct status s = log_future_create(partition_log(p), path, &future);
    if (!status_is_ok(s)) {
        mem_free(path);
        return s;
    }
    begin(moves, p, to, path, future);
    return STATUS_OK;
}

static int16_t move_to(struct moves *moves, struct partition *p, struct log_dir *to)
{
    if (strcmp(partition_log_dir(p), to->path) == 0 || find(moves, p))
        return KAFKA_NONE; // it lies there, or is on its way
    if (any_dir_is_offline(&moves->broker->dirs))
        return KAFKA_KAFKA_STORAGE_ERROR; // it may have a future there
    struct status s = future_make(moves, p, to);
    if (!status_is_ok(s))
        LOG(LOG_WARN, "broker", "%s-%d does not move to %s: %s: %s", partition_topic(p), (int)partition_index(p),
            to->path, s.what, strerror(s.error));
    return status_is_ok(s) ? KAFKA_NONE : KAFKA_KAFKA_STORAGE_ERROR;
}

static int16_t ask_of(struct moves *moves, struct partition *p, struct log_dir *to)
{
    if (partition_is_offline(p))
        return KAFKA_KAFKA_STORAGE_ERROR;
    struct move *move = find(moves, p);
    if (move && move->to != to)
        give_up(move, true); // and perhaps somewhere else now
    return move_to(moves, p, to);
}

int16_t moves__ask(struct moves *moves, const struct meta_image *image, struct slice topic, int32_t index,
                   struct slice path)
{
    struct broker *broker = moves->broker;
    struct log_dir *to = dir_by_name(broker, path);
    if (!dir_future_fits(topic, index))
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    if (!to)
        return KAFKA_LOG_DIR_NOT_FOUND;
    if (atomic_load(&to->offline))
        return KAFKA_KAFKA_STORAGE_ERROR;
    const struct meta_topic *known = meta_topic_by_name(image, topic);
    bool exists = known && index >= 0 && index < known->partition_count;
    struct partition *p = exists ? broker__partition_get(broker, known->id, index) : NULL;
    if (!p) {
        prefer(moves, topic, index, to);
        return exists ? KAFKA_REPLICA_NOT_AVAILABLE : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    int16_t error = ask_of(moves, p, to);
    partition_unref(p);
    return error;
}

/* ---- copying */
static void come_back(struct move *move)
{
    struct moves *moves = move->moves;
    struct io_loop *loop = control__loop(moves->broker->control);
    atomic_store(&move->is_away, false); // the move may be gone from here on
    io_loop_send(loop, &moves->mail);
}

static bool can_go_on(struct partition *p)
{
    return partition_log(p) && !partition_is_offline(p) && !partition_is_retired(p);
}

static void step_run(struct io_job *job)
{
    struct move *move = CONTAINER_OF(job, struct move, job);
    int64_t piece = min_i64(PIECE_BYTES, move->moves->bytes_per_second);
    move->status = log_future_step(move->future, piece, &move->bytes, &move->is_level);
    atomic_fetch_add(&move->moves->moved_bytes, (uint64_t)move->bytes);
    told(move);
    come_back(move);
}

/* The next piece, and what comes with a segment, without touching what is kept back. */
static bool has_space(const struct move *move)
{
    int64_t left = log_size_bytes(partition_log(move->partition)) - log_future_progress(move->future).size_bytes;
    return write_budget_may_take(&move->to->budget, min_i64(max_i64(left, 0), PIECE_BYTES) + SIDE_FILES_BYTES);
}

static void wait_for_space(struct move *move, int64_t now_ms)
{
    if (!move->lacked_space)
        LOG(LOG_WARN, "broker", "%s-%d waits with moving to %s: there is no space", partition_topic(move->partition),
            (int)partition_index(move->partition), move->to->path);
    move->lacked_space = true;
    move->not_before_ms = now_ms + RETRY_MS;
}

static void step(struct move *move)
{
    atomic_store(&move->is_away, true);
    move->has_come_back = true;
    move->job = (struct io_job){.run = step_run};
    io_pool_submit(move->moves->broker->pool, IO_LANE_BACKGROUND, &move->job);
}

/* ---- ending */
static void finish_run(struct chore *chore)
{
    struct move *move = CONTAINER_OF(chore, struct move, chore);
    move->status =
        can_go_on(chore->partition) ? log_future_finish(move->future) : STATUS(EIO, "end the move of a partition");
    told(move);
    atomic_store(&move->is_away, false);
}

/* Nothing is appended until the turn is given back. */
static struct status hold_and_finish(struct move *move)
{
    atomic_store(&move->is_away, true);
    move->chore = (struct chore){.run = finish_run, .keeps_turn = true};
    partition_chore(move->partition, &move->chore);
    wait_for(move);
    return move->status;
}

static struct status checkpoints_write(struct broker *broker)
{
    for (int kind = 0; kind < CHECKPOINT_KINDS; kind++)
        TRY(checkpoints__write(broker->checkpoints, kind));
    return STATUS_OK;
}

/* With the turn held. `ret_old`: the old directory. */
static struct status take_place(struct move *move, char **ret_old)
{
    struct broker *broker = move->moves->broker;
    struct partition *p = move->partition;
    struct ctrl *ctrl = control__ctrl(broker->control);
    TRY(checkpoints_write(broker));
    struct status s = ctrl_assign_directory(ctrl, broker->options.node_id, partition_topic_id(p), partition_index(p),
                                            move->to->id, io_wall_ms());
    if (status_is_ok(s))
        s = ctrl_flush(ctrl);
    if (!status_is_ok(s)) {
        broker__fail(broker, s);
        return s;
    }
    return partition_replace(p, move->future, move->to->path, &move->to->budget, ret_old);
}

static void moved(struct move *move, const char *from, char *old_directory)
{
    struct moves *moves = move->moves;
    struct broker *broker = moves->broker;
    struct partition *p = move->partition;
    log_dirs__by_path(&broker->dirs, from)->partition_count--;
    int64_t delay_ms =
        broker__setting_i64(broker, ctrl_view(control__ctrl(broker->control)), "log.segment.delete.delay.ms");
    housekeeping__doom(control__housekeeping(broker->control), old_directory, delay_ms);
    atomic_fetch_add(&moves->moved_partitions, 1);
    LOG(LOG_INFO, "broker", "%s-%d has moved from %s to %s", partition_topic(p), (int)partition_index(p), from,
        partition_log_dir(p));
    move_free(move);
    struct status s = checkpoints_write(broker);
    (void)s; // it was logged, and the old files are still true
    control__commit(broker->control);
}

/* A fault of the other directory's disk is that directory's; one of the partition's own takes the partition offline. */
static void failed(struct move *move, int64_t now_ms)
{
    struct broker *broker = move->moves->broker;
    struct partition *p = move->partition;
    struct status why = move->status;
    bool is_of_future = log_future_is_at_fault(move->future);
    if (why.error == ENOSPC) {
        wait_for_space(move, now_ms);
        return;
    }
    LOG(LOG_ERROR, "broker", "%s-%d does not move to %s: %s: %s", partition_topic(p), (int)partition_index(p),
        move->to->path, why.what, strerror(why.error));
    struct log_dir *to = move->to;
    if (!is_of_future && why.error != EBADMSG)
        partition_take_offline(p, why);
    give_up(move, false);
    if (!is_of_future)
        return;
    struct status s = control__directory_lost(broker->control, to);
    if (!status_is_ok(s))
        broker__fail(broker, s);
}

static void end(struct move *move, int64_t now_ms)
{
    struct partition *p = move->partition;
    const char *from = partition_log_dir(p);
    char *old_directory = NULL;
    struct status s = hold_and_finish(move);
    bool was_finished = status_is_ok(s);
    if (was_finished)
        s = take_place(move, &old_directory);
    partition_turn_end(p);
    if (status_is_ok(s))
        moved(move, from, old_directory);
    else if (!was_finished)
        failed(move, now_ms);
    else
        give_up(move, false); // whoever failed has told
}

/* ---- the tick */
static void settings_look(struct moves *moves)
{
    struct broker *broker = moves->broker;
    const struct meta_image *image = ctrl_view(control__ctrl(broker->control));
    uint64_t version = broker__settings_version(broker, image);
    if (version == moves->settings_version)
        return;
    moves->settings_version = version;
    moves->bytes_per_second =
        max_i64(broker__setting_i64(broker, image, "replica.alter.log.dirs.io.max.bytes.per.second"), 1);
}

/* As many as there are log directories, unless it is set. */
static int threads_max(const struct broker *broker)
{
    const char *set = meta_settings_get(broker__settings(broker), "num.replica.alter.log.dirs.threads");
    if (set)
        return (int)max_i64(meta_settings_i64(broker__settings(broker), "num.replica.alter.log.dirs.threads"), 1);
    return broker->options.log_dir_count;
}

static void pace(struct moves *moves, struct move *move, int64_t now_ms)
{
    int64_t rate = moves->bytes_per_second, pause_ms = rate > INT64_MAX / 1000 ? 0 : move->bytes * 1000 / rate;
    moves->next_piece_ms = max_i64(moves->next_piece_ms, now_ms) + pause_ms;
}

static int64_t due_ms(const struct move *move)
{
    return max_i64(move->not_before_ms, move->moves->next_piece_ms);
}

/* What came back decides what is next; the move may be gone then. */
static void advance(struct move *move, int64_t now_ms, const struct partition *busy_elsewhere)
{
    struct moves *moves = move->moves;
    bool has_come_back = move->has_come_back;
    move->has_come_back = false;
    if (!can_go_on(move->partition) || atomic_load(&move->to->offline)) {
        give_up(move, false);
        return;
    }
    if (has_come_back && !status_is_ok(move->status)) {
        failed(move, now_ms);
        return;
    }
    if (has_come_back)
        pace(moves, move, now_ms);
    if (now_ms >= move->not_before_ms && !has_space(move))
        wait_for_space(move, now_ms);
    else if (has_come_back && move->is_level && move->partition != busy_elsewhere)
        end(move, now_ms);
    else if (has_come_back && move->is_level)
        move->not_before_ms = now_ms + RETRY_MS; // the cleaner has the log's directory in hand
    else if (now_ms >= due_ms(move))
        step(move);
}

int64_t moves__tick(struct moves *moves, int64_t now_ms, const struct partition *busy_elsewhere)
{
    int64_t next_ms = INT64_MAX;
    int copying = 0, copying_max = threads_max(moves->broker);
    if (!moves__is_busy(moves))
        settings_look(moves);
    LIST_EACH_SAFE (node, &moves->moves) {
        if (copying++ == copying_max)
            break;
        if (!atomic_load(&move_of(node)->is_away))
            advance(move_of(node), now_ms, busy_elsewhere);
    }
    copying = 0;
    LIST_EACH (node, &moves->moves) {
        if (copying++ == copying_max)
            break;
        if (!atomic_load(&move_of(node)->is_away))
            next_ms = min_i64(next_ms, due_ms(move_of(node)));
    }
    return next_ms;
}

bool moves__is_busy(const struct moves *moves)
{
    LIST_EACH (node, &moves->moves)
        if (atomic_load(&CONTAINER_OF(node, struct move, in_moves)->is_away))
            return true;
    return false;
}

void moves__numbers(const struct moves *moves, struct broker_numbers *numbers)
{
    numbers->partitions_moving = atomic_load(&moves->running);
    numbers->partitions_moved = atomic_load(&moves->moved_partitions);
    numbers->moved_bytes = atomic_load(&moves->moved_bytes);
}
