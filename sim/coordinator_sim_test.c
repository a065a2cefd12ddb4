// SPDX-License-Identifier: Apache-2.0
/* sim/coordinator_sim_test.c - the group coordinator in a whole broker on a simulated disk: what was answered survives, what
 * cannot be written is not answered as done, and a shard that lost its place replays.
 *
 * The harness drives two reactors itself and asks them with frames, as net/ would; everything below is the real broker.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/broker.h"
#include "io/sim.h"
#include "main/main.h"
#include "wire/gen/delete_topics.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/headers.h"
#include "wire/gen/join_group.h"
#include "wire/gen/list_groups.h"
#include "wire/gen/metadata.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"

enum { REACTORS = 2, SHARDS = 5, GROUPS = 8, SEEDS = 25, TRIES_MAX = 400, COMMITS = 12 };
static const int64_t MINUTE_NS = 60000000000, MS_NS = 1000000;
static const char *const TOPIC = "events", *const OFFSETS = "__consumer_offsets";
static const char *const FSYNC = "ottla.durability=fsync", *const PAGE_CACHE = "ottla.durability=page-cache";

/* What lives outside the broker. */
static struct witness {
    struct sim_world *world;
    const char *durability;    // the setting
    int64_t committed[GROUPS]; // what a reply has promised; 0 none
    int64_t tried[GROUPS];     // the newest that was sent
    int replies, refusals;
    bool saw_loading, saw_loss, failed;
    char why[200];
} witness;

/* One life of the broker. */
static struct life {
    struct serve_options options;
    struct broker *broker;
    struct arena arena;
} life;

static void blame(const char *why, int64_t a, int64_t b)
{
    if (!witness.failed)
        snprintf(witness.why, sizeof witness.why, "%s (%lld, %lld)", why, (long long)a, (long long)b);
    witness.failed = true;
}

/* ---- driving */
static void tick(struct reactor *reactor)
{
    struct io_event events[1];
    io_loop_wait(reactor->loop, events, 1, 0);
    reactor_clock(reactor);
    struct io_mail *chain = io_loop_mail(reactor->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));)
        if (mail->kind != MAIL_STOP)
            broker_mail(reactor, mail);
    broker_timers(reactor);
    broker_tick_end(reactor);
}

static void tick_all(void)
{
    for (int i = 0; i < REACTORS; i++)
        tick(broker_reactor(life.broker, i));
}

static struct slice frame_of(int16_t key, int16_t version, const void *body)
{
    struct wire_writer w;
    wire_writer_init(&w, 1 << 20);
    struct request_header header;
    request_header_init(&header);
    header.request_api_key = key;
    header.request_api_version = version;
    header.client_id = slice_str("story");
    request_header_write(&w, wire_request_header_version(key, version), &header);
    wire_api_find(key)->request->write(&w, version, body);
    assert(!wire_writer_failed(&w));
    struct slice frame = arena_copy(&life.arena, wire_writer_bytes(&w));
    wire_writer_free(&w);
    return frame;
}

static struct request *ask(int reactor_number, int16_t key, int16_t version, const void *body)
{
    static const struct io_address address = {.host = "127.0.0.1", .port = 1};
    struct request *request = request_new(broker_reactor(life.broker, reactor_number));
    struct slice frame = frame_of(key, version, body);
    request->frame = (uint8_t *)(uintptr_t)frame.data;
    request->frame_size = (uint32_t)frame.size;
    request->listener = &broker_options(life.broker)->listeners[0];
    request->client = request->local = &address;
    bool served = request_begin(request);
    assert(served);
    request_start(request);
    return request;
}

static void *answer_of(const struct request *request)
{
    assert(!request->reply.close);
    struct wire_reader r;
    wire_reader_init(&r, request->reply.out.data + 4, request->reply.out.size - 4);
    struct response_header header;
    response_header_read(&r, wire_response_header_version(request->api_key, request->api_version), &life.arena,
                         &header);
    const struct wire_message *layout = wire_api_find(request->api_key)->response;
    void *response = arena_zalloc(&life.arena, layout->size);
    layout->read(&r, request->api_version, &life.arena, response);
    assert(wire_reader_finish(&r));
    return response;
}

/* The decoded response, in the life's arena: copied before the request goes. */
static void *answer_wait(struct request *request)
{
    while (request->state != REQUEST_DONE) {
        tick_all();
        if (request->state != REQUEST_DONE)
            sim_sleep_ns(MS_NS / 10);
    }
    struct slice kept = arena_copy(&life.arena, wire_writer_bytes(&request->reply.out));
    struct slice own = wire_writer_bytes(&request->reply.out);
    request->reply.out.data = (uint8_t *)(uintptr_t)kept.data; // the strings of the answer point into its bytes
    void *response = answer_of(request);
    request->reply.out.data = (uint8_t *)(uintptr_t)own.data;
    request_free(request);
    return response;
}

