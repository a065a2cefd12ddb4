#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The repository stands alone: no committed text names a place outside it."""
import re
import subprocess

import house

OUTSIDE = re.compile("|".join((r"\.\./" + "shared", "/work/" + "shared", "/work/" + "main", "/work/" + r"\.")))
LINES_MAX = 10


def tracked(root):
    run = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                         capture_output=True, text=True)
    if run.returncode == 0:
        return [name for name in run.stdout.split("\0") if name]
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def violations(root):
    for name in tracked(root):
        path = root / name
        if not path.is_file() or path.stat().st_size > 4 << 20:
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        for match in list(OUTSIDE.finditer(text))[:LINES_MAX]:
            yield f"{name}:{house.line_of(text, match.start())}: names {match.group(0)}, a place outside the repository"


if __name__ == "__main__":
    house.finish(list(violations(house.arguments().root)))
