# SPDX-License-Identifier: Apache-2.0
"""One story told to a broker: what was asked, what was answered, as a transcript that two brokers must share.

What cannot be the same in two brokers gets a name instead: after `call(value, "name")` every sight of the value in the
transcript is `<name>`. The few fields whose values may differ otherwise are told by name and with a reason (`differs`);
never an error code, an offset, an epoch or bytes of records.
"""
import base64
import json
import pathlib
import re
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import raw  # noqa: E402
from oracle import codec  # noqa: E402

CLIENT_ID = "oracle"
# Fields of every story whose value may differ -> why. A story adds its own by `differs`.
DIFFERENCES = {"clusterId": "each cluster has its own"}
NEVER_DIFFERENT = ("errorCode", "offset", "baseOffset", "endOffset", "leaderEpoch", "records", "committedOffset",
                   "logStartOffset", "highWatermark", "lastStableOffset", "generationId")


def whole_batches(records):
    """Kafka fills a limit up with the beginning of the next batch, which no client can read; here only whole ones are sent."""
    at = 0
    while len(records) - at >= 12 and len(records) - at >= 12 + int.from_bytes(records[at + 8:at + 12], "big"):
        at += 12 + int.from_bytes(records[at + 8:at + 12], "big")
    return records[:at]


def plain(value):
    """As JSON: bytes as text with a mark."""
    if isinstance(value, bytes):
        return "b64:" + base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: plain(whole_batches(one) if key == "records" and one else one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


class Link:
    """One connection of a story."""

    def __init__(self, session, name):
        self.session, self.name = session, name
        self.sock = None
        self.correlation_id = 0
        self.waiting = []

    def send(self, api_name, version, body, client_id=CLIENT_ID):
        api = codec.BY_NAME[api_name]
        if self.sock is None:
            self.sock = raw.connect(self.session.address)
        self.correlation_id += 1
        frame = codec.request(api, version, self.correlation_id, client_id, body)
        try:
            self.sock.sendall(raw.frame(frame))
        except (BrokenPipeError, ConnectionResetError):
            pass  # told by the missing answer
        self.waiting.append((api, version, self.correlation_id))
        return self

    def answer(self, note=None, answers=True):
        """The next answer, noted in the transcript; None when the connection was closed instead, or nothing is owed."""
        api, version, correlation_id = self.waiting.pop(0)
        if not answers:
            return None
        try:
            data = raw.read_frame(self.sock)
        except raw.Closed:
            self.close()
            self.session.note(api, version, "closed", note)
            return None
        answered, body = codec.response(api, version, data)
        assert answered == correlation_id, f"the answer to {answered} came in place of that to {correlation_id}"
        self.session.note(api, version, body, note)
        return body

    def ask(self, api_name, version, body, note=None, client_id=CLIENT_ID):
        return self.send(api_name, version, body, client_id).answer(note)

    def close(self):
        if self.sock is not None:
            self.sock.close()
        self.sock, self.waiting = None, []


class Session:
    def __init__(self, address, title):
        self.address, self.title = address, title
        self.host, self.port = address.rsplit(":", 1)
        self.names, self.steps, self.links, self.topic_ids = {}, [], [], {}
        self.different = dict(DIFFERENCES)
        self.main = self.link()

    def link(self):
        self.links.append(Link(self, f"link-{len(self.links)}"))
        return self.links[-1]

    def close(self):
        for link in self.links:
            link.close()

    # ---- the transcript
    def call(self, value, name):
        self.names[value] = f"<{name}>"
        return value

    def differs(self, field, reason):
        assert field not in NEVER_DIFFERENT and reason
        self.different[field] = reason

    def normal(self, value):
        if isinstance(value, dict):
            return {key: self.normal_field(key, one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.normal(one) for one in value]
        if isinstance(value, str):
            value = re.sub(r"within \[\d+, \d+\]", "within [<clock>]", value)
            for known, name in self.names.items():
                if known and known in value:
                    value = value.replace(known, name)
        return value

    def normal_field(self, key, value):
        if key in self.different and value not in (None, "", -1, []):
            return f"<{key}>"
        if key == "port" and str(value) == self.port:
            return "<port>"
        if key == "host" and value == self.host:
            return "<host>"
        return self.normal(value)

    def note(self, api, version, answer, note=None):
        title = f"{api.name} v{version}" + (f": {note}" if note else "")
        self.steps.append({"ask": title, "answer": answer})

    def transcript(self):
        """Names are put in at the end: some are learned only from later answers."""
        return [{"ask": self.normal(step["ask"]), "answer": self.normal(plain(step["answer"]))} for step in self.steps]

    # ---- what stories often do
    def ask(self, api_name, version, body, note=None, client_id=CLIENT_ID):
        return self.main.ask(api_name, version, body, note, client_id)

    def quietly(self, api_name, version, body):
        """Asks without a note: preparation that is not what the story is about."""
        before = len(self.steps)
        answer = self.main.ask(api_name, version, body)
        del self.steps[before:]
        return answer

    def topic(self, name=None, partitions=1, **configs):
        """Makes a topic and waits until its partitions have a leader; the name is the story's unless given."""
        name = name or self.title
        made = self.quietly("CreateTopics", 7, {"topics": [{
            "name": name, "numPartitions": partitions, "replicationFactor": 1, "assignments": [],
            "configs": [{"name": key.replace("_", "."), "value": str(value)} for key, value in configs.items()]}],
            "timeoutMs": 30000})
        error = made["topics"][0]["errorCode"]
        assert error == 0, f"topic {name}: error {error}, {made['topics'][0]['errorMessage']}"
        self.await_leaders(name, partitions)
        return name

    def await_leaders(self, name, partitions):
        """Asks ListOffsets until every partition answers: metadata and leadership reach a broker by and by."""
        wanted = [{"partitionIndex": n, "currentLeaderEpoch": -1, "timestamp": -1} for n in range(partitions)]
        while True:
            answer = self.quietly("ListOffsets", 6, {"replicaId": -1, "topics": [{"name": name, "partitions": wanted}]})
            if all(p["errorCode"] == 0 for p in answer["topics"][0]["partitions"]):
                break
        answer = self.quietly("Metadata", 12, {"topics": [{"topicId": "A" * 22, "name": name}]})
        self.topic_ids[name] = self.call(answer["topics"][0]["topicId"], f"id of {name}")

    def topic_id(self, name):
        return self.topic_ids[name]


def told_by_kafka(api_name):
    """The versions that Apache Kafka 4.3.1 says it serves, as recorded in test/kafka/api-versions.txt; none for what it has not."""
    table = (pathlib.Path(__file__).resolve().parents[1] / "kafka" / "api-versions.txt").read_text()
    for line in table.split("[controller]")[0].splitlines():
        parts = line.split("\t")
        if len(parts) == 4 and parts[1] == api_name:
            return range(int(parts[2]), int(parts[3]) + 1)
    return range(0)


def served(api_name, lowest=0, highest=1000):
    """Every version that Apache Kafka 4.3.1 serves."""
    all_versions = told_by_kafka(api_name)
    assert all_versions, api_name
    first = 3 if api_name == "Produce" else all_versions.start  # Produce is advertised from 0, see the story about it
    return range(max(first, lowest), min(all_versions.stop, highest + 1))


# ---- stories: functions of a session, by name
STORIES = {}


def story(function=None, **settings):
    """`@story`, or `@story(group_max_size=3)` for one that is told to a broker with settings of its own."""
    def told(function):
        name = f"{function.__module__.rsplit('.', 1)[-1]}.{function.__name__}"
        assert name not in STORIES
        function.settings = {key.replace("_", "."): str(value) for key, value in settings.items()}
        STORIES[name] = function
        return function
    return told(function) if function else told


def tell(name, address):
    session = Session(address, name.replace("_", "-"))
    try:
        STORIES[name](session)
        return session.transcript()
    finally:
        session.close()


def as_text(transcript):
    """One line for each step, so that a change of a recording reads well in a diff."""
    return "[\n" + ",\n".join(json.dumps(step, ensure_ascii=False) for step in transcript) + "\n]\n"
