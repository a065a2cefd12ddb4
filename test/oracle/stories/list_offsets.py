# SPDX-License-Identifier: Apache-2.0
"""ListOffsets: ends, starts, times, and what is refused, at every version."""
from harness.batch import batch
from oracle.session import served, story
from oracle.stories.produce import LINES, produce

VERSIONS = served("ListOffsets")
FIRST_MS = 1_700_000_000_000


def body(version, topic, partitions, replica_id=-1, isolation=0):
    """`partitions`: (index, timestamp) or (index, timestamp, leader epoch) each"""
    asked = []
    for index, timestamp, *epoch in partitions:
        asked.append({"partitionIndex": index, "timestamp": timestamp})
        if version >= 4:
            asked[-1]["currentLeaderEpoch"] = epoch[0] if epoch else -1
    value = {"replicaId": replica_id, "topics": [{"name": topic, "partitions": asked}]}
    if version >= 2:
        value["isolationLevel"] = isolation
    if version >= 10:
        value["timeoutMs"] = 30000
    return value


def ask(s, version, topic, partitions, note, **more):
    """The answer's partitions have no order in Kafka: a map gives them."""
    answer = s.ask("ListOffsets", version, body(version, topic, partitions, **more), note)
    if answer:
        for one in answer["topics"]:
            one["partitions"].sort(key=lambda p: p["partitionIndex"])


@story
def special_times(s):
    topic = s.topic()
    for name in (topic, None):
        if name is None:  # again with records
            for n in range(3):
                produce(s, 9, topic, batch(LINES, base_timestamp=FIRST_MS + 1000 * n))
        for version in VERSIONS:
            for timestamp in range(-1, -9, -1):
                ask(s, version, topic, [(0, timestamp)], f"timestamp {timestamp}")


@story
def by_time(s):
    topic = s.topic()
    for n in range(3):
        produce(s, 9, topic, batch(LINES, base_timestamp=FIRST_MS + 1000 * n))
    produce(s, 9, topic, batch(LINES, base_timestamp=FIRST_MS + 500), "earlier than the one before")
    produce(s, 9, topic, batch(LINES, base_timestamp=FIRST_MS + 5000, codec="gzip"), "compressed")
    for version in VERSIONS:
        for offset_ms in (-1, 0, 1, 2, 3, 999, 1000, 1002, 1003, 2002, 2003, 5001, 5002, 5003):
            ask(s, version, topic, [(0, FIRST_MS + offset_ms)], f"{offset_ms} ms after the first")
        ask(s, version, topic, [(0, 0)], "time 0")
        ask(s, version, topic, [(0, (1 << 63) - 1)], "the last time there is")


@story
def append_time(s):
    s.differs("timestamp", "the broker's clock")
    s.differs("logAppendTimeMs", "the broker's clock")
    topic = s.topic(message_timestamp_type="LogAppendTime")
    produce(s, 9, topic, batch(LINES, base_timestamp=5))
    for version in VERSIONS:
        ask(s, version, topic, [(0, 0)], "time 0")
        ask(s, version, topic, [(0, -3)], "max timestamp") if version >= 7 else None


@story
def several(s):
    topic = s.topic(partitions=3)
    produce(s, 9, topic, batch(LINES), partition=1)
    for version in VERSIONS:
        ask(s, version, topic, [(0, -1), (1, -1), (2, -2)], "three partitions")
        ask(s, version, topic, [(1, -1), (1, -2)], "the same partition twice")
        ask(s, version, topic, [(7, -1), (-1, -1), (1, 0)], "some that are not there")
        ask(s, version, "oracle-no-such-topic", [(0, -1)], "no such topic")
        ask(s, version, "", [(0, -1)], "no name")
        s.ask("ListOffsets", version, {"replicaId": -1, "topics": []}, "nothing")
        ask(s, version, topic, [], "no partition")


@story
def who_asks(s):
    topic = s.topic()
    produce(s, 9, topic, batch(LINES))
    for version in VERSIONS:
        for replica in (-1, -2, 0, 1, 7):
            ask(s, version, topic, [(0, -1)], f"replica {replica}, latest", replica_id=replica)
            ask(s, version, topic, [(0, 0)], f"replica {replica}, by time", replica_id=replica)
        if version >= 2:
            for level in (0, 1):
                ask(s, version, topic, [(0, -1)], f"isolation level {level}", isolation=level)


@story
def leader_epochs(s):
    topic = s.topic()
    produce(s, 9, topic, batch(LINES))
    for version in served("ListOffsets", lowest=4):
        for epoch in (-1, 0, 1, -2):
            for timestamp in (-1, -2, 0):
                ask(s, version, topic, [(0, timestamp, epoch)], f"leader epoch {epoch}, timestamp {timestamp}")


@story
def after_deleting_records(s):
    topic = s.topic()
    for n in range(3):
        produce(s, 9, topic, batch(LINES, base_timestamp=FIRST_MS + 1000 * n))
    s.ask("DeleteRecords", 2, {"topics": [{"name": topic, "partitions": [{"partitionIndex": 0, "offset": 4}]}], "timeoutMs": 30000})
    for version in VERSIONS:
        for timestamp in (-1, -2, -4, 0, FIRST_MS, FIRST_MS + 1000, FIRST_MS + 1001):
            ask(s, version, topic, [(0, timestamp)], f"timestamp {timestamp}")
