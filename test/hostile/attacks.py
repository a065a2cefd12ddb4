# SPDX-License-Identifier: Apache-2.0
"""What a hostile client may do, one function a kind; each takes a while, ends by itself and never fails.

An attack gets an Attacker: the broker's address, its own chance, and `over()`, after which it should end. Topics of
attackers begin with `mud`, so that honest ones are left to honest clients.
"""
import contextlib
import random
import socket
import struct
import time

from harness import batch, raw

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, JOIN_GROUP, API_VERSIONS, CREATE_TOPICS, INIT_PRODUCER_ID = \
    0, 1, 2, 3, 8, 11, 18, 19, 22
MUD = b"mud"
HOLD_S = 4


class Attacker:
    def __init__(self, address, seed, deadline, frame_max):
        self.address, self.chance, self.deadline, self.frame_max = address, random.Random(seed), deadline, frame_max

    def over(self):
        return time.monotonic() >= self.deadline

    def connect(self):
        sock = raw.connect(self.address, 2)
        return sock

    def hold(self, seconds=HOLD_S):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.over():
            time.sleep(0.05)

    @contextlib.contextmanager
    def many(self, count):
        socks = []
        try:
            for _ in range(count):
                with contextlib.suppress(OSError):
                    socks.append(self.connect())
            yield socks
        finally:
            for sock in socks:
                sock.close()

    def throw(self, payload):
        """Sends and does not care."""
        with self.connect() as sock:
            sock.sendall(payload)
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(socket.timeout):
                while sock.recv(65536):
                    pass


def string(text):
    return struct.pack(">h", len(text)) + text


def metadata_of(names):
    return raw.frame(raw.header(METADATA, 4) + struct.pack(">i", len(names)) + b"".join(map(string, names)) + b"\0")


def fetch_of(topic, partitions=1, wait_ms=100):
    body = struct.pack(">iiiibi", -1, wait_ms, 1, 50 << 20, 0, 1) + string(topic) + struct.pack(">i", partitions)
    return raw.frame(raw.header(FETCH, 4) + body + b"".join(struct.pack(">iqi", p, 0, 50 << 20) for p in range(partitions)))


def produce_of(topic, records, version=3, acks=1):
    body = struct.pack(">hhii", -1, acks, 5000, 1) + string(topic) + struct.pack(">iii", 1, 0, len(records)) + records
    return raw.frame(raw.header(PRODUCE, version) + body)


# ---- bytes that are none of the protocol
def random_bytes(a):
    a.throw(a.chance.randbytes(a.chance.randrange(1, 20000)))


def random_bodies(a):
    a.throw(raw.frame(raw.header(a.chance.randrange(0, 93), a.chance.randrange(0, 14)) +
                      a.chance.randbytes(a.chance.randrange(0, 300))))


def tls_hello(a):
    a.throw(bytes.fromhex("16030100c8010000c40303") + a.chance.randbytes(190))


def http_request(a):
    a.throw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


def negative_length(a):
    a.throw(struct.pack(">i", -a.chance.randrange(1, 1 << 31)) + b"x" * 100)


def impossible_length(a):
    a.throw(struct.pack(">i", a.chance.randrange(a.frame_max + 1, 1 << 31)) + b"x" * 1000)


def truncated_frame(a):
    whole = metadata_of([MUD])
    a.throw(whole[:a.chance.randrange(1, len(whole))])


def unknown_keys(a):
    a.throw(raw.frame(raw.header(a.chance.choice((-1, 93, 200, 32767, -32768)), 0)))


def unknown_versions(a):
    a.throw(raw.frame(raw.header(a.chance.choice((PRODUCE, FETCH, METADATA, JOIN_GROUP)), a.chance.choice((-1, 99, 32767))) +
                      b"\0" * 40))


def huge_counts(a):
    starts = ((METADATA, 1, b""), (CREATE_TOPICS, 2, b""), (LIST_OFFSETS, 1, struct.pack(">i", -1)),
              (PRODUCE, 3, struct.pack(">hhi", -1, 1, 1000)), (FETCH, 4, struct.pack(">iiiib", -1, 100, 1, 1000, 0)),
              (OFFSET_COMMIT, 2, string(b"g") + struct.pack(">ihq", -1, 0, -1)))
    key, version, start = a.chance.choice(starts)
    a.throw(raw.frame(raw.header(key, version) + start + struct.pack(">i", a.chance.choice((1000, 0x7FFFFFFF))) + b"\0" * 50))


