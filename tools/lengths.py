#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the ten longest files and functions of src/ and sim/, generated code aside. Read the list and ask of each whether
it is one idea; nothing here fails.
"""
import json
import subprocess

import house

COUNT = 10


def functions(root, files):
    """(lines, name, path) of every function, by ctags."""
    run = subprocess.run(["ctags", "--output-format=json", "--fields=+ne", "--kinds-C=f", "-L", "-", "-f", "-"],
                         cwd=root, input="\n".join(files), capture_output=True, text=True, check=True)
    for line in run.stdout.splitlines():
        tag = json.loads(line)
        if "end" in tag:
            yield tag["end"] - tag["line"] + 1, tag["name"], tag["path"]


def report(root):
    files = house.code_files(root, suffixes=(".c",), dirs=("src", "sim"), generated=False)
    if not files:
        return
    by_length = sorted(((root / path).read_text(errors="replace").count("\n"), path) for path in files)
    yield "longest files: " + ", ".join(f"{path} {lines}" for lines, path in reversed(by_length[-COUNT:]))
    longest = sorted(functions(root, files))[-COUNT:]
    yield "longest functions: " + ", ".join(f"{name} ({path}) {lines}" for lines, name, path in reversed(longest))


if __name__ == "__main__":
    for text in report(house.arguments().root):
        print(text)
