# SPDX-License-Identifier: Apache-2.0
"""Old segments go, by size and by time; what is left is read from the new first offset."""
import os
import time

from test_main_job import eventually

SETTINGS = {"log.retention.check.interval.ms": "300", "log.initial.task.delay.ms": "300", "log.segment.delete.delay.ms": "100"}
SEGMENT_BYTES = 1 << 20
VALUE_BYTES = 100_000


def fill(client, topic, count, **more):
    client.produce(topic, [{"value": os.urandom(VALUE_BYTES), **more} for _ in range(count)])


def settled(client, topic, least):
    """The first offset, once it is at least so much and several looks of the broker's have left it there."""
    seen = []

    def stands():
        seen.append(client.ask("offsets", topic=topic, partition=0)[0])
        time.sleep(0.2)
        return seen[-1] >= least and len(seen) >= 6 and len(set(seen[-6:])) == 1
    assert eventually(stands), seen[-6:]
    return seen[-1]


def test_a_log_over_its_size_loses_its_oldest_segments(make_broker, make_client):
    broker = make_broker(SETTINGS).start()
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="sized", configs={"segment.bytes": str(SEGMENT_BYTES), "retention.bytes": str(3 * SEGMENT_BYTES)})
    fill(client, "sized", 100)
    first, end = settled(client, "sized", 51), client.ask("offsets", topic="sized", partition=0)[1]
    assert end == 100
    assert (end - first) * VALUE_BYTES >= 3 * SEGMENT_BYTES - VALUE_BYTES
    got = client.read("sized", end - first)
    assert [r["offset"] for r in got] == list(range(first, end))


def test_records_older_than_the_retention_time_go(make_broker, make_client):
    broker = make_broker(SETTINGS).start()
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="timed", configs={"segment.bytes": str(SEGMENT_BYTES), "retention.ms": "3600000"})
    fill(client, "timed", 30, timestamp=1600000000000)
    fill(client, "timed", 30)
    first, end = settled(client, "timed", 20), client.ask("offsets", topic="timed", partition=0)[1]
    assert first <= 30 and end == 60
    assert [r["offset"] for r in client.read("timed", end - first)] == list(range(first, end))


def test_files_of_removed_segments_leave_the_directory(make_broker, make_client):
    broker = make_broker(SETTINGS).start()
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="sized", configs={"segment.bytes": str(SEGMENT_BYTES), "retention.bytes": str(SEGMENT_BYTES)})
    fill(client, "sized", 60)
    folder = broker.data / "sized-0"

    def stored():
        try:
            return sum(f.stat().st_size for f in folder.glob("*.log*"))
        except FileNotFoundError:  # gone since it was listed
            return stored()
    assert eventually(lambda: stored() < 4 * SEGMENT_BYTES)


def test_a_deleted_topic_leaves_the_directory(make_broker, make_client):
    broker = make_broker({**SETTINGS, "log.segment.delete.delay.ms": "100", "file.delete.delay.ms": "100"}).start()
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="gone", configs={"file.delete.delay.ms": "100"})
    fill(client, "gone", 5)
    assert (broker.data / "gone-0").is_dir()
    client.ask("delete_topic", topic="gone")
    assert eventually(lambda: not list(broker.data.glob("gone*")))
