// SPDX-License-Identifier: Apache-2.0
/* broker/cleaner.c - keeps compacted topics compacted: finds the dirtiest log, cleans it, and again.
 *
 *   idle      log.cleaner.backoff.ms
 *   measure   each compacted log that changed says how dirty it is (a chore: it needs the partition's turn)
 *   begin     the dirtiest that is due picks its segments (a chore)
 *   step      reads and writes in pieces, in the pool's background lane, at log.cleaner.io.max.bytes.per.second
 *   end       the new segments take their place (a chore)
 *   save      cleaner-offset-checkpoint of the directory
 *
 * One log at a time. A log that cannot be cleaned (a batch that cannot be read, a table of keys that is too small) is told
 * once, counted and left alone until the next start; the others go on. The control thread's timers drive it; what is done
 * elsewhere comes back as mail that only wakes that thread.
 */
#include "broker/cleaner.h"

enum { PIECE_BYTES = 4 << 20 };

enum cleaner_state {
    CLEANER_IDLE,
    CLEANER_MEASURING,
    CLEANER_BEGINNING,
    CLEANER_STEPPING,
    CLEANER_PAUSING,
    CLEANER_ENDING,
    CLEANER_SAVING
};

/* What is known of one compacted partition. */
struct cleanable {
    struct hash_node in_cleanables;
    struct partition *partition; // counted
    int64_t measured_end_offset; // of the log when it was measured; -1: not yet
    struct log_dirt dirt;
    bool is_uncleanable, is_listed; // is_listed: seen in the round that goes on
};

struct measuring {
    struct chore chore; // first
    struct cleaner *cleaner;
    struct cleanable *of;
};

struct cleaner {
    struct broker *broker;
    enum cleaner_state state;
    uint64_t settings_version; // under which the next four were asked
    int64_t backoff_ms, bytes_per_second;
    size_t map_bytes_max;
    double map_load_factor;
    int64_t rested_ms, pause_ends_ms;
    struct hash cleanables;
    _Atomic int measuring;

    struct cleanable *current;
    struct log_compaction *compaction;
    struct chore chore; // begin, end
    struct io_job job;  // step, save
    struct io_mail mail;
    _Atomic bool is_away; // a chore or job has not come back
    struct status status; // of the last one
    int64_t bytes, bytes_total;
    bool is_done;
    _Atomic uint64_t compactions, compacted_bytes, uncleanables;
};

struct cleaner *cleaner__create(struct broker *broker)
{
    struct cleaner *cleaner = mem_zalloc(sizeof *cleaner);
    cleaner->broker = broker;
    cleaner->rested_ms = io_now_ms();
    cleaner->mail.kind = MAIL_WAKE;
    hash_init(&cleaner->cleanables);
    return cleaner;
}

/* Nothing of it may be in the pool. */
static void settings_look(struct cleaner *cleaner)
{
    struct broker *broker = cleaner->broker;
    const struct meta_image *image = ctrl_view(control__ctrl(broker->control));
    uint64_t version = broker__settings_version(broker, image);
    if (version == cleaner->settings_version)
        return;
    cleaner->settings_version = version;
    cleaner->backoff_ms = broker__setting_i64(broker, image, "log.cleaner.backoff.ms");
    cleaner->map_bytes_max = (size_t)broker__setting_i64(broker, image, "log.cleaner.dedupe.buffer.size");
    cleaner->map_load_factor = broker__setting_f64(broker, image, "log.cleaner.io.buffer.load.factor");
    double rate = broker__setting_f64(broker, image, "log.cleaner.io.max.bytes.per.second");
    cleaner->bytes_per_second = rate >= (double)(INT64_MAX / 2) ? INT64_MAX : (int64_t)max_i64((int64_t)rate, 1);
}

static void forget(struct cleaner *cleaner, struct cleanable *cleanable)
{
    hash_remove(&cleaner->cleanables, &cleanable->in_cleanables);
    partition_unref(cleanable->partition);
    mem_free(cleanable);
}

void cleaner__free(struct cleaner *cleaner)
{
    if (!cleaner)
        return;
    log_compaction_free(cleaner->compaction);
    for (struct hash_node *node; (node = hash_iterate(&cleaner->cleanables, NULL));)
        forget(cleaner, CONTAINER_OF(node, struct cleanable, in_cleanables));
    hash_free(&cleaner->cleanables);
    mem_free(cleaner);
}

