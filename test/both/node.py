# SPDX-License-Identifier: Apache-2.0
"""One node, run by Ottla and by Apache Kafka in turn: the same directory, node id, ports and settings for both.

After each run of Kafka its WARN and ERROR lines are kept, with all that differs from run to run made alike, so that two
runs can be compared.
"""
import os
import re

from harness.broker import Broker
from kafka_tools import DUMP

# Nothing may end by its age: the archives are as old as they are.
AGELESS = {
    "offsets.retention.minutes": "2147483647",
    "producer.id.expiration.ms": "2147483647",
    "transactional.id.expiration.ms": "2147483647",
    "log.index.size.max.bytes": "4096",
}
# Ottla has no authorizer yet and says so; Kafka tells ACLs with one alone. An old open transaction stays open.
KAFKA_ONLY = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    "super.users": "User:ANONYMOUS",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "2147483647",
}


class Node:
    def __init__(self, folder):
        self.kafka = Broker("kafka", folder, {**AGELESS, **KAFKA_ONLY})
        self.ottla = Broker("ottla", folder, AGELESS)
        self.ottla.port = self.kafka.port
        self.ottla.settings["listeners"] = (f"PLAINTEXT://{self.kafka.address},"
                                            f"CONTROLLER://127.0.0.1:{self.kafka.controller_port}")
        self.address, self.data, self.remarks = self.kafka.address, self.kafka.data, set()
        self.work_log = ""

    def start(self, kind):
        self.running = {"kafka": self.kafka, "ottla": self.ottla}[kind].start()

    def work(self, run):
        """What is logged meanwhile is about the work, and not about what lay in the directory."""
        before = len(self.running.log())
        run()
        self.work_log = self.running.log()[before:]

    def end(self, how):
        """`clean` or `killed`."""
        if how == "clean":
            status = self.running.stop()
            assert self.running is self.kafka or status == 0, self.running.log()
        else:
            self.running.kill()
        if self.running is self.kafka:
            self.remarks = remarks(self.kafka.log().replace(self.work_log, ""))
        else:
            assert " level=error " not in self.ottla.log(), self.ottla.log()
        self.running = None

    def close(self):
        self.kafka.close()
        self.ottla.close()


# Told or not by how fast the machine happens to be. The last: a killed broker's session ends while its successor, which took
# over its leaderships with the metadata, is still reading groups; it reads them again when it is elected.
OF_THE_MACHINE = re.compile("Exceptionally slow controller event|Attempting to close NetworkClient that has already been closed|"
                            "Stopped loading records from .* because the partition is not online or is no longer the leader")


# Kafka's controller may ask itself to be registered a moment before it knows that it leads; it asks again.
TOO_EARLY = re.compile("apiKey=CONTROLLER_REGISTRATION.*\n.*NotControllerException: The active controller appears to be node 1")


def remarks(log):
    """WARN and ERROR lines without times, numbers, ids and places."""
    found, lines = set(), log.splitlines()
    for line, following in zip(lines, [*lines[1:], ""]):
        told = re.match(r"\S+ \S+ (WARN|ERROR) (.*)", line)
        if told and not OF_THE_MACHINE.search(line) and not TOO_EARLY.search(f"{line}\n{following}"):
            text = re.sub(r"/[\w./-]+/data/", "DATA/", told[2])
            text = re.sub(r"\b[\w-]+-\d+(?=[/,\]\s]|$)", "PARTITION", text)
            text = re.sub(r"[A-Za-z0-9_-]{22}", "ID", text)
            found.add(f"{told[1]} {re.sub(r'[0-9]+', 'N', text)}")
    return found


DECODERS = {"__consumer_offsets": ["--offsets-decoder"], "__transaction_state": ["--transaction-log-decoder"],
            "__share_group_state": ["--share-group-state-decoder"], "__cluster_metadata": ["--cluster-metadata-decoder"]}
KINDS = (".log", ".index", ".timeindex", ".txnindex", ".snapshot", ".checkpoint")
COMPLAINTS = re.compile(r"Exception|Mismatches in|Error|isvalid: false|valid: false|invalid|corrupt", re.I)


def dump_complaints(tools, data):
    """What Kafka's own DumpLogSegments finds wrong with any file of a directory, records and indexes one by one."""
    work = {}
    for folder in sorted(data.glob("*-*/")):
        if folder.name.endswith("-delete"):
            continue  # the tool stumbles over what Kafka itself leaves in there
        files = sorted(str(f) for f in folder.iterdir() if f.suffix in KINDS)
        topic = folder.name.rpartition("-")[0]
        work.setdefault(topic if topic in DECODERS else "user", []).extend(files)
    found = []
    for topic, files in work.items():
        found += run_dump(tools, topic, ["--deep-iteration", *DECODERS.get(topic, [])], files)
        found += run_dump(tools, topic, ["--index-sanity-check"],
                          [f for f in files if f.endswith("index") and os.path.getsize(f)])
    return found


def run_dump(tools, topic, options, files):
    if not files:
        return []
    status, text = tools.run(DUMP, *options, "--files", ",".join(files))
    assert all(f"Dumping {file}" in text for file in files), f"not every file was read:\n{text[-2000:]}"
    return complaints(text) + ([f"{topic}: status {status}: {text[-500:]}"] if status else [])


def gaps(text):
    """Offsets that are missing. `-1 is followed by N` is what it says of every segment but the first; a compacted log has gaps."""
    place, found = "", []
    for line in text.splitlines():
        if line.startswith("Non-consecutive offsets in "):
            place = line
        elif re.match(r"\s*\d+ is followed by \d+", line) and not re.search(r"/(compact|__\w+)-\d+/", place):
            found.append(f"{place}: {line.strip()}")
    return found


def complaints(text):
    """A record's own text is not its opinion."""
    return gaps(text) + [line for line in text.splitlines()
                         if COMPLAINTS.search(line) and not line.startswith(("| offset:", "baseOffset:")) and "payload:" not in line
                         or re.match(r"\| offset:.*isvalid: false|baseOffset:.*isvalid: false", line)]
