# SPDX-License-Identifier: Apache-2.0
"""A full disk, on real file systems: producers are refused, everybody else goes on, and nothing acknowledged is lost.

The file systems are small ones that the tests mount, so they need root or a sudo that asks for no password. A filler file
takes the space that another program on the machine would take.
"""
import os
import subprocess
import time

import pytest

from harness import batch
from oracle.session import Session

pytestmark = pytest.mark.ottla

KAFKA_STORAGE_ERROR, NONE = 56, 0
MIB = 1 << 20
SIZE_MIB = 24
BATCH_BYTES = 200_000
SETTINGS = {"log.segment.bytes": str(2 * MIB), "log.index.size.max.bytes": "65536", "log.cleaner.backoff.ms": "50"}
PATIENCE_S = 60


def as_root(*command):
    before = [] if os.geteuid() == 0 else ["sudo", "-n"]
    done = subprocess.run([*before, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"


@pytest.fixture(params=("tmpfs", "ext4"))
def disk(request, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "tmpfs":
        as_root("mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=777", "tmpfs", str(folder))
    else:
        image = tmp_path / "image"
        with open(image, "wb") as file:
            file.truncate(SIZE_MIB * MIB)
        as_root("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "root_owner=%d:%d" % (os.geteuid(), os.getegid()), str(image))
        as_root("mount", "-o", "loop", str(image), str(folder))
    yield folder
    as_root("umount", str(folder))


def until(holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Producer:
    """Idempotent by hand: one batch of one record at a time, the same one again until it is taken."""

    def __init__(self, broker, topic):
        self.topic, self.taken = topic, 0
        self.connect(broker)
        answer = self.session.main.ask("InitProducerId", 1, {"transactionalId": None, "transactionTimeoutMs": 60000})
        self.id, self.epoch = answer["producerId"], answer["producerEpoch"]

    def connect(self, broker):
        self.session = Session(broker.address, self.topic)

    def value(self, number):
        return b"%09d" % number + os.urandom(BATCH_BYTES)

    def send(self):
        """The error; what is taken goes behind what was taken before."""
        records = batch.batch([(None, self.value(self.taken))], producer_id=self.id, producer_epoch=self.epoch,
                              base_sequence=self.taken)
        answer = self.session.main.ask("Produce", 9, {"transactionalId": None, "acks": -1, "timeoutMs": 30000, "topicData": [
            {"name": self.topic, "partitionData": [{"index": 0, "records": records}]}]})
        told = answer["responses"][0]["partitionResponses"][0]
        if told["errorCode"] == NONE:
            assert told["baseOffset"] == self.taken
            self.taken += 1
        else:
            assert told["baseOffset"] == -1
        self.message = told["errorMessage"]
        return told["errorCode"]

    def send_until(self, error):
        """Never waits on success, and a moment between refusals."""
        deadline = time.monotonic() + PATIENCE_S
        while (told := self.send()) != error:
            assert told in (NONE, KAFKA_STORAGE_ERROR)
            assert time.monotonic() < deadline, f"still {told} instead of {error}"
            if told != NONE:
                time.sleep(0.1)


def fill(path, keep_bytes=0):
    """Takes what is left on the disk, but for so much."""
    piece = bytes(64 * 1024)
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                room = os.statvfs(path)
                if room.f_bavail * room.f_frsize <= keep_bytes:
                    return
                file.write(piece)
        except OSError as error:
            assert error.errno == 28


def numbers_read(client, topic, count):
    return [int(record["value"][:9]) for record in client.read(topic, count)]


@pytest.fixture
def broker(disk, make_broker, tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "data").symlink_to(disk)
    return make_broker(SETTINGS, folder).start() if not (disk / "lost+found").exists() else start_on(disk, make_broker, folder)


def start_on(disk, make_broker, folder):
    (folder / "data").unlink()
    (disk / "data").mkdir()
    (folder / "data").symlink_to(disk / "data")
    return make_broker(SETTINGS, folder).start()


@pytest.mark.parametrize("clean", (True, False), ids=("stopped", "killed"))
def test_producers_fill_the_disk_and_the_broker_keeps_its_books(broker, disk, make_client, clean):
    """The reserve is kept: topics are made, offsets committed, the broker stops and starts; with space all goes on."""
    fill(disk / "filler", 10 * MIB)
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="full")
    producer = Producer(broker, "full")
    producer.send_until(KAFKA_STORAGE_ERROR)
    assert "full" in producer.message and producer.taken > 20
    assert "ottla.disk.reserve.bytes" in broker.log()
    assert numbers_read(client, "full", producer.taken) == list(range(producer.taken))
    client.ask("create_topic", topic="another")
    client.ask("consumer", name="c", group="readers", topics=["full"])
    assert len(client.poll("c", 5)) == 5
    client.ask("commit", name="c")
    assert client.ask("committed", name="c", topic="full", partition=0) == 5
    client.close()
    broker.restart(clean)
    producer.connect(broker)
    client = make_client("confluent-kafka", broker)
    assert {"full", "another"} <= set(client.ask("topics"))
    assert producer.send() == KAFKA_STORAGE_ERROR
    assert numbers_read(client, "full", producer.taken) == list(range(producer.taken))
    (disk / "filler").unlink()
    producer.send_until(NONE)
    assert numbers_read(client, "full", producer.taken) == list(range(producer.taken))
    assert client.ask("offsets", topic="full", partition=0) == [0, producer.taken]


def test_a_write_that_finds_no_space_leaves_the_log_as_it_was(broker, disk, make_client):
    """Another program takes the last byte between two looks: the write itself fails, and may be tried again."""
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="full")
    producer = Producer(broker, "full")
    for _ in range(3):
        for _ in range(5):
            producer.send_until(NONE)
        fill(disk / "filler")
        producer.send_until(KAFKA_STORAGE_ERROR)
        assert numbers_read(client, "full", producer.taken) == list(range(producer.taken))
        (disk / "filler").unlink()
    producer.send_until(NONE)
    assert numbers_read(client, "full", producer.taken) == list(range(producer.taken))
    broker.restart(clean=False)
    client = make_client("confluent-kafka", broker)
    assert numbers_read(client, "full", producer.taken) == list(range(producer.taken))


def stored(folder):
    return sum(path.stat().st_size for path in folder.glob("*.log"))


def test_compaction_waits_for_the_space_that_it_needs(broker, disk, make_client):
    """Old and new files lie side by side until the end: who has room for that is compacted, the others once they have."""
    client = make_client("confluent-kafka", broker)
    session = Session(broker.address, "compaction")
    sizes = {"large": 7 * MIB, "small": 3 * MIB // 2}
    for topic, size in sizes.items():
        client.ask("create_topic", topic=topic, configs={"segment.bytes": str(MIB), "min.cleanable.dirty.ratio": "0"})
        client.produce(topic, [(b"key", os.urandom(size // 20)) for _ in range(20)], options={"batch.size": 1})
    fill(disk / "filler", SIZE_MIB * MIB // 16 + 3 * MIB)
    session.main.ask("IncrementalAlterConfigs", 1, {"validateOnly": False, "resources": [
        {"resourceType": 2, "resourceName": topic, "configs": [{"name": "cleanup.policy", "configOperation": 0, "value": "compact"}]}
        for topic in sizes]})
    (data,) = {path.parent for path in disk.glob("**/large-0")}
    until(lambda: stored(data / "small-0") < sizes["small"] / 2)
    assert stored(data / "large-0") >= sizes["large"]
    (disk / "filler").unlink()
    until(lambda: stored(data / "large-0") < sizes["large"] / 2)
    assert len(client.read("large", 1)) == 1
    session.close()
