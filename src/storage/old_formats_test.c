// SPDX-License-Identifier: Apache-2.0
/* storage/old_formats_test.c - logs that begin with messages of formats 0 and 1, from before Kafka 0.11: recovered, read,
 * searched by time, cut and compacted like batches, with batches behind them. */
#include "storage/storage_test.h"

enum { IN_EACH = 3, OLD_END = 15, LONG_AGO_MS = 1000 };

/* What lies in the log, three records a line: offset n has key n mod 4, value "old n", time STORY_MS + n (format 0: none). */
static const struct old_set {
    int64_t segment_base;
    int8_t magic;
    enum record_codec codec;
} SETS[] = {
    {0, 0, RECORD_NONE}, {0, 0, RECORD_GZIP}, {0, 1, RECORD_NONE}, {0, 1, RECORD_SNAPPY}, {12, 1, RECORD_LZ4},
};

static void add_set(const struct old_set *set, int64_t base, struct buffer *out)
{
    struct record_builder builder = {0};
    struct slice batch;
    record_builder_begin(&builder);
    for (int64_t n = base; n < base + IN_EACH; n++) {
        char key[8], value[16];
        snprintf(key, sizeof key, "k%d", (int)(n % 4));
        snprintf(value, sizeof value, "old %d", (int)n);
        record_builder_add(&builder, STORY_MS + n, slice_str(key), slice_str(value));
    }
    assert_ok(record_builder_finish_packed(&builder, set->codec, 3, 0, -1, -1, -1, &batch));
    record_batch_set_base((uint8_t *)(uintptr_t)batch.data, base, -1);
    assert_ok(record_batch_convert_down(batch, set->magic, 0, out));
    record_builder_free(&builder);
}

static void write_segment(const struct story *story, int64_t base, const struct buffer *bytes)
{
    char name[32], path[256];
    snprintf(name, sizeof name, "%020lld.log", (long long)base);
    story_path(story, name, path);
    int file = io_open(path, IO_WRITE | IO_CREATE);
    assert_true(file >= 0);
    assert_int_equal(io_pwrite(file, bytes->data, bytes->size, 0), (int64_t)bytes->size);
    io_close(file);
}

/* As a killed broker leaves it: no index. */
static void write_old_log(const struct story *story)
{
    assert_int_equal(io_mkdir(story->log_directory), 0);
    struct buffer bytes = {0};
    for (size_t i = 0; i < COUNT_OF(SETS); i++) {
        add_set(&SETS[i], (int64_t)i * IN_EACH, &bytes);
        bool ends_segment = i + 1 == COUNT_OF(SETS) || SETS[i + 1].segment_base != SETS[i].segment_base;
        if (!ends_segment)
            continue;
        write_segment(story, SETS[i].segment_base, &bytes);
        bytes.size = 0;
    }
    buffer_free(&bytes);
}

static struct log *open_old(void **state)
{
    struct story *story = *state;
    story->config.index_interval_bytes = 1; // so that every batch but the first is indexed
    write_old_log(story);
    return story_open(state);
}

/* The values from an offset on, each behind a blank. */
static struct buffer values_from(struct log *log, int64_t offset)
{
    struct buffer out = {0}, bytes = {0};
    for (int64_t at = offset; at < log_end_offset(log);) {
        struct log_slice slice;
        assert_int_equal(log_read(log, at, log_end_offset(log), 1 << 20, true, &slice), LOG_READ_OK);
        assert_non_null(slice.segment);
        bytes.size = 0;
        buffer_reserve(&bytes, slice.size_bytes);
        assert_int_equal(io_pread(slice.file, bytes.data, slice.size_bytes, slice.position), slice.size_bytes);
        struct slice rest = slice_of(bytes.data, slice.size_bytes), batch;
        while (record_stored_next(&rest, &batch)) {
            struct record_walk walk;
            struct record record;
            assert_true(record_stored_is_intact(batch));
            record_walk_begin(&walk, batch);
            while (record_walk_next(&walk, &record))
                if (record.offset >= offset)
                    buffer_printf(&out, " %.*s", (int)record.value.size, (const char *)record.value.data);
            assert_false(walk.failed);
            record_walk_end(&walk);
        }
        assert_int_equal(rest.size, 0);
        at = slice.next_offset;
        log_slice_release(&slice);
    }
    buffer_append(&out, "", 1);
    buffer_free(&bytes);
    return out;
}

static void assert_values(struct log *log, int64_t offset, int64_t old_end, const char *then)
{
    struct buffer expected = {0}, got = values_from(log, offset);
    for (int64_t n = offset; n < old_end; n++)
        buffer_printf(&expected, " old %d", (int)n);
    buffer_append(&expected, then, strlen(then) + 1);
    assert_string_equal((const char *)got.data, (const char *)expected.data);
    buffer_free(&expected);
    buffer_free(&got);
}

static void old_messages_are_recovered_and_read_from_every_offset(void **state)
{
    struct log *log = open_old(state);
    assert_int_equal(log_end_offset(log), OLD_END);
    assert_int_equal(log_epoch_latest(log), -1);
    for (int64_t offset = 0; offset < OLD_END; offset++)
        assert_values(log, offset, OLD_END, "");
    story_end(state, log);
}

