# SPDX-License-Identifier: Apache-2.0
"""Produce: what is taken, what is refused and with which words, at every version."""
import struct

from harness.batch import batch, record, varint
from oracle.session import served, story

NO_ID = "A" * 22
LINES = [(b"k1", b"one"), (b"k2", b"two"), (b"k3", b"three")]


def produce_body(s, version, topic, records, partition=0, acks=-1, timeout_ms=30000, transactional_id=None):
    data = {"index": partition, "records": records}
    named = {"topicId": s.topic_ids.get(topic, topic)} if version >= 13 else {"name": topic}
    return {"transactionalId": transactional_id, "acks": acks, "timeoutMs": timeout_ms,
            "topicData": [{**named, "partitionData": [data]}]}


def produce(s, version, topic, records, note=None, link=None, **more):
    body = produce_body(s, version, topic, records, **more)
    return (link or s).ask("Produce", version, body, note)


def ends(s, topic, partitions=1, note="where the log ends"):
    """The end of each partition: a refusal must not have appended anything."""
    wanted = [{"partitionIndex": n, "currentLeaderEpoch": -1, "timestamp": -1} for n in range(partitions)]
    answer = s.ask("ListOffsets", 6, {"replicaId": -1, "topics": [{"name": topic, "partitions": wanted}]}, note)
    answer["topics"][0]["partitions"].sort(key=lambda p: p["partitionIndex"])


@story
def good_batches(s):
    topic = s.topic(partitions=2)
    for version in served("Produce"):
        for acks in (-1, 1):
            produce(s, version, topic, batch(LINES), f"acks {acks}", acks=acks)
        produce(s, version, topic, batch([(None, None)]), "no key, no value", partition=1)
        produce(s, version, topic, batch([(b"", b"", [("h", b"x"), ("", None)])]), "headers", partition=1)
    ends(s, topic, 2)


@story
def every_codec(s):
    topic = s.topic()
    for version in served("Produce"):
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            produce(s, version, topic, batch(LINES, codec=codec), codec)
    ends(s, topic)


@story
def acks_zero(s):
    """No answer; that the records are there shows in the next one."""
    topic = s.topic()
    for version in served("Produce"):
        link = s.link()
        link.send("Produce", version, produce_body(s, version, topic, batch(LINES), acks=0)).answer(answers=False)
        produce(s, version, topic, batch(LINES), "after one with acks 0", link=link)


@story
def acks_zero_refused(s):
    """An error has no answer either: the connection is closed so that the client notices."""
    topic = s.topic()
    for version in served("Produce"):
        link = s.link()
        link.send("Produce", version, produce_body(s, version, topic, batch(LINES, crc=1), acks=0)).answer(answers=False)
        link.ask("ApiVersions", 0, {}, "after a corrupt batch with acks 0")
    ends(s, topic)


@story
def bad_acks(s):
    topic = s.topic()
    for version in served("Produce"):
        for acks in (-2, 2, 100):
            produce(s, version, topic, batch(LINES), f"acks {acks}", acks=acks)
    ends(s, topic)


@story
def unknown_places(s):
    topic = s.topic()
    for version in served("Produce"):
        if version < 13:
            produce(s, version, "oracle-no-such-topic", batch(LINES), "no such topic")
            produce(s, version, "", batch(LINES), "empty name")
            produce(s, version, "bad name!", batch(LINES), "bad name")
        else:
            produce(s, version, "AAAAAAAAAAAAAAAAAAAABQ", batch(LINES), "no such topic id")
            produce(s, version, NO_ID, batch(LINES), "zero topic id")
        for partition in (1, -1, 2147483647):
            produce(s, version, topic, batch(LINES), f"partition {partition}", partition=partition)
    ends(s, topic)


@story
def several_partitions(s):
    """Each has its own outcome; in Kafka their order is a map's."""
    topic = s.topic(partitions=3)
    for version in served("Produce", highest=12):
        parts = [{"index": 2, "records": batch(LINES)}, {"index": 0, "records": batch(LINES, crc=7)},
                 {"index": 9, "records": batch(LINES)}, {"index": 1, "records": batch(LINES)}]
        answer = s.ask("Produce", version, {"acks": -1, "timeoutMs": 30000, "topicData": [{"name": topic, "partitionData": parts}]})
        answer["responses"][0]["partitionResponses"].sort(key=lambda p: p["index"])
    ends(s, topic, 3)


@story
def nothing_to_append(s):
    topic = s.topic()
    for version in served("Produce"):
        produce(s, version, topic, b"", "empty records", link=s.link())
        s.link().ask("Produce", version, {"acks": -1, "timeoutMs": 1000, "topicData": []}, "no topic")
    ends(s, topic)


