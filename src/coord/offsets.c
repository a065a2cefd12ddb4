// SPDX-License-Identifier: Apache-2.0
/* coord/offsets.c - committed offsets: OffsetCommit (v0-10), and the record that carries each.
 *
 * A commit changes nothing here until its record is committed; then, and in replay, one function applies the record.
 * Meanwhile the offset's place counts the records on their way (`in_flight`), so that deleting a group also deletes what
 * is still being written. Records of one partition commit in order, so the last commit wins, live as in replay.
 */
#include "coord/coord__.h"

enum {
    KEY_OFFSET_COMMIT = 1,
    VALUE_VERSION_EXPIRY = 1, // with an explicit expiry (OffsetCommit v2-4 with a retention time)
    VALUE_VERSION = 3,
    VALUE_VERSION_TOPIC_ID = 4,   // and the newest known
    VERSION_COMMIT_TIMESTAMP = 1, // of the request: the only one that tells a time
};

static uint64_t hash_of(struct slice topic, int32_t partition)
{
    return hash_bytes(topic) ^ hash_u64((uint64_t)(uint32_t)partition);
}

struct offset *coord__offset_find(const struct group *group, struct slice topic, int32_t partition)
{
    uint64_t hash = hash_of(topic, partition);
    for (struct hash_node *node = hash_first(&group->offsets, hash); node; node = hash_next(node)) {
        struct offset *offset = CONTAINER_OF(node, struct offset, node);
        if (offset->partition == partition && slice_equal(offset->topic, topic))
            return offset;
    }
    return NULL;
}

/* Of an offset without metadata. */
static int64_t place_bytes(struct slice topic)
{
    return COORD_OFFSET_BYTES + (int64_t)topic.size;
}

/* What a group's first offset brings, and the last one takes along. */
static int64_t group_bytes(const struct group *group)
{
    return group->offsets.count == 0 ? COORD_GROUP_BYTES + (int64_t)group->id.size : 0;
}

static struct offset *offset_get(struct group *group, struct slice topic, int32_t partition)
{
    struct offset *offset = coord__offset_find(group, topic, partition);
    if (offset)
        return offset;
    group->shard->counts.offset_bytes += place_bytes(topic) + group_bytes(group);
    offset = mem_zalloc(sizeof *offset);
    offset->topic = coord__own(topic);
    offset->partition = partition;
    hash_insert(&group->offsets, &offset->node, hash_of(topic, partition));
    return offset;
}

static void offset_free(struct group *group, struct offset *offset)
{
    if (offset->has_value)
        group->shard->counts.offsets--;
    hash_remove(&group->offsets, &offset->node);
    group->shard->counts.offset_bytes -=
        place_bytes(offset->topic) + group_bytes(group) + (int64_t)offset->metadata.size;
    coord__disown(&offset->topic);
    coord__disown(&offset->metadata);
    mem_free(offset);
}

void coord__offsets_free(struct group *group)
{
    for (struct hash_node *node; (node = hash_iterate(&group->offsets, NULL));)
        offset_free(group, CONTAINER_OF(node, struct offset, node));
}

/* ---- records in */

static void set_value(struct group *group, struct offset *offset, const struct offset_commit_value *value)
{
    if (!offset->has_value)
        group->shard->counts.offsets++;
    offset->has_value = true;
    offset->offset = value->offset;
    offset->leader_epoch = value->leader_epoch;
    offset->commit_timestamp_ms = value->commit_timestamp;
    offset->expire_timestamp_ms = value->expire_timestamp;
    offset->topic_id = value->topic_id;
    group->shard->counts.offset_bytes += (int64_t)value->metadata.size - (int64_t)offset->metadata.size;
    coord__replace(&offset->metadata, value->metadata);
}

static void clear_value(struct group *group, struct offset *offset)
{
    if (offset->has_value)
        group->shard->counts.offsets--;
    offset->has_value = false;
    if (offset->in_flight == 0)
        offset_free(group, offset);
}

