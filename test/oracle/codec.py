# SPDX-License-Identifier: Apache-2.0
"""Messages as dicts <-> bytes, by the layouts of schema/protocol alone: no code is shared with what is tested.

A dict has the layout's field names with a lower case first letter. When writing, a missing field has its default; a field
that the version does not have is an error, so that no test sends less than it says. When reading, every field of the
version is there. Bytes and records are bytes, a uuid is its 22 letters of URL-safe base64, null is None.
"""
import base64
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "schema"))
import layout  # noqa: E402

APIS, BY_SOURCE = layout.load()
BY_NAME = {api.name: api for api in APIS.values()}
HEADERS = {m.name: m for m in BY_SOURCE["headers.txt"]}

FIXED = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "float64": ">d"}
ZERO = {"bool": False, "string": "", "bytes": b"", "records": None, "uuid": "A" * 22, "float64": 0.0}


class Malformed(Exception):
    pass


def key_of(field):
    return field.name[0].lower() + field.name[1:]


def default_of(message, field, version):
    if field.has_default:
        return field.default
    if field.array:
        return []
    if field.kind in ZERO:
        return ZERO[field.kind]
    if field.kind in FIXED:
        return 0
    return {key_of(f): default_of(message, f, version) for f in message.struct_fields(field) if version in f.versions}


def uvarint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Writer:
    def __init__(self, message, version):
        assert version in message.versions, f"{message.name} has no version {version}"
        self.message, self.version, self.flexible = message, version, version in message.flexible

    def struct(self, fields, value, where):
        known = {key_of(f) for f in fields if self.version in f.versions}
        unknown = set(value) - known
        assert not unknown, f"{where} version {self.version} has no {sorted(unknown)}"
        plain, tags = b"", []
        for field in fields:
            if self.version not in field.versions:
                continue
            default = default_of(self.message, field, self.version)
            content = value.get(key_of(field), default)
            if self.version not in field.tagged:
                plain += self.field(field, content, f"{where}.{field.name}")
            elif content != default:
                tags.append((field.tag, self.tag_content(field, content, f"{where}.{field.name}")))
        if not self.flexible:
            return plain
        tail = b"".join(uvarint(tag) + uvarint(len(content)) + content for tag, content in sorted(tags))
        return plain + uvarint(len(tags)) + tail

    def tag_content(self, field, content, where):
        is_nullable_struct = not field.array and field.kind not in FIXED and field.kind not in ZERO and self.version in field.null
        if is_nullable_struct:
            return b"\0" if content is None else b"\x01" + self.struct(self.message.struct_fields(field), content, where)
        return self.field(field, content, where)

    def count(self, number, short, flexible):
        if flexible:
            return uvarint(number + 1)
        return struct.pack(">h" if short else ">i", number)

    def field(self, field, content, where):
        if not field.array:
            return self.single(field, content, where)
        if content is None:
            return self.count(-1, False, self.flexible)
        return self.count(len(content), False, self.flexible) + b"".join(self.single(field, one, where) for one in content)

    def single(self, field, content, where):
        kind, flexible = field.kind, self.flexible and not field.never_flexible
        if kind in FIXED:
            return struct.pack(FIXED[kind], content)
        if kind == "bool":
            return b"\x01" if content else b"\0"
        if kind == "uuid":
            return base64.urlsafe_b64decode(content + "==")
        if kind in ("string", "bytes", "records"):
            if content is None:
                return self.count(-1, kind == "string", flexible)
            raw = content.encode() if kind == "string" else content
            return self.count(len(raw), kind == "string", flexible) + raw
        fields = self.message.struct_fields(field)
        if not field.array and self.version in field.null:
            return b"\xff" if content is None else b"\x01" + self.struct(fields, content, where)
        return self.struct(fields, content, where)


class Reader:
    def __init__(self, message, version, data):
        self.message, self.version, self.flexible = message, version, version in message.flexible
        self.data, self.at = data, 0

    def raw(self, size):
        if size < 0 or self.at + size > len(self.data):
            raise Malformed(f"{self.message.name}: {size} bytes asked at {self.at} of {len(self.data)}")
        self.at += size
        return self.data[self.at - size:self.at]

    def uvarint(self):
        number = shift = 0
        while True:
            byte = self.raw(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def count(self, short, flexible):
        if flexible:
            return self.uvarint() - 1
        return struct.unpack(">h" if short else ">i", self.raw(2 if short else 4))[0]

    def struct(self, fields):
        value = {}
        for field in fields:
            if self.version not in field.versions:
                continue
            if self.version in field.tagged:
                value[key_of(field)] = default_of(self.message, field, self.version)
            else:
                value[key_of(field)] = self.field(field)
        if self.flexible:
            self.tags({f.tag: f for f in fields if self.version in f.tagged}, value)
        return value

    def tags(self, known, value):
        for _ in range(self.uvarint()):
            tag, size = self.uvarint(), self.uvarint()
            end = self.at + size
            if tag not in known:
                value[f"unknownTag{tag}"] = self.raw(size)
                continue
            field = known[tag]
            is_struct = not field.array and field.kind not in FIXED and field.kind not in ZERO
            if is_struct and self.version in field.null:
                value[key_of(field)] = self.struct(self.message.struct_fields(field)) if self.uvarint() else None
            else:
                value[key_of(field)] = self.field(field)
            if self.at != end:
                raise Malformed(f"{self.message.name}: tag {tag} has another size than it says")

    def field(self, field):
        if not field.array:
            return self.single(field)
        count = self.count(False, self.flexible)
        return None if count < 0 else [self.single(field) for _ in range(count)]

    def single(self, field):
        kind, flexible = field.kind, self.flexible and not field.never_flexible
        if kind in FIXED:
            return struct.unpack(FIXED[kind], self.raw(struct.calcsize(FIXED[kind])))[0]
        if kind == "bool":
            return self.raw(1) != b"\0"
        if kind == "uuid":
            return base64.urlsafe_b64encode(self.raw(16)).decode().rstrip("=")
        if kind in ("string", "bytes", "records"):
            size = self.count(kind == "string", flexible)
            if size < 0:
                return None
            return self.raw(size).decode() if kind == "string" else self.raw(size)
        fields = self.message.struct_fields(field)
        if not field.array and self.version in field.null:
            return self.struct(fields) if struct.unpack(">b", self.raw(1))[0] >= 0 else None
        return self.struct(fields)


def write(message, version, value):
    return Writer(message, version).struct(message.fields, value, message.name)


def read(message, version, data):
    """(value, bytes used)"""
    reader = Reader(message, version, data)
    return reader.struct(message.fields), reader.at


def request(api, version, correlation_id, client_id, body):
    """Header and body of a request; `body` is a dict, or bytes as they are."""
    header_version = api.request_header.get(version, max(api.request_header.values()))
    header = {"requestApiKey": api.key, "requestApiVersion": version, "correlationId": correlation_id, "clientId": client_id}
    head = write(HEADERS["RequestHeader"], header_version, header)
    return head + (body if isinstance(body, bytes) else write(api.request, version, body))


def response(api, version, data):
    """(correlation id, body) of a response; every byte of it must belong to its layout."""
    header, used = read(HEADERS["ResponseHeader"], api.response_header[version], data)
    body, size = read(api.response, version, data[used:])
    if used + size != len(data):
        raise Malformed(f"{api.response.name} version {version}: {len(data) - used - size} bytes too many")
    return header["correlationId"], body
