#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what one more of each thing costs a broker in resident memory, and writes the table into docs/memory.md.

    bench/memory.py [--write]

A fresh broker for each row; many of the thing are made, and the growth is divided by their number. So a row includes
everything that comes with the thing, allocator and page tables' rounding too.
"""
import argparse
import contextlib
import pathlib
import resource
import struct
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test"))

from harness import batch, raw  # noqa: E402
from harness.broker import Broker  # noqa: E402
from hostile import attacks  # noqa: E402

DOCUMENT = ROOT / "docs" / "memory.md"
FIND_COORDINATOR = 10
BEGIN, END = "<!-- bench/memory.py writes from here -->", "<!-- to here -->"
BOUNDS = {"idle connection": 4096, "idle partition": 8192}


def create_topic(address, name, partitions):
    topic = attacks.string(name) + struct.pack(">ihii", partitions, 1, 0, 0)
    with raw.connect(address, 120) as sock:
        answer = raw.ask(sock, raw.header(attacks.CREATE_TOPICS, 2) + struct.pack(">i", 1) + topic + struct.pack(">ib", 60000, 0))
    assert struct.unpack_from(">h", answer, 4 + 4 + 4 + 2 + len(name)) == (0,), answer


def connections(broker, stack, count):
    return [stack.enter_context(raw.connect(broker.address)) for _ in range(count)]


def idle_connections(broker, stack):
    for sock in connections(broker, stack, 5000):
        raw.ask(sock, raw.header(attacks.API_VERSIONS, 0))
    return 5000


def idle_partitions(broker, stack):
    create_topic(broker.address, b"t", 2000)
    return 2000


def written_partitions(broker, stack):
    create_topic(broker.address, b"t", 1000)
    records = batch.batch([(None, bytes(100))])
    with raw.connect(broker.address) as sock:
        body = struct.pack(">hhii", -1, 1, 30000, 1) + attacks.string(b"t") + struct.pack(">i", 1000)
        body += b"".join(struct.pack(">ii", p, len(records)) + records for p in range(1000))
        raw.ask(sock, raw.header(attacks.PRODUCE, 3) + body)
    return 1000


def group_members(broker, stack):
    sock = stack.enter_context(raw.connect(broker.address))
    raw.ask(sock, raw.header(FIND_COORDINATOR, 0) + attacks.string(b"group-0"))  # makes __consumer_offsets
    for number in range(3000):
        body = attacks.string(b"group-%d" % number) + struct.pack(">ii", 600000, 600000) + attacks.string(b"") + \
            attacks.string(b"consumer") + struct.pack(">i", 1) + attacks.string(b"range") + struct.pack(">i", 100) + bytes(100)
        answer = raw.ask(sock, raw.header(attacks.JOIN_GROUP, 2) + body)
        while struct.unpack_from(">h", answer, 8) != (0,):  # the coordinator is being made
            time.sleep(0.1)
            answer = raw.ask(sock, raw.header(attacks.JOIN_GROUP, 2) + body)
    return 3000


def producer_ids(broker, stack):
    create_topic(broker.address, b"t", 1)
    sock = stack.enter_context(raw.connect(broker.address))
    now_ms = int(time.time() * 1000)
    for _ in range(200):
        requests = [attacks.produce_of(b"t", batch.batch([(None, b"v")], producer_id=producer, producer_epoch=0, base_sequence=0,
                                                         base_timestamp=now_ms))
                    for producer in range(producer_ids.next, producer_ids.next + 100)]
        producer_ids.next += 100
        sock.sendall(b"".join(requests))
        for _ in requests:
            raw.read_frame(sock)
    return 20000


producer_ids.next = 1


def waiting_fetches(broker, stack):
    """Each on a connection of its own, which is in the row too."""
    create_topic(broker.address, b"t", 1)
    for sock in connections(broker, stack, 3000):
        sock.sendall(attacks.fetch_of(b"t", 1, 600000))
    time.sleep(2)
    return 3000


ROWS = (("idle connection", idle_connections), ("idle partition", idle_partitions),
        ("partition that was written to", written_partitions), ("group with one member", group_members),
        ("idempotent producer of a partition", producer_ids), ("connection with a fetch that waits", waiting_fetches))


def measure(make):
    with tempfile.TemporaryDirectory(prefix="ottla-memory-") as folder, contextlib.ExitStack() as stack:
        settings = {"ottla.durability": "page-cache", "socket.listen.backlog.size": "4096", "group.min.session.timeout.ms": "1000", "auto.create.topics.enable": "false"}
        with Broker("ottla", folder, settings) as broker:
            create_topic(broker.address, b"first", 1)
            before = broker.resident_bytes()
            count = make(broker, stack)
            return (broker.resident_bytes() - before) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/memory.md")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    lines, status = ["| one more | bytes | at most |", "|---|---|---|"], 0
    for name, make in ROWS:
        cost, bound = measure(make), BOUNDS.get(name)
        lines.append(f"| {name} | {cost:,.0f} | {f'{bound:,}' if bound else ''} |")
        print(lines[-1], flush=True)
        status |= bound is not None and cost > bound
    if arguments.write:
        text = DOCUMENT.read_text()
        head, tail = text[:text.index(BEGIN) + len(BEGIN)], text[text.index(END):]
        DOCUMENT.write_text(head + "\n" + "\n".join(lines) + "\n" + tail)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
