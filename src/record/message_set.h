// SPDX-License-Identifier: Apache-2.0
/* record/message_set.h - what all that read or write the old formats share. */
#pragma once

#include "record/inflate.h"

struct message {
    int8_t magic;
    uint8_t attributes;
    int64_t timestamp_ms; // -1: none
    struct slice key, value;
};

static inline enum record_codec record__message_codec(const struct message *message)
{
    return (enum record_codec)(message->attributes & RECORD_ATTRIBUTE_CODEC);
}

/* False at the end, and where what is left is shorter than it says. */
bool record__set_holds_another(struct slice rest);
bool record__message_crc_fits(struct slice message); // one whole message
/* Takes the next message off a set that holds another; the checksum is not looked at. A Kafka error code. */
int16_t record__message_take(struct slice *rest, struct message *ret_message);
/* The set inside of a wrapper; MESSAGE_TOO_LARGE when it holds more than `size_max_bytes`. */
int16_t record__wrapper_inflate(const struct message *wrapper, struct record_scratch *scratch, uint64_t size_max_bytes,
                                struct buffer *ret_set);
/* What one stored message of format 0 or 1 holds, as a batch of format 2 without a codec. EBADMSG: it cannot be read. */
MUST_USE struct status record__stored_up(struct slice message, struct buffer *ret_batch);

/* Clients of magic 0 compute the checksum of an LZ4 frame's head over its magic number too. Puts the checksum of the frame
 * at `frame` right, or wrong in their way; false: no frame. */
bool record__lz4_head_check(uint8_t *frame, size_t size, bool as_magic_0);
