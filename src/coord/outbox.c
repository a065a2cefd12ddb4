// SPDX-License-Identifier: Apache-2.0
/* coord/outbox.c - what leaves a shard: batches of records to append, and finished calls.
 *
 * Records gather in the last batch until it is taken or full. Tokens rise by one from batch to batch, so "committed up to
 * this token" says all. A call that waits hangs on its batch. Records that belong together never span two batches; what
 * would not fit in any batch is refused by coord__reserve, so one client's large request cannot fail the shard.
 */
#include "coord/coord__.h"

enum { BATCH_ARENA_BLOCK_BYTES = 1024 };

struct slice coord__own(struct slice s)
{
    if (slice_is_null(s))
        return SLICE_NULL;
    uint8_t *copy = mem_alloc(s.size ? s.size : 1);
    if (s.size)
        memcpy(copy, s.data, s.size);
    return slice_of(copy, s.size);
}

void coord__disown(struct slice *s)
{
    mem_free((void *)(uintptr_t)s->data);
    *s = SLICE_NULL;
}

void coord__replace(struct slice *s, struct slice with)
{
    struct slice copy = coord__own(with);
    coord__disown(s);
    *s = copy;
}

static struct batch *last_batch(const struct coord_shard *shard)
{
    return list_is_empty(&shard->batches) ? NULL : CONTAINER_OF(shard->batches.prev, struct batch, link);
}

static struct batch *batch_new(struct coord_shard *shard)
{
    struct batch *batch = mem_zalloc(sizeof *batch);
    batch->token = ++shard->last_token;
    arena_init(&batch->arena, BATCH_ARENA_BLOCK_BYTES, SIZE_MAX);
    list_init(&batch->calls);
    list_push_back(&shard->batches, &batch->link);
    return batch;
}

void coord__batch_free(struct batch *batch)
{
    assert(list_is_empty(&batch->calls));
    list_remove(&batch->link);
    arena_free(&batch->arena);
    mem_free(batch->records);
    mem_free(batch);
}

bool coord__reserve(struct coord_shard *shard, size_t size_bytes)
{
    if (size_bytes > shard->settings.batch_bytes_max)
        return false;
    struct batch *batch = last_batch(shard);
    if (!batch || batch->is_taken || batch->size_bytes + size_bytes > shard->settings.batch_bytes_max)
        batch_new(shard);
    return true;
}

uint64_t coord__emit(struct coord_shard *shard, struct slice key, struct slice value)
{
    struct batch *batch = last_batch(shard);
    assert(batch && !batch->is_taken); // coord__reserve came first
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 4;
        batch->records = mem_realloc(batch->records, batch->capacity * sizeof *batch->records);
    }
    batch->records[batch->count++] =
        (struct coord_record){.key = arena_copy(&batch->arena, key), .value = arena_copy(&batch->arena, value)};
    batch->size_bytes += key.size + value.size;
    return batch->token;
}

bool coord_shard_take_records(struct coord_shard *shard, const struct coord_record **ret_records, size_t *ret_count,
                              uint64_t *ret_token)
{
    LIST_EACH (node, &shard->batches) {
        struct batch *batch = CONTAINER_OF(node, struct batch, link);
        if (batch->is_taken || batch->count == 0)
            continue;
        batch->is_taken = true;
        *ret_records = batch->records;
        *ret_count = batch->count;
        *ret_token = batch->token;
        return true;
    }
    return false;
}

void coord__wait(struct coord_shard *shard, struct coord_call *call, uint64_t token)
{
    LIST_EACH (node, &shard->batches) {
        struct batch *batch = CONTAINER_OF(node, struct batch, link);
        if (batch->token != token)
            continue;
        call->token = token;
        list_push_back(&batch->calls, &call->link);
        shard->counts.waiting_calls++;
        return;
    }
    assert(false && "a call waits for a batch that is not there");
}

void coord__done(struct coord_shard *shard, struct coord_call *call)
{
    assert(!call->done);
    call->done = true;
    list_push_back(&shard->done, &call->link);
}

struct coord_call *coord_shard_take_done(struct coord_shard *shard)
{
    struct list *node = list_pop_front(&shard->done);
    return node ? CONTAINER_OF(node, struct coord_call, link) : NULL;
}
