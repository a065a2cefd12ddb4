// SPDX-License-Identifier: Apache-2.0
/* broker/broker.c - the life of one broker: made, started, stopped, freed.
 *
 *   start   lock the directories -> format or check them -> take the clean marks away -> metadata, registration, leader
 *           epochs -> partitions -> image for the reactors -> ready
 *   stop    control thread, flusher -> every log synced and closed -> checkpoint files -> metadata: no leader here any more
 *           -> clean marks -> unlock
 *
 * A stop that follows a failure writes no marks: the next start looks at everything.
 */
#include "broker/broker__.h"

#include "broker/fetch_session.h"

enum { FILE_THREADS_MIN = 4, FILE_THREADS_MAX = 16, READ_THREADS = 2, BACKGROUND_THREADS = 1 };
enum { COMPUTE_THREADS_MAX = 8 };

/* ---- making */
static void reactor_init(struct reactor *reactor, struct broker *broker, int number)
{
    reactor->broker = broker;
    reactor->number = (uint32_t)number;
    reactor->loop = io_loop_create();
    reactor->image_mail.kind = MAIL_IMAGE;
    reactor->stop_mail.kind = MAIL_STOP;
    heap_init(&reactor->timers);
    list_init(&reactor->completed);
    list_init(&reactor->released);
    list_init(&reactor->local_completed);
    list_init(&reactor->touched);
    list_init(&reactor->requests_free);
    hash_init(&reactor->partitions);
    reactor->scratch = record_scratch_create();
    reactor_clock(reactor);
}

struct broker *broker_create(const struct broker_options *options)
{
    struct broker *broker = mem_zalloc(sizeof *broker);
    broker->options = *options;
    broker__settings_init(broker);
    assert(options->reactor_count > 0 && options->reactor_count <= REPLICA_LOOPS_MAX);
    broker->reactors = mem_zalloc((size_t)options->reactor_count * sizeof *broker->reactors);
    for (int i = 0; i < options->reactor_count; i++)
        reactor_init(&broker->reactors[i], broker, i);
    broker->image = meta_image_create();
    broker->image_lock = io_lock_create();
    broker__partitions_init(broker);
    broker->sessions = fetch_sessions__create(options->fetch_sessions_max, options->fetch_session_bytes_max);
    broker->files = log_files_create(options->open_files_max);
    broker->quotas = quotas__create(options->settings);
    broker->clients = clients__create();
    broker->checkpoints = checkpoints__create(broker);
    broker->crew = crew__create(broker);
    broker->control = control__create(broker);
    broker->failed_mail.kind = MAIL_STOP;
    return broker;
}

static void requests_free(struct reactor *reactor)
{
    for (struct list *node; (node = list_pop_front(&reactor->requests_free));) {
        struct request *request = CONTAINER_OF(node, struct request, in_completed);
        wire_writer_free(&request->reply.out);
        arena_free(&request->arena);
        mem_free(request);
    }
}

static void reactor_destroy(struct reactor *reactor)
{
    broker__partition_uses_free(reactor);
    requests_free(reactor);
    latency__free(reactor);
    meta_image_unref(reactor->image);
    record_scratch_free(reactor->scratch);
    heap_free(&reactor->timers);
}

/* Threads of the broker's own; in the order in which they need each other. What waited for the pool has its answer before
 * the job is over: the job still tells the flusher and the reactors, and gives the turn back. */
static void threads_stop(struct broker *broker)
{
    control__stop(broker->control);
    if (broker->pool)
        io_pool_finish(broker->pool);
    flusher__stop(broker->flusher);
    broker->flusher = NULL;
}

static void mail_drop_all(struct reactor *reactor)
{
    struct io_mail *chain = io_loop_mail(reactor->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));)
        broker_mail_drop(reactor, mail);
}

