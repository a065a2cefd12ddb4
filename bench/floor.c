// SPDX-License-Identifier: Apache-2.0
/* bench/floor.c - what the kernel makes unavoidable: a frozen yardstick, not a broker.
 *
 * It does the work that no broker can leave out, in the plainest correct way, and nothing else:
 *
 *   produce  recv, cut frames, CRC-32C over the batch, one pwrite per batch, one send per connection and tick
 *   --fsync  one fdatasync per dirty file and group, on helper threads, before any reply of that group leaves,
 *            and no consumer sees a record before it (group commit)
 *   fetch    a reply header and sendfile of exactly the right bytes of the partition's file
 *
 * One thread, one level-triggered epoll.  No shortcut that a correct broker could not take: every batch is checked
 * and written, offsets are counted per partition, replies leave in the order of the requests, a fetch at the end
 * of the log waits for data.  What it leaves out is what a broker adds: indexes, recovery, rolling, retention,
 * producer state, groups, metadata that outlives the process, every other version of the protocol.  The data
 * directory starts empty each time.
 *
 * All batches of a partition must have the size and record count of its first one, so that the position of an
 * offset is arithmetic.  Speaks Produce v7, Fetch v11, ListOffsets v1, Metadata v4, ApiVersions v0, CreateTopics v4
 * and DeleteTopics v3; any other request closes the connection.
 *
 * cc -std=gnu17 -O2 -Wall -Wextra floor.c -o floor -lisal -lpthread
 * floor --port PORT --data DIR [--fsync] [--sync-threads N]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A small send buffer more than halves the CPU of sendfile over loopback: with megabytes in flight the reader drains faster
 * than we fill, sleeps after each piece, and every piece costs a wake-up of the other core. Measured, not derived. */
enum { SEND_BUFFER_BYTES = 64 << 10 };
enum { BUFFER_BYTES = 256 << 10, FRAME_BYTES_MAX = 100 << 20, BATCH_HEAD = 61, EVENTS = 512, SYNC_THREADS_MAX = 64 };
enum { OK = 0, OUT_OF_RANGE = 1, CORRUPT = 2, UNKNOWN_TOPIC = 3, TOPIC_EXISTS = 36, INVALID_REQUEST = 42 };

struct partition {
    int fd;
    bool dirty;                          // in the open group
    int64_t next, visible;               // next offset to assign; first offset that consumers may not see yet
    uint32_t batch_bytes, batch_records; // 0 until the first batch
};

struct topic {
    char name[256];
    int count;
    struct partition *part;
};

struct bytes {
    uint8_t *p;
    size_t n, cap;
};

/* A piece of a connection's output: bytes of `mem` (fd < 0) or of a file. It may leave once `group` is on the disk. */
struct piece {
    uint64_t group;
    int fd;
    off_t at;
    size_t size;
};

struct conn {
    int fd;
    uint32_t events; // as registered with epoll
    bool touched, held, dead;
    uint8_t *buf;
    size_t start, end, cap; // received and not yet cut
    struct bytes mem;
    size_t mem_queued; // replies; up to here covered by pieces
    struct piece *piece;
    size_t first, pieces, piece_cap;
    uint64_t hold; // group of the newest piece
    uint8_t *parked;
    size_t parked_size;
    int64_t parked_until; // a fetch that waits for data
};

static int port, epfd, listener, wakefd, sync_threads = 1;
static bool fsync_on;
static const char *data_dir;
static struct topic **topics;
static int topic_count;
struct list {
    void **p;
    size_t n, cap;
};
static struct list touched, held, parked, dirty;
static bool advanced; // some visible end moved in this tick

static void die(const char *what)
{
    perror(what);
    exit(1);
}
static void *grow(void *p, size_t n)
{
    p = realloc(p, n);
    if (!p)
        die("memory");
    return p;
}
static void push(struct list *l, void *v)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->p = grow(l->p, l->cap * sizeof *l->p);
    }
    l->p[l->n++] = v;
}
static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- group commit: the open group collects dirty partitions; one closed group at a time is with the helpers */

