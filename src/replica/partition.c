// SPDX-License-Identifier: Apache-2.0
/* replica/partition.c - the life of a partition: made from the metadata image, given its log and its duty, retired.
 *
 * True at any time: the high watermark never goes back, and never lies above what the durability mode counts as held.
 * A fault of the log takes the partition offline for good; only a restart looks at the disk again.
 */
#include "replica/replica__.h"

static char *directory_in(const struct partition *p, const char *log_dir, int32_t index)
{
    struct buffer path = {0};
    buffer_printf(&path, "%s/%s-%d", log_dir, p->topic, (int)index);
    buffer_append(&path, "", 1);
    return (char *)path.data;
}

struct partition *partition_create(const struct replica_options *options, const char *topic, struct uuid topic_id,
                                   int32_t index, const char *log_dir, bool internal)
{
    assert(options->loop_count <= REPLICA_LOOPS_MAX);
    struct partition *p = mem_zalloc(sizeof *p + options->loop_count * sizeof p->watches[0]);
    p->references = 1;
    p->options = options;
    p->topic = mem_strdup(topic);
    p->log_dir = log_dir;
    p->directory = directory_in(p, log_dir, index);
    p->topic_id = topic_id;
    p->index = index;
    p->internal = internal;
    p->pending_tail = &p->pending;
    p->leader = p->leader_epoch = -1;
    p->config_lock = io_lock_create();
    p->config_version = 1;
    p->flush_messages = INT64_MAX;
    p->flushed_ms = io_now_ms();
    p->dirty.kind = options->dirty_mail_kind;
    return p;
}

void partition_ref(struct partition *p)
{
    int64_t before = atomic_fetch_add(&p->references, 1);
    assert(before > 0);
}

static void destroy(struct partition *p)
{
    assert(p->pending == NULL && p->queue == NULL);
    struct log *log = atomic_load(&p->log);
    if (log)
        log_free(log);
    for (uint32_t i = 0; i < p->options->loop_count; i++)
        mem_free(atomic_load(&p->watches[i]));
    io_lock_destroy(p->config_lock);
    mem_free(p->topic);
    mem_free(p->directory);
    mem_free(p);
}

void partition_unref(struct partition *p)
{
    if (p && atomic_fetch_sub(&p->references, 1) == 1)
        destroy(p);
}

static struct log_unflushed *unflushed_of(struct write_budget *budget)
{
    return budget ? &budget->unflushed : NULL;
}

struct status partition__open_now(struct partition *p)
{
    assert(atomic_load(&p->log) == NULL);
    struct io_stat there;
    int error = io_stat(p->directory, &there);
    if (error < 0)
        return STATUS(-error, "look at the partition's directory");
    struct log_open_options options = p->open_options;
    if (!there.exists) {
        TRY(dir_partition_create(p->log_dir, p->topic, p->index, p->topic_id));
        options.is_made = true;
    }
    struct partition_config config = partition_config_get(p);
    options.directory = p->directory;
    options.config = &config.log;
    options.is_lazy = true;
    options.unflushed = unflushed_of(p->budget);
    struct log *log = NULL;
    TRY(log_open(&options, &log));
    int32_t epoch = atomic_load(&p->leader_epoch);
    if (partition_is_leader(p) && epoch > log_epoch_latest(log)) {
        struct status s = log_epoch_begin(log, epoch);
        if (!status_is_ok(s)) {
            log_free(log);
            return s;
        }
    }
    atomic_store(&p->log, log);
    partition__high_watermark_advance(p);
    return STATUS_OK;
}

struct status partition_open(struct partition *p, const struct log_open_options *options, bool later)
{
    p->open_options = *options;
    p->open_options.directory = NULL;
    p->open_options.config = NULL;
    if (later) {
        p->opens_later = true;
        return STATUS_OK;
    }
    struct status s = partition__open_now(p);
    if (!status_is_ok(s))
        partition_take_offline(p, s);
    return s;
}

struct status partition_open_if_later(struct partition *p)
{
    if (atomic_load(&p->log) || !p->opens_later)
        return STATUS_OK;
    struct status s = partition__open_now(p);
    if (!status_is_ok(s))
        partition_take_offline(p, s);
    return s;
}

