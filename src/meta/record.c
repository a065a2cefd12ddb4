// SPDX-License-Identifier: Apache-2.0
/* meta/record.c - the frame of a metadata record, and which version of a record a metadata.version permits.
 *
 *   frame version   uvarint   1
 *   record type     uvarint   enum meta_record_type
 *   record version  uvarint
 *   fields                    as their layout says (schema/protocol/records-metadata.txt)
 */
#include "meta/meta__.h"
#include "wire/gen/records_metadata.h"

enum { FRAME_VERSION = 1 };
enum { METADATA_3_4_IV0 = 8, METADATA_3_7_IV2 = 17, METADATA_4_0_IV1 = 23, METADATA_4_3_IV0 = 30 };

static const struct wire_message *const MESSAGES[] = {
    [META_REGISTER_BROKER] = &wire_message_register_broker_record,
    [META_UNREGISTER_BROKER] = &wire_message_unregister_broker_record,
    [META_TOPIC] = &wire_message_topic_record,
    [META_PARTITION] = &wire_message_partition_record,
    [META_CONFIG] = &wire_message_config_record,
    [META_PARTITION_CHANGE] = &wire_message_partition_change_record,
    [META_FENCE_BROKER] = &wire_message_fence_broker_record,
    [META_UNFENCE_BROKER] = &wire_message_unfence_broker_record,
    [META_REMOVE_TOPIC] = &wire_message_remove_topic_record,
    [META_DELEGATION_TOKEN] = &wire_message_delegation_token_record,
    [META_SCRAM] = &wire_message_user_scram_credential_record,
    [META_FEATURE_LEVEL] = &wire_message_feature_level_record,
    [META_CLIENT_QUOTA] = &wire_message_client_quota_record,
    [META_PRODUCER_IDS] = &wire_message_producer_ids_record,
    [META_BROKER_CHANGE] = &wire_message_broker_registration_change_record,
    [META_ACL] = &wire_message_access_control_entry_record,
    [META_REMOVE_ACL] = &wire_message_remove_access_control_entry_record,
    [META_NO_OP] = &wire_message_no_op_record,
    [META_ZK_MIGRATION] = &wire_message_zk_migration_state_record,
    [META_REMOVE_SCRAM] = &wire_message_remove_user_scram_credential_record,
    [META_BEGIN_TRANSACTION] = &wire_message_begin_transaction_record,
    [META_END_TRANSACTION] = &wire_message_end_transaction_record,
    [META_ABORT_TRANSACTION] = &wire_message_abort_transaction_record,
    [META_REMOVE_TOKEN] = &wire_message_remove_delegation_token_record,
    [META_REGISTER_CONTROLLER] = &wire_message_register_controller_record,
    [META_CLEAR_ELR] = &wire_message_clear_elr_record,
};

const struct wire_message *record__message(uint32_t type)
{
    return type < COUNT_OF(MESSAGES) ? MESSAGES[type] : NULL;
}

void meta_record_write(struct wire_writer *w, enum meta_record_type type, int16_t version, const void *value)
{
    const struct wire_message *message = record__message(type);
    assert(message != NULL && version >= message->version_min && version <= message->version_max);
    wire_write_uvarint(w, FRAME_VERSION);
    wire_write_uvarint(w, type);
    wire_write_uvarint(w, (uint32_t)version);
    message->write(w, version, value);
}

int16_t meta_record_version(enum meta_record_type type, int16_t metadata_version)
{
    bool has_directories = metadata_version >= METADATA_3_7_IV2, has_cordons = metadata_version >= METADATA_4_3_IV0;
    switch (type) {
    case META_REGISTER_BROKER:
        return has_cordons ? 4 : has_directories ? 3 : metadata_version >= METADATA_3_4_IV0 ? 2 : 1;
    case META_BROKER_CHANGE:
        return has_cordons ? 3 : has_directories ? 2 : 1;
    case META_PARTITION:
    case META_PARTITION_CHANGE:
        return metadata_version >= METADATA_4_0_IV1 ? 2 : has_directories ? 1 : 0;
    default:
        return 0;
    }
}
