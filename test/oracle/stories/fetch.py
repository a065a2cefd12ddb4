# SPDX-License-Identifier: Apache-2.0
"""Fetch: offsets, limits, epochs, isolation, and the incremental sessions of KIP-227."""
from harness.batch import batch
from oracle.session import served, story
from oracle.stories.produce import LINES, produce

NO_ID = "A" * 22
VERSIONS = served("Fetch")


def part(offset, version, partition=0, size=1 << 20, leader_epoch=-1):
    value = {"partition": partition, "fetchOffset": offset, "partitionMaxBytes": size}
    if version >= 9:
        value["currentLeaderEpoch"] = leader_epoch
    return value


def named(s, version, topic):
    return {"topicId": s.topic_ids.get(topic, topic)} if version >= 13 else {"topic": topic}


def body(s, version, topics, wait_ms=0, min_bytes=0, size=50 << 20, isolation=0, session=(0, -1), forget=()):
    """`topics`: [(name, [part...])...]"""
    value = {"maxWaitMs": wait_ms, "minBytes": min_bytes, "maxBytes": size, "isolationLevel": isolation,
             "topics": [{**named(s, version, topic), "partitions": parts} for topic, parts in topics]}
    if version >= 7:
        value["sessionId"], value["sessionEpoch"] = session
        value["forgottenTopicsData"] = [{**named(s, version, topic), "partitions": parts} for topic, parts in forget]
    if version < 15:
        value["replicaId"] = -1
    return value


def fetch(s, version, topics, note=None, **more):
    return s.ask("Fetch", version, body(s, version, topics, **more), note)


def filled(s, batches=3, **configs):
    topic = s.topic(**configs)
    for _ in range(batches):
        s.quietly("Produce", 9, {"acks": -1, "timeoutMs": 30000, "topicData": [
            {"name": topic, "partitionData": [{"index": 0, "records": batch(LINES)}]}]})
    return topic


@story
def offsets(s):
    """At a batch, inside of one, at the end, beyond it, before the start."""
    topic = filled(s)
    for version in VERSIONS:
        for offset in (0, 3, 4, 8, 9, 10, -1, -2, 1 << 60):
            fetch(s, version, [(topic, [part(offset, version)])], f"offset {offset}")


@story
def limits(s):
    """Whole batches only; the first one even beyond every limit."""
    topic = filled(s)
    size = len(batch(LINES))
    for version in VERSIONS:
        for limit in (0, 1, size - 1, size, size + 1, 2 * size, 10 * size, -1):
            fetch(s, version, [(topic, [part(0, version, size=limit)])], f"partition limit {limit}")
            fetch(s, version, [(topic, [part(3, version)])], f"request limit {limit}", size=limit)


@story
def limits_over_partitions(s):
    """Only the first partition with records may go beyond the limit."""
    topic = s.topic(partitions=3)
    for partition in (1, 2):
        s.quietly("Produce", 9, {"acks": -1, "timeoutMs": 30000, "topicData": [
            {"name": topic, "partitionData": [{"index": partition, "records": batch(LINES)}]}]})
    size = len(batch(LINES))
    for version in VERSIONS:
        for limit in (1, size, 2 * size - 1, 2 * size):
            parts = [part(0, version, partition=n) for n in (0, 1, 2)]
            fetch(s, version, [(topic, parts)], f"request limit {limit}", size=limit)
            parts = [part(0, version, partition=n, size=1) for n in (1, 2)]
            fetch(s, version, [(topic, parts)], f"partition limits 1, request limit {limit}", size=limit)


@story
def unknown_places(s):
    topic = filled(s)
    for version in VERSIONS:
        fetch(s, version, [("AAAAAAAAAAAAAAAAAAAABQ" if version >= 13 else "oracle-no-such-topic", [part(0, version)])], "no such topic")
        if version >= 13:
            fetch(s, version, [(NO_ID, [part(0, version)])], "zero id")
        for partition in (1, -1, 2147483647):
            fetch(s, version, [(topic, [part(0, version, partition=partition)])], f"partition {partition}")
        fetch(s, version, [], "nothing")
        fetch(s, version, [(topic, [])], "no partition")


@story
def leader_epochs(s):
    topic = filled(s)
    for version in served("Fetch", lowest=9):
        for epoch in (0, 1, 5, -2):
            fetch(s, version, [(topic, [part(0, version, leader_epoch=epoch)])], f"leader epoch {epoch}")
            fetch(s, version, [(topic, [part(99, version, leader_epoch=epoch)])], f"out of range, leader epoch {epoch}")


