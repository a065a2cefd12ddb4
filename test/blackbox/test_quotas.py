# SPDX-License-Identifier: Apache-2.0
"""Client quotas take effect: the wait is told in the answer, a strict change of topics is refused, a connection is closed.

Each test has a client id of its own, so that no other is slowed down. How long somebody waits is told by the broker, never
measured here; that a connection is silent while it waits is looked at while another is answered.
"""
import select
import time

import pytest

from harness import batch, raw
from harness.clients import java_configs, kcat
from oracle.session import Session

THROTTLING_QUOTA_EXCEEDED = 89
BATCH_BYTES = 4000


@pytest.fixture
def session(broker, topic):
    made = Session(broker.address, topic)
    yield made
    made.close()


@pytest.fixture
def quota(session, topic):
    """Sets quotas of the test's client, and takes them back."""
    known = set()

    def change(ops):
        answer = session.main.ask("AlterClientQuotas", 1, {"entries": [{
            "entity": [{"entityType": "client-id", "entityName": topic}], "ops": ops}], "validateOnly": False})
        assert answer["entries"][0]["errorCode"] == 0, answer
        await_values(session, "client-id", topic, {op["key"]: op["value"] for op in ops if not op["remove"]})

    def put(key, value):
        known.add(key)
        change([{"key": key, "value": float(value), "remove": False}])
    yield put
    change([{"key": key, "value": 0.0, "remove": True} for key in known])


def await_values(session, kind, name, values):
    deadline = time.monotonic() + 30
    while True:
        answer = session.main.ask("DescribeClientQuotas", 1, {
            "components": [{"entityType": kind, "matchType": 0, "match": name}], "strict": True})
        found = {value["key"]: value["value"] for entry in answer["entries"] for value in entry["values"]}
        if found == values:
            return
        assert time.monotonic() < deadline, f"{found} instead of {values}"
        time.sleep(0.02)


def produce(link, topic, client_id, count=1, size=BATCH_BYTES):
    """Batches one by one; the last answer."""
    for _ in range(count):
        records = batch.batch([(None, b"x" * size)])
        answer = link.ask("Produce", 9, {"transactionalId": None, "acks": -1, "timeoutMs": 30000, "topicData": [
            {"name": topic, "partitionData": [{"index": 0, "records": records}]}]}, client_id=client_id)
        assert answer["responses"][0]["partitionResponses"][0]["errorCode"] == 0
    return answer


def fetch(link, topic, client_id, max_bytes=1 << 20):
    answer = link.ask("Fetch", 12, {
        "replicaId": -1, "maxWaitMs": 100, "minBytes": 1, "maxBytes": max_bytes, "isolationLevel": 0, "sessionId": 0,
        "sessionEpoch": -1, "topics": [{"topic": topic, "partitions": [
            {"partition": 0, "currentLeaderEpoch": -1, "fetchOffset": 0, "lastFetchedEpoch": -1, "logStartOffset": -1,
             "partitionMaxBytes": 1 << 20}]}], "forgottenTopicsData": [], "rackId": ""}, client_id=client_id)
    assert answer["errorCode"] == 0
    sizes = [len(p["records"] or b"") for t in answer["responses"] for p in t["partitions"]]
    return sum(sizes), answer["throttleTimeMs"]


def is_silent_while_another_is_answered(session, link):
    """It has asked something and has to wait for longer than another's answer takes."""
    link.send("ApiVersions", 0, {}, client_id="whoever")
    for _ in range(3):
        assert session.link().ask("ApiVersions", 0, {}, client_id="somebody")["errorCode"] == 0
    return not select.select([link.sock], [], [], 0)[0]


def test_who_produces_too_much_is_answered_told_to_wait_and_then_not_heard(session, topic, quota):
    session.topic(topic)
    quota("producer_byte_rate", 100)
    link = session.link()
    assert produce(link, topic, topic)["throttleTimeMs"] > 0
    assert is_silent_while_another_is_answered(session, link)
    assert produce(session.link(), topic, "somebody-else", count=5)["throttleTimeMs"] == 0


def test_who_fetches_too_much_gets_nothing_but_the_time_to_wait(session, topic, quota):
    session.topic(topic)
    produce(session.main, topic, "somebody-else", count=5)
    quota("consumer_byte_rate", BATCH_BYTES / 4)  # ten seconds' worth at once: two batches and some
    size, throttle_ms = fetch(session.link(), topic, topic, max_bytes=int(2.25 * BATCH_BYTES))
    assert 2 * BATCH_BYTES < size < 3 * BATCH_BYTES and throttle_ms == 0
    size, throttle_ms = fetch(session.link(), topic, topic)
    assert size == 0 and throttle_ms > 0
    assert fetch(session.link(), topic, "somebody-else")[0] > 5 * BATCH_BYTES


