// SPDX-License-Identifier: Apache-2.0
/* broker/broker.h - one broker: requests in, replies out. One file per API key; the dispatch table says which.
 *
 * net/ (above) cuts frames and makes requests; main/ (above) owns the threads and the order of a tick. This floor owns
 * what happens between: decode, authorise, act on partitions, coordinators and the controller, wait, encode.
 *
 * A request lives on its connection's reactor. It may travel (by mail) to the reactor that owns a coordinator's shard, to
 * the control thread or to the pool; while it is away nobody else touches it. When its reply is ready it lies in its
 * reactor's `completed` outbox, which net/ drains once per tick.
 */
#pragma once

#include "base/base.h"
#include "io/io.h"
#include "meta/meta.h"
#include "replica/replica.h"
#include "wire/wire.h"

struct broker;
struct request;

/* ---- settings the broker floor needs, resolved by main/ from the table of settings; fixed while it runs. */
struct broker_listener {
    char name[64];                  // PLAINTEXT
    char host[256];                 // as bound; "" all interfaces
    char advertised_host[256];      // "": the address that the client reached
    uint16_t port, advertised_port; // advertised 0: the bound port
    bool is_controller;
};

enum { LISTENERS_MAX = 16, LOG_DIRS_MAX = 64 };

struct broker_options {
    int32_t node_id;
    const char *rack; // may be NULL
    char cluster_id[64];
    const char *log_dirs[LOG_DIRS_MAX];
    int log_dir_count;
    const char *metadata_dir;
    struct broker_listener listeners[LISTENERS_MAX];
    int listener_count;
    bool fsync; // ottla.durability
    int32_t flush_max_delay_ms;
    int64_t unflushed_max_bytes; // of each log directory; 0: no limit
    int64_t disk_reserve_bytes;  // of each log directory's file system, kept back from producers; 0: nothing
    int open_files_max;          // segments and indexes
    int reactor_count;
    const struct meta_settings *settings; // values of the static settings, by Kafka's names
    /* resolved from `settings` for the hot path */
    int32_t request_size_max;        // socket.request.max.bytes
    int32_t fetch_size_max;          // fetch.max.bytes
    int32_t fetch_sessions_max;      // max.incremental.fetch.session.cache.slots
    int64_t fetch_session_bytes_max; // ottla.fetch.session.bytes.max
    bool auto_create_topics;
    int32_t num_partitions, default_replication_factor;
    int32_t offsets_partitions, offsets_replication_factor;
    int64_t retention_check_ms, checkpoint_ms;
    size_t request_arena_max; // memory of one request besides its frame
    struct io_loop *owner;    // gets a MAIL_STOP when the broker cannot go on (broker_has_failed); may be NULL
};

/* ---- reactors */
enum mail_kind {
    MAIL_WATCH = 1,  // struct partition_watch
    MAIL_RESUME,     // a request comes home
    MAIL_SHARD,      // a call comes to the owner of a coordinator's shard
    MAIL_SHARD_DONE, // and home, answered
    MAIL_CONTROL,    // a request comes to the control thread
    MAIL_IMAGE,      // struct reactor.image_mail: a newer metadata image is there
    MAIL_SHARD_LOAD, // a shard's load made progress
    MAIL_CONNECTION, // net: an accepted connection
    MAIL_DIRTY,      // to the flusher
    MAIL_FLUSHED,    // to the flusher: a helper finished
    MAIL_DRAIN,      // to the flusher: struct write_budget, much is unflushed
    MAIL_LOCAL,      // struct local_call: to a reactor, and home
    MAIL_WAKE,       // to the control thread: something it started has come back
    MAIL_STOP,
};

/* How long requests took, by steps of an eighth or less: see latency.c. */
struct api_latency;
struct api_counter {
    _Atomic uint64_t requests, errors;
    _Atomic(struct api_latency *) latency; // made at the first request
};

