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
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct story {
    char directory[64];
    int out, err; // the process's own
};

/* Runs a program and waits for it to end well. */
static void run(const char *const *argv)
{
    pid_t pid;
    int status = -1;
    assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static void unpack(const struct story *story, const char *archive)
{
    char path[512];
    snprintf(path, sizeof path, "%s/test/kafka/datadirs/%s", getenv("OTTLA_SOURCE_ROOT"), archive);
    RUN("tar", "xzf", path, "-C", story->directory);
}

static const char *path_in(const struct story *story, const char *name, char ret_path[160])
{
    snprintf(ret_path, 160, "%s/%s", story->directory, name);
    return ret_path;
}

/* What dump and verify print goes into a file, so that it can be looked at. */
static int begin(void **state)
{
    struct story *story = mem_zalloc(sizeof *story);
    snprintf(story->directory, sizeof story->directory, "/tmp/ottla-dump-XXXXXX");
    assert_non_null(mkdtemp(story->directory));
    unpack(story, "clean.tar.gz");
    *state = story;
    return 0;
}

static int clean(void **state)
{
    struct story *story = *state;
    RUN("rm", "-rf", story->directory);
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
    char path[160];
    if (verify(story) != 0) {
        RUN("cat", path_in(story, "out", path));
        fail_msg("there were findings");
    }
    RUN("rm", "-rf", path_in(story, "data", path));
    unpack(story, "killed.tar.gz");
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

static void what_is_no_data_directory_is_refused(void **state)
{
    struct story *story = *state;
    char path[160];
    RUN("rm", path_in(story, "data/meta.properties", path));
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
    char path[160];
    RUN("touch", path_in(story, "data/notes", path));
    assert_int_equal(dump(story, "notes", false), EXIT_FAILED);
    assert_int_equal(dump(story, "nothing-0/00000000000000000000.log", false), EXIT_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kafkas_directories_are_sound, begin, clean),
        cmocka_unit_test_setup_teardown(a_turned_byte_is_found, begin, clean),
        cmocka_unit_test_setup_teardown(what_is_no_data_directory_is_refused, begin, clean),
        cmocka_unit_test_setup_teardown(records_are_shown_decoded, begin, clean),
        cmocka_unit_test_setup_teardown(what_is_not_known_is_said, begin, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
