// SPDX-License-Identifier: Apache-2.0
/* broker/broker__.h - inside of the broker floor: the instance, its loops, and what the api files share. */
#pragma once

#include "broker/broker.h"
#include "broker/fetch_session.h"

#include "broker/log_dirs.h"
#include "broker/quotas.h"
#include "ctrl/ctrl.h"
#include "wire/gen/errors.h"

#include <errno.h>

struct fetch_sessions;
struct scratches;
struct flusher;
struct control;

/* What is left of this broker's block. The control thread's. */
struct producer_ids {
    int64_t next, end;
};

enum coordinator_kind { COORDINATOR_GROUPS, COORDINATOR_KINDS };

struct broker {
    struct broker_options options;
    _Atomic(const struct meta_settings *) settings;  // of the file, as it was read last
    _Atomic(struct meta_settings *) settings_handed; // to the control thread
    struct meta_settings **settings_kept;            // all that were handed over
    int settings_kept_count;
    _Atomic uint64_t settings_turn;
    struct io_mail settings_mail;
    struct reactor *reactors; // options.reactor_count of them
    struct io_pool *pool;
    struct scratches *scratches; // of the pool's threads that compute
    struct log_files *files;
    struct replica_options replica;
    struct meta_image *image; // counted; newest published
    struct io_lock *image_lock, *partitions_lock;
    struct hash partitions; // struct partition_entry by topic id and index, under partitions_lock
    struct control *control;
    struct producer_ids producer_ids;
    struct log_dirs dirs;
    struct checkpoints *checkpoints;
    struct crew *crew;
    struct flusher *flusher;
    struct fetch_sessions *sessions;
    struct quotas *quotas;
    struct clients *clients;
    uint16_t listener_ports[LISTENERS_MAX];
    _Atomic int32_t shard_counts[COORDINATOR_KINDS]; // 0 until the topic was seen
    _Atomic int32_t shards_served;                   // those that are loading, loaded or leaving
    _Atomic uint64_t retired_count;                  // partitions retired so far
    _Atomic int32_t local_calls;                     // under way
    _Atomic uint32_t local_turn;                     // which reactor takes the next
    bool has_misplaced;                              // the control thread's, see openings__take_misplaced
    _Atomic bool ready, stopping, failed;
    _Atomic bool is_recovering; // a start opens the logs of dirs
    struct io_mail failed_mail; // to options.owner
};

/* ---- broker.c */
/* The broker cannot go on: says so once, and asks the owner for a stop. Any thread. */
void broker__fail(struct broker *broker, struct status why);
/* A newer image for everybody; takes the reference. The control thread, or the start. */
void broker__publish(struct broker *broker, struct meta_image *image);

/* ---- crew.c: many similar jobs that may wait for the disk, done by the pool, and one thread that waits for all of them. */
struct crew *crew__create(struct broker *broker);
void crew__free(struct crew *crew); // after the pool
/* Calls `run` for 0 to count - 1, in any order, by several jobs (`member` tells which); returns when all have returned. Now
 * and then tells `progress` (may be NULL) how many are done. One caller at a time. */
void crew__run(struct crew *crew, int count, void (*run)(void *context, int number, int member), void *context,
               void (*progress)(void *context, int done));
/* Waits a little: for a condition that other threads bring about. */
void crew__pause(struct crew *crew);

/* ---- scratches.c: contexts of decompression that jobs of the pool borrow; as many as run at once. */
struct scratches *scratches__create(int count);
void scratches__free(struct scratches *scratches); // after the pool
struct record_scratch *scratches__take(struct scratches *scratches);
void scratches__give(struct scratches *scratches, struct record_scratch *scratch);

/* ---- listeners.c */
/* The host that goes into the metadata for a listener: the advertised one, or what it is bound to. */
const char *broker__registered_host(const struct broker_listener *listener);
/* The listener that controllers and brokers of the cluster would use; one that nobody listens on when none is set. */
struct ctrl_listener broker__controller_listener(const struct broker_options *options, uint16_t port);
/* The bound port of the listener for controllers, 0 when there is none. */
uint16_t broker__controller_port(const struct broker *broker);
/* Where the client of this request finds that broker: the listener it came by; for this broker itself the address that the
 * client reached where none is advertised. False when the broker has no such listener. */
bool request__broker_address(const struct request *request, const struct meta_broker *broker, struct slice *ret_host,
                             int32_t *ret_port);
/* What a client may know of a broker. One look serves for all partitions in a row that name the same one. */
struct broker_look {
    int32_t id;        // -1: at none yet
    bool lives;        // it is there, and not fenced
    bool is_reachable; // and has the listener that the client came by
};
const struct broker_look *request__broker_look(const struct request *request, const struct meta_image *image,
                                               int32_t id, struct broker_look *look);
