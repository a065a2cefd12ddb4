# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka 4.3.1's own console producer and consumer."""
import pytest

from harness.clients import java_consume, java_produce

LINES = [f"line {n}".encode() for n in range(300)]


@pytest.mark.parametrize("codec", ("none", "gzip", "snappy", "lz4", "zstd"))
def test_javas_producer_and_consumer_pass_lines_in_order(broker, topic, codec):
    """The producer is idempotent with acks=all: Java's default."""
    java_produce(broker.address, topic, LINES, "--compression-codec", codec)
    assert java_consume(broker.address, topic, len(LINES), "--from-beginning") == LINES


def test_javas_producer_with_acks_1_and_keys(broker, topic):
    java_produce(broker.address, topic, [b"k:v"], "--command-property", "acks=1", "--reader-property", "parse.key=true",
                 "--reader-property", "key.separator=:")
    assert java_consume(broker.address, topic, 1, "--from-beginning", "--formatter-property", "print.key=true",
                        "--formatter-property", "key.separator=:") == [b"k:v"]


def test_a_java_group_goes_on_where_it_stopped(broker, topic):
    java_produce(broker.address, topic, LINES)
    first = java_consume(broker.address, topic, 100, "--from-beginning", "--group", topic)
    second = java_consume(broker.address, topic, 200, "--group", topic)
    assert first + second == LINES
