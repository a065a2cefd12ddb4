// SPDX-License-Identifier: Apache-2.0
/* io/sim_world.c - the scheduler: one real thread, a coroutine per simulated thread, a virtual clock, all from one seed.
 *
 * Each call of io.h is a step: it costs a little virtual time and may hand over to the scheduler, which draws who runs next
 * among those that can. A waiting coroutine is a predicate and a deadline; predicates are looked at again whenever the
 * scheduler runs, so no wake-up of the simulator's own can get lost. When nobody can run, the clock jumps to the next
 * deadline or arrival; when there is none, that is a deadlock and the run says so.
 */
#include "io/sim__.h"

#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK_BYTES = 4 << 20 };
#else
enum { STACK_BYTES = 512 << 10 };
#endif

enum { STEP_COST_NS_MAX = 2000, GUARD_BYTES = 4096 };

struct sim_world *sim__world;

/* ---- switching */
static void switch_begin(void **ret_fake, const void *stack, size_t size)
{
#ifdef SIM_ASAN
    __sanitizer_start_switch_fiber(ret_fake, stack, size);
#endif
}

static void switch_end(void *fake, const void **ret_stack, size_t *ret_size)
{
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(fake, ret_stack, ret_size);
#endif
}

static void back_to_scheduler(struct sim_co *co)
{
    struct sim_world *world = co->world;
    switch_begin(co->is_done ? NULL : &co->fake_stack, world->scheduler_stack, world->scheduler_stack_bytes);
    swapcontext(co->machine, world->scheduler);
    switch_end(co->fake_stack, &world->scheduler_stack, &world->scheduler_stack_bytes);
}

static void co_main(void)
{
    struct sim_co *co = sim__world->current;
    switch_end(NULL, &co->world->scheduler_stack, &co->world->scheduler_stack_bytes);
    co->run(co->context);
    co->is_done = true;
    back_to_scheduler(co);
    assert(false && "a finished coroutine ran");
}

static void run_until_it_yields(struct sim_world *world, struct sim_co *co)
{
    world->current = co;
    switch_begin(&world->scheduler_fake_stack, co->map + GUARD_BYTES, co->map_bytes - GUARD_BYTES);
    swapcontext(world->scheduler, co->machine);
    switch_end(world->scheduler_fake_stack, NULL, NULL);
    world->current = NULL;
}

