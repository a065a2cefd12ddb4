// SPDX-License-Identifier: Apache-2.0
/* cli/process.c - the process itself: its limits, and its sudden end. */
#include "cli/cli.h"

#include <sys/resource.h>
#include <unistd.h>

/* The soft limit up to the hard one; the soft one now. */
static uint64_t raise_limit(__rlimit_resource_t which)
{
    struct rlimit limit;
    if (getrlimit(which, &limit) < 0)
        return 0;
    rlim_t was = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(which, &limit) < 0 ? was : limit.rlim_cur;
}

uint64_t cli_limits_raise(void)
{
    raise_limit(RLIMIT_CORE);
    return raise_limit(RLIMIT_NOFILE);
}

void cli_exit_now(int status)
{
    _exit(status);
}
