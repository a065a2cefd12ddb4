// SPDX-License-Identifier: Apache-2.0
/* sim/walks.c - what one produce and one fetch really do: which functions they enter, which calls of the kernel they make,
 * how often they allocate. sim/walks_test.py compares that with ARCHITECTURE.md.
 *
 * A broker with one reactor runs on the simulator without faults. After warming up, one request is watched at a time:
 *
 *   produce    a small batch, acks=all
 *   fetch      the small batch that was produced last
 *   wait       a fetch of more than there is, and a large batch that comes then: it leaves by sendfile
 *   cold       a fetch of what lies far behind the end
 *   large      a batch that takes long to validate
 *   page       `produce` once more, in a second world that keeps Kafka's promise only: in the page cache
 *
 * Besides, syncs are counted: from a machine without a data directory to a broker that answers, and from the request for a
 * topic of one partition to its answer.
 *
 * The floors are built with -finstrument-functions for this program; an entered function is printed as its distance from
 * main, so that its name can be found in the program's symbols, static ones too. Output, a line each:
 *
 *   enter WALK THREAD DISTANCE      call WALK THREAD NAME      allocations WALK COUNT      syncs OF COUNT
 */
#include "io/io.h"
#include "io/sim.h"
#include "main/main.h"
#include "record/record.h"
#include "sim/client.h"
#include "sim/witness.h"
#include "wire/gen/api_versions.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/fetch.h"
#include "wire/gen/produce.h"

enum {
    PORT = 9092,
    TIMEOUT_MS = 60000,
    ROUNDS = 300,
    SMALL = 100,
    LARGE = 100000,
    COLD_BATCHES = 120,
    LARGE_ROUNDS = 20,
    CHORES_MS = 5000
};
#define TOPIC "t"

int main(int argc, char **argv);
void __cyg_profile_func_enter(void *function, void *caller);
void __cyg_profile_func_exit(void *function, void *caller);

static struct {
    struct sim_world *world;
    struct serve_options options;
    bool is_page_cache;
    struct link link, other;
    struct record_builder builder;
    uint8_t value[LARGE];
    int64_t end;
    const char *walk; // NULL: nothing is watched
    uint64_t allocations, syncs;
} run;

void __cyg_profile_func_enter(void *function, void *caller)
{
    if (run.walk)
        printf("enter %s %s %lld\n", run.walk, sim_thread_name(),
               (long long)((char *)function - (char *)(uintptr_t)main));
}

void __cyg_profile_func_exit(void *function, void *caller)
{
}

/* The same call of the same thread again and again counts once: how much one takes is the kernel's choice. */
static void note_call(void *context, const char *thread, const char *where)
{
    static const char *const OF_THE_KERNEL[] = {"recv",   "send",      "sendfile",   "read",     "read nowait",
                                                "write",  "fdatasync", "write back", "sync dir", "truncate",
                                                "rename", "stat",      "open",       "watch"};
    static char before[64];
    char line[64];
    run.syncs += strcmp(where, "fdatasync") == 0 || strcmp(where, "sync dir") == 0;
    snprintf(line, sizeof line, "%s %s %s", run.walk ? run.walk : "", thread, where);
    for (size_t i = 0; run.walk && i < COUNT_OF(OF_THE_KERNEL); i++)
        if (strcmp(where, OF_THE_KERNEL[i]) == 0 && strcmp(line, before) != 0)
            printf("call %s\n", (char *)memcpy(before, line, sizeof line));
}

static void watch_begin(const char *walk)
{
    while (io_now_ms() % CHORES_MS > CHORES_MS / 4) // what the broker does every five seconds does not fall into it
        sim_sleep_ns(100000000);
    sim_sleep_ns(1000000000); // what earlier requests set off has come to its end
    run.walk = walk;
    run.allocations = sim_broker_allocations_made(run.world);
}

