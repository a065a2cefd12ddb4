// SPDX-License-Identifier: Apache-2.0
/* fuzz/request_fuzz.c - a whole broker on the simulator, one client that sends anything, and one that is honest.
 *
 *   bytes  meaning, again and again
 *       2  size of a frame; its highest bit set: these bytes are sent as they are, without a size before them
 *       n  the frame
 *
 * Whatever the attacker sent, the honest client is answered afterwards, the broker stops cleanly, and starts again from what
 * was left on the disk. A topic of two partitions and a group's topic are there to be hit.
 */
#include "io/io.h"
#include "io/sim.h"
#include "main/main.h"
#include "sim/client.h"
#include "sim/witness.h"
#include "wire/gen/api_versions.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/metadata.h"

#include <errno.h>

enum { PORT = 9092, TIMEOUT_MS = 60000, FRAMES_MAX = 30, RAW = 0x8000 };

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct sim_world *world;
    struct serve_options options;
    struct slice input;
} run;

static void no_lines(void *context, const char *line, size_t size)
{
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    static const char *const SETS[] = {"ottla.reactors=2", "offsets.topic.replication.factor=1",
                                       "offsets.topic.num.partitions=2", "group.initial.rebalance.delay.ms=0"};
    log_sink_set(no_lines, NULL);
    struct sim_world *world = sim_world_create(1, NULL);
    struct status s = serve_options_make(NULL, "/data", "127.0.0.1:9092", "off", SETS, COUNT_OF(SETS), &run.options);
    assert(status_is_ok(s));
    sim_world_destroy(world);
    return 0;
}

/* ---- the attacker */
static void listen_a_while(struct link *link)
{
    uint8_t bytes[512];
    for (int i = 0; i < 20 && link_is_open(link); i++) {
        int64_t got = io_recv(link->socket, bytes, sizeof bytes);
        if (got == 0 || (got < 0 && got != -EAGAIN))
            link_close(link);
        sim_sleep_ns(1000000);
    }
}

static void send_raw(struct link *link, const uint8_t *bytes, size_t size)
{
    for (int tries = 0; size > 0 && link_is_open(link) && tries < 50; tries++) {
        struct iovec piece = {(void *)(uintptr_t)bytes, size};
        int64_t sent = io_sendv(link->socket, &piece, 1, false);
        if (sent < 0 && sent != -EAGAIN) {
            link_close(link);
            return;
        }
        bytes += sent > 0 ? sent : 0;
        size -= sent > 0 ? (size_t)sent : 0;
        if (sent < 0)
            listen_a_while(link);
    }
}

static void attack(struct link *link)
{
    struct slice rest = run.input;
    for (int i = 0; i < FRAMES_MAX && rest.size >= 2; i++) {
        uint16_t head = (uint16_t)(rest.data[0] << 8 | rest.data[1]);
        size_t size = head & ~RAW;
        size = size < rest.size - 2 ? size : rest.size - 2;
        if (!link_is_open(link) && !link_open(link, PORT, TIMEOUT_MS))
            return;
        uint8_t prefix[4] = {0, 0, (uint8_t)(size >> 8), (uint8_t)size};
        if (!(head & RAW))
            send_raw(link, prefix, sizeof prefix);
        send_raw(link, rest.data + 2, size);
        listen_a_while(link);
        rest = slice_of(rest.data + 2 + size, rest.size - 2 - size);
    }
}

/* ---- the honest one */
static bool call(struct link *link, int16_t key, int16_t version, const void *request, const void **ret_reply)
{
    for (int tries = 0; tries < 100; tries++) {
        if (!link_is_open(link) && !link_open(link, PORT, TIMEOUT_MS))
            sim_sleep_ns(10000000);
        else if (link_call(link, key, version, request, TIMEOUT_MS, ret_reply))
            return true;
    }
    return false;
}

static void create_topic(struct link *link)
{
    struct create_topics_request_creatable_topic topic = {
        .name = slice_str("t"), .num_partitions = 2, .replication_factor = 1};
    struct create_topics_request request = {.topics = &topic, .topics_count = 1, .timeout_ms = TIMEOUT_MS};
    const void *reply;
    if (!call(link, API_CREATE_TOPICS, 7, &request, &reply))
        blame("no topic could be made", 0, 0);
}

static void ask(struct link *link)
{
    struct api_versions_request versions = {.client_software_name = slice_str("honest"),
                                            .client_software_version = slice_str("1")};
    struct metadata_request metadata = {.topics_count = -1};
    const void *reply;
    if (!call(link, API_API_VERSIONS, 3, &versions, &reply) || !call(link, API_METADATA, 12, &metadata, &reply))
        blame("an honest client gets no answer", 0, 0);
}

static void clients(void *context)
{
    struct link attacker, honest;
    link_init(&attacker);
    link_init(&honest);
    if (run.input.size > 0)
        create_topic(&honest);
    attack(&attacker);
    ask(&honest);
    link_free(&attacker);
    link_free(&honest);
}

static void broker_main(void *context)
{
    struct ottla *ottla;
    struct status s = ottla_start(&run.options, &ottla);
    if (!status_is_ok(s)) {
        blame(s.what, s.error, 0);
        return;
    }
    while (!sim_clients_are_done(run.world) && !broker_has_failed(ottla_broker(ottla)))
        sim_sleep_ns(2000000);
    s = ottla_stop(ottla);
    if (!status_is_ok(s))
        blame(s.what, s.error, 1);
}

static void live(struct slice input)
{
    run.input = input;
    sim_client(run.world, "clients", clients, NULL);
    enum sim_end end = sim_run(run.world, broker_main, NULL, 3600000000000);
    if (end != SIM_DONE)
        blame("the broker does not end", (int64_t)end, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return -1;
    witness_reset();
    run.world = sim_world_create(1, NULL);
    live(slice_of(data, size));
    if (!is_blamed())
        live(SLICE_NULL);
    sim_world_destroy(run.world);
    if (is_blamed())
        fprintf(stderr, "%s\n", blame_text());
    assert(!is_blamed());
    return 0;
}
