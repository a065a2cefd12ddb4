// SPDX-License-Identifier: Apache-2.0
/* fuzz/directory_fuzz.c - a whole broker started on a data directory some of whose files hold anything.
 *
 *   bytes  meaning
 *       1  flags: 1 killed and not stopped cleanly, 2 CRCs of batches are mended
 *   then, again and again
 *       1  which file of FILES, modulo their count
 *       1  what happens to it, modulo 4: 0 it holds the bytes, 1 they are written over it, 2 it is cut, 3 it is gone
 *       2  where; 1 and 2, modulo its size
 *     2+n  size, bytes; 0 and 1
 *
 * The directory is one that a broker left: a topic with records, a group with offsets, a snapshot of the metadata. The start
 * is refused, or the broker answers, stops, and starts again from what it left.
 */
#include "io/io.h"
#include "io/sim.h"
#include "main/main.h"
#include "sim/client.h"
#include "sim/witness.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/fetch.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/metadata.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"
#include "wire/gen/produce.h"

enum { PORT = 9092, TIMEOUT_MS = 60000, FILES_MAX = 64, FILE_BYTES_MAX = 1 << 16, TRIES = 200 };
enum { FLAG_KILLED = 1, FLAG_MEND = 2 };
enum { DO_REPLACE, DO_OVERWRITE, DO_CUT, DO_REMOVE, DO_KINDS };

static const char *const FOLDERS[] = {"/data", "/data/t-0", "/data/__consumer_offsets-0", "/data/__cluster_metadata-0"};
static const char *const FILES[] = {"/data/meta.properties",
                                    "/data/bootstrap.checkpoint",
                                    "/data/__cluster_metadata-0/quorum-state",
                                    "/data/__cluster_metadata-0/00000000000000000000.log",
                                    "/data/__cluster_metadata-0/00000000000000000000.index",
                                    "/data/__cluster_metadata-0/00000000000000000000.timeindex",
                                    "/data/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint",
                                    "/data/__cluster_metadata-0/leader-epoch-checkpoint",
                                    "/data/__cluster_metadata-0/partition.metadata",
                                    "/data/.kafka_cleanshutdown",
                                    "/data/recovery-point-offset-checkpoint",
                                    "/data/log-start-offset-checkpoint",
                                    "/data/replication-offset-checkpoint",
                                    "/data/cleaner-offset-checkpoint",
                                    "/data/ottla-flushed-offset-checkpoint",
                                    "/data/t-0/partition.metadata",
                                    "/data/t-0/leader-epoch-checkpoint",
                                    "/data/t-0/00000000000000000000.log",
                                    "/data/t-0/00000000000000000000.log.swap",
                                    "/data/t-0/00000000000000000000.index",
                                    "/data/t-0/00000000000000000000.timeindex",
                                    "/data/t-0/00000000000000000000.txnindex",
                                    "/data/t-0/00000000000000000002.snapshot",
                                    "/data/t-0/00000000000000000002.log",
                                    "/data/__consumer_offsets-0/partition.metadata",
                                    "/data/__consumer_offsets-0/leader-epoch-checkpoint",
                                    "/data/__consumer_offsets-0/00000000000000000000.log",
                                    "/data/__consumer_offsets-0/00000000000000000000.index"};

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct file {
    char path[128];
    struct buffer content;
};

static struct {
    struct sim_world *world;
    struct serve_options options;
    void (*clients)(struct link *link);
    bool has_started, has_stopped;
    struct file left[FILES_MAX]; // of the directory as a broker left it
    int left_count;
} run;

static void no_lines(void *context, const char *line, size_t size)
{
}

/* ---- files */
static void file_read(const char *path, struct buffer *ret_content)
{
    int file = io_open(path, IO_READ);
    if (file < 0)
        return;
    buffer_reserve(ret_content, FILE_BYTES_MAX);
    int64_t got = io_pread(file, ret_content->data, FILE_BYTES_MAX, 0);
    assert(got >= 0);
    ret_content->size = (size_t)got;
    io_close(file);
}