/* Limits of connections that clients can reach; counted by name. */
enum net_limit {
    NET_LIMIT_CONNECTIONS,        // max.connections: refused
    NET_LIMIT_CONNECTIONS_PER_IP, // max.connections.per.ip and its overrides: refused
    NET_LIMIT_CONNECTION_RATE,    // max.connection.creation.rate: waits
    NET_LIMIT_IDLE,               // connections.max.idle.ms: closed
    NET_LIMIT_REQUEST_SIZE,       // socket.request.max.bytes: closed
    NET_LIMIT_REQUEST_MEMORY,     // queued.max.request.bytes: not read until there is memory
    NET_LIMIT_REPLIES,            // ottla.connection.reply.max.bytes: its next request waits until it has read
    NET_LIMIT_STALLED,            // ottla.stalled.max.ms: closed
    NET_LIMIT_COUNT
};

struct reactor {
    struct broker *broker;
    uint32_t number;
    struct io_loop *loop;
    struct meta_image *image; // counted; replaced when MAIL_IMAGE comes
    struct io_mail image_mail, stop_mail;
    int64_t now_ms, wall_ms;     // of this tick
    struct heap timers;          // struct request.timer
    struct list completed;       // outbox: struct request.in_completed
    struct list released;        // outbox, by the same node: those that hold up their connection no longer, but run
    struct list local_completed; // the same of requests from inside
    struct list touched;         // struct partition_use.in_touched with appends to drain
    struct hash partitions;      // struct partition_use by topic id and index
    uint64_t retired_seen;       // of the broker's count, when `partitions` was last swept
    struct list requests_free;
    size_t requests_free_count;
    _Atomic size_t requests_used_count;
    bool stopping; // nothing new is read, nothing waits for longer than it must
    struct record_scratch *scratch;
    void *net;                // net's own part
    struct shard_set *shards; // coordinator shards owned here
    struct api_counter counters[128];
    _Atomic uint64_t bytes_in, bytes_out, connections, stalls;
    _Atomic uint64_t validated_in_pool; // requests
    _Atomic uint64_t net_limits[NET_LIMIT_COUNT];
    _Atomic uint64_t members_refused, commits_refused;
    _Atomic int64_t
        request_bytes; // of requests in flight: frames, whole or not, their arenas and replies. Written here alone
};

/* On the reactor's own thread. */
static inline void reactor_charge(struct reactor *reactor, int64_t bytes)
{
    int64_t now = atomic_load_explicit(&reactor->request_bytes, memory_order_relaxed) + bytes;
    atomic_store_explicit(&reactor->request_bytes, now, memory_order_relaxed);
}

/* A partition as one reactor knows it. */
struct partition_use {
    struct hash_node in_partitions;
    struct list in_touched;
    bool is_touched;
    struct partition *partition;    // counted
    struct partition_config config; // as of config_version
    uint64_t config_version;
};

/* ---- replies: bytes with pieces of files between them, or bytes of which only the next piece is there */
struct reply_piece {
    size_t at;              // the piece follows this many bytes of `out`
    struct log_slice slice; // held until sent
};

struct reply {
    struct wire_writer out; // size, header, body; the pieces' bytes are not in it
    struct reply_piece *pieces;
    int piece_count;
    size_t pieces_size_bytes;
    struct wire_stream *stream; // NULL: nothing follows what is in `out`
    size_t stream_size_bytes;   // what follows
    struct meta_image *image;   // counted: what the stream tells, until it is written
    bool none;                  // acks=0: nothing is sent
    bool close;                 // the connection is closed instead
};

/* ---- requests */
struct wait {
    struct list in_watch;
    struct request *request;
    struct partition_watch *watch; // NULL: not waiting
};

enum request_state { REQUEST_QUEUED, REQUEST_RUNNING, REQUEST_DONE };

struct api_row;

