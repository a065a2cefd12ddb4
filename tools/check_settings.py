#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A broker setting that schema/configs/served.txt calls served is read somewhere: some source names it, or a served topic or
group setting takes its default from it. Otherwise a user would be told nothing while it changes nothing.
"""
import re

import house

NAME = re.compile(r'"([a-z][a-z0-9]*(?:\.[a-z0-9]+)*)"')


def rows(path):
    if not path.is_file():
        return []
    return [line.split("\t") for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def named_in_code(root):
    names = set()
    for path in house.code_files(root, suffixes=(".c",), dirs=("src",), generated=False):
        if not path.endswith(("_test.c", "_fuzz.c")):
            names.update(NAME.findall((root / path).read_text(errors="replace")))
    return names


def defaults_of(root, served):
    """Broker settings that supply the default of a served setting of a topic or group."""
    for scope in ("topic", "group"):
        for name, _kind, _default, _allowed, _importance, synonyms, *_ in rows(root / "schema/configs" / f"{scope}.txt"):
            if (scope, name) in served:
                yield from (synonym.split("*")[0] for synonym in synonyms.split(","))


def violations(root):
    served = {(row[0], row[1]) for row in rows(root / "schema/configs/served.txt") if row[2] == "served"}
    read = named_in_code(root) | set(defaults_of(root, served))
    for name in sorted(name for scope, name in served if scope == "broker" and name not in read):
        yield f"schema/configs/served.txt: {name} is called served, but nothing in src/ reads it"


if __name__ == "__main__":
    house.finish(list(violations(house.arguments().root)))
