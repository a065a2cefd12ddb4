// SPDX-License-Identifier: Apache-2.0
/* broker/refused.c - records that were refused, in the words of Apache Kafka's LogValidator: clients show them to people, and
 * librdkafka tells the good records of a batch from the bad ones by their indexes.
 */
#include "broker/refused.h"

enum { SHOWN_MAX = 3 }; // of them in the message of the batch

static struct slice word(struct arena *arena, const struct record_refusal *refusal, const struct record_rules *rules,
                         struct slice topic, int32_t partition)
{
    switch (refusal->reason) {
    case RECORD_HAS_NO_KEY:
        return arena_printf(arena, "Compacted topic cannot accept message without key in topic partition %.*s-%d",
                            (int)topic.size, (const char *)topic.data, (int)partition);
    case RECORD_OUT_OF_ORDER:
        return arena_printf(arena, "Inner record %d does not have incremental offsets.", (int)refusal->index);
    case RECORD_OUT_OF_TIME:
        return arena_printf(
            arena,
            "Timestamp %lld of message with offset %d is out of range. The timestamp should be within [%lld, %lld]",
            (long long)refusal->timestamp_ms, (int)refusal->index,
            (long long)((uint64_t)rules->now_ms - (uint64_t)rules->timestamp_before_max_ms),
            (long long)((uint64_t)rules->now_ms + (uint64_t)rules->timestamp_after_max_ms));
    case RECORD_CLAIMS_APPEND_TIME:
        return arena_printf(arena,
                            "Invalid timestamp type in message DefaultRecord(offset=%d, timestamp=%lld, key=%d bytes, "
                            "value=%d bytes). Producer should not set timestamp type to LogAppendTime.",
                            (int)refusal->index, (long long)refusal->timestamp_ms, (int)refusal->key_size_bytes,
                            (int)refusal->value_size_bytes);
    }
    assert(!"a reason");
    return SLICE_NULL;
}

static struct slice sum(struct arena *arena, const struct record_fault *fault,
                        const struct produce_response_batch_index_and_error_message *errors, int16_t error)
{
    if (error == KAFKA_INVALID_TIMESTAMP)
        return slice_str("One or more records have been rejected due to invalid timestamp");
    struct buffer text CLEANUP(buffer_free) = {0};
    buffer_printf(&text,
                  "One or more records have been rejected due to %d record errors in total, and only showing the first "
                  "three errors at most: [",
                  (int)fault->refused_count);
    for (int32_t i = 0; i < min_i64(SHOWN_MAX, fault->refusal_count); i++)
        buffer_printf(&text, "%sRecordError(batchIndex=%d, message='%.*s')", i > 0 ? ", " : "",
                      (int)errors[i].batch_index, (int)errors[i].batch_index_error_message.size,
                      (const char *)errors[i].batch_index_error_message.data);
    buffer_append(&text, "]", 1);
    return arena_copy(arena, slice_of(text.data, text.size));
}

void refused__tell(struct arena *arena, const struct record_fault *fault, const struct record_rules *rules,
                   struct slice topic, int32_t partition, struct produce_response_partition_produce_response *reply)
{
    if (fault->refusal_count == 0)
        return;
    struct produce_response_batch_index_and_error_message *errors =
        arena_array(arena, (size_t)fault->refusal_count, sizeof *errors);
    int32_t count = 0;
    for (; errors && count < fault->refusal_count; count++) {
        struct slice text = word(arena, &fault->refusals[count], rules, topic, partition);
        if (slice_is_null(text))
            break;
        produce_response_batch_index_and_error_message_init(&errors[count]);
        errors[count].batch_index = fault->refusals[count].index;
        errors[count].batch_index_error_message = text;
    }
    if (count < fault->refusal_count)
        return; // no room to tell it
    reply->record_errors = errors;
    reply->record_errors_count = count;
    reply->error_message = sum(arena, fault, errors, reply->error_code);
}
