// SPDX-License-Identifier: Apache-2.0
/* bench/kload.c - a load generator for any broker that speaks Kafka's protocol: one thread, no client library.
 *
 *   kload create   --topic T --partitions P [--config k=v ...]       kload delete --topic T
 *   kload wait     [--t0 MONOTONIC_NS] [--topic T --partitions P] [--timeout S]
 *   kload produce  --topic T --partitions P --connections C --inflight K --record-bytes N --records-per-batch B
 *                  --acks 0|1|-1 --seconds S [--warmup W] [--rate MESSAGES/S] [--batches-per-request M] [--max-mib X]
 *                  [--no-check] [--pretouch MIB] [--codec none|gzip|snappy|lz4|zstd] [--idempotent] [--keys N]
 *   kload fetch    --topic T --partitions P --connections C [--max-bytes PARTITION_MAX] [--seconds S]
 *                  [--discard] [--verify] [--from-end] [--no-check]
 *   kload e2e      --topic T --rate R --seconds S --record-bytes N          one partition, a consumer that waits
 *   kload pingpong --api apiversions|metadata --connections C [--idle N] --seconds S [--inflight K] [--rate R]
 *
 * For all: --host H, --port P, --broker-pid PID (adds CPU, memory, context switches and system calls of that process in
 * the measured window), --spin (never sleep in epoll), --tag STRING.
 *
 * --codec compresses the one batch that is sent again and again, of records that are made of a few hundred words; without
 * it they are random.
 *
 * --idempotent makes each connection a producer with an id and sequences of its own, so that every batch gets another head
 * and another CRC. --keys gives records one of so many keys. --from-end reads only what comes. A fetch that is one pass
 * while others produce needs --no-check, and ends when it has caught up.
 *
 * --pretouch holds that much touched memory and gives it back in step with what is produced, so that the broker's page
 * cache grows into memory that the hypervisor has backed already. --discard receives with MSG_TRUNC: nothing is copied
 * out of the kernel. --verify walks every batch and checks its CRC. Without --seconds a fetch is one pass.
 *
 * It writes one line of JSON, and ends with status 1 and "valid":false when an answer carried an error, was missing, or
 * did not add up. Versions: ApiVersions 0, InitProducerId 0, Metadata 4, CreateTopics 4, DeleteTopics 3, ListOffsets 1, Produce 7,
 * Fetch 11.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4frame.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nmmintrin.h>
#include <signal.h>
#include <snappy-c.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;
static void die(const char *f, ...)
{
    va_list a;
    va_start(a, f);
    fprintf(stderr, "kload: ");
    vfprintf(stderr, f, a);
    fputc('\n', stderr);
    va_end(a);
    exit(2);
}
static u64 ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

static void nap_us(long us)
{
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&t, NULL);
}
static i64 whole(const char *text)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        die("not a whole number: %s", text);
    return v;
}
static int small(const char *text)
{
    i64 v = whole(text);
    if (v < INT32_MIN || v > INT32_MAX)
        die("too large: %s", text);
    return (int)v;
}
static double real(const char *text)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end)
        die("not a number: %s", text);
    return v;
}
/* The number behind a name at the beginning of a line, as in /proc. */
static bool named(const char *line, const char *name, u64 *ret_value)
{
    size_t n = strlen(name);
    if (strncmp(line, name, n))
        return false;
    *ret_value = strtoull(line + n, NULL, 10);
    return true;
}
/* The field at an index of a line, fields being parted by blanks; an empty one behind the last. */
static const char *field(const char *line, int index)
{
    line += strspn(line, " ");
    for (; index > 0; index--) {
        line += strcspn(line, " ");
        line += strspn(line, " ");
    }
    return line;
}

// ---------- options
static struct {
    const char *mode, *host, *topic, *api, *tag, *codec;
    int port, parts, conns, inflight, rec_bytes, rpb, acks, bpr, idle, pid, keys;
    double seconds, warmup, rate, timeout;
    i64 max_bytes, max_mib, pretouch;
    u64 t0;
    bool discard, verify, spin, nocheck, idempotent, from_end;
    const char *cfg[32];
    int ncfg;
} O = {.host = "127.0.0.1",
       .topic = "t",
       .api = "apiversions",
       .tag = "",
       .codec = "none",
       .port = 9092,
       .parts = 1,
       .conns = 1,
       .inflight = 1,
       .rec_bytes = 1024,
       .rpb = 1,
       .acks = -1,
       .bpr = 1,
       .warmup = 1,
       .timeout = 60,
       .max_bytes = 1 << 20};

// ---------- histogram: log-linear, 64 sub-buckets per octave (<=1.6 % error), ns
#define HN (128 + 40 * 64)
typedef struct {
    u64 n, max, min;
    double sum;
    u64 b[HN];
} hist;
static void hadd(hist *h, u64 v)
{
    u32 i;
    if (v < 128)
        i = (u32)v;
    else {
        u32 e = 63 - (u32)__builtin_clzll(v);
        i = 128 + (e - 7) * 64 + (u32)((v >> (e - 6)) & 63);
        if (i >= HN)
            i = HN - 1;
    }
    h->b[i]++;
    h->n++;
    h->sum += (double)v;
    if (v > h->max)
        h->max = v;
    if (!h->min || v < h->min)
        h->min = v;
}
static double hq(const hist *h, double q)
{ // in us
    if (!h->n)
        return 0;
    u64 want = (u64)(q * (double)h->n);
    if (want >= h->n)
        want = h->n - 1;
    u64 c = 0;
    for (u32 i = 0; i < HN; i++) {
        c += h->b[i];
        if (c > want) {
            double v;
            if (i < 128)
                v = i;
            else {
                u32 e = (i - 128) / 64 + 7, s = (i - 128) % 64;
                v = (double)(64 + s) * (double)(1ull << (e - 6)) + (double)(1ull << (e - 6)) / 2;
            }
            if (v > (double)h->max)
                v = (double)h->max;
            return v / 1e3;
        }
    }
    return (double)h->max / 1e3;
}

// ---------- byte writer / reader
typedef struct {
    u8 *p;
    size_t n, cap;
} wb;
static void w_(wb *w, const void *s, size_t n)
{
    if (w->n + n > w->cap) {
        w->cap = (w->n + n) * 2 + 64;
        w->p = realloc(w->p, w->cap);
        if (!w->p)
            die("oom");
    }
    memcpy(w->p + w->n, s, n);
    w->n += n;
}
static void w8(wb *w, int v)
{
    u8 b = (u8)v;
    w_(w, &b, 1);
}
static void w16(wb *w, int v)
{
    u8 b[2] = {(u8)(v >> 8), (u8)v};
    w_(w, b, 2);
}
static void w32(wb *w, u32 v)
{
    v = __builtin_bswap32(v);
    w_(w, &v, 4);
}
static void w64(wb *w, u64 v)
{
    v = __builtin_bswap64(v);
    w_(w, &v, 8);
}
static void wstr(wb *w, const char *s)
{
    if (!s) {
        w16(w, -1);
        return;
    }
    size_t n = strlen(s);
    w16(w, (int)n);
    w_(w, s, n);
}
static void wvar(wb *w, i64 v)
{
    u64 z = ((u64)v << 1) ^ (u64)(v >> 63);
    while (z >= 128) {
        w8(w, (int)(z & 127) | 128);
        z >>= 7;
    }
    w8(w, (int)z);
}
static void p32(u8 *p, u32 v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}
static u32 g32(const u8 *p)
{
    u32 v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}
static u64 g64(const u8 *p)
{
    u64 v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}
static int g16(const u8 *p)
{
    return (int16_t)(p[0] << 8 | p[1]);
}
static u32 crc32c_on(u32 crc, const u8 *p, size_t n)
{
    u64 c = ~crc;
    while (n >= 8) {
        u64 v;
        memcpy(&v, p, 8);
        c = _mm_crc32_u64(c, v);
        p += 8;
        n -= 8;
    }
    u32 d = (u32)c;
    while (n--)
        d = _mm_crc32_u8(d, *p++);
    return ~d;
}
static u32 crc32c(const u8 *p, size_t n)
{
    return crc32c_on(0, p, n);
}
typedef struct {
    const u8 *p, *e;
    bool bad;
} rb;
static const u8 *r_(rb *r, size_t n)
{
    static const u8 z[64];
    if (r->bad || (size_t)(r->e - r->p) < n) {
        r->bad = true;
        return z;
    }
    const u8 *q = r->p;
    r->p += n;
    return q;
}
static int r16(rb *r)
{
    return g16(r_(r, 2));
}
static i64 r32(rb *r)
{
    return (int32_t)g32(r_(r, 4));
}
static i64 r64(rb *r)
{
    return (i64)g64(r_(r, 8));
}
static void rskipstr(rb *r)
{
    int n = r16(r);
    if (n > 0) {
        if (r->e - r->p < n)
            r->bad = true;
        else
            r->p += n;
    }
}

