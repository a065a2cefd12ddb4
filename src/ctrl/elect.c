// SPDX-License-Identifier: Apache-2.0
/* ctrl/elect.c - what becomes of a partition when a broker comes or goes: ISR, eligible leader replicas (ELR), leader.
 *
 * As Apache Kafka's controller decides it (KIP-966):
 *
 *   ISR     loses the broker that goes. Below min.insync.replicas its members join the ELR; without ELR the last one stays
 *   leader  stays if it may; else the first replica of the ISR, or of the ELR when the ISR is empty; else, when ISR and ELR
 *           are empty, the last known leader; else, where unclean election is allowed, any live replica
 *   unclean the last two: the ISR is the new leader alone, in recovery
 *
 * "May lead": unfenced (or just being unfenced), not leaving, and its directory is online. A record that names a leader
 * raises the leader epoch when it is applied, so partitions that nothing happens to get none.
 */
#include "ctrl/ctrl__.h"

enum {
    SHRINK_RAISES_BELOW = 12, // metadata.version 3.6-IV0: a smaller ISR alone raises the leader epoch no more
    ARENA_MAX_BYTES = 64 << 20,
    RECOVERING = 1,
    NO_CHANGE = -2,
};

struct ids {
    int32_t *items;
    int32_t count;
};

struct turn { // of one partition
    const struct ctrl__election *election;
    const struct meta_partition *partition;
    struct arena *arena;
    int32_t min_isr;
    bool elr_on, unclean_allowed;
    struct ids isr, elr;
    struct partition_change_record record;
};

static bool has(const int32_t *items, int32_t count, int32_t id)
{
    for (int32_t i = 0; i < count; i++)
        if (items[i] == id)
            return true;
    return false;
}

static bool equal(struct ids ids, const int32_t *items, int32_t count)
{
    return ids.count == count && (count == 0 || memcmp(ids.items, items, (size_t)count * sizeof *items) == 0);
}

static struct ids ids_make(struct arena *arena, int64_t capacity)
{
    struct ids ids = {.items = arena_array(arena, (size_t)capacity, sizeof(int32_t))};
    assert(ids.items);
    return ids;
}

/* In ascending order. */
static void ids_insert(struct ids *ids, int32_t id)
{
    if (has(ids->items, ids->count, id))
        return;
    int32_t at = ids->count++;
    for (; at > 0 && ids->items[at - 1] > id; at--)
        ids->items[at] = ids->items[at - 1];
    ids->items[at] = id;
}

static void ids_remove(struct ids *ids, int32_t id)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < ids->count; i++)
        if (ids->items[i] != id)
            ids->items[kept++] = ids->items[i];
    ids->count = kept;
}

/* ---- who may lead */
bool ctrl__broker_is_active(const struct meta_broker *broker)
{
    return broker && !broker->fenced && !broker->in_controlled_shutdown;
}

/* Kafka's reserved ids: 0 not known yet, 1 lost, 2 migrating. */
static bool directory_is_online(const struct meta_broker *broker, struct uuid directory)
{
    static const struct uuid LOST = {{[15] = 1}}, MIGRATING = {{[15] = 2}};
    if (uuid_equal(directory, LOST))
        return false;
    if (uuid_is_zero(directory) || uuid_equal(directory, MIGRATING) || broker->directory_count == 0)
        return true;
    for (int32_t i = 0; i < broker->directory_count; i++)
        if (uuid_equal(broker->directories[i], directory))
            return true;
    return false;
}

static bool may_lead(const struct turn *turn, int32_t id)
{
    const struct ctrl__election *election = turn->election;
    const struct meta_broker *broker = id >= 0 ? meta_broker(election->image, id) : NULL;
    if (!broker || id == election->removed || id == election->unclean)
        return false;
    return (id == election->added || ctrl__broker_is_active(broker)) &&
           directory_is_online(broker, meta_partition_directory(turn->partition, id));
}

