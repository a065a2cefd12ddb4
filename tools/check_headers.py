#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone: it includes what it needs, and nothing has to come before it."""
import concurrent.futures
import os
import subprocess

import house

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wundef", "-Wno-unused-parameter", "-Wno-missing-field-initializers",
         "-Wno-unused-function", "-Werror", "-fsyntax-only", "-x", "c", "-"]


def compile_alone(root, path):
    folder = str(root / path.rsplit("/", 1)[0])
    compiler = os.environ.get("CC", "gcc").split()
    result = subprocess.run([*compiler, f"-I{root}/src", f"-I{root}", f"-I{folder}", *FLAGS],
                            input=f'#include "{root / path}"\n', capture_output=True, text=True)
    if result.returncode == 0:
        return None
    first = next((line for line in result.stderr.splitlines() if "error" in line), result.stderr.strip())
    return f"{path}: does not compile alone: {first}"


def violations(root):
    headers = house.code_files(root, suffixes=(".h",))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [found for found in pool.map(lambda path: compile_alone(root, path), headers) if found]


if __name__ == "__main__":
    house.finish(violations(house.arguments().root))
