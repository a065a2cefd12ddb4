// SPDX-License-Identifier: Apache-2.0
/* main/settings_test.c - from a file of settings and a command line to options, and what people are told when it is wrong. */
#include "main/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
// cmocka needs the two above first
#include <cmocka.h>

struct fixture {
    char dir[64], file[96];
    struct buffer told;
    struct serve_options options;
    struct settings_source source;
    const char *sets[8];
};

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/ottla-settings-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->file, sizeof f->file, "%s/server.properties", f->dir);
    f->source.sets = f->sets;
    settings__tell_to(&f->told);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    settings__tell_to(NULL);
    serve_options_free(&f->options);
    buffer_free(&f->told);
    io_unlink(f->file);
    io_rmdir(f->dir);
    mem_free(f);
    return 0;
}

static void write_text(const char *path, const char *text)
{
    int file = io_open(path, IO_WRITE | IO_CREATE | IO_TRUNCATE);
    assert_true(file >= 0);
    assert_int_equal(io_pwrite(file, text, strlen(text), 0), strlen(text));
    io_close(file);
}

static void give_file(struct fixture *f, const char *text)
{
    write_text(f->file, text);
    f->source.file = f->file;
}

static void give_set(struct fixture *f, const char *text)
{
    assert_true(f->source.set_count < (int)COUNT_OF(f->sets));
    f->sets[f->source.set_count++] = text;
}

static bool make(struct fixture *f)
{
    serve_options_free(&f->options);
    f->told.size = 0;
    bool ok = status_is_ok(options__make(&f->source, &f->options));
    buffer_append(&f->told, "", 1);
    return ok;
}

static const char *told(const struct fixture *f)
{
    return (const char *)f->told.data;
}

static void has_told(const struct fixture *f, const char *text)
{
    if (!strstr(told(f), text))
        fail_msg("\"%s\" was not told, but:\n%s", text, told(f));
}

/* One file of two lines, the second wrong: the start stops, with file, line, and `says`. */
static void refuses(struct fixture *f, const char *wrong, const char *says)
{
    char text[1024], where[160];
    snprintf(text, sizeof text, "log.dirs=/data\n%s\n", wrong);
    give_file(f, text);
    assert_false(make(f));
    snprintf(where, sizeof where, "%s:2: error: ", f->file);
    has_told(f, where);
    has_told(f, says);
}

static void warns(struct fixture *f, const char *odd, const char *says)
{
    char text[1024], where[160];
    snprintf(text, sizeof text, "log.dirs=/data\n%s\noffsets.topic.replication.factor=1\n", odd);
    give_file(f, text);
    if (!make(f))
        fail_msg("refused:\n%s", told(f));
    snprintf(where, sizeof where, "%s:2: warning: ", f->file);
    has_told(f, where);
    has_told(f, says);
}

static void accepts(struct fixture *f, const char *fine)
{
    char text[1024];
    snprintf(text, sizeof text, "log.dirs=/data\n%s\noffsets.topic.replication.factor=1\n", fine);
    give_file(f, text);
    if (!make(f))
        fail_msg("refused:\n%s", told(f));
    assert_string_equal(told(f), "");
}

/* ---- without a file */
static void without_a_file_there_is_one_durable_broker_on_loopback(void **state)
{
    struct fixture *f = *state;
    setenv("XDG_DATA_HOME", "/home/somebody/data", 1);
    assert_true(make(f));
    assert_string_equal(told(f), "");
    const struct broker_options *broker = &f->options.broker;
    assert_int_equal(broker->listener_count, 1);
    assert_string_equal(broker->listeners[0].name, "PLAINTEXT");
    assert_string_equal(broker->listeners[0].host, "127.0.0.1");
    assert_int_equal(broker->listeners[0].port, 9092);
    assert_string_equal(broker->listeners[0].advertised_host, "127.0.0.1");
    assert_int_equal(broker->listeners[0].advertised_port, 0);
    assert_false(broker->listeners[0].is_controller);
    assert_int_equal(broker->node_id, 1);
    assert_true(broker->fsync);
    assert_int_equal(broker->flush_max_delay_ms, 10);
    assert_true(broker->reactor_count >= 1);
    assert_int_equal(broker->offsets_replication_factor, 1);
    assert_string_equal(settings_get(f->options.settings, "group.initial.rebalance.delay.ms"), "0");
    assert_string_equal(settings_get(f->options.settings, "transaction.state.log.replication.factor"), "1");
    assert_int_equal(broker->log_dir_count, 1);
    assert_string_equal(broker->log_dirs[0], "/home/somebody/data/ottla");
    assert_string_equal(broker->metadata_dir, "/home/somebody/data/ottla");
    assert_true(f->options.http_on);
    assert_string_equal(f->options.http_host, "127.0.0.1");
    assert_int_equal(f->options.http_port, 8080);
}

