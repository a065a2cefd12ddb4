// SPDX-License-Identifier: Apache-2.0
/* io/sim.h - the harness's side of the simulated io: worlds, crashes, faults. For programs under sim/ only.
 *
 * A world is one machine: a disk, a clock, a loopback network, one broker process and any number of clients. All of it runs
 * in one real thread; everything that could go either way is drawn from the seed, so a seed replays exactly.
 *
 * The broker process is what sim_run starts, and every thread it starts. A crash ends it: its coroutines, handles, sockets
 * and memory are gone, the disk keeps what the fault model below lets it keep. Clients live on; their connections break.
 *
 * FAULT MODEL
 *
 * Disk. Every file has a volatile content (the page cache, what reads see) and a durable one (what a power cut leaves).
 *   - A write is volatile. The simulated kernel writes dirty sectors (512 bytes) back whenever it likes, in any order.
 *   - A power cut keeps any subset of the dirty sectors, so writes are lost, reordered and torn, and any size between the
 *     synced and the written one: where the size got through and the data did not, there are zeros or older bytes.
 *   - io_fdatasync makes data and size durable as they were when it started, perhaps newer ones; other threads run meanwhile.
 *   - When it fails, each dirty sector is durable or not, but clean all the same: a later fdatasync succeeds without
 *     having saved it (Linux). While `sync_fails_forever` is set it keeps failing for that file.
 *   - Entries of directories are durable after io_sync_dir of the directory. Before that a power cut keeps a prefix of the
 *     operations: either of all on the file system (a journal, as ext4's), or of each directory by itself; the seed
 *     chooses. Syncing a file does not save its name.
 *   - Reads and writes may be short, fail with EIO, or take long; the disk may fill up; bits may flip where the harness
 *     says (sim_disk_flip). io_pread_nowait may say EAGAIN at any time. IO_DIRECT_READ sees past the page cache.
 *   - A kill (kill -9) ends the process and leaves the page cache.
 * Network. Bytes of one connection arrive in order, late and in any portions; a connection may be reset at any call, and
 *   what was in flight is lost then. Buffers are bounded, sends and receives partial.
 * Time. The monotonic clock moves a little at each call and jumps to the next deadline when all wait. The wall clock may jump.
 * Threads. At every call of io.h another thread may run; a seed fixes which. Data races between two calls are not seen.
 *
 * Not modelled: sectors that change without being written, lost or doubled fsyncs (but see sync_lies), a disk that
 * reorders across a successful fsync.
 */
#pragma once

#include "base/base.h"

/* Chances are "one in N calls"; 0: never. */
struct sim_faults {
    uint32_t short_io, read_error, write_error, stall; // disk
    uint32_t sync_error;
    bool sync_fails_forever;
    bool all_in_memory;     // io_pread_nowait never says EAGAIN
    int64_t sync_ns_max;    // how long a sync takes; 0: an ordinary disk
    int64_t disk_bytes_max; // for the broker's files, other programs have the rest of a large disk; 0: no limit
    uint32_t net_reset, net_partial;
    int64_t net_delay_ns_max;
    uint32_t wall_jump;
    /* Mutants: what the broker would be without the call. */
    bool sync_lies;     // io_fdatasync does nothing
    bool sync_dir_lies; // io_sync_dir does nothing
};

enum sim_crash_kind { SIM_POWER_CUT, SIM_KILL };
enum sim_end {
    SIM_DONE,     // main returned and all its threads have ended; or, without main, all clients have
    SIM_CRASHED,  // the crash that was asked for has happened
    SIM_DEADLOCK, // everyone waits for someone, and no deadline is set
    SIM_TIMEOUT,  // virtual time is up
};

struct sim_world;
struct sim_world *sim_world_create(uint64_t seed, const struct sim_faults *faults); // one at a time
void sim_world_destroy(struct sim_world *world);
/* Faults from now on (none while a harness checks). */
void sim_faults_set(struct sim_world *world, const struct sim_faults *faults);

/* A coroutine outside the broker process: lives through crashes. Its io_thread_start makes more of its kind. */
void sim_client(struct sim_world *world, const char *name, void (*run)(void *context), void *context);
bool sim_clients_are_done(const struct sim_world *world);
/* Starts the broker process with `main_fn` (NULL: clients only) and runs everything. `time_max_ns` of virtual time. */
enum sim_end sim_run(struct sim_world *world, void (*main_fn)(void *context), void *context, int64_t time_max_ns);
/* The crash comes `steps` calls of io.h later (at least 1); 0 calls it off. */
void sim_crash_after(struct sim_world *world, uint64_t steps, enum sim_crash_kind kind);
/* At once, between two runs. */
void sim_crash(struct sim_world *world, enum sim_crash_kind kind);

/* Calling coroutine sleeps. */
void sim_sleep_ns(int64_t duration_ns);
/* For the harness's own choices; does not disturb the world's. */
struct random *sim_random(struct sim_world *world);
uint64_t sim_steps(const struct sim_world *world);
/* Of every step so far: equal seeds give equal traces. */
uint64_t sim_trace(const struct sim_world *world);
/* Hears of every step of the broker's threads: the thread's name and the call's. NULL: nobody does. */
void sim_watch_steps(struct sim_world *world, void (*step)(void *context, const char *thread, const char *where),
                     void *context);
/* Of the coroutine that runs; "harness" between runs. */
const char *sim_thread_name(void);
/* Who waits for what, on stderr. */
void sim_report(const struct sim_world *world);

/* Flips one bit, durable and volatile. False when there is no such byte. */
bool sim_disk_flip(struct sim_world *world, const char *path, int64_t position, int bit);
/* Bytes of all files; what `disk_bytes_max` limits. */
int64_t sim_disk_used(struct sim_world *world);
/* Live allocations of the broker: what a crash would free. */
size_t sim_broker_allocations(const struct sim_world *world);
/* Their bytes, as the allocator gave them. */
size_t sim_broker_bytes(const struct sim_world *world);
/* How many there ever were. */
uint64_t sim_broker_allocations_made(const struct sim_world *world);
