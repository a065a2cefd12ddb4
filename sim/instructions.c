// SPDX-License-Identifier: Apache-2.0
/* sim/instructions.c - the hot paths, run again and again under callgrind: bench/instructions.py counts what they cost.
 *
 * A broker with one reactor runs on the simulator, which is the same in every run to the last byte; so the instructions of
 * our own files are the same too, whatever else the machine does. One client sends frames that were made before: what is
 * counted in wire/ and record/ is the broker's. For each case, after as many to warm up, the counters are set to zero, some
 * requests are asked and answered one after another, and callgrind writes them down under the case's name. Output, a line
 * each: the case and how many requests were counted.
 *
 * Durability is page-cache, as in the benchmarks, but for the case `durable`.
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
#include "wire/gen/headers.h"
#include "wire/gen/metadata.h"
#include "wire/gen/produce.h"

#include <errno.h>

#include <valgrind/callgrind.h>

enum { PORT = 9092, TIMEOUT_MS = 60000, MANY = 100, FEW = 10, FRAME_BYTES_MAX = 4 << 20, VALUE_BYTES_MAX = 1 << 20 };
#define TOPIC "t"

static struct {
    struct sim_world *world;
    struct serve_options options;
    struct link link;
    struct record_builder builder;
    struct wire_writer frame;
    uint8_t value[VALUE_BYTES_MAX], reply[FRAME_BYTES_MAX];
    bool is_durable;
} run;

/* ---- frames */
static void frame_make(int16_t key, int16_t version, const void *request)
{
    struct request_header header = {
        .request_api_key = key, .request_api_version = version, .client_id = slice_str("counted")};
    wire_writer_reset(&run.frame, FRAME_BYTES_MAX);
    wire_write_i32(&run.frame, 0);
    request_header_write(&run.frame, wire_request_header_version(key, version), &header);
    wire_api_find(key)->request->write(&run.frame, version, request);
    assert(!wire_writer_failed(&run.frame));
    wire_writer_patch_i32(&run.frame, 0, (int32_t)run.frame.size - 4);
}

static void produce_make(enum record_codec codec, int records, size_t size)
{
    record_builder_begin(&run.builder);
    for (int i = 0; i < records; i++)
        record_builder_add(&run.builder, io_wall_ms(), SLICE_NULL, slice_of(run.value + i, size));
    struct slice plain = record_builder_finish(&run.builder, 0, -1, -1, -1);
    struct buffer packed CLEANUP(buffer_free) = {0};
    struct produce_request_partition_produce_data data = {.records = plain};
    if (codec != RECORD_NONE) {
        struct status s = record_batch_recompress(plain, codec, 3, &packed);
        if (!status_is_ok(s))
            blame(s.what, s.error, 0);
        data.records = slice_of(packed.data, packed.size);
    }
    struct produce_request_topic_produce_data topic = {
        .name = slice_str(TOPIC), .partition_data = &data, .partition_data_count = 1};
    struct produce_request request = {
        .acks = -1, .timeout_ms = TIMEOUT_MS, .topic_data = &topic, .topic_data_count = 1};
    frame_make(API_PRODUCE, 9, &request);
}

static void fetch_make(int32_t size_max)
{
    struct fetch_request_fetch_partition partition = {
        .current_leader_epoch = -1, .last_fetched_epoch = -1, .log_start_offset = -1, .partition_max_bytes = size_max};
    struct fetch_request_fetch_topic topic = {
        .topic = slice_str(TOPIC), .partitions = &partition, .partitions_count = 1};
    struct fetch_request request;
    fetch_request_init(&request);
    request.replica_id = -1;
    request.max_wait_ms = TIMEOUT_MS / 2;
    request.min_bytes = 1;
    request.max_bytes = size_max;
    request.session_epoch = -1;
    request.topics = &topic;
    request.topics_count = 1;
    request.rack_id = slice_str("");
    frame_make(API_FETCH, 12, &request);
}

/* ---- asking */
static bool wait_for(uint32_t events)
{
    struct io_event event;
    io_loop_watch(run.link.loop, run.link.socket, events, &run);
    int64_t deadline_ns = io_now_ns() + TIMEOUT_MS * INT64_C(1000000);
    while (io_loop_wait(run.link.loop, &event, 1, deadline_ns) == 0)
        if (io_now_ns() >= deadline_ns)
            return false;
    return true;
}

