#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the console is at many messages: bench/console.py [--messages 10000000] [--write FILE].

Fills a topic through the API, then measures the first page of messages (from the API, and until rows stand in a real
Chromium), a search that finds nothing (all is scanned), a scrape of the metrics, and scrolling. Decides nothing; the figures
are for docs/console-speed.md. Needs build/ottla and the packages of test/console.
"""
import argparse
import concurrent.futures
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "test" / "console"), str(ROOT / "test")]

from harness.broker import Broker, free_port  # noqa: E402
from test_console import Web  # noqa: E402

BATCH, PARTITIONS, PAGES = 6000, 4, 20


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    port, folder = free_port(), tempfile.TemporaryDirectory(prefix="ottla-console-")
    broker = Broker("ottla", folder.name, {"ottla.http.listener": f"127.0.0.1:{port}"})
    lines = ["| what | result |", "|---|---|"]
    try:
        broker.start()
        web = Web(port)
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
        told = subprocess.run(["node", str(ROOT / "test" / "console" / "scenarios.mjs"), web.base, "speed"], capture_output=True, text=True, check=True).stdout
        lines += [f"| {name} | {figure} |" for name, figure in json.loads(told)]
    finally:
        broker.close()
        folder.cleanup()
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        options.write.write_text("# How fast the console is\n\nWritten by `bench/console.py` on a machine with two cores that did other work too; medians.\n\n" + text)


if __name__ == "__main__":
    main()
