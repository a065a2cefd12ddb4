# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka 4.3.1's console tools, unmodified, run in one JVM through test/kafka/kafka-tool.sh: see drivers/Tools.java."""
import base64
import subprocess

from harness.clients import DRIVERS, KAFKA_TOOL


class ToolFailed(Exception):
    pass


class Tools:
    def __init__(self, address):
        self.address = address
        self.process = subprocess.Popen([str(KAFKA_TOOL), str(DRIVERS / "Tools.java")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, tool, *words):
        """(status, standard output, standard error) of one run."""
        line = b"\0".join(str(word).encode() for word in (tool, *words)) + b"\0"
        self.process.stdin.write(base64.b64encode(line) + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode().split(" ")
        assert len(answer) == 4, f"{tool} has ended the JVM: {answer}"
        return int(answer[0]), base64.b64decode(answer[1]).decode(), base64.b64decode(answer[2]).decode()

    def says(self, tool, *words):
        """Standard output of a run that must go well."""
        status, out, err = self.run(tool, *words)
        if status:
            raise ToolFailed(f"{tool} {' '.join(map(str, words))} ended with {status}\n{out}\n{err}")
        return out

    def asks(self, tool, *words):
        """As `says`, of the broker under test."""
        return self.says(tool, "--bootstrap-server", self.address, *words)

    def is_refused(self, tool, *words):
        """Everything that a run has written that must fail."""
        status, out, err = self.run(tool, "--bootstrap-server", self.address, *words)
        assert status, f"{tool} {words} went well: {out}"
        return out + err

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
