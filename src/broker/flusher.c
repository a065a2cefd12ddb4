// SPDX-License-Identifier: Apache-2.0
/* broker/flusher.c - group commit: one flusher for each broker (its helpers share the dirty files of a round).
 *
 * Partitions mail themselves here when they were written to. A round takes all that are dirty and syncs them, several at
 * a time by helpers in a pool of their own; each publishes its flushed end, high watermark and wake-ups as soon as it is
 * on the disk. A round starts at once when somebody waits for it, else flush_max_delay_ms after the first dirty mail.
 * What is written during a round is dirty for the next one. In page-cache mode only those are dirty whose flush.messages or
 * flush.ms ask for it; a round starts too when a log directory has much that is unflushed, and takes all of it. A failed
 * sync takes its partition offline; it is never tried again as if nothing had happened.
 */
#include "broker/broker__.h"

enum { HELPERS = 8 };

struct flush_helper {
    struct io_job job; // first
    struct io_mail done;
    struct flusher *flusher;
};

struct flusher {
    struct broker *broker;
    struct io_loop *loop;
    struct io_thread *thread;
    struct io_pool *pool;
    struct io_mail stop_mail;
    struct partition **dirty, **round; // each partition with its reference; at most one entry for each partition
    int dirty_count, dirty_capacity, round_count, round_capacity;
    _Atomic int round_next;
    struct flush_helper helpers[HELPERS];
    int helpers_running;
    bool urgent, stopping;
    bool drains; // directories whose budgets asked for it are synced in the next round
    int64_t first_dirty_ns, round_start_ns;
    struct io_lock *numbers_lock;
    struct histogram round_us;
    _Atomic uint64_t rounds, failures;
};

static void dirty_add(struct flusher *flusher, struct partition *p) // takes the reference
{
    if (flusher->dirty_count == flusher->dirty_capacity) {
        flusher->dirty_capacity = flusher->dirty_capacity ? flusher->dirty_capacity * 2 : 64;
        flusher->dirty = mem_realloc(flusher->dirty, (size_t)flusher->dirty_capacity * sizeof flusher->dirty[0]);
    }
    flusher->dirty[flusher->dirty_count++] = p;
}

static void sync_files(struct flusher *flusher)
{
    for (int i; (i = atomic_fetch_add(&flusher->round_next, 1)) < flusher->round_count;) {
        struct partition *p = flusher->round[i];
        struct status s = partition_flush(p);
        if (!status_is_ok(s))
            atomic_fetch_add(&flusher->failures, 1);
        partition_unref(p);
    }
}

static void helper_run(struct io_job *job)
{
    struct flush_helper *helper = CONTAINER_OF(job, struct flush_helper, job);
    sync_files(helper->flusher);
    io_loop_send(helper->flusher->loop, &helper->done);
}

static void round_end(struct flusher *flusher)
{
    int64_t took_us = (io_now_ns() - flusher->round_start_ns) / 1000;
    io_lock_take(flusher->numbers_lock);
    histogram_record(&flusher->round_us, (uint64_t)took_us);
    io_lock_release(flusher->numbers_lock);
    atomic_fetch_add(&flusher->rounds, 1);
    flusher->round_count = 0;
}

static void drain_add(void *context, struct partition *p)
{
    struct flusher *flusher = context;
    struct write_budget *budget = partition_budget(p);
    if (!budget || atomic_load(&budget->unflushed.bytes) <= budget->drain_bytes || !partition_write_back(p))
        return;
    partition_ref(p);
    dirty_add(flusher, p);
}

/* Every partition of a directory that has much unflushed: write-back of all starts here, the round then waits for each. */
static void drain_gather(struct flusher *flusher)
{
    flusher->drains = false;
    broker__partitions_each(flusher->broker, drain_add, flusher);
}

