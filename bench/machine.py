# SPDX-License-Identifier: Apache-2.0
"""What the machine and its processes are doing, as /proc tells it."""
import contextlib
import os
import platform
import time

TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def switches_of(pid):
    """How often threads of a process went to sleep of themselves, so far."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/status") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))
    return total


def cpu_of_others(skip):
    used = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) not in skip:
            try:
                used[pid] = cpu_of(pid)
            except (OSError, IndexError):
                pass
    return used


def growth(before, after):
    return sum(max(0.0, after[p] - before.get(p, after[p])) for p in after)


def wait_for_quiet(skip, at_most):
    start = time.monotonic()
    while True:
        before = cpu_of_others(skip)
        time.sleep(0.4)
        if growth(before, cpu_of_others(skip)) / 0.4 < 0.1 or time.monotonic() - start > at_most:
            return round(time.monotonic() - start, 1)


def memory_mib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        lines = [l.split() for l in f]
    return {l[0][:-1].lower() + "_mib": int(l[1]) / 1024 for l in lines if l[0] in ("Rss:", "Pss:", "Anonymous:")}


def machine():
    """What the figures were taken on; they mean nothing without it."""
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo") as f:
        memory_gib = int(f.readline().split()[1]) / (1 << 20)
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory_gib), "kernel": platform.release()}
