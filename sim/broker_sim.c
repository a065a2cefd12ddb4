// SPDX-License-Identifier: Apache-2.0
/* sim/broker_sim.c - the whole broker under many seeds: real reactors, flusher, control thread and pool, on a disk that tears,
 * links that drop and clocks that jump, between clients that remember everything.
 *
 *   broker_sim FROM COUNT [MUTANT]   runs COUNT seeds
 *
 * A run is a few lives of the broker. Each ends with a power cut or a kill between any two calls of io.h, or with a clean
 * stop; some disks fail, some are full: then clients' records are refused, and everything else goes on in the space that is
 * kept back. In some runs there are two log directories, and partitions move between them all the time. The last but one life has no faults: the clients finish, a checker reads everything, and the
 * broker stops cleanly. The last life must show the same. What is held true is told in witness.h.
 *
 * Mutants show that a run can fail: `sync` and `sync_dir` make that call do nothing, `page_cache` acknowledges what is
 * written. Others are linked in (sim/mutant_*.c). Exit status: 0 all held, 1 a seed failed (its number and why are printed).
 */
#include "io/io.h"
#include "io/sim.h"
#include "main/main.h"
#include "sim/witness.h"
#include "sim/workload.h"

#include <stdlib.h>

enum { LIVES_MAX = 10, REACTORS_MAX = 3, KEPT_BYTES = 200000, TWO_DIRECTORIES_EVERY = 3 };
static const int64_t MINUTE_NS = 60000000000;

enum ending { CRASHES, STOPS, FINISHES, SHOWS };

static struct life {
    struct sim_world *world;
    struct serve_options options;
    enum ending ending;
    int64_t stops_at_ns;
    bool faults_on, is_full, reports;
} life;

static uint64_t draw(uint64_t bound)
{
    return random_below(sim_random(life.world), bound);
}

/* ---- the broker's process */
static bool may_stop(struct ottla *ottla)
{
    if (is_blamed() || broker_has_failed(ottla_broker(ottla)))
        return true;
    if (life.ending == FINISHES || life.ending == SHOWS)
        return sim_clients_are_done(life.world);
    return life.ending == STOPS && io_now_ns() >= life.stops_at_ns;
}

static void broker_main(void *context)
{
    struct ottla *ottla;
    struct status s = ottla_start(&life.options, &ottla);
    if (!status_is_ok(s)) {
        if (!life.faults_on)
            blame(s.what, s.error, 0);
        return;
    }
    while (!may_stop(ottla))
        sim_sleep_ns(2000000);
    s = ottla_stop(ottla);
    if (!status_is_ok(s) && !life.faults_on)
        blame(s.what, s.error, 1);
}

/* ---- one run */
static struct status options_make(const char *mutant, bool has_two_directories)
{
    char reactors[32], kept[48];
    snprintf(kept, sizeof kept, "ottla.disk.reserve.bytes=%d", KEPT_BYTES);
    snprintf(reactors, sizeof reactors, "ottla.reactors=%d", 1 + (int)draw(REACTORS_MAX));
    const char *sets[] = {reactors,
                          draw(2) ? "offsets.topic.num.partitions=1" : "offsets.topic.num.partitions=5",
                          draw(2) ? "ottla.flush.max.delay.ms=1" : "ottla.flush.max.delay.ms=50",
                          draw(3) ? "ottla.unflushed.max.bytes=0" : "ottla.unflushed.max.bytes=500",
                          draw(2) ? "ottla.open.files.max=3" : "ottla.open.files.max=1000",
                          "offsets.topic.replication.factor=1",
                          kept,
                          has_two_directories ? "log.dirs=/data,/other" : "log.dirs=/data",
                          "auto.create.topics.enable=false",
                          "group.initial.rebalance.delay.ms=0",
                          "log.flush.offset.checkpoint.interval.ms=200",
                          strcmp(mutant, "page_cache") == 0 ? "ottla.durability=page-cache" : "ottla.durability=fsync"};
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", WORKLOAD_PORT);
    return serve_options_make(NULL, NULL, listen, "off", sets, COUNT_OF(sets), &life.options);
}

