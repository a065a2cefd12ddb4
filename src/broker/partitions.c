// SPDX-License-Identifier: Apache-2.0
/* broker/partitions.c - which partitions this broker has: one table under a lock, and each reactor's own copy of what it
 * uses, so that the hot path takes no lock.
 *
 * A reactor's entry is thrown away as soon as its partition is retired; a topic of the same name that is made later has
 * another id and so another entry.
 */
#include "broker/broker__.h"

uint64_t broker__partition_hash(struct uuid topic_id, int32_t index)
{
    uint64_t halves[2];
    memcpy(halves, topic_id.bytes, sizeof halves);
    return hash_u64(halves[0] ^ hash_u64(halves[1] + (uint64_t)(uint32_t)index));
}

static bool is_key(const struct partition *p, struct uuid topic_id, int32_t index)
{
    return partition_index(p) == index && uuid_equal(partition_topic_id(p), topic_id);
}

void broker__partitions_init(struct broker *broker)
{
    hash_init(&broker->partitions);
    broker->partitions_lock = io_lock_create();
}

void broker__partitions_free(struct broker *broker)
{
    for (struct hash_node *node; (node = hash_iterate(&broker->partitions, NULL));) {
        struct partition_entry *entry = CONTAINER_OF(node, struct partition_entry, in_partitions);
        hash_remove(&broker->partitions, node);
        partition_unref(entry->partition);
        mem_free(entry);
    }
    hash_free(&broker->partitions);
    io_lock_destroy(broker->partitions_lock);
}

static struct partition_entry *entry_find(struct broker *broker, struct uuid topic_id, int32_t index)
{
    struct hash_node *node = hash_first(&broker->partitions, broker__partition_hash(topic_id, index));
    for (; node; node = hash_next(node)) {
        struct partition_entry *entry = CONTAINER_OF(node, struct partition_entry, in_partitions);
        if (is_key(entry->partition, topic_id, index))
            return entry;
    }
    return NULL;
}

void broker__partition_add(struct broker *broker, struct partition *partition)
{
    struct partition_entry *entry = mem_zalloc(sizeof *entry);
    entry->partition = partition;
    entry->fault_is_known = partition_is_offline(partition);
    struct uuid id = partition_topic_id(partition);
    int32_t index = partition_index(partition);
    io_lock_take(broker->partitions_lock);
    assert(!entry_find(broker, id, index));
    hash_insert(&broker->partitions, &entry->in_partitions, broker__partition_hash(id, index));
    io_lock_release(broker->partitions_lock);
}

struct partition *broker__partition_remove(struct broker *broker, struct uuid topic_id, int32_t index)
{
    io_lock_take(broker->partitions_lock);
    struct partition_entry *entry = entry_find(broker, topic_id, index);
    if (entry)
        hash_remove(&broker->partitions, &entry->in_partitions);
    io_lock_release(broker->partitions_lock);
    struct partition *partition = entry ? entry->partition : NULL;
    mem_free(entry);
    return partition;
}

struct partition *broker__partition_get(struct broker *broker, struct uuid topic_id, int32_t index)
{
    io_lock_take(broker->partitions_lock);
    struct partition_entry *entry = entry_find(broker, topic_id, index);
    struct partition *partition = entry ? entry->partition : NULL;
    if (partition)
        partition_ref(partition);
    io_lock_release(broker->partitions_lock);
    return partition;
}

void broker__partitions_each(struct broker *broker, void (*each)(void *context, struct partition *p), void *context)
{
    io_lock_take(broker->partitions_lock);
    size_t count = 0;
    struct partition **all = mem_alloc((broker->partitions.count + 1) * sizeof *all);
    for (struct hash_node *node = NULL; (node = hash_iterate(&broker->partitions, node));) {
        all[count] = CONTAINER_OF(node, struct partition_entry, in_partitions)->partition;
        partition_ref(all[count++]);
    }
    io_lock_release(broker->partitions_lock);
    for (size_t i = 0; i < count; i++) {
        each(context, all[i]);
        partition_unref(all[i]);
    }
    mem_free(all);
}

char *broker__partitions_fault(struct broker *broker)
{
    char *log_dir = NULL;
    io_lock_take(broker->partitions_lock);
    for (struct hash_node *node = NULL; (node = hash_iterate(&broker->partitions, node));) {
        struct partition_entry *entry = CONTAINER_OF(node, struct partition_entry, in_partitions);
        if (entry->fault_is_known || !partition_is_offline(entry->partition))
            continue;
        if (!log_dir)
            log_dir = mem_strdup(partition_log_dir(entry->partition));
        entry->fault_is_known = strcmp(log_dir, partition_log_dir(entry->partition)) == 0;
    }
    io_lock_release(broker->partitions_lock);
    return log_dir;
}

static void offline_if_in(void *context, struct partition *p)
{
    if (strcmp(partition_log_dir(p), context) == 0 && !partition_is_offline(p))
        partition_take_offline(p, STATUS(EIO, "its log directory has failed"));
}

