#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares two Kafka-compatible brokers on this machine, run by run, with the floor beside them.

  compare.py [--a SPEC] [--b SPEC]
             [--mode produce,fetch,tiny,latency,fsync,default,more,curves,beside,others,connections,
                     startup,partitions,recovery,catchup,soak]
             [--only REGEX] [--pairs 5] [--seconds 4] [--warm-up 50] [--patience 15] [--no-floor] [--unpinned]
             [--gib 10] [--hours 1] [--resume] [--work DIR] [--out FILE]

SPEC is a profile, or a command that stays in the foreground, with {port} and {data} in it:
  kafka        Apache Kafka 4.3.1, production JVM flags       kafka-fsync  the same, topics with flush.messages=1
  ottla        write, no flush (Kafka's own promise)          ottla-fsync  acknowledged = on the disk (the default)
  floor        floor.c: what the kernel makes unavoidable     floor-fsync  the same with group commit
Mode `fsync` turns each profile into its -fsync twin; a command is used as it is.  Default: --a kafka --b ottla.
Mode `default` lays ottla-fsync beside kafka: both as they come.  In mode `others` only B has the company that the case names.
--gib is what `catchup` reads, --hours how long `soak` (of B alone) lasts.  --resume goes on in --out: what stands there for a
pair of a case is not run again.

How it measures.  Both brokers (and the floor) are alive at once, and each case is run A B floor / floor B A / A B floor ...
so that a machine that gets slower hits all alike.  A result is the median over pairs of B divided by A, with its range;
never compare numbers of different calls.  Pinned: broker on core 0, load generator on core 1.  Before each run the
driver waits (at most --patience seconds) until other processes use less than 10 % of a core and then times a bare loopback ping-pong
(control).  A run whose load generator reports an error (an error code, a lost or malformed reply, log end offsets that
don't match) is a failure, is listed as such and makes the exit status 1.  A JVM broker gets 50 s of warm-up and the
first run of each case on top (--warm-up shortens the 50 s).

Output: a markdown table on stdout, one JSON line per run in --out (default DIR/runs.jsonl, or
.cache/bench/runs.jsonl without --work), appended; report.py lays
those lines beside the bars. Environment: OTTLA (default build/ottla), KAFKA_REF_CACHE (see test/kafka/kafka-env.sh),
BENCH_BUILD (where kload, floor and limits are built; default .cache/bench), CC."""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import alone
import beside
from machine import cpu_of, cpu_of_others, growth, machine, wait_for_quiet

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
KAFKA_DIR = os.path.join(ROOT, "test", "kafka")
BUILD = os.environ.get("BENCH_BUILD") or os.path.join(ROOT, ".cache", "bench")
LOADS = ("produce", "fetch", "tiny", "latency", "more", "curves", "beside", "connections")  # over brokers that stay
APART = ("fsync", "default", "others")  # so too, with settings of their own

JVM = (
    "-server -Xms1g -Xmx1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 "
    "-XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true"
)
KAFKA_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.delete.delay.ms=500
"""
BINARY = os.environ.get("OTTLA", os.path.join(ROOT, "build", "ottla"))
OTTLA = BINARY + " serve --data {data} --listen 127.0.0.1:{port} --http off --set log.segment.delete.delay.ms=500"
FLOOR = os.path.join(BUILD, "floor") + " --port {port} --data {data}"
PROFILES = {
    "ottla": OTTLA + " --set ottla.durability=page-cache",
    "ottla-fsync": OTTLA + " --set ottla.durability=fsync",
    "ottla-others": OTTLA.replace("--http off", "--http 127.0.0.1:{http}")
    + " --set ottla.durability=page-cache --set log.cleaner.backoff.ms=50",
    "ottla-soak": OTTLA + " --set ottla.durability=page-cache --set log.retention.check.interval.ms=1000"
    + " --set log.initial.task.delay.ms=1000",
    "floor": FLOOR,
    "floor-fsync": FLOOR + " --fsync --sync-threads 8",
}


# ---- the cases: name -> (partitions, or 'fetch' for the loaded topic; arguments of kload)


def cases(mode, seconds):
    run = ["--seconds", str(seconds), "--warmup", "0.3", "--inflight", "5", "--acks", "-1"]

    def produce(record_bytes, records, partitions, conns, *more):
        big = ["--pretouch", "2000"] if record_bytes * records >= 16000 else []  # a VM backs fresh memory slowly
        size = ["--record-bytes", str(record_bytes), "--records-per-batch", str(records)]
        return partitions, ["produce", *size, "--connections", str(conns), "--max-mib", "1900", *big, *run, *more]

    def rate(per_second, partitions=8):
        return partitions, ["produce", "--record-bytes", "100", "--connections", "8", "--rate", str(per_second)] + run

    def with_company(what, other):  # measured while the other load goes on at the same broker
        return (*what, other)

    def reader(*more):
        return ["fetch", "--topic", "loaded", "--partitions", "8", "--connections", "1", "--seconds", str(seconds + 3), *more]

    def writer(*more):
        return ["produce", "--topic", "loaded", "--partitions", "8", "--connections", "4", "--inflight", "5", "--record-bytes",
                "1024", "--records-per-batch", "16", "--seconds", str(seconds + 3), "--max-mib", "4000", "--no-check", *more]

    def fetch(conns, *more):
        return "fetch", ["fetch", "--connections", str(conns), *more] + run

    def ping(api, conns):
        return 1, ["pingpong", "--api", api, "--connections", str(conns), "--seconds", str(seconds), "--warmup", "0.3"]

    e2e = 1, ["e2e", "--rate", "1000", "--record-bytes", "100"] + run
    return {
        "produce": {
            "1KiBx16 P1 C1": produce(1024, 16, 1, 1),
            "1KiBx16 P1 C8": produce(1024, 16, 1, 8),
            "1KiBx16 P32 C8": produce(1024, 16, 32, 8),
            "100Bx160 P1 C8": produce(100, 160, 1, 8),
            "1MiBx1 P1 C1": produce(1048448, 1, 1, 1),
            "1MiBx1 P32 C8": produce(1048448, 1, 32, 8),
        },
        "fetch": {"hot C1": fetch(1), "hot C8": fetch(8), "hot C8 discard": fetch(8, "--discard")},
        "tiny": {
            "100Bx1 P1 C1": produce(100, 1, 1, 1),
            "100Bx1 P32 C8": produce(100, 1, 32, 8),
            "100Bx1 P32 C32": produce(100, 1, 32, 32),
            "apiversions C1": ping("apiversions", 1),
            "apiversions C8": ping("apiversions", 8),
            "metadata C1": ping("metadata", 1),
        },
        "latency": {"1k/s 100B": rate(1000), "10k/s 100B": rate(10000), "e2e 1k/s": e2e},
        "more": {
            "acks=0 1KiBx16 P32 C8": produce(1024, 16, 32, 8, "--acks", "0"),
            "acks=1 1KiBx16 P32 C8": produce(1024, 16, 32, 8, "--acks", "1"),
            **{f"{codec} 1KiBx16 P32 C8": produce(1024, 16, 32, 8, "--codec", codec)
               for codec in ("gzip", "snappy", "lz4", "zstd")},
            "zstd 1KiBx512 P32 C8": produce(1024, 512, 32, 8, "--codec", "zstd"),
            "idempotent 1KiBx16 P32 C8": produce(1024, 16, 32, 8, "--idempotent"),
            "idempotent 100Bx1 P32 C8": produce(100, 1, 32, 8, "--idempotent"),
            "50 producers 100Bx1 P32 C50": produce(100, 1, 32, 50),
            "1000 partitions 100Bx1 C8": produce(100, 1, 1000, 8),
            "10000 partitions 1k/s 100B": rate(1000, 10000),
        },
        "curves": {
            **{f"1KiBx{n} P8 C8": produce(1024, n, 8, 8) for n in (1, 4, 16, 64, 256)},
            **{f"100Bx1 P32 C{n}": produce(100, 1, 32, n) for n in (1, 2, 4, 8, 16, 32, 64)},
        },
        "beside": {
            "1k/s 100B, a cold reader": with_company(rate(1000), ("cold", reader())),
            "1k/s 100B, producers": with_company(rate(1000), ("hot", writer())),
            "fetch hot C1, producers": with_company(fetch(1), ("hot", writer())),
            "1k/s 100B, zstd batches of 2 MB": with_company(
                rate(1000),
                ("hot", ["produce", "--topic", "loaded", "--partitions", "8", "--connections", "1", "--record-bytes", "1024",
                         "--records-per-batch", "2000", "--codec", "zstd", "--rate", "40000", "--seconds", str(seconds + 3),
                         "--no-check"])),
        },
        "others": {
            "1k/s 100B, a cold reader": with_company(rate(1000), ("cold", reader())),
            "1k/s 100B, a console search": with_company(rate(1000), ("search", [])),
            "1k/s 100B, a compaction": with_company(
                rate(1000),
                ("compaction", ["produce", "--connections", "1", "--record-bytes", "1000", "--records-per-batch", "500", "--keys",
                                "500", "--rate", "40000", "--seconds", str(seconds + 30), "--no-check"])),
        },
        "default": {"1KiBx16 P32 C8": produce(1024, 16, 32, 8)},
        "fsync": {
            "1KiBx16 P1 C8": produce(1024, 16, 1, 8),
            "1KiBx16 P32 C8": produce(1024, 16, 32, 8),
            "1k/s 100B": rate(1000),
        },
    }[mode]


def json_of(command, **more):
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    try:
        result = json.loads(p.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        result = {"valid": False}
    if p.returncode:
        result["valid"] = False
    if p.stderr:
        result["stderr"] = p.stderr[-500:]
    return result


def build():
    os.makedirs(BUILD, exist_ok=True)
    for name, flags in (
        ("kload", "-std=gnu17 -msse4.2 -llz4 -lzstd -lsnappy -lz"),
        ("floor", "-std=gnu17 -lisal -lpthread"),
        ("limits", "-march=native -lisal"),
    ):
        source, binary = os.path.join(HERE, name + ".c"), os.path.join(BUILD, name)
        if not os.path.exists(binary) or os.path.getmtime(binary) < os.path.getmtime(source):
            first, libs = [f for f in flags.split() if f[:2] != "-l"], [f for f in flags.split() if f[:2] == "-l"]
            subprocess.run([os.environ.get("CC", "cc"), "-O2", *first, source, "-o", binary, *libs], check=True)


# ---- brokers


class Broker:
    """One broker process. The start command stays in the foreground; its pid is the one measured."""

    def __init__(self, spec, letter, port, opts):
        self.spec, self.letter, self.port, self.pinned = spec, letter, port, not opts.unpinned
        self.data = os.path.join(opts.work, f"{letter}-{port}")
        self.kafka = spec.startswith("kafka") and spec in ("kafka", "kafka-fsync")
        self.topic_configs = ["flush.messages=1"] if spec == "kafka-fsync" else []
        self.process, self.topics, self.warm_up_s = None, 0, opts.warm_up

    def prepare(self):
        shutil.rmtree(self.data, ignore_errors=True)
        if not self.kafka:
            self.command = PROFILES.get(self.spec, self.spec)
            return
        found = subprocess.run(
            [
                "bash",
                "-c",
                f'. "{KAFKA_DIR}/kafka-env.sh" && kafka_jars && printf "%s\\n%s\\n" "$KAFKA_REF_CP" "$KAFKA_REF_LOG"',
            ],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.splitlines()
        java = f"java {{jvm}} '{found[1]}' -Dkafka.ref.log=warn -cp '{found[0]}'"
        settings = self.data + ".properties"
        with open(settings, "w") as f:
            f.write(KAFKA_PROPERTIES.format(port=self.port, controller=self.port + 1, data=self.data))
        subprocess.run(
            [
                "sh",
                "-c",
                java.format(jvm="")
                + f" kafka.tools.StorageTool format --standalone -t AQWEDeJ9TDKC6bGxR4rDJQ -c '{settings}'",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self.command = java.format(jvm=JVM) + f" kafka.Kafka '{settings}'"

    def start(self, topic=None, partitions=0):
        command = self.command.replace("{port}", str(self.port)).replace("{data}", self.data)
        command = command.replace("{http}", str(self.port + 5))
        with open(self.data + ".log", "ab") as log:
            began = time.monotonic_ns()
            self.process = subprocess.Popen(
                ["sh", "-c", ("exec taskset -c 0 " if self.pinned else "exec ") + command],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        result = self.kload(
            ["wait", "--t0", str(began), "--timeout", "180"]
            + (["--topic", topic, "--partitions", str(partitions)] if topic else [])
        )
        if "metadata_ms" not in result or self.process.poll() is not None:  # or another one has the port
            raise SystemExit(f"{self.spec} does not start: see {self.data}.log")
        result["start_cpu_s"] = cpu_of(self.process.pid)
        return result

    def stop(self):
        began = time.monotonic()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return (time.monotonic() - began) * 1e3

    def kill(self):
        self.process.kill()
        self.process.wait()

    def kload_command(self, arguments):
        pin = ["taskset", "-c", "1"] if self.pinned else []
        return [*pin, os.path.join(BUILD, "kload"), *arguments, "--port", str(self.port)]

    def kload(self, arguments):
        return json_of(self.kload_command([*arguments, "--broker-pid", str(self.process.pid)]))

    def create(self, topic, partitions):
        return self.kload(
            ["create", "--topic", topic, "--partitions", str(partitions)]
            + [x for c in self.topic_configs for x in ("--config", c)]
        )

    def on_fresh_topic(self, partitions, arguments):
        self.topics += 1
        topic = f"bench{self.topics}"
        created = self.create(topic, partitions)
        if "answer_ms" not in created:
            return created
        result = self.kload(
            arguments + ["--topic", topic] + ([] if arguments[0] == "e2e" else ["--partitions", str(partitions)])
        )
        self.kload(["delete", "--topic", topic])
        until = time.monotonic() + 8
        while (
            time.monotonic() < until
            and os.path.isdir(self.data)
            and any(n.startswith(topic) for n in os.listdir(self.data))
        ):
            time.sleep(0.05)
        return result

    def run_case(self, case):
        where, arguments, *other = case
        if other:
            (kind, of_other), company = other[0], {}
            with beside.KINDS[kind](self, of_other, company):
                result = self.run_case((where, arguments))
            return {**result, **company}
        if where == "fetch":
            return self.kload(arguments + ["--topic", "loaded", "--partitions", "8"])
        return self.on_fresh_topic(where, arguments)

    def warm_up(self):
        mix = [
            (
                4,
                [
                    "produce",
                    "--connections",
                    "4",
                    "--inflight",
                    "5",
                    "--record-bytes",
                    str(size),
                    "--records-per-batch",
                    str(n),
                    "--seconds",
                    s,
                    "--max-mib",
                    "800",
                ],
            )
            for size, n, s in ((1024, 16, "3"), (100, 1, "4"), (100, 160, "2"), (1048448, 1, "1"))
        ]
        mix += [
            (1, ["e2e", "--rate", "2000", "--record-bytes", "100", "--seconds", "2"]),
            (1, ["pingpong", "--connections", "4", "--seconds", "1"]),
        ]
        until = time.monotonic() + (self.warm_up_s if self.kafka else 0)
        while time.monotonic() < until:
            for where, arguments in mix:
                self.on_fresh_topic(where, arguments + ["--warmup", "0.1"])

    def load_topic(self):
        self.create("loaded", 8)
        loaded = self.kload(
            [
                "produce",
                "--topic",
                "loaded",
                "--partitions",
                "8",
                "--connections",
                "8",
                "--inflight",
                "5",
                "--record-bytes",
                "1024",
                "--records-per-batch",
                "16",
                "--seconds",
                "90",
                "--warmup",
                "0",
                "--max-mib",
                "2048",
                "--pretouch",
                "2100",
            ]
        )
        os.sync()
        read = self.kload(["fetch", "--topic", "loaded", "--partitions", "8", "--connections", "1", "--verify"])
        return {
            "valid": bool(loaded.get("valid") and read.get("valid")),
            "records": read.get("recs"),
            "stderr": loaded.get("stderr", "") + read.get("stderr", ""),
        }


# ---- measuring


class Bench:
    def __init__(self, opts):
        self.opts, self.rows, self.failed = opts, [], False
        self.done = set()
        if opts.resume and os.path.exists(opts.out):
            with open(opts.out) as f:
                rows = [row for row in map(json.loads, f) if row["mode"] != "machine"]
            self.rows = [row for row in rows if row["result"].get("valid") is not False]
            self.done = {(row["mode"], row["case"], row["pair"], row["who"]) for row in self.rows}

    def wants(self, mode, case):
        return not self.opts.only or re.search(self.opts.only, f"{mode} {case}")

    def has(self, mode, case, pair, brokers):
        return all((mode, case, pair, b.letter) in self.done for b in brokers)

    def note(self, who, mode, case, pair, result):
        row = {
            "mode": mode,
            "case": case,
            "pair": pair,
            "who": who.letter,
            "spec": who.spec,
            "time": round(time.time(), 1),
            "result": result,
        }
        self.rows.append(row)
        with open(self.opts.out, "a") as f:
            f.write(json.dumps(row) + "\n")
        if result.get("valid") is False:
            self.failed = True
        brief = {
            k: result[k]
            for k in ("valid", "req_s", "mib_s", "cpu_s_per_mreq", "metadata_ms", "rss_mib", "stderr")
            if k in result
        }
        print(
            time.strftime("%H:%M:%S"), mode, case, pair, who.letter, who.spec[:24], brief, file=sys.stderr, flush=True
        )

    def measured(self, broker, run, skip):
        gate = wait_for_quiet(skip, self.opts.patience)
        control = json_of([os.path.join(BUILD, "limits"), "control", "150"])
        before = cpu_of_others(skip)
        result = run()
        after = cpu_of_others(skip)
        result.update(control=control, waited_s=gate, others_cpu_s=round(growth(before, after), 2))
        return result

    def participants(self, mode):
        twin = lambda s: s + "-fsync" if mode == "fsync" and s in ("kafka", "ottla", "floor") else s
        specs = [("a", twin(self.opts.a)), ("b", twin(self.opts.b))]
        if self.opts.b == "ottla" and mode in ("default", "others", "soak"):
            specs[1] = ("b", "ottla-fsync" if mode == "default" else f"ottla-{mode}")
        if mode == "soak":
            specs = specs[1:]
        if not self.opts.no_floor and mode in ("produce", "fetch", "tiny", "latency", "fsync", "curves", "connections"):
            specs.append(("floor", twin("floor")))
        return [Broker(s, letter, self.opts.port + 10 * i, self.opts) for i, (letter, s) in enumerate(specs)]

    def order(self, brokers, pair):
        return brokers if pair % 2 == 0 else brokers[::-1]

    def load_modes(self, modes):
        """LOADS and APART: brokers started once, runs interleaved."""
        if not modes:
            return
        brokers = self.participants(modes[0])
        wanted = [
            (m, n, c)
            for m in modes
            for n, c in self.cases(m).items()
            if self.wants(m, n) and not all(self.has(m, n, pair, brokers) for pair in range(self.opts.pairs))
        ]
        if not wanted:
            return
        try:
            for b in brokers:
                b.prepare()
                b.start()
            for b in brokers:
                b.warm_up()
            if any(m in ("fetch", "beside", "others") for m, _, _ in wanted):
                for b in brokers:
                    self.note(b, "fetch", "load and verify", 0, b.load_topic())
            skip = {os.getpid()} | {b.process.pid for b in brokers}
            for mode, name, case in wanted:
                alone = case[:2]
                for b in brokers:
                    if b.kafka:
                        b.run_case(alone if mode == "others" else case)
                for pair in range(self.opts.pairs):
                    if self.has(mode, name, pair, brokers):
                        continue
                    for b in self.order(brokers, pair):
                        its = alone if mode == "others" and b.letter == "a" else case
                        self.note(b, mode, name, pair, self.measured(b, lambda: b.run_case(its), skip))
        finally:
            for b in brokers:
                b.stop()
                shutil.rmtree(b.data, ignore_errors=True)

    def cases(self, mode):
        if mode != "connections":
            return cases(mode, self.opts.seconds)
        return {
            f"{n} idle, apiversions C1": (1, ["pingpong", "--idle", str(n), "--seconds", str(self.opts.seconds)])
            for n in (0, 1000, 5000, 15000)
        }

    def each_alone(self, mode):
        """alone.MODES: fresh processes in each pair, one at a time."""
        last_case, measure = alone.MODES[mode]
        for pair in range(1 if mode == "soak" else self.opts.pairs):
            for b in self.order(self.participants(mode), pair):
                if (mode, last_case, pair, b.letter) in self.done:
                    continue
                b.prepare()
                try:
                    measure(self, b, pair)
                finally:
                    b.stop()
                    shutil.rmtree(b.data, ignore_errors=True)


# ---- the tables


def number(x):
    return "-" if x is None else f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def spread(values):
    values = sorted(v for v in values if v is not None)
    if not values:
        return "-"
    return number(statistics.median(values)) + (
        f" ({number(values[0])}-{number(values[-1])})" if len(values) > 1 else ""
    )


LOAD = {
    "req/s": lambda r: r.get("req_s"),
    "MiB/s": lambda r: r.get("mib_s") or None,
    "CPU us/req": lambda r: r.get("cpu_s_per_mreq"),
    "CPU s/GiB": lambda r: r["cpu_per_gib"] if r.get("mib_s", 0) > 5 else None,
    "sys share": lambda r: r["broker_cpu_s"] / max(0.01, r["broker_cpu_u"] + r["broker_cpu_s"]),
    "broker cores": lambda r: r["broker_cpu"] / r["secs"],
    "client cores": lambda r: (r["client_cpu_u"] + r["client_cpu_s"]) / r["secs"],
    "p50 us": lambda r: r["lat_us"]["p50"],
    "p99 us": lambda r: r["lat_us"]["p99"],
    "p99.9 us": lambda r: r["lat_us"]["p999"],
    "RSS MiB": lambda r: r.get("rss_mib"),
}
RATIO = ["req/s", "CPU us/req", "p50 us", "p99 us"]


def report(rows, opts):
    out = [
        f'A = {opts.a}, B = {opts.b}; {"unpinned" if opts.unpinned else "broker on core 0, load on core 1"}; median (range) over pairs.',
        "",
    ]
    groups = {}
    for row in rows:
        if row["result"].get("valid") is not False:
            groups.setdefault((row["mode"], row["case"]), {}).setdefault(row["who"], {})[row["pair"]] = row["result"]
    load = {k: g for k, g in groups.items() if "lat_us" in next(iter(next(iter(g.values())).values()))}

    def ratio(g, over, under, get):
        return [
            get(g[over][p]) / get(g[under][p])
            for p in sorted(set(g.get(over, {})) & set(g.get(under, {})))
            if get(g[under][p]) and get(g[over][p])
        ]

    if load:
        pairs = [("b", "a", "B/A")] + [
            (w, "floor", f"{w.upper()}/floor") for w in ("a", "b") if any("floor" in g for g in load.values())
        ]
        out += [
            "| case | n | " + " | ".join(f"{name} {r}" for _, _, name in pairs for r in RATIO) + " |",
            "|---|---|" + "---|" * (len(pairs) * len(RATIO)),
        ]
        for (mode, case), g in load.items():
            n = len(set(g.get("a", {})) & set(g.get("b", {})))
            out.append(
                f"| {mode} {case} | {n} | "
                + " | ".join(spread(ratio(g, x, y, LOAD[r])) for x, y, _ in pairs for r in RATIO)
                + " |"
            )
        out += [
            "",
            "| case | who | n | " + " | ".join(LOAD) + " | control p50 us | others CPU s |",
            "|---|---|---|" + "---|" * (len(LOAD) + 2),
        ]
        for (mode, case), g in load.items():
            for who, runs in sorted(g.items()):
                rs = list(runs.values())
                out.append(
                    f"| {mode} {case} | {who} | {len(rs)} | "
                    + " | ".join(spread([get(r) for r in rs]) for get in LOAD.values())
                    + f" | {spread([r.get('control', {}).get('p50_us') for r in rs])} | {spread([r.get('others_cpu_s') for r in rs])} |"
                )
        out.append("")
    for (mode, case), g in groups.items():
        if (mode, case) in load:
            continue
        keys = list(
            dict.fromkeys(
                k for runs in g.values() for r in runs.values() for k, v in r.items() if type(v) in (int, float)
            )
        )
        out += [f"{mode} {case}:", "", "| who | n | " + " | ".join(keys) + " |", "|---|---|" + "---|" * len(keys)]
        out += [
            f"| {who} | {len(runs)} | " + " | ".join(spread([r.get(k) for r in runs.values()]) for k in keys) + " |"
            for who, runs in sorted(g.items())
        ] + [""]
    out += [
        f"FAILED: {r['mode']} {r['case']} pair {r['pair']} {r['who']} ({r['spec'][:60]}): {r['result'].get('stderr', r['result'])}"
        for r in rows
        if r["result"].get("valid") is False
    ]
    return "\n".join(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--a", default="kafka")
    p.add_argument("--b", default="ottla")
    p.add_argument("--mode", default="produce,fetch,tiny,latency,fsync")
    p.add_argument("--only")
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--warm-up", type=float, default=50)
    p.add_argument("--patience", type=float, default=15)
    p.add_argument("--port", type=int, default=29192)
    p.add_argument("--no-floor", action="store_true")
    p.add_argument("--unpinned", action="store_true")
    p.add_argument("--gib", type=float, default=10)
    p.add_argument("--hours", type=float, default=1)
    p.add_argument("--resume", action="store_true")
    p.add_argument("--work")
    p.add_argument("--out")
    opts = p.parse_args()
    modes = opts.mode.split(",")
    known = (*LOADS, *APART, *alone.MODES)
    if not set(modes) <= set(known):
        p.error("modes: " + " ".join(known))
    opts.no_floor = opts.no_floor or "floor" in (opts.a, opts.b)
    own_work = not opts.work
    opts.work = os.path.abspath(opts.work or tempfile.mkdtemp(prefix="bench-"))
    os.makedirs(opts.work, exist_ok=True)
    opts.out = opts.out or (os.path.join(opts.work if not own_work else BUILD, "runs.jsonl"))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    build()
    bench = Bench(opts)
    with open(opts.out, "a") as f:
        f.write(json.dumps({"mode": "machine", "result": machine()}) + "\n")
    try:
        bench.load_modes([m for m in modes if m in LOADS])
        for mode in APART:
            bench.load_modes([m for m in modes if m == mode])
        for mode in alone.MODES:
            if mode in modes:
                bench.each_alone(mode)
    finally:
        print(report(bench.rows, opts))
        if own_work:
            shutil.rmtree(opts.work, ignore_errors=True)
    sys.exit(1 if bench.failed else 0)


if __name__ == "__main__":
    main()
