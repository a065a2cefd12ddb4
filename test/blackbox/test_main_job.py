# SPDX-License-Identifier: Apache-2.0
"""The main job with each Python client: topics, records in order, groups that commit by hand, big messages."""
import os
import time

import pytest

from harness.clients import PYTHON_CLIENTS, ClientError

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
MIB = 1 << 20


def values(count, prefix="event"):
    return [f"{prefix}-{n}".encode() for n in range(count)]


def codec_options(codec):
    return {} if codec == "none" else {"compression_type": codec}


def test_an_admin_client_connects_and_lists_topics(client, topic):
    assert topic not in client.ask("check")


def test_a_created_topic_is_listed(client, topic):
    client.ask("create_topic", topic=topic, partitions=3)
    assert topic in client.ask("topics")


def test_creating_a_topic_a_second_time_is_refused(client, topic):
    client.ask("create_topic", topic=topic)
    with pytest.raises(ClientError, match="(?i)already.?exists"):
        client.ask("create_topic", topic=topic)


def test_a_deleted_topic_is_no_longer_listed(client, topic):
    client.ask("create_topic", topic=topic)
    client.ask("delete_topic", topic=topic)
    assert eventually(lambda: topic not in client.ask("topics"))


def test_deleting_an_unknown_topic_is_refused(client, topic):
    with pytest.raises(ClientError, match="(?i)unknown.?topic"):
        client.ask("delete_topic", topic=topic)