static bool read_value(struct slice bytes, struct arena *arena, struct offset_commit_value *ret)
{
    struct wire_reader reader;
    wire_reader_init(&reader, bytes.data, bytes.size);
    int16_t version = wire_read_i16(&reader);
    if (wire_reader_failed(&reader) || version < 0 || version > VALUE_VERSION_TOPIC_ID)
        return false;
    offset_commit_value_read(&reader, version, arena, ret);
    return !wire_reader_failed(&reader);
}

/* Versions 0 and 1 of the key are alike. Live, the group was dealt with when the record was written. */
bool coord__apply_offset(struct coord_shard *shard, struct wire_reader *reader, struct slice bytes, bool is_live)
{
    struct offset_commit_key key;
    struct offset_commit_value value;
    offset_commit_key_read(reader, 0, &shard->scratch, &key);
    bool is_tombstone = slice_is_null(bytes);
    if (wire_reader_failed(reader) || (!is_tombstone && !read_value(bytes, &shard->scratch, &value)))
        return false;
    struct group *group = coord__group_place(shard, key.group);
    struct offset *offset = group ? coord__offset_find(group, key.topic, key.partition) : NULL;
    if (is_live) {
        assert(offset && offset->in_flight > 0);
        offset->in_flight--;
    }
    if (!is_tombstone) {
        group = coord__group_get(shard, key.group);
        if (!is_live && group->state == GROUP_DEAD)
            coord__group_revive(group); // offsets without members: a group all the same
        set_value(group, offset_get(group, key.topic, key.partition), &value);
    } else if (offset) {
        clear_value(group, offset);
        coord__group_collect(group);
    }
    return true;
}

/* ---- records out */

static struct slice write_key(const struct group *group, struct slice topic, int32_t partition)
{
    struct coord_shard *shard = group->shard;
    struct offset_commit_key key = {.group = group->id, .topic = topic, .partition = partition};
    wire_writer_reset(&shard->writer, SIZE_MAX);
    wire_write_i16(&shard->writer, KEY_OFFSET_COMMIT);
    offset_commit_key_write(&shard->writer, 0, &key);
    if (wire_writer_failed(&shard->writer))
        return SLICE_NULL;
    return arena_copy(&shard->scratch, wire_writer_bytes(&shard->writer));
}

static struct slice write_value(struct coord_shard *shard, const struct offset_commit_value *value)
{
    int16_t version = value->expire_timestamp != -1    ? VALUE_VERSION_EXPIRY
                      : !uuid_is_zero(value->topic_id) ? VALUE_VERSION_TOPIC_ID
                                                       : VALUE_VERSION;
    wire_writer_reset(&shard->writer, SIZE_MAX);
    wire_write_i16(&shard->writer, version);
    offset_commit_value_write(&shard->writer, version, value);
    if (wire_writer_failed(&shard->writer))
        return SLICE_NULL;
    return arena_copy(&shard->scratch, wire_writer_bytes(&shard->writer));
}

uint64_t coord__emit_offset_tombstone(struct group *group, struct offset *offset)
{
    arena_reset(&group->shard->scratch);
    struct slice key = write_key(group, offset->topic, offset->partition);
    bool fits = !slice_is_null(key) && coord__reserve(group->shard, key.size);
    assert(fits); // it was written with a value before
    offset->in_flight++;
    return coord__emit(group->shard, key, SLICE_NULL);
}

/* ---- OffsetCommit */

typedef struct offset_commit_request_offset_commit_request_topic commit_topic;
typedef struct offset_commit_request_offset_commit_request_partition commit_partition;

static int16_t check_member(struct group *group, const struct offset_commit_request *request)
{
    bool has_generation = request->generation_id_or_member_epoch >= 0;
    if (!has_generation && group->state == GROUP_EMPTY)
        return KAFKA_NONE; // an administrator, or a consumer that assigns itself
    if (!has_generation && request->member_id.size == 0 && slice_is_null(request->group_instance_id))
        return KAFKA_UNKNOWN_MEMBER_ID; // the same, but the group has members
    struct member *member;
    int16_t error = coord__member_check(group, request->member_id, request->group_instance_id, &member);
    if (error != KAFKA_NONE)
        return error;
    if (request->generation_id_or_member_epoch != group->generation)
        return KAFKA_ILLEGAL_GENERATION;
    if (group->state == GROUP_COMPLETING_REBALANCE)
        return KAFKA_REBALANCE_IN_PROGRESS;
    coord__session_start(member, member->session_timeout_ms); // a commit is a sign of life
    return KAFKA_NONE;
}

