// SPDX-License-Identifier: Apache-2.0
/* http/stream.c - searches, live tails and downloads: one scan over a topic, told in three ways.
 *
 *   search    server-sent events: `message` for each hit, `progress` after each step, `done` at the end or the limit
 *   tail      the same from the end on, for as long as somebody listens
 *   download  the records themselves, as NDJSON or CSV
 *
 * A step reads some STEP_READ_BYTES of one partition, then it is the next one's turn. Newest first (a search that says no
 * other `from`) it takes a window of offsets from the end, reads it forward, and tells what it found there backward; windows
 * grow and shrink so that each is about a step. Across partitions the order is that of the steps. The reader's pace is the scan's: a
 * step runs only when what the last one said has been taken, so a slow reader holds nothing up and nothing piles up. It
 * ends with its connection. STREAMS_MAX run at once, each on its connection's own thread; that of a search or a download
 * stands back behind the broker's others, so that reading a whole topic takes from producers and consumers what they leave.
 */
#include "http/http__.h"

enum {
    STEP_READ_BYTES = 2 << 20,
    WINDOW_MAX_BYTES = 16 << 20, // read or found; a window with more is taken again, smaller
    WINDOW_MAX_OFFSETS = 1 << 14,
    TAIL_WAIT_MS = 400,
    TAIL_LOOKS_MS = 50,
    HITS_DEFAULT = 200,
    HITS_MAX = 10000,
    TAIL_RATE_MAX = 2000, // messages told of one step; the rest is counted as skipped
    PREVIEW_DEFAULT_BYTES = 2048,
    PREVIEW_MAX_BYTES = 1 << 20,
};

enum scan_form { FORM_EVENTS, FORM_TAIL, FORM_NDJSON, FORM_CSV };

/* Newest first: what a window has, in its order. */
struct found {
    struct buffer text;
    size_t *starts; // of each hit in text
    int count, capacity;
};

struct scan {
    struct stream stream; // first
    enum scan_form form;
    struct asker asker;
    struct slice topic; // copied
    struct spans spans;
    struct filter *filter;
    struct reading reading;
    struct found found;
    int64_t *windows; // offsets in the next window of each span
    size_t preview_bytes;
    int64_t hits, hits_max, scanned, skipped, wanted;
    int64_t started_ms;
    int next;
    bool stands_back, is_over;
};

/* ---- how a hit is told */
static void csv_field(struct buffer *out, struct slice text)
{
    buffer_append(out, "\"", 1);
    const uint8_t *at = text.data, *end = at + text.size;
    for (const uint8_t *quote; at < end && (quote = memchr(at, '"', (size_t)(end - at))); at = quote + 1) {
        buffer_append(out, at, (size_t)(quote + 1 - at));
        buffer_append(out, "\"", 1);
    }
    if (at < end)
        buffer_append(out, at, (size_t)(end - at));
    buffer_append(out, "\"", 1);
}

static void csv_bytes(struct buffer *out, struct slice bytes)
{
    buffer_append(out, ",", 1);
    if (slice_is_null(bytes))
        return;
    if (json__utf8_prefix(bytes) == bytes.size) {
        csv_field(out, bytes);
        return;
    }
    struct buffer text CLEANUP(buffer_free) = {0};
    buffer_base64(&text, bytes);
    csv_field(out, slice_of(text.data, text.size));
}

static void csv_write(struct buffer *out, int32_t partition, const struct record *record)
{
    buffer_printf(out, "%d,%lld,%lld", (int)partition, (long long)record->offset, (long long)record->timestamp_ms);
    csv_bytes(out, record->key);
    csv_bytes(out, record->value);
    struct buffer headers CLEANUP(buffer_free) = {0};
    struct header_walk walk = header_walk__begin(record);
    for (struct slice key, value; header_walk__next(&walk, &key, &value);)
        buffer_printf(&headers, "%s%.*s=%.*s", headers.size ? ";" : "", (int)key.size, (const char *)key.data,
                      (int)value.size, slice_is_null(value) ? "" : (const char *)value.data);
    csv_bytes(out, headers.size ? slice_of(headers.data, headers.size) : SLICE_NULL);
    buffer_append(out, "\r\n", 2);
}