static void batches_follow_old_messages_over_a_clean_stop(void **state)
{
    struct story *story = *state;
    struct log *log = open_old(state);
    assert_int_equal(story_append(log, 2), OLD_END);
    story_end(state, log);
    story->options.clean_stop = true;
    story->options.recovery_point = OLD_END + 2;
    log = story_open(state);
    assert_int_equal(story_append(log, 1), OLD_END + 2);
    assert_values(log, 4, OLD_END, " value value value");
    story_end(state, log);
}

/* The index of the old part is believed after a kill, so it must name places where messages begin. */
static void indexes_made_of_old_messages_are_believed(void **state)
{
    struct story *story = *state;
    struct log *log = open_old(state);
    assert_ok(log_checkpoint(log));
    log_free(log);
    assert_true(story_file_size(story, "00000000000000000000.index") > 0);
    story->options.recovery_point = OLD_END;
    log = story_open(state);
    assert_int_equal(log_end_offset(log), OLD_END);
    assert_values(log, 0, OLD_END, "");
    story_end(state, log);
}

static void records_of_format_1_are_found_by_time_and_those_of_format_0_have_none(void **state)
{
    struct log *log = open_old(state);
    int64_t offset, time_ms;
    int32_t epoch;
    assert_ok(log_find_by_time(log, LONG_AGO_MS, OLD_END, &offset, &time_ms, &epoch));
    assert_int_equal(offset, 6); // the first of format 1
    for (int64_t n = 6; n < OLD_END; n++) {
        assert_ok(log_find_by_time(log, STORY_MS + n, OLD_END, &offset, &time_ms, &epoch));
        assert_int_equal(offset, n);
        assert_int_equal(time_ms, STORY_MS + n);
        assert_int_equal(epoch, -1);
    }
    assert_ok(log_find_by_time(log, STORY_MS + OLD_END, OLD_END, &offset, &time_ms, &epoch));
    assert_int_equal(offset, -1);
    assert_ok(log_find_max_timestamp(log, OLD_END, &offset, &time_ms, &epoch));
    assert_int_equal(offset, OLD_END - 1);
    story_end(state, log);
}

static void a_torn_last_wrapper_is_cut_off_wherever_it_ends(void **state)
{
    struct story *story = *state;
    write_old_log(story);
    const char *name = "00000000000000000012.log";
    char path[256];
    story_path(story, name, path);
    int64_t size = story_file_size(story, name);
    for (int64_t cut = size - 1; cut > 0; cut--) {
        int file = io_open(path, IO_WRITE);
        assert_int_equal(io_truncate(file, cut), 0);
        io_close(file);
        struct log *log = story_open(state);
        assert_int_equal(log_end_offset(log), 12);
        assert_values(log, 0, 12, "");
        log_free(log);
        struct buffer bytes = {0};
        add_set(&SETS[4], 12, &bytes);
        write_segment(story, 12, &bytes);
        buffer_free(&bytes);
    }
}

static void a_wrong_byte_in_an_old_message_ends_the_log_before_it(void **state)
{
    struct story *story = *state;
    write_old_log(story);
    story_damage(story, "00000000000000000000.log", story_file_size(story, "00000000000000000000.log") - 1);
    struct log *log = story_open(state);
    assert_int_equal(log_end_offset(log), 9); // behind the whole wrapper
    story_end(state, log);
}

static void old_segments_go_by_the_time_of_their_messages(void **state)
{
    struct story *story = *state;
    story->config.retention_ms = 1000;
    struct log *log = open_old(state);
    story_append_at(log, 1, STORY_MS + 5000);
    assert_ok(log_retain(log, log_end_offset(log), STORY_MS + 900));
    assert_int_equal(log_start_offset(log), 0);
    assert_ok(log_retain(log, log_end_offset(log), STORY_MS + 1500));
    assert_int_equal(log_start_offset(log), 12);
    story_end(state, log);
}

/* Of twelve records the last four stay: one of them in the middle of a wrapper, which becomes a batch. */
static void old_messages_are_compacted(void **state)
{
    struct story *story = *state;
    story->config.cleanup_delete = false;
    story->config.cleanup_compact = true;
    struct log *log = open_old(state);
    struct log_compaction_options options = {
        .limit_offset = INT64_MAX, .now_ms = STORY_MS, .map_bytes_max = 1 << 20, .map_load_factor = 0.9};
    struct log_compaction *compaction;
    assert_ok(log_compaction_begin(log, &options, &compaction));
    assert_non_null(compaction);
    for (bool done = false; !done;) {
        int64_t bytes;
        assert_ok(log_compaction_step(compaction, 100, &bytes, &done));
    }
    assert_ok(log_compaction_end(compaction, STORY_MS));
    log_compaction_free(compaction);
    assert_values(log, 8, OLD_END, "");
    struct buffer all = values_from(log, 0), from_8 = values_from(log, 8);
    assert_string_equal((const char *)all.data, (const char *)from_8.data);
    buffer_free(&all);
    buffer_free(&from_8);
    log_free(log);
    log = story_open(state); // the indexes that compaction made
    assert_values(log, 8, OLD_END, "");
    story_end(state, log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(old_messages_are_recovered_and_read_from_every_offset),
        story_test(batches_follow_old_messages_over_a_clean_stop),
        story_test(indexes_made_of_old_messages_are_believed),
        story_test(records_of_format_1_are_found_by_time_and_those_of_format_0_have_none),
        story_test(a_torn_last_wrapper_is_cut_off_wherever_it_ends),
        story_test(a_wrong_byte_in_an_old_message_ends_the_log_before_it),
        story_test(old_segments_go_by_the_time_of_their_messages),
        story_test(old_messages_are_compacted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
