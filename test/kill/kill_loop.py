# SPDX-License-Identifier: Apache-2.0
"""Kills a broker (kill -9) under load at random moments, starts it again, and asks whether it kept what it promised.

    kill_loop.py [--broker ottla|kafka] [--rounds N] [--seed N] [--folder DIR]

A round: the load runs, the broker is killed after a random while and started again, in every third round killed once
more while it starts; the load goes on through all of it. Then the producers pause until each message has its answer,
and everything in the broker is read and laid beside the ledger. A failed run leaves its folder.
"""
import argparse
import os
import pathlib
import random
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from kafka import KafkaAdminClient  # noqa: E402
from kafka.admin import NewTopic  # noqa: E402

from harness.broker import ROOT, Broker  # noqa: E402
from kill import load  # noqa: E402
from kill.ledger import Ledger  # noqa: E402

LOAD_S = (0.2, 2.5)
KILLED_STARTING_EVERY = 3
STARTING_S = {"ottla": 0.1, "kafka": 6}  # the longest that a start is left alone before it is killed


def create_topics(address):
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(name, num_partitions=count, replication_factor=1,
                                  topic_configs=load.TOPIC_CONFIGS.get(name, {}))
                         for name, count in load.TOPICS.items()])
    admin.close()


class Loop:
    def __init__(self, kind, folder, seed):
        self.chance, self.ledger, self.faults, self.lines = random.Random(seed), Ledger(), [], []
        self.broker = Broker(kind, folder)
        self.seed = seed

    def round(self, number):
        acknowledged_before, commits_before = len(self.ledger.acknowledged), self.ledger.committed_now()
        self.load.resume()
        if not self.await_commit(commits_before):
            self.faults.append(f"round {number}: the group did not commit")
        waited = self.chance.uniform(*LOAD_S)
        time.sleep(waited)
        self.broker.kill()
        twice = number % KILLED_STARTING_EVERY == 0
        if twice:
            self.broker.kill_while_starting(self.chance.uniform(0, STARTING_S[self.broker.kind]))
        began = time.monotonic()
        self.broker.start()
        start_s = time.monotonic() - began
        if not self.load.pause():
            self.faults.append(f"round {number}: {self.ledger.outstanding()} messages without an answer")
        self.faults += self.load.errors()
        records, promised = load.read_all(self.broker.address), self.ledger.committed_now()
        committed = load.committed_all(self.broker.address)
        with self.ledger.lock:
            self.faults += [f"round {number}: {fault}" for fault in self.ledger.check(records, promised, committed)]
            new = len(self.ledger.acknowledged) - acknowledged_before
            failed = len(self.ledger.failed)
        if new == 0:
            self.faults.append(f"round {number}: nothing was acknowledged")
        self.tell(number, waited, twice, start_s, new, failed, records)

    def await_commit(self, before):
        """Members that were killed off with a broker need a while to find together again."""
        deadline = time.monotonic() + load.QUIET_S
        while self.ledger.committed_now() == before:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def tell(self, number, waited, twice, start_s, new, failed, records):
        stored = sum(len(found) for found in records.values())
        line = (f"round {number:3}: killed after {waited:4.1f} s{' and while starting' if twice else ''}, "
                f"back in {start_s:5.2f} s; {new:6} more acknowledged, {stored:7} stored, "
                f"{failed:5} unanswered or refused, faults {len(self.faults)}")
        self.lines.append(line)
        print(line, flush=True)

    def run(self, rounds):
        """Gives the faults; prints a line a round and a report."""
        print(f"kill loop against {self.broker.kind}: {rounds} rounds, seed {self.seed}", flush=True)
        self.broker.start()
        create_topics(self.broker.address)
        self.load = load.Load(self.broker.address, self.ledger, self.seed)
        self.load.start()
        try:
            done = 0
            while done < rounds and not self.faults:
                done += 1
                self.round(done)
        finally:
            self.load.end()
            self.broker.close()
        self.check_that_something_happened()
        self.report(done)
        return self.faults

    def check_that_something_happened(self):
        """A producer that never got an acknowledgement, or a group that never committed, would prove nothing."""
        spoke = {producer for producer, _ in self.ledger.acknowledged}
        self.faults += [f"{name} never got an acknowledgement" for name in load.PRODUCERS if name not in spoke]
        self.faults += [f"{name} is idempotent and did not get message {number} through"
                        for name, number in sorted(self.ledger.failed) if "idempotent" in name]
        if len(self.ledger.committed) < sum(load.TOPICS.values()):
            self.faults.append(f"the group committed in {len(self.ledger.committed)} partitions only")

    def report(self, done):
        for name in load.PRODUCERS:
            sent = sum(1 for producer, _ in self.ledger.sent if producer == name)
            acknowledged = sum(1 for producer, _ in self.ledger.acknowledged if producer == name)
            print(f"{name:20} sent {sent:7}, acknowledged {acknowledged:7}")
        for fault in self.faults:
            print(f"FAULT {fault}")
        print(f"kill: {done - (1 if self.faults else 0)} passed, {1 if self.faults else 0} failed", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=("ottla", "kafka"), default=os.environ.get("BROKER", "ottla"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--folder", type=pathlib.Path,
                        default=ROOT / ".cache" / "kill" / time.strftime("%Y%m%d-%H%M%S"))
    options = parser.parse_args()
    faults = Loop(options.broker, options.folder, options.seed).run(options.rounds)
    if faults:
        print(f"the broker's folder is left in {options.folder}")
    else:
        shutil.rmtree(options.folder)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