static struct {
    struct partition *part;
    int64_t end;
} * job;
static size_t job_cap;
static uint32_t job_size, job_round;
static _Atomic uint64_t job_next; // round in the upper half, next file in the lower: a late helper takes nothing
static _Atomic uint32_t job_done;
static uint64_t group_open = 1, group_synced;
static bool syncing;
static pthread_mutex_t job_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t job_ready = PTHREAD_COND_INITIALIZER, job_over = PTHREAD_COND_INITIALIZER;

static bool job_take(uint32_t round, uint32_t size, uint32_t *ret_index)
{
    uint64_t next = atomic_load(&job_next);
    do {
        if (next >> 32 != round || (uint32_t)next >= size)
            return false;
    } while (!atomic_compare_exchange_weak(&job_next, &next, next + 1));
    *ret_index = (uint32_t)next;
    return true;
}

static void *helper(void *unused)
{
    (void)unused;
    for (uint32_t round = 0;;) {
        pthread_mutex_lock(&job_lock);
        while (job_round == round)
            pthread_cond_wait(&job_ready, &job_lock);
        round = job_round;
        uint32_t size = job_size;
        pthread_mutex_unlock(&job_lock);
        for (uint32_t i; job_take(round, size, &i);) {
            if (fdatasync(job[i].part->fd))
                die("fdatasync");
            if (atomic_fetch_add(&job_done, 1) + 1 < size)
                continue;
            pthread_mutex_lock(&job_lock);
            pthread_cond_signal(&job_over);
            pthread_mutex_unlock(&job_lock);
            if (eventfd_write(wakefd, 1))
                die("eventfd");
        }
    }
    return NULL;
}

static void group_close(void) // hand the open group to the helpers
{
    if (syncing || !dirty.n)
        return;
    pthread_mutex_lock(&job_lock);
    if (job_cap < dirty.n) {
        job_cap = dirty.cap;
        job = grow(job, job_cap * sizeof *job);
    }
    for (size_t i = 0; i < dirty.n; i++) {
        struct partition *p = dirty.p[i];
        job[i].part = p;
        job[i].end = p->next;
        p->dirty = false;
    }
    job_size = (uint32_t)dirty.n;
    dirty.n = 0;
    syncing = true;
    group_open++;
    atomic_store(&job_done, 0);
    atomic_store(&job_next, (uint64_t)++job_round << 32);
    if (job_size > 1)
        pthread_cond_broadcast(&job_ready);
    else
        pthread_cond_signal(&job_ready);
    pthread_mutex_unlock(&job_lock);
}

static void touch(struct conn *c)
{
    if (!c->touched) {
        c->touched = true;
        push(&touched, c);
    }
}

static void group_over(void) // the helpers are through: release its replies, show its records
{
    if (!syncing || atomic_load(&job_done) != job_size)
        return;
    syncing = false;
    group_synced = group_open - 1;
    advanced = true;
    for (uint32_t i = 0; i < job_size; i++)
        job[i].part->visible = job[i].end;
    for (size_t i = 0; i < held.n; i++) {
        struct conn *c = held.p[i];
        c->held = false;
        touch(c);
    }
    held.n = 0;
}

static void group_wait(void) // before files are closed
{
    if (!syncing)
        return;
    pthread_mutex_lock(&job_lock);
    while (atomic_load(&job_done) != job_size)
        pthread_cond_wait(&job_over, &job_lock);
    pthread_mutex_unlock(&job_lock);
    group_over();
}

/* ---- reading a frame: the first fault sticks, later reads give zero */

