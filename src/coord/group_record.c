// SPDX-License-Identifier: Apache-2.0
/* coord/group_record.c - a group's metadata as a record of __consumer_offsets, there and back.
 *
 * Keys begin with an int16 that is their kind: 2 is a classic group, 3 to 23 belong to newer protocols, whose groups
 * are kept by name and type only. Values begin with their version; version 3 is written, as by Kafka, 0 to 4 are read.
 * A replayed group is Empty or Stable: what a group was in the middle of is not recorded.
 */
#include "coord/coord__.h"

enum { KEY_GROUP_METADATA = 2, VALUE_VERSION = 3, VALUE_VERSION_MAX = 4, KEY_OVERHEAD_BYTES = 4 };

static void member_value(const struct member *member, bool next, struct group_metadata_value_member_metadata *ret)
{
    group_metadata_value_member_metadata_init(ret);
    ret->member_id = member->id;
    ret->group_instance_id = member->instance_id;
    ret->client_id = member->client_id;
    ret->client_host = member->client_host;
    ret->rebalance_timeout = member->rebalance_timeout_ms;
    ret->session_timeout = member->session_timeout_ms;
    struct slice metadata = coord__member_metadata(member, member->group->protocol);
    ret->subscription = slice_is_null(metadata) ? slice_of("", 0) : metadata;
    ret->assignment = next && !slice_is_null(member->next_assignment) ? member->next_assignment : member->assignment;
}

static void group_key(struct group *group, struct wire_writer *writer)
{
    struct group_metadata_key key = {.group = group->id};
    wire_write_i16(writer, KEY_GROUP_METADATA);
    group_metadata_key_write(writer, 0, &key);
}

static struct slice key_of(struct group *group)
{
    struct coord_shard *shard = group->shard;
    wire_writer_reset(&shard->writer, SIZE_MAX);
    group_key(group, &shard->writer);
    assert(!wire_writer_failed(&shard->writer));
    return arena_copy(&shard->scratch, wire_writer_bytes(&shard->writer));
}

uint64_t coord__emit_group(struct group *group, bool next)
{
    struct coord_shard *shard = group->shard;
    arena_reset(&shard->scratch);
    struct group_metadata_value value;
    group_metadata_value_init(&value);
    value.protocol_type = slice_is_null(group->protocol_type) ? slice_of("", 0) : group->protocol_type;
    value.generation = group->generation;
    value.protocol = group->protocol;
    value.leader = group->leader;
    value.current_state_timestamp = group->state_timestamp_ms;
    value.members = arena_array(&shard->scratch, (size_t)group->members_count, sizeof *value.members);
    LIST_EACH (node, &group->members)
        member_value(CONTAINER_OF(node, struct member, in_group), next, &value.members[value.members_count++]);
    struct slice key = key_of(group);
    wire_writer_reset(&shard->writer, SIZE_MAX);
    wire_write_i16(&shard->writer, VALUE_VERSION);
    group_metadata_value_write(&shard->writer, VALUE_VERSION, &value);
    struct slice bytes = wire_writer_bytes(&shard->writer);
    if (wire_writer_failed(&shard->writer) || !coord__reserve(shard, key.size + bytes.size))
        return 0;
    return coord__emit(shard, key, bytes);
}

uint64_t coord__emit_group_tombstone(struct group *group)
{
    arena_reset(&group->shard->scratch);
    struct slice key = key_of(group);
    bool fits = coord__reserve(group->shard, key.size);
    assert(fits); // an id is at most 32 KiB
    return coord__emit(group->shard, key, SLICE_NULL);
}

/* ---- replay */

static bool replay_member(struct group *group, const struct group_metadata_value *value,
                          const struct group_metadata_value_member_metadata *from)
{
    if (coord__member_find(group, from->member_id) || coord__member_of_instance(group, from->group_instance_id))
        return false;
    struct member *member = coord__member_new(group, from->member_id, from->group_instance_id);
    member->client_id = coord__own(from->client_id);
    member->client_host = coord__own(from->client_host);
    member->session_timeout_ms = from->session_timeout;
    member->rebalance_timeout_ms = from->rebalance_timeout == -1 ? from->session_timeout : from->rebalance_timeout;
    struct protocol protocol = {.name = slice_is_null(value->protocol) ? slice_of("", 0) : value->protocol,
                                .metadata = from->subscription};
    coord__member_set_protocols(member, &protocol, 1);
    coord__replace(&member->assignment, from->assignment);
    return true;
}

