# SPDX-License-Identifier: Apache-2.0
"""Versions of requests that Kafka 4 dropped and 3.9 still had: no Kafka of today can be asked, so each answer is held against
what the test did. Produce 0 to 2 and Fetch 0 to 3 are tested with old clients in test/blackbox/test_old_clients.py."""
import os

import pytest

from oracle.session import Session
from oracle.stories.groups import find

pytestmark = pytest.mark.ottla
LATEST = -1


@pytest.fixture
def asked(broker):
    session = Session(broker.address, "dropped versions")
    yield session
    session.close()


@pytest.fixture
def made(asked):
    return asked.topic(f"dropped-{os.urandom(3).hex()}")


def test_offsets_by_the_first_versions(asked, made):
    told = asked.ask("ListOffsets", 0, {"replicaId": -1, "topics": [{"name": made, "partitions": [
        {"partitionIndex": 0, "timestamp": LATEST, "maxNumOffsets": 5}]}]})
    assert told["topics"] == [{"name": made, "partitions": [{"partitionIndex": 0, "errorCode": 0, "oldStyleOffsets": [0]}]}]
    group = f"g-{made}"
    find(asked, group)
    for version, more in ((0, {}), (1, {"commitTimestamp": -1})):
        body = {"groupId": group, "topics": [{"name": made, "partitions": [
            {"partitionIndex": 0, "committedOffset": 7 + version, "committedMetadata": "m", **more}]}]}
        if version:
            body.update(generationIdOrMemberEpoch=-1, memberId="")
        told = asked.ask("OffsetCommit", version, body)
        assert told["topics"] == [{"name": made, "partitions": [{"partitionIndex": 0, "errorCode": 0}]}]
        told = asked.ask("OffsetFetch", 0, {"groupId": group, "topics": [{"name": made, "partitionIndexes": [0]}]})
        assert told["topics"] == [{"name": made, "partitions": [
            {"partitionIndex": 0, "committedOffset": 7 + version, "metadata": "m", "errorCode": 0}]}]


def test_topics_by_the_first_versions(asked):
    for version in (0, 1):
        name = f"dropped-{os.urandom(3).hex()}"
        body = {"topics": [{"name": name, "numPartitions": 1, "replicationFactor": 1, "assignments": [], "configs": []}],
                "timeoutMs": 30000}
        if version:
            body["validateOnly"] = False
        told = asked.ask("CreateTopics", version, body)
        assert [(t["name"], t["errorCode"]) for t in told["topics"]] == [(name, 0)]
        assert [t["errorCode"] for t in asked.ask("CreateTopics", version, body)["topics"]] == [36]
        told = asked.ask("DeleteTopics", 0, {"topicNames": [name], "timeoutMs": 30000})
        assert [(t["name"], t["errorCode"]) for t in told["responses"]] == [(name, 0)]


def test_epochs_settings_and_directories_by_the_first_versions(asked, made):
    for version in (0, 1):
        told = asked.ask("OffsetForLeaderEpoch", version, {"topics": [{"topic": made, "partitions": [
            {"partition": 0, "leaderEpoch": 0}]}]})
        (partition,) = told["topics"][0]["partitions"]
        assert (partition["errorCode"], partition["partition"], partition["endOffset"]) == (0, 0, 0)
    told = asked.ask("DescribeConfigs", 0, {"resources": [
        {"resourceType": 2, "resourceName": made, "configurationKeys": ["retention.ms"]}]})
    (result,) = told["results"]
    assert result["errorCode"] == 0
    assert [(c["name"], c["value"], c["isDefault"]) for c in result["configs"]] == [("retention.ms", "604800000", True)]
    told = asked.ask("DescribeLogDirs", 0, {"topics": [{"topic": made, "partitions": [0]}]})
    assert [t["name"] for directory in told["results"] for t in directory["topics"]] == [made]