static void *call(int reactor_number, int16_t key, int16_t version, const void *body)
{
    return answer_wait(ask(reactor_number, key, version, body));
}

/* ---- the requests of the stories */
static struct slice group_name(int group)
{
    return arena_printf(&life.arena, "group-%d", group);
}

static void topic_ensure(void)
{
    struct metadata_request_metadata_request_topic topic;
    metadata_request_metadata_request_topic_init(&topic);
    topic.name = slice_str(TOPIC);
    struct metadata_request request;
    metadata_request_init(&request);
    request.topics = &topic;
    request.topics_count = 1;
    request.allow_auto_topic_creation = true;
    for (int i = 0; i < TRIES_MAX; i++) {
        const struct metadata_response *response = call(0, API_METADATA, 9, &request);
        if (response->topics_count == 1 && response->topics[0].error_code == KAFKA_NONE)
            return;
        sim_sleep_ns(MS_NS);
    }
    blame("the topic does not come", 0, 0);
}

static int16_t coordinator_find(int group)
{
    struct slice key = group_name(group);
    struct find_coordinator_request request;
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    const struct find_coordinator_response *response = call(group % REACTORS, API_FIND_COORDINATOR, 4, &request);
    return response->coordinators[0].error_code;
}

static struct request *commit_ask(int group, int64_t offset)
{
    struct offset_commit_request_offset_commit_request_partition partition;
    offset_commit_request_offset_commit_request_partition_init(&partition);
    partition.committed_offset = offset;
    struct offset_commit_request_offset_commit_request_topic topic;
    offset_commit_request_offset_commit_request_topic_init(&topic);
    topic.name = slice_str(TOPIC);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    struct offset_commit_request request;
    offset_commit_request_init(&request);
    request.group_id = group_name(group);
    request.generation_id_or_member_epoch = -1;
    request.topics = &topic;
    request.topics_count = 1;
    witness.tried[group] = offset;
    return ask(group % REACTORS, API_OFFSET_COMMIT, 8, &request);
}

static int16_t commit_wait(struct request *request, int group, int64_t offset)
{
    const struct offset_commit_response *response = answer_wait(request);
    int16_t error = response->topics[0].partitions[0].error_code;
    if (error == KAFKA_NONE) {
        witness.committed[group] = offset;
        witness.replies++;
    } else {
        witness.refusals++;
    }
    return error;
}

static int16_t commit(int group, int64_t offset)
{
    return commit_wait(commit_ask(group, offset), group, offset);
}

/* All groups with one request, in an order that is not that of their shards. */
static const struct offset_fetch_response *fetch_all(int reactor_number)
{
    struct offset_fetch_request_offset_fetch_request_group groups[GROUPS];
    struct offset_fetch_request request;
    offset_fetch_request_init(&request);
    for (int i = 0; i < GROUPS; i++) {
        offset_fetch_request_offset_fetch_request_group_init(&groups[i]);
        groups[i].group_id = group_name(i);
        groups[i].topics_count = -1;
    }
    request.groups = groups;
    request.groups_count = GROUPS;
    return call(reactor_number, API_OFFSET_FETCH, 8, &request);
}

static bool any_is(const struct offset_fetch_response *response, int16_t error)
{
    for (int32_t i = 0; i < response->groups_count; i++)
        if (response->groups[i].error_code == error)
            return true;
    return false;
}

