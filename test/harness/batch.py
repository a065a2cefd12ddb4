# SPDX-License-Identifier: Apache-2.0
"""Record batches of format 2 by hand, so that a test can make any of their fields wrong.

Bytes: base offset 8, length 4, leader epoch 4, magic 1, crc 4 (of all that follows), attributes 2, last offset delta 4,
base timestamp 8, max timestamp 8, producer id 8, producer epoch 2, base sequence 4, count 4, records.
"""
import gzip
import struct

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
CRC_AT, ATTRIBUTES_AT = 17, 21


def varint(number):
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number & ~0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def sized(content):
    return varint(-1) if content is None else varint(len(content)) + content


def record(offset_delta, timestamp_delta, key, value, headers=()):
    body = b"\0" + varint(timestamp_delta) + varint(offset_delta) + sized(key) + sized(value) + varint(len(headers))
    for name, content in headers:
        body += sized(name.encode()) + sized(content)
    return varint(len(body)) + body


def compress(codec, content):
    if codec == "gzip":
        return gzip.compress(content, mtime=0)
    if codec == "lz4":
        import lz4.frame
        return lz4.frame.compress(content, block_linked=False)
    if codec == "zstd":
        import zstandard
        return zstandard.ZstdCompressor().compress(content)
    if codec == "snappy":
        import snappy
        block = snappy.compress(content)
        return b"\x82SNAPPY\0" + struct.pack(">iii", 1, 1, len(block)) + bytes(block)
    return content


def batch(records, base_timestamp=1_700_000_000_000, producer_id=-1, producer_epoch=-1, base_sequence=-1, codec="none",
          attributes=0, base_offset=0, leader_epoch=-1, magic=2, count=None, last_offset_delta=None, max_timestamp=None,
          crc=None, raw_records=None):
    """`records`: (key, value) or (key, value, headers) each, one millisecond apart. Every other field may be a lie."""
    body = b"".join(record(n, n, *r) for n, r in enumerate(records)) if raw_records is None else raw_records
    body = compress(codec, body)
    count = len(records) if count is None else count
    last = len(records) - 1 if last_offset_delta is None else last_offset_delta
    latest = base_timestamp + max(len(records) - 1, 0) if max_timestamp is None else max_timestamp
    checked = struct.pack(">hiqqqhii", attributes | CODECS[codec], last, base_timestamp, latest, producer_id, producer_epoch,
                          base_sequence, count) + body
    crc = crc32c(checked) if crc is None else crc
    tail = struct.pack(">iBI", leader_epoch, magic, crc) + checked
    return struct.pack(">qi", base_offset, len(tail)) + tail


def _table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = _table()


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
