// SPDX-License-Identifier: Apache-2.0
/* fuzz/storage_fuzz.c - whatever bytes a partition's files and the plain files of a log directory hold, opening and reading
 * them end with an answer, and what recovery made of them opens again with the same offsets.
 *
 *   first byte below 128: a partition                         from 128 on: a plain file
 *   bytes  meaning                                            bytes  meaning
 *       1  flags: 1 stopped cleanly, 2 CRCs are mended,           1  which one, modulo their count
 *          4 the flushed offset is known                       rest  its content
 *       1  recovery point
 *       1  flushed offset
 *     2+n  each of the six files: size, bytes
 *
 * Mended CRCs let the fuzzer past the sum that it cannot guess. The files lie on the simulator's disk: nothing here touches
 * a real one.
 */
#include "io/io.h"
#include "io/sim.h"
#include "storage/storage.h"

enum { READS_MAX = 200, READ_BYTES_MAX = 700 };
enum { FLAG_CLEAN = 1, FLAG_MEND = 2, FLAG_FLUSHED = 4, PLAIN_FILE = 128 };

static const char *const PARTITION_FILES[] = {"00000000000000000000.log",       "00000000000000000000.index",
                                              "00000000000000000000.timeindex", "00000000000000000000.txnindex",
                                              "00000000000000000000.snapshot",  "leader-epoch-checkpoint"};
static const char *const ROOT = "/data", *const PARTITION = "/data/t-0";

static const struct log_config CONFIG = {.segment_bytes = 1 << 20,
                                         .segment_ms = 604800000,
                                         .segment_index_bytes = 4096,
                                         .index_interval_bytes = 100,
                                         .retention_ms = 1000,
                                         .retention_bytes = -1,
                                         .file_delete_delay_ms = 0,
                                         .delete_retention_ms = 86400000,
                                         .producer_id_expiration_ms = 86400000,
                                         .cleanup_delete = true};

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_lines(void *context, const char *line, size_t size)
{
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    log_sink_set(no_lines, NULL);
    return 0;
}

/* Success or failure: both are answers. */
static void answered(struct status s)
{
}

static void write_file(const char *directory, const char *name, struct slice content)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = io_open(path, IO_WRITE | IO_CREATE);
    assert(file >= 0);
    int64_t written = io_pwrite(file, content.data, content.size, 0);
    assert(written == (int64_t)content.size);
    io_close(file);
}

/* ---- plain files */
static void read_checkpoint(const char *path)
{
    struct arena arena CLEANUP(arena_free);
    struct checkpoint_entry *entries;
    int32_t count, again;
    arena_init(&arena, 4096, 1 << 24);
    if (!status_is_ok(checkpoint_read(path, &arena, &entries, &count)))
        return;
    assert(count >= 0);
    struct status written = checkpoint_write("/data/again", entries, count);
    assert(status_is_ok(written));
    struct status read = checkpoint_read("/data/again", &arena, &entries, &again);
    assert(status_is_ok(read) && again == count);
}

static void read_plain_file(uint8_t which, struct slice content)
{
    static const char *const NAMES[] = {"recovery-point-offset-checkpoint", "meta.properties", "partition.metadata",
                                        ".kafka_cleanshutdown"};
    struct dir_properties properties;
    struct uuid topic_id;
    int64_t epoch;
    bool exists;
    which %= COUNT_OF(NAMES);
    write_file(ROOT, NAMES[which], content);
    switch (which) {
    case 0:
        read_checkpoint("/data/recovery-point-offset-checkpoint");
        break;
    case 1:
        answered(dir_properties_read(ROOT, &properties, &exists));
        break;
    case 2:
        answered(dir_partition_topic_id(ROOT, &topic_id, &exists));
        break;
    default:
        answered(dir_clean_mark_take(ROOT, &epoch, &exists));
    }
}

/* ---- partitions */
static void put_be32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void mend_sums(uint8_t *bytes, size_t size)
{
    struct slice rest = slice_of(bytes, size), batch;
    while (record_batch_next(&rest, &batch)) {
        uint8_t *head = bytes + (batch.data - bytes);
        if (batch.size < RECORD_BATCH_HEAD_BYTES)
            return;
        put_be32(head + RECORD_BATCH_CRC_AT,
                 crc32c(head + RECORD_BATCH_ATTRIBUTES_AT, batch.size - RECORD_BATCH_ATTRIBUTES_AT));
    }
}

