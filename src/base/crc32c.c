// SPDX-License-Identifier: Apache-2.0
/* base/crc32c.c - CRC-32C (Castagnoli) by ISA-L, with the usual conditioning: starts from and ends with all bits turned.
 *
 * ISA-L is at its best with much data. On x86-64 it takes AVX-512 for little too, and leaves the upper halves of the vector
 * registers in use: all code behind it that is not AVX, and every switch of threads, pays for that. So little is done by
 * the instruction made for it, and after much the registers are cleared (docs/performance.md).
 */
#include "base/base.h"

#include <isa-l/crc.h>

enum { PIECE_BYTES_MAX = 1 << 30 }; // ISA-L counts in int
enum { LITTLE_BYTES_MAX = 256 };

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("sse4.2"))) static uint32_t little(uint32_t crc, const uint8_t *at, size_t size)
{
    uint64_t wide = crc;
    for (uint64_t word; size >= sizeof word; at += sizeof word, size -= sizeof word) {
        memcpy(&word, at, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; at++, size--)
        crc = _mm_crc32_u8(crc, *at);
    return crc;
}

static bool is_little(size_t size)
{
    return size <= LITTLE_BYTES_MAX && __builtin_cpu_supports("sse4.2");
}

__attribute__((target("avx"))) static void upper_halves_clear(void)
{
    _mm256_zeroupper();
}

static uint32_t much(uint32_t crc, uint8_t *at, size_t size)
{
    crc = crc32_iscsi(at, (int)size, crc);
    if (__builtin_cpu_supports("avx"))
        upper_halves_clear();
    return crc;
}
#else
static uint32_t little(uint32_t crc, const uint8_t *at, size_t size)
{
    return crc32_iscsi((uint8_t *)(uintptr_t)at, (int)size, crc);
}

static bool is_little(size_t size)
{
    return size <= LITTLE_BYTES_MAX;
}

static uint32_t much(uint32_t crc, uint8_t *at, size_t size)
{
    return crc32_iscsi(at, (int)size, crc);
}
#endif

uint32_t crc32c_continue(uint32_t crc, const void *data, size_t size)
{
    uint8_t *at = (uint8_t *)(uintptr_t)data;
    crc = ~crc;
    if (is_little(size))
        return ~little(crc, at, size);
    for (size_t piece; size > 0; at += piece, size -= piece) {
        piece = size < PIECE_BYTES_MAX ? size : PIECE_BYTES_MAX;
        crc = much(crc, at, piece);
    }
    return ~crc;
}

uint32_t crc32c(const void *data, size_t size)
{
    return crc32c_continue(0, data, size);
}