struct reader {
    uint8_t *p, *end;
    bool bad;
};
static uint8_t *take(struct reader *r, int64_t n)
{
    static uint8_t zero[16];
    if (r->bad || n < 0 || r->end - r->p < n) {
        r->bad = true;
        return zero;
    }
    uint8_t *q = r->p;
    r->p += n;
    return q;
}
static int16_t get16(struct reader *r)
{
    uint16_t v;
    memcpy(&v, take(r, 2), 2);
    return (int16_t)be16toh(v);
}
static int32_t get32(struct reader *r)
{
    uint32_t v;
    memcpy(&v, take(r, 4), 4);
    return (int32_t)be32toh(v);
}
static int64_t get64(struct reader *r)
{
    uint64_t v;
    memcpy(&v, take(r, 8), 8);
    return (int64_t)be64toh(v);
}
static int32_t get_count(struct reader *r)
{
    int32_t n = get32(r);
    if (n > r->end - r->p)
        r->bad = true;
    return r->bad ? 0 : n;
}
struct str {
    const char *p;
    int n;
};
static struct str get_str(struct reader *r)
{
    int n = get16(r);
    struct str s = {"", 0};
    if (n > 0) {
        s.p = (char *)take(r, n);
        s.n = r->bad ? 0 : n;
    }
    return s;
}

/* ---- writing a reply into a connection's memory */

static void put(struct conn *c, const void *p, size_t n)
{
    struct bytes *m = &c->mem;
    if (m->cap - m->n < n) {
        m->cap = (m->n + n) * 2;
        m->p = grow(m->p, m->cap);
    }
    memcpy(m->p + m->n, p, n);
    m->n += n;
}
static void put8(struct conn *c, int v)
{
    uint8_t b = (uint8_t)v;
    put(c, &b, 1);
}
static void put16(struct conn *c, int v)
{
    uint16_t b = htobe16((uint16_t)v);
    put(c, &b, 2);
}
static void put32(struct conn *c, int32_t v)
{
    uint32_t b = htobe32((uint32_t)v);
    put(c, &b, 4);
}
static void put64(struct conn *c, int64_t v)
{
    uint64_t b = htobe64((uint64_t)v);
    put(c, &b, 8);
}
static void put_str(struct conn *c, struct str s)
{
    put16(c, s.n);
    put(c, s.p, (size_t)s.n);
}
static size_t reply_begin(struct conn *c, int32_t correlation)
{
    size_t at = c->mem.n;
    put32(c, 0);
    put32(c, correlation);
    return at;
}

static void add_piece(struct conn *c, int fd, off_t at, size_t size)
{
    struct piece *last = c->pieces > c->first ? &c->piece[c->pieces - 1] : NULL;
    if (fd < 0 && last && last->fd < 0 && last->group == c->hold) {
        last->size += size;
        return;
    }
    if (c->pieces == c->piece_cap) {
        c->piece_cap = c->piece_cap ? c->piece_cap * 2 : 8;
        c->piece = grow(c->piece, c->piece_cap * sizeof *c->piece);
    }
    c->piece[c->pieces++] = (struct piece){c->hold, fd, at, size};
}
static void queue_mem(struct conn *c)
{
    if (c->mem.n > c->mem_queued)
        add_piece(c, -1, (off_t)c->mem_queued, c->mem.n - c->mem_queued);
    c->mem_queued = c->mem.n;
}
static void reply_end(struct conn *c, size_t at, size_t file_bytes)
{
    uint32_t size = htobe32((uint32_t)(c->mem.n - at - 4 + file_bytes));
    memcpy(c->mem.p + at, &size, 4);
    queue_mem(c);
    touch(c);
}

/* ---- topics */

static struct topic *topic_find(struct str s)
{
    for (int i = topic_count; i-- > 0;)
        if (!memcmp(topics[i]->name, s.p, (size_t)s.n) && !topics[i]->name[s.n])
            return topics[i];
    return NULL;
}
static struct partition *partition_find(struct topic *t, int32_t i)
{
    return t && i >= 0 && i < t->count ? &t->part[i] : NULL;
}
static void file_name(char *to, size_t size, const struct topic *t, int i)
{
    snprintf(to, size, "%s/%s-%d.log", data_dir, t->name, i);
}

