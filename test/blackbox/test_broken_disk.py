# SPDX-License-Identifier: Apache-2.0
"""Reads, writes and syncs that fail with EIO: what clients are told, what goes on, and that nothing acknowledged is lost.

test/harness/faulty_disk.c lets the calls fail; docs/disk-faults.md tells the same as a table.
"""
import os
import pathlib
import struct
import subprocess

import pytest

from harness import batch, raw
from oracle.session import Session

pytestmark = pytest.mark.ottla
ROOT = pathlib.Path(__file__).resolve().parents[2]
NONE, KAFKA_STORAGE_ERROR = 0, 56
REFUSED = -1  # the connection ended instead of an answer


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    made = tmp_path_factory.mktemp("shim") / "faulty_disk.so"
    subprocess.run([os.environ.get("CC", "cc").split()[-1], "-shared", "-fPIC", "-O1", "-o", str(made),
                    str(ROOT / "test" / "harness" / "faulty_disk.c"), "-ldl"], check=True)
    return made


@pytest.fixture
def faults(tmp_path):
    return Faults(tmp_path / "faults")


class Faults:
    def __init__(self, path):
        self.path = path
        self.end()

    def begin(self, call, part):
        ready = self.path.with_suffix(".new")
        ready.write_text(f"{call} {part}\n")
        ready.rename(self.path)

    def end(self):
        self.path.write_text("")


@pytest.fixture
def start(make_broker, shim, faults, tmp_path):
    """A broker on one or two log directories, the first of which holds the metadata."""
    def start_on(directories):
        settings = {"log.dirs": ",".join(str(tmp_path / d) for d in directories), "metadata.log.dir": str(tmp_path / "meta")}
        one = make_broker(settings)
        one.environment = {"LD_PRELOAD": str(shim), "FAULTY_DISK": str(faults.path)}
        return one.start()
    return start_on


def produce(broker, topic, value):
    payload, name = batch.batch([(None, value)]), topic.encode()
    request = (raw.header(0, 3) + struct.pack(">hhi", -1, -1, 30000) + struct.pack(">ih", 1, len(name)) + name +
               struct.pack(">iii", 1, 0, len(payload)) + payload)
    try:
        with raw.connect(broker.address) as sock:
            return struct.unpack_from(">h", raw.ask(sock, request), 4 + 4 + 2 + len(name) + 4 + 4)[0]
    except (raw.Closed, OSError):
        return REFUSED


def fetch_error(broker, topic):
    """Fetch version 4 from offset 0: the error of the partition."""
    name = topic.encode()
    request = (raw.header(1, 4) + struct.pack(">iiiib", -1, 100, 1, 1 << 20, 0) + struct.pack(">ih", 1, len(name)) + name +
               struct.pack(">iiqi", 1, 0, 0, 1 << 20))
    with raw.connect(broker.address) as sock:
        answer = raw.ask(sock, request)
    return struct.unpack_from(">h", answer, 4 + 4 + 4 + 2 + len(name) + 4 + 4)[0]


def values(topic, count):
    return [f"{topic}-{n}".encode() for n in range(count)]


def holds(client, topic, count):
    assert [r["value"] for r in client.read(topic, count)] == values(topic, count)


@pytest.mark.parametrize("call", ("write", "sync"))
def test_the_last_log_directory_fails_and_the_broker_stops(start, faults, make_client, call):
    broker = start(["data"])
    make_client("confluent-kafka", broker).ask("create_topic", topic="t")
    for value in values("t", 20):
        assert produce(broker, "t", value) == NONE
    faults.begin(call, "/t-0/")
    assert produce(broker, "t", b"never acknowledged") in (KAFKA_STORAGE_ERROR, REFUSED)
    assert broker._await_end() != 0
    assert "goes offline" in broker.log() and "cannot go on" in broker.log()
    assert not (broker.folder.parent / "data" / ".kafka_cleanshutdown").exists()
    faults.end()
    broker.start()
    client = make_client("confluent-kafka", broker)
    holds(client, "t", 20)
    assert produce(broker, "t", b"goes on") == NONE
    assert broker.stop() == 0


