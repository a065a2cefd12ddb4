#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the console is at many messages: .venv/bin/python bench/console.py [--messages 10000000] [--write FILE].

Fills a topic through the API, then measures the first page of messages (from the API, and until rows stand in a real
Chromium), a search that finds nothing (all is scanned), a scrape of the metrics, also of 10,000 partitions, scrolling and
jumps; then what is produced and fetched a second with and without a search that runs beside, in pairs, and how much of a
core the search has. Decides nothing; the figures are for docs/console-speed.md. Needs build/ottla, a C compiler and the
packages of test/console.
"""
import argparse
import concurrent.futures
import http.client
import json
import pathlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "test" / "console"), str(ROOT / "test")]

import compare  # noqa: E402
from harness.broker import Broker  # noqa: E402
from test_console import OWN_PORT, web_of  # noqa: E402

BATCH, PARTITIONS, PAGES = 6000, 4, 20
PAIRS, SECONDS, MANY_PARTITIONS = 7, 3, 10_000
LOADS = {"produced": "produce --topic load --partitions 4 --connections 4 --inflight 4 --record-bytes 1024 --records-per-batch 16 --acks 1 --warmup 0.5",
         "fetched": "fetch --topic many --partitions 4 --connections 4 --discard"}


def value(i):
    return f'{{"id":{i},"kind":"order","customer":"customer-{i % 997}","total":{i % 10007},"paid":true}}'


def fill(web, messages):
    web.post("/api/v1/topics", {"name": "many", "partitions": PARTITIONS})

    def send(number):
        first = number * BATCH
        web.produce("many", [{"value": value(i)} for i in range(first, min(messages, first + BATCH))], partition=number % PARTITIONS)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in pool.map(send, range(-(-messages // BATCH))):
            pass


def median_ms(run):
    times = []
    for _ in range(PAGES):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), max(times)


def search(web, query):
    _status, text, _headers = web.ask("GET", f"/api/v1/topics/many/search?from=earliest&{query}")
    return json.loads(text.decode().rstrip().rsplit("data: ", 1)[1])


# ---- beside produce and fetch
class Searching:
    """A search that begins again when it has ended, and the CPU time of its threads in the broker."""

    def __init__(self, web, pid):
        self.web, self.tasks, self.is_over = web, pathlib.Path(f"/proc/{pid}/task"), threading.Event()
        self.ticks = {}  # of each thread that a search had: it ends with its search

    def __enter__(self):
        self.others = {task.name for task in self.tasks.iterdir()}
        self.runners = [threading.Thread(target=self.search), threading.Thread(target=self.look)]
        for runner in self.runners:
            runner.start()
        while not self.ticks:
            time.sleep(0.01)
        self.began, self.before = time.monotonic(), sum(self.ticks.values())
        return self

    def search(self):
        while not self.is_over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.web.port)
            connection.request("GET", "/api/v1/topics/many/search?from=earliest&json=%24.total%20%3E%2020000")
            answer = connection.getresponse()
            while answer.read1(65536) and not self.is_over.is_set():
                pass
            answer.close()

    def look(self):
        """User and system time, in ticks."""
        while not self.is_over.is_set():
            for task in self.tasks.iterdir():
                try:
                    if task.name not in self.others:
                        self.ticks[task.name] = sum(map(int, (task / "stat").read_text().rsplit(")", 1)[1].split()[11:13]))
                except OSError:
                    pass  # it has ended since
            time.sleep(0.02)

    def __exit__(self, *_why):
        used = (sum(self.ticks.values()) - self.before) / os.sysconf("SC_CLK_TCK")
        self.share = used / (time.monotonic() - self.began)
        self.is_over.set()
        for runner in self.runners:
            runner.join()


def beside_a_search(web, broker):
    """For each load: MiB/s alone, MiB/s beside a search, the share that is lost (of pairs one after the other), the search's share of a core."""
    compare.build()
    tool, port = os.path.join(compare.BUILD, "kload"), broker.address.split(":")[1]
    web.post("/api/v1/topics", {"name": "load", "partitions": 4, "configs": {"retention.bytes": str(64 << 20), "segment.bytes": str(16 << 20)}})

    def load(words):
        text = subprocess.run([tool, *words.split(), "--port", port, "--seconds", str(SECONDS)], capture_output=True, text=True, check=True).stdout
        return json.loads(text)["mib_s"]
    for name, words in LOADS.items():
        load(words)
        pairs, shares = [], []
        for _ in range(PAIRS):
            alone = load(words)
            with Searching(web, broker.pid) as searching:
                pairs.append((alone, load(words)))
            shares.append(searching.share)
        lost = statistics.median(1 - beside / alone for alone, beside in pairs)
        yield (f"{name} alone, beside a search", f"{statistics.median(a for a, _b in pairs):,.0f} MiB/s, {statistics.median(b for _a, b in pairs):,.0f} MiB/s: "
               f"{100 * max(0, lost):.0f} % lost, while the search has {100 * statistics.median(shares):.0f} % of a core")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    folder = tempfile.TemporaryDirectory(prefix="ottla-console-")
    broker = Broker("ottla", folder.name, OWN_PORT)
    lines = ["| what | result |", "|---|---|"]
    try:
        broker.start()
        web = web_of(broker)
        fill(web, options.messages)
        size = web.get("/api/v1/topics/many")["sizeBytes"]
        lines.append(f"| topic | {options.messages:,} messages, {size / (1 << 20):,.0f} MiB, {PARTITIONS} partitions |")
        for name, query in (("newest page of 200", "limit=200"), ("page from the middle", f"from={options.messages // 8}&limit=200")):
            middle, most = median_ms(lambda asked=query: web.get(f"/api/v1/topics/many/messages?{asked}"))
            lines.append(f"| {name}, API | {middle:.1f} ms (slowest of {PAGES}: {most:.1f} ms) |")
        middle, most = median_ms(lambda: web.ask("GET", "/metrics"))
        lines.append(f"| scrape of the metrics | {middle:.1f} ms (slowest {most:.1f} ms) |")
        for name, query in (("text", "text=not-there"), ("regular expression", "regex=not-t.ere"), ("JSON path", "json=%24.total%20%3E%2020000")):
            done = search(web, query)
            lines.append(f"| search by {name}, nothing found | {done['scannedBytes'] / (1 << 20) / (done['elapsedMs'] / 1000):,.0f} MiB/s, {done['scanned'] / done['elapsedMs'] * 1000:,.0f} messages/s |")
        lines += [f"| {name} | {figure} |" for name, figure in beside_a_search(web, broker)]
        told = subprocess.run(["node", str(ROOT / "test" / "console" / "scenarios.mjs"), web.base, "speed"], capture_output=True, text=True, check=True).stdout
        lines += [f"| {name} | {figure} |" for name, figure in json.loads(told)]
        for number in range(2):  # a request makes fewer than 10,000
            web.post("/api/v1/topics", {"name": f"wide-{number}", "partitions": MANY_PARTITIONS // 2})
        middle, most = median_ms(lambda: web.ask("GET", "/metrics"))
        lines.append(f"| scrape of the metrics, {MANY_PARTITIONS:,} partitions more | {middle:.0f} ms (slowest {most:.0f} ms) |")
    finally:
        broker.close()
        folder.cleanup()
    lines.append(f"| load of the machine at the end, {os.cpu_count()} cores | {os.getloadavg()[1]:.0f} processes |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        options.write.write_text("# How fast the console is\n\nWritten by `bench/console.py`; medians.\n\n" + text)


if __name__ == "__main__":
    main()
