#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Only io/ reaches the kernel, the clock, threads and randomness.

Every symbol that a floor's static library needs and no other floor defines comes from outside the project. It must be
allowed by a line of tools/allowed_symbols.txt: `SCOPE PATTERN...`, where SCOPE is `*`, a folder or folder/file.c.
"""
import collections
import fnmatch
import pathlib
import re
import subprocess

import house

ALLOWED = pathlib.Path(__file__).resolve().parent / "allowed_symbols.txt"


def read_allowed(path):
    allowed = collections.defaultdict(list)
    for line in path.read_text().splitlines():
        scope, *patterns = line.split("#")[0].split() or [""]
        allowed[scope] += patterns
    return allowed


def libraries(root, build):
    """{folder: files for nm}: lib<mod>.a of every floor, the simulator's, and the program's own object."""
    found = {}
    for mod in [*house.floors(root), "sim"]:
        files = sorted(build.glob(f"lib{mod}.a")) + (sorted(build.glob("ottla.p/*.o")) if mod == "main" else [])
        if files:
            found[mod] = files
    return found


def symbols(files):
    """(object, type letter, name) for every external symbol."""
    output = subprocess.run(["nm", "-A", "-g", *map(str, files)], capture_output=True, text=True, check=True).stdout
    for line in output.splitlines():
        match = re.match(r"(\S+?):\s*(?:[0-9a-f]+)?\s+([A-Za-z]) (\S+)$", line)
        if match:
            yield match.group(1).rsplit(":", 1)[-1].rsplit("/", 1)[-1], match.group(2), match.group(3).split("@")[0]


def is_allowed(allowed, mod, obj, name):
    for scope, patterns in allowed.items():
        if scope == "*" or scope == mod or ("/" in scope and obj.endswith("src_" + scope.replace("/", "_") + ".o")):
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                return True
    return False


def violations(root, build, allowed):
    libs = libraries(root, build)
    if not libs:
        yield f"{build}: no libraries; build first"
        return
    table = {mod: list(symbols(files)) for mod, files in libs.items()}
    defined = {name for rows in table.values() for _, kind, name in rows if kind not in "Uw"}
    for mod, rows in table.items():
        outside = collections.defaultdict(list)
        for obj, kind, name in rows:
            if kind in "Uw" and name not in defined and not is_allowed(allowed, mod, obj, name):
                outside[obj].append(name)
        for obj, names in sorted(outside.items()):
            yield f"src/{mod}: {obj.removesuffix('.o')} reaches outside: {' '.join(sorted(set(names)))}"


if __name__ == "__main__":
    args = house.arguments()
    house.finish(list(violations(args.root, args.build, read_allowed(ALLOWED))))
