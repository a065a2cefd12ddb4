// SPDX-License-Identifier: Apache-2.0
/* sim/ctrl_sim_test.c - the metadata on a disk that tears, loses and reorders what was not synced, under power cuts and kills
 * at any call: formatting is done or not there, every start opens, what was flushed is there, in order and without a hole,
 * no raft epoch is led twice and no producer id is given twice.
 *
 * Topics are created in order, t0, t1, ..., and some settings are changed; so a state is a prefix of what was asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrl/ctrl.h"
#include "io/io.h"
#include "io/sim.h"
#include "storage/storage.h"

enum { LIVES = 6, COMMANDS = 25, CRASH_STEPS_MAX = 400, PARTITIONS = 3 };
static const int64_t MINUTE_NS = 60000000000, WALL_MS = 1700000000000;
static const char *const DIRS[] = {"/data"};

/* What lives outside the broker. */
static struct witness {
    struct random random;
    int32_t topics;      // flushed
    int64_t producer_id; // first that no flushed block holds
    int32_t epoch;       // led before
    int starts;
    bool wrong, disk_fails;
    char why[160];
} witness;

static void blame(const char *why, int64_t a, int64_t b)
{
    if (!witness.wrong)
        snprintf(witness.why, sizeof witness.why, "%s (%lld, %lld)", why, (long long)a, (long long)b);
    witness.wrong = true;
}

static bool is_fine(struct status s)
{
    if (s.error != 0 && !witness.disk_fails)
        blame(s.what, s.error, 0);
    return s.error == 0;
}

/* ---- one life */
struct life {
    struct ctrl *ctrl;
    struct arena arena;
    int32_t topics; // asked for
    int64_t epoch, producer_id;
    struct uuid directory;
};

static struct slice topic_name(struct life *life, int32_t index)
{
    return arena_printf(&life->arena, "t%d", (int)index);
}

static void prefix_check(struct life *life)
{
    const struct meta_image *image = ctrl_view(life->ctrl);
    life->topics = image->topic_count;
    if (life->topics < witness.topics)
        blame("a flushed topic is gone", life->topics, witness.topics);
    for (int32_t i = 0; i < life->topics; i++) {
        const struct meta_topic *topic = meta_topic_by_name(image, topic_name(life, i));
        if (!topic || topic->partition_count != PARTITIONS)
            blame("a hole among the topics", i, life->topics);
    }
    if (ctrl_leader_epoch(life->ctrl) <= witness.epoch)
        blame("an epoch is led twice", ctrl_leader_epoch(life->ctrl), witness.epoch);
    witness.epoch = ctrl_leader_epoch(life->ctrl);
}

static bool create(struct life *life)
{
    struct ctrl_new_topic topic = {
        .name = topic_name(life, life->topics), .partitions = PARTITIONS, .replication_factor = 1};
    struct ctrl_new_topic_result result;
    if (!is_fine(ctrl_create_topics(life->ctrl, &topic, 1, false, NULL, &life->arena, WALL_MS, &result)))
        return false;
    if (result.result.error != 0)
        blame("a topic is refused", result.result.error, life->topics);
    life->topics++;
    return true;
}

static bool alter(struct life *life)
{
    struct ctrl_alter change = {slice_str("retention.ms"),
                                arena_printf(&life->arena, "%d", (int)random_below(&witness.random, 100)),
                                CTRL_ALTER_SET};
    struct ctrl_alter_resource resource = {META_RESOURCE_TOPIC, topic_name(life, life->topics - 1), &change, 1, false};
    struct ctrl_result result;
    return life->topics == 0 ||
           is_fine(ctrl_alter_configs(life->ctrl, &resource, 1, false, &life->arena, WALL_MS, &result));
}

static bool allocate(struct life *life)
{
    int64_t first;
    int32_t count;
    if (!is_fine(ctrl_producer_ids_allocate(life->ctrl, 1, life->epoch, WALL_MS, &first, &count)))
        return false;
    if (first < witness.producer_id)
        blame("a producer id is given twice", first, witness.producer_id);
    life->producer_id = first + count;
    return true;
}

static bool flush(struct life *life)
{
    if (!is_fine(ctrl_flush(life->ctrl)))
        return false;
    witness.topics = life->topics;
    if (life->producer_id > witness.producer_id)
        witness.producer_id = life->producer_id;
    return true;
}

static bool command(struct life *life)
{
    switch (random_below(&witness.random, 8)) {
    case 0:
    case 1:
    case 2:
        return create(life);
    case 3:
        return alter(life);
    case 4:
        return allocate(life);
    case 5:
        return flush(life) && is_fine(ctrl_snapshot(life->ctrl, WALL_MS));
    case 6:
        return flush(life) && is_fine(ctrl_maintain(life->ctrl, WALL_MS + 60000));
    default:
        return flush(life);
    }
}

static bool broker_start(struct life *life)
{
    struct ctrl_registration registration = {.node_id = 1,
                                             .incarnation = {{(uint8_t)++witness.starts, 7}},
                                             .directories = &life->directory,
                                             .directory_count = 1,
                                             .previous_epoch = -1};
    return is_fine(ctrl_register_broker(life->ctrl, &registration, WALL_MS, &life->epoch)) &&
           is_fine(ctrl_unfence_broker(life->ctrl, 1, WALL_MS));
}

