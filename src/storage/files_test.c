// SPDX-License-Identifier: Apache-2.0
/* storage/files_test.c - descriptors are opened on use, shared and bounded; a start after a clean stop opens no segment. */
#include "storage/storage_test.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LOGS = 12, FILES_MAX = 4 };

/* How many descriptors of this process lead to a file whose name ends so. */
static int open_files(const char *suffix)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char link[300], path[512];
        snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
        ssize_t size = readlink(link, path, sizeof path - 1);
        size_t suffix_size = strlen(suffix);
        if (size > 0)
            count += (size_t)size >= suffix_size && memcmp(path + size - suffix_size, suffix, suffix_size) == 0;
    }
    closedir(dir);
    return count;
}

/* Bytes that this process has read from files so far, as the kernel counts them. */
static int64_t bytes_read(void)
{
    char text[512];
    int file = io_open("/proc/self/io", IO_READ);
    int64_t size = io_pread(file, text, sizeof text - 1, 0);
    io_close(file);
    assert_true(size > 0);
    text[size] = 0;
    return strtoll(strstr(text, "rchar: ") + 7, NULL, 10);
}

static struct log *open_in(struct story *story, int number, struct log_files *files)
{
    char directory[128];
    struct log_open_options options = story->options;
    struct log *log;
    snprintf(directory, sizeof directory, "%s/t-%d", story->directory, number);
    options.directory = directory;
    options.files = files;
    assert_ok(log_open(&options, &log));
    return log;
}

static void flush(struct log *log)
{
    int64_t flushed;
    assert_ok(log_flush(log, &flushed));
    assert_int_equal(flushed, log_end_offset(log));
}

static void assert_reads(struct log *log, int64_t offset)
{
    struct log_slice slice;
    assert_int_equal(log_read(log, offset, log_end_offset(log), 1 << 20, true, &slice), LOG_READ_OK);
    assert_int_equal(slice.base_offset, offset);
    log_slice_release(&slice);
}

static void files_that_rest_are_closed_and_opened_again(void **state)
{
    struct story *story = *state;
    struct log_files *files = log_files_create(FILES_MAX);
    struct log *logs[LOGS];
    for (int i = 0; i < LOGS; i++) {
        logs[i] = open_in(story, i, files);
        story_append(logs[i], 3);
        flush(logs[i]);
        assert_true(log_files_count(files) <= FILES_MAX + 1);
    }
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < LOGS; i++) {
            assert_reads(logs[i], 0);
            assert_int_equal(story_append(logs[i], 1), 3 + round);
            flush(logs[i]);
            assert_true(log_files_count(files) <= FILES_MAX + 1);
        }
    assert_int_equal(open_files(".log") + open_files("index"), log_files_count(files));
    for (int i = 0; i < LOGS; i++)
        story_end(state, logs[i]);
    assert_int_equal(log_files_count(files), 0);
    assert_int_equal(open_files(".log"), 0);
    log_files_free(files);
}

static void what_is_not_synced_stays_open(void **state)
{
    struct story *story = *state;
    struct log_files *files = log_files_create(1);
    struct log *logs[LOGS];
    for (int i = 0; i < LOGS; i++) {
        logs[i] = open_in(story, i, files);
        story_append(logs[i], 1);
    }
    assert_int_equal(open_files(".log"), LOGS);
    for (int i = 0; i < LOGS; i++)
        flush(logs[i]);
    for (int i = 0; i < 3; i++)
        assert_reads(logs[i], 0);
    log_free(logs[0]);
    logs[0] = open_in(story, LOGS, files); // who opens looks for files that may go
    assert_true(log_files_count(files) <= 2);
    for (int i = 0; i < LOGS; i++)
        log_free(logs[i]);
    log_files_free(files);
}

static void a_slice_keeps_its_file_open(void **state)
{
    struct story *story = *state;
    struct log_files *files = log_files_create(1);
    struct log *log = open_in(story, 0, files);
    story_append(log, 1);
    flush(log);
    struct log_slice slice;
    uint8_t bytes[1024];
    assert_int_equal(log_read(log, 0, 1, 1 << 20, true, &slice), LOG_READ_OK);
    struct log *others[LOGS];
    for (int i = 0; i < LOGS; i++)
        others[i] = open_in(story, i + 1, files);
    assert_int_equal(io_pread(slice.file, bytes, slice.size_bytes, slice.position), slice.size_bytes);
    assert_int_equal(record_batch_base_offset(bytes), 0);
    log_slice_release(&slice);
    for (int i = 0; i < LOGS; i++)
        log_free(others[i]);
    log_free(log);
    log_files_free(files);
}