static void req_head(wb *w, int key, int ver, u32 corr)
{
    w->n = 0;
    w32(w, 0);
    w16(w, key);
    w16(w, ver);
    w32(w, corr);
    wstr(w, "kload");
}
static void req_end(wb *w)
{
    p32(w->p, (u32)(w->n - 4));
}

// ---------- blocking helpers (control requests)
static int try_connect(bool nonfatal)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((u16)O.port)};
    if (inet_pton(AF_INET, O.host, &a.sin_addr) != 1)
        die("host must be an IPv4 address");
    if (connect(s, (struct sockaddr *)&a, sizeof a)) {
        int e = errno;
        close(s);
        if (nonfatal)
            return -1;
        die("connect: %s", strerror(e));
    }
    int one = 1;
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return s;
}
static bool io_all(int fd, void *b, size_t n, bool wr)
{
    u8 *p = b;
    while (n) {
        ssize_t r = wr ? write(fd, p, n) : read(fd, p, n);
        if (r <= 0) {
            if (r < 0 && errno == EINTR)
                continue;
            return false;
        }
        p += r;
        n -= (size_t)r;
    }
    return true;
}
static u8 *call(int fd, wb *w, size_t *len)
{ // returns malloc'd response frame body (after the correlation id)
    req_end(w);
    if (!io_all(fd, w->p, w->n, true))
        return NULL;
    u8 h[8];
    if (!io_all(fd, h, 8, false))
        return NULL;
    u32 n = g32(h);
    if (n < 4 || n > (1u << 30) || g32(h + 4) != g32(w->p + 8))
        return NULL;
    u8 *b = malloc(n);
    if (!io_all(fd, b, n - 4, false)) {
        free(b);
        return NULL;
    }
    *len = n - 4;
    return b;
}
// returns number of partitions of topic with a leader (topic may be NULL: then number of brokers), -1 on failure
static int metadata(int fd, const char *topic)
{
    wb w = {0};
    req_head(&w, 3, 4, 77);
    if (topic) {
        w32(&w, 1);
        wstr(&w, topic);
    } else
        w32(&w, 0);
    w8(&w, 0);
    size_t n;
    u8 *b = call(fd, &w, &n);
    free(w.p);
    if (!b)
        return -1;
    rb r = {b, b + n, false};
    r32(&r);
    i64 nb = r32(&r);
    for (i64 i = 0; i < nb && !r.bad; i++) {
        r32(&r);
        rskipstr(&r);
        r32(&r);
        rskipstr(&r);
    }
    rskipstr(&r);
    r32(&r);
    int res = (int)nb;
    if (topic) {
        res = 0;
        i64 nt = r32(&r);
        for (i64 i = 0; i < nt && !r.bad; i++) {
            int e = r16(&r);
            rskipstr(&r);
            r_(&r, 1);
            i64 np = r32(&r);
            for (i64 k = 0; k < np && !r.bad; k++) {
                int pe = r16(&r);
                r32(&r);
                i64 ld = r32(&r);
                i64 c = r32(&r);
                r_(&r, (size_t)c * 4);
                c = r32(&r);
                r_(&r, (size_t)c * 4);
                if (!e && !pe && ld >= 0)
                    res++;
            }
        }
    }
    if (r.bad)
        res = -1;
    free(b);
    return res;
}
static bool apiversions(int fd)
{
    wb w = {0};
    req_head(&w, 18, 0, 78);
    size_t n;
    u8 *b = call(fd, &w, &n);
    free(w.p);
    if (!b)
        return false;
    rb r = {b, b + n, false};
    int e = r16(&r);
    i64 k = r32(&r);
    bool ok = !e && k > 0 && !r.bad;
    free(b);
    return ok;
}
static i64 end_offsets(int fd, i64 *per)
{ // sum of log end offsets over the partitions, -1 on failure
    wb w = {0};
    req_head(&w, 2, 1, 79);
    w32(&w, (u32)-1);
    w32(&w, 1);
    wstr(&w, O.topic);
    w32(&w, (u32)O.parts);
    for (int i = 0; i < O.parts; i++) {
        w32(&w, (u32)i);
        w64(&w, (u64)-1);
    }
    size_t n;
    u8 *b = call(fd, &w, &n);
    free(w.p);
    if (!b)
        return -1;
    rb r = {b, b + n, false};
    i64 sum = 0, nt = r32(&r);
    for (i64 t = 0; t < nt; t++) {
        rskipstr(&r);
        i64 np = r32(&r);
        for (i64 i = 0; i < np; i++) {
            i64 p = r32(&r);
            int e = r16(&r);
            r64(&r);
            i64 o = r64(&r);
            if (e || r.bad || p < 0 || p >= O.parts) {
                free(b);
                return -1;
            }
            sum += o;
            if (per)
                per[p] = o;
        }
    }
    if (r.bad)
        sum = -1;
    free(b);
    return sum;
}

/* The id of a new idempotent producer; its epoch is 0. */
static u64 init_producer_id(int fd)
{
    u64 start = ns();
    for (;; nap_us(20000)) {
        wb w = {0};
        req_head(&w, 22, 0, 80);
        wstr(&w, NULL);
        w32(&w, 60000);
        size_t n;
        u8 *b = call(fd, &w, &n);
        free(w.p);
        if (!b)
            die("InitProducerId: no answer");
        rb r = {b, b + n, false};
        r32(&r);
        int e = r16(&r);
        i64 id = r64(&r);
        bool ok = !e && id >= 0 && r16(&r) == 0 && !r.bad;
        free(b);
        if (ok)
            return (u64)id;
        if ((double)(ns() - start) / 1e9 > O.timeout)
            die("InitProducerId: error %d", e);
    }
}

// ---------- snapshots
typedef struct {
    u64 t;
    double self_u, self_s;
    u64 br_u, br_s, br_ns, rss_kb, hwm_kb, vcs, ivcs, syscr, syscw, rchar, wchar, wbytes;
    u64 threads;
    u64 cpu_busy[8], cpu_iow[8], cpu_steal[8];
    u64 disk_wr;
    int ncpu;
} snap;
static void snapshot(snap *s)
{
    memset(s, 0, sizeof *s);
    char f[300], line[1024];
    FILE *fp;
    if (O.pid) {
        snprintf(f, sizeof f, "/proc/%d/stat", O.pid);
        if ((fp = fopen(f, "r"))) {
            if (fgets(line, sizeof line, fp)) {
                char *q = strrchr(line, ')');
                if (q) {
                    s->br_u = strtoull(field(q + 2, 11), NULL, 10);
                    s->br_s = strtoull(field(q + 2, 12), NULL, 10);
                    s->threads = strtoull(field(q + 2, 17), NULL, 10);
                }
            }
            fclose(fp);
        }
        snprintf(f, sizeof f, "/proc/%d/status", O.pid);
        if ((fp = fopen(f, "r"))) {
            while (fgets(line, sizeof line, fp)) {
                named(line, "VmRSS:", &s->rss_kb);
                named(line, "VmHWM:", &s->hwm_kb);
            }
            fclose(fp);
        }
        snprintf(f, sizeof f, "/proc/%d/io", O.pid);
        if ((fp = fopen(f, "r"))) {
            while (fgets(line, sizeof line, fp)) {
                named(line, "rchar:", &s->rchar);
                named(line, "wchar:", &s->wchar);
                named(line, "syscr:", &s->syscr);
                named(line, "syscw:", &s->syscw);
                named(line, "write_bytes:", &s->wbytes);
            }
            fclose(fp);
        }
        snprintf(f, sizeof f, "/proc/%d/task", O.pid);
        DIR *d = opendir(f);
        if (d) {
            struct dirent *e;
            while ((e = readdir(d))) {
                if (e->d_name[0] == '.')
                    continue;
                snprintf(f, sizeof f, "/proc/%d/task/%.20s/status", O.pid, e->d_name);
                if ((fp = fopen(f, "r"))) {
                    while (fgets(line, sizeof line, fp)) {
                        u64 v;
                        if (named(line, "voluntary_ctxt_switches:", &v))
                            s->vcs += v;
                        if (named(line, "nonvoluntary_ctxt_switches:", &v))
                            s->ivcs += v;
                    }
                    fclose(fp);
                }
                snprintf(f, sizeof f, "/proc/%d/task/%.20s/schedstat", O.pid, e->d_name);
                if ((fp = fopen(f, "r"))) {
                    if (fgets(line, sizeof line, fp))
                        s->br_ns += strtoull(line, NULL, 10);
                    fclose(fp);
                }
            }
            closedir(d);
        }
    }
    if ((fp = fopen("/proc/stat", "r"))) {
        while (fgets(line, sizeof line, fp)) {
            if (strncmp(line, "cpu", 3) || line[3] < '0' || line[3] > '9')
                continue;
            u64 c = strtoull(line + 3, NULL, 10), v[8];
            for (int i = 0; i < 8; i++)
                v[i] = strtoull(field(line, i + 1), NULL, 10);
            if (c < 8) {
                s->cpu_busy[c] = v[0] + v[1] + v[2] + v[5] + v[6];
                s->cpu_iow[c] = v[4];
                s->cpu_steal[c] = v[7];
                if ((int)c + 1 > s->ncpu)
                    s->ncpu = (int)c + 1;
            }
        }
        fclose(fp);
    }
    if ((fp = fopen("/proc/diskstats", "r"))) {
        while (fgets(line, sizeof line, fp)) {
            u64 sw = strtoull(field(line, 9), NULL, 10);
            const char *name = field(line, 2);
            if (!sw)
                continue;
            snprintf(f, sizeof f, "/sys/block/%.*s", (int)strcspn(name, " "), name);
            if (!access(f, F_OK))
                s->disk_wr += sw * 512; /* whole disks */
        }
        fclose(fp);
    }
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    s->self_u = (double)r.ru_utime.tv_sec + (double)r.ru_utime.tv_usec / 1e6;
    s->self_s = (double)r.ru_stime.tv_sec + (double)r.ru_stime.tv_usec / 1e6;
    s->t = ns();
}

