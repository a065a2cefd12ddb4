// SPDX-License-Identifier: Apache-2.0
/* sim/connections_sim.c - many connections on one reactor, under many seeds.
 *
 *   connections_sim FROM COUNT [CONNECTIONS]      runs COUNT seeds with so many connections each, 500 if not told
 *
 * As many clients as max.connections allows connect, and one more, who is refused. Each asks and is answered; then all are
 * idle, and what the broker holds for each is measured. Every second one asks again before it has been idle for too long: it
 * stays, the others are closed at their deadline, and there is room for new ones. In the end all leave, and nothing of them
 * is held. The network delivers late and in portions; the clock is the simulator's, so ten minutes cost nothing.
 */
#include "io/io.h"
#include "io/sim.h"
#include "main/main.h"
#include "sim/witness.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>

enum { PORT = 9092, CONNECTIONS_FEW = 500, BURST = 40, IDLE_MS = 600000, IDLE_BYTES_MAX = 4096 };
enum { PAUSE_NS = 1000000, PATIENCE = 100000 }; // pauses until something that must come is missed
static const uint8_t ASK[] = {0, 0, 0, 10, 0, 18,   0,
                              0, 0, 0, 0,  7, 0xff, 0xff}; // ApiVersions 0, correlation id 7, no client id
enum { ANSWER_ID_AT = 4, ANSWER_ID = 7 };

static struct {
    struct sim_world *world;
    struct serve_options options;
    struct ottla *ottla; // NULL while it does not run
    int count;
    int *sockets;
    size_t idle_bytes; // of each connection, in the latest seed
    bool are_gone;
} run;

static struct broker_numbers numbers(void)
{
    struct broker_numbers numbers;
    broker_numbers(ottla_broker(run.ottla), &numbers);
    return numbers;
}

/* ---- one client's steps, by its socket */
static int connect_one(void)
{
    for (int left = PATIENCE; left > 0 && !is_blamed(); left--) {
        int socket = io_connect("127.0.0.1", PORT);
        sim_sleep_ns(PAUSE_NS / BURST);
        if (io_connect_result(socket) == 0)
            return socket;
        io_socket_close(socket); // the queue of those who come is full
        sim_sleep_ns(PAUSE_NS);
    }
    blame("a client cannot connect", 0, 0);
    return -1;
}

