// SPDX-License-Identifier: Apache-2.0
/* broker/config_view.h - a resource's settings one by one, as DescribeConfigs tells them: value, source, synonyms. */
#pragma once

#include "broker/broker__.h"

/* DescribeConfigs' numbers. */
enum config_source {
    SOURCE_UNKNOWN = 0,
    SOURCE_TOPIC = 1,
    SOURCE_BROKER = 2,
    SOURCE_CLUSTER = 3,
    SOURCE_STATIC = 4,
    SOURCE_DEFAULT = 5,
    SOURCE_LOGGER = 6,
    SOURCE_CLIENT_METRICS = 7,
    SOURCE_GROUP = 8,
};

struct config_synonym {
    struct slice name, value; // value null: sensitive, or none
    enum config_source source;
};

/* A setting has its own value, and up to three broker settings that stand for it, each from up to four sources. */
enum { CONFIG_SYNONYMS_MAX = 16, CONFIG_TYPE_UNKNOWN = 0 };

struct config_entry {
    struct slice name, value;
    enum config_source source;
    int8_t type; // enum meta_config_type, or CONFIG_TYPE_UNKNOWN
    bool read_only, sensitive;
    const char *documentation; // NULL: none
    struct config_synonym synonyms[CONFIG_SYNONYMS_MAX];
    int32_t synonym_count;
};

/* The image must be held meanwhile; texts that had to be made lie in the arena. */
struct config_view {
    const struct meta_image *image;
    const struct meta_settings *settings;
    int32_t node_id;
    struct arena *arena;
};

typedef void config_entry_fn(void *context, const struct config_entry *entry);

/* Calls `each` for every setting whose name `wants` accepts (NULL: all). The entry is only good during the call. */
struct config_wish {
    bool (*wants)(const void *context, struct slice name);
    const void *context;
};
void config_view__topic(const struct config_view *view, struct slice topic, struct config_wish wish,
                        config_entry_fn *each, void *context);
void config_view__broker(const struct config_view *view, struct config_wish wish, config_entry_fn *each, void *context);
void config_view__cluster(const struct config_view *view, struct config_wish wish, config_entry_fn *each,
                          void *context); // the cluster-wide defaults that are set
void config_view__group(const struct config_view *view, struct slice group, struct config_wish wish,
                        config_entry_fn *each, void *context);
void config_view__client_metrics(const struct config_view *view, struct slice name, struct config_wish wish,
                                 config_entry_fn *each, void *context);
