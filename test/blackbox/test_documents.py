# SPDX-License-Identifier: Apache-2.0
"""What the documents say of this tree is so: functions are where ARCHITECTURE.md puts them, links and commands exist."""
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(p for p in ROOT.rglob("*.md") if not any(part.startswith((".", "build")) for part in
                                                            p.relative_to(ROOT).parts))
STEP = re.compile(r"^\| \d+ \| `(src/[\w/]+\.c)` \| `(\w+)` \|", re.MULTILINE)


def test_every_function_of_the_walks_is_defined_in_the_file_that_is_named():
    steps = STEP.findall((ROOT / "ARCHITECTURE.md").read_text())
    assert len(steps) >= 20
    for file, function in steps:
        text = (ROOT / file).read_text()
        assert re.search(rf"^(?!\s)[^\n;=]*\b{function}\([^;]*?\)\n\{{", text, re.MULTILINE), f"{file} does not define {function}"


def test_every_file_that_the_architecture_names_exists():
    for name in re.findall(r"`((?:src|test|bench|sim|fuzz|schema|docs)/[\w./]*)`", (ROOT / "ARCHITECTURE.md").read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document}: {target}"


def test_commands_in_the_documents_are_targets_of_the_makefile():
    told = subprocess.run(["make", "-s", "help"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    targets = set(re.findall(r"^make ([a-z-]+)", told, re.MULTILINE))
    for document in DOCUMENTS:
        for name in re.findall(r"(?:^    |`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert name in targets, f"{document}: make {name}"
