// SPDX-License-Identifier: Apache-2.0
/* ctrl/ctrl_test.h - what the controller's stories share: a directory each, a formatted cluster of node 1, its broker, and
 * the metadata of the directories that Apache Kafka wrote.
 */
#pragma once

#include "ctrl/ctrl__.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#define STORY_MS 1795392313946 // when Kafka formatted its directory
#define assert_ok(expression)                                                                                          \
    do {                                                                                                               \
        struct status assert_ok_ = (expression);                                                                       \
        if (assert_ok_.error != 0)                                                                                     \
            fail_msg("%s: %s", assert_ok_.what, strerror(assert_ok_.error));                                           \
    } while (0)
#define story_test(function) cmocka_unit_test_setup_teardown(function, story_begin, story_end)

enum { STORY_PATH_BYTES = 512, TAR_BLOCK = 512 };

struct story {
    char directory[64], data[96], metadata[128];
    struct meta_settings *settings;
    struct ctrl_options options;
    struct arena arena;
    struct ctrl *ctrl; // open now
    int64_t now_ms;
};

static inline void story_remove(void *context, const char *name)
{
    char path[STORY_PATH_BYTES];
    struct io_stat stat;
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    if (io_stat(path, &stat) == 0 && stat.is_directory) {
        io_list_dir(path, story_remove, path);
        io_rmdir(path);
    } else {
        io_unlink(path);
    }
}

static inline int story_begin(void **state)
{
    struct story *story = mem_zalloc(sizeof *story);
    snprintf(story->directory, sizeof story->directory, "/tmp/ottla-ctrl-XXXXXX");
    if (!mkdtemp(story->directory))
        return -1;
    snprintf(story->data, sizeof story->data, "%s/data", story->directory);
    snprintf(story->metadata, sizeof story->metadata, "%s/__cluster_metadata-0", story->data);
    story->settings = meta_settings_create();
    story->now_ms = STORY_MS;
    arena_init(&story->arena, 64 << 10, 64 << 20);
    story->options = (struct ctrl_options){.metadata_dir = story->data,
                                           .node_id = 1,
                                           .controller = {"CONTROLLER", "127.0.0.1", 41093, 0},
                                           .settings = story->settings,
                                           .now_ms = STORY_MS};
    *state = story;
    return 0;
}

static inline int story_end(void **state)
{
    struct story *story = *state;
    ctrl_free(story->ctrl);
    io_list_dir(story->directory, story_remove, story->directory);
    int result = io_rmdir(story->directory);
    meta_settings_free(story->settings);
    arena_free(&story->arena);
    mem_free(story);
    return result;
}

static inline void story_format(struct story *story)
{
    const char *dirs[] = {story->data};
    struct ctrl_format_options options = {.cluster_id = "AbCdEfGhIjKlMnOpQrStUw",
                                          .node_id = 1,
                                          .log_dirs = dirs,
                                          .log_dir_count = 1,
                                          .metadata_dir = story->data,
                                          .controller = story->options.controller,
                                          .now_ms = STORY_MS};
    assert_ok(ctrl_format(&options));
}

static inline struct ctrl *story_open(struct story *story)
{
    assert_null(story->ctrl);
    assert_ok(ctrl_open(&story->options, &story->ctrl));
    return story->ctrl;
}

/* Without a word, as a kill does. */
static inline void story_kill(struct story *story)
{
    ctrl_free(story->ctrl);
    story->ctrl = NULL;
}

static inline void story_close(struct story *story)
{
    assert_ok(ctrl_close(story->ctrl));
    story_kill(story);
}

static inline struct uuid story_directory_id(const struct story *story)
{
    struct dir_properties properties;
    bool exists;
    assert_ok(dir_properties_read(story->data, &properties, &exists));
    assert_true(exists);
    return properties.directory_id;
}

/* Node 1 has its real directory, others one made of their number. */
static inline int64_t story_register(struct story *story, int32_t node_id, int64_t previous_epoch)
{
    struct meta_endpoint endpoint = {slice_str("PLAINTEXT"), slice_str("127.0.0.1"), 41092, 0};
    struct uuid directory = {{1, 2, 3, (uint8_t)node_id}};
    if (node_id == 1)
        directory = story_directory_id(story);
    struct ctrl_registration registration = {.node_id = node_id,
                                             .incarnation = ctrl__uuid_random(),
                                             .endpoints = &endpoint,
                                             .endpoint_count = 1,
                                             .directories = &directory,
                                             .directory_count = 1,
                                             .previous_epoch = previous_epoch};
    int64_t epoch;
    assert_ok(ctrl_register_broker(story->ctrl, &registration, story->now_ms, &epoch));
    return epoch;
}

static inline int64_t story_start_broker(struct story *story, int32_t node_id, int64_t previous_epoch)
{
    int64_t epoch = story_register(story, node_id, previous_epoch);
    assert_ok(ctrl_unfence_broker(story->ctrl, node_id, story->now_ms));
    return epoch;
}

