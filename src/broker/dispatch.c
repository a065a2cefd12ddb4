// SPDX-License-Identifier: Apache-2.0
/* broker/dispatch.c - the table of what this broker serves: one row per API key, defined in that key's own file.
 *
 * A row is a promise: every version in it works in full. ApiVersions is made from this table, so nothing is advertised
 * that has no row, and a request without a row closes its connection before its body is looked at.
 */
#include "broker/broker__.h"

/* By key; NULL where a key is not served. */
static const struct api_row *const rows[API_KEY_COUNT] = {
    [API_PRODUCE] = &api__produce,
    [API_FETCH] = &api__fetch,
    [API_LIST_OFFSETS] = &api__list_offsets,
    [API_METADATA] = &api__metadata,
    [API_OFFSET_COMMIT] = &api__offset_commit,
    [API_OFFSET_FETCH] = &api__offset_fetch,
    [API_FIND_COORDINATOR] = &api__find_coordinator,
    [API_JOIN_GROUP] = &api__join_group,
    [API_HEARTBEAT] = &api__heartbeat,
    [API_LEAVE_GROUP] = &api__leave_group,
    [API_SYNC_GROUP] = &api__sync_group,
    [API_DESCRIBE_GROUPS] = &api__describe_groups,
    [API_LIST_GROUPS] = &api__list_groups,
    [API_API_VERSIONS] = &api__api_versions,
    [API_CREATE_TOPICS] = &api__create_topics,
    [API_DELETE_TOPICS] = &api__delete_topics,
    [API_DELETE_RECORDS] = &api__delete_records,
    [API_INIT_PRODUCER_ID] = &api__init_producer_id,
    [API_OFFSET_FOR_LEADER_EPOCH] = &api__offset_for_leader_epoch,
    [API_DESCRIBE_CONFIGS] = &api__describe_configs,
    [API_ALTER_CONFIGS] = &api__alter_configs,
    [API_ALTER_REPLICA_LOG_DIRS] = &api__alter_replica_log_dirs,
    [API_DESCRIBE_LOG_DIRS] = &api__describe_log_dirs,
    [API_CREATE_PARTITIONS] = &api__create_partitions,
    [API_DELETE_GROUPS] = &api__delete_groups,
    [API_ELECT_LEADERS] = &api__elect_leaders,
    [API_INCREMENTAL_ALTER_CONFIGS] = &api__incremental_alter_configs,
    [API_ALTER_PARTITION_REASSIGNMENTS] = &api__alter_partition_reassignments,
    [API_LIST_PARTITION_REASSIGNMENTS] = &api__list_partition_reassignments,
    [API_OFFSET_DELETE] = &api__offset_delete,
    [API_DESCRIBE_CLIENT_QUOTAS] = &api__describe_client_quotas,
    [API_ALTER_CLIENT_QUOTAS] = &api__alter_client_quotas,
    [API_DESCRIBE_QUORUM] = &api__describe_quorum,
    [API_UPDATE_FEATURES] = &api__update_features,
    [API_DESCRIBE_CLUSTER] = &api__describe_cluster,
    [API_DESCRIBE_PRODUCERS] = &api__describe_producers,
    [API_UNREGISTER_BROKER] = &api__unregister_broker,
    [API_LIST_CONFIG_RESOURCES] = &api__list_config_resources,
    [API_DESCRIBE_TOPIC_PARTITIONS] = &api__describe_topic_partitions,
};

static_assert(API_KEY_COUNT <= COUNT_OF(((struct reactor *)0)->counters), "every key has its counters");

const struct api_row *request__row(int16_t key)
{
    if (key < 0 || key >= API_KEY_COUNT)
        return NULL;
    assert(!rows[key] || rows[key]->key == key);
    return rows[key];
}

const struct api_row *const *request__rows(void)
{
    return rows;
}
