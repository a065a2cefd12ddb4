# SPDX-License-Identifier: Apache-2.0
"""What a broker tells about itself and the cluster."""
import struct

from harness import raw
from harness.batch import batch
from oracle import codec
from oracle.session import served, story
from oracle.stories.produce import LINES, produce, producer_id


@story
def describe_cluster(s):
    for version in served("DescribeCluster"):
        for operations in (False, True):
            s.ask("DescribeCluster", version, {"includeClusterAuthorizedOperations": operations}, f"operations {operations}")
        if version >= 1:
            for kind in (1, 2, 0, 3, -1):
                s.ask("DescribeCluster", version, {"includeClusterAuthorizedOperations": False, "endpointType": kind}, f"endpoint type {kind}")
        if version >= 2:
            s.ask("DescribeCluster", version, {"includeClusterAuthorizedOperations": False, "includeFencedBrokers": True}, "fenced ones too")


@story
def describe_log_dirs(s):
    s.differs("logDir", "where the broker under test keeps its data")
    s.differs("totalBytes", "of the file system")
    s.differs("usableBytes", "of the file system")
    topic = s.topic(partitions=3)
    produce(s, 9, topic, batch(LINES), partition=2)

    def ask(version, topics, note):
        asked = topics and [{"topic": name, "partitions": parts} for name, parts in topics]
        answer = s.ask("DescribeLogDirs", version, {"topics": asked}, note)
        for result in answer["results"]:
            result["topics"] = [t for t in result["topics"] if t["name"] == topic]
            for one in result["topics"]:
                one["partitions"].sort(key=lambda p: p["partitionIndex"])
    for version in served("DescribeLogDirs"):
        ask(version, None, "all")
        ask(version, [(topic, [2, 0])], "two partitions")
        ask(version, [(topic, [9]), ("oracle-no-such-topic", [0])], "what is not there")
        ask(version, [], "nothing")


@story(log_dirs="{folder}/data,{folder}/other")
def alter_replica_log_dirs(s):
    s.differs("totalBytes", "of the file system")
    s.differs("usableBytes", "of the file system")

    def places(topic, ask=s.quietly, *note):
        """Partition -> (directory, size, lag), of replicas that are not on their way."""
        answer = ask("DescribeLogDirs", 4, {"topics": [{"topic": topic, "partitions": [0, 1]}]}, *note)
        answer["results"].sort(key=lambda one: one["logDir"])
        for of_topic in (t for one in answer["results"] for t in one["topics"]):
            of_topic["partitions"].sort(key=lambda p: p["partitionIndex"])
        return {p["partitionIndex"]: one["logDir"] for one in answer["results"] for t in one["topics"] for p in t["partitions"]
                if not p["isFutureKey"]}

    def ask(version, note, *wishes):
        dirs = [{"path": path, "topics": [{"name": topic, "partitions": partitions}]} for path, topic, partitions in wishes]
        answer = s.ask("AlterReplicaLogDirs", version, {"dirs": dirs}, note)
        answer["results"].sort(key=lambda one: one["topicName"])
        for one in answer["results"]:
            one["partitions"].sort(key=lambda p: p["partitionIndex"])

    def arrived(topic, where):
        while places(topic) != where:
            pass
        places(topic, s.ask, "there, and no future any more")

    topic = s.topic()
    produce(s, 9, topic, batch(LINES))
    here = places(topic)[0]
    s.call(here, "here")
    there = next(one["logDir"] for one in s.quietly("DescribeLogDirs", 4, {"topics": None})["results"] if one["logDir"] != here)
    s.call(there, "there")
    for version in served("AlterReplicaLogDirs"):
        ask(version, "nothing")
        ask(version, "where it is", (here, topic, [0]))
        ask(version, "no such directory", ("/no/such/directory", topic, [0]))
        ask(version, "a directory with a dash more", (there + "/", topic, [0]))
        ask(version, "no path", ("", topic, [0]))
        ask(version, "no such partition", (there, topic, [7, -1, 3]))
        ask(version, "no such topic", (there, "oracle-nobody", [0]))
        ask(version, "some of each", (there, "oracle-nobody", [1]), (here, topic, [0]), ("/no/such/directory", "other", [2]))
        ask(version, "a name too long for a future", (there, "x" * 249, [0]))
        ask(version, "no partitions", (there, topic, []))
        ask(version, "it moves", (there, topic, [0]))
        arrived(topic, {0: there})
        ask(version, "and back, named twice", (there, topic, [0]), (here, topic, [0]))
        arrived(topic, {0: here})
    produce(s, 9, topic, batch(LINES))
    for version in served("AlterReplicaLogDirs"):
        for name, path in ((f"wanted-here-{version}", here), (f"wanted-there-{version}", there)):
            ask(version, "before it is made", (path, name, [0, 1]))
            s.topic(name, partitions=2)
            places(name, s.ask, "where it was wanted")