static void send_all(int socket)
{
    size_t done = 0;
    for (int left = PATIENCE; done < sizeof ASK && left > 0; left--) {
        struct iovec piece = {(void *)(uintptr_t)(ASK + done), sizeof ASK - done};
        int64_t sent = io_sendv(socket, &piece, 1, false);
        if (sent < 0 && sent != -EAGAIN)
            break;
        done += sent > 0 ? (size_t)sent : 0;
        if (done < sizeof ASK)
            sim_sleep_ns(PAUSE_NS);
    }
    if (done < sizeof ASK)
        blame("a request cannot be sent", socket, (int64_t)done);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The whole answer, and no byte more. */
static void receive_all(int socket)
{
    uint8_t bytes[8192];
    size_t size = 0, whole = sizeof bytes;
    for (int left = PATIENCE; size < whole && left > 0; left--) {
        int64_t got = io_recv(socket, bytes + size, sizeof bytes - size);
        if (got == 0 || (got < 0 && got != -EAGAIN))
            break;
        size += got > 0 ? (size_t)got : 0;
        if (size >= 4)
            whole = 4 + be32(bytes);
        if (size < whole)
            sim_sleep_ns(PAUSE_NS);
    }
    if (size != whole || be32(bytes + ANSWER_ID_AT) != ANSWER_ID)
        blame("a request is not answered", socket, (int64_t)size);
}

static void expect_end(int socket)
{
    uint8_t byte;
    int64_t got = -EAGAIN;
    for (int left = PATIENCE; got == -EAGAIN && left > 0; left--) {
        got = io_recv(socket, &byte, 1);
        if (got == -EAGAIN)
            sim_sleep_ns(PAUSE_NS);
    }
    if (got != 0 && got != -ECONNRESET)
        blame("a connection is not closed", socket, got);
}

/* ---- all of them */
/* So many at a time as may wait to be accepted; who finds the queue full tries alone. */
static void connect_all(int first, int step)
{
    for (int i = first; i < run.count && !is_blamed(); i += step * BURST) {
        int end = i + step * BURST < run.count ? i + step * BURST : run.count;
        for (int at = i; at < end; at += step)
            run.sockets[at] = io_connect("127.0.0.1", PORT);
        sim_sleep_ns(PAUSE_NS);
        for (int at = i; at < end && !is_blamed(); at += step) {
            if (io_connect_result(run.sockets[at]) == 0)
                continue;
            io_socket_close(run.sockets[at]);
            run.sockets[at] = connect_one();
        }
    }
}

static void ask(int first, int step)
{
    for (int i = first; i < run.count && !is_blamed(); i += step * BURST) {
        int end = i + step * BURST < run.count ? i + step * BURST : run.count;
        for (int at = i; at < end; at += step)
            send_all(run.sockets[at]);
        for (int at = i; at < end && !is_blamed(); at += step)
            receive_all(run.sockets[at]);
    }
}

static void expect_connections(uint64_t count, const char *or_else)
{
    for (int left = PATIENCE; numbers().connections != count && left > 0; left--)
        sim_sleep_ns(PAUSE_NS);
    if (numbers().connections != count)
        blame(or_else, (int64_t)numbers().connections, (int64_t)count);
}

static void expect_limit(enum net_limit limit, uint64_t times, const char *or_else)
{
    if (numbers().net_limits[limit] != times)
        blame(or_else, (int64_t)numbers().net_limits[limit], (int64_t)times);
}

static void measure(size_t before)
{
    run.idle_bytes = (sim_broker_bytes(run.world) - before) / (size_t)run.count;
    if (run.idle_bytes > IDLE_BYTES_MAX)
        blame("an idle connection costs too much", (int64_t)run.idle_bytes, IDLE_BYTES_MAX);
    if (numbers().request_bytes != 0)
        blame("idle connections hold memory of requests", numbers().request_bytes, 0);
}

static void be_idle(void)
{
    int half = run.count / 2;
    sim_sleep_ns((int64_t)IDLE_MS / 2 * 1000000);
    ask(1, 2);
    sim_sleep_ns((int64_t)IDLE_MS / 2 * 1000000);
    expect_connections((uint64_t)half, "not the idle ones alone are closed");
    expect_limit(NET_LIMIT_IDLE, (uint64_t)(run.count - half), "not every idle connection is counted");
    for (int i = 0; i < run.count && !is_blamed(); i += 2) {
        expect_end(run.sockets[i]);
        io_socket_close(run.sockets[i]);
    }
    if (!is_blamed())
        connect_all(0, 2);
    ask(0, 1);
}

static void clients(void *context)
{
    while (!run.ottla && !is_blamed())
        sim_sleep_ns(PAUSE_NS);
    if (is_blamed())
        return;
    size_t before = sim_broker_bytes(run.world);
    connect_all(0, 1);
    expect_connections((uint64_t)run.count, "not all are accepted");
    int late = connect_one();
    expect_end(late);
    io_socket_close(late);
    expect_limit(NET_LIMIT_CONNECTIONS, 1, "one too many is not counted");
    ask(0, 1);
    if (!is_blamed())
        measure(before);
    if (!is_blamed())
        be_idle();
    for (int i = 0; i < run.count && !is_blamed(); i++)
        io_socket_close(run.sockets[i]);
    if (!is_blamed())
        expect_connections(0, "connections are left");
    run.are_gone = true;
}

/* ---- the broker */
static void broker_main(void *context)
{
    struct status s = ottla_start(&run.options, &run.ottla);
    if (!status_is_ok(s)) {
        blame(s.what, s.error, 0);
        return;
    }
    while (!run.are_gone && !is_blamed())
        sim_sleep_ns(100 * (int64_t)PAUSE_NS);
    struct ottla *ottla = run.ottla;
    run.ottla = NULL;
    s = ottla_stop(ottla);
    if (!status_is_ok(s))
        blame(s.what, s.error, 1);
}

static void run_seed(uint64_t seed, int count)
{
    static const struct sim_faults LATE = {.net_partial = 4, .net_delay_ns_max = 100000};
    witness_reset();
    char connections[64];
    run.world = sim_world_create(seed, &LATE);
    run.count = count;
    run.are_gone = false;
    run.sockets = mem_zalloc((size_t)count * sizeof *run.sockets);
    snprintf(connections, sizeof connections, "max.connections=%d", count);
    const char *sets[] = {"ottla.reactors=1", connections, "connections.max.idle.ms=600000",
                          "offsets.topic.replication.factor=1"};
    struct status s = serve_options_make(NULL, "/data", "127.0.0.1:9092", "off", sets, COUNT_OF(sets), &run.options);
    if (!status_is_ok(s))
        blame(s.what, s.error, 2);
    sim_client(run.world, "clients", clients, NULL);
    if (sim_run(run.world, broker_main, NULL, INT64_MAX / 4) != SIM_DONE)
        blame("the run does not end", 0, 0);
    sim_world_destroy(run.world);
    serve_options_free(&run.options);
    mem_free(run.sockets);
}

static void no_lines(void *context, const char *line, size_t size)
{
}

int main(int argc, char **argv)
{
    uint64_t from = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int connections = argc > 3 ? (int)strtol(argv[3], NULL, 10) : CONNECTIONS_FEW;
    if (count > 1 || connections > CONNECTIONS_FEW)
        log_sink_set(no_lines, NULL);
    for (uint64_t seed = from; seed < from + count; seed++) {
        run_seed(seed, connections);
        if (is_blamed()) {
            printf("connections seed %llu failed: %s\nreplay: sim/run.sh connections %llu 1 %d\n",
                   (unsigned long long)seed, blame_text(), (unsigned long long)seed, connections);
            return 1;
        }
    }
    printf("connections: %llu seeds from %llu held, with %d connections of %zu bytes each\n", (unsigned long long)count,
           (unsigned long long)from, connections, run.idle_bytes);
    return 0;
}
