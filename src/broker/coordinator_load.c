// SPDX-License-Identifier: Apache-2.0
/* broker/coordinator_load.c - replay of a partition into a coordinator's state machine, in pieces, in the pool.
 *
 * A piece reads up to PIECE_BYTES (one batch at least), checks each batch's CRC and applies its records; then the owner
 * hears of it and decides whether to go on, so a shard whose leadership is lost stops replaying soon. Only what is below
 * the high watermark is applied: state that a power cut could take back is never served.
 *
 * Offsets that were committed in a transaction (TxnOffsetCommit) count when the transaction's commit marker comes by;
 * until then its batches are kept aside. Batches of a transaction that is still open at the end are left out, which is what
 * a reader of committed offsets sees. A batch that cannot be read or understood fails the whole load: half a state is none.
 */
#include "broker/coordinator.h"

enum { PIECE_BYTES = 1 << 20 };
enum { CONTROL_ABORT = 0, CONTROL_COMMIT = 1 };

struct transaction {
    struct hash_node node;
    int64_t producer_id;
    struct buffer batches;
};

static struct transaction *transaction_find(struct load *load, int64_t producer_id)
{
    struct hash_node *node = hash_first(&load->transactions, hash_u64((uint64_t)producer_id));
    while (node && CONTAINER_OF(node, struct transaction, node)->producer_id != producer_id)
        node = hash_next(node);
    return node ? CONTAINER_OF(node, struct transaction, node) : NULL;
}

static void transaction_keep(struct load *load, struct slice batch)
{
    int64_t producer_id = record_batch_producer_id(batch.data);
    struct transaction *transaction = transaction_find(load, producer_id);
    if (!transaction) {
        transaction = mem_zalloc(sizeof *transaction);
        transaction->producer_id = producer_id;
        hash_insert(&load->transactions, &transaction->node, hash_u64((uint64_t)producer_id));
    }
    buffer_append(&transaction->batches, batch.data, batch.size);
}

static void transaction_free(struct load *load, struct transaction *transaction)
{
    hash_remove(&load->transactions, &transaction->node);
    buffer_free(&transaction->batches);
    mem_free(transaction);
}

static bool apply_batch(struct load *load, struct slice batch)
{
    struct record_walk walk;
    struct record record;
    bool ok = true;
    record_walk_begin(&walk, batch);
    while (ok && record_walk_next(&walk, &record)) {
        ok = load->kind->apply(load->machine, record.key, record.value, record.timestamp_ms);
        load->records += ok;
    }
    ok &= !walk.failed;
    record_walk_end(&walk);
    return ok;
}

/* A control record's key: version, then type, each an int16. */
static bool apply_marker(struct load *load, struct slice batch)
{
    struct record_walk walk;
    struct record marker;
    record_walk_begin(&walk, batch);
    bool ok = record_walk_next(&walk, &marker) && marker.key.size >= 4;
    int type = ok ? marker.key.data[2] << 8 | marker.key.data[3] : -1;
    record_walk_end(&walk);
    struct transaction *transaction = transaction_find(load, record_batch_producer_id(batch.data));
    if (!transaction || (type != CONTROL_ABORT && type != CONTROL_COMMIT))
        return ok; // nothing of it lies here, or a kind of marker that ends no transaction
    struct slice rest = slice_of(transaction->batches.data, transaction->batches.size), kept;
    while (ok && type == CONTROL_COMMIT && record_batch_next(&rest, &kept))
        ok = apply_batch(load, kept);
    transaction_free(load, transaction);
    return ok;
}

static bool apply_any(struct load *load, struct slice batch, const uint8_t *head)
{
    struct record_facts facts;
    if (!record_stored_is_intact(batch))
        return false;
    record_facts_read(slice_of(head, RECORD_BATCH_HEAD_BYTES), &facts);
    if (facts.is_control)
        return apply_marker(load, batch);
    if (!facts.is_transactional)
        return apply_batch(load, batch);
    transaction_keep(load, batch);
    return true;
}

static bool piece_read(struct load *load, const struct log_slice *slice)
{
    load->piece.size = 0;
    buffer_reserve(&load->piece, slice->size_bytes);
    while (load->piece.size < slice->size_bytes) {
        int64_t got = io_pread(slice->file, load->piece.data + load->piece.size, slice->size_bytes - load->piece.size,
                               slice->position + (int64_t)load->piece.size);
        if (got <= 0)
            return false;
        load->piece.size += (size_t)got;
    }
    return true;
}

static bool piece_apply(struct load *load)
{
    struct slice rest = slice_of(load->piece.data, load->piece.size), batch;
    uint8_t room[RECORD_BATCH_HEAD_BYTES];
    while (record_stored_next(&rest, &batch)) {
        const uint8_t *head = record_stored_head(batch, room);
        if (!apply_any(load, batch, head)) {
            LOG(LOG_ERROR, "broker", "%s-%d: the batch at offset %lld cannot be replayed; its groups are not served",
                partition_topic(load->partition), (int)partition_index(load->partition),
                (long long)record_batch_base_offset(head));
            return false;
        }
        load->offset = record_batch_next_offset(head);
    }
    return rest.size == 0;
}

static enum load_result piece_run(struct load *load)
{
    load->offset = max_i64(load->offset, partition_start_offset(load->partition));
    if (load->offset >= load->end_offset)
        return LOAD_DONE;
    int64_t limit = min_i64(partition_high_watermark(load->partition), load->end_offset);
    if (load->offset >= limit)
        return LOAD_WAIT;
    struct log_slice slice;
    if (log_read(partition_log(load->partition), load->offset, limit, PIECE_BYTES, true, &slice) != LOG_READ_OK)
        return LOAD_FAILED;
    bool ok = piece_read(load, &slice) && piece_apply(load);
    if (ok && slice.size_bytes == 0)
        load->offset = limit; // what was there is compacted away
    log_slice_release(&slice);
    return ok ? LOAD_MORE : LOAD_FAILED;
}

static void piece_job(struct io_job *job)
{
    struct load *load = CONTAINER_OF(job, struct load, job);
    load->result = piece_run(load);
    io_loop_send(load->home, &load->mail); // from here on it is the owner's
}

void load__begin(struct load *load, struct io_loop *home, struct partition *partition, const struct shard_kind *kind,
                 void *machine)
{
    *load = (struct load){.job = {.run = piece_job},
                          .mail = {.kind = MAIL_SHARD_LOAD},
                          .home = home,
                          .partition = partition,
                          .kind = kind,
                          .machine = machine,
                          .end_offset = partition_end_offset(partition)};
    hash_init(&load->transactions);
}

void load__submit(struct load *load, struct io_pool *pool)
{
    io_pool_submit(pool, IO_LANE_BACKGROUND, &load->job);
}

void load__end(struct load *load)
{
    for (struct hash_node *node; (node = hash_iterate(&load->transactions, NULL));)
        transaction_free(load, CONTAINER_OF(node, struct transaction, node));
    hash_free(&load->transactions);
    buffer_free(&load->piece);
}
