# SPDX-License-Identifier: Apache-2.0
"""What test/clients/README.md asks of every client, with confluent-kafka over an old and a new librdkafka."""
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

ADDRESS, TOPIC = sys.argv[1:3]
GROUP = f"{TOPIC}-group"
BASE = {"bootstrap.servers": ADDRESS}


def done(step):
    print("ok", step, flush=True)


def small(i):
    return b"value-%d" % i


def compressible(i):
    return (b"value-%d " % i) * 50


def produce(writer, first, count, value):
    """The errors of those that were not delivered."""
    failed = []
    for i in range(first, first + count):
        writer.produce(TOPIC, key=b"key-%d" % i, value=value(i), on_delivery=lambda error, _: error and failed.append(error))
    assert writer.flush(60) == 0
    return [error.code() for error in failed]


def consume(count):
    """The next records of the group, committed; their values by key."""
    reader = Consumer({**BASE, "group.id": GROUP, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    reader.subscribe([TOPIC])
    got = {}
    while len(got) < count:
        record = reader.poll(1)
        if record is not None:
            assert record.error() is None, record.error()
            got[record.key()] = record.value()
    reader.commit(asynchronous=False)
    reader.close()
    return got


def administer(admin):
    wanted = NewTopic(TOPIC, 3, 1, config={"max.message.bytes": "4000000"})
    admin.create_topics([wanted])[TOPIC].result()
    done("create")
    try:
        admin.create_topics([wanted])[TOPIC].result()
        raise AssertionError("not refused")
    except KafkaException as error:
        assert error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS, error
        done("refuse")
    assert len(admin.list_topics(TOPIC).topics[TOPIC].partitions) == 3
    done("list")
    of = ConfigResource(ConfigResource.Type.TOPIC, TOPIC)
    assert admin.describe_configs([of])[of].result()["max.message.bytes"].value == "4000000"
    done("describe")


def send(writer):
    assert produce(writer, 0, 300, small) == []
    done("produce")
    for n, codec in enumerate(("gzip", "snappy", "lz4", "zstd")):
        assert produce(Producer({**BASE, "compression.type": codec}), 300 + 50 * n, 50, compressible) == []
    done("codecs")
    large = Producer({**BASE, "message.max.bytes": 8 << 20})
    assert produce(large, 500, 1, lambda _: bytes(3_000_000)) == []
    done("big")
    assert produce(large, 501, 1, lambda _: bytes(5_000_000)) == [KafkaError.MSG_SIZE_TOO_LARGE]
    done("too-large")


def main():
    admin = AdminClient(BASE)
    writer = Producer(BASE)
    administer(admin)
    send(writer)

    got = consume(501)
    for i in range(500):
        assert got[b"key-%d" % i] == (small(i) if i < 300 else compressible(i)), i
    assert len(got[b"key-500"]) == 3_000_000
    done("group")

    print("restart", flush=True)
    sys.stdin.readline()
    assert produce(writer, 600, 10, small) == []
    done("reconnect")
    assert consume(10) == {b"key-%d" % i: small(i) for i in range(600, 610)}
    done("resume")

    admin.list_topics(timeout=10)  # waits for the connection; list_groups gives up when the restart has just cut it
    listed = admin.list_groups(GROUP, timeout=10)
    assert [(g.id, g.state) for g in listed] == [(GROUP, "Empty")], listed
    admin.delete_consumer_groups([GROUP])[GROUP].result()
    done("groups")
    admin.delete_topics([TOPIC])[TOPIC].result()
    while TOPIC in admin.list_topics(timeout=10).topics:
        pass
    done("delete")


main()
