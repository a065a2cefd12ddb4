# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/format are right: files that Apache Kafka wrote are read with nothing but them.

A table that no test reads fails the last test, so a page cannot grow past what is checked.
"""
import collections
import gzip
import json
import pathlib
import re
import tarfile
import zlib

import pytest

from harness.batch import crc32c

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "format"
DATADIRS = ROOT / "test" / "kafka" / "datadirs"
CODEC, CONTROL, DELETE_HORIZON = 7, 1 << 5, 1 << 6  # of a batch's attributes
READ = set()  # (page, heading) of the tables that were used


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datadir")
    with tarfile.open(DATADIRS / "clean.tar.gz") as archive:
        archive.extractall(folder)
    return folder / "data"


def tables(page):
    """{heading: rows of cells}, the heading's words up to a colon; the rows without the head."""
    found, heading = {}, ""
    for line in (PAGES / page).read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").strip()
        elif line.startswith("|"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return {heading: rows[2:] for heading, rows in found.items()}


def table(page, heading):
    READ.add((page, heading))
    return tables(page)[heading]


def layout(page, heading):
    """[(offset, size, first words of the field)] of the rows of fixed size."""
    rows = [(int(offset), int(size), field) for offset, size, field in table(page, heading) if offset and size.isdigit()]
    for (offset, size, _), (following, _, _) in zip(rows, rows[1:]):
        assert offset + size == following, f"{page}, {heading}: a gap before {following}"
    return rows


def fields(rows, content, at=0):
    """The named fields of a record; a signed number each."""
    return {re.split(r"[,:;]", name)[0]: int.from_bytes(content[at + offset:at + offset + size], "big", signed=True)
            for offset, size, name in rows}


def batches(path):
    rows, content, at = layout("partition.md", ".log: the batch (version 2)"), path.read_bytes(), 0
    head = rows[-1][0] + rows[-1][1]
    while at < len(content):
        batch = fields(rows, content, at)
        end = at + 12 + batch["size of what follows this field"]
        yield at, batch, content[at:end], content[at + head:end]
        at = end
    assert at == len(content)


def records_of(topic, partition):
    lines = map(json.loads, (DATADIRS / "clean" / "records" / f"{topic}.jsonl").read_text().splitlines())
    return [line for line in lines if line["p"] == partition]


def logs(data):
    return sorted(data.glob("*-[0-9]/*.log"))


def test_batches_have_the_fields_of_the_table(data):
    crc_at = next(o for o, _, name in layout("partition.md", ".log: the batch (version 2)") if name.startswith("CRC"))
    seen = 0
    for path in logs(data):
        following = int(path.stem)
        for _, batch, content, _ in batches(path):
            assert batch["magic"] == 2
            assert batch["CRC-32C of everything after it"] & 0xFFFFFFFF == crc32c(content[crc_at + 4:])
            assert batch["base offset"] >= following
            following = batch["base offset"] + batch["last offset delta"] + 1
            assert batch["max timestamp"] >= batch["base timestamp"] or batch["attributes"] & DELETE_HORIZON
            seen += 1
    assert seen > 100


def test_counts_add_up_to_what_kafka_reads(data):
    counts = [b["count of records"] for path in sorted((data / "plain-0").glob("*.log")) for _, b, _, _ in batches(path)]
    assert sum(counts) == len(records_of("plain", 0))


class Cursor:
    def __init__(self, content):
        self.content, self.at = content, 0

    def take(self, size):
        self.at += size
        assert self.at <= len(self.content)
        return self.content[self.at - size:self.at]

    def uvarint(self):
        number = shift = 0
        while True:
            (byte,) = self.take(1)
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def varint(self):
        number = self.uvarint()
        return number >> 1 ^ -(number & 1)

    def sized(self):
        size = self.varint()
        return None if size < 0 else self.take(size)

    def number(self, size):
        return int.from_bytes(self.take(size), "big", signed=True)

    def string(self):
        size = self.number(2)
        return None if size < 0 else self.take(size).decode()


def records_in(payload, count):
    """By the table: (timestamp delta, offset delta, key, value, headers) of each."""
    kinds = [size for _, size, _ in table("partition.md", "The record in it")]
    assert kinds[:6] == ["varint", "1", "varint", "varint", "varint, bytes", "varint, bytes"]
    cursor = Cursor(payload)
    for _ in range(count):
        end = cursor.varint() + cursor.at
        assert cursor.take(1) == b"\0"
        yield (cursor.varint(), cursor.varint(), cursor.sized(), cursor.sized(),
               [(cursor.sized(), cursor.sized()) for _ in range(cursor.varint())])
        assert cursor.at == end
    assert cursor.at == len(payload)


def test_records_of_a_batch_are_what_kafka_reads(data):
    wanted = {record["o"]: record for record in records_of("plain", 0)}
    seen = 0
    for path in sorted((data / "plain-0").glob("*.log")):
        for _, batch, _, payload in batches(path):
            assert batch["attributes"] & CODEC == 0
            for timestamp, offset, key, value, headers in records_in(payload, batch["count of records"]):
                record = wanted[batch["base offset"] + offset]
                assert batch["base timestamp"] + timestamp == record["ts"]
                if "k" in record:
                    assert (None if key is None else key.decode()) == record["k"]
                if "v" in record:
                    assert (None if value is None else value.decode()) == record["v"]
                assert len(headers) == len(record.get("h", []))
                seen += 1
    assert seen > 30


def messages(content, rows):
    """(offset, magic, attributes, key, value) of a set of old messages; a field of the table is signed."""
    at = 0
    while at < len(content):
        head = fields(rows, content, at)
        end, magic = at + 12 + head["size of what follows this field"], head["magic"]
        place = next(offset for offset, _, name in rows if name.startswith("size of the key")) - (8 if magic == 0 else 0)
        rest, parts = content[at + place:end], []
        for _ in ("key", "value"):
            size = int.from_bytes(rest[:4], "big", signed=True)
            parts.append(None if size < 0 else rest[4:4 + size])
            rest = rest[4 + max(size, 0):]
        assert not rest and zlib.crc32(content[at + 16:end]) == head["CRC-32 (zlib's) of everything after it"] & 0xFFFFFFFF
        yield head["offset"], magic, head["attributes"], head["timestamp"], *parts
        at = end


def test_messages_of_old_segments_have_the_fields_of_the_table(tmp_path):
    with tarfile.open(DATADIRS / "old.tar.gz") as archive:
        archive.extractall(tmp_path)
    rows = layout("partition.md", "The message of old segments (formats 0 and 1)")
    for magic, topic in enumerate(("old-0", "old-1")):
        got = []
        for path in sorted((tmp_path / f"{topic}-0").glob("*.log")):
            for offset, kind, attributes, time, key, value in messages(path.read_bytes(), rows):
                assert kind == magic
                if attributes & CODEC == 1:
                    inside = list(messages(gzip.decompress(value), rows))
                    shift = offset - inside[-1][0] if magic == 1 else 0
                    got += [[o + shift, t, k.decode(), v.decode()] for o, _, _, t, k, v in inside]
                elif attributes & CODEC == 0:
                    got.append([offset, time, key.decode(), value.decode()])
        told = [r for r in json.loads((DATADIRS / "old.json").read_text())[topic]["records"] if re.match("v.-(none|gzip)", r[3])]
        assert len(got) == 60
        assert [r if magic == 1 else [r[0], None, *r[2:]] for r in got] == told


def entries(path, heading):
    rows = layout("partition.md", heading)
    size = rows[-1][0] + rows[-1][1]
    assert f"{size} bytes an entry" in heading
    content = path.read_bytes()
    assert len(content) % size == 0
    return [fields(rows, content, at) for at in range(0, len(content), size)]


def test_index_entries_point_at_the_batches_they_name(data):
    seen = 0
    for path in data.glob("*-[0-9]/*.index"):
        places = {at: b["base offset"] + b["last offset delta"] for at, b, _, _ in batches(path.with_suffix(".log"))}
        for entry in entries(path, ".index: 8 bytes an entry"):
            assert places[entry["position of that batch"]] == int(path.stem) + entry["last offset of a batch"]
            seen += 1
    assert seen >= 5


def test_time_index_entries_name_the_largest_timestamp_so_far(data):
    seen = 0
    for path in data.glob("*-[0-9]/*.timeindex"):
        for entry in entries(path, ".timeindex: 12 bytes an entry"):
            upto = int(path.stem) + entry["last offset of the batch that has it"]
            times = [b["max timestamp"] for _, b, _, _ in batches(path.with_suffix(".log")) if b["base offset"] <= upto]
            if times:
                assert max(times) == entry["largest timestamp of the segment so far"]
                seen += 1
    assert seen > 30


def test_transaction_index_entries_frame_aborted_transactions(data):
    heading = ".txnindex: 34 bytes an entry"
    found = [entry for path in data.glob("txn-*/*.txnindex") for entry in entries(path, heading)]
    hidden = {record["o"] for record in records_of("txn", 0) if not record["committed"]}
    assert len(found) >= 3
    for entry in found:
        assert entry["version"] == 0
        assert entry["first offset of the transaction"] < entry["offset of its marker"]
    firsts = {e["first offset of the transaction"] for path in data.glob("txn-0/*.txnindex") for e in entries(path, heading)}
    assert firsts & hidden


def test_snapshots_hold_as_many_producers_as_they_say(data):
    rows = layout("partition.md", ".snapshot")
    (last,) = [row for row in table("partition.md", ".snapshot") if row[1].endswith("each")]
    each = int(last[1].split()[0])
    sizes = [int(n) for n in re.findall(r"[a-z] (\d+)(?:,| \(|$)", last[2])]
    assert sum(sizes) == each
    seen = 0
    for path in data.glob("*-[0-9]/*.snapshot"):
        content = path.read_bytes()
        head = fields(rows, content)
        assert head["version"] == 1
        assert head["CRC-32C of everything after it"] & 0xFFFFFFFF == crc32c(content[6:])
        assert len(content) == int(last[0]) + each * head["count of producers"]
        seen += head["count of producers"]
    assert seen > 5


def test_files_of_a_partition_are_those_of_the_table(data):
    patterns = [re.sub(r"<[^>]+>", r"\\d+", row[0].strip("`").replace(".", r"\.").replace("*", ".*"))
                for row in table("partition.md", "A partition's directory")]
    for path in data.glob("*-[0-9]/*"):
        if path.parent.name.startswith("__cluster_metadata"):
            continue
        assert any(re.fullmatch(pattern, path.name) for pattern in patterns), path


def test_text_files_have_their_form(data):
    page = (PAGES / "partition.md").read_text()
    assert "version: 0\n    topic_id: " in page and "then a line `epoch start-offset`" in page
    for path in data.glob("*-[0-9]/partition.metadata"):
        assert re.fullmatch(r"version: 0\ntopic_id: [\w-]{22}", path.read_text().strip())
    for path in data.glob("*-[0-9]/leader-epoch-checkpoint"):
        version, count, *lines = path.read_text().splitlines()
        assert (version, int(count)) == ("0", len(lines)) and all(re.fullmatch(r"\d+ \d+", line) for line in lines)


def test_the_log_directory_holds_what_the_tables_name(data):
    files = [row[0].strip("`") for row in table("log-directory.md", "A log directory")]
    for name in files:
        if not name.startswith("ottla-") and name != ".lock":
            assert (data / name).exists(), name
    for name in (name for name in files if name.endswith("-offset-checkpoint") and not name.startswith("ottla-")):
        version, count, *lines = (data / name).read_text().splitlines()
        assert (version, int(count)) == ("0", len(lines))
        assert all(re.fullmatch(r"\S+ \d+ \d+", line) for line in lines)
    assert json.loads((data / ".kafka_cleanshutdown").read_text()).keys() == {"version", "brokerEpoch"}
    properties = dict(line.split("=") for line in (data / "meta.properties").read_text().splitlines() if line[0] != "#")
    assert properties.keys() == {"node.id", "directory.id", "version", "cluster.id"}
    patterns = [re.sub("<32 hex[^>]+>", "[0-9a-f]{32}", row[0].strip("`")) for row in
                table("log-directory.md", "Directories in it")]
    patterns = [re.sub("<(?:partition|n)>", r"\\d+", pattern).replace("<topic>", ".+") for pattern in patterns]
    for path in data.iterdir():
        assert path.name in files or any(re.fullmatch(pattern, path.name) for pattern in patterns), path


def test_quorum_state_has_the_keys_of_the_table(data):
    keys = {row[0].strip("`") for row in table("metadata.md", "quorum-state")}
    assert json.loads((data / "__cluster_metadata-0" / "quorum-state").read_text()).keys() == keys


def test_the_metadata_log_and_its_snapshots_hold_records_of_the_tables(data):
    folder = data / "__cluster_metadata-0"
    assert table("metadata.md", "The metadata log")[1][0] == "`<end offset>-<epoch>.checkpoint`"
    kinds = {int(row[0]): row[1].split(":")[0] for row in table("metadata.md", "Control records")}
    schema = (ROOT / "schema" / "protocol" / "records-metadata.txt").read_text()
    known = set(map(int, re.findall(r"^\w+ \w+ [\d-]+ .*\bid=(\d+)", schema, re.MULTILINE)))
    seen = collections.Counter()
    assert [row[1] for row in table("metadata.md", "A metadata record")] == ["uvarint"] * 3 + ["the rest"]
    for path in [*folder.glob("*.log"), *folder.glob("*-*.checkpoint")]:
        controls = []
        for _, batch, _, payload in batches(path):
            for _, _, key, value, _ in records_in(payload, batch["count of records"]):
                if batch["attributes"] & CONTROL:
                    controls.append(kinds[int.from_bytes(key[2:], "big")])
                    continue
                cursor = Cursor(value)
                assert key is None and cursor.uvarint() == 1
                kind, version = cursor.uvarint(), cursor.uvarint()
                assert kind in known and version < 10
                seen[kind] += 1
        if path.suffix == ".checkpoint":
            assert (controls[0], controls[-1]) == ("SnapshotHeader", "SnapshotFooter")
        else:
            assert controls[0] == "LeaderChange"
    assert len(seen) > 8


def offsets_value(value):
    """A committed offset by the table of version 3, or version 4 as the page tells it."""
    sizes = [size for _, size, _ in table("consumer-offsets.md", "The value of a committed offset, version 3")]
    assert sizes == ["2", "8", "4", "string", "8"]
    cursor = Cursor(value)
    version = cursor.number(2)
    assert version in (3, 4)
    offset, epoch = cursor.number(8), cursor.number(4)
    metadata = cursor.string() if version == 3 else cursor.take(cursor.uvarint() - 1).decode()
    assert cursor.number(8) > 1_600_000_000_000
    if version == 3:
        assert cursor.at == len(value)
    return {"offset": offset, "leader_epoch": epoch, "metadata": metadata}


def test_the_value_of_a_group_has_the_order_of_the_table(data):
    sizes = [size for _, size, _ in table("consumer-offsets.md", "The value of a classic group, version 3")]
    assert sizes == ["2", "string", "4", "string or null", "string or null", "8", "4", "each"]
    seen = 0
    for key, value in group_records(data):
        if int.from_bytes(key[:2], "big") != 2 or value is None:
            continue
        cursor = Cursor(value)
        assert cursor.number(2) == 3 and cursor.string() in ("", "consumer")
        assert cursor.number(4) >= 0
        cursor.string(), cursor.string()
        assert cursor.number(8) > 1_600_000_000_000
        for _ in range(cursor.number(4)):
            assert all(cursor.string() is not None or at == 1 for at in range(4))
            assert cursor.number(4) > 0 and cursor.number(4) > 0
            cursor.take(cursor.number(4)), cursor.take(cursor.number(4))
        assert cursor.at == len(value)
        seen += 1
    assert seen >= 4


def group_records(data):
    for path in sorted(data.glob("__consumer_offsets-*/*.log")):
        for _, batch, _, payload in batches(path):
            if not batch["attributes"] & CONTROL:
                for _, _, key, value, _ in records_in(payload, batch["count of records"]):
                    yield key, value


def test_committed_offsets_are_those_that_kafka_tells(data):
    wanted = json.loads((DATADIRS / "clean" / "state.json").read_text())["groups"]
    assert [row[:2] for row in table("consumer-offsets.md", "Keys")][:2] == [["0", "2"], ["2", ""]]
    told = collections.defaultdict(dict)
    for key, value in group_records(data):
        cursor = Cursor(key)
        if cursor.number(2) != 1:
            continue
        group, topic, partition = cursor.string(), cursor.string(), cursor.number(4)
        assert cursor.at == len(key)
        if value is None:
            told[group].pop(f"{topic}-{partition}", None)
        else:
            told[group][f"{topic}-{partition}"] = offsets_value(value)
    for group in ("g-classic", "g-simple", "g-static"):
        assert told[group] == wanted[group]["offsets"]


def test_every_table_was_read():
    every = {(page.name, heading) for page in PAGES.glob("*.md") for heading in tables(page.name)}
    assert every - READ == set()
