// SPDX-License-Identifier: Apache-2.0
/* broker/coordinator.h - the runtime of coordinators: shards that live in the partitions of an internal topic.
 *
 * A coordinator's state machine is pure (coord/). Here it gets what it lacks: a log to replay and to append to, a clock, a
 * thread, and calls that come from every reactor. Shard i stands for partition i of its kind's topic and belongs to
 * reactor i mod n; it is served while this broker leads that partition.
 */
#pragma once

#include "broker/broker__.h"
#include "coord/coord.h"

/* ---- calls: one request's part for one shard */
struct shard_call {
    struct io_mail mail; // to the shard's owner, and home again
    struct request *request;
    int32_t shard;
    uint8_t kind; // enum coordinator_kind
};

/* Sends the call from its request's reactor to the owner of its shard. It comes home exactly once, answered, and its
 * request is resumed; that may be before this returns. */
void coordinator__call(struct shard_call *call);
/* How many shards a kind has; 0 while its topic does not exist. Fixed at first sight of the topic, as Apache Kafka's is. */
int32_t coordinator__shard_count(struct broker *broker, const struct meta_image *image, enum coordinator_kind kind);

/* ---- kinds: what differs between the coordinators. `machine` is the state machine of one shard; functions as in coord.h. */
struct shard_kind {
    const char *topic;
    void *(*create)(const struct broker *broker, const struct partition_config *config);
    void (*free)(void *machine);
    void (*start)(void *machine, struct shard_call *call, struct coord_time time);
    void (*refuse)(struct shard_call *call, int16_t error); // no machine needed
    struct shard_call *(*take_done)(void *machine);
    bool (*take_records)(void *machine, const struct coord_record **ret_records, size_t *ret_count,
                         uint64_t *ret_token);
    void (*committed)(void *machine, uint64_t token, struct coord_time time);
    void (*fail)(void *machine, int16_t error);
    bool (*apply)(void *machine, struct slice key, struct slice value, int64_t timestamp_ms);
    void (*loaded)(void *machine, struct coord_time time);
    int64_t (*deadline_ms)(const void *machine);
    void (*tick)(void *machine, struct coord_time time);
    /* How its records are compressed (offsets.topic.compression.codec). */
    enum record_codec (*codec)(const struct broker *broker);
};

extern const struct shard_kind coordinator__groups; // coordinator_group.c

/* ---- replay (coordinator_load.c), piece by piece in the pool */
enum load_result {
    LOAD_MORE, // another piece is to be read
    LOAD_WAIT, // the rest is above the high watermark
    LOAD_DONE,
    LOAD_FAILED, // the log cannot be read or understood
};

struct load {
    struct io_job job;
    struct io_mail mail; // home after each piece
    struct io_loop *home;
    struct partition *partition;
    const struct shard_kind *kind;
    void *machine;
    int64_t offset, end_offset; // next to read; the end when the load began
    enum load_result result;    // of the last piece
    int64_t records;
    struct buffer piece;
    struct hash transactions; // open ones by producer id: their batches wait for the marker
};

void load__begin(struct load *load, struct io_loop *home, struct partition *partition, const struct shard_kind *kind,
                 void *machine);
void load__submit(struct load *load, struct io_pool *pool);
void load__end(struct load *load); // not while a piece is in the pool

/* ---- appending (coordinator_append.c) */
struct shard_append {
    struct list link; // the shard's, in order of tokens
    struct append append;
    struct record_builder builder;
    uint64_t token;
};

/* One batch on its way into the partition; NULL with `ret_error` when it cannot be. */
struct shard_append *shard_append__start(struct reactor *reactor, struct partition_use *use, int32_t leader_epoch,
                                         enum record_codec codec, const struct coord_record *records, size_t count,
                                         int16_t *ret_error);
/* KAFKA_NONE with `ret_committed` telling whether it is, or why it failed. Only once append.done. */
int16_t shard_append__outcome(const struct shard_append *append, const struct partition *partition,
                              bool *ret_committed);
void shard_append__free(struct shard_append *append);
