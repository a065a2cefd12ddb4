// SPDX-License-Identifier: Apache-2.0
/* io/sim_handle.c - the table of handles: files and sockets share it, the lowest free number is given, as the kernel does,
 * so a use after close meets another's handle here as it would there. Using a number of the wrong kind is a bug: assert.
 */
#include "io/sim__.h"

enum { FIRST_HANDLE = 3 };

int sim__handle_new(enum sim_handle_kind kind)
{
    struct sim_world *world = sim__world;
    int number = world->handles_full > FIRST_HANDLE ? world->handles_full : FIRST_HANDLE;
    while (number < world->handle_count && world->handles[number].kind != SIM_FREE)
        number++;
    assert(number < SIM_HANDLES_MAX);
    if (number >= world->handle_count) {
        int count = world->handle_count ? world->handle_count * 2 : 64;
        world->handles = sim__realloc(world->handles, (size_t)count * sizeof *world->handles);
        memset(world->handles + world->handle_count, 0, (size_t)(count - world->handle_count) * sizeof *world->handles);
        world->handle_count = count;
    }
    world->handles[number] =
        (struct sim_handle){.kind = kind, .is_broker = sim__is_broker(), .serial = ++world->handle_serial};
    world->handles_full = number + 1;
    return number;
}

struct sim_handle *sim__handle(int number, enum sim_handle_kind kind)
{
    assert(number >= FIRST_HANDLE && number < sim__world->handle_count);
    assert(sim__world->handles[number].kind == kind);
    return &sim__world->handles[number];
}

void sim__handle_release(int number)
{
    assert(sim__world->handles[number].kind != SIM_FREE);
    sim__world->handles[number] = (struct sim_handle){.kind = SIM_FREE};
    if (number < sim__world->handles_full)
        sim__world->handles_full = number;
}

void sim__handles_crash(struct sim_world *world)
{
    for (int i = 0; i < world->handle_count; i++) {
        if (!world->handles[i].is_broker)
            continue;
        if (world->handles[i].kind == SIM_SOCKET)
            sim__socket_close(i);
        else if (world->handles[i].kind == SIM_FILE)
            sim__file_crash(i);
    }
}
