# SPDX-License-Identifier: Apache-2.0
"""Clients from before message format 2: what they send becomes batches, what they read becomes messages of their format."""
import json
import subprocess
import sys

import pytest

from harness.clients import OLD_PYTHON

pytestmark = pytest.mark.ottla

OLD = """
import json, sys
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
address, version, codec, topic = sys.argv[1], tuple(map(int, sys.argv[2].split("."))), sys.argv[3], sys.argv[4]
common = {"bootstrap_servers": address, "api_version": version}
producer = KafkaProducer(compression_type=None if codec == "none" else codec, linger_ms=100, retries=5, **common)
sent = [producer.send(topic, key=b"k%d" % n, value=b"old %d " % n + b"x" * n, partition=0) for n in range(200)]
producer.flush()
offsets = [s.get(60).offset for s in sent]
consumer = KafkaConsumer(auto_offset_reset="earliest", group_id="old-" + topic, enable_auto_commit=False, **common)
where = TopicPartition(topic, 0)
consumer.assign([where])
got = []
while len(got) < 250:
    for records in consumer.poll(500).values():
        got += [[r.offset, r.key.decode(), r.value.decode(), r.timestamp] for r in records]
consumer.commit()
print(json.dumps({"offsets": offsets, "got": got, "committed": consumer.committed(where),
                  "end": consumer.position(where)}))
"""


def old_client(address, version, codec, topic):
    done = subprocess.run([str(OLD_PYTHON), "-W", "ignore", "-c", OLD, address, version, codec, topic], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("codec", ("none", "gzip", "snappy", "lz4"))
@pytest.mark.parametrize("version", ("0.9", "0.10"))
def test_an_old_kafka_python_writes_and_reads_beside_a_new_client(broker, make_client, topic, version, codec):
    """Fifty records with headers by a client of today, then two hundred by the old one: both read all."""
    new = make_client("confluent-kafka", broker)
    new.ask("create_topic", topic=topic, partitions=1)
    first = [{"partition": 0, "key": b"k%d" % n, "value": b"new %d" % n, "headers": [("h", b"1")]} for n in range(50)]
    new.produce(topic, first, options={"linger_ms": 100, "compression_type": codec})
    told = old_client(broker.address, version, codec, topic)
    assert told["offsets"] == list(range(50, 250))
    assert told["committed"] == told["end"] == 250
    wanted = [(f"k{n}", f"new {n}") for n in range(50)] + [(f"k{n}", f"old {n} " + "x" * n) for n in range(200)]
    assert [(o, k, v) for o, k, v, _ in told["got"]] == [(n, *w) for n, w in enumerate(wanted)]
    assert all((t is None or t == -1) if version == "0.9" else t > 0 for _, _, _, t in told["got"])
    read = new.ask("read_to_end", partitions=[[topic, 0]])
    assert [r["offset"] for r in read] == list(range(250))


FALLBACK = """
import json, sys
from confluent_kafka import Consumer, Producer
address, version, codec, topic = sys.argv[1:]
common = {"bootstrap.servers": address, "api.version.request": False, "broker.version.fallback": version}
producer, offsets = Producer({**common, "compression.codec": codec, "linger.ms": 100}), []
def told(error, message):
    assert error is None, error
    offsets.append(message.offset())
for n in range(100):
    producer.produce(topic, key=b"k%d" % n, value=b"old %d " % n + b"x" * n, partition=0, on_delivery=told)
assert producer.flush(60) == 0
def read(count):
    consumer = Consumer({**common, "group.id": "g-" + topic, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    got = []
    while len(got) < count:
        for message in consumer.consume(count - len(got), 0.5):
            assert message.error() is None, message.error()
            got.append([message.offset(), message.key().decode(), message.value().decode()])
    consumer.commit(message=message, asynchronous=False)
    consumer.close()
    return got
got = read(70)
print(json.dumps({"offsets": sorted(offsets), "got": got + read(30)}))
"""


@pytest.mark.parametrize("codec", ("none", "gzip", "snappy", "lz4"))
@pytest.mark.parametrize("version", ("0.9.0", "0.10.0"))
def test_librdkafka_that_takes_the_broker_for_an_old_one_goes_on_where_its_group_stood(broker, make_client, topic, version, codec):
    """It asks for no versions: messages of format 0 or 1 both ways, a group by the first versions, a commit, another member."""
    make_client("confluent-kafka", broker).ask("create_topic", topic=topic, partitions=1)
    done = subprocess.run([sys.executable, "-c", FALLBACK, broker.address, version, codec, topic], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["offsets"] == list(range(100))
    assert told["got"] == [[n, f"k{n}", f"old {n} " + "x" * n] for n in range(100)]