@pytest.mark.parametrize("call", ("write", "sync"))
def test_one_of_two_log_directories_fails_and_the_other_goes_on(start, faults, make_client, call):
    broker = start(["one", "two"])
    client = make_client("confluent-kafka", broker)
    for topic in ("t", "u"):  # each new partition goes where there are fewest
        client.ask("create_topic", topic=topic)
        for value in values(topic, 20):
            assert produce(broker, topic, value) == NONE
    faults.begin(call, "/t-0/")
    assert produce(broker, "t", b"never acknowledged") == KAFKA_STORAGE_ERROR
    while "has failed: its partitions go offline" not in broker.log():
        pass
    assert fetch_error(broker, "t") == KAFKA_STORAGE_ERROR
    for value in (b"u-20", b"u-21"):
        assert produce(broker, "u", value) == NONE
    holds(client, "u", 22)
    faults.end()
    assert produce(broker, "t", b"never acknowledged") == KAFKA_STORAGE_ERROR  # until the next start
    broker.stop()
    broker.start()
    client = make_client("confluent-kafka", broker)
    holds(client, "t", 20)
    holds(client, "u", 22)
    assert produce(broker, "t", b"goes on") == NONE


def test_a_read_that_fails_is_told_and_the_partition_goes_on(start, faults, make_client):
    broker = start(["data"])
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="t")
    for value in values("t", 20):
        assert produce(broker, "t", value) == NONE
    faults.begin("read", "/t-0/")
    assert fetch_error(broker, "t") == KAFKA_STORAGE_ERROR
    faults.end()
    holds(client, "t", 20)
    assert produce(broker, "t", b"goes on") == NONE
    assert broker.stop() == 0


def test_the_metadata_log_fails_and_the_broker_stops(start, faults, make_client):
    broker = start(["data"])
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="t")
    for value in values("t", 20):
        assert produce(broker, "t", value) == NONE
    faults.begin("sync", "/__cluster_metadata-0/")
    with pytest.raises(Exception):
        client.ask("create_topic", topic="never-made")
    assert broker._await_end() != 0
    faults.end()
    broker.start()
    client = make_client("confluent-kafka", broker)
    holds(client, "t", 20)


@pytest.mark.parametrize("call", ("write", "sync"))
def test_a_partition_stays_where_it_is_when_the_log_directory_it_moves_to_fails(start, faults, make_client, tmp_path, call):
    broker = start(["one", "two"])
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    session = Session(broker.address, "moves")

    def move(to):
        wish = {"path": to, "topics": [{"name": "t", "partitions": [0]}]}
        return session.quietly("AlterReplicaLogDirs", 2, {"dirs": [wish]})["results"][0]["partitions"][0]["errorCode"]

    def told():
        answer = session.quietly("DescribeLogDirs", 4, {"topics": None})
        return {d["logDir"]: (d["errorCode"], [(t["name"], p["isFutureKey"]) for t in d["topics"] if t["name"] == "t" for p in t["partitions"]])
                for d in answer["results"]}
    move(one)  # before it is there
    session.topic("t")
    for value in values("t", 20):
        assert produce(broker, "t", value) == NONE
    faults.begin(call, "-future/0")  # its segments
    assert move(two) == NONE
    while told()[two][0] == NONE:
        pass
    assert told() == {one: (NONE, [("t", False)]), two: (KAFKA_STORAGE_ERROR, [])}
    assert move(two) == KAFKA_STORAGE_ERROR
    faults.end()
    assert produce(broker, "t", b"t-20") == NONE
    holds(make_client("confluent-kafka", broker), "t", 21)
    broker.kill()
    broker.start()
    session.close()
    session = Session(broker.address, "moves")
    while told() != {one: (NONE, []), two: (NONE, [("t", False)])}:  # the next start goes on
        pass
    holds(make_client("confluent-kafka", broker), "t", 21)
    session.close()