static bool is_eligible(const struct turn *turn, int32_t id)
{
    bool is_member =
        turn->isr.count > 0 ? has(turn->isr.items, turn->isr.count, id) : has(turn->elr.items, turn->elr.count, id);
    return is_member && may_lead(turn, id);
}

/* ---- the steps, in order */
static void isr_shrink(struct turn *turn)
{
    const struct meta_partition *partition = turn->partition;
    turn->isr = ids_make(turn->arena, partition->isr_count);
    for (int32_t i = 0; i < partition->isr_count; i++)
        if (partition->isr[i] != turn->election->removed && partition->isr[i] != turn->election->unclean)
            turn->isr.items[turn->isr.count++] = partition->isr[i];
}

static void elr_fill(struct turn *turn)
{
    const struct meta_partition *partition = turn->partition;
    turn->elr = ids_make(turn->arena, (int64_t)partition->elr_count + partition->isr_count);
    if (!turn->elr_on || turn->isr.count >= turn->min_isr)
        return;
    for (int32_t i = 0; i < partition->elr_count; i++)
        ids_insert(&turn->elr, partition->elr[i]);
    for (int32_t i = 0; i < partition->isr_count; i++)
        ids_insert(&turn->elr, partition->isr[i]);
    for (int32_t i = 0; i < turn->isr.count; i++)
        ids_remove(&turn->elr, turn->isr.items[i]);
    ids_remove(&turn->elr, turn->election->unclean);
}

static bool last_known_may_lead(const struct turn *turn)
{
    const struct meta_partition *partition = turn->partition;
    return turn->elr_on && turn->isr.count == 0 && turn->elr.count == 0 && partition->last_known_elr_count == 1 &&
           may_lead(turn, partition->last_known_elr[0]);
}

static int32_t elect(const struct turn *turn, bool *ret_unclean)
{
    const struct meta_partition *partition = turn->partition;
    *ret_unclean = false;
    if (turn->election->prefer_first && is_eligible(turn, partition->replicas[0]))
        return partition->replicas[0];
    if (is_eligible(turn, partition->leader))
        return partition->leader;
    for (int32_t i = 0; i < partition->replica_count; i++)
        if (is_eligible(turn, partition->replicas[i]))
            return partition->replicas[i];
    *ret_unclean = true;
    if (last_known_may_lead(turn))
        return partition->last_known_elr[0];
    for (int32_t i = 0; turn->unclean_allowed && i < partition->replica_count; i++)
        if (may_lead(turn, partition->replicas[i]))
            return partition->replicas[i];
    return -1;
}

static void isr_set(struct turn *turn, int32_t id)
{
    turn->isr = ids_make(turn->arena, 1);
    turn->isr.items[turn->isr.count++] = id;
}

static void leader_change(struct turn *turn)
{
    bool is_unclean;
    int32_t leader = elect(turn, &is_unclean);
    if (leader == turn->partition->leader)
        return;
    turn->record.leader = leader;
    if (leader < 0)
        return;
    if (has(turn->elr.items, turn->elr.count, leader)) {
        isr_set(turn, leader);
        ids_remove(&turn->elr, leader);
    } else if (is_unclean) {
        atomic_fetch_add(turn->election->unclean_elections, 1);
        isr_set(turn, leader);
        turn->elr.count = 0;
        if (turn->partition->recovery_state != RECOVERING)
            turn->record.leader_recovery_state = RECOVERING;
    }
}

static void isr_and_elr_change(struct turn *turn)
{
    const struct meta_partition *partition = turn->partition;
    struct partition_change_record *record = &turn->record;
    if (!equal(turn->elr, partition->elr, partition->elr_count)) {
        record->eligible_leader_replicas = turn->elr.items;
        record->eligible_leader_replicas_count = turn->elr.count;
    }
    if ((turn->isr.count > 0 || turn->elr_on) && !equal(turn->isr, partition->isr, partition->isr_count)) {
        record->isr = turn->isr.items;
        record->isr_count = turn->isr.count;
    }
    bool shrinks = record->isr_count >= 0 && record->isr_count < partition->isr_count;
    if (shrinks && record->leader == NO_CHANGE && turn->election->image->metadata_version < SHRINK_RAISES_BELOW)
        record->leader = partition->leader;
}