static int topic_create(struct str s, int count)
{
    if (s.n < 1 || s.n > 249 || count < 1)
        return INVALID_REQUEST;
    if (topic_find(s))
        return TOPIC_EXISTS;
    struct topic *t = calloc(1, sizeof *t);
    if (!t)
        die("memory");
    memcpy(t->name, s.p, (size_t)s.n);
    t->count = count;
    t->part = calloc((size_t)count, sizeof *t->part);
    for (int i = 0; i < count; i++) {
        char f[4096];
        file_name(f, sizeof f, t, i);
        if ((t->part[i].fd = open(f, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) < 0)
            die(f);
    }
    topics = grow(topics, (size_t)(topic_count + 1) * sizeof(void *));
    topics[topic_count++] = t;
    return OK;
}

static int topic_delete(struct str s)
{
    struct topic *t = topic_find(s);
    if (!t)
        return UNKNOWN_TOPIC;
    group_wait();
    group_close();
    group_wait();
    for (int i = 0; i < t->count; i++) {
        char f[4096];
        file_name(f, sizeof f, t, i);
        unlink(f);
        close(t->part[i].fd);
    }
    int at = 0;
    while (topics[at] != t)
        at++;
    topics[at] = topics[--topic_count];
    free(t->part);
    free(t);
    return OK;
}

/* ---- produce */

static uint32_t be32_at(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return be32toh(v);
}

/* Bytes of a batch: 0 base offset (8), 8 length (4), 12 leader epoch (4), 16 magic (1), 17 CRC (4) of all from 21 on,
 * 23 last offset delta (4), 57 record count (4).  Offset and epoch are the broker's to fill in. */
static int append(struct partition *p, uint8_t *b, int32_t size, int64_t *ret_base)
{
    if (!p)
        return UNKNOWN_TOPIC;
    if (size < BATCH_HEAD || be32_at(b + 8) != (uint32_t)size - 12 || b[16] != 2)
        return CORRUPT;
    if (be32_at(b + 17) != ~crc32_iscsi(b + 21, size - 21, ~0u))
        return CORRUPT;
    uint32_t records = be32_at(b + 57);
    if (!records || be32_at(b + 23) != records - 1)
        return CORRUPT;
    if (!p->batch_bytes) {
        p->batch_bytes = (uint32_t)size;
        p->batch_records = records;
    }
    if (p->batch_bytes != (uint32_t)size || p->batch_records != records)
        return INVALID_REQUEST;

    uint64_t base = htobe64((uint64_t)p->next);
    memcpy(b, &base, 8);
    memset(b + 12, 0, 4);
    off_t at = p->next / records * size;
    if (pwrite(p->fd, b, (size_t)size, at) != size)
        die("pwrite");
    *ret_base = p->next;
    p->next += records;
    if (!fsync_on) {
        p->visible = p->next;
        advanced = true;
    } else if (!p->dirty) {
        p->dirty = true;
        push(&dirty, p);
    }
    return OK;
}

static void on_produce(struct conn *c, struct reader *r, int32_t correlation)
{
    get_str(r);
    int acks = get16(r);
    get32(r);
    size_t mem = c->mem.n, at = reply_begin(c, correlation);
    int32_t topic_n = get_count(r);
    put32(c, topic_n);
    while (topic_n-- > 0 && !r->bad) {
        struct str name = get_str(r);
        struct topic *t = topic_find(name);
        put_str(c, name);
        int32_t n = get_count(r);
        put32(c, n);
        while (n-- > 0 && !r->bad) {
            int32_t index = get32(r), size = get32(r);
            uint8_t *batch = take(r, size);
            int64_t base = -1;
            int error = r->bad ? CORRUPT : append(partition_find(t, index), batch, size, &base);
            put32(c, index);
            put16(c, error);
            put64(c, base);
            put64(c, -1);
            put64(c, error ? -1 : 0);
        }
    }
    put32(c, 0);
    if (!acks) {
        c->mem.n = mem;
        return;
    }
    if (dirty.n)
        c->hold = group_open; // with --fsync only
    reply_end(c, at, 0);
}

/* ---- fetch: returns false when there is nothing to send yet and `may_wait` */

static bool on_fetch(struct conn *c, struct reader *r, int32_t correlation, bool may_wait, int32_t *ret_wait_ms)
{
    get32(r);
    *ret_wait_ms = get32(r);
    int32_t min = get32(r);
    int64_t left = get32(r);
    take(r, 1);
    get32(r);
    get32(r);
    size_t mem = c->mem.n, pieces = c->pieces, at = reply_begin(c, correlation), total = 0;
    bool error_seen = false;
    put32(c, 0);
    put16(c, 0);
    put32(c, 0);
    int32_t topic_n = get_count(r);
    put32(c, topic_n);
    while (topic_n-- > 0 && !r->bad) {
        struct str name = get_str(r);
        struct topic *t = topic_find(name);
        put_str(c, name);
        int32_t n = get_count(r);
        put32(c, n);
        while (n-- > 0 && !r->bad) {
            int32_t index = get32(r);
            get32(r);
            int64_t offset = get64(r);
            get64(r);
            int64_t max = get32(r);
            struct partition *p = partition_find(t, index);
            int error = !p ? UNKNOWN_TOPIC : offset < 0 || offset > p->visible ? OUT_OF_RANGE : OK;
            int64_t end = error ? -1 : p->visible, size = 0;
            off_t from = 0;
            if (!error && offset < end) { // whole batches, at least one if nothing has been found yet
                from = offset / p->batch_records * (int64_t)p->batch_bytes;
                size = end / p->batch_records * (int64_t)p->batch_bytes - from;
                if (max > left)
                    max = left;
                if (size > max)
                    size = max / p->batch_bytes * p->batch_bytes;
                if (size <= 0)
                    size = total ? 0 : p->batch_bytes;
            }
            put32(c, index);
            put16(c, error);
            put64(c, end);
            put64(c, end);
            put64(c, error ? -1 : 0);
            put32(c, -1);
            put32(c, -1);
            put32(c, (int32_t)size);
            if (size > 0) {
                queue_mem(c);
                add_piece(c, p->fd, from, (size_t)size);
                total += (size_t)size;
                left -= size;
            }
            error_seen |= error != OK;
        }
    }
    if (may_wait && !error_seen && !r->bad && (int64_t)total < min && !total) {
        c->mem.n = mem;
        c->mem_queued = mem;
        c->pieces = pieces;
        return false;
    }
    reply_end(c, at, total);
    return true;
}

/* ---- the small requests */

static void on_list_offsets(struct conn *c, struct reader *r, int32_t correlation)
{
    get32(r);
    size_t at = reply_begin(c, correlation);
    int32_t topic_n = get_count(r);
    put32(c, topic_n);
    while (topic_n-- > 0 && !r->bad) {
        struct str name = get_str(r);
        struct topic *t = topic_find(name);
        put_str(c, name);
        int32_t n = get_count(r);
        put32(c, n);
        while (n-- > 0 && !r->bad) {
            int32_t index = get32(r);
            int64_t time = get64(r);
            struct partition *p = partition_find(t, index);
            put32(c, index);
            put16(c, p ? OK : UNKNOWN_TOPIC);
            put64(c, -1);
            put64(c, !p ? -1 : time == -2 ? 0 : p->visible);
        }
    }
    reply_end(c, at, 0);
}

static void put_topic(struct conn *c, struct str name, const struct topic *t)
{
    put16(c, t ? OK : UNKNOWN_TOPIC);
    put_str(c, name);
    put8(c, 0);
    put32(c, t ? t->count : 0);
    for (int i = 0; t && i < t->count; i++) {
        put16(c, OK);
        put32(c, i);
        put32(c, 1);
        put32(c, 1);
        put32(c, 1);
        put32(c, 1);
        put32(c, 1);
    }
}
static void on_metadata(struct conn *c, struct reader *r, int32_t correlation)
{
    size_t at = reply_begin(c, correlation);
    put32(c, 0);
    put32(c, 1);
    put32(c, 1);
    put_str(c, (struct str){"127.0.0.1", 9});
    put32(c, port);
    put16(c, -1);
    put16(c, -1);
    put32(c, 1);
    int32_t n = get32(r);
    if (n < 0) {
        put32(c, topic_count);
        for (int i = 0; i < topic_count; i++)
            put_topic(c, (struct str){topics[i]->name, (int)strlen(topics[i]->name)}, topics[i]);
    } else
        for (put32(c, n); n-- > 0 && !r->bad;) {
            struct str name = get_str(r);
            put_topic(c, name, topic_find(name));
        }
    reply_end(c, at, 0);
}

static void on_api_versions(struct conn *c, int32_t correlation)
{
    static const int8_t api[][2] = {{0, 7}, {1, 11}, {2, 1}, {3, 4}, {18, 0}, {19, 4}, {20, 3}};
    size_t at = reply_begin(c, correlation);
    put16(c, OK);
    put32(c, (int32_t)(sizeof api / sizeof *api));
    for (size_t i = 0; i < sizeof api / sizeof *api; i++) {
        put16(c, api[i][0]);
        put16(c, api[i][1]);
        put16(c, api[i][1]);
    }
    reply_end(c, at, 0);
}

static void on_create_topics(struct conn *c, struct reader *r, int32_t correlation)
{
    size_t at = reply_begin(c, correlation);
    put32(c, 0);
    int32_t n = get_count(r);
    put32(c, n);
    while (n-- > 0 && !r->bad) {
        struct str name = get_str(r);
        int32_t count = get32(r);
        get16(r);
        for (int32_t k = get_count(r); k-- > 0 && !r->bad;) {
            get32(r);
            for (int32_t m = get_count(r); m-- > 0 && !r->bad;)
                get32(r);
        }
        for (int32_t k = get_count(r); k-- > 0 && !r->bad;) {
            get_str(r);
            get_str(r);
        }
        int error = r->bad ? INVALID_REQUEST : topic_create(name, count);
        put_str(c, name);
        put16(c, error);
        put16(c, -1);
    }
    reply_end(c, at, 0);
}

static void on_delete_topics(struct conn *c, struct reader *r, int32_t correlation)
{
    size_t at = reply_begin(c, correlation);
    put32(c, 0);
    int32_t n = get_count(r);
    put32(c, n);
    while (n-- > 0 && !r->bad) {
        struct str name = get_str(r);
        put_str(c, name);
        put16(c, topic_delete(name));
    }
    reply_end(c, at, 0);
}

/* ---- connections */

static void watch(struct conn *c, uint32_t events)
{
    if (c->events == events)
        return;
    struct epoll_event e = {.events = c->events = events, .data.ptr = c};
    if (epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &e))
        die("epoll_ctl");
}
static void conn_fail(struct conn *c)
{
    if (!c->dead) {
        c->dead = true;
        close(c->fd);
        touch(c);
    }
}
static void conn_free(struct conn *c) // only at the end of a tick and when no group holds it
{
    for (size_t i = 0; i < parked.n; i++)
        if (parked.p[i] == c)
            parked.p[i--] = parked.p[--parked.n];
    free(c->buf);
    free(c->mem.p);
    free(c->piece);
    free(c->parked);
    free(c);
}

