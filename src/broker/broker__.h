// SPDX-License-Identifier: Apache-2.0
/* broker/broker__.h - inside of the broker floor: the instance, its loops, and what the api files share. */
#pragma once

#include "broker/broker.h"
#include "broker/fetch_session.h"

#include "ctrl/ctrl.h"
#include "wire/gen/errors.h"

#include <errno.h>

struct fetch_sessions;
struct flusher;
struct control;

/* What is left of this broker's block. The control thread's. */
struct producer_ids {
    int64_t next, end;
};

enum coordinator_kind { COORDINATOR_GROUPS, COORDINATOR_KINDS };

struct broker {
    struct broker_options options;
    struct reactor *reactors; // options.reactor_count of them
    struct io_pool *pool;
    struct replica_options replica;
    struct meta_image *image; // counted; newest published
    struct io_lock *image_lock, *partitions_lock;
    struct hash partitions; // struct partition_entry by topic id and index, under partitions_lock
    struct control *control;
    struct producer_ids producer_ids;
    struct flusher *flushers;
    struct fetch_sessions *sessions;
    uint16_t listener_ports[LISTENERS_MAX];
    _Atomic int32_t shard_counts[COORDINATOR_KINDS]; // 0 until the topic was seen
    _Atomic bool ready, stopping;
};

/* ---- listeners.c */
/* Where the client of this request finds that broker: the listener it came by; for this broker itself the address that the
 * client reached where none is advertised. False when the broker has no such listener. */
bool request__broker_address(const struct request *request, const struct meta_broker *broker, struct slice *ret_host,
                             int32_t *ret_port);
/* What anybody may do while there is no authorizer (KIP-430): bit n stands for operation n. */
enum { OPERATIONS_OF_TOPIC = 0xdf8, OPERATIONS_OF_GROUP = 0xd48, OPERATIONS_OF_CLUSTER = 0x1fa0 };

/* ---- request.c */
/* Writes the whole answer (the generated struct of the request's key) and completes. */
void request__reply(struct request *request, const void *response);

/* ---- dispatch.c */
/* NULL when the key is not served. */
const struct api_row *request__row(int16_t key);
/* All rows by key, API_KEY_COUNT of them, NULL where a key is not served. */
const struct api_row *const *request__rows(void);

/* ---- api_*.c: the row of each, for the table in dispatch.c */
extern const struct api_row api__api_versions;
extern const struct api_row api__describe_cluster;
extern const struct api_row api__fetch;
extern const struct api_row api__init_producer_id;
extern const struct api_row api__list_offsets;
extern const struct api_row api__produce;

/* ---- partitions.c */
struct partition_entry {
    struct hash_node in_partitions;
    struct partition *partition; // counted
};
void broker__partitions_init(struct broker *broker);
void broker__partitions_free(struct broker *broker);
void broker__partition_add(struct broker *broker, struct partition *partition); // takes the reference
/* Unlists; the caller gets the table's reference. NULL when it is not there. */
struct partition *broker__partition_remove(struct broker *broker, struct uuid topic_id, int32_t index);
struct partition *broker__partition_get(struct broker *broker, struct uuid topic_id, int32_t index); // counted, or NULL
/* Calls `each` for a snapshot of all partitions, each counted during its call. */
void broker__partitions_each(struct broker *broker, void (*each)(void *context, struct partition *p), void *context);
void broker__partition_uses_free(struct reactor *reactor);
/* A partition of a topic of the image (NULL: there is none) that lies on this broker; KAFKA_NONE, or why there is no use:
 * UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER. */
int16_t request__partition(const struct request *request, const struct meta_topic *topic, int32_t index,
                           struct partition_use **ret_use);
/* The settings of a topic, as the image has them now. */
struct partition_config broker__partition_config(const struct broker *broker, const struct meta_image *image,
                                                 struct slice topic);

/* ---- flusher.c */
struct flusher *flusher__start(struct broker *broker);
void flusher__stop(struct flusher *flusher);
struct io_loop *flusher__loop(struct flusher *flusher);
void flusher__numbers(struct flusher *flusher, struct broker_numbers *numbers);

/* ---- control.c: the control thread, the only one that changes metadata */
struct control *control__create(struct broker *broker);
MUST_USE struct status control__open(struct control *control);  // metadata, registration, partitions
void control__run(struct control *control);                     // starts its thread
void control__stop(struct control *control);                    // ends its thread
MUST_USE struct status control__close(struct control *control); // what a clean stop writes
void control__free(struct control *control);
struct io_loop *control__loop(struct control *control);
struct ctrl *control__ctrl(struct control *control); // for the control thread's part of api files

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

/* ---- wait.c */
void request__wake(struct partition_watch *watch);