static void the_data_home_is_below_home_when_the_environment_names_no_other(void **state)
{
    struct fixture *f = *state;
    unsetenv("XDG_DATA_HOME");
    setenv("HOME", "/home/somebody", 1);
    assert_true(make(f));
    assert_string_equal(f->options.broker.log_dirs[0], "/home/somebody/.local/share/ottla");
    setenv("XDG_DATA_HOME", "relative", 1); // the specification: ignored
    assert_true(make(f));
    assert_string_equal(f->options.broker.log_dirs[0], "/home/somebody/.local/share/ottla");
}

static void without_any_home_somebody_must_say_where_the_data_lies(void **state)
{
    struct fixture *f = *state;
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    assert_false(make(f));
    has_told(f, "--data DIR");
    f->source.data = "/data";
    assert_true(make(f));
}

/* ---- a file, and who wins */
static void a_file_has_kafkas_defaults_but_listens_on_loopback(void **state)
{
    struct fixture *f = *state;
    give_file(f, "log.dirs=/data\n");
    assert_true(make(f));
    assert_int_equal(f->options.broker.offsets_replication_factor, 3);
    has_told(f, "offsets.topic.replication.factor is 3 but there is one broker");
    assert_string_equal(settings_get(f->options.settings, "group.initial.rebalance.delay.ms"), "3000");
    assert_string_equal(f->options.broker.listeners[0].host, "127.0.0.1");
}

static void a_file_of_kafkas_own_needs_no_change(void **state)
{
    struct fixture *f = *state;
    give_file(
        f,
        "process.roles=broker,controller\nnode.id=7\ncontroller.quorum.voters=7@localhost:9093\n"
        "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n"
        "advertised.listeners=PLAINTEXT://localhost:9092\ncontroller.listener.names=CONTROLLER\n"
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n"
        "num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\n"
        "socket.request.max.bytes=104857600\nlog.dirs=/data/a, /data/b\nnum.partitions=2\n"
        "num.recovery.threads.per.data.dir=2\noffsets.topic.replication.factor=1\n"
        "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\nlog.retention.hours=168\n"
        "log.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n");
    assert_true(make(f));
    assert_string_equal(told(f), "");
    const struct broker_options *broker = &f->options.broker;
    assert_int_equal(broker->node_id, 7);
    assert_int_equal(broker->listener_count, 2);
    assert_string_equal(broker->listeners[0].advertised_host, "localhost");
    assert_int_equal(broker->listeners[0].advertised_port, 9092);
    assert_true(broker->listeners[1].is_controller);
    assert_int_equal(broker->listeners[1].port, 9093);
    assert_int_equal(broker->log_dir_count, 2);
    assert_string_equal(broker->log_dirs[1], "/data/b");
    assert_string_equal(broker->metadata_dir, "/data/a");
    assert_int_equal(broker->num_partitions, 2);
    assert_int_equal(broker->request_size_max, 104857600);
    assert_int_equal(f->options.net.send_buffer_bytes, 102400);
    assert_int_equal(f->options.net.receive_buffer_bytes, -1);
    assert_int_equal(f->options.net.backlog, 50);
    assert_int_equal(f->options.net.connections_max, 2147483647);
    assert_int_equal(f->options.net.idle_max_ms, 600000);
}

static void a_receive_buffer_that_is_not_kafkas_default_is_obeyed(void **state)
{
    struct fixture *f = *state;
    give_file(f, "log.dirs=/a\nsocket.receive.buffer.bytes=65536\nsocket.send.buffer.bytes=-1\n");
    assert_true(make(f));
    assert_null(strstr(told(f), "buffer.bytes"));
    assert_int_equal(f->options.net.receive_buffer_bytes, 65536);
    assert_int_equal(f->options.net.send_buffer_bytes, -1);
}

