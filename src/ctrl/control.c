// SPDX-License-Identifier: Apache-2.0
/* ctrl/control.c - control records of the quorum, in control batches of the metadata log and of snapshots.
 *
 *   key    version int16 = 0, type int16        2 LeaderChange   3 SnapshotHeader   4 SnapshotFooter
 *   value  as its layout (records-raft)         5 KRaftVersion   6 Voters
 *
 * A snapshot begins with its header, KRaftVersion and Voters, and ends with its footer. A leader's first batch has its
 * LeaderChange; the first leader of a formatted log repeats KRaftVersion and Voters behind it, so that the log tells them
 * when the first snapshot is gone (KIP-853). Voters stay the bytes that they were: fields of newer brokers survive.
 */
#include "ctrl/ctrl__.h"

enum {
    LEADER_CHANGE = 2,
    SNAPSHOT_HEADER = 3,
    SNAPSHOT_FOOTER = 4,
    KRAFT_VERSION = 5,
    VOTERS = 6,
    KEY_BYTES = 4,
    VALUE_MAX_BYTES = 64 << 10,
};

static void add(struct record_builder *batch, int64_t now_ms, uint8_t type, struct slice value)
{
    const uint8_t key[KEY_BYTES] = {0, 0, 0, type};
    record_builder_add(batch, now_ms, slice_of(key, sizeof key), value);
}

static void add_written(struct record_builder *batch, int64_t now_ms, uint8_t type, struct wire_writer *w)
{
    assert(!wire_writer_failed(w));
    add(batch, now_ms, type, wire_writer_bytes(w));
    wire_writer_free(w);
}

void ctrl__leader_change_add(struct record_builder *batch, int64_t now_ms, int32_t node_id)
{
    struct wire_writer w;
    struct leader_change_message_voter voter;
    struct leader_change_message message;
    leader_change_message_voter_init(&voter);
    leader_change_message_init(&message);
    voter.voter_id = node_id;
    message.leader_id = node_id;
    message.voters = message.granting_voters = &voter;
    message.voters_count = message.granting_voters_count = 1;
    wire_writer_init(&w, VALUE_MAX_BYTES);
    leader_change_message_write(&w, 0, &message);
    add_written(batch, now_ms, LEADER_CHANGE, &w);
}

void ctrl__quorum_add(struct record_builder *batch, int64_t now_ms, const struct ctrl__quorum *quorum)
{
    if (quorum->kraft_version == 0)
        return; // voters are a matter of settings
    struct wire_writer w;
    struct k_raft_version_record version;
    k_raft_version_record_init(&version);
    version.k_raft_version = quorum->kraft_version;
    wire_writer_init(&w, VALUE_MAX_BYTES);
    k_raft_version_record_write(&w, 0, &version);
    add_written(batch, now_ms, KRAFT_VERSION, &w);
    if (quorum->voters.size > 0)
        add(batch, now_ms, VOTERS, slice_of(quorum->voters.data, quorum->voters.size));
}

void ctrl__snapshot_header_add(struct record_builder *batch, int64_t now_ms, int64_t last_timestamp_ms)
{
    struct wire_writer w;
    struct snapshot_header_record header;
    snapshot_header_record_init(&header);
    header.last_contained_log_timestamp = last_timestamp_ms;
    wire_writer_init(&w, VALUE_MAX_BYTES);
    snapshot_header_record_write(&w, 0, &header);
    add_written(batch, now_ms, SNAPSHOT_HEADER, &w);
}

void ctrl__snapshot_footer_add(struct record_builder *batch, int64_t now_ms)
{
    struct wire_writer w;
    struct snapshot_footer_record footer;
    snapshot_footer_record_init(&footer);
    wire_writer_init(&w, VALUE_MAX_BYTES);
    snapshot_footer_record_write(&w, 0, &footer);
    add_written(batch, now_ms, SNAPSHOT_FOOTER, &w);
}

