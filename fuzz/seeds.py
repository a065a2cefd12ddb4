#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""First inputs for the fuzz drivers, made from data of the repository: fuzz/seeds.py FOLDER. Each driver has a folder there.

wire_fuzz gets the vectors of schema/protocol, request_fuzz those that are requests; storage_fuzz partitions and plain files
of test/kafka/datadirs, record_fuzz the first batch of each log there, meta_fuzz records of its metadata logs; settings_fuzz
every setting with its default.
"""
import pathlib
import re
import struct
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
VECTOR_BYTES_MAX = 400
FILE_BYTES_MAX = 1200
INDEX_BYTES_MAX = 96  # Kafka preallocates them with zeros
# As fuzz/storage_fuzz.c orders them.
PARTITION_FILES = (".log", ".index", ".timeindex", ".txnindex", ".snapshot", "leader-epoch-checkpoint")
PLAIN_FILES = ("recovery-point-offset-checkpoint", "meta.properties", "partition.metadata", ".kafka_cleanshutdown")


def point(name):
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return (value ^ value >> 16) & 0xFFFF


def version_min(messages={}):
    """Lowest version of each message: the lowest one that a vector has."""
    for path in (ROOT / "schema/protocol/vectors").glob("*.txt"):
        for line in path.read_text().splitlines():
            fields = line.split("\t")
            if len(fields) == 6:
                messages[fields[1]] = min(messages.get(fields[1], 99), int(fields[2]))
    return messages


def wire(folder):
    lowest = version_min()
    for path in sorted((ROOT / "schema/protocol/vectors").glob("*.txt")):
        for line in path.read_text().splitlines():
            fields = line.split("\t")
            if len(fields) != 6 or len(fields[4]) > 2 * VECTOR_BYTES_MAX:
                continue
            release, name, version, kind, text = fields[:5]
            head = struct.pack(">HB", point(name), int(version) - lowest[name])
            (folder / f"{name}-{version}-{kind}-{release}").write_bytes(head + bytes.fromhex(text))


def partition(files):
    """One input: flags, recovery point, flushed offset, then each file's size and bytes."""
    base = min(name[: -len(".log")] for name in files if name.endswith(".log"))
    data = bytes([2, 0, 0])
    for kind in PARTITION_FILES:
        content = files.get(base + kind if kind.startswith(".") else kind, b"")
        content = content[: INDEX_BYTES_MAX if kind.endswith("index") else FILE_BYTES_MAX]
        data += struct.pack(">H", len(content)) + content
    return data


def directories():
    """Each directory of Kafka's: (name, {file name: content})."""
    for path in sorted((ROOT / "test/kafka/datadirs").glob("[a-z]*.tar.gz")):
        files = {}
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile():
                    place = pathlib.PurePosixPath(member.name)
                    files.setdefault(place.parent.name, {})[place.name] = archive.extractfile(member).read()
        for directory in sorted(files):
            yield f"{path.name.split('.')[0]}-{directory}", files[directory]


def storage(folder):
    for name, files in directories():
        for number, plain in enumerate(PLAIN_FILES):
            if plain in files:
                (folder / f"{name}-{plain}").write_bytes(bytes([128 + number]) + files[plain])
        if any(file.endswith(".log") for file in files):
            (folder / name).write_bytes(partition(files))


def record(folder):
    for name, files in directories():
        for file, content in files.items():
            if file.endswith(".log") and len(content) > 12:
                size = 12 + int.from_bytes(content[8:12], "big")
                (folder / f"{name}-{file}").write_bytes(b"\0" + content[:size])


def settings(folder):
    """Every setting with its default, twenty to a file."""
    rows = [line.split("\t") for table in ("broker.txt", "ottla.txt")
            for line in (ROOT / "schema/configs" / table).read_text().splitlines() if line and not line.startswith("#")]
    lines = [f"{row[0]}={'' if row[2] in ('null', '(required)', chr(34) * 2) else row[2]}\n" for row in rows]
    for at in range(0, len(lines), 20):
        (folder / f"defaults-{at}").write_text("".join(lines[at:at + 20]))


def varint(content, at):
    value = shift = 0
    while True:
        value |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 0x80:
            return (value >> 1) ^ -(value & 1), at


def record_values(content):
    """Values of the records in a log's batches; they are not compressed. Control batches are left out."""
    at = 0
    while at + 61 <= len(content):
        size = 12 + int.from_bytes(content[at + 8 : at + 12], "big")
        end, here = at + size, at + 61
        while size > 61 and not content[at + 22] & 0x20 and here < end:
            length, here = varint(content, here)
            rest, field = here + length, here + 1
            for _ in range(2):  # deltas of timestamp and offset
                _, field = varint(content, field)
            length, field = varint(content, field)
            length, field = varint(content, field + max(length, 0))
            yield content[field : field + max(length, 0)]
            here = rest
        at = end if size > 12 else len(content)


def metadata(folder):
    """Some records of Kafka's metadata logs a file: size and value of each."""
    for name, files in directories():
        for file in sorted(files):
            if name.endswith("__cluster_metadata-0") and file.endswith(".log"):
                values = [value for value in record_values(files[file]) if len(value) < 256]
                for number in range(0, len(values), 8):
                    data = b"".join(bytes([len(value)]) + value for value in values[number : number + 8])
                    (folder / f"{name}-{number:04}").write_bytes(data)


def requests(folder):
    """The newest version of each request, with its header; a run is slow, so there are few."""
    vectors = [line.split("\t") for path in sorted((ROOT / "schema/protocol/vectors").glob("*.txt"))
               for line in path.read_text().splitlines()]
    for path in sorted((ROOT / "schema/protocol").glob("[0-9]*.txt")):
        name, flexible = re.search(r"^request (\w+) [^\n]*?flex=(\d*)", path.read_text(), re.MULTILINE).groups()
        found = [fields for fields in vectors
                 if len(fields) == 6 and fields[1] == name and fields[3] == "f" and len(fields[4]) <= 2 * VECTOR_BYTES_MAX]
        if found:
            fields = max(found, key=lambda each: int(each[2]))
            version, key = int(fields[2]), int(path.name.split("-")[0])
            frame = struct.pack(">hhih", key, version, 7, 1) + b"c"
            frame += (b"\0" if flexible and version >= int(flexible) else b"") + bytes.fromhex(fields[4])
            (folder / f"{name}-{version}").write_bytes(struct.pack(">H", len(frame)) + frame)


def main():
    drivers = {"wire_fuzz": wire, "storage_fuzz": storage, "record_fuzz": record, "settings_fuzz": settings,
               "meta_fuzz": metadata, "request_fuzz": requests}
    for name, make in drivers.items():
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)


if __name__ == "__main__":
    main()
