# SPDX-License-Identifier: Apache-2.0
"""compression.type of a topic and its levels: what a batch is made into. Compressed bytes are a library's own, so what is
compared is what they hold, and whether a higher level makes them smaller.
"""
import gzip
import struct

import lz4.frame
import snappy
import zstandard

from harness.batch import batch
from oracle.session import served, story
from oracle.stories.fetch import fetch, part
from oracle.stories.produce import LINES, produce

HEAD = 61
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
# Words in an order without a pattern: what a better search finds, a hasty one does not.
TEXT = b" ".join(b"word%d" % (n * n % 811) for n in range(4000))


def unsnappy(data):
    """The framing that Java's library writes, or a plain block."""
    if not data.startswith(b"\x82SNAPPY\0"):
        return snappy.uncompress(data)
    at, out = 16, b""
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        out += snappy.uncompress(data[at + 4:at + 4 + size])
        at += 4 + size
    return out


PLAIN = {"none": bytes, "gzip": gzip.decompress, "snappy": unsnappy, "lz4": lz4.frame.decompress,
         "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)}


def opened(records):
    """Each batch: codec, what its head says, its records without the codec."""
    at = 0
    while at < len(records):
        base, length = struct.unpack_from(">qi", records, at)
        attributes, last_delta, first, latest, pid, epoch, sequence, count = struct.unpack_from(">hiqqqhii", records, at + 21)
        codec = CODECS[attributes & 7]
        yield {"baseOffset": base, "codec": codec, "timestampType": attributes >> 3 & 1, "lastOffsetDelta": last_delta, "count": count,
               "timestamps": [first, latest], "producer": [pid, epoch, sequence],
               "content": PLAIN[codec](records[at + HEAD:at + 12 + length])}
        at += 12 + length


def told(s, topic, offset, note):
    """Fetches, and tells the batches opened; gives the bytes of them."""
    answer = fetch(s, 12, [(topic, [part(offset, 12)])], note)
    one = answer["responses"][0]["partitions"][0]
    records, one["records"] = one["records"], None
    s.steps.append({"ask": f"what came: {note}", "answer": list(opened(records))})
    return records


@story
def by_topic(s):
    """Every codec of a producer under every compression.type, at every version that a producer may use."""
    for wanted in ("uncompressed", "producer") + CODECS[1:]:
        topic = s.topic(f"recompression-{wanted}", compression_type=wanted)
        end = 0
        for version in served("Produce"):
            for codec in CODECS:
                if codec == "zstd" and version < 7:
                    continue
                produce(s, version, topic, batch(LINES, codec=codec), f"{codec} for {wanted}")
                told(s, topic, end, f"{codec} for {wanted}, v{version}")
                end += len(LINES)


@story
def idempotent(s):
    """Producer, epoch and sequence survive; a repetition is found."""
    topic = s.topic(compression_type="gzip")
    with_producer = batch(LINES, producer_id=7000, producer_epoch=3, base_sequence=0)
    produce(s, 9, topic, with_producer, "once")
    produce(s, 9, topic, with_producer, "twice")
    told(s, topic, 0, "of a producer")


@story
def levels(s):
    for codec, low, high in (("gzip", 1, 9), ("lz4", 1, 17), ("zstd", -50, 19)):
        sizes = []
        for level in (low, high):
            topic = s.topic(f"recompression-level-{codec}-{level}", compression_type=codec, **{f"compression_{codec}_level": level})
            produce(s, 9, topic, batch([(b"k", TEXT)]), f"{codec} {level}")
            sizes.append(len(told(s, topic, 0, f"{codec} {level}")))
        s.steps.append({"ask": f"{codec}: a higher level makes it smaller", "answer": sizes[1] < sizes[0] < len(TEXT)})
    for codec, level in (("gzip", 0), ("gzip", 10), ("gzip", -2), ("lz4", 0), ("lz4", 18), ("zstd", 23), ("zstd", -131073), ("gzip", "best")):
        s.ask("CreateTopics", 7, {"timeoutMs": 30000, "topics": [{
            "name": "recompression-refused", "numPartitions": 1, "replicationFactor": 1, "assignments": [],
            "configs": [{"name": f"compression.{codec}.level", "value": str(level)}]}]}, f"{codec} {level}")


@story
def limit_after_it(s):
    """max.message.bytes counts what is stored, not what was sent."""
    topic = s.topic(compression_type="gzip", max_message_bytes=2000)
    produce(s, 9, topic, batch([(b"k", b"x" * 5000)]), "small once compressed")
    produce(s, 9, topic, batch([(b"k", TEXT)]), "large even so")
    plain = s.topic("recompression-grows", compression_type="uncompressed", max_message_bytes=2000)
    produce(s, 9, plain, batch([(b"k", b"x" * 5000)], codec="gzip"), "large once it is not compressed")
    produce(s, 9, plain, batch(LINES, codec="gzip"), "small")
    told(s, plain, 0, "what is there")


@story
def with_rules(s):
    """A batch that is rewritten is looked at like any other: keys of a compacted topic, times."""
    topic = s.topic(compression_type="lz4", cleanup_policy="compact")
    for codec in CODECS:
        produce(s, 9, topic, batch([(b"k", b"v"), (None, b"w")], codec=codec), f"no key, {codec}")
        produce(s, 9, topic, batch(LINES, codec=codec, count=4), f"count too high, {codec}")
        produce(s, 9, topic, batch(LINES, codec=codec, max_timestamp=5), f"max timestamp wrong, {codec}")
    told(s, topic, 0, "what is there")
    stamped = s.topic("recompression-stamped", compression_type="zstd", message_timestamp_type="LogAppendTime")
    s.differs("logAppendTimeMs", "the clock")
    s.differs("timestamps", "the clock")
    for codec in CODECS:
        produce(s, 9, stamped, batch(LINES, codec=codec), codec)
    told(s, stamped, 0, "stamped")
