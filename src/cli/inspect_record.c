// SPDX-License-Identifier: Apache-2.0
/* cli/inspect_record.c - the records that Kafka writes for itself, in words: control records, the internal topics',
 * and metadata. The layouts are wire/'s; here is only where type and version stand.
 */
#include "cli/inspect.h"
#include "wire/wire.h"

enum { ARENA_MAX_BYTES = 64 << 20 };

enum record_home inspect__home(const char *path)
{
    static const struct {
        const char *folder;
        enum record_home home;
    } HOMES[] = {{"__consumer_offsets-", HOME_OFFSETS},
                 {"__transaction_state-", HOME_TRANSACTIONS},
                 {"__share_group_state-", HOME_SHARE},
                 {"__cluster_metadata-", HOME_METADATA}};
    for (size_t i = 0; i < COUNT_OF(HOMES); i++)
        if (strstr(path, HOMES[i].folder))
            return HOMES[i].home;
    const char *name = strrchr(path, '/');
    return strcmp(name ? name + 1 : path, "bootstrap.checkpoint") == 0 ? HOME_METADATA : HOME_USER;
}

/* The message at the reader's place, all of the rest, as {"type": name, "version": v, "data": {...}}. */
static bool decode(json_t *item, const char *name, const struct wire_message *message, int16_t version,
                   struct wire_reader *reader)
{
    if (!message || version < message->version_min || version > message->version_max)
        return false;
    struct arena arena CLEANUP(arena_free);
    arena_init(&arena, 4096, ARENA_MAX_BYTES);
    void *value = arena_zalloc(&arena, message->size);
    message->read(reader, version, &arena, value);
    if (!wire_reader_finish(reader) || arena.failed)
        return false;
    struct buffer json CLEANUP(buffer_free) = {0};
    buffer_printf(&json, "{\"type\":\"%s\",\"version\":%d,\"data\":", message->name, version);
    wire_message_dump(&json, message, version, value);
    buffer_append(&json, "}", 1);
    inspect__json(item, name, &json);
    return true;
}

/* Key: version i16 = 0, type i16. Values of transaction markers begin with their version, the others' first field is it. */
static bool decode_control(json_t *item, struct slice key, struct slice value)
{
    static const char *const TYPES[] = {"ABORT",           "COMMIT",        "LEADER_CHANGE", "SNAPSHOT_HEADER",
                                        "SNAPSHOT_FOOTER", "KRAFT_VERSION", "VOTERS"};
    static const char *const MESSAGES[] = {"EndTxnMarker",         "EndTxnMarker",         "LeaderChangeMessage",
                                           "SnapshotHeaderRecord", "SnapshotFooterRecord", "KRaftVersionRecord",
                                           "VotersRecord"};
    struct wire_reader reader;
    wire_reader_init(&reader, key.data, key.size);
    wire_read_i16(&reader);
    int16_t type = wire_read_i16(&reader);
    if (!wire_reader_finish(&reader) || type < 0 || type >= (int16_t)COUNT_OF(TYPES))
        return false;
    inspect__text(item, "control", TYPES[type]);
    wire_reader_init(&reader, value.data, value.size);
    struct wire_reader peek = reader;
    int16_t version = wire_read_i16(&peek);
    return decode(item, "value", wire_message_find(MESSAGES[type]), version, type <= 1 ? &peek : &reader);
}

/* Three unsigned varints: frame version 1, type, version. */
static bool decode_metadata(json_t *item, struct slice value)
{
    struct wire_reader reader;
    wire_reader_init(&reader, value.data, value.size);
    uint32_t frame = wire_read_uvarint(&reader), type = wire_read_uvarint(&reader),
             version = wire_read_uvarint(&reader);
    const struct wire_record *record = wire_record_find(WIRE_RECORDS_METADATA, (int32_t)type);
    return frame == 1 && record && decode(item, "value", record->value, (int16_t)version, &reader);
}

/* Key: type i16, the key message. Value: version i16, the value message; none is a tombstone. */
static bool decode_keyed(json_t *item, enum wire_records family, struct slice key, struct slice value)
{
    struct wire_reader reader;
    wire_reader_init(&reader, key.data, key.size);
    const struct wire_record *record = wire_record_find(family, wire_read_i16(&reader));
    if (!record || !decode(item, "key", record->key, 0, &reader))
        return false;
    if (slice_is_null(value)) {
        inspect__bytes(item, "value", SLICE_NULL);
        return true;
    }
    wire_reader_init(&reader, value.data, value.size);
    int16_t version = wire_read_i16(&reader);
    return decode(item, "value", record->value, version, &reader);
}

bool inspect__decode(json_t *item, enum record_home home, bool is_control, struct slice key, struct slice value)
{
    if (is_control)
        return decode_control(item, key, value);
    switch (home) {
    case HOME_OFFSETS:
        return decode_keyed(item, WIRE_RECORDS_GROUP, key, value);
    case HOME_TRANSACTIONS:
        return decode_keyed(item, WIRE_RECORDS_TRANSACTION, key, value);
    case HOME_SHARE:
        return decode_keyed(item, WIRE_RECORDS_SHARE, key, value);
    case HOME_METADATA:
        return decode_metadata(item, value);
    case HOME_USER:
        break;
    }
    return false;
}
