#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A mixed attack on one broker, beside honest clients that verify every record.

    test/hostile/storm.py --seconds N [--seed N] [--note FILE]

Attackers are threads of a few processes; each draws one kind of attack after another (attacks.py). Honest are a producer, a
reader that follows it, and a member of a group that commits. The producer is the only one to write to its topic, with one
number after another into each partition; so a record is right when its offset is its number and its value is that of the
number, and nothing is lost or doubled when the offsets leave no gap and end at the acknowledged count.

What must hold: every honest record is acknowledged and read as it was written; no kind of attack was left out; the broker is
the same process in the end; its memory stays below the bound that docs/memory.md states, during the attack and after it.
"""
import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import re
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import batch, raw  # noqa: E402
from harness.broker import Broker, free_port  # noqa: E402
from hostile import attacks  # noqa: E402

MIB = 1 << 20
PARTITIONS, TOPIC, GROUP = 4, "honest", "honest"
PROCESSES, THREADS = 2, 12
REACTORS = 2
REQUEST_BYTES_MAX, FRAME_MAX, ARENA_MAX = 64 * MIB, 16 * MIB, 16 * MIB
PRODUCERS_MAX, MEMBER_BYTES_MAX, OFFSET_BYTES_MAX, SESSION_BYTES_MAX, SHARDS = 1000, MIB, MIB, 8 * MIB, 4
SETTINGS = {
    "ottla.reactors": str(REACTORS),
    "queued.max.request.bytes": str(REQUEST_BYTES_MAX),
    "socket.request.max.bytes": str(FRAME_MAX),
    "ottla.request.memory.max.bytes": str(ARENA_MAX),
    "ottla.stalled.max.ms": "2000",
    "max.connections": "2000",
    "auto.create.topics.enable": "false",
    "ottla.partition.producers.max": str(PRODUCERS_MAX),
    "ottla.group.partition.member.bytes.max": str(MEMBER_BYTES_MAX),
    "ottla.group.partition.offset.bytes.max": str(OFFSET_BYTES_MAX),
    "ottla.fetch.session.bytes.max": str(SESSION_BYTES_MAX),
    "log.retention.bytes": str(64 * MIB),
    "log.segment.bytes": str(16 * MIB),
    "group.min.session.timeout.ms": "1000",
    "producer.id.expiration.ms": "10000",
    "producer.id.expiration.check.interval.ms": "2000",
}


def value_of(partition, number):
    """The bytes of a record; long ones now and then."""
    size = 20000 if number % 997 == 0 else 40 + number * 7 % 400
    text = b"%d/%d:" % (partition, number)
    return (text * (size // len(text) + 1))[:size]


def metrics_of(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    return {name: float(number) for name, number in re.findall(r"^(\S+) ([0-9.e+]+)$", text, re.M)}


# ---- attackers
def attack_once(kind, attacker, done):
    try:
        kind(attacker)
    except (OSError, raw.Closed, ValueError):
        pass  # refused, closed on, or full: that is the broker's right
    with done.get_lock():
        done[attacks.ATTACKS.index(kind)] += 1


def attack_until(attacker, first, done):
    kinds = list(attacks.ATTACKS)
    attacker.chance.shuffle(kinds)
    while not attacker.over():
        if first:
            attack_once(first.pop(), attacker, done)
        else:
            attack_once(attacker.chance.choice(kinds), attacker, done)


def attacking_process(address, seed, seconds, number, done):
    os.nice(5)
    deadline = time.monotonic() + seconds
    first = list(attacks.ATTACKS)[number::PROCESSES]  # each kind at least once
    threads = [threading.Thread(target=attack_until,
                                args=(attacks.Attacker(address, f"{seed}/{number}/{t}", deadline, FRAME_MAX),
                                      first[t::THREADS], done))
               for t in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---- honest clients
class Honest:
    def __init__(self, address):
        self.address, self.faults, self.over = address, [], threading.Event()
        self.acknowledged, self.produced = [0] * PARTITIONS, [0] * PARTITIONS
        self.seen = {"reader": [0] * PARTITIONS, "member": [0] * PARTITIONS}
        self.slowest_ms = 0.0

    def fault(self, text):
        self.faults.append(text)
        self.over.set()

    def delivered(self, partition, number, began):
        def callback(error, message):
            if error is not None:
                self.fault(f"record {number} of partition {partition}: {error}")
            elif message.offset() != number:
                self.fault(f"record {number} of partition {partition} was acknowledged at offset {message.offset()}")
            else:
                self.acknowledged[partition] += 1
                self.slowest_ms = max(self.slowest_ms, (time.monotonic() - began) * 1000)
        return callback

    def produce(self):
        from confluent_kafka import Producer
        producer = Producer({"bootstrap.servers": self.address, "enable.idempotence": True, "linger.ms": 5,
                             "message.timeout.ms": 120000, "request.timeout.ms": 60000})
        while not self.over.is_set():
            for partition in range(PARTITIONS):
                number = self.produced[partition]
                producer.produce(TOPIC, value_of(partition, number), partition=partition,
                                 on_delivery=self.delivered(partition, number, time.monotonic()))
                self.produced[partition] += 1
            producer.poll(0.01)
        left = producer.flush(180)
        if left:
            self.fault(f"{left} records were never acknowledged")

    def compare(self, who, message):
        partition, offset, seen = message.partition(), message.offset(), self.seen[who]
        if offset != seen[partition]:
            self.fault(f"{who}: offset {offset} of partition {partition} where {seen[partition]} was due")
        if message.value() != value_of(partition, offset):
            self.fault(f"{who}: the value at offset {offset} of partition {partition} is not what was sent")
        seen[partition] = offset + 1

    def is_read(self, who):
        return self.over.is_set() and self.seen[who] == self.acknowledged and self.acknowledged == self.produced

    def consume(self, who):
        from confluent_kafka import Consumer, TopicPartition
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": GROUP if who == "member" else "none",
                             "enable.auto.commit": False, "auto.offset.reset": "earliest", "session.timeout.ms": 45000})
        if who == "member":
            consumer.subscribe([TOPIC])
        else:
            consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])
        deadline, commits = None, 0
        while not self.is_read(who) and not self.faults:
            if self.over.is_set():
                deadline = deadline or time.monotonic() + 240
                if time.monotonic() > deadline:
                    self.fault(f"{who}: read {self.seen[who]} of {self.produced}")
            for message in consumer.consume(500, 0.2):
                if message.error() is None:
                    self.compare(who, message)
            if who == "member" and sum(self.seen[who]) > commits + 5000:
                commits = sum(self.seen[who])
                consumer.commit(asynchronous=False)
        if who == "member" and not self.faults:
            consumer.commit(asynchronous=False)
            committed = consumer.committed([TopicPartition(TOPIC, p) for p in range(PARTITIONS)], 60)
            if [c.offset for c in committed] != self.seen[who]:
                self.fault(f"committed {[c.offset for c in committed]}, read {self.seen[who]}")
        consumer.close()

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as error:  # a thread must not die unheard
            self.fault(f"{work.__name__}{arguments}: {error!r}")

    def start(self):
        self.threads = [threading.Thread(target=self.guarded, args=a) for a in
                        ((self.produce,), (self.consume, "reader"), (self.consume, "member"))]
        for thread in self.threads:
            thread.start()

    def finish(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


# ---- the whole
def bound_bytes(base_bytes):
    """What docs/memory.md promises of a broker under attack: see its last part."""
    kept = REACTORS * 32 * MIB
    state = PRODUCERS_MAX * 512 + SHARDS * (MEMBER_BYTES_MAX * 4 + OFFSET_BYTES_MAX) + SESSION_BYTES_MAX
    over = REACTORS * (FRAME_MAX + ARENA_MAX + MIB)
    return base_bytes + REQUEST_BYTES_MAX + kept + state + over


class Storm:
    def __init__(self, folder, seconds, seed):
        self.seconds, self.seed, self.http = seconds, seed, free_port()
        self.broker = Broker("ottla", folder, {**SETTINGS, "ottla.http.listener": f"127.0.0.1:{self.http}"})
        self.done = multiprocessing.Array("Q", len(attacks.ATTACKS))
        self.peak = 0

    def prepare(self):
        from confluent_kafka.admin import AdminClient, NewTopic
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        keep = {"retention.bytes": "-1"}
        topics = [NewTopic(TOPIC, PARTITIONS, 1, config=keep), NewTopic(attacks.MUD.decode(), 1, 1)]
        for made in admin.create_topics(topics).values():
            made.result(60)
        with raw.connect(self.broker.address) as sock:  # something for those who never read
            records = batch.batch([(None, bytes(100000))] * 8)
            for _ in range(30):
                sock.sendall(attacks.produce_of(attacks.MUD, records))
                raw.read_frame(sock)

    def watch(self, processes, honest):
        while any(p.is_alive() for p in processes):
            self.peak = max(self.peak, self.broker.resident_bytes())
            if honest.faults or not self.broker.alive():
                break
            time.sleep(0.1)

    def run(self):
        """A list of faults."""
        with self.broker as broker:
            pid = broker.pid
            self.prepare()
            honest = Honest(broker.address)
            honest.start()
            time.sleep(2)
            base = broker.resident_bytes()
            processes = [multiprocessing.Process(target=attacking_process,
                                                 args=(broker.address, self.seed, self.seconds, n, self.done))
                         for n in range(PROCESSES)]
            for process in processes:
                process.start()
            self.watch(processes, honest)
            for process in processes:
                process.join(60)
            honest.finish()
            faults = list(honest.faults)
            if broker.pid != pid or not broker.alive():
                return faults + [f"the broker ended\n{broker.log()[-4000:]}"]
            time.sleep(2)
            self.end = broker.resident_bytes()
            self.metrics = metrics_of(self.http)
            self.report = {
                "seconds": self.seconds, "honest records": sum(honest.acknowledged), "slowest ms": round(honest.slowest_ms),
                "attacks": sum(self.done), "MiB before": round(base / MIB, 1), "MiB most": round(self.peak / MIB, 1),
                "MiB after": round(self.end / MIB, 1), "MiB bound": round(bound_bytes(base) / MIB, 1),
                "request bytes after": int(self.metrics["ottla_request_bytes"]),
                "limits": {name.split('"')[1]: int(n) for name, n in self.metrics.items() if "net_limits" in name}}
            return faults + self.faults_of_memory(base) + self.faults_of_attacks(honest)

    def faults_of_memory(self, base):
        faults = []
        for when, size in (("during", self.peak), ("after", self.end)):
            if size > bound_bytes(base):
                faults.append(f"{size} bytes {when} the attack, the bound is {bound_bytes(base)}")
        if self.metrics["ottla_request_bytes"] > MIB:
            faults.append(f"{self.metrics['ottla_request_bytes']} bytes of requests are left after the attack")
        return faults

    def faults_of_attacks(self, honest):
        faults = [f"no attack of kind {kind.__name__}" for kind, count in zip(attacks.ATTACKS, self.done) if count == 0]
        if min(honest.acknowledged) == 0:
            faults.append("no honest record was written")
        return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--note", type=pathlib.Path, help="where to add the report as a line of JSON")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ottla-storm-") as folder:
        storm = Storm(folder, arguments.seconds, seed)
        faults = storm.run()
        for name, number in getattr(storm, "report", {}).items():
            print(f"{name}: {number}")
        for fault in faults:
            print(f"FAULT {fault}")
        if arguments.note:
            with contextlib.closing(arguments.note.open("a")) as note:
                note.write(json.dumps({**storm.report, "faults": faults}) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
