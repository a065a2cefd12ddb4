#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""First inputs for the fuzz drivers, made from data of the repository that Apache Kafka wrote: fuzz/seeds.py FOLDER.

FOLDER/wire_fuzz gets the vectors of schema/protocol, FOLDER/settings_fuzz every setting with its default (those are tables
of ours and Kafka's), FOLDER/storage_fuzz partitions and plain files of
test/kafka/datadirs, FOLDER/record_fuzz the first batch of each log there.
"""
import pathlib
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


def main():
    for name, make in (("wire_fuzz", wire), ("storage_fuzz", storage), ("record_fuzz", record), ("settings_fuzz", settings)):
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)


if __name__ == "__main__":
    main()
