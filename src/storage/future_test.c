// SPDX-License-Identifier: Apache-2.0
/* storage/future_test.c - a log moves to another directory: what its future has at each moment, what readers see, what an
 * interruption leaves, and what is there in the end, file by file.
 */
#include "storage/storage_test.h"

enum { SMALL_SEGMENT_BYTES = 400, PIECE = 1 };

struct move {
    struct log *log;
    struct log_future *future;
    char *directory, target[96], final[128], *old;
};

static void move_begin(void **state, struct log *log, struct move *move)
{
    const struct story *story = *state;
    *move = (struct move){.log = log};
    snprintf(move->target, sizeof move->target, "%s/other", story->directory);
    snprintf(move->final, sizeof move->final, "%s/t-0", move->target);
    assert_int_equal(io_mkdir(move->target), 0);
    assert_ok(dir_future_create(move->target, "t", 0, (struct uuid){{9}}, &move->directory));
    assert_ok(log_future_create(log, move->directory, &move->future));
}

static void move_again(struct move *move)
{
    log_future_free(move->future);
    assert_ok(log_future_create(move->log, move->directory, &move->future));
}

static int64_t steps_until_level(struct move *move)
{
    int64_t all = 0, bytes;
    for (bool is_level = false; !is_level; all += bytes)
        assert_ok(log_future_step(move->future, PIECE, &bytes, &is_level));
    return all;
}

static void move_end(struct move *move)
{
    assert_ok(log_future_finish(move->future));
    assert_ok(log_future_replace(move->future, move->final, NULL, &move->old));
    log_future_free(move->future);
    move->future = NULL;
}

static void move_forget(struct move *move)
{
    log_future_free(move->future);
    mem_free(move->directory);
    mem_free(move->old);
}

/* A log of several segments, the last of them with some. */
static struct log *crowded(void **state)
{
    struct story *story = *state;
    story->config.segment_bytes = SMALL_SEGMENT_BYTES;
    story->config.index_interval_bytes = 100;
    struct log *log = story_open(state);
    for (int i = 0; i < 9; i++) {
        if (log_roll_is_due(log, 100, STORY_MS, STORY_MS))
            assert_ok(log_roll(log));
        story_append_at(log, 2, STORY_MS + 10 * i);
    }
    return log;
}

/* ---- comparing */

static void read_whole(const char *path, struct buffer *bytes)
{
    int file = io_open(path, IO_READ);
    assert_true(file >= 0);
    int64_t size = io_file_size(file);
    buffer_reserve(bytes, (size_t)size + 1);
    assert_int_equal(io_pread(file, bytes->data, (size_t)size, 0), size);
    bytes->size = (size_t)size;
    io_close(file);
}

struct pair {
    const char *one, *other;
    int count;
};

static void compare_file(void *context, const char *name)
{
    struct pair *pair = context;
    char one[512], other[512];
    struct buffer left CLEANUP(buffer_free) = {0}, right CLEANUP(buffer_free) = {0};
    snprintf(one, sizeof one, "%s/%s", pair->one, name);
    snprintf(other, sizeof other, "%s/%s", pair->other, name);
    if (strcmp(name, "partition.metadata") == 0)
        return;
    read_whole(one, &left);
    read_whole(other, &right);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    pair->count++;
}

/* The same files, and the same bytes in each. */
static void assert_same_files(const char *one, const char *other)
{
    struct pair there = {one, other, 0}, back = {other, one, 0};
    assert_int_equal(io_list_dir(one, compare_file, &there), 0);
    assert_int_equal(io_list_dir(other, compare_file, &back), 0);
    assert_int_equal(there.count, back.count);
    assert_true(there.count > 3);
}

struct names {
    int making, whole;
};

static void count_names(void *context, const char *name)
{
    struct names *names = context;
    names->making += strstr(name, ".cleaned") != NULL;
    names->whole += strlen(name) == 24 && strstr(name, ".log") != NULL;
}

static struct names names_in(const char *directory)
{
    struct names names = {0};
    assert_int_equal(io_list_dir(directory, count_names, &names), 0);
    return names;
}

static void assert_readable(struct log *log, int64_t from, int64_t to)
{
    for (int64_t offset = from; offset < to;) {
        struct log_slice slice = {0};
        uint8_t head[RECORD_BATCH_HEAD_BYTES];
        assert_int_equal(log_read(log, offset, to, 1 << 20, true, &slice), LOG_READ_OK);
        assert_int_equal(slice.base_offset, offset);
        assert_int_equal(io_pread(slice.file, head, sizeof head, slice.position), sizeof head);
        assert_int_equal(record_batch_base_offset(head), offset);
        offset = slice.next_offset;
        log_slice_release(&slice);
    }
}

/* ---- the stories */
static void the_moved_log_has_every_file_of_the_old_one(void **state)
{
    struct log *log = crowded(state);
    int64_t end = log_end_offset(log);
    struct move move;
    move_begin(state, log, &move);
    steps_until_level(&move);
    struct log_future_progress progress = log_future_progress(move.future);
    assert_int_equal(progress.end_offset, end);
    assert_int_equal(progress.size_bytes, log_size_bytes(log));
    assert_true(progress.synced_offset > 0 && progress.synced_offset < end);
    struct names names = names_in(move.directory);
    assert_int_equal(names.making, 1); // the active segment
    assert_true(names.whole > 1);
    move_end(&move);
    assert_string_equal(log_directory(log), move.final);
    assert_same_files(move.old, move.final);
    assert_readable(log, 0, end);
    assert_int_equal(log_flushed_offset(log), end);
    assert_int_equal(story_append(log, 3), end); // it goes on there
    assert_readable(log, 0, end + 3);
    story_end(state, log);
    struct story *story = *state;
    story->options.directory = move.final;
    log = story_open(state);
    assert_int_equal(log_end_offset(log), end + 3);
    assert_readable(log, 0, end + 3);
    story_end(state, log);
    move_forget(&move);
}

