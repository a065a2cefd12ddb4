# SPDX-License-Identifier: Apache-2.0
"""15,000 connections at once: each is answered, idle ones cost little, and nobody's answer is another's."""
import contextlib
import resource
import select
import struct

import pytest

from harness import raw

pytestmark = pytest.mark.ottla

CONNECTIONS, SPARE_DESCRIPTORS = 15000, 2000
IDLE_BYTES_MAX = 4096
API_VERSIONS = 18


@pytest.fixture
def descriptors():
    """As many as there may be, for this process and for the broker that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= CONNECTIONS + SPARE_DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def socks(descriptors):
    with contextlib.ExitStack() as stack:
        yield stack


def ask_all(socks, round_number):
    """Every connection asks before any answer is looked at; each gets the answer to its own question."""
    for number, sock in enumerate(socks):
        sock.sendall(raw.frame(raw.header(API_VERSIONS, 0, correlation_id=number * 7 + round_number)))
    by_descriptor = {sock.fileno(): number for number, sock in enumerate(socks)}
    waiting = select.epoll()
    for descriptor in by_descriptor:
        waiting.register(descriptor, select.EPOLLIN)
    while by_descriptor:
        events = waiting.poll(raw.TIMEOUT_S)
        assert events, f"{len(by_descriptor)} connections are not answered"
        for descriptor, _ in events:
            number = by_descriptor.pop(descriptor)
            waiting.unregister(descriptor)
            answer = raw.read_frame(socks[number])
            assert struct.unpack_from(">ih", answer) == (number * 7 + round_number, 0)
    waiting.close()


def test_fifteen_thousand_connections_are_all_served_and_cost_little_when_idle(make_broker, socks):
    broker = make_broker({"socket.listen.backlog.size": "4096"}).start()
    with raw.connect(broker.address) as sock:
        ask_all([sock], 0)
    before = broker.resident_bytes()
    many = [socks.enter_context(raw.connect(broker.address)) for _ in range(CONNECTIONS)]
    ask_all(many, 1)
    cost = (broker.resident_bytes() - before) / CONNECTIONS
    assert cost <= IDLE_BYTES_MAX, f"an idle connection costs {cost:.0f} bytes"
    ask_all(many[::-1], 2)
