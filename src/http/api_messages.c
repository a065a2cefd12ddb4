// SPDX-License-Identifier: Apache-2.0
/* http/api_messages.c - GET .../messages: a page of a topic's messages, and one value whole.
 *
 * Newest first: of each partition the last few are read, from the end back, and merged by time. Oldest first likewise from
 * the front. A page holds `limit` messages at most and is made from at most PAGE_READ_BYTES of batches (one message is
 * always shown, however large); its cursor says where the next one begins, so nothing is left out by either bound.
 */
#include "http/http__.h"

#include <stdlib.h>

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 2000,
    PREVIEW_DEFAULT_BYTES = 2048,
    PREVIEW_MAX_BYTES = 1 << 20,
    PAGE_READ_BYTES = 48 << 20,
    FETCH_BYTES = 32 << 20,
    WINDOWS_MAX = 16,
};

/* One message, written already. */
struct shown {
    int32_t span;
    int64_t offset, timestamp_ms;
    size_t text_at, text_size;
};

struct page {
    struct exchange *e;
    struct slice topic;
    struct spans spans;
    int limit, per_partition;
    size_t preview_bytes;
    struct buffer text;
    struct shown *shown;
    int count, capacity;
    int64_t left_bytes;
    int64_t *reached; // by span: how far the page got, exclusive towards its end
    struct reading reading;
};

static void show(struct page *page, int span, const struct record *record, const uint8_t *head)
{
    if (page->count == page->capacity) {
        page->capacity = page->capacity ? page->capacity * 2 : 256;
        page->shown = mem_realloc(page->shown, (size_t)page->capacity * sizeof *page->shown);
    }
    size_t at = page->text.size;
    struct json j = json__begin(&page->text);
    message__write(&j, page->spans.items[span].partition, record, head, page->preview_bytes);
    page->shown[page->count++] = (struct shown){span, record->offset, record->timestamp_ms, at, page->text.size - at};
}

/* The records of a batch with from <= offset < to, at most `limit`: the first ones, or the last ones. */
static int show_batch(struct page *page, int span, struct slice batch, int64_t from, int64_t to, int limit)
{
    if (record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CONTROL)
        return 0;
    int64_t least = from;
    if (page->spans.newest_first && to - from > limit)
        least = max_i64(from, min_i64(to, record_batch_next_offset(batch.data)) - limit);
    struct record_walk walk;
    struct record record;
    int shown = 0;
    record_walk_begin(&walk, batch);
    while (shown < limit && record_walk_next(&walk, &record))
        if (record.offset >= least && record.offset < to) {
            show(page, span, &record, batch.data);
            shown++;
        }
    record_walk_end(&walk);
    return shown;
}

static void show_forward(struct page *page, int number)
{
    struct span *span = &page->spans.items[number];
    int64_t at = span->from;
    int left = page->per_partition;
    bool goes_on = true;
    while (goes_on && left > 0 && at < span->to && page->left_bytes > 0) {
        asker__reset(&page->e->asker);
        int64_t before = at;
        reading__fetch(&page->reading, page->topic, span->partition, at, 1 << 20, 0);
        struct slice batch;
        while (left > 0 && at < span->to && page->left_bytes > 0 && reading__batch(&page->reading, &batch)) {
            int count_before = page->count;
            left -= show_batch(page, number, batch, at, span->to, left);
            page->left_bytes -= (int64_t)batch.size;
            at = left > 0 || page->count == count_before ? record_batch_next_offset(batch.data)
                                                         : page->shown[page->count - 1].offset + 1;
        }
        goes_on = at > before;
    }
    page->reached[number] = goes_on ? min_i64(at, span->to) : span->to;
}

/* ---- from the end back */
struct heads {
    struct head {
        int64_t base, next;
    } items[4096];
    int count;
};