static void wake(struct cleaner *cleaner)
{
    io_loop_send(control__loop(cleaner->broker->control), &cleaner->mail);
}

/* ---- measuring */
static bool is_compacted(struct partition *p)
{
    struct log *log = partition_log(p);
    return log && !partition_is_offline(p) && !partition_is_retired(p) && partition_config_get(p).compacted;
}

static struct cleanable *find(struct cleaner *cleaner, struct partition *p)
{
    uint64_t hash = broker__partition_hash(partition_topic_id(p), partition_index(p));
    for (struct hash_node *node = hash_first(&cleaner->cleanables, hash); node; node = hash_next(node)) {
        struct cleanable *cleanable = CONTAINER_OF(node, struct cleanable, in_cleanables);
        if (cleanable->partition == p)
            return cleanable;
    }
    struct cleanable *fresh = mem_zalloc(sizeof *fresh);
    fresh->partition = p;
    fresh->measured_end_offset = -1;
    partition_ref(p);
    hash_insert(&cleaner->cleanables, &fresh->in_cleanables, hash);
    return fresh;
}

static int64_t limit_of(struct partition *p, struct log *log)
{
    return log_last_stable_offset(log, partition_high_watermark(p));
}

static void measure_run(struct chore *chore)
{
    struct measuring *measuring = CONTAINER_OF(chore, struct measuring, chore);
    struct cleaner *cleaner = measuring->cleaner;
    struct cleanable *of = measuring->of;
    struct log *log = partition_log(chore->partition);
    of->measured_end_offset = log_end_offset(log);
    struct status s = log_dirt(log, limit_of(chore->partition, log), io_wall_ms(), &of->dirt);
    if (!status_is_ok(s))
        of->dirt = (struct log_dirt){0};
    mem_free(measuring);
    if (atomic_fetch_sub(&cleaner->measuring, 1) == 1)
        wake(cleaner);
}

/* A log that has not grown is as dirty as before, unless time alone makes it due. */
static bool may_have_changed(const struct cleanable *cleanable, struct partition *p)
{
    const struct log_config config = partition_config_get(p).log;
    bool time_matters = config.max_compaction_lag_ms < INT64_MAX || config.min_compaction_lag_ms > 0;
    return time_matters || cleanable->measured_end_offset != log_end_offset(partition_log(p));
}

static void measure_one(void *context, struct partition *p)
{
    struct cleaner *cleaner = context;
    if (!is_compacted(p))
        return;
    struct cleanable *of = find(cleaner, p);
    of->is_listed = true;
    if (of->is_uncleanable || !may_have_changed(of, p))
        return;
    struct measuring *measuring = mem_zalloc(sizeof *measuring);
    *measuring = (struct measuring){.chore = {.run = measure_run}, .cleaner = cleaner, .of = of};
    atomic_fetch_add(&cleaner->measuring, 1);
    partition_chore(p, &measuring->chore);
}

static void measure_start(struct cleaner *cleaner)
{
    cleaner->state = CLEANER_MEASURING;
    for (struct hash_node *node = NULL; (node = hash_iterate(&cleaner->cleanables, node));)
        CONTAINER_OF(node, struct cleanable, in_cleanables)->is_listed = false;
    atomic_store(&cleaner->measuring, 1); // our own, so that the last one comes after all were started
    broker__partitions_each(cleaner->broker, measure_one, cleaner);
    atomic_fetch_sub(&cleaner->measuring, 1);
}

/* Those that are gone are forgotten. The dirtiest of those that are due; NULL when none is. */
static struct cleanable *choose(struct cleaner *cleaner)
{
    struct cleanable *best = NULL;
    double best_ratio = -1;
    for (struct hash_node *node = hash_iterate(&cleaner->cleanables, NULL), *next; node; node = next) {
        next = hash_iterate(&cleaner->cleanables, node);
        struct cleanable *cleanable = CONTAINER_OF(node, struct cleanable, in_cleanables);
        if (!cleanable->is_listed) {
            forget(cleaner, cleanable);
            continue;
        }
        int64_t total = cleanable->dirt.clean_bytes + cleanable->dirt.cleanable_bytes;
        double ratio = total > 0 ? (double)cleanable->dirt.cleanable_bytes / (double)total : 0;
        if (cleanable->is_uncleanable || !cleanable->dirt.is_due || ratio <= best_ratio)
            continue;
        if (partition_future_get(cleanable->partition).log_dir) // it moves: as in Kafka, it is cleaned where it arrives
            continue;
        if (!partition_may_take(cleanable->partition, total)) // old and new files lie side by side until the end
            continue;
        best = cleanable;
        best_ratio = ratio;
    }
    return best;
}

