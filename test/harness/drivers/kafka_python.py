# SPDX-License-Identifier: Apache-2.0
"""kafka-python as a driver: 2.0.2 and the newest alike, each in its own environment."""
import sys
import time

import protocol
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, __version__
from kafka.admin import NewTopic

NEW = int(__version__.split(".")[0]) >= 3


class Driver:
    def __init__(self, address):
        self.address, self.admin, self.producers, self.consumers = address, None, {}, {}

    def _admin(self):
        if self.admin is None:
            self.admin = KafkaAdminClient(bootstrap_servers=self.address)
        return self.admin

    def version(self):
        return __version__

    def check(self):
        """The connection check of the team's programs: an admin client that lists topics, then closes."""
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        topics = admin.list_topics()
        admin.close()
        return sorted(t["name"] if isinstance(t, dict) else t for t in topics)

    def create_topic(self, topic, partitions=1, configs=None):
        self._admin().create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1,
                                              topic_configs=configs or {})])

    def delete_topic(self, topic):
        self._admin().delete_topics([topic])

    def topics(self):
        return self.check()

    def produce(self, topic, records, options=None, producer="default"):
        """Sends all, flushes, and gives [partition, offset] of each in order."""
        if producer not in self.producers:
            chosen = dict(options or {})
            if not NEW:
                chosen.pop("enable_idempotence", None)
                chosen.setdefault("retries", 5)  # it has 0, and a new topic's leader may need a moment
            self.producers[producer] = KafkaProducer(bootstrap_servers=self.address, **chosen)
        sender = self.producers[producer]
        futures = [sender.send(topic, value=protocol.unpack(r.get("value")), key=protocol.unpack(r.get("key")),
                               partition=r.get("partition"), timestamp_ms=r.get("timestamp"),
                               headers=[(n, protocol.unpack(c)) for n, c in r.get("headers", [])]) for r in records]
        sender.flush()
        done = [future.get(timeout=60) for future in futures]
        return [[d.partition, d.offset] for d in done]

    def consumer(self, name, group=None, topics=(), assign=None, options=None):
        chosen = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **(options or {})}
        made = KafkaConsumer(bootstrap_servers=self.address, group_id=group, **chosen)
        if assign is not None:
            made.assign([TopicPartition(t, p) for t, p in assign])
        else:
            made.subscribe(list(topics))
            # 3.0.12 joins again when the topics' metadata comes after its first join, and may lose that second join for
            # good: the broker's SyncGroup answer arrives and is dropped. So the metadata is asked for before it joins.
            for topic in topics:
                made.partitions_for_topic(topic)
        self.consumers[name] = made

    def poll(self, name, count, timeout_s=60):
        """Records until there are `count`, or until the time is over."""
        deadline, got = time.monotonic() + timeout_s, []
        while len(got) < count and time.monotonic() < deadline:
            for batch in self.consumers[name].poll(timeout_ms=200, max_records=count - len(got)).values():
                got += [protocol.record(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp, r.headers,
                                        getattr(r, "leader_epoch", None)) for r in batch]
        return got

    def assignment(self, name):
        return sorted([p.topic, p.partition] for p in self.consumers[name].assignment())

    def commit(self, name):
        self.consumers[name].commit()

    def committed(self, name, topic, partition):
        return self.consumers[name].committed(TopicPartition(topic, partition))

    def offsets(self, topic, partition):
        """[first, next] of a partition."""
        consumer = KafkaConsumer(bootstrap_servers=self.address)
        where = TopicPartition(topic, partition)
        first, end = consumer.beginning_offsets([where])[where], consumer.end_offsets([where])[where]
        consumer.close()
        return [first, end]

    def offset_for_time(self, topic, partition, timestamp):
        consumer = KafkaConsumer(bootstrap_servers=self.address)
        where = TopicPartition(topic, partition)
        found = consumer.offsets_for_times({where: timestamp})[where]
        consumer.close()
        return None if found is None else [found.offset, found.timestamp]

    def close_consumer(self, name):
        self.consumers.pop(name).close()


if __name__ == "__main__":
    protocol.serve(Driver(sys.argv[1]))
