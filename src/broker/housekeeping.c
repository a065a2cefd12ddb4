// SPDX-License-Identifier: Apache-2.0
/* broker/housekeeping.c - what is done now and then: retention, recovery points, checkpoint files, expired producers,
 * directories of deleted partitions, compaction (cleaner.c), moves between log directories (moves.c), and a look for log
 * directories that have failed.
 *
 * The control thread's timers start it, the pool does it: work on a log is a chore (it holds the partition's turn, appends
 * queue meanwhile), files are written by one job at a time. A round that is not over when the next is due is not doubled.
 */
#include "broker/cleaner.h"
#include "broker/moves.h"

enum keeping_kind {
    KEEP_RETENTION,  // log.retention.check.interval.ms
    KEEP_DELETES,    // files of segments that are gone, after file.delete.delay.ms
    KEEP_PRODUCERS,  // producer.id.expiration.check.interval.ms
    KEEP_CHECKPOINT, // log.flush.offset.checkpoint.interval.ms
    KEEP_START,      // log.flush.start.offset.checkpoint.interval.ms
    KEEP_VISIBLE,    // replica.high.watermark.checkpoint.interval.ms
    KEEP_FLUSHED,    // the flushed mark
    KEEP_FLUSH,      // log.flush.scheduler.interval.ms: logs that flush.ms wants on the disk
    KEEP_FAULTS,     // log directories that have failed
    KEEP_KINDS,
};

enum { FLUSHED_MS = 5000, DELETES_MS = 5000, FAULTS_MS = 1000 };

struct doomed_directory {
    struct io_job job; // first
    struct doomed_directory *next;
    struct housekeeping *keeping;
    char *path;
    int64_t due_ms;
};

struct housekeeping {
    struct broker *broker;
    int64_t due_ms[KEEP_KINDS], interval_ms[KEEP_KINDS];
    _Atomic int chores_running, jobs_running;
    bool points_moved; // recovery points were asked to move: their file follows when the chores are done
    struct io_job files;
    _Atomic bool files_running;
    uint32_t files_wanted, files_writing; // bit n: kind n of checkpoint
    struct doomed_directory *doomed;
    struct cleaner *cleaner;
    struct moves *moves;
};

/* A chore on one partition's log. */
struct keeping_chore {
    struct chore chore; // first
    struct housekeeping *keeping;
    enum keeping_kind kind;
};

/* An interval may be as long as there are numbers. */
static int64_t later(int64_t now_ms, int64_t interval_ms)
{
    return interval_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + interval_ms;
}

struct housekeeping *housekeeping__create(struct broker *broker)
{
    struct housekeeping *keeping = mem_zalloc(sizeof *keeping);
    const struct meta_settings *settings = broker->options.settings;
    keeping->broker = broker;
    keeping->interval_ms[KEEP_RETENTION] = broker->options.retention_check_ms;
    keeping->interval_ms[KEEP_DELETES] = DELETES_MS;
    keeping->interval_ms[KEEP_PRODUCERS] = meta_settings_i64(settings, "producer.id.expiration.check.interval.ms");
    keeping->interval_ms[KEEP_CHECKPOINT] = broker->options.checkpoint_ms;
    keeping->interval_ms[KEEP_START] = meta_settings_i64(settings, "log.flush.start.offset.checkpoint.interval.ms");
    keeping->interval_ms[KEEP_VISIBLE] = meta_settings_i64(settings, "replica.high.watermark.checkpoint.interval.ms");
    keeping->interval_ms[KEEP_FLUSHED] = FLUSHED_MS;
    keeping->interval_ms[KEEP_FAULTS] = FAULTS_MS;
    keeping->interval_ms[KEEP_FLUSH] = meta_settings_i64(settings, "log.flush.scheduler.interval.ms");
    keeping->cleaner = cleaner__create(broker);
    keeping->moves = moves__create(broker);
    int64_t now_ms = io_now_ms();
    for (int kind = 0; kind < KEEP_KINDS; kind++)
        keeping->due_ms[kind] = later(now_ms, keeping->interval_ms[kind]);
    keeping->due_ms[KEEP_RETENTION] = now_ms + meta_settings_i64(settings, "log.initial.task.delay.ms");
    return keeping;
}

