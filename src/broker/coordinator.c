// SPDX-License-Identifier: Apache-2.0
/* broker/coordinator.c - the life of coordinator shards, and the calls they answer.
 *
 * A shard is one partition of an internal topic, owned by one reactor, which alone touches it; only while a piece of its
 * log is replayed its machine is the pool's.
 *
 *            this broker leads           all replayed
 *     AWAY ------------------> LOADING -------------> LOADED
 *      ^                          |                      |
 *      |  nothing is on its way   |   leadership, epoch, | partition or an append lost; the broker stops
 *      +----------- LEAVING <-----+----------------------+
 *
 *   AWAY      calls are refused with NOT_COORDINATOR
 *   LOADING   calls are refused with COORDINATOR_LOAD_IN_PROGRESS
 *   LOADED    calls are served; replies that tell of a change leave when its records are committed
 *   LEAVING   the machine is empty, every call answered; its appends and its replay come to their end first, so that
 *             the next replay sees all of what this one wrote
 *
 * What moves a shard is looked up, never remembered: each wake-up (image, watch, replayed piece, call) leads to
 * `shard_look`. A load that failed is not tried again in the same leader epoch: the same bytes would fail again.
 *
 * A call is answered exactly once. Whoever asked may be gone by then; that is the request's own affair.
 */
#include "broker/coordinator.h"

enum shard_state { SHARD_AWAY, SHARD_LOADING, SHARD_LOADED, SHARD_LEAVING, SHARD_STATES };

static const bool moves[SHARD_STATES][SHARD_STATES] = {
    [SHARD_AWAY] = {[SHARD_LOADING] = true},
    [SHARD_LOADING] = {[SHARD_LOADED] = true, [SHARD_LEAVING] = true},
    [SHARD_LOADED] = {[SHARD_LEAVING] = true},
    [SHARD_LEAVING] = {[SHARD_AWAY] = true},
};

struct shard {
    struct reactor *owner;
    const struct shard_kind *kind;
    int32_t index;
    enum shard_state state;
    struct partition *partition; // counted; NULL while there is none
    int32_t leader_epoch;        // of the load
    int32_t failed_epoch;        // whose load failed; -1 none
    void *machine;               // not AWAY
    struct load load;
    bool piece_is_out;   // a piece is in the pool
    struct list appends; // struct shard_append
    struct list in_busy; // of the set: has to be pumped in this tick
    struct heap_node timer;
};

struct shard_set {
    struct meta_image *seen; // counted: the image that the shards were looked up in
    struct shard **shards[COORDINATOR_KINDS];
    int32_t counts[COORDINATOR_KINDS]; // of the shards owned here
    struct list busy;
    struct heap timers;
    bool stopping;
};

static const struct shard_kind *const kinds[COORDINATOR_KINDS] = {[COORDINATOR_GROUPS] = &coordinator__groups};

static struct coord_time time_of(const struct reactor *reactor)
{
    return (struct coord_time){.now_ms = reactor->now_ms, .wall_ms = reactor->wall_ms};
}

static void move(struct shard *shard, enum shard_state to)
{
    assert(moves[shard->state][to]);
    int served = (to != SHARD_AWAY) - (shard->state != SHARD_AWAY);
    atomic_fetch_add(&shard->owner->broker->shards_served, served);
    shard->state = to;
}

static void set_busy(struct shard *shard)
{
    if (list_is_empty(&shard->in_busy))
        list_push_back(&shard->owner->shards->busy, &shard->in_busy);
}

/* ---- calls going home */
static void call_arrived(struct shard_call *call)
{
    request__resume(call->request);
}

static void call_home(struct reactor *here, struct shard_call *call)
{
    struct reactor *home = call->request->home;
    if (home == here) {
        call_arrived(call);
        return;
    }
    call->mail.kind = MAIL_SHARD_DONE;
    io_loop_send(home->loop, &call->mail);
}