/* The flusher itself syncs too; helpers come only when there is more than one file each. */
static void round_start(struct flusher *flusher)
{
    assert(flusher->round_count == 0 && flusher->helpers_running == 0);
    if (flusher->drains)
        drain_gather(flusher);
    struct partition **free_array = flusher->round;
    int free_capacity = flusher->round_capacity;
    flusher->round = flusher->dirty;
    flusher->round_capacity = flusher->dirty_capacity;
    flusher->round_count = flusher->dirty_count;
    flusher->dirty = free_array;
    flusher->dirty_capacity = free_capacity;
    flusher->dirty_count = 0;
    flusher->urgent = false;
    flusher->round_start_ns = io_now_ns();
    atomic_store(&flusher->round_next, 0);
    int helpers = (int)min_i64(HELPERS, max_i64(0, flusher->round_count - 1));
    for (int i = 0; i < helpers; i++) {
        flusher->helpers_running++;
        io_pool_submit(flusher->pool, IO_LANE_FILE, &flusher->helpers[i].job);
    }
    sync_files(flusher);
    if (flusher->helpers_running == 0)
        round_end(flusher);
}

static void take_dirty(struct flusher *flusher, struct partition *p)
{
    if (flusher->dirty_count == 0)
        flusher->first_dirty_ns = io_now_ns();
    dirty_add(flusher, p); // the mail's reference
    flusher->urgent |= partition_flush_is_urgent(p);
}

static void take_mail(struct flusher *flusher)
{
    struct io_mail *chain = io_loop_mail(flusher->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));) {
        if (mail->kind == MAIL_DIRTY)
            take_dirty(flusher, partition_of_dirty_mail(mail));
        else if (mail->kind == MAIL_FLUSHED && --flusher->helpers_running == 0)
            round_end(flusher);
        else if (mail->kind == MAIL_DRAIN)
            flusher->drains = true;
        else if (mail->kind == MAIL_STOP)
            flusher->stopping = true;
    }
}

static int64_t wait_deadline_ns(const struct flusher *flusher)
{
    if (flusher->round_count > 0 || flusher->dirty_count == 0)
        return INT64_MAX;
    return flusher->first_dirty_ns + (int64_t)flusher->broker->options.flush_max_delay_ms * 1000000;
}

static bool round_is_due(const struct flusher *flusher)
{
    if (flusher->round_count > 0 || (flusher->dirty_count == 0 && !flusher->drains))
        return false;
    return flusher->urgent || flusher->drains || flusher->stopping || io_now_ns() >= wait_deadline_ns(flusher);
}

static void run(void *context)
{
    struct flusher *flusher = context;
    for (;;) {
        take_mail(flusher);
        if (round_is_due(flusher)) {
            round_start(flusher);
            continue;
        }
        if (flusher->stopping && flusher->round_count == 0 && flusher->dirty_count == 0)
            return;
        struct io_event none[1];
        io_loop_wait(flusher->loop, none, 1, wait_deadline_ns(flusher));
    }
}

struct flusher *flusher__start(struct broker *broker)
{
    struct flusher *flusher = mem_zalloc(sizeof *flusher);
    flusher->broker = broker;
    flusher->loop = io_loop_create();
    flusher->numbers_lock = io_lock_create();
    flusher->pool = io_pool_create((const int[IO_LANE_COUNT]){[IO_LANE_FILE] = HELPERS});
    flusher->stop_mail.kind = MAIL_STOP;
    for (int i = 0; i < HELPERS; i++)
        flusher->helpers[i] =
            (struct flush_helper){.job = {.run = helper_run}, .done = {.kind = MAIL_FLUSHED}, .flusher = flusher};
    flusher->thread = io_thread_start("flusher", run, flusher);
    return flusher;
}

void flusher__stop(struct flusher *flusher)
{
    if (!flusher)
        return;
    io_loop_send(flusher->loop, &flusher->stop_mail);
    io_thread_join(flusher->thread);
    io_pool_destroy(flusher->pool);
    io_loop_destroy(flusher->loop);
    io_lock_destroy(flusher->numbers_lock);
    mem_free(flusher->dirty);
    mem_free(flusher->round);
    mem_free(flusher);
}

struct io_loop *flusher__loop(struct flusher *flusher)
{
    return flusher->loop;
}

void flusher__numbers(struct flusher *flusher, struct broker_numbers *numbers)
{
    numbers->flush_rounds = atomic_load(&flusher->rounds);
    numbers->flush_failures = atomic_load(&flusher->failures);
    io_lock_take(flusher->numbers_lock);
    numbers->flush_p50_us = histogram_percentile(&flusher->round_us, 50);
    numbers->flush_p99_us = histogram_percentile(&flusher->round_us, 99);
    io_lock_release(flusher->numbers_lock);
}