/* The offsets of the batches from `from` on; true when the last of them reaches the end. */
static bool heads_read(struct page *page, const struct span *span, int64_t from, struct heads *heads)
{
    heads->count = 0;
    asker__reset(&page->e->asker);
    reading__fetch(&page->reading, page->topic, span->partition, from, FETCH_BYTES, 0);
    int64_t next = from;
    const uint8_t *head;
    while (heads->count < (int)COUNT_OF(heads->items) && next < span->to && reading__head(&page->reading, &head)) {
        next = record_batch_next_offset(head);
        heads->items[heads->count++] = (struct head){record_batch_base_offset(head), next};
        reading__skip(&page->reading);
    }
    return next >= span->to || heads->count == 0;
}

/* Where to begin so that what is left to the end is few enough batches and bytes to be looked through. */
static int64_t back_from(struct page *page, const struct span *span, struct heads *heads)
{
    int64_t from = max_i64(span->from, span->to - page->per_partition);
    while (!heads_read(page, span, from, heads) && from < span->to - 1)
        from += (span->to - from + 1) / 2;
    return from;
}

static void show_backward(struct page *page, int number)
{
    struct span *span = &page->spans.items[number];
    page->reached[number] = span->to;
    if (span->from >= span->to)
        return;
    struct heads *heads = mem_alloc(sizeof *heads);
    int64_t from = back_from(page, span, heads), to = span->to;
    int left = page->per_partition;
    for (int i = heads->count - 1; i >= 0 && left > 0 && page->left_bytes > 0; i--) {
        struct slice batch;
        asker__reset(&page->e->asker);
        reading__fetch(&page->reading, page->topic, span->partition, heads->items[i].base, 1, 0);
        if (!reading__batch(&page->reading, &batch))
            break;
        left -= show_batch(page, number, batch, from, to, left);
        page->left_bytes -= (int64_t)batch.size;
        to = max_i64(from, heads->items[i].base);
    }
    page->reached[number] = heads->count == 0 || (left > 0 && page->left_bytes > 0) ? from : to;
    mem_free(heads);
}

/* ---- the page */
static int by_span_newest(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    if (x->span != y->span)
        return x->span < y->span ? -1 : 1;
    return x->offset < y->offset ? 1 : -1;
}

static int by_span_oldest(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    return x->span != y->span ? by_span_newest(a, b) : by_span_newest(b, a);
}

static int newest(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    return x->timestamp_ms == y->timestamp_ms ? by_span_newest(a, b) : x->timestamp_ms < y->timestamp_ms ? 1 : -1;
}

static int oldest(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    return x->timestamp_ms == y->timestamp_ms ? by_span_oldest(a, b) : x->timestamp_ms > y->timestamp_ms ? 1 : -1;
}

/* By time, but a partition's messages keep their order: a timestamp that goes the other way counts as its neighbour's. */
static void merge(struct page *page)
{
    bool newest_first = page->spans.newest_first;
    if (page->count == 0)
        return;
    qsort(page->shown, (size_t)page->count, sizeof *page->shown, newest_first ? by_span_newest : by_span_oldest);
    for (int i = 1; i < page->count; i++) {
        struct shown *now = &page->shown[i], *before = now - 1;
        if (now->span == before->span)
            now->timestamp_ms = newest_first ? min_i64(now->timestamp_ms, before->timestamp_ms)
                                             : max_i64(now->timestamp_ms, before->timestamp_ms);
    }
    qsort(page->shown, (size_t)page->count, sizeof *page->shown, newest_first ? newest : oldest);
}

/* The page ends where a partition's first message no longer fits: the rest of that partition waits for the next page. */
static int cut(struct page *page)
{
    for (int i = 0; i < page->count; i++)
        if (i >= page->limit) {
            struct shown *left = &page->shown[i];
            int64_t *reached = &page->reached[left->span];
            *reached = page->spans.newest_first ? max_i64(*reached, left->offset + 1) : min_i64(*reached, left->offset);
        }
    int kept = 0;
    for (int i = 0; i < page->count; i++) {
        const struct shown *shown = &page->shown[i];
        int64_t reached = page->reached[shown->span];
        if (page->spans.newest_first ? shown->offset >= reached : shown->offset < reached)
            page->shown[kept++] = *shown;
    }
    return kept;
}

