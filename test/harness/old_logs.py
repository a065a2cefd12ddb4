# SPDX-License-Identifier: Apache-2.0
"""Logs with message formats 0 and 1, as Apache Kafka 2.8.2 wrote them, put in the place of new topics' logs.

What was read from them by that Kafka's own consumers lies beside them: test/kafka/datadirs/README.md.
"""
import json
import pathlib
import tarfile

DATADIRS = pathlib.Path(__file__).resolve().parents[1] / "kafka" / "datadirs"
OLD = json.loads((DATADIRS / "old.json").read_text())
SETTINGS = {"offsets.topic.num.partitions": "1", "offsets.retention.minutes": "2147483647"}
GROUP = "g-old"
POSITION = {"old-1-0": {"offset": 42, "leader_epoch": -1, "metadata": "meta"}}


def records(topic):
    """[(offset, timestamp or None, key, value)]"""
    return [(offset, time, key.encode(), None if value is None else value.encode()) for offset, time, key, value in OLD[topic]["records"]]


def make_topics(client):
    """The topics, and that of committed offsets, which the first commit makes."""
    for topic in OLD:
        client.ask("create_topic", topic=topic, partitions=1,
                   configs={"retention.ms": "-1", "cleanup.policy": "compact" if topic == "old-compact" else "delete"})
    client.produce("old-0", [{"partition": 0, "key": b"k", "value": b"v"}])
    client.ask("consumer", name="first", group="first", assign=[["old-0", 0]])
    client.poll("first", 1)
    client.ask("commit", name="first")
    client.ask("close_consumer", name="first")


def put(data, indexed=True):
    """Of a stopped broker whose topics are there. Without indexes it is as if it had been killed."""
    with tarfile.open(DATADIRS / "old.tar.gz") as archive:
        for folder in {member.name.split("/")[1] for member in archive.getmembers() if member.isfile()}:
            for file in (data / folder).iterdir():
                if file.name != "partition.metadata":
                    file.unlink()
        archive.extractall(data)
    if not indexed:
        (data / ".kafka_cleanshutdown").unlink()
        for index in [*data.glob("*-0/*index"), *data.glob("*-0/*.snapshot")]:
            index.unlink()
