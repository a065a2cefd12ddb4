# SPDX-License-Identifier: Apache-2.0
"""Every story is told to a broker and compared, field by field, with what Apache Kafka 4.3.1 answered.

Kafka's answers lie in recorded/, one file a story. `--broker kafka` tells the stories to a live Kafka and so shows that the
recordings are current; with `--record` it writes them anew.
"""
import base64
import json
import pathlib

import pytest

from harness.broker import Broker
from oracle import session, stories  # noqa: F401

RECORDED = pathlib.Path(__file__).parent / "recorded"
SETTINGS = {"group.min.session.timeout.ms": "100", "offsets.topic.num.partitions": "3"}


@pytest.fixture(scope="module")
def told_to(kind, tmp_path_factory):
    """A broker of the oracle's own: the stories count on topics and producer ids that nobody else has touched."""
    running = Broker(kind, tmp_path_factory.mktemp("oracle"), SETTINGS)
    try:
        yield running.start()
    finally:
        running.close()


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
    told = session.tell(name, told_to.address)
    file = RECORDED / f"{name}.json"
    if request.config.getoption("--record"):
        assert told_to.kind == "kafka", "only Apache Kafka's answers are recorded"
        file.write_text(session.as_text(told))
        return
    found = compare(json.loads(file.read_text()), json.loads(session.as_text(told)))
    assert not found, "\n".join([f"{len(found)} differences"] + found[:40])


def test_every_recording_belongs_to_a_story():
    assert {path.stem for path in RECORDED.glob("*.json")} == set(session.STORIES)
