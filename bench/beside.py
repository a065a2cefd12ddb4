# SPDX-License-Identifier: Apache-2.0
"""Loads that go on at a broker while another one is measured (compare.py's modes `beside`, `others`).

Each is a context: it begins, the measured load runs, it ends and adds what it did to the measured result. One that did not
happen makes the result invalid, so that nobody reads a quiet broker's figures as those of a busy one.
"""
import contextlib
import http.client
import os
import subprocess
import threading
import time

COMPACTED_SEGMENT_BYTES = 4 << 20


def invalidate(result, why):
    result["valid"] = False
    result["stderr"] = result.get("stderr", "") + why


def bytes_of(data, topic):
    total = 0
    for folder in os.listdir(data):
        if folder.rpartition("-")[0] == topic:
            for entry in os.scandir(os.path.join(data, folder)):
                with contextlib.suppress(OSError):  # deleted meanwhile
                    total += entry.stat().st_blocks * 512 if entry.name.endswith(".log") else 0
    return total


def forget_pages(data):
    os.sync()
    for folder, _, names in os.walk(data):
        for name in names:
            with contextlib.suppress(OSError), open(os.path.join(folder, name), "rb") as f:
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def kload(broker, arguments, result):
    with open(broker.data + ".beside", "wb+") as out, subprocess.Popen(broker.kload_command(arguments), stdout=out, stderr=out) as other:
        try:
            yield
        finally:
            ran = other.poll() is None
            other.terminate()
            other.wait()
            if not ran:
                out.seek(0)
                invalidate(result, "the load beside had ended: " + out.read().decode(errors="replace")[-300:])


@contextlib.contextmanager
def cold(broker, arguments, result):
    """Finds no pages of the broker's files in memory."""
    forget_pages(broker.data)
    with kload(broker, arguments, result):
        yield


@contextlib.contextmanager
def search(broker, _arguments, result):
    """A search through the whole topic `loaded` that finds nothing, again and again."""
    is_over, scanned, port = threading.Event(), [0], broker.port + 5

    def run():
        while not is_over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/api/v1/topics/loaded/search?from=earliest&text=there-is-no-such-text")
            answer = connection.getresponse()
            for line in iter(answer.readline, b""):
                if line.startswith(b"data: ") and b"scannedBytes" in line:
                    scanned[0] += 1
                if is_over.is_set():
                    break
            connection.close()
    runner = threading.Thread(target=run)
    runner.start()
    try:
        time.sleep(0.2)
        yield
    finally:
        is_over.set()
        runner.join()
        result["search_reports"] = scanned[0]
        if not scanned[0]:
            invalidate(result, "the search told of nothing scanned")


@contextlib.contextmanager
def compaction(broker, arguments, result):
    """A compacted topic that is written to fast, so that the cleaner always has something to do."""
    broker.topics += 1
    topic = f"compacted{broker.topics}"
    configs = ("cleanup.policy=compact", f"segment.bytes={COMPACTED_SEGMENT_BYTES}", "min.cleanable.dirty.ratio=0.01")
    broker.kload(["create", "--topic", topic, "--partitions", "1", *(x for c in configs for x in ("--config", c))])
    most, is_over = [0, 0], threading.Event()

    def watch():
        while not is_over.wait(0.1):
            now = bytes_of(broker.data, topic)
            most[0] = max(most[0], now)
            most[1] = max(most[1], most[0] - now)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with kload(broker, [*arguments, "--topic", topic], result):
            time.sleep(0.5)
            yield
    finally:
        is_over.set()
        watcher.join()
        broker.kload(["delete", "--topic", topic])
        result["compacted_mib"] = most[1] / (1 << 20)
        if most[1] < COMPACTED_SEGMENT_BYTES:
            invalidate(result, "nothing was compacted meanwhile")


KINDS = {"hot": kload, "cold": cold, "search": search, "compaction": compaction}