def spoilt():
    good = batch(LINES)
    yield "bad crc", batch(LINES, crc=12345)
    yield "magic 3", batch(LINES, magic=3)
    yield "magic 1 with a v2 layout", batch(LINES, magic=1)
    yield "magic 0 with a v2 layout", batch(LINES, magic=0)
    yield "magic -1", batch(LINES, magic=255)
    yield "two batches", good + good
    yield "cut", good[:-5]
    yield "cut in the head", good[:40]
    yield "bytes after the batch", good + b"\0" * 5
    yield "size below a head", good[:8] + struct.pack(">i", 10) + good[12:]
    yield "size beyond the bytes", good[:8] + struct.pack(">i", len(good)) + good[12:]
    yield "negative size", good[:8] + struct.pack(">i", -1) + good[12:]
    yield "count too high", batch(LINES, count=4)
    yield "count too low", batch(LINES, count=2)
    yield "count zero", batch(LINES, count=0)
    yield "count negative", batch(LINES, count=-1)
    yield "count absurd", batch(LINES, count=2147483647)
    yield "last offset delta too high", batch(LINES, last_offset_delta=5)
    yield "last offset delta too low", batch(LINES, last_offset_delta=1)
    yield "last offset delta negative", batch(LINES, last_offset_delta=-1)
    yield "record longer than it says", batch([], count=1, last_offset_delta=0, raw_records=record(0, 0, b"a", b"b") + b"\0")
    yield "record that ends early", batch([], count=1, last_offset_delta=0, raw_records=varint(100) + b"\0\0\0")
    yield "control batch", batch(LINES, attributes=32)
    yield "transactional without an id", batch(LINES, attributes=16, producer_id=5, producer_epoch=0, base_sequence=0)
    yield "base offset of its own", batch(LINES, base_offset=77)
    yield "leader epoch of its own", batch(LINES, leader_epoch=9)
    yield "max timestamp wrong", batch(LINES, max_timestamp=5)
    yield "no records", batch([])


# Why Ottla refuses these with INVALID_RECORD: Kafka appends them, and every consumer then fails on them.
APPENDED_BY_KAFKA = (
    ("offset deltas not in order", {"count": 3, "last_offset_delta": 2,
                                    "raw_records": record(0, 0, b"a", b"") + record(2, 0, b"b", b"") + record(1, 0, b"c", b"")}),
    ("negative key size", {"count": 1, "last_offset_delta": 0, "raw_records": varint(6) + b"\0\0\0" + varint(-5) + varint(0) + varint(0)}))


@story
def unreadable_batches(s):
    """The one place where the error codes of both may differ: see APPENDED_BY_KAFKA. Neither may lose the connection."""
    topic = s.topic()
    for version in (7, 13):
        for note, more in APPENDED_BY_KAFKA:
            answer = s.quietly("Produce", version, produce_body(s, version, topic, batch([], **more)))
            code = answer["responses"][0]["partitionResponses"][0]["errorCode"]
            s.steps.append({"ask": f"Produce v{version}: {note}", "answer": "known" if code in (0, 87) else code})


