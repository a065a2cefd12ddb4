# SPDX-License-Identifier: Apache-2.0
"""Compaction beside Apache Kafka's: one history, cleaned by both, leaves the same records.

Apache Kafka writes a random history: several compacted topics, tombstones, every codec, transactions that commit, abort or
stay open, small segments. The stopped directory is copied; Kafka's cleaner cleans one copy, Ottla's the other. What lies in
the sealed and active segments is then compared record by record: offsets, times, keys, values, headers, producers, markers,
the batches that are kept empty, whether a batch has its delete horizon, and how far each topic has been cleaned. A second history
goes on top of what Kafka has cleaned, so that tombstones and markers meet their horizon, some of them passed, some not.

BOTH_WAYS=long takes more seeds; COMPACTION_SEED=n takes that one.
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from node import AGELESS, KAFKA_ONLY
from harness.broker import ROOT, Broker

pytestmark = pytest.mark.ottla

TOPICS = {
    "lasting": {"delete.retention.ms": "86400000", "segment.ms": "150"},
    "brief": {"delete.retention.ms": "0", "segment.ms": "100"},
    "squeezed": {"delete.retention.ms": "1", "segment.ms": "250", "compression.type": "zstd"},
    "timed": {"delete.retention.ms": "500", "segment.ms": "200", "message.timestamp.type": "LogAppendTime"},
}
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
NO_CLEANING = {"log.cleaner.min.cleanable.ratio": "1", "log.cleaner.backoff.ms": "1000000000"}
CLEANING = {"log.cleaner.min.cleanable.ratio": "0", "log.cleaner.backoff.ms": "200"}
STEPS, SETTLED_S, WAIT_S = 220, 3, 90
SEEDS = [int(os.environ["COMPACTION_SEED"])] if "COMPACTION_SEED" in os.environ else \
    list(range(1, 7)) if os.environ.get("BOTH_WAYS") == "long" else [1]


class Writer:
    """One producer; transactional ones open and end transactions as they like."""

    def __init__(self, address, chance, name, transactional):
        self.chance, self.name, self.is_open = chance, name, False
        settings = {"bootstrap.servers": address, "linger.ms": 5, "compression.type": chance.choice(CODECS)}
        if transactional:
            settings.update({"transactional.id": name, "transaction.timeout.ms": 900000})
        elif chance.random() < 0.5:
            settings["enable.idempotence"] = True
        self.transactional, self.producer = transactional, Producer(settings)
        if transactional:
            self.producer.init_transactions(60)

    def write(self, topic):
        if self.transactional and not self.is_open:
            self.producer.begin_transaction()
            self.is_open = True
        for _ in range(self.chance.randint(1, 6)):
            value = None if self.chance.random() < 0.25 else self.chance.randbytes(self.chance.randint(0, 60)).hex()
            headers = [("by", self.name)] if self.chance.random() < 0.3 else None
            self.producer.produce(topic, key=f"key-{self.chance.randint(0, 30)}", value=value, headers=headers)
        assert self.producer.flush(60) == 0
        if self.is_open and self.chance.random() < 0.4:
            self.end()

    def end(self):
        end = self.producer.commit_transaction if self.chance.random() < 0.6 else self.producer.abort_transaction
        end(60)
        self.is_open = False


def history(address, seed, phase):
    """The last writer leaves its transaction open; the next history of the same id aborts it."""
    chance = random.Random(f"{seed}/{phase}")
    writers = [Writer(address, chance, f"writer-{n}", transactional=n < 3) for n in range(5)]
    for _ in range(STEPS):
        chance.choice(writers).write(chance.choice(list(TOPICS)))
        time.sleep(chance.choice((0, 0, 0.01, 0.05)))
    for writer in writers[1:]:
        if writer.is_open:
            writer.end()
    for topic in TOPICS:  # so that what matters is not in the active segment
        time.sleep(0.3)
        writers[-1].write(topic)
    if chance.random() < 0.5:
        writers[0].write("lasting")


def make_topics(address):
    admin = AdminClient({"bootstrap.servers": address})
    made = admin.create_topics([NewTopic(t, 1, 1, config={**c, "cleanup.policy": "compact"}) for t, c in TOPICS.items()])
    for future in made.values():
        future.result(60)


def cleaned_to(data):
    lines = (data / "cleaner-offset-checkpoint").read_text().splitlines() if (data / "cleaner-offset-checkpoint").exists() else []
    return {topic: int(offset) for topic, _, offset in (line.split() for line in lines[2:]) if topic in TOPICS}


def contents(data, topic):
    """Records and empty batches of a stopped partition, in words of Ottla's dump; what depends on the time of cleaning or
    on how records are put together is left out."""
    files = sorted((data / f"{topic}-0").glob("*.log"))
    done = subprocess.run([os.environ.get("OTTLA", str(ROOT / "build" / "ottla")), "dump", "--json", *map(str, files)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    found, batch = [], {}
    for line in map(json.loads, done.stdout.splitlines()):
        if line["kind"] == "batch":
            batch = {key: line.get(key) for key in ("producerId", "producerEpoch", "transactional", "control", "codec")}
            batch["has_horizon"] = "deleteHorizon" in line
            if line["records"] == 0:
                found.append({"empty": [line["baseOffset"], line["lastOffset"]], "sequence": line.get("baseSequence"), **batch})
        elif line["kind"] != "file":
            found.append({**line, **batch})
    return found


def clean(kind, folder, expected=None):
    """Until nothing more happens, or until what the other one reached."""
    broker = Broker(kind, folder, {**AGELESS, **(KAFKA_ONLY if kind == "kafka" else {}), **CLEANING})
    try:
        broker.start()
        deadline, seen, since = time.monotonic() + WAIT_S, cleaned_to(broker.data), time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(0.2)
            now = cleaned_to(broker.data)
            if now != seen:
                seen, since = now, time.monotonic()
            settled = time.monotonic() - since > SETTLED_S
            if settled and (seen == expected if expected is not None else len(seen) == len(TOPICS)):
                break
        if kind == "ottla":
            assert broker.stop() == 0, broker.log()
            assert " level=error " not in broker.log(), broker.log()
        else:
            broker.stop()
    finally:
        broker.close()
    return cleaned_to(broker.data)


def compare(folder, written, round_number):
    """Cleans two copies of a directory; Kafka's is handed back."""
    ours, theirs = folder / f"ottla-{round_number}", folder / f"kafka-{round_number}"
    for copy in (ours, theirs):
        shutil.copytree(written / "data", copy / "data")
    before = {topic: contents(written / "data", topic) for topic in TOPICS}
    reached = clean("kafka", theirs)
    assert clean("ottla", ours, reached) == reached
    for topic in TOPICS:
        left, right = contents(theirs / "data", topic), contents(ours / "data", topic)
        assert len(left) < len(before[topic]), f"Kafka removed nothing of {topic}"
        first = next((n for n, pair in enumerate(zip(left, right)) if pair[0] != pair[1]), min(len(left), len(right)))
        assert left == right, (f"{topic}, round {round_number}, {len(left)} and {len(right)} left, from {first} on:\n"
                               f"Kafka {left[first:first + 3]}\nOttla {right[first:first + 3]}")
    return theirs


def write(folder, seed, phase):
    broker = Broker("kafka", folder, {**AGELESS, **KAFKA_ONLY, **NO_CLEANING})
    try:
        broker.start()
        if phase == 0:
            make_topics(broker.address)
        history(broker.address, seed, phase)
        broker.stop()
    finally:
        broker.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_both_cleaners_leave_the_same(tmp_path, seed):
    written = pathlib.Path(tmp_path) / "written"
    for round_number in range(2):
        write(written, seed, round_number)
        written = compare(pathlib.Path(tmp_path), written, round_number)
