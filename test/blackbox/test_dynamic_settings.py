# SPDX-License-Identifier: Apache-2.0
"""Settings of a broker that are changed by request take effect while it runs, for this broker or for all by default.

What may be changed, and what is answered, the oracle compares (configs.of_brokers_*); here is what it does.
"""
import time

import pytest

from harness import batch, raw
from harness.clients import java_configs
from oracle.session import Session

BROKER = 4
SET, DELETE = 0, 1
MESSAGE_TOO_LARGE = 10


@pytest.fixture
def session(make_broker):
    broker = make_broker({"log.cleaner.backoff.ms": "3600000"}).start()
    made = Session(broker.address, "dynamic")
    yield made
    made.close()


def alter(session, broker, name, value):
    """`broker` "" is the default for all; a value of None takes it back."""
    answer = session.main.ask("IncrementalAlterConfigs", 1, {"validateOnly": False, "resources": [{
        "resourceType": BROKER, "resourceName": broker,
        "configs": [{"name": name, "configOperation": DELETE if value is None else SET, "value": value}]}]})
    assert answer["responses"][0]["errorCode"] == 0, answer


def put(session, broker, name, value):
    """`alter`, and waits until the broker knows."""
    alter(session, broker, name, value)
    deadline = time.monotonic() + 30
    while set_at(session, broker, name) != value:
        assert time.monotonic() < deadline, f"{name} is not {value}"
        time.sleep(0.02)


def set_at(session, broker, name):
    """The value that was set for that broker, or for all."""
    answer = session.main.ask("DescribeConfigs", 4, {"includeSynonyms": True, "resources": [
        {"resourceType": BROKER, "resourceName": broker, "configurationKeys": [name]}]})
    source = 2 if broker else 3
    synonyms = [synonym for one in answer["results"][0]["configs"] for synonym in one["synonyms"]]
    return next((one["value"] for one in synonyms if one["source"] == source and one["name"] == name), None)


def is_welcome(session):
    with raw.connect(session.address) as sock:
        try:
            return len(raw.ask(sock, raw.header(18, 0))) > 0
        except (raw.Closed, ConnectionResetError, BrokenPipeError):
            return False


def test_the_limit_of_connections_of_an_address(session):
    assert is_welcome(session)
    put(session, "", "max.connections.per.ip", "1")
    assert not is_welcome(session)
    put(session, "1", "max.connections.per.ip", "100")
    assert is_welcome(session)
    put(session, "1", "max.connections.per.ip", None)
    assert not is_welcome(session)
    put(session, "1", "max.connections.per.ip.overrides", "127.0.0.1:100")
    assert is_welcome(session)
    put(session, "1", "max.connections.per.ip.overrides", None)
    put(session, "", "max.connections.per.ip", None)
    assert is_welcome(session)


def test_a_listener_has_a_limit_of_its_own(make_broker):
    """What is set by request, then what the file says."""
    name = "listener.name.plaintext.max.connections"
    broker = make_broker({name: "100"}).start()
    session = Session(broker.address, "dynamic")
    assert is_welcome(session)
    for value, welcome in (("1", False), (None, True)):  # the one is the session's
        alter(session, "1", name, value)
        deadline = time.monotonic() + 30
        while is_welcome(session) != welcome:
            assert time.monotonic() < deadline, f"{name} of {value} has no effect"
    session.close()


def produce(session, topic, key=None, size=10, timestamp=1_700_000_000_000):
    records = batch.batch([(key, b"x" * size)], base_timestamp=timestamp)
    answer = session.main.ask("Produce", 9, {"transactionalId": None, "acks": -1, "timeoutMs": 30000, "topicData": [
        {"name": topic, "partitionData": [{"index": 0, "records": records}]}]})
    return answer["responses"][0]["partitionResponses"][0]["errorCode"]


def test_topics_inherit_what_is_set_for_the_broker(session):
    topic = session.topic("inherits")
    own = session.topic("has-its-own", max_message_bytes=100000)
    put(session, "", "message.max.bytes", "500")
    assert produce(session, topic, size=1000) == MESSAGE_TOO_LARGE
    assert produce(session, own, size=1000) == 0
    put(session, "1", "message.max.bytes", "5000")
    assert produce(session, topic, size=1000) == 0
    put(session, "1", "message.max.bytes", None)
    put(session, "", "message.max.bytes", None)
    assert produce(session, topic, size=10000) == 0


def first_offset(session, topic):
    answer = session.main.ask("Fetch", 12, {
        "replicaId": -1, "maxWaitMs": 100, "minBytes": 1, "maxBytes": 1 << 20, "isolationLevel": 0, "sessionId": 0,
        "sessionEpoch": -1, "topics": [{"topic": topic, "partitions": [
            {"partition": 0, "currentLeaderEpoch": -1, "fetchOffset": 0, "lastFetchedEpoch": -1, "logStartOffset": -1,
             "partitionMaxBytes": 1 << 20}]}], "forgottenTopicsData": [], "rackId": ""})
    return int.from_bytes(answer["responses"][0]["partitions"][0]["records"][:8], "big")


def test_the_cleaner_need_not_rest_any_more(session):
    """It would rest for an hour. Every batch has a segment of its own, of which all but the last may be compacted."""
    topic = session.topic("compacted", cleanup_policy="compact", segment_ms=1, min_cleanable_dirty_ratio=0)
    for number in range(5):
        assert produce(session, topic, key=b"key", timestamp=1_700_000_000_000 + 10 * number) == 0
    assert first_offset(session, topic) == 0
    put(session, "", "log.cleaner.backoff.ms", "10")
    deadline = time.monotonic() + 60
    while first_offset(session, topic) < 3:
        assert time.monotonic() < deadline, "it was not compacted"
        time.sleep(0.05)


def test_kafkas_config_command_sets_shows_and_removes_settings_of_brokers(session):
    one, every = ("--entity-type", "brokers", "--entity-name", "1"), ("--entity-type", "brokers", "--entity-default")

    def tool(*arguments):
        return java_configs(session.address, *arguments)
    assert "Completed updating default config for brokers" in tool("--alter", "--add-config", "max.connections=500", *every)
    assert "Completed updating config for broker 1" in tool("--alter", "--add-config", "max.connections=600", *one)
    shown = tool("--describe", *one)
    assert "max.connections=600" in shown
    assert "DYNAMIC_BROKER_CONFIG:max.connections=600" in shown and "DYNAMIC_DEFAULT_BROKER_CONFIG:max.connections=500" in shown
    assert "max.connections=500" in tool("--describe", *every)
    assert "Completed" in tool("--alter", "--delete-config", "max.connections", *one)
    assert "DYNAMIC_BROKER_CONFIG" not in tool("--describe", *one)