/* Until every shard is loaded. */
static const struct offset_fetch_response *fetch_loaded(int reactor_number)
{
    for (int i = 0; i < TRIES_MAX; i++) {
        const struct offset_fetch_response *response = fetch_all(reactor_number);
        bool is_loading = any_is(response, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
        witness.saw_loading |= is_loading;
        if (!is_loading && !any_is(response, KAFKA_NOT_COORDINATOR))
            return response;
        sim_sleep_ns(MS_NS);
    }
    blame("the shards are never loaded", 0, 0);
    return NULL;
}

/* What was promised is there, and nothing that was never sent. */
static void check_offsets(void)
{
    const struct offset_fetch_response *response = fetch_loaded(1);
    for (int i = 0; response && i < GROUPS; i++) {
        const struct offset_fetch_response_offset_fetch_response_group *group = &response->groups[i];
        if (!slice_equal(group->group_id, group_name(i)))
            blame("groups are not in the order that was asked for", i, 0);
        int64_t offset = group->topics_count > 0 ? group->topics[0].partitions[0].committed_offset : 0;
        witness.saw_loss |= offset < witness.committed[i];
        if (offset < witness.committed[i])
            blame("a committed offset is lost", offset, witness.committed[i]);
        if (offset > witness.tried[i])
            blame("an offset that nobody sent", offset, witness.tried[i]);
    }
}

/* ---- lives */
static bool life_begin(void)
{
    const char *const sets[] = {witness.durability, "offsets.topic.num.partitions=5",
                                "offsets.topic.replication.factor=1", "group.initial.rebalance.delay.ms=3000"};
    life = (struct life){0};
    arena_init(&life.arena, 1 << 16, SIZE_MAX);
    struct status s = serve_options_make(NULL, "/data", "127.0.0.1:9092", NULL, sets, COUNT_OF(sets), &life.options);
    if (status_is_ok(s)) {
        life.options.broker.reactor_count = REACTORS;
        life.broker = broker_create(&life.options.broker);
        s = broker_start(life.broker);
    }
    if (!status_is_ok(s))
        blame(s.what, s.error, 0);
    return status_is_ok(s);
}

static void life_end(void)
{
    for (int i = 0; i < REACTORS; i++)
        broker_reactor_stop(broker_reactor(life.broker, i));
    while (!broker_is_idle(life.broker)) {
        tick_all();
        sim_sleep_ns(MS_NS / 10);
    }
    struct status s = broker_stop(life.broker);
    (void)s; // with a broken disk it cannot be clean
    broker_free(life.broker);
    serve_options_free(&life.options);
    arena_free(&life.arena);
}

static void run(uint64_t seed, const char *durability, const struct sim_faults *faults, void (*story)(void *context),
                bool crashes)
{
    witness = (struct witness){.world = sim_world_create(seed, faults), .durability = durability};
    for (int turn = 0; turn < 3 && !witness.failed; turn++) {
        if (crashes && turn < 2)
            sim_crash_after(witness.world, 3000 + random_below(sim_random(witness.world), 12000), SIM_POWER_CUT);
        enum sim_end end = sim_run(witness.world, story, &turn, 10 * MINUTE_NS);
        sim_crash_after(witness.world, 0, SIM_POWER_CUT);
        if (end != SIM_DONE && end != SIM_CRASHED && !witness.failed) {
            sim_report(witness.world);
            blame("the broker hangs", turn, (int64_t)end);
        }
    }
    sim_world_destroy(witness.world);
}

static void story_commits(void *context)
{
    (void)context;
    if (!life_begin())
        return;
    topic_ensure();
    while (coordinator_find(0) != KAFKA_NONE)
        sim_sleep_ns(MS_NS);
    check_offsets();
    struct random *random = sim_random(witness.world);
    for (int i = 0; i < COMMITS && !witness.failed; i++) {
        int group = (int)random_below(random, GROUPS), other = (group + 1) % GROUPS;
        struct request *first = commit_ask(group, witness.tried[group] + 1);
        struct request *second = commit_ask(other, witness.tried[other] + 1);
        commit_wait(second, other, witness.tried[other]);
        commit_wait(first, group, witness.tried[group]);
    }
    check_offsets();
    life_end();
}

static void what_was_answered_survives_power_cuts(void **state)
{
    int replies = 0;
    bool saw_loading = false;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        run(seed, FSYNC, &(struct sim_faults){.short_io = 20}, story_commits, true);
        if (witness.failed)
            fail_msg("seed %d: %s", (int)seed, witness.why);
        replies += witness.replies;
        saw_loading |= witness.saw_loading;
    }
    assert_true(replies > SEEDS * COMMITS);
    assert_true(saw_loading);
}

/* The same where replies do not wait for the disk: the harness must notice, or it could notice nothing at all. */
static void in_page_cache_mode_power_cuts_take_answered_commits(void **state)
{
    int lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        run(seed, PAGE_CACHE, &(struct sim_faults){0}, story_commits, true);
        lost += witness.saw_loss;
    }
    assert_true(lost > 0);
}

/* ---- a disk that fails under a commit */
static void story_broken_disk(void *context)
{
    int turn = *(int *)context;
    if (!life_begin())
        return;
    topic_ensure();
    while (coordinator_find(0) != KAFKA_NONE)
        sim_sleep_ns(MS_NS);
    check_offsets();
    for (int i = 0; i < GROUPS; i++)
        commit(i, witness.tried[i] + 1);
    if (turn == 0) {
        sim_faults_set(witness.world, &(struct sim_faults){.sync_error = 1, .sync_fails_forever = true});
        for (int i = 0; i < GROUPS; i++)
            if (commit(i, witness.tried[i] + 1) == KAFKA_NONE)
                blame("a commit is answered that no disk has", i, 0);
        if (!any_is(fetch_all(0), KAFKA_NOT_COORDINATOR))
            blame("a shard is served whose partition is offline", 0, 0);
        sim_faults_set(witness.world, &(struct sim_faults){0});
    }
    life_end();
}

