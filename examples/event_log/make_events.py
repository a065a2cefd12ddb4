#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes an event file of at least so many bytes; the same size gives the same file.

    make_events.py FILE BYTES
"""
import random
import sys
import time

import messages

KINDS = ("login", "search", "view", "order", "payment", "return")
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbour", "island", "jasper", "kettle",
         "lantern")
START = 1_700_000_000


def events():
    chance, number = random.Random(1), 0
    while True:
        yield {"id": number, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + number)),
               "kind": chance.choice(KINDS), "user": f"user-{chance.randrange(5000):04d}",
               "amount": round(chance.random() * 1000, 2), "note": " ".join(chance.choices(WORDS, k=14))}
        number += 1


def make(path, size_min):
    """Gives the number of rows."""
    size = rows = 0
    with open(path, "wb") as file:
        for event in events():
            row = messages.encode(event)
            size += file.write((b",\n" if rows else b"[\n") + row)
            rows += 1
            if size >= size_min:
                file.write(b"\n]\n")
                return rows


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(f"{make(sys.argv[1], int(sys.argv[2]))} rows")
