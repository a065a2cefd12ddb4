# SPDX-License-Identifier: Apache-2.0
"""The program as somebody meets it who has just built it: help, settings, what it says when something is wrong, how it stops.

Nothing here needs a client library; `raw` is enough to see that a broker answers.
"""
import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

from harness import raw
from harness.broker import ROOT, free_port
from oracle.session import Session

pytestmark = pytest.mark.ottla

BINARY = os.path.abspath(os.environ.get("OTTLA", ROOT / "build" / "ottla"))
TIMEOUT_S = 60
AT_REST_S = 10
STATIC_BROKER_CONFIG, DEFAULT_CONFIG = 4, 5  # sources of settings
VERSION = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text()).group(1)


def ottla(*arguments, env=None):
    """Runs to the end: (exit status, stdout, stderr)."""
    done = subprocess.run([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT_S, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


class Running:
    """`ottla serve ...`, known to be ready by its first lines."""

    def __init__(self, *arguments, folder, env=None):
        self.out, self.err = pathlib.Path(folder, "out"), pathlib.Path(folder, "err")
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen([BINARY, "serve", *map(str, arguments)], cwd=folder, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, env={**os.environ, **(env or {})})
        self.await_text(self.out, "durability")

    def await_text(self, path, text):
        deadline = time.monotonic() + TIMEOUT_S
        while text not in path.read_text():
            assert self.process.poll() is None, self.out.read_text() + self.err.read_text()
            assert time.monotonic() < deadline, self.out.read_text() + self.err.read_text()
            time.sleep(0.01)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_S)

    def proc(self, name):
        return pathlib.Path(f"/proc/{self.process.pid}/{name}").read_text()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(TIMEOUT_S)


@pytest.fixture
def serve(tmp_path):
    """Starts brokers on free ports unless told otherwise, and ends them with the test."""
    running = []

    def start(*arguments, data=True, listen=None, web="off", env=None):
        folder = tmp_path / f"run-{len(running)}"
        folder.mkdir()
        listen = listen or f"127.0.0.1:{free_port()}"
        words = [*arguments, "--listen", listen, "--http", web]
        if data:
            words += ["--data", tmp_path / "data" if data is True else data]
        running.append(Running(*words, folder=folder, env=env))
        running[-1].address = listen
        return running[-1]
    yield start
    for one in running:
        one.close()


def ask_http(port, path, method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


# ---- words that end at once

def test_help_tells_a_newcomer_what_to_type():
    status, out, _ = ottla("--help")
    assert status == 0
    for text in ("serve", "config", "--version", "kcat -b 127.0.0.1:9092"):
        assert text in out
    status, out, _ = ottla("serve", "--help")
    assert status == 0
    for text in ("--data", "--listen", "--http", "--set", "server.properties", "Examples:", "Exit status", "SIGHUP"):
        assert text in out
    status, out, _ = ottla("config", "--help")
    assert status == 0 and "export" in out


def test_no_words_at_all_show_the_help_and_are_wrong():
    status, out, err = ottla()
    assert status == 2 and out == "" and "serve" in err


def test_the_version_is_that_of_the_build():
    assert ottla("--version") == (0, f"ottla {VERSION}\n", "")


@pytest.mark.parametrize("words, says", (
    (["server"], "there is no command `server`"),
    (["serve", "--no-such"], "--no-such"),
    (["serve", "a.properties", "b.properties"], "one file of settings is enough"),
    (["serve", "--data", ""], "needs the name of a directory"),
    (["serve", "--listen", "nonsense"], "expected HOST:PORT"),
    (["serve", "--http", "0.0.0.0:8080", "--data", "/nowhere"], "on loopback only"),
    (["serve", "--set", "alone", "--data", "/nowhere"], "give a setting and its value"),
    (["serve", "/nowhere/server.properties"], "/nowhere/server.properties: No such file"),
))
def test_a_wrong_command_line_ends_with_2_and_a_reason(words, says):
    status, out, err = ottla(*words)
    assert (status, out) == (2, "") and says in err


def test_a_wrong_setting_is_told_with_file_and_line_and_nothing_is_made(tmp_path):
    data, file = tmp_path / "data", tmp_path / "server.properties"
    file.write_text(f"log.dirs={data}\n# a comment\nnum.partitions=many\nauthorizer.class.name=com.example.Mine\n")
    status, _, err = ottla("serve", file)
    assert status == 2
    assert f"{file}:3: error: Invalid value many for configuration num.partitions" in err
    assert f"{file}:4: error: authorizer.class.name=com.example.Mine is not served yet" in err
    assert "--set ottla.ignore=authorizer.class.name" in err
    assert not data.exists()


def test_config_shows_every_setting_and_who_gave_it(tmp_path):
    file = tmp_path / "server.properties"
    file.write_text("log.dirs=/data\nnum.partitions=3\nssl.key.password=hush-hush\noffsets.topic.replication.factor=1\n")
    status, out, _ = ottla("config", file, "--set", "message.max.bytes=2000000")
    assert status == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    for table in ("broker.txt", "ottla.txt"):
        for line in (ROOT / "schema" / "configs" / table).read_text().splitlines():
            name = line.split("\t")[0]
            if line and not line.startswith("#") and "dynamic-only" not in line:
                assert name in rows, name
    assert rows["num.partitions"][1:5] == ["3", f"{file}:2", "int", "1"]
    assert rows["message.max.bytes"][1:3] == ["2000000", "--set"]
    assert rows["ottla.durability"][1:3] == ["fsync", "default"]
    assert "hush-hush" not in out


def test_exported_settings_are_kafkas_and_mean_the_same(tmp_path):
    status, out, err = ottla("config", "export", "--data", tmp_path / "with blank", "--listen", "127.0.0.1:19092",
                             "--set", "num.partitions=3", "--set", "ottla.durability=page-cache")
    assert (status, err) == (0, "")
    assert "process.roles=broker,controller" in out and "controller.listener.names=CONTROLLER" in out
    assert "CONTROLLER://127.0.0.1:" in out and "ottla." not in out
    file = tmp_path / "server.properties"
    file.write_text(out)
    status, again, err = ottla("config", "export", file)
    assert (status, err) == (0, "")
    assert sorted(again.splitlines()) == sorted(out.splitlines())


# ---- a start

def test_a_start_on_nothing_answers_and_says_where_it_is(serve, tmp_path):
    broker = serve(data=tmp_path / "a" / "b" / "c")
    said = broker.out.read_text()
    assert broker.address in said and str(tmp_path / "a" / "b" / "c") in said and "durability fsync" in said
    assert raw.brokers_of(broker.address) == [1]
    assert (tmp_path / "a" / "b" / "c" / "meta.properties").exists()


def test_page_cache_is_told_at_the_start(serve):
    assert "durability page-cache" in serve("--set", "ottla.durability=page-cache").out.read_text()


def test_without_data_the_users_data_home_is_used(serve, tmp_path):
    broker = serve(data=None, env={"XDG_DATA_HOME": str(tmp_path / "home")})
    assert str(tmp_path / "home" / "ottla") in broker.out.read_text()
    assert (tmp_path / "home" / "ottla" / "meta.properties").exists()


def test_it_listens_on_ipv6_too(serve):
    port = free_port()
    serve(listen=f"[::1]:{port}")
    with socket.create_connection(("::1", port), timeout=TIMEOUT_S) as sock:
        assert raw.ask(sock, raw.header(18, 0))[4:6] == b"\0\0"


def test_a_file_of_settings_and_options_are_put_together(serve, tmp_path):
    file = tmp_path / "server.properties"
    file.write_text(f"node.id=7\nlog.dirs={tmp_path / 'unused'}\noffsets.topic.replication.factor=1\n")
    broker = serve(file)
    assert raw.brokers_of(broker.address) == [7]
    assert not (tmp_path / "unused").exists()


def test_a_taken_port_is_told_with_what_to_do(serve, tmp_path):
    first = serve()
    status, _, err = ottla("serve", "--data", tmp_path / "other", "--listen", first.address, "--http", "off")
    assert status == 1
    assert first.address in err and "taken" in err and "--listen" in err


def test_a_second_broker_on_the_same_data_is_refused(serve, tmp_path):
    first = serve()
    status, _, err = ottla("serve", "--data", tmp_path / "data", "--listen", f"127.0.0.1:{free_port()}", "--http", "off")
    assert status == 1
    assert "another broker" in err and str(tmp_path / "data") in err
    assert raw.brokers_of(first.address) == [1]


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = ottla("serve", "--data", tmp_path / "file" / "data", "--listen", f"127.0.0.1:{free_port()}", "--http", "off")
    assert status == 1 and str(tmp_path / "file") in err


# ---- the end

@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_signal_stops_cleanly(serve, tmp_path, number):
    broker = serve()
    assert raw.brokers_of(broker.address) == [1]
    assert broker.stop(number) == 0
    assert (tmp_path / "data" / ".kafka_cleanshutdown").exists()
    assert serve().stop() == 0


def test_a_second_signal_stops_at_once(serve):
    """Both signals wait while the process is halted, so that it finds the second before the first is done."""
    broker = serve()
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        broker.process.send_signal(number)
    assert broker.process.wait(TIMEOUT_S) == 128 + signal.SIGTERM
    assert "stopping at once" in broker.out.read_text()


def test_sighup_reads_the_level_of_the_log_again(serve, tmp_path):
    file = tmp_path / "server.properties"
    file.write_text("ottla.log.level=info\noffsets.topic.replication.factor=1\n")
    broker = serve(file)
    file.write_text("ottla.log.level=loud\noffsets.topic.replication.factor=1\n")
    broker.process.send_signal(signal.SIGHUP)
    broker.await_text(broker.err, "nothing was changed")
    assert f"{file}:1: error: " in broker.err.read_text()
    file.write_text("ottla.log.level=debug\noffsets.topic.replication.factor=1\n")
    broker.process.send_signal(signal.SIGHUP)
    broker.await_text(broker.err, "ottla.log.level=debug")
    assert broker.stop() == 0


def await_described(session, wanted):
    """Settings of the broker become these: value and source by name."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        answer = session.main.ask("DescribeConfigs", 4, {"resources": [
            {"resourceType": 4, "resourceName": "1", "configurationKeys": list(wanted)}]})
        found = {one["name"]: (one["value"], one["configSource"]) for one in answer["results"][0]["configs"]}
        if found == wanted:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def test_sighup_changes_what_may_change_without_a_start(serve, tmp_path):
    file = tmp_path / "server.properties"
    file.write_text("offsets.topic.replication.factor=1\n")
    broker = serve(file)
    session = Session(broker.address, "sighup")
    assert session.main.ask("ApiVersions", 0, {})["errorCode"] == 0
    file.write_text("offsets.topic.replication.factor=1\nmax.connections.per.ip=1\nnum.partitions=7\nlog.retention.ms=77777\n")
    broker.process.send_signal(signal.SIGHUP)
    broker.await_text(broker.err, "read the settings again: 2 changed")
    assert f"{file}:3: warning: num.partitions is another now" in broker.err.read_text()
    await_described(session, {"log.retention.ms": ("77777", STATIC_BROKER_CONFIG), "num.partitions": ("1", DEFAULT_CONFIG)})
    with raw.connect(broker.address) as second:
        assert raw.is_closed(second)
    file.write_text("offsets.topic.replication.factor=1\n")
    broker.process.send_signal(signal.SIGHUP)
    await_described(session, {"log.retention.ms": (None, DEFAULT_CONFIG)})
    assert raw.brokers_of(broker.address) == [1]
    session.close()
    assert broker.stop() == 0


def test_a_crash_tells_where_it_happened(serve):
    broker = serve()
    broker.process.send_signal(signal.SIGSEGV)
    assert broker.process.wait(TIMEOUT_S) == -signal.SIGSEGV
    err = broker.err.read_text()
    assert f"ottla {VERSION} crashed: SIGSEGV" in err
    assert re.search(r"#\d+ +main at .*program\.c:\d+", err), err


# ---- http

def metrics_of(port):
    status, text = ask_http(port, "/metrics")
    assert status == 200
    samples = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in samples)}, text


def test_health_and_readiness_are_answered(serve):
    port = free_port()
    broker = serve(web=f"127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port}" in broker.out.read_text()
    assert ask_http(port, "/healthz") == (200, "ok\n")
    assert ask_http(port, "/readyz") == (200, "ready\n")
    assert ask_http(port, "/")[0] == 200
    assert ask_http(port, "/nothing")[0] == 404
    assert ask_http(port, "/healthz", method="HEAD") == (200, "")
    assert ask_http(port, "/healthz", method="POST")[0] == 405
    assert broker.stop() == 0


def test_every_metric_of_the_table_is_there_and_counts(serve):
    port = free_port()
    broker = serve(web=f"127.0.0.1:{port}")
    before, text = metrics_of(port)
    for line in (ROOT / "schema" / "metrics.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, kind, _labels, said = line.split("\t")
            assert f"# HELP {name} {said}\n# TYPE {name} {kind}\n" in text
    raw.brokers_of(broker.address)
    deadline = time.monotonic() + TIMEOUT_S
    while (after := metrics_of(port)[0])["ottla_sent_bytes_total"] <= before["ottla_sent_bytes_total"]:
        assert time.monotonic() < deadline  # what was sent is counted behind the send
    metadata = 'ottla_requests_total{api="Metadata"}'
    assert after[metadata] == before.get(metadata, 0) + 1
    assert after["ottla_received_bytes_total"] > before["ottla_received_bytes_total"]
    assert after["ottla_ready"] == after["ottla_durability_fsync"] == 1
    assert after[f'ottla_info{{version="{VERSION}",durability="fsync"}}'] == 1
    assert abs(after["process_start_time_seconds"] - time.time()) < 3600
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_max_fds"):
        assert after[name] > 0


def test_a_page_of_another_site_reads_nothing(serve):
    port = free_port()
    serve(web=f"127.0.0.1:{port}")
    for host in ("example.com", f"example.com:{port}", "localhost.example.com", "192.0.2.1"):
        status, text = ask_http(port, "/metrics", host=host)
        assert status == 403 and "ottla_" not in text
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert ask_http(port, "/metrics", host=host)[0] == 200


def test_a_taken_http_port_is_told_and_the_broker_starts_all_the_same(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        broker = serve(web=f"127.0.0.1:{port}")
        assert raw.brokers_of(broker.address) == [1]
        err = broker.err.read_text()
        assert f"127.0.0.1:{port}" in err and "--http" in err
        assert broker.stop() == 0


def test_the_http_library_is_loaded_when_somebody_asks(serve):
    port = free_port()
    broker = serve(web=f"127.0.0.1:{port}")
    assert "libmicrohttpd" not in broker.proc("maps")
    assert ask_http(port, "/healthz")[0] == 200
    assert "libmicrohttpd" in broker.proc("maps")


# ---- at rest

def test_at_rest_it_needs_little_memory(serve):
    broker = serve(web=f"127.0.0.1:{free_port()}")
    raw.brokers_of(broker.address)
    resident_kib = int(re.search(r"VmRSS:\s+(\d+) kB", broker.proc("status")).group(1))
    assert resident_kib <= 10 * 1024


def wake_ups(broker):
    """Context switches of all threads since each began: every one is a thread that went to sleep after having run."""
    count = 0
    for task in pathlib.Path(f"/proc/{broker.process.pid}/task").iterdir():
        count += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M).group(1))
    return count


def test_at_rest_it_sleeps(serve):
    """A count, not a time: how often any thread woke in AT_REST_S seconds."""
    broker = serve(web=f"127.0.0.1:{free_port()}")
    raw.brokers_of(broker.address)
    before = wake_ups(broker)
    time.sleep(AT_REST_S)
    assert wake_ups(broker) - before < 5 * AT_REST_S