static void a_commit_that_cannot_be_written_is_refused_and_the_shard_goes(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        run(seed, FSYNC, &(struct sim_faults){0}, story_broken_disk, false);
        if (witness.failed)
            fail_msg("seed %d: %s", (int)seed, witness.why);
        assert_true(witness.refusals >= GROUPS);
    }
}

/* ---- leadership */
static struct partition *offsets_partition(int32_t index)
{
    struct reactor *reactor = broker_reactor(life.broker, 0);
    const struct meta_topic *topic = meta_topic_by_name(reactor->image, slice_str(OFFSETS));
    struct partition_use *use = topic ? reactor_partition(reactor, topic->id, index) : NULL;
    return use ? use->partition : NULL;
}

static void lead_anew(int32_t node)
{
    for (int32_t i = 0; i < SHARDS; i++) {
        struct partition *p = offsets_partition(i);
        const int32_t isr[] = {life.options.broker.node_id};
        struct partition_duty duty = {
            .leader = node, .leader_epoch = partition_leader_epoch(p) + 1, .isr = isr, .isr_count = 1};
        while (!partition_turn_try(p))
            sim_sleep_ns(MS_NS / 10);
        struct status s = partition_duty_set(p, &duty);
        if (!status_is_ok(s))
            blame(s.what, s.error, 0);
        partition_turn_end(p);
    }
}

static void story_leadership(void *context)
{
    if (!life_begin())
        return;
    topic_ensure();
    while (coordinator_find(0) != KAFKA_NONE)
        sim_sleep_ns(MS_NS);
    struct request *waiting[GROUPS];
    for (int i = 0; i < GROUPS; i++)
        commit(i, witness.tried[i] + 1);
    for (int i = 0; i < GROUPS; i++) // written, perhaps, and not yet answered
        waiting[i] = commit_ask(i, witness.tried[i] + 1);
    lead_anew(life.options.broker.node_id);
    for (int i = 0; i < GROUPS; i++)
        commit_wait(waiting[i], i, witness.tried[i]);
    check_offsets();
    lead_anew(life.options.broker.node_id + 1); // somebody else
    tick_all();
    if (commit(0, witness.tried[0] + 1) != KAFKA_NOT_COORDINATOR)
        blame("a shard is served whose partition another broker leads", 0, 0);
    lead_anew(life.options.broker.node_id);
    check_offsets();
    for (int i = 0; i < GROUPS; i++)
        if (commit(i, witness.tried[i] + 1) != KAFKA_NONE)
            blame("a shard does not come back", i, 0);
    check_offsets();
    life_end();
}

static void a_shard_follows_its_partitions_leader_epoch(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        run(seed, FSYNC, &(struct sim_faults){0}, story_leadership, false);
        if (witness.failed)
            fail_msg("seed %d: %s", (int)seed, witness.why);
    }
}

/* ---- every shard */
static void story_list(void *context)
{
    if (!life_begin())
        return;
    topic_ensure();
    struct list_groups_request request;
    list_groups_request_init(&request);
    const struct list_groups_response *response = call(1, API_LIST_GROUPS, 4, &request);
    if (*(int *)context == 0 && (response->error_code != KAFKA_NONE || response->groups_count != 0))
        blame("without a coordinator there are no groups", response->error_code, response->groups_count);
    while (coordinator_find(0) != KAFKA_NONE)
        sim_sleep_ns(MS_NS);
    check_offsets();
    for (int i = 0; i < GROUPS; i++)
        commit(i, witness.tried[i] + 1);
    response = call(1, API_LIST_GROUPS, 4, &request);
    if (response->error_code != KAFKA_NONE || response->groups_count != GROUPS)
        blame("not every group is listed once", response->error_code, response->groups_count);
    life_end();
}

static void groups_of_all_shards_and_reactors_are_listed(void **state)
{
    run(1, FSYNC, &(struct sim_faults){0}, story_list, false);
    if (witness.failed)
        fail_msg("%s", witness.why);
    assert_int_equal(witness.replies, 3 * GROUPS);
}