static void calls_home(struct shard *shard)
{
    for (struct shard_call *call; (call = shard->kind->take_done(shard->machine));)
        call_home(shard->owner, call);
}

static void call_refuse(struct shard *shard, struct shard_call *call, int16_t error)
{
    shard->kind->refuse(call, error);
    call_home(shard->owner, call);
}

/* ---- the partition */
static struct partition_use *partition_find(const struct shard *shard)
{
    const struct meta_topic *topic = meta_topic_by_name(shard->owner->image, slice_str(shard->kind->topic));
    return topic && shard->index < topic->partition_count ? reactor_partition(shard->owner, topic->id, shard->index)
                                                          : NULL;
}

static void partition_let_go(struct shard *shard)
{
    if (!shard->partition)
        return;
    struct partition_watch *watch = partition_watch_get(shard->partition, shard->owner->number);
    watch->owner = NULL;
    if (list_is_empty(&watch->waits))
        partition_watch_disarm(watch);
    partition_unref(shard->partition);
    shard->partition = NULL;
}

static void partition_take(struct shard *shard)
{
    assert(shard->state == SHARD_AWAY);
    struct partition_use *use = partition_find(shard);
    struct partition *partition = use ? use->partition : NULL;
    if (partition == shard->partition)
        return;
    partition_let_go(shard);
    shard->failed_epoch = -1;
    if (!partition)
        return;
    partition_ref(partition);
    shard->partition = partition;
    struct partition_watch *watch = partition_watch_get(partition, shard->owner->number);
    assert(!watch->owner);
    watch->owner = shard;
    partition_watch_arm(watch); // before the first look at its leader
}

static bool may_be_served(const struct shard *shard)
{
    const struct partition *partition = shard->partition;
    return partition && !shard->owner->shards->stopping && partition_is_leader(partition) &&
           !partition_is_retired(partition) && !partition_is_offline(partition);
}

static bool is_still_served(const struct shard *shard)
{
    return may_be_served(shard) && partition_leader_epoch(shard->partition) == shard->leader_epoch;
}

/* ---- moves */
static void shard_look(struct shard *shard);

static void leave(struct shard *shard, int16_t error)
{
    bool was_loaded = shard->state == SHARD_LOADED;
    move(shard, SHARD_LEAVING);
    heap_remove(&shard->owner->shards->timers, &shard->timer);
    if (was_loaded) {
        LOG(LOG_DEBUG, "broker", "%s-%d: this coordinator is no longer served here, error %d", shard->kind->topic,
            (int)shard->index, (int)error);
        shard->kind->fail(shard->machine, error);
        calls_home(shard);
    }
}

static void loaded(struct shard *shard)
{
    if (shard->load.records > 0)
        LOG(LOG_INFO, "broker", "%s-%d: coordinator loaded, %lld records, leader epoch %d", shard->kind->topic,
            (int)shard->index, (long long)shard->load.records, (int)shard->leader_epoch);
    load__end(&shard->load);
    move(shard, SHARD_LOADED);
    shard->kind->loaded(shard->machine, time_of(shard->owner));
    set_busy(shard);
}

static void load_failed(struct shard *shard)
{
    LOG(LOG_ERROR, "broker", "%s-%d: the coordinator cannot be loaded, offset %lld, leader epoch %d",
        shard->kind->topic, (int)shard->index, (long long)shard->load.offset, (int)shard->leader_epoch);
    shard->failed_epoch = shard->leader_epoch;
    leave(shard, KAFKA_NOT_COORDINATOR);
}

/* The next piece, or the end of the load. */
static void load_go_on(struct shard *shard)
{
    struct load *load = &shard->load;
    assert(!shard->piece_is_out);
    if (load->result == LOAD_DONE) {
        loaded(shard);
    } else if (load->result == LOAD_FAILED) {
        load_failed(shard);
    } else if (load->result == LOAD_MORE || partition_high_watermark(shard->partition) > load->offset) {
        shard->piece_is_out = true;
        load__submit(load, shard->owner->broker->pool);
    }
}