static int16_t check(const struct coord_call *call, struct group *group)
{
    const struct offset_commit_request *request = call->request;
    if (slice_is_null(request->group_id) || request->group_id.size > INT16_MAX)
        return KAFKA_INVALID_GROUP_ID;
    if (group && group->state == GROUP_OPAQUE)
        return KAFKA_UNKNOWN_MEMBER_ID; // its members are of a protocol not served here
    if (group)
        return check_member(group, request);
    if (request->generation_id_or_member_epoch < 0)
        return KAFKA_NONE;
    return call->version >= 9 ? KAFKA_GROUP_ID_NOT_FOUND : KAFKA_ILLEGAL_GENERATION;
}

/* As Java counts: a code point beyond the basic plane is two. */
static size_t utf16_length(struct slice text)
{
    size_t length = 0;
    for (size_t i = 0; i < text.size; i++)
        length += (size_t)((text.data[i] & 0xC0) != 0x80) + (size_t)(text.data[i] >= 0xF0);
    return length;
}

static int16_t check_partition(const struct coord_call *call, const struct coord_shard *shard,
                               const commit_topic *topic, const commit_partition *partition)
{
    if (call->version >= 10 && topic->name.size == 0)
        return KAFKA_UNKNOWN_TOPIC_ID;
    if (topic->name.size > INT16_MAX)
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    if (utf16_length(partition->committed_metadata) > (size_t)max_i64(shard->settings.offset_metadata_max_bytes, 0) ||
        partition->committed_metadata.size > INT16_MAX)
        return KAFKA_OFFSET_METADATA_TOO_LARGE;
    return KAFKA_NONE;
}

static struct coord_record make_record(const struct group *group, const struct coord_call *call,
                                       const commit_topic *topic, const commit_partition *partition)
{
    const struct offset_commit_request *request = call->request;
    int64_t wall_ms = group->shard->time.wall_ms;
    struct offset_commit_value value;
    offset_commit_value_init(&value);
    value.offset = partition->committed_offset;
    value.leader_epoch = partition->committed_leader_epoch;
    value.metadata = slice_is_null(partition->committed_metadata) ? slice_of("", 0) : partition->committed_metadata;
    bool has_time = call->version == VERSION_COMMIT_TIMESTAMP && partition->commit_timestamp != -1;
    value.commit_timestamp = has_time ? partition->commit_timestamp : wall_ms;
    if (request->retention_time_ms >= 0 && request->retention_time_ms <= INT64_MAX - wall_ms)
        value.expire_timestamp = wall_ms + request->retention_time_ms;
    value.topic_id = topic->topic_id;
    return (struct coord_record){.key = write_key(group, topic->name, partition->partition_index),
                                 .value = write_value(group->shard, &value)};
}

static size_t partition_count(const struct offset_commit_request *request)
{
    size_t count = 0;
    for (int32_t i = 0; i < request->topics_count; i++)
        count += (size_t)max_i64(request->topics[i].partitions_count, 0);
    return count;
}

/* Whether the accepted ones want more memory than the shard's offsets may have. What takes no more than before always may:
 * those that are there go on, whatever others do. */
