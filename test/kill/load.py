# SPDX-License-Identifier: Apache-2.0
"""The load of the kill loop: producers of several kinds and a group that commits, each in a thread, all writing one
ledger.

A producer that is not idempotent does not retry: a message of it that was sent again could stand there twice, and the
broker could not know. An idempotent one retries until it has an answer, through as many restarts as it takes.
"""
import logging
import random
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as PythonTopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from kill.ledger import value_of

TOPICS = {"one": 1, "four": 4, "rolling": 2}
TOPIC_CONFIGS = {"rolling": {"segment.bytes": str(1 << 20)}}
GROUP = "kill-group"
OUTSTANDING_MAX = 100
PAUSE_S_MAX = 0.004  # everything is read and compared in each round: some thousand messages a second are enough
FILLER_BYTES_MAX = 8000
QUIET_S = 90

# name: (library, topic, settings)
PRODUCERS = {
    "acks-1": ("confluent", "one", {"acks": 1}),
    "acks-all-gzip": ("confluent", "four", {"acks": "all", "compression.type": "gzip"}),
    "acks-1-zstd": ("confluent", "rolling", {"acks": 1, "compression.type": "zstd"}),
    "idempotent-snappy": ("confluent", "four", {"enable.idempotence": True, "compression.type": "snappy"}),
    "idempotent-lz4": ("confluent", "rolling", {"enable.idempotence": True, "compression.type": "lz4"}),
    "python-idempotent": ("kafka-python", "one", {}),
    "python-acks-1-lz4": ("kafka-python", "four", {
        "acks": 1, "enable_idempotence": False, "retries": 0, "max_in_flight_requests_per_connection": 1,
        "compression_type": "lz4"}),
}

# A broker that is down on purpose makes hundreds of lines.
logging.getLogger("kafka").setLevel(logging.CRITICAL)
QUIET = {"log_level": 0, "reconnect.backoff.max.ms": 500}


class Worker:
    """A thread that works while it is told to; `error` is what ended it, which is a failure of the run."""

    def __init__(self, name, gate):
        self.name, self.gate, self.error, self.ended = name, gate, None, threading.Event()
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)

    def run(self):
        try:
            while not self.ended.is_set():
                self.step()
        except Exception as error:  # told by the main thread
            self.error = error

    def start(self):
        self.thread.start()

    def end(self):
        self.ended.set()
        self.thread.join(60)
        self.close()