struct request {
    struct list in_connection, in_completed; // the connection's order; the reactor's outbox or free list
    struct io_mail mail;                     // while it travels
    struct io_job job;                       // while it is in the pool
    struct heap_node timer;                  // deadline, monotonic ms
    struct reactor *home;
    struct local_call *local_call; // came from inside; NULL: from a socket
    void *connection;              // net's
    void *block;                   // net's: what holds the frame
    uint8_t *frame;                // without its size; patched in place by appends
    uint32_t frame_size;
    enum request_state state;
    bool abandoned;                        // the connection died: the reply is dropped
    int32_t throttle_ms;                   // told in the answer; net/ reads its connection no more for that long
    bool throttle_is_known;                // recorded and told
    int64_t handled_ns, handling_since_ns; // this reactor's time that it took, while there are quotas
    bool mutes;                            // until it is answered, its connection is not read
    bool holds;                            // until it is released, no later request of its connection starts
    bool refused;                          // the control thread could not do it and does not know what came of it
    struct list in_control;                // the control thread's
    const struct broker_listener *listener;
    const struct io_address *client, *local; // of the connection

    const struct api_row *api;
    const struct wire_api *layouts; // of its key
    struct arena arena;
    size_t held_bytes;    // beside its frame, arena and reply: what its API holds for it
    size_t charged_bytes; // to its reactor, of its arena, its reply and what is held
    int16_t api_key, api_version;
    int32_t correlation_id;
    struct slice client_id;
    void *body; // the decoded request struct
    void *work; // what the API keeps while it runs
    int64_t started_ns;
    struct reply reply;
};

/* One row per served API key; the table is broker/dispatch.c. */
struct api_row {
    int16_t key, version_min, version_max;    // served
    bool overlaps;                            // may start while earlier requests of the same API run (Produce)
    bool on_controller;                       // served on controller listeners too
    void (*start)(struct request *request);   // completes the request or leaves it waiting
    void (*resume)(struct request *request);  // something it waited for may have happened
    void (*control)(struct request *request); // in the control thread, which sends it home once what it did is flushed
};

/* For net/, on reactor 0: how long a new connection from there is too early for the quota of its address (then it is to be
 * closed after that long, KIP-612); 0: it is welcome. */
int64_t broker_connection_throttle(struct reactor *reactor, const char *host);

/* ---- settings as they are now: dynamic ones of this broker and of the cluster, those of the file, defaults (KIP-226) */
/* Another number whenever one of them may be another. */
uint64_t broker_settings_version(const struct reactor *reactor);
int64_t broker_setting_i64(const struct reactor *reactor, const char *name);
int64_t broker_listener_setting_i64(const struct reactor *reactor, const char *listener, const char *name);
struct slice broker_setting_text(const struct reactor *reactor, const char *name); // as long as the reactor's image
/* From any thread: the file was read again, `settings` has taken over what may change. Owned by the broker now. */
void broker_settings_replace(struct broker *broker, struct meta_settings *settings);

/* For net/: a request from the free list; then fill connection, block, frame, listener, client; then begin. */
struct request *request_new(struct reactor *reactor);
/* Reads the header and finds the row. False: close the connection, the reason was logged. */
bool request_begin(struct request *request);
/* Its turn has come: decodes and runs. May complete at once. */
void request_start(struct request *request);
bool request_may_overlap(const struct request *request);
/* What lay in the reply was sent: the next piece of the answer is there now. False: there was no more. */
bool request_reply_more(struct request *request);
/* It is done and its client does not read: what only the work needed is given back. False: a stream or pieces of
 * files need it still. */
bool request_shed(struct request *request);
/* After its reply was sent or dropped. */
void request_free(struct request *request);

