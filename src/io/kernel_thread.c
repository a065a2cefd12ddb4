// SPDX-License-Identifier: Apache-2.0
/* io/kernel_thread.c - threads, locks and the pool of the real machine. */
#include "io/io.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct io_thread {
    pthread_t handle;
    void (*run)(void *);
    void *context;
    char name[16];
};

static void *thread_main(void *p)
{
    struct io_thread *thread = p;
    pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->context);
    return NULL;
}

struct io_thread *io_thread_start(const char *name, void (*run)(void *), void *context)
{
    struct io_thread *thread = mem_zalloc(sizeof *thread);
    thread->run = run;
    thread->context = context;
    snprintf(thread->name, sizeof thread->name, "%s", name);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 512 << 10);
    int error = pthread_create(&thread->handle, &attributes, thread_main, thread);
    pthread_attr_destroy(&attributes);
    if (error) {
        fprintf(stderr, "ottla: cannot start thread %s: %s\n", name, strerror(error));
        abort();
    }
    return thread;
}

void io_thread_join(struct io_thread *thread)
{
    if (!thread)
        return;
    pthread_join(thread->handle, NULL);
    mem_free(thread);
}

/* What the kernel refuses leaves the thread as it was. The lowest of the best-effort classes, not idle: a disk that is never
 * at rest would let an idle one wait for ever. */
void io_thread_stand_back(void)
{
    enum { NICER = 15, NICEST = 19, IO_WHO_PROCESS = 1, IO_CLASS_BEST_EFFORT = 2, IO_CLASS_SHIFT = 13, IO_LOWEST = 7 };
    struct sched_param none = {0};
    id_t self = (id_t)syscall(SYS_gettid);
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    int nice = getpriority(PRIO_PROCESS, self) + NICER;
    setpriority(PRIO_PROCESS, self, nice < NICEST ? nice : NICEST);
    syscall(SYS_ioprio_set, IO_WHO_PROCESS, 0, IO_CLASS_BEST_EFFORT << IO_CLASS_SHIFT | IO_LOWEST);
}

/* Cores that the cgroup lets us use, rounded up; 0 when it sets no limit. */
static int cgroup_cpus(void)
{
    char line[64] = "", *end;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    bool got = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    long long quota = got ? strtoll(line, &end, 10) : 0; // "max 100000" has none
    long long period = quota > 0 ? strtoll(end, NULL, 10) : 0;
    return period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int64_t io_memory_bytes(void)
{
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    char line[64] = "";
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
    if (!file)
        return memory;
    long long limit = fgets(line, sizeof line, file) ? strtoll(line, NULL, 10) : 0; // "max" is none
    fclose(file);
    return limit > 0 && limit < memory ? limit : memory;
}

int io_cpu_count(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int limit = cgroup_cpus();
    if (limit > 0 && limit < count)
        count = limit;
    return count > 0 ? count : 1;
}

/* ---- locks */
struct io_lock {
    pthread_mutex_t mutex;
};

struct io_lock *io_lock_create(void)
{
    struct io_lock *lock = mem_zalloc(sizeof *lock);
    pthread_mutex_init(&lock->mutex, NULL);
    return lock;
}

void io_lock_destroy(struct io_lock *lock)
{
    if (!lock)
        return;
    pthread_mutex_destroy(&lock->mutex);
    mem_free(lock);
}

void io_lock_take(struct io_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

bool io_lock_try(struct io_lock *lock)
{
    return pthread_mutex_trylock(&lock->mutex) == 0;
}

void io_lock_release(struct io_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

/* ---- pool: a queue and its own threads for each lane */
struct lane {
    struct io_pool *pool;
    pthread_mutex_t mutex;
    pthread_cond_t ready;
    struct io_job *first, **tail;
    bool stopping;
    int thread_count;
    struct io_thread **threads;
};

struct io_pool {
    struct lane lanes[IO_LANE_COUNT];
    _Atomic int unfinished_count; // queued or running
    pthread_mutex_t mutex;        // for those who wait until there are none
    pthread_cond_t finished;
};

static struct io_job *lane_take(struct lane *lane)
{
    pthread_mutex_lock(&lane->mutex);
    while (!lane->first && !lane->stopping)
        pthread_cond_wait(&lane->ready, &lane->mutex);
    struct io_job *job = lane->first;
    if (job) {
        lane->first = job->next;
        if (!lane->first)
            lane->tail = &lane->first;
    }
    pthread_mutex_unlock(&lane->mutex);
    return job;
}

static void finished_one(struct io_pool *pool)
{
    if (atomic_fetch_sub(&pool->unfinished_count, 1) > 1)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->finished);
    pthread_mutex_unlock(&pool->mutex);
}

static void lane_run(void *context)
{
    struct lane *lane = context;
    for (struct io_job *job; (job = lane_take(lane));) {
        job->run(job);
        finished_one(lane->pool);
    }
}

struct io_pool *io_pool_create(const int thread_counts[IO_LANE_COUNT])
{
    struct io_pool *pool = mem_zalloc(sizeof *pool);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->finished, NULL);
    for (int i = 0; i < IO_LANE_COUNT; i++) {
        struct lane *lane = &pool->lanes[i];
        pthread_mutex_init(&lane->mutex, NULL);
        pthread_cond_init(&lane->ready, NULL);
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
    assert(lane->thread_count > 0);
    job->next = NULL;
    atomic_fetch_add(&pool->unfinished_count, 1);
    pthread_mutex_lock(&lane->mutex);
    *lane->tail = job;
    lane->tail = &job->next;
    pthread_cond_signal(&lane->ready);
    pthread_mutex_unlock(&lane->mutex);
}

void io_pool_finish(struct io_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load(&pool->unfinished_count) > 0)
        pthread_cond_wait(&pool->finished, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

void io_pool_destroy(struct io_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < IO_LANE_COUNT; i++) {
        struct lane *lane = &pool->lanes[i];
        pthread_mutex_lock(&lane->mutex);
        lane->stopping = true;
        pthread_cond_broadcast(&lane->ready);
        pthread_mutex_unlock(&lane->mutex);
        for (int t = 0; t < lane->thread_count; t++)
            io_thread_join(lane->threads[t]);
        mem_free(lane->threads);
        pthread_mutex_destroy(&lane->mutex);
        pthread_cond_destroy(&lane->ready);
    }
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->finished);
    mem_free(pool);
}