/* ---- it moves to another log directory */
void partition_future_set(struct partition *p, const struct partition_future *future)
{
    io_lock_take(p->config_lock);
    p->future = future ? *future : (struct partition_future){0};
    io_lock_release(p->config_lock);
}

struct partition_future partition_future_get(struct partition *p)
{
    io_lock_take(p->config_lock);
    struct partition_future future = p->future;
    io_lock_release(p->config_lock);
    return future;
}

struct status partition_replace(struct partition *p, struct log_future *future, const char *log_dir,
                                struct write_budget *budget, char **ret_old_directory)
{
    assert(atomic_load(&p->turn));
    char *directory = directory_in(p, log_dir, p->index);
    struct status s = log_future_replace(future, directory, unflushed_of(budget), ret_old_directory);
    if (!status_is_ok(s)) {
        mem_free(directory);
        partition_take_offline(p, s);
        return s;
    }
    mem_free(p->directory);
    p->directory = directory;
    atomic_store(&p->budget, budget);
    atomic_store(&p->log_dir, log_dir);
    partition_future_set(p, NULL);
    return STATUS_OK;
}

void partition_take_offline(struct partition *p, struct status why)
{
    if (!atomic_exchange(&p->offline, true))
        LOG(LOG_ERROR, "replica", "partition %s-%d goes offline: %s: %s; its data is left as it is", p->topic,
            (int)p->index, why.what, strerror(why.error));
    partition_wake_all(p);
}

const struct log_open_options *partition_open_options(const struct partition *p)
{
    return &p->open_options;
}

const char *partition_topic(const struct partition *p)
{
    return p->topic;
}

struct uuid partition_topic_id(const struct partition *p)
{
    return p->topic_id;
}

int32_t partition_index(const struct partition *p)
{
    return p->index;
}

const char *partition_log_dir(const struct partition *p)
{
    return p->log_dir;
}

bool partition_is_internal(const struct partition *p)
{
    return p->internal;
}

struct log *partition_log(const struct partition *p)
{
    return atomic_load(&p->log);
}

struct status partition_duty_set(struct partition *p, const struct partition_duty *duty)
{
    assert(duty->isr_count >= 0);
    atomic_store(&p->isr_count, duty->isr_count);
    atomic_store(&p->leader_epoch, duty->leader_epoch);
    atomic_store(&p->leader, duty->leader);
    struct log *log = atomic_load(&p->log);
    if (log && partition_is_leader(p) && duty->leader_epoch > log_epoch_latest(log))
        TRY(log_epoch_begin(log, duty->leader_epoch));
    partition__high_watermark_advance(p);
    partition_wake_all(p);
    return STATUS_OK;
}

int32_t partition_leader(const struct partition *p)
{
    return atomic_load(&p->leader);
}

int32_t partition_leader_epoch(const struct partition *p)
{
    return atomic_load(&p->leader_epoch);
}

bool partition_is_leader(const struct partition *p)
{
    return atomic_load(&p->leader) == p->options->node_id;
}

int32_t partition_isr_count(const struct partition *p)
{
    return atomic_load(&p->isr_count);
}

void partition_retire(struct partition *p)
{
    atomic_store(&p->retired, true);
    partition_wake_all(p);
}

bool partition_is_retired(const struct partition *p)
{
    return atomic_load(&p->retired);
}

bool partition_is_offline(const struct partition *p)
{
    struct log *log = atomic_load(&p->log);
    return atomic_load(&p->offline) || (log && log_is_offline(log));
}

void partition_config_set(struct partition *p, const struct partition_config *config)
{
    io_lock_take(p->config_lock);
    p->config = *config;
    atomic_store(&p->flush_messages, config->flush_messages);
    atomic_fetch_add(&p->config_version, 1);
    io_lock_release(p->config_lock);
}

uint64_t partition_config_version(const struct partition *p)
{
    return atomic_load(&p->config_version);
}

struct partition_config partition_config_get(struct partition *p)
{
    io_lock_take(p->config_lock);
    struct partition_config copy = p->config;
    io_lock_release(p->config_lock);
    return copy;
}
