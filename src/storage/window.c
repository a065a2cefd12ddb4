// SPDX-License-Identifier: Apache-2.0
/* storage/window.c - a file read from front to back: recovery and compaction look at all of a segment's bytes once.
 *
 * The window holds one chunk of the file, larger only when one batch is. Its reader moves the position itself.
 */
#include "storage/storage__.h"

void window__begin(struct window *window, struct log_segment *segment, int64_t position, int64_t limit)
{
    assert(position <= limit);
    window->segment = segment;
    window->position = window->chunk_at = position;
    window->limit = limit;
    window->chunk.size = 0;
}

void window__free(struct window *window)
{
    buffer_free(&window->chunk);
}

struct status window__peek(struct window *window, int64_t size, struct slice *ret_bytes)
{
    int64_t left = window->limit - window->position;
    int64_t have = window->chunk_at + (int64_t)window->chunk.size - window->position, wanted = min_i64(size, left);
    if (wanted <= 0) {
        *ret_bytes = SLICE_NULL;
        return STATUS_OK;
    }
    if (window->position < window->chunk_at || have < wanted) {
        int64_t read = min_i64(max_i64(wanted, WINDOW_CHUNK_BYTES), left);
        window->chunk.size = 0;
        buffer_reserve(&window->chunk, (size_t)read + 1);
        TRY(segment_file__read(window->segment, SEGMENT_LOG, window->chunk.data, (size_t)read, window->position));
        window->chunk.size = (size_t)read;
        window->chunk_at = window->position;
        have = read;
    }
    *ret_bytes = slice_of(window->chunk.data + (window->position - window->chunk_at), (size_t)min_i64(have, wanted));
    return STATUS_OK;
}

struct status window__batch(struct window *window, struct slice *ret_batch, const uint8_t **ret_head)
{
    struct slice bytes;
    *ret_batch = SLICE_NULL;
    TRY(window__peek(window, RECORD_BATCH_HEAD_BYTES, &bytes));
    const uint8_t *head = record_stored_head(bytes, window->head);
    int64_t size = head ? record_batch_size(head) : 0;
    if (!head || size > window->limit - window->position)
        return STATUS_OK;
    TRY(window__peek(window, size, &bytes));
    if (!record_stored_is_intact(bytes))
        return STATUS_OK;
    *ret_batch = bytes;
    *ret_head = record_stored_head(bytes, window->head); // the bytes may have moved
    return STATUS_OK;
}
