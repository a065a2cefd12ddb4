// SPDX-License-Identifier: Apache-2.0
/* record/inflate.c - decompression through a window: gzip, snappy (xerial blocks or one raw block), lz4 frames, zstd.
 *
 * Whatever a batch claims, at most `out_max` bytes come out of it, WINDOW_BYTES at a time; snappy has no stream, so one
 * block (bounded by SNAPPY_BLOCK_MAX) is the unit there. Contexts are kept in the scratch and reset, not made anew.
 */
#include "record/inflate.h"

#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum {
    GZIP_WINDOW = 15 + 16,
    SNAPPY_BLOCK_MAX = 128 << 20,
    SNAPPY_RATIO_MAX = 32, // an element of 3 bytes copies at most 64
    ZSTD_WINDOW_LOG_MAX = 27,
};
static const uint8_t XERIAL_MAGIC[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
enum { XERIAL_HEAD_BYTES = 16 };

struct record_scratch *record_scratch_create(void)
{
    return mem_zalloc(sizeof(struct record_scratch));
}

void record_scratch_free(struct record_scratch *scratch)
{
    if (!scratch)
        return;
    if (scratch->zlib)
        inflateEnd(scratch->zlib);
    mem_free(scratch->zlib);
    LZ4F_freeDecompressionContext(scratch->lz4);
    ZSTD_freeDCtx(scratch->zstd);
    buffer_free(&scratch->block);
    mem_free(scratch);
}

static bool fail(struct inflate *s)
{
    s->failed = true;
    s->at = s->end = NULL;
    return false;
}

static bool gzip_begin(struct inflate *s)
{
    z_stream *z = s->scratch->zlib;
    if (z)
        return inflateReset2(z, GZIP_WINDOW) == Z_OK;
    z = s->scratch->zlib = mem_zalloc(sizeof *z);
    return inflateInit2(z, GZIP_WINDOW) == Z_OK;
}

static bool lz4_begin(struct inflate *s)
{
    if (!s->scratch->lz4) {
        LZ4F_dctx *context = NULL;
        if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
            return false;
        s->scratch->lz4 = context;
    }
    LZ4F_resetDecompressionContext(s->scratch->lz4);
    return true;
}

static bool zstd_begin(struct inflate *s)
{
    if (!s->scratch->zstd)
        s->scratch->zstd = ZSTD_createDCtx();
    return s->scratch->zstd && !ZSTD_isError(ZSTD_DCtx_reset(s->scratch->zstd, ZSTD_reset_session_only)) &&
           !ZSTD_isError(ZSTD_DCtx_setParameter(s->scratch->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX));
}

static void snappy_begin(struct inflate *s)
{
    if (s->in.size < XERIAL_HEAD_BYTES || memcmp(s->in.data, XERIAL_MAGIC, sizeof XERIAL_MAGIC) != 0)
        return;
    s->snappy_framed = true;
    s->in.data += XERIAL_HEAD_BYTES;
    s->in.size -= XERIAL_HEAD_BYTES;
}

void record__inflate_begin(struct inflate *s, struct record_scratch *scratch, enum record_codec codec,
                           struct slice compressed, uint64_t out_max)
{
    *s = (struct inflate){.scratch = scratch, .codec = codec, .in = compressed, .out_max = out_max};
    bool ok = true;
    if (codec == RECORD_GZIP)
        ok = gzip_begin(s);
    else if (codec == RECORD_LZ4)
        ok = lz4_begin(s);
    else if (codec == RECORD_ZSTD)
        ok = zstd_begin(s);
    else if (codec == RECORD_SNAPPY)
        snappy_begin(s);
    if (!ok)
        fail(s);
}

static bool gzip_refill(struct inflate *s, size_t *ret_size)
{
    z_stream *z = s->scratch->zlib;
    z->next_in = (Bytef *)(uintptr_t)s->in.data;
    z->avail_in = (uInt)s->in.size;
    z->next_out = s->scratch->window;
    z->avail_out = WINDOW_BYTES;
    int result = inflate(z, Z_NO_FLUSH);
    s->in = slice_of(z->next_in, z->avail_in);
    *ret_size = WINDOW_BYTES - z->avail_out;
    if (result == Z_STREAM_END) {
        s->finished = s->in.size == 0;
        return s->finished || inflateReset2(z, GZIP_WINDOW) == Z_OK; // members may follow each other
    }
    return result == Z_OK && (*ret_size > 0 || s->in.size > 0);
}

static bool lz4_refill(struct inflate *s, size_t *ret_size)
{
    size_t out = WINDOW_BYTES, in = s->in.size;
    size_t hint = LZ4F_decompress(s->scratch->lz4, s->scratch->window, &out, s->in.data, &in, NULL);
    if (LZ4F_isError(hint))
        return false;
    s->in.data += in;
    s->in.size -= in;
    *ret_size = out;
    s->finished = hint == 0;
    return s->finished || out > 0 || in > 0;
}

static bool zstd_refill(struct inflate *s, size_t *ret_size)
{
    ZSTD_inBuffer in = {s->in.data, s->in.size, 0};
    ZSTD_outBuffer out = {s->scratch->window, WINDOW_BYTES, 0};
    size_t hint = ZSTD_decompressStream(s->scratch->zstd, &out, &in);
    if (ZSTD_isError(hint))
        return false;
    s->in.data += in.pos;
    s->in.size -= in.pos;
    *ret_size = out.pos;
    s->finished = hint == 0 && s->in.size == 0;
    return s->finished || out.pos > 0 || in.pos > 0;
}

static bool snappy_take_block(struct inflate *s, struct slice *ret_block)
{
    *ret_block = s->in;
    if (s->snappy_framed) {
        if (s->in.size < 4)
            return false;
        uint64_t size = record__be(s->in.data, 4);
        if (size > s->in.size - 4)
            return false;
        *ret_block = slice_of(s->in.data + 4, (size_t)size);
    }
    s->in.data = ret_block->data + ret_block->size;
    s->in.size -= ret_block->size + (s->snappy_framed ? 4 : 0);
    s->finished = s->in.size == 0;
    return true;
}

static bool snappy_refill(struct inflate *s, size_t *ret_size)
{
    struct slice block;
    size_t size;
    if (!snappy_take_block(s, &block) ||
        snappy_uncompressed_length((const char *)block.data, block.size, &size) != SNAPPY_OK)
        return false;
    if (size > SNAPPY_BLOCK_MAX || size > block.size * SNAPPY_RATIO_MAX)
        return false;
    s->is_over = size > s->out_max - s->out_bytes;
    if (s->is_over)
        return false;
    struct buffer *out = &s->scratch->block;
    out->size = 0;
    buffer_reserve(out, size + 1);
    *ret_size = size;
    return snappy_uncompress((const char *)block.data, block.size, (char *)out->data, ret_size) == SNAPPY_OK;
}

bool record__inflate_refill(struct inflate *s)
{
    if (s->codec == RECORD_NONE && !s->finished && !s->failed) {
        s->at = s->in.data;
        s->end = s->in.data + s->in.size;
        s->finished = true;
        return s->in.size > 0;
    }
    for (size_t size = 0; !s->failed && !s->finished;) {
        bool ok = s->codec == RECORD_GZIP   ? gzip_refill(s, &size)
                  : s->codec == RECORD_LZ4  ? lz4_refill(s, &size)
                  : s->codec == RECORD_ZSTD ? zstd_refill(s, &size)
                                            : snappy_refill(s, &size);
        s->is_over |= ok && size > s->out_max - s->out_bytes;
        if (!ok || s->is_over)
            return fail(s);
        s->out_bytes += size;
        s->at = s->codec == RECORD_SNAPPY ? s->scratch->block.data : s->scratch->window;
        s->end = s->at + size;
        if (size > 0)
            return true;
    }
    return false;
}

/* ---- the other way */
static struct status gzip_all(int level, struct slice in, struct buffer *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return STATUS(ENOMEM, "start gzip");
    buffer_reserve(out, deflateBound(&z, in.size));
    z.next_in = (Bytef *)(uintptr_t)in.data;
    z.avail_in = (uInt)in.size;
    z.next_out = out->data + out->size;
    z.avail_out = (uInt)(out->capacity - out->size);
    int result = deflate(&z, Z_FINISH);
    out->size = out->capacity - z.avail_out;
    deflateEnd(&z);
    return result == Z_STREAM_END ? STATUS_OK : STATUS(EIO, "compress with gzip");
}

static struct status snappy_all(struct slice in, struct buffer *out)
{
    size_t size = snappy_max_compressed_length(in.size);
    buffer_append(out, XERIAL_MAGIC, sizeof XERIAL_MAGIC);
    buffer_append(out, "\0\0\0\1\0\0\0\1", 8); // version and compatible version
    size_t at = out->size;
    buffer_reserve(out, size + 4);
    if (snappy_compress((const char *)in.data, in.size, (char *)out->data + at + 4, &size) != SNAPPY_OK)
        return STATUS(EIO, "compress with snappy");
    for (int i = 0; i < 4; i++)
        out->data[at + (size_t)i] = (uint8_t)(size >> (24 - 8 * i));
    out->size = at + 4 + size;
    return STATUS_OK;
}

static struct status lz4_all(int level, struct slice in, struct buffer *out)
{
    LZ4F_preferences_t preferences = {.compressionLevel = level, .frameInfo = {.blockMode = LZ4F_blockIndependent}};
    size_t bound = LZ4F_compressFrameBound(in.size, &preferences);
    buffer_reserve(out, bound);
    size_t size = LZ4F_compressFrame(out->data + out->size, bound, in.data, in.size, &preferences);
    if (LZ4F_isError(size))
        return STATUS(EIO, "compress with lz4");
    out->size += size;
    return STATUS_OK;
}

static struct status zstd_all(int level, struct slice in, struct buffer *out)
{
    size_t bound = ZSTD_compressBound(in.size);
    buffer_reserve(out, bound);
    size_t size = ZSTD_compress(out->data + out->size, bound, in.data, in.size, level);
    if (ZSTD_isError(size))
        return STATUS(EIO, "compress with zstd");
    out->size += size;
    return STATUS_OK;
}

struct status record__deflate_all(enum record_codec codec, int level, struct slice in, struct buffer *out)
{
    switch (codec) {
    case RECORD_NONE:
        buffer_append(out, in.data, in.size);
        return STATUS_OK;
    case RECORD_GZIP:
        return gzip_all(level, in, out);
    case RECORD_SNAPPY:
        return snappy_all(in, out);
    case RECORD_LZ4:
        return lz4_all(level, in, out);
    case RECORD_ZSTD:
        return zstd_all(level, in, out);
    }
    return STATUS(ENOTSUP, "compress with an unknown codec");
}
