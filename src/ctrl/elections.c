// SPDX-License-Identifier: Apache-2.0
/* ctrl/elections.c - elections that somebody asks for, and reassignments of a cluster of one node (KIP-183, 460, 455).
 *
 * A preferred election wants the first replica as the leader, an unclean one wants any leader where there is none, at the
 * price of records. Where the leader is the wanted one already, nothing is done and that is told. Partitions are judged one
 * by one; what changes is committed together.
 *
 * This version serves replicas on this node alone: a partition may be assigned to where it is, and to nowhere else.
 */
#include "ctrl/ctrl__.h"

/* ---- elections */
static bool is_needed(enum ctrl_election_type type, const struct meta_partition *partition)
{
    if (type == CTRL_ELECT_UNCLEAN)
        return partition->leader < 0;
    return partition->leader != partition->replicas[0];
}

static void refuse(struct ctrl_result *result, int16_t error, const char *message)
{
    ctrl__refuse(result, error, slice_str(message));
}

static void elect(const struct ctrl__election *election, enum ctrl_election_type type, const struct meta_topic *topic,
                  int32_t index, struct ctrl__records *records, struct ctrl_result *result)
{
    if (!is_needed(type, meta_topic_partition(topic, index)))
        refuse(result, KAFKA_ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.");
    else if (ctrl__elect_one(election, topic, index, records))
        return;
    else if (type == CTRL_ELECT_PREFERRED)
        refuse(result, KAFKA_PREFERRED_LEADER_NOT_AVAILABLE, "The preferred leader was not available.");
    else
        refuse(result, KAFKA_ELIGIBLE_LEADERS_NOT_AVAILABLE, "Eligible topic partition leaders are not available.");
}

static void ref_elect(const struct ctrl__election *election, enum ctrl_election_type type,
                      const struct ctrl_election_ref *ref, struct arena *arena, struct ctrl__records *records,
                      struct ctrl_result *result)
{
    const struct meta_topic *topic = meta_topic_by_name(election->image, ref->topic);
    int size = (int)ref->topic.size;
    const char *name = (const char *)ref->topic.data;
    if (!topic)
        ctrl__refuse(result, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                     arena_printf(arena, "No such topic as %.*s", size, name));
    else if (!meta_topic_partition(topic, ref->partition))
        ctrl__refuse(result, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                     arena_printf(arena, "No such partition as %.*s-%d", size, name, (int)ref->partition));
    else
        elect(election, type, topic, ref->partition, records, result);
}

struct status ctrl_elect_leaders(struct ctrl *ctrl, enum ctrl_election_type type,
                                 const struct ctrl_election_ref *partitions, int32_t count, struct arena *arena,
                                 int64_t now_ms, struct ctrl_result *results)
{
    struct ctrl__election election = ctrl__election_of(ctrl);
    struct ctrl__records records CLEANUP(ctrl__records_free);
    ctrl__records_init(&records);
    election.any_live = type == CTRL_ELECT_UNCLEAN;
    election.prefer_first = type == CTRL_ELECT_PREFERRED;
    for (int32_t i = 0; i < count; i++) {
        results[i] = (struct ctrl_result){0};
        ref_elect(&election, type, &partitions[i], arena, &records, &results[i]);
    }
    return ctrl__commit(ctrl, &records, now_ms);
}

/* ---- reassignments */
static bool is_where_it_is(const struct meta_partition *partition, const int32_t *replicas, int32_t count)
{
    return partition->replica_count == count &&
           memcmp(partition->replicas, replicas, (size_t)count * sizeof *replicas) == 0;
}

static bool is_under_way(const struct meta_partition *partition)
{
    return partition->adding_count > 0 || partition->removing_count > 0;
}

void ctrl_check_reassignment(const struct meta_image *image, const struct ctrl_election_ref *ref,
                             const int32_t *replicas, int32_t replica_count, struct arena *arena,
                             struct ctrl_result *ret_result)
{
    const struct meta_topic *topic = meta_topic_by_name(image, ref->topic);
    const struct meta_partition *partition = topic ? meta_topic_partition(topic, ref->partition) : NULL;
    struct ctrl_assignment assignment = {ref->partition, replicas, replica_count};
    int size = (int)ref->topic.size;
    const char *name = (const char *)ref->topic.data;
    *ret_result = (struct ctrl_result){0};
    if (!topic)
        ctrl__refuse(ret_result, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                     arena_printf(arena, "Unable to find a topic named %.*s.", size, name));
    else if (!partition)
        ctrl__refuse(ret_result, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                     arena_printf(arena, "Unable to find partition %.*s:%d.", size, name, (int)ref->partition));
    else if (replica_count < 0 && !is_under_way(partition))
        ctrl__refuse(ret_result, KAFKA_NO_REASSIGNMENT_IN_PROGRESS, SLICE_NULL);
    else if (replica_count < 0 || (ctrl__assignment_check(image, &assignment, -1, arena, ret_result) &&
                                   !is_where_it_is(partition, replicas, replica_count)))
        refuse(ret_result, KAFKA_INVALID_REPLICA_ASSIGNMENT, "This version serves replicas on one node only.");
}
