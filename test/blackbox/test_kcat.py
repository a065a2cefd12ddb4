# SPDX-License-Identifier: Apache-2.0
"""kcat (librdkafka 2.0.2): what people type by hand."""
import json

import pytest

from harness.clients import kcat

LINES = [f"line {n}".encode() for n in range(200)]


def test_kcat_lists_the_broker_and_its_topics(broker, topic):
    kcat(broker.address, "-P", "-t", topic, stdin=b"x\n")
    told = json.loads(kcat(broker.address, "-L", "-J"))
    assert [b["name"] for b in told["brokers"]] == [broker.address]
    assert topic in [t["topic"] for t in told["topics"]]


@pytest.mark.parametrize("codec", ("none", "gzip", "snappy", "lz4", "zstd"))
def test_kcat_produces_and_consumes_in_order(broker, topic, codec):
    kcat(broker.address, "-P", "-t", topic, "-z", codec, stdin=b"\n".join(LINES) + b"\n")
    got = kcat(broker.address, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q")
    assert got.splitlines() == LINES


def test_kcat_carries_keys_and_headers(broker, topic):
    kcat(broker.address, "-P", "-t", topic, "-K", ":", "-H", "origin=test", stdin=b"k:v\n")
    got = kcat(broker.address, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%k|%s|%h|%o\n")
    assert got == b"k|v|origin=test|0\n"


def test_a_kcat_group_goes_on_where_it_stopped(broker, topic):
    for count in (10, 15):
        kcat(broker.address, "-P", "-t", topic, stdin=b"\n".join(LINES[:count]) + b"\n")
        got = kcat(broker.address, "-G", topic, "-q", "-c", str(count), "-X", "auto.offset.reset=earliest", topic)
        assert got.splitlines() == LINES[:count]


def test_kcat_finds_an_offset_by_time(broker, topic):
    kcat(broker.address, "-P", "-t", topic, stdin=b"x\n")
    assert kcat(broker.address, "-Q", "-t", f"{topic}:0:0").split()[-1] == b"0"


def test_kcat_sends_idempotently(broker, topic):
    kcat(broker.address, "-P", "-t", topic, "-X", "enable.idempotence=true", stdin=b"\n".join(LINES) + b"\n")
    got = kcat(broker.address, "-C", "-t", topic, "-o", "beginning", "-e", "-q")
    assert got.splitlines() == LINES
