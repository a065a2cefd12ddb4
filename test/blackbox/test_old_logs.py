# SPDX-License-Identifier: Apache-2.0
"""Logs from before Kafka 0.11 (message formats 0 and 1, beside batches in one of them): clients of today and of then read
them, times and committed offsets are found, new records follow, and the tools look into them."""
import json
import os
import pathlib
import subprocess

import pytest

from harness import old_logs
from harness.clients import OLD_PYTHON, ROOT, decode
from harness.questions import committed, end, start

OTTLA = os.environ.get("OTTLA", str(ROOT / "build" / "ottla"))
NO_TIME = (None, -1, 0)
NEW_MS = 1_700_000_000_000


@pytest.fixture
def old_broker(make_broker, make_client):
    def make(indexed=True):
        broker = make_broker(old_logs.SETTINGS).start()
        old_logs.make_topics(make_client("confluent-kafka", broker))
        broker.stop()
        old_logs.put(broker.data, indexed)
        return broker.start()
    return make


def read(client, topic):
    return [(r["offset"], None if r["timestamp"] in NO_TIME else r["timestamp"], r["key"], r["value"])
            for r in decode(client.ask("read_to_end", partitions=[[topic, 0]]))]


@pytest.mark.parametrize("indexed", (True, False), ids=("stopped", "killed"))
def test_a_client_of_today_reads_old_logs_and_appends_to_them(old_broker, make_client, indexed):
    broker = old_broker(indexed)
    client = make_client("confluent-kafka", broker)
    assert committed(broker.address, old_logs.GROUP) == old_logs.POSITION
    for topic, told in old_logs.OLD.items():
        assert (start(broker.address, topic, 0), end(broker.address, topic, 0)) == (0, told["end"])
        assert read(client, topic) == old_logs.records(topic)
    for offset, time, _, _ in old_logs.records("old-1"):
        assert client.ask("offset_for_time", topic="old-1", partition=0, timestamp=time)[0] == offset
    for topic in old_logs.OLD:
        client.produce(topic, [{"partition": 0, "key": b"new", "value": b"record", "timestamp": NEW_MS}])
    broker.restart(clean=not indexed)
    for topic, told in old_logs.OLD.items():
        assert read(client, topic) == [*old_logs.records(topic), (told["end"], NEW_MS, b"new", b"record")]
    assert committed(broker.address, old_logs.GROUP) == old_logs.POSITION


OLD_READER = """
import json, sys
from kafka import KafkaConsumer, TopicPartition
address, version, topic, end = sys.argv[1], tuple(map(int, sys.argv[2].split("."))), sys.argv[3], int(sys.argv[4])
consumer = KafkaConsumer(bootstrap_servers=address, api_version=version, auto_offset_reset="earliest", enable_auto_commit=False)
where, got = TopicPartition(topic, 0), []
consumer.assign([where])
while not got or got[-1][0] < end - 1:
    for records in consumer.poll(500).values():
        got += [[r.offset, r.timestamp, r.key.decode(), None if r.value is None else r.value.decode()] for r in records]
print(json.dumps(got))
"""


@pytest.mark.ottla
@pytest.mark.parametrize("version", ("0.9", "0.10"))
def test_clients_of_then_read_old_logs(old_broker, version):
    broker = old_broker()
    for topic in old_logs.OLD:
        last = old_logs.records(topic)[-1][0]
        done = subprocess.run([str(OLD_PYTHON), "-W", "ignore", "-c", OLD_READER, broker.address, version, topic, str(last + 1)],
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        got = [(o, None if version == "0.9" or t in NO_TIME else t, k.encode(), None if v is None else v.encode())
               for o, t, k, v in json.loads(done.stdout)]
        assert got == [(o, None if version == "0.9" else t, k, v) for o, t, k, v in old_logs.records(topic)]


def tool(*arguments):
    done = subprocess.run([OTTLA, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.ottla
def test_the_tools_look_into_old_logs(old_broker):
    broker = old_broker()
    broker.stop()
    status, out, err = tool("verify", broker.data)
    assert status == 0, out + err
    for topic in old_logs.OLD:
        got = []
        for log in sorted((broker.data / f"{topic}-0").glob("*.log")):
            status, out, err = tool("dump", "--json", log)
            assert status == 0, err
            got += [item for item in map(json.loads, out.splitlines()) if item["kind"] == "record"]
        assert [(r["offset"], r["key"], r["value"]) for r in got] == \
            [(o, k.decode(), None if v is None else v.decode()) for o, _, k, v in old_logs.records(topic)]
    damage(sorted((broker.data / "old-1-0").glob("*.log"))[0])
    status, out, err = tool("verify", broker.data)
    assert status != 0 and "CRC of the batch at offset" in out + err


def damage(path):
    content = bytearray(pathlib.Path(path).read_bytes())
    content[30] ^= 0xFF  # in the first message's key
    pathlib.Path(path).write_bytes(content)