static void tell_syncs(const char *of)
{
    printf("syncs %s %llu\n", of, (unsigned long long)run.syncs);
    run.syncs = 0;
}

static void watch_end(void)
{
    sim_sleep_ns(1000000000);
    printf("allocations %s %llu\n", run.walk,
           (unsigned long long)(sim_broker_allocations_made(run.world) - run.allocations));
    run.walk = NULL;
}

/* ---- requests */
static void wait_for_an_answer(void)
{
    struct api_versions_request request;
    api_versions_request_init(&request);
    const void *reply;
    if (!link_call(&run.link, API_API_VERSIONS, 0, &request, TIMEOUT_MS, &reply))
        blame("no first answer", 0, 0);
}

static void create_topic(void)
{
    struct create_topics_request_creatable_topic topic = {
        .name = slice_str(TOPIC), .num_partitions = 1, .replication_factor = 1};
    struct create_topics_request request = {.topics = &topic, .topics_count = 1, .timeout_ms = TIMEOUT_MS};
    const void *reply;
    if (!link_call(&run.link, API_CREATE_TOPICS, 7, &request, TIMEOUT_MS, &reply))
        blame("no topic", 0, 0);
}

static void produce(struct link *link, size_t size, enum record_codec codec)
{
    struct produce_request_partition_produce_data data = {.index = 0};
    record_builder_begin(&run.builder);
    record_builder_add(&run.builder, io_wall_ms(), SLICE_NULL, slice_of(run.value, size));
    struct status s = record_builder_finish_packed(&run.builder, codec, 0, 0, -1, -1, -1, &data.records);
    if (!status_is_ok(s))
        blame(s.what, s.error, 0);
    struct produce_request_topic_produce_data topic = {
        .name = slice_str(TOPIC), .partition_data = &data, .partition_data_count = 1};
    struct produce_request request = {
        .acks = -1, .timeout_ms = TIMEOUT_MS, .topic_data = &topic, .topic_data_count = 1};
    const void *reply;
    if (!link_call(link, API_PRODUCE, 9, &request, TIMEOUT_MS, &reply)) {
        blame("no produce", run.end, 0);
        return;
    }
    const struct produce_response *response = reply;
    run.end = response->responses[0].partition_responses[0].base_offset + 1;
}

static void fetch_send(int64_t offset, int32_t size_min)
{
    struct fetch_request_fetch_partition partition = {.current_leader_epoch = -1,
                                                      .fetch_offset = offset,
                                                      .last_fetched_epoch = -1,
                                                      .log_start_offset = -1,
                                                      .partition_max_bytes = 1 << 20};
    struct fetch_request_fetch_topic topic = {
        .topic = slice_str(TOPIC), .partitions = &partition, .partitions_count = 1};
    struct fetch_request request;
    fetch_request_init(&request);
    request.replica_id = -1;
    request.max_wait_ms = TIMEOUT_MS / 2;
    request.min_bytes = size_min;
    request.max_bytes = 1 << 20;
    request.session_epoch = -1;
    request.topics = &topic;
    request.topics_count = 1;
    request.rack_id = slice_str("");
    if (!link_send(&run.link, API_FETCH, 12, &request))
        blame("no fetch", offset, 0);
}

static void fetch_receive(size_t size_min)
{
    const void *reply;
    if (!link_receive(&run.link, API_FETCH, 12, TIMEOUT_MS, &reply)) {
        blame("no answer to a fetch", run.end, 0);
        return;
    }
    const struct fetch_response *response = reply;
    size_t size = response->responses[0].partitions[0].records.size;
    if (size < size_min)
        blame("a fetch got too little", (int64_t)size, (int64_t)size_min);
}

