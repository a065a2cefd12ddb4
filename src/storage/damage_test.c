// SPDX-License-Identifier: Apache-2.0
/* storage/damage_test.c - whatever bytes lie in a partition's files, opening and reading end with an answer: a log or an
 * error, never a crash.
 */
#include "storage/storage_test.h"

enum { SEEDS = 400, FILES_MAX = 64 };

struct names {
    char all[FILES_MAX][64];
    int count;
};

static void name_add(void *context, const char *name)
{
    struct names *names = context;
    if (names->count < FILES_MAX)
        snprintf(names->all[names->count++], sizeof names->all[0], "%s", name);
}

static void fill(struct log *log)
{
    for (int i = 0; i < 30; i++) {
        struct record_builder builder = {0};
        record_builder_begin(&builder);
        record_builder_add(&builder, STORY_MS + i, SLICE_NULL, slice_str("value"));
        struct slice bytes =
            record_builder_finish(&builder, i % 3 ? 0 : RECORD_ATTRIBUTE_TRANSACTIONAL, i % 3, 0, i / 3);
        struct log_batch batch = {.bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size};
        struct log_batch *batches[] = {&batch};
        record_facts_read(bytes, &batch.facts);
        assert_ok(log_append(log, batches, 1, i / 10, STORY_MS));
        record_builder_free(&builder);
        if (i % 12 == 11)
            assert_ok(log_roll(log));
    }
}

static void damage_some(const struct story *story, struct random *random)
{
    struct names names = {.count = 0};
    assert_int_equal(io_list_dir(story->log_directory, name_add, &names), 0);
    for (uint64_t i = 0, times = 1 + random_below(random, 3); i < times; i++) {
        const char *name = names.all[random_below(random, (uint64_t)names.count)];
        int64_t size = story_file_size(story, name);
        char path[256];
        story_path(story, name, path);
        int file = io_open(path, IO_WRITE);
        assert_true(file >= 0);
        uint8_t bytes[8];
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)(random_below(random, 2) ? random_u64(random) : 0xff * random_below(random, 2));
        if (random_below(random, 4) == 0)
            assert_int_equal(io_truncate(file, (int64_t)random_below(random, (uint64_t)size + 1)), 0);
        else
            assert_int_equal(io_pwrite(file, bytes, sizeof bytes, (int64_t)random_below(random, (uint64_t)size + 1)),
                             8);
        io_close(file);
    }
}

/* Success or failure: both are answers. */
static void answered(struct status s)
{
    (void)s;
}

static void use(struct log *log)
{
    int64_t offset = log_start_offset(log), found, found_ms;
    for (int i = 0; i < 100 && offset < log_end_offset(log); i++) {
        struct log_slice slice;
        if (log_read(log, offset, log_end_offset(log), 300, true, &slice) != LOG_READ_OK ||
            slice.next_offset == offset) {
            log_slice_release(&slice);
            break;
        }
        offset = slice.next_offset;
        log_slice_release(&slice);
    }
    int32_t epoch;
    answered(log_find_by_time(log, STORY_MS + 7, log_end_offset(log), &found, &found_ms, &epoch));
    answered(log_find_max_timestamp(log, log_end_offset(log), &found, &found_ms, &epoch));
    answered(log_retain(log, log_end_offset(log), STORY_MS));
    answered(log_close_clean(log));
}

static void quiet(void *context, const char *line, size_t size)
{
    (void)context;
    (void)line;
    (void)size;
}

static void damaged_files_are_answered(void **state)
{
    (void)state;
    log_sink_set(quiet, NULL);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct random random;
        random_seed(&random, seed);
        void *own = NULL;
        if (story_begin(&own) != 0) {
            fail();
            return;
        }
        struct story *story = own;
        story->config.index_interval_bytes = 100;
        struct log *log = story_open(&own);
        fill(log);
        if (seed % 4 > 0)
            assert_ok(log_close_clean(log));
        log_free(log);
        damage_some(story, &random);
        story->options.clean_stop = seed % 2;
        story->options.recovery_point = (int64_t)random_below(&random, 40);
        story->options.flushed_offset = seed % 3 ? -1 : (int64_t)random_below(&random, 30);
        struct status s = log_open(&story->options, &log);
        if (status_is_ok(s)) {
            use(log);
            log_free(log);
        }
        assert_int_equal(story_clean(&own), 0);
    }
    log_sink_set(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(damaged_files_are_answered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
