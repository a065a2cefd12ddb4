#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends an event file to a topic: whole if it fits one message, else in chunks of rows, or one row a message.

    producer.py FILE [--one-row] [--topic NAME] [--broker HOST:PORT] [--max-message-bytes N]

Ends with status 0 when the broker has acknowledged every message, and prints how many there were.
"""
import argparse
import sys

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError

import messages


def check_connection(broker):
    """Raises if nobody answers within five seconds: better before the file is read than after."""
    admin = KafkaAdminClient(bootstrap_servers=broker, bootstrap_timeout_ms=5000)
    try:
        return admin.list_topics()
    finally:
        admin.close()


def send(broker, topic, values):
    """Sends all, waits for all, and gives their number. An error of any message is raised."""
    producer = KafkaProducer(bootstrap_servers=broker, retries=5, max_request_size=26210000)
    try:
        futures = [producer.send(topic, value) for value in values]
        producer.flush()
        for future in futures:
            future.get(timeout=0)  # flush has waited; this tells success from failure
        return len(futures)
    finally:
        producer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--one-row", action="store_true", help="one row a message")
    parser.add_argument("--topic", default=messages.TOPIC)
    parser.add_argument("--broker", default="127.0.0.1:9092")
    parser.add_argument("--max-message-bytes", type=int, default=messages.MAX_MESSAGE_BYTES,
                        help="the topic's max.message.bytes")
    options = parser.parse_args()
    try:
        check_connection(options.broker)
        rows = messages.read_rows(options.file)
        split = messages.single_rows if options.one_row else messages.chunks
        values = list(split(rows, options.max_message_bytes))  # all of them before the first is sent: all or nothing
        count = send(options.broker, options.topic, values)
    except (KafkaError, OSError, ValueError) as error:
        sys.exit(f"producer: {type(error).__name__}: {error}")
    print(f"sent {len(rows)} rows in {count} messages")


if __name__ == "__main__":
    main()
