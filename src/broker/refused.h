// SPDX-License-Identifier: Apache-2.0
/* broker/refused.h - what a Produce answer says of records that were refused (KIP-467). */
#pragma once

#include "broker/broker__.h"
#include "wire/gen/produce.h"

/* Fills in record_errors and error_message, in Kafka's words; both lie in the arena, and are left out where it is full. */
void refused__tell(struct arena *arena, const struct record_fault *fault, const struct record_rules *rules,
                   struct slice topic, int32_t partition, struct produce_response_partition_produce_response *reply);
