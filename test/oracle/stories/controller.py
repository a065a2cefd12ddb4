# SPDX-License-Identifier: Apache-2.0
"""What is the controller's to answer: the quorum, elections, reassignments, brokers that go, feature levels."""
from oracle.session import served, story

UNKNOWN_TYPE, UPGRADE, SAFE, UNSAFE = 0, 1, 2, 3


@story
def quorum(s):
    s.differs("lastFetchTimestamp", "wall clock")
    s.differs("lastCaughtUpTimestamp", "wall clock")
    s.differs("replicaDirectoryId", "drawn when the directory was formatted")
    for version in served("DescribeQuorum"):
        def ask(topics, note):
            answer = s.ask("DescribeQuorum", version, {"topics": [
                {"topicName": name, "partitions": [{"partitionIndex": n} for n in parts]} for name, parts in topics]}, note)
            for node in answer.get("nodes", []):
                for listener in node["listeners"]:
                    listener["port"] = listener["port"] > 0  # drawn for each run
                    listener["host"] = listener["host"] != ""  # where nobody listens for controllers, a name stands for it
            for topic in answer["topics"]:
                for part in topic["partitions"]:
                    if part["errorCode"]:
                        continue
                    # Kafka counts on without being asked: a no-op record each half second
                    ends = [r["logEndOffset"] for r in part["currentVoters"]]
                    assert 0 < part["highWatermark"] <= min(ends) and part["leaderEpoch"] > 0
                    part["highWatermark"] = part["leaderEpoch"] = None
                    for replica in part["currentVoters"]:
                        replica["logEndOffset"] = None
        ask([("__cluster_metadata", [0])], "as clients ask")
        ask([("__cluster_metadata", [1])], "another partition")
        ask([("__cluster_metadata", [0, 1])], "one too many")
        ask([("oracle-no-such-topic", [0])], "another topic")
        ask([("__cluster_metadata", [0]), ("oracle-no-such-topic", [0, 3])], "another topic too")
        ask([("__cluster_metadata", [])], "no partition")
        ask([], "nothing")


@story
def elections(s):
    topic = s.topic(partitions=2)
    for version in served("ElectLeaders"):
        for kind in ((0, 1, 2, -1) if version >= 1 else (0,)):
            def ask(topics, note):
                value = {"topicPartitions": topics and [{"topic": name, "partitions": parts} for name, parts in topics], "timeoutMs": 30000}
                if version >= 1:
                    value["electionType"] = kind
                answer = s.ask("ElectLeaders", version, value, f"type {kind}, {note}")
                if topics is None:  # other stories have left theirs
                    answer["replicaElectionResults"] = [r for r in answer["replicaElectionResults"] if r["topic"] == topic]
                answer["replicaElectionResults"].sort(key=lambda r: r["topic"])
            ask([(topic, [1, 0])], "not needed")
            ask([(topic, [7, -1])], "no such partition")
            ask([("oracle-no-such-topic", [0]), (topic, [0])], "no such topic")
            ask([], "none")
            ask(None, "all")


@story
def unregistering(s):
    for version in served("UnregisterBroker"):
        for broker in (77, -1, 2147483647):
            s.ask("UnregisterBroker", version, {"brokerId": broker}, f"broker {broker}")


