# SPDX-License-Identifier: Apache-2.0
"""Directories that Apache Kafka 4.3.1 left, cleanly stopped and killed: what lies in them is there, no more and no less.

Beside each archive of test/kafka/datadirs is what Kafka's own client read from it: every record with its offset,
timestamp, leader epoch and headers, whether read_committed shows it, and where each group stands. The same questions go
to Ottla through real clients. Where a last segment is cut inside its last batch, as a power cut may leave it, everything
but that batch is there.
"""
import base64
import json
import pathlib
import shutil
import struct
import tarfile

import pytest

from harness.questions import COMMITTED, UNCOMMITTED, committed, end, groups, start

pytestmark = pytest.mark.ottla

DATADIRS = pathlib.Path(__file__).resolve().parents[1] / "kafka" / "datadirs"


def unpack(name, folder):
    with tarfile.open(DATADIRS / f"{name}.tar.gz") as archive:
        archive.extractall(folder)
    return folder


def state_of(name):
    return json.loads((DATADIRS / name / "state.json").read_text())


def content(record, part):
    if part + "64" in record:
        return base64.b64decode(record[part + "64"])
    return None if record.get(part) is None else record[part].encode()


def records_of(name, topic, committed_only=False):
    """As the clients' drivers tell records; user topics have the same leader epochs in the archive and after Kafka's start."""
    lines = (DATADIRS / name / "records" / f"{topic}.jsonl").read_text().splitlines()
    return [{"topic": topic, "partition": r["p"], "offset": r["o"], "key": content(r, "k"), "value": content(r, "v"),
             "timestamp": r["ts"], "headers": [(h["k"], content(h, "v")) for h in r.get("h", [])], "leader_epoch": r["le"]}
            for r in map(json.loads, lines) if r["committed"] or not committed_only]


def user_topics(name):
    return {topic: told for topic, told in state_of(name)["topics"].items() if not topic.startswith("__")}


def partitions_of(told):
    return [p["p"] for p in told["partitions"]]


def read(client, topic, partitions, isolation, count):
    """The first `count` records that it shows, in order of partition and offset."""
    client.ask("consumer", name="reader", assign=[[topic, p] for p in partitions], options={"isolation_level": isolation})
    got = client.poll("reader", count) if count else []
    client.ask("close_consumer", name="reader")
    return by_place(got)


def by_place(records):
    return sorted(records, key=lambda r: (r["partition"], r["offset"]))


@pytest.mark.parametrize("name", ("clean", "killed"))
@pytest.mark.parametrize("library", ("kafka-python", "confluent-kafka"))
def test_every_record_of_a_directory_that_kafka_left_is_read(make_broker, make_client, tmp_path, name, library):
    unpack(name, tmp_path / "left")
    broker = make_broker(folder=tmp_path / "left").start()
    client = make_client(library, broker)
    topics = user_topics(name)
    assert set(topics) <= set(client.ask("topics"))
    for topic, told in topics.items():
        for isolation in ("read_uncommitted", "read_committed"):
            wanted = by_place(records_of(name, topic, isolation == "read_committed"))
            assert read(client, topic, partitions_of(told), isolation, len(wanted)) == wanted
        for p in told["partitions"]:
            assert start(broker.address, topic, p["p"]) == p["earliest"]["offset"]
            assert end(broker.address, topic, p["p"]) == p["latest"]["offset"]


@pytest.mark.parametrize("name", ("clean", "killed"))
def test_groups_of_every_protocol_and_their_offsets_are_kept(make_broker, tmp_path, name):
    """The offsets' own retention counts from when the archive was made, so it is switched off."""
    unpack(name, tmp_path / "left")
    broker = make_broker({"offsets.retention.minutes": "100000000"}, folder=tmp_path / "left").start()
    for round_number in range(2):
        listed = groups(broker.address)
        told = state_of(name)["groups"]
        assert set(listed) == set(told)
        for group, wanted in told.items():
            assert (listed[group][0], listed[group][2].lower()) == (wanted["protocol"], wanted["type"].lower()), group
            if wanted["type"] != "Share":
                assert committed(broker.address, group) == wanted["offsets"], group
        if round_number == 0:
            broker.restart(clean=False)


def test_open_transactions_stay_open_and_hold_readers_back(make_broker, tmp_path):
    unpack("killed", tmp_path / "left")
    broker = make_broker(folder=tmp_path / "left").start()
    for clean in (True, False):
        for topic, told in user_topics("killed").items():
            for p in told["partitions"]:
                assert end(broker.address, topic, p["p"], UNCOMMITTED) == p["latest"]["offset"]
                assert end(broker.address, topic, p["p"], COMMITTED) == p["last_stable_offset"]
        broker.restart(clean)


def last_segment(folder):
    return sorted(folder.glob("*.log"))[-1]


def last_batch(log):
    """Where the last batch begins, its first offset, and where it ends."""
    content, at = log.read_bytes(), 0
    first = start = None
    while at + 12 <= len(content):
        offset, size = struct.unpack_from(">qi", content, at)
        if size <= 0:
            break
        first, start, at = offset, at, at + 12 + size
    return start, first, at


# Inside the head's fields, at the seams, in the records, one byte before the end.
CUTS = (1, 8, 11, 12, 16, 17, 20, 21, 60, 61, 62, -2, -1)
CUT_PARTITIONS = [("plain", 1), ("codecs", 0), ("codecs", 1), ("codecs", 2), ("codecs", 3), ("codecs", 4), ("idem", 0),
                  ("logappend", 0), ("txn", 0), ("compact", 0), ("trimmed", 0)]


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_inside_the_last_batch_costs_that_batch_alone(make_broker, make_client, tmp_path, cut):
    """One cut in each of many partitions at once: each loses its own last batch, and nothing else."""
    unpack("killed", tmp_path / "left")
    lost = {}
    for topic, partition in CUT_PARTITIONS:
        log = last_segment(tmp_path / "left" / "data" / f"{topic}-{partition}")
        begin, first, over = last_batch(log)
        with open(log, "rb+") as file:
            file.truncate(begin + cut if cut > 0 else over + cut)
        lost[topic, partition] = first
    broker = make_broker(folder=tmp_path / "left").start()
    client = make_client("kafka-python", broker)
    for topic, told in user_topics("killed").items():
        wanted = [r for r in by_place(records_of("killed", topic))
                  if r["offset"] < lost.get((topic, r["partition"]), 1 << 62)]
        assert read(client, topic, partitions_of(told), "read_uncommitted", len(wanted)) == wanted
    for (topic, partition), first in lost.items():
        assert end(broker.address, topic, partition) == first


def test_any_byte_of_the_last_batch_may_be_the_last(make_broker, make_client, tmp_path):
    """Every length that one partition's last batch can be cut to: broker after broker on the same directory."""
    unpack("killed", tmp_path / "left")
    folder = tmp_path / "left" / "data" / "plain-1"
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    begin, first, over = last_batch(last_segment(folder))
    broker = make_broker(folder=tmp_path / "left")
    for size in range(begin + 1, over):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        with open(last_segment(folder), "rb+") as file:
            file.truncate(size)
        (tmp_path / "left" / "data" / "ottla-flushed-offset-checkpoint").unlink(missing_ok=True)
        broker.start()
        assert end(broker.address, "plain", 1) == first, size
        broker.kill()
