# SPDX-License-Identifier: Apache-2.0
"""Every story is told to a broker and compared, field by field, with what Apache Kafka 4.3.1 answered.

Kafka's answers lie in recorded/, one file a story. `--broker kafka` tells the stories to a live Kafka and so shows that the
recordings are current; with `--record` it writes them anew.
"""
import base64
import json
import pathlib
import re

import pytest

from harness.broker import Broker
from oracle import session, stories  # noqa: F401

RECORDED = pathlib.Path(__file__).parent / "recorded"
SETTINGS = {"group.min.session.timeout.ms": "100", "offsets.topic.num.partitions": "3"}


@pytest.fixture(scope="module")
def told_to(kind, tmp_path_factory):
    """Brokers of the oracle's own, one for all stories with the same settings: they count on topics and producer ids that
    nobody else has touched.
    """
    running = {}

    def of(settings, fresh=False):
        key = tuple(sorted(settings.items()))
        if fresh and key in running:
            running.pop(key).close()
        if key not in running:
            running[key] = Broker(kind, tmp_path_factory.mktemp("oracle"), {**SETTINGS, **settings})
            running[key].start()
        return running[key]
    yield of
    for one in running.values():
        one.close()


def whole_batches(value):
    """Without the beginning of a batch that a limit has cut: Kafka sends it, clients drop it, Ottla sends none."""
    data = base64.b64decode(value.removeprefix("b64:"))
    end = 0
    while len(data) - end >= 12 and end + 12 + int.from_bytes(data[end + 8:end + 12], "big") <= len(data):
        end += 12 + int.from_bytes(data[end + 8:end + 12], "big")
    return data[:end]


def same_records(wanted, got, where):
    texts = isinstance(wanted, str) and isinstance(got, str) and wanted.startswith("b64:") and got.startswith("b64:")
    return texts and where.endswith(".records") and whole_batches(wanted) == whole_batches(got)


def differences(wanted, got, where=""):
    if isinstance(wanted, dict) and isinstance(got, dict):
        for key in list(wanted) + [k for k in got if k not in wanted]:
            yield from differences(wanted.get(key, "<absent>"), got.get(key, "<absent>"), f"{where}.{key}")
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for n, pair in enumerate(zip(wanted, got)):
            yield from differences(*pair, f"{where}[{n}]")
    elif wanted != got and not same_records(wanted, got, where):
        yield f"{where}: Kafka {json.dumps(wanted)}, here {json.dumps(got)}"


def compare(wanted, got):
    found = []
    for n, (kafka, here) in enumerate(zip(wanted, got)):
        found += [f"step {n + 1}, {kafka['ask']}: {line}" for line in differences(kafka, here)]
    if len(wanted) != len(got):
        found.append(f"{len(wanted)} steps by Kafka, {len(got)} here")
    return found


@pytest.mark.parametrize("name", sorted(session.STORIES))
def test_same_answers_as_kafka(name, told_to, request):
    broker = told_to(session.STORIES[name].settings)
    told = session.tell(name, broker.address)
    file = RECORDED / f"{name}.json"
    if request.config.getoption("--record"):
        assert broker.kind == "kafka", "only Apache Kafka's answers are recorded"
        file.write_text(session.as_text(told))
        return
    found = compare(json.loads(file.read_text()), json.loads(session.as_text(told)))
    if found and broker.kind == "kafka":
        # Kafka shows what one of its threads did to the others a moment later, and a slow machine makes that moment long. A
        # recording that is wrong differs from a second Kafka as well.
        broker = told_to(session.STORIES[name].settings, fresh=True)
        found = compare(json.loads(file.read_text()), json.loads(session.as_text(session.tell(name, broker.address))))
    assert not found, "\n".join([f"{len(found)} differences"] + found[:40])


def test_every_recording_belongs_to_a_story():
    assert {path.stem for path in RECORDED.glob("*.json")} == set(session.STORIES)


ROADMAP = pathlib.Path(__file__).resolve().parents[2] / "ROADMAP.md"
# Versions that both say they serve and that no story asks for -> why not.
NOT_TOLD = {
    ("Produce", 0): "Kafka says so for old clients' sake and closes the connection; Ottla serves it",
    ("Produce", 1): "as 0",
    ("Produce", 2): "as 0",
}


def asked():
    """Every (request, version) that Kafka's recorded answers hold."""
    for file in RECORDED.glob("*.json"):
        for step in json.loads(file.read_text()):
            found = re.match(r"(\w+) v(\d+)", step["ask"])
            if found:
                yield found.group(1), int(found.group(2))


def test_every_request_is_told_at_every_version_that_both_serve():
    told, missing = set(asked()), set()
    for name, first, last in re.findall(r"^\| \d+ \| (\w+) \| (\d+) to (\d+) \|$", ROADMAP.read_text(), re.MULTILINE):
        here = range(int(first), int(last) + 1)
        missing |= {(name, version) for version in session.told_by_kafka(name) if version in here and (name, version) not in told}
    assert missing == set(NOT_TOLD)