static void tell(struct scan *scan, struct buffer *out, int32_t partition, const struct record *record,
                 const uint8_t *head)
{
    if (scan->form == FORM_CSV) {
        csv_write(out, partition, record);
        return;
    }
    static const char EVENT[] = "event: message\ndata: ";
    bool is_event = scan->form != FORM_NDJSON;
    if (is_event)
        buffer_append(out, EVENT, strlen(EVENT));
    struct json j = json__begin(out);
    message__write(&j, partition, record, head, scan->preview_bytes);
    buffer_append(out, "\n\n", is_event ? 2 : 1);
}

/* Of a search: a tail has no end to be measured by. */
static double share_done(const struct scan *scan)
{
    int64_t left = 0;
    for (int i = 0; i < scan->spans.count; i++)
        left += scan->spans.items[i].to - scan->spans.items[i].from;
    return scan->wanted > 0 ? 1 - (double)left / (double)scan->wanted : 1;
}

static void tell_progress(struct scan *scan, const char *event, const char *why)
{
    if (scan->form != FORM_EVENTS && scan->form != FORM_TAIL)
        return;
    buffer_printf(&scan->stream.out, "event: %s\ndata: ", event);
    struct json j = json__begin(&scan->stream.out);
    json__open(&j, NULL, '{');
    json__i64(&j, "hits", scan->hits);
    json__i64(&j, "scanned", scan->scanned);
    json__i64(&j, "scannedBytes", scan->reading.read_bytes);
    json__i64(&j, "skipped", scan->skipped);
    json__i64(&j, "elapsedMs", io_now_ms() - scan->started_ms);
    if (scan->form == FORM_EVENTS)
        json__f64(&j, "share", share_done(scan));
    if (why)
        json__string(&j, "reason", why);
    json__close(&j, '}');
    buffer_append(&scan->stream.out, "\n\n", 2);
}

/* ---- scanning */
static void scan_batch(struct scan *scan, struct span *span, struct slice batch)
{
    struct record_walk walk;
    struct record record;
    int64_t told_before = scan->hits;
    record_walk_begin(&walk, batch);
    while (scan->hits < scan->hits_max && record_walk_next(&walk, &record)) {
        if (record.offset < span->from || record.offset >= span->to)
            continue;
        scan->scanned++;
        if (!filter__matches(scan->filter, &record))
            continue;
        if (scan->form == FORM_TAIL && scan->hits - told_before >= TAIL_RATE_MAX) {
            scan->skipped++;
            continue;
        }
        scan->hits++;
        tell(scan, &scan->stream.out, span->partition, &record, batch.data);
    }
    record_walk_end(&walk);
}

static void scan_span(struct scan *scan, struct span *span, int32_t wait_ms)
{
    asker__reset(&scan->asker);
    struct reading *r = &scan->reading;
    reading__fetch(r, scan->topic, span->partition, span->from, STEP_READ_BYTES, wait_ms);
    int64_t before = span->from;
    const uint8_t *head;
    while (span->from < span->to && scan->hits < scan->hits_max && reading__head(r, &head)) {
        int64_t next = record_batch_next_offset(head);
        bool is_control = record_batch_attributes(head) & RECORD_ATTRIBUTE_CONTROL;
        struct slice batch;
        if (is_control || !filter__may_match(scan->filter, head))
            reading__skip(r);
        else if (reading__batch(r, &batch))
            scan_batch(scan, span, batch);
        else
            break;
        if (scan->hits < scan->hits_max)
            span->from = min_i64(next, span->to);
    }
    if (r->error == KAFKA_OFFSET_OUT_OF_RANGE && span->from < span->to && scan->form == FORM_TAIL)
        span->from = span->start;
    else if (span->from == before && scan->form != FORM_TAIL)
        span->from = span->to; // nothing can be read here any more
}

/* ---- newest first */
static void found_add(struct found *found)
{
    if (found->count == found->capacity) {
        found->capacity = found->capacity ? found->capacity * 2 : 64;
        found->starts = mem_realloc(found->starts, (size_t)found->capacity * sizeof *found->starts);
    }
    found->starts[found->count++] = found->text.size;
}

static void found_tell(struct scan *scan)
{
    struct found *found = &scan->found;
    size_t end = found->text.size;
    for (int i = found->count - 1; i >= 0 && scan->hits < scan->hits_max; i--, scan->hits++) {
        buffer_append(&scan->stream.out, found->text.data + found->starts[i], end - found->starts[i]);
        end = found->starts[i];
    }
    found->text.size = 0;
    found->count = 0;
}

