#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The code is as the pinned formatter writes it. `make format` puts it right."""
import os
import re
import subprocess
import sys

import house

FORMATTER = "clang-format-14"


def violations(root):
    files = house.code_files(root, generated=False)
    result = []
    for start in range(0, len(files), 40):
        run = subprocess.run([FORMATTER, "--style=file", "--dry-run", "-Werror", *files[start:start + 40]],
                             cwd=root, capture_output=True, text=True)
        places = {}
        for match in re.finditer(r"^(?:\./)?(\S+?):(\d+):\d+: error", run.stderr, re.MULTILINE):
            places.setdefault(match.group(1), []).append(int(match.group(2)))
        if run.returncode != 0 and not places:
            result.append(f"{FORMATTER}: {run.stderr.strip()}")
        result += [f"{os.path.relpath(path, root) if os.path.isabs(path) else path}:{lines[0]}: not formatted, {len(lines)} places"
                   for path, lines in places.items()]
    return result


def rewrite(root):
    files = house.code_files(root, generated=False)
    if files:
        subprocess.run([FORMATTER, "--style=file", "-i", *files], cwd=root, check=True)


if __name__ == "__main__":
    if "--fix" in sys.argv:
        sys.argv.remove("--fix")
        rewrite(house.arguments().root)
    else:
        house.finish(violations(house.arguments().root))
