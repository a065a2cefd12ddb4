// SPDX-License-Identifier: Apache-2.0
/* main/options.c - from settings to what the broker and its listeners are started with; what must fit together is checked.
 *
 * One node is served: it is broker and controller, its quorum has one voter, itself. Directories: log.dirs, else log.dir;
 * without a file of settings the user's data home. Everything that is wrong is told before the start is given up.
 */
#include "main/settings.h"

#include "http/http.h"
#include "main/properties.h"

#include <errno.h>
#include <stdlib.h>

enum { PATH_SIZE_MAX = 3800 }; // leaves room for a partition's directory and a segment's name in PATH_MAX

/* ---- who this node is */
static int32_t node_id(struct settings *settings)
{
    const struct given *node = settings__given(settings, "node.id"), *broker = settings__given(settings, "broker.id");
    int64_t id = settings_get_i64(settings, "node.id");
    if (!broker)
        return (int32_t)id;
    int64_t old_id = settings_get_i64(settings, "broker.id");
    if (node && old_id != id && old_id != -1)
        settings__error(settings, "broker.id", "broker.id=%lld and node.id=%lld differ; give node.id alone",
                        (long long)old_id, (long long)id);
    if (node || old_id == -1)
        return (int32_t)id;
    if (old_id < 0)
        settings__error(settings, "broker.id", "broker.id=%lld: ids of nodes are 0 or more", (long long)old_id);
    meta_settings_set(settings->values, "node.id", broker->value);
    return (int32_t)old_id;
}

/* A directory that exists says whose it is: with no id given, start as that node. */
static void adopt_node_id(struct settings *settings, const char *directory)
{
    char path[PATH_SIZE_MAX + 32];
    struct properties properties CLEANUP(properties__free) = {0};
    if (!directory || settings__given(settings, "node.id") || settings__given(settings, "broker.id"))
        return;
    snprintf(path, sizeof path, "%s/meta.properties", directory);
    if (!settings__read_properties(path, &properties))
        return; // a fresh one, or one that the broker will have to say something about
    for (int i = 0; i < properties.count; i++) {
        char message[META_MESSAGE_SIZE];
        const struct meta_config_def *def = meta_config_find(&meta_broker_configs, slice_str("node.id"));
        if (strcmp(properties.items[i].key, "node.id") == 0 &&
            meta_config_validate(def, slice_str(properties.items[i].value), message))
            meta_settings_set(settings->values, "node.id", properties.items[i].value);
    }
}

/* 1@127.0.0.1:9093 */
static void check_voter(struct settings *settings, struct slice voter, int32_t id)
{
    static const char SETTING[] = "controller.quorum.voters";
    char text[512], host[256], why[ADDRESS_FAULT_SIZE], *end = text;
    uint16_t port;
    snprintf(text, sizeof text, "%.*s", (int)voter.size, (const char *)voter.data);
    long long voter_id = strtoll(text, &end, 10);
    if (end == text || *end != '@')
        settings__error(settings, SETTING, "%s: %s: expected ID@HOST:PORT, for example %d@127.0.0.1:9093", SETTING,
                        text, (int)id);
    else if (!address__parse(slice_str(end + 1), host, &port, why))
        settings__error(settings, SETTING, "%s: %s: %s", SETTING, text, why);
    else if (voter_id != id)
        settings__error(settings, SETTING,
                        "%s names node %lld, but this is node %d: clusters of several nodes are not served yet",
                        SETTING, voter_id, (int)id);
}

static void check_quorum(struct settings *settings, int32_t id)
{
    static const char VOTERS[] = "controller.quorum.voters", SERVERS[] = "controller.quorum.bootstrap.servers";
    const char *rest = settings_get(settings, VOTERS);
    struct slice one;
    for (int count = 0; settings__next(&rest, &one); count++) {
        if (count == 0)
            check_voter(settings, one, id);
        else if (count == 1)
            settings__error(settings, VOTERS,
                            "%s has more than one voter; clusters of several nodes are not served yet", VOTERS);
    }
    rest = settings_get(settings, SERVERS);
    for (int count = 0; settings__next(&rest, &one); count++)
        if (count == 1)
            settings__error(settings, SERVERS,
                            "%s has more than one controller; clusters of several nodes are not served yet", SERVERS);
}

