// SPDX-License-Identifier: Apache-2.0
/* storage/producers.c - what a partition knows of its idempotent producers (KIP-98, KIP-360): epoch, the last five batches,
 * an open transaction. A batch is taken once, in sequence, or refused.
 *
 * Belongs to the writer alone. The state moves with each append; snapshots (producer_snapshot.c) keep the newest batch of
 * each, and the ones before it are looked up in the log when a retry asks for one (producer_history.c).
 */
#include "storage/storage__.h"

static _Atomic uint64_t crowded_out;

enum { NO_EPOCH = -1, NO_SEQUENCE = -1 };

struct producer *producers__find(const struct log *log, int64_t id)
{
    for (struct hash_node *node = hash_first(&log->producers, hash_u64((uint64_t)id)); node; node = hash_next(node)) {
        struct producer *producer = CONTAINER_OF(node, struct producer, in_producers);
        if (producer->id == id)
            return producer;
    }
    return NULL;
}

struct producer *producers__find_or_add(struct log *log, int64_t id)
{
    struct producer *producer = producers__find(log, id);
    if (producer)
        return producer;
    producer = mem_alloc(sizeof *producer);
    *producer = (struct producer){.id = id, .epoch = NO_EPOCH, .coordinator_epoch = -1, .txn_first_offset = -1};
    hash_insert(&log->producers, &producer->in_producers, hash_u64((uint64_t)id));
    list_push_back(&log->producers_in_use, &producer->in_use);
    return producer;
}

static void drop(struct log *log, struct producer *producer)
{
    hash_remove(&log->producers, &producer->in_producers);
    list_remove(&producer->in_use);
    mem_free(producer);
}

void producers__clear(struct log *log)
{
    for (struct hash_node *node; (node = hash_iterate(&log->producers, NULL));)
        drop(log, CONTAINER_OF(node, struct producer, in_producers));
    hash_free(&log->producers);
    hash_init(&log->producers);
    atomic_store(&log->unstable_offset, -1);
    atomic_store(&log->decided_count, 0);
}

/* Sequences count to 2^31-1 and start again at 0. */
int32_t producers__sequence_add(int32_t sequence, int32_t more)
{
    return (int32_t)(((int64_t)sequence + more) & INT32_MAX);
}

static int32_t last_sequence(const struct producer *producer)
{
    return producer->batch_count ? producer->batches[producer->batch_count - 1].last_sequence : NO_SEQUENCE;
}

static const struct producer_batch *duplicate_of(const struct producer *producer, const struct record_facts *facts)
{
    int32_t last = producers__sequence_add(facts->base_sequence, facts->last_delta);
    for (int i = 0; producer->epoch == facts->producer_epoch && i < producer->batch_count; i++) {
        const struct producer_batch *batch = &producer->batches[i];
        if (batch->base_sequence == facts->base_sequence && batch->last_sequence == last)
            return batch;
    }
    return NULL;
}

static int16_t check_sequence(const struct producer *producer, const struct record_facts *facts)
{
    if (facts->producer_epoch < producer->epoch)
        return KAFKA_INVALID_PRODUCER_EPOCH;
    if (producer->epoch == NO_EPOCH)
        return KAFKA_NONE; // nothing is known of it any more: any sequence is fine
    if (facts->producer_epoch > producer->epoch)
        return facts->base_sequence == 0 ? KAFKA_NONE : KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    int32_t last = last_sequence(producer);
    int32_t next = last == NO_SEQUENCE ? 0 : producers__sequence_add(last, 1);
    if (facts->base_sequence != next)
        return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    if (producer->txn_first_offset >= 0 && !facts->is_transactional)
        return KAFKA_INVALID_TXN_STATE;
    return KAFKA_NONE;
}

static void answer_as_original(struct log_batch *batch, const struct producer_batch *original)
{
    batch->duplicate = true;
    batch->base_offset = original->last_offset - original->offset_delta;
    batch->end_offset = original->last_offset + 1;
    batch->log_append_time_ms = original->timestamp_ms; // as Kafka, whatever the type of timestamp
}

