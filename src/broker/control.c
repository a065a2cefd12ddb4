// SPDX-License-Identifier: Apache-2.0
/* broker/control.c - the control thread: the only one that changes metadata.
 *
 *   take     requests that want something of the controller, all that have come meanwhile
 *   command  each calls the controller: records are appended, the working image moves
 *   flush    once for all of them
 *   apply    partitions are deleted, changed, made
 *   publish  the new image goes to every reactor
 *   home     the requests travel back, behind the image
 *
 * So no answer speaks of metadata that a power cut could take back, and whoever is told of a topic can use it. When the
 * metadata log fails nothing is known of the commands' outcome: the requests are refused and the broker stops.
 */
#include "broker/broker__.h"

enum { MAINTAIN_MS = 10000 };

struct control {
    struct broker *broker;
    struct io_loop *loop;
    struct io_thread *thread;
    struct io_mail stop_mail;
    struct ctrl *ctrl;
    struct housekeeping *keeping;
    struct meta_image *applied; // counted
    struct list requests;       // taken, not home yet
    int64_t broker_epoch, maintain_at_ms, published_offset;
    bool stopping, is_registered;
};

struct control *control__create(struct broker *broker)
{
    struct control *control = mem_zalloc(sizeof *control);
    control->broker = broker;
    control->loop = io_loop_create();
    control->stop_mail.kind = MAIL_STOP;
    control->keeping = housekeeping__create(broker);
    control->broker_epoch = -1;
    list_init(&control->requests);
    return control;
}

void control__free(struct control *control)
{
    if (!control)
        return;
    meta_image_unref(control->applied);
    housekeeping__free(control->keeping);
    ctrl_free(control->ctrl);
    io_loop_destroy(control->loop);
    mem_free(control);
}

struct io_loop *control__loop(struct control *control)
{
    return control->loop;
}

struct ctrl *control__ctrl(struct control *control)
{
    return control->ctrl;
}

int64_t control__broker_epoch(const struct control *control)
{
    return control->broker_epoch;
}

struct housekeeping *control__housekeeping(struct control *control)
{
    return control->keeping;
}

/* ---- start */
static int endpoints_fill(const struct broker *broker, struct meta_endpoint *endpoints)
{
    int count = 0;
    for (int i = 0; i < broker->options.listener_count; i++) {
        const struct broker_listener *listener = &broker->options.listeners[i];
        if (listener->is_controller)
            continue;
        endpoints[count++] = (struct meta_endpoint){
            .name = slice_str(listener->name),
            .host = slice_str(broker__registered_host(listener)),
            .port = listener->advertised_port ? listener->advertised_port : broker->listener_ports[i],
        };
    }
    return count;
}

static int directories_fill(const struct broker *broker, struct uuid *directories)
{
    int count = 0;
    for (int i = 0; i < broker->dirs.count; i++)
        if (broker->dirs.dirs[i].holds_partitions)
            directories[count++] = broker->dirs.dirs[i].id;
    return count;
}

/* The epoch in the marks, when every directory has the same one. */
static int64_t stopped_epoch(const struct log_dirs *dirs)
{
    int64_t epoch = -1;
    for (int i = 0; i < dirs->count; i++) {
        const struct log_dir *dir = &dirs->dirs[i];
        if (!dir->holds_partitions)
            continue;
        if (!dir->was_clean || (epoch >= 0 && dir->stopped_epoch != epoch))
            return -1;
        epoch = dir->stopped_epoch;
    }
    return epoch;
}

static struct status register_broker(struct control *control)
{
    struct broker *broker = control->broker;
    struct meta_endpoint endpoints[LISTENERS_MAX];
    struct uuid directories[LOG_DIRS_MAX];
    struct ctrl_registration registration = {
        .node_id = broker->options.node_id,
        .endpoints = endpoints,
        .endpoint_count = endpoints_fill(broker, endpoints),
        .rack = slice_str(broker->options.rack),
        .directories = directories,
        .directory_count = directories_fill(broker, directories),
        .previous_epoch = stopped_epoch(&broker->dirs),
    };
    io_random(registration.incarnation.bytes, sizeof registration.incarnation.bytes);
    int64_t now_ms = io_wall_ms();
    TRY(ctrl_register_broker(control->ctrl, &registration, now_ms, &control->broker_epoch));
    control->is_registered = true;
    TRY(ctrl_unfence_broker(control->ctrl, broker->options.node_id, now_ms));
    return ctrl_flush(control->ctrl);
}