/* ---- for the api files */
/* The reply stands in request->reply: into the outbox. Once per request, on its home reactor. */
void request_complete(struct request *request);
/* Starts the reply: size placeholder and response header. */
struct wire_writer *request_reply_begin(struct request *request);
/* Writes the size, completes. A failed writer (limit) closes the connection. */
void request_reply_end(struct request *request);
/* Closes the connection instead of answering, with a logged reason. */
void request_refuse(struct request *request, const char *reason);
/* Waiting, on the home reactor. A request may have many waits and one deadline; resume is called for each that may be over. */
void request_wait_partition(struct request *request, struct wait *wait, struct partition *partition);
void request_wait_partition_end(struct wait *wait);
void request_wait_until(struct request *request, int64_t deadline_ms); // monotonic
void request_wait_until_end(struct request *request);
bool request_deadline_passed(const struct request *request);
/* Travel. */
void request_send_home(struct request *request);       // MAIL_RESUME
void request_send_to_control(struct request *request); // MAIL_CONTROL
/* In the pool, then home. */
void request_send_to_pool(struct request *request, enum io_lane lane, void (*run)(struct io_job *job));
/* It goes away before what it wants is in its queue: no later request of its connection starts meanwhile. */
void request_hold(struct request *request);
/* It is back, and all of it is queued: net/ learns it, if the request did not complete at once. */
void request_release(struct request *request);

/* ---- partitions */
/* NULL when this broker has no such partition. Valid on this reactor until the end of the tick; take a reference to keep it. */
struct partition_use *reactor_partition(struct reactor *reactor, struct uuid topic_id, int32_t index);
/* Queues an append and remembers to drain the partition at the end of the tick. */
void reactor_append(struct reactor *reactor, struct partition_use *use, struct append *append);

/* ---- the tick, called by main/loop.c in this order: mail, then timers, then the end. */
void broker_mail(struct reactor *reactor, struct io_mail *mail);
void broker_timers(struct reactor *reactor);
void broker_tick_end(struct reactor *reactor);                  // drains touched partitions, coordinators' outboxes
int64_t broker_next_deadline_ms(const struct reactor *reactor); // INT64_MAX: none
void reactor_clock(struct reactor *reactor);                    // refreshes now_ms and wall_ms
/* The reactor is about to stop: what waits for a coordinator or for data to fetch is answered now, later calls of a
 * coordinator are refused. Its thread may end when the broker is idle: another reactor's request may need it until then.
 * Mail that comes later is dropped. */
void broker_reactor_stop(struct reactor *reactor);
bool broker_is_idle(const struct broker *broker); // no request is in use, no coordinator served
void broker_mail_drop(struct reactor *reactor, struct io_mail *mail);

/* ---- life */
struct broker *broker_create(const struct broker_options *options);
/* Opens log directories, metadata and partitions; registers; starts flusher, control thread and pool. */
MUST_USE struct status broker_start(struct broker *broker);
/* Clean stop, after the reactors' threads have ended: everything synced, marks written. */
MUST_USE struct status broker_stop(struct broker *broker);
void broker_free(struct broker *broker);
struct reactor *broker_reactor(struct broker *broker, int number);
const struct broker_options *broker_options(const struct broker *broker);
/* The address of a listener once net/ has bound it. */
void broker_listener_bound(struct broker *broker, int listener, uint16_t port);
/* A counted image, from any thread. */
struct meta_image *broker_image(struct broker *broker);
int16_t broker_feature_level(struct broker *broker, const char *feature); // finalised; 0: none

/* ---- requests from inside (console, metrics): same dispatch, authorisation, quotas and waits as from a socket. */
enum { LOCAL_CALLS_MAX = 32 };             // under way at once; one more is refused
enum { LOCAL_FRAME_MAX_BYTES = 64 << 20 }; // of a request
#define LOCAL_CLIENT_ID "ottla-console"

struct local_call {
    struct io_mail mail;
    struct io_loop *caller;
    uint8_t *frame;
    uint32_t frame_size;
    bool is_answered;
    _Atomic bool is_let_go; // the reactor is done with it
    struct wire_writer reply;
    struct reply_piece *pieces; // in the order of the reply's partitions; records that are not in the reply itself
    int piece_count;
};
/* The newest served version up to `highest`; -1 when the key is not served. */
int16_t local_version(int16_t api_key, int16_t highest);
/* Asks and waits, on a thread that is no reactor's. `caller`: a loop of that thread that nobody sends other mail to. The
 * decoded answer lies in `arena` and in `call`; NULL when too many calls are under way, the broker stops, the request does
 * not fit, or the broker closes its connection over it. Fetch: version 11 or below, and its pieces are read by the caller.
 * local_call_free in any case. */