/* ---- the walks */
static void walk_durable(void)
{
    for (int i = 0; i < COLD_BATCHES; i++)
        produce(&run.link, LARGE, RECORD_NONE);
    for (int i = 0; i < ROUNDS && !is_blamed(); i++) {
        produce(&run.link, SMALL, RECORD_NONE);
        fetch_send(run.end - 1, 1);
        fetch_receive(SMALL);
    }
    watch_begin("produce");
    produce(&run.link, SMALL, RECORD_NONE);
    watch_end();
    watch_begin("fetch");
    fetch_send(run.end - 1, 1);
    fetch_receive(SMALL);
    watch_end();
    watch_begin("wait");
    fetch_send(run.end - 1, LARGE);
    sim_sleep_ns(100000000);
    produce(&run.other, LARGE, RECORD_NONE);
    fetch_receive(LARGE);
    watch_end();
    watch_begin("cold");
    for (int i = 0; i < 20; i++) { // it may be found in the page cache
        fetch_send(0, 1);
        fetch_receive(LARGE);
    }
    watch_end();
    for (int i = 0; i < LARGE_ROUNDS; i++)
        produce(&run.link, LARGE, RECORD_LZ4);
    watch_begin("large");
    produce(&run.link, LARGE, RECORD_LZ4);
    watch_end();
}

static void walk_page_cache(void)
{
    for (int i = 0; i < ROUNDS && !is_blamed(); i++)
        produce(&run.link, SMALL, RECORD_NONE);
    watch_begin("page");
    produce(&run.link, SMALL, RECORD_NONE);
    watch_end();
}

static void walk(void *context)
{
    link_init(&run.link);
    link_init(&run.other);
    while (!link_open(&run.link, PORT, TIMEOUT_MS) || !link_open(&run.other, PORT, TIMEOUT_MS))
        sim_sleep_ns(10000000);
    wait_for_an_answer();
    tell_syncs(run.is_page_cache ? "start-page" : "start");
    create_topic();
    tell_syncs(run.is_page_cache ? "topic-page" : "topic");
    if (run.is_page_cache)
        walk_page_cache();
    else
        walk_durable();
    link_free(&run.link);
    link_free(&run.other);
    record_builder_free(&run.builder);
}

static void broker_main(void *context)
{
    struct ottla *ottla;
    struct status s = ottla_start(&run.options, &ottla);
    if (!status_is_ok(s)) {
        blame(s.what, s.error, 0);
        return;
    }
    while (!sim_clients_are_done(run.world))
        sim_sleep_ns(2000000);
    s = ottla_stop(ottla);
    if (!status_is_ok(s))
        blame(s.what, s.error, 0);
}

static void world(bool is_page_cache)
{
    const char *sets[] = {"ottla.reactors=1",
                          "offsets.topic.replication.factor=1",
                          "log.retention.check.interval.ms=3600000",
                          "log.flush.offset.checkpoint.interval.ms=3600000",
                          "replica.high.watermark.checkpoint.interval.ms=3600000",
                          is_page_cache ? "ottla.durability=page-cache" : "ottla.durability=fsync"};
    run.is_page_cache = is_page_cache;
    run.syncs = 0;
    run.world = sim_world_create(1, &(struct sim_faults){.all_in_memory = true});
    sim_watch_steps(run.world, note_call, NULL);
    struct status s = serve_options_make(NULL, "/data", "127.0.0.1:9092", "off", sets, COUNT_OF(sets), &run.options);
    if (!status_is_ok(s))
        blame(s.what, s.error, 0);
    sim_client(run.world, "client", walk, NULL);
    enum sim_end end = sim_run(run.world, broker_main, NULL, 3600000000000);
    if (end != SIM_DONE)
        blame("the run does not end", (int64_t)end, 0);
    sim_world_destroy(run.world);
    serve_options_free(&run.options);
}

int main(int argc, char **argv)
{
    struct random random;
    random_seed(&random, 1);
    for (size_t i = 0; i < sizeof run.value; i++)
        run.value[i] = (uint8_t)random_u64(&random); // which no codec makes smaller
    world(false);
    world(true);
    if (is_blamed())
        fprintf(stderr, "walks: %s\n", blame_text());
    return is_blamed();
}