/* Other brokers are not served yet: a partition of theirs here would have nobody to follow it. */
static struct status check_alone(const struct broker *broker, const struct meta_image *image)
{
    struct meta_walk walk;
    meta_topics_begin(image, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));)
        for (int32_t i = 0; i < topic->partition_count; i++) {
            const struct meta_partition *partition = meta_topic_partition(topic, i);
            if (!partition || (partition->replica_count == 1 && partition->replicas[0] == broker->options.node_id))
                continue;
            LOG(LOG_ERROR, "broker", "partition %s-%d has replicas on other brokers: this version serves a node alone",
                (const char *)topic->name.data, (int)i);
            return STATUS(ENOTSUP, "check the metadata: other brokers hold replicas");
        }
    return STATUS_OK;
}

/* The metadata says where each partition lies (KIP-858): after a start that found it elsewhere, after one was made where
 * somebody had wanted it. */
struct assigning {
    struct control *control;
    struct status status;
};

static void assign(void *context, struct partition *p)
{
    struct assigning *assigning = context;
    struct broker *broker = assigning->control->broker;
    const struct log_dir *dir = log_dirs__by_path(&broker->dirs, partition_log_dir(p));
    if (status_is_ok(assigning->status) && !partition_is_offline(p))
        assigning->status = ctrl_assign_directory(assigning->control->ctrl, broker->options.node_id,
                                                  partition_topic_id(p), partition_index(p), dir->id, io_wall_ms());
}

static struct status places_assign(struct control *control)
{
    struct assigning assigning = {.control = control};
    if (!openings__take_misplaced(control->broker))
        return STATUS_OK;
    broker__partitions_each(control->broker, assign, &assigning);
    TRY(assigning.status);
    return ctrl_flush(control->ctrl);
}

static void publish(struct control *control)
{
    control->published_offset = control->applied->offset;
    broker__publish(control->broker, meta_image_ref(control->applied));
}

static struct status metadata_open(struct control *control)
{
    const struct broker_options *options = &control->broker->options;
    struct ctrl_options ctrl = {
        .metadata_dir = options->metadata_dir,
        .node_id = options->node_id,
        .controller = broker__controller_listener(options, broker__controller_port(control->broker)),
        .settings = options->settings,
        .now_ms = io_wall_ms(),
    };
    TRY(ctrl_open(&ctrl, &control->ctrl));
    return check_alone(control->broker, ctrl_view(control->ctrl));
}

struct status control__open(struct control *control)
{
    TRY(metadata_open(control));
    TRY(register_broker(control));
    control->applied = ctrl_image(control->ctrl);
    TRY(openings__run_all(control->broker, control->applied));
    TRY(places_assign(control));
    meta_image_unref(control->applied);
    control->applied = ctrl_image(control->ctrl);
    publish(control);
    return STATUS_OK;
}

/* ---- running */
static void take_mail(struct control *control)
{
    struct io_mail *chain = io_loop_mail(control->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));) {
        if (mail->kind == MAIL_STOP) {
            control->stopping = true;
            continue;
        }
        if (mail->kind == MAIL_WAKE)
            continue; // the timers look
        assert(mail->kind == MAIL_CONTROL);
        struct request *request = CONTAINER_OF(mail, struct request, mail);
        list_push_back(&control->requests, &request->in_control);
    }
}

static void command_all(struct control *control)
{
    LIST_EACH (node, &control->requests) {
        struct request *request = CONTAINER_OF(node, struct request, in_control);
        if (!broker_has_failed(control->broker))
            request->api->control(request);
    }
}

