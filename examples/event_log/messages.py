# SPDX-License-Identifier: Apache-2.0
"""How rows become messages: an event file is a JSON array of objects, and each object is a row.

A message is the JSON of one row, or of an array of rows. What a broker limits is not the message but the batch that
carries it (`max.message.bytes`), so that is what is measured here: 61 bytes of batch header, then the record, whose own
head is a few numbers of variable length.
"""
import json

TOPIC = "event-log"
MAX_MESSAGE_BYTES = 1_048_588  # Kafka's default
BATCH_HEADER_BYTES = 61


class RowTooLarge(ValueError):
    """One row alone makes a batch over the limit; nothing was sent."""


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: not a JSON array of objects")
    return rows


def encode(row):
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def varint_bytes(number):
    """The size of a number >= 0 as the zigzag varint that records use: one bit is its sign, 7 bits go in a byte."""
    return max(1, -(-(2 * number).bit_length() // 7))


def batch_bytes(value_bytes):
    """The size of the batch that one message without key and headers makes, uncompressed."""
    body = 4 + varint_bytes(value_bytes) + value_bytes + 1  # attributes, time, offset, no key; the value; no headers
    return BATCH_HEADER_BYTES + varint_bytes(body) + body


def check_fits(number, value_bytes, limit):
    size = batch_bytes(value_bytes)
    if size > limit:
        raise RowTooLarge(f"row {number} makes a batch of {size:,} bytes, the limit is {limit:,}")


def chunks(rows, limit=MAX_MESSAGE_BYTES):
    """Messages with as many rows each as fit: a file that fits one message is sent whole."""
    pending, size = [], 2  # the brackets of the array
    for number, row in enumerate(map(encode, rows)):
        check_fits(number, 2 + len(row), limit)
        grown = size + len(row) + (1 if pending else 0)
        if batch_bytes(grown) > limit:
            yield b"[" + b",".join(pending) + b"]"
            pending, grown = [], 2 + len(row)
        pending.append(row)
        size = grown
    if pending:
        yield b"[" + b",".join(pending) + b"]"


def single_rows(rows, limit=MAX_MESSAGE_BYTES):
    """One row a message."""
    for number, row in enumerate(map(encode, rows)):
        check_fits(number, len(row), limit)
        yield row


def rows_of(value):
    """The rows of a message, whichever way it was sent."""
    content = json.loads(value)
    return content if isinstance(content, list) else [content]