/* One record, while this process may open nothing. */
static struct status append_without_descriptors(struct log *log)
{
    struct record_builder builder = {0};
    struct log_batch batch, *batches[] = {&batch};
    struct rlimit all, none;
    story_batch(&builder, &batch, 1, STORY_MS);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct status s = log_append(log, batches, 1, 0, STORY_MS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    record_builder_free(&builder);
    return s;
}

/* The log is as it was, and goes on when there is a descriptor again: before the first append, and later. */
static void without_a_descriptor_a_log_refuses_appends_and_stays_online(void **state)
{
    struct story *story = *state;
    struct log_files *files = log_files_create(0);
    struct log *log = open_in(story, 0, files);
    story_append(log, 1);
    story_end(state, log);
    story->options.clean_stop = story->options.is_lazy = true;
    story->options.recovery_point = 1;
    log = open_in(story, 0, files);
    assert_int_equal(append_without_descriptors(log).error, EMFILE);
    assert_int_equal(story_append(log, 1), 1);
    flush(log);
    struct log *other = open_in(story, 1, files);
    story_append(other, 1); // for which the clock closes those that rest
    flush(other);
    assert_reads(other, 0);
    assert_reads(other, 0);
    assert_int_equal(append_without_descriptors(log).error, EMFILE);
    assert_false(log_is_offline(log));
    assert_int_equal(story_append(log, 1), 2);
    log_free(log);
    log_free(other);
    log_files_free(files);
}

/* A reader that holds a segment which is deleted finds it, whether it had been opened before or not. */
static void a_deleted_segment_is_read_by_who_holds_it(void **state)
{
    struct story *story = *state;
    story->config.cleanup_compact = true;
    struct log_files *files = log_files_create(0);
    struct log *log = open_in(story, 0, files);
    story_append(log, 2);
    assert_ok(log_roll(log));
    story_append(log, 1);
    assert_ok(log_roll(log));
    flush(log);
    struct log_compaction_options options = {
        .limit_offset = 3, .now_ms = STORY_MS, .map_bytes_max = 1 << 16, .map_load_factor = 0.9};
    struct log_compaction *compaction;
    assert_ok(log_compaction_begin(log, &options, &compaction));
    assert_non_null(compaction);
    assert_ok(log_start_offset_set(log, 3));
    assert_ok(log_retain(log, 3, STORY_MS)); // both segments have other names now
    bool done = false;
    for (int64_t bytes; !done;)
        assert_ok(log_compaction_step(compaction, 100, &bytes, &done));
    assert_ok(log_compaction_end(compaction, STORY_MS));
    log_compaction_free(compaction);
    assert_int_equal(log_start_offset(log), 3);
    log_free(log);
    log_files_free(files);
}

static void a_start_after_a_clean_stop_reads_no_segment(void **state)
{
    enum { RECORDS = 2000 };
    struct story *story = *state;
    struct log *log = story_open(state);
    for (int i = 0; i < RECORDS; i++)
        story_append_at(log, 1, STORY_MS + i);
    story_end(state, log);
    story->options.clean_stop = story->options.is_lazy = true;
    story->options.recovery_point = RECORDS;
    int64_t before = bytes_read();
    log = story_open(state);
    assert_int_equal(log_end_offset(log), RECORDS);
    assert_int_equal(open_files(".log"), 0);
    assert_true(bytes_read() - before < 4096); // an entry of the index, the snapshot, text files; no 4 KiB of heads
    assert_false(log_is_prepared(log));
    assert_ok(log_prepare(log));
    assert_int_equal(open_files(".log"), 1);
    int64_t offset, timestamp_ms;
    int32_t epoch;
    assert_ok(log_find_max_timestamp(log, RECORDS, &offset, &timestamp_ms, &epoch));
    assert_int_equal(timestamp_ms, STORY_MS + RECORDS - 1);
    assert_int_equal(story_append(log, 1), RECORDS);
    story_end(state, log);
}

/* The recovery point alone is not believed: a file of it may be older than the mark of the clean stop. */
static void an_old_recovery_point_is_not_taken_for_the_end(void **state)
{
    struct story *story = *state;
    struct log *log = story_open(state);
    story_append(log, 5);
    assert_ok(log_checkpoint(log));
    story_append(log, 5);
    story_end(state, log);
    story->options.clean_stop = story->options.is_lazy = true;
    story->options.recovery_point = 5;
    log = story_open(state);
    assert_int_equal(log_end_offset(log), 10);
    story_end(state, log);
}

static void an_epoch_is_on_the_disk_before_the_first_append(void **state)
{
    struct story *story = *state;
    struct log *log = story_open(state);
    assert_ok(log_epoch_begin(log, 3));
    story_append(log, 5);
    story_end(state, log);
    story->options.clean_stop = story->options.is_lazy = true;
    story->options.recovery_point = 5;
    int64_t size = story_file_size(story, "leader-epoch-checkpoint");
    log = story_open(state);
    assert_ok(log_epoch_begin(log, 4));
    assert_int_equal(log_epoch_latest(log), 4);
    assert_int_equal(story_file_size(story, "leader-epoch-checkpoint"), size);
    assert_ok(log_prepare(log));
    assert_true(story_file_size(story, "leader-epoch-checkpoint") > size);
    story_end(state, log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(files_that_rest_are_closed_and_opened_again),
        story_test(what_is_not_synced_stays_open),
        story_test(without_a_descriptor_a_log_refuses_appends_and_stays_online),
        story_test(a_slice_keeps_its_file_open),
        story_test(a_deleted_segment_is_read_by_who_holds_it),
        story_test(a_start_after_a_clean_stop_reads_no_segment),
        story_test(an_old_recovery_point_is_not_taken_for_the_end),
        story_test(an_epoch_is_on_the_disk_before_the_first_append),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
