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