static void load_start(struct shard *shard)
{
    struct reactor *reactor = shard->owner;
    struct partition_config config = partition_config_get(shard->partition);
    shard->leader_epoch = partition_leader_epoch(shard->partition);
    shard->machine = shard->kind->create(reactor->broker, &config);
    move(shard, SHARD_LOADING);
    load__begin(&shard->load, reactor->loop, shard->partition, shard->kind, shard->machine);
    bool is_empty = shard->load.end_offset == partition_start_offset(shard->partition);
    shard->load.result = is_empty ? LOAD_DONE : LOAD_MORE;
    load_go_on(shard);
}

static void left(struct shard *shard)
{
    shard->kind->free(shard->machine);
    shard->machine = NULL;
    load__end(&shard->load);
    move(shard, SHARD_AWAY);
    shard_look(shard);
}

static struct shard_append *first_append(const struct shard *shard)
{
    return list_is_empty(&shard->appends) ? NULL : CONTAINER_OF(shard->appends.next, struct shard_append, link);
}

static void append_drop(struct shard_append *append)
{
    list_remove(&append->link);
    shard_append__free(append);
}

/* Nobody waits for what is still on its way, but its memory is in the partition's queue until it is done. */
static void leave_go_on(struct shard *shard)
{
    for (struct shard_append *first; (first = first_append(shard)) && atomic_load(&first->append.done);)
        append_drop(first);
    if (!shard->piece_is_out && list_is_empty(&shard->appends))
        left(shard);
}

/* What it is now decides what comes next. */
static void shard_look(struct shard *shard)
{
    if (shard->state == SHARD_AWAY) {
        partition_take(shard);
        if (may_be_served(shard) && partition_leader_epoch(shard->partition) != shard->failed_epoch)
            load_start(shard);
        return;
    }
    bool is_out = shard->state == SHARD_LOADING && shard->piece_is_out; // then its end is looked at
    if (!is_out && shard->state != SHARD_LEAVING && !is_still_served(shard))
        leave(shard, KAFKA_NOT_COORDINATOR);
    if (shard->state == SHARD_LOADING && !is_out)
        load_go_on(shard);
    if (shard->state == SHARD_LEAVING)
        leave_go_on(shard);
}

/* ---- appends */
/* Batches commit in the order of their tokens. */
static void appends_settle(struct shard *shard)
{
    struct shard_append *first;
    while (shard->state == SHARD_LOADED && (first = first_append(shard)) && atomic_load(&first->append.done)) {
        bool committed;
        int16_t error = shard_append__outcome(first, shard->partition, &committed);
        if (error == KAFKA_NONE && !committed)
            return;
        uint64_t token = first->token;
        append_drop(first);
        if (error == KAFKA_NONE)
            shard->kind->committed(shard->machine, token, time_of(shard->owner));
        else
            leave(shard, error);
    }
}

static void appends_start(struct shard *shard)
{
    const struct coord_record *records;
    size_t count;
    uint64_t token;
    while (shard->state == SHARD_LOADED && shard->kind->take_records(shard->machine, &records, &count, &token)) {
        struct partition_use *use = partition_find(shard);
        int16_t error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        struct shard_append *append = NULL;
        if (use && use->partition == shard->partition)
            append = shard_append__start(shard->owner, use, shard->leader_epoch,
                                         shard->kind->codec(shard->owner->broker), records, count, &error);
        if (!append) {
            leave(shard, error);
            return;
        }
        append->token = token;
        list_push_back(&shard->appends, &append->link);
    }
}

/* Moves on what can move: commits, new records, finished calls, the next deadline. */
static void pump(struct shard *shard)
{
    list_remove(&shard->in_busy);
    appends_settle(shard);
    appends_start(shard);
    if (shard->state == SHARD_LOADED) {
        calls_home(shard);
        int64_t deadline_ms = shard->kind->deadline_ms(shard->machine);
        if (deadline_ms == INT64_MAX)
            heap_remove(&shard->owner->shards->timers, &shard->timer);
        else
            heap_insert(&shard->owner->shards->timers, &shard->timer, deadline_ms);
    }
    shard_look(shard);
}