struct status producers__check(struct log *log, struct log_batch *batch)
{
    const struct record_facts *facts = &batch->facts;
    batch->error = KAFKA_NONE;
    batch->duplicate = false;
    batch->log_append_time_ms = -1;
    if (facts->producer_id < 0 || !batch->from_client)
        return STATUS_OK;
    struct producer *producer = producers__find(log, facts->producer_id);
    if (!producer)
        return STATUS_OK;
    const struct producer_batch *original = duplicate_of(producer, facts);
    int16_t error = original ? KAFKA_NONE : check_sequence(producer, facts);
    if (error == KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER && producer->history_is_cut &&
        producer->epoch == facts->producer_epoch) {
        TRY(producers__history_load(log, producer));
        original = duplicate_of(producer, facts);
    }
    if (original)
        answer_as_original(batch, original);
    else
        batch->error = error;
    return STATUS_OK;
}

void producers__remember(struct producer *producer, const struct producer_batch *batch)
{
    if (producer->batch_count == PRODUCER_BATCHES) {
        memmove(&producer->batches[0], &producer->batches[1], (PRODUCER_BATCHES - 1) * sizeof producer->batches[0]);
        producer->batch_count--;
    }
    producer->batches[producer->batch_count++] = *batch;
}

uint64_t log_producers_crowded_out(void)
{
    return atomic_load_explicit(&crowded_out, memory_order_relaxed);
}

/* Behind all others; when there are too many, the longest unused is forgotten as if it had expired. One with an open
 * transaction is kept: what is decided about it depends on it. */
static void use(struct log *log, struct producer *producer)
{
    list_remove(&producer->in_use);
    list_push_back(&log->producers_in_use, &producer->in_use);
    if (log->config.producers_max == 0 || (int64_t)log->producers.count <= log->config.producers_max)
        return;
    struct producer *oldest = CONTAINER_OF(log->producers_in_use.next, struct producer, in_use);
    if (oldest == producer)
        return;
    if (oldest->txn_first_offset >= 0) {
        list_remove(&oldest->in_use);
        list_push_back(&log->producers_in_use, &oldest->in_use);
        return;
    }
    drop(log, oldest);
    atomic_fetch_add_explicit(&crowded_out, 1, memory_order_relaxed);
    LOG(LOG_WARN, "storage",
        "%s has more than ottla.partition.producers.max (%lld) producers; the longest unused is forgotten",
        log->directory, (long long)log->config.producers_max);
}

struct status producers__note(struct log *log, struct slice batch, const struct record_facts *facts,
                              int64_t base_offset, bool write_transaction_index)
{
    if (facts->producer_id < 0)
        return STATUS_OK;
    struct producer *producer = producers__find_or_add(log, facts->producer_id);
    use(log, producer);
    if (facts->is_control)
        TRY(transactions__end(log, producer, batch, base_offset, write_transaction_index));
    producer->last_timestamp_ms = facts->max_timestamp_ms;
    if (facts->producer_epoch != producer->epoch) {
        producer->epoch = facts->producer_epoch;
        producer->batch_count = 0;
        producer->history_is_cut = false;
    }
    if (facts->is_control)
        return STATUS_OK;
    if (facts->is_transactional && producer->txn_first_offset < 0) {
        producer->txn_first_offset = base_offset;
        transactions__update(log);
    }
    struct producer_batch entry = {
        .base_sequence = facts->base_sequence,
        .last_sequence = producers__sequence_add(facts->base_sequence, facts->last_delta),
        .last_offset = base_offset + facts->last_delta,
        .offset_delta = facts->last_delta,
        .timestamp_ms = facts->max_timestamp_ms,
    };
    producers__remember(producer, &entry);
    return STATUS_OK;
}

void log_producers_expire(struct log *log, int64_t now_ms)
{
    for (struct hash_node *node = hash_iterate(&log->producers, NULL), *next; node; node = next) {
        next = hash_iterate(&log->producers, node);
        struct producer *producer = CONTAINER_OF(node, struct producer, in_producers);
        if (producer->txn_first_offset < 0 &&
            sub_i64(now_ms, producer->last_timestamp_ms) >= log->config.producer_id_expiration_ms)
            drop(log, producer);
    }
}

void log_producers_list(const struct log *log, struct buffer *ret_producers)
{
    for (struct hash_node *node = NULL; (node = hash_iterate(&log->producers, node));) {
        const struct producer *producer = CONTAINER_OF(node, struct producer, in_producers);
        const struct log_producer told = {.id = producer->id,
                                          .epoch = producer->epoch,
                                          .last_sequence = last_sequence(producer),
                                          .last_timestamp_ms = producer->last_timestamp_ms,
                                          .coordinator_epoch = producer->coordinator_epoch,
                                          .txn_first_offset = producer->txn_first_offset};
        buffer_append(ret_producers, &told, sizeof told);
    }
}
