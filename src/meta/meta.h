// SPDX-License-Identifier: Apache-2.0
/* meta/meta.h - the cluster as a value: KRaft metadata records -> an immutable image.
 *
 * An image is counted and never changes, so any thread may read the one it holds. A builder turns one image into the next:
 * maps are persistent trees, so a record costs O(log n) and the rest is shared. Whoever writes the records, meta_apply is
 * the only function that gives them a meaning; a snapshot (meta_snapshot_write) is records again.
 * No I/O, no clock, no thread.
 */
#pragma once

#include "base/base.h"
#include "meta/gen/configs.h"

#include <stdatomic.h>

/* ---- trees: persistent and ordered, nodes and items counted. Read-only for other folders. */
struct meta_node;
struct meta_item { // first member of everything that lies in a tree
    _Atomic uint32_t refs;
    uint8_t kind;
};

/* Walks items in the order of their keys; no allocation. The image must be held meanwhile. */
enum { META_TREE_DEPTH_MAX = 48 }; // an AVL tree of 2^32 items is no deeper
struct meta_walk {
    const struct meta_node *path[META_TREE_DEPTH_MAX];
    int depth;
};

/* ---- topics */
enum { META_PARTITIONS_MAX = 1 << 20, META_REPLICAS_MAX = 1024 }; // of a topic, of a partition: more is a broken record

struct meta_partition {
    _Atomic uint32_t refs;
    int32_t leader; // -1: none
    int32_t leader_epoch, partition_epoch;
    int16_t replica_count, isr_count, removing_count, adding_count, elr_count, last_known_elr_count;
    int16_t directory_count; // as many as replicas, or 0: none of them is known
    int8_t recovery_state;   // 0 recovered, 1 recovering
    const int32_t *replicas, *isr, *removing, *adding, *elr, *last_known_elr;
    const struct uuid *directories;
};

struct meta_chunk; // of a topic's partitions
struct meta_topic {
    struct meta_item item;
    struct uuid id;
    int32_t partition_count; // greatest index + 1; Kafka numbers them without gaps
    uint8_t levels;          // of chunks
    struct meta_chunk *partitions;
    struct slice name; // NUL-ended too
};

/* NULL when there is none. */
const struct meta_partition *meta_topic_partition(const struct meta_topic *topic, int32_t index);
bool meta_partition_has_replica(const struct meta_partition *partition, int32_t node_id);
/* Directory of that replica; UUID_ZERO when unknown. */
struct uuid meta_partition_directory(const struct meta_partition *partition, int32_t node_id);

/* ---- brokers and controllers */
struct meta_endpoint {
    struct slice name, host; // NUL-ended too
    uint16_t port;
    int16_t security_protocol; // 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
};

struct meta_feature_range {
    struct slice name;
    int16_t min, max;
};

struct meta_broker { // or a controller: then no rack, epoch -1, no directories
    struct meta_item item;
    int32_t id;
    struct uuid incarnation;
    int64_t epoch;
    struct slice rack;                                    // null: none
    bool fenced, in_controlled_shutdown, is_migrating_zk; // is_migrating_zk: zk_migration_ready of a controller
    const struct meta_endpoint *endpoints;                // ordered by name, as the features
    const struct meta_feature_range *features;
    const struct uuid *directories, *cordoned;
    int32_t endpoint_count, feature_count, directory_count, cordoned_count; // cordoned_count -1: null
};

/* ---- configs: one resource and its entries, ordered by key */
enum meta_config_resource {
    META_RESOURCE_TOPIC = 2,
    META_RESOURCE_BROKER = 4,
    META_RESOURCE_BROKER_LOGGER = 8,
    META_RESOURCE_CLIENT_METRICS = 16,
    META_RESOURCE_GROUP = 32
};

struct meta_config_entry {
    struct slice key, value; // NUL-ended too
};

struct meta_configs {
    struct meta_item item;
    int8_t type;       // enum meta_config_resource
    struct slice name; // broker: id as text, "" for the cluster-wide default
    uint64_t version;  // another whenever an entry changed, in this process
    int32_t entry_count;
    const struct meta_config_entry *entries;
};

/* ---- the rest, one struct per record type */
enum { META_QUOTA_PARTS = 4 };
struct meta_quota_part {
    struct slice type, name; // null name: the default entity
};
struct meta_quota { // one key of one entity
    struct meta_item item;
    int32_t part_count; // ordered by type
    struct meta_quota_part parts[META_QUOTA_PARTS];
    struct slice key;
    double value;
};