def eventually(holds, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("codec", CODECS)
def test_unkeyed_records_come_back_in_order(client, topic, codec):
    client.ask("create_topic", topic=topic)
    sent = values(500)
    placed = client.produce(topic, sent, options={**codec_options(codec), "linger_ms": 20}, producer=codec + "-lingering")
    assert placed == [[0, n] for n in range(500)]
    got = client.read(topic, 500)
    assert [(r["offset"], r["value"]) for r in got] == list(enumerate(sent))


@pytest.mark.parametrize("codec", CODECS)
def test_keyed_records_stay_in_order_in_the_partition_of_their_key(client, topic, codec):
    client.ask("create_topic", topic=topic, partitions=4)
    sent = [(f"key-{n % 7}".encode(), f"event-{n}".encode()) for n in range(210)]
    client.produce(topic, sent, options=codec_options(codec), producer=codec)
    got = client.read(topic, 210, partitions=4)
    for key in {key for key, _ in sent}:
        of_key = [r for r in got if r["key"] == key]
        assert len({r["partition"] for r in of_key}) == 1
        assert [r["value"] for r in of_key] == [value for k, value in sent if k == key]


def test_headers_null_values_and_timestamps_survive(client, topic):
    client.ask("create_topic", topic=topic)
    client.produce(topic, [{"key": b"k", "value": None, "timestamp": 1600000000123, "headers": [("h", b"1"), ("h", b"")]},
                           {"key": None, "value": b"", "timestamp": 1600000000456}])
    first, second = client.read(topic, 2)
    assert (first["key"], first["value"], first["timestamp"]) == (b"k", None, 1600000000123)
    assert first["headers"] == [("h", b"1"), ("h", b"")]
    assert (second["key"], second["value"], second["timestamp"]) == (None, b"", 1600000000456)


def test_a_time_is_found_as_an_offset(client, topic):
    client.ask("create_topic", topic=topic)
    for n in range(3):
        client.produce(topic, [{"value": b"v", "timestamp": 1600000000000 + 1000 * n}])
    assert client.ask("offset_for_time", topic=topic, partition=0, timestamp=1600000000001)[0] == 1
    assert client.ask("offset_for_time", topic=topic, partition=0, timestamp=1600000000000)[0] == 0


def test_the_ends_of_a_partition_are_told(client, topic):
    client.ask("create_topic", topic=topic)
    assert client.ask("offsets", topic=topic, partition=0) == [0, 0]
    client.produce(topic, values(5))
    assert client.ask("offsets", topic=topic, partition=0) == [0, 5]


def test_the_first_message_creates_its_topic(client, topic):
    assert client.produce(topic, [b"first"])[0] == [0, 0]
    assert topic in client.ask("topics")


def test_a_group_reads_all_partitions(client, topic):
    client.ask("create_topic", topic=topic, partitions=3)
    for partition in range(3):
        client.produce(topic, [{"value": v, "partition": partition} for v in values(20)])
    client.ask("consumer", name="one", group=topic, topics=[topic])
    got = client.poll("one", 60)
    client.ask("close_consumer", name="one")
    for partition in range(3):
        assert [r["value"] for r in got if r["partition"] == partition] == values(20)


def test_a_group_goes_on_after_what_it_committed(client, topic):
    client.ask("create_topic", topic=topic)
    client.produce(topic, values(10))
    client.ask("consumer", name="before", group=topic, topics=[topic])
    assert [r["value"] for r in client.poll("before", 4)] == values(10)[:4]
    client.ask("commit", name="before")
    assert client.ask("committed", name="before", topic=topic, partition=0) == 4
    client.ask("close_consumer", name="before")
    client.ask("consumer", name="after", group=topic, topics=[topic])
    assert [r["value"] for r in client.poll("after", 6)] == values(10)[4:]
    client.ask("close_consumer", name="after")


def test_what_was_not_committed_is_read_again(client, topic):
    client.ask("create_topic", topic=topic)
    client.produce(topic, values(5))
    for name in ("before", "after"):
        client.ask("consumer", name=name, group=topic, topics=[topic])
        assert [r["value"] for r in client.poll(name, 5)] == values(5)
        client.ask("close_consumer", name=name)


def test_two_groups_read_the_same_records(client, topic):
    client.ask("create_topic", topic=topic)
    client.produce(topic, values(5))
    for group in ("a", "b"):
        client.ask("consumer", name=group, group=f"{topic}-{group}", topics=[topic])
        assert [r["value"] for r in client.poll(group, 5)] == values(5)
        client.ask("commit", name=group)
        client.ask("close_consumer", name=group)


@pytest.mark.parametrize("name", PYTHON_CLIENTS)
def test_two_consumers_share_a_group_and_one_takes_over(broker, make_client, topic, name):
    first, second = make_client(name, broker), make_client(name, broker)
    first.ask("create_topic", topic=topic, partitions=4)
    for member in (first, second):
        member.ask("consumer", name="c", group=topic, topics=[topic],
                   options={"session_timeout_ms": 6000, "heartbeat_interval_ms": 300})

    def spread():
        for member in (first, second):
            member.send("poll", name="c", count=1, timeout_s=0.5)
        for member in (first, second):
            member.poll_later()
        return [len(member.ask("assignment", name="c")) for member in (first, second)]
    assert eventually(lambda: spread() == [2, 2]), spread()
    first.ask("close_consumer", name="c")

    def alone():
        second.poll("c", 1, 0.5)
        return len(second.ask("assignment", name="c"))
    assert eventually(lambda: alone() == 4), alone()
    second.produce(topic, [{"value": b"to-%d" % p, "partition": p} for p in range(4)])
    assert sorted(r["value"] for r in second.poll("c", 4)) == [b"to-0", b"to-1", b"to-2", b"to-3"]
    second.ask("close_consumer", name="c")


def test_a_message_of_25_mib_passes_with_raised_limits(client, topic):
    client.ask("create_topic", topic=topic, configs={"max.message.bytes": str(27 * MIB)})
    big = os.urandom(25 * MIB)
    client.produce(topic, [b"before", big, b"after"], options={"max_request_size": 27 * MIB}, producer="big")
    client.ask("consumer", name="big", assign=[[topic, 0]],
               options={"max_partition_fetch_bytes": 27 * MIB, "fetch_max_bytes": 54 * MIB})
    got = client.poll("big", 3)
    client.ask("close_consumer", name="big")
    assert [r["value"] == sent for r, sent in zip(got, [b"before", big, b"after"])] == [True, True, True]


def test_a_message_larger_than_the_fetch_limits_is_still_delivered(client, topic):
    client.ask("create_topic", topic=topic)
    big = os.urandom(900_000)
    client.produce(topic, [big, b"after"])
    limits = {"max_partition_fetch_bytes": 1000, "fetch_max_bytes": 1000}
    if client.name == "confluent-kafka":
        limits["message.max.bytes"] = 1000  # librdkafka wants it no larger than fetch.max.bytes
    client.ask("consumer", name="small", assign=[[topic, 0]], options=limits)
    got = client.poll("small", 2)
    client.ask("close_consumer", name="small")
    assert [r["value"] for r in got] == [big, b"after"]


def test_a_message_over_the_topics_limit_is_refused(client, topic):
    client.ask("create_topic", topic=topic, configs={"max.message.bytes": "20000"})
    with pytest.raises(ClientError, match="(?i)(too.?large|MSG_SIZE_TOO_LARGE|larger than)"):
        client.produce(topic, [os.urandom(30_000)], producer="refused")
    assert client.produce(topic, [b"small"]) == [[0, 0]]


@pytest.mark.parametrize("name", ("kafka-python", "confluent-kafka"))
def test_an_idempotent_producer_writes_each_record_once(broker, make_client, topic, name):
    client = make_client(name, broker)
    client.ask("create_topic", topic=topic)
    options = {"enable_idempotence": True, "acks": "all"}
    for chunk in range(5):
        client.produce(topic, values(100, f"chunk{chunk}"), options=options, producer="idempotent")
    got = client.read(topic, 500)
    assert [r["value"] for r in got] == [v for chunk in range(5) for v in values(100, f"chunk{chunk}")]
    assert client.ask("offsets", topic=topic, partition=0) == [0, 500]


@pytest.mark.parametrize("acks", (0, 1, "all"))
def test_every_kind_of_acknowledgement_stores_the_record(client, topic, acks):
    client.ask("create_topic", topic=topic)
    client.produce(topic, values(10), options={"acks": acks, "enable_idempotence": acks == "all"}, producer=f"acks-{acks}")
    assert [r["value"] for r in client.read(topic, 10)] == values(10)
