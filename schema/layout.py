# SPDX-License-Identifier: Apache-2.0
"""Reads the layout files of schema/protocol: messages, their fields, and in which versions each is there.

A version set is a set of ints. `load()` gives the messages in file order.
"""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
PROTOCOL = os.path.join(HERE, "protocol")
OPEN_END = 99
KINDS = ("request", "response", "header", "key", "value", "data", "metadata")


def versions(text, highest=OPEN_END):
    found = set()
    if text in ("none", "-"):
        return found
    for part in text.split(","):
        if part.endswith("+"):
            found |= set(range(int(part[:-1]), highest + 1))
        else:
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return {v for v in found if v <= highest}


class Field:
    def __init__(self, tokens, highest):
        marks = dict(t.partition("=")[::2] for t in tokens[3:])
        self.name, kind = tokens[0], tokens[1]
        self.array = kind.startswith("[]")
        self.kind = kind[2:] if self.array else kind
        self.versions = versions(tokens[2], highest)
        self.null = versions(marks.get("null", "none"), highest)
        self.tagged = versions(marks.get("tagged", "none"), highest)
        self.tag = int(marks["tag"]) if "tag" in marks else None
        self.default = json.loads(marks["default"]) if "default" in marks else None
        self.has_default = "default" in marks
        self.ignorable = "ignorable" in marks
        self.never_flexible = marks.get("flex") == "none"
        self.fields = []


class Message:
    def __init__(self, tokens, source, api):
        marks = dict(t.partition("=")[::2] for t in tokens[3:])
        self.kind, self.name, self.source, self.api = tokens[0], tokens[1], source, api
        self.versions = versions(tokens[2])
        self.id = int(marks["id"]) if "id" in marks else None  # of a stored record
        self.highest = max(self.versions, default=0)
        self.flexible = versions(marks.get("flex", "none"), self.highest)
        self.fields, self.shared = [], {}

    def struct_fields(self, field):
        return field.fields or self.shared[field.kind]


class Api:
    def __init__(self, key, name, source):
        self.key, self.name, self.source = key, name, source
        self.request = self.response = None
        self.request_header, self.response_header = {}, {}


def _header_versions(tokens):
    table = {}
    for token in tokens:
        header, _, covered = token.partition(":")
        for version in versions(covered):
            table[version] = int(header)
    return table


def read(path):
    """(api or None, messages) of one file."""
    source, api, messages, stack, message = os.path.basename(path), None, [], [], None
    for line in open(path, encoding="utf-8"):
        line = line.split("#", 1)[0].rstrip()
        tokens = line.split()
        depth = len(line) - len(line.lstrip(" "))
        if not tokens:
            continue
        if depth == 0:
            if tokens[0] in KINDS:
                message = Message(tokens, source, api.key if api else None)
                messages.append(message)
                stack = [(0, message.fields)]
                if api and tokens[0] in ("request", "response"):
                    setattr(api, tokens[0], message)
            elif tokens[0] == "api":
                api = Api(int(tokens[1]), tokens[2], source)
            elif tokens[0] == "request-header":
                api.request_header = _header_versions(tokens[1:])
            elif tokens[0] == "response-header":
                api.response_header = _header_versions(tokens[1:])
            continue
        while stack[-1][0] >= depth:
            stack.pop()
        if tokens[0] == "struct":
            message.shared[tokens[1]] = fields = []
            stack.append((depth, fields))
            continue
        field = Field(tokens, message.highest)
        stack[-1][1].append(field)
        stack.append((depth, field.fields))
    return api, messages


def load():
    """(apis by key, messages by source file)."""
    apis, by_source = {}, {}
    for name in sorted(os.listdir(PROTOCOL)):
        if name.endswith(".txt"):
            api, messages = read(os.path.join(PROTOCOL, name))
            by_source[name] = messages
            if api:
                apis[api.key] = api
    return apis, by_source
