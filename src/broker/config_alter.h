// SPDX-License-Identifier: Apache-2.0
/* broker/config_alter.h - what IncrementalAlterConfigs and AlterConfigs share: from resources to outcomes. */
#pragma once

#include "broker/broker__.h"

struct config_alter {
    /* The caller's: one for each resource of the request, in its order. */
    struct ctrl_alter_resource *resources;
    int32_t count;
    bool validate_only, serves_loggers;
    /* The outcomes, in the same order. */
    struct ctrl_result *results;
    /* What goes to the controller. */
    struct ctrl_alter_resource *accepted;
    struct ctrl_result *accepted_results;
    int32_t *places; // in `resources`
    int32_t accepted_count;
};

/* Allocates for `count` resources; NULL when the arena is full. */
struct config_alter *config_alter__create(struct arena *arena, int32_t count);
/* Judges what the broker must; what is left is to be sent to the control thread: false when nothing is left. */
bool config_alter__start(struct request *request, struct config_alter *alter);
/* In the control thread. */
void config_alter__control(struct request *request, struct config_alter *alter);
