// SPDX-License-Identifier: Apache-2.0
/* storage/datadir_test.c - directories that Apache Kafka 4.3.1 wrote: read as Kafka reads them, and left as Kafka leaves
 * them, byte for byte; the archives and Kafka's own listings lie under test/kafka/datadirs.
 */
#include "storage/storage_test.h"

#include <jansson.h>
#include <zlib.h>

enum { TAR_BLOCK = 512, PATH_MAX_BYTES = 512 };

/* ---- unpacking: a tar of plain files and directories */
static void piece_unpack(gzFile archive, int file, int64_t position, int64_t size)
{
    for (int64_t at = 0; at < size; at += TAR_BLOCK) {
        uint8_t block[TAR_BLOCK];
        assert_int_equal(gzread(archive, block, TAR_BLOCK), TAR_BLOCK);
        size_t take = (size_t)min_i64(TAR_BLOCK, size - at);
        assert_int_equal(io_pwrite(file, block, take, position + at), take);
    }
}

/* GNU's sparse entries: up to four pieces in the header (Kafka preallocates indexes). */
static void sparse_unpack(gzFile archive, int file, const char *header)
{
    enum { MAP_AT = 386, MAP_ENTRIES = 4, MORE_AT = 482, SIZE_AT = 483 };
    assert_int_equal(header[MORE_AT], 0);
    for (int i = 0; i < MAP_ENTRIES; i++) {
        int64_t position = strtoll(header + MAP_AT + i * 24, NULL, 8),
                size = strtoll(header + MAP_AT + i * 24 + 12, NULL, 8);
        piece_unpack(archive, file, position, size);
    }
    assert_int_equal(io_truncate(file, strtoll(header + SIZE_AT, NULL, 8)), 0);
}