static bool is_full(const struct group *group, const struct coord_call *call)
{
    const struct offset_commit_request *request = call->request;
    const struct offset_commit_response *response = call->response;
    int64_t more = 0, of_group = group_bytes(group);
    for (int32_t i = 0; i < response->topics_count; i++) {
        for (int32_t j = 0; j < response->topics[i].partitions_count; j++) {
            const commit_partition *partition = &request->topics[i].partitions[j];
            if (response->topics[i].partitions[j].error_code != KAFKA_NONE)
                continue;
            const struct offset *known = coord__offset_find(group, request->topics[i].name, partition->partition_index);
            int64_t metadata = (int64_t)partition->committed_metadata.size;
            more += known ? max_i64(0, metadata - (int64_t)known->metadata.size)
                          : metadata + place_bytes(request->topics[i].name);
        }
    }
    return more > 0 &&
           group->shard->counts.offset_bytes + more + of_group > group->shard->settings.shard_offset_bytes_max;
}

/* The accepted ones of the request, in one batch; 0: none, or too large together, or for the shard (then *ret_too_large). */
static uint64_t write_commits(struct group *group, const struct coord_call *call, bool *ret_too_large)
{
    struct coord_shard *shard = group->shard;
    const struct offset_commit_request *request = call->request;
    const struct offset_commit_response *response = call->response;
    arena_reset(&shard->scratch);
    struct coord_record *records = arena_array(&shard->scratch, partition_count(request), sizeof *records);
    size_t count = 0, size_bytes = 0;
    uint64_t token = 0;
    for (int32_t i = 0; i < response->topics_count; i++) {
        for (int32_t j = 0; j < response->topics[i].partitions_count; j++) {
            if (response->topics[i].partitions[j].error_code != KAFKA_NONE)
                continue;
            records[count] = make_record(group, call, &request->topics[i], &request->topics[i].partitions[j]);
            if (slice_is_null(records[count].key) || slice_is_null(records[count].value))
                size_bytes = SIZE_MAX / 2; // larger than any batch by itself
            size_bytes += records[count].key.size + records[count].value.size;
            count++;
        }
    }
    *ret_too_large = is_full(group, call) || !coord__reserve(shard, size_bytes);
    if (*ret_too_large)
        return 0;
    for (size_t i = 0; i < count; i++)
        token = coord__emit(shard, records[i].key, records[i].value);
    return token;
}

static void count_in_flight(struct group *group, const struct coord_call *call)
{
    const struct offset_commit_response *response = call->response;
    const struct offset_commit_request *request = call->request;
    for (int32_t i = 0; i < response->topics_count; i++) {
        for (int32_t j = 0; j < response->topics[i].partitions_count; j++) {
            if (response->topics[i].partitions[j].error_code == KAFKA_NONE)
                offset_get(group, request->topics[i].name, request->topics[i].partitions[j].partition_index)
                    ->in_flight++;
        }
    }
}

static void check_partitions(const struct coord_shard *shard, struct coord_call *call)
{
    const struct offset_commit_request *request = call->request;
    struct offset_commit_response *response = call->response;
    for (int32_t i = 0; i < response->topics_count; i++) {
        for (int32_t j = 0; j < response->topics[i].partitions_count; j++)
            response->topics[i].partitions[j].error_code =
                check_partition(call, shard, &request->topics[i], &request->topics[i].partitions[j]);
    }
}

void coord__offset_commit(struct coord_shard *shard, struct coord_call *call)
{
    const struct offset_commit_request *request = call->request;
    struct group *group = slice_is_null(request->group_id) ? NULL : coord__group_find(shard, request->group_id);
    int16_t error = check(call, group);
    coord__reply_error(call, error); // lays out the reply, with NONE too
    if (error != KAFKA_NONE || call->arena->failed) {
        coord__done(shard, call);
        return;
    }
    check_partitions(shard, call);
    bool is_new = !group;
    if (is_new)
        group = coord__group_get(shard, request->group_id);
    bool too_large;
    uint64_t token = write_commits(group, call, &too_large);
    if (too_large)
        coord__reply_error(call, KAFKA_INVALID_COMMIT_OFFSET_SIZE);
    if (token == 0) {
        coord__group_collect(group); // made for nothing
        coord__done(shard, call);
        return;
    }
    if (is_new)
        coord__group_revive(group);
    count_in_flight(group, call);
    coord__wait(shard, call, token);
}
