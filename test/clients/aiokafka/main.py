# SPDX-License-Identifier: Apache-2.0
"""What test/clients/README.md asks of every client, with aiokafka."""
import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError, TopicAlreadyExistsError

ADDRESS, TOPIC = sys.argv[1:3]
GROUP = f"{TOPIC}-group"


def done(step):
    print("ok", step, flush=True)


def small(i):
    return b"value-%d" % i


def compressible(i):
    return (b"value-%d " % i) * 50


async def produce(writer, first, count, value):
    sent = [await writer.send(TOPIC, key=b"key-%d" % i, value=value(i)) for i in range(first, first + count)]
    await asyncio.gather(*sent)


async def producer(**more):
    made = AIOKafkaProducer(bootstrap_servers=ADDRESS, **more)
    await made.start()
    return made


async def consume(count):
    """The next records of the group, committed; their values by key."""
    reader = AIOKafkaConsumer(TOPIC, bootstrap_servers=ADDRESS, group_id=GROUP, auto_offset_reset="earliest",
                              enable_auto_commit=False, max_partition_fetch_bytes=8 << 20)
    await reader.start()
    got = {}
    while len(got) < count:
        record = await reader.getone()
        got[record.key] = record.value
    await reader.commit()
    await reader.stop()
    return got


async def administer(admin):
    wanted = [NewTopic(TOPIC, 3, 1, topic_configs={"max.message.bytes": "4000000"})]
    answer = await admin.create_topics(wanted)
    assert answer.topic_errors[0][1] == 0, answer
    done("create")
    answer = await admin.create_topics(wanted)
    assert answer.topic_errors[0][1] == TopicAlreadyExistsError.errno, answer
    done("refuse")
    assert TOPIC in await admin.list_topics()
    assert len((await admin.describe_topics([TOPIC]))[0]["partitions"]) == 3
    done("list")
    described = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, {"max.message.bytes": None})])
    assert described[0].resources[0][4][0][:2] == ("max.message.bytes", "4000000"), described
    done("describe")


async def send(writer):
    await produce(writer, 0, 300, small)
    done("produce")
    for n, codec in enumerate(("gzip", "snappy", "lz4", "zstd")):
        one = await producer(compression_type=codec)
        await produce(one, 300 + 50 * n, 50, compressible)
        await one.stop()
    done("codecs")
    large = await producer(max_request_size=8 << 20)
    await produce(large, 500, 1, lambda _: bytes(3_000_000))
    done("big")
    try:
        await produce(large, 501, 1, lambda _: bytes(5_000_000))
        raise AssertionError("not refused")
    except MessageSizeTooLargeError:
        done("too-large")
    await large.stop()


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=ADDRESS)
    await admin.start()
    await administer(admin)
    writer = await producer()
    await send(writer)

    got = await consume(501)
    for i in range(500):
        assert got[b"key-%d" % i] == (small(i) if i < 300 else compressible(i)), i
    assert len(got[b"key-500"]) == 3_000_000
    done("group")

    print("restart", flush=True)
    sys.stdin.readline()
    await produce(writer, 600, 10, small)
    await writer.stop()
    done("reconnect")
    got = await consume(10)
    assert got == {b"key-%d" % i: small(i) for i in range(600, 610)}
    done("resume")

    await admin.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=ADDRESS)  # its connection ended with the broker of before
    await admin.start()
    described = await admin.describe_consumer_groups([GROUP])
    assert described[0].groups[0][2] == "Empty", described
    assert any(name == GROUP for name, *_ in await admin.list_consumer_groups())
    done("groups")
    await admin.delete_topics([TOPIC])
    while TOPIC in await admin.list_topics():
        await asyncio.sleep(0.1)
    done("delete")
    await admin.close()


asyncio.run(main())
