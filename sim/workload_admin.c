// SPDX-License-Identifier: Apache-2.0
/* sim/workload_admin.c - topics come and go: what was acknowledged is there afterwards, with its id and partitions, what was
 * deleted is not, and leader epochs only grow.
 */
#include "sim/workload__.h"

#include "wire/gen/alter_replica_log_dirs.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/delete_topics.h"
#include "wire/gen/metadata.h"

enum { CREATE_VERSION = 7, DELETE_VERSION = 5, METADATA_VERSION = 12, ALTER_DIRS_VERSION = 2, TOPICS_MAX = 12 };

/* Asked for and not answered: nobody knows. */
enum existence { NEVER_MADE, PERHAPS, THERE, GONE };

static struct topic {
    char name[16];
    enum existence existence;
    bool id_is_known;
    struct uuid id;
    int32_t partitions, leader_epoch;
} topics[TOPICS_MAX];
static int topic_count;

static struct topic *topic_named(struct slice name)
{
    for (int i = 0; i < topic_count; i++)
        if (slice_equal_str(name, topics[i].name))
            return &topics[i];
    return NULL;
}

static void same_id(struct topic *topic, struct uuid id)
{
    if (topic->id_is_known && !uuid_equal(topic->id, id))
        blame("a topic has another id now", topic - topics, 0);
    topic->id_is_known = true;
    topic->id = id;
}

/* ---- making and deleting */
static void create(struct link *link, struct topic *topic)
{
    struct create_topics_request_creatable_topic one = {
        .name = slice_str(topic->name), .num_partitions = topic->partitions, .replication_factor = 1};
    struct create_topics_request request = {.topics = &one, .topics_count = 1, .timeout_ms = REQUEST_TIMEOUT_MS};
    const void *reply;
    bool unknown = topic->existence == PERHAPS;
    topic->existence = PERHAPS;
    if (!link_call(link, API_CREATE_TOPICS, CREATE_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return;
    const struct create_topics_response *response = reply;
    int16_t error = response->topics_count == 1 ? response->topics[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    if (error == 0) {
        same_id(topic, response->topics[0].topic_id);
        topic->existence = THERE;
    } else if (error == KAFKA_TOPIC_ALREADY_EXISTS && unknown) {
        topic->existence = THERE;
    } else {
        workload__is_later(link, "a topic is not made", error);
        workload__pause(300);
    }
}

static void delete (struct link *link, struct topic *topic)
{
    struct slice name = slice_str(topic->name);
    struct delete_topics_request request = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = REQUEST_TIMEOUT_MS};
    const void *reply;
    topic->existence = PERHAPS;
    if (!link_call(link, API_DELETE_TOPICS, DELETE_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return;
    const struct delete_topics_response *response = reply;
    int16_t error = response->responses_count == 1 ? response->responses[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    if (error == 0)
        topic->existence = GONE;
    else if (!workload__is_later(link, "a topic is not deleted", error))
        return;
}

/* ---- moving: to where it may be already, or on its way */
static void move(struct link *link)
{
    bool is_internal = workload_draw(4) == 0;
    int32_t partition = is_internal ? 0 : (int32_t)workload_draw(WITNESS_PARTITIONS);
    struct alter_replica_log_dirs_request_alter_replica_log_dir_topic topic = {
        .name = slice_str(is_internal ? "__consumer_offsets" : MAIN_TOPIC),
        .partitions = &partition,
        .partitions_count = 1};
    struct alter_replica_log_dirs_request_alter_replica_log_dir dir = {
        .path = slice_str(workload_draw(2) ? "/data" : "/other"), .topics = &topic, .topics_count = 1};
    struct alter_replica_log_dirs_request request = {.dirs = &dir, .dirs_count = 1};
    const void *reply;
    if (!link_call(link, API_ALTER_REPLICA_LOG_DIRS, ALTER_DIRS_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return;
    const struct alter_replica_log_dirs_response *response = reply;
    bool is_answered = response->results_count == 1 && response->results[0].partitions_count == 1;
    int16_t error = is_answered ? response->results[0].partitions[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    if (error != 0 && !(is_internal && error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION))
        workload__is_later(link, "a partition does not move", error);
}

/* ---- looking */
static void compare(const struct metadata_response_metadata_response_topic *told)
{
    struct topic *topic = topic_named(told->name);
    if (told->is_internal)
        return;
    if (!topic || topic->existence == NEVER_MADE || topic->existence == GONE) {
        blame("a topic is there that should not be", told->name.size > 1 ? told->name.data[1] : 0, 0);
        return;
    }
    same_id(topic, told->topic_id);
    if (told->partitions_count != topic->partitions)
        blame("a topic has other partitions now", told->partitions_count, topic->partitions);
    for (int32_t i = 0; i < told->partitions_count; i++) {
        const struct metadata_response_metadata_response_partition *p = &told->partitions[i];
        if (p->partition_index != 0)
            continue;
        if (p->leader_epoch < topic->leader_epoch)
            blame("a leader epoch went back", p->leader_epoch, topic->leader_epoch);
        topic->leader_epoch = p->leader_epoch;
    }
}

static bool is_told(const struct metadata_response *response, const struct topic *topic)
{
    for (int32_t i = 0; i < response->topics_count; i++)
        if (response->topics[i].error_code != KAFKA_UNKNOWN_TOPIC_OR_PARTITION &&
            slice_equal_str(response->topics[i].name, topic->name))
            return true;
    return false;
}

/* False when there was no answer. */
static bool look(struct link *link)
{
    struct metadata_request request = {.topics_count = -1};
    const void *reply;
    if (!link_call(link, API_METADATA, METADATA_VERSION, &request, CALL_TIMEOUT_MS, &reply))
        return false;
    const struct metadata_response *response = reply;
    for (int32_t i = 0; i < response->topics_count; i++)
        compare(&response->topics[i]);
    for (int i = 0; i < topic_count; i++)
        if (topics[i].existence == THERE && !is_told(response, &topics[i]))
            blame("a topic is gone", i, response->topics_count);
    return true;
}

void workload__check_topics(struct link *link)
{
    while (!is_blamed())
        if (workload__open(link) && look(link))
            return;
}

static struct topic *topic_new(const char *name, int32_t partitions)
{
    struct topic *topic = &topics[topic_count++];
    *topic = (struct topic){.partitions = partitions, .leader_epoch = -1};
    snprintf(topic->name, sizeof topic->name, "%s", name);
    return topic;
}

static void one_step(struct link *link)
{
    struct topic *topic = &topics[workload_draw((uint64_t)topic_count)];
    char name[16];
    if (workload_draw(3) == 0 && topic_count < TOPICS_MAX) {
        snprintf(name, sizeof name, "x%d", topic_count);
        create(link, topic_new(name, 1 + (int32_t)workload_draw(3)));
    } else if (topic != &topics[0] && topic->existence == THERE && workload_draw(3) == 0) {
        delete (link, topic);
    } else if (workload.moves_are_asked && workload_draw(3)) {
        move(link);
    } else {
        look(link);
    }
}

void workload__administrate(void *context)
{
    struct link link;
    link_init(&link);
    memset(topics, 0, sizeof topics);
    topic_count = 0;
    struct topic *main_topic = topic_new(MAIN_TOPIC, WITNESS_PARTITIONS);
    while (!is_blamed() && main_topic->existence != THERE)
        if (workload__open(&link))
            create(&link, main_topic);
    workload.topic_is_there = true;
    while (!is_blamed() && !workload.finishing) {
        if (workload__open(&link))
            one_step(&link);
        workload__pause(400);
    }
    link_free(&link);
}