/* A node id as Java reads an int: a sign, digits, nothing else. */
bool request__read_node_id(struct slice text, int32_t *ret_id);
/* What anybody may do while there is no authorizer (KIP-430): bit n stands for operation n. */
enum { OPERATIONS_OF_TOPIC = 0xdf8, OPERATIONS_OF_GROUP = 0xd48, OPERATIONS_OF_CLUSTER = 0x1fa0 };

/* ---- auto_create.c */
/* True for names of topics that may come into being by being asked for. */
bool broker__may_auto_create(struct slice name);
/* In the control thread: makes the topic, an internal one as its coordinator wants it; when it cannot be made, the reason is
 * logged. Fine when there is one already. Its partitions count against the quota of mutations of the request's client. */
void broker__auto_create(struct request *request, struct slice name);

/* ---- request.c */
/* What Kafka says with INVALID_REQUEST where it says nothing else. */
extern const char request__invalid_message[];
/* Counts what it needs now beside its frame, which is a block of net's. On its reactor; done whenever it begins, starts and
 * completes, and by a request that waits with much. */
void request__charge(struct request *request);
/* Answers with the generated struct of the request's key, and completes. A large answer is written as its client reads: all
 * that the struct points to lies in the request's frame or arena, in its reactor's image, or stays for ever. */
void request__reply(struct request *request, const void *response);
/* The same, with arrays whose elements are made when their turn comes, from the image that was its reactor's at this call and
 * stays until then. What `context` points to lies where the response's does. */
void request__reply_supplied(struct request *request, const void *response, wire_supply_fn *supply, void *context);

/* ---- live_settings.c */
/* Of the file of settings; another pointer when it was read again, the old ones live as long as the broker. */
const struct meta_settings *broker__settings(const struct broker *broker);
int64_t broker__setting_i64(const struct broker *broker, const struct meta_image *image, const char *name);
double broker__setting_f64(const struct broker *broker, const struct meta_image *image, const char *name);
uint64_t broker__settings_version(const struct broker *broker, const struct meta_image *image);
void broker__settings_init(struct broker *broker);
void broker__settings_free(struct broker *broker);
/* The control thread's: what was handed over counts from now on; false when nothing was. */
bool broker__settings_take(struct broker *broker);

/* ---- throttle.c: what quotas make of a request */
/* Its start or resume, with the time that it takes counted. */
void request__handle(struct request *request, void (*handle)(struct request *request));
void request__resume(struct request *request);
/* The answer is about to be written: counts the time so far, and how long the client has to wait. Later calls say the same. */
int32_t request__throttle_ms(struct request *request);
/* It is answered: counts the time that writing the answer took, for the next one's wait. */
void request__throttle_rest(struct request *request);
/* So many bytes were produced or are to be sent; how long the client has to wait for their sake. Local calls never wait. */
int64_t request__quota_record(struct request *request, enum quota_kind kind, double amount);
/* The client waits at least that long. Before the answer is written. */
void request__throttle(struct request *request, enum quota_kind kind, int64_t throttle_ms);
/* Partitions to be made or deleted; false: the client owes some, and the version is one that refuses then. */
bool request__may_mutate(struct request *request, int32_t partitions, bool is_strict);

/* ---- dispatch.c */
/* NULL when the key is not served. */
const struct api_row *request__row(int16_t key);
/* All rows by key, API_KEY_COUNT of them, NULL where a key is not served. */
const struct api_row *const *request__rows(void);

/* ---- api_*.c: the row of each, for the table in dispatch.c */
extern const struct api_row api__alter_client_quotas;
extern const struct api_row api__alter_configs;
extern const struct api_row api__alter_partition_reassignments;
extern const struct api_row api__alter_replica_log_dirs;
extern const struct api_row api__api_versions;
extern const struct api_row api__create_partitions;
extern const struct api_row api__create_topics;
extern const struct api_row api__delete_groups;
extern const struct api_row api__delete_records;
extern const struct api_row api__delete_topics;
extern const struct api_row api__describe_client_quotas;
extern const struct api_row api__describe_cluster;
extern const struct api_row api__describe_configs;
extern const struct api_row api__describe_groups;
extern const struct api_row api__describe_log_dirs;
extern const struct api_row api__describe_producers;
extern const struct api_row api__describe_quorum;
extern const struct api_row api__describe_topic_partitions;
extern const struct api_row api__elect_leaders;
extern const struct api_row api__fetch;
extern const struct api_row api__find_coordinator;
extern const struct api_row api__heartbeat;
extern const struct api_row api__incremental_alter_configs;
extern const struct api_row api__init_producer_id;
extern const struct api_row api__join_group;
extern const struct api_row api__leave_group;
extern const struct api_row api__list_config_resources;
extern const struct api_row api__list_groups;
extern const struct api_row api__list_offsets;
extern const struct api_row api__list_partition_reassignments;
extern const struct api_row api__metadata;
extern const struct api_row api__offset_commit;
extern const struct api_row api__offset_delete;
extern const struct api_row api__offset_fetch;
extern const struct api_row api__offset_for_leader_epoch;
extern const struct api_row api__produce;
extern const struct api_row api__sync_group;
extern const struct api_row api__unregister_broker;
extern const struct api_row api__update_features;

