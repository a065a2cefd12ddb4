# SPDX-License-Identifier: Apache-2.0
"""More topics than descriptors: made in a loop, written to, stopped, killed, and all of it is there.

The broker may open fewer files than its topics have segments and indexes. MANY_TOPICS=10000 is the long form.
"""
import collections
import os

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.ottla

TOPICS = int(os.environ.get("MANY_TOPICS", "500"))
DESCRIPTORS = TOPICS * 6 // 5
WAIT_S = 30 + TOPICS // 20
NAMES = [f"topic-{number}" for number in range(TOPICS)]


def create_one_by_one(broker):
    admin = AdminClient({"bootstrap.servers": broker.address})
    for name in NAMES:
        admin.create_topics([NewTopic(name, 1, 1)], request_timeout=60)[name].result(60)


def produce_to_each(broker, value):
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address, "acks": "all"})
    failed = []
    for name in NAMES:
        producer.produce(name, value, on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(WAIT_S) == 0
    assert failed == []


def read_all(broker, count):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.address, "group.id": "all"})
    consumer.assign([confluent_kafka.TopicPartition(name, 0, 0) for name in NAMES])
    found = collections.defaultdict(list)
    while sum(map(len, found.values())) < count:
        messages = consumer.consume(1000, timeout=WAIT_S)
        assert messages, f"{sum(map(len, found.values()))} of {count} records are there"
        for message in messages:
            assert not message.error(), message.error()
            found[message.topic()].append((message.offset(), message.value()))
    consumer.close()
    return found


def test_topics_beyond_the_descriptors_take_records_and_keep_them(make_broker):
    values = [b"first", b"after a stop", b"after a kill"]
    broker = make_broker()
    broker.descriptors_max = DESCRIPTORS
    broker.start()
    create_one_by_one(broker)
    for number, value in enumerate(values):
        if number:
            broker.restart(clean=number == 1)
        produce_to_each(broker, value)
    broker.restart(clean=False)
    found = read_all(broker, len(values) * TOPICS)
    assert found == {name: list(enumerate(values)) for name in NAMES}
    assert "offline" not in broker.log()
