#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every .c and .h opens with its licence and with prose: what the file is for, what it keeps true, how it fails."""
import re

import house

SPDX = "// SPDX-License-Identifier: Apache-2.0"
OPENING = re.compile(r"\s*(/\*.*?\*/|(?://[^\n]*\n)+)", re.DOTALL)
NAMED = re.compile(r"[\w/]+\.[ch]\b")
WORDS_MIN = 8


def fault(path, text):
    first, _, rest = text.partition("\n")
    if first.strip() != SPDX:
        return "the first line is not the licence: " + SPDX
    opening = OPENING.match(rest)
    if not opening:
        return "no comment after the licence says what the file is for"
    words = re.findall(r"[A-Za-z]{2,}", opening.group(1))
    if len(words) < WORDS_MIN:
        return f"the opening comment has {len(words)} words; say what the file is for, what it keeps true, how it fails"
    named = NAMED.match(opening.group(1).lstrip("/* "))
    if named and not ("/" + path).endswith("/" + named.group(0)):
        return f"the opening comment is that of another file, {named.group(0)}"
    return None


def violations(root):
    for path in house.code_files(root):
        wrong = fault(path, (root / path).read_text(errors="replace"))
        if wrong:
            yield f"{path}:1: {wrong}"


if __name__ == "__main__":
    house.finish(list(violations(house.arguments().root)))
