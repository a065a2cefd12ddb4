// SPDX-License-Identifier: Apache-2.0
/* cli/cli.h - the command line: what was asked for, and the process that is to do it (limits, traces of crashes).
 *
 * Exit statuses: 0 done, a clean stop included; 1 it could not start or had to stop (a port or directory is taken, the disk
 * failed); 2 the command line or a setting is wrong; 128 + signal where a second signal cut a stop short.
 */
#pragma once

#include "base/base.h"

enum { EXIT_FAILED = 1, EXIT_WRONG = 2, EXIT_SIGNAL = 128 };

enum cli_verb { CLI_SERVE, CLI_CONFIG, CLI_CONFIG_EXPORT, CLI_DUMP, CLI_VERIFY };

struct cli_arguments {
    enum cli_verb verb;
    const char *file, *data, *listen, *http; // NULL: not given
    const char **sets;                       // KEY=VALUE
    int set_count;
    const char *const *files; // of dump
    int file_count;
    bool as_json;
};

const char *cli_version(void); // "0.1.0"

/* Does not return for --help, --version and a command line that is wrong. The texts are argv's. */
void cli_parse(int argc, char **argv, struct cli_arguments *ret_arguments);
void cli_arguments_free(struct cli_arguments *arguments);

/* As many descriptors and as large a core file as the system lets this process have. Returns how many descriptors. */
uint64_t cli_limits_raise(void);
/* From now on a crash prints where it happened, with names and lines, before the process ends as it would have. */
void cli_crash_trace(void);
/* Ends the process at once: nothing is flushed, no destructor runs. */
_Noreturn void cli_exit_now(int status);

/* ---- files of a data directory, read and never changed. Each returns the exit status: EXIT_FAILED when something is wrong. */
int cli_dump(const char *const *files, int count, bool as_json);
int cli_verify(const char *directory, bool as_json);
