// SPDX-License-Identifier: Apache-2.0
/* http/http__.h - what the files of http/ share. */
#pragma once

#include "http/http.h"

/* What does not come from the broker. */
struct process_numbers {
    uint64_t resident_bytes, open_descriptors, max_descriptors, disk_read_bytes, disk_written_bytes;
    double start_seconds; // since 1970
    double reactors_idle; // 0 to 1, since the start
};
void process__numbers(struct process_numbers *ret_numbers);

/* Whether a request that says `Host: <host>` was meant for a loopback address: a page of another site that had its name
 * resolved to us says that name. NULL is no. */
bool host__is_ours(const char *host);

/* ---- json.c: JSON into a buffer; commas come by themselves. */
struct json {
    struct buffer *out;
    bool needs_comma;
};
struct json json__begin(struct buffer *out);
void json__open(struct json *j, const char *key, char bracket); // key NULL: in an array or at the top
void json__close(struct json *j, char bracket);
void json__text(struct json *j, const char *key,
                struct slice text); // null slice: null; bytes that are no UTF-8: as U+FFFD
void json__string(struct json *j, const char *key, const char *text);
void json__i64(struct json *j, const char *key, int64_t value);
void json__f64(struct json *j, const char *key, double value);
void json__bool(struct json *j, const char *key, bool value);
void json__null(struct json *j, const char *key);
/* {"size": n, "encoding": "utf8"|"base64", "text": at most `preview_bytes` of it, "truncated": ...}; null slice: null. */
void json__bytes(struct json *j, const char *key, struct slice bytes, size_t preview_bytes);
/* How many of the bytes are whole UTF-8 characters; all of them when it is text. */
size_t json__utf8_prefix(struct slice bytes);

/* ---- asker.c: questions to the broker from one thread of http's */
struct asked;
struct asker {
    struct broker *broker;
    struct io_loop *loop; // made at the first question
    struct arena arena;   // of answers
    struct asked *asked;  // what the answers lie in
};
enum { ASKER_ARENA_MAX_BYTES = 64 << 20 };
void asker__init(struct asker *asker, struct broker *broker);
/* The decoded answer, good until asker__reset; NULL: not served (asker__serves says so), or the broker is too busy. */
void *asker__ask(struct asker *asker, int16_t api_key, int16_t highest_version, const void *body);
bool asker__serves(int16_t api_key);
struct local_call *asker__last_call(struct asker *asker);
void asker__reset(struct asker *asker);
void asker__free(struct asker *asker);

/* ---- metrics.c */
/* All metrics of schema/metrics.txt in Prometheus' text format, or as OpenMetrics. */
void metrics__write(struct buffer *out, struct asker *asker, const char *version, bool is_open);
/* ---- kafka_metrics.c: those of them that have Kafka's names or kafka_exporter's */
struct kafka_numbers;
struct kafka_numbers *kafka_numbers__gather(struct asker *asker, const struct broker_numbers *numbers);
void kafka_numbers__free(struct kafka_numbers *numbers); // NULL is fine
bool kafka_numbers__write(struct buffer *out, int metric,
                          const struct kafka_numbers *numbers);                    // false: not one of them
bool kafka_recovery__write(struct buffer *out, int metric, struct broker *broker); // the same of those of a start

/* ---- exchange.c: one request of HTTP and its answer */
enum { QUERY_MAX = 48, BODY_MAX_BYTES = 40 << 20 };
struct stream;
struct exchange {
    struct broker *broker;
    struct http_site *site;
    const char *method, *path;
    bool accepts_gzip;
    const char *accept; // NULL: not sent
    struct {
        const char *name, *value;
    } query[QUERY_MAX];
    int query_count;
    struct slice body;
    struct asker asker;
    /* the answer */
    struct buffer out;
    unsigned status;
    const char *type;      // Content-Type
    const char *file_name; // saved under that name; NULL: shown
    const char *encoding;  // Content-Encoding; NULL: none
    struct slice fixed;    // sent instead of `out`; lives for ever
    struct stream *stream; // answers piece by piece instead of `out`
};
const char *exchange__query(const struct exchange *e, const char *name); // NULL: not given
int64_t exchange__query_i64(const struct exchange *e, const char *name, int64_t otherwise, int64_t least, int64_t most);
/* {"error": name, "message": text}; what was written before is dropped. */
void exchange__fail(struct exchange *e, unsigned status, const char *error, const char *format, ...) PRINTF_LIKE(4, 5);
/* A Kafka error as an answer; false when it is none. */
bool exchange__fail_kafka(struct exchange *e, int16_t error, struct slice message);
/* asker__ask, and the answer says why when it gave nothing. */
void *exchange__ask(struct exchange *e, int16_t api_key, int16_t highest_version, const void *body);
struct json exchange__json(struct exchange *e);

/* ---- stream.c: answers without an end known: events, downloads */
struct stream {
    struct buffer out;
    size_t sent;
    /* Writes some of the answer into `out`; false: it is over. Called by a thread of http's own, may wait a little. */
    bool (*step)(struct stream *stream);
    void (*free)(struct stream *stream);
    const char *type, *file_name;
    struct http_site *site;
};

/* ---- site: what all exchanges share */
struct history;
struct http_site {
    struct broker *broker;
    char version[32];
    char token[44]; // of this run; a page of ours gets it, a page of another site cannot
    bool is_read_only;
    struct history *history;
    _Atomic int streams; // running
    _Atomic bool stopping;
};
enum { STREAMS_MAX = 12 };

