// SPDX-License-Identifier: Apache-2.0
/* broker/reactor.c - the broker's part of a reactor's tick: mail, deadlines, and the writes that the tick has gathered.
 *
 * Appends of one tick to one partition go to the disk together, at the end of the tick; the requests that wait for them
 * look again right there, so that in page-cache mode their replies leave in the same tick.
 */
#include "broker/broker__.h"

void reactor_clock(struct reactor *reactor)
{
    reactor->now_ms = io_now_ms();
    reactor->wall_ms = io_wall_ms();
}

void reactor__image_refresh(struct reactor *reactor)
{
    struct meta_image *before = reactor->image;
    reactor->image = broker_image(reactor->broker);
    meta_image_unref(before);
    broker__partition_uses_sweep(reactor);
}

static void watch_mail(struct reactor *reactor, struct partition_watch *watch)
{
    struct partition *partition = watch->partition;
    coordinator__watch(reactor, watch);
    request__wake(watch);
    partition_unref(partition); // the mail's
}

void broker_mail(struct reactor *reactor, struct io_mail *mail)
{
    switch ((enum mail_kind)mail->kind) {
    case MAIL_WATCH:
        watch_mail(reactor, CONTAINER_OF(mail, struct partition_watch, mail));
        return;
    case MAIL_RESUME: {
        struct request *request = CONTAINER_OF(mail, struct request, mail);
        if (request->refused)
            request_refuse(request, "the metadata log has failed, its outcome is not known");
        else
            request__resume(request);
        return;
    }
    case MAIL_SHARD:
    case MAIL_SHARD_DONE:
    case MAIL_SHARD_LOAD:
        coordinator__mail(reactor, mail);
        return;
    case MAIL_IMAGE:
        reactor__image_refresh(reactor);
        return;
    case MAIL_LOCAL:
        local__start(reactor, CONTAINER_OF(mail, struct local_call, mail));
        return;
    case MAIL_CONTROL:
    case MAIL_CONNECTION:
    case MAIL_DIRTY:
    case MAIL_FLUSHED:
    case MAIL_DRAIN:
    case MAIL_WAKE:
    case MAIL_STOP:
        break;
    }
    assert(false && "mail that is not for the broker");
}

void broker_mail_drop(struct reactor *reactor, struct io_mail *mail)
{
    (void)reactor;
    if (mail->kind == MAIL_WATCH)
        partition_unref(CONTAINER_OF(mail, struct partition_watch, mail)->partition);
    else if (mail->kind == MAIL_LOCAL)
        local__drop(mail);
}

/* A fetch that waits for more is answered with what there is; its resume sees that the reactor stops. */
void broker_reactor_stop(struct reactor *reactor)
{
    if (reactor->stopping)
        return;
    reactor->stopping = true;
    atomic_store(&reactor->broker->stopping, true);
    uint32_t count = 0;
    struct request **waiting = mem_alloc((reactor->timers.count + 1) * sizeof *waiting);
    for (uint32_t i = 0; i < reactor->timers.count; i++) {
        struct request *request = CONTAINER_OF(reactor->timers.nodes[i], struct request, timer);
        if (request->api_key == API_FETCH)
            waiting[count++] = request;
    }
    for (uint32_t i = 0; i < count; i++)
        request__resume(waiting[i]);
    mem_free(waiting);
    coordinator__stop(reactor);
}

void broker_timers(struct reactor *reactor)
{
    for (struct heap_node *first; (first = heap_first(&reactor->timers)) && first->key <= reactor->now_ms;) {
        heap_remove(&reactor->timers, first);
        struct request *request = CONTAINER_OF(first, struct request, timer);
        request__resume(request);
    }
}

static void drain_touched(struct reactor *reactor)
{
    for (struct list *node; (node = list_pop_front(&reactor->touched));) {
        struct partition_use *use = CONTAINER_OF(node, struct partition_use, in_touched);
        use->is_touched = false;
        partition_drain(use->partition, reactor->number);
        struct partition_watch *watch = partition_watch_get(use->partition, reactor->number);
        coordinator__watch(reactor, watch);
        request__wake(watch);
    }
}

void broker_tick_end(struct reactor *reactor)
{
    drain_touched(reactor);
    coordinator__tick_end(reactor);
    drain_touched(reactor); // what the coordinators append
    local__tick_end(reactor);
}

int64_t broker_next_deadline_ms(const struct reactor *reactor)
{
    const struct heap_node *first = heap_first(&reactor->timers);
    return min_i64(first ? first->key : INT64_MAX, coordinator__next_deadline_ms(reactor));
}
