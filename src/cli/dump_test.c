// SPDX-License-Identifier: Apache-2.0
/* cli/dump_test.c - directories that Apache Kafka wrote are found sound, and one turned byte anywhere is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/cli.h"
#include "io/io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct story {
    char directory[64];
    int out, err; // the process's own
};

static void run(const char *format, ...) PRINTF_LIKE(1, 2);
static void run(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

/* What dump and verify print goes into a file, so that it can be looked at. */
static int begin(void **state)
{
    struct story *story = mem_zalloc(sizeof *story);
    snprintf(story->directory, sizeof story->directory, "/tmp/ottla-dump-XXXXXX");
    assert_non_null(mkdtemp(story->directory));
    run("tar xzf %s/test/kafka/datadirs/clean.tar.gz -C %s", getenv("OTTLA_SOURCE_ROOT"), story->directory);
    *state = story;
    return 0;
}

static int clean(void **state)
{
    struct story *story = *state;
    run("rm -rf %s", story->directory);
    mem_free(story);
    return 0;
}

static void mute(struct story *story)
{
    char path[96];
    fflush(stdout);
    snprintf(path, sizeof path, "%s/out", story->directory);
    story->out = dup(STDOUT_FILENO);
    story->err = dup(STDERR_FILENO);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    close(file);
}

static void unmute(struct story *story)
{
    fflush(stdout);
    dup2(story->out, STDOUT_FILENO);
    dup2(story->err, STDERR_FILENO);
    close(story->out);
    close(story->err);
}

static int verify(struct story *story)
{
    char data[96];
    snprintf(data, sizeof data, "%s/data", story->directory);
    mute(story);
    int status = cli_verify(data, false);
    unmute(story);
    return status;
}

static int dump(struct story *story, const char *file, bool as_json)
{
    char path[160];
    snprintf(path, sizeof path, "%s/data/%s", story->directory, file);
    const char *files[] = {path};
    mute(story);
    int status = cli_dump(files, 1, as_json);
    unmute(story);
    return status;
}

/* How many lines of the output have the text. */
static int lines_with(const struct story *story, const char *text)
{
    char path[96], *line = NULL;
    size_t capacity = 0;
    int count = 0;
    snprintf(path, sizeof path, "%s/out", story->directory);
    FILE *file = fopen(path, "r");
    while (getline(&line, &capacity, file) >= 0)
        count += strstr(line, text) != NULL;
    free(line);
    fclose(file);
    return count;
}

static void kafkas_directories_are_sound(void **state)
{
    struct story *story = *state;
    if (verify(story) != 0) {
        run("cat %s/out", story->directory);
        fail_msg("there were findings");
    }
    run("rm -rf %s/data && tar xzf %s/test/kafka/datadirs/killed.tar.gz -C %s", story->directory,
        getenv("OTTLA_SOURCE_ROOT"), story->directory);
    assert_int_equal(verify(story), 0);
}

static void damage(const struct story *story, const char *file, int64_t position)
{
    char path[160];
    uint8_t byte;
    snprintf(path, sizeof path, "%s/data/%s", story->directory, file);
    int handle = io_open(path, IO_WRITE);
    assert_true(handle >= 0);
    assert_int_equal(io_pread(handle, &byte, 1, position), 1);
    byte ^= 0xff;
    assert_int_equal(io_pwrite(handle, &byte, 1, position), 1);
    io_close(handle);
}

static void a_turned_byte_is_found(void **state)
{
    static const struct {
        const char *file;
        int64_t position;
    } PLACES[] = {{"codecs-0/00000000000000000000.log", 300},
                  {"codecs-4/00000000000000000000.log", 70},
                  {"plain-0/00000000000000000012.index", 5},
                  {"idem-0/00000000000000000004.timeindex", 0},
                  {"idem-0/leader-epoch-checkpoint", 0},
                  {"replication-offset-checkpoint", 2},
                  {"__cluster_metadata-0/00000000000000000000.log", 100}};
    struct story *story = *state;
    for (size_t i = 0; i < COUNT_OF(PLACES); i++) {
        damage(story, PLACES[i].file, PLACES[i].position);
        if (verify(story) != EXIT_FAILED)
            fail_msg("%s at %lld", PLACES[i].file, (long long)PLACES[i].position);
        assert_true(lines_with(story, "WRONG") > 0);
        assert_true(lines_with(story, PLACES[i].file) > 0);
        damage(story, PLACES[i].file, PLACES[i].position);
    }
    assert_int_equal(verify(story), 0);
}

static void a_directory_in_use_is_refused(void **state)
{
    struct story *story = *state;
    run("rm %s/data/meta.properties", story->directory);
    assert_int_equal(verify(story), EXIT_WRONG);
}

static void records_are_shown_decoded(void **state)
{
    struct story *story = *state;
    assert_int_equal(dump(story, "codecs-4/00000000000000000000.log", true), 0);
    assert_int_equal(lines_with(story, "\"kind\":\"batch\""), 3);
    assert_int_equal(lines_with(story, "\"codec\":\"zstd\""), 3);
    assert_int_equal(lines_with(story, "\"kind\":\"record\""), 60);
    assert_int_equal(dump(story, "__cluster_metadata-0/00000000000000000000.log", true), 0);
    assert_true(lines_with(story, "\"type\":\"TopicRecord\"") > 5);
    assert_true(lines_with(story, "\"control\":\"LEADER_CHANGE\"") > 0);
    assert_int_equal(dump(story, "__cluster_metadata-0/00000000000000000278-0000000001.checkpoint", true), 0);
    assert_int_equal(lines_with(story, "\"control\":\"SNAPSHOT_FOOTER\""), 1);
    assert_int_equal(dump(story, "txn-0/00000000000000000000.log", false), 0);
    assert_true(lines_with(story, "control=COMMIT") > 0);
    assert_true(lines_with(story, "control=ABORT") > 0);
    int commits = 0;
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "__consumer_offsets-%d/00000000000000000000.log", i);
        assert_int_equal(dump(story, path, true), 0);
        commits += lines_with(story, "\"type\":\"OffsetCommitKey\"");
    }
    assert_true(commits > 3);
}

static void what_is_not_known_is_said(void **state)
{
    struct story *story = *state;
    run("echo x > %s/data/notes", story->directory);
    assert_int_equal(dump(story, "notes", false), EXIT_FAILED);
    assert_int_equal(dump(story, "nothing-0/00000000000000000000.log", false), EXIT_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kafkas_directories_are_sound, begin, clean),
        cmocka_unit_test_setup_teardown(a_turned_byte_is_found, begin, clean),
        cmocka_unit_test_setup_teardown(a_directory_in_use_is_refused, begin, clean),
        cmocka_unit_test_setup_teardown(records_are_shown_decoded, begin, clean),
        cmocka_unit_test_setup_teardown(what_is_not_known_is_said, begin, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
