// SPDX-License-Identifier: Apache-2.0
/* base/base.h - what every floor stands on: how failures are told, where memory comes from, and the few containers.
 *
 * Nothing here knows Kafka, the kernel or the time. Three failures, three mechanisms: a protocol error is data for the
 * client (an int16 of wire/), an operating failure is a `struct status`, a bug is an assert (never compiled out).
 */
#pragma once

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MUST_USE                            __attribute__((warn_unused_result))
#define CLEANUP(function)                   __attribute__((cleanup(function)))
#define PRINTF_LIKE(text, first)            __attribute__((format(printf, text, first)))
#define COUNT_OF(array)                     (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* a - b, or the nearest that there is: times in data may be anything. */
static inline int64_t sub_i64(int64_t a, int64_t b)
{
    int64_t result;
    if (__builtin_sub_overflow(a, b, &result))
        return b > 0 ? INT64_MIN : INT64_MAX;
    return result;
}

/* ---- status: an operating failure, passed up by value. `error` is an errno value, 0 for success; `what` is static text
 * naming the step that failed. */
struct status {
    int error;
    const char *what;
};

#define STATUS_OK                 ((struct status){0})
#define STATUS(errno_value, text) status_failure(errno_value, text)
/* Returns from the calling function on failure. */
#define TRY(expression)                                                                                                \
    do {                                                                                                               \
        struct status try_status_ = (expression);                                                                      \
        if (try_status_.error != 0)                                                                                    \
            return try_status_;                                                                                        \
    } while (0)

static inline struct status status_failure(int error, const char *what)
{
    assert(error != 0);
    return (struct status){.error = error, .what = what};
}

static inline bool status_is_ok(struct status s)
{
    return s.error == 0;
}

/* ---- memory: the only callers of malloc. Never NULL: out of memory ends the process with a message, since every size
 * that an outsider can choose is bounded before it gets here. */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *p, size_t size);
void mem_free(void *p); // NULL is fine
char *mem_strdup(const char *text);
/* Calls of mem_alloc, mem_zalloc and mem_realloc so far by the calling thread (a counting test reads it). */
uint64_t mem_alloc_count(void);
/* Tells the simulator of each allocation and release; NULL (the default) tells nobody. Before any thread starts. */
struct mem_hook {
    void (*allocated)(void *p);
    void (*freed)(void *p); // p may be NULL
};
void mem_hook_set(const struct mem_hook *hook);

/* ---- slice: bytes that somebody else owns. data NULL means null (Kafka's null string, bytes or records). */
struct slice {
    const uint8_t *data;
    size_t size;
};

#define SLICE_NULL ((struct slice){0})
static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){.data = (const uint8_t *)data, .size = size};
}

/* A string literal or C string, without its NUL. */
static inline struct slice slice_str(const char *text)
{
    return text ? slice_of(text, strlen(text)) : SLICE_NULL;
}

static inline bool slice_is_null(struct slice s)
{
    return s.data == NULL;
}

bool slice_equal(struct slice a, struct slice b); // null equals only null
bool slice_equal_str(struct slice a, const char *text);
int slice_compare(struct slice a, struct slice b); // bytewise, shorter first
char *slice_to_str(struct slice s);                // a NUL-ended copy (mem_free); null gives ""

/* ---- uuid: 16 bytes as on the wire. Text form: URL-safe base64 without padding, 22 characters, as Kafka prints it. */
struct uuid {
    uint8_t bytes[16];
};

#define UUID_TEXT_SIZE 23 // with its NUL
extern const struct uuid UUID_ZERO;
bool uuid_equal(struct uuid a, struct uuid b);
bool uuid_is_zero(struct uuid a);
void uuid_to_text(struct uuid a, char ret_text[UUID_TEXT_SIZE]);
bool uuid_from_text(struct slice text, struct uuid *ret_uuid);

/* ---- arena: memory of one lifetime, given back at once. `limit_bytes` bounds it: past it alloc returns NULL and `failed`
 * stays set, so a decoder checks once at its end. Reset keeps the first block, so a warm arena calls malloc no more. */
struct arena_block;
struct arena {
    struct arena_block *blocks; // newest first
    uint8_t *at, *end;
    size_t used_bytes, limit_bytes, block_bytes;
    bool failed;
};

void arena_init(struct arena *a, size_t block_bytes, size_t limit_bytes);
void arena_reset(struct arena *a);
void arena_free(struct arena *a);
/* Aligned to 16, not cleared. NULL past the limit. Size 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size);
/* count * size with the overflow checked, cleared. */
void *arena_array(struct arena *a, size_t count, size_t size);
struct slice arena_copy(struct arena *a, struct slice s); // null stays null; null past the limit
/* Formatted text in the arena; SLICE_NULL past the limit. */
struct slice arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- list: intrusive, doubly linked, circular. */
struct list {
    struct list *next, *prev;
};