struct meta_acl {
    struct meta_item item;
    struct uuid id;
    int8_t resource_type, pattern_type, operation, permission_type;
    struct slice resource_name, principal, host;
};

struct meta_scram {
    struct meta_item item;
    struct slice user;
    int8_t mechanism; // 1 SCRAM-SHA-256, 2 SCRAM-SHA-512
    int32_t iterations;
    struct slice salt, stored_key, server_key;
};

struct meta_token {
    struct meta_item item;
    struct slice token_id, owner, requester;
    const struct slice *renewers;
    int32_t renewer_count;
    int64_t issue_ms, max_ms, expiration_ms;
};

struct meta_feature {
    struct meta_item item;
    struct slice name;
    int16_t level;
};

/* ---- the image */
struct meta_image {
    _Atomic uint32_t refs;
    int64_t offset;           // of the last record in it; -1: none
    int32_t epoch;            // leader epoch of that record
    int64_t timestamp_ms;     // of that record's batch
    int16_t metadata_version; // feature level; 0: no such record yet
    int16_t elr_version;      // eligible.leader.replicas.version
    int64_t next_producer_id; // start of the next block; -1: no record yet
    int32_t producer_ids_broker_id;
    int64_t producer_ids_broker_epoch;
    int8_t zk_migration_state;            // -1: no record
    int32_t topic_count, partition_count; // sums
    struct meta_node *topics_by_name, *topics_by_id, *brokers, *controllers, *features, *configs, *quotas, *acls,
        *scrams, *tokens;
};

/* An image of nothing, counted once. */
struct meta_image *meta_image_create(void);
struct meta_image *meta_image_ref(const struct meta_image *image); // NULL is fine
void meta_image_unref(struct meta_image *image);                   // any thread; NULL is fine

/* Lookups: no allocation, NULL when there is none, valid while the image is held. */
const struct meta_topic *meta_topic_by_name(const struct meta_image *image, struct slice name);
const struct meta_topic *meta_topic_by_id(const struct meta_image *image, struct uuid id);
const struct meta_broker *meta_broker(const struct meta_image *image, int32_t id);
const struct meta_broker *meta_controller(const struct meta_image *image, int32_t id);
const struct meta_endpoint *meta_broker_endpoint(const struct meta_broker *broker, struct slice listener);
const struct meta_configs *meta_configs(const struct meta_image *image, enum meta_config_resource type,
                                        struct slice name);
/* Null: not set; `configs` may be NULL. */
struct slice meta_configs_get(const struct meta_configs *configs, struct slice key);
/* `parts` ordered by type, META_QUOTA_PARTS at most. */
const struct meta_quota *meta_quota(const struct meta_image *image, const struct meta_quota_part *parts,
                                    int32_t part_count, struct slice key);
/* Both ordered by type: do they name the same entity? */
bool meta_quota_parts_equal(const struct meta_quota_part *a, int32_t a_count, const struct meta_quota_part *b,
                            int32_t b_count);
int16_t meta_feature_level(const struct meta_image *image, const char *name); // 0 when not set

/* Walks in order of keys (topics: names; brokers: ids; configs: type and name). `after` null: from the start, else from the
 * first key greater than it (topics only). Each returns NULL at the end. */
void meta_topics_begin(const struct meta_image *image, struct slice after, struct meta_walk *ret_walk);
const struct meta_topic *meta_topics_next(struct meta_walk *walk);
/* Quotas whose only part is an address, that of the default first; no other quota is looked at. */
void meta_address_quotas_begin(const struct meta_image *image, struct meta_walk *ret_walk);
const struct meta_quota *meta_address_quotas_next(struct meta_walk *walk);
/* Any tree of an image; which one tells what its items are: struct meta_broker, meta_configs, meta_acl... */
void meta_walk_begin(const struct meta_node *tree, struct meta_walk *ret_walk);
const struct meta_item *meta_walk_next(struct meta_walk *walk);

/* What changed in topics from one image to another, by name, shared parts skipped. `was` NULL: new, `now` NULL: gone; both
 * with different ids: the topic was removed and another made under its name. */
void meta_topics_diff(const struct meta_image *from, const struct meta_image *to,
                      void (*each)(void *context, const struct meta_topic *was, const struct meta_topic *now),
                      void *context);
/* Same content (not offsets), for tests. */
bool meta_image_equal(const struct meta_image *a, const struct meta_image *b);

