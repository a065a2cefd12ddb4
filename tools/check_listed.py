#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every .c of src/ and sim/ is in the build: a source that no meson.build lists is never compiled, a test never run."""
import json
import os

import house


def violations(root, build):
    database = build / "compile_commands.json"
    if not database.is_file():
        return [f"{database}: missing; configure first"]
    listed = {os.path.realpath(os.path.join(entry["directory"], entry["file"])) for entry in json.loads(database.read_text())}
    return [f"{path}: no meson.build lists it" for path in house.code_files(root, suffixes=(".c",), dirs=("src", "sim"))
            if not path.endswith("_fuzz.c") and os.path.realpath(root / path) not in listed]


if __name__ == "__main__":
    args = house.arguments()
    house.finish(violations(args.root, args.build))
