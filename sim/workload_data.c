// SPDX-License-Identifier: Apache-2.0
/* sim/workload_data.c - producers and consumers.
 *
 * A producer keeps the batches that are on their way in order. A plain one leaves a batch alone whose outcome it does not
 * know: it is there once or not at all. An idempotent one sends all of them again, in order, until they are acknowledged:
 * they are there once, and no answer may call them out of order.
 */
#include "sim/workload__.h"

#include "record/record.h"
#include "wire/gen/init_producer_id.h"
#include "wire/gen/produce.h"

enum { WINDOW_MAX = 4, PRODUCE_VERSION = 9, INIT_VERSION = 4, RECORDS_MAX = 6, BATCHES_MAX = 400 };

struct outgoing {
    uint32_t first, count; // counters
};

struct producer {
    uint32_t number; // of the producer
    int partition;
    int16_t acks;
    bool idempotent;
    int window, batches_left;
    int64_t producer_id;
    int16_t epoch;
    uint32_t next;
    struct outgoing pending[WINDOW_MAX]; // oldest first
    int pending_count, sent_count;       // sent on this connection
    struct link link;
    struct record_builder builder;
};

static struct slice batch_of(struct producer *p, const struct outgoing *batch)
{
    uint8_t value[600] = {0};
    record_builder_begin(&p->builder);
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t number = witness_number(p->number, batch->first + i);
        memcpy(value, &number, sizeof number);
        record_builder_add(&p->builder, io_wall_ms(), SLICE_NULL,
                           slice_of(value, sizeof number + (batch->first * 37 + i * 11) % 590));
    }
    if (!p->idempotent)
        return record_builder_finish(&p->builder, 0, -1, -1, -1);
    return record_builder_finish(&p->builder, 0, p->producer_id, p->epoch, (int32_t)batch->first - 1);
}

static bool send_batch(struct producer *p, const struct outgoing *batch)
{
    struct produce_request_partition_produce_data data = {.index = p->partition, .records = batch_of(p, batch)};
    struct produce_request_topic_produce_data topic = {
        .name = slice_str(MAIN_TOPIC), .partition_data = &data, .partition_data_count = 1};
    struct produce_request request = {
        .acks = p->acks, .timeout_ms = REQUEST_TIMEOUT_MS, .topic_data = &topic, .topic_data_count = 1};
    return link_send(&p->link, API_PRODUCE, PRODUCE_VERSION, &request);
}

static void pending_pop(struct producer *p)
{
    memmove(p->pending, p->pending + 1, (size_t)(--p->pending_count) * sizeof p->pending[0]);
    p->sent_count--;
}

static void start_over(struct producer *p)
{
    link_close(&p->link);
    p->sent_count = 0;
    if (!p->idempotent)
        p->pending_count = 0; // who knows
}

static void acknowledged(struct producer *p, const struct outgoing *batch, int64_t base_offset)
{
    for (uint32_t i = 0; i < batch->count; i++)
        witness_acked(p->partition, base_offset + i, witness_number(p->number, batch->first + i), p->acks == -1);
    workload.acknowledged += batch->count;
    workload__promised(PROMISE_BATCH);
}

static void take_reply(struct producer *p)
{
    const void *reply;
    if (!link_receive(&p->link, API_PRODUCE, PRODUCE_VERSION, CALL_TIMEOUT_MS, &reply)) {
        start_over(p);
        return;
    }
    const struct produce_response *response = reply;
    if (response->responses_count != 1 || response->responses[0].partition_responses_count != 1) {
        blame("a produce is answered for other partitions", response->responses_count, 0);
        return;
    }
    const struct produce_response_partition_produce_response *result = &response->responses[0].partition_responses[0];
    if (result->error_code == 0) {
        acknowledged(p, &p->pending[0], result->base_offset);
        pending_pop(p);
        return;
    }
    workload__is_later(&p->link, "a produce is refused",
                       result->error_code); // the oldest one: nothing before it is unknown
    start_over(p);
    workload__pause(300);
}

static bool get_id(struct producer *p)
{
    struct init_producer_id_request request = {
        .transaction_timeout_ms = 60000, .producer_id = -1, .producer_epoch = -1};
    const void *reply;
    if (!link_call(&p->link, API_INIT_PRODUCER_ID, INIT_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return false;
    const struct init_producer_id_response *response = reply;
    if (response->error_code != 0) {
        workload__is_later(&p->link, "a producer gets no id", response->error_code);
        workload__pause(300);
        return false;
    }
    p->producer_id = response->producer_id;
    p->epoch = response->producer_epoch;
    return true;
}

static void fill_window(struct producer *p)
{
    while (p->pending_count < p->window && p->batches_left > 0 && !workload.finishing) {
        struct outgoing *batch = &p->pending[p->pending_count++];
        *batch = (struct outgoing){p->next, 1 + (uint32_t)workload_draw(RECORDS_MAX)};
        p->next += batch->count;
        p->batches_left--;
    }
    while (p->sent_count < p->pending_count) {
        if (!send_batch(p, &p->pending[p->sent_count])) {
            start_over(p);
            return;
        }
        p->sent_count++;
    }
}

static void produce_some(struct producer *p)
{
    if (!workload.topic_is_there) {
        workload__pause(50);
        return;
    }
    if (!workload__open(&p->link) || (p->idempotent && p->producer_id < 0 && !get_id(p)))
        return;
    fill_window(p);
    if (p->sent_count > 0)
        take_reply(p);
    if (workload_draw(3) == 0)
        workload__pause(20);
}

void workload__produce(void *context)
{
    struct producer *p = mem_zalloc(sizeof *p);
    p->number = (uint32_t)(uintptr_t)context;
    p->partition = (int)workload_draw(WITNESS_PARTITIONS);
    p->idempotent = workload_draw(2);
    p->acks = p->idempotent || workload_draw(2) ? -1 : 1;
    p->window = 1 + (int)workload_draw(WINDOW_MAX);
    p->batches_left = BATCHES_MAX;
    p->producer_id = -1;
    p->next = 1;
    link_init(&p->link);
    while (!is_blamed() && (p->pending_count > 0 || (!workload.finishing && p->batches_left > 0)))
        produce_some(p);
    link_free(&p->link);
    record_builder_free(&p->builder);
    mem_free(p);
}

/* ---- consumers */
struct consumer {
    int partition;
    int64_t offset;
    struct link link;
};

static void see(void *context, int64_t offset, uint32_t number)
{
    const struct consumer *c = context;
    bool is_first = offset >= witness_visible_end(c->partition);
    witness_seen(c->partition, offset, number);
    if (is_first)
        workload__promised(PROMISE_SIGHT);
}

void workload__consume(void *context)
{
    struct consumer c = {.partition = (int)((uintptr_t)context + workload_draw(2)) % WITNESS_PARTITIONS};
    link_init(&c.link);
    while (!is_blamed() && !workload.finishing) {
        if (!workload.topic_is_there || !workload__open(&c.link)) {
            workload__pause(50);
            continue;
        }
        if (workload_draw(20) == 0)
            c.offset = (int64_t)workload_draw((uint64_t)c.offset + 1);
        workload__fetch(&c.link, c.partition, &c.offset, see, &c);
        if (workload_draw(3) == 0)
            workload__pause(5);
    }
    link_free(&c.link);
}