/* The last leader is remembered while there is none. */
static void last_known_change(struct turn *turn)
{
    const struct meta_partition *partition = turn->partition;
    struct partition_change_record *record = &turn->record;
    if (!turn->elr_on)
        return;
    bool is_remembered = partition->last_known_elr_count == 1 && partition->last_known_elr[0] == partition->leader;
    if (record->isr_count == 0 && partition->leader >= 0 && !is_remembered) {
        struct ids last = ids_make(turn->arena, 1);
        last.items[last.count++] = partition->leader;
        record->last_known_elr = last.items;
        record->last_known_elr_count = last.count;
    } else if (partition->last_known_elr_count > 0 &&
               (record->leader >= 0 || (partition->leader >= 0 && record->leader == NO_CHANGE))) {
        record->last_known_elr_count = 0;
    }
}

static bool changes_something(const struct partition_change_record *record)
{
    return record->leader != NO_CHANGE || record->isr_count >= 0 || record->eligible_leader_replicas_count >= 0 ||
           record->last_known_elr_count >= 0;
}

static void partition_turn(struct turn *turn, struct uuid topic_id, int32_t index, struct ctrl__records *records)
{
    partition_change_record_init(&turn->record);
    assert(turn->record.leader == NO_CHANGE);
    turn->record.topic_id = topic_id;
    turn->record.partition_id = index;
    isr_shrink(turn);
    elr_fill(turn);
    leader_change(turn);
    isr_and_elr_change(turn);
    last_known_change(turn);
    if (changes_something(&turn->record))
        ctrl__records_add(records, META_PARTITION_CHANGE,
                          meta_record_version(META_PARTITION_CHANGE, turn->election->image->metadata_version),
                          &turn->record);
}

/* ---- all partitions of the image */
static void topic_config_take(struct turn *turn, const struct meta_topic *topic)
{
    const struct ctrl__election *election = turn->election;
    const struct meta_partition *first = meta_topic_partition(topic, 0);
    struct meta_topic_config config;
    meta_topic_config(election->image, election->settings, election->controller_id, topic->name, &config);
    turn->min_isr = (int32_t)min_i64(config.min_insync_replicas, first ? first->replica_count : INT32_MAX);
    turn->unclean_allowed = config.unclean_election || election->any_live;
}

bool ctrl__elect_one(const struct ctrl__election *election, const struct meta_topic *topic, int32_t index,
                     struct ctrl__records *records)
{
    struct arena arena;
    struct turn turn = {.election = election, .arena = &arena, .elr_on = election->image->elr_version > 0};
    int32_t before = records->count;
    arena_init(&arena, 4096, ARENA_MAX_BYTES);
    turn.partition = meta_topic_partition(topic, index);
    topic_config_take(&turn, topic);
    partition_turn(&turn, topic->id, index, records);
    arena_free(&arena);
    return records->count > before;
}

void ctrl__elect(const struct ctrl__election *election, ctrl__touches_fn *touches, const void *context,
                 struct ctrl__records *records)
{
    struct arena arena;
    struct meta_walk walk;
    const struct meta_topic *topic;
    struct turn turn = {.election = election, .arena = &arena, .elr_on = election->image->elr_version > 0};
    arena_init(&arena, 4096, ARENA_MAX_BYTES);
    meta_topics_begin(election->image, SLICE_NULL, &walk);
    while ((topic = meta_topics_next(&walk))) {
        bool has_config = false;
        for (int32_t i = 0; i < topic->partition_count; i++) {
            turn.partition = meta_topic_partition(topic, i);
            if (!turn.partition || !touches(context, turn.partition))
                continue;
            if (!has_config)
                topic_config_take(&turn, topic);
            has_config = true;
            arena_reset(&arena);
            partition_turn(&turn, topic->id, i, records);
        }
    }
    arena_free(&arena);
}
