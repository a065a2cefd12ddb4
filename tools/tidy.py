#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over every source of a clang build directory, generated code aside: tools/tidy.py BUILD [FILE...]."""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def sources(build):
    found = set()
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(os.path.realpath(os.path.join(entry["directory"], entry["file"])))
        if path.is_relative_to(ROOT) and "gen" not in path.relative_to(ROOT).parts and path.suffix == ".c":
            found.add(path.relative_to(ROOT).as_posix())
    return sorted(found)


def tidy(build, path):
    run = subprocess.run(["clang-tidy-14", "-p", str(build), "--quiet", path], cwd=ROOT, capture_output=True, text=True)
    return path, run.returncode, run.stdout.strip()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    files = sys.argv[2:] or sources(build)
    failed, told = 0, set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, status, output in pool.map(lambda path: tidy(build, path), files):
            failed += status != 0
            for block in re.split(r"(?m)^(?=\S+:\d+:\d+: (?:error|warning))", output):
                if block.strip() and block not in told:  # a header's fault is told once
                    told.add(block)
                    place, _, rest = block.partition(":")
                    print(f"{os.path.relpath(os.path.normpath(place), ROOT)}:{rest.rstrip()}", flush=True)
    print(f"tidy: {len(files) - failed} passed, {failed} failed")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main())