// ---------- engine
typedef struct {
    u64 t;
    u32 corr;
    int part0;
    int hlen;
    u32 total;
    u8 *ph;
    u8 hdr[256];
} slot;
typedef struct {
    i64 off, hw;
    bool done;
} pstate;
enum { K_PRODUCE, K_FETCH, K_PING };
typedef struct {
    int fd, kind, id;
    slot *sl;
    u32 ack, snd, bld;
    size_t soff;
    u64 next_n;
    u64 producer_id;
    u32 *sequence; // of each partition
    u8 *rbuf;
    size_t rlen, rcap;
    u32 pnext;
    // fetch
    wb freq;
    size_t fsent;
    int *plist;
    int np;
    pstate *ps;
    bool outstanding;
    u64 ft;
    u32 fcorr;
    int fst;
    u8 sb[512];
    size_t sl_n, need;
    i64 discard;
    u64 left;
    i64 rp_n, rp_i;
    i64 cur_p, cur_len;
    u64 cur_cnt;
    size_t cur_bsz;
    bool idle;
} conn;
static conn *C;
static int NC, EP;
static u32 K;
static u8 *batch;
static u32 batch_len;
static hist H, HL, HS; // H latency, HL second latency (e2e ack), HS send lag
static u64 T0, TM0, TM1, n_sent;
static double ivl;
static bool measuring, ended;
static snap S0, S1;
static u64 m_req, m_rec, m_bytes, m_raw, tot_rec, tot_bytes, errs, last_err, throttled;
static i64 *e2e_t;
static u64 e2e_n, e2e_cap, e2e_got;
static i64 e2e_base;
static u8 *scratch;
static u64 passes;
static i64 byte_cap;
static void err(const char *what, long code)
{
    errs++;
    last_err = (u64)code;
    if (errs <= 5)
        fprintf(stderr, "kload: error: %s %ld\n", what, code);
}

