# SPDX-License-Identifier: Apache-2.0
"""What is measured of a broker that has the machine to itself, from its start on: compare.py's modes startup, partitions,
recovery, catchup and soak. Each takes a broker that is prepared and not started, and notes its results.
"""
import os
import time

import beside
from machine import cpu_of, memory_mib, switches_of, wait_for_quiet

SOAK_PARTITIONS, SOAK_RETAINED, SOAK_SEGMENT = 8, 16 << 20, 4 << 20
PRODUCE = "produce --inflight 5 --connections 8 --record-bytes 1024 --records-per-batch 16".split()


def startup(bench, b, pair):
    wait_for_quiet({os.getpid()}, bench.opts.patience)
    result = b.start()
    time.sleep(3)
    result.update(memory_mib(b.process.pid))
    before, switched = cpu_of(b.process.pid), switches_of(b.process.pid)
    time.sleep(3)
    result["wake_ups_s"] = (switches_of(b.process.pid) - switched) / 3
    result["idle_cpu_pct"] = (cpu_of(b.process.pid) - before) / 3 * 100
    result["stop_ms"] = b.stop()
    bench.note(b, "startup", "fresh directory", pair, result)


def partitions(bench, b, pair):
    b.start()
    time.sleep(2)
    rss = memory_mib(b.process.pid)["rss_mib"]
    result = b.create("many", 1000)
    result["rss_growth_mib"] = memory_mib(b.process.pid)["rss_mib"] - rss
    bench.note(b, "partitions", "create 1000", pair, result)
    if bench.wants("partitions", "metadata of 1000"):
        result = b.kload("pingpong --api metadata --topic many --seconds 2".split())
        bench.note(b, "partitions", "metadata of 1000", pair, result)
    if bench.wants("partitions", "produce 100Bx1 over 1000 C8"):
        load = "produce --topic many --partitions 1000 --connections 8 --inflight 5 --record-bytes 100 --records-per-batch 1"
        result = b.kload([*load.split(), "--seconds", str(bench.opts.seconds)])
        bench.note(b, "partitions", "produce 100Bx1 over 1000 C8", pair, result)
    stop_ms = b.stop()
    result = b.start("many", 1000)
    result["stop_ms"] = stop_ms
    time.sleep(2)
    result["rss_mib"] = memory_mib(b.process.pid)["rss_mib"]
    bench.note(b, "partitions", "start with 1000", pair, result)


def fill(b, topic, partitions, gib):
    b.create(topic, partitions)
    size = ["--topic", topic, "--partitions", str(partitions), "--max-mib", str(max(1, round(gib * 1024)))]
    return b.kload([*PRODUCE, *size, "--seconds", "3600", "--warmup", "0"])


def recovery(bench, b, pair):
    """Killed with a GiB in 32 partitions of which no recovery point knows; then until everything is led again."""
    b.start()
    filled = fill(b, "killed", 32, min(1.0, bench.opts.gib))
    b.kill()
    wait_for_quiet({os.getpid()}, bench.opts.patience)
    result = {**b.start("killed", 32), "valid": filled.get("valid", False), "filled_mib": filled.get("bytes", 0) / (1 << 20)}
    read = b.kload("fetch --topic killed --partitions 32 --connections 1 --verify --warmup 0".split())
    if not read.get("valid") or read.get("recs", 0) < filled.get("recs", 0):
        beside.invalidate(result, f"of {filled.get('recs')} records {read.get('recs')} are there")
    bench.note(b, "recovery", "killed", pair, result)


def catchup(bench, b, pair):
    """A consumer reads all of a topic from the disk, while producers go on in it, until it has caught up."""
    b.start()
    filled = fill(b, "behind", 8, bench.opts.gib)
    beside.forget_pages(b.data)
    company = {}
    writer = [*PRODUCE, "--topic", "behind", "--partitions", "8", "--rate", "20000", "--seconds", "3600", "--no-check"]
    with beside.kload(b, writer, company):
        result = b.kload("fetch --topic behind --partitions 8 --connections 1 --no-check --warmup 0".split())
    if not filled.get("valid") or result.get("recs", 0) < filled.get("recs", 0):
        beside.invalidate(result, f"of {filled.get('recs')} records {result.get('recs')} came")
    bench.note(b, "catchup", "a consumer far behind, producers", pair, {**result, **company, "gib": bench.opts.gib})


def soak(bench, b, pair):
    """20 MiB a second for hours, past the retention limit, to a consumer that keeps up; memory, files and disk are watched."""
    b.start()
    configs = [f"retention.bytes={SOAK_RETAINED}", f"segment.bytes={SOAK_SEGMENT}"]
    b.kload(["create", "--topic", "soak", "--partitions", str(SOAK_PARTITIONS), *(x for c in configs for x in ("--config", c))])
    seconds = bench.opts.hours * 3600
    part_s = max(5.0, min(60.0, seconds / 12))
    where = ["--topic", "soak", "--partitions", str(SOAK_PARTITIONS)]
    reader = ["fetch", *where, "--connections", "1", "--from-end", "--seconds", str(seconds + 600)]
    parts, company, until = [], {}, time.monotonic() + seconds
    with beside.kload(b, reader, company):
        while time.monotonic() < until:
            part = b.kload([*PRODUCE, *where, "--rate", "20480", "--seconds", str(part_s), "--warmup", "0"])
            part["disk_mib"] = beside.bytes_of(b.data, "soak") / (1 << 20)
            part["descriptors"] = len(os.listdir(f"/proc/{b.process.pid}/fd"))
            parts.append(part)
    bench.note(b, "soak", "20 MiB/s past retention", pair, soak_result(parts, company, bench.opts.hours))


def soak_result(parts, company, hours):
    """Grown is what the later half has beside the earlier one, of all that came past the retention limit."""
    failed = next((part for part in parts if not part.get("valid")), None)
    if failed:
        return failed
    # of each partition: what is kept, the segment that is written, and what comes until retention is looked at
    allowed = SOAK_PARTITIONS * (SOAK_RETAINED + 2 * SOAK_SEGMENT)
    past, written = [], 0
    for part in parts:
        past += [part] if written > allowed else []
        written += part["bytes"]
    if len(past) < 2:
        return {"valid": False, "stderr": "too short to come past the retention limit"}
    early, late = past[:len(past) // 2], past[len(past) // 2:]

    def grown_pct(of):
        before, after = (sum(of(part) for part in some) / len(some) for some in (early, late))
        return (after / before - 1) * 100
    return {**company, "hours": hours, "parts": len(parts), "gib": written / (1 << 30),
            "rss_mib": max(part["rss_mib"] for part in parts), "rss_grown_pct": grown_pct(lambda part: part["rss_mib"]),
            "descriptors_grown_pct": grown_pct(lambda part: part["descriptors"]),
            "p99_grown_pct": grown_pct(lambda part: part["lat_us"]["p99"]),
            "worst_p99_us": max(part["lat_us"]["p99"] for part in parts),
            "disk_of_allowed_pct": max(part["disk_mib"] for part in parts) * (1 << 20) / allowed * 100}


MODES = {  # with the case that is noted last
    "startup": ("fresh directory", startup),
    "partitions": ("start with 1000", partitions),
    "recovery": ("killed", recovery),
    "catchup": ("a consumer far behind, producers", catchup),
    "soak": ("20 MiB/s past retention", soak),
}
