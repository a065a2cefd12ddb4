// SPDX-License-Identifier: Apache-2.0
/* cli/dump_fuzz.c - any bytes as any file of a data directory, shown by `ottla dump`: as people read it and as JSON.
 *
 *   bytes  meaning
 *       1  which file, modulo their count
 *       2  size of the segment beside it, which indexes are held against
 *     n+m  segment, file
 *
 * Nothing may crash, and nothing may go on without an end. The files lie on the simulator's disk.
 */
#include "cli/cli.h"
#include "io/io.h"
#include "io/sim.h"

static const char *const FILES[] = {"/d/t-0/00000000000000000000.log",
                                    "/d/__consumer_offsets-0/00000000000000000000.log",
                                    "/d/__transaction_state-0/00000000000000000000.log",
                                    "/d/__share_group_state-0/00000000000000000000.log",
                                    "/d/__cluster_metadata-0/00000000000000000000.log",
                                    "/d/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint",
                                    "/d/__cluster_metadata-0/quorum-state",
                                    "/d/bootstrap.checkpoint",
                                    "/d/t-0/00000000000000000000.index",
                                    "/d/t-0/00000000000000000000.timeindex",
                                    "/d/t-0/00000000000000000000.txnindex",
                                    "/d/t-0/00000000000000000000.snapshot",
                                    "/d/t-0/leader-epoch-checkpoint",
                                    "/d/t-0/partition.metadata",
                                    "/d/meta.properties",
                                    "/d/.kafka_cleanshutdown",
                                    "/d/recovery-point-offset-checkpoint"};

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    FILE *nowhere = freopen("/dev/null", "w", stdout);
    assert(nowhere);
    return 0;
}

static void write_file(const char *path, struct slice content)
{
    char folder[128];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    io_mkdir("/d");
    io_mkdir(folder); // may be there
    int file = io_open(path, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    assert(file >= 0);
    int64_t written = io_pwrite(file, content.data, content.size, 0);
    assert(written == (int64_t)content.size);
    io_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return -1;
    const char *path = FILES[data[0] % COUNT_OF(FILES)];
    size_t beside = (size_t)(data[1] << 8 | data[2]);
    beside = beside < size - 3 ? beside : size - 3;
    struct sim_world *world = sim_world_create(1, NULL);
    write_file(FILES[0], slice_of(data + 3, beside));
    write_file(path, slice_of(data + 3 + beside, size - 3 - beside));
    int as_text = cli_dump(&path, 1, false), as_json = cli_dump(&path, 1, true);
    assert(as_text == as_json);
    sim_world_destroy(world);
    return 0;
}