void broker__partitions_offline(struct broker *broker, const char *log_dir)
{
    broker__partitions_each(broker, offline_if_in, (void *)(uintptr_t)log_dir);
}

/* ---- a reactor's own table */
static struct partition_use *use_find(struct reactor *reactor, struct uuid topic_id, int32_t index)
{
    struct hash_node *node = hash_first(&reactor->partitions, broker__partition_hash(topic_id, index));
    for (; node; node = hash_next(node)) {
        struct partition_use *use = CONTAINER_OF(node, struct partition_use, in_partitions);
        if (is_key(use->partition, topic_id, index))
            return use;
    }
    return NULL;
}

static void use_free(struct reactor *reactor, struct partition_use *use)
{
    hash_remove(&reactor->partitions, &use->in_partitions);
    list_remove(&use->in_touched);
    partition_unref(use->partition);
    mem_free(use);
}

void broker__partition_uses_sweep(struct reactor *reactor)
{
    uint64_t retired = atomic_load(&reactor->broker->retired_count);
    if (retired == reactor->retired_seen)
        return;
    reactor->retired_seen = retired;
    struct hash_node *node = hash_iterate(&reactor->partitions, NULL);
    while (node) {
        struct partition_use *use = CONTAINER_OF(node, struct partition_use, in_partitions);
        node = hash_iterate(&reactor->partitions, node);
        if (partition_is_retired(use->partition) && !use->is_touched)
            use_free(reactor, use);
    }
}

void broker__partition_uses_free(struct reactor *reactor)
{
    for (struct hash_node *node; (node = hash_iterate(&reactor->partitions, NULL));)
        use_free(reactor, CONTAINER_OF(node, struct partition_use, in_partitions));
    hash_free(&reactor->partitions);
}

struct partition_use *reactor_partition(struct reactor *reactor, struct uuid topic_id, int32_t index)
{
    struct partition_use *use = use_find(reactor, topic_id, index);
    if (use && partition_is_retired(use->partition) && !use->is_touched) {
        use_free(reactor, use);
        use = NULL;
    }
    if (!use) {
        struct partition *partition = broker__partition_get(reactor->broker, topic_id, index);
        if (!partition)
            return NULL;
        use = mem_zalloc(sizeof *use);
        use->partition = partition;
        list_init(&use->in_touched);
        hash_insert(&reactor->partitions, &use->in_partitions, broker__partition_hash(topic_id, index));
    }
    uint64_t version = partition_config_version(use->partition);
    if (use->config_version != version) {
        use->config = partition_config_get(use->partition);
        use->config_version = version;
    }
    return use;
}

int16_t request__partition(const struct request *request, const struct meta_topic *topic, int32_t index,
                           struct partition_use **ret_use)
{
    if (!topic || index < 0 || index >= topic->partition_count)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    struct partition_use *use = reactor_partition(request->home, topic->id, index);
    if (!use)
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    *ret_use = use;
    return KAFKA_NONE;
}

void reactor_append(struct reactor *reactor, struct partition_use *use, struct append *append)
{
    append->loop = reactor->number;
    append->now_ms = reactor->wall_ms;
    partition_enqueue(use->partition, append);
    if (use->is_touched)
        return;
    use->is_touched = true;
    list_push_back(&reactor->touched, &use->in_touched);
}

/* ---- for people */
struct telling {
    void (*each)(void *context, const struct broker_partition *partition);
    void *context;
};

static void tell(void *context, struct partition *p)
{
    const struct telling *telling = context;
    const struct log *log = partition_log(p);
    const struct partition_traffic *traffic = partition_traffic(p);
    struct broker_partition told = {
        .topic = partition_topic(p),
        .index = partition_index(p),
        .leader = partition_leader(p),
        .leader_epoch = partition_leader_epoch(p),
        .isr_count = partition_isr_count(p),
        .isr_min = partition_config_get(p).min_insync_replicas,
        .start_offset = partition_start_offset(p),
        .end_offset = partition_end_offset(p),
        .high_watermark = partition_high_watermark(p),
        .last_stable_offset = partition_last_stable_offset(p),
        .size_bytes = log ? log_size_bytes(log) : 0,
        .messages_in = atomic_load_explicit(&traffic->messages_in, memory_order_relaxed),
        .bytes_in = atomic_load_explicit(&traffic->bytes_in, memory_order_relaxed),
        .bytes_out = atomic_load_explicit(&traffic->bytes_out, memory_order_relaxed),
        .produce_failures = atomic_load_explicit(&traffic->produce_failures, memory_order_relaxed),
        .fetch_failures = atomic_load_explicit(&traffic->fetch_failures, memory_order_relaxed),
        .is_offline = partition_is_offline(p),
        .is_internal = partition_is_internal(p),
    };
    telling->each(telling->context, &told);
}

void broker_partitions_each(struct broker *broker,
                            void (*each)(void *context, const struct broker_partition *partition), void *context)
{
    struct telling telling = {each, context};
    broker__partitions_each(broker, tell, &telling);
}
