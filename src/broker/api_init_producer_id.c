// SPDX-License-Identifier: Apache-2.0
/* broker/api_init_producer_id.c - InitProducerId: a producer id for an idempotent producer (KIP-98, 360, 730).
 *
 * Ids come from a block that the controller gives to this broker, a record in the metadata; the control thread alone
 * touches the block, so an id is given once, and the reply leaves after the record of its block is flushed. What a
 * restarted broker had left of its block is never given.
 *
 * Transactions are not served: a producer with a transactional id gets UNSUPPORTED_VERSION, at which clients stop with an
 * error that tells instead of trying again.
 */
#include "broker/broker__.h"
#include "wire/gen/init_producer_id.h"

enum { NO_PRODUCER_ID = -1, NO_PRODUCER_EPOCH = -1 };

struct init_work {
    int16_t error;
    int64_t producer_id;
};

static void answer(struct request *request, int16_t error, int64_t producer_id)
{
    struct init_producer_id_response response;
    init_producer_id_response_init(&response);
    response.error_code = error;
    response.producer_id = producer_id;
    response.producer_epoch = error == KAFKA_NONE ? 0 : NO_PRODUCER_EPOCH;
    request__reply(request, &response);
}

static int16_t check(const struct init_producer_id_request *body)
{
    if ((body->producer_id == NO_PRODUCER_ID) != (body->producer_epoch == NO_PRODUCER_EPOCH))
        return KAFKA_INVALID_REQUEST;
    if (slice_is_null(body->transactional_id))
        return KAFKA_NONE;
    return body->transactional_id.size == 0 ? KAFKA_INVALID_REQUEST : KAFKA_UNSUPPORTED_VERSION;
}

static void start(struct request *request)
{
    int16_t error = check(request->body);
    if (error == KAFKA_NONE && !(request->work = arena_zalloc(&request->arena, sizeof(struct init_work))))
        error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (error != KAFKA_NONE)
        answer(request, error, NO_PRODUCER_ID);
    else
        request_send_to_control(request);
}

/* A new block for this broker when the old one is used up. */
static int16_t block_ensure(struct broker *broker)
{
    struct producer_ids *ids = &broker->producer_ids;
    if (ids->next < ids->end)
        return KAFKA_NONE;
    struct ctrl *ctrl = control__ctrl(broker->control);
    const struct meta_broker *self = meta_broker(ctrl_view(ctrl), broker->options.node_id);
    int64_t first;
    int32_t count;
    struct status s = !self ? STATUS(ENOENT, "find the registration of this broker")
                            : ctrl_producer_ids_allocate(ctrl, self->id, self->epoch, io_wall_ms(), &first, &count);
    if (!status_is_ok(s)) {
        LOG(LOG_ERROR, "broker", "no block of producer ids: %s: %s", s.what, strerror(s.error));
        return KAFKA_COORDINATOR_LOAD_IN_PROGRESS; // clients ask again
    }
    assert(count > 0 && first >= ids->end);
    ids->next = first;
    ids->end = first + count;
    return KAFKA_NONE;
}

static void control(struct request *request)
{
    struct init_work *work = request->work;
    struct broker *broker = request->home->broker;
    work->error = block_ensure(broker);
    work->producer_id = work->error == KAFKA_NONE ? broker->producer_ids.next++ : NO_PRODUCER_ID;
}

static void resume(struct request *request)
{
    const struct init_work *work = request->work;
    answer(request, work->error, work->producer_id);
}

const struct api_row api__init_producer_id = {.key = API_INIT_PRODUCER_ID,
                                              .version_min = 0,
                                              .version_max = 5,
                                              .start = start,
                                              .resume = resume,
                                              .control = control};
