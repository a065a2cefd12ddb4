# SPDX-License-Identifier: Apache-2.0
"""The event log example, in small: how a file is split, how a message is stored, the demonstration with its accidents.
"""
import json
import pathlib
import sqlite3
import subprocess
import sys

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import MessageSizeTooLargeError

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "event_log"
sys.path.insert(0, str(EXAMPLE))

import consumer  # noqa: E402
import make_events  # noqa: E402
import messages  # noqa: E402
import producer  # noqa: E402


def rows_of_chunk_bytes(value_bytes):
    """Two rows whose JSON, as one array, has exactly so many bytes."""
    rows = [{"id": 0}, {"note": ""}]
    rows[1]["note"] = "x" * (value_bytes - len(json.dumps(rows, separators=(",", ":"))))
    return rows


def value_bytes_at_the_limit():
    size = messages.MAX_MESSAGE_BYTES
    while messages.batch_bytes(size) > messages.MAX_MESSAGE_BYTES:
        size -= 1
    return size


def run_producer(broker, topic, file, *options):
    command = [sys.executable, str(EXAMPLE / "producer.py"), str(file), "--topic", topic, "--broker", broker.address]
    return subprocess.run([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120)


def read(broker, topic):
    """The values of a topic of one partition."""
    reader = KafkaConsumer(bootstrap_servers=broker.address, max_partition_fetch_bytes=26210000)
    where = TopicPartition(topic, 0)
    reader.assign([where])
    reader.seek_to_beginning(where)
    end, values = reader.end_offsets([where])[where], []
    while len(values) < end:
        for got in reader.poll(timeout_ms=500).values():
            values += [message.value for message in got]
    reader.close()
    return values


def write(path, rows):
    path.write_text(json.dumps(rows))
    return path


def test_a_file_that_fits_is_sent_whole(broker, topic, tmp_path):
    rows = [{"id": n} for n in range(1000)]
    done = run_producer(broker, topic, write(tmp_path / "rows.json", rows))
    assert (done.returncode, done.stdout) == (0, "sent 1000 rows in 1 messages\n")
    assert [json.loads(value) for value in read(broker, topic)] == [rows]


def test_a_batch_of_exactly_the_limit_is_one_message(broker, topic, tmp_path):
    rows = rows_of_chunk_bytes(value_bytes_at_the_limit())
    assert run_producer(broker, topic, write(tmp_path / "rows.json", rows)).returncode == 0
    (value,) = read(broker, topic)
    assert messages.batch_bytes(len(value)) == messages.MAX_MESSAGE_BYTES
    assert json.loads(value) == rows


def test_one_byte_more_makes_two_messages(broker, topic, tmp_path):
    rows = rows_of_chunk_bytes(value_bytes_at_the_limit() + 1)
    assert run_producer(broker, topic, write(tmp_path / "rows.json", rows)).returncode == 0
    assert [json.loads(value) for value in read(broker, topic)] == [rows[:1], rows[1:]]


def test_the_broker_refuses_the_limit_plus_one(broker, topic):
    """So the limit that the producer keeps is the broker's own, to the byte."""
    sender = KafkaProducer(bootstrap_servers=broker.address, retries=5, max_request_size=26210000)
    assert sender.send(topic, b"x" * value_bytes_at_the_limit()).get(timeout=60).offset == 0
    with pytest.raises(MessageSizeTooLargeError):
        sender.send(topic, b"x" * (value_bytes_at_the_limit() + 1)).get(timeout=60)
    sender.close()


def test_a_row_over_the_limit_is_told_and_nothing_is_sent(broker, topic, tmp_path):
    rows = [{"id": 0}, {"note": "x" * messages.MAX_MESSAGE_BYTES}]
    for option in ([], ["--one-row"]):
        done = run_producer(broker, topic, write(tmp_path / "rows.json", rows), *option)
        assert done.returncode == 1
        assert "row 1 makes a batch of 1,048,6" in done.stdout
    assert read(broker, topic) == []


def test_a_message_a_row(broker, topic, tmp_path):
    rows = [{"id": n, "note": "ü" * n} for n in range(200)]
    done = run_producer(broker, topic, write(tmp_path / "rows.json", rows), "--one-row")
    assert done.stdout == "sent 200 rows in 200 messages\n"
    assert [json.loads(value) for value in read(broker, topic)] == rows


def test_a_large_file_arrives_in_chunks_in_order(broker, topic, tmp_path):
    count = make_events.make(tmp_path / "events.json", 3 << 20)
    assert run_producer(broker, topic, tmp_path / "events.json").returncode == 0
    values = read(broker, topic)
    assert 3 <= len(values) <= 4
    assert [row["id"] for value in values for row in json.loads(value)] == list(range(count))


def test_a_producer_without_a_broker_says_so(tmp_path, topic):
    class Nobody:
        address = "127.0.0.1:1"
    done = run_producer(Nobody, topic, write(tmp_path / "rows.json", [{}]))
    assert done.returncode == 1 and done.stdout.startswith("producer: ")


class Failing(consumer.Table):
    """A table that fails to store one offset twice, and remembers what was asked of it."""

    def __init__(self, path):
        super().__init__(path, "events", "id INTEGER", lambda row: [row["id"]])
        self.asked = []

    def store(self, message):
        self.asked.append(message.offset)
        if message.offset == 1 and self.asked.count(1) <= 2:
            raise sqlite3.OperationalError("disk I/O error")
        super().store(message)


def test_a_message_that_fails_is_tried_again_before_the_next(broker, topic, tmp_path):
    producer.send(broker.address, topic, [b'{"id":7}', b'[{"id":8},{"id":9}]', b'{"id":10}'])
    table = Failing(tmp_path / "table.sqlite")
    consumer.consume(broker.address, topic, topic, table, running=lambda: table.asked[-1:] != [2])
    assert table.asked == [0, 1, 1, 1, 2]
    assert [r[0] for r in table.database.execute("SELECT id FROM events ORDER BY offset, row")] == [7, 8, 9, 10]
    reader = KafkaConsumer(bootstrap_servers=broker.address, group_id=topic)
    assert reader.committed(TopicPartition(topic, 0)) == 3
    reader.close()


def test_a_message_that_never_works_is_not_committed(broker, topic, tmp_path, monkeypatch):
    monkeypatch.setattr(consumer.time, "sleep", lambda _: None)
    producer.send(broker.address, topic, [b'{"id":7}', b"no JSON", b'{"id":8}'])
    table = Failing(tmp_path / "table.sqlite")
    with pytest.raises(ValueError):
        consumer.consume(broker.address, topic, topic, table, running=lambda: True)
    assert [r[0] for r in table.database.execute("SELECT id FROM events")] == [7]
    reader = KafkaConsumer(bootstrap_servers=broker.address, group_id=topic)
    assert reader.committed(TopicPartition(topic, 0)) == 1
    reader.close()


def test_a_message_stored_twice_is_there_once(tmp_path):
    class Message:
        partition, offset, value = 3, 5, b'[{"id":1},{"id":2}]'
    table = consumer.Table(tmp_path / "table.sqlite", "events", "id INTEGER", lambda row: [row["id"]])
    for _ in range(2):
        table.store(Message)
    assert table.database.execute("SELECT * FROM events").fetchall() == [(3, 5, 0, 1), (3, 5, 1, 2)]


@pytest.mark.parametrize("how", ([], ["--one-row"]), ids=("chunks", "one-row"))
def test_the_demonstration_ends_with_equal_counts(kind, how):
    """With kill -9 of a consumer and of the broker half way."""
    mib = "0.5" if how else "12"
    done = subprocess.run([sys.executable, str(EXAMPLE / "demo.py"), "--mib", mib, "--broker", kind, *how],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("kill -9: ") == 2
    counts = [line.split()[1] for line in done.stdout.splitlines() if line.endswith(" rows") and line.split()[0] in
              ("file", "events", "archive")]
    assert len(counts) == 3 and len(set(counts)) == 1
