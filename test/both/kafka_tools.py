# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka's command line tools, kept running in one JVM: a run takes what its work takes.

A class is named in full, as kafka-tool.sh does not have to; a tool that fails gives its status and what it said.
"""
import subprocess

from harness.clients import KAFKA_ENV, ROOT

SOURCES = (ROOT / "test" / "both" / "RunTools.java", ROOT / "test" / "kafka" / "tools" / "DumpState.java")
DUMP = "org.apache.kafka.tools.DumpLogSegments"


class KafkaTools:
    def __init__(self, folder):
        """Compiles into the folder, an empty one."""
        command = ('. "$0"; kafka_jars; out=$1; shift; javac -nowarn -Xlint:none -cp "$KAFKA_REF_CP" -d "$out" "$@" && '
                   'exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "$KAFKA_REF_LOG" -cp "$out:$KAFKA_REF_CP" RunTools')
        self.process = subprocess.Popen(["bash", "-c", command, str(KAFKA_ENV), str(folder), *map(str, SOURCES)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def run(self, *words):
        """The status and everything that was written."""
        self.process.stdin.write("\t".join(map(str, words)).encode() + b"\n")
        self.process.stdin.flush()
        head = self.process.stdout.readline().split()
        assert head, f"the JVM ended with {self.process.wait()}"
        return int(head[0]), self.process.stdout.read(int(head[1])).decode(errors="replace")

    def close(self):
        self.process.stdin.close()
        self.process.wait()