/* False when there is none. */
static bool newest_apply(struct control *control)
{
    struct meta_image *image = ctrl_image(control->ctrl);
    if (image->offset == control->applied->offset) {
        meta_image_unref(image);
        return false;
    }
    broker__apply(control->broker, control->applied, image);
    meta_image_unref(control->applied);
    control->applied = image;
    return true;
}

/* What was commanded becomes true for everybody. */
void control__commit(struct control *control)
{
    struct broker *broker = control->broker;
    if (broker_has_failed(broker))
        return;
    struct status s = ctrl_flush(control->ctrl);
    while (status_is_ok(s) && newest_apply(control))
        s = places_assign(control);
    if (!status_is_ok(s))
        broker__fail(broker, s);
    else if (control->applied->offset != control->published_offset)
        publish(control);
}

static void send_home(struct control *control)
{
    for (struct list *node; (node = list_pop_front(&control->requests));) {
        struct request *request = CONTAINER_OF(node, struct request, in_control);
        request->refused = broker_has_failed(control->broker);
        request_send_home(request);
    }
}

void control__unregistered(struct control *control)
{
    LOG(LOG_WARN, "broker", "node %d was unregistered: it leads no partition until its next start",
        (int)control->broker->options.node_id);
    control->is_registered = false;
}

struct status control__directory_lost(struct control *control, struct log_dir *dir)
{
    struct broker *broker = control->broker;
    LOG(LOG_ERROR, "broker", "log directory %s has failed: its partitions go offline, the others go on", dir->path);
    atomic_store(&dir->offline, true);
    broker__partitions_offline(broker, dir->path);
    if (!log_dirs__any_online(&broker->dirs))
        return STATUS(EIO, "serve partitions: all log directories have failed");
    if (control->is_registered)
        TRY(ctrl_directory_offline(control->ctrl, broker->options.node_id, dir->id, io_wall_ms()));
    control__commit(control);
    return STATUS_OK;
}

/* The file of settings was read again: topics inherit anew, and reactors hear of it with the image. */
static void settings_take(struct control *control)
{
    struct broker *broker = control->broker;
    if (!broker__settings_take(broker))
        return;
    ctrl_settings_set(control->ctrl, broker__settings(broker));
    broker__apply_settings(broker, control->applied);
    broker__publish(broker, meta_image_ref(control->applied));
}

static void maintain(struct control *control, int64_t now_ms)
{
    if (now_ms < control->maintain_at_ms)
        return;
    control->maintain_at_ms = now_ms + MAINTAIN_MS;
    struct status s = ctrl_maintain(control->ctrl, io_wall_ms());
    if (!status_is_ok(s))
        broker__fail(control->broker, s);
}

static int64_t timers(struct control *control)
{
    int64_t now_ms = io_now_ms();
    if (broker_has_failed(control->broker))
        return INT64_MAX;
    maintain(control, now_ms);
    return min_i64(control->maintain_at_ms, housekeeping__tick(control->keeping, now_ms));
}

static void run(void *context)
{
    struct control *control = context;
    while (!control->stopping) {
        int64_t next_ms = timers(control);
        struct io_event none[1];
        io_loop_wait(control->loop, none, 1, next_ms == INT64_MAX ? INT64_MAX : next_ms * 1000000);
        take_mail(control);
        settings_take(control);
        if (list_is_empty(&control->requests))
            continue;
        command_all(control);
        control__commit(control);
        send_home(control);
    }
}

void control__run(struct control *control)
{
    control->thread = io_thread_start("control", run, control);
}

void control__stop(struct control *control)
{
    if (!control->thread)
        return;
    io_loop_send(control->loop, &control->stop_mail);
    io_thread_join(control->thread);
    control->thread = NULL;
    housekeeping__finish(control->keeping);
}

struct status control__close(struct control *control, int64_t *ret_broker_epoch)
{
    *ret_broker_epoch = control->broker_epoch;
    if (control->is_registered)
        TRY(ctrl_shutdown_broker(control->ctrl, control->broker->options.node_id, io_wall_ms()));
    return ctrl_close(control->ctrl);
}