# ---- requests that are too much
def giant_metadata(a):
    names = [b"mud-%d-%d" % (a.chance.randrange(1 << 30), n) for n in range(50000)]
    a.throw(metadata_of(names))


def many_giants(a):
    """One connection that has many large requests waiting at once."""
    giant = metadata_of([b"mud-%d-%d" % (a.chance.randrange(1 << 30), n) for n in range(20000)])
    a.throw(giant * 20)


def giant_fetch(a):
    a.throw(fetch_of(MUD, 100000, 1000))


def ever_new_members(a):
    with a.connect() as sock:
        for _ in range(50):
            group = b"mud-%d" % a.chance.randrange(1 << 40)
            sock.sendall(raw.frame(raw.header(JOIN_GROUP, 2) + string(group) + struct.pack(">ii", 6000, 6000) + string(b"") +
                                   string(b"consumer") + struct.pack(">i", 1) + string(b"range") +
                                   struct.pack(">i", 1000) + b"m" * 1000))
            raw.read_frame(sock)


def ever_new_member_ids(a):
    with a.connect() as sock:
        for _ in range(50):
            sock.sendall(raw.frame(raw.header(JOIN_GROUP, 4) + string(b"mud-ids") + struct.pack(">ii", 6000, 6000) + string(b"") +
                                   string(b"consumer") + struct.pack(">i", 1) + string(b"range") + struct.pack(">i", 0)))
            raw.read_frame(sock)


def ever_new_producer_ids(a):
    """Ids given out, and others that nobody gave out: each leaves state in the partition."""
    now_ms = int(time.time() * 1000)
    with a.connect() as sock:
        for _ in range(20):
            sock.sendall(raw.frame(raw.header(INIT_PRODUCER_ID, 0) + struct.pack(">hi", -1, 1000)))
            raw.read_frame(sock)
            records = batch.batch([(None, b"m")], producer_id=a.chance.randrange(1 << 50), producer_epoch=0, base_sequence=0,
                                  base_timestamp=now_ms)
            sock.sendall(produce_of(MUD, records))
            raw.read_frame(sock)


def flipped_produce(a):
    whole = bytearray(produce_of(MUD, batch.batch([(None, b"flipped")])))
    whole[a.chance.randrange(4, len(whole))] ^= 1 << a.chance.randrange(8)
    a.throw(bytes(whole))


def decompression_bomb(a):
    """A few KiB that are 64 MiB of zeros: no record at all."""
    import zlib
    made = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = made.compress(bytes(1 << 20)) + b"".join(made.compress(bytes(1 << 20)) for _ in range(63)) + made.flush()
    a.throw(produce_of(MUD, batch.batch([(None, b"x")], codec="none", attributes=1, raw_records=bomb)))


# ---- clients that take their time
def connection_storm(a):
    with a.many(400):
        pass


def many_silent(a):
    with a.many(200):
        a.hold()


def slowloris(a):
    """Many frames, a byte at a time."""
    with a.many(100) as socks:
        payload = metadata_of([MUD])
        for byte in payload:
            if a.over():
                return
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.send(bytes([byte]))
            time.sleep(HOLD_S / len(payload))


def half_a_large_frame(a):
    """Nearly all of a few large frames, and then nothing."""
    with a.many(6) as socks:
        part = struct.pack(">i", a.frame_max) + bytes(a.frame_max * 3 // 4)
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.sendall(part)
        a.hold()


def half_open(a):
    """A request that is sent half, and a connection that is reset."""
    with a.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(metadata_of([MUD])[:-3])


def never_reads(a, request):
    with a.many(10) as socks:
        for sock in socks:
            sock.settimeout(0.3)
            with contextlib.suppress(OSError):
                sock.sendall(request * (1 + (1 << 18) // len(request)))
        a.hold()


def never_reads_metadata(a):
    never_reads(a, raw.frame(raw.header(METADATA, 1) + struct.pack(">i", -1)))


def never_reads_records(a):
    never_reads(a, fetch_of(MUD))


def never_reads_versions(a):
    never_reads(a, raw.frame(raw.header(API_VERSIONS, 0)))


ATTACKS = (random_bytes, random_bodies, tls_hello, http_request, negative_length, impossible_length, truncated_frame, unknown_keys,
           unknown_versions, huge_counts, giant_metadata, many_giants, giant_fetch, ever_new_members, ever_new_member_ids,
           ever_new_producer_ids, flipped_produce, decompression_bomb, connection_storm, many_silent, slowloris,
           half_a_large_frame, half_open, never_reads_metadata, never_reads_records, never_reads_versions)
