// SPDX-License-Identifier: Apache-2.0
/* record/message_set.h - what both directions of the old formats share. */
#pragma once

#include "record/inflate.h"

/* Clients of magic 0 compute the checksum of an LZ4 frame's head over its magic number too. Puts the checksum of the frame
 * at `frame` right, or wrong in their way; false: no frame. */
bool record__lz4_head_check(uint8_t *frame, size_t size, bool as_magic_0);