void *local_call(struct broker *broker, struct io_loop *caller, int16_t key, int16_t version, const void *body,
                 struct arena *arena, struct local_call *ret_call);
void local_call_free(struct local_call *call);

/* ---- what this broker holds, from any thread */
struct broker_partition {
    const char *topic; // during the call of `each`
    int32_t index, leader, leader_epoch, isr_count;
    int32_t isr_min; // min.insync.replicas of its topic
    int64_t start_offset, end_offset, high_watermark, last_stable_offset, size_bytes;
    uint64_t messages_in, bytes_in, bytes_out, produce_failures, fetch_failures; // see struct partition_traffic
    bool is_offline, is_internal;
};
void broker_partitions_each(struct broker *broker,
                            void (*each)(void *context, const struct broker_partition *partition), void *context);
/* Clients by the name and version that they introduce themselves with; how many of `max` there are. */
struct broker_client {
    char name[64], version[64];
    uint64_t connections; // that introduced themselves so, since the start
    int64_t seen_ms;      // the last one, wall clock
};
int broker_clients(struct broker *broker, struct broker_client *ret_clients, int max);
/* Of requests of that key since the start, in microseconds; 0 when there were none. */
struct api_percentiles {
    uint64_t count, p50_us, p99_us;
};
struct api_percentiles broker_api_latency(struct broker *broker, int16_t api_key);

/* Kinds of client quotas, by their names in the metrics: produce, fetch, request, mutation, connection. */
enum { BROKER_QUOTA_KINDS = 5 };

/* Numbers for /metrics, from any thread. */
struct broker_numbers {
    uint64_t requests, request_errors, bytes_in, bytes_out, connections;
    uint64_t flush_rounds, flush_failures, flush_p50_us, flush_p99_us;
    uint64_t segment_files_open;
    uint64_t unflushed_bytes, unflushed_bytes_most; // of the log directory that has, or had, the most
    uint64_t muted_writes;                          // groups of batches that the pool wrote, since reactors might not
    uint64_t without_descriptor;                    // times that a partition could not be written to
    uint64_t refused_full;                          // batches, since their disk had nothing left but what is kept back
    uint64_t topics, partitions, partitions_offline, partitions_uncleanable;
    uint64_t partitions_moving, partitions_moved, moved_bytes; // between log directories
    uint64_t compactions, compacted_bytes;
    uint64_t api_requests[128];
    uint64_t throttled[BROKER_QUOTA_KINDS];
    uint64_t net_limits[NET_LIMIT_COUNT];
    int64_t request_bytes; // see struct reactor
    uint64_t producers_crowded_out, members_refused, commits_refused, growth_refused, unclean_elections;
    uint64_t fetch_sessions, fetch_session_bytes, fetch_sessions_refused;
};
void broker_numbers(struct broker *broker, struct broker_numbers *ret_numbers);
bool broker_is_ready(const struct broker *broker);
/* How far a start is with a log directory: logs that are not open yet, and for each job that opens them the segments of its
 * log that are not checked yet. */
enum { BROKER_CREW = 16 };
struct broker_recovery {
    const char *log_dir;
    int32_t logs_left, segments_left[BROKER_CREW];
};
/* Each log directory while a start opens its logs, none before and after. Any thread. */
void broker_recovery_each(struct broker *broker, void (*each)(void *context, const struct broker_recovery *recovery),
                          void *context);
/* It cannot go on (its metadata log or all of its log directories failed): stop it; the stop will not be a clean one. */
bool broker_has_failed(const struct broker *broker);
