// SPDX-License-Identifier: Apache-2.0
/* http/api_produce.c - POST .../messages: a few messages, or the rows and chunks of a file, into a topic.
 *
 *   {"partition": n (absent: by key, or the same for all without), "acks": -1,
 *    "messages": [{"key": text|null, "value": text|null, "encoding": "utf8"|"base64", "headers": [{"key", "value"}],
 *                  "timestamp": ms}]}
 *
 * All messages of a request that go to one partition are one batch, so they are there together or not at all. A key's
 * partition is the one that Kafka's own clients choose (murmur2 of the key).
 */
#include "http/body__.h"

#include "wire/gen/produce.h"

enum { TIMEOUT_MS = 30000, MESSAGES_MAX = 50000, HEADERS_MAX = 256 };

uint32_t murmur2__hash(struct slice key)
{
    const uint32_t M = 0x5bd1e995;
    const uint8_t *at = key.data;
    size_t left = key.size;
    uint32_t h = 0x9747b28c ^ (uint32_t)key.size;
    for (; left >= 4; at += 4, left -= 4) {
        uint32_t k = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        k *= M;
        k ^= k >> 24;
        h = h * M ^ k * M;
    }
    if (left >= 3)
        h ^= (uint32_t)at[2] << 16;
    if (left >= 2)
        h ^= (uint32_t)at[1] << 8;
    if (left >= 1)
        h = (h ^ at[0]) * M;
    h = (h ^ h >> 13) * M;
    return h ^ h >> 15;
}

/* ---- base64 with or without padding; false: not base64 */
static bool decode_base64(const char *text, struct buffer *out)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int have = 0;
    for (; *text && *text != '='; text++) {
        const char *digit = strchr(DIGITS, *text);
        if (!digit)
            return false;
        bits = bits << 6 | (uint32_t)(digit - DIGITS);
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        uint8_t byte = (uint8_t)(bits >> have);
        buffer_append(out, &byte, 1);
    }
    return text[strspn(text, "=")] == '\0';
}

struct parts {
    struct buffer key, value, headers;
    bool has_key, has_value;
};

static bool read_part(const json_t *node, bool is_base64, struct buffer *out, bool *ret_has)
{
    out->size = 0;
    *ret_has = json_is_string(node);
    if (!*ret_has)
        return !node || json_is_null(node);
    if (is_base64)
        return decode_base64(json_string_value(node), out);
    buffer_append(out, json_string_value(node), json_string_length(node));
    return true;
}

static void put_varint(struct buffer *out, int64_t value)
{
    uint64_t left = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    do {
        uint8_t byte = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
        buffer_append(out, &byte, 1);
        left >>= 7;
    } while (left > 0);
}

static bool read_headers(const json_t *headers, struct buffer *out)
{
    out->size = 0;
    size_t count = json_array_size(headers);
    if (count > HEADERS_MAX)
        return false;
    put_varint(out, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        const json_t *header = json_array_get(headers, i);
        const json_t *key = json_object_get(header, "key"), *value = json_object_get(header, "value");
        if (!json_is_string(key))
            return false;
        put_varint(out, (int64_t)json_string_length(key));
        buffer_append(out, json_string_value(key), json_string_length(key));
        put_varint(out, json_is_string(value) ? (int64_t)json_string_length(value) : -1);
        if (json_is_string(value))
            buffer_append(out, json_string_value(value), json_string_length(value));
    }
    return true;
}

/* ---- batches, one for each partition that gets something */
struct outgoing {
    struct record_builder *builders; // by span
    struct spans spans;
    int count; // of messages
};

static bool add(struct exchange *e, const json_t *message, struct parts *parts, int only, int fallback,
                struct outgoing *out)
{
    const char *encoding = json_string_value(json_object_get(message, "encoding"));
    bool is_base64 = encoding && strcmp(encoding, "base64") == 0;
    const json_t *key = json_object_get(message, "key"), *value = json_object_get(message, "value");
    if (!json_is_object(message) || !read_part(key, is_base64, &parts->key, &parts->has_key) ||
        !read_part(value, is_base64, &parts->value, &parts->has_value) ||
        !read_headers(json_object_get(message, "headers"), &parts->headers)) {
        exchange__fail(e, 400, "INVALID",
                       "a message has key and value (texts, or base64 with \"encoding\"), headers and timestamp");
        return false;
    }
    const json_t *timestamp = json_object_get(message, "timestamp");
    int64_t at_ms = json_is_integer(timestamp) ? json_integer_value(timestamp) : io_wall_ms();
    struct slice key_bytes =
        parts->has_key ? slice_of(parts->key.data ? parts->key.data : (uint8_t *)"", parts->key.size) : SLICE_NULL;
    struct slice value_bytes = parts->has_value
                                   ? slice_of(parts->value.data ? parts->value.data : (uint8_t *)"", parts->value.size)
                                   : SLICE_NULL;
    int span = only >= 0        ? only
               : parts->has_key ? (int)((murmur2__hash(key_bytes) & 0x7fffffff) % (uint32_t)out->spans.count)
                                : fallback;
    struct record_builder *builder = &out->builders[span];
    if (builder->count == 0)
        record_builder_begin(builder);
    record_builder_add_with(builder, at_ms, key_bytes, value_bytes, slice_of(parts->headers.data, parts->headers.size));
    out->count++;
    return true;
}