static void entry_unpack(gzFile archive, const char *path, const char *header)
{
    char type = header[156];
    assert_true(type == '0' || type == '5' || type == 'S');
    if (type == '5') {
        io_mkdir(path);
        return;
    }
    int file = io_open(path, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    assert_true(file >= 0);
    if (type == 'S')
        sparse_unpack(archive, file, header);
    else
        piece_unpack(archive, file, 0, strtoll(header + 124, NULL, 8));
    io_close(file);
}

static void source_path(char ret_path[PATH_MAX_BYTES], const char *name)
{
    const char *root = getenv("OTTLA_SOURCE_ROOT");
    snprintf(ret_path, PATH_MAX_BYTES, "%s/test/kafka/datadirs/%s", root ? root : ".", name);
}

static void unpack(const struct story *story, const char *name)
{
    char path[PATH_MAX_BYTES], header[TAR_BLOCK];
    source_path(path, name);
    gzFile archive = gzopen(path, "rb");
    assert_non_null(archive);
    while (gzread(archive, header, TAR_BLOCK) == TAR_BLOCK && header[0] != '\0') {
        snprintf(path, sizeof path, "%s/%.100s", story->directory, header);
        size_t end = strlen(path);
        if (path[end - 1] == '/')
            path[end - 1] = '\0';
        entry_unpack(archive, path, header);
    }
    gzclose(archive);
}

/* ---- what Kafka says */
static json_t *state_of(const char *archive)
{
    char name[64], path[PATH_MAX_BYTES];
    snprintf(name, sizeof name, "%s/state.json", archive);
    source_path(path, name);
    json_t *state = json_load_file(path, 0, NULL);
    assert_non_null(state);
    return state;
}

static int64_t number_at(json_t *object, const char *key, const char *inner)
{
    json_t *value = json_object_get(object, key);
    return json_integer_value(inner ? json_object_get(value, inner) : value);
}

struct expected_partition {
    char topic[64];
    int32_t index;
    int64_t earliest, latest, stable, max_timestamp_offset;
};

typedef void partition_fn(struct story *story, const struct expected_partition *expected);

static void each_partition(struct story *story, const char *archive, partition_fn *each)
{
    json_t *state = state_of(archive), *topic;
    const char *name;
    json_object_foreach(json_object_get(state, "topics"), name, topic)
    {
        size_t i;
        json_t *partition;
        json_array_foreach(json_object_get(topic, "partitions"), i, partition)
        {
            struct expected_partition expected = {
                .index = (int32_t)number_at(partition, "p", NULL),
                .earliest = number_at(partition, "earliest", "offset"),
                .latest = number_at(partition, "latest", "offset"),
                .stable = number_at(partition, "last_stable_offset", NULL),
                .max_timestamp_offset = number_at(partition, "max_timestamp", "offset"),
            };
            const char *interval =
                json_string_value(json_object_get(json_object_get(topic, "configs"), "index.interval.bytes"));
            story->config.index_interval_bytes = interval ? strtoll(interval, NULL, 10) : 4096;
            snprintf(expected.topic, sizeof expected.topic, "%s", name);
            snprintf(story->log_directory, sizeof story->log_directory, "%s/data/%s-%d", story->directory, name,
                     (int)expected.index);
            struct io_stat there;
            assert_int_equal(io_stat(story->log_directory, &there), 0);
            if (there.exists)
                each(story, &expected);
        }
    }
    json_decref(state);
}

static struct log *open_as_kafka_left_it(struct story *story, const struct expected_partition *expected)
{
    story->options.start_offset = expected->earliest; // what log-start-offset-checkpoint says
    story->config.producer_id_expiration_ms = INT64_MAX;
    struct log *log = NULL;
    assert_ok(log_open(&story->options, &log));
    return log;
}

/* ---- records, one a line: p, o, ts, ... */
struct listing {
    json_t *lines;
    size_t at;
    int32_t partition;
};

static json_t *next_line(struct listing *listing)
{
    while (listing->at < json_array_size(listing->lines)) {
        json_t *line = json_array_get(listing->lines, listing->at++);
        if (number_at(line, "p", NULL) == listing->partition)
            return line;
    }
    return NULL;
}

static json_t *lines_of(const char *archive, const char *topic)
{
    char name[128], path[PATH_MAX_BYTES];
    snprintf(name, sizeof name, "%s/records/%s.jsonl", archive, topic);
    source_path(path, name);
    gzFile file = gzopen(path, "rb"); // plain files too
    json_t *lines = json_array();
    static char line[1 << 20];
    while (file && gzgets(file, line, sizeof line))
        json_array_append_new(lines, json_loads(line, 0, NULL));
    if (file)
        gzclose(file);
    return lines;
}

static void batch_compare(struct slice batch, int64_t from, struct listing *listing)
{
    if (record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CONTROL)
        return;
    struct record_walk walk;
    struct record record;
    record_walk_begin(&walk, batch);
    while (record_walk_next(&walk, &record)) {
        if (record.offset < from)
            continue;
        json_t *line = next_line(listing), *key = json_object_get(line, "k");
        assert_non_null(line);
        assert_int_equal(record.offset, number_at(line, "o", NULL));
        if (!(record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_APPEND_TIME))
            assert_int_equal(record.timestamp_ms, number_at(line, "ts", NULL));
        if (json_is_string(key))
            assert_true(slice_equal_str(record.key, json_string_value(key)));
    }
    assert_false(walk.failed);
    record_walk_end(&walk);
}

static void records_compare(struct log *log, const char *archive, const struct expected_partition *expected)
{
    struct listing listing = {.lines = lines_of(archive, expected->topic), .partition = expected->index};
    for (int64_t offset = log_start_offset(log); offset < log_end_offset(log);) {
        struct log_slice slice;
        assert_int_equal(log_read(log, offset, log_end_offset(log), 4096, true, &slice), LOG_READ_OK);
        if (!slice.segment)
            break; // compaction took the last ones
        uint8_t *bytes = mem_alloc(slice.size_bytes);
        assert_int_equal(io_pread(slice.file, bytes, slice.size_bytes, slice.position), slice.size_bytes);
        struct slice rest = slice_of(bytes, slice.size_bytes), batch;
        while (record_batch_next(&rest, &batch))
            batch_compare(batch, offset, &listing);
        assert_int_equal(rest.size, 0);
        mem_free(bytes);
        offset = slice.next_offset;
        log_slice_release(&slice);
    }
    assert_null(next_line(&listing));
    json_decref(listing.lines);
}

static void offsets_compare(struct log *log, const struct expected_partition *expected)
{
    assert_int_equal(log_start_offset(log), expected->earliest);
    assert_int_equal(log_end_offset(log), expected->latest);
    assert_int_equal(log_last_stable_offset(log, log_end_offset(log)), expected->stable);
    int64_t offset, timestamp_ms;
    int32_t epoch;
    assert_ok(log_find_max_timestamp(log, log_end_offset(log), &offset, &timestamp_ms, &epoch));
    assert_int_equal(offset, expected->max_timestamp_offset);
}

static void read_clean(struct story *story, const struct expected_partition *expected)
{
    struct log *log = open_as_kafka_left_it(story, expected);
    if (expected->topic[0] != '_') { // those went on between the listing and the stop
        offsets_compare(log, expected);
        records_compare(log, "clean", expected);
    }
    log_free(log);
}

static void what_kafka_stopped_cleanly_is_read_as_kafka_reads_it(void **state)
{
    struct story *story = *state;
    unpack(story, "clean.tar.gz");
    story->options.clean_stop = true;
    each_partition(story, "clean", read_clean);
}

static void the_same_is_read_when_everything_is_recovered(void **state)
{
    struct story *story = *state;
    unpack(story, "clean.tar.gz");
    each_partition(story, "clean", read_clean);
}

static void read_killed(struct story *story, const struct expected_partition *expected)
{
    bool is_internal = expected->topic[0] == '_'; // those went on after the archive was made
    struct log *log = open_as_kafka_left_it(story, expected);
    if (!is_internal)
        records_compare(log, "killed", expected);
    if (!is_internal && log_end_offset(log) == expected->latest)
        offsets_compare(log, expected);
    assert_ok(log_close_clean(log));
    log_free(log);
}

static void what_kafka_left_when_killed_is_recovered(void **state)
{
    struct story *story = *state;
    unpack(story, "killed.tar.gz");
    each_partition(story, "killed", read_killed);
}

/* ---- byte for byte: the files of a partition, in one sum each */
struct files {
    const char *directory;
    struct {
        char name[64];
        int64_t size;
        uint32_t crc;
    } all[256];
    int count;
};

static bool has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name), more = strlen(suffix);
    return size >= more && strcmp(name + size - more, suffix) == 0;
}

