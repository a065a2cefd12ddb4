// SPDX-License-Identifier: Apache-2.0
/* meta/kafka_log_test.c - the metadata logs and snapshots that Apache Kafka 4.3.1 wrote give what its own client read back.
 *
 * The archives and Kafka's answers (state.json) lie under test/kafka/datadirs. The archive is read in memory: the metadata
 * log's one segment and its snapshots.
 */
#include "meta/meta_test.h"
#include "record/record.h"

#include <jansson.h>
#include <zlib.h>

enum { TAR_BLOCK = 512, FILES_MAX = 16 };
static const char METADATA[] = "data/__cluster_metadata-0/";

struct metadata_file {
    char name[64];
    struct buffer bytes;
};

struct archive {
    struct metadata_file files[FILES_MAX];
    int count;
    json_t *state;
};

static void source_path(char *ret_path, size_t size, const char *format, const char *name)
{
    char relative[128];
    snprintf(relative, sizeof relative, format, name);
    snprintf(ret_path, size, "%s/test/kafka/datadirs/%s", getenv("OTTLA_SOURCE_ROOT"), relative);
}

static bool is_wanted(const char *name)
{
    size_t size = strlen(name);
    return strncmp(name, METADATA, sizeof METADATA - 1) == 0 &&
           ((size > 4 && strcmp(name + size - 4, ".log") == 0) ||
            (size > 11 && strcmp(name + size - 11, ".checkpoint") == 0));
}

static int64_t entry_bytes(const char *header) // in the archive; pieces of a sparse file follow one another
{
    return (strtoll(header + 124, NULL, 8) + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static void read_entry(struct archive *archive, gzFile file, const char *header)
{
    assert_true(archive->count < FILES_MAX);
    assert_true(header[156] == '0' || header[156] == 'S');
    struct metadata_file *entry = &archive->files[archive->count++];
    snprintf(entry->name, sizeof entry->name, "%.63s", header + sizeof METADATA - 1);
    int64_t size = strtoll(header + 124, NULL, 8);
    for (int64_t at = 0; at < size; at += TAR_BLOCK) {
        uint8_t block[TAR_BLOCK];
        assert_int_equal(gzread(file, block, TAR_BLOCK), TAR_BLOCK);
        buffer_append(&entry->bytes, block, (size_t)min_i64(TAR_BLOCK, size - at));
    }
}

static void archive_open(struct archive *ret_archive, const char *name)
{
    char path[4096], header[TAR_BLOCK];
    *ret_archive = (struct archive){.count = 0};
    source_path(path, sizeof path, "%s.tar.gz", name);
    gzFile file = gzopen(path, "rb");
    assert_non_null(file);
    while (gzread(file, header, TAR_BLOCK) == TAR_BLOCK && header[0] != 0) {
        if (is_wanted(header))
            read_entry(ret_archive, file, header);
        else
            assert_true(gzseek(file, entry_bytes(header), SEEK_CUR) >= 0);
    }
    gzclose(file);
    source_path(path, sizeof path, "%s/state.json", name);
    ret_archive->state = json_load_file(path, 0, NULL);
    assert_non_null(ret_archive->state);
}

static void archive_close(struct archive *archive)
{
    for (int i = 0; i < archive->count; i++)
        buffer_free(&archive->files[i].bytes);
    json_decref(archive->state);
}

static void apply_batch(struct meta_builder *builder, struct slice batch)
{
    struct record_walk walk;
    struct record record;
    if (record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CONTROL)
        return;
    record_walk_begin(&walk, batch);
    while (record_walk_next(&walk, &record)) {
        apply_ok(builder, record.value);
        meta_builder_position(builder, record.offset, record_batch_leader_epoch(batch.data), record.timestamp_ms);
    }
    assert_false(walk.failed);
    record_walk_end(&walk);
}

static void apply_file(struct meta_builder *builder, const struct metadata_file *file)
{
    struct slice rest = slice_of(file->bytes.data, file->bytes.size), batch;
    while (record_batch_next(&rest, &batch)) {
        assert_true(record_batch_is_intact(batch));
        apply_batch(builder, batch);
    }
    assert_true(rest.size == 0 || rest.data[16] == 0); // nothing, or the preallocated end
}

/* The log from its first record on; with the bootstrap of the first checkpoint where there is none in the log. */
static struct meta_image *log_image(const struct archive *archive)
{
    struct meta_builder *builder = meta_builder_create(NULL);
    for (int i = 0; i < archive->count; i++)
        if (strstr(archive->files[i].name, ".log"))
            apply_file(builder, &archive->files[i]);
    struct meta_image *image = meta_builder_image(builder);
    meta_builder_free(builder);
    return image;
}

static void check_topics(const struct meta_image *image, json_t *topics)
{
    const char *name;
    json_t *expected, *value;
    assert_int_equal(image->topic_count, json_object_size(topics));
    json_object_foreach(topics, name, expected)
    {
        const struct meta_topic *topic = meta_topic_by_name(image, slice_str(name));
        assert_non_null(topic);
        char id[UUID_TEXT_SIZE];
        uuid_to_text(topic->id, id);
        assert_string_equal(id, json_string_value(json_object_get(expected, "id")));
        assert_ptr_equal(meta_topic_by_id(image, topic->id), topic);
        assert_int_equal(topic->partition_count, json_array_size(json_object_get(expected, "partitions")));
        assert_int_equal(meta_topic_is_internal(topic->name),
                         json_boolean_value(json_object_get(expected, "internal")));
        const struct meta_configs *configs = meta_configs(image, META_RESOURCE_TOPIC, topic->name);
        json_t *wanted = json_object_get(expected, "configs");
        assert_int_equal(configs ? configs->entry_count : 0, json_object_size(wanted));
        const char *key;
        json_object_foreach(wanted, key, value)
            assert_true(slice_equal_str(meta_configs_get(configs, slice_str(key)), json_string_value(value)));
    }
}

static void check_partitions(const struct meta_image *image)
{
    struct meta_walk walk;
    int32_t count = 0;
    meta_topics_begin(image, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));)
        for (int32_t i = 0; i < topic->partition_count; i++, count++) {
            const struct meta_partition *partition = meta_topic_partition(topic, i);
            assert_non_null(partition);
            assert_true(meta_partition_has_replica(partition, 1));
            assert_false(meta_partition_has_replica(partition, 2));
            assert_false(uuid_is_zero(meta_partition_directory(partition, 1)));
        }
    assert_int_equal(count, image->partition_count);
}