static void limits_for_addresses_are_accepted(void **state)
{
    struct fixture *f = *state;
    give_file(f, "log.dirs=/a\nmax.connections.per.ip=7\nmax.connections.per.ip.overrides=127.0.0.1:200, ::1:3\n");
    assert_true(make(f));
    assert_int_equal(settings_get_i64(f->options.settings, "max.connections.per.ip"), 7);
}

static void a_limit_for_a_name_is_refused(void **state)
{
    struct fixture *f = *state;
    give_file(f, "log.dirs=/a\nmax.connections.per.ip.overrides=some.host:5\n");
    assert_false(make(f));
    assert_non_null(strstr(told(f), "some.host:5"));
}

static void set_wins_over_the_file_and_options_over_both(void **state)
{
    struct fixture *f = *state;
    give_file(f, "log.dirs=/file\nmetadata.log.dir=/file-metadata\nlisteners=PLAINTEXT://:1\n"
                 "advertised.listeners=PLAINTEXT://file:1\nnum.partitions=2\noffsets.topic.replication.factor=1\n");
    give_set(f, "num.partitions=3");
    give_set(f, "log.dirs=/set");
    assert_true(make(f));
    assert_int_equal(f->options.broker.num_partitions, 3);
    assert_string_equal(f->options.broker.log_dirs[0], "/set");
    assert_string_equal(f->options.broker.metadata_dir, "/file-metadata");
    assert_string_equal(f->options.broker.listeners[0].advertised_host, "file");
    f->source.data = "/option, one"; // one directory, whatever its name is
    f->source.listen = "127.0.0.1:2";
    f->source.http = "off";
    assert_true(make(f));
    assert_int_equal(f->options.broker.log_dir_count, 1);
    assert_string_equal(f->options.broker.log_dirs[0], "/option, one");
    assert_string_equal(f->options.broker.metadata_dir, "/option, one");
    assert_int_equal(f->options.broker.listeners[0].port, 2);
    assert_string_equal(f->options.broker.listeners[0].advertised_host, "127.0.0.1");
    assert_false(f->options.http_on);
}

static void a_wrong_value_that_does_not_count_stops_nothing(void **state)
{
    struct fixture *f = *state;
    give_file(f, "log.dirs=/data\nnum.partitions=none\nnum.partitions=2\noffsets.topic.replication.factor=1\n");
    assert_true(make(f));
    has_told(f, ":2: warning: num.partitions is given again in line 3");
    assert_int_equal(f->options.broker.num_partitions, 2);
    give_set(f, "num.partitions=4");
    assert_true(make(f));
    assert_int_equal(f->options.broker.num_partitions, 4);
}

static void all_errors_are_told_at_once(void **state)
{
    struct fixture *f = *state;
    give_file(f, "num.partitions=none\n\nlog.segment.bytes=5\n");
    assert_false(make(f));
    has_told(f, ":1: error: ");
    has_told(f, ":3: error: ");
}

static void a_file_that_is_not_there_is_an_error(void **state)
{
    struct fixture *f = *state;
    f->source.file = "/nowhere/server.properties";
    assert_false(make(f));
    has_told(f, "/nowhere/server.properties: No such file");
}

static void a_broken_escape_is_an_error_with_its_line(void **state)
{
    refuses(*state, "broker.rack=\\u00", "four hexadecimal digits");
}

/* ---- wrong values */
static void a_wrong_value_is_told_with_what_was_read_and_what_is_allowed(void **state)
{
    struct fixture *f = *state;
    refuses(f, "num.partitions=none", "Invalid value none for configuration num.partitions");
    has_told(f, "a whole number, [1,...]");
    refuses(f, "num.partitions=0", "Invalid value 0 for configuration num.partitions");
    refuses(f, "auto.create.topics.enable=maybe", "true or false");
    refuses(f, "ottla.durability=some", "[fsync, page-cache]");
    refuses(f, "ottla.log.level=loud", "[debug, info, warn, error]");
    refuses(f, "process.roles=broker,server", "process.roles");
    refuses(f, "log.segment.bytes=99999999999", "log.segment.bytes");
    refuses(f, "ottla.cluster.id=short", "22 characters");
}

