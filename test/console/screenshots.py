#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pictures in docs/console: test/console/screenshots.py, with build/ottla there and the tests' packages installed."""
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

from harness.broker import Broker  # noqa: E402
from test_console import OWN_PORT, fill, web_of  # noqa: E402


def main():
    out = ROOT / "docs" / "console"
    out.mkdir(exist_ok=True)
    broker = Broker("ottla", tempfile.mkdtemp(prefix="ottla-shots-"), OWN_PORT)
    try:
        broker.start()
        web = web_of(broker)
        fill(web)
        subprocess.run(["node", str(HERE / "scenarios.mjs"), web.base, "shots", str(out)], check=True)
    finally:
        broker.close()


if __name__ == "__main__":
    main()
