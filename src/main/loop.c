// SPDX-License-Identifier: Apache-2.0
/* main/loop.c - the tick of a reactor, and the life of one Ottla.
 *
 *   wait     sockets, mail, or the next deadline
 *   events   bytes in, frames cut, requests queued on their connections
 *   mail     wake-ups, requests that come home, connections handed over
 *   timers   deadlines of waiting requests; connections that are idle for too long
 *   end      gathered appends are written, coordinators write theirs
 *   drain    what may start starts, replies leave
 *
 * Drain starts requests and requests complete at the end of the tick, so both repeat until nothing is left to do, or until
 * the tick has started as much as one may: then the next one follows at once.
 */
#include "main/settings.h"

enum { EVENTS_PER_TICK = 512, STALL_NS = 10000000, STOP_GRACE_MS = 5000, STOP_LOOK_MS = 5 };

struct ottla {
    struct broker *broker;
    struct net *net;
    struct io_thread **threads;
    int reactor_count;
};

static bool take_mail(struct reactor *reactor)
{
    bool stop = false;
    struct io_mail *chain = io_loop_mail(reactor->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));) {
        if (mail->kind == MAIL_STOP)
            stop = true;
        else if (mail->kind == MAIL_CONNECTION)
            net_mail(reactor, mail);
        else
            broker_mail(reactor, mail);
    }
    return stop;
}

static void finish_tick(struct reactor *reactor)
{
    do {
        net_drain(reactor);
        broker_tick_end(reactor);
    } while (net_has_work(reactor));
}

/* While it stops, a reactor looks now and then whether the others need it still. */
static int64_t deadline_ns(const struct reactor *reactor, int64_t stop_at_ms)
{
    int64_t ms = min_i64(broker_next_deadline_ms(reactor), net_next_deadline_ms(reactor));
    if (stop_at_ms != INT64_MAX)
        ms = min_i64(ms, reactor->now_ms + STOP_LOOK_MS);
    return ms == INT64_MAX ? INT64_MAX : ms * 1000000;
}

/* Connections are closed when they have got their replies, or at the deadline; requests that still run then belong to
 * nobody, and are waited for as long again. */
static bool may_end(struct reactor *reactor, int64_t stop_at_ms)
{
    bool all_closed = net_reactor_stop(reactor, reactor->now_ms >= stop_at_ms);
    if (all_closed && broker_is_idle(reactor->broker))
        return true;
    if (reactor->now_ms < stop_at_ms + STOP_GRACE_MS)
        return false;
    LOG(LOG_WARN, "main", "reactor %u ends while requests are under way", (unsigned)reactor->number);
    return true;
}

static void count_stall(struct reactor *reactor, int64_t began_ns)
{
    int64_t took_ns = io_now_ns() - began_ns;
    if (took_ns < STALL_NS)
        return;
    atomic_fetch_add(&reactor->stalls, 1);
    LOG(LOG_DEBUG, "main", "reactor %u was busy for %lld ms in one tick", (unsigned)reactor->number,
        (long long)(took_ns / 1000000));
}

static void reactor_run(void *context)
{
    struct reactor *reactor = context;
    struct io_event events[EVENTS_PER_TICK];
    int64_t stop_at_ms = INT64_MAX;
    for (;;) {
        int count = io_loop_wait(reactor->loop, events, EVENTS_PER_TICK, deadline_ns(reactor, stop_at_ms));
        int64_t began_ns = io_now_ns();
        reactor_clock(reactor);
        net_tick_begin(reactor);
        for (int i = 0; i < count; i++)
            net_event(reactor, &events[i]);
        if (take_mail(reactor) && stop_at_ms == INT64_MAX) {
            stop_at_ms = reactor->now_ms + STOP_GRACE_MS;
            broker_reactor_stop(reactor);
        }
        broker_timers(reactor);
        net_timers(reactor);
        finish_tick(reactor);
        count_stall(reactor, began_ns);
        if (stop_at_ms != INT64_MAX && may_end(reactor, stop_at_ms))
            return;
    }
}

struct status ottla_create(const struct serve_options *options, struct ottla **ret_ottla)
{
    TRY(directories__make(&options->broker));
    struct ottla *ottla = mem_zalloc(sizeof *ottla);
    ottla->broker = broker_create(&options->broker);
    ottla->reactor_count = options->broker.reactor_count;
    struct status s = net_create(ottla->broker, &options->net, &ottla->net);
    if (!status_is_ok(s)) {
        ottla_free(ottla);
        return s;
    }
    *ret_ottla = ottla;
    return STATUS_OK;
}

struct status ottla_open(struct ottla *ottla)
{
    TRY(broker_start(ottla->broker));
    ottla->threads = mem_zalloc((size_t)ottla->reactor_count * sizeof *ottla->threads);
    for (int i = 0; i < ottla->reactor_count; i++)
        net_reactor_start(ottla->net, broker_reactor(ottla->broker, i));
    for (int i = 0; i < ottla->reactor_count; i++)
        ottla->threads[i] = io_thread_start("reactor", reactor_run, broker_reactor(ottla->broker, i));
    return STATUS_OK;
}

void ottla_free(struct ottla *ottla)
{
    net_free(ottla->net);
    broker_free(ottla->broker);
    mem_free(ottla->threads);
    mem_free(ottla);
}

struct status ottla_start(const struct serve_options *options, struct ottla **ret_ottla)
{
    struct ottla *ottla;
    TRY(ottla_create(options, &ottla));
    struct status s = ottla_open(ottla);
    if (status_is_ok(s))
        *ret_ottla = ottla;
    else
        ottla_free(ottla);
    return s;
}

static void late_mail_drop(struct reactor *reactor)
{
    struct io_mail *chain = io_loop_mail(reactor->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));)
        if (mail->kind == MAIL_CONNECTION)
            net_mail_drop(mail);
        else
            broker_mail_drop(reactor, mail);
}

struct status ottla_stop(struct ottla *ottla)
{
    for (int i = 0; i < ottla->reactor_count; i++) {
        struct reactor *reactor = broker_reactor(ottla->broker, i);
        io_loop_send(reactor->loop, &reactor->stop_mail);
    }
    for (int i = 0; i < ottla->reactor_count; i++)
        io_thread_join(ottla->threads[i]);
    for (int i = 0; i < ottla->reactor_count; i++)
        late_mail_drop(broker_reactor(ottla->broker, i));
    struct status s = broker_stop(ottla->broker);
    ottla_free(ottla);
    return s;
}

struct broker *ottla_broker(struct ottla *ottla)
{
    return ottla->broker;
}

uint16_t ottla_port(const struct ottla *ottla, int listener)
{
    return net_listener_port(ottla->net, listener);
}