def test_who_takes_too_much_time_is_told_to_wait(session, topic, quota):
    quota("request_percentage", 1e-6)
    body = {"topics": [], "allowAutoTopicCreation": False, "includeTopicAuthorizedOperations": False}
    waits = [session.link().ask("Metadata", 9, {**body, "includeClusterAuthorizedOperations": False},
                                client_id=topic)["throttleTimeMs"] for _ in range(3)]
    assert max(waits) > 0 and max(waits) <= 1000  # one window at most


def create(session, name, partitions, version, client_id):
    answer = session.link().ask("CreateTopics", version, {"topics": [
        {"name": name, "numPartitions": partitions, "replicationFactor": 1, "assignments": [], "configs": []}],
        "timeoutMs": 30000, "validateOnly": False}, client_id=client_id)
    return answer["topics"][0]["errorCode"], answer["throttleTimeMs"]


def test_who_makes_too_many_partitions_is_refused_until_he_has_waited(session, topic, quota):
    quota("controller_mutation_rate", 0.1)
    assert create(session, f"{topic}-a", 3, 6, topic) == (0, 0)  # 1.1 are there at once, the others are owed
    error, throttle_ms = create(session, f"{topic}-b", 1, 6, topic)
    assert error == THROTTLING_QUOTA_EXCEEDED and throttle_ms > 0
    more = session.link().ask("CreatePartitions", 3, {"topics": [{"name": f"{topic}-a", "count": 4, "assignments": None}],
                                                       "timeoutMs": 30000, "validateOnly": False}, client_id=topic)
    assert more["results"][0]["errorCode"] == THROTTLING_QUOTA_EXCEEDED
    gone = session.link().ask("DeleteTopics", 5, {"topicNames": [f"{topic}-a"], "timeoutMs": 30000}, client_id=topic)
    assert gone["responses"][0]["errorCode"] == THROTTLING_QUOTA_EXCEEDED
    error, throttle_ms = create(session, f"{topic}-c", 1, 5, topic)  # older clients know no such error
    assert error == 0 and throttle_ms > 0
    assert create(session, f"{topic}-d", 1, 6, "somebody-else") == (0, 0)


def connects_and_is_answered(address):
    with raw.connect(address) as sock:
        try:
            return len(raw.ask(sock, raw.header(18, 0))) > 0
        except (raw.Closed, ConnectionResetError, BrokenPipeError):
            return False


def test_connections_that_come_too_early_are_closed(make_broker):
    broker = make_broker().start()
    session = Session(broker.address, "early")
    session.main.ask("AlterClientQuotas", 1, {"entries": [{
        "entity": [{"entityType": "ip", "entityName": "127.0.0.1"}],
        "ops": [{"key": "connection_creation_rate", "value": 1.0, "remove": False}]}], "validateOnly": False})
    await_values(session, "ip", "127.0.0.1", {"connection_creation_rate": 1.0})
    answered = [connects_and_is_answered(broker.address) for _ in range(15)]
    assert answered[0] and not all(answered)
    session.close()


def test_kcat_under_a_quota_is_slowed_down_and_loses_nothing(broker, session, topic, quota):
    """Three messages, two and a half of them are ten seconds' worth of the quota: the client waits, and goes on by itself."""
    session.topic(topic)
    quota("producer_byte_rate", 100000)
    lines = [bytes([ord("a") + n]) * 400000 for n in range(3)]
    kcat(broker.address, "-P", "-t", topic, "-X", f"client.id={topic}", "-X", "batch.num.messages=1",
         stdin=b"".join(line + b"\n" for line in lines))
    assert kcat(broker.address, "-C", "-t", topic, "-e", "-q").splitlines() == lines


@pytest.mark.parametrize("entities, name, setting", (("clients", "tool-client", "producer_byte_rate=12345"),
                                                 ("ips", "10.9.8.7", "connection_creation_rate=12")))
def test_kafkas_config_command_sets_shows_and_removes(broker, entities, name, setting):
    entity = ("--entity-type", entities, "--entity-name", name)
    key, value = setting.split("=")
    assert "Completed updating config" in java_configs(broker.address, "--alter", "--add-config", setting, *entity)
    assert f"{key}={value}.0" in java_configs(broker.address, "--describe", *entity)
    assert "Completed updating config" in java_configs(broker.address, "--alter", "--delete-config", key, *entity)
    assert key not in java_configs(broker.address, "--describe", *entity)