static void write_cursor(struct page *page, struct json *j)
{
    struct buffer text CLEANUP(buffer_free) = {0};
    for (int i = 0; i < page->spans.count; i++) {
        const struct span *span = &page->spans.items[i];
        bool has_more = page->spans.newest_first ? page->reached[i] > span->from : page->reached[i] < span->to;
        if (has_more)
            buffer_printf(&text, "%s%d:%lld", text.size ? "," : "", (int)span->partition, (long long)page->reached[i]);
    }
    json__text(j, "cursor", text.size ? slice_of(text.data, text.size) : SLICE_NULL);
}

static void write_partitions(struct page *page, struct json *j)
{
    json__open(j, "partitions", '[');
    for (int i = 0; i < page->spans.count; i++) {
        const struct span *span = &page->spans.items[i];
        json__open(j, NULL, '{');
        json__i64(j, "partition", span->partition);
        json__i64(j, "startOffset", span->start);
        json__i64(j, "endOffset", span->end);
        json__i64(j, "fromOffset", span->from);
        json__i64(j, "toOffset", span->to);
        json__close(j, '}');
    }
    json__close(j, ']');
}

static void write_page(struct page *page)
{
    merge(page);
    int kept = cut(page);
    struct json j = exchange__json(page->e);
    json__open(&j, NULL, '{');
    json__string(&j, "order", page->spans.newest_first ? "newest" : "oldest");
    write_partitions(page, &j);
    json__open(&j, "messages", '[');
    for (int i = 0; i < kept; i++) {
        if (i > 0)
            buffer_append(&page->e->out, ",", 1);
        buffer_append(&page->e->out, page->text.data + page->shown[i].text_at, page->shown[i].text_size);
    }
    j.needs_comma = kept > 0;
    json__close(&j, ']');
    write_cursor(page, &j);
    json__close(&j, '}');
}

void web__messages(struct exchange *e, struct slice topic)
{
    struct page page = {.e = e, .topic = topic, .left_bytes = PAGE_READ_BYTES, .reading = {.asker = &e->asker}};
    page.limit = (int)exchange__query_i64(e, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX);
    page.preview_bytes = (size_t)exchange__query_i64(e, "preview", PREVIEW_DEFAULT_BYTES, 0, PREVIEW_MAX_BYTES);
    if (!spans__choose(e, topic, &page.spans))
        return;
    page.per_partition = page.limit;
    if (page.spans.count > WINDOWS_MAX)
        page.per_partition = (int)max_i64(1, (int64_t)page.limit * WINDOWS_MAX / page.spans.count);
    page.reached = mem_zalloc((size_t)page.spans.count * sizeof *page.reached);
    for (int i = 0; i < page.spans.count; i++)
        if (page.spans.newest_first)
            show_backward(&page, i);
        else
            show_forward(&page, i);
    write_page(&page);
    reading__free(&page.reading);
    buffer_free(&page.text);
    mem_free(page.reached);
    mem_free(page.shown);
    spans__free(&page.spans);
}

/* ---- one value, whole */
static bool find(struct reading *r, int64_t offset, struct exchange *e, bool wants_key)
{
    struct slice batch;
    if (!reading__batch(r, &batch))
        return false;
    bool is_found = false;
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, batch);
    while (!is_found && record_walk_next(&walk, &record))
        if (record.offset == offset) {
            struct slice part = wants_key ? record.key : record.value;
            buffer_append(&e->out, part.data, part.size);
            is_found = true;
        }
    record_walk_end(&walk);
    return is_found;
}

void web__value(struct exchange *e, struct slice topic, int32_t partition, int64_t offset)
{
    const char *part = exchange__query(e, "part");
    struct reading r = {.asker = &e->asker};
    reading__fetch(&r, topic, partition, offset, 1, 0);
    if (!exchange__fail_kafka(e, r.error, SLICE_NULL)) {
        if (find(&r, offset, e, part && strcmp(part, "key") == 0)) {
            e->status = 200;
            e->type = "application/octet-stream";
            e->file_name = exchange__query(e, "download");
        } else {
            exchange__fail(e, 404, "NO_MESSAGE", "partition %d has no message at offset %lld", (int)partition,
                           (long long)offset);
        }
    }
    reading__free(&r);
}