@story
def init_producer_id(s):
    s.differs("producerId", "given by the broker")
    producer_id(s)  # the first is slow to come in Kafka
    for version in served("InitProducerId"):
        def ask(note, **more):
            s.link().ask("InitProducerId", version, {"transactionalId": None, "transactionTimeoutMs": 60000, **more}, note)
            s.links.pop().close()
        ask("idempotent")
        ask("empty transactional id", transactionalId="")
        if version >= 3:
            ask("an id, no epoch", producerId=5)
            ask("an epoch, no id", producerEpoch=5)
            ask("both", producerId=5, producerEpoch=5)


@story
def api_versions_odd(s):
    for version in (5, 9, 1000, 32767, -1):
        api = codec.BY_NAME["ApiVersions"]
        with raw.connect(s.address) as sock:
            sock.sendall(raw.frame(raw.header(18, version) + b"\0" + b"\x02a\x021\0"))
            try:
                body, _ = codec.read(api.response, 0, raw.read_frame(sock)[4:])
            except raw.Closed:
                body = "closed"
        s.note(api, version, body, "answered in version 0")
    for name, software in (("", "1"), ("a", ""), ("-a", "1"), ("a-", "1"), ("a b", "1"), ("apache-kafka-java", "4.3.1"), ("a", "1_2"), (".", "1")):
        for version in (3, 4):
            link = s.link()
            answer = link.ask("ApiVersions", version, {"clientSoftwareName": name, "clientSoftwareVersion": software}, f"software {name!r} {software!r}")
            if answer and answer["errorCode"] == 0:
                s.steps[-1]["answer"] = {"errorCode": 0}
            s.links.pop().close()


@story
def features(s):
    """What the versions of ApiVersions tell of features; the keys themselves are what Ottla serves, see test/kafka."""
    for version in served("ApiVersions"):
        more = {"clientSoftwareName": "oracle", "clientSoftwareVersion": "1"} if version >= 3 else {}
        s.differs("finalizedFeaturesEpoch", "an offset of the metadata log, which is the cluster's own")
        answer = s.ask("ApiVersions", version, more)
        del answer["apiKeys"]
        for features in (answer.get("supportedFeatures"), answer.get("finalizedFeatures")):
            s.steps.append({"ask": "in order", "answer": [f["name"] for f in features or []]})


@story
def unknown_requests(s):
    """An API key or a version that is not there closes the connection."""
    for key, version in ((999, 0), (-1, 0), (0, 2), (1, 3), (3, 14), (3, -1), (6, 0), (4, 7)):
        with raw.connect(s.address) as sock:
            sock.sendall(raw.frame(raw.header(key, version) + struct.pack(">i", 0)))
            try:
                raw.read_frame(sock)
                outcome = "answered"
            except raw.Closed:
                outcome = "closed"
        s.steps.append({"ask": f"key {key} version {version} with four bytes of body", "answer": outcome})
