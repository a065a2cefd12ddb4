// SPDX-License-Identifier: Apache-2.0
/* http/exchange.c - one request and its answer: what it asks for, and how it is told that something is wrong.
 *
 * Every refusal is JSON: {"error": a name that programs compare, "message": a sentence that people read}.
 */
#include "http/http__.h"

#include <errno.h>
#include <stdlib.h>

const char *exchange__query(const struct exchange *e, const char *name)
{
    for (int i = 0; i < e->query_count; i++)
        if (strcmp(e->query[i].name, name) == 0)
            return e->query[i].value;
    return NULL;
}

int64_t exchange__query_i64(const struct exchange *e, const char *name, int64_t otherwise, int64_t least, int64_t most)
{
    const char *text = exchange__query(e, name);
    if (!text || !*text)
        return otherwise;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end)
        return otherwise;
    return max_i64(least, min_i64(most, value));
}

struct json exchange__json(struct exchange *e)
{
    e->status = 200;
    e->type = "application/json";
    return json__begin(&e->out);
}

void exchange__fail(struct exchange *e, unsigned status, const char *error, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    e->out.size = 0;
    struct json j = exchange__json(e);
    json__open(&j, NULL, '{');
    json__string(&j, "error", error);
    json__string(&j, "message", text);
    json__close(&j, '}');
    e->status = status;
}

static unsigned status_of(int16_t error)
{
    switch (error) {
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
    case KAFKA_UNKNOWN_TOPIC_ID:
    case KAFKA_GROUP_ID_NOT_FOUND:
        return 404;
    case KAFKA_TOPIC_ALREADY_EXISTS:
    case KAFKA_NON_EMPTY_GROUP:
        return 409;
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE:
        return 413;
    case KAFKA_TOPIC_AUTHORIZATION_FAILED:
    case KAFKA_GROUP_AUTHORIZATION_FAILED:
    case KAFKA_CLUSTER_AUTHORIZATION_FAILED:
        return 403;
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS:
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
    case KAFKA_NOT_COORDINATOR:
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
    case KAFKA_LEADER_NOT_AVAILABLE:
    case KAFKA_KAFKA_STORAGE_ERROR:
    case KAFKA_UNKNOWN_SERVER_ERROR:
        return 503;
    default:
        return 400;
    }
}

bool exchange__fail_kafka(struct exchange *e, int16_t error, struct slice message)
{
    if (error == KAFKA_NONE)
        return false;
    const char *name = kafka_error_name(error);
    if (message.size > 0)
        exchange__fail(e, status_of(error), name, "%.*s", (int)min_i64((int64_t)message.size, 500),
                       (const char *)message.data);
    else
        exchange__fail(e, status_of(error), name, "the broker answers %s", name);
    return true;
}

void *exchange__ask(struct exchange *e, int16_t api_key, int16_t highest_version, const void *body)
{
    if (!asker__serves(api_key)) {
        const struct wire_api *api = wire_api_find(api_key);
        exchange__fail(e, 501, "NOT_SERVED", "this broker does not serve %s yet", api ? api->name : "that request");
        return NULL;
    }
    void *answer = asker__ask(&e->asker, api_key, highest_version, body);
    if (!answer)
        exchange__fail(e, 503, "BUSY", "the broker is busy or stops; try again");
    return answer;
}