enum { BATCH_HEAD = 61, ATTRIBUTES_LOW = 22, CRC_AT = 17, CRC_FROM = 21, PRODUCER_ID_AT = 43, SEQUENCE_AT = 53 };
static int codec_number(void)
{
    static const char *const NAMES[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    for (int i = 0; i < 5; i++)
        if (!strcmp(O.codec, NAMES[i]))
            return i;
    die("no such codec: %s", O.codec);
    return 0;
}
static size_t gzip(u8 *out, size_t room, const u8 *in, size_t n)
{
    z_stream z = {.next_in = (u8 *)(uintptr_t)in, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)room};
    if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&z, Z_FINISH) != Z_STREAM_END)
        die("gzip");
    deflateEnd(&z);
    return room - z.avail_out;
}
/* The records of a batch, compressed in place. */
static void pack_records(wb *w)
{
    int codec = codec_number();
    size_t n = w->n - BATCH_HEAD, room = 2 * n + 65536, size = room;
    if (codec == 0)
        return;
    u8 *out = malloc(room);
    const u8 *in = w->p + BATCH_HEAD;
    if (codec == 1)
        size = gzip(out, room, in, n);
    else if (codec == 2 && snappy_compress((const char *)in, n, (char *)out, &size) != SNAPPY_OK)
        die("snappy");
    else if (codec == 3)
        size = LZ4F_compressFrame(out, room, in, n, NULL);
    else if (codec == 4)
        size = ZSTD_compress(out, room, in, n, 3);
    if (size >= n)
        die("%s made the records no smaller", O.codec);
    w->n = BATCH_HEAD;
    w_(w, out, size);
    w->p[ATTRIBUTES_LOW] |= (u8)codec;
    free(out);
}
/* One of 256 for each 64 bits of chance. */
static u64 word(u64 chance)
{
    return (chance & 255) * 0x9e3779b97f4a7c15ull + 1;
}
static void build_batch(void)
{
    wb w = {0}, r = {0};
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    u64 now = (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
    w64(&w, 0);
    w32(&w, 0);
    w32(&w, (u32)-1);
    w8(&w, 2);
    w32(&w, 0);
    w16(&w, 0);
    w32(&w, (u32)(O.rpb - 1));
    w64(&w, now);
    w64(&w, now);
    w64(&w, (u64)-1);
    w16(&w, -1);
    w32(&w, (u32)-1);
    w32(&w, (u32)O.rpb);
    u64 x = 88172645463325252ull;
    u8 *val = malloc((size_t)O.rec_bytes + 8);
    for (int i = 0; i < O.rpb; i++) {
        for (int k = 0; k < O.rec_bytes; k += 8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            u64 bits = codec_number() ? word(x) : x;
            memcpy(val + k, &bits, 8);
        }
        r.n = 0;
        w8(&r, 0);
        wvar(&r, 0);
        wvar(&r, i);
        if (O.keys > 0) {
            u8 key[4];
            p32(key, (u32)(i % O.keys));
            wvar(&r, sizeof key);
            w_(&r, key, sizeof key);
        } else
            wvar(&r, -1);
        wvar(&r, O.rec_bytes);
        w_(&r, val, (size_t)O.rec_bytes);
        wvar(&r, 0);
        wvar(&w, (i64)r.n);
        w_(&w, r.p, r.n);
    }
    pack_records(&w);
    p32(w.p + 8, (u32)(w.n - 12));
    p32(w.p + 17, crc32c(w.p + 21, w.n - 21));
    batch = w.p;
    batch_len = (u32)w.n;
    if (getenv("KLOAD_CORRUPT"))
        batch[batch_len - 2] ^= 1; /* self-test: must be refused with error 2 */
    free(val);
    free(r.p);
}
/* How much of a batch is in the slot's head, and not the same for all. */
static u32 head_len(void)
{
    return O.idempotent ? BATCH_HEAD : 0;
}
/* The head of the next batch of this producer for a partition. */
static void add_head(conn *c, wb *w, u32 p)
{
    u8 head[BATCH_HEAD];
    memcpy(head, batch, sizeof head);
    p32(head + PRODUCER_ID_AT, (u32)(c->producer_id >> 32));
    p32(head + PRODUCER_ID_AT + 4, (u32)c->producer_id);
    head[PRODUCER_ID_AT + 8] = head[PRODUCER_ID_AT + 9] = 0;
    p32(head + SEQUENCE_AT, c->sequence[p]);
    c->sequence[p] = (c->sequence[p] + (u32)O.rpb) & INT32_MAX;
    u32 crc = crc32c(head + CRC_FROM, BATCH_HEAD - CRC_FROM);
    p32(head + CRC_AT, crc32c_on(crc, batch + BATCH_HEAD, batch_len - BATCH_HEAD));
    w_(w, head, sizeof head);
}
static u32 corr_next = 1;
static void build_slot(conn *c, u64 t)
{
    slot *s = &c->sl[c->bld % K];
    s->t = t;
    s->corr = corr_next++;
    wb w = {s->hdr, 0, sizeof s->hdr};
    if (c->kind == K_PRODUCE) {
        req_head(&w, 0, 7, s->corr);
        wstr(&w, NULL);
        w16(&w, O.acks);
        w32(&w, 30000);
        w32(&w, 1);
        wstr(&w, O.topic);
        w32(&w, (u32)O.bpr);
        s->part0 = (int)c->pnext;
        u32 total = (u32)w.n + (u32)O.bpr * (8 + batch_len);
        for (int m = 0; m < O.bpr; m++) {
            u32 p = (c->pnext + (u32)m) % (u32)O.parts;
            if (m == 0) {
                w32(&w, p);
                w32(&w, batch_len);
            } else {
                p32(s->ph + 8 * m, p);
                p32(s->ph + 8 * m + 4, batch_len);
            }
        }
        if (O.idempotent)
            add_head(c, &w, c->pnext);
        c->pnext = (c->pnext + (u32)O.bpr) % (u32)O.parts;
        s->hlen = (int)w.n;
        s->total = total;
        p32(w.p, total - 4);
    } else {
        if (O.api[0] == 'a')
            req_head(&w, 18, 0, s->corr);
        else {
            req_head(&w, 3, 4, s->corr);
            w32(&w, 1);
            wstr(&w, O.topic);
            w8(&w, 0);
        }
        req_end(&w);
        s->hlen = (int)w.n;
        s->total = (u32)w.n;
    }
    c->bld++;
    n_sent++;
}
static void complete(conn *c, slot *s, u64 now)
{
    u64 recs = c->kind == K_PRODUCE ? (u64)O.rpb * (u64)O.bpr : 0, by = recs * (u64)O.rec_bytes;
    tot_rec += recs;
    tot_bytes += by;
    if (O.rate > 0) {
        if (s->t >= TM0 && s->t < TM1) {
            hadd(O.mode[0] == 'e' ? &HL : &H, now - s->t);
            m_req++;
            m_rec += recs;
            m_bytes += by;
        }
    } else if (measuring && !ended) {
        hadd(&H, now - s->t);
        m_req++;
        m_rec += recs;
        m_bytes += by;
    }
}
static void flush_conn(conn *c)
{
    while (c->snd != c->bld) {
        struct iovec iov[512];
        int n = 0;
        size_t skip = c->soff;
#define ADD(P, L)                                                                                                      \
    do {                                                                                                               \
        size_t l_ = (L);                                                                                               \
        u8 *p_ = (u8 *)(P);                                                                                            \
        if (skip >= l_)                                                                                                \
            skip -= l_;                                                                                                \
        else {                                                                                                         \
            iov[n].iov_base = p_ + skip;                                                                               \
            iov[n].iov_len = l_ - skip;                                                                                \
            n++;                                                                                                       \
            skip = 0;                                                                                                  \
        }                                                                                                              \
    } while (0)
        for (u32 s = c->snd; s != c->bld && n + 2 * O.bpr + 1 <= 512; s++) {
            slot *q = &c->sl[s % K];
            ADD(q->hdr, (size_t)q->hlen);
            if (c->kind == K_PRODUCE) {
                ADD(batch + head_len(), batch_len - head_len());
                for (int m = 1; m < O.bpr; m++) {
                    ADD(q->ph + 8 * m, 8);
                    ADD(batch, batch_len);
                }
            }
        }
        ssize_t r = writev(c->fd, iov, n);
        if (r < 0) {
            if (errno == EAGAIN)
                return;
            err("write failed, errno", errno);
            ended = true;
            return;
        }
        size_t left = c->soff + (size_t)r;
        while (c->snd != c->bld && left >= c->sl[c->snd % K].total) {
            slot *q = &c->sl[c->snd % K];
            left -= q->total;
            c->snd++;
            if (c->kind == K_PRODUCE && O.acks == 0) {
                complete(c, q, ns());
                c->ack++;
            }
        }
        c->soff = left;
    }
}
static u64 t_int(u64 n)
{
    return T0 + (u64)((double)n * ivl);
}
// issue all requests that are allowed now
static void issue(conn *c, u64 now)
{
    if (c->kind == K_FETCH || c->idle)
        return;
    for (;;) {
        bool any = false;
        while (c->bld - c->ack < K) {
            if (O.rate > 0) {
                u64 ti = t_int(c->next_n);
                if (ti > now || ti >= TM1)
                    break;
                if (ti >= TM0)
                    hadd(&HS, now - ti);
                if (O.mode[0] == 'e') {
                    if (e2e_n >= e2e_cap)
                        break;
                    e2e_t[e2e_n++] = (i64)ti;
                }
                c->next_n += (u64)NC;
                build_slot(c, ti);
            } else {
                if (ended)
                    break;
                build_slot(c, now);
            }
            any = true;
        }
        if (any || c->snd != c->bld)
            flush_conn(c);
        if (!(O.acks == 0 && c->kind == K_PRODUCE && any && c->snd == c->bld))
            break; // acks=0: keep writing until the socket is full
        now = ns();
        if (now >= TM1)
            break;
    }
}
static void on_frame(conn *c, const u8 *p, size_t n, u64 now)
{ // p: after size field
    rb r = {p, p + n, false};
    if (c->ack == c->snd) {
        err("unexpected response", 0);
        return;
    }
    slot *s = &c->sl[c->ack % K];
    u32 corr = (u32)r32(&r);
    if (corr != s->corr) {
        err("correlation id mismatch", (long)corr);
        return;
    }
    if (c->kind == K_PRODUCE) {
        i64 nt = r32(&r);
        int got = 0;
        for (i64 t = 0; t < nt && !r.bad; t++) {
            rskipstr(&r);
            i64 np = r32(&r);
            for (i64 i = 0; i < np && !r.bad; i++) {
                i64 part = r32(&r);
                int e = r16(&r);
                i64 base = r64(&r);
                r64(&r);
                r64(&r);
                if (e)
                    err("produce error code", e);
                if (base < 0)
                    err("base offset", (long)base);
                got++;
                (void)part;
                if (O.mode[0] == 'e') {
                    if (e2e_base < 0)
                        e2e_base = base;
                    else {
                        static i64 last = -1;
                        if (last >= 0 && base != last + 1)
                            err("offset gap", (long)base);
                        last = base;
                    }
                }
            }
        }
        if (r32(&r) > 0)
            throttled++;
        if (r.bad || got != O.bpr || r.p != r.e)
            err("malformed produce response", got);
    } else if (O.api[0] == 'a') {
        int e = r16(&r);
        i64 k = r32(&r);
        if (e || k <= 0 || r.bad)
            err("apiversions", e);
    } else {
        r32(&r);
        i64 nb = r32(&r);
        if (nb < 1 || r.bad)
            err("metadata", 0);
    }
    c->ack++;
    complete(c, s, now);
}
static void on_readable(conn *c)
{
    for (;;) {
        if (c->rcap - c->rlen < 32768) {
            c->rcap = c->rcap ? c->rcap * 2 : 65536;
            c->rbuf = realloc(c->rbuf, c->rcap);
        }
        ssize_t r = recv(c->fd, c->rbuf + c->rlen, c->rcap - c->rlen, 0);
        if (r < 0) {
            if (errno == EAGAIN)
                return;
            err("recv errno", errno);
            ended = true;
            close(c->fd);
            return;
        }
        if (r == 0) {
            err("connection closed by broker", c->id);
            ended = true;
            close(c->fd);
            return;
        }
        c->rlen += (size_t)r;
        u64 now = ns();
        size_t o = 0;
        while (c->rlen - o >= 4) {
            u32 n = g32(c->rbuf + o);
            if (c->rlen - o - 4 < n)
                break;
            on_frame(c, c->rbuf + o + 4, n, now);
            o += 4 + n;
        }
        memmove(c->rbuf, c->rbuf + o, c->rlen - o);
        c->rlen -= o;
        if ((size_t)r < 32768)
            return;
    }
}
// ---- fetch
static bool fetch_next(conn *c)
{ // send next fetch; false when this connection is finished
    int live = 0;
    for (int i = 0; i < c->np; i++) {
        pstate *s = &c->ps[i];
        if (s->done && O.seconds > 0 && O.mode[0] == 'f' && !ended) {
            s->off = 0;
            s->done = false;
            passes++;
        }
        if (!s->done)
            live++;
    }
    if (!live || (ended && O.mode[0] != 'e')) {
        c->outstanding = false;
        return false;
    } // e2e: goes on until every record came
    wb *w = &c->freq;
    bool e2e = O.mode[0] == 'e';
    c->fcorr = corr_next++;
    req_head(w, 1, 11, c->fcorr);
    w32(w, (u32)-1);
    w32(w, 500);
    w32(w, 1);
    w32(w, 50u << 20);
    w8(w, 0);
    w32(w, 0);
    w32(w, (u32)-1);
    w32(w, 1);
    wstr(w, O.topic);
    w32(w, (u32)live);
    (void)e2e;
    for (int i = 0; i < c->np; i++)
        if (!c->ps[i].done) {
            w32(w, (u32)c->plist[i]);
            w32(w, (u32)-1);
            w64(w, (u64)c->ps[i].off);
            w64(w, (u64)-1);
            w32(w, (u32)O.max_bytes);
        }
    w32(w, 0);
    wstr(w, "");
    req_end(w);
    c->fsent = 0;
    c->outstanding = true;
    c->ft = ns();
    c->fst = 0;
    c->need = 22;
    c->sl_n = 0;
    c->discard = 0;
    while (c->fsent < w->n) {
        ssize_t r = write(c->fd, w->p + c->fsent, w->n - c->fsent);
        if (r < 0) {
            if (errno == EAGAIN) {
                nap_us(20);
                continue;
            }
            err("write errno", errno);
            return false;
        }
        c->fsent += (size_t)r;
    }
    return true;
}
static void fetch_records(conn *c, pstate *s, u64 len, u64 now)
{ // records of current partition fully received (uniform batches)
    m_raw += measuring && !ended ? len : 0;
    if (!len)
        return;
    u64 nb = c->cur_bsz ? len / c->cur_bsz : 0, recs = nb * c->cur_cnt;
    if (!nb) {
        err("fetched less than one batch", (long)len);
        s->done = true;
        return;
    }
    if (O.mode[0] == 'e') {
        for (u64 k = 0; k < recs; k++) {
            i64 o = s->off + (i64)k;
            u64 ti = (u64)o < e2e_n ? (u64)e2e_t[o] : 0;
            if (!ti) {
                err("received an offset never sent", (long)o);
                continue;
            }
            e2e_got++;
            if (ti >= TM0 && ti < TM1) {
                hadd(&H, now - ti);
                m_rec++;
            }
        }
    }
    s->off += (i64)recs;
    if (O.mode[0] != 'e') {
        tot_rec += recs;
        tot_bytes += nb * c->cur_bsz;
        if (measuring && !ended) {
            m_rec += recs;
            m_bytes += nb * c->cur_bsz;
        }
    }
}
static void verify_records(conn *c, pstate *s, const u8 *p, size_t n)
{ // walk all batches, check CRC and offsets
    size_t o = 0;
    u64 recs = 0, by = 0;
    i64 off = s->off;
    (void)c;
    while (n - o >= 61) {
        u64 base = g64(p + o);
        u32 bl = g32(p + o + 8);
        if (n - o < (size_t)bl + 12)
            break;
        if (p[o + 16] != 2)
            err("magic", p[o + 16]);
        if (crc32c(p + o + 21, bl + 12 - 21) != g32(p + o + 17))
            err("CRC mismatch at offset", (long)base);
        u32 lod = g32(p + o + 23), cnt = g32(p + o + 57);
        if ((i64)base > off)
            err("offset gap at", (long)base);
        i64 nx = (i64)base + lod + 1;
        if (nx > off) {
            off = nx;
            recs += cnt;
            by += bl + 12;
        }
        o += bl + 12;
    }
    if (n && !recs) {
        err("fetched less than one batch", (long)n);
        s->done = true;
    }
    s->off = off;
    tot_rec += recs;
    tot_bytes += by;
    if (measuring && !ended) {
        m_rec += recs;
        m_bytes += by;
        m_raw += n;
    }
}
static void part_done(conn *c)
{
    pstate *s = NULL;
    for (int i = 0; i < c->np; i++)
        if (c->plist[i] == c->cur_p)
            s = &c->ps[i];
    if (s && s->off >= s->hw && O.mode[0] == 'f' && !O.from_end)
        s->done = true;
    c->rp_i++;
}
static void fetch_end(conn *c, u64 now)
{
    if (O.mode[0] == 'f' && measuring && !ended) {
        m_req++;
        hadd(&H, now - c->ft);
    }
    fetch_next(c);
}
static void after_part(conn *c, u64 now)
{
    part_done(c);
    if (c->rp_i < c->rp_n) {
        c->fst = 2;
        c->need = 34;
        c->sl_n = 0;
    } else {
        if (c->left)
            err("trailing bytes in fetch response", (long)c->left);
        c->fst = 9;
        fetch_end(c, now);
    }
}
static void on_fetch_readable(conn *c)
{
    static u8 *vb;
    static size_t vcap, vn;
    for (;;) {
        if (!c->outstanding) {
            u8 t;
            ssize_t r = recv(c->fd, &t, 1, MSG_DONTWAIT);
            if (r == 0) {
                err("connection closed by broker", c->id);
                ended = true;
                close(c->fd);
            }
            return;
        }
        if (c->discard > 0) {
            ssize_t r;
            if (O.verify) {
                if (vcap < (size_t)c->cur_len) {
                    vcap = (size_t)c->cur_len;
                    vb = realloc(vb, vcap);
                }
                vn = (size_t)(c->cur_len - c->discard);
                if (O.conns > 1)
                    die("--verify needs --connections 1");
                r = recv(c->fd, vb + vn, (size_t)c->discard, 0);
            } else {
                size_t w = (size_t)c->discard;
                if (O.discard)
                    r = recv(c->fd, scratch, w > (8u << 20) ? 8u << 20 : w, MSG_TRUNC);
                else
                    r = recv(c->fd, scratch, w > (256u << 10) ? 256u << 10 : w, 0);
            }
            if (r < 0) {
                if (errno == EAGAIN)
                    return;
                err("recv errno", errno);
                ended = true;
                close(c->fd);
                return;
            }
            if (r == 0) {
                err("connection closed by broker", c->id);
                ended = true;
                close(c->fd);
                return;
            }
            c->discard -= r;
            c->left -= (u64)r;
            if (c->discard)
                continue;
            u64 now = ns();
            pstate *s = NULL;
            for (int i = 0; i < c->np; i++)
                if (c->plist[i] == c->cur_p)
                    s = &c->ps[i];
            if (O.verify)
                verify_records(c, s, vb, (size_t)c->cur_len);
            else
                fetch_records(c, s, (u64)c->cur_len, now);
            after_part(c, now);
            continue;
        }
        ssize_t r = recv(c->fd, c->sb + c->sl_n, c->need - c->sl_n, 0);
        if (r < 0) {
            if (errno == EAGAIN)
                return;
            err("recv errno", errno);
            ended = true;
            close(c->fd);
            return;
        }
        if (r == 0) {
            err("connection closed by broker", c->id);
            ended = true;
            close(c->fd);
            return;
        }
        c->sl_n += (size_t)r;
        if (c->fst > 0)
            c->left -= (u64)r;
        if (c->sl_n < c->need)
            continue;
        const u8 *b = c->sb;
        u64 now;
        switch (c->fst) {
        case 0:
            if (g32(b + 4) != c->fcorr)
                err("fetch correlation id", (long)g32(b + 4));
            c->left = (u64)g32(b) - 18;
            if (g32(b + 8))
                throttled++;
            if (g16(b + 12)) {
                err("fetch error", g16(b + 12));
            }
            if (g32(b + 18) == 0) {
                if (c->left)
                    die("bad empty fetch response");
                fetch_end(c, ns());
                continue;
            }
            if (g32(b + 18) != 1)
                die("fetch: %u topics", g32(b + 18));
            c->fst = 1;
            c->need = 2 + strlen(O.topic) + 4;
            c->sl_n = 0;
            continue;
        case 1:
            c->rp_n = g32(b + c->need - 4);
            c->rp_i = 0;
            c->fst = 2;
            c->need = 34;
            c->sl_n = 0;
            if (!c->rp_n) {
                fetch_end(c, ns());
            }
            continue;
        case 2: {
            c->cur_p = g32(b);
            int e = g16(b + 4);
            i64 hw = (i64)g64(b + 6);
            int na = (int)g32(b + 30);
            if (e) {
                err("fetch partition error", e);
                if (errs > 20) {
                    ended = true;
                }
            }
            if (na > 0)
                die("aborted transactions not expected");
            for (int i = 0; i < c->np; i++)
                if (c->plist[i] == c->cur_p)
                    c->ps[i].hw = hw;
            c->fst = 3;
            c->need = 8;
            c->sl_n = 0;
            continue;
        }
        case 3:
            c->cur_len = (int32_t)g32(b + 4);
            if (c->cur_len < 0)
                c->cur_len = 0;
            c->sl_n = 0;
            if (c->cur_len == 0) {
                after_part(c, ns());
                continue;
            }
            if (O.verify) {
                c->discard = c->cur_len;
                continue;
            }
            if (c->cur_len < 61)
                die("records of %ld bytes", (long)c->cur_len);
            c->fst = 4;
            c->need = 61;
            continue;
        case 4: {
            u64 base = g64(b);
            c->cur_bsz = g32(b + 8) + 12;
            c->cur_cnt = g32(b + 57);
            if (b[16] != 2)
                die("magic %d", b[16]);
            pstate *s = NULL;
            for (int i = 0; i < c->np; i++)
                if (c->plist[i] == c->cur_p)
                    s = &c->ps[i];
            if (!s)
                die("unknown partition");
            if ((i64)base != s->off)
                err("batch base offset is not the fetch offset", (long)base);
            c->discard = c->cur_len - 61;
            if (c->discard == 0) {
                now = ns();
                fetch_records(c, s, (u64)c->cur_len, now);
                after_part(c, now);
            }
            continue;
        }
        default:
            die("state");
        }
    }
}

static void print_result(double secs, const char *extra)
{
    double su = S1.self_u - S0.self_u, ss = S1.self_s - S0.self_s, bu = (double)(S1.br_u - S0.br_u) / 100,
           bs = (double)(S1.br_s - S0.br_s) / 100;
    double busy = 0, steal = 0, iow = 0;
    for (int i = 0; i < S1.ncpu; i++) {
        busy += (double)(S1.cpu_busy[i] - S0.cpu_busy[i]) / 100;
        steal += (double)(S1.cpu_steal[i] - S0.cpu_steal[i]) / 100;
        iow += (double)(S1.cpu_iow[i] - S0.cpu_iow[i]) / 100;
    }
    double gib = (double)m_bytes / (1024.0 * 1024 * 1024), bc = bu + bs, fine = (double)(S1.br_ns - S0.br_ns) / 1e9;
    if (S1.br_ns >= S0.br_ns && fine > bc * .9 - .05 && fine < bc * 1.1 + .05)
        bc = fine; // ticks are 10 ms; the scheduler's ns are better unless threads have ended
    printf("{\"mode\":\"%s\",\"tag\":\"%s\",\"valid\":%s,\"errors\":%lu,\"secs\":%.3f,\"conns\":%d,\"inflight\":%d,"
           "\"parts\":%d,\"rec_bytes\":%d,\"rpb\":%d,\"bpr\":%d,\"acks\":%d,\"rate\":%.0f,\"batch_bytes\":%u,",
           O.mode, O.tag, errs ? "false" : "true", errs, secs, O.conns, O.inflight, O.parts, O.rec_bytes, O.rpb, O.bpr,
           O.acks, O.rate, batch_len);
    printf("\"req_s\":%.1f,\"msg_s\":%.1f,\"mib_s\":%.2f,\"reqs\":%lu,\"recs\":%lu,\"bytes\":%lu,\"raw_bytes\":%lu,",
           (double)m_req / secs, (double)m_rec / secs, (double)m_bytes / 1048576.0 / secs, m_req, m_rec, m_bytes,
           m_raw);
    printf("\"lat_n\":%lu,\"lat_us\":{\"p50\":%.1f,\"p75\":%.1f,\"p90\":%.1f,\"p95\":%.1f,\"p99\":%.1f,\"p999\":%.1f,"
           "\"max\":%.1f,\"mean\":%.1f},",
           H.n, hq(&H, .5), hq(&H, .75), hq(&H, .9), hq(&H, .95), hq(&H, .99), hq(&H, .999), (double)H.max / 1e3,
           H.n ? H.sum / (double)H.n / 1e3 : 0);
    if (HL.n)
        printf("\"ack_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f},", hq(&HL, .5), hq(&HL, .99),
               hq(&HL, .999), (double)HL.max / 1e3);
    if (HS.n)
        printf("\"sendlag_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f},", hq(&HS, .5), hq(&HS, .99),
               hq(&HS, .999), (double)HS.max / 1e3);
    printf("\"client_cpu_u\":%.3f,\"client_cpu_s\":%.3f,\"sys_busy\":%.2f,\"steal\":%.2f,\"iowait\":%.2f,\"disk_wr_"
           "mib\":%.1f,\"throttled\":%lu,",
           su, ss, busy, steal, iow, (double)(S1.disk_wr - S0.disk_wr) / 1048576, throttled);
    if (O.pid)
        printf("\"broker_cpu\":%.4f,\"broker_cpu_u\":%.2f,\"broker_cpu_s\":%.2f,\"other_cpu\":%.2f,\"rss_mib\":%.1f,"
               "\"rss0_mib\":%.1f,\"threads\":%lu,\"vcs\":%lu,\"ivcs\":%lu,\"syscr\":%lu,\"syscw\":%lu,\"cpu_per_gib\":"
               "%.4f,\"cpu_s_per_mreq\":%.3f,\"cpu_s_per_mmsg\":%.3f,",
               bc, bu, bs, busy - bc - su - ss, (double)S1.rss_kb / 1024, (double)S0.rss_kb / 1024, S1.threads,
               S1.vcs - S0.vcs, S1.ivcs - S0.ivcs, S1.syscr - S0.syscr, S1.syscw - S0.syscw, gib > 0 ? bc / gib : 0,
               m_req ? bc / (double)m_req * 1e6 : 0, m_rec ? bc / (double)m_rec * 1e6 : 0);
    printf("%s\"end\":1}\n", extra ? extra : "");
    fflush(stdout);
}
static void nb(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}
static void add_conn(conn *c, int kind, int id)
{
    c->kind = kind;
    c->id = id;
    c->fd = try_connect(false);
    c->next_n = (u64)id;
    c->pnext = (u32)id % (u32)O.parts;
    if (kind != K_FETCH) {
        c->sl = calloc(K, sizeof(slot));
        if (O.bpr > 1)
            for (u32 i = 0; i < K; i++)
                c->sl[i].ph = malloc((size_t)O.bpr * 8);
        if (O.idempotent) {
            c->producer_id = init_producer_id(c->fd);
            c->sequence = calloc((size_t)O.parts, sizeof *c->sequence);
        }
    }
}
static void reg(conn *c)
{
    nb(c->fd);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (c->kind == K_FETCH)
        e.events = EPOLLIN;
    if (epoll_ctl(EP, EPOLL_CTL_ADD, c->fd, &e))
        die("epoll_ctl");
}

/* One row an option; the kind says how its text is read. */
enum option_kind { TEXT, SMALL, WHOLE, REAL, TIME, FLAG, CONFIG };
static const struct option_row {
    const char *name;
    enum option_kind kind;
    void *to;
} OPTIONS[] = {
    {"--host", TEXT, &O.host},
    {"--port", SMALL, &O.port},
    {"--topic", TEXT, &O.topic},
    {"--partitions", SMALL, &O.parts},
    {"--connections", SMALL, &O.conns},
    {"--inflight", SMALL, &O.inflight},
    {"--record-bytes", SMALL, &O.rec_bytes},
    {"--records-per-batch", SMALL, &O.rpb},
    {"--acks", SMALL, &O.acks},
    {"--seconds", REAL, &O.seconds},
    {"--warmup", REAL, &O.warmup},
    {"--rate", REAL, &O.rate},
    {"--batches-per-request", SMALL, &O.bpr},
    {"--max-bytes", WHOLE, &O.max_bytes},
    {"--max-mib", WHOLE, &O.max_mib},
    {"--pretouch", WHOLE, &O.pretouch},
    {"--broker-pid", SMALL, &O.pid},
    {"--idle", SMALL, &O.idle},
    {"--api", TEXT, &O.api},
    {"--tag", TEXT, &O.tag},
    {"--codec", TEXT, &O.codec},
    {"--t0", TIME, &O.t0},
    {"--timeout", REAL, &O.timeout},
    {"--config", CONFIG, NULL},
    {"--discard", FLAG, &O.discard},
    {"--verify", FLAG, &O.verify},
    {"--spin", FLAG, &O.spin},
    {"--no-check", FLAG, &O.nocheck},
    {"--idempotent", FLAG, &O.idempotent},
    {"--from-end", FLAG, &O.from_end},
    {"--keys", SMALL, &O.keys},
};

static void take_option(const struct option_row *row, const char *text)
{
    switch (row->kind) {
    case TEXT:
        *(const char **)row->to = text;
        break;
    case SMALL:
        *(int *)row->to = small(text);
        break;
    case WHOLE:
        *(i64 *)row->to = whole(text);
        break;
    case REAL:
        *(double *)row->to = real(text);
        break;
    case TIME:
        *(u64 *)row->to = (u64)whole(text);
        break;
    case FLAG:
        *(bool *)row->to = true;
        break;
    case CONFIG:
        if (O.ncfg == sizeof O.cfg / sizeof *O.cfg)
            die("too many --config");
        O.cfg[O.ncfg++] = text;
    }
}

static void parse_options(int argc, char **argv)
{
    if (argc < 2)
        die("usage: kload produce|fetch|e2e|pingpong|create|delete|wait --port P ... (see the head of kload.c)");
    O.mode = argv[1];
    for (int i = 2; i < argc; i++) {
        const struct option_row *row = OPTIONS, *end = OPTIONS + sizeof OPTIONS / sizeof *OPTIONS;
        while (row < end && strcmp(argv[i], row->name))
            row++;
        if (row == end)
            die("unknown option %s", argv[i]);
        if (row->kind != FLAG && i + 1 == argc)
            die("option %s needs a value", argv[i]);
        take_option(row, row->kind == FLAG ? NULL : argv[++i]);
    }
    if (O.bpr > O.parts)
        die("--batches-per-request > --partitions");
    if (O.idempotent && (O.bpr != 1 || O.acks != -1 || strcmp(O.mode, "produce")))
        die("--idempotent is for produce with acks=-1 and one batch a request");
    if (strlen(O.topic) > 100)
        die("topic name too long");
}

static int run_create(void)
{
    u64 start = ns();
    int fd = try_connect(false);
    wb w = {0};
    req_head(&w, 19, 4, 5);
    w32(&w, 1);
    wstr(&w, O.topic);
    w32(&w, (u32)O.parts);
    w16(&w, 1);
    w32(&w, 0);
    w32(&w, (u32)O.ncfg);
    for (int i = 0; i < O.ncfg; i++) {
        char k[128];
        const char *q = strchr(O.cfg[i], '=');
        if (!q)
            die("--config k=v");
        snprintf(k, sizeof k, "%.*s", (int)(q - O.cfg[i]), O.cfg[i]);
        wstr(&w, k);
        wstr(&w, q + 1);
    }
    w32(&w, (u32)(O.timeout * 1000));
    w8(&w, 0);
    size_t n;
    u8 *b = call(fd, &w, &n);
    if (!b)
        die("create: no answer");
    rb r = {b, b + n, false};
    r32(&r);
    r32(&r);
    rskipstr(&r);
    int e = r16(&r);
    if (r.bad || e) {
        int ml = r16(&r);
        fprintf(stderr, "kload: create error %d %.*s\n", e, ml > 0 && !r.bad ? ml : 0, r.p);
        return 1;
    }
    u64 t1 = ns();
    while (metadata(fd, O.topic) != O.parts) {
        if ((double)(ns() - start) / 1e9 > O.timeout)
            die("create: partitions without leader");
        nap_us(5000);
    }
    while (end_offsets(fd, NULL) < 0) {
        if ((double)(ns() - start) / 1e9 > O.timeout)
            die("create: ListOffsets fails");
        nap_us(5000);
    }
    printf("{\"mode\":\"create\",\"answer_ms\":%.1f,\"all_leaders_ms\":%.1f}\n", (double)(t1 - start) / 1e6,
           (double)(ns() - start) / 1e6);
    return 0;
}

static int run_delete(void)
{
    int fd = try_connect(false);
    wb w = {0};
    req_head(&w, 20, 3, 6);
    w32(&w, 1);
    wstr(&w, O.topic);
    w32(&w, 60000);
    size_t n;
    u8 *b = call(fd, &w, &n);
    if (!b)
        die("delete: no answer");
    rb r = {b, b + n, false};
    r32(&r);
    r32(&r);
    rskipstr(&r);
    int e = r16(&r);
    if (e)
        fprintf(stderr, "kload: delete error %d\n", e);
    return e != 0;
}

static int run_wait(void)
{
    u64 start = ns();
    u64 z = O.t0 ? O.t0 : start;
    double tc = 0, ta = 0, tm = 0;
    for (;; nap_us(1000)) {
        if ((double)(ns() - start) / 1e9 > O.timeout)
            die("wait: timeout");
        int fd = try_connect(true);
        if (fd < 0)
            continue;
        struct timeval tv = {5, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
        if (!tc)
            tc = (double)(ns() - z) / 1e6;
        if (!apiversions(fd)) {
            close(fd);
            continue;
        }
        if (!ta)
            ta = (double)(ns() - z) / 1e6;
        bool ok;
        while (!(ok = strcmp(O.topic, "t") ? metadata(fd, O.topic) == O.parts && end_offsets(fd, NULL) >= 0
                                           : metadata(fd, NULL) >= 1)) {
            if ((double)(ns() - start) / 1e9 > O.timeout)
                die("wait: timeout");
            nap_us(1000);
        }
        tm = (double)(ns() - z) / 1e6;
        break;
    }
    printf("{\"mode\":\"wait\",\"connect_ms\":%.1f,\"apiversions_ms\":%.1f,\"metadata_ms\":%.1f}\n", tc, ta, tm);
    return 0;
}

static int run_load(void)
{
    char m = O.mode[0];
    if (m != 'p' && m != 'f' && m != 'e')
        die("unknown mode %s", O.mode);
    bool ping = !strcmp(O.mode, "pingpong"), prod = !strcmp(O.mode, "produce");
    struct rlimit rl = {65536, 65536};
    if (O.idle + O.conns > 900 && setrlimit(RLIMIT_NOFILE, &rl)) {
        getrlimit(RLIMIT_NOFILE, &rl);
        rl.rlim_cur = rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }
    if (O.seconds <= 0 && m != 'f')
        O.seconds = 8;
    if (m == 'e') {
        O.conns = 1;
        O.parts = 1;
        O.rpb = 1;
        if (O.rate <= 0)
            O.rate = 1000;
        if (O.inflight < 5)
            O.inflight = 5;
    }
    K = (u32)O.inflight;
    NC = O.conns;
    EP = epoll_create1(0);
    byte_cap = O.max_mib << 20;
    if (prod || m == 'e')
        build_batch();
    if (m == 'f' || m == 'e')
        scratch = malloc(8u << 20);
    int ctl = try_connect(false);
    i64 end0 = 0, *per = calloc((size_t)O.parts, sizeof *per);
    if (prod && !O.nocheck && (end0 = end_offsets(ctl, NULL)) < 0)
        die("ListOffsets failed (topic missing?)");
    if (m == 'e' && end_offsets(ctl, NULL) != 0)
        die("e2e needs a fresh topic");
    if (m == 'f' && end_offsets(ctl, per) <= 0 && !O.from_end)
        die("fetch: empty or missing topic");
    // idle connections: each one has been used once
    conn *idle = calloc((size_t)O.idle + 1, sizeof(conn));
    snap si0 = {0}, si1 = {0};
    double idle_ms = 0;
    if (O.idle) {
        snapshot(&si0);
        u64 z = ns();
        for (int i = 0; i < O.idle; i++) {
            idle[i].fd = try_connect(false);
            if (!apiversions(idle[i].fd))
                die("idle connection %d: ApiVersions failed", i);
        }
        idle_ms = (double)(ns() - z) / 1e6;
        nap_us(500000);
        snapshot(&si1);
    }
    int total = NC + (m == 'e');
    C = calloc((size_t)total, sizeof(conn));
    for (int i = 0; i < NC; i++)
        add_conn(&C[i], ping ? K_PING : prod || m == 'e' ? K_PRODUCE : K_FETCH, i);
    if (m == 'e') {
        add_conn(&C[NC], K_FETCH, NC);
        e2e_cap = (u64)(O.rate * (O.seconds + O.warmup + 10)) + 1000;
        e2e_t = calloc(e2e_cap, sizeof *e2e_t);
        e2e_base = -1;
    }
    for (int i = 0; i < total; i++) {
        conn *c = &C[i];
        if (c->kind == K_FETCH) {
            c->plist = calloc((size_t)O.parts, sizeof(int));
            c->ps = calloc((size_t)O.parts, sizeof(pstate));
            if (m == 'e') {
                c->plist[0] = 0;
                c->np = 1;
            } else if (NC > O.parts) {
                c->plist[0] = i % O.parts;
                c->np = 1;
            } else
                for (int p = i; p < O.parts; p += NC)
                    c->plist[c->np++] = p;
            for (int p = 0; p < c->np; p++)
                c->ps[p] = (pstate){.off = O.from_end ? per[c->plist[p]] : 0, .hw = per[c->plist[p]]};
        }
        reg(c);
    }
    bool once = m == 'f' && O.seconds <= 0;
    if (once)
        O.warmup = 0;
    u8 *bal = NULL;
    i64 bal_n = O.pretouch << 20, bal_off = 0;
    if (bal_n) {
        bal = mmap(NULL, (size_t)bal_n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (bal == MAP_FAILED)
            die("pretouch");
        madvise(bal, (size_t)bal_n, MADV_HUGEPAGE);
        for (i64 i = 0; i < bal_n; i += 4096)
            bal[i] = 1;
    }
    ivl = O.rate > 0 ? 1e9 * (double)(O.rpb * O.bpr) / O.rate : 0;
    T0 = ns() + 1000000;
    TM0 = T0 + (u64)(O.warmup * 1e9);
    TM1 = once ? ~0ull >> 2 : TM0 + (u64)(O.seconds * 1e9);
    for (int i = 0; i < total; i++)
        if (C[i].kind == K_FETCH)
            fetch_next(&C[i]);
    u64 drain = 5000000000ull, tend = 0, cap0 = 0;
    for (;;) {
        u64 now = ns();
        if (!measuring && now >= TM0) {
            snapshot(&S0);
            measuring = true;
            cap0 = tot_bytes;
            (void)cap0;
            if (O.rate <= 0) {
                u64 t = ns();
                TM1 += t - TM0;
                TM0 = t;
            }
        }
        if (measuring && !ended && prod && byte_cap && (i64)tot_bytes >= byte_cap && O.rate <= 0)
            TM1 = now;
        if (!ended && now >= TM1) {
            snapshot(&S1);
            ended = true;
        }
        if (ended && !S1.t) {
            snapshot(&S1);
            if (!measuring)
                S0 = S1;
        }
        if (ended) {
            if (!tend)
                tend = now;
            bool busy = false;
            for (int i = 0; i < total; i++) {
                conn *c = &C[i];
                if (c->kind == K_FETCH) {
                    if (m != 'e' && c->outstanding)
                        busy = true;
                    if (m == 'e' && e2e_got < e2e_n)
                        busy = true;
                } else {
                    if (c->ack != c->bld || c->snd != c->bld)
                        busy = true;
                    if (O.rate > 0 && t_int(c->next_n) < TM1)
                        busy = true;
                }
            }
            if (!busy)
                break;
            if (now - tend > drain) {
                err("requests unanswered after 5 s", 0);
                break;
            }
        } else if (once) {
            bool live = false;
            for (int i = 0; i < total; i++)
                if (C[i].outstanding)
                    live = true;
            if (!live) {
                snapshot(&S1);
                ended = true;
                break;
            }
        }
        while (bal_off < bal_n && (i64)tot_bytes + (128ll << 20) > bal_off) {
            i64 l = bal_n - bal_off < (32ll << 20) ? bal_n - bal_off : 32ll << 20;
            madvise(bal + bal_off, (size_t)l, MADV_DONTNEED);
            bal_off += l;
        }
        u64 wake = ended ? now + 50000000 : measuring ? TM1 : TM0;
        if (wake > now + 100000000)
            wake = now + 100000000;
        for (int i = 0; i < NC; i++) {
            conn *c = &C[i];
            if (c->kind == K_FETCH)
                continue;
            issue(c, now);
            if (O.rate > 0 && c->bld - c->ack < K) {
                u64 ti = t_int(c->next_n);
                if (ti < TM1 && ti < wake)
                    wake = ti;
            }
        }
        now = ns();
        u64 d = wake > now ? wake - now : 0;
        if (O.spin)
            d = 0;
        struct timespec ts = {(time_t)(d / 1000000000ull), (long)(d % 1000000000ull)};
        struct epoll_event ev[256];
        int n = epoll_pwait2(EP, ev, 256, &ts, NULL);
        if (n < 0 && errno != EINTR)
            die("epoll");
        for (int i = 0; i < n; i++) {
            conn *c = ev[i].data.ptr;
            if (c->kind == K_FETCH)
                on_fetch_readable(c);
            else {
                if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                    on_readable(c);
                if (c->snd != c->bld)
                    flush_conn(c);
            }
        }
        if (ended && errs > 1000)
            break;
    }
    if (m == 'e' && e2e_got != e2e_n)
        err("records not received", (long)(e2e_n - e2e_got));
    if (m == 'e' && e2e_base != 0)
        err("base offset", (long)e2e_base);
    double secs = (double)(S1.t - S0.t) / 1e9;
    char extra[512];
    int xl = 0;
    extra[0] = 0;
    if (O.rate > 0)
        secs = (double)(TM1 - TM0) / 1e9;
    if (prod && !O.nocheck) {
        if (O.acks == 0) {
            u64 w0 = ns();
            i64 e = 0;
            while (ns() - w0 < 5000000000ull && (e = end_offsets(ctl, NULL)) - end0 != (i64)tot_rec)
                nap_us(20000);
        }
        i64 e1 = end_offsets(ctl, NULL);
        if (e1 - end0 != (i64)tot_rec)
            err("log end offsets do not match the records acknowledged; difference", (long)(e1 - end0 - (i64)tot_rec));
        xl += snprintf(extra + xl, sizeof extra - (size_t)xl, "\"log_end_check\":%s,",
                       e1 - end0 == (i64)tot_rec ? "true" : "false");
    }
    if (m == 'f') {
        i64 want = 0;
        for (int i = 0; i < O.parts; i++)
            want += per[i];
        if (once && !O.nocheck && NC <= O.parts && (i64)tot_rec != want)
            err("records read differ from the log end by", (long)((i64)tot_rec - want));
        xl += snprintf(extra + xl, sizeof extra - (size_t)xl, "\"passes\":%lu,\"verify\":%s,\"discard\":%s,", passes,
                       O.verify ? "true" : "false", O.discard ? "true" : "false");
    }
    if (O.idle)
        xl += snprintf(extra + xl, sizeof extra - (size_t)xl,
                       "\"idle\":%d,\"idle_open_ms\":%.1f,\"idle_rss0_mib\":%.1f,\"idle_rss1_mib\":%.1f,", O.idle,
                       idle_ms, (double)si0.rss_kb / 1024, (double)si1.rss_kb / 1024);
    if (O.idle) {
        int dead = 0;
        for (int i = 0; i < O.idle; i++) {
            u8 t;
            ssize_t r = recv(idle[i].fd, &t, 1, MSG_DONTWAIT);
            if (r == 0 || (r < 0 && errno != EAGAIN))
                dead++;
        }
        if (dead)
            err("idle connections closed by the broker", dead);
    }
    if (!m_req && !m_rec)
        err("nothing measured", 0);
    print_result(secs, extra);
    return errs ? 1 : 0;
}

int main(int argc, char **argv)
{
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    prctl(PR_SET_TIMERSLACK, 1);
    parse_options(argc, argv);
    if (!strcmp(O.mode, "create"))
        return run_create();
    if (!strcmp(O.mode, "delete"))
        return run_delete();
    if (!strcmp(O.mode, "wait"))
        return run_wait();
    return run_load();
}