/* ---- applying records */
struct meta_builder;
struct meta_builder *meta_builder_create(const struct meta_image *base); // NULL: from nothing
void meta_builder_free(struct meta_builder *builder);
/* One record as it lies in a batch's value: frame version, type, version, fields. EBADMSG: broken or inconsistent;
 * ENOTSUP: a type, version or feature level newer than we know. The reason is in meta_builder_message. Nothing is half
 * applied. Records between BeginTransaction and EndTransaction count from the End; AbortTransaction takes them back. */
MUST_USE struct status meta_apply(struct meta_builder *builder, struct slice record);
const char *meta_builder_message(const struct meta_builder *builder);
/* Position of what was applied last. */
void meta_builder_position(struct meta_builder *builder, int64_t offset, int32_t epoch, int64_t timestamp_ms);
/* The state now, an open transaction included; not counted, changes with the next meta_apply. */
const struct meta_image *meta_builder_view(const struct meta_builder *builder);
/* A counted image of the state without an open transaction. */
struct meta_image *meta_builder_image(struct meta_builder *builder);
bool meta_builder_in_transaction(const struct meta_builder *builder);

/* ---- encoding records: type and version framed, then the fields, into the writer */
enum meta_record_type {
    META_REGISTER_BROKER = 0,
    META_UNREGISTER_BROKER = 1,
    META_TOPIC = 2,
    META_PARTITION = 3,
    META_CONFIG = 4,
    META_PARTITION_CHANGE = 5,
    META_FENCE_BROKER = 7,
    META_UNFENCE_BROKER = 8,
    META_REMOVE_TOPIC = 9,
    META_DELEGATION_TOKEN = 10,
    META_SCRAM = 11,
    META_FEATURE_LEVEL = 12,
    META_CLIENT_QUOTA = 14,
    META_PRODUCER_IDS = 15,
    META_BROKER_CHANGE = 17,
    META_ACL = 18,
    META_REMOVE_ACL = 19,
    META_NO_OP = 20,
    META_ZK_MIGRATION = 21,
    META_REMOVE_SCRAM = 22,
    META_BEGIN_TRANSACTION = 23,
    META_END_TRANSACTION = 24,
    META_ABORT_TRANSACTION = 25,
    META_REMOVE_TOKEN = 26,
    META_REGISTER_CONTROLLER = 27,
    META_CLEAR_ELR = 28,
};
struct wire_writer;
/* `value`: the generated struct of that record type. */
void meta_record_write(struct wire_writer *w, enum meta_record_type type, int16_t version, const void *value);
/* Versions that a metadata.version permits; other types are version 0. */
int16_t meta_record_version(enum meta_record_type type, int16_t metadata_version);
/* The records that give this image again. `record` is only good during the call. */
void meta_snapshot_write(const struct meta_image *image, void (*emit)(void *context, struct slice record),
                         void *context);

/* ---- feature levels we know: those of Apache Kafka 4.3.1 */
struct meta_known_feature {
    const char *name;
    int16_t min, max, default_level;
};
const struct meta_known_feature *meta_known_features(int *ret_count); // metadata.version first; kraft.version included

/* ---- settings: values by Kafka's names, static ones of server.properties */
struct meta_settings;
struct meta_settings *meta_settings_create(void);
void meta_settings_free(struct meta_settings *settings);
struct meta_settings *meta_settings_copy(const struct meta_settings *settings);
void meta_settings_set(struct meta_settings *settings, const char *name, const char *value); // copies; NULL removes
/* Given ones, ordered by name. */
int meta_settings_count(const struct meta_settings *settings);
void meta_settings_at(const struct meta_settings *settings, int index, const char **ret_name, const char **ret_value);
/* As given; NULL when it was not given. */
const char *meta_settings_given(const struct meta_settings *settings, const char *name);
/* Given, or the table's default; NULL when there is neither. */
const char *meta_settings_get(const struct meta_settings *settings, const char *name);
/* The value must be valid: these are for settings that were validated before. */
int64_t meta_settings_i64(const struct meta_settings *settings, const char *name);
double meta_settings_f64(const struct meta_settings *settings, const char *name);
bool meta_settings_bool(const struct meta_settings *settings, const char *name);

/* A number as Java's Double.toString writes it. */
enum { META_DOUBLE_TEXT_SIZE = 32 };
bool meta_double_text(struct slice value, char ret_text[META_DOUBLE_TEXT_SIZE]); // false: it is none

