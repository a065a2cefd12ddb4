// SPDX-License-Identifier: Apache-2.0
/* base/crc32c.c - CRC-32C (Castagnoli) by ISA-L, with the usual conditioning: starts from and ends with all bits turned. */
#include "base/base.h"

#include <isa-l/crc.h>

enum { PIECE_BYTES_MAX = 1 << 30 }; // ISA-L counts in int

uint32_t crc32c_continue(uint32_t crc, const void *data, size_t size)
{
    uint8_t *at = (uint8_t *)(uintptr_t)data;
    crc = ~crc;
    for (size_t piece; size > 0; at += piece, size -= piece) {
        piece = size < PIECE_BYTES_MAX ? size : PIECE_BYTES_MAX;
        crc = crc32_iscsi(at, (int)piece, crc);
    }
    return ~crc;
}

uint32_t crc32c(const void *data, size_t size)
{
    return crc32c_continue(0, data, size);
}