/* ---- cleaning one */
static void come_back(struct cleaner *cleaner)
{
    atomic_store(&cleaner->is_away, false);
    wake(cleaner);
}

static bool can_go_on(struct partition *p)
{
    return partition_log(p) && !partition_is_offline(p) && !partition_is_retired(p);
}

static void begin_run(struct chore *chore)
{
    struct cleaner *cleaner = CONTAINER_OF(chore, struct cleaner, chore);
    struct partition *p = chore->partition;
    cleaner->status = STATUS_OK;
    if (can_go_on(p)) {
        struct log *log = partition_log(p);
        struct log_compaction_options options = {
            .limit_offset = limit_of(p, log),
            .now_ms = io_wall_ms(),
            .map_bytes_max = cleaner->map_bytes_max,
            .map_load_factor = cleaner->map_load_factor,
        };
        cleaner->status = log_compaction_begin(log, &options, &cleaner->compaction);
    }
    come_back(cleaner);
}

static void step_run(struct io_job *job)
{
    struct cleaner *cleaner = CONTAINER_OF(job, struct cleaner, job);
    int64_t piece = min_i64(PIECE_BYTES, cleaner->bytes_per_second);
    cleaner->status = log_compaction_step(cleaner->compaction, piece, &cleaner->bytes, &cleaner->is_done);
    come_back(cleaner);
}

static void end_run(struct chore *chore)
{
    struct cleaner *cleaner = CONTAINER_OF(chore, struct cleaner, chore);
    struct partition *p = chore->partition;
    cleaner->status = STATUS_OK;
    if (can_go_on(p)) {
        cleaner->status = log_compaction_end(cleaner->compaction, io_wall_ms());
        if (log_is_offline(partition_log(p)))
            partition_take_offline(p, cleaner->status);
    }
    come_back(cleaner);
}

static void save_run(struct io_job *job)
{
    struct cleaner *cleaner = CONTAINER_OF(job, struct cleaner, job);
    cleaner->status = checkpoints__write(cleaner->broker->checkpoints, CHECKPOINT_CLEANED);
    come_back(cleaner);
}

static void send_chore(struct cleaner *cleaner, enum cleaner_state state, void (*run)(struct chore *chore))
{
    cleaner->state = state;
    atomic_store(&cleaner->is_away, true);
    cleaner->chore = (struct chore){.run = run};
    partition_chore(cleaner->current->partition, &cleaner->chore);
}

static void send_job(struct cleaner *cleaner, enum cleaner_state state, void (*run)(struct io_job *job))
{
    cleaner->state = state;
    atomic_store(&cleaner->is_away, true);
    cleaner->job = (struct io_job){.run = run};
    io_pool_submit(cleaner->broker->pool, IO_LANE_BACKGROUND, &cleaner->job);
}

static void rest(struct cleaner *cleaner, int64_t now_ms)
{
    log_compaction_free(cleaner->compaction);
    cleaner->compaction = NULL;
    cleaner->current = NULL;
    cleaner->state = CLEANER_IDLE;
    cleaner->rested_ms = now_ms;
}

/* Its fault, not the disk's: that would have taken the partition offline. No space is nobody's: there may be some later. */
static void give_up(struct cleaner *cleaner, int64_t now_ms)
{
    struct partition *p = cleaner->current->partition;
    if (cleaner->status.error == ENOSPC) {
        LOG(LOG_WARN, "broker", "%s-%d is compacted later: %s: %s", partition_topic(p), (int)partition_index(p),
            cleaner->status.what, strerror(cleaner->status.error));
        rest(cleaner, now_ms);
        return;
    }
    LOG(LOG_ERROR, "broker", "%s-%d is not compacted any more until the next start: %s: %s", partition_topic(p),
        (int)partition_index(p), cleaner->status.what, strerror(cleaner->status.error));
    cleaner->current->is_uncleanable = true;
    atomic_fetch_add(&cleaner->uncleanables, 1);
    rest(cleaner, now_ms);
}