/* ---- guard.c: who may ask what. True, or the exchange was answered with a refusal. */
struct guard_headers {
    const char *host, *origin, *fetch_site, *token, *content_type; // NULL: not sent
};
bool guard__admits(struct exchange *e, const struct guard_headers *headers);
extern const char guard__policy[]; // Content-Security-Policy

/* ---- routes.c */
void routes__answer(struct exchange *e);

/* ---- reading.c: records of one partition, batch by batch */
struct reading {
    struct asker *asker;
    int16_t error; // of the last fetch
    struct slice inlined;
    struct log_slice *piece;
    int64_t at, end;      // in the piece
    struct buffer window; // of the piece, from window_at
    int64_t window_at;
    int64_t read_bytes; // so far, of all fetches
};
/* The batches from `offset` on, at most size_max bytes but one batch at least; waits up to wait_ms for one. */
void reading__fetch(struct reading *r, struct slice topic, int32_t partition, int64_t offset, int32_t size_max,
                    int32_t wait_ms);
bool reading__head(struct reading *r,
                   const uint8_t **ret_head); // of the next batch, RECORD_BATCH_HEAD_BYTES; false: no more
bool reading__batch(struct reading *r, struct slice *ret_batch); // reads it whole; good until the next call
void reading__skip(struct reading *r);
void reading__free(struct reading *r);

/* ---- offsets.c: a topic's partitions and how far they go */
struct span {
    int32_t partition;
    int64_t start, end; // log start, high watermark
    int64_t from, to;   // chosen by the request: from <= offset < to
};
struct spans {
    struct span *items;
    int count;
    bool newest_first;
};
/* Partitions of the topic that the request asks for, with `from`, `to`, `partition` and `cursor` of its query. False: answered. */
bool spans__choose(struct exchange *e, struct slice topic, struct spans *ret_spans);
void spans__free(struct spans *spans);
/* Offset of each span's partition at that time (-1 end, -2 start), into ret_offsets. False: answered. */
bool spans__offsets(struct exchange *e, struct slice topic, const struct spans *spans, int64_t timestamp,
                    int64_t *ret_offsets);
/* Milliseconds since 1970 from ISO 8601 or a number; false: neither. */
bool time__parse(const char *text, int64_t *ret_ms);

/* ---- message.c: one record as people see it */
void message__write(struct json *j, int32_t partition, const struct record *record, const uint8_t *batch_head,
                    size_t preview_bytes);
/* Headers of a record, one after the other; `at` starts at 0. */
struct header_walk {
    struct slice left;
    int32_t count;
};
struct header_walk header_walk__begin(const struct record *record);
bool header_walk__next(struct header_walk *walk, struct slice *ret_key, struct slice *ret_value);

/* ---- filter.c: which records a search wants */
struct filter;
/* NULL: answered with what is wrong. */
struct filter *filter__create(struct exchange *e);
bool filter__matches(struct filter *filter, const struct record *record);
/* Whether a batch may hold a match, by its timestamps. */
bool filter__may_match(const struct filter *filter, const uint8_t *batch_head);
void filter__free(struct filter *filter);

/* ---- regexp.c: RE2, loaded on first use */
struct regexp;
/* NULL: `ret_why` says what is wrong with the expression, or that RE2 is missing. */
struct regexp *regexp__create(const char *pattern, char *ret_why, size_t why_size);
bool regexp__matches(const struct regexp *regexp, struct slice text);
void regexp__free(struct regexp *regexp);

/* ---- the API, a file for each kind of thing */
void web__topics(struct exchange *e);
void web__topic(struct exchange *e, struct slice topic);
void web__topic_create(struct exchange *e);
void web__topic_delete(struct exchange *e, struct slice topic);
void web__topic_configs(struct exchange *e, struct slice topic);
void web__topic_partitions(struct exchange *e, struct slice topic);
void web__records_delete(struct exchange *e, struct slice topic);
void web__messages(struct exchange *e, struct slice topic);
void web__value(struct exchange *e, struct slice topic, int32_t partition, int64_t offset);
void web__produce(struct exchange *e, struct slice topic);
void web__search(struct exchange *e, struct slice topic);
void web__tail(struct exchange *e, struct slice topic);
void web__download(struct exchange *e, struct slice topic);
void web__groups(struct exchange *e);
void web__group(struct exchange *e, struct slice group);
void web__group_reset(struct exchange *e, struct slice group);
void web__group_delete(struct exchange *e, struct slice group);
void web__broker(struct exchange *e);

/* ---- history.c: the last hour, in memory of fixed size */
struct history *history__create(struct broker *broker);
void history__free(struct history *history);
/* Every HISTORY_STEP_MS, by one thread. */
void history__sample(struct history *history);
enum { HISTORY_STEP_MS = 10000, HISTORY_SAMPLES = 360 };
void history__write(struct history *history, struct json *j);

/* ---- assets (generated while building): the console's pages, packed */
struct asset {
    const char *path, *type;
    const uint8_t *data;
    size_t size;
};
extern const struct asset assets__all[];
extern const size_t assets__count;

/* ---- api_groups.c, for metrics and history */
struct list_groups_response;
const struct list_groups_response *groups__list(struct asker *asker); // NULL: the broker does not answer
int64_t group__lag(struct asker *asker, struct slice group);          // of all its partitions; -1: none committed
void group__each_lag(struct asker *asker, struct slice group,
                     void (*each)(void *context, struct slice topic, int32_t partition, int64_t committed, int64_t lag),
                     void *context);
uint32_t murmur2__hash(struct slice key); // api_produce.c