/* Kafka's defaults suit three brokers: with one, the internal topics could not be made. */
static void warn_of_replicas(struct settings *settings)
{
    static const char *const NAMES[] = {"offsets.topic.replication.factor", "default.replication.factor"};
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        int64_t replicas = settings_get_i64(settings, NAMES[i]);
        if (replicas > 1)
            settings__warn(settings, NAMES[i],
                           "%s is %lld but there is one broker: such topics cannot be made; set %s=1", NAMES[i],
                           (long long)replicas, NAMES[i]);
    }
}

/* ---- directories */
/* The user's data home; NULL when the environment names none. */
static char *data_home(void)
{
    const char *base = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char path[PATH_SIZE_MAX];
    int size = -1;
    if (base && *base == '/')
        size = snprintf(path, sizeof path, "%s/ottla", base);
    else if (home && *home == '/')
        size = snprintf(path, sizeof path, "%s/.local/share/ottla", home);
    return size > 0 && size < PATH_SIZE_MAX ? mem_strdup(path) : NULL;
}

static void add_directory(struct settings *settings, const char *name, struct slice path, struct serve_options *options)
{
    if (path.size >= PATH_SIZE_MAX) {
        settings__error(settings, name, "%s: a path of %zu bytes is too long", name, path.size);
        return;
    }
    for (int i = 0; i < options->broker.log_dir_count; i++) {
        if (slice_equal_str(path, options->texts[i])) {
            settings__error(settings, name, "%s names %s twice", name, options->texts[i]);
            return;
        }
    }
    if (options->broker.log_dir_count == LOG_DIRS_MAX) {
        settings__error(settings, name, "more than %d log directories are not served", (int)LOG_DIRS_MAX);
        return;
    }
    int index = options->broker.log_dir_count++;
    options->texts[index] = slice_to_str(path);
    options->broker.log_dirs[index] = options->texts[index];
}

static void make_log_dirs(struct settings *settings, struct serve_options *options)
{
    const char *name = settings__given(settings, "log.dirs") ? "log.dirs" : "log.dir";
    bool given = settings__given(settings, name) != NULL;
    char *home CLEANUP(settings__text_free) = !given && !settings->file ? data_home() : NULL;
    if (home)
        meta_settings_set(settings->values, "log.dirs", home);
    else if (!given && !settings->file)
        settings__error(settings, NULL,
                        "neither XDG_DATA_HOME nor HOME is set: say where the data shall lie with --data DIR");
    else if (!given)
        settings__warn(settings, NULL,
                       "%s sets no log.dirs, so Kafka's default counts, %s, which a restart of the machine may empty",
                       settings->file, settings_get(settings, "log.dir"));
    const char *paths = home ? home : settings_get(settings, name);
    if (given && strcmp(settings__given(settings, name)->where, "--data") == 0) {
        add_directory(settings, name, slice_str(paths), options); // one directory, even when its name has a comma
        return;
    }
    for (struct slice path; !home && settings__next(&paths, &path);)
        add_directory(settings, name, path, options);
    if (home)
        add_directory(settings, name, slice_str(home), options);
    if (options->broker.log_dir_count == 0 && settings->error_count == 0)
        settings__error(settings, name, "%s is empty; name the directory for the data", name);
}

static void make_directories(struct settings *settings, struct serve_options *options)
{
    make_log_dirs(settings, options);
    const char *metadata = settings_get(settings, "metadata.log.dir");
    if (!metadata || !*metadata)
        metadata = options->texts[0];
    options->metadata_dir = metadata ? mem_strdup(metadata) : NULL;
    options->broker.metadata_dir = options->metadata_dir;
}

