// SPDX-License-Identifier: Apache-2.0
/* storage/log_append.c - the write path: check producers, give offsets, one pwritev, publish.
 *
 * Base offset and leader epoch lie before the CRC'd bytes, so they are patched in the request's own memory and nothing is
 * copied. State of producers moves before the write: several batches of one producer in one call see each other. A short
 * write is continued; after a failing one the file is cut back to what was published, and the log is offline. Where only
 * space was missing it goes on: what moved early is read again from what is published. Warm, the path calls malloc zero
 * times.
 */
#include "storage/storage__.h"

enum { PIECES_MAX = 256 }; // below IOV_MAX, and 4 KiB of stack

/* ---- rolling */
static bool waited_long_enough(const struct log *log, const struct log_segment *active, int64_t next_max_timestamp_ms,
                               int64_t now_ms)
{
    int64_t waited_ms = active->first_timestamp_ms >= 0 ? sub_i64(next_max_timestamp_ms, active->first_timestamp_ms)
                                                        : now_ms - active->made_ms;
    return waited_ms > log->config.segment_ms - log->jitter_ms;
}

/* As Kafka's LogSegment.shouldRoll; a record takes more than a byte, so the size bounds the offsets to come. */
bool log_roll_is_due(const struct log *log, uint32_t next_size_bytes, int64_t next_max_timestamp_ms, int64_t now_ms)
{
    struct log_segment *active = log__active(log);
    int64_t size = segment__size(active);
    if (size > 0 && size > log->config.segment_bytes - (int64_t)next_size_bytes)
        return true;
    if (size > 0 && waited_long_enough(log, active, next_max_timestamp_ms, now_ms))
        return true;
    if (log_end_offset(log) - active->base_offset + (int64_t)next_size_bytes > INT32_MAX)
        return log_end_offset(log) > active->base_offset;
    bool is_full = false;
    struct status s = index__is_full(active, &log->config, &is_full);
    return status_is_ok(s) && is_full && size > 0; // a failing index shows itself at the append
}

bool log_segment_holds(const struct log *log, uint64_t size_bytes)
{
    return size_bytes <= (uint64_t)log->config.segment_bytes;
}

static struct status seal(struct log *log, struct log_segment *active)
{
    TRY(index__last_time(active));
    TRY(index__sync(active));
    return segment_file__truncate(active, SEGMENT_LOG, segment__size(active)); // what was preallocated, if it ever was
}

static struct status roll(struct log *log)
{
    int64_t end = log_end_offset(log);
    struct log_segment *fresh;
    TRY(seal(log, log__active(log)));
    TRY(producers__snapshot_write(log, end));
    TRY(segment__create(log, end, io_wall_ms(), &fresh));
    io_lock_take(log->lock);
    log->directory_dirty = true; // before the new segment can take bytes
    io_lock_release(log->lock);
    log__segment_add(log, fresh);
    return STATUS_OK;
}

struct status log_roll(struct log *log)
{
    if (log_is_offline(log))
        return STATUS(EIO, "roll a log that is offline");
    TRY(log_prepare(log));
    if (log__active(log)->base_offset == log_end_offset(log))
        return STATUS_OK; // it is empty
    struct status s = roll(log);
    if (!status_is_ok(s))
        log__fault(log, s);
    return s;
}

/* ---- writing */
static struct status write_pieces(int file, struct iovec *pieces, int count, int64_t position)
{
    while (count > 0) {
        int64_t put = io_pwritev(file, pieces, count, position);
        if (put <= 0)
            return STATUS(put < 0 ? (int)-put : EIO, "append to a segment");
        position += put;
        while (count > 0 && (size_t)put >= pieces->iov_len) {
            put -= (int64_t)pieces->iov_len;
            pieces++;
            count--;
        }
        if (count > 0) {
            pieces->iov_base = (uint8_t *)pieces->iov_base + put;
            pieces->iov_len -= (size_t)put;
        }
    }
    return STATUS_OK;
}

/* What comes next into the active segment. */
struct tail {
    struct log_segment *segment;
    int handle; // of its file, between tail_begin and tail_end
    int64_t written_to, position, end_offset;
    struct iovec pieces[PIECES_MAX];
    int count;
};

static struct status tail_write(struct tail *tail)
{
    segment_file__written(tail->segment, SEGMENT_LOG);
    TRY(write_pieces(tail->handle, tail->pieces, tail->count, tail->written_to));
    tail->written_to = tail->position;
    tail->count = 0;
    return STATUS_OK;
}

/* The file is opened before anything is changed: without a descriptor the log is as it was. */
static struct status tail_begin(struct log *log, struct tail *tail)
{
    tail->segment = log__active(log);
    struct status s = segment_file__get(tail->segment, SEGMENT_LOG, 0, &tail->handle);
    if (!status_is_ok(s)) {
        log__fault(log, s);
        return s;
    }
    tail->written_to = tail->position = segment__size(tail->segment);
    tail->end_offset = log_end_offset(log);
    tail->count = 0;
    return STATUS_OK;
}

static void tail_end(const struct tail *tail)
{
    segment_file__put(tail->segment, SEGMENT_LOG);
}

