// SPDX-License-Identifier: Apache-2.0
/* broker/api_alter_configs.c - AlterConfigs: all settings of a resource at once: what is not named goes back to its
 * default (KIP-133; IncrementalAlterConfigs is the newer way).
 *
 * config_alter.c does the work, with this request's resources as the controller takes them.
 */
#include "broker/config_alter.h"
#include "wire/gen/alter_configs.h"

typedef struct alter_configs_request_alter_configs_resource asked_resource;
typedef struct alter_configs_response_alter_configs_resource_response resource_reply;

static bool resource_fill(struct arena *arena, const asked_resource *asked, struct ctrl_alter_resource *ret_resource)
{
    struct ctrl_alter *alters = arena_array(arena, (size_t)max_i64(asked->configs_count, 0), sizeof *alters);
    for (int32_t i = 0; alters && i < asked->configs_count; i++)
        alters[i] =
            (struct ctrl_alter){.key = asked->configs[i].name, .value = asked->configs[i].value, .op = CTRL_ALTER_SET};
    *ret_resource = (struct ctrl_alter_resource){.type = asked->resource_type,
                                                 .name = asked->resource_name,
                                                 .alters = alters,
                                                 .alter_count = (int32_t)max_i64(asked->configs_count, 0),
                                                 .replace = true};
    return alters != NULL;
}

static void answer(struct request *request)
{
    const struct config_alter *alter = request->work;
    struct alter_configs_response response;
    alter_configs_response_init(&response);
    response.responses = arena_array(&request->arena, (size_t)alter->count, sizeof *response.responses);
    if (request->arena.failed) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    for (int32_t i = 0; i < alter->count; i++) {
        resource_reply *reply = &response.responses[i];
        alter_configs_response_alter_configs_resource_response_init(reply);
        reply->error_code = alter->results[i].error;
        reply->error_message = alter->results[i].message;
        reply->resource_type = alter->resources[i].type;
        reply->resource_name = alter->resources[i].name;
    }
    response.responses_count = alter->count;
    request__reply(request, &response);
}

static void start(struct request *request)
{
    const struct alter_configs_request *body = request->body;
    struct config_alter *alter = config_alter__create(&request->arena, body->resources_count);
    bool fits = alter != NULL;
    for (int32_t i = 0; fits && i < alter->count; i++)
        fits = resource_fill(&request->arena, &body->resources[i], &alter->resources[i]);
    if (!fits) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    request->work = alter;
    alter->validate_only = body->validate_only;
    alter->serves_loggers = false;
    if (config_alter__start(request, alter))
        request_send_to_control(request);
    else
        answer(request);
}

static void control(struct request *request)
{
    config_alter__control(request, request->work);
}

const struct api_row api__alter_configs = {.key = API_ALTER_CONFIGS,
                                           .version_min = 0,
                                           .version_max = 2,
                                           .on_controller = true,
                                           .start = start,
                                           .resume = answer,
                                           .control = control};