/* ---- the rest */
static void make_http(struct settings *settings, struct serve_options *options)
{
    static const char SETTING[] = "ottla.http.listener";
    const char *text = settings_get(settings, SETTING);
    char why[ADDRESS_FAULT_SIZE];
    options->http_on = text && *text && strcmp(text, "off") != 0;
    if (!options->http_on)
        return;
    if (!address__parse(slice_str(text), options->http_host, &options->http_port, why))
        settings__error(settings, SETTING, "%s=%s: %s, or off", SETTING, text, why);
    else if (!http_is_loopback(options->http_host))
        settings__error(settings, SETTING,
                        "%s=%s: metrics are served on loopback only, since they ask nobody for a password; use "
                        "127.0.0.1:%d, or off",
                        SETTING, text, (int)options->http_port);
}

/* The kernel begins to slow writers down when about 15 % of the memory is dirty. With durability fsync the bytes are on
 * their way to the disk at once, and a small budget costs nothing; page-cache is chosen for what the memory can take. */
static int64_t default_unflushed_max(bool fsync)
{
    static const int64_t MIN_BYTES = 16 << 20, FSYNC_MAX_BYTES = 1 << 30, CACHE_MAX_BYTES = 4LL << 30;
    int64_t memory = io_memory_bytes();
    int64_t wanted = fsync ? min_i64(memory / 64, FSYNC_MAX_BYTES) : min_i64(memory / 10, CACHE_MAX_BYTES);
    return max_i64(wanted, MIN_BYTES);
}

/* Kafka's default stands in every file that was made from its example, and would have a batch of a MiB come in ten parts,
 * with ten wake-ups; so it is taken for nobody's wish. */
static int receive_buffer_bytes(const struct settings *settings)
{
    enum { KAFKAS_DEFAULT_BYTES = 102400 };
    int64_t bytes = settings_get_i64(settings, "socket.receive.buffer.bytes");
    return bytes == KAFKAS_DEFAULT_BYTES ? -1 : (int)bytes;
}

/* Apache Kafka's default is no bound, and so a broker that any client can have killed for want of memory. */
static int64_t request_bytes_max(const struct settings *settings)
{
    int64_t given = settings_get_i64(settings, "queued.max.request.bytes");
    return given < 0 ? io_memory_bytes() / 4 : given;
}

static void make_numbers(const struct settings *settings, struct serve_options *options)
{
    struct broker_options *broker = &options->broker;
    broker->flush_max_delay_ms = (int32_t)settings_get_i64(settings, "ottla.flush.max.delay.ms");
    broker->unflushed_max_bytes = settings_get_i64(settings, "ottla.unflushed.max.bytes");
    broker->disk_reserve_bytes = settings_get_i64(settings, "ottla.disk.reserve.bytes");
    if (broker->unflushed_max_bytes == 0)
        broker->unflushed_max_bytes = default_unflushed_max(broker->fsync);
    broker->open_files_max = (int)settings_get_i64(settings, "ottla.open.files.max");
    if (broker->open_files_max == 0)
        broker->open_files_max = INT32_MAX; // the program knows how many it may have
    broker->reactor_count = (int)settings_get_i64(settings, "ottla.reactors");
    if (broker->reactor_count == 0)
        broker->reactor_count = io_cpu_count();
    broker->request_size_max = (int32_t)settings_get_i64(settings, "socket.request.max.bytes");
    broker->fetch_size_max = (int32_t)settings_get_i64(settings, "fetch.max.bytes");
    broker->fetch_session_bytes_max = settings_get_i64(settings, "ottla.fetch.session.bytes.max");
    broker->fetch_sessions_max = (int32_t)settings_get_i64(settings, "max.incremental.fetch.session.cache.slots");
    broker->num_partitions = (int32_t)settings_get_i64(settings, "num.partitions");
    broker->default_replication_factor = (int32_t)settings_get_i64(settings, "default.replication.factor");
    broker->offsets_partitions = (int32_t)settings_get_i64(settings, "offsets.topic.num.partitions");
    broker->offsets_replication_factor = (int32_t)settings_get_i64(settings, "offsets.topic.replication.factor");
    broker->retention_check_ms = settings_get_i64(settings, "log.retention.check.interval.ms");
    broker->checkpoint_ms = settings_get_i64(settings, "log.flush.offset.checkpoint.interval.ms");
    broker->request_arena_max = (size_t)settings_get_i64(settings, "ottla.request.memory.max.bytes");
    options->net = (struct net_options){
        .send_buffer_bytes = (int)settings_get_i64(settings, "socket.send.buffer.bytes"),
        .receive_buffer_bytes = receive_buffer_bytes(settings),
        .backlog = (int)settings_get_i64(settings, "socket.listen.backlog.size"),
        .connections_max = INT32_MAX,
        .request_bytes_max = request_bytes_max(settings),
        .stalled_max_ms = settings_get_i64(settings, "ottla.stalled.max.ms"),
        .reply_bytes_max = (size_t)settings_get_i64(settings, "ottla.connection.reply.max.bytes"),
        .idle_max_ms = settings_get_i64(settings, "connections.max.idle.ms"),
    };
}