static bool replay_group(struct group *group, const struct group_metadata_value *value)
{
    while (!list_is_empty(&group->members))
        coord__member_remove(CONTAINER_OF(group->members.next, struct member, in_group));
    group->generation = value->generation;
    coord__replace(&group->protocol_type, value->protocol_type.size ? value->protocol_type : SLICE_NULL);
    coord__replace(&group->protocol, value->protocol);
    for (int32_t i = 0; i < value->members_count; i++) {
        if (!replay_member(group, value, &value->members[i]))
            return false;
    }
    coord__replace(&group->leader, value->leader);
    group->state = group->members_count > 0 ? GROUP_STABLE : GROUP_EMPTY; // replay knows the ends, not the ways
    group->previous_state = GROUP_EMPTY;
    group->state_timestamp_ms = value->current_state_timestamp;
    return true;
}

static void replay_removal(struct coord_shard *shard, struct slice id)
{
    struct group *group = coord__group_find(shard, id);
    if (!group)
        return;
    while (!list_is_empty(&group->members))
        coord__member_remove(CONTAINER_OF(group->members.next, struct member, in_group));
    group->state = group->state == GROUP_OPAQUE ? GROUP_OPAQUE : GROUP_EMPTY;
    coord__group_kill(group);
    coord__group_collect(group);
}

bool coord__apply_group(struct coord_shard *shard, int16_t key_version, struct wire_reader *key, struct slice value)
{
    assert(key_version == KEY_GROUP_METADATA && !shard->is_loaded);
    struct group_metadata_key name;
    struct group_metadata_value content;
    struct wire_reader reader;
    group_metadata_key_read(key, 0, &shard->scratch, &name);
    if (wire_reader_failed(key))
        return false;
    if (slice_is_null(value)) {
        struct group *group = coord__group_find(shard, name.group);
        if (coord__group_is_classic(group)) // a tombstone before a group's conversion must not remove what it became
            replay_removal(shard, name.group);
        return true;
    }
    wire_reader_init(&reader, value.data, value.size);
    int16_t version = wire_read_i16(&reader);
    if (wire_reader_failed(&reader) || version < 0 || version > VALUE_VERSION_MAX)
        return false;
    group_metadata_value_read(&reader, version, &shard->scratch, &content);
    if (wire_reader_failed(&reader))
        return false;
    struct group *group = coord__group_get(shard, name.group);
    if (group->state == GROUP_OPAQUE)
        coord__group_kill(group); // it was converted back
    if (group->state == GROUP_DEAD)
        coord__group_revive(group);
    return replay_group(group, &content);
}

static enum group_type type_of(int16_t key_version)
{
    if (key_version <= 8 || key_version == 16)
        return GROUP_CONSUMER;
    return key_version <= 15 ? GROUP_SHARE : GROUP_STREAMS;
}

static bool is_group_itself(int16_t key_version)
{
    return key_version == 3 || key_version == 11 || key_version == 17;
}

/* Every key of the newer kinds begins with the group's id. */
bool coord__apply_opaque(struct coord_shard *shard, int16_t key_version, struct wire_reader *key, struct slice value)
{
    struct slice id = wire_read_string(key, false, false);
    if (wire_reader_failed(key))
        return false;
    if (slice_is_null(value)) {
        struct group *known = coord__group_find(shard, id);
        if (is_group_itself(key_version) && known && known->state == GROUP_OPAQUE)
            replay_removal(shard, id);
        return true;
    }
    struct group *group = coord__group_get(shard, id);
    if (group->state == GROUP_OPAQUE)
        return true;
    if (group->state != GROUP_DEAD) {
        replay_removal(shard, id);
        group = coord__group_get(shard, id);
    }
    coord__group_move(group, GROUP_OPAQUE);
    group->type = type_of(key_version);
    shard->counts.groups++;
    return true;
}
