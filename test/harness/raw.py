# SPDX-License-Identifier: Apache-2.0
"""Frames by hand, for what no client library would send: hostile bytes, and the first question to a starting broker."""
import os
import socket
import struct

TIMEOUT_S = int(os.environ.get("RAW_TIMEOUT_S", "30"))


class Closed(Exception):
    """The broker closed the connection instead of answering."""


def connect(address, timeout_s=TIMEOUT_S):
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), timeout=timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def header(key, version, correlation_id=1, client_id=b"raw"):
    """Request header 1: that of every version below an API's flexible ones."""
    return struct.pack(">hhih", key, version, correlation_id, len(client_id)) + client_id


def frame(payload):
    return struct.pack(">i", len(payload)) + payload


def read_exactly(sock, size):
    parts = []
    while size:
        try:
            part = sock.recv(min(size, 1 << 20))
        except ConnectionResetError as error:
            raise Closed from error
        if not part:
            raise Closed
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_frame(sock):
    (size,) = struct.unpack(">i", read_exactly(sock, 4))
    return read_exactly(sock, size)


def ask(sock, payload):
    sock.sendall(frame(payload))
    return read_frame(sock)


def is_closed(sock):
    """Whether the broker ends this connection without sending anything more than what it already owed."""
    try:
        while sock.recv(65536):
            pass
        return True
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False


def brokers_of(address):
    """The node ids in the answer to Metadata version 1 for no topic."""
    with connect(address, 5) as sock:
        answer = ask(sock, header(3, 1) + struct.pack(">i", 0))
    _, count = struct.unpack_from(">ii", answer)
    at, nodes = 8, []
    for _ in range(count):
        node, host_size = struct.unpack_from(">ih", answer, at)
        at += 6 + host_size + 4
        (rack_size,) = struct.unpack_from(">h", answer, at)
        at += 2 + max(rack_size, 0)
        nodes.append(node)
    return nodes
