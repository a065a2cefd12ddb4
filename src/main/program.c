// SPDX-License-Identifier: Apache-2.0
/* main/program.c - the program: what was asked for is started, told, and stopped when a signal says so.
 *
 * Signals are read like sockets, by the main thread, which sleeps otherwise:
 *   SIGTERM, SIGINT   the first stops cleanly, in a thread of its own; a second one ends the process at once
 *   SIGHUP            reads the file of settings again, for what may change while it runs (reload.c)
 */
#include "cli/cli.h"
#include "http/http.h"
#include "main/settings.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { DESCRIPTORS_ADVISED = 4096, MAIL_STOPPED = 1 };

struct program {
    const struct cli_arguments *arguments;
    struct settings_source source;
    struct serve_options options;
    struct settings *reread;        // since the first SIGHUP: as the file was read last
    struct meta_settings *in_force; // and what counts of it
    struct io_loop *loop;
    int signals;
    struct ottla *ottla;
    struct http *http;
    /* the clean stop, once it was asked for */
    struct io_thread *stopper;
    struct io_mail stopped_mail;
    struct status stopped;
    bool gave_up; // the broker asked for it, not a signal
};

/* ---- what people are told */
static void say(const char *format, ...) PRINTF_LIKE(1, 2);
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stdout, format, args);
    va_end(args);
    fflush(stdout);
}

static void complain(const char *format, ...) PRINTF_LIKE(1, 2);
static void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "ottla: error: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
}

static const char *brackets(const char *host, const char *bracket)
{
    return strchr(host, ':') ? bracket : "";
}

static void say_started(const struct program *program)
{
    const struct broker_options *broker = &program->options.broker;
    say("Ottla %s is ready: ", cli_version());
    for (int i = 0, told = 0; i < broker->listener_count; i++) {
        const struct broker_listener *listener = &broker->listeners[i];
        if (listener->is_controller)
            continue;
        bool anywhere = listeners__is_wildcard(listener->host);
        say("%s%s%s%s:%d%s", told++ ? ", " : "bootstrap.servers=", brackets(listener->host, "["),
            anywhere ? "127.0.0.1" : listener->host, brackets(listener->host, "]"), (int)ottla_port(program->ottla, i),
            anywhere ? " (on every interface)" : "");
    }
    say("\n  data in %s", broker->log_dirs[0]);
    if (broker->log_dir_count > 1)
        say(" and %d more", broker->log_dir_count - 1);
    say(", durability %s\n", broker->fsync ? "fsync (what is acknowledged is on the disk)"
                                           : "page-cache (what is acknowledged is written, not yet flushed)");
    if (program->http)
        say("  console at http://%s%s%s:%d/ (metrics, health and API there too)\n",
            brackets(program->options.http_host, "["), program->options.http_host,
            brackets(program->options.http_host, "]"), (int)http_port(program->http));
}

/* Why it did not start, and what to do. The line before in the log says which port or directory. */
static void advise(const struct program *program, struct status s)
{
    const struct broker_options *broker = &program->options.broker;
    const struct broker_listener *first = &broker->listeners[0];
    switch (s.error) {
    case EADDRINUSE:
        complain("a port is taken, perhaps by another broker. Stop that one, or choose another port: "
                 "--listen %s%s%s:%d",
                 brackets(first->host, "["), first->host, brackets(first->host, "]"),
                 first->port < UINT16_MAX ? first->port + 1 : 9092);
        break;
    case EADDRNOTAVAIL:
        complain("this machine has no such address. Use one of its own (`ip address` lists them), 127.0.0.1, or "
                 "nothing for every "
                 "interface, as in --listen :9092");
        break;
    case EACCES:
    case EPERM:
        complain("not permitted (%s). Ports below 1024 and other users' directories need rights that this user has "
                 "not; choose "
                 "another with --listen or --data",
                 s.what);
        break;
    case EAGAIN:
    case EBUSY:
        complain("another broker, Ottla or Apache Kafka, uses the data in %s. Stop it first, or choose another "
                 "directory with --data",
                 broker->log_dirs[0]);
        break;
    case ENOSPC:
        complain("the disk under %s is full", broker->log_dirs[0]);
        break;
    case EROFS:
        complain("%s lies on a file system that cannot be written", broker->log_dirs[0]);
        break;
    default:
        complain("cannot start: %s: %s. The lines above say more", s.what, strerror(s.error));
    }
}