@story
def reassignments(s):
    topic = s.topic(partitions=2)
    metadata = s.quietly("Metadata", 12, {"topics": []})
    node = metadata["brokers"][0]["nodeId"]
    for version in served("AlterPartitionReassignments"):
        def ask(topics, note, **more):
            value = {"timeoutMs": 30000, "topics": [
                {"name": name, "partitions": [{"partitionIndex": n, "replicas": replicas} for n, replicas in parts]} for name, parts in topics]}
            s.ask("AlterPartitionReassignments", version, {**value, **more}, note)
        ask([(topic, [(0, [node])])], "to where it is")
        ask([(topic, [(0, [node]), (1, [node])])], "both to where they are")
        ask([(topic, [(0, None)])], "nothing to cancel")
        ask([(topic, [(0, [])])], "no replicas")
        ask([(topic, [(0, [node, node])])], "twice the same")
        ask([(topic, [(0, [node, 77])])], "to a broker that is not there")
        ask([(topic, [(0, [77])])], "only to a broker that is not there")
        ask([(topic, [(0, [-3])])], "to a negative broker")
        ask([(topic, [(9, [node])])], "no such partition")
        ask([(topic, [(9, None)])], "no such partition, cancelled")
        ask([("oracle-no-such-topic", [(0, [node])])], "no such topic")
        ask([("oracle-no-such-topic", [(0, None)]), (topic, [(0, [node])])], "no such topic, and one")
        ask([(topic, [(0, [node]), (0, None)])], "a partition twice")
        ask([(topic, [(0, [node])]), (topic, [(1, None)])], "a topic twice")
        ask([(topic, [])], "no partition")
        ask([], "nothing")
        if version >= 1:
            ask([(topic, [(0, [node])])], "no other factor, to where it is", allowReplicationFactorChange=False)
            ask([(topic, [(0, [node, 77])])], "no other factor, but asked for", allowReplicationFactorChange=False)
            ask([(topic, [(0, [])])], "no other factor, no replicas", allowReplicationFactorChange=False)
    for version in served("ListPartitionReassignments"):
        def show(topics, note):
            value = topics and [{"name": name, "partitionIndexes": parts} for name, parts in topics]
            s.ask("ListPartitionReassignments", version, {"timeoutMs": 30000, "topics": value}, note)
        show(None, "all")
        show([], "none")
        show([(topic, [0, 1, 9])], "of a topic")
        show([("oracle-no-such-topic", [0])], "of a topic that is not there")


@story
def feature_levels(s):
    """What is refused, what is fine; levels that change come back to where they were."""
    for version in served("UpdateFeatures"):
        def ask(note, *updates, validate=False):
            value = {"timeoutMs": 30000, "featureUpdates": [
                {"feature": name, "maxVersionLevel": level, **({"allowDowngrade": kind != UPGRADE} if version == 0 else {"upgradeType": kind})}
                for name, level, kind in updates]}
            if version >= 1:
                value["validateOnly"] = validate
            answer = s.ask("UpdateFeatures", version, value, note)
            if answer:
                answer.get("results", []).sort(key=lambda r: r["feature"])
            return answer
        kinds = (UPGRADE, SAFE) if version == 0 else (UPGRADE, SAFE, UNSAFE, UNKNOWN_TYPE, 9)
        for name in ("metadata.version", "transaction.version", "group.version", "kraft.version", "share.version",
                     "streams.version", "eligible.leader.replicas.version", "oracle.version", ""):
            for kind in kinds:
                for level in (-1, 0, 1, 2, 3, 6, 7, 21, 25, 29, 30, 31, 32, 100):
                    if version >= 1:
                        ask(f"check only: {name} {level} by {kind}", (name, level, kind), validate=True)
                    elif level in (-1, 3, 6, 31, 100):
                        ask(f"{name} {level} by {kind}", (name, level, kind))
        ask("nothing")
        ask("the same twice", ("group.version", 1, UPGRADE), ("group.version", 1, UPGRADE))
        ask("a good one and a bad one", ("group.version", 1, UPGRADE), ("share.version", 9, UPGRADE))
        ask("two bad ones", ("group.version", 8, UPGRADE), ("share.version", 9, UPGRADE))
        if version >= 1:
            ask("needs another first", ("metadata.version", 20, SAFE), ("share.version", 1, UPGRADE), validate=True)
        for name, up, down in (("share.version", 1, 0), ("streams.version", 1, 0), ("transaction.version", 2, 1), ("group.version", 1, 0)):
            ask(f"{name} down", (name, down, SAFE))
            ask(f"{name} up again", (name, up, UPGRADE))
            ask(f"{name} where it is", (name, up, UPGRADE))
