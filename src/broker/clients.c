// SPDX-License-Identifier: Apache-2.0
/* broker/clients.c - which clients come: by the name and version that they introduce themselves with (KIP-511).
 *
 * A small table for people to look at. What is in it was checked before to be letters, digits, dots and dashes. When it is
 * full, the client that came longest ago leaves it.
 */
#include "broker/broker__.h"

enum { CLIENTS_MAX = 32 };

struct clients {
    struct io_lock *lock;
    int count;
    struct broker_client items[CLIENTS_MAX];
};

struct clients *clients__create(void)
{
    struct clients *clients = mem_zalloc(sizeof *clients);
    clients->lock = io_lock_create();
    return clients;
}

void clients__free(struct clients *clients)
{
    io_lock_destroy(clients->lock);
    mem_free(clients);
}

static void copy(struct slice text, char *ret_text, size_t room)
{
    size_t size = text.size < room - 1 ? text.size : room - 1;
    if (size > 0)
        memcpy(ret_text, text.data, size);
    ret_text[size] = '\0';
}

static struct broker_client *place_of(struct clients *clients, const struct broker_client *wanted)
{
    struct broker_client *oldest = &clients->items[0];
    for (int i = 0; i < clients->count; i++) {
        struct broker_client *item = &clients->items[i];
        if (strcmp(item->name, wanted->name) == 0 && strcmp(item->version, wanted->version) == 0)
            return item;
        if (item->seen_ms < oldest->seen_ms)
            oldest = item;
    }
    struct broker_client *place = clients->count < CLIENTS_MAX ? &clients->items[clients->count++] : oldest;
    *place = *wanted;
    return place;
}

void clients__introduced(struct clients *clients, struct slice name, struct slice version, int64_t wall_ms)
{
    struct broker_client wanted = {.connections = 0};
    copy(name, wanted.name, sizeof wanted.name);
    copy(version, wanted.version, sizeof wanted.version);
    io_lock_take(clients->lock);
    struct broker_client *place = place_of(clients, &wanted);
    place->connections++;
    place->seen_ms = wall_ms;
    io_lock_release(clients->lock);
}

int broker_clients(struct broker *broker, struct broker_client *ret_clients, int max)
{
    struct clients *clients = broker->clients;
    io_lock_take(clients->lock);
    int count = clients->count < max ? clients->count : max;
    memcpy(ret_clients, clients->items, (size_t)count * sizeof *ret_clients);
    io_lock_release(clients->lock);
    return count;
}