static void write_partition(struct slice rest, bool mend)
{
    int made = io_mkdir(PARTITION);
    assert(made == 0);
    for (size_t i = 0; i < COUNT_OF(PARTITION_FILES) && rest.size >= 2; i++) {
        size_t size = (size_t)(rest.data[0] << 8 | rest.data[1]);
        size = size < rest.size - 2 ? size : rest.size - 2;
        uint8_t *copy = mem_alloc(size + 1);
        memcpy(copy, rest.data + 2, size);
        if (mend && i == 0)
            mend_sums(copy, size);
        if (size > 0 || i == 0)
            write_file(PARTITION, PARTITION_FILES[i], slice_of(copy, size));
        mem_free(copy);
        rest = slice_of(rest.data + 2 + size, rest.size - 2 - size);
    }
}

static void walk_slice(const struct log_slice *slice)
{
    uint8_t *bytes = mem_alloc(slice->size_bytes + 1);
    int64_t got = io_pread(slice->file, bytes, slice->size_bytes, slice->position);
    struct slice rest = slice_of(bytes, got > 0 ? (size_t)got : 0), batch;
    while (record_batch_next(&rest, &batch)) {
        struct record_walk walk;
        struct record record;
        record_walk_begin(&walk, batch);
        while (record_walk_next(&walk, &record))
            ;
        record_walk_end(&walk);
    }
    mem_free(bytes);
}

static void read_log(struct log *log)
{
    int64_t offset = log_start_offset(log), found, found_ms;
    int32_t epoch, count;
    struct arena arena CLEANUP(arena_free);
    struct log_aborted *aborted;
    for (int i = 0; i < READS_MAX && offset < log_end_offset(log); i++) {
        struct log_slice slice;
        if (log_read(log, offset, log_end_offset(log), READ_BYTES_MAX, true, &slice) != LOG_READ_OK || !slice.segment)
            break;
        assert(slice.next_offset > offset && slice.next_offset <= log_end_offset(log));
        walk_slice(&slice);
        offset = slice.next_offset;
        log_slice_release(&slice);
    }
    answered(log_find_by_time(log, 1700000000000, log_end_offset(log), &found, &found_ms, &epoch));
    answered(log_find_max_timestamp(log, log_end_offset(log), &found, &found_ms, &epoch));
    arena_init(&arena, 4096, 1 << 24);
    answered(log_aborted_transactions(log, log_start_offset(log), log_end_offset(log), &arena, &aborted, &count));
    log_epoch_end(log, 1, &epoch, &found);
}

/* What one start checked and mended, the next one finds. After a clean stop nothing is checked. */
static void open_again(struct log_open_options options, struct log *log)
{
    int64_t start = log_start_offset(log), end = log_end_offset(log);
    struct status closed = log_close_clean(log);
    log_free(log);
    if (!status_is_ok(closed))
        return;
    options.clean_stop = true;
    options.recovery_point = end;
    struct status opened = log_open(&options, &log);
    if (!status_is_ok(opened))
        fprintf(stderr, "opened before, and now: %s\n", opened.what);
    assert(status_is_ok(opened));
    if (log_start_offset(log) != start || log_end_offset(log) != end)
        fprintf(stderr, "[%lld, %lld) before, and now [%lld, %lld)\n", (long long)start, (long long)end,
                (long long)log_start_offset(log), (long long)log_end_offset(log));
    assert(log_start_offset(log) == start && log_end_offset(log) == end);
    answered(log_retain(log, end, options.now_ms));
    log_free(log);
}

static void open_partition(const uint8_t *head, struct slice files)
{
    write_partition(files, head[0] & FLAG_MEND);
    struct log_open_options options = {.directory = PARTITION,
                                       .config = &CONFIG,
                                       .clean_stop = head[0] & FLAG_CLEAN,
                                       .recovery_point = head[1],
                                       .flushed_offset = head[0] & FLAG_FLUSHED ? head[2] : -1,
                                       .now_ms = 1767225600000};
    struct log *log;
    if (!status_is_ok(log_open(&options, &log)))
        return;
    assert(log_start_offset(log) >= 0 && log_start_offset(log) <= log_end_offset(log));
    assert(log_flushed_offset(log) <= log_end_offset(log));
    read_log(log);
    if (options.clean_stop)
        log_free(log);
    else
        open_again(options, log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return -1;
    struct sim_world *world = sim_world_create(1, NULL);
    int made = io_mkdir(ROOT);
    assert(made == 0);
    if (data[0] >= PLAIN_FILE)
        read_plain_file((uint8_t)(data[0] - PLAIN_FILE), slice_of(data + 1, size - 1));
    else
        open_partition(data, slice_of(data + 3, size - 3));
    sim_world_destroy(world);
    return 0;
}