/* Index, producers, and a place in the write. */
static struct status tail_add(struct log *log, struct tail *tail, uint8_t *bytes, uint32_t size_bytes,
                              const struct record_facts *facts)
{
    int64_t base = record_batch_base_offset(bytes), last = base + facts->last_delta;
    assert(base >= tail->end_offset && last - tail->segment->base_offset <= INT32_MAX);
    TRY(producers__note(log, slice_of(bytes, size_bytes), facts, base, true));
    TRY(index__note(tail->segment, &log->config, last, tail->position, size_bytes, facts->max_timestamp_ms));
    if (tail->segment->first_timestamp_ms < 0)
        tail->segment->first_timestamp_ms = facts->max_timestamp_ms;
    if (tail->count == PIECES_MAX)
        TRY(tail_write(tail));
    tail->pieces[tail->count++] = (struct iovec){bytes, size_bytes};
    tail->position += size_bytes;
    tail->end_offset = last + 1;
    return STATUS_OK;
}

static void tail_publish(struct log *log, const struct tail *tail)
{
    int64_t more = tail->position - segment__size(tail->segment);
    assert(more >= 0 && tail->end_offset >= log_end_offset(log));
    io_lock_take(log->lock);
    atomic_store_explicit(&tail->segment->size_bytes, tail->position, memory_order_release);
    atomic_store_explicit(&log->end_offset, tail->end_offset, memory_order_release);
    io_lock_release(log->lock);
    atomic_fetch_add_explicit(&log->size_bytes, more, memory_order_relaxed);
    log__written_add(log, more);
}

static struct status tail_fail(struct log *log, const struct tail *tail, struct status why)
{
    bool is_cut = status_is_ok(segment_file__truncate(tail->segment, SEGMENT_LOG, segment__size(tail->segment)));
    if (!is_cut)
        LOG(LOG_ERROR, "storage", "an unpublished tail stays in %s", log->directory);
    if (!is_cut || !log_may_recover(why) || !status_is_ok(log__restore(log, io_wall_ms())))
        log__take_offline(log, why);
    return why;
}

static struct status batch_add(struct log *log, struct tail *tail, struct log_batch *batch, int32_t leader_epoch)
{
    batch->error = KAFKA_NONE;
    TRY(producers__check(log, batch));
    if (batch->error != KAFKA_NONE || batch->duplicate)
        return STATUS_OK;
    batch->base_offset = tail->end_offset;
    batch->end_offset = tail->end_offset + batch->facts.last_delta + 1;
    record_batch_set_base(batch->bytes, batch->base_offset, leader_epoch);
    return tail_add(log, tail, batch->bytes, batch->size_bytes, &batch->facts);
}

struct status log_append(struct log *log, struct log_batch *batches[], int count, int32_t leader_epoch, int64_t now_ms)
{
    (void)now_ms;
    if (log_is_offline(log))
        return STATUS(EIO, "append to a log that is offline");
    TRY(log_prepare(log));
    if (leader_epoch > log_epoch_latest(log))
        TRY(log_epoch_begin(log, leader_epoch));
    struct tail tail;
    TRY(tail_begin(log, &tail));
    struct status s = STATUS_OK;
    for (int i = 0; status_is_ok(s) && i < count; i++)
        s = batch_add(log, &tail, batches[i], leader_epoch);
    if (status_is_ok(s) && tail.count > 0)
        s = tail_write(&tail);
    if (status_is_ok(s))
        tail_publish(log, &tail);
    else
        s = tail_fail(log, &tail, s);
    tail_end(&tail);
    return s;
}

static struct status as_is_add(struct log *log, struct tail *tail, struct slice batch, bool *new_epoch)
{
    struct record_facts facts;
    record_facts_read(batch, &facts);
    int64_t base = record_batch_base_offset(batch.data);
    if (base < tail->end_offset || facts.last_delta < 0)
        return STATUS(EBADMSG, "append batches: their offsets go back");
    *new_epoch |= epochs__note(log, record_batch_leader_epoch(batch.data), base);
    return tail_add(log, tail, (uint8_t *)(uintptr_t)batch.data, (uint32_t)batch.size, &facts);
}

static struct status as_is_check(const struct log *log, struct slice batches)
{
    struct slice batch;
    if (batches.size < RECORD_BATCH_HEAD_BYTES || record_batch_base_offset(batches.data) != log_end_offset(log))
        return STATUS(EBADMSG, "append batches: the first is not at the end of the log");
    while (record_batch_next(&batches, &batch))
        if (!record_batch_is_intact(batch))
            return STATUS(EBADMSG, "append batches: one is corrupt");
    return batches.size == 0 ? STATUS_OK : STATUS(EBADMSG, "append batches: the last is not whole");
}

struct status log_append_as_is(struct log *log, struct slice batches, int64_t now_ms)
{
    (void)now_ms;
    if (log_is_offline(log))
        return STATUS(EIO, "append to a log that is offline");
    TRY(as_is_check(log, batches));
    TRY(log_prepare(log));
    struct tail tail;
    TRY(tail_begin(log, &tail));
    struct status s = STATUS_OK;
    bool new_epoch = false;
    for (struct slice batch; status_is_ok(s) && record_batch_next(&batches, &batch);)
        s = as_is_add(log, &tail, batch, &new_epoch);
    if (status_is_ok(s) && new_epoch) // on the disk before the first batch of it
        s = epochs__save(log);
    if (status_is_ok(s) && tail.count > 0)
        s = tail_write(&tail);
    if (!status_is_ok(s) && new_epoch) // the file may know them already: it is read again with the next start only
        epochs__truncate_end(log, log_end_offset(log));
    if (status_is_ok(s))
        tail_publish(log, &tail);
    else
        s = tail_fail(log, &tail, s);
    tail_end(&tail);
    return s;
}
