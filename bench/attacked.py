#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long an honest producer waits for its acknowledgements while others attack the same broker, attack by attack.

    .venv/bin/python bench/attacked.py [--only REGEX] [--seconds N] [--rounds N] [--threads N] [--page-cache] [--realtime] [--write]

The honest client writes 500 messages a second to four partitions over one connection, open loop, acks=all: a wait counts from
when a message should have been sent. Beside it, for as long: nothing (quiet); attackers of one kind of test/hostile at the same
broker (here); the same attackers at another broker on this machine (elsewhere), which shows what the machine's processors, its
loopback and its disk take away from everybody, whoever is attacked. What `here` is above `elsewhere` is the broker's doing.
Rounds are interleaved; a row has the medians over rounds. --realtime lets the kernel prefer the brokers and the honest client
to everybody else, for a machine that others use too. --write puts the table into bench/README.md.
"""
import argparse
import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "test"), str(ROOT / "bench")]

import compare  # noqa: E402
from hostile import attacks, storm  # noqa: E402

BEGIN, END = "<!-- attacked.py writes from here -->", "<!-- to here, attacked.py -->"
PREFERRED = ["chrt", "--rr", "10"]
ATTACKER = """
import contextlib, os, sys, threading
sys.path.insert(0, sys.argv[1])
from hostile import attacks
os.nice(5)
kind = getattr(attacks, sys.argv[3])
def attack(number):
    attacker = attacks.Attacker(sys.argv[2], str(number), float("inf"), int(sys.argv[5]))
    while True:
        with contextlib.suppress(Exception):
            kind(attacker)
for number in range(int(sys.argv[4])):
    threading.Thread(target=attack, args=(number,)).start()
"""


@contextlib.contextmanager
def attacked(address, kind, threads):
    command = [sys.executable, "-c", ATTACKER, str(ROOT / "test"), address, kind, str(threads), str(storm.FRAME_MAX)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as attacker:
        try:
            time.sleep(1)
            yield
        finally:
            attacker.kill()


def honest(broker, opts):
    """Milliseconds: the median, the 99th percentile, the longest."""
    result = compare.json_of([
        *(PREFERRED if opts.realtime else []), os.path.join(compare.BUILD, "kload"), "produce", "--port", str(broker.port), "--topic", storm.TOPIC, "--partitions",
        str(storm.PARTITIONS), "--connections", "1", "--inflight", "64", "--rate", "500", "--record-bytes", "100",
        "--records-per-batch", "1", "--seconds", str(opts.seconds), "--warmup", "0.5", "--no-check"])
    if not result["valid"]:
        return None
    return [result["lat_us"][name] / 1000 for name in ("p50", "p99", "max")]


def median(rounds):
    """Of each figure; None when a run was not valid: an honest message was refused or never acknowledged."""
    return None if None in rounds else [statistics.median(figures) for figures in zip(*rounds)]


def shown(figures):
    return " | ".join(f"{figure:.3g}" for figure in figures) if figures else "failed | failed | failed"


def measure(opts, here, elsewhere):
    """{(kind, where): figures}"""
    kinds = [kind.__name__ for kind in attacks.ATTACKS if re.search(opts.only, kind.__name__)]
    rounds = {}
    for _ in range(opts.rounds):
        rounds.setdefault(("quiet", "here"), []).append(honest(here, opts))
        for kind in kinds:
            for where, victim in (("elsewhere", elsewhere), ("here", here)):
                with attacked(victim.address, kind, opts.threads):
                    rounds.setdefault((kind, where), []).append(honest(here, opts))
                time.sleep(0.5)
                print(kind, where, rounds[kind, where][-1], file=sys.stderr, flush=True)
    return {row: median(figures) for row, figures in rounds.items()}, kinds


def table(opts, found, kinds):
    machine = compare.machine()
    lines = [f"Measured on {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}; milliseconds"
             f"{', brokers and client preferred' if opts.realtime else ''}.", "",
             "| beside | p50 elsewhere | p99 | max | p50 here | p99 | max |", "|---|---|---|---|---|---|---|",
             f"| nothing | | | | {shown(found['quiet', 'here'])} |"]
    return lines + [f"| {kind.replace('_', ' ')} | {shown(found[kind, 'elsewhere'])} | {shown(found[kind, 'here'])} |" for kind in kinds]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--page-cache", action="store_true", help="acknowledge what is written, as Kafka does")
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("--write", action="store_true")
    opts = parser.parse_args()
    compare.build()
    if opts.page_cache:
        storm.SETTINGS["ottla.durability"] = "page-cache"
    with tempfile.TemporaryDirectory(prefix="ottla-attacked-") as folder:
        storms = [storm.Storm(pathlib.Path(folder) / name, 0, 0) for name in ("here", "elsewhere")]
        with storms[0].broker as here, storms[1].broker as elsewhere:
            for one in storms:
                one.prepare()
                if opts.realtime:
                    subprocess.run(["chrt", "--all-tasks", "--rr", "--pid", "10", str(one.broker.pid)], check=True)
            text = "\n".join(table(opts, *measure(opts, here, elsewhere)))
    print(text)
    if opts.write:
        readme = ROOT / "bench" / "README.md"
        before, rest = readme.read_text().split(BEGIN)
        readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