void housekeeping__free(struct housekeeping *keeping)
{
    if (!keeping)
        return;
    for (struct doomed_directory *doomed = keeping->doomed, *next; doomed; doomed = next) {
        next = doomed->next; // the next start goes on
        mem_free(doomed->path);
        mem_free(doomed);
    }
    cleaner__free(keeping->cleaner);
    moves__free(keeping->moves);
    mem_free(keeping);
}

struct moves *housekeeping__moves(struct housekeeping *keeping)
{
    return keeping->moves;
}

/* ---- chores on logs */
static struct status chore_do(enum keeping_kind kind, struct partition *p, struct log *log)
{
    switch (kind) {
    case KEEP_RETENTION:
        return log_retain(log, partition_high_watermark(p), io_wall_ms());
    case KEEP_DELETES:
        log_deletes_finish(log, io_wall_ms());
        return STATUS_OK;
    case KEEP_PRODUCERS:
        log_producers_expire(log, io_wall_ms());
        return STATUS_OK;
    case KEEP_CHECKPOINT:
        return log_checkpoint(log);
    default:
        assert(!"a chore on a log");
        return STATUS_OK;
    }
}

static void chore_run(struct chore *chore)
{
    struct keeping_chore *own = CONTAINER_OF(chore, struct keeping_chore, chore);
    struct partition *p = chore->partition;
    struct log *log = partition_log(p);
    if (log && !partition_is_offline(p) && !partition_is_retired(p)) {
        struct status s = chore_do(own->kind, p, log);
        if (!status_is_ok(s) && log_is_offline(log)) // else only space was missing: a later round does it
            partition_take_offline(p, s);
    }
    atomic_fetch_sub(&own->keeping->chores_running, 1);
    mem_free(own);
}

struct round {
    struct housekeeping *keeping;
    enum keeping_kind kind;
};

static bool is_needed(enum keeping_kind kind, struct partition *p)
{
    const struct log *log = partition_log(p);
    if (!log || partition_is_offline(p))
        return false;
    if (kind == KEEP_DELETES)
        return log_has_deletes(log);
    return kind != KEEP_CHECKPOINT || log_recovery_point(log) < log_end_offset(log);
}

static void chore_start(void *context, struct partition *p)
{
    const struct round *round = context;
    if (!is_needed(round->kind, p))
        return;
    struct keeping_chore *own = mem_zalloc(sizeof *own);
    own->chore.run = chore_run;
    own->keeping = round->keeping;
    own->kind = round->kind;
    atomic_fetch_add(&round->keeping->chores_running, 1);
    partition_chore(p, &own->chore);
}

static void round_start(struct housekeeping *keeping, enum keeping_kind kind)
{
    struct round round = {keeping, kind};
    broker__partitions_each(keeping->broker, chore_start, &round);
}

/* ---- files */
static void files_run(struct io_job *job)
{
    struct housekeeping *keeping = CONTAINER_OF(job, struct housekeeping, files);
    for (int kind = 0; kind < CHECKPOINT_KINDS; kind++)
        if (keeping->files_writing & 1u << kind) {
            struct status s = checkpoints__write(keeping->broker->checkpoints, kind);
            (void)s; // it was logged, and the old file is still true
        }
    atomic_store(&keeping->files_running, false);
}

static void files_start(struct housekeeping *keeping)
{
    if (keeping->points_moved && atomic_load(&keeping->chores_running) == 0) {
        keeping->points_moved = false;
        keeping->files_wanted |= 1u << CHECKPOINT_RECOVERY;
    }
    if (keeping->files_wanted == 0 || atomic_exchange(&keeping->files_running, true))
        return;
    keeping->files_writing = keeping->files_wanted;
    keeping->files_wanted = 0;
    keeping->files = (struct io_job){.run = files_run};
    io_pool_submit(keeping->broker->pool, IO_LANE_BACKGROUND, &keeping->files);
}

/* ---- directories of deleted partitions */
static void doomed_run(struct io_job *job)
{
    struct doomed_directory *doomed = CONTAINER_OF(job, struct doomed_directory, job);
    struct housekeeping *keeping = doomed->keeping;
    struct status s = dir_partition_delete(doomed->path);
    if (!status_is_ok(s))
        LOG(LOG_WARN, "broker", "%s: %s: %s; the next start tries again", doomed->path, s.what, strerror(s.error));
    mem_free(doomed->path);
    mem_free(doomed);
    atomic_fetch_sub(&keeping->jobs_running, 1);
}

