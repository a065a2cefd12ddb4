// SPDX-License-Identifier: Apache-2.0
/* broker/api_update_features.c - UpdateFeatures: feature levels of the cluster go up and down (KIP-584, 778, 1022).
 *
 * All or none. Version 0 knows no kind of upgrade but the one: its flag for downgrades is passed over, as Apache Kafka does.
 * A refusal is told once for all; where versions 0 and 1 go well they repeat each feature.
 */
#include "broker/broker__.h"
#include "wire/gen/update_features.h"

typedef struct update_features_response_updatable_feature_result feature_reply;

struct features_work {
    struct ctrl_feature_update *updates;
    int32_t count;
    struct ctrl_result result;
};

static void start(struct request *request)
{
    const struct update_features_request *body = request->body;
    struct features_work *work = request->work = arena_zalloc(&request->arena, sizeof *work);
    size_t count = (size_t)max_i64(body->feature_updates_count, 0);
    if (work)
        work->updates = arena_array(&request->arena, count, sizeof *work->updates);
    if (!work || request->arena.failed) {
        request_refuse(request, "it needs more memory than one request may have");
        return;
    }
    for (size_t i = 0; i < count; i++)
        work->updates[work->count++] = (struct ctrl_feature_update){
            body->feature_updates[i].feature, body->feature_updates[i].max_version_level,
            request->api_version == 0 ? (int8_t)CTRL_UPGRADE : body->feature_updates[i].upgrade_type};
    request_send_to_control(request);
}

static void control(struct request *request)
{
    const struct update_features_request *body = request->body;
    struct features_work *work = request->work;
    struct broker *broker = request->home->broker;
    struct status s = ctrl_update_features(control__ctrl(broker->control), work->updates, work->count,
                                           body->validate_only, &request->arena, io_wall_ms(), &work->result);
    if (!status_is_ok(s))
        broker__fail(broker, s);
}

static void results_fill(struct request *request, struct update_features_response *response)
{
    const struct features_work *work = request->work;
    response->results = arena_array(&request->arena, (size_t)work->count, sizeof *response->results);
    for (int32_t i = 0; response->results && i < work->count; i++) {
        feature_reply *reply = &response->results[response->results_count++];
        update_features_response_updatable_feature_result_init(reply);
        reply->feature = work->updates[i].name;
        reply->error_message = slice_str("NONE"); // Kafka's word where nothing is wrong
    }
}

static void resume(struct request *request)
{
    const struct features_work *work = request->work;
    struct update_features_response response;
    update_features_response_init(&response);
    response.error_code = work->result.error;
    response.error_message = SLICE_NULL;
    if (response.error_code == KAFKA_NONE)
        results_fill(request, &response);
    else
        response.error_message = arena_printf(
            &request->arena, "The update failed for all features since the following feature had an error: %.*s",
            (int)work->result.message.size, (const char *)work->result.message.data);
    if (request->arena.failed)
        request_refuse(request, "it needs more memory than one request may have");
    else
        request__reply(request, &response);
}

const struct api_row api__update_features = {.key = API_UPDATE_FEATURES,
                                             .version_min = 0,
                                             .version_max = 2,
                                             .on_controller = true,
                                             .start = start,
                                             .resume = resume,
                                             .control = control};
