#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Visibility is in the name: noun_verb is public, noun__verb stays in its folder, everything else is static.

An error: a name with two underscores that two folders use; a linked symbol without them that its folder's public header
does not declare. Printed, for a reader to judge: public functions that are used only at home.
"""
import collections
import re

import check_symbols
import house

INTERNAL = re.compile(r"(?<![\w#])[a-z][a-z0-9]*(?:_[a-z0-9]+)*__[a-z0-9_]+\b")
WORD = re.compile(r"[A-Za-z_]\w*")


def internal_names_abroad(texts):
    homes = collections.defaultdict(dict)  # name -> {folder: first place}
    for path, text in texts.items():
        for match in INTERNAL.finditer(text):
            homes[match.group(0)].setdefault(house.module_of(path), f"{path}:{house.line_of(text, match.start())}")
    for name, places in sorted(homes.items()):
        if len(places) > 1:
            yield f"{' and '.join(places.values())}: {name} is internal to one folder"


def words_by_folder(texts, wanted):
    words = collections.defaultdict(set)
    for path, text in texts.items():
        if wanted(path):
            words[house.module_of(path)].update(WORD.findall(text))
    return words


def is_public_header(path):
    mod = house.module_of(path)
    return path == f"src/{mod}/{mod}.h" or path in ("src/io/sim.h",) or (f"src/{mod}/gen/" in path and path.endswith(".h"))


def violations(root, build, ret_notes):
    texts = {path: house.code_only((root / path).read_text(errors="replace")) for path in house.code_files(root)}
    yield from internal_names_abroad(texts)
    public = words_by_folder(texts, is_public_header)
    used = words_by_folder(texts, lambda path: True)
    if "sim" in used or "io" in public:
        public["sim"] = public["sim"] | public["io"]  # the simulator's library implements io's header
    for mod, files in check_symbols.libraries(root, build).items():
        at_home = set()
        for obj, kind, name in check_symbols.symbols(files):
            if kind in "Uw" or "__" in name or name == "main" or not WORD.fullmatch(name):
                continue
            if name not in public[mod]:
                yield f"src/{mod}: {obj.removesuffix('.o')}: {name} is linked but not in {mod}/{mod}.h: static, or noun__verb"
            elif mod != "sim" and not any(name in words for other, words in used.items() if other != mod):
                at_home.add(name)
        generated = {name for path, text in texts.items() if f"src/{mod}/gen/" in path for name in WORD.findall(text)}
        if at_home - generated:
            ret_notes.append(f"note: public but used only in {mod}: {' '.join(sorted(at_home - generated))}")
        if at_home & generated:
            ret_notes.append(f"note: generated, public, used only in {mod}: {len(at_home & generated)}")


if __name__ == "__main__":
    args = house.arguments()
    notes = []
    found = list(violations(args.root, args.build, notes))
    for note in notes:
        print(note)
    house.finish(found)