static void a_wrong_set_is_told_as_one(void **state)
{
    struct fixture *f = *state;
    f->source.data = "/data";
    give_set(f, "num.partitions=x");
    give_set(f, "alone");
    assert_false(make(f));
    has_told(f, "--set: error: Invalid value x for configuration num.partitions");
    has_told(f, "--set alone: give a setting and its value");
}

static void an_unknown_setting_warns_and_says_what_may_be_meant(void **state)
{
    struct fixture *f = *state;
    warns(f, "log.retention.hour=1", "is log.retention.hours meant?");
    warns(f, "confluent.something.of.theirs=1", "is no setting of Kafka or Ottla and is ignored");
}

static void a_known_setting_that_is_not_served_warns_unless_it_is_the_default(void **state)
{
    struct fixture *f = *state;
    warns(f, "num.io.threads=16", "num.io.threads=16 is not served yet and changes nothing");
    accepts(f, "num.io.threads=8");
    warns(f, "listener.name.plaintext.num.network.threads=10", "is not served yet for one listener");
}

static void a_listener_may_have_settings_for_itself(void **state)
{
    struct fixture *f = *state;
    accepts(f, "listener.name.plaintext.max.connections=10");
    assert_string_equal(settings_get(f->options.settings, "listener.name.plaintext.max.connections"), "10");
    give_file(f, "log.dirs=/a\nlistener.name.plaintext.max.connection.creation.rate=fast\n");
    assert_false(make(f));
    assert_non_null(strstr(told(f), "Invalid value fast for configuration max.connection.creation.rate"));
}

static void what_would_be_unsafe_to_ignore_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const UNSAFE[] = {
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "create.topic.policy.class.name=com.example.Policy",
        "alter.config.policy.class.name=com.example.Policy",
        "principal.builder.class=com.example.Builder",
        "client.quota.callback.class=com.example.Quotas",
        "config.providers=file",
        "remote.log.storage.system.enable=true",
        "security.inter.broker.protocol=SSL",
        "process.roles=broker",
        "log.cleaner.enable=false",
        "listener.name.plaintext.principal.builder.class=com.example.Builder"};
    for (size_t i = 0; i < COUNT_OF(UNSAFE); i++) {
        char name[128], advice[192];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(UNSAFE[i], "="), UNSAFE[i]);
        snprintf(advice, sizeof advice, "--set ottla.ignore=%s", name);
        f->source.set_count = 0;
        refuses(f, UNSAFE[i], advice);
        snprintf(advice, sizeof advice, "ottla.ignore=some.other,%s", name);
        give_set(f, advice);
        warns(f, UNSAFE[i], "is not served yet and changes nothing");
    }
}

static void roles_may_stand_in_any_order(void **state)
{
    accepts(*state, "process.roles=controller , broker");
}

static void forced_flushes_may_be_asked_for_in_both_modes(void **state)
{
    struct fixture *f = *state;
    accepts(f, "log.flush.interval.messages=1");
    give_set(f, "ottla.durability=page-cache");
    accepts(f, "log.flush.interval.messages=1");
    accepts(f, "log.flush.interval.ms=1000");
}

/* ---- who this node is */
static void the_nodes_id_has_two_names_that_must_agree(void **state)
{
    struct fixture *f = *state;
    accepts(f, "broker.id=4");
    assert_int_equal(f->options.broker.node_id, 4);
    assert_int_equal(settings_get_i64(f->options.settings, "node.id"), 4);
    give_file(f, "log.dirs=/data\nnode.id=4\nbroker.id=5\n");
    assert_false(make(f));
    has_told(f, ":3: error: broker.id=5 and node.id=4 differ");
}

static void a_directory_says_which_node_it_belongs_to(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/meta.properties", f->dir);
    write_text(path, "#\nversion=1\nnode.id=42\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\n");
    f->source.data = f->dir;
    assert_true(make(f));
    assert_int_equal(f->options.broker.node_id, 42);
    give_set(f, "node.id=5"); // the broker itself will refuse that directory
    assert_true(make(f));
    assert_int_equal(f->options.broker.node_id, 5);
    io_unlink(path);
}

