# SPDX-License-Identifier: Apache-2.0
"""From Apache Kafka 4.3.1 to Ottla and back, on one directory: nothing is lost, nothing is said twice, nobody complains.

A round trip begins with what Kafka left (an archive, cleanly stopped or killed: every kind of metadata, transactions done,
aborted and open, groups of every protocol) or with a directory that Ottla made. Both work on it in turn and end by a stop
or by kill -9. At every change of hands, what clients see is compared, and at the end all that only Kafka can write is held
against what Kafka told before. Kafka's complaints are compared with those at its own restart on the same archive, and its
DumpLogSegments reads every file.

One round trip of each kind in CI; BOTH_WAYS=long makes all of them.
"""
import itertools
import os
import pathlib
import tarfile

import pytest

from harness.clients import Client
from node import Node, dump_complaints
from survey import differences, survey, work

pytestmark = pytest.mark.ottla

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATADIRS = ROOT / "kafka" / "datadirs"
ENDS = ("clean", "killed")
IS_LONG = os.environ.get("BOTH_WAYS") == "long"
TRIPS = list(itertools.product(ENDS, ENDS, ENDS)) if IS_LONG else [("killed", "killed", "clean")]
BORN_TRIPS = list(itertools.product(ENDS, ENDS)) if IS_LONG else [("killed", "clean")]


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path / "node")
    yield made
    made.close()


@pytest.fixture
def hand(node):
    """Hands the node to a broker: what clients see must be what they saw before."""
    class Hand:
        seen, client = None, None

        def to(self, kind):
            node.start(kind)
            self.client = Client("confluent-kafka", node.address)
            now = survey(self.client, node.address)
            if self.seen is not None:
                assert differences(self.seen, now) == []
            self.seen = now
            return self.client

        def work(self, by):
            before = self.seen
            node.work(lambda: self.works(by))
            assert differences(before, self.seen) != []

        def works(self, by):
            work(self.client, node.address, by)
            self.seen = survey(self.client, node.address)

        def end(self, how):
            self.client.close()
            node.end(how)
    return Hand()


def unpack(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(DATADIRS / f"{name}.tar.gz") as archive:
        archive.extractall(folder)


def own_restart(name, how, folder, state=None):
    """Kafka's complaints when it comes back to what it left itself, and what it then holds."""
    own = Node(folder)
    try:
        unpack(name, folder)
        own.start("kafka")
        told = state(own.address, folder / "state") if state else None
        own.end(how)
    finally:
        own.close()
    return own.remarks, told


@pytest.fixture(scope="session")
def restarts(tmp_path_factory, state_tool):
    """By archive: made when first asked for."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = own_restart(name, "clean", tmp_path_factory.mktemp("own"), state_tool)
        return known[name]
    return of


def without_ours(state):
    """What Ottla had no hand in: everything but the topics and groups that were worked on."""
    kept = {key: value for key, value in state.items() if key not in ("topics", "groups")}
    kept["topics"] = {topic: {"id": told["id"], "internal": told["internal"]} for topic, told in state["topics"].items()
                      if "-by-" not in topic}
    # Not their states: a dead member's session may end meanwhile.
    kept["groups"] = {group: {key: value for key, value in told.items() if key != "state"}
                      for group, told in state["groups"].items() if group in ("g-new", "g-share", "g-txn", "g-static")}
    return kept


@pytest.mark.parametrize("left, ottla_ends, kafka_ends", TRIPS)
def test_kafka_ottla_kafka_ottla(node, hand, tools, state_tool, restarts, tmp_path, left, ottla_ends, kafka_ends):
    own_remarks, own_state = restarts(left)
    unpack(left, node.data.parent)
    hand.to("ottla")
    hand.work("ottla")
    hand.end(ottla_ends)
    if ottla_ends == "clean":
        assert dump_complaints(tools, node.data) == []
    hand.to("kafka")
    hand.work("kafka")
    assert differences(without_ours(own_state), without_ours(state_tool(node.address, tmp_path / "state"))) == []
    hand.end(kafka_ends)
    assert sorted(node.remarks - own_remarks - (restarts("killed")[0] if ottla_ends == "killed" else set())) == []
    hand.to("ottla")
    hand.work("ottla-again")
    hand.end("clean")
    assert dump_complaints(tools, node.data) == []


@pytest.mark.parametrize("ottla_ends, kafka_ends", BORN_TRIPS)
def test_a_directory_that_ottla_made(node, hand, tools, restarts, ottla_ends, kafka_ends):
    node.start("ottla")
    client = Client("confluent-kafka", node.address)
    for topic, partitions, configs in (("plain", 3, {}), ("codecs", 5, {}), ("idem", 1, {}), ("logappend", 1, {
            "message.timestamp.type": "LogAppendTime"}), ("compact", 1, {"cleanup.policy": "compact"}), ("empty", 3, {})):
        client.ask("create_topic", topic=topic, partitions=partitions, configs=configs)
    client.close()
    node.end(ottla_ends)
    hand.to("ottla")
    hand.work("ottla")
    hand.end(ottla_ends)
    hand.to("kafka")
    hand.work("kafka")
    hand.end(kafka_ends)
    assert sorted(node.remarks - restarts(ottla_ends)[0]) == []
    hand.to("ottla")
    hand.work("ottla-again")
    hand.end(ottla_ends)
    hand.to("kafka")
    hand.end("clean")
    assert sorted(node.remarks - restarts(ottla_ends)[0]) == []
    assert dump_complaints(tools, node.data) == []