void list_init(struct list *head); // also for a node that is on no list
void list_push_back(struct list *head, struct list *node);
void list_push_front(struct list *head, struct list *node);
void list_remove(struct list *node); // leaves the node initialised; fine on a node that is on no list
/* Inline, since every request finds a dozen lists empty. */
static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}
struct list *list_take_first(struct list *head);             // there is one
static inline struct list *list_pop_front(struct list *head) // NULL when empty
{
    return list_is_empty(head) ? NULL : list_take_first(head);
}
/* Moves all of `from` behind the last of `to`. */
void list_splice_back(struct list *to, struct list *from);
#define LIST_EACH(node, head) for (struct list *node = (head)->next; node != (head); node = node->next)
/* The node may be removed meanwhile. */
#define LIST_EACH_SAFE(node, head)                                                                                     \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);                                  \
         node = node##_next, node##_next = node->next)

/* ---- hash: an intrusive chained table that grows by doubling; keys are the caller's. */
struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};

struct hash {
    struct hash_node **buckets;
    size_t bucket_count, count;
};

void hash_init(struct hash *h);
void hash_free(struct hash *h); // the nodes are the caller's
void hash_insert(struct hash *h, struct hash_node *node, uint64_t hash);
void hash_remove(struct hash *h, struct hash_node *node);
/* First node with that hash, then hash_next for the others with the same hash; NULL when none is left. */
struct hash_node *hash_first(const struct hash *h, uint64_t hash);
struct hash_node *hash_next(const struct hash_node *node);
/* Any order; the table must not change meanwhile. Returns NULL after the last; start with NULL. */
struct hash_node *hash_iterate(const struct hash *h, const struct hash_node *after);
/* SipHash-1-3 keyed by a process seed (hash_seed_set, once at start; tests use the default): safe for keys of clients. */
void hash_seed_set(uint64_t k0, uint64_t k1);
uint64_t hash_bytes(struct slice s);
void hash_bytes_128(struct slice s, uint64_t ret_hash[2]); // where the hash stands for the key
uint64_t hash_u64(uint64_t value);

/* ---- heap: intrusive binary min-heap by an int64 key (deadlines). */
struct heap_node {
    int64_t key;
    uint32_t index; // 1-based position; 0 when on no heap
};

struct heap {
    struct heap_node **nodes;
    uint32_t count, capacity;
};

void heap_init(struct heap *h);
void heap_free(struct heap *h);
void heap_insert(struct heap *h, struct heap_node *node, int64_t key); // moves it when it is on the heap already
void heap_remove(struct heap *h, struct heap_node *node);              // fine when on no heap
struct heap_node *heap_first(const struct heap *h);                    // NULL when empty

/* ---- buffer: growable bytes that clean themselves. */
struct buffer {
    uint8_t *data;
    size_t size, capacity;
};

void buffer_reserve(struct buffer *b, size_t more);
void buffer_append(struct buffer *b, const void *data, size_t size);
void buffer_printf(struct buffer *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buffer_base64(struct buffer *b, struct slice s); // appends it, with padding
void buffer_free(struct buffer *b);

/* ---- crc32c (Castagnoli, as in record batches): the CRC of `data`, or continued from `crc` of what came before. */
uint32_t crc32c(const void *data, size_t size);
uint32_t crc32c_continue(uint32_t crc, const void *data, size_t size);

/* ---- random: seeded xoshiro256**, for jitter, ids in tests and the simulator; not for secrets (io_random is). */
struct random {
    uint64_t s[4];
};

void random_seed(struct random *r, uint64_t seed);
uint64_t random_u64(struct random *r);
uint64_t random_below(struct random *r, uint64_t bound); // 0 <= x < bound, bound > 0

/* ---- histogram: log-linear counts of microseconds (or any unit), fixed size, error below 3 %. */
struct histogram {
    uint64_t counts[64 * 32];
    uint64_t total, sum, max;
};

void histogram_record(struct histogram *h, uint64_t value);
uint64_t histogram_percentile(const struct histogram *h, double percent); // 0 <= percent <= 100

/* ---- log: one line on stderr per call, logfmt: ts=... level=... mod=... msg="...", or the same as JSON. Each call
 * site is limited to 10 lines a second, the rest is counted and told. Safe from every thread. Never log a secret. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
void log_level_set(enum log_level level);
enum log_level log_level(void);
void log_json_set(bool is_json); // an object a line instead of logfmt
/* Where lines go (tests, the simulator); NULL restores stderr. */
void log_sink_set(void (*sink)(void *context, const char *line, size_t size), void *context);
/* The last lines, whole ones, oldest first: at most `size` bytes of what is kept (LOG_KEPT_BYTES). */
enum { LOG_KEPT_BYTES = 64 << 10 };
void log_tail(struct buffer *out, size_t size);
/* Wall-clock source in milliseconds, given by main (base knows no clock); 0 leaves ts out. */
void log_clock_set(int64_t (*wall_ms)(void));

struct log_site {
    _Atomic int64_t window_s;
    _Atomic uint32_t count;
};

void log_line(struct log_site *site, enum log_level level, const char *module, const char *format, ...)
    PRINTF_LIKE(4, 5);
#define LOG(level, module, ...)                                                                                        \
    do {                                                                                                               \
        static struct log_site log_site_;                                                                              \
        log_line(&log_site_, level, module, __VA_ARGS__);                                                              \
    } while (0)
