# SPDX-License-Identifier: Apache-2.0
"""What both consumers do: read the topic from its beginning, store each message, then commit its offset.

A message is stored before it is committed, so a consumer that is killed in between gets it again. That does no harm,
because a message's rows are stored together with its partition and offset, and what is there already is left alone:
each row is in the table once. A message that cannot be stored is tried again before the next one is looked at; after
`ATTEMPTS_MAX` the program stops without committing it, and the next start begins with that message.
"""
import argparse
import functools
import logging
import signal
import sqlite3
import time

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CommitFailedError, KafkaError
from kafka.structs import OffsetAndMetadata

import messages

ATTEMPTS_MAX = 10
WAIT_MAX_S = 5
log = logging.getLogger("consumer")


class Table:
    """One SQLite table. `columns` are SQL, `row_values` makes their values of a row."""

    def __init__(self, path, name, columns, row_values):
        self.name, self.row_values = name, row_values
        self.database = sqlite3.connect(path, timeout=30, isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute(f"CREATE TABLE IF NOT EXISTS {name} (partition INTEGER, offset INTEGER, row INTEGER, "
                              f"{columns}, PRIMARY KEY (partition, offset, row)) WITHOUT ROWID")
        self.places = ", ".join("?" * (3 + columns.count(",") + 1))

    def store(self, message):
        """All rows of a message or none, in one transaction."""
        rows = [(message.partition, message.offset, number, *self.row_values(row))
                for number, row in enumerate(messages.rows_of(message.value))]
        self.database.execute("BEGIN IMMEDIATE")
        try:
            self.database.executemany(f"INSERT OR IGNORE INTO {self.name} VALUES ({self.places})", rows)
            self.database.execute("COMMIT")
        except BaseException:
            self.database.execute("ROLLBACK")
            raise

    def close(self):
        self.database.close()


def until_done(what, message, action, errors):
    """Does a thing with a message, again until it works; the last error is raised when it never does."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return action(message)
        except errors as error:
            if attempt == ATTEMPTS_MAX:
                raise
            log.warning("%s offset %d failed, trying again: %s: %s", what, message.offset, type(error).__name__, error)
            time.sleep(min(WAIT_MAX_S, 0.1 * 2 ** attempt))


def commit(consumer, message):
    """Names the offset itself: the consumer may have fetched further than we have stored."""
    where = TopicPartition(message.topic, message.partition)
    try:
        consumer.commit({where: OffsetAndMetadata(message.offset + 1, "", -1)})
    except CommitFailedError:
        log.warning("partition %d went to another member, which will get offset %d again", message.partition,
                    message.offset)


def consume(broker, topic, group, table, running, member=None):
    """`member` is this program's own name in its group: with one it takes its place again at once after a crash,
    without one the group waits until the session of the crashed member has timed out."""
    consumer = KafkaConsumer(bootstrap_servers=broker, group_id=group, auto_offset_reset="smallest",
                             enable_auto_commit=False, max_partition_fetch_bytes=26210000, group_instance_id=member)
    try:
        consumer.subscribe([topic])
        # Asked for before the first poll: kafka-python 3.0.12 may lose a join that new partitions interrupt.
        consumer.partitions_for_topic(topic)
        while running():
            for fetched in consumer.poll(timeout_ms=500).values():
                for message in fetched:
                    until_done("storing", message, table.store, (sqlite3.Error, ValueError))
                    until_done("committing", message, functools.partial(commit, consumer), KafkaError)
                    if not running():
                        return
    finally:
        consumer.close()


def main(description, group, name, columns, row_values):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--database", default="event_log.sqlite")
    parser.add_argument("--topic", default=messages.TOPIC)
    parser.add_argument("--broker", default="127.0.0.1:9092")
    parser.add_argument("--member", help="a name of its own in the group, so that it needn't wait after a crash")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format=f"{group}: %(message)s")
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    table = Table(options.database, name, columns, row_values)
    try:
        consume(options.broker, options.topic, group, table, lambda: not stopped, options.member)
    finally:
        table.close()
