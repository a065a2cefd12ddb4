// SPDX-License-Identifier: Apache-2.0
/* http/asker.c - questions to the broker from one thread of http's: each is a request like any client's (broker's
 * local_call), and all answers live until the asker is reset.
 */
#include "http/http__.h"

struct asked {
    struct asked *next;
    struct local_call call;
};

void asker__init(struct asker *asker, struct broker *broker)
{
    *asker = (struct asker){.broker = broker};
    arena_init(&asker->arena, 16 << 10, ASKER_ARENA_MAX_BYTES);
}

bool asker__serves(int16_t api_key)
{
    return local_version(api_key, INT16_MAX) >= 0;
}

void *asker__ask(struct asker *asker, int16_t api_key, int16_t highest_version, const void *body)
{
    int16_t version = local_version(api_key, highest_version);
    if (version < 0)
        return NULL;
    if (!asker->loop)
        asker->loop = io_loop_create();
    struct asked *asked = mem_zalloc(sizeof *asked);
    asked->next = asker->asked;
    asker->asked = asked;
    return local_call(asker->broker, asker->loop, api_key, version, body, &asker->arena, &asked->call);
}

struct local_call *asker__last_call(struct asker *asker)
{
    return &asker->asked->call;
}

void asker__reset(struct asker *asker)
{
    for (struct asked *asked; (asked = asker->asked);) {
        asker->asked = asked->next;
        local_call_free(&asked->call);
        mem_free(asked);
    }
    arena_reset(&asker->arena);
}

void asker__free(struct asker *asker)
{
    asker__reset(asker);
    arena_free(&asker->arena);
    if (asker->loop)
        io_loop_destroy(asker->loop);
    asker->loop = NULL;
}
