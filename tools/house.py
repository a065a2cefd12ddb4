# SPDX-License-Identifier: Apache-2.0
"""What the house checks share: where the code lies, the floors, and C text without comments and strings.

A check is a script `check_NAME.py [--root DIR] [--build DIR]`. It prints one line per violation, `file:line: what`, and
exits 1 when there is any. Lines that begin with `note:` are for the reader and fail nothing.
"""
import argparse
import pathlib
import re
import sys

CODE_DIRS = ("src", "sim", "fuzz", "bench", "test", "examples")
COMMENT_OR_STRING = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
COMMENT = re.compile(r"(\"(?:\\.|[^\"\\\n])*\")|//[^\n]*|/\*.*?\*/", re.DOTALL)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--build", type=pathlib.Path, default=None, help="a configured and built build directory")
    args = parser.parse_args()
    args.root = args.root.resolve()
    if args.build is None:
        args.build = args.root / "build"
    return args


def finish(violations):
    for violation in violations:
        print(violation)
    sys.exit(1 if violations else 0)


def floors(root):
    """{folder: floor number} from src/FLOORS."""
    result = {}
    for line in (root / "src" / "FLOORS").read_text().splitlines():
        if line and not line.startswith("#"):
            number, folder, _caption = line.split(" ", 2)
            result[folder] = int(number)
    return result


def code_files(root, suffixes=(".c", ".h"), dirs=CODE_DIRS, generated=True):
    """Sorted paths relative to the root, as text. Generated code lies in folders named gen."""
    found = []
    for folder in dirs:
        for path in (root / folder).rglob("*"):
            relative = path.relative_to(root)
            if path.suffix in suffixes and path.is_file() and (generated or "gen" not in relative.parts):
                found.append(relative.as_posix())
    return sorted(found)


def _blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text):
    """The text with comments, strings and characters blanked; lines and columns stay."""
    return COMMENT_OR_STRING.sub(_blank, text)


def without_comments(text):
    return COMMENT.sub(lambda m: m.group(1) or _blank(m), text)


def module_of(path):
    """src/log/x.c -> log; sim/x.c -> sim."""
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else parts[0]


def is_test(path):
    return path.endswith(("_test.c", "_fuzz.c")) or not path.startswith("src/")


def line_of(text, position):
    return text.count("\n", 0, position) + 1