static inline struct ctrl_new_topic_result story_try_topic(struct story *story, const struct ctrl_new_topic *topic)
{
    struct ctrl_new_topic_result result;
    assert_ok(ctrl_create_topics(story->ctrl, topic, 1, false, NULL, &story->arena, story->now_ms, &result));
    return result;
}

static inline struct uuid story_topic(struct story *story, const char *name, int32_t partitions, int16_t replicas)
{
    struct ctrl_new_topic topic = {.name = slice_str(name), .partitions = partitions, .replication_factor = replicas};
    struct ctrl_new_topic_result result = story_try_topic(story, &topic);
    if (result.result.error != 0)
        fail_msg("%s: %.*s", name, (int)result.result.message.size, (const char *)result.result.message.data);
    return result.id;
}

static inline const struct meta_partition *story_partition(const struct story *story, const char *topic, int32_t index)
{
    const struct meta_topic *found = meta_topic_by_name(ctrl_view(story->ctrl), slice_str(topic));
    assert_non_null(found);
    const struct meta_partition *partition = meta_topic_partition(found, index);
    assert_non_null(partition);
    return partition;
}

static inline void assert_slice(struct slice slice, const char *text)
{
    if (!slice_equal(slice, slice_str(text)))
        fail_msg("\"%.*s\" is not \"%s\"", (int)slice.size, slice.data ? (const char *)slice.data : "",
                 text ? text : "");
}

static inline void assert_result(const struct ctrl_result *result, int16_t error, const char *message)
{
    if (result->error != error)
        fail_msg("%s, not %s: %.*s", kafka_error_name(result->error), kafka_error_name(error),
                 (int)result->message.size, result->message.data ? (const char *)result->message.data : "");
    assert_slice(result->message, message);
}

static inline void story_path(const struct story *story, const char *name, char ret_path[STORY_PATH_BYTES])
{
    snprintf(ret_path, STORY_PATH_BYTES, "%s/%s", story->data, name);
}

static inline void story_read(const struct story *story, const char *name, struct buffer *ret_bytes)
{
    char path[STORY_PATH_BYTES];
    bool exists;
    story_path(story, name, path);
    assert_ok(ctrl__file_read(path, ret_bytes, &exists));
    if (!exists)
        fail_msg("%s is not there", path);
}

/* ---- what Kafka wrote: of clean.tar.gz or killed.tar.gz, the metadata and the files beside the partitions. Indexes that
 * the archive keeps as sparse files are left out: they are rebuilt. */
static inline void story_source(const char *name, char ret_path[STORY_PATH_BYTES])
{
    const char *root = getenv("OTTLA_SOURCE_ROOT");
    snprintf(ret_path, STORY_PATH_BYTES, "%s/test/kafka/datadirs/%s", root ? root : ".", name);
}

static inline void story_unpack_file(gzFile archive, const char *path, int64_t size)
{
    uint8_t block[TAR_BLOCK];
    int file = path ? io_open(path, IO_WRITE | IO_CREATE | IO_TRUNCATE) : -1;
    assert_true(!path || file >= 0);
    for (int64_t at = 0; at < size; at += TAR_BLOCK) {
        assert_int_equal(gzread(archive, block, TAR_BLOCK), TAR_BLOCK);
        size_t part = (size_t)min_i64(TAR_BLOCK, size - at);
        assert_true(!path || io_pwrite(file, block, part, at) == (int64_t)part);
    }
    if (path)
        io_close(file);
}

static inline void story_unpack(struct story *story, const char *archive_name, const char *to)
{
    char path[STORY_PATH_BYTES], header[TAR_BLOCK], base[128];
    snprintf(base, sizeof base, "%s/%s", story->directory, to);
    io_mkdir(base);
    story_source(archive_name, path);
    gzFile archive = gzopen(path, "rb");
    assert_non_null(archive);
    while (gzread(archive, header, TAR_BLOCK) == TAR_BLOCK && header[0] != '\0') {
        const char *inside = strchr(header, '/');
        bool is_metadata = strstr(header, "__cluster_metadata-0") || !strchr(inside + 1, '/');
        snprintf(path, sizeof path, "%s%.100s", base, inside);
        if (header[156] == '5' && is_metadata && path[strlen(path) - 1] == '/' && inside[1] != '\0') {
            path[strlen(path) - 1] = '\0';
            io_mkdir(path);
        }
        for (char more = header[156] == 'S' ? header[482] : 0; more;) { // the map goes on in extra blocks
            char map[TAR_BLOCK];
            assert_int_equal(gzread(archive, map, TAR_BLOCK), TAR_BLOCK);
            more = map[504];
        }
        story_unpack_file(archive, header[156] == '0' && is_metadata ? path : NULL, strtoll(header + 124, NULL, 8));
    }
    gzclose(archive);
}
