// SPDX-License-Identifier: Apache-2.0
/* meta/meta_fuzz.c - hostile metadata records: each piece of the input, behind its size, is applied as one record.
 *
 * Nothing may crash, a refused record may change nothing, and the state that comes out must survive a snapshot.
 */
#include "meta/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply_emitted(void *context, struct slice record)
{
    struct meta_builder *again = context;
    struct status status = meta_apply(again, record);
    assert(status_is_ok(status));
}

static void check_snapshot(struct meta_builder *builder)
{
    struct meta_image *image = meta_builder_image(builder);
    struct meta_builder *again = meta_builder_create(NULL);
    meta_snapshot_write(image, apply_emitted, again);
    assert(meta_image_equal(image, meta_builder_view(again)));
    meta_builder_free(again);
    meta_image_unref(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct meta_builder *builder = meta_builder_create(NULL);
    while (size > 0) {
        size_t piece = data[0];
        if (piece > size - 1)
            piece = size - 1;
        struct meta_builder *before = meta_builder_create(meta_builder_view(builder));
        struct status status = meta_apply(builder, slice_of(data + 1, piece));
        if (!status_is_ok(status))
            assert(meta_image_equal(meta_builder_view(before), meta_builder_view(builder)));
        meta_builder_free(before);
        data += 1 + piece;
        size -= 1 + piece;
    }
    check_snapshot(builder);
    meta_builder_free(builder);
    return 0;
}