static void find_in_batch(struct scan *scan, const struct span *span, int64_t from, struct slice batch)
{
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, batch);
    while (record_walk_next(&walk, &record)) {
        if (record.offset < from || record.offset >= span->to)
            continue;
        scan->scanned++;
        if (!filter__matches(scan->filter, &record))
            continue;
        found_add(&scan->found);
        tell(scan, &scan->found.text, span->partition, &record, batch.data);
    }
    record_walk_end(&walk);
}

/* The batches of one fetch from *at on. The first batch of a window is taken whole, so that no batch is read twice. */
static void find_in_fetch(struct scan *scan, const struct span *span, int64_t *from, int64_t *at)
{
    struct reading *r = &scan->reading;
    asker__reset(&scan->asker);
    reading__fetch(r, scan->topic, span->partition, *at, STEP_READ_BYTES, 0);
    for (const uint8_t *head; *at < span->to && reading__head(r, &head);) {
        int64_t next = record_batch_next_offset(head);
        bool is_control = record_batch_attributes(head) & RECORD_ATTRIBUTE_CONTROL;
        struct slice batch;
        if (*at == *from)
            *from = max_i64(span->from, min_i64(*from, record_batch_base_offset(head)));
        if (is_control || !filter__may_match(scan->filter, head))
            reading__skip(r);
        else if (reading__batch(r, &batch))
            find_in_batch(scan, span, *from, batch);
        else
            return;
        *at = next;
    }
}

static void scan_back(struct scan *scan, struct span *span, int64_t *window)
{
    int64_t from = max_i64(span->from, span->to - *window), at = from, before;
    int64_t read_before = scan->reading.read_bytes, scanned_before = scan->scanned, read;
    bool is_too_much;
    do {
        before = at;
        find_in_fetch(scan, span, &from, &at);
        read = scan->reading.read_bytes - read_before;
        is_too_much = (read > WINDOW_MAX_BYTES || scan->found.text.size > WINDOW_MAX_BYTES) && *window > 1;
    } while (at > before && at < span->to && !is_too_much);
    if (is_too_much) {
        scan->found.text.size = 0;
        scan->found.count = 0;
        scan->scanned = scanned_before;
        *window = max_i64(1, min_i64(*window / 4, WINDOW_MAX_OFFSETS));
        return;
    }
    found_tell(scan);
    span->to = from;
    if (read < STEP_READ_BYTES / 2)
        *window = min_i64(*window * 4, read > 0 ? WINDOW_MAX_OFFSETS : INT64_MAX / 8); // of nothing, one may take much
}

static bool finish(struct scan *scan, const char *why)
{
    tell_progress(scan, "done", why);
    scan->is_over = true;
    return true;
}

static bool step(struct stream *stream)
{
    struct scan *scan = (struct scan *)stream;
    if (!scan->stands_back) {
        io_thread_stand_back();
        scan->stands_back = true;
    }
    if (scan->is_over || atomic_load(&stream->site->stopping))
        return false;
    for (int tried = 0; tried < scan->spans.count; tried++) {
        int turn = scan->next;
        struct span *span = &scan->spans.items[turn];
        scan->next = (turn + 1) % scan->spans.count;
        if (span->from >= span->to)
            continue;
        if (scan->form == FORM_EVENTS && scan->spans.newest_first)
            scan_back(scan, span, &scan->windows[turn]);
        else
            scan_span(scan, span, 0);
        if (scan->hits >= scan->hits_max)
            return finish(scan, "limit");
        tell_progress(scan, "progress", NULL);
        return true;
    }
    return finish(scan, "end");
}

/* One partition waits in its fetch; many are looked at one after the other, with a pause when none has anything new. */
static bool tail_step(struct stream *stream)
{
    struct scan *scan = (struct scan *)stream;
    if (atomic_load(&stream->site->stopping))
        return false;
    bool is_alone = scan->spans.count == 1;
    int64_t until_ms = io_now_ms() + TAIL_WAIT_MS, hits = scan->hits;
    do {
        for (int i = 0; i < scan->spans.count; i++)
            scan_span(scan, &scan->spans.items[i], is_alone ? TAIL_WAIT_MS : 0);
        if (!is_alone && scan->hits == hits) {
            struct io_event none;
            io_loop_wait(scan->asker.loop, &none, 1, io_now_ns() + (int64_t)TAIL_LOOKS_MS * 1000000);
        }
    } while (scan->hits == hits && io_now_ms() < until_ms && !atomic_load(&stream->site->stopping));
    tell_progress(scan, "progress", NULL);
    return true;
}