/* ---- start */
static void set_log_level(const struct settings *settings)
{
    static const char *const NAMES[] = {
        [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (strcmp(NAMES[i], settings_get(settings, "ottla.log.level")) == 0)
            log_level_set((enum log_level)i);
}

/* Files need descriptors too: a fifth of them is never a connection's, and half of that is for segments at rest. */
static void share_descriptors(struct serve_options *options, uint64_t descriptors)
{
    uint64_t most = descriptors - descriptors / 5;
    if ((uint64_t)options->net.connections_max > most)
        options->net.connections_max = (int)most;
    if (options->broker.open_files_max == INT32_MAX)
        options->broker.open_files_max = (int)min_i64(INT32_MAX, (int64_t)descriptors / 10);
}

static uint64_t prepare_process(void)
{
    uint64_t keys[2];
    io_random(keys, sizeof keys);
    hash_seed_set(keys[0], keys[1]);
    log_clock_set(io_wall_ms);
    cli_crash_trace();
    uint64_t descriptors = cli_limits_raise();
    if (descriptors < DESCRIPTORS_ADVISED)
        LOG(LOG_WARN, "main",
            "this process may open only %llu files and connections; a broker may need more: `ulimit -n 65536`, or "
            "LimitNOFILE=65536 in "
            "a systemd unit",
            (unsigned long long)descriptors);
    return descriptors;
}

/* Metrics are a convenience: without them the broker starts all the same. */
static void start_http(struct program *program)
{
    const struct serve_options *options = &program->options;
    if (!options->http_on)
        return;
    struct http_options http = {.host = options->http_host,
                                .port = options->http_port,
                                .broker = ottla_broker(program->ottla),
                                .version = cli_version(),
                                .is_read_only = settings_get_bool(options->settings, "ottla.http.read.only")};
    struct status s = http_start(&http, &program->http);
    if (!status_is_ok(s))
        LOG(LOG_WARN, "main",
            "no console, metrics and health: cannot open %s:%d: %s; choose another port with --http HOST:PORT, or "
            "--http off",
            options->http_host, (int)options->http_port, strerror(s.error));
}

static bool start(struct program *program)
{
    program->signals = io_signal_open(); // before any thread, so that all of them leave signals to us
    if (program->signals < 0) {
        complain("cannot wait for signals: %s", strerror(-program->signals));
        return false;
    }
    program->loop = io_loop_create();
    io_loop_watch(program->loop, program->signals, IO_READABLE, program);
    program->options.broker.owner = program->loop;
    struct status s = ottla_create(&program->options, &program->ottla);
    if (status_is_ok(s)) {
        start_http(program); // first: it tells how far the start is
        s = ottla_open(program->ottla);
        if (status_is_ok(s)) {
            say_started(program);
            return true;
        }
        http_stop(program->http);
        ottla_free(program->ottla);
    }
    advise(program, s);
    return false;
}

/* ---- signals */
static void stop_in_thread(void *context)
{
    struct program *program = context;
    http_stop(program->http);
    program->stopped = ottla_stop(program->ottla);
    program->stopped_mail.kind = MAIL_STOPPED;
    io_loop_send(program->loop, &program->stopped_mail);
}

static void stop(struct program *program, int signal_number)
{
    if (program->stopper) {
        say("stopping at once; the next start will check the data\n");
        cli_exit_now(EXIT_SIGNAL + signal_number);
    }
    say("stopping; once more to stop at once\n");
    program->stopper = io_thread_start("stop", stop_in_thread, program);
}

static void reload(struct program *program)
{
    struct settings *fresh = NULL;
    int changed;
    if (!status_is_ok(settings__load(&program->source, &fresh))) {
        LOG(LOG_ERROR, "main", "the settings are wrong now; nothing was changed");
        return;
    }
    set_log_level(fresh);
    const struct settings *before = program->reread ? program->reread : program->options.settings;
    struct meta_settings *in_force =
        reload__merge(program->in_force ? program->in_force : before->values, before, fresh, &changed);
    if (changed > 0)
        broker_settings_replace(ottla_broker(program->ottla), meta_settings_copy(in_force));
    meta_settings_free(program->in_force);
    settings_free(program->reread);
    program->in_force = in_force;
    program->reread = fresh;
    LOG(LOG_INFO, "main", "read the settings again: %d changed, ottla.log.level=%s", changed,
        settings_get(fresh, "ottla.log.level"));
}

static void take_signal(struct program *program)
{
    for (int number; (number = io_signal_read(program->signals)) > 0;) {
        if (number != SIGHUP)
            stop(program, number);
        else if (!program->stopper)
            reload(program);
    }
}

/* Either the stop is over, or the broker says that it cannot go on. True when the program ends. */
static bool take_mail(struct program *program)
{
    bool is_over = false;
    struct io_mail *chain = io_loop_mail(program->loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain));) {
        is_over |= mail == &program->stopped_mail;
        if (mail == &program->stopped_mail || program->stopper)
            continue;
        complain("the broker cannot go on and stops; the log says why");
        program->gave_up = true;
        program->stopper = io_thread_start("stop", stop_in_thread, program);
    }
    return is_over;
}

