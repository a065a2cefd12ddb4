# SPDX-License-Identifier: Apache-2.0
"""Metadata and DescribeTopicPartitions; making, growing and deleting topics."""
from oracle.session import served, story

NO_ID = "A" * 22
NOBODY = "AAAAAAAAAAAAAAAAAAAABQ"


def metadata(s, version, topics, note, **more):
    value = {"topics": topics, **more}
    if version >= 4:
        value.setdefault("allowAutoTopicCreation", False)
    answer = s.ask("Metadata", version, value, note)
    if answer:  # a map gives the order
        answer["topics"].sort(key=lambda t: t["name"] or "")


def ref(version, name, topic_id=NO_ID):
    return {"name": name, "topicId": topic_id} if version >= 10 else {"name": name}


@story
def metadata_of_topics(s):
    topic = s.topic(partitions=2)
    other = s.topic("topics-metadata-other")
    for version in served("Metadata"):
        metadata(s, version, [ref(version, topic)], "one")
        metadata(s, version, [ref(version, other), ref(version, topic)], "two")
        metadata(s, version, [ref(version, topic), ref(version, topic)], "the same twice")
        if version >= 1:
            metadata(s, version, [], "none")
        if version >= 4:  # older ones would make the topic
            metadata(s, version, [ref(version, "oracle-no-such-topic")], "no such topic")
            metadata(s, version, [ref(version, "oracle-no-such-topic"), ref(version, topic)], "no such topic and one that is there")
            for bad in ("", ".", "..", "bad name", "x" * 250, "ü"):
                metadata(s, version, [ref(version, bad)], "a bad name")
            metadata(s, version, [ref(version, "bad name")], "a bad name, may be made", allowAutoTopicCreation=True)
        if version >= 8:
            metadata(s, version, [ref(version, topic)], "with operations", includeTopicAuthorizedOperations=True)
        if 8 <= version <= 10:
            metadata(s, version, [ref(version, topic)], "with the cluster's", includeClusterAuthorizedOperations=True)


@story
def metadata_by_id(s):
    topic = s.topic()
    for version in served("Metadata", lowest=10):
        for note, name, topic_id in (("by id", None, s.topic_id(topic)), ("no such id", None, NOBODY),
                                     ("name and id", topic, s.topic_id(topic)), ("name of another and id", "oracle-x", s.topic_id(topic))):
            link = s.link()
            link.ask("Metadata", version, {"topics": [{"name": name, "topicId": topic_id}], "allowAutoTopicCreation": False}, note)
            s.links.pop().close()
        s.link().ask("Metadata", version, {"topics": [ref(version, None, s.topic_id(topic)), ref(version, topic)],
                                           "allowAutoTopicCreation": False}, "one by id, one by name")


@story
def made_on_the_way(s):
    """auto.create.topics.enable: asked for, it is made; then it is there."""
    for version in served("Metadata"):
        name = f"topics-made-{version}"
        value = {"topics": [ref(version, name)]}
        if version >= 4:
            value["allowAutoTopicCreation"] = True
        s.quietly("Metadata", version, value)  # Kafka answers before the topic is there; Ottla may wait for it
        s.await_leaders(name, 1)
        metadata(s, version, [ref(version, name)], "asked again")
        metadata(s, version, [ref(version, "topics made wrongly")], "a bad name", **({"allowAutoTopicCreation": True} if version >= 4 else {}))


def new_topic(name, partitions=1, replication=1, assignments=(), configs=()):
    return {"name": name, "numPartitions": partitions, "replicationFactor": replication,
            "assignments": [{"partitionIndex": n, "brokerIds": ids} for n, ids in assignments],
            "configs": [{"name": k, "value": v} for k, v in configs]}