static void file_sum(void *context, const char *name)
{
    struct files *files = context;
    char path[PATH_MAX_BYTES];
    static uint8_t bytes[1 << 20];
    if (has_suffix(name, ".deleted")) // removed at opening
        return;
    snprintf(path, sizeof path, "%s/%s", files->directory, name);
    int file = io_open(path, IO_READ);
    assert_true(file >= 0 && files->count < (int)COUNT_OF(files->all));
    int64_t size = io_pread(file, bytes, sizeof bytes, 0);
    io_close(file);
    snprintf(files->all[files->count].name, sizeof files->all[0].name, "%s", name);
    files->all[files->count].size = size;
    files->all[files->count++].crc = crc32c(bytes, (size_t)size);
}

static void files_compare(const struct files *before, const struct files *after, const char *directory)
{
    for (int i = 0; i < before->count; i++) {
        int same = 0;
        for (int k = 0; k < after->count; k++)
            same += strcmp(before->all[i].name, after->all[k].name) == 0 && before->all[i].size == after->all[k].size &&
                    before->all[i].crc == after->all[k].crc;
        if (same != 1)
            fail_msg("%s/%s is not as Kafka wrote it", directory, before->all[i].name);
    }
    assert_int_equal(before->count, after->count);
}

static void stop_and_compare(struct story *story, const struct expected_partition *expected)
{
    struct files before = {.directory = story->log_directory}, after = before;
    assert_int_equal(io_list_dir(story->log_directory, file_sum, &before), 0);
    struct log *log = open_as_kafka_left_it(story, expected);
    assert_ok(log_close_clean(log));
    log_free(log);
    assert_int_equal(io_list_dir(story->log_directory, file_sum, &after), 0);
    files_compare(&before, &after, story->log_directory);
}

