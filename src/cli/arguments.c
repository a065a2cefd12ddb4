// SPDX-License-Identifier: Apache-2.0
/* cli/arguments.c - what `ottla ...` means, by glibc's argp: one parser for the verb, one for each verb's own words.
 *
 * argp prints help, usage and the version and ends the process with them; a wrong command line ends it with EXIT_WRONG.
 */
#include "cli/cli.h"

#include <argp.h>
#include <stdlib.h>

enum option_key {
    OPTION_DATA = 256,
    OPTION_LISTEN,
    OPTION_HTTP,
    OPTION_HTTP_READ_ONLY,
    OPTION_SET,
    OPTION_JSON
}; // no letters: long names alone

const char *cli_version(void)
{
    return OTTLA_VERSION;
}

static void add_set(struct cli_arguments *arguments, const char *text)
{
    arguments->sets = mem_realloc(arguments->sets, sizeof *arguments->sets * (size_t)(arguments->set_count + 1));
    arguments->sets[arguments->set_count++] = text;
}

void cli_arguments_free(struct cli_arguments *arguments)
{
    mem_free(arguments->sets);
    *arguments = (struct cli_arguments){0};
}

/* ---- words that verbs share */
static error_t parse_common(int key, char *text, struct argp_state *state)
{
    struct cli_arguments *arguments = state->input;
    switch (key) {
    case OPTION_DATA:
        if (!*text)
            argp_error(state, "--data needs the name of a directory");
        arguments->data = text;
        return 0;
    case OPTION_LISTEN:
        arguments->listen = text;
        return 0;
    case OPTION_HTTP:
        arguments->http = text;
        return 0;
    case OPTION_HTTP_READ_ONLY:
        add_set(arguments, "ottla.http.read.only=true");
        return 0;
    case OPTION_SET:
        add_set(arguments, text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* FILE, once. */
static error_t parse_file(struct cli_arguments *arguments, char *text, struct argp_state *state)
{
    if (arguments->file)
        argp_error(state, "one file of settings is enough: %s and %s", arguments->file, text);
    arguments->file = text;
    return 0;
}

static const struct argp_option SETTINGS_OPTIONS[] = {
    {"data", OPTION_DATA, "DIR", 0, "Keep the data in DIR (default: your data home, usually ~/.local/share/ottla)", 0},
    {"listen", OPTION_LISTEN, "HOST:PORT", 0,
     "Where Kafka clients connect (default 127.0.0.1:9092; :9092 is every interface)", 0},
    {"http", OPTION_HTTP, "HOST:PORT|off", 0,
     "The console, metrics and health over HTTP, on loopback (default 127.0.0.1:8080)", 0},
    {"http-read-only", OPTION_HTTP_READ_ONLY, NULL, 0, "Let the console change nothing", 0},
    {"set", OPTION_SET, "KEY=VALUE", 0,
     "Any setting of Kafka's or Ottla's; may be given often (`ottla config` lists them)", 0},
    {0},
};

/* ---- ottla serve */
static error_t parse_serve(int key, char *text, struct argp_state *state)
{
    return key == ARGP_KEY_ARG ? parse_file(state->input, text, state) : parse_common(key, text, state);
}

static const struct argp SERVE = {
    .options = SETTINGS_OPTIONS,
    .parser = parse_serve,
    .args_doc = "[FILE]",
    .doc = "Start a broker and keep it running until Ctrl-C or SIGTERM.\v"
           "FILE is a server.properties as Apache Kafka reads it; --set wins over it, and the other options win over "
           "both. Without "
           "FILE and options: one durable broker on 127.0.0.1:9092, its data in your data home.\n\n"
           "Examples:\n"
           "  ottla serve\n"
           "  ottla serve --data /srv/ottla --listen :9092\n"
           "  ottla serve server.properties --set num.partitions=3\n\n"
           "SIGTERM and Ctrl-C stop cleanly; a second one stops at once. SIGHUP reads FILE again for what may change "
           "meanwhile: "
           "what Kafka's tools can change without a restart, and ottla.log.level.\n\n"
           "Exit status: 0 after a clean stop; 1 when it cannot start or has to stop (port or directory taken, disk "
           "failed); 2 when "
           "the command line or a setting is wrong; 128 + signal after a second signal.",
};

/* ---- ottla config [export] */
static error_t parse_config(int key, char *text, struct argp_state *state)
{
    struct cli_arguments *arguments = state->input;
    if (key != ARGP_KEY_ARG)
        return parse_common(key, text, state);
    if (state->arg_num > 0 || strcmp(text, "export") != 0)
        return parse_file(arguments, text, state);
    arguments->verb = CLI_CONFIG_EXPORT;
    return 0;
}

static const struct argp CONFIG = {
    .options = SETTINGS_OPTIONS,
    .parser = parse_config,
    .args_doc = "[export] [FILE]",
    .doc = "Show every setting: its value, where that comes from, its type and default.\v"
           "`ottla config export` prints the server.properties with which Apache Kafka runs on the same directory.\n\n"
           "Exit status: 0; 2 when the command line or a setting is wrong.",
};

/* ---- ottla dump FILE..., ottla verify DIR */
static const struct argp_option FILES_OPTIONS[] = {
    {"json", OPTION_JSON, NULL, 0, "Print JSON, an object a line", 0},
    {0},
};

static error_t parse_files(int key, char *text, struct argp_state *state)
{
    struct cli_arguments *arguments = state->input;
    (void)text;
    switch (key) {
    case OPTION_JSON:
        arguments->as_json = true;
        return 0;
    case ARGP_KEY_ARGS:
        arguments->files = (const char *const *)state->argv + state->next;
        arguments->file_count = state->argc - state->next;
        if (arguments->verb == CLI_VERIFY && arguments->file_count != 1)
            argp_error(state, "one directory at a time");
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp DUMP = {
    .options = FILES_OPTIONS,
    .parser = parse_files,
    .args_doc = "FILE...",
    .doc = "Show what is in files of a data directory: batches and records of segments (.log) and metadata snapshots "
           "(.checkpoint), entries of indexes, producer snapshots, checkpoints. Records of Kafka's own topics are "
           "decoded.\v"
           "Every CRC is checked, and every index entry against the segment beside it; what is wrong is told as WRONG. "
           "Nothing is changed.\n\n"
           "Exit status: 0; 1 when something is wrong; 2 when the command line is.",
};

static const struct argp VERIFY = {
    .options = FILES_OPTIONS,
    .parser = parse_files,
    .args_doc = "DIR",
    .doc =
        "Check a stopped broker's log directory whole: CRCs, offsets, leader epochs, indexes, snapshots, checkpoints. "
        "Nothing is changed.\v"
        "Exit status: 0 when all is well; 1 when something is wrong, or a broker is using the directory; 2 when it is "
        "no "
        "data directory, or the command line is wrong.",
};

/* ---- ottla VERB */
struct verb {
    const char *name;
    enum cli_verb verb;
    const struct argp *argp;
};

static const struct verb VERBS[] = {
    {"serve", CLI_SERVE, &SERVE},
    {"config", CLI_CONFIG, &CONFIG},
    {"dump", CLI_DUMP, &DUMP},
    {"verify", CLI_VERIFY, &VERIFY},
};

/* The rest of the line belongs to the verb. Its messages begin with `ottla serve`. */
static void parse_verb(const struct verb *verb, struct argp_state *state)
{
    struct cli_arguments *arguments = state->input;
    char **argv = state->argv + state->next - 1;
    char name[64], *kept = argv[0];
    snprintf(name, sizeof name, "ottla %s", verb->name);
    argv[0] = name;
    arguments->verb = verb->verb;
    argp_parse(verb->argp, state->argc - state->next + 1, argv, 0, NULL, arguments);
    argv[0] = kept;
    state->next = state->argc;
}

static error_t parse_program(int key, char *text, struct argp_state *state)
{
    if (key == ARGP_KEY_NO_ARGS)
        argp_state_help(state, stderr, ARGP_HELP_LONG | ARGP_HELP_USAGE | ARGP_HELP_DOC | ARGP_HELP_EXIT_ERR);
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    for (size_t i = 0; i < COUNT_OF(VERBS); i++) {
        if (strcmp(VERBS[i].name, text) == 0) {
            parse_verb(&VERBS[i], state);
            return 0;
        }
    }
    argp_error(state, "there is no command `%s`; the commands are serve, config, dump and verify", text);
    return ARGP_ERR_UNKNOWN;
}

static const struct argp PROGRAM = {
    .parser = parse_program,
    .args_doc = "serve [FILE]\nconfig [export] [FILE]\ndump FILE...\nverify DIR",
    .doc = "Ottla, an Apache Kafka broker in one small program.\v"
           "Commands:\n"
           "  serve   start a broker; without more words: durable, on 127.0.0.1:9092\n"
           "  config  show every setting; `config export` writes them for Apache Kafka\n"
           "  dump    show what is in the files of a data directory\n"
           "  verify  check a data directory whole\n\n"
           "`ottla serve --help` and `ottla config --help` tell the rest. A first message, with kcat:\n"
           "  echo hello | kcat -b 127.0.0.1:9092 -t greetings -P\n"
           "  kcat -b 127.0.0.1:9092 -t greetings -C -e",
};

void cli_parse(int argc, char **argv, struct cli_arguments *ret_arguments)
{
    argp_program_version = "ottla " OTTLA_VERSION;
    argp_err_exit_status = EXIT_WRONG;
    *ret_arguments = (struct cli_arguments){0};
    argp_parse(&PROGRAM, argc, argv, ARGP_IN_ORDER, NULL, ret_arguments);
}
