// SPDX-License-Identifier: Apache-2.0
/* meta/apply.c - from one image to the next: takes a record out of its frame and gives it to the function of its type.
 *
 * Metadata transactions (KIP-868): at Begin the state so far is put aside as an image; End forgets it, Abort goes back to
 * it. Both cost O(1), since trees are shared. A record that is refused leaves everything as it was.
 */
#include "meta/meta__.h"
#include "wire/gen/records_metadata.h"

#include <errno.h>

enum { ARENA_BLOCK_BYTES = 16 << 10, ARENA_LIMIT_BYTES = 256 << 20 };
enum { FRAME_VERSION = 1 };

struct status builder__refuse(struct meta_builder *builder, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(builder->message, sizeof builder->message, format, arguments);
    va_end(arguments);
    return STATUS(error, "metadata record");
}

struct meta_builder *meta_builder_create(const struct meta_image *base)
{
    struct meta_builder *builder = mem_zalloc(sizeof *builder);
    struct meta_image *nothing = base ? NULL : meta_image_create();
    image__share_trees(&builder->view, base ? base : nothing);
    meta_image_unref(nothing);
    arena_init(&builder->arena, ARENA_BLOCK_BYTES, ARENA_LIMIT_BYTES);
    return builder;
}

void meta_builder_free(struct meta_builder *builder)
{
    if (!builder)
        return;
    image__drop_trees(&builder->view);
    meta_image_unref(builder->committed);
    arena_free(&builder->arena);
    mem_free(builder);
}

const char *meta_builder_message(const struct meta_builder *builder)
{
    return builder->message;
}

void meta_builder_position(struct meta_builder *builder, int64_t offset, int32_t epoch, int64_t timestamp_ms)
{
    builder->view.offset = offset;
    builder->view.epoch = epoch;
    builder->view.timestamp_ms = timestamp_ms;
}

const struct meta_image *meta_builder_view(const struct meta_builder *builder)
{
    return &builder->view;
}

struct meta_image *builder__image_of_view(const struct meta_builder *builder)
{
    struct meta_image *image = mem_alloc(sizeof *image);
    image__share_trees(image, &builder->view);
    return image;
}

struct meta_image *meta_builder_image(struct meta_builder *builder)
{
    return builder->committed ? meta_image_ref(builder->committed) : builder__image_of_view(builder);
}

bool meta_builder_in_transaction(const struct meta_builder *builder)
{
    return builder->committed != NULL;
}

static struct status apply_begin(struct meta_builder *builder, const void *record)
{
    if (builder->committed)
        return builder__refuse(builder, EBADMSG, "a metadata transaction begins inside another");
    builder->committed = builder__image_of_view(builder);
    return STATUS_OK;
}

static struct status apply_end(struct meta_builder *builder, const void *record)
{
    if (!builder->committed)
        return builder__refuse(builder, EBADMSG, "a metadata transaction ends that never began");
    meta_image_unref(builder->committed);
    builder->committed = NULL;
    return STATUS_OK;
}

static struct status apply_abort(struct meta_builder *builder, const void *record)
{
    if (!builder->committed)
        return builder__refuse(builder, EBADMSG, "a metadata transaction is aborted that never began");
    struct meta_image *committed = builder->committed, at = builder->view;
    image__drop_trees(&builder->view);
    image__share_trees(&builder->view, committed);
    meta_builder_position(builder, at.offset, at.epoch, at.timestamp_ms);
    return apply_end(builder, record);
}

static struct status apply_nothing(struct meta_builder *builder, const void *record)
{
    return STATUS_OK;
}

static apply_fn *const APPLY[] = {
    [META_REGISTER_BROKER] = apply__register_broker,
    [META_UNREGISTER_BROKER] = apply__unregister_broker,
    [META_TOPIC] = apply__topic,
    [META_PARTITION] = apply__partition,
    [META_CONFIG] = apply__config,
    [META_PARTITION_CHANGE] = apply__partition_change,
    [META_FENCE_BROKER] = apply__fence_broker,
    [META_UNFENCE_BROKER] = apply__unfence_broker,
    [META_REMOVE_TOPIC] = apply__remove_topic,
    [META_DELEGATION_TOKEN] = apply__token,
    [META_SCRAM] = apply__scram,
    [META_FEATURE_LEVEL] = apply__feature_level,
    [META_CLIENT_QUOTA] = apply__quota,
    [META_PRODUCER_IDS] = apply__producer_ids,
    [META_BROKER_CHANGE] = apply__broker_change,
    [META_ACL] = apply__acl,
    [META_REMOVE_ACL] = apply__remove_acl,
    [META_NO_OP] = apply_nothing,
    [META_ZK_MIGRATION] = apply__zk_migration,
    [META_REMOVE_SCRAM] = apply__remove_scram,
    [META_BEGIN_TRANSACTION] = apply_begin,
    [META_END_TRANSACTION] = apply_end,
    [META_ABORT_TRANSACTION] = apply_abort,
    [META_REMOVE_TOKEN] = apply__remove_token,
    [META_REGISTER_CONTROLLER] = apply__register_controller,
    [META_CLEAR_ELR] = apply__clear_elr,
};

static struct status apply_fields(struct meta_builder *builder, struct wire_reader *r,
                                  const struct wire_message *message, uint32_t type, uint32_t version)
{
    void *record = arena_zalloc(&builder->arena, message->size);
    if (!record)
        return builder__refuse(builder, EBADMSG, "%s: too large", message->name);
    message->read(r, (int16_t)version, &builder->arena, record);
    if (!wire_reader_finish(r))
        return builder__refuse(builder, EBADMSG, "%s version %u: broken fields", message->name, version);
    assert(type < COUNT_OF(APPLY) && APPLY[type]);
    return APPLY[type](builder, record);
}

struct status meta_apply(struct meta_builder *builder, struct slice record)
{
    struct wire_reader r;
    wire_reader_init(&r, record.data, record.size);
    arena_reset(&builder->arena);
    uint32_t frame = wire_read_uvarint(&r), type = wire_read_uvarint(&r), version = wire_read_uvarint(&r);
    if (wire_reader_failed(&r))
        return builder__refuse(builder, EBADMSG, "a metadata record of %zu bytes has no frame", record.size);
    if (frame != FRAME_VERSION)
        return builder__refuse(builder, frame > FRAME_VERSION ? ENOTSUP : EBADMSG,
                               "frame version %u of a metadata record", frame);
    const struct wire_message *message = record__message(type);
    if (!message)
        return builder__refuse(builder, ENOTSUP, "metadata record of unknown type %u", type);
    if (version > (uint32_t)message->version_max)
        return builder__refuse(builder, ENOTSUP, "%s version %u is newer than %d", message->name, version,
                               message->version_max);
    return apply_fields(builder, &r, message, type, version);
}