@story
def create(s):
    for version in served("CreateTopics"):
        def ask(note, *topics, validate=False):
            answer = s.ask("CreateTopics", version, {"topics": list(topics), "timeoutMs": 30000, "validateOnly": validate}, note)
            for topic in (answer or {}).get("topics", ()):
                if topic.get("topicId", NO_ID) != NO_ID:
                    s.call(topic["topicId"], f"id of {topic['name']}")
                topic.get("configs") and topic["configs"].sort(key=lambda c: c["name"])
            if answer:
                answer["topics"].sort(key=lambda t: t["name"])
        name = f"topics-create-{version}"
        ask("only looked at", new_topic(name, 3), validate=True)
        ask("made", new_topic(name, 3))
        ask("there already", new_topic(name, 3))
        ask("there already, only looked at", new_topic(name, 3), validate=True)
        ask("named twice", new_topic(name + "b"), new_topic(name + "b"))
        ask("0 partitions", new_topic(name + "c", 0))
        ask("-2 partitions", new_topic(name + "c", -2))
        ask("replication 0", new_topic(name + "c", 1, 0))
        ask("replication 2", new_topic(name + "c", 1, 2))
        ask("replication -2", new_topic(name + "c", 1, -2))
        if version >= 4:
            ask("defaults", new_topic(name + "d", -1, -1))
        ask("assigned", new_topic(name + "e", -1, -1, [(0, [1]), (1, [1])]))
        ask("assigned and counted", new_topic(name + "f", 1, 1, [(0, [1])]))
        ask("assigned to nobody there", new_topic(name + "f", -1, -1, [(0, [9])]))
        ask("assigned with a hole", new_topic(name + "f", -1, -1, [(0, [1]), (2, [1])]))
        ask("assigned twice", new_topic(name + "f", -1, -1, [(0, [1]), (0, [1])]))
        ask("assigned to the same one twice", new_topic(name + "f", -1, -1, [(0, [1, 1])]))
        ask("assigned to none", new_topic(name + "f", -1, -1, [(0, [])]))
        ask("configured", new_topic(name + "g", configs=[("retention.ms", "1000"), ("cleanup.policy", "compact,delete")]))
        for key, value in (("retention.ms", "x"), ("retention.ms", "-2"), ("no.such.config", "1"), ("cleanup.policy", "eat"), ("max.message.bytes", "-1"),
                           ("compression.type", "rar"), ("min.insync.replicas", "0"), ("retention.ms", None), ("min.cleanable.dirty.ratio", "2"),
                           ("preallocate", "perhaps"), ("segment.bytes", "1"), ("message.timestamp.type", "Never")):
            ask(f"{key}={value}", new_topic(name + "h", configs=[(key, value)]))
        for bad in ("", ".", "..", "a b", "x" * 250, "__consumer_offsets2!"):
            ask("a bad name", new_topic(bad))
        ask("collides", new_topic(name.replace("-", ".")), new_topic(name.replace("-", "_")))
        ask("nothing")


@story
def delete(s):
    for version in served("DeleteTopics"):
        name = s.topic(f"topics-delete-{version}")
        if version < 6:
            s.ask("DeleteTopics", version, {"topicNames": [name], "timeoutMs": 30000}, "there")
            s.ask("DeleteTopics", version, {"topicNames": [name], "timeoutMs": 30000}, "gone")
            s.ask("DeleteTopics", version, {"topicNames": [""], "timeoutMs": 30000}, "no name")
            s.ask("DeleteTopics", version, {"topicNames": [], "timeoutMs": 30000}, "nothing")
        else:
            def ask(note, *topics):
                s.ask("DeleteTopics", version, {"topics": [{"name": n, "topicId": i} for n, i in topics], "timeoutMs": 30000}, note)
            by_id = s.topic("topics-delete-by-id")
            ask("name and id", (name, s.topic_id(name)))
            ask("neither", (None, NO_ID))
            ask("by name", (name, NO_ID))
            ask("by id", (None, s.topic_id(by_id)))
            ask("gone by name", (name, NO_ID))
            ask("gone by id", (None, s.topic_id(by_id)))


@story
def create_partitions(s):
    for version in served("CreatePartitions"):
        topic = s.topic(f"topics-grow-{version}", partitions=2)

        def ask(note, count, assignments=None, name=topic, validate=False):
            s.ask("CreatePartitions", version, {"timeoutMs": 30000, "validateOnly": validate, "topics": [{
                "name": name, "count": count, "assignments": assignments and [{"brokerIds": ids} for ids in assignments]}]}, note)
        ask("only looked at", 4, validate=True)
        ask("to 3", 3)
        ask("to 3 again", 3)
        ask("to fewer", 1)
        ask("to 0", 0)
        ask("to -1", -1)
        ask("assigned", 4, [[1]])
        ask("one assignment too few", 6, [[1]])
        ask("one too many", 5, [[1], [1]])
        ask("assigned to nobody there", 5, [[9]])
        ask("assigned to the same twice", 5, [[1, 1]])
        ask("other replication", 5, [[]])
        ask("no such topic", 3, name="oracle-no-such-topic")
        two = {"name": topic, "count": 9, "assignments": None}
        s.ask("CreatePartitions", version, {"timeoutMs": 30000, "validateOnly": False, "topics": [two, two]}, "named twice")
        metadata(s, 9, [{"name": topic}], "afterwards")