static void on_frame(struct conn *c, uint8_t *frame, size_t size)
{
    struct reader r = {frame, frame + size, false};
    int key = get16(&r), version = get16(&r), wait_ms = 0;
    int32_t id = get32(&r);
    get_str(&r);
    switch (key << 16 | (uint16_t)version) {
    case 0 << 16 | 7:
        on_produce(c, &r, id);
        break;
    case 1 << 16 | 11:
        if (on_fetch(c, &r, id, !c->parked, &wait_ms))
            break;
        c->parked = grow(NULL, size);
        memcpy(c->parked, frame, size);
        c->parked_size = size;
        c->parked_until = now_ms() + wait_ms;
        push(&parked, c);
        return;
    case 2 << 16 | 1:
        on_list_offsets(c, &r, id);
        break;
    case 3 << 16 | 4:
        on_metadata(c, &r, id);
        break;
    case 18 << 16 | 0:
        on_api_versions(c, id);
        break;
    case 19 << 16 | 4:
        on_create_topics(c, &r, id);
        break;
    case 20 << 16 | 3:
        on_delete_topics(c, &r, id);
        break;
    default:
        r.bad = true;
    }
    if (r.bad)
        conn_fail(c);
}

static void cut_frames(struct conn *c)
{
    while (!c->dead && !c->parked && c->end - c->start >= 4) {
        size_t size = be32_at(c->buf + c->start), have = c->end - c->start;
        if (size > FRAME_BYTES_MAX) {
            conn_fail(c);
            return;
        }
        if (have < size + 4) { // make room for the rest of it
            if (c->cap - c->start >= size + 4)
                return;
            if (c->cap < size + 4) {
                c->cap = size + 4;
                c->buf = grow(c->buf, c->cap);
            }
            memmove(c->buf, c->buf + c->start, have);
            c->start = 0;
            c->end = have;
            return;
        }
        c->start += size + 4;
        on_frame(c, c->buf + c->start - size, size);
    }
    if (c->start == c->end)
        c->start = c->end = 0;
}