@story
def codecs_that_are_none(s):
    """What says that it is compressed and is not, and a codec that does not exist."""
    topic = s.topic()
    for version in (3, 7, 8, 9, 12, 13):
        for note, codec in (("unknown codec", 5), ("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)):
            produce(s, version, topic, batch(LINES, attributes=codec), note, link=s.link())
            s.links.pop().close()
    ends(s, topic)


@story
def spoilt_batches(s):
    topic = s.topic()
    for version in (3, 7, 8, 9, 12, 13):
        for note, records in spoilt():
            produce(s, version, topic, records, note, link=s.link())
            s.links.pop().close()
    ends(s, topic)


@story
def spoilt_compressed(s):
    topic = s.topic()
    for version in (8, 13):
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            for note, more in (("count too high", {"count": 4}), ("count too low", {"count": 2}), ("no records", {"raw_records": b"", "count": 3}),
                               ("last delta", {"last_offset_delta": 7}), ("bad crc", {"crc": 3}),
                               ("garbage", {"raw_records": b"\x7f" * 40})):
                produce(s, version, topic, batch(LINES, codec=codec, **more), f"{codec} {note}", link=s.link())
                s.links.pop().close()
    ends(s, topic)


@story
def too_large(s):
    topic = s.topic(max_message_bytes=200)
    for version in served("Produce"):
        produce(s, version, topic, batch([(b"k", b"x" * 300)]), "beyond max.message.bytes")
        produce(s, version, topic, batch([(b"k", b"x" * 100)]), "within")
    ends(s, topic)


@story
def timestamps(s):
    topic = s.topic(message_timestamp_after_max_ms=1000, message_timestamp_before_max_ms=1000)
    for version in served("Produce"):
        produce(s, version, topic, batch(LINES, base_timestamp=4102444800000), "in the year 2100")
        produce(s, version, topic, batch(LINES, base_timestamp=1000), "in 1970")
        produce(s, version, topic, batch(LINES, base_timestamp=-1, max_timestamp=-1), "none")
    ends(s, topic)


@story
def append_time(s):
    s.differs("logAppendTimeMs", "the clock")
    topic = s.topic(message_timestamp_type="LogAppendTime")
    for version in served("Produce"):
        produce(s, version, topic, batch(LINES), "log append time")
        produce(s, version, topic, batch(LINES, codec="gzip"), "compressed")
        produce(s, version, topic, batch(LINES, attributes=8), "a client that claims append time")
    ends(s, topic)
    create = s.topic("produce-create-time")
    for version in served("Produce"):
        produce(s, version, create, batch(LINES, attributes=8), "append time claimed for create time")


@story
def keyless_on_compacted(s):
    topic = s.topic(cleanup_policy="compact")
    for version in served("Produce"):
        produce(s, version, topic, batch([(b"k", b"v"), (None, b"w"), (None, b"x")]), "no key")
        produce(s, version, topic, batch([(None, b"v")], codec="zstd" if version >= 7 else "lz4"), "no key, compressed")
        produce(s, version, topic, batch([(b"k", None)]), "a tombstone")
    ends(s, topic)


def producer_id(s):
    """Asked again while the broker gets its block of ids from the controller."""
    while True:
        answer = s.quietly("InitProducerId", 4, {"transactionalId": None, "transactionTimeoutMs": 1000})
        if answer["errorCode"] != 14:  # COORDINATOR_LOAD_IN_PROGRESS
            assert answer["errorCode"] == 0
            return answer["producerId"]


def sequenced(pid, sequence, epoch=0, lines=LINES, **more):
    return batch(lines, producer_id=pid, producer_epoch=epoch, base_sequence=sequence, **more)


@story
def idempotent(s):
    """Sequences in order, again, with gaps, and from other epochs."""
    topic = s.topic()
    for version in served("Produce"):
        pid = producer_id(s)
        produce(s, version, topic, sequenced(pid, 0), "the first")
        produce(s, version, topic, sequenced(pid, 3), "the second")
        produce(s, version, topic, sequenced(pid, 0), "the first again")
        produce(s, version, topic, sequenced(pid, 3), "the second again")
        produce(s, version, topic, sequenced(pid, 9), "one left out")
        produce(s, version, topic, sequenced(pid, 4), "in the middle of the second")
        produce(s, version, topic, sequenced(pid, 6, epoch=1), "a new epoch that does not begin at 0")
        produce(s, version, topic, sequenced(pid, 0, epoch=1), "a new epoch")
        produce(s, version, topic, sequenced(pid, 6), "the old epoch")
        produce(s, version, topic, sequenced(pid, -1), "no sequence")
        produce(s, version, topic, sequenced(pid, 0, epoch=-1), "no epoch")
        for n in range(1, 7):
            produce(s, version, topic, sequenced(pid, 3 * n, epoch=1), f"batch {n} of the new epoch")
        produce(s, version, topic, sequenced(pid, 0, epoch=1), "older than the five that are remembered")
        produce(s, version, topic, sequenced(pid, 6, epoch=1), "the oldest of the five")
    ends(s, topic)


@story
def first_sequence(s):
    """What an unknown producer may begin with."""
    topic = s.topic()
    for version in (3, 8, 13):
        for sequence in (0, 5, 2147483647):
            pid = producer_id(s)
            produce(s, version, topic, sequenced(pid, sequence), f"an unknown producer begins at {sequence}")
    pid = producer_id(s)
    produce(s, 13, topic, sequenced(pid, 2147483646), "wraps within the batch")
    produce(s, 13, topic, sequenced(pid, 1), "goes on after the wrap")
    ends(s, topic)


@story
def internal_topic(s):
    s.quietly("FindCoordinator", 4, {"keyType": 0, "coordinatorKeys": ["any"]})
    s.await_leaders("__consumer_offsets", 1)
    for version in served("Produce"):
        produce(s, version, "__consumer_offsets", batch(LINES), "a client writes to an internal topic")


@story
def min_insync(s):
    topic = s.topic(min_insync_replicas=2)
    for version in served("Produce"):
        produce(s, version, topic, batch(LINES), "acks -1 with too few in-sync replicas", acks=-1)
        produce(s, version, topic, batch(LINES), "acks 1", acks=1)
    ends(s, topic)
