# SPDX-License-Identifier: Apache-2.0
"""What a broker says it has, asked frame by frame: topics, ends, committed offsets, groups. For Ottla and Kafka alike."""
import struct
import time

from harness import raw

LOADING = (14,)  # COORDINATOR_LOAD_IN_PROGRESS
UNLED = (3, 5, 6)  # UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER
EARLIEST, LATEST = -2, -1
UNCOMMITTED, COMMITTED = 0, 1
WAIT_S = 60


class Answer:
    """Takes fields off the front; compact lengths below 128 alone."""

    def __init__(self, content):
        self.content, self.at = content, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.content, self.at)
        self.at += struct.calcsize(">" + form)
        return values if len(values) != 1 else values[0]

    def text(self):
        size = self.take("h")
        self.at += max(size, 0)
        return None if size < 0 else self.content[self.at - size:self.at].decode()

    def small(self):
        number = self.take("B")
        assert number < 128
        return number

    def compact_text(self):
        size = self.small() - 1
        self.at += size
        return self.content[self.at - size:self.at].decode()

    def each(self, read):
        return [read() for _ in range(self.take("i"))]


def ask(address, key, version, body):
    with raw.connect(address) as sock:
        answer = Answer(raw.ask(sock, raw.header(key, version) + body))
    answer.take("i")  # correlation id
    return answer


def topics(address):
    """Metadata 7: {topic: [leader epoch of each partition]}; every partition has a leader."""
    answer = ask(address, 3, 7, struct.pack(">ib", -1, 0))
    answer.take("i")
    answer.each(lambda: (answer.take("i"), answer.text(), answer.take("i"), answer.text()))
    answer.text()
    answer.take("i")

    def partition():
        error, index, leader, epoch = answer.take("hiii")
        for _ in range(3):
            answer.each(lambda: answer.take("i"))
        assert error == 0 and leader >= 0
        return index, epoch

    def topic():
        assert answer.take("h") == 0
        name, _ = answer.text(), answer.take("b")
        return name, [epoch for _, epoch in sorted(answer.each(partition))]
    return dict(answer.each(topic))


def list_offsets(address, topic, partition, timestamp, isolation=UNCOMMITTED):
    """ListOffsets 2: error, timestamp, offset."""
    name = topic.encode()
    answer = ask(address, 2, 2, struct.pack(">ibih", -1, isolation, 1, len(name)) + name +
                 struct.pack(">iiq", 1, partition, timestamp))
    answer.take("ii")
    answer.text()
    answer.take("ii")
    return answer.take("hqq")


def offset_at(address, topic, partition, timestamp, isolation=UNCOMMITTED):
    """Once the partition is led: Kafka tells a leader in Metadata before it is one."""
    def question():
        error, _, offset = list_offsets(address, topic, partition, timestamp, isolation)
        return error, offset
    return until_taken_up(question, UNLED)


def end(address, topic, partition, isolation=UNCOMMITTED):
    return offset_at(address, topic, partition, LATEST, isolation)


def start(address, topic, partition):
    return offset_at(address, topic, partition, EARLIEST)


def until_taken_up(question, not_yet):
    deadline = time.monotonic() + WAIT_S
    while True:
        error, result = question()
        if error not in not_yet:
            assert error == 0, error
            return result
        assert time.monotonic() < deadline
        time.sleep(0.05)


def committed(address, group):
    """OffsetFetch 5 for all topics: {topic-partition: offset, leader epoch, metadata}."""
    def question():
        answer = ask(address, 9, 5, struct.pack(">h", len(group)) + group.encode() + struct.pack(">i", -1))
        answer.take("i")
        found = {}

        def partition(topic):
            number, offset, epoch = answer.take("iqi")
            found[f"{topic}-{number}"] = {"offset": offset, "leader_epoch": epoch, "metadata": answer.text()}
            assert answer.take("h") == 0

        def topic():
            name = answer.text()
            answer.each(lambda: partition(name))
        answer.each(topic)
        return answer.take("h"), found
    return until_taken_up(question, LOADING)


def groups(address):
    """ListGroups 5: {group: (protocol, state, type)}, once every coordinator has read its log."""
    def question():
        answer = ask(address, 16, 5, b"\0" + b"\1\1" + b"\0")
        answer.take("bi")
        error, found = answer.take("h"), {}
        for _ in range(answer.small() - 1):
            group = answer.compact_text()
            found[group] = (answer.compact_text(), answer.compact_text(), answer.compact_text())
            assert answer.small() == 0
        return error, found
    return until_taken_up(question, LOADING)
