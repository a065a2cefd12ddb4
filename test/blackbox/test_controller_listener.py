# SPDX-License-Identifier: Apache-2.0
"""What a controller's listener answers: the part of Kafka's controller that ROADMAP.md lists, and nothing else.

The versions are compared with test/kafka/api-versions.txt, which Apache Kafka 4.3.1 told; of requests that it has no longer,
Ottla may serve older versions than the table's.
"""
import pathlib
import re
import struct
import time

import pytest

from harness import raw
from harness.broker import free_port
from oracle.session import Session

ROOT = pathlib.Path(__file__).resolve().parents[2]
RAFT_FETCH = {"Fetch"}  # a client's request by its key, but a controller answers other controllers with it


def told_by_a_controller():
    """{name: (lowest, highest)}"""
    table = (ROOT / "test" / "kafka" / "api-versions.txt").read_text().split("[controller]")[1]
    return {name: (int(low), int(high)) for name, low, high in re.findall(r"^\d+\t(\w+)\t(\d+)\t(\d+)$", table, re.M)}


def in_roadmap():
    rows = re.findall(r"^\| (\d+) \| (\w+) \| \d+ to \d+ \|$", (ROOT / "ROADMAP.md").read_text(), re.M)
    return {name: int(key) for key, name in rows}


@pytest.fixture
def sessions(kind, make_broker):
    """A client's, and one at the listener of the controller."""
    broker = make_broker()
    if kind == "ottla":
        broker.controller_port = free_port()
        broker.settings["listeners"] = f"PLAINTEXT://{broker.address},CONTROLLER://127.0.0.1:{broker.controller_port}"
    broker.start()
    both = Session(broker.address, "client"), Session(f"127.0.0.1:{broker.controller_port}", "controller")
    yield both
    for session in both:
        session.close()


def versions(session, version=4):
    return session.main.ask("ApiVersions", version, {} if version < 3 else {"clientSoftwareName": "test", "clientSoftwareVersion": "1"})


def test_it_tells_what_a_controller_serves(kind, sessions):
    kafka, ours = told_by_a_controller(), in_roadmap()
    wanted = set(kafka) if kind == "kafka" else set(kafka) & set(ours) - RAFT_FETCH
    keys = {row["apiKey"]: row for row in versions(sessions[1])["apiKeys"]}
    assert set(keys) == {key for name, key in ours.items() if name in wanted} | (set(keys) if kind == "kafka" else set())
    for name in wanted & set(ours):
        row = keys[ours[name]]
        assert row["maxVersion"] == kafka[name][1] and row["minVersion"] <= kafka[name][0], name


@pytest.mark.parametrize("name", ("Produce", "Metadata", "JoinGroup", "OffsetFetch", "DescribeProducers"))
def test_what_is_not_a_controllers_ends_the_connection(sessions, name):
    key = in_roadmap()[name]
    assert name not in told_by_a_controller()
    with raw.connect(sessions[1].address) as sock:
        sock.sendall(raw.frame(raw.header(key, 1) + struct.pack(">i", 0)))
        assert raw.is_closed(sock)


def test_both_listeners_tell_the_same_features_also_after_they_changed(sessions):
    def features(session, version):
        answer = versions(session, version)
        return [sorted((f["name"], *levels(f)) for f in answer[key]) for key, levels in (
            ("supportedFeatures", lambda f: (f["minVersion"], f["maxVersion"])),
            ("finalizedFeatures", lambda f: (f["minVersionLevel"], f["maxVersionLevel"])))] + [answer["finalizedFeaturesEpoch"]]

    def change(level, upgrade_type):
        answer = sessions[1].main.ask("UpdateFeatures", 1, {"timeoutMs": 30000, "validateOnly": False, "featureUpdates": [
            {"feature": "group.version", "maxVersionLevel": level, "upgradeType": upgrade_type}]})
        assert answer["errorCode"] == 0

    epochs, deadline = [], time.monotonic() + 60
    for level, upgrade_type in ((None, None), (0, 2), (1, 1)):
        if level is not None:
            change(level, upgrade_type)
        wanted = [("group.version", level, level)] if level else [] if level == 0 else None
        for session in sessions:
            for version in (3, 4):
                while True:  # a broker hears of it by and by
                    supported, finalized, epoch = features(session, version)
                    group = [f for f in finalized if f[0] == "group.version"]
                    if wanted is None or group == wanted:
                        break
                    assert time.monotonic() < deadline, f"{session.address} tells {group}"
        client, controller = (features(session, 4) for session in sessions)
        assert client[:2] == controller[:2]
        epochs.append(client[2])
    assert epochs == sorted(set(epochs)) and epochs[0] >= 0
