// SPDX-License-Identifier: Apache-2.0
/* io/io.h - the only door to the kernel: clock, randomness, files, sockets, threads, locks, mailboxes.
 *
 * Two implementations, chosen at link time: kernel_*.c (the real thing, epoll) and sim_*.c (one real thread, every broker
 * thread a coroutine, switched by seed at each call of this interface; an in-memory disk that tears and loses what was not
 * synced, links that drop, clocks that jump). Level: non-blocking sockets, synchronous file calls, threads with mailboxes.
 * No function-pointer tables: a call is a call.
 *
 * Results: int64_t or int results are >= 0 on success, or -errno. Handles (`int`) are descriptors in the kernel
 * implementation, small numbers in the simulator's; both are >= 0.
 */
#pragma once

#include "base/base.h"

#include <stdatomic.h>

#include <sys/uio.h> // struct iovec only

/* ---- clock and randomness */
int64_t io_now_ns(void);                      // monotonic
int64_t io_now_ms(void);                      // monotonic, same origin
int64_t io_wall_ms(void);                     // since 1970, may jump
void io_random(void *ret_bytes, size_t size); // for ids and secrets

/* ---- files. Paths are NUL-ended. Reads and writes may be short, as the kernel's. */
enum {
    IO_READ = 0,
    IO_WRITE = 1,     // read and write
    IO_CREATE = 2,    // with IO_WRITE
    IO_EXCLUSIVE = 4, // with IO_CREATE: fails with -EEXIST
    IO_TRUNCATE = 8,
    IO_DIRECT_READ = 16, // reads past the page cache where the file system can; else ignored
};

int io_open(const char *path, int flags);
void io_close(int file);
int64_t io_pread(int file, void *ret_data, size_t size, int64_t position);
/* Like io_pread, but -EAGAIN where it would wait for the disk (RWF_NOWAIT; an implementation without it reads). */
int64_t io_pread_nowait(int file, void *ret_data, size_t size, int64_t position);
int64_t io_pwritev(int file, const struct iovec *pieces, int count, int64_t position);
int64_t io_pwrite(int file, const void *data, size_t size, int64_t position);
int io_fdatasync(int file);
/* Starts write-back of a range and does not wait (sync_file_range). */
int io_write_back(int file, int64_t position, int64_t size);
int io_truncate(int file, int64_t size);
int io_allocate(int file, int64_t size); // extends with zeros, space reserved
int64_t io_file_size(int file);
/* True when all of the range is in the page cache now, so that a read does not wait; false also where nobody can tell. */
bool io_is_cached(int file, int64_t position, int64_t size);
int io_fadvise_cold(int file, int64_t position, int64_t size); // drop from the page cache

struct io_stat {
    bool exists, is_directory;
    int64_t size_bytes, modified_ms; // modified: wall clock
    uint64_t inode;
};
int io_stat(const char *path, struct io_stat *ret_stat); // 0 with exists=false when there is nothing
int io_rename(const char *from, const char *to);         // atomic, replaces files
int io_unlink(const char *path);
int io_mkdir(const char *path);
int io_rmdir(const char *path);
int io_sync_dir(const char *path); // makes creations, renames and unlinks in that directory durable
/* Calls `each` for every entry but . and .. ; order unspecified. */
int io_list_dir(const char *path, void (*each)(void *context, const char *name), void *context);
/* A POSIX record lock (fcntl, as Java's FileLock) on the whole file; the handle keeps it. -EAGAIN when another process has it. */
int io_lock_file(int file);
int64_t io_free_bytes(const char *path);  // of the file system, for unprivileged users
int64_t io_total_bytes(const char *path); // of the file system

/* ---- sockets: TCP, non-blocking. -EAGAIN when it would wait. Addresses are text. */
struct io_address {
    char host[64]; // numeric IPv4 or IPv6
    uint16_t port;
};