class ProducerWorker(Worker):
    """Sends numbered messages to random partitions while the gate is open, a bounded number of them at a time."""

    def __init__(self, name, address, ledger, gate, seed):
        super().__init__(name, gate)
        self.topic, self.ledger, self.random = PRODUCERS[name][1], ledger, random.Random(f"{seed} {name}")
        self.number, self.room = 0, threading.Semaphore(OUTSTANDING_MAX)
        self.open(address, PRODUCERS[name][2])

    def step(self):
        if not self.gate.wait(0.05) or not self.room.acquire(timeout=0.05):
            self.serve()
            return
        partition = self.random.randrange(TOPICS[self.topic])
        message, place = (self.name, self.number), (self.topic, partition)
        filler = self.random.randbytes(self.random.choice((10, 100, 1000, FILLER_BYTES_MAX)) // 2).hex().encode()
        self.ledger.note_sent(message, place)
        self.number += 1
        self.send(message, partition, value_of(*message, filler))
        self.serve()
        time.sleep(self.random.uniform(0, PAUSE_S_MAX))

    def acknowledged(self, message, partition, offset):
        self.ledger.note_acknowledged(message, (self.topic, partition), offset)
        self.room.release()

    def failed(self, message):
        self.ledger.note_failed(message)
        self.room.release()


class ConfluentProducer(ProducerWorker):
    def open(self, address, settings):
        # One at a time: what a broker refused (it does not lead yet) librdkafka sends again, behind what came after it.
        never_again = {"message.send.max.retries": 0, "message.timeout.ms": 20000, "max.in.flight": 1}
        self.producer = Producer({"bootstrap.servers": address, "linger.ms": 5, **QUIET,
                                  **({} if settings.get("enable.idempotence") else never_again), **settings})

    def send(self, message, partition, value):
        def delivered(error, told):
            if error is None:
                self.acknowledged(message, told.partition(), told.offset())
            else:
                self.failed(message)
        self.producer.produce(self.topic, value, partition=partition, on_delivery=delivered)

    def serve(self):
        self.producer.poll(0)

    def close(self):
        self.producer.purge()


class PythonProducer(ProducerWorker):
    def open(self, address, settings):
        self.producer = KafkaProducer(bootstrap_servers=address, linger_ms=5, reconnect_backoff_max_ms=500, **settings)

    def send(self, message, partition, value):
        def delivered(told):
            self.acknowledged(message, told.partition, told.offset)
        future = self.producer.send(self.topic, value, partition=partition)
        future.add_callback(delivered)
        future.add_errback(lambda _: self.failed(message))

    def serve(self):
        pass

    def close(self):
        try:
            self.producer.close(timeout=5)
        except KafkaError:
            pass  # messages without an answer, which the ledger knows of


class ConfluentMember(Worker):
    """A member of the group by librdkafka: reads, tells what it saw, commits after every few messages."""

    def __init__(self, name, address, ledger, gate):
        super().__init__(name, gate)
        self.ledger = ledger
        self.consumer = Consumer({"bootstrap.servers": address, "group.id": GROUP, "enable.auto.commit": False, **QUIET,
                                  "auto.offset.reset": "earliest", "session.timeout.ms": 10000,
                                  "heartbeat.interval.ms": 500})
        self.consumer.subscribe(list(TOPICS))

    def step(self):
        ends = {}
        for m in self.consumer.consume(50, 0.2):
            if m.error() is None:
                self.ledger.note_seen((m.topic(), m.partition()), m.offset(), m.value())
                ends[m.topic(), m.partition()] = m.offset() + 1
        for place, offset in ends.items():
            self.ledger.note_commit_tried(place, offset)
        if ends:
            self.commit(ends)

    def commit(self, ends):
        try:
            wanted = [TopicPartition(topic, partition, offset) for (topic, partition), offset in ends.items()]
            done = self.consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException:
            return
        for told in done:
            if told.error is None:
                self.ledger.note_committed((told.topic, told.partition), told.offset)

    def close(self):
        self.consumer.close()


class PythonMember(Worker):
    """A member of the same group by kafka-python."""

    def __init__(self, name, address, ledger, gate):
        super().__init__(name, gate)
        self.ledger = ledger
        self.consumer = KafkaConsumer(*TOPICS, bootstrap_servers=address, group_id=GROUP, enable_auto_commit=False,
                                      auto_offset_reset="earliest", session_timeout_ms=10000, heartbeat_interval_ms=500,
                                      reconnect_backoff_max_ms=500, max_poll_records=50)

    def step(self):
        try:
            ends = {}
            for where, messages in self.consumer.poll(timeout_ms=200).items():
                for m in messages:
                    self.ledger.note_seen((m.topic, m.partition), m.offset, m.value)
                    ends[where] = m.offset + 1
            if ends:
                self.commit(ends)
        except KafkaError:
            time.sleep(0.1)

    def commit(self, ends):
        for where, offset in ends.items():
            self.ledger.note_commit_tried((where.topic, where.partition), offset)
        self.consumer.commit({where: OffsetAndMetadata(offset, "", -1) for where, offset in ends.items()})
        for where, offset in ends.items():
            self.ledger.note_committed((where.topic, where.partition), offset)

    def close(self):
        self.consumer.close(autocommit=False)


class Load:
    def __init__(self, address, ledger, seed):
        self.ledger, self.gate = ledger, threading.Event()
        kinds = {"confluent": ConfluentProducer, "kafka-python": PythonProducer}
        self.producers = [kinds[library](name, address, ledger, self.gate, seed)
                          for name, (library, _topic, _settings) in PRODUCERS.items()]
        self.members = [ConfluentMember("member-confluent", address, ledger, self.gate),
                        PythonMember("member-python", address, ledger, self.gate)]

    def start(self):
        for worker in self.producers + self.members:
            worker.start()

    def errors(self):
        return [f"{w.name} ended: {type(w.error).__name__}: {w.error}" for w in self.producers + self.members if w.error]

    def pause(self):
        """No new messages; gives when every one sent has its answer. True if all did in time."""
        self.gate.clear()
        deadline = time.monotonic() + QUIET_S
        while self.ledger.outstanding() and time.monotonic() < deadline and not self.errors():
            time.sleep(0.02)
        return self.ledger.outstanding() == 0

    def resume(self):
        self.gate.set()

    def end(self):
        for worker in self.producers + self.members:
            worker.end()


def read_all(address):
    """{place: [(offset, value)]}, every partition from its beginning to its end."""
    reader = KafkaConsumer(bootstrap_servers=address, max_partition_fetch_bytes=4 << 20)
    places = [PythonTopicPartition(topic, p) for topic, count in TOPICS.items() for p in range(count)]
    reader.assign(places)
    reader.seek_to_beginning(*places)
    ends = reader.end_offsets(places)
    records = {(where.topic, where.partition): [] for where in places}
    while any(reader.position(where) < ends[where] for where in places):
        for where, messages in reader.poll(timeout_ms=500, max_records=10000).items():
            records[where.topic, where.partition] += [(m.offset, m.value) for m in messages]
    reader.close(autocommit=False)
    return records


def committed_all(address):
    reader = KafkaConsumer(bootstrap_servers=address, group_id=GROUP, enable_auto_commit=False)
    found = {(t, p): reader.committed(PythonTopicPartition(t, p)) for t, count in TOPICS.items() for p in range(count)}
    reader.close(autocommit=False)
    return found
