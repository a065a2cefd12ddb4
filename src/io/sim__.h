// SPDX-License-Identifier: Apache-2.0
/* io/sim__.h - what the files of the simulator share. */
#pragma once

#include "io/io.h"
#include "io/sim.h"

enum { SIM_SECTOR_BYTES = 512, SIM_HANDLES_MAX = 1 << 17 };

struct sim_disk;
struct sim_inode;
struct sim_net;
struct sim_socket;

struct sim_co {
    struct list in_world;
    struct sim_world *world;
    uint32_t number;
    char name[24];
    void (*run)(void *);
    void *context;
    bool is_broker, is_done, is_started;
    /* Waiting: `ready` says when it may go on, whatever the deadline. NULL: runnable. */
    bool (*ready)(void *argument);
    void *argument;
    int64_t deadline_ns;
    const char *where;
    /* its stack */
    void *machine; // the ucontext
    uint8_t *map;
    size_t map_bytes;
    void *fake_stack; // AddressSanitizer's
};

enum sim_handle_kind { SIM_FREE, SIM_FILE, SIM_SOCKET };
struct sim_handle {
    enum sim_handle_kind kind;
    bool is_broker;
    uint64_t serial; // never used again
    int flags;
    struct sim_inode *inode;
    struct sim_socket *socket;
};

struct sim_world {
    struct random random, harness_random;
    struct sim_faults faults;
    struct list coroutines;
    struct sim_co *current;
    uint32_t next_number;
    void *scheduler; // its ucontext
    void *scheduler_fake_stack;
    const void *scheduler_stack;
    size_t scheduler_stack_bytes;
    uint32_t switch_one_in;
    int64_t now_ns, wall_offset_ms;
    uint64_t steps, crash_at_step, trace;
    enum sim_crash_kind crash_kind;
    struct sim_handle *handles;
    int handle_count;
    int handles_full; // all below are given
    uint64_t handle_serial;
    struct sim_disk *disk;
    struct sim_net *net;
    /* Memory of the broker process, by address. */
    void **owned;
    size_t owned_count, owned_used, owned_capacity;
    uint64_t owned_ever;
    void (*step)(void *context, const char *thread, const char *where); // NULL: nobody wants to know
    void *step_context;
    int untracked; // > 0: allocations belong to the simulator
};

extern struct sim_world *sim__world;

/* ---- sim_world.c: called first by every function of io.h: costs time, may switch, may be where the crash comes. */
void sim__step(const char *where);
/* Waits until `ready(argument)` or the deadline (INT64_MAX: none). */
void sim__wait(const char *where, bool (*ready)(void *argument), void *argument, int64_t deadline_ns);
void sim__sleep(const char *where, int64_t duration_ns);
uint64_t sim__below(uint64_t bound);
bool sim__one_in(uint32_t n); // 0: never
bool sim__is_broker(void);    // who calls
struct sim_co *sim__start(struct sim_world *world, const char *name, void (*run)(void *), void *context,
                          bool is_broker);
void sim__co_free(struct sim_co *co);

/* ---- sim_memory.c */
void sim__memory_begin(struct sim_world *world);
void sim__memory_end(struct sim_world *world);
void sim__memory_crash(struct sim_world *world);
void *sim__alloc(size_t size); // cleared, the simulator's own
void *sim__realloc(void *p, size_t size);
void sim__free(void *p);

/* ---- sim_handle.c */
int sim__handle_new(enum sim_handle_kind kind);
struct sim_handle *sim__handle(int number, enum sim_handle_kind kind); // asserts that it is one
void sim__handle_release(int number);
void sim__handles_crash(struct sim_world *world); // closes the broker's

/* ---- sim_disk.c, sim_tree.c, sim_crash.c */
struct sim_disk *sim__disk_create(void);
void sim__disk_destroy(struct sim_disk *disk);
void sim__disk_power_cut(struct sim_disk *disk);
void sim__file_crash(int number); // the process that had it open is gone
int64_t sim__file_read(struct sim_inode *inode, bool direct, void *ret_data, size_t size, int64_t position);

/* ---- sim_net.c */
struct sim_net *sim__net_create(void);
void sim__net_destroy(struct sim_net *net);
void sim__socket_close(int number);
uint32_t sim__socket_events(int number);                 // IO_* that hold now
int64_t sim__net_next_ns(const struct sim_world *world); // the next arrival after now; INT64_MAX: none
