// SPDX-License-Identifier: Apache-2.0
/* io/kernel_clock.c - time, randomness and signals of the real machine. */
#include "io/io.h"

#include <errno.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

int64_t io_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t io_now_ms(void)
{
    return io_now_ns() / 1000000;
}

int64_t io_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void io_random(void *ret_bytes, size_t size)
{
    uint8_t *at = ret_bytes;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        assert(got > 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}

int io_signal_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGPIPE, &ignore, NULL) < 0)
        return -errno;
    int handle = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return handle < 0 ? -errno : handle;
}

int io_signal_read(int handle)
{
    struct signalfd_siginfo info;
    ssize_t got = read(handle, &info, sizeof info);
    return got == sizeof info ? (int)info.ssi_signo : -EAGAIN;
}
