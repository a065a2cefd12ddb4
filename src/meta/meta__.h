// SPDX-License-Identifier: Apache-2.0
/* meta/meta__.h - what the files of meta/ share: text as Java reads and writes it, the types of records, and the trees.
 * Nobody else includes it.
 */
#pragma once

#include "meta/meta.h"
#include "wire/wire.h"

#include <strings.h>

/* ---- text as Java has it */
/* A message, cut where it is too long. */
void text__say(char message[META_MESSAGE_SIZE], const char *format, ...) PRINTF_LIKE(2, 3);
struct slice text__trim(struct slice text); // String.trim: no bytes up to the space at either end
bool text__parse_i64(struct slice text, int64_t min, int64_t max, int64_t *ret_value); // Long.parseLong and its like
bool text__parse_f64(struct slice text, double *ret_value);                            // Double.parseDouble
void text__from_f64(double value, char ret_text[META_DOUBLE_TEXT_SIZE]);               // Double.toString
/* The value times the factor (hours as milliseconds), itself for 1; a negative time means none, which is -1. */
struct slice text__times(struct slice value, int64_t factor, char ret_text[META_VALUE_TEXT_SIZE]);
/* The next element of a list `a, b`, which `*rest` is cut by; false when none is left. Start with the trimmed text. */
bool text__next_element(struct slice *rest, struct slice *ret_element);
/* ISO 8601 duration, not negative, as Duration.parse takes it. */
bool text__is_duration(struct slice text);

/* ---- broker_config.c */
struct broker_levels {                           // where a broker's settings are looked for, before the table's default
    const struct meta_configs *broker, *cluster; // NULL: nothing set
    const struct meta_settings *settings;        // may be NULL
};
struct broker_levels broker_levels__of(const struct meta_image *image, const struct meta_settings *settings,
                                       int32_t node_id);
/* Dynamic before static; null when it is nowhere. */
struct slice broker_levels__value(const struct broker_levels *levels, const char *name,
                                  enum meta_config_source *ret_source);
uint64_t broker_levels__version(const struct broker_levels *levels);
/* Null where it is not set, or makes no sense. `configs` and `def` may be NULL. */
struct slice configs__valid_value(const struct meta_configs *configs, const char *name,
                                  const struct meta_config_def *def);

/* ---- records */
const struct wire_message *record__message(uint32_t type); // NULL: we know no such type

/* ---- trees */
enum item_kind {
    ITEM_TOPIC = 1,
    ITEM_BROKER,
    ITEM_CONFIGS,
    ITEM_QUOTA,
    ITEM_ACL,
    ITEM_SCRAM,
    ITEM_TOKEN,
    ITEM_FEATURE
};

struct meta_node {
    _Atomic uint32_t refs;
    int8_t height; // 1 for a leaf
    struct meta_node *left, *right;
    struct meta_item *item; // counted
};

/* Below, equal, above 0: two items of one kind by the key of a tree. A probe is an item of which only the key is set. */
typedef int item_order(const struct meta_item *a, const struct meta_item *b);
item_order item__by_name, item__by_id, item__by_node_id, item__by_resource, item__by_quota, item__by_acl_id,
    item__by_scram, item__by_token_id, item__by_feature;

struct meta_node *tree__ref(struct meta_node *tree); // NULL is the empty tree
void tree__unref(struct meta_node *tree);
const struct meta_item *tree__find(const struct meta_node *tree, const struct meta_item *probe, item_order *order);
/* Where the item of that key, which must be there, is referred to, on a path that only this tree has. */
struct meta_item **tree__own(struct meta_node **tree, const struct meta_item *probe, item_order *order);
void tree__put(struct meta_node **tree, struct meta_item *item, item_order *order); // takes the reference; replaces
void tree__remove(struct meta_node **tree, const struct meta_item *probe, item_order *order); // it must be there

/* ---- items: counted, each one block of memory. item__copy_... make one from a struct whose parts lie anywhere. */
void item__fields_copy(struct meta_item *to, const struct meta_item *from, size_t size);
void item__unref(struct meta_item *item);
struct meta_item *item__ref(struct meta_item *item);
struct meta_topic *item__new_topic(struct slice name, struct uuid id);
struct meta_topic *item__copy_topic(const struct meta_topic *from); // shares the partitions
struct meta_broker *item__copy_broker(const struct meta_broker *from);
struct meta_configs *item__copy_configs(const struct meta_configs *from);
struct meta_quota *item__copy_quota(const struct meta_quota *from);
struct meta_acl *item__copy_acl(const struct meta_acl *from);
struct meta_scram *item__copy_scram(const struct meta_scram *from);
struct meta_token *item__copy_token(const struct meta_token *from);
struct meta_feature *item__copy_feature(const struct meta_feature *from);

/* ---- partitions of a topic: a trie of chunks */
void partition__fields_copy(struct meta_partition *to, const struct meta_partition *from);
struct meta_partition *partition__copy(const struct meta_partition *from);
void chunks__set(struct meta_topic *topic, int32_t index, struct meta_partition *partition); // takes the reference
void chunks__unref(struct meta_topic *topic);
void chunks__share(struct meta_topic *topic, const struct meta_topic *from);

/* ---- the builder */
struct meta_builder {
    struct meta_image view;       // the state now; its trees are owned as an image's
    struct meta_image *committed; // NULL: no transaction is open
    struct arena arena;           // of the record at hand
    char message[META_MESSAGE_SIZE];
};
struct status builder__refuse(struct meta_builder *builder, int error, const char *format, ...) PRINTF_LIKE(3, 4);
struct meta_image *builder__image_of_view(const struct meta_builder *builder); // counted, an open transaction included
/* One for each record type; `record` is the generated struct. Checks everything before it changes anything. */
typedef struct status apply_fn(struct meta_builder *builder, const void *record);
apply_fn apply__topic, apply__partition, apply__partition_change, apply__remove_topic, apply__clear_elr;
apply_fn apply__register_broker, apply__unregister_broker, apply__fence_broker, apply__unfence_broker,
    apply__broker_change, apply__register_controller;
apply_fn apply__config, apply__feature_level, apply__producer_ids, apply__zk_migration;
apply_fn apply__quota, apply__acl, apply__remove_acl, apply__scram, apply__remove_scram, apply__token,
    apply__remove_token;
void apply__remove_configs(struct meta_builder *builder, enum meta_config_resource type, struct slice name);

void image__share_trees(struct meta_image *to, const struct meta_image *from);
void image__drop_trees(struct meta_image *image);
