# SPDX-License-Identifier: Apache-2.0
"""A broker that is stopped or killed and started again on its directory has lost nothing, for each Python client."""
import pytest

from harness.broker import BrokerDied
from harness.clients import PYTHON_CLIENTS


def values(first, last):
    return [f"event-{n}".encode() for n in range(first, last)]


@pytest.mark.parametrize("clean", (True, False), ids=("stopped", "killed"))
def test_records_and_commits_are_there_after_a_restart(make_broker, make_client, clean):
    """All three clients at once: one start of a broker serves them all."""
    broker = make_broker().start()
    for name in PYTHON_CLIENTS:
        client = make_client(name, broker)
        client.ask("create_topic", topic=name)
        client.produce(name, values(0, 50))
        client.ask("consumer", name="c", group=name, topics=[name])
        assert [r["value"] for r in client.poll("c", 20)] == values(0, 20)
        client.ask("commit", name="c")
        client.ask("close_consumer", name="c")
    broker.restart(clean)
    for name in PYTHON_CLIENTS:
        client = make_client(name, broker)
        assert client.produce(name, values(50, 60)) == [[0, n] for n in range(50, 60)]
        client.ask("consumer", name="c", group=name, topics=[name])
        assert [r["value"] for r in client.poll("c", 40)] == values(20, 60)
        client.ask("close_consumer", name="c")


@pytest.mark.parametrize("clean", (True, False), ids=("stopped", "killed"))
def test_clients_that_stay_connected_go_on_after_a_restart(make_broker, make_client, clean):
    broker = make_broker().start()
    clients = [make_client(name, broker) for name in PYTHON_CLIENTS]
    for client in clients:
        client.ask("create_topic", topic=client.name)
        client.produce(client.name, values(0, 5), options={"acks": "all"})
        client.ask("consumer", name="c", group=client.name, topics=[client.name],
                   options={"session_timeout_ms": 6000, "heartbeat_interval_ms": 500})
        assert [r["value"] for r in client.poll("c", 5)] == values(0, 5)
        client.ask("commit", name="c")
    broker.restart(clean)
    for client in clients:
        client.produce(client.name, values(5, 10))
        got, wanted = [], values(5, 10)
        while not set(wanted) <= {r["value"] for r in got}:
            more = client.poll("c", 1)
            assert more, f"{client.name} got only {got}"
            got += more
        assert [r["offset"] for r in got] == sorted(r["offset"] for r in got)


def test_topics_and_their_settings_survive_a_restart(make_broker, make_client):
    broker = make_broker().start()
    client = make_client("confluent-kafka", broker)
    client.ask("create_topic", topic="kept", partitions=3, configs={"max.message.bytes": "5000"})
    client.ask("create_topic", topic="dropped")
    client.ask("delete_topic", topic="dropped")
    broker.restart(clean=False)
    client = make_client("confluent-kafka", broker)
    assert [t for t in client.ask("topics") if not t.startswith("__")] == ["kept"]
    with pytest.raises(Exception, match="(?i)too.?large|larger than"):
        client.produce("kept", [bytes(range(256)) * 40])


def test_a_second_broker_on_the_same_directory_is_refused(make_broker, tmp_path):
    first = make_broker(folder=tmp_path / "one").start()
    second = make_broker(folder=tmp_path / "two")
    (tmp_path / "two" / "data").symlink_to(first.data)
    with pytest.raises(BrokerDied):
        second.start()
    assert first.alive()


@pytest.mark.ottla
def test_a_clean_stop_ends_with_status_zero(make_broker):
    assert make_broker().start().stop() == 0


@pytest.mark.ottla
def test_a_start_names_address_directory_and_durability(make_broker):
    broker = make_broker().start()
    following = broker.log_from(f"is ready: bootstrap.servers={broker.address}").splitlines()[1]
    assert str(broker.data) in following
    assert "durability fsync" in following
