# SPDX-License-Identifier: Apache-2.0
"""How far a start is, while it checks what a kill left: on the terminal, and as Kafka's two metrics.

strace makes every read of the broker slow, so that there is something to see.
"""
import os
import re
import threading
import urllib.error
import urllib.request

import pytest

from harness.broker import ROOT, free_port

pytestmark = pytest.mark.ottla

MIB = 1 << 20
LEFT = re.compile(r'^kafka_log_logmanager_remaining(logs|segments)torecover\{dir="([^"]+)"[^}]*\} (\d+)$', re.MULTILINE)


def ask(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Watcher(threading.Thread):
    """Asks again and again until it is told to stop."""

    def __init__(self, port):
        super().__init__()
        self.port, self.over = port, threading.Event()
        self.logs, self.segments, self.dirs, self.answers = [], [], set(), set()

    def run(self):
        while not self.over.wait(0.02):
            try:
                _, text = ask(self.port, "/metrics")
                found = LEFT.findall(text)
                if not found:
                    continue
                assert "\nottla_ready 0\n" in text
                self.logs.append(sum(int(value) for kind, _, value in found if kind == "logs"))
                self.segments.append(sum(int(value) for kind, _, value in found if kind == "segments"))
                self.dirs |= {directory for _, directory, _ in found}
                self.answers |= {(path, ask(self.port, path)[0]) for path in ("/healthz", "/readyz", "/api/v1/topics")}
            except OSError:
                pass  # its port is not open yet


def slow(folder):
    """The program, with a tracer beside it that holds up every read."""
    script = folder / "slow-ottla"
    script.write_text(f"#!/bin/sh\nexec strace -D -f -qq -o {folder}/trace -e trace=pread64 -e inject=pread64:delay_enter=100000 "
                      f"{os.environ.get('OTTLA', ROOT / 'build' / 'ottla')} \"$@\"\n")
    script.chmod(0o755)
    return str(script)


def test_a_start_tells_how_far_it_is(make_broker, make_client, tmp_path, monkeypatch):
    port = free_port()
    broker = make_broker({"ottla.http.listener": f"127.0.0.1:{port}"}).start()
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="t", partitions=3, configs={"segment.bytes": str(MIB)})
    client.produce("t", [(b"key-%d" % n, os.urandom(MIB // 8)) for n in range(80)], options={"batch.size": 1})
    broker.kill()
    watcher = Watcher(port)
    monkeypatch.setenv("OTTLA", slow(tmp_path))
    watcher.start()
    try:
        broker.start()
    finally:
        watcher.over.set()
        watcher.join()
    assert max(watcher.logs) >= 3 and watcher.logs == sorted(watcher.logs, reverse=True)
    assert len(set(watcher.segments)) >= 3
    assert watcher.dirs == {str(broker.data)}
    assert {("/healthz", 200), ("/readyz", 503), ("/api/v1/topics", 503)} <= watcher.answers
    assert re.search(r"\d of \d+ partitions are open, [1-9]\d* segments of those under way are to be checked", broker.log())
    assert not LEFT.search(ask(port, "/metrics")[1]) and ask(port, "/readyz")[0] == 200
