# SPDX-License-Identifier: Apache-2.0
"""The clients that the black-box tests run: three Python libraries as drivers, kcat and Java's console programs as commands.

`CLIENTS` is what must have run; `RAN` is what did, by name, with the version it told. A client that cannot be started
fails its test: nothing here skips.
"""
import base64
import json
import os
import pathlib
import select
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DRIVERS = ROOT / "test" / "harness" / "drivers"
OLD_PYTHON = ROOT / ".cache" / "venv-kafka-python-2.0.2" / "bin" / "python"
KAFKA_TOOL = ROOT / "test" / "kafka" / "kafka-tool.sh"
KAFKA_ENV = ROOT / "test" / "kafka" / "kafka-env.sh"

PYTHON_CLIENTS = ("kafka-python", "kafka-python-2.0.2", "confluent-kafka")
CLIENTS = PYTHON_CLIENTS + ("kcat", "java-console-producer", "java-console-consumer")
RAN = {}
ANSWER_TIMEOUT_S = 300  # a client whose broker is gone may ask for it for ever


class ClientError(Exception):
    def __init__(self, name, text, trace=""):
        super().__init__(f"{name}: {text}")
        self.name, self.text, self.trace = name, text, trace


def b64(value):
    return None if value is None else base64.b64encode(value).decode()


class Client:
    """One driver process. `ask` is a call; `send` and `answer` are its two halves, for clients that work at once."""

    def __init__(self, name, address):
        python = str(OLD_PYTHON) if name == "kafka-python-2.0.2" else sys.executable
        script = "confluent.py" if name == "confluent-kafka" else "kafka_python.py"
        self.name = name
        self.process = subprocess.Popen([python, str(DRIVERS / script), address], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        RAN[name] = self.ask("version")

    def send(self, op, **arguments):
        self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self.process.stdin.flush()

    def answer(self):
        if not select.select([self.process.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
            self.process.kill()
            raise ClientError("Silent", f"driver {self.name} did not answer in {ANSWER_TIMEOUT_S} s")
        line = self.process.stdout.readline()
        if not line:
            raise ClientError("Died", f"driver {self.name} ended with {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ClientError(answer["error"], answer["text"], answer["trace"])
        return answer["ok"]

    def ask(self, op, **arguments):
        self.send(op, **arguments)
        return self.answer()

    def produce(self, topic, records, **more):
        """`records`: values, or (key, value), or dicts with bytes; gives [partition, offset] of each."""
        return self.ask("produce", topic=topic, records=[as_record(r) for r in records], **more)

    def poll(self, name, count, timeout_s=60):
        return decode(self.ask("poll", name=name, count=count, timeout_s=timeout_s))

    def poll_later(self):
        return decode(self.answer())

    def read(self, topic, count, partitions=1):
        """The first `count` records of a topic, without a group."""
        self.ask("consumer", name="reader", assign=[[topic, p] for p in range(partitions)])
        got = self.poll("reader", count)
        self.ask("close_consumer", name="reader")
        return got

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def as_record(given):
    if isinstance(given, bytes):
        given = {"value": given}
    elif isinstance(given, tuple):
        given = {"key": given[0], "value": given[1]}
    out = dict(given)
    out["key"], out["value"] = b64(given.get("key")), b64(given.get("value"))
    out["headers"] = [[n, b64(c)] for n, c in given.get("headers", [])]
    return out


def decode(records):
    for record in records:
        for part in ("key", "value"):
            record[part] = None if record[part] is None else base64.b64decode(record[part])
        record["headers"] = [(n, None if c is None else base64.b64decode(c)) for n, c in record["headers"]]
    return records


def kcat(address, *arguments, stdin=b"", timeout_s=120):
    done = subprocess.run(["kcat", "-b", address, *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout_s)
    if done.returncode:
        raise ClientError("kcat", done.stderr.decode(errors="replace"))
    if "kcat" not in RAN:
        version = subprocess.run(["kcat", "-V"], stdout=subprocess.PIPE, text=True).stdout
        RAN["kcat"] = version.split("Version ")[1].split()[0]
    return done.stdout


def java(name, main_class, *arguments, stdin=b"", timeout_s=180):
    """A console program of Apache Kafka 4.3.1; what it wrote to standard output and to standard error."""
    done = subprocess.run([str(KAFKA_TOOL), main_class, *arguments], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout_s)
    if done.returncode:
        raise ClientError(name, done.stderr.decode(errors="replace"))
    if name:
        RAN[name] = "4.3.1"
    return done.stdout, done.stderr.decode(errors="replace")


def java_produce(address, topic, lines, *options):
    return java("java-console-producer", "ConsoleProducer", "--bootstrap-server", address, "--topic", topic, *options,
                stdin=b"".join(line + b"\n" for line in lines))


def java_consume(address, topic, count, *options):
    out, _ = java("java-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", address,
                  "--topic", topic, "--max-messages", str(count), "--timeout-ms", "60000", *options)
    return out.splitlines()


def java_configs(address, *arguments):
    """What kafka-configs.sh writes."""
    return java("", "ConfigCommand", "--bootstrap-server", address, *arguments)[0].decode()