static void check_features(const struct meta_image *image, json_t *features)
{
    const char *name;
    json_t *level;
    json_object_foreach(features, name, level) if (strcmp(name, "kraft.version") != 0) // a control record's business
        assert_int_equal(meta_feature_level(image, name), json_integer_value(level));
    assert_int_equal(image->metadata_version, 30);
    assert_int_equal(image->elr_version, 1);
}

static void check_scram(const struct meta_image *image, json_t *scram)
{
    struct meta_walk walk;
    size_t count = 0;
    meta_walk_begin(image->scrams, &walk);
    for (const struct meta_scram *item; (item = (const void *)meta_walk_next(&walk)); count++) {
        json_t *wanted = json_array_get(json_object_get(scram, (const char *)item->user.data), 0);
        assert_string_equal(json_string_value(json_object_get(wanted, "mechanism")),
                            item->mechanism == 1 ? "SCRAM-SHA-256" : "SCRAM-SHA-512");
        assert_int_equal(json_integer_value(json_object_get(wanted, "iterations")), item->iterations);
        assert_int_equal(item->stored_key.size, item->mechanism == 1 ? 32 : 64);
        assert_int_equal(item->server_key.size, item->stored_key.size);
        assert_true(slice_equal_str(item->salt, item->mechanism == 1 ? "fixed-salt-alice" : "fixed-salt-bob"));
    }
    assert_int_equal(count, json_object_size(scram));
}

static bool is_entity(const struct meta_quota *quota, json_t *entity)
{
    if (json_object_size(entity) != (size_t)quota->part_count)
        return false;
    for (int32_t i = 0; i < quota->part_count; i++) {
        json_t *name = json_object_get(entity, (const char *)quota->parts[i].type.data);
        const char *text = json_string_value(name);
        if (!name || (text ? !slice_equal_str(quota->parts[i].name, text) : !slice_is_null(quota->parts[i].name)))
            return false;
    }
    return true;
}

static void check_quotas(const struct meta_image *image, json_t *quotas)
{
    struct meta_walk walk;
    size_t count = 0, wanted = 0, i;
    json_t *each;
    json_array_foreach(quotas, i, each) wanted += json_object_size(json_object_get(each, "values"));
    meta_walk_begin(image->quotas, &walk);
    for (const struct meta_quota *quota; (quota = (const void *)meta_walk_next(&walk)); count++) {
        json_t *value = NULL;
        json_array_foreach(quotas, i, each) if (is_entity(quota, json_object_get(each, "entity"))) value =
            json_object_get(json_object_get(each, "values"), (const char *)quota->key.data);
        assert_non_null(value);
        assert_true(json_real_value(value) == quota->value);
    }
    assert_int_equal(count, wanted);
}

static void check_acls(const struct meta_image *image, json_t *acls)
{
    static const char *const resources[] = {[2] = "TOPIC", [3] = "GROUP", [4] = "CLUSTER"},
                             *const patterns[] = {[3] = "LITERAL", [4] = "PREFIXED"},
                             *const operations[] = {[2] = "ALL", [3] = "READ", [4] = "WRITE"},
                             *const permissions[] = {[2] = "DENY", [3] = "ALLOW"};
    struct meta_walk walk;
    size_t count = 0, i;
    json_t *each;
    meta_walk_begin(image->acls, &walk);
    for (const struct meta_acl *acl; (acl = (const void *)meta_walk_next(&walk)); count++) {
        char text[256];
        snprintf(text, sizeof text, "%s %s %s %s %s %s %s", resources[acl->resource_type], acl->resource_name.data,
                 patterns[acl->pattern_type], acl->principal.data, acl->host.data, operations[acl->operation],
                 permissions[acl->permission_type]);
        bool found = false;
        json_array_foreach(acls, i, each) found = found || strcmp(json_string_value(each), text) == 0;
        assert_true(found);
    }
    assert_int_equal(count, json_array_size(acls));
}

