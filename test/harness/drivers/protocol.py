# SPDX-License-Identifier: Apache-2.0
"""The loop of a driver: one JSON request a line on standard input, one JSON answer a line on standard output.

A driver is a client library in a process of its own, so that two versions of one library can stand in one test, a client
can be killed, and nothing of it is left behind. Bytes travel as base64. An exception is an answer too: its class and text.
"""
import base64
import json
import sys
import traceback


def pack(value):
    return None if value is None else base64.b64encode(value).decode()


def unpack(text):
    return None if text is None else base64.b64decode(text)


def record(topic, partition, offset, key, value, timestamp, headers, leader_epoch=None):
    """`leader_epoch`: None where the library does not tell it."""
    return {"topic": topic, "partition": partition, "offset": offset, "key": pack(key), "value": pack(value),
            "timestamp": timestamp, "headers": [[name, pack(content)] for name, content in headers or []],
            "leader_epoch": leader_epoch}


def serve(driver):
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(driver, request.pop("op"))(**request)}
        except Exception as error:  # the test decides what an error means
            answer = {"error": type(error).__name__, "text": str(error), "trace": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
