// SPDX-License-Identifier: Apache-2.0
/* sim/budget_sim.c - producers that are faster than the disk, under many seeds.
 *
 *   budget_sim FROM COUNT      runs COUNT seeds
 *
 * A few clients send all they have, with acks=0 or with acks=1 and many unanswered, to a broker whose disk often takes long and
 * whose budget of unflushed bytes is small. Held true, with either durability: what is written and not flushed never
 * passes the budget by more than one group for each thread that may write; every batch is in the log in the end, and
 * everyone who wants an answer gets one. The mutant without a budget (sim/mutants/no_budget.c) must fail.
 */
#include "io/io.h"
#include "io/sim.h"
#include "main/main.h"
#include "record/record.h"
#include "sim/client.h"
#include "sim/witness.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/produce.h"

#include <stdlib.h>

enum {
    PORT = 9092,
    TIMEOUT_MS = 3600000,
    CLIENTS_MAX = 4,
    PARTITIONS = 3,
    BATCHES = 150,
    IN_FLIGHT = 30,
    VALUE_BYTES = 900
};
/* A group is a sixteenth of the budget, or one batch if that is more. */
enum { BUDGET_BYTES = 8000, GROUP_BYTES_MAX = VALUE_BYTES + 100, REACTORS_MAX = 3, FILE_THREADS = 4 };
#define TOPIC "t"

static struct {
    struct sim_world *world;
    struct serve_options options;
    int clients;
    bool topic_is_made;
    uint64_t muted; // of all seeds
} run;

static uint64_t draw(uint64_t bound)
{
    return random_below(sim_random(run.world), bound);
}

/* ---- clients */
static void connect_to_broker(struct link *link)
{
    link_init(link);
    while (!link_open(link, PORT, TIMEOUT_MS))
        sim_sleep_ns(10000000);
}

static void make_topic(void *context)
{
    struct link link;
    struct create_topics_request_creatable_topic topic = {
        .name = slice_str(TOPIC), .num_partitions = PARTITIONS, .replication_factor = 1};
    struct create_topics_request request = {.topics = &topic, .topics_count = 1, .timeout_ms = TIMEOUT_MS};
    const void *reply;
    connect_to_broker(&link);
    if (!link_call(&link, API_CREATE_TOPICS, 7, &request, TIMEOUT_MS, &reply))
        blame("no topic", 0, 0);
    link_free(&link);
    run.topic_is_made = true;
}

static bool send_batch(struct link *link, struct record_builder *builder, int16_t acks)
{
    static const uint8_t VALUE[VALUE_BYTES];
    record_builder_begin(builder);
    record_builder_add(builder, io_wall_ms(), SLICE_NULL, slice_of(VALUE, 1 + draw(VALUE_BYTES)));
    struct produce_request_partition_produce_data data = {.index = (int32_t)draw(PARTITIONS),
                                                          .records = record_builder_finish(builder, 0, -1, -1, -1)};
    struct produce_request_topic_produce_data topic = {
        .name = slice_str(TOPIC), .partition_data = &data, .partition_data_count = 1};
    struct produce_request request = {
        .acks = acks, .timeout_ms = TIMEOUT_MS, .topic_data = &topic, .topic_data_count = 1};
    return link_send(link, API_PRODUCE, 9, &request);
}

static void receive_answer(struct link *link)
{
    const void *reply;
    if (!link_receive(link, API_PRODUCE, 9, TIMEOUT_MS, &reply)) {
        blame("no answer to a produce", 0, 0);
        return;
    }
    const struct produce_response *response = reply;
    int16_t error = response->responses[0].partition_responses[0].error_code;
    if (error != 0)
        blame("a produce was refused", error, 0);
}

static void flood(void *context)
{
    struct link link;
    struct record_builder builder = {0};
    int16_t acks = (int16_t)draw(2);
    while (!run.topic_is_made)
        sim_sleep_ns(10000000);
    connect_to_broker(&link);
    link.send_timeout_ms = TIMEOUT_MS; // muted for as long as the disk needs
    for (int i = 0; i < BATCHES + IN_FLIGHT && !is_blamed(); i++) {
        if (i < BATCHES && !send_batch(&link, &builder, acks))
            blame("the connection broke", i, acks);
        if (acks != 0 && i >= IN_FLIGHT && !is_blamed())
            receive_answer(&link);
    }
    link_free(&link);
    record_builder_free(&builder);
}

