# SPDX-License-Identifier: Apache-2.0
"""Clients from before message format 2: what they send becomes batches, what they read becomes messages of their format."""
import json
import subprocess

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
