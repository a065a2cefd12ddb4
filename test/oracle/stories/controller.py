# SPDX-License-Identifier: Apache-2.0
"""What is the controller's to answer: the quorum."""
from oracle.session import served, story


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
