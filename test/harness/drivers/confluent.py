# SPDX-License-Identifier: Apache-2.0
"""confluent-kafka (librdkafka) as a driver."""
import sys
import time

import protocol
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition, version
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewPartitions,
                                   NewTopic)

# kafka-python's names, which the tests use, in librdkafka's.
NAMES = {
    "compression_type": "compression.type", "max_request_size": "message.max.bytes",
    "enable_idempotence": "enable.idempotence", "linger_ms": "linger.ms", "acks": "acks",
    "max_partition_fetch_bytes": "max.partition.fetch.bytes", "fetch_max_bytes": "fetch.max.bytes",
    "session_timeout_ms": "session.timeout.ms", "heartbeat_interval_ms": "heartbeat.interval.ms",
    "auto_offset_reset": "auto.offset.reset", "isolation_level": "isolation.level", "group_instance_id": "group.instance.id",
}

# librdkafka tells of every failed connection; a broker that is down on purpose makes hundreds.
QUIET = {"log_level": 0}


def translate(options):
    return {NAMES.get(key, key): value for key, value in (options or {}).items()}


class Driver:
    def __init__(self, address):
        self.address, self.producers, self.consumers = address, {}, {}
        self.admin = AdminClient({"bootstrap.servers": address, **QUIET})

    def version(self):
        return version() if isinstance(version(), str) else version()[0]

    def check(self):
        return sorted(self.admin.list_topics(timeout=30).topics)

    def topics(self):
        return self.check()

    def create_topic(self, topic, partitions=1, configs=None):
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=configs or {})])[topic].result(60)

    def delete_topic(self, topic):
        self.admin.delete_topics([topic])[topic].result(60)

    def produce(self, topic, records, options=None, producer="default"):
        if producer not in self.producers:
            self.producers[producer] = Producer({"bootstrap.servers": self.address, **QUIET, **translate(options)})
        sender, results = self.producers[producer], [None] * len(records)

        def note(at):
            def delivered(error, message):
                results[at] = error or [message.partition(), message.offset()]
            return delivered
        for at, r in enumerate(records):
            more = {key: r[key] for key in ("partition", "timestamp") if r.get(key) is not None}
            sender.produce(topic, value=protocol.unpack(r.get("value")), key=protocol.unpack(r.get("key")),
                           headers=[(n, protocol.unpack(c)) for n, c in r.get("headers", [])], on_delivery=note(at), **more)
            sender.poll(0)
        sender.flush(60)
        for result in results:
            if not isinstance(result, list):
                raise KafkaException(result)
        return results

    def consumer(self, name, group=None, topics=(), assign=None, options=None):
        chosen = {"auto.offset.reset": "earliest", "enable.auto.commit": False, **translate(options)}
        made = Consumer({"bootstrap.servers": self.address, "group.id": group or "nobody", **QUIET, **chosen})
        if assign is not None:
            made.assign([TopicPartition(t, p, -2) for t, p in assign])
        else:
            made.subscribe(list(topics))
        self.consumers[name] = made

    def poll(self, name, count, timeout_s=60):
        deadline, got = time.monotonic() + timeout_s, []
        while len(got) < count and time.monotonic() < deadline:
            for m in self.consumers[name].consume(count - len(got), 0.2):
                if m.error():
                    if m.error().retriable() or m.error().name() in ("UNKNOWN_TOPIC_OR_PART", "_ALL_BROKERS_DOWN", "_TRANSPORT"):
                        continue
                    raise KafkaException(m.error())
                got.append(protocol.record(m.topic(), m.partition(), m.offset(), m.key(), m.value(), m.timestamp()[1], m.headers(),
                                           m.leader_epoch()))
        return got

    def read_to_end(self, partitions, options=None):
        """All of each [topic, partition] between the first offset and the end that the isolation level allows, one after another."""
        consumer, got = self._reader({"enable.partition.eof": True, "fetch.wait.max.ms": 10, **translate(options)}), []
        open_ones = {(topic, number) for topic, number in partitions}
        consumer.assign([TopicPartition(topic, number, -2) for topic, number in open_ones])
        deadline = time.monotonic() + 60
        while open_ones:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no end of {sorted(open_ones)}")
            for m in consumer.consume(len(open_ones), 0.2):
                if not m.error():
                    got.append(protocol.record(m.topic(), m.partition(), m.offset(), m.key(), m.value(), m.timestamp()[1],
                                               m.headers(), m.leader_epoch()))
                elif m.error().name() == "_PARTITION_EOF":
                    open_ones.discard((m.topic(), m.partition()))
                elif not m.error().retriable():
                    raise KafkaException(m.error())
        consumer.close()
        return sorted(got, key=lambda r: (r["topic"], r["partition"], r["offset"]))

    def add_partitions(self, topic, total):
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(60)

    def alter_topic(self, topic, name, value):
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        change = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        self.admin.incremental_alter_configs([change])[change].result(60)

    def topic_configs(self, topic):
        """Those set for the topic itself."""
        asked = ConfigResource(ConfigResource.Type.TOPIC, topic)
        entries = self.admin.describe_configs([asked])[asked].result(60).values()
        return {e.name: e.value for e in entries if e.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value}

    def assignment(self, name):
        return sorted([p.topic, p.partition] for p in self.consumers[name].assignment())

    def commit(self, name):
        self.consumers[name].commit(asynchronous=False)

    def committed(self, name, topic, partition):
        offset = self.consumers[name].committed([TopicPartition(topic, partition)], timeout=30)[0].offset
        return None if offset < 0 else offset

    def _reader(self, options=None):
        return Consumer({"bootstrap.servers": self.address, "group.id": "nobody", "enable.auto.commit": False, **QUIET,
                         **(options or {})})

    def offsets(self, topic, partition):
        reader = self._reader()
        found = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
        reader.close()
        return list(found)

    def offset_for_time(self, topic, partition, timestamp):
        reader = self._reader()
        found = reader.offsets_for_times([TopicPartition(topic, partition, timestamp)], timeout=30)[0]
        reader.close()
        return None if found.offset < 0 else [found.offset, None]

    def close_consumer(self, name):
        self.consumers.pop(name).close()


if __name__ == "__main__":
    protocol.serve(Driver(sys.argv[1]))