/* "value (SOURCE)" under "TYPE:name"; a broker's listing shows the cluster-wide settings too. */
static void check_other_configs(const struct meta_image *image, json_t *others)
{
    const char *resource, *key;
    json_t *entries, *value;
    int compared = 0;
    json_object_foreach(others, resource, entries) json_object_foreach(entries, key, value)
    {
        enum meta_config_resource type = strncmp(resource, "BROKER", 6) == 0  ? META_RESOURCE_BROKER
                                         : strncmp(resource, "GROUP", 5) == 0 ? META_RESOURCE_GROUP
                                                                              : META_RESOURCE_CLIENT_METRICS;
        const char *name = strchr(resource, ':') + 1, *text = json_string_value(value);
        if (strstr(text, "(DYNAMIC_DEFAULT_BROKER_CONFIG)"))
            name = "";
        struct slice set = meta_configs_get(meta_configs(image, type, slice_str(name)), slice_str(key));
        assert_non_null(set.data);
        assert_int_equal(strncmp(text, (const char *)set.data, set.size), 0);
        assert_int_equal(strncmp(text + set.size, " (", 2), 0);
        compared++;
    }
    assert_true(compared >= 8);
}

static void check_nodes(const struct meta_image *image)
{
    const struct meta_broker *broker = meta_broker(image, 1), *controller = meta_controller(image, 1);
    assert_non_null(broker);
    assert_int_equal(broker->directory_count, 1);
    assert_true(broker->epoch > 0);
    assert_non_null(meta_broker_endpoint(broker, slice_str("PLAINTEXT")));
    assert_null(meta_broker_endpoint(broker, slice_str("CONTROLLER")));
    assert_non_null(controller);
    assert_non_null(meta_broker_endpoint(controller, slice_str("CONTROLLER")));
    assert_null(meta_broker(image, 2));
}

static void log_says_what_kafka_answered(const char *name)
{
    struct archive archive;
    archive_open(&archive, name);
    struct meta_image *image = log_image(&archive);
    check_topics(image, json_object_get(archive.state, "topics"));
    check_partitions(image);
    check_features(image, json_object_get(archive.state, "finalized_features"));
    check_scram(image, json_object_get(archive.state, "scram"));
    check_quotas(image, json_object_get(archive.state, "quotas"));
    check_acls(image, json_object_get(archive.state, "acls"));
    check_other_configs(image, json_object_get(archive.state, "other_configs"));
    check_nodes(image);
    assert_true(image->next_producer_id > 0);
    assert_snapshot_gives(image);
    meta_image_unref(image);
    archive_close(&archive);
}

static void log_of_a_clean_stop_says_what_kafka_answered(void **state)
{
    log_says_what_kafka_answered("clean");
}

static void log_of_a_killed_node_says_what_kafka_answered(void **state)
{
    log_says_what_kafka_answered("killed");
}

/* The image of the log's records below an offset. */
static struct meta_image *image_until(const struct archive *archive, int64_t end)
{
    struct meta_builder *builder = meta_builder_create(NULL);
    for (int i = 0; i < archive->count; i++) {
        struct slice rest = slice_of(archive->files[i].bytes.data, archive->files[i].bytes.size), batch;
        while (strstr(archive->files[i].name, ".log") && record_batch_next(&rest, &batch) &&
               record_batch_base_offset(batch.data) < end)
            apply_batch(builder, batch);
    }
    struct meta_image *image = meta_builder_image(builder);
    meta_builder_free(builder);
    return image;
}

/* What Kafka leaves out of a snapshot: who asked for producer ids. */
static void kafkas_snapshots_equal_the_log_until_there(void **state)
{
    struct archive archive;
    archive_open(&archive, "clean");
    int compared = 0;
    for (int i = 0; i < archive.count; i++) {
        int64_t end = strtoll(archive.files[i].name, NULL, 10);
        if (!strstr(archive.files[i].name, ".checkpoint") || end == 0)
            continue;
        struct meta_builder *builder = meta_builder_create(NULL);
        apply_file(builder, &archive.files[i]);
        struct meta_image *snapshot = meta_builder_image(builder), *log = image_until(&archive, end);
        log->producer_ids_broker_id = snapshot->producer_ids_broker_id;
        log->producer_ids_broker_epoch = snapshot->producer_ids_broker_epoch;
        assert_true(meta_image_equal(snapshot, log));
        meta_image_unref(snapshot);
        meta_image_unref(log);
        meta_builder_free(builder);
        compared++;
    }
    assert_true(compared >= 5);
    archive_close(&archive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_of_a_clean_stop_says_what_kafka_answered),
        cmocka_unit_test(log_of_a_killed_node_says_what_kafka_answered),
        cmocka_unit_test(kafkas_snapshots_equal_the_log_until_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
