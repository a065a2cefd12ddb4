#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Functions that have a safer neighbour are not called, in tests neither."""
import re

import house

BANNED = {
    "snprintf, or the base/ buffers": "strcpy strncpy stpcpy strcat strncat sprintf vsprintf",
    "a parser that reports errors: strtoll with its end pointer, or wire/'s reader": "atoi atol atoll atof sscanf fscanf scanf",
    "io_random, or base/'s seeded random": "rand srand rand_r random_r drand48 lrand48",
    "fixed arrays or an arena": "alloca",
    "slices": "strtok strtok_r gets",
    "io_signal_open": "signal",
    "nothing: no shell is started from here": "system popen execl execlp execvp",
    "names from a counter or from io_random": "tmpnam tempnam mktemp",
    "return values": "setjmp longjmp sigsetjmp siglongjmp",
    "the _r form": "gmtime localtime asctime ctime",
    "poll or epoll": "select",
    "a wait for the event": "sleep usleep",
    "fcntl record locks, which Java sees": "flock lockf",
}
INSTEAD = {name: instead for instead, names in BANNED.items() for name in names.split()}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(INSTEAD) + r")\s*\(")


def violations(root):
    for path in house.code_files(root):
        text = house.code_only((root / path).read_text(errors="replace"))
        for match in CALL.finditer(text):
            yield f"{path}:{house.line_of(text, match.start())}: {match.group(1)} is banned; use {INSTEAD[match.group(1)]}"


if __name__ == "__main__":
    house.finish(list(violations(house.arguments().root)))