/* ---- the topic goes, the broker goes */
static int16_t offsets_delete(void)
{
    struct slice name = slice_str(OFFSETS);
    struct delete_topics_request request;
    delete_topics_request_init(&request);
    request.topic_names = &name;
    request.topic_names_count = 1;
    request.timeout_ms = 1000;
    const struct delete_topics_response *response = call(0, API_DELETE_TOPICS, 5, &request);
    return response->responses[0].error_code;
}

static void story_deletion(void *context)
{
    (void)context;
    if (!life_begin())
        return;
    topic_ensure();
    while (coordinator_find(0) != KAFKA_NONE)
        sim_sleep_ns(MS_NS);
    check_offsets();
    for (int i = 0; i < GROUPS; i++)
        commit(i, witness.tried[i] + 1);
    struct request *waiting = commit_ask(0, witness.tried[0] + 1);
    if (offsets_delete() != KAFKA_NONE)
        blame("the topic cannot be deleted", 0, 0);
    commit_wait(waiting, 0, witness.tried[0]); // whichever came first
    if (commit(0, witness.tried[0] + 1) != KAFKA_NOT_COORDINATOR)
        blame("a shard is served without its topic", 0, 0);
    memset(witness.committed, 0, sizeof witness.committed); // with the topic the promises are gone
    while (coordinator_find(0) != KAFKA_NONE)
        sim_sleep_ns(MS_NS);
    const struct offset_fetch_response *response = fetch_loaded(0);
    for (int i = 0; response && i < GROUPS; i++)
        if (response->groups[i].topics_count != 0)
            blame("an offset outlives its topic", i, 0);
    for (int i = 0; i < GROUPS; i++)
        if (commit(i, witness.tried[i] + 1) != KAFKA_NONE)
            blame("the new topic's shard is not served", i, 0);
    life_end();
}

static void a_deleted_topic_takes_its_groups_along_and_can_come_again(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        run(seed, FSYNC, &(struct sim_faults){0}, story_deletion, false);
        if (witness.failed)
            fail_msg("seed %d: %s", (int)seed, witness.why);
    }
}

static struct request *join_ask(void)
{
    struct join_group_request_join_group_request_protocol protocol;
    join_group_request_join_group_request_protocol_init(&protocol);
    protocol.name = slice_str("range");
    protocol.metadata = slice_str("m");
    struct join_group_request request;
    join_group_request_init(&request);
    request.group_id = group_name(0);
    request.session_timeout_ms = request.rebalance_timeout_ms = 10000;
    request.protocol_type = slice_str("consumer");
    request.protocols = &protocol;
    request.protocols_count = 1;
    return ask(1, API_JOIN_GROUP, 3, &request);
}

static void story_stop(void *context)
{
    (void)context;
    if (!life_begin())
        return;
    topic_ensure();
    while (coordinator_find(0) != KAFKA_NONE)
        sim_sleep_ns(MS_NS);
    check_offsets();
    struct request *join = join_ask();
    for (int i = 0; i < 20; i++)
        tick_all();
    if (join->state == REQUEST_DONE)
        blame("a first member does not wait for others", ((struct join_group_response *)answer_of(join))->error_code,
              0);
    for (int i = 0; i < REACTORS; i++)
        broker_reactor_stop(broker_reactor(life.broker, i));
    const struct join_group_response *response = answer_wait(join);
    if (response->error_code != KAFKA_NOT_COORDINATOR)
        blame("a member that waited is not sent away", response->error_code, 0);
    if (commit(0, witness.tried[0] + 1) != KAFKA_NOT_COORDINATOR)
        blame("a shard is served while the broker stops", 0, 0);
    life_end();
}

static void whoever_waits_is_answered_when_the_broker_stops(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        run(seed, FSYNC, &(struct sim_faults){0}, story_stop, false);
        if (witness.failed)
            fail_msg("seed %d: %s", (int)seed, witness.why);
    }
}

static void no_log(void *context, const char *line, size_t size)
{
    (void)context, (void)line, (void)size;
}

int main(void)
{
    log_sink_set(no_log, NULL); // disks that break on purpose have much to tell
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_answered_survives_power_cuts),
        cmocka_unit_test(in_page_cache_mode_power_cuts_take_answered_commits),
        cmocka_unit_test(a_commit_that_cannot_be_written_is_refused_and_the_shard_goes),
        cmocka_unit_test(a_shard_follows_its_partitions_leader_epoch),
        cmocka_unit_test(groups_of_all_shards_and_reactors_are_listed),
        cmocka_unit_test(a_deleted_topic_takes_its_groups_along_and_can_come_again),
        cmocka_unit_test(whoever_waits_is_answered_when_the_broker_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
