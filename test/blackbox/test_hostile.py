# SPDX-License-Identifier: Apache-2.0
"""Hostile bytes cost their sender only: an error or a closed connection, while an honest client notices nothing.

After every attack the honest client of the module sends and reads one more record over the connections that it has had
since before the first attack, and the broker is still the same process.
"""
import random
import socket
import struct

import pytest

from harness import raw

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, JOIN_GROUP, API_VERSIONS, CREATE_TOPICS = 0, 1, 2, 3, 8, 11, 18, 19
UNSUPPORTED_VERSION = 35
GIB = 1 << 30
SEED = 20240607


class Honest:
    def __init__(self, client, topic):
        self.client, self.topic, self.sent = client, topic, 0
        client.ask("create_topic", topic=topic)
        client.ask("consumer", name="honest", assign=[[topic, 0]])

    def notices_nothing(self):
        value = b"honest-%d" % self.sent
        assert self.client.produce(self.topic, [value], producer="honest") == [[0, self.sent]]
        got = self.client.poll("honest", 1)
        assert [(r["offset"], r["value"]) for r in got] == [(self.sent, value)]
        self.sent += 1


@pytest.fixture(scope="module")
def honest(broker):
    from harness.clients import Client
    client = Client("confluent-kafka", broker.address)
    yield Honest(client, "honest")
    client.close()


@pytest.fixture(autouse=True)
def others_notice_nothing(broker, honest):
    pid = broker.pid
    honest.notices_nothing()
    yield
    assert broker.pid == pid and broker.alive()
    honest.notices_nothing()


def attack(broker, payload, half_close=True):
    """Sends bytes and gives what came back until the broker closed; a broker that keeps waiting fails the test."""
    with raw.connect(broker.address) as sock:
        try:
            sock.sendall(payload)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            return b""
        answer = b""
        while True:
            try:
                part = sock.recv(65536)
            except ConnectionResetError:
                return answer
            if not part:
                return answer
            answer += part


def test_random_bytes_are_closed_on(broker):
    chance = random.Random(SEED)
    for _ in range(50):
        attack(broker, chance.randbytes(chance.randrange(1, 2000)))


def test_random_bodies_behind_every_key_and_version(broker):
    chance = random.Random(SEED + 1)
    for key in range(93):
        for version in (0, 1, 3, 9, 12):
            body = raw.header(key, version) + chance.randbytes(chance.randrange(0, 200))
            attack(broker, raw.frame(body))


@pytest.mark.parametrize("size", (-1, -(1 << 31), 0, 1, 7, 2 * GIB - 1, 100 * (1 << 20) + 1))
def test_an_impossible_frame_length_closes_the_connection(broker, size):
    attack(broker, struct.pack(">i", size) + b"x" * max(0, min(size, 64)))


def test_a_length_of_two_gib_costs_no_memory(broker):
    before = broker.resident_bytes()
    socks = [raw.connect(broker.address) for _ in range(20)]
    for sock in socks:
        sock.sendall(struct.pack(">i", 2 * GIB - 1) + b"x" * 1000)
    with raw.connect(broker.address) as sock:
        raw.ask(sock, raw.header(API_VERSIONS, 0))
    assert broker.resident_bytes() - before < 64 << 20
    for sock in socks:
        sock.close()


def test_a_frame_cut_anywhere_is_dropped(broker):
    whole = raw.frame(raw.header(METADATA, 1) + struct.pack(">ih", 1, 5) + b"cut-0")
    for end in range(1, len(whole)):
        assert attack(broker, whole[:end]) == b""


COUNTS = {
    "metadata": (METADATA, 1, b""),
    "create topics": (CREATE_TOPICS, 2, b""),
    "list offsets": (LIST_OFFSETS, 1, struct.pack(">i", -1)),
    "produce": (PRODUCE, 3, struct.pack(">hhi", -1, 1, 1000)),
    "fetch": (FETCH, 4, struct.pack(">iiiib", -1, 100, 1, 1000, 0)),
    "offset commit": (OFFSET_COMMIT, 2, struct.pack(">h", 1) + b"g" + struct.pack(">ihq", -1, 0, -1)),
    "join group": (JOIN_GROUP, 2, struct.pack(">h", 1) + b"g" + struct.pack(">iihh", 6000, 6000, 0, 1) + b"c"),
}


