# SPDX-License-Identifier: Apache-2.0
"""Partitions that move between log directories while clients go on: what DescribeLogDirs tells meanwhile, changes of mind,
kill -9 in the middle, deletion; and that nothing acknowledged is lost by any of it."""
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from harness.batch import batch
from oracle.session import Session

pytestmark = pytest.mark.ottla

ROOT = pathlib.Path(__file__).resolve().parents[2]
SETTINGS = {"log.dirs": "{folder}/a,{folder}/b,{folder}/c", "log.segment.bytes": "1048576", "log.segment.delete.delay.ms": "0"}
SLOW = "replica.alter.log.dirs.io.max.bytes.per.second"


class Asking:
    """One broker, and one connection for each of its lives."""

    def __init__(self, broker):
        self.broker = broker
        self.dirs = [str(broker.folder / name) for name in "abc"]
        self.session = Session(broker.address, "moves")

    def ask(self, api, version, body):
        return self.session.quietly(api, version, body)

    def again(self):
        self.session.close()
        self.session = Session(self.broker.address, "moves")

    def make(self, topic, where, partitions=1):
        """Where it is wanted before it is there."""
        self.move(topic, where, 3)
        self.session.topic(topic, partitions=partitions)
        assert self.places(topic) == {(where, False)}

    def move(self, topic, to, error=0):
        answer = self.ask("AlterReplicaLogDirs", 2, {"dirs": [{"path": to, "topics": [{"name": topic, "partitions": [0]}]}]})
        assert answer["results"][0]["partitions"][0]["errorCode"] == error

    def replicas(self, topic):
        answer = self.ask("DescribeLogDirs", 4, {"topics": [{"topic": topic, "partitions": [0]}]})
        return {(one["logDir"], p["isFutureKey"]): p for one in answer["results"] for t in one["topics"] for p in t["partitions"]}

    def places(self, topic):
        return set(self.replicas(topic))

    def rate(self, bytes_per_second):
        answer = self.ask("IncrementalAlterConfigs", 1, {"validateOnly": False, "resources": [{"resourceType": 4, "resourceName": "1", "configs": [
            {"name": SLOW, "configOperation": 0, "value": str(bytes_per_second)}]}]})
        assert answer["responses"][0]["errorCode"] == 0

    def produce(self, topic, values):
        """Their offsets; each call is acknowledged."""
        records = batch([(None, value) for value in values])
        answer = self.ask("Produce", 9, {"transactionalId": None, "acks": -1, "timeoutMs": 30000, "topicData": [
            {"name": topic, "partitionData": [{"index": 0, "records": records}]}]})
        told = answer["responses"][0]["partitionResponses"][0]
        assert told["errorCode"] == 0
        return told["baseOffset"]


@pytest.fixture
def broker(make_broker):
    return make_broker(SETTINGS).start()


def fill(asking, topic, batches=80):
    """About 20 KB each: two segments."""
    for n in range(batches):
        asking.produce(topic, [f"{n}-{i}".encode() + b"x" * 1000 for i in range(20)])
    return 20 * batches


