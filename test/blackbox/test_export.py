# SPDX-License-Identifier: Apache-2.0
"""The way to Apache Kafka and back: `ottla config export` writes the settings, the directory stays as it is."""
import os
import pathlib
import signal
import struct
import subprocess
import time

import pytest

from harness import batch, raw
from harness.broker import ROOT, free_port

pytestmark = pytest.mark.ottla

BINARY = os.path.abspath(os.environ.get("OTTLA", ROOT / "build" / "ottla"))
TOOL = ROOT / "test" / "kafka" / "kafka-tool.sh"
TOPIC = b"both-ways"
TIMEOUT_S = 120


class Process:
    def __init__(self, command, address, out):
        with open(out, "ab") as file:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=file,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            assert self.process.poll() is None, pathlib.Path(out).read_text()
            assert time.monotonic() < deadline, pathlib.Path(out).read_text()
            try:
                if raw.brokers_of(address):
                    return
            except (OSError, raw.Closed):
                time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(TIMEOUT_S)


def await_topic(sock):
    """Metadata version 1 makes it on the spot; until it has a leader."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        answer = raw.ask(sock, raw.header(3, 1) + struct.pack(">ih", 1, len(TOPIC)) + TOPIC)
        at = answer.index(TOPIC) - 4
        error, = struct.unpack_from(">h", answer, at)
        count, = struct.unpack_from(">i", answer, at + 4 + len(TOPIC) + 1)
        if error == 0 and count == 1 and struct.unpack_from(">h", answer, at + 9 + len(TOPIC)) == (0,):
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def produce(address, value):
    """One record with acks=all; its offset."""
    payload = batch.batch([(None, value)])
    with raw.connect(address) as sock:
        await_topic(sock)
        answer = raw.ask(sock, raw.header(0, 3) + struct.pack(">hhi", -1, -1, 30000) + struct.pack(">ih", 1, len(TOPIC)) + TOPIC +
                         struct.pack(">iii", 1, 0, len(payload)) + payload)
    error, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(TOPIC) + 4 + 4)
    assert error == 0
    return offset


def read_all(address):
    """Everything from offset 0 on, by Fetch version 4, as bytes of batches."""
    with raw.connect(address) as sock:
        await_topic(sock)
        answer = raw.ask(sock, raw.header(1, 4) + struct.pack(">iiiibi", -1, 100, 1, 1 << 20, 0, 1) +
                         struct.pack(">h", len(TOPIC)) + TOPIC + struct.pack(">iiqi", 1, 0, 0, 1 << 20))
    return answer


def test_kafka_goes_on_where_ottla_stopped_and_ottla_where_kafka_did(tmp_path):
    address, controller = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    settings = ["--data", tmp_path / "data", "--http", "off",
                "--set", f"listeners=PLAINTEXT://{address},CONTROLLER://{controller}"]
    file = tmp_path / "server.properties"
    file.write_bytes(subprocess.run([BINARY, "config", "export", *map(str, settings)], check=True, capture_output=True).stdout)
    with Process([BINARY, "serve", *settings], address, tmp_path / "ottla.out") as ottla:
        assert produce(address, b"written by Ottla") == 0
        assert ottla.stop() == 0
    with Process([TOOL, "kafka.Kafka", file], address, tmp_path / "kafka.out") as kafka:
        assert produce(address, b"written by Kafka") == 1
        assert b"written by Ottla" in read_all(address)
        kafka.stop()
    with Process([BINARY, "serve", file, "--http", "off"], address, tmp_path / "ottla.out") as ottla:
        answer = read_all(address)
        assert b"written by Ottla" in answer and b"written by Kafka" in answer
        assert produce(address, b"written by Ottla again") == 2
        assert ottla.stop() == 0