/* ---- validation: a message as Apache Kafka words it, in `ret_message`, or true when the value is fine. */
enum { META_MESSAGE_SIZE = 512 };
bool meta_config_validate(const struct meta_config_def *def, struct slice value, char ret_message[META_MESSAGE_SIZE]);
/* NULL for an unknown name. Tables: meta_topic_configs, meta_broker_configs, ... of gen/configs.h */
const struct meta_config_def *meta_config_find(const struct meta_config_table *table, struct slice name);
/* What is done with that value of a setting: META_SERVED for the default and what is accepted, else def->serving. */
enum meta_config_serving meta_config_treatment(const struct meta_config_def *def, struct slice value);
/* All of a topic's settings together, over the defaults that `settings` supply (NULL: the table's): unknown names, each
 * value, and what must fit together. */
bool meta_topic_configs_validate(const struct meta_settings *settings, const struct meta_config_entry *entries,
                                 int32_t count, char ret_message[META_MESSAGE_SIZE]);

/* ---- a topic's settings in effect: topic -> broker -> cluster-wide default -> server.properties -> default */
enum meta_config_source { // DescribeConfigs' numbers
    META_SOURCE_TOPIC = 1,
    META_SOURCE_BROKER = 2,
    META_SOURCE_CLUSTER = 3,
    META_SOURCE_STATIC = 4,
    META_SOURCE_DEFAULT = 5,
};

/* ---- a broker's settings in effect: this broker's -> cluster-wide default -> server.properties -> default */
struct slice meta_broker_setting(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                                 const char *name); // null when there is none at all
int64_t meta_broker_setting_i64(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                                const char *name);
double meta_broker_setting_f64(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                               const char *name);
/* listener.name.<listener>.<setting>, of those that a listener may have for itself; NULL: another name. */
const struct meta_config_def *meta_listener_config_find(struct slice name);
/* A listener's own value of such a setting: this broker's, then the file's; without one what holds for the broker. */
int64_t meta_listener_setting_i64(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                                  const char *listener, const char *name);
/* Another number whenever one of them may be another, the file of settings aside. */
uint64_t meta_broker_config_version(const struct meta_image *image, int32_t node_id);

/* max.connections.per.ip.overrides, ADDRESS:COUNT,... : the next one; false at the end. */
struct meta_connections_override {
    struct slice text, host, count_text; // host: empty is this machine
    int32_t connections_max;
    enum { META_OVERRIDE_FINE, META_OVERRIDE_NO_COLON, META_OVERRIDE_NO_COUNT, META_OVERRIDE_NO_ADDRESS } fault;
};
bool meta_connections_override_next(struct slice *rest, struct meta_connections_override *ret_override);

enum { META_VALUE_TEXT_SIZE = 32 };
/* The value of one topic setting in effect, and where it comes from; null when none. Values converted from another unit
 * (log.retention.hours) lie in `ret_text`. */
struct slice meta_topic_setting(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                                struct slice topic, const struct meta_config_def *def,
                                char ret_text[META_VALUE_TEXT_SIZE], enum meta_config_source *ret_source);
/* Another number whenever the outcome of meta_topic_config may be another. */
uint64_t meta_topic_config_version(const struct meta_image *image, int32_t node_id, struct slice topic);

struct meta_topic_config { // Kafka's names and units
    int64_t segment_bytes, segment_ms, segment_jitter_ms, segment_index_bytes, index_interval_bytes;
    int64_t retention_ms, retention_bytes;
    int64_t file_delete_delay_ms, delete_retention_ms;
    int64_t min_compaction_lag_ms, max_compaction_lag_ms;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
    int64_t flush_messages, flush_ms;
    double min_cleanable_dirty_ratio;
    int32_t max_message_bytes, min_insync_replicas;
    int32_t gzip_level, lz4_level, zstd_level;
    int8_t compression; // -1 producer, else enum record_codec (0 uncompressed)
    bool cleanup_delete, cleanup_compact, log_append_time, preallocate, unclean_election, remote_storage;
};
void meta_topic_config(const struct meta_image *image, const struct meta_settings *settings, int32_t node_id,
                       struct slice topic, struct meta_topic_config *ret_config);

/* ---- names (rules of Kafka's Topic class) */
enum { META_TOPIC_NAME_MAX = 249 };
/* True, or the message of InvalidTopicException. */
bool meta_topic_name_is_valid(struct slice name, char ret_message[META_MESSAGE_SIZE]);
bool meta_topic_is_internal(struct slice name); // __consumer_offsets, __transaction_state, __share_group_state

/* ---- numeric addresses */
enum { META_ADDRESS_BYTES = 16 };
/* False for what is no numeric address. IPv4 as IPv6 embeds it, so that all spellings of one address are the same bytes. */
bool meta_address_parse(struct slice text, uint8_t ret_bytes[META_ADDRESS_BYTES]);