def eventually(holds, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def directories(broker):
    """The partitions' directories under the three, without ids."""
    return sorted(f"{one.name}/{entry.name.partition('.')[0]}{'-future' if entry.name.endswith('-future') else ''}"
                  for one in broker.folder.iterdir() if one.name in "abc" for entry in one.iterdir()
                  if entry.is_dir() and not entry.name.startswith("__") and not entry.name.endswith("-delete"))


def verified(broker):
    binary = os.environ.get("OTTLA", str(ROOT / "build" / "ottla"))
    for name in "abc":
        done = subprocess.run([binary, "verify", str(broker.folder / name)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout


def test_a_partition_moves_while_a_producer_and_a_consumer_go_on(broker, make_client):
    asking = Asking(broker)
    a, b, _ = asking.dirs
    asking.make("t", a)
    count = fill(asking, "t")
    asking.rate(500000)
    asking.move("t", b)
    size = asking.replicas("t")[a, False]["partitionSize"]
    seen = set()
    while asking.places("t") == {(a, False), (b, True)}:
        asking.produce("t", [b"meanwhile"])
        count += 1
        future = asking.replicas("t").get((b, True))
        if future:
            seen.add((future["partitionSize"], future["offsetLag"]))
    assert asking.places("t") == {(b, False)}
    assert len(seen) > 1 and all(0 <= lag <= count for _, lag in seen) and min(seen)[0] < size
    told = asking.replicas("t")[b, False]
    assert told["offsetLag"] == 0 and told["partitionSize"] >= size
    assert asking.produce("t", [b"after"]) == count
    records = make_client("confluent-kafka", broker).read("t", count + 1)
    assert [r["offset"] for r in records] == list(range(count + 1)) and records[-1]["value"] == b"after"
    assert broker.stop() == 0
    assert directories(broker) == ["b/t-0"]
    verified(broker)


def test_a_move_can_go_elsewhere_and_be_called_off(broker):
    asking = Asking(broker)
    a, b, c = asking.dirs
    asking.make("t", a)
    count = fill(asking, "t", 20)
    asking.rate(1)
    asking.move("t", b)
    assert asking.places("t") == {(a, False), (b, True)}
    asking.move("t", b)  # it is on its way
    assert asking.places("t") == {(a, False), (b, True)}
    asking.move("t", c)
    assert asking.places("t") == {(a, False), (c, True)}
    assert directories(broker) == ["a/t-0", "c/t-0-future"]
    asking.move("t", a)
    assert asking.places("t") == {(a, False)}
    assert directories(broker) == ["a/t-0"]
    asking.move("t", b)
    asking.ask("DeleteTopics", 5, {"topicNames": ["t"], "timeoutMs": 30000})
    eventually(lambda: directories(broker) == [])
    asking.make("t", c)  # the name is free again
    assert asking.produce("t", [b"new"]) == 0 and count
    assert broker.stop() == 0
    verified(broker)


@pytest.mark.parametrize("how", ("stop", "kill"))
def test_an_interrupted_move_goes_on_after_a_restart(broker, make_client, how):
    asking = Asking(broker)
    a, b, _ = asking.dirs
    asking.make("t", a)
    count = fill(asking, "t")
    asking.rate(300000)
    asking.move("t", b)
    eventually(lambda: asking.replicas("t")[b, True]["partitionSize"] > 300000)
    broker.kill() if how == "kill" else broker.stop()
    assert directories(broker) == ["a/t-0", "b/t-0-future"]
    if how == "stop":
        verified(broker)
    broker.start()
    asking.again()
    assert (a, False) in asking.places("t")
    for n in range(20):
        asking.produce("t", [b"later"])
    asking.rate(1 << 40)
    eventually(lambda: asking.places("t") == {(b, False)})
    records = make_client("confluent-kafka", broker).read("t", count + 20)
    assert [r["offset"] for r in records] == list(range(count + 20))
    broker.kill()
    broker.start()
    asking.again()
    assert asking.places("t") == {(b, False)}
    assert asking.produce("t", [b"last"]) == count + 20
    assert broker.stop() == 0
    assert directories(broker) == ["b/t-0"]
    verified(broker)


def test_kills_at_any_moment_of_many_moves_lose_nothing(broker):
    """A partition goes round the directories as fast as it can, while records are written and the broker is killed."""
    asking = Asking(broker)
    asking.make("t", asking.dirs[0])
    end = 0
    for life in range(8):
        for n in range(12 + 3 * life):
            where = next(place for place, future in asking.places("t") if not future)
            asking.move("t", asking.dirs[(asking.dirs.index(where) + 1) % 3])
            assert asking.produce("t", [b"v" * 5000]) == end
            end += 1
        broker.kill()
        broker.start()
        asking.again()
        assert len([place for place, future in asking.places("t") if not future]) == 1
        answer = asking.ask("ListOffsets", 6, {"replicaId": -1, "topics": [
            {"name": "t", "partitions": [{"partitionIndex": 0, "currentLeaderEpoch": -1, "timestamp": -1}]}]})
        assert answer["topics"][0]["partitions"][0]["offset"] == end
    assert broker.stop() == 0
    verified(broker)


def half_renamed(broker, where):
    """As a crash between the last two renames leaves it."""
    place = broker.folder / where / "t-0"
    place.rename(place.with_name(f"t-0.{'5' * 32}-future"))


@pytest.mark.parametrize("how", ("stop", "kill"))
def test_a_partition_that_had_arrived_but_for_its_name_gets_it(broker, how):
    asking = Asking(broker)
    a, b, _ = asking.dirs
    asking.make("t", a)
    asking.produce("t", [b"before"])
    asking.move("t", b)
    eventually(lambda: asking.places("t") == {(b, False)})
    asking.produce("t", [b"there"])
    broker.kill() if how == "kill" else broker.stop()
    half_renamed(broker, "b")
    broker.start()
    asking.again()
    assert directories(broker) == ["b/t-0"]
    assert asking.places("t") == {(b, False)}
    assert asking.produce("t", [b"after"]) == 2


def test_the_current_replica_counts_while_there_is_one_whatever_the_metadata_says(broker):
    """A crash between the record and the first rename; and another one once it has gone on."""
    asking = Asking(broker)
    a, b, _ = asking.dirs
    asking.make("t", a)
    asking.produce("t", [b"before"])
    asking.move("t", b)
    eventually(lambda: asking.places("t") == {(b, False)})
    asking.rate(1)
    broker.kill()
    shutil.copytree(broker.folder / "b" / "t-0", broker.folder / "a" / "t-0")
    half_renamed(broker, "b")
    broker.start()
    asking.again()
    assert (a, False) in asking.places("t")
    assert asking.produce("t", [b"only in a"]) == 1
    broker.kill()
    shutil.rmtree(next((broker.folder / "b").glob("t-0.*-future")))
    broker.start()
    asking.again()
    assert asking.places("t") == {(a, False)}  # the metadata says so, too, or it would be missed
    assert asking.produce("t", [b"goes on"]) == 2


def test_a_future_of_nobody_knows_what_is_left_alone(broker):
    asking = Asking(broker)
    a, b, _ = asking.dirs
    asking.make("t", a)
    asking.produce("t", [b"before"])
    assert broker.stop() == 0
    place = broker.folder / "a" / "t-0"
    shutil.copytree(place, broker.folder / "b" / f"t-0.{'5' * 32}-future")
    shutil.move(place, broker.folder / "elsewhere")
    broker.start()
    assert "belongs to no partition of this broker: left alone" in broker.log()
    assert "b/t-0-future" in directories(broker)


def test_deleted_records_stay_deleted_through_a_move(broker):
    asking = Asking(broker)
    a, b, _ = asking.dirs
    asking.make("t", a)
    for _ in range(5):
        asking.produce("t", [b"gone", b"gone"])
    answer = asking.ask("DeleteRecords", 2, {"topics": [{"name": "t", "partitions": [{"partitionIndex": 0, "offset": 7}]}], "timeoutMs": 30000})
    assert answer["topics"][0]["partitions"][0]["lowWatermark"] == 7
    asking.move("t", b)
    eventually(lambda: asking.places("t") == {(b, False)})
    broker.kill()
    broker.start()
    asking.again()
    answer = asking.ask("ListOffsets", 6, {"replicaId": -1, "topics": [
        {"name": "t", "partitions": [{"partitionIndex": 0, "currentLeaderEpoch": -1, "timestamp": -2}]}]})
    assert answer["topics"][0]["partitions"][0]["offset"] == 7
