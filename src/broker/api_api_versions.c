// SPDX-License-Identifier: Apache-2.0
/* broker/api_api_versions.c - ApiVersions: what this broker serves, and the feature levels of the cluster (KIP-35, 511,
 * 584, 1022).
 *
 * The ranges come from the dispatch table, those of the listener that asks. A version of ApiVersions itself that we do not
 * know is answered in version 0 with UNSUPPORTED_VERSION and our range, so that a newer client can ask again. Produce is
 * advertised from version 0 as Apache Kafka does it: old clients of librdkafka take the first version for a sign of
 * whether compression works. Features stand in the order in which Kafka 4.3.1 gives them.
 */
#include "broker/broker__.h"
#include "wire/gen/api_versions.h"

typedef struct api_versions_response_api_version api_range;
typedef struct api_versions_response_supported_feature_key supported_feature;
typedef struct api_versions_response_finalized_feature_key finalized_feature;

enum { FEATURES_MAX = 16 };

static const char *const supported_order[] = {
    "group.version",
    "kraft.version",
    "metadata.version",
    "share.version",
    "streams.version",
    "transaction.version",
    "eligible.leader.replicas.version",
};
static const char *const finalized_order[] = {
    "group.version",
    "kraft.version",
    "share.version",
    "metadata.version",
    "streams.version",
    "transaction.version",
    "eligible.leader.replicas.version",
};

static api_range range_of(const struct api_row *row)
{
    return (api_range){.api_key = row->key, .min_version = row->version_min, .max_version = row->version_max};
}

static int32_t ranges_fill(const struct request *request, api_range ranges[API_KEY_COUNT])
{
    const struct api_row *const *rows = request__rows();
    int32_t count = 0;
    for (int key = 0; key < API_KEY_COUNT; key++)
        if (rows[key] && (rows[key]->on_controller || !request->listener->is_controller))
            ranges[count++] = range_of(rows[key]);
    return count;
}

static const struct meta_known_feature *known_find(const char *name)
{
    int count;
    const struct meta_known_feature *known = meta_known_features(&count);
    for (int i = 0; i < count; i++)
        if (strcmp(known[i].name, name) == 0)
            return &known[i];
    return NULL;
}

/* Before version 4, clients fail on a feature whose lowest level is 0 (KAFKA-17492): they are not told of it. */
static int32_t supported_fill(int16_t version, supported_feature features[FEATURES_MAX])
{
    int32_t count = 0;
    for (size_t i = 0; i < COUNT_OF(supported_order); i++) {
        const struct meta_known_feature *known = known_find(supported_order[i]);
        if (!known || (version < 4 && known->min == 0))
            continue;
        features[count++] =
            (supported_feature){.name = slice_str(known->name), .min_version = known->min, .max_version = known->max};
    }
    return count;
}

static int32_t finalized_fill(const struct request *request, finalized_feature features[FEATURES_MAX])
{
    int32_t count = 0;
    for (size_t i = 0; i < COUNT_OF(finalized_order); i++) {
        int16_t level = broker__level_in(request->home->broker, request->home->image, finalized_order[i]);
        if (level > 0)
            features[count++] = (finalized_feature){
                .name = slice_str(finalized_order[i]), .min_version_level = level, .max_version_level = level};
    }
    return count;
}

static bool is_letter_or_digit(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters and digits, with dots and dashes inside (KIP-511). */
static bool is_software_text(struct slice text)
{
    if (text.size == 0 || !is_letter_or_digit(text.data[0]) || !is_letter_or_digit(text.data[text.size - 1]))
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (!is_letter_or_digit(text.data[i]) && text.data[i] != '.' && text.data[i] != '-')
            return false;
    return true;
}

static bool is_valid(const struct request *request)
{
    const struct api_versions_request *body = request->body;
    return request->api_version < 3 ||
           (is_software_text(body->client_software_name) && is_software_text(body->client_software_version));
}

static void answer_unknown_version(struct request *request)
{
    api_range own = range_of(request->api);
    struct api_versions_response response;
    api_versions_response_init(&response);
    response.error_code = KAFKA_UNSUPPORTED_VERSION;
    response.api_keys = &own;
    response.api_keys_count = 1;
    struct wire_writer *out = request_reply_begin(request);
    api_versions_response_write(out, 0, &response);
    request_reply_end(request);
}

static void start(struct request *request)
{
    if (!request->body) {
        answer_unknown_version(request);
        return;
    }
    struct api_versions_response response;
    api_versions_response_init(&response);
    if (!is_valid(request)) {
        response.error_code = KAFKA_INVALID_REQUEST;
        request__reply(request, &response);
        return;
    }
    const struct api_versions_request *body = request->body;
    if (body->client_software_name.size > 0)
        clients__introduced(request->home->broker->clients, body->client_software_name, body->client_software_version,
                            request->home->wall_ms);
    api_range ranges[API_KEY_COUNT];
    supported_feature supported[FEATURES_MAX];
    finalized_feature finalized[FEATURES_MAX];
    response.api_keys = ranges;
    response.api_keys_count = ranges_fill(request, ranges);
    response.supported_features = supported;
    response.supported_features_count = supported_fill(request->api_version, supported);
    response.finalized_features_epoch = request->home->image->offset;
    response.finalized_features = finalized;
    response.finalized_features_count = finalized_fill(request, finalized);
    request__reply(request, &response);
}

static_assert(COUNT_OF(supported_order) <= FEATURES_MAX && COUNT_OF(finalized_order) <= FEATURES_MAX,
              "all features fit");

const struct api_row api__api_versions = {
    .key = API_API_VERSIONS, .version_min = 0, .version_max = 4, .on_controller = true, .start = start};
