# SPDX-License-Identifier: Apache-2.0
"""What a client sees of a broker, in a form in which two brokers on one directory can be compared; and a day's work.

Records of a compacted topic may become fewer at any time, so of these the newest of each key counts.
"""
import time

from harness.questions import COMMITTED, WAIT_S, committed, end, groups, start, topics

COMPACTED = {"compact", "configured"}
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def newest(records):
    by_key = {}
    for record in records:
        by_key[record["partition"], record["key"]] = record
    return sorted((r for r in by_key.values() if r["value"] is not None), key=lambda r: (r["partition"], r["offset"]))


def survey(client, address):
    known = {topic: range(len(epochs)) for topic, epochs in topics(address).items() if not topic.startswith("__")}
    seen = {"topics": {}, "groups": {}}
    for topic, numbers in known.items():
        seen["topics"][topic] = {
            "ends": [end(address, topic, p) for p in numbers], "stable": [end(address, topic, p, COMMITTED) for p in numbers],
            "starts": [start(address, topic, p) for p in numbers], "configs": client.ask("topic_configs", topic=topic)}
    for isolation in ("read_uncommitted", "read_committed"):
        records = client.ask("read_to_end", partitions=[[topic, p] for topic, numbers in known.items() for p in numbers],
                             options={"isolation_level": isolation})
        for topic in known:
            own = [r for r in records if r["topic"] == topic]
            seen["topics"][topic][isolation] = newest(own) if topic in COMPACTED else own
    for group, (protocol, _, kind) in groups(address).items():
        offsets = committed(address, group) if kind.lower() != "share" else None
        seen["groups"][group] = {"protocol": protocol, "type": kind.lower(), "offsets": offsets}
    return seen


def differences(before, after, path=""):
    """Where two surveys differ, in words; a list of thousands of records would not be read."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = [f"{path}/{key}: {'gone' if key in before else 'new'}" for key in before.keys() ^ after.keys()]
        for key in before.keys() & after.keys():
            found += differences(before[key], after[key], f"{path}/{key}")
        return found
    if isinstance(before, list) and isinstance(after, list) and before != after:
        first = next((n for n, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
        return [f"{path}[{first}] of {len(before)} and {len(after)}: {before[first:first + 1]} and {after[first:first + 1]}"]
    return [] if before == after else [f"{path}: {before} and {after}"]


def work(client, address, by):
    """Appends of every kind, offsets of groups, and changes of metadata; each told who made it."""
    text = by.encode()

    def records(partition, count, key=b"k"):
        return [{"partition": partition, "key": key + b"%d" % n, "value": text + b" %d " % n + b"x" * (20 * n),
                 "headers": [("by", text), ("none", None)]} for n in range(count)]
    for codec, name in enumerate(CODECS):
        client.produce("codecs", records(codec, 12), producer=name, options={"compression_type": name, "linger_ms": 50})
    for partition in range(3):
        client.produce("plain", records(partition, 5), producer="none")
    client.produce("idem", records(0, 10), producer="idempotent", options={"enable_idempotence": True})
    client.produce("compact", records(0, 8) + [{"partition": 0, "key": b"k3", "value": None}], producer="none")
    client.produce("logappend", records(0, 3), producer="none")
    client.produce("empty", records(0, 2), producer="none")
    client.ask("consumer", name=by, group=f"group-of-{by}", topics=["idem"])
    client.poll(by, 5)
    client.ask("commit", name=by)
    client.ask("close_consumer", name=by)
    client.ask("consumer", name=by, group="g-simple", assign=[["plain", 2]])
    client.poll(by, 5)
    client.ask("commit", name=by)
    client.ask("close_consumer", name=by)
    for topic in (f"made-by-{by}", f"doomed-by-{by}"):
        client.ask("create_topic", topic=topic, partitions=2, configs={"retention.ms": "-1", "segment.bytes": "1048576"})
        client.produce(topic, records(1, 4), producer="none")
    client.ask("delete_topic", topic=f"doomed-by-{by}")
    client.ask("add_partitions", topic=f"made-by-{by}", total=3)
    client.ask("alter_topic", topic="plain", name="retention.bytes", value=str(10**12 + len(by)))
    until_shown(client, address, by)


def until_shown(client, address, by):
    """Kafka answers a change before its own metadata tells it; the last change is the last to be told."""
    deadline = time.monotonic() + WAIT_S
    while client.ask("topic_configs", topic="plain").get("retention.bytes") != str(10**12 + len(by)) \
            or len(topics(address)[f"made-by-{by}"]) != 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
