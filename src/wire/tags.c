// SPDX-License-Identifier: Apache-2.0
/* wire/tags.c - tagged fields (KIP-482): those we don't know are kept, so that re-encoding loses nothing; and which
 * header version goes with which version of an API.
 */
#include "wire/wire__.h"

int32_t wire__read_tag_count(struct wire_reader *r)
{
    uint32_t count = wire_read_uvarint(r);
    if (count > wire_reader_left(r)) {
        wire_reader_fail(r);
        return 0;
    }
    return (int32_t)count;
}

void wire__read_tag(struct wire_reader *r, uint32_t *ret_tag, struct slice *ret_bytes)
{
    *ret_tag = wire_read_uvarint(r);
    uint32_t size = wire_read_uvarint(r);
    const uint8_t *bytes = wire_read_raw(r, size);
    *ret_bytes = bytes ? slice_of(bytes, size) : SLICE_NULL;
}

void wire__keep_tag(struct wire_reader *r, struct arena *arena, struct wire_tags *tags, int32_t count_max, uint32_t tag,
                    struct slice bytes)
{
    if (r->failed)
        return;
    if (!tags->items)
        tags->items = arena_array(arena, (size_t)count_max, sizeof *tags->items);
    if (!tags->items) {
        wire_reader_fail(r);
        return;
    }
    assert(tags->count < count_max);
    tags->items[tags->count++] = (struct wire_tag){tag, bytes};
}

static bool is_flexible(const struct wire_message *message, int16_t version)
{
    return version >= 0 && version < 64 && (message->flexible >> version & 1);
}

int16_t wire_request_header_version(int16_t key, int16_t version)
{
    const struct wire_api *api = wire_api_find(key);
    assert(api);
    if (key == API_CONTROLLED_SHUTDOWN && version == 0)
        return 0;
    return is_flexible(api->request, version) ? 2 : 1;
}

int16_t wire_response_header_version(int16_t key, int16_t version)
{
    const struct wire_api *api = wire_api_find(key);
    assert(api);
    return key != API_API_VERSIONS && is_flexible(api->response, version)
               ? 1
               : 0; // KIP-511: readable before versions are known
}
