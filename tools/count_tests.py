#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the output of a run and prints `N passed, N failed`: the sum over meson's and pytest's summaries and over lines
that have that form themselves (`word: N passed, N failed`). Exits 1 when anything failed or nothing passed.
"""
import collections
import re
import sys

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MESON = {"Ok": "passed", "Expected Fail": "passed", "Unexpected Pass": "failed", "Fail": "failed", "Timeout": "failed", "Skipped": "skipped"}
MESON_LINE = re.compile(r"^(" + "|".join(MESON) + r"):\s+(\d+)\s*$")
PYTEST_LINE = re.compile(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.]+s\b")
PLAIN_LINE = re.compile(r"^(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")


def count(lines):
    total = collections.Counter()
    for line in lines:
        line = COLOUR.sub("", line).strip()
        if match := MESON_LINE.match(line):
            total[MESON[match.group(1)]] += int(match.group(2))
        elif match := PLAIN_LINE.match(line):
            total.update(passed=int(match.group(1)), failed=int(match.group(2)), skipped=int(match.group(3) or 0))
        elif match := PYTEST_LINE.match(line):
            for number, word in re.findall(r"(\d+) (\w+)", match.group(1)):
                kind = {"error": "failed", "errors": "failed"}.get(word, word)
                if kind in ("passed", "failed", "skipped"):
                    total[kind] += int(number)
    return total


if __name__ == "__main__":
    total = count(sys.stdin)
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {total['failed']} failed{skipped}")
    sys.exit(1 if total["failed"] or not total["passed"] else 0)
