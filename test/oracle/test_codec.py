# SPDX-License-Identifier: Apache-2.0
"""The oracle's codec against the vectors that Kafka's own classes wrote."""
import base64
import json
import pathlib

import pytest

from oracle import codec

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "schema" / "protocol" / "vectors"
MESSAGES = {m.name: m for messages in codec.BY_SOURCE.values() for m in messages}


def as_json(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: as_json(one) for key, one in value.items() if not key.startswith("unknownTag")}
    return [as_json(one) for one in value] if isinstance(value, list) else value


def holds(value, wanted):
    """The vectors leave out tagged fields that were not sent; all else is equal."""
    if isinstance(wanted, dict) and isinstance(value, dict):
        return all(key in value and holds(value[key], one) for key, one in wanted.items())
    if isinstance(wanted, list) and isinstance(value, list):
        return len(wanted) == len(value) and all(holds(*pair) for pair in zip(value, wanted))
    return value == wanted


@pytest.mark.parametrize("source", sorted(path.name for path in VECTORS.glob("[0-9]*.txt")))
def test_reads_and_writes_what_kafka_wrote(source):
    lines = (VECTORS / source).read_text().splitlines()
    assert lines
    for line in lines:
        if line.startswith("#"):
            continue
        _, name, version, kind, data, content = line.split("\t")
        data, version = bytes.fromhex(data), int(version)
        value, used = codec.read(MESSAGES[name], version, data)
        assert used == len(data), line
        assert holds(as_json(value), json.loads(content)), line
        if kind != "u":  # the unknown tags are read over, not kept
            assert codec.write(MESSAGES[name], version, value) == data, line