static void conn_read(struct conn *c)
{
    if (c->parked) {
        watch(c, c->events & ~(uint32_t)EPOLLIN);
        return;
    }
    if (c->end == c->cap && c->start) {
        memmove(c->buf, c->buf + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    ssize_t n = recv(c->fd, c->buf + c->end, c->cap - c->end, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_fail(c);
        return;
    }
    c->end += (size_t)n;
    cut_frames(c);
}

/* A waiting fetch again, from its copy: with `last` it's answered even if there is nothing. */
static void retry(struct conn *c, bool last)
{
    struct reader r = {c->parked, c->parked + c->parked_size, false};
    int32_t wait_ms;
    get32(&r);
    int32_t id = get32(&r);
    get_str(&r);
    if (!on_fetch(c, &r, id, !last, &wait_ms)) {
        push(&parked, c);
        return;
    }
    free(c->parked);
    c->parked = NULL;
    watch(c, c->events | EPOLLIN);
    cut_frames(c);
}

static void conn_send(struct conn *c)
{
    while (c->first < c->pieces && c->piece[c->first].group <= group_synced) {
        struct piece *s = &c->piece[c->first];
        bool more = c->first + 1 < c->pieces && s[1].group <= group_synced;
        off_t at = s->at;
        ssize_t n = s->fd < 0 ? send(c->fd, c->mem.p + at, s->size, MSG_NOSIGNAL | (more ? MSG_MORE : 0))
                              : sendfile(c->fd, s->fd, &at, s->size);
        if (n < 0 && errno == EAGAIN) {
            watch(c, c->events | EPOLLOUT);
            return;
        }
        if (n <= 0) {
            conn_fail(c);
            return;
        }
        s->at += n;
        s->size -= (size_t)n;
        if (!s->size)
            c->first++;
    }
    watch(c, c->events & ~(uint32_t)EPOLLOUT);
    if (c->first == c->pieces)
        c->first = c->pieces = c->mem.n = c->mem_queued = 0;
    else if (!c->held) {
        c->held = true;
        push(&held, c);
    }
}

static void accept_all(void)
{
    for (int fd, one = 1; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        int unsent = SEND_BUFFER_BYTES;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &unsent, sizeof unsent);
        struct conn *c = calloc(1, sizeof *c);
        if (!c)
            die("memory");
        c->fd = fd;
        c->cap = BUFFER_BYTES;
        c->buf = grow(NULL, c->cap);
        c->events = EPOLLIN;
        struct epoll_event e = {.events = c->events, .data.ptr = c};
        if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e))
            die("epoll_ctl");
    }
}

