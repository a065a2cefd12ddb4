# SPDX-License-Identifier: Apache-2.0
"""A topic is deleted and made again while real clients write to it and read from it: whoever is in the middle of it gets
errors or goes on, and the topic that is there in the end holds its own records alone, all that were acknowledged.
"""
import threading
import time

import pytest

from harness import questions
from harness.clients import ClientError

PARTITIONS, ROUNDS, WRITERS, WAIT_S = 4, 6, 2, 60


def write_until(stop, client, topic, prefix, acknowledged):
    """Acknowledged: where each value is said to be, with the round in which its sending began and ended."""
    n = 0
    while not stop.is_set():
        began = acknowledged.round
        values = [b"%s-%d-%d" % (prefix, n, k) for k in range(20)]
        n += 1
        try:
            placed = client.produce(topic, values, options={"acks": "all", "message.timeout.ms": 2000}, producer="busy")
        except ClientError:
            continue
        if began == acknowledged.round == ROUNDS:
            acknowledged.places += [(*place, value) for place, value in zip(placed, values)]


def ends_of(address, topic):
    """Where each partition ends; None while the topic is on its way."""
    try:
        return [questions.end(address, topic, p) for p in range(PARTITIONS)]
    except AssertionError:
        return None


def eventually(holds):
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Acknowledged:
    def __init__(self):
        self.round, self.places = 0, []


def read_until(stop, client, topic, seen):
    client.ask("consumer", name="busy", group=topic, topics=[topic], options={"topic.metadata.refresh.interval.ms": 200})
    while not stop.is_set():
        seen += client.poll("busy", 500, 0.3)
    client.ask("close_consumer", name="busy")


@pytest.mark.parametrize("name", ["confluent-kafka"])
def test_a_topic_is_deleted_and_made_again_under_writers_and_readers(make_broker, make_client, topic, name):
    broker = make_broker({"auto.create.topics.enable": "false"}).start()
    admin = make_client(name, broker)
    admin.ask("create_topic", topic=topic, partitions=PARTITIONS)
    stop, acknowledged, seen = threading.Event(), Acknowledged(), []
    threads = [threading.Thread(target=write_until, args=(stop, make_client(name, broker), topic, b"w%d" % n, acknowledged)) for n in range(WRITERS)]
    threads.append(threading.Thread(target=read_until, args=(stop, make_client(name, broker), topic, seen)))
    for thread in threads:
        thread.start()
    try:
        for _ in range(ROUNDS):
            eventually(lambda: any(ends_of(broker.address, topic) or []))  # somebody has written to this one
            admin.ask("delete_topic", topic=topic)
            eventually(lambda: topic not in admin.ask("topics"))
            admin.ask("create_topic", topic=topic, partitions=PARTITIONS)
            acknowledged.round += 1
        eventually(lambda: len(acknowledged.places) >= 200 and seen)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert broker.alive()
    ends = ends_of(broker.address, topic)
    there = {(r["partition"], r["offset"]): r["value"] for r in admin.read(topic, sum(ends), PARTITIONS)}
    assert len(there) == sum(ends)
    lost = [place for place in acknowledged.places if there.get(place[:2]) != place[2]]
    assert not lost
    broker.restart()
    assert ends_of(broker.address, topic) == ends
