#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the walks of ARCHITECTURE.md with what one produce and one fetch really do: sim/walks_test.py PROGRAM.

Each row of the two tables names a file and a function: the function is defined in that file, and the trace enters the
functions in the order of the rows. A warm produce and a warm fetch of a small batch call malloc zero times, and make the
system calls that stand below, with either durability; a produce that takes long to validate does too, and no reactor
walks its records. A start on an empty directory and a new topic sync as often as stands there.
"""
import bisect
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\| *\d+ *\| *`(src/[\w/]+\.c)` *\| *`(\w+)` *\|")
CALLS = {
    "produce": ["reactor recv", "reactor write", "flusher fdatasync", "reactor send"],
    "fetch": ["reactor recv", "reactor read", "reactor read nowait", "reactor send"],
    "large": ["reactor recv", "reactor write", "flusher fdatasync", "reactor send"],
    "page": ["reactor recv", "reactor write", "reactor send"],
}
# What each thread does of the validation of a batch that takes long.
OF_VALIDATION = {"check_request": {"reactor", "pool"}, "check_batch": {"pool"}, "check_records": {"pool"}}
# fdatasync and fsync of directories, one after another: what the order of birth needs, and no more.
SYNCS = {"start": 18, "topic": 5}
# Rows that only a fetch of old records takes.
COLD = {"warm_run"}


def table(heading):
    """(file, function) of each row below a heading."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    section = text.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    return [match.groups() for line in section.splitlines() if (match := ROW.match(line))]


def symbols(program):
    """Sorted (address, name) of functions, and main's address."""
    output = subprocess.run(["nm", "-n", program], capture_output=True, text=True, check=True).stdout
    found = [(int(a, 16), name) for a, kind, name in (line.split() for line in output.splitlines() if len(line.split()) == 3)
             if kind in "tT"]
    return found, next(address for address, name in found if name == "main")


def name_of(table_of_symbols, address):
    index = bisect.bisect_right(table_of_symbols, (address, "\x7f")) - 1
    return table_of_symbols[index][1].split(".")[0]  # gcc marks clones behind a point


def watch(program):
    run = subprocess.run([program], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{program} failed:\n{run.stderr}")
    found, main = symbols(program)
    entered, calls, allocations, syncs, threads = {}, {}, {}, {}, {}
    for line in run.stdout.splitlines():
        kind, walk, *rest = line.split(" ", 2)
        if kind == "enter":
            thread, distance = rest[0].rsplit(" ", 1)
            entered.setdefault(walk, []).append(name_of(found, main + int(distance)))
            threads.setdefault((walk, entered[walk][-1]), set()).add(thread)
        elif kind == "syncs":
            syncs[walk] = int(rest[0])
        elif kind == "call":
            calls.setdefault(walk, []).append(rest[0])
        else:
            allocations[walk] = int(rest[0])
    return entered, calls, allocations, syncs, threads


def order_faults(title, rows, trace):
    at = 0
    for file, function in rows:
        if function not in trace:
            yield f"{title}: `{function}` is never entered"
        elif function not in trace[at:]:
            yield f"{title}: `{function}` does not come after the row before it"
        else:
            at = trace.index(function, at) + 1


def place_faults(rows):
    for file, function in rows:
        path = ROOT / file
        if not path.is_file() or not re.search(rf"^\w[^\n;=]*\b{function}\([^;]*?\)\s*\{{", path.read_text(), re.MULTILINE):
            yield f"`{function}` is not defined in {file}"


def main():
    entered, calls, allocations, syncs, threads = watch(sys.argv[1])
    produce, fetch = table("A produce"), table("A fetch")
    faults = [] if produce and fetch else ["ARCHITECTURE.md has no tables of the walks"]
    faults += place_faults(produce + fetch)
    faults += order_faults("A produce", produce, entered["produce"])
    faults += order_faults("A fetch", [row for row in fetch if row[1] not in COLD], entered["wait"])
    faults += order_faults("A fetch of old records", [row for row in fetch if row[1] in COLD], entered["cold"])
    for walk, expected in CALLS.items():
        if calls[walk] != expected:
            faults.append(f"{walk}: system calls {calls[walk]}, expected {expected}")
        if allocations[walk] != 0:
            faults.append(f"{walk}: {allocations[walk]} allocations, expected none")
    for function, expected in OF_VALIDATION.items():
        if threads.get(("large", function)) != expected:
            faults.append(f"large: {function} is entered by {threads.get(('large', function))}, expected {expected}")
    for of, expected in SYNCS.items():
        if syncs[of] != expected:
            faults.append(f"{of}: {syncs[of]} syncs, expected {expected}")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
