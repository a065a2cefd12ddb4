// SPDX-License-Identifier: Apache-2.0
/* broker/wait.c - waiting and travelling: what a request does while it can't be answered yet.
 *
 * Waits are parked on the request's own reactor: in the watch of a partition, or in the heap of deadlines. A wake-up says
 * only "look again": the request's `resume` looks at the facts itself, so a wake-up too many does no harm, and one too
 * few cannot happen, since a watch is armed before the facts are looked at for the last time.
 */
#include "broker/broker__.h"

void request_wait_partition(struct request *request, struct wait *wait, struct partition *partition)
{
    assert(wait->watch == NULL);
    struct partition_watch *watch = partition_watch_get(partition, request->home->number);
    partition_ref(partition);
    wait->request = request;
    wait->watch = watch;
    list_push_back(&watch->waits, &wait->in_watch);
    partition_watch_arm(watch);
}

void request_wait_partition_end(struct wait *wait)
{
    struct partition_watch *watch = wait->watch;
    if (!watch)
        return;
    wait->watch = NULL;
    list_remove(&wait->in_watch);
    if (list_is_empty(&watch->waits) && !watch->owner)
        partition_watch_disarm(watch);
    partition_unref(watch->partition);
}

/* Every waiter looks once; those that still wait stay in order. The list is never empty meanwhile: so nobody who ends a wait
 * disarms the watch under those that are still to look. */
void request__wake(struct partition_watch *watch)
{
    struct list end;
    list_init(&end);
    list_push_back(&watch->waits, &end);
    for (struct list *node; (node = list_pop_front(&watch->waits)) != &end;) {
        list_push_back(&watch->waits, node);
        struct request *request = CONTAINER_OF(node, struct wait, in_watch)->request;
        request__resume(request);
    }
    if (list_is_empty(&watch->waits) && !watch->owner)
        partition_watch_disarm(watch);
}

void request_wait_until(struct request *request, int64_t deadline_ms)
{
    heap_insert(&request->home->timers, &request->timer, deadline_ms);
}

void request_wait_until_end(struct request *request)
{
    heap_remove(&request->home->timers, &request->timer);
}

bool request_deadline_passed(const struct request *request)
{
    return request->timer.index == 0 || request->timer.key <= request->home->now_ms;
}

void request_send_home(struct request *request)
{
    request->mail.kind = MAIL_RESUME;
    io_loop_send(request->home->loop, &request->mail);
}

void request_send_to_control(struct request *request)
{
    request->mail.kind = MAIL_CONTROL;
    io_loop_send(control__loop(request->home->broker->control), &request->mail);
}

void request_send_to_pool(struct request *request, enum io_lane lane, void (*run)(struct io_job *job))
{
    request->job.run = run;
    io_pool_submit(request->home->broker->pool, lane, &request->job);
}

void request_hold(struct request *request)
{
    assert(request->state == REQUEST_RUNNING && !request->holds);
    request->holds = !request->local_call; // which have no connection
}

/* `holds` stays until net/ has seen it. */
void request_release(struct request *request)
{
    if (request->holds && request->state == REQUEST_RUNNING)
        list_push_back(&request->home->released, &request->in_completed);
}