void broker_free(struct broker *broker)
{
    if (!broker)
        return;
    threads_stop(broker);
    for (int i = 0; i < broker->options.reactor_count; i++) {
        coordinator__free(&broker->reactors[i]);
        mail_drop_all(&broker->reactors[i]);
        reactor_destroy(&broker->reactors[i]);
    }
    broker__partitions_free(broker);
    control__free(broker->control);
    io_pool_destroy(broker->pool);
    scratches__free(broker->scratches);
    crew__free(broker->crew);
    for (int i = 0; i < broker->options.reactor_count; i++)
        io_loop_destroy(broker->reactors[i].loop);
    log_dirs__unlock(&broker->dirs);
    checkpoints__free(broker->checkpoints);
    fetch_sessions__free(broker->sessions);
    quotas__free(broker->quotas);
    broker__settings_free(broker);
    log_files_free(broker->files);
    clients__free(broker->clients);
    meta_image_unref(broker->image);
    io_lock_destroy(broker->image_lock);
    mem_free(broker->reactors);
    mem_free(broker);
}

/* ---- starting */
static void threads_start(struct broker *broker)
{
    int files = (int)min_i64(FILE_THREADS_MAX, max_i64(FILE_THREADS_MIN, io_cpu_count()));
    int computing = (int)min_i64(COMPUTE_THREADS_MAX, io_cpu_count());
    broker->scratches = scratches__create(computing);
    broker->pool = io_pool_create((const int[IO_LANE_COUNT]){[IO_LANE_READ] = READ_THREADS,
                                                             [IO_LANE_FILE] = files,
                                                             [IO_LANE_BACKGROUND] = BACKGROUND_THREADS,
                                                             [IO_LANE_COMPUTE] = computing});
    broker->flusher = flusher__start(broker);
    broker->replica = (struct replica_options){
        .flush_before_visible = broker->options.fsync,
        .node_id = broker->options.node_id,
        .loop_count = (uint32_t)broker->options.reactor_count,
        .flusher = flusher__loop(broker->flusher),
        .dirty_mail_kind = MAIL_DIRTY,
        .watch_mail_kind = MAIL_WATCH,
        .pool = broker->pool,
    };
    for (int i = 0; i < broker->options.reactor_count; i++)
        broker->replica.loops[i] = broker->reactors[i].loop;
}

static struct status start(struct broker *broker)
{
    const struct broker_options *options = &broker->options;
    TRY(log_dirs__lock(&broker->dirs, options));
    TRY(log_dirs__identify(&broker->dirs, options, broker__controller_port(broker), io_wall_ms()));
    TRY(log_dirs__marks_take(&broker->dirs));
    memcpy(broker->options.cluster_id, broker->dirs.cluster_id, sizeof broker->options.cluster_id);
    threads_start(broker);
    return control__open(broker->control);
}

struct status broker_start(struct broker *broker)
{
    struct status s = start(broker);
    if (!status_is_ok(s)) {
        LOG(LOG_ERROR, "broker", "cannot start: %s: %s", s.what, strerror(s.error));
        return s;
    }
    for (int i = 0; i < broker->options.reactor_count; i++) {
        broker->reactors[i].image = broker_image(broker);
        coordinator__init(&broker->reactors[i]);
    }
    control__run(broker->control);
    atomic_store(&broker->ready, true);
    LOG(LOG_INFO, "broker", "node %d of cluster %s is ready, durability %s", (int)broker->options.node_id,
        broker->options.cluster_id, broker->options.fsync ? "fsync" : "page-cache");
    return STATUS_OK;
}

/* ---- stopping */
struct closing {
    struct partition **partitions;
    int count, capacity;
    _Atomic int failures;
};

static void closing_add(void *context, struct partition *p)
{
    struct closing *closing = context;
    if (closing->count == closing->capacity) {
        closing->capacity = closing->capacity ? closing->capacity * 2 : 64;
        closing->partitions = mem_realloc(closing->partitions, (size_t)closing->capacity * sizeof(struct partition *));
    }
    partition_ref(p);
    closing->partitions[closing->count++] = p;
}

/* Nothing else runs any more, so the turn is free. */
static void close_number(void *context, int number, int member)
{
    struct closing *closing = context;
    struct partition *p = closing->partitions[number];
    struct log *log = partition_log(p);
    bool has_turn = partition_turn_try(p);
    assert(has_turn);
    struct status s = log && !partition_is_offline(p) ? log_close_clean(log) : STATUS_OK;
    partition_turn_end(p);
    if (status_is_ok(s))
        return;
    partition_take_offline(p, s);
    atomic_fetch_add(&closing->failures, 1);
}

