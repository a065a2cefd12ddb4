# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka's own tools, as administrators use them: unmodified, one JVM for all of them."""
import json
import re
import time

import pytest

from harness.clients import Client, java
from harness.tools import Tools


@pytest.fixture(scope="module")
def tools(broker):
    running = Tools(broker.address)
    yield running
    running.close()


@pytest.fixture(scope="module")
def producer(broker):
    running = Client("confluent-kafka", broker.address)
    yield running
    running.close()


def eventually(holds, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def table(text):
    """Lines of columns, by the names in the first that looks like a head; none when there is no such line."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    at = next((n for n, line in enumerate(lines) if line[0] in ("GROUP", "NodeId")), len(lines))
    if at == len(lines):
        return []
    return [dict(zip(lines[at], line)) for line in lines[at + 1:]]


# ---- topics
def test_topics_are_made_described_changed_and_deleted(tools, topic):
    made = tools.asks("TopicCommand", "--create", "--topic", topic, "--partitions", 3, "--replication-factor", 1,
                      "--config", "retention.ms=1000", "--config", "cleanup.policy=compact")
    assert f"Created topic {topic}." in made
    assert topic in tools.asks("TopicCommand", "--list").splitlines()
    told = tools.asks("TopicCommand", "--describe", "--topic", topic)
    assert "PartitionCount: 3\tReplicationFactor: 1" in told and "retention.ms=1000" in told and "cleanup.policy=compact" in told
    assert len(re.findall(r"Leader: 1\tReplicas: 1\tIsr: 1", told)) == 3
    topic_id = re.search(r"TopicId: (\S+)", told).group(1)
    assert f"Topic: {topic}" in tools.asks("TopicCommand", "--describe", "--topic-id", topic_id)
    tools.asks("TopicCommand", "--alter", "--topic", topic, "--partitions", 5)
    assert "PartitionCount: 5" in tools.asks("TopicCommand", "--describe", "--topic", topic)
    assert "would not be an increase" in tools.is_refused("TopicCommand", "--alter", "--topic", topic, "--partitions", 2)
    assert "already exists" in tools.is_refused("TopicCommand", "--create", "--topic", topic)
    tools.asks("TopicCommand", "--create", "--if-not-exists", "--topic", topic)
    tools.asks("TopicCommand", "--delete", "--topic", topic)
    eventually(lambda: topic not in tools.asks("TopicCommand", "--list").splitlines())
    assert "does not exist" in tools.is_refused("TopicCommand", "--delete", "--topic", topic)
    tools.asks("TopicCommand", "--delete", "--if-exists", "--topic", topic)


def test_topics_are_found_by_pattern_and_by_what_is_wrong_with_them(tools, topic):
    for name in ("a", "b"):
        tools.asks("TopicCommand", "--create", "--topic", f"{topic}-{name}", "--replica-assignment", "1,1")
    told = tools.asks("TopicCommand", "--describe", "--topic", f"{topic}-.*", "--exclude-internal")
    assert told.count("PartitionCount: 2") == 2
    for filter_ in ("--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"):
        assert tools.asks("TopicCommand", "--describe", filter_).strip() == ""
    assert topic in tools.asks("TopicCommand", "--describe", "--at-min-isr-partitions")
    assert topic in tools.asks("TopicCommand", "--describe", "--topics-with-overrides")
    assert "only 1 broker(s) are registered" in tools.is_refused("TopicCommand", "--create", "--topic", f"{topic}-c", "--replication-factor", 2)
    tools.asks("TopicCommand", "--delete", "--topic", f"{topic}-.*")


# ---- settings
def test_settings_of_a_topic(tools, topic):
    tools.asks("TopicCommand", "--create", "--topic", topic)
    of_it = ("--entity-type", "topics", "--entity-name", topic)
    tools.asks("ConfigCommand", *of_it, "--alter", "--add-config", "retention.ms=777,cleanup.policy=[compact,delete]")
    told = tools.asks("ConfigCommand", *of_it, "--describe")
    assert "retention.ms=777 sensitive=false" in told and "cleanup.policy=compact,delete" in told
    assert "DYNAMIC_TOPIC_CONFIG:retention.ms=777" in told
    assert "min.insync.replicas=1" in tools.asks("ConfigCommand", *of_it, "--describe", "--all")
    tools.asks("ConfigCommand", *of_it, "--alter", "--delete-config", "retention.ms")
    assert "retention.ms" not in tools.asks("ConfigCommand", *of_it, "--describe")
    assert "Unknown topic config name" in tools.is_refused("ConfigCommand", *of_it, "--alter", "--add-config", "no.such=1")


@pytest.mark.parametrize("entity, setting, value", ((("--entity-name", "1"), "log.cleaner.threads", "2"),
                                                    (("--entity-default",), "log.retention.ms", "987654321")))
def test_settings_of_brokers(tools, entity, setting, value):
    of_it = ("--entity-type", "brokers", *entity)
    tools.asks("ConfigCommand", *of_it, "--alter", "--add-config", f"{setting}={value}")
    eventually(lambda: f"{setting}={value} " in tools.asks("ConfigCommand", *of_it, "--describe"))
    tools.asks("ConfigCommand", *of_it, "--alter", "--delete-config", setting)
    eventually(lambda: f"{setting}={value} " not in tools.asks("ConfigCommand", *of_it, "--describe"))


@pytest.mark.parametrize("of, entity, quota", (
    ("clients", ("--entity-name", "tool-client"), "producer_byte_rate=1048576"), ("clients", ("--entity-default",), "request_percentage=150"),
    ("ips", ("--entity-name", "127.0.0.9"), "connection_creation_rate=1000"), ("ips", ("--entity-default",), "connection_creation_rate=10000")))
def test_quotas_of_clients_and_addresses(tools, of, entity, quota):
    of_it = ("--entity-type", of, *entity)
    tools.asks("ConfigCommand", *of_it, "--alter", "--add-config", quota)
    name = quota.partition("=")[0]
    eventually(lambda: name in tools.asks("ConfigCommand", *of_it, "--describe"))
    tools.asks("ConfigCommand", *of_it, "--alter", "--delete-config", name)
    eventually(lambda: name not in tools.asks("ConfigCommand", *of_it, "--describe"))
    assert re.search(r"Unexpected config names: .*no\.such", tools.is_refused("ConfigCommand", *of_it, "--alter", "--add-config", "no.such=1"))


# ---- groups
@pytest.fixture
def group(producer, topic):
    """A group that has read six of ten records of partition 0, and of nobody now."""
    producer.ask("create_topic", topic=topic, partitions=2)
    for n in range(10):
        producer.produce(topic, [{"value": b"v", "partition": 0, "timestamp": 1600000000000 + 1000 * n}])
    producer.ask("consumer", name=topic, group=topic, topics=[topic])
    assert len(producer.poll(topic, 6)) == 6
    producer.ask("commit", name=topic)
    producer.ask("close_consumer", name=topic)
    return topic


def lag(tools, group):
    rows = [row for row in table(tools.asks("ConsumerGroupCommand", "--describe", "--group", group)) if row["PARTITION"] == "0"]
    return (int(rows[0]["CURRENT-OFFSET"]), int(rows[0]["LAG"])) if rows and rows[0]["CURRENT-OFFSET"] != "-" else None


def test_groups_are_listed_and_described(tools, producer, group):
    assert group in tools.asks("ConsumerGroupCommand", "--list").splitlines()
    states = {row["GROUP"]: row["STATE"] for row in table(tools.asks("ConsumerGroupCommand", "--list", "--state"))}
    assert states[group] == "Empty"
    assert group in tools.asks("ConsumerGroupCommand", "--list", "--type", "classic")
    assert group not in tools.asks("ConsumerGroupCommand", "--list", "--state", "Stable").split()
    assert lag(tools, group) == (6, 4)
    producer.ask("consumer", name="member", group=group, topics=[group])
    assert len(producer.poll("member", 4)) == 4
    members = table(tools.asks("ConsumerGroupCommand", "--describe", "--group", group, "--members", "--verbose"))
    assert len(members) == 1 and members[0]["#PARTITIONS"] == "2" and members[0]["HOST"] == "/127.0.0.1"
    state = table(tools.asks("ConsumerGroupCommand", "--describe", "--group", group, "--state"))[0]
    assert "Stable" in state.values() and "1" in state.values()
    assert group in tools.asks("ConsumerGroupCommand", "--describe", "--all-groups", "--all-topics")
    assert "The group is not empty" in tools.asks("ConsumerGroupCommand", "--delete", "--group", group)
    producer.ask("close_consumer", name="member")


def test_offsets_are_reset_in_every_form(tools, group, tmp_path):
    def reset(*how, execute=True):
        return tools.asks("ConsumerGroupCommand", "--reset-offsets", "--group", group, "--topic", f"{group}:0", *how,
                          *(("--execute",) if execute else ("--dry-run",)))
    reset("--to-offset", "2", execute=False)
    assert lag(tools, group) == (6, 4)
    for how, offset in ((("--to-offset", "2"), 2), (("--to-earliest",), 0), (("--to-latest",), 10), (("--shift-by", "-3"), 7), (("--to-current",), 7),
                        (("--to-datetime", "2020-09-13T12:26:44.000"), 4), (("--by-duration", "PT1S"), 10), (("--to-offset", "99"), 10)):
        reset(*how)
        assert lag(tools, group) == (offset, 10 - offset), how
    exported = reset("--to-offset", "5", "--export", execute=False)
    plan = tmp_path / "plan.csv"
    plan.write_text("".join(line + "\n" for line in exported.splitlines() if line.startswith(f'"{group}"') or line.startswith(group)))
    assert plan.read_text()
    tools.asks("ConsumerGroupCommand", "--reset-offsets", "--group", group, "--from-file", plan, "--execute")
    assert lag(tools, group) == (5, 5)
    tools.asks("ConsumerGroupCommand", "--delete-offsets", "--group", group, "--topic", f"{group}:0")
    assert lag(tools, group) is None


def test_groups_are_deleted(tools, group):
    assert "successful" in tools.asks("ConsumerGroupCommand", "--delete", "--group", group)
    assert group not in tools.asks("ConsumerGroupCommand", "--list").splitlines()


# ---- records
def test_offsets_are_found_and_records_deleted(tools, group, tmp_path):
    def offsets(*more):
        return sorted(tools.asks("GetOffsetShell", "--topic-partitions", group, *more).split())
    assert offsets() == [f"{group}:0:10", f"{group}:1:0"]
    assert offsets("--time", "earliest") == [f"{group}:0:0", f"{group}:1:0"]
    assert offsets("--time", "1600000004000")[0] == f"{group}:0:4"
    assert offsets("--time", "max-timestamp")[0] == f"{group}:0:9"
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": group, "partition": 0, "offset": 3}]}))
    assert "low_watermark: 3" in tools.asks("DeleteRecordsCommand", "--offset-json-file", plan)
    assert offsets("--time", "-2")[0] == f"{group}:0:3"


def test_the_folders_of_logs_are_told(tools, group):
    told = tools.asks("LogDirsCommand", "--describe", "--topic-list", group)
    found = json.loads(told[told.index("{"):])["brokers"][0]["logDirs"][0]
    assert found["error"] is None
    assert sorted(p["partition"] for p in found["partitions"]) == [f"{group}-0", f"{group}-1"]
    assert max(p["size"] for p in found["partitions"]) > 600


# ---- the cluster
def test_the_cluster_tells_of_itself(tools, broker):
    assert re.search(r"Feature: metadata.version\s.*FinalizedVersionLevel: 4.3", tools.asks("FeatureCommand", "describe"))
    status = tools.asks("MetadataQuorumCommand", "describe", "--status")
    assert re.search(r"LeaderId:\s+1\n", status) and re.search(r"MaxFollowerLag:\s+0\n", status)
    assert table(tools.asks("MetadataQuorumCommand", "describe", "--replication"))[0]["Status"] == "Leader"
    cluster = re.search(r"Cluster ID: (\S+)", tools.says("ClusterTool", "cluster-id", "--bootstrap-server", broker.address)).group(1)
    assert f"ClusterId:              {cluster}" in status
    assert f"127.0.0.1  {broker.port}" in re.sub(r" +", "  ", tools.says("ClusterTool", "list-endpoints", "--bootstrap-server", broker.address))
    _, out, err = tools.run("ClusterTool", "unregister", "--bootstrap-server", broker.address, "--id", "77")
    assert "77" in out + err
    versions = tools.asks("BrokerApiVersionsCommand")
    assert "(id: 1 rack: null isFenced: false) -> (" in versions and re.search(r"Fetch\(1\): \d+ to 18 \[usable: 18\]", versions)


# ---- tools that measure and verify
def test_the_performance_tools_pass_all_records(tools, broker, topic):
    tools.asks("TopicCommand", "--create", "--topic", topic, "--partitions", 2)
    told = tools.says("ProducerPerformance", "--bootstrap-server", broker.address, "--topic", topic, "--num-records", 5000,
                      "--record-size", 100, "--throughput", -1)
    assert "5000 records sent" in told
    told = tools.asks("ConsumerPerformance", "--topic", topic, "--num-records", 5000, "--hide-header")
    fields = [field.strip() for field in told.strip().splitlines()[-1].split(",")]
    assert float(fields[4]) == 5000, told


def verifiable(address, tool, *words):
    """The events that it prints; a JVM of its own, since it ends its work in a hook at the JVM's end."""
    out, _ = java(None, tool, "--bootstrap-server", address, *words)
    return [json.loads(line) for line in out.splitlines() if line.startswith(b"{")]


def test_the_verifiable_clients_acknowledge_and_read_all_records(tools, broker, topic):
    tools.asks("TopicCommand", "--create", "--topic", topic)
    events = verifiable(broker.address, "VerifiableProducer", "--topic", topic, "--max-messages", "300")
    assert sum(e["name"] == "producer_send_success" for e in events) == 300
    assert [(e["sent"], e["acked"]) for e in events if e["name"] == "tool_data"] == [(300, 300)]
    events = verifiable(broker.address, "VerifiableConsumer", "--topic", topic, "--group-id", topic, "--max-messages", "300",
                        "--reset-policy", "earliest", "--verbose")
    assert [int(e["value"]) for e in events if e["name"] == "record_data"] == list(range(300))
    assert [p["offset"] for e in events if e["name"] == "offsets_committed" and e["success"] for p in e["offsets"]][-1] == 300


def test_the_compatibility_test_finds_what_a_broker_must_have(tools, kind, topic):
    tools.asks("TopicCommand", "--create", "--topic", topic)
    has_acls = str(kind == "kafka").lower()
    out = tools.asks("ClientCompatibilityTest", "--topic", topic, "--offsets-for-times-supported", "true", "--cluster-id-supported", "true",
                     "--expect-record-too-large-exception", "false", "--num-cluster-nodes", 1, "--create-topics-supported", "true",
                     "--describe-acls-supported", has_acls, "--describe-configs-supported", "true", "--idempotent-producer-supported", "true")
    assert out.endswith("SUCCESS.\n")


# ---- log directories
@pytest.fixture
def two_disks(make_broker):
    return make_broker({"log.dirs": "{folder}/data,{folder}/other"}).start()


def test_replicas_are_moved_between_log_directories_and_described(tools, two_disks, tmp_path):
    def asks(tool, *words):
        return tools.says(tool, "--bootstrap-server", two_disks.address, *words)

    def places():
        told = json.loads(asks("LogDirsCommand", "--describe", "--topic-list", "moved").splitlines()[-1])
        return {(one["logDir"], p["partition"]): p for node in told["brokers"] for one in node["logDirs"] for p in one["partitions"]}

    asks("TopicCommand", "--create", "--topic", "moved", "--partitions", 2, "--replication-factor", 1)
    before = {partition: where for where, partition in places()}
    assert set(before) == {"moved-0", "moved-1"}
    there = {str(two_disks.folder / "data"): str(two_disks.folder / "other"), str(two_disks.folder / "other"): str(two_disks.folder / "data")}
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [
        {"topic": "moved", "partition": n, "replicas": [1], "log_dirs": [there[before[f"moved-{n}"]]]} for n in (0, 1)]}))
    told = asks("ReassignPartitionsCommand", "--execute", "--reassignment-json-file", plan, "--replica-alter-log-dirs-throttle", 1000000)
    for n in (0, 1):
        assert f"Successfully started moving log directory to {there[before[f'moved-{n}']]} for replica moved-{n} with broker 1" in told
    eventually(lambda: {partition: where for where, partition in places()} == {p: there[where] for p, where in before.items()})
    assert all(not p["isFuture"] and p["offsetLag"] == 0 for p in places().values())
    told = asks("ReassignPartitionsCommand", "--verify", "--reassignment-json-file", plan)
    assert told.count("completed successfully") >= 2
    assert "Clearing broker-level throttles" in told