struct sim_co *sim__start(struct sim_world *world, const char *name, void (*run)(void *), void *context, bool is_broker)
{
    struct sim_co *co = sim__alloc(sizeof *co);
    co->world = world;
    co->number = world->next_number++;
    snprintf(co->name, sizeof co->name, "%s", name);
    co->run = run;
    co->context = context;
    co->is_broker = is_broker;
    co->map_bytes = STACK_BYTES + GUARD_BYTES;
    co->map = mmap(NULL, co->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(co->map != MAP_FAILED);
    int guarded = mprotect(co->map, GUARD_BYTES, PROT_NONE);
    assert(guarded == 0);
    ucontext_t *machine = sim__alloc(sizeof *machine);
    co->machine = machine;
    getcontext(machine);
    machine->uc_stack.ss_sp = co->map + GUARD_BYTES;
    machine->uc_stack.ss_size = co->map_bytes - GUARD_BYTES;
    machine->uc_link = NULL;
    makecontext(machine, co_main, 0);
    list_push_back(&world->coroutines, &co->in_world);
    return co;
}

void sim__co_free(struct sim_co *co)
{
    list_remove(&co->in_world);
#ifdef SIM_ASAN
    __asan_unpoison_memory_region(co->map + GUARD_BYTES, co->map_bytes - GUARD_BYTES);
#endif
    munmap(co->map, co->map_bytes);
    sim__free(co->machine);
    sim__free(co);
}

/* ---- chance */
uint64_t sim__below(uint64_t bound)
{
    return random_below(&sim__world->random, bound);
}

bool sim__one_in(uint32_t n)
{
    return n > 0 && sim__below(n) == 0;
}

bool sim__is_broker(void)
{
    return sim__world->current && sim__world->current->is_broker;
}

/* ---- steps and waits */
static void trace(struct sim_world *world, uint64_t fact)
{
    world->trace = (world->trace ^ fact) * 0x100000001b3u;
}

static bool crash_is_due(const struct sim_world *world)
{
    return world->crash_at_step > 0 && world->steps >= world->crash_at_step;
}

void sim__step(const char *where)
{
    struct sim_world *world = sim__world;
    assert(world);
    if (!world->current)
        return; // the harness itself, between runs
    world->steps++;
    world->now_ns += (int64_t)sim__below(STEP_COST_NS_MAX);
    trace(world, world->current->number);
    for (const char *at = where; *at; at++)
        trace(world, (uint8_t)*at);
    trace(world, (uint64_t)world->now_ns);
    world->current->where = where;
    if (world->step && world->current->is_broker)
        world->step(world->step_context, world->current->name, where);
    if (crash_is_due(world) || sim__one_in(world->switch_one_in))
        back_to_scheduler(world->current);
}

void sim__wait(const char *where, bool (*ready)(void *argument), void *argument, int64_t deadline_ns)
{
    struct sim_co *co = sim__world->current;
    assert(co); // the harness never waits
    co->ready = ready;
    co->argument = argument;
    co->deadline_ns = deadline_ns;
    co->where = where;
    back_to_scheduler(co);
    co->ready = NULL;
}

static bool never(void *argument)
{
    return false;
}

void sim__sleep(const char *where, int64_t duration_ns)
{
    if (sim__world->current && duration_ns > 0)
        sim__wait(where, never, NULL, sim__world->now_ns + duration_ns);
}

void sim_sleep_ns(int64_t duration_ns)
{
    sim__step("sleep");
    sim__sleep("sleep", duration_ns);
}

static bool can_run(const struct sim_world *world, const struct sim_co *co)
{
    return !co->is_done && (!co->ready || co->deadline_ns <= world->now_ns || co->ready(co->argument));
}

static struct sim_co *draw(struct sim_world *world)
{
    struct sim_co *chosen = NULL;
    uint64_t seen = 0;
    LIST_EACH (node, &world->coroutines) {
        struct sim_co *co = CONTAINER_OF(node, struct sim_co, in_world);
        if (can_run(world, co) && random_below(&world->random, ++seen) == 0)
            chosen = co;
    }
    return chosen;
}

/* Nobody can run: to the next moment when that may change. */
static bool jump(struct sim_world *world)
{
    int64_t next_ns = sim__net_next_ns(world);
    LIST_EACH (node, &world->coroutines) {
        struct sim_co *co = CONTAINER_OF(node, struct sim_co, in_world);
        if (!co->is_done && co->ready)
            next_ns = min_i64(next_ns, co->deadline_ns);
    }
    if (next_ns == INT64_MAX)
        return false;
    world->now_ns = max_i64(world->now_ns, next_ns);
    return true;
}

/* Threads that nobody joins any more go when they are done; joined ones are freed by the join. */
static bool all_done(const struct sim_world *world, bool broker)
{
    LIST_EACH (node, &world->coroutines) {
        const struct sim_co *co = CONTAINER_OF(node, struct sim_co, in_world);
        if (co->is_broker == broker && !co->is_done)
            return false;
    }
    return true;
}

bool sim_clients_are_done(const struct sim_world *world)
{
    return all_done(world, false);
}

static void end_process(struct sim_world *world)
{
    LIST_EACH_SAFE (node, &world->coroutines) {
        struct sim_co *co = CONTAINER_OF(node, struct sim_co, in_world);
        if (co->is_broker)
            sim__co_free(co);
    }
    sim__handles_crash(world);
    sim__memory_crash(world);
}

void sim_crash(struct sim_world *world, enum sim_crash_kind kind)
{
    assert(!world->current);
    world->crash_at_step = 0;
    end_process(world);
    if (kind == SIM_POWER_CUT)
        sim__disk_power_cut(world->disk);
}

void sim_crash_after(struct sim_world *world, uint64_t steps, enum sim_crash_kind kind)
{
    world->crash_at_step = steps ? world->steps + steps : 0;
    world->crash_kind = kind;
}

enum sim_end sim_run(struct sim_world *world, void (*main_fn)(void *context), void *context, int64_t time_max_ns)
{
    ucontext_t scheduler;
    int64_t end_ns = world->now_ns + time_max_ns;
    world->scheduler = &scheduler;
    if (main_fn)
        sim__start(world, "main", main_fn, context, true);
    for (;;) {
        if (crash_is_due(world)) {
            sim_crash(world, world->crash_kind);
            return SIM_CRASHED;
        }
        if (all_done(world, main_fn != NULL)) {
            end_process(world);
            return SIM_DONE;
        }
        if (world->now_ns > end_ns)
            return SIM_TIMEOUT;
        struct sim_co *co = draw(world);
        if (co)
            run_until_it_yields(world, co);
        else if (!jump(world))
            return SIM_DEADLOCK;
    }
}

void sim_report(const struct sim_world *world)
{
    LIST_EACH (node, &world->coroutines) {
        const struct sim_co *co = CONTAINER_OF(node, struct sim_co, in_world);
        fprintf(stderr, "sim: %s %s#%u %s at %s, deadline in %lld us\n", co->is_broker ? "broker" : "client", co->name,
                (unsigned)co->number,
                co->is_done ? "done"
                : co->ready ? "waits"
                            : "runs",
                co->where ? co->where : "start",
                co->ready && co->deadline_ns != INT64_MAX ? (long long)((co->deadline_ns - world->now_ns) / 1000)
                                                          : -1LL);
    }
}

/* ---- worlds */
struct sim_world *sim_world_create(uint64_t seed, const struct sim_faults *faults)
{
    assert(!sim__world);
    struct sim_world *world = mem_zalloc(sizeof *world);
    sim__world = world;
    random_seed(&world->random, seed);
    random_seed(&world->harness_random, seed ^ 0x73696d);
    world->faults = faults ? *faults : (struct sim_faults){0};
    list_init(&world->coroutines);
    world->switch_one_in = 1 + (uint32_t)random_below(&world->random, 12);
    world->now_ns = 1000000000;
    world->wall_offset_ms = 1767225600000; // 2026
    world->trace = 0xcbf29ce484222325u;
    sim__memory_begin(world);
    world->disk = sim__disk_create();
    world->net = sim__net_create();
    return world;
}

void sim_world_destroy(struct sim_world *world)
{
    if (!world)
        return;
    assert(!world->current);
    end_process(world);
    LIST_EACH_SAFE (node, &world->coroutines)
        sim__co_free(CONTAINER_OF(node, struct sim_co, in_world));
    sim__net_destroy(world->net);
    sim__disk_destroy(world->disk);
    sim__free(world->handles);
    sim__memory_end(world);
    sim__world = NULL;
    mem_free(world);
}

void sim_faults_set(struct sim_world *world, const struct sim_faults *faults)
{
    world->faults = faults ? *faults : (struct sim_faults){0};
}

void sim_client(struct sim_world *world, const char *name, void (*run)(void *context), void *context)
{
    sim__start(world, name, run, context, false);
}

struct random *sim_random(struct sim_world *world)
{
    return &world->harness_random;
}

uint64_t sim_steps(const struct sim_world *world)
{
    return world->steps;
}

void sim_watch_steps(struct sim_world *world, void (*step)(void *context, const char *thread, const char *where),
                     void *context)
{
    world->step = step;
    world->step_context = context;
}

const char *sim_thread_name(void)
{
    return sim__world && sim__world->current ? sim__world->current->name : "harness";
}

uint64_t sim_trace(const struct sim_world *world)
{
    return world->trace;
}
