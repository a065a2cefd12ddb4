# SPDX-License-Identifier: Apache-2.0
"""What was promised, kept beside what is there; `Ledger.check` names every difference.

A record's value says who sent it, as which of its messages, and carries a checksum over itself:

    <producer>:<number>:<crc32, 8 hexadecimal digits>:<filler>

Promises, each a line of `check`:
- a partition's offsets begin at 0 and have no hole;
- every value is whole, was really sent, and stands there once;
- the messages of one producer stand in the order in which it sent them;
- an acknowledged message stands at the offset that its acknowledgement named;
- what any reader has ever seen at an offset is still there;
- a group's committed offset is no lower than the last one acknowledged, and no higher than the highest one tried.
"""
import collections
import threading
import zlib

FAULTS_MAX = 20


def value_of(producer, number, filler):
    return b"%s:%d:%08x:%s" % (producer.encode(), number, zlib.crc32(filler, number), filler)


def parse(value):
    """(producer, number), or None for a value that is not whole."""
    try:
        producer, number, crc, filler = value.split(b":", 3)
        if int(crc, 16) == zlib.crc32(filler, int(number)):
            return producer.decode(), int(number)
    except ValueError:
        pass
    return None


class Ledger:
    """Written by the threads of the load, read when they are quiet. A place is (topic, partition)."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sent = {}  # (producer, number) -> place
        self.acknowledged = {}  # (producer, number) -> (place, offset)
        self.failed = set()  # (producer, number) whose outcome the client does not know, or knows to be a refusal
        self.seen = collections.defaultdict(dict)  # place -> {offset: (producer, number)}
        self.committed = {}  # place -> the highest offset whose commit was acknowledged
        self.tried = {}  # place -> the highest offset that a commit named

    def note_sent(self, message, place):
        with self.lock:
            self.sent[message] = place

    def note_acknowledged(self, message, place, offset):
        with self.lock:
            self.acknowledged[message] = (place, offset)

    def note_failed(self, message):
        with self.lock:
            self.failed.add(message)

    def note_seen(self, place, offset, value):
        with self.lock:
            self.seen[place][offset] = parse(value)

    def note_commit_tried(self, place, offset):
        with self.lock:
            self.tried[place] = max(offset, self.tried.get(place, 0))

    def note_committed(self, place, offset):
        with self.lock:
            self.committed[place] = max(offset, self.committed.get(place, 0))

    def committed_now(self):
        with self.lock:
            return dict(self.committed)

    def outstanding(self):
        with self.lock:
            return len(self.sent) - len(self.acknowledged) - len(self.failed)

    def check(self, records, promised, committed):
        """`records`: {place: [(offset, value)]} from the first to the last. `promised` is what `committed_now` gave
        before the broker was asked for `committed`, {place: offset or None}: members may go on committing meanwhile.
        """
        faults = []
        there = {place: {offset: parse(value) for offset, value in found} for place, found in records.items()}
        for place, found in records.items():
            faults += check_offsets(place, found)
            faults += self.check_messages(place, there[place])
            faults += self.check_seen(place, there[place])
        faults += self.check_once(there)
        faults += self.check_acknowledged(there)
        faults += self.check_commits(promised, committed)
        return faults[:FAULTS_MAX]

    def check_messages(self, place, there):
        last = {}
        for offset, message in there.items():
            if message is None:
                yield f"{place} {offset}: not whole"
            elif self.sent.get(message) != place:
                yield f"{place} {offset}: {message} was never sent there"
            else:
                producer, number = message
                if number < last.get(producer, -1):
                    yield f"{place} {offset}: {message} stands behind number {last[producer]}"
                last[producer] = number

    def check_seen(self, place, there):
        for offset, message in self.seen.get(place, {}).items():
            if there.get(offset) != message:
                yield f"{place} {offset}: {message} was read there before, now {there.get(offset)}"

    def check_once(self, there):
        at = {}
        for place, found in there.items():
            for offset, message in found.items():
                if message is not None and message in at:
                    yield f"{place} {offset}: {message} stands at {at[message]} too"
                at[message] = (place, offset)

    def check_acknowledged(self, there):
        for message, (place, offset) in self.acknowledged.items():
            if there.get(place, {}).get(offset) != message:
                yield f"{place} {offset}: acknowledged {message}, there is {there.get(place, {}).get(offset)}"

    def check_commits(self, promised, committed):
        for place, offset in promised.items():
            if (committed.get(place) or 0) < offset:
                yield f"{place}: offset {offset} was committed, the group is at {committed.get(place)}"
        for place, offset in committed.items():
            if offset is not None and offset > self.tried.get(place, 0):
                yield f"{place}: the group is at {offset}, nobody committed more than {self.tried.get(place, 0)}"


def check_offsets(place, found):
    for wanted, (offset, _) in enumerate(found):
        if offset != wanted:
            return [f"{place}: offset {offset} where {wanted} was due"]
    return []