static void run(struct program *program)
{
    struct io_event event;
    for (;;) {
        int count = io_loop_wait(program->loop, &event, 1, INT64_MAX);
        if (count > 0)
            take_signal(program);
        if (take_mail(program))
            return;
    }
}

static int serve(const struct cli_arguments *arguments)
{
    struct program program = {
        .arguments = arguments,
        .source = {arguments->file, arguments->data, arguments->listen, arguments->http, arguments->sets,
                   arguments->set_count},
    };
    uint64_t descriptors = prepare_process();
    if (!status_is_ok(options__make(&program.source, &program.options)))
        return EXIT_WRONG;
    set_log_level(program.options.settings);
    log_json_set(strcmp(settings_get(program.options.settings, "ottla.log.format"), "json") == 0);
    share_descriptors(&program.options, descriptors);
    bool started = start(&program);
    if (started) {
        run(&program);
        io_thread_join(program.stopper);
        if (!status_is_ok(program.stopped))
            complain("the stop was not clean: %s: %s; the next start will check the data", program.stopped.what,
                     strerror(program.stopped.error));
        else
            say("stopped\n");
    }
    if (program.loop)
        io_loop_destroy(program.loop);
    meta_settings_free(program.in_force);
    settings_free(program.reread);
    serve_options_free(&program.options);
    return started && status_is_ok(program.stopped) && !program.gave_up ? EXIT_SUCCESS : EXIT_FAILED;
}

/* ---- the other verbs */
static int config(const struct cli_arguments *arguments)
{
    struct settings_source source = {arguments->file, arguments->data, arguments->listen,
                                     arguments->http, arguments->sets, arguments->set_count};
    struct serve_options options = {0};
    if (!status_is_ok(options__make(&source, &options)))
        return EXIT_WRONG;
    if (arguments->verb == CLI_CONFIG_EXPORT)
        config__export(&options);
    else
        config__print(options.settings);
    serve_options_free(&options);
    return EXIT_SUCCESS;
}

static int run_verb(const struct cli_arguments *arguments)
{
    switch (arguments->verb) {
    case CLI_SERVE:
        return serve(arguments);
    case CLI_CONFIG:
    case CLI_CONFIG_EXPORT:
        return config(arguments);
    case CLI_DUMP:
        return cli_dump(arguments->files, arguments->file_count, arguments->as_json);
    case CLI_VERIFY:
        return cli_verify(arguments->files[0], arguments->as_json);
    }
    return EXIT_WRONG;
}

int main(int argc, char **argv)
{
    struct cli_arguments arguments;
    cli_parse(argc, argv, &arguments);
    int status = run_verb(&arguments);
    cli_arguments_free(&arguments);
    return status;
}