/* ---- calls coming in */
static void image_look(struct reactor *reactor);

static struct shard *shard_find(const struct reactor *reactor, uint8_t kind, int32_t index)
{
    const struct shard_set *set = reactor->shards;
    int32_t reactors = reactor->broker->options.reactor_count;
    assert(kind < COORDINATOR_KINDS && index % reactors == (int32_t)reactor->number);
    return index / reactors < set->counts[kind] ? set->shards[kind][index / reactors] : NULL;
}

static void call_start(struct reactor *reactor, struct shard_call *call)
{
    struct shard *shard = shard_find(reactor, call->kind, call->shard);
    if (!shard || shard->state == SHARD_AWAY) { // perhaps its topic is so new that the image's mail is not here yet
        reactor__image_refresh(reactor);
        image_look(reactor);
        shard = shard_find(reactor, call->kind, call->shard);
    }
    if (!shard) {
        kinds[call->kind]->refuse(call, KAFKA_NOT_COORDINATOR);
        call_home(reactor, call);
        return;
    }
    shard_look(shard);
    if (shard->state == SHARD_LOADING) {
        call_refuse(shard, call, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    } else if (shard->state != SHARD_LOADED) {
        call_refuse(shard, call, KAFKA_NOT_COORDINATOR);
    } else {
        shard->kind->start(shard->machine, call, time_of(reactor));
        set_busy(shard);
    }
}

void coordinator__call(struct shard_call *call)
{
    struct reactor *home = call->request->home, *reactors = home->broker->reactors;
    assert(call->shard >= 0);
    struct reactor *owner = &reactors[call->shard % home->broker->options.reactor_count];
    if (owner == home) {
        call_start(home, call);
        return;
    }
    call->mail.kind = MAIL_SHARD;
    io_loop_send(owner->loop, &call->mail);
}

/* ---- the set */
int32_t coordinator__shard_count(struct broker *broker, const struct meta_image *image, enum coordinator_kind kind)
{
    _Atomic int32_t *fixed = &broker->shard_counts[kind];
    const struct meta_topic *topic = meta_topic_by_name(image, slice_str(kinds[kind]->topic));
    int32_t none = 0;
    if (topic && topic->partition_count > 0)
        atomic_compare_exchange_strong(fixed, &none, topic->partition_count);
    return atomic_load(fixed);
}

static void shards_make(struct reactor *reactor, enum coordinator_kind kind)
{
    struct shard_set *set = reactor->shards;
    int32_t reactors = reactor->broker->options.reactor_count,
            all = coordinator__shard_count(reactor->broker, reactor->image, kind);
    int32_t count = all / reactors + ((int32_t)reactor->number < all % reactors);
    if (set->counts[kind] == count)
        return;
    assert(set->counts[kind] == 0); // the count is fixed
    set->shards[kind] = mem_zalloc((size_t)count * sizeof(struct shard *));
    for (int32_t i = 0; i < count; i++) {
        struct shard *shard = set->shards[kind][i] = mem_zalloc(sizeof *shard);
        shard->owner = reactor;
        shard->kind = kinds[kind];
        shard->index = i * reactors + (int32_t)reactor->number;
        shard->failed_epoch = -1;
        list_init(&shard->appends);
        list_init(&shard->in_busy);
    }
    set->counts[kind] = count;
}

static void look_at_all(struct reactor *reactor)
{
    struct shard_set *set = reactor->shards;
    for (int kind = 0; kind < COORDINATOR_KINDS; kind++)
        for (int32_t i = 0; i < set->counts[kind]; i++)
            shard_look(set->shards[kind][i]);
}

static void image_look(struct reactor *reactor)
{
    struct shard_set *set = reactor->shards;
    if (set->seen == reactor->image)
        return;
    meta_image_unref(set->seen);
    set->seen = meta_image_ref(reactor->image);
    for (int kind = 0; kind < COORDINATOR_KINDS; kind++)
        shards_make(reactor, (enum coordinator_kind)kind);
    look_at_all(reactor);
}

void coordinator__init(struct reactor *reactor)
{
    reactor->shards = mem_zalloc(sizeof *reactor->shards);
    list_init(&reactor->shards->busy);
    heap_init(&reactor->shards->timers);
}

void coordinator__stop(struct reactor *reactor)
{
    reactor->shards->stopping = true;
    look_at_all(reactor);
}

/* After a stop that could not wait, a piece or an append may still be under way: what they use is left to the process. */
static bool is_in_use(const struct shard *shard)
{
    LIST_EACH (node, &shard->appends) {
        if (!atomic_load(&CONTAINER_OF(node, struct shard_append, link)->append.done))
            return true;
    }
    return shard->piece_is_out;
}

static void shard_free(struct shard *shard)
{
    if (is_in_use(shard))
        return;
    if (shard->state == SHARD_LOADED) { // nobody is left to hear of it
        shard->kind->fail(shard->machine, KAFKA_NOT_COORDINATOR);
        while (shard->kind->take_done(shard->machine))
            ;
    }
    for (struct shard_append *first; (first = first_append(shard));)
        append_drop(first);
    if (shard->machine) {
        shard->kind->free(shard->machine);
        load__end(&shard->load);
    }
    list_remove(&shard->in_busy);
    partition_let_go(shard);
    mem_free(shard);
}

void coordinator__free(struct reactor *reactor)
{
    struct shard_set *set = reactor->shards;
    if (!set)
        return;
    for (int kind = 0; kind < COORDINATOR_KINDS; kind++) {
        for (int32_t i = 0; i < set->counts[kind]; i++)
            shard_free(set->shards[kind][i]);
        mem_free(set->shards[kind]);
    }
    heap_free(&set->timers);
    meta_image_unref(set->seen);
    mem_free(set);
    reactor->shards = NULL;
}

/* ---- what the reactor's tick brings */
static void piece_home(struct shard *shard)
{
    shard->piece_is_out = false;
    shard_look(shard);
}

void coordinator__mail(struct reactor *reactor, struct io_mail *mail)
{
    if (mail->kind == MAIL_SHARD)
        call_start(reactor, CONTAINER_OF(mail, struct shard_call, mail));
    else if (mail->kind == MAIL_SHARD_DONE)
        call_arrived(CONTAINER_OF(mail, struct shard_call, mail));
    else
        piece_home(CONTAINER_OF(mail, struct shard, load.mail));
}

void coordinator__watch(struct reactor *reactor, struct partition_watch *watch)
{
    struct shard *shard = watch->owner;
    if (!shard)
        return;
    assert(shard->owner == reactor);
    pump(shard);
}

void coordinator__tick_end(struct reactor *reactor)
{
    struct shard_set *set = reactor->shards;
    image_look(reactor);
    for (struct heap_node *first; (first = heap_first(&set->timers)) && first->key <= reactor->now_ms;) {
        struct shard *shard = CONTAINER_OF(first, struct shard, timer);
        heap_remove(&set->timers, first);
        shard->kind->tick(shard->machine, time_of(reactor));
        set_busy(shard);
    }
    for (struct list *node; (node = list_pop_front(&set->busy));)
        pump(CONTAINER_OF(node, struct shard, in_busy));
}

int64_t coordinator__next_deadline_ms(const struct reactor *reactor)
{
    const struct shard_set *set = reactor->shards;
    if (set->seen != reactor->image)
        return reactor->now_ms;
    const struct heap_node *first = heap_first(&set->timers);
    return first ? first->key : INT64_MAX;
}