static int parked_timeout_ms(void)
{
    int64_t first = advanced && parked.n ? 0 : -1, now = now_ms();
    for (size_t i = 0; i < parked.n; i++) {
        int64_t d = ((struct conn *)parked.p[i])->parked_until - now;
        if (d < 0)
            d = 0;
        if (first < 0 || d < first)
            first = d;
    }
    return (int)first;
}

static void tick(void)
{
    struct epoll_event ev[EVENTS];
    int n = epoll_wait(epfd, ev, EVENTS, parked_timeout_ms());
    for (int i = 0; i < n; i++) {
        struct conn *c = ev[i].data.ptr;
        if (ev[i].data.ptr == &listener)
            accept_all();
        else if (ev[i].data.ptr == &wakefd) {
            eventfd_t v;
            eventfd_read(wakefd, &v);
            group_over();
        } else if (ev[i].events & (EPOLLERR | EPOLLHUP))
            conn_fail(c);
        else {
            if (ev[i].events & EPOLLIN)
                conn_read(c);
            if (ev[i].events & EPOLLOUT && !c->dead)
                touch(c);
        }
    }
    if (parked.n) {
        int64_t now = now_ms();
        bool news = advanced;
        struct list again = parked;
        parked = (struct list){0};
        advanced = false;
        for (size_t i = 0; i < again.n; i++) {
            struct conn *c = again.p[i];
            bool late = now >= c->parked_until;
            if (c->dead)
                continue;
            if (news || late)
                retry(c, late);
            else
                push(&parked, c);
        }
        free(again.p);
    }
    for (size_t i = 0; i < touched.n; i++) {
        struct conn *c = touched.p[i];
        if (!c->dead)
            conn_send(c);
    }
    for (size_t i = 0; i < touched.n; i++) {
        struct conn *c = touched.p[i];
        c->touched = false;
        if (c->dead && !c->held)
            conn_free(c);
    }
    touched.n = 0;
    if (fsync_on)
        group_close();
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--fsync"))
            fsync_on = true;
        else if (i + 1 < argc && !strcmp(argv[i], "--port"))
            port = (int)strtol(argv[++i], NULL, 10);
        else if (i + 1 < argc && !strcmp(argv[i], "--data"))
            data_dir = argv[++i];
        else if (i + 1 < argc && !strcmp(argv[i], "--sync-threads"))
            sync_threads = (int)strtol(argv[++i], NULL, 10);
        else
            port = 0, i = argc;
    }
    if (!port || !data_dir || sync_threads < 1 || sync_threads > SYNC_THREADS_MAX) {
        fprintf(stderr, "usage: floor --port PORT --data DIR [--fsync] [--sync-threads N]\n");
        return 2;
    }
    if (mkdir(data_dir, 0755) && errno != EEXIST)
        die(data_dir);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }

    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 4096))
        die("listen");
    epfd = epoll_create1(EPOLL_CLOEXEC);
    wakefd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listener}, w = {.events = EPOLLIN, .data.ptr = &wakefd};
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &e) || epoll_ctl(epfd, EPOLL_CTL_ADD, wakefd, &w))
        die("epoll_ctl");
    for (int i = 0; fsync_on && i < sync_threads; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, helper, NULL))
            die("thread");
    }
    for (;;)
        tick();
}