void housekeeping__doom(struct housekeeping *keeping, char *directory, int64_t delay_ms)
{
    struct doomed_directory *doomed = mem_zalloc(sizeof *doomed);
    *doomed = (struct doomed_directory){
        .keeping = keeping, .path = directory, .due_ms = io_now_ms() + max_i64(delay_ms, 0), .next = keeping->doomed};
    keeping->doomed = doomed;
}

static int64_t doomed_start(struct housekeeping *keeping, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    for (struct doomed_directory **at = &keeping->doomed, *doomed; (doomed = *at);) {
        if (doomed->due_ms > now_ms) {
            next_ms = min_i64(next_ms, doomed->due_ms);
            at = &doomed->next;
            continue;
        }
        *at = doomed->next;
        doomed->job = (struct io_job){.run = doomed_run};
        atomic_fetch_add(&keeping->jobs_running, 1);
        io_pool_submit(keeping->broker->pool, IO_LANE_BACKGROUND, &doomed->job);
    }
    return next_ms;
}

/* ---- faults */
static void faults_look(struct housekeeping *keeping)
{
    struct broker *broker = keeping->broker;
    for (char *path; (path = broker__partitions_fault(broker)); mem_free(path)) {
        struct log_dir *dir = log_dirs__by_path(&broker->dirs, path);
        if (atomic_load(&dir->offline))
            continue;
        struct status s = control__directory_lost(broker->control, dir);
        if (!status_is_ok(s))
            broker__fail(broker, s);
    }
}

static void flush_if_due(void *context, struct partition *p)
{
    partition_flush_if_due(p, *(int64_t *)context);
}

/* ---- the tick */
static void keep(struct housekeeping *keeping, enum keeping_kind kind)
{
    bool chores_are_over = atomic_load(&keeping->chores_running) == 0;
    switch (kind) {
    case KEEP_RETENTION:
    case KEEP_DELETES:
    case KEEP_PRODUCERS:
        if (chores_are_over)
            round_start(keeping, kind);
        return;
    case KEEP_CHECKPOINT:
        if (chores_are_over)
            round_start(keeping, kind);
        keeping->points_moved = true;
        return;
    case KEEP_START:
        keeping->files_wanted |= 1u << CHECKPOINT_START;
        return;
    case KEEP_VISIBLE:
        keeping->files_wanted |= 1u << CHECKPOINT_VISIBLE;
        return;
    case KEEP_FLUSHED:
        keeping->files_wanted |= 1u << CHECKPOINT_FLUSHED;
        return;
    case KEEP_FLUSH:
        broker__partitions_each(keeping->broker, flush_if_due, &(int64_t){io_now_ms()});
        return;
    case KEEP_FAULTS:
        faults_look(keeping);
        return;
    case KEEP_KINDS:
        break;
    }
    assert(!"a kind of housekeeping");
}

int64_t housekeeping__tick(struct housekeeping *keeping, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    for (int kind = 0; kind < KEEP_KINDS; kind++) {
        if (keeping->due_ms[kind] <= now_ms) {
            keep(keeping, kind);
            keeping->due_ms[kind] = later(now_ms, max_i64(keeping->interval_ms[kind], 1));
        }
        next_ms = min_i64(next_ms, keeping->due_ms[kind]);
    }
    files_start(keeping);
    next_ms = min_i64(next_ms, cleaner__tick(keeping->cleaner, now_ms));
    next_ms = min_i64(next_ms, moves__tick(keeping->moves, now_ms, cleaner__at(keeping->cleaner)));
    return min_i64(next_ms, doomed_start(keeping, now_ms));
}

void housekeeping__finish(struct housekeeping *keeping)
{
    while (atomic_load(&keeping->chores_running) > 0 || atomic_load(&keeping->jobs_running) > 0 ||
           atomic_load(&keeping->files_running) || cleaner__is_busy(keeping->cleaner) || moves__is_busy(keeping->moves))
        crew__pause(keeping->broker->crew);
}

void housekeeping__numbers(const struct housekeeping *keeping, struct broker_numbers *numbers)
{
    cleaner__numbers(keeping->cleaner, numbers);
    moves__numbers(keeping->moves, numbers);
}