@pytest.mark.parametrize("count", (2, 1000, 0x7FFFFFFF))
@pytest.mark.parametrize("what", COUNTS)
def test_a_count_larger_than_the_frame_closes_the_connection(broker, what, count):
    key, version, start = COUNTS[what]
    assert attack(broker, raw.frame(raw.header(key, version) + start + struct.pack(">i", count))) == b""


@pytest.mark.parametrize("size", (-2, 1000, 0x7FFF))
def test_a_string_longer_than_the_frame_closes_the_connection(broker, size):
    assert attack(broker, raw.frame(raw.header(METADATA, 1) + struct.pack(">ih", 1, size) + b"abc")) == b""


def test_a_flexible_count_of_endless_bytes_closes_the_connection(broker):
    """An unsigned varint that never ends, and tagged fields by the million, in Metadata version 9."""
    start = raw.header(METADATA, 9) + b"\0"
    for body in (b"\xff" * 20, b"\x01\x00\x00\x00" + b"\xff\xff\xff\xff\x07", b"\x01\x00\x00\x00\x01\x05\xff\xff\xff\xff\x07"):
        assert attack(broker, raw.frame(start + body)) == b""


@pytest.mark.parametrize("key", (-1, 93, 200, 32767, -32768))
def test_an_unknown_api_key_closes_the_connection(broker, key):
    assert attack(broker, raw.frame(raw.header(key, 0))) == b""


@pytest.mark.parametrize("key,version", ((METADATA, 99), (FETCH, 19), (CREATE_TOPICS, 8), (CREATE_TOPICS, -1), (PRODUCE, 14), (METADATA, -1)))
def test_an_unknown_version_closes_the_connection(broker, key, version):
    assert attack(broker, raw.frame(raw.header(key, version) + b"\0" * 40)) == b""


@pytest.mark.parametrize("version", (5, 99, 32767))
def test_an_unknown_version_of_api_versions_is_answered_as_version_0_with_what_is_known(broker, version):
    with raw.connect(broker.address) as sock:
        answer = raw.ask(sock, raw.header(API_VERSIONS, version, correlation_id=77) + b"\0\x02a\x02b\0")
    correlation, error, count = struct.unpack_from(">ihi", answer)
    assert (correlation, error, count) == (77, UNSUPPORTED_VERSION, 1)
    assert struct.unpack_from(">hhh", answer, 10) == (API_VERSIONS, 0, 4)


def test_a_tls_hello_is_closed_on(broker):
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(range(190))
    assert attack(broker, hello) == b""


def test_an_http_request_is_closed_on(broker):
    assert attack(broker, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""


def test_bytes_flipped_in_an_honest_produce_never_harm_others(broker, honest, kind):
    """Each byte of a Produce with one batch flipped in turn: refused, stored whole, or closed on."""
    batch = honest_batch(b"flipped")
    topic = b"flipped"
    whole = raw.header(PRODUCE, 3) + struct.pack(">hhiih", -1, 1, 1000, 1, len(topic)) + topic + \
        struct.pack(">iii", 1, 0, len(batch)) + batch
    honest.client.ask("create_topic", topic="flipped")
    records_size_at = len(whole) - len(batch) - 4
    for at in range(8, len(whole)):
        if kind == "kafka" and at == records_size_at:
            continue  # null records: Kafka neither answers nor closes
        attack(broker, raw.frame(whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1:]))


def honest_batch(value):
    from harness.batch import batch
    return batch([(None, value)])


def test_many_connections_that_say_nothing_do_not_stop_others(broker, honest):
    socks = [raw.connect(broker.address) for _ in range(300)]
    honest.notices_nothing()
    for sock in socks:
        sock.close()


def test_a_client_that_never_reads_its_answers_does_not_stop_others(broker, honest):
    """It asks for everything, thousands of times, and its receive window fills up."""
    with raw.connect(broker.address, 2) as sock:
        request = raw.frame(raw.header(METADATA, 1) + struct.pack(">i", -1))
        try:
            for _ in range(200):
                sock.sendall(request * 50)
        except (socket.timeout, ConnectionError):
            pass
        honest.notices_nothing()
