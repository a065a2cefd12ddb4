// SPDX-License-Identifier: Apache-2.0
/* ctrl/format_test.c - a format beside that of Apache Kafka 4.3.1, byte for byte but for times and random ids; and what
 * is not formatted over.
 */
#include "ctrl/ctrl_test.h"

/* Times and CRCs of all batches become 0. */
static void times_forget(struct buffer *bytes)
{
    struct slice rest = slice_of(bytes->data, bytes->size), batch;
    while (record_batch_next(&rest, &batch)) {
        uint8_t *head = (uint8_t *)(uintptr_t)batch.data;
        assert_true(record_batch_is_intact(batch));
        memset(head + RECORD_BATCH_CRC_AT, 0, 4);
        memset(head + RECORD_BATCH_BASE_TIMESTAMP_AT, 0, 16);
    }
    assert_int_equal(rest.size, 0);
}

static void assert_same(struct buffer *ours, struct buffer *theirs)
{
    times_forget(ours);
    times_forget(theirs);
    assert_int_equal(ours->size, theirs->size);
    assert_memory_equal(ours->data, theirs->data, ours->size);
}

static void kafka_read(struct story *story, const char *name, struct buffer *ret_bytes)
{
    char path[STORY_PATH_BYTES];
    bool exists;
    snprintf(path, sizeof path, "%s/kafka/%s", story->directory, name);
    assert_ok(ctrl__file_read(path, ret_bytes, &exists));
    assert_true(exists);
}

static void the_bootstrap_is_that_of_kafka(void **state)
{
    struct story *story = *state;
    struct buffer ours CLEANUP(buffer_free) = {0}, theirs CLEANUP(buffer_free) = {0};
    story_unpack(story, "clean.tar.gz", "kafka");
    story_format(story);
    story_read(story, "bootstrap.checkpoint", &ours);
    kafka_read(story, "bootstrap.checkpoint", &theirs);
    assert_same(&ours, &theirs);
}

static void bytes_replace(struct buffer *bytes, struct uuid from, struct uuid to)
{
    int found = 0;
    for (size_t at = 0; at + sizeof from.bytes <= bytes->size; at++)
        if (memcmp(bytes->data + at, from.bytes, sizeof from.bytes) == 0) {
            memcpy(bytes->data + at, to.bytes, sizeof to.bytes);
            found++;
        }
    assert_int_equal(found, 1);
}

static void the_first_snapshot_is_that_of_kafka(void **state)
{
    struct story *story = *state;
    static const char NAME[] = "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint";
    struct buffer ours CLEANUP(buffer_free) = {0}, theirs CLEANUP(buffer_free) = {0};
    struct uuid kafkas_id;
    story_unpack(story, "clean.tar.gz", "kafka");
    story_format(story);
    story_read(story, NAME, &ours);
    kafka_read(story, NAME, &theirs);
    assert_true(uuid_from_text(slice_str("M2VNhwmETwaPi8UI9XxppA"), &kafkas_id));
    times_forget(&ours);
    bytes_replace(&ours, story_directory_id(story), kafkas_id);
    times_forget(&theirs);
    assert_int_equal(ours.size, theirs.size);
    assert_memory_equal(ours.data, theirs.data, ours.size);
}

static void every_directory_has_an_id_of_its_own(void **state)
{
    struct story *story = *state;
    char second[STORY_PATH_BYTES], metadata[STORY_PATH_BYTES];
    snprintf(second, sizeof second, "%s/deep/er", story->directory);
    snprintf(metadata, sizeof metadata, "%s/meta", story->directory);
    const char *dirs[] = {story->data, second};
    struct ctrl_format_options options = {.node_id = 7,
                                          .log_dirs = dirs,
                                          .log_dir_count = 2,
                                          .metadata_dir = metadata,
                                          .controller = story->options.controller,
                                          .now_ms = STORY_MS};
    assert_ok(ctrl_format(&options));
    const char *all[] = {story->data, second, metadata};
    struct dir_properties found[3];
    for (int i = 0; i < 3; i++) {
        bool exists;
        assert_ok(dir_properties_read(all[i], &found[i], &exists));
        assert_true(exists);
        assert_int_equal(found[i].node_id, 7);
        assert_string_equal(found[i].cluster_id, found[0].cluster_id);
        for (int k = 0; k < i; k++)
            assert_false(uuid_equal(found[i].directory_id, found[k].directory_id));
    }
    assert_int_equal(strlen(found[0].cluster_id), 22);
    struct io_stat stat;
    snprintf(metadata, sizeof metadata, "%s/__cluster_metadata-0", story->data);
    assert_int_equal(io_stat(metadata, &stat), 0);
    assert_false(stat.exists); // only where the metadata lies
}

static bool is_unformatted(struct story *story)
{
    const char *dirs[] = {story->data};
    bool unformatted;
    assert_ok(ctrl_is_unformatted(dirs, 1, story->data, &unformatted));
    return unformatted;
}

static void touch(struct story *story, const char *name)
{
    char path[STORY_PATH_BYTES];
    story_path(story, name, path);
    int file = io_open(path, IO_WRITE | IO_CREATE);
    assert_true(file >= 0);
    io_close(file);
}

static void data_is_not_formatted_over(void **state)
{
    struct story *story = *state;
    assert_true(is_unformatted(story)); // there is no directory
    io_mkdir(story->data);
    assert_true(is_unformatted(story));
    touch(story, ".lock");
    touch(story, "lost+found");
    assert_true(is_unformatted(story));
    touch(story, "recovery-point-offset-checkpoint");
    assert_false(is_unformatted(story));
    const char *dirs[] = {story->data};
    struct ctrl_format_options options = {.node_id = 1,
                                          .log_dirs = dirs,
                                          .log_dir_count = 1,
                                          .metadata_dir = story->data,
                                          .controller = story->options.controller};
    assert_int_equal(ctrl_format(&options).error, EEXIST);
}

static void a_format_that_was_cut_short_is_done_again(void **state)
{
    struct story *story = *state;
    char path[STORY_PATH_BYTES];
    story_format(story);
    assert_false(is_unformatted(story));
    story_path(story, "meta.properties", path); // it comes last
    assert_int_equal(io_unlink(path), 0);
    assert_true(is_unformatted(story));
    touch(story, "__cluster_metadata-0/00000000000000000000.log");
    assert_false(is_unformatted(story));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(the_bootstrap_is_that_of_kafka),
        story_test(the_first_snapshot_is_that_of_kafka),
        story_test(every_directory_has_an_id_of_its_own),
        story_test(data_is_not_formatted_over),
        story_test(a_format_that_was_cut_short_is_done_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
