# SPDX-License-Identifier: Apache-2.0
"""What an acknowledgement promises, seen from below: between the write of a batch and its reply lies a completed fdatasync.

strace writes down the broker's calls in the order in which they began and ended. A connection of our own carries nothing
but Produce, one request at a time, so each send on it is the reply to the batch before. In page-cache mode the same
observer must find replies without a sync: it can tell the two apart.
"""
import re
import signal
import struct
import subprocess
import time

import pytest

from harness import batch, raw

pytestmark = pytest.mark.ottla

ROUNDS = 25
WRITES, SYNCS, SENDS = {"pwritev", "pwrite64", "pwritev2", "write"}, {"fdatasync", "fsync", "syncfs"}, {"sendmsg", "sendto", "write"}
# 17 pwritev(9</data/t-0/00000000000000000000.log>, ...) = 80
LINE = re.compile(r"^(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\((?P<arguments>.*?)(?:(?P<unfinished><(?:unfinished|detached) \.\.\.>)$|\) += ))")


def produce_request(topic, payload, acks):
    """Produce version 3: the first with batches of format 2."""
    name = topic.encode()
    return (raw.header(0, 3) + struct.pack(">hhi", -1, acks, 30000) + struct.pack(">ih", 1, len(name)) + name +
            struct.pack(">iii", 1, 0, len(payload)) + payload)


def error_and_offset(answer, topic):
    """Of the one partition of the one topic in a Produce response of version 3."""
    at = 4 + 4 + 2 + len(topic) + 4 + 4
    return struct.unpack_from(">hq", answer, at)


class Tracer:
    """strace on a running broker, from `with` to its end."""

    def __init__(self, pid, path):
        self.pid, self.path = pid, path

    def __enter__(self):
        calls = ",".join(sorted(WRITES | SYNCS | SENDS))
        self.process = subprocess.Popen(["strace", "-f", "-yy", "-s", "0", "-e", f"trace={calls}", "-o", str(self.path),
                                         "-p", str(self.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "attached" in line:
                break
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)

    def events(self):
        """(call, text of its arguments, "begins" or "ends") in order."""
        pending = {}
        for line in self.path.read_text().splitlines():
            match = LINE.match(line)
            if not match:
                continue
            if match["resumed"]:
                call, arguments = pending.pop(match["thread"], (None, None))
                if call:
                    yield call, arguments, "ends"
                continue
            call, arguments = match["call"], match["arguments"]
            yield call, arguments, "begins"
            if match["unfinished"]:
                pending[match["thread"]] = call, arguments
            else:
                yield call, arguments, "ends"


def replies_without_a_sync(events, log, client_port):
    """(replies, those among them before which the last write to `log` was not followed by a whole sync)."""
    written = synced = True
    syncing = False
    replies = bare = writes = 0
    for call, arguments, moment in events:
        first = arguments.split(",")[0]
        if call in WRITES and log in first and moment == "ends":
            written, synced, syncing = True, False, False
            writes += 1
        elif call in SYNCS and (log in first or call == "syncfs"):
            if moment == "begins":
                syncing = True
            elif syncing:  # began after the write
                synced = True
        elif call in SENDS and f":{client_port}]" in first and moment == "begins":
            replies += 1
            bare += written and not synced
    return writes, replies, bare


def trace_produces(broker, topic, acks, path):
    payloads = [batch.batch([(None, f"value {n}".encode())]) for n in range(ROUNDS)]
    with raw.connect(broker.address) as sock:
        port = sock.getsockname()[1]
        error, _ = error_and_offset(raw.ask(sock, produce_request(topic, payloads[0], acks)), topic)
        assert error == 0
        with Tracer(broker.pid, path) as tracer:
            for n, payload in enumerate(payloads[1:], 1):
                assert error_and_offset(raw.ask(sock, produce_request(topic, payload, acks)), topic) == (0, n)
    return replies_without_a_sync(tracer.events(), f"/{topic}-0/00000000000000000000.log", port)


def started(make_broker, topic, settings):
    """With one partition of that topic, there for sure: Metadata makes it on the spot."""
    broker = make_broker({"num.partitions": "1", **settings}).start()
    name = topic.encode()
    deadline = time.monotonic() + 60
    with raw.connect(broker.address) as sock:
        while True:
            answer = raw.ask(sock, raw.header(3, 1) + struct.pack(">ih", 1, len(name)) + name)
            at = answer.index(name) - 4
            (error,) = struct.unpack_from(">h", answer, at)
            (partitions,) = struct.unpack_from(">i", answer, at + 4 + len(name) + 1)
            if error == 0 and partitions == 1:
                return broker
            assert time.monotonic() < deadline, error
            time.sleep(0.05)


@pytest.mark.parametrize("acks", (1, -1), ids=("acks-1", "acks-all"))
def test_a_sync_lies_between_each_write_and_its_reply(make_broker, topic, tmp_path, acks):
    broker = started(make_broker, topic, {"ottla.durability": "fsync"})
    writes, replies, bare = trace_produces(broker, topic, acks, tmp_path / "trace")
    assert (writes, replies, bare) == (ROUNDS - 1, ROUNDS - 1, 0)


def test_in_page_cache_mode_replies_do_not_wait_for_a_sync(make_broker, topic, tmp_path):
    broker = started(make_broker, topic, {"ottla.durability": "page-cache", "ottla.flush.max.delay.ms": "1000"})
    writes, replies, bare = trace_produces(broker, topic, -1, tmp_path / "trace")
    assert (writes, replies) == (ROUNDS - 1, ROUNDS - 1)
    assert bare > 0


def test_in_page_cache_mode_flush_messages_puts_a_sync_before_the_reply(make_broker, topic, tmp_path):
    settings = {"ottla.durability": "page-cache", "ottla.flush.max.delay.ms": "1000", "log.flush.interval.messages": "1"}
    broker = started(make_broker, topic, settings)
    assert trace_produces(broker, topic, 1, tmp_path / "trace") == (ROUNDS - 1, ROUNDS - 1, 0)