static void one_voter_is_served_and_no_more(void **state)
{
    struct fixture *f = *state;
    accepts(f, "controller.quorum.voters=1@localhost:9093");
    accepts(f, "controller.quorum.bootstrap.servers=localhost:9093");
    refuses(f, "controller.quorum.voters=1@a:9093,2@b:9093", "more than one voter");
    refuses(f, "controller.quorum.voters=2@a:9093", "names node 2, but this is node 1");
    refuses(f, "controller.quorum.voters=a:9093", "expected ID@HOST:PORT");
    refuses(f, "controller.quorum.voters=1@a", "expected HOST:PORT");
    refuses(f, "controller.quorum.bootstrap.servers=a:9093,b:9093", "more than one controller");
}

/* ---- directories */
static void no_directory_is_named_twice(void **state)
{
    struct fixture *f = *state;
    give_file(f, "log.dirs=/a,/b, /a\n");
    assert_false(make(f));
    has_told(f, ":1: error: ");
}

static void log_dirs_wins_over_log_dir(void **state)
{
    struct fixture *f = *state;
    give_file(f, "log.dir=/old\nlog.dirs=/a\nmetadata.log.dir=/m\noffsets.topic.replication.factor=1\n");
    assert_true(make(f));
    assert_string_equal(f->options.broker.log_dirs[0], "/a");
    assert_string_equal(f->options.broker.metadata_dir, "/m");
    give_file(f, "log.dir=/old\noffsets.topic.replication.factor=1\n");
    assert_true(make(f));
    assert_string_equal(f->options.broker.log_dirs[0], "/old");
    give_file(f, "offsets.topic.replication.factor=1\n");
    assert_true(make(f));
    assert_string_equal(f->options.broker.log_dirs[0], "/tmp/kafka-logs");
    has_told(f, "a restart of the machine may empty");
}

/* ---- http */
static void metrics_stay_on_loopback(void **state)
{
    struct fixture *f = *state;
    accepts(f, "ottla.http.listener=[::1]:9999");
    assert_string_equal(f->options.http_host, "::1");
    assert_int_equal(f->options.http_port, 9999);
    accepts(f, "ottla.http.listener=off");
    assert_false(f->options.http_on);
    accepts(f, "ottla.http.listener=");
    assert_false(f->options.http_on);
    refuses(f, "ottla.http.listener=0.0.0.0:8080", "on loopback only");
    refuses(f, "ottla.http.listener=:8080", "on loopback only");
    refuses(f, "ottla.http.listener=192.0.2.1:8080", "on loopback only");
    refuses(f, "ottla.http.listener=127.0.0.1", "expected HOST:PORT");
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(without_a_file_there_is_one_durable_broker_on_loopback),
        STORY(the_data_home_is_below_home_when_the_environment_names_no_other),
        STORY(without_any_home_somebody_must_say_where_the_data_lies),
        STORY(a_file_has_kafkas_defaults_but_listens_on_loopback),
        STORY(a_file_of_kafkas_own_needs_no_change),
        STORY(a_receive_buffer_that_is_not_kafkas_default_is_obeyed),
        STORY(limits_for_addresses_are_accepted),
        STORY(a_limit_for_a_name_is_refused),
        STORY(set_wins_over_the_file_and_options_over_both),
        STORY(a_wrong_value_that_does_not_count_stops_nothing),
        STORY(all_errors_are_told_at_once),
        STORY(a_file_that_is_not_there_is_an_error),
        STORY(a_broken_escape_is_an_error_with_its_line),
        STORY(a_wrong_value_is_told_with_what_was_read_and_what_is_allowed),
        STORY(a_wrong_set_is_told_as_one),
        STORY(an_unknown_setting_warns_and_says_what_may_be_meant),
        STORY(a_known_setting_that_is_not_served_warns_unless_it_is_the_default),
        STORY(a_listener_may_have_settings_for_itself),
        STORY(what_would_be_unsafe_to_ignore_is_refused),
        STORY(forced_flushes_may_be_asked_for_in_both_modes),
        STORY(roles_may_stand_in_any_order),
        STORY(the_nodes_id_has_two_names_that_must_agree),
        STORY(a_directory_says_which_node_it_belongs_to),
        STORY(one_voter_is_served_and_no_more),
        STORY(no_directory_is_named_twice),
        STORY(log_dirs_wins_over_log_dir),
        STORY(metrics_stay_on_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