static void opening_and_stopping_changes_no_file_of_kafka(void **state)
{
    struct story *story = *state;
    unpack(story, "clean.tar.gz");
    story->options.clean_stop = true;
    each_partition(story, "clean", stop_and_compare);
}

static void remove_index(void *context, const char *name)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    if (has_suffix(name, ".index") || has_suffix(name, ".timeindex") || has_suffix(name, ".txnindex"))
        io_unlink(path);
}

static void forget_file(struct files *files, const char *suffix)
{
    for (int i = 0; i < files->count; i++)
        if (has_suffix(files->all[i].name, suffix))
            files->all[i--] = files->all[--files->count];
}

static void rebuild_and_compare(struct story *story, const struct expected_partition *expected)
{
    if (strcmp(expected->topic, "compact") == 0)
        return; // the cleaner's indexes are not those of an append
    struct files before = {.directory = story->log_directory}, after = before;
    assert_int_equal(io_list_dir(story->log_directory, file_sum, &before), 0);
    assert_int_equal(io_list_dir(story->log_directory, remove_index, story->log_directory), 0);
    struct log *log = open_as_kafka_left_it(story, expected);
    assert_ok(log_close_clean(log));
    log_free(log);
    assert_int_equal(io_list_dir(story->log_directory, file_sum, &after), 0);
    forget_file(&before, ".snapshot"); // the ones between are made at rolls only
    forget_file(&after, ".snapshot");
    forget_file(&before, "leader-epoch-checkpoint"); // an epoch without a batch may go
    forget_file(&after, "leader-epoch-checkpoint");
    files_compare(&before, &after, story->log_directory);
}

static void rebuilt_indexes_equal_those_of_kafka(void **state)
{
    struct story *story = *state;
    unpack(story, "clean.tar.gz");
    each_partition(story, "clean", rebuild_and_compare);
}

static void the_files_of_the_directory_are_understood(void **state)
{
    struct story *story = *state;
    unpack(story, "clean.tar.gz");
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof path, "%s/data", story->directory);
    struct dir_properties properties;
    bool exists;
    int64_t broker_epoch;
    assert_ok(dir_properties_read(path, &properties, &exists));
    assert_string_equal(properties.cluster_id, "AbCdEfGhIjKlMnOpQrStUw");
    assert_int_equal(properties.node_id, 1);
    assert_ok(dir_clean_mark_take(path, &broker_epoch, &exists));
    assert_true(exists);
    assert_int_equal(broker_epoch, 13);
    assert_ok(dir_clean_mark_take(path, &broker_epoch, &exists));
    assert_false(exists);
    snprintf(path, sizeof path, "%s/data/log-start-offset-checkpoint", story->directory);
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    struct checkpoint_entry *entries;
    int32_t count, found = 0;
    assert_ok(checkpoint_read(path, &arena, &entries, &count));
    for (int32_t i = 0; i < count; i++)
        found += slice_equal_str(entries[i].topic, "trimmed") && entries[i].offset == 3;
    assert_int_equal(found, 1);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(what_kafka_stopped_cleanly_is_read_as_kafka_reads_it),
        story_test(the_same_is_read_when_everything_is_recovered),
        story_test(what_kafka_left_when_killed_is_recovered),
        story_test(opening_and_stopping_changes_no_file_of_kafka),
        story_test(rebuilt_indexes_equal_those_of_kafka),
        story_test(the_files_of_the_directory_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