/* ---- partitions.c */
struct partition_entry {
    struct hash_node in_partitions;
    struct partition *partition; // counted
    bool fault_is_known;         // it was offline when it was added, or has been told of
};
uint64_t broker__partition_hash(struct uuid topic_id, int32_t index);
void broker__partitions_init(struct broker *broker);
void broker__partitions_free(struct broker *broker);
void broker__partition_add(struct broker *broker, struct partition *partition); // takes the reference
/* Unlists; the caller gets the table's reference. NULL when it is not there. */
struct partition *broker__partition_remove(struct broker *broker, struct uuid topic_id, int32_t index);
struct partition *broker__partition_get(struct broker *broker, struct uuid topic_id, int32_t index); // counted, or NULL
/* Calls `each` for a snapshot of all partitions, each counted during its call. */
void broker__partitions_each(struct broker *broker, void (*each)(void *context, struct partition *p), void *context);
/* The log directory of a partition that went offline since the last call, mem_free'd by the caller; NULL when none did. */
char *broker__partitions_fault(struct broker *broker);
/* Takes all partitions of a log directory that has failed offline. */
void broker__partitions_offline(struct broker *broker, const char *log_dir);
/* Lets go of partitions that were retired. */
void broker__partition_uses_sweep(struct reactor *reactor);
void broker__partition_uses_free(struct reactor *reactor);
/* A partition of a topic of the image (NULL: there is none) that lies on this broker; KAFKA_NONE, or why there is no use:
 * UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER. */
int16_t request__partition(const struct request *request, const struct meta_topic *topic, int32_t index,
                           struct partition_use **ret_use);
/* The settings of a topic, as the image has them now. */
struct partition_config broker__partition_config(const struct broker *broker, const struct meta_image *image,
                                                 struct slice topic);

/* ---- checkpoints.c: the files that say how far each partition is sure */
enum checkpoint_kind {
    CHECKPOINT_RECOVERY, // recovery-point-offset-checkpoint
    CHECKPOINT_START,    // log-start-offset-checkpoint
    CHECKPOINT_VISIBLE,  // replication-offset-checkpoint: high watermarks
    CHECKPOINT_CLEANED,  // cleaner-offset-checkpoint: below it compaction has been
    CHECKPOINT_FLUSHED,  // ours: ottla-flushed-offset-checkpoint, by topic id
    CHECKPOINT_KINDS,
};
struct checkpoints *checkpoints__create(struct broker *broker);
void checkpoints__free(struct checkpoints *checkpoints);
/* Writes that file of every log directory where it would say something new; synced. The pool or the control thread. */
MUST_USE struct status checkpoints__write(struct checkpoints *checkpoints, enum checkpoint_kind kind);
/* What the files said at the start. -1: nothing. */
struct checkpoint_set {
    struct arena arena;
    struct checkpoint_entry *entries[CHECKPOINT_KINDS];
    int32_t counts[CHECKPOINT_KINDS];
};
MUST_USE struct status checkpoints__read(const char *log_dir, struct checkpoint_set *ret_set);
void checkpoints__set_free(struct checkpoint_set *set);
int64_t checkpoints__find(const struct checkpoint_set *set, enum checkpoint_kind kind, const char *topic,
                          struct uuid topic_id, int32_t partition);
/* After a clean stop the flushed mark has nothing to add, and Apache Kafka may run before we come back. */
MUST_USE struct status checkpoints__flushed_remove(const char *log_dir);

/* ---- opening.c: partitions get their place and their log */
struct openings; // a list of partitions to be opened together
struct openings *openings__create(struct broker *broker);
void openings__free(struct openings *openings);
/* A new partition in the directory with the fewest. */
void openings__add(struct openings *openings, const struct meta_image *image, const struct meta_topic *topic,
                   int32_t index);