@story
def describe_partitions(s):
    first = s.topic("topics-describe-a", partitions=3)
    second = s.topic("topics-describe-b", partitions=2)

    def ask(note, topics, limit=2000, cursor=None):
        s.ask("DescribeTopicPartitions", 0, {"topics": [{"name": n} for n in topics], "responsePartitionLimit": limit,
                                             "cursor": cursor and {"topicName": cursor[0], "partitionIndex": cursor[1]}}, note)
    ask("both", [second, first])
    ask("the same twice", [first, first])
    ask("no such topic", ["oracle-no-such-topic", first])
    ask("a bad name", ["bad name"])
    for limit in (1, 2, 3, 4, 5, 0, -1):
        ask(f"at most {limit}", [first, second], limit)
    ask("from partition 1", [first, second], 2, (first, 1))
    ask("from the second", [first, second], 2000, (second, 0))
    ask("from a partition beyond", [first, second], 2000, (first, 9))
    ask("from a topic in between", [first, second], 2000, ("topics-describe-aa", 0))
    ask("from beyond all", [first, second], 2000, ("zzz", 0))
    ask("from partition -1", [first, second], 2000, (first, -1))
    ask("from no partition", [], 2, (first, 1))


@story
def large_requests(s):
    """What one request may make at most, alone and in the sum."""
    topic = s.topic()
    for version in served("CreateTopics"):
        def ask(note, *topics, validate=False):
            answer = s.ask("CreateTopics", version, {"topics": list(topics), "timeoutMs": 30000, "validateOnly": validate}, note)
            answer["topics"].sort(key=lambda t: t["name"])
            for topic in answer["topics"]:
                if topic.get("topicId", NO_ID) != NO_ID:
                    topic["topicId"] = "drawn"
        ask("10001 partitions", new_topic("topics-large-a", 10001))
        ask("6000 and 6000", new_topic("topics-large-a", 6000), new_topic("topics-large-b", 6000), validate=True)
        ask("the largest number", new_topic("topics-large-a", 2147483647))
        ask("replication of the largest number", new_topic("topics-large-a", 1, 32767))
        ask("a good one beside it", new_topic("topics-large-a", 10001), new_topic("topics-large-c", 1), validate=True)
        ask("names that collide with each other", new_topic("topics.large.d"), new_topic("topics_large_d"), validate=True)
        ask("a name of 249 letters", new_topic("x" * 249), validate=True)
        ask("an internal topic", new_topic("__cluster_metadata"))
        ask("settings twice", new_topic("topics-large-e", configs=[("retention.ms", "1"), ("retention.ms", "2")]), validate=True)
    for version in served("CreatePartitions"):
        for count in (10001, 10002, 2147483647):
            s.ask("CreatePartitions", version, {"timeoutMs": 30000, "validateOnly": True, "topics": [
                {"name": topic, "count": count, "assignments": None}]}, f"to {count}")


@story(delete_topic_enable="false", auto_create_topics_enable="false")
def switched_off(s):
    topic = s.topic()
    for version in served("DeleteTopics"):
        if version < 6:
            s.ask("DeleteTopics", version, {"topicNames": [topic, "oracle-no-such-topic"], "timeoutMs": 30000}, "deletion is off")
        else:
            s.ask("DeleteTopics", version, {"topics": [{"name": topic, "topicId": NO_ID}, {"name": None, "topicId": NOBODY}],
                                            "timeoutMs": 30000}, "deletion is off")
    for version in served("Metadata"):
        metadata(s, version, [ref(version, "oracle-no-such-topic")], "making on the way is off",
                 **({"allowAutoTopicCreation": True} if version >= 4 else {}))


@story
def deleted_several(s):
    """In one request: twice the same, by name and by id, with one that is not there."""
    for version in served("DeleteTopics"):
        first, second = s.topic(f"topics-several-a-{version}"), s.topic(f"topics-several-b-{version}")
        if version < 6:
            answer = s.ask("DeleteTopics", version, {"topicNames": [first, "oracle-no-such-topic", first, second], "timeoutMs": 30000}, "four")
            answer["responses"].sort(key=lambda r: (r["name"], r["errorCode"]))
        else:
            topics = [(first, NO_ID), (None, s.topic_id(first)), (None, NOBODY), (None, NOBODY), (second, NO_ID), (second, NO_ID), ("", NO_ID)]
            answer = s.ask("DeleteTopics", version, {"topics": [{"name": n, "topicId": i} for n, i in topics], "timeoutMs": 30000}, "seven")
            answer["responses"].sort(key=lambda r: (r["name"] or "", r["topicId"], r["errorCode"]))
        metadata(s, 12, [ref(12, first), ref(12, second)], "what is left")