static void cleaned(struct cleaner *cleaner)
{
    struct partition *p = cleaner->current->partition;
    LOG(LOG_INFO, "broker", "compacted %s-%d up to offset %lld", partition_topic(p), (int)partition_index(p),
        (long long)log_first_dirty_offset(partition_log(p)));
    atomic_fetch_add(&cleaner->compactions, 1);
    cleaner->current->measured_end_offset = -1;
    log_compaction_free(cleaner->compaction);
    cleaner->compaction = NULL;
    send_job(cleaner, CLEANER_SAVING, save_run);
}

/* ---- the tick */
static void stepped(struct cleaner *cleaner, int64_t now_ms)
{
    atomic_fetch_add(&cleaner->compacted_bytes, (uint64_t)cleaner->bytes);
    if (cleaner->is_done) {
        send_chore(cleaner, CLEANER_ENDING, end_run);
        return;
    }
    int64_t pause_ms = cleaner->bytes_per_second == INT64_MAX ? 0 : cleaner->bytes * 1000 / cleaner->bytes_per_second;
    if (pause_ms == 0) {
        send_job(cleaner, CLEANER_STEPPING, step_run);
        return;
    }
    cleaner->state = CLEANER_PAUSING;
    cleaner->pause_ends_ms = now_ms + pause_ms;
}

/* What came back decides what is next. */
static void advance(struct cleaner *cleaner, int64_t now_ms)
{
    bool failed = !status_is_ok(cleaner->status);
    switch (cleaner->state) {
    case CLEANER_BEGINNING:
        if (failed)
            give_up(cleaner, now_ms);
        else if (cleaner->compaction)
            send_job(cleaner, CLEANER_STEPPING, step_run);
        else
            rest(cleaner, now_ms);
        return;
    case CLEANER_STEPPING:
        if (failed)
            give_up(cleaner, now_ms);
        else
            stepped(cleaner, now_ms);
        return;
    case CLEANER_ENDING:
        if (failed)
            give_up(cleaner, now_ms);
        else
            cleaned(cleaner);
        return;
    case CLEANER_SAVING: // a file that could not be written was logged; the next round cleans once more
        measure_start(cleaner);
        return;
    case CLEANER_IDLE:
    case CLEANER_MEASURING:
    case CLEANER_PAUSING:
        break;
    }
    assert(!"a state that waits for something");
}

/* A later one than any clock tells is never. */
static int64_t due_ms(const struct cleaner *cleaner)
{
    int64_t due;
    return __builtin_add_overflow(cleaner->rested_ms, cleaner->backoff_ms, &due) ? INT64_MAX : due;
}

int64_t cleaner__tick(struct cleaner *cleaner, int64_t now_ms)
{
    if (!cleaner__is_busy(cleaner))
        settings_look(cleaner);
    switch (cleaner->state) {
    case CLEANER_IDLE:
        if (now_ms < due_ms(cleaner))
            return due_ms(cleaner);
        measure_start(cleaner);
        return now_ms;
    case CLEANER_MEASURING:
        if (atomic_load(&cleaner->measuring) > 0)
            return INT64_MAX;
        cleaner->current = choose(cleaner);
        if (!cleaner->current) {
            rest(cleaner, now_ms);
            return due_ms(cleaner);
        }
        send_chore(cleaner, CLEANER_BEGINNING, begin_run);
        return INT64_MAX;
    case CLEANER_PAUSING:
        if (now_ms < cleaner->pause_ends_ms)
            return cleaner->pause_ends_ms;
        send_job(cleaner, CLEANER_STEPPING, step_run);
        return INT64_MAX;
    case CLEANER_BEGINNING:
    case CLEANER_STEPPING:
    case CLEANER_ENDING:
    case CLEANER_SAVING:
        break;
    }
    if (!atomic_load(&cleaner->is_away))
        advance(cleaner, now_ms);
    return atomic_load(&cleaner->is_away) ? INT64_MAX : now_ms;
}

bool cleaner__is_busy(const struct cleaner *cleaner)
{
    return atomic_load(&cleaner->is_away) || atomic_load(&cleaner->measuring) > 0;
}

const struct partition *cleaner__at(const struct cleaner *cleaner)
{
    return cleaner->current ? cleaner->current->partition : NULL;
}

void cleaner__numbers(const struct cleaner *cleaner, struct broker_numbers *numbers)
{
    numbers->compactions = atomic_load(&cleaner->compactions);
    numbers->compacted_bytes = atomic_load(&cleaner->compacted_bytes);
    numbers->partitions_uncleanable = atomic_load(&cleaner->uncleanables);
}
