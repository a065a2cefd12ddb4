# SPDX-License-Identifier: Apache-2.0
"""One broker under test, on a directory of its own: started, stopped, killed and started again.

`Broker("ottla", folder)` and `Broker("kafka", folder)` behave alike, so every test can be run against Apache Kafka and
a test that Kafka fails is known to be wrong. A broker keeps its port over restarts, listens on 127.0.0.1 only, and is
always ended by the id of the process that we started.
"""
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

from harness import raw

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN_KAFKA = ROOT / "test" / "kafka" / "run-kafka.sh"
READY_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60

# The settings in which a broker without a file of settings would differ from what run-kafka.sh writes.
SETTINGS = {
    "num.partitions": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "group.initial.rebalance.delay.ms": "0",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class BrokerDied(Exception):
    pass


class Broker:
    def __init__(self, kind, folder, settings=None):
        assert kind in ("ottla", "kafka")
        self.kind = kind
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = {key: value.replace("{folder}", str(self.folder)) for key, value in {**SETTINGS, **(settings or {})}.items()}
        self.port = free_port()
        self.controller_port = free_port() if kind == "kafka" else None
        self.process = None
        self.pid = None
        self.environment = {}  # of Ottla, beside the test's own
        self.descriptors_max = None  # of Ottla; None: as many as this process may have
        self.out = self.folder / ("ottla.out" if kind == "ottla" else "kafka.out")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def data(self):
        return self.folder / "data"

    def log(self):
        return self.out.read_text(errors="replace") if self.out.exists() else ""

    def log_from(self, text):
        """What it has printed from `text` on, up to the end of the line after: it may answer before it says so."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while self.log().partition(text)[2].count("\n") < 2:
            assert self.alive() and time.monotonic() < deadline, f"{text!r} is not in\n{self.log()[-4000:]}"
            time.sleep(0.02)
        return "".join(self.log().partition(text)[1:])

    def start(self):
        assert self.pid is None, "already started"
        if self.kind == "kafka":
            self._start_kafka()
        else:
            self._start_ottla()
        self._await_ready()
        return self

    def _start_kafka(self):
        command = [str(RUN_KAFKA), "start", str(self.folder), "-p", str(self.port), "-c", str(self.controller_port)]
        for key, value in self.settings.items():
            command += ["-o", f"{key}={value}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              text=True)
        if done.returncode:
            (self.folder / "kafka.pid").unlink(missing_ok=True)
            raise BrokerDied(done.stdout)
        self.pid = int((self.folder / "kafka.pid").read_text())

    def _start_ottla(self):
        binary = os.environ.get("OTTLA", str(ROOT / "build" / "ottla"))
        command = [binary, "serve"]
        if self.descriptors_max:
            command = ["prlimit", f"--nofile={self.descriptors_max}"] + command
        if "log.dirs" not in self.settings:
            command += ["--data", str(self.data)]
        if "listeners" not in self.settings:
            command += ["--listen", self.address]
        if "ottla.http.listener" not in self.settings:
            command += ["--http", "off"]
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        with open(self.out, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                            env={**os.environ, **self.environment})
        self.pid = self.process.pid

    def _await_ready(self):
        """Until it answers Metadata with itself as a broker: an open port is not yet a broker that takes part."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if not self.alive():
                self._await_end()
                raise BrokerDied(f"{self.kind} ended while starting\n{self.log()[-4000:]}")
            try:
                if raw.brokers_of(self.address):
                    return
            except (OSError, raw.Closed):
                pass
            time.sleep(0.02)
        raise BrokerDied(f"{self.kind} not ready after {READY_TIMEOUT_S} s\n{self.log()[-4000:]}")

    def alive(self):
        if self.pid is None:
            return False
        if self.process is not None:
            return self.process.poll() is None
        try:
            stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
            threads = os.listdir(f"/proc/{self.pid}/task")
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] != "Z" or len(threads) > 1  # its other threads may still hold the ports

    def _await_end(self):
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.alive():
            if time.monotonic() > deadline:
                raise BrokerDied(f"process {self.pid} does not end\n{self.log()[-4000:]}")
            time.sleep(0.01)
        status = self.process.returncode if self.process is not None else None
        (self.folder / "kafka.pid").unlink(missing_ok=True)
        self.pid = self.process = None
        return status

    def stop(self):
        """A clean stop; the exit status, where it is ours to know."""
        os.kill(self.pid, signal.SIGTERM)
        return self._await_end()

    def kill(self):
        """kill -9: nothing that the process held in memory survives."""
        os.kill(self.pid, signal.SIGKILL)
        self._await_end()

    def kill_while_starting(self, after_s):
        """Starts it and kills it so many seconds later, ready or not."""
        def start():
            try:
                self.start()
            except BrokerDied:
                pass
        starting = threading.Thread(target=start)
        starting.start()
        time.sleep(after_s)
        while starting.is_alive():
            pid = self._starting_pid()
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.001)
        starting.join()
        self.close()

    def _starting_pid(self):
        """Of a process that `start`, in another thread, may still wait for."""
        if self.pid is not None or self.kind == "ottla":
            return self.pid
        try:
            return int((self.folder / "kafka.pid").read_text())
        except (OSError, ValueError):
            return None

    def restart(self, clean=True):
        if clean:
            self.stop()
        else:
            self.kill()
        return self.start()

    def close(self):
        if self.pid is not None and self.alive():
            self.kill()

    def resident_bytes(self):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) * 1024

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()
