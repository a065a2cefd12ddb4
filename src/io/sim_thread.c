// SPDX-License-Identifier: Apache-2.0
/* io/sim_thread.c - clock, randomness, threads, locks and the pool on coroutines.
 *
 * A thread is a coroutine of the caller's kind (broker or client). A lock is a word with an owner: releasing one that
 * another thread holds, or taking one's own twice, is a bug and asserts.
 */
#include "io/sim__.h"

#include <errno.h>

/* ---- clock and randomness */
int64_t io_now_ns(void)
{
    sim__step("now");
    return sim__world->now_ns;
}

int64_t io_now_ms(void)
{
    return io_now_ns() / 1000000;
}

int64_t io_wall_ms(void)
{
    struct sim_world *world = sim__world;
    sim__step("wall");
    if (sim__one_in(world->faults.wall_jump))
        world->wall_offset_ms += (int64_t)sim__below(7200000) - 3600000;
    return world->wall_offset_ms + world->now_ns / 1000000;
}

void io_random(void *ret_bytes, size_t size)
{
    uint8_t *at = ret_bytes;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)sim__below(256);
}

/* The simulator never signals: a handle that is never readable, on no table. */
int io_signal_open(void)
{
    return -ENOSYS;
}

int io_signal_read(int handle)
{
    return -EAGAIN;
}

/* ---- threads */
struct io_thread {
    struct sim_co *co;
};

struct io_thread *io_thread_start(const char *name, void (*run)(void *), void *context)
{
    sim__step("thread start");
    struct io_thread *thread = mem_zalloc(sizeof *thread);
    thread->co = sim__start(sim__world, name, run, context, sim__is_broker());
    return thread;
}

static bool is_done(void *argument)
{
    return ((struct sim_co *)argument)->is_done;
}

void io_thread_join(struct io_thread *thread)
{
    if (!thread)
        return;
    sim__step("thread join");
    if (!thread->co->is_done)
        sim__wait("thread join", is_done, thread->co, INT64_MAX);
    sim__co_free(thread->co);
    mem_free(thread);
}

void io_thread_stand_back(void)
{
} // every coroutine has its turn by the seed

int64_t io_memory_bytes(void)
{
    return 1 << 30;
}

int io_cpu_count(void)
{
    return 2;
}

/* ---- locks */
struct io_lock {
    struct sim_co *owner;
    bool is_taken;
};

struct io_lock *io_lock_create(void)
{
    return mem_zalloc(sizeof(struct io_lock));
}

void io_lock_destroy(struct io_lock *lock)
{
    if (!lock)
        return;
    assert(!lock->is_taken);
    mem_free(lock);
}

static bool is_free(void *argument)
{
    return !((struct io_lock *)argument)->is_taken;
}

void io_lock_take(struct io_lock *lock)
{
    sim__step("lock take");
    assert(!lock->is_taken || lock->owner != sim__world->current);
    while (lock->is_taken)
        sim__wait("lock take", is_free, lock, INT64_MAX);
    *lock = (struct io_lock){.owner = sim__world->current, .is_taken = true};
}

bool io_lock_try(struct io_lock *lock)
{
    sim__step("lock try");
    if (lock->is_taken)
        return false;
    *lock = (struct io_lock){.owner = sim__world->current, .is_taken = true};
    return true;
}

void io_lock_release(struct io_lock *lock)
{
    assert(lock->is_taken && lock->owner == sim__world->current);
    *lock = (struct io_lock){0};
    sim__step("lock release");
}

/* ---- pool */
struct lane {
    struct io_pool *pool;
    struct io_job *first, **tail;
    bool is_stopping;
    int thread_count;
    struct io_thread **threads;
};

struct io_pool {
    struct lane lanes[IO_LANE_COUNT];
    int unfinished_count; // queued or running
};

static bool has_news(void *argument)
{
    const struct lane *lane = argument;
    return lane->first || lane->is_stopping;
}

static struct io_job *lane_take(struct lane *lane)
{
    sim__step("pool");
    while (!has_news(lane))
        sim__wait("pool", has_news, lane, INT64_MAX);
    struct io_job *job = lane->first;
    if (job) {
        lane->first = job->next;
        if (!lane->first)
            lane->tail = &lane->first;
    }
    return job;
}

static void lane_run(void *context)
{
    struct lane *lane = context;
    for (struct io_job *job; (job = lane_take(lane));) {
        job->run(job);
        lane->pool->unfinished_count--;
    }
}

struct io_pool *io_pool_create(const int thread_counts[IO_LANE_COUNT])
{
    struct io_pool *pool = mem_zalloc(sizeof *pool);
    for (int i = 0; i < IO_LANE_COUNT; i++) {
        struct lane *lane = &pool->lanes[i];
        lane->pool = pool;
        lane->tail = &lane->first;
        lane->thread_count = thread_counts[i];
        lane->threads = mem_zalloc((size_t)lane->thread_count * sizeof *lane->threads);
        for (int t = 0; t < lane->thread_count; t++)
            lane->threads[t] = io_thread_start("pool", lane_run, lane);
    }
    return pool;
}

void io_pool_submit(struct io_pool *pool, enum io_lane which, struct io_job *job)
{
    struct lane *lane = &pool->lanes[which];
    assert(lane->thread_count > 0 && !lane->is_stopping);
    job->next = NULL;
    *lane->tail = job;
    lane->tail = &job->next;
    pool->unfinished_count++;
    sim__step("pool submit");
}

static bool is_finished(void *argument)
{
    const struct io_pool *pool = argument;
    return pool->unfinished_count == 0;
}

void io_pool_finish(struct io_pool *pool)
{
    sim__step("pool finish");
    while (!is_finished(pool))
        sim__wait("pool finish", is_finished, pool, INT64_MAX);
}

void io_pool_destroy(struct io_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < IO_LANE_COUNT; i++) {
        struct lane *lane = &pool->lanes[i];
        lane->is_stopping = true;
        for (int t = 0; t < lane->thread_count; t++)
            io_thread_join(lane->threads[t]);
        mem_free(lane->threads);
    }
    mem_free(pool);
}
