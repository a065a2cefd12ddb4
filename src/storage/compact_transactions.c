// SPDX-License-Identifier: Apache-2.0
/* storage/compact_transactions.c - the transactions that compaction passes on its way through the offsets.
 *
 * Aborted ones are known beforehand, from the transaction indexes; any other transactional batch belongs to one that was
 * committed, since compaction stays below the last stable offset. A marker may go once none of its transaction's batches
 * was met any more; the entry of an aborted transaction stays in the index as long as something of it does.
 */
#include "storage/compact__.h"

#include <stdlib.h>

struct passing_transaction {
    struct hash_node in_transactions;
    int64_t producer_id;
    const struct aborted_transaction *aborted; // NULL: committed
    bool was_met;                              // a batch of it
};

void passing__init(struct passing *passing)
{
    *passing = (struct passing){0};
    hash_init(&passing->transactions);
}

static void drop(struct passing *passing, struct passing_transaction *transaction)
{
    hash_remove(&passing->transactions, &transaction->in_transactions);
    mem_free(transaction);
}

void passing__rewind(struct passing *passing)
{
    for (struct hash_node *node; (node = hash_iterate(&passing->transactions, NULL));)
        drop(passing, CONTAINER_OF(node, struct passing_transaction, in_transactions));
    passing->next = 0;
}

void passing__free(struct passing *passing)
{
    passing__rewind(passing);
    hash_free(&passing->transactions);
    mem_free(passing->aborted.items);
}

static int by_first_offset(const void *a, const void *b)
{
    int64_t left = ((const struct aborted_transaction *)a)->first_offset;
    int64_t right = ((const struct aborted_transaction *)b)->first_offset;
    return (left > right) - (left < right);
}

void passing__sort(struct passing *passing)
{
    if (passing->aborted.count > 1)
        qsort(passing->aborted.items, passing->aborted.count, sizeof *passing->aborted.items, by_first_offset);
}

static struct passing_transaction *find(const struct passing *passing, int64_t producer_id)
{
    struct hash_node *node = hash_first(&passing->transactions, hash_u64((uint64_t)producer_id));
    for (; node; node = hash_next(node)) {
        struct passing_transaction *transaction = CONTAINER_OF(node, struct passing_transaction, in_transactions);
        if (transaction->producer_id == producer_id)
            return transaction;
    }
    return NULL;
}

static struct passing_transaction *add(struct passing *passing, int64_t producer_id,
                                       const struct aborted_transaction *aborted)
{
    struct passing_transaction *transaction = mem_zalloc(sizeof *transaction);
    transaction->producer_id = producer_id;
    transaction->aborted = aborted;
    hash_insert(&passing->transactions, &transaction->in_transactions, hash_u64((uint64_t)producer_id));
    return transaction;
}

/* Aborted transactions that have begun by the end of the batch. One whose marker lies before it is over: it is met when the
 * way through the offsets does not begin at the log's start. */
static void begin_up_to(struct passing *passing, const uint8_t *head)
{
    for (; passing->next < passing->aborted.count; passing->next++) {
        const struct aborted_transaction *aborted = &passing->aborted.items[passing->next];
        if (aborted->first_offset >= record_batch_next_offset(head))
            return;
        if (aborted->marker_offset < record_batch_base_offset(head))
            continue;
        struct passing_transaction *there = find(passing, aborted->producer_id);
        if (there)
            drop(passing, there); // its marker went long ago
        add(passing, aborted->producer_id, aborted);
    }
}

bool passing__batch_is_aborted(struct passing *passing, const uint8_t *head)
{
    if (!(record_batch_attributes(head) & RECORD_ATTRIBUTE_TRANSACTIONAL))
        return false;
    begin_up_to(passing, head);
    struct passing_transaction *transaction = find(passing, record_batch_producer_id(head));
    if (!transaction)
        transaction = add(passing, record_batch_producer_id(head), NULL);
    transaction->was_met = true;
    return transaction->aborted != NULL;
}

bool passing__marker_is_idle(struct passing *passing, struct slice batch)
{
    begin_up_to(passing, batch.data);
    enum marker_type type = transactions__marker_type(batch);
    if (type == MARKER_NONE)
        return true;
    struct passing_transaction *transaction = find(passing, record_batch_producer_id(batch.data));
    bool ends_this = transaction && (transaction->aborted != NULL) == (type == MARKER_ABORT);
    if (!ends_this)
        return true;
    bool was_met = transaction->was_met;
    if (was_met && transaction->aborted && passing->kept)
        transactions__list_add(passing->kept, transaction->aborted);
    drop(passing, transaction);
    return !was_met;
}
