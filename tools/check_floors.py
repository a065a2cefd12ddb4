#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes point strictly down, and only at a folder's public header.

src/FLOORS numbers the folders of src/. A file may include the private headers of its own folder and, of folders on lower
floors, <mod>/<mod>.h and <mod>/gen/*.h alone; neighbours on a floor do not see each other, headers have no cycles. Tests,
fuzz drivers and what lies beside src/ may include the public header of any floor.
"""
import re

import house

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
# The simulator's own controls are a second public header of io, for sim/ and for tests only.
PUBLIC_TO_TESTS = ("io/sim.h",)


def fault(root, floors, path, target):
    """What is wrong with an include of `target` in `path`, or None."""
    mod = house.module_of(path)
    if not path.startswith("src/"):
        local = path.rsplit("/", 1)[0] + "/" + target
        if (root / local).is_file() or (root / target).is_file():
            return None
    folder, slash, rest = target.partition("/")
    if not slash:
        return f'"{target}": say the folder, "{mod}/{target}"'
    if folder not in floors or not (root / "src" / target).is_file():
        return f'"{target}": no such header under src/'
    if folder == mod:
        return None
    if house.is_test(path) and target in PUBLIC_TO_TESTS:
        return None
    if rest != folder + ".h" and not rest.startswith("gen/"):
        return f'"{target}": private to {folder}/, only {folder}/{folder}.h may be included'
    if not house.is_test(path) and floors[folder] >= floors[mod]:
        return f'"{target}": {folder} (floor {floors[folder]}) is not below {mod} (floor {floors[mod]})'
    return None


def cycle(graph):
    """A cycle of `{file: [files]}` as a list, or None."""
    done = set()

    def visit(node, trail):
        if node in trail:
            return trail[trail.index(node):] + [node]
        if node in done:
            return None
        for target in graph.get(node, []):
            found = visit(target, trail + [node])
            if found:
                return found
        done.add(node)
        return None

    for node in graph:
        found = visit(node, [])
        if found:
            return found
    return None


def violations(root):
    floors = house.floors(root)
    for folder in sorted(p.name for p in (root / "src").iterdir() if p.is_dir()):
        if folder not in floors:
            yield f"src/{folder}: not listed in src/FLOORS"
    for folder in floors:
        if not (root / "src" / folder).is_dir():
            yield f"src/FLOORS: {folder} is no folder of src/"
    graph = {}
    for path in house.code_files(root, dirs=("src", "sim", "fuzz", "bench", "test")):
        if path.startswith("src/") and house.module_of(path) not in floors:
            continue
        text = house.without_comments((root / path).read_text(errors="replace"))
        for match in INCLUDE.finditer(text):
            wrong = fault(root, floors, path, match.group(1))
            if wrong:
                yield f"{path}:{house.line_of(text, match.start(1))}: includes {wrong}"
            graph.setdefault(path, []).append("src/" + match.group(1))
    circle = cycle(graph)
    if circle:
        yield "headers in a circle: " + " -> ".join(circle)


if __name__ == "__main__":
    house.finish(list(violations(house.arguments().root)))
