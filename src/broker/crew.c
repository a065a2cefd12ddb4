// SPDX-License-Identifier: Apache-2.0
/* broker/crew.c - many similar jobs that may wait for the disk: opening, making, closing partitions.
 *
 * A few jobs in the pool take numbers until none is left, then mail the one who waits. The mailbox outlives the jobs: a
 * sender may still be inside of it when its mail has been taken.
 */
#include "broker/broker__.h"

enum { PROGRESS_MS = 2000, PAUSE_NS = 2000000 };

struct crew_member {
    struct io_job job; // first
    struct io_mail done;
    struct crew *crew;
};

struct crew {
    struct broker *broker;
    struct io_loop *loop;
    struct crew_member members[BROKER_CREW];
    int working;
    int count;
    _Atomic int next, done;
    void (*run)(void *context, int number, int member);
    void *context;
};

struct crew *crew__create(struct broker *broker)
{
    struct crew *crew = mem_zalloc(sizeof *crew);
    crew->broker = broker;
    crew->loop = io_loop_create();
    return crew;
}

void crew__free(struct crew *crew)
{
    if (!crew)
        return;
    io_loop_destroy(crew->loop);
    mem_free(crew);
}

static void member_run(struct io_job *job)
{
    struct crew_member *member = CONTAINER_OF(job, struct crew_member, job);
    struct crew *crew = member->crew;
    for (int number; (number = atomic_fetch_add(&crew->next, 1)) < crew->count;) {
        crew->run(crew->context, number, (int)(member - crew->members));
        atomic_fetch_add(&crew->done, 1);
    }
    io_loop_send(crew->loop, &member->done);
}

static void wait_for_all(struct crew *crew, void (*progress)(void *context, int done))
{
    int64_t tell_at_ms = io_now_ms() + PROGRESS_MS;
    while (crew->working > 0) {
        struct io_event none[1];
        io_loop_wait(crew->loop, none, 1, progress ? tell_at_ms * 1000000 : INT64_MAX);
        struct io_mail *chain = io_loop_mail(crew->loop);
        while (io_mail_take(&chain))
            crew->working--;
        if (!progress || io_now_ms() < tell_at_ms)
            continue;
        progress(crew->context, atomic_load(&crew->done));
        tell_at_ms = io_now_ms() + PROGRESS_MS;
    }
}

void crew__run(struct crew *crew, int count, void (*run)(void *context, int number, int member), void *context,
               void (*progress)(void *context, int done))
{
    assert(crew->working == 0);
    if (count == 1 && !progress) // nothing to share, nothing to tell
        run(context, 0, 0);
    if (count == 0 || (count == 1 && !progress))
        return;
    crew->count = count;
    crew->run = run;
    crew->context = context;
    atomic_store(&crew->next, 0);
    atomic_store(&crew->done, 0);
    crew->working = (int)min_i64(BROKER_CREW, count);
    for (int i = 0, members = crew->working; i < members; i++) {
        crew->members[i] = (struct crew_member){.job = {.run = member_run}, .crew = crew};
        io_pool_submit(crew->broker->pool, IO_LANE_FILE, &crew->members[i].job);
    }
    wait_for_all(crew, progress);
    assert(atomic_load(&crew->done) == count);
}

void crew__pause(struct crew *crew)
{
    struct io_event none[1];
    io_loop_wait(crew->loop, none, 1, io_now_ns() + PAUSE_NS);
}
