#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole example in one go, with accidents: `make demo`.

    demo.py [--mib 50] [--one-row] [--broker ottla|kafka] [--keep]

Makes an event file, starts a broker, two consumers and the producer. When half of what is to be stored is stored, a
consumer is killed (kill -9) and so is the broker; both are started again. In the end the rows of both tables are
counted: there must be as many as in the file. Everything lies in a new folder below .cache/demo, removed unless --keep
is given.
"""
import argparse
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import time
import webbrowser

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "test"))

from harness.broker import Broker, free_port  # noqa: E402
import make_events  # noqa: E402

TABLES = ("events", "archive")
STALL_LIMIT_S = 180
BAR_WIDTH = 40


class Demo:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.file, self.database = folder / "events.json", folder / "event_log.sqlite"
        web = f"127.0.0.1:{free_port()}" if options.broker == "ottla" else None
        self.console = f"http://{web}/topics/event-log?live=1&open=newest" if web else None
        self.broker = Broker(options.broker, folder / "broker", {"ottla.http.listener": web} if web else None)
        self.processes, self.reader, self.drawn = {}, None, ""

    def spawn(self, name, *arguments):
        command = [sys.executable, str(HERE / f"{name}.py"), "--broker", self.broker.address, *map(str, arguments)]
        with open(self.folder / f"{name}.out", "ab") as out:
            self.processes[name] = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)

    def start_consumer(self, table):
        self.spawn(f"consume_{table}", "--database", self.database, "--member", f"{table}-1")

    def stored(self, table):
        """Rows in a table; 0 while nobody has made it."""
        if not self.database.exists():
            return 0
        if self.reader is None:
            self.reader = sqlite3.connect(self.database, timeout=30, isolation_level=None)
        try:
            return self.reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return 0

    def say(self, text):
        print(("\n" if self.drawn else "") + text, flush=True)
        self.drawn = ""

    def fail(self, text):
        self.say(text)
        raise SystemExit(1)

    def draw(self, counts):
        share = sum(counts) / (2 * self.rows)
        filled = min(BAR_WIDTH, int(share * BAR_WIDTH))
        text = f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {share:4.0%}  " + "  ".join(
            f"{table} {count:,}" for table, count in zip(TABLES, counts))
        if text != self.drawn:
            print(("\r" if sys.stdout.isatty() else "\n" if self.drawn else "") + text, end="", flush=True)
            self.drawn = text

    def await_rows(self, count):
        """Until so many rows are stored, both tables together; fails when nothing moves for minutes or a program has failed.
        """
        before, since = None, time.monotonic()
        while True:
            counts = [self.stored(table) for table in TABLES]
            self.draw(counts)
            if sum(counts) >= count:
                return
            if counts != before:
                before, since = counts, time.monotonic()
            for name, process in self.processes.items():
                if process.poll() not in (None, 0):
                    self.fail(f"{name} failed: {(self.folder / f'{name}.out').read_text()[-2000:]}")
            if time.monotonic() - since > STALL_LIMIT_S:
                self.fail(f"nothing was stored for {STALL_LIMIT_S} s")
            time.sleep(0.2)

    def accident(self):
        consumer = self.processes["consume_archive"]
        consumer.kill()
        consumer.wait()
        self.say(f"kill -9: the archive's consumer (process {consumer.pid})")
        pid = self.broker.pid
        self.broker.kill()
        self.say(f"kill -9: the broker (process {pid})")
        began = time.monotonic()
        self.broker.start()
        self.say(f"the broker is back after {time.monotonic() - began:.2f} s")
        self.start_consumer("archive")

    def run(self):
        self.rows = make_events.make(self.file, int(self.options.mib * (1 << 20)))
        self.say(f"{self.file.stat().st_size:,} bytes of events, {self.rows:,} rows")
        self.broker.start()
        self.say(f"{self.broker.kind} at {self.broker.address}, process {self.broker.pid}")
        if self.console:
            self.say(f"watch the events arrive, and how far both groups are behind:\n    {self.console}")
            if sys.stdout.isatty() and any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
                webbrowser.open(self.console)
        for table in TABLES:
            self.start_consumer(table)
        self.spawn("producer", self.file, *(["--one-row"] if self.options.one_row else []))
        self.await_rows(self.rows)
        self.accident()
        self.await_rows(2 * self.rows)
        if self.processes["producer"].wait(120) != 0:
            self.fail(f"producer failed: {(self.folder / 'producer.out').read_text()}")
        for table in TABLES:
            self.processes[f"consume_{table}"].terminate()
            self.processes[f"consume_{table}"].wait(60)
        return self.verdict()

    def verdict(self):
        counts = {"file": self.rows, **{table: self.stored(table) for table in TABLES}}
        self.say((self.folder / "producer.out").read_text().strip())
        for name, count in counts.items():
            self.say(f"{name:8} {count:>10,} rows")
        equal = len(set(counts.values())) == 1
        self.say("equal: nothing lost, nothing twice" if equal else "NOT EQUAL")
        if self.console and sys.stdin.isatty() and sys.stdout.isatty():
            input(f"The broker still runs, look around: {self.console.split('?')[0]}   Enter ends it. ")
        return 0 if equal else 1

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        if self.reader is not None:
            self.reader.close()
        self.broker.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=float, default=50, help="size of the event file")
    parser.add_argument("--one-row", action="store_true", help="one row a message")
    parser.add_argument("--broker", choices=("ottla", "kafka"), default="ottla")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    options = parser.parse_args()
    folder = ROOT / ".cache" / "demo" / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    demo, status = Demo(options, folder), 1
    try:
        status = demo.run()
    finally:
        demo.close()
        if options.keep or status:
            print(f"left in {folder}")
        else:
            shutil.rmtree(folder)
    sys.exit(status)


if __name__ == "__main__":
    main()
