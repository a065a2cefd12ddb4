# SPDX-License-Identifier: Apache-2.0
"""OffsetForLeaderEpoch, DescribeProducers, DeleteRecords: what a log knows about itself, and its new start."""
from harness.batch import batch
from oracle.session import served, story
from oracle.stories.produce import LINES, produce, producer_id, sequenced


@story
def offset_for_leader_epoch(s):
    topic = s.topic(partitions=2)
    produce(s, 9, topic, batch(LINES))

    def ask(version, partition, epoch, current, note, name=topic):
        value = {"topics": [{"topic": name, "partitions": [{"partition": partition, "leaderEpoch": epoch, "currentLeaderEpoch": current}]}]}
        if version >= 3:
            value["replicaId"] = -1
        s.ask("OffsetForLeaderEpoch", version, value, note)

    for version in served("OffsetForLeaderEpoch"):
        for epoch in (-1, 0, 1, 5, -2):
            ask(version, 0, epoch, -1, f"epoch {epoch}")
        ask(version, 1, 0, -1, "an empty partition")
        for current in (0, 1, -2):
            ask(version, 0, 0, current, f"current epoch {current}")
        ask(version, 2, 0, -1, "no such partition")
        ask(version, 0, 0, -1, "no such topic", name="oracle-no-such-topic")


@story
def delete_records(s):
    topic = s.topic(partitions=2)

    def ask(version, partition, offset, note, name=topic):
        s.ask("DeleteRecords", version, {"timeoutMs": 30000, "topics": [
            {"name": name, "partitions": [{"partitionIndex": partition, "offset": offset}]}]}, note)

    for version in served("DeleteRecords"):
        produce(s, 9, topic, batch(LINES))
        produce(s, 9, topic, batch(LINES))
        end = 6 * (version + 1)
        ask(version, 0, end - 2, "inside a batch")
        ask(version, 0, end - 4, "before the start")
        ask(version, 0, end + 1, "beyond the end")
        ask(version, 0, -2, "offset -2")
        ask(version, 0, -1, "up to the high watermark")
        ask(version, 1, 0, "an empty partition")
        ask(version, 2, 0, "no such partition")
        ask(version, 0, 0, "no such topic", name="oracle-no-such-topic")
        s.ask("DeleteRecords", version, {"timeoutMs": 30000, "topics": []}, "nothing")
    kept = s.topic("epochs-delete-records-kept", cleanup_policy="compact")
    produce(s, 9, kept, batch(LINES))
    for version in served("DeleteRecords"):
        ask(version, 0, 2, "a compacted topic", name=kept)


@story
def describe_producers(s):
    s.differs("lastTimestamp", "the broker's clock")
    s.differs("producerId", "given by the broker")
    topic = s.topic(partitions=2)

    def ask(partition, note, name=topic):
        s.ask("DescribeProducers", 0, {"topics": [{"name": name, "partitionIndexes": [partition]}]}, note)

    ask(0, "nobody yet")
    produce(s, 9, topic, sequenced(producer_id(s), 0))
    ask(0, "one")
    pid = producer_id(s)
    produce(s, 9, topic, sequenced(pid, 0), partition=1)
    produce(s, 9, topic, sequenced(pid, 3), partition=1)
    ask(1, "one that has sent twice")
    produce(s, 9, topic, sequenced(pid, 0, epoch=2), partition=1)
    ask(1, "with a new epoch")
    ask(2, "no such partition")
    ask(0, "no such topic", name="oracle-no-such-topic")
    s.ask("DescribeProducers", 0, {"topics": []}, "nothing")
