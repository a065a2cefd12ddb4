#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every house check against this tree and a build directory: tools/check.py [BUILD]. Prints each check's name and
what it found; exits 1 when any check failed.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

TOOLS = pathlib.Path(__file__).resolve().parent


def run(script, build):
    start = time.monotonic()
    command = [sys.executable, str(script)] + ([] if script.name == "test_checks.py" else ["--build", build])
    result = subprocess.run(command, capture_output=True, text=True)
    return script, result.returncode, result.stdout + result.stderr, time.monotonic() - start


def main():
    build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
    scripts = [TOOLS / "test_checks.py", *sorted(TOOLS.glob("check_*.py")), TOOLS / "lengths.py"]
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for script, status, output, seconds in pool.map(lambda one: run(one, build), scripts):
            name = script.stem.removeprefix("check_")
            print(f"{name:<12} {'ok' if status == 0 else 'FAILED'} {seconds:.1f} s", flush=True)
            shown = [line for line in output.splitlines() if line.strip()]
            for line in shown if status != 0 or script.stem != "test_checks" else []:
                print("    " + line)
            passed, failed = (passed + 1, failed) if status == 0 else (passed, failed + 1)
    print(f"house: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