static void what_is_appended_rolled_and_retained_meanwhile_is_followed(void **state)
{
    struct log *log = crowded(state);
    struct move move;
    int64_t bytes;
    bool is_level;
    move_begin(state, log, &move);
    for (int i = 0; i < 4; i++)
        assert_ok(log_future_step(move.future, PIECE, &bytes, &is_level));
    assert_ok(log_start_offset_set(log, 8));
    assert_ok(log_retain(log, log_end_offset(log), STORY_MS));
    int64_t start = log_start_offset(log);
    for (int i = 0; i < 6; i++) {
        if (log_roll_is_due(log, 100, STORY_MS, STORY_MS))
            assert_ok(log_roll(log));
        story_append(log, 2);
        assert_ok(log_future_step(move.future, PIECE, &bytes, &is_level));
    }
    steps_until_level(&move);
    story_append(log, 1); // after the last look, before the turn is taken
    move_end(&move);
    assert_readable(log, start, log_end_offset(log));
    assert_int_equal(names_in(move.final).making, 0);
    assert_int_equal(names_in(move.old).whole, names_in(move.final).whole);
    story_end(state, log);
    move_forget(&move);
}

/* What an earlier life left is used where it is the same, and only there. */
static void an_interrupted_move_goes_on_and_believes_nothing(void **state)
{
    struct log *log = crowded(state);
    struct move move;
    move_begin(state, log, &move);
    steps_until_level(&move);
    log_future_free(move.future);
    move.future = NULL;
    char path[256];
    snprintf(path, sizeof path, "%s/%020d.log", move.directory, 0);
    int file = io_open(path, IO_WRITE);
    assert_true(file >= 0);
    assert_int_equal(io_pwrite(file, "lost", 4, 70), 4); // as if it had never been synced
    io_close(file);
    snprintf(path, sizeof path, "%s/%020d.log", move.directory, 7777); // bounds of another's making
    file = io_open(path, IO_WRITE | IO_CREATE);
    assert_int_equal(io_pwrite(file, "else", 4, 0), 4);
    io_close(file);
    move_again(&move);
    assert_int_equal(names_in(move.directory).whole, 0);
    steps_until_level(&move);
    move_end(&move);
    assert_readable(log, 0, log_end_offset(log));
    snprintf(path, sizeof path, "%s/%020d.log", move.final, 7777);
    struct io_stat stat;
    assert_int_equal(io_stat(path, &stat), 0);
    assert_false(stat.exists);
    assert_same_files(move.old, move.final);
    story_end(state, log);
    move_forget(&move);
}

/* A reader that took its segment before the move reads on afterwards, and so does one that comes in the middle. */
static void readers_go_on_whatever_name_the_directory_has(void **state)
{
    struct log *log = crowded(state);
    struct move move;
    move_begin(state, log, &move);
    steps_until_level(&move);
    struct log_slice slice = {0};
    assert_int_equal(log_read(log, 0, 2, 1 << 20, true, &slice), LOG_READ_OK);
    move_end(&move);
    uint8_t head[RECORD_BATCH_HEAD_BYTES];
    assert_int_equal(io_pread(slice.file, head, sizeof head, slice.position), sizeof head);
    assert_int_equal(record_batch_base_offset(head), 0);
    log_slice_release(&slice);
    int64_t offset, timestamp_ms;
    int32_t epoch;
    assert_ok(log_find_by_time(log, STORY_MS + 10, log_end_offset(log), &offset, &timestamp_ms, &epoch));
    assert_int_equal(offset, 2);
    story_end(state, log);
    move_forget(&move);
}

static void a_log_moves_there_and_back(void **state)
{
    struct story *story = *state;
    struct log *log = crowded(state);
    int64_t end = log_end_offset(log);
    struct move move, back;
    move_begin(state, log, &move);
    move_end(&move); // all of it with the turn held
    char *directory;
    assert_ok(dir_future_create(story->directory, "t", 0, (struct uuid){{9}}, &directory));
    back = (struct move){.log = log, .directory = directory};
    snprintf(back.final, sizeof back.final, "%s", story->log_directory);
    assert_ok(log_future_create(log, directory, &back.future));
    steps_until_level(&back);
    move_end(&back);
    assert_readable(log, 0, end);
    story_end(state, log);
    log = story_open(state);
    assert_int_equal(log_end_offset(log), end);
    story_end(state, log);
    move_forget(&move);
    move_forget(&back);
}

static void names_that_would_be_too_long_are_told(void **state)
{
    (void)state;
    char topic[256];
    memset(topic, 'x', sizeof topic);
    topic[213] = '\0'; // 213 + "-0." + 32 + "-future"
    assert_true(dir_future_fits(slice_str(topic), 0));
    assert_false(dir_future_fits(slice_str(topic), 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(the_moved_log_has_every_file_of_the_old_one),
        story_test(what_is_appended_rolled_and_retained_meanwhile_is_followed),
        story_test(an_interrupted_move_goes_on_and_believes_nothing),
        story_test(readers_go_on_whatever_name_the_directory_has),
        story_test(a_log_moves_there_and_back),
        cmocka_unit_test(names_that_would_be_too_long_are_told),
    };
    return cmocka_run_group_tests_name("future", tests, NULL, NULL);
}