static struct status partitions_close(struct broker *broker)
{
    struct closing closing = {0};
    broker__partitions_each(broker, closing_add, &closing);
    crew__run(broker->crew, closing.count, close_number, &closing, NULL);
    for (int i = 0; i < closing.count; i++)
        partition_unref(closing.partitions[i]);
    mem_free(closing.partitions);
    return atomic_load(&closing.failures) > 0 ? STATUS(EIO, "close all partitions cleanly") : STATUS_OK;
}

static struct status checkpoints_write_all(struct broker *broker)
{
    for (int kind = 0; kind < CHECKPOINT_KINDS; kind++)
        TRY(checkpoints__write(broker->checkpoints, kind));
    return STATUS_OK;
}

static bool any_offline(struct broker *broker)
{
    struct broker_numbers numbers;
    broker_numbers(broker, &numbers);
    return numbers.partitions_offline > 0;
}

/* An offline partition keeps its flushed mark: what is below it must not be cut. */
static struct status marks_write(struct broker *broker, int64_t broker_epoch)
{
    if (any_offline(broker)) {
        LOG(LOG_WARN, "broker", "partitions are offline: no mark of a clean stop is written");
        return STATUS_OK;
    }
    TRY(log_dirs__marks_write(&broker->dirs, broker_epoch));
    for (int i = 0; i < broker->dirs.count; i++)
        if (broker->dirs.dirs[i].holds_partitions)
            TRY(checkpoints__flushed_remove(broker->dirs.dirs[i].path));
    return STATUS_OK;
}

static struct status stop(struct broker *broker)
{
    threads_stop(broker);
    struct status s = partitions_close(broker), written = checkpoints_write_all(broker);
    if (broker_has_failed(broker))
        return STATUS(EIO, "stop cleanly after a failure");
    int64_t broker_epoch;
    TRY(control__close(broker->control, &broker_epoch));
    TRY(s);
    TRY(written);
    return marks_write(broker, broker_epoch);
}

struct status broker_stop(struct broker *broker)
{
    atomic_store(&broker->ready, false);
    atomic_store(&broker->stopping, true);
    struct status s = stop(broker);
    if (status_is_ok(s))
        LOG(LOG_INFO, "broker", "stopped");
    else
        LOG(LOG_ERROR, "broker", "stopped, but not cleanly: %s: %s", s.what, strerror(s.error));
    log_dirs__unlock(&broker->dirs);
    return s;
}

/* ---- failing */
void broker__fail(struct broker *broker, struct status why)
{
    if (atomic_exchange(&broker->failed, true))
        return;
    LOG(LOG_ERROR, "broker", "the broker cannot go on and stops: %s: %s", why.what, strerror(why.error));
    if (broker->options.owner)
        io_loop_send(broker->options.owner, &broker->failed_mail);
}

bool broker_has_failed(const struct broker *broker)
{
    return atomic_load(&broker->failed);
}

/* ---- what others ask */
struct reactor *broker_reactor(struct broker *broker, int number)
{
    assert(number >= 0 && number < broker->options.reactor_count);
    return &broker->reactors[number];
}

const struct broker_options *broker_options(const struct broker *broker)
{
    return &broker->options;
}

void broker_listener_bound(struct broker *broker, int listener, uint16_t port)
{
    broker->listener_ports[listener] = port;
}

/* The quorum's own level is no record of the image; it does not change while the broker runs. */
int16_t broker__level_in(struct broker *broker, const struct meta_image *image, const char *feature)
{
    if (strcmp(feature, "kraft.version") == 0)
        return ctrl_kraft_version(control__ctrl(broker->control));
    return meta_feature_level(image, feature);
}

int16_t broker_feature_level(struct broker *broker, const char *feature)
{
    struct meta_image *image = broker_image(broker);
    int16_t level = broker__level_in(broker, image, feature);
    meta_image_unref(image);
    return level;
}

struct meta_image *broker_image(struct broker *broker)
{
    io_lock_take(broker->image_lock);
    struct meta_image *image = meta_image_ref(broker->image);
    io_lock_release(broker->image_lock);
    return image;
}