static bool receive(size_t from, size_t to)
{
    while (from < to) {
        int64_t got = io_recv(run.link.socket, run.reply + from, to - from);
        if (got == 0 || (got < 0 && (got != -EAGAIN || !wait_for(IO_READABLE))))
            return false;
        from += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool ask(void)
{
    for (size_t done = 0; done < run.frame.size;) {
        struct iovec piece = {run.frame.data + done, run.frame.size - done};
        int64_t sent = io_sendv(run.link.socket, &piece, 1, false);
        if (sent < 0 && (sent != -EAGAIN || !wait_for(IO_WRITABLE)))
            return false;
        done += sent > 0 ? (size_t)sent : 0;
    }
    if (!receive(0, 4))
        return false;
    size_t size = (size_t)run.reply[0] << 24 | (size_t)run.reply[1] << 16 | (size_t)run.reply[2] << 8 | run.reply[3];
    return size <= sizeof run.reply - 4 && receive(4, 4 + size);
}

static void count(const char *name, int rounds)
{
    for (int i = 0; i < 2 * rounds && !is_blamed(); i++) {
        if (i == rounds)
            CALLGRIND_ZERO_STATS;
        if (!ask())
            blame("no answer", i, 0);
    }
    CALLGRIND_DUMP_STATS_AT(name);
    printf("%s %d\n", name, rounds);
}

static void count_all(void)
{
    struct api_versions_request api_versions;
    api_versions_request_init(&api_versions);
    frame_make(API_API_VERSIONS, 0, &api_versions);
    count("apiversions", MANY);
    struct metadata_request metadata;
    metadata_request_init(&metadata);
    struct metadata_request_metadata_request_topic topic = {.name = slice_str(TOPIC)};
    metadata.topics = &topic;
    metadata.topics_count = 1;
    frame_make(API_METADATA, 4, &metadata);
    count("metadata", MANY);
    produce_make(RECORD_NONE, 1, 100);
    count("produce-100Bx1", MANY);
    produce_make(RECORD_NONE, 160, 100);
    count("produce-100Bx160", MANY);
    produce_make(RECORD_NONE, 16, 1024);
    count("produce-1KiBx16", MANY);
    produce_make(RECORD_LZ4, 16, 1024);
    count("produce-1KiBx16-lz4", MANY);
    produce_make(RECORD_ZSTD, 16, 1024);
    count("produce-1KiBx16-zstd", MANY);
    produce_make(RECORD_NONE, 1, 1000000);
    count("produce-1MBx1", FEW);
    fetch_make(1000);
    count("fetch-small", MANY);
    fetch_make(1 << 20);
    count("fetch-1MiB", FEW);
}

static void client(void *context)
{
    static const struct create_topics_request_creatable_topic TOPIC_OF_ONE = {
        .name = {(const uint8_t *)TOPIC, sizeof TOPIC - 1}, .num_partitions = 1, .replication_factor = 1};
    struct create_topics_request request = {.topics = (struct create_topics_request_creatable_topic *)&TOPIC_OF_ONE,
                                            .topics_count = 1,
                                            .timeout_ms = TIMEOUT_MS};
    const void *reply;
    link_init(&run.link);
    wire_writer_init(&run.frame, FRAME_BYTES_MAX);
    while (!link_open(&run.link, PORT, TIMEOUT_MS))
        sim_sleep_ns(10000000);
    if (!link_call(&run.link, API_CREATE_TOPICS, 7, &request, TIMEOUT_MS, &reply))
        blame("no topic", 0, 0);
    if (run.is_durable) {
        produce_make(RECORD_NONE, 1, 100);
        count("durable-100Bx1", MANY);
    } else {
        count_all();
    }
    link_free(&run.link);
    wire_writer_free(&run.frame);
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
        sim_sleep_ns(50000000);
    s = ottla_stop(ottla);
    if (!status_is_ok(s))
        blame(s.what, s.error, 0);
}

static void world(bool is_durable)
{
    const char *sets[] = {"ottla.reactors=1", "offsets.topic.replication.factor=1",
                          "log.retention.check.interval.ms=3600000", "log.flush.offset.checkpoint.interval.ms=3600000",
                          is_durable ? "ottla.durability=fsync" : "ottla.durability=page-cache"};
    run.is_durable = is_durable;
    run.world = sim_world_create(1, NULL);
    struct status s = serve_options_make(NULL, "/data", "127.0.0.1:9092", "off", sets, COUNT_OF(sets), &run.options);
    if (!status_is_ok(s))
        blame(s.what, s.error, 0);
    sim_client(run.world, "client", client, NULL);
    if (sim_run(run.world, broker_main, NULL, INT64_C(3600000000000)) != SIM_DONE)
        blame("the run does not end", 0, 0);
    sim_world_destroy(run.world);
    serve_options_free(&run.options);
}

static void no_lines(void *context, const char *line, size_t size)
{
}

int main(void)
{
    log_sink_set(no_lines, NULL);
    for (size_t i = 0; i < sizeof run.value; i++)
        run.value[i] = (uint8_t)((i * 2654435761u) >> 13);
    world(false);
    world(true);
    if (is_blamed())
        fprintf(stderr, "instructions: %s\n", blame_text());
    return is_blamed();
}
