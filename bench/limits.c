// SPDX-License-Identifier: Apache-2.0
/* bench/limits.c - what this machine can do at all: memory, CRC, loopback, page cache, fdatasync; for scale.
 *
 *   limits DIR           all of it, a line of JSON each; takes minutes and writes up to 6 GiB into DIR
 *   limits control MS    a bare ping-pong between cores 0 and 1 for so many milliseconds: how quiet is the machine now?
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static uint64_t ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static void pin(int c)
{
    cpu_set_t s;
    CPU_ZERO(&s);
    CPU_SET(c, &s);
    sched_setaffinity(0, sizeof s, &s);
}
static double cpu(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec + r.ru_utime.tv_usec / 1e6 + r.ru_stime.tv_sec + r.ru_stime.tv_usec / 1e6;
}
static double med3(double *a)
{
    for (int i = 0; i < 3; i++)
        for (int j = i + 1; j < 3; j++)
            if (a[j] < a[i]) {
                double t = a[i];
                a[i] = a[j];
                a[j] = t;
            }
    return a[1];
}
#define GIB (1024.0 * 1024 * 1024)
static volatile uint32_t sinkv;
static void out(const char *name, const char *unit, double *a)
{
    double m = med3(a);
    printf("{\"limit\":\"%s\",\"unit\":\"%s\",\"median\":%.4g,\"min\":%.4g,\"max\":%.4g}\n", name, unit, m, a[0], a[2]);
    fflush(stdout);
}

static int lsock(uint16_t *port)
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bind(l, (void *)&a, sizeof a);
    listen(l, 4);
    socklen_t n = sizeof a;
    getsockname(l, (void *)&a, &n);
    *port = ntohs(a.sin_port);
    return l;
}
static int conn(uint16_t p)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(p), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(s, (void *)&a, sizeof a)) {
        perror("connect");
        exit(1);
    }
    int o = 1;
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &o, sizeof o);
    return s;
}

// stream: source pinned core 1, sink pinned core 0
static double g_srccpu, g_snkcpu;
static double stream(size_t chunk, int trunc)
{
    uint16_t port;
    int l = lsock(&port);
    int pfd[2];
    if (pipe(pfd))
        exit(1);
    pid_t k = fork();
    if (!k) {
        pin(0);
        int s = accept(l, 0, 0);
        char *b = malloc(1 << 20);
        memset(b, 1, 1 << 20);
        double c0 = cpu();
        uint64_t tot = 0;
        uint64_t t0 = ns();
        for (;;) {
            ssize_t r = recv(s, b, trunc ? (16 << 20) : (256 << 10), trunc ? MSG_TRUNC : 0);
            if (r <= 0)
                break;
            tot += r;
        }
        double o[3] = {tot / GIB, (ns() - t0) / 1e9, cpu() - c0};
        if (write(pfd[1], o, sizeof o) < 0) {
        }
        _exit(0);
    }
    pin(1);
    int s = conn(port);
    char *b = malloc(chunk);
    memset(b, 2, chunk);
    uint64_t t0 = ns();
    double c0 = cpu();
    while (ns() - t0 < 3000000000ull) {
        size_t o = 0;
        while (o < chunk) {
            ssize_t w = write(s, b + o, chunk - o);
            if (w < 0)
                exit(1);
            o += w;
        }
    }
    double sc = cpu() - c0;
    close(s);
    double o[3];
    if (read(pfd[0], o, sizeof o) < 0)
        exit(1);
    waitpid(k, 0, 0);
    close(l);
    close(pfd[0]);
    close(pfd[1]);
    free(b);
    g_srccpu = sc / o[0];
    g_snkcpu = o[2] / o[0];
    return o[0] / o[1];
}
static double g_p50, g_p99;
static int cmpd(const void *a, const void *b)
{
    double x = *(double *)a, y = *(double *)b;
    return x < y ? -1 : x > y;
}
static double pp(int sz, double secs)
{
    uint16_t port;
    int l = lsock(&port);
    pid_t k = fork();
    if (!k) {
        pin(0);
        int s = accept(l, 0, 0);
        int o = 1;
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &o, sizeof o);
        char b[4096];
        for (;;) {
            ssize_t r = read(s, b, sizeof b);
            if (r <= 0)
                _exit(0);
            if (write(s, b, 64) < 0)
                _exit(0);
        }
    }
    pin(1);
    int s = conn(port);
    char b[4096];
    memset(b, 0, sizeof b);
    static double lat[2000000];
    int n = 0;
    uint64_t t0 = ns(), t;
    for (;;) {
        uint64_t a = ns();
        if (a - t0 > secs * 1e9 || n >= 2000000)
            break;
        if (write(s, b, sz) < 0)
            exit(1);
        if (read(s, b, sizeof b) <= 0)
            exit(1);
        t = ns();
        lat[n++] = (t - a) / 1e3;
    }
    double el = (ns() - t0) / 1e9;
    close(s);
    waitpid(k, 0, 0);
    close(l);
    qsort(lat, n, sizeof *lat, cmpd);
    g_p50 = lat[n / 2];
    g_p99 = lat[(int)(n * 0.99)];
    return n / el;
}
static void dropfile(const char *f)
{
    unlink(f);
}
int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "control")) {
        double r = pp(180, strtod(argv[2], NULL) / 1e3);
        printf("{\"rt_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", r, g_p50, g_p99);
        return 0;
    }
    if (argc != 2) {
        fprintf(stderr, "usage: limits DIR | limits control MS\n");
        return 2;
    }
    const char *dir = argv[1];
    char f[512];
    snprintf(f, sizeof f, "%s/limits.dat", dir);
    double r[3];
    pin(1);
    // memcpy big (256 MiB buffers) and cache-resident (512 KiB)
    {
        size_t n = 256u << 20;
        char *a = malloc(n), *b = malloc(n);
        memset(a, 1, n);
        memset(b, 2, n);
        for (int i = 0; i < 3; i++) {
            uint64_t t = ns();
            for (int k = 0; k < 8; k++) {
                memcpy(b, a, n);
                __asm__ volatile("" ::"r"(b) : "memory");
            }
            r[i] = 8 * (n / GIB) / ((ns() - t) / 1e9);
        }
        out("memcpy 256 MiB buffers, 1 core", "GiB/s copied", r);
        n = 512 << 10;
        for (int i = 0; i < 3; i++) {
            uint64_t t = ns();
            for (int k = 0; k < 20000; k++) {
                memcpy(b, a, n);
                __asm__ volatile("" ::"r"(b) : "memory");
            }
            r[i] = 20000 * (n / GIB) / ((ns() - t) / 1e9);
        }
        out("memcpy 512 KiB buffers (L2), 1 core", "GiB/s copied", r);
        // crc
        n = 64u << 20;
        for (int i = 0; i < 3; i++) {
            uint64_t t = ns();
            for (int k = 0; k < 8; k++)
                sinkv = crc32_iscsi((unsigned char *)a, n, ~0u);
            r[i] = 8 * (n / GIB) / ((ns() - t) / 1e9);
        }
        out("crc32c isa-l crc32_iscsi 64 MiB", "GiB/s", r);
        n = 16 << 10;
        for (int i = 0; i < 3; i++) {
            uint64_t t = ns();
            for (int k = 0; k < 200000; k++)
                sinkv = crc32_iscsi((unsigned char *)a, n, ~0u);
            r[i] = 200000 * (n / GIB) / ((ns() - t) / 1e9);
        }
        out("crc32c isa-l crc32_iscsi 16 KiB (cached)", "GiB/s", r);
        n = 160;
        for (int i = 0; i < 3; i++) {
            uint64_t t = ns();
            for (int k = 0; k < 10000000; k++)
                sinkv = crc32_iscsi((unsigned char *)a, n, ~0u);
            r[i] = ((ns() - t) / 1e7);
        }
        out("crc32c isa-l crc32_iscsi 160 B", "ns per call", r);
        n = 64u << 20;
        for (int i = 0; i < 3; i++) {
            uint64_t t = ns();
            for (int k = 0; k < 4; k++) {
                uint64_t c = ~0u;
                for (size_t j = 0; j < n; j += 8)
                    c = __builtin_ia32_crc32di(c, *(uint64_t *)(a + j));
                sinkv = c;
            }
            r[i] = 4 * (n / GIB) / ((ns() - t) / 1e9);
        }
        out("crc32c plain SSE4.2 loop (1 stream)", "GiB/s", r);
        free(a);
        free(b);
    }
    {
        double sc[3], kc[3];
        for (int i = 0; i < 3; i++) {
            r[i] = stream(1 << 20, 0);
            sc[i] = g_srccpu;
            kc[i] = g_snkcpu;
        }
        out("loopback TCP core1->core0, 1 MiB writes, copying sink", "GiB/s", r);
        out("  of which source CPU", "CPU-s per GiB", sc);
        out("  of which sink CPU", "CPU-s per GiB", kc);
        for (int i = 0; i < 3; i++) {
            r[i] = stream(16 << 10, 0);
            sc[i] = g_srccpu;
            kc[i] = g_snkcpu;
        }
        out("loopback TCP core1->core0, 16 KiB writes, copying sink", "GiB/s", r);
        out("  of which source CPU (16K)", "CPU-s per GiB", sc);
        out("  of which sink CPU (16K)", "CPU-s per GiB", kc);
        for (int i = 0; i < 3; i++) {
            r[i] = stream(1 << 20, 1);
        }
        out("loopback TCP core1->core0, 1 MiB writes, MSG_TRUNC sink", "GiB/s", r);
    }
    {
        double p50[3], p99[3];
        for (int i = 0; i < 3; i++) {
            r[i] = pp(180, 2);
            p50[i] = g_p50;
            p99[i] = g_p99;
        }
        out("loopback ping-pong 180 B/64 B, blocking, core1<->core0", "round trips/s", r);
        out("  ping-pong p50", "us", p50);
        out("  ping-pong p99", "us", p99);
    }
    pin(1);
    // write to page cache: 1 GiB, 1 MiB and 16 KiB writes, fresh file each
    size_t szs[3] = {1 << 20, 256 << 10, 16 << 10};
    const char *nm[3] = {"1 MiB", "256 KiB", "16 KiB"};
    char *b;
    if (posix_memalign((void **)&b, 4096, 1 << 20))
        return 1;
    memset(b, 3, 1 << 20);
    for (int z = 0; z < 3; z++) {
        for (int i = 0; i < 3; i++) {
            dropfile(f);
            int fd = open(f, O_CREAT | O_TRUNC | O_WRONLY, 0644);
            uint64_t t = ns();
            for (size_t o = 0; o < (1u << 30); o += szs[z])
                if (write(fd, b, szs[z]) < 0)
                    return 1;
            r[i] = 1.0 / ((ns() - t) / 1e9);
            close(fd);
            dropfile(f);
        }
        char s[128];
        snprintf(s, sizeof s, "write() to page cache, new file, %s writes, 1 GiB", nm[z]);
        out(s, "GiB/s", r);
    }
    // streamed with fdatasync each
    for (int z = 0; z < 3; z++) {
        size_t sz = szs[2 - z];
        for (int i = 0; i < 3; i++) {
            dropfile(f);
            int fd = open(f, O_CREAT | O_TRUNC | O_WRONLY, 0644);
            uint64_t t = ns(), tot = 0;
            while (ns() - t < 3000000000ull) {
                if (write(fd, b, sz) < 0)
                    return 1;
                fdatasync(fd);
                tot += sz;
            }
            r[i] = tot / (1024.0 * 1024) / ((ns() - t) / 1e9);
            close(fd);
            dropfile(f);
        }
        char s[128];
        snprintf(s, sizeof s, "append + fdatasync per %s", nm[2 - z]);
        out(s, "MiB/s", r);
    }
    // tiny appends
    for (int pre = 0; pre < 3; pre++) {
        double p50[3], p99[3];
        for (int i = 0; i < 3; i++) {
            dropfile(f);
            int fd = open(f, O_CREAT | O_TRUNC | O_WRONLY, 0644);
            size_t cap = 64 << 20;
            if (pre == 1) {
                if (fallocate(fd, 0, 0, cap))
                    perror("fallocate");
                fsync(fd);
            }
            if (pre == 2) {
                for (size_t o = 0; o < cap; o += 1 << 20)
                    if (write(fd, b, 1 << 20) < 0)
                        return 1;
                fsync(fd);
                lseek(fd, 0, SEEK_SET);
            }
            static double lat[400000];
            int n = 0;
            uint64_t t = ns();
            while (ns() - t < 3000000000ull && n < 400000) {
                uint64_t x = ns();
                if (write(fd, b, 170) < 0)
                    return 1;
                fdatasync(fd);
                lat[n++] = (ns() - x) / 1e3;
            }
            r[i] = n / ((ns() - t) / 1e9);
            close(fd);
            dropfile(f);
            qsort(lat, n, sizeof *lat, cmpd);
            p50[i] = lat[n / 2];
            p99[i] = lat[(int)(n * .99)];
        }
        const char *pn[3] = {"growing file", "fallocate'd file", "preallocated by writing zeros (overwrite)"};
        char s[160];
        snprintf(s, sizeof s, "fdatasync per 170 B append, %s", pn[pre]);
        out(s, "syncs/s", r);
        snprintf(s, sizeof s, "  p50 of write+fdatasync (%s)", pn[pre]);
        out(s, "us", p50);
        snprintf(s, sizeof s, "  p99 of write+fdatasync (%s)", pn[pre]);
        out(s, "us", p99);
    }
    // sustained writeback: 6 GiB then fsync
    {
        for (int i = 0; i < 3; i++) {
            r[i] = 0;
        }
        dropfile(f);
        int fd = open(f, O_CREAT | O_TRUNC | O_WRONLY, 0644);
        uint64_t t = ns();
        for (int i = 0; i < 6 * 1024; i++)
            if (write(fd, b, 1 << 20) < 0)
                return 1;
        double tw = (ns() - t) / 1e9;
        fsync(fd);
        double ts = (ns() - t) / 1e9;
        r[0] = r[1] = r[2] = 6 / tw;
        out("sustained write() of 6 GiB (dirty limits reached), to cache", "GiB/s", r);
        r[0] = r[1] = r[2] = 6 / ts;
        out("sustained write() of 6 GiB + fsync", "GiB/s", r);
        close(fd);
        dropfile(f);
    }
    return 0;
}