static void make_cluster_id(struct settings *settings, struct serve_options *options)
{
    static const char SETTING[] = "ottla.cluster.id";
    const char *id = settings_get(settings, SETTING);
    struct uuid uuid;
    if (id && *id && !uuid_from_text(slice_str(id), &uuid))
        settings__error(settings, SETTING,
                        "%s=%s: expected 22 characters, as `kafka-storage.sh random-uuid` prints them", SETTING, id);
    else
        snprintf(options->broker.cluster_id, sizeof options->broker.cluster_id, "%s", id ? id : "");
}

static void check_overrides(struct settings *settings)
{
    static const char SETTING[] = "max.connections.per.ip.overrides";
    struct slice rest = slice_str(settings_get(settings, SETTING));
    struct meta_connections_override each;
    while (meta_connections_override_next(&rest, &each)) {
        if (each.fault == META_OVERRIDE_FINE)
            continue;
        settings__error(settings, SETTING, "%s=%.*s: expected ADDRESS:COUNT, the address in numbers", SETTING,
                        (int)each.text.size, (const char *)each.text.data);
        return;
    }
}

static void make(struct settings *settings, struct serve_options *options)
{
    options->settings = settings;
    options->broker.settings = settings->values;
    options->broker.rack = settings_get(settings, "broker.rack");
    options->broker.auto_create_topics = settings_get_bool(settings, "auto.create.topics.enable");
    options->broker.fsync = strcmp(settings_get(settings, "ottla.durability"), "fsync") == 0;
    warn_of_replicas(settings);
    make_cluster_id(settings, options);
    make_directories(settings, options);
    adopt_node_id(settings, options->texts[0]);
    options->broker.node_id = node_id(settings);
    check_quorum(settings, options->broker.node_id);
    listeners__make(settings, options->broker.listeners, &options->broker.listener_count);
    make_http(settings, options);
    make_numbers(settings, options);
    check_overrides(settings);
}

struct status options__make(const struct settings_source *source, struct serve_options *ret_options)
{
    struct settings *settings = NULL;
    TRY(settings__load(source, &settings));
    struct serve_options *options CLEANUP(options__release) = mem_zalloc(sizeof *options);
    make(settings, options);
    if (settings->error_count > 0)
        return STATUS(EINVAL, "settings");
    *ret_options = *options;
    *options = (struct serve_options){0};
    return STATUS_OK;
}

struct status serve_options_make(const char *file, const char *data, const char *listen, const char *http,
                                 const char *const *sets, int set_count, struct serve_options *ret_options)
{
    struct settings_source source = {
        .file = file, .data = data, .listen = listen, .http = http, .sets = sets, .set_count = set_count};
    return options__make(&source, ret_options);
}

void serve_options_free(struct serve_options *options)
{
    for (int i = 0; i < LOG_DIRS_MAX; i++)
        mem_free(options->texts[i]);
    mem_free(options->metadata_dir);
    settings_free(options->settings);
    *options = (struct serve_options){0};
}

void options__release(struct serve_options **options)
{
    serve_options_free(*options);
    mem_free(*options);
}