/* ---- the broker */
static void add_end(void *context, const struct broker_partition *partition)
{
    *(int64_t *)context += partition->is_internal ? 0 : partition->end_offset;
}

/* Without an answer there is no telling when a batch has arrived; with nobody left, it is a matter of time. */
static void wait_for_all(struct broker *broker)
{
    int64_t written = -1, wanted = (int64_t)run.clients * BATCHES;
    for (int64_t until_ms = io_now_ms() + TIMEOUT_MS; written < wanted && io_now_ms() < until_ms && !is_blamed();) {
        sim_sleep_ns(100000000);
        written = 0;
        broker_partitions_each(broker, add_end, &written);
    }
    if (written != wanted)
        blame("batches are missing", written, wanted);
}

static void check_budget(struct broker *broker)
{
    struct broker_numbers numbers;
    broker_numbers(broker, &numbers);
    int64_t most = (int64_t)numbers.unflushed_bytes_most;
    if (most > BUDGET_BYTES + (REACTORS_MAX + FILE_THREADS) * GROUP_BYTES_MAX)
        blame("more is unflushed than may be", most, BUDGET_BYTES);
    run.muted += numbers.muted_writes;
}

static void broker_main(void *context)
{
    struct ottla *ottla;
    struct status s = ottla_start(&run.options, &ottla);
    if (!status_is_ok(s)) {
        blame(s.what, s.error, 0);
        return;
    }
    while (!sim_clients_are_done(run.world) && !is_blamed())
        sim_sleep_ns(2000000);
    wait_for_all(ottla_broker(ottla));
    check_budget(ottla_broker(ottla));
    s = ottla_stop(ottla);
    if (!status_is_ok(s))
        blame(s.what, s.error, 1);
}

static void run_seed(uint64_t seed)
{
    static const struct sim_faults SLOW = {.stall = 2, .short_io = 5, .net_partial = 4};
    witness_reset();
    run.world = sim_world_create(seed, &SLOW);
    run.topic_is_made = false;
    char reactors[32], budget[64];
    snprintf(reactors, sizeof reactors, "ottla.reactors=%d", 1 + (int)draw(REACTORS_MAX));
    snprintf(budget, sizeof budget, "ottla.unflushed.max.bytes=%d", BUDGET_BYTES);
    const char *sets[] = {reactors, budget, "offsets.topic.replication.factor=1", "log.segment.bytes=1048576",
                          draw(2) ? "ottla.durability=page-cache" : "ottla.durability=fsync"};
    struct status s = serve_options_make(NULL, "/data", "127.0.0.1:9092", "off", sets, COUNT_OF(sets), &run.options);
    if (!status_is_ok(s))
        blame(s.what, s.error, 2);
    sim_client(run.world, "maker", make_topic, NULL);
    run.clients = 1 + (int)draw(CLIENTS_MAX);
    for (int i = 0; i < run.clients; i++)
        sim_client(run.world, "client", flood, NULL);
    if (sim_run(run.world, broker_main, NULL, 2 * (int64_t)TIMEOUT_MS * 1000000) != SIM_DONE)
        blame("the run does not end", 0, 0);
    sim_world_destroy(run.world);
    serve_options_free(&run.options);
}

static void no_lines(void *context, const char *line, size_t size)
{
}

int main(int argc, char **argv)
{
    uint64_t from = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 20;
    if (count > 1)
        log_sink_set(no_lines, NULL);
    for (uint64_t seed = from; seed < from + count; seed++) {
        run_seed(seed);
        if (is_blamed()) {
            printf("budget seed %llu failed: %s\nreplay: sim/run.sh budget %llu\n", (unsigned long long)seed,
                   blame_text(), (unsigned long long)seed);
            return 1;
        }
    }
    printf("budget: %llu seeds from %llu held, %llu writes went by the pool\n", (unsigned long long)count,
           (unsigned long long)from, (unsigned long long)run.muted);
    return count > 1 && run.muted == 0; // then nothing was tried
}