static void file_write(const char *path, struct slice content)
{
    int file = io_open(path, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    assert(file >= 0);
    int64_t written = io_pwrite(file, content.data, content.size, 0);
    assert(written == (int64_t)content.size);
    io_close(file);
}

static void keep_file(void *context, const char *name)
{
    struct file *kept = &run.left[run.left_count];
    struct io_stat stat;
    snprintf(kept->path, sizeof kept->path, "%s/%s", (const char *)context, name);
    int error = io_stat(kept->path, &stat);
    assert(error == 0 && run.left_count < FILES_MAX);
    if (stat.is_directory)
        return;
    file_read(kept->path, &kept->content);
    run.left_count++;
}

static void directory_keep(void)
{
    for (size_t i = 0; i < COUNT_OF(FOLDERS); i++) {
        int error = io_list_dir(FOLDERS[i], keep_file, (void *)(uintptr_t)FOLDERS[i]);
        assert(error == 0);
    }
}

static void directory_make(void)
{
    for (size_t i = 0; i < COUNT_OF(FOLDERS); i++)
        io_mkdir(FOLDERS[i]);
    for (int i = 0; i < run.left_count; i++)
        file_write(run.left[i].path, slice_of(run.left[i].content.data, run.left[i].content.size));
}

/* ---- damage */
static void put_be32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void mend_sums(struct buffer *content)
{
    struct slice rest = slice_of(content->data, content->size), batch;
    while (record_batch_next(&rest, &batch) && batch.size >= RECORD_BATCH_HEAD_BYTES)
        put_be32(content->data + (batch.data - content->data) + RECORD_BATCH_CRC_AT,
                 crc32c(batch.data + RECORD_BATCH_ATTRIBUTES_AT, batch.size - RECORD_BATCH_ATTRIBUTES_AT));
}

static void overwrite(struct buffer *content, size_t at, struct slice bytes)
{
    size_t end = at + bytes.size;
    buffer_reserve(content, end > content->size ? end - content->size : 0);
    if (bytes.size > 0)
        memcpy(content->data + at, bytes.data, bytes.size);
    content->size = end > content->size ? end : content->size;
}

static void file_damage(const char *path, int how, size_t where, struct slice bytes, bool mend)
{
    struct buffer content CLEANUP(buffer_free) = {0};
    if (how != DO_REPLACE)
        file_read(path, &content);
    where %= content.size + 1;
    io_unlink(path); // may not be there
    if (how == DO_REMOVE)
        return;
    if (how == DO_CUT)
        content.size = where;
    else
        overwrite(&content, where, bytes);
    if (mend && (strstr(path, ".log") || strstr(path, ".checkpoint")))
        mend_sums(&content);
    file_write(path, slice_of(content.data, content.size));
}

static void directory_damage(struct slice rest, uint8_t flags)
{
    if (flags & FLAG_KILLED) {
        io_unlink("/data/.kafka_cleanshutdown");
        io_unlink("/data/recovery-point-offset-checkpoint");
    }
    while (rest.size >= 4) {
        const uint8_t *head = rest.data;
        int how = head[1] % DO_KINDS;
        size_t size = 0;
        rest = slice_of(rest.data + 4, rest.size - 4);
        if (how <= DO_OVERWRITE && rest.size >= 2) {
            size = (size_t)(rest.data[0] << 8 | rest.data[1]);
            rest = slice_of(rest.data + 2, rest.size - 2);
            size = size < rest.size ? size : rest.size;
        }
        file_damage(FILES[head[0] % COUNT_OF(FILES)], how, (size_t)(head[2] << 8 | head[3]), slice_of(rest.data, size),
                    flags & FLAG_MEND);
        rest = slice_of(rest.data + size, rest.size - size);
    }
}

/* ---- clients */
static const void *call(struct link *link, int16_t key, int16_t version, const void *request)
{
    const void *reply;
    for (int tries = 0; tries < TRIES && !run.has_stopped; tries++) {
        if (!link_is_open(link) && !link_open(link, PORT, TIMEOUT_MS))
            sim_sleep_ns(10000000);
        else if (link_call(link, key, version, request, TIMEOUT_MS, &reply))
            return reply;
    }
    if (run.has_started)
        blame("no answer", key, version);
    return NULL;
}

static void produce(struct link *link, const char *value)
{
    struct record_builder builder = {0};
    struct produce_request request;
    struct produce_request_topic_produce_data topic;
    struct produce_request_partition_produce_data part;
    produce_request_init(&request);
    produce_request_topic_produce_data_init(&topic);
    produce_request_partition_produce_data_init(&part);
    record_builder_begin(&builder);
    record_builder_add(&builder, 1700000000000, slice_str("key"), slice_str(value));
    part.records = record_builder_finish(&builder, 0, -1, -1, -1);
    topic.name = slice_str("t");
    topic.partition_data = &part;
    topic.partition_data_count = 1;
    request.acks = -1;
    request.timeout_ms = TIMEOUT_MS;
    request.topic_data = &topic;
    request.topic_data_count = 1;
    call(link, API_PRODUCE, 7, &request);
    record_builder_free(&builder);
}

/* Until the coordinator has its partition. */
static void commit(struct link *link)
{
    struct offset_commit_request request;
    struct offset_commit_request_offset_commit_request_topic topic;
    struct offset_commit_request_offset_commit_request_partition part;
    offset_commit_request_init(&request);
    offset_commit_request_offset_commit_request_topic_init(&topic);
    offset_commit_request_offset_commit_request_partition_init(&part);
    part.committed_offset = 1;
    topic.name = slice_str("t");
    topic.partitions = &part;
    topic.partitions_count = 1;
    request.group_id = slice_str("g");
    request.topics = &topic;
    request.topics_count = 1;
    for (int tries = 0; tries < TRIES; tries++) {
        const struct offset_commit_response *reply = call(link, API_OFFSET_COMMIT, 6, &request);
        if (!reply || reply->topics[0].partitions[0].error_code == 0)
            return;
        sim_sleep_ns(10000000);
    }
}

static void fill(struct link *link)
{
    struct create_topics_request create;
    struct create_topics_request_creatable_topic topic;
    struct find_coordinator_request find;
    create_topics_request_init(&create);
    create_topics_request_creatable_topic_init(&topic);
    find_coordinator_request_init(&find);
    topic.name = slice_str("t");
    topic.num_partitions = topic.replication_factor = 1;
    create.topics = &topic;
    create.topics_count = 1;
    create.timeout_ms = TIMEOUT_MS;
    find.key = slice_str("g");
    call(link, API_CREATE_TOPICS, 4, &create);
    produce(link, "one");
    produce(link, "two");
    call(link, API_FIND_COORDINATOR, 2, &find); // makes the offsets' topic
    commit(link);
}

static void fetch(struct link *link)
{
    struct fetch_request request;
    struct fetch_request_fetch_topic topic;
    struct fetch_request_fetch_partition part;
    fetch_request_init(&request);
    fetch_request_fetch_topic_init(&topic);
    fetch_request_fetch_partition_init(&part);
    part.partition_max_bytes = request.max_bytes = 1 << 16;
    topic.topic = slice_str("t");
    topic.partitions = &part;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.session_epoch = -1;
    call(link, API_FETCH, 11, &request);
}

/* Everything that was there is asked for; errors are answers too. */
static void look(struct link *link)
{
    struct metadata_request metadata;
    struct offset_fetch_request offsets;
    metadata_request_init(&metadata);
    offset_fetch_request_init(&offsets);
    metadata.topics_count = -1;
    offsets.group_id = slice_str("g");
    offsets.topics_count = -1;
    call(link, API_METADATA, 8, &metadata);
    fetch(link);
    call(link, API_OFFSET_FETCH, 5, &offsets);
    produce(link, "more");
}

/* ---- the machine */
static void client_main(void *context)
{
    struct link link;
    link_init(&link);
    run.clients(&link);
    link_free(&link);
}

static void broker_main(void *context)
{
    struct ottla *ottla;
    struct status s = ottla_start(&run.options, &ottla);
    run.has_started = status_is_ok(s);
    if (!run.has_started) {
        run.has_stopped = true;
        return;
    }
    while (!sim_clients_are_done(run.world) && !broker_has_failed(ottla_broker(ottla)))
        sim_sleep_ns(2000000);
    run.has_started = false; // clients that are not answered any more have their reason
    s = ottla_stop(ottla);
    run.has_stopped = true;
    run.has_started = status_is_ok(s);
}

/* True: it started, and stopped cleanly. */
static bool live(void (*clients)(struct link *link))
{
    run.clients = clients;
    run.has_started = run.has_stopped = false;
    sim_client(run.world, "client", client_main, NULL);
    enum sim_end end = sim_run(run.world, broker_main, NULL, 3600000000000);
    if (end == SIM_DONE && !sim_clients_are_done(run.world)) // it is gone: the client gives up
        end = sim_run(run.world, NULL, NULL, 3600000000000);
    if (end != SIM_DONE)
        blame("the broker or its client does not end", (int64_t)end, 0);
    return run.has_started;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    static const char *const SETS[] = {"ottla.reactors=1", "offsets.topic.replication.factor=1",
                                       "offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0"};
    log_sink_set(no_lines, NULL);
    run.world = sim_world_create(1, NULL);
    struct status s = serve_options_make(NULL, "/data", "127.0.0.1:9092", "off", SETS, COUNT_OF(SETS), &run.options);
    assert(status_is_ok(s));
    bool is_left = live(fill);
    assert(is_left && !is_blamed());
    directory_keep();
    sim_world_destroy(run.world);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return -1;
    witness_reset();
    run.world = sim_world_create(1, NULL);
    directory_make();
    directory_damage(slice_of(data + 1, size - 1), data[0]);
    if (live(look) && !live(look))
        blame("what it stopped cleanly it does not open", 0, 0);
    sim_world_destroy(run.world);
    if (is_blamed())
        fprintf(stderr, "%s\n", blame_text());
    assert(!is_blamed());
    return 0;
}
