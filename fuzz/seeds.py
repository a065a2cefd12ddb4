#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""First inputs for the fuzz drivers, made from data of the repository: fuzz/seeds.py FOLDER. Each driver has a folder there.

wire_fuzz gets the vectors of schema/protocol, request_fuzz those that are requests; storage_fuzz partitions and plain files
of test/kafka/datadirs, record_fuzz the first batch of each log there, meta_fuzz and coord_fuzz records of its metadata and
offset logs, dump_fuzz and directory_fuzz its files; settings_fuzz every setting with its default; http_fuzz a request for
each path of the console's API.
"""
import json
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


def record_pairs(content):
    """(key, value or None) of each record in batches that are neither compressed nor control batches."""
    at = 0
    while at + 61 <= len(content):
        end, here = at + 12 + int.from_bytes(content[at + 8 : at + 12], "big"), at + 61
        while end > at + 61 and not content[at + 22] & 0x27 and here < end:
            length, here = varint(content, here)
            rest, field, pair = here + length, here + 1, []
            for _ in range(2):  # deltas of timestamp and offset
                _, field = varint(content, field)
            for _ in range(2):
                length, field = varint(content, field)
                pair.append(content[field : field + length] if length >= 0 else None)
                field += max(length, 0)
            yield pair
            here = rest
        at = end if end > at + 12 else len(content)


def coordinator(folder):
    """The records of Kafka's offset logs, some to a file."""
    for name, files in directories():
        pairs = [pair for file in sorted(files) if "__consumer_offsets" in name and file.endswith(".log")
                 for pair in record_pairs(files[file]) if pair[0] is not None]
        for number in range(0, len(pairs), 8):
            data = b"".join(struct.pack(">BH", len(key), 0xFFFF if value is None else len(value)) + key + (value or b"")
                            for key, value in pairs[number : number + 8])
            (folder / f"{name}-{number:04}").write_bytes(data)


def names_of(driver):
    """The table FILES of a driver."""
    text = (ROOT / driver).read_text()
    return re.findall(r'"([^"]+)"', text[text.index("FILES[] = {") : text.index("};", text.index("FILES[] = {"))])


def places(driver):
    """(number in FILES, name of the input, content) for each of Kafka's files that has a place there."""
    table = {(path.split("/")[-2], path.split("/")[-1]): number for number, path in enumerate(names_of(driver))}
    for name, files in directories():
        home = next((each for each in ("__cluster_metadata", "__consumer_offsets", "__transaction_state", "__share_group_state")
                     if each in name), "t") + "-0"
        root = "d" if driver.endswith("dump_fuzz.c") else "data"
        for file, content in files.items():
            number = table.get((home, file), table.get((root, file)))
            if number is not None:
                size = INDEX_BYTES_MAX if file.endswith("index") else FILE_BYTES_MAX
                yield number, f"{name}-{file}", content[:size]


def dumped(folder):
    for number, name, content in places("src/cli/dump_fuzz.c"):
        (folder / name).write_bytes(struct.pack(">BH", number, 0) + content)


def started(folder):
    """One of Kafka's files in place of ours; a run is slow, so the first directory's do."""
    for number, name, content in places("fuzz/directory_fuzz.c"):
        if not any(folder.glob(f"{number:02}-*")):
            data = struct.pack(">BBBHH", 3, number, 0, 0, len(content)) + content
            (folder / f"{number:02}-{name}").write_bytes(data)


def web(folder):
    """Each path of the API, with every parameter that it has and an empty object as body."""
    paths = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    for number, (path, methods) in enumerate(sorted(paths.items())):
        for method, told in methods.items():
            query = "&".join(f"{each['name']}=1" for each in told.get("parameters", []) if each.get("in") == "query")
            target = re.sub(r"\{(topic|group)\}", "first", path)
            target = re.sub(r"\{\w+\}", "0", target)
            (folder / f"{method}-{number}").write_text(f"{method.upper()} {target}?{query}\n\n{{}}")
    search = "text=a&json=$.a[0] > 0&regex=.*&header=h=v&after=2020-01-01T00:00:00Z"
    (folder / "search").write_text(f"GET /api/v1/topics/first/search?{search}\nHost: localhost\n\n")
    (folder / "download").write_text("GET /api/v1/topics/first/download?format=csv\n\n")


def metadata(folder):
    """Some records of Kafka's metadata logs a file: size and value of each."""
    for name, files in directories():
        for file in sorted(files):
            if name.endswith("__cluster_metadata-0") and file.endswith(".log"):
                values = [value for _, value in record_pairs(files[file]) if value is not None and len(value) < 256]
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
    drivers = {"coord_fuzz": coordinator, "directory_fuzz": started, "dump_fuzz": dumped, "http_fuzz": web, "meta_fuzz": metadata,
               "record_fuzz": record, "request_fuzz": requests, "settings_fuzz": settings, "storage_fuzz": storage,
               "wire_fuzz": wire}
    for name, make in drivers.items():
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)


if __name__ == "__main__":
    main()