struct slice ctrl__batch_finish(struct record_builder *batch, bool is_control, int64_t base_offset, int32_t epoch)
{
    struct slice bytes = record_builder_finish(batch, is_control ? RECORD_ATTRIBUTE_CONTROL : 0, -1, -1, -1);
    record_batch_set_base((uint8_t *)(uintptr_t)bytes.data, base_offset, epoch);
    return bytes;
}

void ctrl__voters_set(struct ctrl__quorum *quorum, int32_t node_id, struct uuid directory_id,
                      const struct ctrl_listener *controller)
{
    struct wire_writer w;
    struct voters_record_endpoint endpoint;
    struct voters_record_voter voter;
    struct voters_record voters;
    voters_record_endpoint_init(&endpoint);
    voters_record_voter_init(&voter);
    voters_record_init(&voters);
    endpoint.name = slice_str(controller->name);
    endpoint.host = slice_str(controller->host);
    endpoint.port = controller->port;
    voter.voter_id = node_id;
    voter.voter_directory_id = directory_id;
    voter.endpoints = &endpoint;
    voter.endpoints_count = 1;
    voter.k_raft_version_feature.max_supported_version = CTRL_KRAFT_VERSION_MAX;
    voters.voters = &voter;
    voters.voters_count = 1;
    wire_writer_init(&w, VALUE_MAX_BYTES);
    voters_record_write(&w, 0, &voters);
    assert(!wire_writer_failed(&w));
    quorum->voters.size = 0;
    buffer_append(&quorum->voters, w.data, w.size);
    wire_writer_free(&w);
}

static struct status kraft_version_take(struct ctrl__quorum *quorum, struct slice value)
{
    struct wire_reader r;
    struct arena arena;
    struct k_raft_version_record version;
    arena_init(&arena, 1024, VALUE_MAX_BYTES);
    wire_reader_init(&r, value.data, value.size);
    k_raft_version_record_read(&r, 0, &arena, &version);
    bool is_sound = wire_reader_finish(&r);
    arena_free(&arena);
    if (!is_sound || version.k_raft_version < 0)
        return STATUS(EBADMSG, "read the metadata log: a KRaftVersion record is broken");
    if (version.k_raft_version > CTRL_KRAFT_VERSION_MAX)
        return STATUS(ENOTSUP, "read the metadata log: its kraft.version is newer than this program");
    quorum->kraft_version = version.k_raft_version;
    return STATUS_OK;
}

static struct status header_take(struct slice value, int64_t *ret_timestamp_ms)
{
    struct wire_reader r;
    struct arena arena;
    struct snapshot_header_record header;
    arena_init(&arena, 1024, VALUE_MAX_BYTES);
    wire_reader_init(&r, value.data, value.size);
    snapshot_header_record_read(&r, 0, &arena, &header);
    bool is_sound = wire_reader_finish(&r);
    arena_free(&arena);
    if (!is_sound)
        return STATUS(EBADMSG, "read a metadata snapshot: its header is broken");
    *ret_timestamp_ms = header.last_contained_log_timestamp;
    return STATUS_OK;
}

struct status ctrl__control_take(struct ctrl__quorum *quorum, const struct record *record, int64_t *ret_timestamp_ms)
{
    if (record->key.size != KEY_BYTES || record->value.size > VALUE_MAX_BYTES)
        return STATUS(EBADMSG, "read the metadata log: a control record is broken");
    switch (record->key.data[2] << 8 | record->key.data[3]) {
    case KRAFT_VERSION:
        return kraft_version_take(quorum, record->value);
    case VOTERS:
        quorum->voters.size = 0;
        buffer_append(&quorum->voters, record->value.data, record->value.size);
        quorum->voters_in_log = true;
        return STATUS_OK;
    case SNAPSHOT_HEADER:
        return header_take(record->value, ret_timestamp_ms);
    case LEADER_CHANGE:
    case SNAPSHOT_FOOTER:
        return STATUS_OK;
    default:
        return STATUS(ENOTSUP, "read the metadata log: a control record is newer than this program");
    }
}
