#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions that a request costs on the hot paths, and compares them with bench/instructions.txt.

    bench/instructions.py BUILD             fails where a count is more than 5 % off
    bench/instructions.py BUILD --record    writes what it counts into the file
    bench/instructions.py BUILD --functions CASE     the functions that cost most

BUILD is a Meson build directory; its compiler decides which lines of the file count. What runs is sim/instructions.c, the
whole broker on the simulator, so that the same program counts the same on any machine. Counted are the instructions of
our own files: not the simulator's and its client's, and not libraries', which may be another version elsewhere.
"""
import argparse
import collections
import json
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "bench" / "instructions.txt"
TOLERANCE = 0.05
OURS = re.compile(r"(?:^|/)src/(?!io/|base/random)\w+/.*\.[ch]$")
HEAD = """# Instructions a request, of Ottla's own files, as bench/instructions.py counts them. A change of more than 5 % is named in the
# commit that makes it.
# compiler	case	instructions
"""


def compiler_of(build):
    commands = json.loads((build / "compile_commands.json").read_text())
    words = next(c["command"] for c in commands if c["file"].endswith(".c")).split()
    compiler = words[1] if "ccache" in words[0] else words[0]
    version = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True, check=True).stdout
    return f"{'clang' if 'clang' in compiler else 'gcc'}-{version.split('.')[0].strip()}-{platform.machine()}"


class Names:
    """Callgrind writes a name once, as (number) name, and later only its number."""

    def __init__(self):
        self.known = {}

    def read(self, text):
        number, _, name = text.partition(" ")
        if name:
            self.known[number] = name
        return self.known.get(number, text)


def read_dump(path):
    """The case's name, or None, and instructions by (file, function)."""
    files, functions, costs = Names(), Names(), collections.Counter()
    case, file, function, is_call = None, "", "", False
    for line in path.read_text().splitlines():
        key, _, value = line.partition("=")
        if line.startswith("desc: Trigger: Client Request: "):
            case = line.rsplit(": ", 1)[1]
        elif key in ("fl", "fi", "fe"):
            file = files.read(value)
        elif key == "fn":
            function = functions.read(value)
        elif key in ("cfi", "cfl"):
            files.read(value)
        elif key == "cfn":
            functions.read(value)
        elif key == "calls":
            is_call = True
        elif line and line[0] in "0123456789+-*":
            if not is_call:
                costs[file, function] += int((line.split() + ["0"])[1])  # no cost: none
            is_call = False
    return case, costs


def count(build):
    """Costs of a request by (file, function), of each case."""
    subprocess.run(["ninja", "-C", build, "--quiet", "sim/instructions"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out"
        run = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", build / "sim" / "instructions"],
                             capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"{run.stdout}{run.stderr}sim/instructions failed under callgrind")
        dumps = [read_dump(path) for path in pathlib.Path(folder).glob("out.*")]
    rounds = {case: int(count) for case, count in (line.split() for line in run.stdout.splitlines())}
    return {case: {place: cost / rounds[case] for place, cost in costs.items() if OURS.search(place[0]) and not place[1].startswith("sim_")}
            for case, costs in dumps if case}


def kept_lines():
    rows = [line.split("\t") for line in KEPT.read_text().splitlines() if line and line[0] != "#"] if KEPT.exists() else []
    return {(compiler, case): int(number) for compiler, case, number in rows}


def compare(compiler, counted):
    kept = {case: number for (of, case), number in kept_lines().items() if of == compiler}
    if not kept:
        print(f"no counts are kept for {compiler}: nothing to compare with")
        return True
    good = set(kept) == set(counted)
    for case in sorted(set(kept) | set(counted)):
        before, now = kept.get(case, 0), counted.get(case, 0)
        off = now / before - 1 if before else 1
        good &= abs(off) <= TOLERANCE
        print(f"{case:24} {now:8} {before:8} kept {off:+7.1%} {'' if abs(off) <= TOLERANCE else 'OFF'}")
    return good


def record(compiler, counted):
    rows = {key: number for key, number in kept_lines().items() if key[0] != compiler}
    rows.update({(compiler, case): number for case, number in counted.items()})
    KEPT.write_text(HEAD + "".join(f"{of}\t{case}\t{number}\n" for (of, case), number in sorted(rows.items())))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--functions", metavar="CASE")
    arguments = parser.parse_args()
    compiler = compiler_of(arguments.build)
    costs = count(arguments.build.resolve())
    if arguments.functions:
        for (file, function), cost in sorted(costs[arguments.functions].items(), key=lambda row: -row[1])[:40]:
            print(f"{cost:9.1f}  {OURS.search(file).group(0)[-40:]:40} {function}")
        return 0
    counted = {case: round(sum(of.values())) for case, of in costs.items()}
    if arguments.record:
        record(compiler, counted)
        return 0
    if compare(compiler, counted):
        return 0
    print("a count is off: find out why, and if it is meant, --record it and name it in the commit")
    return 1


if __name__ == "__main__":
    sys.exit(main())