/* host may be a name or "" (all interfaces); port 0 takes a free one. */
int io_listen(const char *host, uint16_t port, int backlog, struct io_address *ret_bound);
/* A connection with TCP_NODELAY; ret_peer and ret_local may be NULL. */
int io_accept(int listener, struct io_address *ret_peer, struct io_address *ret_local);
int io_connect(const char *host, uint16_t port);          // in progress: writable when connected
int io_connect_result(int socket);                        // 0 when connected, -errno
int64_t io_recv(int socket, void *ret_data, size_t size); // 0: the peer closed its side
/* `more`: more will follow at once (MSG_MORE). */
int64_t io_sendv(int socket, const struct iovec *pieces, int count, bool more);
int64_t io_sendfile(int socket, int file, int64_t position, size_t size);
void io_socket_close(int socket);
int io_socket_send_buffer(int socket, int size_bytes); // SO_SNDBUF; <= 0 leaves the kernel's
int io_socket_recv_buffer(int socket, int size_bytes);

/* ---- threads, locks. A thread ends by returning. */
struct io_thread;
struct io_thread *io_thread_start(const char *name, void (*run)(void *), void *context);
void io_thread_join(struct io_thread *thread); // waits for the end and frees
/* From now on the calling thread, whoever made it, is one whose work can wait: others go first, at the processor and the disk. */
void io_thread_stand_back(void);
int64_t io_memory_bytes(void); // that this process may use: the machine's, or its cgroup's if that is less
int io_cpu_count(void);        // usable by this process: affinity and cgroup quota respected, at least 1

struct io_lock;
struct io_lock *io_lock_create(void);
void io_lock_destroy(struct io_lock *lock);
void io_lock_take(
    struct io_lock *lock); // held for a few instructions or by pool threads; never across a disk wait on a reactor
bool io_lock_try(struct io_lock *lock);
void io_lock_release(struct io_lock *lock);

/* ---- loops: every thread that waits owns one. A loop waits for sockets, mail and a deadline at once.
 * Mail: nodes live in their sender and are queued at most once, so mailboxes are bounded. */
struct io_mail {
    uint32_t kind;                  // the receiver's switch
    _Atomic bool queued;            // true from send until taken
    _Atomic(struct io_mail *) next; // the loop's
};

struct io_loop;
struct io_loop *io_loop_create(void);
void io_loop_destroy(struct io_loop *loop);

enum { IO_READABLE = 1, IO_WRITABLE = 2, IO_HANGUP = 4 };
struct io_event {
    void *context; // as given to io_loop_watch
    uint32_t events;
};
/* Level-triggered; `events` 0 stops watching (the socket is known by number). Call again to change. */
int io_loop_watch(struct io_loop *loop, int socket, uint32_t events, void *context);
/* Waits until something is there, or until `deadline_ns` (io_now_ns; INT64_MAX: none; <= now: does not wait).
 * Returns how many events; mail is taken with io_loop_mail. */
int io_loop_wait(struct io_loop *loop, struct io_event *ret_events, int events_max, int64_t deadline_ns);
/* From any thread. False, and nothing happens, when the node is queued already. Wakes the loop only when it sleeps. */
bool io_loop_send(struct io_loop *loop, struct io_mail *mail);
/* All mail queued so far in order of sending, as a chain by `next`; each has queued=false again once io_mail_next passed it. */
struct io_mail *io_loop_mail(struct io_loop *loop);
/* Takes the first node off the chain (*chain moves on): reads next, then clears queued; NULL at the end. */
struct io_mail *io_mail_take(struct io_mail **chain);

/* ---- pool: a few threads for jobs that may wait for a disk, or take long. Lanes keep readers from waiting behind chores.
 * The job node lives in its sender. `run` is the one allowed function pointer; completion is mail that `run` sends. */
enum io_lane { IO_LANE_READ, IO_LANE_FILE, IO_LANE_BACKGROUND, IO_LANE_COMPUTE, IO_LANE_COUNT };
struct io_job {
    struct io_job *next;
    void (*run)(struct io_job *job);
};
struct io_pool;
struct io_pool *io_pool_create(const int thread_counts[IO_LANE_COUNT]);
void io_pool_submit(struct io_pool *pool, enum io_lane lane, struct io_job *job);
/* Until nothing is left of what was submitted, and of what that submitted in turn; nobody else may go on submitting. */
void io_pool_finish(struct io_pool *pool);
void io_pool_destroy(struct io_pool *pool); // finishes what was submitted, then joins

/* ---- signals: a loop that gets a readable event per signal asked for (kernel only; the simulator never signals). */
int io_signal_open(void);       // SIGTERM, SIGINT, SIGHUP blocked and readable here; SIGPIPE ignored
int io_signal_read(int handle); // a signal number, or -EAGAIN
