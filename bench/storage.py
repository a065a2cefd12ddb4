#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the storage engine does without clients, beside Apache Kafka 4.3.1 on copies of the same directory: recovery, compaction,
a start with many partitions, and memory and descriptors of one partition.

    bench/storage.py [--mib N] [--partitions N] [--only recovery,compaction,partitions] [--kinds ottla,kafka]
                     [--write docs/storage-speed.md]

Needs what test/setup.sh makes; runs best on a machine that does nothing else. Decides nothing. `--write` puts the table
between the marks of that page.
"""
import argparse
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
if PYTHON.exists() and pathlib.Path(sys.prefix) != PYTHON.parent.parent.resolve():
    if os.environ.get("OTTLA_BENCH_PYTHON") != "set":
        os.execve(PYTHON, [str(PYTHON), *sys.argv], {**os.environ, "OTTLA_BENCH_PYTHON": "set"})
sys.path.insert(0, str(ROOT / "test"))

from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

from harness.broker import Broker  # noqa: E402

MIB, CHUNK_PARTITIONS, WAIT_S = 1 << 20, 2000, 600
QUIET = {"log.cleaner.min.cleanable.ratio": "1", "log.cleaner.backoff.ms": "1000000000"}
CLEANING = {"log.cleaner.min.cleanable.ratio": "0", "log.cleaner.backoff.ms": "100"}
OPENED = {"ottla": r"partitions are open after (\d+) ms", "kafka": r"Loaded \d+ logs in (\d+)ms"}
NAMES = {"ottla": "Ottla", "kafka": "Apache Kafka 4.3.1"}
MARKS = ("<!-- figures -->", "<!-- /figures -->")


def run(kind, folder, settings):
    return Broker(kind, folder, {"offsets.topic.num.partitions": "1", **settings})


def create(broker, topic, partitions, config):
    admin = AdminClient({"bootstrap.servers": broker.address})
    for future in admin.create_topics([NewTopic(topic, partitions, 1, config=config)], request_timeout=300,
                                      operation_timeout=300).values():
        future.result(300)


def fill(broker, topic, mib, keys):
    """Records of 1 KiB that do not compress."""
    producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 20, "batch.size": 1 << 18,
                         "queue.buffering.max.kbytes": 1 << 16})
    blob = os.urandom(1 << 20)
    for n in range(mib << 10):
        at = n * 7919 % (len(blob) - 1024)
        while True:
            try:
                producer.produce(topic, key=b"key-%d" % (n * 48271 % keys), value=blob[at:at + 1000])
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(300) == 0


def copies(folder, made, options):
    for kind in options.kinds:
        shutil.copytree(made / "data", folder / kind / "data")
    os.sync()


def logged(broker, pattern):
    found = re.findall(pattern, broker.log())
    assert found, broker.log()[-3000:]
    return found[-1]


def recovery(folder, options):
    """All of it: the files that say how far a log is sure are taken away, and there is no mark of a clean stop."""
    made = run("ottla", folder / "made", QUIET)
    made.start()
    create(made, "filled", 8, {})
    fill(made, "filled", options.mib, 1 << 20)
    made.kill()
    for name in ("recovery-point-offset-checkpoint", "ottla-flushed-offset-checkpoint", "replication-offset-checkpoint"):
        (made.data / name).unlink(missing_ok=True)
    bytes_there = sum(f.stat().st_size for f in made.data.glob("filled-*/*.log"))
    copies(folder, made.folder, options)
    seconds = {}
    for kind in options.kinds:
        broker = run(kind, folder / kind, QUIET)
        broker.start()
        seconds[kind] = int(logged(broker, OPENED[kind])) / 1000
        broker.stop()
    return [(f"recovery of {bytes_there / MIB / 1024:.2f} GiB, every CRC, GiB/s",
             *(f"{bytes_there / MIB / 1024 / seconds[kind]:.2f}" for kind in options.kinds))]


def cleaned(data, topic):
    file = data / "cleaner-offset-checkpoint"
    return any(line.startswith(f"{topic} ") for line in file.read_text().splitlines()[2:]) if file.exists() else False


def compaction(folder, options):
    """From the moment it is ready until the topic's line is in the cleaner's checkpoint."""
    mib = options.mib // 2
    made = run("ottla", folder / "made", QUIET)
    made.start()
    segment = min(64 * MIB, mib * MIB // 8)
    create(made, "keyed", 1, {"cleanup.policy": "compact", "segment.bytes": str(segment)})
    fill(made, "keyed", mib, mib << 7)
    made.stop()
    bytes_there = sum(f.stat().st_size for f in sorted(made.data.glob("keyed-0/*.log"))[:-1])
    assert bytes_there > 0
    copies(folder, made.folder, options)
    seconds, left = {}, {}
    for kind in options.kinds:
        broker = run(kind, folder / kind, CLEANING)
        broker.start()
        began, deadline = time.monotonic(), time.monotonic() + WAIT_S
        while not cleaned(broker.data, "keyed"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        seconds[kind] = time.monotonic() - began
        broker.stop()
        left[kind] = sum(f.stat().st_size for f in sorted(broker.data.glob("keyed-0/*.log"))[:-1])
    return [(f"compaction of {bytes_there / MIB:.0f} MiB, {bytes_there / max(left[options.kinds[0]], 1):.0f} versions of a key, MiB/s",
             *(f"{bytes_there / MIB / seconds[kind]:.0f}" for kind in options.kinds))]


def descriptors(broker):
    return len(os.listdir(f"/proc/{broker.pid}/fd"))


def partitions(folder, options):
    """A clean stop before each start; what a partition costs is the difference to the same broker without them."""
    made = run("ottla", folder / "made", QUIET)
    made.start()
    made.stop()
    copies(folder / "empty", made.folder, options)
    made.start()
    for n in range(0, options.partitions, CHUNK_PARTITIONS):
        create(made, f"many-{n}", min(CHUNK_PARTITIONS, options.partitions - n), {})
    made.stop()
    copies(folder / "many", made.folder, options)
    told = {}
    for kind in options.kinds:
        sizes = []
        for case in ("empty", "many"):
            broker = run(kind, folder / case / kind, QUIET)
            broker.start()
            broker.stop()  # so that what is measured comes after a clean stop of its own
            began = time.monotonic()
            broker.start()
            assert "goes offline" not in broker.log(), "too few descriptors (ulimit -n) for so many partitions"
            sizes.append((time.monotonic() - began, broker.resident_bytes(), descriptors(broker)))
            broker.stop()
        (_, memory, files), (seconds, more_memory, more_files) = sizes
        told[kind] = (f"{seconds:.1f}", f"{(more_memory - memory) / options.partitions / 1024:.1f}",
                      f"{(more_files - files) / options.partitions:.2f}", f"{more_memory / MIB:.0f}")
    rows = (f"start with {options.partitions:,} partitions after a clean stop, s", "memory a partition, KiB",
            "descriptors a partition", "memory in all, MiB")
    return [(row, *(told[kind][n] for kind in options.kinds)) for n, row in enumerate(rows)]


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--partitions", type=int, default=10000)
    parser.add_argument("--only", default="recovery,compaction,partitions")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(OPENED))
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    os.environ.setdefault("KAFKA_JVM_OPTS", "-Xms128m -Xmx1g")
    load, rows = os.getloadavg()[0], []
    for part in options.only.split(","):
        with tempfile.TemporaryDirectory(prefix="ottla-bench-") as folder:
            rows += {"recovery": recovery, "compaction": compaction, "partitions": partitions}[part](pathlib.Path(folder), options)
            print(f"{part}: done", file=sys.stderr)
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    lines = [f"{time.strftime('%Y-%m-%d')}, {commit}: {os.cpu_count()} cores of {processor()}, Linux {platform.release()}, "
             f"load before it began {load:.1f}.", "", f"| | {' | '.join(NAMES[kind] for kind in options.kinds)} |", "|---|" + "---|" * len(options.kinds),
             *(f"| {' | '.join(row)} |" for row in rows)]
    text = "\n".join(lines)
    print(text)
    if options.write:
        page = options.write.read_text()
        before, after = page.index(MARKS[0]) + len(MARKS[0]), page.index(MARKS[1])
        options.write.write_text(page[:before] + "\n" + text + "\n" + page[after:])


main()