static void scan_free(struct stream *stream)
{
    struct scan *scan = (struct scan *)stream;
    atomic_fetch_sub(&stream->site->streams, 1);
    filter__free(scan->filter);
    spans__free(&scan->spans);
    reading__free(&scan->reading);
    asker__free(&scan->asker);
    buffer_free(&stream->out);
    buffer_free(&scan->found.text);
    mem_free(scan->found.starts);
    mem_free(scan->windows);
    mem_free((void *)(uintptr_t)scan->topic.data);
    mem_free(scan);
}

/* ---- beginning */
static bool admit(struct exchange *e)
{
    if (atomic_fetch_add(&e->site->streams, 1) < STREAMS_MAX)
        return true;
    atomic_fetch_sub(&e->site->streams, 1);
    exchange__fail(e, 429, "TOO_MANY", "%d searches, tails and downloads run already; end one of them", STREAMS_MAX);
    return false;
}

static struct scan *scan_create(struct exchange *e, struct slice topic, enum scan_form form)
{
    struct spans spans;
    struct filter *filter = filter__create(e);
    if (!filter)
        return NULL;
    if (!spans__choose(e, topic, &spans)) {
        filter__free(filter);
        return NULL;
    }
    if (!admit(e)) {
        filter__free(filter);
        spans__free(&spans);
        return NULL;
    }
    struct scan *scan = mem_zalloc(sizeof *scan);
    scan->form = form;
    scan->filter = filter;
    scan->spans = spans;
    scan->topic = slice_str(slice_to_str(topic));
    scan->started_ms = io_now_ms();
    asker__init(&scan->asker, e->broker);
    scan->asker.loop = io_loop_create();
    scan->reading.asker = &scan->asker;
    scan->preview_bytes = (size_t)exchange__query_i64(e, "preview", PREVIEW_DEFAULT_BYTES, 0, PREVIEW_MAX_BYTES);
    scan->stream = (struct stream){.step = step, .free = scan_free, .type = "text/event-stream", .site = e->site};
    scan->windows = mem_alloc((size_t)spans.count * sizeof *scan->windows);
    for (int i = 0; i < spans.count; i++) {
        scan->windows[i] = 1;
        scan->wanted += spans.items[i].to - spans.items[i].from;
    }
    e->stream = &scan->stream;
    e->status = 200;
    return scan;
}

void web__search(struct exchange *e, struct slice topic)
{
    struct scan *scan = scan_create(e, topic, FORM_EVENTS);
    if (scan)
        scan->hits_max = exchange__query_i64(e, "limit", HITS_DEFAULT, 1, HITS_MAX);
}

void web__tail(struct exchange *e, struct slice topic)
{
    struct scan *scan = scan_create(e, topic, FORM_TAIL);
    if (!scan)
        return;
    scan->hits_max = INT64_MAX;
    scan->stream.step = tail_step;
    for (int i = 0; i < scan->spans.count; i++) {
        struct span *span = &scan->spans.items[i];
        span->from = scan->spans.newest_first ? span->end : span->from;
        span->to = INT64_MAX;
    }
    tell_progress(scan, "progress", NULL);
}

void web__download(struct exchange *e, struct slice topic)
{
    static const char CSV_HEAD[] = "partition,offset,timestamp,key,value,headers\r\n";
    const char *form = exchange__query(e, "format");
    bool is_csv = form && strcmp(form, "csv") == 0;
    struct scan *scan = scan_create(e, topic, is_csv ? FORM_CSV : FORM_NDJSON);
    if (!scan)
        return;
    scan->hits_max = exchange__query_i64(e, "limit", INT64_MAX, 1, INT64_MAX);
    scan->preview_bytes = SIZE_MAX;
    scan->stream.type = is_csv ? "text/csv; charset=utf-8" : "application/x-ndjson";
    scan->stream.file_name = is_csv ? "messages.csv" : "messages.ndjson";
    if (is_csv)
        buffer_append(&scan->stream.out, CSV_HEAD, strlen(CSV_HEAD));
}