static bool live(struct life *life)
{
    if (!broker_start(life))
        return false;
    for (int i = 0; i < COMMANDS && !witness.wrong; i++)
        if (!command(life))
            return false;
    return flush(life) && is_fine(ctrl_shutdown_broker(life->ctrl, 1, WALL_MS)) && is_fine(ctrl_close(life->ctrl));
}

static bool formatted(struct life *life)
{
    bool is_new = false, exists;
    struct dir_properties properties;
    struct ctrl_format_options options = {.node_id = 1,
                                          .log_dirs = DIRS,
                                          .log_dir_count = 1,
                                          .metadata_dir = DIRS[0],
                                          .controller = {"CONTROLLER", "127.0.0.1", 9093, 0},
                                          .now_ms = WALL_MS};
    if (!is_fine(ctrl_is_unformatted(DIRS, 1, DIRS[0], &is_new)))
        return false;
    if (is_new && witness.epoch > 0)
        blame("a format is gone", witness.epoch, 0);
    if (is_new && !is_fine(ctrl_format(&options)))
        return false;
    if (!is_fine(dir_properties_read(DIRS[0], &properties, &exists)))
        return false;
    if (!exists)
        blame("neither new nor formatted", 0, 0);
    life->directory = properties.directory_id;
    return exists;
}

static void broker(void *context)
{
    (void)context;
    struct meta_settings *settings = meta_settings_create();
    meta_settings_set(settings, "metadata.max.retention.bytes", "3000");
    meta_settings_set(settings, "metadata.log.max.record.bytes.between.snapshots", "2000");
    struct ctrl_options options = {.metadata_dir = DIRS[0],
                                   .node_id = 1,
                                   .controller = {"CONTROLLER", "127.0.0.1", 9093, 0},
                                   .settings = settings,
                                   .now_ms = WALL_MS};
    struct life life = {0};
    arena_init(&life.arena, 4096, 16 << 20);
    if (formatted(&life) && is_fine(ctrl_open(&options, &life.ctrl))) {
        prefix_check(&life);
        live(&life);
    }
    ctrl_free(life.ctrl);
    arena_free(&life.arena);
    meta_settings_free(settings);
}

static void lives(uint64_t seed, const struct sim_faults *faults)
{
    witness = (struct witness){.disk_fails = faults && (faults->sync_error || faults->write_error)};
    random_seed(&witness.random, seed);
    struct sim_world *world = sim_world_create(seed, faults);
    for (int life = 0; life < LIVES && !witness.wrong; life++) {
        bool power_cut = random_below(&witness.random, 3) > 0;
        sim_crash_after(world, 1 + random_below(&witness.random, CRASH_STEPS_MAX),
                        power_cut ? SIM_POWER_CUT : SIM_KILL);
        enum sim_end end = sim_run(world, broker, NULL, MINUTE_NS);
        if (end != SIM_CRASHED && end != SIM_DONE)
            blame("the broker hangs", (int64_t)end, life);
    }
    sim_crash_after(world, 0, SIM_KILL);
    sim_world_destroy(world);
    if (witness.wrong && !(faults && (faults->sync_lies || faults->sync_dir_lies)))
        fail_msg("seed %llu: %s", (unsigned long long)seed, witness.why);
}

static void what_was_flushed_survives_every_crash(void **state)
{
    (void)state;
    int64_t topics = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        lives(seed, NULL);
        topics += witness.topics;
    }
    assert_true(topics > 300); // it was not idle
}

static void short_reads_and_writes_change_nothing(void **state)
{
    (void)state;
    struct sim_faults faults = {.short_io = 3};
    for (uint64_t seed = 1; seed <= 100; seed++)
        lives(seed, &faults);
}

static void failed_writes_and_syncs_lose_nothing_that_was_flushed(void **state)
{
    (void)state;
    struct sim_faults faults = {.sync_error = 30, .write_error = 60};
    for (uint64_t seed = 1; seed <= 200; seed++)
        lives(seed, &faults);
}

/* The test can see the failure that it is for. */
static void a_disk_that_lies_is_caught(void **state)
{
    (void)state;
    struct sim_faults faults = {.sync_lies = true}, directories = {.sync_dir_lies = true};
    int caught = 0, caught_by_name = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        lives(seed, &faults);
        caught += witness.wrong;
        lives(seed, &directories);
        caught_by_name += witness.wrong;
    }
    assert_true(caught > 0);
    assert_true(caught_by_name > 0);
}

static void quiet(void *context, const char *line, size_t size)
{
    (void)context;
    (void)line;
    (void)size;
}

int main(void)
{
    log_sink_set(quiet, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_flushed_survives_every_crash),
        cmocka_unit_test(short_reads_and_writes_change_nothing),
        cmocka_unit_test(failed_writes_and_syncs_lose_nothing_that_was_flushed),
        cmocka_unit_test(a_disk_that_lies_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