void broker__publish(struct broker *broker, struct meta_image *image)
{
    io_lock_take(broker->image_lock);
    struct meta_image *before = broker->image;
    broker->image = image;
    io_lock_release(broker->image_lock);
    meta_image_unref(before);
    for (int i = 0; i < broker->options.reactor_count; i++)
        io_loop_send(broker->reactors[i].loop, &broker->reactors[i].image_mail);
}

bool broker_is_ready(const struct broker *broker)
{
    return atomic_load(&broker->ready);
}

bool broker_is_idle(const struct broker *broker)
{
    for (int i = 0; i < broker->options.reactor_count; i++)
        if (atomic_load(&broker->reactors[i].requests_used_count) > 0)
            return false;
    return atomic_load(&broker->shards_served) == 0;
}

static void count_partition(void *context, struct partition *p)
{
    struct broker_numbers *numbers = context;
    numbers->partitions++;
    numbers->partitions_offline += partition_is_offline(p);
}

static void add_reactor(struct broker_numbers *numbers, struct reactor *reactor)
{
    numbers->bytes_in += atomic_load(&reactor->bytes_in);
    numbers->bytes_out += atomic_load(&reactor->bytes_out);
    numbers->connections += atomic_load(&reactor->connections);
    numbers->members_refused += atomic_load(&reactor->members_refused);
    numbers->commits_refused += atomic_load(&reactor->commits_refused);
    numbers->request_bytes += atomic_load(&reactor->request_bytes);
    for (int limit = 0; limit < NET_LIMIT_COUNT; limit++)
        numbers->net_limits[limit] += atomic_load(&reactor->net_limits[limit]);
    for (size_t key = 0; key < COUNT_OF(reactor->counters); key++) {
        uint64_t requests = atomic_load(&reactor->counters[key].requests);
        numbers->requests += requests;
        numbers->api_requests[key] += requests;
        numbers->request_errors += atomic_load(&reactor->counters[key].errors);
    }
}

static void add_budget(struct broker_numbers *numbers, const struct write_budget *budget)
{
    uint64_t now = (uint64_t)max_i64(0, atomic_load(&budget->unflushed.bytes));
    uint64_t most = (uint64_t)atomic_load(&budget->unflushed.bytes_most);
    numbers->unflushed_bytes = now > numbers->unflushed_bytes ? now : numbers->unflushed_bytes;
    numbers->unflushed_bytes_most = most > numbers->unflushed_bytes_most ? most : numbers->unflushed_bytes_most;
    numbers->muted_writes += atomic_load(&budget->taken);
    numbers->refused_full += atomic_load(&budget->space.refused);
    numbers->without_descriptor += atomic_load(&budget->space.without_descriptor);
}

static_assert(BROKER_QUOTA_KINDS == (int)QUOTA_KINDS, "every kind has its number");

void broker_numbers(struct broker *broker, struct broker_numbers *ret_numbers)
{
    *ret_numbers = (struct broker_numbers){0};
    for (int i = 0; i < broker->options.reactor_count; i++)
        add_reactor(ret_numbers, &broker->reactors[i]);
    for (int i = 0; i < broker->dirs.count; i++)
        add_budget(ret_numbers, &broker->dirs.dirs[i].budget);
    for (int kind = 0; kind < QUOTA_KINDS; kind++)
        ret_numbers->throttled[kind] = quotas__throttled_count(broker->quotas, (enum quota_kind)kind);
    ret_numbers->segment_files_open = (uint64_t)log_files_count(broker->files);
    if (broker->flusher)
        flusher__numbers(broker->flusher, ret_numbers);
    if (broker->control)
        housekeeping__numbers(control__housekeeping(broker->control), ret_numbers);
    struct meta_image *image = broker_image(broker);
    fetch_sessions__numbers(broker->sessions, ret_numbers);
    if (atomic_load(&broker->ready)) { // before, the controller is being opened
        ret_numbers->growth_refused = ctrl_growth_refused(control__ctrl(broker->control));
        ret_numbers->unclean_elections = ctrl_unclean_elections(control__ctrl(broker->control));
    }
    ret_numbers->producers_crowded_out = log_producers_crowded_out();
    ret_numbers->topics = (uint64_t)image->topic_count;
    meta_image_unref(image);
    broker__partitions_each(broker, count_partition, ret_numbers);
}