static void draw_faults(struct sim_faults *faults, const char *mutant)
{
    *faults =
        (struct sim_faults){.sync_lies = strcmp(mutant, "sync") == 0, .sync_dir_lies = strcmp(mutant, "sync_dir") == 0};
    life.faults_on = life.is_full = false;
    if (life.ending == FINISHES || life.ending == SHOWS)
        return;
    faults->short_io = draw(3) ? 0 : 5;
    faults->stall = draw(4) ? 0 : 100;
    faults->sync_ns_max = draw(3) ? 0 : 60000000;
    faults->net_reset = draw(3) ? 0 : 500;
    faults->net_partial = draw(2) ? 0 : 4;
    faults->net_delay_ns_max = draw(2) ? 0 : 5000000;
    life.is_full = draw(6) == 0;
    if (life.is_full) // from the start, or after a while
        faults->disk_bytes_max = sim_disk_used(life.world) + KEPT_BYTES / 2 + (int64_t)draw(KEPT_BYTES);
    life.faults_on = draw(5) == 0;
    if (!life.faults_on)
        return;
    faults->write_error = draw(2) ? 0 : 300;
    faults->read_error = draw(2) ? 0 : 500;
    faults->sync_error = draw(2) ? 0 : 50;
    faults->sync_fails_forever = draw(2);
}

/* Between any two calls; often a power cut right after a client was promised something, where a promise that was made too
 * early shows. */
static void crash_some_time(enum sim_crash_kind kind)
{
    sim_crash_after(life.world, 1 + draw(draw(3) ? 60000 : 5000), kind);
    if (draw(4))
        workload_crash_after((enum promise)draw(PROMISE_KINDS), 1 + draw(draw(2) ? 100 : 10));
}

static void live_once(enum ending ending, const char *mutant)
{
    struct sim_faults faults;
    life.ending = ending;
    draw_faults(&faults, mutant);
    sim_faults_set(life.world, &faults);
    workload_errors_may_come(life.faults_on || life.is_full);
    life.stops_at_ns = io_now_ns() + (int64_t)draw(4000000000);
    enum sim_crash_kind kind = draw(3) ? SIM_POWER_CUT : SIM_KILL;
    sim_crash_after(life.world, 0, kind);
    workload_crash_after(PROMISE_BATCH, 0);
    if (ending == CRASHES)
        crash_some_time(kind);
    if (ending == FINISHES)
        workload_finish();
    if (ending == SHOWS)
        workload_check(life.world);
    enum sim_end end = sim_run(life.world, broker_main, NULL, 10 * MINUTE_NS);
    if (end == SIM_DEADLOCK || end == SIM_TIMEOUT) {
        if (!is_blamed() && life.reports)
            sim_report(life.world);
        blame(end == SIM_DEADLOCK ? "deadlock" : "no end", 0, 0);
    }
    if (end == SIM_DONE && !is_blamed() && draw(2))
        sim_crash(life.world, kind); // after a clean stop even a power cut takes nothing
}

static bool run_seed(uint64_t seed, const char *mutant, bool reports)
{
    witness_reset();
    life = (struct life){.world = sim_world_create(seed, NULL), .reports = reports};
    bool has_two_directories = seed % TWO_DIRECTORIES_EVERY == 0;
    struct status s = options_make(mutant, has_two_directories);
    if (!status_is_ok(s))
        blame(s.what, s.error, 2);
    workload_start(life.world);
    workload_moves_are_asked(has_two_directories);
    for (int i = 0, lives = (int)draw(LIVES_MAX); i < lives && !is_blamed(); i++)
        live_once(draw(3) ? CRASHES : STOPS, mutant);
    if (!is_blamed())
        live_once(FINISHES, mutant);
    for (int i = 0; i < 2 && !is_blamed(); i++)
        live_once(SHOWS, mutant);
    sim_world_destroy(life.world);
    serve_options_free(&life.options);
    return !is_blamed();
}

static void no_lines(void *context, const char *line, size_t size)
{
}

int main(int argc, char **argv)
{
    uint64_t from = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
    const char *mutant = argc > 3 ? argv[3] : "none";
    if (count > 1)
        log_sink_set(no_lines, NULL);
    uint64_t compared = 0, acknowledged = 0;
    for (uint64_t seed = from; seed < from + count; seed++) {
        if (!run_seed(seed, mutant, count == 1)) {
            printf("broker seed %llu failed: %s\nreplay: sim/run.sh broker %llu\n", (unsigned long long)seed,
                   blame_text(), (unsigned long long)seed);
            return 1;
        }
        compared += witness_compared();
        acknowledged += workload_acknowledged();
    }
    printf("broker: %llu seeds from %llu held, %llu records acknowledged, %llu comparisons\n",
           (unsigned long long)count, (unsigned long long)from, (unsigned long long)acknowledged,
           (unsigned long long)compared);
    return 0;
}