@story
def isolation(s):
    topic = filled(s)
    for version in VERSIONS:
        for level in (0, 1, 2, -1):
            link = s.link()
            link.ask("Fetch", version, body(s, version, [(topic, [part(0, version)])], isolation=level), f"isolation level {level}")
            s.links.pop().close()


@story
def waits(s):
    """Enough bytes, an error or the end of the wait: each ends it."""
    topic = filled(s)
    for version in (4, 7, 12, 13, 18):
        fetch(s, version, [(topic, [part(0, version)])], "enough at once", wait_ms=30000, min_bytes=1)
        fetch(s, version, [(topic, [part(9, version)])], "nothing comes", wait_ms=50, min_bytes=1)
        fetch(s, version, [(topic, [part(99, version)])], "an error", wait_ms=30000, min_bytes=1)
        fetch(s, version, [(topic, [part(3, version)])], "less than wanted", wait_ms=50, min_bytes=1 << 20)
        fetch(s, version, [(topic, [part(9, version)])], "min bytes 0", wait_ms=30000, min_bytes=0)


@story
def woken(s):
    """A fetch at the end is answered by the next produce."""
    topic = filled(s)
    end = 9
    for version in (4, 7, 12, 13, 18):
        link = s.link().send("Fetch", version, body(s, version, [(topic, [part(end, version)])], wait_ms=30000, min_bytes=1))
        produce(s, 9, topic, batch(LINES), "while a fetch waits")
        link.answer("woken")
        end += 3


@story
def compressed_batches(s):
    topic = s.topic()
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        produce(s, 9, topic, batch(LINES, codec=codec), codec)
    for version in VERSIONS:
        for offset in (0, 4, 10):
            fetch(s, version, [(topic, [part(offset, version)])], f"offset {offset}")


@story
def sessions(s):
    """Made, used, changed, forgotten, with a wrong epoch, closed."""
    s.differs("sessionId", "drawn by chance")
    topic = s.topic(partitions=3)
    other = s.topic("fetch-sessions-other")
    ends = [0, 0, 0]
    for version in served("Fetch", lowest=7):
        parts = [part(ends[n], version, partition=n) for n in range(3)]
        made = fetch(s, version, [(topic, parts)], "made", session=(0, 0))
        sid = made["sessionId"]
        s.steps.append({"ask": "the session has an id", "answer": sid > 0})
        fetch(s, version, [], "nothing new", session=(sid, 1))
        produce(s, 9, topic, batch(LINES), "to partition 1", partition=1)
        fetch(s, version, [], "only what is new", session=(sid, 2))
        fetch(s, version, [], "again, as the offset is the same", session=(sid, 3))
        ends[1] += 3
        fetch(s, version, [(topic, [part(ends[1], version, partition=1)])], "moved on", session=(sid, 4))
        fetch(s, version, [(other, [part(0, version)])], "one more topic", session=(sid, 5))
        fetch(s, version, [], "one forgotten", session=(sid, 6), forget=[(topic, [1])])
        produce(s, 9, topic, batch(LINES), "to partition 2", partition=2)
        fetch(s, version, [], "from those left", session=(sid, 7))
        ends[2] += 3
        fetch(s, version, [(topic, [part(1 << 40, version, partition=0)])], "out of range", session=(sid, 8))
        fetch(s, version, [], "an epoch left out", session=(sid, 10))
        fetch(s, version, [], "the right epoch still does", session=(sid, 9))
        fetch(s, version, [], "a session that is not there", session=(sid ^ 1 or 2, 1))
        fetch(s, version, [(topic, parts[:1])], "closed", session=(sid, -1))
        fetch(s, version, [], "after it was closed", session=(sid, 10))
        unknown = "AAAAAAAAAAAAAAAAAAAABQ" if version >= 13 else "oracle-no-such-topic"
        made = fetch(s, version, [(unknown, [part(0, version)]), (topic, parts[:1])], "with an unknown topic", session=(0, 0))
        fetch(s, version, [], "told again", session=(made["sessionId"], 1))
        fetch(s, version, [], "closed", session=(made["sessionId"], -1))


@story
def start_offset(s):
    """After DeleteRecords the log begins later."""
    topic = filled(s)
    s.ask("DeleteRecords", 2, {"topics": [{"name": topic, "partitions": [{"partitionIndex": 0, "offset": 4}]}], "timeoutMs": 30000})
    for version in VERSIONS:
        for offset in (0, 3, 4, 5):
            fetch(s, version, [(topic, [part(offset, version)])], f"offset {offset}")