/* Opens all, in the pool, and lists them in the broker's table. A partition that cannot be opened is listed as offline. */
void openings__run(struct openings *openings);
/* Since the last call a partition was put where the metadata does not say that it lies. */
bool openings__take_misplaced(struct broker *broker);
/* At start: all partitions of this node in the image, wherever their directories lie. */
MUST_USE struct status openings__run_all(struct broker *broker, const struct meta_image *image);

/* ---- apply.c: what a new image means for the partitions */
/* From one image to the next: opens, changes, retires, renames. The control thread; returns when all is done. */
void broker__apply(struct broker *broker, const struct meta_image *from, const struct meta_image *to);
/* Partitions get what their topics inherit from the file of settings. */
void broker__apply_settings(struct broker *broker, const struct meta_image *image);

/* ---- housekeeping.c: what is done now and then, for the control thread */
struct housekeeping;
struct housekeeping *housekeeping__create(struct broker *broker);
struct moves;
struct moves *housekeeping__moves(struct housekeeping *keeping);
void housekeeping__free(struct housekeeping *keeping);
/* Starts what is due; when to call again, monotonic ms. */
int64_t housekeeping__tick(struct housekeeping *keeping, int64_t now_ms);
/* A deleted partition's directory: its files go after delay_ms. Takes the path. */
void housekeeping__doom(struct housekeeping *keeping, char *directory, int64_t delay_ms);
/* Waits for what runs; nothing is started meanwhile. */
void housekeeping__finish(struct housekeeping *keeping);
void housekeeping__numbers(const struct housekeeping *keeping, struct broker_numbers *numbers); // any thread

/* ---- flusher.c */
struct flusher *flusher__start(struct broker *broker);
void flusher__stop(struct flusher *flusher);
struct io_loop *flusher__loop(struct flusher *flusher);
void flusher__numbers(struct flusher *flusher, struct broker_numbers *numbers);

/* ---- control.c: the control thread, the only one that changes metadata */
struct control *control__create(struct broker *broker);
/* Metadata log, registration, leader epochs; then partitions and the first image. */
MUST_USE struct status control__open(struct control *control);
void control__run(struct control *control);  // starts its thread
void control__stop(struct control *control); // ends its thread
/* What a clean stop writes into the metadata; ret: the broker epoch, for the marks. */
MUST_USE struct status control__close(struct control *control, int64_t *ret_broker_epoch);
void control__free(struct control *control);
struct io_loop *control__loop(struct control *control);
/* For the control thread's part of api files: commands go to the controller; a status that is not fine goes to
 * broker__fail, nothing else. */
struct ctrl *control__ctrl(struct control *control);
int16_t broker__level_in(struct broker *broker, const struct meta_image *image, const char *feature);
int64_t control__broker_epoch(const struct control *control);
struct housekeeping *control__housekeeping(struct control *control);
void control__unregistered(struct control *control); // this node is no broker of the cluster until its next start
/* What was commanded is flushed, applied and published. */
void control__commit(struct control *control);
MUST_USE struct status control__directory_lost(struct control *control, struct log_dir *dir);

/* ---- coordinator.c: the runtime of coordinator shards */
void coordinator__init(struct reactor *reactor);
/* The broker stops: whoever waits is answered, later calls are refused. On the reactor's own thread. */
void coordinator__stop(struct reactor *reactor);
void coordinator__free(struct reactor *reactor); // after all threads have ended
void coordinator__mail(struct reactor *reactor, struct io_mail *mail);
void coordinator__tick_end(struct reactor *reactor);
int64_t coordinator__next_deadline_ms(const struct reactor *reactor);
void coordinator__watch(struct reactor *reactor, struct partition_watch *watch); // something about its partition moved
/* The shard of a group (or transactional id), as Kafka computes it: the hash code of the text modulo the partitions. */
int32_t coordinator__shard_of(struct slice id, int32_t shard_count);

/* ---- reactor.c */
/* Takes the newest image now, before its mail comes. */
void reactor__image_refresh(struct reactor *reactor);

/* ---- local.c */
void local__start(struct reactor *reactor, struct local_call *call);
void local__tick_end(struct reactor *reactor); // answered calls go home
void local__drop(struct io_mail *mail);        // a call that came after its reactor had ended

/* ---- clients.c */
struct clients *clients__create(void);
void clients__free(struct clients *clients);
void clients__introduced(struct clients *clients, struct slice name, struct slice version, int64_t wall_ms);

/* ---- latency.c */
void latency__record(struct reactor *reactor, int16_t api_key, int64_t took_ns); // on the reactor's thread
void latency__free(struct reactor *reactor);

/* ---- wait.c */
void request__wake(struct partition_watch *watch);