static bool gather(struct exchange *e, const json_t *body, struct outgoing *out)
{
    const json_t *messages = json_object_get(body, "messages"), *wanted = json_object_get(body, "partition");
    size_t count = json_array_size(messages);
    if (count == 0 || count > MESSAGES_MAX) {
        exchange__fail(e, 400, "INVALID", "\"messages\" is an array of 1 to %d messages", MESSAGES_MAX);
        return false;
    }
    int only = -1;
    for (int i = 0; json_is_integer(wanted) && i < out->spans.count; i++)
        if (out->spans.items[i].partition == json_integer_value(wanted))
            only = i;
    if (json_is_integer(wanted) && only < 0) {
        exchange__fail(e, 404, "UNKNOWN_TOPIC_OR_PARTITION", "the topic has no such partition");
        return false;
    }
    uint32_t drawn;
    io_random(&drawn, sizeof drawn);
    struct parts parts = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = add(e, json_array_get(messages, i), &parts, only, (int)(drawn % (uint32_t)out->spans.count), out);
    buffer_free(&parts.key);
    buffer_free(&parts.value);
    buffer_free(&parts.headers);
    return ok;
}

static bool tell(struct exchange *e, const struct produce_response *answer)
{
    for (int32_t i = 0; i < answer->responses[0].partition_responses_count; i++) {
        const struct produce_response_partition_produce_response *p = &answer->responses[0].partition_responses[i];
        if (exchange__fail_kafka(e, p->error_code, p->error_message))
            return false;
    }
    struct json j = exchange__json(e);
    json__open(&j, NULL, '{');
    json__open(&j, "partitions", '[');
    for (int32_t i = 0; i < answer->responses[0].partition_responses_count; i++) {
        json__open(&j, NULL, '{');
        json__i64(&j, "partition", answer->responses[0].partition_responses[i].index);
        json__i64(&j, "baseOffset", answer->responses[0].partition_responses[i].base_offset);
        json__close(&j, '}');
    }
    json__close(&j, ']');
    json__close(&j, '}');
    return true;
}

static void send_all(struct exchange *e, struct slice name, struct outgoing *out)
{
    struct produce_request_partition_produce_data *data = mem_zalloc((size_t)out->spans.count * sizeof *data);
    struct produce_request_topic_produce_data topic;
    produce_request_topic_produce_data_init(&topic);
    topic.name = name;
    topic.partition_data = data;
    for (int i = 0; i < out->spans.count; i++) {
        if (out->builders[i].count == 0)
            continue;
        struct produce_request_partition_produce_data *one = &data[topic.partition_data_count++];
        produce_request_partition_produce_data_init(one);
        one->index = out->spans.items[i].partition;
        one->records = record_builder_finish(&out->builders[i], 0, -1, -1, -1);
    }
    struct produce_request request;
    produce_request_init(&request);
    request.acks = -1;
    request.timeout_ms = TIMEOUT_MS;
    request.topic_data = &topic;
    request.topic_data_count = 1;
    const struct produce_response *answer = exchange__ask(e, API_PRODUCE, 9, &request);
    if (answer && answer->responses_count == 1)
        tell(e, answer);
    mem_free(data);
}

void web__produce(struct exchange *e, struct slice topic)
{
    json_t *body = body__object(e);
    struct outgoing out = {0};
    if (body && spans__choose(e, topic, &out.spans)) {
        out.builders = mem_zalloc((size_t)out.spans.count * sizeof *out.builders);
        if (gather(e, body, &out))
            send_all(e, topic, &out);
        for (int i = 0; i < out.spans.count; i++)
            record_builder_free(&out.builders[i]);
    }
    mem_free(out.builders);
    spans__free(&out.spans);
    json_decref(body);
}
