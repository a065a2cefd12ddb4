// SPDX-License-Identifier: Apache-2.0
/* storage/storage_test.h - what the stories share: a fresh directory each, a log with plain settings, small batches. */
#pragma once

#include "io/io.h"
#include "storage/storage.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define STORY_MS 1700000000000
#define assert_ok(expression)                                                                                          \
    do {                                                                                                               \
        struct status assert_ok_ = (expression);                                                                       \
        if (assert_ok_.error != 0)                                                                                     \
            fail_msg("%s: %s", assert_ok_.what, strerror(assert_ok_.error));                                           \
    } while (0)
#define story_test(function) cmocka_unit_test_setup_teardown(function, story_begin, story_clean)

struct story {
    char directory[64], log_directory[96];
    struct log_config config;
    struct log_open_options options;
};

static inline int story_begin(void **state)
{
    struct story *story = mem_zalloc(sizeof *story);
    snprintf(story->directory, sizeof story->directory, "/tmp/ottla-storage-XXXXXX");
    if (!mkdtemp(story->directory))
        return -1;
    snprintf(story->log_directory, sizeof story->log_directory, "%s/t-0", story->directory);
    story->config = (struct log_config){.segment_bytes = 1 << 30,
                                        .segment_ms = 604800000,
                                        .segment_index_bytes = 10 << 20,
                                        .index_interval_bytes = 4096,
                                        .retention_ms = -1,
                                        .retention_bytes = -1,
                                        .file_delete_delay_ms = 60000,
                                        .delete_retention_ms = 86400000,
                                        .producer_id_expiration_ms = 86400000,
                                        .cleanup_delete = true};
    story->options = (struct log_open_options){
        .directory = story->log_directory, .config = &story->config, .flushed_offset = -1, .now_ms = STORY_MS};
    *state = story;
    return 0;
}

static inline void story_remove(void *context, const char *name)
{
    char path[512];
    struct io_stat stat;
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    if (io_stat(path, &stat) == 0 && stat.is_directory) {
        io_list_dir(path, story_remove, path);
        io_rmdir(path);
    } else {
        io_unlink(path);
    }
}

static inline int story_clean(void **state)
{
    struct story *story = *state;
    io_list_dir(story->directory, story_remove, story->directory);
    int result = io_rmdir(story->directory);
    mem_free(story);
    return result;
}

static inline struct log *story_open(void **state)
{
    struct story *story = *state;
    struct log *log = NULL;
    assert_ok(log_open(&story->options, &log));
    return log;
}

static inline void story_end(void **state, struct log *log)
{
    (void)state;
    assert_ok(log_close_clean(log));
    log_free(log);
}

static inline void story_batch(struct record_builder *builder, struct log_batch *batch, int count, int64_t timestamp_ms)
{
    record_builder_begin(builder);
    for (int i = 0; i < count; i++)
        record_builder_add(builder, timestamp_ms + i, SLICE_NULL, slice_str("value"));
    struct slice bytes = record_builder_finish(builder, 0, -1, -1, -1);
    *batch = (struct log_batch){
        .bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size, .from_client = true};
    record_facts_read(bytes, &batch->facts);
}

static inline int64_t story_append_at(struct log *log, int count, int64_t timestamp_ms)
{
    struct record_builder builder = {0};
    struct log_batch batch, *batches[] = {&batch};
    story_batch(&builder, &batch, count, timestamp_ms);
    assert_ok(log_append(log, batches, 1, 0, STORY_MS));
    assert_int_equal(batch.error, 0);
    record_builder_free(&builder);
    return batch.base_offset;
}

static inline int64_t story_append(struct log *log, int count)
{
    return story_append_at(log, count, STORY_MS);
}

static inline void story_path(const struct story *story, const char *name, char ret_path[256])
{
    snprintf(ret_path, 256, "%s/%s", story->log_directory, name);
}

static inline int64_t story_file_size(const struct story *story, const char *name)
{
    char path[256];
    struct io_stat stat;
    story_path(story, name, path);
    assert_int_equal(io_stat(path, &stat), 0);
    return stat.exists ? stat.size_bytes : -1;
}

/* Turns one byte over. */
static inline void story_damage(const struct story *story, const char *name, int64_t position)
{
    char path[256];
    uint8_t byte;
    story_path(story, name, path);
    int file = io_open(path, IO_WRITE);
    assert_true(file >= 0);
    assert_int_equal(io_pread(file, &byte, 1, position), 1);
    byte ^= 0xff;
    assert_int_equal(io_pwrite(file, &byte, 1, position), 1);
    io_close(file);
}
